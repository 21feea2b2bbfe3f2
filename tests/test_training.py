"""Optimisers against others and against their equations; the loop, its log, its files."""

import json

import numpy as np
import pytest

from scratchattn.models import NTM
from scratchattn.parameters import Params
from scratchattn.tasks import Copy
from scratchattn.training import GravesRMSprop, RMSprop, Settings, train
from scratchattn.training.optimisers import clip_by_value

SHAPES = {"weights": (3, 4), "bias": (4,)}


def gradients(n):
    rng = np.random.default_rng(0)
    return [Params(SHAPES, rng.normal(size=16) * 10.0 ** rng.uniform(-4, 1, size=16)) for _ in range(n)]


@pytest.mark.peers
def test_rmsprop_is_pytorchs_for_a_hundred_steps():
    torch = pytest.importorskip("torch")
    params = Params(SHAPES, np.random.default_rng(1).normal(size=16))
    theirs = torch.nn.Parameter(torch.from_numpy(params.flat.copy()))
    ours = RMSprop(params, learning_rate=1e-2)
    optimiser = torch.optim.RMSprop([theirs], lr=1e-2, alpha=0.95, momentum=0.9, eps=1e-8)
    for gradient in gradients(100):
        ours.step(gradient)
        theirs.grad = torch.from_numpy(gradient.flat.copy())
        optimiser.step()
        np.testing.assert_allclose(params.flat, theirs.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_graves_rmsprop_is_his_equations_for_a_hundred_steps():
    """Eqs. 38-45, one number at a time."""
    params = Params(SHAPES, np.random.default_rng(1).normal(size=16))
    w = params.flat.tolist()
    n, g, step = [0.0] * 16, [0.0] * 16, [0.0] * 16
    optimiser = GravesRMSprop(params)
    for gradient in gradients(100):
        optimiser.step(gradient)
        for i, slope in enumerate(gradient.flat.tolist()):
            n[i] = 0.95 * n[i] + (1 - 0.95) * slope**2
            g[i] = 0.95 * g[i] + (1 - 0.95) * slope
            step[i] = 0.9 * step[i] - 1e-4 * slope / (n[i] - g[i] ** 2 + 1e-4) ** 0.5
            w[i] += step[i]
        np.testing.assert_allclose(params.flat, w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimiser", [RMSprop, GravesRMSprop])
def test_an_optimiser_refuses_another_models_gradient(optimiser):
    with pytest.raises(ValueError, match="gradient must have the names and shapes"):
        optimiser(Params(SHAPES)).step(Params({"weights": (3, 4)}))


def test_clipping_by_value():
    gradient = Params({"a": (4,)}, np.array([-20.0, -10.0, 3.0, 11.0]))
    clip_by_value(gradient, 10.0)
    assert gradient["a"].tolist() == [-10.0, -10.0, 3.0, 10.0]


def small():
    task = Copy(bits=2, shortest=1, longest=3)
    return NTM(task.inputs, task.outputs, rows=8, width=4, units=8), task


def test_a_run_leaves_its_settings_its_log_and_its_parameters(tmp_path):
    model, task = small()
    settings = Settings(
        steps=30, log_every=10, eval_every=15, eval_batches=1, eval_batch=4, checkpoint_every=20
    )
    params, events = train(model, task, settings, tmp_path, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == events
    assert [e["step"] for e in lines if e["event"] == "train"] == [10, 20, 30]
    assert [e["step"] for e in lines if e["event"] == "evaluation"] == [15, 30]
    assert lines[-1]["event"] == "done"
    assert json.loads((tmp_path / "config.json").read_text())["training"]["steps"] == 30
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000020.npz",
        "step-00000030.npz",
    ]
    with np.load(tmp_path / "checkpoints" / "step-00000030.npz") as saved:
        assert all((saved[name] == value).all() for name, value in params.items())


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    model, task = small()

    def run(seed, **settings):
        return train(model, task, Settings(steps=12, seed=seed, **settings), quiet=True)[0].flat

    assert (run(0) == run(0)).all()
    assert (run(0) == run(0, eval_every=3)).all()  # evaluating changes no training
    assert (run(0) != run(1)).any()


def test_training_learns():
    model, task = small()
    settings = Settings(steps=1500, batch=4, learning_rate=1e-3, log_every=100, eval_batches=2)
    _, events = train(model, task, settings, quiet=True)
    losses = [e["nats"] for e in events if e["event"] == "train"]
    assert losses[-1] < 0.5 * losses[0]


def test_a_loss_that_is_no_number_ends_the_run_with_its_step():
    model, task = small()

    def poison(step, params, metrics):
        with params.overwriting() as flat:
            flat *= np.nan if step == 3 else 1.0

    with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError, match="the loss is nan at step 4"):
        train(model, task, Settings(steps=10), watch=poison, quiet=True)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}, {"optimiser": "sgdd"}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=f"Settings: {next(iter(wrong))} must be"):
        Settings(**wrong)
