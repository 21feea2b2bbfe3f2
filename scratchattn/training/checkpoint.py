"""Checkpoints of a run: one archive a step, of which the newest is always whole.

    save(run, 600, arrays, facts)       run/checkpoints/step-00000600.npz
    newest(run).arrays                  to go on from there
    prune(run, 3)                       all but the newest three are removed

A kill or a power cut during a save leaves the checkpoints that were there, and at most an unfinished file
under another name, which no function here takes for a checkpoint and the next save removes.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..whole_file import leftovers, make_directory
from .archive import Damaged, read_archive, write_archive

ROOM = "checkpoints"
NAME = re.compile(r"step-(\d{8,})\.npz")
KIND = "checkpoint"
ANOTHER = "start the run again in another directory"


@dataclass(frozen=True)
class Checkpoint:
    """What ``save`` was given, and where it lies.

    ``skipped``: why each newer one was passed over, a line each; only ``newest`` may pass over any.
    """

    step: int
    arrays: dict[str, np.ndarray]
    facts: dict
    path: Path
    skipped: tuple[str, ...] = ()


def save(directory, step, arrays, facts):
    """Write the checkpoint of ``step`` of the run in ``directory``; return its path.

    ``arrays``: name -> NumPy array of bool, int, float or complex.  ``facts``: a dict that JSON can hold,
    NaN and infinities included.  It is on the disk when this returns.  An OSError (no space, no
    permission) names the file; every checkpoint that was there is still there.
    """
    if type(step) is not int or step < 0:
        raise ValueError(f"save: step must be an int, at least 0, got {step!r}")
    room = Path(directory) / ROOM
    make_directory(room)
    for leftover in leftovers(room, "step-"):
        leftover.unlink(missing_ok=True)
    return write_archive(room / _name(step), arrays, {"kind": KIND, "step": step, "facts": facts})


def load(path):
    """The Checkpoint at ``path``; ``archive.Damaged`` if it is not whole or is none."""
    path = Path(path)
    arrays, facts = read_archive(path)
    if (
        facts.get("kind") != KIND
        or type(facts.get("step")) is not int
        or type(facts.get("facts")) is not dict
    ):
        raise Damaged(path, "it is an archive, but no checkpoint", "look where it comes from")
    if NAME.fullmatch(path.name) and path.name != _name(facts["step"]):
        raise Damaged(path, f"it holds step {facts['step']}", f"rename it to {_name(facts['step'])}")
    return Checkpoint(facts["step"], arrays, facts["facts"], path)


def steps(directory):
    """(step, path) of every checkpoint of the run in ``directory``, the oldest first; unfinished ones not."""
    room = Path(directory) / ROOM
    found = [(int(name[1]), path) for path in room.glob("step-*.npz") if (name := NAME.fullmatch(path.name))]
    return sorted(pair for pair in found if pair[1].name == _name(pair[0]))


def newest(directory, *, skip_damaged=False):
    """The newest Checkpoint of the run in ``directory``, or None if it has none.

    If that one is damaged: ``archive.Damaged`` that says how to use the one before it; or, with
    ``skip_damaged``, the newest that is whole, and in its ``skipped`` why the newer ones were passed over.
    """
    found, skipped = steps(directory)[::-1], []
    for i, (_, path) in enumerate(found):
        try:
            checkpoint = load(path)
        except Damaged as wrong:
            if not skip_damaged:
                before = (
                    f"--previous goes on from the one before it, step {found[i + 1][0]}"
                    if found[i + 1 :]
                    else ""
                )
                raise Damaged(path, wrong.what, before or f"there is none before it: {ANOTHER}") from wrong
            skipped.append(str(wrong))
        else:
            return Checkpoint(checkpoint.step, checkpoint.arrays, checkpoint.facts, path, tuple(skipped))
    if skipped:
        raise Damaged(Path(directory) / ROOM, f"all {len(skipped)} checkpoints are damaged", ANOTHER)
    return None


def prune(directory, keep, protected=()):
    """Remove all but the newest ``keep`` checkpoints, 0 keeps all, and those of the steps ``protected``.

    Returns the paths that are gone.  At least 2 are better kept: should the newest be damaged one day, there
    is one before it.
    """
    if type(keep) is not int or keep < 0:
        raise ValueError(f"prune: keep must be an int, at least 0, got {keep!r}")
    old = steps(directory)[:-keep] if keep else []
    gone = [path for step, path in old if step not in set(protected)]
    for path in gone:
        path.unlink(missing_ok=True)
    return gone


def _name(step):
    return f"step-{step:08d}.npz"
