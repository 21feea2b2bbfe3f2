"""How far off may an honest program be?  The spread of our own text under roundoff that strangers may add.

``numbers.noise`` errs after every operation by a roundoff of the *result*: what our text loses.  Others
write the same formula in another order, without our care for sums that cancel, and are honest all the
same.  So here the *operands* of sums and differences err too, each for itself, as in Monte-Carlo
arithmetic with random inputs: what is small only because two large numbers cancelled is known to their
roundoff.  For the same reason the plain formulas are used: see ``plain``.

Source: Parker, "Monte Carlo arithmetic", UCLA CSD-970002, 1997, chapter 2 (precision bounding).
"""

import contextlib

import numpy as np

from ..certificates import results
from ..numbers.noise import UNITS, NoisyArray, rooted, squared
from .doubt import BY_SERIES
from .plain import plain_op, plain_parts, plainly

RUNS = 24
OF_A_CELL = 12  # runs of a composition in low precision; in others what is in doubt alone, which needs one
SLACK = 2  # times that, which the runs were seen to be at most
SIGMAS = 6


class Strangers(NoisyArray):
    """float64 that errs as somebody else's program in the chosen precision might."""

    plain = True  # formulas: see ``plain``

    @staticmethod
    def _size(ufunc, method, inputs, result, kwargs):
        if method == "__call__" and ufunc in (np.add, np.subtract):
            return np.hypot(np.hypot(*inputs), result)
        size = NoisyArray._size(ufunc, method, inputs, result, kwargs)
        return BY_SERIES.get(ufunc, 1) * size


def strangers(dtype, rng):
    """The array class that errs like an honest program in ``dtype``."""
    return type(f"strangers in {dtype}", (Strangers,), {"unit": UNITS[dtype], "rng": rng})


def spread(subject, cotangents, inputs, truth, arithmetic, doubt=None, runs=RUNS):
    """Root mean square distance from ``truth`` of each output and gradient, entry by entry; and the runs.

    ``arithmetic`` is an array class.  All runs at once, as one more leading axis, where the op has
    leading axes; roundoff is drawn for every entry, so they are independent.  Where Monte-Carlo
    arithmetic is blind, what ``doubt`` says; of a composition, that alone.
    """
    doubts = [_doubts(text, cotangents, inputs, doubt) for text in _texts(subject)]
    if subject.op.equals is not None and doubt is not None:
        doubts.append(_doubts(subject, cotangents, inputs, doubt, plain_parts))
        if getattr(arithmetic, "plan", None) is None:
            sigma = [SLACK * np.maximum(*ds) for ds in zip(*doubts, strict=True)]
            return sigma, [np.empty((0, *t.shape)) for t in truth]
        runs = min(runs, OF_A_CELL)
    stacked = _stacked(subject, inputs, runs)
    if stacked is None:
        with plainly():  # entered once
            each = zip(*[_run(subject, cotangents, inputs, arithmetic) for _ in range(runs)])
        samples = [np.stack(ys) for ys in each]
    else:
        many = [np.broadcast_to(u, (runs, *u.shape)) for u in cotangents]
        whole = _run(subject, many, stacked, arithmetic)
        samples = [y.reshape(runs, *t.shape) for y, t in zip(whole, truth, strict=True)]
    with np.errstate(all="ignore"):
        spreads = [rooted(np.mean(squared(ys - t), axis=0)) for ys, t in zip(samples, truth, strict=True)]
    sigma = [np.fmax.reduce(np.broadcast_arrays(s, *ds)) for s, *ds in zip(spreads, *doubts, strict=True)]
    return sigma, samples


def _texts(subject):
    """The op, and its plain text where it has one."""
    plain = plain_op(subject.op)
    return [subject] if plain is None else [subject, _posed(subject, plain)]


def _posed(subject, op):
    """``subject`` with another text of its op."""
    return subject if op is subject.op else type(subject)(op, subject.case)


def _doubts(subject, cotangents, inputs, kind, within=contextlib.nullcontext):
    if kind is None:
        return [0.0] * (len(cotangents) + len(inputs))
    with plainly(), within(), np.errstate(all="ignore"):
        out = results(subject, [kind.of(u) for u in cotangents], [kind.of(x) for x in inputs])
    return [y.doubts() for y in out]


def _run(subject, cotangents, inputs, arithmetic):
    plan, rounded = getattr(arithmetic, "plan", None), lambda x, name: x
    if plan is not None:
        subject = _posed(subject, plan.text(subject.op))
        rounded = lambda x, name: plan.noisy(
            x, name, arithmetic.rng, arithmetic.given if name == "inputs" else None
        )
    given, primals = ([arithmetic.of(rounded(x, "inputs")) for x in xs] for xs in (cotangents, inputs))
    with plainly():
        return [rounded(y.floats(), "outputs") for y in results(subject, given, primals)]


def _stacked(subject, inputs, runs):
    """``inputs`` with ``runs`` copies along a new leading axis of all; None if the op has no such axes."""
    if subject.op.shape_rule or subject.op.equals or not inputs:
        return None
    names = subject.op._signature._expected(len(subject.case.inputs))
    core = [len(names[place].axes) for place in subject.places]
    passive = [
        x.ndim - len(argument.axes)
        for i, (x, argument) in enumerate(zip(subject.case.inputs, names))
        if i not in subject.places and x is not None
    ]
    rank = max([x.ndim - n for x, n in zip(inputs, core)] + passive)
    out = []
    for x, n in zip(inputs, core):
        shape = (runs, *[1] * (rank - (x.ndim - n)), *x.shape)
        out.append(np.broadcast_to(x, (runs, *x.shape)).reshape(shape))
    return out
