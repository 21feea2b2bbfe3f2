"""Every switch of a DNC that the specification of memory lists exists, is felt, and is what its name says.

``SWITCHES`` walks the list: field -> value -> the settings beside which the value is felt.  Each is held
against the step by hand, in loops, and its backward against a complex step.
"""

import numpy as np
import pytest
from adjoint import flat, is_the_adjoint
from dnc_by_hand import paper_step
from dnc_machines import drawn_inputs, machine, nested, unrolled
from drawing import equal, given, hypothesis, same, seeds, st

import scratchattn as sa
from scratchattn.conventions import preset
from scratchattn.models import DNC
from scratchattn.models.dnc_start import CHOICES as STARTS
from scratchattn.models.dnc_start import DNCStart
from scratchattn.nn.dnc_cell import dnc_sequence, dnc_shapes, dnc_weights
from scratchattn.nn.dnc_convention import CHOICES, PARTS, DNCConvention
from scratchattn.nn.named_conventions import DNC_NAMES, dnc_settings
from scratchattn.ops.dnc_read_weighting import ORDERS
from scratchattn.similarity import FORMS

MASKED, SHARPENED, TWO = {"masked": True}, {"sharpen_links": True}, {"writers": 2}
SWITCHES = {
    "strength": {"softplus": {}},
    "softplus_threshold": {0.1: {}},
    "keys": {"tanh": {}},  # of keys and of what is written
    "form": {form: {"eps": 0.3} for form in FORMS if form != "smoothed"},
    "eps": {0.5: {}},
    "masked": {True: {}},
    "mask_keys": {False: MASKED},
    "mask_min": {0.3: MASKED},
    "allocation_eps": {0.2: {}},
    "deallocate": {True: {}},
    "sharpen_links": {True: {}},
    "link_eps": {0.1: SHARPENED},
    "link_rows": {6: {}, 8: {}},
    "mode_order": {order: {} for order in ORDERS if order != "backward_content_forward"},
    "simulated_gate": {"write": TWO},
    "keep_simulated_usage": {True: TWO},
    "controller_reads": {"first": {}},
    "interface_order": {PARTS[::-1]: MASKED | SHARPENED, (*PARTS[1:], PARTS[0]): {}},
    "heads_fastest": {
        **{(part,): {} for part in ("read_keys", "read_modes", "reads")},
        **{(part,): TWO for part in ("write_keys", "erase", "write_vectors")},
        ("read_masks",): MASKED,
        ("write_masks",): MASKED | TWO,
        ("forward_sharpness", "backward_sharpness"): SHARPENED | TWO,
    },
    "input_skips": {False: {}},
    "shown_layers": {"top": {}},
    "clip_controller": {0.2: {}},
    "clip_state": {0.2: {}},
    "clip_interface": {0.4: {}},
    "clip_outputs": {1.5: {}},
}
IN_THE_GRADIENT = {"stop_write_gradient", "zero_gradient", "cumprod_gradient"}  # alone: below
EACH = [(field, value) for field, values in SWITCHES.items() for value in values]
each = pytest.mark.parametrize("field, value", EACH, ids=[f"{f}={v}"[:60] for f, v in EACH])


def made(field, value):
    """Settings without the switch and with it, and a machine that both may run."""
    beside = dict(SWITCHES[field][value])
    writers = beside.pop("writers", 1)
    said = beside | {field: value}
    params, state = machine(said, seed=1, writers=writers, size=0.9)
    return beside, said, params, state


# ---- the list ---------------------------------------------------------------


def test_the_list_holds_every_field_and_every_value():
    fields = set(DNCConvention.__dataclass_fields__)
    assert set(SWITCHES) | IN_THE_GRADIENT == fields and not set(SWITCHES) & IN_THE_GRADIENT
    default = DNCConvention()
    for field, choices in CHOICES.items():
        if field not in IN_THE_GRADIENT:
            assert {*SWITCHES[field], getattr(default, field)} == set(choices), field
    for field, values in SWITCHES.items():
        assert getattr(default, field) not in values
        if type(getattr(default, field)) is bool:
            assert set(values) == {not getattr(default, field)}


