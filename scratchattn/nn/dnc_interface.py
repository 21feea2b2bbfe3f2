"""The interface vector of a DNC: what the controller emits in one step, and its squashing.

With ``r`` read heads, ``h`` write heads and rows of width ``w``, side by side in the paper's order,

    part                size        squashed by     what it is
    read_keys           r w                         what each read head looks for
    read_strengths      r           oneplus         and how narrowly
    write_keys          h w                         the same for the write heads
    write_strengths     h           oneplus
    erase               h w         sigmoid         what is removed from the rows that are written
    write_vectors       h w                         what is added to them
    free_gates          r           sigmoid         whether rows that were read are free now
    allocation_gates    h           sigmoid         free rows, or rows that are alike
    write_gates         h           sigmoid         whether anything is written
    read_modes          r (1 + 2h)  softmax         back, alike or onwards

w r + 3 w + 5 r + 3 columns for one write head.  What Csordas and Schmidhuber add stands at the end:

    write_masks         h w         sigmoid         if ``masked``: which columns of a row are compared
    read_masks          r w         sigmoid
    forward_sharpness   h r         oneplus         if ``sharpen_links``: for each link and read head
    backward_sharpness  h r         oneplus

Conventions
-----------
The index of the head runs slowest in every part; in Mostafa-Samir/DNC-tensorflow it runs fastest in
keys and modes.  Other codes have other orders of the parts: imported weights are permuted.

Source: Graves et al., Nature 538 (2016) 471, Methods, "Interface parameters".
"""

from math import prod
from typing import Any, NamedTuple

from ..ops.activations import oneplus, sigmoid, softplus
from ..ops.exponential import tanh
from ..ops.shaping import reshape, split
from ..ops.softmax import softmax


class DNCInterface(NamedTuple):
    """What the controller says in one step, squashed; None for what this DNC does not have."""

    read_keys: Any  # (b, r, w)
    read_strengths: Any  # (b, r), at least one if oneplus
    write_keys: Any  # (b, h, w)
    write_strengths: Any  # (b, h)
    erase: Any  # (b, h, w), in (0, 1)
    write_vectors: Any  # (b, h, w)
    free_gates: Any  # (b, r), in (0, 1)
    allocation_gates: Any  # (b, h), in (0, 1)
    write_gates: Any  # (b, h), in (0, 1)
    read_modes: Any  # (b, r, 1 + 2h), on the simplex
    allocation_complements: Any  # (b, h), 1 - allocation_gates to all its digits
    write_masks: Any = None  # (b, h, w), in (mask_min, 1)
    read_masks: Any = None  # (b, r, w)
    forward_sharpness: Any = None  # (b, h, r), at least one
    backward_sharpness: Any = None  # (b, h, r)


def interface_shapes(width, read_heads, write_heads=1, *, masked=False, sharpen_links=False):
    """name -> shape of each part for one sequence, in the order in which they stand."""
    r, h, w = read_heads, write_heads, width
    shapes = {
        "read_keys": (r, w),
        "read_strengths": (r,),
        "write_keys": (h, w),
        "write_strengths": (h,),
        "erase": (h, w),
        "write_vectors": (h, w),
        "free_gates": (r,),
        "allocation_gates": (h,),
        "write_gates": (h,),
        "read_modes": (r, 1 + 2 * h),
    }
    if masked:
        shapes |= {"write_masks": (h, w), "read_masks": (r, w)}
    if sharpen_links:
        shapes |= {"forward_sharpness": (h, r), "backward_sharpness": (h, r)}
    return shapes


def interface_size(*sizes, **switches):
    """How many columns the interface vector has; arguments as for ``interface_shapes``."""
    return sum(map(prod, interface_shapes(*sizes, **switches).values()))


def interface(raw, width, read_heads, write_heads, convention):
    """Cut what the controller emitted, (b, columns), and squash it: a DNCInterface.

    ValueError for another number of columns than ``interface_size``.
    """
    switches = {"masked": convention.masked, "sharpen_links": convention.sharpen_links}
    shapes = interface_shapes(width, read_heads, write_heads, **switches)
    sizes = tuple(map(prod, shapes.values()))
    if raw.shape[-1] != sum(sizes):
        raise ValueError(f"interface: raw must have {sum(sizes)} columns, got {raw.shape[-1]} in {raw.shape}")
    raw = {
        name: reshape(part, shape=(*part.shape[:-1], *shape))
        for part, (name, shape) in zip(split(raw, sections=sizes, axis=-1), shapes.items(), strict=True)
    }
    strength = oneplus if convention.strength == "oneplus" else softplus
    word = tanh if convention.keys == "tanh" else lambda x: x
    said = DNCInterface(
        read_keys=word(raw["read_keys"]),
        read_strengths=strength(raw["read_strengths"]),
        write_keys=word(raw["write_keys"]),
        write_strengths=strength(raw["write_strengths"]),
        erase=sigmoid(raw["erase"]),
        write_vectors=word(raw["write_vectors"]),
        free_gates=sigmoid(raw["free_gates"]),
        allocation_gates=sigmoid(raw["allocation_gates"]),
        write_gates=sigmoid(raw["write_gates"]),
        read_modes=softmax(raw["read_modes"]),
        allocation_complements=sigmoid(-raw["allocation_gates"]),
    )
    if convention.masked:
        masks = {name: sigmoid(raw[name]) for name in ("write_masks", "read_masks")}
        if convention.mask_min:
            least = convention.mask_min
            masks = {name: least + (1.0 - least) * mask for name, mask in masks.items()}
        said = said._replace(**masks)
    if convention.sharpen_links:
        sharpness = {name: oneplus(raw[name]) for name in ("forward_sharpness", "backward_sharpness")}
        said = said._replace(**sharpness)
    return said
