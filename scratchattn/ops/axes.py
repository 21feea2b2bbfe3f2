"""Axes: permuted, added, dropped, stretched.

Like ``shaping``, these ops move numbers and compute none; only stretching repeats them, and its
backward sums over the copies.

Forward
-------
    transpose      out[j_0, j_1, ...] = a[i] with i_(axes_k) = j_k; all axes reversed if ``axes`` is None
    expand_dims    a with an axis of size one at each ``axis`` of the output
    squeeze        a without each ``axis``, of size one
    broadcast_to   out[j] = a[i], i_k = j_k where a has that size and 0 where it has size one

Backward
--------
    transpose      g(a) = g, transposed by the inverse permutation
    expand_dims    g(a) = g, reshaped to the shape of a; the same for squeeze
    broadcast_to   g(a)[i] = the sum of g[j] over the j that read a[i]

Accuracy
--------
Exact but for the sum of broadcast_to.

Conventions
-----------
``transpose`` without axes reverses them all, as numpy.transpose does; the standard's
matrix_transpose exchanges the last two.  ``squeeze`` is told which axes, so that a batch of one
keeps its batch axis.  Outputs share memory with inputs where the library can: read them only.

Source: the Python array API standard, v2024.12, "Manipulation functions".
"""

from math import prod

from ..backend import array_module, sum_to_shape
from ..numbering import different_axes, positions, whole_numbers
from ..op import Case, Op, register


def transpose_forward(a, *, axes=None):
    """a with its axes permuted: axis k of the output is axis ``axes[k]`` of a."""
    xp = array_module(a)
    order = _order(a.ndim, axes)
    return xp.permute_dims(a, order), order


def transpose_backward(order, dout):
    xp = array_module(dout)
    return (xp.permute_dims(dout, tuple(order.index(k) for k in range(len(order)))),)


def transpose_loops(a, *, axes=None, math=None):
    axes = range(a.ndim)[::-1] if axes is None else axes
    out = []
    for j in positions([a.shape[k] for k in axes]):
        i = [0] * a.ndim
        for place, k in enumerate(axes):
            i[k] = j[place]
        out.append(a[tuple(i)])
    return out


def transpose_shapes(a, *, axes=None):
    """The shape of the output."""
    return [tuple(a[k] for k in _order(len(a), axes))]


def _order(ndim, axes):
    order = tuple(range(ndim))[::-1] if axes is None else whole_numbers("transpose", "axes", axes)
    order = tuple(k % ndim if -ndim <= k < ndim else None for k in order)
    if len(order) != ndim or set(order) != set(range(ndim)):
        raise ValueError(f"transpose: axes must name each of {ndim} axes once, got {axes!r}")
    return order


def expand_dims_forward(a, *, axis):
    """a with a new axis of size one at ``axis``, one integer or several, counted in the output."""
    xp = array_module(a)
    return xp.reshape(a, expand_dims_shapes(a.shape, axis=axis)[0]), a.shape


def expand_dims_backward(saved, dout):
    xp = array_module(dout)
    return (xp.reshape(dout, saved),)


def expand_dims_loops(a, *, axis, math=None):
    return [a[i] for i in positions(a.shape)]


def expand_dims_shapes(a, *, axis):
    """The shape of the output."""
    ndim = len(a) + len(whole_numbers("expand_dims", "axis", axis))
    axes, kept = different_axes("expand_dims", axis, ndim), iter(a)
    return [tuple(1 if k in axes else next(kept) for k in range(ndim))]


def squeeze_forward(a, *, axis):
    """a without ``axis``, one integer or several; ValueError if its size is not one."""
    xp = array_module(a)
    return xp.reshape(a, squeeze_shapes(a.shape, axis=axis)[0]), a.shape


def squeeze_backward(saved, dout):
    xp = array_module(dout)
    return (xp.reshape(dout, saved),)


def squeeze_loops(a, *, axis, math=None):
    return [a[i] for i in positions(a.shape)]


def squeeze_shapes(a, *, axis):
    """The shape of the output; ValueError if a size is not one."""
    axes = different_axes("squeeze", axis, len(a))
    for k in axes:
        if a[k] != 1:
            raise ValueError(f"squeeze: axis {k} must be of size 1, got {a[k]} in a {a}")
    return [tuple(n for k, n in enumerate(a) if k not in axes)]


def broadcast_to_forward(a, *, shape):
    """a repeated to ``shape`` as operators would do it, without a copy where the library can."""
    xp = array_module(a)
    return xp.broadcast_to(a, broadcast_to_shapes(a.shape, shape=shape)[0]), a.shape


