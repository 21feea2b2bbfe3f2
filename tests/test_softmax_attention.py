"""Second opinions on softmax attention: NumPy, PyTorch, and what must hold between one call and another."""

import numpy as np
import pytest

import scratchattn as sa

attend = sa.softmax_attention
NAN = float("nan")


def composed(query, key, value, bias=0.0, keep=None, scale=None):
    """The formula in NumPy, without any care."""
    logits = query @ key.swapaxes(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale) + bias
    e = np.exp(logits) if keep is None else np.where(keep, np.exp(logits), 0)
    total = e.sum(-1, keepdims=True)
    return e / total @ value, e / total, np.log(total[..., 0])


def drawn(rng, q=4, k=5, d=3, v=2, batch=()):
    return [rng.normal(size=(*batch, *shape)) for shape in ((q, d), (k, d), (k, v))]


def results(rng, inputs, active=3, **params):
    """Outputs, and gradients for the first ``active`` inputs under random cotangents."""

    def function(*tensors):
        return attend(*tensors, *inputs[active:], **params)

    out, pullback = sa.vjp(function, *inputs[:active])
    return [*out, *pullback(*[rng.normal(size=y.shape) for y in out])]


def same(found, truth, tolerance=1e-12):
    for a, b in zip(found, truth, strict=True):
        assert a.shape == b.shape
        assert abs(a - b).max(initial=0.0) <= tolerance * (abs(b).max(initial=0.0) or 1.0)


# ---- against others ---------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_those_of_the_formula(rng, masked):
    inputs = [*drawn(rng, batch=(2,)), rng.normal(size=(4, 5))]
    keep = (rng.random((2, 4, 5)) < 0.6) | (np.arange(5) == 0) if masked else None
    out, pullback = sa.vjp(lambda *t: attend(*t, keep), *inputs)
    same(out, composed(*inputs, keep))
    cotangents = [rng.normal(size=y.shape) for y in out]
    for i, gradient in enumerate(pullback(*cotangents)):
        for index in np.ndindex(gradient.shape):
            stepped = [x + 0j for x in inputs]
            stepped[i][index] += 1e-100j
            slope = sum((u * y.imag).sum() for u, y in zip(cotangents, composed(*stepped, keep))) / 1e-100
            assert abs(slope - gradient[index]) < 1e-12 * abs(gradient).max()


@pytest.mark.peers
@pytest.mark.parametrize("q, k", [(3, 3), (2, 4), (4, 2)])
@pytest.mark.parametrize("how", ["everything", "is_causal", "keep", "bias"])
def test_pytorch_agrees(rng, how, q, k):
    torch = pytest.importorskip("torch")
    inputs, params, given = drawn(rng, q, k, batch=(2,)), {}, {}
    bias = keep = None
    if how == "is_causal":
        params, given = {"causal": "top_left"}, {"is_causal": True}
    elif how == "keep":
        keep = rng.random((2, q, k)) < 0.5
        keep[0, 0] = False
        given = {"attn_mask": torch.tensor(keep)}
    elif how == "bias":
        bias = rng.normal(size=(q, k))
        given = {"attn_mask": torch.tensor(bias)}
    theirs = [torch.tensor(x, requires_grad=True) for x in inputs]
    out = torch.nn.functional.scaled_dot_product_attention(*theirs, **given)
    dout = rng.normal(size=out.shape)
    out.backward(torch.tensor(dout))
    ours, pullback = sa.vjp(lambda *t: attend(*t, bias, keep, **params).out, *inputs)
    same([ours, *pullback(dout)], [out.detach().numpy(), *[x.grad.numpy() for x in theirs]])


def test_keep_is_a_bias_of_minus_infinity_to_the_bit(rng):
    inputs = drawn(rng)
    keep = (rng.random((4, 5)) < 0.5) | (np.arange(5) == 2)
    for a, b in zip(attend(*inputs, None, keep), attend(*inputs, np.where(keep, 0.0, -np.inf))):
        assert (a == b).all()


