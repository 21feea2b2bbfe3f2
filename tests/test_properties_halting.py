"""Adaptive computation time: when a computation halts, and what its steps weigh."""

from math import fsum

import numpy as np
from drawing import assume, batches, equal, free, gate, given, lengths, run, seeds, st

from scratchattn import halting

budgets = st.fixed_dictionaries(
    {"eps": st.sampled_from([0.01, 0.1, 0.5, 0.25, 0.0]), "strict": st.booleans()}
)
CAPS = ("remainder", "left_over", "value", "value_kept")


@st.composite
def computations(draw, batches=batches):
    """Halting values of up to eight steps; they come to one after one step, after some, or never.

    Eighths are among them: their sums are exact, and meet a budget to the bit.
    """
    m, batch, rng = draw(st.integers(1, 8)), draw(batches), np.random.default_rng(draw(seeds))
    size = draw(st.sampled_from([1.0, 0.3, 0.05, None]))
    if size is None:
        return rng.integers(1, 8, size=(*batch, m)) / 8
    return size * gate(rng, (*batch, m), 2.0)


def halted(values, eps, strict):
    """The step at which one computation halts, counted from one, or None: one number after the other."""
    total = values.dtype.type(0)
    for n, value in enumerate(values, 1):
        total += value
        if total > 1 - eps or (total == 1 - eps and not strict):
            return n
    return None


@given(computations(), budgets)
def test_steps_are_those_that_ran(values, budget):
    steps = halting(values, **budget).steps
    for row in np.ndindex(values.shape[:-1]):
        assert steps[row] == (halted(values[row], **budget) or values.shape[-1])


@given(computations(), budgets)
def test_weights_sum_to_one_and_the_last_is_the_remainder(values, budget):
    """Each step that ran weighs its halting value but for the last, which has all that is left."""
    weights, remainder, steps = halting(values, **budget)
    assert (abs(weights.sum(-1) - 1) <= 1e-15 * values.shape[-1]).all()
    place = np.arange(values.shape[-1])
    last = place == steps[..., None] - 1
    equal(weights[last], remainder.ravel())
    before = place < steps[..., None] - 1
    equal(weights[before], values[before])
    assert (weights[~before & ~last] == 0).all()
    for row in np.ndindex(values.shape[:-1]):
        assert abs(remainder[row] - (1 - fsum(values[row][before[row]]))) <= 1e-15


@given(computations(), budgets)
def test_the_remainder_is_the_weight_of_a_step_and_the_ponder_within_one_of_the_steps(values, budget):
    """More than eps is left before the last step; a strict budget may be met to the bit before it."""
    _, remainder, steps = halting(values, **budget)
    eps, strict = budget["eps"], budget["strict"]
    assert (remainder >= eps - 1e-15).all() and (strict or (remainder > 0).all()) and (remainder <= 1).all()
    assert (steps + remainder <= steps + 1).all()
    assert (steps >= 1).all() and (steps <= values.shape[-1]).all()


@given(computations(), budgets)
def test_the_gradient_of_the_ponder_is_minus_one_before_the_last_step(values, budget):
    """N + R falls as fast as the values before it rise, and the last value itself does not matter."""
    out = halting(values, **budget)
    ones = np.ones_like(out.remainder)
    *_, gradient = run(halting, values, cotangents=[0 * out.weights, ones, ones], **budget)
    equal(gradient, -1.0 * (np.arange(values.shape[-1]) < out.steps[..., None] - 1))


@given(computations(), budgets, seeds)
def test_the_gradient_of_a_mixture_compares_each_step_with_the_last(values, budget, seed):
    y = free(np.random.default_rng(seed), values.shape)
    out = halting(values, **budget)
    *_, gradient = run(halting, values, cotangents=[y, 0 * out.remainder, out.steps], **budget)
    last = np.take_along_axis(y, out.steps[..., None].astype(int) - 1, -1)
    before = np.arange(values.shape[-1]) < out.steps[..., None] - 1
    assert (abs(gradient - np.where(before, y - last, 0)) <= 1e-15 * (abs(y).max() + 1)).all()


@given(computations(), budgets, st.sampled_from([float("nan"), np.inf, 7.0]), seeds)
def test_nothing_after_the_last_step_is_read(values, budget, junk, seed):
    out = run(halting, values, seed=seed, **budget)
    ran = np.arange(values.shape[-1]) < out[2][..., None]
    equal(run(halting, np.where(ran, values, junk), seed=seed, **budget), out)


@given(computations(), budgets, lengths)
def test_more_time_changes_nothing_once_all_have_halted(values, budget, more):
    assume(all(halted(values[row], **budget) for row in np.ndindex(values.shape[:-1])))
    longer = np.concatenate([values, np.full((*values.shape[:-1], more), 0.5)], -1)
    short, long = halting(values, **budget), halting(longer, **budget)
    equal([long.remainder, long.steps], [short.remainder, short.steps])
    equal(long.weights[..., : values.shape[-1]], short.weights)
    assert (long.weights[..., values.shape[-1] :] == 0).all()


@given(computations(), st.floats(0, 0.9), st.floats(0, 0.9), st.booleans())
def test_a_larger_eps_never_halts_later(values, one, other, strict):
    low, high = sorted((one, other))
    later, sooner = (halting(values, eps=eps, strict=strict) for eps in (low, high))
    assert (sooner.steps <= later.steps).all()
    assert (halting(values, eps=low).steps <= halting(values, eps=low, strict=True).steps).all()


@given(computations(), budgets, st.integers(0, 2**16))
def test_a_value_more_before_the_end_never_halts_later(values, budget, seed):
    raised = values + 0.2 * np.random.default_rng(seed).random(values.shape)
    assert (halting(raised, **budget).steps <= halting(values, **budget).steps).all()


@given(computations(), budgets)
def test_conventions_at_the_cap_agree_on_all_that_halted(values, budget):
    """And the others sum to what their table says: to 1 - h_M, or to S_M twice."""
    stopped = np.array([bool(halted(values[row], **budget)) for row in np.ndindex(values.shape[:-1])])
    stopped = stopped.reshape(values.shape[:-1])
    paper = halting(values, **budget)
    expected = {"left_over": 1 - values[..., -1], "value": values.sum(-1), "value_kept": values.sum(-1)}
    for at_cap in CAPS[1:]:
        out = halting(values, at_cap=at_cap, **budget)
        equal([x[stopped] for x in out], [x[stopped] for x in paper])
        equal(out.steps, paper.steps)
        difference = out.weights.sum(-1) - expected[at_cap]
        assert (abs(difference[~stopped]) <= 1e-14).all()
        if at_cap == "value":
            assert (out.remainder[~stopped] == 0).all()
