"""PyTorch's layers of a Transformer, held against ours with their weights mapped.

    python examples/verify_transformer_torch.py
    gradcheck verify examples/verify_transformer_torch.py:encoder --against transformer_block

Norms behind the sum are the paper's and PyTorch's default; with norm_first, and with another activation, the
kit says so by itself.
"""

from functools import partial

import torch

import gradcheck


def encoder(x, *, heads, keep=None, causal=None, norm_first=False, activation="relu", **weights):
    """nn.TransformerEncoderLayer called with our arrays: x (..., t, d) -> (..., t, d)."""
    sizes = {"d_model": x.shape[-1], "nhead": heads, "dim_feedforward": _inner(weights)}
    layer = torch.nn.TransformerEncoderLayer(
        **sizes,
        dropout=0.0,
        activation=activation,
        batch_first=True,
        norm_first=norm_first,
        bias="feed_forward_inner_bias" in weights,
        dtype=x.dtype,
    )
    mask = _mask(x, keep, causal)
    return _called("transformer_block", layer, weights, (x,), {"src_mask": mask})


def decoder(x, source, *, heads, keep=None, causal=None, norm_first=False, **weights):
    """nn.TransformerDecoderLayer called with our arrays: x (..., t, d), source (..., k, d) -> (..., t, d)."""
    layer = torch.nn.TransformerDecoderLayer(
        x.shape[-1],
        heads,
        _inner(weights),
        dropout=0.0,
        batch_first=True,
        norm_first=norm_first,
        bias="feed_forward_inner_bias" in weights,
        dtype=x.dtype,
    )
    mask = _mask(x, keep, causal)
    return _called("transformer_decoder_block", layer, weights, (x, source), {"tgt_mask": mask})


def _inner(weights):
    return weights["feed_forward_inner_weights"].shape[-1]


def _mask(x, keep, causal):
    """True where PyTorch is not to look."""
    if causal is not None:
        keep = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril()
    return None if keep is None else ~keep


def _called(name, layer, weights, inputs, how):
    mapped = gradcheck.torch_parameters(name, weights)
    for parameter, ours in layer.named_parameters():
        if mapped[parameter].shape != ours.shape:
            raise ValueError(f"{parameter} has the shape {tuple(mapped[parameter].shape)}")
    return torch.func.functional_call(layer, mapped, inputs, how)


if __name__ == "__main__":
    verify = partial(gradcheck.verify, against="transformer_block", framework="torch")
    for dtype in ("float32", "float64"):
        print(verify(encoder, dtype=dtype), "\n")
    for settings in (
        {"norm_first": True},
        {"activation": "gelu"},
        {"norm_first": True, "activation": "gelu"},
    ):
        print(verify(partial(encoder, **settings)).sentence(), "\n")
    print(gradcheck.verify(decoder, "transformer_decoder_block", framework="torch"))
