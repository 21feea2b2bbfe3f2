"""Exponential, logarithm, hyperbolic tangent and square root, entry by entry.

Forward
-------
    exp a        log a  (a > 0)        tanh a        sqrt a  (a > 0)

Backward
--------
Each entry is alone, so the Jacobian is diagonal and g(a) = f'(a) g, with

    exp' = exp(a)
    log' = 1 / a
    tanh' = 1 - tanh(a)^2 = 4 e / (1 + e)^2        e = exp(-2 |a|)
    sqrt' = 1 / (2 sqrt(a))

exp and sqrt find the slope in their own value, so they keep nothing else.

Accuracy
--------
1 - tanh(a)^2 cancels where tanh has rounded to one: at a = 20 nothing is left of a slope of 2e-17.
The form in e keeps all digits (``calculus.tanh``).  The second derivative, a complex step through
that slope, is exact to eps itself: near zero, where it is -2 a, that is eps / |a| of it.

Conventions
-----------
At zero ``sqrt`` has an infinite slope and so has the gradient; what may reach zero (a length, say)
gets a constant under the root, or is replaced by ``where`` before the root and not after it.
``log`` and ``sqrt`` of negative numbers are NaN, and of zero the logarithm is -inf, as the library
says it: no data-dependent errors, each would wait for the device.

Source: calculus.
"""

from ..backend import array_module
from ..calculus import tanh as _tanh
from ..op import Case, Op, register


def exp_forward(a):
    """exp(a), entry by entry, any shape."""
    xp = array_module(a)
    out = xp.exp(a)
    return out, out


def exp_backward(saved, dout):
    return (dout * saved,)


def exp_loops(a, *, math):
    return math.exp(a)


def log_forward(a):
    """The natural logarithm of positive ``a``, entry by entry, any shape."""
    xp = array_module(a)
    return xp.log(a), a


def log_backward(saved, dout):
    return (dout / saved,)


def log_loops(a, *, math):
    return math.log(a)


def tanh_forward(a):
    """tanh(a), entry by entry, any shape; values in [-1, 1]."""
    xp = array_module(a)
    return _tanh(xp, a)


def tanh_backward(saved, dout):
    return (dout * saved,)


def tanh_loops(a, *, math):
    return math.tanh(a)


def sqrt_forward(a):
    """The square root of positive ``a``, entry by entry, any shape."""
    xp = array_module(a)
    out = xp.sqrt(a)
    return out, out


def sqrt_backward(saved, dout):
    return (dout / (2 * saved),)


def sqrt_loops(a, *, math):
    return math.sqrt(a)


# ---- evidence ---------------------------------------------------------------


def exp_cases(rng):
    yield from _shapes(rng.normal, rng)
    yield Case("from tiny to large", (rng.permutation([-60.0, -20.0, -1.0, 0.0, 1.0, 20.0, 60.0]),))


def log_cases(rng):
    yield from _shapes(rng.uniform, rng, 0.5, 2.0)
    yield Case("near one, where it vanishes", (1 + 1e-3 * rng.normal(size=4),))
    # The margin is the way to the border of the domain, with room for a fourth-order difference.
    yield Case("from tiny to large", (rng.permutation([1e-5, 1e-3, 1.0, 1e3, 1e5]),), margin=1e-7)


def tanh_cases(rng):
    yield from _shapes(rng.normal, rng)
    yield Case("near zero, where it is its argument", (1e-2 * rng.normal(size=4),))
    yield Case("saturated", (rng.permutation([-25.0, -15.0, -2.0, 0.0, 2.0, 15.0, 25.0]),))
    yield Case("nothing but saturated", (rng.permutation([-20.0, -19.0, 18.0, 20.0]),))


def sqrt_cases(rng):
    yield from _shapes(rng.uniform, rng, 0.5, 2.0)
    yield Case("from tiny to large", (rng.permutation([1e-5, 1e-3, 1.0, 1e3, 1e5]),), margin=1e-7)


def _shapes(draw, rng, *interval):
    yield Case("random", (draw(*interval, size=(2, 3)),))
    yield Case("one number", (draw(*interval, size=()),))
    yield Case("nothing", (draw(*interval, size=(2, 0)),), zero_gradient=("a",))


def sums_become_products(inputs, params, out):
    (a,) = inputs
    assert (abs(exp_forward(a + 0.5)[0] - out * exp_forward(a * 0 + 0.5)[0]) <= 1e-13 * out).all()


def the_exponential_undoes_the_logarithm(inputs, params, out):
    (a,) = inputs
    assert (abs(exp_forward(out)[0] - a) <= 1e-14 * a).all()


def tanh_is_odd_and_bounded(inputs, params, out):
    (a,) = inputs
    assert (tanh_forward(-a)[0] == -out).all() and (abs(out) <= 1).all()


def a_saturated_tanh_still_has_a_slope(inputs, params, out):
    (slope,) = tanh_backward(tanh_forward(inputs[0])[1], out * 0 + 1)
    assert ((0 < slope) & (slope <= 1)).all()


def the_square_undoes_the_root(inputs, params, out):
    (a,) = inputs
    assert (abs(out * out - a) <= 1e-15 * a).all() and (out > 0).all()


def _op(name, *properties):
    forward, backward, loops, cases = (
        globals()[f"{name}_{part}"] for part in ("forward", "backward", "loops", "cases")
    )
    op = Op(name, "a() -> out()", forward, backward, cases, loops, properties=properties, source="calculus")
    return register(op)


exp = _op("exp", sums_become_products)
log = _op("log", the_exponential_undoes_the_logarithm)
tanh = _op("tanh", tanh_is_odd_and_bounded, a_saturated_tanh_still_has_a_slope)
sqrt = _op("sqrt", the_square_undoes_the_root)
