"""Conventions of whole cells by name: the data of ``conventions`` in the words of the cells.

    ntm_step(x, state, weights, **ntm_settings("pytorch_ntm"))
    dnc_step(x, state, weights, **dnc_settings("deepmind_dnc"))

What one op decides is taken from that op's Variant, so that it stands in one place only.
"""

from ..conventions import PRESETS, op_params, preset
from ..ops.activations import oneplus, softplus
from ..ops.circular_shift import circular_shift
from ..ops.cosine_addressing import cosine_addressing
from ..ops.dnc_allocation import dnc_allocation
from ..ops.dnc_linkage import dnc_linkage
from ..ops.dnc_read_weighting import dnc_read_weighting
from ..ops.dnc_usage import dnc_usage
from ..ops.interpolation import interpolation
from ..ops.memory_write import memory_write
from ..ops.scalar_shift import scalar_shift
from ..ops.sharpening import sharpening

# op -> its param -> the cell's field; every param of a variant must be here, or the cell cannot follow it
_NTM = {
    cosine_addressing: {name: name for name in ("form", "eps", "offset", "zero_gradient")},
    interpolation: {"smoothing": "smoothing"},
    circular_shift: {"layout": "layout", "boundary": "boundary"},
    scalar_shift: {"sign": "shift_sign"},
    sharpening: {"denominator_eps": "denominator_eps", "base_eps": "base_eps"},
    memory_write: {"order": "write_order"},
    softplus: {"threshold": "softplus_threshold"},
}
_DNC = {
    cosine_addressing: {name: name for name in ("form", "eps", "zero_gradient")},
    dnc_allocation: {"eps": "allocation_eps", "cumprod_gradient": "cumprod_gradient"},
    dnc_usage: {"stop_write_gradient": "stop_write_gradient"},
    dnc_linkage: {"largest": "link_rows"},
    dnc_read_weighting: {"order": "mode_order"},
    softplus: {"threshold": "softplus_threshold"},
    oneplus: {"threshold": "softplus_threshold"},
}
NTM_NAMES = tuple(name for name, chosen in PRESETS.items() if chosen.ntm is not None)
DNC_NAMES = tuple(name for name, chosen in PRESETS.items() if chosen.dnc is not None)


def ntm_settings(name):
    """Field of NTMConvention -> value, for the preset called ``name``; ValueError if it has no NTM."""
    return _settings(name, "ntm", NTM_NAMES, _NTM)


def dnc_settings(name):
    """Field of DNCConvention -> value, for the preset called ``name``; ValueError if it has no DNC."""
    return _settings(name, "dnc", DNC_NAMES, _DNC)


def _settings(name, cell, names, fields):
    chosen = getattr(preset(name), cell)
    if chosen is None:
        raise ValueError(f"the convention {name} has no {cell.upper()}; those that have: {', '.join(names)}")
    settings = {}
    for op, field_of in fields.items():
        settings |= {field_of[param]: value for param, value in op_params(name, op).items()}
    return settings | dict(chosen)
