"""What all models through time promise beyond the equality of ops: buffers, chunks, lengths, engines."""

import gc

import numpy as np
import pytest
from adjoint import flat

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn import buffers
from scratchattn.models import DNC, NTM, RNN
from scratchattn.nn.ntm_cell import head_sizes
from scratchattn.training import RMSprop

FUSED = [op for op in sa.REGISTRY.values() if op.forward.__module__.startswith("scratchattn.fused.")]
ops = pytest.mark.parametrize("op", FUSED, ids=lambda op: op.name)


def example(op):
    """The inputs of a case with several steps and sequences, so that the order of axes shows."""
    found = [case.inputs for case in op.cases(np.random.default_rng(0)) if min(case.inputs[0].shape[:2]) > 1]
    return max(found, key=lambda inputs: inputs[0].size)


def turned(array):
    """The same numbers, the first axis contiguous."""
    return None if array is None else array.T.copy().T


def leased(monkeypatch):
    """A pool of its own for this test, and the buffers that are ever made in it."""
    made, pool = [], buffers.Pool()
    monkeypatch.setattr(buffers, "POOL", pool)
    original = pool.lease
    pool.lease = lambda key, build, room: original(key, lambda: made.append(build()) or made[-1], room)
    return made


def both_ways(op, inputs, params=()):
    """Outputs and gradients."""
    out, saved = op.forward(*inputs, **dict(params))
    return [*out, *op.backward(saved, tuple(np.ones_like(y) for y in out))]


@ops
def test_buffers_are_made_once_per_shape(op, monkeypatch):
    made = leased(monkeypatch)
    for _ in range(3):
        both_ways(op, example(op))
    assert len(made) == 2  # those of the forward, those of the backward


@ops
def test_nothing_that_an_op_returns_is_leased_memory(op):
    inputs = example(op)
    kept = [a for a in both_ways(op, inputs) if a is not None]
    before = [a.copy() for a in kept]
    both_ways(op, [0.5 * a if a is not None and a.dtype.kind == "f" else a for a in inputs])
    assert all((a == b).all() for a, b in zip(kept, before, strict=True))


def of_steps(op, inputs, steps):
    """The same inputs with so many steps, over and over."""
    changed = list(inputs)
    for i, (argument, a) in enumerate(zip(op._signature.inputs, inputs)):
        if a is not None and argument.name == "lengths":
            changed[i] = a.clip(0, steps)
        elif a is not None and str(argument.axes[0]) == "t":
            changed[i] = a[np.arange(steps) % len(a)]
    assert len(changed[0]) == steps
    return changed


@ops
def test_sequences_of_all_lengths_share_the_buffers_of_the_longest(op, monkeypatch):
    for case in (each for each in op.cases(np.random.default_rng(0)) if len(each.inputs[0])):
        expected = {}
        for steps in (0, 1, 4, 9):  # each in buffers of its own
            leased(monkeypatch)
            expected[steps] = both_ways(op, of_steps(op, case.inputs, steps), case.params)
        made = leased(monkeypatch)
        for steps in (9, 4, 1, 0, 4, 9):
            found = both_ways(op, of_steps(op, case.inputs, steps), case.params)
            assert all(a is b is None or (a == b).all() for a, b in zip(found, expected[steps], strict=True))
        assert len(made) == 2, case.label


@ops
def test_the_layout_of_the_inputs_is_not_that_of_the_buffers(op, monkeypatch):
    """Or the next sequences of that shape would have other last bits."""
    inputs = example(op)
    expected = both_ways(op, inputs)
    made = leased(monkeypatch)
    both_ways(op, [turned(a) for a in inputs])
    found = both_ways(op, inputs)
    owned = [a for b, _ in made for a in vars(b).values() if isinstance(a, np.ndarray) and a.base is None]
    assert len(made) == 2 and owned and all(a.flags.c_contiguous for a in owned)
    assert all(a is b is None or (a == b).all() for a, b in zip(found, expected, strict=True))


# ---- whole models -----------------------------------------------------------

