"""What the DNC promises beyond what test_fused_models.py asks of all models: depth, dropout, training."""

import numpy as np
import pytest
from adjoint import flat, missed

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn.fused.dnc import runs
from scratchattn.models import DNC
from scratchattn.nn.dnc_cell import dnc_shapes, dnc_start
from scratchattn.nn.dnc_controller import over_layers
from scratchattn.nn.dnc_convention import DNCConvention
from scratchattn.nn.named_conventions import DNC_NAMES
from scratchattn.tasks import Copy
from scratchattn.training import Settings
from scratchattn.training.step import update


def model(**settings):
    return DNC(3, 2, **dict(rows=5, width=4, units=5, read_heads=2, dtype="float64") | settings)


def recorded(dnc, params, xs, lengths=None):
    """Outputs of a forward pass, and what pulls a cotangent back to all parameters."""
    leaves = params.tensors()
    outputs, _ = dnc.sequence(leaves, dnc.initial_state(leaves, xs.shape[1]), xs, lengths)
    return outputs, lambda u: sa.pull_back([outputs], [u], list(leaves.values()))


NOT_FUSED = {"paper_sparse"}
FUSED = [name for name in DNC_NAMES if name not in NOT_FUSED]


def inputs(t=4, b=2, seed=0):
    return np.random.default_rng(seed).normal(size=(t, b, 3))


def arguments(dnc, params, xs):
    """What the fused op is called with."""
    *state, units = dnc.initial_state(params, xs.shape[1])
    w = dnc.weights(params)
    return xs, *state, *units[0], *w.controller[0], *w[1:]


@pytest.mark.parametrize(
    "settings",
    [
        {"controller": "feedforward", "convention": "csordas"},
        {"layers": 3, "biases": False},
        {"layers": 2, "write_heads": 4, "convention": "csordas"},
        {"controller": "feedforward", "write_heads": 3, "biases": False},
        *({"convention": name, "write_heads": heads} for name in FUSED for heads in (1, 2)),
        *({"convention": name, "layers": 2} for name in FUSED),
    ],
    ids=str,
)
def test_both_engines_agree_through_the_model(settings):
    fused, reference = model(**settings), model(**settings, engine="reference")
    assert fused.engine == "fused"
    params, xs = fused.init(np.random.default_rng(0)), inputs()
    (a, pull_a), (b, pull_b) = recorded(fused, params, xs), recorded(reference, params, xs)
    u = np.random.default_rng(1).normal(size=a.shape)
    assert distance(a.data, b.data) <= 1e-12
    for name, x, y in zip(params, pull_a(u), pull_b(u), strict=True):
        assert distance(x, y) <= 1e-12, name


@pytest.mark.parametrize("settings", [{}, {"controller": "feedforward"}, {"layers": 2}, {"biases": False}])
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_dropout_hides_units_from_the_outputs_alone_and_takes_inputs_away(settings, engine):
    """What is expected is put together from runs without dropout, in which the same was zero."""
    dnc = model(**settings, engine=engine, bypass_dropout=0.4, word_dropout=0.5)
    params, xs, lengths = dnc.init(np.random.default_rng(0)), inputs(t=6), np.array([6, 4])
    start = dnc.initial_state(params, 2)
    found, last = dnc.sequence(params, start, xs, lengths, rng=np.random.default_rng(7))
    rng = np.random.default_rng(7)
    xs = np.where(rng.random((6, 2, 1)) >= 0.5, xs, 0.0)
    keep = rng.random((6, 2, 5 * dnc.layers)) >= 0.4
    whole, expected = dnc.sequence(params, start, xs, lengths)
    assert all((a == b).all() for a, b in zip(flat(last), flat(expected), strict=True))
    hidden, weights = [], params["output_weights"] + 0
    for unit in range(5 * dnc.layers):  # what each unit adds to the outputs: without it, they are less by it
        with params.overwriting():
            params["output_weights"][...] = np.where(np.arange(len(weights))[:, None] == unit, 0.0, weights)
        hidden.append(whole - dnc.sequence(params, start, xs, lengths)[0])
    shown = np.stack(hidden, axis=2)  # (t, b, units, o)
    assert distance(found, whole - shown.sum(axis=2) + (shown * keep[..., None] / 0.6).sum(axis=2)) <= 1e-12


