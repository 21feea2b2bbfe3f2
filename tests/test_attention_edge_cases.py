"""The edge cases of attention, positions, norms and halting, by number, and the published numbers.

``EVIDENCE`` says for every one which case, property or test holds it; a test here sees that each of them
exists.  What no op's own file can say, because it takes several calls or a published number, is below.
"""

from pathlib import Path

import numpy as np
import pytest

import scratchattn as sa
from scratchattn import REGISTRY, gelu, halting, layer_norm, softmax, softmax_attention
from scratchattn.ops.softmax_attention import softmax_attention_backward, softmax_attention_forward

HERE = Path(__file__).parent
NAN = float("nan")
VARIANTS = {op: {v.name: v.params for v in REGISTRY[op].variants} for op in ("halting", "softmax_attention")}

# number of the edge case: "op: case", "op.property" or "file::test"
EVIDENCE = {
    "1 a query that attends to nothing": """
        softmax_attention: kept pairs, one query with none
        softmax_attention: nothing kept
        softmax_attention.weights_sum_to_one_or_the_row_is_empty
        softmax: one row of two fully masked
        test_softmax_attention.py::test_a_fully_masked_row_is_zero_where_others_have_a_mean_or_no_mask_at_all
        test_attention_edge_cases.py::test_an_empty_query_is_as_if_it_were_not_there
        test_attention_edge_cases.py::test_the_gradient_does_not_ask_whether_weights_are_looked_at
    """,
    "2 NaN and infinities behind a mask": """
        softmax: NaN behind the mask
        softmax.what_is_not_kept_is_never_read
        test_softmax_attention.py::test_nothing_unattended_leaks
        test_softmax_attention.py::test_junk_reaches_who_attends_to_it_and_nobody_else
        test_softmax_attention.py::test_a_cotangent_of_what_is_masked_leaks_nowhere
        test_properties_attention.py::test_what_is_masked_may_be_anything
        test_attention_edge_cases.py::test_nan_in_one_key_reaches_only_those_who_attend_to_it_in_every_case
        test_attention_edge_cases.py::test_filling_lets_nan_leak_and_selecting_does_not
    """,
    "3 masks that are added or filled in": """
        softmax_attention: {'fill': -1000000000.0}
        softmax_attention: {'penalty': -10000.0}
        test_softmax_attention.py::test_keep_is_a_bias_of_minus_infinity_to_the_bit
        test_attention_edge_cases.py::test_where_something_is_kept_every_way_to_exclude_is_the_same
        test_attention_edge_cases.py::test_where_nothing_is_kept_a_fill_is_the_mean_and_a_penalty_no_mask
        test_attention_edge_cases.py::test_a_penalty_of_1e10_fills_in_float32_and_does_nothing_in_float64
        test_attention_edge_cases.py::test_minus_1e9_is_minus_infinity_in_half_precision
    """,
    "4 causal with other numbers of queries than keys": """
        softmax_attention: causal top_left, 2 queries, 4 keys
        softmax_attention: causal bottom_right, 4 queries, 2 keys
        softmax_attention.no_query_sees_a_later_key
        test_softmax_attention.py::test_positions_are_a_keep_like_any_other
        test_softmax_attention.py::test_a_step_with_cached_keys_is_the_row_of_the_whole
        test_softmax_attention.py::test_pytorch_agrees
    """,
    "5 large and saturated logits": """
        softmax_attention: sharp
        softmax_attention: logits of ten thousand
        softmax_attention: logits of minus ten thousand
        softmax: all at -2e4
        test_softmax_attention.py::test_a_shift_of_all_logits_moves_log_sum_exp_alone
        test_softmax_attention.py::test_the_rows_of_the_gradient_sum_to_zero
        test_attention_edge_cases.py::test_the_short_form_of_the_gradient_is_the_whole_jacobian
    """,
    "6 dropout of the weights": """
        softmax_attention: dropout
        softmax_attention: dropped weights
        dropout: rate 0 and all kept
        dropout: almost all
        test_softmax_attention.py::test_what_dropout_drops_is_selected_too
        test_softmax_attention.py::test_dropout_scales_what_survives_and_leaves_weights_alone
        test_attention_edge_cases.py::test_the_row_sums_of_out_times_its_gradient_are_those_of_what_was_dropped
    """,
    "7 layer norm of constant rows, one feature, a large mean": """
        layer_norm: constant row
        layer_norm: constant row, torch
        layer_norm: one feature
        layer_norm: one feature, annotated
        layer_norm: mean a million
        layer_norm.a_constant_row_gives_the_shift_and_a_finite_gradient
        layer_norm.a_large_mean_costs_no_digit
        test_golden_numbers.py::test_the_gradient_of_a_constant_row_is_750000_with_eps_on_the_deviation
        test_golden_numbers.py::test_float32_at_mean_a_million_agrees_with_float64_on_the_same_numbers
        test_attention_edge_cases.py::test_an_unbiased_deviation_differs_at_eight_features
    """,
    "8 positions": """
        test_positions.py::test_an_odd_number_of_features_is_refused_or_padded_with_zeros
        test_positions.py::test_two_features_are_one_sine_and_one_cosine_of_frequency_one
        test_positions.py::test_a_table_is_right_to_the_last_place_at_any_position
        test_positions.py::test_a_product_in_float32_is_off_by_thousands_of_last_places_at_1e5
        test_positions.py::test_the_first_position_is_an_argument
        test_positions.py::test_positions_are_added_batch_first_or_time_first
    """,
    "9 the tails of gelu": """
        gelu: tails, erf
        gelu: tails, tanh
        gelu: extreme, tanh
        gelu.the_lower_tail_stays_below_zero
        test_golden_numbers.py::test_gelu_of_a_thousand_is_a_thousand_and_of_minus_a_thousand_nothing
        test_attention_edge_cases.py::test_gelu_at_six_keeps_its_digits_and_beyond_ninety_overflows_nothing
    """,
    "10 attention to a source": """
        softmax_attention: padded keys of each item, with shared keys
        softmax_attention: no keys
        softmax_attention: one of everything
        test_attention_edge_cases.py::test_a_padded_source_is_the_source_of_its_length
        test_attention_edge_cases.py::test_a_source_of_no_words_gives_zeros
        test_attention_edge_cases.py::test_a_source_of_one_word_is_what_every_query_gets
    """,
    "11 halting at the first step": """
        halting: halts at the first step
        halting: equality halts
        halting: equality at once
        halting: eps 0
        test_halting_golden.py::test_worked_numbers
        test_halting_golden.py::test_equality_halts_unless_strict
        test_halting_golden.py::test_a_saturated_value_halts_at_once_even_with_eps_0
        test_act.py::test_edge_case_11_one_step_has_remainder_one_and_no_gradient_for_the_halting_unit
    """,
    "12 the cap on steps": """
        halting: the cap
        halting: at most one step
        halting: values that are all but zero
        test_halting_golden.py::test_four_ways_to_end_at_the_cap
        test_act.py::test_edge_case_12_at_the_cap_the_last_step_takes_what_is_left
        test_act.py::test_edge_case_12_a_limit_of_one_is_the_plain_cell
        test_act.py::test_edge_case_12_values_that_underflow_leave_all_to_the_last_step
    """,
    "13 where the number of steps jumps": """
        test_halting_golden.py::test_the_gradient_does_not_see_the_jump
        test_act.py::test_the_gradient_ignores_the_jump_of_the_number_of_steps
        test_attention_edge_cases.py::test_the_margins_of_halting_are_where_the_number_of_steps_jumps
    """,
    "14 the order of summation": """
        test_halting_golden.py::test_the_order_of_summation_is_from_left_to_right
        test_act.py::test_edge_case_14_values_are_summed_from_left_to_right
        test_attention_edge_cases.py::test_a_value_and_its_remainder_sum_to_one_to_the_bit
    """,
    "26 precisions, libraries, layouts, empty batches": """
        softmax_attention: no queries
        rotary_positions: no position
        alibi: no query
        rms_norm: no row
        smoothed_cross_entropy: no row
        test_softmax_attention.py::test_an_empty_batch_is_an_empty_batch
        test_softmax_attention.py::test_other_precisions_are_kept_and_agree
        test_properties_generic.py::test_float32_stays_float32
        test_properties_generic.py::test_inputs_and_cotangents_are_left_alone
        test_portability.py::test_runs_on_the_recorded_cupy_without_waiting_for_it
        test_portability.py::test_runs_on_a_device_that_is_not_the_host
    """,
}


