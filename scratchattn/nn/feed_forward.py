"""A feed-forward network of one inner layer, each row on its own: the other half of a Transformer's layer.

    plain             act(x W_1 + b_1) W_2 + b_2
    gated             (act(x W_g + b_g) * (x W_1 + b_1)) W_2 + b_2

Conventions
-----------
``activation``: "relu" (Vaswani et al.), "gelu" (BERT) and "gelu_tanh" (GPT-2; the two differ by up to 5e-4),
"silu" (gated: SwiGLU, as in Llama and PaLM), "sigmoid" (gated: GLU).  Gated is what has gate_weights; the
activation is on the gate's side.

Source: Vaswani et al., "Attention is all you need", arXiv:1706.03762, section 3.3; gated: Shazeer, "GLU
variants improve Transformer", arXiv:2002.05202.
"""

from typing import Any, NamedTuple

from ..ops.activations import gelu, relu, sigmoid
from ..ops.dropout import dropout
from ..signature import Signature
from .multi_head_attention import affine

ACTIVATIONS = {
    "relu": relu,
    "gelu": gelu,
    "gelu_tanh": lambda a: gelu(a, form="tanh"),
    "silu": lambda a: a * sigmoid(a),
    "sigmoid": sigmoid,
}


class FeedForwardWeights(NamedTuple):
    inner_weights: Any  # (d, f)
    outer_weights: Any  # (f, o)
    inner_bias: Any = None  # (f)
    outer_bias: Any = None  # (o)
    gate_weights: Any = None  # (d, f)
    gate_bias: Any = None  # (f)


_SIGNATURE = Signature(
    "feed_forward",
    "x(t,d), inner_weights(d,f), outer_weights(f,o), inner_bias?(f), outer_bias?(o), gate_weights?(d,f), "
    "gate_bias?(f) -> out(t,o)",
    {},
    None,
)


def feed_forward_shapes(features, inner, *, outputs=None, gated=False, bias=True):
    """Parameter shapes of ``feed_forward``."""
    outputs = features if outputs is None else outputs
    shapes = {"inner_weights": (features, inner), "outer_weights": (inner, outputs)}
    if gated:
        shapes["gate_weights"] = (features, inner)
    return shapes | {name.replace("weights", "bias"): shape[1:] for name, shape in shapes.items() if bias}


def feed_forward(x, weights, *, activation="relu", keep=None, dropout_rate=0.0):
    """Each row on its own: x (..., t, d), FeedForwardWeights -> (..., t, o); ``keep`` (..., t, f)."""
    _SIGNATURE.check((x, *weights), {})
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"feed_forward: activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}"
        )
    inner = affine(x, weights.inner_weights, weights.inner_bias)
    if weights.gate_weights is None:
        inner = ACTIVATIONS[activation](inner)
    else:
        inner = ACTIVATIONS[activation](affine(x, weights.gate_weights, weights.gate_bias)) * inner
    return affine(dropped(inner, keep, dropout_rate), weights.outer_weights, weights.outer_bias)


def dropped(x, keep, rate):
    """Dropout, where there is an array that says of what."""
    return x if keep is None else dropout(x, keep, rate=rate)
