"""The layers of a Transformer, as ``nn/transformer_block.py`` has them.

Weights have the names of ``encoder_shapes`` and ``decoder_shapes`` with "_" for ".", as in
``attention_query_weights``, ``feed_forward_norm_scale``.
"""

from scratchattn.nn.transformer_block import (
    DecoderWeights,
    EncoderWeights,
    decoder_layer,
    decoder_shapes,
    encoder_layer,
    encoder_shapes,
    gathered,
)
from scratchattn.op import REGISTRY, Case, Variant

from .taped import REQUIRED, cell, drawn, inputs_of

_SOURCE = "nn/transformer_block.py; Vaswani et al., arXiv:1706.03762, section 3"
_PARAMS = {
    "heads": REQUIRED,
    "causal": None,
    "placement": "post",
    "activation": "relu",
    "norm": "layer_norm",
    "eps": 1e-5,
}
_FEATURES, _INNER = 6, 5
_CLEAR, _MARGIN = 0.15, 0.03  # of the kink of a ReLU all of its inputs are clear; what inputs may then move
_LETTERS = {
    "attention": {"query": "d,a", "key": "d,b", "value": "d,c", "output": "p,d"},
    "cross": {"query": "d,g", "key": "e,h", "value": "e,i", "output": "r,d"},
    "feed_forward": {"inner": "d,f", "outer": "f,d"},
}


def _names(shapes_of):
    """Of all weights, first those that must be there: biases may be None, and what shifts a norm."""
    return sorted(shapes_of(_FEATURES, 2, _INNER), key=_may_be_none)


def _may_be_none(name):
    return not name.endswith(("_weights", ".scale"))


def _in_signature(name):
    part, _, field = name.partition(".")
    letters = _LETTERS.get(part, {}).get(field.partition("_")[0], "d")
    letters = letters if field.endswith("_weights") else letters[-1]
    return f"{name.replace('.', '_')}{'?' * _may_be_none(name)}({letters})"


def _layer(kind, names, layer, streams):
    """The composition of a layer of ``streams`` inputs, whose weights have these ``names``."""

    def composition(*inputs, eps, **how):
        *weights, keep = inputs[streams:]
        there = {name: w for name, w in zip(names, weights, strict=True) if w is not None}
        given = gathered(kind, there)
        return (layer(*inputs[:streams], given, keep=keep, norm_params={"eps": eps}, **how).out,)

    return composition


def _cases(composition, shapes_of, names, streams):
    def cases(rng):
        def case(label, batch, rows, heads, keep=None, bias=True, **params):
            params = {"heads": heads, **params}
            lengths = (rows, rows + 1)[:streams]
            while True:
                weights = drawn(rng, shapes_of(_FEATURES, heads, _INNER, bias=bias))
                _steady(rng, weights)
                given = [weights.get(name) for name in names]
                arrays = [rng.normal(size=(*batch, n, _FEATURES)) for n in lengths]
                inputs = (*arrays, *given, keep)
                if all(_clear(composition, inputs, params, placement) for placement in ("post", "pre")):
                    return Case(label, inputs, params, margin=_MARGIN)

        yield case("one head", (2,), 3, 1)
        yield case("two heads", (1,), 4, 2)
        yield case("no batch, no biases", (), 3, 2, bias=False)
        keep = rng.uniform(size=(3, 3)) < 0.6
        keep[range(3), range(3)] = True
        yield case("some keys masked", (2,), 3, 2, keep=keep)
        yield case("causal", (1,), 4, 2, causal="bottom_right")

    return cases


def _steady(rng, weights):
    """Scales about one, and an inner layer most of whose units are well on or well off."""
    for name, w in weights.items():
        if name.endswith((".scale", ".shift")):
            weights[name] = float(name.endswith(".scale")) + 0.2 * rng.normal(size=w.shape)
    weights["feed_forward.inner_weights"] = 0.5 * weights["feed_forward.inner_weights"]
    if "feed_forward.inner_bias" in weights:
        weights["feed_forward.inner_bias"] = rng.choice([-1.0, 1.0], size=_INNER)


def _clear(composition, inputs, params, placement):
    how = {**_PARAMS, **params, "placement": placement}
    return all(abs(z).min() > _CLEAR for z in inputs_of(REGISTRY["relu"], composition, inputs, how))


def _variants():
    yield Variant("pre", {"placement": "pre"}, "Xiong et al., arXiv:2002.04745; norm_first=True in torch")
    for activation, source in (("gelu", "torch"), ("gelu_tanh", "google-research/bert")):
        for placement in ("post", "pre"):
            told = {"activation": activation, "placement": placement}
            yield Variant(f"{placement}, {activation}", told, source)
    for eps in (1e-6, 1e-12):
        yield Variant(f"eps={eps:g}", {"eps": eps}, "tensor2tensor, BERT: see layer_norm")
    bert = {"activation": "gelu_tanh", "eps": 1e-12}
    yield Variant("bert", bert, "google-research/bert modeling.py")
    gpt = {"activation": "gelu_tanh", "placement": "pre", "causal": "bottom_right"}
    yield Variant("gpt_2", gpt, "openai/gpt-2 src/model.py")


def _made(name, kind, layer, shapes_of, streams, **params):
    names = _names(shapes_of)
    composition = _layer(kind, names, layer, len(streams))
    return cell(
        name,
        f"{', '.join([*streams, *map(_in_signature, names)])}, keep?!(t,t) -> out(t,d)",
        composition,
        _cases(composition, shapes_of, names, len(streams)),
        params={**_PARAMS, **params},
        variants=_variants(),
        passive={"keep": "boolean"},
        source=_SOURCE,
    )


CELLS = (
    _made("transformer_block", EncoderWeights, encoder_layer, encoder_shapes, ("x(t,d)",)),
    _made(
        "transformer_decoder_block", DecoderWeights, decoder_layer, decoder_shapes, ("x(t,d)", "source(k,e)")
    ),
)