def test_every_switch_is_in_some_preset_or_is_said_to_be_in_none():
    used = {field for name in DNC_NAMES for field in dnc_settings(name)}
    ours = {"mask_keys", "mask_min"}  # options of Csordas' code that none of the eight DNCs turns
    ours |= {"link_eps", "zero_gradient"}  # the same number everywhere; nobody chooses it
    assert used | ours == set(DNCConvention.__dataclass_fields__)


# ---- the cell ---------------------------------------------------------------


def as_by_hand(said, params, state):
    """Three steps of two sequences, held against the loops; their outputs and the last state."""
    xs, weights = 2 * drawn_inputs(3), dnc_weights(params)
    ys, last = dnc_sequence(xs, state, weights, **said)
    for b in range(2):
        own = nested(state, [a[b] for a in flat(state)])
        for t in range(3):
            y, own = paper_step(xs[t, b], own, weights, DNCConvention(**said))
            same(ys[t, b], y, 1e-12)
        same([a[b] for a in flat(last)], list(flat(own)), 1e-12)
    return xs, weights, ys, last


@pytest.mark.parametrize("writers", [1, 2])
@pytest.mark.parametrize("name", DNC_NAMES)
def test_a_preset_is_what_the_step_by_hand_says(name, writers):
    said = dnc_settings(name)
    as_by_hand(said, *machine(said, seed=1, writers=writers, size=0.9))


@given(seeds, st.integers(1, 2))
@hypothesis.settings(max_examples=40)
def test_all_switches_may_be_turned_together(seed, writers):
    """Each at random to any of its values."""
    rng, said = np.random.default_rng(seed), {}
    for field, values in SWITCHES.items():
        if rng.random() < 0.5:
            values = list(values)
            said[field] = values[rng.integers(len(values))]
    as_by_hand(said, *machine(said, seed=seed, writers=writers, size=0.9))


@each
def test_a_switch_is_felt_and_is_what_the_step_by_hand_says(field, value):
    beside, said, params, state = made(field, value)
    xs, weights, ys, last = as_by_hand(said, params, state)
    without = {name: a.shape for name, a in machine(beside, seed=1, writers=state.link.shape[1])[0].items()}
    if without == {name: a.shape for name, a in params.items()}:
        plain, end = dnc_sequence(xs, state, weights, **beside)
        there, here = [ys, *flat(last)], [plain, *flat(end)]
        assert max(abs(a - b).max() for a, b in zip(there, here, strict=True)) > 1e-4
    else:
        assert field in ("masked", "sharpen_links", "input_skips", "shown_layers")


@each
def test_the_backward_of_a_switch_is_the_adjoint(field, value):
    _, said, params, state = made(field, value)
    function, leaves = unrolled(params, state, **said)
    vanishing = () if said.get("controller_reads") != "first" else (len(params) + 7,)
    inputs = [2 * drawn_inputs(2), *leaves]

    def moving(*leaves):
        return tuple(a for i, a in enumerate(function(*leaves)) if i != 7 or not vanishing)

    is_the_adjoint(moving, *inputs)


def test_a_stop_is_felt_in_the_gradient_alone():
    params, state = machine(seed=1)
    _, leaves = unrolled(params, state)
    slopes, values = [], []
    for stop in (False, True):
        function, _ = unrolled(params, state, stop_write_gradient=stop)
        out, pullback = sa.vjp(function, drawn_inputs(3), *leaves)
        slopes.append(pullback(*[np.ones(y.shape) for y in out]))
        values.append(out)
    equal(list(values[0]), list(values[1]))
    assert max(abs(a - b).max() for a, b in zip(*slopes, strict=True)) > 1e-4


