"""Errors planted in our own ops: what the checks must find to be worth anything.

Each is an id, a kind, the op it is planted in, and a function that returns the op with the error in.

    structural   a term missing, a wrong axis, sign or direction, an output's cotangent dropped, what
                 was broadcast not summed: every gradient check of others finds these
    tiny         an epsilon that only the backward has, or has twice, a constant or a saved value
                 rounded to float32: finite differences find few of these
    graded       one gradient too large by 10^-3 ... 10^-12 of itself

The errors are made from the outside, by what goes into the op's own backward and what comes out of
it, so that an op may be rewritten without touching this file.  The forward's value is always right.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps

import numpy as np

from scratchattn.backend import arange_like, array_module, eye_like, real, sum_to_shape
from scratchattn.op import Op


@dataclass(frozen=True)
class PlantedError:
    id: str
    kind: str  # structural, tiny or graded
    op: str
    plant: Callable  # Op -> Op


@dataclass(frozen=True)
class Call:
    """One call of an op and the cotangent of what it returned: all that a backward can know."""

    op: Op
    inputs: tuple
    params: dict
    out: object
    saved: object
    dout: object = None

    def gradients(self, *, dout=None, inputs=None, params=None):
        """The right gradients, by default those that were asked for: or for other values, in a list."""
        saved = self.saved
        if inputs is not None or params is not None:
            inputs = self.inputs if inputs is None else inputs
            _, saved = self.op.forward(*inputs, **{**self.params, **(params or {})})
        return list(self.op.backward(saved, self.dout if dout is None else dout))


def planted(wrong, summed=True):
    """Plant: the gradients are ``wrong(call)``, summed over what was broadcast unless not ``summed``."""

    def plant(op):
        @wraps(op.forward)
        def forward(*inputs, **params):
            out, saved = op.forward(*inputs, **params)
            return out, Call(op, inputs, params, out, saved)

        def backward(call, dout):
            call = replace(call, dout=dout)
            with np.errstate(all="ignore"):  # where an error divides by zero, the checks will tell
                grads = wrong(call)
            if summed:
                active = [x for x, kind in zip(call.inputs, op.kinds) if kind is None]
                pairs = zip(grads, active, strict=True)
                grads = [None if x is None else sum_to_shape(g, x.shape) for g, x in pairs]
            return tuple(grads)

        return replace(op, forward=forward, backward=backward)

    return plant


def gradient(which, change, summed=True):
    """Plant: gradient ``which`` is ``change(g, call)``, the others are right."""

    def wrong(call):
        grads = call.gradients()
        if grads[which] is not None:
            grads[which] = change(grads[which], call)
        return grads

    return planted(wrong, summed)


def cotangent(change):
    """Plant: the backward is right, for the cotangent ``change(*cotangents)``."""
    return planted(lambda call: call.gradients(dout=change(*call.dout)))


def backward_with(**params):
    """Plant: the backward is right, for other ``params`` than the forward's."""
    return planted(lambda call: call.gradients(params=params))


def epsilon(default, change):
    """Plant: the backward has another eps than the forward."""
    return planted(lambda call: call.gradients(params={"eps": change(call.params.get("eps", default))}))


def remembered_in_float32(*which):
    """Plant: the backward has inputs ``which`` as float32 numbers."""

    def wrong(call):
        inputs = [single(x) if i in which else x for i, x in enumerate(call.inputs)]
        return call.gradients(inputs=inputs)

    return planted(wrong)


def too_large(which, part):
    """Plant: gradient ``which`` is too large by ``part`` of itself."""
    return gradient(which, lambda g, call: g * (1 + part))


def single(x):
    """``x`` with its real part rounded to float32."""
    return x + (x.real.astype(np.float32) - x.real)


def spread(entry, g):
    """``entry``, of gradient ``g``, alone."""
    there = np.arange(g.size).reshape(g.shape) == entry % max(g.size, 1)
    return np.where(there, g, 0)


def last(x):
    """Over the last axis."""
    return np.sum(x, axis=-1, keepdims=True)


def turned(x):
    return np.matrix_transpose(x)


# ---- formulas with one thing wrong in them ----------------------------------


def _linkage_diagonal_flows(call):
    link, precedence, w = call.inputs
    diagonal = call.dout[0] * np.eye(w.shape[-1], dtype=w.dtype)
    row, column = w[..., :, None], w[..., None, :]
    dlink, dprecedence, dwrite = call.gradients()
    return [
        dlink + diagonal * (1 - row - column),
        dprecedence + np.sum(diagonal * row, axis=-2),
        dwrite + np.sum(diagonal * (precedence[..., None, :] - 2 * link), axis=-1),
    ]


