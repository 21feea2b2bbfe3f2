"""Sharpening: a weighting raised to a power and brought back to the simplex.

A shift that is spread over several offsets blurs a weighting a little each time; a power c, the
sharpness, of one or more undoes it.

Forward
-------
    w'_i = w_i^c / sum_j w_j^c = softmax_i(c log w_i)

Backward
--------
With z_i = c log w_i this is a softmax, so

    g(z_i) = w'_i (g(w'_i) - sum_j w'_j g(w'_j))
    g(w_i) = g(z_i) c / w_i
    g(c)   = sum_i g(z_i) log w_i

A row with w_i = 0 has w'_i = 0 and g(z_i) = 0.  Its g(w_i) is the limit of w'_i c / w_i times the
bracket: zero for c > 1, bracket / sum_j w_j for c = 1.

With e in the denominator, w'_i = softmax_i(z) K with K = S / (S + e) and S = sum_j w_j^c.  Let a be the
softmax; since d log S = sum_i a_i dz_i and dK = K (1 - K) d log S, the bracket becomes

    K (g(w'_i) - sum_j a_j g(w'_j)) + K (1 - K) sum_j a_j g(w'_j)

where 1 - K is taken as e / (S + e).  With e in the base, w + e stands for w everywhere.

Accuracy
--------
Powers are exp(c log(w_i / w_max)): as written, 128 equal weights and c = 22 give 0/0 in float32.  The
cotangent is taken relative to the winner's, which changes nothing in a difference from a mean under
weights that sum to one, and keeps the digits of a sharp row; so is log w_i in g(c), since
sum_i g(z_i) = 0.  With e in the denominator that sum is K (1 - K) sum_j a_j g(w'_j), and is added.

Conventions
-----------
    denominator_eps   w^c / (sum_j w_j^c + e)           1e-16 in loudinthecloud/pytorch-ntm, where it
                      takes half of the mass of 128 equal weights at c = 8.6, and all of it at c = 10;
                      1e-10 in kaishengtai/torch-ntm, the default of torch's nn.Normalize
    base_eps          (w + e)^c / sum_j (w_j + e)^c     1e-6 in ntm-lasagne; Csordas' link sharpening

The others have none.  0^c is 0.  A negative weight (rounding) counts as zero, with zero gradient.  A row
of zeros gives zeros and zero gradients.  For c < 1, outside the paper's range, the gradient by a zero
weight, an infinity, is given as zero.  fumin/ntm cuts the gradients of weights below 2.2e-16, which is
``where(weights < 2.2e-16, stop_gradient(weights), weights)`` before this op.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, eq. 9; in log space as
shawntan/neural-turing-machines has it.
"""

import math

from ..backend import array_module, real, sum_to_shape
from ..op import Case, Op, Variant, register


def sharpening_forward(weights, sharpness, *, denominator_eps=0.0, base_eps=0.0):
    """Sharpened weights: (..., n), (...) -> (..., n).

    ``denominator_eps`` and ``base_eps`` are not negative, else ValueError.
    """
    xp = array_module(weights, sharpness)
    for name, eps in (("denominator_eps", denominator_eps), ("base_eps", base_eps)):
        if not eps >= 0:
            raise ValueError(f"sharpening: {name} must not be negative, got {eps!r}")
    shapes = weights.shape, sharpness.shape
    base = weights + base_eps if base_eps else weights
    power = xp.expand_dims(sharpness, axis=-1)
    if weights.shape[-1] == 0:  # no row, and no winner
        return power * base, (shapes, None, None, None, None, None)
    winner = xp.expand_dims(xp.argmax(real(base), axis=-1), axis=-1)
    largest = xp.take_along_axis(base, winner, axis=-1)
    some = real(largest) > 0  # where not, all is zero
    largest = xp.where(some, largest, 1)
    ratio = base / largest
    live = (real(base) > 0) & (real(ratio) > 0)  # the ratio may have underflowed
    linear = (real(base) == 0) & (real(power) == 1) & some  # w^1 has a slope at zero
    logs = xp.log(xp.where(live, ratio, 1))
    # The winner's own is zero and its tangent too, to the last bit: a quotient's may not be, and beside one
    # dominant row that rounding would be all that the others have.
    logs = logs - xp.take_along_axis(logs, winner, axis=-1)
    powers = xp.where(live, xp.exp(power * logs), xp.where(linear, ratio, 0))
    total = xp.where(some, xp.sum(powers, axis=-1, keepdims=True), 1)
    shares = powers / total
    slope = xp.where(linear, 1 / (largest * total), 0)  # dz_i / dw_i times the share
    slope = xp.where(live, power * shares / xp.where(live, base, 1), slope)
    if not denominator_eps:
        return shares, (shapes, winner, logs, shares, slope, None)
    level = xp.log(largest)
    mass = xp.exp(power * level) * total
    lost = denominator_eps / (mass + denominator_eps)
    plain = mass / (mass + denominator_eps)
    kept = xp.where(real(lost) < 0.5, 1 - lost, plain)  # where little is lost, the tangent of plain cancels
    return shares * kept, (shapes, winner, logs, shares, slope, (level, kept, lost))


