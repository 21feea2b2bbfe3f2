"""The layers of a Transformer: attention and a feed-forward network, each beside a residual stream.

    encoder    x = R(x, self-attention)        x = R(x, feed-forward)
    decoder    x = R(x, self-attention)        x = R(x, attention to the source)     x = R(x, feed-forward)

    post       R(x, f) = N(x + D(f(x)))        the paper; torch's default
    pre        R(x, f) = x + D(f(N(x)))        GPT-2, Llama; the last layer of a stack wants one more N

N is layer or root-mean-square normalisation, D dropout, on the branch and never on the sum.  An encoder
layer with causal="bottom_right" is the layer of a GPT, and with the cache a step of it.

Conventions
-----------
Padding, what comes after ``lengths``, is not read, attended to or given a gradient, and out is zero there.
No array is drawn here: each kind of dropout has its array of booleans, True survives, or None for none.
torch drops attention weights, both residual branches and the inner layer, all at one rate, as here.

Source: Vaswani et al., "Attention is all you need", arXiv:1706.03762, section 3; pre: Xiong et al.,
arXiv:2002.04745.
"""

from typing import Any, NamedTuple

from ..calculus import both
from ..op import REGISTRY
from .feed_forward import FeedForwardWeights, dropped, feed_forward, feed_forward_shapes
from .multi_head_attention import (
    KeyValues,
    MultiHeadWeights,
    multi_head_attention,
    multi_head_shapes,
    running_rows,
    self_attention,
    without_padding,
)

NORMS = ("layer_norm", "rms_norm")


class NormWeights(NamedTuple):
    scale: Any = None  # (d)
    shift: Any = None  # (d), of layer_norm only


class EncoderWeights(NamedTuple):
    attention: MultiHeadWeights
    attention_norm: NormWeights
    feed_forward: FeedForwardWeights
    feed_forward_norm: NormWeights


class DecoderWeights(NamedTuple):
    attention: MultiHeadWeights
    attention_norm: NormWeights
    cross: MultiHeadWeights
    cross_norm: NormWeights
    feed_forward: FeedForwardWeights
    feed_forward_norm: NormWeights


class Keeps(NamedTuple):
    """Dropout arrays of a layer: booleans, True survives; None drops nothing."""

    weights: Any = None  # (..., h|1, q|1, k|1), of self-attention
    attended: Any = None  # (..., t, d)
    cross_weights: Any = None  # (..., h|1, q|1, k|1)
    crossed: Any = None  # (..., t, d)
    inner: Any = None  # (..., t, f)
    outer: Any = None  # (..., t, d)


NO_DROPOUT = Keeps()


class Layer(NamedTuple):
    """What a layer returns; the last two are None for an encoder."""

    out: Any  # (..., t, d)
    weights: Any  # (..., h, t, t)
    cache: KeyValues
    cross_weights: Any = None  # (..., h, t, k)
    source: Any = None  # KeyValues of the source, for the next chunk


def encoder_shapes(features, heads, inner, *, gated=False, bias=True, norm="layer_norm", **attention):
    """Parameter shapes of ``encoder_layer``, named as in "attention.query_weights".

    ``attention``: further params of ``multi_head_shapes``.  ``bias``: of every affine map and of the norm.
    """
    return _named(
        attention=multi_head_shapes(features, heads, bias=bias, **attention),
        attention_norm=_norm_shapes(features, norm, bias),
        feed_forward=feed_forward_shapes(features, inner, gated=gated, bias=bias),
        feed_forward_norm=_norm_shapes(features, norm, bias),
    )


def decoder_shapes(
    features, heads, inner, *, source_features=None, gated=False, bias=True, norm="layer_norm", **attention
):
    """Parameter shapes of ``decoder_layer``; source_features None: as many as ``features``."""
    source = {"key_features": source_features, "value_features": source_features}
    return encoder_shapes(features, heads, inner, gated=gated, bias=bias, norm=norm, **attention) | _named(
        cross=multi_head_shapes(features, heads, bias=bias, **attention, **source),
        cross_norm=_norm_shapes(features, norm, bias),
    )


def gathered(kind, params, prefix=""):
    """The weights of ``kind``, EncoderWeights or DecoderWeights, from the names of a mapping.

    params["attention.query_weights"], behind ``prefix``, is attention.query_weights; what is not there
    is None.
    """
    parts = {}
    for part, weights in kind.__annotations__.items():
        names = {field: f"{prefix}{part}.{field}" for field in weights._fields}
        parts[part] = weights(**{field: params[name] for field, name in names.items() if name in params})
    return kind(**parts)


