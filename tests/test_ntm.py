"""What the NTM promises beyond equality with its composition: buffers, chunks, lengths, rows, depth."""

import gc

import numpy as np
import pytest
from adjoint import is_the_adjoint

import scratchattn as sa
from gradcheck.numeric import complex_step
from gradcheck.subject import distance, inner, random_like
from scratchattn.fused.ntm import ntm_lstm
from scratchattn.models import NTM
from scratchattn.nn.named_conventions import NTM_NAMES
from scratchattn.nn.ntm_cell import head_sizes, ntm_shapes, told_heads
from scratchattn.tasks import Copy
from scratchattn.training.optimisers import RMSprop

EPS = np.finfo(float).eps


def model(**settings):
    return NTM(3, 2, **dict(rows=6, width=4, units=5, dtype="float64") | settings)


def recorded(ntm, params, xs, lengths=None):
    """Outputs of a forward pass, and what pulls a cotangent back to all parameters."""
    leaves = params.tensors()
    outputs, _ = ntm.sequence(leaves, ntm.initial_state(leaves, xs.shape[1]), xs, lengths)
    return outputs, lambda u: sa.pull_back([outputs], [u], list(leaves.values()))


def inputs(t=4, b=2, seed=0):
    return np.random.default_rng(seed).normal(size=(t, b, 3))


@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_two_forwards_may_precede_their_backwards(controller):
    ntm = model(controller=controller)
    params = ntm.init(np.random.default_rng(0))
    xs, others = inputs(seed=1), inputs(seed=2)
    u = np.random.default_rng(3).normal(size=(4, 2, 2))
    alone = [recorded(ntm, params, each)[1](u) for each in (xs, others)]
    (_, pull_first), (_, pull_second) = recorded(ntm, params, xs), recorded(ntm, params, others)
    for expected, pull in zip(alone, (pull_first, pull_second)):
        assert all((a == b).all() for a, b in zip(expected, pull(u), strict=True))


def test_a_pullback_called_twice_gives_the_same_bits():
    ntm = model()
    outputs, pull = recorded(ntm, ntm.init(np.random.default_rng(0)), inputs())
    u = np.random.default_rng(1).normal(size=outputs.shape)
    first = [g.copy() for g in pull(u)]
    pull(2 * u)
    assert all((a == b).all() for a, b in zip(first, pull(u), strict=True))


def test_a_pullback_after_an_optimiser_step_is_refused():
    ntm = model()
    params = ntm.init(np.random.default_rng(0))
    outputs, pull = recorded(ntm, params, inputs())
    u = np.ones(outputs.shape)
    gradient = sa.Params(params.shapes, np.concatenate([g.ravel() for g in pull(u)]))
    RMSprop(params).step(gradient)
    with pytest.raises(RuntimeError, match=r"overwritten 1 time\(s\) since the forward pass was recorded"):
        pull(u)


def test_outputs_outlive_their_recording():
    ntm = model()
    params = ntm.init(np.random.default_rng(0))
    leaves = params.tensors()
    outputs, state = ntm.sequence(leaves, ntm.initial_state(leaves, 2), inputs())
    kept = [outputs.data, *[a.data for a in state]]
    before = [a.copy() for a in kept]
    del outputs, state, leaves
    gc.collect()
    for seed in range(3):
        _, pull = recorded(ntm, params, inputs(seed=seed + 5))
        pull(np.ones((4, 2, 2)))
    assert all((a == b).all() for a, b in zip(kept, before))


def test_gradients_outlive_the_next_pullback():
    ntm = model()
    params = ntm.init(np.random.default_rng(0))
    _, pull = recorded(ntm, params, inputs())
    first = pull(np.ones((4, 2, 2)))
    before = [g.copy() for g in first]
    pull(np.full((4, 2, 2), 7.0))
    recorded(ntm, params, inputs(seed=9))[1](np.ones((4, 2, 2)))
    assert all((a == b).all() for a, b in zip(first, before))


@pytest.mark.parametrize("engine, tolerance", [("fused", 1e-12), ("reference", 0.0)])
@pytest.mark.parametrize("controller", [{}, {"controller": "feedforward"}, {"layers": 2}])
def test_chunks_equal_the_whole(engine, tolerance, controller):
    engine = "auto" if "layers" in controller else engine
    ntm = model(engine=engine, **controller, read_heads=2, write_heads=2)
    params, xs = ntm.init(np.random.default_rng(0)), inputs(t=7)
    whole, last = ntm.sequence(params, ntm.initial_state(params, 2), xs)
    state, parts = ntm.initial_state(params, 2), []
    for chunk in (xs[:3], xs[3:3], xs[3:]):
        part, state = ntm.sequence(params, state, chunk)
        parts.append(part)
    for a, b in zip([np.concatenate(parts), *state], [whole, *last], strict=True):
        assert a is b is None or distance(a, b) <= tolerance


def test_float32_chunks_equal_the_whole_to_its_precision():
    ntm = model(dtype="float32")
    params, xs = ntm.init(np.random.default_rng(0)), inputs(t=7).astype("float32")
    whole, _ = ntm.sequence(params, ntm.initial_state(params, 2), xs)
    first, state = ntm.sequence(params, ntm.initial_state(params, 2), xs[:4])
    second, _ = ntm.sequence(params, state, xs[4:])
    assert distance(np.concatenate([first, second]), whole) <= 1e-5


