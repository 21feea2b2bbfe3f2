"""A story with its questions as pictures: what was answered, and which lines were read for it.

How reads are attributed to lines is told in ``last_writes``.
"""

import numpy as np

from . import html, terminal
from .answers import answer_section, told
from .axes import number, scaled
from .colours import PAPER, paint
from .drawing import LINE, SIZE, Drawing, Line, Pixels, Text, below, cut, heading, room
from .last_writes import reads_of_parts
from .matrices import WIDTH, alignment, scale_bar
from .story_reads import story_told

MOST_LINES, MOST_WORDS = 40, 100  # lines of a picture, and words of the one that goes word by word
CELL, MARGIN = 20, 420  # width of a cell, and the most room for a line's words
REST = ("rows never written", "no row")  # what is read besides lines
BY_LAST_WRITES = (
    "Every write weight counts as the chance that its row was overwritten then; so each row has a share for "
    "each line of the story, the chance that the last write on it was made while that line was told. Shown "
    "is the sum over the rows of read weight times share, at the steps of the answer. It is an attribution "
    "by last writes: how much was erased, what was freed, and what the controller remembers do not count. "
    "Framed: the lines that support the answer."
)


def opening(seen, task, after=None):
    """The first sections: of a story its questions and what was read for them, else what came out.

    ``after``: the machine reads after it writes; None: it has no memory.
    """
    if seen.story is None:
        return [answer_section(seen)]
    story = story_told(seen, task)
    reads = None if after is None else reads_of_parts(seen, story.line_of, len(story.lines), after)
    shown = _chosen(story, reads)
    sections = [html.Section("One story", [told(seen), _table(story, shown)])]
    if reads is not None and story.questions:
        sections.append(html.Section("What is read for an answer", _for_answers(story, reads)))
        sections.append(html.Section("Word by word", _word_by_word(seen, story)))
    return sections


def step_names(seen, task):
    """What each step is called: its number, and in a story the word that is told at it."""
    if seen.story is None:
        return [str(step) for step in range(len(seen.inputs))]
    words = story_told(seen, task).words
    return [f"{step}, {word}" if word else str(step) for step, word in enumerate(words)]


def text(seen, task, after=None, width=None):
    """The same as lines of text, none where there is no story; a star marks what supports an answer."""
    if seen.story is None:
        return []
    width = terminal.columns() if width is None else width
    story = story_told(seen, task)
    reads = None if after is None else reads_of_parts(seen, story.line_of, len(story.lines), after)
    asked, found = {question.line: question for question in story.questions}, []
    for i, line in enumerate(story.lines):
        found.append(f"{i + 1:3} {line}")
        if i in asked:
            found.append(f"    {_answered(asked[i])}")
        if i in asked and reads is not None:
            found += _bars(asked[i], _mean_read(asked[i], reads).mean(axis=0), width)
    found = [line[:width] for line in found]
    if reads is not None and story.questions:
        found += ["", _in_words(story, reads)]
    return [*found, told(seen)]


def _bars(asked, weights, width):
    """Lines of text: what is read of the lines that support the answer, and of those that are read."""
    supports = set(asked.supports)
    lines = sorted(supports | set(np.flatnonzero(weights[:-2] > 0.05).tolist()))
    named = [(("*" if i in supports else " ") + f"{i + 1:3}", weights[i]) for i in lines]
    named += [(f" {name}", weight) for name, weight in zip(REST, weights[-2:]) if weight > 0.05]
    margin = max((len(name) for name, _ in named), default=0)
    most = max(0, min(40, width - margin - 11))
    return [f"     {name:{margin}} {weight:.2f} {'#' * round(weight * most)}" for name, weight in named]


def _answered(asked):
    right, said = " ".join(asked.answer), " ".join(asked.said)
    return f"{right}: said {said}, chance of the right {'word' if len(asked.answer) == 1 else 'words'} " + (
        " ".join(f"{chance:.2f}" for chance in asked.chances)
    )


def _mean_read(asked, reads):
    """What each head reads of each line and of REST, mean over the words of the answer: (r, lines + 2)."""
    return reads[asked.steps].mean(axis=0)


def _chosen(story, reads, question=None):
    """Indices of the lines to show: what is asked and what supports it, and then what is read most."""
    asked = story.questions if question is None else [question]
    last = len(story.lines) if question is None else question.line + 1
    rank = np.zeros(last)
    for one in asked:
        if reads is not None:
            rank = np.maximum(rank, _mean_read(one, reads).mean(axis=0)[:last])
    rank += 1e-6 * np.arange(last)  # of two lines that are not read the later one
    for one in asked:
        rank[[one.line, *one.supports]] += 2
    return np.sort(np.argsort(-rank, kind="stable")[:MOST_LINES])


def _table(story, shown):
    asked = {question.line: question for question in story.questions}
    rows = []
    for i in shown:
        row = [i + 1, story.lines[i], "", "", ""]
        if i in asked:
            chances = " ".join(f"{chance:.2f}" for chance in asked[i].chances)
            row[2:] = [" ".join(asked[i].answer), " ".join(asked[i].said), chances]
        rows.append(row)
    header = ("line", "text", "answer", "said", "chance of the answer")
    return html.Table(rows, header, _left_out(shown, len(story.lines)).strip())


def _left_out(shown, of, before=""):
    return "" if len(shown) == of else f"{before} {len(shown)} of {of} lines are shown."


