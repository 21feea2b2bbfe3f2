"""Jets: power series in one variable whose coefficients are balls (python-flint's ``arb_series``).

Run f at x + t v: the first coefficient of the result is J v and the second is v . H v / 2, each within a
proven radius, with no step and nothing analytic asked for.  Decisions look at the constant coefficient.

    with jets(60):
        y = f(JetArray.along(x, v))
        y.coefficient(1)                J v, an array of balls
"""

from contextlib import contextmanager

import flint
import numpy as np

from .array import NumberArray, each
from .balls import BallArray, BallNamespace, Decidable

TERMS = 3


class Jet:
    """A power series to the terms that are kept."""

    __slots__ = ("series",)

    def __init__(self, series):
        self.series = series

    @classmethod
    def exactly(cls, number):
        """The constant ``number``; a jet as it is."""
        return number if type(number) is cls else cls(flint.arb_series([flint.arb(number)], TERMS))

    def _constant(self):
        return Decidable(self.series[0])

    def __lt__(self, other):
        return self._constant() < self.exactly(other)._constant()

    def __ge__(self, other):
        return self._constant() >= self.exactly(other)._constant()

    def __gt__(self, other):
        return self._constant() > self.exactly(other)._constant()

    def __le__(self, other):
        return self._constant() <= self.exactly(other)._constant()

    def __eq__(self, other):
        return self._constant() == self.exactly(other)._constant()

    __hash__ = None  # type: ignore[assignment]

    def __float__(self):
        return float(self.series[0].mid())

    def __neg__(self):
        return Jet(-self.series)

    def __pos__(self):
        return self

    def __add__(self, other):
        return Jet(self.series + self.exactly(other).series)

    def __sub__(self, other):
        return Jet(self.series - self.exactly(other).series)

    def __rsub__(self, other):
        return Jet(self.exactly(other).series - self.series)

    def __mul__(self, other):
        return Jet(self.series * self.exactly(other).series)

    def __truediv__(self, other):
        return Jet(self.series / self.exactly(other).series)

    def __rtruediv__(self, other):
        return Jet(self.exactly(other).series / self.series)

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other):
        return self.exactly(self._constant() // flint.arb(float(other)))

    def __mod__(self, other):
        return self - (self // other) * other

    def exp(self):
        return Jet(self.series.exp())

    def log(self):
        return Jet(self.series.log())

    def log1p(self):
        return (self + 1).log()

    def sqrt(self):
        if self.series[0] == 0:  # no slope there; whoever uses it gets what is not a number
            nowhere = flint.arb("nan")
            return Jet(flint.arb_series([flint.arb(0), *[nowhere] * (TERMS - 1)], TERMS))
        return Jet(self.series.sqrt())

    def erf(self):
        return Jet(self.series.erf())

    def erfc(self):
        return Jet(self.series.erfc())

    def tanh(self):
        """From the exponential that is small, or one of two large numbers would have to cancel."""
        sign = -1 if self.series[0].mid() > 0 else 1
        e = (self * (2 * sign)).exp()
        return (1 - e) / (1 + e) * -sign


class JetArray(NumberArray):
    spoken = BallNamespace
    number = Jet.exactly

    @classmethod
    def along(cls, x, v):
        """x + t v."""
        pairs = zip(np.asarray(x).reshape(-1).tolist(), np.asarray(v).reshape(-1).tolist())
        out = np.empty(np.shape(x), dtype=object)
        out.reshape(-1)[:] = [Jet(flint.arb_series([flint.arb(a), flint.arb(b)], TERMS)) for a, b in pairs]
        return cls.wrap(out)

    @property  # type: ignore[misc]
    def real(self):
        """What decisions look at: the constant coefficients."""
        return self.wrap(each(lambda x: Jet.exactly(x.series[0]), self)) if self.dtype == object else self

    def coefficient(self, i):
        return BallArray.wrap(each(lambda x: x.series[i], self))


@contextmanager
def jets(digits):
    """Context in which coefficients have ``digits`` digits."""
    before = flint.ctx.cap
    flint.ctx.cap = TERMS
    try:
        with flint.ctx.workdps(digits):
            yield
    finally:
        flint.ctx.cap = before
