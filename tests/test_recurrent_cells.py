"""GRU and peephole LSTM: numbers by hand, sequences of unequal lengths, wrong calls, and PyTorch's."""

import math

import numpy as np
import pytest
from adjoint import hessian_is_symmetric, is_the_adjoint
from drawing import drawn_like, given, lengths, run, same, seeds, st

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn.nn.gru import gru, gru_shapes

GRU, PEEPHOLE, LSTM = (sa.REGISTRY[name] for name in ("gru_cell", "peephole_lstm_cell", "lstm_cell"))
CONVENTIONS = [{"reset": r, "update": u} for r in ("before", "after") for u in ("keeps", "takes")]
of_every_convention = pytest.mark.parametrize("params", CONVENTIONS, ids=lambda p: "_".join(p.values()))


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def gru_inputs(t=4, b=3, d=2, h=3, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (t, b, d), (b, h), *gru_shapes(d, h, two_biases=True).values()
    return [rng.normal(size=shape) for shape in shapes]


def peephole_inputs(b=3, d=2, h=3, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (b, d), (b, h), (b, h), (d, 4 * h), (h, 4 * h), (3 * h,), (4 * h,)
    return [rng.normal(size=shape) for shape in shapes]


# ---- one step ---------------------------------------------------------------


@of_every_convention
def test_one_gru_unit_by_hand(params):
    x, y = 0.5, -0.4
    (w_r, w_z, w_n), (u_r, u_z, u_n) = (1.0, -0.5, 2.0), (0.3, 0.8, -1.5)
    (b_r, b_z, b_n), (c_r, c_z, c_n) = (0.1, 0.2, -0.3), (-0.2, 0.4, 0.6)
    r = sigmoid(w_r * x + b_r + u_r * y + c_r)
    z = sigmoid(w_z * x + b_z + u_z * y + c_z)
    past = u_n * (r * y) + c_n if params["reset"] == "before" else r * (u_n * y + c_n)
    n = math.tanh(w_n * x + b_n + past)
    expected = z * y + (1 - z) * n if params["update"] == "keeps" else (1 - z) * y + z * n
    rows = [[x]], [[y]], [[w_r, w_z, w_n]], [[u_r, u_z, u_n]], [b_r, b_z, b_n], [c_r, c_z, c_n]
    found = GRU(*map(np.asarray, rows), **params)
    assert found.shape == (1, 1) and abs(found[0, 0] - expected) < 1e-15


def test_golden_numbers_of_one_gru_unit():
    """Computed in 40 digits: every drive is 1/4 from the input and 1/4 from the state, so r = z = 0.6225."""
    one, half, none = np.ones((1, 1)), np.full((1, 1), 0.5), np.zeros(3)
    inputs = one, half, np.full((1, 3), 0.25), np.full((1, 3), 0.5), none
    second = np.array([0.0, 0.0, 1.0])
    for params, biases, expected in (
        ({}, (), 0.4564857775192967),
        ({"reset": "after"}, (), 0.4564857775192967),
        ({"update": "takes"}, (), 0.4282571758180867),
        ({}, (second,), 0.6459418536725391),
        ({"reset": "after"}, (second,), 0.6031194953666923),
    ):
        assert abs(GRU(*inputs, *biases, **params)[0, 0] - expected) < 2e-16


def test_golden_numbers_of_one_peephole_unit():
    """Computed in 40 digits: all drives are 1/2, the cell is 1, the peepholes 1, -1 and 2."""
    nothing, one = np.zeros((1, 1)), np.ones((1, 1))
    inputs = (
        nothing,
        nothing,
        one,
        np.zeros((1, 4)),
        np.zeros((1, 4)),
        np.array([1.0, -1, 2]),
        np.full(4, 0.5),
    )
    for params, expected in (
        ({}, (0.5629571095516203, 0.7553558615850936)),
        ({"forget_bias": 1.0}, (0.7039568458081289, 1.0002745239888027)),
    ):
        same([y[0, 0] for y in PEEPHOLE(*inputs, **params)], expected, 3e-16)


@pytest.mark.parametrize("reset", ["before", "after"])
def test_the_second_bias_adds_to_the_first_but_for_the_candidate_after_the_product(reset):
    (x, *_), hidden, input_weights, hidden_weights, bias, second = gru_inputs()
    h = hidden.shape[-1]
    inputs = x, hidden, input_weights, hidden_weights
    together = GRU(*inputs, bias + second, reset=reset)
    assert (distance(GRU(*inputs, bias, second, reset=reset), together) < 1e-15) == (reset == "before")
    second[2 * h :] = 0
    assert distance(GRU(*inputs, bias, second, reset=reset), GRU(*inputs, bias + second, reset=reset)) < 1e-15


def test_without_peepholes_it_is_the_lstm_cell_forward_and_every_gradient():
    *inputs, _, bias = peephole_inputs()
    u = drawn_like(np.random.default_rng(1), inputs[1:3])
    found = run(PEEPHOLE, *inputs, np.zeros(9), bias, cotangents=u)
    del found[-2]
    same(found, run(LSTM, *inputs, bias, cotangents=u), 1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@of_every_convention
def test_gates_driven_to_ten_thousand_stay_finite(params, dtype):
    (x, *_), *rest = gru_inputs()
    rng = np.random.default_rng(3)
    inputs = [a.astype(dtype) for a in (x, *rest)]
    inputs[4] = dtype(1e4) * rng.choice([-1, 1], size=9).astype(dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        everything = run(GRU, *inputs, **params)
    assert all(np.isfinite(a).all() and a.dtype == dtype for a in everything)


# ---- sequences --------------------------------------------------------------


@of_every_convention
def test_gru_sequences_that_have_ended_keep_their_state_and_their_padding_is_never_read(params):
    x, hidden, *weights = gru_inputs()
    ends = np.array([4, 1, 0])
    for j, n in enumerate(ends):
        x[n:, j] = np.nan
    (shown, last), pullback = sa.vjp(lambda *a: gru(*a, ends, **params), x, hidden, *weights)
    for j, n in enumerate(ends):
        alone, own = gru(x[:n, j : j + 1], hidden[j : j + 1], *weights, **params)
        assert distance(shown[:n, j : j + 1], alone) < 1e-13 and (shown[n:, j] == 0).all()
        assert distance(last[j : j + 1], own) < 1e-13
    grads = pullback(*drawn_like(np.random.default_rng(1), (shown, last)))
    assert all(np.isfinite(g).all() for g in grads)
    assert all((grads[0][n:, j] == 0).all() for j, n in enumerate(ends))
    assert (last[2] == hidden[2]).all()


@of_every_convention
def test_the_gru_layer_is_its_cell_step_by_step(params):
    x, state, *weights = gru_inputs()
    shown, last = gru(x, state, *weights, **params)
    for x_t, found in zip(x, shown, strict=True):
        state = GRU(x_t, state, *weights, **params)
        assert (found == state).all()
    assert (last == state).all()


@given(seeds, lengths, lengths, st.integers(0, 5), st.sampled_from(CONVENTIONS), st.booleans())
def test_gru_chunks_equal_the_whole_bit_for_bit(seed, t, b, cut, params, padded):
    """Outputs, the last state, and the gradients by the inputs and the first state."""
    x, hidden, *weights = gru_inputs(t=t, b=b, seed=seed)
    rng, cut = np.random.default_rng(seed), min(cut, t)
    ends = rng.integers(0, t + 1, size=b) if padded else None
    u_shown, u_last = rng.normal(size=(t, b, 3)), rng.normal(size=(b, 3))
    (shown, last), pullback = sa.vjp(lambda *a: gru(*a, *weights, ends, **params), x, hidden)
    first = None if ends is None else ends.clip(0, cut)
    rest = None if ends is None else (ends - cut).clip(0)
    (early, between), pull_early = sa.vjp(lambda *a: gru(*a, *weights, first, **params), x[:cut], hidden)
    (late, final), pull_late = sa.vjp(lambda *a: gru(*a, *weights, rest, **params), x[cut:], between)
    assert (np.concatenate([early, late]) == shown).all() and (final == last).all()
    dlate, dbetween = pull_late(u_shown[cut:], u_last)
    dearly, dfirst = pull_early(u_shown[:cut], dbetween)
    dx, dhidden = pullback(u_shown, u_last)
    assert (np.concatenate([dearly, dlate]) == dx).all() and (dfirst == dhidden).all()


@of_every_convention
def test_gru_backpropagation_through_time_is_the_adjoint_and_its_hessian_symmetric(params):
    inputs = gru_inputs(t=3, b=2)
    ends = np.array([3, 1])
    is_the_adjoint(lambda *a: gru(*a, ends, **params), *inputs)
    hessian_is_symmetric(lambda *a: gru(*a, ends, **params), *inputs)


def test_no_steps_show_nothing_and_pass_the_state_on():
    x, hidden, *weights = gru_inputs(t=0)
    (shown, last), pullback = sa.vjp(lambda h: gru(x, h, *weights), hidden)
    assert shown.shape == (0, 3, 3) and (last == hidden).all()
    (dhidden,) = pullback(shown, hidden)
    assert (dhidden == hidden).all()


# ---- wrong calls ------------------------------------------------------------


@pytest.mark.parametrize(
    "params, message",
    [
        ({"reset": "inside"}, r"gru_cell: reset must be 'before' or 'after', got 'inside'"),
        ({"update": True}, r"gru_cell: update must be 'keeps' or 'takes', got True"),
        ({"forget": 1.0}, r"gru_cell: no argument is called 'forget'"),
    ],
)
def test_params_that_do_not_exist_are_refused_by_name(params, message):
    (x, *_), *rest = gru_inputs()
    with pytest.raises((TypeError, ValueError), match=message):
        GRU(x, *rest, **params)


def test_sizes_that_do_not_fit_are_named():
    x, hidden, input_weights, *rest = gru_inputs()
    with pytest.raises(
        ValueError, match=r"gru_cell: d is both 2 and 1 in x \(3, 2\), input_weights \(1, 9\)"
    ):
        GRU(x[0], hidden, input_weights[:1], *rest)
    with pytest.raises(ValueError, match=r"gru_cell: 3h must be 9, got 8 in input_weights"):
        GRU(x[0], hidden, input_weights[:, 1:], *rest)
    with pytest.raises(TypeError, match=r"gru: lengths must be integer"):
        gru(x, hidden, input_weights, *rest, np.ones(3))
    with pytest.raises(TypeError, match=r"peephole_lstm_cell: forget_bias must be a number, got 'one'"):
        PEEPHOLE(*peephole_inputs(), forget_bias="one")


# ---- PyTorch ----------------------------------------------------------------


def held_against(found, outputs, leaves, u):
    """Outputs and gradients, ours in one list, against torch's outputs and those of its ``leaves``."""
    torch = pytest.importorskip("torch")
    sum((torch.from_numpy(a) * y).sum() for a, y in zip(u, outputs, strict=True)).backward()
    theirs = [y.detach() for y in outputs] + [x.grad for x in leaves]
    for i, (a, b) in enumerate(zip(found, theirs, strict=True)):
        assert distance(a, b.numpy()) < 1e-12, i


def leaves_of(arrays):
    torch = pytest.importorskip("torch")
    return [torch.tensor(a, requires_grad=True) for a in arrays]


@pytest.mark.peers
def test_pytorchs_gru_cell_forward_and_every_gradient():
    torch = pytest.importorskip("torch")
    (x, *_), *rest = gru_inputs()
    leaves = leaves_of((x, *rest))
    x_, hidden, input_weights, hidden_weights, bias, second = leaves
    cell = torch.nn.GRUCell(2, 3, dtype=torch.float64)
    named = {"weight_ih": input_weights.T, "weight_hh": hidden_weights.T, "bias_ih": bias, "bias_hh": second}
    out = torch.func.functional_call(cell, named, (x_, hidden))
    u = drawn_like(np.random.default_rng(2), rest[:1])
    held_against(run(GRU, x, *rest, cotangents=u, reset="after"), [out], leaves, u)


@pytest.mark.peers
def test_pytorchs_gru_with_sequences_of_unequal_lengths_forward_and_every_gradient():
    torch = pytest.importorskip("torch")
    arrays, ends = gru_inputs(), np.array([2, 4, 1])
    leaves = leaves_of(arrays)
    x, hidden, input_weights, hidden_weights, bias, second = leaves
    net = torch.nn.GRU(2, 3, dtype=torch.float64)
    named = {
        "weight_ih_l0": input_weights.T,
        "weight_hh_l0": hidden_weights.T,
        "bias_ih_l0": bias,
        "bias_hh_l0": second,
    }
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.from_numpy(ends), enforce_sorted=False)
    shown, last = torch.func.functional_call(net, named, (packed, hidden[None]))
    shown, _ = torch.nn.utils.rnn.pad_packed_sequence(shown, total_length=4)
    ours, pullback = sa.vjp(lambda *a: gru(*a, ends, reset="after"), *arrays)
    u = drawn_like(np.random.default_rng(2), ours)
    held_against([*ours, *pullback(*u)], [shown, last[0]], leaves, u)


@pytest.mark.peers
@of_every_convention
def test_pytorchs_derivatives_of_the_equations_of_every_gru(params):
    torch = pytest.importorskip("torch")
    (x, *_), *rest = gru_inputs(seed=5)
    leaves = leaves_of((x, *rest))
    x_, y, input_weights, hidden_weights, bias, second = leaves
    before = params["reset"] == "before"
    w_r, w_z, w_n = (x_ @ input_weights + bias).chunk(3, -1)
    u_r, u_z, u_n = hidden_weights.chunk(3, -1)
    c_r, c_z, c_n = second.chunk(3)
    r, z = torch.sigmoid(w_r + y @ u_r + c_r), torch.sigmoid(w_z + y @ u_z + c_z)
    n = torch.tanh(w_n + ((r * y) @ u_n + c_n if before else r * (y @ u_n + c_n)))
    out = z * y + (1 - z) * n if params["update"] == "keeps" else (1 - z) * y + z * n
    u = drawn_like(np.random.default_rng(2), rest[:1])
    held_against(run(GRU, x, *rest, cotangents=u, **params), [out], leaves, u)


@pytest.mark.peers
def test_pytorchs_derivatives_of_the_equations_with_peepholes():
    torch = pytest.importorskip("torch")
    arrays = peephole_inputs()
    leaves = leaves_of(arrays)
    x, y, s, input_weights, hidden_weights, peepholes, bias = leaves
    z_i, z_f, z_o, z_c = (x @ input_weights + y @ hidden_weights + bias).chunk(4, -1)
    p_i, p_f, p_o = peepholes.chunk(3)
    new = torch.sigmoid(z_f + p_f * s + 1.0) * s + torch.sigmoid(z_i + p_i * s) * torch.tanh(z_c)
    out = torch.sigmoid(z_o + p_o * new) * torch.tanh(new)
    u = drawn_like(np.random.default_rng(2), arrays[1:3])
    held_against(run(PEEPHOLE, *arrays, cotangents=u, forget_bias=1.0), [out, new], leaves, u)
