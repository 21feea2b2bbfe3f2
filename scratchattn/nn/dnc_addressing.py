"""Free rows for several write heads: each finds in use what those before it are about to take.

The paper has one write head.  With ``h`` of them, head by head,

    a_h = allocation(u)
    u  <- u + (1 - u) g_h a_h

where g_h is how much of its allocation the head will take.  The usage that is so simulated serves
the heads of this step and nothing else: the next step starts from the usage without it and adds what
was really written.

Conventions
-----------
g_h is write gate times allocation gate in google-deepmind/dnc dnc/access.py, the write gate alone in
jingweiz/pytorch-dnc core/heads/dynamic_write_head.py and in joergfranke/ADNC
adnc/model/memory_units/multi_write_dnc_cell.py.

Source: google-deepmind/dnc dnc/addressing.py, Freeness.
"""

from ..ops.axes import expand_dims
from ..ops.dnc_allocation import dnc_allocation
from ..ops.dnc_usage import dnc_usage
from ..ops.shaping import stack, unstack


def allocations_in_turn(usage, gates, permutations=None, *, eps=0.0):
    """Allocations of h write heads: usage (..., n), gates (..., h) -> (..., h, n).

    ``permutations``, integers (..., h, n), are the orders in which the heads are served, and ``eps`` is
    that of ``dnc_allocation``.
    """
    found, taken = [], None
    for h, gate in enumerate(unstack(gates, axis=-1)):
        usage = usage if taken is None else dnc_usage(usage, taken)
        order = None if permutations is None else permutations[..., h, :]
        found.append(dnc_allocation(usage, order, eps=eps))
        taken = expand_dims(expand_dims(gate, axis=-1) * found[-1], axis=-2)
    return stack(*found, axis=-2)
