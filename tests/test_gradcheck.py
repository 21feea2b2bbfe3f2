"""The checks are checked: each flaw that one of them is there for must be found, and by that one.

The ops here are small, belong to no registry, and are right but for the one thing a test says.
"""

from dataclasses import replace

import numpy as np
import pytest

from gradcheck import evidence
from gradcheck.derivatives import condition
from gradcheck.evidence import check, check_all, check_case, summary
from gradcheck.numeric import central_jacobian, complex_step, complex_step_jacobian, exact_jacobian, ridders
from gradcheck.subject import Subject, distance
from scratchattn import REGISTRY
from scratchattn.backend import array_module, real, sum_to_shape
from scratchattn.calculus import softmax, softmax_backward
from scratchattn.op import Case, Detached, Op


def results(op, case=None):
    return check_case(op, next(iter(op.cases(np.random.default_rng(0)))) if case is None else case)


def failures(op, case=None):
    """check -> what it found wrong, of the checks that found something."""
    found = {}
    for r in results(op, case):
        if not r["ok"]:
            found.setdefault(r["check"], []).append(r["what"])
    return found


def op_of(forward, backward, signature="a(n) -> out(n)", cases=None, **rest):
    def three_numbers(rng):
        yield Case("three numbers", (rng.normal(size=3),))

    return Op("planted", signature, forward, backward, cases or three_numbers, **rest)


def exp_forward(a):
    out = array_module(a).exp(a)
    return out, out


def exp_backward(saved, dout):
    return (dout * saved,)


def exp_loops(a, *, math):
    return [math.exp(x) for x in a]


EXP = op_of(exp_forward, exp_backward, loops=exp_loops)


def softmax_forward(logits):
    weights, winner = softmax(array_module(logits), logits)
    return weights, (weights, winner)


def softmax_vjp(saved, dweights):
    return (softmax_backward(array_module(dweights), *saved, dweights),)


def softmax_cases(rng):
    yield Case("lively", (rng.normal(size=4),))
    yield Case("certain", (np.array([30.0, 0.0, -4.0, 3.0]),))


SOFTMAX = op_of(softmax_forward, softmax_vjp, "logits(n) -> weights(n)", softmax_cases)


def test_what_is_right_passes():
    """Otherwise nothing below would mean anything."""
    assert not failures(EXP) and not failures(SOFTMAX)
    assert {r["check"] for r in results(EXP)} >= {"backward_is_the_jacobian", "same_bits_twice"}


# ---- the cotangent and the tolerance ----------------------------------------

WRONG_SOFTMAXES = {
    "seven times too large": lambda weights, winner, g: 7 * softmax_backward(np, weights, winner, g),
    "of the wrong sign": lambda weights, winner, g: -softmax_backward(np, weights, winner, g),
    "zero": lambda weights, winner, g: 0 * g,
    "without the weights": lambda weights, winner, g: g - np.sum(weights * g, axis=-1, keepdims=True),
}


@pytest.mark.parametrize("label", WRONG_SOFTMAXES)
def test_an_all_ones_cotangent_sees_nothing(label):
    """Weights sum to one, so summing them up asks for a gradient of zero, which all of these give."""
    formula = WRONG_SOFTMAXES[label]
    case = next(softmax_cases(np.random.default_rng(0)))
    weights, winner = softmax_forward(*case.inputs)[1]
    assert abs(formula(weights, winner, np.ones(4))).max() < 1e-15
    wrong = replace(SOFTMAX, backward=lambda saved, g: (formula(*saved, g),))
    assert {"backward_is_the_adjoint", "backward_is_the_jacobian"} <= set(failures(wrong))


def test_an_absolute_tolerance_would_bless_any_formula_for_a_saturated_softmax():
    certain = list(softmax_cases(np.random.default_rng(0)))[1]
    wrong = replace(SOFTMAX, backward=lambda saved, g: (3 * softmax_vjp(saved, g)[0],))
    right, thrice = (
        op.backward(softmax_forward(*certain.inputs)[1], np.eye(4)[0])[0] for op in (SOFTMAX, wrong)
    )
    assert abs(thrice - right).max() < 1e-8
    assert "backward_is_the_jacobian" in failures(wrong, certain)


