"""Scores and additive attention: numbers by hand, one score as another, masks and NaN, PyTorch's."""

import math

import numpy as np
import pytest
from adjoint import hessian_is_symmetric, is_the_adjoint
from drawing import batches, drawn_like, equal, given, lengths, run, same, seeds, st

import scratchattn as sa

SCORE, BILINEAR, ADDITIVE, ATTEND = (
    sa.REGISTRY[name]
    for name in ("attention_score", "bilinear_score", "additive_score", "additive_attention")
)
NAN = float("nan")
DISTANCE = {"form": "negative_squared_distance"}


def column(*numbers):
    return np.array(numbers, float)[:, None]


def bahdanau(rng, q=3, k=4, d=2, e=3, v=2, a=4, batch=()):
    """query, key, value, vector, query_weights, key_weights, bias."""
    shapes = (*batch, q, d), (*batch, k, e), (*batch, k, v), (a,), (d, a), (e, a), (a,)
    return [rng.normal(size=shape) for shape in shapes]


# ---- numbers by hand --------------------------------------------------------


@pytest.mark.parametrize(
    "params, first, second",
    [
        ({}, [3.0, 50.0], [0.0, 0.0]),
        ({"scale": -2.0}, [-6.0, -100.0], [0.0, 0.0]),
        ({"over_root_width": True}, [3 / math.sqrt(2), 50 / math.sqrt(2)], [0.0, 0.0]),
        ({"form": "cosine"}, [0.6, 1.0], [0.0, 0.0]),
        ({"form": "cosine", "lengths": "clamped", "eps": 4.0}, [0.15, 1.0], [0.0, 0.0]),
        ({"form": "cosine", "lengths": "normalised", "eps": 4.0}, [0.3, 1.0], [0.0, 0.0]),
        (DISTANCE, [-20.0, -25.0], [-1.0, -100.0]),
        (DISTANCE | {"scale": 0.5}, [-10.0, -12.5], [-0.5, -50.0]),
    ],
    ids=str,
)
def test_scores_without_parameters_by_hand(params, first, second):
    query, key = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [6.0, 8.0]])
    same(SCORE(query, key, **params), np.array([first, second]), 1e-15)


def test_bilinear_scores_by_hand():
    query, key, matrix = np.array([[1.0, -2.0]]), column(3.0, 0.5), np.array([[2.0], [4.0]])
    same(BILINEAR(query, key, matrix), np.array([[-18.0, -3.0]]), 0.0)
    u, w, b = np.array([0.5, 1.0]), np.array([10.0]), np.array(7.0)
    same(BILINEAR(query, key, matrix, u, w, b), np.array([[17.5, 7.5]]), 0.0)


def test_an_additive_score_by_hand():
    learned = np.array([3.0]), np.array([[2.0]]), np.array([[-1.0]]), np.array([0.1])
    query, key = column(0.5), column(-0.25, 2.0)
    same(ADDITIVE(query, key, *learned), np.array([[3 * math.tanh(1.35), 3 * math.tanh(-0.9)]]), 1e-15)
    same(ADDITIVE(query, key, *learned, activation="relu"), np.array([[4.05, 0.0]]), 1e-15)


def test_golden_numbers_of_additive_attention():
    """Computed in 40 digits: scores 2 tanh 1, 2 tanh 2 and 0 for values 1, 2 and 4."""
    inputs = column(1.0), column(0.0, 1.0, -1.0), column(1.0, 2.0, 4.0), np.array([2.0])
    weights = [0.36803694061333111, 0.55172523709741926, 0.080237822289249628]
    dkey = [-0.24496827526595811, 0.016181413503334736, 0.35425982192773685]
    cotangents = [np.ones((1, 1)), np.zeros((1, 3))]
    found = run(ATTEND, *inputs, cotangents=cotangents)
    dquery, dvector = column(0.12547296016511348), np.array([-0.11171907602554594])
    context, weights = column(1.7924387039651681), np.array([weights])
    same(found, [context, weights, dquery, column(*dkey), weights.T, dvector], 2e-15)


def test_gradients_keep_their_digits_where_a_unit_is_saturated_alike_for_all_keys():
    """Computed in 40 digits, at h = 18 and 19: differences of two numbers that are one to rounding."""
    inputs = column(0.0), column(18.0, 19.0), column(1.0, 0.0), np.array([1.0])
    _, _, dquery, _, _, dvector = run(ATTEND, *inputs, cotangents=[np.ones((1, 1)), np.zeros((1, 2))])
    assert abs(dvector[0] / -1.0028047755193829e-16 - 1) < 1e-14
    assert abs(dquery[0, 0] / 2.0056095510387654e-16 - 1) < 1e-14


