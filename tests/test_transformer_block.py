"""Encoder and decoder layers as compositions of ops: what they promise, and PyTorch's as a second opinion."""

from math import erf

import numpy as np
import pytest
from adjoint import hessian_is_symmetric, is_the_adjoint

import scratchattn as sa
from gradcheck.subject import distance
from scratchattn.nn.feed_forward import FeedForwardWeights, feed_forward, feed_forward_shapes
from scratchattn.nn.transformer_block import (
    NO_DROPOUT,
    DecoderWeights,
    EncoderWeights,
    Keeps,
    decoder_layer,
    decoder_shapes,
    encoder_layer,
    encoder_shapes,
    gathered,
)

NAN = float("nan")
D, H, F = 4, 2, 5  # features, heads, inner
NORMS = [n for n in ("layer_norm", "rms_norm") if n in sa.REGISTRY]


def drawn(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {n: 0.5 * rng.normal(size=s) + n.endswith("scale") for n, s in shapes.items()}


class Net:
    """A layer as a function of arrays: x, for a decoder the source, and the values of its parameters."""

    def __init__(self, kind, seed=0, shapes=(), **params):
        shapes = {"norm": params.get("norm", "layer_norm"), **dict(shapes)}
        self.decodes = kind is decoder_layer
        make = decoder_shapes if self.decodes else encoder_shapes
        self.kind, self.params, self.named = kind, params, drawn(make(D, H, F, **shapes), seed)
        self.values = list(self.named.values())

    def __call__(self, *arrays, **params):
        inputs, values = arrays[: 1 + self.decodes], arrays[1 + self.decodes :]
        weights = gathered(
            DecoderWeights if self.decodes else EncoderWeights, dict(zip(self.named, values, strict=True))
        )
        return self.kind(*inputs, weights, heads=H, **self.params, **params)

    def places(self, *names):
        """Of parameters among all arrays."""
        return tuple(1 + self.decodes + list(self.named).index(name) for name in names)

    def inputs(self, rng, batch=2, t=3, k=4):
        rows = (t, k) if self.decodes else (t,)
        return [rng.normal(size=(batch, n, D)) for n in rows]


KEY_BIASES = ("attention.key_bias", "cross.key_bias")  # they add the same to all logits of a query


def outcome(function, arrays, cotangent=None, **params):
    """The output and every gradient, under a random cotangent or a given one."""

    def first(*tensors):
        found = function(*tensors, **params)
        return getattr(found, "out", found)

    out, pullback = sa.vjp(first, *arrays)
    if cotangent is None:
        cotangent = np.random.default_rng(1).normal(size=out.shape).astype(out.dtype)
    return [out, *pullback(cotangent)]


def equal(found, truth):
    for a, b in zip(found, truth, strict=True):
        np.testing.assert_array_equal(a, b)


def near(found, truth, tolerance=1e-13):
    """Relative to the largest of all: gradients of key biases are zero but for rounding."""
    size = max(abs(b).max(initial=0.0) for b in truth)
    for a, b in zip(found, truth, strict=True):
        assert a.shape == b.shape and (abs(a - b) <= tolerance * size).all()


LAYERS = {
    "post": {"placement": "post"},
    "pre, gelu": {"placement": "pre", "activation": "gelu"},
    "pre, gated, root mean square": {"placement": "pre", "activation": "silu", "norm": NORMS[-1]},
    "post, tanh gelu, window": {"activation": "gelu_tanh", "window": 1, "causal": "bottom_right"},
}
layers = pytest.mark.parametrize("params", LAYERS.values(), ids=LAYERS)
both = pytest.mark.parametrize("kind", [encoder_layer, decoder_layer], ids=["encoder", "decoder"])


def net(kind, params, seed=0):
    gated = params.get("activation") == "silu"
    shapes = {"gated": gated, "bias": not gated, "key_heads": 1 if gated else 2}
    return Net(kind, seed, shapes, **params)


# ---- against the papers -----------------------------------------------------


ACTIVATIONS = {
    "relu": lambda a: np.maximum(a, 0),
    "gelu": lambda a: a * (1 + np.vectorize(erf)(a / np.sqrt(2))) / 2,
    "gelu_tanh": lambda a: a * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3))) / 2,
    "silu": lambda a: a / (1 + np.exp(-a)),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
}


