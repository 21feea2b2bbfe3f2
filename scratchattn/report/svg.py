"""Pictures as SVG, to stand alone or inside a page.

Text takes the colour of the text around it, or one that fits the theme when the picture stands alone;
lines have colours that show on both papers.  A heat map is runs of equal colour, one path per colour;
one with too many runs is a PNG inside the SVG.  Nothing outside is referred to.
"""

import base64
from html import escape

import numpy as np

from . import png
from .axes import checked, named_places, number, points, scaled, thinned, ticks
from .colours import LINES, SCALE, TEXT, paint, to_hex

WIDTH = 360  # of every picture, in units that are pixels when it is shown at its own size
PLOT, FLAT = 288, 60  # the widest and highest, and the lowest plot but for cells as high as CELL
CELL = 24
SIZE = 12  # of letters
RUNS = 3000  # more runs of colour than this are an image
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # so that lines differ by more than colour


def heat_map(matrix, *, title="", x_label="", y_label="", low=None, high=None, row_names=None):
    """``matrix`` (rows, columns) as one SVG, row 0 on top; the arguments are those of ``axes.Panel``."""
    matrix = checked(matrix, "heat_map")
    unit, low, high = scaled(matrix, low, high)
    rows, columns = unit.shape
    names = range(rows) if row_names is None else row_names
    left = 10 + 7 * max(len(str(name)) for name in names) + (SIZE + 6) * bool(y_label)
    across = min(WIDTH - 54 - left, PLOT, CELL * columns) / columns
    down = min(max(across, FLAT / rows), CELL, PLOT / rows)  # squares, where that is neither flat nor high
    width, height, top = across * columns, down * rows, 24 if title else 8
    parts = [f'<g transform="translate({left} {top}) scale({across:.6g} {down:.6g})">{_cells(unit)}</g>']
    for i, label in named_places(names, height / 18):
        parts.append(_text(left - 5, top + (i + 0.5) * down + 4, label, "end"))
    for i, label in named_places(range(columns), max(1, width / 36)):
        parts.append(_text(left + (i + 0.5) * across, top + height + SIZE + 3, label))
    parts += _labels(left, top, width, height, title, x_label, y_label)
    parts.append(_bar(left + width + 8, top, height, number(low), number(high)))
    shown = f"{rows} rows, {columns} columns, from {number(low)} dark to {number(high)} bright"
    return _svg(top + height + SIZE + 8 + (SIZE + 4) * bool(x_label), parts, title or "Heat map", shown)


def curve(series, *, title="", x_label="", y_label=""):
    """Curves over one pair of axes.  ``series``: name -> (x, values), two vectors of n numbers each.

    A bare vector is one curve over 0, 1, 2...  The vertical axis starts at 0, or at the smallest number if
    that is below.  A NaN is a gap.
    """
    if not hasattr(series, "items"):
        series = {"": (None, series)}
    if not series:
        raise ValueError("curve: at least one series expected, got none")
    drawn = {name: points(values, x, f"curve {name!r}") for name, (x, values) in series.items()}
    left_x, right_x = min(p[2][0] for p in drawn.values()), max(p[2][1] for p in drawn.values())
    low, high = min(0.0, *(p[3][0] for p in drawn.values())), max(p[3][1] for p in drawn.values())
    right_x = right_x if right_x > left_x else left_x + 1.0
    high = high if high > low else low + 1.0
    marks = ticks(low, high)
    named = [name for name in drawn if name]
    left = 12 + 7 * max(len(number(mark)) for mark in marks) + (SIZE + 6) * bool(y_label)
    top = (24 if title else 10) + (SIZE + 6) * bool(named)
    width, height = WIDTH - 14 - left, 150

    def place(x, y):
        return left + (x - left_x) / (right_x - left_x) * width, top + (high - y) / (high - low) * height

    parts = []
    for mark in marks:
        y = place(left_x, mark)[1]
        parts.append(f'<path d="M{left} {y:.1f}h{width}" stroke="currentColor" stroke-opacity=".18"/>')
        parts.append(_text(left - 6, y + 4, number(mark), "end"))
    for mark in ticks(left_x, right_x, 4):
        parts.append(_text(place(mark, low)[0], top + height + SIZE + 5, number(mark)))
    for i, (name, (x, y, *_)) in enumerate(drawn.items()):
        colour, dash = LINES[i % len(LINES)], DASHES[i % len(DASHES)]
        style = f'fill="none" stroke="{colour}" stroke-width="1.8" stroke-linejoin="round"'
        style += f' stroke-dasharray="{dash}"' * bool(dash)
        parts.append(f'<path d="{_line(*place(*thinned(x, y, 800)))}" stroke-linecap="round" {style}/>')
        if name:
            at = left + i * width / len(drawn)
            parts.append(
                f'<path d="M{at:.1f} {top - 13}h18" {style}/>{_text(at + 23, top - 9, name, "start")}'
            )
    parts += _labels(left, top, width, height + 2, title, x_label, y_label)
    what = ", ".join(
        f"{name or 'values'}: {len(y)} points from {number(low)} to {number(high)}, the last {number(y[-1])}"
        for name, (_, y, _, (low, high)) in drawn.items()
    )
    return _svg(top + height + SIZE + 12 + (SIZE + 4) * bool(x_label), parts, title or "Curve", what)


