"""An ndarray of unusual numbers: NumPy keeps the places, the numbers do the arithmetic.

Arrays decide which library computes; these decide for NumPy cut down to the alphabet.  So an op that
steps outside the alphabet fails in every number system, and one that stays inside runs in all of them.
A new number system is a subclass:

    class FractionArray(NumberArray):
        number = staticmethod(Fraction)

Booleans, indices and lengths are arrays of the same class that hold what they held.
"""

import math
from typing import Any

import numpy as np

from scratchattn.backend import ALPHABET, FUSED_ALPHABET

# Names that the letters are made of, and NumPy functions that hand out Python numbers.
_ALSO = frozenset("argsort full full_like take searchsorted sort any arange add_at isfinite".split())
_WORDS = ALPHABET | FUSED_ALPHABET | _ALSO
_BRINGS_PYTHON_NUMBERS = frozenset(
    "where zeros_like ones_like tril triu multiply add subtract divide negative maximum reciprocal".split()
)


class Namespace:
    """What ``array_module`` returns for arrays of class ``kind``."""

    pi = math.pi

    def __init__(self, kind):
        self.kind, self.__name__ = kind, kind.__name__

    def __getattr__(self, name):
        if name not in _WORDS:
            raise AttributeError(f"{name} is not in the alphabet: see scratchattn.backend.ALPHABET")
        function = getattr(np, name, None)
        if function is None:
            raise AttributeError(name)  # a letter of our own, which backend.py then spells out
        wrap = self.kind.of if name in _BRINGS_PYTHON_NUMBERS else self.kind.wrap

        def called(*args, **kwargs):
            out = function(*args, **kwargs)
            if kwargs.get("out") is not None:
                return out
            empty = name != "empty_like" and any(isinstance(a, np.ndarray) and not a.size for a in args)
            return self.kind.of(out) if empty else wrap(out)  # a sum of nothing is a Python zero

        return called

    # letters that NumPy's text would take through floats

    def real(self, x):
        return x.real

    def lowest(self, x):
        return float(np.finfo(np.float64).min)

    def smallest(self, x):
        return float(np.finfo(np.float64).tiny)

    def constant(self, x, value):
        return self.kind.of(np.asarray(value, dtype=x.dtype))

    def arange_like(self, x, n):
        return self.kind.of(np.arange(n, dtype=float if x.dtype == object else x.dtype))

    def eye_like(self, x, n):
        return self.kind.of(np.eye(n, dtype=float if x.dtype == object else x.dtype))

    def argmax(self, x, axis=None, keepdims=False):
        """NumPy's own swallows what a comparison of objects raises."""
        if x.dtype != object:
            return self.kind.wrap(np.argmax(np.asarray(x), axis=axis, keepdims=keepdims))
        rows = np.asarray(x).reshape(-1) if axis is None else np.moveaxis(np.asarray(x), axis, -1)
        places = np.empty(rows.shape[:-1], dtype=np.int64)
        for at in np.ndindex(places.shape):
            row, best = rows[at], 0
            for i in range(1, len(row)):
                if row[i] > row[best]:
                    best = i
            places[at] = best
        if keepdims:
            places = places.reshape((1,) * x.ndim) if axis is None else np.expand_dims(places, axis)
        return self.kind.wrap(places)

    def stable_argsort(self, x, axis=-1):
        return self.kind.wrap(np.argsort(np.asarray(x.real), axis=axis, kind="stable"))

    def scatter_add(self, rows, indices, n):
        width = rows.shape[indices.ndim :]
        out = self.kind.of(np.zeros((n, *width)))
        np.add.at(out.view(np.ndarray), np.asarray(indices), np.asarray(rows))
        return out

    def erf(self, x):
        return self.kind.wrap(each(lambda number: number.erf(), x))

    def erfc(self, x):
        return self.kind.wrap(each(lambda number: number.erfc(), x))


class NumberArray(np.ndarray):
    """Base of all number systems; here the numbers are Python objects, made by ``number``."""

    number: Any = None  # Python number -> number of the system, exactly; identity on the system's own

    spoken: type = Namespace  # what ``array_module`` returns is made by this

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.namespace = cls.spoken(cls)

    def __array_namespace__(self, *, api_version=None):
        return type(self).namespace

    @classmethod
    def of(cls, values):
        """The numbers equal to ``values``; booleans and indices are taken as they are."""
        values = np.asarray(values)
        return cls.wrap(each(cls.number, values) if values.dtype.kind in "fO" else values)

    @classmethod
    def wrap(cls, values):
        """An array again: NumPy hands out bare numbers where an axis runs out."""
        if isinstance(values, (tuple, list)):
            return type(values)(cls.wrap(v) for v in values)
        return np.asarray(values).view(cls)

    @property  # type: ignore[misc]
    def real(self):
        """What decisions look at."""
        return self

    def floats(self):
        """The nearest float64 array."""
        return each(float, self, float) if self.dtype == object else np.asarray(self)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return self.wrap(array)

    def __getitem__(self, key):
        return self.wrap(super().__getitem__(_plain(key)))

    def __setitem__(self, key, value):
        if self.dtype == object:
            value = np.asarray(value) if isinstance(value, NumberArray) else each(self.number, value)
            value = value if value.ndim else value.item()  # or NumPy stores the array as one number
        super().__setitem__(_plain(key), value)


def each(function, array, dtype=object):
    """``function`` of every entry, in an ndarray of ``dtype``."""
    array = np.asarray(array)
    out = np.empty(array.shape, dtype)
    flat = out.reshape(-1)
    for i, entry in enumerate(array.reshape(-1).tolist()):
        flat[i] = function(entry)
    return out


def _plain(key):
    return (
        tuple(map(_plain, key))
        if isinstance(key, tuple)
        else key.view(np.ndarray)
        if isinstance(key, NumberArray)
        else key
    )
