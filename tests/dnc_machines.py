"""DNCs to test on: conventions of public implementations, drawn parameters, a state amid things."""

import numpy as np
import pytest
from adjoint import flat
from drawing import below_simplex, free, gate, link

from scratchattn.nn.dnc_cell import DNCState, dnc_sequence, dnc_shapes, dnc_weights

CONVENTIONS = {
    "paper": {},
    "deepmind": dict(
        strength="softplus",
        mode_order="backward_forward_content",
        form="smoothed_added",
        allocation_eps=1e-6,
        stop_write_gradient=True,
        shown_layers="top",
        clip_controller=20.0,
        clip_state=20.0,
        clip_outputs=20.0,
    ),
    "ixaxaar": dict(
        strength="softplus",
        keys="tanh",
        mode_order="backward_forward_content",
        form="added",
        allocation_eps=1e-6,
        softplus_threshold=20.0,
        controller_reads="first",
        input_skips=False,
        shown_layers="top",
        clip_controller=20.0,
    ),
    "csordas": dict(
        masked=True,
        mask_min=0.1,
        deallocate=True,
        sharpen_links=True,
        form="added",
        allocation_eps=1e-6,
        stop_write_gradient=True,
        softplus_threshold=20.0,
        clip_interface=20.0,
        interface_order=tuple(
            "write_masks write_keys erase write_vectors free_gates write_strengths allocation_gates "
            "write_gates read_masks read_keys read_strengths read_modes forward_sharpness "
            "backward_sharpness".split()
        ),
    ),
    "adnc": dict(
        mode_order="forward_content_backward",
        form="none",
        simulated_gate="write",
        cumprod_gradient="divide",
        interface_order=tuple(
            "write_keys write_strengths erase write_vectors allocation_gates write_gates read_keys "
            "read_strengths read_modes free_gates write_masks read_masks forward_sharpness "
            "backward_sharpness".split()
        ),
    ),
}
WRITERS = {"deepmind": 2, "adnc": 3}
conventions = pytest.mark.parametrize("name", CONVENTIONS)


def machine(
    convention=None, seed=0, *, batch=2, inputs=2, outputs=2, units=3, layers=2, rows=4, width=3, readers=2,
    writers=1, size=0.7, dtype=float,
):  # fmt: skip
    """Parameters by name, and a state in the middle of things."""
    rng, convention = np.random.default_rng(seed), convention or {}
    switches = ("masked", "sharpen_links", "input_skips", "shown_layers")
    added = {name: convention[name] for name in switches if name in convention}
    shapes = dnc_shapes(
        inputs, outputs, units, layers, width, readers, writers, biases=seed % 2 == 1, **added
    )
    params = {name: (size * rng.normal(size=shape)).astype(dtype) for name, shape in shapes.items()}
    state = DNCState(
        memory=free(rng, (batch, rows, width)),
        usage=gate(rng, (batch, rows)),
        link=link(rng, (batch, writers, rows, rows)),
        precedence=below_simplex(rng, (batch, writers, rows)),
        write_weightings=below_simplex(rng, (batch, writers, rows)),
        read_weightings=below_simplex(rng, (batch, readers, rows)),
        reads=free(rng, (batch, readers, width)),
        controller=tuple((free(rng, (batch, units)), free(rng, (batch, units))) for _ in range(layers)),
    )
    return params, nested(state, [x.astype(dtype) for x in flat(state)])


def nested(like, leaves):
    """The arrays ``leaves`` in the nesting of ``like``."""
    leaves = iter(leaves)

    def filled(part):
        if not isinstance(part, tuple):
            return next(leaves)
        parts = [filled(p) for p in part]
        return part._make(parts) if hasattr(part, "_make") else tuple(parts)

    return filled(like)


def unrolled(params, state, lengths=None, **convention):
    """A sequence as a function of xs, of the parameters and of the state, all side by side."""

    def function(xs, *leaves):
        named = dict(zip(params, leaves))
        start = nested(state, leaves[len(params) :])
        return flat(dnc_sequence(xs, start, dnc_weights(named), lengths, **convention))

    return function, [*params.values(), *flat(state)]


def drawn_inputs(steps, batch=2, inputs=2, seed=1):
    return np.random.default_rng(seed).normal(size=(steps, batch, inputs))
