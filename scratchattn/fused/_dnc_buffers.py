"""The buffers of ``fused/dnc.py`` on the way forward, and the views of each step into them.

As in ``_ntm_buffers``: made once per shape and leased, the memory transposed, (b, w, n), so that the long
axis is contiguous.
"""

from types import SimpleNamespace

from ..backend import array_module, stable_argsort


def forward_buffers(new, s):
    """What a recording keeps: every step's state and intermediates."""
    t, b, r, k, n, w, c = s.steps, s.batch, s.reads, s.writers, s.rows, s.width, s.squashed()
    reaches, pad, heads, m = s.reaches(), s.pad(), s.heads, s.modes

    f = SimpleNamespace(
        **vars(s.controller.forward_buffers(new, s)),
        raw=new(t, b, s.emitted()["modes"].stop),  # the interface before squashing
        exponentials_of_heads=new(t, b, c["rising"].stop),
        squashed=new(t, b, c["changing"].stop),  # and after
        above=new(t, b, s.emitted()["modes"].start - s.emitted()["strength"].start),  # strength, sharpness
        length=new(t, b, heads),  # of keys
        slope=new(t, b, heads),  # of logits by the key, but for the lengths of the rows
        scaled=new(t, b, heads, w),  # keys by that
        modes=new(t, m, b, r),  # back along each link, alike, onwards along each
        taking=new(t, b, k, 2),  # write gate times allocation gate, and times what that leaves
        memory=new(t + 1, b, w, n),
        inverse=new(t + 1, b, 1, n),  # one over the lengths of the rows
        usage=new(t + 1, b, n),
        simulated=new(t, k - 1 + s.keeps, b, n),  # usage as the write heads after the first find it; or all
        link=new(t + 1, b, k, n, n),
        preceding=new(t + 1, 2, k, b, n),  # precedence, and rows of zeros
        written=new(t + 1, 2, k, b, n),  # write weightings, and rows of ones
        unwritten=new(t, 2, k, b, n),  # rows of minus one, and one minus the new write weightings
        reading=new(t + 1, b, r, n),
        untouched=new(t, b, k, 1),  # one minus the sum of the write weighting
        factors=new(t, r, b, n),  # whose product is kept
        kept=new(t, b, n),
        used=new(t, b, n),  # usage after the write and before anything is freed
        products=new(t, k, len(reaches) + 1, pad + n + 1, b),  # see ``_dnc_writing``
        sources=new(t, 2, k, b, n),  # allocation, content weighting
        logits_of_writers=new(t, b, k, n),
        logits=new(t, b, r, n),  # of the readers
        ways=new(t, b, m + (s.convention.sharpen_links and k > 1), r, n),  # as the modes; see ``_views``
        over_ways=new(b, m, r, n),
        over_reading=new(b, r, n),
        over_rows=new(b, n),
        over_links=new(b, k, n, n),
        free=new(n, b),
        over_modes=new(b, r),
        squares=new(b, w, n),  # of the newest memory
        changes=new(b, (k + 1) * w, n),  # of the memory: what each write leaves of it, what all add
        one=new(b, k, 1),
        one_each=new(b, r, 1),
        ones=new(1, w),
        ones_of_rows=new(n),
    )
    f.strength = f.above[:, :, :heads]
    *factors, f.addition = (f.changes[:, h * w : (h + 1) * w] for h in range(k + 1))
    f.left, *f.left_by_others = factors
    changing = f.squashed[:, :, c["changing"]]
    changing[...] = 0
    changing[:, :, -(k + 1) * w : -w] = 1
    f.over_links = s.of_heads(f.over_links)
    f.one_flat, f.further_ways = f.one[:, :, 0], [f.over_ways[:, place] for place in range(2, m)]
    f.ones[...], f.ones_of_rows[...] = 1, 1
    f.written[:, 1], f.unwritten[:, 0], f.products[...] = 1, -1, 1
    f.preceding[:, 1] = 0
    first = f.one[:, 0, 0]
    f.first = stable_argsort(array_module(first).zeros_like(first)) * n  # 0, n, 2n, ... as integers
    f.orders = stable_argsort(array_module(first).zeros_like(f.products[:, :, 0, -n:]))  # integers
    f.precedences, f.writings = f.preceding[:, 0].swapaxes(1, 2), f.written[:, 0].swapaxes(1, 2)
    f.states += (f.memory, f.usage, f.link, f.precedences, f.writings, f.reading)
    f.emitted = new(t, b, f.raw.shape[-1]) if s.convention.clip_interface else f.raw
    if s.convention.keys == "tanh":
        f.words = new(t, b, s.emitted()["words"].stop)
    if s.convention.sharpen_links:
        f.along, f.logs = new(t, b, 2, k, r, n), new(t, b, 2, k, r, n)
        f.one_along = s.of_heads(new(b, 2, k, r, 1), 2)
    if s.frozen:
        f.reads = new(t, b, s.features)
    if not s.plain:
        f.similarity, f.masks_squared = new(t, b, heads, n), new(t, b, heads, w)
        f.masks_squared[...] = 1
    if s.convention.mask_min and s.convention.masked:
        f.masks = new(t, b, heads, w)
    if s.convention.mask_keys and s.convention.masked:
        f.seen = new(t, b, heads, w)
    f.views = [_views(f, s, i, reaches) for i in range(t)]
    return f


