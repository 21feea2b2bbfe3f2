"""Gradients of parameters brought within bounds, in place.

Bounds on what flows through time, as Graves set them, are the op ``clip_cotangent``.
"""

from ..backend import array_module


def clip_by_value(gradient, limit):
    """Every entry of ``gradient``, a Params, into [-limit, limit], in place; NaN stays."""
    xp = array_module(gradient.flat)
    xp.clip(gradient.flat, -limit, limit, out=gradient.flat)


def clip_by_norm(gradient, limit):
    """``gradient``, a Params, scaled in place so that its Euclidean length is at most ``limit``."""
    xp = array_module(gradient.flat)
    largest = abs(gradient.flat).max() if gradient.flat.size else 0.0
    if not largest > 0:
        return
    scaled = gradient.flat / largest  # so that no square overflows
    length = float(largest) * float(xp.sqrt((scaled * scaled).sum()))
    if length > limit:
        gradient.flat *= limit / length
