"""``fused/dnc.py`` through time: all steps forward, and all of them back.

What does not depend on the recurrence is outside the loops: what x gives to the controller, the output layer,
slopes, weight gradients.
"""

from typing import Any, NamedTuple

from ..backend import array_module
from ..buffers import lease
from ..ops.choice import clip_backward, clip_forward
from ..refusals import refuse_no_rate
from ..twins import twins
from . import _dnc_reading as reading
from . import _dnc_writing as writing
from ._controller import over_steps
from ._dnc_buffers import forward_buffers
from ._dnc_interface import emitting_weights, in_order, out_of_order, slopes, squash, squash_back
from ._dnc_keywords import followed
from ._dnc_scratch import backward_buffers
from ._dnc_sizes import sizes_of
from ._lengths import bring_back, put_back, running_steps, set_aside, until_their_ends


class State(NamedTuple):
    memory: Any
    usage: Any
    link: Any
    precedence: Any
    write_weightings: Any
    read_weightings: Any
    reads: Any
    hidden: Any = None
    cell: Any = None


class Weights(NamedTuple):
    input_weights: Any
    hidden_weights: Any
    bias: Any
    interface_weights: Any
    output_weights: Any
    read_output_weights: Any
    interface_bias: Any = None
    output_bias: Any = None
    below_weights: Any = None  # of a stack; then what is the controller's has one more axis, of layers


def forward(who, x, state, weights, lengths, bypass_keep, *, bypass_rate, **convention):
    """Outputs and the last state, in one tuple, and what ``backward`` needs; refusals name the op ``who``."""
    refuse_no_rate(f"{who}: bypass_rate", bypass_rate)
    chosen = followed(who, convention)
    sizes = sizes_of(who, x, state, weights, chosen)
    xp, tw = array_module(x, *state, *weights), twins(x)
    weights = _by_heads(xp, weights, sizes)
    running = running_steps(xp, lengths, sizes.steps)
    x = until_their_ends(xp, running, x)
    held = lease(forward_buffers, x, sizes)
    f = held.buffers
    controller, output = sizes.controller, _output_weights(xp, weights)
    interface_weights = emitting_weights(xp, *_with_bias(xp, weights), sizes)
    carried, carried_weights = controller.prepare(xp, x, weights, f, sizes)
    _start(f, state, sizes)
    writing.lengths(xp, f.memory[0], f, f.inverse[0], sizes)
    with tw.quiet():
        for t, v in enumerate(f.views):
            controller.step(xp, tw, v, f, carried_weights, sizes)
            xp.matmul(v.hidden_and_one, interface_weights, out=v.emitted)
            squash(xp, tw, v, f, sizes)
            writing.retain_and_use(xp, v, f)
            writing.allocate(xp, tw, v, f, chosen.allocation_eps)
            writing.write(xp, tw, v, f, sizes)
            reading.link(xp, tw, v, f)
            reading.read(xp, tw, v, f, sizes)
            put_back(xp, running, f.states, t)
    bypass = bypass_keep, 1 - float(bypass_rate)
    outputs = xp.matmul(_seen(xp, f, bypass, sizes)[:, :, :-1], output)
    if weights.output_bias is not None:
        outputs += weights.output_bias
    bound, outside = chosen.clip_outputs, None
    if bound:
        outputs, outside = clip_forward(outputs, low=-bound, high=bound)
    outputs = until_their_ends(xp, running, outputs)
    return (outputs, *_last(f, sizes)), (held, x, weights, carried, output, sizes, running, bypass, outside)


def _seen(xp, f, bypass, sizes):
    """What the output layer sees of all steps: reads, the hidden units that were not dropped, ones."""
    (keep, share), seen, features = bypass, f.carried[1:], sizes.features
    if keep is None and not sizes.frozen:
        return seen
    reads = f.reads if sizes.frozen else seen[:, :, :features]
    hidden = seen[:, :, features:-1]
    hidden = hidden if keep is None else xp.where(keep, hidden, 0) / share
    return xp.concat([reads, hidden, seen[:, :, -1:]], axis=-1)


def _start(f, state, sizes):
    """The state before step 0 into the buffers."""
    features = sizes.features
    f.carried[0, :, :features] = state.reads.reshape(sizes.batch, features)
    if sizes.frozen:
        f.carried[1:, :, :features] = f.carried[0, :, :features]
    sizes.controller.start(f, state, sizes)
    f.memory[0], f.usage[0], f.link[0] = state.memory.swapaxes(1, 2), state.usage, state.link
    f.precedences[0], f.writings[0], f.reading[0] = (
        state.precedence, state.write_weightings, state.read_weightings
    )  # fmt: skip


def _last(f, sizes):
    """The state after the last step, none of it leased memory."""
    last = [
        f.memory[-1].swapaxes(1, 2),
        *[a[-1] for a in (f.usage, f.link, f.precedences, f.writings, f.reading)],
    ]
    reads = f.carried[-1][:, : sizes.features].reshape(sizes.batch, sizes.reads, sizes.width)
    return [a + 0 for a in (*last, reads, *sizes.controller.last(f, sizes))]


