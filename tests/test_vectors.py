"""Golden vectors: exact, left out with a reason, and no wrong answer gets past them."""

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import golden
import numpy as np
import pytest
from golden import answered, command, write

from gradcheck import vector_files, vectors
from scratchattn import REGISTRY
from scratchattn.backend import array_module, real
from scratchattn.op import Case, Op

ROOT = Path(__file__).resolve().parents[1]

pytest.importorskip("flint")


# ---- what is in them --------------------------------------------------------


def test_the_truth_is_the_nearest_two_doubles():
    document = golden.document("divide")
    assert len(document["cases"]) > 3
    for case in document["cases"]:
        a, b = np.broadcast_arrays(*map(vectors._rounded, case["inputs"].values()))
        (result,) = (x for name, x in case["truth"].items() if not name.startswith("g("))
        assert np.array_equal(result["hi"], a / b)  # float64 rounds a quotient of floats correctly
        for p, q, hi, lo in zip(a.flat, b.flat, result["hi"].flat, result["lo"].flat, strict=True):
            rest = Fraction(p) / Fraction(q) - Fraction(hi)
            assert Fraction(lo) == Fraction(float(rest)) and abs(rest) <= abs(Fraction(hi)) / 2**53


def test_gradients_are_those_of_a_complex_step():
    document = golden.document("softmax_attention")
    case = next(case for case in document["cases"] if case["inputs"].keys() == {"query", "key", "value"})
    values = [x.astype(complex) for x in case["inputs"].values()]
    forward = REGISTRY["softmax_attention"].forward
    for name, x in zip(case["inputs"], values):
        gradient = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            x[place] += 1e-100j
            outs, _ = forward(*values)
            pairs = zip(case["cotangents"].values(), outs, strict=True)
            gradient[place] = sum((u * y.imag).sum() for u, y in pairs) / 1e-100
            x[place] = x[place].real
        truth = case["truth"][f"g({name})"]["hi"]
        assert abs(gradient - truth).max() <= 1e-14 * abs(truth).max()


def test_inputs_and_cotangents_are_float32_and_the_rest_keeps_its_kind():
    kinds = Counter()
    for document in golden.documents().values():
        for case in document["cases"]:
            kinds.update(x.dtype.name for x in case["inputs"].values())
            assert all(x.dtype == np.float32 for x in case["cotangents"].values())
            assert list(case["truth"])[: len(case["cotangents"])] == list(case["cotangents"])
    assert kinds.keys() >= {"float32", "int64", "bool"} and "float64" not in kinds


def test_variants_are_named_where_the_params_are_theirs():
    cases = golden.document("softmax_attention")["cases"]
    assert all("torch" in case["variants"] and "flash_causal" not in case["variants"] for case in cases)


def test_an_answer_in_float32_may_be_off_by_more():
    for document in golden.documents().values():
        for case in document["cases"]:
            for result in case["truth"].values():
                single, double = (result[f"allowed_{dtype}"] for dtype in ("float32", "float64"))
                assert single.shape == double.shape == result["hi"].shape and (single >= double).all()
                assert (double >= 2.0**-52 * abs(result["hi"]).max(initial=0)).all()


def test_no_cotangent_is_zero_and_all_have_few_digits():
    for document in golden.documents().values():
        cotangents = [u for case in document["cases"] for u in case["cotangents"].values()]
        assert all((u * 32 % 2 == 1).all() for u in cotangents) and any(u.size for u in cotangents)


@pytest.mark.parametrize(
    "sigmas, allowed",
    [
        (([1.0, 2.0], [2.0, 1.0]), (12.0, 12.0)),  # two estimates of one spread: the larger
        (([1.0, 2.0], [2.0, 9.0]), (6.0, 12.0)),  # roundoff of float32 changes the course of things
        (([2.0, 9.0], [1.0, 2.0]), (12.0, 6.0)),
        (([0.0, 0.0], [0.0, 0.0]), (0.0, 0.0)),
    ],
)
def test_both_precisions_share_what_is_allowed_if_they_agree(sigmas, allowed):
    double, single = map(np.array, sigmas)
    found = vectors._allowed(np.zeros(2), double, single * 2.0**29)
    assert (found["allowed_float64"][0], found["allowed_float32"][0] / 2.0**29) == allowed


def test_what_is_allowed_is_rounded_up_to_five_bits():
    x = np.array([1.0, 1.01, 1 + 2.0**-52, 31.5, 0.0, 1e-310])
    assert vectors._five_bits(x).tolist() == [1.0, 1.0625, 1.0625, 32.0, 0.0, 0.0]


def own_op(decide, inputs):
    """The identity, or its opposite where ``decide`` is False."""

    def forward(x):
        sign = array_module(x).where(decide(x), array_module(x).ones_like(x), -array_module(x).ones_like(x))
        return x * sign, sign

    cases = lambda rng: [Case("the case", (np.array(inputs),))]
    return Op("own", "x() -> y()", forward, lambda sign, dy: (dy * sign,), cases)


