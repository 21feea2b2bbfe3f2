"""A step of a Neural Turing Machine with an LSTM, or with one tanh layer, as ``nn/ntm_cell.py`` has it."""

from dataclasses import replace

import numpy as np

from scratchattn.conventions import preset
from scratchattn.nn.named_conventions import NTM_NAMES, ntm_settings
from scratchattn.nn.ntm_cell import DEFAULT, NTMState, NTMWeights, head_sizes, ntm_shapes, ntm_step
from scratchattn.nn.ntm_convention import CHOICES, NTMConvention
from scratchattn.op import Case, Variant

from .taped import cell, drawn, one_by_one, settings_of

_STATE = "x(b,i), reads(b,r,w), memory(b,n,w), weightings(b,k,n)"
_WEIGHTS = "input_weights(c,g), bias(g)"
_REST = "head_weights(h,p), head_bias(p), output_weights(f,o), output_bias(o)"
_OUT = "outputs(b,o), new_reads(b,r,w), new_memory(b,n,w), new_weightings(b,k,n)"
_SOURCE = "nn/ntm_cell.py; Graves, Wayne, Danihelka, arXiv:1410.5401, section 3"
_WITH_LSTM = ("input_weights", "bias", "hidden_weights", *NTMWeights._fields[2:6])
_SATURATED = {"key": 0.0, "write_vector": 0.0, "erase": 12.0, "gate": 12.0, "strength": 8.0, "sharpness": 3.0}


def _lstm_step(x, reads, memory, weightings, hidden, cell, *weights, **convention):
    named = NTMWeights(**dict(zip(_WITH_LSTM, weights, strict=True)))
    y, new = ntm_step(x, NTMState(reads, memory, weightings, hidden, cell), named, **convention)
    return y, *new


def _tanh_step(x, reads, memory, weightings, *weights, **convention):
    y, new = ntm_step(x, NTMState(reads, memory, weightings), NTMWeights(*weights), **convention)
    return y, *new[:3]


def _cases(controller, convention=DEFAULT):
    """Sizes that differ from each other; several heads, gates at their ends, a memory at its start."""

    def cases(rng):
        make = lambda *sizes, **how: _inputs(rng, controller, convention, *sizes, **how)
        yield Case("one head of each kind", make(2, 1, 1, 4, 3))
        if convention.roles == "both":
            yield Case("two heads", make(1, 2, 2, 5, 2))
        else:
            if convention.previous == "own":
                yield Case("two read heads", make(2, 2, 1, 5, 2))
            yield Case("two write heads", make(1, 1, 2, 4, 3))
        yield Case("gates at their ends", make(2, 1, 1, 4, 3, ends=True))
        yield Case("blank memory", make(1, 1, 1, 4, 3, blank=True))

    return cases


def _inputs(rng, controller, convention, batch, readers, writers, rows, width, ends=False, blank=False):
    inputs, outputs, units, shifts = 3, 2, 4, 3
    shapes = ntm_shapes(inputs, outputs, units, width, readers, writers, shifts, controller, convention)
    weights = drawn(rng, shapes)
    only_read = 0 if convention.roles == "both" else readers
    if ends:
        sizes = head_sizes(width, only_read, writers, shifts if convention.shift == "softmax" else 1)
        weights["head_bias"] = np.concatenate(
            [
                _SATURATED.get(name, 6.0) * rng.choice([-1.0, 1.0], size=n)
                for name, n in sizes._asdict().items()
            ]
        )
    weightings = rng.dirichlet(np.ones(rows), size=(batch, only_read + writers))
    reads, memory = rng.normal(size=(batch, readers, width)), rng.normal(size=(batch, rows, width))
    if blank:  # rows as short as at the start of a training, all heads at the first
        reads, memory = 0 * reads, 1e-3 * memory
        weightings = np.broadcast_to(np.eye(rows)[0], weightings.shape).copy()
    state = [rng.normal(size=(batch, inputs)), reads, memory, weightings]
    if controller == "lstm":
        state += [*rng.normal(size=(2, batch, units))]
    return (*state, *[weights[name] for name in (_WITH_LSTM if controller == "lstm" else shapes)])


def fitted(op, params):
    """``op`` with cases of the shapes that a convention has: outputs of the controller alone, heads that read
    and write, shifts by one number.  As it is where the settings make no convention."""
    try:
        convention = NTMConvention(**params)
    except (TypeError, ValueError):
        return op
    return replace(op, cases=_cases("lstm" if op.name == "ntm_cell" else "tanh", convention))


def _variants():
    for name in NTM_NAMES:
        if ntm_settings(name):
            yield Variant(preset(name).variant, ntm_settings(name), preset(name).source)
    yield from one_by_one(NTMConvention, CHOICES, "nn/ntm_convention.py")


_HOW = {"params": settings_of(NTMConvention), "variants": tuple(_variants()), "source": _SOURCE}
CELLS = (
    cell(
        "ntm_cell",
        f"{_STATE}, hidden(b,h), cell(b,h), {_WEIGHTS}, hidden_weights(h,g), {_REST} "
        f"-> {_OUT}, new_hidden(b,h), new_cell(b,h)",
        _lstm_step,
        _cases("lstm"),
        **_HOW,
    ),
    cell(
        "ntm_feed_forward_cell",
        f"{_STATE}, {_WEIGHTS}, {_REST} -> {_OUT}",
        _tanh_step,
        _cases("tanh"),
        **_HOW,
    ),
)
