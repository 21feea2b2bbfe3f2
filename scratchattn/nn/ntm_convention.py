"""What public implementations of the NTM do differently, as settings of one cell.

The defaults are the paper's equations with ``eps`` in the lengths of the cosine, which ``fused/ntm.py``
equals.  Names for whole sets of settings: ``named_conventions``.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401; the repositories that
``conventions/presets.py`` names.
"""

from dataclasses import dataclass

from ..refusals import check_settings, refuse_no_number
from ..similarity import FORMS

EPS = 1e-6  # in the lengths of the cosine

_WORDS = ("identity", "tanh", "sigmoid", "relu", "unit_interval")
_GATES = ("sigmoid", "hard_sigmoid")
CHOICES = {
    "key": _WORDS,
    "write_vector": _WORDS,
    "erase": _GATES,
    "gate": _GATES,
    "strength": ("softplus", "oneplus", "relu", "exp"),
    "sharpness": ("softplus", "relu"),
    "heads": ("together", "in_turn", "write_first"),
    "outputs": ("reads_and_controller", "controller"),
    "form": tuple(FORMS),
    "zero_gradient": ("formula", "zero", "nan"),
    "layout": ("minus_to_plus", "plus_to_minus", "fft"),
    "boundary": ("circular", "zero"),
    "write_order": ("erase_all_then_add", "sequential", "sum_of_erasures"),
}
_NOT_NEGATIVE = ("denominator_eps", "base_eps", "clip_heads", "clip_outputs", "smoothing")


@dataclass(frozen=True)
class NTMConvention:
    """How an NTM squashes, addresses, reads and writes.  TypeError or ValueError for other settings."""

    key: str = "identity"
    """"identity", "tanh", "sigmoid", "relu", or "unit_interval": clipped to 0..1."""
    write_vector: str = "identity"
    """The same choice."""
    erase: str = "sigmoid"
    """"sigmoid", or "hard_sigmoid": exactly 0 and exactly 1 at the ends."""
    gate: str = "sigmoid"
    strength: str = "softplus"
    """"softplus", "oneplus" (at least one), "relu" (can be zero) or "exp"."""
    sharpness: str = "softplus"
    """What is added to one: "softplus" or "relu"."""
    softplus_threshold: float | None = None
    """Above it softplus and oneplus are linear (torch: 20); see ``softplus``."""
    heads: str = "together"
    """"together": all address and read the memory that the step found, then it is written; "in_turn": read
    head, write head, read head, ..., each on what those before it left; "write_first": the write heads, then
    the read heads address and read what was written."""
    outputs: str = "reads_and_controller"
    """What the outputs are made of; with "controller" the reads of a step reach those of the next."""
    clip_heads: float = 0.0
    """What the heads are told is kept within plus and minus this before it is squashed; 0: as it is."""
    clip_outputs: float = 0.0
    """The same for the outputs."""
    form: str = "smoothed"
    """How ``eps`` enters the cosine, and what it is at zero lengths: see ``cosine_addressing``."""
    eps: float = EPS
    offset: float = 0.0
    zero_gradient: str = "formula"
    smoothing: float = 0.0
    """See ``interpolation``."""
    layout: str = "minus_to_plus"
    """Which offset each entry of the shift stands for: see ``circular_shift``."""
    boundary: str = "circular"
    denominator_eps: float = 0.0
    """See ``sharpening``."""
    base_eps: float = 0.0
    write_order: str = "erase_all_then_add"
    """Several write heads at once: see ``memory_write``."""

    def __post_init__(self):
        check_settings(self, positive=("eps",), one_of=CHOICES)
        refuse_no_number("NTMConvention: softplus_threshold", self.softplus_threshold, or_none=True)
        for name in ("offset", *_NOT_NEGATIVE):
            value = getattr(self, name)
            refuse_no_number(f"NTMConvention: {name}", value)
            if name in _NOT_NEGATIVE and value < 0:
                raise ValueError(f"NTMConvention: {name} must not be negative, got {value!r}")
        if self.smoothing >= 1:
            raise ValueError(f"NTMConvention: smoothing must be below 1, got {self.smoothing!r}")


def convention_of(settings):
    """The NTMConvention of a mapping; TypeError, with all names, for a setting that does not exist."""
    known = NTMConvention.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise TypeError(f"NTMConvention: no setting is called {name!r}; there are {', '.join(known)}")
    return NTMConvention(**settings)
