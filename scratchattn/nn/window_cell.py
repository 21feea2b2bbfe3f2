"""Graves' handwriting network, one step: layers of LSTMs around a window that slides along a text.

A batch of ``b`` writers, each with a text of ``k`` characters of ``d`` numbers; ``n`` layers of ``h`` units
and ``m`` Gaussians in the window.  At every step

    h^1  = LSTM([x, w_before], h^1_before)                                   (52)
    w, phi, kappa = window(h^1 W_p + b_p, kappa_before, characters)          (46) to (51)
    h^l  = LSTM([x, h^(l-1), w], h^l_before)        for l = 2..n             (53)
    y    = [h^1, ..., h^n] W_y + b_y                                         (54)

x reaches every layer and every layer reaches y.  The first layer is told by the window of the step before
where it is; the others see the window of their own.  y holds the raw numbers of ``mixture_density``,
which ``mixture_parameters`` takes apart.

Conventions
-----------
An LSTM with ``peepholes`` is the paper's; without, they are None.  What y and the window's parameters are
made of, and the window's own conventions (``handwriting_window``):

                outputs_see   window_sees   window           else
    paper       all           hidden        base 1
    X-rayLaser  all           hidden        base 0
    sjvasquez   last          all           softplus, ...    no peepholes; sees w_before, x and h^1
    snowkylin   last          hidden        base 0           no peepholes, two layers

The paper clips on the way back: the gradients by y to [-100, 100] (``output_limit``) and those by what
enters the sigmoids and tanhs of the LSTMs to [-10, 10] (``cell_limit``).  None does not clip.  Elsewhere
gradients of parameters are clipped, which is another thing.

Source: Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850, sections 2, 4.2, 5.
"""

from typing import Any, NamedTuple

from ..backend import real
from ..ops.activations import sigmoid
from ..ops.axes import broadcast_to
from ..ops.cotangents import clip_cotangent
from ..ops.exponential import tanh
from ..ops.handwriting_window import handwriting_window
from ..ops.lstm_cell import lstm_cell
from ..ops.peephole_lstm_cell import peephole_lstm_cell
from ..ops.shaping import concat, reshape, split, stack, unstack
from .linear import linear
from .lstm import keep_ended


class WindowState(NamedTuple):
    """What a step hands to the next.  At the start all of it is zero."""

    hidden: tuple  # of every layer, (b, h)
    cell: tuple  # of every layer, (b, h)
    window: Any  # (b, d)
    location: Any  # (b, m): kappa


class WindowLayer(NamedTuple):
    """The parameters of one LSTM; i is what ``window_shapes`` says."""

    input_weights: Any  # (i, 4h)
    hidden_weights: Any  # (h, 4h)
    bias: Any  # (4h)
    peepholes: Any = None  # (3h)


class WindowWeights(NamedTuple):
    """The parameters of a cell."""

    layers: tuple  # of WindowLayer
    window_weights: Any  # (h, 3m), columns of importance, width and increment
    window_bias: Any  # (3m)
    output_weights: Any  # (n h, o)
    output_bias: Any  # (o)


class WindowOutputs(NamedTuple):
    """What a step shows, and a sequence with a leading axis t."""

    outputs: Any  # (b, o)
    weights: Any  # (b, k): phi
    beyond: Any  # (b): phi of the place after the last character


class MixtureParameters(NamedTuple):
    """The raw numbers of ``mixture_density``, in its order."""

    end: Any  # (...)
    importance: Any  # (..., m)
    mean: Any  # (..., m, 2)
    width: Any  # (..., m, 2)
    correlation: Any  # (..., m)


def window_shapes(
    inputs, characters, outputs, *, units=400, layers=3, gaussians=10, peepholes=True,
    window_sees="hidden", outputs_see="all",
):  # fmt: skip
    """Parameter shapes, in the form of WindowWeights; ``characters`` is d, the numbers of a character."""
    shapes = []
    for n in range(layers):
        seen = inputs + characters + (units if n else 0)
        peeping = (3 * units,) if peepholes else None
        shapes.append(WindowLayer((seen, 4 * units), (units, 4 * units), (4 * units,), peeping))
    parameters = units if window_sees == "hidden" else characters + inputs + units
    shown = layers * units if outputs_see == "all" else units
    return WindowWeights(
        tuple(shapes), (parameters, 3 * gaussians), (3 * gaussians,), (shown, outputs), (outputs,)
    )


