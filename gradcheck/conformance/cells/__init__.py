"""Whole cells that others are held against, by the names that ``verify(against=...)`` takes beside ops.

Each is a composition of ``nn`` made an op: inputs, parts of the state and every weight have names and
shapes, so do outputs and the next state.  Weights are mapped by the function that is judged: it takes ours,
by name, and builds its own from them, so that gradients come back in our names.
"""

from . import act, attention, dnc, ntm, recurrent, transformer

_PARTS = (ntm, dnc, act, attention, transformer, recurrent)
CELLS = {each.name: each for part in _PARTS for each in part.CELLS}
_FITTED = dict.fromkeys((each.name for each in ntm.CELLS), ntm.fitted)


def fitted(op, params):
    """``op``, with the cases that these ``params`` need where they decide the shapes of a cell."""
    own = CELLS.get(op.name) is op and op.name in _FITTED
    return _FITTED[op.name](op, params) if own else op


__all__ = ["CELLS", "fitted"]
