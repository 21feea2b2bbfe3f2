"""A task in a user's own file that ends its process, as a fault of a machine or of a program does."""

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path

from scratchattn.tasks import Copy
from scratchattn.training.mpi import rank_and_size

CALLS = []  # how often this process has drawn; the first few are of those who look whether all fits


@dataclasses.dataclass(frozen=True)
class Fatal(Copy):
    how: str = "not"
    """not, once, always: killed at the twentieth batch; raise: an error there; nan: an input that is none."""
    rank: int = -1
    """Only this process of an MPI job; all if negative."""
    marker: str = ""
    """A file that is there once somebody was killed."""

    def batch(self, rng, size, dtype="float32"):
        CALLS.append(size)
        if len(CALLS) == 20 and self.rank in (-1, rank_and_size()[0]):
            if self.how == "nan":
                found = super().batch(rng, size, dtype)
                return found._replace(inputs=found.inputs * float("nan"))
            if self.how == "raise":
                print("raised at", time.time(), file=sys.__stderr__, flush=True)
                raise RuntimeError("the data are gone")
            if self.how == "always" or (self.how == "once" and not Path(self.marker).exists()):
                Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(rng, size, dtype)
