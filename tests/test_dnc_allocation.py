"""Usage and allocation of a DNC: edge cases, a second transcription, whole sequences, other people's code."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from adjoint import hessian_is_symmetric, is_the_adjoint
from drawing import batches, equal, free, gate, given, lengths, same, scales, seeds, st

from gradcheck import check, check_case
from scratchattn import dnc_allocation, dnc_linkage, dnc_usage, dnc_write_weighting, memory_write, retention
from scratchattn.nn.dnc_addressing import allocations_in_turn
from scratchattn.op import Case
from scratchattn.tape import vjp

EPS = 1e-6  # that of DeepMind's own allocation


def gradient(usage, cotangent, permutation=None, **params):
    _, saved = dnc_allocation.forward(usage, permutation, **params)
    return dnc_allocation.backward(saved, cotangent)[0]


# ---- a second transcription -------------------------------------------------


def by_pairs(usage):
    """Allocation and its Jacobian for one memory, row by row, from who comes before whom: O(n^3)."""
    n = len(usage)
    place = np.arange(n)
    before = (usage < usage[:, None]) | ((usage == usage[:, None]) & (place < place[:, None]))
    left = np.where(before, usage, 1).prod(-1)
    jacobian = -np.diag(left)
    for k in range(n):
        others = np.where(before & (place != k), usage, 1).prod(-1)
        jacobian[:, k] += (1 - usage) * np.where(before[:, k], others, 0)
    return (1 - usage) * left, jacobian


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 16, 17, 31])
@pytest.mark.parametrize("zeros, ones, ties", [(0, 0, False), (1, 1, False), (3, 2, False), (0, 0, True)])
def test_it_is_the_product_over_the_rows_that_come_before(rng, n, zeros, ones, ties):
    usage = rng.uniform(size=n)
    usage = np.round(usage, 1) if ties else usage
    usage[rng.permutation(n)[:zeros]] = 0.0
    usage[rng.permutation(n)[:ones]] = 1.0
    expected, jacobian = by_pairs(usage)
    cotangent = rng.normal(size=n)
    np.testing.assert_allclose(dnc_allocation(usage), expected, rtol=1e-14)
    found = gradient(usage, cotangent)
    assert (abs(found - cotangent @ jacobian) <= 1e-14 * abs(cotangent) @ abs(jacobian)).all()


def test_the_default_usage_has_all_checks_that_its_held_variant_is_excused_from():
    """The derivative in sixty digits and the symmetry of the Hessian, at the cases that hold nothing."""

    def cases(rng):
        return [case for case in dnc_usage.cases(rng) if not case.params]

    results = check(replace(dnc_usage, detached=None, cases=cases))
    assert {"backward_is_the_papers_derivative", "hessian_is_symmetric"} <= {r["check"] for r in results}
    assert not [r for r in results if not r["ok"]]


# ---- edges: ties ------------------------------------------------------------


def test_at_the_first_step_the_row_of_lowest_index_is_free():
    assert dnc_allocation(np.zeros(5)).tolist() == [1, 0, 0, 0, 0]
    np.testing.assert_allclose(dnc_allocation(np.zeros(3), eps=EPS), [1 - EPS, EPS, EPS**2], rtol=2e-6)
    again = dnc_usage(np.zeros(5), np.eye(5)[:1])
    assert dnc_allocation(again).tolist() == [0, 1, 0, 0, 0]


def test_the_order_that_another_sort_gave_to_ties_can_be_replayed():
    """torch.topk puts row 2 of five rows that are all free first, then 4, 3, 0, 1."""
    theirs = np.array([2, 4, 3, 0, 1])
    assert dnc_allocation(np.zeros(5), theirs).tolist() == [0, 0, 1, 0, 0]
    usage = np.array([0.5, 0.2, 0.5, 0.2, 0.2])
    np.testing.assert_allclose(
        dnc_allocation(usage, np.array([4, 1, 3, 2, 0])), [0.002, 0.16, 0.004, 0.032, 0.8], rtol=1e-14
    )


def test_at_a_tie_the_allocation_jumps():
    """So a finite difference across it is no slope: 2.5e5 and -2.5e5 at h = 1e-6."""
    tie, h = np.array([0.5, 0.5]), 1e-6
    here = dnc_allocation(tie)
    assert here.tolist() == [0.5, 0.25]
    slope = (dnc_allocation(tie + [h, 0]) - here) / h
    np.testing.assert_allclose(slope, [-2.5e5, 2.5e5], rtol=1e-5)
    np.testing.assert_allclose(gradient(tie, np.array([1.0, 0.0])), [-1, 0])


@pytest.mark.parametrize("margin, caught", [(None, True), (1e-3, True), (1e-10, False), (0, False)])
def test_gradcheck_refuses_a_near_tie_whose_margin_is_not_told(margin, caught):
    near = Case("near tie", (np.array([0.5, 0.5 + 4e-10, 0.9]), None), margin=margin)
    wrong = [r["check"] for r in check_case(dnc_allocation, near) if not r["ok"]]
    assert bool(wrong) == caught
    assert set(wrong) <= {"backward_is_the_slope", "central_differences_agree"}


# ---- edges: nothing, everything, beyond -------------------------------------


def test_usages_of_exactly_zero_have_their_gradient():
    """By hand: a = (1 - u_0, (1 - u_1) u_0, ...) with u_0 = 0 in front, and nothing behind a second zero."""
    cotangent = np.array([3.0, 5.0, 7.0])
    np.testing.assert_allclose(gradient(np.array([0.0, 0.5, 0.8]), cotangent), [-3 + 5 * 0.5 + 7 * 0.1, 0, 0])
    np.testing.assert_allclose(gradient(np.array([0.0, 0.0, 0.8]), cotangent), [-3 + 5, 0, 0])
    np.testing.assert_allclose(gradient(np.array([0.8, 0.0, 0.0]), cotangent), [0, -5 + 7, 0])


def test_where_all_rows_are_in_use_nothing_is_allocated_and_only_content_is_written():
    content = np.array([0.1, 0.2, 0.7])
    for dtype in (np.float64, np.float32):
        for eps in (0.0, EPS):  # the remap must not lose that 1 - u is zero
            full = dnc_allocation(np.ones(3, dtype), eps=eps)
            assert full.dtype == dtype and (full == 0).all()
    written = dnc_write_weighting(dnc_allocation(np.ones(3)), content, np.array(0.25), np.array(0.5))
    assert abs(written.sum() - 0.5 * (1 - 0.25)) < 1e-15
    np.testing.assert_allclose(gradient(np.ones(3), content), -content, rtol=1e-15)


def test_usage_beyond_its_ends_is_not_clipped():
    """By rounding or by far: the equations hold, with weights beyond [0, 1] by as much."""
    usage = np.array([1.25, -0.5, 0.5])
    np.testing.assert_allclose(dnc_allocation(usage), [-0.25 * -0.25, 1.5, 0.5 * -0.5], rtol=1e-15)
    ulp = np.finfo(float).eps
    allocation = dnc_allocation(np.array([1 + ulp, 1.0, 0.5]))
    assert allocation.tolist() == [-ulp / 2, 0, 0.5]
    over = dnc_usage(np.array([0.5, 0.5]), np.array([[1 + 2 * ulp, -2 * ulp]]))
    assert over.tolist() == [1 + ulp, 0.5 - ulp]


# ---- edges: gates -----------------------------------------------------------


def test_with_the_write_gate_shut_nothing_changes_but_usage():
    """Which falls by what is freed and rises by what the step before wrote."""
    memory, weights = np.arange(6.0).reshape(3, 2), np.zeros((1, 3))
    vector = np.ones((1, 2))
    equal(memory_write(memory, weights, vector, vector), memory)
    link, precedence = np.array([[0, 0.5, 0], [0, 0, 0], [0.2, 0, 0]]), np.array([0.1, 0.2, 0.3])
    equal(list(dnc_linkage(link, precedence, weights[0])), [link, precedence])
    kept = retention(np.array([1.0]), np.array([[0.0, 0.5, 0.0]]))
    found = dnc_usage(np.array([0.5, 0.8, 0.0]), np.array([[0.5, 0.0, 0.25]]), kept)
    np.testing.assert_allclose(found, [0.75, 0.4, 0.25], rtol=1e-15)


def test_a_row_that_is_read_and_freed_is_the_first_to_be_written_and_still_holds_its_content():
    memory, read = np.arange(1.0, 7.0).reshape(3, 2), np.array([[0.0, 1.0, 0.0]])
    kept = retention(np.ones(1), read)
    usage = dnc_usage(np.array([0.2, 1.0, 0.9]), np.zeros((1, 3)), kept)
    assert usage.tolist() == [0.2, 0.0, 0.9]
    assert dnc_allocation(usage).tolist() == [0, 1, 0]
    equal((memory * kept[:, None]).tolist(), [[1, 2], [0, 0], [5, 6]])  # Csordas: content goes too
    assert memory[1].tolist() == [3, 4]  # the paper: nothing but usage changed


def test_two_heads_that_free_one_row_wholly_leave_finite_gradients():
    """The product without one factor still holds the other's zero; the row beside them is alive."""
    gates, read = np.array([1.0, 1.0]), np.array([[0.0, 1.0, 0.0], [0.5, 1.0, 0.0]])
    with np.errstate(all="raise"):
        kept, pullback = vjp(retention, gates, read)
        dgates, dread = pullback(np.array([2.0, 3.0, 5.0]))
    assert kept.tolist() == [0.5, 0, 1]
    assert dgates.tolist() == [0, -2 * 0.5]
    assert dread.tolist() == [[-2 * 0.5, 0, -5], [-2, 0, -5]]


