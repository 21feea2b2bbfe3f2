"""Content addressing by PyTorch's cosine_similarity: which of the many epsilons does it have?

    python examples/verify_cosine_torch.py

In float64 the verdict is unique: lengths clamped at 1e-8, which is not what its documentation said for years.
The gradient by vectors shorter than that is another's once more: a remark names the inputs.
"""

import torch
from torch.nn.functional import cosine_similarity

import gradcheck


def addressing(key, memory, strength):
    """Heads (..., h, w) against rows (..., n, w): weights (..., h, n)."""
    alike = cosine_similarity(key[..., :, None, :], memory[..., None, :, :], dim=-1)
    return torch.softmax(strength[..., None] * alike, dim=-1)


if __name__ == "__main__":
    for dtype in ("float32", "float64"):
        report = gradcheck.verify(addressing, "cosine_addressing", framework="torch", dtype=dtype)
        print(report, "\n")
    print(gradcheck.verify(addressing, "cosine_addressing", framework="torch", variant="torch"))
