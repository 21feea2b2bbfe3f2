"""What the verbs on runs share: settings on the command line, a run's directory read back."""

import contextlib
from pathlib import Path

from . import verb


def add_settings(parser):
    """The options that configure a run."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting; may be repeated"
    )
    parser.add_argument("--config", metavar="FILE", help="settings from a TOML file, or a run's config.json")
    parser.add_argument("--seed", type=verb.whole(0), help="of the parameters and the data; 0 without it")


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
    """(Configuration, events) of the run in ``directory``."""
    from ..training import configure, read_config, read_log

    with settings_in_words(), run_in_words():
        configuration = configure(file=read_config(directory))
        path = Path(directory) / "log.jsonl"
        return configuration, read_log(path) if path.exists() else []


def parameters_of(configuration, directory, previous=False):
    """(Params, step) of the run's newest checkpoint; Misuse if it has none."""
    from .. import backend
    from ..training.run_directory import newest_fitting

    with run_in_words():
        found = newest_fitting(directory, previous)
    if found is None:
        raise verb.Misuse(
            f"{directory} has no checkpoint yet; go on with: scratchattn train --resume {directory}"
        )
    import numpy as np

    params = configuration.model.init(np.random.default_rng(0))
    flat = found.arrays["best"] if configuration.settings.select == "best" else None
    with params.overwriting() as into:
        if flat is not None:
            into[...] = backend.asarray(flat)
        else:
            for name, value in params.items():
                value[...] = backend.asarray(found.arrays[f"parameters/{name}"])
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
    from ..training import read_config
    from ..training.checkpoint import steps

    configuration, events = read_run(directory)
    kept = steps(directory)
    params = parameters_of(configuration, directory, previous)[0] if kept else None
    return run_report(
        model=configuration.model, params=params, task=configuration.task, settings=configuration.settings,
        events=events, config=read_config(directory),
        checkpoints=[{"step": step, "file": path.name, "bytes": path.stat().st_size} for step, path in kept],
    )  # fmt: skip


def write_report(directory, out=None, previous=False):
    """Draw the report of the run in ``directory``; returns the path of the page and the Report."""
    from ..whole_file import write_whole

    with run_in_words():
        report = report_of(directory, previous)
    path = Path(out or Path(directory) / "report.html")
    write_whole(path, report.page().encode())
    return path, report
