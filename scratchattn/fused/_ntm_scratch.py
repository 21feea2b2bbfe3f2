"""The buffers of ``fused/ntm.py`` on the way back, as ``_ntm_buffers`` has them on the way forward."""

from types import SimpleNamespace

from ._ntm_buffers import ring


def backward_buffers(new, s):
    """What a pullback needs while it runs."""
    t, b, k, n, w, c = s.steps, s.batch, s.heads, s.rows, s.width, s.columns()
    g = SimpleNamespace(
        **vars(s.controller.backward_buffers(new, s)),
        draw=new(t, b, c["shift"].stop),
        head_slopes=new(t, b, c["sharpness"].stop),  # of all but the shift
        shift=new(t, s.shifts, b, k),  # times sharpness
        inverse_squared=new(t, b, n),  # of the lengths of rows
        changing=new(t, 2, b, s.writes, w),  # write vectors, then minus erase
        cosine_pull=new(t, b, k),  # d cosine by d content
        back_to_hidden=new(c["shift"].stop, s.units),  # transposed weights
        dmemory_and_product=new(2, b, w, n),
        dwriting_by_each=new(2, b, 1, n),
        dweightings=new(b, k, n),
        dpadded=new(b, k, n + s.shifts - 1),
        left=new(b, s.reads + k, w),
        right=new(b, s.reads + k, n),
        change=new(b, w, n),
        dcosine=new(b, k, n),
        dshift=new(s.shifts, b, k),
        over_rows=new(b, k, n),
        over_keys=new(b, k, w),
        over_units=new(b, s.units),
        over_shift=new(s.shifts, b, k),
        over_shifts=new(1, b, k),
        mean=new(b, k, 1),
        one=new(b, k, 1),
        scale=new(b, 1, n),
    )
    g.head_slopes[:, :, c["write_vector"]] = 1
    g.mean_flat, g.one_flat = g.mean[:, :, 0], g.one[:, :, 0]
    g.dreads = g.dcarried[:, : s.features].reshape(b, s.reads, w)
    g.dmemory, g.dproduct = g.dmemory_and_product
    g.dreading, g.dwriting = g.over_rows[:, : s.reads], g.over_rows[:, s.reads :]
    g.left_reads, g.left_keys = g.left[:, : s.reads], g.left[:, s.reads :]
    g.left_columns = g.left.swapaxes(1, 2)
    g.right_reads, g.right_keys = g.right[:, : s.reads], g.right[:, s.reads :]
    g.each_dcosine = g.dcosine[:, :, None]
    g.dshift_at = [g.dshift[j] for j in range(s.shifts)]
    g.dinside, g.dseams, windows = ring(g.dpadded, s)
    g.dwindows = windows[::-1]  # the transpose moves the other way
    g.states += (g.dmemory, g.dweightings)
    g.views = [_views(g, s, i) for i in range(t)]
    return g


def _views(g, s, t):
    b, k, w, c, draw = s.batch, s.heads, s.width, s.columns(), g.draw[t]
    d = s.controller.backward_views(g, s, t)
    d.draw, d.dkey = draw, draw[:, c["key"]].reshape(b, k, w)
    d.each_dkey = d.dkey[:, :, None]
    d.dgate, d.dstrength, d.dsharpness = (draw[:, c[name]] for name in ("gate", "strength", "sharpness"))
    d.sloped, d.head_slopes = draw[:, : c["sharpness"].stop], g.head_slopes[t]
    d.dshift = draw[:, c["shift"]].reshape(b, k, s.shifts).transpose(2, 0, 1)
    d.cosine_pull = g.cosine_pull[t, :, :, None]
    d.shift, d.shift_at = g.shift[t], [g.shift[t, j, :, :, None] for j in range(s.shifts)]
    d.row_inverse_squared = g.inverse_squared[t, :, None]
    if s.writes == 1:  # both at once, as columns
        columns = draw[:, c["write_vector"].start : c["erase"].stop]
        d.changing, d.dchanging_columns = g.changing[t], columns.reshape(b, 2, w, 1).swapaxes(0, 1)
    else:
        d.write_vector, d.dminus_erase = g.changing[t, 0], draw[:, c["erase"]].reshape(b, s.writes, w)
        d.dwrite_vector_columns = draw[:, c["write_vector"]].reshape(b, s.writes, w).swapaxes(1, 2)
    return d
