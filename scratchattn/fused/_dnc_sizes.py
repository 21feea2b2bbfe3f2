"""The sizes of one call of ``fused/dnc.py``, and where each number of the interface lies."""

from math import prod
from typing import NamedTuple

from ..nn.dnc_convention import DNCConvention
from ..nn.dnc_interface import interface_shapes
from . import _layer as layer
from . import _stack as stack
from ._controller import side_by_side

_RUNS = {
    "keys": ("read_keys", "write_keys"),
    "strength": ("read_strengths", "write_strengths"),
    "sharpness": ("backward_sharpness", "forward_sharpness"),
    "erase": ("erase", "erase"),
    "write_vector": ("write_vectors", "write_vectors"),
    "changes": ("erase", "write_vectors"),
    "free": ("free_gates", "free_gates"),
    "allocate": ("allocation_gates", "allocation_gates"),
    "write": ("write_gates", "write_gates"),
    "masks": ("read_masks", "write_masks"),
    "modes": ("backward", "forward"),
}


class Sizes(NamedTuple):
    """Every size of one call, and its convention; hashable, so that it is the key of a lease."""

    steps: int
    batch: int
    inputs: int
    units: int
    width: int
    rows: int
    reads: int
    writers: int
    outputs: int
    layers: int  # LSTMs of ``units`` each; 0: one tanh layer
    convention: DNCConvention
    recurrent = property(lambda self: self.layers > 0)
    input_skips = property(lambda self: self.convention.input_skips)  # of a stack
    clip_state = property(lambda self: self.convention.clip_state)
    keeps = property(lambda self: self.convention.keep_simulated_usage)
    frozen = property(lambda self: self.convention.controller_reads == "first")
    controller = property(lambda self: stack if self.layers > 1 else layer)
    heads = property(lambda self: self.reads + self.writers)  # the write heads come last
    modes = property(lambda self: 1 + 2 * self.writers)  # of a read head
    features = property(lambda self: self.reads * self.width)  # of all reads together
    gates = property(lambda self: 4 * self.units if self.recurrent else self.units)

    @property
    def shown(self):
        """How many hidden units the interface and the outputs see: those of all layers, or of the highest."""
        layers = self.layers if self.convention.shown_layers == "all" else 1
        return max(layers, 1) * self.units

    @property
    def plain(self):
        """Whether the length of a row is the same to all heads, and a factor: see ``_dnc_content``."""
        chosen = self.convention
        return chosen.form == "smoothed" and chosen.strength == "oneplus" and not chosen.masked

    def parts(self):
        """Where each part of the interface lies in its weights."""
        shapes, order = self._shapes(), self.convention.interface_order
        return side_by_side({name: prod(shapes[name]) for name in order if name in shapes})

    def turned_parts(self):
        """The shapes, heads before numbers, of those parts in which the heads run fastest."""
        fastest = self.convention.heads_fastest
        return {n: shape for n, shape in self._shapes().items() if n in fastest and len(shape) > 1}

    def columns(self):
        """The same with what is treated alike side by side, and the read modes by kind: see ``in_order``.

        Of no width is what this convention does not have.
        """
        r, k, w, masked, sharpened = self.reads, self.writers, self.width, self._masked(), self._sharpened()
        return side_by_side(
            {
                "read_keys": r * w, "write_keys": k * w, "read_strengths": r, "write_strengths": k,
                "backward_sharpness": sharpened, "forward_sharpness": sharpened, "erase": k * w,
                "write_vectors": k * w, "free_gates": r, "allocation_gates": k, "write_gates": k,
                "read_masks": r * masked, "write_masks": k * masked, "backward": k * r, "content": r,
                "forward": k * r,
            }
        )  # fmt: skip

    def blocks(self):
        """Runs of those columns."""
        found = self.columns()
        return {name: slice(found[first].start, found[last].stop) for name, (first, last) in _RUNS.items()}

    def emitted(self):
        """The same as the fused controller emits it: what is squashed alike side by side."""
        r, k, w = self.reads, self.writers, self.width
        found = side_by_side(
            {
                "keys": (r + k) * w, "write_vector": k * w, **self._rising(), "strength": r + k,
                "sharpness": 2 * self._sharpened(), "modes": self.modes * r,
            }
        )  # fmt: skip
        found["words"] = slice(0, found["write_vector"].stop)
        found["rising"] = slice(found["free"].start, found["masks"].stop)
        found["above"] = slice(found["strength"].start, found["sharpness"].stop)
        return found

    def squashed(self):
        """Where what lies between 0 and 1 stands once squashed, and the rows that change a memory."""
        rows = self.writers + 1
        found = side_by_side({**self._rising(), "changing": rows * rows * self.width})
        found["rising"] = slice(0, found["masks"].stop)
        return found

    def of_heads(self, array, axis=1):
        """``array``, without its axis of write heads where there is one: NumPy has fewer to walk along."""
        return array if self.writers > 1 else array[(slice(None),) * axis + (0,)]

    def reaches(self):
        """How far apart the factors are that each doubling brings together: 1, 2, 4, ... below rows."""
        return [2**level for level in range((self.rows - 1).bit_length())]

    def pad(self):
        """How many ones stand before the factors, so that every doubling finds something to its left."""
        return max(self.reaches(), default=0)

    def _rising(self):
        r, k = self.reads, self.writers
        gates = {"free": r, "not_free": r, "allocate": k, "alike": k, "write": k}
        return gates | {"erase": k * self.width, "masks": self.heads * self._masked()}

    def _shapes(self):
        chosen = {name: vars(self.convention)[name] for name in ("masked", "sharpen_links")}
        return interface_shapes(self.width, self.reads, self.writers, **chosen)

    def _masked(self):
        return self.width * self.convention.masked

    def _sharpened(self):
        return self.writers * self.reads * self.convention.sharpen_links


def sizes_of(who, x, state, weights, convention):
    """The Sizes of a call of the op ``who``; ValueError where they do not fit each other."""
    if x.ndim != 3 or state.reads.ndim != 3 or state.memory.ndim != 3:
        raise ValueError(
            f"{who}: x must have the axes (t,b,i) and no others before them, got {tuple(x.shape)}"
        )
    (t, b, i), (_, n, w), (_, r, _) = x.shape, state.memory.shape, state.reads.shape
    columns, writers = weights.interface_weights.shape[1], state.link.shape[1]
    if writers < 1 or r < 1 or n < 1:
        raise ValueError(
            f"{who}: at least one write head, one read head and one row expected, got {writers}, {r} and {n}"
        )
    units, outputs = weights.bias.shape[-1], weights.output_weights.shape[1]
    layers = stack.layers_with(weights.hidden_weights)
    units = units // 4 if layers else units
    sizes = Sizes(t, b, i, units, w, n, r, writers, outputs, layers, convention)
    for name, rows, expected in (
        ("input_weights", weights.input_weights.shape[-2], i + r * w),
        ("read_output_weights", weights.read_output_weights.shape[0], r * w),
        ("interface_weights", weights.interface_weights.shape[0], sizes.shown),
    ):
        if rows != expected:
            raise ValueError(f"{who}: {name} must have {expected} rows, got {rows}")
    seeing = layers if sizes.input_skips else 1  # of a stack, how many layers see x and the reads
    if layers > 1 and weights.input_weights.shape[0] != seeing:
        raise ValueError(
            f"{who}: input_weights must be of {seeing} layers, got {weights.input_weights.shape[0]}"
        )
    expected = sizes.blocks()["modes"].stop
    if columns != expected:
        raise ValueError(f"{who}: interface_weights must have {expected} columns, got {columns}")
    return sizes
