"""The presets.  Facts were read in the sources named, at the commits named."""

from .preset import Preset

_TANH_WORDS = {"key": "tanh", "write_vector": "tanh"}
_LEARNED = {"memory": "learned", "weightings": "learned", "reads": "learned", "controller": "learned"}
_LEARNED_TANH = {
    "memory": "learned_tanh",
    "weightings": "learned_falling",
    "reads": "learned_tanh",
    "controller": "learned_tanh",
}
_TINY = {"memory": "tiny", "weightings": "tiny", "reads": "tiny"}
_ONE_LSTM = {"shown_layers": "top", "clip_controller": 20.0, "clip_outputs": 20.0}
_CSORDAS_ORDER = (
    *("write_masks", "write_keys", "erase", "write_vectors", "free_gates", "write_strengths"),
    *("allocation_gates", "write_gates", "read_masks", "read_keys", "read_strengths", "read_modes"),
    *("forward_sharpness", "backward_sharpness"),
)
_ADNC_ORDER = (
    *("write_keys", "write_strengths", "erase", "write_vectors", "allocation_gates", "write_gates"),
    *("read_keys", "read_strengths", "read_modes", "free_gates"),
    *("write_masks", "read_masks", "forward_sharpness", "backward_sharpness"),
)


def _csordas(name, masked, deallocate, sharpen_links):
    """One of the eight DNCs that the paper of masks, de-allocation and sharpened links compares."""
    added = {"masked": masked, "deallocate": deallocate, "sharpen_links": sharpen_links}
    return Preset(
        name,
        "RobertCsordas/dnc",
        files=("Models/DNC.py",),
        commit="1a01d64",
        variant="csordas",
        dnc={**added, "interface_order": _CSORDAS_ORDER, "clip_interface": 20.0},
        dnc_start={"skip_first_update": True},
        not_covered=(
            ("keys compared by their own length alone", "a feed-forward controller of rectified layers")
            if name == "csordas"
            else ()
        ),
    )


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
            **_ONE_LSTM,
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
    Preset(
        "deepmind_dnc",
        "google-deepmind/dnc",
        files=("dnc/access.py", "dnc/addressing.py", "dnc/dnc.py"),
        commit="f5981c6",
        variant="deepmind",
        dnc={"strength": "softplus", "simulated_gate": "both", "clip_state": 20.0, **_ONE_LSTM},
        not_covered=("one LSTM and no more", "a layer of its own for each part of the interface"),
    ),
    Preset(
        "pytorch_dnc",
        "ixaxaar/pytorch-dnc",
        files=("dnc/memory.py", "dnc/util.py", "dnc/dnc.py"),
        commit="cf6f682",
        variant="pytorch_dnc",
        dnc={
            "strength": "softplus",
            "keys": "tanh",
            "controller_reads": "first",
            "input_skips": False,
            "shown_layers": "top",
            "clip_controller": 20.0,
        },
        dnc_start={"controller": "drawn"},
        not_covered=(
            "several DNCs on top of each other, of which it has one by default",
            "controllers of tanh units and of GRUs; dropout in the controller",
            "outputs have the width of the inputs, and another order of axes than the inputs",
        ),
    ),
    _csordas("csordas", True, True, True),
    _csordas("csordas_dnc", False, False, False),
    _csordas("csordas_m", True, False, False),
    _csordas("csordas_d", False, True, False),
    _csordas("csordas_s", False, False, True),
    _csordas("csordas_md", True, True, False),
    _csordas("csordas_ms", True, False, True),
    _csordas("csordas_ds", False, True, True),
    Preset(
        "mostafa_samir",
        "Mostafa-Samir/DNC-tensorflow",
        files=("dnc/memory.py", "dnc/controller.py", "dnc/dnc.py"),
        commit="5280f59",
        variant="mostafa_samir",
        dnc={"heads_fastest": ("read_keys", "read_modes", "reads")},
        dnc_start=_TINY,
        not_covered=("any controller: the user's own class",),
    ),
    Preset(
        "adnc",
        "joergfranke/ADNC",
        files=("adnc/model/memory_units/dnc_cell.py", "adnc/model/memory_units/multi_write_dnc_cell.py"),
        commit="4a5dfa5",
        variant="adnc",
        dnc={"simulated_gate": "write", "interface_order": _ADNC_ORDER},
        dnc_start={"memory": "share", "weightings": "drawn"},
        not_covered=(
            "0 / 0 where a key or a row has no length",
            "the interface may be normalised as a layer is, what bypasses the memory may drop out",
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
