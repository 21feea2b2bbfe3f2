"""Convolution and average pooling: numbers by hand, what must hold at any size, SciPy's and PyTorch's."""

import warnings

import numpy as np
import pytest
from drawing import drawn_like, equal, given, inner, run, same, seeds, st
from scipy import signal

import scratchattn as sa
from gradcheck.numeric import complex_step
from gradcheck.subject import distance

CONV, POOL = sa.REGISTRY["conv2d"], sa.REGISTRY["average_pooling"]
EPS = float(np.finfo(float).eps)
SIXTEEN, TWENTY_FIVE = np.arange(1.0, 17.0).reshape(1, 4, 4), np.arange(1.0, 26.0).reshape(5, 5)


def kernel_of(*rows):
    return np.asarray(rows, float)[None, None]


# ---- numbers by hand --------------------------------------------------------


def test_an_impulse_shows_the_kernel_turned_by_half_and_a_convolution_shows_it_as_it_is():
    impulse = np.zeros((1, 3, 3))
    impulse[0, 1, 1] = 1.0
    kernel = kernel_of([1, 2], [3, 4])
    assert CONV(impulse, kernel)[0].tolist() == [[4, 3], [2, 1]]
    assert CONV(impulse, kernel, flip_kernel=True)[0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "params, expected",
    [
        ({}, [[-11, -12, -13], [-15, -16, -17], [-19, -20, -21]]),
        ({"stride": 2}, [[-11, -13], [-19, -21]]),
        ({"stride": (2, 1)}, [[-11, -12, -13], [-19, -20, -21]]),
        ({"dilation": (1, 3)}, [[-15], [-19], [-23]]),
        ({"padding": ((0, 0), (1, 0)), "stride": (2, 1)}, [[-10, -11, -12, -13], [-26, -19, -20, -21]]),
        (
            {"padding": "same"},
            [[-11, -12, -13, 4], [-15, -16, -17, 8], [-19, -20, -21, 12], [13, 14, 15, 16]],
        ),
        ({"padding": "same", "stride": 3}, [[-11, 4], [13, 16]]),
        ({"padding": 1, "stride": 3}, [[-2, -8], [-26, -21]]),
    ],
)
def test_a_pixel_less_twice_the_one_across_the_corner(params, expected):
    assert CONV(SIXTEEN, kernel_of([1, 0], [0, -2]), **params)[0].tolist() == expected


@pytest.mark.parametrize(
    "params, expected",
    [
        ({}, [[4, 6], [14, 16]]),  # five are two twos and one left over, which is dropped
        ({"ceil_mode": True}, [[4, 6, 7.5], [14, 16, 17.5], [21.5, 23.5, 25]]),
        ({"stride": 3}, [[4, 7], [19, 22]]),
        ({"size": 3, "padding": 1, "count_include_pad": False}, [[4, 6.5], [16.5, 19]]),
        ({"size": 3, "padding": 1}, [[16 / 9, 39 / 9], [11, 19]]),
        ({"padding": "same"}, [[4, 6, 3.75], [14, 16, 8.75], [10.75, 11.75, 6.25]]),
        ({"padding": "same", "count_include_pad": False}, [[4, 6, 7.5], [14, 16, 17.5], [21.5, 23.5, 25]]),
        ({"size": (5, 1), "stride": 1}, [[11, 12, 13, 14, 15]]),
    ],
)
def test_means_of_twenty_five_pixels(params, expected):
    same(POOL(TWENTY_FIVE, **{"size": 2, **params}), np.asarray(expected, float), 1e-15)


def test_a_pixel_gives_a_share_to_every_window_that_it_is_in():
    _, pullback = sa.vjp(lambda x: POOL(x, size=2, stride=1), np.zeros((3, 3)))
    (shares,) = pullback(np.ones((2, 2)))
    assert shares.tolist() == [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]
    _, pullback = sa.vjp(lambda x: POOL(x, size=2), np.zeros((3, 3)))
    (shares,) = pullback(np.ones((1, 1)))
    assert shares.tolist() == [[0.25, 0.25, 0], [0.25, 0.25, 0], [0, 0, 0]]


def test_pixels_that_no_window_sees_may_hold_anything():
    image = SIXTEEN.copy()
    image[:, 2:, :], image[:, :, 2:] = np.nan, np.inf
    with np.errstate(invalid="raise"):
        out, dimage, dkernel = run(CONV, image, kernel_of([1, 0], [0, -2]), stride=3)
        assert out.tolist() == [[[-11]]] and np.isfinite(dkernel).all()
        assert (dimage[:, 2:] == 0).all() and (dimage[:, :, 2:] == 0).all()
        out, dimage = run(POOL, image[..., :3, :3], size=2)
        assert out.tolist() == [[[3.5]]] and (dimage[:, 2:] == 0).all()