@pytest.mark.parametrize("edge", EVIDENCE)
def test_the_evidence_for_an_edge_case_exists(edge):
    for line in filter(None, map(str.strip, EVIDENCE[edge].splitlines())):
        if "::" in line:
            path, name = line.split("::")
            assert f"def {name}(" in (HERE / path).read_text(encoding="utf-8"), line
        elif ": " in line:
            name, label = line.split(": ", 1)
            assert label in [case.label for case in REGISTRY[name].cases(np.random.default_rng(0))], line
        else:
            name, claim = line.split(".")
            assert claim in [claimed.__name__ for claimed in REGISTRY[name].properties], line


def drawn(rng, q=3, k=4, d=3, v=2, batch=()):
    return [rng.normal(size=(*batch, *shape)) for shape in ((q, d), (k, d), (k, v))]


def attention(arrays, bias=None, keep=None, u=None, **params):
    """Outputs, and gradients for query, key, value (and bias) under cotangents ``u``, drawn if None."""
    arrays = arrays if bias is None else [*arrays, bias]
    rest = (None,) * (4 - len(arrays)) + (keep,)
    out, pullback = sa.vjp(lambda *t: softmax_attention(*t, *rest, **params), *arrays)
    if u is None:
        u = [np.random.default_rng(1).normal(size=y.shape) for y in out]
    return list(out), list(pullback(*u)), u


