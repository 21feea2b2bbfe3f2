"""What the verbs on runs share: settings on the command line, a run's directory read back."""

import contextlib
from pathlib import Path

from . import verb


def add_configuration(parser, of="", file="settings from a TOML file, or a run's config.json"):
    """What configures a run; ``of``: whose the settings are, ``file``: what --config reads."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a model's name, or file.py:name")
    parser.add_argument("task", metavar="TASK", nargs="?", help="a task's name, or file.py:name")
    add_set(parser, of)
    parser.add_argument("--config", metavar="FILE", help=file)
    parser.add_argument("--device", choices=("cpu", "gpu"), help="cpu without it")


def add_set(parser, of=""):
    """The option --set."""
    told = f"a setting{of}; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=told)


def add_previous(parser, when=""):
    """The option --previous; ``when``: what it goes with."""
    told = f"{when}skip a damaged checkpoint for the one before"
    parser.add_argument("--previous", action="store_true", help=told)


def configured(args, resumed=None):
    """The Configuration that the arguments describe; those of the run ``resumed`` where they say nothing."""
    from ..training import configure, read_config
    from ..training.fitting import try_out

    with settings_in_words(), run_in_words():
        file = args.config
        if resumed is not None and file is None and not (args.model or args.task):
            file = read_config(resumed)
        found = configure(
            args.model, args.task, file=file, wishes=args.set, seed=args.seed, device=args.device
        )
        try_out(found)
        return found


def default_directory(configuration):
    names = [configuration.names[part].rpartition(":")[2] for part in ("model", "task")]
    return Path("runs") / f"{names[0]}-{names[1]}-{configuration.settings.seed}"


def read_run(directory):
    """(Configuration, what config.json holds) of the run in ``directory``."""
    from ..training import configure, read_config

    with settings_in_words(), run_in_words():
        config = read_config(directory)
        return configure(file=config), config


def parameters_of(configuration, directory, previous=False):
    """(Params, step) that the run's settings select in its newest checkpoint; Misuse if it has none."""
    from ..training.run_directory import newest_fitting
    from ..training.snapshot import read_parameters

    with run_in_words():
        found = newest_fitting(directory, previous)
    if found is None:
        raise verb.Misuse(
            f"{directory} has no checkpoint yet; go on with: scratchattn train --resume {directory}"
        )
    import numpy as np

    params = configuration.model.init(np.random.default_rng(0))
    read_parameters(params, found.arrays, configuration.settings.select)
    return params, found.step


@contextlib.contextmanager
def settings_in_words():
    """What is wrong with settings becomes a message and exit status 2."""
    try:
        yield
    except (ValueError, TypeError) as wrong:
        raise verb.Misuse(str(wrong)) from wrong


@contextlib.contextmanager
def run_in_words():
    """What is wrong with a run's directory becomes a message and exit status 2, a training that failed 1,
    be it by a file of the user's own."""
    from ..training import Damaged, NotFinite, RunRefused, user_file

    try:
        yield
    except (Damaged, RunRefused) as wrong:
        raise verb.Misuse(str(wrong)) from wrong
    except NotFinite as wrong:
        raise verb.Failed(str(wrong)) from wrong
    except OSError:
        raise
    except Exception as wrong:
        if not user_file.place_in(wrong):
            raise
        raise verb.Failed(user_file.said(wrong)) from wrong


@contextlib.contextmanager
def computing_on(device):
    """New arrays are born on ``device``, "cpu" or "gpu"; yields the library.

    Misuse where it cannot compute.
    """
    from .. import backend
    from .doctor import gpu

    if device == "gpu" and (problem := gpu()["problem"]):
        raise verb.Misuse(f"no GPU computes here: {problem}; `scratchattn doctor` says more; or --device cpu")
    library = "cupy" if device == "gpu" else "numpy"
    with backend.use(library):
        yield library


def report_of(directory, previous=False):
    """The Report on the run in ``directory``, finished or not."""
    from ..report import run_report
    from ..training.checkpoint import steps
    from ..training.run_directory import events_of

    configuration, config = read_run(directory)
    kept = steps(directory)
    params = parameters_of(configuration, directory, previous)[0] if kept else None
    return run_report(
        model=configuration.model, params=params, task=configuration.task, settings=configuration.settings,
        events=events_of(directory), config=config,
        checkpoints=[{"step": step, "file": path.name, "bytes": path.stat().st_size} for step, path in kept],
    )  # fmt: skip


def drawing_of(directory, previous=False, colour=False):
    """What the model of a run does, as text for the terminal; "" where no drawing of it is known."""
    from ..report.pictures import in_terminal
    from ..report.run import example_rng

    configuration, _ = read_run(directory)
    params, _ = parameters_of(configuration, directory, previous)
    rng = example_rng(configuration.settings)
    return in_terminal(configuration.model, params, configuration.task, rng, colour=colour)


def write_report(directory, out=None, previous=False):
    """Draw the report of the run in ``directory``; returns the path of the page and the Report."""
    from ..whole_file import write_whole

    with run_in_words():
        report = report_of(directory, previous)
    path = Path(out or Path(directory) / "report.html")
    write_whole(path, report.page().encode())
    return path, report
