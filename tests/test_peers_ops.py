"""Ops beside functions of PyTorch and JAX that claim to be the same: values and every gradient, to 1e-12."""

import numpy as np
import pytest

import scratchattn as sa
from gradcheck.numbers.foreign import jax_array, jax_vjp, torch_array, torch_vjp
from gradcheck.subject import distance, random_like

pytestmark = pytest.mark.peers
BOUND = 1e-12
RNG = np.random.default_rng(0)


def drawn(*shapes, scale=1.0):
    return [scale * RNG.normal(size=shape) for shape in shapes]


Q, K, V = drawn((2, 3, 4), (2, 5, 4), (2, 5, 4))
KEEP = RNG.random((2, 3, 5)) < 0.6
KEEP[:, :, 0] = True
BIAS = RNG.normal(size=(3, 5))
X, SCALE, SHIFT = drawn((4, 6), (6,), (6,))
LOGITS, CLASSES = drawn((5, 4))[0], np.array([0, 3, 1, 1, 2])
TARGETS = RNG.random((4, 6))
IMAGES, KERNEL, CHANNEL = drawn((2, 3, 6, 7), (4, 3, 3, 2), (4,))
TOKENS, TABLE = np.array([[1, 0, 4], [4, 4, 2]]), RNG.normal(size=(5, 3))
STEP = drawn((3, 2), (3, 4), (2, 12), (4, 12), (12,), (12,))
LSTM = drawn((3, 2), (3, 4), (3, 4), (2, 16), (4, 16), (16,))


def attention(**params):
    return lambda *x: sa.softmax_attention(*x, **params).out


def torch_attention(torch, **given):
    return lambda *x: torch.nn.functional.scaled_dot_product_attention(*x, **given)


def jax_attention(jnp, keep=None, bias=0.0):
    """jax.nn.dot_product_attention rounds its softmax to float32, so it is spelled out."""

    def attend(q, k, v):
        scores = jnp.einsum("bqd,bkd->bqk", q, k) / 2 + bias
        weights = jnp.exp(scores - scores.max(-1, keepdims=True))
        weights = weights if keep is None else jnp.where(keep, weights, 0.0)
        return jnp.einsum("bqk,bkv->bqv", weights / weights.sum(-1, keepdims=True), v)

    return attend


def jax_layer_norm(jnp):
    def norm(x, scale, shift):
        centred = x - x.mean(-1, keepdims=True)
        return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift

    return norm


def torch_gru(torch):
    def step(x, hidden, wx, wh, b, c):
        return torch.gru_cell(x, hidden, wx.T, wh.T, b, c)

    return step


def jax_gru(jax):
    def step(x, hidden, wx, wh, b, c):
        driven, recalled, h = x @ wx + b, hidden @ wh + c, hidden.shape[1]
        r, z = jax.nn.sigmoid(driven[:, : 2 * h] + recalled[:, : 2 * h]).reshape(-1, 2, h).swapaxes(0, 1)
        n = jax.numpy.tanh(driven[:, 2 * h :] + r * recalled[:, 2 * h :])
        return (1 - z) * n + z * hidden

    return step


def torch_lstm(torch):
    def step(x, hidden, cell, wx, wh, b):
        order = [
            *range(8),
            *range(12, 16),
            *range(8, 12),
        ]  # theirs: i, f, candidate, o; ours: i, f, o, candidate
        return torch.lstm_cell(x, (hidden, cell), wx[:, order].T, wh[:, order].T, b[order], 0 * b)

    return step


def jax_lstm(jax):
    def step(x, hidden, cell, wx, wh, b):
        z = x @ wx + hidden @ wh + b
        i, f, o = (jax.nn.sigmoid(z[:, 4 * j : 4 * j + 4]) for j in range(3))
        cell = f * cell + i * jax.numpy.tanh(z[:, 12:])
        return o * jax.numpy.tanh(cell), cell

    return step


def torch_conv(torch):
    return lambda x, kernel, bias: torch.nn.functional.conv2d(x, kernel, bias, stride=2, padding=1)


def jax_conv(jax):
    def conv(x, kernel, bias):
        found = jax.lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)))
        return found + bias[:, None, None]

    return conv


def torch_cross_entropy(torch, **given):
    classes = torch_array(CLASSES)
    return lambda z: torch.nn.functional.cross_entropy(z, classes, reduction="none", **given)


def jax_cross_entropy(jax, smoothing=0.0):
    def loss(z):
        target = (1 - smoothing) * jax.nn.one_hot(CLASSES, 4) + smoothing / 4
        return -(target * jax.nn.log_softmax(z)).sum(-1)

    return loss


