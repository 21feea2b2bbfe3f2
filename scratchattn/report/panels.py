"""Panels, side by side as many as fit: in the terminal, and on a sheet."""

from . import terminal
from .axes import named
from .drawing import Text, below, beside
from .matrices import heat_map


def drawn(panel):
    """The Drawing of an ``axes.Panel``."""
    return heat_map(**panel._asdict())


def sheet(shelves, heading):
    """One Drawing: a heading, and lists of Panels, each list side by side, below each other."""
    rows = [beside(*map(drawn, panels), gap=10) for panels in shelves if panels]
    whole = below(*rows, gap=14)
    said = whole._replace(height=0, width=0, marks=(Text(10, 18, heading, "start", bold=True),))
    return below(said, whole, gap=28)


def lines(panels, *, colour=None, width=None):
    """Lines of text: every Panel with its title, as many side by side as fit into ``width`` characters.

    A panel whose rows are called by words says them; see ``terminal.heat_map`` for the rest.
    """
    width = terminal.columns() if width is None else width
    found, shelf, left = [], [], width
    for panel in panels:
        shown, columns = _shown(panel, colour, width)
        if shelf and columns + 3 > left:
            found += [*terminal.beside(*shelf), ""]
            shelf, left = [], width
        shelf.append((shown, columns))
        left -= columns + 3 * (len(shelf) > 1)
    return [*found, *terminal.beside(*shelf), ""] if shelf else found


def _shown(panel, colour, width):
    """The lines of one Panel, and how many characters they take."""
    scale = {"colour": colour, "low": panel.low, "high": panel.high}
    if not named(panel.row_names):
        shown = terminal.heat_map(panel.matrix, width=width, **scale).split("\n")
        return [panel.title, *shown], min(width, max(panel.matrix.shape[1], len(panel.title)))
    margin = min(max(map(len, panel.row_names)), max(1, width - 2))
    inner = max(1, width - margin - 1)
    shown = [
        f"{name[:margin]:>{margin}} " + terminal.heat_map(row[None], width=inner, **scale)
        for name, row in zip(panel.row_names, panel.matrix)
    ]
    return [panel.title, *shown], min(width, max(margin + 1 + panel.matrix.shape[1], len(panel.title)))
