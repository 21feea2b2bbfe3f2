"""The DNC of dnc_copy.py in PyTorch, from our parameters: batched, and as fast as we could make it.

One product for the whole interface, its columns brought into an order in which what is squashed alike lies
side by side, once a sequence; input and output layers outside the loop; the memory transposed as ours is.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from peers import ntm_torch
from torch import nn


def stepping(dnc, task, params, batch):
    """A function that makes one training step on ``batch``."""
    net = Net(dnc, params)
    step, data = ntm_torch.training(net), net.data(batch)
    return lambda: step(*data)


def gradients(dnc, task, params, batch):
    """name -> gradient of the loss of ``batch``."""
    net = Net(dnc, params)
    net.loss(*net.data(batch)).backward()
    return {key: p.grad.numpy() for key, p in net.named_parameters()}


class Net(nn.Module):
    data, loss = staticmethod(ntm_torch.Net.data), ntm_torch.Net.loss

    def __init__(self, dnc, params):
        super().__init__()
        self.dnc = dnc
        for name, value in params.items():
            self.register_parameter(name, nn.Parameter(torch.from_numpy(value.copy())))
        r, w = dnc.read_heads, dnc.width
        sizes = [r * w, r, w, 1, w, w, r, 1, 1]
        read_keys, read_strengths, write_key, write_strength, erase, write_vector, *gates = torch.arange(
            self.interface_bias.shape[0] - 3 * r
        ).split(sizes)
        modes = torch.arange(3 * r).view(r, 3).T.flatten() + self.interface_bias.shape[0] - 3 * r
        self.order = torch.cat(
            [read_keys, write_key, write_vector, erase, *gates, read_strengths, write_strength, modes]
        )
        self.sizes = [(r + 1) * w, w, w + r + 2, r + 1, 3 * r]
        self.elsewhere = 1 - torch.eye(dnc.rows, dtype=self.interface_bias.dtype)

    def forward(self, x):
        dnc, batch = self.dnc, x.shape[1]
        from_x, from_reads = self.input_weights_1.split([dnc.inputs, dnc.read_heads * dnc.width])
        recurrent = torch.cat([from_reads, self.hidden_weights_1])
        interface = self.interface_bias[self.order], self.interface_weights[:, self.order]
        sums = torch.addmm(self.bias_1, x.flatten(0, 1), from_x).unflatten(0, x.shape[:2])
        blank = lambda *shape: x.new_zeros(batch, *shape)
        n, w, r = dnc.rows, dnc.width, dnc.read_heads
        seen = blank(r * w + dnc.units)
        state = blank(dnc.units), blank(w, n), blank(n), blank(n, n), blank(1, n), blank(1, n), blank(r, n)
        shown = []
        for z in sums:
            seen, state = self.step(torch.addmm(z, seen, recurrent), state, *interface)
            shown.append(seen)
        shown, output = torch.stack(shown), torch.cat([self.read_output_weights, self.output_weights])
        return torch.addmm(self.output_bias, shown.flatten(0, 1), output).unflatten(0, x.shape[:2])

    def step(self, z, state, interface_bias, interface_weights):
        c, m, usage, link, precedence, written, reading = state
        units, w, r = self.dnc.units, self.dnc.width, self.dnc.read_heads
        i, f, o = torch.sigmoid(z[:, : 3 * units]).chunk(3, 1)
        c = torch.addcmul(f * c, i, torch.tanh(z[:, 3 * units :]))
        h = o * torch.tanh(c)
        keys, write_vector, gates, strengths, modes = torch.addmm(interface_bias, h, interface_weights).split(
            self.sizes, 1
        )
        erase, free, allocate, write = torch.sigmoid(gates)[:, :, None].split([w, r, 1, 1], 1)
        keys = keys.view(-1, r + 1, w)
        keys = keys * ((1 + F.softplus(strengths)) * torch.rsqrt((keys * keys).sum(2) + 1e-6))[:, :, None]
        back, alike, onwards = modes.view(-1, 3, r, 1).softmax(1).unbind(1)

        factors = (1 - free * reading).unbind(1)
        usage = torch.lerp(usage, torch.ones_like(usage), written[:, 0])
        for factor in factors:
            usage = usage * factor
        used, order = torch.sort(usage, dim=1, stable=True)
        left = torch.cat([torch.ones_like(used[:, :1]), torch.cumprod(used[:, :-1], 1)], 1)
        allocation = torch.zeros_like(usage).scatter(1, order, (1 - used) * left)[:, None]
        sought = torch.softmax(torch.bmm(keys[:, r:], m) * self.one_over_lengths(m), 2)
        written = write * torch.lerp(sought, allocation, allocate)
        m = torch.addcmul(m, written, torch.addcmul(write_vector[:, :, None], erase, m, value=-1))

        row = written.transpose(1, 2)
        link = torch.addcmul((1 - row - written) * link, row, precedence) * self.elsewhere
        precedence = torch.addcmul(written, 1 - written.sum(2, keepdim=True), precedence)
        content = torch.softmax(torch.bmm(keys[:, :r], m) * self.one_over_lengths(m), 2)
        along = torch.addcmul(
            back * torch.bmm(reading, link), onwards, torch.bmm(reading, link.transpose(1, 2))
        )
        reading = torch.addcmul(along, alike, content)
        reads = torch.bmm(reading, m.transpose(1, 2)).flatten(1)
        return torch.cat([reads, h], 1), (c, m, usage, link, precedence, written, reading)

    @staticmethod
    def one_over_lengths(m):
        return torch.rsqrt((m * m).sum(1, keepdim=True) + 1e-6)
