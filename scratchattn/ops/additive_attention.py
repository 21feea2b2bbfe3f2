"""Additive attention (Bahdanau): ``q`` queries are scored against ``k`` keys by a small network.

Each takes the mean of the values, weighted by the softmax of its scores.

Forward
-------
    s_ij = v . tanh(Q_i W + K_j U + b)                  score: see ``additive_score``
    P_ij = exp(s_ij) / sum_j exp(s_ij)                  over the keys j that i attends to
    C_i  = sum_j P_ij V_j                               context

W is ``query_weights``, U ``key_weights`` and v ``vector``.  What is None is left out: without U the keys are
taken as projected already, once for all steps of a decoder.  In the paper Q_i is the state of the decoder
before step i, and keys and values are both the annotations of the source.

Backward
--------
Write g(x) for dL/dx.  Context and weights pull on P, and through the softmax on the scores,

    g(V_j)  = sum_i P_ij g(C_i)            G_ij = g(C_i) . V_j + g(P_ij)
    g(s_ij) = P_ij (G_ij - sum_m P_im G_im)

and with h_ij what tanh is taken of, z_ij = tanh(h_ij) and z' = 1 - z^2,

    g(v) = sum_ij g(s_ij) z_ij             g(h_ij) = g(s_ij) v z'_ij            g(b) = sum_ij g(h_ij)
    g(Q_i) = (sum_j g(h_ij)) W^T           g(W) = sum_i Q_i^T sum_j g(h_ij)
    g(K_j) = (sum_i g(h_ij)) U^T           g(U) = sum_j K_j^T sum_i g(h_ij)

v = 0 is a start at uniform attention: all scores are equal and g(h) is zero, so that at first only v learns.

Accuracy
--------
Slopes are made from exponentials, scores and G are taken relative to the winner's (``calculus``): nothing
cancels in a saturated unit or a sharp row.  So are z and z' in sums over j, since sum_j g(s_ij) = 0: a unit
may be nearly the same for all keys.  Two arrays (q, k, a) are kept, a the width of the hidden layer.

Conventions
-----------
Who projects what, with which bias and activation, stands in ``additive_score``.  The softmax:

                            exponentials of          a key left out         nothing to attend to
    here                    s less the winner's      is not read            zeros, no gradient
    dl4mt                   s                        exp(s) times 0         0 / 0
    Nematus                 s less the largest,      exp(s) times 0         0 / 0
                            of masked keys too
    OpenNMT-py, Joey NMT,
    TensorFlow Addons       s less the largest       -infinity filled in    NaN
    d2l                     s less the largest       -1e6 filled in         the mean of all values
    Keras                   s less the largest       1e9 subtracted         as if all were kept, rounded

``shifted=False`` is dl4mt's: the same weights while scores stay below 709 (in float32 88), NaN beyond, and
NaN where all of them are below -745 (-103).  Scores are at most sum_u |v_u|, so only a long v gets there.

``keep``: True attends.  A query that attends to nothing, or finds no keys at all, has weights and context of
zero, and no gradient.  What keep excludes is never read, so NaN there reaches no output and no gradient;
NaN that is attended to makes NaN of all that it enters, among it the gradients of W, U, v and b.

Source: Bahdanau, Cho, Bengio, arXiv:1409.0473, section 3.1 and appendix A.1.2.
"""

import numpy as np

from ..backend import array_module, real, sum_to_shape
from ..calculus import (
    attended_sum,
    select,
    softmax,
    softmax_backward,
    stretched,
    without_the_unattended,
)
from ..op import Case, Op, Variant, register
from ..scoring import additive_scores, additive_scores_backward


