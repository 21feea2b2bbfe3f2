"""What the kit says of functions that are wrong, odd or hostile: always a verdict, never our traceback."""

import time

import numpy as np
import pytest

import gradcheck
from gradcheck.conformance import Report
from gradcheck.conformance.guessing import guessed
from scratchattn import REGISTRY
from scratchattn.ops import layer_norm as ours

ONE = {"seeds": 1, "time_limit": 5.0}


def normal(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + x.dtype.type(1e-5))


def exponential(a):
    return np.exp(a)


def exponential_backward(a, dout):
    return dout * np.exp(a)


def judged(function, against="exp", **settings):
    return gradcheck.verify(function, against, **{"framework": "numpy", **ONE, **settings})


def test_our_own_conforms_and_the_report_has_what_the_design_says():
    report = judged(ours.layer_norm_forward, "layer_norm", backward=ours.layer_norm_backward)
    assert isinstance(report, Report) and report and report.conforms and report.variant is None
    assert set(report.distances) == {"out", "dx", "dscale", "dshift"}
    assert 0 < max(report.distances.values()) < 6
    assert {"conforms", "variant", "distances", "cases"} <= set(report.json())
    assert {c["case"] for c in report.cases} == {
        c.label for c in REGISTRY["layer_norm"].cases(np.random.default_rng(0))
    }
    assert "conforms to layer_norm" in repr(report) and "sigma" in report.sentence()


def test_forward_alone_is_judged_and_that_is_said():
    report = judged(exponential)
    assert report.conforms and set(report.distances) == {"out"}
    assert any("outputs alone" in note for note in report.notes)


@pytest.mark.parametrize("factor", [1 + 1e-5, 1 - 1e-5, -1.0, 0.0, 2.0])
def test_a_wrong_gradient_is_named_and_no_other(factor):
    def backward(saved, dout):
        dx, dscale, dshift = ours.layer_norm_backward(saved, dout)
        return dx, None if dscale is None else dscale * dscale.dtype.type(factor), dshift

    report = judged(ours.layer_norm_forward, "layer_norm", backward=backward)
    assert report.verdict == "differs" and not report.conforms
    assert report.distances["dscale"] > 6 > max(report.distances[name] for name in ("out", "dx", "dshift"))
    assert "dscale" in report.sentence() and "dx (" not in report.sentence()


def test_gradients_in_exchanged_places_are_found():
    report = judged(np.multiply, "multiply", backward=lambda a, b, dout: (dout * a, dout * b))
    assert report.verdict == "differs" and report.distances["out"] < 6


# ---- what functions may do --------------------------------------------------


def returns(what):
    return lambda a: what(a)


ODD = {
    "a wrong shape": (returns(lambda a: np.exp(a)[None]), "shape"),
    "a number too many": (returns(lambda a: np.append(np.exp(a), np.exp(a)[..., :1])), "shape"),
    "integers": (returns(lambda a: np.exp(a).astype(np.int64)), "int64"),
    "booleans": (returns(lambda a: a > 0), "bool"),
    "complex numbers": (returns(lambda a: np.exp(a) + 0j), "complex"),
    "NaN": (returns(lambda a: np.exp(a) * np.nan), "NaN"),
    "infinities": (returns(lambda a: np.exp(a) + np.inf), "infinite"),
    "None": (returns(lambda a: None), "returned None"),
    "a number": (returns(lambda a: 3.0), "float"),
    "a text": (returns(lambda a: "out"), "str"),
    "a list of numbers": (returns(lambda a: [1.0, 2.0]), "list of numbers"),
    "an empty tuple": (returns(lambda a: ()), "nothing"),
    "a dictionary": (returns(lambda a: {"result": a}), "dictionary"),
    "itself": (returns(lambda a: ODD), "dictionary"),
    "a generator": (returns(lambda a: (x for x in a)), "generator"),
    "an array of objects": (returns(lambda a: np.exp(a).astype(object)), "object"),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_results_get_a_verdict(what):
    function, word = ODD[what]
    report = judged(function, backward=exponential_backward)
    assert report.verdict in ("differs", "crashes") and not report.conforms
    assert word in repr(report) + str(report.cases), report.cases[0]
    assert report.markdown() and report.html().startswith("<!DOCTYPE html>") and report.json()


class Rude(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError("x"), Rude("!"), SystemExit(3), KeyboardInterrupt()]
)
def test_what_raises_crashes_and_the_exception_is_named(error):
    def raising(a):
        raise error

    report = judged(raising)
    assert report.verdict == "crashes" and not report.conforms and not report.distances
    assert type(error).__name__ in report.sentence()


def test_a_crash_in_one_case_is_told_from_the_rest():
    def shy(x, scale=None, shift=None):
        if x.shape[-1] == 0:
            raise ZeroDivisionError("no features")
        out = normal(x) * (1 if scale is None else scale)
        return out if shift is None else out + shift

    report = judged(shy, "layer_norm")
    assert report.verdict == "crashes" and not report.conforms
    assert "crashes on" in report.sentence() and "elsewhere it conforms" in report.sentence()
    bad = [c["case"] for c in report.cases if not c["ok"]]
    assert bad == ["no feature"] and "ZeroDivisionError: no features" in report.sentence()


@pytest.mark.parametrize("how", ["asleep", "busy", "deaf"])
def test_what_hangs_is_left_after_the_limit(how):
    def hanging(a):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                time.sleep(60 if how == "asleep" else 0)
            except Exception:
                continue  # it will not hear
        return np.exp(a)

    started = time.monotonic()
    report = judged(hanging, time_limit=0.3)
    assert time.monotonic() - started < 10
    assert report.verdict == "crashes" and "hangs" in report.sentence() and "0.3 s" in report.sentence()
    assert len(report.cases) == 1