def test_both_engines_drop_the_same_and_none_drops_without_a_generator():
    settings = {"bypass_dropout": 0.3, "word_dropout": 0.2}
    plain, fused, reference = model(), model(**settings), model(**settings, engine="reference")
    params, xs = plain.init(np.random.default_rng(0)), inputs()
    start = plain.initial_state(params, 2)
    found = [m.sequence(params, start, xs, rng=np.random.default_rng(1))[0] for m in (fused, reference)]
    assert distance(*found) <= 1e-12
    assert (fused.sequence(params, start, xs)[0] == plain.sequence(params, start, xs)[0]).all()
    assert distance(found[0], plain.sequence(params, start, xs)[0]) > 1e-3
    assert fused.random and reference.random and not plain.random


@pytest.mark.parametrize(
    "kind", [{}, {"controller": "feedforward"}, {"layers": 2}, {"write_heads": 3}], ids=str
)
def test_the_adjoint_identity_holds_through_forty_steps(kind):
    """A complex step through all of it, from a memory whose rows are told apart."""
    dnc = DNC(9, 8, rows=16, width=8, units=32, dtype="float64", **kind)
    params, rng = dnc.init(np.random.default_rng(0)), np.random.default_rng(1)
    xs, state = rng.normal(size=(40, 2, 9)), dnc.initial_state(params, 2)
    state = state._replace(
        memory=rng.normal(size=state.memory.shape), usage=rng.uniform(size=state.usage.shape)
    )

    def outputs(*values):
        return dnc.sequence(dict(zip(params, values)), state, xs)[0]

    assert missed(outputs, *[params[name] for name in params]) <= 256


@pytest.mark.parametrize("seed", [5, 11, 20, 61, 87, 95, 245])
def test_heads_that_are_sure_keep_the_digits_of_their_slopes(seed):
    """Weights so large that read modes and look-ups are all but one-hot.

    At these seeds, of the first three hundred, a weighted mean that is taken off once is wrong by 2e-11 to
    6e-7.
    """
    rng = np.random.default_rng(seed)
    width, rows, readers = int(rng.integers(1, 4)), int(rng.integers(2, 6)), int(rng.integers(1, 3))
    size = rng.choice([8, 16, 30])
    shapes = dnc_shapes(2, 1, 3, 1, width, readers, biases=True)
    *weights, interface_bias, output_bias = (size * rng.normal(size=shape) for shape in shapes.values())
    on_rows = [0.9 * rng.dirichlet(np.ones(rows), size=(1, heads)) for heads in (1, 1, readers)]
    link = 0.9 * rng.dirichlet(np.ones(rows), size=(1, 1, rows)) * (1 - np.eye(rows)) / rows
    state = [rng.normal(size=(1, rows, width)), rng.uniform(size=(1, rows)), link, *on_rows]
    state += [rng.normal(size=(1, readers, width)), *rng.normal(size=(2, 1, 3))]
    given = [rng.normal(size=(2, 1, 2)), *state, *weights]
    op = sa.REGISTRY["dnc_lstm"]
    found = []
    for function in (op, op.equals):
        out, pull = sa.vjp(lambda b, f=function: tuple(f(*given, b, output_bias)), interface_bias)
        u = [np.random.default_rng(seed).normal(size=y.shape) for y in out]
        u = [u[0], *[0 * a for a in u[1:]]] if seed % 2 else u
        found.append(pull(*u)[0])
    assert distance(*found) <= 1e-12


@pytest.mark.parametrize("name", DNC_NAMES)
def test_every_convention_that_has_a_dnc_runs_and_learns(name):
    dnc = model(convention=name)
    params = dnc.init(np.random.default_rng(0))
    outputs, pull = recorded(dnc, params, inputs())
    grads = pull(np.ones(outputs.shape))
    assert all(np.isfinite(g).all() and abs(g).max() > 0 for g in grads)


def test_it_learns_the_copy_task_a_little():
    task = Copy(bits=2, shortest=1, longest=3)
    dnc = DNC(task.inputs, task.outputs, rows=6, width=4, units=8, read_heads=1, biases=False)
    params, rng = dnc.init(np.random.default_rng(0)), np.random.default_rng(1)
    settings = Settings(learning_rate=3e-3)
    optimiser = settings.make_optimiser(params)
    losses = [update(dnc, task, params, optimiser, task.batch(rng, 8), settings)[0] for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"controller": "gru"}, "controller must be one of"),
        ({"engine": "fast"}, "engine must be one of"),
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"write_heads": 0}, "write_heads must be at least 1"),
        ({"convention": "pytorch_ntm"}, "convention must be one of"),
        ({"controller": "feedforward", "layers": 2}, "layers must be 1 for a feed-forward controller, got 2"),
        (
            {"engine": "fused", "convention": "paper_sparse"},
            "the convention paper_sparse runs by engine='ref",
        ),
    ],
)
def test_wrong_settings_are_named(settings, told):
    with pytest.raises(ValueError, match=f"DNC: {told}"):
        model(**settings)


