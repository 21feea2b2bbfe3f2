"""A model and a task of one's own: say after every bit whether the ones so far are odd in number.

    scratchattn train examples/own_model.py:GRU examples/own_model.py:Parity --config examples/own_model.toml
    scratchattn train --resume runs/GRU-Parity-0           after Ctrl-C, to the same bits
    scratchattn eval runs/GRU-Parity-0 --set longest=40    longer sequences than any that it was trained on
    scratchattn show runs/GRU-Parity-0                     the report, with the picture that the model draws
    scratchattn sweep examples/own_model.py:GRU examples/own_model.py:Parity --over units=8,16 --seeds 0-3

``scratchattn.models`` and ``scratchattn.tasks`` say what a model and a task must have.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import scratchattn as sa
from scratchattn import backend
from scratchattn.nn.gru import gru, gru_shapes
from scratchattn.nn.linear import linear, linear_shapes
from scratchattn.parameters import Params


class Bits(NamedTuple):
    inputs: Any  # (t, b, 1)
    targets: Any  # (t, b, 1)
    lengths: Any = None  # all sequences are equally long

    size = property(lambda self: self.inputs.shape[1])


@dataclass(frozen=True)
class Parity:
    """Sequences of ``longest`` random bits."""

    longest: int = 12

    inputs = outputs = 1
    metric = "wrong_bits"

    def batch(self, rng, size, dtype="float32"):
        bits = rng.integers(0, 2, (self.longest, size, 1))
        odd = np.cumsum(bits, axis=0) % 2
        return Bits(backend.asarray(bits, dtype=dtype), backend.asarray(odd, dtype=dtype))

    def loss(self, outputs, batch):
        return sa.sum(sa.binary_cross_entropy(outputs, batch.targets)) / float(batch.size)

    def metrics(self, outputs, batch):
        wrong = (backend.to_numpy(outputs) > 0) != (backend.to_numpy(batch.targets) > 0.5)
        return {"wrong_bits": wrong.sum(axis=(0, 2))}


@dataclass(frozen=True)
class GRU:
    """One layer of ``units`` and a linear one on it; outputs are logits."""

    inputs: int
    outputs: int
    units: int = 16
    dtype: str = "float32"

    def init(self, rng):
        shapes = gru_shapes(self.inputs, self.units)
        shapes |= {f"output_{name}": s for name, s in linear_shapes(self.units, self.outputs).items()}
        params = Params(shapes, dtype=self.dtype)
        spread = self.units**-0.5
        drawn = {name: rng.uniform(-spread, spread, shape) for name, shape in shapes.items()}
        params.assign({name: backend.asarray(value, dtype=self.dtype) for name, value in drawn.items()})
        return params

    def initial_state(self, params, batch):
        return (backend.asarray(np.zeros((batch, self.units)), dtype=self.dtype),)

    def sequence(self, params, state, xs, lengths=None):
        cell = [params[name] for name in ("input_weights", "hidden_weights", "bias")]
        hidden, last = gru(xs, *state, *cell, lengths=lengths)
        return linear(hidden, params["output_weights"], params["output_bias"]), (last,)

    def pictures(self, params, task, rng):
        from scratchattn.report import Figure, Section, heat_map

        batch = task.batch(rng, 1, dtype=self.dtype)
        cell = [params[name] for name in ("input_weights", "hidden_weights", "bias")]
        hidden, _ = gru(batch.inputs, *self.initial_state(params, 1), *cell)
        drawn = heat_map(backend.to_numpy(hidden)[:, 0].T, x_label="step", y_label="unit")
        return [Section("What the units hold", [Figure(drawn, "One sequence of random bits.")])]
