"""Pictures as PNG files, written with zlib alone.

``picture`` composes heat maps into one image on light paper: rows of panels, each with its title, its
axes and a bar that shows its scale.  All is laid out in small pixels and enlarged by a whole number,
so that every cell and every letter stays sharp.
"""

import os
import struct
import zlib
from pathlib import Path

import numpy as np

from .axes import block, checked, named_places, number, pooled, scaled
from .colours import PAPER, SCALE, SOFT, TEXT, of_hex, paint
from .typeface import HEIGHT, WIDTH, letters

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CELL = 16  # the most pixels of a cell, before enlarging
TALLEST, FLAT = 400, 48  # the most pixels of a panel's height, and the least but for cells as high as CELL
GAP, LINE, TICK, BAR = 12, HEIGHT + 3, 3, 5


def encode(pixels):
    """PNG of ``pixels`` (h, w, 3) uint8, as bytes."""
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise TypeError(f"png: pixels must be uint8, got {pixels.dtype}")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"png: pixels must be (h, w, 3), at least one of each, got {pixels.shape}")
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # a line starts with its filter: 0, none
    lines[:, 1:] = pixels.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, red green blue
    body = zlib.compress(lines.tobytes(), 9)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, pixels):
    """Write ``pixels`` (h, w, 3) uint8 to ``path``; the file appears whole or not at all."""
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(encode(pixels))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def picture(rows, *, title="", width=760, scale=2):
    """Rows of panels (see ``axes.Panel``) as one image, (h, w, 3) uint8.

    The cells of a row are of one width, as large as ``width`` allows, and square unless the panel would
    be very flat or very high.  A matrix with more columns than room is pooled, and its axis says so.
    ``scale``: what every pixel is enlarged by.
    """
    if not rows or not all(rows):
        raise ValueError("picture: at least one row of panels expected, and none of them empty")
    if scale < 1 or int(scale) != scale:
        raise ValueError(f"picture: scale must be a whole number, at least 1, got {scale}")
    parts = [_words(title, TEXT["light"])] if title else []
    for panels in rows:
        drawn = _row(panels, width - 2 * GAP)
        parts.append(np.concatenate([_blank(GAP // 2, drawn.shape[1]), drawn]) if parts else drawn)
    widest = max(part.shape[1] for part in parts)
    body = np.concatenate([_padded(part, width=widest) for part in parts])
    image = _blank(body.shape[0] + 2 * GAP, body.shape[1] + 2 * GAP)
    image[GAP:-GAP, GAP:-GAP] = body
    return image.repeat(int(scale), axis=0).repeat(int(scale), axis=1)


def _row(panels, width):
    matrices = [checked(panel.matrix, "picture") for panel in panels]
    left, right = zip(*map(_margins, panels, matrices))
    room = width - sum(left) - sum(right) - GAP * (len(panels) - 1)
    sharing = block(sum(matrix.shape[1] for matrix in matrices), room)
    cell = max(1, min(CELL, room // sum(block(matrix.shape[1], sharing) for matrix in matrices)))
    drawn = [_panel(*each, cell, sharing) for each in zip(panels, matrices, left, right)]
    tallest = max(part.shape[0] for part in drawn)
    parts = []
    for part in drawn:
        parts += [_blank(tallest, GAP)] * bool(parts) + [_padded(part, height=tallest)]
    return np.concatenate(parts, axis=1)


def _names(panel, matrix):
    return range(matrix.shape[0]) if panel.row_names is None else panel.row_names


def _margins(panel, matrix):
    """Pixels to the left and to the right of the cells."""
    label = max(len(str(name)) for name in _names(panel, matrix))
    ends = max(len(number(value)) for value in scaled(matrix, panel.low, panel.high)[1:])
    return LINE * bool(panel.y_label) + WIDTH * label + TICK, TICK + BAR + TICK + WIDTH * ends


def _panel(panel, matrix, left, right, cell, sharing):
    """One panel: cells ``cell`` pixels wide, each for ``sharing`` columns."""
    unit, low, high = scaled(matrix, panel.low, panel.high)
    sharing_rows = block(unit.shape[0], TALLEST)
    cells = paint(pooled(unit, sharing_rows, sharing))
    tall = max(1, min(max(cell, -(-FLAT // cells.shape[0])), CELL, TALLEST // cells.shape[0]))
    cells = cells.repeat(tall, axis=0).repeat(cell, axis=1)
    height, width = cells.shape[:2]
    top = LINE * bool(panel.title)
    bottom, soft = top + height, SOFT["light"]
    said = f"{panel.x_label} (the largest of each {sharing})" if sharing > 1 else panel.x_label
    words = WIDTH * max(len(panel.title), len(said) * bool(panel.x_label))
    image = _blank(bottom + TICK + LINE * (1 + bool(panel.x_label)), left + max(width + right, words))
    image[top:bottom, left : left + width] = cells
    _write(image, 0, left, panel.title, TEXT["light"])
    for index, label in named_places(_names(panel, matrix), height // (LINE + 6)):
        y = top + int((index + 0.5) * tall / sharing_rows)
        image[y, left - TICK : left - 1] = of_hex(soft)
        _write(image, y - HEIGHT // 2 + 1, left - TICK - 1 - WIDTH * len(label), label, soft)
    for index, label in named_places(range(unit.shape[1]), width // (8 * WIDTH)):
        x = left + int((index + 0.5) * cell / sharing)
        image[bottom + 1 : bottom + TICK, x] = of_hex(soft)
        _write(image, bottom + TICK + 1, x - WIDTH * len(label) // 2 + 1, label, soft)
    if panel.y_label:
        ink = np.rot90(letters(panel.y_label))
        _stamp(image, top + (height - ink.shape[0]) // 2, 0, ink, soft)
    if panel.x_label:
        _write(image, bottom + TICK + LINE, left, said, soft)
    _bar(image, top, left + width + TICK, height, number(low), number(high))
    return image


def _bar(image, top, left, height, low, high):
    """The scale, upright, its two ends named."""
    image[top : top + height, left : left + BAR] = SCALE[np.linspace(255, 0, height).astype(int)][:, None]
    _write(image, top - 1, left + BAR + TICK, high, SOFT["light"])
    if height >= 2 * HEIGHT:
        _write(image, top + height - 6, left + BAR + TICK, low, SOFT["light"])


def _blank(height, width):
    return np.full((height, width, 3), of_hex(PAPER["light"]), np.uint8)


def _padded(part, height=0, width=0):
    image = _blank(max(height, part.shape[0]), max(width, part.shape[1]))
    image[: part.shape[0], : part.shape[1]] = part
    return image


def _words(text, colour):
    image = _blank(LINE, WIDTH * len(text))
    _write(image, 0, 0, text, colour)
    return image


def _write(image, top, left, text, colour):
    if text:
        _stamp(image, top, left, letters(text), colour)


def _stamp(image, top, left, ink, colour):
    """Colour the pixels of ``image`` where there is ``ink``; what does not fit is cut off."""
    top, left = max(0, top), max(0, left)
    part = image[top : top + ink.shape[0], left : left + ink.shape[1]]
    part[ink[: part.shape[0], : part.shape[1]]] = of_hex(colour)
