"""A step of a Neural Turing Machine in PyTorch, in the conventions of loudinthecloud/pytorch-ntm.

    python examples/verify_ntm_step.py
    gradcheck verify examples/verify_ntm_step.py:step --against ntm_cell --convention pytorch_ntm

Whoever holds a model of their own against the cell writes such a function: ours by name, theirs inside.  Here
the heads address the memory one after the other, each what those before it have left, and the shift's first
entry stands for one row up.  So it follows the convention of that name, which the kit finds by itself.
"""

import torch
from torch.nn.functional import cosine_similarity, softmax, softplus

import gradcheck


def address(memory, before, key, strength, gate, shift, sharpness):
    """Weightings (b, n) of one head."""
    alike = cosine_similarity(memory + 1e-16, key[:, None] + 1e-16, dim=-1)
    content = softmax(softplus(strength)[:, None] * alike, dim=-1)
    gate = torch.sigmoid(gate)[:, None]
    gated = gate * content + (1 - gate) * before
    shift = softmax(shift, dim=-1)
    moved = sum(shift[:, j, None] * torch.roll(gated, 1 - j, -1) for j in range(3))
    sharp = moved ** (1 + softplus(sharpness))[:, None]
    return sharp / (sharp.sum(-1, keepdim=True) + 1e-16)


def lstm(x, hidden, cell, input_weights, hidden_weights, bias):
    i, f, o, c = (x @ input_weights + hidden @ hidden_weights + bias).chunk(4, -1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def step(x, reads, memory, weightings, hidden, cell, *, turns=None, **weights):
    """One step: x (b, i), a state, weights by our names -> outputs, the next state.

    ``turns``: the heads in the order in which they come, those that read counted first.
    """
    (batch, readers, width), heads = reads.shape, weightings.shape[1]
    rows, writers = memory.shape[1], heads - readers
    if weightings.shape[2] != rows or len(memory) != batch:
        raise ValueError("weightings and memory differ")  # rows of one would be stretched over the other's
    seen = torch.cat([x, reads.flatten(1)], -1)
    controller = [weights[name] for name in ("input_weights", "hidden_weights", "bias")]
    hidden, cell = lstm(seen, hidden, cell, *controller)
    told = hidden @ weights["head_weights"] + weights["head_bias"]
    sizes = heads * width, writers * width, writers * width, heads, heads, heads, heads * 3
    key, write_vector, erase, gate, strength, sharpness, shift = told.split(sizes, -1)
    key, shift = key.view(batch, heads, width), shift.view(batch, heads, 3)
    write_vector, erase = (a.view(batch, writers, width) for a in (write_vector, erase))

    if turns is None:  # as they are listed there: reading and writing in turn
        turns = sorted(range(heads), key=lambda h: (h, 0) if h < readers else (h - readers, 1))
    new_reads, new_weightings = [None] * readers, [None] * heads
    for h in turns:
        told = key[:, h], strength[:, h], gate[:, h], shift[:, h], sharpness[:, h]
        w = new_weightings[h] = address(memory, weightings[:, h], *told)
        if h < readers:
            new_reads[h] = (w[:, None] @ memory)[:, 0]
        else:
            erased = w[:, :, None] * torch.sigmoid(erase[:, h - readers])[:, None]
            memory = memory * (1 - erased) + w[:, :, None] * write_vector[:, h - readers, None]
    reads = torch.stack(new_reads, 1)
    outputs = torch.cat([reads.flatten(1), hidden], -1) @ weights["output_weights"] + weights["output_bias"]
    return outputs, reads, memory, torch.stack(new_weightings, 1), hidden, cell


def writes_first(x, reads, memory, weightings, hidden, cell, **weights):
    """The same with its heads in the wrong order."""
    turns = range(weightings.shape[1] - 1, -1, -1)
    return step(x, reads, memory, weightings, hidden, cell, turns=turns, **weights)


if __name__ == "__main__":
    for dtype in ("float32", "float64"):
        print(gradcheck.verify(step, "ntm_cell", framework="torch", dtype=dtype), "\n")
    for function in (step, writes_first):
        print(gradcheck.verify(function, "ntm_cell", framework="torch", convention="pytorch_ntm"), "\n")
