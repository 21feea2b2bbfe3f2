"""``scratchattn results``: a table in which every row is one command, and what its seeds came to."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from . import verb


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "results",
        run,
        "the table of results, each row one command",
        "Run inside a clone: measurements are the files of docs/results.  --run trains the seeds that are\n"
        "missing or were measured with other settings, each by the row's own command in a process of its\n"
        "own, and keeps them one by one.  Exit status 1 if one of them failed.  JSON key: rows [{name,\n"
        "command, metric, published, source, seeds, median, worst, failed, seconds, ...}].",
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names of rows; all without any")
    parser.add_argument("--run", action="store_true", dest="train", help="train what is missing, and keep it")
    parser.add_argument("--seeds", metavar="LIST", help="with --run: these, measured or not; 0,1,2 or 0-9")
    parser.add_argument("--processes", type=int, default=1, help="with --run: so many seeds at a time")
    parser.add_argument("--out", metavar="DIR", help="with --run: keep the runs there, as DIR/ROW-SEED")
    parser.add_argument("--render", action="store_true", help="write the table of all rows into README.md")


def run(args, screen):
    from ..report.results import measured, summary, table

    if not args.train and (args.seeds or args.out):
        raise verb.Misuse("--seeds and --out go with --run")
    if args.processes < 1:
        raise verb.Misuse(f"--processes must be at least 1, got {args.processes}")
    chosen, folder = _chosen(args.rows), verb.in_a_clone("results", "docs/results/ntm_copy.jsonl").parent
    failed = _train(args, chosen, folder, screen) if args.train else 0
    with _in_words():
        found = [summary(row, measured(row, folder)) for row in chosen]
    for line in table(found):
        screen.say(line)
    for each in found:
        for kind in ("missing", "stale"):
            if each[kind]:
                screen.say(
                    f"{each['name']}: {kind} seeds {', '.join(map(str, each[kind]))}; --run trains them"
                )
    if args.render:
        screen.say(f"the table is in {render(folder.parents[1] / 'README.md', folder)}")
    return {"rows": found}, int(failed > 0)


def render(readme, folder):
    """Write the table of all rows into ``readme``, between its marks; returns its path."""
    from gradcheck.errors import quoted

    from ..report.results import MARKS, measured, summary, table
    from ..training.rows import rows
    from ..training.whole_file import replacing

    lines = list(table([summary(row, measured(row, folder)) for row in rows().values()]))
    with _in_words():
        text = quoted(readme.read_text("utf-8"), lines, MARKS)
    with replacing(readme) as file:
        file.write(text.encode())
    return readme


def _chosen(names):
    from ..training.rows import rows

    known = rows()
    for name in names:
        if name not in known:
            raise verb.Misuse(
                f"no row is called {name!r}{verb.nearest(name, known)}; there are {', '.join(known)}"
            )
    return [known[name] for name in names or known]


def _train(args, chosen, folder, screen):
    """Train what is asked for and keep it; returns how many seeds failed."""
    from ..report.results import keep, measured, number, summary

    commit = _commit(folder)
    with _in_words():
        found = {row: summary(row, measured(row, folder)) for row in chosen}
    wanted = [(row, seed) for row in chosen for seed in _seeds(args.seeds) or found[row]["missing"]]
    failed = 0
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(args.processes) as pool:
        runs = {}
        for row, seed in wanted:
            runs[pool.submit(trained, row, seed, Path(args.out or scratch), commit)] = row
        try:
            for done in as_completed(runs):
                row, fact = runs[done], done.result()
                keep(row, folder, fact)
                failed += summary(row, {fact["seed"]: fact})["failed"] != []
                screen.say(
                    f"{row.name}, seed {fact['seed']}: {number(fact['value'])} in {fact['seconds']:.0f} s"
                )
        finally:
            pool.shutdown(
                cancel_futures=True
            )  # what runs ends, as Ctrl-C has told it to; the rest never starts
    return failed


def trained(row, seed, folder, commit):
    """Run the command of ``row`` for ``seed`` in a process of its own, into ``folder``; the measurement."""
    directory = folder / f"{row.name}-{seed}"
    words = [*row.words(), "--seed", str(seed)]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as told:
        child = subprocess.Popen(
            [sys.executable, "-m", "scratchattn", *words, "--out", str(directory), "--json"],
            env=verb.for_children(), stdout=said, stderr=told,
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0), told.seek(0)
        report, why = said.read(), told.read().decode(errors="replace").strip().rpartition("\n")[2]
    if child.returncode not in (0, 1):
        raise verb.Misuse(f"{row.command(seed)} ended with {child.returncode}: {why}")
    config = json.loads((directory / "config.json").read_text("utf-8"))
    fact = {
        "seed": seed, "value": None, "seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "command": row.command(seed), "commit": commit, "environment": config.pop("environment"),
        "config": config,
    }  # fmt: skip
    if child.returncode:
        return fact | {"why": why}
    found = json.loads(report)
    value = found["metrics"][_metric(row)]
    return fact | {"value": value, "steps": found["steps"], "sha256": found["sha256"]}


def _metric(row):
    from ..tasks import TASKS

    return TASKS[row.task].metric


def _seeds(text):
    """The seeds that ``text``, 0,1,2 or 0-9, names."""
    found: list[int] = []
    for part in text.split(",") if text is not None else ():
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not span:
            raise verb.Misuse(f"--seeds takes 0,1,2 or 0-9, got {text!r}")
        found += range(int(span[1]), int(span[2] or span[1]) + 1)
    return found


def _commit(folder):
    """The clone's last commit, and whether files have changed since; None without git."""
    try:
        told = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty=, changed", "--abbrev=9"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()


@contextlib.contextmanager
def _in_words():
    """A damaged file becomes a message and exit status 2."""
    try:
        yield
    except (ValueError, OSError) as wrong:
        raise verb.Misuse(str(wrong)) from wrong
