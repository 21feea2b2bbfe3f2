"""Gathering: rows of a table, entries of each row, by integers that are data.

Forward
-------
    gather       out[i, ...] = table[indices[i], ...] for indices of any shape
    take_along   out_i = a_(indices_i) along the last axis
    permute      the same for indices that hold each of 0..n-1 once

Backward
--------
Each entry of the output is one of the input, so g(a)_j = sum over the i with indices_i = j of g(out)_i:

    gather       scatter_add of g at ``indices``: a row picked twice gets the sum of both
    take_along   the same, entry j of row r of the batch being entry r n + j of them all
    permute      each entry is picked once: g permuted by the inverse permutation

Accuracy
--------
Exact but for the sums of scatter_add, whose order is fixed: the same bits each time, also on a GPU.

Conventions
-----------
Indices are in 0..n-1, negative ones are refused.  On NumPy a wrong index raises.  On other libraries
nobody looks, since that would wait for the device: CuPy wraps round what lies outside.  ``permute``
exists beside ``take_along`` because its backward needs no sums; DNC's allocation sorts by it, so that
the order that another implementation gave to ties can be replayed.

Source: the Python array API standard, v2024.12, "Indexing functions".
"""

from math import prod

import numpy as np

from ..backend import (
    arange_like,
    array_module,
    scatter_add,
    stable_argsort,
    sum_to_shape,
)
from ..backend import gather as rows_at
from ..op import Case, Op, register
from ..refusals import refuse_outside, refuse_repeats


def gather_forward(table, indices):
    """Rows of table: (n, ...) at integers of any shape -> indices.shape + (...)."""
    gather_shapes(table.shape, indices.shape)
    refuse_outside("gather: indices", indices, table.shape[0])
    return rows_at(table, indices), (indices, table.shape[0])


def gather_backward(saved, dout):
    indices, n = saved
    return (scatter_add(dout, indices, n),)


def gather_loops(table, indices, *, math=None):
    out = []
    for i in np.ndindex(indices.shape):
        out += [table[(int(indices[i]), *j)] for j in np.ndindex(table.shape[1:])]
    return out


def gather_shapes(table, indices):
    """The shape of the rows; ValueError for a table without axes."""
    if not table:
        raise ValueError("gather: table must have an axis of rows, got shape ()")
    return [(*indices, *table[1:])]


def take_along_forward(a, indices):
    """Entries of each row of a, (..., n), at the indices of that row, (..., k): (..., k)."""
    xp = array_module(a, indices)
    refuse_outside("take_along: indices", indices, a.shape[-1])
    whole, indices = _same_batch(xp, a, indices)
    return xp.take_along_axis(whole, indices, axis=-1), (a.shape, indices)


def take_along_backward(saved, dout):
    shape, indices = saved
    xp = array_module(indices, dout)
    batch, k, n = indices.shape[:-1], indices.shape[-1], shape[-1]
    rows = prod(batch)
    wide = indices + xp.sum(indices[..., :0], axis=-1, keepdims=True)  # a sum is of the widest integers
    starts = xp.expand_dims(arange_like(wide, rows) * n, axis=-1)
    places = xp.reshape(xp.reshape(wide, (rows, k)) + starts, (rows * k,))
    da = scatter_add(xp.reshape(dout, (rows * k,)), places, rows * n)
    return (sum_to_shape(xp.reshape(da, (*batch, n)), shape),)


def take_along_loops(a, indices, *, math=None):
    return [a[int(i)] for i in indices]


def permute_forward(a, permutation):
    """Each row of a, (..., n), in the order of its permutation, (..., n): out_i = a_(permutation_i)."""
    xp = array_module(a, permutation)
    refuse_repeats("permute: permutation", permutation)
    whole, permutation = _same_batch(xp, a, permutation)
    return xp.take_along_axis(whole, permutation, axis=-1), (a.shape, permutation)


def permute_backward(saved, dout):
    shape, permutation = saved
    xp = array_module(permutation, dout)
    inverse = stable_argsort(permutation)  # where each entry went
    return (sum_to_shape(xp.take_along_axis(dout, inverse, axis=-1), shape),)


def permute_loops(a, permutation, *, math=None):
    return [a[int(i)] for i in permutation]


def _same_batch(xp, a, indices):
    """Both with the batch axes that they have together."""
    p, q = a.shape[:-1], indices.shape[:-1]
    ndim = max(len(p), len(q))
    p, q = (1,) * (ndim - len(p)) + p, (1,) * (ndim - len(q)) + q
    batch = tuple(n if m == 1 else m for m, n in zip(p, q))
    return tuple(xp.broadcast_to(x, (*batch, x.shape[-1])) for x in (a, indices))