def test_a_function_that_changes_its_input_is_told_so():
    def greedy(a):
        out = np.exp(a)
        a *= 2
        return out

    report = judged(greedy)
    assert report.verdict == "differs" and "changes its input a" in report.sentence()


def test_a_view_of_the_input_is_noted():
    report = judged(lambda a: a[...], "stop_gradient")
    assert report.conforms and any("view of its input" in note for note in report.notes)


def test_an_argument_that_we_do_not_know_is_named():
    report = judged(lambda a, temperature: np.exp(a))
    assert report.verdict == "cannot be asked" and "'temperature'" in report.sentence()
    assert not report.conforms and report.cases == [] and report.markdown() and report.html()
    report = judged(lambda: 0)
    assert report.verdict == "cannot be asked" and "takes 0 arguments" in report.sentence()
    assert judged("no function").verdict == "cannot be asked"


def test_a_list_of_arrays_and_outputs_too_many_are_noted():
    report = judged(lambda a: [np.exp(a)])
    assert report.conforms and any("list" in note for note in report.notes)
    report = judged(lambda a: (np.exp(a), a, "more"))
    assert report.conforms and any("returns 3 things" in note for note in report.notes)


def test_a_silent_downcast_is_named():
    report = judged(lambda a: np.exp(a.astype(np.float32)), dtype="float64")
    assert report.verdict == "differs" and "cast down: float32 for float64" in str(report.cases)
    exact = judged(lambda a: a.astype(np.float32), "stop_gradient", dtype="float64")
    assert not exact.conforms and "cast down" in str(exact.cases)


def test_an_answer_in_more_precision_is_noted():
    report = judged(lambda a: np.exp(a.astype(float)))
    assert report.conforms and any("in float64" in note for note in report.notes)


def test_backwards_that_return_too_little_or_nothing():
    few = judged(np.multiply, "multiply", backward=lambda a, b, dout: (dout * b,))
    assert few.verdict == "crashes" and "1 gradients; 2 expected: a, b" in few.sentence()
    none = judged(np.multiply, "multiply", backward=lambda a, b, dout: (dout * b, None))
    assert none.verdict == "differs" and "db there is no gradient (None)" in str(none.cases)
    text = judged(exponential, backward=lambda a, dout: "gradient")
    assert text.verdict == "crashes" and "the gradient by a is str" in text.sentence()
    wrong = judged(np.multiply, "multiply", backward=lambda a, b, dout: (dout * b, (dout * a)[None]))
    assert wrong.verdict == "differs" and "has the shape" in str(wrong.cases)


def test_what_does_not_fit_is_tried():
    sloppy = judged(lambda weights, memory: weights @ memory[: weights.shape[-1]], "memory_read")
    by_name = {m["argument"]: m["refused"] for m in sloppy.misfits}
    assert by_name["memory"] is False and "does not refuse memory" in repr(sloppy)
    strict = judged(lambda weights, memory: weights @ memory, "memory_read")
    assert strict.misfits and all(m["refused"] for m in strict.misfits)


def test_what_is_behind_a_mask_must_not_leak():
    def leaking(query, key, value, keep):
        scores = np.where(keep, query @ key.mT / query.dtype.type(query.shape[-1] ** 0.5), -np.inf)
        e = np.where(keep, np.exp(scores - scores.max(-1, keepdims=True, initial=-1e9)), 0)
        total = e.sum(-1, keepdims=True)
        return e / np.where(total > 0, total, 1) @ value

    report = judged(leaking, "softmax_attention")
    named = {c["case"]: c["what"] for c in report.cases if not c["ok"]}
    op = REGISTRY["softmax_attention"]
    strange = {
        c.label
        for c in op.cases(np.random.default_rng(0))
        if not c.params
        and any(x is not None and x.dtype.kind == "f" and not np.isfinite(x).all() for x in c.inputs)
        and c.inputs[3] is None
        and c.inputs[5] is None
        and c.inputs[4] is not None
    }
    assert strange <= set(named) and all("NaN" in named[label] for label in strange)


# ---- used wrongly -----------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"against": "layer_nrom"}, "did you mean layer_norm"),
        ({"framework": "lisp"}, "framework must be one of numpy, torch"),
        ({"dtype": "int32"}, "dtype must be one of"),
        ({"variant": "nobody"}, "has no variant 'nobody'"),
        ({"framework": "torch", "backward": exponential_backward}, "backward is for framework='numpy'"),
    ],
)
def test_verify_used_wrongly_says_so(settings, message):
    with pytest.raises((ValueError, ImportError), match=message):
        judged(exponential, **{"against": "exp", **settings})


def test_wrong_names_in_arguments_outputs_and_params_are_named():
    for settings in ({"arguments": ["b"]}, {"outputs": "weights"}, {"params": {"eps": 1}}):
        assert judged(exponential, **settings).verdict == "cannot be asked"


def test_a_missing_framework_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "autograd", None)
    with pytest.raises(ImportError, match=r"scratchattn\[peers\]"):
        judged(exponential, framework="autograd")
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(ImportError, match=r"python-flint, or the extra scratchattn\[test\]"):
        judged(exponential)


def test_the_framework_is_guessed():
    assert guessed(normal) == "numpy" and guessed(exponential, exponential_backward) == "numpy"
