"""Whole cells that others are held against, by the names that ``verify(against=...)`` takes beside ops.

Each is a composition of ``nn`` made an op: inputs, parts of the state and every weight have names and
shapes, so do outputs and the next state.  Weights are mapped by the function that is judged: it takes ours,
by name, and builds its own from them, so that gradients come back in our names.
"""

from . import act, attention, dnc, ntm, recurrent, transformer

_PARTS = (ntm, dnc, act, attention, transformer, recurrent)
CELLS = {each.name: each for part in _PARTS for each in part.CELLS}

__all__ = ["CELLS"]
