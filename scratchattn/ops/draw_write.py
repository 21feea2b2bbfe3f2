"""DRAW's write: a patch painted on a canvas through a grid of windows.

Each entry of a patch of M by N is spread over a canvas of B rows by A columns as wide as its window is:
the transpose of ``draw_read``, with the intensity c inverted.

Forward
-------
    o = F_Y^T w F_X / c                                   o_ba = sum_ji F_Y[j, b] w_ji F_X[i, a] / c

Backward
--------
With H = g(o) / c,

    g(w)   = F_Y H F_X^T                                  what the canvas asks for, as it is read
    g(F_X) = w^T (F_Y H)
    g(F_Y) = w (F_X H^T)
    g(c)   = -sum_ba H_ba o_ba

Accuracy
--------
Products of matrices; nothing cancels but what the patch's own signs cancel.

Conventions
-----------
Rows come before columns.  The canvas of DRAW is the sum of what is written at every step; that sum is the
caller's.  The paper, Jang and Bornschein emit the window of a write separately from that of the read;
czm0 uses one linear map for both.  Filters whose rows sum to one spread sum(w) / c over the canvas.

Source: Gregor et al., "DRAW: A Recurrent Neural Network For Image Generation", arXiv:1502.04623, eq. 29.
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, register


def draw_write_forward(patch, filter_x, filter_y, intensity):
    """What is painted: (..., m, n), (..., n, x), (..., m, y), (...) not zero -> (..., y, x)."""
    xp = array_module(patch, filter_x, filter_y, intensity)
    columns = xp.matmul(patch, filter_x)  # (..., m, x)
    canvas = xp.matmul(xp.matrix_transpose(filter_y), columns) / intensity[..., None, None]
    return canvas, (patch, filter_x, filter_y, intensity, columns, canvas)


def draw_write_backward(saved, dcanvas):
    """Gradients for patch, filter_x, filter_y and intensity, given dcanvas of shape (..., y, x)."""
    patch, filter_x, filter_y, intensity, columns, canvas = saved
    xp = array_module(patch, dcanvas)
    dspread = dcanvas / intensity[..., None, None]
    dcolumns = xp.matmul(filter_y, dspread)  # (..., m, x)
    grads = (
        xp.matmul(dcolumns, xp.matrix_transpose(filter_x)),
        xp.matmul(xp.matrix_transpose(patch), dcolumns),
        xp.matmul(columns, xp.matrix_transpose(dspread)),
        -xp.sum(dspread * canvas, axis=(-2, -1)),
    )
    return tuple([sum_to_shape(g, x.shape) for g, x in zip(grads, saved)])


def draw_write_loops(patch, filter_x, filter_y, intensity, *, math=None):
    """Eq. 29, one number at a time."""
    (rows, columns), height, width = patch.shape, filter_y.shape[1], filter_x.shape[1]
    canvas = []
    for b in range(height):
        canvas.append([])
        for a in range(width):
            painted = 0
            for j in range(rows):
                for i in range(columns):
                    painted = painted + filter_y[j][b] * patch[j][i] * filter_x[i][a]
            canvas[-1].append(painted / intensity)
    return canvas


# ---- evidence ---------------------------------------------------------------

NAMES = ("patch", "filter_x", "filter_y", "intensity")


def cases(rng):
    def case(label, *, batch=(), filters=None, bright=None, y=3, x=4, m=2, n=2, **rest):
        filters = batch if filters is None else filters
        bright = filters if bright is None else bright
        inputs = (
            rng.normal(size=(*batch, m, n)),
            rng.dirichlet([1.0] * x, size=(*filters, n)) if x else rng.normal(size=(*filters, n, x)),
            rng.dirichlet([1.0] * y, size=(*filters, m)),
            rng.gamma(2.0, size=bright) + 0.3,
        )
        return Case(label, inputs, **rest)

    yield case("one patch")
    yield case("a patch that is not square", m=3, n=1)
    yield case("a batch of patches", batch=(2,), y=2, x=3)
    yield case("channels under the same filters", batch=(2, 2), filters=(2, 1), y=2, x=3)
    yield case("one patch under two windows", batch=(), filters=(2,), y=2, x=3)
    yield case("one intensity for a batch", batch=(2,), bright=(), y=2, x=3)
    yield case("one pixel", y=1, x=1, m=1, n=1)
    yield case("no column", x=0, zero_gradient=NAMES)
    yield case("no row of windows", m=0, zero_gradient=NAMES)
    dim = case("dim")
    yield Case(dim.label, (*dim.inputs[:3], 1e-6 * dim.inputs[3]), margin=1e-9)
    blank = case("a blank patch", zero_gradient=NAMES[1:])
    yield Case(blank.label, (0 * blank.inputs[0], *blank.inputs[1:]), zero_gradient=blank.zero_gradient)


def paint_is_neither_lost_nor_added(inputs, params, canvas):
    """Where the rows of the filters sum to one."""
    patch, intensity = inputs[0], inputs[3]
    if canvas.size:
        size = abs(patch).sum((-2, -1)) / intensity
        painted, expected = canvas.sum((-2, -1)), patch.sum((-2, -1)) / intensity
        assert (abs(painted - expected) <= 1e-14 * size).all()


def windows_on_single_pixels_paint_them(inputs, params, canvas):
    patch, filter_x, filter_y, intensity = inputs
    if 0 in canvas.shape:
        return
    corner = [0 * f for f in (filter_x, filter_y)]
    for filters in corner:
        filters[..., -1] = 1.0
    painted, _ = draw_write_forward(1.0 + 0 * patch, *corner, 0 * intensity + 1.0)
    assert (painted[..., -1, -1] == patch.shape[-1] * patch.shape[-2]).all()
    assert (painted[..., :-1, :] == 0).all() and (painted[..., :-1] == 0).all()


draw_write = register(
    Op(
        name="draw_write",
        signature="patch(m,n), filter_x(n,x), filter_y(m,y), intensity() -> canvas(y,x)",
        forward=draw_write_forward,
        backward=draw_write_backward,
        loops=draw_write_loops,
        cases=cases,
        properties=(
            paint_is_neither_lost_nor_added,
            windows_on_single_pixels_paint_them,
        ),
        source="arXiv:1502.04623 eq. 29",
    )
)
