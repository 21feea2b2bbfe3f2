"""The heads of ``fused/ntm.py`` in one step: squashing, addressing, writing, and the way back.

``v`` and ``d`` are the views of this step into the buffers of the forward and of the backward,
``f`` and ``g`` those buffers, ``xp`` the library, ``tw`` its twins.  Everything is written in
place, and nothing that a recording keeps is written in the backward.
"""

from ..calculus import sigmoid
from ..twins import NEVER


def squash(xp, tw, v, f):
    """Emitted head parameters into their domains.

    They come with erase and gate negated and gate once more: 1 / (1 + exp(.)) of these keeps all
    digits of erase, of gate and of 1 - gate.
    """
    tw.rising(v.raw_rising, v.rising)
    tw.log1pexp(v.raw_softplus, v.softplus)
    v.above_one += 1
    tw.max(v.raw_shift, 2, f.one)
    shift = xp.subtract(v.raw_shift, f.one, out=v.shift)
    xp.exp(shift, out=shift)
    shift /= tw.add(shift, 2, f.one)


def address(xp, tw, v, f, eps, tiny):
    """Weightings of all heads on the memory before the write."""
    multiply, one = xp.multiply, f.one
    # content: cosine similarity, every head against the same rows
    tw.add(multiply(v.memory, v.memory, out=f.over_memory), 1, v.row_inverse)
    tw.dot(v.raw_key, v.raw_key, v.key_squares)
    inverse = v.inverse
    inverse += eps
    xp.sqrt(inverse, out=inverse)
    xp.reciprocal(inverse, out=inverse)
    multiply(v.raw_key, v.key_inverse, out=v.key)
    cosine, content = xp.matmul(v.key, v.memory, out=v.cosine), v.content
    cosine *= v.row_inverse
    multiply(cosine, v.strength, out=content)
    content -= tw.max(content, 2, one)
    xp.exp(content, out=content)
    content /= tw.add(content, 2, one)
    # location: gate, shift round the ring
    gated = multiply(content, v.gate, out=v.gated)
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


def write(xp, v, f):
    """M (1 - w e) + w a: for one head M + w (a - e M); for several, all erasures, then all additions."""
    change = f.over_memory
    if v.writing.shape[1] == 1:
        xp.multiply(v.memory, v.erase_columns, out=change)
        xp.subtract(v.write_columns, change, out=change)
        change *= v.writing
        xp.add(v.memory, change, out=v.memory_after)
        return
    xp.matmul(v.write_columns, v.writing, out=change)
    v.memory_after[...] = v.memory
    for left in _left(v):
        v.memory_after *= left
    v.memory_after += change


def _left(v):
    """What each write head leaves of every number: 1 - w e, (b, w, n)."""
    heads = range(v.writing.shape[1])
    return [1 - v.erase_columns[:, :, h, None] * v.writing[:, h, None, :] for h in heads]


def write_back(xp, v, d, g):
    """Through the write: ``g.dmemory`` from after to before it; fills write_vector, -erase and dwriting."""
    xp.multiply(g.dmemory, v.memory, out=g.dproduct)
    if v.writing.shape[1] == 1:
        xp.matmul(d.add_erase, g.both, out=g.dwriting)
        xp.matmul(g.both, v.writing_columns, out=d.dwrite_erase)
        change = xp.multiply(g.dmemory, v.writing, out=g.over_memory)
        change *= v.erase_columns
        g.dmemory -= change
        return
    xp.matmul(v.writing, g.dmemory_rows, out=d.dwrite_vector)
    xp.matmul(d.add_erase[:, :, : v.memory.shape[1]], g.dmemory, out=g.dwriting)
    left = _left(v)
    for h in range(len(left)):  # products of the others, not quotients: 1 - w e may be zero
        dleft = g.dproduct
        for other in left[:h] + left[h + 1 :]:
            dleft = dleft * other
        g.dwriting[:, h] -= xp.sum(dleft * v.erase_columns[:, :, h, None], axis=1)
        d.dminus_erase[:, h] = xp.sum(dleft * v.writing[:, h, None, :], axis=2)
    for one in left:
        g.dmemory *= one


