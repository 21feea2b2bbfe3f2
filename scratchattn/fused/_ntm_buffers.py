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

    def emitted(self):
        """The same as the fused controller emits them: erase and gate negated, then gate once more."""
        sizes = head_sizes(self.width, self.reads, self.writes, self.shifts)._asdict()
        order = ("key", "write_vector", "erase", "gate", "complement", "strength", "sharpness", "shift")
        found = _side_by_side({name: sizes["gate" if name == "complement" else name] for name in order})
        found["rising"] = slice(found["erase"].start, found["complement"].stop)
        found["softplus"] = slice(found["strength"].start, found["sharpness"].stop)
        return found


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
    t, b, k, n, w, emitted = s.steps, s.batch, s.heads, s.rows, s.width, s.emitted()["shift"].stop

    def new(*shape):
        return xp.empty_like(like, shape=shape)

    f = SimpleNamespace(
        carried=new(t + 1, b, s.features + s.units + 1),  # [reads, hidden, 1] before step 0, after it, ...
        sums=new(t, b, s.gates),  # into the controller; those of sigmoids negated
        raw=new(t, b, emitted),  # head parameters before squashing
        squashed=new(t, b, emitted),  # and after
        memory=new(t + 1, b, w, n),
        weightings=new(t + 1, b, k, n),
        key=new(t, b, k, w),  # of length one
        inverse=new(t, b, n + k),  # one over the lengths of rows, then of keys
        cosine=new(t, b, k, n),
        content=new(t, b, k, n),
        gated=new(t, b, k, n + s.shifts - 1),  # with a halo, so that the ring has no seam
        moved=new(t, b, k, n),
        logs=new(t, b, k, n),
        recurrent=new(b, s.gates),
        over_memory=new(b, w, n),
        over_keys=new(b, k, w),
        over_units=new(b, s.units),
        over_rows=new(b, k, n),
        one=new(b, k, 1),
    )
    if s.recurrent:
        f.gates, f.cell, f.shown = new(t, b, s.gates), new(t + 1, b, s.units), new(t, b, s.units)
    f.states = (f.carried, f.memory, f.weightings, *([f.cell] if s.recurrent else []))
    f.carried[:, :, s.features + s.units] = 1
    f.views = [_forward_views(f, s, i) for i in range(t)]
    return f


