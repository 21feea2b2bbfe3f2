"""Rounding plans: where a program in low precision rounds, to what and how.

A kernel in bfloat16 does not round once at the end, as a reference in float64 would: it rounds its
probabilities before it multiplies them, or its scores, and accumulates in float32.  What it may lose follows
from where it rounds.  A plan says so, and the noise is added there and nowhere else:

    Plan(outputs="bfloat16")                              all in float32, rounded at the end
    Plan(intermediates="bfloat16", outputs="bfloat16")    one framework call after the other
    Plan(probabilities="bfloat16", dscores="bfloat16", row_sums="bfloat16", outputs="bfloat16")
                                                          FlashAttention

The named stages are those of a softmax: its logits (scores), its weights (probabilities) and the gradients
by both.  ``row_sums``: sum_j p_j dp_j is taken as sum_c out_c dout_c from outputs that have been rounded.
``copies``: who broadcasts by copies rounds the gradient of each before they are summed.  All that no stage
names is as exact as ``accumulators``, or as ``intermediates`` if those are given; sums and products of
matrices are always taken in ``accumulators`` and rounded once.

Source of the row sums: Dao, "FlashAttention-2", arXiv 2307.08691, algorithm 2, line 4.
"""

import functools
from dataclasses import dataclass, fields, replace

import numpy as np

from scratchattn import calculus
from scratchattn.backend import array_module

from ..numbers.noise import UNITS, NoisyNamespace
from .cells.taped import parts_of
from .rounding import MODES
from .tolerance import Strangers

LOW = ("float16", "bfloat16")
_LEAST = {"float16": 2.0**-25, "bfloat16": 0.0, "float32": 0.0, "float64": 0.0}  # half of the smallest number
STAGES = ("scores", "probabilities", "dprobabilities", "dscores")


@dataclass(frozen=True)
class Plan:
    """Dtypes by name, None for what is not rounded; ``mode`` is nearest, toward_zero or stochastic.

    ``inputs`` are rounded only if to less than they are given in.  ValueError for other dtypes and modes.
    """

    inputs: str | None = None
    scores: str | None = None
    probabilities: str | None = None
    dprobabilities: str | None = None
    dscores: str | None = None
    accumulators: str = "float32"
    row_sums: str | None = None
    copies: str | None = None
    outputs: str | None = None
    intermediates: str | None = None
    mode: str = "nearest"

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "mode":
                if value not in MODES:
                    raise ValueError(f"Plan: mode must be one of {', '.join(MODES)}, got {value!r}")
            elif value not in UNITS and not (value is None and field.name != "accumulators"):
                raise ValueError(f"Plan: {field.name} must be one of {', '.join(UNITS)}, got {value!r}")

    @classmethod
    def of(cls, dtype):
        """What is assumed without a plan: every intermediate result rounded, sums in float32."""
        return cls(intermediates=dtype, outputs=dtype)

    def check(self, op):
        """ValueError if a stage is named that ``op`` does not have."""
        named = [name for name in STAGES if getattr(self, name) is not None]
        there = {calculus.softmax, calculus.softmax_and_log_sum, calculus.softmax_backward}
        parts = [op] if op.equals is None else parts_of(op)
        known = [value for part in parts for value in part.forward.__globals__.values() if callable(value)]
        if named and not any(value in there for value in known if value.__module__ == calculus.__name__):
            raise ValueError(f"Plan: {op.name} has no {named[0]}; say Plan(intermediates=...)")
        if self.row_sums is not None and "log_sum_exp" not in op.outputs:
            raise ValueError(f"Plan: {op.name} has no row_sums; softmax_attention has")

    def text(self, op):
        """``op`` with the formulas that the plan implies."""
        return op if self.row_sums is None else _from_outputs(op)

    @property
    def unit(self):
        """Roundoff of what no stage names."""
        return UNITS[self.intermediates or self.accumulators]

    def noisy(self, x, name, rng, given=None):
        """``x`` with the error that rounding it at the stage ``name`` brings."""
        dtype = getattr(self, name)
        if dtype is None or (given is not None and UNITS[dtype] <= UNITS[given]):
            return x
        return x + (UNITS[dtype] * abs(x) + _LEAST[dtype]) * self.draw(x, rng)

    def draw(self, x, rng):
        """Errors in roundoffs of ``x``: within one, or up to two toward zero, or up to two both ways."""
        drawn = rng.uniform(-1.0, 1.0, np.shape(x))
        if self.mode == "toward_zero":
            return np.sign(x) * (drawn - 1.0)
        return 2.0 * drawn if self.mode == "stochastic" else drawn


def _from_outputs(op):
    """Attention whose backward takes sum_j p_j dp_j from the rounded outputs.

    What that is off by goes where the cotangent of log_sum_exp goes: p times it is added to dscores.
    """

    @functools.wraps(op.forward)
    def forward(*inputs, **params):
        outputs, saved = op.forward(*inputs, **params)
        return outputs, (outputs[0], saved)

    def backward(saved, douts):
        (out, saved), (dout, dweights, dlog_sum_exp) = saved, douts
        xp = array_module(out, dout)
        slip = xp.stage("row_sums", out) - out if hasattr(type(xp), "stage") else 0 * out
        return op.backward(saved, (dout, dweights, dlog_sum_exp - xp.sum(dout * slip, axis=-1)))

    return replace(op, forward=forward, backward=backward)


class PlannedNamespace(NoisyNamespace):
    def stage(self, name, x):
        kind = self.kind
        return kind.of(kind.plan.noisy(np.asarray(x), name, kind.rng))


class Planned(Strangers):
    """float64 that errs where a plan says, as a stranger might."""

    spoken = PlannedNamespace
    plan: Plan

    @classmethod
    def erred(cls, result, size):
        drawn = cls.rng.uniform(-1.0, 1.0, np.shape(result))
        size = size + _LEAST[cls.plan.intermediates or cls.plan.accumulators] / cls.unit
        if cls.plan.intermediates is not None and cls.plan.mode != "nearest":
            return result + cls.unit * (size * drawn + abs(result) * cls.plan.draw(result, cls.rng))
        return result + cls.unit * size * drawn

    @staticmethod
    def _size(ufunc, method, inputs, result, kwargs):
        return Strangers._size(ufunc, method, inputs, result, kwargs)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        """As in all noise; but what is summed is summed in ``accumulators``, and the sum rounded."""
        plan, kind = type(self).plan, type(self)
        summed = ufunc is np.matmul or method in ("reduce", "accumulate")
        if not summed or plan.intermediates is None or UNITS[plan.accumulators] >= kind.unit:
            return super().__array_ufunc__(ufunc, method, *inputs, out=out, **kwargs)
        arrays = [np.asarray(x) if isinstance(x, Planned) else x for x in inputs]
        with np.errstate(all="ignore"):
            result = np.asarray(getattr(ufunc, method)(*arrays, **kwargs))
            if result.dtype.kind == "f" and ufunc in (np.matmul, np.add):
                size = self._size(ufunc, method, arrays, result, kwargs)
                within = UNITS[plan.accumulators] * size * kind.rng.uniform(-1.0, 1.0, result.shape)
                roundoff = kind.unit * abs(result) + _LEAST[plan.intermediates]
                result = result + within + roundoff * plan.draw(result, kind.rng)
        if out is not None:
            np.asarray(out[0])[...] = result
            return out[0]
        return self.wrap(result)


def planned(plan, dtype, rng):
    """The array class that errs as ``plan`` says; arrays are given in ``dtype``."""
    facts = {"unit": plan.unit, "rng": rng, "plan": plan, "given": dtype}
    return type("planned noise", (Planned,), facts)
