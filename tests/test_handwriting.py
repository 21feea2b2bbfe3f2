"""Handwriting: the window on a text, the mixture of pen moves and the network; Gaussians over positions.

What the registry does not test by itself: golden numbers, edge cases by name, sequences, PyTorch.
"""

import math
import re

import numpy as np
import pytest
from adjoint import hessian_is_symmetric, is_the_adjoint

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn import REGISTRY
from scratchattn.nn.window_cell import (
    WindowLayer,
    WindowOutputs,
    WindowState,
    WindowWeights,
    mixture_parameters,
    window_sequence,
    window_shapes,
    window_step,
    writing_ends,
)

window, density, gaussians = (
    REGISTRY[name] for name in ("handwriting_window", "mixture_density", "gaussian_location_attention")
)
SJVASQUEZ = {v.name: v.params for v in window.variants}["sjvasquez"]
zero = np.zeros(1)


def gradients(op, *inputs, cotangents=None, **params):
    """Outputs in one tuple, and the gradients under cotangents of ones."""
    with np.errstate(all="raise", under="ignore"):
        out, saved = op.forward(*inputs, **params)
        several = isinstance(out, tuple)
        ones = tuple([np.ones_like(y) for y in out]) if several else np.ones_like(out)
        return out, op.backward(saved, ones if cotangents is None else cotangents)


# ---- the window: golden numbers ---------------------------------------------


def test_at_zero_the_paper_moves_by_one_character_and_sjvasquez_by_a_thirty_sixth():
    text = np.ones((3, 1))
    assert window(zero, zero, zero, zero, text).new_location.tolist() == [1.0]
    moved = window(zero, zero, zero, zero, text, **SJVASQUEZ).new_location
    assert round(float(moved[0]), 4) == 0.0277
    assert moved[0] == math.log(2) / 25


def test_one_gaussian_on_the_first_of_three_characters_by_hand():
    out = window(zero, zero, zero, zero, np.eye(3))
    expected = [1.0, math.exp(-1), math.exp(-4)]
    np.testing.assert_allclose(out.weights, expected, rtol=1e-15)
    np.testing.assert_allclose(out.window, expected, rtol=1e-15)
    np.testing.assert_allclose(out.beyond, math.exp(-9), rtol=1e-15)


def test_the_weights_are_not_normalised():
    five = np.full(1, math.log(5.0))
    assert window(five, zero, zero, zero, np.ones((1, 1))).window == pytest.approx(5.0, rel=1e-15)


# ---- the window: edge case 23 -----------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("far", [1e2, 1e6, 1e18, 1e38])
def test_a_window_far_beyond_the_text_sees_nothing_and_hands_back_no_gradient_and_no_nan(far, dtype):
    rng = np.random.default_rng(0)
    raw = [rng.normal(size=2).astype(dtype) for _ in range(3)]
    inputs = (*raw, np.full(2, far, dtype), rng.normal(size=(4, 3)).astype(dtype))
    out, (da, db, dstep, dlocation, dtext) = gradients(window, *inputs)
    assert not out[0].any() and not out[1].any() and out[2] == 0
    assert not da.any() and not db.any() and not dtext.any()
    assert (dlocation == 1).all() and np.isfinite(dstep).all()  # of the location itself, handed on


@pytest.mark.parametrize("dtype, limit", [(np.float64, 354.891356446692), (np.float32, 44.361419)])
def test_raw_numbers_count_as_at_most_half_the_logarithm_of_the_largest_float(dtype, limit):
    text = np.ones((2, 1), dtype)
    for place in range(3):
        raw = [np.zeros(1, dtype) for _ in range(3)]
        raw[place] += 1e4
        out, grads = gradients(window, *raw, np.zeros(1, dtype), text)
        assert all(np.isfinite(x).all() for x in [*out, *grads])
        assert grads[place] == 0
    assert np.log(out[3][0]) == pytest.approx(limit, rel=1e-6)


def test_it_goes_on_leaping_beyond_all_floats_step_after_step():
    text, location = np.ones((3, 2)), zero
    for _ in range(4):
        out, grads = gradients(window, zero, zero, np.full(1, 1e3), location, text)
        location = out[3]
        assert np.isfinite(location).all() and not out[0].any()
        assert all(np.isfinite(g).all() for g in grads)


def test_a_nan_is_not_taken_for_far():
    assert np.isnan(window(zero, zero, zero, zero + np.nan, np.ones((2, 1))).window).all()


