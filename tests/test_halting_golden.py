"""Halting against numbers worked out by hand, and against the paper's rule in NumPy."""

import numpy as np
import pytest

import scratchattn as sa


def close(found, expected):
    return abs(np.asarray(found) - expected).max() < 1e-15


@pytest.mark.parametrize(
    "values, steps, remainder, weights",
    [
        ([0.4, 0.4, 0.4, 0.4], 3, 0.2, [0.4, 0.4, 0.2, 0.0]),
        ([0.3, 0.2, 0.6], 3, 0.5, [0.3, 0.2, 0.5]),
        ([0.995, 0.5], 1, 1.0, [1.0, 0.0]),
        ([0.1, 0.1, 0.1], 3, 0.8, [0.1, 0.1, 0.8]),
        ([0.2], 1, 1.0, [1.0]),
        ([0.0, 0.0, 0.0], 3, 1.0, [0.0, 0.0, 1.0]),
    ],
)
def test_worked_numbers(values, steps, remainder, weights):
    out = sa.halting(np.array(values))
    assert out.steps == steps and close(out.remainder, remainder) and close(out.weights, weights)


@pytest.mark.parametrize("value, steps", [(0.2, 5), (0.3, 4), (0.4, 3), (0.5, 2), (0.6, 2)])
def test_constant_values(value, steps):
    """Implementations that count the step twice stop at 4 steps of 0.2, 2 of 0.4, 1 of 0.5."""
    assert sa.halting(np.full(10, value)).steps == steps


@pytest.mark.parametrize(
    "at_cap, weights, remainder",
    [
        ("remainder", [0.1, 0.1, 0.8], 0.8),
        ("left_over", [0.1, 0.1, 0.7], 0.7),
        ("value", [0.1, 0.1, 0.1], 0.0),
        ("value_kept", [0.1, 0.1, 0.1], 0.7),
    ],
)
def test_four_ways_to_end_at_the_cap(at_cap, weights, remainder):
    out = sa.halting(np.array([0.1, 0.1, 0.1]), at_cap=at_cap)
    assert close(out.weights, weights) and close(out.remainder, remainder) and out.steps == 3


@pytest.mark.parametrize("at_cap", ["remainder", "left_over", "value", "value_kept"])
def test_the_cap_is_no_matter_if_the_last_step_halts(at_cap):
    values = np.array([0.3, 0.3, 0.5])
    assert all((a == b).all() for a, b in zip(sa.halting(values, at_cap=at_cap), sa.halting(values)))


@pytest.mark.parametrize("strict, steps", [(False, 2), (True, 3)])
def test_equality_halts_unless_strict(strict, steps):
    assert sa.halting(np.array([0.5, 0.25, 0.2, 0.2]), eps=0.25, strict=strict).steps == steps


def test_a_saturated_value_halts_at_once_even_with_eps_0():
    out = sa.halting(np.array([1.0, 0.5], np.float32), eps=0.0)
    assert out.steps == 1 and out.remainder == 1
    assert sa.halting(np.array([1 - 1e-7, 0.5], np.float32), eps=0.0).steps == 2


def test_the_ponder_gradient_is_minus_one_before_the_last_step_and_nothing_after():
    values = np.array([[0.4, 0.4, 0.4, 0.4], [0.995, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]])
    _, pullback = sa.vjp(sa.halting, values)
    ones = np.ones(3)
    (ponder,) = pullback(np.zeros_like(values), ones, ones)
    assert (ponder == [[-1, -1, 0, 0], [0, 0, 0, 0], [-1, -1, -1, 0]]).all()
    (ignored,) = pullback(np.zeros_like(values), np.zeros(3), ones)
    assert not ignored.any()


def test_the_mixture_gradient_is_relative_to_the_last_state(rng):
    """dL/dh^n = dL/ds . (s^n - s^N) for n < N: Graves' eqs. 18 and 20."""
    values, states, dmixed = np.array([0.4, 0.3, 0.5, 0.2]), rng.normal(size=(4, 6)), rng.normal(size=6)
    _, pullback = sa.vjp(lambda h: sa.halting(h).weights, values)
    (found,) = pullback(states @ dmixed)
    expected = [(states[0] - states[2]) @ dmixed, (states[1] - states[2]) @ dmixed, 0.0, 0.0]
    assert abs(found - expected).max() < 1e-15


def test_the_gradient_does_not_see_the_jump():
    """On either side of the kink the gradient is that of its own number of steps."""
    for values, steps, gradient in (
        ([0.5, 0.4901, 0.3], 2, [-1, 0, 0]),
        ([0.5, 0.4899, 0.3], 3, [-1, -1, 0]),
    ):
        out, pullback = sa.vjp(sa.halting, np.array(values))
        (found,) = pullback(np.zeros(3), np.ones(()), np.ones(()))
        assert out.steps == steps and (found == gradient).all()


def test_the_order_of_summation_is_from_left_to_right(rng):
    values = rng.uniform(0.1, 0.3, size=(1000, 4)).astype(np.float32)
    other = 0
    for row, remainder in zip(values, sa.halting(values).remainder):
        a, b, c = row[:3]
        assert remainder == np.float32(1) - ((a + b) + c)
        other += remainder != ((np.float32(1) - a) - b) - c
    assert 200 < other < 800  # and the order is not idle


def test_a_row_of_a_batch_is_the_row_alone_to_the_bit(rng):
    values = rng.uniform(0.05, 0.6, size=(50, 8))
    batch, pullback = sa.vjp(sa.halting, values)
    cotangents = [rng.normal(size=y.shape) for y in batch]
    (gradient,) = pullback(*cotangents)
    assert len(set(batch.steps)) > 3
    for i, row in enumerate(values):
        alone, pull_alone = sa.vjp(sa.halting, row)
        assert all((a == b[i]).all() for a, b in zip(alone, batch))
        assert (pull_alone(*[u[i] for u in cotangents])[0] == gradient[i]).all()


def test_what_the_listing_of_the_universal_transformer_makes_of_the_weights():
    """Interpolating leaves step n with p_n prod (1 - p_i): it can be had from ours."""
    for values, effective in (([0.4, 0.4, 0.4], [0.192, 0.32, 0.2]), ([0.3, 0.2, 0.6], [0.12, 0.1, 0.5])):
        p = sa.halting(np.array(values)).weights
        later = np.append(np.cumprod((1 - p)[::-1])[::-1][1:], 1.0)
        assert close(p * later, effective)
    p = sa.halting(np.array([0.1, 0.1, 0.1]), at_cap="value", strict=True).weights
    assert close(1 - np.prod(1 - p), 0.271)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_other_precisions_are_kept(dtype):
    out = sa.halting(np.array([0.4, 0.4, 0.4], dtype))
    assert all(y.dtype == dtype for y in out) and out.steps == 3


@pytest.mark.parametrize(
    "values, params, words",
    [
        (np.zeros((2, 0)), {}, "m must be at least 1, got 0"),
        (np.ones(2), {"eps": 1.0}, "eps must be at least 0 and below 1, got 1.0"),
        (np.ones(2), {"eps": -0.1}, "eps must be at least 0 and below 1, got -0.1"),
        (
            np.ones(2),
            {"at_cap": "none"},
            "at_cap must be one of remainder, left_over, value, value_kept, value_alone, got 'none'",
        ),
    ],
)
def test_bad_calls_are_named(values, params, words):
    with pytest.raises(ValueError, match=f"halting: {words}"):
        sa.halting(values, **params)
