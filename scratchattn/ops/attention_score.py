"""Scores without parameters: how well each of ``q`` queries fits each of ``k`` keys of the same width.

What a softmax over the keys turns into attention.

Forward
-------
    dot                          s_ij = scale  Q_i . K_j
    cosine                       s_ij = scale  Q_i . K_j / H(|Q_i| |K_j|)
    negative_squared_distance    s_ij = -scale  sum_c (Q_ic - K_jc)^2

and all of it over sqrt(d) if ``over_root_width``.  H keeps the denominator from zero; all that are in use,
with the length that each measures, are derived in ``cosine_addressing``.

Backward
--------
Write g(x) for dL/dx and t_ij = scale g(s_ij), over sqrt(d) too if need be.  The product gives

    g(Q_i) = sum_j t_ij K_j                          g(K_j) = sum_i t_ij Q_i

the distance, from d(Q_ic - K_jc)^2 = 2 (Q_ic - K_jc) (dQ_ic - dK_jc),

    g(Q_ic) = -2 sum_j t_ij (Q_ic - K_jc)            g(K_jc) = 2 sum_i t_ij (Q_ic - K_jc)

and the cosine c, where H is the product of the lengths, with q_ij = t_ij / (|Q_i| |K_j|),

    g(Q_i) = sum_j q_ij K_j - Q_i / |Q_i|^2 sum_j t_ij c_ij          and alike for K_j

Accuracy
--------
The distance is summed from the differences, not taken apart into |Q|^2 + |K|^2 - 2 Q.K, which cancels for
close vectors and may come out negative.  It costs an array (q, k, d).  In the cosine of the form "none"
vectors are first divided by their largest entry, so that no length underflows or overflows.

Conventions
-----------
    dot                           Luong, OpenNMT, T5; Vaswani et al. and most since: over sqrt(d)
    cosine, lengths="none"        NTM paper
    cosine, lengths="clamped"     PyTorch (eps 1e-8), Swin V2 (1e-12): each length is at least eps
    cosine, lengths="normalised"  TensorFlow's l2_normalize: each squared length is at least eps
    negative_squared_distance     prototypical networks; scale 1/2: Nadaraya and Watson with a Gaussian
                                  kernel of width one; L2 self-attention: over sqrt(d)

A vector of length zero has the cosine 0 with every other, in every form, and the gradient by it is the
form's own: zero for "none", which has no derivative there, and the other vector over eps where eps is in
the denominator.  A temperature, learned (Swin V2) or not, multiplies the scores: that is the caller's
business.  AllenNLP's cosine adds its eps to each length, which is none of the forms.

A score knows of no keep: it is NaN where its query or its key is, and NaN in a key reaches the gradient of
every query.  ``softmax_attention`` and ``additive_attention`` select before they score.

Source: Luong, Pham, Manning, arXiv:1508.04025, eq. 8 (dot); Vaswani et al., arXiv:1706.03762, eq. 1 (scaled);
Graves, Wayne, Danihelka, arXiv:1410.5401, eq. 6 (cosine); Snell, Swersky, Zemel, arXiv:1703.05175, eq. 2.
"""

import math

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, Variant, register
from ..similarity import FORMS as LENGTHS
from ..similarity import cosine, cosine_backward

FORMS = ("dot", "cosine", "negative_squared_distance")


def attention_score_forward(
    query, key, *, form="dot", scale=1.0, over_root_width=False, lengths="none", eps=1e-6
):
    """Scores (..., q, k) of queries (..., q, d) and keys (..., k, d).

    ``form`` is one of dot, cosine and negative_squared_distance.  ``lengths``, a form of
    ``cosine_addressing``, and its ``eps`` (positive) are read by the cosine alone.  ValueError for others.
    """
    xp = array_module(query, key)
    _refuse(form, lengths, eps)
    scale = scale / math.sqrt(query.shape[-1] or 1) if over_root_width else scale
    if form == "cosine":
        similarity, parts = cosine(xp, query, key, lengths, eps)
        return similarity * scale, (form, scale, similarity, parts)
    if form == "dot":
        return xp.matmul(query, xp.matrix_transpose(key)) * scale, (form, scale, query, key)
    difference = xp.expand_dims(query, axis=-2) - xp.expand_dims(key, axis=-3)  # (..., q, k, d)
    score = xp.sum(difference * difference, axis=-1) * -scale
    return score, (form, scale, difference, (query.shape, key.shape))


