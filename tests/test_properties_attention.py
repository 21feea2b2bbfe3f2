"""Softmax and softmax attention: what holds between one call and another, at sizes nobody chose."""

import numpy as np
from drawing import (
    batches,
    calls,
    drawn_like,
    equal,
    free,
    given,
    integers,
    lengths,
    run,
    same,
    scales,
    seeds,
    st,
)  # fmt: skip

import scratchattn as sa
from scratchattn import log_softmax, softmax, softmax_attention

NAN = float("nan")
REST = {"scale": st.sampled_from([None, 0.3, 1.0]), "soft_cap": st.sampled_from([None, 2.0])}
positions = st.fixed_dictionaries(
    {
        "causal": st.sampled_from([None, "top_left", "bottom_right"]),
        "window": st.sampled_from([None, 0, 1, (2, 0), (None, 1), (0, None)]),
    }
)


@st.composite
def attentions(draw, keep=None, bias=None):
    """query, key, value, bias, keep, of one batch and full size; and params.

    ``keep`` and ``bias`` are there (True), or None is (False), or either.
    """
    q, k, d, v = (draw(lengths) for _ in range(4))
    batch, scale, rng = draw(batches), draw(scales), np.random.default_rng(draw(seeds))
    inputs = [free(rng, (*batch, *shape), scale) for shape in ((q, d), (k, d), (k, v))]
    inputs.append(free(rng, (*batch, q, k), scale) if _decided(draw, bias) else None)
    inputs.append(
        rng.random((*batch, q, k)) < draw(st.sampled_from([0.3, 0.8])) if _decided(draw, keep) else None
    )
    return inputs, {name: draw(choice) for name, choice in REST.items()}


def _decided(draw, choice):
    return draw(st.booleans()) if choice is None else choice


def attended(inputs, params):
    """Which query attends to which key: booleans (..., q, k)."""
    found = softmax_attention(*inputs, **params).weights > 0
    return found if inputs[4] is None else found & inputs[4]


def every_gradient(inputs, params, seed=0):
    """Outputs and gradients of attention; the first four inputs have one, if they are there."""
    return run(softmax_attention, *inputs, None, seed=seed, **params)


# ---- softmax ----------------------------------------------------------------


@given(seeds, lengths, batches, scales)
def test_softmax_is_on_the_simplex_and_log_softmax_is_its_logarithm(seed, n, batch, scale):
    logits = free(np.random.default_rng(seed), (*batch, n), 10 * scale)
    weights = softmax(logits)
    assert (weights >= 0).all() and (abs(weights.sum(-1) - 1) <= 1e-15 * n).all()
    same(np.exp(log_softmax(logits)), weights, 1e-13)
    assert (np.argsort(weights, -1, kind="stable") == np.argsort(logits, -1, kind="stable")).all()


@given(seeds, lengths, batches, st.integers(-1000, 1000))
def test_a_shift_of_the_logits_changes_no_bit(seed, n, batch, shift):
    """Of logits that take a shift without rounding."""
    logits = integers(np.random.default_rng(seed), (*batch, n)) / 8
    for op in (softmax, log_softmax):
        equal(run(op, logits + shift), run(op, logits))


@given(seeds, lengths, batches, scales)
def test_the_gradient_of_a_softmax_sums_to_zero(seed, n, batch, scale):
    logits = free(np.random.default_rng(seed), (*batch, n), 10 * scale)
    for op in (softmax, log_softmax):
        _, gradient = run(op, logits, seed=seed)
        assert (abs(gradient.sum(-1)) <= 1e-15 * n * (1 + abs(gradient).max(-1))).all()


@given(seeds, lengths, batches)
def test_softmax_and_a_permutation_change_places(seed, n, batch):
    rng = np.random.default_rng(seed)
    logits, keep, order = free(rng, (*batch, n), 3.0), rng.random((*batch, n)) < 0.7, rng.permutation(n)
    weights, cotangent = softmax(logits, keep), free(rng, (*batch, n))
    moved = run(softmax, logits[..., order], keep[..., order], cotangents=[cotangent[..., order]])
    still = run(softmax, logits, keep, cotangents=[cotangent])
    same(moved, [x[..., order] for x in still], 1e-15 * (n + 4))
    assert (weights[~keep] == 0).all()


