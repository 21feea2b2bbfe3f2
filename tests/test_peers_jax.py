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


def agree(jax, ours, theirs, *primals, vanishing=(), seed=0, bound=BOUND):
    """The same values, gradients and Hessian-vector products of <u, f>, for random u and directions.

    ``vanishing``: places of primals that nothing depends on, whose gradient is rounding in both.
    """
    rng = np.random.default_rng(seed)
    values, pullback = sa.vjp(lambda *x: tuple(ours(*x)), *primals)
    expected, back = jax.vjp(lambda *x: tuple(theirs(*x)), *primals)
    assert len(values) == len(expected)
    for a, b in zip(values, expected):
        assert distance(a, np.asarray(b)) < bound
    u, v = random_like(rng, values), random_like(rng, primals)
    same("gradient", pullback(*u), back(tuple(u)), vanishing, bound)

    def our_loss(*x):
        first, *rest = [sa.sum(y * a) for y, a in zip(ours(*x), u)]
        return sum(rest, start=first)

    def their_loss(*x):
        return sum((y * a).sum() for y, a in zip(theirs(*x), u))

    places = tuple(range(len(primals)))
    _, products = jax.jvp(jax.grad(their_loss, argnums=places), tuple(primals), tuple(v))
    same("Hessian times vector", sa.hvp(our_loss, primals, v), products, vanishing, bound)


def same(what, ours, theirs, vanishing, bound):
    theirs = [np.asarray(b) for b in theirs]
    largest = max(abs(b).max(initial=0) for b in theirs)
    assert largest > 0, f"vacuous: {what} is zero"
    for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if place in vanishing:
            assert abs(a).max() < bound * largest > abs(b).max(), f"{what}, {place}: not zero"
        else:
            assert distance(a, b) < bound, f"{what}, primal {place}"


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


def dnc_in_jax(jax, reads):
    """The Methods section of the DNC paper, one write head; the controller is one LSTM."""
    jnp, nn = jax.numpy, jax.nn

    def content(memory, key, strength):
        lengths = jnp.sqrt((memory * memory).sum(-1) + 1e-6)[:, None, :]
        lengths = lengths * jnp.sqrt((key * key).sum(-1) + 1e-6)[:, :, None]
        cosine = jnp.einsum("bkw,bnw->bkn", key, memory) / lengths
        return nn.softmax(strength[:, :, None] * cosine)

    def sequence(xs, m, u, link, p, ww, wr, r, h, c, wx, wh, b, wi, wo, wro):
        (batch, n, width), units = m.shape, h.shape[1]
        outputs = []
        for x in xs:
            z = jnp.concatenate([x, r.reshape(batch, -1)], 1) @ wx + h @ wh + b
            i, f, o = (nn.sigmoid(z[:, j * units : (j + 1) * units]) for j in range(3))
            c = f * c + i * jnp.tanh(z[:, 3 * units :])
            h = o * jnp.tanh(c)
            at = np.cumsum([reads * width, reads, width, 1, width, width, reads, 1, 1])
            kr, br, kw, bw, e, v, free, ga, gw, modes = jnp.split(h @ wi, at, axis=1)
            kr, modes = kr.reshape(batch, reads, width), nn.softmax(modes.reshape(batch, reads, 3))
            br, bw = 1 + nn.softplus(br), 1 + nn.softplus(bw)
            e, free, ga, gw = (nn.sigmoid(a) for a in (e, free, ga, gw))
            u = (u + ww - u * ww) * jnp.prod(1 - free[:, :, None] * wr, 1)
            order = jnp.argsort(u, axis=1)
            sorted_u = jnp.take_along_axis(u, order, 1)
            before = jnp.concatenate([jnp.ones((batch, 1)), jnp.cumprod(sorted_u, 1)[:, :-1]], 1)
            a = jnp.take_along_axis((1 - sorted_u) * before, jnp.argsort(order, axis=1), 1)
            ww = gw * (ga * a + (1 - ga) * content(m, kw[:, None], bw)[:, 0])
            m = m * (1 - ww[:, :, None] * e[:, None]) + ww[:, :, None] * v[:, None]
            link = (1 - ww[:, :, None] - ww[:, None]) * link + ww[:, :, None] * p[:, None]
            link = link * (1 - jnp.eye(n))
            p = (1 - ww.sum(1, keepdims=True)) * p + ww
            ahead, back = jnp.einsum("bij,brj->bri", link, wr), jnp.einsum("bji,brj->bri", link, wr)
            wr = modes[..., :1] * back + modes[..., 1:2] * content(m, kr, br) + modes[..., 2:] * ahead
            r = jnp.einsum("brn,bnw->brw", wr, m)
            outputs.append(h @ wo + r.reshape(batch, -1) @ wro)
        return jnp.stack(outputs), m, u, link, p, ww, wr, r, h, c

    return sequence


