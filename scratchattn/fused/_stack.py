"""The controller of a fused memory machine: LSTMs, each a ``_controller`` with buffers of its own.

With ``input_skips`` every layer sees x and the reads of the step before, else the lowest alone.  Beside the
units of a layer lie the reads, if it sees them, and the units of the layer below, of this step.  What is
shown, of all layers or of the highest, lies beside the reads in ``f.carried``, as that of one layer does.

``sizes`` are those of ``_controller``, and layers, inputs, input_skips, shown (hidden units that are).
``below_weights`` are those of the layers above the first; ``input_weights``, with skips, hidden weights and
biases have an axis of layers, as hidden units and cells of a state.  Without skips ``input_weights`` are of
one layer, with or without that axis.
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
    sees_inputs: bool  # x and the reads
    reads: int  # features of these
    below: int  # units of the layer below
    first_shown: int | None  # where what it shows begins in what all show; None: it shows nothing
    clip_state: float
    recurrent = True
    features = property(lambda self: self.reads + self.below)
    gates = property(lambda self: 4 * self.units)


def layers_with(hidden_weights):
    """How many LSTMs have these ``hidden_weights``, which are None of a tanh layer."""
    if hidden_weights is None:
        return 0
    return 1 if hidden_weights.ndim == 2 else hidden_weights.shape[0]


def refuse_other_layers(who, hidden_weights, below_weights):
    """ValueError unless these are the weights of one stack."""
    layers, above = hidden_weights.shape[0], below_weights.shape[0]
    if layers < 2 or above != layers - 1:
        raise ValueError(
            f"{who}: two layers at least, and below_weights of all but one expected, got {layers} and {above}"
        )


def layers_of(s):
    """The Layer of each."""
    found, hides = [], s.layers - s.shown // s.units
    for place in range(s.layers):
        sees = s.input_skips or place == 0
        first = None if place < hides else (place - hides) * s.units
        seen = sees, s.features * sees, s.units * (place > 0)
        found.append(Layer(s.steps, s.batch, s.units, *seen, first, s.clip_state))
    return found


def forward_buffers(new, s):
    """What a recording keeps."""
    f = SimpleNamespace(carried=new(s.steps + 1, s.batch, s.features + s.shown + 1))
    f.carried[:, :, s.features + s.shown] = 1
    f.sizes = layers_of(s)
    f.layers = [layer.forward_buffers(new, each) for each in f.sizes]
    f.states = (f.carried, *[state for each in f.layers for state in each.states])
    return f


def _shown(among, sizes):
    """The part of ``among``, (b, all that is shown), that a layer shows, or None."""
    first = sizes.first_shown
    return None if first is None else among[:, first : first + sizes.units]


def forward_views(f, s, t):
    """Of step ``t``."""
    before, after = f.carried[t], f.carried[t + 1][:, s.features :]
    v = SimpleNamespace(reads_before=before[:, : s.features], hidden_and_one=after, layers=[])
    for of, sizes in zip(f.layers, f.sizes):
        each = layer.forward_views(of, sizes, t)
        seen = of.carried[t]
        each.reads, each.below = seen[:, : sizes.reads], seen[:, sizes.reads : sizes.features]
        each.among_shown = _shown(after, sizes)
        v.layers.append(each)
    return v


def prepare(xp, x, weights, f, s):
    """What x gives to all steps of all layers, into the buffers; returns of each layer the weights of what
    steps hand on, and these as a step takes them."""
    for of, sizes, from_x, bias in zip(f.layers, f.sizes, _input_weights(weights, s), weights.bias):
        if sizes.sees_inputs:
            xp.matmul(x, layer.negated(xp, from_x[: s.inputs], sizes), out=of.sums)
            of.sums += layer.negated(xp, bias, sizes)
        else:
            of.sums[...] = layer.negated(xp, bias, sizes)
    carried = _carried_weights(xp, weights, s)
    return carried, [layer.negated(xp, each, sizes) for each, sizes in zip(carried, f.sizes)]


def _input_weights(weights, s):
    """Of each layer those of x and the reads; None where it sees neither."""
    found = weights.input_weights
    seen = [found] if found.ndim == 2 else list(found)
    return seen + [None] * (s.layers - len(seen))


def _carried_weights(xp, weights, s):
    """Of each layer the rows for the reads, for the layer below and for its own units."""
    found = []
    for place, from_x in enumerate(_input_weights(weights, s)):
        reads = [] if from_x is None else [from_x[s.inputs :]]
        below = [weights.below_weights[place - 1]] if place else []
        found.append(xp.concat([*reads, *below, weights.hidden_weights[place]], axis=0))
    return found


def start(f, state, s):
    """Hidden units and cells of all layers before step 0 into the buffers."""
    for of, sizes, hidden, cell in zip(f.layers, f.sizes, state.hidden, state.cell):
        of.carried[0, :, sizes.features : -1], of.cell[0] = hidden, cell
        if sizes.first_shown is not None:
            _shown(f.carried[0, :, s.features :], sizes)[...] = hidden


def last(f, s):
    """Those after the last step: two of (l, b, h)."""
    hidden = [of.carried[-1][:, sizes.features : -1] for of, sizes in zip(f.layers, f.sizes)]
    xp = array_module(f.carried)
    return [xp.stack(hidden, axis=0), xp.stack([of.cell[-1] for of in f.layers], axis=0)]


def step(xp, tw, v, f, weights, s):
    """From reads, and from what steps and x gave, to the hidden units of one layer after the other."""
    below = None
    for each, of, carried_weights, sizes in zip(v.layers, f.layers, weights, f.sizes):
        if sizes.sees_inputs:
            each.reads[...] = v.reads_before
        if below is not None:
            each.below[...] = below
        layer.step(xp, tw, each, of, carried_weights, sizes)
        below = each.hidden
        if each.among_shown is not None:
            each.among_shown[...] = below


def slopes(xp, tw, f, g, s):
    """Slopes of all gates."""
    for of, back, sizes in zip(f.layers, g.layers, f.sizes):
        layer.slopes(xp, tw, of, back, sizes)


def backward_buffers(new, s):
    """What a pullback needs while it runs.

    ``handed``: the gradient of a layer's hidden units that heads, outputs and the next step hand back.
    """
    g = SimpleNamespace(dcarried=new(s.batch, s.features + s.shown), sizes=layers_of(s))
    g.dreads_of_all, g.dhidden = g.dcarried[:, : s.features], g.dcarried[:, s.features :]
    g.layers, g.states = [layer.backward_buffers(new, each) for each in g.sizes], (g.dcarried,)
    for back, sizes in zip(g.layers, g.sizes):
        back.handed = _shown(g.dhidden, sizes)
        if back.handed is None:
            back.handed = new(s.batch, s.units)
            g.states += (back.handed,)
        back.dreads = back.dcarried[:, : sizes.reads]
        back.dbelow = back.dcarried[:, sizes.reads : sizes.features]
        g.states += (back.dcell,)
    return g


def backward_views(g, s, t):
    """Of step ``t``."""
    return SimpleNamespace(
        layers=[layer.backward_views(back, each, t) for back, each in zip(g.layers, g.sizes)]
    )


def prepare_back(xp, carried, dlast, g, s):
    """The gradients of the last state into the buffers; returns what the sums of layers go back through."""
    for back, dhidden, dcell in zip(g.layers, dlast.hidden, dlast.cell):
        back.handed[...], back.dcell[...] = dhidden, dcell
    return [layer.transposed(xp, each, back.back_to_carried, s) for each, back in zip(carried, g.layers)]


def step_back(xp, v, d, g, back_to_carried, s):
    """From the gradients of all hidden units to those of all that the step started from."""
    dreads, above = g.dreads_of_all, None
    dreads[...] = 0
    layers = zip(v.layers, d.layers, g.layers, back_to_carried, g.sizes)
    for each, slopes_of, back, back_to, sizes in reversed(list(layers)):
        if above is not None:
            back.handed += above.dbelow
        back.dhidden[...] = back.handed
        layer.step_back(xp, each, slopes_of, back, sizes)
        xp.matmul(slopes_of.dsums, back_to, out=back.dcarried)
        back.handed[...] = back.dhidden
        if sizes.sees_inputs:
            dreads += back.dreads
        above = back


def gradients(xp, x, weights, f, g, s):
    """Of x; of the controller's weights, by name; of hidden units and cells before the first step."""
    dx, inputs, below, hidden, bias = 0, [], [], [], []
    for of, back, from_x, sizes in zip(f.layers, g.layers, _input_weights(weights, s), f.sizes):
        dcarried = layer.over_steps(xp, of.carried[:-1], back.dsums)  # rows: reads, below, own units, ones
        if sizes.sees_inputs:
            dx = dx + xp.matmul(back.dsums, xp.matrix_transpose(from_x[: s.inputs]))
            over_x = layer.over_steps(xp, x, back.dsums)
            inputs.append(xp.concat([over_x, dcarried[: sizes.reads]], axis=0))
        below.append(dcarried[sizes.reads : sizes.features])
        hidden.append(dcarried[sizes.features : -1])
        bias.append(dcarried[-1])
    found = {
        "input_weights": inputs[0] if weights.input_weights.ndim == 2 else xp.stack(inputs, axis=0),
        "below_weights": xp.stack(below[1:], axis=0),
        "hidden_weights": xp.stack(hidden, axis=0),
        "bias": xp.stack(bias, axis=0),
    }
    dhidden = xp.stack([back.handed for back in g.layers], axis=0)
    return dx, found, (dhidden, xp.stack([back.dcell for back in g.layers], axis=0))
