"""Adapter of ixaxaar/pytorch-dnc: a whole step."""

import torch
from verdicts_adapters import Row, module_of

import gradcheck


def one_write_head(case):
    return case.inputs[3].shape[1] == 1


def turned(named):
    """As PyTorch has its weights: (out, in)."""
    return {name: value.mT if value.ndim > 1 else value for name, value in named.items()}


def pytorch_dnc_step(folder):
    module = module_of(folder, "dnc/dnc.py")
    kept = "memory", "usage_vector", "link_matrix", "precedence", "write_weights", "read_weights"

    def step(
        x, memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell,
        **weights,
    ):  # fmt: skip
        (_, readers, width), (batch, rows) = reads.shape, usage.shape
        sizes = {"nr_cells": rows, "read_heads": readers, "cell_size": width, "num_hidden_layers": 1}
        dnc = module.DNC(x.shape[1], hidden.shape[1], **sizes, independent_linears=False)
        lstm = gradcheck.torch_parameters("lstm", weights)
        named = {f"lstm_layer_0.{name}": value for name, value in lstm.items()} | turned(
            {
                "rnn_layer_memory_shared.interface_weights.weight": weights["interface_weights"],
                "rnn_layer_memory_shared.interface_weights.bias": weights["interface_bias"],
                "output.weight": torch.cat([weights["output_weights"], weights["read_output_weights"]]),
                "output.bias": weights["output_bias"],
            }
        )
        state = memory, usage, link, precedence, write_weightings, read_weightings
        given = x[:, None], ([(hidden[None], cell[None])], [dict(zip(kept, state))], reads.flatten(1))
        outputs, (controller, memories, read) = torch.func.functional_call(dnc, named, given)
        after = [memories[0][name] for name in kept]
        # Outputs are (t, b, o) where inputs are (b, t, i).
        return outputs[0], *after, read.view(batch, readers, width), *[part[0] for part in controller[0]]

    return [Row("`DNC`, one step", step, "dnc_cell", one_write_head)]