def window_step(
    x, state, weights, characters, keep=None, *,
    window_sees="hidden", outputs_see="all", output_limit=None, cell_limit=None, **convention,
):  # fmt: skip
    """One step: x (b, i), a WindowState, WindowWeights, characters (b, k, d) -> WindowOutputs, WindowState.

    keep (b, k): booleans, True for the characters that are no padding.  ``window_sees``: "hidden" or
    "all"; ``outputs_see``: "all" or "last"; ``convention``: the params of ``handwriting_window``.
    ValueError for others.
    """
    _check(window_sees, outputs_see)
    hidden, cell = [], []
    window, location = state.window, state.location
    for n, layer in enumerate(weights.layers):
        seen = concat(x, hidden[-1], window, axis=-1) if n else concat(x, window, axis=-1)
        new_hidden, new_cell = _lstm(seen, state.hidden[n], state.cell[n], layer, cell_limit)
        hidden.append(new_hidden)
        cell.append(new_cell)
        if n == 0:
            seen = new_hidden if window_sees == "hidden" else concat(window, x, new_hidden, axis=-1)
            raw = split(linear(seen, weights.window_weights, weights.window_bias), sections=3, axis=-1)
            window, phi, beyond, location = handwriting_window(*raw, location, characters, keep, **convention)
    shown = concat(*hidden, axis=-1) if outputs_see == "all" else hidden[-1]
    outputs = linear(shown, weights.output_weights, weights.output_bias)
    if output_limit is not None:
        outputs = clip_cotangent(outputs, limit=output_limit)
    return WindowOutputs(outputs, phi, beyond), WindowState(tuple(hidden), tuple(cell), window, location)


def window_sequence(xs, state, weights, characters, keep=None, lengths=None, **options):
    """The steps one after the other: xs (t, b, i) -> WindowOutputs (t, b, ...), the last WindowState.

    ``lengths``: b integers in 0..t, or None.  A sequence that has ended keeps its state and shows zeros, and
    its padding is never read.  ``options`` are those of ``window_step``.
    """
    shown = []
    for t, x in enumerate(unstack(xs)):
        running = None if lengths is None else lengths > t
        out, new = window_step(keep_ended(running, x, 0.0), state, weights, characters, keep, **options)
        shown.append([keep_ended(running, y, 0.0) for y in out])
        state = WindowState(
            tuple([keep_ended(running, a, old) for a, old in zip(new.hidden, state.hidden)]),
            tuple([keep_ended(running, a, old) for a, old in zip(new.cell, state.cell)]),
            keep_ended(running, new.window, state.window),
            keep_ended(running, new.location, state.location),
        )
    if not shown:
        any_one, batch = split(weights.output_bias, sections=(1, -1))[0], xs.shape[1]
        sizes = ((batch, *weights.output_bias.shape), (batch, characters.shape[-2]), (batch,))
        return WindowOutputs(*[broadcast_to(any_one, shape=(0, *size)) for size in sizes]), state
    return WindowOutputs(*[stack(*each) for each in zip(*shown)]), state


def writing_ends(weights, beyond):
    """The paper's rule to stop: booleans (...), is ``beyond`` (...) larger than each of weights (..., k)?

    Never true of a window that has leapt so far that all of them are zero.
    """
    return (real(beyond)[..., None] > real(weights)).all(axis=-1)


def mixture_parameters(outputs):
    """What the network shows, (..., 1 + 6m), as raw numbers of ``mixture_density``.

    The columns are those of the end, then ``m`` importances, m pairs of means, m pairs of widths and m
    correlations.  ValueError for another number of columns.
    """
    *batch, columns = outputs.shape
    m, rest = divmod(columns - 1, 6)
    if rest or m < 1:
        raise ValueError(f"mixture_parameters: outputs must have 1 + 6 m columns, got {columns}")
    end, importance, mean, width, correlation = split(outputs, sections=(1, m, 2 * m, 2 * m, m), axis=-1)
    return MixtureParameters(
        reshape(end, shape=(*batch,)),
        importance,
        reshape(mean, shape=(*batch, m, 2)),
        reshape(width, shape=(*batch, m, 2)),
        correlation,
    )


def _lstm(x, hidden, cell, layer, limit):
    """Next hidden and cell of one layer; with a ``limit``, gate by gate, to clip on the way back."""
    if limit is None and layer.peepholes is None:
        return lstm_cell(x, hidden, cell, *layer[:3])
    if limit is None:
        return peephole_lstm_cell(x, hidden, cell, *layer[:2], layer.peepholes, layer.bias)
    z = x @ layer.input_weights + hidden @ layer.hidden_weights + layer.bias
    i, f, o, candidate = split(z, sections=4, axis=-1)
    if layer.peepholes is not None:
        to_i, to_f, to_o = split(layer.peepholes, sections=3)
        i, f = i + to_i * cell, f + to_f * cell
    i, f, candidate = (clip_cotangent(z, limit=limit) for z in (i, f, candidate))
    cell = sigmoid(f) * cell + sigmoid(i) * tanh(candidate)
    if layer.peepholes is not None:
        o = o + to_o * cell
    return sigmoid(clip_cotangent(o, limit=limit)) * tanh(cell), cell


def _check(window_sees, outputs_see):
    if window_sees not in ("hidden", "all"):
        raise ValueError(f"window_step: window_sees must be 'hidden' or 'all', got {window_sees!r}")
    if outputs_see not in ("all", "last"):
        raise ValueError(f"window_step: outputs_see must be 'all' or 'last', got {outputs_see!r}")
