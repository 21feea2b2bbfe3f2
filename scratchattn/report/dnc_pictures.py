"""What a Differentiable Neural Computer does with a sequence, as pictures.

Where it writes and reads, which rows are in use and which it is offered, the gates, in which of three ways
its heads read, the links between what was written one after the other, and the memory through time.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature 538
(2016) 471, figures 1 and 2.
"""

import numpy as np

from . import html, memory_pictures, png
from .answers import beyond, broken
from .axes import Panel
from .dnc_access import dnc_access
from .drawing import below, beside, headed
from .matrices import heat_map
from .memory_access import cropped
from .memory_pictures import (
    doubts,
    engines,
    figures,
    first_shown,
    head_panels,
    heads_of,
    height_of_rows,
    memory_section,
    not_all,
    shown_steps,
    written_when,
)
from .plots import curve
from .recording import drawn_sequence
from .story_pictures import opening, step_names, text


def dnc_pictures(model, params, task, rng):
    """Sections on one sequence drawn from ``rng``, the longest that ``task`` has."""
    seen = dnc_access(model, params, task, *drawn_sequence(task, rng))
    return [*dnc_sections(model, params, task, seen), *beyond(task)]


def dnc_lines(model, params, task, rng, *, colour=None, width=None):
    """Text on the same: the sequence, what the heads do, the rows in use, gates and read modes."""
    seen = dnc_access(model, params, task, *drawn_sequence(task, rng))
    story = text(seen, task, True, width)
    return draw_terminal(seen, story=story, colour=colour, width=width)


def dnc_sections(model, params, task, seen):
    """Sections on the sequence ``seen``, an Access of a DNC."""
    told = seen.told
    if (nothing := broken(seen, told._replace(link=None, link_steps=None))) is not None:
        return nothing
    (rows, which), names = cropped(seen, ring=False), step_names(seen, task)
    named = ["usage", *heads_of(model)]
    legend = ", ".join(f"{i} is {'the ' * (i == 0)}{name}" for i, name in enumerate(named))
    columns = np.concatenate([told.usage[:, None], seen.read_weightings, seen.write_weightings], axis=1)
    looks = [which, *figures(head_panels(seen, rows)), *written_when(seen, True)]
    looks.append(engines(model, params, task, seen))
    return [
        *opening(seen, task, True),
        html.Section("Where the heads look", looks),
        html.Section("Which rows are free", figures(_allocation_panels(seen, rows))),
        html.Section("How the heads read", [_modes_in_words(seen), *_reading(seen)]),
        html.Section("The links", [_links(seen, names, rows)]),
        memory_section(seen, names, rows, columns.transpose(0, 2, 1), f"column {legend}"),
        doubts(model, seen),
    ]


def draw_terminal(seen, *, story=(), colour=None, width=None):
    """Text: the sequence, or the lines of its ``story``, and all panels over time."""
    rows, which = cropped(seen, ring=False)
    panels = _panels(seen, rows)
    return memory_pictures.draw_terminal(seen, panels, which, story=story, colour=colour, width=width)


def draw_png(path, seen, *, scale=2):
    """Write the same picture as a PNG file to ``path``."""
    panels = _panels(seen, cropped(seen, ring=False)[0])
    return png.write_png(path, png.render(memory_pictures.draw_sheet(seen, panels), scale=scale))


def _panels(seen, rows):
    pairs = [*head_panels(seen, rows), *_allocation_panels(seen, rows), *_mode_panels(seen)]
    return [panel for panel, _ in pairs]


def _allocation_panels(seen, rows):
    told, writers = seen.told, seen.write_weightings.shape[1]
    meant = "How much each row is in use when the step writes: raised by writing, lowered by free gates."
    yield Panel(told.usage[:, rows].T, "usage", "step", "row", 0, 1, rows), meant
    for i in range(writers):
        title = "allocation" + f", write head {i}" * (writers > 1)
        meant = "The free rows that the head is offered."
        yield Panel(told.allocations[:, i, rows].T, title, "step", "row", 0, 1, rows), meant
    names, values = [], []
    for name, gates in (("write", told.write_gates), ("allocate", told.allocation_gates),
                        ("free", told.free_gates)):  # fmt: skip
        heads = gates.shape[1]
        names += [name + f" {i}" * (heads > 1) for i in range(heads)]
        values.append(gates)
    meant = (
        "Write: whether the write head writes. Allocate: 1, to the free rows; 0, to rows that are like its "
        "key. Free: whether what a read head has read before is free now."
    )
    yield Panel(np.concatenate(values, axis=1).T, "gates", "step", "", 0, 1, names), meant


