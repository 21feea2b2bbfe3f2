"""The divergence of one diagonal Gaussian from another: what a code costs under its prior.

Forward
-------
In d dimensions, with log variances v and w of the code and of the prior, and u = v - w,

    KL = 1/2 sum_i [ (m_i - p_i)^2 exp(-w_i) + exp(u_i) - 1 - u_i ]       p = w = 0 where no prior is given

Backward
--------
    g(m_i) = (m_i - p_i) exp(-w_i) g = -g(p_i)
    g(v_i) = 1/2 (exp(u_i) - 1) g
    g(w_i) = -1/2 (exp(u_i) - 1 + (m_i - p_i)^2 exp(-w_i)) g

Accuracy
--------
exp(u) - 1 - u is about u^2 / 2 near the prior, where nothing is left of it in floats: at u = 1e-8 it is 0 or
2e-16 where 5e-17 is right.  For |u| < 1/2 it and its slope are sums of their series,

    exp(u) - 1 - u = u^2/2 (1 + u/3 (1 + u/4 (1 + ...))),      exp(u) - 1 = u (1 + u/2 (1 + u/3 (1 + ...)))

of which both keep all digits, and the second is the derivative of the first term by term.  The
divergence is exactly zero where the code is the prior, and never negative.

Conventions
-----------
Nats, the sum over the last axis, nothing averaged: DRAW's latent loss is the sum over its steps.

    deviations      the log variances given are log deviations, halves of them         Jang, czm0, Bornschein
    constant        subtracted in the place of d/2: the paper's T/2 is right for the sum of T steps of one
                    dimension.  T/2 at each step in czm0 and in Jang's code of 2016, right where d = T; 1/2 at
                    each step in Jang's code today, 45 nats too much at his T = 10, d = 10

A constant changes the value alone, and no gradient; with one, the divergence is not zero at the prior.

Source: Kingma, Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114, appendix B; with T/2 in
arXiv:1502.04623, eq. 11.
"""

import numpy as np

from ..backend import array_module, real, sum_to_shape
from ..op import Case, Op, Variant, register


def gaussian_kl_forward(
    mean, log_variance, prior_mean=None, prior_log_variance=None, *, deviations=False, constant=None
):
    """Nats (...) of a code given by mean and log variance, (..., d), under its prior, (..., d) or None.

    None is the standard normal's.  ``deviations``: the logarithms are those of standard deviations;
    ``constant``, a number, is subtracted where d/2 is right.  ValueError for others.
    """
    xp = array_module(mean, log_variance, prior_mean, prior_log_variance)
    if type(deviations) is not bool:
        raise ValueError(f"gaussian_kl: deviations must be True or False, got {deviations!r}")
    if constant is not None and not isinstance(constant, int | float):
        raise ValueError(f"gaussian_kl: constant must be None or a number, got {constant!r}")
    shapes = [None if x is None else x.shape for x in (mean, log_variance, prior_mean, prior_log_variance)]
    unit = 2 if deviations else 1
    away = mean if prior_mean is None else mean - prior_mean
    pull, u = away, unit * log_variance
    if prior_log_variance is not None:
        pull, u = away * xp.exp(-unit * prior_log_variance), u - unit * prior_log_variance
    near = (real(u) < 0.5) & (real(u) > -0.5)
    small, large = xp.where(near, u, 0), xp.where(near, 0, u)
    excess = xp.where(near, small * small / 2 * _series(small, 3), xp.exp(large) - 1 - large)
    slope = xp.where(near, small * _series(small, 2), xp.exp(large) - 1)
    each = away * pull + excess
    kl = xp.sum(each, axis=-1) / 2
    if constant is not None:
        kl = kl + (each.shape[-1] / 2 - float(constant))
    return kl, (shapes, away, pull, slope, unit)


def gaussian_kl_backward(saved, dkl):
    """Gradients for mean, log variance and those of the prior, given dkl of shape (...)."""
    shapes, away, pull, slope, unit = saved
    xp = array_module(slope, dkl)
    dkl = xp.expand_dims(dkl, axis=-1)
    dmean, dlog = pull * dkl, unit * slope * dkl / 2
    grads = (dmean, dlog, -dmean, -dlog - unit * away * pull * dkl / 2)
    return tuple([None if shape is None else sum_to_shape(g, shape) for g, shape in zip(grads, shapes)])


def gaussian_kl_loops(
    mean, log_variance, prior_mean=None, prior_log_variance=None, *, deviations=False, constant=None, math
):
    """log(s_p / s) + (s^2 + (m - p)^2) / (2 s_p^2) - 1/2 for each dimension."""
    total = 0
    for i in range(len(mean)):
        halves = 1 if deviations else 0.5
        deviation = math.exp(halves * log_variance[i])
        prior = 1 if prior_log_variance is None else math.exp(halves * prior_log_variance[i])
        away = mean[i] - (0 if prior_mean is None else prior_mean[i])
        total += math.log(prior / deviation) + (deviation**2 + away**2) / (2 * prior**2) - 0.5
    if type(total) is float and total < 0.01:
        raise ValueError("too little of the difference is left in floats: take more digits")
    return total if constant is None else total + len(mean) / 2 - constant


