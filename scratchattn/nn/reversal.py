"""A batch of sequences backwards in time, each from its own end.

Source: Schuster, Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on Signal Processing
45 (1997) 2673.
"""

from ..backend import arange_like, array_module
from ..ops.gathering import gather
from ..ops.shaping import reshape


def backwards(x, lengths=None):
    """Steps of x (t, b, d), newest first; of a sequence that is shorter, those up to its end.

    ``lengths``: b integers in 0..t, or None for t everywhere.  What comes after an end stays where it is, so
    that twice backwards is forwards.
    """
    if lengths is None:
        return x[::-1]
    xp, (t, b, d) = array_module(lengths), x.shape
    step = xp.reshape(arange_like(lengths, t), (t, 1))
    source = xp.where(step < lengths, lengths - 1 - step, step)
    return gather(reshape(x, shape=(t * b, d)), source * b + arange_like(lengths, b))