def test_a_vector_of_zeros_attends_to_all_alike_and_teaches_the_projections_nothing():
    """Bahdanau's start: at first nothing but the vector itself, and what gives the values, learns."""
    rng = np.random.default_rng(0)
    query, key, value, vector, *learned = bahdanau(rng, batch=(2,))
    keep = np.array([[[True, True, False, True]], [[True, True, True, True]]])
    inputs = query, key, value, 0 * vector, *learned, keep
    context, weights, dquery, dkey, dvalue, dvector, *rest = run(ATTEND, *inputs)
    same(weights, np.broadcast_to(keep / keep.sum(-1, keepdims=True), weights.shape), 1e-15)
    same(context, np.stack([np.tile(v[m[0]].mean(0), (3, 1)) for v, m in zip(value, keep)]), 1e-15)
    assert not any(g.any() for g in (dquery, dkey, *rest)) and dvector.all() and dvalue[keep[:, 0]].all()


# ---- vectors without length -------------------------------------------------


@pytest.mark.parametrize(
    "lengths_, slope",
    [
        ("none", 0.0),
        ("clamped", 1 / 0.01),
        ("normalised", 1 / 0.1),
        ("smoothed", 1 / 0.1),
        ("added", 5 / 0.01),
    ],
)
def test_the_gradient_by_a_query_without_length_is_that_of_the_form(lengths_, slope):
    """The key (3, 4): its direction times one over what eps leaves of the lengths' product."""
    query, key = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    params = {"form": "cosine", "lengths": lengths_, "eps": 0.01}
    score, dquery, dkey = run(SCORE, query, key, cotangents=[np.ones((1, 1))], **params)
    assert score == 0 and not dkey.any()
    same(dquery, slope * np.array([[0.6, 0.8]]), 1e-3 if lengths_ == "smoothed" else 1e-14)


# ---- one score as another ---------------------------------------------------


@given(seeds, lengths, lengths, lengths, batches)
def test_scaled_dots_are_those_of_softmax_attention(seed, q, k, d, batch):
    rng = np.random.default_rng(seed)
    query, key = rng.normal(size=(*batch, q, d)), rng.normal(size=(*batch, k, d))
    value = rng.normal(size=(*batch, k, 2))
    weights = sa.softmax(SCORE(query, key, over_root_width=True))
    same(weights, sa.softmax_attention(query, key, value).weights, 1e-14)


@given(seeds, lengths, lengths, lengths)
def test_distances_are_dots_less_half_of_the_squares(seed, q, k, d):
    """So under a softmax a distance is a dot product with a prior against long keys."""
    rng = np.random.default_rng(seed)
    query, key = rng.normal(size=(q, d)), rng.normal(size=(k, d))
    found = SCORE(query, key, scale=0.5, **DISTANCE)
    expected = SCORE(query, key) - (query**2).sum(-1)[:, None] / 2 - (key**2).sum(-1) / 2
    assert (abs(found - expected) <= 1e-14 * (1 + (query**2).sum() + (key**2).sum())).all()


@given(seeds, lengths, lengths, lengths, lengths, batches)
def test_a_biaffine_score_is_bilinear_in_vectors_with_a_one_behind(seed, q, k, d, e, batch):
    rng = np.random.default_rng(seed)
    query, key = rng.normal(size=(*batch, q, d)), rng.normal(size=(*batch, k, e))
    matrix, u, w, b = rng.normal(size=(d, e)), rng.normal(size=d), rng.normal(size=e), rng.normal()
    whole = np.block([[matrix, u[:, None]], [w[None], np.array([[b]])]])
    longer = [np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1) for x in (query, key)]
    same(BILINEAR(query, key, matrix, u, w, np.asarray(b)), BILINEAR(*longer, whole), 1e-13)
    same(BILINEAR(query, key, matrix), SCORE(query @ matrix, key), 1e-14)


@given(seeds, st.booleans())
def test_additive_attention_is_score_softmax_and_mean(seed, masked):
    """Forward and every gradient, against the three ops on the tape."""
    rng = np.random.default_rng(seed)
    inputs = bahdanau(rng, batch=(2,))
    keep = rng.random((2, 3, 4)) < 0.6 if masked else None

    def composed(query, key, value, *learned):
        weights = sa.softmax(ADDITIVE(query, key, *learned), keep)
        return weights @ value, weights

    out, pullback = sa.vjp(composed, *inputs)
    u = drawn_like(rng, out)
    same(run(ATTEND, *inputs, keep, cotangents=u), [*out, *pullback(*u)], 1e-12)