# ---- digits -----------------------------------------------------------------


def test_a_row_that_is_almost_free_keeps_its_digits():
    gates, read = np.array([1 - 7.3e-9]), np.array([[1 - 8.1e-9]])
    exact = 1 - Fraction(gates[0]) * Fraction(read[0, 0])
    assert abs(retention(gates, read)[0] / float(exact) - 1) < 1e-15
    assert abs((1 - gates * read[0])[0] / float(exact) - 1) > 1e-9  # as written


def test_a_row_that_is_hardly_used_keeps_its_digits():
    usage, write = np.array([1e-18]), np.array([[3e-19], [2e-20]])
    assert abs(dnc_usage(usage, write)[0] / 1.32e-18 - 1) < 1e-15


def test_the_gradient_of_the_sum_keeps_its_digits_where_hardly_anything_is_left():
    """sum(a) = 1 - prod(u): for a cotangent of ones each gradient is minus the product of the others."""
    usage = np.linspace(0.01, 0.3, 30)
    whole = [np.prod([Fraction(u) for u in np.delete(usage, j)]) for j in range(30)]
    np.testing.assert_allclose(gradient(usage, np.ones(30)), [-float(p) for p in whole], rtol=1e-14)


# ---- whole sequences --------------------------------------------------------


@given(seeds, st.integers(1, 7), st.integers(1, 3), st.integers(1, 2), batches, scales)
def test_usage_stays_between_nothing_and_one_over_many_steps(seed, n, read_heads, write_heads, batch, scale):
    rng = np.random.default_rng(seed)
    usage = np.zeros((*batch, n))
    write = np.zeros((*batch, write_heads, n))
    for _ in range(6):
        read = rng.dirichlet(np.full(n, 0.3), size=(*batch, read_heads))
        kept = retention(gate(rng, (*batch, read_heads), scale), read)
        usage = dnc_usage(usage, write, kept)
        assert ((usage >= 0) & (usage <= 1) & (kept >= 0) & (kept <= 1)).all()
        gates = gate(rng, (*batch, write_heads), scale)
        write = gates[..., None] * allocations_in_turn(usage, gates)
        assert (write >= 0).all() and (write.sum(-1) <= 1 + 1e-15).all()


