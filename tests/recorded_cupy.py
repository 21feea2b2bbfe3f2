"""CuPy's surface over NumPy's arithmetic, for machines without a GPU.

``namespace`` has the names, keywords and ufunc dtypes that ``record_cupy_api.py`` read from CuPy 14, and
nothing else; its arrays behave as CuPy's do, where that is not as NumPy's do:

- nothing is converted implicitly, and NumPy arrays and NumPy scalars are refused beside them (CuPy itself
  takes a ``np.float64``, and makes float64 of float32: here it is refused, since an op has no use for it);
- full reductions and indexing give arrays of no axes, never numbers;
- an integer index array that is out of range wraps silently;
- what would wait for the device is noted in ``reads``, with the line that did it: float(), bool() (``if``),
  int(), complex(), item, get, tolist, values from iteration, boolean indexing, ``nonzero`` and its like;
- two values for one element of an assignment raise (a GPU would keep either).

    x = namespace.asarray(numpy_array)          upload
    with no_reads(): ...                        AssertionError if anything was read from the device
    x.host()                                    the NumPy array, for tests: not counted
"""

import inspect
import json
import sys
from contextlib import contextmanager
from functools import cache

import numpy as np
from record_cupy_api import RECORD
from scipy import special

RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))
reads = []  # one line of text for each time that the device was waited for

_NUMBERS = (bool, int, float, complex)
_UPLOADS = ("array", "asarray", "ascontiguousarray")
_OF_SEQUENCES = ("concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack")
_READING = {*RECORDED["synchronising"], "asnumpy"} - {"where"}  # where reads if it is given one argument only
_READING_METHODS = ("get", "item", "tolist", "tobytes", "tofile", "dump", "dumps", "nonzero", "compress")
_KEYWORDS = {"einsum": {"dtype", "optimize"}}  # where the signature says **kwargs and the text says which


@contextmanager
def no_reads():
    """Nothing within may wait for the device."""
    before = len(reads)
    yield
    assert not reads[before:], f"the device is waited for: {'; '.join(reads[before:])}"


def _note(what):
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    reads.append(f"{what} at {frame.f_code.co_filename}:{frame.f_lineno}")


class ndarray:  # noqa: N801 - CuPy's own name
    """An array on a device that is not there."""

    __slots__ = ("_values",)
    __array_ufunc__ = None
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, values):
        self._values = values

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)
    ndim = property(lambda self: self._values.ndim)

    def host(self):
        """A copy as a NumPy array.  Not CuPy's, and not counted: the way out for a test."""
        return np.array(self._values)

    def __array_namespace__(self):  # CuPy has none; this is how array_module knows whose array this is
        return namespace

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} was given an array of the device")

    def __float__(self):
        return self._number("float()", float)

    def __int__(self):
        return self._number("int()", int)

    def __complex__(self):
        return self._number("complex()", complex)

    def __bool__(self):
        return self._number("bool(), as in `if array`,", bool)

    def _number(self, what, kind):
        _note(what)
        return kind(self._values)

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        if self.ndim == 1:
            _note("iteration over values")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        if any(_is_mask(part) for part in _parts(key)):
            _note("a boolean index")
        return _wrap(self._values[_index(key, self.shape)])

    def __setitem__(self, key, value):
        key, value = _index(key, self.shape), _unwrap(value)
        if np.ndim(value) and any(
            isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in _parts(key)
        ):
            places = np.arange(self._values.size).reshape(self.shape)[key]
            if len(np.unique(places)) < places.size:
                raise ValueError("two values are assigned to one element: a GPU would keep either")
        self._values[key] = value

    def __getattr__(self, name):
        if name in RECORDED["properties"]:
            found = getattr(self._values, name)
            return found if type(found) in (int, tuple) or isinstance(found, np.dtype) else _wrap(found)
        if name not in RECORDED["methods"]:
            raise AttributeError(f"cupy.ndarray {RECORDED['version']} has no attribute {name!r}")
        written = RECORDED["methods"][name]

        def method(*args, **kwargs):
            _fits(name, written, args, kwargs)
            if name in _READING_METHODS:
                _note(f"{name}()")
            if name == "get":
                return self.host()
            if name in ("take", "reshape", "transpose"):
                return getattr(namespace, name)(self, *_packed(name, args), **kwargs)
            return _wrap(getattr(self._values, name)(*map(_unwrap, args), **_unwrapped(kwargs)))

        return method