def test_the_gradient_by_a_row_without_length_is_a_switch():
    params, state = machine(seed=1)
    memory = state.memory.copy()
    memory[:, 1] = 0.0
    found = {}
    for kind in CHOICES["zero_gradient"]:

        def step(m, kind=kind):
            said = {"zero_gradient": kind, "eps": 1e-2}
            _, last = dnc_sequence(drawn_inputs(1), state._replace(memory=m), dnc_weights(params), **said)
            return last.read_weightings, last.write_weightings

        out, pullback = sa.vjp(step, memory)
        found[kind] = pullback(*[np.arange(y.size).reshape(y.shape) * 1.0 for y in out])[0]
    assert np.isnan(found["nan"][:, 1]).all() and np.isfinite(found["nan"][:, [0, 2, 3]]).all()
    assert abs(found["formula"] - found["zero"])[:, 1].max() > 1e-3


def test_a_gradient_of_cumprod_that_divides_is_a_switch_of_the_cell():
    params, state = machine(seed=1)
    slopes = []
    for how in CHOICES["cumprod_gradient"]:
        function, leaves = unrolled(params, state, cumprod_gradient=how)
        out, pullback = sa.vjp(function, drawn_inputs(3), *leaves)
        slopes.append(pullback(*[np.ones(y.shape) for y in out]))
    same(list(slopes[0]), list(slopes[1]), 1e-9)
    assert any((a != b).any() for a, b in zip(*slopes, strict=True))


def test_parameters_are_of_the_shapes_that_the_wiring_needs():
    sizes = 2, 2, 3, 3, 4, 2
    plain = dnc_shapes(*sizes)
    assert plain["input_weights_2"] == (2 + 8 + 3, 12) and plain["output_weights"] == (9, 2)
    narrow = dnc_shapes(*sizes, input_skips=False, shown_layers="top")
    assert narrow["input_weights_2"] == (3, 12) and narrow["output_weights"] == (3, 2)
    assert narrow["interface_weights"] == (3, plain["interface_weights"][1])


@pytest.mark.parametrize(
    "settings, error, told",
    [
        ({"interface_order": PARTS[1:]}, ValueError, "interface_order must be a tuple that holds each of"),
        ({"interface_order": list(PARTS)}, ValueError, "interface_order must be a tuple"),
        ({"heads_fastest": ("keys",)}, ValueError, "heads_fastest must be a tuple of some of"),
        ({"clip_state": -1.0}, ValueError, "clip_state must not be negative, got -1.0"),
        ({"clip_outputs": "20"}, TypeError, "clip_outputs must be a number, got '20'"),
        ({"link_rows": -1}, ValueError, "link_rows must be at least 0, got -1"),
        ({"link_rows": 2.0}, TypeError, "link_rows must be an int, got 2.0"),
        ({"link_eps": 0}, ValueError, "link_eps must be positive and finite, got 0"),
        ({"softplus_threshold": "20"}, TypeError, "softplus_threshold must be None or a number"),
        ({"input_skips": 1}, TypeError, "input_skips must be True or False, got 1"),
        ({"controller_reads": "frozen"}, ValueError, r"controller_reads must be one of \['last', 'first'\]"),
    ],
)
def test_other_values_are_named(settings, error, told):
    with pytest.raises(error, match=f"DNCConvention: {told}"):
        DNCConvention(**settings)


@pytest.mark.parametrize(
    "call, error, told",
    [
        (
            lambda u: sa.dnc_allocation(u, cumprod_gradient="none"),
            ValueError,
            "must be 'exact' or 'divide', got 'none'",
        ),
        (
            lambda u: sa.dnc_linkage(np.eye(3), u, u, largest=-1),
            ValueError,
            "largest must not be negative, got -1",
        ),
        (
            lambda u: sa.dnc_linkage(np.eye(3), u, u, largest=2.0),
            TypeError,
            "largest must be an int, got 2.0",
        ),
    ],
)
def test_other_params_of_ops_are_named(call, error, told):
    with pytest.raises(error, match=told):
        call(np.full(3, 0.2))


