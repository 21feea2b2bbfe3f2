"""DRAW's windows against numbers worked out by hand, its code's latent loss, and both against PyTorch."""

import math

import numpy as np
import pytest

import scratchattn as sa

FILTERS = {v.name: v.params for v in sa.draw_filterbank.variants}
DIVERGENCES = {v.name: v.params for v in sa.gaussian_kl.variants}


def window(x=0.0, y=0.0, variance=1.0, stride=1.0, intensity=1.0, dtype=float):
    logs = [math.log(value) for value in (variance, stride, intensity)]
    return np.array([x, y, *logs], dtype)


def middles(filters):
    """Of each row, counted from pixel 0."""
    return filters @ np.arange(filters.shape[-1])


def deviation(row):
    middle = middles(row)
    return math.sqrt(row @ (np.arange(len(row)) - middle) ** 2)


# ---- where the windows are --------------------------------------------------


def test_five_windows_stand_at_minus_two_to_two_strides_around_the_centre():
    """The centre of 28 pixels is 14.5 counted from one, 13.5 from zero."""
    out = sa.draw_filterbank(window(stride=4 / 6.75), height=28, width=28, n=5)
    for filters in (out.filter_x, out.filter_y):
        assert abs(middles(filters) - [5.5, 9.5, 13.5, 17.5, 21.5]).max() < 1e-5


@pytest.mark.parametrize(
    "name, expected",
    [
        ("jang", [2.5, 6.5, 10.5, 14.5, 18.5]),  # one stride left, one pixel right
        ("jang_python_2", [5.1111, 8.6667, 12.2222, 15.7778, 19.3333]),  # around 14, strides of 6 for 6.75
        ("bornschein", [6.0, 10.0, 14.0, 18.0, 22.0]),  # half a pixel right
    ],
)
def test_where_others_put_them(name, expected):
    given = window(stride=4 / 6.75)[np.argsort(FILTERS[name].get("order", range(5)))]
    rules = FILTERS[name] | {"eps": 1e-12}
    filters = sa.draw_filterbank(given, height=28, width=28, n=5, **rules).filter_x
    assert abs(middles(filters) - expected).max() < 0.01


def test_the_raw_centre_runs_from_the_border_before_to_the_border_behind():
    """g = (A + 1) / 2 (g~ + 1): pixel 0 at -1 counted from one, that is one before the first; A + 1 at 1."""
    for raw, place in ((-1.0, 0.0), (0.0, 14.5), (1.0, 29.0)):
        given = np.array([raw, 0.0, math.log(1e6), 0.0, 0.0])
        row = sa.draw_filterbank(given, height=28, width=28, n=1).filter_x[0]
        pixels = np.arange(1, 29)
        slope = np.polyfit(pixels, np.log(row), 2)
        assert abs(-slope[1] / (2 * slope[0]) - place) < 1e-6


def test_width_and_height_have_their_own_centres_and_the_larger_one_says_the_stride():
    out = sa.draw_filterbank(window(variance=0.5, stride=0.5), height=8, width=13, n=3)
    assert out.filter_x.shape == (3, 13) and out.filter_y.shape == (3, 8)
    assert abs(middles(out.filter_x) - [3.0, 6.0, 9.0]).max() < 1e-3
    assert abs(middles(out.filter_y) - [0.5, 3.5, 6.5])[1] < 1e-3


def test_one_window_stands_at_the_centre_and_knows_no_stride():
    for stride in (1e-3, 1.0, 1e3):
        given = window(x=0.1, variance=1.0, stride=stride)
        out, pullback = sa.vjp(lambda w: sa.draw_filterbank(w, height=9, width=9, n=1).filter_x, given)
        assert abs(middles(out) - 4.5) < 1e-3
        assert pullback(np.arange(9.0)[None])[0][3] == 0


# ---- how wide they are ------------------------------------------------------


def test_a_narrow_window_between_two_pixels_has_a_deviation_of_0_535():
    """Sampling a Gaussian of 0.5 pixels does that: no error, nothing to mend."""
    row = sa.draw_filterbank(window(variance=0.25), height=28, width=28, n=1).filter_x[0]
    assert abs(deviation(row) - 0.535) < 5e-4