@pytest.mark.parametrize("base", [0, 1])
def test_one_character_is_at_the_base_and_beyond_is_the_next_place(base):
    out = window(zero, zero, np.full(1, -1e3), zero + base, np.ones((1, 1)), base=base)
    assert out.weights.tolist() == [1.0]
    assert out.beyond == pytest.approx(math.exp(-1), rel=1e-15)


def test_padded_characters_have_no_weight_and_the_end_is_after_the_last_that_is_kept():
    rng = np.random.default_rng(1)
    raw, location = rng.normal(size=(3, 1, 2)), rng.uniform(0, 3, size=(1, 2))
    text = rng.normal(size=(1, 5, 2))
    text[:, 3:] = np.nan
    padded = window(*raw, location, text, np.arange(5)[None] < 3)
    alone = window(*raw, location, text[:, :3])
    assert (padded.weights[:, 3:] == 0).all()
    assert (padded.weights[:, :3] == alone.weights).all() and (padded.beyond == alone.beyond).all()
    assert distance(padded.window, alone.window) < 1e-15


def test_the_rule_to_stop_is_true_once_the_place_after_the_text_holds_the_most():
    text, ends = np.ones((3, 1)), []
    for location in (0.0, 1.0, 2.4, 2.6):
        out = window(zero, zero, zero, zero + location, text)
        ends.append(bool(writing_ends(out.weights, out.beyond)))
    assert ends == [False, False, False, True]
    lost = window(zero, zero, zero, zero + 99.0, text)
    assert not writing_ends(lost.weights, lost.beyond)


def test_the_gradient_by_a_location_is_the_sum_of_what_all_later_steps_ask_for():
    rng = np.random.default_rng(2)
    raw, text = rng.normal(size=(3, 3, 2)), rng.normal(size=(4, 3))
    first = rng.uniform(0, 2, size=2)

    def steps(location, *offsets):
        """Windows of three steps; each may be moved by itself, which moves nobody after it."""
        seen = []
        for r, offset in zip(raw, offsets):
            after = window(r[0], r[1], r[2], location, text).new_location
            seen.append(window(r[0], r[1], r[2], location + offset, text).window)
            location = after
        return tuple(seen)

    _, pullback = sa.vjp(steps, first, *np.zeros((3, 2)))
    dfirst, *own = pullback(*rng.normal(size=(3, 3)))
    assert distance(dfirst, sum(own)) < 1e-14


# ---- the mixture: golden numbers --------------------------------------------


def one(end=0.0, mean=(0.0, 0.0), width=(0.0, 0.0), correlation=0.0, point=(0.0, 0.0), ended=0.0, **params):
    """Loss and gradients of one component: end, importance, mean, width, correlation, point."""
    inputs = (end, [0.0], [mean], [width], [correlation], point, ended)
    return gradients(density, *[np.array(x) for x in inputs], **params)


def test_a_standard_normal_at_its_mean_and_an_even_end_cost_log_4_pi():
    loss, (dend, dimportance, dmean, dwidth, dcorrelation, dpoint) = one()
    assert loss == pytest.approx(math.log(4 * math.pi), rel=1e-15)
    assert dend == -0.5 and dimportance == 0 and not dmean.any() and not dpoint.any()
    assert (dwidth == 1).all() and dcorrelation == 0


def test_x_exactly_at_mu_leaves_only_what_the_widths_and_the_correlation_cost():
    loss, (_, _, dmean, dwidth, dcorrelation, dpoint) = one(
        mean=(3.0, -2.0), point=(3.0, -2.0), width=(-4.0, 1.5), correlation=0.7
    )
    root = math.sqrt(1 - math.tanh(0.7) ** 2)
    assert loss == pytest.approx(math.log(2) + math.log(2 * math.pi * math.exp(-2.5) * root), rel=1e-14)
    assert not dmean.any() and not dpoint.any() and (dwidth == 1).all()
    assert dcorrelation == pytest.approx(-math.tanh(0.7), rel=1e-15)


def test_a_positive_end_makes_the_end_less_likely_in_the_paper_and_more_in_the_variants():
    positive = {v.name: one(end=2.0, ended=1.0, **v.params)[0] for v in density.variants}
    negative = {v.name: one(end=-2.0, ended=1.0, **v.params)[0] for v in density.variants}
    assert positive["paper"] > negative["paper"] and positive["paper"] == negative["xraylaser"]
    for name in ("sjvasquez", "hardmaru", "xraylaser"):
        assert positive[name] < negative[name] == positive["paper"]


