"""Drawings as PNG files, with NumPy and zlib alone.

Matrices and letters stay sharp: a cell has the colour that its centre falls on, a letter is enlarged by a
whole number.  Lines are smoothed: a pixel takes as much of their colour as its distance from them says.
"""

import struct
import unicodedata
import zlib
from pathlib import Path

import numpy as np

from ..whole_file import write_whole
from .colours import PAPER, TEXT, of_hex
from .drawing import Box, Line, Pixels, Text
from .typeface import ASCENT, WIDTH, letters

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode(pixels):
    """PNG of ``pixels`` (h, w, 3) uint8, as bytes."""
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise TypeError(f"png: pixels must be uint8, got {pixels.dtype}")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"png: pixels must be (h, w, 3), at least one of each, got {pixels.shape}")
    height, width, _ = pixels.shape
    codes, index = np.unique(pixels.astype(np.int32) @ np.int32([65536, 256, 1]), return_inverse=True)
    few = len(codes) <= 256  # then a pixel is one byte: which colour of a list
    kind, per = (3, 1) if few else (2, 3)
    lines = np.zeros((height, 1 + per * width), np.uint8)  # a line starts with its filter: 0, none
    lines[:, 1:] = (index if few else pixels).reshape(height, per * width)
    chunks = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    if few:
        chunks += _chunk(b"PLTE", b"".join(int(code).to_bytes(3, "big") for code in codes))
    return SIGNATURE + chunks + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + _chunk(b"IEND", b"")


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, pixels):
    """Write ``pixels`` (h, w, 3) uint8 to ``path``; the file appears whole or not at all -> the path."""
    data = encode(pixels)
    write_whole(path, data)
    return Path(path)


def render(drawing, *, scale=2, theme="light"):
    """The pixels of a ``drawing.Drawing``, (h, w, 3) uint8, ``scale`` to a unit, on paper of ``theme``."""
    if scale < 1 or int(scale) != scale:
        raise ValueError(f"png: scale must be a whole number, at least 1, got {scale}")
    if theme not in PAPER:
        raise ValueError(f"png: theme must be one of {list(PAPER)}, got {theme!r}")
    height, width = (max(1, round(scale * length)) for length in (drawing.height, drawing.width))
    image = np.full((height, width, 3), of_hex(PAPER[theme]), np.uint8)
    for mark in drawing.marks:
        _DRAWN[type(mark)](image, mark, int(scale), theme)
    return image


def _draw_text(image, mark, scale, theme):
    """Letters are pixels of our own typeface, which knows no accents: they are left out."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", mark.text) if not unicodedata.combining(c))
    ink = letters(plain).repeat(scale, axis=0).repeat(scale, axis=1)
    if mark.bold:
        ink[:, 1:] |= ink[:, :-1]
    before = {"start": 0, "middle": WIDTH * len(plain) / 2, "end": WIDTH * len(plain)}[mark.anchor]
    if mark.up:
        ink = np.rot90(ink)
        top, left = mark.y + before - WIDTH * len(plain), mark.x - ASCENT
    else:
        top, left = mark.y - ASCENT, mark.x - before
    top, left = round(scale * top), round(scale * left)
    ink = ink[max(0, -top) :, max(0, -left) :]
    part = image[max(0, top) : max(0, top + ink.shape[0]), max(0, left) : max(0, left + ink.shape[1])]
    part[ink[: part.shape[0], : part.shape[1]]] = _bytes("text", theme)


def _draw_box(image, mark, scale, theme):
    top, down, left, right = _edges(mark, scale)
    image[top:down, left:right] = _bytes(mark.colour, theme)


def _draw_pixels(image, mark, scale, theme):
    top, down, left, right = _edges(mark, scale)
    top, left = max(top, 0), max(left, 0)
    down, right = min(down, image.shape[0]), min(right, image.shape[1])
    rows = _cell_at(np.arange(top, down), mark.y, mark.height, scale, mark.pixels.shape[0])
    columns = _cell_at(np.arange(left, right), mark.x, mark.width, scale, mark.pixels.shape[1])
    image[top:down, left:right] = mark.pixels[rows[:, None], columns]


def _edges(mark, scale):
    return [
        round(scale * edge) for edge in (mark.y, mark.y + mark.height, mark.x, mark.x + mark.width)
    ]  # fmt: skip


def _cell_at(pixel, start, length, scale, count):
    """The cell, of ``count`` along ``length`` units, that the centre of each pixel falls on."""
    return np.clip(((pixel + 0.5) / scale - start) / length * count, 0, count - 1).astype(int)


def _draw_line(image, mark, scale, theme):
    """Every pixel has the distance of its centre from the nearest stretch of the line."""
    x, y = (scale * np.asarray(values, float) - 0.5 for values in (mark.x, mark.y))
    half = max(scale * mark.width, 1.0) / 2
    ink = np.zeros(image.shape[:2])
    for a, b in _stretches(x, y, [scale * length for length in mark.dash]):
        low = np.floor(np.minimum(a, b) - half - 1).astype(int).clip(0)
        high = np.ceil(np.maximum(a, b) + half + 2).astype(int).clip(0)
        part = ink[low[1] : high[1], low[0] : high[0]]
        across = np.arange(low[0], low[0] + part.shape[1]) - a[0]
        down = (np.arange(low[1], low[1] + part.shape[0]) - a[1])[:, None]
        way = b - a
        along = ((across * way[0] + down * way[1]) / max(way @ way, 1e-12)).clip(0, 1)
        distance = np.hypot(across - along * way[0], down - along * way[1])
        np.maximum(part, (half + 0.5 - distance).clip(0, 1), out=part)
    touched = ink > 0
    share = mark.opacity * ink[touched][:, None]
    mixed = (1 - share) * image[touched] + share * np.array(_bytes(mark.colour, theme))
    image[touched] = np.rint(mixed).astype(np.uint8)


def _stretches(x, y, dash):
    """(from, to) of each straight stretch with ink on it; a point alone goes from itself to itself."""
    points, known, begun = np.stack([x, y], axis=1), np.isfinite(y), 0.0
    period = sum(dash)
    for i in np.flatnonzero(known):
        joined = i > 0 and known[i - 1]
        if not joined:
            begun = 0.0  # a dash starts anew where the pen comes down
            if i + 1 == len(x) or not known[i + 1]:
                yield points[i], points[i]
            continue
        a, b = points[i - 1], points[i]
        length = float(np.hypot(*(b - a)))
        if not period or not length:
            yield a, b
            continue
        start = begun - begun % period
        while start < begun + length:
            for place, size in enumerate(dash):
                first, last = max(start, begun) - begun, min(start + size, begun + length) - begun
                if place % 2 == 0 and first < last:
                    yield a + (b - a) * first / length, a + (b - a) * last / length
                start += size
        begun += length


def _bytes(colour, theme):
    return of_hex(TEXT[theme] if colour == "text" else colour)


_DRAWN = {Text: _draw_text, Box: _draw_box, Pixels: _draw_pixels, Line: _draw_line}