SMALL_NTM = dict(rows=6, width=4, units=5)
SMALL_DNC = dict(rows=5, width=4, units=5, read_heads=2)
SMALL_RNN = dict(units=4, layers=2)
MODELS = {
    "ntm": (NTM, SMALL_NTM),
    "ntm, a tanh layer": (NTM, SMALL_NTM | {"controller": "feedforward"}),
    "ntm, several heads": (NTM, SMALL_NTM | {"read_heads": 2, "write_heads": 3, "shifts": 5}),
    "ntm, two layers": (NTM, SMALL_NTM | {"layers": 2}),
    "dnc": (DNC, SMALL_DNC),
    "dnc, a tanh layer": (DNC, SMALL_DNC | {"controller": "feedforward"}),
    "dnc, three layers": (DNC, SMALL_DNC | {"layers": 3}),
    "dnc, no biases": (DNC, SMALL_DNC | {"read_heads": 4, "rows": 9, "biases": False}),
    "dnc, csordas": (DNC, SMALL_DNC | {"convention": "csordas"}),
    "dnc, two write heads": (DNC, SMALL_DNC | {"write_heads": 2}),
    "dnc, csordas, three write heads": (DNC, SMALL_DNC | {"write_heads": 3, "convention": "csordas"}),
    "dnc, deepmind_dnc": (DNC, SMALL_DNC | {"convention": "deepmind_dnc", "write_heads": 2}),
    "dnc, deepmind_dnc, two layers": (DNC, SMALL_DNC | {"convention": "deepmind_dnc", "layers": 2}),
    "dnc, pytorch_dnc, two layers": (DNC, SMALL_DNC | {"convention": "pytorch_dnc", "layers": 2}),
    "dnc, pytorch_dnc, a tanh layer": (
        DNC,
        SMALL_DNC | {"convention": "pytorch_dnc", "controller": "feedforward"},
    ),
    "dnc, jingweiz": (DNC, SMALL_DNC | {"convention": "jingweiz", "write_heads": 2}),
    "dnc, mostafa_samir": (DNC, SMALL_DNC | {"convention": "mostafa_samir"}),
    "dnc, adnc": (DNC, SMALL_DNC | {"convention": "adnc", "write_heads": 2, "biases": False}),
    "tanh": (RNN, SMALL_RNN | {"cell": "tanh"}),
    "lstm": (RNN, SMALL_RNN),
    "gru": (RNN, SMALL_RNN | {"cell": "gru"}),
    "tanh, both directions": (RNN, SMALL_RNN | {"cell": "tanh", "both_directions": True}),
    "lstm, both directions": (RNN, SMALL_RNN | {"both_directions": True}),
    "gru, both directions": (RNN, SMALL_RNN | {"cell": "gru", "both_directions": True}),
}


def model(name, **settings):
    kind, own = MODELS[name]
    return kind(3, 2, **{"dtype": "float64"} | own | settings)


ENGINES = [(name, "reference") for name in MODELS]
ENGINES += [(name, "fused") for name in MODELS if model(name).engine == "fused"]
STEPPED = [(name, engine) for name, engine in ENGINES if "directions" not in name]
DRAWN = "pytorch_dnc", "adnc"  # starts that are drawn: those of a batch are not those of one sequence
STARTED_ALIKE = [(name, engine) for name, engine in ENGINES if not any(drawn in name for drawn in DRAWN)]
models = pytest.mark.parametrize("name", [name for name, engine in ENGINES if engine == "fused"])
started_alike = pytest.mark.parametrize("name, engine", STARTED_ALIKE)
stepped = pytest.mark.parametrize("name, engine", STEPPED)


def drawn(model, t=4, b=2, seed=0):
    """Parameters and inputs."""
    xs = np.random.default_rng(seed).normal(size=(t, b, 3))
    return model.init(np.random.default_rng(0)), xs.astype(model.dtype)


def recorded(model, params, xs, lengths=None):
    """Outputs and state of a forward pass, and what pulls a cotangent back to all parameters."""
    leaves = params.tensors()
    outputs, state = model.sequence(leaves, model.initial_state(leaves, xs.shape[1]), xs, lengths)
    return outputs, state, lambda u: sa.pull_back([outputs], [u], list(leaves.values()))


def tolerance(engine):
    return 0.0 if engine == "reference" else 1e-12


