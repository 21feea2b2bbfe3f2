"""PyTorch's scaled_dot_product_attention, each of its CPU backends, held against softmax attention.

    python examples/verify_attention_torch.py
    gradcheck verify examples/verify_attention_torch.py:flash --against softmax_attention --dtype bfloat16 \\
        --plan probabilities=bfloat16,dscores=bfloat16,row_sums=bfloat16,outputs=bfloat16,copies=bfloat16

In bfloat16 each backend is held against the roundings that it has, and no others.  The plain one computes in
float32 and rounds what it returns.  The flash one also rounds the probabilities and the dscores that it
multiplies with, and takes row sums from rounded outputs: without that in the plan it would differ.
"""

from dataclasses import replace
from functools import partial

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import pad, scaled_dot_product_attention

import gradcheck
from scratchattn import REGISTRY
from scratchattn.op import Case

BACKENDS = {"math": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION}  # all that a CPU has
ROUNDS = {  # copies: the gradients of what ``four`` has expanded are rounded before autograd sums them
    "math": ["outputs", "copies"],
    "flash": ["probabilities", "dscores", "row_sums", "outputs", "copies"],
}


def attention(query, key, value, keep=None, *, is_causal=False, backend=None):
    """The function under its own rules: four axes, one batch, one width; its attn_mask is our keep."""
    given = [x for x in (query, key, value, keep) if x is not None]
    batch = torch.broadcast_shapes(*[x.shape[:-2] for x in given])
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError("the arrays do not fit")  # the flash backend would read what is not there
    wide = max(key.shape[-1], value.shape[-1])

    def four(x, *size):
        return x.expand(*batch, *size).reshape(batch.numel(), 1, *size)

    padded = [pad(x, (0, wide - x.shape[-1])) for x in (query, key, value)]
    arrays = [four(x, *x.shape[-2:]) for x in padded]
    mask = None if keep is None else four(keep, query.shape[-2], key.shape[-2])
    scale = max(key.shape[-1], 1) ** -0.5
    with sdpa_kernel(backend or list(BACKENDS.values())):
        out = scaled_dot_product_attention(*arrays, attn_mask=mask, is_causal=is_causal, scale=scale)
    return out.reshape(*batch, *out.shape[-2:])[..., : value.shape[-1]]


def math(query, key, value, keep=None):
    return attention(query, key, value, keep, backend=BACKENDS["math"])


def flash(query, key, value, keep=None):
    return attention(query, key, value, keep, backend=BACKENDS["flash"])


def causal(query, key, value, *, backend):
    return attention(query, key, value, is_causal=True, backend=backend)


def long(rng):
    """More keys than the flash backend takes at a time."""
    query, key, value = rng.normal(size=(20, 4)), *rng.normal(size=(2, 600, 4))
    yield Case("600 keys", (query, key, value, None, None, None))


LONG = replace(REGISTRY["softmax_attention"], cases=long)


def plan(backend, dtype):
    """Where the backend rounds in that precision; None for the precisions that need no plan."""
    low = dtype in ("float16", "bfloat16")
    return gradcheck.Plan(**dict.fromkeys(ROUNDS[backend], dtype)) if low else None


if __name__ == "__main__":
    ATTENTION = "softmax_attention"
    for name, function in {"math": math, "flash": flash}.items():
        ahead = partial(causal, backend=BACKENDS[name])
        for dtype in ("float64", "float32", "bfloat16", "float16"):
            verify = partial(gradcheck.verify, framework="torch", dtype=dtype, plan=plan(name, dtype))
            print(f"{dtype}: {verify(function, ATTENTION)}\n")
            print(f"{dtype}, 600 keys: {verify(function, LONG, seeds=1).sentence()}")
            print(f"{dtype}, is_causal: {verify(ahead, ATTENTION, variant='torch_is_causal').sentence()}\n")
