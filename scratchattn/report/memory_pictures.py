"""What a Neural Turing Machine does with a sequence, as pictures: what it says, sees and keeps.

Every sentence is made from a number that was measured for it.
"""

import numpy as np

from . import html, png, terminal
from .axes import Panel
from .drawing import Text, below, beside
from .matrices import heat_map
from .memory_access import (
    access,
    crop_in_words,
    diagonality,
    diagonality_in_words,
    engine_difference,
    has_lengths,
    is_copy,
    used_rows,
)
from .plots import curve

STOPS, CELLS = 48, 60_000  # the most frames of a slider, and the most cells in all of them


def ntm_pictures(model, params, task, rng):
    """Sections on one sequence drawn from ``rng``, the longest that ``task`` has."""
    seed = int(rng.integers(10_000))
    if not has_lengths(task):
        return ntm_sections(model, params, task, access(model, params, task, None, seed))
    beyond = f"Lengths beyond {task.shortest} to {task.longest} vectors."
    seen = access(model, params, task, task.longest, seed)
    return [*ntm_sections(model, params, task, seen), html.Section(html.UNCHECKED, [html.Items([beyond])])]


def ntm_sections(model, params, task, seen):
    """Sections on the sequence ``seen``, an Access: what was said, where the heads look, what is kept."""
    broken = _first_not_finite(seen)
    if broken is not None:
        told = (
            f"With these parameters what the machine computes is not finite from step {broken} on; nothing is"
        )
        return [html.Section("What it does", [f"{told} drawn of the sequence (seed {seen.seed})."])]
    copies = is_copy(seen)
    shown = "The pictures and the diagonality" if copies else "The pictures"
    doubts = [f"{shown} are of one sequence (seed {seen.seed}), not an average."]
    if model.engine != "reference":
        doubts.append(
            f"The engine {model.engine} was compared with the reference on the one sequence that is drawn."
        )
    return [
        html.Section("One copy" if copies else "One sequence", _said(seen)),
        html.Section("Where the heads look", _looks(model, params, task, seen)),
        html.Section("The memory through time", _through_time(model, seen)),
        html.Section(html.UNCHECKED, [html.Items(doubts)]),
    ]


def _first_not_finite(seen):
    """The first step at which anything recorded is no finite number; None if all is."""
    recorded = [field for field in seen if isinstance(field, np.ndarray)]
    whole = [np.isfinite(field.reshape(len(field), -1)).all(axis=1) for field in recorded]
    steps = np.flatnonzero(~np.all(whole, axis=0))
    return int(steps[0]) if len(steps) else None


def ntm_panels(access):
    """The copy (inputs, targets, outputs) and the weightings (writing, reading) as two lists of Panels."""
    rows, _ = used_rows(access)
    copy = [
        Panel(matrix.T, title, "step", "bit", 0, 1)
        for matrix, title in (
            (access.inputs, "inputs"),
            (access.targets, "targets"),
            (access.outputs, "outputs"),
        )
    ]
    looks = []
    for weightings, kind in ((access.write_weightings, "write"), (access.read_weightings, "read")):
        heads = weightings.shape[1]
        for i in range(heads):
            title = f"{kind} weightings" + f", head {i}" * (heads > 1)
            looks.append(Panel(weightings[:, i, rows].T, title, "step", "row", 0, 1, rows))
    return copy, looks


def draw_terminal(access, *, colour=None, width=None):
    """Lines of text: the copy and the weightings, as many side by side as fit (see terminal.heat_map)."""
    width = terminal.columns() if width is None else width
    rows, elsewhere = used_rows(access)
    lines = []
    for panels in ntm_panels(access):
        shelf, left = [], width
        for panel in panels:
            columns = min(width, max(panel.matrix.shape[1], len(panel.title)))
            if shelf and columns + 3 > left:
                lines += [*terminal.beside(*shelf), ""]
                shelf, left = [], width
            drawn = terminal.heat_map(
                panel.matrix, colour=colour, width=width, low=panel.low, high=panel.high
            )
            shelf.append(([panel.title, *drawn.split("\n")], columns))
            left -= columns + 3 * (len(shelf) > 1)
        lines += [*terminal.beside(*shelf), ""]
    lines.append(crop_in_words(rows, elsewhere, access.write_weightings.shape[-1]))
    lines.append(told(access))
    return "\n".join(lines)


