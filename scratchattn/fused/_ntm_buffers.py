"""The buffers of ``fused/ntm.py``: over all time steps, and the views of each step into them.

Made once per shape and leased (see ``buffers``).  The memory is stored transposed, (b, w, n): the
long axis is contiguous, and what runs over the rows runs at full speed.
"""

from types import SimpleNamespace
from typing import NamedTuple

from ..backend import array_module
from ..buffers import Pool
from ..nn.ntm_cell import head_sizes

POOL = Pool()


class Sizes(NamedTuple):
    """Every size of one call; hashable, so that it is the key of a lease."""

    steps: int
    batch: int
    inputs: int
    units: int
    width: int
    rows: int
    reads: int
    writes: int
    shifts: int
    outputs: int
    recurrent: bool  # an LSTM, or one tanh layer
    heads = property(lambda self: self.reads + self.writes)
    features = property(lambda self: self.reads * self.width)  # of all reads together
    gates = property(lambda self: 4 * self.units if self.recurrent else self.units)

    def columns(self):
        """Where each head parameter lies in the head weights, and the range that has slopes."""
        sizes = head_sizes(self.width, self.reads, self.writes, self.shifts)
        found = _side_by_side(sizes._asdict())
        found["sloped"] = slice(found["erase"].start, found["sharpness"].stop)
        return found

    def emitted(self, spare=0):
        """The same as the fused controller emits them: gate negated, gate, erase negated, side by side.

        With ``spare`` columns after erase and write_vector.
        """
        sizes = head_sizes(self.width, self.reads, self.writes, self.shifts)._asdict()
        sizes |= {"complement": sizes["gate"], "spare": spare}
        order = "key gate complement erase write_vector spare strength sharpness shift".split()
        found = _side_by_side({name: sizes[name] for name in order})
        found["rising"] = slice(found["gate"].start, found["erase"].stop)
        found["softplus"] = slice(found["strength"].start, found["sharpness"].stop)
        return found


