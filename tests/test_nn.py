"""Layers as compositions of ops: what they promise beyond their ops, and PyTorch's as a second opinion."""

import numpy as np
import pytest

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn.nn.embedding import embed, embedding_shapes
from scratchattn.nn.linear import linear, linear_shapes
from scratchattn.nn.lstm import lstm, lstm_shapes


def drawn(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def test_linear_is_the_affine_map(rng):
    p, x = drawn(linear_shapes(3, 2)), rng.normal(size=(4, 5, 3))
    y, pullback = sa.vjp(linear, x, p["weights"], p["bias"])
    assert distance(y, np.einsum("tbi,io->tbo", x, p["weights"]) + p["bias"]) < 1e-14
    u = rng.normal(size=y.shape)
    dx, dweights, dbias = pullback(u)
    assert distance(dx, u @ p["weights"].T) < 1e-14
    assert distance(dweights, np.einsum("tbi,tbo->io", x, u)) < 1e-14
    assert distance(dbias, u.sum((0, 1))) < 1e-14


def test_embedding_takes_rows_and_adds_what_comes_back(rng):
    table = drawn(embedding_shapes(5, 2))["table"]
    tokens = np.array([[1, 3], [1, 1]])
    rows, pullback = sa.vjp(lambda t: embed(tokens, t), table)
    assert (rows == table[tokens]).all()
    (dtable,) = pullback(np.ones_like(rows))
    assert dtable[:, 0].tolist() == [0, 3, 0, 1, 0]


def lstm_inputs(t=4, b=3, d=2, h=5):
    rng = np.random.default_rng(0)
    p = drawn(lstm_shapes(d, h), seed=1)
    return rng.normal(size=(t, b, d)), rng.normal(size=(b, h)), rng.normal(size=(b, h)), *p.values()


def test_a_sequence_that_has_ended_keeps_its_state_and_its_padding_is_never_read():
    x, hidden, cell, *weights = lstm_inputs()
    lengths = np.array([4, 1, 0])
    for j, n in enumerate(lengths):
        x[n:, j] = np.nan
    (shown, last, last_cell), pullback = sa.vjp(lambda *a: lstm(*a, lengths), x, hidden, cell, *weights)
    for j, n in enumerate(lengths):
        state = [hidden[j : j + 1], cell[j : j + 1]]
        if n:
            alone, *state = lstm(x[:n, j : j + 1], *state, *weights)
            assert distance(shown[:n, j : j + 1], alone) < 1e-13
        assert (shown[n:, j] == 0).all()
        assert (
            distance(last[j : j + 1], state[0]) < 1e-13 and distance(last_cell[j : j + 1], state[1]) < 1e-13
        )
    grads = pullback(np.ones_like(shown), np.ones_like(last), np.ones_like(last_cell))
    assert all(np.isfinite(g).all() for g in grads)
    assert all((grads[0][n:, j] == 0).all() for j, n in enumerate(lengths))


@pytest.mark.peers
def test_lstm_is_pytorchs_forward_and_every_gradient():
    torch = pytest.importorskip("torch")
    x, hidden, cell, input_weights, hidden_weights, bias = lstm_inputs()
    h = hidden.shape[1]
    order = np.r_[
        : 2 * h, 3 * h : 4 * h, 2 * h : 3 * h
    ]  # theirs: i, f, candidate, o; ours: i, f, o, candidate
    net = torch.nn.LSTM(2, h, dtype=torch.float64)
    with torch.no_grad():
        net.weight_ih_l0.copy_(torch.from_numpy(input_weights[:, order].T.copy()))
        net.weight_hh_l0.copy_(torch.from_numpy(hidden_weights[:, order].T.copy()))
        net.bias_ih_l0.copy_(torch.from_numpy(bias[order]))
        net.bias_hh_l0.zero_()
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, hidden[None], cell[None])]
    shown, (last, last_cell) = net(leaves[0], (leaves[1], leaves[2]))
    ours, pullback = sa.vjp(lstm, x, hidden, cell, input_weights, hidden_weights, bias)
    for a, b in zip(ours, (shown, last[0], last_cell[0]), strict=True):
        assert distance(a, b.detach().numpy()) < 1e-12
    rng = np.random.default_rng(2)
    u = [rng.normal(size=a.shape) for a in ours]
    sum((torch.from_numpy(a) * b).sum() for a, b in zip(u, (shown, last[0], last_cell[0]))).backward()
    back = np.argsort(order)
    theirs = [leaves[0].grad, leaves[1].grad[0], leaves[2].grad[0], net.weight_ih_l0.grad.T[:, back]]
    theirs += [net.weight_hh_l0.grad.T[:, back], net.bias_ih_l0.grad[back]]
    for a, b in zip(pullback(*u), theirs, strict=True):
        assert distance(a, b.numpy()) < 1e-12
