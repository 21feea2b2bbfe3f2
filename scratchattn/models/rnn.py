"""Recurrent networks without a memory beside them: tanh, LSTM and GRU, in layers, in one or both directions.

Layers stand on top of each other, the first sees the inputs and the last is shown to the output layer; with
both directions each layer has a second part that reads every sequence from its own end, and what the two
show lies side by side.  Every sequence starts from zeros.

These are the baselines of the memory machines: that of the NTM paper is an LSTM of three layers of 128 to
512 units.

Initialisation
--------------
Weights: uniform, +-1 / sqrt(inputs of the layer).  The forget gates' biases are one, all others zero.

Source: Graves, Mohamed, Hinton, "Speech recognition with deep recurrent neural networks", arXiv:1303.5778;
the layers: see ``nn/tanh_rnn.py``, ``nn/lstm.py``, ``nn/gru.py``, ``nn/reversal.py``.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..fused.gru import gru_sequence
from ..fused.lstm import lstm_sequence
from ..nn.gru import gru, gru_shapes
from ..nn.linear import linear
from ..nn.lstm import lstm, lstm_shapes
from ..nn.reversal import backwards
from ..nn.tanh_rnn import tanh_rnn, tanh_rnn_shapes
from ..ops.choice import where
from ..ops.shaping import concat
from ..refusals import check_settings
from .weights import params_of, uniform_weights

SHAPES = {"tanh": tanh_rnn_shapes, "lstm": lstm_shapes, "gru": gru_shapes}
LAYERS = {
    ("tanh", "reference"): tanh_rnn,
    ("lstm", "reference"): lstm,
    ("lstm", "fused"): lstm_sequence,
    ("gru", "reference"): gru,
    ("gru", "fused"): gru_sequence,
}


class RNNState(NamedTuple):
    """One array (b, h) for each layer, or for each layer forwards and then backwards."""

    hidden: Any
    cell: Any  # of an LSTM, else ()


@dataclass(frozen=True)
class RNN:
    """Settings of a recurrent network."""

    inputs: int
    """Features of a step that goes in: the task's."""
    outputs: int
    """Features of a step that comes out: the task's."""
    cell: str = "lstm"
    """"lstm", "gru" or "tanh"."""
    units: int = 128
    """Hidden units of a layer."""
    layers: int = 1
    """Layers on top of each other."""
    both_directions: bool = False
    """A second part of every layer reads from the end to the start; then nothing runs step by step."""
    engine: str = "auto"
    """"fused", which there is of LSTM and GRU, or "reference"; "auto": "fused" where there is one."""
    dtype: str = "float32"
    """Of the parameters and all that is computed: "float32" or "float64"."""
    input_scale: float = 1.0
    """The initial weights of the task's inputs are so much larger: see ``weights.py``."""

    def __post_init__(self):
        if self.engine == "auto":
            fusible = (self.cell, "fused") in LAYERS
            object.__setattr__(self, "engine", "fused" if fusible else "reference")
        check_settings(
            self,
            at_least=dict.fromkeys(("inputs", "outputs", "units", "layers"), 1),
            one_of={
                "cell": tuple(SHAPES),
                "engine": ("fused", "reference"),
                "dtype": ("float32", "float64"),
            },
            positive=("input_scale",),
            flags=("both_directions",),
        )
        if (self.cell, self.engine) not in LAYERS:
            raise ValueError(f"RNN: the cell {self.cell} runs by engine='reference' only, got engine='fused'")

    directions = property(lambda self: 2 if self.both_directions else 1)

    def shapes(self):
        """name -> shape of every parameter."""
        found = {}
        for part, layer in self._parts():
            inputs = self.inputs if layer == 0 else self.directions * self.units
            own = SHAPES[self.cell](inputs, self.units)
            found |= {f"{name}_{part}": shape for name, shape in own.items()}
        shown = self.directions * self.units
        return found | {"output_weights": (shown, self.outputs), "output_bias": (self.outputs,)}

    def _parts(self):
        """(name, layer) of each part, in the order of the state."""
        for layer in range(self.layers):
            yield f"{layer + 1}", layer
            if self.both_directions:
                yield f"{layer + 1}_backwards", layer

    def init(self, rng):
        """Parameters drawn from ``rng`` (see Initialisation), on the backend in use."""
        values = uniform_weights(self.shapes(), rng)
        for part, layer in self._parts():
            if layer == 0:
                values[f"input_weights_{part}"] *= self.input_scale
            if self.cell == "lstm":
                values[f"bias_{part}"][self.units : 2 * self.units] = 1.0
        return params_of(values, self.dtype)

    def initial_state(self, params, batch):
        """Zeros for ``batch`` sequences."""
        parts = self.layers * self.directions

        def zeros():
            return tuple(backend.asarray(np.zeros((batch, self.units)), self.dtype) for _ in range(parts))

        return RNNState(zeros(), zeros() if self.cell == "lstm" else ())

    def step(self, params, state, x):
        """One step: x (b, i) -> logits (b, o), the next state.  By the reference composition."""
        if self.both_directions:
            raise ValueError("RNN: step must have one direction, got both_directions=True")
        outputs, state = self._run(params, state, x[None], None, "reference")
        return outputs[0], state

    def sequence(self, params, state, xs, lengths=None):
        """All steps: xs (t, b, i) -> logits (t, b, o), the last state; ``lengths`` (b) integers or None.

        A part that reads backwards starts at the end of each sequence and returns its state at the start:
        with both directions, chunks are not the whole.
        """
        return self._run(params, state, xs, lengths, self.engine)

    def _run(self, params, state, xs, lengths, engine):
        layer_of, last = LAYERS[self.cell, engine], []
        for layer in range(self.layers):
            shown = []
            for direction in range(self.directions):
                part = layer * self.directions + direction
                suffix = f"_{layer + 1}" + "_backwards" * direction
                own = [state.hidden[part]] + ([state.cell[part]] if self.cell == "lstm" else [])
                weights = [params[name + suffix] for name in ("input_weights", "hidden_weights", "bias")]
                seen = backwards(xs, lengths) if direction else xs
                out, *arrived = layer_of(seen, *own, *weights, lengths=lengths)
                shown.append(backwards(out, lengths) if direction else out)
                last.append(arrived)
            xs = concat(*shown, axis=-1) if self.both_directions else shown[0]
        outputs = linear(xs, params["output_weights"], params["output_bias"])
        if lengths is not None:
            step = backend.arange_like(lengths, outputs.shape[0])[:, None]
            outputs = where((step < lengths)[:, :, None], outputs, 0.0)
        hidden, *cell = zip(*last)
        return outputs, RNNState(hidden, cell[0] if cell else ())
