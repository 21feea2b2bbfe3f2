"""bAbI without its files: stories of our own, drawn anew for every batch, told as ``babi.py`` tells them.

They have the channels of all twenty tasks, so that what has learned from them can be tested on the files:
``tested_on`` makes the test split that of the files, of the same tasks.

Source: Weston et al., arXiv:1502.05698; ``stories/``.
"""

from dataclasses import dataclass

from ..refusals import check_settings
from .babi import FOLDERS, Babi, BabiTask, task_numbers
from .stories import STORIES, story


@dataclass(frozen=True)
class BabiStories(BabiTask):
    """Settings: the kinds of stories."""

    tasks: str = "1"
    """Numbers of tasks between commas, or "all" of those that there are stories of."""
    blanks: int = 0
    """Steps without any input before each answer."""
    questions: int = 0
    """A story ends with its question of this number; 0: whole."""
    tested_on: str = ""
    """A folder of the local data set ``babi``, or nothing: the test too is of fresh stories."""

    def __post_init__(self):
        check_settings(self, at_least={"blanks": 0, "questions": 0}, one_of={"tested_on": ("", *FOLDERS)})
        self.numbers()

    def numbers(self):
        """The numbers of the tasks, a tuple."""
        return task_numbers("BabiStories", self.tasks, tuple(STORIES))

    @property
    def taken(self):
        """The splits that are read and not drawn."""
        return ("test",) if self.tested_on else ()

    def examples(self, split):
        """How many stories the files have in ``split``."""
        return self._files(split).examples(split)

    def take(self, split, indices, dtype="float32"):
        """The stories of the files at these ``indices``."""
        return self._files(split).take(split, indices, dtype)

    def _files(self, split):
        if split not in self.taken:
            raise ValueError(f"BabiStories: the split {split!r} is drawn, not read")
        return Babi(",".join(map(str, self.numbers())), self.tested_on, self.blanks, self.questions)

    def batch(self, rng, size, dtype="float32"):
        """``size`` stories drawn from ``rng``, each of one of the tasks."""
        if type(size) is not int or size < 0:
            raise ValueError(f"BabiStories.batch: size must be an int, at least 0, got {size!r}")
        numbers = self.numbers()
        drawn = [numbers[int(rng.integers(len(numbers)))] for _ in range(size)]
        return self.batch_of([story(number, rng) for number in drawn], dtype)

    def example(self, rng):
        """One ``Story``, drawn from ``rng``."""
        numbers = self.numbers()
        return story(numbers[int(rng.integers(len(numbers)))], rng)