@pytest.mark.parametrize(
    "decide, x, reason",
    [
        (lambda x: real(array_module(x).sqrt(x) ** 2.0) >= real(x), 2.0, "undecided in balls"),
        (lambda x: real((x + 2.0**60) - 2.0**60) > 0.5, 1.0, "on a branch that rounding decides"),
        (lambda x: real(x) > 0, np.inf, "inputs that are not finite"),
        (lambda x: real(x) > 0, 1e300, "inputs that are not finite"),
    ],
)
def test_a_case_that_nobody_can_be_held_against_is_left_out_with_the_reason(decide, x, reason):
    document = vectors.vectors_of(own_op(decide, [x]))
    assert document["cases"] == [] and document["left_out"] == {reason: ["the case"]}


def test_what_cancels_to_zero_is_zero_and_not_the_middle_of_a_ball():
    forward = lambda x: (array_module(x).sqrt(x) ** 2.0 - x, None)
    cases = lambda rng: [Case("the case", (np.array([2.0, 3.0]),))]
    document = vectors.vectors_of(Op("own", "x() -> y()", forward, lambda _, dy: (dy,), cases))
    (case,) = document["cases"]
    assert (case["truth"]["y"]["hi"] == 0).all() and (case["truth"]["y"]["lo"] == 0).all()
    assert (case["truth"]["g(x)"]["hi"] == case["cotangents"]["y"]).all()


def test_cases_on_a_kink_are_left_out_also_where_rounding_moves_them_there():
    assert len(golden.document("minimum")["left_out"]["on a kink"]) == 2
    near = own_op(lambda x: real(x) > 0.1, [0.1 + 1e-12])
    near = replace(near, cases=lambda rng: [Case("near", (np.array([0.1 + 1e-12]),), margin=1e-12)])
    assert vectors.vectors_of(near)["left_out"] == {"on a kink": ["near"]}


# ---- verdicts ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", vectors.DTYPES)
@pytest.mark.parametrize("format", golden.FORMATS)
def test_our_own_results_conform(dtype, format, tmp_path, capsys):
    documents = list(golden.documents().values())
    truth = write(tmp_path / "truth", documents, format)
    answers = write(tmp_path / "answers", [answered(document, dtype) for document in documents], format)
    status, out, _ = command(capsys, "check", answers, "--vectors", truth, "--json")
    report = json.loads(out)
    assert status == 0 and report["ok"] and report["summary"]["failed"] == 0
    assert len(report["cases"]) == sum(len(document["cases"]) for document in documents)
    assert {row["dtype"] for row in report["cases"]} == {dtype}
    assert 0 < max(row["worst"] for row in report["cases"]) <= 1


def test_the_truth_is_computed_anew_if_no_vectors_are_given(tmp_path, capsys):
    answers = write(tmp_path / "answers", [answered(golden.document("divide"), "float64")])
    assert command(capsys, "check", answers)[0] == 0


@pytest.mark.parametrize("dtype, error", [("float32", 1e-5), ("float64", 1e-13)])
def test_one_gradient_off_by_a_little_is_found_and_named(dtype, error, tmp_path, capsys):
    document = golden.document("softmax_attention")
    off = lambda name, x: x * x.dtype.type(1 + error) if name == "g(key)" else x
    answers = write(tmp_path / "answers", [answered(document, dtype, off)])
    truth = write(tmp_path / "truth", [document])
    status, out, _ = command(capsys, "check", answers, "--vectors", truth)
    assert status == 1 and "FAIL softmax_attention" in out and "g(key)[" in out and "g(query)" not in out
    rows = json.loads(command(capsys, "check", answers, "--vectors", truth, "--json")[1])["cases"]
    live = {case["id"] for case in document["cases"] if abs(case["truth"]["g(key)"]["hi"]).max(initial=0) > 0}
    wrong = {row["id"] for row in rows if not row["ok"]}
    assert wrong <= live and len(wrong) >= len(live) - 1


def by_hand(hi, lo=0.0, sigma=0.0):
    """A question whose only result has one entry beside an exact 0.5."""
    hi, sigma = np.array([0.5, hi]), np.array([0.0, sigma])
    truth = {"out": {"hi": hi, "lo": np.array([0.0, lo]), **vectors._allowed(hi, sigma, 2.0**29 * sigma)}}
    return {"op": "own", "cases": [{"id": "0", "label": "by hand", "truth": truth}]}