def _mode_names(writers):
    links = [f" {i}" * (writers > 1) for i in range(writers)]
    return [*(f"back{i}" for i in links), "content", *(f"onwards{i}" for i in links)]


def _mode_panels(seen):
    names, readers = _mode_names(seen.write_weightings.shape[1]), seen.read_weightings.shape[1]
    meant = (
        "How much the head goes to the rows written before those that it last read, to rows that are like "
        "its key, and to the rows written after."
    )
    for i in range(readers):
        title = "read modes" + f", head {i}" * (readers > 1)
        yield Panel(seen.told.read_modes[:, i].T, title, "step", "", 0, 1, names), meant


def _modes_in_words(seen):
    """The mean modes where something is asked for."""
    modes, writers = seen.told.read_modes[np.asarray(seen.asked, bool)], seen.write_weightings.shape[1]
    if not len(modes):
        return "Nothing is asked for in this sequence."
    back, content, onwards = (
        part.sum(axis=-1).mean() for part in np.split(modes, [writers, writers + 1], axis=-1)
    )
    return (
        f"At the steps that are asked for, the heads go back by {back:.2f} of 1, to what is alike by "
        f"{content:.2f}, onwards by {onwards:.2f}, on average."
    )


def _reading(seen):
    """Figures: modes, strengths, and what some conventions have besides, masks and sharpness."""
    told = seen.told
    yield from figures(_mode_panels(seen))
    series = {f"read {i}": told.read_strengths[:, i] for i in range(told.read_strengths.shape[1])}
    series |= {f"write {i}": told.write_strengths[:, i] for i in range(told.write_strengths.shape[1])}
    drawn = curve(series, title="strength", x_label="step")
    yield html.Figure(drawn, "How sharply content is looked for.")
    for kind, masks in (("read", told.read_masks), ("write", told.write_masks)):
        for i in range(0 if masks is None else masks.shape[1]):
            panel = Panel(masks[:, i].T, f"mask of {kind} {i}", "step", "column", 0, 1)
            yield from figures([(panel, "Which columns of the memory the head compares with its key.")])
    for way, sharpness in (("onwards", told.forward_sharpness), ("back", told.backward_sharpness)):
        if sharpness is not None:
            _, links, heads = sharpness.shape
            series = {
                f"read {j}" + f", link {i}" * (links > 1): sharpness[:, i, j]
                for i in range(links)
                for j in range(heads)
            }
            drawn = curve(series, title=f"sharpness {way}", x_label="step")
            meant = "The power that the weighting along the links is raised to; each then sums to one."
            yield html.Figure(drawn, meant)


def _links(seen, names, rows):
    """A slider: the links of each write head after a step, and beside them the precedence."""
    told, writers = seen.told, seen.write_weightings.shape[1]
    link = told.link[:, :, rows][:, :, :, rows]
    chosen = shown_steps(range(len(link)), link[0].size)
    cell, frames = max(1, min(height_of_rows(rows), 190 // len(rows))), []
    for f in chosen:
        step, parts = int(told.link_steps[f]), []
        for i in range(writers):
            head = f", write head {i}" * (writers > 1)
            links = heat_map(
                link[f, i], title=f"links{head}", x_label="written just before", y_label="row",
                low=0, high=1, row_names=rows, column_names=rows, width=270,
                cell=(cell, cell),
            )  # fmt: skip
            last = heat_map(
                told.precedence[step, i, rows][:, None], title="last", low=0, high=1, row_names=rows,
                column_names=[""], width=90, cell=(16, cell),
            )  # fmt: skip
            parts.append(beside(links, last))
        frames.append((str(step), headed(f"after step {names[step]}", below(*parts, gap=10))))
    text = (
        "How much each row was written just after each other row; beside it the precedence, how much it was "
        "the row written last."
    )
    steps = [int(told.link_steps[f]) for f in chosen]
    return html.Slider(frames, text + not_all(steps), "step", first_shown(seen, steps))
