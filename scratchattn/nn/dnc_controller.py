"""Controllers of a DNC: what sees the inputs and the reads, and says all that the heads are told.

A controller is a function: chi (b, c), its state, its weights -> what it shows (b, u), its next state.  The
state is any nesting of tuples of arrays whose first axis is b.

Source: Graves et al., Nature 538 (2016) 471, Methods, "Controller network".
"""

from functools import partial

from ..ops.axes import expand_dims, squeeze
from ..ops.choice import clip
from ..ops.exponential import tanh
from ..ops.lstm_cell import lstm_cell
from ..ops.shaping import concat, stack


def lstm_stack(chi, state, layers, *, input_skips=True, shown_layers="all"):
    """Every layer sees chi and the layer below; all layers are shown, side by side.

    ``input_skips`` False: the lowest alone sees chi.  ``shown_layers`` "top": the highest alone is shown.
    """
    chi, shown, new_state = expand_dims(chi, axis=-2), [], []
    for (hidden, cell), weights in zip(state, layers, strict=True):
        seen = [chi] if input_skips or not shown else []
        seen = concat(*seen, *shown[-1:], axis=-1)
        hidden, cell = lstm_cell(seen, expand_dims(hidden, axis=-2), expand_dims(cell, axis=-2), *weights)
        shown.append(hidden)
        new_state.append((squeeze(hidden, axis=-2), squeeze(cell, axis=-2)))
    shown = shown if shown_layers == "all" else shown[-1:]
    return squeeze(concat(*shown, axis=-1), axis=-2), tuple(new_state)


def over_layers(layers, seen, *, input_skips=True):
    """Input, below and hidden weights and bias, each in one array over layers, of those of every layer.

    ``seen``: how many rows of the input weights are not the layer below's.  Without ``input_skips`` the
    lowest layer alone has such rows, and the input weights are those of one layer.
    """
    inputs, hidden_weights, biases = zip(*layers)
    skipping = inputs if input_skips else inputs[:1]
    below = stack(*[weights[seen if input_skips else 0 :] for weights in inputs[1:]])
    return stack(*[weights[:seen] for weights in skipping]), below, stack(*hidden_weights), stack(*biases)


def tanh_layer(chi, state, weights):
    """One layer without a state: tanh(chi W + b)."""
    return tanh(affine(chi, *weights)), state


def controlled(controller, convention):
    """The controller with the convention's wiring, if it is the stack, and within the convention's bounds."""
    c = convention
    if controller is None or controller is lstm_stack:
        controller = partial(lstm_stack, input_skips=c.input_skips, shown_layers=c.shown_layers)

    def within_bounds(chi, state, weights):
        shown, state = controller(chi, state, weights)
        return clipped(shown, c.clip_controller), clipped(state, c.clip_state)

    return within_bounds


def affine(x, weights, bias=None):
    """x W + b, one row of x at a time."""
    y = squeeze(expand_dims(x, axis=-2) @ weights, axis=-2)
    return y if bias is None else y + bias


def clipped(nest, bound):
    """Every array in a nesting of tuples within plus and minus ``bound``; 0: as they are."""
    return each(lambda a: clip(a, low=-bound, high=bound), nest) if bound else nest


def each(function, *nests):
    """``function`` of the arrays in the same place of every nesting of tuples, in that nesting."""
    if not isinstance(nests[0], tuple):
        return function(*nests)
    parts = [each(function, *places) for places in zip(*nests, strict=True)]
    return nests[0]._make(parts) if hasattr(nests[0], "_make") else tuple(parts)
