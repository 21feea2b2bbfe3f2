"""Softmax attention: scaled dot products, with every way of saying who attends to whom.

Each of ``q`` queries attends to ``k`` keys in proportion to the exponential of their dot product, and
takes that mean of their values.

Forward
-------
    z_ij = c tanh(scale (Q_i . K_j) / c) + bias_ij           logit; without ``soft_cap`` c, no tanh
    P_ij = exp(z_ij) / sum_j exp(z_ij)                       over the keys j that i attends to
    L_i  = log sum_j exp(z_ij)                               the same
    O_ic = sum_j P'_ij V_jc,   P'_ij = P_ij M_ij / (1 - rate)

M is ``dropout_keep``, one where it is None.  i attends to j where ``keep`` is True and the positions
allow it: see Conventions.  ``weights`` is P, before dropout.

Backward
--------
Write g(x) for dL/dx.  All three outputs pull on the logits: O through P', P itself, and L.

    g(V_jc)  = sum_i P'_ij g(O_ic)
    G_ij     = M_ij sum_c g(O_ic) V_jc / (1 - rate) + g(P_ij)      all that reaches P_ij
    dP_im / dz_ij = P_im (delta_jm - P_ij),      dL_i / dz_ij = P_ij
    g(z_ij)  = P_ij (G_ij - sum_m P_im G_im) + P_ij g(L_i)         and of bias, where not broadcast
    g(s_ij)  = scale (1 - tanh^2) g(z_ij)                          s = Q K^T
    g(Q_i)   = sum_j g(s_ij) K_j,      g(K_j) = sum_i g(s_ij) Q_i

Accuracy
--------
Logits and G are taken relative to the winner's (``calculus``): nothing cancels in a sharp row.  A
logit of 10^4 carries its own rounding, 10^-12, into P.

Conventions
-----------
``keep``: True attends, unless ``keep_means`` is "drop".  A query that attends to nothing, or finds no keys
at all, gets out = weights = log_sum_exp = 0 and no gradient.  What keep, causal or window exclude is never
read: NaN there reaches no output and no gradient, not even if another query attends to it (pytorch
#101967: 0 * NaN).  NaN that is attended to makes NaN of all that it enters; what infinities do there is
not specified.  Others exclude by the logit; that lets NaN leak, and where nothing is kept gives

    -inf                             NaN (not to be had here)    nanoGPT, labml
    set to ``fill`` -1e9, -1e10      the mean of all values      annotated, keras-transformer; GPT-2
    ``penalty`` -1e4, -1e10 added    as if all were kept         BERT; picoGPT, but a fill in float32

``causal``: no key after the query's place, which is key i for "top_left" (PyTorch's is_causal) and key
i + k - q for "bottom_right": the last query sees all keys (flash-attention since 2.1, GPT-2; a step with
cached keys).  ``window``: (left, right) keys before and after that place, ends and place included, None
without limit, an int for both; 0 is the place alone.  Both hold at once, so right counts for nothing
if causal; a window without causal has the places of "bottom_right" (flash-attention, whose -1 is None
here).  Mistral's window of W keys is (W - 1, 0).

log_sum_exp combines chunks of keys: L = log(e^L1 + e^L2), out = e^(L1 - L) out1 + e^(L2 - L) out2.  Leave a
chunk out for a query that attends to nothing in it: its 0 there is no logarithm.

``bias`` is added after soft_cap (Gemma 2, flash-attention).  Survivors of dropout are not renormalised;
``weights`` are those before dropout, or with ``dropped_weights`` after it (nn.MultiheadAttention).
Grouped queries are broadcasting: query (b, g, r, q, d), key (b, g, 1, k, d).

Source: Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, eq. 1; log_sum_exp: Dao et al.,
"FlashAttention", arXiv:2205.14135, algorithm 1.
"""

import math

import numpy as np