def address_back(xp, tw, v, d, g):
    """Through the addressing: ``g.dweightings`` from after to before it.

    Fills the gradients of key, strength, gate, sharpness and shift, and leaves in ``g.dcosine`` and
    ``g.scale`` what the memory's own gradient needs.  Every weighted mean is taken off twice: the
    second time removes what the first one rounded.
    """
    multiply, dot, mean, mean_flat = xp.multiply, tw.dot, g.mean, g.mean_flat
    dw, dcosine = g.dweightings, g.dcosine
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
    for window, dshift in zip(v.windows, d.dshift_at):
        dot(dinside, window, dshift)
    multiply(g.dwindows[0], v.shift_at[0], out=dw)
    for window, amount in zip(g.dwindows[1:], v.shift_at[1:]):
        dw += multiply(window, amount, out=g.over_rows)
    dshift = d.dshift
    dot(dshift, v.shift, mean_flat)
    dshift -= mean
    dot(dshift, v.shift, mean_flat)
    dshift -= mean
    dshift *= v.shift
    # gate
    dot(dw, d.difference, d.dgate)
    multiply(dw, v.gate, out=dcosine)
    dw *= v.complement
    # content
    dot(dcosine, v.content, mean_flat)
    dcosine -= mean
    dot(dcosine, v.content, mean_flat)
    dcosine -= mean
    dcosine *= v.content
    dot(dcosine, v.cosine, d.dstrength)
    dcosine *= v.strength
    along = multiply(dcosine, v.cosine, out=g.over_rows)
    scale = tw.add(along, 1, g.scale)
    scale *= d.inverse_squared
    dcosine *= v.row_inverse
    dkey = xp.matmul(dcosine, v.memory_rows, out=d.dkey)
    tw.add(along, 2, mean)
    dkey -= multiply(v.key, mean, out=g.over_keys)
    dkey *= v.key_inverse


def memory_back(xp, v, g):
    """What reading and addressing add to the gradient of the memory: one product, and the lengths' part."""
    g.left_reads[...], g.left_keys[...], g.right_reads[...] = g.dreads_columns, v.key_columns, v.reading
    dmemory = g.dmemory
    dmemory += xp.matmul(g.left, g.right, out=g.over_memory)
    dmemory -= xp.multiply(v.memory, g.scale, out=g.over_memory)


def slopes(xp, tw, f, g, sizes, tiny):
    """What the backward multiplies by, for many steps at once, in blocks that fit a cache."""
    c, w = sizes.emitted(), sizes.width
    shape = (sizes.steps, sizes.batch, sizes.writes, w)
    g.add_erase[..., :w] = f.raw[:, :, c["write_vector"]].reshape(shape)
    xp.negative(f.squashed[:, :, c["erase"]].reshape(shape), out=g.add_erase[..., w:])
    xp.multiply(
        f.inverse[:, :, None, : sizes.rows], f.inverse[:, :, None, : sizes.rows], out=g.inverse_squared
    )
    # erase came negated; the slope of a gate is gate (1 - gate)
    erase, gate = sizes.writes * w, sizes.heads
    g.head_slopes[:, :, :erase] = -sigmoid(xp, f.raw[:, :, c["erase"]])[1]
    gates, complements = f.squashed[:, :, c["gate"]], f.squashed[:, :, c["complement"]]
    xp.multiply(gates, complements, out=g.head_slopes[:, :, erase : erase + gate])
    g.head_slopes[:, :, erase + gate :] = sigmoid(xp, f.raw[:, :, c["softplus"]])[0]
    block = max(1, 2**15 // (sizes.batch * sizes.heads * sizes.rows))
    for start in range(0, sizes.steps, block):
        now = slice(start, start + block)
        moved, sharpness = f.moved[now], f.squashed[now, :, c["sharpness"], None]
        xp.maximum(f.logs[now], NEVER, out=g.logs[now])
        xp.subtract(f.content[now], f.weightings[:-1][now], out=g.difference[now])
        # d weightings / d moved = sharpness w / moved; where nothing moved to it is 0, or 1 / sum if
        # sharpness is exactly one
        slope = xp.maximum(moved, tiny, out=g.sharpening[now])
        xp.divide(f.weightings[1:][now], slope, out=slope)
        slope *= sharpness
        plain = tw.truly(sharpness) == 1
        total = tw.add(moved, 3)
        at_zero = xp.where(plain, 1 / xp.where(tw.truly(total) > 0, total, 1), 0)
        slope += xp.where(tw.truly(moved) > 0, 0, at_zero)
