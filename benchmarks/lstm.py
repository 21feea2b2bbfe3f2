"""One forward and backward pass of an LSTM layer over a sequence, ours against others.

100 steps of 128 features into 128 units, float32.  ``torch_library`` is ``nn.LSTM``, whose two biases are
made one: the second is zero and has no gradient.  ``jax_jit`` is a compiled scan with the products of the
input outside it.  Gradients are those of all inputs.
"""

import numpy as np

import scratchattn as sa
from scratchattn.fused.lstm import lstm_sequence
from scratchattn.nn.lstm import lstm_shapes

BATCHES = (1, 8, 32)
PEERS = ("torch_library", "jax_jit")
ENGINE = "fused"
SETTING = {"T": 100, "inputs": 128, "units": 128}
NAMES = ("x", "hidden", "cell", "input_weights", "hidden_weights", "bias")


def data(batch, dtype="float32"):
    """The six inputs, and the cotangent of the hidden units over time."""
    t, d, h = SETTING["T"], SETTING["inputs"], SETTING["units"]
    rng = np.random.default_rng(0)
    shapes = [(t, batch, d), (batch, h), (batch, h), *lstm_shapes(d, h).values()]
    spread = [1.0, 1.0, 1.0, *[h**-0.5] * 3]
    inputs = [(s * rng.normal(size=shape)).astype(dtype) for s, shape in zip(spread, shapes)]
    return inputs, rng.normal(size=(t, batch, h)).astype(dtype)


def ours(batch):
    """A function that makes one step."""
    inputs, cotangent = data(batch)
    return lambda: gradients(inputs, cotangent)


def gradients(inputs, cotangent):
    _, pullback = sa.vjp(lambda *a: lstm_sequence(*a)[0], *inputs)
    return pullback(cotangent)


def peer(name, batch):
    """The same of a peer."""
    inputs, cotangent = data(batch)
    if name == "jax_jit":
        return jax_gradients(inputs, cotangent)
    return torch_gradients(*torch_lstm(inputs), cotangent)


def gradient_error(name, batch):
    """Largest difference of all gradients in float64, relative to each one's largest entry."""
    inputs, cotangent = data(batch, "float64")
    if name == "jax_jit":
        import jax

        with jax.enable_x64(True):
            theirs = [np.asarray(g) for g in jax_gradients(inputs, cotangent)()]
    else:
        theirs = _in_our_order(torch_gradients(*torch_lstm(inputs), cotangent)())
    found = gradients(inputs, cotangent)
    return max(float(abs(a - b).max() / abs(b).max()) for a, b in zip(found, theirs, strict=True))


def torch_lstm(inputs):
    """nn.LSTM with our numbers, and its leaves in our order."""
    import torch

    x, hidden, cell, *weights = inputs
    units = hidden.shape[-1]
    net = torch.nn.LSTM(x.shape[-1], units).to(torch.from_numpy(x).dtype)
    order = [0, 1, 3, 2]  # ours: input, forget, output, candidate
    values = [_turned(a, units, order) for a in weights]
    with torch.no_grad():
        own = (net.weight_ih_l0, net.weight_hh_l0, net.bias_ih_l0)
        for parameter, value in zip(own, values, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value.T)))
        net.bias_hh_l0.zero_()
    net.bias_hh_l0.requires_grad_(False)
    starts = [torch.from_numpy(a[None].copy()).requires_grad_() for a in (hidden, cell)]
    return net, [torch.from_numpy(x.copy()).requires_grad_(), *starts, *own]


def torch_gradients(net, leaves, cotangent):
    """A function that makes one step."""
    import torch

    cotangent = torch.from_numpy(cotangent)
    return lambda: torch.autograd.grad(net(leaves[0], (leaves[1], leaves[2]))[0], leaves, cotangent)


def _in_our_order(found):
    x, hidden, cell, *weights = [a.numpy() for a in found]
    return [x, hidden[0], cell[0], *[_turned(a.T, hidden.shape[-1], [0, 1, 3, 2]) for a in weights]]


def jax_gradients(inputs, cotangent):
    """A function that makes one step."""
    import jax
    import jax.numpy as jnp

    units = SETTING["units"]

    def hidden_over_time(x, hidden, cell, input_weights, hidden_weights, bias):
        def one(state, z):
            hidden, cell = state
            z = z + hidden @ hidden_weights
            i, f, o = jnp.split(jax.nn.sigmoid(z[:, : 3 * units]), 3, axis=1)
            cell = f * cell + i * jnp.tanh(z[:, 3 * units :])
            hidden = o * jnp.tanh(cell)
            return (hidden, cell), hidden

        return jax.lax.scan(one, (hidden, cell), x @ input_weights + bias)[1]

    step = jax.jit(lambda inputs, cotangent: jax.vjp(hidden_over_time, *inputs)[1](cotangent))
    inputs, cotangent = [jnp.asarray(a) for a in inputs], jnp.asarray(cotangent)
    return lambda: jax.block_until_ready(step(inputs, cotangent))


def _turned(array, units, order):
    return array.reshape(*array.shape[:-1], 4, units)[..., order, :].reshape(array.shape)
