"""One sequence through a model, step by step: where every picture of a model gets its numbers.

The steps are those of ``model.step``, the reference composition, whatever engine trained.  A machine with a
memory says by ``look`` what is to be kept of each step.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..backend import asarray, to_numpy
from ..tasks.babi import BabiTask


class Recording(NamedTuple):
    """One sequence of ``t`` steps, on the host."""

    inputs: Any  # (t, i)
    targets: Any  # (t, o)
    asked: Any  # (t) booleans: at which steps the outputs count
    outputs: Any  # (t, o), probabilities
    length: Any  # of the sequence, as the task counts it; None where the task has no lengths
    metrics: Any  # name -> number, as the task counts
    seed: int
    story: Any  # the ``Story`` that is told, where one is


def fixed_length(task, length):
    """``task`` with sequences of ``length`` and no others; ValueError if it has no lengths."""
    if not has_lengths(task):
        raise ValueError(f"access: {type(task).__name__} has no shortest and longest to set")
    return replace(task, shortest=length, longest=length)


def has_lengths(task):
    """Whether ``task`` draws sequences of lengths ``shortest`` to ``longest``."""
    return is_dataclass(task) and {"shortest", "longest"} <= {field.name for field in fields(task)}


def drawn_sequence(task, rng):
    """(length, seed) of the sequence to draw: as long as ``task`` has them, with a seed from ``rng``."""
    return task.longest if has_lengths(task) else None, int(rng.integers(10_000))


def is_copy(seen):
    """Whether the vectors that came first are asked for in their order: only then are diagonals expected."""
    asked = np.asarray(seen.asked, bool)
    if seen.length is None or asked.sum() != seen.length:
        return False
    return np.array_equal(seen.inputs[: seen.length, : seen.targets.shape[1]], seen.targets[asked])


def record(model, params, task, length=None, seed=0, look=None):
    """Run ``model`` on one sequence of ``length`` vectors of ``task``, drawn from ``seed``.

    Returns the Recording and name -> array (t, ...) of what ``look(t, before, after, x)`` returned: a
    dictionary of arrays (1, ...) for the step from the state ``before`` to ``after``; a name that it left
    out at some steps has fewer entries.  Without ``length`` the sequence is as long as the task draws it.
    What is not finite is recorded as it is.
    """
    with np.errstate(all="ignore"):
        batch, story = example(model, task, length, seed)
        logits, kept = _steps(model, params, batch, look or (lambda *_: {}))
        found = task.metrics(asarray(logits), batch)
    asked = getattr(batch, "asked", None)
    recording = Recording(
        *(to_numpy(a)[:, 0] for a in (batch.inputs, batch.targets)),
        np.ones(len(logits), bool) if asked is None else to_numpy(asked)[:, 0, 0],
        probabilities(task, logits[:, 0]),
        length,
        {name: float(np.mean(values)) for name, values in found.items()},
        seed,
        story,
    )
    return recording, kept


def _steps(model, params, batch, look):
    if getattr(model, "both_directions", False):  # there is no such thing as its state after a step
        outputs, _ = model.sequence(params, model.initial_state(params, 1), batch.inputs, batch.lengths)
        return to_numpy(outputs), {}
    state, logits, kept = model.initial_state(params, 1), [], {}
    for t, x in enumerate(batch.inputs):
        before = state
        y, state = model.step(params, before, x)
        logits.append(to_numpy(y))
        for name, value in look(t, before, state, x).items():
            kept.setdefault(name, []).append(to_numpy(value)[0])
    return np.stack(logits), {name: np.stack(values) for name, values in kept.items()}


def example(model, task, length, seed):
    """A batch of one sequence, and the ``Story`` that it tells, or None."""
    chosen, rng = task if length is None else fixed_length(task, length), np.random.default_rng(seed)
    if isinstance(chosen, BabiTask):
        story = chosen.example(rng)
        return chosen.batch_of([story], model.dtype), story
    if not hasattr(chosen, "batch"):  # a data set: what is drawn is the first that nothing was trained on
        return chosen.take("validation", np.arange(1), dtype=model.dtype), None
    return chosen.batch(rng, 1, dtype=model.dtype), None


def engine_difference(model, params, task, seen):
    """How far the outputs of the engine that ``model`` runs on are from ``seen.outputs``, at most."""
    batch, _ = example(model, task, seen.length, seen.seed)
    logits, _ = model.sequence(params, model.initial_state(params, 1), batch.inputs, batch.lengths)
    return float(np.abs(probabilities(task, to_numpy(logits)[:, 0]) - seen.outputs).max())


def probabilities(task, logits):
    """What logits (t, o) say: of a one for each bit, or of each of ``task.classes`` outputs in a row."""
    classes = getattr(task, "classes", None)
    if classes is None:
        return 0.5 + 0.5 * np.tanh(0.5 * logits)  # the logistic function in the form that cannot overflow
    groups = logits.reshape(len(logits), -1, classes)
    shares = np.exp(groups - groups.max(axis=-1, keepdims=True))
    return (shares / shares.sum(axis=-1, keepdims=True)).reshape(logits.shape)


def first_not_finite(*recorded):
    """The first step at which any of the arrays (t, ...) is no finite number; None if all is."""
    whole = [np.isfinite(array.reshape(len(array), -1)).all(axis=1) for array in recorded]
    steps = np.flatnonzero(~np.all(whole, axis=0))
    return int(steps[0]) if len(steps) else None