from ..backend import array_module, sum_to_shape
from ..calculus import (
    aligned_pairs,
    attended_sum,
    both,
    select,
    softmax_and_log_sum,
    softmax_backward,
    stretched,
    tanh,
    without_the_unattended,
)
from ..op import Case, Op, Variant, register
from ..refusals import refuse_no_number


def softmax_attention_forward(
    query, key, value, bias=None, keep=None, dropout_keep=None, *, scale=None, causal=None, window=None,
    soft_cap=None, dropout_rate=0.0, dropped_weights=False, keep_means="attend", fill=None, penalty=None,
):  # fmt: skip
    """out (..., q, v), weights (..., q, k), log_sum_exp (..., q).

    query (..., q, d), key (..., k, d), value (..., k, v); bias (..., q|1, k|1) is added to the logits;
    keep and dropout_keep (..., q|1, k|1) are booleans, True attends and survives.  scale None is
    1 / sqrt(d).  ValueError for a param that is not as described above, for both fill and penalty, and for
    a dropout_rate without dropout_keep.
    """
    xp = array_module(query, key, value, bias, keep, dropout_keep)
    _check(dropout_rate, dropout_keep, keep_means, scale=scale, soft_cap=soft_cap, fill=fill, penalty=penalty)
    given = [x for x in (query, key, value, bias, keep, dropout_keep) if x is not None]
    shapes, batch = [x.shape for x in given], stretched(*[x.shape[:-2] for x in given])
    (queries, width), keys = query.shape[-2:], key.shape[-2]
    keep = ~keep if keep is not None and keep_means == "drop" else keep
    allowed = both(keep, aligned_pairs("softmax_attention", xp, query, queries, keys, causal, window))
    attend = allowed if fill is None and penalty is None else None  # which pairs are looked at
    learns = allowed if penalty is None else None  # which logits have a gradient
    query, key, value = without_the_unattended(xp, attend, query, key, value)
    scale = 1 / math.sqrt(max(width, 1)) if scale is None else float(scale)
    z, slope = select(xp, attend, xp.matmul(query, xp.matrix_transpose(key)) * scale), None
    if soft_cap is not None:
        z, slope = tanh(xp, z / float(soft_cap))
        z = z * float(soft_cap)
    z = z if bias is None else z + select(xp, attend, bias)
    if attend is not allowed:
        z = xp.where(allowed, z, z + penalty if fill is None else fill)
    z = xp.broadcast_to(z, (*batch, queries, keys))
    weights, winner, log_sum_exp = softmax_and_log_sum(xp, z, attend)
    survive = both(attend, dropout_keep)
    dropped = select(xp, survive, weights) / (1 - dropout_rate)
    shown, out = dropped if dropped_weights else weights, attended_sum(xp, dropped, value, survive)
    saved = (query, key, value, weights, dropped, winner, slope, attend, learns, survive, scale, dropout_rate)
    return (out, shown, log_sum_exp), (*saved, dropped_weights, shapes, bias is not None)


def softmax_attention_backward(saved, douts):
    """Gradients for query, key, value, bias, given those of out, weights and log_sum_exp."""
    query, key, value, weights, dropped, winner, slope, attend, learns, survive, scale, rate, *rest = saved
    (dropped_weights, shapes, biased), (dout, dweights, dlog_sum_exp) = rest, douts
    xp = array_module(weights, dout)
    dvalue = attended_sum(xp, dropped, dout, survive, turned=True)
    ddropped = xp.matmul(dout, xp.matrix_transpose(value))
    ddropped = select(xp, survive, ddropped + dweights if dropped_weights else ddropped) / (1 - rate)
    dweights = select(xp, attend, ddropped if dropped_weights else ddropped + dweights)
    dz = softmax_backward(xp, weights, winner, dweights) + weights * xp.expand_dims(dlog_sum_exp, axis=-1)
    dz = select(xp, learns, dz)
    dbias = sum_to_shape(dz, shapes[3]) if biased else None
    dscores = (dz if slope is None else dz * slope) * scale
    dquery = attended_sum(xp, dscores, key, attend)
    dkey = attended_sum(xp, dscores, query, attend, turned=True)
    return *[sum_to_shape(g, shape) for g, shape in zip((dquery, dkey, dvalue), shapes)], dbias


