"""The heads of a Neural Turing Machine: what they are told, where they look, what they do to the memory.

Equations 2 to 9, as ``ntm_cell`` writes them; the order in which heads take their turn, and every
squashing, is the NTMConvention's.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 3.
"""

from itertools import chain, zip_longest
from typing import Any, NamedTuple

from ..backend import real
from ..ops.activations import oneplus, relu, sigmoid, softplus
from ..ops.choice import clip, where
from ..ops.circular_shift import circular_shift
from ..ops.cosine_addressing import cosine_addressing
from ..ops.cotangents import stop_gradient
from ..ops.exponential import exp, tanh
from ..ops.hard_sigmoid import hard_sigmoid
from ..ops.interpolation import interpolation
from ..ops.memory_read import memory_read
from ..ops.memory_write import memory_write
from ..ops.scalar_shift import scalar_shift
from ..ops.shaping import concat, reshape, split
from ..ops.sharpening import sharpening
from ..ops.softmax import softmax
from ..tape import Tensor
from .ntm_convention import NTMConvention

DEFAULT = NTMConvention()

_WORDS = {
    "identity": lambda x: x,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "unit_interval": lambda x: clip(x, low=0.0, high=1.0),
}
_GATES = {"sigmoid": sigmoid, "hard_sigmoid": hard_sigmoid}
_SHIFTS = {
    "softmax": softmax,
    "number": lambda x: reshape(x, shape=x.shape[:2]),
    "bounded_number": lambda x: tanh(reshape(x / 2, shape=x.shape[:2])),  # 2 sigmoid(x) - 1
}


class HeadParameters(NamedTuple):
    """What the controller emits for all heads in one step."""

    key: Any  # (b, k, w)
    write_vector: Any  # (b, k - r, w)
    erase: Any  # (b, k - r, w), in (0, 1)
    gate: Any  # (b, k), in (0, 1)
    strength: Any  # (b, k), positive
    sharpness: Any  # (b, k), at least one
    shift: Any  # (b, k, s), on the simplex; or (b, k) numbers of rows
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
    """How many columns of each there are, for all heads together; heads that do both write."""
    heads = read_heads + write_heads
    return HeadSizes(
        heads * width, write_heads * width, write_heads * width, heads, heads, heads, heads * shifts
    )


def head_parameters(raw, state, convention=DEFAULT):
    """Squash what the controller emitted, (b, p), into the domains that the paper gives."""
    (batch, read_heads, width), heads, c = state.reads.shape, state.weightings.shape[1], convention
    write_heads = heads if c.roles == "both" else heads - read_heads
    c.check_heads(read_heads, write_heads)
    shifts = (raw.shape[-1] - sum(head_sizes(width, heads - write_heads, write_heads, 0))) // heads
    sizes = head_sizes(width, heads - write_heads, write_heads, shifts)
    if c.clip_heads:
        raw = clip(raw, low=-c.clip_heads, high=c.clip_heads)
    key, write_vector, erase, gate, strength, sharpness, shift = split(raw, sections=tuple(sizes), axis=-1)
    return HeadParameters(
        key=_WORDS[c.key](reshape(key, shape=(batch, heads, width))),
        write_vector=_WORDS[c.write_vector](reshape(write_vector, shape=(batch, write_heads, width))),
        erase=_GATES[c.erase](reshape(erase, shape=(batch, write_heads, width))),
        gate=_GATES[c.gate](gate),
        strength=_positive(strength, c.strength, c.softplus_threshold),
        sharpness=1 + _positive(sharpness, c.sharpness, c.softplus_threshold),
        shift=_SHIFTS[c.shift](reshape(shift, shape=(batch, heads, shifts))),
        complement=sigmoid(-gate) if c.gate == "sigmoid" else None,
    )


def _positive(x, name, threshold):
    if name == "softplus":
        return softplus(x, threshold=threshold)
    if name == "oneplus":
        return oneplus(x, threshold=threshold)
    return relu(x) if name == "relu" else exp(x)


