"""Models: a frozen dataclass of settings each.

    dtype                               "float32" or "float64": of the parameters, and what batches come in
    init(rng)                           a ``Params``, drawn from a NumPy Generator
    initial_state(params, batch)        the state before the first step of ``batch`` sequences: a tuple, best
                                        a NamedTuple, of arrays, None and such tuples
    sequence(params, state, xs, lengths)    xs (t, b, ...) -> outputs (t, b, ...), the state after the last
                                        step, of the same form; ``lengths``: b integers, or None for t

    random                              True, if training draws something: then ``sequence`` takes ``rng``, a
                                        NumPy Generator in training, None in evaluation.  Without it: False

That is what training needs of a model, of one's own too (examples/own_model.py).  ``params`` are
``Params.tensors()``, and then all is recorded, or the arrays themselves.  State must hold everything: a
sequence in pieces is the sequence.  A field without a default is taken from the task, if it has one of that
name (``inputs``, ``outputs``).

Ours also have ``step(params, state, x)``, which one can call by hand, and ``engine``: "fused", or
"reference", with which a failed step is looked at node by node.  ``pictures(params, task, rng)``, if there
is one, returns ``report.Section``s for the report.
"""

from .dnc import DNC
from .ntm import NTM
from .rnn import RNN

MODELS = {"dnc": DNC, "ntm": NTM, "rnn": RNN}
__all__ = ["DNC", "MODELS", "NTM", "RNN"]
