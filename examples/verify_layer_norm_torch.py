"""PyTorch's layer_norm, and BERT's, held against layer normalisation: where eps stands is found by itself.

python examples/verify_layer_norm_torch.py
"""

import torch
from torch.nn.functional import layer_norm

import gradcheck


def torchs(x, scale, shift):
    """layer_norm takes one scale and one shift for all rows; rows of their own are multiplied afterwards."""
    return layer_norm(x, x.shape[-1:]) * scale + shift


def berts(x, scale, shift):
    return layer_norm(x, x.shape[-1:], eps=1e-12) * scale + shift


class Annotated(torch.nn.Module):
    """As The Annotated Transformer has it: eps beside the deviation, which is of d - 1."""

    def forward(self, x, scale, shift):
        return scale * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + shift


if __name__ == "__main__":
    for function in (torchs, berts, Annotated()):
        for dtype in ("float32", "float64"):
            print(gradcheck.verify(function, "layer_norm", framework="torch", dtype=dtype), "\n")
