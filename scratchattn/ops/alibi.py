"""Linear biases by distance (ALiBi): the further a key, the lower its score, in each head at its own slope.

No positions are added to the inputs: queries and keys know their places from these biases alone.  The
slopes of h heads are ``nn.positions.alibi_slopes``.

Forward
-------
    out_ij = scores_ij - slope D_ij                       query i, key j

D is a distance in keys, which ``distance`` chooses; see Conventions.

Backward
--------
    g(scores_ij) = g(out_ij)        g(slope) = -sum_ij D_ij g(out_ij)

summed over all that shares the slope.  In the paper slopes are constants; learned ones want this.

Accuracy
--------
Distances are whole numbers, exact in float32 up to 2^24.  One product and one difference.

Conventions
-----------
Query i has its place P_i at key i with ``align`` "top_left", else at i + k - q: the last query at the last
key, as with cached keys.

    distance     D_ij         who
    behind       P_i - j      the paper; below zero for later keys, which are for ``causal`` to hide
    both_sides   |P_i - j|    flash-attention without causal, MosaicBERT: for encoders
    from_last    k - 1 - j    MPT
    from_first   -j           ALiBi's own code, BLOOM, flash-attention with causal

A constant on all scores of a query changes none of its weights, so that behind, from_last and from_first
attend alike and differ in log_sum_exp only; ``align`` matters to behind and both_sides.  BLOOM counts
the keys that are not padding, which with padding on the left is another constant.

Scores (..., h, q, k) take slopes (h): one for each of their last leading axis.

Source: Press, Smith, Lewis, "Train short, test long: attention with linear biases enables input length
extrapolation", arXiv:2108.12409, section 3.
"""

from ..backend import arange_like, array_module, real, sum_to_shape
from ..op import Case, Op, Variant, register

DISTANCES = ("behind", "both_sides", "from_last", "from_first")


def alibi_forward(scores, slopes, *, distance="behind", align="bottom_right"):
    """scores - slopes * distance: (..., q, k), (...) -> (..., q, k).

    ValueError for another ``distance`` or ``align`` than above.
    """
    xp = array_module(scores, slopes)
    distances = _distances(xp, scores, distance, align)
    out = scores - xp.expand_dims(xp.expand_dims(slopes, axis=-1), axis=-1) * distances
    return out, (distances, scores.shape, slopes.shape)


def alibi_backward(saved, dout):
    """Gradients for scores and slopes, given dout of shape (..., q, k)."""
    distances, scores_shape, slopes_shape = saved
    xp = array_module(distances, dout)
    dslopes = -xp.sum(dout * distances, axis=(-2, -1))
    return sum_to_shape(dout, scores_shape), sum_to_shape(dslopes, slopes_shape)


def alibi_loops(scores, slopes, *, distance="behind", align="bottom_right", math=None):
    """One pair of a query and a key after the other, the query at key ``own``."""
    queries, keys = scores.shape
    out = []
    for i in range(queries):
        own = i if align == "top_left" else i + keys - queries
        for j in range(keys):
            away = {"from_last": keys - 1 - j, "from_first": -j, "both_sides": max(own - j, j - own)}
            out.append(scores[i][j] - slopes * away.get(distance, own - j))
    return out


