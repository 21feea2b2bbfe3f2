"""An LSTM layer: ``lstm_cell`` unrolled in time.

A sequence that has ended keeps its state and shows zeros; padding is never read.

Source: Hochreiter, Schmidhuber, Neural Computation 9 (1997) 1735; see ``ops/lstm_cell.py``.
"""

from ..ops.axes import broadcast_to
from ..ops.choice import where
from ..ops.lstm_cell import lstm_cell
from ..ops.shaping import stack, unstack
from .checked import checked


def lstm_shapes(inputs, units):
    """Parameter shapes of one layer; columns of the gates i, f, o and the candidate, ``units`` each."""
    return {
        "input_weights": (inputs, 4 * units),
        "hidden_weights": (units, 4 * units),
        "bias": (4 * units,),
    }


@checked(
    "x(t,b,d), hidden(b,h), cell(b,h), input_weights(d,4h), hidden_weights(h,4h), bias(4h), lengths?!(b)",
    lengths="integer",
)
def lstm(x, hidden, cell, input_weights, hidden_weights, bias, lengths=None):
    """Hidden over time, last hidden, last cell.

    (t, b, d), (b, h), (b, h), (d, 4h), (h, 4h), (4h) -> (t, b, h), (b, h), (b, h); ``lengths``:
    b integers in 0..t, or None for t everywhere.
    """
    shown = []
    for t, x_t in enumerate(unstack(x)):
        running = None if lengths is None else (lengths > t)[:, None]
        if running is not None:
            x_t = where(running, x_t, 0.0)
        new_hidden, new_cell = lstm_cell(x_t, hidden, cell, input_weights, hidden_weights, bias)
        hidden, cell = keep_ended(running, new_hidden, hidden), keep_ended(running, new_cell, cell)
        shown.append(hidden if running is None else where(running, hidden, 0.0))
    return stack(*shown) if shown else broadcast_to(hidden, shape=(0, *hidden.shape)), hidden, cell


def keep_ended(running, new, old):
    """``new`` for the sequences of the batch that run on, ``old`` for those that have ended."""
    if running is None:
        return new
    while running.ndim < new.ndim:
        running = running[..., None]
    return where(running, new, old)