def _off(call):
    return call.dout[0] * (1 - np.eye(call.inputs[2].shape[-1], dtype=call.inputs[2].dtype))


def _linkage_column_missing(g, call):
    """w_k stands in row k and in column k of the link."""
    return g + np.sum(_off(call) * call.inputs[0], axis=-2)


def _linkage_wrong_axis(g, call):
    """The column's sum taken along the row."""
    kept = _off(call) * call.inputs[0]
    return g + np.sum(kept, axis=-2) - np.sum(kept, axis=-1)


def _linkage_precedence_transposed(g, call):
    """sum_j G_ji w_j for sum_i G_ij w_i."""
    off, w = _off(call), call.inputs[2]
    return g - np.sum(off * w[..., :, None], axis=-2) + np.sum(off * w[..., None, :], axis=-1)


def _write_excluded_product_includes_itself(call):
    """Where a head's own factor is next to nothing, so is what fumin/ntm takes for the others' product."""
    memory, weights, erase, _ = call.inputs
    dmemory, dweights, derase, dvector = call.gradients()
    if call.params.get("order", "erase_all_then_add") != "erase_all_then_add":
        return [dmemory, dweights, derase, dvector]
    factors = 1 - weights[..., :, None] * erase[..., None, :]  # (..., h, n, w)
    xp, heads = array_module(memory), range(weights.shape[-2])
    for h in heads:
        f, w, e = factors[..., h, :, :], weights[..., h, :, None], erase[..., h, None, :]
        lost = xp.where(real(f) * real(f) <= 1e-12, call.dout * memory, 0.0)
        for other in heads:
            if other != h:
                lost = lost * factors[..., other, :, :]
        back = eye_like(weights, len(heads))[:, h : h + 1]
        dweights = dweights + back * xp.sum(lost * e, axis=-1)[..., None, :]
        derase = derase + back * xp.sum(lost * w, axis=-2)[..., None, :]
    return [dmemory, dweights, derase, dvector]


def _softmax_jacobian(weights, dweights):
    return weights * (dweights - last(weights * dweights))


def _cosine_pieces(call):
    """In the form "smoothed": unit vectors, lengths, and the gradient by each similarity."""
    key, memory, strength = call.inputs
    eps = call.params.get("eps", 1e-6)
    length, reach = np.sqrt(last(key * key) + eps), np.sqrt(last(memory * memory) + eps)
    dsimilarity = strength[..., None] * _softmax_jacobian(call.out, call.dout)
    return key / length, length, memory / reach, reach, dsimilarity


def _cosine_key_not_projected(g, call):
    _, length, rows, _, dsimilarity = _cosine_pieces(call)
    return dsimilarity @ rows / length


def _cosine_rows_not_projected(g, call):
    unit, _, _, reach, dsimilarity = _cosine_pieces(call)
    return turned(dsimilarity) @ unit / reach


def _layer_norm_normal(call):
    x = call.inputs[0]
    centred = x - np.mean(x, axis=-1, keepdims=True)
    spread = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + call.params.get("eps", 1e-5))
    scale = 1 if call.inputs[1] is None else call.inputs[1]
    return centred / spread, spread, call.dout * scale


def _layer_norm_spread_constant(g, call):
    _, spread, dnormal = _layer_norm_normal(call)
    return (dnormal - np.mean(dnormal, axis=-1, keepdims=True)) / spread


def _layer_norm_mean_constant(g, call):
    normal, spread, dnormal = _layer_norm_normal(call)
    return (dnormal - normal * np.mean(normal * dnormal, axis=-1, keepdims=True)) / spread


def _halting_remainder_constant(g, call):
    """g(h_n) = g(p_n) before the last step: what is left over is no constant."""
    xp, steps = array_module(g), real(call.out[2][..., None])
    return xp.where(real(arange_like(g, g.shape[-1])) + 1 < steps, call.dout[0], 0.0)


def _halting_last_step_too(g, call):
    """The value that stops the computation, given the gradient of its weight."""
    return g + np.where(np.arange(1, g.shape[-1] + 1) == call.out[2][..., None].real, call.dout[0], 0)


def _product_not_summed(call):
    a, b = call.inputs
    return [call.dout * b, call.dout * a]


def _attention_scale_in_float32(call):
    scale = call.params.get("scale")
    scale = call.inputs[0].shape[-1] ** -0.5 if scale is None else scale
    return call.gradients(params={"scale": float(np.float32(scale))})


def _cosine_first_head_alone(g, call):
    first = np.arange(call.dout.shape[-2]) == 0
    return call.gradients(dout=call.dout * first[:, None])[1]


