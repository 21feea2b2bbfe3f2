"""``scratchattn sweep``: many runs, over settings and seeds."""

import json
import time
from pathlib import Path

from . import runs, verb


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "sweep",
        run,
        "train every combination of some settings, with many seeds",
        "    scratchattn sweep ntm copy --over learning_rate=1e-4,3e-4 --over rows=32,128 --seeds 0-9\n\n"
        "Every run is a process of its own and has a directory of its own, in runs/ of the sweep's,\n"
        "named by its settings: the same command again goes on where a sweep was ended, and repeats\n"
        "nothing that has finished.  A TOML file may say the same in a table [sweep].  In an MPI job\n"
        "that python -m mpi4py started, its processes share the runs.  The exit status is 1 if a run\n"
        "failed.  JSON keys: sweep, rows (settings, seed, state, metrics, steps, seconds, reason, run,\n"
        "sha256), summary (settings, runs, failed, metric, median, worst), seconds; all but the seconds\n"
        "are in DIR/sweep.json too.",
    )
    runs.add_configuration(parser, " of all", "settings and a table [sweep] from a TOML file")
    parser.add_argument(
        "--over", "--grid", action="append", default=[], metavar="NAME=V1,V2,...",
        help="values of a setting; repeated: every combination",
    )  # fmt: skip
    parser.add_argument("--seeds", metavar="0-9", help="one, some (0,3,5) or spans (0-9); one without it, 0")
    parser.add_argument(
        "--out",
        type=verb.directory,
        metavar="DIR",
        help="the sweep's directory; sweeps/MODEL-TASK without it",
    )
    parser.add_argument(
        "--engine", choices=("processes", "joblib", "mpi"),
        help="who deals out the runs; processes here without it, or MPI where it started us",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=verb.whole(1), metavar="N", help="runs at a time; one a core without it"
    )


def run(args, screen):
    from ..training.sweeps import plan, row, summary, sweep
    from ..whole_file import make_directory, write_whole

    started = time.perf_counter()
    with runs.settings_in_words(), runs.run_in_words():
        directory = Path(args.out or _default_directory(args))
        planned = plan(
            directory, args.model, args.task, over=_axes(args.over), seeds=args.seeds, file=args.config,
            wishes=args.set, device=args.device,
        )  # fmt: skip
        make_directory(directory)
    before = [row(each)["state"] for each in planned].count("done")
    screen.say(
        f"{len(planned)} run{'s' * (len(planned) > 1)} in {directory}"
        + (f", {before} finished before" if before else "")
    )

    def keep(rows):
        report = {"sweep": str(directory), "rows": rows, "summary": summary(planned, rows)}
        with runs.run_in_words():
            text = json.dumps(verb.valid_json(report), indent=1) + "\n"
            write_whole(directory / "sweep.json", text.encode())
        return report

    def watch(ended, rows):
        keep(rows)
        left = [each["state"] for each in rows].count("waiting")
        each = (time.perf_counter() - started) / (len(rows) - before - left)
        screen.say(f"{len(rows) - left}/{len(rows)}  {_said(ended)}  about {each * left:.0f} s left")

    with runs.settings_in_words():
        try:
            rows = sweep(planned, engine=args.engine, jobs=args.jobs, watch=watch)
        except ImportError as missing:
            raise verb.Misuse(str(missing)) from missing
    if rows is None:
        return {}, 0
    report = keep(rows)
    _show(rows, report["summary"], screen)
    failed = sum(each["state"] != "done" for each in rows)
    screen.say(
        f"{len(rows) - failed} of {len(rows)} runs finished; the table is in {directory / 'sweep.json'}"
    )
    return report | {"seconds": round(time.perf_counter() - started, 2)}, int(failed > 0)


def _default_directory(args):
    from ..training import configure

    names = configure(args.model, args.task, file=args.config, wishes=args.set).names
    return Path("sweeps") / "-".join(names[part].rpartition(":")[2] for part in ("model", "task"))


def _axes(texts):
    """name -> list of texts, of --over NAME=V1,V2."""
    found = {}
    for text in texts:
        name, _, values = text.partition("=")
        listed = [value.strip() for value in values.split(",") if value.strip()]
        if not name.strip() or not listed:
            raise ValueError(f"--over takes NAME=V1,V2,..., got {text!r}")
        if name.strip() in found:
            raise ValueError(f"--over {name.strip()} is given twice; name all its values in one")
        found[name.strip()] = listed
    return found


def _said(each):
    """One run in a line."""
    told = [f"{name}={value}" for name, value in each["settings"].items()] + [f"seed={each['seed']}"]
    if each["state"] == "done":
        told += [f" {name} {value:.4g}" for name, value in each["metrics"].items() if value is not None]
        return " ".join([*told, f" {each['seconds']:.0f} s"])
    return " ".join([*told, f" {each['state'].upper()}: {each['reason']}"])


def _show(rows, groups, screen):
    """All runs, and all combinations over their seeds."""
    screen.say()
    for each in rows:
        line = f"{Path(each['run']).name}  {_said(each)}"
        screen.say(screen.paint("red", line) if each["state"] == "failed" else line)
    if len(groups) == len(rows):
        return
    screen.say()
    for group in groups:
        settings = " ".join(f"{name}={value}" for name, value in group["settings"].items())
        numbers = (f"{kind} {'-' if group[kind] is None else format(group[kind], '.4g')}" for kind in
                   ("median", "worst"))  # fmt: skip
        screen.say(
            f"{settings or 'all'}  {group['metric']}: {', '.join(numbers)} of {group['runs']} seeds, "
            f"{group['failed']} failed"
        )