@models
def test_two_forwards_may_precede_their_backwards_and_a_pullback_be_called_twice(name):
    fused = model(name)
    params, xs = drawn(fused)
    u = np.random.default_rng(3).normal(size=(4, 2, 2))
    alone = [recorded(fused, params, each)[2](u) for each in (xs, 2 * xs)]
    (*_, pull_first), (*_, pull_second) = recorded(fused, params, xs), recorded(fused, params, 2 * xs)
    pull_first(2 * u)
    for expected, pull in zip(alone, (pull_first, pull_second)):
        assert all((a == b).all() for a, b in zip(expected, pull(u), strict=True))


@models
def test_a_pullback_after_an_optimiser_step_is_refused(name):
    fused = model(name)
    params, xs = drawn(fused)
    outputs, _, pull = recorded(fused, params, xs)
    u = np.ones(outputs.shape)
    RMSprop(params).step(sa.Params(params.shapes, np.concatenate([g.ravel() for g in pull(u)])))
    with pytest.raises(RuntimeError, match=r"overwritten 1 time\(s\) since the forward pass was recorded"):
        pull(u)


@models
def test_outputs_state_and_gradients_outlive_their_recording(name):
    fused = model(name)
    params, xs = drawn(fused)
    outputs, state, pull = recorded(fused, params, xs)
    kept = [a.data for a in flat((outputs, state))] + pull(np.ones(outputs.shape))
    before = [a.copy() for a in kept]
    pull(np.full(outputs.shape, 7.0))
    del outputs, state, pull
    gc.collect()
    for seed in range(3):
        *_, pull = recorded(fused, params, drawn(fused, seed=seed + 5)[1])
        pull(np.full((4, 2, 2), 7.0))
    assert all((a == b).all() for a, b in zip(kept, before, strict=True))


@stepped
def test_chunks_equal_the_whole_and_a_step_is_a_sequence_of_one(name, engine):
    one = model(name, engine=engine)
    params, xs = drawn(one, t=7)
    whole = flat(one.sequence(params, one.initial_state(params, 2), xs))
    state, parts = one.initial_state(params, 2), []
    for chunk in (xs[:3], xs[3:3], xs[3:]):
        part, state = one.sequence(params, state, chunk)
        parts.append(part)
    stepped, steps = one.initial_state(params, 2), []
    for x in xs:
        y, stepped = one.step(params, stepped, x)
        steps.append(y)
    for a, b in zip(flat((np.concatenate(parts), state)), whole, strict=True):
        assert distance(a, b) <= tolerance(engine)
    for a, b in zip(flat((np.stack(steps), stepped)), whole, strict=True):
        assert distance(a, b) <= 1e-12


@stepped
def test_float32_chunks_equal_the_whole_to_its_precision(name, engine):
    one = model(name, engine=engine, dtype="float32")
    params, xs = drawn(one, t=7)
    whole, _ = one.sequence(params, one.initial_state(params, 2), xs)
    first, state = one.sequence(params, one.initial_state(params, 2), xs[:4])
    second, _ = one.sequence(params, state, xs[4:])
    assert whole.dtype == np.float32
    assert distance(np.concatenate([first, second]), whole) <= 1e-5


@started_alike
def test_a_sequence_in_a_batch_is_the_sequence_alone_and_padding_is_never_read(name, engine):
    one, lengths = model(name, engine=engine), np.array([5, 2, 0])
    params, xs = drawn(one, t=5, b=3)
    for j, n in enumerate(lengths):
        xs[n:, j] = np.nan
    outputs, state, pull = recorded(one, params, xs, lengths)
    u = np.random.default_rng(1).normal(size=outputs.shape)
    total = [0.0 for _ in params]
    for j, n in enumerate(lengths):
        alone, last, pull_alone = recorded(one, params, xs[:n, j : j + 1])
        assert n == 0 or distance(outputs.data[:n, j : j + 1], alone.data) <= 1e-12
        assert (outputs.data[n:, j] == 0).all()
        for a, b in zip(flat(state), flat(last), strict=True):
            a, b = a.data[j : j + 1], b.data
            assert (a == b).all() if n == 0 else distance(a, b) <= 1e-12
        total = [a + b for a, b in zip(total, pull_alone(u[:n, j : j + 1]))]
    for a, b in zip(pull(u), total, strict=True):
        assert distance(a, b) <= 1e-12


