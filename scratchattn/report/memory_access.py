"""Where a Neural Turing Machine looks while it copies, step by step, and how straight it walks.

A machine that has learned to copy writes each vector into the next row and later reads the rows in the
same order: drawn over time, both are diagonals.  ``access`` records a sequence; ``diagonality`` says how
true that is, in a number that a flat, a standing or a jumping weighting does not reach by accident.
"""

from typing import Any, NamedTuple

import numpy as np

from ..nn.ntm_heads import by_kind
from ..ops.scalar_shift import scalar_shift
from .recording import record


class Access(NamedTuple):
    """One sequence of ``t`` steps through the reference cell of an NTM or a DNC, on the host.

    The first fields are those of a ``Recording``.
    """

    inputs: Any  # (t, i)
    targets: Any  # (t, o)
    asked: Any  # (t) booleans: at which steps the outputs count
    outputs: Any  # (t, o), probabilities
    length: Any  # vectors: the first steps are one of each; None where the task has no lengths
    metrics: Any  # name -> number, as the task counts
    seed: int
    story: Any  # the ``Story`` that is told, where one is
    read_weightings: Any  # (t, r, n)
    write_weightings: Any  # (t, h, n); of heads that read and write, the same
    reads: Any  # (t, r, w), what was read
    write_vectors: Any  # (t, h, w), what was added to the rows that were written
    memory: Any  # (t, n, w), after each step
    told: Any  # NTMHeads, or DNCHeads: what only this kind of machine has


class NTMHeads(NamedTuple):
    """What the controller told the ``k`` heads, read heads first."""

    gate: Any  # (t, k), 1: by content, 0: from where the head was
    shift: Any  # (t, k, s), weights of the offsets, the most negative first
    strength: Any  # (t, k)
    sharpness: Any  # (t, k)


class Diagonality(NamedTuple):
    """How far the heads walk by one row a step; see ``diagonality``."""

    score: float  # steps times weight, 0 to 1
    steps: float  # fraction of the steps of both phases in which the winner moved by ``direction``
    weight: float  # mean weight of the winner, in both phases
    direction: int  # +1 or -1
    write_head: int
    read_head: int
    write_steps: float  # the same fraction for writing alone
    read_steps: float  # and for reading
    same_rows: float  # fraction of vectors that are read where they were written


def access(model, params, task, length=None, seed=0):
    """Run an NTM on one sequence of ``length`` vectors of ``task``, drawn from ``seed`` -> Access.

    Without ``length`` the sequence is as long as the task draws it.  What is not finite is recorded as it is.
    """

    def look(t, before, after, x):
        head = model.told(params, before, x)
        read, written = by_kind(after.weightings, model.read_heads, model.cell)
        heads = {name: getattr(head, name) for name in NTMHeads._fields}
        reading = {"read_weightings": read, "reads": after.reads}
        writing = {"write_weightings": written, "write_vectors": head.write_vector}
        return heads | reading | writing | {"memory": after.memory}

    recording, kept = record(model, params, task, length, seed, look)
    kept["shift"] = _rising(kept["shift"], model.cell, model.rows)
    return accessed(recording, kept, NTMHeads)


def accessed(recording, kept, heads):
    """The Access of what ``record`` returned; ``heads``: the kind of its ``told``."""
    own = {name: kept[name] for name in Access._fields if name in kept}
    return Access(
        *recording, **own, told=heads(**{name: kept[name] for name in heads._fields if name in kept})
    )


