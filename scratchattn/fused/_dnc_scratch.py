"""The buffers of ``fused/dnc.py`` on the way back, as ``_dnc_buffers`` has them on the way forward."""

from types import SimpleNamespace


def backward_buffers(new, s):
    """What a pullback needs while it runs."""
    t, b, r, k, n, w, p = s.steps, s.batch, s.reads, s.writers, s.rows, s.width, s.blocks()["modes"].stop
    heads, m, of_heads = s.heads, s.modes, s.of_heads
    g = SimpleNamespace(
        **vars(s.controller.backward_buffers(new, s)),
        draw=new(t, b, p),
        head_slopes=new(t, b, p),
        key_pull=new(t, b, heads),  # one over the square of a key's length
        inverse_squared=new(t + 1, b, 1, n),
        freeing=new(t, r, b, n),  # d usage by each factor of what is kept, by what is freed
        by_writing=new(t, k, b, n),  # d usage by the write weightings
        by_usage=new(t, b, n),
        back_to_hidden=new(p, s.shown),  # transposed weights
        dproducts_and_memory=new(b, (k + 1) * w, n),
        factors=new(b, k * w, n),  # what each write leaves of the memory
        dchanging=new(b, (k + 1) * w, k),
        dusage=new(b, n),
        dlinks=new(b, k, n, n),
        dprecedence=new(b, k, n),
        dwriting=new(b, k, n),
        dreading=new(b, r, n),
        around=new(b, k, 3, r, n),  # of each link: back, alike at the first, onwards; see ``link_back``
        dsources=new(2, k, b, n),
        dtaking=new(b, k, 2),
        dsimulated=new(b, k - 1 + s.keeps),  # of what write heads, but for the last, are about to take by
        dmodes=new(m, b, r),
        left=new(b, r + heads, w),  # reads, read keys, the write keys of the step after
        right=new(b, r + heads, n),
        pulled=new(b, heads, n),
        scale=new(b, 1, n),
        change=new(b, w, n),
        asked=new(n + 1, b),
        level=new(n, b),
        over_level=new(n, b),
        over_rows=new(b, n),
        untaken=new(b, n),
        over_writing=new(b, k, n),
        over_row=new(b, k, 1, n),
        over_column=new(b, k, n, 1),
        over_reading=new(b, r, n),
        over_links=new(b, k, n, n),
        over_modes=new(m, b, r),
        over_keys=new(b, heads, w),
        over_hidden=new(b, s.shown),
        mean_of_modes=new(1, b, r),
        mean=new(b, heads, 1),
        pull=new(b, heads, 1),
        one=new(b, k, 1),
        ones_column=new(n, 1),
        ones_row=new(1, n),
        ones_of_heads=new(1, heads),
    )
    g.mean_of_modes_flat = g.mean_of_modes[0]
    g.one_flat = g.one[:, :, 0]
    g.row_of_links, g.column_as_row = g.over_row.reshape(b, k, n), g.over_column.reshape(b, k, n)
    g.over_row, g.over_column, g.over_links = (of_heads(a) for a in (g.over_row, g.over_column, g.over_links))
    g.ones_column[...], g.ones_row[...], g.ones_of_heads[...], g.asked[n] = 1, 1, 1, 0
    *dproducts, g.dmemory = (g.dproducts_and_memory[:, h * w : (h + 1) * w] for h in range(k + 1))
    factors = [g.factors[:, h * w : (h + 1) * w] for h in range(k)]
    g.dproduct, g.factor_of_last = dproducts[0], factors[-1]
    g.one_by_one = list(zip(dproducts, factors, dproducts[1:]))
    g.one_by_one_back = list(zip(dproducts, factors))[-2::-1]
    g.dusage_of_rows, g.dkept = g.dusage[:, None], new(b, 1, n)
    if s.convention.sharpen_links:
        g.dalong, g.mean_along = (
            of_heads(a, 2) for a in (g.around[:, :, ::2].swapaxes(1, 2), new(b, 2, k, r, 1))
        )
        g.mean_along_flat = g.mean_along[..., 0]
    if not s.plain:
        g.squares, g.pulled_by_rows = new(b, w, n), new(b, heads, w)
        g.squares_of_rows, g.masks_squared = g.squares.swapaxes(1, 2), new(b, heads, w)
        g.masks_squared_columns = g.masks_squared.swapaxes(1, 2)
        g.masks_squared[...] = 1  # nothing that new memory holds, beside the zeros of a last memory
        g.masks_squared_of_readers, g.masks_squared_of_writer = (
            g.masks_squared[:, :r],
            g.masks_squared[:, r:],
        )
    g.dreads = g.dcarried[:, : s.features].reshape(b, r, w)
    g.dfirst = new(b, r, w) if s.frozen else g.dreads  # by the reads that a state hands on
    pairs, g.readings = of_heads(g.around.reshape(b, k, 3 * r, n)), of_heads(g.around[:, :, 1])
    g.back_and_read, g.read_and_onwards_columns = pairs[..., : 2 * r, :], pairs[..., r:, :].swapaxes(-1, -2)
    g.donwards, g.dback, *g.other_dways = (g.around[:, h, way] for h in range(k) for way in (2, 0))
    g.dalike = g.around[:, 0, 1]
    g.dways_apart = [g.around[:, 0]] if k == 1 else [g.around[:, :, 0], g.around[:, :1, 1], g.around[:, :, 2]]
    g.dmodes_of_batch = g.dmodes.swapaxes(0, 1)
    g.dlink, g.diagonal = (of_heads(a) for a in (g.dlinks, g.dlinks.reshape(b, k, n * n)[:, :, :: n + 1]))
    g.dwriting_row = of_heads(g.dwriting[:, :, None])
    g.dwriting_of_sources = of_heads(g.dwriting.swapaxes(0, 1), 0)
    g.dtaking_free, g.dtaking_alike = g.dtaking[:, :, 0], g.dtaking[:, :, 1]
    g.dtaking_before = g.dtaking_free[:, : g.dsimulated.shape[1]]
    g.dtaking, g.in_turn = of_heads(g.dtaking), []
    for head in reversed(range(k)):
        after = g.dusage if s.keeps else None
        g.in_turn.append(_allocating(g, head, g.in_turn[-1].dallocation if g.in_turn else after))
    g.dcontent, g.dsources = g.dsources[1].swapaxes(0, 1), of_heads(g.dsources)
    g.doublings = [(g.level[:-m], g.level[m:], g.over_level[m:]) for m in s.reaches()]
    g.left_reads, g.left_keys, g.left_write_key = g.left[:, :r], g.left[:, r : 2 * r], g.left[:, 2 * r :]
    g.left_of_readers, g.right_of_readers = g.left[:, : 2 * r], g.right[:, : 2 * r]
    g.pulled_by_readers = g.pulled[:, :r]
    g.right_reads, g.left_columns = g.right[:, :r], g.left.swapaxes(1, 2)
    g.states += (g.dmemory, g.dusage, g.dlinks, g.dprecedence, g.dwriting, g.dreading)
    g.views = [_views(g, s, i) for i in range(t)]
    return g


