"""The number systems: what each promises, and that errors of 1e-12 are found where one is planted."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import scratchattn as sa
from gradcheck.certificates import CERTIFICATES, error_is_certified, float32_errs_as_float32_must
from gradcheck.compositions import COMPOSITIONS, composition_is_the_adjoint_in_a_field
from gradcheck.errors import DTYPES, KINDS, MARKS, errors_of, in_units, table
from gradcheck.exact import backward_is_the_derivative_in_a_field, derivatives_are_certified
from gradcheck.numbers.array import NumberArray
from gradcheck.numbers.field import Element, FieldArray, NoRoot, P, true_roots
from gradcheck.numbers.noise import arithmetic
from gradcheck.subject import Subject
from scratchattn import cli
from scratchattn.backend import ALPHABET, array_module

RNG = np.random.default_rng


def test_a_number_system_is_three_lines_and_runs_an_op():
    class FractionArray(NumberArray):
        number = staticmethod(lambda x: x if isinstance(x, Fraction) else Fraction(x))

    weights = FractionArray.of([[0.25, 0.75]])
    memory = FractionArray.of([[1.0, 2.0], [3.0, 5.0]])
    read = sa.memory_read(weights, memory)
    assert type(read) is FractionArray and read.tolist() == [[Fraction(5, 2), Fraction(17, 4)]]


@pytest.mark.parametrize("name", ["erfinv", "linalg", "einsum", "add_at_once"])
def test_what_is_not_in_the_alphabet_is_refused(name):
    assert name not in ALPHABET
    with pytest.raises(AttributeError, match="alphabet"):
        getattr(array_module(FieldArray.of([1.0])), name)


def test_the_field_keeps_the_rules_that_derivations_use():
    a, b = FieldArray.random([0.3, -1.2], RNG(0)).tolist()
    assert ((a + b).exp()).value % P == (a.exp() * b.exp()).value % P
    assert (
        (a * b / b).value == a.value
        and (a - a).value == 0
        and ((a + b) * b).tangent == (a * b + b * b).tangent
    )
    assert a.log().tangent == (a.tangent * pow(a.value, -1, P)) % P
    assert (a.exp() / a.exp()).value == 1 and (a + 0.1 - 0.1).value == a.value
    assert abs(float(a.exp()) - math.exp(0.3)) < 1e-15 and float(Element.exactly(0.1)) == 0.1
    with pytest.raises(ArithmeticError, match="not in the field"):
        Element.exactly(math.inf)
    with pytest.raises(ZeroDivisionError):
        _ = a / 0


def test_roots_are_free_or_true():
    numbers = FieldArray.random(np.ones(40), RNG(1)).tolist()
    roots = [x.sqrt() for x in numbers]
    assert not any((r * r).value % P == x.value % P for r, x in zip(roots, numbers))
    found = 0
    with true_roots():
        for x in numbers:
            try:
                r = x.sqrt()
            except NoRoot:
                continue
            found += 1
            assert (r * r).value % P == x.value % P and (r * r).tangent == x.tangent
    assert 10 <= found <= 30


def test_balls_that_overlap_are_not_compared():
    pytest.importorskip("flint")
    from gradcheck.numbers.balls import BallArray, Undecided, digits

    with digits(30):
        x = BallArray.of([0.1, 0.2])
        root = array_module(x).sqrt(x) * array_module(x).sqrt(x)
        assert (x.real < root.real * 2).all() and abs(root.floats() - [0.1, 0.2]).max() < 1e-16
        assert 0 < root.radii().max() < 1e-28
        with pytest.raises(Undecided, match="margin"):
            _ = root < x


def test_the_noise_is_one_unit_of_the_chosen_dtype():
    half = arithmetic("float16", RNG(0))
    x = half.of(np.full(20_000, 1.5))
    error = (x * x).floats() / 2.25 - 1
    assert 0.9 * 2**-11 < abs(error).max() <= 2**-11 and abs(error.mean()) < 1e-5
    assert ((-x).floats() == -1.5).all() and type(x * x) is half
    places = array_module(x).cumulative_sum(half.of(np.ones(50)), axis=0) - 1
    assert (places.floats() == np.arange(50)).all() and (places.floats() // 7 == (places // 7).floats()).all()


NAMES = ["cosine_addressing", "softmax_attention", "layer_norm", "lstm_cell", "sharpening"]


def spoilt(name, spoil):
    """The op with its first gradient spoilt."""
    op = sa.REGISTRY[name]
    right = op.backward

    def backward(saved, dout):
        first, *rest = right(saved, dout)
        return (spoil(first), *rest)

    return replace(op, backward=backward)


def narrowed(gradient):
    """What a library does that computes in a lesser precision than it says."""
    plain = type(gradient) is np.ndarray  # the number systems have none of its own
    narrow = {"float64": "float32", "float32": "float16"}.get(str(gradient.dtype)) if plain else None
    return gradient.astype(narrow).astype(gradient.dtype) if narrow else gradient


CHECKS = [
    (backward_is_the_derivative_in_a_field, lambda gradient: gradient * (1 + 1e-12)),
    (derivatives_are_certified, lambda gradient: gradient * (1 + 1e-15)),
    (error_is_certified, narrowed),
    (float32_errs_as_float32_must, narrowed),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("check", "spoil"), CHECKS, ids=[check.__name__ for check, _ in CHECKS])
def test_a_tiny_error_is_found_and_none_where_there_is_none(name, check, spoil):
    pytest.importorskip("flint")
    op = sa.REGISTRY[name]
    case = next(iter(op.cases(RNG(0))))
    for subject, wrong in ((Subject(op, case), False), (Subject(spoilt(name, spoil), case), True)):
        results = list(check(subject, RNG(1)))
        assert results and any(not error <= bound for _, error, bound in results) is wrong


def test_a_relative_error_of_two_to_the_minus_two_hundred_is_refuted():
    """No float can carry it; the field sees it all the same."""
    op = sa.REGISTRY["matmul"]

    def backward(saved, dout):
        left, right = op.backward(saved, dout)
        return left, right + right * 2.0**-200

    case = next(iter(op.cases(RNG(0))))
    ((_, error, _),) = backward_is_the_derivative_in_a_field(
        Subject(replace(op, backward=backward), case), RNG(0)
    )
    assert error == 1.0


@pytest.mark.parametrize("size", range(3))
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_whole_cells_hold_in_the_field(name, size):
    assert composition_is_the_adjoint_in_a_field(name, 1, size)["ok"]


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("ntm, 10 steps", "lstm_cell"),
        ("ntm, 10 steps", "circular_shift"),
        ("dnc, 5 steps", "dnc_linkage"),
        ("dnc, 5 steps", "dnc_allocation"),
        ("transformer layer", "softmax_attention"),
        ("act, 5 steps", "halting"),
    ],
)
def test_one_wrong_gradient_in_a_whole_cell_is_refuted(name, op):
    """A relative error of 1e-12 in the first gradient of one of its ops, at every step."""
    wrong = spoilt(op, lambda gradient: gradient * (1 + 1e-12))
    original = sa.REGISTRY[op].backward
    object.__setattr__(sa.REGISTRY[op], "backward", wrong.backward)
    try:
        assert not composition_is_the_adjoint_in_a_field(name, 1, 0)["ok"]
    finally:
        object.__setattr__(sa.REGISTRY[op], "backward", original)


def test_errors_are_counted_in_units_of_the_largest_entry():
    assert in_units(np.array([1.0, 4.0 + 3 * 2.0**-50]), np.array([1.0 + 2.0**-50, 4.0]), "float64") == 3.0
    pytest.importorskip("flint")
    row = errors_of(sa.REGISTRY["layer_norm"])
    assert row["cases"] > 15 and all(0 < row[f"{what}_{dtype}"] < 64 for what in KINDS for dtype in DTYPES)
    wrong = errors_of(spoilt("layer_norm", narrowed))
    assert wrong["gradients_float64"] > 1e6 and wrong["values_float64"] == row["values_float64"]
    assert "layer_norm" in "".join(table([row]))


@pytest.mark.parametrize("name", sorted(sa.REGISTRY))
def test_every_op_has_a_case_with_all_certificates(name):
    pytest.importorskip("flint")
    op = sa.REGISTRY[name]
    wanted = {"float64", "float32", "adjoint"} | ({"Hessian"} if op.detached is None else set())
    found = set()
    for case in op.cases(RNG(0)):
        subject = Subject(op, case)
        for dtype, test in (("float64", error_is_certified), ("float32", float32_errs_as_float32_must)):
            rows = [] if dtype in found else list(test(subject, RNG(1)))
            assert all(error <= tolerance for _, error, tolerance in rows)
            found |= {dtype} if rows else set()
        rows = [] if found >= wanted else list(derivatives_are_certified(subject, RNG(1)))
        assert all(error <= 1e-40 == tolerance for _, error, tolerance in rows)
        found |= set(("adjoint", "Hessian")[: len(rows)])
        if found >= wanted:
            return
    pytest.fail(f"no case of {name} is certified in {', '.join(wanted - found)}")


def test_a_case_without_a_certificate_is_said_with_the_reason(capsys):
    pytest.importorskip("flint")
    words = ["check", "--deep", "--jobs", "1", "maximum"]
    assert cli.gradcheck_main([*words, "dropout", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["uncertified"]
    assert {(row["op"], row["case"], row["why"]) for row in rows if row["check"] == "error_is_certified"} == {
        ("maximum", "ties", "on a kink"),
        ("maximum", "some ties", "on a kink"),
        ("dropout", "NaN and infinities dropped", "inputs that are not finite in float64"),
    }
    assert {row["seed"] for row in rows} == {0, 1, 2} and {row["check"] for row in rows} == {*CERTIFICATES}
    assert cli.gradcheck_main(words) == 0
    out = capsys.readouterr().out
    assert "2 cases without a certificate, on a kink:\n       maximum: ties; some ties\n" in out


def test_the_command_writes_the_table_and_quotes_its_worst_rows(tmp_path, capsys):
    pytest.importorskip("flint")
    table, readme = tmp_path / "errors.md", tmp_path / "README.md"
    readme.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n", encoding="utf-8")
    ops = "add divide layer_norm multiply negate softmax sqrt tanh".split()
    for _ in range(2):  # what was quoted is replaced
        assert cli.gradcheck_main(["errors", *ops, "--out", str(table), "--quote", str(readme)]) == 0
    head, line, *rows = [row for row in table.read_text(encoding="utf-8").splitlines() if row[:1] == "|"]
    begin, *quoted, end = readme.read_text(encoding="utf-8").split("\n\n")
    assert begin == f"before\n{MARKS[0]}" and end == f"{MARKS[1]}\nafter\n" and len(rows) == len(ops)
    quoted = quoted[0].splitlines()
    assert quoted[:2] == [head, line] and quoted[2:5] == rows[:3] and 3 <= len(quoted[2:]) <= 6 < len(ops)
    single = lambda row: max(map(float, row.split("|")[5:7]))
    least = sorted(map(single, rows))[-3]
    assert {row for row in rows if single(row) > least} <= set(quoted)
    readme.write_text("no marks", encoding="utf-8")
    assert cli.gradcheck_main(["errors", "add", "--quote", str(readme)]) == 2
    refusal = capsys.readouterr().err
    assert f"{readme}: {MARKS[0]}" in refusal and refusal.count("\n") == 1