def by_hand(p, x, source=None, placement="post", activation="relu", keeps=NO_DROPOUT, rate=0.0):
    """One sequence, one head, in NumPy; causal if there is a source."""

    def drop(a, keep):
        return a if keep is None else a * keep / (1 - rate)

    def normed(a, part):
        centred = a - a.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred / spread * p[f"{part}_norm.scale"] + p[f"{part}_norm.shift"]

    def attend(part, a, rows, keep, seen):
        q, k, v = (
            y @ p[f"{part}.{name}_weights"] + p[f"{part}.{name}_bias"]
            for name, y in (("query", a), ("key", rows), ("value", rows))
        )
        e = np.exp(q @ k.T / np.sqrt(D)) * seen
        attended = drop(e / e.sum(-1, keepdims=True), keep) @ v
        return attended @ p[f"{part}.output_weights"] + p[f"{part}.output_bias"]

    def feed(a):
        inner = a @ p["feed_forward.inner_weights"] + p["feed_forward.inner_bias"]
        act = ACTIVATIONS[activation]
        if "feed_forward.gate_weights" in p:
            inner = act(a @ p["feed_forward.gate_weights"] + p["feed_forward.gate_bias"]) * inner
        else:
            inner = act(inner)
        return drop(inner, keeps.inner) @ p["feed_forward.outer_weights"] + p["feed_forward.outer_bias"]

    seen = 1 if source is None else np.tri(len(x))
    branches = {"attention": (lambda a: attend("attention", a, a, keeps.weights, seen), keeps.attended)}
    if source is not None:
        branches["cross"] = (lambda a: attend("cross", a, source, keeps.cross_weights, 1), keeps.crossed)
    branches["feed_forward"] = (feed, keeps.outer)
    for part, (f, keep) in branches.items():
        x = normed(x + drop(f(x), keep), part) if placement == "post" else x + drop(f(normed(x, part)), keep)
    return x


