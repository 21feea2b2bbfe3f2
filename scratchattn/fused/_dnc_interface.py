"""The interface of ``fused/dnc.py``: its weights in the order of the buffers, squashing, slopes."""

from ..calculus import sigmoid


def in_order(xp, weights, sizes):
    """Interface weights, the rows their own, with columns as in ``Sizes.columns``."""
    p, r = sizes.parts(), sizes.reads
    part = {name: weights[:, where] for name, where in p.items()}
    modes = part["read_modes"].reshape(weights.shape[0], r, 3).swapaxes(1, 2).reshape(weights.shape[0], 3 * r)
    heads = [part[f"{head}_{what}"] for what in ("keys", "strengths") for head in ("read", "write")]
    return xp.concat([*heads, weights[:, p["erase"].start : p["read_modes"].start], modes], axis=1)


def out_of_order(xp, ordered, sizes):
    """The inverse of ``in_order``."""
    c, r, keys = sizes.columns(), sizes.reads, sizes.features
    strength, rows = c["strength"].start, ordered.shape[0]
    modes = ordered[:, c["modes"]].reshape(rows, 3, r).swapaxes(1, 2).reshape(rows, 3 * r)
    readers = [ordered[:, :keys], ordered[:, strength : strength + r]]
    writer = [ordered[:, keys:strength], ordered[:, strength + r : c["erase"].start]]
    return xp.concat([*readers, *writer, ordered[:, c["erase"].start : c["modes"].start], modes], axis=1)


def emitting_weights(xp, weights, bias, sizes):
    """Interface weights with the bias as last row, columns as in ``Sizes.emitted``: sigmoids' negated."""
    w = in_order(xp, xp.concat([weights, bias[None, :]], axis=0), sizes)
    part = {name: w[:, where] for name, where in sizes.columns().items()}
    gates = [-part["free"], -part["allocate"], part["allocate"], -part["write"], -part["erase"]]
    return xp.concat([part["keys"], *gates, part["write_vector"], part["strength"], part["modes"]], axis=1)


def squash(xp, tw, v, f, eps):
    """What the controller emitted into its domains; how much the keys' lengths let the strengths count."""
    tw.rising(v.raw_rising, v.exponentials_of_heads, v.rising)
    xp.negative(v.erase, out=v.minus_erase)
    v.write_vector[...] = v.raw_write_vector
    tw.log1pexp(v.raw_strength, v.strength)
    v.strength += 1
    modes = v.modes  # (3, b, r): what runs over three runs over whole blocks
    modes[...] = v.raw_modes
    modes -= tw.max(modes, 0, f.over_modes)
    xp.exp(modes, out=modes)
    modes /= tw.add(modes, 0, f.over_modes)
    length = v.length
    tw.dot(v.keys, v.keys, length)
    length += eps
    xp.sqrt(length, out=length)
    xp.divide(v.strength, length, out=v.slope)
    xp.multiply(v.keys, v.slope_of_words, out=v.scaled)


def squash_back(xp, v, d, g):
    """From the gradients of what was squashed to those of what was emitted, ``d.draw``."""
    dkeys = d.dkeys
    dkeys *= v.slope_of_words
    xp.multiply(d.dstrength, d.key_pull, out=g.pull[:, :, 0])
    dkeys -= xp.multiply(v.keys, g.pull, out=g.over_keys)
    d.draw *= d.head_slopes


def slopes(xp, tw, f, g, sizes):
    """What the backward multiplies by, for many steps at once, in blocks that fit a cache."""
    c, e, q, r = sizes.columns(), sizes.emitted(), sizes.squashed(), sizes.reads
    slope, squashed = g.head_slopes, f.squashed
    slope[...] = 1

    for name in ("erase", "free", "write"):
        exponentials, y = (a[:, :, q[name]] for a in (f.exponentials_of_heads, squashed))
        tw.rising_slope(exponentials, y, slope[:, :, c[name]])
    xp.negative(slope[:, :, c["erase"]], out=slope[:, :, c["erase"]])
    gate = slope[:, :, c["allocate"]]
    xp.multiply(squashed[:, :, q["allocate"]], squashed[:, :, q["alike"]], out=gate)
    gate *= squashed[:, :, q["write"]]
    above = sigmoid(xp, f.raw[:, :, e["strength"]])[0]
    xp.divide(above, f.strength, out=slope[:, :, c["strength"]])
    xp.multiply(f.length, f.length, out=g.key_pull)
    xp.reciprocal(g.key_pull, out=g.key_pull)
    xp.multiply(f.inverse, f.inverse, out=g.inverse_squared)
    block = max(1, 2**15 // max(1, sizes.batch * sizes.reads * sizes.rows))
    for start in range(0, sizes.steps, block):
        now = slice(start, start + block)
        freeing, by_usage, by_writing = g.freeing[now], g.by_usage[now], g.by_writing[now]
        factors = [f.factors[now, :, h] for h in range(r)]
        xp.negative(f.used[now], out=freeing[:, :, 0])
        for h in range(1, r):  # times the factors before each
            xp.multiply(freeing[:, :, h - 1], factors[h - 1], out=freeing[:, :, h])
        after = by_usage
        after[...] = 1
        for h in range(r - 1, 0, -1):  # and times those after it
            after *= factors[h]
            freeing[:, :, h - 1] *= after
        xp.subtract(1, f.usage[:-1][now], out=by_writing)
        by_writing *= f.kept[now]
        xp.subtract(1, f.written[:-1][now, :, 0], out=by_usage)
        by_usage *= f.kept[now]
