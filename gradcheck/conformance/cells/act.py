"""Adaptive computation time around a tanh cell, at one time step, as ``nn/act.py`` has it.

The cell is h' = tanh([x, flag] W_x + h W_h + b), whose output is its state.
"""

import numpy as np

from scratchattn.nn.act import FLAGS, ACTWeights, act_shapes, act_step
from scratchattn.op import REGISTRY, Case, Variant

from .taped import cell, drawn

_tanh = REGISTRY["tanh"]
_SOURCE = "nn/act.py; Graves, arXiv:1603.08983, section 2"
_RULE = {"eps": 0.01, "strict": False, "clamped": False, "at_cap": "remainder", "mixing": "sum"}
_PARAMS = {"limit": 100, **_RULE, "flag": "first"}
_FLAG_OF = {"zphang_hidden": {"flag": "later"}}  # what the rule alone does not say


def _step(x, state, input_weights, hidden_weights, bias, halting_weights, halting_bias, **how):
    def tanh_cell(x, h):
        h = _tanh(x @ input_weights + h @ hidden_weights + bias)
        return h, h

    found = act_step(x, state, tanh_cell, ACTWeights(halting_weights, halting_bias), look=True, **how)
    return found.state, found.remainder, found.steps


def _cases(rng):
    yield Case("few steps", *_drawn(rng, 2, 0.3))
    yield Case("many steps", *_drawn(rng, 2, -1.5))
    yield Case("one step", *_drawn(rng, 2, 6.0))
    yield Case("at the limit", *_drawn(rng, 2, -1.0, limit=2))
    yield Case("without a flag", *_drawn(rng, 2, -0.5, flag=None))


def _drawn(rng, batch, bias, **params):
    """Inputs and params; drawn again until it is clear where each example stops, also in low precision."""
    inputs, units = 3, 4
    flagged = inputs + (params.get("flag", "first") is not None)
    shapes = {"input_weights": (flagged, units), "hidden_weights": (units, units), "bias": (units,)}
    while True:
        weights = drawn(rng, shapes | act_shapes(units))
        weights["bias"], weights["halting_bias"] = 0.1 * weights["bias"], np.array([bias])
        arrays = (rng.normal(size=(batch, inputs)), rng.normal(size=(batch, units)), *weights.values())
        steps = [_step(*arrays, **{"eps": eps, **params})[2] for eps in (0.001, 0.01, 0.06)]
        if all(np.array_equal(steps[0], other) for other in steps[1:]):
            return arrays, params, (), 0.02  # a margin of inputs that move a sum by as much at most


def _variants():
    for flag in FLAGS:
        if flag != "first":
            yield Variant(f"flag={flag}", {"flag": flag}, _SOURCE)
    for variant in REGISTRY["halting"].variants:
        if variant.params and set(variant.params) <= set(_PARAMS):
            params = variant.params | _FLAG_OF.get(variant.name, {})
            yield Variant(variant.name, params, variant.source)


CELLS = (
    cell(
        "act",
        "x(b,i), state(b,h), input_weights(c,h), hidden_weights(h,h), bias(h), halting_weights(h,1), "
        "halting_bias(1) -> new_state(b,h), remainder(b), steps(b)",
        _step,
        _cases,
        params=_PARAMS,
        variants=_variants(),
        source=_SOURCE,
    ),
)
