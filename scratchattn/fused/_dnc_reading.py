"""The reading of ``fused/dnc.py`` in one step: links, read modes, reads; and back.

Arguments as in ``_dnc_writing``.  A product of inner length two makes 1 - w_i - w_j, and one w_i p_j:
broadcasting, or an inner length of one, would take several times as long.  Each write
head has its link: (b, k, n, n), or where there is one, (b, n, n).
"""

from . import _dnc_comparison as comparison
from ._dnc_content import content, content_back
from ._dnc_sharpening import sharpen, sharpen_back


def link(xp, tw, v, f):
    """Links and precedence after the write."""
    after, over = v.link_after, f.over_links
    xp.subtract(1, v.writing, out=v.unwritten)
    xp.matmul(v.unwritten_columns, v.written_of_links, out=over)
    xp.multiply(over, v.link, out=after)
    after += xp.matmul(v.written_columns, v.preceding, out=over)
    v.diagonal[...] = 0
    tw.dot(v.writing, f.ones_of_rows, f.one_flat)
    untouched = xp.subtract(1, f.one, out=v.untouched)
    xp.multiply(v.precedence, untouched, out=v.precedence_after)
    v.precedence_after += v.writing


def read(xp, tw, v, f, sizes):
    """The read weightings, and what they read."""
    before = v.reading_of_links
    xp.matmul(before, v.link_after, out=v.back)
    xp.matmul(before, v.link_turned, out=v.onwards)
    if sizes.convention.sharpen_links:
        sharpen(xp, tw, v, f, sizes.convention.link_eps)
    content(xp, tw, v.readers, v.memory_after, v.inverse_after, f, sizes)
    ways = xp.multiply(v.ways, v.modes_of_rows, out=f.over_ways)
    reading = xp.add(ways[:, 0], ways[:, 1], out=v.reading)
    for way in f.further_ways:
        reading += way
    xp.matmul(reading, v.rows_after, out=v.reads)


def read_back(xp, tw, v, d, g, sizes):
    """From the gradients of the reads to those of the weightings, of keys, strengths and modes.

    ``g.dmemory`` is completed: with what reading, what addressing, and what the write heads of the step
    after this one add to it.
    """
    dreading = g.dreading
    dreading += xp.matmul(g.dreads, v.memory_after, out=g.over_reading)
    over_ways = dreading[:, None]
    dmodes, modes = g.dmodes, v.modes
    tw.dot(over_ways, v.ways, g.dmodes_of_batch)
    tw.dot(dreading, v.reading, g.mean_of_modes_flat)  # of dmodes, by the modes; what rounding left follows
    dmodes -= g.mean_of_modes
    mean, *others = xp.multiply(dmodes, modes, out=g.over_modes)
    for part in others:
        mean += part
    dmodes -= mean
    xp.multiply(dmodes, modes, out=d.dmodes)
    for modes_of_some, dways in zip(v.modes_apart, g.dways_apart):
        xp.multiply(over_ways, modes_of_some, out=dways)
    if sizes.convention.sharpen_links:
        sharpen_back(xp, tw, v, d, g)
    content_back(xp, tw, g.dalike, v.readers, v.rows_after, v.inverse_after, d.readers, g, sizes)
    g.left_reads[...], g.left_keys[...], g.right_reads[...] = g.dreads, v.readers.scaled, v.reading
    if not sizes.plain:
        g.masks_squared_of_readers[...] = v.readers.masks_squared
    pull_on_memory(xp, tw, v.memory_after, d.inverse_squared_after, g, sizes)


def pull_on_memory(xp, tw, memory, inverse_squared, g, sizes):
    """Add to the gradient of a memory what all that looked at it left behind."""
    g.dmemory += xp.matmul(g.left_columns, g.right, out=g.change)
    if not sizes.plain:
        comparison.pull_on_memory(xp, memory, g)
        return
    scale = xp.matmul(g.ones_of_heads, g.pulled, out=g.scale)
    scale *= inverse_squared
    g.dmemory -= xp.multiply(memory, scale, out=g.change)


def link_back(xp, tw, v, g):
    """Through read weightings along the links, the links and the precedence, to before the write."""
    dlink, over, dwriting, dprecedence = g.dlink, g.over_links, g.dwriting, g.dprecedence
    g.readings[...] = v.reading_of_links
    dlink += xp.matmul(g.read_and_onwards_columns, g.back_and_read, out=over)
    dreading = xp.matmul(g.donwards, v.first_link, out=g.dreading)
    dreading += xp.matmul(g.dback, v.first_turned, out=g.over_reading)
    for dway, link_of_another in zip(g.other_dways, v.other_links):
        dreading += xp.matmul(dway, link_of_another, out=g.over_reading)
    g.diagonal[...] = 0
    dwriting += dprecedence
    tw.dot(dprecedence, v.precedence, g.one_flat)
    dwriting -= g.one
    xp.matmul(dlink, v.precedence_column, out=g.over_column)
    dwriting += g.column_as_row
    xp.multiply(dlink, v.link, out=over)
    xp.matmul(over, g.ones_column, out=g.over_column)
    dwriting -= g.column_as_row
    xp.matmul(g.ones_row, over, out=g.over_row)
    dwriting -= g.row_of_links
    dprecedence *= v.untouched
    xp.matmul(v.writing_row, dlink, out=g.over_row)
    dprecedence += g.row_of_links
    dlink *= xp.matmul(v.unwritten_columns, v.written_of_links, out=over)
