"""The buffers of ``fused/dnc.py`` on the way forward, and the views of each step into them.

As in ``_ntm_buffers``: made once per shape and leased, the memory transposed, (b, w, n), so that the long
axis is contiguous.
"""

from types import SimpleNamespace

from ..backend import array_module, stable_argsort


def forward_buffers(new, s):
    """What a recording keeps: every step's state and intermediates."""
    t, b, r, n, w, c = s.steps, s.batch, s.reads, s.rows, s.width, s.squashed()
    reaches, pad = s.reaches(), s.pad()

    f = SimpleNamespace(
        **vars(s.controller.forward_buffers(new, s)),
        raw=new(t, b, s.emitted()["modes"].stop),  # the interface before squashing
        exponentials_of_heads=new(t, b, c["rising"].stop),
        squashed=new(t, b, c["spare"].stop),  # and after
        above=new(t, b, s.emitted()["modes"].start - s.emitted()["strength"].start),  # strength, sharpness
        length=new(t, b, r + 1),  # of keys
        slope=new(t, b, r + 1),  # of logits by the key, but for the lengths of the rows
        scaled=new(t, b, r + 1, w),  # keys by that
        modes=new(t, 3, b, r),  # back, alike, onwards
        taking=new(t, b, 2),  # write gate times allocation gate, and times what that leaves
        memory=new(t + 1, b, w, n),
        inverse=new(t + 1, b, 1, n),  # one over the lengths of the rows
        usage=new(t + 1, b, n),
        link=new(t + 1, b, n, n),
        preceding=new(t + 1, 2, b, n),  # precedence, and a row of zeros
        written=new(t + 1, 2, b, n),  # write weightings, and a row of ones
        unwritten=new(t, 2, b, n),  # a row of minus one, and one minus the new write weighting
        reading=new(t + 1, b, r, n),
        untouched=new(t, b, 1, 1),  # one minus the sum of the write weighting
        factors=new(t, r, b, n),  # whose product is kept
        kept=new(t, b, n),
        used=new(t, b, n),  # usage after the write and before anything is freed
        products=new(t, len(reaches) + 1, pad + n + 1, b),  # see ``_dnc_writing``
        sources=new(t, 2, b, n),  # allocation, content weighting
        logits_of_writer=new(t, b, 1, n),
        logits=new(t, b, r, n),  # of the readers
        ways=new(t, b, 3, r, n),  # back, alike, onwards
        over_ways=new(b, 3, r, n),
        over_reading=new(b, r, n),
        over_links=new(b, n, n),
        free=new(n, b),
        over_modes=new(b, r),
        squares=new(b, w, n),  # of the newest memory
        changes=new(b, 2 * w, n),  # of the memory: what is left of it, what is added
        one=new(b, 1, 1),
        one_each=new(b, r, 1),
        ones=new(1, w),
        ones_of_rows=new(n),
    )
    f.strength = f.above[:, :, : r + 1]
    f.left, f.addition = f.changes[:, :w], f.changes[:, w:]
    spare = f.squashed[:, :, c["spare"]]
    spare[:, :, :w], spare[:, :, w:] = 1, 0
    f.one_flat = f.one[:, :, 0]
    f.ones[...], f.ones_of_rows[...] = 1, 1
    f.written[:, 1], f.unwritten[:, 0], f.products[...] = 1, -1, 1
    f.preceding[:, 1] = 0
    first = f.one[:, 0, 0]
    f.first = stable_argsort(array_module(first).zeros_like(first)) * n  # 0, n, 2n, ... as integers
    f.orders = stable_argsort(array_module(first).zeros_like(f.products[:, 0, -n:]))  # integers
    f.states += (f.memory, f.usage, f.link, f.preceding[:, 0], f.written[:, 0], f.reading)
    f.emitted = new(t, b, f.raw.shape[-1]) if s.convention.clip_interface else f.raw
    if s.convention.keys == "tanh":
        f.words = new(t, b, s.emitted()["words"].stop)
    if s.convention.sharpen_links:
        f.along, f.logs, f.one_along = new(t, b, 2, r, n), new(t, b, 2, r, n), new(b, 2, r, 1)
    if not s.plain:
        f.similarity, f.masks_squared = new(t, b, r + 1, n), new(t, b, r + 1, w)
        f.masks_squared[...] = 1
    if s.convention.mask_min and s.convention.masked:
        f.masks = new(t, b, r + 1, w)
    if s.convention.mask_keys and s.convention.masked:
        f.seen = new(t, b, r + 1, w)
    f.views = [_views(f, s, i, reaches) for i in range(t)]
    return f