# ---- the start --------------------------------------------------------------


def started(monkeypatch, batch=3, rng=None, **start):
    """The state that a model of two layers starts from."""
    said = dict(preset("smoothed").__dict__, dnc_start=start)
    monkeypatch.setattr("scratchattn.models.dnc.preset", lambda name: type("P", (), said))
    dnc = DNC(2, 2, rows=4, width=5, units=3, layers=2, read_heads=2, write_heads=2, dtype="float64")
    return dnc.initial_state(None, batch, rng)


LEVELS = {"zeros": 0.0, "tiny": 1e-6, "share": 1 / 20}


def test_the_list_of_starts_is_whole():
    assert set(STARTS) | {"skip_first_update"} == set(DNCStart.__dataclass_fields__)
    assert set(STARTS["memory"]) == set(LEVELS) and set(STARTS["reads"]) == {"zeros", "tiny"}
    assert set(STARTS["weightings"]) == {"zeros", "tiny", "one_hot", "simplex", "drawn"}
    assert set(STARTS["controller"]) == {"zeros", "drawn"}


def test_every_start_is_what_its_name_says(monkeypatch):
    for kind, level in LEVELS.items():
        assert (started(monkeypatch, memory=kind).memory == level).all()
    for kind in ("zeros", "tiny"):
        state = started(monkeypatch, reads=kind, weightings=kind)
        for part in (state.reads, state.read_weightings, state.write_weightings):
            assert (part == LEVELS[kind]).all()
    state = started(monkeypatch, weightings="one_hot")
    equal([state.read_weightings, state.write_weightings], [np.eye(4)[[0, 0]] + np.zeros((3, 1, 1))] * 2)
    state = started(monkeypatch, weightings="simplex")
    same([state.read_weightings.sum(-1), state.write_weightings.sum(-1)], [np.ones((3, 2))] * 2, 1e-15)
    state = started(monkeypatch, weightings="drawn")
    for part in (state.read_weightings, state.write_weightings):  # two heads, four rows
        assert 0 < part.min() and 0.1 < part.max() < 1 / 6
    one = DNC(2, 2, rows=4, units=3, convention="adnc").initial_state(None, 50)
    assert 1 / 6 < one.write_weightings.max() < 1 / 4


@pytest.mark.parametrize("layers, controller", [(1, "lstm"), (2, "lstm"), (1, "feedforward")])
def test_what_is_given_stands_for_what_the_settings_say(layers, controller):
    dnc = DNC(2, 2, rows=4, width=5, units=3, layers=layers, controller=controller, dtype="float64")
    plain, rng = dnc.initial_state(None, 2), np.random.default_rng(5)
    units = (3,) if layers == 1 else (layers, 3)
    given = {"memory": rng.normal(size=(4, 5)), "read_weightings": rng.dirichlet(np.ones(4), size=4)}
    if controller == "lstm":
        given["cell"] = rng.normal(size=units)
    state = dnc.initial_state(None, 2, **given)
    assert (state.memory == given["memory"]).all() and state.memory.shape == (2, 4, 5)
    assert (state.read_weightings == given["read_weightings"]).all()
    assert (state.usage == plain.usage).all() and (state.reads == plain.reads).all()
    assert len(state.controller) == len(plain.controller)
    for layer, (hidden, cell) in enumerate(state.controller):
        assert (hidden == plain.controller[layer][0]).all()
        assert (cell == given["cell"].reshape(layers, 3)[layer]).all() and cell.shape == (2, 3)
    y, _ = dnc.sequence(dnc.init(rng), state, rng.normal(size=(3, 2, 2)))
    assert np.isfinite(y).all()


