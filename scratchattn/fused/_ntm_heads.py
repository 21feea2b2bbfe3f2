"""The heads of ``fused/ntm.py`` in one step: squashing, addressing, writing, and the way back.

``v`` and ``d`` are the views of this step into the buffers of the forward and of the backward,
``f`` and ``g`` those buffers, ``xp`` the library, ``tw`` its twins.  Everything is written in
place, and nothing that a recording keeps is written in the backward.
"""

from ..calculus import sigmoid
from ..twins import NEVER


def emitting_weights(xp, weights, sizes):
    """Head weights with the bias as last row, columns as in ``Sizes.emitted``."""
    c = sizes.columns()
    w = xp.concat([weights.head_weights, weights.head_bias[None, :]], axis=0)
    named = {name: w[:, where] for name, where in c.items()}
    first = [named["key"], -named["gate"], named["gate"], -named["erase"], named["write_vector"]]
    return xp.concat([*first, w[:, c["strength"].start :]], axis=1)


def squash(xp, tw, v, f):
    """Emitted head parameters into their domains.

    They come with erase and gate negated and gate once more: 1 / (1 + exp(.)) of these keeps all
    digits of erase, of gate and of 1 - gate.
    """
    tw.rising(v.raw_rising, v.exponentials_of_heads, v.rising)
    v.write_vector[...] = v.raw_write_vector
    tw.log1pexp(v.raw_softplus, v.softplus)
    v.above_one += 1
    shift = v.shift  # (s, b, k): what runs over a few shifts runs over whole blocks
    shift[...] = v.raw_shift
    shift -= tw.max(shift, 0, f.over_shifts)
    xp.exp(shift, out=shift)
    shift /= tw.add(shift, 0, f.over_shifts)


def address(xp, tw, v, f, eps, tiny):
    """Weightings of all heads on the memory before the write."""
    multiply, one = xp.multiply, f.one
    # content: cosine similarity, every head against the same rows; lengths of keys and the softmax's sum
    # stay factors of a whole head
    tw.dot(v.raw_key, v.raw_key, v.key_squares)
    inverse, cosine, content = v.inverse, xp.matmul(v.raw_key, v.memory, out=v.cosine), v.content
    inverse += eps
    xp.sqrt(inverse, out=inverse)
    xp.reciprocal(inverse, out=inverse)
    cosine *= v.row_inverse
    multiply(cosine, multiply(v.strength, v.key_inverse, out=v.slope), out=content)
    content -= tw.max(content, 2, one)
    xp.exp(content, out=content)
    xp.reciprocal(tw.add(content, 2, one), out=v.norm)
    # location: gate, shift round the ring
    gated = multiply(content, multiply(v.gate, v.norm, out=v.share), out=v.gated)
    gated += multiply(v.before, v.complement, out=f.over_rows)
    for outside, inside in v.seams:
        outside[...] = inside
    moved = multiply(v.windows[0], v.shift_at[0], out=v.moved)
    for window, amount in zip(v.windows[1:], v.shift_at[1:]):
        moved += multiply(window, amount, out=f.over_rows)
    # focus: softmax of sharpness * log; a row without any weight stays without
    tw.log(moved, v.logs)
    weightings = multiply(v.logs, v.sharpness, out=v.weightings)
    tw.max(weightings, 2, one)
    weightings -= xp.maximum(one, 1e-10 * NEVER, out=one)
    xp.exp(weightings, out=weightings)
    tw.add(weightings, 2, one)
    weightings /= xp.maximum(one, tiny, out=one)


def squares(xp, memory, f, out):
    """Squared lengths of all rows."""
    xp.matmul(f.ones, xp.multiply(memory, memory, out=f.change), out=out)