def _packed(name, args):
    """x.reshape(2, 3) and x.transpose(1, 0) take numbers where the functions take a tuple."""
    return (args,) if name != "take" and args and type(args[0]) is int else args


def _operator(name, in_place=False):
    compute = getattr(np.ndarray, name)

    def operator(self, *other):
        done = compute(self._values, *map(_unwrap, other))
        if done is NotImplemented:
            return NotImplemented
        return self if in_place else _wrap(done)

    return operator


_BINARY = "add and floordiv lshift matmul mod mul or pow rshift sub truediv xor".split()
_UNARY_AND_COMPARISONS = "abs eq ge gt invert le lt ne neg pos".split()
for _word in [*_UNARY_AND_COMPARISONS, *_BINARY, *[f"r{w}" for w in _BINARY], *[f"i{w}" for w in _BINARY]]:
    if f"__{_word}__" in RECORDED["operators"]:
        _changes = _word[0] == "i" and _word[1:] in _BINARY
        setattr(ndarray, f"__{_word}__", _operator(f"__{_word}__", in_place=_changes))


class _Namespace:
    """The module ``cupy`` as recorded; ``erf`` and ``erfc`` are cupyx's, which has no place here."""

    __name__ = "cupy"

    def __getattr__(self, name):
        if name in RECORDED["attributes"]:
            found = ndarray if name == "ndarray" else getattr(np, name)
        elif name in RECORDED["ufuncs"]:
            found = _ufunc(name, **RECORDED["ufuncs"][name])
        elif name in RECORDED["functions"]:
            found = _function(name, RECORDED["functions"][name])
        else:
            raise AttributeError(f"cupy {RECORDED['version']} has no {name!r}")
        setattr(self, name, found)
        return found

    @staticmethod
    def erf(x):
        return _wrap(special.erf(_unwrap(x)))

    @staticmethod
    def erfc(x):
        return _wrap(special.erfc(_unwrap(x)))


namespace = _Namespace()


def _function(name, written):
    compute, sequences = getattr(np, name, None), name in _OF_SEQUENCES
    if compute is None and name != "asnumpy":
        raise AttributeError(f"cupy.{name} is recorded, but NumPy has nothing to stand in for it")

    def function(*args, **kwargs):
        _fits(name, written, args, kwargs)
        if name in _READING or (name == "where" and len(args) + len(kwargs) == 1):
            _note(f"{name}()")
        if name == "asnumpy":
            return args[0].host()
        if name in _UPLOADS:
            args = (getattr(args[0], "_values", args[0]), *args[1:])
            return ndarray(np.array(compute(*args, **_unwrapped(kwargs))))
        if name == "where" and not isinstance(args[0], ndarray):
            raise AttributeError(f"where: an array condition expected, got {type(args[0]).__name__}")
        if name in ("reshape", "broadcast_to") and any(type(n) is ndarray for n in args[1:]):
            raise TypeError(f"cupy.{name}: 'ndarray' object cannot be interpreted as an integer")
        if name in ("take", "take_along_axis"):
            args = _wrapped_around(name, *args, **kwargs)
            kwargs = {}
        unwrap = _unwrap_all if sequences else _unwrap
        return _wrap(compute(*map(unwrap, args), **_unwrapped(kwargs)))

    function.__name__ = name
    return function


def _wrapped_around(name, a, indices, axis=None, out=None):
    """Arguments with the indices brought into range."""
    n = a.size if axis is None else a.shape[axis]
    indices = _unwrap(indices)
    indices = ndarray(np.mod(indices, n) if n else indices)
    return (a, indices, axis) if name == "take_along_axis" else (a, indices, axis, out)


