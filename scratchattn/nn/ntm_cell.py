"""One step of a Neural Turing Machine, as the paper tells it.

A batch of ``b`` memories of ``n`` rows, each ``w`` wide; ``r`` read heads come first among the
``k`` heads, the write heads follow.  At every step

    h       = controller([x, reads])                        LSTM, or one tanh layer
    p       = h W_p + b_p                                    the parameters of all heads
    w^c_i   = softmax_i(strength cos(key, M_i))              by content             (5) (6)
    w^g     = gate w^c + (1 - gate) w_before                 or from where it was   (7)
    w~_i    = sum_o shift_o w^g_(i - o)                      moved                  (8)
    w_i     = w~_i^sharpness / sum_j w~_j^sharpness          and focused            (9)
    reads   = w M                                            the read heads         (2)
    M_i     = M_i prod_h (1 - w_i erase) + sum_h w_i write_vector    the write heads (3) (4)
    y       = [reads, h] W_o + b_o

Conventions
-----------
All heads address the memory that the step found, and the reads are taken from it; then it is
written, all erasures before all additions.  The new reads reach the output of their own step and
the controller of the next.  strength is softplus, gate and erase are sigmoids, shift is a softmax
over the offsets -s..s, sharpness is 1 + softplus; key and write_vector are taken as they are.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 3.
"""

from typing import Any, NamedTuple

from ..ops.activations import sigmoid, softplus
from ..ops.axes import broadcast_to
from ..ops.choice import where
from ..ops.circular_shift import circular_shift
from ..ops.cosine_addressing import cosine_addressing
from ..ops.exponential import tanh
from ..ops.interpolation import interpolation
from ..ops.lstm_cell import lstm_cell
from ..ops.memory_read import memory_read
from ..ops.memory_write import memory_write
from ..ops.shaping import concat, reshape, split, stack, unstack
from ..ops.sharpening import sharpening
from ..ops.softmax import softmax
from .checked import checker
from .linear import linear
from .lstm import keep_ended

EPS = 1e-6  # in the lengths of the cosine
_REST = (
    "reads(b,r,w), memory(b,n,w), weightings(b,k,n), hidden?(b,h), cell?(b,h), input_weights(c,g), bias(g), "
    "head_weights(h,p), head_bias(p), output_weights(f,o), output_bias(o), hidden_weights?(h,g)"
)
_check_step = checker("ntm_step", f"x(b,i), {_REST}")
_check_sequence = checker("ntm_sequence", f"xs(t,b,i), {_REST}, lengths?!(b)", lengths="integer")


class NTMState(NamedTuple):
    """What a step hands to the next; ``hidden`` and ``cell`` are None for a feed-forward controller."""

    reads: Any  # (b, r, w)
    memory: Any  # (b, n, w)
    weightings: Any  # (b, k, n)
    hidden: Any = None  # (b, h)
    cell: Any = None  # (b, h)


class NTMWeights(NamedTuple):
    """The parameters of a cell; ``hidden_weights`` is None for a feed-forward controller."""

    input_weights: Any  # (i + r w, 4h) for an LSTM, (i + r w, h) for one tanh layer
    bias: Any  # (4h) or (h)
    head_weights: Any  # (h, p), columns as in ``head_sizes``
    head_bias: Any  # (p)
    output_weights: Any  # (r w + h, o)
    output_bias: Any  # (o)
    hidden_weights: Any = None  # (h, 4h)


class HeadParameters(NamedTuple):
    """What the controller emits for all heads in one step."""

    key: Any  # (b, k, w)
    write_vector: Any  # (b, k - r, w)
    erase: Any  # (b, k - r, w), in (0, 1)
    gate: Any  # (b, k), in (0, 1)
    strength: Any  # (b, k), positive
    sharpness: Any  # (b, k), at least one
    shift: Any  # (b, k, s), on the simplex
    complement: Any = None  # (b, k), 1 - gate to all its digits


class HeadSizes(NamedTuple):
    """Columns of the head parameters, side by side in this order, grouped by how they are squashed."""

    key: int
    write_vector: int
    erase: int
    gate: int
    strength: int
    sharpness: int
    shift: int


def head_sizes(width, read_heads, write_heads, shifts):
    """How many columns of each there are, for all heads together."""
    heads = read_heads + write_heads
    return HeadSizes(
        heads * width, write_heads * width, write_heads * width, heads, heads, heads, heads * shifts
    )


