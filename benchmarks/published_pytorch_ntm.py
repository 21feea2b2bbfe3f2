"""A clone of loudinthecloud/pytorch-ntm in the case ntm_copy: its own network and its own way to feed it.

Its step is that of its ``train.py``: a vector at a time, the outputs gathered, BCELoss, gradients clipped,
RMSprop.  Its cell differs from our default (read and write head take turns, memory starts elsewhere): the
gradients are compared with our reference of its convention, in float64, all weights and starts made equal.
"""

import sys

import numpy as np
import torch
from ntm_copy import difference, drawn, gradients
from torch import nn

CASE = "ntm_copy"
VECTORS, BITS = 20, 8


def peer(folder, batch):
    """A function that makes one step of the clone in ``folder``."""
    net = _net(folder, *drawn(batch)[:3])
    loss = _loss(net, drawn(batch)[3])
    optimiser = torch.optim.RMSprop(net.parameters(), lr=1e-4, alpha=0.95, momentum=0.9)

    def step():
        optimiser.zero_grad()
        loss().backward()
        for p in net.parameters():
            p.grad.clamp_(-10, 10)
        optimiser.step()

    return step


def gradient_error(folder, batch):
    """Largest difference of all gradients in float64, relative to each one's largest entry."""
    ntm, task, params, data = drawn(batch, "float64", convention="pytorch_ntm")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # its zeros and memories are of the default dtype
    try:
        net = _net(folder, ntm, task, params)
        _fill(net, ntm, params)
        (_loss(net, data)() * VECTORS * BITS).backward()  # BCELoss is a mean; ours is per sequence
        return difference(gradients(ntm, task, params, data), _ours(net, ntm))
    finally:
        torch.set_default_dtype(before)


def _net(folder, ntm, task, params):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    from ntm.aio import EncapsulatedNTM

    return EncapsulatedNTM(task.inputs, task.outputs, ntm.units, 1, 1, ntm.rows, ntm.width)


def _loss(net, data):
    """Its loss as a function of nothing, fed as its train.py does: no input is given while it answers."""
    inputs = torch.from_numpy(data.inputs[: VECTORS + 1])
    targets = torch.from_numpy(data.targets[VECTORS + 1 :])
    criterion = nn.BCELoss()

    def loss():
        net.init_sequence(inputs.shape[1])
        for x in inputs:
            net(x)
        found = torch.zeros(targets.size())
        for k in range(VECTORS):
            found[k], _ = net()
        return criterion(found, targets)

    return loss


def _fill(net, ntm, params):
    """Put our parameters and starts into their places."""
    state = ntm.initial_state(params, 1)
    net.memory.mem_bias.copy_(torch.tensor(state.memory[0]))
    net.ntm.init_r[0] = torch.tensor(state.reads[0])
    with torch.no_grad():
        for name, tensor, where in _places(net, ntm):
            tensor.copy_(torch.tensor(params[name][where].T).view_as(tensor))


def _ours(net, ntm):
    """name of a parameter of ours -> its gradient by theirs."""
    found = {name: np.zeros(shape) for name, shape in ntm.shapes().items()}
    for name, tensor, where in _places(net, ntm):
        found[name][where] = tensor.grad.numpy().reshape(found[name][where].T.shape).T
    return found


def _places(net, ntm):
    """(name of a parameter of ours, tensor of theirs, which part of ours it is, up to a transposition)."""
    lstm, (read, write), fc = net.ntm.controller.lstm, net.ntm.heads, net.ntm.fc
    u, w = ntm.units, ntm.width
    gates = np.r_[0 : 2 * u, 3 * u : 4 * u, 2 * u : 3 * u]  # theirs: input, forget, candidate, output
    # Ours: keys, write vector, erase, gates, strengths, sharpnesses, shifts, the read head's first of each.
    # Theirs: key, strength, gate, shift, sharpness, and of the write head erase and write vector.
    at = 4 * w
    told = {
        read.fc_read: np.r_[0:w, at + 2, at, at + 6 : at + 9, at + 4],
        write.fc_write: np.r_[
            w : 2 * w, at + 3, at + 1, at + 9 : at + 12, at + 5, 3 * w : 4 * w, 2 * w : 3 * w
        ],
    }
    yield "input_weights", lstm.weight_ih_l0, np.s_[:, gates]
    yield "hidden_weights", lstm.weight_hh_l0, np.s_[:, gates]
    yield "bias", lstm.bias_ih_l0, gates
    for layer, columns in told.items():
        yield "head_weights", layer.weight, np.s_[:, columns]
        yield "head_bias", layer.bias, columns
    yield "output_weights", fc.weight, np.r_[w : w + u, 0:w]  # theirs: hidden units, reads
    yield "output_bias", fc.bias, np.s_[:]
    yield "initial_hidden", net.ntm.controller.lstm_h_bias, np.s_[:]
    yield "initial_cell", net.ntm.controller.lstm_c_bias, np.s_[:]
