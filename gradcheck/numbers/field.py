"""Numbers modulo a prime near 2^61, each with a tangent: a derivative is right or it is not.

Draw inputs, tangents v and cotangents u at random from the field, run the op, and compare <u, J v> with
<J^T u, v> as integers.  Two different rational functions of degree d agree at a random point with
probability at most about d / 2^60 (Schwartz and Zippel), so there is no tolerance: a factor of 1 + 1e-12
is as wrong as a sign.

exp is 4^x, so that exp(a + b) = exp(a) exp(b).  Exponents count modulo Q, the order of 4, not modulo
P = 2 Q + 1; so a number is carried modulo both, as one integer modulo P Q.  log and sqrt, and exp modulo Q
but for exp(-x) exp(x) = 1, are *free*: arbitrary, but always the same.  Of all of them the rule of
differentiation is kept,

    exp(x)' = exp(x) x'    log(x)' = x' / x    sqrt(x)' = x' / (2 sqrt(x))    erf(x)' = k exp(-x^2) x'

so whatever passes holds for every function with these rules, the real ones included, on the branch
taken.  Code that needs exp(a + b) = exp(a) exp(b) inside another exp is refused although it is right; and
code that needs sqrt(x)^2 = x, unless it runs in ``true_roots``, where sqrt is a root modulo P (and half of
all numbers have none: ``NoRoot`` says to draw again).

A field has no order, so every number carries a float, its *shadow*, and comparisons look at that alone:
the op takes the branch it would take on the floats.

Source: Schwartz, J. ACM 27 (1980) 701; Zippel, EUROSAM 1979.
"""

import math
from contextlib import contextmanager
from functools import lru_cache, total_ordering
from hashlib import blake2b
from operator import truediv

import numpy as np

from .array import NumberArray, each

Q = 2**60 - 1187
P = 2 * Q + 1
_PQ = P * Q
_true_roots = False


class NoRoot(ArithmeticError):
    """A number without a square root."""


@contextmanager
def true_roots():
    """Within it, sqrt(x)^2 = x modulo P."""
    global _true_roots
    before, _true_roots = _true_roots, True
    try:
        yield
    finally:
        _true_roots = before


