"""Adapters of the Annotated Transformer."""

import math

import torch
from torch.nn import functional
from verdicts_adapters import Row, in_one_batch, taken
from verdicts_attention import bound, not_too_small


def annotated_transformer(folder):
    names = ["attention", "LayerNorm", "LabelSmoothing"]
    known = {"torch": torch, "math": math, "nn": torch.nn}
    attend, norm, smoothing_of = taken(folder / "the_annotated_transformer.py", names, known)

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

    for_all_rows = lambda case: all(x is not None and x.ndim == 1 for x in case.inputs[1:])
    width = lambda case: case.inputs[0].shape[-1]
    # The mean of three 0.1 is not 0.1: what is left of that, over eps, is roundoff and no deviation.
    usual = lambda case: for_all_rows(case) and width(case) > 1 and case.label != "constant row, torch"
    theirs = {"params": {"spread": "others_but_padding", "divergence": True}}
    return [
        Row("`attention`", attention, "softmax_attention", not_too_small),
        Row("`LayerNorm`", layer_norm, "layer_norm", usual),
        Row("`LayerNorm`, one feature", layer_norm, "layer_norm", lambda case: width(case) == 1),
        Row("`LabelSmoothing`", loss, "smoothed_cross_entropy", has_padding, theirs),
    ]


def has_padding(case):
    """Whether the padding is one of more than two classes, and there are rows."""
    logits, classes = case.inputs[:2]
    c = logits.shape[-1]
    return c > 2 and classes.size and classes.max() < c and case.params.get("padding", -1) in range(c)
