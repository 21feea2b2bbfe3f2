"""Attention by location: Gaussians over positions say where to look, whatever stands there.

The lecture's location-based attention.  Each of ``m`` Gaussians has a centre, a width and an importance;
``k`` positions share their attention.

Forward
-------
    E_ij = exp(-r_i (p_j - c_i)^2)          r the rate, which the width gives: see Conventions
    phi_j = sum_i a_i E_ij                  a the importance; with ``density`` times sqrt(r_i / pi)
    w_j = phi_j / sum_j phi_j               if ``normalised``, else w_j = phi_j

Backward
--------
With q_ij = a_i E_ij / sum phi, the softmax over all pairs, and d_ij = p_j - c_i,

    B_ij   = g(w_j) - sum_j w_j g(w_j)            not normalised: q_ij = a_i E_ij, B_ij = g(w_j)
    g(c_i) =  2 r_i sum_j q_ij B_ij d_ij          g(p_j) = -2 sum_i r_i q_ij B_ij d_ij
    g(r_i) = -sum_j q_ij B_ij d_ij^2              g(a_i) = sum_j B_ij q_ij / a_i

and by the width through r, and through sqrt(r / pi) with ``density``.

Accuracy
--------
Far from all positions every phi underflows, and its quotient does not: exponents are taken relative to
the largest pair's, at Gaussian o and position p_v.  For one Gaussian the difference of squares is

    r (p_j - c)^2 - r (p_v - c)^2 = r (p_j - p_v) (d_j + d_v)

which keeps its digits however large d is.  The sums of the backward are split in the same way,
sum_j q B d = sum_j q B (p_j - p_v) + d_v S_i, where S_i = sum_j q B; as all S_i sum to zero, that of o
is minus the sum of the others', exactly zero if there is no other.

Conventions
-----------
    width_as      r               who
    deviation     1 / (2 w^2)     Luong et al.; a width of D / 2 is theirs
    variance      1 / (2 w)       DRAW's filters, which are normalised, one row each; neural_sp
    factor        w               Graves 2013, whose b multiplies the square
    divisor       1 / w           sjvasquez

Graves' window is not normalised; ``handwriting_window`` is its whole step.  Positions are given, so
that counting from 0 or 1 is the caller's business.  ``density`` makes each Gaussian one of integral
a_i; neural_sp, which has that, adds 1e-6 to its denominators and gives masked positions the weight -3e38.
Positions that ``keep`` excludes get the weight 0 and are never read; if all are, or if normalised and all
importances are zero, so are all weights and gradients.  Normalised, importances must not be negative and
the squares of distances must be finite.

Luong's local-p attention keeps the positions s with |s - p| <= D and multiplies the softmax over them by the
Gaussian: softmax(logits, keep) * this(p, D / 2, s, keep=keep, normalised=False).  The paper has
p = S sigmoid(.), the authors' code 1 + (S - 1) sigmoid(.) and a window around floor(p); OpenNMT mirrors it.

Source: Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850, section 5; Luong,
Pham, Manning, arXiv:1508.04025, section 3.2; the lecture: Graves, DeepMind x UCL, 2020.
"""

import math

import numpy as np

from ..backend import arange_like, array_module, constant, gather, lowest, real, sum_to_shape
from ..calculus import both, select
from ..op import Case, Op, Variant, register
from ..refusals import refuse_where

WIDTHS = ("deviation", "variance", "factor", "divisor")
NOTHING = 40.0  # at so many times 1 / sqrt(r) from its centre a Gaussian is zero in floats: exp(-1600)


