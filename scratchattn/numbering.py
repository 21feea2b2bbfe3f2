"""Axes and shapes given by number: read, refused with the op's name, and walked through.

For ops whose shapes no gufunc signature describes.
"""

from itertools import product


def whole_numbers(op, name, value):
    """An int or a list or tuple of ints as a tuple; TypeError naming ``op`` and the parameter ``name``."""
    values = (value,) if type(value) is int else value
    if type(values) not in (tuple, list) or any(type(n) is not int for n in values):
        raise TypeError(f"{op}: {name} must be an int or a tuple of ints, got {value!r}")
    return tuple(values)


def one_axis(op, axis, ndim):
    """``axis``, one of ``ndim``, counted from the front."""
    if type(axis) is not int:
        raise TypeError(f"{op}: axis must be an int, got {axis!r}")
    if not ndim:
        raise ValueError(f"{op}: a must have the axis {axis}, got shape ()")
    if not -ndim <= axis < ndim:
        raise ValueError(f"{op}: axis must be in {-ndim} to {ndim - 1}, got {axis}")
    return axis % ndim


def different_axes(op, axis, ndim):
    """The axes that ``axis`` names, counted from the front; ValueError if one is missing or named twice."""
    axes = whole_numbers(op, "axis", axis)
    ordered = tuple(k % ndim for k in axes if -ndim <= k < ndim)
    if len(set(ordered)) != len(axes):
        raise ValueError(f"{op}: axis must name different axes from {-ndim} to {ndim - 1}, got {axis!r}")
    return ordered


def positions(shape):
    """Index tuples in row-major order: the loops list their outputs so."""
    return product(*map(range, shape))
