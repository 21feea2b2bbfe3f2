"""One step of a Differentiable Neural Computer, as the paper tells it.

A batch of ``b`` memories of ``n`` rows, each ``w`` wide, with ``r`` read heads and ``h`` write heads (the
paper has one).  What a step finds has no prime, what it makes has one:

    chi    = [x, reads]
    shown  = controller(chi)                                        a stack of LSTMs
    xi     = shown W_xi                                             what all heads are told: ``dnc_interface``

    psi_i  = prod_r (1 - free_gate_r w^r_i)                         what was read may be free now
    u'_i   = (u_i + w^w_i - u_i w^w_i) psi_i                        usage
    a      = allocation(u')                                         the free rows
    c^w_i  = softmax_i(strength^w cos(key^w, M_i))                  the rows that are alike
    w'^w   = write_gate (allocation_gate a + (1 - allocation_gate) c^w)
    M'_i   = M_i (1 - w'^w_i erase) + w'^w_i write_vector

    L'_ij  = (1 - w'^w_i - w'^w_j) L_ij + w'^w_i p_j,  L'_ii = 0    i was written just after j
    p'     = (1 - sum_i w'^w_i) p + w'^w                            the row written last
    f, b   = L' w^r, L'^T w^r                                       onwards and back
    c^r_i  = softmax_i(strength^r cos(key^r, M'_i))                 of the memory just written
    w'^r   = pi_b b + pi_c c^r + pi_f f
    reads' = w'^r M'
    y      = shown W_y + reads' W_r

Conventions
-----------
``DNCConvention`` has what implementations do differently; its fields are keywords here.  Several write
heads are as in google-deepmind/dnc: they allocate one after the other, each finding in use what those
before it are about to take; all erase, then all add; each has a link and a precedence of its own.
Each layer of the controller sees chi and the layer below, and all layers are shown, side by side;
``input_skips`` and ``shown_layers`` say otherwise.  Biases of xi and y, which the paper has not, are
optional.

While training, a part of what the controller shows may be hidden from y, and from y only, so that the
answer must come out of the memory: ADNC's bypass dropout.  What to keep is drawn by the caller.

Products with parameters are taken one sequence at a time: alone, a sequence is what it is in a batch, to
the bit.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature
538 (2016) 471, Methods; bypass dropout: Franke, Niehues, Waibel, "Robust and scalable differentiable
neural computer for question answering", arXiv:1807.02658.
"""

from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..ops.axes import expand_dims, transpose
from ..ops.choice import where
from ..ops.dnc_linkage import dnc_linkage
from ..ops.dnc_read_weighting import dnc_read_weighting
from ..ops.dnc_write_weighting import dnc_write_weighting
from ..ops.memory_read import memory_read
from ..ops.memory_write import memory_write
from ..ops.shaping import concat, reshape, stack, unstack
from .checked import checker
from .dnc_addressing import along_the_links, content_weightings, offered
from .dnc_controller import affine, clipped, controlled, each
from .dnc_convention import convention_of
from .dnc_interface import interface, interface_size
from .feed_forward import dropped
from .lstm import keep_ended, lstm_shapes

_REST = (
    "memory(b,n,w), usage(b,n), link(b,h,n,n), precedence(b,h,n), write_weightings(b,h,n), "
    "read_weightings(b,r,n), reads(b,r,w), interface_weights(c,p), output_weights(c,o), "
    "read_output_weights(f,o), interface_bias?(p), output_bias?(o)"
)
_check_step = checker(
    "dnc_step", f"x(b,i), {_REST}, bypass_keep?!(b,c), permutations?!(b,h,n)",
    bypass_keep="boolean", permutations="integer",
)  # fmt: skip
_check_sequence = checker(
    "dnc_sequence", f"xs(t,b,i), {_REST}, lengths?!(b), bypass_keep?!(t,b,c), permutations?!(t,b,h,n)",
    lengths="integer", bypass_keep="boolean", permutations="integer",
)  # fmt: skip


class DNCState(NamedTuple):
    """What a step hands to the next."""

    memory: Any  # (b, n, w)
    usage: Any  # (b, n)
    link: Any  # (b, h, n, n)
    precedence: Any  # (b, h, n)
    write_weightings: Any  # (b, h, n)
    read_weightings: Any  # (b, r, n)
    reads: Any  # (b, r, w), which the controller sees next
    controller: Any = ()  # of a stack of LSTMs: ((hidden, cell), ...), each (b, units); else the controller's


