"""``scratchattn results``: a table in which every row is one command, and what its seeds came to."""

import subprocess
import tempfile
from pathlib import Path

from ..refusals import nearest
from . import runs, verb


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "results",
        run,
        "the table of results, each row one command",
        "Run inside a clone: measurements are the files of docs/results.  --run trains the seeds that are\n"
        "missing or were measured with other settings, each by the row's command, in processes of their\n"
        "own, and keeps them one by one.  Exit status 1 if one of them failed.  JSON key: rows [{name,\n"
        "command, metric, published, source, seeds, median, worst, failed, seconds, ...}].",
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names of rows; all without any")
    parser.add_argument("--run", action="store_true", dest="train", help="train what is missing, and keep it")
    parser.add_argument("--seeds", metavar="LIST", help="with --run: these, measured or not; 0,1,2 or 0-9")
    parser.add_argument(
        "--jobs", type=verb.whole(1), metavar="N", help="seeds at a time; one a core without it"
    )
    parser.add_argument(
        "--out",
        type=verb.directory,
        metavar="DIR",
        help="with --run: keep the runs there, or go on with them",
    )
    parser.add_argument("--render", action="store_true", help="write the table of all rows into README.md")
    parser.add_argument(
        "--curves", type=verb.directory, metavar="DIR", help="draw how the rows learned: DIR/TASK.svg"
    )


def run(args, screen):
    from ..report.results import measured, summary, table

    if not args.train and (args.seeds or args.jobs or args.out):
        raise verb.Misuse("--seeds, --jobs and --out go with --run")
    chosen, folder = _chosen(args.rows), verb.in_a_clone("results", "docs/results/ntm_copy.jsonl").parent
    failed = _train(args, chosen, folder, screen) if args.train else 0
    with runs.settings_in_words():
        found = [summary(row, measured(row, folder)) for row in chosen]
    for line in table(found):
        screen.say(line)
    for each in found:
        for kind in ("missing", "stale"):
            if each[kind]:
                screen.say(
                    f"{each['name']}: {kind} seeds {', '.join(map(str, each[kind]))}; --run trains them"
                )
    if args.curves:
        for path in draw(chosen, folder, Path(args.curves)):
            screen.say(f"learning curves: {path}")
    if args.render:
        screen.say(f"the table is in {render(folder.parents[1] / 'README.md', folder)}")
    return {"rows": found}, int(failed > 0)


def render(readme, folder):
    """Write the table of all rows into ``readme``, between its marks; returns its path."""
    from gradcheck.errors import quoted

    from ..report.results import MARKS, measured, summary, table
    from ..training.rows import rows
    from ..whole_file import write_whole

    lines = list(table([summary(row, measured(row, folder)) for row in rows().values()]))
    with runs.settings_in_words():
        text = quoted(readme.read_text("utf-8"), lines, MARKS)
    write_whole(readme, text.encode())
    return readme


def draw(rows, folder, directory):
    """Write the learning curves of ``rows`` into ``directory``, a file for each task -> the paths."""
    from ..report.export import write_svg
    from ..report.learning_curves import learning_curves
    from ..report.results import measured

    directory.mkdir(parents=True, exist_ok=True)
    for task in dict.fromkeys(row.task for row in rows):
        facts = {row.name: list(measured(row, folder).values()) for row in rows if row.task == task}
        if any("curve" in fact for each in facts.values() for fact in each):
            yield write_svg(directory / f"{task}.svg", learning_curves(task, facts))


def _chosen(names):
    from ..training.rows import rows

    known = rows()
    for name in names:
        if name not in known:
            raise verb.Misuse(
                f"no row is called {name!r}{nearest(name, known)}; there are {', '.join(known)}"
            )
    return [known[name] for name in names or known]


def _train(args, chosen, folder, screen):
    """Train what is asked for and keep it; returns how many seeds failed."""
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for row in chosen:
            failed += _train_row(row, args, folder, Path(args.out or scratch) / row.name, screen)
    return failed


def _train_row(row, args, folder, directory, screen):
    from ..report.environment import environment
    from ..report.results import keep, measured, number, summary
    from ..training.sweeps import plan, sweep

    with runs.settings_in_words(), runs.run_in_words():
        seeds = args.seeds or summary(row, measured(row, folder))["missing"]
        planned = plan(directory, row.model, row.task, wishes=row.set, seeds=seeds) if seeds else []
    configs = {str(each.directory): each.configuration.as_dict() for each in planned}
    with_what = {"environment": dict(environment()), "commit": _commit(folder)}
    kept, failed = set(), 0

    def watch(_, rows):
        """Keep what ended, also before we came."""
        nonlocal failed
        for each in rows:
            if each["seed"] in kept or each["state"] == "waiting":
                continue
            fact = {"seed": each["seed"], **_outcome(row, each), "command": row.command(each["seed"])}
            keep(row, folder, fact | with_what | {"config": configs[each["run"]]})
            kept.add(each["seed"])
            failed += fact["seed"] in summary(row, measured(row, folder))["failed"]
            screen.say(f"{row.name}, seed {fact['seed']}: {fact.get('why') or number(fact['value'])}")

    with runs.settings_in_words(), runs.run_in_words():
        watch(None, sweep(planned, engine="processes", jobs=args.jobs, watch=watch))
    return failed


def _outcome(row, ended):
    """What a measurement says of a run that ended; Failed for one that did not end by itself."""
    from ..tasks import TASKS
    from ..training.run_directory import events_of

    metric, log = TASKS[row.task].metric, events_of(ended["run"])
    told = [line for line in log if line["event"] == "train" and metric in line]
    way = [[line["step"], float(f"{line[metric]:.4g}")] for line in told]
    if ended["state"] == "done":
        value = ended["metrics"][metric]
        return {"value": value} | {key: ended[key] for key in ("seconds", "steps", "sha256")} | {"curve": way}
    if not log or log[-1]["event"] != "failed":
        raise verb.Failed(f"{row.command(ended['seed'])}: {ended['reason']}")
    last = {"seconds": log[-1]["seconds"], "steps": log[-1]["step"], "why": log[-1]["why"]}
    return {"value": None} | last | {"curve": way}


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
