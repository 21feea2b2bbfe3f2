"""The machines of ``interop_ntm.py``: modules built by public code, and what runs them on xs (t, b, i)."""

import sys
from types import SimpleNamespace

import torch
from verdicts_adapters import module_of

STEPS, BATCH = 20, 3
SIZES = dict(inputs=5, outputs=4, units=12, rows=10, width=6)


def pytorch_ntm(folder, kinds):
    """Theirs, with heads in the order of ``kinds``, before which the number of LSTM layers may stand."""
    parts = {name: module_of(folder, f"ntm/{name}.py") for name in ("ntm", "memory", "head", "controller")}
    memory = parts["memory"].NTMMemory(SIZES["rows"], SIZES["width"])
    seen = SIZES["inputs"] + kinds.count("r") * SIZES["width"]
    layers, kinds = (int(kinds[0]), kinds[1:]) if kinds[0].isdigit() else (1, kinds)
    controller = parts["controller"].LSTMController(seen, SIZES["units"], layers)
    made = {"r": parts["head"].NTMReadHead, "w": parts["head"].NTMWriteHead}
    heads = torch.nn.ModuleList(made[kind](memory, SIZES["units"]) for kind in kinds)
    ntm = parts["ntm"].NTM(SIZES["inputs"], SIZES["outputs"], controller, memory, heads)

    def run(xs):
        memory.reset(xs.shape[1])
        state, ys = ntm.create_new_state(xs.shape[1]), []
        for x in xs:
            y, state = ntm(x, state)
            ys.append(y)
        return torch.stack(ys)

    return ntm, run


def jingweiz(folder, kinds):
    """The same of jingweiz; its circuit keeps its state itself."""
    sys.path.insert(0, str(folder))
    from core.circuits.ntm_circuit import NTMCircuit

    nothing = SimpleNamespace(warning=lambda text: None)
    some = dict(logger=nothing, use_cuda=False, dtype=torch.get_default_dtype(), visualize=False)
    head = lambda: SimpleNamespace(**some, num_allowed_shifts=3)
    accessor = SimpleNamespace(**some, write_head_params=head(), read_head_params=head(),
                               memory_params=SimpleNamespace(**some))  # fmt: skip
    circuit = NTMCircuit(SimpleNamespace(
        **some, batch_size=BATCH, input_dim=SIZES["inputs"], output_dim=SIZES["outputs"],
        hidden_dim=SIZES["units"], num_write_heads=kinds.count("w"), num_read_heads=kinds.count("r"),
        mem_hei=SIZES["rows"], mem_wid=SIZES["width"], clip_value=20.0,
        controller_params=SimpleNamespace(**some), accessor_params=accessor))  # fmt: skip

    def run(xs):
        circuit._reset_states()
        return torch.cat([circuit(x) for x in xs])

    return circuit, run