class DNCWeights(NamedTuple):
    """The parameters of a cell."""

    controller: Any  # of LSTMs: ((input_weights, hidden_weights, bias), ...); else the controller's own
    interface_weights: Any  # (c, xi), of all that the controller shows
    output_weights: Any  # (c, o)
    read_output_weights: Any  # (r w, o)
    interface_bias: Any = None  # (xi)
    output_bias: Any = None  # (o)


def dnc_shapes(
    inputs, outputs, units, layers, width, read_heads, write_heads=1, *,
    masked=False, sharpen_links=False, biases=False, input_skips=True, shown_layers="all",
):  # fmt: skip
    """Parameter shapes of the cell with a stack of ``layers`` LSTMs of ``units`` each; 0: ``tanh_layer``.

    The switches are those of DNCConvention.
    """
    shapes, seen = {}, inputs + read_heads * width
    if not layers:
        shapes = {"input_weights": (seen, units), "bias": (units,)}
    for layer in range(1, layers + 1):
        below = units if layer > 1 else 0
        chi = seen if input_skips or layer == 1 else 0
        shapes |= {f"{name}_{layer}": shape for name, shape in lstm_shapes(chi + below, units).items()}
    columns = interface_size(width, read_heads, write_heads, masked=masked, sharpen_links=sharpen_links)
    shown = units * (max(layers, 1) if shown_layers == "all" else 1)
    shapes["interface_weights"] = (shown, columns)
    shapes["output_weights"] = (shown, outputs)
    shapes["read_output_weights"] = (read_heads * width, outputs)
    return shapes | ({"interface_bias": (columns,), "output_bias": (outputs,)} if biases else {})


def dnc_weights(named):
    """DNCWeights of a mapping with the names of ``dnc_shapes``."""
    layers = sum(name.startswith("hidden_weights_") for name in named)
    parts = ("input_weights", "hidden_weights", "bias")
    controller = tuple(tuple(named[f"{part}_{layer}"] for part in parts) for layer in range(1, layers + 1))
    if not layers:
        controller = named["input_weights"], named["bias"]
    rest = {name: named[name] for name in DNCWeights._fields[1:] if name in named}
    return DNCWeights(controller, **rest)


def dnc_start(batch, rows, width, read_heads, write_heads=1, *, units=0, layers=0, dtype="float64"):
    """The state before the first step: zeros, as in the paper; with ``layers``, of their LSTMs too."""

    def blank(*shape):
        return backend.asarray(np.zeros((batch, *shape)), dtype=dtype)

    return DNCState(
        memory=blank(rows, width),
        usage=blank(rows),
        link=blank(write_heads, rows, rows),
        precedence=blank(write_heads, rows),
        write_weightings=blank(write_heads, rows),
        read_weightings=blank(read_heads, rows),
        reads=blank(read_heads, width),
        controller=tuple((blank(units), blank(units)) for _ in range(layers)),
    )


def dnc_step(
    x, state, weights, bypass_keep=None, permutations=None, *,
    controller=None, bypass_rate=0.0, **convention,
):  # fmt: skip
    """One step: x (b, i), a DNCState, DNCWeights -> outputs (b, o), the next DNCState.

    ``permutations``: integers (b, h, n), for each write head the rows from the one that is allocated
    first, so that the order in which another sort leaves ties can be replayed; None: by usage.
    ``controller``: chi (b, i + r w), its state, its weights -> what it shows (b, c), its next state; the
    state is any nesting of tuples of arrays whose first axis is b.  None: ``lstm_stack``.
    ``bypass_keep`` (b, c) booleans: what of it the outputs see, with dropout of ``bypass_rate``; None: all.
    ``convention``: fields of DNCConvention.
    """
    _check_step(x, *_flat(state, weights), bypass_keep, permutations)
    convention = convention_of(convention)
    given = bypass_keep, bypass_rate, permutations
    return _step(x, state, weights, *given, controlled(controller, convention), convention)


