"""Leading axes broadcast: an input that a batch shares gets the sum of what each of the batch asks of it.

Form as in ``derivatives``.  Cases rarely hold every way of sharing, and a ``sum_to_shape`` that is missing
for one input shows only where that one is shared and another is not.
"""

import numpy as np

from scratchattn.op import REGISTRY
from scratchattn.tape import vjp

from .subject import distance, random_like


def what_a_batch_shares_gets_the_sum(subject, rng):
    """Of every op of ours; somebody's own pair need not broadcast."""
    if REGISTRY.get(subject.op.name) is subject.op:
        yield from sharing(subject, rng)


def sharing(subject, rng):
    """Each input shared by two copies of the others, and the others shared by two copies of it.

    Every copy must come out as alone, and be asked for as much; what is shared for the sum.
    """
    op, case = subject.op, subject.case
    if op.shape_rule or op.equals or sum(x is not None for x in case.inputs) < 2:
        return
    shapes = [None if x is None else np.shape(x) for x in case.inputs]
    arguments = op._signature._expected(len(shapes))
    _, batch = op._signature._bind(arguments, shapes)
    given = [i for i, x in enumerate(case.inputs) if x is not None]
    twice = {i: _twice(case.inputs[i], arguments[i], batch) for i in given}
    whole = {i: twice[i][0] for i in given}  # with all axes of the batch
    out, pullback = _at(subject, whole)
    asked = [random_like(rng, out) for _ in range(2)]
    alone = [pullback(*u) for u in asked]
    together = [np.stack(pair) for pair in zip(*asked)]
    for place in given:
        name = arguments[place].name
        for copied, words in ((set(given) - {place}, f"{name} shared"), ({place}, f"only {name} not shared")):
            found, pull = _at(subject, {i: twice[i] if i in copied else whole[i] for i in given})
            for label, both, y in zip(subject.outputs, found, out, strict=True):
                yield f"{words}: {label}", distance(both, np.stack([y, y])), 1e-12
            grads = zip(subject.names, subject.places, pull(*together), *alone, strict=True)
            for label, i, g, one, other in grads:
                expected = np.stack([one, other]) if i in copied else one + other
                yield f"{words}: gradient by {label}", _apart(g, expected, one, other), 1e-12


def _at(subject, inputs):
    """Outputs and pullback at ``inputs``, place -> array; the pullback by what is active."""

    def f(*active):
        whole = [inputs.get(i) for i in range(len(subject.case.inputs))]
        for place, x in zip(subject.places, active, strict=True):
            whole[place] = x
        out = subject.op(*whole, **subject.case.params)
        return out if isinstance(out, tuple) else (out,)

    return vjp(f, *[np.asarray(inputs[place], dtype=float) for place in subject.places])


def _twice(x, argument, batch):
    x = np.asarray(x)
    core = x.shape[x.ndim - len(argument.axes) :]
    return np.stack([np.broadcast_to(x, (*batch, *core))] * 2)


def _apart(found, expected, one, other):
    """Relative to what is added: the two may cancel."""
    if found.shape != expected.shape:
        return np.inf
    scale = max(abs(one).max(initial=0.0), abs(other).max(initial=0.0)) or 1.0
    return float(abs(found - expected).max(initial=0.0) / scale)
