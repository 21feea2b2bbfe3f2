"""Golden vectors: for every op and case what goes in, what must come out, and how far off one may be.

    document = vectors_of(REGISTRY["softmax_attention"])    inputs, cotangents, truth, tolerance
    rows = judge(document, answers)                         a verdict for each case

Inputs and cotangents are exact in float32.  The truth is the op's own text in balls of 60 digits, rounded
to hi + lo: the nearest double, and the nearest double of the rest.  What is allowed comes from the spread
of the same text under random roundoff of float32 and of float64; it is rounded up to five bits, so that the
last digits of a machine's logarithm do not change a file.  ``vector_files`` writes and reads;
docs/vectors.md says what.
"""

import hashlib
import json
import zlib
from dataclasses import replace

import numpy as np

from .certificates import DIGITS, SIGMAS, results, truth
from .subject import Subject, random_like

FORMAT, VERSION = "scratchattn vectors", 2
DTYPES = ("float32", "float64")
RUNS = 16  # of the noise
LOOSE = 2.0**-20  # of the largest result: a tolerance that large, in float64, refuses nothing
ALIKE = 2.0  # two estimates of one spread, from 16 runs each, may differ by that
FLOAT32 = 2.0**29  # roundoffs of float64 in one of float32


class LeftOut(Exception):
    """Why a case has no golden vector."""


def vectors_of(op, *, seed=0):
    """The document of ``op``: a vector for every case, and in ``left_out`` {reason: labels} of the others."""
    vectors, left_out = [], {}
    for case in op.cases(np.random.default_rng(seed)):
        try:
            with np.errstate(all="ignore"):
                vectors.append(vector_of(op, case))
        except LeftOut as reason:
            left_out.setdefault(str(reason), []).append(case.label)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "kind": "vectors",
        "op": op.name,
        "signature": op.signature,
        "source": op.source,
        "detached": op.detached is not None,
        "tolerance": {"sigmas": SIGMAS, "ulps_of_the_largest": 1},
        "lo_bits": 53,
        "variants": [
            {"name": v.name, "params": _in_json(op, v.params), "source": v.source} for v in op.variants
        ],
        "left_out": left_out,
        "cases": vectors,
    }
    return document


def vector_of(op, case):
    """One case as a dictionary of arrays; LeftOut if nobody can be held against it.

    Left out are cases on a kink, or that rounding to float32 moves as far as the next one; those with
    inputs or results that are not finite; those of which balls cannot decide the branch, and those of
    which roundoff changes it, so that the noise gives no tolerance.
    """
    inputs = tuple(_rounded(x) for x in case.inputs)
    floating = [(x, y) for x, y in zip(case.inputs, inputs) if y is not None and y.dtype.kind == "f"]
    if not all(np.isfinite(y).all() for _, y in floating):
        raise LeftOut("inputs that are not finite")
    moved = max((abs(np.asarray(x) - y).max() for x, y in floating if y.size), default=0.0)
    if case.margin is not None and moved >= case.margin:
        raise LeftOut("on a kink")
    subject = Subject(op, replace(case, inputs=inputs))
    values = subject.function(*subject.inputs)
    seed = zlib.crc32(f"{op.name}: {case.label}".encode())  # of its own: a new case moves no other's
    cotangents = [_short(u) for u in random_like(np.random.default_rng(seed), values)]
    names = [*subject.outputs, *[f"g({name})" for name in subject.names]]
    every = [argument.name for argument in op._signature._expected(len(inputs))]
    exact = _truth(subject, cotangents)
    sigma = {dtype: _sigma(subject, cotangents, exact, dtype) for dtype in DTYPES}
    scale = max((abs(hi).max(initial=0.0) for hi, _ in exact), default=0.0)
    if any(s.max(initial=0.0) > LOOSE * scale for s in sigma["float64"]):
        raise LeftOut("on a branch that rounding decides")
    asked = {
        "label": case.label,
        "params": _in_json(op, case.params),
        "variants": [v.name for v in op.variants if op._params | v.params == op._params | case.params],
        "inputs": {name: _as_stored(x) for name, x in zip(every, inputs) if x is not None},
        "cotangents": {name: _as_stored(u) for name, u in zip(subject.outputs, cotangents)},
    }
    answered = {
        name: {"hi": hi, "lo": lo, **_allowed(hi, *spreads)}
        for name, (hi, lo), *spreads in zip(names, exact, sigma["float64"], sigma["float32"], strict=True)
    }
    return {"id": identity(op.name, asked), **asked, "truth": answered}


