"""The copy task: read a sequence of random bits, then write it down from memory.

A sequence of L vectors of ``bits`` random bits is followed by a delimiter on a channel of its
own; then L steps without any input, in which the vectors are asked for in the same order.

    step       0 ... L-1     L            L+1 ... 2L
    input      vectors       delimiter    nothing
    target     -             -            vectors

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 4.1.
"""

from dataclasses import dataclass

import numpy as np

from ..refusals import check_settings
from .bits import BitsTask, answered_last, refuse_disorder


@dataclass(frozen=True)
class Copy(BitsTask):
    """Settings of the copy task; lengths are drawn from a range, both ends included."""

    bits: int = 8
    """Bits of a vector."""
    shortest: int = 1
    """Least number of vectors in a sequence."""
    longest: int = 20
    """Greatest number of vectors in a sequence."""
    together: bool = True
    """All sequences of a batch have one length, as is customary; otherwise each has its own."""

    def __post_init__(self):
        check_settings(self, at_least={"bits": 1, "shortest": 1, "longest": 1}, flags=("together",))
        refuse_disorder(self, ("shortest", "longest"))

    inputs = property(lambda self: self.bits + 1)
    outputs = property(lambda self: self.bits)

    def sizes(self, rng, count):
        """``count`` times the number of vectors."""
        return list(zip(rng.integers(self.shortest, self.longest + 1, size=count)))

    def sequence(self, rng, n):
        """One sequence of ``n`` vectors."""
        vectors = rng.integers(0, 2, size=(n, self.bits))
        shown = np.zeros((n + 1, self.inputs))
        shown[:n, : self.bits], shown[n, self.bits] = vectors, 1
        return answered_last(shown, vectors)
