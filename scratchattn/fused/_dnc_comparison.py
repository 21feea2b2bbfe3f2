"""Content addressing of ``fused/dnc.py`` where the length of a row is not a factor of its own.

So it is under masks, where every head sees rows of other lengths, and where something is added to a product
of lengths: ``similarity.FORMS``.  With a key k, its mask m, rows M_i and the lengths s of what is compared,

    c_i = (k' m) . M_i / H(s(k') s_i),   k' = k m or k,   s_i = s(M_i m), from (M_i M_i) . (m m)

and with q = strength g(z) / D and r = q c H' as in ``ops/cosine_addressing``,

    g(k') = m q M - k' s'(k') sum_i r_i s_i
    g(m)  = k' q M - m sum_i (s(k') r_i s_i') M_i M_i,  and k g(k') if k' = k m
    g(M)  = (k' m) q  - M (m m) s(k') r s'               over all heads

where s' is what a vector is multiplied by for the slope of its length.
"""

from ..backend import real
from ..similarity import FORMS


def prepare(xp, tw, v, chosen):
    """Masks, the keys under them, and their lengths."""
    keys, masks, seen, measure = v.keys, v.masks, v.seen, FORMS[chosen.form][0]
    if chosen.masked:
        if chosen.mask_min:
            xp.multiply(v.raised_masks, 1 - chosen.mask_min, out=masks)
            masks += chosen.mask_min
        if chosen.mask_keys:
            xp.multiply(keys, masks, out=seen)
        xp.multiply(masks, masks, out=v.masks_squared)
        xp.multiply(seen, masks, out=v.scaled)
    else:
        v.scaled[...] = keys
    tw.dot(seen, seen, v.length)
    length, v.key_slope = measure(xp, v.length_of_words, chosen.eps)
    for look in (v.readers, v.writer):
        look.key_length = length[:, look.heads]


def compare(xp, look, memory, squares, chosen):
    """Logits of some heads; what ``compare_back`` needs stays with ``look``."""
    measure, join = FORMS[chosen.form]
    look.row_length, look.row_slope = measure(xp, xp.matmul(look.masks_squared, squares), chosen.eps)
    lengths = look.key_length * look.row_length
    denominator, look.join_slope = join(xp, lengths, chosen.eps)
    look.inverse = 1 / denominator
    if chosen.form == "none":  # what has no length has no direction, and no gradient
        look.inverse = xp.where(real(lengths) > 0, look.inverse, 0)
    similarity = xp.matmul(look.scaled, memory, out=look.similarity)
    similarity *= look.inverse
    xp.multiply(similarity, look.strength, out=look.logits)


def compare_back(xp, tw, look, d, g, chosen):
    """From the gradient of logits, ``d.dlogits``, to q, and to what lengths pull."""
    q, pulled = d.dlogits, d.pulled
    tw.dot(q, look.similarity, d.dstrength)
    q *= look.strength
    q *= look.inverse
    xp.multiply(q, look.similarity, out=pulled)
    if look.join_slope is not None:
        pulled *= look.join_slope
    tw.dot(pulled, look.row_length, d.pull)
    pulled *= look.row_slope
    pulled *= look.key_length
    if chosen.masked:
        xp.matmul(pulled, g.squares_of_rows, out=d.pulled_by_rows)


def prepare_back(xp, v, d, g, chosen):
    """From the gradient of masked keys, ``d.dkeys``, to those of keys and masks."""
    dkeys, dmasks, masks, seen, over = d.dkeys, d.dmasks, v.masks, v.seen, g.over_keys
    g.pull *= v.key_slope
    if chosen.masked:
        xp.multiply(dkeys, seen, out=dmasks)
        dmasks -= xp.multiply(masks, g.pulled_by_rows, out=over)
        dkeys *= masks
    dkeys -= xp.multiply(seen, g.pull, out=over)
    if chosen.masked and chosen.mask_keys:
        dmasks += xp.multiply(dkeys, v.keys, out=over)
        dkeys *= masks


def pull_on_memory(xp, memory, g):
    """Add to the gradient of a memory what the lengths of its rows, under all masks, pull."""
    pull = xp.matmul(g.masks_squared_columns, g.pulled, out=g.change)
    pull *= memory
    g.dmemory -= pull
