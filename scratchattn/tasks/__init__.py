"""Data: generators with an explicit rng, and readers of the field's file formats.

A task is a frozen dataclass with ``inputs`` and ``outputs`` (features of a step), ``batch(rng,
size)``, ``loss(outputs, batch)`` in nats, and ``metrics(outputs, batch)``.  Data are NumPy.
"""

from .associative_recall import AssociativeRecall
from .copy import Copy
from .ngrams import NGrams
from .priority_sort import PrioritySort
from .repeat_copy import RepeatCopy

TASKS = {
    "copy": Copy,
    "repeat_copy": RepeatCopy,
    "associative_recall": AssociativeRecall,
    "ngrams": NGrams,
    "priority_sort": PrioritySort,
}
__all__ = ["TASKS", "AssociativeRecall", "Copy", "NGrams", "PrioritySort", "RepeatCopy"]
