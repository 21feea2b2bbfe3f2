"""Derivatives by evaluation alone.  Knows nothing of ops, tapes or backends: NumPy in, numbers out.

``f`` takes arrays and returns a tuple of arrays; so do its derivatives.

Four methods, because each trusts something different:

    complex_step     exact to rounding, but only where f is analytic, and it inherits
                     the cancellations of f's own formula
    ridders          any smooth f, real arithmetic, with an error estimate; 8-12 digits
    central          the same at one fixed step, all of the Jacobian; 7 digits
    exact_jacobian   a plain-Python transcription of f in 60-digit arithmetic; the truth
"""

import numpy as np


def complex_step(f, primals, tangents, h=1e-100):
    """J v to rounding error: Im f(x + i h v) / h.  Analytic f only: no abs, no conj, no max.

    h is as small as it may be while h^2 is still a float64; float32 primals take 1e-12.
    """
    single = any(x.dtype == np.float32 for x in primals)
    h = np.float32(1e-12) if single else h
    out = f(
        *[x + h * v * (np.complex64(1j) if single else 1j) for x, v in zip(primals, tangents, strict=True)]
    )
    return tuple(y.imag / h for y in out)


def complex_step_jacobian(f, primals, which):
    """Dense Jacobians with respect to one primal, one complex evaluation per element."""
    return _by_columns(primals, which, lambda tangents: complex_step(f, primals, tangents))


def ridders(phi, h=1e-2, rounds=8, noise=0.0):
    """Return (phi'(0), its estimated error) for a scalar function of a scalar.

    Central differences at h, h/2, h/4, ... with even powers of h extrapolated away; keep the
    estimate whose neighbours agree best, and admit at least the rounding error phi carries; ``noise`` is
    what the rounding of its argument adds.
    A check then takes its tolerance from the estimate, not from taste.

    Source: Ridders, Advances in Engineering Software 4 (1982) 75.
    """
    above, below = phi(h), phi(-h)
    rounding = np.finfo(float).eps * max(abs(above), abs(below)) + noise
    previous = [(above - below) / (2 * h)]
    best, error = previous[0], np.inf
    for i in range(1, rounds):
        h /= 2
        row = [(phi(h) - phi(-h)) / (2 * h)]
        for j in range(1, i + 1):
            row.append(row[-1] + (row[-1] - previous[j - 1]) / (4**j - 1))
            spread = max(abs(row[j] - row[j - 1]), abs(row[j] - previous[j - 1]), rounding / h)
            if spread < error:
                best, error = row[j], spread
        previous = row
    return best, error


def central_jacobian(f, primals, which, h=1e-4):
    """Dense Jacobians by central differences at h and 2 h, h^2 extrapolated away; and their rounding."""

    def column(tangents):
        def at(step):
            return f(*[x + step * v for x, v in zip(primals, tangents)])

        four = zip(at(h), at(-h), at(2 * h), at(-2 * h))
        return tuple((8 * (a - b) - (c - d)) / (12 * h) for a, b, c, d in four)

    largest = max((abs(y).max() for y in f(*primals) if y.size), default=0.0)
    return _by_columns(primals, which, column), np.finfo(float).eps * largest / h


def exact_jacobian(f, primals, which, digits=120):
    """Dense Jacobians of ``f``, which must accept arrays of mpmath numbers.

    Sixty digits of the truth need more to work with: at 120 a difference over h = 1e-40 leaves 80 of
    them, also of a slope that is 1e-60 of its function.  There is no step to tune, nothing need be
    analytic.
    """
    import mpmath

    with mpmath.workdps(digits):
        exact = [exactly(mpmath.mpf, x) for x in primals]
        h = mpmath.mpf(10) ** -(digits // 3)

        def column(tangents):
            step = [h * v.astype(object) for v in tangents]
            above = f(*[x + d for x, d in zip(exact, step)])
            below = f(*[x - d for x, d in zip(exact, step)])
            return tuple(np.asarray((a - b) / (2 * h)).astype(float) for a, b in zip(above, below))

        return _by_columns(primals, which, column)


def exactly(number, x):
    """The entries of ``x`` as numbers of another kind; no ufunc, which would warn of NaN."""
    numbers = np.empty(x.size, dtype=object)
    numbers[:] = [number(entry) for entry in x.ravel().tolist()]
    return numbers.reshape(x.shape)


def _by_columns(primals, which, column):
    x, columns = primals[which], []
    for index in np.ndindex(x.shape):
        tangents = [np.zeros(p.shape) for p in primals]
        tangents[which][index] = 1.0
        columns.append(column(tangents))
    if not columns:
        return tuple(np.zeros(np.shape(y) + x.shape) for y in column([np.zeros(p.shape) for p in primals]))
    blocks = [np.stack(block, axis=-1) for block in zip(*columns)]
    return tuple(block.reshape(block.shape[:-1] + x.shape) for block in blocks)