def _series(u, first):
    """1 + u/first (1 + u/(first + 1) (1 + ...)), thirteen deep: enough for |u| < 1/2 in float64."""
    total = 1
    for k in range(first + 12, first - 1, -1):
        total = 1 + u / k * total
    return total


# ---- evidence ---------------------------------------------------------------

NAMES = ("mean", "log_variance", "prior_mean", "prior_log_variance")


def cases(rng):
    def case(
        label, d=3, batch=(), shared=None, prior="ml", scale=1.0, apart=1.0, bent=1.0, zero=(), **params
    ):
        """A prior with a mean (m), a variance (l), both or none; a code so far ``apart`` and ``bent``."""
        own = (*(batch if shared is None else shared), d)
        means, logs = rng.normal(size=own), 0.5 * scale * rng.normal(size=own)
        means, logs = (x * (letter in prior) for x, letter in zip((means, logs), "ml"))
        code = (
            means + apart * rng.normal(size=(*batch, d)),
            logs + bent * scale * rng.normal(size=(*batch, d)),
        )
        given = (means if "m" in prior else None, logs if "l" in prior else None)
        return Case(label, (*code, *given), params, zero_gradient=zero)

    yield case("a standard prior", prior="")
    yield case("a standard prior, a batch", batch=(2,), prior="")
    yield case("two Gaussians", batch=(2,))
    yield case("a prior for the batch", batch=(2,), shared=())
    yield case("priors for one code", d=2, shared=(2,))
    yield case("a prior mean", prior="m")
    yield case("a prior variance", prior="l")
    yield case("one dimension", d=1)
    yield case("no dimension", d=0, batch=(2,), zero=NAMES)
    yield case("wide and narrow", scale=4.0)
    yield case("near the prior", apart=1e-6, bent=1e-6)
    yield case("near the standard prior, its mean", prior="", apart=0.0, bent=1e-9, zero=NAMES[:1])
    yield case("near the prior, its mean", batch=(2,), apart=0.0, bent=1e-3, zero=(NAMES[0], NAMES[2]))
    blank = case("a variance of nothing")
    blank.inputs[1][...] -= 1e4
    yield blank
    yield case("deviations", deviations=True)
    yield case("deviations, a standard prior", prior="", deviations=True, apart=0.3, bent=0.1)
    yield case("a constant", batch=(2,), prior="", constant=0.5)
    yield case("a constant in NumPy's precision", prior="", constant=np.float64(0.5))


def nothing_is_free_but_the_prior(inputs, params, kl):
    if params.get("constant") is None:
        assert (kl >= 0).all()
        same = [0 * x if prior is None else prior for x, prior in zip(inputs, inputs[2:])]
        nothing, saved = gaussian_kl_forward(*same, *inputs[2:], **params)
        assert (nothing == 0).all()
        assert all((g == 0).all() for g in gaussian_kl_backward(saved, nothing + 1) if g is not None)


def scale_and_place_do_not_matter(inputs, params, kl):
    """Four times as wide and around four times the mean."""
    mean, log_variance, prior_mean, prior_log_variance = inputs
    if prior_mean is None or prior_log_variance is None:
        return
    wider = 1.3862943611198906 / (1 if params.get("deviations") else 0.5)
    moved = (4 * mean, log_variance + wider, 4 * prior_mean, prior_log_variance + wider)
    found = gaussian_kl_forward(*moved, **params)[0]
    assert (abs(found - kl) <= 1e-14 * (1 + abs(log_variance).max(initial=0.0)) * (1 + kl)).all()


def the_mean_alone_costs_half_its_square(inputs, params, kl):
    mean = inputs[0]
    alone = gaussian_kl_forward(mean, 0 * mean)[0]
    assert (abs(alone - (mean * mean).sum(-1) / 2) <= 1e-15 * alone).all()


gaussian_kl = register(
    Op(
        name="gaussian_kl",
        signature="mean(d), log_variance(d), prior_mean?(d), prior_log_variance?(d) -> kl()",
        forward=gaussian_kl_forward,
        backward=gaussian_kl_backward,
        loops=gaussian_kl_loops,
        cases=cases,
        properties=(
            nothing_is_free_but_the_prior,
            scale_and_place_do_not_matter,
            the_mean_alone_costs_half_its_square,
        ),
        variants=(
            Variant("jang", {"deviations": True, "constant": 0.5}, "ericjang/draw draw.py"),
            Variant(
                "jang_2016",
                {"deviations": True, "constant": 5.0},
                "ericjang/draw draw.py before b604a06, T = 10",
            ),
            Variant("czm0", {"deviations": True, "constant": 5.0}, "czm0/draw_pytorch draw_model.py, T = 10"),
            Variant("bornschein", {"deviations": True}, "jbornschein/draw draw/draw.py"),
        ),
        source="arXiv:1312.6114 appendix B",
    )
)
