"""The report on a Neural Turing Machine: what it copied, where it looked, how it was trained.

    seen = access(model, params, task, length=20, seed=0)
    print(draw_terminal(seen))
    draw_png("access.png", seen)
    html = ntm_page(model, params, task, settings, events)

Every sentence of the page is made from a number that was measured for it, and the page says what
was not.
"""

from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module, to_numpy
from . import html, svg, terminal
from .axes import Panel
from .environment import environment
from .memory_access import (
    Access,
    Diagonality,
    access,
    crop_in_words,
    diagonality,
    diagonality_in_words,
    engine_difference,
    fixed_length,
    used_rows,
)
from .png import picture, write_png

__all__ = [
    "Access",
    "AtLength",
    "Diagonality",
    "access",
    "at_lengths",
    "diagonality",
    "diagonality_in_words",
    "draw_png",
    "draw_terminal",
    "engine_difference",
    "ntm_page",
    "ntm_panels",
    "used_rows",
]


class AtLength(NamedTuple):
    """How many bits were wrong in ``sequences`` sequences of ``length`` vectors."""

    length: int
    wrong_bits: float  # mean over the sequences
    worst: Any = None  # in one sequence
    bits: Any = None  # asked in one sequence
    sequences: Any = None


def at_lengths(model, params, task, lengths, sequences=20, seed=20_000):
    """Run ``model`` on ``sequences`` fresh sequences of each of ``lengths`` -> a list of AtLength."""
    found = []
    for length in lengths:
        rng = np.random.default_rng([seed, length])
        batch = fixed_length(task, length).batch(rng, sequences, dtype=model.dtype)
        logits, _ = model.sequence(
            params, model.initial_state(params, sequences), batch.inputs, batch.lengths
        )
        wrong = task.metrics(logits, batch)["wrong_bits"]
        bits = int(to_numpy(batch.asked).sum()) // sequences * batch.targets.shape[2]
        found.append(AtLength(length, float(wrong.mean()), int(wrong.max()), bits, sequences))
    return found


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
        shelf, room = [], width
        for panel in panels:
            columns = min(width, max(panel.matrix.shape[1], len(panel.title)))
            if shelf and columns + 3 > room:
                lines += [*terminal.beside(*shelf), ""]
                shelf, room = [], width
            drawn = terminal.heat_map(
                panel.matrix, colour=colour, width=width, low=panel.low, high=panel.high
            )
            shelf.append(([panel.title, *drawn.split("\n")], columns))
            room -= columns + 3 * (len(shelf) > 1)
        lines += [*terminal.beside(*shelf), ""]
    lines.append(crop_in_words(rows, elsewhere, access.write_weightings.shape[-1]))
    lines.append(_copied(access))
    return "\n".join(lines)


def draw_png(path, access, *, scale=2):
    """Write the same picture as a PNG file to ``path``."""
    copy, looks = ntm_panels(access)
    shelves = [copy] + [looks[i : i + 2] for i in range(0, len(looks), 2)]
    return write_png(path, picture(shelves, title=_copied(access), scale=scale))


def ntm_page(
    model, params, task, settings, events, *,
    length=None, seed=0, lengths=(), sections=(), unchecked=(), title=None,
):  # fmt: skip
    """The report as one self-contained HTML text.

    ``settings`` and ``events``: what ``training.train`` was given and returned.  ``length``: vectors in
    the sequence that is drawn from ``seed``; the task's longest if None.  ``lengths``: what ``at_lengths``
    returned, or a mapping from lengths to mean wrong bits.  ``sections``: more of them (``html.Section``),
    shown before the configuration.  ``unchecked``: more sentences on what nobody looked at.
    """
    if hasattr(lengths, "items"):
        lengths = [AtLength(*pair) for pair in lengths.items()]
    seen = access(model, params, task, task.longest if length is None else length, seed)
    name = type(task).__name__
    updates = max((event["step"] for event in events if event["event"] == "train"), default=None)
    trained = (
        "whose training was not logged"
        if updates is None
        else (
            f"trained on {updates * settings.batch:,} sequences of the task {name} with {task.shortest} to "
            f"{task.longest} vectors each, seed {settings.seed}"
        )
    )
    size = sum(int(np.prod(shape)) for shape in params.shapes.values())
    lead = f"A Neural Turing Machine of {size:,} parameters, {trained}."
    shown = [
        html.Section("Result", _result(settings, task, events)),
        html.Section("Training", _training(settings, events)),
        html.Section("One copy", _copy(seen)),
        html.Section("Where the heads look", _looks(model, params, task, seen)),
    ]
    if lengths:
        shown.append(html.Section("Other lengths", [_lengths(task, lengths)]))
    tables = [
        html.Table(list(asdict(part).items()), ("setting", "value"), f"{kind}: {type(part).__name__}")
        for kind, part in (("Model", model), ("Task", task), ("Training", settings))
    ]
    library = array_module(params.flat).__name__
    shown += [
        *sections,
        html.Section("Configuration", tables),
        html.Section("Environment", [html.Table(environment(library), ("what", "found"))]),
        html.Section(
            "What was not checked",
            [html.Items([*_unchecked(model, task, settings, seen, lengths), *unchecked])],
        ),
    ]
    return html.page(title or f"Neural Turing Machine: {name}", shown, lead=lead)