@pytest.mark.parametrize("part", [1e-3, 1e-6, 1e-9, 1e-12])
def test_one_gradient_among_a_hundred_a_little_too_large_is_found(part):
    """In the adjoint's sum it would drown; each input is compared by its own size."""

    def forward(small, large):
        xp = array_module(small, large)
        return xp.sum(large * large, axis=-1) + small * small, (small, large)

    def backward(saved, g):
        small, large = saved
        return 2 * g * small * (1 + part), 2 * array_module(large).expand_dims(g, axis=-1) * large

    def cases(rng):
        yield Case("a hundred", (np.array(1e-3), rng.normal(size=99)))

    assert "backward_is_the_jacobian" in failures(
        op_of(forward, backward, "small(), large(n) -> out()", cases)
    )


def test_an_output_that_is_left_out_is_found():
    def forward(a):
        xp = array_module(a)
        return (xp.exp(a), a * a), (xp.exp(a), a)

    both = op_of(forward, lambda saved, g: (g[0] * saved[0] + 2 * g[1] * saved[1],), "a(n) -> b(n), c(n)")
    first = replace(both, backward=lambda saved, g: (g[0] * saved[0],))
    assert not failures(both)
    assert any("c by a" in what for what in failures(first)["backward_is_the_jacobian"])


# ---- vacuous comparisons ----------------------------------------------------


def sum_or_first(a, b, *, take="sum"):
    return (a + b if take == "sum" else a), take


def sum_or_first_backward(saved, g):
    return g, g if saved == "sum" else 0 * g


def taken(take, **rest):
    case = Case(take, (np.array([1.0, 2.0]), np.array([3.0, 5.0])), {"take": take}, **rest)
    return op_of(sum_or_first, sum_or_first_backward, "a(n), b(n) -> out(n)", lambda rng: [case])


def test_zeros_that_a_case_does_not_declare_fail():
    assert not failures(taken("first", zero_gradient=("b",)))
    found = failures(taken("first"))
    assert found["backward_is_the_jacobian"] == ["b: only zeros, and the case does not say so"]


def test_zeros_that_a_case_declares_wrongly_fail():
    found = failures(taken("sum", zero_gradient=("b",)))
    assert found["backward_is_the_jacobian"] == ["b: the case says zero, and it is not"]


def test_a_case_where_all_is_zero_fails_unless_it_says_so():
    def nothing(**rest):
        case = Case("nothing", (np.ones(3),), **rest)
        return op_of(lambda a: (0 * a, None), lambda saved, g: (0 * g,), cases=lambda rng: [case])

    assert not failures(nothing(zero_gradient=("a",)))
    assert "backward_is_the_adjoint" in failures(nothing())


# ---- what is no number, or no number of this shape --------------------------


def everything_but(value, place):
    """exp's backward with ``value`` in one entry of the gradient."""

    def backward(saved, g):
        g = g * saved
        index = np.arange(g.shape[-1])
        return (np.where(index == place, np.asarray(value, dtype=g.dtype), g),)

    return backward


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_no_number_fails_every_comparison(value, place):
    """Wherever it stands: Python's max() would forget a NaN that does not come first."""
    found = failures(replace(EXP, backward=everything_but(value, place)))
    assert {
        "values_are_finite",
        "backward_is_the_papers_derivative",
        "backward_is_the_adjoint",
        "backward_is_the_jacobian",
        "backward_is_the_slope",
        "central_differences_agree",
        "backward_is_linear",
        "float32_by_complex_step",
    } <= set(found)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_jacobian_row_that_is_no_number_fails_every_comparison(place):
    """Here a row of the Jacobian is NaN only while its own output is asked for."""

    def backward(saved, g):
        asked = (np.arange(3) == place) & (g != 0)
        return (np.where(asked, np.nan, g * saved),)

    found = failures(replace(EXP, backward=backward))
    assert {"backward_is_the_papers_derivative", "backward_is_the_jacobian"} <= set(found)


