"""``gradcheck vectors``: golden vectors for programs in any language, and a verdict on their answers."""

import importlib.util
import time

from ..op import REGISTRY
from ..refusals import nearest
from . import lookup, verb

FORMATS = ("npz", "json", "safetensors")
SHOWN = 6  # failures written out per op; --json has all
_DESCRIPTION = """\
export: for every op and case, inputs and cotangents that are exact in float32, and outputs and gradients
as truth: sixty digits, rounded to the sum of two doubles, with the tolerance of an honest program beside it.
One file an op, and _index.json with sizes, checksums and the cases that were left out, with the reason.

check: the files in DIR are answers, a copy of the vectors with somebody's outputs and gradients in place of
the truth. The verdict, case by case, is 6 sigma and a unit in the last place of the largest entry. The truth
is computed anew, or read from --vectors DIR. Of the ops that DIR has a file for, every case is asked: one
without an answer fails, or with --partial is only counted; an op without any fails.

docs/vectors.md has the format of both, readers of a few lines, and a checker in C.
JSON keys: export: ok, directory, format, version, ops, summary; check: ok, cases (op, case,
id, answered, dtype, ok, worst, what), summary. worst is in units of what is allowed: 1 is just allowed."""


def add_parser(verbs):
    parser = verb.add(verbs, "vectors", run, "golden vectors: export them, check answers", _DESCRIPTION)
    parser.add_argument("action", choices=("export", "check"), help="write vectors, or judge answers")
    parser.add_argument("directory", metavar="DIR", help="where the files are to be, or are")
    parser.add_argument("ops", metavar="OP", nargs="*", default=[], help="an op's name, or file.py:name; all")
    parser.add_argument("--format", choices=FORMATS, help="of an export: npz, if not told")
    parser.add_argument("--vectors", metavar="DIR", help="of a check: the exported vectors they answer")
    parser.add_argument("--partial", action="store_true", help="of a check: cases may lack an answer")


def run(args, screen):
    for option, action in (("format", "export"), ("vectors", "check"), ("partial", "check")):
        if getattr(args, option) and args.action != action:
            raise verb.Misuse(f"--{option} is for 'vectors {action}', not for 'vectors {args.action}'")
    if not args.vectors and importlib.util.find_spec("flint") is None:
        raise verb.Misuse("the truth needs python-flint: pip install 'scratchattn[test]'")
    from gradcheck.vector_files import Unreadable

    try:
        return (_export if args.action == "export" else _check)(args, screen)
    except (Unreadable, ImportError) as wrong:
        raise verb.Misuse(str(wrong)) from wrong
    except OSError as wrong:
        raise verb.Misuse(f"{wrong.filename or args.directory}: {wrong.strerror or wrong}") from wrong


def _export(args, screen):
    from gradcheck.vector_files import FORMAT_BYTES, OP_BYTES, export
    from gradcheck.vectors import VERSION

    started, format = time.perf_counter(), args.format or "npz"
    ops = [lookup.op_named(name) for name in dict.fromkeys(args.ops or sorted(REGISTRY))]
    width = max(len(op.name) for op in ops) + 1
    entries = {}
    screen.say(screen.paint("dim", f"     {'op':{width}}{'cases':>6}{'bytes':>9}  left out"))
    screen.progress(f"0 of {len(ops)}  {ops[0].name}")
    for i, (name, entry) in enumerate(export(ops, args.directory, format), 1):
        entries[name] = entry
        mark = screen.paint("green", "ok  ") if _fits(entry, OP_BYTES) else screen.paint("red", "FAIL")
        why = ", ".join(f"{len(labels)} {reason}" for reason, labels in entry["left_out"].items())
        screen.say(f"{mark} {name:{width}}{entry['cases']:6}{entry['bytes']:9,}  {why}".rstrip())
        screen.progress(f"{i} of {len(ops)}  {ops[i].name if i < len(ops) else ''}")
    left_out: dict = {}
    for entry in entries.values():
        for reason, labels in entry["left_out"].items():
            left_out[reason] = left_out.get(reason, 0) + len(labels)
    size = sum(entry["bytes"] for entry in entries.values())
    empty = [name for name, entry in entries.items() if not _fits(entry, OP_BYTES)]
    summary = {
        "ops": len(entries),
        "cases": sum(entry["cases"] for entry in entries.values()),
        "left_out": left_out,
        "bytes": size,
        "without_cases": empty,
        "seconds": round(time.perf_counter() - started, 2),
    }
    ok = not empty and size <= FORMAT_BYTES
    told = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "none"
    verdict = screen.paint("green", "written") if ok else screen.paint("red", "NOT WHOLE")
    counted = f"{summary['ops']} ops, {summary['cases']} cases, {size:,} of {FORMAT_BYTES:,} bytes"
    screen.say(f"{counted}, left out: {told}: {verdict}. {summary['seconds']:.1f} s")
    report = {"ok": ok, "directory": args.directory, "format": format, "version": VERSION}
    return {**report, "ops": entries, "summary": summary}, int(not ok)


