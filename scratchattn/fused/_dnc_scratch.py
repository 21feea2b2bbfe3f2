"""The buffers of ``fused/dnc.py`` on the way back, as ``_dnc_buffers`` has them on the way forward."""

from types import SimpleNamespace


def backward_buffers(new, s):
    """What a pullback needs while it runs."""
    t, b, r, n, w, p = s.steps, s.batch, s.reads, s.rows, s.width, s.blocks()["modes"].stop
    g = SimpleNamespace(
        **vars(s.controller.backward_buffers(new, s)),
        draw=new(t, b, p),
        head_slopes=new(t, b, p),
        key_pull=new(t, b, r + 1),  # one over the square of a key's length
        inverse_squared=new(t + 1, b, 1, n),
        freeing=new(t, r, b, n),  # d usage by each factor of what is kept, by what is freed
        by_writing=new(t, b, n),  # d usage by the write weighting
        by_usage=new(t, b, n),
        back_to_hidden=new(p, s.shown),  # transposed weights
        dproduct_and_memory=new(b, 2 * w, n),
        dusage=new(b, n),
        dlink=new(b, n, n),
        dprecedence=new(b, 1, n),
        dwriting=new(b, 1, n),
        dreading=new(b, r, n),
        dways=new(b, 3, r, n),  # back, alike, onwards; then the read weightings stand in the middle
        dsources=new(2, b, n),
        dtaking=new(b, 2),
        dmodes=new(3, b, r),
        left=new(b, 2 * r + 1, w),  # reads, read keys, the write key of the step after
        right=new(b, 2 * r + 1, n),
        pulled=new(b, r + 1, n),
        scale=new(b, 1, n),
        change=new(b, w, n),
        asked=new(n + 1, b),
        level=new(n, b),
        over_level=new(n, b),
        over_rows=new(b, n),
        over_row=new(b, 1, n),
        over_column=new(b, n, 1),
        over_reading=new(b, r, n),
        over_links=new(b, n, n),
        over_modes=new(3, b, r),
        over_keys=new(b, r + 1, w),
        over_hidden=new(b, s.shown),
        mean_of_modes=new(1, b, r),
        mean=new(b, r + 1, 1),
        pull=new(b, r + 1, 1),
        one=new(b, 1, 1),
        ones_column=new(n, 1),
        ones_row=new(1, n),
        ones_of_heads=new(1, r + 1),
    )
    g.mean_of_modes_flat = g.mean_of_modes[0]
    g.one_flat, g.column_as_row = g.one[:, :, 0], g.over_column.reshape(b, 1, n)
    g.ones_column[...], g.ones_row[...], g.ones_of_heads[...], g.asked[n] = 1, 1, 1, 0
    g.dproduct, g.dmemory = g.dproduct_and_memory[:, :w], g.dproduct_and_memory[:, w:]
    g.dusage_of_rows, g.dkept = g.dusage[:, None], new(b, 1, n)
    if s.convention.sharpen_links:
        g.dalong, g.mean_along = g.dways[:, ::2], new(b, 2, r, 1)
        g.mean_along_flat = g.mean_along[:, :, :, 0]
    if not s.plain:
        g.squares, g.pulled_by_rows = new(b, w, n), new(b, r + 1, w)
        g.squares_of_rows, g.masks_squared = g.squares.swapaxes(1, 2), new(b, r + 1, w)
        g.masks_squared_columns = g.masks_squared.swapaxes(1, 2)
        g.masks_squared[...] = 1  # nothing that new memory holds, beside the zeros of a last memory
        g.masks_squared_of_readers, g.masks_squared_of_writer = (
            g.masks_squared[:, :r],
            g.masks_squared[:, r:],
        )
    g.dreads = g.dcarried[:, : s.features].reshape(b, r, w)
    g.dback, g.dalike, g.donwards = (g.dways[:, j] for j in range(3))
    g.dmodes_of_batch, around = g.dmodes.swapaxes(0, 1), g.dways.reshape(b, 3 * r, n)
    g.back_and_read, g.read_and_onwards_columns = around[:, : 2 * r], around[:, r:].swapaxes(1, 2)
    g.diagonal = g.dlink.reshape(b, n * n)[:, :: n + 1]
    g.dallocation, g.dallocation_flat = g.dsources[0], g.dsources[0].reshape(-1)
    g.dcontent = g.dsources[1][:, None]
    g.doublings = [(g.level[:-m], g.level[m:], g.over_level[m:]) for m in s.reaches()]
    g.left_reads, g.left_keys, g.left_write_key = g.left[:, :r], g.left[:, r : 2 * r], g.left[:, 2 * r :]
    g.left_of_readers, g.right_of_readers = g.left[:, : 2 * r], g.right[:, : 2 * r]
    g.pulled_by_readers = g.pulled[:, :r]
    g.right_reads, g.left_columns = g.right[:, :r], g.left.swapaxes(1, 2)
    g.states += (g.dmemory, g.dusage, g.dlink, g.dprecedence, g.dwriting, g.dreading)
    g.views = [_views(g, s, i) for i in range(t)]
    return g


def _views(g, s, t):
    b, r, w, c, draw = s.batch, s.reads, s.width, s.blocks(), g.draw[t]
    d = s.controller.backward_views(g, s, t)
    d.draw, d.head_slopes = draw, g.head_slopes[t]
    d.dkeys, d.dstrength = draw[:, c["keys"]].reshape(b, r + 1, w), draw[:, c["strength"]]
    d.key_pull = g.key_pull[t]
    d.readers, d.writer = (_searching(g, d, heads, r) for heads in (slice(0, r), slice(r, r + 1)))
    d.dchanging_columns = draw[:, c["changes"], None]
    d.dfree, d.dwrite, d.dallocate = (
        draw[:, c["free"]],
        draw[:, c["write"].start],
        draw[:, c["allocate"].start],
    )
    d.dmasks = draw[:, c["masks"]].reshape(b, r + 1, w) if s.convention.masked else None
    d.dsharpness = draw[:, c["sharpness"]].reshape(b, 2, r) if s.convention.sharpen_links else None
    d.dmodes = draw[:, c["modes"]].reshape(b, 3, r).swapaxes(0, 1)
    d.freeing, d.by_writing, d.by_usage = g.freeing[t].swapaxes(0, 1), g.by_writing[t], g.by_usage[t]
    d.inverse_squared_after = g.inverse_squared[t + 1]
    return d


def _searching(g, d, heads, r):
    """What ``content_back`` writes to, for some of the heads."""
    look = SimpleNamespace(
        dkey=d.dkeys[:, heads], dstrength=d.dstrength[:, heads], pulled=g.pulled[:, heads],
        mean=g.mean[:, heads], mean_flat=g.mean[:, heads, 0], pull=g.pull[:, heads, 0],
        dlogits=g.right[:, r + heads.start : r + heads.stop],
    )  # fmt: skip
    if hasattr(g, "pulled_by_rows"):
        look.pulled_by_rows = g.pulled_by_rows[:, heads]
    return look
