"""Is the backward the derivative?  Decided in number systems that do not round."""

import numpy as np

from scratchattn.op import REGISTRY
from scratchattn.tape import vjp

from .numbers.array import NumberArray
from .subject import random_like, tupled

DIGITS = 60
_DRAWS = 300  # until all roots exist that an op takes, each with probability one half


def backward_is_the_derivative_in_a_field(subject, rng):
    """<u, J v> and <J^T u, v> as integers modulo a prime near 2^61, at random x, u and v.

    First with roots that are free, which asks most; where that fails, with true ones.  Left out are cases
    on a kink, which have no derivative, and those with inputs that are not finite: no numbers of the field.
    """
    if subject.case.margin == 0 or not all(np.isfinite(x).all() for x in subject.inputs):
        return
    try:
        wrong = refuted(lambda: _differs(subject, rng))
    except (AttributeError, TypeError, ArithmeticError):
        if REGISTRY.get(subject.op.name) is subject.op:
            raise
        return  # somebody's own pair need not keep to the alphabet
    yield "<u, J v> - <J^T u, v> modulo p", float(wrong), 0.0


def refuted(differs):
    """Whether ``differs()``, which draws anew at every call, is true with free roots and with true ones."""
    from .numbers.field import NoRoot, true_roots

    wrong = differs()
    if wrong:
        with true_roots():
            for _ in range(_DRAWS):
                try:
                    return differs()
                except NoRoot:
                    continue
    return wrong


def _differs(subject, rng):
    from .numbers.field import FieldArray, inner

    primals = [FieldArray.random(x, rng) for x in subject.inputs]
    out, pullback = vjp(subject.function, *primals)
    pushed = _differentiated(subject, primals, out)
    cotangents = [FieldArray.random(rng.normal(size=y.shape), rng, tangents=False) for y in out]
    grads = pullback(*cotangents)
    left = inner([u.values() for u in cotangents], [y.tangents() for y in pushed])
    right = inner([g.values() for g in grads], [x.tangents() for x in primals])
    return left != right


def derivatives_are_certified(subject, rng):
    """<u, J v> - <J^T u, v>, and v . H v by the forward less that by the backward: enclosed around zero.

    By power series in balls of many digits: a proof for these inputs, with no number system of its own.
    Relative to what is compared; a branch that balls cannot decide, a tie, certifies nothing.
    """
    from .numbers.balls import Undecided
    from .numbers.jets import JetArray, jets

    if subject.case.margin == 0 or not all(np.isfinite(x).all() for x in subject.inputs):
        return
    v = random_like(rng, subject.inputs)
    u = random_like(rng, subject.function(*subject.inputs))
    with jets(DIGITS):
        primals = [JetArray.along(x, d) for x, d in zip(subject.inputs, v)]
        try:
            out, pullback = vjp(subject.function, *primals)
            grads = pullback(*[JetArray.of(a) for a in u])
            pushed = _differentiated(subject, primals, out)
        except Undecided:
            return

        def paired(arrays, order, with_):
            return sum(
                np.sum(np.asarray(a.coefficient(order)) * b) for a, b in zip(arrays, with_, strict=True)
            )

        pairs = [("<u, J v> - <J^T u, v>", paired(pushed, 1, u), paired(grads, 0, v))]
        if not subject.held:
            pairs.append(("v . H v, forward less backward", 2 * paired(out, 2, u), paired(grads, 1, v)))
        for what, left, right in pairs:
            gap = left - right
            error = float(abs(gap.mid()) + gap.rad()) if hasattr(gap, "rad") else abs(gap)
            yield what, error / max(abs(float(left)), 1.0), 10.0**-40


def _differentiated(subject, primals, out):
    """``out``, or what it is on purpose the derivative of: the forward with something held constant."""
    kind = type(primals[0]) if primals else None
    if subject.held:
        whole, params = subject.whole(primals), subject.case.params
        held = [
            x.real if isinstance(x, NumberArray) else x for x in subject.op.detached.stopped(*whole, **params)
        ]
        out = tupled(subject.op.detached.forward(*whole, *held, **params))
    return [kind.of(y) for y in out]
