"""A Differentiable Neural Computer over whole sequences: ``nn/dnc_cell.py``, laid out for speed.

Forward
-------
As in ``nn/dnc_cell.py`` for one write head and the default convention, with what does not depend on the
recurrence outside the loop: x W for all steps before it, the output layer after it.  One product makes the
whole interface.

Backward
--------
Back-propagation through time, newest step first.  Write g(.) for the gradient of the loss by what a step
made (') or found, w and p for write weighting and precedence, r for the read weightings.

    g(r') += g(reads) M'^T                   g(M') += r'^T g(reads) + what all keys that looked at M' pull
    g(back), g(alike), g(onwards) = pi g(r')
    g(L') += g(onwards)^T r + r^T g(back), without its diagonal
    g(r)   = g(onwards) L' + g(back) L'^T + what the free gates took
    g(w') += g(L') p - (g(L') L) 1 - (g(L') L)^T 1 + g(p') - g(p') . p
    g(p)   = g(L')^T w' + (1 - sum w') g(p')           g(L) = g(L') (1 - w'_i - w'_j)
    g(w') += g(M') a - (g(M') M) e                     g(M) = g(M') (1 - w' e)
    g(allocation), g(content) = w' 's gates            from there as in ``ops/dnc_allocation``
    g(u)   = g(u') psi (1 - w)    g(w) = g(u') psi (1 - u)    g(1 - f r) = g(u') used prod of the others

Softmax and cosine are as in ``fused/ntm.py``.  All weight gradients are one product each after the loop.

Accuracy
--------
Slopes come from exponentials, 1 - allocation gate from exp(z), the weighted mean in a softmax's backward is
taken off twice, and no product is ever divided by one of its factors.

Layout: see ``_dnc_buffers``, ``_controller``.

Source: ``nn/dnc_cell.py``.
"""

import numpy as np

from ..nn.dnc_cell import DNCState, DNCWeights, dnc_sequence, dnc_shapes
from ..nn.dnc_controller import tanh_layer
from ..nn.dnc_convention import DNCConvention
from ..op import Case, Op, register
from ..refusals import refuse_no_rate
from ._dnc_sequence import State, Weights, backward, forward

EPS = DNCConvention().eps


def dnc_lstm_forward(
    x, memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell,
    input_weights, hidden_weights, bias, interface_weights, output_weights, read_output_weights,
    interface_bias=None, output_bias=None, lengths=None, bypass_keep=None, *, eps=EPS, bypass_rate=0.0,
):  # fmt: skip
    """Outputs over time and the last state of a DNC with an LSTM controller and one write head.

    x (t, b, i); the state: memory (b, n, w), usage (b, n), link (b, 1, n, n), precedence and
    write_weightings (b, 1, n), read_weightings (b, r, n), reads (b, r, w), hidden and cell (b, h);
    lengths: b integers in 0..t, or None; bypass_keep (t, b, h) booleans: the hidden units that the output
    layer sees, divided by 1 - ``bypass_rate``; None: all, as they are.  Returns outputs (t, b, o), zero after
    the end of a sequence, and the state at each sequence's own end.
    """
    state = State(
        memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell
    )  # fmt: skip
    weights = Weights(
        input_weights, hidden_weights, bias, interface_weights, output_weights, read_output_weights,
        interface_bias, output_bias,
    )  # fmt: skip
    refuse_no_rate("dnc_lstm: bypass_rate", bypass_rate)
    return forward(x, state, weights, lengths, bypass_keep, eps=eps, bypass_rate=bypass_rate)


def dnc_lstm_backward(saved, douts):
    dx, dstate, dweights = backward(saved, douts[0], State(*douts[1:]))
    return (dx, *dstate, *dweights)


def dnc_feedforward_forward(
    x, memory, usage, link, precedence, write_weightings, read_weightings, reads,
    input_weights, bias, interface_weights, output_weights, read_output_weights,
    interface_bias=None, output_bias=None, lengths=None, bypass_keep=None, *, eps=EPS, bypass_rate=0.0,
):  # fmt: skip
    """Outputs over time and the last state of a DNC with a feed-forward controller: one tanh layer.

    Shapes as in ``dnc_lstm``, without hidden and cell.
    """
    state = State(memory, usage, link, precedence, write_weightings, read_weightings, reads)
    weights = Weights(
        input_weights, None, bias, interface_weights, output_weights, read_output_weights, interface_bias,
        output_bias,
    )  # fmt: skip
    refuse_no_rate("dnc_feedforward: bypass_rate", bypass_rate)
    return forward(x, state, weights, lengths, bypass_keep, eps=eps, bypass_rate=bypass_rate)


def dnc_feedforward_backward(saved, douts):
    dx, dstate, dweights = backward(saved, douts[0], State(*douts[1:]))
    return (dx, *dstate[:7], dweights.input_weights, *dweights[2:])


# ---- evidence ---------------------------------------------------------------


def dnc_lstm_composed(x, *rest, **how):
    """The same, op by op: ``nn/dnc_cell.py``."""
    *state, hidden, cell = rest[:9]
    weights = Weights(*rest[9:17])
    layers = ((weights.input_weights, weights.hidden_weights, weights.bias),)
    state = DNCState(*state, ((hidden, cell),))
    outputs, last = dnc_sequence(x, state, DNCWeights(layers, *weights[3:]), *rest[17:], **how)
    return (outputs, *last[:7], *last.controller[0])