def _ufunc(name, inputs, outputs, types):
    compute = getattr(np, name)

    def ufunc(*args, **kwargs):
        for word in kwargs:
            if word not in ("out", "dtype", "casting"):
                raise TypeError(f"cupy.{name}: Wrong arguments {word!r}")
        if not inputs <= len(args) <= inputs + outputs:
            raise TypeError(f"cupy.{name}: {inputs} arguments expected, got {len(args)}")
        kinds = [x.dtype for x in args[:inputs] if isinstance(x, ndarray)]
        if not any(all(any(np.can_cast(k, t) for t in line.split("->")[0]) for k in kinds) for line in types):
            raise TypeError(f"cupy.{name} has no loop for {', '.join(map(str, kinds))}")
        return _wrap(compute(*map(_unwrap, args), **_unwrapped(kwargs)))

    ufunc.__name__ = name
    return ufunc


def _unwrap(x):
    """The NumPy array inside; what CuPy would refuse, or we do, is refused."""
    if type(x) is ndarray:
        return x._values
    if isinstance(x, (np.ndarray, np.generic)):
        raise TypeError(f"Unsupported type {type(x)}")
    return x


def _unwrap_all(x):
    return [_unwrap(y) for y in x] if isinstance(x, (list, tuple)) else _unwrap(x)


def _unwrapped(kwargs):
    return {name: _unwrap(x) for name, x in kwargs.items()}


def _wrap(x):
    if isinstance(x, (np.ndarray, np.generic)):
        return ndarray(np.asarray(x))
    return tuple(map(_wrap, x)) if type(x) is tuple and x and isinstance(x[0], np.ndarray) else x


def _parts(key):
    return key if isinstance(key, tuple) else (key,)


def _is_mask(part):
    return isinstance(part, ndarray) and part.dtype == bool


def _index(key, shape):
    """The key for NumPy, with integer arrays brought into range as the device would."""
    parts, axis, ready = _parts(key), 0, []
    taken = sum(1 if not _is_mask(p) else p.ndim for p in parts if p is not None and p is not Ellipsis)
    for part in parts:
        values = _unwrap(part)
        if isinstance(part, ndarray) and values.dtype.kind in "iu" and shape[axis]:
            values = values % shape[axis]
        ready.append(values)
        if part is Ellipsis:
            axis += len(shape) - taken
        elif part is not None:
            axis += part.ndim if _is_mask(part) else 1
    return tuple(ready) if isinstance(key, tuple) else ready[0]


def _fits(name, written, args, kwargs):
    """TypeError, as Python's own, for arguments that the recorded signature does not take."""
    if written is None:
        return
    try:
        signature(written).bind(*args, **kwargs)
    except TypeError as misfit:
        raise TypeError(f"cupy.{name}({written}): {misfit}") from None
    strangers = set(kwargs) - _KEYWORDS.get(name, set(kwargs))
    if strangers:
        raise TypeError(f"cupy.{name}: unknown keywords {sorted(strangers)}")


@cache
def signature(written):
    """The parameters that "a, axis=, *, copy=" stands for."""
    parameter, kind, found = inspect.Parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD, []
    for word in filter(None, written.split(", ")):
        name, default, _ = word.partition("=")
        if word == "/":
            found = [p.replace(kind=parameter.POSITIONAL_ONLY) for p in found]
        elif word == "*":
            kind = parameter.KEYWORD_ONLY
        elif word.startswith("**"):
            found.append(parameter(word[2:], parameter.VAR_KEYWORD))
        elif word.startswith("*"):
            kind = parameter.KEYWORD_ONLY
            found.append(parameter(word[1:], parameter.VAR_POSITIONAL))
        else:
            found.append(parameter(name, kind, default=None if default else parameter.empty))
    return inspect.Signature(found)