def sharpening_backward(saved, dsharpened):
    """Gradients for weights and sharpness, given dsharpened of shape (..., n)."""
    (shape, sharpness_shape), winner, logs, shares, slope, eps = saved
    xp = array_module(shares, dsharpened)
    if winner is None:
        return sum_to_shape(dsharpened, shape), sum_to_shape(xp.sum(dsharpened, axis=-1), sharpness_shape)
    winner = xp.reshape(winner, (1,) * (dsharpened.ndim - winner.ndim) + winner.shape)  # may have fewer heads
    relative = dsharpened - xp.take_along_axis(dsharpened, winner, axis=-1)
    bracket = relative - xp.sum(shares * relative, axis=-1, keepdims=True)
    dsharpness = xp.sum(shares * bracket * logs, axis=-1)
    if eps is not None:
        level, kept, lost = eps
        through_mass = kept * lost * xp.sum(shares * dsharpened, axis=-1, keepdims=True)
        dsharpness = xp.sum(shares * (kept * bracket * logs + through_mass * (level + logs)), axis=-1)
        bracket = kept * bracket + through_mass
    return sum_to_shape(slope * bracket, shape), sum_to_shape(dsharpness, sharpness_shape)


def sharpening_loops(weights, sharpness, *, denominator_eps=0.0, base_eps=0.0, math=math):
    """Eq. 9 as it is written."""
    bases = [w + base_eps for w in weights]
    if not any(b > 0 for b in bases):
        return [0 * b for b in bases]
    powers = [math.exp(sharpness * math.log(b)) if b > 0 else 0 * b for b in bases]
    return [p / (sum(powers) + denominator_eps) for p in powers]


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, power=(1.0, 4.0), *, batch=(), powers=None, n=4, **rest):
        weights = rng.gamma(1.0, size=(*batch, n)) + 0.05
        weights = weights / (1.1 * weights.sum(-1, keepdims=True))
        return Case(label, (weights, rng.uniform(*power, size=batch if powers is None else powers)), **rest)

    def exactly(label, weights, power, **rest):
        weights = rng.uniform(0.99, 1.01, size=len(weights)) * weights
        return Case(label, (weights, rng.uniform(power, power, size=())), **rest)

    yield case("one head")
    yield case("batch of heads", batch=(2, 2))
    yield case("one sharpness for a batch", batch=(3,), powers=())
    yield case("one weighting, two powers", powers=(2,))
    yield case("one weighting, a batch of powers", n=2, powers=(2, 2))
    yield case("one row", n=1, zero_gradient=("weights", "sharpness"))
    yield case("a power of one", (1.0, 1.0))
    yield case("a power below one", (0.3, 0.6))
    yield case("sharp", (20.0, 30.0))
    yield exactly("what underflows as written", [1 / 128] * 6, 160.0, margin=1e-6)
    yield exactly(
        "two rows share a high power", [0.5, 0.495, 0.005], 300.0, margin=1e-4, ill_conditioned=True
    )
    steep = (rng.permutation([8.0, 5e-324, 4.0]), rng.uniform(2.0, 3.0, size=()))
    yield Case("a ratio that underflows", steep, margin=0)
    yield exactly("zeros", [0.3, 0.0, 0.7, 0.0], 2.5, margin=0)
    yield exactly("zeros, a power of one", [0.3, 0.0, 0.7, 0.0], 1.0, margin=0)
    yield exactly("negative weights", [0.5, -0.2, 0.6], 2.0, margin=0.05)
    yield exactly("negative weights, a power of one", [0.5, -0.2, 0.6], 1.0, margin=0.05)
    nothing = ("weights", "sharpness")
    yield exactly("a row of zeros", [0.0, 0.0, 0.0], 2.0, margin=0, zero_gradient=nothing)
    yield exactly("a row of zeros, a power of one", [0.0, 0.0], 1.0, margin=0, zero_gradient=nothing)
    blank = case("a row of zeros in a batch", batch=(2,), margin=0)
    blank.inputs[0][1] = 0.0
    yield blank
    below, inside = {"denominator_eps": 1e-2}, {"base_eps": 0.1}
    yield case("eps below", batch=(2,), params=below)
    yield case("eps below, one row", n=1, params=below)
    yield case("next to no eps below, one row", n=1, params={"denominator_eps": 1e-8})
    yield case("eps below, sharp", (20.0, 30.0), params=below)
    yield exactly("eps below, zeros, a power of one", [0.3, 0.0, 0.7], 1.0, margin=0, params=below)
    published = {"denominator_eps": 1e-16}
    yield exactly("eps below, most of the mass lost", [1 / 128] * 5, 8.0, margin=1e-5, params=published)
    yield exactly("eps below, a row of zeros", [0.0, 0.0], 2.0, margin=0, params=below, zero_gradient=nothing)
    yield case("eps inside", batch=(2,), params=inside)
    yield exactly("eps inside, zeros", [0.5, 0.0, 0.6], 3.0, margin=0.05, params=inside)
    yield exactly("eps both inside and below", [0.5, 0.0, 0.6], 2.0, margin=0.05, params=below | inside)
    yield case("no row", n=0, batch=(2,), powers=(), zero_gradient=("weights", "sharpness"))