# ---- 1: a query that attends to nothing ---------------------------------------


def test_an_empty_query_is_as_if_it_were_not_there(rng):
    """The other rows and all gradients are, to the bit, those of a call without it."""
    arrays, keep = drawn(rng), np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]], bool)
    others = [0, 2]
    whole, grads, u = attention(arrays, keep=keep)
    alone, grads_alone, _ = attention(
        [arrays[0][others], *arrays[1:]], keep=keep[others], u=[y[others] for y in u]
    )
    for a, b in zip(whole, alone):
        assert (a[others] == b).all() and not a[1].any()
    assert (grads[0][others] == grads_alone[0]).all() and not grads[0][1].any()
    for a, b in zip(grads[1:], grads_alone[1:]):
        assert abs(a - b).max() <= 1e-15 * abs(b).max()


def test_the_gradient_does_not_ask_whether_weights_are_looked_at(rng):
    """In torch's MultiheadAttention it does: need_weights=True makes NaN of an empty row."""
    arrays, keep = drawn(rng), np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]], bool)
    out, pullback = sa.vjp(lambda *t: softmax_attention(*t, None, keep).out, *arrays)
    u = rng.normal(size=out.shape)
    both, pull_both = sa.vjp(lambda *t: softmax_attention(*t, None, keep), *arrays)
    zeros = [np.zeros_like(y) for y in both[1:]]
    for a, b in zip([out, *pullback(u)], [both.out, *pull_both(u, *zeros)]):
        assert (a == b).all() and np.isfinite(a).all()


# ---- 2: NaN behind a mask -------------------------------------------------------


def test_nan_in_one_key_reaches_only_those_who_attend_to_it_in_every_case():
    """In bias wherever it is masked, and in each key and its value in turn; forward and back."""
    seen = 0
    for case in softmax_attention.cases(np.random.default_rng(0)):
        query, key, value, bias, *pairs = case.inputs
        clean, saved = softmax_attention_forward(*case.inputs, **case.params)
        attend = saved[7]
        if attend is None or query.shape[:-2] != clean[1].shape[:-2]:
            continue
        attend = np.broadcast_to(attend, clean[1].shape)
        clean = (*clean, *softmax_attention_backward(saved, clean)[:3])
        bias = np.where(attend, 0.0 if bias is None else bias, NAN)
        for j in range(key.shape[-2]):
            spoilt = np.array(key), np.array(value)
            spoilt[0][..., j, :] = spoilt[1][..., j, :] = NAN
            again, saved = softmax_attention_forward(query, *spoilt, bias, *pairs, **case.params)
            again = (*again, *softmax_attention_backward(saved, clean[:3])[:3])
            safe = (
                ~attend[..., j],
                ~(attend & attend[..., j : j + 1]).any(-2),
            )  # queries; keys, from their queries
            for a, b, rows in zip(again, clean, [safe[0]] * 4 + [safe[1]] * 2):
                assert (a[rows] == b[rows]).all(), case.label
            seen += 1
    assert seen > 30


