"""A Differentiable Neural Computer over whole sequences: ``nn/dnc_cell.py``, laid out for speed.

Forward
-------
As in ``nn/dnc_cell.py`` for the conventions that ``PARAMS`` span, with what does not depend on the
recurrence outside the loop: x W for all steps before it, the output layer after it.  One product makes the
whole interface.

Backward
--------
Back-propagation through time, newest step first.  Write g(.) for the gradient of the loss by what a step
made (') or found, w and p for write weighting and precedence, r for the read weightings; of one write head,

    g(r') += g(reads) M'^T                   g(M') += r'^T g(reads) + what all keys that looked at M' pull
    g(back), g(alike), g(onwards) = pi g(r')
    g(L') += g(onwards)^T r + r^T g(back), without its diagonal
    g(r)   = g(onwards) L' + g(back) L'^T + what the free gates took
    g(w') += g(L') p - (g(L') L) 1 - (g(L') L)^T 1 + g(p') - g(p') . p
    g(p)   = g(L')^T w' + (1 - sum w') g(p')           g(L) = g(L') (1 - w'_i - w'_j)
    g(w') += g(M') a - (g(M') M) e                     g(M) = g(M') (1 - w' e)
    g(allocation), g(content) = w' 's gates            from there as in ``ops/dnc_allocation``
    g(u)   = g(u') psi (1 - w)    g(w) = g(u') psi (1 - u)    g(1 - f r) = g(u') used prod of the others

Of several write heads each has a link and a precedence, of which g(r) is the sum.  Where one writes, 1 - w' e
and 1 - w are those of all heads, multiplied, of which each gets the product of the others.  The usage v that
the next head finds is u + (1 - u) s a, with the gate s; from the last head to the first

    g(a) += g(v) (1 - u) s         g(s) = sum g(v) (1 - u) a         g(u) = g(v) (1 - s a) + from its a

Softmax and cosine are as in ``fused/ntm.py``; masks and other cosines are in ``_dnc_comparison``, sharpened
links in ``_dnc_sharpening``.  Where what is freed is erased, M above is psi M, of which both get their part.
Where the next step finds the usage that all heads were about to leave, g(u') is the first g(v).  Frozen reads
get the gradients of all steps, those that a step makes the outputs' alone.  Beyond a bound there is none.
All weight gradients are one product each after the loop.

Accuracy
--------
Slopes come from exponentials, 1 - allocation gate from exp(z), the weighted mean in a softmax's backward is
taken off twice, and no product is ever divided by one of its factors.

Layout: see ``_dnc_buffers``, ``_controller``.

Source: ``nn/dnc_cell.py``.
"""

import inspect
from functools import partial

from ..nn.dnc_cell import DNCState, DNCWeights, dnc_sequence
from ..nn.dnc_controller import tanh_layer
from ..nn.dnc_convention import PARTS, DNCConvention
from ..op import Op, register
from ._dnc_evidence import drawn, writes_held
from ._dnc_keywords import PARAMS, runs, with_params  # noqa: F401
from ._dnc_sequence import State, Weights, backward, forward


