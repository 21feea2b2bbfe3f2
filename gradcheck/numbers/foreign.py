"""Arrays of PyTorch and JAX under our own forward text: their autodiff as a second opinion on our backward.

    y, pullback = torch_vjp(f, *primals)        f is called with tensors of PyTorch
    y, pullback = jax_vjp(f, *primals)          f is called with arrays of JAX

JAX's arrays name their own namespace, which has the alphabet; PyTorch's get one here.
"""

import math

import numpy as np

from scratchattn.backend import ALPHABET, adopt


class TorchNamespace:
    """The alphabet, spoken by PyTorch."""

    __name__ = "torch"
    pi = math.pi

    def __init__(self, torch):
        self.torch = torch

    def __getattr__(self, name):
        if name not in ALPHABET:
            raise AttributeError(f"{name} is not in the alphabet: see scratchattn.backend.ALPHABET")
        return getattr(self.torch, name)  # exp log log1p sqrt tanh matmul where tril triu erf erfc ...

    def argmax(self, x, axis=None, keepdims=False):
        return self.torch.argmax(x.int() if x.dtype == self.torch.bool else x, axis, keepdims)

    def concat(self, arrays, axis=0):
        return self.torch.cat(tuple(arrays), axis)

    def stack(self, arrays, axis=0):
        return self.torch.stack(tuple(arrays), axis)

    def cumulative_sum(self, x, axis=None, dtype=None):
        return self.torch.cumsum(x, 0 if axis is None else axis, dtype=dtype)

    def expand_dims(self, x, axis=0):
        axes = (axis,) if isinstance(axis, int) else axis
        total = x.ndim + len(axes)
        for place in sorted(a % total for a in axes):
            x = x.unsqueeze(place)
        return x

    def squeeze(self, x, axis):
        return self.torch.squeeze(x, axis)

    def flip(self, x, axis=None):
        axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
        return self.torch.flip(x, axes)

    def matrix_transpose(self, x):
        return x.transpose(-1, -2)

    def max(self, x, axis=None, keepdims=False):
        axes = tuple(range(x.ndim)) if axis is None else axis
        return self.torch.amax(x, axes, keepdims)

    def sum(self, x, axis=None, keepdims=False):
        if axis == ():
            return x
        return self.torch.sum(x, tuple(range(x.ndim)) if axis is None else axis, keepdims)

    def permute_dims(self, x, axes):
        return x.permute(tuple(axes))

    def reshape(self, x, shape):
        return self.torch.reshape(x, tuple(shape) if isinstance(shape, (tuple, list)) else (shape,))

    def broadcast_to(self, x, shape):
        return self.torch.broadcast_to(x, tuple(shape))

    def roll(self, x, shift, axis=None):
        return self.torch.roll(x, shift, axis)

    def take_along_axis(self, x, indices, axis=-1):
        return self.torch.take_along_dim(x, indices.long(), axis)

    def tril(self, x, k=0):
        return self.torch.tril(x, k)

    def triu(self, x, k=0):
        return self.torch.triu(x, k)

    def ones_like(self, x, shape=None):
        return self.torch.ones_like(x) if shape is None else x.new_ones(shape)

    def zeros_like(self, x, shape=None):
        return self.torch.zeros_like(x) if shape is None else x.new_zeros(shape)

    # letters

    def real(self, x):
        return x.detach()

    def lowest(self, x):
        return self.torch.finfo(x.dtype).min

    def smallest(self, x):
        return self.torch.finfo(x.dtype).tiny

    def constant(self, x, value):
        return self.torch.tensor(value, dtype=x.dtype)

    def arange_like(self, x, n):
        return self.torch.arange(n, dtype=x.dtype)

    def eye_like(self, x, n):
        return self.torch.eye(n, dtype=x.dtype)

    def stable_argsort(self, x, axis=-1):
        return self.torch.argsort(x, dim=axis, stable=True)

    def gather(self, x, indices):
        return x[indices.long()]

    def scatter_add(self, rows, indices, n):
        width = rows.shape[indices.ndim :]
        out = rows.new_zeros((n, *width))
        return out.index_add(0, indices.reshape(-1).long(), rows.reshape((-1, *width)))


def torch_vjp(f, *primals):
    """``f(*primals)`` in PyTorch as float arrays of NumPy, and the pullback by its autograd."""
    import torch

    adopt(torch.Tensor, TorchNamespace(torch))
    leaves = [torch.tensor(x, requires_grad=True) for x in primals]
    out = f(*leaves)

    def pullback(*cotangents):
        reached = [(y, torch.tensor(u)) for y, u in zip(out, cotangents, strict=True) if y.requires_grad]
        if not reached:
            return [np.zeros(x.shape) for x in primals]
        outputs, given = zip(*reached)
        grads = torch.autograd.grad(outputs, leaves, given, allow_unused=True)
        return [np.zeros(x.shape) if g is None else g.numpy() for g, x in zip(grads, primals)]

    return [y.detach().numpy() for y in out], pullback


def torch_array(x):
    """Booleans, indices and constants for ``torch_vjp``."""
    import torch

    return torch.tensor(x)


def jax_vjp(f, *primals):
    """``f(*primals)`` in JAX as arrays of NumPy, and the pullback by its autodiff."""
    import jax

    jax.config.update("jax_enable_x64", True)
    out, back = jax.vjp(lambda *x: tuple(f(*x)), *[jax.numpy.asarray(x) for x in primals])
    return [np.asarray(y) for y in out], lambda *u: [
        np.asarray(g) for g in back(tuple(map(jax.numpy.asarray, u)))
    ]


def jax_array(x):
    """Booleans, indices and constants for ``jax_vjp``."""
    import jax

    return jax.numpy.asarray(x)
