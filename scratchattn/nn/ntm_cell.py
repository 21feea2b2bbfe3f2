"""One step of a Neural Turing Machine, as the paper tells it.

A batch of ``b`` memories of ``n`` rows, each ``w`` wide; ``r`` read heads come first among the
``k`` heads, the write heads follow.  At every step

    h       = controller([x, reads])                        LSTM, or one tanh layer
    p       = h W_p + b_p                                    the parameters of all heads
    w^c_i   = softmax_i(strength cos(key, M_i))              by content             (5) (6)
    w^g     = gate w^c + (1 - gate) w_before                 or from where it was   (7)
    w~_i    = sum_o shift_o w^g_(i - o)                      moved                  (8)
    w_i     = w~_i^sharpness / sum_j w~_j^sharpness          and focused            (9)
    reads   = w M                                            the read heads         (2)
    M_i     = M_i prod_h (1 - w_i erase) + sum_h w_i write_vector    the write heads (3) (4)
    y       = [reads, h] W_o + b_o

Conventions
-----------
All heads address the memory that the step found, and the reads are taken from it; then it is
written, all erasures before all additions.  The new reads reach the output of their own step and
the controller of the next.  strength is softplus, gate and erase are sigmoids, shift is a softmax
over the offsets -s..s, sharpness is 1 + softplus; key and write_vector are taken as they are; eps is
in the lengths of the cosine.  ``NTMConvention`` has what implementations do differently; its fields are
keywords here.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 3.
"""

from typing import Any, NamedTuple

from ..ops.activations import relu, sigmoid
from ..ops.axes import broadcast_to
from ..ops.choice import clip, where
from ..ops.exponential import tanh
from ..ops.lstm_cell import lstm_cell
from ..ops.shaping import concat, reshape, stack, unstack
from .checked import checker
from .linear import linear
from .lstm import keep_ended, lstm_shapes
from .ntm_convention import EPS, convention_of
from .ntm_heads import DEFAULT, HeadParameters, HeadSizes, head_parameters, head_sizes, use_memory

__all__ = [
    "EPS",
    "HeadParameters",
    "HeadSizes",
    "NTMState",
    "NTMWeights",
    "head_parameters",
    "head_sizes",
    "in_order",
    "ntm_sequence",
    "ntm_shapes",
    "ntm_step",
    "ntm_weights",
    "told_heads",
]

_ACTIVATIONS = {"tanh": tanh, "sigmoid": sigmoid, "relu": relu}
_REST = (
    "reads(b,r,w), memory(b,n,w), weightings(b,k,n), hidden?({0}), cell?({0}), input_weights(c,g), bias(g), "
    "head_weights(h,p), head_bias(p), output_weights(f,o), output_bias(o), hidden_weights?(h,g)"
)
_UNITS = ("b,h", "b,l,h")  # of one layer, of several
_check_step = [checker("ntm_step", f"x(b,i), {_REST.format(units)}") for units in _UNITS]
_check_sequence = [
    checker("ntm_sequence", f"xs(t,b,i), {_REST.format(units)}, lengths?!(b)", lengths="integer")
    for units in _UNITS
]


class NTMState(NamedTuple):
    """What a step hands to the next; ``hidden`` and ``cell`` are None for a feed-forward controller."""

    reads: Any  # (b, r, w)
    memory: Any  # (b, n, w)
    weightings: Any  # (b, k, n)
    hidden: Any = None  # (b, h), or (b, l, h) of several layers
    cell: Any = None  # the same


class NTMWeights(NamedTuple):
    """The parameters of a cell; ``hidden_weights`` is None for a feed-forward controller.

    ``above``: None, or (input_weights (h, 4h), hidden_weights (h, 4h), bias (4h)) of each further LSTM, which
    sees what the one below it shows; the highest one is shown to the heads and the outputs.
    """

    input_weights: Any  # (i + r w, 4h) for an LSTM, (i + r w, h) for one tanh layer
    bias: Any  # (4h) or (h)
    head_weights: Any  # (h, p), columns as in ``head_sizes``
    head_bias: Any  # (p)
    output_weights: Any  # (r w + h, o); (h, o) where outputs are the controller's alone
    output_bias: Any  # (o)
    hidden_weights: Any = None  # (h, 4h)
    above: Any = None


def ntm_shapes(
    inputs, outputs, units, width, read_heads, write_heads, shifts, controller, convention=DEFAULT, layers=1
):
    """Parameter shapes of the cell; ``convention`` is an NTMConvention, ``layers`` the number of LSTMs."""
    columns = 4 * units if controller == "lstm" else units
    only_read = 0 if convention.roles == "both" else read_heads
    offsets = shifts if convention.shift == "softmax" else 1
    parameters = sum(head_sizes(width, only_read, write_heads, offsets))
    features = read_heads * width if convention.outputs == "reads_and_controller" else 0
    shapes = {"input_weights": (inputs + read_heads * width, columns), "bias": (columns,)}
    if controller == "lstm":
        shapes["hidden_weights"] = (units, columns)
    for layer in range(2, layers + 1):
        shapes |= {f"{name}_{layer}": shape for name, shape in lstm_shapes(units, units).items()}
    return shapes | {
        "head_weights": (units, parameters),
        "head_bias": (parameters,),
        "output_weights": (features + units, outputs),
        "output_bias": (outputs,),
    }


