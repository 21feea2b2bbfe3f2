"""The writing of ``fused/dnc.py`` in one step: usage, allocation, the write weighting, the memory; and back.

``v`` and ``d`` are the views of this step into the buffers of the forward and of the backward,
``f`` and ``g`` those buffers, ``xp`` the library, ``tw`` its twins.  Everything is written in
place, and nothing that a recording keeps is written in the backward.

Allocation
----------
Of the usages in order, u_0 <= u_1 <= ..., the products of 1, 2, 4, ... factors before each place are kept:
``products[k]`` has those of 2^k factors, ones standing before the first.  The last of them, of all factors,
are the P of ``ops/dnc_allocation``; and the recurrence of its backward, T_j = D_j + u_(j+1) T_(j+1), doubles
its reach with just these products.  All of that as (n, b): a shift by some places is one contiguous block.
"""

from ._dnc_content import content, content_back


def retain_and_use(xp, v, f):
    """What is kept of every row, prod_r (1 - free w), and the usage after the last write."""
    factors, over = v.factors, f.over_reading
    xp.multiply(v.reading_before, v.not_free, out=factors)
    factors += xp.subtract(1, v.reading_before, out=over)
    kept, used = v.kept, v.used
    kept[...] = v.factor_of[0]
    for factor in v.factor_of[1:]:
        kept *= factor
    xp.subtract(1, v.usage, out=used)
    used *= v.writing_before
    used += v.usage
    xp.multiply(used, kept, out=v.usage_after)


def allocate(xp, tw, v, f, eps):
    """Shares of the rows that are free, the least used first."""
    order = xp.add(tw.order(v.usage_after).swapaxes(0, 1), f.first, out=v.order)
    v.usage_in_order[...] = v.usage_after.reshape(-1)[order]
    free = xp.subtract(1, v.usage_in_order, out=f.free)
    if eps:
        v.usage_in_order += eps * free
        free *= 1 - eps
    for here, before, doubled in v.doublings:
        xp.multiply(here, before, out=doubled)
    free *= v.left_before
    v.allocation_flat[order] = free


def write(xp, tw, v, f, sizes):
    """The write weighting, and the memory that it leaves, with the lengths of its rows."""
    content(xp, tw, v.writer, v.memory, v.inverse, f, sizes)
    xp.multiply(v.shares, v.write, out=v.taking)
    xp.matmul(v.taking[:, None], v.sources_of, out=v.writing)
    xp.matmul(v.changing_columns, v.written, out=f.changes)
    if sizes.convention.deallocate:
        f.left *= v.kept_of_rows
    after = xp.multiply(v.memory, f.left, out=v.memory_after)
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
    """From the gradients of the memory and of the write weighting to those before the write."""
    dwriting, dmemory, dproduct = g.dwriting, g.dmemory, g.dproduct
    deallocate = sizes.convention.deallocate
    xp.multiply(dmemory, v.memory, out=dproduct)
    if deallocate:
        dproduct *= v.kept_of_rows
    dwriting += xp.matmul(v.changing, g.dproduct_and_memory, out=g.over_row)
    xp.matmul(g.dproduct_and_memory, v.writing_column, out=d.dchanging_columns)
    dmemory *= xp.matmul(v.erasing_columns, v.written, out=dproduct)
    if deallocate:
        tw.add(xp.multiply(dmemory, v.memory, out=dproduct), 1, g.dkept)
        dmemory *= v.kept_of_rows
    # gates; the slope of the allocation gate has the write gate in it
    tw.dot(dwriting, v.sources_of, g.dtaking)
    xp.multiply(dwriting[:, 0], v.taking_of_rows, out=g.dsources)
    tw.dot(v.shares, g.dtaking, d.dwrite)
    xp.subtract(g.dtaking[:, 0], g.dtaking[:, 1], out=d.dallocate)
    if not sizes.plain:
        xp.multiply(v.memory, v.memory, out=g.squares)
        g.masks_squared_of_writer[...] = v.writer.masks_squared
    content_back(xp, tw, g.dcontent, v.writer, v.rows, v.inverse, d.writer, g, sizes)
    g.left_write_key[...] = v.writer.scaled


def allocate_back(xp, v, g, eps):
    """From the gradient of the allocation to that of the usage, which is added to ``g.dusage``."""
    asked, level = g.asked, g.level
    asked[:-1] = g.dallocation_flat[v.order]
    xp.subtract(asked[1:], asked[:-1], out=level)
    for window, (near, far, over) in zip(v.windows, g.doublings):
        near += xp.multiply(window, far, out=over)
    level *= v.left_before
    if eps:
        level *= 1 - eps
    g.dallocation_flat[v.order] = level
    g.dusage += g.dallocation


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
        xp.multiply(dusage, d.by_writing, out=g.dwriting[:, 0])
    dusage *= d.by_usage
