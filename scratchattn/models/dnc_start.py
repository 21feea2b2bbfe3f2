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
from .given import for_each, refuse_unfit, units_shape

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

    def state(self, dnc, batch, rng=None, **given):
        """The DNCState of ``batch`` sequences of the model ``dnc``.

        ``rng`` draws what is random.  ``given``: name -> array that stands for what the settings say, of one
        sequence: the fields of DNCState without their first axis, and in the place of the controller's
        hidden and cell, (h) or (l, h).  ValueError for another name or shape.
        """
        rng = np.random.default_rng(0) if rng is None else rng
        layers = dnc.layers if dnc.controller == "lstm" else 0
        sizes = (batch, dnc.rows, dnc.width, dnc.read_heads, dnc.write_heads)
        state = dnc_start(*sizes, units=dnc.units, layers=layers, dtype=dnc.dtype)

        def made(array):
            return backend.asarray(array, dtype=dnc.dtype)

        level = {"zeros": 0.0, "tiny": TINY, "share": 1 / (dnc.rows * dnc.width)}
        write = made(self._weightings(rng, (batch, dnc.write_heads, dnc.rows), dnc.write_heads > 1))
        read = made(self._weightings(rng, (batch, dnc.read_heads, dnc.rows), True))
        state = state._replace(
            memory=state.memory + level[self.memory],
            reads=state.reads + level[self.reads],
            write_weightings=0.0 * write if self.skip_first_update else write,
            read_weightings=read,
        )
        if self.controller == "drawn" and layers:
            spread = np.sqrt(6 / max((batch + layers) * dnc.units, 1))
            drawn = rng.uniform(-spread, spread, size=(layers, batch, dnc.units))
            state = state._replace(controller=tuple((made(layer), made(layer)) for layer in drawn))
        return _with_given(dnc, state, batch, given)

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


def _with_given(dnc, state, batch, given):
    """``state`` with what is given for one sequence in all of them."""
    shapes = {name: array.shape[1:] for name, array in state._asdict().items() if name != "controller"}
    if state.controller:
        shapes |= {"hidden": units_shape(dnc), "cell": units_shape(dnc)}
    refuse_unfit("DNCStart", given, shapes)
    every = {name: for_each(batch, array) for name, array in given.items()}
    units = [list(parts) for parts in zip(*state.controller)]
    for kind, name in enumerate(("hidden", "cell")):
        if name in every:
            of_all = every.pop(name)
            units[kind] = [of_all] if dnc.layers == 1 else [of_all[:, i] for i in range(dnc.layers)]
    return state._replace(**every, controller=tuple(zip(*units)))
