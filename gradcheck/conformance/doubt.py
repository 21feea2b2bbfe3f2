"""Numbers that carry their own doubt: what a stranger may lose who takes another way to every intermediate.

Monte-Carlo arithmetic on our text is blind where our text lets an error meet itself and cancel: the entry of
a softmax's cotangent that is subtracted from itself leaves nothing, however wrong it was.  Others subtract a
sum from it, and what is left of that is roundoff of the whole.  So here every number has a standard
deviation, and what enters an operation is taken for independent, also where it is one number twice:

    doubt(a - b)^2 = doubt(a)^2 + doubt(b)^2 + u^2 (a^2 + b^2 + (a - b)^2)        also for b = a

and by the slope for products, quotients and functions.  Linear error propagation, nothing is drawn.  Where
an operation can magnify it, roundoff of the operands counts too: in sums, exponentials and logarithms.

The doubt is the imaginary part of a complex array: what moves numbers about moves it along, only
arithmetic is spelled out here.
"""

import numpy as np

from ..numbers.array import Namespace, NumberArray
from ..numbers.noise import rooted, squared

BY_SERIES = {  # roundoffs of one result: a compiler's tanh was seen to err by 4, its logarithm by 2
    np.exp: 2,
    np.log: 2,
    np.log1p: 2,
    np.tanh: 4,
    np.power: 2,
    np.float_power: 2,
}
_SPREAD = 3**-0.5  # of a roundoff that is uniform within one unit


class DoubtNamespace(Namespace):
    def scatter_add(self, rows, indices, n):
        width = rows.shape[indices.ndim :]
        value, doubt = _parts(rows)
        sums, squares, terms = (np.zeros((n, *width), dtype=np.longdouble) for _ in range(3))
        for into, what in ((sums, value), (squares, squared(doubt)), (terms, squared(value))):
            np.add.at(into, np.asarray(indices), what)
        return self.kind.made(sums, squares, rooted(terms))

    def erf(self, x):
        from scipy.special import erf

        return self._error_function(erf, x)

    def erfc(self, x):
        from scipy.special import erfc

        return self._error_function(erfc, x)

    def _error_function(self, function, x):
        value, doubt = _parts(x)
        result = function(value)
        slope = 2 / np.sqrt(np.pi) * np.exp(-value * value)
        return self.kind.made(result, squared(slope * doubt), 2 * abs(result))


class DoubtArray(NumberArray):
    spoken = DoubtNamespace
    plain = True  # formulas: see ``plain``
    unit = 0.0

    @classmethod
    def of(cls, values):
        values = np.asarray(values)
        return cls.wrap(values.astype(complex) if values.dtype.kind == "f" else values)

    @classmethod
    def made(cls, result, variance, size):
        """``result`` with ``variance`` from what it is made of and a roundoff of one unit of ``size``."""
        doubt = rooted(variance + squared(_SPREAD * cls.unit * size))
        out = np.empty(np.shape(result), dtype=complex)
        out.real, out.imag = result, np.where(np.isfinite(doubt), doubt, 0.0)
        return cls.wrap(out)

    @property  # type: ignore[misc]
    def real(self):
        """What decisions look at."""
        return self.wrap(np.asarray(self).real.copy()) if self.dtype.kind == "c" else self

    def floats(self):
        return np.asarray(self).real

    def doubts(self):
        return np.asarray(self).imag

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        with np.errstate(all="ignore"):
            result = self._computed(ufunc, method, inputs, kwargs)
        if out is not None:
            np.asarray(out[0])[...] = result
            return out[0]
        return result

    def _computed(self, ufunc, method, inputs, kwargs):
        values, doubts = zip(*[_parts(x) for x in inputs])
        result = np.asarray(getattr(ufunc, method)(*values, **kwargs))
        doubted = any(np.asarray(x).dtype.kind == "c" for x in inputs)
        if result.dtype.kind != "f" or not doubted:
            return self.wrap(result)
        if method == "reduce" and ufunc is np.add:
            (terms,), (doubt,) = values, doubts
            additions = max(terms.size // max(result.size, 1) - 1, 0)
            size = rooted(additions * np.add.reduce(squared(terms), **kwargs))
            return self.made(result, np.add.reduce(squared(doubt), **kwargs), size)
        if method == "accumulate":
            (terms,), (doubt,) = values, doubts
            squares = np.add.accumulate(squared(doubt), **kwargs)
            return self.made(result, squares, rooted(np.add.accumulate(squared(terms), **kwargs)))
        if method == "reduce":  # a maximum: as doubtful as the most doubtful
            return self.made(result, squared(np.maximum.reduce(doubts[0], **kwargs)), 0.0)
        if ufunc is np.matmul:
            (a, b), (da, db) = map(squared, values), map(squared, doubts)
            variance = np.matmul(a, db) + np.matmul(da, b)
            return self.made(result, variance, rooted(a.shape[-1] * np.matmul(a, b)))
        variance = sum(squared(s * d) for s, d in zip(_slopes(ufunc, values, result), doubts))
        return self.made(result, variance, _roundoff(ufunc, values, result))


def doubting(unit):
    """The array class of numbers with the doubt that roundoffs of ``unit`` bring."""
    return type(f"doubt of {unit}", (DoubtArray,), {"unit": unit})


def _parts(x):
    if isinstance(x, (bool, int, float)):
        return x, 0.0  # as it is: an array of it would widen small integers
    x = np.asarray(x)
    return (x.real, x.imag) if x.dtype.kind == "c" else (x, np.zeros(x.shape))


def _roundoff(ufunc, values, result):
    """What the roundoff of an elementwise operation, and of its operands, is relative to."""
    if ufunc in (np.negative, np.positive, np.maximum, np.minimum, np.absolute):
        return 0.0
    if ufunc in (np.add, np.subtract):
        return np.hypot(np.hypot(*values), result)
    if ufunc is np.exp:
        return abs(result) * np.sqrt(4.0 + np.square(values[0]))
    if ufunc is np.log:
        return np.sqrt(1.0 + 4.0 * np.square(result))
    return BY_SERIES.get(ufunc, 1) * abs(result)


def _slopes(ufunc, values, result):
    """The derivative of an elementwise operation by each of its operands."""
    a, b = (*values, None)[:2]
    if ufunc in (np.add, np.subtract, np.negative, np.positive, np.absolute):
        return [1.0] * len(values)
    if ufunc is np.multiply:
        return b, a
    if ufunc is np.divide:
        return 1 / b, result / b
    if ufunc in (np.power, np.float_power):
        return np.where(b == 0, 0.0, b * np.power(a, b - 1.0)), np.where(a > 0, result * np.log(abs(a)), 0.0)
    if ufunc in (np.maximum, np.minimum):
        return a == result, b == result
    known = {
        np.exp: lambda: result,
        np.log: lambda: 1 / a,
        np.log1p: lambda: 1 / (1 + a),
        np.sqrt: lambda: np.where(result > 0, 0.5 / result, 0.0),
        np.tanh: lambda: 1 - result * result,
        np.square: lambda: 2 * a,
        np.reciprocal: lambda: result * result,
    }
    return [known[ufunc]()] if ufunc in known else [0.0] * len(values)
