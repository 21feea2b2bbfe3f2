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
``keep``: True attends (nn.MultiheadAttention: True drops).  A query that attends to nothing, or finds
no keys at all, gets out = weights = log_sum_exp = 0 and no gradient.  PyTorch's SDPA and
flash-attention agree on out; a fill of -1e9 (The Annotated Transformer) gives such a query the mean of
all values, and -1e4 added (BERT) is added to all its logits and so masks nothing.

What keep, causal or window exclude is never read: NaN there reaches no output and no gradient, not
even if another query attends to it (pytorch #101967: 0 * NaN).  NaN that is attended to makes NaN of all
that it enters; what infinities do there is not specified.

``causal``: no key after the query's place, which is key i for "top_left" (PyTorch's is_causal) and key
i + k - q for "bottom_right": the last query sees all keys (flash-attention since 2.1, GPT-2; a step with
cached keys).  ``window``: (left, right) keys before and after that place, ends and place included, None
without limit, an int for both; 0 is the place alone.  Both hold at once, so right counts for nothing
if causal; a window without causal has the places of "bottom_right" (flash-attention, whose -1 is None
here).  Mistral's window of W keys is (W - 1, 0).

log_sum_exp combines chunks of keys: L = log(e^L1 + e^L2), out = e^(L1 - L) out1 + e^(L2 - L) out2.  A
query that attends to nothing in a chunk has no logarithm (infinities are no numbers here).  Its 0 is a
convention: leave that chunk out for that query; its weights there are all zero.

``bias`` is added after soft_cap (Gemma 2, flash-attention).  Survivors of dropout are not renormalised;
nn.MultiheadAttention returns weights after dropout.  Grouped queries are broadcasting: query
(b, g, r, q, d), key (b, g, 1, k, d).

