"""The interface of ``fused/dnc.py``: its weights in the order of the buffers, squashing, slopes."""

from ..calculus import sigmoid
from ..ops.choice import clip_backward, clip_forward
from ..ops.dnc_read_weighting import ORDERS
from . import _dnc_comparison as comparison
from ._controller import blocks, side_by_side, tanh_slopes


def in_order(xp, weights, sizes):
    """Interface weights, the rows their own, with columns as in ``Sizes.columns``."""
    pieces = {name: weights[:, where] for name, where in sizes.parts().items()}
    for name, shape in sizes.turned_parts().items():
        pieces[name] = _turned(pieces[name], shape[::-1])
    modes = pieces.pop("read_modes").reshape(weights.shape[0], sizes.reads, sizes.modes)
    for name, where in _modes(sizes).items():  # of all read heads the first link's, then the next one's
        pieces[name] = modes[:, :, where].swapaxes(1, 2).reshape(weights.shape[0], -1)
    return xp.concat([pieces[name] for name in sizes.columns() if name in pieces], axis=1)


def out_of_order(xp, ordered, sizes):
    """The inverse of ``in_order``."""
    pieces = {name: ordered[:, where] for name, where in sizes.columns().items()}
    rows, reads = ordered.shape[0], sizes.reads
    modes = [pieces[name].reshape(rows, -1, reads).swapaxes(1, 2) for name in _modes(sizes)]
    modes = xp.concat(modes, axis=2)
    pieces["read_modes"] = modes.reshape(rows, -1)
    for name, shape in sizes.turned_parts().items():
        pieces[name] = _turned(pieces[name], shape)
    return xp.concat([pieces[name] for name in sizes.parts()], axis=1)


def _turned(columns, shape):
    """What stands in the order of ``shape``, with its second axis before the first."""
    return columns.reshape(-1, *shape).swapaxes(1, 2).reshape(columns.shape)


def _modes(sizes):
    """Where the modes of each kind stand among those of one read head."""
    order = ORDERS[sizes.convention.mode_order]
    return side_by_side({name: 1 if name == "content" else sizes.writers for name in order})


def emitting_weights(xp, weights, bias, sizes):
    """Interface weights with the bias as last row, columns as in ``Sizes.emitted``: sigmoids' negated."""
    w = in_order(xp, xp.concat([weights, bias[None, :]], axis=0), sizes)
    part = {name: w[:, where] for name, where in sizes.blocks().items()}
    gates = [-part["free"], part["free"], -part["allocate"], part["allocate"], -part["write"], -part["erase"]]
    above = part["strength"], part["sharpness"]
    return xp.concat(
        [part["keys"], part["write_vector"], *gates, -part["masks"], *above, part["modes"]], axis=1
    )


def squash(xp, tw, v, f, sizes):
    """What the controller emitted into its domains; how much the keys' lengths let the strengths count."""
    chosen, threshold = sizes.convention, sizes.convention.softplus_threshold
    bound = chosen.clip_interface
    if bound:
        v.raw[...], _ = clip_forward(v.emitted, low=-bound, high=bound)
    tw.rising(v.raw_rising, v.exponentials_of_heads, v.rising)
    xp.multiply(v.erase, -1, out=v.minus_erase)
    if chosen.keys == "tanh":
        xp.tanh(v.raw_words, out=v.words)
    v.write_vector[...] = v.word_to_write
    tw.log1pexp(v.raw_above, v.above)
    if threshold is not None:
        v.above[...] = xp.where(tw.truly(v.raw_above) > threshold, v.raw_above, v.above)
    v.above_one += 1
    modes, over = v.modes, f.over_modes  # (m, b, r): what runs over a few modes runs over whole blocks
    modes[...] = v.raw_modes
    first, second, *others = modes
    top = xp.maximum(first, second, out=over)
    for mode in others:
        xp.maximum(top, mode, out=top)
    modes -= top
    xp.exp(modes, out=modes)
    total = xp.add(first, second, out=over)
    for mode in others:
        total += mode
    modes /= total
    if not sizes.plain:
        comparison.prepare(xp, tw, v, chosen)
        return
    length = v.length
    tw.dot(v.keys, v.keys, length)
    length += chosen.eps
    xp.sqrt(length, out=length)
    xp.divide(v.strength, length, out=v.slope)
    xp.multiply(v.keys, v.slope_of_words, out=v.scaled)


