"""Array-level pairs that several ops share: a function and what its backward needs.

Pure array code, no ops and no tape.  ``xp`` is the library that owns the arrays.  Slopes are made
from exponentials, not from values that have rounded to one: in a saturated gate 1 - s cancels to
nothing, e / (1 + e)^2 keeps all digits.
"""

from .backend import arange_like, constant, lowest, real


def exponentials(xp, z, keep=None):
    """exp(z - z[winner]) along the last axis, zero where not ``keep``; their sum; the winner's index.

    The shift is the winner's own entry, found by its real part, and not its value as a constant:
    the tangent of the forward then cancels no more than the backward does.  What is not kept
    is never read, so NaN there cannot leak.  A row with nothing to keep has the sum 0; a row of no
    entries has no winner either: None.
    """
    if z.shape[-1] == 0:
        return z, xp.sum(z, axis=-1, keepdims=True), None
    decisive = real(z) if keep is None else xp.where(keep, real(z), lowest(z))
    winner = xp.expand_dims(xp.argmax(decisive, axis=-1), axis=-1)
    above = z - xp.take_along_axis(z, winner, axis=-1)
    if keep is None:
        e = xp.exp(above)
    else:  # twice: neither an overflow nor NaN may reach exp, nor 1 = exp(0) stay behind the mask
        e = xp.where(keep, xp.exp(xp.where(keep, above, 0)), 0)
    return e, xp.sum(e, axis=-1, keepdims=True), winner


def softmax(xp, z, keep=None):
    """Weights on the simplex along the last axis, zeros where nothing is kept; and the winner's index."""
    e, total, winner = exponentials(xp, z, keep)
    if keep is not None:
        total = xp.where(real(total) > 0, total, 1)
    return e / total, winner


def softmax_backward(xp, weights, winner, dweights):
    """g(z_i) = a_i (g(a_i) - sum_j a_j g(a_j)), the cotangent taken relative to the winner's.

    Where one weight is close to one the difference cancels for that row.  A constant added to
    g(a) changes nothing, since the weights sum to one; relative to the winner's entry nothing
    cancels (8 digits in a sharp case).
    """
    if winner is not None:
        dweights = dweights - xp.take_along_axis(dweights, winner, axis=-1)
    return weights * (dweights - xp.sum(weights * dweights, axis=-1, keepdims=True))


def aligned_pairs(xp, like, queries, keys, first, left, right):
    """Which query attends to which key by position alone: booleans (queries, keys), or None for all.

    Query i stands at first + i on the axis of the keys and attends from ``left`` keys before its
    place to ``right`` keys after it, both included; None: without limit.
    """
    if left is None and right is None:
        return None
    place = xp.expand_dims(real(arange_like(like, queries)), axis=-1) + first
    distance = real(arange_like(like, keys)) - place  # (queries, keys)
    if right is None:
        return distance >= -left
    return distance <= right if left is None else (distance >= -left) & (distance <= right)


def attended_sum(xp, weights, rows, attend):
    """sum_j weights_ij rows_jc over the pairs that attend; ``weights`` are zero at all others.

    (..., i, j), (..., j, c), booleans (..., i, j) or None for all pairs -> (..., i, c).  A product of
    matrices would multiply NaN by those zeros.  So entries that are not finite are left out of
    it, and whether one of them is attended to is counted by a second one: NaN and infinity reach the
    sums that attend to them, and no other.
    """
    if attend is None or rows.shape[-2] == 0:
        return xp.matmul(weights, rows)
    finite = (real(rows) <= -lowest(rows)) & (real(rows) >= lowest(rows))
    one = constant(real(rows), 1)
    strange = xp.where(finite, 0, one)
    met = xp.matmul(xp.where(attend, one, 0), strange) > 0
    first = xp.argmax(strange, axis=-2, keepdims=True)
    return xp.matmul(weights, xp.where(finite, rows, 0)) + xp.where(
        met, xp.take_along_axis(rows, first, axis=-2), 0
    )


def sigmoid(xp, z):
    """1 / (1 + exp(-z)) and its slope."""
    negative = real(z) < 0
    e = xp.exp(xp.where(negative, z, -z))  # at most one: no overflow, all digits on both sides
    return xp.where(negative, e, 1) / (1 + e), e / ((1 + e) * (1 + e))


def tanh(xp, z):
    """tanh(z) and its slope."""
    e = xp.exp(xp.where(real(z) < 0, 2 * z, -2 * z))
    return xp.tanh(z), 4 * e / ((1 + e) * (1 + e))


def softplus(xp, z):
    """log(1 + exp(z)) and its slope, the sigmoid."""
    negative = real(z) < 0
    e = xp.exp(xp.where(negative, z, -z))
    return xp.where(negative, 0, z) + xp.log1p(e), xp.where(negative, e, 1) / (1 + e)


def unit(xp, x, eps):
    """x / sqrt(x . x + eps) along the last axis, and that length."""
    length = xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True) + eps)
    return x / length, length


def unit_backward(xp, unit_x, length, dunit):
    """g(x) = (g(x') - x' (x' . g(x'))) / length, for every eps: since d length / dx = x'."""
    return (dunit - unit_x * xp.sum(unit_x * dunit, axis=-1, keepdims=True)) / length
