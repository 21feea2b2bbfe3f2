"""Whose sentence is read when a question is answered: an attribution of what is read to those who wrote it.

A write with the weight w on a row is taken as the chance w that the row is overwritten.  So each row has a
share for every line of the story, the chance that the last write on it was made while that line was told,

    share_t(row, line) = (1 - w_t(row)) share_(t-1)(row, line)  +  w_t(row) if step t belongs to the line

where w_t(row) = 1 - prod_h (1 - w_t,h(row)) over the write heads.  What a head reads of a line at step t is

    read_t(line) = sum_row  read weighting_t(row)  share_t(row, line)

with the shares of the step before where a machine reads before it writes, or between.  Summed over all
lines, with what is read of rows that were never written, and with the weight that is on no row at all, that
is one.

It is an attribution by last writes and no more: how much a write erased, what was freed since and what
the controller remembers by itself do not count.
"""

from typing import Any, NamedTuple

import numpy as np

from ..tasks.babi import NUMBER, told_words
from ..tasks.readers.babi import Question, Story

_WORD = {number: word for word, number in NUMBER.items()}


class Told(NamedTuple):
    """A story as it was told, step by step, and what was answered."""

    lines: Any  # the texts of its lines
    words: Any  # (t) what each step says, "" where nothing
    line_of: Any  # (t) integers: the index of the line that each step belongs to
    questions: Any  # a list of Asked


class Asked(NamedTuple):
    """A question and its answer."""

    line: int  # its index
    steps: Any  # integers, one for each word of the answer
    answer: Any  # the words that are right
    said: Any  # the words that were the most probable
    chances: Any  # the probabilities that were given to the right ones
    supports: Any  # indices of the lines that support it


def story_told(seen, task):
    """The Told of a Recording, or of an Access, with a story of ``task``, as far as it is told."""
    lines, words, line_of, questions = [], [], [], []
    for i, entry in enumerate(seen.story.entries):
        numbers, answers = told_words(Story(1, (entry,)), task.blanks)
        first = len(words)
        lines.append(entry.text)
        words += [_WORD.get(number, "") for number in numbers]
        line_of += [i] * len(numbers)
        if type(entry) is Question:
            steps, right = first + np.array(list(answers)), [word for word, _ in answers.values()]
            said = seen.outputs[steps]
            questions.append(
                Asked(
                    i, steps, [_WORD[word] for word in right], [_WORD[int(k)] for k in said.argmax(axis=1)],
                    said[np.arange(len(right)), right], [number - 1 for number in entry.supports],
                )
            )  # fmt: skip
            if len(questions) == task.questions:
                break
    return Told(lines, words, np.array(line_of), questions)


def reads_of_lines(seen, line_of, lines, after):
    """What each read head reads of each line at each step, (t, r, lines + 2); see above.

    ``line_of`` (t): the line of each step, of so many ``lines``; ``after``: of a step, reading comes last.
    The last two columns are what was never written, and what the weighting lacks to one.
    """
    found, rows = [], seen.write_weightings.shape[-1]
    shares = np.zeros((rows, lines))
    for line, writing, reading in zip(line_of, seen.write_weightings, seen.read_weightings):
        left, wrote = np.prod(1.0 - writing, axis=0), shares
        shares = shares * left[:, None]
        shares[:, line] += 1.0 - left
        wrote = shares if after else wrote
        never = reading @ (1.0 - wrote.sum(axis=1))
        found.append(np.column_stack([reading @ wrote, never, 1.0 - reading.sum(axis=1)]))
    return np.stack(found)
