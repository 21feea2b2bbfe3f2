"""Weights of other people's Neural Turing Machines, as one of ours that computes the same.

    loaded = load_pytorch_ntm("ntm.safetensors")          or a mapping: EncapsulatedNTM.state_dict()
    loaded = load_jingweiz_ntm(circuit.state_dict(), rows=128)
    logits, state = loaded.model.sequence(loaded.params, loaded.initial_state(batch=16), xs)

Outputs are logits, where theirs are after a sigmoid.  What they learn is in ``params``; numbers that they
draw once and keep, a memory and first reads, are in ``start``.  ``theirs`` names gradients as they do.

A table says for each of their arrays which part of which of ours it is: a matrix of theirs (out, in) is
ours turned, in the rows and columns that are listed; a vector is in the columns.  The LSTM's gates are
i f g o there and i f o c here; what a head is told lies head by head there and, here, all keys come first;
outputs are of the hidden units and then the reads there, the other way round here.  Which entry of a shift
is which offset is the convention's.

Source: loudinthecloud/pytorch-ntm at 3c64937, ntm/*.py; jingweiz/pytorch-dnc at eaa2fc8, core/.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..models.ntm import NTM
from ..nn.ntm_heads import head_sizes
from ..parameters import Params
from .safetensors import read_arrays

_GATES = (0, 1, 3, 2)  # where their i f g o lie among our i f o c


class Place(NamedTuple):
    """What part of one of our arrays an array of theirs is: columns, and rows where it is a matrix."""

    name: str
    columns: Any
    rows: Any = None

    def of(self, array):
        """That part of ``array``, as they lay it out."""
        return array[self.columns] if self.rows is None else array[np.ix_(self.rows, self.columns)].T

    def shape(self):
        """Of their array."""
        columns = (len(self.columns),)
        return columns if self.rows is None else (*columns, len(self.rows))


class LoadedNTM(NamedTuple):
    """A machine of ours with the weights of theirs."""

    model: NTM
    params: Params
    start: Mapping[str, Any]
    """What each sequence starts from and nobody learns: memory (n, w), reads (r, w); empty if the
    convention says it all."""
    table: Mapping[str, Place]
    """Their name -> its place among ours."""

    def initial_state(self, batch, params=None):
        """The state before the first step, of ``params`` (arrays or tensors) where they are others."""
        return self.model.initial_state(self.params if params is None else params, batch, **self.start)

    def theirs(self, named):
        """``named``, our name -> array, by their names and in their layout: gradients, or weights.

        An LSTM of theirs has two biases that are added.  The gradient by ours is that by each of them; of
        weights, put zeros in place of one.
        """
        return {name: place.of(backend.to_numpy(named[place.name])) for name, place in self.table.items()}


def load_pytorch_ntm(source):
    """A LoadedNTM of loudinthecloud/pytorch-ntm: of an EncapsulatedNTM or its ntm, heads in any order.

    ``source``: a state dict, name -> array or tensor on the host, or the path of a .safetensors file.
    ValueError names what is missing, left over or of another shape; TypeError for dtypes that are mixed.
    """
    found = _Found("load_pytorch_ntm", source)
    arrays = {name.removeprefix("ntm."): array for name, array in found.arrays.items()}
    memories = [arrays.pop(name) for name in list(arrays) if name.split(".")[-1] == "mem_bias"]
    if len(memories) == 0 or memories[0].ndim != 2:
        found.refuse("the memory, mem_bias, expected, of two axes")
    if not all(np.array_equal(memory, memories[0]) for memory in memories):
        found.refuse(f"one memory, mem_bias, expected, got {len(memories)} of other numbers")
    found.arrays = arrays
    rows, width = memories[0].shape
    kinds = found.numbered("heads.{}.fc_", lambda rest: rest[0])  # r or w
    readers, units = kinds.count("r"), found.get("controller.lstm.weight_hh_l0").shape[-1]
    if "controller.lstm.weight_ih_l1" in arrays:
        found.refuse("a controller of one LSTM layer expected")
    inputs = found.get("controller.lstm.weight_ih_l0").shape[-1] - readers * width
    model = found.model(
        inputs=inputs, outputs=len(found.get("fc.bias")), rows=rows, width=width, units=units,
        read_heads=readers, write_heads=kinds.count("w"), convention="pytorch_ntm", turns="".join(kinds),
    )  # fmt: skip
    layout = _Layout(model)
    table = layout.lstm("controller.lstm.{}_l0") | layout.outputs("fc")
    table |= {f"controller.lstm_{their}_bias": layout.whole(our) for their, our in
              (("h", "initial_hidden"), ("c", "initial_cell"))}  # fmt: skip
    heads = {"r": iter(range(readers)), "w": iter(range(readers, len(kinds)))}
    for place, kind in enumerate(kinds):
        parts = ["key", "strength", "gate", "shift", "sharpness"] + ["erase", "write_vector"] * (kind == "w")
        name, head = f"heads.{place}.fc_{'read' if kind == 'r' else 'write'}", next(heads[kind])
        table |= layout.told(name, [layout.columns(part, head) for part in parts])
    reads = np.stack([found.take(f"read{i}_bias", (1, width))[0] for i in range(readers)])
    return found.loaded(model, table, {"memory": memories[0], "reads": reads})


def load_jingweiz_ntm(source, rows):
    """A LoadedNTM of the NTM of jingweiz/pytorch-dnc, an NTMCircuit: see ``load_pytorch_ntm``.

    ``rows``: of the memory, which no array of theirs tells; its clip_value is 20.
    """
    found = _Found("load_jingweiz_ntm", source)
    readers, writers = (
        len(found.get(f"accessor.{kind}_heads.hid_2_beta.bias")) for kind in ("read", "write")
    )
    width = len(found.get("accessor.read_heads.hid_2_key.bias")) // readers
    units = found.get("controller.in_2_hid.weight_hh").shape[-1]
    model = found.model(
        inputs=found.get("controller.in_2_hid.weight_ih").shape[-1] - readers * width,
        outputs=len(found.get("hid_to_out.bias")), rows=rows, width=width, units=units,
        read_heads=readers, write_heads=writers, convention="jingweiz",
        shifts=len(found.get("accessor.read_heads.hid_2_shift.bias")) // readers,
    )  # fmt: skip
    layout = _Layout(model)
    table = layout.lstm("controller.in_2_hid.{}") | layout.outputs("hid_to_out")
    ours = {"key": "key", "beta": "strength", "gate": "gate", "shift": "shift", "gamma": "sharpness"}
    for kind, heads in (("read", range(readers)), ("write", range(readers, readers + writers))):
        for their, part in (
            ours | ({"erase": "erase", "add": "write_vector"} if kind == "write" else {})
        ).items():
            told = [layout.columns(part, head) for head in heads]
            table |= layout.told(f"accessor.{kind}_heads.hid_2_{their}", told)
    return found.loaded(model, table, {})


class _Layout:
    """Where things lie in the arrays of a model of ours."""

    def __init__(self, model):
        self.model = model
        self.sizes = head_sizes(model.width, model.read_heads, model.write_heads, model.shifts)

    def whole(self, name):
        return Place(name, np.arange(self.model.shapes()[name][-1]))

    def lstm(self, name):
        """Of one layer: ``name`` has a {} for weight_ih and the like."""
        shapes, units = self.model.shapes(), self.model.units
        columns = np.concatenate([np.arange(units) + units * gate for gate in _GATES])
        return {
            name.format("weight_ih"): Place("input_weights", columns, np.arange(shapes["input_weights"][0])),
            name.format("weight_hh"): Place("hidden_weights", columns, np.arange(units)),
            name.format("bias_ih"): Place("bias", columns),
            name.format("bias_hh"): Place("bias", columns),
        }

    def outputs(self, name):
        features = self.model.read_heads * self.model.width
        rows = np.concatenate([np.arange(self.model.units) + features, np.arange(features)])
        weights = Place("output_weights", np.arange(self.model.outputs), rows)
        return {f"{name}.weight": weights, f"{name}.bias": self.whole("output_bias")}

    def columns(self, part, head):
        """Of what one head is told, read heads counted first."""
        first = sum(self.sizes[: self.sizes._fields.index(part)])
        writes_only = part in ("erase", "write_vector")
        heads = self.model.write_heads if writes_only else self.model.heads
        each = getattr(self.sizes, part) // heads
        return first + each * (head - writes_only * self.model.read_heads) + np.arange(each)

    def told(self, name, columns):
        """A layer of theirs that tells the ``columns``, in this order."""
        columns = np.concatenate(columns)
        return {
            f"{name}.weight": Place("head_weights", columns, np.arange(self.model.units)),
            f"{name}.bias": Place("head_bias", columns),
        }


class _Found:
    """The arrays of a source, each to be taken once, and refusals in the name of ``function``."""

    def __init__(self, function, source):
        self.function = function
        if isinstance(source, (str, os.PathLike)):
            source = read_arrays(source)
        if not isinstance(source, Mapping):
            kind = type(source).__name__
            raise TypeError(f"{function}: source must be a state dict or the path of a file, got {kind}")
        self.arrays = {name: np.asarray(getattr(a, "detach", lambda a=a: a)()) for name, a in source.items()}
        kinds = sorted({str(array.dtype) for array in self.arrays.values()})
        if kinds not in (["float32"], ["float64"]):
            raise TypeError(
                f"{function}: all float32 or all float64 expected, got {', '.join(kinds) or 'none'}"
            )
        self.dtype = kinds[0]

    def refuse(self, what):
        raise ValueError(f"{self.function}: {what}")

    def get(self, name):
        if name not in self.arrays:
            self.refuse(f"{name} is missing")
        return self.arrays[name]

    def take(self, name, shape):
        array = self.get(name)
        if array.shape != shape:
            self.refuse(f"{name} must be {shape}, got {array.shape}")
        del self.arrays[name]
        return array

    def numbered(self, prefix, kind):
        """``kind`` of what follows "prefix 0", "prefix 1", ..., as long as there are such names."""
        kinds = []
        while rest := {
            n.removeprefix(p) for n in self.arrays if n.startswith(p := prefix.format(len(kinds)))
        }:
            kinds.append(kind(min(rest)))
        return kinds

    def model(self, **settings):
        try:
            return NTM(**settings, dtype=self.dtype)
        except ValueError as wrong:
            self.refuse(f"no such machine: {wrong}")

    def loaded(self, model, table, start):
        """The LoadedNTM, unless an array is missing, left over or of another shape."""
        values = {name: np.zeros(shape, self.dtype) for name, shape in model.shapes().items()}
        for name, place in table.items():
            known = self.get(name)
            shape = place.shape()
            if known.size == len(place.columns) and known.ndim > 1 == len(shape):  # (layers, 1, h)
                self.arrays[name] = known.reshape(shape)
            array = self.take(name, shape)
            part = place.columns if place.rows is None else np.ix_(place.rows, place.columns)
            values[place.name][part] += array.T  # two biases are one
        if self.arrays:
            self.refuse(f"there is no place for {', '.join(sorted(self.arrays)[:5])}")
        params = Params(model.shapes(), dtype=self.dtype)
        params.assign({name: backend.asarray(value) for name, value in values.items()})
        return LoadedNTM(model, params, {name: backend.asarray(a) for name, a in start.items()}, table)
