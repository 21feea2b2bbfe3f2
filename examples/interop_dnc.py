"""Weights of three published PyTorch DNCs in our model: outputs and all gradients of whole sequences.

    python examples/interop_dnc.py DIR

DIR holds clones: pytorch-dnc (of ixaxaar), dnc (of RobertCsordas) and jingweiz-pytorch-dnc; what is not
there is skipped.  Each code runs as it is published, in float64, from its own random weights and
its own start; the orders in which it sorted usages are replayed, because all of them tie at the first step.
"""

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from interop_dnc_published import BATCH, INPUTS, PUBLISHED, READERS, ROWS
from torch.overrides import TorchFunctionMode

import scratchattn as sa
from scratchattn.interop.dnc import dnc_gradients, read_dnc

STEPS = 12


class Sorts(TorchFunctionMode):
    """Remembers the order in which numbers were sorted."""

    def __init__(self):
        super().__init__()
        self.orders = []

    def __torch_function__(self, function, types, arguments=(), named=None):
        out = function(*arguments, **(named or {}))
        if function in (torch.topk, torch.Tensor.sort) and arguments[0].is_floating_point():
            self.orders.append(out.indices.numpy())
        return out


def compared(convention, made):
    """How far apart at most, relative to the largest: outputs, the gradient of x, that of each parameter."""
    theirs, run, controller = made
    theirs.double()
    xs = 2 * torch.randn(STEPS, BATCH, INPUTS, dtype=torch.float64)
    xs.requires_grad_(True)
    with Sorts() as sorts:
        outputs = run(xs)
    cotangent = torch.randn(outputs.shape, dtype=torch.float64)
    (outputs * cotangent).sum().backward()

    model, params = read_dnc(convention, theirs.state_dict(), rows=ROWS, read_heads=READERS)
    model = replace(model, engine="reference")  # which can replay orders
    state = model.initial_state(params, BATCH)
    state = state if controller is None else state._replace(controller=controller)
    orders = np.stack(sorts.orders).reshape(STEPS, model.write_heads, BATCH, ROWS).swapaxes(1, 2)

    def ours(xs, *values):
        named = dict(zip(params, values))
        return model.sequence(named, state, xs, permutations=orders)[0]

    found, pullback = sa.vjp(ours, xs.detach().numpy(), *[value for _, value in params.items()])
    dxs, *gradients = pullback(cotangent.numpy())
    back = dnc_gradients(convention, theirs.state_dict(), dict(zip(params, gradients)))
    far = lambda a, b: abs(a - b).max() / abs(b).max()
    worst = {n: far(back[n], p.grad.numpy()) for n, p in theirs.named_parameters()}
    return far(found, outputs.detach().numpy()), far(dxs, xs.grad.numpy()), worst


def main(folder):
    warnings.simplefilter("ignore")  # they use what PyTorch has deprecated since
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    print("| weights | of | outputs | gradient of x | of each parameter, the worst | parameters |")
    print("|---|---|---|---|---|---|")
    for convention, what, make, settings in PUBLISHED:
        try:
            made = make(folder, **settings)
        except (ImportError, OSError) as reason:
            print(f"not there, skipped: {convention}: {reason}", file=sys.stderr)
            continue
        outputs, dxs, worst = compared(convention, made)
        name = max(worst, key=worst.get)
        row = convention, what, f"{outputs:.1e}", f"{dxs:.1e}", f"{worst[name]:.1e} ({name})", len(worst)
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
