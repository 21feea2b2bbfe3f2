"""Shaping: the same numbers in another shape, several arrays made one, one array made several.

Every op here moves numbers and computes none, so each Jacobian is a matrix of zeros and ones with
one 1 to a row: the backward moves the cotangents the way back.  All of it is exact.

Forward
-------
    reshape     entries in row-major order, into ``shape``; one of its numbers may be -1, the rest
    concat      arrays one after another along ``axis``, which exists
    stack       arrays one after another along ``axis``, which is new
    split       the parts of concat: ``sections`` equal ones, or of the sizes that ``sections`` lists
    unstack     the arrays of stack

Backward
--------
    reshape     g(a) = g, reshaped to the shape of a
    concat      split of g into the sizes that came
    stack       unstack of g
    split       concat of the cotangents
    unstack     stack of the cotangents

Conventions
-----------
``split`` lists sizes, as torch.split does, of which one may be -1, the rest; numpy.split lists where
to cut.  Outputs share memory with inputs where the library can: read them only.

Source: the Python array API standard, v2024.12, "Manipulation functions".
"""

from math import prod

from ..backend import array_module
from ..numbering import one_axis, positions
from ..op import Case, Op, register


def reshape_forward(a, *, shape):
    """a in another ``shape``, a tuple of integers; ValueError if the number of entries differs."""
    xp = array_module(a)
    return xp.reshape(a, reshape_shapes(a.shape, shape=shape)[0]), a.shape


def reshape_backward(saved, dout):
    xp = array_module(dout)
    return (xp.reshape(dout, saved),)


def reshape_loops(a, *, shape, math=None):
    return [a[i] for i in positions(a.shape)]