def gaussian_location_attention_forward(
    centre, width, positions, importance=None, keep=None, *,
    width_as="deviation", normalised=True, density=False,
):  # fmt: skip
    """Weights of positions, both (..., k), given centre and importance (..., m) and width (..., m|1).

    importance None: all are one.  keep (..., k|1) are booleans, True attends.  ValueError for a param that is
    not as described above, and for a width that is not positive (on NumPy).
    """
    xp = array_module(centre, width, positions, importance, keep)
    _check(width_as, normalised=normalised, density=density)
    refuse_where(real(width) <= 0, "gaussian_location_attention: width must be positive", width)
    shapes = [None if x is None else x.shape for x in (centre, width, positions, importance)]
    rate, rate_slope = _rate(width, width_as)
    root = xp.sqrt(rate / xp.pi) if density else None
    amount = xp.ones_like(rate) if importance is None else importance
    scaled = amount if root is None else amount * root
    c, r, a = (xp.expand_dims(x, axis=-1) for x in (centre, rate, scaled))
    p = xp.expand_dims(positions if keep is None else xp.where(keep, positions, 0), axis=-2)
    distance = p - c
    live = None if keep is None else xp.expand_dims(keep, axis=-2)
    far = xp.sqrt(real(r)) * real(distance)
    if normalised and 0 not in distance.shape:
        exponent, lag, anchor, winner, some = _beside_the_largest(xp, a, r, p, c, distance, far, live)
    else:
        live = both(live, ~((far > NOTHING) | (far < -NOTHING)))  # NaN is not far: it shall be seen
        lag = distance = select(xp, live, distance)
        exponent, anchor, winner = -r * distance * distance, 0, None
    e = select(xp, live, xp.exp(select(xp, live, exponent)))
    weights = xp.sum(a * e, axis=-2)
    if winner is not None:
        total = xp.where(some[..., 0], xp.sum(weights, axis=-1, keepdims=True), 1)
        e = xp.where(some, e / total[..., None], 0)
        first = xp.sum(xp.where(winner[0], constant(real(a), 1), 0), axis=-2) > 0
        others = xp.where(first | ~some[..., 0], 0, weights / total)
        rest = 1 - xp.sum(others, axis=-1, keepdims=True)
        weights = xp.where(first & some[..., 0], rest, others)
    return weights, (shapes, (rate_slope, root, amount), (a, r, e, live), (distance, lag, anchor), winner)


def gaussian_location_attention_backward(saved, dweights):
    """Gradients for centre, width, positions and importance, given dweights of shape (..., k)."""
    shapes, (rate_slope, root, amount), (a, r, e, live), (distance, lag, anchor), winner = saved
    xp = array_module(e, dweights)
    dpairs = xp.expand_dims(dweights, axis=-2)
    if winner is not None:
        pair, gaussian = winner
        dwinner = xp.sum(xp.where(pair, dpairs, 0), axis=(-2, -1), keepdims=True)
        dpairs = select(xp, live, dpairs - dwinner)
        dpairs = dpairs - xp.sum(a * e * dpairs, axis=(-2, -1), keepdims=True)
    each = e * select(xp, live, dpairs)
    dexponent = a * each
    mass, dscaled = (xp.sum(x, axis=-1, keepdims=True) for x in (dexponent, each))
    if winner is not None:
        others = xp.sum(xp.where(gaussian, 0, mass), axis=-2, keepdims=True)
        mass = xp.where(gaussian, -others, mass)
        dscaled = xp.where(gaussian, mass / xp.where(real(a) > 0, a, 1), dscaled)
    dcentre = 2 * r * (xp.sum(dexponent * lag, axis=-1, keepdims=True) + anchor * mass)
    drate = -xp.sum(dexponent * lag * (distance + anchor), axis=-1, keepdims=True) - anchor * (anchor * mass)
    dcentre, drate, dscaled = (xp.squeeze(x, axis=-1) for x in (dcentre, drate, dscaled))
    if root is not None:
        drate = drate + dscaled * amount / (2 * xp.pi * root)
        dscaled = dscaled * root
    grads = (dcentre, drate * rate_slope, -2 * xp.sum(r * dexponent * distance, axis=-2), dscaled)
    return tuple([None if s is None else sum_to_shape(g, s) for g, s in zip(grads, shapes)])


def gaussian_location_attention_loops(centre, width, positions, importance=None, keep=None, *, math, **rules):
    """The sums for one item; ``rules`` are the params of the forward."""
    form, phi = rules.get("width_as", "deviation"), []
    for j in range(len(positions)):
        total = 0 * centre.sum()
        for i in range(len(centre) if keep is None or keep[j] else 0):
            w = width[i]
            below = {"deviation": 2 * w * w, "variance": 2 * w, "factor": 1 / w, "divisor": w}[form]
            bell = math.exp(-((positions[j] - centre[i]) ** 2) / below)
            if rules.get("density"):
                bell = bell / math.sqrt(math.pi * below)
            total = total + (bell if importance is None else importance[i] * bell)
        phi.append(total)
    something = (keep is None or any(keep)) and (importance is None or any(importance))
    return [x / sum(phi) for x in phi] if rules.get("normalised", True) and something else phi