def dnc_feedforward_composed(x, *rest, **how):
    """The same, op by op: ``nn/dnc_cell.py``."""
    weights = DNCWeights(rest[7:9], *rest[9:14])
    outputs, last = dnc_sequence(x, DNCState(*rest[:7]), weights, *rest[14:], controller=tanh_layer, **how)
    return (outputs, *last[:7])


def _margin(composed, x, *rest):
    """How far inputs may surely move before two rows of one memory swap: a share of the smallest gap."""
    usages = [np.sort(composed(x[: t + 1], *rest)[2]) for t in range(len(x))]
    return min(float((u[:, 1:] - u[:, :-1]).min(initial=1.0)) for u in usages) / 50


def _cases(controller):
    recurrent = controller == "lstm"

    def case(
        rng, label, *, t=2, b=1, i=2, o=1, h=2, w=2, n=3, r=1, size=1.0, alike=False, biases=True,
        lengths=None, bypass_rate=None, margin=None, **facts,
    ):  # fmt: skip
        shapes = dnc_shapes(i, o, h, 1 if recurrent else 0, w, r, biases=biases)
        named = {name: size * rng.normal(size=shape) for name, shape in shapes.items()}
        on_rows = [0.9 * rng.dirichlet(np.ones(n), size=(b, heads)) for heads in (1, 1, r)]
        link = 0.9 * rng.dirichlet(np.ones(n), size=(b, 1, n)) / n * (1 - np.eye(n))
        usage = (rng.random((b, n)).argsort(axis=-1) + rng.uniform(0.3, 0.7, size=(b, n))) / n
        state = [rng.normal(size=(b, n, w)), usage, link, *on_rows, rng.normal(size=(b, r, w))]
        if alike:  # to the bit, also beside the square of a complex step: powers of two
            state[1], state[4], state[5] = 0 * state[1], 0 * state[4] + 0.25, 0 * state[5] + 0.125
        units = list(rng.normal(size=(2, b, h))) if recurrent else []
        x, lengths = rng.normal(size=(t, b, i)), None if lengths is None else np.array(lengths)
        biased = [named.get(name) for name in ("interface_bias", "output_bias")]
        weights = [a for name, a in named.items() if name not in ("interface_bias", "output_bias")]
        inputs = (x, *state, *units, *weights, *biased, lengths)
        composed = dnc_lstm_composed if recurrent else dnc_feedforward_composed
        margin = _margin(composed, *inputs) if margin is None else margin
        if bypass_rate is not None:
            inputs += (rng.random((t, b, h)) >= bypass_rate,)
            facts["params"] = {"bypass_rate": bypass_rate}
        return Case(label, inputs, margin=margin, **facts)

    def cases(rng):
        yield case(rng, "one step", t=1)
        yield case(rng, "two steps, two sequences", b=2, w=1, h=1)
        yield case(rng, "four read heads", r=4, w=1, h=1)
        yield case(rng, "lengths, one of them zero", b=3, t=3, w=1, h=1, lengths=(1, 3, 0))
        yield case(rng, "one row", n=1, zero_gradient=("link",))
        yield case(rng, "two rows", n=2, t=3, h=1)
        yield case(rng, "six rows", n=6, w=1, h=1)
        yield case(rng, "all rows tie at the first step", alike=True, t=3, margin=0)
        yield case(rng, "without biases", biases=False)
        yield case(rng, "saturated", t=3, size=4.0)
        yield case(rng, "hidden units dropped on their way to the outputs", b=2, w=1, bypass_rate=0.4)
        yield case(rng, "dropped, with lengths", b=2, w=1, lengths=(2, 1), biases=False, bypass_rate=0.4)

    return cases


_STATE = (
    "memory(b,n,w), usage(b,n), link(b,k,n,n), precedence(b,k,n), write_weightings(b,k,n), "
    "read_weightings(b,r,n), reads(b,r,w)"
)
_LAST = ", ".join(f"last_{part}" for part in _STATE.split(", "))
_HEADS = (
    "interface_weights(h,p), output_weights(h,o), read_output_weights(f,o), interface_bias?(p), "
    "output_bias?(o), lengths?!(b), bypass_keep?!(t,b,h)"
)

dnc_lstm = register(
    Op(
        name="dnc_lstm",
        signature=f"x(t,b,i), {_STATE}, hidden(b,h), cell(b,h), input_weights(c,4h), hidden_weights(h,4h), "
        f"bias(4h), {_HEADS} -> outputs(t,b,o), {_LAST}, last_hidden(b,h), last_cell(b,h)",
        forward=dnc_lstm_forward,
        backward=dnc_lstm_backward,
        equals=dnc_lstm_composed,
        cases=_cases("lstm"),
        passive={"lengths": "integer", "bypass_keep": "boolean"},
        source="Nature 538 (2016) 471, Methods",
    )
)

dnc_feedforward = register(
    Op(
        name="dnc_feedforward",
        signature=f"x(t,b,i), {_STATE}, input_weights(c,h), bias(h), {_HEADS} -> outputs(t,b,o), {_LAST}",
        forward=dnc_feedforward_forward,
        backward=dnc_feedforward_backward,
        equals=dnc_feedforward_composed,
        cases=_cases("feedforward"),
        passive={"lengths": "integer", "bypass_keep": "boolean"},
        source="Nature 538 (2016) 471, Methods",
    )
)
