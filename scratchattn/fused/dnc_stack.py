"""A Differentiable Neural Computer with the paper's deep controller over whole sequences.

Forward
-------
As ``fused/dnc.py``, with a stack of LSTMs: every layer sees x, the reads and the hidden units of the layer
below, and what emits interface and outputs are the hidden units of all layers, side by side.  By
``input_skips`` the lowest alone sees x and the reads, by ``shown_layers`` the highest alone is shown.

Backward
--------
As there; of a step, layer by layer from the top.  What a layer sees of the one below is of this step, the
rest of the step before:

    g(y^l)  = g(shown)_l + g(z^(l+1)) B^(l+1)^T + what the next step hands back
    g(reads of the step before) = sum_l g(z^l) R^l^T

Layout: ``_stack``.

Source: ``nn/dnc_cell.py``, ``nn/dnc_controller.py``.
"""

from functools import partial

from ..nn.dnc_cell import DNCState, DNCWeights, dnc_sequence
from ..op import Op, register
from ..ops.shaping import concat, stack, unstack
from ._dnc_evidence import drawn, writes_held
from ._dnc_keywords import with_params
from ._dnc_sequence import State, Weights, backward, forward
from ._stack import refuse_other_layers
from .dnc import CSORDAS, HEADS, LAST, STATE


@with_params
def dnc_lstm_stack_forward(
    x, memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell,
    input_weights, below_weights, hidden_weights, bias, interface_weights, output_weights,
    read_output_weights, interface_bias=None, output_bias=None, lengths=None, bypass_keep=None, *,
    bypass_rate=0.0, **convention,
):  # fmt: skip
    """Outputs over time and the last state of a DNC with a controller of l >= 2 LSTMs.

    hidden and cell (l, b, h); input_weights (l, i + r w, 4h), with ``input_skips`` False (1, i + r w, 4h),
    below_weights (l - 1, h, 4h) of the layers above the first, hidden_weights (l, h, 4h), bias (l, 4h); the
    rest as for ``dnc_lstm``, with l h for h unless ``shown_layers`` is "top".  ValueError for other sizes.
    ``over_layers`` makes these weights.
    """
    refuse_other_layers("dnc_lstm_stack", hidden_weights, below_weights)
    state = State(
        memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell
    )  # fmt: skip
    weights = Weights(
        input_weights, hidden_weights, bias, interface_weights, output_weights, read_output_weights,
        interface_bias, output_bias, below_weights,
    )  # fmt: skip
    return forward(
        "dnc_lstm_stack", x, state, weights, lengths, bypass_keep, bypass_rate=bypass_rate, **convention
    )


def dnc_lstm_stack_backward(saved, douts):
    dx, dstate, (dinput, *dothers, dbelow) = backward(saved, douts[0], State(*douts[1:]))
    return (dx, *dstate, dinput, dbelow, *dothers)


# ---- evidence ---------------------------------------------------------------


def dnc_lstm_stack_composed(x, *rest, **how):
    """The same, op by op: ``nn/dnc_cell.py``."""
    *state, hidden, cell, inputs, below, hidden_weights, bias = rest[:13]
    below = unstack(below)
    if how.get("input_skips", True):
        below = [concat(*rows, axis=0) for rows in zip(unstack(inputs[1:]), below)]
    seen = [inputs[0], *below]
    layers = tuple(zip(seen, unstack(hidden_weights), unstack(bias)))
    state = DNCState(*state, tuple(zip(unstack(hidden), unstack(cell))))
    outputs, last = dnc_sequence(x, state, DNCWeights(layers, *rest[13:18]), *rest[18:], **how)
    return (outputs, *last[:7], *(stack(*parts) for parts in zip(*last.controller)))


def cases(rng):
    case, few = partial(drawn, dnc_lstm_stack_composed), {"i": 1, "h": 1, "w": 1}
    yield case(2, rng, "two layers", w=1)
    yield case(3, rng, "three layers, two sequences", **few, b=2, t=3)
    yield case(2, rng, "saturated", **few, t=3, n=2, size=4.0)
    lengths = {"t": 3, "b": 3, "lengths": (1, 3, 0)}
    yield case(2, rng, "lengths, one of them zero, units dropped", **few, **lengths, n=2, bypass_rate=0.4)
    yield case(2, rng, "csordas", **few, n=2, params=CSORDAS, zero_gradient=("write_weightings",))
    yield case(2, rng, "two write heads", **few, k=2)
    frozen = {"controller_reads": "first", "input_skips": False, "shown_layers": "top"}
    yield case(3, rng, "the lowest sees frozen reads, the highest is shown", **few, params=frozen)
    bounds = {"clip_controller": 1.0, "clip_state": 1.0, "clip_outputs": 0.5}
    yield case(2, rng, "within bounds", **few, t=3, n=2, size=2.0, params=bounds)


_HEADS = HEADS.replace("(h,", "(s,").replace("b,h)", "b,s)")  # all layers show

dnc_lstm_stack = register(
    Op(
        name="dnc_lstm_stack",
        signature=f"x(t,b,i), {STATE}, hidden(l,b,h), cell(l,b,h), input_weights(q,c,4h), "
        f"below_weights(m,h,4h), hidden_weights(l,h,4h), bias(l,4h), {_HEADS} -> outputs(t,b,o), {LAST}, "
        "last_hidden(l,b,h), last_cell(l,b,h)",
        forward=dnc_lstm_stack_forward,
        backward=dnc_lstm_stack_backward,
        equals=dnc_lstm_stack_composed,
        detached=writes_held(dnc_lstm_stack_forward, 9),
        cases=cases,
        passive={"lengths": "integer", "bypass_keep": "boolean"},
        source="Nature 538 (2016) 471, Methods",
    )
)
