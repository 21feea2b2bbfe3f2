"""Our weights as the parameters of PyTorch's own modules: other names, turned, gates in another order.

    weights = torch_parameters("transformer_block", {"attention_query_weights": ..., ...})
    out = torch.func.functional_call(torch.nn.TransformerEncoderLayer(d, heads), weights, (x,))

Nothing is computed, only turned and put together, so gradients come back to our weights.
"""

_ORDER = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2)}  # PyTorch's i f g o, r z n among our i f o c, r z n


def torch_parameters(name, weights):
    """The parameters, by PyTorch's names, that a module of torch.nn must have to be the cell ``name``.

    ``name`` is multi_head_attention (MultiheadAttention), transformer_block (TransformerEncoderLayer),
    transformer_decoder_block (TransformerDecoderLayer), lstm, gru, lstm_cell or gru_cell; ``weights`` maps
    our names to tensors.  What is not there, a bias, is not returned either.  ValueError for another name.
    """
    if name == "multi_head_attention":
        return _attention(weights)
    if name in ("transformer_block", "transformer_decoder_block"):
        return _layer(weights)
    kind = name.removesuffix("_cell")
    if kind in _ORDER:
        return _recurrent(weights, _ORDER[kind], "" if name.endswith("_cell") else "_l0")
    known = (
        "multi_head_attention, transformer_block, transformer_decoder_block, lstm, gru, lstm_cell, gru_cell"
    )
    raise ValueError(f"torch_parameters: name must be one of {known}, got {name!r}")


def _attention(weights, ours="", theirs=""):
    import torch

    parts = ("query", "key", "value")
    turned = [weights[f"{ours}{part}_weights"].mT for part in parts]
    if len({w.shape[1] for w in turned}) == 1:
        found = {"in_proj_weight": torch.cat(turned)}
    else:
        found = {f"{part[0]}_proj_weight": w for part, w in zip(parts, turned)}
    found["out_proj.weight"] = weights[f"{ours}output_weights"].mT
    if f"{ours}query_bias" in weights:
        found["in_proj_bias"] = torch.cat([weights[f"{ours}{part}_bias"] for part in parts])
        found["out_proj.bias"] = weights[f"{ours}output_bias"]
    return {theirs + name: w for name, w in found.items()}


def _layer(weights):
    decoder = "cross_query_weights" in weights
    found = _attention(weights, "attention_", "self_attn.")
    norms = ["attention", *(["cross"] if decoder else []), "feed_forward"]
    if decoder:
        found |= _attention(weights, "cross_", "multihead_attn.")
    for i, part in enumerate(("inner", "outer"), 1):
        found[f"linear{i}.weight"] = weights[f"feed_forward_{part}_weights"].mT
        found[f"linear{i}.bias"] = weights.get(f"feed_forward_{part}_bias")
    for i, part in enumerate(norms, 1):
        found[f"norm{i}.weight"] = weights[f"{part}_norm_scale"]
        found[f"norm{i}.bias"] = weights.get(f"{part}_norm_shift")
    return {name: w for name, w in found.items() if w is not None}


def _recurrent(weights, order, ending):
    import torch

    def reordered(w):
        gates = w.chunk(len(order), -1)
        return torch.cat([gates[i] for i in order], -1)

    bias = reordered(weights["bias"])
    beside = weights.get("hidden_bias")
    return {
        f"weight_ih{ending}": reordered(weights["input_weights"]).mT,
        f"weight_hh{ending}": reordered(weights["hidden_weights"]).mT,
        f"bias_ih{ending}": bias,
        f"bias_hh{ending}": torch.zeros_like(bias) if beside is None else reordered(beside),
    }
