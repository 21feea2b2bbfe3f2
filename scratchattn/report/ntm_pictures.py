"""What a Neural Turing Machine does with a sequence, as pictures: what it says, sees and keeps.

Adds and reads over the weightings that they go by are figure 6 of the paper.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401.
"""

import numpy as np

from . import html, memory_pictures, png
from .answers import beyond, broken
from .axes import Panel
from .matrices import heat_map
from .memory_access import access, cropped, diagonality, diagonality_in_words
from .memory_pictures import doubts, engines, figures, head_panels, heads_of, memory_section, written_when
from .panels import drawn
from .plots import curve
from .recording import drawn_sequence, is_copy
from .story_pictures import opening, step_names, text


def ntm_pictures(model, params, task, rng):
    """Sections on one sequence drawn from ``rng``, the longest that ``task`` has."""
    seen = access(model, params, task, *drawn_sequence(task, rng))
    return [*ntm_sections(model, params, task, seen), *beyond(task)]


def ntm_lines(model, params, task, rng, *, colour=None, width=None):
    """Text on the same; see ``draw_terminal``."""
    seen = access(model, params, task, *drawn_sequence(task, rng))
    story = text(seen, task, _reads_last(model.cell), width)
    return draw_terminal(seen, story=story, colour=colour, width=width)


def ntm_sections(model, params, task, seen):
    """Sections on the sequence ``seen``, an Access: what was said, where the heads look, what is kept."""
    if (nothing := broken(seen, seen.told)) is not None:
        return nothing
    (rows, which), named = cropped(seen), _names(model)
    legend = ", ".join(f"head {i} is {name}" for i, name in enumerate(named))
    heads = np.concatenate([seen.read_weightings, seen.write_weightings], axis=1)[:, : len(named)]
    shown = "The pictures and the diagonality" if is_copy(seen) else "The pictures"
    return [
        *opening(seen, task, _reads_last(model.cell)),
        html.Section("Where the heads look", [which, *_looks(model, params, task, seen, rows, legend)]),
        memory_section(seen, step_names(seen, task), rows, heads.transpose(0, 2, 1), legend),
        doubts(model, seen, shown),
    ]


def draw_terminal(seen, *, story=(), colour=None, width=None):
    """Text: the sequence, or the lines of its ``story``, adds, reads and weightings."""
    rows, which = cropped(seen)
    panels = [panel for panel, _ in head_panels(seen, rows)]
    return memory_pictures.draw_terminal(seen, panels, which, story=story, colour=colour, width=width)


def draw_png(path, seen, *, scale=2):
    """Write the same picture as a PNG file to ``path``."""
    panels = [panel for panel, _ in head_panels(seen, cropped(seen)[0])]
    return png.write_png(path, png.render(memory_pictures.draw_sheet(seen, panels), scale=scale))


def _reads_last(cell):
    """Whether all of a step's writing is done before anything is read."""
    writers_first = cell.turns != "" and list(cell.turns) == sorted(cell.turns, reverse=True)
    return cell.heads in ("write_first", "read_last") or writers_first


def _names(model):
    """What the heads are called that the controller tells what to do."""
    if model.cell.roles == "both":
        return [f"read and write {i}" for i in range(model.heads)]
    return heads_of(model)


def _looks(model, params, task, seen, rows, legend):
    blocks = [*figures(head_panels(seen, rows)), *written_when(seen, _reads_last(model.cell))]
    if is_copy(seen):
        try:
            blocks.append(diagonality_in_words(diagonality(seen)))
        except ValueError as why:
            blocks.append(f"No diagonality: {why}.")
    told, named = seen.told, _names(model)
    gates = heat_map(told.gate.T, title="gate", x_label="step", y_label="head", low=0, high=1)
    blocks.append(html.Figure(gates, f"1: the head goes by content; 0: by where it was. {legend}."))
    reach = told.shift.shape[2] // 2
    for i, name in enumerate(named):
        offsets = range(-reach, reach + 1)
        shift = Panel(told.shift[:, i].T, f"shift of {name}", "step", "offset", 0, 1, offsets)
        blocks.append(html.Figure(drawn(shift), "How much of the weighting moves by how many rows."))
    raised = "The power that a weighting is raised to at the end; 1 leaves it as it is."
    for values, word, what in (
        (told.strength, "strength", "How sharply content is looked for."),
        (told.sharpness, "sharpness", raised),
    ):
        series = {name: values[:, i] for i, name in enumerate(named)}
        blocks.append(html.Figure(curve(series, title=word, x_label="step"), what))
    return [*blocks, engines(model, params, task, seen)]
