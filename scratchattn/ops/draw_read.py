"""DRAW's read: what a grid of windows sees of an image.

An image of B rows by A columns is averaged under M by N windows, whose filterbanks are separate for rows
(F_Y) and columns (F_X), and brightened by the intensity c.

Forward
-------
    r = c F_Y x F_X^T                                     r_ji = c sum_ba F_Y[j, b] x_ba F_X[i, a]

Backward
--------
With H = c g(r), a product of matrices for each factor:

    g(x)   = F_Y^T H F_X                                  where each entry of the patch was seen
    g(F_Y) = H (x F_X^T)^T
    g(F_X) = H^T (F_Y x)
    g(c)   = sum_ji g(r_ji) (F_Y x F_X^T)_ji

Accuracy
--------
Products of matrices; nothing cancels but what the image's own signs cancel.

Conventions
-----------
Rows come before columns in an image and in a patch.  Channels, and DRAW's pair of image and error image,
are leading axes over which the filters broadcast: image (b, 2, y, x), filter_x (b, 1, n, x), intensity
(b, 1).  The paper concatenates the pair, Bornschein's code too; so does the caller who flattens.
M is N in DRAW.  The adjoint of reading is writing, but for the intensity: <read x, w> = c^2 <x, write w>.

Source: Gregor et al., "DRAW: A Recurrent Neural Network For Image Generation", arXiv:1502.04623, eq. 27.
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, register


def draw_read_forward(image, filter_x, filter_y, intensity):
    """The patch that is seen: (..., y, x), (..., n, x), (..., m, y), (...) -> (..., m, n)."""
    xp = array_module(image, filter_x, filter_y, intensity)
    columns = xp.matmul(image, xp.matrix_transpose(filter_x))  # (..., y, n)
    seen = xp.matmul(filter_y, columns)
    bright = intensity[..., None, None]
    return bright * seen, (image, filter_x, filter_y, intensity, columns, seen)


def draw_read_backward(saved, dpatch):
    """Gradients for image, filter_x, filter_y and intensity, given dpatch of shape (..., m, n)."""
    image, filter_x, filter_y, intensity, columns, seen = saved
    xp = array_module(image, dpatch)
    dseen = intensity[..., None, None] * dpatch
    dcolumns = xp.matmul(xp.matrix_transpose(filter_y), dseen)  # (..., y, n)
    grads = (
        xp.matmul(dcolumns, filter_x),
        xp.matmul(xp.matrix_transpose(dcolumns), image),
        xp.matmul(dseen, xp.matrix_transpose(columns)),
        xp.sum(dpatch * seen, axis=(-2, -1)),
    )
    return tuple([sum_to_shape(g, x.shape) for g, x in zip(grads, saved)])


def draw_read_loops(image, filter_x, filter_y, intensity, *, math=None):
    """Eq. 27, one number at a time."""
    height, width = image.shape
    patch = []
    for row in filter_y:
        patch.append([])
        for column in filter_x:
            seen = 0
            for b in range(height):
                for a in range(width):
                    seen = seen + row[b] * image[b][a] * column[a]
            patch[-1].append(intensity * seen)
    return patch


# ---- evidence ---------------------------------------------------------------

NAMES = ("image", "filter_x", "filter_y", "intensity")


def cases(rng):
    def case(label, *, batch=(), filters=None, bright=None, y=3, x=4, m=2, n=2, **rest):
        filters = batch if filters is None else filters
        bright = filters if bright is None else bright
        inputs = (
            rng.normal(size=(*batch, y, x)),
            rng.dirichlet([1.0] * x, size=(*filters, n)) if x else rng.normal(size=(*filters, n, x)),
            rng.dirichlet([1.0] * y, size=(*filters, m)),
            rng.gamma(2.0, size=bright),
        )
        return Case(label, inputs, **rest)

    yield case("one image")
    yield case("a patch that is not square", m=3, n=1)
    yield case("a batch of images", batch=(2,), y=2, x=3)
    yield case("channels under the same filters", batch=(2, 2), filters=(2, 1), y=2, x=3)
    yield case("one image under two windows", batch=(), filters=(2,), y=2, x=3)
    yield case("one intensity for a batch", batch=(2,), bright=(), y=2, x=3)
    yield case("one pixel", y=1, x=1, m=1, n=1)
    yield case("no column", x=0, zero_gradient=NAMES)
    yield case("no row of windows", m=0, zero_gradient=NAMES)
    dark = case("dark", zero_gradient=NAMES[:3])
    yield Case(dark.label, (*dark.inputs[:3], 0 * dark.inputs[3]), zero_gradient=dark.zero_gradient)


def an_even_image_looks_even(inputs, params, patch):
    """Where the rows of the filters sum to one."""
    image, filter_x, filter_y, intensity = inputs
    if image.size:
        seen, _ = draw_read_forward(0 * image + 3.0, filter_x, filter_y, intensity)
        assert (abs(seen - 3.0 * intensity[..., None, None]) <= 1e-14 * intensity.max()).all()


def windows_on_single_pixels_read_them(inputs, params, patch):
    image, filter_x, filter_y, intensity = inputs
    if 0 in image.shape or 0 in patch.shape:
        return
    corner = [0 * f for f in (filter_x, filter_y)]
    for filters in corner:
        filters[..., -1] = 1.0
    seen, _ = draw_read_forward(image, *corner, 0 * intensity + 1.0)
    assert (seen == image[..., -1:, -1:]).all()


def the_adjoint_is_the_transposed_product(inputs, params, patch):
    """<read x, w> = <x, F_Y^T w F_X> c, written out with sums alone."""
    image, filter_x, filter_y, intensity = inputs
    written = (
        filter_y[..., :, None, :, None] * filter_x[..., None, :, None, :] * patch[..., None, None]
    ).sum((-4, -3))
    one, other = (patch * patch).sum((-2, -1)), intensity * (image * written).sum((-2, -1))
    assert (abs(one - other) <= 1e-13 * (abs(one) + 1e-300)).all()


draw_read = register(
    Op(
        name="draw_read",
        signature="image(y,x), filter_x(n,x), filter_y(m,y), intensity() -> patch(m,n)",
        forward=draw_read_forward,
        backward=draw_read_backward,
        loops=draw_read_loops,
        cases=cases,
        properties=(
            an_even_image_looks_even,
            windows_on_single_pixels_read_them,
            the_adjoint_is_the_transposed_product,
        ),
        source="arXiv:1502.04623 eq. 27",
    )
)
