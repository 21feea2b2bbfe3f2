"""``scratchattn data``: the local data files that tasks read; nothing is ever fetched."""

from contextlib import contextmanager
from pathlib import Path

from ..refusals import nearest
from . import verb

_DESCRIPTION = """\
add [KIND] PATH...: read local files, folders and zip archives to the last byte and put them into the store.
KIND is the name of a data set (babi, mnist, multi30k, tinyshakespeare, strokes, iam_ondb) or of a form
(parallel, text); without it, the files are recognised by their names. Known files are compared with their
SHA-256; one that differs is noted. A file that is damaged is refused with the line or byte, and the store
stays as it was.

list: what is there and what for, what is missing and who gives it out.

check [NAME...]: read all of it again and compare it with the record. Exit status 1 names what is damaged.

The store is $SCRATCHATTN_DATA; without it, scratchattn in $XDG_DATA_HOME or in ~/.local/share.
JSON keys: add: name, kind, folder, source, files, unchanged, bytes, warnings, left_out, seconds; list:
folder, sets, missing; check: ok, folder, files (set, file, ok, what), remarks, summary."""
SHOWN = 6  # lines of one sort; --json has all


def add_parser(verbs):
    parser = verb.add(verbs, "data", run, "local data files: add, list, check", _DESCRIPTION)
    parser.add_argument("action", choices=("add", "list", "check"), help="what to do")
    parser.add_argument(
        "words", metavar="WORD", nargs="*", default=[], help="add: [KIND] PATH...; check: [NAME...]"
    )
    parser.add_argument("--name", help="of an add: what the data set is called")
    parser.add_argument("--source", metavar="TEXT", help="of an add: where it is from; SOURCE.txt without")
    parser.add_argument("--replace", action="store_true", help="of an add: in place of files that differ")


def run(args, screen):
    from ..tasks.readers import Damaged
    from ..tasks.store import Refused

    if args.action != "add" and (args.name or args.source or args.replace):
        raise verb.Misuse(f"--name, --source and --replace are for 'data add', not for 'data {args.action}'")
    try:
        return {"add": _add, "list": _list, "check": _check}[args.action](args, screen)
    except (Damaged, Refused) as wrong:
        raise verb.Misuse(str(wrong)) from wrong
    except OSError as wrong:
        told = f"{wrong.filename}: {wrong.strerror}" if wrong.filename else str(wrong)
        raise verb.Misuse(told) from wrong


def _add(args, screen):
    from ..tasks.readers import Damaged
    from ..tasks.store import SETS, add

    word, paths = _kind_and_paths(args.words)
    kind, name = (SETS[word].kind, args.name or word) if word in SETS else (word, args.name)
    with _interruptible(screen):
        try:
            report = add(paths, kind, name, args.source, args.replace, screen.progress)
        except Damaged as wrong:
            raise verb.Misuse(f"{wrong}; nothing was added: get the file anew") from wrong
    count = _counted(len(report["files"]), "file")
    same = f", {report['unchanged']} there already" if report["unchanged"] else ""
    size = f"{report['bytes']:,} bytes"
    screen.say(f"{report['name']}: {count} added, {size}{same}, in {report['folder']}")
    known = sum(entry["known"] is True for entry in report["files"])
    if known:
        screen.say(f"{known} of them known by their SHA-256")
    _say_some(screen, screen.paint("yellow", "note: "), report["warnings"])
    _say_some(screen, "left out: ", report["left_out"])
    return report, 0


def _kind_and_paths(words):
    """The kind or data set that the first word may be, and the paths; Misuse if there is none of them."""
    from ..tasks.store import KINDS, SETS

    if not words:
        raise verb.Misuse("data add needs a PATH: a file, a folder or a zip archive")
    first, rest = words[0], words[1:]
    names = sorted({*KINDS, *SETS})
    if first in names and rest:
        return first, rest
    if Path(first).exists():
        return None, words
    if first in names:
        raise verb.Misuse(f"data add {first} needs a PATH: a file, a folder or a zip archive")
    if not rest or "/" in first or "." in first:
        raise verb.Misuse(f"{first}: there is no such file or folder{nearest(first, names) if rest else ''}")
    raise verb.Misuse(
        f"{first!r} is neither a kind nor a path{nearest(first, names)}; kinds are {', '.join(names)}"
    )


@contextmanager
def _interruptible(screen):
    """The line of progress goes away also when something is refused."""
    try:
        yield
    finally:
        screen.progress("")


def _list(args, screen):
    from ..tasks.store import listed

    if args.words:
        raise verb.Misuse(f"data list takes no words, got {' '.join(args.words)!r}")
    report = listed()
    screen.say(f"in {report['folder']}")
    for row in report["sets"]:
        if not row["ok"]:
            screen.say(f"  {screen.paint('red', 'FAIL')} {row['name']}: {row['what']}")
            continue
        count = f"{_counted(row['files'], 'file')}, {row['bytes']:,} bytes"
        record = "" if row["recorded"] else ", without a record"
        screen.say(f"  {screen.paint('green', 'yes')}  {row['name']:16} {row['used_for']}: {count}{record}")
        _say_some(screen, "       it lacks ", row["missing"])
    for row in report["missing"]:
        screen.say(f"  {screen.paint('dim', 'no')}   {row['name']:16} {row['used_for']}: {row['comes_from']}")
    if report["missing"]:
        screen.say("scratchattn data add PATH puts files there that you have; nothing is fetched.")
    return report, int(not all(row["ok"] for row in report["sets"]))


def _check(args, screen):
    from ..tasks.store import check, folder
    from ..tasks.store.checking import names

    there = names()
    for name in args.words:
        if name not in there:
            hint = nearest(name, there) or f"; there are {', '.join(there) or 'none'}"
            raise verb.Misuse(f"no data set is called {name!r} in {folder()}{hint}")
    if not there:
        raise verb.Misuse(f"there are no data files in {folder()}: scratchattn data add PATH puts them there")
    with _interruptible(screen):
        report = check(args.words, screen.progress)
    damaged = [f"{row['set']}/{row['file']}: {row['what']}" for row in report["files"] if not row["ok"]]
    _say_some(screen, screen.paint("red", "FAIL "), damaged)
    for name in dict.fromkeys(row["set"] for row in report["files"] if not row["ok"]):
        screen.say(f"scratchattn data add {name} PATH puts a whole copy in the place of a damaged one.")
    _say_some(screen, screen.paint("yellow", "note: "), report["remarks"])
    summary = report["summary"]
    told = (
        screen.paint("red", f"{summary['damaged']} DAMAGED")
        if damaged
        else screen.paint("green", "all whole")
    )
    counted = f"{_counted(summary['files'], 'file')}, {summary['bytes']:,} bytes"
    screen.say(f"{_counted(summary['sets'], 'data set')}, {counted}: {told}. {summary['seconds']:.1f} s")
    return report, int(not report["ok"])


def _counted(count, noun):
    return f"{count} {noun}{'s' * (count != 1)}"


def _say_some(screen, head, lines):
    for line in lines[:SHOWN]:
        screen.say(f"{head}{line}")
    if len(lines) > SHOWN:
        screen.say(f"{head}{len(lines) - SHOWN} more; --json lists them all")