@models
def test_both_engines_agree_through_the_model(name):
    fused, reference = model(name, engine="fused"), model(name, engine="reference")
    params, xs = drawn(fused)
    (a, state, pull_a), (b, expected, pull_b) = recorded(fused, params, xs), recorded(reference, params, xs)
    u = np.random.default_rng(1).normal(size=a.shape)
    for x, y in zip(flat((a, state)), flat((b, expected)), strict=True):
        assert distance(x.data, y.data) <= 1e-12
    for which, x, y in zip(params, pull_a(u), pull_b(u), strict=True):
        assert distance(x, y) <= 1e-12, which


@models
@pytest.mark.parametrize("t, b", [(0, 2), (4, 0)])
def test_no_steps_and_an_empty_batch_give_empty_outputs_and_zero_gradients(name, t, b):
    fused = model(name)
    params, xs = drawn(fused, t=t, b=b)
    outputs, state, pull = recorded(fused, params, xs)
    assert outputs.shape == (t, b, 2)
    start = flat(fused.initial_state(params, b))
    assert all((x.data == y).all() for x, y in zip(flat(state), start, strict=True))
    assert not any(abs(g).sum() for g in pull(np.zeros((t, b, 2))))


@pytest.mark.parametrize(
    "name", ["ntm", "ntm, several heads", "dnc", "dnc, csordas", "dnc, two write heads", "lstm", "gru"]
)
def test_weights_near_the_largest_number_give_what_the_reference_gives(name):
    """In float32: twice such weights would not be finite, and their sums just are."""
    fused, reference = (model(name, engine=e, dtype="float32", layers=1) for e in ("fused", "reference"))
    params, xs = drawn(fused)
    rng = np.random.default_rng(1)
    for which in params:
        if which.startswith(("input_weights", "hidden_weights")):
            shape = params[which].shape
            params[which][...] = rng.choice([-1, 1], size=shape) * rng.uniform(2e38, 3e38, size=shape)
    with np.errstate(all="ignore"):
        (a, _, pull_a), (b, _, pull_b) = (recorded(m, params, xs / 100) for m in (fused, reference))
        found, expected = ([y.data, *pull(np.ones_like(y.data))] for y, pull in ((a, pull_a), (b, pull_b)))
    assert all(np.isfinite(x).all() for x in expected)
    assert all(distance(x, y) <= 1e-5 for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("ntm")])
@pytest.mark.parametrize("size", [1e10, 1e15, 1e18])
def test_long_keys_and_long_rows_have_the_cosines_of_the_reference(name, size):
    """In float32 their products are far beyond the largest number; their squares are not."""
    fused, reference = (model(name, engine=engine, dtype="float32") for engine in ("fused", "reference"))
    params, xs = drawn(fused)
    sizes = head_sizes(fused.width, fused.read_heads, fused.write_heads, fused.shifts)
    params["head_weights"][:, : sizes.key + sizes.write_vector] *= size
    (a, state, pull_a), (b, expected, pull_b) = recorded(fused, params, xs), recorded(reference, params, xs)
    u = np.ones_like(a.data)
    assert abs(state.memory.data).max() > 1e-3 * size
    for x, y in zip(flat((a, state)), flat((b, expected)), strict=True):
        assert distance(x.data, y.data) <= 1e-5
    for which, x, y in zip(params, pull_a(u), pull_b(u), strict=True):
        assert np.isfinite(y).all() and distance(x, y) <= 1e-4, which


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("ntm")])
@pytest.mark.parametrize("size", [1e19, 1e20, 1e25, 1e30, 1e37])
def test_keys_and_rows_beyond_all_squares_are_like_nothing_and_no_numbers_are_lost(name, size):
    one = model(name, dtype="float32")
    params, xs = drawn(one)
    params["head_weights"][...] = size * np.random.default_rng(1).uniform(-1, 1, params["head_weights"].shape)
    outputs, state = one.sequence(params, one.initial_state(params, 2), xs)
    assert all(np.isfinite(x).all() for x in flat((outputs, state)))