def test_a_bias_narrows_the_widths_and_sharpens_the_importances():
    rng = np.random.default_rng(3)
    end, importance, mean, width, correlation = (rng.normal(size=s) for s in ((), 3, (3, 2), (3, 2), 3))
    rest = (correlation, rng.normal(size=2), np.array(1.0))
    biased = density(end, importance, mean, width, *rest, bias=0.8)
    by_hand = density(end, 1.8 * importance, mean, width - 0.8, *rest)
    assert biased == pytest.approx(by_hand, rel=1e-14)


# ---- the mixture: edge case 24 ----------------------------------------------


def exactly(correlation, width, d_1, d_2):
    """- log N and its gradients by mean, width and correlation as the paper writes them, in 400 digits."""
    mp = pytest.importorskip("mpmath")
    with mp.workdps(400):
        r, s = mp.mpf(correlation), [mp.exp(mp.mpf(w)) for w in width]
        rho, d = mp.tanh(r), [mp.mpf(x) / y for x, y in zip((d_1, d_2), s)]
        below = 1 - rho**2
        z = d[0] ** 2 + d[1] ** 2 - 2 * rho * d[0] * d[1]
        loss = mp.log(2 * mp.pi) + mp.log(s[0]) + mp.log(s[1]) + mp.log(below) / 2 + z / (2 * below)
        h = [(d[0] - rho * d[1]) / below, (d[1] - rho * d[0]) / below]
        slopes = [-h[0] / s[0], -h[1] / s[1], 1 - d[0] * h[0], 1 - d[1] * h[1]]
        return [float(x) for x in (loss, *slopes, -(d[0] * d[1] + rho * (1 - z / below)))]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [1e-12, 0.3, 0.7, 5.0, 19.0, 25.0, 60.0, 140.0])
def test_a_correlation_that_rounds_to_one_keeps_all_its_digits(size, sign):
    for d_1, d_2, width in ((0.5, 0.5, (0.0, 0.0)), (0.7, -1.3, (0.5, -1.0)), (0.0, 0.25, (0.0, 0.0))):
        d_2 = sign * d_2
        loss, grads = one(correlation=sign * size, point=(d_1, d_2), width=width)
        found = [loss - math.log(2), *grads[2][0], *grads[3][0], grads[4][0]]
        for ours, truth in zip(found, exactly(sign * size, width, d_1, d_2), strict=True):
            assert abs(ours - truth) <= 4e-14 * max(abs(truth), 1.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("width", [-10.0, -17.0, -1e3, -1e30])
def test_a_width_that_goes_to_zero_gives_large_finite_numbers(width, dtype):
    inputs = [0.0, [0.0, 0.1], np.zeros((2, 2)), np.full((2, 2), width), [1e3, -1e3], [0.5, -1.0], 0.0]
    loss, grads = gradients(density, *[np.asarray(x, dtype) for x in inputs])
    assert np.isfinite(loss) and loss > 1e8
    assert all(np.isfinite(g).all() and g.dtype == dtype for g in grads)
    assert (grads[3] == 0).all() == (width < -100)


def test_components_too_far_for_their_densities_are_weighed_by_their_logarithms():
    """Densities of exp(-1000): the sum of them is zero in floats."""
    mean, point = np.array([[0.0, 0.0], [0.1, 0.0]]), np.array([44.0, 10.0])
    inputs = (np.array(0.0), np.zeros(2), mean, np.zeros((2, 2)), np.zeros(2), point, np.array(0.0))
    loss, (_, dimportance, *_) = gradients(density, *inputs)
    near, far = [((point - m) ** 2).sum() / 2 + math.log(2 * math.pi) for m in mean[::-1]]
    odds = math.exp(near - far)
    expected = math.log(2) + near - math.log((1 + odds) / 2)
    assert loss == pytest.approx(expected, rel=1e-15)
    np.testing.assert_allclose(dimportance, [0.5 - odds / (1 + odds), 0.5 - 1 / (1 + odds)], rtol=1e-12)


def test_identical_components_stay_identical_to_the_bit_through_a_hundred_updates():
    """Why a network must not start with equal output weights, as snowkylin's does."""
    rng = np.random.default_rng(4)
    end, points, ended = np.zeros(8), rng.normal(size=(8, 2)), (rng.random(8) < 0.5) * 1.0
    parameters = [np.full(s, 0.1) for s in ((20,), (20, 2), (20, 2), (20,))]
    for _ in range(100):
        _, grads = gradients(density, end, *parameters, points, ended)
        parameters = [p - 0.05 * g for p, g in zip(parameters, grads[1:5])]
    assert all((p == p[:1]).all() for p in parameters) and (parameters[1] != 0.1).any()


def test_a_padded_step_may_hold_anything():
    keep, shapes = np.array([True, False]), ((2,), (2, 3), (2, 3, 2), (2, 3, 2), (2, 3), (2, 2))
    inputs = [np.zeros(shape) for shape in shapes]
    for x in inputs:
        x[1] = np.nan
    loss, grads = gradients(density, *inputs, np.array([1.0, np.nan]), keep)
    assert loss[1] == 0 and loss[0] == pytest.approx(math.log(4 * math.pi), rel=1e-15)
    assert all(np.isfinite(g).all() and not g[1].any() for g in grads)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"end_sign": 0}, "end_sign must be 1 or -1, got 0"),
        ({"bias": -1.0}, "bias must be finite and not negative, got -1.0"),
        ({"density_floor": float("nan")}, "density_floor must be finite and not negative, got nan"),
    ],
)
def test_the_mixture_refuses_params_that_are_none(params, message):
    with pytest.raises(ValueError, match=re.escape(f"mixture_density: {message}")):
        one(**params)


