"""Drawings as SVG, to stand alone or inside a page.

Text takes a colour that fits the reader's theme; lines have colours that show on both papers.  A matrix is
runs of equal colour, one path per colour, or a PNG inside the SVG where that is much shorter.  Nothing
outside is referred to.
"""

import base64
from html import escape

import numpy as np

from . import png
from .colours import PAPER, TEXT
from .drawing import SIZE, Line, Pixels, Text, printable

RUNS = 1000  # characters that runs of colour may take, however short the same would be as an image


def render(drawing, *, paper=False):
    """The SVG text of a ``drawing.Drawing``: one element, which says in words what it shows.

    ``paper``: on a ground of its own, for a file, of which nobody knows what it will be shown on.
    """
    told = _said(". ".join(filter(None, (drawing.title or "Picture", drawing.description))))
    light, dark = (
        f".scratchattn{{color:{TEXT[theme]}}}" + f".paper{{fill:{PAPER[theme]}}}" * paper
        for theme in ("light", "dark")
    )
    ground = '<rect class="paper" width="100%" height="100%"/>' * paper
    width, height = _n(drawing.width), _n(drawing.height)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="scratchattn" role="img" aria-label="{told}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui,sans-serif" font-size="{SIZE}" fill="currentColor" text-anchor="middle">'
        f"<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>{ground}"
        f"{''.join(map(_mark, drawing.marks))}</svg>"
    )


def _mark(mark):
    if isinstance(mark, Text):
        return _text(mark)
    if isinstance(mark, Line):
        return _line(mark)
    if isinstance(mark, Pixels):
        return _pixels(mark)
    return (
        f'<rect x="{_n(mark.x)}" y="{_n(mark.y)}" width="{_n(mark.width)}" height="{_n(mark.height)}" '
        f'fill="{_colour(mark.colour)}"/>'
    )


def _text(mark):
    place = f'x="{_n(mark.x)}" y="{_n(mark.y)}"'
    if mark.up:
        place = f'transform="translate({_n(mark.x)} {_n(mark.y)}) rotate(-90)"'
    place += f' text-anchor="{escape(mark.anchor)}"' * (mark.anchor != "middle")
    place += ' font-weight="600"' * mark.bold
    return f"<text {place}>{_said(mark.text)}</text>"


def _line(mark):
    style = f'fill="none" stroke="{_colour(mark.colour)}" stroke-width="{_n(mark.width)}"'
    style += ' stroke-linejoin="round" stroke-linecap="round"'
    if mark.dash:
        style += f' stroke-dasharray="{" ".join(map(_n, mark.dash))}"'
    if mark.opacity != 1:
        style += f' stroke-opacity="{_n(mark.opacity)}"'
    return f'<path d="{_path(np.asarray(mark.x, float), np.asarray(mark.y, float))}" {style}/>'


def _path(x, y):
    """The path through the points, lifted at a NaN; a point alone between two gaps is a dot."""
    path, lifted = [], True
    for i, (a, b) in enumerate(zip(x, y)):
        if np.isfinite(b):
            path.append(f"{'M' if lifted else 'L'}{_n(a)} {_n(b)}")
            if lifted and (i + 1 == len(x) or not np.isfinite(y[i + 1])):
                path.append("h0")
        lifted = not np.isfinite(b)
    return "".join(path)


def _pixels(mark):
    rows, columns, _ = mark.pixels.shape
    across, down = mark.width / columns, mark.height / rows
    place = f'transform="translate({_n(mark.x)} {_n(mark.y)}) scale({across:.6g} {down:.6g})"'
    data = base64.b64encode(png.encode(mark.pixels)).decode()
    image = (
        f'<image width="{columns}" height="{rows}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
    )
    runs = _runs(mark.pixels, max(RUNS, 2 * len(image)))
    return f"<g {place}>{image if runs is None else runs}</g>"


def _runs(pixels, most):
    """The cells in units of one cell: a ground in the commonest colour, and runs of the others.

    None if that would take more than ``most`` characters.
    """
    rows, columns, _ = pixels.shape
    codes = pixels.astype(int) @ (65536, 256, 1)
    edges = np.ones((rows, columns), bool)
    edges[:, 1:] = codes[:, 1:] != codes[:, :-1]
    found, counts = np.unique(codes, return_counts=True)
    ground = found[np.argmax(counts)]
    if 12 * np.count_nonzero(edges & (codes != ground)) + 22 * len(found) > most:
        return None
    paths = {}
    for i in range(rows):
        starts = np.flatnonzero(edges[i])
        for start, end in zip(starts, [*starts[1:], columns]):
            if codes[i, start] != ground:
                paths.setdefault(codes[i, start], []).append(f"M{start} {i}h{end - start}v1h-{end - start}z")
    parts = [f'<rect width="{columns}" height="{rows}" fill="#{ground:06x}"/>']
    parts += [f'<path fill="#{code:06x}" d="{"".join(runs)}"/>' for code, runs in sorted(paths.items())]
    return f'<g shape-rendering="crispEdges">{"".join(parts)}</g>'


def _colour(colour):
    return "currentColor" if colour == "text" else escape(colour)


def _n(value):
    """A coordinate: a tenth of a unit is enough."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def _said(text):
    return escape(printable(text))
