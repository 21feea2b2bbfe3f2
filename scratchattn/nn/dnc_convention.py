"""What public implementations of the DNC do differently, as settings of one cell.

The defaults are the paper's, with ``eps`` in the lengths of the cosine as everywhere here.

Source: Graves et al., Nature 538 (2016) 471; google-deepmind/dnc; ixaxaar/pytorch-dnc; masks,
de-allocation and sharpened links: Csordas, Schmidhuber, "Improving differentiable neural computers
through memory masking, de-allocation, and link distribution sharpness control", arXiv:1904.10278.
"""

from dataclasses import dataclass

from ..ops.dnc_read_weighting import ORDERS
from ..refusals import check_settings, refuse_no_number
from ..similarity import FORMS

CHOICES = {
    "strength": ("oneplus", "softplus"),
    "keys": ("identity", "tanh"),
    "mode_order": tuple(ORDERS),
    "simulated_gate": ("both", "write"),
    "form": tuple(FORMS),
}
_FLAGS = ("masked", "mask_keys", "deallocate", "sharpen_links", "stop_write_gradient")


@dataclass(frozen=True)
class DNCConvention:
    """How a DNC squashes, looks up, allocates and reads.  TypeError or ValueError for other settings."""

    masked: bool = False
    """Every head emits a mask over the columns of the memory, and compares its key under it."""
    mask_keys: bool = True
    """The mask lies on the key too, and not on the memory alone."""
    mask_min: float = 0.0
    """The least of a mask."""
    deallocate: bool = False
    """What is freed is erased: the memory is multiplied by the retention before it is written."""
    sharpen_links: bool = False
    """Every read head emits how sharp the weightings along the links become; each then sums to one."""
    strength: str = "oneplus"
    """"oneplus", or "softplus" (DeepMind's own code, ixaxaar)."""
    keys: str = "identity"
    """Keys and write vectors: "identity", or "tanh" (ixaxaar)."""
    mode_order: str = "backward_content_forward"
    """Which read modes stand first: see ``dnc_read_weighting``."""
    form: str = "smoothed"
    """How ``eps`` enters the cosine: see ``cosine_addressing``."""
    eps: float = 1e-6
    allocation_eps: float = 0.0
    """See ``dnc_allocation``."""
    stop_write_gradient: bool = False
    """No gradient from usage to write weightings: see ``dnc_usage``."""
    simulated_gate: str = "both"
    """What a write head is about to use up for the heads after it: its allocation times "both" gates
    (DeepMind), or times its "write" gate alone (jingweiz, ADNC)."""

    def __post_init__(self):
        check_settings(self, positive=("eps",), one_of=CHOICES, flags=_FLAGS)
        for name in ("mask_min", "allocation_eps"):
            value = getattr(self, name)
            refuse_no_number(f"DNCConvention: {name}", value)
            if not 0 <= value < 1:
                raise ValueError(f"DNCConvention: {name} must be at least 0 and below 1, got {value!r}")


def convention_of(settings):
    """The DNCConvention of a mapping; TypeError, with all names, for a setting that does not exist."""
    known = DNCConvention.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise TypeError(f"DNCConvention: no setting is called {name!r}; there are {', '.join(known)}")
    return DNCConvention(**settings)
