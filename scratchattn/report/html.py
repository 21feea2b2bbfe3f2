"""A report as one HTML file that needs nothing else: no script, no network, no other file.

It opens from a disk, follows the light or dark theme of the reader, fits a telephone and can be printed.
All text is escaped, and pictures are made of marks, so that no markup comes from outside.
"""

import re
from html import escape
from itertools import count, groupby
from typing import Any, NamedTuple

from . import svg
from .drawing import Drawing, printable
from .matrices import WIDTH
from .style import style

UNCHECKED = "What was not checked"  # in the report on a run, sections of this title are one, at the end


class Section(NamedTuple):
    """A heading and strings (paragraphs), Notes, Tables, Figures, Sliders, Items, in any order."""

    title: str
    blocks: Any


class Table(NamedTuple):
    """Rows of numbers and strings; the first cell of a row names it."""

    rows: Any
    header: Any = ()
    caption: str = ""


class Figure(NamedTuple):
    """A ``drawing.Drawing``, as ``curve`` or ``heat_map`` make it, and what is to be seen in it."""

    drawing: Any
    caption: str = ""


class Slider(NamedTuple):
    """Drawings of which one is shown, and a row of stops to choose it: by pointer, finger, or arrow keys.

    ``frames``: (label, Drawing) pairs, e.g. one for each step of a sequence.  ``what`` a label counts.
    On paper all of them are shown.
    """

    frames: Any
    caption: str = ""
    what: str = "step"
    start: int = 0  # the index of the frame that is shown first


class Items(NamedTuple):
    """A list of sentences."""

    items: Any


class Note(NamedTuple):
    """A sentence that is not to be missed."""

    text: str


def page(title, sections, *, lead="", notes=()):
    """The HTML text of a report: ``title``, ``notes`` and a ``lead`` paragraph under it, and ``sections``.

    TypeError for a block that is none.
    """
    sections, names = list(sections), count(1)
    blocks = [Note(note) for note in notes] + [lead] * bool(lead)
    body = [f"<h1>{said(title)}</h1>", _blocks(blocks, names)]
    for section in sections:
        body.append(f"<section><h2>{said(section.title)}</h2>\n{_blocks(section.blocks, names)}</section>")
    sliders = [block for section in sections for block in section.blocks if isinstance(block, Slider)]
    stops = max((len(slider.frames) for slider in sliders), default=0)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none';style-src 'unsafe-inline';img-src data:\">\n"
        f'<meta name="color-scheme" content="light dark">\n<title>{said(title)}</title>\n'
        f"<style>{style(stops)}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def drawings(sections):
    """(name, Drawing) of every picture in ``sections``, in order; those of a slider have their labels."""
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Figure):
                yield f"{section.title} {block.drawing.title}", block.drawing
            elif isinstance(block, Slider):
                for label, drawing in block.frames:
                    told = str(label) in re.findall(r"\w+", drawing.title)  # the title may say it already
                    name = drawing.title if told else f"{drawing.title} {block.what} {label}"
                    yield f"{section.title} {name}", drawing


def said(value):
    """Text of a cell or a paragraph, escaped; floats short, truth values and None in words."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        value = f"{value:.6g}"
    return escape(printable(value))


def _blocks(blocks, names):
    """Figures that follow each other stand side by side where there is room, and so do tables."""
    parts = []
    for kind, group in groupby(blocks, type):
        if kind in (Figure, Table):
            drawn = "".join(map(_figure if kind is Figure else _table, group))
            parts.append(f'<div class="{kind.__name__.lower()}s">\n{drawn}</div>\n')
        elif kind is Items:
            for items in group:
                parts.append(
                    "<ul>\n" + "".join(f"<li>{said(item)}</li>\n" for item in items.items) + "</ul>\n"
                )
        elif kind is Slider:
            parts += [_slider(slider, f"slider-{next(names)}") for slider in group]
        elif kind is Note:
            parts += [f'<p class="note" role="note">{said(note.text)}</p>\n' for note in group]
        elif kind is str:
            parts += [f"<p>{said(text)}</p>\n" for text in group]
        else:
            raise TypeError(
                f"page: a string, Note, Table, Figure, Slider or Items expected, got {kind.__name__}"
            )
    return "".join(parts)


def _table(table):
    caption = f"<caption>{said(table.caption)}</caption>" if table.caption else ""
    numeric = [all(map(_is_number, column)) for column in zip(*table.rows)]
    head = ""
    if table.header:
        numeric = numeric or [False] * len(table.header)
        cells = [
            f'<th scope="col"{_kind(n)}>{said(h)}</th>' for h, n in zip(table.header, numeric, strict=True)
        ]
        head = f"<thead><tr>{''.join(cells)}</tr></thead>"
    rows = []
    for first, *rest in table.rows:
        cells = [f'<th scope="row"{_kind(numeric[0])}>{said(first)}</th>']
        cells += [f"<td{_kind(n)}>{said(cell)}</td>" for cell, n in zip(rest, numeric[1:], strict=True)]
        rows.append(f"<tr>{''.join(cells)}</tr>\n")
    return _scrolled(
        f"<table>{caption}{head}<tbody>\n{''.join(rows)}</tbody></table>", table.caption or "Table"
    )


def _is_number(cell):
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _kind(numeric):
    return ' class="number"' * numeric


def _figure(figure):
    caption = f"<figcaption>{said(figure.caption)}</figcaption>" if figure.caption else ""
    broad = ' class="broad"' * (_checked(figure.drawing).width > WIDTH)
    return f"<figure{broad}>{_picture(figure.drawing)}{caption}</figure>\n"


def _slider(slider, name):
    """Radio buttons and frames; the style sheet shows the frame whose button is chosen."""
    if not slider.frames or not 0 <= slider.start < len(slider.frames):
        raise ValueError(
            f"page: a slider needs frames, and start among them, got {len(slider.frames)} and {slider.start}"
        )
    stops, frames = [], []
    for i, (label, drawing) in enumerate(slider.frames):
        chosen = " checked" * (i == slider.start)
        told = f"{said(slider.what)} {said(label)}"
        stops.append(
            f'<label><input type="radio" name="{name}" aria-label="{told}"{chosen}>'
            f"<span>{said(label)}</span></label>"
        )
        frames.append(f'<div class="frame"><h3>{told}</h3>{_picture(_checked(drawing))}</div>\n')
    legend = said(slider.caption or f"Choose a {slider.what}.")
    return (
        f'<fieldset class="slider"><legend>{legend}</legend>\n<div class="stops">{"".join(stops)}</div>\n'
        f'<div class="frames-in-time">{"".join(frames)}</div></fieldset>\n'
    )


def _checked(drawing):
    if not isinstance(drawing, Drawing):
        raise TypeError(f"page: a figure must hold a Drawing, got {type(drawing).__name__}")
    return drawing


def _picture(drawing):
    """A drawing of the usual width shrinks with the page; a broader one is scrolled."""
    drawn = svg.render(drawing)
    return _scrolled(drawn, drawing.title) if drawing.width > WIDTH else drawn


def _scrolled(content, label):
    """What may be wider than the page, in a region that can be scrolled, also by keyboard."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{said(label)}">{content}</div>\n'