# ---- at any size ------------------------------------------------------------

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
two_batches = st.sampled_from([((), ()), ((2,), ()), ((), (2,)), ((2,), (2,)), ((2, 1), (3,)), ((0,), ())])


@st.composite
def frames(draw, least=(0, 0), most=3):
    """ "same", or zeros on four sides; and how many of them there are down and across at the least."""
    if draw(st.integers(0, 3)) == 3:
        return "same", least
    frame = tuple(tuple(draw(st.integers(0, most)) for _ in "<>") for _ in least)
    return frame, tuple(max(n - sum(zeros), 1) for n, zeros in zip(least, frame))


@st.composite
def convolutions(draw):
    """Inputs and params of conv2d: windows that fit, of any form."""
    size, stride, dilation = draw(pairs), draw(pairs), draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    padding, least = draw(frames([d * (k - 1) + 1 for k, d in zip(size, dilation)]))
    (images, kernels), c, o = draw(two_batches), draw(st.integers(0, 2)), draw(st.integers(0, 2))
    y, x = (n + draw(st.integers(0, 3)) for n in least)
    rng = np.random.default_rng(draw(seeds))
    image, kernel = rng.normal(size=(*images, c, y, x)), rng.normal(size=(*kernels, o, c, *size))
    bias = rng.normal(size=(*kernels, o)) if draw(st.booleans()) else None
    params = {"stride": stride, "dilation": dilation, "padding": padding, "flip_kernel": draw(st.booleans())}
    return CONV, (image, kernel, bias), params


@st.composite
def poolings(draw):
    """The same of average_pooling."""
    size, stride = draw(pairs), draw(st.none() | pairs)
    padding, least = draw(frames(size, most=min(size) - 1))
    batch, (y, x) = (
        draw(st.sampled_from([(), (2,), (1, 2), (0,)])),
        (n + draw(st.integers(0, 4)) for n in least),
    )
    image = np.random.default_rng(draw(seeds)).normal(size=(*batch, y, x))
    params = {"size": size, "stride": stride, "padding": padding}
    return POOL, (image,), params | {k: draw(st.booleans()) for k in ("count_include_pad", "ceil_mode")}


calls = convolutions() | poolings()


@given(calls)
def test_the_forward_is_the_definition_and_has_the_shape_declared(call):
    op, inputs, params = call
    out = op(*inputs, **params)
    assert [out.shape] == op.shape_rule(*[None if x is None else x.shape for x in inputs], **params)
    same(out, np.asarray(op.loops(*inputs, **params), float).reshape(out.shape), 1e-13)


@given(calls)
def test_the_backward_is_the_adjoint(call):
    op, inputs, params = call
    active = [x for x in inputs if x is not None]
    out, pullback = sa.vjp(lambda *x: op(*x, **params), *active)
    (u,), v = drawn_like(np.random.default_rng(0), [out]), drawn_like(np.random.default_rng(1), active)
    gradients = pullback(u)
    (pushed,) = complex_step(lambda *x: (op(*x, **params),), active, v)
    size = max(inner(map(abs, gradients), map(abs, v)), inner([abs(u)], [abs(pushed)]))
    assert abs(inner([u], [pushed]) - inner(gradients, v)) <= 256 * EPS * size


@given(calls)
def test_the_same_bits_twice_of_inputs_left_alone_and_float32_stays_float32(call):
    op, inputs, params = call
    for dtype in (np.float64, np.float32):
        arrays = [None if x is None else x.astype(dtype) for x in inputs]
        for x in arrays:
            if x is not None:
                x.flags.writeable = False
        found = run(op, *arrays, **params)
        assert {a.dtype for a in found} == {np.dtype(dtype)}
        equal(run(op, *arrays, **params), found)


@given(calls, seeds)
def test_an_image_alone_is_the_image_in_the_batch(call, seed):
    """And what all of them do to a kernel is the sum of what each does."""
    op, (image, *weights), params = call
    axes = 3 if op is CONV else 2
    if image.ndim == axes or (weights and weights[0].ndim > 4):
        return
    rng = np.random.default_rng(seed)
    out = op(image, *weights, **params)
    u = rng.normal(size=out.shape)
    _, dimage, *dweights = run(op, image, *weights, cotangents=[u], **params)
    sums = [np.zeros(g.shape) for g in dweights]
    for place in np.ndindex(image.shape[:-axes]):
        own, down, *drest = run(op, image[place], *weights, cotangents=[u[place]], **params)
        same([own, down], [out[place], dimage[place]], 1e-13)
        sums = [a + b for a, b in zip(sums, drest)]
    same(dweights, sums, 1e-12)


