"""Checks of the backward against derivatives that were found in another way.

Every check takes a Subject and a generator and yields (what, error, tolerance).  Errors are
relative to the size of the thing compared, never absolute: a saturated softmax has gradients of
1e-8, and an absolute tolerance would bless any formula there.
"""

import math

import numpy as np

from .numeric import central_jacobian, complex_step, complex_step_jacobian, exact_jacobian, exactly, ridders
from .subject import distance, inner, random_like

EPS = float(np.finfo(np.float64).eps)
EPS32 = float(np.finfo(np.float32).eps)


def forward_is_the_paper(subject, rng):
    """The vectorised forward equals the element-by-element transcription."""
    if subject.op.loops is None:
        return
    try:
        paper = subject.transcription(math)(*subject.inputs)
    except (OverflowError, ZeroDivisionError, ValueError):  # the naive formula leaves float64's range
        paper = _in_sixty_digits(subject)
    factor = condition(subject)
    for name, found, truth in zip(subject.outputs, subject.function(*subject.inputs), paper, strict=True):
        yield name, distance(found, truth.astype(float)), 1e-13 * factor


def backward_is_the_papers_derivative(subject, rng):
    """Every Jacobian row, against the transcription differentiated in 60 digits.

    Row by row, so that a saturated output cannot hide behind a lively one.  Not on a kink, where
    the transcription has two derivatives, nor where the backward is on purpose another's.
    """
    if subject.op.loops is None or subject.case.margin == 0 or subject.held:
        return
    import mpmath

    factor = condition(subject)
    paper = subject.transcription(mpmath)
    for i, blocks in enumerate(subject.jacobians()):
        size = subject.inputs[i].size
        truths = exact_jacobian(paper, subject.inputs, i)
        yield from _vacuous(subject, i, truths)
        for name, found, truth in zip(subject.outputs, blocks, truths):
            rows = zip(found.reshape(-1, size), truth.reshape(-1, size)) if truth.size else ()
            worst = np.max([distance(*row) for row in rows], initial=0.0)  # Python's max() may forget a NaN
            yield f"{name} by {subject.names[i]}", worst, 1e-12 * factor


def backward_is_the_adjoint(subject, rng):
    """<u, J v> = <J^T u, v> to rounding, J v by a complex step."""
    yield from _adjoint(subject, rng, subject.inputs, 256 * EPS)


def float32_by_complex_step(subject, rng):
    """The same in float32, J v by a complex step in complex64."""
    yield from _adjoint(subject, rng, [x.astype(np.float32) for x in subject.inputs], 256 * EPS32)


def _adjoint(subject, rng, inputs, tolerance):
    if not inputs:
        return
    dtype = inputs[0].dtype
    out, pullback = subject.vjp(inputs)
    u = [a.astype(dtype) for a in random_like(rng, out)]
    v = [a.astype(dtype) for a in random_like(rng, inputs)]
    grads, pushed = pullback(*u), complex_step(subject.differentiated(), inputs, v)
    scale = inner(map(abs, grads), map(abs, v))
    if scale == 0 and not all(subject.zero):
        yield "vacuous: the gradient is zero everywhere", np.inf, tolerance
    scale = max(scale, inner(map(abs, u), map(abs, pushed)))  # what either side of the identity sums up
    error = abs(inner(u, pushed) - inner(grads, v)) / (scale or 1.0)
    yield "random direction", error, tolerance * condition(subject)


def backward_is_the_jacobian(subject, rng):
    """Every entry of every Jacobian, against a complex step through the op's own forward."""
    f, factor = subject.differentiated(), condition(subject)
    for i, blocks in enumerate(subject.jacobians()):
        truths = complex_step_jacobian(f, subject.inputs, i)
        yield from _vacuous(subject, i, truths)
        largest = max((abs(t).max() for t in truths if t.size), default=0.0) or 1.0
        for name, found, truth in zip(subject.outputs, blocks, truths, strict=True):
            error = np.inf if found.shape != truth.shape else abs(found - truth).max(initial=0.0) / largest
            yield f"{name} by {subject.names[i]}", float(error), 1e-13 * factor