def _forward_views(f, s, t):
    b, k, w, n, r, u = s.batch, s.heads, s.width, s.rows, s.reads, s.units
    raw, squashed, c, after = f.raw[t], f.squashed[t], s.emitted(), f.carried[t + 1]
    v = SimpleNamespace(raw=raw, sums=f.sums[t])
    v.carried = f.carried[t][:, : s.features + u] if s.recurrent else f.carried[t][:, : s.features]
    v.reads, v.hidden = after[:, : s.features].reshape(b, r, w), after[:, s.features : s.features + u]
    v.hidden_and_one = after[:, s.features :]
    if s.recurrent:
        v.gates, v.cell_before, v.cell, v.shown = f.gates[t], f.cell[t], f.cell[t + 1], f.shown[t]
        v.input, v.forget, v.output, v.candidate = (v.gates[:, i * u : (i + 1) * u] for i in range(4))
        v.sigmoids = v.gates[:, : 3 * u]
        v.sigmoid_sums, v.candidate_sums = v.sums[:, : 3 * u], v.sums[:, 3 * u :]
    v.raw_key, v.key = raw[:, c["key"]].reshape(b, k, w), f.key[t]
    v.key_columns = v.key.swapaxes(1, 2)
    v.write_columns = raw[:, c["write_vector"]].reshape(b, s.writes, w).swapaxes(1, 2)
    v.erase_columns = squashed[:, c["erase"]].reshape(b, s.writes, w).swapaxes(1, 2)
    v.raw_rising, v.rising = raw[:, c["rising"]], squashed[:, c["rising"]]
    v.raw_softplus, v.softplus = raw[:, c["softplus"]], squashed[:, c["softplus"]]
    v.raw_shift = raw[:, c["shift"]].reshape(b, k, s.shifts)
    v.shift = squashed[:, c["shift"]].reshape(b, k, s.shifts)
    v.shift_at = [v.shift[:, :, j : j + 1] for j in range(s.shifts)]
    v.above_one = squashed[:, c["sharpness"]]
    v.gate, v.complement, v.strength, v.sharpness = (
        squashed[:, c[name], None] for name in ("gate", "complement", "strength", "sharpness")
    )
    v.memory, v.memory_rows, v.memory_after = f.memory[t], f.memory[t].swapaxes(1, 2), f.memory[t + 1]
    v.before, v.weightings = f.weightings[t], f.weightings[t + 1]
    v.reading, v.writing = v.weightings[:, :r], v.weightings[:, r:]
    v.writing_columns = v.writing.swapaxes(1, 2)
    v.inverse = f.inverse[t]
    v.row_inverse, v.key_squares, v.key_inverse = (
        v.inverse[:, None, :n],
        v.inverse[:, n:],
        v.inverse[:, n:, None],
    )
    v.cosine, v.content, v.moved, v.logs = (a[t] for a in (f.cosine, f.content, f.moved, f.logs))
    v.gated, v.seams, v.windows = ring(f.gated[t], s)
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
        difference=new(t, b, k, n),  # content - before
        sharpening=new(t, b, k, n),  # slope of weightings by moved
        logs=new(t, b, k, n),  # finite
        inverse_squared=new(t, b, 1, n),
        add_erase=new(t, b, s.writes, 2 * w),  # [write_vector, -erase]
        dcarried=new(b, s.features + s.units),
        both=new(b, 2 * w, n),  # gradient of the memory, then that times the memory
        dweightings=new(b, k, n),
        dpadded=new(b, k, n + s.shifts - 1),
        left=new(b, w, s.reads + k),
        right=new(b, s.reads + k, n),
        over_memory=new(b, w, n),
        over_rows=new(b, k, n),
        over_keys=new(b, k, w),
        over_units=new(b, s.units),
        mean=new(b, k, 1),
        scale=new(b, 1, n),
    )
    g.dmemory, g.dproduct, g.mean_flat = g.both[:, :w], g.both[:, w:], g.mean[:, :, 0]
    g.dmemory_rows, g.dreads = g.dmemory.swapaxes(1, 2), g.dcarried[:, : s.features].reshape(b, s.reads, w)
    g.dreads_columns, g.dhidden = g.dreads.swapaxes(1, 2), g.dcarried[:, s.features :]
    g.dreading, g.dwriting = g.over_rows[:, : s.reads], g.over_rows[:, s.reads :]
    g.left_reads, g.left_keys = g.left[:, :, : s.reads], g.left[:, :, s.reads :]
    g.right_reads, g.dcosine = g.right[:, : s.reads], g.right[:, s.reads :]
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
    d = SimpleNamespace(draw=draw, dsums=g.dsums[t], slopes=g.slopes[t], add_erase=g.add_erase[t])
    if s.recurrent:
        d.dinput, d.dforget, d.doutput, d.dcandidate = (d.dsums[:, i * u : (i + 1) * u] for i in range(4))
        d.shown_slopes = g.shown_slopes[t]
    d.dkey = draw[:, c["key"]].reshape(b, k, w)
    d.dwrite_erase = draw[:, c["write_vector"].start : c["erase"].stop, None]  # of one write head
    d.dwrite_vector = draw[:, c["write_vector"]].reshape(b, s.writes, w)
    d.dminus_erase = draw[:, c["erase"]].reshape(b, s.writes, w)
    d.dgate, d.dstrength, d.dsharpness = (draw[:, c[name]] for name in ("gate", "strength", "sharpness"))
    d.sloped, d.head_slopes = draw[:, c["sloped"]], g.head_slopes[t]
    d.dshift = draw[:, c["shift"]].reshape(b, k, s.shifts)
    d.dshift_at = [d.dshift[:, :, j] for j in range(s.shifts)]
    d.difference, d.sharpening, d.logs = g.difference[t], g.sharpening[t], g.logs[t]
    d.inverse_squared = g.inverse_squared[t]
    return d
