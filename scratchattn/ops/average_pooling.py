"""Average pooling: an image made smaller, each window of it replaced by its mean.

Forward
-------
    out_vu = 1 / N_vu  sum_ij I(s v + i - top)(s' u + j - left)

over the entries of a window of ``size`` rows and columns, one every s rows and s' columns (``stride``, which
is the size where it is None).  I is zero outside of the image; N_vu is how many entries count.

Backward
--------
A pixel gives an N-th of itself to every window that it is in, and gets as much of each one's gradient:

    g(I_yx) = sum g(out_vu) / N_vu      over v, u and entries i, j with s v + i - top = y, s' u + j - left = x

Accuracy
--------
A sum and one division; nothing cancels that does not cancel in the mean.

Conventions
-----------
``padding`` puts zeros around the image: an int, a pair (rows, columns) of ints or of pairs (before, after),
all smaller than the size; or "same", as few as give ceil(y / s) rows, an odd one below or to the right.
``count_include_pad`` says whether these zeros count in N.  Rows and columns that are left over at the end,
too few for a window, are dropped: they are not read and have no gradient.  With ``ceil_mode`` one more
window takes them, if it starts inside the image (or before it); what it has beyond the zeros never counts.

                             padding    zeros count           left over                stride None is
    torch.nn.AvgPool2d       both       count_include_pad     dropped, or ceil_mode    the size
    TensorFlow, Keras        "same"     no                    -                        the size (Keras)
    flax.linen.avg_pool      both       count_include_pad     dropped                  1
    Caffe                    both       yes                   as ceil_mode             1

All leading axes, batch and channels, are alike.

Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE
86 (1998) 2278, section II.B; Dumoulin, Visin, arXiv:1603.07285, section 3.
"""

import numpy as np

from ..backend import array_module, constant, real
from ..op import Case, Op, Variant, register
from ..windows import frame_of_zeros, of_rows_and_columns, overlaid, picked, windows


def average_pooling_forward(image, *, size, stride=None, padding=0, count_include_pad=True, ceil_mode=False):
    """Means of windows of an image: (..., y, x) -> (..., v, u).

    ``size`` and ``stride`` are an int or a pair (rows, columns); the params are as described above.
    ValueError for others, and for a window that fits nowhere.
    """
    xp = array_module(image)
    (rows, tall, down), (columns, wide, across) = _plan(
        image.shape, size, stride, padding, count_include_pad, ceil_mode
    )
    ones = xp.broadcast_to(constant(real(image), 1.0), (tall, wide))
    counted = _sum(picked(xp, ones, down, across))
    return _sum(picked(xp, image, rows, columns)) / counted, (counted, rows, columns, image.shape)


def average_pooling_backward(saved, dout):
    """The gradient for image, given that of the output, (..., v, u)."""
    counted, rows, columns, shape = saved
    xp = array_module(counted, dout)
    entries = len(rows[3]) * len(columns[3])
    return (overlaid(xp, [dout / counted] * entries, shape, rows, columns),)