Source: Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, eq. 1; log_sum_exp: Dao et al.,
"FlashAttention", arXiv:2205.14135, algorithm 1.
"""

import math

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


def softmax_attention_forward(
    query,
    key,
    value,
    bias=None,
    keep=None,
    dropout_keep=None,
    *,
    scale=None,
    causal=None,
    window=None,
    soft_cap=None,
    dropout_rate=0.0,
):
    """out (..., q, v), weights (..., q, k), log_sum_exp (..., q).

    query (..., q, d), key (..., k, d), value (..., k, v); bias (..., q|1, k|1) is added to the logits;
    keep and dropout_keep (..., q|1, k|1) are booleans, True attends and survives.  scale None is
    1 / sqrt(d).  ValueError for a param that is not as described above, and for a dropout_rate without
    dropout_keep.
    """
    xp = array_module(query, key, value, bias, keep, dropout_keep)
    _check(scale, soft_cap, dropout_rate, dropout_keep)
    given = [x for x in (query, key, value, bias, keep, dropout_keep) if x is not None]
    shapes, batch = [x.shape for x in given], stretched(*[x.shape[:-2] for x in given])
    (queries, width), keys = query.shape[-2:], key.shape[-2]
    attend = both(keep, aligned_pairs("softmax_attention", xp, query, queries, keys, causal, window))
    query, key, value = without_the_unattended(xp, attend, query, key, value)
    scale = 1 / math.sqrt(width or 1) if scale is None else float(scale)
    z, slope = select(xp, attend, xp.matmul(query, xp.matrix_transpose(key)) * scale), None
    if soft_cap is not None:
        z, slope = tanh(xp, z / float(soft_cap))
        z = z * float(soft_cap)
    if bias is not None:
        z = z + select(xp, attend, bias)
    z = xp.broadcast_to(z, (*batch, queries, keys))
    weights, winner, log_sum_exp = softmax_and_log_sum(xp, z, attend)
    survive = both(attend, dropout_keep)
    dropped = select(xp, survive, weights) / (1 - dropout_rate)
    out = attended_sum(xp, dropped, value, survive)
    saved = (query, key, value, weights, dropped, winner, slope, attend, survive, scale, dropout_rate)
    return (out, weights, log_sum_exp), (*saved, shapes, bias is not None)


def softmax_attention_backward(saved, douts):
    """Gradients for query, key, value, bias, given those of out, weights and log_sum_exp."""
    query, key, value, weights, dropped, winner, slope, attend, survive, scale, rate, *rest = saved
    (shapes, biased), (dout, dweights, dlog_sum_exp) = rest, douts
    xp = array_module(weights, dout)
    dvalue = attended_sum(xp, dropped, dout, survive, turned=True)
    ddropped = select(xp, survive, xp.matmul(dout, xp.matrix_transpose(value)))
    dweights = select(xp, attend, ddropped / (1 - rate) + dweights)
    dz = softmax_backward(xp, weights, winner, dweights) + weights * xp.expand_dims(dlog_sum_exp, axis=-1)
    dz = select(xp, attend, dz)
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
    out, weights, log_sum_exp = [], [], []
    for i in range(queries):
        place = i if causal == "top_left" else i + keys - queries
        logits = {}
        for j in range(keys):
            excluded = keep is not None and not keep[i][j]
            excluded |= causal is not None and j > place
            excluded |= before is not None and j < place - before
            excluded |= after is not None and j > place + after
            if not excluded:
                score = sum(query[i][c] * key[j][c] for c in range(width))
                score = score / math.sqrt(width) if scale is None else score * scale
                if soft_cap is not None:
                    score = soft_cap * math.tanh(score / soft_cap)
                logits[j] = score if bias is None else score + bias[i][j]
        total = sum(math.exp(logit) for logit in logits.values())
        weights.append([math.exp(logits[j]) / total if j in logits else 0.0 for j in range(keys)])
        log_sum_exp.append(math.log(total) if logits else 0.0)
        survivors = [j for j in logits if dropout_keep is None or dropout_keep[i][j]]
        share = {j: weights[i][j] / (1 - rules.get("dropout_rate", 0)) for j in survivors}
        out.append([sum(share[j] * value[j][c] for j in survivors) for c in range(value_width)])
    return out, weights, log_sum_exp


def _check(scale, soft_cap, dropout_rate, dropout_keep):
    for name, value in (("scale", scale), ("soft_cap", soft_cap)):
        if value is not None and (not isinstance(value, (int, float)) or value != value):
            raise TypeError(f"softmax_attention: {name} must be None or a number, got {value!r}")
    if soft_cap is not None and not soft_cap > 0:
        raise ValueError(f"softmax_attention: soft_cap must be None or positive, got {soft_cap!r}")
    if not 0 <= dropout_rate < 1:
        raise ValueError(f"softmax_attention: dropout_rate must be from 0 to below 1, got {dropout_rate!r}")
    if dropout_rate and dropout_keep is None:
        raise ValueError(f"softmax_attention: dropout_rate {dropout_rate} needs dropout_keep, got None")


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(
        label, q=2, k=3, d=2, v=2, *, batch=(), shared=None, size=1.0, around=0.0, zero=(), ill=False, **rest
    ):
        """``keep`` and ``drop`` are nested ones and zeros; ``zero`` and ``ill`` are the case's own."""
        shared = batch if shared is None else shared
        keep, drop = (rng.permutation([0]) < rest.pop(name, []) for name in ("keep", "drop"))
        inputs = (
            around + size * rng.normal(size=(*batch, q, d)),
            around + size * rng.normal(size=(*shared, k, d)),
            rng.normal(size=(*shared, k, v)),
            rest.pop("bias", None),
            keep if keep.size else None,
            drop if drop.size else None,
        )
        return Case(label, inputs, rest, zero_gradient=zero, ill_conditioned=ill)

    everything = ("query", "key", "value", "bias")
    yield case("one head", 3, 4, 2, 3)
    yield case("a batch of heads", batch=(2,))
    yield case("grouped queries", v=1, batch=(2, 2), shared=(2, 1))
    yield case("query shared by the batch", batch=(), shared=(2,))
    yield case("bias", bias=rng.normal(size=(2, 3)))
    yield case("bias of the keys, for each item of a batch", bias=rng.normal(size=(2, 1, 3)))
    yield case("a scale of one", scale=1.0)
    yield case("kept pairs, one query with none", 3, 3, keep=[[1, 0, 1], [0, 0, 0], [0, 1, 1]])
    yield case("padded keys", 2, 4, bias=rng.normal(size=(2, 4)), keep=[[1, 1, 0, 0]])
    yield case("padded keys of each item, with shared keys", 1, keep=[[[1, 1, 0]], [[0, 0, 0]]])
    yield case("padded queries", 3, 2, keep=[[1], [0], [1]])
    yield case("nothing kept", bias=rng.normal(size=(2, 3)), keep=[[0, 0, 0]], zero=everything)
    for causal in ("top_left", "bottom_right"):
        yield case(f"causal {causal}, fewer queries", 2, 4, causal=causal)
        yield case(f"causal {causal}, fewer keys", 4, 2, causal=causal)
        yield case(f"causal {causal}, window", 3, 4, causal=causal, window=1)
    yield case("causal and kept", 3, 3, causal="top_left", keep=[[1, 1, 1], [0, 1, 1], [1, 0, 1]])
    yield case("window 0", 3, 3, window=0)
    yield case("window of two sides", 4, 4, window=(2, 1))
    yield case("window without a left end", 2, 4, window=(None, 1))
    yield case("window without a right end", 4, 2, window=(0, None))
    yield case("soft cap", size=2.0, soft_cap=1.5, bias=rng.normal(size=(2, 3)))
    yield case("soft cap, nearly reached", 2, 3, size=5.0, soft_cap=3.0, keep=[[1, 0, 1], [0, 0, 0]])
    yield case("dropout", drop=[[[1, 0, 1], [0, 0, 0]], [[0, 0, 1], [1, 1, 1]]], dropout_rate=0.25)
    yield case("dropout of what is kept", keep=[[1, 1, 0]], drop=[[1, 0, 1], [1, 1, 1]], dropout_rate=0.5)
    yield case("one key", k=1)
    yield case("one of everything", 1, 1, 1, 1)
    yield case("no keys", k=0, bias=rng.normal(size=(2, 0)), zero=everything)
    yield case("no queries", q=0, zero=everything)
    yield case("sharp", bias=rng.normal(size=(2, 3)) + [[28.0, 0.0, 0.0], [0.0, -30.0, 0.0]])
    yield case("logits of ten thousand", size=100.0)
    yield case("close logits of ten thousand", around=100.0, size=0.01, ill=True)
    yield case("logits of minus ten thousand", bias=rng.normal(size=(2, 3)) - 1e4, ill=True)


