"""A story while it is told: statements and questions, numbered as they come."""

from ..readers.babi import Question, Statement, Story


class Telling:
    """Collects the entries of one story."""

    def __init__(self, rng):
        self.rng, self.entries = rng, []

    def any(self, choices):
        """One of ``choices``, a sequence that is not empty."""
        return choices[int(self.rng.integers(len(choices)))]

    def say(self, text):
        """Add a statement; returns its number."""
        self.entries.append(Statement(len(self.entries) + 1, text))
        return len(self.entries)

    def ask(self, text, answer, supports):
        """Add a question, whose answer is one word or a tuple of words."""
        answer = (answer,) if type(answer) is str else tuple(answer)
        self.entries.append(Question(len(self.entries) + 1, text, answer, tuple(supports)))

    def story(self):
        return Story(1, tuple(self.entries))