@given(st.integers(1, 6), st.lists(st.booleans(), min_size=1, max_size=12))
def test_certain_writes_and_frees_are_a_free_list(n, frees):
    """Held against a list: each step writes the lowest free row, and may free the one written first."""
    usage, write, rows = np.zeros(n), np.zeros((1, n)), []
    for step in frees:
        read = np.eye(n)[rows[:1]] if rows and step else np.zeros((1, n))
        usage = dnc_usage(usage, write, retention(np.ones(1), read))
        del rows[: int(read.sum())]
        assert usage.tolist() == [float(i in rows) for i in range(n)]
        allocation = dnc_allocation(usage)
        lowest = [i for i in range(n) if i not in rows][:1]
        assert allocation.tolist() == [float(i in lowest) for i in range(n)]
        rows, write = rows + lowest, allocation[None]


@given(seeds, batches, lengths, scales)
def test_all_rows_are_interchangeable(seed, batch, n, scale):
    rng = np.random.default_rng(seed)
    usage, turn = gate(rng, (*batch, n), scale), rng.permutation(n)
    cotangent = free(rng, usage.shape)
    equal(dnc_allocation(usage[..., turn]), dnc_allocation(usage)[..., turn])
    equal(gradient(usage[..., turn], cotangent[..., turn]), gradient(usage, cotangent)[..., turn])


