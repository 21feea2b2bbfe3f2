"""Arithmetic: the operators of a tensor.

Forward and backward are two lines of algebra each; broadcasting is undone by ``sum_to_shape``.

Forward
-------
    a + b    a - b    a b    a / b    -a    a^b (a > 0)    a^n (n an integer)

Backward
--------
    g(a) = g            g(b) = g                    sum
    g(a) = g            g(b) = -g                   difference
    g(a) = g b          g(b) = g a                  product
    g(a) = g / b        g(b) = -g (a / b) / b       quotient
    g(a) = g b a^b / a  g(b) = g a^b log a          power
    g(a) = g n a^(n-1)                              integer power

Accuracy
--------
``power`` is exp(b log a), which loses about |b log a| units in the last place; ``integer_power``
multiplies, and takes bases of any sign.

Source: calculus.
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, register
from ..tape import Tensor


def add_forward(a, b):
    """a + b, broadcast."""
    return a + b, (a.shape, b.shape)


def add_backward(saved, dout):
    a_shape, b_shape = saved
    return sum_to_shape(dout, a_shape), sum_to_shape(dout, b_shape)


def add_loops(a, b, *, math=None):
    return a + b


def subtract_forward(a, b):
    """a - b, broadcast."""
    return a - b, (a.shape, b.shape)


def subtract_backward(saved, dout):
    a_shape, b_shape = saved
    return sum_to_shape(dout, a_shape), sum_to_shape(-dout, b_shape)


def subtract_loops(a, b, *, math=None):
    return a - b


def multiply_forward(a, b):
    """a b, entry by entry, broadcast."""
    return a * b, (a, b)


def multiply_backward(saved, dout):
    a, b = saved
    return sum_to_shape(dout * b, a.shape), sum_to_shape(dout * a, b.shape)


def multiply_loops(a, b, *, math=None):
    return a * b


def divide_forward(a, b):
    """a / b, entry by entry, broadcast."""
    out = a / b
    return out, (a.shape, b, out)


def divide_backward(saved, dout):
    a_shape, b, out = saved
    da = dout / b
    return sum_to_shape(da, a_shape), sum_to_shape(-da * out, b.shape)


def divide_loops(a, b, *, math=None):
    return a / b


def negate_forward(a):
    """-a."""
    return -a, None


def negate_backward(saved, dout):
    return (-dout,)


def negate_loops(a, *, math=None):
    return -a


def power_forward(base, exponent):
    """base^exponent for positive bases, broadcast."""
    xp = array_module(base, exponent)
    logarithm = xp.log(base)
    out = xp.exp(exponent * logarithm)
    return out, (base, exponent, logarithm, out)


def power_backward(saved, dout):
    base, exponent, logarithm, out = saved
    dlog = dout * out
    dbase = sum_to_shape(dlog * exponent / base, base.shape)
    return dbase, sum_to_shape(dlog * logarithm, exponent.shape)


def power_loops(base, exponent, *, math):
    return math.exp(exponent * math.log(base))


def integer_power_forward(a, *, exponent):
    """a^exponent for an integer ``exponent``, negative ones included; ValueError for another."""
    if type(exponent) is not int:
        raise ValueError(f"integer_power: exponent must be an int, got {exponent!r}")
    return _integer_power(a, exponent), (a, exponent)


def integer_power_backward(saved, dout):
    a, exponent = saved
    return (dout * (exponent * _integer_power(a, exponent - 1)),) if exponent else (dout * 0,)


def integer_power_loops(a, *, exponent, math=None):
    out = a / a
    for _ in range(abs(exponent)):
        out = out * a
    return out if exponent >= 0 else 1 / out


def _integer_power(a, n):
    out, square = None, a if n >= 0 else 1 / a
    n = abs(n)
    while n:
        if n % 2:
            out = square if out is None else out * square
        square, n = square * square, n // 2
    return array_module(a).ones_like(a) if out is None else out


# ---- evidence ---------------------------------------------------------------


def _two(label="random", *, positive=False):
    def cases(rng):
        def draw(shape):
            return rng.uniform(0.5, 2.0, size=shape) if positive else rng.normal(size=shape)

        yield Case(label, (draw((2, 3)), draw((2, 3))))
        yield Case("both broadcast", (draw((2, 1)), draw((1, 3))))
        yield Case("one number", (draw((2, 3)), draw(())))
        yield Case("more axes on the right", (draw((3,)), draw((2, 1, 3))))

    return cases


def _one(rng):
    yield Case("random", (rng.normal(size=(2, 3)),))
    yield Case("one number", (rng.normal(size=()),))


def integer_power_cases(rng):
    a = rng.normal(size=(2, 3))
    for exponent in (1, 2, 5, -1, -2):
        yield Case(f"exponent {exponent}", (a,), {"exponent": exponent})
    yield Case("exponent 0", (a,), {"exponent": 0}, zero_gradient=("a",))


def the_sum_commutes(inputs, params, out):
    assert (add_forward(inputs[1], inputs[0])[0] == out).all()


def the_product_commutes(inputs, params, out):
    assert (multiply_forward(inputs[1], inputs[0])[0] == out).all()


def the_quotient_undoes_the_product(inputs, params, out):
    assert abs(out * inputs[1] - inputs[0]).max() <= 1e-15 * abs(inputs[0]).max()


def adding_the_negative_is_the_difference(inputs, params, out):
    assert (inputs[0] + -inputs[1] == out).all()


def exponents_add(inputs, params, out):
    base, exponent = inputs
    assert abs(power_forward(base, exponent + 1)[0] - out * base).max() < 1e-13 * abs(out * base).max()


def to_the_power_of_zero_is_one_also_at_zero(inputs, params, out):
    value, saved = integer_power_forward(0 * out, exponent=0)
    assert (value == 1).all() and (integer_power_backward(saved, value)[0] == 0).all()


def _op(name, signature, cases, *properties):
    forward, backward, loops = (globals()[f"{name}_{part}"] for part in ("forward", "backward", "loops"))
    return register(
        Op(name, signature, forward, backward, cases, loops, properties=properties, source="calculus")
    )


add = _op("add", "a(), b() -> out()", _two(), the_sum_commutes)
subtract = _op("subtract", "a(), b() -> out()", _two(), adding_the_negative_is_the_difference)
multiply = _op("multiply", "a(), b() -> out()", _two(), the_product_commutes)
divide = _op("divide", "a(), b() -> out()", _two(), the_quotient_undoes_the_product)
negate = _op("negate", "a() -> out()", _one)
power = _op("power", "base(), exponent() -> out()", _two(positive=True), exponents_add)
integer_power = _op(
    "integer_power", "a() -> out()", integer_power_cases, to_the_power_of_zero_is_one_also_at_zero
)


Tensor.__add__ = lambda self, other: add(self, other)
Tensor.__radd__ = lambda self, other: add(other, self)
Tensor.__sub__ = lambda self, other: subtract(self, other)
Tensor.__rsub__ = lambda self, other: subtract(other, self)
Tensor.__mul__ = lambda self, other: multiply(self, other)
Tensor.__rmul__ = lambda self, other: multiply(other, self)
Tensor.__truediv__ = lambda self, other: divide(self, other)
Tensor.__rtruediv__ = lambda self, other: divide(other, self)
Tensor.__neg__ = lambda self: negate(self)
Tensor.__pow__ = lambda self, n: integer_power(self, exponent=n) if type(n) is int else power(self, n)
Tensor.__array_ufunc__ = None  # let ``ndarray * Tensor`` reach Tensor.__rmul__
