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


def softmax_and_log_sum(xp, z, keep=None):
    """Weights and the winner's index as ``softmax`` has them, and log sum exp(z), 0 for an empty row."""
    e, total, winner = exponentials(xp, z, keep)
    empty = real(total) == 0  # the winner's own term is one: only a row of nothing sums to zero
    total = xp.where(empty, 1, total)
    top = total if winner is None else xp.take_along_axis(z, winner, axis=-1)
    log_sum = xp.squeeze(xp.where(empty, 0, top + xp.log(total)), axis=-1)
    return select(xp, keep, e / total), winner, log_sum  # selected again: a total of NaN is its row's own


def aligned_pairs(op, xp, like, queries, keys, causal, window):
    """Which query attends to which key by position alone: booleans (queries, keys), or None for all.

    Query i has its place at key i if ``causal`` is "top_left", else at i + keys - queries.  It sees no
    key after its place if ``causal``, and of ``window`` (left, right) that many keys before and
    after it, both included; None: without limit.  ValueError, in the name of ``op``, for others.
    """
    if causal not in (None, "top_left", "bottom_right"):
        raise ValueError(f"{op}: causal must be None, 'top_left' or 'bottom_right', got {causal!r}")
    sides = tuple(window) if isinstance(window, (tuple, list)) else (window, window)
    if len(sides) != 2 or any(n is not None and (type(n) is not int or n < 0) for n in sides):
        raise ValueError(f"{op}: window must be None, an int from 0 or a pair (left, right), got {window!r}")
    left, right = sides[0], 0 if causal else sides[1]
    if left is None and right is None:
        return None
    place = xp.expand_dims(real(arange_like(like, queries)), axis=-1)
    place = place if causal == "top_left" else place + (keys - queries)
    distance = real(arange_like(like, keys)) - place  # (queries, keys)
    if right is None:
        return distance >= -left
    return distance <= right if left is None else (distance >= -left) & (distance <= right)


def without_the_unattended(xp, attend, query, key, value):
    """Queries that attend to nothing and keys that nobody attends to, with their values, made zero.

    They may hold anything; infinities there would make products of matrices complain.
    """
    if attend is None:
        return query, key, value
    pairs = xp.where(attend, constant(real(query), 1), 0)
    query = xp.where(xp.sum(pairs, axis=-1, keepdims=True) > 0, query, 0)
    met = xp.sum(xp.matrix_transpose(pairs), axis=-1, keepdims=True) > 0
    return query, xp.where(met, key, 0), xp.where(met, value, 0)


def stretched(*shapes):
    """The shape that all ``shapes``, which fit, broadcast to."""
    n = max(map(len, shapes))
    columns = zip(*[(1,) * (n - len(shape)) + tuple(shape) for shape in shapes])
    return tuple(next((size for size in column if size != 1), 1) for column in columns)


def both(one, other):
    """Pairs that attend by either of two booleans; None: all do."""
    return other if one is None else one if other is None else one & other


def select(xp, attend, x):
    """``x``, and zero at the pairs that do not attend, whatever stands there."""
    return x if attend is None else xp.where(attend, x, 0)


def attended_sum(xp, weights, rows, attend, turned=False):
    """sum_j weights_ij rows_jc over the pairs that attend; ``weights`` are zero at all others.

    (..., i, j), (..., j, c), booleans that broadcast to ``weights`` or None for all pairs -> (..., i, c);
    ``turned``: pairs are given as (j, i).  A product of matrices would multiply NaN by those zeros.
    So entries that are not finite are left out of it, and whether one of them is attended to is
    counted by a second one: NaN and infinity reach the sums that attend to them, and no other.
    """
    attend = None if attend is None else xp.broadcast_to(attend, weights.shape)
    if turned:
        weights, attend = (None if x is None else xp.matrix_transpose(x) for x in (weights, attend))
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


def tanh_difference(xp, z, slope, other, other_slope):
    """tanh(a) - tanh(b) of both and their slopes; what z lacks of one, slope / (1 + |z|), has all digits."""
    above, below = (real(z) > 0.5) & (real(other) > 0.5), (real(z) < -0.5) & (real(other) < -0.5)
    size, other_size = (xp.where(real(x) < 0, -x, x) for x in (z, other))
    lead = other_slope / (1 + other_size) - slope / (1 + size)
    return xp.where(above, lead, xp.where(below, -lead, z - other))


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


def products(xp, factors, axis):
    """The product along ``axis``, counted from the end, and for each factor that of all the others.

    Without a division: what stands before each, times what stands after it.
    """
    at = lambda part: (..., part, *[slice(None)] * (-1 - axis))
    before = [xp.ones_like(xp.sum(factors, axis=axis))]
    after = [before[0]]
    for i in range(factors.shape[axis]):
        before = [*before, before[-1] * factors[at(i)]]
        after = [factors[at(-1 - i)] * after[0], *after]
    others = xp.stack(before, axis=axis)[at(slice(None, -1))] * xp.stack(after, axis=axis)[at(slice(1, None))]
    return before[-1], others


def interpolated(xp, p, complement):
    """The weights p_n prod_(i > n) (1 - p_i) that y_n = p_n x_n + (1 - p_n) y_(n-1), y_0 = 0, gives to the x.

    Along the last axis, which is not empty; ``complement`` is 1 - p.  And what the transpose needs.
    """
    later = [xp.ones_like(p[..., 0])]
    for n in range(p.shape[-1] - 1, 0, -1):
        later.append(later[-1] * complement[..., n])
    later = xp.stack(later[::-1], axis=-1)
    return p * later, (p, complement, later)


def interpolated_backward(xp, p, complement, later, dweights):
    """g(p_n) = (g(w_n) - y_(n-1)) prod_(i > n) (1 - p_i), with g(w) in the place of x."""
    before = [0 * dweights[..., 0]]
    for n in range(p.shape[-1] - 1):
        before.append(p[..., n] * dweights[..., n] + complement[..., n] * before[-1])
    return (dweights - xp.stack(before, axis=-1)) * later
