"""Adapters of the Annotated Transformer."""

import copy
import math

import torch
from torch.nn import functional
from verdicts_adapters import Row, in_one_batch, taken
from verdicts_attention import bound


def annotated_transformer(folder):
    names = ["attention", "LayerNorm", "LabelSmoothing", "clones", "MultiHeadedAttention"]
    known = {"torch": torch, "math": math, "copy": copy, "nn": torch.nn}
    attend, norm, smoothing_of, _, heads_of = taken(folder / "the_annotated_transformer.py", names, known)

    def attention(query, key, value, keep=None):
        return bound(lambda q, k, v, keep: attend(q, k, v, keep))(query, key, value, keep)

    def layer_norm(x, scale, shift):
        layer = norm(x.shape[-1])
        return torch.func.functional_call(layer, {"a_2": scale, "b_2": shift}, (x,))

    def loss(logits, classes, *, smoothing=0.1, padding=None):
        criterion = smoothing_of(logits.shape[-1], padding, smoothing)
        one = lambda x, target: criterion(functional.log_softmax(x, dim=-1)[None], target[None])
        each = lambda x, targets: torch.stack([one(*pair) for pair in zip(x, targets, strict=True)])
        return in_one_batch(each, 1, 0)(logits, classes)

    def several_heads(query, key, value, *, heads, keep=None, **weights):
        module = heads_of(heads, query.shape[-1], dropout=0.0)
        named = {}
        for place, part in enumerate(("query", "key", "value", "output")):
            named[f"linears.{place}.weight"] = weights[f"{part}_weights"].mT
            named[f"linears.{place}.bias"] = weights[f"{part}_bias"]
        out = torch.func.functional_call(
            module, named, (query, key, value, None if keep is None else keep[None])
        )
        return out, module.attn

    for_all_rows = lambda case: all(x is not None and x.ndim == 1 for x in case.inputs[1:])
    width = lambda case: case.inputs[0].shape[-1]
    usual = lambda case: for_all_rows(case) and width(case) > 1
    theirs = {"params": {"spread": "others_but_padding", "divergence": True}}
    return [
        Row("`attention`", attention, "softmax_attention"),
        Row("`MultiHeadedAttention`", several_heads, "multi_head_attention", has_biases),
        Row("`LayerNorm`", layer_norm, "layer_norm", usual),
        Row("`LayerNorm`, one feature", layer_norm, "layer_norm", lambda case: width(case) == 1),
        Row("`LabelSmoothing`", loss, "smoothed_cross_entropy", has_padding, theirs),
    ]


def has_padding(case):
    """Whether the padding is one of more than two classes, and there are rows."""
    logits, classes = case.inputs[:2]
    c = logits.shape[-1]
    return c > 2 and classes.size and classes.max() < c and case.params.get("padding", -1) in range(c)


def has_biases(case):
    return case.inputs[7] is not None and case.inputs[0].shape[-1] == case.inputs[1].shape[-1]
