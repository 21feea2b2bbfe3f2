"""Optimisers against PyTorch and against their equations; schedules, clipping."""

import math
from itertools import pairwise

import numpy as np
import pytest

from scratchattn.parameters import Params
from scratchattn.training import OPTIMISERS, GravesRMSprop, Settings
from scratchattn.training.clipping import clip_by_norm, clip_by_value
from scratchattn.training.schedules import SCHEDULES, factor

SHAPES = {"weights": (3, 4), "bias": (4,)}
PYTORCHS = {
    "sgd": ("SGD", {"learning_rate": 1e-2}, {"lr": 1e-2}),
    "momentum": ("SGD", {"learning_rate": 1e-2, "momentum": 0.8}, {"lr": 1e-2, "momentum": 0.8}),
    "rmsprop": (
        "RMSprop",
        {"learning_rate": 1e-2},
        {"lr": 1e-2, "alpha": 0.95, "momentum": 0.9, "eps": 1e-8},
    ),
    "adam": ("Adam", {"learning_rate": 1e-2, "beta2": 0.98}, {"lr": 1e-2, "betas": (0.9, 0.98)}),
    "adamw": ("AdamW", {"learning_rate": 1e-2, "weight_decay": 0.1}, {"lr": 1e-2, "weight_decay": 0.1}),
}


def gradients(n):
    rng = np.random.default_rng(0)
    return [Params(SHAPES, rng.normal(size=16) * 10.0 ** rng.uniform(-4, 1, size=16)) for _ in range(n)]


@pytest.mark.peers
@pytest.mark.parametrize("name", PYTORCHS)
def test_an_optimiser_is_pytorchs_for_a_hundred_steps(name):
    torch = pytest.importorskip("torch")
    theirs_name, ours_settings, their_settings = PYTORCHS[name]
    params = Params(SHAPES, np.random.default_rng(1).normal(size=16))
    theirs = torch.nn.Parameter(torch.from_numpy(params.flat.copy()))
    ours = OPTIMISERS[name](params, **ours_settings)
    optimiser = getattr(torch.optim, theirs_name)([theirs], **their_settings)
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


def test_adam_is_its_equations_for_a_hundred_steps():
    """Algorithm 1, one number at a time; so that it is held by something where PyTorch is not installed."""
    params = Params(SHAPES, np.random.default_rng(1).normal(size=16))
    w, m, v = params.flat.tolist(), [0.0] * 16, [0.0] * 16
    optimiser = OPTIMISERS["adam"](params)
    for t, gradient in enumerate(gradients(100), 1):
        optimiser.step(gradient)
        for i, slope in enumerate(gradient.flat.tolist()):
            m[i] = 0.9 * m[i] + 0.1 * slope
            v[i] = 0.999 * v[i] + (1 - 0.999) * slope**2
            w[i] -= 1e-3 * (m[i] / (1 - 0.9**t)) / (math.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(params.flat, w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_state_and_steps_are_all_that_an_optimiser_remembers(name):
    start, given = np.random.default_rng(1).normal(size=16), gradients(20)
    whole, first = Params(SHAPES, start.copy()), Params(SHAPES, start.copy())
    optimiser = OPTIMISERS[name](whole)
    for gradient in given:
        optimiser.step(gradient)
    before = OPTIMISERS[name](first)
    for gradient in given[:7]:
        before.step(gradient)
    after = OPTIMISERS[name](first)
    after.steps = before.steps
    for key, value in before.state.items():
        after.state[key][...] = value
    for gradient in given[7:]:
        after.step(gradient)
    assert (first.flat == whole.flat).all()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_refuses_another_models_gradient(name):
    with pytest.raises(ValueError, match="gradient must have the names and shapes"):
        OPTIMISERS[name](Params(SHAPES)).step(Params({"weights": (3, 4)}))


def test_settings_hold_the_optimisers_own_defaults_and_refuse_what_it_does_not_know():
    settings = Settings(optimiser="adam", beta2=0.98)
    assert (settings.beta1, settings.beta2, settings.eps, settings.momentum) == (0.9, 0.98, 1e-8, None)
    made = settings.make_optimiser(Params(SHAPES))
    assert (made.beta1, made.beta2, made.learning_rate) == (0.9, 0.98, 1e-4)
    with pytest.raises(ValueError, match="the optimiser adam has no momentum"):
        Settings(optimiser="adam", momentum=0.9)


def test_clipping_by_value():
    gradient = Params({"a": (4,)}, np.array([-20.0, -10.0, 3.0, 11.0]))
    clip_by_value(gradient, 10.0)
    assert gradient["a"].tolist() == [-10.0, -10.0, 3.0, 10.0]


@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200])
def test_clipping_by_norm(scale):
    gradient = Params({"a": (2,), "b": (1,)}, np.array([3.0, 0.0, 4.0]) * scale)
    clip_by_norm(gradient, 1.0)
    expected = np.array([0.6, 0.0, 0.8]) if scale >= 1 else np.array([3.0, 0.0, 4.0]) * scale
    np.testing.assert_allclose(gradient.flat, expected, rtol=1e-15)


def test_clipping_by_norm_leaves_zeros_and_nan_as_they_are():
    zeros = Params({"a": (2,)}, np.zeros(2))
    clip_by_norm(zeros, 1.0)
    assert (zeros.flat == 0).all()
    strange = Params({"a": (2,)}, np.array([np.nan, 1.0]))
    clip_by_norm(strange, 1.0)
    assert np.isnan(strange.flat[0])


def test_schedules_at_their_ends():
    assert [factor(s, 10, schedule="constant") for s in (1, 10)] == [1, 1]
    assert [factor(s, 11, schedule="linear", decay=0.5) for s in (1, 6, 11)] == [1, 0.75, 0.5]
    assert factor(6, 11, schedule="cosine", decay=0.0) == pytest.approx(0.5)
    assert [factor(s, 100, schedule="inverse_sqrt", warmup=4) for s in (2, 4, 16)] == [0.5, 1, 0.5]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_rises_in_its_warm_up_and_never_jumps(schedule):
    factors = [factor(s, 200, schedule=schedule, warmup=20, decay=0.1) for s in range(1, 201)]
    assert factors[:20] == [s / 20 for s in range(1, 21)]
    assert all(0 < later <= earlier and earlier - later < 0.06 for earlier, later in pairwise(factors[19:]))
