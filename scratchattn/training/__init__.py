"""Configuration, optimisers, the loop, checkpoints, logs, sweeps."""

from .archive import Damaged
from .checkpoint import newest
from .configuration import Configuration, configure
from .evaluation import evaluate
from .failure import NotFinite
from .interruption import Interrupted
from .log import read_log
from .loop import train
from .optimisers import OPTIMISERS, SGD, Adam, AdamW, GravesRMSprop, Momentum, RMSprop
from .run_directory import RunRefused, read_config, replay
from .settings import Settings
from .sweeps import plan, sweep

__all__ = [
    "OPTIMISERS",
    "SGD",
    "Adam",
    "AdamW",
    "Configuration",
    "Damaged",
    "GravesRMSprop",
    "Interrupted",
    "Momentum",
    "NotFinite",
    "RMSprop",
    "RunRefused",
    "Settings",
    "configure",
    "evaluate",
    "newest",
    "plan",
    "read_config",
    "read_log",
    "replay",
    "sweep",
    "train",
]
