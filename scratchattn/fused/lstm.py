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
Slopes come from exponentials, in blocks that fit a cache: see ``_ntm_controller``, whose step this is.

Layers and directions are compositions: ``models/rnn.py``.  Sequences that have ended compute on and are put
back: no look at the data.

Source: ``nn/lstm.py``.
"""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from ..backend import array_module
from ..nn.lstm import lstm, lstm_shapes
from ..op import Case, Op, register
from ..twins import twins
from ._ntm_buffers import lease
from ._ntm_controller import control, control_back, control_slopes, negated


class Sizes(NamedTuple):
    """Every size of one call; hashable, so that it is the key of a lease."""

    steps: int
    batch: int
    inputs: int
    units: int
    recurrent = property(lambda self: True)  # an LSTM: what ``_ntm_controller`` asks


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
    running = None if lengths is None else lengths > _steps(xp, lengths, sizes.steps)  # (t, b)
    if running is not None:
        x = xp.where(running[:, :, None], x, 0)
    held = lease("lstm forward", x, sizes, _forward_buffers)
    f = held.buffers
    recurrent_weights = negated(xp, hidden_weights, sizes)
    xp.matmul(x, negated(xp, input_weights, sizes), out=f.sums)
    f.sums += negated(xp, bias, sizes)
    f.carried[0, :, :h], f.cell[0] = hidden, cell
    with tw.quiet():
        for t, v in enumerate(f.views):
            control(xp, tw, v, f, recurrent_weights, sizes)
            if running is not None:
                for state in (f.carried, f.cell):
                    xp.copyto(state[t + 1], state[t], where=~running[t][:, None])
    shown = f.carried[1:, :, :h] + 0
    if running is not None:
        shown = xp.where(running[:, :, None], shown, 0)
    saved = (held, x, input_weights, hidden_weights, sizes, running)
    return (shown, f.carried[-1, :, :h] + 0, f.cell[-1] + 0), saved


def lstm_sequence_backward(saved, douts):
    held, x, input_weights, hidden_weights, sizes, running = saved
    dshown, dhidden, dcell = douts
    xp, tw, f, h = array_module(x, dshown), twins(x), held.buffers, sizes.units
    scratch = lease("lstm backward", x, sizes, _backward_buffers)
    g = scratch.buffers
    if running is not None:
        dshown = xp.where(running[:, :, None], dshown, 0)
    with tw.quiet():
        control_slopes(xp, tw, f, g, sizes)
    g.back_to_hidden[...] = xp.matrix_transpose(hidden_weights)
    g.dhidden[...], g.dcell[...] = dhidden, dcell
    for t in reversed(range(sizes.steps)):
        v, d = f.views[t], g.views[t]
        if running is not None:  # what belongs to a sequence that has ended waits aside
            ended = ~running[t][:, None]
            waiting = [xp.where(ended, a, 0) for a in (g.dhidden, g.dcell)]
            for a in (g.dhidden, g.dcell):
                xp.copyto(a, 0, where=ended)
        g.dhidden += dshown[t]
        control_back(xp, v, d, g, sizes)
        xp.matmul(d.dsums, g.back_to_hidden, out=g.dhidden)
        if running is not None:
            g.dhidden += waiting[0]
            g.dcell += waiting[1]
    rows = sizes.steps * sizes.batch
    dsums = xp.reshape(g.dsums, (rows, 4 * h))

    def product(a):
        return xp.matmul(xp.matrix_transpose(xp.reshape(a, (rows, a.shape[-1]))), dsums)

    carried = product(f.carried[:-1])  # the last row is the bias's
    dx = xp.matmul(g.dsums, xp.matrix_transpose(input_weights))
    return dx, g.dhidden + 0, g.dcell + 0, product(x), carried[:-1] + 0, carried[-1] + 0


def _steps(xp, lengths, steps):
    """0, 1, ... as a column of integers like ``lengths``."""
    return xp.cumulative_sum(xp.ones_like(lengths, shape=(steps, 1)), axis=0) - 1


def _forward_buffers(like, s):
    """What a recording keeps: every step's state and intermediates, and views of each step into them."""
    xp = array_module(like)

    def new(*shape):
        return xp.empty_like(like, shape=shape)

    t, b, h = s.steps, s.batch, s.units
    f = SimpleNamespace(
        carried=new(t + 1, b, h + 1),  # [hidden, 1] before step 0, after it, ...
        cell=new(t + 1, b, h),
        sums=new(t, b, 4 * h),  # those of sigmoids negated, the candidate's times -2
        exponentials=new(t, 4, b, h),
        gates=new(t, 4, b, h),
        candidate=new(t, b, h),
        shown=new(t, b, h),
        recurrent=new(b, 4 * h),
        over_units=new(b, h),
    )
    f.carried[:, :, h] = 1
    f.views = []
    for i in range(t):
        v = SimpleNamespace(carried=f.carried[i, :, :h], hidden=f.carried[i + 1, :, :h], sums=f.sums[i])
        v.sums_apart, v.candidate_sums = v.sums.reshape(b, 4, h).swapaxes(0, 1), v.sums[:, 3 * h :]
        v.exponentials, v.gates, v.candidate = f.exponentials[i], f.gates[i], f.candidate[i]
        v.input, v.forget, v.output, _ = v.gates
        v.cell_before, v.cell, v.shown = f.cell[i], f.cell[i + 1], f.shown[i]
        f.views.append(v)
    return f


def _backward_buffers(like, s):
    """What a pullback needs while it runs."""
    xp = array_module(like)

    def new(*shape):
        return xp.empty_like(like, shape=shape)

    t, b, h = s.steps, s.batch, s.units
    g = SimpleNamespace(
        dsums=new(t, b, 4 * h),
        slopes=new(t, 4, b, h),
        shown_slopes=new(t, b, h),
        dgates=new(4, b, h),
        dhidden=new(b, h),
        dcell=new(b, h),
        back_to_hidden=new(4 * h, h),  # transposed weights
    )
    g.dinput, g.dforget, g.doutput, g.dcandidate = g.dgates
    g.views = []
    for i in range(t):
        d = SimpleNamespace(dsums=g.dsums[i], slopes=g.slopes[i], shown_slopes=g.shown_slopes[i])
        d.dsums_apart = d.dsums.reshape(b, 4, h).swapaxes(0, 1)
        g.views.append(d)
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


lstm_sequence = register(
    Op(
        name="lstm_sequence",
        signature="x(t,b,d), hidden(b,h), cell(b,h), input_weights(d,4h), hidden_weights(h,4h), bias(4h), "
        "lengths?!(b) -> shown(t,b,h), last_hidden(b,h), last_cell(b,h)",
        forward=lstm_sequence_forward,
        backward=lstm_sequence_backward,
        equals=lstm,
        cases=cases,
        passive={"lengths": "integer"},
        source="Neural Computation 9 (1997) 1735; 12 (2000) 2451",
    )
)
