"""Multi-head attention: several attentions side by side, each in a projection of its own.

    head_i = softmax(scale (Q W_i^Q) (K W_i^K)^T + bias) (V W_i^V)
    out    = [head_1, ..., head_h] W^O

The W_i lie side by side, as the columns of one matrix.  Grouped queries: there are g heads of keys and
values, and each serves h / g heads of queries, neighbours; g = 1 is multi-query attention.  The
projections may have biases, and any widths.

Who attends to whom
-------------------
``lengths``, ``keep``, ``causal`` and ``window`` hold all at once.  ``causal`` is as in
``softmax_attention``, or an int: query i is at the place of key i + causal and sees none after it.  A
query that attends to nothing has heads of zero, so out is the output bias.  What comes after ``lengths``
is padding and never read: NaN there reaches no output and no gradient.  What the others exclude
reaches no output either, but is projected, since a later chunk may attend to it.

Cache
-----
Attended.cache holds the keys and values so far, projected and rotated.  Given back with the next chunk of
a sequence, its queries attend to the past too, with causal="bottom_right".  What differs from the
whole run at once is the order in which a matrix product sums up, which depends on how many rows and
columns it has: a few units in the last place, 1e-14 of the largest entry in float64 and 1e-6 in
float32.  A sequence alone is the sequence in a batch to the bit.  Gradients go through the cache.

Conventions
-----------
    torch.nn.MultiheadAttention   W transposed, those of Q, K, V one above the other in in_proj_weight;
                                  True in a mask drops; weights are after dropout and the mean of heads
    GPT-2                         Q, K, V side by side in one matrix c_attn
    T5                            no biases, scale = 1, heads times their width need not be d
    Llama                         no biases, rotary positions, grouped queries

Here weights are before dropout, of each head.  Groups are of neighbours, as with torch's enable_gqa.

Source: Vaswani et al., "Attention is all you need", arXiv:1706.03762, section 3.2.2; multi-query:
Shazeer, arXiv:1911.02150; grouped queries: Ainslie et al., arXiv:2305.13245; rotary positions: Su et
al., arXiv:2104.09864; a bias by distance: Press, Smith, Lewis, arXiv:2108.12409.
"""

from typing import Any, NamedTuple

from ..backend import arange_like, array_module, real
from ..calculus import both
from ..ops.axes import expand_dims, transpose
from ..ops.choice import where
from ..ops.shaping import concat, reshape
from ..ops.softmax_attention import softmax_attention
from ..signature import Signature
from ..tape import Tensor


class MultiHeadWeights(NamedTuple):
    """The parameters; h heads of queries and g of keys, each w wide, their values v wide."""

    query_weights: Any  # (d, h w)
    key_weights: Any  # (e, g w)
    value_weights: Any  # (f, g v)
    output_weights: Any  # (h v, o)
    query_bias: Any = None  # (h w)
    key_bias: Any = None  # (g w)
    value_bias: Any = None  # (g v)
    output_bias: Any = None  # (o)


class KeyValues(NamedTuple):
    """Keys and values as the heads see them."""

    key: Any  # (..., g, k, w)
    value: Any  # (..., g, k, v)


class Attended(NamedTuple):
    """What multi-head attention returns."""

    out: Any  # (..., q, o)
    weights: Any  # (..., h, q, k), before dropout
    cache: KeyValues  # of all keys so far


_SIGNATURE = Signature(
    "multi_head_attention",
    "query(q,d), key?(k,e), value?(k,f), query_weights(d,a), key_weights(e,b), value_weights(f,c), "
    "output_weights(u,o), query_bias?(a), key_bias?(b), value_bias?(c), output_bias?(o), lengths?!() "
    "-> out(q,o)",
    {"lengths": "integer"},
    None,
)


def multi_head_shapes(
    features, heads, *, key_heads=None, key_width=None, value_width=None, key_features=None,
    value_features=None, outputs=None, bias=True,
):  # fmt: skip
    """Parameter shapes.  ``heads`` of queries; ``key_heads`` of keys and values, None for as many.

    The widths are of one head, None for features / heads; key_features, value_features and outputs are
    ``features`` where None.  ValueError where heads do not divide features, or key_heads heads.
    """
    key_heads = heads if key_heads is None else key_heads
    if heads < 1 or key_heads < 1 or heads % key_heads:
        raise ValueError(f"multi_head_shapes: key_heads must divide heads, got {key_heads} and {heads}")
    if None in (key_width, value_width) and features % heads:
        raise ValueError(f"multi_head_shapes: heads must divide features, got {heads} and {features}")
    key_width = features // heads if key_width is None else key_width
    value_width = features // heads if value_width is None else value_width
    outputs = features if outputs is None else outputs
    shapes = {
        "query_weights": (features, heads * key_width),
        "key_weights": (features if key_features is None else key_features, key_heads * key_width),
        "value_weights": (features if value_features is None else value_features, key_heads * value_width),
        "output_weights": (heads * value_width, outputs),
    }
    biases = {name.replace("weights", "bias"): shape[1:] for name, shape in shapes.items()}
    return shapes | biases if bias else shapes