def reshape_shapes(a, *, shape):
    """The shape of the output, -1 replaced; ValueError if it does not hold the entries of ``a``."""
    shape = (shape,) if type(shape) is int else shape
    if type(shape) not in (tuple, list) or any(type(n) is not int for n in shape):
        raise TypeError(f"reshape: shape must be a tuple of ints, got {shape!r}")
    if any(n < -1 for n in shape) or tuple(shape).count(-1) > 1:
        raise ValueError(f"reshape: shape must hold sizes and at most one -1, got {shape!r}")
    known = prod(n for n in shape if n != -1)
    if (-1 in shape and (known == 0 or prod(a) % known)) or (-1 not in shape and known != prod(a)):
        raise ValueError(f"reshape: shape must hold the {prod(a)} entries of a {a}, got {tuple(shape)}")
    return [tuple(prod(a) // known if n == -1 else n for n in shape)]


def concat_forward(*arrays, axis=0):
    """Arrays one after another along ``axis``; the other axes agree."""
    xp = array_module(*arrays)
    concat_shapes(*[a.shape for a in arrays], axis=axis)
    axis = axis % arrays[0].ndim
    return xp.concat(arrays, axis=axis), ([a.shape[axis] for a in arrays], axis)


def concat_backward(saved, dout):
    sizes, axis = saved
    return _cut(dout, sizes, axis)


def concat_loops(*arrays, axis=0, math=None):
    return _one_after_another(arrays, axis % arrays[0].ndim)


def concat_shapes(*shapes, axis=0):
    """The shape of the output; ValueError if another axis than ``axis`` differs."""
    axis = one_axis("concat", axis, len(shapes[0]))
    before, after = shapes[0][:axis], shapes[0][axis + 1 :]
    for i, shape in enumerate(shapes):
        if shape != (*before, *shape[axis : axis + 1], *after) or len(shape) != len(shapes[0]):
            raise ValueError(f"concat: arrays[{i}] must be {(*before, '*', *after)}, got {shape}")
    return [(*before, sum(shape[axis] for shape in shapes), *after)]


def stack_forward(*arrays, axis=0):
    """Arrays of one shape along a new ``axis``."""
    xp = array_module(*arrays)
    stack_shapes(*[a.shape for a in arrays], axis=axis)
    return xp.stack(arrays, axis=axis), axis % (arrays[0].ndim + 1)


def stack_backward(axis, dout):
    return _layers(dout, axis)


def stack_loops(*arrays, axis=0, math=None):
    return _one_after_another(arrays, axis % (arrays[0].ndim + 1))


def stack_shapes(*shapes, axis=0):
    """The shape of the output; ValueError if the shapes differ."""
    axis = one_axis("stack", axis, len(shapes[0]) + 1)
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(f"stack: arrays[{i}] must be {shapes[0]} like arrays[0], got {shape}")
    return [(*shapes[0][:axis], len(shapes), *shapes[0][axis:])]


def split_forward(a, *, sections, axis=0):
    """Parts of a along ``axis``: ``sections`` equal ones, or one for each size in ``sections``."""
    axis = one_axis("split", axis, a.ndim)
    sizes = _sizes(a.shape, sections, axis)
    return _cut(a, sizes, axis), axis


def split_backward(axis, dparts):
    xp = array_module(*dparts)
    return (xp.concat(dparts, axis=axis),)


def split_loops(a, *, sections, axis=0, math=None):
    axis, total = axis % a.ndim, a.shape[axis]
    if type(sections) is int:
        sections = [total // sections] * sections
    parts, start = [], 0
    for size in sections:
        stop = start + (size if size >= 0 else total - sum(n for n in sections if n >= 0))
        parts.append([a[i] for i in positions(a.shape) if start <= i[axis] < stop])
        start = stop
    return tuple(parts)


def split_shapes(a, *, sections, axis=0):
    """The shape of each part; ValueError if the parts are not the whole."""
    axis = one_axis("split", axis, len(a))
    return [(*a[:axis], n, *a[axis + 1 :]) for n in _sizes(a, sections, axis)]


def _sizes(shape, sections, axis):
    n = shape[axis]
    if type(sections) is int:
        if sections < 1 or n % sections:
            raise ValueError(f"split: sections must divide axis {axis} of a {shape}, got {sections}")
        return [n // sections] * sections
    if type(sections) not in (tuple, list) or any(type(m) is not int for m in sections):
        raise TypeError(f"split: sections must be an int or a tuple of ints, got {sections!r}")
    sizes = [n - 1 - sum(sections) if m == -1 else m for m in sections]
    if not sizes or min(sizes) < 0 or sum(sizes) != n:
        wanted = f"sizes, one of which may be -1, that sum to axis {axis} of a {shape}"
        raise ValueError(f"split: sections must be {wanted}, got {sections!r}")
    return sizes


def unstack_forward(a, *, axis=0):
    """The arrays that lie along ``axis``, which is gone from them."""
    axis = one_axis("unstack", axis, a.ndim)
    return _layers(a, axis), axis


def unstack_backward(axis, dparts):
    xp = array_module(*dparts)
    return (xp.stack(dparts, axis=axis),)


def unstack_loops(a, *, axis=0, math=None):
    axis = axis % a.ndim
    return tuple([a[i] for i in positions(a.shape) if i[axis] == k] for k in range(a.shape[axis]))


def unstack_shapes(a, *, axis=0):
    """The shape of each output."""
    axis = one_axis("unstack", axis, len(a))
    return [a[:axis] + a[axis + 1 :]] * a[axis]


def _cut(a, sizes, axis):
    """Consecutive parts of ``a``; an empty one starts at 0, since not every library cuts at the end."""
    parts, start, before = [], 0, (slice(None),) * axis
    for n in sizes:
        parts.append(a[(*before, slice(start, start + n) if n else slice(0, 0), ...)])
        start += n
    return tuple(parts)


def _layers(a, axis):
    return tuple(a[((slice(None),) * axis + (k, ...))] for k in range(a.shape[axis]))


def _one_after_another(arrays, axis):
    out = []
    for before in positions(arrays[0].shape[:axis]):
        for a in arrays:
            out += [a[before + after] for after in positions(a.shape[axis:])]
    return out


# ---- evidence ---------------------------------------------------------------


def reshape_cases(rng):
    a = rng.normal(size=(2, 3, 2))
    yield Case("more axes to fewer", (a,), {"shape": (4, 3)})
    yield Case("the rest", (a,), {"shape": [3, -1, 2]})
    yield Case("one number", (a,), {"shape": -1})
    yield Case("no axes to three", (rng.normal(size=()),), {"shape": (1, 1, 1)})
    yield Case("empty", (rng.normal(size=(0, 3)),), {"shape": (2, 0, 5)}, zero_gradient=("a",))


def concat_cases(rng):
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(1, 3))
    yield Case("two", (a, b))
    yield Case("one alone", (a,), {"axis": 1})
    yield Case("an axis in the middle", (rng.normal(size=(2, 1, 4)), rng.normal(size=(2, 2, 4))), {"axis": 1})
    yield Case("last axis of three", (a, a + 1, rng.normal(size=(2, 1))), {"axis": -1})
    yield Case("an empty one", (a, rng.normal(size=(0, 3)), b), zero_gradient=("arrays[1]",))


def stack_cases(rng):
    a, b, c = rng.normal(size=(3, 2, 3))
    for axis in (0, 1, 2, -1, -3):
        yield Case(f"axis {axis}", (a, b, c), {"axis": axis})
    yield Case("one alone", (a,))
    yield Case("numbers", tuple(rng.normal(size=(2,))))
    yield Case("empty ones", (a[:0], b[:0]), zero_gradient=("arrays[0]", "arrays[1]"))


def split_cases(rng):
    a = rng.normal(size=(4, 6))
    yield Case("halves", (a,), {"sections": 2})
    yield Case("whole", (a,), {"sections": 1, "axis": -1})
    yield Case("sizes", (a,), {"sections": (1, 3, 2), "axis": 1})
    yield Case("the rest in the middle", (a,), {"sections": [1, -1, 2], "axis": -1})
    yield Case("empty parts", (a,), {"sections": (0, 1, 0, 3, 0)})


def unstack_cases(rng):
    a = rng.normal(size=(2, 3, 2))
    for axis in (0, 1, -1):
        yield Case(f"axis {axis}", (a,), {"axis": axis})
    yield Case("one axis", (rng.normal(size=(3,)),))
    yield Case("no layers", (a[:, :0],), {"axis": 1}, zero_gradient=("a",))


def reshaping_back_gives_the_array(inputs, params, out):
    (a,) = inputs
    assert (reshape_forward(out, shape=a.shape)[0] == a).all()


def splitting_gives_the_arrays_back(inputs, params, out):
    axis = params.get("axis", 0)
    parts, _ = split_forward(out, sections=[a.shape[axis] for a in inputs], axis=axis)
    assert len(parts) == len(inputs) and all((p == a).all() for p, a in zip(parts, inputs))


def unstacking_gives_the_arrays_back(inputs, params, out):
    layers, _ = unstack_forward(out, **params)
    assert len(layers) == len(inputs) and all((p == a).all() for p, a in zip(layers, inputs))


def concat_joins_the_parts(inputs, params, out):
    assert (concat_forward(*out, axis=params.get("axis", 0))[0] == inputs[0]).all()


def layers_are_those_that_the_axis_counts(inputs, params, out):
    assert len(out) == inputs[0].shape[params.get("axis", 0)]
    assert not out or (stack_forward(*out, **params)[0] == inputs[0]).all()


def _op(name, signature, *properties):
    forward, backward, cases, loops, shapes = (
        globals()[f"{name}_{part}"] for part in ("forward", "backward", "cases", "loops", "shapes")
    )
    facts = {"shape_rule": shapes, "properties": properties, "source": "Python array API standard v2024.12"}
    return register(Op(name, signature, forward, backward, cases, loops, **facts))


reshape = _op("reshape", "a(...) -> out(...)", reshaping_back_gives_the_array)
concat = _op("concat", "arrays(...), ... -> out(...)", splitting_gives_the_arrays_back)
stack = _op("stack", "arrays(...), ... -> out(...)", unstacking_gives_the_arrays_back)
split = _op("split", "a(...) -> parts(...), ...", concat_joins_the_parts)
unstack = _op("unstack", "a(...) -> layers(...), ...", layers_are_those_that_the_axis_counts)
