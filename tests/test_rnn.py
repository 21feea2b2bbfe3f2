"""Recurrent networks in layers and directions, and the LSTM and GRU that are laid out for speed."""

import math

import numpy as np
import pytest
from adjoint import is_the_adjoint

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn.fused.gru import gru_sequence
from scratchattn.fused.lstm import lstm_sequence
from scratchattn.models import RNN
from scratchattn.models.rnn import RNNState
from scratchattn.nn.gru import gru_shapes
from scratchattn.nn.lstm import lstm_shapes
from scratchattn.nn.reversal import backwards
from scratchattn.tasks import Copy
from scratchattn.training import Settings, train

EVERY = [(cell, both) for cell in ("tanh", "lstm", "gru") for both in (False, True)]
resets = pytest.mark.parametrize("reset", ["before", "after"])


def model(**settings):
    return RNN(3, 2, **dict(units=4, layers=2, dtype="float64") | settings)


def inputs(t=5, b=3, seed=0):
    return np.random.default_rng(seed).normal(size=(t, b, 3))


# ---- what is computed -------------------------------------------------------


def test_two_layers_of_tanh_in_both_directions_written_out():
    rnn = model(cell="tanh", both_directions=True)
    params = rnn.init(np.random.default_rng(0))
    for _, value in params.items():  # also the biases, which begin at zero
        value += np.random.default_rng(1).normal(size=value.shape)
    xs, lengths = inputs(), (5, 2, 1)
    start = [np.random.default_rng(part).normal(size=(3, 4)) for part in range(4)]
    found, last = rnn.sequence(params, RNNState(tuple(start), ()), xs, np.array(lengths))
    for j, n in enumerate(lengths):
        shown = [xs[t, j].tolist() for t in range(n)]
        for layer in ("1", "2"):
            parts = []
            for name, order in ((layer, range(n)), (f"{layer}_backwards", reversed(range(n)))):
                w, u, bias = (params[f"{r}_{name}"] for r in ("input_weights", "hidden_weights", "bias"))
                place = 2 * (layer == "2") + ("backwards" in name)
                hidden, out = start[place][j].tolist(), [None] * n
                for t in order:
                    hidden = [
                        math.tanh(
                            sum(a * w[i, k] for i, a in enumerate(shown[t]))
                            + sum(a * u[i, k] for i, a in enumerate(hidden))
                            + bias[k]
                        )
                        for k in range(4)
                    ]
                    out[t] = hidden
                parts.append(out)
                assert abs(last.hidden[place][j] - hidden).max() <= 1e-14
            shown = [a + b for a, b in zip(*parts)]
        for t in range(5):
            expected = shown[t] @ params["output_weights"] + params["output_bias"] if t < n else np.zeros(2)
            assert abs(found[t, j] - expected).max() <= 1e-14


def test_twice_backwards_is_forwards_and_ends_stay():
    x, lengths = inputs(), np.array([5, 2, 0])
    assert (backwards(x) == x[::-1]).all()
    turned = backwards(x, lengths)
    assert (turned[:2, 1] == x[1::-1, 1]).all() and (turned[2:, 1] == x[2:, 1]).all()
    assert (turned[:, 0] == x[::-1, 0]).all() and (turned[:, 2] == x[:, 2]).all()
    assert (backwards(turned, lengths) == x).all()


def equals_its_steps(layer, primals, **params):
    """Outputs and gradients of a fused layer are those of its composition."""
    rng = np.random.default_rng(1)
    found, pull = sa.vjp(lambda *a: tuple(layer(*a, **params)), *primals)
    expected, pull_expected = sa.vjp(lambda *a: tuple(layer.equals(*a, **params)), *primals)
    u = [rng.normal(size=y.shape) for y in found]
    pairs = zip([*found, *pull(*u)], [*expected, *pull_expected(*u)], strict=True)
    assert all(distance(a, b) <= 1e-12 for a, b in pairs)


def test_the_fused_lstm_equals_its_steps_through_a_saturated_hundred(rng):
    weights = [4 * rng.normal(size=shape) for shape in lstm_shapes(5, 6).values()]
    equals_its_steps(lstm_sequence, [rng.normal(size=(100, 3, 5)), *rng.normal(size=(2, 3, 6)), *weights])


@resets
@pytest.mark.parametrize("update", ["keeps", "takes"])
def test_the_fused_gru_equals_its_steps_through_a_hundred(rng, reset, update):
    weights = [rng.normal(size=shape) for shape in gru_shapes(5, 6, two_biases=True).values()]
    primals = [rng.normal(size=(100, 3, 5)), rng.normal(size=(3, 6)), *weights]
    equals_its_steps(gru_sequence, primals, reset=reset, update=update)


@resets
@pytest.mark.parametrize("end", [1.0, -1.0])
def test_a_state_that_rests_at_one_keeps_the_digits_of_its_gradients(rng, reset, end):
    """What is kept and what is new differ by 1e-20 there: a plain difference of the two would be zero."""
    weights = [rng.normal(size=shape) for shape in gru_shapes(2, 3, two_biases=True).values()]
    weights[2][6:] += 25.0 * end
    equals_its_steps(gru_sequence, [rng.normal(size=(1, 2, 2)), np.full((2, 3), end), *weights], reset=reset)