def _views(g, s, t):
    b, r, k, w, c, draw = s.batch, s.reads, s.writers, s.width, s.blocks(), g.draw[t]
    d = s.controller.backward_views(g, s, t)
    d.draw, d.head_slopes = draw, g.head_slopes[t]
    d.dkeys, d.dstrength = draw[:, c["keys"]].reshape(b, s.heads, w), draw[:, c["strength"]]
    d.key_pull = g.key_pull[t]
    d.readers, d.writer = (_searching(g, d, heads, r) for heads in (slice(0, r), slice(r, s.heads)))
    d.dchanging_columns, d.dchanging_apart = draw[:, c["changes"], None], []
    if k > 1:  # the gradient by the erasure of a head is where its own product meets its own weighting
        d.dchanging_columns, own = g.dchanging, g.dchanging.reshape(b, (k + 1) * w * k)[:, : k * (w * k + 1)]
        d.dchanging_apart = [
            (draw[:, c["erase"]].reshape(b, k, w), own.reshape(b, k, w * k + 1)[:, :, : w * k : k]),
            (draw[:, c["write_vector"]].reshape(b, k, w), g.dchanging[:, k * w :].swapaxes(1, 2)),
        ]
    d.dfree, d.dwrite, d.dallocate = draw[:, c["free"]], draw[:, c["write"]], draw[:, c["allocate"]]
    d.dwrite_of_shares, d.dwrite_before = s.of_heads(d.dwrite), d.dwrite[:, : g.dsimulated.shape[1]]
    d.dmasks = draw[:, c["masks"]].reshape(b, s.heads, w) if s.convention.masked else None
    if s.convention.sharpen_links:
        d.dsharpness = s.of_heads(draw[:, c["sharpness"]].reshape(b, 2, k, r), 2)
    d.dmodes = draw[:, c["modes"]].reshape(b, s.modes, r).swapaxes(0, 1)
    d.freeing, d.by_writing = g.freeing[t].swapaxes(0, 1), g.by_writing[t].swapaxes(0, 1)
    d.by_usage, d.inverse_squared_after = g.by_usage[t], g.inverse_squared[t + 1]
    return d


def _allocating(g, head, after):
    """What ``allocate_back`` writes to, for one head; ``after``: the gradient of the next one's usage."""
    a = SimpleNamespace(dallocation=g.dsources[0, head], after=after)
    a.dallocation_flat = a.dallocation.reshape(-1)
    if after is not None:
        a.dgate = g.dsimulated[:, head]
    return a


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
