"""The Neural Turing Machine, with its parameters and its start.

Every sequence starts from the same state.  What the reads, the controller's state and where each head
looks start from is learned.  The memory starts from one small constant, so that content says nothing
at first and heads learn to move; or from fixed numbers, uniform in +-1 / sqrt(rows + width) and the same
for every model of that size, which tell each row from the others.  On the copy task the constant reached
further beyond the trained lengths.

Conventions
-----------
All of that, and the cell, is the convention "smoothed".  ``NTM(..., convention="pytorch_ntm")`` follows a
public implementation instead, in its cell (``nn/ntm_convention.py``) and in its start (``ntm_start.py``);
``docs/conventions.md`` lists them.  How weights are initialised is ours in all of them, and outputs are
logits, also where theirs are after a sigmoid.

Initialisation
--------------
Weights into the controller and out of it: uniform, +-1 / sqrt(inputs of the layer).  The forget
gate's bias is one.  A head starts out looking at row 0 (softmax of learned logits).

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401; fixed uniform memory:
loudinthecloud/pytorch-ntm; constant memory: Collier, Beel, "Implementing Neural Turing Machines",
arXiv:1807.08518.
"""

from dataclasses import dataclass

from ..conventions import preset
from ..fused.ntm import ntm_feedforward, ntm_lstm
from ..fused.ntm_stack import ntm_lstm_stack
from ..nn.named_conventions import NTM_NAMES, ntm_settings
from ..nn.ntm_cell import NTMState, in_order, ntm_sequence, ntm_shapes, ntm_step, ntm_weights, told_heads
from ..nn.ntm_convention import NTMConvention, convention_of
from ..refusals import check_settings
from .ntm_start import MEMORIES, NTMStart
from .weights import params_of, uniform_weights

_CHOICES = {
    "controller": ("lstm", "feedforward"),
    "engine": ("fused", "reference"),
    "memory": (*MEMORIES, "auto"),
    "dtype": ("float32", "float64"),
    "convention": NTM_NAMES,
}


@dataclass(frozen=True)
class NTM:
    """Settings of a Neural Turing Machine."""

    inputs: int
    """Features of a step that goes in: the task's."""
    outputs: int
    """Features of a step that comes out: the task's."""
    rows: int = 128
    """Rows of the memory."""
    width: int = 20
    """Numbers in a row."""
    units: int = 100
    """Hidden units of the controller."""
    controller: str = "lstm"
    """"lstm" or "feedforward" (one layer)."""
    layers: int = 1
    """LSTMs on top of each other, each seeing what the one below shows; a feed-forward controller has one
    layer."""
    read_heads: int = 1
    """Heads that read, each one vector of ``width`` a step."""
    write_heads: int = 1
    """Heads that erase and write."""
    shifts: int = 3
    """Offsets that a head can move by, an odd number: 3 is -1, 0, +1.  A convention whose heads move by one
    number has none."""
    engine: str = "auto"
    """"fused", or "reference": the composition of ops that it equals.  "auto" becomes "fused" where
    the convention's cell is the default's, whatever the controller, else "reference", which alone runs
    all."""
    dtype: str = "float32"
    """Of the parameters and all that is computed: "float32" or "float64"."""
    input_scale: float = 1.0
    """The initial weights of the task's inputs are so much larger: see ``weights.py``."""
    memory: str = "auto"
    """What the memory starts from: see ``NTMStart``; "auto": what the convention says."""
    convention: str = "smoothed"
    """Whose cell and start it is: a name of ``scratchattn.conventions`` that has an NTM."""
    turns: str = ""
    """Who comes when, in a convention whose heads work in turn: see ``NTMConvention``."""

    def __post_init__(self):
        sizes = (
            "inputs", "outputs", "rows", "width", "units", "layers", "read_heads", "write_heads", "shifts"
        )  # fmt: skip
        known = self.convention in NTM_NAMES  # else refused below
        fusible = known and self.cell == NTMConvention()
        if self.engine == "auto":
            object.__setattr__(self, "engine", "fused" if fusible else "reference")
        check_settings(
            self, at_least=dict.fromkeys(sizes, 1), positive=("input_scale",), one_of=_CHOICES
        )  # fmt: skip
        if self.shifts % 2 == 0:
            raise ValueError(f"NTM: shifts must be odd, got {self.shifts}")
        self.cell.check_heads(self.read_heads, self.write_heads)
        if self.controller == "feedforward" and self.layers != 1:
            raise ValueError(f"NTM: layers must be 1 for a feed-forward controller, got {self.layers}")
        if self.engine == "fused" and not fusible:
            raise ValueError(
                f"NTM: the convention {self.convention} runs by engine='reference' only, got engine='fused'"
            )

    @property
    def cell(self):
        """The NTMConvention of its cell."""
        return convention_of(self._settings)

    @property
    def _settings(self):
        return ntm_settings(self.convention) | ({"turns": self.turns} if self.turns else {})

    @property
    def start(self):
        """The NTMStart of its sequences."""
        said = {} if self.memory == "auto" else {"memory": self.memory}
        return NTMStart(**preset(self.convention).ntm_start | said)

    @property
    def heads(self):
        """How many weightings there are."""
        return self.write_heads + (0 if self.cell.roles == "both" else self.read_heads)

    def shapes(self):
        """name -> shape of every parameter."""
        cell = ntm_shapes(
            self.inputs, self.outputs, self.units, self.width, self.read_heads, self.write_heads, self.shifts,
            self.controller, self.cell, self.layers,
        )  # fmt: skip
        return cell | self.start.shapes(self)

    def init(self, rng):
        """Parameters drawn from ``rng`` (see Initialisation), on the backend in use."""
        values = uniform_weights(self.shapes(), rng)
        values["input_weights"][: self.inputs] *= self.input_scale
        for name in values:
            if self.controller == "lstm" and name.startswith("bias"):
                values[name][self.units : 2 * self.units] = 1.0
        return params_of(values | self.start.values(self), self.dtype)

    def initial_state(self, params, batch, rng=None, **given):
        """The NTMState before the first step of ``batch`` sequences; the rest as for ``NTMStart.state``."""
        return self.start.state(self, params, batch, rng, **given)

    def weights(self, params):
        """The parameters of the cell, by role."""
        return ntm_weights({name: params[name] for name in self.shapes() if not name.startswith("initial_")})

    def step(self, params, state, x):
        """One step: x (b, i) -> logits (b, o), the next state.  By the reference composition."""
        return ntm_step(x, state, self.weights(params), **self._settings)

    def told(self, params, state, x):
        """What the controller tells the heads in that step: HeadParameters."""
        return told_heads(x, state, self.weights(params), self.cell)[0]

    def sequence(self, params, state, xs, lengths=None):
        """All steps: xs (t, b, i) -> logits (t, b, o), the last state; ``lengths`` (b) integers or None."""
        w = self.weights(params)
        if self.engine == "reference":
            return ntm_sequence(xs, state, w, lengths, **self._settings)
        op, given = ntm_lstm if self.layers == 1 else ntm_lstm_stack, state
        if self.controller == "feedforward":
            op, given = ntm_feedforward, state[:3]
        outputs, *last = op(xs, *given, *in_order(w), lengths)
        return outputs, NTMState(*last)
