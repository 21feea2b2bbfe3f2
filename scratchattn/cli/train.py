"""``scratchattn train``: train a model on a task; a run's directory holds everything about it."""

import time
from pathlib import Path

from . import runs, verb


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "train",
        run,
        "train a model on a task",
        "Settings are the fields of the model, the task and the training: `scratchattn explain NAME` shows\n"
        "them, --set changes one, --config reads many from a TOML file or from the config.json of a run.\n"
        "Ctrl-C ends it between two steps and saves; --resume DIR goes on, to the same bits as without the\n"
        "interruption.  JSON keys: run, steps, metrics, seconds, sha256 (of the parameters).",
    )
    runs.add_configuration(parser)
    parser.add_argument("--seed", type=verb.whole(0), help="of the parameters and the data; 0 without it")
    parser.add_argument(
        "--out",
        type=verb.directory,
        metavar="DIR",
        help="the run's directory; runs/MODEL-TASK-SEED without it",
    )
    parser.add_argument(
        "--resume",
        type=verb.directory,
        metavar="DIR",
        help="go on with the run in DIR, with the same settings",
    )
    parser.add_argument(
        "--parallel", choices=("mpi", "mpi-fast"),
        help="share the shards of a batch among the processes of this MPI job; -fast: MPI adds, in its order",
    )  # fmt: skip
    parser.add_argument(
        "--device-buffers", action="store_true", help="with --parallel, on a GPU: MPI takes its memory"
    )
    runs.add_previous(parser, "with --resume: ")


def run(args, screen):
    from ..report.environment import environment
    from ..training import train
    from ..training.log import last_metrics
    from ..training.run_directory import holds_run

    if args.previous and not args.resume:
        raise verb.Misuse("--previous goes with --resume DIR")
    if args.resume and args.out and Path(args.out) != Path(args.resume):
        raise verb.Misuse("--resume DIR goes on in DIR; leave --out away")
    configuration = runs.configured(args, args.resume)
    directory = Path(args.resume or args.out or runs.default_directory(configuration))
    group = _group(args, configuration.settings.shards)
    started = time.perf_counter()
    with runs.computing_on(configuration.device) as library, runs.run_in_words():
        try:
            _, events = train(
                configuration.model, configuration.task, configuration.settings, directory,
                resume=bool(args.resume), previous=args.previous, quiet=args.json, group=group,
                config=configuration.as_dict() | {"environment": dict(environment(library))},
            )  # fmt: skip
            page = runs.write_report(directory)[0] if group is None or group.rank == 0 else None
        except OSError as wrong:
            if wrong.filename is None or not holds_run(directory):
                raise
            how = f"; then go on with: scratchattn train --resume {directory}"
            raise verb.Misuse(verb.in_one_line(wrong) + how) from wrong
    metrics = last_metrics(events)
    seconds = time.perf_counter() - started
    done = next(event for event in reversed(events) if event["event"] == "done")
    told = ", ".join(f"{name} {value:.3g}" for name, value in metrics.items())
    screen.say(f"{done['step']} steps in {seconds:.0f} s: {told}")
    screen.say(f"the run is in {directory}, its report in {page}")
    return {
        "run": str(directory), "steps": done["step"], "metrics": metrics, "seconds": round(seconds, 2),
        "sha256": done["sha256"],
    }, 0  # fmt: skip


def _group(args, shards):
    """Who shares the work, or None."""
    from ..training.mpi import Group, rank_and_size

    if args.parallel is None:
        if args.device_buffers:
            raise verb.Misuse("--device-buffers goes with --parallel")
        if (size := rank_and_size()[1]) > 1:
            raise verb.Misuse(f"{size} processes would each train the same run: say --parallel mpi")
        return None
    try:
        group = Group(fast=args.parallel == "mpi-fast", device_buffers=args.device_buffers)
        group.own(shards)
    except (ImportError, ValueError) as wrong:
        raise verb.Misuse(str(wrong)) from wrong
    return group
