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

import inspect

import numpy as np

from ..backend import array_module
from ..nn.dnc_cell import DNCState, DNCWeights, dnc_sequence, dnc_shapes
from ..nn.dnc_controller import tanh_layer
from ..nn.dnc_convention import PARTS, DNCConvention
from ..op import Case, Detached, Op, register
from ..refusals import refuse_no_rate
from ._dnc_sequence import State, Weights, backward, forward

PARAMS = (
    *("masked", "mask_keys", "mask_min", "deallocate", "sharpen_links", "link_eps", "strength"),
    *("softplus_threshold", "keys", "interface_order", "mode_order", "form", "eps", "allocation_eps"),
    *("stop_write_gradient", "clip_interface"),
)
"""The fields of DNCConvention that are keywords of the ops here."""
_IRRELEVANT = ("simulated_gate", "input_skips", "shown_layers")  # to one write head and one layer


def runs(convention):
    """Whether the ops here follow this DNCConvention, with one write head and one layer."""
    chosen, default = vars(convention), vars(DNCConvention())
    return all(chosen[name] == default[name] for name in default if name not in PARAMS + _IRRELEVANT)


def _with_params(function):
    """Show ``PARAMS``, with the defaults of DNCConvention, as the keywords that ``**convention`` takes."""
    shown, defaults = inspect.signature(function), vars(DNCConvention())
    *others, _ = shown.parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    params = [inspect.Parameter(name, keyword, default=defaults[name]) for name in PARAMS]
    function.__signature__ = shown.replace(parameters=others + params)
    return function


@_with_params
def dnc_lstm_forward(
    x, memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell,
    input_weights, hidden_weights, bias, interface_weights, output_weights, read_output_weights,
    interface_bias=None, output_bias=None, lengths=None, bypass_keep=None, *, bypass_rate=0.0, **convention,
):  # fmt: skip
    """Outputs over time and the last state of a DNC with an LSTM controller and one write head.

    x (t, b, i); the state: memory (b, n, w), usage (b, n), link (b, 1, n, n), precedence and
    write_weightings (b, 1, n), read_weightings (b, r, n), reads (b, r, w), hidden and cell (b, h);
    lengths: b integers in 0..t, or None; bypass_keep (t, b, h) booleans: the hidden units that the output
    layer sees, divided by 1 - ``bypass_rate``; None: all, as they are.  ``convention``: fields of
    DNCConvention, those of ``PARAMS``.  Returns outputs (t, b, o), zero after the end of a sequence, and the
    state at each sequence's own end.
    """
    state = State(
        memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell
    )  # fmt: skip
    weights = Weights(
        input_weights, hidden_weights, bias, interface_weights, output_weights, read_output_weights,
        interface_bias, output_bias,
    )  # fmt: skip
    refuse_no_rate("dnc_lstm: bypass_rate", bypass_rate)
    return forward(x, state, weights, lengths, bypass_keep, bypass_rate=bypass_rate, **convention)


def dnc_lstm_backward(saved, douts):
    dx, dstate, dweights = backward(saved, douts[0], State(*douts[1:]))
    return (dx, *dstate, *dweights)


