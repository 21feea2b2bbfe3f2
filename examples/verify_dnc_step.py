"""A step of a Differentiable Neural Computer in PyTorch, in the conventions of google-deepmind/dnc.

    python examples/verify_dnc_step.py
    gradcheck verify examples/verify_dnc_step.py:step --against dnc_cell --convention deepmind_dnc

The write weightings reach the usage as constants, as there; with ``stopped=False`` they do not, and the kit
finds the gradients that are then other ones.
"""

from functools import partial

import torch
from torch.nn.functional import softmax, softplus

import gradcheck

EPS = 1e-6


def content(keys, strengths, memory):
    """Content weightings (b, heads, n)."""
    lengths = [torch.sqrt((a * a).sum(-1) + EPS) for a in (keys, memory)]
    alike = keys @ memory.mT / (lengths[0][:, :, None] * lengths[1][:, None] + EPS)
    return softmax(softplus(strengths)[:, :, None] * alike, dim=-1)


def allocation(usage):
    usage = EPS + (1 - EPS) * usage
    rising, order = usage.sort(dim=-1, stable=True)
    left = torch.cat([torch.ones_like(rising[:, :1]), rising.cumprod(-1)[:, :-1]], -1)
    return torch.zeros_like(usage).scatter(-1, order, (1 - rising) * left)


def lstm(x, hidden, cell, input_weights, hidden_weights, bias):
    i, f, o, c = (x @ input_weights + hidden @ hidden_weights + bias).chunk(4, -1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def step(
    x, memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell, *,
    stopped=True, **weights,
):  # fmt: skip
    """One step: x (b, i), a state, weights by our names -> outputs, the next state."""
    (b, r, width), (h, n) = reads.shape, write_weightings.shape[1:]
    controller = [weights[name] for name in ("input_weights", "hidden_weights", "bias")]
    hidden, cell = lstm(torch.cat([x, reads.flatten(1)], -1), hidden, cell, *controller)
    told = hidden @ weights["interface_weights"] + weights["interface_bias"]
    sizes = r * width, r, h * width, h, h * width, h * width, r, h, h, r * (1 + 2 * h)
    read_keys, read_strengths, write_keys, write_strengths, erase, write, free, allocate, gate, modes = (
        told.split(sizes, -1)
    )
    wide = lambda a: a.view(b, -1, width)
    free, allocate, gate = torch.sigmoid(free), torch.sigmoid(allocate), torch.sigmoid(gate)

    written = write_weightings.detach() if stopped else write_weightings
    usage = usage + (1 - usage) * (1 - (1 - written).prod(1))
    usage = usage * (1 - free[:, :, None] * read_weightings).prod(1)
    sought, simulated, new = content(wide(write_keys), write_strengths, memory), usage, []
    for head in range(h):
        g, found = allocate[:, head, None], allocation(simulated)
        simulated = simulated + (1 - simulated) * g * gate[:, head, None] * found
        new.append(gate[:, head, None] * (g * found + (1 - g) * sought[:, head]))
    w = torch.stack(new, 1)
    kept = (1 - w[:, :, :, None] * torch.sigmoid(wide(erase))[:, :, None]).prod(1)
    memory = memory * kept + w.mT @ wide(write)

    link = (1 - w[..., None] - w[:, :, None]) * link + w[..., None] * precedence[:, :, None]
    link = link * (1 - torch.eye(n, dtype=x.dtype))
    precedence = (1 - w.sum(-1, keepdim=True)) * precedence + w
    onwards, back = read_weightings[:, None] @ link.mT, read_weightings[:, None] @ link  # (b, h, r, n)
    modes = softmax(modes.view(b, r, 1 + 2 * h), dim=-1).permute(2, 0, 1)[..., None]
    read = modes[-1] * content(wide(read_keys), read_strengths, memory)
    for head in range(h):
        read = read + modes[head] * back[:, head] + modes[h + head] * onwards[:, head]
    reads = read @ memory
    outputs = hidden @ weights["output_weights"] + weights["output_bias"]
    outputs = outputs + reads.flatten(1) @ weights["read_output_weights"]
    return outputs, memory, usage, link, precedence, w, read, reads, hidden, cell


if __name__ == "__main__":
    for dtype in ("float32", "float64"):
        print(gradcheck.verify(step, "dnc_cell", framework="torch", dtype=dtype), "\n")
    for function in (step, partial(step, stopped=False)):
        print(gradcheck.verify(function, "dnc_cell", convention="deepmind_dnc", framework="torch"), "\n")
