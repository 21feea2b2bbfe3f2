"""Adaptive computation time around a tanh cell in PyTorch, held against the rule of the paper.

    python examples/verify_act_torch.py
    gradcheck verify examples/verify_act_torch.py:ponder --against act

Each example stops by itself, and all go on until the last has.  The number of steps has no gradient, the
remainder has one; whoever detaches it, as ``forgets_the_remainder`` does, gets other gradients.
"""

import torch

import gradcheck


def ponder(x, state, input_weights, hidden_weights, bias, halting_weights, halting_bias, *, limit=100,
           flag="first", detached=False):  # fmt: skip
    """x (b, i), state (b, h) -> the mean state (b, h), remainders (b), numbers of steps (b)."""
    used, mean = x.new_zeros(len(x)), torch.zeros_like(state)
    remainder, steps = x.new_ones(len(x)), x.new_zeros(len(x))
    live = torch.ones(len(x), dtype=torch.bool)
    for n in range(limit):
        shown = x
        if flag is not None:
            shown = torch.cat([x, torch.full_like(x[:, :1], float((n == 0) == (flag == "first")))], -1)
        state = torch.tanh(shown @ input_weights + state @ hidden_weights + bias)
        halting = torch.sigmoid(state @ halting_weights + halting_bias)[:, 0]
        stops = live & ((used + halting >= 1 - 0.01) | torch.tensor(n == limit - 1))
        rest = (1 - used).detach() if detached else 1 - used
        share = torch.where(stops, rest, torch.where(live, halting, torch.zeros_like(halting)))
        mean = mean + share[:, None] * state
        remainder = torch.where(stops, rest, remainder)
        steps = steps + live.to(steps.dtype)
        used = used + torch.where(live & ~stops, halting, torch.zeros_like(halting))
        live = live & ~stops
        if not live.any():
            break
    return mean, remainder, steps


def forgets_the_remainder(x, state, input_weights, hidden_weights, bias, halting_weights, halting_bias):
    weights = input_weights, hidden_weights, bias, halting_weights, halting_bias
    return ponder(x, state, *weights, detached=True)


if __name__ == "__main__":
    for dtype in ("float32", "float64"):
        print(gradcheck.verify(ponder, "act", framework="torch", dtype=dtype), "\n")
    print(gradcheck.verify(forgets_the_remainder, "act", framework="torch"))