def test_filling_lets_nan_leak_and_selecting_does_not(rng):
    query, key, value = drawn(rng)
    keep = np.array([[True, True, True, False]])
    value[3] = NAN
    assert np.isfinite(softmax_attention(query, key, value, None, keep).out).all()
    for told in ({"fill": -1e9}, {"penalty": -1e4}):
        assert np.isnan(softmax_attention(query, key, value, None, keep, **told).out).all()


# ---- 3: masks that are added or filled in ---------------------------------------

WAYS = [name for name, params in VARIANTS["softmax_attention"].items() if {"fill", "penalty"} & params.keys()]
NONE = np.zeros((1, 3), bool)
LOGITS = np.ones((1, 1)), np.array([[3.0], [5.0], [-2.0]]), np.eye(3)


@pytest.mark.parametrize("name", WAYS)
def test_where_something_is_kept_every_way_to_exclude_is_the_same(rng, name):
    """All but the rounding of a large logit; the pairs that are excluded have exactly nothing."""
    arrays, bias = drawn(rng), rng.normal(size=(3, 4))
    keep = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 0]], bool)
    told = {k: v for k, v in VARIANTS["softmax_attention"][name].items() if k in ("fill", "penalty")}
    ours, grads, u = attention(arrays, bias, keep)
    theirs, grads_theirs, _ = attention(arrays, bias, keep, u, **told)
    for a, b in zip([*theirs, *grads_theirs], [*ours, *grads]):
        assert abs(a - b).max() <= 1e-15 * (1 + abs(b).max())
    assert (theirs[1][~keep] == 0).all() and (grads_theirs[3][~keep] == 0).all()


def test_where_nothing_is_kept_a_fill_is_the_mean_and_a_penalty_no_mask():
    """The row (3, 5, -2): zeros, thirds, or (.1191, .8801, .0008) as if there were no mask."""
    query, key, value = LOGITS
    ways = {name: VARIANTS["softmax_attention"][name] for name in ("torch", "annotated", "gpt_2", "bert")}
    weights = {
        name: softmax_attention(query, key, value, None, NONE, **{**params, "causal": None}).weights[0]
        for name, params in ways.items()
    }
    assert not weights["torch"].any()
    assert abs(weights["annotated"] - 1 / 3).max() < 1e-16 and abs(weights["gpt_2"] - 1 / 3).max() < 1e-16
    assert abs(weights["bert"] - [0.1191, 0.8801, 0.0008]).max() < 5e-5
    assert abs(weights["bert"] - softmax(key[:, 0])).max() < 1e-11


def test_a_fill_of_an_empty_row_teaches_the_values_only():
    out, pullback = sa.vjp(lambda *t: softmax_attention(*t, None, NONE, fill=-1e9).out, *LOGITS)
    dquery, dkey, dvalue = pullback(np.ones_like(out))
    assert not dquery.any() and not dkey.any() and abs(dvalue - 1 / 3).max() < 1e-16


def test_a_penalty_of_1e10_fills_in_float32_and_does_nothing_in_float64():
    for dtype, expected in ((np.float32, np.full(3, 1 / 3)), (np.float64, softmax(LOGITS[1][:, 0]))):
        arrays = [x.astype(dtype) for x in LOGITS]
        weights = softmax_attention(*arrays, None, NONE, penalty=-1e10).weights[0]
        assert weights.dtype == dtype and abs(weights - expected).max() < 2e-6


def test_minus_1e9_is_minus_infinity_in_half_precision():
    with np.errstate(over="ignore"):
        assert np.float16(-1e9) == -np.inf and np.float16(-1e4) == -1e4
    half = [x.astype(np.float16) for x in LOGITS]
    with pytest.raises(TypeError, match="softmax_attention: query must be floating, got an array of float16"):
        softmax_attention(*half)


# ---- 5 and 6: the form of the gradient --------------------------------------------


