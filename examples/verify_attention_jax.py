"""jax.nn.dot_product_attention held against softmax attention, differentiated by vjp under jit.

python examples/verify_attention_jax.py
gradcheck verify examples/verify_attention_jax.py:attention --against softmax_attention
"""

import jax
import jax.numpy as jnp

import gradcheck


def attention(query, key, value):
    """Its arrays are (batch, time, heads, width), ours (..., time, width): one head, any batch."""
    batch = jnp.broadcast_shapes(*[x.shape[:-2] for x in (query, key, value)])

    def theirs(x):
        x = jnp.broadcast_to(x, (*batch, *x.shape[-2:]))
        return x.reshape(-1, *x.shape[-2:])[:, :, None, :]

    width = value.shape[-1]
    if width != key.shape[-1]:  # it wants values as wide as keys: columns more or fewer say the same
        wide = jnp.zeros((*value.shape[:-1], max(key.shape[-1] - width, 0)), value.dtype)
        parts = jnp.concatenate([value, wide], -1)
        count = -(-parts.shape[-1] // key.shape[-1])
        parts = jnp.pad(parts, [(0, 0)] * (parts.ndim - 1) + [(0, count * key.shape[-1] - parts.shape[-1])])
        slices = jnp.split(parts, count, -1)
        return jnp.concatenate([attention(query, key, piece) for piece in slices], -1)[..., :width]
    out = jax.nn.dot_product_attention(theirs(query), theirs(key), theirs(value))
    return out[:, :, 0, :].reshape(*batch, *out.shape[1:2], width)


if __name__ == "__main__":
    for dtype in ("float32", "float64"):
        print(gradcheck.verify(attention, "softmax_attention", framework="jax", dtype=dtype), "\n")