def multi_head_attention(
    query, key, value, weights, *, heads, lengths=None, keep=None, bias=None, causal=None, window=None,
    rotate=None, scale=None, soft_cap=None, dropout_keep=None, dropout_rate=0.0, cache=None,
):  # fmt: skip
    """query (..., q, d), key (..., k, e), value (..., k, f), MultiHeadWeights -> Attended.

    lengths (...) integers: so many keys count, those in the cache among them.  keep and dropout_keep,
    booleans, and bias have the axes (h|1, q|1, k|1), or the last two of them, after any others: True
    attends and survives, bias is added to the logits.  ``rotate(x, start)`` turns queries and keys,
    x (..., t, w), whose first row has the position ``start``.  The other params are those of
    ``softmax_attention``.  cache: KeyValues of the past, or None; key and value None: of those alone.

    TypeError and ValueError name the argument, what was expected and what came.
    """
    groups = _check(query, key, value, weights, heads, lengths, keep, causal, cache)
    queries, past = query.shape[-2], 0 if cache is None else cache.key.shape[-2]
    keys = past + (0 if key is None else key.shape[-2])
    start = past
    if causal is not None:
        start = {"top_left": 0, "bottom_right": keys - queries}.get(causal, causal)
    if lengths is not None:
        keep = both(keep, (arange_like(lengths, keys) < lengths[..., None])[..., None, None, :])
    projected = _heads(query, weights.query_weights, weights.query_bias, heads)
    if rotate is not None:
        projected = rotate(projected, start)
    cache = _remember(cache, key, value, weights, groups, lengths, rotate)
    if type(causal) is int:
        keep, causal, window = both(keep, _seen(query, queries, keys, start, window)), None, None
    attended = softmax_attention(
        _grouped("query", projected, heads, groups),
        expand_dims(cache.key, axis=-3),  # (..., g, 1, k, w): shared by the queries of its group
        expand_dims(cache.value, axis=-3),
        *[_grouped(*named, heads, groups) for named in (("bias", bias), ("keep", keep))],
        _grouped("dropout_keep", dropout_keep, heads, groups),
        scale=scale,
        causal=causal,
        window=window,
        soft_cap=soft_cap,
        dropout_rate=dropout_rate,
    )
    *batch, _, _, _, width = attended.out.shape  # (..., g, r, q, v)
    side_by_side = _swapped(reshape(attended.out, shape=(*batch, heads, queries, width)))
    joined = reshape(side_by_side, shape=(*batch, queries, heads * width))
    out = affine(joined, weights.output_weights, weights.output_bias)
    return Attended(out, reshape(attended.weights, shape=(*batch, heads, queries, keys)), cache)


def self_attention(x, weights, *, heads, lengths=None, keep=None, cache=None, **rest):
    """Each row of x (..., t, d) attends to the rows of the same sequence -> Attended.

    ``lengths`` (...): the rows of each sequence that are no padding, those in the cache among them.
    Padding is never read, and has weights and out of zero.  The rest is as above.
    """
    rows = running_rows(x, lengths, cache)
    if rows is None:
        return multi_head_attention(x, x, x, weights, heads=heads, keep=keep, cache=cache, **rest)
    keep = both(keep, rows[..., None, :, :])
    x = without_padding(x, rows)
    attended = multi_head_attention(
        x, x, x, weights, heads=heads, keep=keep, lengths=lengths, cache=cache, **rest
    )
    return attended._replace(out=without_padding(attended.out, rows))


def running_rows(x, lengths, cache=None):
    """Booleans (..., t, 1): the rows of x (..., t, d) that are no padding; None for all of them."""
    if lengths is None:
        return None
    past = 0 if cache is None else cache.key.shape[-2]
    return (arange_like(lengths, x.shape[-2]) + past < lengths[..., None])[..., None]


