"""What a model is shown, what is asked of it, what it says: pictures that every model on sequences has."""

import numpy as np

from . import html
from .axes import Panel
from .panels import drawn
from .recording import first_not_finite, is_copy


def answer_panels(seen):
    """Inputs, targets and outputs of a Recording, or of an Access, as Panels."""
    shown = (("inputs", seen.inputs), ("targets", seen.targets), ("outputs", seen.outputs))
    return [Panel(matrix.T, title, "step", "bit", 0, 1) for title, matrix in shown]


def told(seen):
    """A sentence: how much of the sequence was wrong."""
    what = "One sequence" + f" of length {seen.length}" * (seen.length is not None)
    if "wrong_bits" in seen.metrics:
        bits = int(np.sum(seen.asked)) * seen.targets.shape[1]
        return f"{what} (seed {seen.seed}): {seen.metrics['wrong_bits']:.0f} of {bits} bits wrong."
    found = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in seen.metrics.items())
    return f"{what} (seed {seen.seed})" + f": {found}" * bool(found) + "."


def answer_section(seen):
    """The section that shows them."""
    copies = is_copy(seen)
    last = "; the last row is the delimiter" * copies
    captions = (f"What goes in{last}.", "What is asked for.", "The probabilities that come out.")
    figures = [html.Figure(drawn(p), caption) for p, caption in zip(answer_panels(seen), captions)]
    return html.Section("One copy" if copies else "One sequence", [told(seen), *figures])


def broken(seen, told=()):
    """Sections on a sequence of which not all is finite; None if all arrays of ``seen`` and ``told`` are."""
    step = first_not_finite(*[entry for entry in (*seen, *told) if isinstance(entry, np.ndarray)])
    if step is None:
        return None
    said = f"With these parameters what the model computes is not finite from step {step} on; nothing is"
    return [html.Section("What it does", [f"{said} drawn of the sequence (seed {seen.seed})."])]


def beyond(task):
    """Sections that say that sequences longer than ``task`` has them were not looked at."""
    if not hasattr(task, "longest") or not hasattr(task, "shortest"):
        return []
    doubt = f"Lengths beyond {task.shortest} to {task.longest}."
    return [html.Section(html.UNCHECKED, [html.Items([doubt])])]


def one_sequence(seen):
    """The doubt that goes with pictures of one sequence."""
    return f"The pictures are of one sequence (seed {seen.seed}), not an average."
