"""bAbI without its files: stories of our own, drawn anew for every batch, told as ``babi.py`` tells them.

They have the channels of all twenty tasks, so that what has learned from them can be tested on the files.

Source: Weston et al., arXiv:1502.05698; ``stories/``.
"""

from dataclasses import dataclass

from ..refusals import check_settings
from .babi import BabiTask, task_numbers
from .stories import STORIES, story


@dataclass(frozen=True)
class BabiStories(BabiTask):
    """Settings: the kinds of stories."""

    tasks: str = "1"
    """Numbers of tasks between commas, or "all" of those that there are stories of."""
    blanks: int = 0
    """Steps without any input before each answer."""

    def __post_init__(self):
        check_settings(self, at_least={"blanks": 0})
        self.numbers()

    def numbers(self):
        """The numbers of the tasks, a tuple."""
        return task_numbers("BabiStories", self.tasks, tuple(STORIES))

    def batch(self, rng, size, dtype="float32"):
        """``size`` stories drawn from ``rng``, each of one of the tasks."""
        if type(size) is not int or size < 0:
            raise ValueError(f"BabiStories.batch: size must be an int, at least 0, got {size!r}")
        numbers = self.numbers()
        drawn = [numbers[int(rng.integers(len(numbers)))] for _ in range(size)]
        return self.batch_of([story(number, rng) for number in drawn], dtype)