def without_padding(x, rows):
    """x (..., t, d), and zero where ``rows`` (..., t, 1) are padding; None: none is."""
    return x if rows is None else where(rows, x, 0.0)


def _check(query, key, value, weights, heads, lengths, keep, causal, cache):
    """How many heads of keys there are."""
    named = "multi_head_attention:"
    if (key is None) != (value is None) or (key is None and cache is None):
        raise TypeError(f"{named} key and value must be arrays, or both None beside a cache")
    _SIGNATURE.check((query, key, value, *weights, lengths), {})
    if keep is not None and not str(getattr(keep, "dtype", type(keep).__name__)).endswith("bool"):
        raise TypeError(f"{named} keep must be boolean, got {getattr(keep, 'dtype', type(keep).__name__)}")
    columns, key_columns, value_columns = (w.shape[1] for w in weights[:3])
    if type(heads) is not int or heads < 1 or columns % heads:
        raise ValueError(f"{named} heads must divide the {columns} columns of query_weights, got {heads!r}")
    groups = key_columns * heads // (columns or 1)
    if groups < 1 or heads % groups or groups * columns != key_columns * heads:
        wanted = f"{columns // heads} columns for each of its heads, whose number divides {heads}"
        raise ValueError(f"{named} key_weights must have {wanted}, got {key_columns}")
    rows = weights.output_weights.shape[0]
    if value_columns % groups or value_columns // groups * heads != rows:
        wanted = f"{value_columns} columns in {groups} heads where output_weights has {rows} rows for {heads}"
        raise ValueError(f"{named} value_weights and output_weights must agree on the width, got {wanted}")
    if type(causal) is not int and causal not in (None, "top_left", "bottom_right"):
        wanted = "None, 'top_left', 'bottom_right' or an int"
        raise ValueError(f"{named} causal must be {wanted}, got {causal!r}")
    if causal == "top_left" and cache is not None and cache.key.shape[-2]:
        raise ValueError(f"{named} causal must be 'bottom_right' or an int beside a cache, got 'top_left'")
    return groups


def affine(x, weights, bias):
    """x W + b, or x W where there is no bias."""
    return x @ weights if bias is None else x @ weights + bias


def _heads(x, weights, bias, heads):
    """Projected and cut: (..., t, d) -> (..., heads, t, w)."""
    columns = affine(x, weights, bias)
    *batch, t, width = columns.shape
    return _swapped(reshape(columns, shape=(*batch, t, heads, width // heads)))


def _swapped(x):
    """(..., t, h, w) -> (..., h, t, w), and back."""
    n = x.ndim
    return transpose(x, axes=(*range(n - 3), n - 2, n - 3, n - 1))


def _remember(cache, key, value, weights, groups, lengths, rotate):
    """The cache with new keys and values behind its own."""
    if key is None:
        return cache
    rows = running_rows(key, lengths, cache)
    key, value = without_padding(key, rows), without_padding(value, rows)
    new_key = _heads(key, weights.key_weights, weights.key_bias, groups)
    new_value = _heads(value, weights.value_weights, weights.value_bias, groups)
    if rotate is not None:
        new_key = rotate(new_key, 0 if cache is None else cache.key.shape[-2])
    if cache is None:
        return KeyValues(new_key, new_value)
    return KeyValues(concat(cache.key, new_key, axis=-2), concat(cache.value, new_value, axis=-2))


def _seen(like, queries, keys, start, window):
    """Booleans (q, k): what causal and window leave of the keys if query i is at place i + start."""
    like = real(like.data if type(like) is Tensor else like)
    distance = arange_like(like, keys) - (arange_like(like, queries)[:, None] + start)
    left = window[0] if isinstance(window, (tuple, list)) else window
    return distance <= 0 if left is None else (distance <= 0) & (distance >= -left)


def _grouped(name, x, heads, groups):
    """The axis of heads made two, (g, h / g); an array of queries and keys alone stays as it is."""
    if x is None or x.ndim < 3:
        return x
    if x.shape[-3] not in (1, heads):
        axes = f"the axes (..., {heads} or 1 for heads, queries, keys)"
        raise ValueError(f"multi_head_attention: {name} must have {axes}, got shape {tuple(x.shape)}")
    pair = (groups, heads // groups) if x.shape[-3] == heads else (1, 1)
    shape = (*x.shape[:-3], *pair, *x.shape[-2:])
    return reshape(x, shape=shape) if type(x) is Tensor else array_module(x).reshape(x, shape)