def sharpened_weights_are_a_distribution_where_there_is_any(inputs, params, out):
    assert (out >= 0).all()
    mass, expected = out.sum(-1), (inputs[0] + params.get("base_eps", 0) > 0).any(-1)
    if params.get("denominator_eps"):
        assert (mass < 1).all()
    else:
        assert abs(mass - expected).max() < 1e-12


def order_is_kept(inputs, params, out):
    weights = inputs[0] + 0 * out
    before, after = weights[..., :, None] - weights[..., None, :], out[..., :, None] - out[..., None, :]
    assert (before * after >= 0).all()


def a_power_of_one_normalises(inputs, params, out):
    weights, sharpness = inputs
    alone, _ = sharpening_forward(weights, 0 * sharpness + 1)
    positive = weights * (weights > 0)
    assert (
        abs(alone * positive.sum(-1, keepdims=True) - positive) <= 1e-15 * positive.max(initial=0.0)
    ).all()


def a_zero_weight_has_the_slope_of_normalising_at_a_power_of_one(inputs, params, out):
    weights = abs(inputs[0]) + 1.0
    weights[..., :1] = 0.0
    normalised, saved = sharpening_forward(weights, 0 * inputs[1] + 1)
    cotangent = normalised + 0.5
    dweights, _ = sharpening_backward(saved, cotangent)
    if weights.shape[-1] > 1 and normalised.shape == weights.shape:
        mean = (normalised * cotangent).sum(-1, keepdims=True)
        assert abs(dweights - (cotangent - mean) / weights.sum(-1, keepdims=True)).max() < 1e-15


def scale_does_not_matter_without_eps(inputs, params, out):
    weights, sharpness = inputs
    plain, _ = sharpening_forward(weights, sharpness)
    scaled, _ = sharpening_forward(weights * 2.0**-300, sharpness)
    assert (scaled == plain).all()


sharpening = register(
    Op(
        name="sharpening",
        signature="weights(n), sharpness() -> sharpened(n)",
        forward=sharpening_forward,
        backward=sharpening_backward,
        loops=sharpening_loops,
        cases=cases,
        properties=(
            sharpened_weights_are_a_distribution_where_there_is_any,
            order_is_kept,
            a_power_of_one_normalises,
            a_zero_weight_has_the_slope_of_normalising_at_a_power_of_one,
            scale_does_not_matter_without_eps,
        ),
        variants=(
            Variant("paper", {}, source="arXiv:1410.5401 eq. 9"),
            Variant("collier", {}, source="MarkPKCollier/NeuralTuringMachine ntm.py"),
            Variant("carpedm20", {}, source="carpedm20/NTM-tensorflow ntm_cell.py"),
            Variant("jingweiz", {}, source="jingweiz/pytorch-dnc core/heads/static_head.py"),
            Variant("shawntan", {}, source="shawntan/neural-turing-machines ntm.py"),
            Variant(
                "fumin", {}, source="fumin/ntm addressing.go, but for gradients of weights below 2.2e-16"
            ),
            Variant("kaishengtai", {"denominator_eps": 1e-10}, source="kaishengtai/torch-ntm NTM.lua"),
            Variant(
                "pytorch_ntm", {"denominator_eps": 1e-16}, source="loudinthecloud/pytorch-ntm ntm/memory.py"
            ),
            Variant("ntm_lasagne", {"base_eps": 1e-6}, source="snipsco/ntm-lasagne ntm/heads.py"),
            Variant("csordas", {"base_eps": 1e-6}, source="RobertCsordas/dnc Models/DNC.py, of links"),
        ),
        source="arXiv:1410.5401 eq. 9",
    )
)