def test_an_end_that_is_no_probability_and_a_mixture_of_nothing_are_refused():
    with pytest.raises(ValueError, match=r"^mixture_density: ended must be in \[0, 1\], got 1.5$"):
        one(ended=1.5)
    with pytest.raises(ValueError, match=r"^mixture_density: m must be at least 1, got 0$"):
        density(zero[0], zero[:0], np.ones((0, 2)), np.ones((0, 2)), zero[:0], np.ones(2), zero[0])


# ---- Gaussians over positions -----------------------------------------------


def test_a_normalised_gaussian_far_from_all_positions_still_looks_at_the_nearest():
    positions = np.arange(5.0)
    for centre, nearest in ((1e9, 4), (-1e9, 0), (2.0 + 1e-9, 2)):
        weights = gaussians(np.array([centre]), np.array([0.02]), positions)
        assert weights.tolist() == [float(i == nearest) for i in range(5)]
    assert not gaussians(np.array([1e9]), np.array([0.1]), positions, normalised=False).any()


def test_an_importance_of_zero_close_by_leaves_finite_gradients():
    out, grads = gradients(
        gaussians, np.array([2.0, 300.0]), np.ones(2), np.arange(5.0), np.array([0.0, 1.0])
    )
    assert out.sum() == pytest.approx(1.0, rel=1e-15) and all(np.isfinite(g).all() for g in grads)


def test_a_common_factor_of_the_importances_changes_nothing_if_normalised():
    rng = np.random.default_rng(5)
    centre, width, importance = rng.uniform(0, 4, 3), rng.uniform(0.5, 2, 3), rng.uniform(0.5, 2, 3)
    a, b = (gaussians(centre, width, np.arange(5.0), f * importance) for f in (1.0, 2.0**500))
    assert distance(a, b) < 1e-15


def test_the_handwriting_window_is_these_gaussians_not_normalised():
    rng = np.random.default_rng(6)
    raw, text = rng.normal(size=(3, 2)), rng.normal(size=(5, 3))
    out = window(*raw, np.zeros(2), text)
    widths = {"width_as": "factor", "normalised": False}
    weights = gaussians(out.new_location, np.exp(raw[1]), np.arange(5.0) + 1, np.exp(raw[0]), **widths)
    assert distance(out.weights, weights) < 1e-15


def local_p(query, keys, position_weights, position_vector, reach):
    """Luong's local-p attention as ops: query (b, d), keys (b, s, d) -> context (b, d), weights (b, s)."""
    length = keys.shape[1]
    place = length * sa.sigmoid(sa.tanh(query @ position_weights) @ position_vector)  # (b, 1)
    positions = np.arange(length) + 1.0
    near = abs(positions - getattr(place, "data", place)) <= reach
    logits = sa.reshape(sa.matmul(keys, sa.reshape(query, shape=(*query.shape, 1))), shape=near.shape)
    bell = gaussians(place, np.full((1,), reach / 2), positions, None, near, normalised=False)
    weights = sa.softmax(logits, near) * bell
    context = sa.matmul(sa.reshape(weights, shape=(weights.shape[0], 1, length)), keys)
    return sa.reshape(context, shape=query.shape), weights


