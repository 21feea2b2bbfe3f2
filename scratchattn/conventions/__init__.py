"""Conventions: what each public implementation does in its own way, as data.

    preset("pytorch_ntm").source              where it can be read
    op_params("pytorch_ntm", op)              the params that make an op follow it
    variant_of("pytorch_ntm", op)             the same with its source, or None if it has no such op

Whole cells: ``nn.named_conventions``, and ``NTM(convention="pytorch_ntm")``.  Nothing is imported here;
an op is handed in.
"""

from .preset import Preset
from .presets import PRESETS

__all__ = ["PRESETS", "Preset", "op_params", "preset", "variant_of"]


def preset(name):
    """The Preset called ``name``; ValueError, with all names, if there is none."""
    if name not in PRESETS:
        raise ValueError(f"no convention is called {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def variant_of(name, op):
    """The Variant of ``op`` that the preset called ``name`` follows; None if the op lists none for it."""
    chosen = preset(name)
    wanted = chosen.by_op.get(op.name, chosen.variant)
    return next((variant for variant in op.variants if variant.name == wanted), None)


def op_params(name, op):
    """The params that make ``op`` follow the preset called ``name``; {}, the defaults, if it lists none."""
    variant = variant_of(name, op)
    return {} if variant is None else dict(variant.params)