@total_ordering
class Element:
    """A number of the field, the tangent it carries, and its shadow among the floats."""

    __slots__ = ("shadow", "tangent", "value")

    def __init__(self, value, tangent, shadow):
        self.value, self.tangent, self.shadow = value % _PQ, tangent % P, shadow

    @classmethod
    def exactly(cls, number):
        """The Python number ``number`` itself: 0.1 is the fraction that the float 0.1 is."""
        if type(number) is cls:
            return number
        if type(number) is int:
            return cls(number, 0, float(number))
        if not math.isfinite(number):
            raise ArithmeticError(f"{number} is not in the field")
        return cls(_fraction(float(number)), 0, float(number))

    def __float__(self):
        return self.shadow

    def __neg__(self):
        return Element(-self.value, -self.tangent, -self.shadow)

    def __pos__(self):
        return self

    def __add__(self, other):
        other = self.exactly(other)
        return Element(self.value + other.value, self.tangent + other.tangent, self.shadow + other.shadow)

    def __mul__(self, other):
        other = self.exactly(other)
        tangent = self.tangent * other.value + self.value * other.tangent
        return Element(self.value * other.value, tangent, self.shadow * other.shadow)

    def __truediv__(self, other):
        other = self.exactly(other)
        inverse = _inverse(other.value)
        value = self.value * inverse
        return Element(value, (self.tangent - value * other.tangent) * inverse, _shadow(truediv, self, other))

    def __sub__(self, other):
        return self + -self.exactly(other)

    def __rsub__(self, other):
        return -self + other

    def __rtruediv__(self, other):
        return self.exactly(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other):
        return self.exactly(self.shadow // float(other))

    def __mod__(self, other):
        return self - (self // other) * other

    def __pow__(self, power):
        if type(power) is not int or power < 0:
            raise ArithmeticError(f"a power in the field must be a whole number from 0, got {power!r}")
        result = self.exactly(1)
        for _ in range(power):
            result = result * self
        return result

    def exp(self):
        value = _exp(self.value)
        return self._through(math.exp, value, value)

    def log(self):
        return self._through(math.log, _oracle("log", self.value), _inverse(self.value))

    def log1p(self):
        return (1 + self).log()

    def sqrt(self):
        value = _oracle("sqrt", self.value)
        if _true_roots:
            root = pow(self.value, (P + 1) // 4, P)
            if (root * root - self.value) % P:
                raise NoRoot(f"{self.value % P} has no square root modulo {P}")
            value = _modulo_both(root, value % Q)
        return self._through(math.sqrt, value, _inverse(2 * value))

    def tanh(self):
        e = _exp(2 * self.value)
        value = (e - 1) * _inverse(e + 1)
        return self._through(math.tanh, value, 1 - value * value)

    def erf(self):
        slope = 2 * _inverse(_fraction(math.pi**0.5)) * _exp(-self.value * self.value)
        return self._through(math.erf, _oracle("erf", self.value), slope)

    def erfc(self):
        whole = 1 - self.erf()
        return Element(whole.value, whole.tangent, math.erfc(self.shadow))

    def _through(self, function, value, slope):
        return Element(value, slope * self.tangent, _shadow(function, self))

    def __eq__(self, other):
        return self.shadow == float(other)

    def __lt__(self, other):
        return self.shadow < float(other)

    __hash__ = None  # type: ignore[assignment]


class FieldArray(NumberArray):
    number = Element.exactly

    @classmethod
    def random(cls, shadows, rng, tangents=True):
        """A random element over each float of ``shadows``, with a random tangent or none."""

        def element(x):
            a, b, tangent = rng.integers(1, (P, Q, P)).tolist()
            return Element(_modulo_both(a, b), tangent if tangents else 0, float(x))

        return cls.wrap(each(element, shadows))

    @property  # type: ignore[misc]
    def real(self):
        """For decisions only, so a constant: the tangent is dropped, as a complex step drops it."""
        return self.without_tangents() if self.dtype == object else self

    def without_tangents(self):
        return self.wrap(each(lambda x: Element(x.value, 0, x.shadow), self))

    def values(self):
        return each(lambda x: x.value % P, self)

    def tangents(self):
        return each(lambda x: x.tangent, self)


def inner(a, b):
    """<a, b> over lists of integer arrays, modulo P."""
    return sum(int(np.sum(x * y)) for x, y in zip(a, b, strict=True)) % P


def _modulo_both(a, b):
    """The number that is a modulo P and b modulo Q."""
    return (b * P - 2 * Q * a) % _PQ


@lru_cache(4096)
def _fraction(number):
    over, under = number.as_integer_ratio()
    return over * _inverse(under) % _PQ


def _inverse(a):
    try:
        return pow(a, -1, _PQ)
    except ValueError:
        raise ZeroDivisionError("division by zero in the field") from None


def _exp(a):
    a %= _PQ
    if a == 0:
        return 1
    free = _oracle("exp", a) if 2 * a < _PQ else _inverse(_oracle("exp", _PQ - a))
    return _modulo_both(pow(4, a % Q, P), free)


def _oracle(name, a):
    """An arbitrary number, the same at every call."""
    a %= _PQ
    return int.from_bytes(blake2b(f"{name} {a}".encode(), digest_size=32).digest()) % _PQ


def _shadow(function, *elements):
    """``function`` of the shadows, infinite or undefined where NumPy would have it so."""
    try:
        return function(*[e.shadow for e in elements])
    except OverflowError:
        return math.inf
    except ZeroDivisionError:
        return math.copysign(math.inf, elements[0].shadow) if elements[0].shadow else math.nan
    except ValueError:
        return -math.inf if function is math.log and elements[0].shadow == 0 else math.nan
