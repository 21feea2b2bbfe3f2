"""The sizes of one call of ``fused/dnc.py``, and where each number of the interface lies."""

from math import prod
from typing import NamedTuple

from ..nn.dnc_interface import interface_shapes


class Sizes(NamedTuple):
    """Every size of one call; hashable, so that it is the key of a lease."""

    steps: int
    batch: int
    inputs: int
    units: int
    width: int
    rows: int
    reads: int
    outputs: int
    recurrent: bool  # an LSTM, or one tanh layer
    heads = property(lambda self: self.reads + 1)  # the write head comes last
    features = property(lambda self: self.reads * self.width)  # of all reads together
    gates = property(lambda self: 4 * self.units if self.recurrent else self.units)

    def parts(self):
        """Where each part of the interface lies in its weights."""
        return _side_by_side(
            {n: prod(shape) for n, shape in interface_shapes(self.width, self.reads).items()}
        )

    def columns(self):
        """The same with all keys side by side, all strengths, read modes by kind: see ``in_order``."""
        r, w = self.reads, self.width
        rest = {"erase": w, "write_vector": w, "free": r, "allocate": 1, "write": 1, "modes": 3 * r}
        found = _side_by_side({"keys": (r + 1) * w, "strength": r + 1, **rest})
        found["changes"] = slice(found["erase"].start, found["write_vector"].stop)
        return found

    def emitted(self):
        """The same as the fused controller emits it: what is squashed alike side by side."""
        r, w = self.reads, self.width
        found = _side_by_side({"keys": (r + 1) * w, **self._rising(), "write_vector": w} | self._rest())
        found["rising"] = slice(found["free"].start, found["erase"].stop)
        return found

    def squashed(self):
        """Where what lies between 0 and 1 stands once squashed, and what changes a memory.

        Minus erase, write vector, ones, zeros: as two rows, [-e, a] and [1, 0].
        """
        w = self.width
        found = _side_by_side({**self._rising(), "minus_erase": w, "write_vector": w, "spare": 2 * w})
        found["rising"] = slice(0, found["erase"].stop)
        found["changing"] = slice(found["minus_erase"].start, found["spare"].stop)
        return found

    def reaches(self):
        """How far apart the factors are that each doubling brings together: 1, 2, 4, ... below rows."""
        return [2**level for level in range((self.rows - 1).bit_length())]

    def pad(self):
        """How many ones stand before the factors, so that every doubling finds something to its left."""
        return max(self.reaches(), default=0)

    def _rising(self):
        return {"free": self.reads, "allocate": 1, "alike": 1, "write": 1, "erase": self.width}

    def _rest(self):
        return {"strength": self.reads + 1, "modes": 3 * self.reads}


def sizes_of(x, state, weights):
    """The Sizes of a call; ValueError where they do not fit each other."""
    if x.ndim != 3 or state.reads.ndim != 3 or state.memory.ndim != 3:
        raise ValueError(f"dnc: x must have the axes (t,b,i) and no others before them, got {tuple(x.shape)}")
    (t, b, i), (_, n, w), (_, r, _) = x.shape, state.memory.shape, state.reads.shape
    (h, columns), writers = weights.interface_weights.shape, state.link.shape[1]
    if writers != 1 or r < 1 or n < 1:
        raise ValueError(
            f"dnc: one write head, at least one read head and one row expected, got {writers}, {r} and {n}"
        )
    expected = sum(map(prod, interface_shapes(w, r).values()))
    if columns != expected:
        raise ValueError(f"dnc: interface_weights must have {expected} columns, got {columns}")
    for name, rows, expected in (
        ("input_weights", weights.input_weights.shape[0], i + r * w),
        ("read_output_weights", weights.read_output_weights.shape[0], r * w),
    ):
        if rows != expected:
            raise ValueError(f"dnc: {name} must have {expected} rows, got {rows}")
    return Sizes(t, b, i, h, w, n, r, weights.output_weights.shape[1], weights.hidden_weights is not None)


def _side_by_side(sizes):
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = slice(start, start + size)
        start += size
    return found