def _rate(width, width_as):
    """r and dr / dwidth."""
    if width_as == "factor":
        return width, 1
    rate = 1 / width if width_as == "divisor" else 0.5 / width
    if width_as != "deviation":
        return rate, -rate / width
    return rate / width, -2 * rate / (width * width)


def _beside_the_largest(xp, a, r, p, c, distance, far, live):
    """Exponents relative to the largest pair's, p_j - p_v, d_v, that pair and its Gaussian; is there one?"""
    one, positive = constant(real(a), 1), ~(real(a) <= 0)
    height = xp.log(xp.where(positive, real(a), 1)) - far * far
    counts = both(live, positive)
    height = xp.where(counts, height, lowest(a))
    some = xp.sum(xp.where(counts, one, 0), axis=(-2, -1), keepdims=True) > 0
    flat = xp.reshape(height, (*height.shape[:-2], height.shape[-2] * height.shape[-1]))
    place = arange_like(a, flat.shape[-1])
    first = real(gather(place, xp.expand_dims(xp.argmax(flat, axis=-1), axis=-1)))
    pair = xp.reshape(real(place) == first, height.shape)
    gaussian = xp.sum(xp.where(pair, one, 0), axis=-1, keepdims=True) > 0
    p_v = xp.sum(xp.where(pair, p, 0), axis=(-2, -1), keepdims=True)
    lag, anchor = p - p_v, p_v - c
    behind = r * anchor * anchor
    least = xp.sum(xp.where(gaussian, behind, 0), axis=-2, keepdims=True)
    exponent = xp.where(gaussian, 0, least - behind) - r * lag * (distance + anchor)
    most = math.log(-lowest(a)) / 2  # only beside an importance of zero is one so large
    return xp.where(real(exponent) > most, most, exponent), lag, anchor, (pair, gaussian), some


def _check(width_as, **flags):
    if width_as not in WIDTHS:
        raise ValueError(f"gaussian_location_attention: width_as must be one of {WIDTHS}, got {width_as!r}")
    for name, value in flags.items():
        if type(value) is not bool:
            raise TypeError(f"gaussian_location_attention: {name} must be True or False, got {value!r}")


# ---- evidence ---------------------------------------------------------------

FREE = {"normalised": False}
SJVASQUEZ = "sjvasquez/handwriting-synthesis rnn_cell.py"
NEURAL_SP = "hirofumi0810/neural_sp neural_sp/models/modules/gmm_attention.py, without its 1e-6"