def attention_score_backward(saved, dscore):
    """Gradients for query and key, given dscore of shape (..., q, k)."""
    form, scale, first, second = saved
    xp = array_module(dscore)
    dscore = dscore * scale
    if form == "cosine":
        return cosine_backward(xp, second, first, dscore)
    if form == "dot":
        query, key = first, second
        dquery, dkey = xp.matmul(dscore, key), xp.matmul(xp.matrix_transpose(dscore), query)
        return sum_to_shape(dquery, query.shape), sum_to_shape(dkey, key.shape)
    pulled = first * (2 * xp.expand_dims(dscore, axis=-1))
    dquery, dkey = -xp.sum(pulled, axis=-2), xp.sum(pulled, axis=-3)
    return sum_to_shape(dquery, second[0]), sum_to_shape(dkey, second[1])


def attention_score_loops(
    query, key, *, form="dot", scale=1.0, over_root_width=False, lengths="none", eps=1e-6, math=math
):
    """One pair at a time; each denominator of the cosine as its authors write it."""
    root, width = math.sqrt, query.shape[-1]
    denominator = {
        "none": lambda qq, kk: root(qq) * root(kk),
        "added": lambda qq, kk: root(qq) * root(kk) + eps,
        "smoothed": lambda qq, kk: root((qq + eps) * (kk + eps)),
        "smoothed_added": lambda qq, kk: root((qq + eps) * (kk + eps)) + eps,
        "smoothed_product": lambda qq, kk: root(qq * kk + eps),
        "clamped_product": lambda qq, kk: max(root(qq * kk), eps),
        "clamped": lambda qq, kk: max(root(qq), eps) * max(root(kk), eps),
        "normalised": lambda qq, kk: root(max(qq, eps)) * root(max(kk, eps)),
    }[lengths]
    scores = []
    for q in query:
        row = []
        for k in key:
            if form == "negative_squared_distance":
                score = -sum((q[c] - k[c]) ** 2 for c in range(width))
            else:
                score = sum(q[c] * k[c] for c in range(width))
            if form == "cosine":
                below = denominator(sum(x * x for x in q), sum(x * x for x in k))
                score = score / below if below else 0
            row.append(score * scale / root(width or 1) if over_root_width else score * scale)
        scores.append(row)
    return scores


def _refuse(form, lengths, eps):
    if form not in FORMS:
        raise ValueError(f"attention_score: form must be one of {', '.join(FORMS)}, got {form!r}")
    if lengths not in LENGTHS:
        raise ValueError(f"attention_score: lengths must be one of {', '.join(LENGTHS)}, got {lengths!r}")
    if form == "cosine" and lengths != "none" and not eps > 0:
        raise ValueError(f"attention_score: eps must be positive with lengths {lengths}, got {eps!r}")


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, q=2, k=3, d=3, *, batch=(), shared=None, size=1.0, around=0.0, zero=(), **rest):
        shapes = (*batch, q, d), (*(batch if shared is None else shared), k, d)
        inputs = tuple([around + size * rng.normal(size=shape) for shape in shapes])
        return Case(label, inputs, rest, zero_gradient=zero)

    def measured(label, *, blank, margin, **params):
        """Lengths on both sides of the clamps; with ``blank``, a zero query and a zero key."""
        query, key = (x / (x * x).sum(-1, keepdims=True) ** 0.5 for x in rng.normal(size=(2, 3, 3)))
        query, key = query[:2] * [[0.4], [1.2]], key * [[0.2], [1.0], [1.5]]
        if blank:
            query[0], key[1] = 0.0, 0.0
        return Case(label, (query, key), {"form": "cosine", **params}, margin=margin)

    both = ("query", "key")
    for form in FORMS:
        yield case(form, form=form)
        yield case(f"{form}, scaled by the width", 1, 2, form=form, over_root_width=True)
        yield case(f"{form}, a batch with shared keys", 1, 2, batch=(2,), shared=(), form=form, scale=0.5)
        yield case(f"{form}, queries shared by a batch", 1, 2, shared=(2,), form=form)
        yield case(f"{form}, no keys", k=0, form=form, zero=both)
        yield case(f"{form}, no queries", q=0, form=form, zero=both)
        yield case(f"{form}, no width", d=0, form=form, over_root_width=True, zero=both)
    yield case("one number each", 1, 1, 1)
    yield case("one number each, cosine", 1, 2, 1, form="cosine", lengths="smoothed", eps=0.5)
    yield case("short, eps as it is by default", size=0.03, form="cosine", lengths="smoothed")
    yield case("scaled twice", 1, 2, scale=0.5, over_root_width=True)
    yield case("a scale of zero", scale=0.0, zero=both)
    yield case("dots of ten thousand", size=100.0)
    yield case("distances of ten thousand", size=100.0, form="negative_squared_distance")
    yield case("close but far out", size=1e-3, around=1e3, form="negative_squared_distance")
    same = rng.normal(size=(2, 3))
    yield Case("some distances of zero", (same, same + 0.0), {"form": "negative_squared_distance"})
    for lengths in LENGTHS:
        kinks = {"clamped": 0.1, "normalised": 0.1, "clamped_product": 0.01}
        eps = 0.25 if lengths == "normalised" else 0.5
        yield measured(f"cosine {lengths}", blank=False, margin=kinks.get(lengths), lengths=lengths, eps=eps)
        kinks = {"added": 1e-12, "none": 0, "clamped": 1e-3, "normalised": 1e-2, "clamped_product": 1e-3}
        label, margin = f"cosine {lengths}, zero query, zero key", kinks.get(lengths)
        yield measured(label, blank=True, margin=margin, lengths=lengths, eps=1e-2)


