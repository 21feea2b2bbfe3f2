"""Adaptive computation time around a cell: the paper, and what batch, chunk and cap may not change."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from adjoint import hessian_is_symmetric, is_the_adjoint

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn.nn.act import ACTWeights, act_sequence, act_shapes, act_step
from scratchattn.nn.ntm_cell import NTMState, NTMWeights, ntm_shapes, ntm_step

NAN = float("nan")
F, U = 2, 3  # features of x, units


def tanh_cell(w, v, b):
    """tanh(x W + s V + b), a product of its own for each example."""

    def cell(x, s):
        row = sa.tanh(x[..., None, :] @ w + s[..., None, :] @ v + b)
        s = sa.reshape(row, shape=(*row.shape[:-2], row.shape[-1]))
        return s, s

    return cell


def drawn(seed=5, bias=-0.5):
    """Weights of the tanh cell, those of the halting unit, at which examples take 2 to 9 steps."""
    rng = np.random.default_rng(seed)
    cell = [rng.normal(size=(F + 1, U)), rng.normal(size=(U, U)), rng.normal(size=U)]
    return [*cell, 2 * rng.normal(size=act_shapes(U)["halting_weights"]), np.array([bias])]


def inputs(t=4, b=3, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(t, b, F)), rng.normal(size=(b, U))


def run(xs, state, w, v, b, *halting_unit, lengths=None, **rest):
    return act_sequence(xs, state, tanh_cell(w, v, b), ACTWeights(*halting_unit), lengths, **rest)


def everything(*arrays, **rest):
    """Outputs and gradients of a sequence, by all of its outputs, the ponder among them."""

    def f(*tensors):
        return tuple(run(*tensors, **rest))

    found, pullback = sa.vjp(f, *arrays)
    rng = np.random.default_rng(3)
    return [*found, *pullback(*[rng.normal(size=y.shape).astype(y.dtype) for y in found])]


def equal(found, truth):
    for a, b in zip(found, truth, strict=True):
        np.testing.assert_array_equal(a, b)


def constantly(value, limit=10, dtype=float, **rest):
    """A cell that counts, and a halting unit that always says ``value``; its logit may be given instead."""
    logit = rest.pop("logit", np.log(value / (1 - value)) if value is not None else None)
    weights = ACTWeights(np.zeros((1, 1), dtype), np.array([logit], dtype))
    zero = np.zeros((1, 1), dtype)
    return act_step(zero, zero, lambda x, s: (s + 1, s + 1), weights, limit=limit, **rest)


# ---- the paper --------------------------------------------------------------


def graves(xs, s, w, v, b, halting_weights, halting_bias, eps=0.01, limit=100):
    """One example, in loops."""
    shown, steps, remainders = [], [], []
    for x in xs:
        states, values = [], []
        while True:
            flagged = np.append(x, 1.0 if not states else 0.0)
            states.append(np.tanh(flagged @ w + (states[-1] if states else s) @ v + b))
            values.append(1 / (1 + np.exp(-(states[-1] @ halting_weights + halting_bias)[0])))
            if sum(values) >= 1 - eps or len(states) == limit:
                break
        remainders.append(1 - sum(values[:-1]))
        weights = [*values[:-1], remainders[-1]]
        s = sum(p * state for p, state in zip(weights, states))
        shown.append(s)
        steps.append(len(states))
    return np.array(shown), s, np.array(steps), np.array(remainders)


@pytest.mark.parametrize("limit", [100, 3])
def test_it_is_the_paper_example_by_example(limit):
    (xs, state), weights = inputs(t=6, b=5), drawn()
    found = run(xs, state, *weights, limit=limit)
    assert len(set(found.steps.ravel())) > 1
    for j in range(5):
        truth = graves(xs[:, j], state[j], *weights, limit=limit)
        here = [found.out[:, j], found.state[j], found.steps[:, j], found.remainder[:, j]]
        assert all(distance(a, b) < 1e-14 for a, b in zip(here, truth))


@pytest.mark.parametrize("value, steps", [(0.2, 5), (0.3, 4), (0.4, 3), (0.5, 2), (0.6, 2), (0.995, 1)])
def test_constant_halting_values_take_the_steps_that_were_worked_out(value, steps):
    """The counting cell shows sum n p_n, so the weights can be read from it."""
    found = constantly(value)
    n = np.arange(1, steps)
    rest = 1 - value * (steps - 1)
    assert found.steps == steps and abs(found.remainder[0] - rest) < 1e-15
    assert abs(found.out[0, 0] - (value * n.sum() + steps * rest)) < 1e-14


def test_the_flag_is_one_at_the_first_step_and_zero_after():
    for flag, seen in (("first", [1, 0, 0]), ("later", [0, 1, 1]), (None, None)):
        flags = []

        def cell(x, s, flags=flags):
            flags.append(x[0, 1:].tolist())
            return s, s

        weights = ACTWeights(np.zeros((1, 1)), np.array([np.log(0.4 / 0.6)]))
        act_step(np.zeros((1, 1)), np.zeros((1, 1)), cell, weights, flag=flag)
        assert flags == ([[f] for f in seen] if seen else [[]] * 3)


def test_other_conventions_of_the_cap_and_of_equality_are_those_of_halting():
    assert abs(constantly(0.1, 3).remainder - 0.8) < 1e-15
    assert abs(constantly(0.1, 3, at_cap="left_over").remainder - 0.7) < 1e-15
    assert constantly(0.1, 3, at_cap="value").remainder == 0
    assert constantly(0.5, eps=0.5).steps == 1 and constantly(0.5, eps=0.5, strict=True).steps == 2


def test_other_rules_weigh_the_states_otherwise():
    """p is 0.4, 0.4, 0.2, and with a sum of 0.993 its last is 0.338, or, clamped, the value itself."""
    assert abs(constantly(0.4, mixing="mean_of_more").out[0, 0] - (1.4 + 2 * 1.4 + 3 * 1.2) / 3) < 1e-14
    assert constantly(0.4, mixing="last").out[0, 0] == 3
    for clamped, last in ((False, 0.338), (True, 0.331)):
        assert abs(constantly(0.331, clamped=clamped).out[0, 0] - (0.331 * 3 + 3 * last)) < 1e-14


# ---- derivatives ------------------------------------------------------------


def test_its_backward_is_the_adjoint_through_a_sequence():
    """By outputs, last state and remainders, in every input and weight; N is a constant of both sides."""
    arrays = [*inputs(), *drawn()]
    for rest in ({}, {"limit": 3}, {"lengths": np.array([4, 2, 0])}, {"eps": 0.3, "at_cap": "value"}):
        assert np.ptp(run(*arrays, **rest).steps) > 0
        is_the_adjoint(lambda *a, rest=rest: tuple(run(*a, **rest)), *arrays)


def test_its_hessian_is_symmetric():
    arrays = [*inputs(t=2, b=2), *drawn()]
    hessian_is_symmetric(lambda *a: [y for y in run(*a) if y is not None][:2], *arrays)


def test_the_ponder_gradient_of_the_halting_bias_is_minus_the_slopes_before_the_last_step():
    (xs, state), weights = inputs(t=1, b=1), drawn(bias=-1.5)
    seen = []

    def noted(out, state):
        seen.append(out)
        return out

    found, pullback = sa.vjp(lambda b: tuple(run(xs, state, *weights[:4], b, sees=noted)[2:]), weights[4])
    h = [1 / (1 + np.exp(-(s @ weights[3] + weights[4]))) for s in seen]
    assert len(h) == found[0][0, 0] > 2
    (gradient,) = pullback(np.ones((1, 1)), np.ones((1, 1)))
    assert abs(gradient + sum(v * (1 - v) for v in h[:-1])).max() < 1e-15


def test_the_gradient_ignores_the_jump_of_the_number_of_steps():
    """On either side it is that of the steps taken: the ponder is N - sum of h before N."""
    slopes = []
    for value in (0.4949, 0.4951):
        weights = ACTWeights(np.zeros((1, 1)), np.array([np.log(value / (1 - value))]))
        zero = np.zeros((1, 1))

        def ponder(b, zero=zero, weights=weights):
            return act_step(zero, zero, lambda x, s: (s + 1, s + 1), weights._replace(halting_bias=b))[2:]

        found, pullback = sa.vjp(lambda b: tuple(ponder(b)), weights.halting_bias)
        slopes.append((found[0][0], pullback(np.ones(1), np.ones(1))[0][0] / (value * (1 - value))))
    assert slopes[0][0] == 3 and abs(slopes[0][1] + 2) < 1e-12
    assert slopes[1][0] == 2 and abs(slopes[1][1] + 1) < 1e-12


# ---- other cells ------------------------------------------------------------


class LSTMState(NamedTuple):
    hidden: Any
    cell: Any


def test_a_state_of_several_parts_and_a_halting_unit_that_sees_them_all(rng):
    """An LSTM, halted by hidden and cell together."""
    b, h = 2, 3
    shapes = [(4, b, F), (b, h), (b, h), (F + 1, 4 * h), (h, 4 * h), (4 * h,), (2 * h, 1), (1,)]
    arrays = [rng.normal(size=shape) for shape in shapes]

    def lstm(xs, hidden, cell, w, v, bias, *unit):
        def step(x, s):
            state = LSTMState(*sa.lstm_cell(x, *s, w, v, bias))
            return state.hidden, state

        def sees(out, state):
            return sa.concat(state.cell, state.hidden, axis=-1)

        return act_sequence(xs, LSTMState(hidden, cell), step, ACTWeights(*unit), sees=sees)

    found = lstm(*arrays)
    assert type(found.state) is LSTMState and found.state.cell.shape == (b, h) and np.ptp(found.steps) > 0
    is_the_adjoint(lambda *a: tuple(lstm(*a)), *arrays)


def test_a_neural_turing_machine_may_ponder_too(rng):
    """A state with parts that are None, and a memory with axes of its own."""
    sizes = dict(inputs=F + 1, outputs=2, units=3, width=2, read_heads=1, write_heads=1, shifts=3)
    named = {n: 0.5 * rng.normal(size=s) for n, s in ntm_shapes(**sizes, controller="feedforward").items()}
    xs, memory = rng.normal(size=(3, 2, F)), rng.normal(size=(2, 4, 2))
    weightings = rng.dirichlet(np.ones(4), size=(2, 2))
    reads, unit = np.zeros((2, 1, 2)), [rng.normal(size=(2, 1)), np.array([0.3])]

    def machine(xs, memory, *values):
        values, unit = values[:-2], values[-2:]
        weights = NTMWeights(**dict(zip(named, values)))
        state = NTMState(reads, memory, weightings)
        out = act_sequence(xs, state, lambda x, s: ntm_step(x, s, weights), ACTWeights(*unit))
        assert out.state.cell is None
        return out.out, out.state.memory, out.remainder

    is_the_adjoint(machine, xs, memory, *named.values(), *unit)


def test_positions_halt_each_on_its_own_as_in_the_universal_transformer(rng):
    """Leading axes of any number: a layer over all positions, which mixes them, and a halt for each."""
    x, mix, w, v = (rng.normal(size=s) for s in ((2, 5, U), (5, 5), (U, U), (U, 1)))

    def transformer(state, w, v, b):
        def layer(x, s):
            s = sa.tanh(mix @ s @ w)
            return s, s

        found = act_step(state, state, layer, ACTWeights(v, b), flag=None, limit=6)
        assert found.steps.shape == (2, 5)
        return found.out, found.steps, found.remainder

    assert len(set(transformer(x, w, v, np.array([-0.5]))[1].ravel())) > 2
    is_the_adjoint(transformer, x, w, v, np.array([-0.5]))


# ---- batches, chunks, padding -----------------------------------------------


def test_edge_case_15_an_example_alone_is_the_example_in_a_batch_to_the_bit():
    """Forward, and the gradients by all that is its own."""
    (xs, state), weights, lengths = inputs(t=5, b=6), drawn(), np.array([5, 3, 0, 5, 1, 4])
    cotangents = [np.random.default_rng(3).normal(size=s) for s in ((5, 6, U), (6, U), (5, 6), (5, 6))]

    def outcome(columns):
        rest = {"lengths": lengths[columns]}
        found, pullback = sa.vjp(
            lambda x, s: tuple(run(x, s, *weights, **rest)), xs[:, columns], state[columns]
        )
        own = [u[columns] if i == 1 else u[:, columns] for i, u in enumerate(cotangents)]
        return [*found, *pullback(*own)]

    batch = outcome(slice(None))
    assert batch[2].max() >= 4
    for j in range(6):
        cut = [y[j : j + 1] if i in (1, 5) else y[:, j : j + 1] for i, y in enumerate(batch)]
        equal(outcome(slice(j, j + 1)), cut)


def test_edge_case_15_a_finished_example_neither_changes_nor_gets_gradient():
    """After its last step the cell gives it NaN, which reaches nothing."""
    (xs, state), weights = inputs(t=1, b=5), drawn()
    steps = run(xs, state, *weights).steps[0]
    assert steps.min() < steps.max() - 1

    def spoilt(by, w, v, b):
        cell, n = tanh_cell(w, v, b), [0]

        def step(x, s):
            n[0] += 1
            out, new = cell(x, s)
            late = (n[0] > steps)[:, None]
            return sa.where(late, by, out), sa.where(late, by, new)

        return step

    def outcome(by):
        def f(xs, state, w, v, b, *unit):
            return tuple(act_sequence(xs, state, spoilt(by, w, v, b), ACTWeights(*unit)))

        found, pullback = sa.vjp(f, xs, state, *weights)
        return [*found, *pullback(*[np.random.default_rng(4).normal(size=y.shape) for y in found])]

    equal(outcome(NAN), outcome(7.0))


def test_edge_case_15_padded_time_steps_contribute_no_ponder_and_are_never_read():
    (xs, state), weights, lengths = inputs(t=4, b=3), drawn(), np.array([4, 2, 0])
    ended = np.arange(4)[:, None] >= lengths
    spoilt = np.where(ended[..., None], NAN, xs)
    found = everything(spoilt, state, *weights, lengths=lengths)
    equal(found, everything(xs, state, *weights, lengths=lengths))
    out, last, steps, remainder, dxs = found[:5]
    assert all((y[ended] == 0).all() for y in (out, steps, remainder, dxs)) and (steps[~ended] >= 1).all()
    assert (last[2] == state[2]).all() and (last[1] == out[1, 1]).all()


def test_padding_makes_nobody_else_go_on():
    """An example whose sequence has ended would ponder long: no step is run for its sake."""
    calls = []

    def cell(x, s):
        calls.append(1)
        return s, s

    weights = ACTWeights(np.ones((1, 1)), np.zeros(1))
    state = np.array([[5.0], [-5.0]])
    found = act_step(np.zeros((2, 1)), state, cell, weights, running=np.array([True, False]))
    assert len(calls) == 1 and found.steps.tolist() == [1, 0]


def test_a_sequence_in_chunks_is_the_sequence_to_the_bit():
    (xs, state), weights = inputs(t=6), drawn()
    whole = everything(xs, state, *weights)
    for cuts in ((2, 2), (1, 4)):

        def chunked(xs, state, *weights, cuts=cuts):
            parts = []
            for chunk in sa.split(xs, sections=np.diff([0, *cuts, 6]).tolist()):
                parts.append(run(chunk, state, *weights))
                state = parts[-1].state
            return [sa.concat(*y) for y in zip(*[(p.out, p.steps, p.remainder) for p in parts])], state

        def flat(*arrays, chunked=chunked):
            (out, steps, remainder), state = chunked(*arrays)
            return out, state, steps, remainder

        found, pullback = sa.vjp(flat, xs, state, *weights)
        rng = np.random.default_rng(3)
        grads = pullback(*[rng.normal(size=y.shape) for y in found])
        equal([*found, *grads[:2]], whole[:6])
        assert all(distance(a, b) <= 1e-14 for a, b in zip(grads[2:], whole[6:]))


def test_no_time_steps_and_no_examples():
    (xs, state), weights = inputs(), drawn()
    out, last, steps, remainder, *grads = everything(xs[:0], state, *weights)
    assert out.shape == (0, 3, U) and steps.shape == remainder.shape == (0, 3) and (last == state).all()
    assert (grads[0].shape, grads[1].shape) == ((0, 3, F), (3, U)) and not any(g.any() for g in grads[2:])
    (
        out,
        last,
        steps,
        *_,
    ) = everything(xs[:, :0], state[:0], *weights)
    assert out.shape == (4, 0, U) and steps.shape == (4, 0) and last.shape == (0, U)


def test_one_example_needs_no_batch():
    (xs, state), weights = inputs(b=1), drawn()
    alone = everything(xs[:, 0], state[0], *weights)
    batch = everything(xs, state, *weights)
    equal(alone, [y.reshape(a.shape) for y, a in zip(batch, alone, strict=True)])


@pytest.mark.parametrize("look", [None, True, False])
def test_how_many_steps_are_run_does_not_matter_to_the_bit(look):
    (xs, state), weights = inputs(), drawn()
    equal(everything(xs, state, *weights, limit=12, look=look), everything(xs, state, *weights, limit=12))
    calls = []

    def cell(x, s):
        calls.append(1)
        return s, s

    act_step(xs[0], state, cell, ACTWeights(0 * weights[3], weights[4] * 0), limit=12, look=look)
    assert len(calls) == (12 if look is False else 2)


def test_on_a_gpu_no_step_waits_for_the_device():
    from recorded_cupy import namespace, ndarray, no_reads

    arrays, lengths = [*inputs(), *drawn()], np.array([4, 2, 0])
    here = everything(*arrays, lengths=lengths, limit=5)
    with no_reads(), np.errstate(all="ignore"):
        bring = namespace.asarray
        there, pullback = sa.vjp(
            lambda *a: tuple(run(*a, lengths=bring(lengths), limit=5)), *map(bring, arrays)
        )
        rng = np.random.default_rng(3)
        grads = pullback(*[bring(rng.normal(size=y.shape)) for y in there])
    assert all(type(y) is ndarray for y in (*there, *grads))
    assert all(distance(a.host(), b) <= 1e-13 for a, b in zip((*there, *grads), here, strict=True))


def test_float32_stays_and_agrees():
    arrays = [*inputs(), *drawn()]
    single = everything(*[x.astype(np.float32) for x in arrays])
    assert all(y.dtype == np.float32 for y in single)
    assert all(distance(a, b) < 1e-4 for a, b in zip(single, everything(*arrays), strict=True))


# ---- one step, and the cap --------------------------------------------------


def test_edge_case_11_one_step_has_remainder_one_and_no_gradient_for_the_halting_unit():
    (xs, state), weights = inputs(), drawn(bias=40.0)
    out, _, steps, remainder, *grads = everything(xs, state, *weights)
    assert (steps == 1).all() and (remainder == 1).all()
    assert not grads[5].any() and not grads[6].any() and all(g.any() for g in grads[:5])
    equal([out[0]], [tanh_cell(*weights[:3])(np.append(xs[0], np.ones((3, 1)), 1), state)[0]])


def test_edge_case_11_equality_halts():
    """h = 1/2 exactly, at budgets of 1/2 and of 1; no step is run beyond."""
    for eps, steps in ((0.5, 1), (0.0, 2)):
        seen = []
        found = constantly(None, logit=0.0, eps=eps, sees=lambda out, _, seen=seen: seen.append(out) or out)
        assert found.steps == len(seen) == steps


def test_edge_case_11_without_eps_only_a_saturated_value_halts_at_once():
    assert constantly(None, logit=30.0, eps=0.0).steps == 2  # sigmoid(30) is below one in float64
    assert constantly(None, logit=40.0, eps=0.0).steps == 1
    assert constantly(None, logit=18.0, eps=0.0, dtype=np.float32).steps == 1


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_edge_case_12_at_the_cap_the_last_step_takes_what_is_left(limit):
    found = constantly(0.01, limit)
    n = np.arange(1, limit)
    assert found.steps == limit and abs(found.remainder[0] - (1 - 0.01 * (limit - 1))) < 1e-15
    assert abs(found.out[0, 0] - (0.01 * n.sum() + limit * found.remainder[0])) < 1e-14


def test_edge_case_12_a_limit_of_one_is_the_plain_cell():
    (xs, state), weights = inputs(), drawn(bias=-3.0)
    found, cell, s = run(xs, state, *weights, limit=1), tanh_cell(*weights[:3]), state
    for x, out in zip(xs, found.out):
        _, s = cell(np.append(x, np.ones((3, 1)), 1), s)
        assert (out == s).all()
    assert (found.steps == 1).all() and (found.remainder == 1).all()
    grads = everything(xs, state, *weights, limit=1)[4:]
    assert not grads[5].any() and not grads[6].any()


def test_edge_case_12_values_that_underflow_leave_all_to_the_last_step():
    found = constantly(None, 4, logit=-800.0)
    assert found.steps == 4 and found.remainder == 1 and found.out == 4


def test_edge_case_14_values_are_summed_from_left_to_right():
    """The remainder is 1 - ((h1 + h2) + h3) in float32, and N is where that very sum gets there."""
    rng = np.random.default_rng(0)
    logits = rng.uniform(-2, -0.2, size=(2000, 4)).astype(np.float32)
    weights = ACTWeights(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    n = [-1]

    def cell(x, s):
        n[0] += 1
        return logits[:, n[0]][:, None], s

    found = act_step(logits[:, :1], logits[:, :1], cell, weights, limit=4, look=False)
    h = sa.sigmoid(logits)
    one, other = np.float32(1), 0
    for row, steps, remainder in zip(h, found.steps, found.remainder):
        sums = [row[0]]
        for value in row[1:]:
            sums.append(sums[-1] + value)
        count = next((i for i, s in enumerate(sums[:3], 1) if s >= np.float32(0.99)), 4)
        left = one if count == 1 else one - sums[count - 2]
        assert steps == count and remainder == left
        backwards = one
        for value in row[: count - 1]:
            backwards = backwards - value
        other += backwards != left
    assert other > 200  # so the order is not idle


# ---- errors -----------------------------------------------------------------


@pytest.mark.parametrize(
    "params, words",
    [
        ({"limit": 0}, "act: limit must be an int from 1, got 0"),
        ({"limit": 2.0}, "act: limit must be an int from 1, got 2.0"),
        ({"flag": "none"}, "act: flag must be one of 'first', 'later', None, got 'none'"),
        ({"eps": 1.0}, "halting: eps must be at least 0 and below 1, got 1.0"),
        ({"at_cap": "all"}, "halting: at_cap must be one of"),
    ],
)
def test_bad_params_are_named(params, words):
    with pytest.raises(ValueError, match=words):
        constantly(0.4, **params)


def test_sizes_that_do_not_fit_are_named():
    (xs, state), weights = inputs(), drawn()
    with pytest.raises(ValueError, match=r"act: f is both 3 and 4 in seen .*, halting_weights \(4, 1\)"):
        run(xs, state, *weights[:3], np.ones((4, 1)), weights[4])
    with pytest.raises(ValueError, match="act: 1 must be 1, got 2 in halting_weights"):
        run(xs, state, *weights[:3], np.ones((3, 2)), weights[4])
    with pytest.raises(TypeError, match="act: one precision expected"):
        run(xs, state, *weights[:4], weights[4].astype(np.float32))
