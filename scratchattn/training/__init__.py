"""Optimisers, the loop, logs."""

from .loop import Settings, evaluate, train
from .optimisers import OPTIMISERS, GravesRMSprop, RMSprop

__all__ = ["OPTIMISERS", "GravesRMSprop", "RMSprop", "Settings", "evaluate", "train"]
