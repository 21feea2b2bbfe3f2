"""Adapters of RobertCsordas/dnc: whole steps, with and without what it adds to the paper's."""

from dataclasses import replace

import numpy as np
import torch
from verdicts_adapters import Row, module_of
from verdicts_dnc_step import one_write_head, turned

from gradcheck.conformance import CELLS
from scratchattn.nn.dnc_interface import interface_size

CELL = CELLS["dnc_cell"]


def csordas_step(folder):
    module = module_of(folder, "Models/DNC.py")

    class OneStep(module.DNC):
        def forward(self, x):
            return self._step(x, None)

    def stepping(added):
        def step(
            x, memory, usage, link, precedence, write_weightings, read_weightings, reads, hidden, cell,
            **weights,
        ):  # fmt: skip
            (_, readers, width), rows, units = reads.shape, usage.shape[1], hidden.shape[1]
            sizes = x.shape[1], len(weights["output_bias"]), width, rows, readers
            switches = {"mask": added, "dealloc_content": added, "link_sharpness_control": added}
            dnc = OneStep(*sizes, module.LSTMController([units]), **switches)
            writer, reader, linkage = dnc.write_head.write_head, dnc.read_head.read_head, dnc.temporal_link
            dnc.memory, writer.allocation_manager.usages = memory, usage
            writer.last_write = {"write_dist": write_weightings[:, 0]}
            linkage._init_link(write_weightings[:, 0])
            linkage.temp_link_mat, linkage.precedence_weighting = link[:, 0], precedence[:, 0]
            reader.read_dist, reader.read_data = read_weightings, reads
            dnc.controller.outputs, dnc.controller.states = [hidden], [cell]
            outputs = torch.func.functional_call(dnc, parameters(weights), (x,))
            written = linkage.temp_link_mat, linkage.precedence_weighting, writer.last_write["write_dist"]
            written = dnc.memory, writer.allocation_manager.usages, *[part[:, None] for part in written]
            after = dnc.controller.outputs[0], dnc.controller.states[0]
            return outputs, *written, reader.read_dist, reader.read_data, *after

        return step

    def parameters(weights):
        def gates(told):
            i, f, o, c = told.chunk(4, -1)
            return torch.cat([f, i, o, c], -1)

        return turned(
            {
                "controller.in_to_all_0.weight": gates(weights["input_weights"]),
                "controller.in_to_all_0.bias": gates(weights["bias"]),
                "controller.out_to_all_0.weight": gates(weights["hidden_weights"]),
                "controller_to_controls.weight": weights["interface_weights"],
                "controller_to_controls.bias": weights["interface_bias"],
                "controller_to_out.weight": weights["output_weights"],
                "controller_to_out.bias": weights["output_bias"],
                "read_to_out.weight": weights["read_output_weights"],
                "read_to_out.bias": torch.zeros_like(weights["output_bias"]),
            }
        )

    name = "`DNC`, one step"
    plain = f"{name} without masks, de-allocation and sharpened links"
    return [
        Row(plain, stepping(False), CELL, one_write_head, {"convention": "csordas_dnc"}),
        Row(name, stepping(True), replace(CELL, cases=wider), one_write_head, {"convention": "csordas"}),
    ]


def wider(rng):
    """Our cases with an interface that says all that Csordas adds."""
    for case in CELL.cases(rng):
        if one_write_head(case):
            inputs = list(case.inputs)
            (_, readers, width), (_, columns) = inputs[7].shape, inputs[13].shape
            more = interface_size(width, readers, masked=True, sharpen_links=True) - columns
            for place in (13, 16):
                shape = *inputs[place].shape[:-1], more
                inputs[place] = np.concatenate([inputs[place], rng.normal(size=shape)], axis=-1)
            yield replace(case, inputs=tuple(inputs))