def softmax_attention_loops(
    query, key, value, bias=None, keep=None, dropout_keep=None, *, scale=None, math=math, **rules
):
    """The equations above for one batch item; ``rules`` are the other params of the forward."""
    causal, window, soft_cap = (rules.get(name) for name in ("causal", "window", "soft_cap"))
    (queries, width), (keys, value_width) = query.shape, value.shape
    before, after = window if isinstance(window, (tuple, list)) else (window, window)
    told = next((name for name in ("fill", "penalty") if rules.get(name) is not None), None)
    out, weights, log_sum_exp = [], [], []
    for i in range(queries):
        place = i if causal == "top_left" else i + keys - queries
        logits = {}
        for j in range(keys):
            excluded = keep is not None and bool(keep[i][j]) == (rules.get("keep_means") == "drop")
            excluded |= causal is not None and j > place
            excluded |= before is not None and j < place - before
            excluded |= after is not None and j > place + after
            if not excluded or told:
                score = sum(query[i][c] * key[j][c] for c in range(width))
                score = score / math.sqrt(width) if scale is None else score * scale
                if soft_cap is not None:
                    score = soft_cap * math.tanh(score / soft_cap)
                score = score if bias is None else score + bias[i][j]
                logits[j] = rules[told] + (score if told == "penalty" else 0) if excluded else score
        total = sum(math.exp(logit) for logit in logits.values())
        weights.append([math.exp(logits[j]) / total if j in logits else 0.0 for j in range(keys)])
        log_sum_exp.append(math.log(total) if logits else 0.0)
        survivors = [j for j in logits if dropout_keep is None or dropout_keep[i][j]]
        share = {j: weights[i][j] / (1 - rules.get("dropout_rate", 0)) for j in survivors}
        out.append([sum(share[j] * value[j][c] for j in survivors) for c in range(value_width)])
        if rules.get("dropped_weights"):
            weights[i] = [share.get(j, 0.0) for j in range(keys)]
    return out, weights, log_sum_exp