@pytest.mark.parametrize("keep", [None, np.array([[True, True, False, True]])], ids=["all", "padded"])
def test_keys_projected_once_give_what_keys_give(keep):
    rng = np.random.default_rng(0)
    query, key, value, vector, query_weights, key_weights, bias = bahdanau(rng)
    whole = run(ATTEND, query, key, value, vector, query_weights, key_weights, bias, keep)
    once = run(ATTEND, query, key @ key_weights, value, vector, query_weights, None, bias, keep)
    shared = [0, 1, 2, 4, 5, 6]  # outputs, and gradients by all but keys and their weights
    same([once[i] for i in shared] + [once[7]], [whole[i] for i in shared] + [whole[8]], 1e-13)
    same([once[3] @ key_weights.T, key.T @ once[3]], [whole[3], whole[7]], 1e-13)


def test_one_layer_on_query_and_key_side_by_side_is_the_same():
    query, key, _, vector, query_weights, key_weights, bias = bahdanau(np.random.default_rng(0))
    pairs = np.concatenate(np.broadcast_arrays(query[:, None, :], key[None, :, :2]), axis=-1)
    hidden = np.tanh(pairs @ np.concatenate([query_weights, key_weights[:2]]) + bias)
    found = ADDITIVE(query, key[:, :2], vector, query_weights, key_weights[:2], bias)
    same(found, hidden @ vector, 1e-14)


# ---- without a shift --------------------------------------------------------


@pytest.mark.parametrize("dtype, limit", [(np.float64, 709.0), (np.float32, 88.0)])
def test_without_a_shift_weights_are_the_same_until_the_exponential_overflows(dtype, limit):
    """dl4mt: exponentials of the scores.  At their ends units are one, so the score is the vector's sum."""
    key, value = np.array([[50.0], [0.0]], dtype), np.array([[1.0], [0.0]], dtype)
    query = np.zeros((1, 1), dtype)
    for size, finite in ((0.99 * limit, True), (1.02 * limit, False)):
        vector = np.array([size], dtype)
        assert np.isfinite(ATTEND(query, key, value, vector).weights).all()
        with np.errstate(over="ignore", invalid="ignore"):
            weights = ATTEND(query, key, value, vector, shifted=False).weights
        assert np.isfinite(weights).all() == finite and weights.dtype == dtype
        if finite:
            same(weights, ATTEND(query, key, value, vector).weights, 1e-5)


def test_without_a_shift_scores_that_all_underflow_give_nan_and_an_empty_row_zeros():
    query, key, value, vector = column(0.0), column(50.0, 60.0), column(1.0, 2.0), np.array([-800.0])
    same(ATTEND(query, key, value, vector).weights, np.array([[0.5, 0.5]]), 1e-15)
    with np.errstate(invalid="ignore"):
        assert np.isnan(ATTEND(query, key, value, vector, shifted=False).weights).all()
    nothing = np.zeros((1, 2), bool)
    assert not ATTEND(query, key, value, vector, keep=nothing, shifted=False).weights.any()


def test_scores_of_a_hundred_thousand_attend_to_one_key_and_stay_finite():
    rng = np.random.default_rng(0)
    inputs = bahdanau(rng)
    inputs[3] = 1e5 * inputs[3]
    for dtype in (np.float64, np.float32):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            context, weights, *grads = run(ATTEND, *[x.astype(dtype) for x in inputs])
        assert ((weights == 0) | (weights == 1)).all() and (weights.sum(-1) == 1).all()
        assert (context == inputs[2].astype(dtype)[weights.argmax(-1)]).all()
        assert all(np.isfinite(g).all() for g in grads)


# ---- what is masked ---------------------------------------------------------


def attention(rng, batch):
    """All inputs, and a keep of full size."""
    inputs = bahdanau(rng, *rng.integers(1, 5, size=5), 3, batch=batch)
    return inputs, rng.random((*batch, inputs[0].shape[-2], inputs[1].shape[-2])) < 0.6


conventions = st.sampled_from([{}, {"activation": "relu"}, {"shifted": False}])