def _result(settings, task, events):
    evaluations = [event for event in events if event["event"] == "evaluation"]
    if not evaluations:
        return ["No evaluation was logged."]
    last = evaluations[-1]
    count = settings.eval_batches * settings.eval_batch
    rows = [("updates", last["step"]), ("sequences seen", last["step"] * settings.batch)]
    rows += [
        (f"{_words(k)} per sequence", v) for k, v in last.items() if k not in ("event", "step", "seconds")
    ]
    rows.append(("seconds", round(last["seconds"], 1)))
    kind = f"{count:,} fresh sequences of {task.shortest} to {task.longest} vectors"
    return [html.Table(rows, ("at the last evaluation", "value"), f"Measured on {kind}.")]


def _training(settings, events):
    trained = [event for event in events if event["event"] == "train"]
    if not trained:
        return ["No training was logged."]
    seen = [event["step"] * settings.batch for event in trained]
    evaluations = [event for event in events if event["event"] == "evaluation"]
    figures = []
    for key in [key for key in trained[0] if key not in ("event", "step", "seconds")]:
        series = {"training": (seen, [event[key] for event in trained])}
        tested = [event for event in evaluations if key in event]
        if tested:
            series["evaluation"] = (
                [event["step"] * settings.batch for event in tested],
                [event[key] for event in tested],
            )
        drawn = svg.curve(series, title=_words(key), x_label="sequences", y_label="per sequence")
        figures.append(
            html.Figure(drawn, f"Training: each point is the mean over {settings.log_every} updates.")
        )
    return figures


def _copy(seen):
    captions = (
        "What the machine is shown; the last row is the delimiter.",
        "What is asked of it.",
        "The probabilities it gives for a one.",
    )
    panels, _ = ntm_panels(seen)
    return [_copied(seen)] + [html.Figure(_drawn(p), caption) for p, caption in zip(panels, captions)]


def _looks(model, params, task, seen):
    rows, elsewhere = used_rows(seen)
    blocks = [crop_in_words(rows, elsewhere, seen.write_weightings.shape[-1])]
    blocks += [html.Figure(_drawn(panel)) for panel in ntm_panels(seen)[1]]
    try:
        blocks.append(diagonality_in_words(diagonality(seen)))
    except ValueError as why:
        blocks.append(f"No diagonality: {why}.")
    heads, reach = seen.gate.shape[1], seen.shift.shape[2] // 2
    named = [f"read {i}" for i in range(model.read_heads)] + [f"write {i}" for i in range(model.write_heads)]
    legend = ", ".join(f"head {i} is {name}" for i, name in enumerate(named))
    gates = svg.heat_map(seen.gate.T, title="gate", x_label="step", y_label="head", low=0, high=1)
    blocks.append(html.Figure(gates, f"1: the head goes by content; 0: by where it was. {legend}."))
    for i in range(heads):
        offsets = range(-reach, reach + 1)
        shift = Panel(seen.shift[:, i].T, f"shift of {named[i]}", "step", "offset", 0, 1, offsets)
        blocks.append(html.Figure(_drawn(shift), "How much of the weighting moves by how many rows."))
    for values, word in ((seen.strength, "strength"), (seen.sharpness, "sharpness")):
        steps = np.arange(len(values))
        drawn = svg.curve(
            {name: (steps, values[:, i]) for i, name in enumerate(named)}, title=word, x_label="step"
        )
        blocks.append(html.Figure(drawn))
    apart = engine_difference(model, params, task, seen)
    blocks.append(
        "These pictures come from the reference step. On this sequence the probabilities of the engine that "
        f"ran in training, {model.engine}, differ from them by at most {apart:.2g}."
    )
    return blocks


def _lengths(task, lengths):
    names = ("vectors", "wrong bits, mean", "wrong bits, worst", "bits asked", "sequences")
    known = [i for i in range(len(names)) if all(at[i] is not None for at in lengths)]
    rows = [[at[i] for i in known] for at in lengths]
    caption = f"Per sequence; trained on {task.shortest} to {task.longest} vectors."
    return html.Table(rows, [names[i] for i in known], caption)


def _unchecked(model, task, settings, seen, lengths):
    yield f"Other seeds: this is one run, seed {settings.seed}; how often training fails is not in it."
    measured = sorted({at.length for at in lengths})
    where = f"{', '.join(map(str, measured))} vectors" if measured else "none"
    yield f"Lengths beyond {task.shortest} to {task.longest} vectors, but for those in the table: {where}."
    yield f"The pictures and the diagonality are of one sequence (seed {seen.seed}), not an average."
    yield "Settings were taken as they are here; none was varied for this report."
    yield "Gradients: the command `gradcheck check` checks them; training and drawing do not."
    yield "Seconds are those of the clock, whatever else the machine was doing."
    if model.engine != "reference":
        yield f"The engine {model.engine} was compared with the reference on the one sequence that is drawn."


def _copied(seen):
    bits = int(seen.asked.sum()) * seen.targets.shape[1]
    return f"{seen.length} vectors (seed {seen.seed}): {seen.wrong_bits} of {bits} bits wrong."


def _drawn(panel):
    return svg.heat_map(**panel._asdict())


def _words(key):
    return key.replace("_", " ")
