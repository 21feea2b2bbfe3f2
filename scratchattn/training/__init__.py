"""Optimisers, the loop, logs."""

from .loop import Settings, evaluate, save, train
from .optimisers import OPTIMISERS, GravesRMSprop, RMSprop

__all__ = ["OPTIMISERS", "GravesRMSprop", "RMSprop", "Settings", "evaluate", "save", "train"]