def additive_attention_forward(
    query, key, value, vector, query_weights=None, key_weights=None, bias=None, keep=None, *,
    activation="tanh", shifted=True,
):  # fmt: skip
    """context (..., q, v), weights (..., q, k).

    query (..., q, d), key (..., k, e), value (..., k, v), vector (..., a).  query_weights (..., d, a),
    key_weights (..., e, a) and bias (..., a) may be None: without weights d, or e, is a.  keep
    (..., q|1, k|1): booleans, True attends, None for all.  ``activation`` is "tanh" or "relu"; ``shifted``
    False takes exponentials of the scores as they are.  ValueError for others.
    """
    inputs = (query, key, value, vector, query_weights, key_weights, bias)
    xp = array_module(*inputs, keep)
    _check(query, key, vector, query_weights, key_weights, activation)
    shapes = [None if x is None else x.shape for x in inputs]
    cores = zip((*inputs, keep), (2, 2, 2, 1, 2, 2, 1, 2))
    batch = stretched(*[x.shape[: x.ndim - core] for x, core in cores if x is not None])
    query, key, value = without_the_unattended(xp, keep, query, key, value)
    scored = (query, key, vector, query_weights, key_weights, bias)
    score, z, slope = additive_scores(xp, scored, keep, activation)
    score = xp.broadcast_to(score, (*batch, query.shape[-2], key.shape[-2]))
    weights, winner = softmax(xp, score, keep)
    weights = weights if shifted else _unshifted(xp, score, keep)
    context = attended_sum(xp, weights, value, keep)
    return (context, weights), (scored, value, z, slope, activation, weights, winner, keep, shapes)


def additive_attention_backward(saved, douts):
    """Gradients for the seven inputs that have one, given those of context and weights."""
    scored, value, z, slope, activation, weights, winner, keep, shapes = saved
    dcontext, dweights = douts
    xp = array_module(weights, dcontext)
    dvalue = attended_sum(xp, weights, dcontext, keep, turned=True)
    dweights = select(xp, keep, xp.matmul(dcontext, xp.matrix_transpose(value)) + dweights)
    dscore = select(xp, keep, softmax_backward(xp, weights, winner, dweights))
    pulled = additive_scores_backward(xp, scored, z, slope, dscore, activation, winner)
    dquery, dkey, *learned = pulled
    grads = (dquery, dkey, dvalue, *learned)
    return tuple([None if shape is None else sum_to_shape(g, shape) for g, shape in zip(grads, shapes)])


def additive_attention_loops(
    query,
    key,
    value,
    vector,
    query_weights=None,
    key_weights=None,
    bias=None,
    keep=None,
    *,
    activation="tanh",
    shifted=True,
    math,
):
    """The paper's equations, one query after the other; a shift changes none of them."""

    def projected(x, weights, unit):
        return x[unit] if weights is None else sum(x[c] * weights[c][unit] for c in range(len(x)))

    contexts, rows = [], []
    for i in range(len(query)):
        e = {}
        for j in range(len(key)):
            if keep is None or keep[i][j]:
                e[j] = 0
                for unit in range(len(vector)):
                    h = projected(query[i], query_weights, unit) + projected(key[j], key_weights, unit)
                    h = h if bias is None else h + bias[unit]
                    e[j] = e[j] + vector[unit] * (math.tanh(h) if activation == "tanh" else h * (h > 0))
        total = sum(math.exp(score) for score in e.values())
        alpha = {j: math.exp(score) / total for j, score in e.items()}
        rows.append([alpha.get(j, 0.0) for j in range(len(key))])
        contexts.append([sum(alpha[j] * value[j][c] for j in alpha) for c in range(value.shape[-1])])
    return contexts, rows


def _unshifted(xp, score, keep):
    """The softmax of what is kept, by exponentials of the scores themselves."""
    e = select(xp, keep, xp.exp(score))
    total = xp.sum(e, axis=-1, keepdims=True)
    if keep is not None:  # a total of zero is a row of nothing only where nothing is kept
        kept = xp.where(keep, xp.ones_like(real(score)), 0)
        total = xp.where(xp.sum(kept, axis=-1, keepdims=True) > 0, total, 1)
    return select(xp, keep, e / total)


