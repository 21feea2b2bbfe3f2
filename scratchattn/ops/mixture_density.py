"""Mixture density: what a handwriting network loses by one step of the pen, in nats.

The pen moves to x = (x_1, x_2), drawn from a mixture of ``m`` Gaussians of two dimensions, and is lifted
or not, ``ended`` = 1 or 0, drawn by itself.

Forward
-------
    e = 1 / (1 + exp(e^))                   the stroke ends: a positive e^ makes it less likely
    pi = softmax(pi^ (1 + b))               importance
    sigma = exp(sigma^ - b)                 width
    rho = tanh(rho^)                        correlation
    d_i = (x_i - mu_i) / sigma_i,           Z = d_1^2 + d_2^2 - 2 rho d_1 d_2
    N = exp(-Z / (2 (1 - rho^2))) / (2 pi sigma_1 sigma_2 sqrt(1 - rho^2))
    loss = -log sum_j pi_j N_j - ended log e - (1 - ended) log(1 - e)

With a ``bias`` b above 0 samples are neater; training has b = 0.

Backward
--------
With the shares q_j = pi_j N_j / sum_l pi_l N_l and h_1 = (d_1 - rho d_2) / (1 - rho^2), h_2 alike,

    g(pi^_j)     = (1 + b) (pi_j - q_j) g              g(e^)  = (ended - e) g
    g(mu_ji)     = -q_j h_i / sigma_i g                g(x_i) = sum_j q_j h_i / sigma_i g
    g(sigma^_ji) = -q_j (d_i h_i - 1) g
    g(rho^_j)    = -q_j (d_1 d_2 + rho (1 - Z / (1 - rho^2))) g

Accuracy
--------
tanh rounds to one at rho^ = 20.  With r = |rho^|, the sign of d_2 changed if rho^ < 0, E = exp(-2 r),
A = (1 + 1 / E) / 4 and B = (1 + E) / 4,

    Z / (1 - rho^2) = A (d_1 - d_2)^2 + B (d_1 + d_2)^2        sqrt(1 - rho^2) = 2 exp(-r) / (1 + E)
    h_1 = B (d_1 + d_2) + A (d_1 - d_2)                        h_2 = B (d_1 + d_2) - A (d_1 - d_2)
    and that of rho^: rho - (A - 1/4) (d_1 - d_2)^2 + (B - 1/4) (d_1 + d_2)^2

do not cancel; below r = 1/2 the last two would, and the paper's form does not.  The sum over the mixture
is taken relative to its largest term.  Of a pi_j above a half, pi_j - q_j is minus the others' sum.

r counts as at most L and sigma^ - b as at least -L, L a fifth of the logarithm of the largest float (142 in
float64, 17 in float32), and take no gradient there: sigma is never 0, rho never 1, no square overflows.

Conventions
-----------
                  end_sign   smallest_width   density_floor
    paper         -1         0                0
    sjvasquez      1         1e-4             1e-8
    hardmaru       1         0                1e-20
    X-rayLaser     1         0                0

``end_sign``: e = 1 / (1 + exp(-end_sign e^)).  ``smallest_width``: the least sigma, with no gradient
below.  ``density_floor``: the least sum_j pi_j N_j, likewise.  Left out: sjvasquez keeps e and rho 1e-8
from their ends, no distance in float32, and drops losses that are NaN; snowkylin, else as the paper, adds
1e-20 to that sum and to e; X-rayLaser adds 1e-8 to sigma, to denominators and inside logarithms.

Padded steps, where ``keep`` is False, have the loss 0 and no gradient and are never read.  ``ended`` may be
any number in [0, 1].  Components that start out equal stay equal, to the bit.

Source: Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850, eqs. 15-26, 61-62.
"""

import math

import numpy as np

from ..backend import array_module, lowest, real, sum_to_shape
from ..calculus import exponentials, select, softmax_and_log_sum
from ..op import Case, Op, Variant, register
from ..refusals import refuse_where

LARGEST = 141.9565425786768  # L in float64, for the transcription


