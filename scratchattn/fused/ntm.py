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
taken off twice: in saturated cells it stays within 1e-12 of the composition.

Layout: see ``_ntm_buffers``, ``_controller``.

Source: ``nn/ntm_cell.py``.
"""

import numpy as np

from ..backend import array_module, smallest
from ..buffers import lease
from ..nn.ntm_cell import EPS, NTMState, NTMWeights, ntm_sequence, ntm_shapes
from ..op import Case, Op, register
from ..twins import twins
from . import _controller as controller
from . import _ntm_heads as heads
from ._lengths import bring_back, put_back, running_steps, set_aside, until_their_ends
from ._ntm_buffers import forward_buffers
from ._ntm_scratch import backward_buffers
from ._ntm_sizes import sizes_of


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
    weights = NTMWeights(
        input_weights, bias, head_weights, head_bias, output_weights, output_bias, hidden_weights
    )
    return _forward(x, state, weights, lengths, eps)


def ntm_lstm_backward(saved, douts):
    dx, dstate, dweights = _backward(saved, douts[0], NTMState(*douts[1:]))
    return (dx, *dstate, dweights.input_weights, dweights.hidden_weights, *dweights[1:6])


def ntm_feedforward_forward(
    x, reads, memory, weightings, input_weights, bias,
    head_weights, head_bias, output_weights, output_bias, lengths=None, *, eps=EPS,
):  # fmt: skip
    """Outputs over time and the last state of an NTM with a feed-forward controller: one tanh layer.

    Shapes as in ``ntm_lstm``, without hidden and cell.
    """
    weights = NTMWeights(input_weights, bias, head_weights, head_bias, output_weights, output_bias)
    return _forward(x, NTMState(reads, memory, weightings), weights, lengths, eps)


def ntm_feedforward_backward(saved, douts):
    dx, dstate, dweights = _backward(saved, douts[0], NTMState(*douts[1:]))
    return (dx, *dstate[:3], *dweights[:6])


def _forward(x, state, weights, lengths, eps):
    sizes = sizes_of(x, state, weights)
    xp, tw = array_module(x, *state, *weights), twins(x)
    tiny, features = smallest(x), sizes.features
    running = running_steps(xp, lengths, sizes.steps)
    x = until_their_ends(xp, running, x)
    held = lease(forward_buffers, x, sizes)
    f = held.buffers
    recurrent = controller.carried_weights(xp, weights, sizes)
    recurrent_weights = controller.negated(xp, recurrent, sizes)
    head_weights = heads.emitting_weights(xp, weights, sizes)
    xp.matmul(x, controller.negated(xp, weights.input_weights[: sizes.inputs], sizes), out=f.sums)
    f.sums += controller.negated(xp, weights.bias, sizes)
    f.carried[0, :, :features] = state.reads.reshape(sizes.batch, features)
    f.memory[0], f.weightings[0] = state.memory.swapaxes(1, 2), state.weightings
    heads.squares(xp, f.memory[0], f, f.inverse[0, :, None, : sizes.rows])
    f.carried[0, :, features:-1] = state.hidden if sizes.recurrent else 0  # kept by a sequence of no steps
    if sizes.recurrent:
        f.cell[0] = state.cell
    with tw.quiet():
        for t, v in enumerate(f.views):
            controller.step(xp, tw, v, f, recurrent_weights, sizes)
            xp.matmul(v.hidden_and_one, head_weights, out=v.raw)
            heads.squash(xp, tw, v, f)
            heads.address(xp, tw, v, f, eps, tiny)
            heads.read_and_write(xp, v, f)
            put_back(xp, running, f.states, t)
    outputs = xp.matmul(f.carried[1:, :, :-1], weights.output_weights)
    outputs += weights.output_bias
    outputs = until_their_ends(xp, running, outputs)
    last = f.carried[-1]
    final = [
        last[:, :features].reshape(state.reads.shape),
        f.memory[-1].swapaxes(1, 2),
        f.weightings[-1],
    ]
    if sizes.recurrent:
        final += [last[:, features:-1], f.cell[-1]]
    return (outputs, *[a + 0 for a in final]), (held, x, weights, recurrent, sizes, running)


def _backward(saved, doutputs, dlast):
    held, x, weights, recurrent, sizes, running = saved
    xp, tw, f, features = array_module(x, doutputs), twins(x), held.buffers, sizes.features
    scratch = lease(backward_buffers, x, sizes)
    g = scratch.buffers
    doutputs = until_their_ends(xp, running, doutputs)
    with tw.quiet():
        heads.slopes(xp, tw, f, g, sizes, smallest(x))
        controller.slopes(xp, tw, f, g, sizes)
    dfeatures = xp.matmul(doutputs, xp.matrix_transpose(weights.output_weights))
    back_to_carried, back_to_hidden = (
        xp.matrix_transpose(recurrent),
        xp.matrix_transpose(weights.head_weights),
    )
    if sizes.batch > 1:  # a product of several rows wants the transposed weights in order
        g.back_to_carried[...], g.back_to_hidden[...] = back_to_carried, back_to_hidden
        back_to_carried, back_to_hidden = g.back_to_carried, g.back_to_hidden
    g.dcarried[:, :features] = dlast.reads.reshape(sizes.batch, features)
    g.dmemory[...], g.dweightings[...] = dlast.memory.swapaxes(1, 2), dlast.weightings
    g.dhidden[...] = dlast.hidden if sizes.recurrent else 0
    if sizes.recurrent:
        g.dcell[...] = dlast.cell
    for t in reversed(range(sizes.steps)):
        v, d = f.views[t], g.views[t]
        waiting = set_aside(xp, running, g.states, t)
        g.dcarried += dfeatures[t]
        heads.read_and_write_back(xp, v, d, g)
        g.dweightings += g.over_rows
        heads.address_back(xp, tw, v, d, g)
        heads.memory_back(xp, v, d, g)
        d.sloped *= d.head_slopes
        g.dhidden += xp.matmul(d.draw, back_to_hidden, out=g.over_units)
        controller.step_back(xp, v, d, g, sizes)
        xp.matmul(d.dsums, back_to_carried, out=g.dcarried_by_sums)
        bring_back(g.states, waiting)
    return _gradients(xp, f, g, x, weights, doutputs, sizes)


def _gradients(xp, f, g, x, weights, doutputs, sizes):
    """Weight gradients, one product each over all steps; none of them is leased memory."""
    features, over_steps = sizes.features, controller.over_steps
    dheads = over_steps(xp, f.carried[1:, :, features:], g.draw)  # the last row is the bias's
    doutput = over_steps(xp, f.carried[1:], doutputs)
    dcontrol = over_steps(xp, f.carried[:-1], g.dsums)
    dweights = NTMWeights(
        xp.concat([over_steps(xp, x, g.dsums), dcontrol[:features]], axis=0),
        dcontrol[-1] + 0,
        dheads[:-1] + 0,
        dheads[-1] + 0,
        doutput[:-1] + 0,
        doutput[-1] + 0,
        dcontrol[features:-1] + 0 if sizes.recurrent else None,
    )
    dx = xp.matmul(g.dsums, xp.matrix_transpose(weights.input_weights[: sizes.inputs]))
    units = (g.dhidden + 0, g.dcell + 0) if sizes.recurrent else (None, None)
    return dx, NTMState(g.dreads + 0, g.dmemory.swapaxes(1, 2) + 0, g.dweightings + 0, *units), dweights


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


def _cases(controller):
    def case(
        rng, label, *, t=2, b=1, i=2, o=1, h=2, w=2, n=3, r=1, k=2, s=3, size=1.0, lengths=None, **facts
    ):
        shapes = ntm_shapes(i, o, h, w, r, k - r, s, controller)
        weights = {name: size * rng.normal(size=shape) for name, shape in shapes.items()}
        hidden_weights = [weights.pop("hidden_weights")] if controller == "lstm" else []
        input_weights, *others = weights.values()
        weightings = rng.dirichlet(np.ones(n), size=(b, k))
        units = [rng.normal(size=(b, h)), rng.normal(size=(b, h))] if controller == "lstm" else []
        state = [rng.normal(size=(b, r, w)), rng.normal(size=(b, n, w)), weightings, *units]
        lengths = None if lengths is None else np.array(lengths)
        inputs = (rng.normal(size=(t, b, i)), *state, input_weights, *hidden_weights, *others, lengths)
        return Case(label, inputs, **facts)

    def cases(rng):
        yield case(rng, "one step", t=1)
        yield case(rng, "two steps, two sequences", b=2)
        yield case(rng, "lengths, one of them zero", b=3, t=3, lengths=(1, 3, 0))
        yield case(rng, "two read heads, three write heads", r=2, k=5)
        yield case(rng, "one row", n=1, zero_gradient=("weightings",))
        yield case(rng, "shifts wider than the memory", n=2, s=7)
        yield case(rng, "one shift", s=1)
        yield case(rng, "saturated", t=3, size=4.0)

    return cases


_STATE = "reads(b,r,w), memory(b,n,w), weightings(b,k,n)"
_LAST = "last_reads(b,r,w), last_memory(b,n,w), last_weightings(b,k,n)"
_HEADS = "head_weights(h,p), head_bias(p), output_weights(f,o), output_bias(o), lengths?!(b)"

ntm_lstm = register(
    Op(
        name="ntm_lstm",
        signature=f"x(t,b,i), {_STATE}, hidden(b,h), cell(b,h), input_weights(c,4h), hidden_weights(h,4h), "
        f"bias(4h), {_HEADS} -> outputs(t,b,o), {_LAST}, last_hidden(b,h), last_cell(b,h)",
        forward=ntm_lstm_forward,
        backward=ntm_lstm_backward,
        equals=ntm_lstm_composed,
        cases=_cases("lstm"),
        passive={"lengths": "integer"},
        source="arXiv:1410.5401 section 3",
    )
)

ntm_feedforward = register(
    Op(
        name="ntm_feedforward",
        signature=f"x(t,b,i), {_STATE}, input_weights(c,h), bias(h), {_HEADS} -> outputs(t,b,o), {_LAST}",
        forward=ntm_feedforward_forward,
        backward=ntm_feedforward_backward,
        equals=ntm_feedforward_composed,
        cases=_cases("feedforward"),
        passive={"lengths": "integer"},
        source="arXiv:1410.5401 section 3",
    )
)
