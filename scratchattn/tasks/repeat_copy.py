"""The repeat copy task: read a sequence of random bits and a number, write the sequence so many times.

L vectors of ``bits`` random bits are followed by the number of repeats R, on a channel of its own;
then R L steps without any input, in which the vectors are asked for R times over, and one more in which
the end is to be marked, on an output of its own.

    step              0 ... L-1    L             L+1 ... L+RL        L+RL+1
    input, bits       vectors      0             0                   0
    input, delimiter  0            1             0                   0
    input, repeats    0            (R - m) / d   0                   0
    target, bits      -            -             vectors, R times    0
    target, end       -            -             0                   1

The number is shown with mean m taken off and divided by the deviation d, those of a uniform choice from
``known_fewest`` to ``known_most``, which stay as they are when more repeats are asked for than in training.

Conventions
-----------
The paper speaks of the number's channel alone; ``delimiter=False`` is that.  Next to 5 and 6 repeats, shown
as -0.17 and 0.17, the delimiter says for certain where the vectors end, as in other public implementations.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 4.2.
"""

from dataclasses import dataclass

import numpy as np

from ..refusals import check_settings
from .bits import BitsTask, answered_last, refuse_disorder


@dataclass(frozen=True)
class RepeatCopy(BitsTask):
    """Settings: bits of a vector, and ranges, both ends included, for lengths and numbers of repeats."""

    bits: int = 8
    """Bits of a vector."""
    shortest: int = 1
    """Least number of vectors in a sequence."""
    longest: int = 10
    """Greatest number of vectors in a sequence."""
    fewest: int = 1
    """Least number of repeats."""
    most: int = 10
    """Greatest number of repeats."""
    known_fewest: int = 1
    """See ``known_most``."""
    known_most: int = 10
    """Mean and deviation of the numbers from ``known_fewest`` to here are those that R is shown with."""
    delimiter: bool = True
    """The end of the vectors is marked on a channel of its own."""
    together: bool = True
    """All sequences of a batch have one length and one number; otherwise each has its own."""

    def __post_init__(self):
        names = ("bits", "shortest", "longest", "fewest", "most", "known_fewest")
        least = dict.fromkeys(names, 1) | {"known_most": 2}
        check_settings(self, at_least=least, flags=("delimiter", "together"))
        refuse_disorder(self, ("shortest", "longest"), ("fewest", "most"))
        if self.known_most <= self.known_fewest:
            expected = f"above known_fewest, {self.known_fewest}"
            raise ValueError(f"RepeatCopy: known_most must be {expected}, got {self.known_most}")

    inputs = property(lambda self: self.bits + 1 + self.delimiter)
    outputs = property(lambda self: self.bits + 1)

    def sizes(self, rng, count):
        """``count`` times the number of vectors and that of repeats."""
        lengths = rng.integers(self.shortest, self.longest + 1, size=count)
        return list(zip(lengths, rng.integers(self.fewest, self.most + 1, size=count)))

    def sequence(self, rng, n, repeats):
        """One sequence of ``n`` vectors, asked for ``repeats`` times."""
        vectors = rng.integers(0, 2, size=(n, self.bits))
        shown = np.zeros((n + 1, self.inputs))
        shown[:n, : self.bits], shown[n, -1] = vectors, self.normalised(repeats)
        if self.delimiter:
            shown[n, self.bits] = 1
        answer = np.zeros((n * repeats + 1, self.outputs))
        answer[:-1, : self.bits], answer[-1, self.bits] = np.tile(vectors, (repeats, 1)), 1
        return answered_last(shown, answer)

    def normalised(self, repeats):
        """What is shown for ``repeats``: mean 0, variance 1 over the known numbers."""
        numbers = self.known_most - self.known_fewest + 1
        mean, variance = (self.known_fewest + self.known_most) / 2, (numbers**2 - 1) / 12
        return (repeats - mean) / variance**0.5