@given(seeds, batches, lengths, scales, st.sampled_from([0.0, EPS, 0.3]))
def test_what_is_allocated_is_what_is_not_left(seed, batch, n, scale, eps):
    usage = gate(np.random.default_rng(seed), (*batch, n), scale)
    left = (eps + (1 - eps) * usage).prod(-1)
    assert abs(dnc_allocation(usage, eps=eps).sum(-1) + left - 1).max() < 1e-15 * (n + 1)


# ---- several write heads ----------------------------------------------------


def in_turn_by_hand(usage, gates, eps):
    """As the published loops have it, for one memory; with eps inside the allocation only."""
    rows = []
    for g in gates:
        rows.append(by_pairs(eps + (1 - eps) * usage)[0])
        usage = usage + (1 - usage) * g * rows[-1]
    return np.array(rows)


@pytest.mark.parametrize("eps", [0.0, EPS])
def test_heads_allocate_in_turn(rng, eps):
    usage, (allocation_gate, write_gate) = rng.uniform(size=(2, 5)), rng.uniform(size=(2, 2, 3))
    deepmind = allocations_in_turn(usage, allocation_gate * write_gate, eps=eps)
    jingweiz = allocations_in_turn(usage, write_gate, eps=eps)
    for b in range(2):
        same(deepmind[b], in_turn_by_hand(usage[b], allocation_gate[b] * write_gate[b], eps), 1e-14)
        same(jingweiz[b], in_turn_by_hand(usage[b], write_gate[b], eps), 1e-14)
    equal(deepmind[:, 0], dnc_allocation(usage, eps=eps))
    assert abs(deepmind - jingweiz)[:, 1:].max() > 1e-2


def test_certain_heads_take_different_rows_and_idle_ones_the_same():
    usage = np.array([1.0, 0.0, 0.0, 0.0])
    equal(allocations_in_turn(usage, np.ones(3)), np.eye(4)[1:])
    equal(allocations_in_turn(usage, np.zeros(3)), np.eye(4)[[1, 1, 1]])
    orders = np.array([[3, 2, 1, 0], [2, 3, 1, 0]])
    equal(allocations_in_turn(usage, np.ones(2), orders), np.eye(4)[[3, 2]])


def test_the_simulated_usage_is_that_of_the_writes_it_simulates(rng):
    usage, gates = rng.uniform(size=6), rng.uniform(size=4)
    found = allocations_in_turn(usage, gates)
    before_the_last = dnc_usage(usage, (gates[:, None] * found)[:3])
    equal(found[3], dnc_allocation(before_the_last))


def test_gradients_flow_from_head_to_head(rng):
    usage, gates = rng.permutation(6) / 7 + 0.05, rng.uniform(0.2, 0.3, size=3)
    is_the_adjoint(allocations_in_turn, usage, gates)
    hessian_is_symmetric(allocations_in_turn, usage, gates)


