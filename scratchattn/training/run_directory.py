"""A run's directory: who may write into it, its config.json, and what a failure leaves there."""

import dataclasses
import json
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .. import backend
from ..whole_file import write_whole
from .archive import read_archive, write_archive
from .checkpoint import ROOM, newest, steps
from .configuration import differences, digest_of_parts
from .log import read_log
from .snapshot import read_parameters, written_parameters
from .step import derive, leaves_of, refilled

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


class RunRefused(ValueError):
    """A directory holds a run, or another one, or none; the message says what to do."""


CONFIG, LOG = "config.json", "log.jsonl"


def claim(directory):
    """Make ``directory``; RunRefused if it holds a run already."""
    if holds_run(directory):
        raise RunRefused(
            f"{directory} holds a run already; name another directory, or go on with it by "
            f"--resume {directory}"
        )
    directory.mkdir(parents=True, exist_ok=True)


def holds_run(directory):
    """Whether a run was begun in ``directory``."""
    return any((Path(directory) / name).exists() for name in (CONFIG, LOG, ROOM))


@contextmanager
def locked(directory):
    """Nobody else trains in ``directory`` meanwhile; RunRefused if somebody does.

    The lock is the system's and goes with the process, however that ends; where there is none, no lock.
    """
    if Path(directory).exists() and not Path(directory).is_dir():
        raise RunRefused(f"{directory} is no directory; name another one")
    if fcntl is None:
        yield
        return
    Path(directory).mkdir(parents=True, exist_ok=True)
    folder = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise RunRefused(f"another process trains in {directory}; wait for it, or end it") from None
    try:
        yield
    finally:
        os.close(folder)


def plain_config(model, task, settings):
    """What config.json holds of a run that was made from objects, not from names."""
    parts = {"model": model, "task": task, "training": settings}
    found = {part: dataclasses.asdict(made) for part, made in parts.items()}
    for part in ("model", "task"):
        found[part] = {"name": type(parts[part]).__name__, **found[part]}
    return found


def write_config(directory, config):
    """Write config.json, whole or not at all."""
    write_whole(Path(directory) / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def events_of(directory):
    """What the run in ``directory`` has logged; ``archive.Damaged`` for a log that is."""
    path = Path(directory) / LOG
    return read_log(path) if path.exists() else []


def finished(directory):
    """The events of the run in ``directory`` if it has come to its end, otherwise None.

    ``archive.Damaged`` for a log that is.  Its last line is not enough: the checkpoint comes after it.
    """
    events = events_of(directory)
    if not events or events[-1]["event"] != "done":
        return None
    return events if events[-1]["step"] in dict(steps(directory)) else None


def read_config(directory):
    """The configuration of the run in ``directory``; RunRefused if it holds none."""
    path = Path(directory) / CONFIG
    if not Path(directory).is_dir():
        raise RunRefused(f"there is no directory {directory}; name the one that train printed")
    if not path.is_file():
        raise RunRefused(
            f"{directory} is not the directory of a run: it has no {CONFIG}; name the one that train printed"
        )
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"tables of settings expected, got {type(found).__name__}")
    except (ValueError, OSError) as wrong:
        told = getattr(wrong, "strerror", None) or wrong
        raise RunRefused(f"{path} cannot be read: {told}; restore it from a copy") from None
    return found


def newest_fitting(directory, skip_damaged=False):
    """``checkpoint.newest``; RunRefused unless it was made with the settings that config.json holds now."""
    found = newest(directory, skip_damaged=skip_damaged)
    if found is not None and found.facts.get("settings") != digest_of_parts(read_config(directory)):
        raise RunRefused(
            f"{found.path} was made with other settings than {Path(directory) / CONFIG} has now; "
            "undo what was changed there, or begin another run"
        )
    return found


def refuse_other(directory, config):
    """RunRefused unless the run in ``directory`` has the settings of ``config``."""
    other = differences(read_config(directory), json.loads(json.dumps(config)))
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise RunRefused(
            f"{directory} was begun with other settings: {'; '.join(other[:3])}{more}; leave them out, or "
            "begin another run"
        )


def batches_and_states(own, batches, states):
    """name -> array of what the shards numbered ``own`` are computed from, as ``replay`` reads it."""
    arrays: dict = {}
    for k, batch, state in zip(own, batches, states, strict=True):
        arrays |= dict(leaves_of(batch, f"batch/{k}")) | dict(leaves_of(state, f"state/{k}"))
    return arrays


def keep_failure(directory, params, parts, step, shards):
    """Write what the step needs that could not be made; returns the file's path.

    ``parts``: of each process of the group, what ``batches_and_states`` gave.
    """
    arrays = written_parameters(params)
    for part in parts:
        arrays |= part
    return write_archive(Path(directory) / "failure.npz", arrays, {"step": step, "shards": shards})


def replay(directory, model, task, settings):
    """Make the step again that ended the run in ``directory``: a list, for each shard, of loss and gradient.

    What is not finite comes out as it did; nothing is changed.
    """
    arrays, facts = read_archive(Path(directory) / "failure.npz")
    params = model.init(np.random.default_rng(0))
    read_parameters(params, arrays)
    found = []
    for k in range(facts["shards"]):
        like = task.batch(np.random.default_rng(0), 1, dtype=model.dtype)
        batch = type(like)(*[_part(arrays, f"batch/{k}/{name}") for name in like._fields])
        state = None
        if any(name.startswith(f"state/{k}/") for name in arrays):
            state = refilled(model.initial_state(params, batch.size), arrays, f"state/{k}")
        with np.errstate(all="ignore"):
            place = facts["step"] - 1, k
            loss, _, gradient, _ = derive(model, task, params, batch, state, settings, place)
        found.append((loss, gradient))
    return found


def _part(arrays, name):
    return backend.asarray(arrays[name]) if name in arrays else None
