"""Sum, mean and maximum over axes; the cumulative sum along one.

Forward
-------
    sum    s = sum_i a_i              i runs over the entries that the given axes gather
    mean   s = sum_i a_i / n          n of them
    max    s = a_j,  j the first i at which a_i is largest
    cumulative_sum    s_i = sum_{j <= i} a_j

Backward
--------
    g(a_i) = g                        sum: each entry enters once
    g(a_i) = g / n                    mean
    g(a_i) = g if i = j, else 0       max: the output is a copy of one entry
    g(a_j) = sum_{i >= j} g(s_i)      cumulative sum: a_j is in every s_i from j on,
                                      so the gradient is the cumulative sum from the other end

Accuracy
--------
``sum`` and ``mean`` are as good as the library's summation (NumPy's is pairwise along a contiguous
axis), ``max`` is exact.

Conventions
-----------
``axis`` is None for all axes, an int or a tuple of ints; negative ones count from the end, none may
be given twice, and () reduces nothing.  ``keepdims`` leaves axes of length one in their place.

Of nothing, the sum is 0; there is no mean and no maximum, so an axis of length zero is refused
there, even if no output entry would have to be made.

``max`` decides by real parts.  At a tie the first in the row-major order of ``a`` is taken, whatever
the order of ``axis``, and has all of the gradient: so does torch.max over one axis, while torch.amax
and JAX share it evenly among the winners.  NaN beats every number, so it is not lost.

Source: calculus.
"""

from itertools import pairwise, product
from math import prod

from ..backend import arange_like, array_module, real
from ..numbering import one_axis
from ..op import Case, Op, register


def sum_forward(a, *, axis=None, keepdims=False):
    """The sum of ``a``, any shape, over ``axis`` (None, int or tuple of ints); 0 for the sum of nothing.

    TypeError for an axis or keepdims of another kind, ValueError for an axis out of range or given twice.
    """
    xp = array_module(a)
    axes, kept = _reduced("sum", a.shape, axis, keepdims)
    return xp.sum(a, axis=axes, keepdims=keepdims), (a.shape, kept)


def sum_backward(saved, dout):
    shape, kept = saved
    xp = array_module(dout)
    return (xp.broadcast_to(xp.reshape(dout, kept), shape),)


def mean_forward(a, *, axis=None, keepdims=False):
    """The mean of ``a``, any shape, over ``axis`` (None, int or tuple of ints).

    Errors as for ``sum``; ValueError also for the mean of nothing.
    """
    xp = array_module(a)
    axes, kept = _reduced("mean", a.shape, axis, keepdims)
    count = prod(a.shape[i] for i in axes)
    return xp.sum(a, axis=axes, keepdims=keepdims) / count, (a.shape, kept, count)


def mean_backward(saved, dout):
    shape, kept, count = saved
    xp = array_module(dout)
    return (xp.broadcast_to(xp.reshape(dout / count, kept), shape),)


def max_forward(a, *, axis=None, keepdims=False):
    """The largest entry of ``a``, any shape, over ``axis`` (None, int or tuple of ints); the first at ties.

    Errors as for ``sum``; ValueError also for the maximum of nothing.
    """
    xp = array_module(a)
    axes, kept = _reduced("max", a.shape, axis, keepdims)
    order = (*[i for i in range(a.ndim) if i not in axes], *axes)
    moved = tuple(a.shape[i] for i in order)
    outer, count = moved[: a.ndim - len(axes)], prod(moved[a.ndim - len(axes) :])
    rows = xp.reshape(xp.permute_dims(a, order), (*outer, count))
    winner = xp.expand_dims(xp.argmax(real(rows), axis=-1), axis=-1)
    out = xp.reshape(xp.take_along_axis(rows, winner, axis=-1), kept if keepdims else outer)
    return out, (winner, count, moved, order)


def max_backward(saved, dout):
    winner, count, moved, order = saved
    xp = array_module(winner, dout)
    chosen = arange_like(winner, count) == winner
    drows = xp.where(chosen, xp.reshape(dout, winner.shape), 0)
    back = tuple(order.index(i) for i in range(len(order)))
    return (xp.permute_dims(xp.reshape(drows, moved), back),)


