"""What public implementations of the DNC do differently, as settings of one cell.

The defaults are the paper's, with ``eps`` in the lengths of the cosine as everywhere here.

Source: Graves et al., Nature 538 (2016) 471; google-deepmind/dnc; ixaxaar/pytorch-dnc; masks,
de-allocation and sharpened links: Csordas, Schmidhuber, "Improving differentiable neural computers
through memory masking, de-allocation, and link distribution sharpness control", arXiv:1904.10278; the
repositories that ``conventions/presets.py`` names.
"""

from dataclasses import dataclass

from ..ops.dnc_read_weighting import ORDERS
from ..refusals import check_settings, refuse_no_number, refuse_unknown
from ..similarity import FORMS

PARTS = (
    *("read_keys", "read_strengths", "write_keys", "write_strengths", "erase", "write_vectors"),
    *("free_gates", "allocation_gates", "write_gates", "read_modes", "write_masks", "read_masks"),
    *("forward_sharpness", "backward_sharpness"),
)
"""The parts of the interface, in the paper's order and after them what Csordas adds."""

CHOICES = {
    "strength": ("oneplus", "softplus"),
    "keys": ("identity", "tanh"),
    "mode_order": tuple(ORDERS),
    "simulated_gate": ("both", "write"),
    "form": tuple(FORMS),
    "zero_gradient": ("formula", "zero", "nan"),
    "cumprod_gradient": ("exact", "divide"),
    "controller_reads": ("last", "first"),
    "shown_layers": ("all", "top"),
}
_FLAGS = (
    *("masked", "mask_keys", "deallocate", "sharpen_links", "stop_write_gradient", "input_skips"),
    "keep_simulated_usage",
)
_BELOW_ONE = ("mask_min", "allocation_eps")
_CLIPS = ("clip_controller", "clip_state", "clip_interface", "clip_outputs")


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
    link_eps: float = 1e-6
    """Added to a weighting along the links before it is sharpened; a positive number."""
    link_rows: int = 0
    """K of the paper's sparse linkage, see ``dnc_linkage``; 0: the dense one."""
    strength: str = "oneplus"
    """"oneplus", or "softplus" (DeepMind's own code, ixaxaar)."""
    softplus_threshold: float | None = None
    """Above it softplus and oneplus are linear (torch: 20); see ``softplus``."""
    keys: str = "identity"
    """Keys and write vectors: "identity", or "tanh" (ixaxaar)."""
    interface_order: tuple[str, ...] = PARTS
    """How the parts of the interface stand side by side; those that a cell has not are passed over."""
    heads_fastest: tuple[str, ...] = ()
    """Parts of the interface in which the index of the head runs fastest, and not slowest; "reads": so it
    does in the reads, where the controller sees them and where they reach the outputs."""
    mode_order: str = "backward_content_forward"
    """Which read modes stand first: see ``dnc_read_weighting``."""
    form: str = "smoothed"
    """How ``eps`` enters the cosine, and what its gradient is at zero lengths: see ``cosine_addressing``."""
    eps: float = 1e-6
    zero_gradient: str = "formula"
    allocation_eps: float = 0.0
    """See ``dnc_allocation``."""
    cumprod_gradient: str = "exact"
    stop_write_gradient: bool = False
    """No gradient from usage to write weightings: see ``dnc_usage``."""
    simulated_gate: str = "both"
    """What a write head is about to use up for the heads after it: its allocation times "both" gates
    (DeepMind), or times its "write" gate alone (jingweiz, ADNC)."""
    keep_simulated_usage: bool = False
    """The next step starts from the usage with what all write heads were about to use up (jingweiz)."""
    controller_reads: str = "last"
    """Which reads the controller sees: the "last" step's; or, at every step, the "first", those that the
    sequence started with, which the state then keeps (ixaxaar: an error, found there since 2017)."""
    input_skips: bool = True
    """Every layer of the controller sees chi, and not the lowest alone."""
    shown_layers: str = "all"
    """Which layers of the controller emit interface and outputs: "all", or the "top" one."""
    clip_controller: float = 0.0
    """What the controller shows is kept within plus and minus this; 0: as it is."""
    clip_state: float = 0.0
    """The same for what the controller hands to its next step."""
    clip_interface: float = 0.0
    """The same for the interface, before it is squashed."""
    clip_outputs: float = 0.0
    """The same for the outputs."""

    def __post_init__(self):
        check_settings(
            self, at_least={"link_rows": 0}, positive=("eps", "link_eps"),
            not_negative=(*_BELOW_ONE, *_CLIPS), one_of=CHOICES, flags=_FLAGS,
        )  # fmt: skip
        refuse_no_number("DNCConvention: softplus_threshold", self.softplus_threshold, or_none=True)
        for name in _BELOW_ONE:
            if (value := getattr(self, name)) >= 1:
                raise ValueError(f"DNCConvention: {name} must be at least 0 and below 1, got {value!r}")
        if type(self.interface_order) is not tuple or sorted(self.interface_order) != sorted(PARTS):
            raise ValueError(
                f"DNCConvention: interface_order must be a tuple that holds each of {PARTS} once, "
                f"got {self.interface_order!r}"
            )
        if type(self.heads_fastest) is not tuple or not set(self.heads_fastest) <= {*PARTS, "reads"}:
            raise ValueError(
                f"DNCConvention: heads_fastest must be a tuple of some of {(*PARTS, 'reads')}, "
                f"got {self.heads_fastest!r}"
            )


def convention_of(settings):
    """The DNCConvention of a mapping; TypeError, with all names, for a setting that does not exist."""
    refuse_unknown(DNCConvention, settings)
    return DNCConvention(**settings)
