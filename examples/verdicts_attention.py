"""Adapters of flash-attention's reference, and what all of attention share."""

import math

import torch
from verdicts_adapters import Row, in_one_batch, taken


def bound(function, *optional):
    """``function(query, key, value, *optional)`` with one batch axis, for any; the absent ones left out."""

    def called(query, key, value, *given):
        there = [x for x in given if x is not None]
        places = [x is not None for x in given]

        def inner(query, key, value, *rest):
            rest = iter(rest)
            return function(query, key, value, *[next(rest) if place else None for place in places])

        return in_one_batch(inner, *[2] * (3 + len(there)))(query, key, value, *there)

    return called


def only(**allowed):
    """Cases whose params are among those allowed, and that have no more than one of bias and keep."""

    def fits(case):
        both = case.inputs[3] is not None and case.inputs[4] is not None
        known = all(value in allowed.get(name, (value,)) for name, value in case.params.items())
        return known and not both

    return fits


def flash_attention(folder):
    from einops import rearrange, repeat  # what the reference is written in

    known = {"torch": torch, "math": math, "rearrange": rearrange, "repeat": repeat}
    names = ["construct_local_mask", "attention_ref"]
    _, reference = taken(folder / "tests/test_flash_attn.py", names, known)

    def attention(
        query,
        key,
        value,
        bias=None,
        dropout_keep=None,
        *,
        causal=None,
        window=None,
        soft_cap=None,
        dropout_rate=0.0,
        upcast=False,
    ):
        sides = window if isinstance(window, tuple) else (window, window)

        def one_head(q, k, v, bias, dropout_keep):
            extra = [None if x is None else x[:, None] for x in (bias, dropout_keep)]
            out, weights = reference(
                q[:, :, None],
                k[:, :, None],
                v[:, :, None],
                attn_bias=extra[0],
                dropout_p=dropout_rate,
                dropout_mask=extra[1],
                causal=causal is not None,
                softcap=soft_cap or 0.0,
                upcast=upcast,
                window_size=tuple(-1 if side is None else side for side in sides),
            )
            return out[:, :, 0], weights[:, 0]

        return bound(one_head)(query, key, value, bias, dropout_keep)

    def upcast(query, key, value, bias=None, *, causal=None, window=None, soft_cap=None):
        return attention(
            query, key, value, bias, causal=causal, window=window, soft_cap=soft_cap, upcast=True
        )

    theirs = only(causal=(None, "bottom_right"))
    on_the_left = lambda case: theirs(case) and case.params.get("window") == (0, None)
    fits = lambda case: theirs(case) and not on_the_left(case)
    return [
        Row("`attention_ref(upcast=False)`", attention, "softmax_attention", fits),
        Row("`attention_ref(upcast=False)`, left window alone", attention, "softmax_attention", on_the_left),
        Row("`attention_ref`", upcast, "softmax_attention", fits, dtypes=("float64",)),
    ]
