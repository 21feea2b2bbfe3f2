"""Copies one after another: the memory must be used again, for all of them together do not fit.

``sequences`` times over, L vectors of ``bits`` random bits are followed by a delimiter on a channel of its
own, and L steps without any input in which they are asked for: the copy task, without a new start between.

    step       0 ... L-1    L            L+1 ... 2L    2L+1 ... 3L     3L+1         ...
    input      vectors      delimiter    nothing       more vectors    delimiter    ...
    target     -            -            vectors       -               -            ...

With the defaults, ten sequences of five vectors, a memory of ``rows=10`` holds a fifth of all vectors: it is
solved by a DNC that frees what it has read.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature 538
(2016) 471, extended data figure 1.
"""

from dataclasses import dataclass

import numpy as np

from ..refusals import check_settings
from .bits import BitsTask, refuse_disorder
from .copy import Copy


@dataclass(frozen=True)
class CopySeries(BitsTask):
    """Settings: bits of a vector, the range of lengths, both ends included, and how many sequences."""

    bits: int = 6
    """Bits of a vector."""
    shortest: int = 5
    """Least number of vectors in a sequence."""
    longest: int = 5
    """Greatest number of vectors in a sequence."""
    sequences: int = 10
    """Sequences of a series, one after the other."""
    together: bool = True
    """The first sequences of all series of a batch have one length, and so on; otherwise each has its own."""

    def __post_init__(self):
        least = dict.fromkeys(("bits", "shortest", "longest", "sequences"), 1)
        check_settings(self, at_least=least, flags=("together",))
        refuse_disorder(self, ("shortest", "longest"))

    inputs = property(lambda self: self.bits + 1)
    outputs = property(lambda self: self.bits)

    def sizes(self, rng, count):
        """``count`` times the numbers of vectors."""
        drawn = rng.integers(self.shortest, self.longest + 1, size=(count, self.sequences))
        return [tuple(lengths) for lengths in drawn]

    def sequence(self, rng, *lengths):
        """One series of sequences of ``lengths`` vectors."""
        copy = Copy(bits=self.bits)
        parts = zip(*[copy.sequence(rng, n) for n in lengths])
        return tuple(np.concatenate(part) for part in parts)