def test_dnc(jax):
    cell, rng, (batch, n, w, reads, h) = sa.nn.dnc_cell, np.random.default_rng(1), (2, 4, 3, 2, 4)
    shapes = cell.dnc_shapes(3, 2, h, 1, w, reads)
    weights = [rng.normal(size=shape) / np.sqrt(shape[0]) for shape in shapes.values()]
    memory, usage = rng.normal(size=(batch, n, w)), rng.uniform(0.1, 0.9, size=(batch, n))
    link = rng.uniform(0, 0.3, size=(batch, n, n)) * (1 - np.eye(n))
    rows = [rng.dirichlet(np.ones(n), size=size) for size in (batch, batch, (batch, reads))]
    state = [memory, usage, link, *rows, rng.normal(size=(batch, reads, w)), *rng.normal(size=(2, batch, h))]

    def ours(xs, m, u, link, p, ww, wr, r, hidden, cell_state, *weights):
        def one_head(a):
            return sa.expand_dims(a, axis=1)

        start = cell.DNCState(m, u, one_head(link), one_head(p), one_head(ww), wr, r, ((hidden, cell_state),))
        named = cell.dnc_weights(dict(zip(shapes, weights)))
        outputs, last = cell.dnc_sequence(xs, start, named)
        link, p, ww = (sa.squeeze(a, axis=1) for a in last[2:5])
        return outputs, last.memory, last.usage, link, p, ww, *last[5:7], *last.controller[0]

    agree(jax, ours, dnc_in_jax(jax, reads), rng.normal(size=(2, batch, 3)), *state, *weights)


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_transformer_layer(jax, placement):
    block, (d, heads, f) = sa.nn.transformer_block, (4, 2, 6)
    shapes, rng, jnp = block.encoder_shapes(d, heads, f), np.random.default_rng(2), jax.numpy
    params = [rng.normal(size=shape) / np.sqrt(shape[0]) for shape in shapes.values()]

    def ours(x, *params):
        weights = block.gathered(block.EncoderWeights, dict(zip(shapes, params)))
        given = {"heads": heads, "causal": "bottom_right", "placement": placement, "activation": "gelu_tanh"}
        return (block.encoder_layer(x, weights, **given).out,)

    def theirs(x, *params):
        p = dict(zip(shapes, params))

        def norm(x, name):
            x = x - x.mean(-1, keepdims=True)
            x = x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
            return x * p[f"{name}.scale"] + p[f"{name}.shift"]

        def affine(x, name):
            return x @ p[f"{name}_weights"] + p[f"{name}_bias"]

        def attend(x):
            q, k, v = (
                affine(x, f"attention.{n}").reshape(*x.shape[:2], heads, -1)
                for n in ("query", "key", "value")
            )
            scores = jnp.einsum("bqhw,bkhw->bhqk", q, k) / np.sqrt(
                d // heads
            )  # jax.nn's own rounds to float32
            seen = jnp.tril(jnp.ones(scores.shape[2:], bool))
            out = jnp.einsum("bhqk,bkhw->bqhw", jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)), v)
            return affine(out.reshape(x.shape), "attention.output")

        def feed(x):
            return affine(
                jax.nn.gelu(affine(x, "feed_forward.inner"), approximate=True), "feed_forward.outer"
            )

        for branch, name in ((attend, "attention_norm"), (feed, "feed_forward_norm")):
            x = norm(x + branch(x), name) if placement == "post" else x + branch(norm(x, name))
        return (x,)

    nowhere = 1 + list(shapes).index("attention.key_bias")  # softmax does not see what all keys share
    agree(jax, ours, theirs, rng.normal(size=(2, 3, d)), *params, vanishing=(nowhere,))


def test_adaptive_computation_time(jax):
    """Around a tanh cell, two time steps; how many inner steps each example takes is told to JAX."""
    act, rng, jnp = sa.nn.act, np.random.default_rng(3), jax.numpy
    xs, state = rng.normal(size=(2, 3, 2)), rng.normal(size=(3, 4))
    weights = [rng.normal(size=(3, 4)), rng.normal(size=(4, 4)), rng.normal(size=(4, 1)), np.array([-0.7])]

    def ours(xs, state, wx, wh, halting, bias):
        def cell(x, h):
            h = sa.tanh(x @ wx + h @ wh)
            return h, h

        found = act.act_sequence(xs, state, cell, act.ACTWeights(halting, bias), limit=9)
        return found.out, found.state, found.remainder

    def theirs(xs, state, wx, wh, halting, bias, steps):
        outs, remainders = [], []
        for x, counts in zip(xs, steps):
            h, left, mixed = state, jnp.ones(3), 0.0
            for n in range(int(counts.max())):
                flag = jnp.full((3, 1), float(n == 0))
                h = jnp.tanh(jnp.concatenate([x, flag], 1) @ wx + h @ wh)
                value = jax.nn.sigmoid(h @ halting + bias)[:, 0]
                share = jnp.where(n < counts - 1, value, jnp.where(n == counts - 1, left, 0.0))
                mixed = mixed + share[:, None] * h
                left = jnp.where(n < counts - 1, left - value, left)
            outs.append(mixed)
            remainders.append(left)
            state = mixed
        return jnp.stack(outs), state, jnp.stack(remainders)

    def cell(x, h):
        h = np.tanh(x @ weights[0] + h @ weights[1])
        return h, h

    steps = act.act_sequence(xs, state, cell, act.ACTWeights(*weights[2:]), limit=9).steps
    assert 1 < steps.max() < 9 and steps.min() < steps.max()
    agree(jax, ours, lambda *a: theirs(*a, steps), xs, state, *weights)
