"""A clone of ixaxaar/pytorch-dnc in the case dnc_copy: its own network, one layer with one LSTM.

Its step is that of its ``copy_task.py``: the whole gradient clipped to a length of 50, RMSprop; the loss is
our task's, which is not its own.  Its cell differs from our default and its controller starts at random:
gradients are compared in its convention, in float64, from its weights and its start.  It has as many
outputs as inputs; the last are not asked for.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from dnc_copy import SETTINGS, difference, drawn

from scratchattn.interop.dnc import dnc_gradients, read_dnc

CASE = "dnc_copy"


def peer(folder, batch, setting=SETTINGS[0]):
    """A function that makes one step of the clone in ``folder``."""
    dnc, _, _, data = drawn(batch, setting)
    net = _net(folder, dnc)
    loss = _loss(net, data)
    optimiser = torch.optim.RMSprop(net.parameters(), lr=1e-4, momentum=0.9, eps=1e-10)

    def step():
        optimiser.zero_grad()
        loss((None, None, None)).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 50)
        optimiser.step()

    return step


def gradient_error(folder, batch, setting=SETTINGS[0]):
    """Largest difference of all gradients in float64, relative to each one's largest entry."""
    dnc, task, _, data = drawn(batch, setting, "float64")
    net = _net(folder, dnc).double()
    ((hidden, cell),), (memory,), reads = net._init_hidden(None, batch, True)  # single precision, always
    hidden, cell, reads = hidden.double(), cell.double(), reads.double()
    memory = {name: part.double() for name, part in memory.items()}
    _loss(net, data)(([(hidden, cell)], [memory], reads)).backward()
    start = tuple((h.numpy(), c.numpy()) for h, c in zip(hidden, cell))
    theirs = net.state_dict()
    model, params = read_dnc("pytorch_dnc", theirs, rows=dnc.rows, read_heads=dnc.read_heads)
    leaves = params.tensors()
    state = model.initial_state(leaves, batch)._replace(controller=start)
    outputs, _ = model.sequence(leaves, state, data.inputs)
    ours = params.gradient(task.loss(outputs[:, :, : dnc.outputs], data), leaves)
    back = dnc_gradients("pytorch_dnc", theirs, ours)
    return difference(back, {name: p.grad.numpy() for name, p in net.named_parameters()})


def _net(folder, dnc):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    from dnc import DNC

    return DNC(
        dnc.inputs, dnc.units, num_hidden_layers=1, nr_cells=dnc.rows, cell_size=dnc.width,
        read_heads=dnc.read_heads,
    )  # fmt: skip


def _loss(net, data):
    """The task's loss as a function of the state before the first step."""
    inputs, targets, asked = (torch.from_numpy(np.ascontiguousarray(each)) for each in data[:3])

    def loss(start):
        outputs, _ = net(inputs.swapaxes(0, 1), start, reset_experience=True, pass_through_memory=True)
        outputs = outputs[:, :, : targets.shape[2]]  # time first, although it is given the batch first
        nats = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
        return torch.where(asked, nats, 0.0).sum() / inputs.shape[1]

    return loss
