"""What the NTM promises beyond what test_fused_models.py asks of all models: depth, layers, zeros."""

import numpy as np
import pytest
from adjoint import is_the_adjoint, missed

import scratchattn as sa
from gradcheck.subject import distance, random_like
from scratchattn.fused.ntm import drawn, ntm_lstm
from scratchattn.fused.ntm_stack import ntm_lstm_stack
from scratchattn.models import NTM
from scratchattn.nn.named_conventions import NTM_NAMES
from scratchattn.nn.ntm_cell import head_sizes, ntm_shapes, told_heads
from scratchattn.tasks import Copy


def model(**settings):
    return NTM(3, 2, **dict(rows=6, width=4, units=5, dtype="float64") | settings)


def recorded(ntm, params, xs, lengths=None):
    """Outputs of a forward pass, and what pulls a cotangent back to all parameters."""
    leaves = params.tensors()
    outputs, _ = ntm.sequence(leaves, ntm.initial_state(leaves, xs.shape[1]), xs, lengths)
    return outputs, lambda u: sa.pull_back([outputs], [u], list(leaves.values()))


def inputs(t=4, b=2, seed=0):
    return np.random.default_rng(seed).normal(size=(t, b, 3))


@pytest.mark.parametrize("settings", [{}, {"controller": "feedforward"}, {"layers": 2}], ids=str)
def test_the_adjoint_identity_holds_through_a_hundred_steps(settings):
    """The paper's sizes: 128 rows of 20, 100 units; a complex step through all of it."""
    ntm = NTM(9, 8, dtype="float64", **settings)
    params, rng = ntm.init(np.random.default_rng(0)), np.random.default_rng(1)
    xs = rng.normal(size=(100, 2, 9))

    def outputs(*values):
        named = dict(zip(params, values))
        return ntm.sequence(named, ntm.initial_state(named, 2), xs)[0]

    assert missed(outputs, *[params[name] for name in params]) <= 256


def test_of_several_layers_each_sees_the_one_below_and_the_highest_is_shown():
    ntm = model(layers=3)
    params, xs = ntm.init(np.random.default_rng(0)), inputs(t=1)
    state = ntm.initial_state(params, 2)
    hidden, cell = np.random.default_rng(1).normal(size=(2, *state.hidden.shape))
    state = state._replace(hidden=hidden, cell=cell)
    y, new = ntm.step(params, state, xs[0])
    seen, lstm_cell = np.concatenate([xs[0], state.reads.reshape(2, 4)], 1), sa.REGISTRY["lstm_cell"]
    for layer, suffix in enumerate(("", "_2", "_3")):
        own = [params[name + suffix] for name in ("input_weights", "hidden_weights", "bias")]
        seen, cell = lstm_cell(seen, state.hidden[:, layer], state.cell[:, layer], *own)
        assert (new.hidden[:, layer] == seen).all() and (new.cell[:, layer] == cell).all()
    shown = np.concatenate([new.reads.reshape(2, 4), seen], 1)
    assert distance(y, shown @ params["output_weights"] + params["output_bias"]) <= 1e-14
    told = told_heads(xs[0], state, ntm.weights(params))
    raw = seen @ params["head_weights"] + params["head_bias"]
    assert distance(told[0].key.reshape(2, 8), raw[:, :8]) <= 1e-14 and (told[1] == seen).all()


@pytest.mark.parametrize("name", NTM_NAMES)
def test_every_convention_has_two_layers_if_it_is_asked_for_them(name):
    ntm = model(convention=name, layers=2)
    params = ntm.init(np.random.default_rng(0))
    outputs, pull = recorded(ntm, params, inputs())
    for name, gradient in zip(params, pull(np.ones(outputs.shape)), strict=True):
        assert np.isfinite(gradient).all() and (abs(gradient).max() > 0 or "weights" not in name), name


@pytest.mark.parametrize("engine", ["fused", "reference"])
def test_three_layers_have_the_gradients_of_what_they_compute(engine):
    ntm = model(layers=3, read_heads=2, engine=engine)
    params, xs = ntm.init(np.random.default_rng(0)), inputs(t=6)

    def outputs(*values):
        named = dict(zip(params, values))
        return ntm.sequence(named, ntm.initial_state(named, 2), xs, np.array([6, 3]))

    is_the_adjoint(outputs, *[params[name] for name in params])


@pytest.mark.parametrize(
    "engine, of_one, without_layers",
    [
        (
            "reference",
            r"ntm_sequence: cell must be of 2 layers, got shape \(2, 1, 5\)",
            r"ntm_sequence: hidden must have the axes \(b,l,h\)",
        ),
        (
            "fused",
            r"ntm_lstm_stack: l is both 2 and 1 in hidden \(2, 2, 5\), cell \(2, 1, 5\)",
            r"ntm_lstm_stack: hidden must have the axes \(b,l,h\), got shape \(2, 5\)",
        ),
    ],
)
def test_a_state_of_other_layers_is_named(engine, of_one, without_layers):
    ntm = model(layers=2, engine=engine)
    params = ntm.init(np.random.default_rng(0))
    state = ntm.initial_state(params, 2)
    with pytest.raises(ValueError, match=of_one):
        ntm.sequence(params, state._replace(cell=state.cell[:, :1]), inputs())
    with pytest.raises(ValueError, match=without_layers):
        ntm.sequence(params, state._replace(hidden=state.hidden[:, 0]), inputs())


