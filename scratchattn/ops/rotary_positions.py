"""Rotary positions: pairs of features turned by angles that grow with the position.

A query and a key, each turned by its own position, have a dot product that knows only how far apart
they are.  The tables of cosines and sines are ``nn.positions.rotary_tables``, one column to a pair.

Forward
-------
With (a, b) the pair number i of the first 2p features, and c_i, s_i the cosine and sine of its angle,

    a' = c_i a - s_i b
    b' = s_i a + c_i b

What comes after the first 2p features stays as it is.

Backward
--------
    g(a) =  c_i g(a') + s_i g(b')          turned back by the same angle
    g(b) = -s_i g(a') + c_i g(b')
    g(c_i) = a g(a') + b g(b')             summed over what shares the table
    g(s_i) = a g(b') - b g(a')

and so an angle t_i that is learned has g(t_i) = c_i g(s_i) - s_i g(c_i).

Accuracy
--------
Two products and a sum, no more.  What is lost at a large position is lost in the tables: an angle of 1e5
rounded to float32 is off by 4e-3.

Conventions
-----------
``pairs`` says which features are a pair, and where the turned ones go:

    pairs         pair i comes from     and goes to          who
    interleaved   2i, 2i + 1            the same             RoFormer, GPT-J, LLaMA as published
    halves        i, i + p              the same             GPT-NeoX, LLaMA in transformers, flash-attention
    gathered      2i, 2i + 1            i, i + p             DeepSeek-V3

The three differ by an order of the features, the same for query and key, that no dot product sees.  So
weights made for one work in another once the columns of their projections are put in order; used as
they are they give no error and a wrong model.  p is the width of the tables: GPT-J turns 64 of 256
features, GPT-NeoX a quarter.  Tables that hold every column twice (transformers) are to be cut to p.

x may have any leading axes that those of the tables broadcast to: (batch, heads, t, d) with (t, p), or
(batch, t, heads, d) with (t, 1, p).  Numbers that are no cosine and sine turn and stretch.

Source: Su et al., "RoFormer: Enhanced transformer with rotary position embedding", arXiv:2104.09864,
eqs. 14-16, 34; partial width: Wang, Komatsuzaki, "GPT-J-6B" (2021).
"""

import numpy as np

from ..backend import array_module, sum_to_shape
from ..calculus import stretched
from ..op import Case, Op, Variant, register

PAIRS = {"interleaved": (True, True), "halves": (False, False), "gathered": (True, False)}


def rotary_positions_forward(x, cosines, sines, *, pairs="interleaved"):
    """Turned features: (..., d), (..., p), (..., p) -> (..., d); 2p is at most d.

    ValueError for tables that are too wide, and for ``pairs`` other than above.
    """
    xp = array_module(x, cosines, sines)
    _check(x.shape[-1], cosines.shape[-1], pairs)
    shapes = x.shape, cosines.shape, sines.shape
    x = xp.broadcast_to(x, (*stretched(*[shape[:-1] for shape in shapes]), x.shape[-1]))
    a, b, rest = _apart(xp, x, cosines.shape[-1], PAIRS[pairs][0])
    out = _together(xp, cosines * a - sines * b, sines * a + cosines * b, rest, PAIRS[pairs][1])
    return out, (a, b, cosines, sines, shapes, pairs)


def rotary_positions_backward(saved, dout):
    """Gradients for x, cosines and sines, given dout of shape (..., d)."""
    a, b, cosines, sines, shapes, pairs = saved
    xp = array_module(a, dout)
    da, db, rest = _apart(xp, dout, cosines.shape[-1], PAIRS[pairs][1])
    dx = _together(xp, cosines * da + sines * db, cosines * db - sines * da, rest, PAIRS[pairs][0])
    grads = dx, a * da + b * db, a * db - b * da
    return tuple([sum_to_shape(g, shape) for g, shape in zip(grads, shapes)])


def rotary_positions_loops(x, cosines, sines, *, pairs="interleaved", math=None):
    """One vector times the matrix of eq. 15, its rows in the order that ``pairs`` says."""
    d, p = len(x), len(cosines)
    matrix = [[1 if i == j else 0 for j in range(d)] for i in range(d)]
    for i in range(p):
        near, far = (2 * i, 2 * i + 1) if pairs != "halves" else (i, p + i)
        first, second = (2 * i, 2 * i + 1) if pairs == "interleaved" else (i, p + i)
        matrix[first], matrix[second] = [0] * d, [0] * d
        matrix[first][near], matrix[first][far] = cosines[i], -sines[i]
        matrix[second][near], matrix[second][far] = sines[i], cosines[i]
    return [sum(matrix[i][j] * x[j] for j in range(d)) for i in range(d)]


def _apart(xp, x, p, interleaved):
    """The first and the second of each pair, and what is left of the features."""
    turned, rest = x[..., : 2 * p], x[..., 2 * p :]
    if not interleaved:
        return turned[..., :p], turned[..., p:], rest
    turned = xp.reshape(turned, (*x.shape[:-1], p, 2))
    return turned[..., 0], turned[..., 1], rest


def _together(xp, first, second, rest, interleaved):
    if interleaved:
        turned = xp.reshape(xp.stack([first, second], axis=-1), (*rest.shape[:-1], 2 * first.shape[-1]))
    else:
        turned = xp.concat([first, second], axis=-1)
    return xp.concat([turned, rest], axis=-1)


