"""A GRU layer over whole sequences: ``nn/gru.py`` laid out for speed.

Forward
-------
As in ``ops/gru_cell.py``, step by step, with x W for all steps in one product before the loop.

Backward
--------
Back-propagation through time, newest step first.  Write g(.) for the gradient of the loss, y for the state
before a step and y' for the one after it, k and 1 - k for what is kept and what is renewed, r for the reset
gate, n = tanh(a) for the candidate:

    g(z) = +-g(y') (y - n) k'     g(a) = g(y') (1 - k) n'     + where an open gate keeps, - where it takes
    reset "before"     s = g(a) U_n^T       g(z_r) = s y r'                     g(y) = g(y') k + s r + ...
    reset "after"      s = r g(a)           g(z_r) = g(a) (y U_n + c_n) r'      g(y) = g(y') k + s U_n^T + ...
                                            where ... = g(z_r) U_r^T + g(z) U_z^T

All that does not depend on g is multiplied before the loop, and weight gradients are products for all steps
after it.

Accuracy
--------
Slopes come from exponentials, 1 - k is a sigmoid of its own, and y - n is taken relative to the end that both
are near: see ``ops/gru_cell.py``.

Layout: see ``_gru_buffers``.

Source: ``nn/gru.py``.
"""

from typing import NamedTuple

import numpy as np

from ..backend import array_module
from ..buffers import lease
from ..calculus import tanh_difference
from ..nn.gru import gru, gru_shapes
from ..op import Case, Op, register
from ..ops.gru_cell import refuse_other_conventions
from ..twins import twins
from . import _evidence as evidence
from ._controller import blocks, over_steps, tanh_slopes
from ._gru_buffers import backward_buffers, forward_buffers
from ._lengths import bring_back, put_back, running_steps, set_aside, until_their_ends


class Sizes(NamedTuple):
    """Every size of one call; hashable, so that it is the key of a lease."""

    steps: int
    batch: int
    inputs: int
    units: int
    reset: str  # "before" or "after" the product with the state


def gru_sequence_forward(
    x, hidden, input_weights, hidden_weights, bias, hidden_bias=None, lengths=None, *,
    reset="before", update="keeps",
):  # fmt: skip
    """Hidden over time, last hidden.

    (t, b, d), (b, h), (d, 3h), (h, 3h), (3h), (3h) or None -> (t, b, h), (b, h); ``lengths``: b integers in
    0..t, or None.  Zeros are shown after the end of a sequence, the state is that of its own end.
    ``reset`` and ``update`` are those of ``gru_cell``.
    """
    refuse_other_conventions("gru_sequence", reset, update)
    if x.ndim != 3:
        raise ValueError(
            f"gru_sequence: x must have the axes (t,b,d) and no others before them, got {tuple(x.shape)}"
        )
    sizes = Sizes(*x.shape, hidden.shape[-1], reset)
    xp = array_module(x, hidden, input_weights, hidden_weights, bias, hidden_bias)
    tw, h = twins(x), sizes.units
    running = running_steps(xp, lengths, sizes.steps)
    x = until_their_ends(xp, running, x)
    held = lease(forward_buffers, x, sizes)
    f = held.buffers
    recurrent_bias = xp.zeros_like(bias) if hidden_bias is None else hidden_bias
    xp.matmul(x, _emitting(xp, input_weights, update), out=f.sums)
    f.sums += _emitting(xp, bias, update)
    recurrent = xp.concat([hidden_weights, recurrent_bias[None, :]], axis=0)
    recurrent = _emitting(xp, recurrent, update)
    of_candidate, of_gates = recurrent[:, :h], recurrent[:, h:]
    if reset == "before":
        f.sums[:, :, :h] += of_candidate[h]
    f.carried[0, :, :h] = hidden
    with tw.quiet():
        for t, v in enumerate(f.views):
            _gates(xp, tw, v, f, of_gates)
            if reset == "before":
                xp.multiply(v.reset, v.before, out=v.seen)
                xp.matmul(v.seen, of_candidate[:h], out=v.drive)
            else:
                xp.matmul(v.carried, of_candidate, out=v.seen)
                xp.multiply(v.reset, v.seen, out=v.drive)
            v.drive += v.candidate_sums
            xp.tanh(v.drive, out=v.candidate)
            state = xp.multiply(v.keep, v.before, out=v.hidden)
            state += xp.multiply(v.renew, v.candidate, out=f.over_units)
            put_back(xp, running, f.states, t)
    shown = until_their_ends(xp, running, f.carried[1:, :, :h] + 0)
    weights = (input_weights, hidden_weights)
    return (shown, f.carried[-1, :, :h] + 0), (held, x, weights, sizes, update, running)


