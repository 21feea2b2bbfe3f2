"""Multi-head attention as a composition of ops: what it promises, and PyTorch's as a second opinion."""

import numpy as np
import pytest
from adjoint import hessian_is_symmetric, is_the_adjoint

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn.nn.multi_head_attention import (
    KeyValues,
    MultiHeadWeights,
    multi_head_attention,
    multi_head_shapes,
    self_attention,
)

NAN = float("nan")
D, H = 6, 4  # features, heads
GROUPED = {
    "key_heads": 2,
    "key_width": 3,
    "value_width": 2,
    "key_features": 5,
    "value_features": 7,
    "outputs": 3,
}
KINDS = {
    "heads": {"key_width": 3, "value_width": 3},
    "grouped queries": GROUPED,
    "multi-query, no biases": {"key_heads": 1, "key_width": 2, "value_width": 3, "bias": False},
}
SELF = {"key_heads": 2, "key_width": 4, "value_width": 3}


def drawn(seed=0, **kind):
    rng = np.random.default_rng(seed)
    shapes = multi_head_shapes(D, H, **kind)
    return MultiHeadWeights(**{name: 0.5 * rng.normal(size=shape) for name, shape in shapes.items()})


def inputs(rng, weights, batch=(2,), q=3, k=4):
    """Query, key, value, as wide as the weights take them."""
    rows = ((q, weights.query_weights), (k, weights.key_weights), (k, weights.value_weights))
    return [rng.normal(size=(*batch, n, w.shape[0])) for n, w in rows]


def given(weights):
    """Those of the weights that are there, and their places."""
    return [w for w in weights if w is not None]


def attended(*arrays, **params):
    """Query, key, value and the weights that are there, as a function of arrays or tensors alone."""
    query, key, value, *weights = arrays
    return multi_head_attention(query, key, value, MultiHeadWeights(*weights), heads=H, **params)


def of_itself(x, *weights, **params):
    return self_attention(x, MultiHeadWeights(*weights), heads=H, **params)


def outcome(function, arrays, cotangent=None, **params):
    """The output and every gradient, under a random cotangent or a given one."""

    def first(*tensors):
        found = function(*tensors, **params)
        return getattr(found, "out", found)

    out, pullback = sa.vjp(first, *arrays)
    if cotangent is None:
        cotangent = np.random.default_rng(1).normal(size=out.shape)
    return [out, *pullback(cotangent)]


def close(found, truth, tolerance=1e-12):
    for i, (a, b) in enumerate(zip(found, truth, strict=True)):
        assert distance(a, b) <= tolerance, f"array {i}: {distance(a, b):.3g}"


def equal(found, truth):
    for a, b in zip(found, truth, strict=True):
        np.testing.assert_array_equal(a, b)


def turned(x, start):
    """Rotary positions: pairs (i, i + w/2) of each row turned by position times a frequency."""
    half = x.shape[-1] // 2
    angle = (start + np.arange(x.shape[-2]))[:, None] * 100.0 ** (-np.arange(half) / half)
    cos, sin = (f(angle).astype(np.float32 if x.dtype == np.float32 else float) for f in (np.cos, np.sin))
    a, b = sa.split(x, sections=(half, half), axis=-1)
    return sa.concat(a * cos - b * sin, a * sin + b * cos, axis=-1)


def slopes(q, k):
    """A bias by distance, with a slope for each head."""
    return -(2.0 ** -np.arange(1, H + 1))[:, None, None] * abs(np.arange(q)[:, None] - np.arange(k))