@pytest.mark.parametrize(
    "size, digits", [(1.0, 1e-15), (10.0, 2e-15), (50.0, 1e-14), (100.0, 1e-14), (1000.0, 1e-14)]
)
def test_the_short_form_of_the_gradient_is_the_whole_jacobian(size, digits):
    """g(z) = P (G - sum P G) against J^T G with J = diag(P) - P P^T, at logits of this standard deviation."""
    rng = np.random.default_rng(0)
    logits, g = size * rng.normal(size=(8, 64)), rng.normal(size=(8, 64))
    weights, pullback = sa.vjp(softmax, logits)
    (short,) = pullback(g)
    for p, row, found in zip(weights, g, short):
        whole = (np.diag(p) - np.outer(p, p)) @ (row - row[p.argmax()])
        assert abs(found - whole).max() <= digits * abs(whole).max() + 1e-300
        assert abs(found.sum()) <= 1e-15 * abs(found).sum()


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.9, 1 - 2.0**-30])
def test_the_row_sums_of_out_times_its_gradient_are_those_of_what_was_dropped(rng, rate):
    """D = sum_c O g(O) = sum_j P_j g(P_j) with the dropped O: what flash attention keeps per query."""
    query, key, value = drawn(rng, 4, 6)
    survive = rng.random((4, 6)) >= min(rate, 0.5)
    out, pullback = sa.vjp(
        lambda q: softmax_attention(q, key, value, None, None, survive, dropout_rate=rate), query
    )
    dout = rng.normal(size=(4, 2))
    gradient = np.where(survive, dout @ value.T, 0) / (1 - rate)
    row_sums = (out.out * dout).sum(-1)
    assert abs(row_sums - (out.weights * gradient).sum(-1)).max() <= 1e-13 * abs(gradient).max()
    dscores = out.weights * (gradient - row_sums[:, None])
    (dquery,) = pullback(dout, np.zeros((4, 6)), np.zeros(4))
    assert abs(dquery - dscores @ key / 3**0.5).max() <= 1e-13 * abs(dscores).max()


# ---- 7 and 9: normalisation and gelu ------------------------------------------------


def test_an_unbiased_deviation_differs_at_eight_features():
    """The annotated Transformer's layer norm: one part in fifteen, 0.136 at an entry of 2.1."""
    x = np.random.default_rng(0).normal(size=(1000, 8))
    plain = layer_norm(x, eps=1e-6)
    (annotated,) = [v.params for v in layer_norm.variants if v.name == "annotated"]
    gap = abs(plain - layer_norm(x, **annotated))
    assert abs(gap - abs(plain) * (1 - (7 / 8) ** 0.5)).max() < 1e-5 and 0.13 < gap.max() < 0.18


@pytest.mark.parametrize("form", ["erf", "tanh"])
def test_gelu_at_six_keeps_its_digits_and_beyond_ninety_overflows_nothing(form):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        for a in (-6.0, 6.0):
            u = mpmath.sqrt(2 / mpmath.pi) * (a + mpmath.mpf("0.044715") * a**3)
            share = mpmath.erfc(-a / mpmath.sqrt(2)) / 2 if form == "erf" else (1 + mpmath.tanh(u)) / 2
            truth = float(a * share)
            assert abs(gelu(np.array([a]), form=form)[0] - truth) <= 4e-15 * abs(truth)
    for dtype in (np.float32, np.float64):
        a = np.array([-500.0, -91.0, 91.0, 500.0], dtype)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            out, pullback = sa.vjp(lambda a: gelu(a, form=form), a)
            (slope,) = pullback(np.ones_like(a))
        assert out.tolist() == [0.0, 0.0, 91.0, 500.0] and slope.tolist() == [0.0, 0.0, 1.0, 1.0]


# ---- 10: attention to a source --------------------------------------------------------


def test_a_padded_source_is_the_source_of_its_length(rng):
    """Sources of 4, 2 and 1 words, targets without padding: each item as alone, and nothing for the rest."""
    query, key, value = drawn(rng, 3, 4, batch=(3,))
    lengths = np.array([4, 2, 1])
    keep = np.arange(4) < lengths[:, None, None]
    out, grads, u = attention([query, key, value], keep=keep)
    for i, n in enumerate(lengths):
        cut = [u[0][i], u[1][i, :, :n], u[2][i]]
        alone, grads_alone, _ = attention([query[i], key[i, :n], value[i, :n]], u=cut)
        for a, b in zip([out[0][i], out[1][i, :, :n], out[2][i]], alone):
            assert abs(a - b).max() <= 1e-15 * abs(b).max()
        for a, b in zip([grads[0][i], grads[1][i, :n], grads[2][i, :n]], grads_alone):
            assert abs(a - b).max() <= 1e-14 * (abs(b).max() + 1e-3)
        assert not any(g[i, n:].any() for g in grads[1:])


