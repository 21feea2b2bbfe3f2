"""Adapter of loudinthecloud/pytorch-ntm: a whole step."""

from functools import wraps
from types import SimpleNamespace

import torch
from verdicts_adapters import Row, module_of, replaced

import gradcheck
from scratchattn.nn.ntm_cell import head_sizes


def ntm_step(folder):
    module, memories, heads, controllers = (
        module_of(folder, f"ntm/{name}.py") for name in ("ntm", "memory", "head", "controller")
    )

    def model(inputs, readers, writers, rows, width, units, outputs):
        """Theirs, with its heads in the order of ntm/aio.py: a read head, a write head, and so on."""
        memory = memories.NTMMemory(rows, width)
        order = sorted(range(readers + writers), key=lambda h: (h, 0) if h < readers else (h - readers, 1))
        made = [heads.NTMReadHead if h < readers else heads.NTMWriteHead for h in order]
        listed = torch.nn.ModuleList(kind(memory, units) for kind in made)
        controller = controllers.LSTMController(inputs + readers * width, units, 1)
        return module.NTM(inputs, outputs, controller, memory, listed), order

    def step(x, reads, memory, weightings, hidden, cell, **weights):
        (_, readers, width), (batch, count, rows) = reads.shape, weightings.shape
        sizes = (
            x.shape[1],
            readers,
            count - readers,
            rows,
            width,
            hidden.shape[1],
            len(weights["output_bias"]),
        )
        ntm, order = model(*sizes)
        ntm.memory.batch_size, ntm.memory.memory = batch, memory
        named = parameters(weights, order, readers, count - readers, width)
        before = [weightings[:, h] for h in order]
        given = x, (list(reads.unbind(1)), (hidden[None], cell[None]), before)
        # Their outputs are after a sigmoid, which is set aside.
        with replaced(module, F=SimpleNamespace(sigmoid=lambda a: a)):
            outputs, (read, state, after) = torch.func.functional_call(ntm, named, given)
        after = [after[order.index(h)] for h in range(count)]
        read, after = torch.stack(read, 1), torch.stack(after, 1)
        return outputs, read, ntm.memory.memory, after, *[part[0] for part in state]

    @wraps(step)
    def in_float64(*given, **weights):
        """In float64 too what PyTorch makes without being told of what kind."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return step(*given, **weights)
        finally:
            torch.set_default_dtype(before)

    name, told = "`NTM`, one step", {"convention": "pytorch_ntm"}
    return [
        Row(name, step, "ntm_cell", dtypes=("float32",)),
        Row(name, step, "ntm_cell", options=told, dtypes=("float64",)),
        Row(f"{name}, float64 PyTorch's default", in_float64, "ntm_cell", dtypes=("float64",)),
    ]


def parameters(weights, order, readers, writers, width):
    """Our weights by the names of their parameters: of each head a layer, reads after what is controlled."""
    lstm = gradcheck.torch_parameters("lstm", weights)
    named = {f"controller.lstm.{name}": value for name, value in lstm.items()}
    for place, head in enumerate(order):
        kind = "read" if head < readers else "write"
        for name, told in (("weight", weights["head_weights"]), ("bias", weights["head_bias"])):
            columns = of_head(told, head, readers, writers, width)
            named[f"heads.{place}.fc_{kind}.{name}"] = columns.mT if told.ndim == 2 else columns
    of_reads, of_hidden = weights["output_weights"].tensor_split([readers * width])
    return named | {"fc.weight": torch.cat([of_hidden, of_reads]).mT, "fc.bias": weights["output_bias"]}


def of_head(told, head, readers, writers, width):
    """The columns of one head, in their order: key, strength, gate, shift, sharpness, erase, write vector."""
    key, write_vector, erase, gate, strength, sharpness, shift = told.split(
        head_sizes(width, readers, writers, 3), dim=-1
    )
    heads = readers + writers
    parts = [part.tensor_split(heads, -1)[head] for part in (key, strength, gate, shift, sharpness)]
    if head >= readers:
        parts += [part.tensor_split(writers, -1)[head - readers] for part in (erase, write_vector)]
    return torch.cat(parts, -1)
