"""Pictures in a terminal.

A heat map shows two rows of numbers per line of text with half blocks in 24-bit colour where standard
output is a terminal that can show them, otherwise one row per line in plain characters of growing ink.
What is wider than the terminal is pooled: a character shows the largest of the numbers it stands for.
A curve is drawn in dots of Braille, eight to a character, or in stars.
"""

import os
import shutil
import sys

import numpy as np

from .axes import block, checked, number, points, pooled, scaled, thinned
from .colours import paint

INK = " .:-=+*#%@"
RESET = "\033[0m"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # Braille: row, column -> bit


def can_colour():
    """Whether standard output is a terminal that shows half blocks in colour, and nobody forbids it."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain and can_say("\u2580")


def can_say(text):
    """Whether the encoding of standard output has the characters of ``text``."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def columns():
    """Characters in a line of the terminal; 80 where there is none."""
    return max(1, shutil.get_terminal_size().columns)


def heat_map(matrix, *, colour=None, width=None, low=None, high=None):
    """Lines of text that show ``matrix`` (rows, columns), row 0 on top.

    ``colour``: None decides by the terminal.  ``width``: the most characters in a line.  ``low`` and
    ``high``: the numbers at the ends of the scale (see ``axes.scaled``).  A NaN is a red cell, or a "?".
    """
    matrix = checked(matrix, "heat_map")
    width = columns() if width is None else _at_least_one(width, "heat_map", "width")
    unit = scaled(pooled(matrix, columns=block(matrix.shape[1], width)), low, high)[0]
    colour = can_colour() if colour is None else colour
    return "\n".join(_half_blocks(paint(unit)) if colour else _ink(unit))


def _ink(unit):
    index = np.rint(np.where(np.isnan(unit), 0, unit) * (len(INK) - 1)).astype(int)
    shown = np.where(np.isnan(unit), "?", np.array(list(INK))[index])
    return ["".join(row) for row in shown]


def _half_blocks(pixels):
    """The upper half of a character in the colour of its ink, the lower half in that of its paper."""
    lines = []
    for top in range(0, len(pixels), 2):
        line, before = [], (None, None)
        for column in range(pixels.shape[1]):
            ink = "38;2;{};{};{}".format(*pixels[top, column])
            paper = "49" if top + 1 == len(pixels) else "48;2;{};{};{}".format(*pixels[top + 1, column])
            changed = [now for now, was in zip((ink, paper), before) if now != was]
            line.append((f"\033[{';'.join(changed)}m" if changed else "") + "\u2580")
            before = (ink, paper)
        lines.append("".join(line) + RESET)
    return lines


def beside(*blocks, gap=3):
    """Blocks of text side by side, tops level: each block (lines, characters that its lines show)."""
    height = max(len(lines) for lines, _ in blocks)
    joined = []
    for i in range(height):
        parts = []
        for lines, width in blocks:
            line = lines[i] if i < len(lines) else ""
            parts.append(line + " " * (width - shown(line)))
        joined.append((" " * gap).join(parts).rstrip(" "))
    return joined


def shown(line):
    """Characters of ``line`` that take room: all but the colour codes."""
    count, code = 0, False
    for character in line:
        if character == "\033":
            code = True
        count += not code
        code = code and character != "m"
    return count


def curve(values, *, x=None, width=None, height=8, title="", x_label="", y_label="", braille=None):
    """Lines of text with the curve of ``values`` (n) over ``x`` (n, or 0, 1, 2...), and both axes.

    ``width`` and ``height``: characters of the whole and lines of the plot.  The vertical axis starts
    at 0, or at the smallest number if that is below.  ``braille``: None decides by the encoding.
    """
    x, y, (left, right), (low, high) = points(values, x, "curve")
    _at_least_one(height, "curve", "height")
    low = min(low, 0.0)
    high = high if high > low else low + 1.0
    braille = can_say("\u28ff\u2502") if braille is None else braille
    labels = {0: number(high), height - 1: number(low)}
    margin = max(map(len, labels.values())) + 1
    inner = max(8, (columns() if width is None else _at_least_one(width, "curve", "width")) - margin - 1)
    across, down = (2, 4) if braille else (1, 1)
    dots = np.zeros((height * down, inner * across), bool)
    where_x = (x - left) / max(right - left, np.finfo(float).tiny) * (dots.shape[1] - 1)
    where_y = (high - y) / (high - low) * (dots.shape[0] - 1)
    _join(dots, *thinned(where_x, where_y, 8 * dots.shape[1]))
    edge, corner, floor = ("\u2502", "\u2514", "\u2500") if braille else ("|", "+", "-")
    plot = _braille(dots) if braille else ["".join("*" if dot else " " for dot in row) for row in dots]
    lines = [text for text in (title, y_label) if text]
    lines += [f"{labels.get(i, ''):>{margin}}{edge}{row}".rstrip(" ") for i, row in enumerate(plot)]
    lines.append(" " * margin + corner + floor * inner)
    first, last = number(left), number(right)
    middle = x_label.center(max(0, inner - len(first) - len(last)))
    lines.append(" " * (margin + 1) + f"{first}{middle}{last}")
    return "\n".join(lines)


def _join(dots, x, y):
    """Set the dots on the straight lines from point to point; a NaN is a gap."""
    for i in range(len(x)):
        j = max(i - 1, 0) if np.isfinite(y[i - 1]) else i  # a point of its own after a gap
        if np.isfinite(y[i]):
            count = int(max(abs(x[i] - x[j]), abs(y[i] - y[j]))) + 2
            rows = np.rint(np.linspace(y[j], y[i], count)).astype(int)
            dots[rows, np.rint(np.linspace(x[j], x[i], count)).astype(int)] = True


def _braille(dots):
    lines = []
    for top in range(0, dots.shape[0], 4):
        bits = sum(
            dots[top + i, j::2] * bit for i, row in enumerate(_DOTS) for j, bit in enumerate(row)
        )  # one number per character
        lines.append("".join(chr(0x2800 + int(b)) if b else " " for b in bits))
    return lines


def _at_least_one(value, who, name):
    if value < 1:
        raise ValueError(f"{who}: {name} must be at least 1, got {value}")
    return int(value)
