"""nn.MultiheadAttention held against multi-head attention, with its weights mapped.

    python examples/verify_multi_head_attention_torch.py
    gradcheck verify examples/verify_multi_head_attention_torch.py:attention --against multi_head_attention

The function takes our weights by their names and calls PyTorch's own module with them: what it keeps in one
matrix, turned, is put together from three.  Gradients flow back to our names.
"""

import torch

import gradcheck


def attention(query, key, value, *, heads, keep=None, causal=None, **weights):
    """out (..., q, o) and weights (..., h, q, k): nn.MultiheadAttention called with our arrays."""
    if causal is not None:
        keep = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    module = torch.nn.MultiheadAttention(
        query.shape[-1],
        heads,
        bias="query_bias" in weights,
        kdim=key.shape[-1],
        vdim=value.shape[-1],
        batch_first=True,
        dtype=query.dtype,
    )
    mapped = gradcheck.torch_parameters("multi_head_attention", weights)
    for name, parameter in module.named_parameters():
        if parameter.shape != mapped[name].shape:
            raise ValueError(f"{name} has the shape {tuple(mapped[name].shape)}")
    how = {"average_attn_weights": False, "attn_mask": None if keep is None else ~keep}
    return torch.func.functional_call(module, mapped, (query, key, value), how)


def unmasked(query, key, value, *, heads, **weights):
    return attention(query, key, value, heads=heads, **weights)


if __name__ == "__main__":
    for dtype in ("float32", "float64"):
        print(gradcheck.verify(attention, "multi_head_attention", framework="torch", dtype=dtype), "\n")
    report = gradcheck.verify(attention, "multi_head_attention", framework="torch", dtype="bfloat16")
    print(report.sentence())
