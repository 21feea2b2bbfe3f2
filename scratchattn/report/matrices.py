"""Matrices as drawings: heat maps, and the alignment of words with words."""

import numpy as np

from .axes import block, checked, named, named_places, number, pooled, scaled
from .colours import SCALE, paint
from .drawing import LINE, SIZE, Drawing, Pixels, Text, cut, heading, room

WIDTH = 360  # of a picture that is not asked to be wider
PLOT, FLAT = 288, 60  # the widest and highest, and the lowest plot but for cells as high as CELL
CELL, NAMED = 24, 18  # the largest cell, and the height of a row that has a word for a name
WORD = 18  # cells of an alignment: a line of words fits


def heat_map(
    matrix, *,
    title="", x_label="", y_label="", low=None, high=None, row_names=None, column_names=None, width=WIDTH,
    cell=None,
):  # fmt: skip
    """``matrix`` (rows, columns), row 0 on top; the arguments are those of ``axes.Panel`` -> Drawing.

    ``column_names``: 0, 1, 2... if None.  ``width``: of the sheet.  ``cell``: width and height of a cell, at
    most; what fits if None.  A matrix with more rows or columns than there are units for is pooled, the
    largest of each block, and says so.
    TypeError or ValueError for what is no matrix of real numbers.
    """
    matrix = checked(matrix, "heat_map")
    rows, columns = matrix.shape
    names, below = _names("row_names", row_names, rows), _names("column_names", column_names, columns)
    unit, low, high = scaled(matrix, low, high)
    left = 10 + int(max(room(name) for name in names)) + (SIZE + 6) * bool(y_label)
    widest = min(width - 24 - max(map(room, (number(low), number(high)))) - left, PLOT)
    shared = block(rows, PLOT), block(columns, int(widest))
    cells = pooled(unit, *shared)
    most_across, most_down = (CELL, CELL) if cell is None else cell
    across = _whole(min(widest / cells.shape[1], most_across))
    least = max(FLAT / cells.shape[0], NAMED * named(names))
    squarish = max(across, least) if cell is None else most_down
    down = _whole(min(squarish, most_down, PLOT / cells.shape[0]))
    across, down = across * cells.shape[1], down * cells.shape[0]
    marks, top = heading(left, width - left, title)
    marks.append(Pixels(left, top, across, down, paint(cells)))
    for i, label in named_places(names, down / 18):
        marks.append(Text(left - 5, top + (i + 0.5) * down / rows + 4, label, "end"))
    for i, label in named_places(below, max(1, across / 36)):
        marks.append(Text(left + (i + 0.5) * across / columns, top + down + SIZE + 3, label))
    marks += scale_bar(left + across + 8, top, down, number(low), number(high))
    told = x_label + f" (the largest of each {shared[1]})" * (shared[1] > 1)
    marks += labels(left, top, across, down, told, y_label)
    shown = f"{rows} rows, {columns} columns, from {number(low)} dark to {number(high)} bright"
    bottom = top + down + SIZE + 8 + (SIZE + 4) * bool(told)
    return Drawing(width, bottom, tuple(marks), title or "Heat map", shown)


def alignment(weights, sources, targets, *, title="", x_label="", y_label="", low=0.0, high=1.0):
    """How much each target word looks at each source word -> Drawing, as wide as the words need.

    ``weights`` (targets, sources), e.g. the attention weights of a decoder; ``sources``, ``targets``: lists
    of words, along the columns and the rows.  Source words stand upright over their columns unless all are
    short.  ValueError if their numbers are not those of the columns and rows.

    Source: the pictures of Bahdanau, Cho, Bengio, arXiv:1409.0473, figure 3.
    """
    weights = checked(weights, "alignment")
    sources, targets = [str(s) for s in sources], [str(t) for t in targets]
    if weights.shape != (len(targets), len(sources)):
        raise ValueError(
            f"alignment: weights must be (targets, sources), {(len(targets), len(sources))}, "
            f"got {weights.shape}"
        )
    unit, low, high = scaled(weights, low, high)
    cell = max(WORD, min(CELL, int(200 / max(weights.shape))))
    left = int(max(room(cut(t, 150)) for t in targets)) + 8 + (SIZE + 6) * bool(y_label)
    width, height = cell * len(sources), cell * len(targets)
    sheet = max(WIDTH, left + width + 16 + int(max(map(room, (number(low), number(high)))) + 8))
    flat = all(room(word) <= cell - 2 for word in sources)
    marks, top = heading(left, sheet - left, title)
    if x_label:
        marks.append(Text(left, top + SIZE - 2, x_label, "start"))
        top += LINE
    words = top + (SIZE if flat else int(max(room(cut(word, 130)) for word in sources)))
    for j, word in enumerate(sources):
        x = left + (j + 0.5) * cell
        marks.append(Text(x, words, word) if flat else Text(x + 4, words, cut(word, 130), "start", up=True))
    top = words + 6
    marks.append(Pixels(left, top, width, height, paint(unit)))
    for i, word in enumerate(targets):
        marks.append(Text(left - 6, top + (i + 0.5) * cell + 4, cut(word, 150), "end"))
    marks += scale_bar(left + width + 8, top, height, number(low), number(high))
    marks += labels(left, top, width, height, "", y_label)
    shown = (
        f"{len(targets)} target words by {len(sources)} source words, from {number(low)} to {number(high)}"
    )
    most = [f"{t}: {sources[i]}" for t, i in zip(targets, np.nan_to_num(weights, nan=-1).argmax(axis=1))]
    return Drawing(sheet, top + height + 8, tuple(marks), title or "Alignment", f"{shown}; {', '.join(most)}")


def scale_bar(left, top, height, low, high):
    """Marks of the scale, upright, bright on top, its two ends named."""
    colours = SCALE[np.linspace(255, 0, 32).astype(int)][:, None]
    yield Pixels(left, top, 8, height, colours)
    yield Text(left + 12, top + 10, high, "start")
    if height > 26:
        yield Text(left + 12, top + height, low, "start")


def labels(left, top, width, height, x_label, y_label):
    """Marks of the words below and to the left of a plot."""
    if x_label:
        yield Text(left + width / 2, top + height + 2 * SIZE + 6, x_label)
    if y_label:
        yield Text(SIZE, top + height / 2, y_label, up=True)


def _names(who, names, count):
    """``names`` as a list of ``count``; ValueError if they are not as many."""
    names = list(range(count) if names is None else names)
    if len(names) != count:
        raise ValueError(f"heat_map: {who} must be {count} integers or words, got {len(names)}")
    return names


def _whole(length):
    """A cell of several pixels is a whole number of them, so that all are alike."""
    return float(int(length)) if length >= 3 else length