def _check(d, p, pairs):
    if pairs not in PAIRS:
        raise ValueError(f"rotary_positions: pairs must be one of {', '.join(PAIRS)}, got {pairs!r}")
    if 2 * p > d:
        raise ValueError(f"rotary_positions: d must be at least twice p, got d {d} and p {p}")


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, x, table, zero=(), size=1.0, **params):
        angles = rng.uniform(-3.0, 3.0, size=table)
        inputs = size * rng.normal(size=x), np.cos(angles), np.sin(angles)
        return Case(label, inputs, params, zero_gradient=zero)

    everything = ("x", "cosines", "sines")
    for pairs in PAIRS:
        yield case(f"{pairs}, one vector", (6,), (3,), pairs=pairs)
        yield case(f"{pairs}, heads share the table", (2, 3, 4), (3, 2), pairs=pairs)
        yield case(f"{pairs}, a part of the features", (3, 7), (3, 2), pairs=pairs)
    yield case("heads after the positions", (3, 2, 4), (3, 1, 2))
    yield case("positions of each item of a batch", (2, 1, 2, 4), (2, 1, 2, 2), pairs="halves")
    yield case("one vector at many positions", (4,), (3, 2))
    yield case("one pair", (3, 2), (3, 1), pairs="halves")
    yield case("one feature, no pair", (3, 1), (3, 0))
    yield case("no feature", (2, 0), (2, 0), pairs="halves", zero=everything)
    yield case("no position", (0, 4), (0, 2), zero=everything)
    yield case("vectors of length zero", (3, 4), (3, 2), zero=("cosines", "sines"), size=0.0)
    yield case("far longer than one", (3, 4), (3, 2), size=1e4)
    yield Case("turned and stretched", tuple(rng.normal(size=s) for s in ((2, 5), (2, 2), (2, 2))))


def a_pair_keeps_its_length(inputs, params, out):
    x, cosines, sines = inputs
    interleaved, as_pairs = (PAIRS[params.get("pairs", "interleaved")][i] for i in (0, 1))
    p = cosines.shape[-1]
    before = sum(part * part for part in _apart(np, x, p, interleaved)[:2]) * (cosines**2 + sines**2)
    after = sum(part * part for part in _apart(np, out, p, as_pairs)[:2])
    assert (abs(after - before) <= 1e-14 * (before + 1)).all()


def what_is_not_turned_stays(inputs, params, out):
    assert (out[..., 2 * inputs[1].shape[-1] :] == inputs[0][..., 2 * inputs[1].shape[-1] :]).all()


def turning_back_gives_the_vector(inputs, params, out):
    x, cosines, sines = inputs
    if params.get("pairs") != "gathered":
        back, _ = rotary_positions_forward(out, cosines, -sines, **params)
        once, _ = rotary_positions_forward(x, cosines**2 + sines**2, 0 * sines, **params)
        assert (abs(back - once) <= 1e-14 * abs(once).max(initial=0)).all()


def the_conventions_differ_by_an_order_of_the_features(inputs, params, out):
    x, cosines, sines = inputs
    order = np.arange(x.shape[-1])
    p = cosines.shape[-1]
    order[: 2 * p] = order[: 2 * p].reshape(p, 2).T.ravel()
    interleaved = rotary_positions_forward(x, cosines, sines)[0]
    halves = rotary_positions_forward(x[..., order], cosines, sines, pairs="halves")[0]
    gathered = rotary_positions_forward(x, cosines, sines, pairs="gathered")[0]
    assert (halves == interleaved[..., order]).all() and (gathered == halves).all()


rotary_positions = register(
    Op(
        name="rotary_positions",
        signature="x(d), cosines(p), sines(p) -> out(d)",
        forward=rotary_positions_forward,
        backward=rotary_positions_backward,
        loops=rotary_positions_loops,
        cases=cases,
        properties=(
            a_pair_keeps_its_length,
            what_is_not_turned_stays,
            turning_back_gives_the_vector,
            the_conventions_differ_by_an_order_of_the_features,
        ),
        variants=(
            Variant(
                "roformer",
                {},
                "huggingface/transformers src/transformers/models/roformer/modeling_roformer.py",
            ),
            Variant("gpt_j", {}, "huggingface/transformers src/transformers/models/gptj/modeling_gptj.py"),
            Variant("llama", {}, "meta-llama/llama llama/model.py"),
            Variant(
                "gpt_neox", {"pairs": "halves"}, "EleutherAI/gpt-neox megatron/model/positional_embeddings.py"
            ),
            Variant(
                "transformers",
                {"pairs": "halves"},
                "huggingface/transformers src/transformers/models/llama/modeling_llama.py",
            ),
            Variant(
                "flash_attention",
                {"pairs": "halves"},
                "Dao-AILab/flash-attention flash_attn/layers/rotary.py",
            ),
            Variant(
                "deepseek_v3",
                {"pairs": "gathered"},
                "huggingface/transformers src/transformers/models/deepseek_v3/modeling_deepseek_v3.py",
            ),
        ),
        source="arXiv:2104.09864 eqs. 14-16, 34",
    )
)