def _views(f, s, t, reaches):
    b, w, n, r = s.batch, s.width, s.rows, s.reads
    raw, squashed, emitted, c = f.raw[t], f.squashed[t], s.emitted(), s.squashed()
    v = s.controller.forward_views(f, s, t)
    v.raw, v.emitted, v.reads = raw, f.emitted[t], f.carried[t + 1][:, : s.features].reshape(b, r, w)
    v.raw_words = raw[:, emitted["words"]]
    v.words = f.words[t] if s.convention.keys == "tanh" else v.raw_words
    v.keys, v.scaled = v.words[:, emitted["keys"]].reshape(b, r + 1, w), f.scaled[t]
    v.word_to_write, v.write_vector = v.words[:, emitted["write_vector"]], squashed[:, c["write_vector"]]
    v.raw_rising, v.rising = raw[:, emitted["rising"]], squashed[:, c["rising"]]
    v.exponentials_of_heads, v.raw_above = f.exponentials_of_heads[t], raw[:, emitted["above"]]
    v.above, v.strength, v.length, v.slope = f.above[t], f.strength[t], f.length[t], f.slope[t]
    v.above_one = v.above if s.convention.strength == "oneplus" else v.above[:, r + 1 :]
    v.slope_of_words = v.slope[:, :, None]
    v.raw_modes, v.modes = raw[:, emitted["modes"]].reshape(b, 3, r).swapaxes(0, 1), f.modes[t]
    v.modes_of_rows = v.modes.swapaxes(0, 1)[:, :, :, None]
    v.free, v.erase = squashed[:, c["free"], None], squashed[:, c["erase"]]
    v.not_free = squashed[:, c["not_free"], None]
    v.minus_erase = squashed[:, c["minus_erase"]]
    v.shares, v.write = squashed[:, c["allocate"].start : c["alike"].stop], squashed[:, c["write"]]
    v.taking, v.taking_of_rows = f.taking[t], f.taking[t].swapaxes(0, 1)[:, :, None]
    changing = squashed[:, c["changing"]].reshape(b, 2, 2 * w)
    v.changing, v.changing_columns = changing[:, :1], changing.swapaxes(1, 2)
    v.erasing_columns = changing[:, :, :w].swapaxes(1, 2)
    v.memory, v.memory_after = f.memory[t], f.memory[t + 1]
    v.rows, v.rows_after = v.memory.swapaxes(1, 2), v.memory_after.swapaxes(1, 2)
    v.inverse, v.inverse_after = f.inverse[t], f.inverse[t + 1]
    v.usage, v.usage_after = f.usage[t], f.usage[t + 1]
    v.link, v.link_after, v.link_turned = f.link[t], f.link[t + 1], f.link[t + 1].swapaxes(1, 2)
    v.diagonal = v.link_after.reshape(b, n * n)[:, :: n + 1]
    v.preceding, v.precedence = f.preceding[t].swapaxes(0, 1), f.preceding[t, 0][:, None]
    v.precedence_after = f.preceding[t + 1, 0][:, None]
    v.precedence_column = v.precedence.swapaxes(1, 2)
    v.written, v.writing = f.written[t + 1].swapaxes(0, 1), f.written[t + 1, 0][:, None]
    v.written_columns = v.written.swapaxes(1, 2)
    v.writing_before, v.writing_column = f.written[t, 0], v.writing.swapaxes(1, 2)
    v.unwritten, v.unwritten_columns = f.unwritten[t, 1][:, None], f.unwritten[t].transpose(1, 2, 0)
    v.untouched, v.reading_before, v.reading = f.untouched[t], f.reading[t], f.reading[t + 1]
    v.factors, v.kept, v.used = f.factors[t].swapaxes(0, 1), f.kept[t], f.used[t]
    v.kept_of_rows = v.kept[:, None]
    v.factor_of = list(f.factors[t])
    v.sources, v.sources_of = f.sources[t], f.sources[t].swapaxes(0, 1)
    v.allocation, v.allocation_flat = v.sources[0], v.sources[0].reshape(-1)
    v.ways = f.ways[t]
    v.back, v.onwards = v.ways[:, 0], v.ways[:, 2]
    if s.convention.sharpen_links:
        v.along, v.logs, v.sharpened = f.along[t], f.logs[t], v.ways[:, ::2]
        v.back, v.onwards = v.along[:, 0], v.along[:, 1]
        v.sharpness = v.above[:, r + 1 :].reshape(b, 2, r, 1)
    v.readers = _look(f, t, slice(0, r), f.logits, v.ways[:, 1], f.one_each)
    v.writer = _look(f, t, slice(r, r + 1), f.logits_of_writer, v.sources[1][:, None], f.one)
    if not s.plain:
        v.masks, v.seen = None, f.seen[t] if hasattr(f, "seen") else v.keys
        v.masks_squared, v.length_of_words = f.masks_squared[t], v.length[:, :, None]
    if s.convention.masked:
        v.raised_masks = squashed[:, c["masks"]].reshape(b, r + 1, w)
        v.masks = f.masks[t] if hasattr(f, "masks") else v.raised_masks
    products, start = f.products[t], s.pad()
    v.order, v.usage_in_order, v.left_before = (
        f.orders[t],
        products[0][start + 1 :],
        products[-1][start:-1],
    )
    v.doublings = [
        (products[j][start:], products[j][start - reach : -reach], products[j + 1][start:])
        for j, reach in enumerate(reaches)
    ]
    v.windows = [products[j][start + 1 + reach :] for j, reach in enumerate(reaches)]
    return v


def _look(f, t, heads, logits, weighting, one):
    """What ``content`` looks with, for some of the heads."""
    look = SimpleNamespace(
        heads=heads,
        scaled=f.scaled[t][:, heads],
        logits=logits[t],
        weighting=weighting,
        one=one,
        total=one[:, :, 0],
    )
    if hasattr(f, "similarity"):
        look.similarity, look.masks_squared = f.similarity[t][:, heads], f.masks_squared[t][:, heads]
        look.strength = f.strength[t][:, heads, None]
    return look
