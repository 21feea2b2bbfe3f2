"""The report on a Neural Turing Machine: what it copied, where it looked, how it was trained.

    seen = access(model, params, task, length=20, seed=0)
    print(draw_terminal(seen))
    draw_png("access.png", seen)
    html = ntm_page(model, params, task, settings, events)

Every sentence of the page is made from a number that was measured for it, and the page says what
was not.
"""

from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy
from . import html
from .memory_access import Access, Diagonality, access, diagonality, diagonality_in_words, used_rows
from .ntm_pictures import draw_png, draw_terminal, ntm_sections
from .recording import engine_difference, fixed_length
from .run import run_page

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
    "lengths_section",
    "ntm_page",
    "ntm_sections",
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


def ntm_page(
    model, params, task, settings, events, *,
    length=None, seed=0, lengths=(), sections=(), unchecked=(), title=None,
):  # fmt: skip
    """The report on a machine trained in this process, as one self-contained HTML text: see ``run_page``.

    ``settings`` and ``events``: what ``training.train`` was given and returned.  ``length``: vectors in
    the sequence that is drawn from ``seed``; the task's longest if None.  ``lengths``: what ``at_lengths``
    returned, or a mapping from lengths to mean wrong bits.  ``sections``, ``unchecked``: as in ``run_page``.
    """
    seen = access(model, params, task, task.longest if length is None else length, seed)
    drawn = [*ntm_sections(model, params, task, seen), *lengths_section(task, lengths)]
    return run_page(
        model=model, params=params, task=task, settings=settings, events=events, drawn=drawn,
        sections=sections, unchecked=unchecked,
        title=title or f"Neural Turing Machine: {type(task).__name__}",
    )  # fmt: skip


def lengths_section(task, lengths):
    """Sections on other lengths than the trained ones: the table, and what was not measured."""
    if hasattr(lengths, "items"):
        lengths = [AtLength(*pair) for pair in lengths.items()]
    measured = ", ".join(map(str, sorted({at.length for at in lengths})))
    where = f"{measured} vectors" if measured else "none"
    doubt = f"Lengths beyond {task.shortest} to {task.longest} vectors, but for those in the table: {where}."
    if lengths:
        yield html.Section("Other lengths", [_lengths(task, lengths)])
    yield html.Section(html.UNCHECKED, [html.Items([doubt])])


def _lengths(task, lengths):
    names = ("vectors", "wrong bits, mean", "wrong bits, worst", "bits asked", "sequences")
    known = [i for i in range(len(names)) if all(at[i] is not None for at in lengths)]
    rows = [[at[i] for i in known] for at in lengths]
    caption = f"Per sequence; trained on {task.shortest} to {task.longest} vectors."
    return html.Table(rows, [names[i] for i in known], caption)
