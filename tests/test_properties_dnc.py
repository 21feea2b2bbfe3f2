"""The fused Differentiable Neural Computer against the composition of ops that it stands for, as drawn.

Read and write heads, rows, width, batch, lengths, biases, the convention and the size of the weights: at four
times the usual, gates are saturated.  Some start from nothing, where all rows tie, and
are of one step: later, rounding decides between rows that are alike.
"""

import fused_sequences as fused
import numpy as np
import pytest
from adjoint import missed
from conditioning import apart
from drawing import drawn_like, given, hypothesis, seeds, st

from gradcheck.numbers.noise import spread
from scratchattn.fused.dnc import dnc_feedforward, dnc_lstm
from scratchattn.fused.dnc_stack import dnc_lstm_stack
from scratchattn.nn.dnc_cell import dnc_shapes, dnc_weights
from scratchattn.nn.dnc_controller import over_layers
from scratchattn.nn.dnc_convention import CHOICES, PARTS
from scratchattn.tape import vjp

OPS = dnc_lstm, dnc_feedforward, dnc_lstm_stack
machines = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
seldom = hypothesis.settings(max_examples=max(10, hypothesis.settings().max_examples // 2))


_flags = (
    "masked",
    "mask_keys",
    "deallocate",
    "sharpen_links",
    "stop_write_gradient",
    "input_skips",
    "keep_simulated_usage",
)
_choices = (
    *("strength", "keys", "mode_order", "form", "simulated_gate", "cumprod_gradient", "controller_reads"),
    "shown_layers",
)
_any = {
    **{name: st.booleans() for name in _flags},
    **{name: st.sampled_from(CHOICES[name]) for name in _choices},
    "mask_min": st.sampled_from([0.0, 0.2]),
    "link_eps": st.sampled_from([1e-6, 1e-2]),
    "eps": st.sampled_from([1e-6, 1e-2]),
    "allocation_eps": st.sampled_from([0.0, 1e-6, 0.1]),
    "softplus_threshold": st.sampled_from([None, 1.0, 20.0]),
    **{f"clip_{name}": st.sampled_from([0.0, 1.0, 20.0]) for name in ("interface", "controller", "state")},
    "clip_outputs": st.sampled_from([0.0, 0.5, 20.0]),
    "interface_order": st.permutations(PARTS).map(tuple),
    "heads_fastest": st.sets(st.sampled_from((*PARTS, "reads"))).map(sorted).map(tuple),
}
conventions = st.one_of(st.just({}), st.fixed_dictionaries(_any))


@st.composite
def sequences(draw, op, lengths=None, apart=False, steps=None, sizes=(0.1, 0.5, 1.0, 2.0, 4.0)):
    """All inputs of ``op`` but lengths; lengths, which are there (True), None (False), or either; params.

    ``apart``: no rows are alike, or rounding decides which is written first.  ``sizes``, of the weights.
    """
    steps, batch, i, o, h = steps or draw(st.integers(1, 5)), *(draw(st.integers(1, n)) for n in (3, 3, 2, 4))
    width, rows, reads, writes = (draw(st.integers(1, n)) for n in (4, 9, 4, 3))
    size, biases = draw(st.sampled_from(sizes)), draw(st.booleans())
    lengths, convention = draw(st.booleans()) if lengths is None else lengths, draw(conventions)
    switches = ("masked", "sharpen_links", "input_skips", "shown_layers")
    added = {name: convention[name] for name in switches if name in convention}
    dividing = convention.get("cumprod_gradient") == "divide" and not convention["allocation_eps"]  # by zero
    blank = steps == 1 and not apart and not dividing and draw(st.booleans())
    rng = np.random.default_rng(draw(seeds))
    layers = {"dnc_feedforward": 0, "dnc_lstm": 1, "dnc_lstm_stack": 2 + (reads > 2)}[op.name]
    shapes = dnc_shapes(i, o, h, layers, width, reads, writes, biases=biases, **added)
    weights = dnc_weights({name: size * rng.normal(size=shape) for name, shape in shapes.items()})
    controller = weights.controller[0] if layers == 1 else weights.controller
    if layers > 1:
        skips = convention.get("input_skips", True)
        controller = over_layers(controller, i + reads * width, input_skips=skips)
    on_rows = [0.9 * rng.dirichlet(np.ones(rows), size=(batch, heads)) for heads in (writes, writes, reads)]
    link = 0.9 * rng.dirichlet(np.ones(rows), size=(batch, writes, rows)) * (1 - np.eye(rows)) / rows
    state = [rng.normal(size=(batch, rows, width)), rng.uniform(size=(batch, rows)), link, *on_rows]
    state.append(rng.normal(size=(batch, reads, width)))
    state = [0 * part for part in state] if blank else state
    if layers:
        state += list(rng.normal(size=(2, batch, h) if layers == 1 else (2, layers, batch, h)))
    inputs = [rng.normal(size=(steps, batch, i)), *state, *controller, *weights[1 : None if biases else 4]]
    hypothesis.note(f"{[x.shape for x in inputs]}, weights of {size}, blank {blank}, {convention}")
    return inputs, rng.integers(0, steps + 1, size=batch) if lengths else None, convention


@st.composite
def dropping(draw, op, inputs):
    """The keywords of dropout on the units that the outputs see, or none."""
    if draw(st.booleans()):
        return {}
    by_name, rng = dict(zip(op.inputs, inputs)), np.random.default_rng(draw(seeds))
    shown, rate = (*inputs[0].shape[:2], by_name["output_weights"].shape[0]), draw(st.floats(0, 0.9))
    return {"bypass_keep": rng.random(shown) >= rate, "bypass_rate": rate}


def calling(convention, bypass_keep=None, bypass_rate=0.0):
    """What calls an op or its composition, with or without the two biases, which stand before the lengths."""

    def called(function, inputs, lengths):
        missing = [None] * (STATED[function] - len(inputs))
        return function(*inputs, *missing, lengths, bypass_keep, bypass_rate=bypass_rate, **convention)

    return called


STATED = {f: op.inputs.index("lengths") for op in OPS for f in (op, op.equals)}


@machines
@given(data=st.data())
def test_fused_equals_the_composition(op, data):
    """Forward and every gradient, to 1e-12 of the largest entry; or, where rounding costs the composition
    more than that, to what it costs."""
    inputs, lengths, convention = data.draw(sequences(op))
    dropped = data.draw(dropping(op, inputs))
    found, truth = (
        fused.outcome(f, calling(convention, **dropped), inputs, lengths) for f in (op, op.equals)
    )
    errors = [apart(a, b) for a, b in zip(found, truth, strict=True)]
    if not all(error <= 1e-12 for error in errors):  # rarely
        costs = noise(op.equals, inputs, lengths, convention, dropped, truth)
        for name, error, cost in zip(fused.named(op), errors, costs):
            assert error <= max(1e-12, 6 * cost), f"{name}: {error:.3g}, rounding costs {cost:.3g}"


def noise(function, inputs, lengths, convention, dropped, truth):
    """How far each result errs if every operation does by about its last place."""

    def noisy(*inputs):
        of = type(inputs[0]).of
        told = {name: x if name == "bypass_rate" else of(x) for name, x in dropped.items()}
        call, ends = calling(convention, **told), None if lengths is None else of(lengths)
        out, pullback = vjp(lambda *tensors: tuple(call(function, tensors, ends)), *inputs)
        return [*out, *pullback(*map(of, drawn_like(np.random.default_rng(1), truth[: len(out)])))]

    erred = spread(noisy, inputs, "float64", truth, runs=6)
    return [float(e.max(initial=0) / (abs(y).max(initial=0) or 1)) for e, y in zip(erred, truth)]


@machines
@seldom
@given(data=st.data())
def test_what_a_buffer_held_before_is_never_read(op, data):
    inputs, lengths, convention = data.draw(sequences(op))
    fused.never_reads_what_a_buffer_held_before(op, calling(convention), inputs, lengths)


@machines
@seldom
@given(data=st.data())
def test_a_sequence_in_two_chunks_is_the_sequence(op, data):
    inputs, _, convention = data.draw(sequences(op, lengths=False, apart=True))
    fused.in_two_chunks_is_the_same(op, calling(convention), inputs, data)


@machines
@seldom
@given(data=st.data())
def test_each_sequence_of_a_batch_is_run_to_its_own_end(op, data):
    inputs, lengths, convention = data.draw(sequences(op, lengths=True, apart=True))
    layered = 2 if op is dnc_lstm_stack else 0
    fused.runs_each_sequence_to_its_own_end(op, calling(convention), inputs, lengths, layered)


@machines
@seldom
@given(data=st.data())
def test_weightings_stay_below_the_simplex_and_usage_between_its_ends(op, data):
    inputs, lengths, convention = data.draw(sequences(op))
    last = calling(convention)(op, inputs, lengths)
    for weighting in (last.last_write_weightings, last.last_read_weightings):
        assert (weighting >= 0).all() and (weighting.sum(-1) <= 1 + 1e-12).all()
    assert (last.last_usage >= 0).all() and (last.last_usage <= 1 + 1e-12).all()
    link = last.last_link
    assert (link >= -1e-12).all() and (np.diagonal(link, axis1=-2, axis2=-1) == 0).all()
    assert (link.sum(-1) <= 1 + 1e-12).all() and (link.sum(-2) <= 1 + 1e-12).all()


@machines
@seldom
@given(data=st.data())
def test_the_adjoint_identity_holds_through_forty_steps(op, data):
    """<u, J v> = <J^T u, v> within 256 eps of what is summed up; or, where sums within cancel so that the
    composition misses that too, no worse than four times what it misses by."""
    inputs, lengths, convention = data.draw(sequences(op, apart=True, steps=40, sizes=(0.1, 0.5, 1.0)))
    call = calling(convention | {"stop_write_gradient": False})  # or it is not the derivative, on purpose
    found, truth = (lambda *x, f=f: tuple(call(f, x, lengths)) for f in (op, op.equals))
    error = missed(found, *inputs)
    assert error <= 256 or error <= 4 * missed(truth, *inputs)
