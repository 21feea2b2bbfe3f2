"""Honest implementations of others: none may be refused, whatever framework wrote them.

The functions are written as most people would, in PyTorch, JAX and plain NumPy; the NumPy ones with a
backward by hand that cancels where such backwards do.
"""

import numpy as np
import pytest

import gradcheck

OPS = "softmax_attention layer_norm cosine_addressing circular_shift sharpening".split()
OPS += "dnc_allocation dnc_linkage lstm_cell".split()


def summed(gradient, like):
    """Sum a gradient over the axes along which ``like`` was broadcast."""
    gradient = gradient.sum(tuple(range(gradient.ndim - like.ndim)))
    axes = tuple(i for i, n in enumerate(like.shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axes, keepdims=True)


# ---- PyTorch ----------------------------------------------------------------


def in_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def softmax_attention(query, key, value, bias=None, keep=None):
        scores = query @ key.mT / max(query.shape[-1], 1) ** 0.5
        scores = scores if bias is None else scores + bias
        if keep is not None:
            scores = scores.masked_fill(~keep, -torch.inf)
        weights = torch.softmax(scores, -1)
        if keep is not None:
            weights = torch.where(keep, weights, 0)
        return weights @ value

    def layer_norm(x, scale=None, shift=None):
        out = functional.layer_norm(x, x.shape[-1:]) if x.shape[-1] else x
        out = out if scale is None else out * scale
        return out if shift is None else out + shift

    def cosine_addressing(key, memory, strength):
        lengths = (torch.sqrt((x * x).sum(-1) + 1e-6) for x in (key, memory))
        k, m = lengths
        similarity = key @ memory.mT / (k[..., :, None] * m[..., None, :])
        return torch.softmax(strength[..., None] * similarity, -1)

    def circular_shift(weights, shift):
        s = shift.shape[-1]
        offsets = range(-((s - 1) // 2), s // 2 + 1)
        return sum(torch.roll(weights, o, -1) * shift[..., k, None] for k, o in enumerate(offsets))

    def sharpening(weights, sharpness):
        live = weights > 0
        logits = torch.log(torch.where(live, weights, 1)) * sharpness[..., None]
        return torch.where(live, torch.softmax(torch.where(live, logits, -1e30), -1), 0)

    def dnc_allocation(usage):
        order = torch.argsort(usage, stable=True, dim=-1)
        ordered = torch.gather(usage, -1, order)
        before = torch.cumprod(ordered, -1)
        before = torch.cat([torch.ones_like(before[..., :1]), before[..., :-1]], -1)
        return torch.zeros_like(usage).scatter(-1, order, (1 - ordered) * before)

    def dnc_linkage(link, precedence, write_weights):
        w = write_weights
        new = (1 - w[..., :, None] - w[..., None, :]) * link + w[..., :, None] * precedence[..., None, :]
        new = new * (1 - torch.eye(w.shape[-1], dtype=w.dtype))
        return new, (1 - w.sum(-1, keepdim=True)) * precedence + w

    def lstm_cell(x, hidden, cell, input_weights, hidden_weights, bias):
        z = x @ input_weights + hidden @ hidden_weights + bias[..., None, :]
        i, f, o, c = z.chunk(4, -1)
        new = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
        return torch.sigmoid(o) * torch.tanh(new), new

    return {name: (value, None) for name, value in locals().items() if name in OPS}


def in_jax():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def softmax_attention(query, key, value, bias=None):
        scores = query @ key.mT / jnp.sqrt(max(query.shape[-1], 1)).astype(query.dtype)
        scores = scores if bias is None else scores + bias
        return jax.nn.softmax(scores, axis=-1) @ value

    def layer_norm(x, scale=None, shift=None):
        if not x.shape[-1]:
            return x
        mean, variance = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
        out = (x - mean) * jax.lax.rsqrt(variance + 1e-5)
        out = out if scale is None else out * scale
        return out if shift is None else out + shift

    def cosine_addressing(key, memory, strength):
        k, m = (jnp.sqrt(jnp.sum(x * x, -1) + 1e-6) for x in (key, memory))
        similarity = jnp.einsum("...hw,...nw->...hn", key, memory) / (k[..., :, None] * m[..., None, :])
        return jax.nn.softmax(strength[..., None] * similarity, axis=-1)

    def circular_shift(weights, shift):
        s = shift.shape[-1]
        offsets = range(-((s - 1) // 2), s // 2 + 1)
        return sum(jnp.roll(weights, o, -1) * shift[..., k, None] for k, o in enumerate(offsets))

    def sharpening(weights, sharpness):
        live = weights > 0
        logits = jnp.log(jnp.where(live, weights, 1)) * sharpness[..., None]
        return jnp.where(live, jax.nn.softmax(jnp.where(live, logits, -1e30), axis=-1), 0)

    def dnc_allocation(usage):
        order = jnp.argsort(usage, stable=True, axis=-1)
        ordered = jnp.take_along_axis(usage, order, -1)
        before = jnp.cumprod(ordered, -1)
        before = jnp.concatenate([jnp.ones_like(before[..., :1]), before[..., :-1]], -1)
        back = jnp.argsort(order, axis=-1)
        return jnp.take_along_axis((1 - ordered) * before, back, -1)

    def dnc_linkage(link, precedence, write_weights):
        w = write_weights
        new = (1 - w[..., :, None] - w[..., None, :]) * link + w[..., :, None] * precedence[..., None, :]
        new = new * (1 - jnp.eye(w.shape[-1], dtype=w.dtype))
        return new, (1 - w.sum(-1, keepdims=True)) * precedence + w

    def lstm_cell(x, hidden, cell, input_weights, hidden_weights, bias):
        z = x @ input_weights + hidden @ hidden_weights + bias[..., None, :]
        i, f, o, c = jnp.split(z, 4, -1)
        new = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(c)
        return jax.nn.sigmoid(o) * jnp.tanh(new), new

    return {name: (value, None) for name, value in locals().items() if name in OPS}


# ---- NumPy, by hand ---------------------------------------------------------


def in_numpy():
    def softmax(z):
        e = np.exp(z - z.max(-1, keepdims=True, initial=np.finfo(z.dtype).min))
        return e / e.sum(-1, keepdims=True)

    def softmax_backward(p, g):
        return p * (g - (p * g).sum(-1, keepdims=True))

    def softmax_attention(query, key, value):
        scale = query.dtype.type(max(query.shape[-1], 1) ** -0.5)
        p = softmax(query @ key.mT * scale)
        return p @ value, (query, key, value, p, scale)

    def softmax_attention_backward(saved, dout):
        query, key, value, p, scale = saved
        dz = softmax_backward(p, dout @ value.mT) * scale
        dvalue, dquery, dkey = p.mT @ dout, dz @ key, dz.mT @ query
        return summed(dquery, query), summed(dkey, key), summed(dvalue, value)

    def layer_norm(x, scale, shift):
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        deviation = np.sqrt(variance + x.dtype.type(1e-5))
        y = (x - mean) / deviation
        return y * scale + shift, (x, y, deviation, scale, shift)

    def layer_norm_backward(saved, dout):
        x, y, deviation, scale, shift = saved
        g = dout * scale
        dx = (g - g.mean(-1, keepdims=True) - y * (g * y).mean(-1, keepdims=True)) / deviation
        return summed(dx, x), summed(dout * y, scale), summed(dout, shift)

    def cosine_addressing(key, memory, strength):
        k, m = (np.sqrt((x * x).sum(-1) + x.dtype.type(1e-6)) for x in (key, memory))
        below = k[..., :, None] * m[..., None, :]
        c = key @ memory.mT / below
        p = softmax(strength[..., None] * c)
        return p, (key, memory, strength, k, m, below, c, p)

    def cosine_addressing_backward(saved, dout):
        key, memory, strength, k, m, below, c, p = saved
        dz = softmax_backward(p, dout)
        dc = dz * strength[..., None]
        q = dc / below
        dkey = q @ memory - (dc * c).sum(-1)[..., None] * key / (k * k)[..., None]
        dmemory = q.mT @ key - (dc * c).sum(-2)[..., None] * memory / (m * m)[..., None]
        return summed(dkey, key), summed(dmemory, memory), summed((dz * c).sum(-1), strength)

    def circular_shift(weights, shift):
        s = shift.shape[-1]
        offsets = range(-((s - 1) // 2), s // 2 + 1)
        return sum(np.roll(weights, o, -1) * shift[..., k, None] for k, o in enumerate(offsets))

    def circular_shift_backward(weights, shift, dout):
        s = shift.shape[-1]
        offsets = range(-((s - 1) // 2), s // 2 + 1)
        dweights = sum(np.roll(dout * shift[..., k, None], -o, -1) for k, o in enumerate(offsets))
        dshift = np.stack([(dout * np.roll(weights, o, -1)).sum(-1) for o in offsets], -1)
        return summed(dweights, weights), summed(dshift, shift)

    def sharpening(weights, sharpness):
        live = weights > 0
        z = np.where(live, np.log(np.where(live, weights, 1)) * sharpness[..., None], -np.inf)
        p = np.where(live, softmax(np.where(live.any(-1, keepdims=True), z, 0)), 0)
        return p, (weights, sharpness, p)

    def sharpening_backward(saved, dout):
        weights, sharpness, p = saved
        dz = softmax_backward(p, dout)
        live = weights > 0
        safe = np.where(live, weights, 1)
        dweights = np.where(live, dz * sharpness[..., None] / safe, 0)
        return summed(dweights, weights), summed(np.where(live, dz * np.log(safe), 0).sum(-1), sharpness)

    def dnc_allocation(usage):
        order = np.argsort(usage, axis=-1, kind="stable")
        u = np.take_along_axis(usage, order, -1)
        before = np.concatenate([np.ones_like(u[..., :1]), np.cumprod(u, -1)[..., :-1]], -1)
        out = np.empty_like(u)
        np.put_along_axis(out, order, (1 - u) * before, -1)
        return out, (order, u, before)

    def dnc_allocation_backward(saved, dout):
        order, u, before = saved
        g = np.take_along_axis(dout, order, -1)
        du, n = -g * before, u.shape[-1]
        for j in range(n):
            for i in range(j + 1, n):  # the product of all that stand before i, but j
                others = np.delete(u[..., :i], j, -1).prod(-1)
                du[..., j] += g[..., i] * (1 - u[..., i]) * others
        out = np.empty_like(u)
        np.put_along_axis(out, order, du, -1)
        return out

    def dnc_linkage(link, precedence, write_weights):
        w = write_weights
        off = 1 - np.eye(w.shape[-1], dtype=w.dtype)
        new = (
            (1 - w[..., :, None] - w[..., None, :]) * link + w[..., :, None] * precedence[..., None, :]
        ) * off
        after = (1 - w.sum(-1, keepdims=True)) * precedence + w
        return new, np.broadcast_to(after, new.shape[:-1])

    def dnc_linkage_backward(link, precedence, write_weights, dnew, dprecedence):
        w, p = write_weights, precedence
        g = dnew * (1 - np.eye(w.shape[-1], dtype=w.dtype))
        dlink = (1 - w[..., :, None] - w[..., None, :]) * g
        through = g * link
        dw = -through.sum(-1) - through.sum(-2) + (g * p[..., None, :]).sum(-1)
        dw = dw + dprecedence - (dprecedence * p).sum(-1, keepdims=True)
        dp = (g * w[..., :, None]).sum(-2) + (1 - w.sum(-1, keepdims=True)) * dprecedence
        return summed(dlink, link), summed(dp, p), summed(dw, w)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def lstm_cell(x, hidden, cell, input_weights, hidden_weights, bias):
        z = x @ input_weights + hidden @ hidden_weights + bias[..., None, :]
        i, f, o, c = np.split(z, 4, -1)
        i, f, o, c = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(c)
        new = f * cell + i * c
        q = np.tanh(new)
        return (o * q, new), (x, hidden, cell, input_weights, hidden_weights, bias, i, f, o, c, q)

    def lstm_cell_backward(saved, douts):
        x, hidden, cell, input_weights, hidden_weights, bias, i, f, o, c, q = saved
        dout, dnew = douts
        ds = dnew + dout * o * (1 - q * q)
        dz = [ds * c * i * (1 - i), ds * cell * f * (1 - f), dout * q * o * (1 - o), ds * i * (1 - c * c)]
        dz = np.concatenate(dz, -1)
        return (
            summed(dz @ input_weights.mT, x),
            summed(dz @ hidden_weights.mT, hidden),
            summed(ds * f, cell),
            summed(x.mT @ dz, input_weights),
            summed(hidden.mT @ dz, hidden_weights),
            summed(dz.sum(-2), bias),
        )

    known = locals()
    return {name: (known[name], known[f"{name}_backward"]) for name in OPS}


FRAMEWORKS = {"numpy": in_numpy, "torch": in_torch, "jax": in_jax}


def judged(framework, name, dtype, **settings):
    function, backward = FRAMEWORKS[framework]()[name]
    return gradcheck.verify(function, name, framework=framework, dtype=dtype, backward=backward, **settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPS)
def test_numpy_by_hand_conforms(name, dtype):
    report = judged("numpy", name, dtype)
    assert report.conforms and report.variant is None, report
    assert max(report.distances.values()) < 6