# ---- evidence ---------------------------------------------------------------


def gather_cases(rng):
    table = rng.normal(size=(4, 3))
    yield Case("one row", (table, np.array(2)))
    yield Case("rows twice", (table, np.array([3, 0, 3, 3])))
    yield Case("indices of two axes", (table, np.array([[0, 1], [1, 3]])))
    yield Case("rows are numbers", (table[:, 0], np.array([2, 2, 0])))
    yield Case("rows are matrices", (rng.normal(size=(3, 2, 2)), np.array([1, 2, 1])))
    yield Case("no indices", (table, np.array([2])[:0]), zero_gradient=("table",))
    yield Case("a table of one", (table[:1], np.array([0, 0])))


def take_along_cases(rng):
    a = rng.normal(size=(2, 4))
    yield Case("one row", (a[0], np.array([3, 0, 3])))
    yield Case("a batch", (a, np.array([[0, 0, 1], [3, 2, 0]])))
    yield Case("indices shared by the batch", (a, np.array([2, 2])))
    yield Case("a row shared by the batch", (a[0], np.array([[0, 1], [1, 1], [3, 0]])))
    yield Case("both broadcast", (rng.normal(size=(2, 1, 3)), np.array([[[0, 2]], [[1, 1]]])[:, 0]))
    yield Case("rows in an axis of one more", (a[None, :, None], np.array([[2, 0], [1, 1]])))
    yield Case("indices in an axis of one more", (a, np.array([[[2, 0]], [[1, 1]]])[None, :, :]))
    yield Case("more than there are", (a[:, :1], np.array([[0, 0, 0]])))
    narrow = rng.integers(0, 3, size=(90, 1), dtype=np.uint8)  # too narrow to count 90 rows of 3
    yield Case("narrow integers", (a[0, :3], narrow))
    yield Case("no indices", (a, np.array([[0], [0]])[:, :0]), zero_gradient=("a",))


def permute_cases(rng):
    a = rng.normal(size=(2, 4))
    yield Case("a cycle", (a[0], np.array([1, 2, 3, 0])))
    yield Case("as it is", (a[0], np.array([0, 1, 2, 3])))
    yield Case("each row its own", (a, np.array([[3, 1, 0, 2], [2, 3, 1, 0]])))
    yield Case("one for the batch", (a, np.array([2, 0, 3, 1])))
    yield Case("a row in three orders", (a[0, :3], np.array([[1, 2, 0], [2, 1, 0], [0, 2, 1]])))
    yield Case("rows in an axis of one more", (a[None, :, None, :3], np.array([[2, 0, 1], [1, 0, 2]])))
    yield Case("orders in an axis of one more", (a[..., :2], np.array([[[1, 0]], [[0, 1]]])[None]))
    yield Case("one entry", (a[:, :1], np.array([0])))


def each_row_is_the_row_of_its_index(inputs, params, out):
    table, indices = inputs
    for i in np.ndindex(indices.shape):
        assert (out[i] == table[indices[i]]).all()


def a_gradient_of_ones_counts_the_picks(inputs, params, out):
    table, indices = inputs
    (dtable,) = gather_backward((indices, len(table)), np.ones_like(out))
    for row, d in enumerate(dtable):
        assert (d == (indices == row).sum()).all()


def each_entry_is_that_of_its_row(inputs, params, out):
    a, indices = (np.broadcast_to(x, (*out.shape[:-1], x.shape[-1])) for x in inputs)
    for i in np.ndindex(out.shape):
        assert out[i] == a[i[:-1]][indices[i]]


def the_inverse_undoes_it(inputs, params, out):
    a, permutation = inputs
    back, _ = permute_forward(out, np.argsort(permutation, axis=-1))
    assert (back == a).all()


def _op(name, signature, *properties, shapes=None):
    forward, backward, cases, loops = (
        globals()[f"{name}_{part}"] for part in ("forward", "backward", "cases", "loops")
    )
    passive = {mark: "integer" for mark in ("indices", "permutation") if mark in signature}
    facts = {"shape_rule": shapes, "passive": passive, "properties": properties}
    source = "Python array API standard v2024.12"
    return register(Op(name, signature, forward, backward, cases, loops, source=source, **facts))


gather = _op(
    "gather",
    "table(...), indices!(...) -> rows(...)",
    each_row_is_the_row_of_its_index,
    a_gradient_of_ones_counts_the_picks,
    shapes=gather_shapes,
)
take_along = _op("take_along", "a(n), indices!(k) -> out(k)", each_entry_is_that_of_its_row)
permute = _op(
    "permute", "a(n), permutation!(n) -> out(n)", each_entry_is_that_of_its_row, the_inverse_undoes_it
)
