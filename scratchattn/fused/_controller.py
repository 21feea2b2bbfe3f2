"""The controller of fused memory machines, an LSTM or one tanh layer: buffers, a step, the way back.

A layer of ``fused/lstm.py`` is a controller without reads.  ``sizes`` are those of one call: steps, batch,
units, features (of all reads together), gates (columns of the sums), recurrent (an LSTM), clip_state (the
bound of cells that steps hand on, not below the hidden units' own, one; 0: none).  ``f`` and ``g`` are the
buffers of the forward and of the backward, ``v`` and ``d`` the views of one step into them, ``xp`` the
library, ``tw`` its twins.

Reads lie beside the hidden units, so that one product serves both.  The sums of gates come negated:
1 / (1 + exp(.)) keeps the digits of a gate that is all but shut, which (1 + tanh(z / 2)) / 2 would lose.
The candidate's do too, and are doubled once they are summed: the slope of tanh(z) is four times that of the
sigmoid at 2 z, so that one rule makes all four slopes.  From the exponentials on, gates lie apart, (4, b, h):
each is one contiguous block.
"""

from math import prod
from types import SimpleNamespace

from ..ops.choice import clip_backward, clip_forward


def forward_buffers(new, s):
    """What a recording keeps: every step's state and intermediates; ``states`` are what steps hand on."""
    t, b, h = s.steps, s.batch, s.units
    f = SimpleNamespace(
        carried=new(t + 1, b, s.features + h + 1),  # [reads, hidden, 1] before step 0, after it, ...
        sums=new(t, b, s.gates),  # negated, the candidate's then doubled
        recurrent=new(b, s.gates),
        over_units=new(b, h),
    )
    f.carried[:, :, s.features + h] = 1
    f.states = (f.carried,)
    if s.recurrent:
        f.exponentials, f.gates = new(t, 4, b, h), new(t, 4, b, h)
        f.candidate, f.cell, f.shown = new(t, b, h), new(t + 1, b, h), new(t, b, h)
        f.states += (f.cell,)
        if s.clip_state:
            f.unclipped = new(t, b, h)
    return f


def forward_views(f, s, t):
    """Of step ``t``."""
    b, h, after = s.batch, s.units, f.carried[t + 1]
    v = SimpleNamespace(sums=f.sums[t])
    v.carried = f.carried[t][:, : s.features + h * s.recurrent]
    v.hidden, v.hidden_and_one = after[:, s.features : s.features + h], after[:, s.features :]
    if s.recurrent:
        v.sums_apart, v.candidate_sums = v.sums.reshape(b, 4, h).swapaxes(0, 1), v.sums[:, 3 * h :]
        v.exponentials, v.gates, v.candidate = f.exponentials[t], f.gates[t], f.candidate[t]
        v.input, v.forget, v.output, _ = v.gates
        v.cell_before, v.cell, v.shown = f.cell[t], f.cell[t + 1], f.shown[t]
        v.made = f.unclipped[t] if s.clip_state else v.cell
    return v


def backward_buffers(new, s):
    """What a pullback needs while it runs; ``states`` are the gradients that steps hand back."""
    t, b, h = s.steps, s.batch, s.units
    carried = s.features + h * s.recurrent
    g = SimpleNamespace(
        dsums=new(t, b, s.gates),
        slopes=new(t, 4, b, h) if s.recurrent else new(t, b, h),
        dcarried=new(b, s.features + h),
        back_to_carried=new(s.gates, carried),  # transposed weights
    )
    g.dhidden, g.dcarried_by_sums = g.dcarried[:, s.features :], g.dcarried[:, :carried]
    g.states = (g.dcarried,)
    if s.recurrent:
        g.shown_slopes, g.dcell, g.dgates = new(t, b, h), new(b, h), new(4, b, h)
        g.dinput, g.dforget, g.doutput, g.dcandidate = g.dgates
        g.states += (g.dcell,)
    return g


def backward_views(g, s, t):
    """Of step ``t``."""
    d = SimpleNamespace(dsums=g.dsums[t], slopes=g.slopes[t])
    if s.recurrent:
        d.dsums_apart, d.shown_slopes = d.dsums.reshape(s.batch, 4, s.units).swapaxes(0, 1), g.shown_slopes[t]
    return d