def test_a_value_that_is_no_number_fails():
    def forward(a):
        out = array_module(a).exp(a)
        return out + np.array([0.0, np.nan, 0.0], dtype=a.dtype), out

    found = failures(replace(EXP, forward=forward))
    assert {"values_are_finite", "forward_is_the_paper"} <= set(found)


@pytest.mark.filterwarnings("ignore:overflow")
def test_an_overflow_on_the_way_to_a_finite_value_fails():
    def forward(a):
        e = array_module(a).exp(a + 800)
        return 1 / (1 + 1 / e), e

    found = failures(replace(EXP, forward=forward, backward=lambda e, g: (g * (1 / e) / (1 + 1 / e) ** 2,)))
    assert "values_are_finite" in found


def test_a_gradient_of_another_shape_fails_and_names_the_op():
    def cases(rng):
        yield Case("broadcast", (rng.normal(size=3), rng.normal(size=(2, 3))))

    def forward(a, b):
        return a * b, (a, b)

    def summed(saved, g):
        a, b = saved
        return sum_to_shape(g * b, a.shape), g * a

    right = op_of(forward, summed, "a(n), b(n) -> out(n)", cases)
    wrong = replace(right, backward=lambda saved, g: (g * saved[1], g * saved[0]))
    assert not failures(right)
    (told,) = failures(wrong)["backward_is_the_adjoint"]
    assert "planted" in told and "(2, 3)" in told and "(3,)" in told


def test_a_gradient_that_broadcasting_would_hide_fails():
    """One number for three: any difference with it is a number, and so is its error."""
    wrong = replace(EXP, backward=lambda saved, g: (np.sum(g * saved, axis=-1, keepdims=True),))
    assert "shapes_are_as_declared" in failures(wrong)


def test_a_value_of_another_shape_than_declared_fails():
    wrong = op_of(lambda a: (a[..., :1] * a[..., 1:], a), lambda a, g: (0 * a,), "a(n) -> out(n)")
    assert "shapes_are_as_declared" in failures(wrong)


def test_one_gradient_too_few_or_too_many_fails():
    for backward in (lambda saved, g: (), lambda saved, g: (g * saved, g)):
        assert "backward_is_the_adjoint" in failures(replace(EXP, backward=backward))


def test_an_op_that_cannot_run_is_a_failure_and_not_an_abort():
    def broken(*inputs):
        raise KeyError("lost")

    assert failures(replace(EXP, forward=broken)) == {"forward_runs": ["KeyError: 'lost'"]}
    found = failures(replace(EXP, backward=broken))
    assert found["backward_is_linear"] == ["KeyError: 'lost'"] and "forward_is_the_paper" not in found


# ---- the paper --------------------------------------------------------------


def test_a_forward_that_is_wrong_together_with_its_backward_is_found_by_the_paper_alone():
    def forward(a):
        out = array_module(a).exp(2 * a)
        return out, 2 * out

    found = set(failures(replace(EXP, forward=forward)))
    assert found == {"forward_is_the_paper", "backward_is_the_papers_derivative"}


def test_a_backward_that_loses_digits_with_its_forward_is_found_by_sixty_digits_alone():
    """exp(a) - 1 written so: near zero the complex step loses the digits that the backward loses."""

    def forward(a):
        e = array_module(a).exp(a)
        return (e - 1) * (e - 1) / 2, e

    op = op_of(
        forward,
        lambda e, g: (g * e * (e - 1),),
        loops=lambda a, *, math: [(math.exp(x) - 1) ** 2 / 2 for x in a],
        cases=lambda rng: [Case("next to a minimum", (np.array([1e-7, 0.5, 1.0]),))],
    )
    assert set(failures(op)) == {"backward_is_the_papers_derivative"}