def _shift_in_the_same_direction(g, call):
    weights, shift = call.inputs
    return call.gradients(inputs=(weights, np.flip(shift, axis=-1)))[0]


def _interpolation_exchanged(call):
    content, previous, *rest = call.gradients()
    return [previous, content, *rest]


def _interpolation_gate_by_content_alone(g, call):
    return np.sum(call.dout * call.inputs[0], axis=-1)


def _layer_norm_other_freedom(call):
    return call.gradients(params={"unbiased": not call.params.get("unbiased", False)})


def _layer_norm_scale_by_x(g, call):
    return call.dout * call.inputs[0]


def _write_addition_missing(g, call):
    return g - call.inputs[3] @ turned(call.dout)


def _lstm_columns_exchanged(g, call):
    """The input's and the forget gate's, in the order i, f, o, c of the four."""
    h = g.shape[-1] // 4
    i, f, rest = g[..., :h], g[..., h : 2 * h], g[..., 2 * h :]
    return array_module(g).concat([f, i, rest], axis=-1)


def _lstm_shown_has_no_part(g, call):
    hidden, cell = call.dout
    return call.gradients(dout=(0 * hidden, cell))[2]


def _lstm_bias_hears_the_last_sequence(g, call):
    b = call.dout[0].shape[-2]
    last_alone = (np.arange(b) == b - 1)[:, None]
    return call.gradients(dout=tuple([x * last_alone for x in call.dout]))[5]


# ---- the catalogue ----------------------------------------------------------