def weights_sum_to_one_or_the_row_is_empty(inputs, params, out):
    total, something = out.weights.sum(-1), (out.weights > 0).any(-1)
    assert (out.weights >= 0).all() and abs(total - something).max(initial=0.0) < 1e-14
    assert (out.out[~something] == 0).all() and (out.log_sum_exp[~something] == 0).all()


def no_query_sees_a_later_key(inputs, params, out):
    if params.get("causal"):  # top left: from the first query on; bottom right: back from the last
        weights = (
            out.weights if params["causal"] == "top_left" else out.weights.swapaxes(-1, -2)[..., ::-1, ::-1]
        )
        assert all((weights[..., i, i + 1 :] == 0).all() for i in range(weights.shape[-2]))


def nan_reaches_only_those_who_attend_to_it(inputs, params, out):
    """In bias, and in each key and value in turn; forward and back."""
    query, key, value, bias, *pairs = inputs
    _, (*_, attend, _, _, _, _, _) = clean = softmax_attention_forward(*inputs, **params)
    if attend is None or query.shape[:-2] != out.weights.shape[:-2]:
        return
    attend = attend | (out.weights < 0)
    bias = 0.0 * attend if bias is None else bias + 0.0 * attend
    bias[~attend] = float("nan")
    clean = (*clean[0], *softmax_attention_backward(clean[1], out)[:3])
    for j in range(key.shape[-2]):
        spoilt = key + 0.0, value + 0.0
        spoilt[0][..., j, :] = spoilt[1][..., j, :] = float("nan")
        again, saved = softmax_attention_forward(query, *spoilt, bias, *pairs, **params)
        again = (*again, *softmax_attention_backward(saved, out)[:3])
        safe = (
            ~attend[..., j],
            ~(attend & attend[..., j : j + 1]).any(-2),
        )  # queries; keys, from their queries
        for a, b, rows in zip(again, clean, [safe[0]] * 4 + [safe[1]] * 2):
            assert (a[rows] == b[rows]).all()


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
        properties=(
            weights_sum_to_one_or_the_row_is_empty,
            no_query_sees_a_later_key,
            nan_reaches_only_those_who_attend_to_it,
        ),
        variants=(
            Variant("torch_is_causal", {"causal": "top_left"}, "pytorch torch/nn/functional.py"),
            Variant("flash_causal", {"causal": "bottom_right"}, "flash-attention flash_attn_interface.py"),
            Variant("unscaled", {"scale": 1.0}, "transformers models/t5/modeling_t5.py"),
            Variant("gemma_2", {"soft_cap": 50.0}, "gemma_pytorch gemma/model.py"),
        ),
        source="arXiv:1706.03762 eq. 1",
    )
)