def _in_words(story, reads):
    """Sentences: how much of what is read lies on the supporting lines, and how much would by chance."""
    found, questions = [], {question.line for question in story.questions}
    for asked in story.questions:
        if asked.supports:
            weights = _mean_read(asked, reads).mean(axis=0)
            statements = [i for i in range(asked.line) if i not in questions]
            lines = weights[:-2].sum()
            found.append(
                (lines, weights[asked.supports].sum(), lines * len(asked.supports) / len(statements))
            )
    if not found:
        return "No lines are named that support an answer."
    lines, on, even = np.mean(found, axis=0)
    return (
        f"Of the read weight {lines:.2f} lies on lines of the story, {on:.2f} on those that support the "
        f"answer, on average over heads and {len(found)} question{'s' * (len(found) > 1)}. Were it spread "
        f"evenly over the statements told before, {even:.2f} would lie on those."
    )


def _for_answers(story, reads):
    """The blocks: all questions side by side, mean over the heads; then each with its heads."""
    shown, questions = _chosen(story, reads), story.questions
    weights = np.stack([_mean_read(asked, reads).mean(axis=0) for asked in questions], axis=1)
    framed = [(i, j) for j, asked in enumerate(questions) for i in asked.supports]
    whole = line_map(
        story.lines, shown, weights, [str(asked.line + 1) for asked in questions], framed,
        title="reads at the answers", x_label="question, mean of its heads",
    )  # fmt: skip
    caption = "How much of what is read when a question is answered was written during which line."
    return [
        _in_words(story, reads),
        BY_LAST_WRITES,
        html.Figure(whole, caption + _left_out(shown, len(story.lines))),
        html.Slider(
            [(str(asked.line + 1), _one_question(story, reads, asked)) for asked in questions],
            "The same for each read head, question by question.",
            "question in line",
        ),
    ]


def _one_question(story, reads, asked):
    weights, shown = _mean_read(asked, reads).T, _chosen(story, reads, asked)
    heads = weights.shape[1]
    framed = [(i, j) for j in range(heads) for i in asked.supports]
    return line_map(
        story.lines, shown, weights, [str(j) for j in range(heads)], framed,
        title=f"{asked.line + 1} {story.lines[asked.line]} {_answered(asked)}",
        x_label="read head" + _left_out(shown, asked.line + 1, ";").rstrip("."),
    )  # fmt: skip


def line_map(lines, shown, weights, columns, framed, *, title, x_label):
    """Words of lines and a matrix beside them -> Drawing.

    ``weights`` (lines + 2, columns): of every line and of REST; drawn are the lines ``shown`` and REST.
    ``columns``: their names.  ``framed``: (line, column) pairs that get a frame.
    """
    names = [f"{i + 1}  {lines[i]}" for i in shown] + list(REST)
    names = [cut(name, MARGIN) for name in names]
    cells = np.concatenate([weights[shown], weights[-2:]])
    unit, low, high = scaled(cells, 0.0, 1.0)
    left = int(max(map(room, names))) + 10
    across = max(CELL, 6 + int(max(map(room, columns))))
    wide, tall = across * len(columns), LINE * len(names)
    width = max(WIDTH, left + wide + 12 + 8 + int(room("0.00")), left + wide / 2 + room(x_label) / 2)
    marks, top = heading(0, width, title)
    marks.append(Pixels(left, top, wide, tall, paint(unit)))
    marks += [Text(left - 6, top + (i + 0.75) * LINE, name, "end") for i, name in enumerate(names)]
    for j, name in enumerate(columns):
        marks.append(Text(left + (j + 0.5) * across, top + tall + SIZE + 3, name))
    place = {int(line): i for i, line in enumerate(shown)}
    for line, j in [pair for pair in framed if pair[0] in place]:
        x, y = left + j * across, top + place[line] * LINE
        right, bottom = x + across - 2, y + LINE - 2
        box = [x + 2, right, right, x + 2, x + 2], [y + 2, y + 2, bottom, bottom, y + 2]
        marks += [Line(*box, PAPER["dark"], 3.6), Line(*box, PAPER["light"], 1.6)]  # seen on dark and bright
    marks += scale_bar(left + wide + 8, top, tall, number(low), number(high))
    marks.append(Text(left + wide / 2, top + tall + 2 * SIZE + 6, x_label))
    most = [f"{columns[j]}: {names[i]}" for j, i in enumerate(cells.argmax(axis=0))]
    said = f"{len(shown)} lines by {len(columns)} columns; most in {', '.join(most)}"
    return Drawing(width, top + tall + 2 * SIZE + 12, tuple(marks), title, said)


def _word_by_word(seen, story):
    """Where each word is written and what is read at it, on the rows that matter."""
    first = story.questions[0].line
    ends = [int(np.flatnonzero(story.line_of == i)[-1]) + 1 for i in range(len(story.lines))]
    end = max([e for e in ends if e <= MOST_WORDS] + [ends[first]])
    start = max(0, end - MOST_WORDS)
    writing = 1 - np.prod(1 - seen.write_weightings[start:end], axis=1)
    reading = seen.read_weightings[start:end].mean(axis=1)
    rows = np.flatnonzero(np.maximum(writing, reading).max(axis=0) > 0.05)
    rows = rows if len(rows) else np.arange(writing.shape[1])
    said = list(story.words)
    for asked in story.questions:
        for step, word in zip(asked.steps, asked.answer):
            said[step] = f"= {word}"
    drawn = [
        alignment(values[:, rows].T, said[start:end], rows, title=title, y_label="row")
        for title, values in (("written", writing), ("read, mean of the heads", reading))
    ]
    lines = f"lines {story.line_of[start] + 1} to {story.line_of[end - 1] + 1} of {len(story.lines)}"
    text = f"How much is written on each row of the memory, and read of it, at every word of {lines}; after"
    caption = f"{text} an equals sign the word that is asked for. Other rows have at most 0.05."
    return [html.Figure(below(*drawn, gap=14), caption)]
