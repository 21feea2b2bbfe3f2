"""A task in a user's own file that ends its process, as a fault of a machine or of a program does."""

import dataclasses
import os
import signal
from pathlib import Path

from scratchattn.tasks import Copy

CALLS = []  # how often this process has drawn; the first few are of those who look whether all fits


@dataclasses.dataclass(frozen=True)
class Fatal(Copy):
    how: str = "not"
    """not, once, always: killed at the twentieth batch; raise: an error there."""
    marker: str = ""
    """A file that is there once somebody was killed."""

    def batch(self, rng, size, dtype="float32"):
        CALLS.append(size)
        if len(CALLS) == 20:
            if self.how == "raise":
                raise RuntimeError("the data are gone")
            if self.how == "always" or (self.how == "once" and not Path(self.marker).exists()):
                Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(rng, size, dtype)
