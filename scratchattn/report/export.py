"""The pictures of a report as files of their own."""

import re
import unicodedata
from pathlib import Path

from ..whole_file import write_whole
from . import png, svg
from .drawing import framed
from .html import drawings

FORMATS = ("svg", "png")


def export_figures(sections, directory, formats=FORMATS, *, scale=2, theme="light"):
    """Write every picture of ``sections``, or of a ``run.Report``, into ``directory`` -> the paths, in order.

    The directory is made if need be.  Files are called after their place, section and title, e.g.
    "03-one-copy-inputs.svg".  An SVG follows the theme of its reader; ``scale`` and ``theme`` are those of
    PNG files (``png.render``).  ValueError for another format.
    """
    formats = [formats] if isinstance(formats, str) else list(formats)
    for wanted in formats:
        if wanted not in FORMATS:
            raise ValueError(f"export_figures: formats must be of {list(FORMATS)}, got {wanted!r}")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for i, (name, drawing) in enumerate(drawings(getattr(sections, "sections", sections)), 1):
        drawing = framed(drawing)
        stem = directory / f"{i:02}-{file_name(name)}"
        if "svg" in formats:
            written.append(write_svg(stem.with_suffix(".svg"), drawing))
        if "png" in formats:
            pixels = png.render(drawing, scale=scale, theme=theme)
            written.append(png.write_png(stem.with_suffix(".png"), pixels))
    return written


def write_svg(path, drawing):
    """Write ``drawing`` to ``path``; the file appears whole or not at all -> the path."""
    write_whole(path, f"{svg.render(drawing, paper=True)}\n".encode())
    return Path(path)


def file_name(words):
    """``words`` as a file name that every system takes: small letters, digits, hyphens."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:80] or "picture"
