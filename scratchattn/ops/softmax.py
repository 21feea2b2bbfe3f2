"""Softmax and its logarithm: n logits as weights that sum to one.

Forward
-------
    a_i = exp(z_i) / sum_j exp(z_j)                     softmax; sums over what ``keep`` keeps
    l_i = z_i - log sum_j exp(z_j)                      log_softmax

A common shift of the logits changes nothing; with w the winner (the first largest logit), e_j =
exp(z_j - z_w) is at most one, e_w is one, and no row overflows.

Backward
--------
    da_i/dz_j = a_i (delta_ij - a_j)      g(z_i) = a_i (g(a_i) - sum_j a_j g(a_j))
    dl_i/dz_j = delta_ij - a_j            g(z_i) = g(l_i) - a_i sum_j g(l_j)

Both gradients sum to zero: a shift of the logits changes nothing.

Accuracy
--------
Where one weight is close to one its own rows cancel.  Softmax takes its cotangent relative to the
winner's (see ``calculus``).  In log_softmax, let r = sum_{j != w} e_j, so that a_w = 1 / (1 + r):

    l_i    = (z_i - z_w) - log(1 + r)                           log1p: l_w = -r and not 0
    g(z_w) = (r g(l_w) - sum_{j != w} g(l_j)) / (1 + r)         1 - a_w is r / (1 + r)

So a logit that wins by 50 still learns by how much.

Conventions
-----------
``keep`` true means attend, and what is not kept is never read: NaN there changes nothing.  A row
with nothing kept (or of length zero) has the weights 0 and takes no gradient.  Elsewhere such a
row is uniform (-1e9 or the lowest float filled in, annotated-transformer), the *unmasked* softmax
(-10000 added, google-research/bert), or NaN (-inf, karpathy/nanoGPT).  The last axis is normalised.
Without the shift, as in MarkPKCollier/NeuralTuringMachine, the same overflows from logits of 89 on in
float32, 710 in float64.
Cotangents of what is not kept are ignored.

Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs",
Neurocomputing, NATO ASI F68 (1990) 227; masked: Vaswani et al., arXiv:1706.03762, section 3.2.3.
"""

from ..backend import arange_like, array_module, gather, real, sum_to_shape
from ..calculus import exponentials
from ..calculus import softmax as _softmax
from ..calculus import softmax_backward as _softmax_backward
from ..op import Case, Op, register


def softmax_forward(logits, keep=None):
    """Weights over the last axis: (..., n), booleans (..., n) or (..., 1) or None -> (..., n)."""
    xp = array_module(logits, keep)
    kept = logits if keep is None else xp.where(keep, logits, 0)  # also broadcasts one to the other
    weights, winner = _softmax(xp, kept, keep)
    return weights, (logits.shape, keep, weights, winner)


def softmax_backward(saved, dweights):
    """The gradient for logits, given dweights of shape (..., n)."""
    shape, keep, weights, winner = saved
    xp = array_module(weights, dweights)
    if keep is not None:
        dweights = xp.where(keep, dweights, 0)
    return (sum_to_shape(_softmax_backward(xp, weights, winner, dweights), shape),)


def softmax_loops(logits, keep=None, *, math):
    """One row, as written."""
    n = len(logits)
    kept = [i for i in range(n) if keep is None or keep[i]]
    weights = [0.0] * n
    for i in kept:
        weights[i] = math.exp(logits[i]) / sum(math.exp(logits[j]) for j in kept)
    return weights


def log_softmax_forward(logits):
    """Logarithms of the weights over the last axis: (..., n) -> (..., n)."""
    xp = array_module(logits)
    if logits.shape[-1] == 0:
        return logits + 0, None
    e, _, winner = exponentials(xp, logits)
    wins = _wins(logits, winner)
    others = xp.where(wins, 0, e)
    rest = xp.sum(others, axis=-1, keepdims=True)  # what the winner's one is added to
    out = logits - xp.take_along_axis(logits, winner, axis=-1) - xp.log1p(rest)
    return out, (wins, others, rest)


