"""Numbers over an axis as drawings: curves, and bars with whiskers."""

import numpy as np

from .axes import number, on_host, points, thinned, ticks
from .colours import LINES
from .drawing import LINE, SIZE, Box, Drawing, Line, Text, cut, heading, room
from .matrices import WIDTH, labels

HEIGHT = 150  # of the plot
MOST = 800  # points of one curve that are drawn; of each stretch the first, lowest, highest and last
DASHES = ((), (6, 3), (2, 3), (8, 3, 2, 3))  # so that lines differ by more than colour


def curve(series, *, title="", x_label="", y_label=""):
    """Curves over one pair of axes -> Drawing.

    ``series``: name -> (x, values), a tuple of two vectors of n numbers, or name -> values.  A bare
    vector is one curve over 0, 1, 2...  The vertical axis starts at 0, or at the smallest number if that is
    below.  A NaN is a gap.  A curve of many points is thinned; its extremes stay.
    """
    drawn = {
        name: points(values, x, f"curve {name!r}") for name, (x, values) in _named(series, "curve").items()
    }
    first, last = min(p[2][0] for p in drawn.values()), max(p[2][1] for p in drawn.values())
    last = last if last > first else first + 1.0
    low, high = min(p[3][0] for p in drawn.values()), max(p[3][1] for p in drawn.values())
    marks, plot = _frame(low, high, list(drawn), True, title, y_label)
    x_at = lambda x: plot.left + (x - first) / (last - first) * plot.width
    most = plot.width // (max(room(number(end)) for end in (first, last)) + 20)
    for mark in ticks(first, last, max(2, min(6, most))):
        inside = WIDTH - room(number(mark)) / 2
        marks.append(Text(min(x_at(mark), inside), plot.bottom + SIZE + 5, number(mark)))
    for i, (x, y, *_) in enumerate(drawn.values()):
        x, y = thinned(x, y, MOST)
        alone = len(x) == 1
        marks.append(Line(x_at(x), plot.at(y), *_style(i)[:1], 5 if alone else 1.8, _style(i)[1]))
    marks += labels(plot.left, plot.top, plot.width, HEIGHT + 2, x_label, y_label)
    told = ", ".join(
        f"{name or 'values'}: {len(y)} points from {number(low)} to {number(high)}, the last {number(y[-1])}"
        for name, (_, y, _, (low, high)) in drawn.items()
    )
    bottom = plot.bottom + SIZE + 12 + (SIZE + 4) * bool(x_label)
    return Drawing(WIDTH, bottom, tuple(marks), title or "Curve", told)


def bars(series, *, names=None, errors=None, title="", x_label="", y_label=""):
    """Bars from zero, with whiskers -> Drawing.

    ``series``: a vector of n numbers, or name -> vector, whose bars stand in groups.  ``names``: n words or
    numbers, 0, 1, 2... if None.  ``errors``: how far a whisker reaches up and down, in the form of
    ``series``; with two rows, (2, n), down and up.  A NaN has no bar.  E.g. halting probabilities of the
    steps of adaptive computation, or class probabilities.
    """
    given = {name: values for name, (_, values) in _named(series, "bars").items()}
    drawn = {name: points(values, None, f"bars {name!r}")[1] for name, values in given.items()}
    count = len(next(iter(drawn.values())))
    names = list(range(count)) if names is None else list(names)
    if {len(names), *map(len, drawn.values())} != {count}:
        sizes = {name or "values": len(values) for name, values in drawn.items()}
        raise ValueError(f"bars: names and every series must have one length, got {len(names)} and {sizes}")
    if errors is None:
        errors = {}
    elif not hasattr(errors, "items"):
        errors = {"": errors}
    if not set(errors) <= set(drawn):
        raise ValueError(f"bars: errors must be of {list(drawn)}, got {list(errors)}")
    spread = {name: _spread(values, drawn[name]) for name, values in errors.items()}
    ends = [values for values in drawn.values()]
    ends += [drawn[name] + way * by for name, both in spread.items() for way, by in zip((-1, 1), both)]
    found = np.concatenate(ends)
    found = found[np.isfinite(found)]
    marks, plot = _frame(found.min(), found.max(), list(drawn), False, title, y_label)
    slot = plot.width / count
    wide = slot * (0.9 if slot < 6 else 0.72) / len(drawn)
    for i, (name, values) in enumerate(drawn.items()):
        x = plot.left + (np.arange(count) + 0.5) * slot + (i - (len(drawn) - 1) / 2) * wide
        for at, value in zip(x, values):
            if np.isfinite(value):
                a, b = sorted((float(plot.at(0.0)), float(plot.at(value))))
                marks.append(_bar(i, at - 0.46 * wide, a, 0.92 * wide, b - a))
        if name in spread:
            down, up = (values - spread[name][0], values + spread[name][1])
            cap = min(4.0, 0.3 * wide)
            for at, low, high in zip(x, plot.at(down), plot.at(up)):
                gap = np.nan  # one line: upright, foot, cap
                marks.append(
                    Line(
                        np.array([at, at, at, at - cap, at + cap, at, at - cap, at + cap]),
                        np.array([low, high, gap, low, low, gap, high, high]),
                        width=1.4,
                    )
                )
    bottom = plot.bottom + _names(marks, names, plot, slot)
    marks += labels(plot.left, plot.top, plot.width, bottom - plot.top - SIZE - 6, x_label, y_label)
    told = ", ".join(
        f"{name or 'values'}: {np.isfinite(v).sum()} bars, the highest {number(np.nanmax(v))}, "
        f"{names[np.nanargmax(v)]}"
        for name, v in drawn.items()
    )
    return Drawing(WIDTH, bottom + 6 + (SIZE + 4) * bool(x_label), tuple(marks), title or "Bars", told)


