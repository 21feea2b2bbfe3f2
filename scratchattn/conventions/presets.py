"""The presets.  Facts were read in the sources named, at the commits named."""

from .dnc_presets import DNC_PRESETS, ONE_LSTM
from .preset import Preset

_TANH_WORDS = {"key": "tanh", "write_vector": "tanh"}
_LEARNED = {"memory": "learned", "weightings": "learned", "reads": "learned", "controller": "learned"}
_LEARNED_TANH = {
    "memory": "learned_tanh",
    "weightings": "learned_falling",
    "reads": "learned_tanh",
    "controller": "learned_tanh",
}

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
        ntm={"heads": "write_first"},
        ntm_start=_LEARNED,
        dnc={},
        not_covered=(
            "the NTM paper gives domains and, but for the shift, no squashings, nor what outputs are made "
            "of: those are the defaults here",
            "a write head addresses the memory that it finds; M_t, as equation 5 prints, is not there yet",
        ),
    ),
    Preset(
        "paper_sparse",
        "Nature 538 (2016) 471, with the sparse linkage",
        files=("Methods",),
        variant="paper",
        by_op={"dnc_linkage": "paper_sparse"},
        dnc={},
        not_covered=("its links take no less memory than the dense ones",),
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
        not_covered=("to the forget gate of its LSTM one is added",),
    ),
    Preset(
        "carpedm20",
        "carpedm20/NTM-tensorflow",
        files=("ntm_cell.py", "ops.py"),
        commit="5376c35",
        variant="carpedm20",
        ntm={**_TANH_WORDS, "outputs": "controller"},
        ntm_start=_LEARNED_TANH,
        not_covered=("outputs are after a sigmoid",),
    ),
    Preset(
        "kaishengtai",
        "kaishengtai/torch-ntm",
        files=("NTM.lua", "layers/SmoothCosineSimilarity.lua"),
        commit="74a3d3a",
        variant="kaishengtai",
        ntm={**_TANH_WORDS, "outputs": "controller"},
        ntm_start=_LEARNED_TANH,
        not_covered=("outputs are after a sigmoid",),
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
        dnc={
            "strength": "softplus",
            "keys": "tanh",
            "simulated_gate": "write",
            "keep_simulated_usage": True,
            **ONE_LSTM,
        },
        dnc_start={"memory": "tiny", "weightings": "one_hot", "reads": "tiny"},
        not_covered=("outputs are after a sigmoid",),
    ),
    Preset(
        "shawntan",
        "shawntan/neural-turing-machines",
        files=("ntm.py", "head.py", "model.py"),
        commit="7295435",
        variant="shawntan",
        ntm={**_TANH_WORDS, "heads": "read_last", "previous": "write_head", "outputs": "controller"},
        ntm_start={"memory": "learned_unit_rows", "weightings": "learned", "before": "read"},
        not_covered=("a controller without a state and no other", "one head of each kind"),
    ),
    Preset(
        "ntm_lasagne",
        "snipsco/ntm-lasagne",
        files=("ntm/heads.py", "ntm/layers.py", "ntm/similarities.py"),
        commit="65c950b",
        variant="ntm_lasagne",
        ntm={
            "key": "unit_interval",
            "write_vector": "unit_interval",
            "erase": "hard_sigmoid",
            "gate": "hard_sigmoid",
            "strength": "relu",
            "sharpness": "relu",
            "activation": "relu",
            "heads": "read_last",
            "outputs": "controller",
        },
        ntm_start={
            "memory": "learned",
            "weightings": "one_hot",
            "controller": "uniform",
            "before": "write_and_read",
        },
        not_covered=(
            "a step writes and reads where the last one addressed, then controls and addresses: here it ends "
            "with that write and read, so that the last one's are one more",
            "keys and write vectors are rectified in its examples, and clipped to 0..1 by default, as here",
            "tanh, LSTM and GRU controllers of its own",
        ),
    ),
    Preset(
        "fumin",
        "fumin/ntm",
        files=("addressing.go", "cntl1.go", "ntm.go"),
        commit="4cd7546",
        variant="fumin",
        ntm={
            "write_vector": "sigmoid",
            "strength": "exp",
            "activation": "sigmoid",
            "roles": "both",
            "shift": "bounded_number",
            "gradient_floor": 2.2e-16,
            "outputs": "controller",
        },
        ntm_start={"memory": "learned", "weightings": "learned", "before": "read"},
        not_covered=(
            "a controller without a state and no other",
            "where a head erases all but 1e-6 of a cell, its gradient by that is lost",
        ),
    ),
    *DNC_PRESETS,
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
