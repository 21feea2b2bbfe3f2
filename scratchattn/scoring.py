"""Additive scores of queries against keys, at the level of arrays.

The derivation stands in ``ops/additive_score``.  ``xp`` is the library that owns the arrays.
"""

from .backend import real
from .calculus import tanh, tanh_difference


def additive_scores(xp, inputs, keep, activation):
    """v . f(Q W + K U + b) for every pair: scores (..., q, k), f(h) (..., q, k, a) and the slopes of f there.

    ``inputs`` are query, key, vector, query_weights, key_weights, bias, the last three None or arrays;
    ``activation`` is "tanh" or "relu".  What is not kept has h = 0, whatever stands there.
    """
    query, key, vector, query_weights, key_weights, bias = inputs
    query = query if query_weights is None else xp.matmul(query, query_weights)
    key = key if key_weights is None else xp.matmul(key, key_weights)
    h = xp.expand_dims(query, axis=-2) + xp.expand_dims(key, axis=-3)
    if bias is not None:
        h = h + xp.expand_dims(bias, axis=(-3, -2))
    if keep is not None:
        h = xp.where(xp.expand_dims(keep, axis=-1), h, 0)
    if activation == "tanh":
        z, slope = tanh(xp, h)
    else:
        above = real(h) > 0
        z, slope = xp.where(above, h, 0), xp.where(above, xp.ones_like(h), 0)
    return xp.sum(z * xp.expand_dims(vector, axis=(-3, -2)), axis=-1), z, slope


def additive_scores_backward(xp, inputs, z, slope, dscore, activation, winner=None):
    """Gradients for the ``inputs`` of ``additive_scores``, still with all leading axes; see the op.

    With the ``winner`` of a softmax, (..., q, 1), ``dscore`` sums to zero over the keys: in sums over them z
    and slope are taken relative to the winner's, and nothing cancels where all keys have nearly the same.
    """
    query, key, vector, query_weights, key_weights, _ = inputs
    dscore = xp.expand_dims(dscore, axis=-1)
    dh = dscore * xp.expand_dims(vector, axis=(-3, -2))
    dkey = xp.sum(dh * slope, axis=-3)
    if winner is not None:
        full = (*dscore.shape[:-1], z.shape[-1])
        z, slope = (xp.broadcast_to(x, full) for x in (z, slope))
        place = xp.broadcast_to(xp.expand_dims(winner, axis=-1), (*full[:-2], 1, full[-1]))
        best_z, best_slope = (xp.take_along_axis(x, place, axis=-2) for x in (z, slope))
        z = tanh_difference(xp, z, slope, best_z, best_slope) if activation == "tanh" else z - best_z
        slope = slope - best_slope
    dvector, dquery = xp.sum(dscore * z, axis=(-3, -2)), xp.sum(dh * slope, axis=-2)
    dbias, dquery_weights, dkey_weights = xp.sum(dquery, axis=-2), None, None
    if query_weights is not None:
        dquery_weights = xp.matmul(xp.matrix_transpose(query), dquery)
        dquery = xp.matmul(dquery, xp.matrix_transpose(query_weights))
    if key_weights is not None:
        dkey_weights = xp.matmul(xp.matrix_transpose(key), dkey)
        dkey = xp.matmul(dkey, xp.matrix_transpose(key_weights))
    return dquery, dkey, dvector, dquery_weights, dkey_weights, dbias