def test_a_case_that_is_ill_conditioned_by_design_has_its_bound_multiplied_and_not_lifted():
    def difference(a):
        return a[..., :1] - a[..., 1:], None

    def backward(saved, g):
        return (array_module(g).concat([g, -g], axis=-1),)

    inputs = (np.array([1e6 + 1.0 / 3, 1e6]),)
    case = Case("far from zero", inputs, ill_conditioned=True)
    op = op_of(
        difference, backward, "a(2) -> out(1)", lambda rng: [case], loops=lambda a, *, math: [a[0] - a[1]]
    )
    assert not failures(op)
    factor = condition(Subject(op, case))
    assert 5.9e6 < factor < 6.1e6
    off = replace(op, forward=lambda a: (difference(a)[0] * (1 + 1e-5), None))
    assert "forward_is_the_paper" in failures(off)
    still = replace(op, backward=lambda saved, g: (backward(saved, g)[0] * (1 + 1e-5),))
    assert "backward_is_the_papers_derivative" in failures(still)


# ---- what a complex step cannot see -----------------------------------------


def test_what_is_not_analytic_is_found_by_real_arithmetic():
    """abs() of a complex number forgets the step: both it and this backward say zero."""

    def cases(rng):
        yield Case("positive", (rng.uniform(1, 2, size=3),))

    op = op_of(lambda a: (abs(a) + 0 * a, a), lambda a, g: (0 * g,), cases=cases)
    assert {"backward_is_the_slope", "central_differences_agree"} <= set(failures(op))


def test_the_symmetry_of_the_hessian_needs_no_forward():
    """g = (b^2, 2 a b + a): no function has this gradient."""

    def forward(a, b):
        return a * b * b, (a, b)

    def backward(saved, g):
        a, b = saved
        return g * b * b, g * (2 * a * b + a)

    def cases(rng):
        yield Case("two numbers", (rng.normal(size=()), rng.normal(size=())))

    op = op_of(forward, backward, "a(), b() -> out()", cases)
    alone = check_case(
        op, next(cases(np.random.default_rng(0))), checks=[evidence.derivatives.hessian_is_symmetric]
    )
    assert [r["ok"] for r in alone] == [False]


def test_finite_differences_stay_within_the_margin_and_off_the_kink():
    def forward(a):
        xp = array_module(a)
        return xp.where(real(a) > 0, a, 0), a

    def backward(a, g):
        return (array_module(a).where(real(a) > 0, g, 0),)

    def at(x, **rest):
        return Case(f"at {x}", (np.array([x, 1.0]),), **rest)

    rectified = op_of(forward, backward)
    assert not failures(rectified, at(1e-5, margin=1e-5))
    assert not failures(rectified, at(0.0, margin=0))
    assert {"backward_is_the_slope", "central_differences_agree"} == set(failures(rectified, at(1e-9)))
    assert "backward_is_the_slope" in failures(rectified, at(0.0))


def test_a_backward_that_is_on_purpose_another_functions_is_checked_as_that_one():
    """a times a stopped copy of itself: the forward is a^2, the backward a."""

    def forward(a):
        return a * a, a

    def backward(a, g):
        return (g * a,)

    stopped = Detached(stopped=lambda a: (a,), forward=lambda a, held: a * held)
    assert "backward_is_the_jacobian" in failures(op_of(forward, backward))
    assert not failures(op_of(forward, backward, detached=stopped))
    twice = op_of(forward, lambda a, g: (2 * g * a,), detached=stopped)
    assert "backward_is_the_jacobian" in failures(twice)


# ---- structure --------------------------------------------------------------


def test_a_cotangent_that_is_not_used_linearly_is_found():
    clipped = replace(EXP, backward=lambda e, g: (e * array_module(g).where(real(g) > 0.1, 0.1, g),))
    constant = replace(EXP, backward=lambda e, g: (e + 0 * g,))
    for op in (clipped, constant):
        assert "backward_is_linear" in failures(op)