def test_a_source_of_no_words_gives_zeros(rng):
    query, key, value = drawn(rng, 3, 0, batch=(2,))
    out, grads, _ = attention([query, key, value])
    assert out[0].shape == (2, 3, 2) and not out[0].any() and not out[2].any() and not grads[0].any()
    some, _, _ = attention(drawn(rng, 3, 4, batch=(2,)), keep=np.array([[[True] * 4], [[False] * 4]]))
    assert some[0][0].any() and not some[0][1].any()


def test_a_source_of_one_word_is_what_every_query_gets(rng):
    """The weight is one whatever the logit: neither query nor key learns."""
    query, key, value = drawn(rng, 3, 1, batch=(2,))
    out, pullback = sa.vjp(lambda *t: softmax_attention(*t).out, query, key, value)
    u = rng.normal(size=out.shape)
    dquery, dkey, dvalue = pullback(u)
    assert (
        (out == value).all()
        and not dquery.any()
        and not dkey.any()
        and abs(dvalue - u.sum(1, keepdims=True)).max() < 1e-15
    )


# ---- 13 and 14: halting -----------------------------------------------------------------


def test_the_margins_of_halting_are_where_the_number_of_steps_jumps():
    """Moved by less than its margin a case keeps its steps; by more, all values together, some do not."""
    jumped = 0
    for case in halting.cases(np.random.default_rng(0)):
        (values,), steps = case.inputs, halting(*case.inputs, **case.params).steps
        if case.margin:
            for way in (-1, 1):
                near, far = (halting(values + way * by * case.margin, **case.params) for by in (0.999, 1.001))
                assert (near.steps == steps).all(), case.label
                jumped += (far.steps != steps).any()
    assert jumped > 15


def test_a_value_and_its_remainder_sum_to_one_to_the_bit():
    """h + (1 - h) of floats is one: tensor2tensor's test for what is still running relies on it."""
    values = np.random.default_rng(0).uniform(0.0, 1.0, size=(100_000, 2)).astype(np.float32)
    out = halting(values, eps=0.0)
    assert (out.weights.sum(-1) == np.float32(1)).all() and out.weights.dtype == np.float32


# ---- numbers that others' implementations give ----------------------------------------------


def close(found, expected):
    return abs(np.asarray(found) - expected).max() < 1e-15


@pytest.mark.parametrize(
    "name", ["tensor2tensor_basic", "universal_transformer", "universal_transformer_pytorch"]
)
def test_the_weights_of_the_universal_transformers_listing(name):
    """Interpolated: 0.712 and not 1 of the states, and of 0.1 three times 0.271."""
    told = VARIANTS["halting"][name]
    for values, effective in (([0.4, 0.4, 0.4], [0.192, 0.32, 0.2]), ([0.3, 0.2, 0.6], [0.12, 0.1, 0.5])):
        assert close(halting(np.array(values), **told).weights, effective)
    assert close(halting(np.array([0.4, 0.4, 0.4]), **told).weights.sum(), 0.712)
    assert close(halting(np.array([0.1, 0.1, 0.1]), **told).weights.sum(), 0.271)


@pytest.mark.parametrize("value, steps, paper", [(0.2, 4, 5), (0.4, 2, 3), (0.5, 1, 2)])
def test_a_value_counted_twice_halts_too_early(value, steps, paper):
    told = VARIANTS["halting"]["maxwells_daemons"]
    assert halting(np.full(8, value), **told).steps == steps
    assert halting(np.full(8, value)).steps == paper


def test_zphangs_weights_sum_to_four_thirds_and_to_a_third():
    """Three steps of 0.4: (1 + p) / 3 on the hidden states, p / 3 on the cells."""
    values = np.full(4, 0.4)
    hidden, cell = (halting(values, **VARIANTS["halting"][name]) for name in ("zphang_hidden", "zphang_cell"))
    assert close(hidden.weights.sum(), 4 / 3) and close(cell.weights.sum(), 1 / 3)
    assert close(cell.weights, [0.4 / 3, 0.4 / 3, 0.2 / 3, 0.0]) and hidden.steps == 3


def test_zphangs_last_step_takes_no_remainder_if_the_sum_stays_below_one():
    told = {**VARIANTS["halting"]["zphang_cell"], "mixing": "sum"}
    assert close(halting(np.array([0.5, 0.495, 0.3]), **told).weights, [0.5, 0.495, 0.0])
    capped = halting(np.array([0.1, 0.1, 0.1]), **told)
    assert close(capped.weights, [0.1, 0.1, 0.1]) and close(capped.remainder, 0.8)


