"""The NTM of ntm_copy.py in JAX, from our parameters: one compiled function is a whole training step.

Time is a scan; input and output layers are outside it, the memory is transposed as ours is.
"""

import jax
import jax.numpy as jnp
import numpy as np

RATE, DECAY, MOMENTUM, EPS, CLIP = 1e-4, 0.95, 0.9, 1e-8, 10.0


def stepping(ntm, task, params, batch):
    """A function that makes one training step on ``batch``."""
    return training(loss_of(ntm, params), params, batch)


def gradients(ntm, task, params, batch):
    """name -> gradient of the loss of ``batch``, in its precision."""
    return differentiated(loss_of(ntm, params), params, batch)


def training(loss, params, batch):
    """A function that makes one training step on ``batch``; ``loss`` of values by name, and of data."""
    data = _data(batch)
    values = {name: jnp.asarray(value) for name, value in params.items()}
    zeros = jax.tree.map(jnp.zeros_like, values)

    def update(values, squares, velocity):
        found = jax.tree.map(lambda g: jnp.clip(g, -CLIP, CLIP), jax.grad(loss)(values, *data))
        squares = jax.tree.map(lambda s, g: DECAY * s + (1 - DECAY) * g * g, squares, found)
        velocity = jax.tree.map(
            lambda v, s, g: MOMENTUM * v + g / (jnp.sqrt(s) + EPS), velocity, squares, found
        )
        return jax.tree.map(lambda p, v: p - RATE * v, values, velocity), squares, velocity

    update = jax.jit(update, donate_argnums=(0, 1, 2))
    held = [values, zeros, jax.tree.map(jnp.zeros_like, values)]

    def step():
        held[:] = jax.block_until_ready(update(*held))

    return step


def differentiated(loss, params, batch):
    """name -> gradient of ``loss`` on ``batch``, in its precision."""
    with jax.enable_x64(True):
        values = {name: jnp.asarray(value) for name, value in params.items()}
        found = jax.jit(jax.grad(loss))(values, *_data(batch))
        return {name: np.asarray(value) for name, value in found.items()}


def nats(logits, targets, asked):
    """The loss of the task: nats of a sequence, of the bits asked for."""
    each = jax.nn.softplus(logits * (1 - 2 * targets))
    return jnp.where(asked, each, 0.0).sum() / logits.shape[1]


def _data(batch):
    return [jnp.asarray(np.ascontiguousarray(each)) for each in batch[:3]]


def loss_of(ntm, params):
    """The loss as a function of values by name, and of data."""
    start = np.ascontiguousarray(ntm.initial_state(params, 1).memory[0].T)
    return lambda values, x, targets, asked: nats(_outputs(ntm, start, values, x), targets, asked)


def _outputs(ntm, start, p, x):
    """Logits (t, b, o) for x (t, b, i)."""
    batch, from_x, from_reads = x.shape[1], p["input_weights"][: ntm.inputs], p["input_weights"][ntm.inputs :]
    recurrent = jnp.concatenate([from_reads, p["hidden_weights"]])
    rows = jax.nn.softmax(p["initial_weightings"], axis=1)
    state = (
        jnp.broadcast_to(p["initial_reads"], (batch, ntm.width)),
        jnp.broadcast_to(p["initial_hidden"], (batch, ntm.units)),
        jnp.broadcast_to(p["initial_cell"], (batch, ntm.units)),
        jnp.broadcast_to(start, (batch, *start.shape)),
        jnp.broadcast_to(rows, (batch, *rows.shape)),
    )

    def one(state, z):
        r, h, c, m, w = state
        z = z + jnp.concatenate([r, h], axis=1) @ recurrent
        r, h, c, m, w = _step(ntm, p, z, c, m, w)
        return (r, h, c, m, w), jnp.concatenate([r, h], axis=1)

    _, seen = jax.lax.scan(one, state, x @ from_x + p["bias"])
    return seen @ p["output_weights"] + p["output_bias"]


def _step(ntm, p, z, c, m, w):
    """One step: read (b, w), hidden and cell (b, u), memory (b, w, n), weightings (b, 2, n)."""
    units, width = ntm.units, ntm.width
    i, f, o = jnp.split(jax.nn.sigmoid(z[:, : 3 * units]), 3, axis=1)
    c = f * c + i * jnp.tanh(z[:, 3 * units :])
    h = o * jnp.tanh(c)
    told = h @ p["head_weights"] + p["head_bias"]
    key, write_vector, erase_gate, soft, shift = jnp.split(
        told, np.cumsum([2 * width, width, width + 2, 4]).tolist(), axis=1
    )
    key, erase_gate, soft = key.reshape(-1, 2, width), jax.nn.sigmoid(erase_gate), jax.nn.softplus(soft)
    erase, gate = erase_gate[:, :width, None], erase_gate[:, width:, None]
    strength, sharpness = soft[:, :2, None], 1 + soft[:, 2:, None]
    shift = jax.nn.softmax(shift.reshape(-1, 2, 3), axis=2)
    key = key * jax.lax.rsqrt((key * key).sum(2, keepdims=True) + 1e-6)
    cosine = (key @ m) * jax.lax.rsqrt((m * m).sum(1, keepdims=True) + 1e-6)
    content = jax.nn.softmax(strength * cosine, axis=2)
    gated = w + gate * (content - w)
    moved = (
        shift[:, :, :1] * jnp.roll(gated, -1, 2)
        + shift[:, :, 1:2] * gated
        + shift[:, :, 2:] * jnp.roll(gated, 1, 2)
    )
    w = jax.nn.softmax(sharpness * jnp.log(jnp.maximum(moved, 1e-37)), axis=2)
    r = jnp.einsum("bn,bwn->bw", w[:, 0], m)
    m = m + w[:, 1:] * (write_vector[:, :, None] - erase * m)
    return r, h, c, m, w
