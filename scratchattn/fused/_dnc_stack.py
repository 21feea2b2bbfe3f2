"""The controller of ``fused/dnc_stack.py``: LSTMs, each a ``_controller`` with buffers of its own.

Beside the units of a layer lie the reads of the step before and the units of the layer below, of
this step.  What all layers show lies beside the reads in ``f.carried``, as that of one layer does.
"""

from types import SimpleNamespace
from typing import NamedTuple

from ..backend import array_module
from . import _controller as layer


class Layer(NamedTuple):
    """The sizes of one layer, as ``_controller`` asks for them."""

    steps: int
    batch: int
    units: int
    features: int  # the reads, and the units of the layer below
    recurrent: bool = True
    gates = property(lambda self: 4 * self.units)


def layers_of(s):
    """The Layer of each."""
    beside = [s.features + s.units * (place > 0) for place in range(s.layers)]
    return [Layer(s.steps, s.batch, s.units, features) for features in beside]


def forward_buffers(new, s):
    """What a recording keeps."""
    f = SimpleNamespace(carried=new(s.steps + 1, s.batch, s.features + s.shown + 1))
    f.carried[:, :, s.features + s.shown] = 1
    f.sizes = layers_of(s)
    f.layers = [layer.forward_buffers(new, each) for each in f.sizes]
    f.states = (f.carried, *[state for each in f.layers for state in each.states])
    return f


def forward_views(f, s, t):
    """Of step ``t``."""
    before, after, reads, u = f.carried[t], f.carried[t + 1], s.features, s.units
    v = SimpleNamespace(reads_before=before[:, :reads], hidden_and_one=after[:, reads:], layers=[])
    for place, (of, sizes) in enumerate(zip(f.layers, f.sizes)):
        each = layer.forward_views(of, sizes, t)
        each.reads, each.below = of.carried[t][:, :reads], of.carried[t][:, reads : sizes.features]
        each.among_all = after[:, reads + place * u : reads + (place + 1) * u]
        v.layers.append(each)
    return v


def prepare(xp, x, weights, f, s):
    """What x gives to all steps of all layers, into the buffers; returns weights of what steps hand on."""
    for of, sizes, from_x, bias in zip(f.layers, f.sizes, weights.input_weights, weights.bias):
        xp.matmul(x, layer.negated(xp, from_x[: s.inputs], sizes), out=of.sums)
        of.sums += layer.negated(xp, bias, sizes)
    return [layer.negated(xp, each, sizes) for each, sizes in zip(_carried_weights(xp, weights, s), f.sizes)]


def _carried_weights(xp, weights, s):
    """Of each layer the rows for the reads, for the layer below and for its own units."""
    found = []
    for place in range(s.layers):
        below = [weights.below_weights[place - 1]] if place else []
        rows = [weights.input_weights[place, s.inputs :], *below, weights.hidden_weights[place]]
        found.append(xp.concat(rows, axis=0))
    return found


def start(f, state, s):
    """Hidden units and cells of all layers before step 0 into the buffers."""
    for place, (of, sizes) in enumerate(zip(f.layers, f.sizes)):
        first = s.features + place * s.units
        f.carried[0, :, first : first + s.units] = state.hidden[place]
        of.carried[0, :, sizes.features : -1], of.cell[0] = state.hidden[place], state.cell[place]


def last(f, s):
    """Those after the last step: two of (l, b, h)."""
    hidden = [of.carried[-1][:, sizes.features : -1] for of, sizes in zip(f.layers, f.sizes)]
    xp = array_module(f.carried)
    return [xp.stack(hidden, axis=0), xp.stack([of.cell[-1] for of in f.layers], axis=0)]


def step(xp, tw, v, f, weights, s):
    """From reads, and from what steps and x gave, to the hidden units of one layer after the other."""
    below = None
    for each, of, carried_weights, sizes in zip(v.layers, f.layers, weights, f.sizes):
        each.reads[...] = v.reads_before
        if below is not None:
            each.below[...] = below
        layer.step(xp, tw, each, of, carried_weights, sizes)
        below = each.hidden
        each.among_all[...] = below


def slopes(xp, tw, f, g, s):
    """Slopes of all gates."""
    for of, back, sizes in zip(f.layers, g.layers, f.sizes):
        layer.slopes(xp, tw, of, back, sizes)


def backward_buffers(new, s):
    """What a pullback needs while it runs."""
    g = SimpleNamespace(dcarried=new(s.batch, s.features + s.shown), sizes=layers_of(s))
    g.dreads_of_all, g.dhidden = g.dcarried[:, : s.features], g.dcarried[:, s.features :]
    g.layers = [layer.backward_buffers(new, each) for each in g.sizes]
    for place, back in enumerate(g.layers):
        back.among_all = g.dhidden[:, place * s.units : (place + 1) * s.units]
        back.dreads, back.dbelow = back.dcarried[:, : s.features], back.dcarried[:, s.features : -s.units]
    g.states = (g.dcarried, *[back.dcell for back in g.layers])
    return g


def backward_views(g, s, t):
    """Of step ``t``."""
    return SimpleNamespace(
        layers=[layer.backward_views(back, each, t) for back, each in zip(g.layers, g.sizes)]
    )


def prepare_back(xp, weights, dlast, g, s):
    """Transposed weights, and the gradients of the last state, into the buffers."""
    for place, (back, carried_weights) in enumerate(zip(g.layers, _carried_weights(xp, weights, s))):
        back.back_to_carried[...] = xp.matrix_transpose(carried_weights)
        back.among_all[...], back.dcell[...] = dlast.hidden[place], dlast.cell[place]


def step_back(xp, v, d, g, s):
    """From the gradients of all hidden units to those of all that the step started from."""
    dreads, above = g.dreads_of_all, None
    dreads[...] = 0
    for each, slopes_of, back, sizes in reversed(list(zip(v.layers, d.layers, g.layers, g.sizes))):
        if above is not None:
            back.among_all += above.dbelow
        back.dhidden[...] = back.among_all
        layer.step_back(xp, each, slopes_of, back, sizes)
        xp.matmul(slopes_of.dsums, back.back_to_carried, out=back.dcarried)
        back.among_all[...] = back.dhidden
        dreads += back.dreads
        above = back


def gradients(xp, x, weights, f, g, s):
    """Of x; of the controller's weights, by name; of hidden units and cells before the first step."""
    dx, rows = 0, []
    for of, back, from_x in zip(f.layers, g.layers, weights.input_weights):
        dx = dx + xp.matmul(back.dsums, xp.matrix_transpose(from_x[: s.inputs]))
        rows.append((layer.over_steps(xp, x, back.dsums), layer.over_steps(xp, of.carried[:-1], back.dsums)))
    found = {
        "input_weights": [xp.concat([seen, carried[: s.features]], axis=0) for seen, carried in rows],
        "below_weights": [carried[s.features : s.features + s.units] for _, carried in rows[1:]],
        "hidden_weights": [carried[-1 - s.units : -1] for _, carried in rows],
        "bias": [carried[-1] for _, carried in rows],
    }
    found = {name: xp.stack(parts, axis=0) for name, parts in found.items()}
    dhidden = xp.stack([back.among_all for back in g.layers], axis=0)
    return dx, found, (dhidden, xp.stack([back.dcell for back in g.layers], axis=0))