def average_pooling_loops(
    image, *, size, stride=None, padding=0, count_include_pad=True, ceil_mode=False, math=None
):
    """The mean of one window after the other."""
    size, stride = (p if type(p) is tuple else (p, p) for p in (size, size if stride is None else stride))
    frame = padding if type(padding) is tuple else (padding, padding)
    starts, ends = [], []
    for n, k, s, zeros in zip(image.shape[-2:], size, stride, frame):
        zeros = zeros if type(zeros) is tuple else (zeros, zeros)
        if padding == "same":
            lacking = max((-(-n // s) - 1) * s + k - n, 0)
            zeros = lacking // 2, lacking - lacking // 2
        before, end = zeros[0], n + zeros[1]
        start, along = -before, []
        while n and (start + k <= end or (ceil_mode and start - s + k < end and start < n)):
            along.append(start)
            start += s
        starts.append(along)
        ends.append(end)
    numbers = []
    for plane in np.ndindex(image.shape[:-2]):
        for top in starts[0]:
            for left in starts[1]:
                total, counts = 0, 0
                for row in range(top, min(top + size[0], ends[0])):
                    for column in range(left, min(left + size[1], ends[1])):
                        inside = 0 <= row < image.shape[-2] and 0 <= column < image.shape[-1]
                        total = total + (image[plane][row, column] if inside else 0)
                        counts += 1 if inside or count_include_pad else 0
                numbers.append(total / counts)
    return numbers


def average_pooling_shapes(image, *, size, stride=None, padding=0, count_include_pad=True, ceil_mode=False):
    """The shape of the output; ValueError unless a window fits."""
    if len(image) < 2:
        raise ValueError(f"average_pooling: image must have the axes (y,x), got shape {image}")
    (rows, *_), (columns, *_) = _plan(image, size, stride, padding, count_include_pad, ceil_mode)
    return [(*image[:-2], rows[0], columns[0])]


def _sum(arrays):
    total, *others = arrays
    for array in others:
        total = total + array
    return total


def _plan(image, size, stride, padding, count_include_pad, ceil_mode):
    sizes = of_rows_and_columns("average_pooling", "size", size, 1)
    strides = sizes if stride is None else of_rows_and_columns("average_pooling", "stride", stride, 1)
    frame = frame_of_zeros("average_pooling", padding)
    axes = zip(image[-2:], sizes, strides, frame)
    return [_along(*axis, count_include_pad, ceil_mode) for axis in axes]


def _along(n, size, stride, padding, count_include_pad, ceil_mode):
    """The windows along an axis; then how many entries count, and the windows over these."""
    zeros = padding
    if padding != "same":
        before, after = padding
        if not n:
            raise ValueError("average_pooling: image must have rows and columns, got none of one")
        if max(padding) >= size:
            raise ValueError(f"average_pooling: padding must be less than size {size}, got {max(padding)}")
        if ceil_mode:  # one window more, unless it would start beyond the image
            count = -(-(n + before + after - size) // stride) + 1
            count -= (count - 1) * stride >= before + n
            zeros = before, max(after, (count - 1) * stride + size - before - n)
    windows_of_image = windows("average_pooling", n, size, stride, zeros)
    if not count_include_pad:
        return windows_of_image, n, windows_of_image
    count, before, beyond, picks = windows_of_image
    after = beyond if padding == "same" else padding[1]
    return windows_of_image, before + n + after, (count, 0, beyond - after, picks)


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, batch=(), y=4, x=5, size=2, zero=(), **params):
        return Case(label, (rng.normal(size=(*batch, y, x)),), {"size": size, **params}, zero_gradient=zero)

    yield case("one column left over")
    yield case("nothing left over", x=6, size=(2, 3))
    yield case("two rows and a column left over", y=5, x=4, size=3)
    yield case("the rest is pooled too", y=5, x=4, size=3, ceil_mode=True)
    yield case("an image smaller than the window", y=2, x=2, size=3, ceil_mode=True)
    yield case("no more window, since it would start beyond the image", y=2, x=4, padding=1, ceil_mode=True)
    for word, counted in (("counted", True), ("not counted", False)):
        params = {"stride": 2, "ceil_mode": True, "count_include_pad": counted}
        yield case(f"the rest and zeros, {word}", y=6, size=3, padding=((1, 2), (2, 1)), **params)
        yield case(f"the rest beside zeros, {word}", y=3, x=6, size=3, padding=((0, 1), (1, 0)), **params)
    yield case("one row", size=(1, 2))
    yield case("one pixel each", size=1)
    yield case("one pixel, and one in three", x=7, size=1, stride=3)
    yield case("all of the image", size=(4, 5))
    yield case("overlapping", size=3, stride=1)
    yield case("overlapping, unlike down and across", size=(2, 3), stride=(1, 2))
    for counted in (True, False):
        word = "counted" if counted else "not counted"
        yield case(f"zeros around, {word}", size=3, padding=1, count_include_pad=counted)
        yield case(
            f"zeros on unequal sides, {word}",
            **{"size": 3, "stride": 2, "padding": ((0, 1), (2, 0)), "count_include_pad": counted},
        )
        yield case(
            f"zeros around and the rest, {word}",
            **{"y": 6, "size": 3, "stride": 3, "padding": 1, "count_include_pad": counted, "ceil_mode": True},
        )
        yield case(f"same, {word}", size=(3, 2), stride=2, padding="same", count_include_pad=counted)
    yield case("same, places further apart than the size", padding="same", stride=4)
    yield case("channels of a batch", batch=(2, 3), y=2, x=3)
    yield case("no channels", batch=(2, 0), zero=("image",))
    yield case("no rows", y=0, padding="same", zero=("image",))


def means_lie_between_the_extremes(inputs, params, out):
    (image,) = inputs
    if out.size:
        low, high = image.min((-2, -1), keepdims=True), image.max((-2, -1), keepdims=True)
        if params.get("padding", 0) != 0 and params.get("count_include_pad", True):
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        assert (out >= low - 1e-15).all() and (out <= high + 1e-15).all()


def a_constant_stays_where_zeros_do_not_count(inputs, params, out):
    pooled, _ = average_pooling_forward(0 * inputs[0] + 0.75, **{**params, "count_include_pad": False})
    assert (pooled == 0.75).all()


def what_no_window_sees_is_not_read(inputs, params, out):
    (image,) = inputs
    _, saved = average_pooling_forward(image, **params)
    (seen,) = average_pooling_backward(saved, out * 0 + 1)
    again, saved = average_pooling_forward(np.where(seen > 0, image, np.nan), **params)
    assert (again == out).all()


def each_window_gives_away_all_of_its_gradient(inputs, params, out):
    """All shares of a cotangent of ones sum to the number of windows, where zeros get none."""
    _, saved = average_pooling_forward(*inputs, **{**params, "count_include_pad": False})
    (dimage,) = average_pooling_backward(saved, out * 0 + 1)
    assert abs(dimage.sum() - out.size) <= 1e-13 * out.size


average_pooling = register(
    Op(
        name="average_pooling",
        signature="image(y,x) -> out(v,u)",
        forward=average_pooling_forward,
        backward=average_pooling_backward,
        loops=average_pooling_loops,
        cases=cases,
        shape_rule=average_pooling_shapes,
        properties=(
            means_lie_between_the_extremes,
            a_constant_stays_where_zeros_do_not_count,
            what_no_window_sees_is_not_read,
            each_window_gives_away_all_of_its_gradient,
        ),
        variants=(
            Variant("torch", {}, "pytorch aten/src/ATen/native/cpu/AvgPoolKernel.cpp"),
            Variant("zeros_not_counted", {"count_include_pad": False}, "the same, count_include_pad=False"),
            Variant(
                "tensorflow_same",
                {"padding": "same", "count_include_pad": False},
                "tensorflow tensorflow/python/ops/nn_ops.py",
            ),
            Variant("caffe", {"ceil_mode": True}, "BVLC/caffe src/caffe/layers/pooling_layer.cpp"),
        ),
        source="Proc. IEEE 86 (1998) 2278; arXiv:1603.07285 section 3",
    )
)
