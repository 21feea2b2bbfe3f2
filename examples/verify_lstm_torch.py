"""One step of nn.LSTM held against lstm_cell, with its weights mapped: columns in another order, turned.

    python examples/verify_lstm_torch.py

nn.LSTM stacks the rows i, f, c, o and keeps them transposed; ours are the columns i, f, o, c.  The mapping is
part of the function, so that its gradients come back in our order.
"""

import torch

import gradcheck


def reordered(weights):
    """Our columns i, f, o, c as PyTorch's rows i, f, c, o."""
    i, f, o, c = weights.chunk(4, -1)
    return torch.cat([i, f, c, o], -1).mT.contiguous()


def step(x, hidden, cell, input_weights, hidden_weights, bias):
    """One step for a batch of sequences by nn.LSTM itself, called with our arrays as its parameters."""
    if input_weights.ndim + hidden_weights.ndim + bias.ndim > 5:
        raise ValueError("nn.LSTM has one set of weights")  # in float32 it would compute something with more
    features, units = input_weights.shape[-2], hidden_weights.shape[-2]
    lstm = torch.nn.LSTM(features, units, dtype=x.dtype)
    b = reordered(bias[..., None, :])[..., 0]
    parameters = {
        "weight_ih_l0": reordered(input_weights),
        "weight_hh_l0": reordered(hidden_weights),
        "bias_ih_l0": b,
        "bias_hh_l0": torch.zeros_like(b),
    }
    states = hidden[None], cell[None]
    _, (new_hidden, new_cell) = torch.func.functional_call(lstm, parameters, (x[None], states))
    return new_hidden[0], new_cell[0]


if __name__ == "__main__":
    for dtype in ("float32", "float64"):
        report = gradcheck.verify(step, "lstm_cell", framework="torch", dtype=dtype)
        print(report, "\n")  # nn.LSTM has one batch axis and no empty weights: those cases crash, by name