def test_a_state_that_is_copied_on_is_the_last_one():
    out = halting(
        np.array([[0.4, 0.4, 0.4], [0.1, 0.1, 0.1]]), **VARIANTS["halting"]["universal_transformer_prose"]
    )
    assert out.weights.tolist() == [[0, 0, 1], [0, 0, 1]] and close(out.remainder, [0.2, 0.8])


def test_weights_after_dropout_do_not_sum_to_one(rng):
    """As nn.MultiheadAttention returns them while it trains."""
    query, key, value = drawn(rng, 40, 8)
    survive = rng.random((40, 8)) < 0.5
    told = VARIANTS["softmax_attention"]["torch_multi_head"]
    out = softmax_attention(query, key, value, None, None, survive, dropout_rate=0.5, **told)
    plain = softmax_attention(query, key, value, None, None, survive, dropout_rate=0.5)
    assert (out.weights == np.where(survive, plain.weights, 0) / 0.5).all() and (out.out == plain.out).all()
    sums = out.weights.sum(-1)
    assert sums.min() < 0.7 and sums.max() > 1.3


def test_keep_may_mean_drop(rng):
    arrays, keep = drawn(rng), rng.random((3, 4)) < 0.5
    told = VARIANTS["softmax_attention"]["universal_transformer_pytorch"]
    for a, b in zip(softmax_attention(*arrays, None, ~keep, **told), softmax_attention(*arrays, None, keep)):
        assert (a == b).all()


@pytest.mark.peers
def test_pytorchs_multi_head_attention_agrees_that_true_drops(rng):
    torch = pytest.importorskip("torch")
    module = torch.nn.MultiheadAttention(3, 1, bias=False, batch_first=True, dtype=torch.float64)
    arrays, drop = drawn(rng, v=3, batch=(2,)), np.array([[0, 1, 0, 1], [1, 0, 0, 0]], bool)
    with torch.no_grad():
        module.in_proj_weight.copy_(torch.eye(3, dtype=torch.float64).repeat(3, 1))
        module.out_proj.weight.copy_(torch.eye(3, dtype=torch.float64))
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    out, weights = module(*theirs, key_padding_mask=torch.tensor(drop))
    u = rng.normal(size=out.shape)
    out.backward(torch.tensor(u))
    told = VARIANTS["softmax_attention"]["torch_multi_head"]
    ours, pullback = sa.vjp(lambda *t: softmax_attention(*t, None, drop[:, None], **told), *arrays)
    found = [ours.out, ours.weights, *pullback(u, 0 * ours.weights, 0 * ours.log_sum_exp)]
    for a, b in zip(found, [out.detach(), weights.detach(), *[t.grad for t in theirs]]):
        assert abs(a - b.numpy()).max() <= 1e-12 * abs(b.numpy()).max()


@pytest.mark.peers
@pytest.mark.parametrize("name", ["annotated", "gpt_2", "bert", "picogpt"])
def test_other_masks_are_those_of_their_own_formulas(rng, name):
    """masked_fill; w b - 1e10 (1 - b); (1 - mask) * -10000 added; the same with -1e10."""
    torch = pytest.importorskip("torch")
    arrays, keep = drawn(rng, batch=(2,)), rng.random((2, 3, 4)) < 0.6
    keep[0, 0] = False
    told = {**VARIANTS["softmax_attention"][name], "causal": None}
    query, key, value = (torch.tensor(a, requires_grad=True) for a in arrays)
    scores, kept = query @ key.mT / 3**0.5, torch.tensor(keep)
    if name == "annotated":
        scores = scores.masked_fill(~kept, -1e9)
    elif name == "gpt_2":
        scores = scores * kept - 1e10 * (1 - 1.0 * kept)
    else:
        scores = scores + (1 - 1.0 * kept) * told["penalty"]
    out = torch.softmax(scores, -1) @ value
    u = rng.normal(size=out.shape)
    out.backward(torch.tensor(u))
    ours, pullback = sa.vjp(lambda *t: softmax_attention(*t, None, keep, **told).out, *arrays)
    for a, b in zip([ours, *pullback(u)], [out.detach(), query.grad, key.grad, value.grad]):
        assert abs(a - b.numpy()).max() <= (1e-5 if name == "picogpt" else 1e-12) * abs(b.numpy()).max()
