"""Indexing: entries picked by position, and the brackets of a tensor.

Forward
-------
    out = a[key]        integers, slices, ``...`` and None, as NumPy reads them

Backward
--------
No entry is picked twice, so the Jacobian is a matrix of zeros with at most one 1 in a row or column:

    g(a) = zeros, and g(out) written into them at ``key``

All of it is exact.

Conventions
-----------
Integers count from the end if negative, slices are cut to the axis, both as in Python.
``tensor[key]`` is ``index``, or ``gather`` if key is an integer array.  A boolean array is refused,
because only the data would decide the shape; arrays within a tuple are refused, because libraries
disagree on where their axes go.

Source: the Python array API standard, v2024.12, "Indexing".
"""

from itertools import product
from numbers import Integral

from ..backend import array_module
from ..op import REGISTRY, Case, Op, register
from ..tape import Tensor


class PositionError(ValueError, IndexError):
    """An integer key beyond an axis: a ValueError as everywhere here, an IndexError as Python has it."""


def index_forward(a, *, key):
    """a[key] for integers, slices, ``...`` and None, alone or in a tuple; shares memory where it can."""
    xp = array_module(a)
    entries, shape = _plan(a.shape, key)
    picked = a[entries]
    return xp.reshape(picked, shape), (a, entries, picked.shape)


def index_backward(saved, dout):
    a, entries, shape = saved
    xp = array_module(a, dout)
    da = xp.zeros_like(a)
    da[entries] = xp.reshape(dout, shape)
    return (da,)


def index_loops(a, *, key, math=None):
    key = key if type(key) is tuple else (key,)
    missing = a.ndim - sum(k is not None and k is not ... for k in key)
    expanded = []
    for k in key if ... in key else (*key, ...):
        expanded += [slice(None)] * missing if k is ... else [] if k is None else [k]
    places = [range(n)[k] for n, k in zip(a.shape, expanded)]
    return [a[i] for i in product(*[p if type(p) is range else (p,) for p in places])]


def index_shapes(a, *, key):
    """The shape of a[key]; TypeError for an entry of another kind, PositionError for one out of range."""
    return [_plan(a, key)[1]]


def _plan(shape, key):
    """``key`` as one integer or slice within bounds for each axis, and the shape of what it picks."""
    key = key if type(key) is tuple else (key,)
    for k in key:
        if not (k is None or k is ... or type(k) is slice or _is_integer(k)):
            raise TypeError(
                f"index: key must be made of integers, slices, ... and None (or be one integer array), "
                f"got {type(k).__name__}"
            )
    named = sum(k is not None and k is not ... for k in key)
    dots = sum(k is ... for k in key)
    if dots > 1 or named > len(shape):
        raise ValueError(f"index: key must name at most {len(shape)} axes of a {shape}, ... once, got {key}")
    rest, axis, entries, out = len(shape) - named, 0, [], []
    for k in key if dots else (*key, ...):
        if k is None:
            out.append(1)
            continue
        if k is ...:
            entries += [slice(None)] * rest
            out += shape[axis : axis + rest]
            axis += rest
            continue
        n, axis = shape[axis], axis + 1
        if type(k) is slice:
            places = range(n)[k]
            entries.append(_within(places))
            out.append(len(places))
        elif -n <= k < n:
            entries.append(int(k) % n)
        else:
            raise PositionError(
                f"index: key must be in {-n}..{n - 1} on axis {axis - 1} of a {shape}, got {k}"
            )
    return (*entries, ...), tuple(out)


def _within(places):
    """The slice that picks ``places``, a range, and ends within the axis, as not every library demands."""
    if not places:
        return slice(0, 0)
    step = places[1] - places[0] if len(places) > 1 else 1
    stop = places[-1] + (1 if step > 0 else -1)
    return slice(places[0], None if stop < 0 else stop, step)


def _is_integer(k):
    return isinstance(k, Integral) and type(k) is not bool


# ---- evidence ---------------------------------------------------------------


def index_cases(rng):
    a = rng.normal(size=(3, 4, 2))
    for key in (
        *(1, -3, ..., None, (), slice(1, 3), slice(None, None, -1), slice(-2, None), slice(9, 0, -2)),
        *((2, -1, 0), (..., 1), (0, ..., slice(0, 1)), (None, 1, ..., -1, None), (slice(None), None, 2)),
        slice(2, 0, -1),
        *((slice(None, None, 2), slice(3, None, -3), -1), (slice(-9, 9), slice(2, 99), ...)),
    ):
        yield Case(f"key {key}", (a,), {"key": key})
    yield Case("nothing", (a,), {"key": (0, slice(2, 1))}, zero_gradient=("a",))
    yield Case("one number", (rng.normal(size=()),), {"key": (None, ...)})


def it_is_what_numpy_picks(inputs, params, out):
    assert (out == inputs[0][params["key"]]).all()


index = register(
    Op(
        name="index",
        signature="a(...) -> out(...)",
        forward=index_forward,
        backward=index_backward,
        cases=index_cases,
        loops=index_loops,
        shape_rule=index_shapes,
        properties=(it_is_what_numpy_picks,),
        source="Python array API standard v2024.12",
    )
)


def _get(tensor, key):
    """tensor[key]."""
    if _is_integer(key) or not hasattr(key, "dtype"):
        return index(tensor, key=key)
    if str(key.dtype).endswith("bool"):
        raise TypeError("tensor[mask]: only the data would decide the shape; use where(keep, tensor, 0)")
    return REGISTRY["gather"](tensor, key)


def _length(tensor):
    if not tensor.ndim:
        raise TypeError("a tensor of no axes has no length")
    return tensor.shape[0]


def _refuse(what):
    def refuse(tensor, *_, **__):
        raise TypeError(f"a tensor has no {what}; tensor.data is its array")

    return refuse


Tensor.__getitem__ = _get
Tensor.__len__ = _length
# One node for all the rows: n times tensor[i] would make n gradients of full size.
Tensor.__iter__ = lambda self: iter(REGISTRY["unstack"](self) if _length(self) else ())
# What has a length and brackets looks like a sequence: without these, an empty tensor would be false,
# and NumPy would walk through it to make an array of objects.
Tensor.__bool__ = _refuse("truth value")
Tensor.__array__ = _refuse("place in a NumPy array")
