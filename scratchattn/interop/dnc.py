"""Weights of published PyTorch DNCs as a model of ours with the same outputs, and gradients back to them.

    model, params = read_dnc("pytorch_dnc", theirs.state_dict(), rows=16, read_heads=4)
    ys, last = model.sequence(params, model.initial_state(params, batch), xs)
    gradients = dnc_gradients("pytorch_dnc", theirs.state_dict(), ours)
    arrays = dnc_weights_for("pytorch_dnc", theirs.state_dict(), params)

The convention is part of the name: what the code does in its own way is a switch of our cell.  How the
parts of the interface stand in one matrix is such a switch; where others have a matrix for each part, or
gates in another order, it is done here:

    ixaxaar/pytorch-dnc      PyTorch's LSTM, gates i f g o, two biases; one matrix for the interface or one
                             for each part; one for the outputs, hidden units first
    RobertCsordas/dnc        gates f i o g; a matrix for x and reads, one for each layer below, one for the
                             layer before; two biases of the outputs
    jingweiz/pytorch-dnc     PyTorch's LSTM cell; a matrix for each part of the interface

Source: the repositories, at the commits that ``conventions/presets.py`` names.
"""

from itertools import count

from ..backend import to_numpy
from ..models.dnc import DNC
from ..nn.dnc_interface import interface_size
from ..nn.named_conventions import dnc_settings
from ..ops.shaping import concat
from .renaming import (
    arrays_of,
    columns,
    fitting_params,
    gradients_by_their_names,
    renamed,
    shown_and_read,
    torch_lstm,
    under_their_names,
)

_CSORDAS_GATES = 1, 0, 2, 3  # of f i o g
# our part: ixaxaar's layer for it
_INDEPENDENT = {
    "read_keys": "read_keys_transform",
    "read_strengths": "read_strengths_transform",
    "write_keys": "write_key_transform",
    "write_strengths": "write_strength_transform",
    "erase": "erase_vector_transform",
    "write_vectors": "write_vector_transform",
    "free_gates": "free_gates_transform",
    "allocation_gates": "allocation_gate_transform",
    "write_gates": "write_gate_transform",
    "read_modes": "read_modes_transform",
}
# our part: jingweiz' layer for it
_BY_HEAD = {
    "read_keys": "read_heads.hid_2_key",
    "read_strengths": "read_heads.hid_2_beta",
    "write_keys": "write_heads.hid_2_key",
    "write_strengths": "write_heads.hid_2_beta",
    "erase": "write_heads.hid_2_erase",
    "write_vectors": "write_heads.hid_2_add",
    "free_gates": "read_heads.hid_2_free_gate",
    "allocation_gates": "write_heads.hid_2_alloc_gate",
    "write_gates": "write_heads.hid_2_write_gate",
    "read_modes": "read_heads.hid_2_read_mode",
}


def read_dnc(convention, source, *, rows, read_heads):
    """The DNC, and its Params, of weights that a published implementation has saved.

    ``convention``: "pytorch_dnc", "csordas", "csordas_dnc", "csordas_m", ..., "jingweiz"; ``source``: a
    mapping of its names to arrays (PyTorch's ``state_dict()``), or the path of a .safetensors file.  How many
    rows the memory has, and how many read heads, is not said by weights.  The dtype is theirs.  ValueError
    names what is missing, too much, or of a size that does not fit.
    """
    who, arrays = f"read_dnc({convention!r})", arrays_of("read_dnc", source)
    found = renamed(who, _layout(convention), arrays)
    model = _model(who, convention, found, rows, read_heads)
    return model, fitting_params(who, model, found)


def dnc_gradients(convention, source, gradients):
    """Gradients under the names of a published implementation, of those that ours have.

    ``source`` as for ``read_dnc``; ``gradients``: name -> array for all of the model's parameters.  Where
    theirs enter as a sum, as two biases do, both have its gradient.
    """
    who, arrays = f"dnc_gradients({convention!r})", arrays_of("dnc_gradients", source)
    return gradients_by_their_names(who, _layout(convention), arrays, gradients)


def dnc_weights_for(convention, like, params):
    """Our parameters under the names of a published implementation: the same outputs there.

    ``like``: as the source of ``read_dnc``, of a model of theirs of the same size; its numbers do not matter.
    ``params``: a mapping, name -> array.  ValueError for what theirs have not, and for another size.
    """
    who, arrays = f"dnc_weights_for({convention!r})", arrays_of("dnc_weights_for", like)
    values = {name: to_numpy(value) for name, value in params.items()}
    return under_their_names(who, _layout(convention), arrays, values)


