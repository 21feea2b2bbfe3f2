"""bAbI: stories word by word, and questions that are answered at the steps that ask for a word.

A story is one sequence with all its questions.  Each word, each full stop and each question mark is a step
and a channel of its own, in small letters; after a question comes a step with the sign ``-`` for every word
of its answer, and the word is asked for there.  Numbers of lines are not shown.

    input      mary moved to the bathroom . where is mary ? -           john went ...
    target     -    -     -  -   -        - -     -  -    - bathroom    -    -

The channels are those of all twenty tasks together, 156 words and three signs, whichever are chosen: what
is trained on some tasks, or on stories of our own, can be tested on others.  ``blanks`` steps without any
input may come before each answer.

The loss is the cross-entropy among all channels of every word asked for.  ``question_error`` is the share of
questions with any word wrong, ``word_error`` the share of words.

Conventions
-----------
The encoding is that of the DNC paper, which counts questions; its validation split is a tenth of the
training stories, here the last ones of each file.  ``blanks=3`` is the variation of Csordas and Schmidhuber,
whose error counts words.

Source: Weston et al., arXiv:1502.05698 (the stories); Graves et al., Nature 538 (2016) 471, Methods; Csordas,
Schmidhuber, "Improving differentiable neural computers", arXiv:1904.10278.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..refusals import check_settings
from . import one_hot, store
from .readers.babi import FILE_NAME, Question, read_babi

WORDS = (
    "- . ? a above afraid after afternoon afterwards and antoine apple are back bathroom bedroom before "
    "below bernhard bigger bill blue bored box brian carrying cat cats chest chocolate chocolates cinema "
    "color container daniel did discarded do does down dropped e east either emily evening fit fits "
    "following football fred frog from garden gave gertrude get give go got grabbed gray green greg "
    "hallway handed he how hungry in inside is jason jeff jessica john journeyed julie julius kitchen "
    "left lily lion longer many mary maybe mice milk morning mouse moved n no none north not nothing "
    "objects of office one or pajamas park passed picked pink put received rectangle red rhino right s "
    "sandra school she sheep south sphere square suitcase sumit swan than that the then there they "
    "thirsty this three tired to took travelled triangle two up was went west what where white who why "
    "will winona wolf wolves yann yellow yes yesterday you w"
).split()
NUMBER = {word: i for i, word in enumerate(sorted(WORDS))}
FOLDERS = ("en", "en-10k")
_BLANK = -1


class BabiBatch(NamedTuple):
    """``b`` stories of up to ``t`` steps."""

    inputs: Any  # (t, b, words)
    targets: Any  # (t, b, words), zero where nothing is asked
    asked: Any  # (t, b, 1) boolean
    questions: Any  # (t, b) integers: which question of the batch a word answers, from 0; -1 where none does
    lengths: Any  # (b) integers: steps of each story

    @property
    def size(self):
        return self.inputs.shape[1]


class BabiTask:
    """What stories from files and of our own share; both have the fields ``blanks`` and ``questions``."""

    metric = "question_error"
    inputs = outputs = classes = len(WORDS)

    def batch_of(self, stories, dtype):
        """A BabiBatch of a list of ``Story``."""
        told = [told_words(story, self.blanks, self.questions) for story in stories]
        lengths = np.array([len(words) for words, _ in told], int)
        steps, size = int(lengths.max(initial=0)), len(stories)
        inputs, targets = (np.zeros((steps, size, self.inputs), dtype) for _ in range(2))
        questions, count = np.full((steps, size), -1), 0
        for j, (words, answers) in enumerate(told):
            for t, word in enumerate(words):
                inputs[t, j, word] = word != _BLANK
            for t, (word, question) in answers.items():
                targets[t, j, word], questions[t, j] = 1, count + question
            count = max(count, int(questions.max(initial=-1)) + 1)
        arrays = (inputs, targets, (questions >= 0)[:, :, None], questions, lengths)
        return BabiBatch(*map(backend.asarray, arrays))

    def loss(self, outputs, batch):
        """Cross-entropy of the asked words in nats per story, a scalar tensor; outputs are logits."""
        return one_hot.cross_entropy(outputs, batch, self.classes)

    def metrics(self, outputs, batch):
        """``question_error`` of each question and ``word_error`` of each asked word; outputs are logits."""
        wrong, questions = one_hot.wrong(outputs, batch, self.classes), backend.to_numpy(batch.questions)
        asked = questions >= 0
        _, place = np.unique(questions[asked], return_inverse=True)
        failed = np.bincount(place, weights=wrong[asked]) > 0
        return {"question_error": failed.astype(float), "word_error": wrong[asked].astype(float)}


@dataclass(frozen=True)
class Babi(BabiTask):
    """Settings: which of the tasks, from which folder of the local data set ``babi``."""

    tasks: str = "1"
    """Numbers of tasks between commas, or "all"."""
    folder: str = "en-10k"
    """Of the data set: language, and how many training questions a task has."""
    blanks: int = 0
    """Steps without any input before each answer."""
    questions: int = 0
    """A story ends with its question of this number, for a curriculum that begins short; 0: whole."""
    held_out: int = 10
    """So many of a hundred training stories, the last of each file, are for validation."""

    def __post_init__(self):
        check_settings(
            self, at_least={"blanks": 0, "questions": 0, "held_out": 0}, one_of={"folder": FOLDERS}
        )
        if self.held_out > 99:
            raise ValueError(f"Babi: held_out must be at most 99, got {self.held_out}")
        self.numbers()

    def numbers(self):
        """The numbers of the tasks, a tuple."""
        return task_numbers("Babi", self.tasks, range(1, 21))

    def examples(self, split):
        """How many stories ``split`` has: "train", "validation" or "test"."""
        return len(self._stories(split))

    def take(self, split, indices, dtype="float32"):
        """The stories of these ``indices``."""
        stories = self._stories(split)
        return self.batch_of([stories[i] for i in indices], dtype)

    def example(self, rng):
        """One ``Story`` to look at, of those for validation; of those to train on where none is held out."""
        stories = self._stories("validation") or self._stories("train")
        return stories[int(rng.integers(len(stories)))]

    def _stories(self, split):
        if split not in ("train", "validation", "test"):
            raise ValueError(f"Babi: split must be train, validation or test, got {split!r}")
        found = []
        for path in _paths(self.folder, self.numbers(), "test" if split == "test" else "train"):
            stories = _read(path)
            kept = len(stories) - len(stories) * self.held_out // 100
            found += stories if split == "test" else stories[:kept] if split == "train" else stories[kept:]
        return found


def task_numbers(who, text, known):
    """The numbers that ``text`` says, of those in ``known``; ValueError for others."""
    words = [str(n) for n in known] if text == "all" else [word.strip() for word in str(text).split(",")]
    for word in words:
        if not word.isdigit() or int(word) not in known:
            listed = ", ".join(map(str, known))
            raise ValueError(f"{who}: tasks must be all, or of {listed} between commas, got {text!r}")
    return tuple(map(int, words))


def told_words(story, blanks, last=0):
    """Numbers of words of a ``Story`` step by step, and step -> (word, question) of all that is asked.

    The story ends with its question number ``last``, if it has so many; 0: with its end.
    """
    words, answers, questions = [], {}, 0
    for entry in story.entries:
        words += [_number(word) for word in re.findall(r"\w+|[^\w\s]", entry.text.lower())]
        if type(entry) is Question:
            words += [_BLANK] * blanks
            for word in entry.answer:
                answers[len(words)] = (_number(word.strip().lower()), questions)
                words.append(NUMBER["-"])
            questions += 1
            if questions == last:
                break
    return words, answers


def _number(word):
    if word not in NUMBER:
        raise ValueError(f"babi: {word!r} is no word of the twenty tasks, which know {len(WORDS)}")
    return NUMBER[word]


def _paths(folder, numbers, which):
    """The paths of the files of these tasks, in the order of ``numbers``."""
    held = {}
    for place, path in store.files("babi").items():
        match = FILE_NAME.fullmatch(Path(place).name)
        if match and Path(place).parent.name == folder and match[2] == which:
            held[int(match[1])] = path
    missing = [n for n in numbers if n not in held]
    if missing:
        raise FileNotFoundError(
            f"babi: {folder} has no {which} file of task {missing[0]}: scratchattn data add babi PATH "
            "puts one there"
        )
    return [held[n] for n in numbers]


@cache
def _read(path):
    return read_babi(path)
