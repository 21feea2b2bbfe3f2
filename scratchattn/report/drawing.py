"""A drawing: marks on a sheet, in units that are pixels when it is shown at its own size.

Every picture is made once, of four kinds of marks, and written by ``svg.render`` or ``png.render``.  Text and
lines have the colour "text", which is that of the words around the picture, or one as "#rrggbb".
"""

import re
from typing import Any, NamedTuple

import numpy as np

SIZE = 12  # of letters
LETTER, NARROW, WIDE = 7.7, 5.0, 12.0  # what a letter takes in width, in the widest of the usual typefaces
LINE = SIZE + 5  # from line to line of words
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # refused, escaped or not


class Text(NamedTuple):
    """Words on one line; (x, y) is on their baseline, at their start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "middle"
    bold: bool = False
    up: bool = False  # turned to the left, to be read from below


class Line(NamedTuple):
    """A line through points, lifted where y is NaN; a point alone is a dot as wide as the line."""

    x: Any  # (n)
    y: Any  # (n)
    colour: str = "text"
    width: float = 1.8
    dash: tuple = ()  # lengths of ink and gap in turn
    opacity: float = 1.0


class Box(NamedTuple):
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: str


class Pixels(NamedTuple):
    """A matrix of colours, (rows, columns, 3) bytes, stretched over a rectangle without smoothing."""

    x: float
    y: float
    width: float
    height: float
    pixels: Any


class Drawing(NamedTuple):
    """Marks, later ones over earlier ones, on a sheet that is ``width`` by ``height``."""

    width: float
    height: float
    marks: tuple
    title: str = ""
    description: str = ""  # what it shows, for those who cannot see it


def printable(text):
    """``text`` as a string without the characters that neither HTML nor XML allows."""
    return UNPRINTABLE.sub("\ufffd", str(text))


def room(text):
    """The width that ``text`` takes, roughly, and rather more than less."""
    return sum(map(_width, str(text)))


def _width(letter):
    if letter in " .,:;'|!()[]/fijlrtI-":
        return NARROW
    return WIDE if letter in "MWmw@%" else LETTER + 1.3 * (letter.isupper() or ord(letter) > 0x2E7F)


def wrapped(text, width):
    """``text`` as lines that fit into ``width``; a word that does not is broken."""
    lines = [""]
    for word in str(text).split():
        if lines[-1] and room(f"{lines[-1]} {word}") > width:
            lines.append("")
        while not lines[-1] and room(word) > width and len(word) > 1:
            most = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or room(word[:n]) <= width)
            lines[-1:] = [word[:most], ""]
            word = word[most:]
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines


def cut(text, width):
    """``text``, or as much of its beginning as fits into ``width`` and three dots."""
    text = str(text)
    while room(text) > width and len(text) > 4:
        text = text.removesuffix("...")[:-1] + "..."
    return text


def moved(mark, right, down):
    """``mark`` at another place."""
    x, y = (np.asarray(mark.x), np.asarray(mark.y)) if isinstance(mark, Line) else (mark.x, mark.y)
    return mark._replace(x=x + right, y=y + down)


def beside(*drawings, gap=0):
    """Several drawings as one, side by side, tops level."""
    marks, at = [], 0
    for drawing in drawings:
        marks += [moved(mark, at, 0) for mark in drawing.marks]
        at += drawing.width + gap
    return _joined(at - gap, max(drawing.height for drawing in drawings), marks, drawings)


def below(*drawings, gap=0):
    """Several drawings as one, each below the one before, left edges in line."""
    marks, at = [], 0
    for drawing in drawings:
        marks += [moved(mark, 0, at) for mark in drawing.marks]
        at += drawing.height + gap
    return _joined(max(drawing.width for drawing in drawings), at - gap, marks, drawings)


def headed(title, drawing):
    """``drawing`` under a ``title`` of its own."""
    marks, down = heading(10, drawing.width - 10, title)
    return below(Drawing(drawing.width, down, tuple(marks), title), drawing)


def framed(drawing, margin=8):
    """``drawing`` with free room around it, for a file of its own."""
    marks = tuple(moved(mark, margin, margin) for mark in drawing.marks)
    return drawing._replace(width=drawing.width + 2 * margin, height=drawing.height + 2 * margin, marks=marks)


def _joined(width, height, marks, drawings):
    title = ", ".join(filter(None, (drawing.title for drawing in drawings)))
    told = "; ".join(filter(None, (drawing.description for drawing in drawings)))
    return Drawing(width, height, tuple(marks), title, told)


def heading(left, width, title, top=0):
    """The marks of a bold ``title`` above what starts at ``left``, and how far down they reach."""
    if not title:
        return [], top + 8
    lines = wrapped(title, width / 1.1)  # bold
    marks = [Text(left, top + 15 + i * LINE, line, "start", bold=True) for i, line in enumerate(lines)]
    return marks, top + 7 + LINE * len(lines)