def _fits(entry, most):
    return 0 < entry["cases"] and entry["bytes"] <= most


def _check(args, screen):
    from gradcheck.vector_files import Unreadable, exported, load, paths_in
    from gradcheck.vectors import judge, vectors_of

    started, rows, asked, unanswered, failed = time.perf_counter(), [], 0, 0, 0
    named = {op.name: op for op in map(lookup.op_named, args.ops)}
    given: dict = {}
    for path in paths_in(args.directory):  # all are read before any is judged
        answers = load(path, kind="answers")
        name = answers["op"]
        if name in given:
            raise Unreadable(f"{path}: {given[name][0]} answers {name} too: keep one of them")
        if not args.vectors and name not in named and name not in REGISTRY:
            raise Unreadable(f"{path}: no op is called {name!r}{nearest(name, sorted(REGISTRY))}")
        if name in named or not named:
            given[name] = path, answers
    missing = [name for name in named if name not in given]
    if missing:
        raise Unreadable(f"{args.directory}: it has no answers for {', '.join(missing)}")
    for name, (_, answers) in given.items():
        screen.progress(name)
        document = (
            exported(args.vectors, name) if args.vectors else vectors_of(named.get(name) or REGISTRY[name])
        )
        found = judge(document, answers)
        part = [row for row in found if row["answered"]] if args.partial else found
        rows += part
        asked += len(document["cases"])
        unanswered += sum(not row["answered"] for row in found)
        failed += _say(name, part or found, screen)  # nothing answered is no success
    summary = {
        "ops": len(given),
        "cases": asked,
        "unanswered": unanswered,
        "failed": failed,
        "seconds": round(time.perf_counter() - started, 2),
    }
    told = screen.paint("red", f"{failed} FAILED") if failed else screen.paint("green", "all conform")
    counted = f"{len(given)} ops, {asked} cases, {unanswered} without an answer"
    screen.say(f"{counted}: {told}. {summary['seconds']:.1f} s")
    return {"ok": not failed, "cases": rows, "summary": summary}, int(failed > 0)


def _say(name, rows, screen):
    """Say the verdict on an op; return how many of its cases failed."""
    failed = [row for row in rows if not row["ok"]]
    mark = screen.paint("red", "FAIL") if failed else screen.paint("green", "ok  ")
    answered = [row for row in rows if row["answered"]]
    worst = f", at worst {max(row['worst'] for row in answered):.2g} of what is allowed" if answered else ""
    screen.say(f"{mark} {name}: {len(answered)} cases answered{worst}")
    for row in failed[:SHOWN]:
        excess = f": {row['worst']:.2g} of what is allowed" if row["answered"] else ""
        screen.say(f"       {row['case'] or row['id']}: {row['what']}{excess}")
    if len(failed) > SHOWN:
        screen.say(f"       and {len(failed) - SHOWN} more; --json lists them all")
    return len(failed)
