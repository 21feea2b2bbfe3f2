"""Many runs: all combinations of some settings, with many seeds; what is finished is never repeated.

    runs = plan("sweeps/rates", "ntm", "copy", over={"learning_rate": [1e-4, 1e-3]}, seeds=range(10))
    rows = sweep(runs)

Every run lives in ``runs/`` of the sweep's directory, under the first twelve letters of the digest of its
settings.  So a sweep that was killed goes on when it is asked for again, and a larger one finds what a
smaller one has done.  In a configuration file the same is

    [sweep]
    learning_rate = [1e-4, 1e-3]
    seeds = "0-9"
"""

import itertools
import os
import signal
import statistics
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .archive import Damaged
from .configuration import PARTS, Configuration, configure, read_tables
from .fitting import try_out
from .interruption import Interrupted
from .log import last_metrics
from .mpi import rank_and_size
from .run_directory import RunRefused, finished, holds_run
from .workers import ENGINES, STOPPED

SEEDS = "seeds must be numbers and spans like 0-9 or 0,3,5-7"


@dataclass(frozen=True)
class Run:
    """One of the runs of a sweep."""

    configuration: Configuration
    directory: Path
    varied: dict[str, Any]
    """The settings that the sweep goes over, and their values in this run."""


def plan(directory, model=None, task=None, *, over=None, seeds=None, file=None, wishes=(), device=None):
    """A list of Run: every combination of ``over`` with every one of ``seeds``, each once.

    ``over``: name of a setting -> list of values, texts or numbers; with those of the file's table [sweep].
    ``seeds``: ints, or a text like "0-9" or "0,3,5-7"; the seed of the settings if None.  The rest is as for
    ``configure``.  ValueError or TypeError, naming the setting, for what does not fit; RunRefused if the
    directory is that of one run.
    """
    directory = Path(directory)
    if holds_run(directory):
        raise RunRefused(f"{directory} is the directory of one run; name another one for a sweep")
    table = _table(file)
    axes = {name: values for name, values in table.items() if name != "seeds"} | dict(over or {})
    seeds = _seeds(table.get("seeds") if seeds is None else seeds)
    for name, values in axes.items():
        if not isinstance(values, (list, tuple, range)) or not len(values):
            raise ValueError(f"sweep: {name} must have a list of values to go over, got {values!r}")
    twice = {_bare(name) for name in axes} & {_bare(wish.partition("=")[0].strip()) for wish in wishes}
    if seeds != [None] and "seed" in map(_bare, axes):
        twice.add("seed")
    if twice:
        raise ValueError(f"sweep: {min(twice)} is given twice, once as what the sweep goes over")
    found, fitting = {}, set()
    for values in itertools.product(*axes.values()):
        chosen = [f"{name}={_text(value)}" for name, value in zip(axes, values)]
        for seed in seeds:
            made = configure(model, task, file=file, wishes=[*wishes, *chosen], seed=seed, device=device)
            if (tried := repr((made.model, made.task, made.settings.curriculum))) not in fitting:
                try_out(made)
                fitting.add(tried)
            place = directory / "runs" / made.digest()[:12]
            found[place] = Run(made, place, {name: _value(made, name) for name in axes})
    return list(found.values())


