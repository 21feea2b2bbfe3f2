"""Content addressing of ``fused/dnc.py``, for all write heads and for all read heads at once.

Arguments as in ``_dnc_writing``; ``look`` is what one kind of head looks with.  If a row has one length for
all heads, keys come scaled by strength / length: their products with the rows are logits, but for the lengths
of the rows.  If not: ``_dnc_comparison``.
"""

from ._dnc_comparison import compare, compare_back


def content(xp, tw, look, memory, inverse, f, sizes):
    """weighting = softmax(strength * cosine)."""
    logits, weighting, one = look.logits, look.weighting, look.one
    if sizes.plain:
        xp.matmul(look.scaled, memory, out=logits)
        logits *= inverse
    else:
        compare(xp, look, memory, f.squares, sizes.convention)
    xp.subtract(logits, tw.max(logits, 2, one), out=weighting)
    xp.exp(weighting, out=weighting)
    tw.dot(weighting, f.ones_of_rows, look.total)
    weighting /= one


def content_back(xp, tw, dweighting, look, rows, inverse, d, g, sizes):
    """From the gradient of a weighting to ``d.dkey`` and ``d.dstrength``, which ``squash_back`` completes.

    ``d.dlogits`` and ``d.pulled`` are left with what that of the memory needs.  The weighted mean is taken
    off twice: the second time removes what the first one rounded.
    """
    dlogits, mean, mean_flat, weighting, logits = d.dlogits, d.mean, d.mean_flat, look.weighting, look.logits
    tw.dot(dweighting, weighting, mean_flat)
    xp.subtract(dweighting, mean, out=dlogits)
    tw.dot(dlogits, weighting, mean_flat)
    dlogits -= mean
    dlogits *= weighting
    if sizes.plain:
        tw.dot(dlogits, logits, d.dstrength)
        xp.multiply(dlogits, logits, out=d.pulled)
        dlogits *= inverse
    else:
        compare_back(xp, tw, look, d, g, sizes.convention)
    xp.matmul(dlogits, rows, out=d.dkey)
