"""What the DNC promises as a model: chunks, lengths, conventions, training."""

import numpy as np
import pytest
from adjoint import flat

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn.models import DNC
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


def inputs(t=4, b=2, seed=0):
    return np.random.default_rng(seed).normal(size=(t, b, 3))


@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_reference_chunks_equal_the_whole_to_the_bit(controller):
    dnc = model(engine="reference", controller=controller, write_heads=2)
    params, xs = dnc.init(np.random.default_rng(0)), inputs(t=7)
    whole, last = dnc.sequence(params, dnc.initial_state(params, 2), xs)
    state, parts = dnc.initial_state(params, 2), []
    for chunk in (xs[:3], xs[3:3], xs[3:]):
        part, state = dnc.sequence(params, state, chunk)
        parts.append(part)
    assert (np.concatenate(parts) == whole).all()
    assert all((a == b).all() for a, b in zip(flat(state), flat(last), strict=True))


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
    ],
)
def test_wrong_settings_are_named(settings, told):
    with pytest.raises(ValueError, match=f"DNC: {told}"):
        model(**settings)