@given(st.integers(0, 9), pairs, pairs, pairs)
def test_same_has_as_many_rows_as_strides_fit_into_the_image(n, size, stride, dilation):
    image, kernel = np.ones((1, n, n)), np.ones((1, 1, *size))
    out = CONV(image, kernel, padding="same", stride=stride, dilation=dilation)
    assert out.shape == (1, -(-n // stride[0]), -(-n // stride[1]))
    pooled = POOL(image, size=size, padding="same", stride=stride, count_include_pad=False)
    assert pooled.shape == out.shape and (pooled == 1).all()


@given(poolings())
def test_pooling_is_convolution_with_a_constant_kernel_where_all_entries_count(call):
    _, (image,), params = call
    params = {k: v for k, v in params.items() if k not in ("count_include_pad", "ceil_mode")}
    size = params.pop("size")
    kernel, stride = np.full((1, 1, *size), 1 / (size[0] * size[1])), params.pop("stride") or size
    found = CONV(image[..., None, :, :], kernel, stride=stride, **params)[..., 0, :, :]
    same(found, POOL(image, size=size, stride=stride, **params), 1e-13)


def test_groups_are_leading_axes(rng):
    image, kernel, bias = (
        rng.normal(size=(2, 3, 2, 4, 5)),
        rng.normal(size=(3, 4, 2, 3, 2)),
        rng.normal(size=(3, 4)),
    )
    out = CONV(image, kernel, bias, padding=1)
    assert out.shape == (2, 3, 4, 4, 6)
    for g in range(3):
        same(CONV(image[:, g], kernel[g], bias[g], padding=1), out[:, g], 1e-13)


@pytest.mark.parametrize("mode, padding", [("valid", 0), ("full", (2, 1)), ("same", "same")])
def test_scipys_convolution_and_correlation(rng, mode, padding):
    image, kernel = rng.normal(size=(5, 6)), rng.normal(size=(3, 2))
    if mode == "same":
        kernel = kernel[:, :1]  # of an even width SciPy keeps the other half
    inputs = image[None], kernel[None, None]
    same(CONV(*inputs, padding=padding)[0], signal.correlate2d(image, kernel, mode), 1e-13)
    flipped = CONV(*inputs, padding=padding, flip_kernel=True)[0]
    same(flipped, signal.convolve2d(image, kernel, mode), 1e-13)


# ---- wrong calls ------------------------------------------------------------


@pytest.mark.parametrize(
    "params, message",
    [
        ({"stride": 0}, "stride must be an int from 1 or two of them, got 0"),
        ({"stride": (1, 2, 3)}, r"stride must be an int from 1 or two of them, got \(1, 2, 3\)"),
        ({"stride": 1.5}, "stride must be an int or a tuple of ints, got 1.5"),
        ({"dilation": (1, 0)}, r"dilation must be an int from 1 or two of them, got \(1, 0\)"),
        ({"padding": -1}, "padding must be 'same', an int from 0, or two of them .*, got -1"),
        ({"padding": "valid"}, "padding must be 'same', an int from 0, .*, got 'valid'"),
        ({"padding": ((1, 2, 3), 0)}, r"padding must be 'same', .*, got \(\(1, 2, 3\), 0\)"),
        ({"flip_kernel": 1}, "flip_kernel must be True or False, got 1"),
        ({"dilation": 4}, r"a window that spans 5 must fit, got 4 with padding \(0, 0\)"),
    ],
)
def test_a_wrong_convolution_is_refused_by_name(params, message):
    with pytest.raises((TypeError, ValueError), match=f"conv2d: {message}"):
        CONV(SIXTEEN, kernel_of([1, 0], [0, -2]), **params)


@pytest.mark.parametrize(
    "shapes, message",
    [
        (((2, 4, 4), (3, 1, 2, 2)), r"c is both 2 and 1 in image \(2, 4, 4\), kernel \(3, 1, 2, 2\)"),
        (((1, 4, 4), (3, 1, 2, 2), (2,)), r"o is both 3 and 2 in image .*, bias \(2,\)"),
        (((4, 4), (3, 1, 2, 2)), r"image must have the axes \(c,y,x\), got shape \(4, 4\)"),
        (((1, 4, 4), (1, 1, 0, 2)), r"kernel must have rows and columns, got shape \(1, 1, 0, 2\)"),
        (((2, 1, 4, 4), (3, 1, 1, 1, 1)), "the leading axes do not broadcast, got image"),
    ],
)
def test_arrays_that_do_not_fit_are_named(shapes, message):
    with pytest.raises(ValueError, match=f"conv2d: {message}"):
        CONV(*[np.ones(shape) for shape in shapes])


@pytest.mark.parametrize(
    "shape, params, message",
    [
        ((4, 4), {}, "the parameter size is missing"),
        ((4, 4), {"size": 0}, "size must be an int from 1 or two of them, got 0"),
        ((4, 4), {"size": 5}, r"a window that spans 5 must fit, got 4 with padding \(0, 0\)"),
        ((4, 4), {"size": 2, "stride": (0, 1)}, "stride must be an int from 1"),
        ((4, 4), {"size": 2, "padding": (2, 0)}, "padding must be less than size 2, got 2"),
        ((0, 4), {"size": 2, "padding": 1}, "image must have rows and columns"),
        ((4, 4), {"size": 2, "count_include_pad": 0}, "count_include_pad must be True or False, got 0"),
        ((4,), {"size": 2}, r"image must have the axes \(y,x\), got shape \(4,\)"),
    ],
)
def test_a_wrong_pooling_is_refused_by_name(shape, params, message):
    with pytest.raises((TypeError, ValueError), match=f"average_pooling: {message}"):
        POOL(np.ones(shape), **params)


# ---- PyTorch ----------------------------------------------------------------


def held_against(torchs, op, inputs, params):
    """Forward and every gradient of ``op``, against torch's function of the same arrays."""
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    out = torchs(*leaves)
    u = np.random.default_rng(1).normal(size=tuple(out.shape))
    out.backward(torch.from_numpy(u))
    theirs = [out.detach()] + [x.grad for x in leaves]
    for i, (a, b) in enumerate(zip(run(op, *inputs, cotangents=[u], **params), theirs, strict=True)):
        assert distance(a, b.numpy()) < 1e-12, i


@pytest.mark.peers
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"stride": 2},
        {"padding": 1},
        {"stride": (2, 3), "padding": (1, 2)},
        {"stride": 2, "padding": (2, 1), "dilation": (1, 2)},
        {"padding": "same"},
        {"padding": "same", "dilation": (2, 3)},
    ],
    ids=repr,
)
def test_pytorchs_convolution_forward_and_every_gradient(rng, params, biased):
    torch = pytest.importorskip("torch")
    inputs = [rng.normal(size=shape) for shape in ((2, 3, 7, 8), (4, 3, 3, 2), (4,))][: 2 + biased]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")
        held_against(lambda *x: torch.nn.functional.conv2d(*x, **params), CONV, inputs, params)


