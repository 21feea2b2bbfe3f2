"""Monte-Carlo arithmetic: float64 that errs, after every operation, as a chosen dtype would.

Run the same text several times, each with other roundoffs, and the spread of the results is what an
honest implementation in that dtype is entitled to lose: large where the formula is ill-conditioned, one
unit where it is not.  That spread, not taste, is the tolerance for others.

    Half = arithmetic("float16", rng)
    Half.of(x) * Half.of(y)             the product, wrong by at most one roundoff of float16

A sum of n terms is given the error of a sum in random order, sqrt(n) roundoffs of the root of its squares.
Whole numbers from whole numbers, counts and places, are exact, as they are in every dtype that holds them.

Source: Parker, "Monte Carlo arithmetic", UCLA CSD-970002, 1997.
"""

import numpy as np

from .array import Namespace, NumberArray

_EXACT = {np.negative, np.positive, np.maximum, np.minimum, np.floor, np.floor_divide}
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def squared(x):
    """x^2 with exponents enough for it: the square of 1e-279, a weight far from all others, is no float64.

    Where a machine's long double is a float64 it is zero there, and such a weight is allowed no roundoff.
    """
    return np.square(np.asarray(x, dtype=np.longdouble))


def rooted(squares):
    """The roots of sums of such squares as float64."""
    return np.sqrt(squares).astype(float)


class NoisyNamespace(Namespace):
    def scatter_add(self, rows, indices, n):
        width = rows.shape[indices.ndim :]
        sums, squares = np.zeros((n, *width)), np.zeros((n, *width), dtype=np.longdouble)
        np.add.at(sums, np.asarray(indices), np.asarray(rows))
        np.add.at(squares, np.asarray(indices), squared(rows))
        return self.kind.of(self.kind.erred(sums, rooted(squares)))

    def erf(self, x):
        from scipy.special import erf

        return self.kind.of(self.kind.erred(*[erf(np.asarray(x))] * 2))

    def erfc(self, x):
        from scipy.special import erfc

        return self.kind.of(self.kind.erred(*[erfc(np.asarray(x))] * 2))


class NoisyArray(NumberArray):
    spoken = NoisyNamespace
    unit = rng = None  # relative roundoff and its source: see ``arithmetic``

    @classmethod
    def of(cls, values):
        return cls.wrap(np.asarray(values))

    @classmethod
    def erred(cls, result, size):
        """``result`` with an error of up to one unit of ``size``."""
        return result + cls.unit * size * cls.rng.uniform(-1.0, 1.0, np.shape(result))

    def floats(self):
        return np.asarray(self)

    def __setitem__(self, key, value):
        np.asarray(self)[np.asarray(key) if isinstance(key, NumberArray) else key] = np.asarray(value)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        inputs = [np.asarray(x) if isinstance(x, NoisyArray) else x for x in inputs]
        with np.errstate(all="ignore"):
            result = np.asarray(getattr(ufunc, method)(*inputs, **kwargs))
            if result.dtype.kind == "f" and ufunc not in _EXACT and not self._counts(inputs, result):
                size = self._size(ufunc, method, inputs, result, kwargs)
                result = np.where(np.isfinite(result) & (size > 0), self.erred(result, size), result)
        if out is not None:
            np.asarray(out[0])[...] = result
            return out[0]
        return self.wrap(result)

    @classmethod
    def _counts(cls, inputs, result):
        """Whether these are counts and places, as of a causal mask: whole numbers, which no dtype rounds."""
        arrays = map(np.asarray, (result, *inputs))
        return all((np.floor(a) == a).all() and (abs(a) * cls.unit <= 0.5).all() for a in arrays)

    @staticmethod
    def _size(ufunc, method, inputs, result, kwargs):
        """What the roundoff is relative to."""
        if ufunc is np.matmul:
            a, b = inputs
            return rooted(a.shape[-1] * np.matmul(squared(a), squared(b)))
        if method == "reduce":
            (terms,) = inputs
            additions = max(terms.size // max(result.size, 1) - 1, 0)
            return rooted(additions * ufunc.reduce(squared(terms), **kwargs))
        if method == "accumulate":
            (terms,) = inputs
            return rooted(ufunc.accumulate(squared(terms), **kwargs))
        return abs(result)


def arithmetic(dtype, rng):
    """The array class that computes in float64 and errs like ``dtype``."""
    return type(f"{dtype} noise", (NoisyArray,), {"unit": UNITS[str(dtype)], "rng": rng})


def spread(f, inputs, dtype, truth, runs=24, seed=0):
    """Root mean square error of ``f(*inputs)``, a tuple of arrays, around ``truth``, entry by entry."""
    noisy = arithmetic(dtype, np.random.default_rng(seed))
    samples = zip(*[[y.floats() for y in f(*map(noisy.of, inputs))] for _ in range(runs)])
    return [np.sqrt(np.mean((np.stack(ys) - t) ** 2, axis=0)) for ys, t in zip(samples, truth)]