def draw_png(path, access, *, scale=2):
    """Write the same picture as a PNG file to ``path``."""
    copy, looks = ntm_panels(access)
    shelves = [copy] + [looks[i : i + 3] for i in range(0, len(looks), 3)]
    sheet = below(*[beside(*map(_drawn, panels), gap=10) for panels in shelves], gap=14)
    title = below(
        sheet._replace(height=0, width=0, marks=(Text(10, 18, told(access), "start", bold=True),)),
        sheet,
        gap=28,
    )
    return png.write_png(path, png.render(title, scale=scale))


def told(access):
    """A sentence: how much of the sequence was wrong."""
    what = "One sequence" if access.length is None else f"{access.length} vectors"
    if access.wrong_bits is None:
        return f"{what} (seed {access.seed})."
    bits = int(access.asked.sum()) * access.targets.shape[1]
    return f"{what} (seed {access.seed}): {access.wrong_bits} of {bits} bits wrong."


def _said(seen):
    captions = (
        "What the machine is shown; the last row is the delimiter."
        if is_copy(seen)
        else "What the machine is shown.",
        "What is asked of it.",
        "The probabilities it gives for a one.",
    )
    panels, _ = ntm_panels(seen)
    return [told(seen)] + [html.Figure(_drawn(p), caption) for p, caption in zip(panels, captions)]


def _looks(model, params, task, seen):
    rows, elsewhere = used_rows(seen)
    blocks = [crop_in_words(rows, elsewhere, seen.write_weightings.shape[-1])]
    blocks += [
        html.Figure(_drawn(panel), "How much of the head is on which row, at each step.")
        for panel in ntm_panels(seen)[1]
    ]
    if is_copy(seen):
        try:
            blocks.append(diagonality_in_words(diagonality(seen)))
        except ValueError as why:
            blocks.append(f"No diagonality: {why}.")
    heads, reach = seen.gate.shape[1], seen.shift.shape[2] // 2
    named = _heads(model)
    legend = ", ".join(f"head {i} is {name}" for i, name in enumerate(named))
    gates = heat_map(seen.gate.T, title="gate", x_label="step", y_label="head", low=0, high=1)
    blocks.append(html.Figure(gates, f"1: the head goes by content; 0: by where it was. {legend}."))
    for i in range(heads):
        offsets = range(-reach, reach + 1)
        shift = Panel(seen.shift[:, i].T, f"shift of {named[i]}", "step", "offset", 0, 1, offsets)
        blocks.append(html.Figure(_drawn(shift), "How much of the weighting moves by how many rows."))
    for values, word, what in (
        (seen.strength, "strength", "How sharply content is looked for."),
        (
            seen.sharpness,
            "sharpness",
            "The power that a weighting is raised to at the end; 1 leaves it as it is.",
        ),
    ):
        steps = np.arange(len(values))
        drawn = curve(
            {name: (steps, values[:, i]) for i, name in enumerate(named)}, title=word, x_label="step"
        )
        blocks.append(html.Figure(drawn, what))
    apart = engine_difference(model, params, task, seen)
    blocks.append(
        "These pictures come from the reference step. On this sequence the probabilities of the engine that "
        f"ran in training, {model.engine}, differ from them by at most {apart:.2g}."
    )
    return blocks


def _through_time(model, seen):
    """A slider: after each step the memory, and beside it how much of each head is on which row."""
    rows, _ = used_rows(seen)
    memory = seen.memory[:, rows]
    low, high = min(0.0, float(memory.min())), float(memory.max())
    steps, each = len(memory), memory[0].size
    every = -(-steps // max(2, min(STOPS, CELLS // each)))
    down = max(2, min(16, 280 // len(rows)))
    heads, looks = len(_heads(model)), np.concatenate([seen.read_weightings, seen.write_weightings], axis=1)
    frames = []
    for step in range(0, steps, every):
        kept = heat_map(
            memory[step], title=f"memory after step {step}", x_label="column", y_label="row",
            low=low, high=high, row_names=rows, width=250, cell=(20, down),
        )  # fmt: skip
        weights = heat_map(
            looks[step][:, rows].T, title="heads", x_label="head", low=0, high=1, row_names=rows,
            width=max(110, 80 + 12 * heads), cell=(16, down),
        )  # fmt: skip
        frames.append((str(step), beside(kept, weights)))
    start = 0 if seen.length is None else min(seen.length // every, len(frames) - 1)
    legend = ", ".join(f"head {i} is {name}" for i, name in enumerate(_heads(model)))
    told = f"The rows of the memory after a step, and where the heads were in it: {legend}."
    told += f" Every {every} steps one is shown." * (every > 1)
    return [html.Slider(frames, told, "step", start)]


def _heads(model):
    return [f"read {i}" for i in range(model.read_heads)] + [f"write {i}" for i in range(model.write_heads)]


def _drawn(panel):
    return heat_map(**panel._asdict())
