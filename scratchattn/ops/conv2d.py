"""Convolution of images: the same small weights at every place.

An image has ``c`` channels of y rows and x columns; each of ``o`` kernels has c channels of i rows and j
columns, and gives one channel of the output.

Forward
-------
    out_ovu = b_o + sum_cij K_ocij I_c(s v + d i - top)(s' u + d' j - left)

where I is zero outside of the image.  s, s' are the strides down and across, d, d' the dilations, top and
left how many rows and columns of zeros are put before it.  All windows that lie within the image and
its frame of zeros are taken: with top and bottom rows of zeros there are

    floor((y + top + bottom - d (i - 1) - 1) / s) + 1           rows of output, and columns alike

Backward
--------
What each weight and each pixel was multiplied by, collected:

    g(b_o)    = sum_vu g(out_ovu)
    g(K_ocij) = sum_vu g(out_ovu) I_c(s v + d i - top)(s' u + d' j - left)
    g(I_cyx)  = sum_oij K_ocij g(out_ovu)     over the v, u with s v + d i - top = y, s' u + d' j - left = x

The pixels that one entry of all windows sees are a slice with a step.  So the forward stacks i j slices and
multiplies matrices; the backward adds i j blocks, each into the slice it came from.

Accuracy
--------
Sums of products.  A pixel that no window sees, as a stride leaves them, is not read and has no gradient.

Conventions
-----------
Axes are (batch, channels, rows, columns), kernels (outputs, channels, rows, columns).  Elsewhere:

                              axes      kernel            what it is      "same" with a stride
    torch.nn.functional       b c y x   o c i j           correlation     refused
    TensorFlow, Keras, Flax   b y x c   i j c o           correlation     ceil(y / s) rows
    Theano, Lasagne           b c y x   o c i j           convolution     "half": i // 2 on both sides
    scipy.signal              y x       i j               convolve2d is one, correlate2d the other

``flip_kernel=True`` turns the kernel by half a turn first, which makes the cross-correlation a convolution.
``padding`` is an int, a pair (rows, columns) of ints or of pairs (before, after), or "same": as few zeros as
give ceil(y / s) rows, an odd one below or to the right.  One int or a pair for ``stride`` and ``dilation``.
A kernel that fits nowhere is refused.

Groups are leading axes: image (b, g, c, y, x) and kernel (g, o, c, i, j) give (b, g, o, v, u); with one
channel each, that is the depthwise convolution.

Source: Goodfellow, Bengio, Courville, "Deep Learning", eqs. 9.4 and 9.6; Dumoulin, Visin, "A guide to
convolution arithmetic for deep learning", arXiv:1603.07285, relationship 6 and section 5.1.
"""

import numpy as np

from ..backend import array_module, sum_to_shape
from ..calculus import stretched
from ..op import Case, Op, Variant, register
from ..windows import frame_of_zeros, of_rows_and_columns, overlaid, picked, windows


def conv2d_forward(image, kernel, bias=None, *, stride=1, padding=0, dilation=1, flip_kernel=False):
    """Images (..., c, y, x), kernels (..., o, c, i, j), bias (..., o) or None -> (..., o, v, u).

    The params are as described above.  ValueError for others, and for a kernel that fits nowhere.
    """
    xp = array_module(image, kernel, bias)
    rows, columns = _plan(image.shape, kernel.shape, stride, padding, dilation, flip_kernel)
    outputs, entries = kernel.shape[-4], kernel.shape[-3] * kernel.shape[-2] * kernel.shape[-1]
    places = rows[0] * columns[0]
    patches = xp.stack(picked(xp, image, rows, columns), axis=-3)  # (..., c, i j, v, u)
    patches = xp.reshape(patches, (*image.shape[:-3], entries, places))
    weights = xp.reshape(kernel, (*kernel.shape[:-4], outputs, entries))
    out = xp.matmul(weights, patches)
    if bias is not None:
        out = out + xp.expand_dims(bias, axis=-1)
    shapes = (image.shape, kernel.shape, None if bias is None else bias.shape)
    out = xp.reshape(out, (*out.shape[:-1], rows[0], columns[0]))
    return out, (patches, weights, rows, columns, shapes)


