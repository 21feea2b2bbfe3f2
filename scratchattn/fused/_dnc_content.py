"""Content addressing of ``fused/dnc.py``, for the write head and for all read heads at once.

Arguments as in ``_dnc_writing``.  Keys come scaled by strength / length: their products with the rows are
logits, but for the lengths of the rows.
"""


def content(xp, tw, scaled, memory, inverse, logits, weighting, one):
    """weighting = softmax(logits), logits = scaled key . rows / length of the rows."""
    xp.matmul(scaled, memory, out=logits)
    logits *= inverse
    xp.subtract(logits, tw.max(logits, 2, one), out=weighting)
    xp.exp(weighting, out=weighting)
    weighting /= tw.add(weighting, 2, one)


def content_back(xp, tw, dweighting, weighting, logits, rows, inverse, d):
    """From the gradient of a weighting to ``d.dkey`` and ``d.dstrength``, which ``squash_back`` completes.

    ``d.dlogits`` and ``d.pulled`` are left with what that of the memory needs.  The weighted mean is taken
    off twice: the second time removes what the first one rounded.
    """
    dlogits, mean, mean_flat = d.dlogits, d.mean, d.mean_flat
    tw.dot(dweighting, weighting, mean_flat)
    xp.subtract(dweighting, mean, out=dlogits)
    tw.dot(dlogits, weighting, mean_flat)
    dlogits -= mean
    dlogits *= weighting
    tw.dot(dlogits, logits, d.dstrength)
    xp.multiply(dlogits, logits, out=d.pulled)
    dlogits *= inverse
    xp.matmul(dlogits, rows, out=d.dkey)
