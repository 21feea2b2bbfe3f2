"""A story as it was told, step by step, with its questions and what was answered."""

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
