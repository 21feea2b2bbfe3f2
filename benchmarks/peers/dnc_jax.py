"""The DNC of dnc_copy.py in JAX, from our parameters: one compiled function is a whole training step.

Time is a scan; input and output layers are outside it, the memory is transposed as ours is.
"""

import jax
import jax.numpy as jnp
import numpy as np
from peers import ntm_jax


def stepping(dnc, task, params, batch):
    """A function that makes one training step on ``batch``."""
    return ntm_jax.training(_loss(dnc), params, batch)


def gradients(dnc, task, params, batch):
    """name -> gradient of the loss of ``batch``, in its precision."""
    return ntm_jax.differentiated(_loss(dnc), params, batch)


def _loss(dnc):
    return lambda values, x, targets, asked: ntm_jax.nats(_outputs(dnc, values, x), targets, asked)


def _outputs(dnc, p, x):
    """Logits (t, b, o) for x (t, b, i)."""
    n, w, r, units, batch = dnc.rows, dnc.width, dnc.read_heads, dnc.units, x.shape[1]
    recurrent = jnp.concatenate([p["input_weights_1"][dnc.inputs :], p["hidden_weights_1"]])
    sizes = (r * w + units,), (units,), (w, n), (n,), (n, n), (1, n), (1, n), (r, n)
    state = tuple(jnp.zeros((batch, *size), x.dtype) for size in sizes)

    def one(state, z):
        state = _step(dnc, p, z + state[0] @ recurrent, *state[1:])
        return state, state[0]

    _, seen = jax.lax.scan(one, state, x @ p["input_weights_1"][: dnc.inputs] + p["bias_1"])
    output = jnp.concatenate([p["read_output_weights"], p["output_weights"]])
    return seen @ output + p["output_bias"]


def _step(dnc, p, z, c, m, usage, link, precedence, written, reading):
    """One step: cell (b, u), memory (b, w, n), weightings (b, heads, n); [reads, hidden] is new too."""
    units, w, r, batch = dnc.units, dnc.width, dnc.read_heads, z.shape[0]
    i, f, o = jnp.split(jax.nn.sigmoid(z[:, : 3 * units]), 3, axis=1)
    c = f * c + i * jnp.tanh(z[:, 3 * units :])
    h = o * jnp.tanh(c)
    told = h @ p["interface_weights"] + p["interface_bias"]
    sizes = [r * w, r, w, 1, w, w, r, 1, 1]
    read_keys, read_strengths, write_key, write_strength, *rest = jnp.split(
        told, np.cumsum(sizes).tolist(), axis=1
    )
    erase, write_vector, free, allocate, write, modes = rest
    erase, free, allocate, write = (jax.nn.sigmoid(a)[:, :, None] for a in (erase, free, allocate, write))
    back, alike, onwards = jnp.moveaxis(jax.nn.softmax(modes.reshape(batch, r, 3), axis=2), 2, 0)[..., None]

    usage = usage + (1 - usage) * written[:, 0]
    usage = usage * jnp.prod(1 - free * reading, axis=1)
    order = jnp.argsort(usage, axis=1, stable=True)
    used = jnp.take_along_axis(usage, order, axis=1)
    left = jnp.concatenate([jnp.ones_like(used[:, :1]), jnp.cumprod(used[:, :-1], axis=1)], axis=1)
    rank = jnp.argsort(order, axis=1)
    allocation = jnp.take_along_axis((1 - used) * left, rank, axis=1)[:, None]
    sought = _alike(write_key[:, None], write_strength, m)
    written = write * (sought + allocate * (allocation - sought))
    m = m + written * (write_vector[:, :, None] - erase * m)

    row = jnp.swapaxes(written, 1, 2)
    link = ((1 - row - written) * link + row * precedence) * (1 - jnp.eye(dnc.rows, dtype=z.dtype))
    precedence = (1 - written.sum(2, keepdims=True)) * precedence + written
    content = _alike(read_keys.reshape(batch, r, w), read_strengths, m)
    reading = back * (reading @ link) + alike * content + onwards * (reading @ jnp.swapaxes(link, 1, 2))
    reads = (reading @ jnp.swapaxes(m, 1, 2)).reshape(batch, r * w)
    return jnp.concatenate([reads, h], axis=1), c, m, usage, link, precedence, written, reading


def _alike(keys, strengths, m):
    """Weightings by content (b, k, n) of keys (b, k, w) and strengths (b, k) not yet above one."""
    keys = keys * jax.lax.rsqrt((keys * keys).sum(2, keepdims=True) + 1e-6)
    cosine = (keys @ m) * jax.lax.rsqrt((m * m).sum(1, keepdims=True) + 1e-6)
    return jax.nn.softmax((1 + jax.nn.softplus(strengths))[:, :, None] * cosine, axis=2)
