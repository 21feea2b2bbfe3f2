"""Multi-head attention, as ``nn/multi_head_attention.py`` has it."""

from scratchattn.nn.multi_head_attention import MultiHeadWeights, multi_head_attention, multi_head_shapes
from scratchattn.op import Case, Variant

from .taped import REQUIRED, cell, drawn

_SOURCE = "nn/multi_head_attention.py; Vaswani et al., arXiv:1706.03762, section 3.2.2"
_GROUPED = "Ainslie et al., arXiv:2305.13245"


def _attend(query, key, value, *rest, heads, causal=None, scale=None):
    *weights, keep = rest
    named = MultiHeadWeights(*weights)
    found = multi_head_attention(query, key, value, named, heads=heads, keep=keep, causal=causal, scale=scale)
    return found.out, found.weights


def _cases(rng):
    def case(label, batch, queries, keys, d, e, heads, keep=None, biases=True, sharp=1.0, **params):
        shapes = multi_head_shapes(d, heads, key_features=e, value_features=e, bias=biases)
        weights = drawn(rng, shapes)
        weights["query_weights"] = sharp * weights["query_weights"]
        arrays = [rng.normal(size=(*batch, n, f)) for n, f in ((queries, d), (keys, e), (keys, e))]
        given = [weights.get(name) for name in MultiHeadWeights._fields]
        return Case(label, (*arrays, *given, keep), {"heads": heads, **params})

    yield case("one head", (2,), 3, 3, 4, 4, 1)
    yield case("several heads", (2,), 3, 5, 6, 6, 3)
    yield case("no batch, no biases", (), 2, 4, 4, 4, 2, biases=False)
    yield case("keys of another width", (1,), 3, 4, 4, 3, 2)
    yield case("sharp", (1,), 3, 4, 4, 4, 2, sharp=12.0)
    keep = rng.uniform(size=(4, 4)) < 0.6
    keep[range(4), range(4)] = True
    yield case("some keys masked", (1,), 4, 4, 4, 4, 2, keep=keep)
    yield case("causal", (2,), 4, 4, 4, 4, 2, causal="bottom_right")


CELLS = (
    cell(
        "multi_head_attention",
        "query(q,d), key(k,e), value(k,f), query_weights(d,a), key_weights(e,b), value_weights(f,c), "
        "output_weights(u,o), query_bias?(a), key_bias?(b), value_bias?(c), output_bias?(o), keep?!(q,k) "
        "-> out(q,o), weights(heads,q,k)",
        _attend,
        _cases,
        params={"heads": REQUIRED, "causal": None, "scale": None},
        variants=[
            Variant("t5", {"scale": 1.0}, "google-research/text-to-text-transfer-transformer"),
            Variant("causal", {"causal": "bottom_right"}, _SOURCE),
        ],
        passive={"keep": "boolean"},
        source=f"{_SOURCE}; groups: {_GROUPED}",
    ),
)
