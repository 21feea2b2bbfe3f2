"""The Differentiable Neural Computer, with its parameters and its start.

Every sequence starts from zeros, as in the paper: an empty memory that is not in use, no links, nothing
read.  What is learned are the weights alone.

Conventions
-----------
All of that, and the cell, is the convention "smoothed": the paper's equations with ``eps`` in the lengths
of the cosine.  ``DNC(..., convention="deepmind_dnc")`` follows a public implementation instead, in its cell
(``nn/dnc_convention.py``) and in its start (``models/dnc_start.py``); ``docs/conventions.md`` lists them.
The paper gives the interface and the outputs no biases: ``biases=False``.  The paper's controller is a
stack of LSTMs of which every layer sees the input and all are shown: ``layers``.  How weights are
initialised is ours in all of them, and outputs are logits.

Initialisation
--------------
Weights: uniform, +-1 / sqrt(inputs of the layer).  Forget gates' biases are ``forget_bias``, all others zero.

Dropout
-------
Both kinds are drawn anew for every step of every sequence in training, and are off in evaluation.
``bypass_dropout`` hides units from the outputs, and from these alone, so that the answer must come out of the
memory; those that are left are scaled up.  ``word_dropout`` takes whole inputs away and scales nothing.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature
538 (2016) 471, Methods; bypass dropout: Franke, Niehues, Waibel, "Robust and scalable differentiable
neural computer for question answering", arXiv:1807.02658.
"""

from dataclasses import dataclass

from .. import backend
from ..conventions import preset
from ..fused.dnc import PARAMS, dnc_feedforward, dnc_lstm, runs
from ..fused.dnc_stack import dnc_lstm_stack
from ..nn.dnc_cell import DNCState, dnc_sequence, dnc_shapes, dnc_step, dnc_told, dnc_weights
from ..nn.dnc_controller import lstm_stack, over_layers, tanh_layer
from ..nn.dnc_convention import convention_of
from ..nn.named_conventions import DNC_NAMES, dnc_settings
from ..ops.choice import where
from ..ops.shaping import stack, unstack
from ..refusals import check_settings, refuse_no_number, refuse_no_rate
from .dnc_start import DNCStart
from .weights import params_of, uniform_weights

_CHOICES = {
    "controller": ("lstm", "feedforward"),
    "engine": ("fused", "reference"),
    "dtype": ("float32", "float64"),
    "convention": DNC_NAMES,
}


