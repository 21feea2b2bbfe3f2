"""Presets of those who wrote a DNC and no NTM.  Facts were read in the sources and at the commits named."""

from .preset import Preset

_TINY = {"memory": "tiny", "weightings": "tiny", "reads": "tiny"}
ONE_LSTM = {"shown_layers": "top", "clip_controller": 20.0, "clip_outputs": 20.0}
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


DNC_PRESETS = (
    Preset(
        "deepmind_dnc",
        "google-deepmind/dnc",
        files=("dnc/access.py", "dnc/addressing.py", "dnc/dnc.py"),
        commit="f5981c6",
        variant="deepmind",
        dnc={"strength": "softplus", "simulated_gate": "both", "clip_state": 20.0, **ONE_LSTM},
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
            "the interface may be normalised as a layer is",
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
)
