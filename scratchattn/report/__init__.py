"""Pictures: in the terminal, as PNG and SVG, and reports as one HTML file; NumPy and zlib alone.

What a model shows is made of ``heat_map``, ``curve``, ``bars``, ``alignment``, ``image_strip``,
``path_on_image`` and ``strokes``, each a ``Drawing``; ``Figure`` and ``Slider`` put it into a ``Section`` of
a page, and ``export_figures`` into files.
"""

from . import axes, colours, drawing, environment, html, memory_access, ntm, png, run, svg, terminal, typeface
from .drawing import Drawing, below, beside
from .export import export_figures
from .html import Figure, Items, Note, Section, Slider, Table, page
from .images import image_strip, path_on_image, strokes
from .matrices import alignment, heat_map
from .pictures import PICTURES
from .plots import bars, curve
from .run import Report, run_page, run_report

__all__ = [
    "PICTURES",
    "Drawing",
    "Figure",
    "Items",
    "Note",
    "Report",
    "Section",
    "Slider",
    "Table",
    "alignment",
    "axes",
    "bars",
    "below",
    "beside",
    "colours",
    "curve",
    "drawing",
    "environment",
    "export_figures",
    "heat_map",
    "html",
    "image_strip",
    "memory_access",
    "ntm",
    "page",
    "path_on_image",
    "png",
    "run",
    "run_page",
    "run_report",
    "strokes",
    "svg",
    "terminal",
    "typeface",
]