def gru_sequence_backward(saved, douts):
    held, x, (input_weights, hidden_weights), sizes, update, running = saved
    dshown, dhidden = douts
    xp, tw, f, h = array_module(x, dshown), twins(x), held.buffers, sizes.units
    scratch = lease(backward_buffers, x, sizes)
    g = scratch.buffers
    dshown = until_their_ends(xp, running, dshown)
    with tw.quiet():
        _pulls(xp, tw, f, g, sizes, update)
    g.back_to_hidden[...] = xp.matrix_transpose(hidden_weights)
    through_gates, through_candidate = g.back_to_hidden[: 2 * h], g.back_to_hidden[2 * h :]
    dstate = g.dhidden
    dstate[...] = dhidden
    for t in reversed(range(sizes.steps)):
        v, d = f.views[t], g.views[t]
        waiting = set_aside(xp, running, (dstate,), t)
        dstate += dshown[t]
        xp.multiply(dstate, d.pull_of_candidate, out=d.dcandidate)
        xp.multiply(dstate, d.pull_of_update, out=d.dupdate)
        dstate *= v.keep
        if sizes.reset == "before":
            dseen = xp.matmul(d.dcandidate, through_candidate, out=g.dseen)
            xp.multiply(dseen, d.pull_of_reset, out=d.dreset)
            dseen *= v.reset
            dstate += dseen
            dstate += xp.matmul(d.dgates, through_gates, out=g.over_units)
        else:
            xp.multiply(d.dcandidate, d.pull_of_reset, out=d.dreset)
            xp.multiply(d.dcandidate, v.reset, out=d.dproduct)
            dstate += xp.matmul(d.dgates_and_product, g.back_to_hidden, out=g.over_units)
        bring_back((dstate,), waiting)
    dsums, dgates, dproduct = g.dall[:, :, : 3 * h], g.dall[:, :, h : 3 * h], g.dall[:, :, 3 * h :]
    before = f.carried[:-1, :, :h]
    if sizes.reset == "before":
        dproduct[...] = dsums[:, :, :h]
        both = over_steps(xp, before, dgates), over_steps(xp, f.seen, dproduct)
        drecurrent = xp.concat(both, axis=1)
    else:
        drecurrent = over_steps(xp, before, g.dall[:, :, h:])
    dbias = xp.sum(xp.reshape(g.dall, (sizes.steps * sizes.batch, 4 * h)), axis=0)
    return (
        xp.matmul(dsums, xp.matrix_transpose(_reordered(xp, input_weights))),
        dstate + 0,
        _in_order(xp, over_steps(xp, x, dsums)),
        drecurrent,
        _in_order(xp, dbias[: 3 * h]),
        dbias[h:],
    )


def _gates(xp, tw, v, f, weights):
    """Reset, keep and renew, each 1 / (1 + exp(.))."""
    xp.matmul(v.carried, weights, out=f.recurrent)
    xp.add(v.gate_sums, f.recurrent_apart, out=v.exponents_of_both)
    xp.multiply(v.exponent_of_keep, -1, out=v.exponent_of_renew)
    tw.rising(v.exponents, v.exponentials, v.gates)