def test_what_overwrites_is_found():
    def writes_input(a):
        a *= 2
        return array_module(a).exp(a), None

    def writes_cotangent(e, g):
        g *= e
        return (g,)

    def writes_saved(e, g):
        e *= 2
        return (g * e / 2,)

    def writes_input_later(a, g):
        a += 1
        return (g * array_module(a).exp(a - 1),)

    later = replace(EXP, forward=lambda a: (array_module(a).exp(a), a), backward=writes_input_later)
    for op, by in (
        (replace(EXP, forward=writes_input), "inputs_are_left_alone"),
        (replace(EXP, backward=writes_cotangent), "inputs_are_left_alone"),
        (later, "inputs_are_left_alone"),
        (replace(EXP, backward=writes_saved), "same_bits_twice"),
    ):
        assert by in failures(op)


def test_an_output_that_the_pullback_overwrites_is_found():
    """The value that is saved is the value that was returned."""

    def backward(e, g):
        grad = g * e
        e[..., 0] = e[..., 0] * (1 + 1e-15)  # later pullbacks hardly see it; its owner does
        return (grad,)

    assert "same_bits_twice" in failures(replace(EXP, backward=backward))


def test_what_differs_from_call_to_call_is_found():
    noise = np.random.default_rng(0)

    def forward(a):
        out = array_module(a).exp(a)
        return out * (1 + 1e-16 * noise.integers(-3, 4, size=a.shape).astype(a.real.dtype)), out

    assert "same_bits_twice" in failures(replace(EXP, forward=forward))


def test_a_precision_that_leaks_is_found():
    def wide_forward(a):
        out = array_module(a).exp(a) * np.float64(1.0)
        return out, out

    def wide_backward(e, g):
        return (g * e * np.float64(1.0),)

    assert "precision_is_kept" in failures(replace(EXP, forward=wide_forward))
    assert "precision_is_kept" in failures(replace(EXP, backward=wide_backward))


def test_a_precision_that_is_lost_is_found():
    def forward(a):
        out = array_module(a).exp(a)
        narrow = out.real.astype(np.float32).astype(out.real.dtype)
        return out, narrow + 0 * out

    found = failures(replace(EXP, forward=forward))
    assert {"backward_is_the_adjoint", "backward_is_the_jacobian"} <= set(found)
    assert not {"central_differences_agree", "precision_is_kept"} & set(found)


def test_a_result_that_depends_on_memory_layout_is_found():
    def forward(a):
        along = np.asarray(a.strides) / a.itemsize
        out = array_module(a).exp(a) * float(along[-1])
        return out, out

    assert "memory_layout_is_irrelevant" in failures(replace(EXP, forward=forward))


def rows(**rest):
    def cases(rng):
        yield Case("one row", (rng.normal(size=3),))

    return op_of(cases=cases, **rest)


def test_rows_of_a_batch_that_mix_are_found():
    def centred(a):
        return a - array_module(a).mean(a), None

    def centred_backward(saved, g):
        return (g - array_module(g).mean(g),)

    assert "a_row_alone_is_the_row_in_the_batch" in failures(rows(forward=centred, backward=centred_backward))


def test_rows_of_a_batch_that_mix_through_a_decision_are_found():
    """The largest of all rows, where that of each row is meant: a row beside its own copy shows nothing."""

    def forward(a):
        flat = a.reshape(-1)
        winner = int(np.argmax(real(flat)))
        return a - flat[winner], (winner, a.shape)

    def backward(saved, g):
        winner, shape = saved
        grad = g.reshape(-1) + 0
        grad[winner] -= g.sum()
        return (grad.reshape(shape),)

    assert "a_row_alone_is_the_row_in_the_batch" in failures(rows(forward=forward, backward=backward))


def test_a_property_that_does_not_hold_is_found_and_named():
    def values_are_below_one(inputs, params, out):
        assert (out < 1).all(), "somewhere"

    def values_are_positive(inputs, params, out):
        assert (out > 0).all()

    op = replace(EXP, properties=(values_are_positive, values_are_below_one))
    case = Case("large", (np.array([1.0, 2.0]),))
    found = failures(op, case)
    assert list(found) == ["properties_hold"]
    (told,) = found["properties_hold"]
    assert told.startswith("values_are_below_one somewhere")