def address(head, memory, before, convention=DEFAULT):
    """Where each head looks: equations 5 to 9."""
    c = convention
    cosine = {"form": c.form, "eps": c.eps, "zero_gradient": c.zero_gradient, "offset": c.offset}
    content = cosine_addressing(head.key, memory, head.strength, **cosine)
    gated = interpolation(content, before, head.gate, head.complement, smoothing=c.smoothing)
    if c.shift == "softmax":
        moved = circular_shift(gated, head.shift, layout=c.layout, boundary=c.boundary)
    else:
        moved = scalar_shift(gated, head.shift, sign=c.shift_sign)
    if c.gradient_floor:
        values = moved.data if type(moved) is Tensor else moved
        moved = where(real(values) < c.gradient_floor, stop_gradient(moved), moved)
    return sharpening(moved, head.sharpness, denominator_eps=c.denominator_eps, base_eps=c.base_eps)


def use_memory(head, state, convention=DEFAULT):
    """Let all heads do their work: reads (b, r, w), memory (b, n, w), weightings (b, k, n)."""
    readers, heads, c = state.reads.shape[1], state.weightings.shape[1], convention
    if c.previous == "write_head" and c.roles == "separate":
        _, followed, others = split(
            state.weightings, sections=(readers, readers, heads - 2 * readers), axis=1
        )
        state = state._replace(weightings=concat(followed, followed, others, axis=1))
    if c.heads in ("together", "read_last"):
        weightings = address(head, state.memory, state.weightings, c)
        reading, writing = by_kind(weightings, readers, c)
        written = _written(state.memory, writing, head, c)
        return memory_read(reading, written if c.heads == "read_last" else state.memory), written, weightings
    writers = heads - readers
    if c.heads == "write_first":
        return _in_turns(head, state, (readers,), (writers,), (1, 0), c)
    read, write = iter(range(readers)), iter(range(readers, heads))
    if c.turns:
        turns = tuple(next(read if kind == "r" else write) for kind in c.turns)
    else:  # when one kind has no more heads, the other goes on
        turns = tuple(i for i in chain.from_iterable(zip_longest(read, write)) if i is not None)
    return _in_turns(head, state, (1,) * readers, (1,) * writers, turns, c)


def by_kind(weightings, readers, convention=DEFAULT):
    """The weightings (b, k, n) of those that read, ``readers`` in number, and of those that write."""
    if convention.roles == "both":
        return weightings, weightings
    return split(weightings, sections=(readers, weightings.shape[1] - readers), axis=1)


def _in_turns(head, state, reading, writing, turns, convention):
    """One group of heads after the other, each on the memory that those before it left.

    ``reading``, ``writing``: how many heads are in each group; ``turns``: in which order the groups
    come, those that read counted first.
    """
    groups, memory = reading + writing, state.memory
    addressing, before = _parts(head, groups), _split(state.weightings, groups)
    changes = list(zip(_split(head.erase, writing), _split(head.write_vector, writing), strict=True))
    reads, weightings = [None] * len(reading), [None] * len(groups)
    for turn in turns:
        weightings[turn] = address(addressing[turn], memory, before[turn], convention)
        if turn < len(reading):
            reads[turn] = memory_read(weightings[turn], memory)
        else:
            erase, write_vector = changes[turn - len(reading)]
            told = head._replace(erase=erase, write_vector=write_vector)
            memory = _written(memory, weightings[turn], told, convention)
    return concat(*reads, axis=1), memory, concat(*weightings, axis=1)


def _written(memory, weightings, head, convention):
    return memory_write(memory, weightings, head.erase, head.write_vector, order=convention.write_order)


def _split(x, groups):
    return split(x, sections=groups, axis=1)


def _parts(head, groups):
    """The HeadParameters of each group, of what all heads are told."""
    names = ("key", "gate", "strength", "sharpness", "shift", "complement")
    cut = {name: _split(x, groups) for name in names if (x := getattr(head, name)) is not None}
    return [head._replace(**{name: x[i] for name, x in cut.items()}) for i in range(len(groups))]