def carried_weights(xp, weights, sizes):
    """Rows for the reads, then for the hidden units: one product serves both."""
    from_reads = weights.input_weights[sizes.inputs :]
    return xp.concat([from_reads, weights.hidden_weights], axis=0) if sizes.recurrent else from_reads


def negated(xp, array, sizes):
    """What makes the sums of an LSTM, negated; a tanh layer's as it is."""
    return -array if sizes.recurrent else array


def step(xp, tw, v, f, recurrent_weights, sizes):
    """From [reads, hidden] and what x gave, ``v.sums``, to the hidden units."""
    sums = v.sums
    sums += xp.matmul(v.carried, recurrent_weights, out=f.recurrent)
    if not sizes.recurrent:
        xp.tanh(sums, out=v.hidden)
        return
    candidate_sums, cell, bound = v.candidate_sums, v.made, sizes.clip_state
    candidate = xp.multiply(candidate_sums, -1, out=v.candidate)
    xp.tanh(candidate, out=candidate)
    candidate_sums *= 2  # not its weights, which may have no room for it
    tw.rising(v.sums_apart, v.exponentials, v.gates)
    xp.multiply(v.forget, v.cell_before, out=cell)
    cell += xp.multiply(v.input, candidate, out=f.over_units)
    xp.tanh(cell, out=v.shown)
    xp.multiply(v.output, v.shown, out=v.hidden)
    if bound:
        v.cell[...], v.outside = clip_forward(cell, low=-bound, high=bound)


def slopes(xp, tw, f, g, sizes):
    """Slopes of all gates, from exponentials and not from values that have rounded to one."""
    if not sizes.recurrent:
        tanh_slopes(xp, tw, f.sums, g.slopes)
        return
    for now in blocks(f.sums):
        tw.rising_slope(f.exponentials[now], f.gates[now], g.slopes[now])
        g.slopes[now, 3] *= 4
    tanh_slopes(xp, tw, f.unclipped if sizes.clip_state else f.cell[1:], g.shown_slopes)


def tanh_slopes(xp, tw, z, out):
    """tanh'(z) = 4 e / (1 + e)^2 with e = exp(-2 |z|)."""
    for now in blocks(z):
        e = out[now]
        tw.magnitude(z[now], e)
        e *= -2
        xp.exp(e, out=e)
        s = xp.add(e, 1)
        s *= 0.5
        s *= s
        e /= s


def blocks(array, numbers=2**14):
    """Slices of the first axis, a few steps each, so that a block, of about ``numbers``, fits a cache."""
    block = max(1, numbers // max(1, prod(array.shape[1:])))
    return [slice(start, start + block) for start in range(0, array.shape[0], block)]


def step_back(xp, v, d, g, sizes):
    """From the gradient of the hidden units to that of the controller's sums, ``d.dsums``."""
    dhidden = g.dhidden
    if not sizes.recurrent:
        xp.multiply(dhidden, d.slopes, out=d.dsums)
        dhidden[...] = 0  # a tanh layer hands nothing on
        return
    dcell = g.dcell
    xp.multiply(dhidden, v.shown, out=g.doutput)
    dhidden *= v.output
    dhidden *= d.shown_slopes
    if sizes.clip_state:
        (dcell[...],) = clip_backward(v.outside, dcell)
    dcell += dhidden
    xp.multiply(dcell, v.candidate, out=g.dinput)
    xp.multiply(dcell, v.cell_before, out=g.dforget)
    xp.multiply(dcell, v.input, out=g.dcandidate)
    xp.multiply(g.dgates, d.slopes, out=d.dsums_apart)
    dcell *= v.forget


def transposed(xp, weights, room, sizes):
    """Transposed ``weights``; a product of several rows wants them in order, and gets them in ``room``."""
    back = xp.matrix_transpose(weights)
    if sizes.batch == 1:
        return back
    room[...] = back
    return room


def over_steps(xp, a, b):
    """One product of a, (t, b, n), and b, (t, b, m), over all steps and sequences: (n, m)."""
    a, b = (each.reshape(each.shape[0] * each.shape[1], each.shape[2]) for each in (a, b))
    return xp.matmul(xp.matrix_transpose(a), b)


def side_by_side(sizes):
    """name -> the slice in which so many columns stand, in this order."""
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = slice(start, start + size)
        start += size
    return found