def test_the_squared_kernel_of_2016_is_a_deviation_of_5_4_pixels_where_2_were_asked_for():
    for rules, expected in (({}, 2.0), ({"kernel": "squared"}, 5.39)):
        row = sa.draw_filterbank(window(variance=4.0), height=28, width=28, n=1, **rules).filter_x[0]
        assert abs(deviation(row) - expected) < 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_variance_a_row_is_the_nearest_pixel(dtype):
    for log_variance in (-50.0, -1e4, -3e38):
        given = np.array([0.06, 0.0, log_variance, 0.0, 0.0], dtype)
        out, pullback = sa.vjp(lambda w: sa.draw_filterbank(w, height=4, width=9, n=1).filter_x, given)
        assert (out == np.eye(9)[[4]]).all()  # the centre is 5.3 counted from one
        assert (pullback(np.arange(9, dtype=dtype)[None])[0] == 0).all()
        halved = sa.draw_filterbank(given, height=4, width=9, n=1).filter_y
        assert (halved == [[0, 0.5, 0.5, 0]]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_with_endless_variance_a_row_is_uniform(dtype):
    given = np.array([0.1, 0.0, 1e4, 0.0, 0.0], dtype)
    out, pullback = sa.vjp(lambda w: sa.draw_filterbank(w, height=4, width=8, n=3).filter_x, given)
    assert (out == 0.125).all() and (pullback(out)[0] == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_endless_stride_leads_past_the_image_and_nothing_overflows(dtype):
    given = np.array([0.0, 0.0, 0.0, 1e4, 0.0], dtype)
    out, pullback = sa.vjp(lambda w: sa.draw_filterbank(w, height=5, width=5, n=3), given)
    assert (out.filter_x[[0, 2]] == np.eye(5)[[0, 4]]).all() and out.filter_x[1].argmax() == 2
    (gradient,) = pullback(*[np.cos(np.arange(y.size, dtype=dtype)).reshape(y.shape) for y in out])
    assert np.isfinite(gradient).all() and gradient[3] == 0


def test_beyond_the_limit_the_stride_has_no_gradient():
    """Where the windows are so wide that they still see the image from there."""
    for log_stride, moves in ((176.0, True), (177.0, True), (178.0, False)):
        given = np.array([0.0, 0.0, log_stride, log_stride, 0.0])
        _, pullback = sa.vjp(lambda w: sa.draw_filterbank(w, height=5, width=5, n=3).filter_x, given)
        (gradient,) = pullback(np.arange(15.0).reshape(3, 5) ** 2)
        assert (gradient[3] != 0) == moves and np.isfinite(gradient).all()


# ---- off the image ----------------------------------------------------------


def test_a_window_off_the_image_looks_at_its_edge():
    for raw, edge in ((60.0, -1), (-60.0, 0)):
        given = window(x=raw, variance=30.0)
        out, pullback = sa.vjp(lambda w: sa.draw_filterbank(w, height=6, width=6, n=3).filter_x, given)
        assert abs(out.sum(-1) - 1).max() < 1e-15
        assert (out.argmax(-1) == edge % 6).all() and (out[:, edge] < 1).all()
        (gradient,) = pullback(np.tile(np.arange(6.0), (3, 1)))
        assert np.isfinite(gradient).all() and gradient[0] > 0  # further right still moves to the right


@pytest.mark.parametrize("name", ["jang", "czm0", "bornschein"])
def test_with_eps_a_window_off_the_image_sees_nothing_and_learns_nothing(name):
    given = np.full(5, 0.0)
    given[:2] = 60.0
    out, pullback = sa.vjp(lambda w: sa.draw_filterbank(w, height=6, width=6, n=3, **FILTERS[name]), given)
    assert (out.filter_x == 0).all() and (out.filter_y == 0).all()
    assert (pullback(out.filter_x + 1, out.filter_y + 1, np.float64(0.0))[0] == 0).all()


def test_on_the_image_the_row_is_the_formula_as_it_is_written(rng):
    given = np.array([0.2, -0.1, 0.3, -0.4, 0.0])
    found = sa.draw_filterbank(given, height=7, width=9, n=4)
    for filters, raw, size in ((found.filter_x, 0.2, 9), (found.filter_y, -0.1, 7)):
        mu = (size + 1) / 2 * (raw + 1) + (np.arange(1, 5) - 4 / 2 - 0.5) * (8 / 3) * math.exp(-0.4)
        plain = np.exp(-((np.arange(1, size + 1) - mu[:, None]) ** 2) / (2 * math.exp(0.3)))
        assert abs(filters - plain / plain.sum(-1, keepdims=True)).max() < 1e-15


def test_a_plain_quotient_is_nan_where_ours_is_not():
    mu, pixels = 70.0, np.arange(1, 7)
    with np.errstate(invalid="ignore"):
        plain = np.exp(-((pixels - mu) ** 2) / 2)
        assert np.isnan(plain / plain.sum()).all()
    given = np.array([70 / 3.5 - 1, 0.0, 0.0, 0.0, 0.0])
    row = sa.draw_filterbank(given, height=6, width=6, n=1).filter_x[0]
    ratio = [math.exp(-(a - 6) * (a + 6 - 140) / 2) for a in pixels]
    assert abs(row - np.array(ratio) / sum(ratio)).max() < 1e-15


# ---- reading and writing ----------------------------------------------------


def test_writing_is_the_adjoint_of_reading_but_for_the_intensity(rng):
    image, patch = rng.normal(size=(2, 3, 6, 7)), rng.normal(size=(2, 3, 4, 4))
    raw = 0.5 * rng.normal(size=(2, 1, 5))
    *filters, intensity = sa.draw_filterbank(raw, height=6, width=7, n=4)
    seen, painted = sa.draw_read(image, *filters, intensity), sa.draw_write(patch, *filters, intensity)
    left, right = (seen * patch).sum((-2, -1)), intensity**2 * (image * painted).sum((-2, -1))
    assert (abs(left - right) <= 1e-14 * abs(left).max()).all()


def test_what_is_written_without_variance_is_read_again(rng):
    patch = rng.normal(size=(3, 3))
    given = np.array([0.0, 0.0, -1e4, math.log(2 / 4), 0.7])  # windows two pixels apart
    *filters, intensity = sa.draw_filterbank(given, height=9, width=9, n=3)
    painted = sa.draw_write(patch, *filters, intensity)
    assert abs(sa.draw_read(painted, *filters, intensity) - patch).max() < 1e-15
    assert np.count_nonzero(painted) == 9


def test_rows_of_the_image_are_the_second_axis_from_behind():
    image = np.zeros((5, 7))
    image[1, 6] = 1.0
    given = np.array([5 / 4 - 0.5, -0.5, -1e4, 0.0, 0.0])  # x 7 of 7, y 1.5 of 5 counted from one
    *filters, _ = sa.draw_filterbank(given, height=5, width=7, n=1)
    assert filters[0][0].argmax() == 6
    assert sa.draw_read(image, *filters, 2.0) == 1.0  # half of it, twice as bright


# ---- the divergence ---------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 10, 100])
def test_the_prior_itself_costs_nothing_in_any_number_of_dimensions(n):
    code = np.zeros(n)
    out, pullback = sa.vjp(sa.gaussian_kl, code, code)
    assert out == 0.0 and not any(g.any() for g in pullback(np.float64(1.0)))
    assert sa.gaussian_kl(code, code, deviations=True) == 0.0


def test_the_constants_of_published_code_at_the_prior():
    """Ten steps of ten dimensions: T/2 is right there by chance, 1/2 is 45 nats off."""
    code = np.zeros((10, 10))
    assert sa.gaussian_kl(code, code, **DIVERGENCES["jang_2016"]).sum() == 0.0
    assert sa.gaussian_kl(code, code, **DIVERGENCES["jang"]).sum() == 45.0
    assert sa.gaussian_kl(code[:, :4], code[:, :4], **DIVERGENCES["czm0"]).sum() == -30.0


def test_the_divergence_is_the_integral_of_the_densities():
    mean, log_variance, prior_mean, prior_log_variance = 0.3, -0.8, -0.2, 0.5

    def log_density(x, m, v):
        return -((x - m) ** 2) / (2 * math.exp(v)) - v / 2 - math.log(2 * math.pi) / 2

    x = np.linspace(-12, 12, 2001)  # a sum over equal steps is exact for what vanishes at both ends
    own = log_density(x, mean, log_variance)
    integral = (np.exp(own) * (own - log_density(x, prior_mean, prior_log_variance))).sum() * (x[1] - x[0])
    arrays = [np.array([a]) for a in (mean, log_variance, prior_mean, prior_log_variance)]
    assert abs(sa.gaussian_kl(*arrays) - integral) < 1e-13


@pytest.mark.parametrize("log_variance", [1e-12, -1e-8, 1e-4, -0.4999999, 0.4999999, -0.5, 0.5, 0.7])
def test_the_divergence_keeps_all_digits_near_the_prior(log_variance):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        v = mpmath.mpf(log_variance)
        truth, slope = float((mpmath.exp(v) - 1 - v) / 2), float(mpmath.expm1(v) / 2)
    found, pullback = sa.vjp(sa.gaussian_kl, np.zeros(1), np.array([log_variance]))
    assert abs(found - truth) <= 8e-16 * truth
    assert abs(pullback(np.float64(1.0))[1][0] - slope) <= 8e-16 * abs(slope)


# ---- refusals, and PyTorch --------------------------------------------------


@pytest.mark.parametrize(
    "params, message",
    [
        ({"n": 0}, "n must be an int from 1, got 0"),
        ({"width": 2.0}, "width must be an int from 1, got 2.0"),
        ({"order": (0, 1, 2, 3, 3)}, "order must hold each of 0..4 once"),
        ({"first_pixel": 2}, "first_pixel must be one of 0, 1, got 2"),
        ({"kernel": "box"}, "kernel must be one of 'gaussian', 'squared', got 'box'"),
        ({"normaliser": "added"}, "eps must be positive for added, got 0.0"),
    ],
)
def test_a_wrong_param_is_refused_by_name(params, message):
    with pytest.raises(ValueError, match=f"^draw_filterbank: {message}"):
        sa.draw_filterbank(np.zeros(5), **{"height": 3, "width": 3, "n": 2} | params)


def test_a_size_is_missing():
    with pytest.raises(TypeError, match="draw_filterbank: the parameter height is missing"):
        sa.draw_filterbank(np.zeros(5), width=3, n=2)


def test_the_sizes_of_outputs_are_declared_by_params():
    declared = sa.draw_filterbank._signature.output_shapes([(7, 5)], {"height": 3, "width": 4, "n": 2})
    assert declared == [(7, 2, 4), (7, 2, 3), (7,)]


def filters_in_torch(torch, raw, height, width, n):
    """The equations as a user of PyTorch would write them; rows sum to one."""
    rows = []
    for k, size in ((0, width), (1, height)):
        stride = (max(height, width) - 1) / (n - 1) * raw[..., 3].exp()
        place = torch.arange(1, n + 1, dtype=raw.dtype) - n / 2 - 0.5
        mu = (size + 1) / 2 * (raw[..., k, None] + 1) + place * stride[..., None]
        away = torch.arange(1, size + 1, dtype=raw.dtype) - mu[..., None]
        rows.append(torch.softmax(-away * away / (2 * raw[..., 2, None, None].exp()), -1))
    return rows


@pytest.mark.peers
def test_reading_and_writing_are_as_pytorch_differentiates_them(rng):
    torch = pytest.importorskip("torch")
    image, raw = rng.normal(size=(2, 6, 7)), 0.4 * rng.normal(size=(2, 5))
    weights = rng.normal(size=(2, 6, 7))

    def ours(image, raw):
        *filters, intensity = sa.draw_filterbank(raw, height=6, width=7, n=3)
        return sa.draw_write(sa.draw_read(image, *filters, intensity), *filters, intensity * intensity)

    out, pullback = sa.vjp(ours, image, raw)
    theirs = [torch.tensor(x, requires_grad=True) for x in (image, raw)]
    filter_x, filter_y = filters_in_torch(torch, theirs[1], 6, 7, 3)
    bright = theirs[1][:, 4, None, None].exp()
    patch = bright * filter_y @ theirs[0] @ filter_x.mT
    expected = filter_y.mT @ patch @ filter_x / bright**2
    expected.backward(torch.tensor(weights))
    assert abs(out - expected.detach().numpy()).max() < 1e-12 * abs(out).max()
    for found, truth in zip(pullback(weights), theirs):
        assert abs(found - truth.grad.numpy()).max() < 1e-12 * abs(found).max()


@pytest.mark.peers
@pytest.mark.parametrize("standard", [True, False])
def test_the_divergence_is_pytorchs(rng, standard):
    torch = pytest.importorskip("torch")
    from torch.distributions import Normal, kl_divergence

    arrays = list(rng.normal(size=(2 if standard else 4, 3, 4)))
    out, pullback = sa.vjp(sa.gaussian_kl, *arrays)
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    pairs = [(mean, (log / 2).exp()) for mean, log in zip(theirs[::2], theirs[1::2])]
    code, prior = (
        Normal(*pairs[0]),
        Normal(torch.zeros(()), torch.ones(())) if standard else Normal(*pairs[1]),
    )
    expected = kl_divergence(code, prior).sum(-1)
    expected.backward(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    assert abs(out - expected.detach().numpy()).max() < 1e-12 * abs(out).max()
    for found, truth in zip(pullback(np.array([1.0, -2.0, 0.5])), theirs):
        assert abs(found - truth.grad.numpy()).max() < 1e-12 * abs(found).max()
