"""Content addressing of ``fused/dnc.py``, for the write head and for all read heads at once.

Arguments as in ``_dnc_writing``.  The length of a key is a factor of a whole head: it is in the slope of the
logits and not in the cosine.
"""


def content(xp, tw, key, memory, inverse, slope, cosine, weighting, one):
    """weighting = softmax(slope cosine), cosine = key . rows / length of the rows."""
    xp.matmul(key, memory, out=cosine)
    cosine *= inverse
    xp.multiply(cosine, slope, out=weighting)
    weighting -= tw.max(weighting, 2, one)
    xp.exp(weighting, out=weighting)
    weighting /= tw.add(weighting, 2, one)


def content_back(xp, tw, dweighting, weighting, cosine, key, slope, rows, inverse, d, g):
    """From the gradient of a weighting to those of keys and strengths, ``d.dkey`` and ``d.dstrength``.

    ``d.dcosine`` and ``d.pulled`` are left with what those of the memory need.  The weighted mean is taken
    off twice: the second time removes what the first one rounded.
    """
    dcosine, mean, mean_flat = d.dcosine, d.mean, d.mean_flat
    tw.dot(dweighting, weighting, mean_flat)
    xp.subtract(dweighting, mean, out=dcosine)
    tw.dot(dcosine, weighting, mean_flat)
    dcosine -= mean
    dcosine *= weighting
    tw.dot(dcosine, cosine, d.dstrength)  # the slopes of the heads have the rest
    xp.multiply(d.dstrength, d.key_pull, out=mean_flat)
    dcosine *= slope
    xp.multiply(dcosine, cosine, out=d.pulled)
    dcosine *= inverse
    xp.matmul(dcosine, rows, out=d.dkey)
    d.dkey -= xp.multiply(key, mean, out=d.over_keys)