def test_what_is_given_to_a_start_and_does_not_fit_is_named():
    dnc = DNC(2, 2, rows=4, width=5, units=3, dtype="float64")
    bare = DNC(2, 2, rows=4, width=5, units=3, controller="feedforward")
    for one, name, array, told in (
        (dnc, "memory", np.zeros((5, 4)), r"DNCStart: memory must be \(4, 5\), got \(5, 4\)"),
        (dnc, "cell", 0.0, r"DNCStart: cell must be \(3,\), got float"),
        (dnc, "controller", np.zeros(3), "DNCStart: controller must be one of memory, usage, link, "),
        (bare, "hidden", np.zeros(3), "DNCStart: hidden must be one of memory, .*, reads, got"),
    ):
        with pytest.raises(ValueError, match=told):
            one.initial_state(None, 1, **{name: array})


def test_a_controller_is_drawn_anew_with_every_generator_and_else_the_same(monkeypatch):
    """As xavier_uniform_ has it of an array (layers, batch, units), which is hidden units and cells there."""
    first, again = (started(monkeypatch, controller="drawn") for _ in range(2))
    drawn = started(monkeypatch, controller="drawn", rng=np.random.default_rng(5))
    equal(list(flat(first)), list(flat(again)))
    for state in (first, drawn):
        for hidden, cell in state.controller:
            assert (hidden == cell).all() and 0 < abs(hidden).max() <= np.sqrt(6 / (5 * 3))
    assert (first.controller[0][0] != drawn.controller[0][0]).any()
    assert (first.controller[0][0] != first.controller[1][0]).any()


def test_to_skip_the_first_update_is_to_start_where_nothing_was_written(monkeypatch):
    """Whatever is freed, and however it was read: no usage after the first step, but at the second."""
    state = started(monkeypatch, weightings="simplex", skip_first_update=True)
    assert (state.usage == 0).all() and (state.write_weightings == 0).all()
    same(state.read_weightings.sum(-1), np.ones((3, 2)), 1e-15)
    params, _ = machine(seed=1, rows=4, width=5, writers=2)
    run = lambda xs, state: dnc_sequence(xs, state, dnc_weights(params))[1]
    xs = drawn_inputs(2, batch=3)
    assert (run(xs[:1], state).usage == 0).all() and (run(xs, state).usage > 0).any()
    updated = started(monkeypatch, weightings="simplex")
    assert (run(xs[:1], updated).usage > 0).all()


def test_what_a_training_starts_from_knows_which_rows_see_the_inputs_and_which_biases_are_of_forget_gates():
    for name in ("smoothed", "pytorch_dnc"):
        made = lambda name=name, **said: DNC(2, 3, units=4, layers=2, convention=name, **said).init(
            np.random.default_rng(0)
        )
        plain, larger, open_ended = made(), made(input_scale=10.0), made(forget_bias=2.5)
        scaled = {
            key: (larger[key] != plain[key]).sum(axis=0).max()
            for key in ("input_weights_1", "input_weights_2")
        }
        assert scaled == {"input_weights_1": 2, "input_weights_2": 2 if name == "smoothed" else 0}
        for layer in (1, 2):
            assert plain[f"bias_{layer}"].tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
            assert open_ended[f"bias_{layer}"].tolist() == [0.0] * 4 + [2.5] * 4 + [0.0] * 8
    with pytest.raises(TypeError, match="DNC: forget_bias must be a number, got None"):
        DNC(2, 3, forget_bias=None)


@pytest.mark.parametrize(
    "settings, error, told",
    [
        ({"memory": "1e-6"}, ValueError, r"DNCStart: memory must be one of \['zeros', 'tiny', 'share'\]"),
        ({"skip_first_update": 1}, TypeError, "DNCStart: skip_first_update must be True or False, got 1"),
    ],
)
def test_other_starts_are_named(settings, error, told):
    with pytest.raises(error, match=told):
        DNCStart(**settings)
