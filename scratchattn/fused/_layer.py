"""The controller of a fused memory machine: a ``_controller``, with what stands around its steps.

``_stack`` has the same functions for several layers.
"""

from . import _controller as layer
from ._controller import (  # noqa: F401
    backward_buffers,
    backward_views,
    forward_buffers,
    forward_views,
    slopes,
    step,
)


def prepare(xp, x, weights, f, sizes):
    """What x gives to all steps, into the buffers; returns the weights of what steps hand on, and these as a
    step takes them."""
    xp.matmul(x, layer.negated(xp, weights.input_weights[: sizes.inputs], sizes), out=f.sums)
    f.sums += layer.negated(xp, weights.bias, sizes)
    carried = layer.carried_weights(xp, weights, sizes)
    return carried, layer.negated(xp, carried, sizes)


def start(f, state, sizes):
    """Hidden units and cells before step 0 into the buffers."""
    hidden = f.carried[0, :, sizes.features : -1]
    hidden[...] = state.hidden if sizes.recurrent else 0  # kept by a sequence of no steps
    if sizes.recurrent:
        f.cell[0] = state.cell


def last(f, sizes):
    """Those after the last step; none for a tanh layer."""
    return [f.carried[-1][:, sizes.features : -1], f.cell[-1]] if sizes.recurrent else []


def prepare_back(xp, carried, dlast, g, sizes):
    """The gradients of the last state into the buffers; returns what sums go back through."""
    g.dhidden[...] = dlast.hidden if sizes.recurrent else 0
    if sizes.recurrent:
        g.dcell[...] = dlast.cell
    return layer.transposed(xp, carried, g.back_to_carried, sizes)


def step_back(xp, v, d, g, back_to_carried, sizes):
    """From the gradient of the hidden units to those of all that the step started from."""
    layer.step_back(xp, v, d, g, sizes)
    xp.matmul(d.dsums, back_to_carried, out=g.dcarried_by_sums)


def gradients(xp, x, weights, f, g, sizes):
    """Of x; of the controller's weights, by name; of hidden units and cells before the first step."""
    dcarried = layer.over_steps(xp, f.carried[:-1], g.dsums)  # rows: reads, hidden units, ones
    found = {
        "input_weights": xp.concat([layer.over_steps(xp, x, g.dsums), dcarried[: sizes.features]], axis=0),
        "hidden_weights": dcarried[sizes.features : -1] + 0 if sizes.recurrent else None,
        "bias": dcarried[-1] + 0,
    }
    dx = xp.matmul(g.dsums, xp.matrix_transpose(weights.input_weights[: sizes.inputs]))
    return dx, found, ((g.dhidden + 0, g.dcell + 0) if sizes.recurrent else (None, None))
