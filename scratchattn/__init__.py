"""Attention and memory mechanisms written out: forward, backward, and the proof that they match.

Every registered op is a name of this package: ``scratchattn.cosine_addressing``.
"""

from . import backend, fused, models, nn, ops, tasks, training
from .op import REGISTRY
from .parameters import Params
from .tape import Tensor, hvp, jacobian, pull_back, vjp

__version__ = "0.1.0"

globals().update(REGISTRY)
__all__ = [
    "REGISTRY",
    "Params",
    "Tensor",
    "backend",
    "fused",
    "hvp",
    "jacobian",
    "models",
    "nn",
    "ops",
    "pull_back",
    "tasks",
    "training",
    "vjp",
]
__all__ += sorted(REGISTRY)