@pytest.mark.parametrize("cell, both", EVERY)
def test_the_adjoint_identity_holds_through_a_hundred_steps(cell, both):
    rnn = RNN(3, 2, cell=cell, units=8, layers=2, both_directions=both, dtype="float64")
    params, xs = rnn.init(np.random.default_rng(0)), inputs(t=100, b=2)

    def outputs(*values):
        named = dict(zip(params, values))
        return rnn.sequence(named, rnn.initial_state(named, 2), xs, np.array([100, 60]))[0]

    is_the_adjoint(outputs, *[params[name] for name in params])


# ---- others, settings, training ---------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("cell, both", [(c, both) for c, both in EVERY if c != "gru"])
def test_pytorchs_network_of_two_layers(cell, both):
    torch = pytest.importorskip("torch")
    rnn = model(cell=cell, both_directions=both)
    params, xs = rnn.init(np.random.default_rng(0)), inputs()
    kind = torch.nn.LSTM if cell == "lstm" else torch.nn.RNN
    net, order = kind(3, 4, 2, bidirectional=both).double(), [0, 1, 3, 2] if cell == "lstm" else [0]

    def theirs(value):  # gates in their order
        parts = value.reshape(*value.shape[:-1], len(order), 4)[..., order, :]
        return torch.from_numpy(parts.reshape(value.shape).T.copy())

    with torch.no_grad():
        for part, layer in rnn._parts():
            suffix = f"l{layer}" + "_reverse" * part.endswith("backwards")
            getattr(net, f"weight_ih_{suffix}").copy_(theirs(params[f"input_weights_{part}"]))
            getattr(net, f"weight_hh_{suffix}").copy_(theirs(params[f"hidden_weights_{part}"]))
            getattr(net, f"bias_ih_{suffix}").copy_(theirs(params[f"bias_{part}"]))
            getattr(net, f"bias_hh_{suffix}").zero_()
    shown = net(torch.from_numpy(xs))[0].detach().numpy()
    outputs, _ = rnn.sequence(params, rnn.initial_state(params, 3), xs)
    assert distance(outputs, shown @ params["output_weights"] + params["output_bias"]) <= 1e-12


@pytest.mark.peers
def test_pytorchs_gru_with_its_two_biases(rng):
    torch = pytest.importorskip("torch")
    weights = [rng.normal(size=shape) for shape in gru_shapes(3, 4, two_biases=True).values()]
    xs, hidden, u = rng.normal(size=(6, 2, 3)), rng.normal(size=(2, 4)), rng.normal(size=(6, 2, 4))
    net = torch.nn.GRU(3, 4).double()
    own = (net.weight_ih_l0, net.weight_hh_l0, net.bias_ih_l0, net.bias_hh_l0)
    with torch.no_grad():
        for parameter, value in zip(own, weights, strict=True):
            parameter.copy_(torch.from_numpy(value.T.copy()))
    leaves = [torch.from_numpy(a.copy()).requires_grad_() for a in (xs, hidden[None])]
    theirs = net(*leaves)[0]
    expected = torch.autograd.grad(theirs, [*leaves, *own], torch.from_numpy(u))
    shown, pull = sa.vjp(lambda *a: gru_sequence(*a, reset="after").shown, xs, hidden, *weights)
    assert distance(shown, theirs.detach().numpy()) <= 1e-12
    for a, b in zip(pull(u), expected, strict=True):
        b = b.numpy()
        assert distance(a, b[0] if b.shape[0] == 1 else b if b.ndim == 3 else b.T) <= 1e-12


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"cell": "elman"}, "cell must be one of"),
        ({"engine": "fast"}, "engine must be one of"),
        ({"cell": "tanh", "engine": "fused"}, "the cell tanh runs by engine='reference' only"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_named(settings, told):
    with pytest.raises(ValueError, match=f"RNN: {told}"):
        model(**settings)


def test_a_step_in_both_directions_is_refused():
    rnn = model(both_directions=True)
    params = rnn.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match="RNN: step must have one direction"):
        rnn.step(params, rnn.initial_state(params, 3), inputs()[0])


@pytest.mark.parametrize(
    "layer, states, shapes", [(lstm_sequence, 2, lstm_shapes), (gru_sequence, 1, gru_shapes)]
)
def test_axes_before_time_are_refused(layer, states, shapes):
    weights = [np.zeros(shape) for shape in shapes(3, 2).values()]
    with pytest.raises(ValueError, match=rf"{layer.name}: x must have the axes \(t,b,d\) and no others"):
        layer(np.zeros((2, 4, 3, 3)), *np.zeros((states, 3, 2)), *weights)


@pytest.mark.parametrize("cell, both", EVERY)
def test_it_learns_some_of_a_copy(cell, both):
    task = Copy(bits=2, shortest=1, longest=2)
    rnn = RNN(task.inputs, task.outputs, cell=cell, units=16, both_directions=both)
    settings = Settings(steps=200, batch=8, learning_rate=1e-2, optimiser="adam", log_every=50,
                        eval_every=200, eval_batches=1)  # fmt: skip
    _, events = train(rnn, task, settings, quiet=True)
    losses = [event["nats"] for event in events if event["event"] == "train"]
    assert losses[-1] < 0.7 * losses[0]
