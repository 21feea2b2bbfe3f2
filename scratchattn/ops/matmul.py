"""The product of matrices.

Forward
-------
    O_ij = sum_l A_il B_lj

Backward
--------
A_il meets B_lj on its way to O_ij, for every j; B_lj meets A_il, for every i:

    g(A_il) = sum_j g(O_ij) B_lj         g(A) = g(O) B^T
    g(B_lj) = sum_i A_il g(O_ij)         g(B) = A^T g(O)

An argument that was broadcast over leading axes gets the sum of its gradients over them.  For one
B shared by all of A's leading axes, those are more rows of the same sum, so that g(B) is one large
product and the batch of matrices is never built.

Accuracy
--------
Each entry errs by at most k units in the last place of sum_l |A_il B_lj|, whatever the order of the
sum.  The forward never folds leading axes into rows: an item alone is what it is in a batch.

Conventions
-----------
Both arguments have at least two axes; vectors are refused, not promoted.  With k = 0 there is
nothing to sum and the product is zero.

Source: linear algebra.
"""

from math import prod

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, register
from ..tape import Tensor


def matmul_forward(a, b):
    """The matrix product: (..., m, k), (..., k, n) -> (..., m, n)."""
    xp = array_module(a, b)
    return xp.matmul(a, b), (a, b)


def matmul_backward(saved, dout):
    """Gradients for a and b, given dout of shape (..., m, n)."""
    a, b = saved
    xp = array_module(a, b, dout)
    da = xp.matmul(dout, xp.matrix_transpose(b))
    if b.ndim == 2 and a.ndim > 2:  # one matrix for all of the batch
        rows = prod(a.shape[:-1])
        a_rows, dout_rows = xp.reshape(a, (rows, a.shape[-1])), xp.reshape(dout, (rows, dout.shape[-1]))
        return da, xp.matmul(xp.matrix_transpose(a_rows), dout_rows)
    db = xp.matmul(xp.matrix_transpose(a), dout)
    return sum_to_shape(da, a.shape), sum_to_shape(db, b.shape)


def matmul_loops(a, b, *, math=None):
    m, k, n = len(a), len(b), b.shape[-1]
    out = [[0] * n for _ in range(m)]
    for i in range(m):
        for j in range(n):
            for step in range(k):
                out[i][j] += a[i][step] * b[step][j]
    return out


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, a, b, **rest):
        return Case(label, (rng.normal(size=a), rng.normal(size=b)), **rest)

    yield case("two matrices", (2, 3), (3, 4))
    yield case("a row and a column", (1, 3), (3, 1))
    yield case("a column and a row", (3, 1), (1, 2))
    yield case("batch of both", (2, 2, 3), (2, 3, 2))
    yield case("one matrix for the batch, right", (2, 2, 2, 3), (3, 2))
    yield case("one matrix for the batch, left", (2, 3), (2, 1, 3, 2))
    yield case("both broadcast", (2, 1, 2, 3), (3, 3, 2))
    yield case("a batch of one", (1, 2, 3), (2, 3, 2))
    yield case("a batch of one on the right", (2, 2, 3), (1, 3, 2))
    yield case("nothing to sum", (2, 0), (0, 3), zero_gradient=("a", "b"))
    yield case("no rows", (0, 3), (3, 2), zero_gradient=("a", "b"))
    yield case("no batch", (0, 2, 3), (3, 2), zero_gradient=("a", "b"))
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 2))
    yield Case("rows of very different size", (a * [[1e8], [1e-8]], b))


def transposing_swaps_the_factors(inputs, params, out):
    a, b = (x.swapaxes(-1, -2) for x in inputs)
    assert (abs(matmul_forward(b, a)[0].swapaxes(-1, -2) - out) <= 1e-14 * _size(inputs)).all()


def each_column_is_made_alone(inputs, params, out):
    a, b = inputs
    for j in range(b.shape[-1]):
        column, _ = matmul_forward(a, b[..., j : j + 1])
        assert (abs(column - out[..., j : j + 1]) <= 1e-14 * _size(inputs)[..., j : j + 1]).all()


def nothing_to_sum_is_zero(inputs, params, out):
    a, b = inputs
    assert (matmul_forward(a[..., :0], b[..., :0, :])[0] == out * 0).all()


def _size(inputs):
    return matmul_forward(abs(inputs[0]), abs(inputs[1]))[0]


matmul = register(
    Op(
        name="matmul",
        signature="a(m,k), b(k,n) -> out(m,n)",
        forward=matmul_forward,
        backward=matmul_backward,
        loops=matmul_loops,
        cases=cases,
        properties=(transposing_swaps_the_factors, each_column_is_made_alone, nothing_to_sum_is_zero),
        source="linear algebra",
    )
)

Tensor.__matmul__ = lambda self, other: matmul(self, other)
Tensor.__rmatmul__ = lambda self, other: matmul(other, self)
