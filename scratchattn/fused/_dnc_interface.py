"""The interface of ``fused/dnc.py``: its weights in the order of the buffers, squashing, slopes."""

from ..calculus import sigmoid


def emitting_weights(xp, weights, bias, sizes):
    """Interface weights with the bias as last row, columns as in ``Sizes.emitted``: sigmoids' negated."""
    c, r = sizes.columns(), sizes.reads
    w = xp.concat([weights, bias[None, :]], axis=0)
    part = {name: w[:, where] for name, where in c.items()}
    modes = part["read_modes"].reshape(w.shape[0], r, 3).swapaxes(1, 2).reshape(w.shape[0], 3 * r)
    keys = [part["read_keys"], part["write_keys"]]
    gates = [-part["free_gates"], -part["allocation_gates"], part["allocation_gates"], -part["write_gates"]]
    strengths = [part["read_strengths"], part["write_strengths"]]
    return xp.concat([*keys, *gates, -part["erase"], part["write_vectors"], *strengths, modes], axis=1)


def squash(xp, tw, v, f, eps):
    """What the controller emitted into its domains; how much the keys' lengths let the strengths count."""
    tw.rising(v.raw_rising, v.exponentials_of_heads, v.rising)
    xp.negative(v.erase, out=v.minus_erase)
    v.write_vector[...] = v.raw_write_vector
    tw.log1pexp(v.raw_strength, v.strength)
    v.strength += 1
    modes = v.modes  # (3, b, r): what runs over three runs over whole blocks
    xp.subtract(v.raw_modes, tw.max(v.raw_modes, 0, f.over_modes), out=modes)
    xp.exp(modes, out=modes)
    modes /= tw.add(modes, 0, f.over_modes)
    length = v.length
    tw.dot(v.keys, v.keys, length)
    length += eps
    xp.sqrt(length, out=length)
    xp.divide(v.strength, length, out=v.slope)


def slopes(xp, tw, f, g, sizes):
    """What the backward multiplies by, for many steps at once, in blocks that fit a cache."""
    c, e, q, r = sizes.columns(), sizes.emitted(), sizes.squashed(), sizes.reads
    slope, squashed = g.head_slopes, f.squashed
    slope[...] = 1

    for emitted, name in (("erase", "erase"), ("free", "free_gates"), ("write", "write_gates")):
        exponentials, y = (a[:, :, q[emitted]] for a in (f.exponentials_of_heads, squashed))
        tw.rising_slope(exponentials, y, slope[:, :, c[name]])
    xp.negative(slope[:, :, c["erase"]], out=slope[:, :, c["erase"]])
    gate = slope[:, :, c["allocation_gates"]]
    xp.multiply(squashed[:, :, q["allocate"]], squashed[:, :, q["alike"]], out=gate)
    gate *= squashed[:, :, q["write"]]
    above = sigmoid(xp, f.raw[:, :, e["strength"]])[0]
    above /= f.length
    slope[:, :, c["read_strengths"]] = above[:, :, :r]
    slope[:, :, c["write_strengths"]] = above[:, :, r:]
    xp.multiply(f.length, f.length, out=g.key_pull)
    xp.divide(f.slope, g.key_pull, out=g.key_pull)
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