def test_a_fused_op_that_is_not_its_composition_is_found():
    def composed(a):
        return REGISTRY["exp"](a)

    same = replace(EXP, equals=composed)
    other = replace(EXP, equals=lambda a: REGISTRY["exp"](a * (1 + 1e-9)))
    assert "fused_equals_the_composition" in {r["check"] for r in results(same)}
    assert not failures(same)
    assert set(failures(other)) == {"fused_equals_the_composition"}


# ---- what runs the checks ---------------------------------------------------


def test_a_check_that_does_not_apply_is_left_out_by_name_and_no_other():
    found = replace(EXP, excused=frozenset({"hessian_is_symmetric"}))
    assert {r["check"] for r in results(EXP)} - {r["check"] for r in results(found)} == {
        "hessian_is_symmetric"
    }


def test_the_same_results_come_from_one_process_and_from_two():
    ops = [REGISTRY[name] for name in ("add", "negate", "exp")]
    one = {op.name: found for op, found in check_all(ops)}
    two = {op.name: found for op, found in check_all(ops, processes=2)}
    assert one == two == {op.name: check(op) for op in ops}
    whole = [r for found in one.values() for r in found]
    counted = summary(whole, 0.0)
    assert counted["ops"] == 3 and counted["checks"] == len(whole) and counted["failed"] == 0


# ---- derivatives by evaluation ----------------------------------------------


def test_ridders_admits_its_error():
    for phi, slope in (
        (np.sin, 1.0),
        (lambda t: np.exp(3 * t) + 1e6, 3.0),  # drowned
        (lambda t: np.tanh(40 * t), 40.0),  # steep
        (lambda t: 2.0 * t, 2.0),
        (lambda t: 1e-8 * np.sin(t) + 1.0, 1e-8),
    ):
        estimate, doubt = ridders(phi)
        assert abs(estimate - slope) <= 10 * doubt
        assert doubt < 1e-3 * max(1, slope)


def test_ridders_is_sure_of_itself_on_a_kink():
    """|t| + t has the slopes zero and two; every central difference says one.  Hence a case's margin."""
    estimate, doubt = ridders(lambda t: abs(t) + t)
    assert estimate == pytest.approx(1.0) and doubt < 1e-12


def test_all_methods_give_the_same_jacobian():
    rng = np.random.default_rng(0)
    primals = [rng.normal(size=(2, 2)), rng.normal(size=2)]

    def f(matrix, vector):
        xp = np
        return (xp.tanh(matrix @ vector), xp.exp(xp.sum(vector * vector)))

    import mpmath

    def paper(matrix, vector):
        first = np.array([mpmath.tanh(sum(a * b for a, b in zip(row, vector))) for row in matrix])
        return first, np.array(mpmath.exp(sum(v * v for v in vector)))

    for which in (0, 1):
        truth = exact_jacobian(paper, primals, which)
        stepped = complex_step_jacobian(f, primals, which)
        central, rounding = central_jacobian(f, primals, which)
        for t, s, c in zip(truth, stepped, central):
            assert distance(s, t) < 4e-16 and distance(c, t) < 1e-9
        assert rounding < 1e-10


def test_a_complex_step_has_no_step_to_tune():
    for h in (1e-20, 1e-100, 1e-150):
        (slope,) = complex_step(lambda x: (np.exp(x) / np.sqrt(x),), [np.array(1.5)], [np.array(1.0)], h=h)
        assert slope == pytest.approx(np.exp(1.5) / np.sqrt(1.5) * (1 - 1 / 3), rel=4e-16)


def test_distance_is_relative_and_refuses_another_shape():
    assert distance([1e-30], [2e-30]) == 0.5
    assert distance([1.0, 1.0], [1.0]) == np.inf
    assert not distance([np.nan], [1.0]) <= 1
