"""Pictures: in the terminal, as PNG and SVG, and reports as one HTML file; NumPy and zlib alone."""

from . import axes, colours, environment, html, memory_access, ntm, png, svg, terminal, typeface

__all__ = [
    "axes",
    "colours",
    "environment",
    "html",
    "memory_access",
    "ntm",
    "png",
    "svg",
    "terminal",
    "typeface",
]
