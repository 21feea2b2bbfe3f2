"""Priority sort: read vectors with a priority each, then write those of the highest, the highest first.

``vectors`` vectors of ``bits`` random bits come with a priority each, uniform in [-1, 1], on a channel of its
own; a delimiter follows, and then the ``top`` vectors of the highest priorities are asked for.

    step               0 ... n-1     n    n+1 ... n+top
    input, bits        vectors       0    0
    input, priority    priorities    0    0
    input, delimiter   0             1    0
    target             -             -    the vectors of the highest priorities, falling

Priority sort of the paper is the default, 20 vectors of which 16 are asked for; ``vectors=8, top=6`` is the
small one.  The paper does not say how the question is asked: the delimiter is the copy task's.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 4.5.
"""

from dataclasses import dataclass

import numpy as np

from ..refusals import check_settings
from .bits import BitsTask, answered_last, refuse_disorder


@dataclass(frozen=True)
class PrioritySort(BitsTask):
    """Settings: bits of a vector, how many are shown, and how many of the highest are asked for."""

    bits: int = 8
    """Bits of a vector."""
    vectors: int = 20
    """Vectors that are shown."""
    top: int = 16
    """So many of the highest are asked for."""

    def __post_init__(self):
        check_settings(self, at_least={"bits": 1, "vectors": 1, "top": 1})
        refuse_disorder(self, ("top", "vectors"))

    inputs = property(lambda self: self.bits + 2)
    outputs = property(lambda self: self.bits)

    def sizes(self, rng, count):
        """Nothing is drawn: all sequences have one length."""
        return [()] * count

    def sequence(self, rng):
        """One sequence."""
        vectors = rng.integers(0, 2, size=(self.vectors, self.bits))
        priorities = rng.uniform(-1, 1, size=self.vectors)
        shown = np.zeros((self.vectors + 1, self.inputs))
        shown[:-1, : self.bits], shown[:-1, self.bits], shown[-1, self.bits + 1] = vectors, priorities, 1
        return answered_last(shown, vectors[np.argsort(-priorities, kind="stable")[: self.top]])
