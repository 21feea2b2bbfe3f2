"""Adapters of nanoGPT."""

from dataclasses import replace
from types import SimpleNamespace

import torch
from verdicts_adapters import Row, in_one_batch, module_of

from scratchattn import REGISTRY
from scratchattn.op import Case

PLACES = {
    "attn.c_proj": "attention_output",
    "mlp.c_fc": "feed_forward_inner",
    "mlp.c_proj": "feed_forward_outer",
}


def itself(rng):
    """As many keys as queries and as wide values."""
    for shape in ((1, 1), (3, 2), (2, 5, 3), (2, 2, 4, 2)):
        yield Case(f"to itself, {shape}", (*rng.normal(size=(3, *shape)), None, None, None))


SELF = replace(REGISTRY["softmax_attention"], cases=itself)


def nano_gpt(folder):
    model = module_of(folder, "model.py")

    def attention(by_hand):
        """One head, between its two projections."""

        def called(query, key, value, *, causal):
            t, d = query.shape[-2:]
            config = SimpleNamespace(n_embd=d, n_head=1, bias=False, dropout=0.0, block_size=t)
            layer = model.CausalSelfAttention(config)
            if by_hand:  # what it does where PyTorch has no attention of its own
                layer.flash, layer.bias = False, torch.tril(torch.ones(t, t)).view(1, 1, t, t)
            layer.c_proj = torch.nn.Identity()

            def inner(*projected):
                vars(layer)["c_attn"] = lambda _: torch.cat(projected, dim=2)
                return layer(projected[0])

            return in_one_batch(inner, 2, 2, 2)(query, key, value)

        return called

    def layer_norm(x, scale, shift=None):
        layer = model.LayerNorm(x.shape[-1], bias=shift is not None)
        given = {"weight": scale} | ({} if shift is None else {"bias": shift})
        return torch.func.functional_call(layer, given, (x,))

    def gelu(a):
        config = SimpleNamespace(n_embd=1, bias=False, dropout=0.0)
        return model.MLP(config).gelu(a)

    def block(x, *, heads, **weights):
        """A whole layer; biases that are not there are none of its own either."""
        config = {"n_embd": x.shape[-1], "n_head": heads, "bias": "attention_query_bias" in weights}
        layer = model.Block(SimpleNamespace(**config, dropout=0.0, block_size=x.shape[-2]))
        named = {}
        for kind, ending in (("weight", "weights"), ("bias", "bias")):
            if f"attention_query_{ending}" in weights:
                parts = [weights[f"attention_{part}_{ending}"] for part in ("query", "key", "value")]
                named[f"attn.c_attn.{kind}"] = torch.cat(parts, -1)
                for place, ours in PLACES.items():
                    named[f"{place}.{kind}"] = weights[f"{ours}_{ending}"]
        named = {name: w.mT if w.ndim > 1 else w for name, w in named.items()}
        for place, ours in (("ln_1", "attention"), ("ln_2", "feed_forward")):
            for kind, ending in (("weight", "scale"), ("bias", "shift")):
                if f"{ours}_norm_{ending}" in weights:
                    named[f"{place}.{kind}"] = weights[f"{ours}_norm_{ending}"]
        out = torch.func.functional_call(layer, named, (x if x.ndim > 2 else x[None],))
        return out.reshape(x.shape)

    theirs = {"params": {"causal": "top_left"}}
    like = {"params": {"causal": "bottom_right", "placement": "pre", "activation": "gelu"}}
    return [
        Row("`CausalSelfAttention`, by PyTorch's", attention(False), SELF, options=theirs),
        Row("`CausalSelfAttention`, by hand", attention(True), SELF, options=theirs),
        Row("`LayerNorm`", layer_norm, "layer_norm", for_all_rows),
        Row("`MLP.gelu`", gelu, "gelu", options={"params": {"form": "erf"}}),
        Row("`Block`", block, "transformer_block", options=like),
    ]


def for_all_rows(case):
    """One scale, and one shift if any, for all rows."""
    return case.inputs[1] is not None and all(x is None or x.ndim == 1 for x in case.inputs[1:])
