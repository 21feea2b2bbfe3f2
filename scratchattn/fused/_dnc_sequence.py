"""``fused/dnc.py`` through time: all steps forward, and all of them back.

What does not depend on the recurrence is outside the loops: what x gives to the controller, the output layer,
slopes, weight gradients.  Sequences that have ended compute on and are put back: no look at the data.
"""

from typing import Any, NamedTuple

from ..backend import array_module
from ..twins import twins
from . import _dnc_reading as reading
from . import _dnc_writing as writing
from ._dnc_buffers import lease_forward
from ._dnc_interface import emitting_weights, in_order, out_of_order, slopes, squash, squash_back
from ._dnc_scratch import lease_backward
from ._dnc_sizes import sizes_of
from ._ntm_controller import carried_weights, control, control_back, control_slopes, negated


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


def forward(x, state, weights, lengths, eps):
    """Outputs and the last state, in one tuple, and what ``backward`` needs."""
    sizes = sizes_of(x, state, weights)
    xp, tw = array_module(x, *state, *weights), twins(x)
    running = None if lengths is None else lengths > _steps(xp, lengths, sizes.steps)  # (t, b)
    if running is not None:
        x = xp.where(running[:, :, None], x, 0)
    lease = lease_forward(x, sizes)
    f = lease.buffers
    recurrent, output = carried_weights(xp, weights, sizes), _output_weights(xp, weights)
    recurrent_weights = negated(xp, recurrent, sizes)
    interface_weights = emitting_weights(xp, *_with_bias(xp, weights), sizes)
    xp.matmul(x, negated(xp, weights.input_weights[: sizes.inputs], sizes), out=f.sums)
    f.sums += negated(xp, weights.bias, sizes)
    _start(f, state, sizes)
    writing.lengths(xp, f.memory[0], f, f.inverse[0], eps)
    with tw.quiet():
        for t, v in enumerate(f.views):
            control(xp, tw, v, f, recurrent_weights, sizes)
            xp.matmul(v.hidden_and_one, interface_weights, out=v.raw)
            squash(xp, tw, v, f, eps)
            writing.retain_and_use(xp, v, f)
            writing.allocate(xp, tw, v, f)
            writing.write(xp, tw, v, f, eps)
            reading.link(xp, tw, v, f)
            reading.read(xp, tw, v, f)
            if running is not None:
                for buffer in f.states:
                    ended = ~running[t].reshape((-1,) + (1,) * (buffer.ndim - 2))
                    xp.copyto(buffer[t + 1], buffer[t], where=ended)
    outputs = xp.matmul(f.carried[1:, :, :-1], output)
    if weights.output_bias is not None:
        outputs += weights.output_bias
    if running is not None:
        outputs = xp.where(running[:, :, None], outputs, 0)
    return (outputs, *_last(f, sizes)), (lease, x, weights, recurrent, output, sizes, running)


def _start(f, state, sizes):
    """The state before step 0 into the buffers."""
    features = sizes.features
    f.carried[0, :, :features] = state.reads.reshape(sizes.batch, features)
    f.carried[0, :, features:-1] = state.hidden if sizes.recurrent else 0  # kept by a sequence of no steps
    if sizes.recurrent:
        f.cell[0] = state.cell
    f.memory[0], f.usage[0], f.link[0] = state.memory.swapaxes(1, 2), state.usage, state.link[:, 0]
    f.preceding[0, :, :1], f.written[0, :, :1] = state.precedence, state.write_weightings
    f.reading[0] = state.read_weightings


def _last(f, sizes):
    """The state after the last step, none of it leased memory."""
    carried, features = f.carried[-1], sizes.features
    units = [carried[:, features:-1], f.cell[-1]] if sizes.recurrent else []
    last = [f.memory[-1].swapaxes(1, 2), f.usage[-1], f.link[-1][:, None], f.preceding[-1][:, :1]]
    reads = carried[:, :features].reshape(sizes.batch, sizes.reads, sizes.width)
    return [a + 0 for a in (*last, f.written[-1][:, :1], f.reading[-1], reads, *units)]