def local_p_inputs():
    rng = np.random.default_rng(7)
    return [rng.normal(size=s) for s in ((2, 3), (2, 7, 3), (3, 4), (4, 1))]


def test_local_p_attention_is_a_softmax_times_a_gaussian():
    inputs = local_p_inputs()
    context, weights = local_p(*inputs, reach=2.0)
    assert context.shape == (2, 3) and (weights.sum(-1) < 1).all()
    assert ((weights > 0).sum(-1) <= 5).all() and ((weights > 0).sum(-1) >= 2).all()
    is_the_adjoint(lambda *x: local_p(*x, reach=2.0), *inputs)


# ---- the network ------------------------------------------------------------

T, B, K, D = 6, 3, 4, 2  # steps, writers, characters and their numbers


def network(seed=0, steps=T, peepholes=True, **shape):
    """xs, a state, weights, characters and which are kept, for a batch of three writers."""
    rng = np.random.default_rng(seed)
    small = {"units": 4, "gaussians": 2, "layers": 2, "peepholes": peepholes} | shape
    shapes = window_shapes(3, D, 7, **small)

    def drawn(shape):
        return None if shape is None else 0.5 * rng.normal(size=shape)

    weights = WindowWeights(
        tuple(WindowLayer(*map(drawn, s)) for s in shapes.layers), *map(drawn, shapes[1:])
    )
    h, m, n = small["units"], small["gaussians"], small["layers"]
    state = WindowState(
        tuple(rng.normal(size=(B, h)) for _ in range(n)),
        tuple(rng.normal(size=(B, h)) for _ in range(n)),
        rng.normal(size=(B, D)),
        rng.uniform(0, 1, size=(B, m)),
    )
    keep = np.arange(K) < np.array([[4], [2], [3]])
    characters = np.where(keep[..., None], rng.normal(size=(B, K, D)), np.nan)
    return rng.normal(size=(steps, B, 3)), state, weights, characters, keep


def flat(tree):
    if isinstance(tree, tuple | list):
        return [x for part in tree for x in flat(part)]
    return [] if tree is None else [tree]


