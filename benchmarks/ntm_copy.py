"""One training step of an NTM on the copy task, ours against others.

The paper's setting: 8 bits, 20 vectors, so 41 steps; memory 128 x 20, an LSTM of 100 units, one read
and one write head, float32.  A step is the forward pass, back-propagation through time,
clipping and RMSprop, through the public interface.  ``torch_eager`` is the same model, from the
same numbers, written for speed in eager PyTorch: batched, one product for all head parameters, input
and output layers outside the loop, the memory transposed as ours is.
"""

import numpy as np

from scratchattn.models import NTM
from scratchattn.tasks import Copy
from scratchattn.training import RMSprop, Settings
from scratchattn.training.step import update

BATCHES = (1, 16, 64)
PEERS = ("torch_eager",)
SETTING = {"T": 41, "bits": 8, "N": 128, "W": 20, "units": 100, "read_heads": 1, "write_heads": 1}


def model(dtype="float32"):
    task = Copy(shortest=20, longest=20)
    return NTM(task.inputs, task.outputs, dtype=dtype), task


def ours(batch):
    """A function that makes one step."""
    ntm, task = model()
    params = ntm.init(np.random.default_rng(0))
    optimiser, data = RMSprop(params), task.batch(np.random.default_rng(1), batch)
    settings = Settings()
    return lambda: update(ntm, task, params, optimiser, data, settings)


def peer(name, batch):
    """The same of a peer."""
    import torch

    ntm, task = model()
    net = TorchNTM(ntm, ntm.init(np.random.default_rng(0)))
    optimiser = torch.optim.RMSprop(net.parameters(), lr=1e-4, alpha=0.95, momentum=0.9, foreach=True)
    inputs, targets, asked = net.data(task.batch(np.random.default_rng(1), batch))

    def step():
        optimiser.zero_grad()
        net.loss(inputs, targets, asked).backward()
        torch.nn.utils.clip_grad_value_(net.parameters(), 10.0, foreach=True)
        optimiser.step()

    return step


def gradient_error(name, batch):
    """Largest difference of all parameter gradients in float64, relative to each one's largest entry."""
    ntm, task = model("float64")
    params, data = ntm.init(np.random.default_rng(0)), task.batch(np.random.default_rng(1), batch, "float64")
    leaves = params.tensors()
    outputs, _ = ntm.sequence(leaves, ntm.initial_state(leaves, batch), data.inputs)
    found = params.gradient(task.loss(outputs, data), leaves)
    net = TorchNTM(ntm, params)
    net.loss(*net.data(data)).backward()
    theirs = {key: p.grad.numpy() for key, p in net.named_parameters()}
    return max(float(abs(found[key] - g).max() / abs(g).max()) for key, g in theirs.items())


def TorchNTM(ntm, params):  # noqa: N802 - makes a class once PyTorch is known to be there
    import torch
    import torch.nn.functional as F  # noqa: N812
    from torch import nn

    start = torch.from_numpy(ntm.initial_state(params, 1).memory[0].T.copy())

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in params.items():
                self.register_parameter(name, nn.Parameter(torch.from_numpy(value.copy())))

        @staticmethod
        def data(batch):
            return [torch.from_numpy(np.ascontiguousarray(a)) for a in batch[:3]]

        def loss(self, inputs, targets, asked):
            nats = F.binary_cross_entropy_with_logits(self(inputs), targets, reduction="none")
            return torch.where(asked, nats, 0.0).sum() / inputs.shape[1]

        def forward(self, x):
            batch, units, width, features = x.shape[1], ntm.units, ntm.width, ntm.width
            from_x, from_reads = self.input_weights.split([ntm.inputs, features])
            recurrent = torch.cat([from_reads, self.hidden_weights])
            sums = torch.addmm(self.bias, x.flatten(0, 1), from_x).unflatten(0, x.shape[:2])
            h, c = self.initial_hidden.expand(batch, -1), self.initial_cell.expand(batch, -1)
            r = self.initial_reads.expand(batch, -1)
            w = torch.softmax(self.initial_weightings, 1).expand(batch, -1, -1)
            m = start.to(x.dtype).expand(batch, -1, -1)
            seen = []
            for z in sums:
                r, h, c, m, w = self.step(
                    torch.addmm(z, torch.cat([r, h], 1), recurrent), c, m, w, units, width
                )
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

    return Net()
