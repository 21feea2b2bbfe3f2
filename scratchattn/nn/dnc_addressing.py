"""Where the heads of a DNC look: rows that are alike, rows that are free, rows along the links.

Several write heads
-------------------
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
adnc/model/memory_units/multi_write_dnc_cell.py.  In jingweiz/pytorch-dnc the simulated usage is written
over the usage, and so the next step starts from it: ``keep_simulated_usage``.

Source: google-deepmind/dnc dnc/addressing.py, Freeness; masks and sharpened links: arXiv:1904.10278.
"""

from ..ops.axes import expand_dims, squeeze
from ..ops.cosine_addressing import cosine_addressing
from ..ops.directional_weightings import directional_weightings
from ..ops.dnc_allocation import dnc_allocation
from ..ops.dnc_usage import dnc_usage, retention
from ..ops.shaping import stack, unstack
from ..ops.sharpening import sharpening


def allocations_in_turn(usage, gates, permutations=None, *, eps=0.0, cumprod_gradient="exact"):
    """Allocations of h write heads: usage (..., n), gates (..., h) -> (..., h, n).

    ``permutations``, integers (..., h, n), are the orders in which the heads are served; the rest is that
    of ``dnc_allocation``.
    """
    how, found, taken = {"eps": eps, "cumprod_gradient": cumprod_gradient}, [], None
    for h, gate in enumerate(unstack(gates, axis=-1)):
        usage = usage if taken is None else dnc_usage(usage, taken)
        order = None if permutations is None else permutations[..., h, :]
        found.append(dnc_allocation(usage, order, **how))
        taken = expand_dims(expand_dims(gate, axis=-1) * found[-1], axis=-2)
    return stack(*found, axis=-2)


def offered(said, state, convention, permutations=None):
    """What is kept of each row (b, n), the free rows that write heads are offered (b, h, n), the next usage.

    Of a DNCInterface and the DNCState that the step found; ``permutations`` as for ``allocations_in_turn``.
    """
    c, kept = convention, retention(said.free_gates, state.read_weightings)
    stop = c.stop_write_gradient
    usage = dnc_usage(state.usage, state.write_weightings, kept, stop_write_gradient=stop)
    both = c.simulated_gate == "both"
    taking = said.write_gates * said.allocation_gates if both else said.write_gates
    how = {"eps": c.allocation_eps, "cumprod_gradient": c.cumprod_gradient}
    allocation = allocations_in_turn(usage, taking, permutations, **how)
    if c.keep_simulated_usage:
        usage = dnc_usage(usage, expand_dims(taking, axis=-1) * allocation)
    return kept, allocation, usage


def content_weightings(keys, memory, strengths, masks, convention):
    """Content weightings (b, heads, n); under masks, every head sees a memory of its own."""
    cosine = {name: getattr(convention, name) for name in ("form", "eps", "zero_gradient")}
    if masks is None:
        return cosine_addressing(keys, memory, strengths, **cosine)
    masks = expand_dims(masks, axis=-2)  # (b, heads, 1, w)
    keys = expand_dims(keys, axis=-2)
    keys = keys * masks if convention.mask_keys else keys
    seen = expand_dims(memory, axis=-3) * masks  # (b, heads, n, w)
    return squeeze(cosine_addressing(keys, seen, expand_dims(strengths, axis=-1), **cosine), axis=-2)


def along_the_links(link, read_weightings, said, convention):
    """Onwards and back from where the read heads were: (b, h, n, n), (b, r, n) -> two of (b, h, r, n)."""
    onwards, back = directional_weightings(link, expand_dims(read_weightings, axis=1))
    if convention.sharpen_links:
        onwards = sharpening(onwards, said.forward_sharpness, base_eps=convention.link_eps)
        back = sharpening(back, said.backward_sharpness, base_eps=convention.link_eps)
    return onwards, back
