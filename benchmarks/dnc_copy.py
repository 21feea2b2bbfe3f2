"""One training step of a DNC on the copy task, ours against others.

8 bits, 20 vectors, so 41 steps; rows of 16, four read heads, one LSTM of 64, float32, and memories of 16, 32
and 64 rows.  A step is the forward pass, back-propagation through time, clipping and RMSprop, through the
public interface.  The peers are the same model, from the same numbers, written for speed:
``peers/dnc_torch.py`` and ``peers/dnc_jax.py``.
"""

from importlib import import_module

import numpy as np
from ntm_copy import difference, gradients

from scratchattn.models import DNC
from scratchattn.tasks import Copy
from scratchattn.training import RMSprop, Settings
from scratchattn.training.step import update

BATCHES = (16,)
PEERS = ("torch_eager", "jax_jit")
ENGINE = "fused"
SETTINGS = tuple({"T": 41, "bits": 8, "N": n, "W": 16, "units": 64, "read_heads": 4} for n in (16, 32, 64))


def drawn(batch, setting=SETTINGS[0], dtype="float32"):
    """Model, task, parameters and data, always the same."""
    task = Copy(bits=setting["bits"], shortest=setting["T"] // 2, longest=setting["T"] // 2)
    dnc = DNC(
        task.inputs, task.outputs, rows=setting["N"], width=setting["W"], units=setting["units"],
        read_heads=setting["read_heads"], dtype=dtype, engine=ENGINE,
    )  # fmt: skip
    return dnc, task, dnc.init(np.random.default_rng(0)), task.batch(np.random.default_rng(1), batch, dtype)


def ours(batch, setting=SETTINGS[0]):
    """A function that makes one step."""
    dnc, task, params, data = drawn(batch, setting)
    optimiser, settings = RMSprop(params), Settings()
    return lambda: update(dnc, task, params, optimiser, data, settings)


def peer(name, batch, setting=SETTINGS[0]):
    """The same of a peer."""
    return _peer(name).stepping(*drawn(batch, setting))


def gradient_error(name, batch, setting=SETTINGS[0]):
    """Largest difference of all parameter gradients in float64, relative to each one's largest entry."""
    given = drawn(batch, setting, "float64")
    return difference(gradients(*given), _peer(name).gradients(*given))


def _peer(name):
    return import_module("peers.dnc_jax" if name == "jax_jit" else "peers.dnc_torch")
