"""The plain recurrent layer: tanh of what comes in and of what was shown before.

Forward
-------
    y_t = tanh(x_t W + y_(t-1) U + bias)

A sequence that has ended keeps its state and shows zeros; padding is never read.

Source: Elman, "Finding structure in time", Cognitive Science 14 (1990) 179.
"""

from ..ops.axes import broadcast_to
from ..ops.choice import where
from ..ops.exponential import tanh
from ..ops.shaping import stack, unstack
from .checked import checked
from .lstm import keep_ended


def tanh_rnn_shapes(inputs, units):
    """Parameter shapes of one layer."""
    return {"input_weights": (inputs, units), "hidden_weights": (units, units), "bias": (units,)}


@checked(
    "x(t,b,d), hidden(b,h), input_weights(d,h), hidden_weights(h,h), bias(h), lengths?!(b)",
    lengths="integer",
)
def tanh_rnn(x, hidden, input_weights, hidden_weights, bias, lengths=None):
    """Hidden over time, last hidden.

    (t, b, d), (b, h), (d, h), (h, h), (h) -> (t, b, h), (b, h); ``lengths``: b integers in 0..t, or None
    for t everywhere.
    """
    shown = []
    for t, x_t in enumerate(unstack(x)):
        running = None if lengths is None else (lengths > t)[:, None]
        if running is not None:
            x_t = where(running, x_t, 0.0)
        new = tanh(x_t @ input_weights + hidden @ hidden_weights + bias)
        hidden = keep_ended(running, new, hidden)
        shown.append(hidden if running is None else where(running, hidden, 0.0))
    return stack(*shown) if shown else broadcast_to(hidden, shape=(0, *hidden.shape)), hidden
