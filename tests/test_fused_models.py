"""What every model that is laid out for speed promises beyond equality with its composition."""

import numpy as np
import pytest

import scratchattn as sa
from scratchattn import buffers

FUSED = [op for op in sa.REGISTRY.values() if op.forward.__module__.startswith("scratchattn.fused.")]
ops = pytest.mark.parametrize("op", FUSED, ids=lambda op: op.name)


def example(op):
    """The inputs of a case with several steps and sequences, so that the order of axes shows."""
    found = [case.inputs for case in op.cases(np.random.default_rng(0)) if min(case.inputs[0].shape[:2]) > 1]
    return max(found, key=lambda inputs: inputs[0].size)


def turned(array):
    """The same numbers, the first axis contiguous."""
    return None if array is None else array.T.copy().T


def leased(monkeypatch):
    """A pool of its own for this test, and the buffers that are ever made in it."""
    made, pool = [], buffers.Pool()
    monkeypatch.setattr(buffers, "POOL", pool)
    original = pool.lease
    pool.lease = lambda key, build, room: original(key, lambda: made.append(build()) or made[-1], room)
    return made


def both_ways(op, inputs, params=()):
    """Outputs and gradients."""
    out, saved = op.forward(*inputs, **dict(params))
    return [*out, *op.backward(saved, tuple(np.ones_like(y) for y in out))]


@ops
def test_buffers_are_made_once_per_shape(op, monkeypatch):
    made = leased(monkeypatch)
    for _ in range(3):
        both_ways(op, example(op))
    assert len(made) == 2  # those of the forward, those of the backward


def of_steps(op, inputs, steps):
    """The same inputs with so many steps, over and over."""
    changed = list(inputs)
    for i, (argument, a) in enumerate(zip(op._signature.inputs, inputs)):
        if a is not None and argument.name == "lengths":
            changed[i] = a.clip(0, steps)
        elif a is not None and str(argument.axes[0]) == "t":
            changed[i] = a[np.arange(steps) % len(a)]
    assert len(changed[0]) == steps
    return changed


@ops
def test_sequences_of_all_lengths_share_the_buffers_of_the_longest(op, monkeypatch):
    for case in (each for each in op.cases(np.random.default_rng(0)) if len(each.inputs[0])):
        expected = {}
        for steps in (0, 1, 4, 9):  # each in buffers of its own
            leased(monkeypatch)
            expected[steps] = both_ways(op, of_steps(op, case.inputs, steps), case.params)
        made = leased(monkeypatch)
        for steps in (9, 4, 1, 0, 4, 9):
            found = both_ways(op, of_steps(op, case.inputs, steps), case.params)
            assert all(a is b is None or (a == b).all() for a, b in zip(found, expected[steps], strict=True))
        assert len(made) == 2, case.label


@ops
def test_the_layout_of_the_inputs_is_not_that_of_the_buffers(op, monkeypatch):
    """Or the next sequences of that shape would have other last bits."""
    inputs = example(op)
    expected = both_ways(op, inputs)
    made = leased(monkeypatch)
    both_ways(op, [turned(a) for a in inputs])
    found = both_ways(op, inputs)
    owned = [a for b, _ in made for a in vars(b).values() if isinstance(a, np.ndarray) and a.base is None]
    assert len(made) == 2 and owned and all(a.flags.c_contiguous for a in owned)
    assert all(a is b is None or (a == b).all() for a, b in zip(found, expected, strict=True))
