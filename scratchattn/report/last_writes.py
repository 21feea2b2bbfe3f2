"""When what is read was written: reads are attributed to those steps, or lines of a story, that wrote last.

A write with the weight w on a row is taken as the chance w that the row is overwritten.  So each row has a
share for every part of the sequence, the chance that the last write on it was made during that part,

    share_t(row, part) = (1 - w_t(row)) share_(t-1)(row, part)  +  w_t(row) if step t belongs to the part

where w_t(row) = 1 - prod_h (1 - w_t,h(row)) over the write heads.  What a head reads of a part at step t is

    read_t(part) = sum_row  read weighting_t(row)  share_t(row, part)

with the shares of the step before where a machine reads before it writes, or between.  Summed over all
parts, with what is read of rows that were never written, and with the weight that is on no row at all, that
is one.

Where one head writes, erases all that it writes over, and nothing is freed, that is exact: what is read at a
step is the sum over the steps before of read_t(step) times the vector that was added then, and what is left
of the memory at the start.  Otherwise it is an attribution by last writes and no more: how much a write
erased, what was freed since and what the controller remembers by itself do not count.
"""

import numpy as np


def reads_of_parts(seen, part_of, parts, after):
    """What each read head reads of each part at each step, (t, r, parts + 2); see above.

    ``seen``: an Access.  ``part_of`` (t): the part that each step belongs to, of so many ``parts``.
    ``after``: of a step, reading comes last.  The last two columns are what was never written, and what
    the weighting lacks to one.
    """
    found, rows = [], seen.write_weightings.shape[-1]
    shares = np.zeros((rows, parts))
    for part, writing, reading in zip(part_of, seen.write_weightings, seen.read_weightings):
        left, wrote = np.prod(1.0 - writing, axis=0), shares
        shares = shares * left[:, None]
        shares[:, part] += 1.0 - left
        wrote = shares if after else wrote
        never = reading @ (1.0 - wrote.sum(axis=1))
        found.append(np.column_stack([reading @ wrote, never, 1.0 - reading.sum(axis=1)]))
    return np.stack(found)


def reads_of_steps(seen, after):
    """What each read head reads at each step of what was written at each step, (t, r, t)."""
    steps = len(seen.read_weightings)
    return reads_of_parts(seen, range(steps), steps, after)[..., :steps]
