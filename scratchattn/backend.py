"""Which array library computes, and the words in which an op may speak to it.

Three rules keep every op readable.

1.  *Arrays decide.*  An op computes with the library that owns its arrays::

        xp = array_module(key, memory)

    so array type in equals array type out, and a mixture of libraries is an error, never a
    silent copy across the bus.

2.  ``use`` decides only where *new* arrays are born (parameters, initial states, data).  It
    never changes what happens to an array that exists.

3.  *One alphabet.*  Ops write operators and the names in ``ALPHABET``, no others: names of the
    Python array API standard that NumPy and CuPy both have, called as ``xp.exp(x)``, and the
    ``LETTERS`` below, called as ``erf(x)``, where the libraries differ or have nothing.  A
    namespace that defines one of the letters itself is asked first, so a new number system
    can say what ``real`` or ``erf`` means in it.
"""

import sys
from importlib import import_module

STANDARD = frozenset(
    "argmax broadcast_to concat cumulative_sum exp expand_dims flip log log1p matmul matrix_transpose "
    "max ones_like permute_dims pi reshape roll sqrt squeeze stack sum take_along_axis tanh tril triu "
    "where zeros_like".split()
)
LETTERS = frozenset(
    "arange_like constant erf erfc eye_like gather lowest real scatter_add smallest stable_argsort".split()
)
ALPHABET = STANDARD | LETTERS
# The fused tier writes into buffers: the same names, with ``out=`` where NumPy has it, and these.  Not
# ``negative``: NumPy 2.4's, from entries 8 doubles or 4 floats apart into entries apart, reads neighbours.
FUSED_ALPHABET = ALPHABET | frozenset(
    "add copyto divide empty_like maximum multiply reciprocal subtract".split()
)

_SCALARS = frozenset((bool, int, float, complex, type(None)))
_OWNERS = {}  # array type -> its library
_born = "numpy"


def array_module(*arrays):
    """Return the namespace that owns ``arrays``; refuse a mixture.

    Python numbers and None belong to every library.  TypeError if no array is among ``arrays``,
    if two libraries are, or if one is no array at all.
    """
    owner = None
    for array in arrays:
        kind = type(array)
        if kind in _SCALARS:
            continue
        found = _OWNERS.get(kind) or _owner(array)
        if owner is None:
            owner = found
        elif found is not owner:
            names = sorted((owner.__name__, found.__name__))
            raise TypeError(f"arrays of one library expected, got {names[0]} and {names[1]}")
    if owner is None:
        raise TypeError("at least one array expected, got none")
    return owner


def _owner(array):
    kind = type(array)
    library = kind.__module__.partition(".")[0]
    if library in ("numpy", "cupy"):  # cupy.ndarray lacks __array_namespace__ (14.2)
        _OWNERS[kind] = sys.modules[library]
    elif hasattr(array, "__array_namespace__"):
        _OWNERS[kind] = array.__array_namespace__()
    else:
        raise TypeError(f"an array expected, got {kind.__name__}")
    return _OWNERS[kind]


def adopt(kind, namespace):
    """Let ``namespace``, which speaks the alphabet, own arrays of the class ``kind`` from here on."""
    _OWNERS[kind] = namespace


class use:  # noqa: N801 - reads as a verb: ``backend.use("cupy")``
    """Choose where new arrays are born; as a context manager, only within it.

    ``library``: "numpy" or "cupy".  ValueError for another name, ImportError (here, not in the
    middle of a run) if the library is not installed.
    """

    def __init__(self, library):
        global _born
        if library not in ("numpy", "cupy"):
            raise ValueError(f"use: library must be 'numpy' or 'cupy', got {library!r}")
        try:
            import_module(library)
        except ImportError as missing:
            raise ImportError(
                "backend.use('cupy') needs CuPy: install scratchattn[gpu] for CUDA 12 or "
                "scratchattn[gpu13] for CUDA 13"
            ) from missing
        self._before, _born = _born, library

    def __enter__(self):
        return sys.modules[_born]

    def __exit__(self, *exc):
        global _born
        _born = self._before


def asarray(values, dtype=None):
    """Bring ``values`` to the library in use: the one place where data may enter a device."""
    return import_module(_born).asarray(values, dtype=dtype)


def to_numpy(array):
    """Bring ``array`` to the host: the one place where data may leave a device."""
    return array.get() if _owner(array).__name__ == "cupy" else import_module("numpy").asarray(array)


def sum_to_shape(array, shape):
    """Sum ``array`` down to ``shape``: the transpose of broadcasting ``shape`` up to it."""
    if array.shape == shape:
        return array
    added = array.ndim - len(shape)
    axes = (*range(added), *[added + i for i, n in enumerate(shape) if n == 1])
    xp = array_module(array)
    return xp.reshape(xp.sum(array, axis=axes), shape)


# ---- letters of our own -----------------------------------------------------


def real(x):
    """The real part of ``x``: what decisions look at, and never what is returned."""
    return array_module(x).real(x)


def lowest(x):
    """The most negative finite number of ``x``'s precision, as a Python float."""
    xp = array_module(x)
    own = getattr(xp, "lowest", None)
    return own(x) if own else float(xp.finfo(x.dtype).min)


def smallest(x):
    """The smallest positive number of ``x``'s precision that has all its digits, as a Python float."""
    xp = array_module(x)
    own = getattr(xp, "smallest", None)
    return own(x) if own else float(xp.finfo(x.dtype).tiny)


def constant(x, value):
    """The number ``value`` as an array of no axes, of the library, device and dtype of ``x``."""
    xp = array_module(x)
    own = getattr(xp, "constant", None)
    if own:
        return own(x, value)
    if xp.__name__ in ("numpy", "cupy"):
        return xp.full((), value, dtype=x.dtype)
    first = tuple(slice(0, min(n, 1)) for n in x.shape)  # not every library lets a slice end beyond an axis
    return xp.full_like(xp.sum(x[first]), value, dtype=x.dtype)  # the sum of int32 is an int64


