"""Models: a frozen dataclass of settings each.

``init(rng) -> Params``, ``initial_state(params, batch)``, ``step(params, state, x)`` and
``sequence(params, state, xs, lengths)``; params may be the arrays themselves (nothing is recorded)
or ``Params.tensors()``.
"""

from .dnc import DNC
from .ntm import NTM
from .rnn import RNN

MODELS = {"dnc": DNC, "ntm": NTM, "rnn": RNN}
__all__ = ["DNC", "MODELS", "NTM", "RNN"]
