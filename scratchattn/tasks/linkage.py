"""The linkage task: copies so long that only the order of writing can lead from one vector to the next.

It is the copy task with 6 bits and 1 to 100 vectors, for a machine whose controller cannot count or remember
by itself: a feed-forward one.  A DNC then follows its temporal links, and the paper's learning curves show
what these are worth: all of them, the few largest, none.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature 538
(2016) 471, extended data figure 4.
"""

from dataclasses import dataclass

from .copy import Copy


@dataclass(frozen=True)
class Linkage(Copy):
    """Settings: those of the copy task."""

    bits: int = 6
    longest: int = 100