def _rising(shift, convention, rows):
    """``shift`` (t, k, s), s odd, with the most negative offset first: see ``circular_shift``."""
    if convention.shift != "softmax":  # numbers (t, k): where each of them moves a focus on the middle row
        offsets = 3 if convention.shift == "bounded_number" else rows | 1
        middle = np.zeros((*shift.shape, offsets), shift.dtype)
        middle[..., offsets // 2] = 1
        return scalar_shift(middle, shift, sign=convention.shift_sign)
    if convention.layout == "plus_to_minus":
        return shift[..., ::-1]
    return np.roll(shift, shift.shape[-1] // 2, axis=-1) if convention.layout == "fft" else shift


def used_rows(access, threshold=0.05, ring=True):
    """The rows worth drawing: an integer vector, in the order of the memory, and the most weight elsewhere.

    Those on which any head ever puts more than ``threshold``; of a ``ring`` the shortest stretch of
    neighbours, over the end of the memory where need be, that holds them all.
    """
    heaviest = np.concatenate([access.write_weightings, access.read_weightings], axis=1).max(axis=(0, 1))
    size, used = len(heaviest), np.flatnonzero(heaviest > threshold)
    if len(used) == 0:
        return np.arange(size), 0.0
    if ring:
        gaps = np.diff(used, append=used[0] + size)  # from each used row to the next, round the ring
        widest = np.flatnonzero(gaps == gaps.max())[-1]  # the last: a stretch over the end only where need be
        start, count = used[(widest + 1) % len(used)], size - gaps[widest] + 1
        used = (start + np.arange(count)) % size
    outside = np.delete(heaviest, used)
    return used, float(outside.max(initial=0.0))


def crop_in_words(rows, elsewhere, size):
    """A sentence about which rows are drawn."""
    if len(rows) == size:
        return f"All {size} rows of the memory are shown."
    rest = f"on every other row no head ever puts more than {elsewhere:.2g}."
    if set(np.diff(rows) % size) <= {1}:
        wraps = ", over the end of the memory" if rows[0] > rows[-1] else ""
        return f"Rows {rows[0]} to {rows[-1]} of {size} are shown{wraps}; {rest}"
    return f"{len(rows)} of {size} rows are shown; {rest}"


def cropped(access, ring=True):
    """The rows worth drawing, as ``used_rows`` finds them, and a sentence about them."""
    rows, elsewhere = used_rows(access, ring=ring)
    return rows, crop_in_words(rows, elsewhere, access.write_weightings.shape[-1])


def diagonality(access):
    """How far writing (as vectors come) and reading (as they are asked for) step one row per step.

    The winner is the row with the most weight.  A step counts if the winner moves to the next row, or if
    it moves to the row before, whichever happens more often; one direction is taken for both phases,
    and the memory is a ring.  ``score`` is the fraction of steps that count times the mean weight of the
    winner: 1 for sharp diagonals, 0 for a weighting that stays or is the same everywhere.  Of several
    heads the pair with the best score speaks.  ValueError for fewer than 2 vectors, where nothing moves, or
    fewer than 3 rows, where next and before are one.
    """
    rows = access.write_weightings.shape[-1]
    if access.length < 2 or rows < 3:
        raise ValueError(
            f"diagonality: at least 2 vectors and 3 rows expected, got {access.length} and {rows}"
        )
    writing = access.write_weightings[: access.length]
    reading = access.read_weightings[np.asarray(access.asked, bool)]
    pairs = [
        _diagonality(writing[:, i], reading[:, j], i, j, direction)
        for i in range(writing.shape[1])
        for j in range(reading.shape[1])
        for direction in (1, -1)
    ]
    return max(pairs, key=lambda found: found.score)


def _diagonality(writing, reading, write_head, read_head, direction):
    written, read = writing.argmax(axis=1), reading.argmax(axis=1)
    write_moves = np.diff(written) % writing.shape[1] == direction % writing.shape[1]
    read_moves = np.diff(read) % reading.shape[1] == direction % reading.shape[1]
    steps = float(np.concatenate([write_moves, read_moves]).mean())
    weight = float(np.concatenate([writing.max(axis=1), reading.max(axis=1)]).mean())
    same = float((written == read).mean()) if len(written) == len(read) else 0.0
    return Diagonality(
        steps * weight, steps, weight, direction, write_head, read_head,
        float(write_moves.mean()), float(read_moves.mean()), same,
    )  # fmt: skip


def diagonality_in_words(found):
    """Sentences with the numbers of a Diagonality, and no more than they say."""
    way = "the next row" if found.direction == 1 else "the row before"
    return (
        f"Diagonality {found.score:.3f} of 1: the row with the most weight moves by exactly one, to {way}, "
        f"in {found.write_steps:.1%} of the writing steps and {found.read_steps:.1%} of the reading steps, "
        f"and holds {found.weight:.3f} of the weight on average. {found.same_rows:.1%} of the vectors are "
        "read where they were written."
    )