@pytest.mark.parametrize("placement", ["post", "pre"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gated", [False, True])
def test_an_encoder_layer_is_the_formula(rng, placement, activation, gated):
    p, how = drawn(encoder_shapes(D, 1, F, gated=gated)), {"placement": placement, "activation": activation}
    x = rng.normal(size=(3, D))
    found = encoder_layer(x, gathered(EncoderWeights, p), heads=1, **how)
    assert distance(found.out, by_hand(p, x, **how)) < 1e-14


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_a_decoder_layer_is_the_formula_with_dropout_of_every_kind(rng, placement):
    p, x, source = drawn(decoder_shapes(D, 1, F)), rng.normal(size=(3, D)), rng.normal(size=(4, D))
    shapes = [(1, 3, 3), (3, D), (1, 3, 4), (3, D), (3, F), (3, D)]
    keeps = Keeps(*[rng.random(shape) < 0.7 for shape in shapes])
    for dropped in (keeps, *[Keeps(**{name: keep}) for name, keep in keeps._asdict().items()], None):
        rate, dropped = (0.3, dropped) if dropped else (0.0, NO_DROPOUT)
        found = decoder_layer(
            x, source, gathered(DecoderWeights, p), heads=1, placement=placement, keeps=dropped,
            dropout_rate=rate,
        )  # fmt: skip
        flat = dropped._replace(
            **{n: k[0] for n, k in dropped._asdict().items() if "weights" in n and k is not None}
        )
        truth = by_hand(p, x, source, placement, keeps=flat, rate=rate)
        assert distance(found.out, truth) < 1e-14


def test_dropout_is_on_the_branches_and_not_on_the_sum(rng):
    """All but the inner layer dropped: what comes out is the stream; the inner one is divided by 1 - rate."""
    layer = Net(encoder_layer, placement="pre")
    (x,) = layer.inputs(rng)
    none = np.zeros((2, 3, D), bool)
    assert (layer(x, *layer.values, keeps=Keeps(attended=none, outer=none), dropout_rate=0.5).out == x).all()
    keep = rng.random((2, 3, F)) < 0.5
    weights = FeedForwardWeights(**drawn(feed_forward_shapes(D, F)))
    inner = np.maximum(x @ weights.inner_weights + weights.inner_bias, 0) * keep / 0.5
    found = feed_forward(x, weights, keep=keep, dropout_rate=0.5)
    assert distance(found, inner @ weights.outer_weights + weights.outer_bias) < 1e-15


# ---- derivatives ------------------------------------------------------------


def dropped(layer):
    rng = np.random.default_rng(5)
    sizes = {"weights": (2, H, 3, 3), "attended": (2, 3, D), "inner": (2, 3, F), "outer": (2, 3, D)}
    if layer.decodes:
        sizes |= {"cross_weights": (H, 3, 4), "crossed": (3, D)}
    return {"keeps": Keeps(**{n: rng.random(s) < 0.8 for n, s in sizes.items()}), "dropout_rate": 0.2}


@both
@layers
def test_its_backward_is_the_adjoint(rng, kind, params):
    """Of the whole layer, in every input and parameter; with lengths, and with dropout."""
    layer = net(kind, params)
    vanishing = layer.places(*[name for name in KEY_BIASES if name in layer.named])
    lengths = {"lengths": np.array([3, 2])} | ({"source_lengths": np.array([2, 4])} if layer.decodes else {})
    for more in ({}, {**dropped(layer), **lengths}):
        arrays = [*layer.inputs(rng), *layer.values]
        is_the_adjoint(lambda *a, more=more: layer(*a, **more).out, *arrays, vanishing=vanishing)


@both
def test_its_hessian_is_symmetric(rng, kind):
    layer = net(kind, LAYERS["pre, gelu"])
    hessian_is_symmetric(lambda *a: layer(*a).out, *layer.inputs(rng), *layer.values)


def test_a_stack_of_layers_is_a_composition_like_any_other(rng):
    """Two encoder layers and a decoder layer, from one mapping of parameters."""
    shapes = {f"{i}.{n}": s for i in range(2) for n, s in encoder_shapes(D, H, F).items()}
    shapes |= {f"d.{n}": s for n, s in decoder_shapes(D, H, F).items()}
    named = drawn(shapes)

    def run(source, x, *values):
        params = dict(zip(named, values))
        for i in range(2):
            source = encoder_layer(source, gathered(EncoderWeights, params, f"{i}."), heads=H).out
        return decoder_layer(x, source, gathered(DecoderWeights, params, "d."), heads=H).out

    places = tuple(2 + i for i, n in enumerate(named) if n.endswith("key_bias"))
    source, x = rng.normal(size=(2, 4, D)), rng.normal(size=(2, 3, D))
    is_the_adjoint(run, source, x, *named.values(), vanishing=places)


# ---- one sequence and another -----------------------------------------------


@both
@layers
def test_a_sequence_alone_is_the_sequence_in_a_batch_to_the_bit(rng, kind, params):
    layer = net(kind, params)
    arrays, lengths = layer.inputs(rng, batch=3), np.array([3, 0, 2])
    batch = outcome(layer, [*arrays, *layer.values], lengths=lengths)
    u = np.random.default_rng(1).normal(size=batch[0].shape)
    total = 0.0
    for j in range(3):
        one = slice(j, j + 1)
        out, *grads = outcome(layer, [*[x[one] for x in arrays], *layer.values], u[one], lengths=lengths[one])
        n = len(arrays)
        equal([out, *grads[:n]], [x[one] for x in batch[: 1 + n]])
        total = total + np.concatenate([g.ravel() for g in grads[n:]])
    near([total], [np.concatenate([g.ravel() for g in batch[1 + len(arrays) :]])])


@both
@layers
def test_padding_is_never_read_and_gets_nothing(rng, kind, params):
    layer, lengths, source_lengths = net(kind, params), np.array([3, 1, 0]), np.array([2, 0, 4])
    arrays = layer.inputs(rng, batch=3)
    more = {"lengths": lengths} | ({"source_lengths": source_lengths} if layer.decodes else {})
    spoilt = [
        np.where(np.arange(x.shape[1])[:, None] < n[:, None, None], x, NAN)
        for x, n in zip(arrays, (lengths, source_lengths))
    ]
    found = outcome(layer, [*spoilt, *layer.values], **more)
    equal(found, outcome(layer, [*arrays, *layer.values], **more))
    for j, n in enumerate(lengths):
        assert (found[0][j, n:] == 0).all() and (found[1][j, n:] == 0).all()
        if n:
            cut = [x[j : j + 1, : m[j]] for x, m in zip(arrays, (lengths, source_lengths))]
            near([found[0][j : j + 1, :n]], [layer(*cut, *layer.values).out], 1e-14)
    if layer.decodes:
        assert all((found[2][j, n:] == 0).all() for j, n in enumerate(source_lengths))
        crossed = layer(*spoilt, *layer.values, **more).cross_weights
        assert all((crossed[j, :, n:] == 0).all() for j, n in enumerate(lengths))
        assert all((crossed[j, :, :, n:] == 0).all() for j, n in enumerate(source_lengths))
        kept = rng.random((H, 3, 4)) < 0.5
        crossed = layer(*arrays, *layer.values, **more, cross={"keep": kept}).cross_weights
        assert (crossed[0, :, :, :2] > 0).tolist() == kept[..., :2].tolist()


@both
def test_edge_case_10_an_empty_source_and_sequences_of_length_one(rng, kind):
    layer = Net(kind)
    arrays = layer.inputs(rng, t=1, k=1)
    out, *grads = outcome(layer, [*arrays, *layer.values])
    assert out.shape == (2, 1, D) and all(np.isfinite(g).all() for g in grads)
    if layer.decodes:  # no source row: what attends to it adds its output bias and nothing else
        x, nothing = arrays[0], arrays[1][:, :0]
        found = outcome(layer, [x, nothing, *layer.values])
        equal([found[0]], [layer(x, 0 * arrays[1], *layer.values, source_lengths=np.array([0, 0])).out])
        gradient = dict(zip(layer.named, found[3:]))
        assert not gradient["cross.query_weights"].any() and gradient["cross.output_bias"].any()
        assert all(np.isfinite(g).all() for g in found)


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_the_future_never_changes_the_past_of_a_decoder(rng, placement):
    layer = Net(decoder_layer, placement=placement)
    x, source = layer.inputs(rng, t=5)
    here = layer(x, source, *layer.values)
    for cut in range(1, 5):
        later = np.where(np.arange(5)[:, None] < cut, x, rng.normal(size=x.shape))
        there = layer(later, source, *layer.values)
        equal([there.out[:, :cut], there.weights[:, :, :cut]], [here.out[:, :cut], here.weights[:, :, :cut]])
        assert distance(there.out[:, cut:], here.out[:, cut:]) > 1e-3
        u = np.where(np.arange(5)[:, None] < cut, rng.normal(size=x.shape), 0.0)
        dx = outcome(layer, [x, source, *layer.values], u)[1]
        assert (dx[:, cut:] == 0).all() and abs(dx[:, :cut]).min() > 0


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_turning_the_order_of_the_tokens_turns_that_of_the_outputs(rng, placement):
    layer, order = Net(encoder_layer, placement=placement), np.array([3, 0, 4, 1, 2])
    (x,) = layer.inputs(rng, t=5)
    near([layer(x[:, order], *layer.values).out], [layer(x, *layer.values).out[:, order]], 1e-14)
    layer = Net(decoder_layer, placement=placement)
    x, source = layer.inputs(rng, k=5)
    near([layer(x, source[:, order], *layer.values).out], [layer(x, source, *layer.values).out], 1e-14)


@both
@layers
def test_edge_case_4_chunks_with_a_cache_equal_the_whole(rng, kind, params):
    """Forward and every gradient, row by row and in unequal chunks; the source is projected once."""
    params = {**params, "causal": "bottom_right"}
    layer, lengths = net(kind, params), np.array([5, 2])
    arrays = layer.inputs(rng, t=5)

    def in_chunks(sizes):
        def run(x, *rest):
            source, values = rest[: layer.decodes], rest[layer.decodes :]
            parts, caches = [], {}
            for chunk in sa.split(x, sections=sizes, axis=1):
                found = layer(chunk, *source, *values, lengths=lengths, **caches)
                parts.append(found.out)
                caches = {"cache": found.cache}
                if layer.decodes:
                    caches["source_cache"], source = found.source, (None,)
            return sa.concat(*parts, axis=1)

        return run

    whole = outcome(layer, [*arrays, *layer.values], lengths=lengths)
    for sizes in ((1,) * 5, (3, 2), (0, 5)):
        near(outcome(in_chunks(sizes), [*arrays, *layer.values]), whole, 1e-13)


@both
def test_float32_stays_and_agrees(rng, kind):
    layer = Net(kind, placement="pre", activation="gelu")
    arrays = [*layer.inputs(rng), *layer.values]
    single = outcome(layer, [x.astype(np.float32) for x in arrays], lengths=np.array([3, 2]))
    assert all(y.dtype == np.float32 for y in single)
    near(single, outcome(layer, arrays, lengths=np.array([3, 2])), 1e-5)


@both
def test_it_runs_on_a_device_that_is_not_the_host_and_never_waits_for_one(rng, kind):
    from recorded_cupy import namespace, ndarray, no_reads

    layer = net(kind, LAYERS["pre, gelu"])
    arrays, lengths = [*layer.inputs(rng), *layer.values], np.array([3, 1])
    u = rng.normal(size=(2, 3, D))
    here = outcome(layer, arrays, u, lengths=lengths)
    with no_reads(), np.errstate(all="ignore"):
        bring = namespace.asarray
        there = outcome(layer, list(map(bring, arrays)), bring(u), lengths=bring(lengths))
    assert all(type(y) is ndarray for y in there)
    equal([y.host() for y in there], here)


# ---- errors -----------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "params, error, words",
    [
        ({"placement": "first"}, ValueError, "coder_layer: placement must be 'post' or 'pre', got 'first'"),
        ({"norm": "batch_norm"}, ValueError, "coder_layer: norm must be one of layer_norm.*got 'batch_norm'"),
        ({"activation": "tanh"}, ValueError, "activation must be one of relu, gelu, .* got 'tanh'"),
        ({"dropout_rate": 0.1}, ValueError, "coder_layer: dropout_rate 0.1 needs keeps, got none"),
        ({"lengths": np.ones(3, int)}, ValueError, "broadcast"),
        ({"maks": None}, TypeError, "maks"),
        ({"norm_params": {"eps": 0.0}}, ValueError, "eps must be positive"),
    ],
)
def test_wrong_calls_are_named(rng, kind, params, error, words):
    layer = Net(kind)
    arrays = [*layer.inputs(rng), *layer.values]
    with pytest.raises(error, match=words):
        layer(*arrays, **params)


def test_wrong_shapes_are_named(rng):
    weights = FeedForwardWeights(**drawn(feed_forward_shapes(D, F)))
    with pytest.raises(ValueError, match=r"feed_forward: d is both 3 and 4 in x .*, inner_weights"):
        feed_forward(rng.normal(size=(2, 3)), weights)
    with pytest.raises(ValueError, match="multi_head_attention: d is both 3 and 4 in query"):
        layer = Net(encoder_layer, placement="post")
        layer(rng.normal(size=(2, 2, 3)), *layer.values)


def test_a_norm_without_a_shift_has_none_and_one_with_another_name_is_refused():
    if "rms_norm" in NORMS:
        assert "attention_norm.shift" not in encoder_shapes(D, H, F, norm="rms_norm")
    assert "attention_norm.shift" not in encoder_shapes(D, H, F, bias=False)
    assert encoder_shapes(D, H, F)["attention_norm.shift"] == (D,)


# ---- PyTorch ----------------------------------------------------------------


def their_names(decodes):
    """Our name -> how theirs is made of it: transposed, and the three projections one above the other."""
    parts = {"attention": "self_attn"} | ({"cross": "multihead_attn"} if decodes else {})
    names = {}
    for ours, theirs in parts.items():
        for i, role in enumerate(("query", "key", "value")):
            names[f"{ours}.{role}_weights"] = (f"{theirs}.in_proj_weight", i)
            names[f"{ours}.{role}_bias"] = (f"{theirs}.in_proj_bias", i)
        names[f"{ours}.output_weights"] = (f"{theirs}.out_proj.weight", None)
        names[f"{ours}.output_bias"] = (f"{theirs}.out_proj.bias", None)
    norms = ("attention", "cross", "feed_forward") if decodes else ("attention", "feed_forward")
    for i, part in enumerate(norms, start=1):
        names[f"{part}_norm.scale"] = (f"norm{i}.weight", None)
        names[f"{part}_norm.shift"] = (f"norm{i}.bias", None)
    for i, part in enumerate(("inner", "outer"), start=1):
        names[f"feed_forward.{part}_weights"] = (f"linear{i}.weight", None)
        names[f"feed_forward.{part}_bias"] = (f"linear{i}.bias", None)
    return names


@pytest.mark.peers
@both
@pytest.mark.parametrize("placement", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("padded", [False, True])
def test_it_is_pytorchs_layer_forward_and_every_gradient(rng, kind, placement, activation, padded):
    torch = pytest.importorskip("torch")
    layer = Net(kind, placement=placement, activation=activation)
    theirs = torch.nn.TransformerDecoderLayer if layer.decodes else torch.nn.TransformerEncoderLayer
    theirs = theirs(
        D, H, F, dropout=0.0, activation=activation, batch_first=True, dtype=torch.float64,
        norm_first=placement == "pre",
    )  # fmt: skip
    names, state = their_names(layer.decodes), theirs.state_dict()
    with torch.no_grad():
        for name, value in layer.named.items():
            target, third = names[name]
            whole = state[target] if third is None else state[target].chunk(3)[third]
            whole.copy_(torch.from_numpy(value.T.copy()))
    arrays = layer.inputs(rng)
    leaves = [torch.tensor(x, requires_grad=True) for x in arrays]
    ours, given = {}, {}
    if layer.decodes:
        given = {"tgt_mask": torch.triu(torch.ones(3, 3, dtype=torch.bool), 1)}  # True drops
        if padded:
            ours = {"source_lengths": np.array([4, 2])}
            given["memory_key_padding_mask"] = torch.tensor(np.arange(4) >= ours["source_lengths"][:, None])
    elif padded:
        ours = {"lengths": np.array([3, 2])}
        given = {"src_key_padding_mask": torch.tensor(np.arange(3) >= ours["lengths"][:, None])}
    out = theirs(*leaves, **given)
    u = rng.normal(size=out.shape)
    real = np.ones((2, 3, 1), bool)
    if "lengths" in ours:  # theirs computes something in padded rows too
        real = (np.arange(3) < ours["lengths"][:, None])[..., None]
    (torch.tensor(u * real) * out).sum().backward()
    found, *grads = outcome(layer, [*arrays, *layer.values], u, **ours)
    assert distance(found, np.where(real, out.detach().numpy(), 0)) < 1e-12
    for a, b in zip(grads, leaves):
        assert distance(a, b.grad.numpy()) < 1e-12
    theirs = dict(theirs.named_parameters())
    for name, gradient in zip(layer.named, grads[len(arrays) :], strict=True):
        target, third = names[name]
        whole = theirs[target].grad if third is None else theirs[target].grad.chunk(3)[third]
        if name in KEY_BIASES:  # zero but for rounding
            assert abs(gradient - whole.numpy()).max() < 1e-12
        else:
            assert distance(gradient, whole.numpy().T) < 1e-12, name