def rebuilt(tree, leaves):
    """``tree`` with its arrays taken one after the other from the iterator ``leaves``."""
    if isinstance(tree, tuple):
        parts = [rebuilt(part, leaves) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return None if tree is None else next(leaves)


def as_function(state, weights, keep, lengths=None, **options):
    """The sequence as a function of arrays alone: xs, characters, then those of state and weights."""

    def function(xs, characters, *leaves):
        leaves = iter(leaves)
        now, parameters = rebuilt(state, leaves), rebuilt(weights, leaves)
        return window_sequence(xs, now, parameters, characters, keep, lengths, **options)

    return function


SETTINGS = {
    "paper": ({}, {}),
    "paper, counted from 0": ({}, {"base": 0}),
    "sjvasquez": (
        {"peepholes": False, "layers": 3, "window_sees": "all", "outputs_see": "last"},
        {"window_sees": "all", "outputs_see": "last", **SJVASQUEZ},
    ),
    "clipped": ({}, {"output_limit": 1e6, "cell_limit": 1e6}),
}


def test_two_steps_are_the_papers_equations():
    """Equations 7 to 11 and 46 to 54 for the first writer, in NumPy as they stand."""
    xs, state, weights, characters, keep = network(steps=2)
    out, last = window_sequence(xs, state, weights, characters, keep)
    hidden, cell = ([x[0] for x in part] for part in (state.hidden, state.cell))
    w, kappa = state.window[0], state.location[0]

    def sigma(z):
        return 1 / (1 + np.exp(-z))

    def lstm(x, n):
        layer, before = weights.layers[n], cell[n]
        z = np.split(x @ layer.input_weights + hidden[n] @ layer.hidden_weights + layer.bias, 4)
        p = np.split(layer.peepholes, 3)
        cell[n] = sigma(z[1] + p[1] * before) * before + sigma(z[0] + p[0] * before) * np.tanh(z[3])
        hidden[n] = sigma(z[2] + p[2] * cell[n]) * np.tanh(cell[n])

    for t, x in enumerate(xs[:, 0]):
        lstm(np.concatenate([x, w]), 0)
        a, b, step = np.exp(np.split(hidden[0] @ weights.window_weights + weights.window_bias, 3))
        kappa = kappa + step
        phi = [(a * np.exp(-b * (kappa - u) ** 2)).sum() for u in (1, 2, 3, 4, 5)]
        w = phi[:4] @ characters[0]
        lstm(np.concatenate([x, hidden[0], w]), 1)
        y = np.concatenate(hidden) @ weights.output_weights + weights.output_bias
        expected = (y, np.array(phi[:4]), phi[4])
        assert all(distance(found[t, 0], truth) < 1e-14 for found, truth in zip(out, expected))
    assert distance(last.window[0], w) < 1e-14 and distance(last.location[0], kappa) < 1e-14


@pytest.mark.parametrize("name", SETTINGS)
def test_the_backward_of_twenty_steps_is_the_adjoint(name):
    shape, options = SETTINGS[name]
    xs, state, weights, characters, keep = network(steps=20, **shape)
    function = as_function(state, weights, keep, np.array([20, 13, 0]), **options)
    primals = [xs, np.nan_to_num(characters), *flat(state), *flat(weights)]
    is_the_adjoint(function, *primals)


def test_the_hessian_of_three_steps_is_symmetric():
    xs, state, weights, characters, keep = network(steps=3)
    primals = [xs, np.nan_to_num(characters), *flat(state), *flat(weights)]
    hessian_is_symmetric(as_function(state, weights, keep), *primals)


def test_a_sequence_in_chunks_is_the_whole_bit_for_bit():
    xs, state, weights, characters, keep = network()
    lengths = np.array([6, 2, 4])
    whole, last = window_sequence(xs, state, weights, characters, keep, lengths)
    parts = []
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        part, state = window_sequence(xs[start:stop], state, weights, characters, keep, lengths - start)
        parts.append(part)
    for name, *found in zip(WindowOutputs._fields, whole, *parts):
        assert (found[0] == np.concatenate(found[1:])).all(), name
    assert all((a == b).all() for a, b in zip(flat(last), flat(state), strict=True))


def test_a_writer_who_has_ended_keeps_his_state_and_his_padding_is_never_read():
    xs, state, weights, characters, keep = network()
    lengths = np.array([6, 2, 0])
    for j, n in enumerate(lengths):
        xs[n:, j] = np.nan
    function = as_function(state, weights, keep, lengths)
    primals = [xs, characters, *flat(state), *flat(weights)]
    (out, last), pullback = _nested(function, primals)
    for j, n in enumerate(lengths):
        own = rebuilt(state, iter([x[j : j + 1] for x in flat(state)]))
        alone, end = window_sequence(xs[:n, j : j + 1], own, weights, characters[j : j + 1], keep[j : j + 1])
        for a, b in zip(out, alone):
            assert distance(a[:n, j : j + 1], b) < 1e-13 and (a[n:, j] == 0).all()
        for a, b in zip(flat(last), flat(end), strict=True):
            assert distance(a[j : j + 1], b) < 1e-13
    dxs, dcharacters, *rest = pullback
    assert all(np.isfinite(g).all() for g in (dxs, dcharacters, *rest))
    assert all((dxs[n:, j] == 0).all() for j, n in enumerate(lengths))
    assert (dcharacters[~keep] == 0).all() and (dcharacters[2] == 0).all()


def _nested(function, primals):
    """(outputs, state) of the sequence, and the gradients under cotangents of ones."""
    structure = []

    def flattened(*x):
        structure.append(function(*x))
        return tuple(flat(structure[-1]))

    values, pullback = sa.vjp(flattened, *primals)
    return rebuilt(structure[0], iter(values)), pullback(*[np.ones_like(y) for y in values])


def test_no_steps_leave_the_state_as_it_is():
    xs, state, weights, characters, keep = network()
    out, last = window_sequence(xs[:0], state, weights, characters, keep)
    assert [y.shape for y in out] == [(0, B, 7), (0, B, K), (0, B)] and last is state


@pytest.mark.parametrize("peepholes", [True, False])
def test_gate_by_gate_the_lstm_is_the_same(peepholes):
    xs, state, weights, characters, keep = network(peepholes=peepholes)
    plain = window_sequence(xs, state, weights, characters, keep)
    gates = window_sequence(xs, state, weights, characters, keep, output_limit=1e9, cell_limit=1e9)
    for a, b in zip(flat(plain), flat(gates), strict=True):
        assert distance(a, b) < 1e-13


def test_clipping_bounds_what_one_step_hands_back_and_nothing_else():
    """Cotangents of a million: by outputs no more than 100 reach y, by cells no more than 10 each LSTM."""
    xs, state, weights, characters, keep = network(steps=1)
    shown, pulled = {}, {}
    for name, limits in {"free": {}, "clipped": {"output_limit": 100.0, "cell_limit": 10.0}}.items():
        function = as_function(state, weights, keep, **limits)
        primals = [xs, np.nan_to_num(characters), *flat(state), *flat(weights)]
        shown[name], pullback = sa.vjp(lambda *x, f=function: f(*x)[0].outputs, *primals)
        pulled[name] = rebuilt(
            weights, iter(pullback(np.full_like(shown[name], 1e6))[2 + len(flat(state)) :])
        )
    assert distance(shown["clipped"], shown["free"]) < 1e-14
    assert (pulled["clipped"].output_bias == 100 * B).all() and (pulled["free"].output_bias == 1e6 * B).all()
    for layer, free in zip(pulled["clipped"].layers, pulled["free"].layers):
        assert abs(layer.bias).max() <= 10 * B < abs(free.bias).max()


def test_the_columns_of_the_outputs_are_the_raw_numbers_of_the_mixture():
    outputs = np.arange(2 * 13.0).reshape(2, 13)
    end, importance, mean, width, correlation = mixture_parameters(outputs)
    assert end.tolist() == [0.0, 13.0] and importance[0].tolist() == [1.0, 2.0]
    assert mean[0].tolist() == [[3.0, 4.0], [5.0, 6.0]] and width[0].tolist() == [[7.0, 8.0], [9.0, 10.0]]
    assert correlation[1].tolist() == [24.0, 25.0]
    with pytest.raises(ValueError, match=r"^mixture_parameters: outputs must have 1 \+ 6 m columns, got 12$"):
        mixture_parameters(outputs[:, 1:])


@pytest.mark.parametrize("wrong", [{"window_sees": "x"}, {"outputs_see": None}, {"squash": "relu"}])
def test_the_network_refuses_options_that_it_has_not(wrong):
    xs, state, weights, characters, keep = network()
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        window_step(xs[0], state, weights, characters, keep, **wrong)


# ---- PyTorch ----------------------------------------------------------------


def against(torch, ours, theirs, inputs):
    """Outputs and every gradient of both, under the same random cotangents, to 1e-12."""
    values, pullback = sa.vjp(lambda *x: tuple(flat(ours(*x))), *inputs)
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    expected = flat(theirs(*leaves))
    for a, b in zip(values, expected, strict=True):
        assert distance(a, b.detach().numpy()) < 1e-12
    rng = np.random.default_rng(8)
    cotangents = [rng.normal(size=y.shape) for y in values]
    sum((torch.tensor(u) * y).sum() for u, y in zip(cotangents, expected)).backward()
    for a, b in zip(pullback(*cotangents), leaves, strict=True):
        assert distance(a, b.grad.numpy()) < 1e-12


def eager_window(torch, importance, width, increment, location, text, lengths, sjvasquez=False):
    """One step for a batch; the padding has been cleared.  sjvasquez's window, or that of the paper."""
    if sjvasquez:
        # Not PyTorch's softplus, which is x itself above 20 and off by 2e-9 there.
        a, b, step = (torch.logaddexp(x, torch.zeros_like(x)) for x in (importance, width, increment))
        location, rate, first = location + step / 25, 1 / torch.clamp(b, min=0.01), 0.0
    else:
        a, rate, first = torch.exp(importance), torch.exp(width), 1.0
        location = location + torch.exp(increment)
    u = torch.arange(text.shape[1], dtype=text.dtype) + first
    phi = (a[:, :, None] * torch.exp(-rate[:, :, None] * (location[:, :, None] - u) ** 2)).sum(1)
    phi = phi * (torch.arange(text.shape[1]) < lengths[:, None])
    after = (lengths + first)[:, None]
    beyond = (a * torch.exp(-rate * (location - after) ** 2)).sum(1)
    return torch.einsum("bk,bkd->bd", phi, text), phi, beyond, location


@pytest.mark.peers
@pytest.mark.parametrize("sjvasquez", [False, True])
def test_the_window_is_an_eager_one_of_pytorch(sjvasquez):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(9)
    lengths = np.array([4, 1, 3])
    inputs = [*rng.normal(size=(3, 3, 5)), rng.uniform(0, 3, size=(3, 5)), rng.normal(size=(3, 4, 2))]
    against(
        torch,
        lambda *x: window(*x, np.arange(4) < lengths[:, None], **(SJVASQUEZ if sjvasquez else {})),
        lambda *x: eager_window(torch, *x, torch.tensor(lengths), sjvasquez),
        inputs,
    )


@pytest.mark.peers
@pytest.mark.parametrize("params", [{}, {"bias": 0.5, "end_sign": 1}])
def test_the_mixture_is_that_of_torch_distributions(params):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(10)
    shapes = ((5,), (5, 3), (5, 3, 2), (5, 3, 2), (5, 3), (5, 2))
    ended, b = (rng.random(5) < 0.5) * 1.0, params.get("bias", 0.0)

    def theirs(end, importance, mean, width, correlation, point):
        (s, t), rho = torch.unbind(torch.exp(width - b), -1), torch.tanh(correlation)
        rows = [torch.stack([s * s, rho * s * t], -1), torch.stack([rho * s * t, t * t], -1)]
        each = torch.distributions.MultivariateNormal(mean, torch.stack(rows, -2))
        mixed = torch.distributions.Categorical(logits=importance * (1 + b))
        pen = torch.distributions.MixtureSameFamily(mixed, each)
        lifted = torch.distributions.Bernoulli(logits=params.get("end_sign", -1) * end)
        return -pen.log_prob(point) - lifted.log_prob(torch.tensor(ended))

    inputs = [rng.normal(size=s) for s in shapes]
    against(torch, lambda *x: density(*x, ended, **params), theirs, inputs)


@pytest.mark.peers
def test_local_p_attention_is_luongs_in_pytorch():
    torch = pytest.importorskip("torch")

    def theirs(query, keys, position_weights, position_vector):
        length = keys.shape[1]
        p = length * torch.sigmoid(torch.tanh(query @ position_weights) @ position_vector)
        s = torch.arange(1, length + 1, dtype=keys.dtype)
        scores = torch.einsum("bd,bsd->bs", query, keys)
        align = torch.softmax(scores.masked_fill((s - p).abs() > 2, -torch.inf), -1)
        weights = align * torch.exp(-((s - p) ** 2) / 2)  # a deviation of half the reach is one
        return torch.einsum("bs,bsd->bd", weights, keys), weights

    against(torch, lambda *x: local_p(*x, reach=2.0), theirs, local_p_inputs())


@pytest.mark.peers
@pytest.mark.parametrize("name", ["paper", "sjvasquez"])
def test_the_network_is_an_eager_one_of_pytorch(name):
    torch = pytest.importorskip("torch")
    shape, options = SETTINGS[name]
    xs, state, weights, characters, keep = network(**shape)
    sjvasquez = name == "sjvasquez"

    def lstm(x, hidden, cell, layer):
        z = x @ layer.input_weights + hidden @ layer.hidden_weights + layer.bias
        i, f, o, candidate = z.chunk(4, -1)
        if layer.peepholes is None:
            p_i = p_f = p_o = 0.0
        else:
            p_i, p_f, p_o = layer.peepholes.chunk(3)
        new = torch.sigmoid(f + p_f * cell) * cell + torch.sigmoid(i + p_i * cell) * torch.tanh(candidate)
        return torch.sigmoid(o + p_o * new) * torch.tanh(new), new

    def theirs(xs, text, *leaves):
        leaves = iter(leaves)
        now, parameters = rebuilt(state, leaves), rebuilt(weights, leaves)
        hidden, cell, seen, location = list(now.hidden), list(now.cell), now.window, now.location
        text, outputs = text * torch.tensor(keep)[..., None], []
        for x in xs:
            first, *upper = parameters.layers
            hidden[0], cell[0] = lstm(torch.cat([x, seen], -1), hidden[0], cell[0], first)
            told = torch.cat([seen, x, hidden[0]], -1) if sjvasquez else hidden[0]
            raw = (told @ parameters.window_weights + parameters.window_bias).chunk(3, -1)
            lengths = torch.tensor(keep.sum(-1))
            seen, phi, beyond, location = eager_window(torch, *raw, location, text, lengths, sjvasquez)
            for n, layer in enumerate(upper, 1):
                given = torch.cat([x, hidden[n - 1], seen], -1)
                hidden[n], cell[n] = lstm(given, hidden[n], cell[n], layer)
            shown = hidden[-1] if sjvasquez else torch.cat(hidden, -1)
            outputs.append([shown @ parameters.output_weights + parameters.output_bias, phi, beyond])
        return [torch.stack(each) for each in zip(*outputs)], hidden, cell, seen, location

    primals = [xs, np.nan_to_num(characters), *flat(state), *flat(weights)]
    against(torch, as_function(state, weights, keep, **options), theirs, primals)
