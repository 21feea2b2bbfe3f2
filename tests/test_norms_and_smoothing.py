"""RMS normalisation and label smoothing: golden numbers, edges, and PyTorch as a second opinion."""

import numpy as np
import pytest

import scratchattn as sa

rms_norm, smoothed, layer_norm = sa.rms_norm, sa.smoothed_cross_entropy, sa.layer_norm
CONVENTION = {v.name: v.params for op in (rms_norm, smoothed) for v in op.variants if v.name != "torch"}


def close(found, truth, tolerance=1e-12):
    for a, b in zip(found, truth, strict=True):
        b = np.asarray(b)
        assert a.shape == b.shape and abs(a - b).max() <= tolerance * abs(b).max()


# ---- RMS normalisation ----------------------------------------------------------


def test_three_and_four_have_the_root_mean_square_of_the_root_of_twelve_and_a_half():
    out = rms_norm(np.array([3.0, 4.0]), np.array([1.0, 2.0]), eps=1e-300)
    assert abs(out - np.array([3.0, 8.0]) / 12.5**0.5).max() < 1e-15


def test_it_is_layer_norm_of_a_row_whose_mean_is_zero(rng):
    x, weight = rng.normal(size=(4, 6)), rng.normal(size=6)
    x -= x.mean(-1, keepdims=True)
    assert abs(rms_norm(x, weight, eps=1e-5) - layer_norm(x, weight, eps=1e-5)).max() < 1e-14


def test_gemma_has_one_more_than_its_weight_and_starts_as_the_identity(rng):
    x, weight = rng.normal(size=(4, 6)), rng.normal(size=6)
    assert (rms_norm(x, weight, **CONVENTION["gemma"]) == rms_norm(x, 1.0 + weight)).all()
    assert (rms_norm(x, 0 * weight, **CONVENTION["gemma"]) == rms_norm(x)).all()


@pytest.mark.parametrize("name, slope", [("llama", 1e-5**-0.5), ("t5", 1e3), ("authors", 1e8)])
def test_a_row_of_zeros_stays_and_its_gradient_is_one_over_the_root_of_eps(name, slope):
    out, pullback = sa.vjp(lambda x: rms_norm(x, **CONVENTION[name]), np.zeros(4))
    (dx,) = pullback(np.array([1.0, 0.0, 0.0, 0.0]))
    assert not out.any() and abs(dx - [slope, 0, 0, 0]).max() <= 1e-15 * slope


@pytest.mark.parametrize("eps", [1e-5, 1e-8, 1e-12])
def test_one_feature_is_its_sign_and_learns_what_eps_leaves(eps):
    """y = x / sqrt(x^2 + eps), dy/dx = eps / (x^2 + eps)^1.5: to all digits, where 1 - y^2 has few."""
    x = np.array([[2.0], [-0.5], [3e-3]])
    out, pullback = sa.vjp(lambda x: rms_norm(x, eps=eps), x)
    close([out, *pullback(np.ones_like(x))], [x / np.sqrt(x * x + eps), eps / (x * x + eps) ** 1.5], 2e-15)


def test_a_dominant_feature_learns_from_the_others(rng):
    """A square 1e16 times all others together: 1 - y^2 / d is 1e-16, found to twelve digits."""
    mpmath = pytest.importorskip("mpmath")
    x = np.array([1e8, 0.3, -0.7, 0.5])
    _, pullback = sa.vjp(lambda x: rms_norm(x, eps=1e-5), x)
    (dx,) = pullback(np.array([1.0, 0.0, 0.0, 0.0]))
    with mpmath.workdps(60):
        rest = sum(mpmath.mpf(float(v)) ** 2 for v in x[1:]) / 4 + mpmath.mpf(1e-5)
        truth = float(rest / (rest + mpmath.mpf(1e8) ** 2 / 4) ** mpmath.mpf(1.5))
    assert abs(dx[0] - truth) <= 1e-12 * truth


def test_float32_neither_overflows_nor_loses_the_scale():
    x = np.array([3e30, -4e30, 0.0], np.float32)
    out = rms_norm(x)
    assert out.dtype == np.float32 and abs(out - np.array([3, -4, 0]) * (3 / 25) ** 0.5).max() < 1e-6


@pytest.mark.parametrize(
    "params, words",
    [
        ({"eps": 0.0}, "eps must be positive, got 0.0"),
        ({"eps_on": "variance"}, "eps_on must be 'mean_square' or 'root', got 'variance'"),
    ],
)
def test_a_spread_that_may_be_zero_is_refused(params, words):
    with pytest.raises(ValueError, match=f"rms_norm: {words}"):
        rms_norm(np.ones(3), **params)


