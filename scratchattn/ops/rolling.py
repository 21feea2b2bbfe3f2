"""Rolling, flipping and padding: numbers moved along axes that keep their meaning.

Forward
-------
    roll    out[j] = a[(j - shift) mod n] along each ``axis``: what leaves at the end comes in at the start
    flip    out[j] = a[n - 1 - j] along each ``axis``
    pad     a with ``before`` and ``after`` entries of ``value`` on each axis

Backward
--------
    roll    g(a)[i] = g[(i + shift) mod n]: rolled back
    flip    g(a)[i] = g[n - 1 - i]: flipped again
    pad     g(a)[i] = g[i + before]: the padding cut off, the value is a constant

All of it is exact.

Conventions
-----------
``roll`` is told its axes; numpy.roll without them rolls the flattened array.  ``widths`` has one
pair (before, after) to each axis, the first axis first, as numpy.pad; torch's pad has the last first.

Source: the Python array API standard, v2024.12, "Manipulation functions".
"""

from ..backend import array_module, constant
from ..numbering import different_axes, positions, whole_numbers
from ..op import Case, Op, register


def roll_forward(a, *, shift, axis):
    """a rolled by ``shift`` along ``axis``: one integer each, or as many shifts as different axes."""
    xp = array_module(a)
    shifts, axes = _shifts(a.ndim, shift, axis)
    return xp.roll(a, shifts, axis=axes), (shifts, axes)


def roll_backward(saved, dout):
    shifts, axes = saved
    xp = array_module(dout)
    return (xp.roll(dout, tuple(-n for n in shifts), axis=axes),)


def roll_loops(a, *, shift, axis, math=None):
    shift = dict(zip((axis,), (shift,)) if type(axis) is int else zip(axis, shift))
    shift = {k % a.ndim: n for k, n in shift.items()}
    return [
        a[tuple((j - shift.get(k, 0)) % a.shape[k] for k, j in enumerate(position))]
        for position in positions(a.shape)
    ]


def roll_shapes(a, *, shift, axis):
    """The shape of a."""
    _shifts(len(a), shift, axis)
    return [a]


def _shifts(ndim, shift, axis):
    axes = different_axes("roll", axis, ndim)
    shifts = whole_numbers("roll", "shift", shift)
    if len(shifts) != len(axes):
        raise ValueError(f"roll: shift must be one integer for each axis of {axis!r}, got {shift!r}")
    return shifts, axes


def flip_forward(a, *, axis):
    """a with the order of its entries along ``axis``, one integer or several, reversed."""
    xp = array_module(a)
    axes = different_axes("flip", axis, a.ndim)
    return xp.flip(a, axis=axes), axes


def flip_backward(axes, dout):
    xp = array_module(dout)
    return (xp.flip(dout, axis=axes),)


def flip_loops(a, *, axis, math=None):
    flipped = {k % a.ndim for k in ((axis,) if type(axis) is int else axis)}
    return [
        a[tuple(a.shape[k] - 1 - j if k in flipped else j for k, j in enumerate(position))]
        for position in positions(a.shape)
    ]


def flip_shapes(a, *, axis):
    """The shape of a."""
    different_axes("flip", axis, len(a))
    return [a]


def pad_forward(a, *, widths, value=0.0):
    """a between entries of ``value``: ``widths`` is a pair (before, after) for each axis."""
    xp = array_module(a)
    pad_shapes(a.shape, widths=widths)
    out = a
    for axis, pair in enumerate(widths):
        blocks = [
            xp.broadcast_to(constant(a, value), (*out.shape[:axis], n, *out.shape[axis + 1 :])) for n in pair
        ]
        if any(pair):
            out = xp.concat([blocks[0], out, blocks[1]], axis=axis)
    return out, (a.shape, widths)


def pad_backward(saved, dout):
    shape, widths = saved
    inside = tuple(slice(before, before + n) if n else slice(0, 0) for n, (before, _) in zip(shape, widths))
    return (dout[(*inside, ...)],)