def dnc_told(x, state, weights, *, controller=None, **convention):
    """What the controller tells the heads in that step: a DNCInterface.  Arguments as for ``dnc_step``."""
    _check_step(x, *_flat(state, weights), None, None)
    convention = convention_of(convention)
    return _told(x, state, weights, controlled(controller, convention), convention)[0]


def dnc_sequence(
    xs, state, weights, lengths=None, bypass_keep=None, permutations=None, *,
    controller=None, bypass_rate=0.0, **convention,
):  # fmt: skip
    """The steps one after the other: xs (t, b, i) -> outputs (t, b, o), the last DNCState.

    ``lengths``: b integers in 0..t, or None.  A sequence that has ended keeps its state and shows
    zeros, and its padding is never read.  ``bypass_keep`` (t, b, c) and ``permutations`` (t, b, h, n).
    The rest as for ``dnc_step``.
    """
    _check_sequence(xs, *_flat(state, weights), lengths, bypass_keep, permutations)
    convention, outputs = convention_of(convention), []
    controller = controlled(controller, convention)
    for t, x in enumerate(unstack(xs)):
        running = None if lengths is None else lengths > t
        if running is not None:
            x = where(running[:, None], x, 0.0)
        keep, order = (None if given is None else given[t] for given in (bypass_keep, permutations))
        y, new = _step(x, state, weights, keep, bypass_rate, order, controller, convention)
        state = _keep_ended(running, new, state)
        outputs.append(y if running is None else where(running[:, None], y, 0.0))
    if not outputs:
        nothing = weights.output_weights[:0]
        return reshape(nothing, shape=(0, xs.shape[1], nothing.shape[1])), state
    return stack(*outputs), state


def _flat(state, weights):
    return (*state[:-1], *weights[1:])  # a controller checks what is its own


def _told(x, state, weights, controller, convention):
    """The DNCInterface of a step, what the controller shows, and its next state."""
    chi = concat(x, _side_by_side(state.reads, convention), axis=-1)
    shown, controller_state = controller(chi, state.controller, weights.controller)
    raw = affine(shown, weights.interface_weights, weights.interface_bias)
    _, read_heads, width = state.reads.shape
    return interface(raw, width, read_heads, state.link.shape[1], convention), shown, controller_state


def _step(x, state, weights, bypass_keep, bypass_rate, permutations, controller, convention):
    said, shown, controller_state = _told(x, state, weights, controller, convention)
    kept, allocation, usage = offered(said, state, convention, permutations)
    sought = said.write_keys, state.memory, said.write_strengths, said.write_masks
    content, gates = content_weightings(*sought, convention), (said.allocation_gates, said.write_gates)
    writing = dnc_write_weighting(allocation, content, *gates, said.allocation_complements)
    left = state.memory * expand_dims(kept, axis=-1) if convention.deallocate else state.memory
    memory = memory_write(left, writing, said.erase, said.write_vectors)

    link, precedence = dnc_linkage(state.link, state.precedence, writing, largest=convention.link_rows)
    onwards, back = along_the_links(link, state.read_weightings, said, convention)
    sought = said.read_keys, memory, said.read_strengths, said.read_masks
    content = content_weightings(*sought, convention)
    reading = dnc_read_weighting(content, onwards, back, said.read_modes, order=convention.mode_order)
    reads = memory_read(reading, memory)

    read = _side_by_side(reads, convention)
    bypass = dropped(shown, bypass_keep, bypass_rate)
    outputs = affine(bypass, weights.output_weights, weights.output_bias)
    outputs = clipped(outputs + affine(read, weights.read_output_weights), convention.clip_outputs)
    seen_next = reads if convention.controller_reads == "last" else state.reads
    memory_state = memory, usage, link, precedence, writing, reading, seen_next
    return outputs, DNCState(*memory_state, controller_state)


def _side_by_side(reads, convention):
    """Reads (b, r, w) as one vector for each sequence, (b, r w)."""
    batch, read_heads, width = reads.shape
    reads = transpose(reads, axes=(0, 2, 1)) if "reads" in convention.heads_fastest else reads
    return reshape(reads, shape=(batch, read_heads * width))


def _keep_ended(running, new, old):
    """``keep_ended`` of every array in a nesting of tuples."""
    return each(lambda *pair: keep_ended(running, *pair), new, old)
