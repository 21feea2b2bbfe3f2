"""Weights that others have named and laid out: what they are here, and our gradients under their names.

A layout is a function of a mapping, name -> array as the others have it, that returns name -> array as we
have it.  It is made of our ops, so that it runs on the tape: pulled back through it, the gradients of our
parameters are those of theirs.  It moves numbers and adds some, L, and so the way back is L^T: of numbers
that enter alone it is their place, and of a sum, as of two biases, each gets an equal part, L^T (L L^T)^-1.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .. import backend
from ..ops.axes import transpose
from ..ops.shaping import concat, split
from ..parameters import Params
from ..tape import Tensor, vjp
from .safetensors import few, read_arrays

_TORCH_GATES = 0, 1, 3, 2  # of PyTorch's i f g o, ours are i f o g


class Theirs:
    """A mapping that remembers what was taken from it; ValueError for a name that is not there."""

    def __init__(self, who, arrays):
        self.who, self.arrays, self.taken = who, dict(arrays), {}

    def __contains__(self, name):
        return name in self.arrays

    def __getitem__(self, name):
        if name not in self.arrays:
            raise ValueError(f"{self.who}: the weights lack {name}; they have {few(list(self.arrays))}")
        self.taken[name] = self.arrays[name]
        return self.arrays[name]

    def turned(self, name):
        """A matrix that PyTorch has as (out, in), as (in, out)."""
        if len(self[name].shape) != 2:
            raise ValueError(f"{self.who}: {name} must have two axes, got shape {self[name].shape}")
        return transpose(self[name])

    def refuse_rest(self):
        """ValueError if something was not taken."""
        rest = [name for name in self.arrays if name not in self.taken]
        if rest:
            raise ValueError(f"{self.who}: the weights have, and the layout has not, {few(rest)}")


def columns(matrix, order):
    """The equal parts of the last axis in another order: those that stood at ``order``."""
    size = matrix.shape[-1] // len(order)
    parts = split(matrix, sections=(size,) * len(order), axis=-1)
    return concat(*[parts[k] for k in order], axis=-1)


def torch_lstm(theirs, prefix, ending):
    """A layer of torch.nn.LSTM, or an LSTMCell: input_weights, hidden_weights and one bias, as ours are."""
    seen, hidden = (
        columns(theirs.turned(f"{prefix}weight_{of}{ending}"), _TORCH_GATES) for of in ("ih", "hh")
    )
    bias = 0.0 * hidden[0]
    if f"{prefix}bias_ih{ending}" in theirs:
        bias = columns(theirs[f"{prefix}bias_ih{ending}"] + theirs[f"{prefix}bias_hh{ending}"], _TORCH_GATES)
    return {"input_weights": seen, "hidden_weights": hidden, "bias": bias}


def shown_and_read(theirs, layer, units):
    """Weights of outputs that see hidden units, and what is read after them: a matrix (in, out) for each."""
    whole = theirs.turned(f"{layer}.weight")
    if whole.shape[0] < units:
        raise ValueError(f"{theirs.who}: {layer}.weight must see {units} units and what is read")
    return split(whole, sections=(units, whole.shape[0] - units), axis=0)


def arrays_of(who, source):
    """name -> NumPy array, of a mapping (a ``state_dict`` also) or the path of a .safetensors file."""
    if isinstance(source, (str, Path)):
        return read_arrays(source)
    if not isinstance(source, Mapping):
        raise TypeError(f"{who}: source must be a mapping or a path, got {type(source).__name__}")
    return {name: np.asarray(value) for name, value in source.items()}


def renamed(who, layout, arrays):
    """name -> array as we have it.  ValueError for what is missing, and for what is too much."""
    theirs = Theirs(who, arrays)
    ours = layout(theirs)
    theirs.refuse_rest()
    return {name: value.data if isinstance(value, Tensor) else value for name, value in ours.items()}


def fitting_params(who, model, found):
    """Params of ``model`` that hold ``found``, name -> array; ValueError where a shape does not fit."""
    for name, shape in model.shapes().items():
        if found[name].shape != shape:
            raise ValueError(f"{who}: {name} must have shape {shape}, got {found[name].shape}")
    params = Params(model.shapes(), dtype=model.dtype)
    params.assign({name: backend.asarray(value) for name, value in found.items()})
    return params


def gradients_by_their_names(who, layout, arrays, gradients):
    """name -> gradient as they have it, given name -> gradient as we have it."""
    names = list(arrays)
    ours = list(renamed(who, layout, arrays))

    def mapped(*values):
        found = layout(Theirs(who, dict(zip(names, values, strict=True))))
        return tuple(found[name] for name in ours)

    _, pullback = vjp(mapped, *[arrays[name] for name in names])
    return dict(zip(names, pullback(*[gradients[name] for name in ours]), strict=True))


def under_their_names(who, layout, like, values):
    """name -> array as they have it, of ours; ``like``, a mapping, has their names and shapes.

    ValueError for what theirs have not, and for another shape.
    """
    (dtype,) = {value.dtype for value in values.values()}
    like = {name: np.zeros(array.shape, dtype) for name, array in like.items()}
    shapes = {name: array.shape for name, array in renamed(who, layout, like).items()}
    for name, value in values.items():
        if shapes.get(name) != value.shape:
            raise ValueError(f"{who}: {name} of shape {value.shape} is {shapes.get(name)} in theirs")
    ones = {name: np.ones_like(value) for name, value in values.items()}
    counts = renamed(who, layout, gradients_by_their_names(who, layout, like, ones))
    for name, value in values.items():
        if ((counts[name] == 0) & (value != 0)).any():
            raise ValueError(f"{who}: theirs have no {name}, and it is not zero")
    parts = {name: value / np.where(counts[name], counts[name], 1) for name, value in values.items()}
    return gradients_by_their_names(who, layout, like, parts)