def pad_loops(a, *, widths, value=0.0, math=None):
    out = []
    for position in positions([before + n + after for n, (before, after) in zip(a.shape, widths)]):
        i = tuple(j - before for j, (before, _) in zip(position, widths))
        out.append(a[i] if all(0 <= k < n for k, n in zip(i, a.shape)) else value)
    return out


def pad_shapes(a, *, widths, value=0.0):
    """The shape of the output; ValueError unless there is a pair of sizes for each axis."""
    if type(widths) not in (tuple, list):
        raise TypeError(f"pad: widths must be a pair of sizes for each axis of a {a}, got {widths!r}")
    pairs = [whole_numbers("pad", "widths", pair) for pair in widths]
    if len(pairs) != len(a) or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ValueError(f"pad: widths must be a pair of sizes for each axis of a {a}, got {widths!r}")
    return [tuple(before + n + after for n, (before, after) in zip(a, pairs))]


# ---- evidence ---------------------------------------------------------------


def roll_cases(rng):
    a = rng.normal(size=(4, 5))
    for shift in (1, -2, 0, 7, -9):
        yield Case(f"shift {shift}", (a,), {"shift": shift, "axis": -1})
    yield Case("both axes", (a,), {"shift": (1, -2), "axis": (1, 0)})
    yield Case("one entry", (a[:1],), {"shift": 3, "axis": 0})
    yield Case("empty", (a[:0],), {"shift": 3, "axis": 0}, zero_gradient=("a",))


def flip_cases(rng):
    a = rng.normal(size=(2, 3, 4))
    for axis in (0, 1, -1, (0, -1)):
        yield Case(f"axis {axis}", (a,), {"axis": axis})
    yield Case("empty", (a[:, :0],), {"axis": 1}, zero_gradient=("a",))


def pad_cases(rng):
    a = rng.normal(size=(2, 3))
    yield Case("uneven", (a,), {"widths": ((1, 2), (0, 1))})
    yield Case("with a value", (a,), {"widths": [[1, 0], [2, 1]], "value": -2.5})
    yield Case("by nothing", (a,), {"widths": ((0, 0), (0, 0))})
    yield Case("one number", (rng.normal(size=()),), {"widths": ()})
    yield Case("what is empty", (a[:, :0],), {"widths": ((0, 0), (1, 2)), "value": 1.0}, zero_gradient=("a",))


def rolling_on_comes_round(inputs, params, out):
    axis = params["axis"]
    rest = {"shift": -params["shift"], "axis": axis} if type(axis) is int else None
    rest = rest or {"shift": tuple(-n for n in params["shift"]), "axis": axis}
    assert (roll_forward(out, **rest)[0] == inputs[0]).all()
    if type(axis) is int and out.shape[axis]:
        whole = params["shift"] + out.shape[axis]
        assert (roll_forward(inputs[0], shift=whole, axis=axis)[0] == out).all()


def flipping_twice_changes_nothing(inputs, params, out):
    assert (flip_forward(out, **params)[0] == inputs[0]).all()


def the_padding_is_the_value(inputs, params, out):
    (a,) = inputs
    marked, _ = pad_forward(a * 0 + 1, widths=params["widths"])
    assert (out[marked == 0] == params.get("value", 0.0)).all()
    assert (out[marked == 1] == a.ravel()).all()


def _op(name, *properties):
    forward, backward, cases, loops, shapes = (
        globals()[f"{name}_{part}"] for part in ("forward", "backward", "cases", "loops", "shapes")
    )
    source = "Python array API standard v2024.12"
    facts = {"shape_rule": shapes, "properties": properties, "source": source}
    return register(Op(name, "a(...) -> out(...)", forward, backward, cases, loops, **facts))


roll = _op("roll", rolling_on_comes_round)
flip = _op("flip", flipping_twice_changes_nothing)
pad = _op("pad", the_padding_is_the_value)