def conv2d_backward(saved, dout):
    """Gradients for image, kernel and bias, given that of the output, (..., o, v, u)."""
    patches, weights, rows, columns, (image, kernel, bias) = saved
    xp = array_module(patches, dout)
    dout = xp.reshape(dout, (*dout.shape[:-2], rows[0] * columns[0]))
    dweights = sum_to_shape(xp.matmul(dout, xp.matrix_transpose(patches)), weights.shape)
    dpatches = sum_to_shape(xp.matmul(xp.matrix_transpose(weights), dout), patches.shape)
    each = len(rows[3]) * len(columns[3])
    dpatches = xp.reshape(dpatches, (*image[:-2], each, rows[0], columns[0]))
    dimage = overlaid(xp, [dpatches[..., k, :, :] for k in range(each)], image, rows, columns)
    dbias = None if bias is None else sum_to_shape(xp.sum(dout, axis=-1), bias)
    return dimage, xp.reshape(dweights, kernel), dbias


def conv2d_loops(image, kernel, bias=None, *, stride=1, padding=0, dilation=1, flip_kernel=False, math=None):
    """The sum at the top, one place after the other."""
    (s, s_across), (d, d_across) = (p if type(p) is tuple else (p, p) for p in (stride, dilation))
    (height, width), (outputs, channels, tall, wide) = image.shape[-2:], kernel.shape[-4:]
    frame = [
        p if type(p) is tuple else (p, p) for p in (padding if type(padding) is tuple else [padding] * 2)
    ]
    if padding == "same":  # what the last window wants beyond the end, the larger half of it there
        last = [(-(-n // step) - 1) * step for n, step in ((height, s), (width, s_across))]
        down, across = last[0] + (tall - 1) * d + 1 - height, last[1] + (wide - 1) * d_across + 1 - width
        frame = [(max(n, 0) // 2, max(n, 0) - max(n, 0) // 2) for n in (down, across)]
    (top, bottom), (left, right) = frame
    batch = np.broadcast_shapes(image.shape[:-3], kernel.shape[:-4], () if bias is None else bias.shape[:-1])
    images = np.broadcast_to(image, (*batch, *image.shape[-3:]))
    kernels = np.broadcast_to(kernel, (*batch, *kernel.shape[-4:]))
    biases = np.broadcast_to(0 if bias is None else bias, (*batch, outputs))
    numbers = []
    for place in np.ndindex(*batch, outputs):
        weights, pixels = kernels[place], images[place[:-1]]
        for y in range(-top, height + bottom - d * (tall - 1), s):
            for x in range(-left, width + right - d_across * (wide - 1), s_across):
                total = biases[place]
                for c, i, j in np.ndindex(channels, tall, wide):
                    row, column = y + d * i, x + d_across * j
                    if 0 <= row < height and 0 <= column < width:
                        turned = (tall - 1 - i, wide - 1 - j) if flip_kernel else (i, j)
                        total = total + weights[(c, *turned)] * pixels[c, row, column]
                numbers.append(total)
    return numbers


def conv2d_shapes(image, kernel, bias=None, *, stride=1, padding=0, dilation=1, flip_kernel=False):
    """The shape of the output; ValueError unless the three fit each other and the kernel fits somewhere."""
    shapes = f"image {image}, kernel {kernel}" + ("" if bias is None else f", bias {bias}")
    given = (
        ("image", image, "c,y,x"),
        ("kernel", kernel, "o,c,i,j"),
        ("bias", (1,) if bias is None else bias, "o"),
    )
    for name, shape, axes in given:
        if len(shape) < axes.count(",") + 1:
            raise ValueError(f"conv2d: {name} must have the axes ({axes}), got shape {shape}")
    if image[-3] != kernel[-3]:
        raise ValueError(f"conv2d: c is both {image[-3]} and {kernel[-3]} in {shapes}")
    if bias is not None and bias[-1] != kernel[-4]:
        raise ValueError(f"conv2d: o is both {kernel[-4]} and {bias[-1]} in {shapes}")
    leading = image[:-3], kernel[:-4], () if bias is None else bias[:-1]
    batch = stretched(*leading)
    if any(n not in (1, m) for shape in leading for n, m in zip(shape[::-1], batch[::-1])):
        raise ValueError(f"conv2d: the leading axes do not broadcast, got {shapes}")
    rows, columns = _plan(image, kernel, stride, padding, dilation, flip_kernel)
    return [(*batch, kernel[-4], rows[0], columns[0])]


def _plan(image, kernel, stride, padding, dilation, flip_kernel):
    """Of rows and columns: how many windows, the zeros before and after, and a slice for each entry."""
    if 0 in kernel[-2:]:
        raise ValueError(f"conv2d: kernel must have rows and columns, got shape {kernel}")
    strides = of_rows_and_columns("conv2d", "stride", stride, 1)
    dilations = of_rows_and_columns("conv2d", "dilation", dilation, 1)
    frame = frame_of_zeros("conv2d", padding)
    plans = [windows("conv2d", *axis) for axis in zip(image[-2:], kernel[-2:], strides, frame, dilations)]
    return [(*rest, picks[::-1] if flip_kernel else picks) for *rest, picks in plans]


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, batch=(), kernels=(), o=2, c=2, y=3, x=4, i=2, j=2, biased=True, zero=(), **params):
        """``batch`` and ``kernels`` are the leading axes of the image, and of kernel and bias."""
        image, kernel = rng.normal(size=(*batch, c, y, x)), rng.normal(size=(*kernels, o, c, i, j))
        bias = rng.normal(size=(*kernels, o)) if biased else None
        return Case(label, (image, kernel, bias), params, zero_gradient=zero)

    yield case("two channels")
    yield case("no bias", biased=False)
    yield case("one pixel", y=1, x=1, i=1, j=1)
    yield case("a kernel of the size of the image", y=2, x=3, j=3)
    yield case("a tall kernel", c=1, y=4, x=2, i=3, j=1)
    yield case("every other place", c=1, y=4, x=5, stride=2)
    yield case("every third column", c=1, x=7, stride=(1, 3))
    yield case("pixels between the windows", c=1, y=4, x=5, i=1, j=1, stride=3)
    yield case("zeros around", c=1, padding=1)
    yield case("zeros left and right", c=1, padding=(0, 2))
    yield case("zeros above and on the right", c=1, padding=((1, 0), (0, 2)))
    yield case("windows that see zeros alone", c=1, o=1, y=2, x=2, padding=3)
    yield case("same", i=3, j=3, o=1, padding="same")
    yield case("same, even kernel", c=1, i=2, j=4, padding="same")
    yield case("same, every other place", c=1, x=5, i=3, j=2, padding="same", stride=2)
    yield case("same, places further apart than the kernel is wide", c=1, padding="same", stride=4)
    yield case("same, dilated", c=1, padding="same", dilation=(1, 2))
    yield case("dilated", c=1, y=4, x=5, dilation=(2, 3))
    yield case("all at once", c=1, o=1, y=5, x=5, stride=(2, 1), padding=(1, (0, 2)), dilation=(1, 2))
    yield case("convolution", flip_kernel=True)
    yield case(
        "convolution, all at once", c=1, y=4, i=3, stride=(1, 2), padding=1, dilation=2, flip_kernel=True
    )
    yield case("two images", batch=(2,), c=1)
    yield case("two images, each with its kernel", batch=(2,), kernels=(2,), c=1, o=1)
    yield case("one image, two kernels", kernels=(2,), c=1, o=1)
    yield case("two groups in a batch of two", batch=(2, 2), kernels=(2,), c=1, o=1, y=2, x=3)
    yield case("two groups in a batch of three", batch=(3, 2), kernels=(2,), c=1, o=1, y=2, x=2)
    yield case("one image for all groups", batch=(2, 1), kernels=(2,), c=1, o=1, y=2, x=3, padding=1)
    yield case("no channels", c=0, zero=("image", "kernel"))
    yield case("no channels of two groups", batch=(2,), kernels=(2,), c=0, zero=("image", "kernel"))
    yield case("no kernels", o=0, zero=("image", "kernel", "bias"))
    yield case("no images", batch=(0,), zero=("image", "kernel", "bias"))
    yield case("no rows", y=0, i=4, stride=2, padding="same", zero=("image", "kernel", "bias"))


def each_image_is_its_own(inputs, params, out):
    image, kernel, bias = inputs
    batch = out.shape[:-3]
    for place in np.ndindex(batch):
        alone = [
            None if x is None else np.broadcast_to(x, (*batch, *x.shape[x.ndim - axes :]))[place]
            for x, axes in ((image, 3), (kernel, 4), (bias, 1))
        ]
        own, _ = conv2d_forward(*alone, **params)
        assert abs(own - out[place]).max(initial=0.0) <= 1e-13 * abs(own).max(initial=0.0)


def convolution_is_correlation_with_half_a_turn(inputs, params, out):
    image, kernel, bias = inputs
    other = {**params, "flip_kernel": not params.get("flip_kernel", False)}
    again, _ = conv2d_forward(image, kernel[..., ::-1, ::-1], bias, **other)
    assert abs(again - out).max(initial=0.0) <= 1e-13 * abs(out).max(initial=0.0)


def rows_of_zeros_above_move_the_output_down(inputs, params, out):
    image, kernel, bias = inputs
    if params.get("padding") == "same":
        return
    s = params.get("stride", 1)
    zeros = np.zeros((*image.shape[:-2], s if type(s) is int else s[0], image.shape[-1]))
    moved, _ = conv2d_forward(np.concatenate([zeros, image], axis=-2), kernel, bias, **params)
    assert moved.shape[-2] == out.shape[-2] + 1
    assert abs(moved[..., 1:, :] - out).max(initial=0.0) <= 1e-13 * abs(out).max(initial=0.0)


def what_no_window_sees_is_not_read(inputs, params, out):
    image, kernel, bias = inputs
    _, saved = conv2d_forward(image, kernel * 0 + 1, bias, **params)
    seen, *_ = conv2d_backward(saved, out * 0 + 1)
    spoilt = np.where(seen > 0, image, np.nan) if kernel.shape[-4] else image
    again, saved = conv2d_forward(spoilt, kernel, bias, **params)
    assert (again == out).all()
    dimage, dkernel, _ = conv2d_backward(saved, out)
    assert np.isfinite(dkernel).all() and (dimage[~(seen > 0)] == 0).all()


conv2d = register(
    Op(
        name="conv2d",
        signature="image(c,y,x), kernel(o,c,i,j), bias?(o) -> out(o,v,u)",
        forward=conv2d_forward,
        backward=conv2d_backward,
        loops=conv2d_loops,
        cases=cases,
        shape_rule=conv2d_shapes,
        properties=(
            each_image_is_its_own,
            convolution_is_correlation_with_half_a_turn,
            rows_of_zeros_above_move_the_output_down,
            what_no_window_sees_is_not_read,
        ),
        variants=(
            Variant("torch", {}, "pytorch aten/src/ATen/native/Convolution.cpp"),
            Variant("tensorflow_same", {"padding": "same"}, "tensorflow tensorflow/python/ops/nn_ops.py"),
            Variant("theano", {"flip_kernel": True}, "Theano theano/tensor/nnet/abstract_conv.py"),
        ),
        source="Deep Learning eqs. 9.4, 9.6; arXiv:1603.07285",
    )
)
