"""Balls: many digits and a radius that provably contains the truth (python-flint's ``arb``).

Floats go in exactly, so what comes out encloses what the formula's value *is* at those floats.  A
comparison of two balls that overlap raises, rather than guess the branch.
"""

import flint

from .array import Namespace, NumberArray, each


class Undecided(ArithmeticError):
    """Two balls overlap where the op must know which is larger."""


class Decidable(flint.arb):
    """A ball that is compared: certainly, or not at all.  One and the same ball is one number."""

    def __init__(self, ball):
        super().__init__(ball)
        self.ball = getattr(ball, "ball", ball)

    def _compared(self, other, claim, denial):
        yes, no = getattr(flint.arb, claim)(self, other), getattr(flint.arb, denial)(self, other)
        if yes == no:
            if self.ball is getattr(other, "ball", other):  # as on the diagonal where all meet all
                return claim in ("__le__", "__ge__", "__eq__")
            raise Undecided(f"{self} and {other} overlap: the case needs a margin here")
        return yes

    def __lt__(self, other):
        return self._compared(other, "__lt__", "__ge__")

    def __ge__(self, other):
        return self._compared(other, "__ge__", "__lt__")

    def __gt__(self, other):
        return self._compared(other, "__gt__", "__le__")

    def __le__(self, other):
        return self._compared(other, "__le__", "__gt__")

    def __eq__(self, other):
        return self._compared(other, "__eq__", "__ne__")

    def __ne__(self, other):
        return self._compared(other, "__ne__", "__eq__")

    def __floordiv__(self, other):
        whole = (self / other).floor()
        if not whole.is_exact():
            raise Undecided(f"{self} // {other} is not certain: the case needs a margin here")
        return whole

    __hash__ = flint.arb.__hash__


class BallNamespace(Namespace):
    @property
    def pi(self):
        return flint.arb.pi()


class BallArray(NumberArray):
    spoken = BallNamespace
    number = flint.arb

    @property  # type: ignore[misc]
    def real(self):
        """What decisions look at."""
        return self.wrap(each(Decidable, self)) if self.dtype == object else self

    def __floordiv__(self, other):
        return (
            self.wrap(each(lambda x: Decidable(x) // other, self))
            if self.dtype == object
            else super().__floordiv__(other)
        )

    def __mod__(self, other):
        return self - (self // other) * other

    def radii(self):
        return each(lambda x: float(x.rad()), self, float)


def digits(n):
    """Context in which balls are computed to ``n`` digits."""
    return flint.ctx.workdps(n)


def _decided(name):
    plain = getattr(NumberArray, name)
    return lambda self, other: plain(self.real, other)


for _name in ("__lt__", "__ge__", "__gt__", "__le__", "__eq__", "__ne__"):
    setattr(BallArray, _name, _decided(_name))