def identity(name, asked):
    """Sixteen hexadecimal digits of what is asked: answers to another question have another id."""
    arrays = [
        [kind, name, x.dtype.name, x.shape, x.tobytes().hex()]
        for kind in ("inputs", "cotangents")
        for name, x in sorted(asked[kind].items())
    ]
    text = json.dumps([name, asked["label"], asked["params"], arrays], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ---- the truth, and how far off an honest program may be --------------------


def _truth(subject, cotangents):
    """(hi, lo) of every output and gradient, to more digits where something cancels."""
    from .numbers.balls import Undecided, digits

    for count in (DIGITS, 2 * DIGITS, 4 * DIGITS):
        try:
            with digits(count):
                exact = truth(subject, cotangents, subject.inputs, count)
                scale = max((abs(y.floats()).max(initial=0.0) for y in exact), default=0.0)
                pairs = [_double_double(y, scale) for y in exact]
        except Undecided:
            continue
        if all(pairs):
            return pairs
    raise LeftOut("undecided in balls")


def _double_double(y, scale):
    """hi and lo of an array of balls; None if a ball is too wide to know them.

    A ball around zero is zero if it is below 1e-40 of ``scale``, the largest of all results.
    """
    hi = np.asarray(y.floats(), dtype=float)
    lo = np.zeros_like(hi)
    if not np.isfinite(hi).all() or abs(hi).max(initial=0.0) > np.finfo(np.float32).max:
        raise LeftOut("results that float32 cannot hold")
    if y.dtype != object:
        return hi, lo
    for place, ball in np.ndenumerate(np.asarray(y)):
        radius, around_zero = float(ball.rad()), bool(ball.contains(0))
        if radius > (1e-40 * scale if around_zero else 2.0**-108 * abs(hi[place])):
            return None
        if around_zero:
            hi[place] = 0.0
        else:
            lo[place] = float(ball - float(hi[place]))
    return hi, lo


def _sigma(subject, cotangents, exact, dtype):
    from .numbers.noise import spread

    def noisy(*arrays):
        return results(subject, [arrays[0].of(u) if arrays else u for u in cotangents], arrays)

    found = spread(noisy, subject.inputs, dtype, [hi for hi, _ in exact], RUNS)
    if not all(np.isfinite(s).all() for s in found):
        raise LeftOut("no finite tolerance")
    return found


def _allowed(hi, *sigmas):
    """6 sigma and a unit in the last place of the largest entry, for an answer in float64 and in float32.

    Where roundoff acts alike in both, one is 2^29 of the other; then the larger estimate serves both.
    """
    eps = np.finfo(float).eps * abs(hi).max(initial=0.0)
    double, single = SIGMAS * sigmas[0] + eps, SIGMAS * sigmas[1] / FLOAT32 + eps
    larger = np.maximum(double, single)
    if (larger <= ALIKE * np.minimum(double, single)).all():
        double = single = larger
    return {"allowed_float64": _five_bits(double), "allowed_float32": _five_bits(single) * FLOAT32}


def _five_bits(x):
    """``x`` rounded up, and 0 if it is next to nothing."""
    mantissa, exponent = np.frexp(np.where(x < np.finfo(float).tiny, 0.0, x))
    return np.ldexp(np.ceil(32 * mantissa) / 32, exponent)


def tolerance(result, dtype):
    """What one may be off by in ``dtype``, entry by entry."""
    return result[f"allowed_{dtype}"] + np.finfo(dtype).tiny


# ---- what others answered ---------------------------------------------------


def judge(document, answers):
    """A row for every answer and for every case without one: op, case, id, answered, dtype, ok, worst, what.

    ``worst`` is the largest error in units of what is allowed, so that 1 is just allowed; ``what`` says where
    it is, or what else is wrong.  An answer to a question that ``document`` has not is wrong.
    """
    asked = {case["id"]: case for case in document["cases"]}
    wrong = {"dtype": None, "ok": False, "worst": np.inf}
    rows = []
    for answer in answers["cases"]:
        case = asked.get(answer["id"])
        if case is None:
            verdict = wrong | {"what": "no such question: made for other vectors, or its id was not copied"}
        else:
            verdict = _verdict(case["truth"], answer["answers"])
        label = case["label"] if case else str(answer.get("label", ""))
        rows.append({"case": label, "id": answer["id"], "answered": True, **verdict})
    given = {answer["id"] for answer in answers["cases"]}
    for case in document["cases"]:
        if case["id"] not in given:
            row = {"case": case["label"], "id": case["id"], "answered": False}
            rows.append(row | wrong | {"what": "it has no answer"})
    return [{"op": document["op"], **row} for row in rows]


def _verdict(exact, answers):
    found = sorted({x.dtype.name for x in answers.values()})
    verdict = {"dtype": found[0] if len(found) == 1 else None, "ok": False, "worst": np.inf}
    if len(found) != 1 or found[0] not in DTYPES:
        return {
            **verdict,
            "what": f"one of {', '.join(DTYPES)} expected, got {', '.join(found) or 'nothing'}",
        }
    unknown = [name for name in answers if name not in exact]
    if unknown:
        return {**verdict, "what": f"{unknown[0]} is none of {', '.join(exact)}"}
    worst, what = 0.0, "exact"
    for name, result in exact.items():
        if name not in answers:
            return {**verdict, "what": f"{name} is missing"}
        got, hi = answers[name].astype(float), result["hi"]
        if got.shape != hi.shape:
            return {**verdict, "what": f"{name} must be of shape {hi.shape}, got {got.shape}"}
        with np.errstate(invalid="ignore"):
            excess = abs(got - hi - result["lo"]) / tolerance(result, found[0])
        excess = np.where(np.isnan(excess), np.inf, excess)
        if excess.size and excess.max() > worst:
            worst, place = float(excess.max()), np.unravel_index(excess.argmax(), excess.shape)
            where = f"[{', '.join(map(str, place))}]" if place else ""
            what = f"{name}{where} is {got[place]:.17g}, the truth {hi[place]:.17g}"
    return {**verdict, "ok": worst <= 1.0, "worst": worst, "what": what}


# ---- small conversions ------------------------------------------------------


def _rounded(x):
    """``x`` with floats as float32 has them, in float64; booleans and indices as they are."""
    if x is None:
        return None
    x = np.asarray(x)
    with np.errstate(over="ignore"):
        return x.astype(np.float32).astype(float) if x.dtype.kind == "f" else x


def _short(u):
    """``u`` as the nearest odd multiple of 1/32: never zero, and of few digits."""
    return (np.floor(16 * np.asarray(u)) + 0.5) / 16


def _as_stored(x):
    return np.ascontiguousarray(x, dtype=np.float32 if x.dtype.kind == "f" else None).reshape(x.shape)


def _in_json(op, value):
    """Params as JSON has them: a slice is {"slice": [start, stop, step]}, an ellipsis {"ellipsis": true}."""
    if isinstance(value, dict):
        return {name: _in_json(op, each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_json(op, each) for each in value]
    if isinstance(value, slice):
        return {"slice": [_in_json(op, each) for each in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, (np.ndarray, np.generic)):
        return _in_json(op, value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return {"number": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"vectors of {op.name}: a param must be of numbers, texts and slices, got {value!r}")
