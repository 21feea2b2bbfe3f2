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
``interface_order`` has the parts in another order: those of Csordas and of ADNC are in
``conventions/presets.py``.  The index of the head runs slowest in every part; in the parts that
``heads_fastest`` names it runs fastest, as in the keys and modes of Mostafa-Samir/DNC-tensorflow.
``clip_interface`` keeps all of it within bounds, before it is squashed.

Source: Graves et al., Nature 538 (2016) 471, Methods, "Interface parameters".
"""

from math import prod
from typing import Any, NamedTuple

from ..ops.activations import oneplus, sigmoid, softplus
from ..ops.axes import transpose
from ..ops.choice import clip
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
    c = convention
    if c.clip_interface:
        raw = clip(raw, low=-c.clip_interface, high=c.clip_interface)
    raw = _cut(raw, width, read_heads, write_heads, c)
    strength = oneplus if c.strength == "oneplus" else softplus
    bend = {} if c.softplus_threshold is None else {"threshold": c.softplus_threshold}
    word = tanh if c.keys == "tanh" else lambda x: x
    said = DNCInterface(
        read_keys=word(raw["read_keys"]),
        read_strengths=strength(raw["read_strengths"], **bend),
        write_keys=word(raw["write_keys"]),
        write_strengths=strength(raw["write_strengths"], **bend),
        erase=sigmoid(raw["erase"]),
        write_vectors=word(raw["write_vectors"]),
        free_gates=sigmoid(raw["free_gates"]),
        allocation_gates=sigmoid(raw["allocation_gates"]),
        write_gates=sigmoid(raw["write_gates"]),
        read_modes=softmax(raw["read_modes"]),
        allocation_complements=sigmoid(-raw["allocation_gates"]),
    )
    if c.masked:
        masks = {name: sigmoid(raw[name]) for name in ("write_masks", "read_masks")}
        if c.mask_min:
            masks = {name: c.mask_min + (1.0 - c.mask_min) * mask for name, mask in masks.items()}
        said = said._replace(**masks)
    if c.sharpen_links:
        sharpness = {n: oneplus(raw[n], **bend) for n in ("forward_sharpness", "backward_sharpness")}
        said = said._replace(**sharpness)
    return said


def _cut(raw, width, read_heads, write_heads, convention):
    """name -> part (b, heads, ...) of the interface (b, columns)."""
    switches = {"masked": convention.masked, "sharpen_links": convention.sharpen_links}
    shapes = interface_shapes(width, read_heads, write_heads, **switches)
    names = [name for name in convention.interface_order if name in shapes]
    sizes = tuple(prod(shapes[name]) for name in names)
    if raw.shape[-1] != sum(sizes):
        raise ValueError(f"interface: raw must have {sum(sizes)} columns, got {raw.shape[-1]} in {raw.shape}")
    parts = {}
    for name, part in zip(names, split(raw, sections=sizes, axis=-1), strict=True):
        batch, shape = part.shape[:-1], shapes[name]
        if name in convention.heads_fastest and len(shape) > 1:
            parts[name] = transpose(reshape(part, shape=(*batch, *shape[::-1])), axes=(0, 2, 1))
        else:
            parts[name] = reshape(part, shape=(*batch, *shape))
    return parts