def test_a_fully_masked_row_is_zero_where_others_have_a_mean_or_no_mask_at_all(rng):
    query, key, value = np.ones((1, 1)), np.array([[3.0], [5.0], [-2.0]]), np.eye(3)
    ours = attend(query, key, value, None, np.zeros((1, 3), bool))
    assert not ours.out.any() and not ours.weights.any() and not ours.log_sum_exp.any()
    softly = attend(query, key, value, np.full((1, 3), -1e4)).weights[0]
    assert abs(softly - [0.11910, 0.88010, 0.00080]).max() < 1e-5


# ---- what is masked ---------------------------------------------------------

KEEP = np.array([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0]], dtype=bool)


@pytest.mark.parametrize("junk", [NAN, np.inf, -np.inf])
@pytest.mark.parametrize("params", [{}, {"soft_cap": 2.0}], ids=["plain", "soft cap"])
def test_nothing_unattended_leaks(rng, junk, params):
    """Keys 3 and 4 are nobody's, query 2 attends to none: all of theirs may be junk, without a warning."""
    inputs = [*drawn(rng), rng.normal(size=(4, 5)), KEEP]
    clean = results(np.random.default_rng(1), inputs, 4, **params)
    dirty = [np.array(x) for x in inputs]
    dirty[0][2] = dirty[1][3:] = dirty[2][3:] = dirty[3][~KEEP] = junk
    for a, b in zip(results(np.random.default_rng(1), dirty, 4, **params), clean):
        assert (a == b).all()


@pytest.mark.parametrize("params", [{}, {"soft_cap": 2.0}], ids=["plain", "soft cap"])
def test_a_cotangent_of_what_is_masked_leaks_nowhere(rng, params):
    inputs = [*drawn(rng), rng.normal(size=(4, 5))]
    out, pullback = sa.vjp(lambda *t: attend(*t, KEEP, **params), *inputs)
    clean = [rng.normal(size=y.shape) for y in out]
    dirty = [np.array(u) for u in clean]
    dirty[0][2] = dirty[2][2] = dirty[1][~KEEP] = NAN
    for a, b in zip(pullback(*dirty), pullback(*clean)):
        assert (a == b).all()


