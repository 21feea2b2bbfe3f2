"""Windows that slide over an image: where they are, what they see, and the way back.

The pixels that one entry of all windows sees are a slice with a step.  So the windows along an axis are
(how many, zeros before it, zeros after it, a slice for each entry).  Pure array code, no ops and no tape;
``op`` is in whose name is refused.
"""

from itertools import product

from .backend import constant
from .numbering import whole_numbers


def of_rows_and_columns(op, name, value, least):
    """An int for both, or two ints, as a pair; ValueError for ints below ``least``."""
    pair = (value, value) if type(value) is int else whole_numbers(op, name, value)
    if len(pair) != 2 or min(pair) < least:
        raise ValueError(f"{op}: {name} must be an int from {least} or two of them, got {value!r}")
    return pair


def frame_of_zeros(op, padding):
    """Zeros before and after the rows and the columns: two pairs, or twice "same"."""
    pair = tuple(padding) if isinstance(padding, (tuple, list)) else (padding, padding)
    sides = [tuple(n) if isinstance(n, (tuple, list)) else (n, n) for n in pair]
    if padding == "same":
        return pair
    if len(sides) != 2 or any(len(n) != 2 or {type(k) for k in n} != {int} or min(n) < 0 for n in sides):
        wanted = "'same', an int from 0, or two of them or of pairs (before, after)"
        raise ValueError(f"{op}: padding must be {wanted}, got {padding!r}")
    return sides


def windows(op, n, size, stride, padding, dilation=1):
    """Windows of ``size`` entries, ``dilation`` apart, every ``stride`` along an axis of ``n``.

    ``padding``: zeros before and after, or "same", as few as make ceil(n / stride) windows, an odd one
    after.  ValueError if no window fits.
    """
    reach = dilation * (size - 1) + 1
    if padding == "same":
        lacking = max((-(-n // stride) - 1) * stride + reach - n, 0)
        padding = lacking // 2, lacking - lacking // 2
    elif n + sum(padding) < reach:
        raise ValueError(f"{op}: a window that spans {reach} must fit, got {n} with padding {padding}")
    count = (n + sum(padding) - reach) // stride + 1
    span = (count - 1) * stride + 1
    picks = [slice(k, k + span, stride) if count else slice(0, 0) for k in range(0, reach, dilation)]
    return count, *padding, picks


def picked(xp, x, rows, columns):
    """x (..., y, x) in its frame of zeros as each entry of the windows sees it: a list, row by row."""
    (_, above, below, down), (_, left, right, across) = rows, columns
    if above or below:
        x = xp.concat([_zeros(xp, x, above, -2), x, _zeros(xp, x, below, -2)], axis=-2)
    if left or right:
        x = xp.concat([_zeros(xp, x, left, -1), x, _zeros(xp, x, right, -1)], axis=-1)
    return [x[..., r, c] for r in down for c in across]


def _zeros(xp, x, n, axis):
    shape = list(x.shape)
    shape[axis] = n
    return xp.broadcast_to(constant(x, 0.0), tuple(shape))


def overlaid(xp, blocks, shape, rows, columns):
    """The transpose of ``picked``: each block added where it was picked, the frame taken off -> ``shape``."""
    (_, above, below, down), (_, left, right, across) = rows, columns
    *batch, height, width = shape
    framed = (*batch, above + height + below, left + width + right)
    total = xp.broadcast_to(constant(blocks[0], 0.0), framed) + 0
    for block, (r, c) in zip(blocks, product(down, across)):
        total[..., r, c] += block
    return total[..., above : above + height, left : left + width]
