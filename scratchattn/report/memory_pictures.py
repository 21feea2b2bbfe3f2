"""What the pictures of an NTM and of a DNC share: weightings, vectors, the memory through time.

Every sentence is made from a number that was measured for it.
"""

import numpy as np

from . import html
from .answers import answer_panels, one_sequence, told
from .axes import Panel
from .drawing import beside, headed
from .last_writes import reads_of_steps
from .matrices import WIDTH, heat_map
from .panels import drawn, lines, sheet
from .recording import engine_difference, is_copy

STOPS, CELLS = 48, 60_000  # the most frames of a slider, and the most cells in all of them


def heads_of(model):
    """What the heads are called, read heads first."""
    return [f"read {i}" for i in range(model.read_heads)] + [f"write {i}" for i in range(model.write_heads)]


def head_panels(seen, rows):
    """(Panel, what is to be seen in it) for each head: its weighting on ``rows``, then its vectors."""
    looks = "How much of the head is on which row, at each step."
    for title, weightings in (
        ("write weightings", seen.write_weightings),
        ("read weightings", seen.read_weightings),
    ):
        for head, values in _by_head(title, weightings[:, :, rows]):
            yield Panel(values, head, "step", "row", 0, 1, rows), looks
    for title, vectors, meant in (
        ("adds", seen.write_vectors, "What the head adds to the rows that it writes."),
        ("reads", seen.reads, "What the head reads."),
    ):
        for head, values in _by_head(title, vectors):
            yield Panel(values, head, "step", "column"), meant


def _by_head(title, values):
    """(title, (n, t)) for each head of ``values`` (t, heads, n)."""
    heads = values.shape[1]
    return [(title + f", head {i}" * (heads > 1), values[:, i].T) for i in range(heads)]


def written_when(seen, after):
    """Blocks: at each step of the sequence ``seen``, when was written what is read; see ``last_writes``.

    None of a story, which has lines instead.  ``after``: of a step, reading comes last.
    """
    if seen.story is not None:
        return
    reads = reads_of_steps(seen, after)
    axes = ("what is read was written", "step of reading", "step of writing")
    panel = Panel(reads.mean(axis=1).T, *axes, 0, 1)
    caption = (
        "When what is read was written, mean of the read heads, by last writes: a write with the weight w "
        "counts as the chance w that its row was overwritten."
    )
    yield from figures([(panel, caption)])
    if is_copy(seen):
        shares = reads[np.asarray(seen.asked, bool)][range(seen.length), :, range(seen.length)].mean(axis=0)
        best = f"read head {shares.argmax()}, the best," if len(shares) > 1 else "the read head"
        yield (
            f"Of what {best} reads when a vector is asked for, {shares.max():.2f} was written last at the "
            "step of that vector, on average."
        )


def figures(panels):
    """Figures of (Panel, caption) pairs."""
    return [html.Figure(drawn(panel), caption) for panel, caption in panels]


def draw_terminal(seen, panels, which, *, story=(), colour=None, width=None):
    """Text: what went in and came out, and ``panels``, as many side by side as fit (see ``panels.lines``).

    ``which``: a sentence about the rows in them.  ``story``: lines of text that tell it instead.
    """
    shown = lines(panels, colour=colour, width=width)
    if story:
        return "\n".join([*story, "", *shown, which])
    return "\n".join([*lines(answer_panels(seen), colour=colour, width=width), *shown, which, told(seen)])


def draw_sheet(seen, panels):
    """The same as one Drawing, three side by side."""
    return sheet([answer_panels(seen), *[panels[i : i + 3] for i in range(0, len(panels), 3)]], told(seen))


def memory_section(seen, names, rows, columns, legend):
    """The section with the memory through time: after each step its ``rows``, and ``columns`` beside them.

    ``names``: of the steps.  ``columns`` (t, n, c): what lies on each row, as the ``legend`` tells.
    """
    memory = seen.memory[:, rows]
    low, high = min(0.0, float(memory.min())), float(memory.max())
    chosen = shown_steps(range(len(memory)), memory[0].size)
    down, side = height_of_rows(rows), max(110, 80 + 12 * columns.shape[2])
    frames = []
    for step in chosen:
        kept = heat_map(
            memory[step], title="memory", x_label="column", y_label="row",
            low=low, high=high, row_names=rows, width=max(200, WIDTH - side), cell=(20, down),
        )  # fmt: skip
        weights = heat_map(
            columns[step][rows], title="heads", x_label="head", low=0, high=1, row_names=rows,
            width=side, cell=(16, down),
        )  # fmt: skip
        frames.append((str(step), headed(f"after step {names[step]}", beside(kept, weights))))
    text = f"The rows of the memory after a step, and where the heads were in it: {legend}."
    slider = html.Slider(frames, text + not_all(chosen), "step", first_shown(seen, chosen))
    return html.Section("The memory through time", [slider])


def shown_steps(steps, cells):
    """So many of ``steps``, evenly, that frames of ``cells`` each are not too many."""
    most = max(2, min(STOPS, CELLS // max(1, cells)))
    return list(steps)[:: -(-len(steps) // most)]


def first_shown(seen, chosen):
    """The index, among the ``chosen`` steps, of the last one before anything is asked for."""
    asked = np.flatnonzero(seen.asked)
    return max(0, int(np.searchsorted(chosen, asked[0])) - 1) if len(asked) else 0


def not_all(chosen):
    """What is said where not every step is shown."""
    every = chosen[1] - chosen[0] if len(chosen) > 1 else 1
    return f" One in {every} steps is shown." * (every > 1)


def height_of_rows(rows):
    """Of a cell of the memory through time."""
    return max(2, min(16, 280 // len(rows)))


def doubts(model, seen, shown="The pictures"):
    """The section with what pictures of one sequence leave open."""
    found = [one_sequence(seen).replace("The pictures", shown)]
    if model.engine != "reference":
        found.append(
            f"The engine {model.engine} was compared with the reference on the one sequence that is drawn."
        )
    return html.Section(html.UNCHECKED, [html.Items(found)])


def engines(model, params, task, seen):
    """A sentence: how far the engine that trained is from the reference, on this sequence."""
    apart = engine_difference(model, params, task, seen)
    return (
        "These pictures come from the reference step. On this sequence the probabilities of the engine that "
        f"ran in training, {model.engine}, differ from them by at most {apart:.2g}."
    )
