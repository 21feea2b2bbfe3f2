"""Is the backward of a composition the adjoint of its forward?  By a complex step, to rounding.

    from adjoint import is_the_adjoint, hessian_is_symmetric, missed

    is_the_adjoint(lambda x, w: tuple(layer(x, w)), x, w)
    assert missed(lambda x, w: tuple(layer(x, w)), x, w) <= 256     # all at once: of long sequences

The function takes tensors or arrays, real or complex, and returns one of them or a tuple (a tuple in a
tuple is taken apart; None is left out).  Nothing is drawn inside it.
"""

import numpy as np

import scratchattn as sa
from gradcheck.numeric import complex_step
from gradcheck.subject import inner, random_like

EPS = float(np.finfo(np.float64).eps)


def flat(out):
    """The arrays or tensors of ``out`` in one tuple."""
    if isinstance(out, tuple | list):
        return tuple(y for part in out for y in flat(part))
    return () if out is None else (out,)


def is_the_adjoint(function, *primals, vanishing=(), bound=256 * EPS, seed=0):
    """Assert <u, J v> = <J^T u, v> for random u and v: v of all primals, and of each one alone.

    Relative to what the larger side sums up.  One primal alone, so that a small gradient cannot hide
    behind the others; ``vanishing``: the places of those whose gradient is zero, exactly or but for
    rounding, which is then asserted instead.  Returns the largest error in eps.
    """
    rng = np.random.default_rng(seed)
    out, pullback = sa.vjp(lambda *tensors: flat(function(*tensors)), *primals)
    u, v = random_like(rng, out), random_like(rng, primals)
    grads = pullback(*u)
    nothing, worst = [np.zeros(x.shape) for x in primals], 0.0
    total = inner(map(abs, grads), map(abs, v))
    assert total > 0, "vacuous: every gradient is zero"
    for place in (None, *range(len(primals))):
        if place is not None and not primals[place].size:
            continue
        tangents = v if place is None else [*nothing[:place], v[place], *nothing[place + 1 :]]
        scale = inner(map(abs, grads), map(abs, tangents))
        if place in vanishing:
            assert scale <= 1e-12 * total, f"gradient {place} is {scale:.3g} beside {total:.3g}, not zero"
            continue
        assert scale > 0, f"vacuous: gradient {place} is zero and was not said to be"
        pushed = complex_step(lambda *x: flat(function(*x)), primals, tangents)
        scale = max(scale, inner(map(abs, u), map(abs, pushed)))
        error = abs(inner(u, pushed) - inner(grads, tangents)) / scale
        assert error <= bound, f"primal {'(all)' if place is None else place}: {error / EPS:.0f} eps"
        worst = max(worst, error / EPS)
    return worst


def missed(function, *primals, seed=0):
    """By how many eps, of what the larger side sums up, <u, J v> misses <J^T u, v>: v of all primals."""
    rng = np.random.default_rng(seed)
    out, pullback = sa.vjp(lambda *tensors: flat(function(*tensors)), *primals)
    u, v = random_like(rng, out), random_like(rng, primals)
    grads, pushed = pullback(*u), complex_step(lambda *x: flat(function(*x)), primals, v)
    summed = max(inner(map(abs, grads), map(abs, v)), inner(map(abs, u), map(abs, pushed)))
    assert summed > 0, "vacuous: every gradient is zero"
    return abs(inner(u, pushed) - inner(grads, v)) / (EPS * summed)


def hessian_is_symmetric(function, *primals, seed=0, bound=1e-12):
    """Assert <w, H v> = <v, H w> for H the Hessian of <u, function>, by ``sa.hvp``, and that it is not zero.

    And that H v is how the gradient changes along v, to seven digits, by central differences.
    """
    rng = np.random.default_rng(seed)
    u = random_like(rng, flat(function(*primals)))
    v, w = random_like(rng, primals), random_like(rng, primals)

    def loss(*tensors):
        terms = [sa.sum(y * a) for y, a in zip(flat(function(*tensors)), u, strict=True)]
        return sum(terms[1:], start=terms[0])

    hv, hw = (sa.hvp(loss, primals, direction) for direction in (v, w))
    scale = inner(map(abs, w), map(abs, hv))
    assert scale > 0, "vacuous: the Hessian is zero"
    error = abs(inner(w, hv) - inner(v, hw)) / scale
    assert error <= bound, f"the Hessian is not symmetric: {error:.3g}"

    def gradient(step):
        return sa.vjp(loss, *[x + step * d for x, d in zip(primals, v)])[1](np.ones(()))

    moved = [(a - b) / 2e-5 for a, b in zip(gradient(1e-5), gradient(-1e-5))]
    error = abs(inner(w, hv) - inner(w, moved)) / scale
    assert error <= 1e-7, f"the Hessian is not the change of the gradient: {error:.3g}"