@with_params
def dnc_lstm_forward(
    x, memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell,
    input_weights, hidden_weights, bias, interface_weights, output_weights, read_output_weights,
    interface_bias=None, output_bias=None, lengths=None, bypass_keep=None, *, bypass_rate=0.0, **convention,
):  # fmt: skip
    """Outputs over time and the last state of a DNC with an LSTM controller.

    x (t, b, i); the state: memory (b, n, w), usage (b, n), link (b, k, n, n), precedence and
    write_weightings (b, k, n), read_weightings (b, r, n), reads (b, r, w), hidden and cell (b, h);
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
    return forward("dnc_lstm", x, state, weights, lengths, bypass_keep, bypass_rate=bypass_rate, **convention)


def dnc_lstm_backward(saved, douts):
    dx, dstate, dweights = backward(saved, douts[0], State(*douts[1:]))
    return (dx, *dstate, *dweights[:8])


@with_params
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
    return forward(
        "dnc_feedforward", x, state, weights, lengths, bypass_keep, bypass_rate=bypass_rate, **convention
    )


def dnc_feedforward_backward(saved, douts):
    dx, dstate, dweights = backward(saved, douts[0], State(*douts[1:]))
    return (dx, *dstate[:7], dweights.input_weights, *dweights[2:8])


# ---- evidence ---------------------------------------------------------------

DEALLOCATE = {"deallocate": True}
MASKED_AND_SHARPENED = {
    "masked": True, "mask_keys": False, "mask_min": 0.25, "sharpen_links": True, "link_eps": 1e-2,
}  # fmt: skip
CSORDAS = {
    "masked": True, "deallocate": True, "sharpen_links": True, "form": "added", "allocation_eps": 1e-2,
    "stop_write_gradient": True, "clip_interface": 1.5, "interface_order": PARTS[::-1],
    "heads_fastest": PARTS,
}  # fmt: skip
OTHERS = {
    "strength": "softplus", "softplus_threshold": 0.25, "keys": "tanh", "allocation_eps": 0.25, "eps": 0.1,
    "mode_order": "content_forward_backward", "form": "smoothed_product", "simulated_gate": "write",
    "keep_simulated_usage": True, "controller_reads": "first", "cumprod_gradient": "divide",
}  # fmt: skip


def dnc_lstm_composed(x, *rest, **how):
    """The same, op by op: ``nn/dnc_cell.py``."""
    *state, hidden, cell = rest[:9]
    weights = Weights(*rest[9:17])
    layers = ((weights.input_weights, weights.hidden_weights, weights.bias),)
    state = DNCState(*state, ((hidden, cell),))
    outputs, last = dnc_sequence(x, state, DNCWeights(layers, *weights[3:8]), *rest[17:], **how)
    return (outputs, *last[:7], *last.controller[0])


def dnc_feedforward_composed(x, *rest, **how):
    """The same, op by op: ``nn/dnc_cell.py``."""
    weights = DNCWeights(rest[7:9], *rest[9:14])
    outputs, last = dnc_sequence(x, DNCState(*rest[:7]), weights, *rest[14:], controller=tanh_layer, **how)
    return (outputs, *last[:7])


def _cases(composed, layers):
    def cases(rng):
        case, few = partial(drawn, composed, layers, rng), {"i": 1, "h": 1}
        csordas = {"biases": False, "params": CSORDAS, "zero_gradient": ("write_weightings",)}
        yield case("one step, one row", **few, t=1, n=1, zero_gradient=("link",))
        yield case("two steps, two sequences", b=2, h=1)
        yield case("six rows", **few, n=6, w=1)
        yield case("all rows tie at the first step", alike=True, t=3, margin=0)
        yield case("saturated", t=3, n=2, h=1, size=4.0)
        lengths = {"t": 3, "b": 3, "lengths": (1, 3, 0)}
        yield case("lengths, one of them zero, units dropped", **lengths, w=1, h=2, n=2, bypass_rate=0.4)
        yield case("three read heads, what is freed is erased", **few, r=3, n=2, w=1, params=DEALLOCATE)
        yield case("memory masked, links sharpened", **few, t=3, n=2, params=MASKED_AND_SHARPENED)
        yield case("two write heads", **few, b=2, k=2, w=1, n=2)
        yield case("two write heads, csordas, without biases", **few, **csordas, k=2, n=2)
        yield case("three write heads, other squashing", **few, k=3, w=1, params=OTHERS)

    return cases


def every_keyword_is_shown(inputs, params, out):
    fields = {name: vars(DNCConvention())[name] for name in PARAMS}
    for op in (dnc_lstm_forward, dnc_feedforward_forward):
        shown = {name: each.default for name, each in inspect.signature(op).parameters.items()}
        assert shown.items() >= fields.items() and {"x", "bypass_rate"} <= shown.keys()


STATE = (
    "memory(b,n,w), usage(b,n), link(b,k,n,n), precedence(b,k,n), write_weightings(b,k,n), "
    "read_weightings(b,r,n), reads(b,r,w)"
)
LAST = ", ".join(f"last_{part}" for part in STATE.split(", "))
HEADS = (
    "interface_weights(h,p), output_weights(h,o), read_output_weights(f,o), interface_bias?(p), "
    "output_bias?(o), lengths?!(b), bypass_keep?!(t,b,h)"
)

dnc_lstm = register(
    Op(
        name="dnc_lstm",
        signature=f"x(t,b,i), {STATE}, hidden(b,h), cell(b,h), input_weights(c,4h), hidden_weights(h,4h), "
        f"bias(4h), {HEADS} -> outputs(t,b,o), {LAST}, last_hidden(b,h), last_cell(b,h)",
        forward=dnc_lstm_forward,
        backward=dnc_lstm_backward,
        equals=dnc_lstm_composed,
        properties=(every_keyword_is_shown,),
        detached=writes_held(dnc_lstm_forward, 9),
        cases=_cases(dnc_lstm_composed, 1),
        passive={"lengths": "integer", "bypass_keep": "boolean"},
        source="Nature 538 (2016) 471, Methods",
    )
)

dnc_feedforward = register(
    Op(
        name="dnc_feedforward",
        signature=f"x(t,b,i), {STATE}, input_weights(c,h), bias(h), {HEADS} -> outputs(t,b,o), {LAST}",
        forward=dnc_feedforward_forward,
        backward=dnc_feedforward_backward,
        equals=dnc_feedforward_composed,
        properties=(every_keyword_is_shown,),
        detached=writes_held(dnc_feedforward_forward, 7),
        cases=_cases(dnc_feedforward_composed, 0),
        passive={"lengths": "integer", "bypass_keep": "boolean"},
        source="Nature 538 (2016) 471, Methods",
    )
)
