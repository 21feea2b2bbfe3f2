"""``fused/ntm.py`` through time: all steps forward, and all of them back.

What does not depend on the recurrence is outside the loops: what x gives to the controller, the output layer,
slopes, weight gradients.
"""

from typing import Any, NamedTuple

from ..backend import array_module, smallest
from ..buffers import lease
from ..nn.ntm_cell import NTMState
from ..twins import twins
from . import _ntm_heads as heads
from ._controller import over_steps, transposed
from ._lengths import bring_back, put_back, running_steps, set_aside, until_their_ends
from ._ntm_buffers import forward_buffers
from ._ntm_scratch import backward_buffers
from ._ntm_sizes import sizes_of


class Weights(NamedTuple):
    input_weights: Any
    hidden_weights: Any  # None of a tanh layer
    bias: Any
    head_weights: Any
    head_bias: Any
    output_weights: Any
    output_bias: Any
    below_weights: Any = None  # of a stack; then hidden weights and bias have one more axis, of layers


def forward(who, x, state, weights, lengths, eps):
    """Outputs and the last state, in one tuple, and what ``backward`` needs; refusals name the op ``who``."""
    sizes = sizes_of(who, x, state, weights)
    xp, tw = array_module(x, *state, *weights), twins(x)
    tiny, features, controller = smallest(x), sizes.features, sizes.controller
    running = running_steps(xp, lengths, sizes.steps)
    x = until_their_ends(xp, running, x)
    held = lease(forward_buffers, x, sizes)
    f = held.buffers
    carried, carried_weights = controller.prepare(xp, x, weights, f, sizes)
    head_weights = heads.emitting_weights(xp, weights, sizes)
    f.carried[0, :, :features] = state.reads.reshape(sizes.batch, features)
    controller.start(f, state, sizes)
    f.memory[0], f.weightings[0] = state.memory.swapaxes(1, 2), state.weightings
    heads.squares(xp, f.memory[0], f, f.inverse[0, :, None, : sizes.rows])
    with tw.quiet():
        for t, v in enumerate(f.views):
            controller.step(xp, tw, v, f, carried_weights, sizes)
            xp.matmul(v.hidden_and_one, head_weights, out=v.raw)
            heads.squash(xp, tw, v, f)
            heads.address(xp, tw, v, f, eps, tiny)
            heads.read_and_write(xp, v, f)
            put_back(xp, running, f.states, t)
    outputs = xp.matmul(f.carried[1:, :, :-1], weights.output_weights)
    outputs += weights.output_bias
    outputs = until_their_ends(xp, running, outputs)
    reads = f.carried[-1][:, :features].reshape(state.reads.shape)
    last = reads, f.memory[-1].swapaxes(1, 2), f.weightings[-1], *controller.last(f, sizes)
    return (outputs, *[a + 0 for a in last]), (held, x, weights, carried, sizes, running)


def backward(saved, doutputs, dlast):
    """Gradients of x, of the NTMState and of the Weights."""
    held, x, weights, carried, sizes, running = saved
    xp, tw, f, features = array_module(x, doutputs), twins(x), held.buffers, sizes.features
    controller, scratch = sizes.controller, lease(backward_buffers, x, sizes)
    g = scratch.buffers
    doutputs = until_their_ends(xp, running, doutputs)
    with tw.quiet():
        heads.slopes(xp, tw, f, g, sizes, smallest(x))
        controller.slopes(xp, tw, f, g, sizes)
    dfeatures = xp.matmul(doutputs, xp.matrix_transpose(weights.output_weights))
    back_to_carried = controller.prepare_back(xp, carried, dlast, g, sizes)
    back_to_hidden = transposed(xp, weights.head_weights, g.back_to_hidden, sizes)
    g.dcarried[:, :features] = dlast.reads.reshape(sizes.batch, features)
    g.dmemory[...], g.dweightings[...] = dlast.memory.swapaxes(1, 2), dlast.weightings
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
        controller.step_back(xp, v, d, g, back_to_carried, sizes)
        bring_back(g.states, waiting)
    return _gradients(xp, f, g, x, weights, doutputs, sizes)


def _gradients(xp, f, g, x, weights, doutputs, sizes):
    """Weight gradients, one product each over all steps; none of them is leased memory."""
    dheads = over_steps(xp, f.carried[1:, :, sizes.features :], g.draw)  # the last row is the bias's
    doutput = over_steps(xp, f.carried[1:], doutputs)
    dx, dcontroller, units = sizes.controller.gradients(xp, x, weights, f, g, sizes)
    dweights = Weights(
        **dcontroller,
        head_weights=dheads[:-1] + 0,
        head_bias=dheads[-1] + 0,
        output_weights=doutput[:-1] + 0,
        output_bias=doutput[-1] + 0,
    )
    return dx, NTMState(g.dreads + 0, g.dmemory.swapaxes(1, 2) + 0, g.dweightings + 0, *units), dweights