@pytest.mark.peers
@pytest.mark.parametrize("eps", [1e-5, 1e-6, 2.0**-23])
def test_pytorch_agrees_about_rms_norm(rng, eps):
    torch = pytest.importorskip("torch")
    arrays = [rng.normal(size=(2, 3, 8)), rng.normal(size=8)]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = torch.nn.functional.rms_norm(theirs[0], (8,), theirs[1], eps=eps)
    u = rng.normal(size=out.shape)
    out.backward(torch.tensor(u))
    ours, pullback = sa.vjp(lambda *a: rms_norm(*a, eps=eps), *arrays)
    close([ours, *pullback(u)], [out.detach().numpy(), *[t.grad.numpy() for t in theirs]])


@pytest.mark.peers
def test_the_authors_code_agrees_about_eps_on_the_root(rng):
    torch = pytest.importorskip("torch")
    arrays = [rng.normal(size=(3, 8)), rng.normal(size=8)]
    x, weight = (torch.tensor(a, requires_grad=True) for a in arrays)
    out = weight * (x / (x.norm(dim=-1, keepdim=True) / 8**0.5 + 1e-8))
    u = rng.normal(size=out.shape)
    out.backward(torch.tensor(u))
    ours, pullback = sa.vjp(lambda *a: rms_norm(*a, **CONVENTION["authors"]), *arrays)
    close([ours, *pullback(u)], [out.detach().numpy(), x.grad.numpy(), weight.grad.numpy()])


# ---- label smoothing --------------------------------------------------------------


def targets(classes, c, smoothing, spread, padding=None):
    """The target distributions, row by row."""
    n = c - {"all": 0, "others": 1, "others_but_padding": 2}[spread]
    q = np.full((len(classes), c), smoothing / n)
    right = np.arange(c) == np.asarray(classes)[:, None]
    q = np.where(right, 1 - smoothing + (smoothing / n if spread == "all" else 0), q)
    return np.where(np.arange(c) == padding, 0, q) if spread == "others_but_padding" else q


@pytest.mark.parametrize("spread", ["all", "others", "others_but_padding"])
def test_the_gradient_is_the_answer_minus_the_target(rng, spread):
    logits, classes = rng.normal(size=(4, 6)), np.array([1, 2, 5, 3])
    rest = {"smoothing": 0.2, "spread": spread, "padding": 0}
    q = targets(classes, 6, 0.2, spread, 0)
    assert abs(q.sum(-1) - 1).max() < 1e-15
    loss, pullback = sa.vjp(lambda z: smoothed(z, classes, **rest), logits)
    a = sa.softmax(logits)
    close([loss, *pullback(np.ones(4))], [-(q * np.log(a)).sum(-1), a - q], 1e-14)
    apart = smoothed(logits, classes, **rest, divergence=True)
    entropy = -(q * np.log(np.where(q > 0, q, 1))).sum(-1)
    assert abs(loss - apart - entropy).max() < 1e-14 and (apart > 0).all()


def test_targets_of_five_classes_are_those_of_the_annotated_transformers_picture():
    """Smoothing 0.4 of five classes, class 0 the padding: 0.6 and twice 0.4 / 3, and a row of zeros."""
    logits, classes = np.zeros((3, 5)), np.array([2, 1, 0])
    _, pullback = sa.vjp(lambda z: smoothed(z, classes, smoothing=0.4, **CONVENTION["annotated"]), logits)
    (dlogits,) = pullback(np.ones(3))
    third = 0.4 / 3
    expected = [[0, third, 0.6, third, third], [0, 0.6, third, third, third]]
    assert abs((0.2 - dlogits[:2]) - expected).max() < 1e-15 and not dlogits[2].any()


def test_nothing_smoothed_is_cross_entropy(rng):
    logits, classes = 30 * rng.normal(size=(4, 6)), np.array([1, 2, 5, 3])
    plain, pull_plain = sa.vjp(lambda z: sa.softmax_cross_entropy(z, classes), logits)
    for spread in ("all", "others", "others_but_padding"):
        rest = {"smoothing": 0.0, "spread": spread, "padding": 0}
        loss, pullback = sa.vjp(lambda z, rest=rest: smoothed(z, classes, **rest), logits)
        close([loss, *pullback(np.ones(4))], [plain, *pull_plain(np.ones(4))], 1e-15)


def test_padding_and_what_is_not_kept_give_zero_and_are_not_read(rng):
    logits, classes = rng.normal(size=(4, 6)), np.array([1, -100, 5, 3])
    logits[1:3] = np.nan
    keep = np.array([True, True, False, True])
    loss, pullback = sa.vjp(lambda z: smoothed(z, classes, keep, padding=-100), logits)
    (dlogits,) = pullback(np.array([1.0, np.nan, np.nan, 2.0]))
    assert loss[1] == loss[2] == 0 and not dlogits[1:3].any() and np.isfinite(dlogits).all()
    alone = smoothed(logits[[0, 3]], classes[[0, 3]])
    assert (loss[[0, 3]] == alone).all()


