"""How far off are our floats?  Against balls that provably hold the truth, in units that the noise allows.

The truth is the op's own text in balls of many digits, at the same inputs and cotangents; what an honest
program may lose is the spread of the same text under roundoff drawn at random after every operation.
"""

from dataclasses import replace

import numpy as np

from scratchattn.tape import vjp

from .subject import Subject, random_like

DIGITS = 60
RUNS = 12  # of the noise
SIGMAS = 6
CERTIFICATES = ("error_is_certified", "float32_errs_as_float32_must", "derivatives_are_certified")


def error_is_certified(subject, rng):
    """Our float64 against the truth: 6 sigma and a unit in the last place of the largest entry."""
    yield from _compared(subject, rng, "float64")


def float32_errs_as_float32_must(subject, rng):
    """The same in float32, at the inputs rounded to it."""
    yield from _compared(subject, rng, "float32")


def uncertified(op, found, seed=0):
    """(case, check, why) for every case of ``op`` that has no certificate among ``found``, its results."""
    known = {(result["case"], result["check"]) for result in found}
    for case in op.cases(np.random.default_rng(seed)):
        for check in CERTIFICATES if (case.label, "forward_runs") not in known else ():
            if (case.label, check) not in known:
                yield case.label, check, _why_not(op, case, check)


def _why_not(op, case, check):
    dtype = "float32" if check.startswith("float32") else "float64"
    with np.errstate(over="ignore"):
        finite = all(np.isfinite(x.astype(dtype)).all() for x in Subject(op, case).inputs)
    if check in op.excused:
        return "excused"
    if case.margin == 0:
        return "on a kink"
    return "undecided in balls" if finite else f"inputs that are not finite in {dtype}"


def results(subject, cotangents, inputs):
    """Outputs and gradients of ``subject`` at ``inputs`` of any number system, ``cotangents`` of the same."""
    out, pullback = vjp(subject.function, *inputs)
    return [*out, *pullback(*cotangents)]


def truth(subject, cotangents, inputs, digits=DIGITS):
    """What ``results`` is at these floats: arrays of balls.  ArithmeticError if a branch is undecided."""
    from .numbers.balls import BallArray
    from .numbers.balls import digits as context

    with context(digits):
        return results(subject, [BallArray.of(u) for u in cotangents], [BallArray.of(x) for x in inputs])


def certified(subject, rng, dtype):
    """What ``dtype`` finds and what is true, at the inputs as ``dtype`` holds them.

    (results, the truth as floats, how many of them are outputs), random cotangents; None where the case is
    on a kink, has inputs that are not finite, or has a branch that balls cannot decide.
    """
    measured = _measured(subject, rng, dtype)
    return measured and (measured[0], measured[1], len(subject.outputs))


def _measured(subject, rng, dtype):
    from .numbers.balls import Undecided

    if subject.case.margin == 0 or not all(np.isfinite(x).all() for x in subject.inputs):
        return None
    subject = Subject(subject.op, _rounded(subject.case, dtype))
    cotangents = [u.astype(dtype) for u in random_like(rng, subject.function(*subject.inputs))]
    inputs = [x.astype(dtype) for x in subject.inputs]
    if not all(np.isfinite(x).all() for x in inputs):
        return None
    found = results(subject, cotangents, inputs)
    wide = [[x.astype(float) for x in xs] for xs in (cotangents, inputs)]
    try:
        exact = [y.floats() for y in truth(subject, *wide)]
    except Undecided:
        return None
    return found, exact, subject, *wide


def _compared(subject, rng, dtype):
    from .numbers.noise import UNITS, spread

    measured = _measured(subject, rng, dtype)
    if measured is None:
        return
    found, exact, subject, cotangents, inputs = measured

    def noisy(*arrays):
        return results(subject, [arrays[0].of(u) for u in cotangents] if arrays else cotangents, arrays)

    sigma = spread(noisy, inputs, dtype, exact, RUNS)
    for name, y, t, s in zip(_names(subject), found, exact, sigma, strict=True):
        unit = 2 * UNITS[dtype] * abs(t).max(initial=0)
        excess = abs(np.asarray(y, float) - t) / (SIGMAS * s + unit + np.finfo(dtype).tiny)
        yield f"{name}, in 6 sigma and a unit", float(excess.max(initial=0)), 1.0


def _rounded(case, dtype):
    """The case with all its floats, those without a gradient too, as ``dtype`` holds them."""

    def rounded(x):
        kind = getattr(getattr(x, "dtype", None), "kind", "")
        return np.asarray(x).astype(dtype).astype(float) if kind == "f" else x

    return replace(case, inputs=tuple(map(rounded, case.inputs)))


def _names(subject):
    return [*subject.outputs, *[f"g({name})" for name in subject.names]]
