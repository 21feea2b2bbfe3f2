"""Implementations that are wrong on purpose, and what the kit says of each.

    python examples/verify_wrong.py

Plain NumPy, a forward and a backward; nothing else need be installed but python-flint.
"""

import numpy as np

import gradcheck


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True, initial=-1e30))
    return e / e.sum(-1, keepdims=True)


def attention(query, key, value):
    """Right."""
    scale = query.dtype.type(query.shape[-1] ** -0.5)
    weights = softmax(query @ key.mT * scale)
    return weights @ value, (query, key, value, weights, scale)


def attention_backward(saved, dout, slip=1.0):
    query, key, value, weights, scale = saved
    dweights = dout @ value.mT
    dlogits = weights * (dweights - (weights * dweights).sum(-1, keepdims=True)) * scale
    grads = dlogits @ key, dlogits.mT @ query, weights.mT @ dout * query.dtype.type(slip)
    return tuple(_summed(gradient, x) for gradient, x in zip(grads, (query, key, value)))


def _summed(gradient, like):
    gradient = gradient.sum(tuple(range(gradient.ndim - like.ndim)))
    axes = tuple(i for i, n in enumerate(like.shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axes, keepdims=True)


def forgets_the_scale(query, key, value):
    return softmax(query @ key.mT) @ value


def one_in_a_hundred_thousand(saved, dout):
    """The gradient by value, off by 1e-5 of itself."""
    return attention_backward(saved, dout, slip=1 + 1e-5)


def mirrored_shift(weights, shift):
    """A correlation where the paper has a convolution."""
    s = shift.shape[-1]
    offsets = range(-((s - 1) // 2), s // 2 + 1)
    return sum(np.roll(weights, -o, -1) * shift[..., k, None] for k, o in enumerate(offsets))


if __name__ == "__main__":
    verify = gradcheck.verify
    print(verify(attention, "softmax_attention", backward=attention_backward), "\n")
    print(verify(attention, "softmax_attention", backward=one_in_a_hundred_thousand), "\n")
    print(verify(forgets_the_scale, "softmax_attention"), "\n")
    print(verify(mirrored_shift, "circular_shift"), "\n")
    print(verify(lambda weights, shift: weights, "circular_shift"))