def read_and_write(xp, v, f):
    """reads = w M, then M (1 - w e) + w a; for several heads all erasures, then all additions.

    A product of inner length two makes e w - 1 and a w; broadcasting would take three times as long.
    The squares for the next step are taken while the memory is still in the cache.
    """
    change, after = f.change, v.memory_after
    xp.matmul(v.reading, v.memory_rows, out=v.reads)
    if v.writes == 1:
        v.written_by[...] = v.writing
        xp.matmul(v.changing_columns, v.written, out=f.changes)
        change *= v.memory
        xp.subtract(f.addition, change, out=after)
    else:
        xp.matmul(v.write_columns, v.writing, out=f.addition)
        after[...] = v.memory
        for left in _left(v):
            after *= left
        after += f.addition
    squares(xp, after, f, v.squares_after)


def _left(v):
    """What each write head leaves of every number: 1 - w e, (b, w, n)."""
    return [1 - v.erase_columns[:, :, h, None] * v.writing[:, h, None, :] for h in range(v.writes)]


def read_and_write_back(xp, v, d, g):
    """Through both: fills the gradients of weightings, erase and write_vector.

    ``dproduct`` is left with minus the gradient of the memory before the write; what reads and
    addressing add to it ``memory_back`` will.
    """
    dmemory, dproduct = g.dmemory, g.dproduct
    xp.matmul(g.dreads, v.memory, out=g.dreading)
    xp.multiply(dmemory, v.memory, out=dproduct)
    if v.writes == 1:
        xp.matmul(d.changing, g.dmemory_and_product, out=g.dwriting_by_each)
        xp.add(*g.dwriting_by_each, out=g.dwriting)
        xp.matmul(g.dmemory_and_product, v.writing_columns, out=d.dchanging_columns)
        xp.matmul(v.erase_columns, v.written, out=dproduct)
        dproduct *= dmemory
        return
    xp.matmul(d.write_vector, dmemory, out=g.dwriting)
    xp.matmul(dmemory, v.writing_columns, out=d.dwrite_vector_columns)
    left = _left(v)
    for h in range(v.writes):  # products of the others, not quotients: 1 - w e may be zero
        dleft = dproduct
        for other in left[:h] + left[h + 1 :]:
            dleft = dleft * other
        g.dwriting[:, h] -= xp.sum(dleft * v.erase_columns[:, :, h, None], axis=1)
        d.dminus_erase[:, h] = xp.sum(dleft * v.writing[:, h, None, :], axis=2)
    xp.negative(dmemory, out=dproduct)
    for one in left:
        dproduct *= one


def address_back(xp, tw, v, d, g):
    """Through the addressing: ``g.dweightings`` from after to before it.

    Fills the gradients of strength, gate, sharpness and shift, and leaves in ``g.dcosine``, ``g.scale`` and
    ``g.mean`` what those of the memory and of the keys need.  Every weighted mean is taken off twice: the
    second time removes what the first one rounded.
    """
    multiply, dot, mean, mean_flat = xp.multiply, tw.dot, g.mean, g.mean_flat
    dw = g.dweightings
    # focus
    dot(dw, v.weightings, mean_flat)
    dw -= mean
    dot(dw, v.weightings, mean_flat)
    dw -= mean
    dinside = multiply(dw, d.sharpening, out=g.dinside)
    dw *= v.weightings
    dot(dw, d.logs, d.dsharpness)
    # shift
    for outside, inside in g.dseams:
        outside[...] = inside
    for window, dshift in zip(v.windows, g.dshift_at):
        dot(dinside, window, dshift)
    multiply(g.dwindows[0], v.shift_at[0], out=dw)
    for window, amount in zip(g.dwindows[1:], v.shift_at[1:]):
        dw += multiply(window, amount, out=g.over_rows)
    dshift, shift = g.dshift, v.shift
    dshift -= tw.add(multiply(dshift, shift, out=g.over_shift), 0, g.over_shifts)
    dshift -= tw.add(multiply(dshift, shift, out=g.over_shift), 0, g.over_shifts)
    multiply(dshift, shift, out=d.dshift)
    # gate and content; the softmax is content * norm, its logits cosine * slope, and share = gate * norm
    dot(dw, v.content, mean_flat)
    mean *= v.norm
    dot(dw, v.before, g.one_flat)
    xp.subtract(mean_flat, g.one_flat, out=d.dgate)
    t = xp.subtract(dw, mean, out=g.dcosine)
    dw *= v.complement
    dot(t, v.content, mean_flat)
    mean *= v.norm
    t -= mean
    t *= v.content
    dstrength = d.dstrength
    dot(t, v.cosine, dstrength)
    dstrength *= v.share_flat
    dstrength *= v.key_inverse_flat
    multiply(dstrength, v.strength_flat, out=mean_flat)
    mean *= d.key_inverse_squared
    t *= multiply(v.share, v.slope, out=g.one)
    scale = tw.add(multiply(t, v.cosine, out=g.over_rows), 1, g.scale)
    scale *= d.row_inverse_squared
    t *= v.row_inverse