@pytest.mark.parametrize("size", [50.0, 1e4])
def test_extreme_logits_lose_no_digit(size):
    """Right by ``size``, with 0.925 of the target and 0.025 on each of three others; wrong by it."""
    logits = np.array([size, 0.0, 0.0, 0.0])
    for k, share in ((0, 0.075), (1, 0.975)):
        expected = share * size + np.log1p(3 * np.exp(-size))
        assert abs(smoothed(logits, np.array(k)) - expected) <= 1e-15 * size


@pytest.mark.parametrize(
    "c, params, words",
    [
        (3, {"spread": "most"}, "spread must be one of all, others, others_but_padding, got 'most'"),
        (3, {"smoothing": -0.1}, "smoothing must be from 0 to 1, got -0.1"),
        (3, {"smoothing": 1.5}, "smoothing must be from 0 to 1, got 1.5"),
        (3, {"padding": 1.0}, "padding must be None or an int, got 1.0"),
        (0, {}, "c must be at least 1 to spread over all, got 0"),
        (1, {"spread": "others"}, "c must be at least 2 to spread over others, got 1"),
        (2, {"spread": "others_but_padding", "padding": 0}, "c must be at least 3 to spread"),
        (3, {"spread": "others_but_padding"}, "padding must be in 0..2 to spread .* got None"),
        (3, {"spread": "others_but_padding", "padding": 3}, "padding must be in 0..2 to spread .* got 3"),
    ],
)
def test_settings_that_make_no_target_are_named(c, params, words):
    with pytest.raises((TypeError, ValueError), match=f"smoothed_cross_entropy: {words}"):
        smoothed(np.zeros((2, c)), np.zeros(2, int), **params)


def test_a_class_out_of_range_is_refused_where_it_counts():
    logits, classes = np.zeros((2, 3)), np.array([1, 7])
    with pytest.raises(ValueError, match=r"smoothed_cross_entropy: classes must be in 0..2, got 7"):
        smoothed(logits, classes)
    assert smoothed(logits, classes, np.array([True, False]))[1] == 0


@pytest.mark.peers
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_pytorch_agrees_about_smoothing_and_ignored_targets(rng, smoothing):
    torch = pytest.importorskip("torch")
    logits, classes = 5 * rng.normal(size=(6, 5)), np.array([4, 0, -100, 2, 2, -100])
    theirs = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        theirs, torch.tensor(classes), reduction="none", label_smoothing=smoothing
    )
    u = rng.normal(size=6)
    loss.backward(torch.tensor(u))
    ours, pullback = sa.vjp(lambda z: smoothed(z, classes, smoothing=smoothing, padding=-100), logits)
    close([ours, *pullback(u)], [loss.detach().numpy(), theirs.grad.numpy()])


@pytest.mark.peers
def test_the_annotated_transformers_divergence_agrees(rng):
    """KLDivLoss against a distribution without the padding's column, rows of padding set to zero."""
    torch = pytest.importorskip("torch")
    logits, classes = 5 * rng.normal(size=(5, 6)), np.array([4, 0, 1, 2, 0])
    q = np.where(classes[:, None] == 0, 0, targets(classes, 6, 0.1, "others_but_padding", 0))
    theirs = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.KLDivLoss(reduction="none")(theirs.log_softmax(-1), torch.tensor(q)).sum(-1)
    u = rng.normal(size=5)
    loss.backward(torch.tensor(u))
    ours, pullback = sa.vjp(lambda z: smoothed(z, classes, **CONVENTION["annotated"]), logits)
    close([ours, *pullback(u)], [loss.detach().numpy(), theirs.grad.numpy()])


@pytest.mark.peers
def test_tensor2tensors_and_fairseqs_sums_agree(rng):
    """The first takes its best value off, the second writes 1 - e as (1 - e - e_i) + e_i."""
    torch = pytest.importorskip("torch")
    logits, classes, e = 5 * rng.normal(size=(5, 6)), np.array([4, 3, 1, 2, 5]), 0.1
    log = torch.tensor(logits).log_softmax(-1)
    right = -log[torch.arange(5), torch.tensor(classes)]
    each = e / 5
    fairseq = ((1 - e - each) * right - each * log.sum(-1)).numpy()
    best = -((1 - e) * np.log(1 - e) + 5 * each * np.log(each))
    close([smoothed(logits, classes, **CONVENTION["fairseq"])], [fairseq])
    close([smoothed(logits, classes, **CONVENTION["tensor2tensor"])], [fairseq - best])