@given(seeds, batches, conventions, st.sampled_from([NAN, np.inf, -np.inf, 1e300]))
def test_what_is_masked_may_be_anything(seed, batch, params, junk):
    """Keys that nobody attends to, with their values, and queries that attend to nothing."""
    rng = np.random.default_rng(seed)
    inputs, keep = attention(rng, batch)
    clean = run(ATTEND, *inputs, keep, seed=seed, **params)
    dirty = [np.array(x) for x in inputs]
    dirty[0][~keep.any(-1)] = dirty[1][~keep.any(-2)] = dirty[2][~keep.any(-2)] = junk
    found = run(ATTEND, *dirty, keep, seed=seed, **params)
    equal(found, clean)
    assert not found[1][~keep].any() and not found[0][~keep.any(-1)].any()
    assert not any(g[~keep.any(-2)].any() for g in found[3:5]) and not found[2][~keep.any(-1)].any()


@given(seeds, batches, conventions)
def test_nan_reaches_who_attends_to_it_and_nobody_else(seed, batch, params):
    """In one key and its value: queries that do not attend to it, and keys that share no query with it."""
    rng = np.random.default_rng(seed)
    inputs, keep = attention(rng, batch)
    j = rng.integers(0, keep.shape[-1])
    dirty = [np.array(x) for x in inputs]
    dirty[1][..., j, :] = dirty[2][..., j, :] = NAN
    safe, safe_keys = ~keep[..., j], ~(keep & keep[..., j : j + 1]).any(-2)
    clean, found = (run(ATTEND, *x, keep, seed=seed, **params) for x in (inputs, dirty))
    for a, b, rows in zip(found, clean, [safe] * 3 + [safe_keys] * 2):
        equal(a[rows], b[rows])
    assert np.isnan(found[0][~safe]).all()


@given(seeds, batches)
def test_a_cotangent_of_what_is_masked_leaks_nowhere(seed, batch):
    rng = np.random.default_rng(seed)
    inputs, keep = attention(rng, batch)
    out, pullback = sa.vjp(lambda *t: ATTEND(*t, keep), *inputs)
    clean = drawn_like(rng, out)
    dirty = [np.array(u) for u in clean]
    dirty[0][~keep.any(-1)] = dirty[1][~keep] = NAN
    equal(pullback(*dirty), pullback(*clean))


@given(seeds, batches, conventions)
def test_keys_that_are_left_out_may_as_well_not_be_there(seed, batch, params):
    rng = np.random.default_rng(seed)
    (query, key, value, *learned), keep = attention(rng, batch)
    kept = keep.reshape(-1, keep.shape[-1])[0]
    whole = ATTEND(query, key, value, *learned, np.array(kept[None]), **params)
    alone = ATTEND(query, key[..., kept, :], value[..., kept, :], *learned, **params)
    same([whole.context, whole.weights[..., kept]], list(alone), 1e-13)


def test_a_source_of_length_zero_has_no_context_and_learns_nothing():
    query, key, value, *learned = bahdanau(np.random.default_rng(0), batch=(2,))
    keep = np.array([[[True, True, False, False]], [[False] * 4]])
    _, _, *both = run(ATTEND, query, key, value, *learned, keep)
    _, _, *first = run(ATTEND, query[:1], key[:1], value[:1], *learned, keep[:1])
    assert not any(g[1].any() for g in both[:3])
    out = ATTEND(query, key, value, *learned, keep)
    assert not out.context[1].any() and not out.weights[1].any()
    assert [g.shape for g in both[3:]] == [g.shape for g in first[3:]]


# ---- all at once ------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"shifted": False}, {"activation": "relu"}], ids=str)
def test_attention_over_thirty_keys_is_the_adjoint_and_its_hessian_symmetric(params):
    rng = np.random.default_rng(1)
    inputs = bahdanau(rng, 4, 30, 5, 6, 3, 8, batch=(2,))
    keep = rng.random((2, 1, 30)) < 0.7
    is_the_adjoint(lambda *t: ATTEND(*t, keep, **params), *inputs)
    if "activation" not in params:  # a ReLU has a kink within any step
        hessian_is_symmetric(lambda *t: ATTEND(*t, keep, **params), *inputs)


# ---- wrong calls ------------------------------------------------------------


