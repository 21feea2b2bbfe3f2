"""Adapters of PyTorch's own functions."""

from dataclasses import replace

from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from verdicts_adapters import Row
from verdicts_attention import bound, only

from scratchattn import REGISTRY
from scratchattn.op import Case

ATTENTION, NORM = REGISTRY["softmax_attention"], REGISTRY["layer_norm"]


def many_keys(rng):
    query, key, value = rng.normal(size=(3, 64, 8))
    yield Case("64 keys, wide scores", (8 * query, key, value, None, None, None))


def far_from_zero(rng):
    yield Case(
        "a thousand, more or less 0.01", (1000 + 0.01 * rng.normal(size=(2, 8)), *rng.normal(size=(2, 8)))
    )


MANY = replace(ATTENTION, cases=many_keys)
FAR = replace(NORM, cases=far_from_zero)


def pytorch(folder=None):
    def attention(backend):
        def called(query, key, value, bias=None, keep=None, *, scale=None, causal=None):
            def one_head(q, k, v, mask):
                mask = None if mask is None else mask[:, None]
                q, k, v = (x[:, None] for x in (q, k, v))
                rest = {"attn_mask": mask, "scale": scale, "is_causal": causal is not None}
                with sdpa_kernel(backend):
                    return functional.scaled_dot_product_attention(q, k, v, **rest)[:, 0]

            return bound(one_head)(query, key, value, keep if bias is None else bias)

        return called

    def layer_norm(x, scale=None, shift=None):
        return functional.layer_norm(x, x.shape[-1:], scale, shift)

    def score(query, key):
        return functional.cosine_similarity(query[..., :, None, :], key[..., None, :, :], dim=-1)

    def addressing(key, memory, strength):
        return functional.softmax(strength[..., None] * score(key, memory), dim=-1)

    for_rows = lambda case: all(x is None or x.ndim == 1 for x in case.inputs[1:])
    one_mask = only(causal=(None, "top_left"))
    fits = lambda case: one_mask(case) and not (case.params.get("causal") and case.inputs[4] is not None)
    alike = lambda case: fits(case) and case.inputs[0].shape[-1] == case.inputs[2].shape[-1]
    no_bias = lambda case: alike(case) and case.inputs[3] is None
    name = "`scaled_dot_product_attention`"
    math, flash = attention(SDPBackend.MATH), attention(SDPBackend.FLASH_ATTENTION)
    return [
        Row(f"{name}, MATH", math, "softmax_attention", fits),
        Row(f"{name}, MATH, 64 keys", math, MANY, options={"seeds": 2}),
        Row(f"{name}, FLASH", flash, "softmax_attention", no_bias),
        Row(f"{name}, FLASH, 64 keys", flash, MANY, options={"seeds": 2}),
        Row("`layer_norm`", layer_norm, "layer_norm", for_rows),
        Row("`layer_norm`, far from zero", layer_norm, FAR),
        Row("`cosine_similarity`", score, "attention_score", options={"params": {"form": "cosine"}}),
        Row("`softmax(strength * cosine_similarity)`", addressing, "cosine_addressing"),
    ]
