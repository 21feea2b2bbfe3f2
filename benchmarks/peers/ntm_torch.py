"""The NTM of ntm_copy.py in PyTorch, from our parameters: batched, and as fast as we could make it.

One product for all head parameters, input and output layers outside the loop, the memory transposed as ours
is.  Compiled, it is the step of time that is compiled: the whole unrolled sequence takes minutes.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


def stepping(ntm, task, params, batch, *, compiled=False):
    """A function that makes one training step on ``batch``."""
    net = Net(ntm, params)
    if compiled:
        net.step = torch.compile(net.step)
    step, data = training(net), net.data(batch)
    return lambda: step(*data)


def training(net):
    """A function of data that makes one training step on them."""
    optimiser = torch.optim.RMSprop(net.parameters(), lr=1e-4, alpha=0.95, momentum=0.9, foreach=True)

    def step(*data):
        optimiser.zero_grad()
        net.loss(*data).backward()
        torch.nn.utils.clip_grad_value_(net.parameters(), 10.0, foreach=True)
        optimiser.step()

    return step


def gradients(ntm, task, params, batch, *, compiled=False):
    """name -> gradient of the loss of ``batch``."""
    net = Net(ntm, params)
    if compiled:
        net.step = torch.compile(net.step)
    net.loss(*net.data(batch)).backward()
    return {key: p.grad.numpy() for key, p in net.named_parameters()}


class Net(nn.Module):
    def __init__(self, ntm, params):
        super().__init__()
        self.ntm = ntm
        self.start = torch.from_numpy(ntm.initial_state(params, 1).memory[0].T.copy())
        for name, value in params.items():
            self.register_parameter(name, nn.Parameter(torch.from_numpy(value.copy())))

    @staticmethod
    def data(batch):
        return [torch.from_numpy(np.ascontiguousarray(a)) for a in batch[:3]]

    def loss(self, inputs, targets, asked):
        nats = F.binary_cross_entropy_with_logits(self(inputs), targets, reduction="none")
        return torch.where(asked, nats, 0.0).sum() / inputs.shape[1]

    def forward(self, x):
        batch, units, width = x.shape[1], self.ntm.units, self.ntm.width
        from_x, from_reads = self.input_weights.split([self.ntm.inputs, width])
        recurrent = torch.cat([from_reads, self.hidden_weights])
        sums = torch.addmm(self.bias, x.flatten(0, 1), from_x).unflatten(0, x.shape[:2])
        h, c = self.initial_hidden.expand(batch, -1), self.initial_cell.expand(batch, -1)
        r = self.initial_reads.expand(batch, -1)
        w = torch.softmax(self.initial_weightings, 1).expand(batch, -1, -1)
        m = self.start.expand(batch, -1, -1)
        seen = []
        for z in sums:
            r, h, c, m, w = self.step(torch.addmm(z, torch.cat([r, h], 1), recurrent), c, m, w, units, width)
            seen.append(torch.cat([r, h], 1))
        features = torch.stack(seen).flatten(0, 1)
        return torch.addmm(self.output_bias, features, self.output_weights).unflatten(0, x.shape[:2])

    def step(self, z, c, m, w, units, width):
        i, f, o = torch.sigmoid(z[:, : 3 * units]).chunk(3, 1)
        c = f * c + i * torch.tanh(z[:, 3 * units :])
        h = o * torch.tanh(c)
        p = torch.addmm(self.head_bias, h, self.head_weights)
        key, write_vector, erase_gate, soft, shift = p.split([2 * width, width, width + 2, 4, 6], 1)
        key, erase_gate, soft = (
            key.view(-1, 2, width),
            torch.sigmoid(erase_gate)[:, :, None],
            F.softplus(soft),
        )
        strength, sharpness, shift = (
            soft[:, :2, None],
            1 + soft[:, 2:, None],
            shift.view(-1, 2, 3).softmax(2),
        )
        key = key * torch.rsqrt((key * key).sum(2, keepdim=True) + 1e-6)
        cosine = torch.bmm(key, m) * torch.rsqrt((m * m).sum(1, keepdim=True) + 1e-6)
        content = torch.softmax(strength * cosine, 2)
        gated = torch.lerp(w, content, erase_gate[:, width:])
        moved = (
            shift[:, :, :1] * gated.roll(-1, 2)
            + shift[:, :, 1:2] * gated
            + shift[:, :, 2:] * gated.roll(1, 2)
        )
        w = torch.softmax(sharpness * torch.log(moved.clamp_min(1e-37)), 2)
        r = torch.bmm(w[:, :1], m.transpose(1, 2))[:, 0]
        m = m + w[:, 1:] * (write_vector[:, :, None] - erase_gate[:, :width] * m)
        return r, h, c, m, w