def backward(saved, doutputs, dlast):
    """Gradients of x, of the State and of the Weights."""
    lease, x, weights, recurrent, output, sizes, running = saved
    xp, tw, f, features = array_module(x, doutputs), twins(x), lease.buffers, sizes.features
    scratch = lease_backward(x, sizes)
    g = scratch.buffers
    if running is not None:
        doutputs = xp.where(running[:, :, None], doutputs, 0)
    with tw.quiet():
        slopes(xp, tw, f, g, sizes)
        control_slopes(xp, tw, f, g, sizes)
    dfeatures = xp.matmul(doutputs, xp.matrix_transpose(output))
    g.back_to_carried[...] = xp.matrix_transpose(recurrent)
    g.back_to_hidden[...] = xp.matrix_transpose(in_order(xp, weights.interface_weights, sizes))
    g.dcarried[:, :features] = dlast.reads.reshape(sizes.batch, features)
    g.dhidden[...] = dlast.hidden if sizes.recurrent else 0
    if sizes.recurrent:
        g.dcell[...] = dlast.cell
    g.dmemory[...], g.dusage[...], g.dlink[...] = dlast.memory.swapaxes(1, 2), dlast.usage, dlast.link[:, 0]
    g.dprecedence[...], g.dwriting[...] = dlast.precedence, dlast.write_weightings
    g.dreading[...] = dlast.read_weightings
    g.left[...], g.right[...], g.pulled[...] = 0, 0, 0  # no write head looks at the last memory
    carried = g.dcarried if sizes.recurrent else g.dcarried[:, :features]
    for t in reversed(range(sizes.steps)):
        v, d = f.views[t], g.views[t]
        if running is not None:  # what belongs to a sequence that has ended waits aside
            ended = [~running[t].reshape((-1,) + (1,) * (a.ndim - 1)) for a in g.states]
            waiting = [xp.where(e, a, 0) for e, a in zip(ended, g.states)]
            for e, a in zip(ended, g.states):
                xp.copyto(a, 0, where=e)
        g.dcarried += dfeatures[t]
        reading.read_back(xp, tw, v, d, g)
        reading.link_back(xp, tw, v, g)
        writing.write_back(xp, tw, v, d, g)
        writing.allocate_back(xp, v, g)
        writing.retain_and_use_back(xp, tw, v, d, g)
        squash_back(xp, v, d, g)
        g.dhidden += xp.matmul(d.draw, g.back_to_hidden, out=g.over_units)
        control_back(xp, v, d, g, sizes)
        if not sizes.recurrent:
            g.dhidden[...] = 0
        xp.matmul(d.dsums, g.back_to_carried, out=carried)
        if running is not None:
            for a, kept in zip(g.states, waiting):
                a += kept
    g.left_of_readers[...], g.right_of_readers[...], g.pulled_by_readers[...] = 0, 0, 0
    reading.pull_on_memory(xp, tw, f.memory[0], g.inverse_squared[0], g)
    return _gradients(xp, f, g, x, weights, doutputs, sizes)


def _gradients(xp, f, g, x, weights, doutputs, sizes):
    """Weight gradients, one product each over all steps; none of them is leased memory."""
    features, rows = sizes.features, sizes.steps * sizes.batch

    def product(a, b):
        a, b = a.reshape(rows, a.shape[-1]), b.reshape(rows, b.shape[-1])
        return xp.matmul(xp.matrix_transpose(a), b)

    dinterface = out_of_order(xp, product(f.carried[1:, :, features:], g.draw), sizes)  # last row: bias's
    doutput = product(f.carried[1:], doutputs)
    dcontrol = product(f.carried[:-1], g.dsums)
    dweights = Weights(
        xp.concat([product(x, g.dsums), dcontrol[:features]], axis=0),
        dcontrol[features:-1] + 0 if sizes.recurrent else None,
        dcontrol[-1] + 0,
        dinterface[:-1] + 0,
        doutput[features:-1] + 0,
        doutput[:features] + 0,
        None if weights.interface_bias is None else dinterface[-1] + 0,
        None if weights.output_bias is None else doutput[-1] + 0,
    )
    dx = xp.matmul(g.dsums, xp.matrix_transpose(weights.input_weights[: sizes.inputs]))
    units = (g.dhidden + 0, g.dcell + 0) if sizes.recurrent else (None, None)
    dstate = State(
        g.dmemory.swapaxes(1, 2) + 0, g.dusage + 0, g.dlink[:, None] + 0, g.dprecedence + 0, g.dwriting + 0,
        g.dreading + 0, g.dreads + 0, *units,
    )  # fmt: skip
    return dx, dstate, dweights


def _output_weights(xp, weights):
    """Rows for the reads, then for the hidden units."""
    return xp.concat([weights.read_output_weights, weights.output_weights], axis=0)


def _with_bias(xp, weights):
    if weights.interface_bias is not None:
        return weights.interface_weights, weights.interface_bias
    return weights.interface_weights, xp.zeros_like(weights.interface_weights[0])


def _steps(xp, lengths, steps):
    """0, 1, ... as a column of integers like ``lengths``."""
    return xp.cumulative_sum(xp.ones_like(lengths, shape=(steps, 1)), axis=0) - 1
