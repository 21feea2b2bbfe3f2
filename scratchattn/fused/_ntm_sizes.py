"""The sizes of one call of ``fused/ntm.py``, and where each number of a head lies."""

from typing import NamedTuple

from ..nn.ntm_cell import head_sizes
from . import _layer as layer
from . import _stack as stack
from ._controller import side_by_side


class Sizes(NamedTuple):
    """Every size of one call; hashable, so that it is the key of a lease."""

    steps: int
    batch: int
    inputs: int
    units: int
    width: int
    rows: int
    reads: int
    writes: int
    shifts: int
    outputs: int
    layers: int  # LSTMs of ``units`` each; 0: one tanh layer
    recurrent = property(lambda self: self.layers > 0)
    clip_state = 0.0
    input_skips = False  # of a stack: the layers above the first see the one below
    shown = property(lambda self: self.units)  # hidden units of the highest layer
    controller = property(lambda self: stack if self.layers > 1 else layer)
    heads = property(lambda self: self.reads + self.writes)
    features = property(lambda self: self.reads * self.width)  # of all reads together
    gates = property(lambda self: 4 * self.units if self.recurrent else self.units)

    def columns(self):
        """Where each head parameter lies in the head weights."""
        sizes = head_sizes(self.width, self.reads, self.writes, self.shifts)
        return side_by_side(sizes._asdict())

    def emitted(self):
        """The same as the fused controller emits them: gate negated, gate, erase negated, side by side."""
        sizes = head_sizes(self.width, self.reads, self.writes, self.shifts)._asdict()
        sizes["complement"] = sizes["gate"]
        order = "key gate complement erase write_vector strength sharpness shift".split()
        found = side_by_side({name: sizes[name] for name in order})
        found["rising"] = slice(found["gate"].start, found["erase"].stop)
        found["softplus"] = slice(found["strength"].start, found["sharpness"].stop)
        return found

    def squashed(self):
        """Where what lies between 0 and 1, and the write vectors, stand once squashed, and spare columns."""
        heads, written = self.heads, self.writes * self.width
        found = side_by_side(
            {
                "gate": heads,
                "complement": heads,
                "erase": written,
                "write_vector": written,
                "spare": 2 * written,
            }
        )
        found["rising"] = slice(0, found["erase"].stop)
        return found


def sizes_of(who, x, state, weights):
    """The Sizes of a call of the op ``who``; ValueError where they do not fit each other."""
    if x.ndim != 3 or state.reads.ndim != 3 or state.memory.ndim != 3:
        raise ValueError(
            f"{who}: x must have the axes (t,b,i) and no others before them, got {tuple(x.shape)}"
        )
    (t, b, i), (_, r, w), (_, k, n) = x.shape, state.reads.shape, state.weightings.shape
    (h, parameters), layers = weights.head_weights.shape, stack.layers_with(weights.hidden_weights)
    if not (r >= 1 and k > r and n >= 1):
        raise ValueError(
            f"{who}: at least one read head, one write head and one row expected, got {r}, {k - r} and {n}"
        )
    spare = parameters - sum(head_sizes(w, r, k - r, 0))
    if spare < k or spare % k or spare // k % 2 == 0:
        raise ValueError(
            f"{who}: head_weights must have columns for {r} read and {k - r} write heads of width {w} and an "
            f"odd number of shifts each, got {parameters}"
        )
    for name, rows, expected in (
        ("input_weights", weights.input_weights.shape[0], i + r * w),
        ("output_weights", weights.output_weights.shape[0], r * w + h),
    ):
        if rows != expected:
            raise ValueError(f"{who}: {name} must have {expected} rows, got {rows}")
    return Sizes(t, b, i, h, w, n, r, k - r, spare // k, weights.output_bias.shape[0], layers)
