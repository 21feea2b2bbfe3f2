"""Bilinear scores: ``q`` queries against ``k`` keys of another width, through a learned matrix.

Forward
-------
    s_ij = Q_i M K_j + Q_i . u + K_j . w + b

M (d, e) is ``matrix``, u (d) is ``query_vector``, w (e) is ``key_vector`` and b is ``bias``; what is None is
left out.  With all of them it is [Q_i, 1] N [K_j, 1] for one matrix N: the biaffine form.

Backward
--------
Every factor of a product meets all the others.  With g(x) for dL/dx and t_ij = g(s_ij),

    g(Q_i) = sum_j t_ij M K_j + u sum_j t_ij          g(M) = sum_ij t_ij Q_i K_j^T
    g(K_j) = sum_i t_ij M^T Q_i + w sum_i t_ij        g(b) = sum_ij t_ij
    g(u)   = sum_ij t_ij Q_i                          g(w) = sum_ij t_ij K_j

Accuracy
--------
Three products of matrices; each errs by its own length in units of the sum of the moduli.

Conventions
-----------
A row of M belongs to a feature of the query, a column to one of the key:

    Luong et al.            h_t W_a h_s, the query first: M
    OpenNMT, "general"      Linear on the query, stored (e, d): M^T; no bias
    Joey NMT, "luong"       Linear on the keys, stored (d, e): M; the keys are multiplied once for all steps
    TensorFlow Addons       the keys times a kernel (e, d): M^T; LuongAttention(scale=True) multiplies the
                            scores by a learned number, which is the caller's business
    AllenNLP                M and one b, an activation after it; use_input_biases: the biaffine form
    Dozat, Manning          M and the vector of the side whose prior matters, here ``key_vector``

After a softmax over the keys u and b change nothing, since they are the same for all keys.  A score knows
of no keep: NaN in a key reaches the gradient of every query.

Source: Luong, Pham, Manning, arXiv:1508.04025, eq. 8 (general); biaffine: Dozat, Manning,
arXiv:1611.01734, section 2.2.
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, register


def bilinear_score_forward(query, key, matrix, query_vector=None, key_vector=None, bias=None):
    """Scores (..., q, k) of queries (..., q, d) and keys (..., k, e), with a matrix (..., d, e).

    query_vector (..., d), key_vector (..., e) and bias (...) may be None.
    """
    xp = array_module(query, key, matrix, query_vector, key_vector, bias)
    projected = xp.matmul(query, matrix)  # (..., q, e)
    score = xp.matmul(projected, xp.matrix_transpose(key))
    if query_vector is not None:
        score = score + xp.matmul(query, xp.expand_dims(query_vector, axis=-1))
    if key_vector is not None:
        score = score + xp.matrix_transpose(xp.matmul(key, xp.expand_dims(key_vector, axis=-1)))
    if bias is not None:
        score = score + xp.expand_dims(bias, axis=(-2, -1))
    return score, (projected, (query, key, matrix, query_vector, key_vector, bias))


def bilinear_score_backward(saved, dscore):
    """Gradients for the six inputs, given dscore of shape (..., q, k); None for what was None."""
    projected, inputs = saved
    query, key, matrix, query_vector, key_vector, bias = inputs
    xp = array_module(query, dscore)
    dprojected = xp.matmul(dscore, key)
    dquery = xp.matmul(dprojected, xp.matrix_transpose(matrix))
    dkey = xp.matmul(xp.matrix_transpose(dscore), projected)
    dmatrix = xp.matmul(xp.matrix_transpose(query), dprojected)
    by_query, by_key = (xp.sum(dscore, axis=axis, keepdims=True) for axis in (-1, -2))
    dquery_vector = dkey_vector = dbias = None
    if query_vector is not None:
        dquery = dquery + by_query * xp.expand_dims(query_vector, axis=-2)
        dquery_vector = xp.sum(by_query * query, axis=-2)
    if key_vector is not None:
        by_key = xp.matrix_transpose(by_key)
        dkey = dkey + by_key * xp.expand_dims(key_vector, axis=-2)
        dkey_vector = xp.sum(by_key * key, axis=-2)
    if bias is not None:
        dbias = xp.sum(dscore, axis=(-2, -1))
    grads = (dquery, dkey, dmatrix, dquery_vector, dkey_vector, dbias)
    return tuple([None if a is None else sum_to_shape(g, a.shape) for g, a in zip(grads, inputs)])


def bilinear_score_loops(query, key, matrix, query_vector=None, key_vector=None, bias=None, *, math=None):
    """One pair at a time."""
    scores = []
    for q in query:
        row = []
        for k in key:
            score = 0 if bias is None else bias
            for i in range(len(q)):
                score = score + (0 if query_vector is None else q[i] * query_vector[i])
                for j in range(len(k)):
                    score = score + q[i] * matrix[i][j] * k[j]
            for j in range(len(k)):
                score = score + (0 if key_vector is None else k[j] * key_vector[j])
            row.append(score)
        scores.append(row)
    return scores


# ---- evidence ---------------------------------------------------------------

NAMES = ("query", "key", "matrix", "query_vector", "key_vector", "bias")


def cases(rng):
    def case(label, q=2, k=3, d=2, e=3, *, batch=(), shared=(), given="", size=1.0, zero=()):
        """``given``: which of u, w and b are there; ``shared``: the leading axes of what is learned."""
        inputs = [rng.normal(size=(*batch, q, d)), rng.normal(size=(*batch, k, e))]
        learned = [rng.normal(size=(*shared, *shape)) for shape in ((d, e), (d,), (e,), ())]
        optional = [x if name in given else None for name, x in zip("uwb", learned[1:])]
        return Case(label, (*[size * x for x in inputs], learned[0], *optional), zero_gradient=zero)

    yield case("general")
    yield case("biaffine", given="uwb")
    yield case("the vector of the keys", given="w")
    yield case("the vector of the queries", 1, given="u")
    yield case("a bias", k=1, given="b")
    yield case("a batch with one matrix", batch=(2,), given="uwb")
    yield case("two matrices for the same vectors", 1, 2, 2, 2, shared=(2,), given="uwb")
    yield case("a matrix for each of a batch", 1, 2, 2, 2, batch=(2,), shared=(2,), given="uwb")
    yield case("one of everything", 1, 1, 1, 1, given="uwb")
    yield case("scores of ten thousand", size=100.0, given="uwb")
    yield case("no keys", k=0, given="uwb", zero=NAMES)
    yield case("no queries", q=0, given="uwb", zero=NAMES)
    yield case("queries without width", d=0, given="uwb", zero=NAMES[:1] + NAMES[2:4])
    yield case("keys without width", e=0, given="w", zero=NAMES)


def keys_are_interchangeable(inputs, params, score):
    query, key, *learned = inputs
    flipped, _ = bilinear_score_forward(query, key[..., ::-1, :], *learned)
    assert (abs(flipped[..., ::-1] - score) <= 1e-13 * abs(score).max(initial=0.0)).all()


def queries_and_keys_change_places_with_the_matrix_turned(inputs, params, score):
    query, key, matrix, query_vector, key_vector, bias = inputs
    turned, _ = bilinear_score_forward(key, query, matrix.swapaxes(-1, -2), key_vector, query_vector, bias)
    assert (abs(turned.swapaxes(-1, -2) - score) <= 1e-13 * abs(score).max(initial=0.0)).all()


def the_identity_is_the_dot_product(inputs, params, score):
    key = inputs[1]
    one = array_module(key).eye(key.shape[-1])
    dots = (key[..., :, None, :] * key[..., None, :, :]).sum(-1)
    found, _ = bilinear_score_forward(key, key, one)
    assert (abs(found - dots) <= 1e-13 * abs(dots).max(initial=0.0)).all()


bilinear_score = register(
    Op(
        name="bilinear_score",
        signature="query(q,d), key(k,e), matrix(d,e), query_vector?(d), key_vector?(e), bias?()"
        " -> score(q,k)",
        forward=bilinear_score_forward,
        backward=bilinear_score_backward,
        loops=bilinear_score_loops,
        cases=cases,
        properties=(
            keys_are_interchangeable,
            queries_and_keys_change_places_with_the_matrix_turned,
            the_identity_is_the_dot_product,
        ),
        source="arXiv:1508.04025 eq. 8; arXiv:1611.01734 section 2.2",
    )
)
