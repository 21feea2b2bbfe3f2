"""What a Differentiable Neural Computer does with its memory in one sequence, step by step.

Weightings, memory, usage, links and precedence are those of the states that ``model.step`` returns.  What the
controller told the heads is no part of a state: it is read off the controller once more.

Links of n rows are n^2 numbers a step: they are kept of some steps, evenly spread.
"""

from typing import Any, NamedTuple

import numpy as np

from ..nn.dnc_addressing import offered
from ..ops.dnc_read_weighting import ORDERS
from ..ops.memory_read import memory_read
from .memory_access import accessed
from .recording import example, record

LINKS, MOST = 20_000_000, 48  # numbers in all the links that are kept, and steps


class DNCHeads(NamedTuple):
    """What a DNC has besides weightings: ``r`` read heads, ``h`` write heads."""

    usage: Any  # (t, n), how much each row is in use when the step writes
    allocations: Any  # (t, h, n), the weighting of free rows that each write head was offered
    write_gates: Any  # (t, h), whether anything is written
    allocation_gates: Any  # (t, h), 1: to free rows, 0: to rows that are alike
    free_gates: Any  # (t, r), whether rows that were read are free now
    read_modes: Any  # (t, r, 1 + 2h), back along each link, by content, onwards along each link
    write_strengths: Any  # (t, h)
    read_strengths: Any  # (t, r)
    precedence: Any  # (t, h, n), the row that was written last
    link: Any  # (f, h, n, n), i was written just after j, at f of the steps
    link_steps: Any  # (f) integers
    write_masks: Any = None  # (t, h, w), where the convention has masks
    read_masks: Any = None  # (t, r, w)
    forward_sharpness: Any = None  # (t, h, r), where it sharpens links
    backward_sharpness: Any = None  # (t, h, r)


def dnc_access(model, params, task, length=None, seed=0):
    """Run a DNC on one sequence of ``length`` vectors of ``task``, drawn from ``seed`` -> Access.

    Its ``told`` is a DNCHeads.  Without ``length`` the sequence is as long as the task draws it.  What is not
    finite is recorded as it is.
    """
    cell = model.cell
    steps = len(example(model, task, length, seed)[0].inputs)
    size = model.write_heads * model.rows**2
    every = -(-steps // max(2, min(MOST, LINKS // size)))
    same = ("usage", "precedence", "read_weightings", "write_weightings", "memory")

    def look(t, before, after, x):
        said = model.told(params, before, x)
        kept = {name: getattr(after, name) for name in same}
        kept["reads"] = memory_read(after.read_weightings, after.memory)  # a controller may see others
        _, kept["allocations"], _ = offered(said, before, cell)
        told = {name: getattr(said, name, None) for name in (*DNCHeads._fields, "write_vectors")}
        kept |= {name: value for name, value in told.items() if value is not None}
        return kept | ({} if t % every else {"link": after.link})

    recording, kept = record(model, params, task, length, seed, look)
    kept["link_steps"] = np.arange(0, steps, every)
    kept["read_modes"] = _in_order(kept["read_modes"], model.write_heads, cell.mode_order)
    return accessed(recording, kept, DNCHeads)


def _in_order(modes, writers, order):
    """``modes`` (t, r, 1 + 2h) as the paper has them: back, by content, onwards."""
    sizes = [1 if name == "content" else writers for name in ORDERS[order]]
    parts = dict(zip(ORDERS[order], np.split(modes, np.cumsum(sizes)[:-1], axis=-1)))
    return np.concatenate([parts[name] for name in ("backward", "content", "forward")], axis=-1)