def _check(query, key, vector, query_weights, key_weights, activation):
    if activation not in ("tanh", "relu"):
        raise ValueError(f"additive_attention: activation must be 'tanh' or 'relu', got {activation!r}")
    for name, x, weights in (("query", query, query_weights), ("key", key, key_weights)):
        if weights is None and x.shape[-1] != vector.shape[-1]:
            came = f"{name} {x.shape} and vector {vector.shape}"
            raise ValueError(
                f"additive_attention: without {name}_weights the widths must be equal, got {came}"
            )


# ---- evidence ---------------------------------------------------------------

CAPTIONS = "sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning models.py"
NAMES = ("query", "key", "value", "vector", "query_weights", "key_weights", "bias")


def cases(rng):
    def case(label, q=2, k=3, d=2, e=2, v=2, a=2, *, given="WUb", batch=(), shared=(), keep=None, **rest):
        """``given``: which of W, U, b are there; ``shared``: leading axes of all but queries and vector."""
        d, e = d if "W" in given else a, e if "U" in given else a
        query, key = rng.normal(size=(*batch, q, d)), rng.normal(size=(*shared, k, e))
        value, vector = rng.normal(size=(*shared, k, v)), rng.normal(size=a)
        learned = [0.7 * rng.normal(size=(*shared, *shape)) for shape in ((d, a), (e, a), (a,))]
        optional = [x if name in given else None for name, x in zip("WUb", learned)]
        keep = None if keep is None else rng.permutation([0]) < keep
        zero = rest.pop("zero", ())
        return Case(label, (query, key, value, vector, *optional, keep), rest, zero_gradient=zero)

    def placed(label, units, vector=0.0, margin=None, **rest):
        """One query and (keys, units) near ``units``: what it is that the activation is taken of."""
        drawn = case(label, 1, len(units), a=len(units[0]), given="b", **rest)
        query, key, value, v, *optional = drawn.inputs
        query, optional[2] = 0.1 * query, 0.1 * optional[2]
        inputs = (query, 0.1 * key + units, value, v + vector, *optional)
        return Case(label, inputs, drawn.params, margin=margin)

    but_value = [name for name in NAMES if name != "value"]
    yield case("one query, as in the paper", 1, 3, 2, 3, 2, 2, given="WU")
    yield case("a bias", 2, 3, 3, 2, 1, 3)
    yield case("keys projected already", 1, given="Wb")
    yield case("nothing to project", given="", a=3)
    yield case("a batch with one source and one network", 1, batch=(2,))
    yield case("sources and networks of their own", 1, batch=(2,), shared=(2,))
    yield case("one query for two sources", 1, shared=(2,), given="WU")
    yield case("kept pairs, one query with none", 3, 3, keep=[[1, 0, 1], [0, 0, 0], [0, 1, 1]])
    yield case("padded keys", 2, 4, keep=[[1, 1, 0, 0]])
    empty = [[[1, 1, 1, 0]], [[0, 0, 0, 0]]]
    yield case("padded keys of a batch, one source empty", 1, 4, batch=(2,), shared=(2,), keep=empty)
    yield case("padded keys of each item, of one source", 1, 4, keep=empty)
    yield case("padded queries", 3, 3, keep=[[1], [0], [1]])
    unread = case("NaN that nobody attends to", 2, keep=[[1, 0, 1], [0, 0, 0]])
    unread.inputs[0][1] = unread.inputs[1][1] = unread.inputs[2][1] = np.nan
    yield unread
    yield case("nothing kept", keep=[[0, 0, 0]], zero=NAMES)
    yield case("one key", k=1, zero=but_value)
    yield case("one key kept", 1, keep=[[0, 1, 0]], zero=but_value)
    yield case("no keys", k=0, zero=NAMES)
    yield case("no queries", q=0, zero=NAMES)
    yield case("no values", v=0)
    yield case("no hidden units", a=0, zero=but_value)
    yield placed("one hidden unit, one number for a value", [[-1.5], [0.0], [1.0]], v=1)
    yield placed("units saturated each way", [[9.0, -8.0], [-7.0, 8.0], [10.0, 9.0]])
    yield placed("a unit at its end", [[1e4, -1.5], [1e4, 0.0], [1e4, 1.0]])
    yield placed("sharp", [[-1.5, 0.0], [0.0, 1.0], [1.0, -1.5]], [40.0, -25.0])
    blank = case("a vector of zeros", zero=[name for name in but_value if name != "vector"])
    blank.inputs[3][:] = 0.0
    yield blank
    yield case("unshifted", shifted=False)
    yield case("unshifted, kept pairs", 3, keep=[[1, 0, 1], [0, 0, 0], [0, 1, 0]], shifted=False)
    units = [[-1.5, 2.0], [1.5, -2.0], [0.0, 0.0], [2.0, 1.5]]
    yield placed("ReLU", units, keep=[[1, 1, 0, 1]], activation="relu", margin=0.05)