@dataclass(frozen=True)
class DNC:
    """Settings of a Differentiable Neural Computer."""

    inputs: int
    """Features of a step that goes in: the task's."""
    outputs: int
    """Features of a step that comes out: the task's."""
    rows: int = 32
    """Rows of the memory."""
    width: int = 16
    """Numbers in a row."""
    units: int = 64
    """Hidden units of a layer of the controller."""
    controller: str = "lstm"
    """"lstm" or "feedforward" (one tanh layer)."""
    layers: int = 1
    """LSTMs on top of each other; a feed-forward controller has one layer."""
    read_heads: int = 4
    """Heads that read, each one vector of ``width`` a step."""
    write_heads: int = 1
    """Heads that erase and write."""
    biases: bool = True
    """The interface and the outputs have biases."""
    engine: str = "auto"
    """"fused", or "reference": the composition of ops that it equals.  "auto" becomes "fused" for a
    convention that ``fused/dnc.py`` follows, whatever controller and heads, else "reference", which alone
    runs all."""
    dtype: str = "float32"
    """Of the parameters and all that is computed: "float32" or "float64"."""
    input_scale: float = 1.0
    """The initial weights of the task's inputs are so much larger: see ``weights.py``."""
    forget_bias: float = 1.0
    """What the biases of the LSTMs' forget gates start from."""
    convention: str = "smoothed"
    """Whose cell and start it is: a name of ``scratchattn.conventions`` that has a DNC."""
    bypass_dropout: float = 0.0
    """In training, the share of what the controller shows that the outputs do not see: bypass dropout."""
    word_dropout: float = 0.0
    """In training, the share of steps whose whole input is nothing."""

    random = property(lambda self: self.bypass_dropout > 0 or self.word_dropout > 0)

    def __post_init__(self):
        known = self.convention in DNC_NAMES  # else refused below
        fusible = known and runs(self.cell)
        if self.engine == "auto":
            object.__setattr__(self, "engine", "fused" if fusible else "reference")
        sizes = ("inputs", "outputs", "rows", "width", "units", "layers", "read_heads", "write_heads")
        check_settings(
            self, at_least=dict.fromkeys(sizes, 1), positive=("input_scale",), one_of=_CHOICES,
            flags=("biases",),
        )  # fmt: skip
        refuse_no_number("DNC: forget_bias", self.forget_bias)
        for name in ("bypass_dropout", "word_dropout"):
            refuse_no_rate(f"DNC: {name}", getattr(self, name))
        if self.controller == "feedforward" and self.layers != 1:
            raise ValueError(f"DNC: layers must be 1 for a feed-forward controller, got {self.layers}")
        if self.engine == "fused" and not fusible:
            raise ValueError(
                f"DNC: the convention {self.convention} runs by engine='reference' only, got engine='fused'"
            )

    @property
    def cell(self):
        """The DNCConvention of its cell."""
        return convention_of(dnc_settings(self.convention))

    @property
    def start(self):
        """The DNCStart of its sequences."""
        return DNCStart(**preset(self.convention).dnc_start)

    def shapes(self):
        """name -> shape of every parameter."""
        cell, switches = self.cell, ("masked", "sharpen_links", "input_skips", "shown_layers")
        return dnc_shapes(
            self.inputs, self.outputs, self.units, self._stacked, self.width, self.read_heads,
            self.write_heads, biases=self.biases, **{name: getattr(cell, name) for name in switches},
        )  # fmt: skip

    _stacked = property(lambda self: self.layers if self.controller == "lstm" else 0)

    def init(self, rng):
        """Parameters drawn from ``rng`` (see Initialisation), on the backend in use."""
        values = uniform_weights(self.shapes(), rng)
        for name in values:
            lowest = name in ("input_weights", "input_weights_1")
            if lowest or (name.startswith("input_weights") and self.cell.input_skips):
                values[name][: self.inputs] *= self.input_scale
        for layer in range(1, self._stacked + 1):
            values[f"bias_{layer}"][self.units : 2 * self.units] = self.forget_bias
        return params_of(values, self.dtype)

    def initial_state(self, params, batch, rng=None, **given):
        """The DNCState before the first step of ``batch`` sequences; the rest as for ``DNCStart.state``."""
        return self.start.state(self, batch, rng, **given)

    def weights(self, params):
        """The parameters of the cell, by role."""
        return dnc_weights({name: params[name] for name in self.shapes()})

    def step(self, params, state, x):
        """One step: x (b, i) -> logits (b, o), the next state.  By the reference composition."""
        return dnc_step(x, state, self.weights(params), **self._settings())

    def told(self, params, state, x):
        """What the controller tells the heads in that step: a DNCInterface."""
        return dnc_told(x, state, self.weights(params), **self._settings())

    def sequence(self, params, state, xs, lengths=None, rng=None, permutations=None):
        """All steps: xs (t, b, i) -> logits (t, b, o), the last state; ``lengths`` (b) integers or None.

        ``rng``: the Generator that dropout is drawn from; None: nothing is dropped.  ``permutations`` as for
        ``dnc_sequence``, for the reference engine; ValueError if another is asked.
        """
        if permutations is not None and self.engine != "reference":
            raise ValueError(f"DNC: permutations need engine='reference', got engine={self.engine!r}")
        w = self.weights(params)
        xs, keep, rate = self._dropped(xs, rng)
        if self.engine == "reference":
            return dnc_sequence(
                xs, state, w, lengths, keep, permutations, bypass_rate=rate, **self._settings()
            )
        *state, units = state
        rest, settings = (*w[1:], lengths, keep), dnc_settings(self.convention)
        how = {"bypass_rate": rate} | {name: settings[name] for name in PARAMS if name in settings}
        if self.layers > 1:
            seen = self.inputs + self.read_heads * self.width
            layers = over_layers(w.controller, seen, input_skips=self.cell.input_skips)
            units = (stack(*parts) for parts in zip(*units))
            outputs, *last, hidden, cell = dnc_lstm_stack(xs, *state, *units, *layers, *rest, **how)
            return outputs, DNCState(*last, tuple(zip(unstack(hidden), unstack(cell))))
        if self.controller == "lstm":
            outputs, *last, hidden, cell = dnc_lstm(xs, *state, *units[0], *w.controller[0], *rest, **how)
            return outputs, DNCState(*last, ((hidden, cell),))
        outputs, *last = dnc_feedforward(xs, *state, *w.controller, *rest, **how)
        return outputs, DNCState(*last)

    def _dropped(self, xs, rng):
        """The inputs that are left, what the outputs see of the controller, and the rate of that."""
        if rng is None:
            return xs, None, 0.0
        steps = xs.shape[:2]
        if self.word_dropout:
            kept = backend.asarray(rng.random((*steps, 1)) >= self.word_dropout)
            xs = where(kept, xs, 0.0)
        if not self.bypass_dropout:
            return xs, None, 0.0
        shown = (*steps, self.shapes()["output_weights"][0])
        return xs, backend.asarray(rng.random(shown) >= self.bypass_dropout), self.bypass_dropout

    def _settings(self):
        controller = lstm_stack if self.controller == "lstm" else tanh_layer
        return {"controller": controller, **dnc_settings(self.convention)}
