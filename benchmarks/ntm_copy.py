"""One training step of an NTM on the copy task, ours against others.

The paper's setting: 8 bits, 20 vectors, so 41 steps; memory 128 x 20, an LSTM of 100 units, one read
and one write head, float32.  A step is the forward pass, back-propagation through time,
clipping and RMSprop, through the public interface.  The peers are the same model, from the same numbers,
written for speed: ``peers/ntm_torch.py`` and ``peers/ntm_jax.py``.
"""

import numpy as np

from scratchattn.models import NTM
from scratchattn.tasks import Copy
from scratchattn.training import RMSprop, Settings
from scratchattn.training.step import update

BATCHES = (1, 16, 64)
PEERS = ("torch_eager", "torch_compile", "jax_jit")
ENGINE = "fused"
SETTING = {"T": 41, "bits": 8, "N": 128, "W": 20, "units": 100, "read_heads": 1, "write_heads": 1}


def drawn(batch, dtype="float32", **changed):
    """Model, task, parameters and data, always the same; ``changed``: settings of the model."""
    task = Copy(shortest=20, longest=20)
    ntm = NTM(task.inputs, task.outputs, dtype=dtype, **changed)
    return ntm, task, ntm.init(np.random.default_rng(0)), task.batch(np.random.default_rng(1), batch, dtype)


def ours(batch):
    """A function that makes one step."""
    ntm, task, params, data = drawn(batch)
    optimiser, settings = RMSprop(params), Settings()
    return lambda: update(ntm, task, params, optimiser, data, settings)


def peer(name, batch):
    """The same of a peer."""
    return _peer(name, "stepping", drawn(batch))


def gradient_error(name, batch):
    """Largest difference of all parameter gradients in float64, relative to each one's largest entry."""
    given = drawn(batch, "float64")
    return difference(gradients(*given), _peer(name, "gradients", given))


def gradients(ntm, task, params, data):
    """name -> our gradient of the loss of ``data``."""
    leaves = params.tensors()
    outputs, _ = ntm.sequence(leaves, ntm.initial_state(leaves, data.size), data.inputs)
    return params.gradient(task.loss(outputs, data), leaves)


def difference(found, theirs):
    """The largest of gradients that have the same names, relative to each one's largest entry."""
    return max(float(abs(found[name] - g).max() / abs(g).max()) for name, g in theirs.items())


def _peer(name, what, given):
    if name == "jax_jit":
        from peers import ntm_jax

        return getattr(ntm_jax, what)(*given)
    from peers import ntm_torch

    return getattr(ntm_torch, what)(*given, compiled=name == "torch_compile")