def cumulative_sum_forward(a, *, axis=-1):
    """Sums of ``a``, any shape, from the start of ``axis`` (an int) up to and with each entry.

    TypeError for an axis of another kind, ValueError for one out of range and for ``a`` without axes.
    """
    xp = array_module(a)
    axis = one_axis("cumulative_sum", axis, a.ndim)
    return xp.cumulative_sum(a, axis=axis), axis


def cumulative_sum_backward(saved, dout):
    xp = array_module(dout)
    return (xp.flip(xp.cumulative_sum(xp.flip(dout, axis=saved), axis=saved), axis=saved),)


def sum_loops(a, *, axis=None, keepdims=False, math=None):
    return [sum(group) for group in _groups(a, axis)]


def mean_loops(a, *, axis=None, keepdims=False, math=None):
    return [sum(group) / len(group) for group in _groups(a, axis)]


def max_loops(a, *, axis=None, keepdims=False, math=None):
    return [max(group) for group in _groups(a, axis)]


def cumulative_sum_loops(a, *, axis=-1, math=None):
    totals = {}
    for place in product(*map(range, a.shape)):
        before = list(place)
        before[axis] -= 1
        totals[place] = a[place] + totals.get(tuple(before), 0)
    return list(totals.values())


def _groups(a, axis):
    """The entries that are reduced to one, for each output entry in row-major order."""
    given = (axis,) if isinstance(axis, int) else axis
    gone = [given is None or i in given or i - len(a.shape) in given for i in range(len(a.shape))]
    groups = {place: [] for place in product(*[range(1 if g else n) for g, n in zip(gone, a.shape)])}
    for place in product(*map(range, a.shape)):
        groups[tuple(0 if g else i for g, i in zip(gone, place))].append(a[place])
    return list(groups.values())


def _reduced(op, shape, axis, keepdims):
    """The axes to reduce, ascending, and the shape with each of them at length one."""
    if type(keepdims) is not bool:
        raise TypeError(f"{op}: keepdims must be True or False, got {keepdims!r}")
    given = tuple(range(len(shape))) if axis is None else (axis,) if type(axis) is int else axis
    if type(given) is not tuple or any(type(i) is not int for i in given):
        raise TypeError(f"{op}: axis must be None, an int or a tuple of ints, got {axis!r}")
    axes = sorted(one_axis(op, i, len(shape)) for i in given)
    for i, j in pairwise(axes):
        if i == j:
            raise ValueError(f"{op}: axis {i} of a {shape} is given twice in {axis}")
    if op != "sum" and any(shape[i] == 0 for i in axes):
        raise ValueError(f"{op}: a must hold something along axis {axis}, got shape {shape}")
    return tuple(axes), tuple(1 if i in axes else n for i, n in enumerate(shape))


# ---- evidence ---------------------------------------------------------------


def _reduced_shape(op):
    def rule(shape, *, axis=None, keepdims=False):
        axes, kept = _reduced(op, shape, axis, keepdims)
        return [kept if keepdims else tuple(n for i, n in enumerate(shape) if i not in axes)]

    return rule


def _cumulative_shape(shape, *, axis=-1):
    one_axis("cumulative_sum", axis, len(shape))
    return [shape]


def _reduction_cases(rng, **margin):
    for label, shape, params in (
        ("all axes", (2, 3), {}),
        ("all axes, kept", (2, 3), {"keepdims": True}),
        ("the first of three", (2, 3, 2), {"axis": 0}),
        ("the last", (2, 3), {"axis": -1}),
        ("the middle, kept", (2, 3, 2), {"axis": 1, "keepdims": True}),
        ("two of three", (2, 3, 2), {"axis": (0, 2)}),
        ("two of three, out of order", (2, 3, 2), {"axis": (-1, 0), "keepdims": True}),
        ("of length one", (2, 1), {"axis": 1}),
        ("no axes", (2, 2), {"axis": ()}),
        ("one number", (), {}),
    ):
        apart = rng.permutation(prod(shape)) - rng.uniform(0, prod(shape))  # any two entries by 1
        yield Case(label, (apart.reshape(shape),), params, **margin)
    yield Case("nothing beside it", (rng.normal(size=(0, 3)),), {"axis": 1}, zero_gradient=("a",))


def sum_cases(rng):
    yield from _reduction_cases(rng)
    yield Case("of nothing", (rng.normal(size=(2, 0)),), {"axis": 1}, zero_gradient=("a",))
    yield Case("of nothing, all", (rng.normal(size=0),), zero_gradient=("a",))


