"""Strategies of Hypothesis: calls of an op, their sizes drawn from the letters of its signature.

What Hypothesis draws is small and shrinks well: sizes, which axes broadcast, one of the params that the op
itself gives evidence for, a scale and a seed.  The numbers come from a generator with that seed.

    @given(calls(REGISTRY["memory_read"]))
    def test_something(call): ...

What an input may be is told by its name (``DOMAINS``); a name that is not known there is drawn like
the op's own cases.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest

from scratchattn.tape import vjp

hypothesis = pytest.importorskip("hypothesis")  # whoever imports this module is skipped with it
given, assume, st = hypothesis.given, hypothesis.assume, hypothesis.strategies

seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(1, 6)  # of an axis
batches = st.lists(st.integers(1, 3), max_size=2).map(tuple)
scales = st.sampled_from((1.0, 0.1, 5.0))


# ---- numbers ----------------------------------------------------------------


def free(rng, shape, scale=1.0):
    return scale * rng.normal(size=shape)


def positive(rng, shape, scale=1.0):
    return scale * rng.gamma(2.0, size=shape) + 1e-3


def above_one(rng, shape, scale=1.0):
    return 1.0 + scale * rng.gamma(1.0, size=shape)


def gate(rng, shape, scale=1.0):
    """In (0, 1); a large scale saturates."""
    return 1.0 / (1.0 + np.exp(-scale * rng.normal(size=shape)))


def moderate(rng, shape, scale=1.0):
    """From a half to two, whatever the scale."""
    return rng.uniform(0.5, 2.0, size=shape)


def in_order(rng, shape, scale=1.0):
    """Close to 0, 1, 2, ..."""
    return np.arange(shape[-1]) + 0.1 * rng.normal(size=shape)


def simplex(rng, shape, scale=1.0):
    """Rows that sum to one; a large scale makes them sharp."""
    logits = scale * rng.normal(size=shape)
    e = np.exp(logits - logits.max(-1, keepdims=True, initial=-np.inf))
    return e / e.sum(-1, keepdims=True)


def below_simplex(rng, shape, scale=1.0):
    """Rows that sum to less than one."""
    return simplex(rng, shape, scale) * rng.uniform(0.2, 1.0, size=shape[:-1])[..., None]


def link(rng, shape, scale=1.0):
    """Rows and columns that sum to less than one, nothing on the diagonal."""
    return gate(rng, shape, scale) / max(shape[-1], 1) * (1.0 - np.eye(shape[-1]))


def integers(rng, shape, scale=1.0):
    """Whole numbers as floats: sums and products of these are exact in any order."""
    return rng.integers(-9, 10, size=shape).astype(float)


def permutation(rng, shape, scale=1.0):
    return np.argsort(rng.random(shape), axis=-1)


def one_hot(rng, shape, scale=1.0):
    return np.eye(shape[-1])[rng.integers(0, shape[-1], size=shape[:-1])]


DOMAINS = {
    "base": positive,
    "complement": gate,
    "content": simplex,
    "erase": gate,
    "free_gate": gate,
    "gate": gate,
    "halting": gate,
    "link": link,
    "permutation": permutation,
    "precedence": below_simplex,
    "previous": simplex,
    "read_weights": below_simplex,
    "retention": gate,
    "sharpness": above_one,
    "strength": positive,
    "targets": gate,
    "usage": gate,
    "weights": simplex,
    "write_weights": below_simplex,
    # where a name means another thing in one op
    "circular_shift.shift": simplex,
    "gaussian_location_attention.importance": positive,
    "gaussian_location_attention.positions": in_order,
    "gaussian_location_attention.width": moderate,
    "log.a": positive,
    "sqrt.a": positive,
}
LEFT_OUT = {  # sizes at which all of a gradient is what eps leaves of it, and digits are lost
    "attention_score.d": 1,  # numbers have no directions but two
    "cosine_addressing.w": 1,
    "layer_norm.d": 2,
}
BELOW = {"classes": "c", "indices": "n"}  # integers from zero to below the size of this letter
TIED = {  # sizes that others decide
    "dnc_read_weighting.m": lambda sizes: 1 + 2 * sizes["k"],
    "rotary_positions.d": lambda sizes: 2 * sizes["p"] + sizes["d"],
}


@cache
def cases_of(op):
    return tuple(op.cases(np.random.default_rng(0)))


@cache
def _as_in_the_cases(op, place):
    """A domain for an input whose name says nothing: as wide as the op's own evidence, and no wider."""
    seen = [np.asarray(case.inputs[place], float) for case in cases_of(op) if case.inputs[place] is not None]
    entries = np.concatenate([x.ravel() for x in seen] or [np.zeros(1)])
    if (entries < 0).any():
        return free
    if (entries > 1).any():
        return positive
    rows = [x.sum(-1).ravel() for x in seen if x.ndim]
    return below_simplex if rows and (np.concatenate(rows) < 1 + 1e-9).all() else gate


