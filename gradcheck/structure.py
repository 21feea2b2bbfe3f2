"""Checks of what must hold of any op whatever it computes.  Form as in ``derivatives``."""

from dataclasses import replace

import numpy as np

from .derivatives import condition
from .subject import Subject, distance, random_like


def shapes_are_as_declared(subject, rng):
    """The outputs have the shapes that the signature promises, each gradient that of its input."""
    shapes = [None if x is None else np.shape(x) for x in subject.case.inputs]
    out, pullback = subject.vjp()
    for name, y, declared in zip(
        subject.outputs, out, subject.op._signature.output_shapes(shapes, subject.case.params), strict=True
    ):
        fits = len(declared) == y.ndim and all(d in (None, n) for d, n in zip(declared, y.shape))
        yield name, 0.0 if fits else np.inf, 0.0
    for name, x, g in zip(subject.names, subject.inputs, pullback(*random_like(rng, out)), strict=True):
        yield f"gradient by {name}", 0.0 if g.shape == x.shape else np.inf, 0.0


def values_are_finite(subject, rng):
    """No infinity, no NaN, in values or gradients, in either precision, nor on the way there."""
    for dtype in (np.float64, np.float32):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            out, pullback = subject.vjp([x.astype(dtype) for x in subject.inputs])
            grads = pullback(*[u.astype(dtype) for u in random_like(rng, out)])
        good = all(np.isfinite(a).all() for a in [*out, *grads])
        yield np.dtype(dtype).name, 0.0 if good else np.inf, 0.0


def backward_is_linear(subject, rng):
    out, pullback = subject.vjp()
    u, v = random_like(rng, out), random_like(rng, out)
    mixed = [2.0 * a - 3.0 * b for a, b in zip(u, v)]
    for name, a, b, both in zip(subject.names, pullback(*u), pullback(*v), pullback(*mixed), strict=True):
        scale = max(abs(a).max(initial=0.0), abs(b).max(initial=0.0)) or 1.0
        yield name, float(abs(both - 2.0 * a + 3.0 * b).max(initial=0.0) / scale), 1e-12


def same_bits_twice(subject, rng):
    """The forward twice and the pullback twice: equal, not close."""
    out, pullback = subject.vjp()
    u = random_like(rng, out)
    first, again = [*out, *pullback(*u)], [*subject.function(*subject.inputs), *pullback(*u)]
    for name, a, b in zip([*subject.outputs, *subject.names], first, again, strict=True):
        yield name, float((a != b).any()), 0.0


def inputs_are_left_alone(subject, rng):
    """Inputs and cotangents are handed over read-only; what writes into one raises, and is found."""
    watched = [np.array(x) for x in subject.inputs]
    for x in watched:
        x.flags.writeable = False
    out, pullback = subject.vjp(watched)
    u = [np.array(a) for a in random_like(rng, out)]
    for a in u:
        a.flags.writeable = False
    try:
        pullback(*u)
    except ValueError as refusal:
        yield f"overwritten: {refusal}", np.inf, 0.0
    yield "read-only inputs", 0.0, 0.0


def precision_is_kept(subject, rng):
    """float32 in, float32 out, forward and back."""
    out, pullback = subject.vjp([x.astype(np.float32) for x in subject.inputs])
    grads = pullback(*[u.astype(np.float32) for u in random_like(rng, out)])
    for name, a in zip([*subject.outputs, *subject.names], [*out, *grads], strict=True):
        yield name, float(a.dtype != np.float32), 0.0


def memory_layout_is_irrelevant(subject, rng):
    """Strided and column-major inputs give the same numbers."""
    out, pullback = subject.vjp()
    u = random_like(rng, out)
    expected = [*out, *pullback(*u)]
    strided = [np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x for x in subject.inputs]
    for word, inputs in (
        ("strided", strided),
        ("column-major", list(map(np.asfortranarray, subject.inputs))),
    ):
        there, pull_there = subject.vjp(
            [a.reshape(x.shape) if a.shape != x.shape else a for a, x in zip(inputs, subject.inputs)]
        )
        for name, a, b in zip(
            [*subject.outputs, *subject.names], [*there, *pull_there(*u)], expected, strict=True
        ):
            yield f"{word}, {name}", distance(a, b), 1e-12 * condition(subject)


def a_row_alone_is_the_row_in_the_batch(subject, rng):
    """The case stacked upon itself, and beside others: it must be as alone, and get its own gradient.

    Beside its equal, a row shows whether a gradient goes astray; beside a smaller and a larger one,
    whether a decision (a maximum, a sort) looks at other rows.
    """
    if subject.op.shape_rule or subject.op.equals:
        return
    shapes = [None if x is None else np.shape(x) for x in subject.case.inputs]
    arguments = subject.op._signature._expected(len(shapes))
    _, batch = subject.op._signature._bind(arguments, shapes)
    stacked = []
    for x, argument in zip(subject.case.inputs, arguments):
        if x is not None:
            core = np.shape(x)[np.ndim(x) - len(argument.axes) :]
            x = np.stack([np.broadcast_to(x, (*batch, *core))] * 3)
        stacked.append(x)
    several = Subject(subject.op, replace(subject.case, inputs=tuple(stacked)))
    single = Subject(
        subject.op, replace(subject.case, inputs=tuple(None if x is None else x[0] for x in stacked))
    )
    out, pullback = single.vjp()
    u = random_like(rng, out)
    grads, asked = pullback(*u), [np.stack([a, 0 * a, 0 * a]) for a in u]
    equals, pull_equals = several.vjp()
    first = pull_equals(*asked)
    for name, a, b in zip([*subject.outputs, *subject.names], [*equals, *first], [*out, *grads], strict=True):
        yield name, distance(a[0], b), 1e-12 * condition(subject)
    for name, g in zip(subject.names, first):
        yield f"other row, {name}", float(abs(g[1:]).max(initial=0.0)), 0.0
    with np.errstate(all="ignore"):  # what the other rows come to is nobody's business
        unequal = [np.stack([x[0], 0.875 * x[0], 1.0625 * x[0]]) for x in several.inputs]
        others, pull_others = several.vjp(unequal)
        first = pull_others(*asked)
    for name, a, b in zip([*subject.outputs, *subject.names], [*others, *first], [*out, *grads], strict=True):
        yield f"among others, {name}", distance(a[0], b), 1e-12 * condition(subject)


def properties_hold(subject, rng):
    """What the op declares of itself, each an assertion."""
    out = subject.op(*subject.case.inputs, **subject.case.params)
    for claim in subject.op.properties:
        try:
            claim(subject.case.inputs, subject.case.params, out)
            yield claim.__name__, 0.0, 0.0
        except AssertionError as broken:
            yield f"{claim.__name__} {broken}".rstrip(), np.inf, 0.0