@given(seeds, lengths, st.sampled_from([NAN, np.inf, -np.inf, 1e300]))
def test_softmax_of_what_is_kept_is_that_of_a_shorter_row(seed, n, junk):
    rng = np.random.default_rng(seed)
    logits, keep, cotangent = free(rng, n, 3.0), rng.random(n) < 0.6, free(rng, n)
    logits[~keep] = junk
    weights, gradient = run(softmax, logits, keep, cotangents=[np.where(keep, cotangent, junk)])
    assert (weights[~keep] == 0).all() and (gradient[~keep] == 0).all()
    same([weights[keep], gradient[keep]], run(softmax, logits[keep], cotangents=[cotangent[keep]]), 1e-14)


# ---- attention: what comes out ----------------------------------------------


@given(attentions(), positions)
def test_outputs_lie_among_the_values_attended_to(drawn, places):
    """In every coordinate between the smallest and the largest of them; zero if there is none."""
    inputs, params = drawn
    out = softmax_attention(*inputs, **params, **places)
    attend = attended(inputs, params | places)
    total = out.weights.sum(-1)
    assert (abs(total - attend.any(-1)) < 1e-14).all() and (out.weights >= 0).all()
    value = inputs[2][..., None, :, :]  # for each query
    highest = np.where(attend[..., None], value, -np.inf).max(-2)
    lowest = np.where(attend[..., None], value, np.inf).min(-2)
    some = attend.any(-1)
    room = 1e-14 * abs(inputs[2]).max()
    assert (out.out[some] <= highest[some] + room).all() and (out.out[some] >= lowest[some] - room).all()
    assert (out.out[~some] == 0).all() and (out.log_sum_exp[~some] == 0).all()


@given(attentions(), seeds)
def test_one_value_for_all_keys_is_what_every_query_gets(drawn, seed):
    (query, key, value, bias, keep), params = drawn
    value = np.broadcast_to(value[..., :1, :], value.shape)
    out = softmax_attention(query, key, value, bias, keep, **params)
    expected = out.weights.any(-1)[..., None] * value[..., :1, :]
    same(out.out, expected, 1e-14)


@given(attentions(), seeds)
def test_attention_is_linear_in_the_values(drawn, seed):
    (query, key, value, bias, keep), params = drawn
    other = np.random.default_rng(seed).normal(size=value.shape)
    one, two, sum_of_both = (
        softmax_attention(query, key, v, bias, keep, **params).out for v in (value, other, value - 2 * other)
    )
    assert abs(one - 2 * two - sum_of_both).max() <= 1e-14 * (abs(value).max() + abs(other).max())


@given(attentions(bias=True), st.integers(-500, 500))
def test_a_constant_on_the_logits_moves_log_sum_exp_alone(drawn, shift):
    inputs, params = drawn
    inputs[3] = np.round(inputs[3] * 1024) / 1024
    raised = [*inputs[:3], inputs[3] + shift, inputs[4]]
    here, there = every_gradient(inputs, params), every_gradient(raised, params)
    some = attended(inputs, params).any(-1)
    same(there[:2], here[:2], 1e-11)
    assert (abs(there[2] - here[2] - shift * some) <= 1e-12).all()
    for a, b in zip(there[3:], here[3:]):
        assert abs(a - b).max() <= 1e-10 * (1 + abs(b).max())


@given(attentions(bias=True))
def test_the_gradient_by_the_logits_sums_to_that_of_log_sum_exp(drawn):
    """A constant on all logits of a query reaches log_sum_exp alone, and wholly."""
    inputs, params = drawn
    out, pullback = sa.vjp(lambda bias: softmax_attention(*inputs[:3], bias, inputs[4], **params), inputs[3])
    cotangents = drawn_like(np.random.default_rng(1), out)
    (gradient,) = pullback(*cotangents)
    some = attended(inputs, params).any(-1)
    size = 1 + abs(gradient).max() + sum(abs(u).max() for u in cotangents) * (1 + abs(inputs[2]).max())
    assert (abs(gradient.sum(-1) - cotangents[2] * some) <= 1e-13 * size).all()


@given(attentions(keep=False, bias=True), st.sampled_from([0.5, 2.0, 8.0]))
def test_a_soft_cap_bounds_what_dot_products_can_do(drawn, cap):
    inputs, _ = drawn
    inputs[:2], inputs[3] = [10 * x for x in inputs[:2]], None
    weights = softmax_attention(*inputs, soft_cap=cap).weights
    assert (weights.max(-1) <= weights.min(-1) * np.exp(2 * cap) * (1 + 1e-12)).all()


