"""The controller of ``fused/ntm.py``: an LSTM, or one tanh layer; a step, its slopes, and the way back.

Arguments as in ``_ntm_heads``.  The columns of sigmoids come negated: 1 / (1 + exp(.)) keeps the digits of
a gate that is all but shut, which (1 + tanh(z / 2)) / 2 would lose.  The candidate's come times -2: the slope
of tanh(z) is four times that of the sigmoid at 2 z, so that one rule makes all four slopes.  From the
exponentials on, gates lie apart, (4, b, h): each is one contiguous block.
"""

from math import prod


def negated(xp, array, sizes):
    """A new array: the columns of sigmoids, the first three quarters, negated, the rest times -2."""
    if not sizes.recurrent:
        return array
    array = -array
    array[..., 3 * sizes.units :] *= 2
    return array


def control(xp, tw, v, f, recurrent_weights, sizes):
    """From [reads, hidden] and what x gave, ``v.sums``, to the hidden units."""
    sums = v.sums
    sums += xp.matmul(v.carried, recurrent_weights, out=f.recurrent)
    if not sizes.recurrent:
        xp.tanh(sums, out=v.hidden)
        return
    tw.rising(v.sums_apart, v.exponentials, v.gates)
    candidate, cell = xp.multiply(v.candidate_sums, -0.5, out=v.candidate), v.cell
    xp.tanh(candidate, out=candidate)
    xp.multiply(v.forget, v.cell_before, out=cell)
    cell += xp.multiply(v.input, candidate, out=f.over_units)
    xp.tanh(cell, out=v.shown)
    xp.multiply(v.output, v.shown, out=v.hidden)


def control_slopes(xp, tw, f, g, sizes):
    """Slopes of all gates, from exponentials and not from values that have rounded to one."""
    if not sizes.recurrent:
        _tanh_slopes(xp, tw, f.sums, g.slopes)
        return
    for now in _blocks(f.sums):
        tw.rising_slope(f.exponentials[now], f.gates[now], g.slopes[now])
        g.slopes[now, 3] *= 4
    _tanh_slopes(xp, tw, f.cell[1:], g.shown_slopes)


def _tanh_slopes(xp, tw, z, out):
    """tanh'(z) = 4 e / (1 + e)^2 with e = exp(-2 |z|)."""
    for now in _blocks(z):
        e = out[now]
        tw.magnitude(z[now], e)
        e *= -2
        xp.exp(e, out=e)
        s = xp.add(e, 1)
        s *= 0.5
        s *= s
        e /= s


def _blocks(array):
    """Slices of the first axis, a few steps each, so that a block fits a cache."""
    block = max(1, 2**14 // max(1, prod(array.shape[1:])))
    return [slice(start, start + block) for start in range(0, array.shape[0], block)]


def control_back(xp, v, d, g, sizes):
    """From the gradient of the hidden units to that of the controller's sums, ``d.dsums``."""
    dhidden = g.dhidden
    if not sizes.recurrent:
        xp.multiply(dhidden, d.slopes, out=d.dsums)
        return
    dcell = g.dcell
    xp.multiply(dhidden, v.shown, out=g.doutput)
    dhidden *= v.output
    dhidden *= d.shown_slopes
    dcell += dhidden
    xp.multiply(dcell, v.candidate, out=g.dinput)
    xp.multiply(dcell, v.cell_before, out=g.dforget)
    xp.multiply(dcell, v.input, out=g.dcandidate)
    xp.multiply(g.dgates, d.slopes, out=d.dsums_apart)
    dcell *= v.forget


def carried_weights(xp, weights, sizes):
    """Rows for the reads, then for the hidden units: one product serves both."""
    from_reads = weights.input_weights[sizes.inputs :]
    return xp.concat([from_reads, weights.hidden_weights], axis=0) if sizes.recurrent else from_reads


def emitting_weights(xp, weights, sizes):
    """Head weights with the bias as last row, columns as in ``Sizes.emitted``."""
    c = sizes.columns()
    w = xp.concat([weights.head_weights, weights.head_bias[None, :]], axis=0)
    named = {name: w[:, where] for name, where in c.items()}
    first = [named["key"], -named["gate"], named["gate"], -named["erase"], named["write_vector"]]
    return xp.concat([*first, w[:, c["strength"].start :]], axis=1)