@pytest.mark.parametrize("junk", [NAN, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["key", "value", "query", "bias"])
@pytest.mark.parametrize("params", [{}, {"soft_cap": 2.0}, {"causal": "top_left"}], ids=str)
def test_junk_reaches_who_attends_to_it_and_nobody_else(rng, junk, place, params):
    """Key 2 is attended to by queries 1 and 3, not by query 0: a product of matrices would reach all."""
    keep = KEEP & np.tri(4, 5, dtype=bool) if "causal" in params else KEEP
    inputs = [*drawn(rng), rng.normal(size=(4, 5)), KEEP]
    clean = results(np.random.default_rng(1), inputs, 4, **params)
    dirty = [np.array(x) for x in inputs]
    hit = keep[:, 2]  # the queries whose results may be junk
    if place == "query":
        hit = np.arange(4) == 1
        dirty[0][1, 0] = junk
    elif place == "bias":
        hit = (np.arange(4) == 3) & keep[:, 2]
        dirty[3][3, 2] = junk
    else:
        dirty[1 if place == "key" else 2][2, 0] = junk
    with np.errstate(invalid="ignore"):  # infinity where it is attended to may complain
        found = results(np.random.default_rng(1), dirty, 4, **params)
    keys_hit = (keep & hit[:, None]).any(0)  # what they attend to learns from junk, and no other key does
    for name, a, b in zip(("out", "weights", "log_sum_exp", "query", "key", "value", "bias"), found, clean):
        rows = keys_hit if name in ("key", "value") else hit
        assert (a[~rows] == b[~rows]).all(), name
    if place == "value":
        assert (found[1] == clean[1]).all() and (found[0][:, 1] == clean[0][:, 1]).all()
        assert not np.isfinite(found[0][hit, 0]).any()
    elif np.isnan(junk):  # an infinite logit may be a weight of zero
        assert np.isnan(found[0][hit]).all()
    assert (found[1][~keep] == 0).all() and (found[6][~keep] == 0).all()


def test_what_dropout_drops_is_selected_too(rng):
    inputs, drop = drawn(rng), np.array([[True, True, False, True, True]])
    clean = results(np.random.default_rng(1), [*inputs, None, None, drop], dropout_rate=0.2)
    inputs[2][2] = NAN
    dirty = results(np.random.default_rng(1), [*inputs, None, None, drop], dropout_rate=0.2)
    for a, b in zip(dirty, clean):
        assert (a == b).all()


def test_a_dropped_pair_passes_no_cotangent(rng):
    inputs, drop = drawn(rng), np.ones((4, 5), bool)
    drop[1, 2] = False
    _, pullback = sa.vjp(lambda *t: attend(*t, None, None, drop, dropout_rate=0.2).out, *inputs)
    clean = rng.normal(size=(4, 2))
    dirty = clean + np.array([[0.0], [NAN], [0.0], [0.0]])
    dvalue, unaware = pullback(dirty)[2], pullback(clean)[2]
    assert (dvalue[2] == unaware[2]).all() and np.isnan(dvalue[[0, 1, 3, 4]]).all()


# ---- positions --------------------------------------------------------------


@pytest.mark.parametrize("q, k", [(4, 4), (2, 5), (5, 2), (1, 4), (4, 1)])
@pytest.mark.parametrize("causal", [None, "top_left", "bottom_right"])
@pytest.mark.parametrize("window", [None, 0, 1, (2, 0), (0, 2), (None, 1), (1, None), (None, None)])
def test_positions_are_a_keep_like_any_other(rng, q, k, causal, window):
    inputs = drawn(rng, q, k)
    sides = window if isinstance(window, tuple) else (window, window)
    keep = np.zeros((q, k), bool)
    for i, j in np.ndindex(q, k):
        after = (
            j - i if causal == "top_left" else (j - k) - (i - q)
        )  # counted from the first, or from the last
        keep[i, j] = not (causal and after > 0)
        keep[i, j] &= (sides[0] is None or -after <= sides[0]) and (sides[1] is None or after <= sides[1])
    ours = results(np.random.default_rng(1), inputs, causal=causal, window=window)
    same(ours, results(np.random.default_rng(1), [*inputs, None, keep]), 0.0)


def test_a_step_with_cached_keys_is_the_row_of_the_whole(rng):
    query, key, value = drawn(rng, 6, 6, batch=(2,))
    for window in (None, 2):
        whole = attend(query, key, value, causal="top_left", window=window)
        for t in range(6):
            step = attend(
                query[:, t : t + 1], key[:, : t + 1], value[:, : t + 1], causal="bottom_right", window=window
            )
            same([step.out[:, 0], step.log_sum_exp[:, 0]], [whole.out[:, t], whole.log_sum_exp[:, t]], 1e-14)
            same([step.weights[:, 0]], [whole.weights[:, t, : t + 1]], 1e-14)


# ---- one call and another ---------------------------------------------------


def test_grouped_queries_are_repeated_keys(rng):
    query = rng.normal(size=(2, 2, 3, 4, 3))
    key, value = rng.normal(size=(2, 2, 1, 5, 3)), rng.normal(size=(2, 2, 1, 5, 2))
    grouped = results(np.random.default_rng(1), [query, key, value], causal="bottom_right")
    repeated = [query, *[np.repeat(x, 3, axis=2) for x in (key, value)]]
    alone = results(np.random.default_rng(1), repeated, causal="bottom_right")
    alone[4], alone[5] = (g.sum(axis=2, keepdims=True) for g in alone[4:])
    same(grouped, alone)


@pytest.mark.parametrize("key_batch", [(0,), (1,)])
def test_an_empty_batch_is_an_empty_batch(rng, key_batch):
    query, (_, key, value) = np.zeros((0, 4, 3)), drawn(rng, batch=key_batch)
    out, pullback = sa.vjp(lambda *t: attend(*t, causal="top_left"), query, key, value)
    assert [y.shape for y in out] == [(0, 4, 2), (0, 4, 5), (0, 4)]
    gradients = pullback(*out)
    assert [g.shape for g in gradients] == [query.shape, key.shape, value.shape]
    assert not any(g.any() for g in gradients)


def test_chunks_are_combined_through_log_sum_exp(rng):
    """Query 1 attends to nothing in the first chunk, whose log_sum_exp is then no logarithm."""
    query, key, value = drawn(rng, 3, 6)
    keep = np.ones((3, 6), bool)
    keep[1, :2] = False
    whole = attend(query, key, value, None, keep)
    total, out = np.zeros(3), np.zeros((3, 2))
    for chunk in (slice(0, 2), slice(2, 5), slice(5, 6)):
        part = attend(query, key[chunk], value[chunk], None, keep[:, chunk])
        share = np.exp(part.log_sum_exp) * keep[:, chunk].any(-1)
        total, out = total + share, out + share[:, None] * part.out
    same([out / total[:, None], np.log(total)], [whole.out, whole.log_sum_exp], 1e-14)


@pytest.mark.parametrize("shift", [1e4, -1e4, -2e4])
def test_a_shift_of_all_logits_moves_log_sum_exp_alone(rng, shift):
    """Also below the -1e4 from which llm.c starts its maximum."""
    inputs = drawn(rng)
    here, there = attend(*inputs), attend(*inputs, np.array([[shift]]))
    same(there[:2], here[:2], 1e-11)
    same([there.log_sum_exp], [here.log_sum_exp + shift], 1e-15)


@pytest.mark.parametrize("size", [1.0, 10.0, 100.0])
def test_the_rows_of_the_gradient_sum_to_zero(rng, size):
    query, key, value = drawn(rng)
    out, pullback = sa.vjp(lambda b: attend(size * query, size * key, value, b)[:2], np.zeros((4, 5)))
    (dbias,) = pullback(*[rng.normal(size=y.shape) for y in out])
    assert abs(dbias.sum(-1)).max() <= 1e-15 * max(abs(dbias).max(), 1e-300)


def test_dropout_scales_what_survives_and_leaves_weights_alone(rng):
    inputs, drop = drawn(rng), rng.random((4, 5)) < 0.5
    plain, dropped = attend(*inputs), attend(*inputs, None, None, drop, dropout_rate=0.5)
    assert (plain.weights == dropped.weights).all()
    same([dropped.out], [(plain.weights * drop / 0.5) @ inputs[2]])
    everyone = attend(*inputs, None, None, np.ones((1, 1), bool))
    assert (everyone.out == plain.out).all()


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128])
def test_other_precisions_are_kept_and_agree(rng, dtype):
    inputs = [*drawn(rng), rng.normal(size=(4, 5)), KEEP]
    there = [x.astype(dtype) for x in inputs[:4]]
    params = {"soft_cap": 3.0, "causal": "bottom_right", "window": (2, None)}
    here = results(np.random.default_rng(1), inputs, 4, **params)
    out, pullback = sa.vjp(lambda *t: attend(*t, KEEP, **params), *there)
    cotangents = np.random.default_rng(1)
    found = [*out, *pullback(*[cotangents.normal(size=y.shape).astype(dtype) for y in out])]
    assert all(y.dtype == dtype for y in found)
    same(found, here, 1e-12 if dtype == np.complex128 else 1e-5)


@pytest.mark.parametrize(
    "params, words",
    [
        ({"causal": True}, "causal must be None, 'top_left' or 'bottom_right', got True"),
        ({"window": -1}, "window must be .* got -1"),
        ({"window": (1, 2, 3)}, "window must be .* got \\(1, 2, 3\\)"),
        ({"window": 1.0}, "window must be .* got 1.0"),
        ({"soft_cap": 0.0}, "soft_cap must be None or positive, got 0.0"),
        ({"dropout_rate": 1.0}, "dropout_rate must be from 0 to below 1, got 1.0"),
        ({"dropout_rate": 0.1}, "dropout_rate 0.1 needs dropout_keep"),
    ],
)
def test_bad_params_are_named(rng, params, words):
    with pytest.raises(ValueError, match=f"softmax_attention: {words}"):
        attend(*drawn(rng), **params)


def test_wrong_shapes_and_kinds_are_named(rng):
    query, key, value = drawn(rng)
    with pytest.raises(ValueError, match="softmax_attention: d is both 3 and 2"):
        attend(query, key[:, :2], value)
    with pytest.raises(TypeError, match="softmax_attention: keep must be boolean"):
        attend(query, key, value, None, np.ones((4, 5)))