@pytest.mark.peers
def test_pytorchs_groups(rng):
    torch = pytest.importorskip("torch")
    inputs = [rng.normal(size=shape) for shape in ((2, 3, 2, 5, 6), (3, 4, 2, 3, 2), (3, 4))]

    def grouped(image, kernel, bias):
        flat = image.flatten(1, 2), kernel.flatten(0, 1), bias.flatten()
        return torch.nn.functional.conv2d(*flat, padding=1, groups=3).unflatten(1, (3, 4))

    held_against(grouped, CONV, inputs, {"padding": 1})


@pytest.mark.peers
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize(
    "params",
    [
        {"size": 2},
        {"size": 3},
        {"size": (2, 3), "stride": (1, 2)},
        {"size": 3, "padding": 1},
        {"size": (3, 4), "stride": (2, 3), "padding": (1, 2)},
        {"size": 2, "stride": 3, "padding": 1},
    ],
    ids=repr,
)
def test_pytorchs_average_pooling_forward_and_gradient(rng, params, count_include_pad, ceil_mode):
    torch = pytest.importorskip("torch")
    flags = {"count_include_pad": count_include_pad, "ceil_mode": ceil_mode}
    theirs = {"kernel_size": params["size"], **{k: v for k, v in params.items() if k != "size"}, **flags}
    for shape in ((2, 3, 7, 8), (1, 1, 4, 5), (3, 6, 6)):
        pool = lambda x: torch.nn.functional.avg_pool2d(x, **theirs)
        held_against(pool, POOL, [rng.normal(size=shape)], params | flags)
