"""A Neural Turing Machine with a controller of several LSTMs over whole sequences.

Forward
-------
As ``fused/ntm.py``, with LSTMs on top of each other: the lowest sees x and the reads, each further one the
hidden units of the layer below, and the highest tells the heads and shows itself to the outputs.

Backward
--------
As there; of a step, layer by layer from the top.  What a layer sees of the one below is of this step, its own
hidden units and the reads are of the step before:

    g(y^l)  = g(z^(l+1)) B^(l+1)^T + what the next step hands back,   of the highest + g(shown)
    g(reads of the step before) = g(z^1) R^T

Layout: ``_stack``.

Source: ``nn/ntm_cell.py``.
"""

from functools import partial

from ..nn.ntm_cell import EPS, NTMState, NTMWeights, ntm_sequence
from ..op import Op, register
from ..ops.shaping import unstack
from ._ntm_sequence import Weights, backward, forward
from ._stack import refuse_other_layers
from .ntm import HEADS, LAST, STATE, drawn


def ntm_lstm_stack_forward(
    x, reads, memory, weightings, hidden, cell, input_weights, below_weights, hidden_weights, bias,
    head_weights, head_bias, output_weights, output_bias, lengths=None, *, eps=EPS,
):  # fmt: skip
    """Outputs over time and the last state of an NTM with a controller of l >= 2 LSTMs.

    hidden and cell (b, l, h); input_weights (i + r w, 4h) of the lowest, below_weights (l - 1, h, 4h) of the
    layers above it, hidden_weights (l, h, 4h), bias (l, 4h); the rest as for ``ntm_lstm``.  ValueError for
    other sizes.  ``in_order`` makes these weights.
    """
    refuse_other_layers("ntm_lstm_stack", hidden_weights, below_weights)
    state = NTMState(reads, memory, weightings, *_turned(hidden, cell))
    weights = Weights(
        input_weights, hidden_weights, bias, head_weights, head_bias, output_weights, output_bias,
        below_weights,
    )  # fmt: skip
    (*out, hidden, cell), saved = forward("ntm_lstm_stack", x, state, weights, lengths, eps)
    return (*out, *_turned(hidden, cell)), saved


def ntm_lstm_stack_backward(saved, douts):
    *dothers, dhidden, dcell = douts[1:]
    dlast = NTMState(*dothers, *_turned(dhidden, dcell))
    dx, dstate, (dinput, *dweights, dbelow) = backward(saved, douts[0], dlast)
    return (dx, *dstate[:3], *_turned(*dstate[3:]), dinput, dbelow, *dweights)


def _turned(*arrays):
    """Layers before sequences, or back."""
    return [array.transpose(1, 0, 2) for array in arrays]


# ---- evidence ---------------------------------------------------------------


def ntm_lstm_stack_composed(
    x, reads, memory, weightings, hidden, cell, input_weights, below_weights, hidden_weights, *rest, eps=EPS
):
    """The same, op by op: ``nn/ntm_cell.py``."""
    bias, *heads_and_outputs = rest[:5]
    (first_hidden, *hiddens), (first_bias, *biases) = unstack(hidden_weights), unstack(bias)
    above = tuple(zip(unstack(below_weights), hiddens, biases))
    weights = NTMWeights(input_weights, first_bias, *heads_and_outputs, first_hidden, above)
    state = NTMState(reads, memory, weightings, hidden, cell)
    outputs, last = ntm_sequence(x, state, weights, *rest[5:], eps=eps)
    return (outputs, *last)


def cases(rng):
    case, few = partial(drawn, rng=rng), {"i": 1, "h": 1, "w": 1}
    yield case(2, label="two layers, one step", t=1)
    yield case(2, label="two layers, two sequences", **few, b=2)
    yield case(3, label="three layers", i=1, w=1, t=3)
    yield case(2, label="lengths, one of them zero", **few, b=3, t=3, lengths=(1, 3, 0))
    yield case(2, label="two read heads, two write heads", **few, r=2, k=4)
    yield case(2, label="saturated", **few, t=3, size=4.0)


ntm_lstm_stack = register(
    Op(
        name="ntm_lstm_stack",
        signature=f"x(t,b,i), {STATE}, hidden(b,l,h), cell(b,l,h), input_weights(c,4h), "
        f"below_weights(m,h,4h), hidden_weights(l,h,4h), bias(l,4h), {HEADS} -> outputs(t,b,o), {LAST}, "
        "last_hidden(b,l,h), last_cell(b,l,h)",
        forward=ntm_lstm_stack_forward,
        backward=ntm_lstm_stack_backward,
        equals=ntm_lstm_stack_composed,
        cases=cases,
        passive={"lengths": "integer"},
        source="arXiv:1410.5401 section 3",
    )
)