def mixture_density_forward(
    end, importance, mean, width, correlation, point, ended, keep=None, *,
    bias=0.0, end_sign=-1, smallest_width=0.0, density_floor=0.0,
):  # fmt: skip
    """Nats for each step (...), given the raw numbers of the network and where the pen went.

    end (...), importance and correlation (..., m), mean and width (..., m, 2); point (..., 2), ended (...)
    in [0, 1]; keep (...) booleans or None.  ValueError for m = 0, a param that is not as under Conventions,
    and an ended out of range (on NumPy).
    """
    xp = array_module(end, importance, mean, width, correlation, point, ended, keep)
    _check(importance.shape[-1], end_sign, bias, smallest_width, density_floor)
    shapes = [x.shape for x in (end, importance, mean, width, correlation, point)]
    row = None if keep is None else keep[..., None]
    if keep is not None:
        end, ended, plane = xp.where(keep, end, 0), xp.where(keep, ended, 0), row[..., None]
        importance, correlation, point = (xp.where(row, x, 0) for x in (importance, correlation, point))
        mean, width = xp.where(plane, mean, 0), xp.where(plane, width, 0)
    likely = (real(ended) >= 0) & (real(ended) <= 1)  # false for NaN
    refuse_where(~likely, "mixture_density: ended must be in [0, 1]", ended)
    end_loss, end_slope = _bernoulli(xp, end_sign * end, ended)
    log_normal, normal = _normal(xp, mean, width - float(bias), correlation, point, smallest_width)
    z = (1 + float(bias)) * importance
    e, total, winner = exponentials(xp, z)
    pi, log_pi = e / total, z - xp.take_along_axis(z, winner, axis=-1) - xp.log(total)
    share, _, log_density = softmax_and_log_sum(xp, log_pi + log_normal, row)
    through = xp.ones_like(log_density)
    if density_floor:
        low = real(log_density) < math.log(density_floor)
        log_density = xp.where(low, math.log(density_floor), log_density)
        through = xp.where(low, 0, through)
    loss = select(xp, keep, end_loss - log_density)
    return loss, (shapes, keep, end_sign * end_slope, 1 + float(bias), pi, share, through, normal)


def mixture_density_backward(saved, dloss):
    """Gradients for end, importance, mean, width, correlation and point, given that of the loss (...)."""
    shapes, keep, end_slope, sharper, pi, share, through, normal = saved
    d, h, inverse, free_width, correlation_slope = normal
    xp = array_module(pi, dloss)
    dloss = select(xp, keep, dloss)
    scale = xp.expand_dims(through * dloss, axis=-1)  # (..., 1)
    excess = pi - share
    dominant = real(pi) > 0.5
    rest = xp.sum(xp.where(dominant, 0, excess), axis=-1, keepdims=True)
    excess = xp.where(dominant, -rest, excess)
    taken = share * scale
    toward = xp.expand_dims(taken, axis=-1) * h * inverse
    dwidth = xp.where(free_width, xp.expand_dims(taken, axis=-1) * (1 - d * h), 0)
    grads = (end_slope * dloss, sharper * excess * scale, -toward, dwidth, -taken * correlation_slope)
    grads = (*grads, xp.sum(toward, axis=-2))
    return tuple([sum_to_shape(g, s) for g, s in zip(grads, shapes)])


def mixture_density_loops(end, importance, mean, width, correlation, point, ended, keep=None, *, math, **how):
    """Equations 18 to 26 for one step; 1 - tanh^2 is written as 1 / cosh^2."""
    if keep is not None and not keep:
        return 0.0
    b = how.get("bias", 0)
    total, density = sum(math.exp(p * (1 + b)) for p in importance), 0
    for j in range(len(importance)):
        r = min(max(correlation[j], -LARGEST), LARGEST)
        rho, below = math.tanh(r), 1 / math.cosh(r) ** 2
        sigma = [max(math.exp(max(s - b, -LARGEST)), how.get("smallest_width", 0)) for s in width[j]]
        d = [(point[i] - mean[j][i]) / sigma[i] for i in (0, 1)]
        z = d[0] ** 2 + d[1] ** 2 - 2 * rho * d[0] * d[1]
        normal = math.exp(-z / (2 * below)) / (2 * math.pi * sigma[0] * sigma[1] * math.sqrt(below))
        density = density + math.exp(importance[j] * (1 + b)) / total * normal
    density = max(density, how.get("density_floor", 0))
    z = how.get("end_sign", -1) * end  # -log e = log(1 + exp(-z))
    ends, goes_on = math.log1p(math.exp(-z)), math.log1p(math.exp(z))
    return -math.log(density) + ended * ends + (1 - ended) * goes_on


def _bernoulli(xp, logit, ended):
    """-ended log s(z) - (1 - ended) log(1 - s(z)) and its slope; see ``losses``."""
    positive = real(logit) >= 0
    e = xp.exp(xp.where(positive, -logit, logit))
    wrong = xp.where(positive, 1 - ended, -ended)
    return wrong * logit + xp.log1p(e), wrong + xp.where(positive, -e, e) / (1 + e)