# ---- attention: who is asked -------------------------------------------------


@given(attentions(), seeds)
def test_the_order_of_the_keys_is_irrelevant(drawn, seed):
    inputs, params = drawn
    query, key, value, bias, keep = inputs
    order = np.random.default_rng(seed).permutation(key.shape[-2])
    columns = [None if x is None else x[..., order] for x in (bias, keep)]
    moved = [query, key[..., order, :], value[..., order, :], *columns]
    u = drawn_like(np.random.default_rng(seed), softmax_attention(*inputs, **params))
    here = run(softmax_attention, *inputs, None, cotangents=u, **params)
    there = run(softmax_attention, *moved, None, cotangents=[u[0], u[1][..., order], u[2]], **params)
    here[1], here[4], here[5] = here[1][..., order], here[4][..., order, :], here[5][..., order, :]
    here[6:] = [dbias[..., order] for dbias in here[6:]]
    close(there, here, 1e-12)


@given(attentions(), seeds)
def test_queries_do_not_see_each_other(drawn, seed):
    inputs, params = drawn
    query, key, value, bias, keep = inputs
    order = np.random.default_rng(seed).permutation(query.shape[-2])
    rows = [None if x is None else x[..., order, :] for x in (bias, keep)]
    out = softmax_attention(*inputs, **params)
    moved = softmax_attention(query[..., order, :], key, value, *rows, **params)
    same(moved, [out.out[..., order, :], out.weights[..., order, :], out.log_sum_exp[..., order]], 1e-13)


def close(found, truth, tolerance):
    """Relative to the largest entry of them all: one gradient of several may be all but zero."""
    size = max(1.0, *[abs(b).max(initial=0.0) for b in truth])
    for a, b in zip(found, truth, strict=True):
        assert a.shape == b.shape and (abs(a - b) <= tolerance * size).all()


@given(attentions(keep=True), seeds, st.sampled_from([NAN, np.inf, 1e200]))
def test_what_is_masked_may_be_anything(drawn, seed, junk):
    """Biases of pairs, keys with their values that nobody attends to, queries that attend to nothing."""
    inputs, params = drawn
    keep = inputs[4]
    blind, unseen = ~keep.any(-1), ~keep.any(-2)
    dirty = [None if x is None else np.array(x) for x in inputs]
    dirty[0][blind] = dirty[1][unseen] = dirty[2][unseen] = junk
    if dirty[3] is not None:
        dirty[3][~keep] = junk
    clean = every_gradient(inputs, params, seed)
    found = every_gradient(dirty, params, seed)
    equal(found, clean)
    assert (found[1][~keep] == 0).all() and (found[4][unseen] == 0).all() and (found[5][unseen] == 0).all()


@given(attentions(keep=True), seeds)
def test_nan_reaches_who_attends_to_it_and_nobody_else(drawn, seed):
    """In one key and its value: queries that do not attend to it, and keys that share no query with it."""
    inputs, params = drawn
    keep, rng = inputs[4], np.random.default_rng(seed)
    j = rng.integers(0, keep.shape[-1])
    dirty = [None if x is None else np.array(x) for x in inputs]
    dirty[1][..., j, :] = dirty[2][..., j, :] = NAN
    safe_queries, safe_keys = ~keep[..., j], ~(keep & keep[..., j : j + 1]).any(-2)
    clean, found = every_gradient(inputs, params, seed), every_gradient(dirty, params, seed)
    rows = [safe_queries] * 4 + [safe_keys] * 2 + [safe_queries] * len(clean[6:])
    for a, b, safe in zip(found, clean, rows, strict=True):
        equal(a[safe], b[safe])
    assert np.isnan(found[0][~safe_queries]).all()


@given(attentions(keep=True), seeds)
def test_keys_nobody_attends_to_may_as_well_not_be_there(drawn, seed):
    """The same weights and outputs from the keys that are kept, if all queries keep the same."""
    (query, key, value, bias, keep), params = drawn
    kept = keep.reshape(-1, keep.shape[-1])[0]
    short = None if bias is None else bias[..., kept]
    whole = softmax_attention(query, key, value, bias, np.array(kept[None]), **params)
    alone = softmax_attention(query, key[..., kept, :], value[..., kept, :], short, **params)
    same([whole.out, whole.weights[..., kept], whole.log_sum_exp], list(alone), 1e-13)


