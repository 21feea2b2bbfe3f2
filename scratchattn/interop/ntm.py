"""Weights of published PyTorch NTMs as a model of ours with the same outputs, and gradients back to them.

    model, params = read_ntm("pytorch_ntm", theirs.state_dict())
    logits, last = model.sequence(params, model.initial_state(params, batch), xs)
    gradients = ntm_gradients("pytorch_ntm", theirs.state_dict(), ours)

Outputs are logits, where theirs are after a sigmoid.  What they draw once and nobody learns, a memory and
first reads, is no parameter here either: every sequence of the model starts from it, also where one trains it
on.  The convention is part of the name; which entry of a shift is
which offset is a switch of it.  How arrays lie is undone here:

    loudinthecloud/pytorch-ntm   PyTorch's LSTM, gates i f g o, two biases, one or more layers; a linear layer
                                 for each head, in the order in which they take their turns: key, strength,
                                 gate, shift, sharpness, and of a write head erase and write vector
    jingweiz/pytorch-dnc         PyTorch's LSTM cell; a linear layer for each part of what all read heads, and
                                 one for what all write heads are told

Outputs are of the hidden units and then the reads there, the other way round here.

Source: the repositories, at the commits that ``conventions/presets.py`` names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

from .. import backend
from ..models.ntm import NTM
from ..nn.ntm_heads import HeadSizes
from ..ops.shaping import concat, reshape, split
from .renaming import arrays_of, fitting_params, gradients_by_their_names, renamed, shown_and_read, torch_lstm

_READ_PARTS = "key", "strength", "gate", "shift", "sharpness"
_WRITE_PARTS = (*_READ_PARTS, "erase", "write_vector")
_JINGWEIZ = dict(zip(_WRITE_PARTS, ("key", "beta", "gate", "shift", "gamma", "erase", "add"), strict=True))


@dataclass(frozen=True)
class LoadedNTM(NTM):
    """An NTM whose sequences start from what was loaded with its weights."""

    given: Mapping = field(default_factory=dict, compare=False, repr=False)
    """name -> array of one sequence: see ``NTMStart.state``."""

    def initial_state(self, params, batch, rng=None, **given):
        """As of an NTM; what is given here comes before what was loaded."""
        return super().initial_state(params, batch, rng, **{**self.given, **given})


def read_ntm(convention, source, *, rows=None):
    """The LoadedNTM, and its Params, of weights that a published implementation has saved.

    ``convention``: "pytorch_ntm" or "jingweiz"; ``source``: a mapping of its names to arrays (PyTorch's
    ``state_dict()``, of an EncapsulatedNTM too), or the path of a .safetensors file.  ``rows``: of the
    memory, which of jingweiz' is not said by weights.  The dtype is theirs.  ValueError names what is
    missing, too much, or of a size that does not fit.
    """
    who = f"read_ntm({convention!r})"
    arrays, given, facts = _taken_apart(who, convention, source)
    if facts.setdefault("rows", rows) is None:
        raise ValueError(f"{who}: rows must be given, no array says how many there are")
    if rows not in (None, facts["rows"]):
        raise ValueError(f"{who}: rows must be {facts['rows']}, as its memory has, got {rows!r}")
    found = renamed(who, _LAYOUTS[convention], arrays)
    features = facts["read_heads"] * facts["width"]
    model = LoadedNTM(
        inputs=found["input_weights"].shape[0] - features,
        outputs=found["output_bias"].shape[0],
        units=found["hidden_weights"].shape[0],
        layers=1 + sum(name.startswith("hidden_weights_") for name in found),
        dtype=str(found["head_weights"].dtype),
        convention=convention,
        given={name: backend.asarray(value) for name, value in given.items()},
        **facts,
    )
    return model, fitting_params(who, model, found)


def ntm_gradients(convention, source, gradients):
    """Gradients under the names of a published implementation, of those that ours have.

    ``source`` as for ``read_ntm``; ``gradients``: name -> array for all of the model's parameters.  Where
    theirs enter as a sum, as two biases do, both have its gradient.
    """
    who = f"ntm_gradients({convention!r})"
    arrays, _, _ = _taken_apart(who, convention, source)
    found = gradients_by_their_names(who, _LAYOUTS[convention], arrays, gradients)
    names = arrays_of("ntm_gradients", source)
    return {name: found[known] for name in names if (known := name.removeprefix("ntm.")) in found}


def _taken_apart(who, convention, source):
    """What they learn, name -> array; what every sequence is given; settings of the model."""
    if convention not in _LAYOUTS:
        known = " and ".join(_LAYOUTS)
        raise ValueError(f"interop: no weights of {convention!r} are known; there are those of {known}")
    arrays = arrays_of(who.partition("(")[0], source)
    return (_of_loudinthecloud if convention == "pytorch_ntm" else _of_jingweiz)(who, arrays)


def _of_loudinthecloud(who, arrays):
    arrays = {name.removeprefix("ntm."): array for name, array in arrays.items()}
    memories = [arrays.pop(name) for name in list(arrays) if name.split(".")[-1] == "mem_bias"]
    if not memories or memories[0].ndim != 2:
        raise ValueError(f"{who}: a memory, mem_bias, of two axes expected")
    if any(memory.shape != memories[0].shape or (memory != memories[0]).any() for memory in memories):
        raise ValueError(f"{who}: one memory expected, got {len(memories)} of other numbers under mem_bias")
    kinds = "".join(_kinds(arrays))
    rows, width = memories[0].shape
    names = [f"read{i}_bias" for i in range(kinds.count("r"))]
    for name in names:
        if name not in arrays or arrays[name].shape != (1, width):
            came = arrays[name].shape if name in arrays else "nothing"
            raise ValueError(f"{who}: {name} must have shape {(1, width)}, got {came}")
    reads = concat(*[arrays.pop(name) for name in names], axis=0) if names else memories[0][:0]
    facts = {"rows": rows, "width": width, "turns": kinds}
    facts |= {"read_heads": kinds.count("r"), "write_heads": kinds.count("w")}
    return arrays, {"memory": memories[0], "reads": reads}, facts


def _kinds(arrays):
    """r or w for each head, in their order."""
    for place in count():
        kind = [kind for kind in ("read", "write") if f"heads.{place}.fc_{kind}.weight" in arrays]
        if not kind:
            return
        yield kind[0][0]


def _of_jingweiz(who, arrays):
    sizes = {}
    for name in (
        "read_heads.hid_2_beta",
        "write_heads.hid_2_beta",
        "read_heads.hid_2_key",
        "read_heads.hid_2_shift",
    ):
        if f"accessor.{name}.bias" not in arrays:
            raise ValueError(f"{who}: the weights lack accessor.{name}.bias")
        sizes[name] = len(arrays[f"accessor.{name}.bias"])
    readers, writers, keys, shifts = sizes.values()
    facts = {
        "read_heads": readers,
        "write_heads": writers,
        "width": keys // readers,
        "shifts": shifts // readers,
    }
    return arrays, {}, facts


def _loudinthecloud(theirs):
    ours, units = {}, theirs.turned("controller.lstm.weight_hh_l0").shape[0]
    for layer in count():
        if layer and f"controller.lstm.weight_ih_l{layer}" not in theirs:
            break
        ours |= _layer(theirs, "controller.lstm.", f"_l{layer}", layer)
    for name, whose in (("hidden", "h"), ("cell", "c")):
        shape = (layer, units) if layer > 1 else (units,)
        ours[f"initial_{name}"] = reshape(theirs[f"controller.lstm_{whose}_bias"], shape=shape)
    told = []
    for place, kind in enumerate(_kinds(theirs.arrays)):
        parts = _READ_PARTS if kind == "r" else _WRITE_PARTS
        name = f"heads.{place}.fc_{'read' if kind == 'r' else 'write'}"
        weights, bias = theirs.turned(f"{name}.weight"), theirs[f"{name}.bias"]
        vectors = 1 if kind == "r" else 3
        width = (weights.shape[1] - 6) // vectors
        sizes = [
            {"key": width, "erase": width, "write_vector": width, "shift": 3}.get(part, 1) for part in parts
        ]
        told.append(
            [kind, *[dict(zip(parts, split(a, sections=tuple(sizes), axis=-1))) for a in (weights, bias)]]
        )
    told = [head for wanted in "rw" for head in told if head[0] == wanted]
    return ours | _heads([head[1:] for head in told]) | _outputs(theirs, "fc", units)


def _jingweiz(theirs):
    ours, told = _layer(theirs, "controller.in_2_hid.", "", 0), []
    for heads, parts in (("read_heads", _READ_PARTS), ("write_heads", _WRITE_PARTS)):
        names = {part: f"accessor.{heads}.hid_2_{_JINGWEIZ[part]}" for part in parts}
        weights = {part: theirs.turned(f"{name}.weight") for part, name in names.items()}
        told.append((weights, {part: theirs[f"{name}.bias"] for part, name in names.items()}))
    return ours | _heads(told) | _outputs(theirs, "hid_to_out", ours["hidden_weights"].shape[0])


def _layer(theirs, prefix, ending, layer):
    """An LSTM of theirs, the one above ``layer`` others, by our names."""
    ours = f"_{layer + 1}" if layer else ""
    return {f"{name}{ours}": array for name, array in torch_lstm(theirs, prefix, ending).items()}


def _heads(told):
    """What heads are told, (weights, biases) of each, part -> array, read heads first, as ours lie."""

    def together(which):
        parts = [(part, head[which]) for part in HeadSizes._fields for head in told]
        return concat(*[arrays[part] for part, arrays in parts if part in arrays], axis=-1)

    return {"head_weights": together(0), "head_bias": together(1)}


def _outputs(theirs, layer, units):
    shown, read = shown_and_read(theirs, layer, units)
    return {"output_weights": concat(read, shown, axis=0), "output_bias": theirs[f"{layer}.bias"]}


_LAYOUTS = {"pytorch_ntm": _loudinthecloud, "jingweiz": _jingweiz}