class _Plot:
    """Where the axes are, and ``at``: number -> height on the sheet."""

    def __init__(self, left, top, width, low, high):
        self.left, self.top, self.width, self.bottom = left, top, width, top + HEIGHT
        self.at = lambda y: top + (high - np.asarray(y)) / (high - low) * HEIGHT


def _frame(low, high, names, lines, title, y_label):
    """Title, legend, vertical axis: their marks, and the _Plot."""
    low, high = min(0.0, low), max(0.0, high) if not lines else high
    high = high if high > low else low + 1.0
    if not lines:  # a bar that ends at the upper edge looks cut
        high += 0.03 * (high - low)
    scale = ticks(low, high)
    left = 12 + int(max(room(number(mark)) for mark in scale)) + (SIZE + 6) * bool(y_label)
    width = WIDTH - 14 - left
    marks, top = heading(left, width, title)
    x, names = left, [name for name in names if name]
    for i, name in enumerate(names):
        name = cut(name, width - 30)
        if x > left and x + 24 + room(name) > left + width:
            x, top = left, top + LINE
        colour, dash = _style(i)
        line = Line([x, x + 18], [top + 6, top + 6], colour, 1.8, dash)
        key = line if lines else _bar(i, x + 4, top + 1, 10, 10)
        marks += [key, Text(x + 23, top + 10, name, "start")]
        x += 34 + room(name)
    top += (LINE + 4) * bool(names)
    plot = _Plot(left, top, width, low, high)
    for mark in scale:
        y = float(plot.at(mark))
        marks.append(
            Line([left, left + width], [y, y], width=1, opacity=0.45 if mark == 0 and not lines else 0.18)
        )
        marks.append(Text(left - 6, y + 4, number(mark), "end"))
    return marks, plot


def _names(marks, names, plot, slot):
    """Add what the bars are called, flat or upright, those that have room; how far down they reach."""
    said = [number(name) if isinstance(name, (int, float, np.number)) else str(name) for name in names]
    widest = max(map(room, said))
    if all(isinstance(name, (int, float, np.number)) for name in names) or widest <= slot:
        every = max(1, int(np.ceil((widest + 8) / slot)))
        for i in range(0, len(said), every):
            marks.append(Text(plot.left + (i + 0.5) * slot, plot.bottom + SIZE + 4, said[i]))
        return SIZE + 6
    if len(said) * LINE / 2 > plot.width:
        raise ValueError(f"bars: at most {int(2 * plot.width // LINE)} words have room, got {len(said)}")
    said = [cut(word, 120) for word in said]
    down = int(max(map(room, said)))
    for i, word in enumerate(said):
        marks.append(Text(plot.left + (i + 0.5) * slot + 4, plot.bottom + 6, word, "end", up=True))
    return down + 8


def _named(series, who):
    """name -> (x or None, values)."""
    if not hasattr(series, "items"):
        series = {"": series}
    if not series:
        raise ValueError(f"{who}: at least one series expected, got none")
    pair = lambda values: values if isinstance(values, tuple) and who == "curve" else (None, values)
    return {str(name): pair(values) for name, values in series.items()}


def _spread(errors, values):
    errors = on_host(errors).astype(float)
    if errors.shape not in ((len(values),), (2, len(values))) or (errors < 0).any():
        raise ValueError(
            f"bars: errors must be ({len(values)}) or (2, {len(values)}) numbers, none below zero, "
            f"got shape {errors.shape}"
        )
    return np.broadcast_to(errors, (2, len(values)))


def _style(i):
    """Colour and dash of the series number ``i``: no two of sixteen are alike."""
    return LINES[i % len(LINES)], DASHES[(i + i // len(LINES)) % len(DASHES)]


def _bar(i, x, y, width, height):
    """A bar of the series number ``i``, full or hollow: no two of eight are alike."""
    colour, hollow = LINES[i % len(LINES)], (i // 2 + i // len(LINES)) % 2
    if not hollow:
        return Box(x, y, width, height, colour)
    left, top, right, bottom = x + 0.8, y + 0.8, x + max(width, 1.6) - 0.8, y + max(height, 1.6) - 0.8
    return Line([left, right, right, left, left], [top, top, bottom, bottom, top], colour, 1.6)