def sweep(runs, *, engine=None, jobs=None, watch=None):
    """Bring all ``runs`` to their end; a list of their rows, in their order.

    ``engine``: "processes", "joblib" (its backend is the caller's choice: Dask, Ray), "mpi", or None: MPI
    where this is a job of several processes started by ``python -m mpi4py``.  ``jobs``: runs at a time, of
    the first two; None is one a core, on a GPU one.  ``watch(row, rows)`` is told of each run that has ended.

    A row is a dict: settings, seed, state (done, failed, stopped, waiting), metrics, steps, seconds, reason,
    run.  In an MPI job only the first process gets them, the others None.  Interrupted, after all that ran
    have saved, for Ctrl-C and what a batch system sends.
    """
    engine = engine or ("mpi" if rank_and_size()[1] > 1 else "processes")
    if engine not in ENGINES:
        raise ValueError(f"sweep: engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if jobs is not None and (type(jobs) is not int or jobs < 1):
        raise ValueError(f"sweep: jobs must be at least 1, got {jobs!r}")
    if jobs is None and engine == "processes":
        jobs = 1 if any(run.configuration.device == "gpu" for run in runs) else _cores()
    rows = [row(run) for run in runs]
    todo = [n for n, each in enumerate(rows) if each["state"] != "done"]
    work = [(str(runs[n].directory.absolute()), runs[n].configuration.as_dict()) for n in todo]
    with _ending_as_an_interrupt() as ending:
        try:
            with closing(ENGINES[engine](work, jobs, ending)) as ended:
                for number, why in ended:
                    rows[todo[number]] = row(runs[todo[number]], why)
                    if watch is not None:
                        watch(rows[todo[number]], rows)
            if ending.is_set():  # the exception was lost where Python can only ignore one
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            done = sum(row(run)["state"] == "done" for run in runs)
            raise Interrupted(
                f"stopped with {done} of {len(runs)} runs finished; the same command goes on"
            ) from None
    return rows if engine != "mpi" or rank_and_size()[0] == 0 else None


def row(run, why=None):
    """What is known of ``run`` by what lies in its directory; ``why``: the reason that it has not ended."""
    try:
        events = finished(run.directory)
    except (Damaged, OSError) as wrong:
        events, why = None, why or str(wrong)
    found = {
        "settings": run.varied, "seed": run.configuration.settings.seed,
        "state": "done", "metrics": {}, "steps": None, "seconds": None, "reason": None,
        "run": str(run.directory),
    }  # fmt: skip
    if events is not None:
        last = events[-1]
        return found | {
            "metrics": last_metrics(events), "steps": last["step"], "seconds": last["seconds"],
            "sha256": last["sha256"],
        }  # fmt: skip
    state = "waiting" if why is None else "stopped" if why == STOPPED else "failed"
    return found | {"state": state, "reason": why}


def summary(runs, rows):
    """One dict for every combination: settings, and over its seeds runs, failed, metric, median, worst."""
    groups: dict = {}
    for run, each in zip(runs, rows, strict=True):
        groups.setdefault(repr(run.varied), []).append((run, each))
    found = []
    for members in groups.values():
        task = members[0][0].configuration.task
        values = [each["metrics"][task.metric] for _, each in members if each["state"] == "done"]
        values = [value for value in values if value is not None]
        worst = min if getattr(task, "larger_is_better", False) else max
        found.append({
            "settings": members[0][0].varied, "runs": len(members), "metric": task.metric,
            "failed": sum(each["state"] == "failed" for _, each in members),
            "median": statistics.median(values) if values else None,
            "worst": worst(values) if values else None,
        })  # fmt: skip
    return found


def _table(file):
    """The table [sweep] of ``file``, whose tables inside, [sweep.model], become names with a dot."""
    if file is None:
        return {}
    found = (file if isinstance(file, dict) else read_tables(file)).get("sweep", {})
    if not isinstance(found, dict):
        raise ValueError(f"{file}: sweep must be a table of settings, [sweep], got {found!r}")
    flat = {}
    for name, value in found.items():
        if isinstance(value, dict) and name in PARTS:
            flat |= {f"{name}.{inner}": values for inner, values in value.items()}
        else:
            flat[name] = value
    return flat


def _seeds(given):
    if given is None:
        return [None]
    if isinstance(given, str):
        given = list(itertools.chain(*map(_span, given.split(","))))
    found = [given] if type(given) is int else list(given)
    if not found or any(type(seed) is not int or seed < 0 for seed in found):
        raise ValueError(f"sweep: {SEEDS}, got {given!r}")
    return found


def _span(text):
    first, dash, last = text.strip().partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"sweep: {SEEDS}, got {text!r}")
    return range(int(first), int(last if dash else first) + 1)


def _bare(name):
    part, dot, inner = name.partition(".")
    return inner if dot and part in PARTS else name


def _text(value):
    """``value``, of TOML or Python, as --set takes it."""
    return ",".join(map(_text, value)) if isinstance(value, (list, tuple)) else str(value)


def _value(configuration, name):
    """The setting ``name``, which may name its part, of ``configuration``."""
    part, dot, inner = name.partition(".")
    parts = {"model": configuration.model, "task": configuration.task, "training": configuration.settings}
    if dot and part in parts:
        return getattr(parts[part], inner)
    return next(getattr(each, name) for each in parts.values() if hasattr(each, name))


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _ending_as_an_interrupt():
    """Yield an event that Ctrl-C sets, and what a batch system sends; each is a KeyboardInterrupt too."""
    ending = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return

    def note(number, frame):
        ending.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