def _normal(xp, mean, log_width, correlation, point, smallest_width):
    """log N (..., m), and what its slopes are made of: see Accuracy."""
    most = math.log(-lowest(mean)) / 5
    least = max(-most, math.log(smallest_width)) if smallest_width else -most
    small = real(log_width) < least
    log_width = xp.where(small, least, log_width)
    inverse = xp.exp(-log_width)
    d = (xp.expand_dims(point, axis=-2) - mean) * inverse  # (..., m, 2)
    negative, large = real(correlation) < 0, (real(correlation) > most) | (real(correlation) < -most)
    r = xp.where(large, most, xp.where(negative, -correlation, correlation))
    d_1, d_2 = d[..., 0], xp.where(negative, -d[..., 1], d[..., 1])
    mild, rho, e = real(r) < 0.5, xp.tanh(r), xp.exp(-2 * r)
    apart, along, steep, flat = d_1 - d_2, d_1 + d_2, (1 + 1 / e) / 4, (1 + e) / 4
    rho_squared = xp.where(mild, rho * rho, 0)
    below = 1 - rho_squared
    plain = d_1 * d_1 + d_2 * d_2 - 2 * rho * d_1 * d_2
    square = xp.where(mild, plain / below, steep * apart * apart + flat * along * along)
    log_root = xp.where(mild, xp.log1p(-rho_squared) / 2, math.log(2) - r - xp.log1p(e))
    log_normal = -math.log(2 * math.pi) - xp.sum(log_width, axis=-1) - log_root - square / 2
    # And the slopes, by d_1, d_2 and r.
    h_1, h_2 = flat * along + steep * apart, flat * along - steep * apart
    turn = rho - apart * apart / (4 * e) + along * along * e / 4
    turn = xp.where(mild, d_1 * d_2 + rho * (1 - square), turn)
    turn = xp.where(large, 0, xp.where(negative, -turn, turn))
    h = xp.stack([h_1, xp.where(negative, -h_2, h_2)], axis=-1)
    return log_normal, (d, h, inverse, ~small, turn)


def _check(components, end_sign, *limits):
    if components == 0:
        raise ValueError("mixture_density: m must be at least 1, got 0")
    if end_sign not in (1, -1):
        raise ValueError(f"mixture_density: end_sign must be 1 or -1, got {end_sign!r}")
    for name, value in zip(("bias", "smallest_width", "density_floor"), limits):
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(f"mixture_density: {name} must be finite and not negative, got {value!r}")


# ---- evidence ---------------------------------------------------------------

SJVASQUEZ = {"end_sign": 1, "smallest_width": 1e-4, "density_floor": 1e-8}
HARDMARU = {"end_sign": 1, "density_floor": 1e-20}
XRAYLASER = "X-rayLaser/pytorch-handwriting-synthesis-toolkit handwriting_synthesis/losses.py"


def cases(rng):
    def case(label, m=2, *, batch=(), ended=1.0, keep=None, at=None, exactly=False, **rest):
        """Raw numbers drawn about zero, or about what is given by name; the pen close to the first mean."""
        shapes, spread = ((), (m,), (m, 2), (m, 2), (m,)), 0.0 if exactly else 0.5
        given = [rest.pop(name, 0.0) for name in ("end", "importance", "mean", "width", "correlation")]
        raw = [x + spread * rng.normal(size=(*batch, *shape)) for x, shape in zip(given, shapes)]
        point = raw[2][..., 0, :] + (rng.normal(size=2) if at is None else at)
        keep = None if keep is None else np.array(keep) > 0
        named = {n: rest.pop(n) for n in ("zero_gradient", "margin", "ill_conditioned") if n in rest}
        return Case(label, (*raw, point, np.array(ended), keep), rest, **named)

    mixture = ("importance", "mean", "width", "correlation", "point")
    apart, lone = [[0.0, 0.0], [5.0, 5.0]], {"m": 1, "zero_gradient": ("importance",)}
    yield case("two components")
    yield case("a batch, an end in between", batch=(2,), ended=[0.0, 0.3])
    yield case("one step, several points", at=rng.normal(size=(3, 2)))
    yield case("padded", batch=(3,), ended=[0.0, 1.0, 0.0], keep=[1, 1, 0])
    yield case("nothing but padding", keep=0, zero_gradient=("end", *mixture))
    yield case("a bias, the end as a sigmoid", bias=0.7, end_sign=1, ended=0.0)
    lost = {"m": 1, "margin": 0}  # of what is lost beside 1e120, 120 digits of truth know nothing
    for sign in (1, -1):
        ridge = {"at": [1e3, 1e3 * sign], "exactly": True}
        yield case(f"correlation close to {sign}", correlation=9.0 * sign)
        yield case(f"on the ridge of {sign}", correlation=6.0 * sign, width=0.2, **ridge, **lone)
        yield case(f"correlation beyond {sign}", correlation=1e4 * sign, **lost, zero_gradient=mixture[::3])
    yield case("narrower than floats", width=-1e4, **lost, zero_gradient=("importance", "width"))
    yield case("hardly correlated", correlation=1e-9, exactly=True, at=[3.0, 1e-7], **lone)
    yield case("at the mean", at=[0.0, 0.0], mean=[[0.0, 0.0], [1.0, 1.5]])
    yield case("at the mean in one direction", at=[0.0, 1.2], **lone)
    yield case("wider than floats", 1, width=1e4, zero_gradient=("importance", "mean", "point"))
    yield case("far from all", mean=[[30.0, 0.0], [0.0, 40.0]], at=[-30.0, 30.0])
    yield case("one component is sure", importance=[30.0, -10.0])
    yield case("importances out of range", 3, importance=[1e4, 1e4, -1e4])
    yield case("one component explains it", mean=apart, width=-2.0)
    yield case("two of three alike", 3, exactly=True, at=[0.5, 0.8], mean=[[0, 0], [0.2, 0.9], [0, 0]])
    yield case("sure of the end", end=-40.0)
    yield case("sure of the end, wrongly", end=1e4)
    yield case("sure that it goes on", end=1e4, ended=0.0, zero_gradient=("end",))
    yield case(
        "smallest width", width=[[-2.0, 1.0], [1.0, -2.0]], smallest_width=0.3, density_floor=1e-8, margin=0.1
    )
    bounds = {"exactly": True, "at": [0.0, 0.0], "margin": 0}  # where what lies on a bound has its slope
    ends, still = [LARGEST, -LARGEST], ("importance", "mean", "point")
    yield case("on its bounds", correlation=ends, smallest_width=1.0, **bounds, zero_gradient=still)
    thin, still = [[-math.log(2 * math.pi), 0.0]], (*still, "correlation")
    yield case("just on the floor", 1, width=thin, density_floor=1.0, **bounds, zero_gradient=still)
    yield case("on the floor", at=[20.0, 20.0], density_floor=1e-8, margin=0.1, zero_gradient=mixture)