def _distances(xp, scores, distance, align):
    """(q, k), or (1, k) where all queries have the same."""
    if distance not in DISTANCES:
        raise ValueError(f"alibi: distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
    if align not in ("top_left", "bottom_right"):
        raise ValueError(f"alibi: align must be 'top_left' or 'bottom_right', got {align!r}")
    queries, keys = scores.shape[-2:]
    key = xp.expand_dims(arange_like(scores, keys), axis=0)
    if distance == "from_first":
        return -key
    if distance == "from_last":
        return keys - 1 - key
    place = xp.expand_dims(arange_like(scores, queries), axis=-1)
    behind = (place if align == "top_left" else place + (keys - queries)) - key
    return behind if distance == "behind" else xp.where(real(behind) < 0, -behind, behind)


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, q, k, *, batch=(), slopes=(), zero=(), **params):
        inputs = rng.normal(size=(*batch, q, k)), rng.gamma(2.0, size=slopes)
        return Case(label, inputs, params, zero_gradient=zero)

    for distance in DISTANCES:
        for q, k in ((3, 3), (2, 4), (4, 2)):
            yield case(f"{distance}, {q} queries, {k} keys", q, k, distance=distance)
    for distance in ("behind", "both_sides"):
        for q, k in ((2, 4), (4, 2)):
            yield case(
                f"{distance}, {q} queries, {k} keys, top left", q, k, distance=distance, align="top_left"
            )
    yield case("heads", 2, 3, batch=(2,), slopes=(2,))
    yield case("heads of a batch", 2, 2, batch=(2, 2), slopes=(2,), distance="both_sides")
    yield case("scores that all heads share", 2, 3, slopes=(2,))
    yield case("a step with cached keys", 1, 4, batch=(2,), slopes=(2,))
    yield case("one query, one key", 1, 1, zero=("slopes",))
    yield case("no key", 2, 0, slopes=(2,), zero=("scores", "slopes"))
    yield case("no query", 0, 3, zero=("scores", "slopes"))
    flat = case("a slope of nothing", 2, 3, batch=(2,), slopes=(2,))
    yield Case(flat.label, (flat.inputs[0], flat.inputs[1] * [0.0, 1.0]))
    yield Case("scores of minus ten thousand", (flat.inputs[0] - 1e4, flat.inputs[1]))


def a_step_further_costs_one_slope(inputs, params, out):
    """Between neighbours behind the query, in every convention alike."""
    scores, slopes = inputs
    flat, _ = alibi_forward(scores * 0, slopes, **params)
    steps = flat[..., 1:] - flat[..., :-1]
    slopes = slopes[..., None, None] + 0 * steps
    if params.get("distance") == "both_sides":
        steps, slopes = abs(steps), abs(slopes)
    assert (abs(steps - slopes) <= 1e-14 * (1 + abs(slopes))).all()


def behind_and_both_sides_agree_on_the_past(inputs, params, out):
    rest = {name: value for name, value in params.items() if name == "align"}
    one, other = (alibi_forward(*inputs, distance=d, **rest)[0] for d in ("behind", "both_sides"))
    past = _distances(array_module(out), out, "behind", rest.get("align", "bottom_right")) >= 0
    assert ((one == other) | ~past).all()


def a_query_at_its_own_key_pays_nothing(inputs, params, out):
    scores, _ = inputs
    if params.get("distance", "behind") in ("behind", "both_sides"):
        shift = 0 if params.get("align") == "top_left" else scores.shape[-1] - scores.shape[-2]
        for i in range(scores.shape[-2]):
            if 0 <= i + shift < scores.shape[-1]:
                assert (out[..., i, i + shift] == scores[..., i, i + shift]).all()


alibi = register(
    Op(
        name="alibi",
        signature="scores(q,k), slopes() -> out(q,k)",
        forward=alibi_forward,
        backward=alibi_backward,
        loops=alibi_loops,
        cases=cases,
        properties=(
            a_step_further_costs_one_slope,
            behind_and_both_sides_agree_on_the_past,
            a_query_at_its_own_key_pays_nothing,
        ),
        variants=(
            Variant("paper", {}, "arXiv:2108.12409 section 3"),
            Variant(
                "authors",
                {"distance": "from_first"},
                "ofirpress/attention_with_linear_biases fairseq/models/transformer.py",
            ),
            Variant(
                "bloom",
                {"distance": "from_first"},
                "huggingface/transformers src/transformers/models/bloom/modeling_bloom.py",
            ),
            Variant(
                "mpt",
                {"distance": "from_last"},
                "huggingface/transformers src/transformers/models/mpt/modeling_mpt.py",
            ),
            Variant(
                "flash_attention",
                {"distance": "both_sides"},
                "Dao-AILab/flash-attention csrc/flash_attn/src/alibi.h",
            ),
            Variant(
                "mosaic_bert",
                {"distance": "both_sides", "align": "top_left"},
                "mosaicml/examples examples/benchmarks/bert/src/bert_layers.py",
            ),
        ),
        source="arXiv:2108.12409 section 3",
    )
)