STRUCTURAL = (
    ("product: gradients exchanged", "multiply", planted(lambda c: c.gradients()[::-1])),
    ("product: what was broadcast is not summed", "multiply", planted(_product_not_summed, summed=False)),
    (
        "sum of two: what was broadcast is not summed",
        "add",
        planted(lambda c: [c.dout + 0, c.dout + 0], summed=False),
    ),
    ("difference: sign of the second", "subtract", gradient(1, lambda g, c: -g)),
    ("quotient: g a / b for g a / b^2", "divide", gradient(1, lambda g, c: g * c.inputs[1])),
    ("power: a^b for a^(b-1)", "power", gradient(0, lambda g, c: g * c.inputs[0])),
    (
        "power: the logarithm is missing",
        "power",
        gradient(1, lambda g, c: c.dout * c.out),
    ),
    ("tanh: 1 - tanh for 1 - tanh^2", "tanh", gradient(0, lambda g, c: c.dout * (1 - c.out))),
    ("sqrt: the half is missing", "sqrt", gradient(0, lambda g, c: 2 * g)),
    ("mean: not divided by the number", "mean", gradient(0, lambda g, c: g * (g.size / max(c.dout.size, 1)))),
    ("max: every entry has the gradient", "max", gradient(0, lambda g, c: np.ones_like(g) * np.sum(c.dout))),
    ("cumulative sum: from the same end", "cumulative_sum", gradient(0, lambda g, c: np.flip(g))),
    (
        "matmul: a batch of products is not summed",
        "matmul",
        gradient(1, lambda g, c: turned(c.inputs[0]) @ c.dout, summed=False),
    ),
    ("matmul: the sign of one entry", "matmul", gradient(0, lambda g, c: g - 2 * spread(1, g))),
    ("matmul: the cotangent is ignored", "matmul", planted(lambda c: c.gradients(dout=np.ones_like(c.dout)))),
    ("softmax: the sum is missing", "softmax", gradient(0, lambda g, c: c.out * c.dout)),
    (
        "softmax: the sum has the wrong sign",
        "softmax",
        gradient(0, lambda g, c: c.out * (c.dout + last(c.out * c.dout))),
    ),
    (
        "softmax: the sum runs over all axes",
        "softmax",
        gradient(0, lambda g, c: c.out * (c.dout - np.sum(c.out * c.dout))),
    ),
    (
        "attention: the query's gradient is not scaled",
        "softmax_attention",
        gradient(0, lambda g, c: g * np.sqrt(g.shape[-1]).item()),
    ),
    ("attention: the key's gradient is nothing", "softmax_attention", gradient(1, lambda g, c: 0 * g)),
    (
        "attention: log_sum_exp's cotangent is dropped",
        "softmax_attention",
        cotangent(lambda o, w, s: (o, w, 0 * s)),
    ),
    (
        "attention: the weights' cotangent is dropped",
        "softmax_attention",
        cotangent(lambda o, w, s: (o, 0 * w, s)),
    ),
    (
        "attention: two cotangents are exchanged",
        "softmax_attention",
        cotangent(lambda o, w, s: (o, w * 0 + s[..., None], w[..., 0])),
    ),
    (
        "attention: the value's gradient in reverse order",
        "softmax_attention",
        gradient(2, lambda g, c: np.flip(g, axis=-2)),
    ),
    (
        "cosine: the key's gradient is not projected",
        "cosine_addressing",
        gradient(0, _cosine_key_not_projected),
    ),
    (
        "cosine: the rows' gradient is not projected",
        "cosine_addressing",
        gradient(1, _cosine_rows_not_projected),
    ),
    (
        "cosine: the strength is missing on the way to the key",
        "cosine_addressing",
        gradient(0, lambda g, c: g / c.inputs[2][..., None]),
    ),
    (
        "cosine: the memory hears the first head alone",
        "cosine_addressing",
        gradient(1, _cosine_first_head_alone),
    ),
    (
        "shift: the gradient moves in the same direction",
        "circular_shift",
        gradient(0, _shift_in_the_same_direction),
    ),
    ("shift: offsets in reverse order", "circular_shift", gradient(1, lambda g, c: np.flip(g, axis=-1))),
    (
        "interpolation: gradients exchanged",
        "interpolation",
        planted(_interpolation_exchanged),
    ),
    (
        "interpolation: previous has no part in the gate",
        "interpolation",
        gradient(2, _interpolation_gate_by_content_alone),
    ),
    ("sharpening: not divided by the weight", "sharpening", gradient(0, lambda g, c: g * c.inputs[0])),
    ("sharpening: the exponent has no gradient", "sharpening", gradient(1, lambda g, c: 0 * g)),
    ("halting: the remainder is a constant", "halting", gradient(0, _halting_remainder_constant)),
    ("halting: the remainder's cotangent is dropped", "halting", cotangent(lambda w, r, s: (w, 0 * r, s))),
    ("halting: the last step has a gradient too", "halting", gradient(0, _halting_last_step_too)),
    ("layer norm: the spread is a constant", "layer_norm", gradient(0, _layer_norm_spread_constant)),
    ("layer norm: the mean is a constant", "layer_norm", gradient(0, _layer_norm_mean_constant)),
    ("layer norm: the other count of freedom", "layer_norm", planted(_layer_norm_other_freedom)),
    ("layer norm: scale by x and not by the normalised", "layer_norm", gradient(1, _layer_norm_scale_by_x)),
    ("lstm: the columns of two gates are exchanged", "lstm_cell", gradient(5, _lstm_columns_exchanged)),
    (
        "lstm: the cell's cotangent is dropped",
        "lstm_cell",
        cotangent(lambda hidden, cell: (hidden, 0 * cell)),
    ),
    ("lstm: what is shown has no part in the cell", "lstm_cell", gradient(2, _lstm_shown_has_no_part)),
    (
        "lstm: the bias hears the last sequence alone",
        "lstm_cell",
        gradient(5, _lstm_bias_hears_the_last_sequence),
    ),
    ("read: all zero", "memory_read", planted(lambda c: [0 * x for x in c.inputs])),
    (
        "read: the weights' gradient in reverse order",
        "memory_read",
        gradient(0, lambda g, c: np.flip(g, axis=-1)),
    ),
    (
        "write: a product without one factor has that factor",
        "memory_write",
        planted(_write_excluded_product_includes_itself),
    ),
    ("write: one order's gradient for another's", "memory_write", backward_with(order="sequential")),
    ("write: what is erased has the wrong sign", "memory_write", gradient(2, lambda g, c: -g)),
    ("write: the addition has no part in the weights", "memory_write", gradient(1, _write_addition_missing)),
    (
        "write: the memory is kept whole",
        "memory_write",
        gradient(0, lambda g, c: c.dout + 0),
    ),
    ("linkage: the diagonal flows", "dnc_linkage", planted(_linkage_diagonal_flows)),
    ("linkage: the column is missing", "dnc_linkage", gradient(2, _linkage_column_missing)),
    ("linkage: the column's sum along the row", "dnc_linkage", gradient(2, _linkage_wrong_axis)),
    (
        "linkage: the precedence reads the link transposed",
        "dnc_linkage",
        gradient(1, _linkage_precedence_transposed),
    ),
    (
        "linkage: the precedence's cotangent is dropped",
        "dnc_linkage",
        cotangent(lambda link, last: (link, 0 * last)),
    ),
    ("directional: the outputs are exchanged", "directional_weightings", cotangent(lambda f, b: (b, f))),
    (
        "directional: the link's gradient is transposed",
        "directional_weightings",
        gradient(0, lambda g, c: turned(g) + 0),
    ),
    (
        "directional: one entry is dropped",
        "directional_weightings",
        gradient(1, lambda g, c: g - spread(1, g)),
    ),
)

