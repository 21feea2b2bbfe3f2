"""What public implementations of the NTM do differently, as settings of one cell.

The defaults are the paper's equations with ``eps`` in the lengths of the cosine, which ``fused/ntm.py``
equals.  Names for whole sets of settings: ``named_conventions``.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401; the repositories that
``conventions/presets.py`` names.
"""

from dataclasses import dataclass

from ..refusals import check_settings, refuse_no_number, refuse_unknown
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
    "activation": ("tanh", "sigmoid", "relu"),
    "heads": ("together", "read_last", "write_first", "in_turn"),
    "roles": ("separate", "both"),
    "previous": ("own", "write_head"),
    "outputs": ("reads_and_controller", "controller"),
    "form": tuple(FORMS),
    "zero_gradient": ("formula", "zero", "nan"),
    "shift": ("softmax", "number", "bounded_number"),
    "shift_sign": (1, -1),
    "layout": ("minus_to_plus", "plus_to_minus", "fft"),
    "boundary": ("circular", "zero"),
    "write_order": ("erase_all_then_add", "sequential", "sum_of_erasures"),
}
_NOT_NEGATIVE = ("denominator_eps", "base_eps", "gradient_floor", "clip_heads", "clip_outputs", "smoothing")


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
    activation: str = "tanh"
    """Of a controller without a state: "tanh", "sigmoid" or "relu"."""
    heads: str = "together"
    """"together": all address and read the memory that the step found, then it is written; "read_last": all
    address the memory that the step found, it is written, and what was written is read, as if the next step
    began by reading where this one looked; "write_first": the write heads, then the read heads address and
    read what was written; "in_turn": one head after the other, each on what those before it left."""
    turns: str = ""
    """With heads "in_turn", who comes when: "rrw" is two read heads and a write head; empty: read head, write
    head, read head, ... and, when one kind has no more heads, the other."""
    roles: str = "separate"
    """"both": every head reads and writes by one weighting, so there are as many read as write heads and half
    as many weightings; for heads "together" and "read_last"."""
    previous: str = "own"
    """What a read head moves on from: where it was itself, or where the write head of its number was,
    "write_head"."""
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
    shift: str = "softmax"
    """A distribution over offsets; or one number of rows, see ``scalar_shift``: as emitted, "number", or
    through 2 sigmoid(.) - 1, "bounded_number"."""
    shift_sign: int = 1
    """With a number, -1 moves the focus to row i - shift."""
    layout: str = "minus_to_plus"
    """Which offset each entry of the shift stands for: see ``circular_shift``."""
    boundary: str = "circular"
    denominator_eps: float = 0.0
    """See ``sharpening``."""
    base_eps: float = 0.0
    gradient_floor: float = 0.0
    """A weight below it gets no gradient from the sharpening."""
    write_order: str = "erase_all_then_add"
    """Several write heads at once: see ``memory_write``."""

    def __post_init__(self):
        check_settings(self, positive=("eps",), not_negative=_NOT_NEGATIVE, one_of=CHOICES)
        refuse_no_number("NTMConvention: softplus_threshold", self.softplus_threshold, or_none=True)
        refuse_no_number("NTMConvention: offset", self.offset)
        if self.smoothing >= 1:
            raise ValueError(f"NTMConvention: smoothing must be below 1, got {self.smoothing!r}")
        if not isinstance(self.turns, str) or set(self.turns) - {"r", "w"}:
            raise ValueError(f"NTMConvention: turns must be a string of r and w, got {self.turns!r}")
        if self.turns and self.heads != "in_turn":
            raise ValueError(f"NTMConvention: turns are for heads='in_turn', got heads={self.heads!r}")
        if self.roles == "both" and self.heads not in ("together", "read_last"):
            raise ValueError(
                "NTMConvention: roles='both' is for heads='together' and 'read_last', "
                f"got heads={self.heads!r}"
            )

    def check_heads(self, read_heads, write_heads):
        """ValueError unless there can be so many read and write heads."""
        counts = f"got {read_heads} and {write_heads}"
        if self.roles == "both" and read_heads != write_heads:
            raise ValueError(f"NTM: roles='both' takes as many read heads as write heads, {counts}")
        if self.previous == "write_head" and read_heads > write_heads:
            raise ValueError(f"NTM: previous='write_head' takes a write head for each read head, {counts}")
        if self.turns and (self.turns.count("r"), self.turns.count("w")) != (read_heads, write_heads):
            raise ValueError(f"NTM: turns={self.turns!r} has other read and write heads, {counts}")


def convention_of(settings):
    """The NTMConvention of a mapping; TypeError, with all names, for a setting that does not exist."""
    refuse_unknown(NTMConvention, settings)
    return NTMConvention(**settings)
