"""What a preset is: everything that one paper or one public implementation does in its own way."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Preset:
    """A convention under a name.  It is data: ops and cells say what its words mean.

    What one op does stands with that op, as a Variant; a preset only says which name to look for.  What
    no single op decides (wiring, squashing, where a sequence starts) stands here, in the words of
    ``nn/ntm_convention.py``, ``models/ntm_start.py``, ``nn/dnc_convention.py`` and ``models/dnc_start.py``;
    what is not said is as in the cell's own defaults.
    """

    name: str
    source: str
    """The repository, "owner/name"; or the paper."""
    files: tuple[str, ...] = ()
    """Where in the repository it can be read."""
    commit: str = ""
    """The commit that was read; of a library, the version."""
    variant: str | None = None
    """The name of the op variants that belong to it; None: every op's default."""
    by_op: Mapping[str, str] = field(default_factory=dict)
    """op -> variant, where it has another name there."""
    ntm: Mapping[str, object] | None = None
    """Fields of NTMConvention that no op variant gives; None: it has no NTM that these switches express."""
    ntm_start: Mapping[str, str] = field(default_factory=dict)
    """Fields of NTMStart."""
    dnc: Mapping[str, object] | None = None
    """Fields of DNCConvention that no op variant gives; None: no DNC."""
    dnc_start: Mapping[str, object] = field(default_factory=dict)
    """Fields of DNCStart."""
    not_covered: tuple[str, ...] = ()
    """What it does that no switch here does, one clause each."""