def max_cases(rng):
    yield from _reduction_cases(rng, margin=0.5)
    a = rng.normal(size=(2, 3))
    yield Case("ties", (a * 0 + [1.0, 2.0, 2.0],), {"axis": 1}, margin=0)
    yield Case("equal on two axes", (a[:, :1, None] + a[:, 1:, None] * 0,), {"axis": (2, 1)}, margin=0)
    yield Case("near a tie", (a * 0 + [1.0, 2.0, 2.001],), {"axis": -1}, margin=5e-4)


def cumulative_sum_cases(rng):
    yield Case("the last axis", (rng.normal(size=(2, 3)),))
    yield Case("the first axis", (rng.normal(size=(3, 2)),), {"axis": 0})
    yield Case("the middle axis", (rng.normal(size=(2, 3, 2)),), {"axis": -2})
    yield Case("of length one", (rng.normal(size=(2, 1)),))
    yield Case("of length zero", (rng.normal(size=(2, 0)),), zero_gradient=("a",))


def the_sum_of_sums_is_the_sum_of_all(inputs, params, out):
    assert abs(sum_forward(out)[0] - sum_forward(inputs[0])[0]) <= 1e-14 * abs(inputs[0]).sum()


def deviations_from_the_mean_add_up_to_nothing(inputs, params, out):
    (a,), axis = inputs, params.get("axis")
    mean, _ = mean_forward(a, axis=axis, keepdims=True)
    left, _ = sum_forward(a - mean, axis=axis)
    assert (abs(left) <= 1e-14 * abs(a).sum()).all()


def nothing_is_larger(inputs, params, out):
    (a,), axis = inputs, params.get("axis")
    largest, _ = max_forward(a, axis=axis, keepdims=True)
    assert (a <= largest).all()
    assert (sum_forward((a == largest) + 0.0, axis=axis)[0] >= 1).all()


def the_first_winner_takes_all(inputs, params, out):
    """First in row-major order, among the many that tie when all but two values are gone."""
    (a,) = inputs
    two_values, places = (a > a.sum() / max(1, a.size)) + 0.0, (a * 0 + 1).cumsum().reshape(a.shape)
    expected = a.ravel() * 0
    for group in _groups(places, params.get("axis")):
        winner = max(group, key=lambda place: (two_values.flat[int(place) - 1], -place))
        expected[int(winner) - 1] = 1
    _, saved = max_forward(two_values, **params)
    assert (max_backward(saved, out * 0 + 1)[0].ravel() == expected).all()


def a_nan_is_the_maximum(inputs, params, out):
    a = inputs[0].copy()
    if a.size:
        a[(-1,) * a.ndim] = float("nan")
        value, _ = max_forward(a, **params)
        assert (value != value).sum() == 1


def differences_undo_it(inputs, params, out):
    a, s = (x.swapaxes(params.get("axis", -1), 0) for x in (inputs[0], out))
    assert (s[:1] == a[:1]).all() and (abs(s[1:] - s[:-1] - a[1:]) <= 1e-14 * abs(a).sum()).all()


def _kept(forward):
    def keeping_axes_only_reshapes(inputs, params, out):
        a, axis = inputs[0], params.get("axis")
        kept, gone = (forward(a, axis=axis, keepdims=keepdims)[0] for keepdims in (True, False))
        assert kept.ndim == a.ndim and (kept.reshape(gone.shape) == gone).all()

    return keeping_axes_only_reshapes


def _op(name, cases, *properties, shape_rule=None):
    forward, backward, loops = (globals()[f"{name}_{part}"] for part in ("forward", "backward", "loops"))
    rest = {"shape_rule": shape_rule or _reduced_shape(name), "properties": properties, "source": "calculus"}
    return register(Op(name, "a(...) -> out(...)", forward, backward, cases, loops, **rest))


# No names of this module: ``sum`` and ``max`` stay Python's here, and are ops in the package.
_op("sum", sum_cases, the_sum_of_sums_is_the_sum_of_all, _kept(sum_forward))
_op("mean", _reduction_cases, deviations_from_the_mean_add_up_to_nothing, _kept(mean_forward))
_op("max", max_cases, nothing_is_larger, the_first_winner_takes_all, a_nan_is_the_maximum, _kept(max_forward))
_op("cumulative_sum", cumulative_sum_cases, differences_undo_it, shape_rule=_cumulative_shape)
