"""Associative recall: read a list of items, then, shown one of them, name the one that came after it.

An item is ``vectors`` vectors of ``bits`` random bits, behind a delimiter.  After all items one of them,
any but the last, is shown again between two delimiters of another kind, and its successor is asked for.

    step                          input                          target
    0, 1+v, 2(1+v), ...           item delimiter                 -
    the v steps after each        vectors of the item            -
    n(1+v)                        query delimiter                -
    the v steps after it          vectors of an earlier item     -
    n(1+v) + 1 + v                query delimiter                -
    the v steps after it          nothing                        the item that followed it

Each delimiter has a channel of its own.  Items are drawn independently, so that two may be equal, which
with 18 bits happens to one list of six in 17,000.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 4.3.
"""

from dataclasses import dataclass

import numpy as np

from ..refusals import check_settings
from .bits import BitsTask, answered_last, refuse_disorder


@dataclass(frozen=True)
class AssociativeRecall(BitsTask):
    """Settings: the size of an item, and the range that numbers of items are drawn from, ends included."""

    bits: int = 6
    """Bits of a vector."""
    vectors: int = 3
    """Vectors of an item."""
    fewest: int = 2
    """Least number of items."""
    most: int = 6
    """Greatest number of items."""
    together: bool = True
    """All sequences of a batch have one number of items; otherwise each has its own."""

    def __post_init__(self):
        check_settings(self, at_least={"bits": 1, "vectors": 1, "fewest": 2, "most": 2}, flags=("together",))
        refuse_disorder(self, ("fewest", "most"))

    inputs = property(lambda self: self.bits + 2)
    outputs = property(lambda self: self.bits)

    def sizes(self, rng, count):
        """``count`` times the number of items."""
        return list(zip(rng.integers(self.fewest, self.most + 1, size=count)))

    def sequence(self, rng, n):
        """One sequence of ``n`` items."""
        items = rng.integers(0, 2, size=(n, self.vectors, self.bits))
        query = rng.integers(0, n - 1)
        listed = np.zeros((n + 1, self.vectors + 1, self.inputs))  # items and query, each with its delimiter
        listed[:, 1:, : self.bits] = np.concatenate([items, items[query : query + 1]])
        listed[:n, 0, self.bits] = listed[n, 0, self.bits + 1] = 1
        end = np.zeros((1, self.inputs))
        end[0, self.bits + 1] = 1
        shown = np.concatenate([listed.reshape(-1, self.inputs), end])
        return answered_last(shown, items[query + 1])
