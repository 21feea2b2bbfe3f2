"""Data: generators with an explicit rng, and readers of the field's file formats.

A task is a frozen dataclass.  One that draws its data has

    batch(rng, size, dtype)             ``size`` fresh sequences

and one whose data have an end has

    examples(split)                     how many, in "train", "validation" and "test"; none may be empty
    take(split, indices, dtype)         those of them

Either gives a NamedTuple with ``inputs`` (t, b, ...), ``lengths`` (b integers, or None if all have t steps),
``size`` (b) and whatever the loss needs, on the backend in use.  What has t entries along its first axis is
cut with the inputs where training cuts sequences along time.  And both have

    loss(outputs, batch)                a scalar Tensor, in nats
    metrics(outputs, batch)             name -> a NumPy vector, a number for each sequence
    metric                              the name of the one that is selected, judged and swept by
    larger_is_better                    of that metric; without it, smaller is
    classes                             one of so many outputs is right; without it, each output is a bit
    continues                           True: a batch begins in the state in which the one before it ended
    inputs, outputs                     features of a step, for models that ask for them

``training.fitting`` refuses what lacks a part, and names it.
"""

from .associative_recall import AssociativeRecall
from .babi import Babi
from .babi_stories import BabiStories
from .copy import Copy
from .copy_series import CopySeries
from .graph import Graph
from .linkage import Linkage
from .mini_shrdlu import MiniShrdlu
from .ngrams import NGrams
from .priority_sort import PrioritySort
from .repeat_copy import RepeatCopy

TASKS = {
    "babi": Babi,
    "babi_stories": BabiStories,
    "copy": Copy,
    "copy_series": CopySeries,
    "linkage": Linkage,
    "graph": Graph,
    "mini_shrdlu": MiniShrdlu,
    "repeat_copy": RepeatCopy,
    "associative_recall": AssociativeRecall,
    "ngrams": NGrams,
    "priority_sort": PrioritySort,
}
__all__ = [
    "TASKS",
    "AssociativeRecall",
    "Babi",
    "BabiStories",
    "Copy",
    "CopySeries",
    "Graph",
    "Linkage",
    "MiniShrdlu",
    "NGrams",
    "PrioritySort",
    "RepeatCopy",
]
