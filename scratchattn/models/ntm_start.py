"""Where a sequence starts: memory, weightings, reads and controller of an NTM before the first step.

Each is learned, or the same numbers always.  The fixed random numbers are those of our own generator, or
of one that a call is given; of an implementation that draws them once per model, its numbers are given to
the call, as ``interop/ntm.py`` does.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401 (all learned); the
repositories that ``conventions/presets.py`` names.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .. import backend
from ..nn.linear import linear
from ..nn.ntm_cell import NTMState
from ..nn.ntm_heads import by_kind, head_parameters
from ..op import REGISTRY
from ..ops.exponential import sqrt, tanh
from ..ops.memory_read import memory_read
from ..ops.memory_write import memory_write
from ..ops.softmax import softmax
from ..refusals import check_settings
from .given import for_each, refuse_unfit, units_shape

TINY = 1e-6
_LEARNED = ("learned", "learned_tanh")
MEMORIES = ("constant", "zeros", "inverse_size", "uniform", *_LEARNED, "learned_unit_rows")
CHOICES = {
    "memory": MEMORIES,
    "weightings": ("learned", "learned_falling", "zeros", "constant", "one_hot", "simplex"),
    "reads": (*_LEARNED, "zeros", "constant", "normal"),
    "controller": (*_LEARNED, "zeros", "uniform"),
    "before": ("nothing", "read", "write_and_read"),
}


@dataclass(frozen=True)
class NTMStart:
    """Settings of a start.  ValueError for others."""

    memory: str = "constant"
    """"constant": 1e-6 everywhere; "zeros"; "inverse_size": 1 / (rows width) everywhere; "uniform": fixed
    numbers in +-1 / sqrt(rows + width); "learned", from 1e-6; "learned_tanh": tanh of what is learned;
    "learned_unit_rows": learned, each row divided by its length."""
    weightings: str = "learned"
    """"learned": softmax of logits, which start on row 0; "learned_falling": the same from logits that fall
    by one from row to row; "one_hot": row 0; "simplex": fixed random weightings.  "zeros" and "constant",
    1e-6 everywhere, are no weightings: the first step keeps little but the gate's part."""
    reads: str = "learned"
    """"learned"; "learned_tanh"; "zeros"; "constant": 1e-6; "normal": fixed numbers of deviation 0.01."""
    controller: str = "learned"
    """Hidden units, and cells of an LSTM: "learned"; "learned_tanh"; "zeros"; "uniform": fixed numbers in
    +-1 / sqrt(units)."""
    before: str = "nothing"
    """What heads do before the first step, where they start: "nothing"; "read", instead of ``reads``; or
    "write_and_read", told to by the hidden units that the controller starts from."""

    def __post_init__(self):
        check_settings(self, one_of=CHOICES)

    def shapes(self, ntm):
        """name -> shape of what is learned."""
        kinds = {"initial_reads": (self.reads, (ntm.read_heads, ntm.width))}
        if self.before != "nothing":
            kinds = {}
        kinds["initial_weightings"] = (self.weightings, (ntm.heads, ntm.rows))
        if ntm.controller == "lstm" or self.before == "write_and_read":
            kinds["initial_hidden"] = (self.controller, units_shape(ntm))
        if ntm.controller == "lstm":
            kinds["initial_cell"] = (self.controller, units_shape(ntm))
        kinds["initial_memory"] = (self.memory, (ntm.rows, ntm.width))
        return {name: shape for name, (kind, shape) in kinds.items() if kind.startswith("learned")}

    def values(self, ntm):
        """name -> array that what is learned starts out with, for all that is not zero."""
        values = {}
        if self.weightings == "learned":  # on row 0
            values["initial_weightings"] = np.zeros((ntm.heads, ntm.rows))
            values["initial_weightings"][:, 0] = 5.0 + np.log(ntm.rows)
        if self.weightings == "learned_falling":
            values["initial_weightings"] = np.tile(np.arange(ntm.rows, 0.0, -1.0), (ntm.heads, 1))
        if self.memory == "learned":
            values["initial_memory"] = fixed("constant", ntm.rows, ntm.width)
        if self.memory in ("learned_tanh", "learned_unit_rows"):
            values["initial_memory"] = fixed("uniform", ntm.rows, ntm.width)
        return values

    def state(self, ntm, params, batch, rng=None, **given):
        """The NTMState of ``batch`` sequences; they start alike.

        ``rng`` draws what is fixed random numbers anew.  ``given``: name -> array that stands for what the
        settings say, of one sequence: memory (n, w), reads (r, w), weightings (k, n), hidden and cell (h) or
        (l, h).  ValueError for another name or shape.
        """
        shapes = {
            "memory": (ntm.rows, ntm.width),
            "reads": (ntm.read_heads, ntm.width),
            "weightings": (ntm.heads, ntm.rows),
            "hidden": units_shape(ntm),
            "cell": units_shape(ntm),
        }
        refuse_unfit("NTMStart", given, shapes)

        def begun(name):
            return for_each(
                batch, given[name] if name in given else self._one(ntm, params, name, shapes[name], rng)
            )

        lstm, writes = ntm.controller == "lstm", self.before == "write_and_read"
        memory, weightings = begun("memory"), begun("weightings")
        hidden = begun("hidden") if lstm or writes else None
        reading, writing = by_kind(weightings, ntm.read_heads, ntm.cell)
        if writes:
            shown = hidden if ntm.layers == 1 else hidden[:, -1]
            raw = linear(shown, params["head_weights"], params["head_bias"])
            nothing_yet = NTMState(memory_read(reading, memory), memory, weightings)
            head = head_parameters(raw, nothing_yet, ntm.cell)
            memory = memory_write(memory, writing, head.erase, head.write_vector, order=ntm.cell.write_order)
        read = self.before != "nothing" and "reads" not in given
        reads = memory_read(reading, memory) if read else begun("reads")
        return NTMState(reads, memory, weightings, hidden if lstm else None, begun("cell") if lstm else None)

    def _one(self, ntm, params, name, shape, rng=None):
        """What one sequence starts with under ``name``, of ``shape``."""
        kind = self.controller if name in ("hidden", "cell") else getattr(self, name)
        if not kind.startswith("learned"):
            numbers = fixed(kind, *shape) if rng is None else _drawn(rng, kind, shape)
            return backend.asarray(numbers.astype(ntm.dtype))
        learned = params[f"initial_{name}"]
        if name == "weightings":
            return softmax(learned)
        if kind == "learned_unit_rows":
            return learned / sqrt(REGISTRY["sum"](learned * learned, axis=-1, keepdims=True))
        return tanh(learned) if kind == "learned_tanh" else learned


@cache
def fixed(kind, *shape):
    """The numbers that are the same for every model of these sizes; not to be written to."""
    return _drawn(np.random.default_rng(0), kind, shape)


def _drawn(rng, kind, shape):
    if kind in ("constant", "zeros", "inverse_size"):
        value = {"constant": TINY, "zeros": 0.0, "inverse_size": 1 / np.prod(shape)}[kind]
        return np.full(shape, value)
    if kind == "one_hot":
        return np.eye(1, shape[-1]).repeat(shape[0], axis=0)
    if kind == "normal":
        return 0.01 * rng.normal(size=shape)
    if kind == "simplex":
        return rng.dirichlet(np.ones(shape[1]), size=shape[0])
    spread = 1 / np.sqrt(np.sum(shape))
    return rng.uniform(-spread, spread, size=shape)