@pytest.mark.parametrize("layers, above, told", [(1, 0, "got 1 and 0"), (3, 1, "got 3 and 1")])
def test_weights_that_are_no_stack_are_named(rng, layers, above, told):
    """One layer, or weights of more or fewer layers than lie above the first."""
    given = dict(zip(ntm_lstm_stack.inputs, drawn(3, rng, "three layers").inputs))
    for name in ("hidden", "cell"):
        given[name] = given[name][:, :layers]
    for name in ("hidden_weights", "bias"):
        given[name] = given[name][:layers]
    given["below_weights"] = given["below_weights"][:above]
    expected = "ntm_lstm_stack: two layers at least, and below_weights of all but one expected, "
    with pytest.raises(ValueError, match=expected + told):
        ntm_lstm_stack(**given)


@pytest.mark.parametrize("sharpness", [-800.0, -40.0, 0.0, 3.0])
def test_rows_that_nothing_moved_to_have_the_gradients_of_the_composition(rng, sharpness):
    """Weightings that are one-hot, gates that are shut and a shift of exactly zero leave exact zeros; at a
    sharpness of exactly one, the first two, such a row still has a slope."""
    width, rows, units, shifts = 2, 5, 3, 3
    weights = {
        n: 0.3 * rng.normal(size=s) for n, s in ntm_shapes(2, 1, units, width, 1, 1, shifts, "lstm").items()
    }
    *_, gate, _, sharp, shift = np.split(
        weights["head_bias"], np.cumsum(head_sizes(width, 1, 1, shifts))[:-1]
    )
    gate[:], sharp[:], shift[:] = -800.0, sharpness, [-800.0, 0.0, -1.0] * 2
    weightings = np.zeros((2, 2, rows))
    weightings[:, 0, 1] = weightings[:, 1, 3] = 1.0
    given = {
        "reads": (2, 1, width),
        "memory": (2, rows, width),
        "hidden": (2, units),
        "cell": (2, units),
        "x": (2, 2, 2),
    }
    given = (
        {name: rng.normal(size=shape) for name, shape in given.items()} | weights | {"weightings": weightings}
    )
    given = [given[name] for name in ntm_lstm.inputs if name != "lengths"]
    found, pull = sa.vjp(lambda *a: tuple(ntm_lstm(*a)), *given)
    expected, pull_expected = sa.vjp(lambda *a: tuple(ntm_lstm.equals(*a)), *given)
    assert (found[3] == 0).any()
    u = random_like(rng, found)
    for a, b in zip([*found, *pull(*u)], [*expected, *pull_expected(*u)], strict=True):
        assert distance(a, b) <= 1e-12


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"controller": "gru"}, "controller must be one of"),
        ({"engine": "fast"}, "engine must be one of"),
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"shifts": 2}, "shifts must be odd, got 2"),
        ({"write_heads": 0}, "write_heads must be at least 1"),
        ({"layers": 2, "controller": "feedforward"}, "layers must be 1 for a feed-forward controller, got 2"),
        (
            {"convention": "pytorch_ntm", "engine": "fused"},
            "the convention pytorch_ntm runs by engine='reference' only, got engine='fused'",
        ),
    ],
)
def test_wrong_settings_are_named(settings, told):
    with pytest.raises(ValueError, match=f"NTM: {told}"):
        model(**settings)


@pytest.mark.parametrize(
    "settings, who",
    [({}, "ntm_lstm"), ({"controller": "feedforward"}, "ntm_feedforward"), ({"layers": 2}, "ntm_lstm_stack")],
)
def test_wrong_shapes_are_named_by_the_op_that_was_called(settings, who):
    ntm = model(**settings)
    params = ntm.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match=f"^{who}: input_weights must have 8 rows, got 7"):
        ntm.sequence(params, ntm.initial_state(params, 2), np.zeros((4, 2, 4)))
    with pytest.raises(TypeError, match="one precision expected"):
        ntm.sequence(params, ntm.initial_state(params, 2), inputs().astype("float32"))


def test_copy_sequences_are_as_in_the_paper():
    task = Copy(bits=3, shortest=2, longest=2)
    batch = task.batch(np.random.default_rng(0), 2)
    assert batch.inputs.shape == (5, 2, 4) and batch.lengths is None
    assert (batch.inputs[2] == [0, 0, 0, 1]).all() and (batch.inputs[3:] == 0).all()
    assert (batch.targets[3:] == batch.inputs[:2, :, :3]).all() and (batch.targets[:3] == 0).all()
    assert batch.asked[:, 0, 0].tolist() == [False, False, False, True, True]


def test_copy_sequences_of_their_own_lengths():
    task = Copy(bits=2, shortest=1, longest=5, together=False)
    batch = task.batch(np.random.default_rng(0), 20)
    assert (batch.asked.sum((0, 2)) * 2 + 1 == batch.lengths).all() and len(set(batch.lengths)) > 1
    perfect = 20.0 * (batch.targets - 0.5)
    assert task.metrics(perfect, batch)["wrong_bits"].sum() == 0
    assert (task.metrics(-perfect, batch)["wrong_bits"] == batch.lengths - 1).all()
