"""Sharpened links of ``fused/dnc.py``: weightings along the links, each raised to a power of its own.

Arguments as in ``_dnc_writing``; as in ``ops/sharpening``, of what the links give plus ``eps``, which is
positive: links are never negative but for rounding.  Back and onwards lie beside each other, (b, 2, k, r, n).
"""


def sharpen(xp, tw, v, f, eps):
    """softmax(sharpness * log), logarithms relative to the largest."""
    base, logs, shares, one = v.along, v.logs, v.along_sharpened, f.one_along
    base += eps
    tw.log(xp.divide(base, tw.max(base, -1, one), out=logs), logs)
    logs -= tw.max(logs, -1, one)  # of a complex quotient by itself the tangent need not be zero
    xp.multiply(logs, v.sharpness, out=shares)
    xp.exp(shares, out=shares)
    shares /= tw.add(shares, -1, one)


def sharpen_back(xp, tw, v, d, g):
    """From the gradient of what is sharp to that of what was not, in place.

    The weighted mean is taken off twice: see ``_dnc_content``.
    """
    dalong, shares = g.dalong, v.along_sharpened
    for _ in range(2):
        tw.dot(dalong, shares, g.mean_along_flat)
        dalong -= g.mean_along
    dalong *= shares
    tw.dot(dalong, v.logs, d.dsharpness)
    dalong *= v.sharpness
    dalong /= v.along
