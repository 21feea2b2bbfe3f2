"""Metrics on a split: on data that were not trained on, or, to see what was learned by heart, on those."""

import numpy as np

from .draws import makes

# beside the run's own: of a task that draws its data, all three are other sequences than any trained on
_SEEDS = {"train": 30_000, "validation": 10_000, "test": 20_000}


def evaluate(model, task, params, settings, split="validation"):
    """Mean metrics over ``split``, a dictionary of floats.

    Of a task that draws its data: ``eval_batches`` batches of fresh sequences, for one seed and split always
    the same.  Of a data set that has an end: so many examples, evenly spread over it, or all of it.
    """
    found: dict[str, list] = {}
    for batch in _batches(model, task, settings, split):
        state = model.initial_state(params, batch.size)
        outputs, _ = model.sequence(params, state, batch.inputs, batch.lengths)
        for name, values in task.metrics(outputs, batch).items():
            found.setdefault(name, []).append(values)
    return {name: float(np.concatenate(values).mean()) for name, values in found.items()}


def _batches(model, task, settings, split):
    if split not in _SEEDS:
        raise ValueError(f"evaluate: split must be one of {list(_SEEDS)}, got {split!r}")
    if makes(task, split):
        rng = np.random.default_rng([settings.seed, _SEEDS[split]])
        for _ in range(max(1, settings.eval_batches)):
            yield task.batch(rng, settings.eval_batch, dtype=model.dtype)
        return
    count = task.examples(split)
    if count == 0:
        raise ValueError(f"evaluate: {type(task).__name__} has no examples in its {split} split")
    looked_at = min(count, settings.eval_batches * settings.eval_batch) if settings.eval_batches else count
    indices = np.arange(looked_at) * count // looked_at  # files of several kinds stand one behind another
    for start in range(0, looked_at, settings.eval_batch):
        yield task.take(split, indices[start : start + settings.eval_batch], dtype=model.dtype)


def better(task, found, best):
    """Whether metric ``found`` of ``task`` is better than ``best`` (None: there is none yet)."""
    if best is None:
        return found == found
    return found > best if larger_is_better(task) else found < best


def reached(task, found, wanted):
    """Whether metric ``found`` is at least as good as ``wanted``."""
    return found >= wanted if larger_is_better(task) else found <= wanted


def larger_is_better(task):
    return bool(getattr(task, "larger_is_better", False))