def encoder_layer(
    x, weights, *, heads, lengths=None, placement="post", norm="layer_norm", norm_params=None,
    activation="relu", keeps=NO_DROPOUT, dropout_rate=0.0, cache=None, **attention,
):  # fmt: skip
    """x (..., t, d), EncoderWeights -> Layer.

    ``lengths`` (...): integers, the rows of each sequence that are no padding, those in the cache among
    them.  ``placement``: "post" or "pre".  ``norm``: "layer_norm" or "rms_norm", and a mapping of its
    ``norm_params``, like eps.  ``keeps``: the arrays of dropout, all at one ``dropout_rate``.
    ``attention``: further params of ``self_attention``, like causal, keep, bias, window and rotate.
    ValueError for another name, and for a rate without an array.
    """
    how = _how("encoder_layer", placement, norm, norm_params, keeps, dropout_rate)
    rows = running_rows(x, lengths, cache)
    x = without_padding(x, rows)

    def attend(x):
        return self_attention(
            x, weights.attention, heads=heads, lengths=lengths, cache=cache,
            **_dropping(keeps.weights, dropout_rate), **attention,
        )  # fmt: skip

    x, attended = _joined(x, attend, weights.attention_norm, keeps.attended, how)
    x = _fed_forward(x, weights, activation, keeps, how)
    return Layer(without_padding(x, rows), attended.weights, attended.cache)


def decoder_layer(
    x, source, weights, *, heads, lengths=None, source_lengths=None, causal="bottom_right",
    placement="post", norm="layer_norm", norm_params=None, activation="relu", keeps=NO_DROPOUT,
    dropout_rate=0.0, cache=None, source_cache=None, cross=None, **attention,
):  # fmt: skip
    """x (..., t, d), source (..., k, e), DecoderWeights -> Layer.

    As ``encoder_layer``.  Besides, ``source_lengths`` (...): the rows of each source that are no padding;
    ``source_cache``: Layer.source of an earlier chunk, where source is None; ``cross``: further params of
    ``multi_head_attention`` to the source, like keep or scale, where ``attention`` is of self-attention.
    """
    how = _how("decoder_layer", placement, norm, norm_params, keeps, dropout_rate)
    rows = running_rows(x, lengths, cache)
    x, cross = without_padding(x, rows), dict(cross or {})
    if rows is not None:
        cross["keep"] = both(cross.get("keep"), rows[..., None, :, :])

    def attend(x):
        return self_attention(
            x, weights.attention, heads=heads, lengths=lengths, causal=causal, cache=cache,
            **_dropping(keeps.weights, dropout_rate), **attention,
        )  # fmt: skip

    def attend_to_source(x):
        return multi_head_attention(
            x, source, source, weights.cross, heads=heads, lengths=source_lengths, cache=source_cache,
            **_dropping(keeps.cross_weights, dropout_rate), **cross,
        )  # fmt: skip

    x, attended = _joined(x, attend, weights.attention_norm, keeps.attended, how)
    x, crossed = _joined(x, attend_to_source, weights.cross_norm, keeps.crossed, how)
    x = _fed_forward(x, weights, activation, keeps, how)
    return Layer(without_padding(x, rows), attended.weights, attended.cache, crossed.weights, crossed.cache)


class _Fed(NamedTuple):
    out: Any  # (..., t, d)


class _How(NamedTuple):
    """How what a branch returns joins the stream."""

    placement: str
    norm: str
    norm_params: dict
    rate: float


def _how(named, placement, norm, norm_params, keeps, rate):
    if placement not in ("post", "pre"):
        raise ValueError(f"{named}: placement must be 'post' or 'pre', got {placement!r}")
    there = [name for name in NORMS if name in REGISTRY]
    if norm not in there:
        raise ValueError(f"{named}: norm must be one of {', '.join(there)}, got {norm!r}")
    if rate and all(keep is None for keep in keeps):
        raise ValueError(f"{named}: dropout_rate {rate} needs keeps, got none")
    return _How(placement, norm, norm_params or {}, rate)


def _joined(x, branch, norm, keep, how):
    """The next x, and what ``branch`` returned, whose ``out`` joins the stream."""
    if how.placement == "post":
        found = branch(x)
        return _normed(x + dropped(found.out, keep, how.rate), norm, how), found
    found = branch(_normed(x, norm, how))
    return x + dropped(found.out, keep, how.rate), found


def _fed_forward(x, weights, activation, keeps, how):
    def feed(x):
        given = {"activation": activation, "keep": keeps.inner, "dropout_rate": how.rate}
        return _Fed(feed_forward(x, weights.feed_forward, **given))

    return _joined(x, feed, weights.feed_forward_norm, keeps.outer, how)[0]


def _normed(x, weights, how):
    given = (weights.scale,) if weights.shift is None else weights
    return REGISTRY[how.norm](x, *given, **how.norm_params)


def _dropping(keep, rate):
    """The params of attention whose weights are dropped."""
    return {} if keep is None else {"dropout_keep": keep, "dropout_rate": rate}


def _norm_shapes(features, norm, bias):
    names = ("scale", "shift") if norm == "layer_norm" and bias else ("scale",)
    return dict.fromkeys(names, (features,))


def _named(**parts):
    return {f"{part}.{name}": shape for part, shapes in parts.items() for name, shape in shapes.items()}