def weights_sum_to_one_or_the_row_is_empty(inputs, params, out):
    total, something = out.weights.sum(-1), (out.weights > 0).any(-1)
    assert (out.weights >= 0).all() and abs(total - something).max(initial=0.0) < 1e-14
    assert (out.context[~something] == 0).all()


def contexts_lie_among_the_values(inputs, params, out):
    assert (abs(out.context) <= np.nanmax(abs(inputs[2]), initial=0.0) * (1 + 1e-14)).all()


def a_vector_of_zeros_attends_to_all_alike(inputs, params, out):
    query, key, value, vector, *rest = inputs
    _, alike = additive_attention_forward(query, key, value, 0 * vector, *rest, **params)[0]
    attended = out.weights > 0
    assert (abs(alike * attended.sum(-1, keepdims=True) - attended) <= 1e-15 * 8).all()


def without_the_shift_small_scores_are_lost(inputs, params, out):
    query, key, value, vector, *rest = inputs
    if out.weights.size and vector.size and not params.get("shifted", True):
        with np.errstate(all="ignore"):
            for far in (1e9, -1e9):
                flat = 0 * query, 0 * key, value, far * vector, *rest
                assert np.isnan(additive_attention_forward(*flat, **params)[0][1]).any()


def keys_are_interchangeable(inputs, params, out):
    query, key, value, *learned, keep = inputs
    turned = keep if keep is None or keep.shape[-1] == 1 else keep[..., ::-1]
    again, _ = additive_attention_forward(
        query, key[..., ::-1, :], value[..., ::-1, :], *learned, turned, **params
    )
    assert (abs(again[0] - out.context) <= 1e-11 * (1 + abs(out.context))).all()
    assert (abs(again[1][..., ::-1] - out.weights) <= 1e-11).all()


additive_attention = register(
    Op(
        name="additive_attention",
        signature="query(q,d), key(k,e), value(k,v), vector(a), query_weights?(d,a), key_weights?(e,a), "
        "bias?(a), keep?!(q|1,k|1) -> context(q,v), weights(q,k)",
        forward=additive_attention_forward,
        backward=additive_attention_backward,
        loops=additive_attention_loops,
        cases=cases,
        passive={"keep": "boolean"},
        properties=(
            weights_sum_to_one_or_the_row_is_empty,
            contexts_lie_among_the_values,
            a_vector_of_zeros_attends_to_all_alike,
            without_the_shift_small_scores_are_lost,
            keys_are_interchangeable,
        ),
        variants=(
            Variant("dl4mt", {"shifted": False}, "nyu-dl/dl4mt-tutorial session2/nmt.py"),
            Variant("image_captioning", {"activation": "relu"}, CAPTIONS),
        ),
        source="arXiv:1409.0473 section 3.1, appendix A.1.2",
    )
)
