"""Two programs for the same numbers, and how far apart they may be: what the last place of the inputs does.

from conditioning import agree

agree(names, lambda *x: outcome(op, x), lambda *x: outcome(op.equals, x), inputs)
"""

import numpy as np


def agree(names, program, reference, inputs):
    """Assert that both give the same arrays, to 1e-12 of the largest entry of each.

    Or, where the last place of the inputs moves the reference by more than that, to what it moves it by.
    """
    found, truth = program(*inputs), reference(*inputs)
    errors = [apart(a, b) for a, b in zip(found, truth, strict=True)]
    if not all(error <= 1e-12 for error in errors):  # rarely
        for name, error, moved in zip(names, errors, last_places(reference, inputs, truth)):
            assert error <= max(1e-12, 8 * moved), f"{name}: {error:.3g}, condition {moved:.3g}"


def apart(found, truth):
    """Relative to the largest entry."""
    assert found.shape == truth.shape
    return float(abs(found - truth).max() / (abs(truth).max() or 1.0)) if truth.size else 0.0


def close(found, truth, tolerance=1e-12):
    """Relative to the largest entry of each, and of them all: a gradient may be nothing beside the others."""
    size = max(abs(b).max(initial=0.0) for b in truth)
    for a, b in zip(found, truth, strict=True):
        assert a.shape == b.shape and (abs(a - b) <= tolerance * size).all()


def last_places(reference, inputs, truth):
    """How far each result moves if every input does by about its last place, up or down."""
    rng, moved = np.random.default_rng(2), np.zeros(len(truth))
    for _ in range(4):
        shaken = [x * (1 + 2.0**-53 * rng.choice([-1.9, 1.9], size=x.shape)) for x in inputs]
        moved = np.maximum(moved, [apart(a, b) for a, b in zip(reference(*shaken), truth, strict=True)])
    return moved