@given(attentions(), positions, seeds)
def test_positions_are_an_explicit_keep(drawn, places, seed):
    """Causal and window written out, one pair at a time: forward and every gradient, to the bit."""
    inputs, params = drawn
    (q, k), window = (inputs[0].shape[-2], inputs[1].shape[-2]), places["window"]
    before, after = window if isinstance(window, tuple) else (window, window)
    allowed = np.zeros((q, k), bool)
    for i, j in np.ndindex(q, k):
        ahead = j - i if places["causal"] == "top_left" else (j - k) - (i - q)
        seen = ahead <= 0 if places["causal"] else after is None or ahead <= after
        allowed[i, j] = seen and (before is None or -ahead <= before)
    keep = allowed if inputs[4] is None else inputs[4] & allowed
    equal(every_gradient(inputs, params | places, seed), every_gradient([*inputs[:4], keep], params, seed))


@given(attentions(keep=False, bias=False), seeds)
def test_the_past_does_not_depend_on_the_future(drawn, seed):
    """With as many queries as keys, causal: other keys and values from t on change nothing before t."""
    (query, key, value, *_), params = drawn
    q = key.shape[-2]
    query = np.broadcast_to(query[..., :1, :], (*query.shape[:-2], q, query.shape[-1]))
    t = np.random.default_rng(seed).integers(0, q)
    other = [np.array(key), np.array(value)]
    for x in other:
        x[..., t:, :] = NAN
    for causal in ("top_left", "bottom_right"):
        clean = softmax_attention(query, key, value, causal=causal, **params)
        dirty = softmax_attention(query, *other, causal=causal, **params)
        equal([y[..., :t, :] for y in dirty[:2]], [y[..., :t, :] for y in clean[:2]])


@given(attentions(), seeds)
def test_a_shared_key_is_a_repeated_one(drawn, seed):
    """Broadcasting and repeating give the same outputs; the gradient of the shared one is the sum."""
    inputs, params = drawn
    heads = 3
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(heads, *inputs[0].shape))
    shared = run(softmax_attention, query, *inputs[1:], None, seed=seed, **params)
    repeated = [None if x is None else np.broadcast_to(x, (heads, *x.shape)) for x in inputs[1:]]
    each = run(softmax_attention, query, *repeated, None, seed=seed, **params)
    each[4:] = [gradient.sum(0) for gradient in each[4:]]
    close(shared, each, 1e-12)


@given(attentions(), seeds, st.sampled_from([0.0, 0.25, 0.5]))
def test_dropout_takes_weights_away_and_enlarges_the_others(drawn, seed, rate):
    inputs, params = drawn
    survive = np.random.default_rng(seed).random((inputs[0].shape[-2], inputs[1].shape[-2])) >= rate
    plain = softmax_attention(*inputs, **params)
    dropped = softmax_attention(*inputs, survive, dropout_rate=rate, **params)
    equal([dropped.weights, dropped.log_sum_exp], [plain.weights, plain.log_sum_exp])
    same(dropped.out, np.where(survive, plain.weights, 0) / (1 - rate) @ inputs[2], 1e-13)


@given(seeds, lengths, lengths, batches)
def test_a_sharp_query_gets_the_value_of_its_key(seed, k, v, batch):
    """Orthogonal keys, and a query of ten thousand along one of them."""
    rng = np.random.default_rng(seed)
    key, value = np.eye(k), free(rng, (*batch, k, v))
    wanted = rng.integers(0, k)
    out = softmax_attention(1e4 * key[[wanted]], key, value, scale=1.0)
    equal(out.out, value[..., [wanted], :])


@given(calls(softmax_attention, params={}))
def test_uniform_logits_give_the_mean_of_the_values(call):
    """A query of zeros and no bias: the mean of those kept."""
    query, key, value, _, keep, _ = call.inputs
    out = softmax_attention(0 * query, key, value, None, keep)
    attend = np.broadcast_to(True if keep is None else keep, out.weights.shape)
    count = attend.sum(-1, keepdims=True)
    same(out.weights, attend / np.maximum(count, 1), 1e-15)
    assert (
        np.exp(out.log_sum_exp) * (count[..., 0] > 0) - count[..., 0] <= 1e-14 * count[..., 0] + 1e-15
    ).all()
