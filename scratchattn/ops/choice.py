"""Choosing between numbers: maximum, minimum, where, clip.

Forward
-------
    maximum   a if a >= b else b                   minimum   a if a <= b else b
    where     a if condition else b                clip      low if a < low, high if a > high, else a

Backward
--------
Each output is a copy of one entry, so the gradient goes to where the copy came from and nowhere else:

    g(a) = g where a was taken, else 0             g(b) = g where b was taken, else 0

Broadcasting is undone by ``sum_to_shape``.  In ``clip`` the bounds are constants and take nothing.

Accuracy
--------
Exact: numbers are copied, never computed.  The gradient is masked, not multiplied by 0 and 1, so
NaN or infinity in what was not taken, or in its cotangent, stays there.

Conventions
-----------
At a tie ``maximum`` and ``minimum`` take ``a``, and ``a`` gets all of the gradient: so does
tf.maximum, while torch, JAX and autograd give half to each.  ``maximum(a, 0)``, a rectifier, thus
has the slope 1 at 0 and ``maximum(0, a)`` the slope 0, which is torch.relu's.  A clipped number
*on* a bound is inside, slope 1, as in torch.clamp and tf.clip_by_value.  NaN in either argument of
``maximum`` and ``minimum`` gives NaN, and in ``clip`` too: a comparison that is false for NaN must
not hide that a computation has diverged.  ``where`` alone drops NaN: that is what it is for.

Source: calculus.
"""

from ..backend import array_module, real, sum_to_shape
from ..op import Case, Op, register


def maximum_forward(a, b):
    """The larger of ``a`` and ``b`` by their real parts, broadcast; ``a`` at a tie, NaN if either is."""
    return _either(real(a) >= real(b), real(a) < real(b), a, b)


def minimum_forward(a, b):
    """The smaller of ``a`` and ``b`` by their real parts, broadcast; ``a`` at a tie, NaN if either is."""
    return _either(real(a) <= real(b), real(a) > real(b), a, b)


def maximum_backward(saved, dout):
    is_a, is_b, a_shape, b_shape = saved
    xp = array_module(is_a, dout)
    da, db = xp.where(is_b, 0, dout), xp.where(is_a, 0, dout)
    return sum_to_shape(da, a_shape), sum_to_shape(db, b_shape)


minimum_backward = maximum_backward  # both only remember what was taken


def _either(is_a, is_b, a, b):
    """``a`` or ``b``; where neither comparison holds, one of them is NaN and so is their sum."""
    xp = array_module(a, b)
    out = xp.where(is_a, a, xp.where(is_b, b, a + b))
    return out, (is_a, is_b, a.shape, b.shape)


def maximum_loops(a, b, *, math=None):
    return b if a < b else a


def minimum_loops(a, b, *, math=None):
    return b if b < a else a


def where_forward(condition, a, b):
    """``a`` where ``condition`` (boolean) holds, else ``b``; all three broadcast."""
    xp = array_module(condition, a, b)
    return xp.where(condition, a, b), (condition, a.shape, b.shape)


def where_backward(saved, dout):
    condition, a_shape, b_shape = saved
    xp = array_module(condition, dout)
    da, db = xp.where(condition, dout, 0), xp.where(condition, 0, dout)
    return sum_to_shape(da, a_shape), sum_to_shape(db, b_shape)


def where_loops(condition, a, b, *, math=None):
    return (b, a)[int(condition)]


def clip_forward(a, *, low=None, high=None):
    """``a`` kept between ``low`` and ``high``, finite Python numbers or None for no bound.

    A number on a bound counts as inside: its gradient passes.  TypeError for a bound that is no
    number, ValueError for one that is not finite, for none at all, or for low > high.
    """
    xp = array_module(a)
    low, high = _bound("low", low), _bound("high", high)
    if low is None and high is None:
        raise ValueError("clip: low or high must be given, got None for both")
    if low is None:
        outside = real(a) > high
        return xp.where(outside, high, a), outside
    if high is None:
        outside = real(a) < low
        return xp.where(outside, low, a), outside
    if low > high:
        raise ValueError(f"clip: low must be at most high, got low {low} and high {high}")
    below, above = real(a) < low, real(a) > high
    return xp.where(below, low, xp.where(above, high, a)), below | above


def clip_backward(saved, dout):
    xp = array_module(saved, dout)
    return (xp.where(saved, 0, dout),)


def _bound(name, value):
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"clip: {name} must be a number or None, got {type(value).__name__}")
    if not float("-inf") < value < float("inf"):
        raise ValueError(f"clip: {name} must be finite or None, got {value}")
    return float(value)  # a np.float64 would make float32 arrays float64


def clip_loops(a, *, low=None, high=None, math=None):
    inner = [x for x in (low, a, high) if x is not None]
    return sorted(inner)[1] if len(inner) == 3 else (max(inner) if high is None else min(inner))


# ---- evidence ---------------------------------------------------------------


def _pair_cases(sign):
    """For maximum; mirrored by sign = -1 for minimum."""

    def cases(rng):
        def draw(*numbers):
            return sign * rng.permutation(numbers)

        first = rng.permutation([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])  # each side wins three times, by one
        pairs = draw(0.0, 2.0, 4.0, 6.0, 8.0, 10.0) + [first, 1 - first]
        a, b = pairs.reshape(2, 2, 3)
        yield Case("random", (a, b), margin=0.5)
        yield Case("both broadcast", (draw(3.0, 5.0).reshape(2, 1), draw(1.0, 2.0, 4.0)), margin=0.5)
        right = draw(0.0, 1.0, 3.0, 4.0).reshape(2, 2, 1)
        yield Case("more axes on the right", (draw(2.0, 5.0), right), margin=0.5)
        yield Case("against zero", (a - sign * 5.5, rng.normal(size=()) * 0), margin=0.25)
        yield Case("ties", (a, a + 0.0), zero_gradient=("b",), margin=0)
        yield Case("some ties", (a, a + [[0.0, 1.0, -1.0], [0.0, 0.5, -0.5]]), margin=0)
        yield Case("near a tie", (a, a + [[1e-3], [-1e-3]]), margin=5e-4)
        yield Case("far apart", (a + sign * 1e4, b - sign * 1e4), zero_gradient=("b",))
        yield Case("nothing", (a[:0], b[:1]), zero_gradient=("a", "b"))

    return cases