def cases(rng):
    def case(label, m=2, k=4, *, batch=(), importance="drawn", keep=None, **rest):
        """Centres among the positions, which are close to 0..k-1; what is given stands as it is."""
        drawn = {"drawn": rng.uniform(0.5, 2.0, size=(*batch, m))}
        inputs = (
            np.asarray(rest.pop("centre", rng.uniform(0.0, k, size=(*batch, m)))),
            np.asarray(rest.pop("width", rng.uniform(0.7, 1.6, size=(*batch, m)))),
            rest.pop("positions", np.arange(k) + 0.1 * rng.normal(size=k)),
            None if importance is None else np.asarray(drawn.get(str(importance), importance)),
            None if keep is None else np.array(keep) > 0,
        )
        named = {name: rest.pop(name) for name in ("zero_gradient", "margin") if name in rest}
        return Case(label, inputs, rest, **named)

    everything, whole = ("centre", "width", "positions", "importance"), np.arange(5.0)
    for form in WIDTHS:
        yield case(f"{form}", batch=(2,), width_as=form)
        yield case(f"{form}, not normalised", width_as=form, **FREE)
        yield case(f"density, {form}", width_as=form, density=True)
    yield case("density, not normalised", batch=(2,), density=True, **FREE)
    yield case("one Gaussian", 1, importance=None, width_as="factor")
    yield case("one width for all", 3, width=[1.2])
    yield case("centres of a batch", centre=rng.uniform(0, 3, size=(2, 2, 2)))
    yield case("positions of a batch", k=3, positions=whole[:3] + 0.1 * rng.normal(size=(2, 3)))
    yield case("one importance is zero", importance=[0.0, 1.5])
    yield case("no importance in one of two", importance=[[[0.0, 0.0], [1.0, 2.0]]], margin=0)
    yield case("a negative importance", importance=[1.0, -0.6], **FREE)
    yield case("on a position", centre=[2.0, 3.3], importance=[0.5, 2.0], positions=whole)
    yield case("a small one", centre=[1.0, 2.6], width=[0.1, 0.16], importance=[1e-5, 1.5], positions=whole)
    yield case("far before the first", 1, centre=[-1e4], importance=None, width=[30.0])
    yield case("both far", centre=[60.0, 64.0], width=[5.0, 5.5])
    yield case("far, not normalised", centre=[1e25, -1e25], zero_gradient=everything, **FREE)
    yield case("wide, not normalised", centre=[60.0, -70.0], width=[30.0, 50.0], **FREE)
    yield case("padded", keep=[[[1, 1, 1, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [1, 0, 0, 0]]])
    yield case("padded, not normalised", keep=[[1, 1, 1, 0], [0, 1, 0, 0]], **FREE)
    yield case("one kept, far", batch=(9,), width=[0.05], keep=[0, 0, 0, 1], zero_gradient=everything)
    yield case("no item", batch=(0,), zero_gradient=everything)
    yield case("nothing kept", keep=[0], zero_gradient=everything)
    yield case("one position", 2, 1, centre=[0.6, -0.6], width=[100.0], width_as="factor", **FREE)
    yield case("no position", 2, 0, zero_gradient=everything)
    yield case("no Gaussian", 0, 3, zero_gradient=everything)


def weights_are_a_distribution_if_normalised(inputs, params, weights):
    total = weights.sum(-1)
    if params.get("normalised", True):
        assert (abs(total - 1)[total != 0] < 1e-14).all() and (weights >= 0).all()


def where_counting_starts_does_not_matter(inputs, params, weights):
    centre, width, positions, *rest = inputs
    if abs(centre).max(initial=0.0) < 10:
        moved, _ = gaussian_location_attention_forward(centre + 8, width, positions + 8, *rest, **params)
        assert (abs(moved - weights) <= 1e-11 * abs(weights).max(initial=0.0)).all()


def what_is_not_kept_is_never_read(inputs, params, weights):
    *given, positions, importance, keep = inputs
    if keep is not None:
        keep = keep | (weights != weights)
        spoilt = positions + np.where(keep, 0.0, np.nan)
        again, saved = gaussian_location_attention_forward(*given, spoilt, importance, keep, **params)
        assert (again == weights).all() and (again[~keep] == 0).all()
        for gradient in gaussian_location_attention_backward(saved, spoilt):
            assert gradient is None or np.isfinite(gradient).all()


def a_slope_by_importance_is_neither_lost_nor_roundoff(inputs, params, weights):
    """Beside one that is far that of an importance of zero is large; alone any is zero."""
    far = [0.0, 99.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]
    alone = np.linspace(0, 3, 9)[:, None], [1.0], [0.0, 1.0, 2.0], [0.7]
    with np.errstate(over="raise", invalid="raise"):
        for given, low, high in ((far, 1e140, 1e160), (alone, 0, 0)):
            found, saved = gaussian_location_attention_forward(*map(np.array, given))
            assert low <= -gaussian_location_attention_backward(saved, found)[3][0] <= high


gaussian_location_attention = register(
    Op(
        name="gaussian_location_attention",
        signature="centre(m), width(m|1), positions(k), importance?(m), keep?!(k|1) -> weights(k)",
        forward=gaussian_location_attention_forward,
        backward=gaussian_location_attention_backward,
        loops=gaussian_location_attention_loops,
        cases=cases,
        passive={"keep": "boolean"},
        properties=(
            weights_are_a_distribution_if_normalised,
            where_counting_starts_does_not_matter,
            what_is_not_kept_is_never_read,
            a_slope_by_importance_is_neither_lost_nor_roundoff,
        ),
        variants=(
            Variant("graves", FREE | {"width_as": "factor"}, "arXiv:1308.0850 eq. 46"),
            Variant("sjvasquez", FREE | {"width_as": "divisor"}, SJVASQUEZ),
            Variant("luong", FREE, "arXiv:1508.04025 eq. 10; lmthang/nmt.hybrid distLayerForward.m"),
            Variant("neural_sp", FREE | {"width_as": "variance", "density": True}, NEURAL_SP),
            Variant("draw", {"width_as": "variance"}, "arXiv:1502.04623 eqs. 25-26"),
        ),
        source="arXiv:1308.0850 section 5; arXiv:1508.04025 section 3.2",
    )
)
