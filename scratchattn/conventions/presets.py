"""The presets.  Facts were read in the sources named, at the commits named."""

from .preset import Preset

_TORCH_SOFTPLUS = "in the DNC, softplus(a) is a itself above 20, as torch has it: 2e-9 apart"
_TANH_WORDS = {"key": "tanh", "write_vector": "tanh"}
_LEARNED = {"memory": "learned", "weightings": "learned", "reads": "learned", "controller": "learned"}
_LEARNED_TANH = {
    "memory": "learned_tanh",
    "weightings": "learned",
    "reads": "learned_tanh",
    "controller": "learned_tanh",
}
_TINY = dict.fromkeys(("memory", "write_weightings", "read_weightings", "reads"), 1e-6)

_ALL = (
    Preset(
        "smoothed",
        "scratchattn",
        files=("scratchattn/nn/ntm_cell.py", "scratchattn/nn/dnc_cell.py"),
        ntm={},
        ntm_start={**_LEARNED, "memory": "constant"},
        dnc={},
    ),
    Preset(
        "paper",
        "arXiv:1410.5401 and Nature 538 (2016) 471; the paper that another op names",
        files=("section 3", "Methods"),
        variant="paper",
        ntm={},
        ntm_start=_LEARNED,
        dnc={},
        not_covered=(
            "the NTM paper gives domains and no squashings, and no order of reading and writing: "
            "those are the defaults here",
        ),
    ),
    Preset(
        "pytorch_ntm",
        "loudinthecloud/pytorch-ntm",
        files=("ntm/memory.py", "ntm/head.py", "ntm/ntm.py", "ntm/aio.py"),
        commit="3c64937",
        variant="pytorch_ntm",
        ntm={"heads": "in_turn"},
        ntm_start={
            "memory": "uniform",
            "weightings": "zeros",
            "reads": "normal",
            "controller": "learned",
        },
        not_covered=(
            "three shifts and no other number",
            "a controller of several LSTM layers",
            "heads in any order: here as in ntm/aio.py, reading and writing in turn",
            "outputs are after a sigmoid",
        ),
    ),
    Preset(
        "collier",
        "MarkPKCollier/NeuralTuringMachine",
        files=("ntm.py",),
        commit="5644e3b",
        variant="collier",
        ntm={**_TANH_WORDS, "clip_heads": 20.0, "clip_outputs": 20.0},
        ntm_start={
            "memory": "learned",
            "weightings": "learned",
            "reads": "learned_tanh",
            "controller": "zeros",
        },
        not_covered=(
            "a controller of several LSTM layers",
            "its other starts of the memory, random and learned through a tanh",
        ),
    ),
    Preset(
        "carpedm20",
        "carpedm20/NTM-tensorflow",
        files=("ntm_cell.py", "ops.py"),
        commit="5376c35",
        variant="carpedm20",
        ntm={**_TANH_WORDS, "outputs": "controller"},
        ntm_start=_LEARNED_TANH,
        not_covered=("a controller of several LSTM layers", "outputs are after a sigmoid"),
    ),
    Preset(
        "kaishengtai",
        "kaishengtai/torch-ntm",
        files=("NTM.lua", "layers/SmoothCosineSimilarity.lua"),
        commit="74a3d3a",
        variant="kaishengtai",
        ntm={**_TANH_WORDS, "outputs": "controller"},
        ntm_start=_LEARNED_TANH,
        not_covered=("a controller of several LSTM layers", "outputs are after a sigmoid"),
    ),
    Preset(
        "jingweiz",
        "jingweiz/pytorch-dnc",
        files=(
            "core/circuit.py",
            "core/heads/static_head.py",
            "core/heads/dynamic_write_head.py",
            "core/accessors/static_accessor.py",
        ),
        commit="eaa2fc8",
        variant="jingweiz",
        ntm={**_TANH_WORDS, "heads": "write_first", "clip_outputs": 20.0},
        ntm_start={
            "memory": "constant",
            "weightings": "one_hot",
            "reads": "constant",
            "controller": "zeros",
        },
        dnc={"strength": "softplus", "keys": "tanh", "simulated_gate": "write"},
        dnc_start={"memory": 1e-6, "reads": 1e-6},
        not_covered=(
            _TORCH_SOFTPLUS,
            "the simulated usage is written over the usage that the next step starts from",
            "the DNC's weightings start at row 0, and its outputs are clipped at 20",
            "outputs are after a sigmoid",
        ),
    ),
    Preset(
        "shawntan",
        "shawntan/neural-turing-machines",
        files=("ntm.py", "head.py", "model.py"),
        commit="7295435",
        variant="shawntan",
        not_covered=("read heads move on from where the write head was, and read what it wrote",),
    ),
    Preset(
        "ntm_lasagne",
        "snipsco/ntm-lasagne",
        files=("ntm/heads.py", "ntm/layers.py", "ntm/similarities.py"),
        commit="65c950b",
        variant="ntm_lasagne",
        not_covered=("the step writes and reads where the last one addressed, then controls and addresses",),
    ),
    Preset(
        "fumin",
        "fumin/ntm",
        files=("addressing.go",),
        commit="4cd7546",
        variant="fumin",
        not_covered=("one weighting reads and writes; it moves by one number",),
    ),
    Preset(
        "deepmind_dnc",
        "google-deepmind/dnc",
        files=("dnc/access.py", "dnc/addressing.py", "dnc/dnc.py"),
        commit="f5981c6",
        variant="deepmind",
        dnc={"strength": "softplus", "simulated_gate": "both"},
        not_covered=(
            "one LSTM; with clip_value, its state and outputs and those of the core stay within it",
            "a biased layer of its own for each part of the interface",
        ),
    ),
    Preset(
        "pytorch_dnc",
        "ixaxaar/pytorch-dnc",
        files=("dnc/memory.py", "dnc/util.py", "dnc/dnc.py"),
        commit="cf6f682",
        variant="pytorch_dnc",
        dnc={"strength": "softplus", "keys": "tanh"},
        not_covered=(
            _TORCH_SOFTPLUS,
            "the controller sees the reads of the first step at every step, and starts from random numbers",
            "the controller is torch's stack, its outputs clipped at 20",
        ),
    ),
    Preset(
        "csordas",
        "RobertCsordas/dnc",
        files=("Models/DNC.py",),
        commit="1a01d64",
        variant="csordas",
        dnc={"masked": True, "deallocate": True, "sharpen_links": True},
        not_covered=(
            _TORCH_SOFTPLUS,
            "the interface is clipped at 20",
            "another order of the interface's parts",
        ),
    ),
    Preset(
        "mostafa_samir",
        "Mostafa-Samir/DNC-tensorflow",
        files=("dnc/memory.py", "dnc/controller.py", "dnc/dnc.py"),
        commit="5280f59",
        variant="mostafa_samir",
        dnc={},
        dnc_start=_TINY,
        not_covered=("in keys and read modes the index of the head runs fastest",),
    ),
    Preset(
        "adnc",
        "joergfranke/ADNC",
        files=("adnc/model/memory_units/dnc_cell.py", "adnc/model/memory_units/multi_write_dnc_cell.py"),
        commit="4a5dfa5",
        variant="adnc",
        dnc={"simulated_gate": "write"},
        not_covered=(
            "0 / 0 where a key or a row has no length",
            "normalised layers, bypass and random weightings to start from",
            "another order of the interface's parts",
        ),
    ),
    Preset(
        "bgavran",
        "bgavran/DNC",
        files=("src/controller_implementations/dnc/memory.py",),
        commit="668a2f1",
        variant="bgavran",
        dnc={},
        dnc_start=_TINY,
    ),
    Preset(
        "torch",
        "pytorch/pytorch",
        files=("torch/nn/functional.py", "aten/src/ATen/native"),
        commit="2.13",
        variant="torch",
        by_op={"softplus": "pytorch_ntm", "attention_score": "torch_cosine"},
    ),
)

PRESETS = {preset.name: preset for preset in _ALL}
