"""The published DNCs that ``interop_dnc.py`` runs: module, how it runs, where its controller starts."""

import logging
from types import SimpleNamespace

import torch
from verdicts_adapters import module_of

BATCH, INPUTS, OUTPUTS, UNITS, ROWS, WIDTH, READERS = 3, 5, 3, 7, 8, 4, 2


def ixaxaar(folder, **settings):
    module = module_of(folder / "pytorch-dnc", "dnc/dnc.py")
    dnc = module.DNC(INPUTS, UNITS, nr_cells=ROWS, read_heads=READERS, cell_size=WIDTH, **settings)
    memory = {name: part.double() for name, part in dnc.memories[0].new(BATCH).items()}
    start, _, reads = dnc._init_hidden(None, BATCH, True)
    controller = [(h.double(), c.double()) for h, c in start]

    def run(xs):
        given = xs.transpose(0, 1), ([*controller], [memory], reads.double())
        return dnc(*given)[0]  # (t, b, o), although its batch is first

    (hidden, cell), *_ = controller
    return dnc, run, tuple((h.numpy(), c.numpy()) for h, c in zip(hidden, cell))


def csordas(folder, **settings):
    module = module_of(folder / "dnc", "Models/DNC.py")
    controller = module.LSTMController([UNITS, UNITS])
    dnc = module.DNC(INPUTS, OUTPUTS, WIDTH, ROWS, READERS, controller, **settings)
    return dnc, dnc, None


def jingweiz(folder, writers=1):
    module = module_of(folder / "jingweiz-pytorch-dnc", "core/circuits/dnc_circuit.py")
    logger = logging.getLogger("silent")
    logger.disabled = True
    one = dict(logger=logger, use_cuda=False, dtype=torch.DoubleTensor, visualize=False, num_allowed_shifts=3)
    heads, memory, controller = (SimpleNamespace(**one) for _ in range(3))
    parts = dict(write_head_params=SimpleNamespace(**one), read_head_params=heads, memory_params=memory)
    sizes = dict(
        batch_size=BATCH, input_dim=INPUTS, output_dim=OUTPUTS, hidden_dim=UNITS, num_write_heads=writers
    )
    sizes |= dict(num_read_heads=READERS, mem_hei=ROWS, mem_wid=WIDTH, clip_value=20.0)
    accessor = SimpleNamespace(**one, **parts)
    dnc = module.DNCCircuit(
        SimpleNamespace(**one, **sizes, controller_params=controller, accessor_params=accessor)
    )

    def run(xs):
        dnc._reset_states()
        return torch.logit(torch.cat([dnc(x) for x in xs]))  # ours are logits

    return dnc, run, None


PLAIN = {"mask": False, "dealloc_content": False, "link_sharpness_control": False}
PUBLISHED = [
    ("pytorch_dnc", "two layers", ixaxaar, {}),
    ("pytorch_dnc", "a layer for each part of the interface", ixaxaar, {"independent_linears": True}),
    ("pytorch_dnc", "one layer without biases", ixaxaar, {"num_hidden_layers": 1, "bias": False}),
    ("csordas_dnc", "", csordas, PLAIN),
    ("csordas_m", "", csordas, PLAIN | {"mask": True}),
    ("csordas_d", "", csordas, PLAIN | {"dealloc_content": True}),
    ("csordas_s", "", csordas, PLAIN | {"link_sharpness_control": True}),
    ("csordas_md", "", csordas, PLAIN | {"mask": True, "dealloc_content": True}),
    ("csordas_ms", "", csordas, PLAIN | {"mask": True, "link_sharpness_control": True}),
    ("csordas_ds", "without biases", csordas, {"bias": False}),
    ("csordas", "", csordas, {"mask": True}),
    ("jingweiz", "one write head", jingweiz, {}),
    ("jingweiz", "two write heads", jingweiz, {"writers": 2}),
]
