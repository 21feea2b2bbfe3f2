"""Whole cells in the field: back-propagation through many steps, decided without a tolerance.

Each of ``COMPOSITIONS`` draws, from a generator and a size in 0..2, a function of arrays or tensors that
returns a tuple, and the arrays to call it with.
"""

import numpy as np

from scratchattn.nn import act, dnc_cell, ntm_cell, transformer_block
from scratchattn.op import REGISTRY
from scratchattn.tape import vjp

from .exact import refuted

SIZES = 3


def composition_is_the_adjoint_in_a_field(name, seed, size):
    """<u, J v> = <J^T u, v> for ``name`` at one seed and size: a result like that of an op's check."""
    rng = np.random.default_rng([seed, size])
    function, primals = COMPOSITIONS[name](rng, size)
    wrong = refuted(lambda: _differs(function, primals, rng))
    check = "composition_is_the_adjoint_in_a_field"
    what = "<u, J v> - <J^T u, v> modulo p"
    return {
        "op": name, "case": f"size {size}", "check": check, "what": what,
        "error": float(wrong), "tolerance": 0.0, "ok": not wrong,
    }  # fmt: skip


def _differs(function, primals, rng):
    from .numbers.field import FieldArray, inner

    primals = [FieldArray.random(x, rng) for x in primals]
    out, pullback = vjp(lambda *x: tuple(function(*x)), *primals)
    u = [FieldArray.random(rng.normal(size=y.shape), rng, tangents=False) for y in out]
    left = inner([a.values() for a in u], [FieldArray.of(y).tangents() for y in out])
    right = inner([g.values() for g in pullback(*u)], [x.tangents() for x in primals])
    return left != right


def ntm(rng, size, steps=10):
    """Ten steps of a Neural Turing Machine with an LSTM."""
    reads, writes, n, w, shifts = ((1, 1, 3, 2, 3), (2, 1, 4, 2, 3), (1, 2, 3, 1, 5))[size]
    b, i, o, h, k = 1, 2, 1, 2, reads + writes
    weights = _drawn(rng, ntm_cell.ntm_shapes(i, o, h, w, reads, writes, shifts, "lstm"))
    state = [rng.normal(size=(b, reads, w)), rng.normal(size=(b, n, w))]
    state += [rng.dirichlet(np.ones(n), size=(b, k)), *rng.normal(size=(2, b, h))]
    names = list(weights)

    def function(xs, *rest):
        cell = ntm_cell.NTMWeights(**dict(zip(names, rest[5:])))
        outputs, last = ntm_cell.ntm_sequence(xs, ntm_cell.NTMState(*rest[:5]), cell)
        return outputs, *last

    return function, [rng.normal(size=(steps, b, i)), *state, *weights.values()]


def dnc(rng, size, steps=5):
    """Five steps of a Differentiable Neural Computer with an LSTM."""
    reads, writes, n, w = ((1, 1, 3, 2), (2, 1, 3, 1), (1, 2, 3, 2))[size]
    b, i, o, h = 1, 2, 1, 2
    weights = _drawn(rng, dnc_cell.dnc_shapes(i, o, h, 1, w, reads, writes))
    state = [rng.normal(size=(b, n, w)), rng.uniform(0.1, 0.9, size=(b, n))]
    state += [rng.uniform(0, 0.3, size=(b, writes, n, n)) * (1 - np.eye(n))]
    state += [rng.dirichlet(np.ones(n), size=(b, heads)) for heads in (writes, writes, reads)]
    state += [rng.normal(size=(b, reads, w)), *rng.normal(size=(2, b, h))]
    names = list(weights)

    def function(xs, *rest):
        start = dnc_cell.DNCState(*rest[:7], controller=(rest[7:9],))
        outputs, last = dnc_cell.dnc_sequence(xs, start, dnc_cell.dnc_weights(dict(zip(names, rest[9:]))))
        return outputs, *last[:7], *last.controller[0]

    return function, [rng.normal(size=(steps, b, i)), *state, *weights.values()]


def transformer(rng, size):
    """A layer of a Transformer: attention, norms, feed-forward."""
    placement, activation, norm = (
        ("post", "relu", "layer_norm"),
        ("pre", "gelu_tanh", "layer_norm"),
        ("pre", "silu", "rms_norm"),
    )[size]
    gated = activation == "silu"
    shapes = transformer_block.encoder_shapes(4, 2, 3, gated=gated, norm=norm, bias=not gated)
    weights = _drawn(rng, shapes)
    names = list(weights)

    def function(x, *rest):
        found = transformer_block.gathered(transformer_block.EncoderWeights, dict(zip(names, rest)))
        how = {"heads": 2, "causal": "bottom_right", "placement": placement, "norm": norm}
        return (transformer_block.encoder_layer(x, found, activation=activation, **how).out,)

    return function, [rng.normal(size=(1, 3, 4)), *weights.values()]


def pondering(rng, size, steps=5):
    """Adaptive computation time around a tanh cell, five time steps."""
    b, i, h = ((1, 2, 3), (2, 1, 2), (2, 2, 2))[size]
    tanh = REGISTRY["tanh"]

    def function(xs, state, wx, wh, halting, bias):
        def cell(x, h):
            h = tanh(x @ wx + h @ wh)
            return h, h

        found = act.act_sequence(xs, state, cell, act.ACTWeights(halting, bias), limit=4)
        return found.out, found.state, found.remainder

    shapes = [(steps, b, i), (b, h), (i + 1, h), (h, h), (h, 1)]
    return function, [*[rng.normal(size=shape) for shape in shapes], np.array([-0.5 * size])]


COMPOSITIONS = {
    "ntm, 10 steps": ntm,
    "dnc, 5 steps": dnc,
    "transformer layer": transformer,
    "act, 5 steps": pondering,
}


def _drawn(rng, shapes):
    return {name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
