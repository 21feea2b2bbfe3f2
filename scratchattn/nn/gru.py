"""A GRU layer: ``gru_cell`` unrolled in time.

A sequence that has ended keeps its state and shows zeros; padding is never read.

Source: Cho et al., arXiv:1406.1078; see ``ops/gru_cell.py``, also for who resets and updates how.
"""

from ..ops.axes import broadcast_to
from ..ops.choice import where
from ..ops.gru_cell import gru_cell
from ..ops.shaping import stack, unstack
from .checked import checked
from .lstm import keep_ended


def gru_shapes(inputs, units, *, two_biases=False):
    """Parameter shapes of one layer; columns of reset, update and candidate, ``units`` each."""
    shapes = {
        "input_weights": (inputs, 3 * units),
        "hidden_weights": (units, 3 * units),
        "bias": (3 * units,),
    }
    return shapes | {"hidden_bias": (3 * units,)} if two_biases else shapes


@checked(
    "x(t,b,d), hidden(b,h), input_weights(d,3h), hidden_weights(h,3h), bias(3h), hidden_bias?(3h),"
    " lengths?!(b)",
    lengths="integer",
)
def gru(
    x,
    hidden,
    input_weights,
    hidden_weights,
    bias,
    hidden_bias=None,
    lengths=None,
    *,
    reset="before",
    update="keeps",
):
    """Hidden over time, last hidden.

    (t, b, d), (b, h), (d, 3h), (h, 3h), (3h), (3h) or None -> (t, b, h), (b, h); ``lengths``: b integers
    in 0..t, or None for t everywhere.  ``reset`` and ``update`` are those of ``gru_cell``.
    """
    shown = []
    for t, x_t in enumerate(unstack(x)):
        running = None if lengths is None else (lengths > t)[:, None]
        if running is not None:
            x_t = where(running, x_t, 0.0)
        new = gru_cell(
            x_t, hidden, input_weights, hidden_weights, bias, hidden_bias, reset=reset, update=update
        )
        hidden = keep_ended(running, new, hidden)
        shown.append(hidden if running is None else where(running, hidden, 0.0))
    return stack(*shown) if shown else broadcast_to(hidden, shape=(0, *hidden.shape)), hidden