def where_cases(rng):
    a, b = rng.normal(size=(2, 2, 3))
    condition = rng.permutation([True, False, True, False, True, False]).reshape(2, 3)
    yield Case("random", (condition, a, b))
    yield Case("one condition a row", (rng.permutation([[True], [False]]), a, b))
    yield Case(
        "all three broadcast", (rng.permutation([True, False, True]), a[:, :1], rng.normal(size=(2, 1, 1)))
    )
    yield Case("a number otherwise", (condition, a, rng.normal(size=())))
    yield Case("always", (condition | True, a, b), zero_gradient=("b",))
    yield Case("never", (condition & False, a, b), zero_gradient=("a",))
    yield Case("nothing", (condition[:, :0], a[:, :0], b[:, :1]), zero_gradient=("a", "b"))


def clip_cases(rng):
    a = rng.permutation([-2.0, -1.2, -0.3, 0.4, 1.1, 2.3]).reshape(2, 3)
    yield Case("between two bounds", (a,), {"low": -1.0, "high": 1.0}, margin=0.05)
    yield Case("from below, by a NumPy scalar", (a,), {"low": a.max() * 0}, margin=0.2)
    yield Case("from above", (a,), {"high": 1}, margin=0.05)
    yield Case("all inside", (a,), {"low": -3.0, "high": 3.0}, margin=0.5)
    yield Case("all outside", (a,), {"low": 5.0, "high": 6.0}, zero_gradient=("a",), margin=1.0)
    yield Case("on the bounds", (a * 0 + [-1.0, 1.0, 2.0],), {"low": -1.0, "high": 1.0}, margin=0)
    yield Case("the bounds meet", (a,), {"low": 0.5, "high": 0.5}, zero_gradient=("a",), margin=0.05)
    yield Case("one number", (a[0, 0] * 0 + 0.5,), {"low": 0.0, "high": 1.0}, margin=0.2)


def the_larger_is_one_of_the_two(inputs, params, out):
    a, b = inputs
    assert ((out == a) | (out == b)).all() and (out >= a).all() and (out >= b).all()


def the_smaller_is_one_of_the_two(inputs, params, out):
    a, b = inputs
    assert ((out == a) | (out == b)).all() and (out <= a).all() and (out <= b).all()


def _ties_and_nan(forward):
    def a_tie_is_taken_by_the_first(inputs, params, out):
        value, saved = forward(out, out + 0)
        da, db = maximum_backward(saved, out * 0 + 1)
        assert (value == out).all() and (da == 1).all() and (db == 0).all()

    def a_nan_on_either_side_is_passed_on(inputs, params, out):
        nan = out * float("nan")
        for pair in ((nan, out), (out, nan), (nan, nan)):
            value = forward(*pair)[0]
            assert (value != value).all()

    return a_tie_is_taken_by_the_first, a_nan_on_either_side_is_passed_on


def what_is_not_taken_never_leaks(inputs, params, out):
    taken = inputs[0] & (out == out)  # the condition, broadcast
    a, b, dout = out.copy(), out.copy(), out * 0 + 1
    a[~taken], b[taken], dout[~taken] = float("nan"), float("inf"), float("nan")
    value, saved = where_forward(inputs[0], a, b)
    assert (value == out).all()
    assert (where_backward(saved, dout)[0] == taken).all()
    assert (where_backward(saved, out * 0 + 1)[1] == ~taken).all()


def clipping_again_changes_nothing(inputs, params, out):
    assert (clip_forward(out, **params)[0] == out).all()


def on_a_bound_the_gradient_passes(inputs, params, out):
    for bound in params.values():
        saved = clip_forward(inputs[0] * 0 + bound, **params)[1]
        assert (clip_backward(saved, out * 0 + 1)[0] == 1).all()


def a_nan_is_not_clipped(inputs, params, out):
    value = clip_forward(inputs[0] * float("nan"), **params)[0]
    assert (value != value).all()


def _op(name, signature, cases, *properties, **rest):
    forward, backward, loops = (globals()[f"{name}_{part}"] for part in ("forward", "backward", "loops"))
    rest = {"properties": properties, "source": "calculus", **rest}
    return register(Op(name, signature, forward, backward, cases, loops, **rest))


maximum = _op(
    "maximum",
    "a(), b() -> out()",
    _pair_cases(1),
    the_larger_is_one_of_the_two,
    *_ties_and_nan(maximum_forward),
)
minimum = _op(
    "minimum",
    "a(), b() -> out()",
    _pair_cases(-1),
    the_smaller_is_one_of_the_two,
    *_ties_and_nan(minimum_forward),
)
where = _op(
    "where",
    "condition!(), a(), b() -> out()",
    where_cases,
    what_is_not_taken_never_leaks,
    passive={"condition": "boolean"},
)
clip = _op(
    "clip",
    "a() -> out()",
    clip_cases,
    clipping_again_changes_nothing,
    on_a_bound_the_gradient_passes,
    a_nan_is_not_clipped,
)