def _pulls(xp, tw, f, g, sizes, update):
    """What the gradients of the three sums are multiples of, a few steps at a time."""
    h, sign = sizes.units, 1 if update == "keeps" else -1
    for now in blocks(f.drive):
        before, new = f.carried[:-1][now, :, :h], f.candidate[now]
        of_update, slope = g.pulls[now, 0], g.pulls[now, 1]
        reset, keep, renew = (f.gates[now, gate] for gate in range(3))
        tanh_slopes(xp, tw, f.drive[now], slope)
        ahead = tanh_difference(xp, before, (1 - before) * (1 + before), new, slope)
        xp.multiply(keep, renew, out=of_update)
        of_update *= sign * ahead
        slope *= renew
        tw.rising_slope(f.exponentials[now, 0], reset, g.pulls[now, 2])
        g.pulls[now, 2] *= before if sizes.reset == "before" else f.seen[now]


def _reordered(xp, a):
    """Columns of reset, update, candidate as candidate, reset, update."""
    h = a.shape[-1] // 3
    return xp.concat([a[..., 2 * h :], a[..., : 2 * h]], axis=-1)


def _in_order(xp, a):
    """The inverse of ``_reordered``."""
    h = a.shape[-1] // 3
    return xp.concat([a[..., h:], a[..., :h]], axis=-1)


def _emitting(xp, a, update):
    """The same with those of sigmoids negated: of the reset gate, and of what is kept."""
    h, a = a.shape[-1] // 3, _reordered(xp, a)
    of_sigmoids = a[..., h : 2 * h if update == "takes" else 3 * h]
    xp.multiply(of_sigmoids, -1, out=of_sigmoids)
    return a


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(
        label, *, t=2, b=1, d=1, h=2, size=1.0, gates=None, one_bias=False, lengths=None,
        vanishing=(), **params,
    ):  # fmt: skip
        """``gates`` move the biases of reset, update and candidate."""
        weights = {
            name: size * rng.normal(size=shape) for name, shape in gru_shapes(d, h, two_biases=True).items()
        }
        if gates:
            weights["bias"] = (weights["bias"].reshape(3, h) + [[z] for z in gates]).reshape(3 * h)
        if one_bias:
            weights["hidden_bias"] = None
        lengths = None if lengths is None else np.array(lengths)
        x, hidden = rng.normal(size=(t, b, d)), rng.normal(size=(b, h))
        return Case(label, (x, hidden, *weights.values(), lengths), params, zero_gradient=vanishing)

    yield case("no step", t=0, h=1, vanishing=NAMES[:1] + NAMES[2:])
    for reset in ("before", "after"):
        for update in ("keeps", "takes"):
            params = {"reset": reset, "update": update}
            yield case(f"{reset}, {update}, one step", t=1, d=2, **params)
            yield case(f"{reset}, {update}, several steps", t=3, b=2, d=2, one_bias=True, **params)
        yield case(f"{reset}, lengths, one of them zero", b=3, t=3, lengths=(1, 3, 0), reset=reset)
        yield case(f"{reset}, no input", d=0, h=1, vanishing=("x", "input_weights"), reset=reset)
        yield case(f"{reset}, saturated", size=4.0, reset=reset)
        yield case(f"{reset}, open wide", h=1, gates=(35.0, 35.0, 20.0), reset=reset)
        yield case(f"{reset}, shut", h=1, gates=(-35.0, -35.0, -20.0), reset=reset)


def padding_is_never_read(inputs, params, out):
    evidence.padding_is_never_read(gru_sequence_forward, gru_sequence_backward, inputs, params, out)


def what_is_returned_outlives_the_next_calls(inputs, params, out):
    both = gru_sequence_forward, gru_sequence_backward
    evidence.what_is_returned_outlives_the_next_calls(*both, inputs, params, out)


NAMES = ("x", "hidden", "input_weights", "hidden_weights", "bias", "hidden_bias")

gru_sequence = register(
    Op(
        name="gru_sequence",
        signature="x(t,b,d), hidden(b,h), input_weights(d,3h), hidden_weights(h,3h), bias(3h), "
        "hidden_bias?(3h), lengths?!(b) -> shown(t,b,h), last_hidden(b,h)",
        forward=gru_sequence_forward,
        backward=gru_sequence_backward,
        equals=gru,
        cases=cases,
        properties=(padding_is_never_read, what_is_returned_outlives_the_next_calls),
        passive={"lengths": "integer"},
        source="arXiv:1406.1078 eqs. 5-8",
    )
)
