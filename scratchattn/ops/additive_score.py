"""Additive scores (Bahdanau): a small network scores each of ``k`` keys for each of ``q`` queries.

``a`` is the width of its one hidden layer.

Forward
-------
    h_ij = Q_i W + K_j U + b          (a) for every pair
    s_ij = v . z_ij,   z_ij = tanh(h_ij)

W is ``query_weights``, U ``key_weights`` and v ``vector``.  What is None is left out: without U the keys are
taken as projected already, once for all steps of a decoder.

Backward
--------
Write g(x) for dL/dx.  With z' = 1 - z^2, the slope of tanh, entry by entry,

    g(v) = sum_ij g(s_ij) z_ij             g(h_ij) = g(s_ij) v z'_ij            g(b) = sum_ij g(h_ij)
    g(Q_i) = (sum_j g(h_ij)) W^T           g(W) = sum_i Q_i^T sum_j g(h_ij)
    g(K_j) = (sum_i g(h_ij)) U^T           g(U) = sum_j K_j^T sum_i g(h_ij)

v = 0 makes all scores zero, and g(h) with them: at first only v learns.

Accuracy
--------
z' is made from exponentials, which keep all digits where 1 - z^2 cancels.  Two arrays (q, k, a) are kept.

Conventions
-----------
                                   W, U    b               activation
    paper, Joey NMT, d2l           yes     no              tanh
    OpenNMT-py "mlp"               yes     with the query  tanh
    dl4mt, Nematus                 yes     with the keys   tanh
    TensorFlow Addons              yes     if normalize    tanh
    PyTorch's seq2seq tutorial     yes     with both       tanh
    keras.layers.AdditiveAttention no      no              tanh
    sgrvinod's image captioning    yes     with both       ReLU

One layer on [query, key] is the same, with W above U.  A number added behind v (dl4mt, PyTorch's tutorial)
changes no softmax over the keys.  normalize=True (TensorFlow Addons) is v = g u / |u|, the caller's to make
of a vector u and a number g.  At the kink of the ReLU the slope is 0.

A score knows of no keep: NaN in a key reaches the gradients of all queries.  ``additive_attention`` selects
before it scores.

Source: Bahdanau, Cho, Bengio, arXiv:1409.0473, appendix A.1.2.
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, Variant, register
from ..scoring import additive_scores, additive_scores_backward


def additive_score_forward(
    query, key, vector, query_weights=None, key_weights=None, bias=None, *, activation="tanh"
):
    """Scores (..., q, k) of queries (..., q, d) and keys (..., k, e).

    vector (..., a); query_weights (..., d, a), key_weights (..., e, a) and bias (..., a) may be None:
    without weights d, or e, is a.  ``activation`` is "tanh" or "relu".  ValueError for others.
    """
    xp = array_module(query, key, vector, query_weights, key_weights, bias)
    inputs = (query, key, vector, query_weights, key_weights, bias)
    _check(inputs, activation)
    score, z, slope = additive_scores(xp, inputs, None, activation)
    return score, (inputs, z, slope, activation)


def additive_score_backward(saved, dscore):
    """Gradients for the six inputs, given dscore of shape (..., q, k); None for what was None."""
    inputs, z, slope, activation = saved
    grads = additive_scores_backward(array_module(z, dscore), inputs, z, slope, dscore, activation)
    return tuple([None if x is None else sum_to_shape(g, x.shape) for g, x in zip(grads, inputs)])


def additive_score_loops(
    query, key, vector, query_weights=None, key_weights=None, bias=None, *, activation="tanh", math
):
    """One pair and one hidden unit at a time."""

    def projected(x, weights, unit):
        return x[unit] if weights is None else sum(x[c] * weights[c][unit] for c in range(len(x)))

    scores = []
    for q in query:
        row = []
        for k in key:
            score = 0
            for unit in range(len(vector)):
                h = projected(q, query_weights, unit) + projected(k, key_weights, unit)
                h = h if bias is None else h + bias[unit]
                score = score + vector[unit] * (math.tanh(h) if activation == "tanh" else h * (h > 0))
            row.append(score)
        scores.append(row)
    return scores


def _check(inputs, activation):
    query, key, vector, query_weights, key_weights, _ = inputs
    if activation not in ("tanh", "relu"):
        raise ValueError(f"additive_score: activation must be 'tanh' or 'relu', got {activation!r}")
    for name, x, weights in (("query", query, query_weights), ("key", key, key_weights)):
        if weights is None and x.shape[-1] != vector.shape[-1]:
            came = f"{name} {x.shape} and vector {vector.shape}"
            raise ValueError(f"additive_score: without {name}_weights the widths must be equal, got {came}")


# ---- evidence ---------------------------------------------------------------

NAMES = ("query", "key", "vector", "query_weights", "key_weights", "bias")


def cases(rng):
    def case(label, q=2, k=3, d=2, e=2, a=2, *, given="WUb", batch=(), shared=(), size=1.0, **rest):
        """``given``: which of W, U, b are there; ``shared``: the leading axes of what is learned."""
        d, e = d if "W" in given else a, e if "U" in given else a
        inputs = [size * rng.normal(size=(*batch, *shape)) for shape in ((q, d), (k, e))]
        inputs.append(rng.normal(size=(*shared, a)))
        learned = [rng.normal(size=(*shared, *shape)) for shape in ((d, a), (e, a), (a,))]
        inputs += [x if name in given else None for name, x in zip("WUb", learned)]
        inputs[2] = inputs[2] * rest.pop("times", 1.0)
        inputs[5] = None if inputs[5] is None else inputs[5] + rest.pop("lift", 0.0)
        return Case(label, tuple(inputs), **rest)

    def kinked(label, place, *size, **rest):
        """Units on for some pairs and off for others: their mean is taken off the input ``place``."""
        inputs = list(case(label, *size, **rest).inputs)
        inputs[place] = inputs[place] - _hidden(inputs)[0].mean((0, 1))
        h, pull = _hidden(inputs)
        return Case(label, tuple(inputs), {"activation": "relu"}, margin=float(abs(h).min() / pull))

    yield case("one query, as in the paper", 1, 3, 2, 3, 2, given="WU")
    yield case("a bias", 2, 2, 3, 2, 3)
    yield case("keys projected already", d=3, given="Wb")
    yield case("queries projected already", 1, e=3, given="U")
    yield case("nothing to project", a=3, given="")
    yield case("a batch with one network", batch=(2,))
    yield case("two networks for the same vectors", 1, 2, shared=(2,))
    yield case("a network for each of a batch", 1, 2, batch=(2,), shared=(2,))
    yield case("one of everything", 1, 1, 1, 1, 1)
    yield case("saturated", size=8.0)
    yield case("all but saturated", 1, size=30.0)
    yield case("extreme", lift=[1e4, -1e4], zero_gradient=[n for n in NAMES if n != "vector"])
    yield case("a vector of zeros", times=0.0, zero_gradient=[n for n in NAMES if n != "vector"])
    yield case("no keys", k=0, zero_gradient=NAMES)
    yield case("no queries", q=0, zero_gradient=NAMES)
    yield case("no hidden units", a=0, zero_gradient=NAMES)
    yield case("queries without width", d=0)
    yield case("keys without width", e=0)
    yield kinked("ReLU", 5)
    yield kinked("ReLU, queries projected already", 0, 2, 3, given="U")


def _hidden(inputs):
    """What the hidden units get, and how much more they may get if all inputs move by one, or by less."""
    query, key, _, query_weights, key_weights, bias = inputs
    h, pull = 0.0 if bias is None else bias, 3.0
    for x, weights, place in ((query, query_weights, -2), (key, key_weights, -3)):
        if weights is not None:
            pull = pull + abs(weights).sum(0).max() + abs(x).sum(-1).max() + x.shape[-1]
            x = x @ weights
        h = h + (x[:, None] if place == -2 else x[None])
    return h, pull


def scores_are_bounded_by_the_vector(inputs, params, score):
    if "activation" not in params:
        assert (abs(score) <= abs(inputs[2]).sum(-1)[..., None, None] * (1 + 1e-15)).all()


def keys_are_interchangeable(inputs, params, score):
    query, key, *learned = inputs
    flipped, _ = additive_score_forward(query, key[..., ::-1, :], *learned, **params)
    assert (abs(flipped[..., ::-1] - score) <= 1e-13 * abs(score).max(initial=0.0)).all()


def scores_are_linear_in_the_vector(inputs, params, score):
    query, key, vector, *learned = inputs
    doubled, _ = additive_score_forward(query, key, -2 * vector, *learned, **params)
    assert (doubled == -2 * score).all()


def hidden_units_are_interchangeable(inputs, params, score):
    query, key, *learned = inputs
    if all(weights is not None for weights in learned[1:3]):
        turned = [None if x is None else x[..., ::-1] for x in learned]
        again, _ = additive_score_forward(query, key, *turned, **params)
        assert (abs(again - score) <= 1e-13 * abs(score).max(initial=0.0)).all()


additive_score = register(
    Op(
        name="additive_score",
        signature="query(q,d), key(k,e), vector(a), query_weights?(d,a), key_weights?(e,a), bias?(a)"
        " -> score(q,k)",
        forward=additive_score_forward,
        backward=additive_score_backward,
        loops=additive_score_loops,
        cases=cases,
        properties=(
            scores_are_bounded_by_the_vector,
            keys_are_interchangeable,
            scores_are_linear_in_the_vector,
            hidden_units_are_interchangeable,
        ),
        variants=(
            Variant(
                "image_captioning",
                {"activation": "relu"},
                "sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning models.py",
            ),
        ),
        source="arXiv:1409.0473 appendix A.1.2",
    )
)
