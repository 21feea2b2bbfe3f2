"""Your own forward and backward, held against everything: additive attention's scores.

    gradcheck check examples/own_op.py:additive_score

No registration, no base class: two functions, a signature, cases.  ``additive_score_loops`` is
optional; with it the forward is checked too, and the backward against 60 digits.

    s_i = v . tanh(W q + k_i)

With u_i = tanh(W q + k_i) and g_i = dL/ds_i, the chain rule gives, for z_i = W q + k_i,

    g(z_i) = g_i v (1 - u_i^2)
    g(k_i) = g(z_i)                g(v) = sum_i g_i u_i
    g(W)   = sum_i g(z_i) q^T      g(q) = W^T sum_i g(z_i)

Source: Bahdanau, Cho, Bengio, arXiv:1409.0473, appendix A.1.2.
"""

import math

import numpy as np

signature = "query(d), projection(w,d), key(k,w), vector(w) -> score(k)"


def additive_score_forward(query, projection, key, vector):
    """Scores (k) of the keys (k, w) for one query (d)."""
    projected = np.matmul(projection, query[..., None])[..., 0]
    u = np.tanh(projected[..., None, :] + key)
    return np.sum(u * vector[..., None, :], axis=-1), (query, projection, key, vector, u)


def additive_score_backward(saved, dscore):
    query, projection, key, vector, u = saved
    dz = dscore[..., None] * vector[..., None, :] * (1 - u * u)
    summed = np.sum(dz, axis=-2)
    dquery = np.matmul(np.swapaxes(projection, -1, -2), summed[..., None])[..., 0]
    dprojection = summed[..., None] * query[..., None, :]
    dvector = np.sum(dscore[..., None] * u, axis=-2)
    pairs = ((dquery, query), (dprojection, projection), (dz, key), (dvector, vector))
    return tuple(_unbroadcast(gradient, like.shape) for gradient, like in pairs)


def additive_score_loops(query, projection, key, vector, *, math=math):
    """The formula, one number at a time."""
    scores = []
    for row in key:
        score = 0
        for j in range(len(vector)):
            projected = sum(projection[j][i] * query[i] for i in range(len(query)))
            score += vector[j] * math.tanh(projected + row[j])
        scores.append(score)
    return scores


def cases(rng):
    """Small inputs to check at; leading axes broadcast."""
    d, w, k = rng.integers(2, 4, size=3)

    def draw(*shape):
        return rng.normal(size=shape)

    yield draw(d), draw(w, d), draw(k, w), draw(w)
    yield draw(2, d), draw(w, d), draw(2, k, w), draw(w)  # a batch; one projection and vector for all
    yield draw(d), draw(w, d), draw(1, w), draw(w)  # one key


def _unbroadcast(gradient, shape):
    """Sum over leading axes that ``shape`` has not, or has as one."""
    gradient = np.sum(gradient, axis=tuple(range(gradient.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return np.sum(gradient, axis=stretched, keepdims=True)