TINY = (
    ("exp: a slope plus 1e-12", "exp", gradient(0, lambda g, c: g + 1e-12 * c.dout)),
    ("log: an epsilon of 1e-12", "log", gradient(0, lambda g, c: c.dout / (c.inputs[0] + 1e-12))),
    (
        "quotient: an epsilon of 1e-10",
        "divide",
        gradient(0, lambda g, c: c.dout / (c.inputs[1] + 1e-10)),
    ),
    ("sqrt: an epsilon of 1e-12", "sqrt", gradient(0, lambda g, c: c.dout / (2 * c.out + 1e-12))),
    (
        "tanh: a value in float32",
        "tanh",
        gradient(0, lambda g, c: c.dout * (1 - single(c.out) * single(c.out))),
    ),
    ("power: an exponent in float32", "power", remembered_in_float32(1)),
    ("mean: one third in float32", "mean", gradient(0, lambda g, c: g * (float(np.float32(1 / 3)) * 3))),
    (
        "softmax: weights in float32",
        "softmax",
        gradient(0, lambda g, c: _softmax_jacobian(single(c.out), c.dout)),
    ),
    ("softmax: an epsilon of 1e-11 in the total", "softmax", gradient(0, lambda g, c: g / (1 + 1e-11))),
    ("attention: the value in float32", "softmax_attention", remembered_in_float32(2)),
    ("attention: the scale in float32", "softmax_attention", planted(_attention_scale_in_float32)),
    ("cosine: the epsilon twice", "cosine_addressing", epsilon(1e-6, lambda eps: 2 * eps)),
    ("cosine: the epsilon missing", "cosine_addressing", backward_with(eps=1e-30)),
    ("cosine: the strength in float32", "cosine_addressing", remembered_in_float32(2)),
    ("shift: the shift in float32", "circular_shift", remembered_in_float32(1)),
    ("interpolation: the gate in float32", "interpolation", remembered_in_float32(2)),
    ("sharpening: the exponent in float32", "sharpening", remembered_in_float32(1)),
    ("layer norm: the epsilon twice", "layer_norm", epsilon(1e-5, lambda eps: 2 * eps)),
    ("layer norm: an epsilon of 1e-5 + 1e-11", "layer_norm", epsilon(1e-5, lambda eps: eps + 1e-11)),
    ("lstm: the cell in float32", "lstm_cell", remembered_in_float32(2)),
    ("read: the memory in float32", "memory_read", remembered_in_float32(1)),
    ("write: what is erased in float32", "memory_write", remembered_in_float32(2)),
    ("linkage: the precedence in float32", "dnc_linkage", remembered_in_float32(1)),
    ("linkage: 1 - sum w plus 1e-12", "dnc_linkage", gradient(1, lambda g, c: g + 1e-12 * c.dout[1])),
    ("directional: the link in float32", "directional_weightings", remembered_in_float32(0)),
)

GRADED = (
    ("multiply", 0, 1e-3),
    ("matmul", 1, 1e-12),
    ("softmax", 0, 1e-10),
    ("softmax", 0, 1e-12),
    ("softmax_attention", 0, 1e-4),
    ("softmax_attention", 1, 1e-8),
    ("softmax_attention", 2, 1e-12),
    ("cosine_addressing", 0, 1e-5),
    ("cosine_addressing", 1, 1e-9),
    ("cosine_addressing", 2, 1e-12),
    ("circular_shift", 1, 1e-7),
    ("circular_shift", 0, 1e-12),
    ("sharpening", 1, 1e-11),
    ("interpolation", 2, 1e-12),
    ("halting", 0, 1e-12),
    ("layer_norm", 0, 1e-6),
    ("layer_norm", 1, 1e-12),
    ("lstm_cell", 2, 1e-9),
    ("lstm_cell", 4, 1e-12),
    ("memory_read", 1, 1e-12),
    ("memory_write", 1, 1e-9),
    ("memory_write", 3, 1e-12),
    ("dnc_linkage", 2, 1e-6),
    ("dnc_linkage", 1, 1e-12),
    ("directional_weightings", 0, 1e-12),
)

CATALOGUE = (
    *[PlantedError(label, "structural", op, plant) for label, op, plant in STRUCTURAL],
    *[PlantedError(label, "tiny", op, plant) for label, op, plant in TINY],
    *[
        PlantedError(f"{op}: gradient {which} by {part:.0e}", "graded", op, too_large(which, part))
        for op, which, part in GRADED
    ],
)