def _cells(unit):
    """The cells in units of one cell: a ground in the commonest colour, and runs of the others."""
    pixels = paint(unit)
    rows, columns = unit.shape
    codes = pixels.astype(int) @ (65536, 256, 1)
    edges = np.ones((rows, columns), bool)
    edges[:, 1:] = codes[:, 1:] != codes[:, :-1]
    if edges.sum() > RUNS:
        data = base64.b64encode(png.encode(pixels)).decode()
        return (
            f'<image width="{columns}" height="{rows}" preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
        )
    found, counts = np.unique(codes, return_counts=True)
    ground = found[np.argmax(counts)]
    paths = {}
    for i in range(rows):
        starts = np.flatnonzero(edges[i])
        for start, end in zip(starts, [*starts[1:], columns]):
            if codes[i, start] != ground:
                paths.setdefault(codes[i, start], []).append(f"M{start} {i}h{end - start}v1h-{end - start}z")
    parts = [f'<rect width="{columns}" height="{rows}" fill="#{ground:06x}"/>']
    parts += [f'<path fill="#{code:06x}" d="{"".join(runs)}"/>' for code, runs in sorted(paths.items())]
    return f'<g shape-rendering="crispEdges">{"".join(parts)}</g>'


def _line(x, y):
    """The path through the points, lifted at a NaN; a point alone between two gaps is a dot."""
    path, lifted = [], True
    for i, (a, b) in enumerate(zip(x, y)):
        if np.isfinite(b):
            path.append(f"{'M' if lifted else 'L'}{a:.1f} {b:.1f}")
            if lifted and (i + 1 == len(x) or not np.isfinite(y[i + 1])):
                path.append("h0")
        lifted = not np.isfinite(b)
    return "".join(path)


def _bar(left, top, height, low, high):
    """The scale, upright, as steps of colour."""
    colours = SCALE[np.linspace(255, 0, 32).astype(int)]
    steps = [f'<path fill="{to_hex(c)}" d="M0 {i}h1v1.1h-1z"/>' for i, c in enumerate(colours)]
    bar = f'<g transform="translate({left:.1f} {top}) scale(8 {height / 32:.6g})">{"".join(steps)}</g>'
    ends = _text(left + 12, top + 9, high, "start")
    return bar + ends + (_text(left + 12, top + height, low, "start") if height > 26 else "")


def _labels(left, top, width, height, title, x_label, y_label):
    """The words around a plot."""
    if title:
        yield f'<text x="{left}" y="15" font-weight="600" text-anchor="start">{escape(title)}</text>'
    if x_label:
        yield _text(left + width / 2, top + height + 2 * SIZE + 6, x_label)
    if y_label:
        x, y = SIZE, top + height / 2
        yield f'<text transform="translate({x} {y:.1f}) rotate(-90)">{escape(y_label)}</text>'


def _text(x, y, text, anchor="middle"):
    anchored = f' text-anchor="{anchor}"' * (anchor != "middle")
    return f'<text x="{x:.1f}" y="{y:.1f}"{anchored}>{escape(text)}</text>'


def _svg(height, parts, title, description):
    told = escape(f"{title}. {description}")
    dark = f"@media(prefers-color-scheme:dark){{.scratchattn{{color:{TEXT['dark']}}}}}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="scratchattn" role="img" aria-label="{told}" '
        f'viewBox="0 0 {WIDTH} {height:.1f}" width="{WIDTH}" height="{height:.1f}" '
        f'font-family="system-ui,sans-serif" font-size="{SIZE}" fill="currentColor" text-anchor="middle">'
        f"<style>.scratchattn{{color:{TEXT['light']}}}{dark}</style>{''.join(parts)}</svg>"
    )
