"""Where a sequence starts: memory, weightings, reads and controller of an NTM before the first step.

Each is learned, or the same numbers always.  The fixed random numbers are those of our own generator: of
an implementation that draws them once per model, take its numbers and put them into the state.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401 (all learned); the
repositories that ``conventions/presets.py`` names.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .. import backend
from ..backend import array_module
from ..nn.ntm_cell import NTMState
from ..ops.axes import broadcast_to
from ..ops.exponential import tanh
from ..ops.softmax import softmax
from ..refusals import check_settings

TINY = 1e-6
MEMORIES = ("constant", "uniform", "learned", "learned_tanh")
_CHOICES = {
    "memory": MEMORIES,
    "weightings": ("learned", "zeros", "one_hot"),
    "reads": ("learned", "learned_tanh", "normal", "constant"),
    "controller": ("learned", "learned_tanh", "zeros"),
}


@dataclass(frozen=True)
class NTMStart:
    """Settings of a start.  ValueError for others."""

    memory: str = "constant"
    """"constant": 1e-6 everywhere; "uniform": fixed numbers in +-1 / sqrt(rows + width); "learned", from
    1e-6; "learned_tanh": tanh of what is learned."""
    weightings: str = "learned"
    """"learned": softmax of logits; "zeros", which is no weighting: the first step keeps the gate's part
    of it alone; "one_hot": row 0."""
    reads: str = "learned"
    """"learned"; "learned_tanh"; "normal": fixed numbers of deviation 0.01; "constant": 1e-6."""
    controller: str = "learned"
    """Hidden units and cells of an LSTM: "learned"; "learned_tanh"; "zeros"."""

    def __post_init__(self):
        check_settings(self, one_of=_CHOICES)

    def shapes(self, ntm):
        """name -> shape of what is learned."""
        kinds = {
            "initial_reads": (self.reads, (ntm.read_heads, ntm.width)),
            "initial_weightings": (self.weightings, (ntm.heads, ntm.rows)),
        }
        if ntm.controller == "lstm":
            kinds["initial_hidden"] = kinds["initial_cell"] = (self.controller, (ntm.units,))
        kinds["initial_memory"] = (self.memory, (ntm.rows, ntm.width))
        return {name: shape for name, (kind, shape) in kinds.items() if kind.startswith("learned")}

    def values(self, ntm):
        """name -> array that what is learned starts out with, for all that is not zero."""
        values = {}
        if self.weightings == "learned":  # on row 0
            values["initial_weightings"] = np.zeros((ntm.heads, ntm.rows))
            values["initial_weightings"][:, 0] = 5.0 + np.log(ntm.rows)
        if self.memory == "learned":
            values["initial_memory"] = fixed(ntm.rows, ntm.width, "constant")
        if self.memory == "learned_tanh":
            values["initial_memory"] = fixed(ntm.rows, ntm.width, "uniform")
        return values

    def state(self, ntm, params, batch):
        """The NTMState of ``batch`` sequences."""

        def each(array):
            return broadcast_to(array, shape=(batch, *array.shape))

        def same(array):
            array = backend.asarray(array.astype(ntm.dtype))
            return array_module(array).broadcast_to(array, (batch, *array.shape))

        def given(kind, name, *shape):
            if kind == "learned":
                return each(params[name])
            if kind == "learned_tanh":
                return each(tanh(params[name]))
            return same(np.zeros(shape) if kind == "zeros" else fixed(*shape, kind))

        memory = given(self.memory, "initial_memory", ntm.rows, ntm.width)
        if self.weightings == "learned":
            weightings = each(softmax(params["initial_weightings"]))
        else:
            weightings = np.zeros((ntm.heads, ntm.rows))
            weightings[:, 0] = 1.0 if self.weightings == "one_hot" else 0.0
            weightings = same(weightings)
        units = ()
        if ntm.controller == "lstm":
            units = [given(self.controller, f"initial_{name}", ntm.units) for name in ("hidden", "cell")]
        reads = given(self.reads, "initial_reads", ntm.read_heads, ntm.width)
        return NTMState(reads, memory, weightings, *units)


@cache
def fixed(rows, width, kind):
    """The numbers (rows, width) that are the same for every model of that size; not to be written to."""
    if kind == "constant":
        return np.full((rows, width), TINY)
    if kind == "normal":
        return 0.01 * np.random.default_rng(0).normal(size=(rows, width))
    spread = 1 / np.sqrt(rows + width)
    return np.random.default_rng(0).uniform(-spread, spread, size=(rows, width))