def log_softmax_backward(saved, dout):
    """The gradient for logits, given dout of shape (..., n)."""
    if saved is None:  # rows of no entries
        return (dout,)
    wins, others, rest = saved
    xp = array_module(others, dout)
    dwinner = xp.sum(xp.where(wins, dout, 0), axis=-1, keepdims=True)
    dothers = xp.sum(xp.where(wins, 0, dout), axis=-1, keepdims=True)
    total = 1 + rest
    return (
        xp.where(wins, (rest * dwinner - dothers) / total, dout - others * ((dwinner + dothers) / total)),
    )


def log_softmax_loops(logits, *, math):
    """One row: l_i is minus the logarithm of 1 / a_i."""
    return [-math.log(sum(math.exp(other - own) for other in logits)) for own in logits]


def _wins(logits, winner):
    """True at the winner of each row, and there alone, also where several logits are equal."""
    place = arange_like(logits, logits.shape[-1])
    return real(place) == real(gather(place, winner))


# ---- evidence ---------------------------------------------------------------


def softmax_cases(rng):
    z = rng.normal(size=(2, 4))
    keep = rng.permutation([True, True, True, False]) & [[True] * 4, [True, False, True, True]]
    yield Case("one row", (z[0], None))
    yield Case("batch", (rng.normal(size=(2, 1, 3)), None))
    yield Case("sharp", (25 * z, None))
    yield Case("equal logits", (z * 0 + 3.0, None))
    yield Case("extreme", (_row(rng, 1e4, 1e4 - 1, -1e4, -1e4, 9e3), None))
    yield Case("all at -2e4", (z - 2e4, None))
    yield Case("one entry", (z[:, :1], None), zero_gradient=("logits",))
    yield Case("no entry", (z[:, :0], None), zero_gradient=("logits",))
    yield Case("no row", (z[:0], None), zero_gradient=("logits",))
    yield Case("masked", (z, keep))
    yield Case("the winner is masked", (_row(rng, 90.0, 1.0, 2.0, 0.5), _row(rng, 0, 1, 1, 1) > 0))
    yield Case("one mask for all rows", (rng.normal(size=(2, 2, 3)), _row(rng, 1, 0, 1) > 0))
    yield Case("masks for one row", (z[0], keep | [[True] + [False] * 3]))
    yield Case("one row of two fully masked", (z, _row(rng, 1, 0).reshape(2, 1) > 0))
    yield Case("fully masked", (_row(rng, 3.0, 5.0, -2.0), _row(rng, 0, 0, 0) > 0), zero_gradient=("logits",))
    yield Case("one entry kept", (z[0], _row(rng, 0, 0, 1, 0) > 0), zero_gradient=("logits",))
    nan = float("nan")
    yield Case("NaN behind the mask", (_row(rng, nan, 1.0, 2.0, nan), _row(rng, 0, 1, 1, 0) > 0))
    yield Case("NaN in a row fully masked", ([z[0], z[0] * nan] + z * 0, _row(rng, 1, 0).reshape(2, 1) > 0))


def log_softmax_cases(rng):
    z = rng.normal(size=(2, 4))
    yield Case("one row", (z[0],))
    yield Case("batch", (rng.normal(size=(2, 1, 3)),))
    yield Case("sharp", (25 * z,))
    yield Case("won by 50", (_row(rng, 50.0, 0.0, -1.0, 1.0),))
    yield Case("equal logits", (z * 0 + 3.0,))
    yield Case("two winners", (_row(rng, 40.0, 0.0, 40.0, 1.0),))
    yield Case("extreme", (_row(rng, 1e4, 1e4 - 30, -1e4, 9e3),))
    yield Case("all at -2e4", (z - 2e4,))
    yield Case("one entry", (z[:, :1],), zero_gradient=("logits",))
    yield Case("no entry", (z[:, :0],), zero_gradient=("logits",))
    yield Case("no row", (z[:0],), zero_gradient=("logits",))


