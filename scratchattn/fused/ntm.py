"""A Neural Turing Machine over whole sequences: ``nn/ntm_cell.py`` unrolled in time, laid out for speed.

Forward
-------
As in ``nn/ntm_cell.py``, with what does not depend on the recurrence outside the loop: x W for all
steps before it, the output layer after it.  One product makes the parameters of all heads.

Backward
--------
Back-propagation through time, newest step first.  Write g(.) for the gradient of the loss, M and M'
for the memory before and after the write, w for weightings, and take one write head.

    g(w_write) += sum_m g(M') (a - e M)     g(a) = sum_n g(M') w     g(e) = -sum_n g(M') M w
    g(M)        = g(M') (1 - w e)  +  reads: w_read g(r)^T  +  content, below
    g(w_read)  += g(r) M

Focus, w = softmax(q log w~):   h = g(w) - sum w g(w);   g(w~) = q (w / w~) h,   g(q) = sum w h log w~
Shift, w~_i = sum_o s_o v_(i-o):   g(v_j) = sum_o s_o g(w~_(j+o)),   g(s_o) = sum_i g(w~_i) v_(i-o)
Gate, v = q c + (1-q) w_before:   g(c) = q g(v),   g(w_before) = (1-q) g(v),   g(q) = sum g(v) (c - w_before)
Content, c = softmax(b C):   h = c (g(c) - sum c g(c));   g(C) = b h,   g(b) = sum h C
Cosine, C = k . M / (|k| |M|):   g(k) = sum_i g(C_i) (M_i / (|k||M_i|)) - k sum_i g(C_i) C_i / |k|^2
                                 g(M_i) alike, with the heads summed

All weight gradients are one product each after the loop.

Accuracy
--------
Slopes come from exponentials, 1 - gate from exp(z), the weighted mean in a softmax's backward is
taken off twice: in saturated cells it stays within 1e-12 of the composition.  Cosines are of keys of length
one: no product of long keys and long rows overflows.  A key or a row whose square does, in float32 from a
length of 1.8e19 on, is like nothing: a cosine of zero, without a gradient.

Layout: see ``_ntm_buffers``, ``_controller``.

Source: ``nn/ntm_cell.py``.
"""

from functools import partial

import numpy as np

from ..nn.ntm_cell import EPS, NTMState, NTMWeights, in_order, ntm_sequence, ntm_shapes, ntm_weights
from ..op import Case, Op, register
from ._ntm_sequence import Weights, backward, forward


def ntm_lstm_forward(
    x, reads, memory, weightings, hidden, cell, input_weights, hidden_weights, bias,
    head_weights, head_bias, output_weights, output_bias, lengths=None, *, eps=EPS,
):  # fmt: skip
    """Outputs over time and the last state of an NTM with an LSTM controller.

    x (t, b, i); the state: reads (b, r, w), memory (b, n, w), weightings (b, k, n), hidden and cell
    (b, h); lengths: b integers in 0..t, or None.  Returns outputs (t, b, o), zero after the end
    of a sequence, and the state at each sequence's own end.
    """
    state = NTMState(reads, memory, weightings, hidden, cell)
    weights = Weights(
        input_weights, hidden_weights, bias, head_weights, head_bias, output_weights, output_bias
    )
    return forward("ntm_lstm", x, state, weights, lengths, eps)


def ntm_lstm_backward(saved, douts):
    dx, dstate, dweights = backward(saved, douts[0], NTMState(*douts[1:]))
    return (dx, *dstate, *dweights[:7])


def ntm_feedforward_forward(
    x, reads, memory, weightings, input_weights, bias,
    head_weights, head_bias, output_weights, output_bias, lengths=None, *, eps=EPS,
):  # fmt: skip
    """Outputs over time and the last state of an NTM with a feed-forward controller: one tanh layer.

    Shapes as in ``ntm_lstm``, without hidden and cell.
    """
    weights = Weights(input_weights, None, bias, head_weights, head_bias, output_weights, output_bias)
    return forward("ntm_feedforward", x, NTMState(reads, memory, weightings), weights, lengths, eps)