# ---- against the paper, one head at a time ----------------------------------


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_it_is_the_formula_of_each_head_by_itself(rng, kind):
    weights = drawn(**kind)
    query, key, value = inputs(rng, weights, batch=())
    filled = [np.zeros(1) if w is None else w for w in weights]
    q, k, v = (x @ w + b for x, w, b in zip((query, key, value), filled, filled[4:]))
    w, groups = q.shape[1] // H, kind.get("key_heads", H)
    width = v.shape[1] // groups
    heads, rows = [], []
    for i in range(H):
        j = i * groups // H
        logits = q[:, i * w : (i + 1) * w] @ k[:, j * w : (j + 1) * w].T / np.sqrt(w)
        rows.append(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
        heads.append(rows[-1] @ v[:, j * width : (j + 1) * width])
    out = multi_head_attention(query, key, value, weights, heads=H)
    close([out.out, out.weights], [np.concatenate(heads, -1) @ filled[3] + filled[7], np.stack(rows)], 1e-14)


@pytest.mark.parametrize(
    "params",
    [
        {"scale": 0.3},
        {"soft_cap": 0.5},
        {"window": 1},
        {"window": (0, None), "causal": "bottom_right"},
        {"window": 1, "causal": "top_left"},
        {"dropout_rate": 0.25, "dropout_keep": np.tri(3, 4, 1, dtype=bool)},
    ],
    ids=str,
)
def test_the_params_of_the_op_are_handed_on(rng, params):
    weights = drawn(key_width=2, value_width=3)
    arrays = inputs(rng, weights)
    q, k, v = (
        (x @ w + b).reshape(2, x.shape[1], H, -1).swapaxes(1, 2)
        for x, w, b in zip(arrays, weights, weights[4:])
    )
    params = dict(params)
    keep = params.pop("dropout_keep", None)
    heads = sa.softmax_attention(q, k, v, None, None, keep, **params)
    joined = heads.out.swapaxes(1, 2).reshape(2, 3, -1)
    found = attended(*arrays, *weights, dropout_keep=keep, **params)
    close(found[:2], [joined @ weights.output_weights + weights.output_bias, heads.weights], 1e-14)
    assert distance(found.out, attended(*arrays, *weights).out) > 1e-3


def test_grouped_queries_are_repeated_keys(rng):
    weights = drawn(**GROUPED)
    arrays = inputs(rng, weights)

    def repeated(w):
        heads = w.reshape(*w.shape[:-1], 2, -1)
        return np.repeat(heads, H // 2, axis=-2).reshape(*w.shape[:-1], -1)

    whole = [
        w if "key" not in name and "value" not in name else repeated(w)
        for name, w in weights._asdict().items()
    ]
    grouped, alone = (outcome(attended, [*arrays, *w]) for w in (weights, whole))
    close(grouped[:5], alone[:5])
    for name, a, b in zip(weights._fields, grouped[4:], alone[4:]):
        if "key" in name or "value" in name:
            *rows, columns = b.shape
            b = b.reshape(*rows, 2, H // 2, columns // H).sum(-2).reshape(*rows, -1)
        assert abs(a - b).max() < 1e-12, name  # that of key_bias is zero but for rounding


# ---- derivatives ------------------------------------------------------------

SETTINGS = {
    "plain": {},
    "lengths": {"lengths": np.array([4, 1])},
    "keep and bias": {"keep": np.tri(3, 4, 1, dtype=bool), "bias": slopes(3, 4)},
    "causal and window": {"causal": "bottom_right", "window": 1},
    "an offset": {"causal": 2, "window": (1, 0)},
    "rotated": {"rotate": turned, "causal": "bottom_right"},
    "dropped": {"dropout_keep": np.arange(48).reshape(H, 3, 4) % 3 > 0, "dropout_rate": 0.3},
}


@pytest.mark.parametrize("params", SETTINGS.values(), ids=SETTINGS)
def test_its_backward_is_the_adjoint(rng, params):
    for kind in ({"key_width": 4, "value_width": 3}, SELF):
        weights = drawn(**kind)
        vanishing = () if "rotate" in params else (8,)  # that of key_bias, which adds the same to all logits
        is_the_adjoint(
            lambda *a: attended(*a, **params)[:2], *inputs(rng, weights), *weights, vanishing=vanishing
        )


def test_its_hessian_is_symmetric(rng):
    weights = drawn(**GROUPED)
    hessian_is_symmetric(lambda *a: attended(*a, causal="bottom_right").out, *inputs(rng, weights), *weights)


def test_a_learned_bias_gets_its_gradient(rng):
    weights = drawn(**GROUPED)
    arrays = [*inputs(rng, weights), *weights]
    for shape in ((H, 3, 4), (1, 3, 4), (3, 4), (H, 1, 4), (2, H, 3, 4)):
        is_the_adjoint(
            lambda bias, *a: attended(*a, bias=bias).out, rng.normal(size=shape), *arrays, vanishing=(9,)
        )


# ---- one sequence and another -----------------------------------------------


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_sequence_alone_is_the_sequence_in_a_batch_to_the_bit(rng, kind):
    weights, lengths = drawn(**kind), np.array([4, 0, 3])
    arrays, n = inputs(rng, weights, batch=(3,)), len(given(weights))
    params = {"causal": "bottom_right", "rotate": turned if kind.get("key_width") == 2 else None}
    batch = outcome(attended, [*arrays, *given(weights)], lengths=lengths, **params)
    u = np.random.default_rng(1).normal(size=batch[0].shape)
    total = [0.0] * n
    for j in range(3):
        one = [x[j : j + 1] for x in arrays]
        params["lengths"] = lengths[j : j + 1]
        out, *grads = outcome(attended, [*one, *given(weights)], u[j : j + 1], **params)
        equal([out, *grads[:3]], [x[j : j + 1] for x in batch[:4]])
        total = [a + b for a, b in zip(total, grads[3:])]
    for a, b in zip(total, batch[4:]):
        assert abs(a - b).max() <= 1e-13


def test_the_future_never_changes_the_past(rng):
    weights = drawn(**SELF)
    x = rng.normal(size=(2, 5, D))
    for cut in range(1, 5):
        later = np.where(np.arange(5)[:, None] < cut, x, rng.normal(size=x.shape))
        here, there = (of_itself(x, *weights, causal="bottom_right").out for x in (x, later))
        equal([there[:, :cut]], [here[:, :cut]])
        assert distance(there[:, cut:], here[:, cut:]) > 1e-3
        u = np.where(np.arange(5)[:, None] < cut, rng.normal(size=here.shape), 0.0)
        (dx,) = sa.vjp(lambda x: of_itself(x, *weights, causal="bottom_right").out, x)[1](u)
        assert (dx[:, cut:] == 0).all() and (abs(dx[:, :cut]) > 0).all()


def test_turning_the_order_of_the_tokens_turns_that_of_the_outputs(rng):
    weights, x, order = drawn(**SELF), rng.normal(size=(2, 5, D)), np.array([3, 0, 4, 1, 2])
    here, there = (of_itself(y, *weights) for y in (x, x[:, order]))
    close([there.out, there.weights], [here.out[:, order], here.weights[:, :, order][..., order]], 1e-14)
    keys, values = rng.normal(size=(2, 2, 5, D))
    here, there = (
        attended(x, k, v, *weights) for k, v in ((keys, values), (keys[:, order], values[:, order]))
    )
    close([there.out], [here.out], 1e-14)


def test_rotated_attention_knows_distances_only(rng):
    weights, x = drawn(**SELF), rng.normal(size=(2, 5, D))
    here = of_itself(x, *weights, rotate=turned)
    there = of_itself(x, *weights, rotate=lambda x, start: turned(x, start + 1000))
    close([there.out], [here.out], 1e-12)
    assert distance(of_itself(x, *weights).out, here.out) > 1e-3


def test_rows_are_rotated_to_the_place_that_causal_gives_them(rng):
    weights, starts = drawn(**SELF), []
    query, key, value = inputs(rng, weights, q=2, k=5)

    def noted(x, start):
        starts.append((x.shape[-2], start))
        return x

    cache = attended(query, key, value, *weights, rotate=noted).cache
    for causal in ("top_left", "bottom_right", 1):
        attended(query, key, value, *weights, rotate=noted, causal=causal)
    assert starts == [(2, 0), (5, 0), (2, 0), (5, 0), (2, 3), (5, 0), (2, 1), (5, 0)]
    starts.clear()
    for causal in (None, "bottom_right"):
        attended(query, query, query, *weights, rotate=noted, causal=causal, cache=cache)
    assert starts == [(2, 5), (2, 5)] * 2


# ---- edge cases of masks ----------------------------------------------------


def test_padding_is_never_read_and_gets_nothing(rng):
    """NaN in padded keys, values and rows reaches no output and no gradient; out is zero in padded rows."""
    weights, lengths = drawn(**SELF), np.array([5, 2, 0])
    x = rng.normal(size=(3, 5, D))
    spoilt = np.where(np.arange(5)[:, None] < lengths[:, None, None], x, NAN)
    found, clean = (outcome(of_itself, [y, *weights], lengths=lengths) for y in (spoilt, x))
    equal(found, clean)
    for j, n in enumerate(lengths):
        assert (clean[0][j, n:] == 0).all() and (clean[1][j, n:] == 0).all()
    full = of_itself(spoilt, *weights, lengths=lengths)
    assert (full.weights[1, :, 2:] == 0).all() and (full.weights[1, :, :, 2:] == 0).all()
    alone = outcome(of_itself, [x[1:2, :2], *weights])
    close([clean[0][1:2, :2]], [alone[0]], 1e-14)


def test_what_keep_excludes_reaches_no_output(rng):
    """Nor what comes back to queries and their weights.  It is projected, so NaN stays in that projection."""
    weights, keep = drawn(**SELF), np.array([[0, 1, 1, 1], [0, 0, 1, 1]], bool)[:, None, None, :]
    query, key, value = inputs(rng, weights)
    hole = ~keep[:, 0, 0, :, None]
    spoilt = [query, np.where(hole, NAN, key), np.where(hole, NAN, value)]
    found, clean = (
        outcome(attended, [*arrays, *weights], keep=keep) for arrays in (spoilt, (query, key, value))
    )
    names = ("out", "query", "key", "value", *weights._fields)
    read = [i for i, name in enumerate(names) if name not in ("key_weights", "value_weights")]
    equal([found[i] for i in read], [clean[i] for i in read])


def test_edge_case_4_causal_with_fewer_queries_than_keys(rng):
    """Top left, bottom right, and any offset between: each is a keep like another."""
    weights = drawn(**SELF)
    query, key, value = inputs(rng, weights, q=2, k=5)
    distance_ = np.arange(5) - np.arange(2)[:, None]
    for causal, offset in (("top_left", 0), ("bottom_right", 3), (0, 0), (3, 3), (1, 1), (-1, -1), (9, 9)):
        for window in (None, 1, (2, 0)):
            if type(causal) is str and window:
                continue
            left = 99 if window is None else window if type(window) is int else window[0]
            keep = (distance_ <= offset) & (distance_ >= offset - left)
            found = outcome(attended, [query, key, value, *weights], causal=causal, window=window)
            truth = outcome(attended, [query, key, value, *weights], keep=keep)
            assert all(abs(a - b).max() <= 1e-13 for a, b in zip(found, truth, strict=True))
    kept = rng.random((2, 1, 2, 5)) < 0.7
    found = outcome(attended, [query, key, value, *weights], causal=1, keep=kept)
    truth = outcome(attended, [query, key, value, *weights], keep=kept & (distance_ <= 1))
    equal(found, truth)
    assert (attended(query, key, value, *weights, causal=-1).weights[:, :, 0] == 0).all()


@pytest.mark.parametrize("rotate", [None, turned], ids=["plain", "rotated"])
def test_edge_case_4_chunks_with_a_cache_equal_the_whole(rng, rotate):
    """Also one row at a time, with lengths, and the gradients through the cache.  To rounding only: a matrix
    product sums up in another order for another number of rows."""
    weights, x, lengths = drawn(**SELF), rng.normal(size=(3, 6, D)), np.array([6, 4, 1])
    params = {"causal": "bottom_right", "lengths": lengths, "rotate": rotate, "window": 3}

    def in_chunks(sizes):
        def run(x, *weights):
            cache, parts = None, []
            for chunk in sa.split(x, sections=sizes, axis=1):
                part = of_itself(chunk, *weights, cache=cache, **params)
                parts, cache = [*parts, part.out], part.cache
            return sa.concat(*parts, axis=1)

        return run

    whole = outcome(of_itself, [x, *weights], **params)
    for sizes in ((1,) * 6, (4, 2), (0, 3, 3), (6,)):
        found = outcome(in_chunks(sizes), [x, *weights])
        close(found[:6], whole[:6], 1e-14)
        assert all(abs(a - b).max() <= 1e-13 for a, b in zip(found[6:], whole[6:]))
    single = [a.astype(np.float32) for a in (x, *weights)]
    alike = in_chunks((1,) * 6)(*single)
    assert alike.dtype == np.float32 and distance(alike, whole[0]) <= 1e-6


def test_a_step_on_a_cached_source_reads_the_source_once(rng):
    weights, lengths = drawn(**GROUPED), np.array([4, 2])
    query, key, value = inputs(rng, weights, q=3)
    whole = attended(query, key, value, *weights, lengths=lengths)
    first = attended(query[:, :1], key, value, *weights, lengths=lengths)
    rest = attended(query[:, 1:], None, None, *weights, lengths=lengths, cache=first.cache)
    assert rest.cache is first.cache
    close([np.concatenate([first.out, rest.out], 1)], [whole.out], 1e-14)


def test_edge_case_10_padded_and_empty_sources_give_the_output_bias(rng):
    """A source without rows, or of length zero, beside others: heads of zero, no gradient to their source."""
    weights = drawn(**GROUPED)
    query, key, value = inputs(rng, weights, batch=(3,))
    lengths = np.array([4, 0, 2])
    padded = [np.where(np.arange(4)[:, None] < lengths[:, None, None], x, NAN) for x in (key, value)]
    found = outcome(attended, [query, *padded, *weights], lengths=lengths)
    assert (found[0][1] == weights.output_bias).all()
    assert all(np.isfinite(g).all() for g in found)
    assert (found[2][1] == 0).all() and (found[1][1] == 0).all() and (found[3][2, 2:] == 0).all()
    for j, n in ((0, 4), (2, 2)):
        alone = attended(query[j : j + 1], key[j : j + 1, :n], value[j : j + 1, :n], *weights).out
        close([found[0][j : j + 1]], [alone], 1e-14)
    empty = outcome(attended, [query, key[:, :0], value[:, :0], *weights])
    assert (empty[0] == weights.output_bias).all()
    assert all((g == 0).all() for g in empty[1:-1]) and abs(empty[-1]).min() > 0


def test_edge_case_10_sequences_of_length_one(rng):
    """One key has all the weight, so queries and keys get no gradient."""
    weights = drawn(**SELF)
    out, *grads = outcome(of_itself, [rng.normal(size=(2, 1, D)), *weights], causal="bottom_right")
    assert out.shape == (2, 1, D) and np.isfinite(out).all()
    named = dict(zip(MultiHeadWeights._fields, grads[1:]))
    assert all((named[n] == 0).all() for n in ("query_weights", "key_weights", "query_bias", "key_bias"))
    assert abs(named["value_weights"]).min() > 0


def test_an_empty_batch_and_no_queries(rng):
    weights = drawn(**SELF)
    for shape in ((0, 3, D), (2, 0, D), (0, 0, D)):
        out, *grads = outcome(of_itself, [np.zeros(shape), *weights], causal="bottom_right")
        assert out.shape == shape and not any(g.any() for g in grads)


def test_a_fully_masked_query_has_heads_of_zero(rng):
    weights = drawn(**SELF)._replace(output_bias=None)
    x, keep = rng.normal(size=(2, 3, D)), np.array([[True], [False], [True]])
    out, dx, *_ = outcome(lambda x: of_itself(x, *weights, keep=keep), [x])
    assert (out[:, 1] == 0).all() and (out[:, [0, 2]] != 0).all() and (dx[:, 1] != 0).all()


def test_dropout_is_of_weights_after_the_softmax_and_the_weights_returned_are_whole(rng):
    weights = drawn(**SELF)
    arrays, keep = inputs(rng, weights, batch=()), rng.random((H, 3, 4)) < 0.5
    key_width = weights.value_weights.shape[1] // 2
    dropped = attended(*arrays, *weights, dropout_keep=keep, dropout_rate=0.5)
    plain = attended(*arrays, *weights)
    equal([dropped.weights], [plain.weights])
    values = (arrays[2] @ weights.value_weights + weights.value_bias).reshape(4, 2, key_width)
    heads = [(plain.weights[i] * keep[i] / 0.5) @ values[:, i // 2] for i in range(H)]
    close([dropped.out], [np.concatenate(heads, -1) @ weights.output_weights + weights.output_bias], 1e-14)


# ---- errors -----------------------------------------------------------------

ONES = np.ones((3, 4), bool)


@pytest.mark.parametrize(
    "change, params, error, words",
    [
        ({}, {"heads": 5}, ValueError, "heads must divide the 16 columns of query_weights, got 5"),
        ({}, {"heads": 4.0}, ValueError, "heads must divide"),
        ({"key_weights": np.ones((D, 6))}, {}, ValueError, "b is both 6 and 8"),
        (
            {"key_weights": np.ones((D, 12)), "key_bias": None},
            {},
            ValueError,
            "key_weights must have 4 columns for each of its heads, whose number divides 4, got 12",
        ),
        ({"output_weights": np.ones((7, D))}, {}, ValueError, "must agree on the width, got 6 columns in 2"),
        ({"query_weights": np.ones((5, 16))}, {}, ValueError, "d is both 6 and 5"),
        ({"output_bias": np.ones(D, np.float32)}, {}, TypeError, "one precision expected"),
        ({}, {"lengths": np.ones(2)}, TypeError, "lengths must be integer"),
        ({}, {"lengths": np.ones(3, int)}, ValueError, "do not broadcast"),
        ({}, {"keep": np.ones((3, 4))}, TypeError, "keep must be boolean, got float64"),
        (
            {},
            {"keep": np.ones((2, 3, 4), bool)},
            ValueError,
            "keep must have the axes .* got shape \\(2, 3, 4\\)",
        ),
        ({}, {"bias": np.ones((3, 3, 4))}, ValueError, "bias must have the axes"),
        ({}, {"dropout_keep": np.ones((2, 3, 3, 4), bool)}, ValueError, "dropout_keep must have the axes"),
        ({}, {"dropout_rate": 0.5}, ValueError, "dropout_rate 0.5 needs dropout_keep"),
        ({}, {"causal": True}, ValueError, "causal must be None, .* got True"),
        ({}, {"causal": "left"}, ValueError, "causal must be None, .* got 'left'"),
    ],
)
def test_wrong_calls_are_named(rng, change, params, error, words):
    weights = drawn(**SELF)
    arrays = inputs(rng, weights)
    with pytest.raises(error, match=words):
        multi_head_attention(*arrays, weights._replace(**change), **{"heads": H, **params})


def test_a_cache_and_its_absence_are_checked(rng):
    weights = drawn(**SELF)
    query, key, value = inputs(rng, weights)
    for pair in ((None, value), (key, None), (None, None)):
        with pytest.raises(TypeError, match="key and value must be arrays, or both None beside a cache"):
            attended(query, *pair, *weights)
    cache = attended(query, key, value, *weights).cache
    with pytest.raises(ValueError, match="'bottom_right' or an int beside a cache"):
        attended(query, key, value, *weights, cache=cache, causal="top_left")
    with pytest.raises(ValueError, match="concat"):
        attended(query, key, value, *weights, cache=KeyValues(cache.key[..., :1], cache.value))


@pytest.mark.parametrize("heads, params", [(4, {"key_heads": 3}), (0, {}), (4, {}), (3, {"key_heads": 0})])
def test_shapes_that_do_not_divide_are_refused(heads, params):
    with pytest.raises(ValueError, match=r"multi_head_shapes: (key_heads|heads) must divide"):
        multi_head_shapes(D, heads, **params)


# ---- PyTorch ----------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("own_widths", [False, True])
@pytest.mark.parametrize("masked", [None, "key_padding_mask", "attn_mask", "bias"])
def test_it_is_pytorchs_multi_head_attention(rng, own_widths, masked):
    """Forward, weights of each head, and every gradient."""
    torch = pytest.importorskip("torch")
    d, h = 8, 4
    kind = {"key_features": 5, "value_features": 7} if own_widths else {}
    shapes = multi_head_shapes(d, h, **kind)
    weights = MultiHeadWeights(**{n: rng.normal(size=shape) for n, shape in shapes.items()})
    arrays = inputs(rng, weights, batch=(2,), q=3, k=4)
    net = torch.nn.MultiheadAttention(
        d, h, kdim=kind.get("key_features"), vdim=kind.get("value_features"), batch_first=True,
        dtype=torch.float64,
    )  # fmt: skip
    load(torch, net, weights, own_widths)
    keep, bias, lengths = rng.random((3, 4)) < 0.6, None, None
    keep[:, 0] = True
    theirs = {}
    if masked == "key_padding_mask":
        lengths, keep = np.array([4, 2]), None
        theirs = {"key_padding_mask": torch.tensor(np.arange(4) >= lengths[:, None])}
    elif masked == "attn_mask":
        theirs = {"attn_mask": torch.tensor(~keep)}  # theirs drops
    else:
        keep, bias = None, rng.normal(size=(3, 4)) if masked else None
        theirs = {"attn_mask": torch.tensor(bias)} if masked else {}
    leaves = [torch.tensor(x, requires_grad=True) for x in arrays]
    out, shares = net(*leaves, need_weights=True, average_attn_weights=False, **theirs)

    def ours(*a):
        query, key, value, *w = a
        found = multi_head_attention(
            query, key, value, MultiHeadWeights(*w), heads=h, lengths=lengths, keep=keep, bias=bias
        )
        return found.out, found.weights

    found, pullback = sa.vjp(ours, *arrays, *weights)
    close(found, [out.detach().numpy(), shares.detach().numpy()])
    u = [rng.normal(size=a.shape) for a in found]
    (torch.tensor(u[0]) * out).sum().add((torch.tensor(u[1]) * shares).sum()).backward()
    grads = pullback(*u)
    close(grads[:3], [x.grad.numpy() for x in leaves])
    for name, a, b in zip(weights._fields, grads[3:], gradients(net, own_widths), strict=True):
        if name == "key_bias":  # zero but for rounding
            assert abs(a - b).max() < 1e-12 * abs(grads[3]).max()
        else:
            assert distance(a, b) < 1e-12, name


def load(torch, net, weights, own_widths):
    q, k, v, o, *biases = weights
    with torch.no_grad():
        if own_widths:
            for name, w in (("q", q), ("k", k), ("v", v)):
                getattr(net, f"{name}_proj_weight").copy_(torch.from_numpy(w.T.copy()))
        else:
            net.in_proj_weight.copy_(torch.from_numpy(np.concatenate([q.T, k.T, v.T])))
        net.in_proj_bias.copy_(torch.from_numpy(np.concatenate(biases[:3])))
        net.out_proj.weight.copy_(torch.from_numpy(o.T.copy()))
        net.out_proj.bias.copy_(torch.from_numpy(biases[3]))


def gradients(net, own_widths):
    """In the order of MultiHeadWeights."""
    if own_widths:
        projections = [getattr(net, f"{name}_proj_weight").grad.numpy().T for name in "qkv"]
    else:
        projections = [g.T for g in np.split(net.in_proj_weight.grad.numpy(), 3)]
    biases = np.split(net.in_proj_bias.grad.numpy(), 3)
    return [*projections, net.out_proj.weight.grad.numpy().T, *biases, net.out_proj.bias.grad.numpy()]


@pytest.mark.peers
@pytest.mark.parametrize("key_heads", [1, 2])
@pytest.mark.parametrize("causal", [False, True])
def test_grouped_queries_are_pytorchs_enable_gqa(rng, key_heads, causal):
    """Between identity projections, so that what is left is the attention of the heads."""
    torch = pytest.importorskip("torch")
    w, t = 2, 3
    arrays = [rng.normal(size=(2, n, t, w)) for n in (H, key_heads, key_heads)]
    leaves = [torch.tensor(x, requires_grad=True) for x in arrays]
    out = torch.nn.functional.scaled_dot_product_attention(*leaves, is_causal=causal, enable_gqa=True)
    identity = [np.eye(n * w) for n in (H, key_heads, key_heads, H)]

    def ours(*heads):
        rows = [sa.reshape(sa.transpose(x, axes=(0, 2, 1, 3)), shape=(2, t, x.shape[1] * w)) for x in heads]
        found = multi_head_attention(
            *rows, MultiHeadWeights(*identity), heads=H, causal="top_left" if causal else None
        )
        return sa.transpose(sa.reshape(found.out, shape=(2, t, H, w)), axes=(0, 2, 1, 3))

    found, pullback = sa.vjp(ours, *arrays)
    u = rng.normal(size=found.shape)
    (torch.tensor(u) * out).sum().backward()
    close([found, *pullback(u)], [out.detach().numpy(), *[x.grad.numpy() for x in leaves]])