@pytest.mark.parametrize(
    "op, params, message",
    [
        (SCORE, {"form": "sine"}, "attention_score: form must be one of dot, cosine, .*got 'sine'"),
        (SCORE, {"lengths": "short"}, "attention_score: lengths must be one of smoothed, .*got 'short'"),
        (SCORE, {"form": "cosine", "lengths": "added", "eps": 0.0}, "attention_score: eps must be positive"),
        (SCORE, {"scale": "big"}, "attention_score: scale must be a number, got 'big'"),
        (ADDITIVE, {"activation": "gelu"}, "additive_score: activation must be 'tanh' or 'relu', got 'gelu'"),
        (ATTEND, {"activation": "gelu"}, "additive_attention: activation must be 'tanh' or 'relu'"),
        (ATTEND, {"shifted": 1}, "additive_attention: shifted must be True or False, got 1"),
    ],
)
def test_params_that_do_not_exist_are_refused_by_name(op, params, message):
    query, key, value, vector, *learned = bahdanau(np.random.default_rng(0), e=2)
    inputs = {SCORE: (query, key), ADDITIVE: (query, key, vector, *learned)}
    with pytest.raises((TypeError, ValueError), match=message):
        op(*inputs.get(op, (query, key, value, vector, *learned)), **params)


def test_without_weights_the_widths_must_be_equal():
    query, key, value, vector, query_weights, key_weights, bias = bahdanau(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"additive_score: without key_weights the widths must be equal"):
        ADDITIVE(query, key, vector, query_weights, None, bias)
    with pytest.raises(ValueError, match=r"got query \(3, 2\) and vector \(4,\)"):
        ATTEND(query, key, value, vector, None, key_weights)


# ---- PyTorch ----------------------------------------------------------------


def theirs(function, *inputs):
    """Outputs of a function of PyTorch tensors, and what pulls cotangents back."""
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    out = function(torch, *leaves)
    out = out if isinstance(out, tuple) else (out,)

    def pullback(*cotangents):
        sum((torch.tensor(u) * y).sum() for u, y in zip(cotangents, out)).backward()
        return [x.grad.numpy() for x in leaves]

    return [y.detach().numpy() for y in out], pullback


def compared(op, function, inputs, *passive, **params):
    out, pullback = theirs(function, *inputs)
    u = drawn_like(np.random.default_rng(1), out)
    same(run(op, *inputs, *passive, cotangents=u, **params), [*out, *pullback(*u)], 1e-12)


@pytest.mark.peers
@pytest.mark.parametrize(
    "params, function",
    [
        ({}, lambda torch, q, k: q @ k.mT),
        ({"over_root_width": True}, lambda torch, q, k: q @ k.mT / math.sqrt(q.shape[-1])),
        (
            {"form": "cosine", "lengths": "clamped", "eps": 1e-8},
            lambda torch, q, k: torch.nn.functional.cosine_similarity(
                q[..., None, :], k[..., None, :, :], dim=-1
            ),
        ),
        (
            {"form": "cosine", "lengths": "clamped", "eps": 1e-12},
            lambda torch, q, k: (
                torch.nn.functional.normalize(q, dim=-1) @ torch.nn.functional.normalize(k, dim=-1).mT
            ),
        ),
        (DISTANCE, lambda torch, q, k: -((q[..., None, :] - k[..., None, :, :]) ** 2).sum(-1)),
    ],
    ids=["dot", "scaled dot", "cosine_similarity", "normalize", "distance"],
)
def test_pytorch_has_the_same_scores(rng, params, function):
    compared(SCORE, function, [rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4))], **params)


@pytest.mark.peers
def test_pytorch_has_the_same_bilinear_layer(rng):
    inputs = [rng.normal(size=(3, 2)), rng.normal(size=(5, 4)), rng.normal(size=(2, 4))]

    def layer(torch, query, key, matrix):
        pairs = query[:, None].expand(3, 5, 2).contiguous(), key[None].expand(3, 5, 4).contiguous()
        return torch.nn.functional.bilinear(*pairs, matrix[None])[..., 0]

    compared(BILINEAR, layer, inputs)


@pytest.mark.peers
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_pytorch_has_the_same_additive_attention(rng, masked, activation):
    inputs = bahdanau(rng, batch=(2,))
    keep = rng.random((2, 3, 4)) < 0.6 if masked else np.ones((2, 3, 4), bool)
    keep[..., 0] = True

    def layer(torch, query, key, value, vector, query_weights, key_weights, bias):
        hidden = (query @ query_weights)[:, :, None] + (key @ key_weights)[:, None] + bias
        score = getattr(torch, activation)(hidden) @ vector
        weights = torch.softmax(score.masked_fill(~torch.tensor(keep), -math.inf), -1)
        return weights @ value, weights

    compared(ATTEND, layer, inputs, keep, activation=activation)
