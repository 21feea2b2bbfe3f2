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
    # content: cosine similarity, every head against the same rows; the softmax's sum stays a factor of a
    # whole head
    key, inverse, cosine, content = v.key, v.inverse, v.cosine, v.content
    tw.dot(key, key, v.key_squares)
    inverse += eps
    xp.sqrt(inverse, out=inverse)
    xp.reciprocal(inverse, out=inverse)
    key *= v.key_inverse  # before the product, which may else be infinite where no cosine is
    xp.matmul(v.each_key, v.memory_of_each, out=v.each_cosine)
    cosine *= v.row_inverse
    multiply(cosine, v.strength, out=content)
    content -= tw.max(content, 2, one)
    xp.exp(content, out=content)
    tw.dot(content, f.ones_over_rows, f.one_flat)
    xp.reciprocal(one, out=v.norm)
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
    tw.dot(weightings, f.ones_over_rows, f.one_flat)
    weightings /= xp.maximum(one, tiny, out=one)


def squares(xp, memory, f, out):
    """Squared lengths of all rows."""
    xp.matmul(f.ones_over_words, xp.multiply(memory, memory, out=f.change), out=out)


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
    xp.multiply(dmemory, -1, out=dproduct)
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
    dinside = xp.divide(v.weightings, d.moved, out=g.dinside)  # without the sharpness: ``d.shift`` has it
    dinside *= dw
    if d.at_zero is not None:
        dinside += dw * d.at_zero
    dw *= v.weightings
    dot(dw, d.logs, d.dsharpness)
    # shift
    for outside, inside in g.dseams:
        outside[...] = inside
    for window, dshift in zip(v.windows, g.dshift_at):
        dot(dinside, window, dshift)
    multiply(g.dwindows[0], d.shift_at[0], out=dw)
    for window, amount in zip(g.dwindows[1:], d.shift_at[1:]):
        dw += multiply(window, amount, out=g.over_rows)
    dshift, shift = g.dshift, v.shift
    dshift -= tw.add(multiply(dshift, shift, out=g.over_shift), 0, g.over_shifts)
    dshift -= tw.add(multiply(dshift, shift, out=g.over_shift), 0, g.over_shifts)
    multiply(dshift, d.shift, out=d.dshift)
    # gate and content; the softmax is content * norm, its logits cosine * strength, share = gate * norm
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
    multiply(dstrength, v.strength_flat, out=mean_flat)
    t *= d.cosine_pull
    scale = tw.add(multiply(t, v.cosine, out=g.over_rows), 1, g.scale)
    scale *= d.row_inverse_squared
    t *= v.row_inverse


def memory_back(xp, v, d, g):
    """What reading and addressing add to the gradient of the memory; that of keys, times their lengths."""
    dkey, change = d.dkey, g.change
    xp.matmul(g.each_dcosine, v.rows_of_each, out=d.each_dkey)
    dkey -= xp.multiply(v.key, g.mean, out=g.over_keys)
    g.left_reads[...], g.left_keys[...] = g.dreads, v.key
    g.right_reads[...], g.right_keys[...] = v.reading, g.dcosine
    dmemory = xp.subtract(xp.matmul(g.left_columns, g.right, out=change), g.dproduct, out=g.dmemory)
    dmemory -= xp.multiply(v.memory, g.scale, out=change)


def slopes(xp, tw, f, g, sizes, tiny):
    """What the backward multiplies by, for all steps at once."""
    e, c, n = sizes.emitted(), sizes.squashed(), sizes.rows
    shape = (sizes.steps, sizes.batch, sizes.writes, sizes.width)
    g.changing[:, 0] = f.raw[:, :, e["write_vector"]].reshape(shape)
    xp.multiply(f.squashed[:, :, c["erase"]].reshape(shape), -1, out=g.changing[:, 1])
    rows, keys = f.inverse[:-1, :, :n], f.inverse[:-1, :, n:]
    xp.multiply(rows, rows, out=g.inverse_squared)
    xp.multiply(f.shift, f.positive[:, 1, None], out=g.shift)
    xp.multiply(f.share[:, :, :, 0], f.positive[:, 0], out=g.cosine_pull)
    # keys came by their lengths, erase negated; the slope of a gate is gate (1 - gate)
    of = sizes.columns()
    by_length = (sizes.steps, sizes.batch, sizes.heads, sizes.width)
    g.head_slopes[:, :, of["key"]].reshape(by_length)[...] = keys[:, :, :, None]
    slope = g.head_slopes[:, :, of["erase"]]
    tw.rising_slope(f.exponentials_of_heads[:, :, c["erase"]], f.squashed[:, :, c["erase"]], slope)
    slope *= -1
    gates, complements = f.squashed[:, :, c["gate"]], f.squashed[:, :, c["complement"]]
    xp.multiply(gates, complements, out=g.head_slopes[:, :, of["gate"]])
    g.head_slopes[:, :, of["strength"].start :] = sigmoid(xp, f.raw[:, :, e["softplus"]])[0]
    _where_nothing_moved(xp, tw, f, g, tiny)


def _where_nothing_moved(xp, tw, f, g, tiny):
    """What the focus divides by, and its logarithm, safe where they are zero and where none of them is.

    There d weightings / d moved is 0, or 1 / sum if the sharpness is exactly one.
    """
    moved, logs, at_zero = f.moved, f.logs, [None] * len(g.views)
    empty = tw.truly(moved) <= 0
    if tw.perhaps(empty):
        total = tw.add(moved, 3)
        plain = tw.truly(f.positive[:, 1, :, :, None]) == 1
        at_zero = xp.where(plain & empty, 1 / xp.where(tw.truly(total) > 0, total, 1), 0)
        moved, logs = xp.maximum(moved, tiny), xp.maximum(logs, NEVER)
    for t, d in enumerate(g.views):
        d.moved, d.logs, d.at_zero = moved[t], logs[t], at_zero[t]
