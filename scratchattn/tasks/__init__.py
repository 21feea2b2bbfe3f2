"""Data: generators with an explicit rng, and readers of the field's file formats.

A task is a frozen dataclass with ``inputs`` and ``outputs`` (features of a step), ``batch(rng,
size)``, ``loss(outputs, batch)`` in nats, and ``metrics(outputs, batch)``.  Data are NumPy.
"""

from .copy import Copy

TASKS = {"copy": Copy}
__all__ = ["TASKS", "Copy"]
