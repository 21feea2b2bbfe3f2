"""IAM-OnDB: lines of English that were written on a whiteboard, as pen points and as text.

lineStrokes/a01/a01-000/a01-000u-01.xml holds one line as strokes of points,

    <WhiteboardCaptureSession><StrokeSet><Stroke><Point x="895" y="992" time="0.0"/> ...

and ascii/a01/a01-000/a01-000u.txt the text of the whole form, its lines below ``CSR:``, the first of
them for -01.xml.  x grows to the right and y downwards; offsets are kept as they are.

A document type is refused, and with it every entity: nothing in such a file needs one.

Source: Liwicki, Bunke, "IAM-OnDB", ICDAR 2005; used in Graves, arXiv:1308.0850, section 4.
"""

import re
from typing import Any, NamedTuple
from xml.parsers import expat

import numpy as np

from .raw_file import Damaged, contents, lines_of, text_of

COORDINATE = re.compile("-?[0-9]{1,8}")
TIME = re.compile("-?[0-9]{1,20}([.][0-9]{0,30})?([eE][-+]?[0-9]{1,2})?")  # always finite


class PenLine(NamedTuple):
    """A line of handwriting of ``n`` points."""

    points: Any  # (n, 3) int32: dx, dy, pen_up; the first dx and dy are 0
    times: Any  # (n) float64 seconds, as recorded


def read_pen_line(path):
    """The points of a lineStrokes file.  Damaged, with the line of the file, if it is not one."""
    return parse_pen_line(contents(path), str(path))


def read_transcription(path):
    """The lines of text of a form, a tuple, from a file of the ascii folder."""
    return parse_transcription(contents(path), str(path))


def parse_pen_line(data, name):
    """``read_pen_line`` of the bytes of a file that errors call ``name``."""
    parser = expat.ParserCreate()
    inside, points, ends = [], [], []

    def refuse(what):
        raise Damaged(f"{name}, line {parser.CurrentLineNumber}: {what}")

    def start(element, attributes):
        if not inside and element != "WhiteboardCaptureSession":
            refuse(f"the document must be a WhiteboardCaptureSession, got {element}")
        inside.append(element)
        if element == "Point":
            if inside[-3:-1] != ["StrokeSet", "Stroke"]:
                refuse("a Point outside a Stroke of a StrokeSet")
            x, y, time = (attributes.get(key, "") for key in ("x", "y", "time"))
            if not (COORDINATE.fullmatch(x) and COORDINATE.fullmatch(y) and TIME.fullmatch(time)):
                refuse(f"a Point has integers x and y and a time, got {attributes}")
            points.append((int(x), int(y), float(time)))

    def end(element):
        inside.pop()
        if element == "Stroke":
            if len(points) == (ends[-1] if ends else 0):
                refuse("a Stroke without a Point")
            ends.append(len(points))

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = lambda *_: refuse(
        "a document type, which such a file does not need: refused"
    )
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as wrong:
        if isinstance(wrong, Damaged):
            raise
        raise Damaged(f"{name}, line {parser.CurrentLineNumber}: no whole XML document: {wrong}") from wrong
    if not points:
        raise Damaged(f"{name}, line {parser.CurrentLineNumber}: no Stroke in it")
    places = np.array([point[:2] for point in points], np.int32)
    rows = np.zeros((len(points), 3), np.int32)
    rows[1:, :2] = np.diff(places, axis=0)
    rows[np.array(ends) - 1, 2] = 1
    return PenLine(rows, np.array([point[2] for point in points]))


def parse_transcription(data, name):
    """``read_transcription`` of the bytes of a file that errors call ``name``."""
    lines = [line.strip() for line in lines_of(text_of(data, name))]
    if "CSR:" not in lines:
        raise Damaged(
            f"{name}, line {len(lines)}: the file ends without a line 'CSR:', below which the text is"
        )
    begin = lines.index("CSR:") + 1
    found = tuple(line for line in lines[begin:] if line)
    if not found:
        raise Damaged(f"{name}, line {begin}: no text follows 'CSR:'")
    return found