@pytest.mark.parametrize(
    "dtype, eps, question, steps, conforms",
    [
        ("float64", 2.0**-52, {}, 1, True),  # a unit in the last place of the largest entry
        ("float64", 2.0**-52, {}, 2, False),
        ("float64", 2.0**-52, {"lo": 2.0**-56}, 1, True),
        ("float64", 2.0**-52, {"lo": -(2.0**-56)}, 1, False),  # the truth is a little further off
        ("float64", 2.0**-52, {"sigma": 2.0**-52}, 7, True),  # 6 sigma and the unit
        ("float64", 2.0**-52, {"sigma": 2.0**-52}, 8, False),
        ("float32", 2.0**-23, {}, 1, True),
        ("float32", 2.0**-23, {}, 2, False),
    ],
)
def test_the_tolerance_is_six_sigma_and_a_unit(dtype, eps, question, steps, conforms):
    got = np.array([0.5, 1.0 + steps * eps], dtype)
    (row,) = vectors.judge(by_hand(1.0, **question), {"cases": [{"id": "0", "answers": {"out": got}}]})
    assert row["ok"] is conforms and ("out[1] is 1.000000" in row["what"])


PLANTED = {
    "missing": (lambda x: x.pop("g(key)"), "g(key) is missing"),
    "unknown": (lambda x: x.update(gkey=x["g(key)"]), "gkey is none of"),
    "of another shape": (lambda x: x.update({"g(key)": x["g(key)"].T[:1]}), "g(key) must be of shape"),
    "half": (lambda x: x.update({n: y.astype(np.float16) for n, y in x.items()}), "got float16"),
    "of two precisions": (
        lambda x: x.update({"g(key)": x["g(key)"].astype(np.float32)}),
        "got float32, float64",
    ),
    "not a number": (lambda x: x.update({"g(key)": x["g(key)"] * np.nan}), "g(key)[0, 0] is nan"),
    "nothing": (lambda x: x.clear(), "got nothing"),
}


@pytest.mark.parametrize("word", PLANTED)
def test_an_answer_that_does_not_fit_fails_with_the_reason(word, tmp_path):
    plant, told = PLANTED[word]
    document = golden.document("softmax_attention")
    answers = answered(document, "float64")
    plant(answers["cases"][0]["answers"])
    write(tmp_path, [answers])
    row, *others = vectors.judge(document, vector_files.load(tmp_path / "softmax_attention.json"))
    assert not row["ok"] and told in row["what"] and all(other["ok"] for other in others)


def test_answers_to_other_questions_and_no_answers_are_no_success(tmp_path, capsys):
    document = golden.document("divide")
    truth = write(tmp_path / "truth", [document])
    answers = answered(document, "float64")
    for cases, told in (
        ([], "0 cases"),
        ([{**answers["cases"][0], "id": "0" * 16}], "made for other vectors"),
    ):
        there = write(tmp_path / "answers", [{**answers, "cases": cases}])
        for options in ([], ["--partial"]):
            status, out, _ = command(capsys, "check", there, "--vectors", truth, *options)
            assert status == 1 and told in out and "all conform" not in out


def test_a_case_without_an_answer_is_named_and_fails_unless_part_of_them_is_meant(tmp_path, capsys):
    document = golden.document("divide")
    truth = write(tmp_path / "truth", [document])
    answers, last = answered(document, "float64"), document["cases"][-1]
    there = write(tmp_path / "answers", [{**answers, "cases": answers["cases"][:-1]}])
    status, out, _ = command(capsys, "check", there, "--vectors", truth)
    assert status == 1 and f"{last['label']}: it has no answer\n" in out and "1 without an answer" in out
    report = json.loads(command(capsys, "check", there, "--vectors", truth, "--json")[1])
    assert [(row["id"], row["ok"]) for row in report["cases"] if not row["answered"]] == [(last["id"], False)]
    assert (report["ok"], report["summary"]["unanswered"], report["summary"]["failed"]) == (False, 1, 1)
    status, out, _ = command(capsys, "check", there, "--vectors", truth, "--partial")
    assert status == 0 and "1 without an answer: all conform" in out and "it has no answer" not in out


# ---- a program in C ---------------------------------------------------------


def test_a_program_in_c_reads_them_and_finds_its_own_mistake(tmp_path):
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler")
    source = ROOT / "examples" / "check_vectors.c"
    assert len(source.read_text(encoding="utf-8").splitlines()) < 120
    path = write(tmp_path, [golden.document("softmax_attention")]) / "softmax_attention.json"
    asked = len(golden.document("softmax_attention")["cases"])

    def ran(program, file=path):
        done = subprocess.run([program, file], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    for name, options in (("right", []), ("wrong", ["-DWRONG"])):
        compiled = [compiler, "-std=c99", "-O1", "-Wall", *options, "-o", tmp_path / name, source, "-lm"]
        done = subprocess.run(compiled, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and not done.stderr, done.stderr
    status, out = ran(tmp_path / "right")
    judged, failed, others = map(int, re.findall(r"\d+", out))
    assert status == 0 and failed == 0 and judged >= 5 and judged + others == asked
    status, out = ran(tmp_path / "wrong")
    assert status == 1 and "g(key)[" in out and "g(query)" not in out
    cut = tmp_path / "cut.json"
    cut.write_bytes(path.read_bytes()[:-500])
    assert ran(tmp_path / "right", cut)[0] == 2 and ran(tmp_path / "right", tmp_path / "none")[0] == 2