@pytest.mark.parametrize("settings", [{"engine": "fused"}, {"engine": "reference"}, {"layers": 2}])
def test_a_sequence_in_a_batch_is_the_sequence_alone_and_padding_is_never_read(settings):
    ntm = model(**settings)
    params, xs, lengths = ntm.init(np.random.default_rng(0)), inputs(t=5, b=3), np.array([5, 2, 0])
    for j, n in enumerate(lengths):
        xs[n:, j] = np.nan
    outputs, pull = recorded(ntm, params, xs, lengths)
    state = ntm.sequence(params, ntm.initial_state(params, 3), xs, lengths)[1]
    u = np.random.default_rng(1).normal(size=outputs.shape)
    total = [0.0 for _ in params]
    for j, n in enumerate(lengths):
        alone, pull_alone = recorded(ntm, params, xs[:n, j : j + 1])
        last = ntm.sequence(params, ntm.initial_state(params, 1), xs[:n, j : j + 1])[1]
        assert distance(outputs.data[:n, j : j + 1], alone.data) <= 1e-12 if n else True
        assert (outputs.data[n:, j] == 0).all()
        for a, b in zip(state, last, strict=True):
            assert distance(a[j : j + 1], b) <= 1e-12
        total = [a + b for a, b in zip(total, pull_alone(u[:n, j : j + 1]))]
    for a, b in zip(pull(u), total, strict=True):
        assert distance(a, b) <= 1e-12


@pytest.mark.parametrize(
    "settings", [{}, {"controller": "feedforward"}, {"read_heads": 2, "write_heads": 3, "shifts": 5}]
)
def test_both_engines_agree_through_the_model(settings):
    fused, reference = model(**settings), model(**settings, engine="reference")
    params, xs = fused.init(np.random.default_rng(0)), inputs()
    (a, pull_a), (b, pull_b) = recorded(fused, params, xs), recorded(reference, params, xs)
    u = np.random.default_rng(1).normal(size=a.shape)
    assert distance(a.data, b.data) <= 1e-12
    for name, x, y in zip(params, pull_a(u), pull_b(u), strict=True):
        assert distance(x, y) <= 1e-12, name


def test_a_step_is_a_sequence_of_one():
    ntm = model()
    params, xs = ntm.init(np.random.default_rng(0)), inputs(t=1)
    y, state = ntm.step(params, ntm.initial_state(params, 2), xs[0])
    ys, last = ntm.sequence(params, ntm.initial_state(params, 2), xs)
    assert distance(y, ys[0]) <= 1e-12
    assert all(distance(a, b) <= 1e-12 for a, b in zip(state, last, strict=True))


@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_the_adjoint_identity_holds_through_a_hundred_steps(controller):
    """The paper's sizes: 128 rows of 20, 100 units; a complex step through all of it."""
    ntm = NTM(9, 8, dtype="float64", controller=controller)
    params, rng = ntm.init(np.random.default_rng(0)), np.random.default_rng(1)
    xs = rng.normal(size=(100, 2, 9))

    def outputs(*values):
        named = dict(zip(params, values))
        return (ntm.sequence(named, ntm.initial_state(named, 2), xs)[0],)

    values = [params[name] for name in params]
    (y,), pullback = sa.vjp(outputs, *values)
    u, v = random_like(rng, [y]), random_like(rng, values)
    grads, pushed = pullback(*u), complex_step(outputs, values, v)
    assert abs(inner(u, pushed) - inner(grads, v)) <= 256 * EPS * inner(map(abs, grads), map(abs, v))


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


def test_three_layers_have_the_gradients_of_what_they_compute():
    ntm = model(layers=3, read_heads=2)
    params, xs = ntm.init(np.random.default_rng(0)), inputs(t=6)

    def outputs(*values):
        named = dict(zip(params, values))
        return ntm.sequence(named, ntm.initial_state(named, 2), xs, np.array([6, 3]))

    is_the_adjoint(outputs, *[params[name] for name in params])


def test_a_state_of_other_layers_is_named():
    ntm = model(layers=2)
    params = ntm.init(np.random.default_rng(0))
    state = ntm.initial_state(params, 2)
    with pytest.raises(ValueError, match=r"ntm: cell must be of 2 layers, got shape \(2, 1, 5\)"):
        ntm.sequence(params, state._replace(cell=state.cell[:, :1]), inputs())
    with pytest.raises(ValueError, match=r"ntm_sequence: hidden must have the axes \(b,l,h\)"):
        ntm.sequence(params, state._replace(hidden=state.hidden[:, 0]), inputs())


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


def test_no_steps_give_back_the_state():
    ntm = model()
    params = ntm.init(np.random.default_rng(0))
    outputs, pull = recorded(ntm, params, inputs(t=0))
    assert outputs.shape == (0, 2, 2)
    assert not any(abs(g).sum() for g in pull(np.zeros((0, 2, 2))))


@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_an_empty_batch_gives_empty_outputs_and_zero_gradients(controller):
    ntm = model(controller=controller)
    outputs, pull = recorded(ntm, ntm.init(np.random.default_rng(0)), inputs(b=0))
    assert outputs.shape == (4, 0, 2)
    assert not any(abs(g).sum() for g in pull(np.zeros((4, 0, 2))))


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"controller": "gru"}, "controller must be one of"),
        ({"engine": "fast"}, "engine must be one of"),
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"shifts": 2}, "shifts must be odd, got 2"),
        ({"write_heads": 0}, "write_heads must be at least 1"),
        ({"layers": 2, "controller": "feedforward"}, "layers must be 1 for a feed-forward controller, got 2"),
        ({"layers": 2, "engine": "fused"}, r"2 layer\(s\) and .* by engine='reference' only"),
    ],
)
def test_wrong_settings_are_named(settings, told):
    with pytest.raises(ValueError, match=f"NTM: {told}"):
        model(**settings)


def test_wrong_shapes_are_named():
    ntm = model()
    params = ntm.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match="ntm: input_weights must have 8 rows, got 7"):
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
