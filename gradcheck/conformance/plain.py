"""Our text as most people would have written it: with the formulas that cancel.

``scratchattn.calculus`` takes care that nothing cancels: slopes come from exponentials, a softmax's
cotangent is relative to the winner's.  Others write 1 - y^2 and p (g - sum p g), as PyTorch and JAX do; in a
saturated or a sharp case they lose digits that we keep, and are honest all the same.  What they may lose
is measured on the same ops with these formulas in the place of ours.
"""

import contextlib
import functools
import sys
import threading
from dataclasses import replace
from types import FunctionType

from scratchattn import calculus, tape
from scratchattn.backend import array_module, erf, real, sum_to_shape


def sigmoid(xp, z):
    """s and s (1 - s); s by a hyperbolic tangent where it is large, as some compilers have it."""
    s, _ = calculus.sigmoid(xp, z)
    s = xp.where(real(z) < 0, s, 0.5 + 0.5 * xp.tanh(0.5 * z))
    return s, s * (1 - s)


def tanh(xp, z):
    """tanh(z) and 1 - tanh^2."""
    t = xp.tanh(z)
    return t, 1 - t * t


def softmax_backward(xp, weights, winner, dweights):
    """a (g(a) - sum a g(a)); the sum of g as it was before rounding, if a plan takes it from elsewhere."""
    given, plan = dweights, getattr(getattr(xp, "kind", None), "plan", None)
    dweights = _stage(xp, "dprobabilities", dweights)
    if plan is None or plan.row_sums is None:
        given = dweights
    dlogits = weights * (dweights - xp.sum(weights * given, axis=-1, keepdims=True))
    return _stage(xp, "dscores", dlogits)


def softmax(xp, z, keep=None):
    """The same, with its stages for a plan of rounding to take hold of."""
    weights, winner = calculus.softmax(xp, _stage(xp, "scores", z), keep)
    return _stage(xp, "probabilities", weights), winner


def softmax_and_log_sum(xp, z, keep=None):
    weights, winner, log_sum = calculus.softmax_and_log_sum(xp, _stage(xp, "scores", z), keep)
    return _stage(xp, "probabilities", weights), winner, log_sum


def summed_copies(array, shape):
    """The sum over axes that were broadcast."""
    if array.shape != shape:
        array = _stage(array_module(array), "copies", array)
    return sum_to_shape(array, shape)


def _stage(xp, name, x):
    """``x`` as a number system with a plan rounds it there."""
    rounding = getattr(xp, "stage", None) if hasattr(type(xp), "stage") else None
    return x if rounding is None else rounding(name, x)


_PLAIN = {
    calculus.softmax: softmax,
    calculus.softmax_and_log_sum: softmax_and_log_sum,
    calculus.sigmoid: sigmoid,
    calculus.tanh: tanh,
    calculus.softmax_backward: softmax_backward,
    sum_to_shape: summed_copies,
}


def _by_arithmetic(ours, theirs):
    """A function that is ``theirs`` for the numbers of a stranger and ``ours`` for all others."""

    @functools.wraps(ours)
    def either(first, *rest):
        kind = getattr(first, "kind", None) or type(first)  # a namespace or an array
        return (theirs if getattr(kind, "plain", False) else ours)(first, *rest)

    return either


_EITHER = {ours: _by_arithmetic(ours, theirs) for ours, theirs in _PLAIN.items()}
_lock, _places, _within = threading.Lock(), [], 0


@contextlib.contextmanager
def plainly():
    """Context in which the ops use the plain formulas on arrays whose class says ``plain``.

    On all others they are as they always are, so that other threads do not notice.
    """
    global _within
    with _lock:
        _within += 1
        for module, name, ours in _uses() if _within == 1 else ():
            _places.append((module, name, ours))
            setattr(module, name, _EITHER[ours])
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            while _places and not _within:
                setattr(*_places.pop())


def _uses():
    """(module, name, function) wherever an op has imported a formula that has a plain one."""
    for title, module in list(sys.modules.items()):
        if title.startswith(("scratchattn.ops.", "scratchattn.scoring")):
            for name, value in list(vars(module).items()):
                if isinstance(value, FunctionType) and value in _PLAIN:
                    yield module, name, value


def sharpening_forward(weights, sharpness, *, denominator_eps=0.0, base_eps=0.0):
    """softmax(c log w) as it stands, no logarithm relative to the largest; with eps, powers over sums."""
    xp = array_module(weights, sharpness)
    base = weights + base_eps if base_eps else weights
    live = real(base) > 0
    power, logs = xp.expand_dims(sharpness, axis=-1), xp.log(xp.where(live, base, 1))
    live = xp.broadcast_to(live, (power * logs).shape)
    if denominator_eps:
        powers = xp.where(live, xp.exp(power * logs), 0)
        shares = powers / (xp.sum(powers, axis=-1, keepdims=True) + denominator_eps)
    else:
        shares, _ = calculus.softmax(xp, power * logs, live)
    return shares, (weights, base, sharpness, live, power, logs, shares)


def sharpening_backward(saved, dsharpened):
    weights, base, sharpness, live, power, logs, shares = saved
    xp = array_module(shares, dsharpened)
    dlogits = softmax_backward(xp, shares, None, dsharpened)
    dweights = xp.where(live, power * dlogits / xp.where(live, base, 1), 0)
    dsharpness = xp.sum(dlogits * logs, axis=-1)
    return sum_to_shape(dweights, weights.shape), sum_to_shape(dsharpness, sharpness.shape)


def gelu_forward(a, *, form="erf"):
    """a (1 + erf(a / sqrt 2)) / 2, or with a tanh in its place: below, the sum cancels."""
    xp = array_module(a)
    if form == "erf":
        t = a * 0.5**0.5
        share, rise = 0.5 * (1 + erf(t)), t * xp.exp(-t * t) / xp.pi**0.5
    else:
        root = (2 / xp.pi) ** 0.5
        t = xp.tanh(root * (a + 0.044715 * a * a * a))
        share = 0.5 * (1 + t)
        rise = 0.5 * a * (1 - t * t) * (root * (1 + 3 * (0.044715 * a * a)))
    return a * share, share + rise


def gelu_backward(saved, dout):
    return (dout * saved,)


_PAIRS = {
    "sharpening": (sharpening_forward, sharpening_backward),
    "gelu": (gelu_forward, gelu_backward),
}


def plain_op(op):
    """``op`` with the plain text of its own that is above; None where there is none."""
    if op.name not in _PAIRS:
        return None
    forward, backward = _PAIRS[op.name]
    return replace(op, forward=forward, backward=backward)


@contextlib.contextmanager
def plain_parts():
    """Context in which a composition is made of plain texts, and has 1 - gate for a gate's complement."""
    ours = tape.apply

    def apply(op, inputs, params):
        if op.inputs[-1] == "complement":
            inputs = (*inputs[:-1], None)
        return ours(plain_op(op) or op, inputs, params)

    tape.apply = apply
    try:
        yield
    finally:
        tape.apply = ours
