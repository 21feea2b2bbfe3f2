"""The writing of ``fused/dnc.py`` in one step: usage, allocation, the write weightings, the memory; and back.

``v`` and ``d`` are the views of this step into the buffers of the forward and of the backward,
``f`` and ``g`` those buffers, ``xp`` the library, ``tw`` its twins.  Everything is written in
place, and nothing that a recording keeps is written in the backward.

Allocation
----------
Of the usages in order, u_0 <= u_1 <= ..., the products of 1, 2, 4, ... factors before each place are kept:
``products[k]`` has those of 2^k factors, ones standing before the first.  The last of them, of all factors,
are the P of ``ops/dnc_allocation``; and the recurrence of its backward, T_j = D_j + u_(j+1) T_(j+1), doubles
its reach with just these products.  All of that as (n, b): a shift by some places is one contiguous block.

Writing
-------
With the weightings w_1 ... w_k of k heads, one product makes what each leaves of the memory and what all add:

    [-e_1  0  ...  1 ]     [w_1]     [1 - e_1 w_1]
    [  0  -e_2 ... 1 ]     [w_2]     [1 - e_2 w_2]
    [     ...        ]  .  [...]  =  [    ...    ]
    [ a_1  a_2 ... 0 ]     [ 1 ]     [ sum_h a_h w_h ]

and the same rows bring gradients back.  With a head more or less in it the product hardly takes longer.
"""

import math

from ._dnc_content import content, content_back


def retain_and_use(xp, v, f):
    """What is kept of every row, prod_r (1 - free w), and the usage after the last writes."""
    factors = v.factors
    xp.multiply(v.reading_before, v.not_free, out=factors)
    factors += xp.subtract(1, v.reading_before, out=f.over_reading)
    kept, used, over = v.kept, v.used, f.over_rows
    kept[...] = v.factor_of[0]
    for factor in v.factor_of[1:]:
        kept *= factor
    xp.subtract(1, v.usage, out=used)
    used *= v.writing_before
    used += v.usage
    for writing in v.writings_before:
        used += xp.multiply(xp.subtract(1, used, out=over), writing, out=over)
    xp.multiply(used, kept, out=v.offered)


def allocate(xp, tw, v, f, eps):
    """Shares of the rows that are free, the least used first: one write head after the other."""
    xp.multiply(v.shares, v.write_of_shares, out=v.taking)
    for a in v.in_turn:
        if a.before is not None:
            _take(xp, a.before, a.usage, f)
        order = xp.add(tw.order(a.usage).swapaxes(0, 1), f.first, out=a.order)
        used = a.usage_in_order
        used[...] = a.usage.reshape(-1)[order]
        free = xp.subtract(1, used, out=f.free)
        if eps:
            used += eps * free
            free *= 1 - eps
        for here, further, doubled in a.doublings:
            xp.multiply(here, further, out=doubled)
        free *= a.left_before
        a.allocation_flat[order] = free
    if v.usage_after is not v.offered:
        _take(xp, a, v.usage_after, f)


def _take(xp, a, used, f):
    """The usage with what a write head is about to take in it, into ``used``."""
    taken = xp.multiply(a.allocation, a.gate, out=f.over_rows)
    xp.subtract(1, a.usage, out=used)
    used *= taken
    used += a.usage


def write(xp, tw, v, f, sizes):
    """The write weightings, and the memory that they leave, with the lengths of its rows."""
    content(xp, tw, v.writer, v.memory, v.inverse, f, sizes)
    xp.matmul(v.taking_row, v.sources_of, out=v.writing_row)
    xp.matmul(v.changing_columns, v.written, out=f.changes)
    left = f.left
    for factor in f.left_by_others:
        left *= factor
    if sizes.convention.deallocate:
        left *= v.kept_of_rows
    after = xp.multiply(v.memory, left, out=v.memory_after)
    after += f.addition
    lengths(xp, after, f, v.inverse_after, sizes)


def lengths(xp, memory, f, inverse, sizes):
    """One over the lengths of all rows; or the squares of which a head's masks make lengths."""
    squares = xp.multiply(memory, memory, out=f.squares)
    if not sizes.plain:
        return
    xp.matmul(f.ones, squares, out=inverse)
    inverse += sizes.convention.eps
    xp.sqrt(inverse, out=inverse)
    xp.reciprocal(inverse, out=inverse)