def test_a_convention_is_fused_unless_it_is_one_of_these():
    engines = {name: DNC(2, 2, layers=2, convention=name).engine for name in DNC_NAMES}
    assert {name for name, engine in engines.items() if engine == "reference"} == NOT_FUSED


@pytest.mark.parametrize("name", ["adnc", "mostafa_samir"])
def test_gradients_divided_by_a_usage_of_nothing_are_no_numbers_in_either_engine(name):
    found = []
    for engine in ("fused", "reference"):
        dnc = model(convention=name, write_heads=2, engine=engine)
        params = dnc.init(np.random.default_rng(0))
        leaves = params.tensors()
        nothing_written = dnc.initial_state(leaves, 2, write_weightings=np.zeros((2, 5)))
        y, _ = dnc.sequence(leaves, nothing_written, inputs())
        with np.errstate(invalid="ignore"):
            found.append([y.data, *sa.pull_back([y], [np.ones(y.shape)], list(leaves.values()))])
    assert any(np.isnan(b).any() for b in found[1]) and np.isfinite(found[1][0]).all()
    for a, b in zip(*found, strict=True):
        assert (np.isnan(a) == np.isnan(b)).all() and distance(np.nan_to_num(a), np.nan_to_num(b)) <= 1e-12


@pytest.mark.parametrize("name", ["clip_controller", "clip_state"])
def test_bounds_that_hidden_units_reach_are_not_followed(name):
    dnc = model()
    params = dnc.init(np.random.default_rng(0))
    given = arguments(dnc, params, inputs())
    told = f"dnc_lstm: {name} must be 0 or at least 1, which no hidden unit exceeds, got 0.5"
    with pytest.raises(ValueError, match=told):
        sa.REGISTRY["dnc_lstm"](*given, **{name: 0.5})
    assert runs(DNCConvention(**{name: 1.0})) and not runs(DNCConvention(**{name: 0.5}))


@pytest.mark.parametrize(
    "settings, who",
    [({}, "dnc_lstm"), ({"controller": "feedforward"}, "dnc_feedforward"), ({"layers": 2}, "dnc_lstm_stack")],
)
def test_the_op_that_was_called_is_named(settings, who):
    dnc = model(**settings)
    params = dnc.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match=f"^{who}: input_weights must have 12 rows, got 11"):
        dnc.sequence(params, dnc.initial_state(params, 2), np.zeros((4, 2, 4)))


def test_wrong_shapes_are_named():
    dnc = model()
    params = dnc.init(np.random.default_rng(0))
    state = dnc.initial_state(params, 2)
    with pytest.raises(TypeError, match="one precision expected"):
        dnc.sequence(params, state, inputs().astype("float32"))
    xs, *rest = arguments(dnc, params, inputs())
    narrow = [*rest[:12], rest[12][:, :-1], *rest[13:15]]
    with pytest.raises(ValueError, match="dnc_lstm: interface_weights must have 33 columns, got 32"):
        sa.REGISTRY["dnc_lstm"](xs, *narrow)
    for heads, told in (
        (2, "interface_weights must have 52 columns, got 33"),
        (0, ".* expected, got 0, 2 and 5"),
    ):
        rest[2:5] = dnc_start(2, 5, 4, 2, heads)[2:5]
        with pytest.raises(ValueError, match=f"dnc_lstm: {told}"):
            sa.REGISTRY["dnc_lstm"](xs, *rest)


@pytest.mark.parametrize(
    "convention, told",
    [
        ({"input_skips": False}, "input_weights must be of 1 layers, got 2"),
        ({"shown_layers": "top"}, "interface_weights must have 5 rows, got 10"),
    ],
)
def test_a_stack_in_another_wiring_than_its_weights_is_named(convention, told):
    dnc = model(layers=2)
    w = dnc.weights(dnc.init(np.random.default_rng(0)))
    *state, units = dnc.initial_state(None, 2)
    given = (*state, *(np.stack(parts) for parts in zip(*units)), *over_layers(w.controller, 11), *w[1:])
    with pytest.raises(ValueError, match=f"dnc_lstm_stack: {told}"):
        sa.REGISTRY["dnc_lstm_stack"](inputs(), *given, **convention)
