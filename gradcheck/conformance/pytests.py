"""Tests for pytest: one for each case of an op, with the failures that are expected and why.

    @gradcheck.parametrize("layer_norm", framework="torch", expected_failures={"no feature": "see #12"})
    def test_layer_norm(judge):
        judge(my_layer_norm)

``judge(function)`` raises AssertionError with the verdict.  It skips a case that the function cannot be told.
A failure that is expected and does not come is a failure.
"""

import difflib
import time

import numpy as np

from .asking import ask
from .candidate import Candidate, NotAsked, Unsuitable
from .frameworks import framework_of
from .plan import LOW, Plan
from .questions import Unanswerable
from .report import Report
from .trial import SEEDS, TIME_LIMIT, held, named_dtype, questions, resolved, variant_named


class Judge:
    """One case of an op, waiting for a function."""

    def __init__(self, op, label, dtype, framework, settings):
        self.op, self.label, self.dtype, self.framework = op, label, dtype, framework
        self.settings = settings

    def __repr__(self):
        return f"{self.op.name}: {self.label}, {self.dtype}"

    def __call__(self, function, *, backward=None, arguments=None, outputs=None):
        """Return the Report of ``function`` at this case; AssertionError unless it conforms."""
        import pytest

        started = time.perf_counter()
        name, adapter = framework_of(function, self.framework, backward)
        variant, params = self.settings["variant"], dict(self.settings["params"] or {})
        if variant is not None:
            params = {**params, **variant_named(self.op, variant).params}
        report = Report(self.op, function, name, self.dtype, adapter.differentiates, variant)
        try:
            candidate = Candidate(self.op, function, arguments, outputs, params)
        except Unsuitable as reason:
            raise AssertionError(report.unsuitable(str(reason)).closed(started)) from None
        seeds, limit = self.settings["seeds"], self.settings["time_limit"]
        plan = Plan.of(self.dtype) if self.dtype in LOW else None
        for question, without in questions(self.op, self.dtype, params, seeds, self.label, plan):
            try:
                if question is None:
                    raise NotAsked(without[1])
                answer = ask(candidate, adapter, question, limit)
                report.take(question, answer, held(question, answer, {}))
            except (NotAsked, Unanswerable) as why:
                report.leave_out(self.label, str(why))
        if not report.cases:
            pytest.skip(f"{self.label}: {report.not_asked.get(self.label, 'not among the cases')}")
        assert report.closed(started).conforms, "\n" + repr(report)
        return report


def parametrize(
    op,
    *,
    framework=None,
    dtypes=("float32", "float64"),
    expected_failures=None,
    name="judge",
    params=None,
    variant=None,
    seeds=SEEDS,
    time_limit=TIME_LIMIT,
):
    """A decorator for pytest: the test's argument ``name`` is in turn each case of ``op`` in each dtype.

    ``expected_failures`` maps labels of cases to reasons; such a test must fail.  The rest is as in
    ``verify``.  ValueError for a case that the op does not have, with the nearest that it has.
    """
    import pytest

    op, expected = resolved(op), dict(expected_failures or {})
    labels = list(dict.fromkeys(case.label for case in op.cases(np.random.default_rng(0))))
    for label, reason in expected.items():
        if label not in labels:
            close = difflib.get_close_matches(label, labels, n=3, cutoff=0.4) or labels[:3]
            hint = " or ".join(map(repr, close))
            raise ValueError(f"parametrize: {op.name} has no case {label!r}; did you mean {hint}?")
        if not isinstance(reason, str) or not reason:
            raise ValueError(f"parametrize: the failure of {label!r} needs a reason, got {reason!r}")
    if variant is not None:
        variant_named(op, variant)
    settings = {"params": params, "variant": variant, "seeds": seeds, "time_limit": time_limit}
    dtypes = [dtypes] if isinstance(dtypes, str) else list(dtypes)
    cases = []
    for dtype in map(named_dtype, dtypes):
        for label in labels:
            marks = ()
            if label in expected:
                marks = pytest.mark.xfail(reason=expected[label], strict=True, raises=AssertionError)
            judge = Judge(op, label, dtype, framework, settings)
            cases.append(pytest.param(judge, id=f"{op.name}-{label}-{dtype}", marks=marks))
    return pytest.mark.parametrize(name, cases)