# ---- wrong calls ------------------------------------------------------------


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda u: dnc_allocation(u, eps=1.0), ValueError, "dnc_allocation: eps must be .* got 1.0"),
        (lambda u: dnc_allocation(u, eps=-0.1), ValueError, "dnc_allocation: eps must be .* got -0.1"),
        (
            lambda u: dnc_allocation(u, np.array([0, 1, 1])),
            ValueError,
            r"dnc_allocation: permutation must hold each of 0..2 once, got \[0, 1, 1\]",
        ),
        (lambda u: dnc_allocation(u, u), TypeError, "dnc_allocation: permutation must be integer"),
        (lambda u: dnc_usage(u, u[None, :2]), ValueError, "dnc_usage: n is both 3 and 2"),
        (
            lambda u: dnc_usage(u, u[None], stop_write_gradient="yes"),
            TypeError,
            "dnc_usage: stop_write_gradient must be True or False, got 'yes'",
        ),
        (lambda u: retention(u[:2], u[None]), ValueError, "retention: h is both 2 and 1"),
    ],
)
def test_a_wrong_call_says_what_was_expected(call, kind, message):
    with pytest.raises(kind, match=message):
        call(np.array([0.2, 0.3, 0.5]))


# ---- other people's code ----------------------------------------------------


def in_torch(torch, usage, free_gate, read, write, eps, held):
    """Retention, usage and allocation as the PyTorch ports compute them: torch.sort, torch.cumprod."""
    kept = (1 - free_gate[..., None] * read).prod(-2)
    write = write.detach() if held else write
    usage = (usage + (1 - usage) * (1 - (1 - write).prod(-2))) * kept
    ordered, order = torch.sort(eps + (1 - eps) * usage, dim=-1, stable=True)
    left = torch.cumprod(torch.cat([torch.ones_like(ordered[..., :1]), ordered[..., :-1]], -1), -1)
    return torch.zeros_like(usage).scatter(-1, order, (1 - ordered) * left)


@pytest.mark.peers
@pytest.mark.parametrize("eps, held", [(0.0, False), (EPS, False), (EPS, True)])
@pytest.mark.parametrize("start", ["drawn", "first step", "freed by both heads"])
def test_torch_finds_the_same_values_and_gradients(rng, start, eps, held):
    torch = pytest.importorskip("torch")
    usage, free_gate = rng.uniform(size=(3, 7)), rng.uniform(size=(3, 2))
    read, write = rng.dirichlet(np.ones(7), size=(3, 2)), 0.5 * rng.dirichlet(np.ones(7), size=(3, 2))
    if start == "first step":
        usage, read, write = 0 * usage, 0 * read, 0 * write
    elif start != "drawn":
        free_gate, read = 0 * free_gate + 1, np.broadcast_to(np.eye(7)[3], read.shape) + 0.0
    inputs = usage, free_gate, read, write

    def ours(usage, free_gate, read, write):
        new = dnc_usage(usage, write, retention(free_gate, read), stop_write_gradient=held)
        return dnc_allocation(new, eps=eps)

    theirs = [torch.tensor(x, requires_grad=True) for x in inputs]
    expected = in_torch(torch, *theirs, eps, held)
    cotangent = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(cotangent))
    out, pullback = vjp(ours, *inputs)
    same(out, expected.detach().numpy(), 1e-14)
    for found, tensor in zip(pullback(cotangent), theirs):
        same(found, np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy(), 1e-12)


# ---- the gradient of a cumprod that divides ---------------------------------


def test_a_cumprod_that_divides_has_the_same_gradient_and_none_where_a_row_is_not_in_use(rng):
    """Edge case 5: TensorFlow's, without eps 0 / 0, which Mostafa-Samir and ADNC may meet."""
    usage, cotangent = rng.uniform(0.1, 1.0, size=(2, 6)), rng.normal(size=(2, 6))
    slopes = []
    for how in ("exact", "divide"):
        out, pullback = vjp(lambda u, how=how: dnc_allocation(u, cumprod_gradient=how), usage)
        slopes.append(pullback(cotangent)[0])
    same(slopes[0], slopes[1], 1e-13)
    usage[0, 3] = 0.0
    out, pullback = vjp(lambda u: dnc_allocation(u, cumprod_gradient="divide"), usage)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = pullback(cotangent)[0]
    assert np.isfinite(out).all() and not np.isfinite(slope[0, 3]) and np.isfinite(slope[1]).all()