def ntm_shapes(inputs, outputs, units, width, read_heads, write_heads, shifts, controller):
    """Parameter shapes of the cell."""
    columns = 4 * units if controller == "lstm" else units
    parameters = sum(head_sizes(width, read_heads, write_heads, shifts))
    shapes = {"input_weights": (inputs + read_heads * width, columns), "bias": (columns,)}
    if controller == "lstm":
        shapes["hidden_weights"] = (units, columns)
    return shapes | {
        "head_weights": (units, parameters),
        "head_bias": (parameters,),
        "output_weights": (read_heads * width + units, outputs),
        "output_bias": (outputs,),
    }


def ntm_step(x, state, weights, *, eps=EPS):
    """One step: x (b, i), an NTMState, NTMWeights -> outputs (b, o), the next NTMState."""
    _check_step(x, *_flat(state, weights))
    return _step(x, state, weights, eps)


def _step(x, state, weights, eps):
    (batch, read_heads, width), heads = state.reads.shape, state.weightings.shape[1]
    reads = reshape(state.reads, shape=(batch, read_heads * width))
    controlled = concat(x, reads, axis=-1)
    if weights.hidden_weights is None:
        hidden, cell, shown = None, None, tanh(linear(controlled, weights.input_weights, weights.bias))
    else:
        hidden, cell = lstm_cell(
            controlled, state.hidden, state.cell, weights.input_weights, weights.hidden_weights, weights.bias
        )
        shown = hidden
    head = head_parameters(linear(shown, weights.head_weights, weights.head_bias), state)
    weightings = address(head, state.memory, state.weightings, eps)
    reading, writing = split(weightings, sections=(read_heads, heads - read_heads), axis=1)
    reads = memory_read(reading, state.memory)
    memory = memory_write(state.memory, writing, head.erase, head.write_vector)
    features = concat(reshape(reads, shape=(batch, read_heads * width)), shown, axis=-1)
    outputs = linear(features, weights.output_weights, weights.output_bias)
    return outputs, NTMState(reads, memory, weightings, hidden, cell)


def head_parameters(raw, state):
    """Squash what the controller emitted, (b, p), into the domains that the paper gives."""
    (batch, read_heads, width), heads = state.reads.shape, state.weightings.shape[1]
    write_heads = heads - read_heads
    shifts = (raw.shape[-1] - sum(head_sizes(width, read_heads, write_heads, 0))) // heads
    sizes = head_sizes(width, read_heads, write_heads, shifts)
    key, write_vector, erase, gate, strength, sharpness, shift = split(raw, sections=tuple(sizes), axis=-1)
    return HeadParameters(
        key=reshape(key, shape=(batch, heads, width)),
        write_vector=reshape(write_vector, shape=(batch, write_heads, width)),
        erase=sigmoid(reshape(erase, shape=(batch, write_heads, width))),
        gate=sigmoid(gate),
        strength=softplus(strength),
        sharpness=1 + softplus(sharpness),
        shift=softmax(reshape(shift, shape=(batch, heads, shifts))),
        complement=sigmoid(-gate),
    )


def address(head, memory, before, eps):
    """Where each head looks: equations 5 to 9."""
    content = cosine_addressing(head.key, memory, head.strength, eps=eps)
    gated = interpolation(content, before, head.gate, head.complement)
    return sharpening(circular_shift(gated, head.shift), head.sharpness)


def _flat(state, weights):
    return (*state, *weights)


def ntm_sequence(xs, state, weights, lengths=None, *, eps=EPS):
    """The steps one after the other: xs (t, b, i) -> outputs (t, b, o), the last NTMState.

    ``lengths``: b integers in 0..t, or None.  A sequence that has ended keeps its state and shows
    zeros, and its padding is never read.
    """
    _check_sequence(xs, *_flat(state, weights), lengths)
    outputs = []
    for t, x in enumerate(unstack(xs)):
        running = None if lengths is None else lengths > t
        if running is not None:
            x = where(running[:, None], x, 0.0)
        y, new = _step(x, state, weights, eps)
        state = NTMState(*[None if a is None else keep_ended(running, a, old) for a, old in zip(new, state)])
        outputs.append(y if running is None else where(running[:, None], y, 0.0))
    if not outputs:
        return broadcast_to(weights.output_bias, shape=(0, *xs.shape[1:2], *weights.output_bias.shape)), state
    return stack(*outputs), state