def write_back(xp, tw, v, d, g, sizes):
    """From the gradients of the memory and of the write weightings to those before the write."""
    dwriting, dmemory, dproduct = g.dwriting, g.dmemory, g.dproduct
    deallocate = sizes.convention.deallocate
    xp.matmul(v.erasing_columns, v.written, out=g.factors)
    xp.multiply(dmemory, v.memory, out=dproduct)
    if deallocate:
        dproduct *= v.kept_of_rows
    left = g.factor_of_last
    for before, factor, product in g.one_by_one:  # times the factors before each
        xp.multiply(before, factor, out=product)
    for product, factor in g.one_by_one_back:  # and times those after it
        product *= left
        left *= factor
    dwriting += xp.matmul(v.changing, g.dproducts_and_memory, out=g.over_writing)
    xp.matmul(g.dproducts_and_memory, v.writing_column, out=d.dchanging_columns)
    for out, found in d.dchanging_apart:
        out[...] = found
    dmemory *= left
    if deallocate:
        tw.add(xp.multiply(dmemory, v.memory, out=dproduct), 1, g.dkept)
        dmemory *= v.kept_of_rows
    tw.dot(g.dwriting_row, v.sources_of, g.dtaking)
    xp.multiply(g.dwriting_of_sources, v.taking_of_rows, out=g.dsources)
    if not sizes.plain:
        xp.multiply(v.memory, v.memory, out=g.squares)
        g.masks_squared_of_writer[...] = v.writer.masks_squared
    content_back(xp, tw, g.dcontent, v.writer, v.rows, v.inverse, d.writer, g, sizes)
    g.left_write_key[...] = v.writer.scaled


def allocate_back(xp, tw, v, d, g, chosen):
    """From the gradients of allocations and of what they are taken by to those of gates and of the usage.

    The latter is added to ``g.dusage``.  What a write head finds in use, and where it is kept what the next
    step finds, is what the one before it found, and what that one was about to take.
    """
    asked, level, eps = g.asked, g.level, chosen.allocation_eps
    for a, b in zip(reversed(v.in_turn), g.in_turn):
        dallocation, after = b.dallocation, b.after
        if after is not None:
            dtaken = xp.multiply(xp.subtract(1, a.usage, out=g.over_rows), after, out=g.over_rows)
            tw.dot(a.allocation, dtaken, b.dgate)
            untaken = xp.multiply(a.allocation, a.gate, out=g.untaken)
            after *= xp.subtract(1, untaken, out=untaken)
            dtaken *= a.gate
            dallocation += dtaken
        asked[:-1] = b.dallocation_flat[a.order]
        xp.subtract(asked[1:], asked[:-1], out=level)
        for window, (near, far, over) in zip(a.windows, g.doublings):
            near += xp.multiply(window, far, out=over)
        level *= a.left_before
        if chosen.cumprod_gradient == "divide":  # zero by zero; else it is the same number
            level[...] = xp.where(a.usage_in_order == 0, math.nan, level)
        if eps:
            level *= 1 - eps
        b.dallocation_flat[a.order] = level
        if after is not None:
            dallocation += after
    if chosen.keep_simulated_usage:
        g.dusage[...] = 0  # it has gone through what the last head was about to take
    g.dusage += dallocation
    several, both = after is not None, chosen.simulated_gate == "both"
    if several and both:
        g.dtaking_before += g.dsimulated
    tw.dot(v.shares, g.dtaking, d.dwrite_of_shares)
    xp.subtract(g.dtaking_free, g.dtaking_alike, out=d.dallocate)  # its slope has the write gate in it
    if several and not both:
        d.dwrite_before += g.dsimulated


def retain_and_use_back(xp, tw, v, d, g, chosen):
    """From the gradient of the usage to those of what it was made of."""
    dusage = g.dusage
    dkept = g.dusage_of_rows
    if chosen.deallocate:
        dkept = g.dkept
        dkept += xp.multiply(dusage, v.used, out=g.over_rows)[:, None]
    dfreed = xp.multiply(dkept, d.freeing, out=g.over_reading)
    tw.dot(dfreed, v.reading_before, d.dfree)
    dfreed *= v.free
    g.dreading += dfreed
    if chosen.stop_write_gradient:
        g.dwriting[...] = 0
    else:
        xp.multiply(g.dusage_of_rows, d.by_writing, out=g.dwriting)
    dusage *= d.by_usage
