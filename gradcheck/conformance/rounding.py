"""Rounding to a floating-point format, to nearest, toward zero or at random, in float64 arithmetic."""

import numpy as np

# digits of the significand, the least exponent of a normal number (of 0.1...), the largest number
FORMATS = {
    "float64": (53, -1021, np.finfo(np.float64).max),
    "float32": (24, -125, float(np.finfo(np.float32).max)),
    "float16": (11, -13, 65504.0),
    "bfloat16": (8, -125, float.fromhex("0x1.fep127")),
}
MODES = ("nearest", "toward_zero", "stochastic")


def rounded(x, dtype, mode="nearest", rng=None):
    """``x`` (float64) as numbers of ``dtype``, in float64 still; ties go to even, overflow to infinity.

    "toward_zero" cuts digits off; "stochastic" goes up or down with the probability that makes the mean
    right, and draws from ``rng``.  ValueError for another mode or format.
    """
    if dtype not in FORMATS:
        raise ValueError(f"rounded: dtype must be one of {', '.join(FORMATS)}, got {dtype!r}")
    if mode not in MODES:
        raise ValueError(f"rounded: mode must be one of {', '.join(MODES)}, got {mode!r}")
    x = np.asarray(x, dtype=float)
    if dtype == "float64":
        return x
    digits, least, largest = FORMATS[dtype]
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(x)
        place = np.maximum(exponent, least) - digits  # of the last digit
        scaled = np.ldexp(x, -place)
        if mode == "nearest":
            whole = np.rint(scaled)
        elif mode == "toward_zero":
            whole = np.trunc(scaled)
        else:
            whole = np.floor(scaled + rng.uniform(size=x.shape))
        y = np.ldexp(whole, place)
        over = abs(y) > largest
        y = np.where(over, np.copysign(largest if mode == "toward_zero" else np.inf, x), y)
    return np.where(np.isfinite(x), y, x)


def unit_in_the_last_place(x, dtype):
    """The distance of neighbours in ``dtype`` at the size of ``x``, at least the smallest normal number's."""
    digits, least, _ = FORMATS[dtype]
    _, exponent = np.frexp(np.where(np.isfinite(x), x, 0.0))
    exponent = np.where(x == 0, least, exponent)  # that of zero is 0, as if it were nearly one
    return np.ldexp(1.0, np.maximum(exponent, least) - digits)


def underflow(dtype):
    """What may be lost to underflow: the smallest normal number, of which many flush all below to zero.

    Nobody does so in float16, where that would be 6e-5: there it is a few of the smallest numbers of all.
    """
    return 2.0**-18 if dtype == "float16" else float(np.ldexp(1.0, FORMATS[dtype][1] - 1))