def ntm_feedforward_backward(saved, douts):
    dx, dstate, dweights = backward(saved, douts[0], NTMState(*douts[1:]))
    return (dx, *dstate[:3], dweights.input_weights, *dweights[2:7])


# ---- evidence ---------------------------------------------------------------


def ntm_lstm_composed(
    x, reads, memory, weightings, hidden, cell, input_weights, hidden_weights, *rest, eps=EPS
):
    """The same, op by op: ``nn/ntm_cell.py``."""
    bias, head_weights, head_bias, output_weights, output_bias, *lengths = rest
    weights = NTMWeights(
        input_weights, bias, head_weights, head_bias, output_weights, output_bias, hidden_weights
    )
    state = NTMState(reads, memory, weightings, hidden, cell)
    outputs, last = ntm_sequence(x, state, weights, *lengths, eps=eps)
    return (outputs, *last)


def ntm_feedforward_composed(x, reads, memory, weightings, input_weights, *rest, eps=EPS):
    """The same, op by op: ``nn/ntm_cell.py``."""
    weights = NTMWeights(input_weights, *rest[:5])
    outputs, last = ntm_sequence(x, NTMState(reads, memory, weightings), weights, *rest[5:], eps=eps)
    return (outputs, *last[:3])


def drawn(
    layers, rng, label, *, t=2, b=1, i=2, o=1, h=2, w=2, n=3, r=1, k=2, s=3, size=1.0, lengths=None, **facts
):
    """A Case of so many layers of LSTMs; none: a tanh layer."""
    shapes = ntm_shapes(i, o, h, w, r, k - r, s, "lstm" if layers else "feedforward", layers=layers)
    weights = ntm_weights({name: size * rng.normal(size=shape) for name, shape in shapes.items()})
    state = [rng.normal(size=(b, r, w)), rng.normal(size=(b, n, w)), rng.dirichlet(np.ones(n), size=(b, k))]
    if layers:
        state += list(rng.normal(size=(2, b, layers, h) if layers > 1 else (2, b, h)))
    lengths = None if lengths is None else np.array(lengths)
    return Case(label, (rng.normal(size=(t, b, i)), *state, *in_order(weights), lengths), **facts)


def _cases(layers):
    def cases(rng):
        case = partial(drawn, layers, rng)
        yield case("one step", t=1)
        yield case("two steps, two sequences", b=2)
        yield case("lengths, one of them zero", b=3, t=3, lengths=(1, 3, 0))
        yield case("two read heads, three write heads", r=2, k=5)
        yield case("one row", n=1, zero_gradient=("weightings",))
        yield case("shifts wider than the memory", n=2, s=7)
        yield case("one shift", s=1)
        yield case("saturated", t=3, size=4.0)

    return cases


STATE = "reads(b,r,w), memory(b,n,w), weightings(b,k,n)"
LAST = "last_reads(b,r,w), last_memory(b,n,w), last_weightings(b,k,n)"
HEADS = "head_weights(h,p), head_bias(p), output_weights(f,o), output_bias(o), lengths?!(b)"

ntm_lstm = register(
    Op(
        name="ntm_lstm",
        signature=f"x(t,b,i), {STATE}, hidden(b,h), cell(b,h), input_weights(c,4h), hidden_weights(h,4h), "
        f"bias(4h), {HEADS} -> outputs(t,b,o), {LAST}, last_hidden(b,h), last_cell(b,h)",
        forward=ntm_lstm_forward,
        backward=ntm_lstm_backward,
        equals=ntm_lstm_composed,
        cases=_cases(1),
        passive={"lengths": "integer"},
        source="arXiv:1410.5401 section 3",
    )
)

ntm_feedforward = register(
    Op(
        name="ntm_feedforward",
        signature=f"x(t,b,i), {STATE}, input_weights(c,h), bias(h), {HEADS} -> outputs(t,b,o), {LAST}",
        forward=ntm_feedforward_forward,
        backward=ntm_feedforward_backward,
        equals=ntm_feedforward_composed,
        cases=_cases(0),
        passive={"lengths": "integer"},
        source="arXiv:1410.5401 section 3",
    )
)