CAUSAL = np.arange(5) <= np.arange(3)[:, None]
CASES = {  # name: (ours, inputs, in PyTorch, in JAX)
    "attention": (attention(), (Q, K, V), torch_attention, lambda jax: jax_attention(jax.numpy)),
    "attention, keep": (
        lambda *x: sa.softmax_attention(*x, None, KEEP).out,
        (Q, K, V),
        lambda torch: torch_attention(torch, attn_mask=torch_array(KEEP)),
        lambda jax: jax_attention(jax.numpy, jax_array(KEEP)),
    ),
    "attention, bias": (
        lambda *x: sa.softmax_attention(*x, BIAS).out,
        (Q, K, V),
        lambda torch: torch_attention(torch, attn_mask=torch_array(BIAS)),
        lambda jax: jax_attention(jax.numpy, bias=BIAS),
    ),
    "attention, causal": (
        attention(causal="top_left"),
        (Q, K, V),
        lambda torch: torch_attention(torch, is_causal=True),
        lambda jax: jax_attention(jax.numpy, CAUSAL),
    ),
    "layer norm": (
        sa.layer_norm,
        (X, SCALE, SHIFT),
        lambda torch: lambda x, *p: torch.nn.functional.layer_norm(x, (6,), *p),
        lambda jax: jax_layer_norm(jax.numpy),
    ),
    "gelu, erf": (
        sa.gelu,
        (X,),
        lambda torch: torch.nn.functional.gelu,
        lambda jax: lambda x: jax.nn.gelu(x, approximate=False),
    ),
    "gelu, tanh": (
        lambda x: sa.gelu(x, form="tanh"),
        (X,),
        lambda torch: lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        lambda jax: lambda x: jax.nn.gelu(x, approximate=True),
    ),
    "softmax cross-entropy": (
        lambda z: sa.softmax_cross_entropy(z, CLASSES),
        (LOGITS,),
        torch_cross_entropy,
        jax_cross_entropy,
    ),
    "smoothed cross-entropy": (
        lambda z: sa.smoothed_cross_entropy(z, CLASSES, smoothing=0.1),
        (LOGITS,),
        lambda torch: torch_cross_entropy(torch, label_smoothing=0.1),
        lambda jax: jax_cross_entropy(jax, 0.1),
    ),
    "binary cross-entropy": (
        lambda z: sa.binary_cross_entropy(z, TARGETS),
        (X,),
        lambda torch: (
            lambda z: torch.nn.functional.binary_cross_entropy_with_logits(
                z, torch_array(TARGETS), reduction="none"
            )
        ),
        lambda jax: lambda z: jax.nn.softplus(z) - TARGETS * z,
    ),
    "mean squared error": (
        lambda x: sa.mean_squared_error(x, TARGETS),
        (X,),
        lambda torch: lambda x: ((x - torch_array(TARGETS)) ** 2).mean(-1),
        lambda jax: lambda x: ((x - TARGETS) ** 2).mean(-1),
    ),
    "convolution": (
        lambda *x: sa.conv2d(*x, stride=2, padding=1),
        (IMAGES, KERNEL, CHANNEL),
        torch_conv,
        jax_conv,
    ),
    "embedding": (
        lambda table: sa.embedding(table, TOKENS),
        (TABLE,),
        lambda torch: lambda table: torch.nn.functional.embedding(torch_array(TOKENS), table),
        lambda jax: lambda table: table[TOKENS],
    ),
    "gru": (lambda *x: sa.gru_cell(*x, reset="after"), STEP, torch_gru, jax_gru),
    "lstm": (sa.lstm_cell, LSTM, torch_lstm, jax_lstm),
}


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_every_gradient(name, framework):
    library = pytest.importorskip(framework)
    ours, inputs, in_torch, in_jax = CASES[name]
    theirs = (in_torch if framework == "torch" else in_jax)(library)

    def tupled(f):
        return lambda *x: (lambda y: tuple(y) if isinstance(y, tuple) else (y,))(f(*x))

    run = torch_vjp if framework == "torch" else jax_vjp
    expected, back = run(tupled(theirs), *inputs)
    values, pullback = sa.vjp(tupled(ours), *inputs)
    u = random_like(np.random.default_rng(1), values)
    for a, b in zip([*values, *pullback(*u)], [*expected, *back(*u)], strict=True):
        assert distance(a, b) < BOUND
