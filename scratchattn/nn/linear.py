"""A linear layer: y = x W + b.

Source: calculus.
"""

from .checked import checked


def linear_shapes(inputs, outputs):
    """Parameter shapes of ``linear``."""
    return {"weights": (inputs, outputs), "bias": (outputs,)}


@checked("x(i), weights(i,o), bias(o)", leading=True)
def linear(x, weights, bias):
    """x W + b: (..., b, i), (i, o), (o) -> (..., b, o), on tensors or arrays."""
    return x @ weights + bias