def _model(who, convention, found, rows, read_heads):
    """The DNC of that size; what does not fit is found when its shapes are compared."""
    reads, outputs = found["read_output_weights"].shape
    width, left = divmod(reads, read_heads)
    if left:
        raise ValueError(
            f"{who}: read_heads must divide {reads}, the numbers that are read, got {read_heads}"
        )
    settings = dnc_settings(convention)
    switches = {name: settings[name] for name in ("masked", "sharpen_links") if name in settings}
    columns, sizes = found["interface_weights"].shape[1], []
    while not sizes or sizes[-1] < columns:
        sizes.append(interface_size(width, read_heads, len(sizes) + 1, **switches))
    if sizes[-1] != columns:
        told = f"with {read_heads} read heads of width {width}, the convention has {sizes}"
        raise ValueError(f"{who}: the interface has {columns} columns; {told}")
    units = found["hidden_weights_1"].shape[0]
    return DNC(
        inputs=found["input_weights_1"].shape[0] - reads,
        outputs=outputs,
        rows=rows,
        width=width,
        units=units,
        layers=sum(name.startswith("hidden_weights_") for name in found),
        read_heads=read_heads,
        write_heads=len(sizes),
        biases="interface_bias" in found,
        dtype=str(found["interface_weights"].dtype),
        convention=convention,
    )


def _layout(convention):
    """The layout of the weights of that convention; ValueError if none is known."""
    if convention.startswith("csordas"):
        dnc_settings(convention)
        return _csordas
    known = {"pytorch_dnc": _ixaxaar, "jingweiz": _jingweiz}
    if convention not in known:
        names = ", ".join((*known, "csordas", "csordas_dnc, ..."))
        raise ValueError(f"interop: no weights of {convention!r} are known; there are those of {names}")
    return known[convention]


def _ixaxaar(theirs):
    ours = {}
    for layer in count():
        if layer and f"lstm_layer_0.weight_ih_l{layer}" not in theirs:
            break
        ours |= _torch_lstm(theirs, "lstm_layer_0.", f"_l{layer}", layer + 1)
    memory = "rnn_layer_memory_shared."
    memory = memory if any(name.startswith(memory) for name in theirs.arrays) else "rnn_layer_memory_0."
    parts = _INDEPENDENT.values()
    if f"{memory}read_keys_transform.weight" not in theirs:
        parts = ["interface_weights"]
    ours |= _interface(theirs, [memory + part for part in parts])
    return ours | _outputs(theirs, "output", ours["hidden_weights_1"].shape[0])


def _jingweiz(theirs):
    ours = _torch_lstm(theirs, "controller.in_2_hid.", "", 1)
    ours |= _interface(theirs, [f"accessor.{part}" for part in _BY_HEAD.values()])
    return ours | _outputs(theirs, "hid_to_out", ours["hidden_weights_1"].shape[0])


def _csordas(theirs):
    ours = {}
    for layer in count():
        name = f"controller.in_to_all_{layer}"
        if layer and f"{name}.weight" not in theirs:
            break
        seen = theirs.turned(f"{name}.weight")
        if layer:
            seen = concat(seen, theirs.turned(f"controller.prev_to_all_{layer - 1}.weight"), axis=0)
        hidden = theirs.turned(f"controller.out_to_all_{layer}.weight")
        ours |= {
            f"input_weights_{layer + 1}": columns(seen, _CSORDAS_GATES),
            f"hidden_weights_{layer + 1}": columns(hidden, _CSORDAS_GATES),
            f"bias_{layer + 1}": columns(theirs[f"{name}.bias"], _CSORDAS_GATES),
        }
    ours |= _interface(theirs, ["controller_to_controls"])
    outputs = "controller_to_out", "read_to_out"
    ours |= dict(
        zip(("output_weights", "read_output_weights"), [theirs.turned(f"{n}.weight") for n in outputs])
    )
    if "read_to_out.bias" in theirs:
        ours["output_bias"] = theirs["controller_to_out.bias"] + theirs["read_to_out.bias"]
    return ours


def _torch_lstm(theirs, prefix, ending, layer):
    return {f"{name}_{layer}": array for name, array in torch_lstm(theirs, prefix, ending).items()}


def _interface(theirs, layers):
    """One interface of the layers named, side by side."""
    ours = {"interface_weights": concat(*[theirs.turned(f"{name}.weight") for name in layers], axis=-1)}
    if f"{layers[0]}.bias" in theirs:
        ours["interface_bias"] = concat(*[theirs[f"{name}.bias"] for name in layers], axis=-1)
    return ours


def _outputs(theirs, layer, units):
    """Weights of outputs that see hidden units and reads, side by side."""
    shown, read = shown_and_read(theirs, layer, units)
    return {"output_weights": shown, "read_output_weights": read, "output_bias": theirs[f"{layer}.bias"]}