def _row(rng, *numbers):
    return rng.random(len(numbers)) * 0 + numbers


def weights_are_a_distribution_or_nothing(inputs, params, weights):
    total = weights.sum(axis=-1)
    empty = (total == 0) if inputs[1] is None else ~(inputs[1] & (weights == weights)).any(axis=-1)
    assert (weights >= 0).all()
    assert (abs(total - 1)[~empty] < 1e-15 * 8).all() and (total[empty] == 0).all()
    assert inputs[1] is not None or inputs[0].shape[-1] == 0 or not empty.any()


def gradients_of_the_logits_sum_to_zero(inputs, params, weights):
    _, saved = softmax_forward(*inputs)
    dweights = weights * 0 + arange_like(weights, weights.shape[-1])
    dlogits = softmax_backward((weights.shape, *saved[1:]), dweights)[0]
    assert (abs(dlogits.sum(axis=-1)) <= 1e-15 * (1 + abs(dlogits).sum(axis=-1))).all()


def a_shift_of_the_logits_changes_nothing(inputs, params, weights):
    shifted, _ = softmax_forward(inputs[0] + 1024.0, *inputs[1:])
    assert (abs(shifted - weights) <= 1e-10 * weights + 1e-300).all()


def entries_are_interchangeable(inputs, params, weights):
    logits, keep = inputs
    flipped, _ = softmax_forward(logits[..., ::-1], None if keep is None else keep[..., ::-1])
    assert (abs(flipped[..., ::-1] - weights) <= 1e-15 * weights).all()


def what_is_not_kept_is_never_read(inputs, params, weights):
    logits, keep = inputs
    if keep is None:
        return
    for poison in (float("nan"), float("inf"), -float("inf"), 1e308):
        poisoned = logits + weights * 0
        poisoned[~keep & (weights == weights)] = poison
        assert (softmax_forward(poisoned, keep)[0] == weights).all()
        spoilt = weights * 0 + 1
        spoilt[~keep & (weights == weights)] = poison
        dlogits = softmax_backward(softmax_forward(poisoned, keep)[1], spoilt)[0]
        assert (dlogits[~keep & (weights == weights)] == 0).all() and (abs(dlogits) <= 1e-15).all()


def weights_from_logarithms_sum_to_one(inputs, params, out):
    if out.shape[-1]:
        total = array_module(out).exp(out).sum(axis=-1)
        assert (abs(total - 1) < 1e-15 * 8).all() and (out <= 0).all()


def a_logit_that_wins_still_learns_by_how_much(inputs, params, out):
    """Its loss equals, to all digits, what is left for the others."""
    nothing = out.sum() * 0
    for gap in (40.0, 50.0, 300.0):
        row = nothing + [gap, 0.0]
        value, saved = log_softmax_forward(row)
        left = softmax_forward(row)[0][1]
        assert abs(value[0] + left) <= 1e-15 * left
        assert abs(log_softmax_backward(saved, nothing + [1.0, 0.0])[0] - [left, -left]).max() <= 1e-15 * left


softmax = register(
    Op(
        name="softmax",
        signature="logits(n), keep?!(n|1) -> weights(n)",
        forward=softmax_forward,
        backward=softmax_backward,
        loops=softmax_loops,
        cases=softmax_cases,
        passive={"keep": "boolean"},
        properties=(
            weights_are_a_distribution_or_nothing,
            gradients_of_the_logits_sum_to_zero,
            a_shift_of_the_logits_changes_nothing,
            entries_are_interchangeable,
            what_is_not_kept_is_never_read,
        ),
        source="Bridle 1990; arXiv:1706.03762 section 3.2.3",
    )
)
log_softmax = register(
    Op(
        name="log_softmax",
        signature="logits(n) -> out(n)",
        forward=log_softmax_forward,
        backward=log_softmax_backward,
        loops=log_softmax_loops,
        cases=log_softmax_cases,
        properties=(weights_from_logarithms_sum_to_one, a_logit_that_wins_still_learns_by_how_much),
        source="Bridle 1990",
    )
)
