"""Data: generators with an explicit rng, and readers of the field's file formats.

A task is a frozen dataclass with ``inputs`` and ``outputs`` (features of a step), ``batch(rng,
size)``, ``loss(outputs, batch)`` in nats, and ``metrics(outputs, batch)``.  Data are NumPy.
"""

from .associative_recall import AssociativeRecall
from .babi import Babi
from .babi_stories import BabiStories
from .copy import Copy
from .copy_series import CopySeries
from .graph import Graph
from .linkage import Linkage
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
    "NGrams",
    "PrioritySort",
    "RepeatCopy",
]
