"""Cosine similarity in all the forms that are in use, at the level of arrays.

    c = (k . M) / H(s(k) s(M))

A form is a length s and a way H to join two of them: ``FORMS``.  The derivation of every form stands
in ``ops/cosine_addressing``.  ``xp`` is the library that owns the arrays.
"""

from .backend import lowest, real, sum_to_shape


def cosine(xp, key, memory, form, eps):
    """Similarity (..., h, n) of keys (..., h, w) and rows (..., n, w), and what its backward needs.

    ``form`` is one of ``FORMS``, ``eps`` is positive.
    """
    measure, join = FORMS[form]
    shapes, scales = (key.shape, memory.shape), None
    if form == "none":
        (key, key_scale), (memory, memory_scale) = _scaled(xp, key), _scaled(xp, memory)
        scales = key_scale, memory_scale
    key_length, key_slope = measure(xp, xp.sum(key * key, axis=-1, keepdims=True), eps)
    row_length, row_slope = measure(xp, xp.sum(memory * memory, axis=-1, keepdims=True), eps)
    denominator, slope = join(xp, key_length * xp.matrix_transpose(row_length), eps)
    similarity = xp.matmul(key, xp.matrix_transpose(memory)) / denominator
    sides = (key, key_length, key_slope), (memory, row_length, row_slope)
    return similarity, (sides, denominator, slope, scales, shapes)


def cosine_backward(xp, parts, similarity, dsimilarity):
    """Gradients for key and memory, given dsimilarity (..., h, n).

    With q = dsimilarity / D and r = q c H', g(k) = q M - s'(k) (r s(M)), and the same transposed.
    """
    (key, key_length, key_slope), (memory, row_length, row_slope) = parts[0]  # lengths are (..., h or n, 1)
    _, denominator, slope, scales, (key_shape, memory_shape) = parts
    q = dsimilarity / denominator
    r = q * similarity if slope is None else q * similarity * slope
    dkey = xp.matmul(q, memory) - key * (key_slope * xp.matmul(r, row_length))
    q, r = xp.matrix_transpose(q), xp.matrix_transpose(r)
    dmemory = xp.matmul(q, key) - memory * (row_slope * xp.matmul(r, key_length))
    if scales is not None:
        dkey, dmemory = dkey * scales[0], dmemory * scales[1]
    return sum_to_shape(dkey, key_shape), sum_to_shape(dmemory, memory_shape)


def _scaled(xp, x):
    """x over its largest entry, and one over that entry; zeros where x is too short to have a direction."""
    if x.shape[-1] == 0:
        return x, xp.sum(x, axis=-1, keepdims=True)
    size = xp.where(real(x) < 0, -real(x), real(x))
    largest = xp.take_along_axis(x, xp.expand_dims(xp.argmax(size, axis=-1), axis=-1), axis=-1)
    largest = xp.where(real(largest) < 0, -largest, largest)
    short = real(largest) < -4 / lowest(x)  # the smallest normal number: beneath it 1 / x overflows
    scale = xp.where(short, 0, 1 / xp.where(short, 1, largest))
    return x * scale, scale


# Lengths, from x . x: s(x) and the t of s'(x) = t x.


def _smoothed(xp, square, eps):
    length = xp.sqrt(square + eps)
    return length, 1 / length


def _clamped(xp, square, least):
    above = real(square) > least * least
    length = xp.sqrt(xp.where(above, square, 1))
    return xp.where(above, length, least), xp.where(above, 1 / length, 0)


# Denominators: H(p), and H'(p) or None for one.


def _product(xp, p, eps):
    return p, None


def _product_or_one(xp, p, eps):
    return xp.where(real(p) > 0, p, 1), None  # where p = 0 the numerator is zero too


def _added(xp, p, eps):
    return p + eps, None


def _root(xp, p, eps):
    joined = xp.sqrt(p * p + eps)
    return joined, p / joined


def _larger(xp, p, eps):
    above = real(p) > eps
    return xp.where(above, p, eps), xp.where(above, xp.ones_like(p), 0)


def _bare(xp, square, eps):
    return _clamped(xp, square, 0)


FORMS = {
    "smoothed": (_smoothed, _product),
    "smoothed_added": (_smoothed, _added),
    "none": (_bare, _product_or_one),
    "added": (_bare, _added),
    "smoothed_product": (_bare, _root),
    "clamped_product": (_bare, _larger),
    "clamped": (_clamped, _product),
    "normalised": (lambda xp, square, eps: _clamped(xp, square, eps**0.5), _product),
}
