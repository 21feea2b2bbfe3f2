"""What the fused tier calls a hundred times a step, in the form that costs least to call.

NumPy's own ``sum`` spends more time on its arguments than on 128 numbers; CuPy lacks ``vecdot``;
NumPy's ``vecdot`` conjugates, and its ``logaddexp`` knows no complex numbers.  Each twin means
the same everywhere.
"""

from contextlib import nullcontext
from types import SimpleNamespace

from .backend import array_module, real, stable_argsort
from .calculus import sigmoid, softplus

NEVER = -1e30  # stands for the logarithm of zero: times any sharpness, its exponential is zero

_MADE: dict = {}


def twins(array):
    """Functions for arrays of the library and kind of ``array``.

    add(x, axis, out=None), max(x, axis, out=None)    reductions that keep their axes
    dot(a, b, out)          sum of products along the last axis
    rising(z, kept, out)    1 / (1 + exp(z)), to all digits, also next to zero; ``kept`` gets what
    rising_slope(kept, y, out)  needs for the slope of y = 1 / (1 + exp(-z)), also next to one
    log1pexp(z, out)        log(1 + exp(z))
    log(x, out)             the logarithm of x >= 0; of zero, NEVER or less
    magnitude(z, out)       |z|, the sign of the real part deciding
    truly(x)                the real part
    order(x)                what sorts the last axis by the real part, equal numbers in their order; new
    perhaps(x)              False if no boolean of x is true and a look at it costs nothing; else True
    quiet()                 a context in which log(0) and exp(1e4) raise no warning
    """
    xp = array_module(array)
    plain = "float" in str(array.dtype) and xp.__name__ in ("numpy", "cupy")
    made = _MADE.get((xp, plain))
    if made is None:
        made = _MADE[xp, plain] = _make(xp, plain)
    return made


def _make(xp, plain):
    """``plain``: floats of NumPy or CuPy; for complex numbers and other number systems, the general text."""
    numpy = xp.__name__ == "numpy"
    if numpy:
        add = lambda x, axis, out=None: xp.add.reduce(x, axis, None, out, True)
        largest = lambda x, axis, out=None: xp.maximum.reduce(x, axis, None, out, True)  # by real part
    else:
        add = lambda x, axis, out=None: xp.sum(x, axis=axis, keepdims=True, out=out)
        largest = lambda x, axis, out=None: xp.max(x, axis=axis, keepdims=True, out=out)
    found = SimpleNamespace(
        add=add, max=largest, quiet=nullcontext, perhaps=lambda x: True, order=stable_argsort
    )
    if numpy:
        found.perhaps = lambda x: bool(x.any())
    if not plain:
        found.dot, found.truly = lambda a, b, out: xp.sum(a * b, axis=-1, out=out), real
        found.rising, found.rising_slope, found.magnitude = _rising, _rising_slope, _magnitude
        found.log1pexp, found.log = _log1pexp, _log
    else:
        found.dot = xp.vecdot if numpy else lambda a, b, out: xp.sum(a * b, axis=-1, out=out)
        found.truly = lambda x: x

        def rising(z, kept, out):  # an infinite exponential gives the zero that is meant
            xp.exp(z, out=kept)
            xp.add(kept, 1, out=out)
            xp.reciprocal(out, out=out)

        def rising_slope(e, y, out):  # e y^2; infinity times zero counts as one
            xp.multiply(e, y, out=out)
            xp.fmin(out, 1, out=out)
            out *= y

        found.rising, found.rising_slope = rising, rising_slope
        found.log = lambda x, out: xp.log(x, out=out)
        found.log1pexp = lambda z, out: xp.logaddexp(0, z, out=out)
        found.magnitude = lambda z, out: xp.abs(z, out=out)
        if numpy:
            found.order = lambda x: x.argsort(-1, "stable")
            found.quiet = lambda: xp.errstate(
                divide="ignore", over="ignore", under="ignore", invalid="ignore"
            )
    return found


def _rising(z, kept, out):
    kept[...] = z
    out[...] = sigmoid(array_module(z), -z)[0]


def _rising_slope(z, y, out):
    out[...] = sigmoid(array_module(z), z)[1]


def _log1pexp(z, out):
    out[...] = softplus(array_module(z), z)[0]


def _log(x, out):
    xp = array_module(x)
    positive = real(x) > 0
    out[...] = xp.where(positive, xp.log(xp.where(positive, x, 1)), NEVER)


def _magnitude(z, out):
    out[...] = array_module(z).where(real(z) < 0, -z, z)