def arange_like(x, n):
    """0, 1, ..., n - 1 in the library, device and dtype of ``x``."""
    xp = array_module(x)
    own = getattr(xp, "arange_like", None)
    if own:
        return own(x, n)
    ones = xp.broadcast_to(constant(x, 1), (n,))
    return xp.cumulative_sum(ones, axis=0, dtype=x.dtype) - 1


def eye_like(x, n):
    """The identity matrix of ``n`` rows in the library, device and dtype of ``x``."""
    xp = array_module(x)
    own = getattr(xp, "eye_like", None)
    if own:
        return own(x, n)
    ones = xp.broadcast_to(constant(x, 1), (n, n))
    return xp.tril(xp.triu(ones))


def stable_argsort(x, axis=-1):
    """The permutation that sorts ``real(x)`` ascending; equal numbers keep their order."""
    xp = array_module(x)
    own = getattr(xp, "stable_argsort", None)
    if own:
        return own(x, axis=axis)
    if xp.__name__ in ("numpy", "cupy"):  # CuPy has ``kind`` and no ``stable``
        return xp.argsort(real(x), axis=axis, kind="stable")
    return xp.argsort(real(x), axis=axis, stable=True)


def gather(x, indices):
    """Rows of ``x``: (n, ...) at integers of any shape -> indices.shape + (...)."""
    xp = array_module(x, indices)
    own = getattr(xp, "gather", None)
    if own:
        return own(x, indices)
    rows = xp.take(x, xp.reshape(indices, (-1,)), axis=0)
    return xp.reshape(rows, (*indices.shape, *x.shape[1:]))


def scatter_add(rows, indices, n):
    """The transpose of ``gather``: sum ``rows`` into ``n`` rows, each at its index.

    The same bits each time, also on a GPU: rows are sorted by index and summed in segments, in
    log2(rows) passes, with no atomic addition and no look at the data from the host.
    """
    xp = array_module(rows, indices)
    own = getattr(xp, "scatter_add", None)
    if own:
        return own(rows, indices, n)
    width = rows.shape[indices.ndim :]
    indices = xp.reshape(indices, (-1,))
    rows = xp.reshape(rows, (indices.shape[0], *width))
    if xp.__name__ == "numpy":
        out = xp.zeros_like(rows, shape=(n, *width))
        xp.add.at(out, indices, rows)
        return out
    return _segment_sum(xp, rows, indices, n)


def _segment_sum(xp, rows, indices, n):
    m, width = rows.shape[0], rows.shape[1:]
    if m == 0:
        return xp.broadcast_to(constant(rows, 0), (n, *width)) + 0
    order = stable_argsort(indices)
    indices, rows = xp.take(indices, order, axis=0), xp.take(rows, order, axis=0)
    reach = 1
    while reach < m:  # after each pass, a row holds the sum of up to 2 * reach rows of its segment
        same = xp.reshape(indices[reach:] == indices[:-reach], (-1,) + (1,) * len(width))
        carried = xp.where(same, rows[:-reach, ...], 0)
        rows = xp.concat([rows[:reach, ...], rows[reach:, ...] + carried])
        reach *= 2
    targets = xp.cumulative_sum(xp.broadcast_to(xp.ones_like(indices[:1]), (n,)), axis=0) - 1
    first, last = (xp.searchsorted(indices, targets, side=side) for side in ("left", "right"))
    ends = xp.take(rows, xp.where(last > first, last - 1, 0), axis=0)
    return xp.where(xp.reshape(last > first, (-1,) + (1,) * len(width)), ends, 0)


def erf(x):
    """The error function, also of complex numbers, to the last place."""
    found = _error_function("erf", x)
    return _erf_by_series(array_module(x), x) if found is None else found


def erfc(x):
    """1 - erf(x) with all digits of its tail, also of complex numbers."""
    found = _error_function("erfc", x)
    return _erfc_by_fraction(array_module(x), x) if found is None else found


def _error_function(name, x):
    xp = array_module(x)
    own = getattr(xp, name, None)
    if own:
        return own(x)
    if xp.__name__ == "numpy":
        return getattr(import_module("scipy.special"), name)(x)
    if xp.__name__ == "cupy" and x.dtype.kind == "f":  # CuPy's are of real numbers only (14.2)
        return getattr(import_module("cupyx.scipy.special"), name)(x)
    return None


def _erf_by_series(xp, x):
    """2/sqrt(pi) exp(-x^2) sum_k (2x)^(2k+1) / (2 (2k+1)!!): all terms of one sign, nothing cancels."""
    large = (real(x) > 6) | (real(x) < -6)
    small = xp.where(large, 0, x)
    term = total = small
    for k in range(1, 150):
        term = term * (2 * small * small / (2 * k + 1))
        total = total + term
    inside = total * xp.exp(-small * small) * (2 / xp.pi**0.5)
    return xp.where(large, xp.where(real(x) > 0, xp.ones_like(x), -xp.ones_like(x)), inside)


def _erfc_by_fraction(xp, x):
    """exp(-x^2) / sqrt(pi) / (x + (1/2) / (x + (2/2) / (x + (3/2) / ...))), in the upper tail."""
    tail = real(x) > 2
    far = xp.where(tail, x, 2)
    fraction = far
    for k in range(100, 0, -1):
        fraction = far + (k / 2) / fraction
    return xp.where(tail, xp.exp(-far * far) / (fraction * xp.pi**0.5), 1 - erf(xp.where(tail, 0, x)))
