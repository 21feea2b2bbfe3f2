"""PyTorch's scaled_dot_product_attention, each of its CPU backends, held against softmax attention.

    python examples/verify_attention_torch.py
    gradcheck verify examples/verify_attention_torch.py:attention --against softmax_attention

With logits of ten thousand the flash backend, which takes its weights from a rounded log_sum_exp once more
in the backward, loses digits of gradients that the plain one keeps: a remark.  NaN behind a mask leaks.
"""

from functools import partial

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

import gradcheck


def attention(query, key, value, keep=None, *, is_causal=False, backend=None):
    """The function under its own rules: four axes, batches of one size; its attn_mask is our keep."""
    batch = torch.broadcast_shapes(*[x.shape[:-2] for x in (query, key, value)])
    if keep is not None and torch.broadcast_shapes(keep.shape[:-2], batch) != batch:
        raise ValueError("the mask has batch axes that query, key and value have not")

    def four(x, *size):
        return x.expand(*batch, *size).reshape(batch.numel(), 1, *size)

    arrays = [four(x, *x.shape[-2:]) for x in (query, key, value)]
    mask = None if keep is None else four(keep, query.shape[-2], key.shape[-2])
    with sdpa_kernel(backend or [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        out = scaled_dot_product_attention(*arrays, attn_mask=mask, is_causal=is_causal)
    return out.reshape(*batch, *out.shape[-2:])


def unmasked(query, key, value, **settings):
    return attention(query, key, value, **settings)


if __name__ == "__main__":
    verify = partial(gradcheck.verify, against="softmax_attention", framework="torch")
    for dtype in ("float32", "float64"):
        for backend in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION):
            report = verify(partial(unmasked, backend=backend), dtype=dtype)
            print(f"{backend.name}, {dtype}\n{report}\n")
    print(f"with a mask\n{verify(attention)}\n")
    print(f"is_causal\n{verify(partial(unmasked, is_causal=True), variant='torch_is_causal')}")