def alike_components_stay_alike(inputs, params, loss):
    """They get one gradient, to the bit, of every importance."""
    end, *mixture, point, ended, keep = inputs
    axes = (-1, -2, -2, -1)
    twice = [np.repeat(np.take(x, [0], axis=a), 3, axis=a) for x, a in zip(mixture, axes)]
    again, saved = mixture_density_forward(end, *twice, point, ended, keep, **params)
    for gradient, axis in zip(mixture_density_backward(saved, 1.0 + 0.0 * again)[1:5], axes):
        first, *others = np.moveaxis(gradient, axis, 0)
        assert all((first == other).all() for other in others)


def padded_steps_are_never_read(inputs, params, loss):
    *given, keep = inputs
    if keep is not None:
        keep, ends = np.asarray(keep), (0, 1, 2, 2, 1, 1, 0)
        spoilt = [np.where(keep[(..., *[None] * n)], x, np.nan) for x, n in zip(given, ends)]
        again, saved = mixture_density_forward(*spoilt, keep, **params)
        assert (again == loss).all() and (again[~keep] == 0).all()
        for gradient in mixture_density_backward(saved, np.where(keep, 1.0, np.nan)):
            assert np.isfinite(gradient).all()


def a_small_correlation_shows(inputs, params, loss):
    """With all digits of its slope, in the forward too, where other slopes drown it."""
    if inputs[4].shape == (1,) and 0 < abs(inputs[4][0]) < 1e-3:
        moved = [x + 1e-100j if i == 4 else x for i, x in enumerate(inputs)]
        pushed, saved = mixture_density_forward(*moved, **params)
        slope = mixture_density_backward(saved, 1.0 + 0.0 * loss)[4].real
        assert abs(pushed.imag / 1e-100 - slope) <= 1e-13 * abs(slope)


mixture_density = register(
    Op(
        name="mixture_density",
        signature="end(), importance(m), mean(m,2), width(m,2), correlation(m), point(2), ended!(), keep?!() "
        "-> loss()",
        forward=mixture_density_forward,
        backward=mixture_density_backward,
        loops=mixture_density_loops,
        cases=cases,
        passive={"ended": "floating", "keep": "boolean"},
        properties=(alike_components_stay_alike, padded_steps_are_never_read, a_small_correlation_shows),
        variants=(
            Variant("paper", {}, "arXiv:1308.0850 eqs. 18-26"),
            Variant("sjvasquez", SJVASQUEZ, "sjvasquez/handwriting-synthesis rnn.py"),
            Variant("hardmaru", HARDMARU, "hardmaru/write-rnn-tensorflow model.py"),
            Variant("xraylaser", {"end_sign": 1}, XRAYLASER),
        ),
        source="arXiv:1308.0850 eqs. 18-26",
    )
)
