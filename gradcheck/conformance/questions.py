"""A case, put as a question: inputs that the tested precision can hold, cotangents, and what is true.

The truth is our own text in balls of many digits at those very inputs.  Where the op may not read
something (NaN behind a mask) the truth is that of any number in its place.
"""

from dataclasses import replace

import numpy as np

from scratchattn.tape import vjp

from ..certificates import truth
from ..numbers.noise import UNITS
from ..subject import Subject, random_like
from .doubt import doubting
from .plan import LOW, planned
from .rounding import FORMATS, rounded
from .tolerance import spread, strangers


class Unanswerable(Exception):
    """Why there is no truth to hold an answer against."""


class Refused(Unanswerable):
    """The op has no such params, or not with these inputs."""


class Posed(Subject):
    """An op at a case; a fused op stands for the composition that it must equal."""

    def __init__(self, op, case):
        super().__init__(op, case)
        if op.equals is not None:
            self.function = self.composition


class Question:
    """``op`` at ``case``, with numbers that are exact in ``dtype``."""

    def __init__(self, op, case, dtype, seed, number, plan=None):
        self.op, self.dtype, self.seed = op, dtype, seed
        self.label, self.plan = case.label, plan
        if dtype in LOW and case.ill_conditioned:
            raise Unanswerable(f"ill-conditioned by design: nothing is left of it in {dtype}")
        self.number = number
        self.kinked = case.margin is not None and case.margin <= _grain(case, dtype)
        self.ill_conditioned = case.ill_conditioned
        inputs = []
        for x in op._signature.complete(tuple(case.inputs)):
            floating = x is not None and np.asarray(x).dtype.kind == "f"
            inputs.append(rounded(np.asarray(x, dtype=float), dtype) if floating else x)
            if floating and not np.array_equal(np.isfinite(inputs[-1]), np.isfinite(x)):
                raise Unanswerable(f"its numbers are beyond {dtype}")
        self.case = replace(case, inputs=tuple(inputs))
        with np.errstate(all="ignore"):
            try:
                self.subject = Posed(op, self.case)
                out = self.subject.function(*self.subject.inputs)
            except (TypeError, ValueError) as refusal:  # of params that do not go together, or are missing
                raise Refused(str(refusal)) from refusal
        self.shapes = dict(zip(self.subject.outputs, [np.shape(y) for y in out]))
        rng = np.random.default_rng((seed, number))
        self.cotangents = [rounded(u, dtype) for u in random_like(rng, out)]
        self._known: dict = {}

    def arrays(self):
        """The op's inputs by name, None where absent."""
        names = [a.name for a in self.op._signature._expected(len(self.case.inputs))]
        return dict(zip(names, self.case.inputs))

    def outputs(self, params):
        """The outputs with these ``params`` in float64, by name; None if the op refuses."""
        case = replace(self.case, params={**self.case.params, **params})
        with np.errstate(all="ignore"):
            try:
                subject = Posed(self.op, case)
            except (TypeError, ValueError):
                return None
            return dict(zip(subject.outputs, subject.function(*subject.inputs)))

    def expected(self, params, judged):
        """Truth, its spread and the runs of the noise: dictionaries by output and, as d<input>, by gradient.

        ``params`` replace those of the case (a convention), ``judged`` are the outputs that pull.
        Unanswerable if the op says nothing here.
        """
        key = repr((sorted(params.items(), key=str), judged))
        if key not in self._known:
            self._known[key] = self._work_out(params, judged)
        return self._known[key]

    def _work_out(self, params, judged):
        case = replace(self.case, params={**self.case.params, **params})
        with np.errstate(all="ignore"):
            try:
                subject = Posed(self.op, self._without_the_unread(case))
                pairs = zip(subject.outputs, self.cotangents, strict=True)
                given = [u if name in judged else 0 * u for name, u in pairs]
                exact = [y.floats() for y in truth(subject, given, subject.inputs)]
            except ArithmeticError as undecided:
                raise Unanswerable(f"a branch hangs on less than 60 digits ({undecided})") from undecided
            except (TypeError, ValueError) as refusal:
                raise Refused(f"{self.op.name} refuses: {refusal}") from refusal
            if not all(np.isfinite(t).all() for t in exact):
                raise Unanswerable("the truth is no finite number")
            if any(abs(t).max(initial=0.0) > FORMATS[self.dtype][2] for t in exact):
                raise Unanswerable(f"the truth is beyond {self.dtype}")
            if [np.shape(t) for t in exact[: len(self.shapes)]] != list(self.shapes.values()):
                raise Unanswerable("the outputs have another shape")
            rng = np.random.default_rng((self.seed, self.number, 1))
            if self.plan is None:
                kind, unit = strangers(self.dtype, rng), UNITS[self.dtype]
            else:
                kind, unit = planned(self.plan, self.dtype, rng), self.plan.unit
            sigma, samples = spread(subject, given, subject.inputs, exact, kind, doubting(unit))
        names = [*subject.outputs, *[f"d{name}" for name in subject.names]]
        return tuple(dict(zip(names, values)) for values in (exact, sigma, samples))

    def _without_the_unread(self, case):
        """The case with ones for what is not finite, if our own text never reads that."""
        if all(np.asarray(x).dtype.kind != "f" or np.isfinite(x).all() for x in case.inputs if x is not None):
            return case
        filled = [tuple(_filled(x, value) for x in case.inputs) for value in (1.0, -2.0)]
        results = []
        for inputs in (case.inputs, *filled):
            subject = Posed(self.op, replace(case, inputs=inputs))
            out, pullback = vjp(subject.function, *subject.inputs)
            results.append([*out, *pullback(*self.cotangents)])
        for other in results[1:]:
            if not all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True)):
                raise Unanswerable("inputs that are not finite are read")
        return replace(case, inputs=filled[0])


def _grain(case, dtype):
    """How far rounding to a low precision may move an input: within that a branch is not to be told."""
    if dtype not in LOW:
        return 0.0
    sizes = [abs(np.asarray(x)).max(initial=0.0) for x in case.inputs if np.asarray(x).dtype.kind == "f"]
    return 2 * UNITS[dtype] * max(sizes, default=0.0)


def _filled(x, value):
    """``x`` with ``value`` for what is not finite."""
    return x if x is None or np.asarray(x).dtype.kind != "f" else np.where(np.isfinite(x), x, value)
