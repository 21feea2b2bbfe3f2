"""JAX as a second opinion: whole cells written anew in it; values, gradients, Hessian-vector products."""

import numpy as np
import pytest

import scratchattn as sa
from gradcheck.subject import distance, random_like

pytestmark = pytest.mark.peers
BOUND = 1e-12


@pytest.fixture(scope="module")
def jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    return jax


def agree(jax, ours, theirs, *primals, seed=0, bound=BOUND):
    """The same values, gradients and Hessian-vector products of <u, f>, for random u and directions."""
    rng = np.random.default_rng(seed)
    values, pullback = sa.vjp(lambda *x: tuple(ours(*x)), *primals)
    expected, back = jax.vjp(lambda *x: tuple(theirs(*x)), *primals)
    assert len(values) == len(expected)
    for a, b in zip(values, expected):
        assert distance(a, np.asarray(b)) < bound
    u, v = random_like(rng, values), random_like(rng, primals)
    for place, (a, b) in enumerate(zip(pullback(*u), back(tuple(u)), strict=True)):
        assert distance(a, np.asarray(b)) < bound, f"gradient {place}"

    def our_loss(*x):
        first, *rest = [sa.sum(y * a) for y, a in zip(ours(*x), u)]
        return sum(rest, start=first)

    def their_loss(*x):
        return sum((y * a).sum() for y, a in zip(theirs(*x), u))

    places = tuple(range(len(primals)))
    _, products = jax.jvp(jax.grad(their_loss, argnums=places), tuple(primals), tuple(v))
    scale = max(abs(np.asarray(b)).max(initial=0) for b in products)
    assert scale > 0, "vacuous: the Hessian is zero"
    for place, (a, b) in enumerate(zip(sa.hvp(our_loss, primals, v), products, strict=True)):
        assert distance(a, np.asarray(b)) < bound, f"Hessian times vector, primal {place}"


def ntm_inputs(steps, batch, reads=1, writes=1, *, i=3, o=2, h=5, w=4, n=6, s=3, seed=0):
    rng = np.random.default_rng(seed)
    k, shapes = reads + writes, sa.nn.ntm_cell.ntm_shapes(i, o, h, w, reads, writes, s, "lstm")
    weights = {name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    order = "input_weights hidden_weights bias head_weights head_bias output_weights output_bias".split()
    state = [rng.normal(size=(batch, reads, w)), rng.normal(size=(batch, n, w))]
    state += [rng.dirichlet(np.ones(n), size=(batch, k)), *rng.normal(size=(2, batch, h))]
    return (rng.normal(size=(steps, batch, i)), *state, *[weights[name] for name in order])


def ntm_in_jax(jax, reads):
    """Section 3 of the NTM paper, step by step."""
    jnp, nn = jax.numpy, jax.nn

    def sequence(x, r, m, w, h, c, wx, wh, b, wp, bp, wo, bo):
        (batch, heads, _), width, units = w.shape, m.shape[2], h.shape[1]
        writes = heads - reads
        outputs = []
        for x_t in x:
            z = jnp.concatenate([x_t, r.reshape(batch, -1)], 1) @ wx + h @ wh + b
            i, f, o = (nn.sigmoid(z[:, j * units : (j + 1) * units]) for j in range(3))
            c = f * c + i * jnp.tanh(z[:, 3 * units :])
            h = o * jnp.tanh(c)
            p = h @ wp + bp
            at = np.cumsum([heads * width, writes * width, writes * width, heads, heads, heads])
            key, add, erase, gate, strength, sharpness, shift = jnp.split(p, at, axis=1)
            key, shift = key.reshape(batch, heads, width), nn.softmax(shift.reshape(batch, heads, -1))
            add, erase = (a.reshape(batch, writes, width) for a in (add, nn.sigmoid(erase)))
            rows = jnp.sqrt((m * m).sum(2) + 1e-6)[:, None, :]
            keys = jnp.sqrt((key * key).sum(2) + 1e-6)[:, :, None]
            cosine = jnp.einsum("bkw,bnw->bkn", key, m) / (rows * keys)
            gate = nn.sigmoid(gate)[:, :, None]
            gated = gate * nn.softmax(nn.softplus(strength)[:, :, None] * cosine) + (1 - gate) * w
            moved = sum(
                shift[:, :, j : j + 1] * jnp.roll(gated, j - shift.shape[2] // 2, 2)
                for j in range(shift.shape[2])
            )
            powers = moved ** (1 + nn.softplus(sharpness))[:, :, None]
            w = powers / powers.sum(2, keepdims=True)
            r = jnp.einsum("bkn,bnw->bkw", w[:, :reads], m)
            kept = 1
            for j in range(writes):
                kept = kept * (1 - w[:, reads + j, :, None] * erase[:, j, None, :])
            m = m * kept + jnp.einsum("bkn,bkw->bnw", w[:, reads:], add)
            outputs.append(jnp.concatenate([r.reshape(batch, -1), h], 1) @ wo + bo)
        return jnp.stack(outputs), r, m, w, h, c

    return sequence


@pytest.mark.parametrize(
    ("engine", "reads", "writes", "shifts"), [("reference", 1, 1, 3), ("fused", 2, 2, 5)]
)
def test_ntm(jax, engine, reads, writes, shifts):
    inputs = ntm_inputs(3, 2, reads, writes, s=shifts)
    ours = sa.ntm_lstm if engine == "fused" else sa.ntm_lstm.equals
    agree(jax, ours, ntm_in_jax(jax, reads), *inputs)
