"""Layers and cells, one file each: their parameters, and the composition of ops that the papers tell.

Functions of arrays or tensors.  They run on the tape as they stand; what ``fused/`` lays out for speed must
equal them.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
