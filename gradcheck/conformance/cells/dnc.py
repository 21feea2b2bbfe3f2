"""A step of a Differentiable Neural Computer with one LSTM, as ``nn/dnc_cell.py`` has it."""

import numpy as np

from scratchattn.conventions import PRESETS, preset
from scratchattn.nn.dnc_cell import DNCState, DNCWeights, dnc_shapes, dnc_step
from scratchattn.nn.dnc_convention import CHOICES, DNCConvention
from scratchattn.nn.dnc_interface import interface_shapes
from scratchattn.nn.named_conventions import DNC_NAMES, dnc_settings
from scratchattn.op import Case, Variant

from .taped import cell, drawn, one_by_one, settings_of

_SIGNATURE = (
    "x(b,i), memory(b,n,w), usage(b,n), link(b,h,n,n), precedence(b,h,n), write_weightings(b,h,n), "
    "read_weightings(b,r,n), reads(b,r,w), hidden(b,u), cell(b,u), input_weights(c,g), hidden_weights(u,g), "
    "bias(g), interface_weights(u,p), output_weights(u,o), read_output_weights(f,o), interface_bias(p), "
    "output_bias(o) -> outputs(b,o), new_memory(b,n,w), new_usage(b,n), new_link(b,h,n,n), "
    "new_precedence(b,h,n), new_write_weightings(b,h,n), new_read_weightings(b,r,n), new_reads(b,r,w), "
    "new_hidden(b,u), new_cell(b,u)"
)
_SWITCHES = {
    "masked": (True,),
    "deallocate": (True,),
    "sharpen_links": (True,),
    "stop_write_gradient": (True,),
}
_ENDS = {"free_gates": 6.0, "allocation_gates": 9.0, "write_gates": 9.0, "erase": 9.0, "read_modes": 4.0}


def _step(x, *rest, **convention):
    state = DNCState(*rest[:7], controller=(rest[7:9],))
    y, new = dnc_step(x, state, DNCWeights((rest[9:12],), *rest[12:]), **convention)
    return y, *new[:7], *new.controller[0]


def _cases(rng):
    yield Case("one read head", _inputs(rng, 2, 1, 1, 4, 3))
    yield Case("two read heads", _inputs(rng, 1, 2, 1, 5, 2))
    yield Case("two write heads", _inputs(rng, 1, 1, 2, 4, 2))
    yield Case("gates at their ends", _inputs(rng, 1, 1, 1, 4, 3, ends=True))
    # All rows are equally free, and which of them is taken is a convention: there is no derivative.
    yield Case("first step", _inputs(rng, 1, 1, 1, 4, 3, first=True), margin=0)


def _inputs(rng, batch, readers, writers, rows, width, ends=False, first=False):
    inputs, outputs, units = 3, 2, 4
    weights = drawn(rng, dnc_shapes(inputs, outputs, units, 1, width, readers, writers, biases=True))
    if ends:
        parts = interface_shapes(width, readers, writers).items()
        sizes = [(_ENDS.get(name, 2.0), int(np.prod(shape))) for name, shape in parts]
        signs = [size * rng.choice([-1.0, 1.0], size=n) for size, n in sizes]
        weights["interface_bias"] = np.concatenate(signs)
    simplex = lambda heads: 0.9 * rng.dirichlet(np.ones(rows), size=(batch, heads))
    state = [
        rng.normal(size=(batch, rows, width)),
        np.stack([rng.permutation(np.linspace(0.1, 0.9, rows)) for _ in range(batch)]),  # told apart
        rng.uniform(0, 0.3, size=(batch, writers, rows, rows)) * (1 - np.eye(rows)),
        *[simplex(heads) for heads in (writers, writers, readers)],
        rng.normal(size=(batch, readers, width)),
        *rng.normal(size=(2, batch, units)),
    ]
    if first:
        state = [0 * part for part in state]
        state[0] = state[0] + 1e-3 * rng.normal(size=state[0].shape)
    return (rng.normal(size=(batch, inputs)), *state, *weights.values())


def _variants():
    for name in DNC_NAMES:
        settings = dnc_settings(name)
        settings.pop("controller_reads", None)  # no single step shows what is seen at the next
        if name != "smoothed":
            chosen = preset(name)
            yield Variant(name if chosen.variant in PRESETS else chosen.variant, settings, chosen.source)
    yield from one_by_one(DNCConvention, CHOICES | _SWITCHES, "nn/dnc_convention.py")


CELLS = (
    cell(
        "dnc_cell",
        _SIGNATURE,
        _step,
        _cases,
        params=settings_of(DNCConvention),
        variants=_variants(),
        source="nn/dnc_cell.py; Graves et al., Nature 538 (2016) 471, Methods",
    ),
)
