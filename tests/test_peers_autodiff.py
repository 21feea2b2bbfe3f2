"""PyTorch's autograd over our own forward text, op by op and case by case, beside our hand-written backward.

Where the two differ, a proven enclosure of the truth decides: autodiff takes the slope of a saturated unit
from a value that has rounded to one, and has lost it.
"""

import numpy as np
import pytest

import scratchattn as sa
from gradcheck.certificates import truth
from gradcheck.derivatives import condition
from gradcheck.subject import Subject, distance, random_like, tupled

pytestmark = pytest.mark.peers
BOUND = 1e-12
REFERENCE = sorted(name for name, op in sa.REGISTRY.items() if op.equals is None)


def forward_of(subject, array, held):
    """The op's forward on a framework's arrays; what is on purpose held constant is, by ``held``."""
    op, case = subject.op, subject.case

    def f(*active):
        inputs = [array(x) if isinstance(x, np.ndarray | np.generic) else x for x in case.inputs]
        for place, x in zip(subject.places, active):
            inputs[place] = x
        if op.detached is None:
            return tupled(op.forward(*inputs, **case.params)[0])
        constants = [held(x) if hasattr(x, "dtype") else x for x in inputs]
        return tupled(
            op.detached.forward(*inputs, *op.detached.stopped(*constants, **case.params), **case.params)
        )

    return f


def negative_step(case):
    """PyTorch has no slices that go backwards."""
    keys = np.ravel(np.array(case.params.get("key", ()), dtype=object))
    return any(isinstance(k, slice) and (k.step or 1) < 0 for k in keys)


def asked(op):
    """A Subject for each case that has a derivative."""
    for case in op.cases(np.random.default_rng(0)):
        subject = Subject(op, case)
        if case.margin != 0 and all(np.isfinite(x).all() for x in subject.inputs):
            yield subject


def compare(subject, theirs, back):
    """Values and gradients of ``theirs`` and of ours, or ours nearer to the proven truth."""
    ours, pullback = subject.vjp()
    u = random_like(np.random.default_rng(1), ours)
    label = subject.case.label
    bound = BOUND * condition(subject)  # one, but for a case that is ill-conditioned on purpose
    for a, b in zip(theirs, ours, strict=True):
        assert distance(a, b) < bound, label
    pairs = list(zip(back(*u), pullback(*u), strict=True))
    if not all(distance(a, b) < bound for a, b in pairs):
        exact = [y.floats() for y in truth(subject, u, subject.inputs)][len(ours) :]
        for (a, b), t in zip(pairs, exact, strict=True):
            assert distance(b, t) < bound or distance(b, t) < 1e-3 * distance(a, t), label


@pytest.mark.parametrize("name", REFERENCE)
def test_pytorchs_autograd_over_our_forward_is_our_backward(name):
    pytest.importorskip("torch")
    from gradcheck.numbers.foreign import torch_array, torch_vjp

    compared = 0
    for subject in asked(sa.REGISTRY[name]):
        if not negative_step(subject.case):
            forward = forward_of(subject, torch_array, lambda x: x.detach())
            compare(subject, *torch_vjp(forward, *subject.inputs))
            compared += 1
    assert compared


@pytest.mark.parametrize("name", REFERENCE)
def test_jaxs_autodiff_over_our_forward_is_our_backward(name):
    """At the first case alone: JAX compiles anew for every shape."""
    jax = pytest.importorskip("jax")
    from gradcheck.numbers.foreign import jax_array, jax_vjp

    subject = next(asked(sa.REGISTRY[name]))
    forward = forward_of(subject, jax_array, jax.lax.stop_gradient)
    compare(subject, *jax_vjp(forward, *subject.inputs))
