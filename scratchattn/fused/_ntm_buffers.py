"""The buffers of ``fused/ntm.py`` on the way forward, and the views of each step into them.

Made once per shape and leased (see ``buffers``).  The memory is stored transposed, (b, w, n): the
long axis is contiguous, and what runs over the rows runs at full speed.
"""

from types import SimpleNamespace


def forward_buffers(new, s):
    """What a recording keeps: every step's state and intermediates."""
    t, b, k, n, w, c = s.steps, s.batch, s.heads, s.rows, s.width, s.squashed()
    f = SimpleNamespace(
        **vars(s.controller.forward_buffers(new, s)),
        raw=new(t, b, s.emitted()["shift"].stop),  # head parameters before squashing; keys of length one
        exponentials_of_heads=new(t, b, c["rising"].stop),
        squashed=new(t, b, c["spare"].stop),  # and after
        positive=new(t, 2, b, k),  # strength and sharpness
        shift=new(t, s.shifts, b, k),
        memory=new(t + 1, b, w, n),
        weightings=new(t + 1, b, k, n),
        written=new(t, b, s.writes + 1, n),  # weightings of the write heads, and a row of ones
        inverse=new(t + 1, b, n + k),  # one over the lengths of rows, then of keys
        cosine=new(t, b, k, n),
        content=new(t, b, k, n),  # exponentials
        norm=new(t, b, k, 1),  # one over their sum
        share=new(t, b, k, 1),  # gate norm
        gated=new(t, b, k, n + s.shifts - 1),  # with a halo, so that the ring has no seam
        moved=new(t, b, k, n),
        logs=new(t, b, k, n),
        changes=new(2, b, w, n),  # of the memory: what is left of it, what is added
        over_rows=new(b, k, n),
        over_shifts=new(1, b, k),
        one=new(b, k, 1),
        ones=new(max(n, w)),
    )
    f.change, f.addition = f.changes
    f.one_flat, f.ones[...], f.written[:, :, s.writes] = f.one[:, :, 0], 1, 1
    f.ones_over_words, f.ones_over_rows = f.ones[None, :w], f.ones[:n]
    spare = f.squashed[:, :, c["spare"]]
    spare[:, :, : s.writes * w], spare[:, :, s.writes * w :] = -1, 0
    f.states += (f.memory, f.weightings)
    f.views = [_views(f, s, i) for i in range(t)]
    return f


def _views(f, s, t):
    b, k, w, n, r = s.batch, s.heads, s.width, s.rows, s.reads
    raw, squashed, emitted, c = f.raw[t], f.squashed[t], s.emitted(), s.squashed()
    v = s.controller.forward_views(f, s, t)
    v.raw, v.reads = raw, f.carried[t + 1][:, : s.features].reshape(b, r, w)
    v.key = raw[:, emitted["key"]].reshape(b, k, w)
    v.raw_write_vector, v.write_vector = raw[:, emitted["write_vector"]], squashed[:, c["write_vector"]]
    v.raw_rising, v.rising = raw[:, emitted["rising"]], squashed[:, c["rising"]]
    v.exponentials_of_heads = f.exponentials_of_heads[t]
    v.raw_softplus, v.softplus = raw[:, emitted["softplus"]].reshape(b, 2, k).swapaxes(0, 1), f.positive[t]
    v.above_one = f.positive[t, 1]
    v.strength, v.sharpness = f.positive[t, 0, :, :, None], f.positive[t, 1, :, :, None]
    v.raw_shift = raw[:, emitted["shift"]].reshape(b, k, s.shifts).transpose(2, 0, 1)
    v.shift = f.shift[t]
    v.shift_at = [v.shift[j, :, :, None] for j in range(s.shifts)]
    v.gate, v.complement = squashed[:, c["gate"], None], squashed[:, c["complement"], None]
    v.before, v.weightings = f.weightings[t], f.weightings[t + 1]
    v.reading, v.writing, v.writes = v.weightings[:, :r], v.weightings[:, r:], s.writes
    v.writing_columns = v.writing.swapaxes(1, 2)
    v.written, v.written_by = f.written[t], f.written[t][:, : s.writes]
    if s.writes == 1:  # [erase, -1]^T and [write_vector, 0]^T: times [w, 1] e w - 1 and a w
        v.changing_columns = squashed[:, c["erase"].start :].reshape(b, 2, 2, w).transpose(2, 0, 3, 1)
        v.erase_columns = v.changing_columns[0]
    else:
        shape = (b, s.writes, w)
        v.write_columns = v.write_vector.reshape(shape).swapaxes(1, 2)
        v.erase_columns = squashed[:, c["erase"]].reshape(shape).swapaxes(1, 2)
    v.inverse = f.inverse[t]
    v.row_inverse, v.key_inverse = v.inverse[:, None, :n], v.inverse[:, n:, None]
    v.key_squares = v.inverse[:, n:]
    v.memory, v.memory_after, v.memory_rows = f.memory[t], f.memory[t + 1], f.memory[t].swapaxes(1, 2)
    v.squares, v.squares_after = (f.inverse[i, :, None, :n] for i in (t, t + 1))
    # one head at a time, (b, k, 1, ...): two products with a vector are faster than one with two
    v.each_key, v.each_cosine = v.key[:, :, None], f.cosine[t][:, :, None]
    v.memory_of_each, v.rows_of_each = v.memory[:, None], v.memory_rows[:, None]
    steps = (f.cosine, f.content, f.norm, f.share, f.moved, f.logs)
    v.cosine, v.content, v.norm, v.share, v.moved, v.logs = (a[t] for a in steps)
    v.share_flat, v.strength_flat = v.share[:, :, 0], v.strength[:, :, 0]
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
