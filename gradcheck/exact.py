"""Is the backward the derivative?  Decided without a tolerance, in number systems that do not round."""

import numpy as np

from scratchattn.op import REGISTRY
from scratchattn.tape import vjp

from .subject import tupled

_DRAWS = 300  # until all roots exist that an op takes, each with probability one half


def backward_is_the_derivative_in_a_field(subject, rng):
    """<u, J v> and <J^T u, v> as integers modulo a prime near 2^61, at random x, u and v.

    First with roots that are free, which asks most; where that fails, with true ones.  Left out are cases
    on a kink, which have no derivative, and those with inputs that are not finite: no numbers of the field.
    """
    from .numbers.field import NoRoot, true_roots

    if subject.case.margin == 0 or not all(np.isfinite(x).all() for x in subject.inputs):
        return
    try:
        wrong = _differs(subject, rng)
    except (AttributeError, TypeError, ArithmeticError):
        if REGISTRY.get(subject.op.name) is subject.op:
            raise
        return  # somebody's own pair need not keep to the alphabet
    if wrong:
        with true_roots():
            for _ in range(_DRAWS):
                try:
                    wrong = _differs(subject, rng)
                    break
                except NoRoot:
                    continue
    yield "<u, J v> - <J^T u, v> modulo p", float(wrong), 0.0


def _differs(subject, rng):
    from .numbers.field import FieldArray, inner

    primals = [FieldArray.random(x, rng) for x in subject.inputs]
    out, pullback = vjp(subject.function, *primals)
    pushed = out
    if subject.op.detached is not None:
        whole, params = subject.whole(primals), subject.case.params
        held = [_constant(x) for x in subject.op.detached.stopped(*whole, **params)]
        pushed = tupled(subject.op.detached.forward(*whole, *held, **params))
    cotangents = [FieldArray.random(rng.normal(size=y.shape), rng, tangents=False) for y in out]
    grads = pullback(*cotangents)
    left = inner([u.values() for u in cotangents], [FieldArray.of(y).tangents() for y in pushed])
    right = inner([g.values() for g in grads], [x.tangents() for x in primals])
    return left != right


def _constant(x):
    return x.without_tangents() if hasattr(x, "without_tangents") and x.dtype.kind == "O" else x