def _check(rate, dropout_keep, keep_means, **numbers):
    for name, value in numbers.items():
        refuse_no_number(f"softmax_attention: {name}", value, or_none=True)
    soft_cap, penalty = numbers["soft_cap"], numbers["penalty"]
    for message, right in {
        f"soft_cap must be None or positive, got {soft_cap!r}": soft_cap is None or soft_cap > 0,
        f"penalty must be None beside a fill, got {penalty!r}": None in (penalty, numbers["fill"]),
        f"keep_means must be 'attend' or 'drop', got {keep_means!r}": keep_means in ("attend", "drop"),
        f"dropout_rate must be from 0 to below 1, got {rate!r}": 0 <= rate < 1,
        f"dropout_rate {rate} needs dropout_keep, got None": not rate or dropout_keep is not None,
    }.items():
        if not right:
            raise ValueError(f"softmax_attention: {message}")


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, q=2, k=3, d=2, v=2, *, batch=(), shared=None, size=1.0, around=0.0, **rest):
        shared = batch if shared is None else shared
        keep, drop = (rng.permutation([0]) < rest.pop(name, []) for name in ("keep", "drop"))
        query, key = (around + size * rng.normal(size=(*b, n, d)) for b, n in ((batch, q), (shared, k)))
        value, kept = rng.normal(size=(*shared, k, v)), [x if x.size else None for x in (keep, drop)]
        inputs = (query, key, value, rest.pop("bias", None), *kept)
        return Case(label, inputs, rest, rest.pop("zero", ()), ill_conditioned=rest.pop("ill", False))

    everything = ("query", "key", "value", "bias")
    yield case("one head", 3, 4, 2, 3)
    yield case("a batch of heads", batch=(2,))
    yield case("grouped queries", v=1, batch=(2, 2), shared=(2, 1))
    yield case("bias of the keys, for each item of a batch", bias=rng.normal(size=(2, 1, 3)))
    yield case("kept pairs, one query with none", 3, 3, keep=[[1, 0, 1], [0, 0, 0], [0, 1, 1]])
    yield case("padded keys of each item, with shared keys", 1, keep=[[[1, 1, 0]], [[0, 0, 0]]])
    yield case("padded queries", 3, 2, keep=[[1], [0], [1]])
    yield case("nothing kept", bias=rng.normal(size=(2, 3)), keep=[[0, 0, 0]], zero=everything)
    for causal in ("top_left", "bottom_right"):
        for q, k in ((2, 4), (4, 2)):
            yield case(f"causal {causal}, {q} queries, {k} keys", q, k, causal=causal)
        yield case(f"causal {causal}, window", 3, 4, causal=causal, window=1)
    yield case("causal and kept", 3, 3, causal="top_left", keep=[[1, 1, 1], [0, 1, 1], [1, 0, 1]])
    for window in (0, (2, 1), (None, 1), (0, None)):
        yield case(f"window {window}", 4, 3, window=window)
    yield case("soft cap, nearly reached", 2, 3, size=5.0, soft_cap=3.0, keep=[[1, 0, 1], [0, 0, 0]])
    yield case("dropout", drop=[[[1, 0, 1], [0, 0, 0]], [[0, 0, 1], [1, 1, 1]]], dropout_rate=0.25)
    yield case("dropped weights", keep=[[1, 1, 0]], drop=[[1, 0, 1]], dropout_rate=0.5, dropped_weights=True)
    yield case("keep means drop", keep=[[1, 0, 0], [1, 1, 1]], keep_means="drop")
    for told in ({"fill": -1e9}, {"fill": -3.0}, {"penalty": -1e4}, {"penalty": -2.0}):
        none = [[0, 0, int(told == {"penalty": -1e4})], [0, 1, 1]]  # a softmax of -1e4 has lost four digits
        yield case(f"{told}", keep=none, bias=rng.normal(size=(2, 3)), drop=[[1, 1, 0]], **told)
        yield case(f"{told}, causal", 3, 3, causal="top_left", soft_cap=2.0, **told)
    yield case("one of everything", 1, 1, 1, 1)
    yield case("no keys", k=0, bias=rng.normal(size=(2, 0)), zero=everything)
    yield case("no queries", q=0, zero=everything)
    yield case("sharp", bias=rng.normal(size=(2, 3)) + [[28.0, 0.0, 0.0], [0.0, -30.0, 0.0]])
    yield case("logits of ten thousand", size=100.0, ill=True)
    yield case("close logits of ten thousand", around=100.0, size=0.01, ill=True)
    yield case("logits of minus ten thousand", bias=rng.normal(size=(2, 3)) - 1e4, ill=True)
    scale, cap = rng.uniform([0.3, 1.3], [0.4, 1.4])
    yield case("numbers of NumPy's precision", scale=scale, soft_cap=cap, bias=rng.normal(size=(2, 3)))


def weights_sum_to_one_or_the_row_is_empty(inputs, params, out):
    total, something = out.weights.sum(-1), (out.weights > 0).any(-1)
    assert (out.weights >= 0).all() and (out.out[~something] == 0).all()
    if not params.get("dropped_weights"):
        assert abs(total - something).max(initial=0.0) < 1e-14 and (out.log_sum_exp[~something] == 0).all()


def no_query_sees_a_later_key(inputs, params, out):
    if params.get("causal") and not {"fill", "penalty"} & params.keys():
        q, k = out.weights.shape[-2:]
        shift = k - q if params["causal"] == "bottom_right" else 0
        assert all((out.weights[..., i, max(i + shift + 1, 0) :] == 0).all() for i in range(q))