def backward(saved, doutputs, dlast):
    """Gradients of x, of the State and of the Weights."""
    held, x, weights, carried, output, sizes, running, (keep, share), outside = saved
    xp, tw, f, features = array_module(x, doutputs), twins(x), held.buffers, sizes.features
    chosen, controller, scratch = sizes.convention, sizes.controller, lease(backward_buffers, x, sizes)
    g = scratch.buffers
    doutputs = until_their_ends(xp, running, doutputs)
    if outside is not None:
        (doutputs,) = clip_backward(outside, doutputs)
    with tw.quiet():
        slopes(xp, tw, f, g, sizes)
        controller.slopes(xp, tw, f, g, sizes)
    dfeatures = xp.matmul(doutputs, xp.matrix_transpose(output))
    if keep is not None:
        dfeatures[:, :, features:] = xp.where(keep, dfeatures[:, :, features:], 0) / share
    back_to_carried = controller.prepare_back(xp, carried, dlast, g, sizes)
    g.back_to_hidden[...] = xp.matrix_transpose(in_order(xp, weights.interface_weights, sizes))
    g.dreads[...], g.dfirst[...] = 0, dlast.reads
    g.dmemory[...], g.dusage[...], g.dlinks[...] = dlast.memory.swapaxes(1, 2), dlast.usage, dlast.link
    g.dprecedence[...], g.dwriting[...] = dlast.precedence, dlast.write_weightings
    g.dreading[...] = dlast.read_weightings
    g.left[...], g.right[...], g.pulled[...] = 0, 0, 0  # no write head looks at the last memory
    if not sizes.plain:
        xp.multiply(f.memory[-1], f.memory[-1], out=g.squares)
    for t in reversed(range(sizes.steps)):
        v, d = f.views[t], g.views[t]
        waiting = set_aside(xp, running, g.states, t)
        g.dcarried += dfeatures[t]
        reading.read_back(xp, tw, v, d, g, sizes)
        reading.link_back(xp, tw, v, g)
        writing.write_back(xp, tw, v, d, g, sizes)
        writing.allocate_back(xp, tw, v, d, g, chosen)
        writing.retain_and_use_back(xp, tw, v, d, g, chosen)
        squash_back(xp, tw, v, d, g, sizes)
        g.dhidden += xp.matmul(d.draw, g.back_to_hidden, out=g.over_hidden)
        controller.step_back(xp, v, d, g, back_to_carried, sizes)
        if sizes.frozen:
            g.dfirst += g.dreads
            g.dreads[...] = 0
        bring_back(g.states, waiting)
    g.left_of_readers[...], g.right_of_readers[...], g.pulled_by_readers[...] = 0, 0, 0
    reading.pull_on_memory(xp, tw, f.memory[0], g.inverse_squared[0], g, sizes)
    return _gradients(xp, f, g, x, weights, doutputs, (keep, share), sizes)


def _gradients(xp, f, g, x, weights, doutputs, bypass, sizes):
    """Weight gradients, one product each over all steps; none of them is leased memory."""
    features = sizes.features
    dinterface = over_steps(xp, f.carried[1:, :, features:], g.draw)
    dinterface = out_of_order(xp, dinterface, sizes)  # the last row is the bias's
    doutput = over_steps(xp, _seen(xp, f, bypass, sizes), doutputs)
    dx, dcontroller, units = sizes.controller.gradients(xp, x, weights, f, g, sizes)
    dweights = Weights(
        **dcontroller,
        interface_weights=dinterface[:-1] + 0,
        output_weights=doutput[features:-1] + 0,
        read_output_weights=doutput[:features] + 0,
        interface_bias=None if weights.interface_bias is None else dinterface[-1] + 0,
        output_bias=None if weights.output_bias is None else doutput[-1] + 0,
    )
    dstate = State(
        g.dmemory.swapaxes(1, 2) + 0, g.dusage + 0, g.dlinks + 0, g.dprecedence + 0, g.dwriting + 0,
        g.dreading + 0, g.dfirst + 0, *units,
    )  # fmt: skip
    return dx, dstate, _by_heads(xp, dweights, sizes, back=True)


def _by_heads(xp, weights, sizes, *, back=False):
    """Weights with the rows for reads head after head, where heads ran fastest; or ``back``."""
    if "reads" not in sizes.convention.heads_fastest:
        return weights
    order = (sizes.reads, sizes.width) if back else (sizes.width, sizes.reads)

    def turned(array, start):
        rows = array[..., start:, :]
        turned = rows.reshape(*rows.shape[:-2], *order, rows.shape[-1]).swapaxes(-3, -2)
        return xp.concat([array[..., :start, :], turned.reshape(rows.shape)], axis=-2)

    return weights._replace(
        input_weights=turned(weights.input_weights, sizes.inputs),
        read_output_weights=turned(weights.read_output_weights, 0),
    )


def _output_weights(xp, weights):
    """Rows for the reads, then for the hidden units."""
    return xp.concat([weights.read_output_weights, weights.output_weights], axis=0)


def _with_bias(xp, weights):
    if weights.interface_bias is not None:
        return weights.interface_weights, weights.interface_bias
    return weights.interface_weights, xp.zeros_like(weights.interface_weights[0])