# ---- calls ------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """An op, what goes in, and the sizes of the letters and of the batch that it was drawn with."""

    op: object
    inputs: tuple
    params: dict
    seed: int
    scale: float
    batch: tuple = ()
    arguments: tuple = field(default=(), repr=False)

    def __repr__(self):
        named = [f"{a.name} {'None' if x is None else x.shape}" for a, x in zip(self.arguments, self.inputs)]
        named += [f"{name}={value!r}" for name, value in self.params.items()]
        return f"{self.op.name}({', '.join(named)}) at seed {self.seed}, scale {self.scale}"

    def _repr_pretty_(self, printer, cycle):  # Hypothesis would print every field of a dataclass
        printer.text(repr(self))

    @property
    def active(self):
        """The places of the inputs that are there and have a gradient."""
        kinds = [kind for kind, _ in zip(self.op.kinds, self.inputs)]
        return [i for i, (kind, x) in enumerate(zip(kinds, self.inputs)) if kind is None and x is not None]

    def rng(self):
        """Another generator than the one that the inputs came from, the same every time."""
        return np.random.default_rng((self.seed, 1))

    def whole(self, active):
        inputs = list(self.inputs)
        for place, x in zip(self.active, active, strict=True):
            inputs[place] = x
        return inputs

    def function(self, *active):
        """The op of its active inputs, arrays or tensors; always a tuple."""
        return tupled(self.op(*self.whole(active), **self.params))

    def differentiate(self):
        """Outputs, and the pullback that maps cotangents to gradients."""
        return vjp(self.function, *[self.inputs[i] for i in self.active])

    def with_inputs(self, inputs):
        return Call(self.op, tuple(inputs), self.params, self.seed, self.scale, self.batch, self.arguments)


def tupled(out):
    return out if isinstance(out, tuple) else (out,)


def run(op, *inputs, cotangents=None, seed=0, **params):
    """Outputs and gradients of ``op``, all in one list, under cotangents drawn with ``seed`` or given."""
    call = Call(op, inputs, params, seed, 1.0)
    out, pullback = call.differentiate()
    return [*out, *pullback(*(drawn_like(call.rng(), out) if cotangents is None else cotangents))]


def drawn_like(rng, arrays):
    return [np.asarray(rng.normal(size=y.shape), dtype=y.dtype) for y in arrays]


@cache
def params_of(op):
    """Every set of params that the op gives evidence for, or names as a variant."""
    always = {name: cases_of(op)[0].params[name] for name in op._required}  # a variant may leave sizes open
    named = [always | variant.params for variant in op.variants]
    known = {repr(p): p for p in [case.params for case in cases_of(op)] + named}
    return tuple(known.values())


@st.composite
def calls(draw, op, params=None, scales=scales, batches=batches, empty=True):
    """A Call of ``op``, whose inputs gufunc syntax describes; ``params`` None: those of one of its cases."""
    params = draw(st.sampled_from(params_of(op))) if params is None else params
    arguments = tuple(op._signature.inputs)
    if op._signature.variadic:
        arguments = tuple(op._signature._expected(len(arguments) + draw(st.integers(0, 2))))
    letters = sorted({axis.letter for a in arguments for axis in a.axes if axis.letter})
    sizes = {letter: draw(st.integers(1, 5)) for letter in letters}
    assume(all(LEFT_OUT.get(f"{op.name}.{letter}") != size for letter, size in sizes.items()))
    if empty and letters and draw(st.integers(0, 9)) == 9:
        sizes[draw(st.sampled_from(letters))] = 0
    sizes |= {letter: tied(sizes) for letter in letters if (tied := TIED.get(f"{op.name}.{letter}"))}
    batch = draw(batches)
    shapes = [draw(_shapes(op, argument, sizes, batch)) for argument in arguments]
    seed, scale = draw(seeds), draw(scales)
    rng, inputs = np.random.default_rng(seed), []
    for place, (argument, shape) in enumerate(zip(arguments, shapes)):
        x = None if shape is None else _numbers(op, place, argument, rng, shape, scale, sizes)
        inputs.append(None if x is None else np.asarray(x))
    _, batch = op._signature._bind(arguments, shapes)
    call = Call(op, tuple(inputs), params, seed, scale, batch, arguments)
    hypothesis.note(repr(call))
    return call


@st.composite
def _shapes(draw, op, argument, sizes, batch):
    """Leading axes that broadcast to ``batch``, then the axes of the signature; or None."""
    if argument.optional and draw(st.booleans()):
        return None
    leading = batch[draw(st.integers(0, len(batch))) :] if draw(st.booleans()) else batch
    leading = tuple(1 if n > 1 and draw(st.integers(0, 3)) == 3 else n for n in leading)
    core = [
        1 if axis.or_one and draw(st.booleans()) else axis.factor * sizes.get(axis.letter, 1)
        for axis in argument.axes
    ]
    return (*leading, *core)


def _numbers(op, place, argument, rng, shape, scale, sizes):
    if argument.kind == "boolean":
        return rng.random(shape) < 0.7
    domain = DOMAINS.get(f"{op.name}.{argument.name}") or DOMAINS.get(argument.name)
    if argument.kind == "integer" and domain is None:
        end = sizes[BELOW[argument.name]] if argument.name in BELOW else min(sizes.values())
        assume(end > 0)
        return rng.integers(0, end, size=shape)
    return (domain or _as_in_the_cases(op, min(place, len(op.inputs) - 1)))(rng, shape, scale)


# ---- comparisons ------------------------------------------------------------


def same(found, truth, tolerance=1e-12):
    """Arrays, or lists of them, of equal shapes and close relative to the largest entry; NaN is not close."""
    if not isinstance(found, list | tuple):
        found, truth = [found], [truth]
    for i, (a, b) in enumerate(zip(found, truth, strict=True)):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, f"array {i}: shape {a.shape}, not {b.shape}"
        if b.size:
            error, size = abs(a - b).max(), abs(b).max()
            assert error <= tolerance * (size or 1.0), f"array {i}: off by {error:.3g} of {size:.3g}"


def equal(found, truth):
    """The same bits, whatever they are."""
    if not isinstance(found, list | tuple):
        found, truth = [found], [truth]
    for a, b in zip(found, truth, strict=True):
        np.testing.assert_array_equal(a, b)


def inner(a, b):
    """<a, b> over lists of arrays."""
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))