def squash_back(xp, tw, v, d, g, sizes):
    """From the gradients of what was squashed to those of what was emitted, ``d.draw``."""
    dkeys = d.dkeys
    if sizes.plain:
        dkeys *= v.slope_of_words
        xp.multiply(d.dstrength, d.key_pull, out=g.pull[:, :, 0])
        dkeys -= xp.multiply(v.keys, g.pull, out=g.over_keys)
    else:
        comparison.prepare_back(xp, v, d, g, sizes.convention)
    d.draw *= d.head_slopes


def slopes(xp, tw, f, g, sizes):
    """What the backward multiplies by, for many steps at once, in blocks that fit a cache."""
    c, e, q, chosen = sizes.blocks(), sizes.emitted(), sizes.squashed(), sizes.convention
    slope, squashed = g.head_slopes, f.squashed
    slope[...] = 1
    for name in ("erase", "free", "write", "masks"):
        exponentials, y = (a[:, :, q[name]] for a in (f.exponentials_of_heads, squashed))
        tw.rising_slope(exponentials, y, slope[:, :, c[name]])
    slope[:, :, c["erase"]] *= -1
    if chosen.mask_min:
        slope[:, :, c["masks"]] *= 1 - chosen.mask_min
    gate = slope[:, :, c["allocate"]]
    xp.multiply(squashed[:, :, q["allocate"]], squashed[:, :, q["alike"]], out=gate)
    gate *= squashed[:, :, q["write"]]
    for name in ("strength", "sharpness"):
        raw = f.raw[:, :, e[name]]
        above = sigmoid(xp, raw)[0]
        if chosen.softplus_threshold is not None:
            above = xp.where(tw.truly(raw) > chosen.softplus_threshold, 1, above)
        slope[:, :, c[name]] = above
    if chosen.keys == "tanh":
        for name in ("keys", "write_vector"):
            tanh_slopes(xp, tw, f.raw[:, :, e[name]], slope[:, :, c[name]])
    xp.multiply(f.used, -1, out=g.freeing[:, 0])
    if chosen.deallocate:  # the gradient of what is kept is made step by step
        g.freeing[:, 0] = -1
    if sizes.plain:
        slope[:, :, c["strength"]] /= f.strength
        xp.multiply(f.length, f.length, out=g.key_pull)
        xp.reciprocal(g.key_pull, out=g.key_pull)
        xp.multiply(f.inverse, f.inverse, out=g.inverse_squared)
    if chosen.clip_interface:
        _, outside = clip_forward(f.emitted, low=-chosen.clip_interface, high=chosen.clip_interface)
        for name in c.keys() & e.keys():
            (slope[:, :, c[name]],) = clip_backward(outside[:, :, e[name]], slope[:, :, c[name]])
    for now in blocks(f.factors, 2**15):
        _slopes_of_usage(xp, f, g, now, sizes)


def _slopes_of_usage(xp, f, g, now, sizes):
    """Of the usage by the factors of what is kept, by the write weightings and by the usage before."""
    reads, writers = sizes.reads, sizes.writers
    freeing, by_usage, by_writing = g.freeing[now], g.by_usage[now], g.by_writing[now]
    factors = [f.factors[now, h] for h in range(reads)]
    for h in range(1, reads):  # times the factors before each
        xp.multiply(freeing[:, h - 1], factors[h - 1], out=freeing[:, h])
    after = by_usage
    after[...] = 1
    for h in range(reads - 1, 0, -1):  # and times those after it
        after *= factors[h]
        freeing[:, h - 1] *= after
    written = f.written[:-1][now, 0]
    xp.subtract(1, f.usage[:-1][now], out=by_writing[:, 0])
    by_writing[:, 0] *= f.kept[now]
    for h in range(1, writers):
        xp.multiply(by_writing[:, h - 1], 1 - written[:, h - 1], out=by_writing[:, h])
    xp.subtract(1, written[:, -1], out=by_usage)
    for h in range(writers - 1, 0, -1):
        by_writing[:, h - 1] *= by_usage
        by_usage *= 1 - written[:, h - 1]
    by_usage *= f.kept[now]