def backward_is_the_slope(subject, rng):
    """One random direction in real arithmetic; trusts neither analyticity nor the transcription."""
    if subject.case.margin == 0 or not subject.inputs:
        return
    f = subject.differentiated()
    out, pullback = subject.vjp()
    u, v = random_like(rng, out), random_like(rng, subject.inputs)
    grads = pullback(*u)
    ours = inner(grads, v)
    reach = max((abs(a).max() for a in v if a.size), default=1.0)
    h = min(1e-2, 0.5 * (subject.case.margin or np.inf) / reach)
    # A steep case wants smaller steps, and the estimates know which doubt least; but one that steps over
    # all that happens is sure of itself too, so the better of the two surest counts.
    starts = (h, h / 32, h / 1024)
    phi = lambda t: inner(u, f(*[x + t * a for x, a in zip(subject.inputs, v)]))
    with np.errstate(invalid="ignore"):  # an infinite input that was dropped has the gradient zero
        noise = EPS * inner(map(abs, grads), map(abs, subject.inputs))  # of the argument's own rounding
    noise = noise if np.isfinite(noise) else 0.0  # a gradient that is no number excuses nothing
    surest = sorted((ridders(phi, h, noise=noise) for h in starts), key=lambda found: found[1])[:2]
    slope, doubt = min(surest, key=lambda found: abs(found[0] - ours))
    scale = abs(slope) or 1.0
    yield "random direction", abs(ours - slope) / scale, max(1e-9 * condition(subject), 10 * doubt / scale)


def central_differences_agree(subject, rng, most=48):
    """All of the Jacobian where it is small, to seven digits."""
    if subject.case.margin == 0 or sum(x.size for x in subject.inputs) > most:
        return
    h = min(1e-4, 0.2 * (subject.case.margin or np.inf))
    f, factor = subject.differentiated(), condition(subject)
    for i, blocks in enumerate(subject.jacobians()):
        truths, rounding = central_jacobian(f, subject.inputs, i, h)
        largest = max((abs(t).max() for t in truths if t.size), default=0.0) or 1.0
        for name, found, truth in zip(subject.outputs, blocks, truths, strict=True):
            error = np.inf if found.shape != truth.shape else abs(found - truth).max(initial=0.0) / largest
            yield f"{name} by {subject.names[i]}", float(error), 1e-7 * factor + 10 * rounding / largest


def hessian_is_symmetric(subject, rng):
    """<w, H v> = <v, H w> for H the Hessian of <u, f(x)>: a complex step through the backward.

    Never looks at the forward's values: a gradient that is no gradient at all is found.
    """
    if subject.held or not subject.inputs:
        return
    u = random_like(rng, subject.function(*subject.inputs))
    v, w = random_like(rng, subject.inputs), random_like(rng, subject.inputs)
    gradient = subject.gradient(u)
    hv, hw = (complex_step(gradient, subject.inputs, direction) for direction in (v, w))
    scale = inner(map(abs, w), map(abs, hv)) or 1.0
    yield "random pair", abs(inner(w, hv) - inner(v, hw)) / scale, 1e-12 * condition(subject)


def fused_equals_the_composition(subject, rng):
    """Forward and every gradient of a fused op, against reference ops put together by the tape."""
    if subject.op.equals is None:
        return
    from scratchattn.tape import vjp

    fused, pull_fused = subject.vjp()
    chain, pull_chain = vjp(subject.composition, *subject.inputs)
    for name, found, truth in zip(subject.outputs, fused, chain, strict=True):
        yield name, distance(found, truth), 1e-12
    u = random_like(rng, fused)
    for name, found, truth in zip(subject.names, pull_fused(*u), pull_chain(*u), strict=True):
        yield f"gradient by {name}", distance(found, truth), 1e-12


def condition(subject):
    """1, or for a case that is ill-conditioned by design its condition number.

    From the 60-digit truth; without mpmath (the demo needs none) from complex steps, to few digits.
    """
    if not subject.case.ill_conditioned:
        return 1.0
    if not hasattr(subject, "condition"):
        try:
            import mpmath

            paper, values, jacobian_of = (
                subject.transcription(mpmath),
                _in_sixty_digits(subject),
                exact_jacobian,
            )
        except ImportError:
            paper, jacobian_of = subject.differentiated(), complex_step_jacobian
            values = subject.function(*subject.inputs)
        sizes = [abs(y.astype(float)).max() for y in values]
        worst = [np.zeros(1) for _ in sizes]
        for i, x in enumerate(subject.inputs):
            for j, truth in enumerate(jacobian_of(paper, subject.inputs, i)):
                worst[j] = worst[j] + abs(truth.reshape(-1, x.size) * x.ravel()).sum(-1)
        subject.condition = max(1.0, *[float(w.max() / size) for w, size in zip(worst, sizes) if size])
    return subject.condition


def _in_sixty_digits(subject):
    import mpmath

    with mpmath.workdps(60):
        exact = [exactly(mpmath.mpf, x) for x in subject.inputs]
        return subject.transcription(mpmath)(*exact)


def _vacuous(subject, i, truths):
    """A comparison that saw only zeros fails, unless the case says so; and the other way round."""
    zero = all(abs(t).max(initial=0.0) == 0 for t in truths)
    if zero != subject.zero[i] and subject.inputs[i].size:
        told = "only zeros, and the case does not say so" if zero else "the case says zero, and it is not"
        yield f"{subject.names[i]}: {told}", np.inf, 0.0
