"""The controller of ``fused/ntm.py``: an LSTM, or one tanh layer; a step, its slopes, and the way back.

Arguments as in ``_ntm_heads``.  The columns of sigmoids come negated: 1 / (1 + exp(.)) keeps the digits of
a gate that is all but shut, which (1 + tanh(z / 2)) / 2 would lose.
"""


def negated(xp, array, sizes):
    """``array`` with the columns of sigmoids, the first three quarters, negated; a new one."""
    if not sizes.recurrent:
        return array
    array = -array
    candidate = array[..., 3 * sizes.units :]
    xp.negative(candidate, out=candidate)
    return array


def control(xp, tw, v, f, recurrent_weights, sizes):
    """From [reads, hidden] and what x gave, ``v.sums``, to the hidden units."""
    sums = v.sums
    sums += xp.matmul(v.carried, recurrent_weights, out=f.recurrent)
    if not sizes.recurrent:
        xp.tanh(sums, out=v.hidden)
        return
    tw.rising(v.sigmoid_sums, v.sigmoids)
    xp.tanh(v.candidate_sums, out=v.candidate)
    cell = v.cell
    xp.multiply(v.forget, v.cell_before, out=cell)
    cell += xp.multiply(v.input, v.candidate, out=f.over_units)
    xp.tanh(cell, out=v.shown)
    xp.multiply(v.output, v.shown, out=v.hidden)


def control_slopes(xp, tw, f, g, sizes):
    """Slopes of all gates, from exponentials and not from values that have rounded to one."""
    if not sizes.recurrent:
        _tanh_slopes(xp, tw, f.sums, g.slopes)
        return
    gates = 3 * sizes.units
    tw.rising_slope(f.sums[..., :gates], f.gates[..., :gates], g.slopes[..., :gates])
    _tanh_slopes(xp, tw, f.sums[..., gates:], g.slopes[..., gates:])
    _tanh_slopes(xp, tw, f.cell[1:], g.shown_slopes)


def _tanh_slopes(xp, tw, z, out):
    """tanh'(z) = 4 e / (1 + e)^2 with e = exp(-2 |z|), in blocks of steps that fit a cache."""
    steps, batch, columns = z.shape
    block = max(1, 2**14 // max(1, batch * columns))
    square = xp.empty_like(out, shape=(min(block, steps), batch, columns))
    for start in range(0, steps, block):
        e = out[start : start + block]
        tw.below(z[start : start + block], e)
        e *= 2
        xp.exp(e, out=e)
        s = xp.add(e, 1, out=square[: e.shape[0]])
        s *= 0.5
        s *= s
        e /= s


def control_back(xp, v, d, g, sizes):
    """From the gradient of the hidden units to that of the controller's sums, ``d.dsums``."""
    dhidden, dsums = g.dhidden, d.dsums
    if not sizes.recurrent:
        xp.multiply(dhidden, d.slopes, out=dsums)
        return
    dcell = g.dcell
    xp.multiply(dhidden, v.shown, out=d.doutput)
    dhidden *= v.output
    dhidden *= d.shown_slopes
    dcell += dhidden
    xp.multiply(dcell, v.candidate, out=d.dinput)
    xp.multiply(dcell, v.cell_before, out=d.dforget)
    xp.multiply(dcell, v.input, out=d.dcandidate)
    dsums *= d.slopes
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
