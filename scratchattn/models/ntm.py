"""The Neural Turing Machine, with its parameters and its start.

Every sequence starts from the same state.  What the reads, the controller's state and where each head
looks start from is learned.  The memory starts from one small constant, so that content says nothing
at first and heads learn to move; or from fixed numbers, uniform in +-1 / sqrt(rows + width) and the same
for every model of that size, which tell each row from the others.  On the copy task the constant reached
further beyond the trained lengths.

Initialisation
--------------
Weights into the controller and out of it: uniform, +-1 / sqrt(inputs of the layer).  The forget
gate's bias is one.  A head starts out looking at row 0 (softmax of learned logits).

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401; fixed uniform memory:
loudinthecloud/pytorch-ntm; constant memory: Collier, Beel, "Implementing Neural Turing Machines",
arXiv:1807.08518.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .. import backend
from ..backend import array_module
from ..fused.ntm import ntm_feedforward, ntm_lstm
from ..nn.ntm_cell import EPS, NTMState, NTMWeights, ntm_sequence, ntm_shapes, ntm_step
from ..ops.axes import broadcast_to
from ..ops.softmax import softmax
from ..parameters import Params
from ..refusals import check_settings

_CHOICES = {
    "controller": ("lstm", "feedforward"),
    "engine": ("fused", "reference"),
    "memory": ("uniform", "constant"),
    "dtype": ("float32", "float64"),
}


@dataclass(frozen=True)
class NTM:
    """Settings of a Neural Turing Machine."""

    inputs: int
    outputs: int
    rows: int = 128
    width: int = 20
    units: int = 100
    controller: str = "lstm"
    """"lstm" or "feedforward" (one tanh layer)."""
    read_heads: int = 1
    write_heads: int = 1
    shifts: int = 3
    """Offsets that a head can move by, an odd number: 3 is -1, 0, +1."""
    engine: str = "fused"
    """"fused", or "reference": the composition of ops that it equals."""
    dtype: str = "float32"
    memory: str = "constant"
    """"constant": 1e-6 everywhere; "uniform": the fixed numbers above."""

    def __post_init__(self):
        sizes = ("inputs", "outputs", "rows", "width", "units", "read_heads", "write_heads", "shifts")
        check_settings(self, at_least=dict.fromkeys(sizes, 1), one_of=_CHOICES)
        if self.shifts % 2 == 0:
            raise ValueError(f"NTM: shifts must be odd, got {self.shifts}")

    heads = property(lambda self: self.read_heads + self.write_heads)

    def shapes(self):
        """name -> shape of every parameter."""
        cell = ntm_shapes(
            self.inputs, self.outputs, self.units, self.width, self.read_heads, self.write_heads, self.shifts,
            self.controller,
        )  # fmt: skip
        start = {
            "initial_reads": (self.read_heads, self.width),
            "initial_weightings": (self.heads, self.rows),
        }
        if self.controller == "lstm":
            start |= {"initial_hidden": (self.units,), "initial_cell": (self.units,)}
        return cell | start

    def init(self, rng):
        """Parameters drawn from ``rng`` (see Initialisation), on the backend in use."""
        values = {}
        for name, shape in self.shapes().items():
            spread = 1 / np.sqrt(shape[0]) if name.endswith("weights") else 0.0
            values[name] = rng.uniform(-spread, spread, size=shape)
        if self.controller == "lstm":
            values["bias"][self.units : 2 * self.units] = 1.0
        values["initial_weightings"][:, 0] = 5.0 + np.log(self.rows)
        params = Params(self.shapes(), dtype=self.dtype)
        params.assign({name: backend.asarray(value, dtype=self.dtype) for name, value in values.items()})
        return params

    def initial_state(self, params, batch):
        """The state before the first step of ``batch`` sequences."""
        memory = backend.asarray(_initial_memory(self.rows, self.width, self.memory).astype(self.dtype))
        memory = array_module(memory).broadcast_to(memory, (batch, self.rows, self.width))

        def each(array):
            return broadcast_to(array, shape=(batch, *array.shape))

        units = (
            (each(params["initial_hidden"]), each(params["initial_cell"]))
            if self.controller == "lstm"
            else ()
        )
        weightings = softmax(params["initial_weightings"])
        return NTMState(each(params["initial_reads"]), memory, each(weightings), *units)

    def weights(self, params):
        """The parameters of the cell, by role."""
        hidden = params["hidden_weights"] if self.controller == "lstm" else None
        return NTMWeights(*[params[name] for name in NTMWeights._fields[:-1]], hidden)

    def step(self, params, state, x):
        """One step: x (b, i) -> logits (b, o), the next state.  By the reference composition."""
        return ntm_step(x, state, self.weights(params), eps=EPS)

    def sequence(self, params, state, xs, lengths=None):
        """All steps: xs (t, b, i) -> logits (t, b, o), the last state; ``lengths`` (b) integers or None."""
        w = self.weights(params)
        if self.engine == "reference":
            return ntm_sequence(xs, state, w, lengths, eps=EPS)
        rest = (w.bias, w.head_weights, w.head_bias, w.output_weights, w.output_bias, lengths)
        if self.controller == "lstm":
            outputs, *last = ntm_lstm(xs, *state, w.input_weights, w.hidden_weights, *rest, eps=EPS)
        else:
            outputs, *last = ntm_feedforward(xs, *state[:3], w.input_weights, *rest, eps=EPS)
        return outputs, NTMState(*last)


@cache
def _initial_memory(rows, width, kind):
    if kind == "constant":
        return np.full((rows, width), 1e-6)
    spread = 1 / np.sqrt(rows + width)
    return np.random.default_rng(0).uniform(-spread, spread, size=(rows, width))