def memory_back(xp, v, d, g):
    """What reading and addressing add to the gradient of the memory, and the gradient of the keys."""
    dkey = xp.matmul(g.dcosine, v.memory_rows, out=d.dkey)
    dkey -= xp.multiply(v.raw_key, g.mean, out=g.over_keys)
    g.left_reads[...], g.left_keys[...] = g.dreads_columns, v.key_columns
    g.right_reads[...], g.right_keys[...] = v.reading, g.dcosine
    dmemory = xp.subtract(xp.matmul(g.left, g.right, out=g.change), g.dproduct, out=g.dmemory)
    dmemory -= xp.multiply(v.memory, g.scale, out=g.change)


def slopes(xp, tw, f, g, sizes, tiny):
    """What the backward multiplies by, for many steps at once, in blocks that fit a cache."""
    e, c, w = sizes.emitted(), sizes.squashed(), sizes.width
    shape = (sizes.steps, sizes.batch, sizes.writes, w)
    g.changing[:, 0] = f.raw[:, :, e["write_vector"]].reshape(shape)
    xp.negative(f.squashed[:, :, c["erase"]].reshape(shape), out=g.changing[:, 1])
    xp.multiply(f.inverse[:-1], f.inverse[:-1], out=g.inverse_squared)
    # erase came negated; the slope of a gate is gate (1 - gate)
    erase, gate = sizes.writes * w, sizes.heads
    slope = g.head_slopes[:, :, :erase]
    tw.rising_slope(f.exponentials_of_heads[:, :, c["erase"]], f.squashed[:, :, c["erase"]], slope)
    xp.negative(slope, out=slope)
    gates, complements = f.squashed[:, :, c["gate"]], f.squashed[:, :, c["complement"]]
    xp.multiply(gates, complements, out=g.head_slopes[:, :, erase : erase + gate])
    g.head_slopes[:, :, erase + gate :] = sigmoid(xp, f.raw[:, :, e["softplus"]])[0]
    block = max(1, 2**15 // max(1, sizes.batch * sizes.heads * sizes.rows))
    for start in range(0, sizes.steps, block):
        now = slice(start, start + block)
        moved, sharpness = f.moved[now], f.positive[now, 1, :, :, None]
        xp.maximum(f.logs[now], NEVER, out=g.logs[now])
        # d weightings / d moved = sharpness w / moved; where nothing moved to it is 0, or 1 / sum if
        # sharpness is exactly one
        slope = xp.maximum(moved, tiny, out=g.sharpening[now])
        xp.divide(f.weightings[1:][now], slope, out=slope)
        slope *= sharpness
        plain = tw.truly(sharpness) == 1
        if tw.perhaps(plain):
            total = tw.add(moved, 3)
            at_zero = xp.where(plain, 1 / xp.where(tw.truly(total) > 0, total, 1), 0)
            slope += xp.where(tw.truly(moved) > 0, 0, at_zero)