@_with_params
def dnc_feedforward_forward(
    x, memory, usage, link, precedence, write_weightings, read_weightings, reads,
    input_weights, bias, interface_weights, output_weights, read_output_weights,
    interface_bias=None, output_bias=None, lengths=None, bypass_keep=None, *, bypass_rate=0.0, **convention,
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
    return forward(x, state, weights, lengths, bypass_keep, bypass_rate=bypass_rate, **convention)


def dnc_feedforward_backward(saved, douts):
    dx, dstate, dweights = backward(saved, douts[0], State(*douts[1:]))
    return (dx, *dstate[:7], dweights.input_weights, *dweights[2:])


# ---- evidence ---------------------------------------------------------------

DEALLOCATE = {"deallocate": True}
MASKED_AND_SHARPENED = {
    "masked": True, "mask_keys": False, "mask_min": 0.25, "sharpen_links": True, "link_eps": 1e-2,
}  # fmt: skip
CSORDAS = {
    "masked": True, "deallocate": True, "sharpen_links": True, "form": "added", "allocation_eps": 1e-2,
    "stop_write_gradient": True, "clip_interface": 1.5, "interface_order": PARTS[::-1],
}  # fmt: skip
OTHERS = {
    "strength": "softplus", "softplus_threshold": 0.5, "keys": "tanh", "allocation_eps": 0.25, "eps": 0.1,
    "mode_order": "forward_backward_content", "form": "smoothed_product",
}  # fmt: skip


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


def _writes_held(forward, states):
    """``Detached`` of a DNC: a write weighting that a state hands on serves nothing but the usage."""

    def in_steps(x, rest, held, convention):
        state, weights, (lengths, keep) = rest[:states], rest[states:-2], rest[-2:]
        outputs, writes = [], []
        for t in range(x.shape[0]):
            writes.append(state[4])
            state = (*state[:4], state[4] if held is None else held[t], *state[5:])
            left = None if lengths is None else lengths - t
            shown = None if keep is None else keep[t : t + 1]
            (y, *state), _ = forward(x[t : t + 1], *state, *weights, left, shown, **convention)
            outputs.append(y)
        return (array_module(x).concat(outputs, axis=0), *state), tuple(writes)

    def stopped(x, *rest, **convention):
        return in_steps(x, rest, None, convention)[1] if convention.get("stop_write_gradient") else ()

    def with_writes_held(x, *rest, **convention):
        end = len(rest) - x.shape[0]
        return in_steps(x, rest[:end], rest[end:], convention)[0]

    return Detached(stopped, with_writes_held)


def _margin(composed, params, x, *rest):
    """How far inputs may surely move before two rows of one memory swap: a share of the smallest gap."""
    usages = [np.sort(composed(x[: t + 1], *rest, **params)[2]) for t in range(len(x))]
    return min(float((u[:, 1:] - u[:, :-1]).min(initial=1.0)) for u in usages) / 50


def _cases(controller):
    recurrent = controller == "lstm"

    def case(
        rng, label, *, t=2, b=1, i=2, o=1, h=2, w=2, n=3, r=1, size=1.0, alike=False, biases=True,
        lengths=None, bypass_rate=None, margin=None, params=None, **facts,
    ):  # fmt: skip
        params = params or {}
        added = {name: params[name] for name in ("masked", "sharpen_links") if name in params}
        shapes = dnc_shapes(i, o, h, 1 if recurrent else 0, w, r, biases=biases, **added)
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
        margin = _margin(composed, params, *inputs) if margin is None else margin
        keep = None if bypass_rate is None else rng.random((t, b, h)) >= bypass_rate
        params = params if bypass_rate is None else params | {"bypass_rate": bypass_rate}
        return Case(label, (*inputs, keep), params, margin=margin, **facts)

    def cases(rng):
        few = {"i": 1, "h": 1}
        yield case(rng, "one step, one row", **few, t=1, n=1, zero_gradient=("link",))
        yield case(rng, "two steps, two sequences", b=2, h=1)
        yield case(rng, "six rows", n=6, w=1, h=1)
        yield case(rng, "all rows tie at the first step", alike=True, t=3, margin=0)
        yield case(rng, "saturated", t=3, n=2, size=4.0)
        lengths = {"t": 3, "b": 3, "lengths": (1, 3, 0)}
        yield case(rng, "lengths, one of them zero, units dropped", **lengths, w=1, h=2, n=2, bypass_rate=0.4)
        yield case(rng, "three read heads, what is freed is erased", **few, r=3, n=2, w=1, params=DEALLOCATE)
        yield case(rng, "masked, without biases", **few, biases=False, params={"masked": True})
        yield case(rng, "memory masked, links sharpened", **few, t=3, n=2, params=MASKED_AND_SHARPENED)
        yield case(rng, "csordas", **few, params=CSORDAS, zero_gradient=("write_weightings",))
        yield case(rng, "other squashing, order of modes, lengths", **few, params=OTHERS)

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
        detached=_writes_held(dnc_lstm_forward, 9),
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
        detached=_writes_held(dnc_feedforward_forward, 7),
        cases=_cases("feedforward"),
        passive={"lengths": "integer", "bypass_keep": "boolean"},
        source="Nature 538 (2016) 471, Methods",
    )
)
