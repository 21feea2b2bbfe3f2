"""An LSTM layer over whole sequences: ``nn/lstm.py`` laid out for speed.

Forward
-------
As in ``ops/lstm_cell.py``, step by step, with what does not depend on the recurrence outside the loop: x W
for all steps is one product before it.

Backward
--------
Back-propagation through time, newest step first.  Write g(.) for the gradient of the loss, y_t and s_t for
the hidden units and the cell after step t; what step t+1 passes back is there already:

    g(y_t) += g(out_t)
    g(s_t) += g(y_t) o q',   q = tanh(s_t)
    g(z_i) = g(s_t) c i'    g(z_f) = g(s_t) s_(t-1) f'    g(z_o) = g(y_t) q o'    g(z_c) = g(s_t) i c'
    g(s_(t-1)) = g(s_t) f   g(y_(t-1)) = g(z) U^T

and after the loop one product each for all steps: g(W) = sum_t x_t^T g(z_t), g(U) and g(bias) together from
[y_(t-1), 1], and g(x) = g(z) W^T.

Accuracy
--------
Slopes come from exponentials, in blocks that fit a cache: see ``_controller``, whose step this is.

Layers and directions are compositions: ``models/rnn.py``.

Source: ``nn/lstm.py``.
"""

from typing import NamedTuple

import numpy as np

from ..backend import array_module
from ..buffers import lease
from ..nn.lstm import lstm, lstm_shapes
from ..op import Case, Op, register
from ..twins import twins
from . import _controller as controller
from . import _evidence as evidence
from ._lengths import bring_back, put_back, running_steps, set_aside, until_their_ends


class Sizes(NamedTuple):
    """Every size of one call; hashable, so that it is the key of a lease."""

    steps: int
    batch: int
    inputs: int
    units: int
    features = 0  # no reads; these four are what ``_controller`` asks
    clip_state = 0.0
    recurrent = True
    gates = property(lambda self: 4 * self.units)


def lstm_sequence_forward(x, hidden, cell, input_weights, hidden_weights, bias, lengths=None):
    """Hidden over time, last hidden, last cell.

    (t, b, d), (b, h), (b, h), (d, 4h), (h, 4h), (4h) -> (t, b, h), (b, h), (b, h); ``lengths``: b integers
    in 0..t, or None.  Zeros are shown after the end of a sequence, the state is that of its own end.
    """
    if x.ndim != 3:
        raise ValueError(
            f"lstm_sequence: x must have the axes (t,b,d) and no others before them, got {tuple(x.shape)}"
        )
    sizes = Sizes(*x.shape, hidden.shape[-1])
    xp, tw, h = array_module(x, hidden, cell, input_weights, hidden_weights, bias), twins(x), sizes.units
    running = running_steps(xp, lengths, sizes.steps)
    x = until_their_ends(xp, running, x)
    held = lease(_forward_buffers, x, sizes)
    f = held.buffers
    recurrent_weights = controller.negated(xp, hidden_weights, sizes)
    xp.matmul(x, controller.negated(xp, input_weights, sizes), out=f.sums)
    f.sums += controller.negated(xp, bias, sizes)
    f.carried[0, :, :h], f.cell[0] = hidden, cell
    with tw.quiet():
        for t, v in enumerate(f.views):
            controller.step(xp, tw, v, f, recurrent_weights, sizes)
            put_back(xp, running, f.states, t)
    shown = until_their_ends(xp, running, f.carried[1:, :, :h] + 0)
    saved = (held, x, input_weights, hidden_weights, sizes, running)
    return (shown, f.carried[-1, :, :h] + 0, f.cell[-1] + 0), saved


def lstm_sequence_backward(saved, douts):
    held, x, input_weights, hidden_weights, sizes, running = saved
    dshown, dhidden, dcell = douts
    xp, tw, f = array_module(x, dshown), twins(x), held.buffers
    scratch = lease(_backward_buffers, x, sizes)
    g = scratch.buffers
    dshown = until_their_ends(xp, running, dshown)
    with tw.quiet():
        controller.slopes(xp, tw, f, g, sizes)
    g.back_to_carried[...] = xp.matrix_transpose(hidden_weights)
    g.dhidden[...], g.dcell[...] = dhidden, dcell
    for t in reversed(range(sizes.steps)):
        v, d = f.views[t], g.views[t]
        waiting = set_aside(xp, running, g.states, t)
        g.dhidden += dshown[t]
        controller.step_back(xp, v, d, g, sizes)
        xp.matmul(d.dsums, g.back_to_carried, out=g.dhidden)
        bring_back(g.states, waiting)
    dx = xp.matmul(g.dsums, xp.matrix_transpose(input_weights))
    dinput = controller.over_steps(xp, x, g.dsums)
    dcarried = controller.over_steps(xp, f.carried[:-1], g.dsums)  # the last row is the bias's
    return dx, g.dhidden + 0, g.dcell + 0, dinput, dcarried[:-1], dcarried[-1]


def _forward_buffers(new, s):
    f = controller.forward_buffers(new, s)
    f.views = [controller.forward_views(f, s, t) for t in range(s.steps)]
    return f


def _backward_buffers(new, s):
    g = controller.backward_buffers(new, s)
    g.views = [controller.backward_views(g, s, t) for t in range(s.steps)]
    return g


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, t=3, b=2, d=2, h=2, size=1.0, gates=None, lengths=None, **facts):
        weights = {name: size * rng.normal(size=shape) for name, shape in lstm_shapes(d, h).items()}
        if gates:
            weights["bias"] = (weights["bias"].reshape(4, h) + [[z] for z in gates]).reshape(4 * h)
        lengths = None if lengths is None else np.array(lengths)
        x, state = rng.normal(size=(t, b, d)), rng.normal(size=(2, b, h))
        return Case(label, (x, *state, *weights.values(), lengths), **facts)

    yield case("one step", t=1)
    yield case("several steps", t=5)
    yield case("one sequence", b=1)
    yield case("one unit", d=1, h=1)
    yield case("no step", t=0, h=1, zero_gradient=("x", "input_weights", "hidden_weights", "bias"))
    yield case("no input", d=0, h=1, zero_gradient=("x", "input_weights"))
    yield case("lengths, one of them zero", b=3, t=3, lengths=(1, 3, 0))
    yield case("saturated", size=4.0)
    yield case("open wide", h=1, gates=(35.0, 35.0, 35.0, 20.0))
    yield case("shut", h=1, gates=(-35.0, -35.0, -35.0, -20.0))


def padding_is_never_read(inputs, params, out):
    evidence.padding_is_never_read(lstm_sequence_forward, lstm_sequence_backward, inputs, params, out)


def what_is_returned_outlives_the_next_calls(inputs, params, out):
    both = lstm_sequence_forward, lstm_sequence_backward
    evidence.what_is_returned_outlives_the_next_calls(*both, inputs, params, out)


lstm_sequence = register(
    Op(
        name="lstm_sequence",
        signature="x(t,b,d), hidden(b,h), cell(b,h), input_weights(d,4h), hidden_weights(h,4h), bias(4h), "
        "lengths?!(b) -> shown(t,b,h), last_hidden(b,h), last_cell(b,h)",
        forward=lstm_sequence_forward,
        backward=lstm_sequence_backward,
        equals=lstm,
        cases=cases,
        properties=(padding_is_never_read, what_is_returned_outlives_the_next_calls),
        passive={"lengths": "integer"},
        source="Neural Computation 9 (1997) 1735; 12 (2000) 2451",
    )
)
