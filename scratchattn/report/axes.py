"""What every picture needs, whatever it is drawn with: a panel, its scale, its size, its ticks."""

from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy


class Panel(NamedTuple):
    """A matrix to be drawn as a heat map, row 0 on top, with what is written around it."""

    matrix: Any  # (rows, columns)
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    low: Any = None  # the number that is darkest; None: see ``scaled``
    high: Any = None  # the number that is brightest
    row_names: Any = None  # integers or words, what the rows are called; None: 0, 1, 2...


def on_host(values):
    """``values``, numbers in lists or in an array, also one on a GPU, as an array of NumPy."""
    return to_numpy(values) if hasattr(values, "get") else np.asarray(values)


def checked(matrix, who):
    """``matrix`` as floats (rows, columns) on the host; TypeError or ValueError says what it was instead."""
    matrix = on_host(matrix)
    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"{who}: matrix must hold real numbers, got {matrix.dtype}")
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{who}: matrix must be (rows, columns), at least one of each, got {matrix.shape}")
    return matrix.astype(float)


def scaled(matrix, low=None, high=None):
    """Numbers in 0..1, NaN where there was one, and the two numbers that became 0 and 1.

    Without ``low`` the darkest is 0, or the smallest number if that is below; without ``high`` the
    brightest is the largest.  Infinite numbers and those outside are drawn as the nearest end.
    """
    finite = matrix[np.isfinite(matrix)]
    if low is None:
        low = min(0.0, finite.min(initial=0.0))
    if high is None:
        high = finite.max(initial=low)
    low, high = float(low), float(high)
    if not high > low:
        high = low + 1.0
    return np.clip((np.clip(matrix, low, high) - low) / (high - low), 0.0, 1.0), low, high


def block(size, most):
    """How many neighbours must share a place so that ``size`` of them need at most ``most``."""
    return -(-size // max(1, most))


def pooled(matrix, rows=1, columns=1):
    """Blocks of ``rows`` by ``columns`` as one entry each, the largest, so that nothing bright is lost."""
    for axis, size in enumerate((rows, columns)):
        if size > 1:
            matrix = np.fmax.reduceat(matrix, np.arange(0, matrix.shape[axis], size), axis=axis)
    return matrix


def thinned(x, y, most):
    """Points of a curve, at most about ``most``: of each stretch the first, lowest, highest and last."""
    if len(x) <= most:
        return x, y
    kept = set()
    for part in np.array_split(np.arange(len(x)), max(1, most // 4)):
        seen = part[np.isfinite(y[part])]
        if len(seen):
            kept |= {seen[0], seen[-1], seen[np.argmin(y[seen])], seen[np.argmax(y[seen])]}
        if len(seen) < len(part):
            kept.add(part[~np.isfinite(y[part])][0])  # a gap stays a gap
    order = sorted(kept)
    return x[order], y[order]


def points(values, x, who):
    """A curve as two vectors of floats, and the bounds of both: (x, y, (left, right), (low, high))."""
    y = on_host(values).astype(float)
    if y.ndim != 1 or not np.isfinite(y).any():
        raise ValueError(f"{who}: values must be a vector with a finite number in it, got shape {y.shape}")
    x = np.arange(len(y), dtype=float) if x is None else on_host(x).astype(float)
    if x.shape != y.shape or not np.isfinite(x).all():
        raise ValueError(f"{who}: x must be {len(y)} finite numbers, got shape {x.shape}")
    return x, y, (x.min(), x.max()), (np.min(y[np.isfinite(y)]), np.max(y[np.isfinite(y)]))


def spacing(span, most):
    """The smallest of 1, 2, 5, 10, 20... (or 0.5, 0.2...) that fits into ``span`` at most ``most`` times."""
    if not span > 0:
        return 1.0
    magnitude = 10.0 ** np.floor(np.log10(span / most))
    return float(next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude * most >= span * (1 - 1e-9)))


def ticks(low, high, most=5):
    """Round numbers between ``low`` and ``high``, both ends allowed."""
    step = spacing(high - low, most)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [float(n * step) for n in np.arange(first, last + 1)]


def named(names):
    """Whether rows with these ``names`` are called by words."""
    return names is not None and any(isinstance(name, str) for name in names)


def named_places(names, most=6):
    """(index, label) of the at most about ``most`` rows or columns with a label: those with round names.

    Of those with words for names, every first, every second...
    """
    if named(names):
        return [(i, str(name)) for i, name in enumerate(names)][:: block(len(names), int(most))]
    step = max(1, round(spacing(len(names), max(1, most))))
    found = []
    for i, name in enumerate(names):  # where a ring of rows starts anew, two round names may be neighbours
        if name % step == 0 and (not found or i - found[-1][0] > step // 2):
            found.append((i, str(int(name))))
    return found or [(0, str(int(names[0])))]


def number(value):
    """``value`` for an axis: short, without an exponent where one can read it without."""
    value = float(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return str(round(value)) if value == round(value) else f"{value:.4g}"