def keys_are_interchangeable(inputs, params, score):
    query, key = inputs
    flipped, _ = attention_score_forward(query, key[..., ::-1, :], **params)
    assert (abs(flipped[..., ::-1] - score) <= 1e-13 * abs(score).max(initial=0.0)).all()


def query_and_key_change_places(inputs, params, score):
    query, key = inputs
    swapped, _ = attention_score_forward(key, query, **params)
    assert (abs(swapped.swapaxes(-1, -2) - score) <= 1e-13 * abs(score).max(initial=0.0)).all()


def a_cosine_is_at_most_one_and_a_distance_at_least_zero(inputs, params, score):
    if params.get("form") == "cosine":
        assert (abs(score) <= 1 + 1e-14).all()
    if params.get("form") == "negative_squared_distance":
        assert (score <= 0).all()
        nearest, _ = attention_score_forward(inputs[0], inputs[0], **params)
        assert (nearest[..., :1, :1] == 0).all()


def a_bare_cosine_knows_only_directions(inputs, params, score):
    query, key = inputs
    plain, _ = attention_score_forward(query, key, form="cosine")
    scaled, _ = attention_score_forward(7e200 * query, 3e-200 * key, form="cosine")
    assert abs(scaled - plain).max(initial=0.0) <= 1e-13


def a_vector_without_length_has_the_cosine_zero(inputs, params, score):
    if params.get("form") == "cosine":
        for query, key in ((inputs[0] * 0, inputs[1]), (inputs[0], inputs[1] * 0)):
            assert (attention_score_forward(query, key, **params)[0] == 0).all()


attention_score = register(
    Op(
        name="attention_score",
        signature="query(q,d), key(k,d) -> score(q,k)",
        forward=attention_score_forward,
        backward=attention_score_backward,
        loops=attention_score_loops,
        cases=cases,
        properties=(
            keys_are_interchangeable,
            query_and_key_change_places,
            a_cosine_is_at_most_one_and_a_distance_at_least_zero,
            a_bare_cosine_knows_only_directions,
            a_vector_without_length_has_the_cosine_zero,
        ),
        variants=(
            Variant("luong_dot", {"form": "dot"}, "OpenNMT/OpenNMT-py onmt/modules/global_attention.py"),
            Variant("scaled_dot", {"over_root_width": True}, "pytorch torch/nn/functional.py"),
            Variant("cosine", {"form": "cosine"}, "arXiv:1410.5401 eq. 6"),
            Variant(
                "torch_cosine",
                {"form": "cosine", "lengths": "clamped", "eps": 1e-8},
                "torch.nn.functional.cosine_similarity, 2.13",
            ),
            Variant(
                "swin_v2",
                {"form": "cosine", "lengths": "clamped", "eps": 1e-12},
                "microsoft/Swin-Transformer models/swin_transformer_v2.py",
            ),
            Variant(
                "l2_normalize",
                {"form": "cosine", "lengths": "normalised", "eps": 1e-12},
                "tensorflow/tensorflow tensorflow/python/ops/nn_impl.py",
            ),
            Variant(
                "prototypical",
                {"form": "negative_squared_distance"},
                "jakesnell/prototypical-networks protonets/models/utils.py",
            ),
            Variant(
                "nadaraya_watson",
                {"form": "negative_squared_distance", "scale": 0.5},
                "Watson, Sankhya A 26 (1964) 359, with a Gaussian kernel of width one",
            ),
            Variant(
                "l2_self_attention",
                {"form": "negative_squared_distance", "over_root_width": True},
                "Kim, Papamakarios, Mnih, arXiv:2006.04710",
            ),
        ),
        source="arXiv:1508.04025 eq. 8; arXiv:1706.03762 eq. 1; arXiv:1410.5401 eq. 6; arXiv:1703.05175",
    )
)