def _views(f, s, t, reaches):
    b, w, n, r, k, heads, of_heads = s.batch, s.width, s.rows, s.reads, s.writers, s.heads, s.of_heads
    raw, squashed, emitted, c = f.raw[t], f.squashed[t], s.emitted(), s.squashed()
    v = s.controller.forward_views(f, s, t)
    v.raw, v.emitted = raw, f.emitted[t]
    v.reads = (f.reads[t] if s.frozen else f.carried[t + 1][:, : s.features]).reshape(b, r, w)
    v.raw_words = raw[:, emitted["words"]]
    v.words = f.words[t] if s.convention.keys == "tanh" else v.raw_words
    v.keys, v.scaled = v.words[:, emitted["keys"]].reshape(b, heads, w), f.scaled[t]
    v.word_to_write = of_heads(v.words[:, emitted["write_vector"]].reshape(b, k, w))
    v.raw_rising, v.rising = raw[:, emitted["rising"]], squashed[:, c["rising"]]
    v.exponentials_of_heads, v.raw_above = f.exponentials_of_heads[t], raw[:, emitted["above"]]
    v.above, v.strength, v.length, v.slope = f.above[t], f.strength[t], f.length[t], f.slope[t]
    v.above_one = v.above if s.convention.strength == "oneplus" else v.above[:, heads:]
    v.slope_of_words = v.slope[:, :, None]
    v.raw_modes, v.modes = raw[:, emitted["modes"]].reshape(b, s.modes, r).swapaxes(0, 1), f.modes[t]
    v.modes_of_rows = v.modes.swapaxes(0, 1)[:, :, :, None]
    v.modes_apart = [v.modes_of_rows]
    if k > 1:  # alike stands in the middle, as do in ``g.around`` the read weightings
        v.modes_apart = [v.modes_of_rows[:, part] for part in (slice(k), slice(k, k + 1), slice(k + 1, None))]
    v.free, v.erase = squashed[:, c["free"], None], of_heads(squashed[:, c["erase"]].reshape(b, k, w))
    v.not_free = squashed[:, c["not_free"], None]
    shares = squashed[:, c["allocate"].start : c["alike"].stop].reshape(b, 2, k)
    v.shares, v.write = of_heads(shares.swapaxes(1, 2)), squashed[:, c["write"]]
    v.write_of_shares, v.taking = of_heads(v.write[:, :, None]), of_heads(f.taking[t])
    v.taking_row = of_heads(f.taking[t][:, :, None])
    v.taking_of_rows = of_heads(f.taking[t].transpose(2, 1, 0)[:, :, :, None])
    changing = squashed[:, c["changing"]]
    v.minus_erase = changing[:, : k * (k + 2) * w].reshape(b, k, (k + 2) * w)[:, :, :w]
    v.minus_erase = of_heads(v.minus_erase)
    changing = changing.reshape(b, k + 1, (k + 1) * w)
    v.write_vector = of_heads(changing[:, :k, k * w :])
    v.changing, v.changing_columns = changing[:, :k], changing.swapaxes(1, 2)
    v.erasing_columns = changing[:, :, : k * w].swapaxes(1, 2)
    v.memory, v.memory_after = f.memory[t], f.memory[t + 1]
    v.rows, v.rows_after = v.memory.swapaxes(1, 2), v.memory_after.swapaxes(1, 2)
    v.inverse, v.inverse_after = f.inverse[t], f.inverse[t + 1]
    v.usage, v.usage_after = f.usage[t], f.usage[t + 1]
    v.offered = f.simulated[t, -1] if s.keeps else v.usage_after  # to the first write head
    v.link, v.link_after, v.link_turned = (
        of_heads(a) for a in (f.link[t], f.link[t + 1], f.link[t + 1].swapaxes(2, 3))
    )
    v.first_link, v.first_turned, *v.other_links = (
        link[:, h] for h in range(k) for link in (f.link[t + 1], f.link[t + 1].swapaxes(2, 3))
    )
    v.diagonal = of_heads(f.link[t + 1].reshape(b, k, n * n)[:, :, :: n + 1])
    v.preceding, v.precedence = of_heads(f.preceding[t].transpose(2, 1, 0, 3)), f.precedences[t]
    v.precedence_after, v.precedence_column = f.precedences[t + 1], of_heads(v.precedence[:, :, :, None])
    v.written = f.written[t + 1].reshape(2 * k, b, n)[: k + 1].swapaxes(0, 1)
    v.written_of_links = of_heads(f.written[t + 1].transpose(2, 1, 0, 3))
    v.written_columns = of_heads(f.written[t + 1].transpose(2, 1, 3, 0))
    v.writing, v.writing_row = f.writings[t + 1], of_heads(f.writings[t + 1][:, :, None])
    v.writing_column = v.writing.swapaxes(1, 2)
    v.writing_before, *v.writings_before = f.written[t, 0]
    v.unwritten = f.unwritten[t, 1].swapaxes(0, 1)
    v.unwritten_columns = of_heads(f.unwritten[t].transpose(2, 1, 3, 0))
    v.untouched, v.reading_before, v.reading = f.untouched[t], f.reading[t], f.reading[t + 1]
    v.reading_of_links = of_heads(v.reading_before[:, None])
    v.factors, v.kept, v.used = f.factors[t].swapaxes(0, 1), f.kept[t], f.used[t]
    v.kept_of_rows = v.kept[:, None]
    v.factor_of = list(f.factors[t])
    v.sources_of = of_heads(f.sources[t].transpose(2, 1, 0, 3))
    v.ways = f.ways[t][:, : s.modes]
    v.back, v.onwards = of_heads(v.ways[:, :k]), of_heads(v.ways[:, k + 1 :])
    if s.convention.sharpen_links:
        v.along, v.logs = of_heads(f.along[t], 2), of_heads(f.logs[t], 2)
        v.back, v.onwards = v.along[:, 0], v.along[:, 1]
        v.along_sharpened = v.ways[:, ::2]
        if k > 1:  # with one more behind them, ways are two halves
            v.along_sharpened = f.ways[t].reshape(b, 2, k + 1, r, n)[:, :, :k]
        v.sharpness = of_heads(v.above[:, heads:].reshape(b, 2, k, r, 1), 2)
    v.readers = _look(f, t, slice(0, r), f.logits, v.ways[:, k], f.one_each)
    v.writer = _look(f, t, slice(r, heads), f.logits_of_writers, f.sources[t, 1].swapaxes(0, 1), f.one)
    if not s.plain:
        v.masks, v.seen = None, f.seen[t] if hasattr(f, "seen") else v.keys
        v.masks_squared, v.length_of_words = f.masks_squared[t], v.length[:, :, None]
    if s.convention.masked:
        v.raised_masks = squashed[:, c["masks"]].reshape(b, heads, w)
        v.masks = f.masks[t] if hasattr(f, "masks") else v.raised_masks
    v.in_turn = []
    for head in range(k):
        v.in_turn.append(_allocating(f, s, t, head, v, reaches))
    return v


def _allocating(f, s, t, head, v, reaches):
    """What ``allocate`` and ``allocate_back`` work on, for one write head."""
    products, start, found = f.products[t, head], s.pad(), f.sources[t, 0, head]
    a = SimpleNamespace(
        before=v.in_turn[-1] if head else None, order=f.orders[t, head], allocation_flat=found.reshape(-1),
        usage_in_order=products[0][start + 1 :], left_before=products[-1][start:-1], allocation=found,
        usage=f.simulated[t, head - 1] if head else v.offered,
    )  # fmt: skip
    a.doublings = [
        (products[j][start:], products[j][start - reach : -reach], products[j + 1][start:])
        for j, reach in enumerate(reaches)
    ]
    a.windows = [products[j][start + 1 + reach :] for j, reach in enumerate(reaches)]
    a.gate = f.taking[t][:, head, :1] if s.convention.simulated_gate == "both" else v.write[:, head, None]
    return a


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