def ntm_weights(named):
    """NTMWeights of a mapping with the names of ``ntm_shapes``."""
    layers = range(2, 2 + sum(name.startswith("hidden_weights_") for name in named))
    parts = ("input_weights", "hidden_weights", "bias")
    above = tuple(tuple(named[f"{part}_{layer}"] for part in parts) for layer in layers) or None
    return NTMWeights(**{name: named[name] for name in NTMWeights._fields if name in named}, above=above)


def in_order(weights):
    """The arrays of NTMWeights as the fused ops take them: a stack's with an axis of layers."""
    own = weights.input_weights, weights.hidden_weights, weights.bias
    if weights.above is not None:
        below, hidden, biases = zip(*weights.above)
        own = own[0], stack(*below), stack(own[1], *hidden), stack(own[2], *biases)
    return [array for array in (*own, *weights[2:6]) if array is not None]


def ntm_step(x, state, weights, **convention):
    """One step: x (b, i), an NTMState, NTMWeights -> outputs (b, o), the next NTMState.

    ``convention``: fields of NTMConvention.
    """
    _checked("ntm_step", _check_step, state, weights)(x, *state, *weights[:-1])
    return _step(x, state, weights, convention_of(convention))


def _checked(who, checks, state, weights):
    """The check of one layer, or of several, for the function ``who``."""
    if weights.above is not None and len(state.hidden.shape) == 3:
        layers = 1 + len(weights.above)
        for name, array in (("hidden", state.hidden), ("cell", state.cell)):
            if array.shape[1] != layers:
                raise ValueError(f"{who}: {name} must be of {layers} layers, got shape {tuple(array.shape)}")
    return checks[weights.above is not None]


def _step(x, state, weights, convention):
    batch, read_heads, width = state.reads.shape
    head, shown, hidden, cell = told_heads(x, state, weights, convention)
    reads, memory, weightings = use_memory(head, state, convention)
    features = shown
    if convention.outputs == "reads_and_controller":
        features = concat(reshape(reads, shape=(batch, read_heads * width)), shown, axis=-1)
    outputs = linear(features, weights.output_weights, weights.output_bias)
    if convention.clip_outputs:
        outputs = clip(outputs, low=-convention.clip_outputs, high=convention.clip_outputs)
    return outputs, NTMState(reads, memory, weightings, hidden, cell)


def told_heads(x, state, weights, convention=DEFAULT):
    """What a step tells its heads, HeadParameters; what its controller shows, (b, h), and its next state."""
    batch, read_heads, width = state.reads.shape
    controlled = concat(x, reshape(state.reads, shape=(batch, read_heads * width)), axis=-1)
    if weights.hidden_weights is None:
        hidden = cell = None
        shown = _ACTIVATIONS[convention.activation](linear(controlled, weights.input_weights, weights.bias))
    else:
        shown, hidden, cell = _lstms(controlled, state.hidden, state.cell, weights)
    raw = linear(shown, weights.head_weights, weights.head_bias)
    return head_parameters(raw, state, convention), shown, hidden, cell


def _lstms(seen, hidden, cell, weights):
    """What the highest one shows, and the next state of one LSTM, or of all of them side by side."""
    layers = [(weights.input_weights, weights.hidden_weights, weights.bias)]
    if weights.above is None:
        hidden, cell = lstm_cell(seen, hidden, cell, *layers[0])
        return hidden, hidden, cell
    new = []
    for layer, own in enumerate([*layers, *weights.above]):
        seen, remembered = lstm_cell(seen, hidden[:, layer], cell[:, layer], *own)
        new.append((seen, remembered))
    return seen, *[stack(*parts, axis=1) for parts in zip(*new)]


def ntm_sequence(xs, state, weights, lengths=None, **convention):
    """The steps one after the other: xs (t, b, i) -> outputs (t, b, o), the last NTMState.

    ``lengths``: b integers in 0..t, or None.  A sequence that has ended keeps its state and shows
    zeros, and its padding is never read.  The rest as for ``ntm_step``.
    """
    _checked("ntm_sequence", _check_sequence, state, weights)(xs, *state, *weights[:-1], lengths)
    convention, outputs = convention_of(convention), []
    for t, x in enumerate(unstack(xs)):
        running = None if lengths is None else lengths > t
        if running is not None:
            x = where(running[:, None], x, 0.0)
        y, new = _step(x, state, weights, convention)
        state = NTMState(*[None if a is None else keep_ended(running, a, old) for a, old in zip(new, state)])
        outputs.append(y if running is None else where(running[:, None], y, 0.0))
    if not outputs:
        return broadcast_to(weights.output_bias, shape=(0, *xs.shape[1:2], *weights.output_bias.shape)), state
    return stack(*outputs), state