def nan_spreads_as_stated(inputs, params, out):
    """To all who attend to it, be the weight zero in floats, and to nobody else; and back likewise."""
    query, key, value, _, *kept = inputs
    if out.weights.size and not {"fill", "penalty"} & params.keys():
        first, rules = np.arange(key.shape[-2]) == 0, params | {"dropped_weights": True}
        meets = softmax_attention_forward(0 * query, 0 * key, value, None, *kept, **rules)[0][1] > 0
        spoilt, bias = np.where(first[:, None], np.nan, value), np.where(first[None], -1e4, 0.0)
        (found, *rest), saved = softmax_attention_forward(0 * query, 0 * key, spoilt, bias, *kept, **rules)
        assert (np.isnan(found) == meets[..., :1]).all()
        dout = np.where(np.arange(query.shape[-2])[:, None] == 0, np.nan, np.ones(found.shape))
        back = softmax_attention_backward(saved, (dout, *[0 * x for x in rest]))[2][..., 0]
        assert (np.isnan(back) == (sum_to_shape(1.0 * meets[..., 0, :], value.shape[:-1]) > 0)).all()


LEFT, RIGHT, DROPS = {"causal": "top_left"}, {"causal": "bottom_right"}, {"keep_means": "drop"}
VARIANTS: dict[str, tuple[dict, str]] = {
    "torch": ({}, "pytorch torch/nn/functional.py"),
    "labml": ({}, "labmlai/annotated_deep_learning_paper_implementations labml_nn/transformers/mha.py"),
    "torch_is_causal": (LEFT, "pytorch torch/nn/functional.py"),
    "nanogpt": (LEFT, "karpathy/nanoGPT model.py"),
    "llm_c": (LEFT, "karpathy/llm.c train_gpt2.c"),
    "flash_2_0": (LEFT, "Dao-AILab/flash-attention flash_attn/flash_attn_interface.py, 2.0"),
    "flash_attention": (RIGHT, "Dao-AILab/flash-attention flash_attn/flash_attn_interface.py, from 2.1 on"),
    "torch_multi_head": (DROPS | {"dropped_weights": True}, "pytorch torch/nn/modules/activation.py"),
    "universal_transformer_pytorch": (DROPS, "andreamad8/Universal-Transformer-Pytorch common_layer.py"),
    "annotated": ({"fill": -1e9}, "harvardnlp/annotated-transformer the_annotated_transformer.py"),
    "keras_transformer": (LEFT | {"fill": -1e9}, "kpot/keras-transformer keras_transformer/attention.py"),
    "gpt_2": (RIGHT | {"fill": -1e10}, "openai/gpt-2 src/model.py"),
    "picogpt": (LEFT | {"penalty": -1e10}, "jaymody/picoGPT gpt2.py"),
    "bert": ({"penalty": -1e4}, "google-research/bert modeling.py"),
    "t5": ({"scale": 1.0}, "huggingface/transformers src/transformers/models/t5/modeling_t5.py"),
    "gemma_2": ({"soft_cap": 50.0}, "google/gemma_pytorch gemma/model.py"),
}

softmax_attention = register(
    Op(
        name="softmax_attention",
        signature="query(q,d), key(k,d), value(k,v), bias?(q|1,k|1), keep?!(q|1,k|1), "
        "dropout_keep?!(q|1,k|1) -> out(q,v), weights(q,k), log_sum_exp(q)",
        forward=softmax_attention_forward,
        backward=softmax_attention_backward,
        loops=softmax_attention_loops,
        cases=cases,
        passive={"keep": "boolean", "dropout_keep": "boolean"},
        properties=(weights_sum_to_one_or_the_row_is_empty, no_query_sees_a_later_key, nan_spreads_as_stated),
        variants=tuple(Variant(name, *what) for name, what in VARIANTS.items()),
        source="arXiv:1706.03762 eq. 1",
    )
)
