"""Multi-head softmax attention, forward and backward, ours against others.

Queries, keys and values of 8 heads, 128 positions, 64 features, float32, causal; a step is the output and
the gradients of all three for a given cotangent.  Ours is the reference op.  ``torch_eager`` writes the three
products out, ``torch_library`` is ``scaled_dot_product_attention``, ``jax_jit`` is compiled.
"""

import numpy as np

import scratchattn as sa

BATCHES = (1, 16)
PEERS = ("torch_eager", "torch_library", "jax_jit")
ENGINE = "reference"
SETTING = {"heads": 8, "T": 128, "d": 64, "causal": True}


def drawn(batch, dtype="float32"):
    """Query, key, value and the output's cotangent (b, h, t, d)."""
    rng = np.random.default_rng(0)
    shape = (batch, SETTING["heads"], SETTING["T"], SETTING["d"])
    return [rng.normal(size=shape).astype(dtype) for _ in range(4)]


def ours(batch):
    """A function that makes one step."""
    given = drawn(batch)
    return lambda: _ours(*given)


def peer(name, batch):
    """The same of a peer."""
    given = drawn(batch)
    return _jax(*given) if name == "jax_jit" else _torch(name, *given)


def gradient_error(name, batch):
    """Largest difference of the three gradients in float64, relative to each one's largest entry."""
    given = drawn(batch, "float64")
    if name == "jax_jit":
        import jax

        with jax.enable_x64(True):
            theirs = _jax(*given)()
    else:
        theirs = [g.numpy() for g in _torch(name, *given)()]
    pairs = zip(_ours(*given), map(np.asarray, theirs), strict=True)
    return max(float(abs(found - g).max() / abs(g).max()) for found, g in pairs)


def _ours(query, key, value, cotangent):
    def attend(*given):
        return sa.softmax_attention(*given, causal="top_left")[0]

    _, pullback = sa.vjp(attend, query, key, value)
    return pullback(cotangent)


def _torch(name, *given):
    import torch
    import torch.nn.functional as F  # noqa: N812

    *leaves, cotangent = (torch.from_numpy(each) for each in given)
    leaves = [each.requires_grad_() for each in leaves]
    hidden = torch.ones(SETTING["T"], SETTING["T"], dtype=torch.bool).triu(1)

    def eager(query, key, value):
        logits = query @ key.transpose(2, 3) * SETTING["d"] ** -0.5
        return torch.softmax(logits.masked_fill(hidden, -torch.inf), 3) @ value

    def library(query, key, value):
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)

    attend = eager if name == "torch_eager" else library
    return lambda: torch.autograd.grad(attend(*leaves), leaves, cotangent)


def _jax(*given):
    import jax
    import jax.numpy as jnp

    *leaves, cotangent = map(jnp.asarray, given)
    seen = jnp.tril(jnp.ones((SETTING["T"], SETTING["T"]), bool))

    def attend(query, key, value):
        logits = query @ key.swapaxes(2, 3) * SETTING["d"] ** -0.5
        return jax.nn.softmax(jnp.where(seen, logits, -jnp.inf), axis=3) @ value

    step = jax.jit(lambda leaves, cotangent: jax.vjp(attend, *leaves)[1](cotangent))
    return lambda: jax.block_until_ready(step(leaves, cotangent))
