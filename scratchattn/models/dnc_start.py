"""Where a sequence starts: memory, weightings, reads and controller of a DNC before the first step.

The paper starts from zeros.  What is random is drawn anew for every call if a generator is given, as in
the implementations that do so; without one it is the same numbers always.

Csordas does not update the usage at the first step of a sequence: nothing is in use then, whatever was
read or written before.  No update of usage looks at anything but usage and weightings, and a usage of
zero stays zero after a write of zero, whatever is freed.  So to skip the first update is to start from a
usage and write weightings of zero: ``skip_first_update``.

Source: Graves et al., Nature 538 (2016) 471 (zeros); the repositories that ``conventions/presets.py`` names.
"""

from dataclasses import dataclass

import numpy as np

from .. import backend
from ..nn.dnc_cell import dnc_start
from ..refusals import check_settings

TINY = 1e-6
CHOICES = {
    "memory": ("zeros", "tiny", "share"),
    "weightings": ("zeros", "tiny", "one_hot", "simplex", "drawn"),
    "reads": ("zeros", "tiny"),
    "controller": ("zeros", "drawn"),
}


@dataclass(frozen=True)
class DNCStart:
    """Settings of a start.  TypeError or ValueError for others."""

    memory: str = "zeros"
    """"zeros"; "tiny": 1e-6 everywhere; "share": 1 / (rows width) everywhere."""
    weightings: str = "zeros"
    """Where the heads were: "zeros", nowhere; "tiny": 1e-6 everywhere; "one_hot": row 0; "simplex": random
    weightings that sum to one; "drawn": uniform from zero to 1 / rows of one write head, to 1 / (heads +
    rows) of others (ADNC, which calls it a simplex)."""
    reads: str = "zeros"
    """"zeros"; "tiny": 1e-6 everywhere."""
    controller: str = "zeros"
    """Of a stack of LSTMs: "zeros"; "drawn": uniform, +-sqrt(6 / ((batch + layers) units)), the cells the
    same numbers as the hidden units (ixaxaar)."""
    skip_first_update: bool = False
    """The first step of a sequence finds nothing in use, whatever the weightings are (Csordas)."""

    def __post_init__(self):
        check_settings(self, one_of=CHOICES, flags=("skip_first_update",))

    def state(self, dnc, batch, rng=None):
        """The DNCState of ``batch`` sequences of the model ``dnc``; ``rng`` draws what is random."""
        rng = np.random.default_rng(0) if rng is None else rng
        layers = dnc.layers if dnc.controller == "lstm" else 0
        sizes = (batch, dnc.rows, dnc.width, dnc.read_heads, dnc.write_heads)
        state = dnc_start(*sizes, units=dnc.units, layers=layers, dtype=dnc.dtype)

        def given(array):
            return backend.asarray(array, dtype=dnc.dtype)

        level = {"zeros": 0.0, "tiny": TINY, "share": 1 / (dnc.rows * dnc.width)}
        write = given(self._weightings(rng, (batch, dnc.write_heads, dnc.rows), dnc.write_heads > 1))
        read = given(self._weightings(rng, (batch, dnc.read_heads, dnc.rows), True))
        state = state._replace(
            memory=state.memory + level[self.memory],
            reads=state.reads + level[self.reads],
            write_weightings=0.0 * write if self.skip_first_update else write,
            read_weightings=read,
        )
        if self.controller == "drawn" and layers:
            spread = np.sqrt(6 / max((batch + layers) * dnc.units, 1))
            drawn = rng.uniform(-spread, spread, size=(layers, batch, dnc.units))
            state = state._replace(controller=tuple((given(layer), given(layer)) for layer in drawn))
        return state

    def _weightings(self, rng, shape, several):
        """Of ``shape`` (b, heads, n); ``several``: "drawn" counts the heads."""
        if self.weightings == "drawn":
            return rng.uniform(0, 1 / (shape[2] + shape[1] * several), size=shape)
        if self.weightings == "simplex":
            drawn = rng.exponential(size=shape)
            return drawn / drawn.sum(axis=-1, keepdims=True)
        found = np.full(shape, TINY if self.weightings == "tiny" else 0.0)
        if self.weightings == "one_hot":
            found[..., 0] = 1.0
        return found
