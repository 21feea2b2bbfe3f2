"""Load the weights of public NTMs into ours and hold outputs and every gradient against their own code.

    python examples/interop_ntm.py DIR

DIR holds clones by their names: pytorch-ntm of loudinthecloud, and pytorch-dnc of jingweiz (whose NTM it
is; in a folder called jingweiz-pytorch-dnc where the name is taken).  Their code runs as it is, in float64
by PyTorch's default and in float32; weights and first states are drawn anew, sequences too, and the weights
go through a .safetensors file.  How far apart the worst entries are, relative to the largest of that array.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from interop_ntm_machines import BATCH, SIZES, STEPS, jingweiz, pytorch_ntm
from safetensors.torch import save_model

import scratchattn as sa
from scratchattn.interop.ntm import ntm_gradients, read_ntm


def apart(convention, module, run, dtype, rows):
    """name -> distance: of the outputs, of the gradient by the inputs, and by each of their parameters."""
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(STEPS, BATCH, SIZES["inputs"])).astype(dtype)
    for parameter in module.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    with tempfile.TemporaryDirectory() as out:
        save_model(module, f"{out}/theirs.safetensors")
        model, params = read_ntm(convention, f"{out}/theirs.safetensors", rows=rows)
    given = torch.tensor(xs, requires_grad=True)
    theirs = run(given)
    cotangent = rng.normal(size=theirs.shape).astype(dtype)
    (theirs * torch.tensor(cotangent)).sum().backward()

    def ours(xs, *leaves):
        named = dict(zip(params, leaves))
        return sa.sigmoid(model.sequence(named, model.initial_state(named, BATCH), xs)[0])

    y, pullback = sa.vjp(ours, xs, *[params[name] for name in params])
    dxs, *gradients = pullback(cotangent)
    found = ntm_gradients(convention, module.state_dict(), dict(zip(params, gradients)))
    pairs = {"outputs": (y, theirs.detach()), "d inputs": (dxs, given.grad)}
    pairs |= {name: (found[name], p.grad) for name, p in module.named_parameters()}
    return {name: float(abs(a - b.numpy()).max() / abs(b).max()) for name, (a, b) in pairs.items()}


def main(where):
    warnings.simplefilter("ignore")  # they use what PyTorch has deprecated since
    of_jingweiz = where / (
        "jingweiz-pytorch-dnc" if (where / "jingweiz-pytorch-dnc").is_dir() else "pytorch-dnc"
    )
    fine = True
    for convention, folder, of, theirs, orders in (
        ("pytorch_ntm", where / "pytorch-ntm", "ntm", pytorch_ntm, ("rw", "rwrw", "wrr", "wwr", "2rw")),
        ("jingweiz", of_jingweiz, "core", jingweiz, ("rw", "rrw", "rrwww")),
    ):
        if not (folder / of).is_dir():
            print(f"not there, skipped: {folder.name}/{of}", file=sys.stderr)
            continue
        for dtype, allowed in (("float64", 1e-11), ("float32", 1e-3)):
            torch.set_default_dtype(getattr(torch, dtype))
            for kinds in orders:
                torch.manual_seed(0)
                found = apart(convention, *theirs(folder, kinds), dtype, SIZES["rows"])
                most, fine = max(found, key=found.get), fine and all(far <= allowed for far in found.values())
                print(f"{folder.name:12} {kinds:6} {dtype}  outputs {found['outputs']:.1e}"
                      f"  worst of {len(found)}: {most} {found[most]:.1e}", flush=True)  # fmt: skip
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else __doc__)
