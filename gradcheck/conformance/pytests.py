"""Tests for pytest: one for each case of an op, with the failures that are expected and why.

    @gradcheck.parametrize("layer_norm", framework="torch", expected_failures={"no feature": "see #12"})
    def test_layer_norm(judge):
        judge(my_layer_norm)

``judge(function)`` raises AssertionError with the verdict.  It skips a case that the function cannot be told.
A failure that is expected and does not come is a failure.
"""

import difflib

import numpy as np

from .trial import SEEDS, TIME_LIMIT, settled, tried


class Judge:
    """One case of an op, waiting for a function."""

    def __init__(self, setting, label, framework):
        self.setting, self.label, self.framework = setting, label, framework

    def __repr__(self):
        return f"{self.setting.op.name}: {self.label}, {self.setting.dtype}"

    def __call__(self, function, *, backward=None, arguments=None, outputs=None):
        """Return the Report of ``function`` at this case; AssertionError unless it conforms."""
        import pytest

        report = tried(function, self.setting, self.framework, backward, arguments, outputs, self.label)
        if self.label in report.not_asked and not report.cases:
            pytest.skip(f"{self.label}: {report.not_asked[self.label]}")
        assert report.conforms, "\n" + repr(report)
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
    convention=None,
    seeds=SEEDS,
    time_limit=TIME_LIMIT,
    plan=None,
):
    """A decorator for pytest: the test's argument ``name`` is in turn each case of ``op`` in each dtype.

    ``expected_failures`` maps labels of cases to reasons; such a test must fail.  The rest is as in
    ``verify``.  ValueError for a case that the op does not have, with the nearest that it has.
    """
    import pytest

    dtypes, expected = [dtypes] if isinstance(dtypes, str) else list(dtypes), dict(expected_failures or {})
    settings = [settled(op, dtype, params, variant, convention, seeds, time_limit, plan) for dtype in dtypes]
    op = settings[0].op
    labels = list(dict.fromkeys(case.label for case in op.cases(np.random.default_rng(0))))
    for label, reason in expected.items():
        if label not in labels:
            close = difflib.get_close_matches(label, labels, n=3, cutoff=0.4) or labels[:3]
            hint = " or ".join(map(repr, close))
            raise ValueError(f"parametrize: {op.name} has no case {label!r}; did you mean {hint}?")
        if not isinstance(reason, str) or not reason:
            raise ValueError(f"parametrize: the failure of {label!r} needs a reason, got {reason!r}")
    cases = []
    for setting in settings:
        for label in labels:
            marks = ()
            if label in expected:
                marks = pytest.mark.xfail(reason=expected[label], strict=True, raises=AssertionError)
            name_of_test = f"{op.name}-{label}-{setting.dtype}"
            cases.append(pytest.param(Judge(setting, label, framework), id=name_of_test, marks=marks))
    return pytest.mark.parametrize(name, cases)