def sizes_of(x, state, weights):
    """The Sizes of a call; ValueError where they do not fit each other."""
    if x.ndim != 3 or state.reads.ndim != 3 or state.memory.ndim != 3:
        raise ValueError(f"ntm: x must have the axes (t,b,i) and no others before them, got {tuple(x.shape)}")
    (t, b, i), (_, r, w), (_, k, n) = x.shape, state.reads.shape, state.weightings.shape
    (h, parameters), recurrent = weights.head_weights.shape, weights.hidden_weights is not None
    if not (r >= 1 and k > r and n >= 1):
        raise ValueError(
            f"ntm: at least one read head, one write head and one row expected, got {r}, {k - r} and {n}"
        )
    spare = parameters - sum(head_sizes(w, r, k - r, 0))
    if spare < k or spare % k or spare // k % 2 == 0:
        raise ValueError(
            f"ntm: head_weights must have columns for {r} read and {k - r} write heads of width {w} and an "
            f"odd number of shifts each, got {parameters}"
        )
    for name, rows, expected in (
        ("input_weights", weights.input_weights.shape[0], i + r * w),
        ("output_weights", weights.output_weights.shape[0], r * w + h),
    ):
        if rows != expected:
            raise ValueError(f"ntm: {name} must have {expected} rows, got {rows}")
    return Sizes(t, b, i, h, w, n, r, k - r, spare // k, weights.output_bias.shape[0], recurrent)


def _side_by_side(sizes):
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = slice(start, start + size)
        start += size
    return found


def lease_forward(like, sizes):
    """What a recording keeps: every step's state and intermediates."""
    return POOL.lease(("forward", type(like), like.dtype, sizes), lambda: _forward(like, sizes))


def lease_backward(like, sizes):
    """What a pullback needs while it runs."""
    return POOL.lease(("backward", type(like), like.dtype, sizes), lambda: _backward(like, sizes))


def _forward(like, s):
    xp = array_module(like)
    t, b, k, n, w, c = s.steps, s.batch, s.heads, s.rows, s.width, s.emitted(spare=2 * s.width)

    def new(*shape):
        return xp.empty_like(like, shape=shape)

    f = SimpleNamespace(
        carried=new(t + 1, b, s.features + s.units + 1),  # [reads, hidden, 1] before step 0, after it, ...
        sums=new(t, b, s.gates),  # into the controller; those of sigmoids negated
        raw=new(t, b, s.emitted()["shift"].stop),  # head parameters before squashing
        squashed=new(t, b, c["shift"].stop),  # and after
        memory=new(t + 1, b, w, n),
        weightings=new(t + 1, b, k, n),
        written=new(t, b, s.writes + 1, n),  # weightings of the write heads, and a row of ones
        inverse=new(t + 1, b, n + k),  # one over the lengths of rows, then of keys
        cosine=new(t, b, k, n),
        content=new(t, b, k, n),  # exponentials
        norm=new(t, b, k, 1),  # one over their sum
        share=new(t, b, k, 1),  # gate norm
        slope=new(t, b, k, 1),  # of the logits by the cosine
        gated=new(t, b, k, n + s.shifts - 1),  # with a halo, so that the ring has no seam
        moved=new(t, b, k, n),
        logs=new(t, b, k, n),
        recurrent=new(b, s.gates),
        over_memory=new(b, w, n),
        addition=new(b, w, n),
        over_units=new(b, s.units),
        over_rows=new(b, k, n),
        one=new(b, k, 1),
        ones=new(1, w),
    )
    f.ones[...], f.written[:, :, s.writes] = 1, 1
    f.squashed[:, :, c["spare"]] = 0
    f.squashed[:, :, c["spare"].start : c["spare"].start + w] = -1
    if s.recurrent:
        f.gates, f.cell, f.shown = new(t, b, s.gates), new(t + 1, b, s.units), new(t, b, s.units)
    f.states = (f.carried, f.memory, f.weightings, *([f.cell] if s.recurrent else []))
    f.carried[:, :, s.features + s.units] = 1
    f.views = [_forward_views(f, s, i) for i in range(t)]
    return f


def _forward_views(f, s, t):
    b, k, w, n, r, u = s.batch, s.heads, s.width, s.rows, s.reads, s.units
    raw, squashed, after = f.raw[t], f.squashed[t], f.carried[t + 1]
    emitted, c = s.emitted(), s.emitted(spare=2 * w)
    v = SimpleNamespace(raw=raw, sums=f.sums[t])
    v.carried = f.carried[t][:, : s.features + u] if s.recurrent else f.carried[t][:, : s.features]
    v.reads, v.hidden = after[:, : s.features].reshape(b, r, w), after[:, s.features : s.features + u]
    v.hidden_and_one = after[:, s.features :]
    if s.recurrent:
        v.gates, v.cell_before, v.cell, v.shown = f.gates[t], f.cell[t], f.cell[t + 1], f.shown[t]
        v.input, v.forget, v.output, v.candidate = (v.gates[:, i * u : (i + 1) * u] for i in range(4))
        v.sigmoids = v.gates[:, : 3 * u]
        v.sigmoid_sums, v.candidate_sums = v.sums[:, : 3 * u], v.sums[:, 3 * u :]
    v.raw_key = raw[:, emitted["key"]].reshape(b, k, w)
    v.raw_write_vector, v.write_vector = raw[:, emitted["write_vector"]], squashed[:, c["write_vector"]]
    v.write_columns = v.write_vector.reshape(b, s.writes, w).swapaxes(1, 2)
    v.erase_columns = squashed[:, c["erase"]].reshape(b, s.writes, w).swapaxes(1, 2)
    v.raw_rising, v.rising = raw[:, emitted["rising"]], squashed[:, c["rising"]]
    v.raw_softplus, v.softplus = raw[:, emitted["softplus"]], squashed[:, c["softplus"]]
    v.raw_shift = raw[:, emitted["shift"]].reshape(b, k, s.shifts)
    v.shift = squashed[:, c["shift"]].reshape(b, k, s.shifts)
    if s.writes == 1:  # [erase, -1]^T and [write_vector, 0]^T: times [w, 1] e w - 1 and a w
        both = squashed[:, c["erase"].start : c["spare"].stop].reshape(b, 2, 2 * w).swapaxes(1, 2)
        v.erase_columns, v.write_columns = both[:, :w], both[:, w:]
    v.shift_at = [v.shift[:, :, j : j + 1] for j in range(s.shifts)]
    v.raw_shift_at = [v.raw_shift[:, :, j : j + 1] for j in range(s.shifts)]
    v.above_one = squashed[:, c["sharpness"]]
    v.gate, v.complement, v.strength, v.sharpness = (
        squashed[:, c[name], None] for name in ("gate", "complement", "strength", "sharpness")
    )
    v.before, v.weightings = f.weightings[t], f.weightings[t + 1]
    v.reading, v.writing = v.weightings[:, :r], v.weightings[:, r:]
    v.memory, v.memory_after = f.memory[t], f.memory[t + 1]
    v.inverse, v.squares, v.squares_after = f.inverse[t], *(f.inverse[i, :, None, :n] for i in (t, t + 1))
    v.row_inverse, v.key_squares, v.key_inverse = (
        v.inverse[:, None, :n],
        v.inverse[:, n:],
        v.inverse[:, n:, None],
    )
    v.strength_flat, v.share_flat, v.key_inverse_flat = (
        v.strength[:, :, 0],
        f.share[t, :, :, 0],
        v.key_squares,
    )
    steps = (f.cosine, f.content, f.norm, f.share, f.slope, f.moved, f.logs)
    v.cosine, v.content, v.norm, v.share, v.slope, v.moved, v.logs = (a[t] for a in steps)
    v.gated, v.seams, v.windows = ring(f.gated[t], s)
    v.key_columns, v.written, v.written_by = (
        v.raw_key.swapaxes(1, 2),
        f.written[t],
        f.written[t][:, : s.writes],
    )
    v.memory_rows, v.writing_columns = v.memory.swapaxes(1, 2), v.writing.swapaxes(1, 2)
    return v


def ring(padded, s):
    """The inside of ``padded``, (destination, source) pairs that close it to a ring, and its windows.

    ``windows[j]`` is what shift j moves onto each row i: the inside at i - (j - reach).
    """
    n, reach = s.rows, s.shifts // 2
    inside, end = padded[..., reach : reach + n], reach + n
    if reach == 0:
        seams = []
    elif reach == 1 and n > 1:  # both ends at once
        seams = [(padded[..., :: n + 1], padded[..., n : 0 : 1 - n])]
    elif reach <= n:
        seams = [(padded[..., :reach], inside[..., n - reach :]), (padded[..., end:], inside[..., :reach])]
    else:  # wider than the memory: it goes round more than once
        outside = [*range(reach), *range(end, n + 2 * reach)]
        around = [(i - reach) % n for i in outside]
        seams = [(padded[..., i : i + 1], inside[..., j : j + 1]) for i, j in zip(outside, around)]
    windows = [padded[..., 2 * reach - j : 2 * reach - j + n] for j in range(s.shifts)]
    return inside, seams, windows


def _backward(like, s):
    xp = array_module(like)
    t, b, k, n, w, c = s.steps, s.batch, s.heads, s.rows, s.width, s.columns()

    def new(*shape):
        return xp.empty_like(like, shape=shape)

    g = SimpleNamespace(
        dsums=new(t, b, s.gates),
        slopes=new(t, b, s.gates),
        draw=new(t, b, c["shift"].stop),
        head_slopes=new(t, b, c["sloped"].stop - c["sloped"].start),
        sharpening=new(t, b, k, n),  # slope of weightings by moved
        logs=new(t, b, k, n),  # finite
        inverse_squared=new(t, b, n + k),
        write_vector=new(t, b, s.writes, w),
        minus_erase=new(t, b, s.writes, w),
        dcarried=new(b, s.features + s.units),
        back_to_carried=new(s.gates, s.features + s.units * s.recurrent),  # transposed weights
        back_to_hidden=new(c["shift"].stop, s.units),
        dmemory=new(b, w, n),
        dproduct=new(b, w, n),
        dweightings=new(b, k, n),
        dpadded=new(b, k, n + s.shifts - 1),
        left=new(b, w, s.reads + k),
        right=new(b, s.reads + k, n),
        change=new(b, w, n),
        dwriting_by_erasing=new(b, s.writes, n),
        dcosine=new(b, k, n),
        over_rows=new(b, k, n),
        over_keys=new(b, k, w),
        over_units=new(b, s.units),
        mean=new(b, k, 1),
        one=new(b, k, 1),
        scale=new(b, 1, n),
    )
    g.mean_flat, g.one_flat = g.mean[:, :, 0], g.one[:, :, 0]
    g.dreads = g.dcarried[:, : s.features].reshape(b, s.reads, w)
    g.dhidden, g.dreads_columns = g.dcarried[:, s.features :], g.dreads.swapaxes(1, 2)
    g.left_reads, g.left_keys = g.left[:, :, : s.reads], g.left[:, :, s.reads :]
    g.right_reads, g.right_keys = g.right[:, : s.reads], g.right[:, s.reads :]
    g.dreading, g.dwriting = g.over_rows[:, : s.reads], g.over_rows[:, s.reads :]
    g.dinside, g.dseams, windows = ring(g.dpadded, s)
    g.dwindows = windows[::-1]  # the transpose moves the other way
    if s.recurrent:
        g.shown_slopes, g.dcell = new(t, b, s.units), new(b, s.units)
        g.states = (g.dcarried, g.dmemory, g.dweightings, g.dcell)
    else:
        g.states = (g.dcarried, g.dmemory, g.dweightings)
    g.views = [_backward_views(g, s, i) for i in range(t)]
    return g


def _backward_views(g, s, t):
    b, k, w, u, c, draw = s.batch, s.heads, s.width, s.units, s.columns(), g.draw[t]
    d = SimpleNamespace(draw=draw, dsums=g.dsums[t], slopes=g.slopes[t])
    d.write_vector, d.minus_erase = g.write_vector[t], g.minus_erase[t]
    if s.recurrent:
        d.dinput, d.dforget, d.doutput, d.dcandidate = (d.dsums[:, i * u : (i + 1) * u] for i in range(4))
        d.shown_slopes = g.shown_slopes[t]
    d.dkey = draw[:, c["key"]].reshape(b, k, w)
    d.dwrite_vector = draw[:, c["write_vector"]].reshape(b, s.writes, w)
    d.dminus_erase = draw[:, c["erase"]].reshape(b, s.writes, w)
    d.dgate, d.dstrength, d.dsharpness = (draw[:, c[name]] for name in ("gate", "strength", "sharpness"))
    d.sloped, d.head_slopes = draw[:, c["sloped"]], g.head_slopes[t]
    d.dshift = draw[:, c["shift"]].reshape(b, k, s.shifts)
    d.dshift_at = [d.dshift[:, :, j] for j in range(s.shifts)]
    d.sharpening, d.logs, squared = g.sharpening[t], g.logs[t], g.inverse_squared[t]
    d.row_inverse_squared, d.key_inverse_squared = squared[:, None, : s.rows], squared[:, s.rows :, None]
    d.dwrite_vector_columns, d.dminus_erase_columns = (
        d.dwrite_vector.swapaxes(1, 2),
        d.dminus_erase.swapaxes(1, 2),
    )
    return d
