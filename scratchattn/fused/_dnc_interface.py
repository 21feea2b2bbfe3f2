"""The interface of ``fused/dnc.py``: its weights in the order of the buffers, squashing, slopes."""

from ..calculus import sigmoid
from ..ops.dnc_read_weighting import ORDERS
from . import _dnc_comparison as comparison
from ._controller import blocks, tanh_slopes


def in_order(xp, weights, sizes):
    """Interface weights, the rows their own, with columns as in ``Sizes.columns``."""
    pieces = {name: weights[:, where] for name, where in sizes.parts().items()}
    modes = pieces.pop("read_modes").reshape(weights.shape[0], sizes.reads, 3)
    pieces |= {name: modes[:, :, place] for place, name in enumerate(ORDERS[sizes.convention.mode_order])}
    return xp.concat([pieces[name] for name in sizes.columns() if name in pieces], axis=1)


def out_of_order(xp, ordered, sizes):
    """The inverse of ``in_order``."""
    pieces = {name: ordered[:, where] for name, where in sizes.columns().items()}
    modes = xp.stack([pieces[name] for name in ORDERS[sizes.convention.mode_order]], axis=2)
    pieces["read_modes"] = modes.reshape(ordered.shape[0], 3 * sizes.reads)
    return xp.concat([pieces[name] for name in sizes.parts()], axis=1)


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
        reach = tw.truly(v.emitted)
        v.raw[...] = xp.where(reach < -bound, -bound, xp.where(reach > bound, bound, v.emitted))
    tw.rising(v.raw_rising, v.exponentials_of_heads, v.rising)
    xp.multiply(v.erase, -1, out=v.minus_erase)
    if chosen.keys == "tanh":
        xp.tanh(v.raw_words, out=v.words)
    v.write_vector[...] = v.word_to_write
    tw.log1pexp(v.raw_above, v.above)
    if threshold is not None:
        v.above[...] = xp.where(tw.truly(v.raw_above) > threshold, v.raw_above, v.above)
    v.above_one += 1
    modes = v.modes  # (3, b, r): what runs over three runs over whole blocks
    modes[...] = v.raw_modes
    back, alike, onwards = modes
    modes -= xp.maximum(xp.maximum(back, alike, out=f.over_modes), onwards, out=f.over_modes)
    xp.exp(modes, out=modes)
    total = xp.add(back, alike, out=f.over_modes)
    total += onwards
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
        for name in c.keys() & e.keys():
            reach = tw.truly(f.emitted[:, :, e[name]])
            outside = (reach < -chosen.clip_interface) | (reach > chosen.clip_interface)
            slope[:, :, c[name]] = xp.where(outside, 0, slope[:, :, c[name]])
    for now in blocks(f.factors, 2**15):
        _slopes_of_usage(xp, f, g, now, sizes.reads)


def _slopes_of_usage(xp, f, g, now, reads):
    """Of the usage by the factors of what is kept, by the write weighting and by the usage before."""
    freeing, by_usage, by_writing = g.freeing[now], g.by_usage[now], g.by_writing[now]
    factors = [f.factors[now, h] for h in range(reads)]
    for h in range(1, reads):  # times the factors before each
        xp.multiply(freeing[:, h - 1], factors[h - 1], out=freeing[:, h])
    after = by_usage
    after[...] = 1
    for h in range(reads - 1, 0, -1):  # and times those after it
        after *= factors[h]
        freeing[:, h - 1] *= after
    xp.subtract(1, f.usage[:-1][now], out=by_writing)
    by_writing *= f.kept[now]
    xp.subtract(1, f.written[:-1][now, 0], out=by_usage)
    by_usage *= f.kept[now]