def broadcast_to_backward(saved, dout):
    return (sum_to_shape(dout, saved),)


def broadcast_to_loops(a, *, shape, math=None):
    out = []
    for j in positions([shape] if type(shape) is int else shape):
        own = j[len(j) - a.ndim :]
        out.append(a[tuple(0 if n == 1 else k for k, n in zip(own, a.shape))])
    return out


def broadcast_to_shapes(a, *, shape):
    """``shape``; ValueError if a does not broadcast to it."""
    shape = whole_numbers("broadcast_to", "shape", shape)
    added = len(shape) - len(a)
    if added < 0 or any(n not in (1, m) for n, m in zip(a, shape[added:])):
        raise ValueError(f"broadcast_to: shape must be one that a {a} broadcasts to, got {shape}")
    return [shape]


# ---- evidence ---------------------------------------------------------------


def transpose_cases(rng):
    a = rng.normal(size=(2, 3, 4))
    yield Case("reversed", (a,))
    yield Case("a cycle", (a,), {"axes": (1, 2, 0)})
    yield Case("the other cycle", (a,), {"axes": (2, 0, 1)})
    yield Case("two exchanged, by negatives", (a,), {"axes": (-3, -1, -2)})
    yield Case("one number", (rng.normal(size=()),))
    yield Case("empty", (a[:, :0],), {"axes": [1, 0, 2]}, zero_gradient=("a",))


def expand_dims_cases(rng):
    a = rng.normal(size=(2, 3))
    for axis in (0, 1, -1, -3, (0, 2), (-1, 1, 0)):
        yield Case(f"axis {axis}", (a,), {"axis": axis})
    yield Case("one number", (rng.normal(size=()),), {"axis": 0})


def squeeze_cases(rng):
    a = rng.normal(size=(1, 2, 1, 3, 1))
    for axis in (0, 2, -1, -3, (0, -1), (4, 2, 0), ()):
        yield Case(f"axis {axis}", (a,), {"axis": axis})
    yield Case("to one number", (rng.normal(size=(1,)),), {"axis": 0})


def broadcast_to_cases(rng):
    yield Case("rows", (rng.normal(size=(3,)),), {"shape": (2, 3)})
    yield Case("columns", (rng.normal(size=(2, 1)),), {"shape": (2, 3)})
    yield Case("in the middle and before", (rng.normal(size=(2, 1, 2)),), {"shape": (2, 2, 3, 2)})
    yield Case("one number", (rng.normal(size=()),), {"shape": (2, 2)})
    yield Case("as it is", (rng.normal(size=(2, 1)),), {"shape": [2, 1]})
    yield Case("to nothing", (rng.normal(size=(2, 1)),), {"shape": (2, 0)}, zero_gradient=("a",))


def entries_move_and_none_is_lost(inputs, params, out):
    assert sorted(out.ravel()) == sorted(inputs[0].ravel())


def axes_are_where_the_permutation_says(inputs, params, out):
    axes = params.get("axes") or range(out.ndim)[::-1]
    assert out.shape == tuple(inputs[0].shape[k] for k in axes)


def only_axes_of_one_come_and_go(inputs, params, out):
    assert [n for n in out.shape if n != 1] == [n for n in inputs[0].shape if n != 1]
    assert (out.ravel() == inputs[0].ravel()).all()


def every_copy_is_the_entry(inputs, params, out):
    assert (out == inputs[0]).all()


def the_gradient_counts_the_copies(inputs, params, out):
    (a,) = inputs
    (da,) = broadcast_to_backward(a.shape, out * 0 + 1)
    assert (da == prod(out.shape) / prod(a.shape)).all()


def _op(name, *properties):
    forward, backward, cases, loops, shapes = (
        globals()[f"{name}_{part}"] for part in ("forward", "backward", "cases", "loops", "shapes")
    )
    source = "Python array API standard v2024.12"
    facts = {"shape_rule": shapes, "properties": properties, "source": source}
    return register(Op(name, "a(...) -> out(...)", forward, backward, cases, loops, **facts))


transpose = _op("transpose", entries_move_and_none_is_lost, axes_are_where_the_permutation_says)
expand_dims = _op("expand_dims", only_axes_of_one_come_and_go)
squeeze = _op("squeeze", only_axes_of_one_come_and_go)
broadcast_to = _op("broadcast_to", every_copy_is_the_entry, the_gradient_counts_the_copies)
