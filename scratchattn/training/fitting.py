"""Whether a model and a task fit: what each must have, and one step of training tried before a run begins."""

import numpy as np

from ..parameters import Params
from . import user_file
from .curriculum import tasks_of
from .draws import SPLITS, makes, pieces
from .step import derive, leaves_of

NEEDED = {
    "model": ("init", "initial_state", "sequence", "dtype"),
    "task": ("loss", "metrics", "metric"),
}


def refuse_incomplete(part, made, name):
    """ValueError if ``made``, the model or the task ``name``, lacks what its part must have."""
    for word in NEEDED[part]:
        if not hasattr(made, word):
            raise ValueError(f"the {part} {name} has no {word}; it needs {', '.join(NEEDED[part])}")
    if part == "task" and not hasattr(made, "batch"):
        missing = [word for word in ("examples", "take") if not hasattr(made, word)]
        if missing:
            raise ValueError(
                f"the task {name} has no batch, which draws data, and no {' and no '.join(missing)}, which "
                "would give the data of a set that has an end"
            )


def try_out(configuration):
    """One step on one sequence, every stage of a curriculum once; ValueError if something does not fit.

    An OSError, of a data file that is not there, passes.
    """
    model, task, settings = configuration.model, configuration.task, configuration.settings
    try:
        rng = np.random.default_rng(0)
        params = model.init(rng)
        _expect(isinstance(params, Params), "init must return a Params, got", params)
        stages = [stage for _, stage in tasks_of(task, settings.curriculum) if stage != task]
        with np.errstate(all="ignore"):
            for each in (task, *stages):
                _try_step(model, each, params, settings, rng)
        for split in SPLITS:
            if not makes(task, split) and not task.examples(split):
                raise ValueError(f"the task has no examples in its {split} split")
    except OSError:
        raise
    except Exception as failure:
        names = configuration.names
        raise ValueError(
            f"the model {names['model']} and the task {names['task']} do not fit: {user_file.said(failure)}"
        ) from failure


def _try_step(model, task, params, settings, rng):
    """What training does in a step, and evaluation with a batch."""
    if hasattr(task, "batch"):
        batch = task.batch(rng, 1, dtype=model.dtype)
    else:
        batch = task.take("train", np.arange(1), dtype=model.dtype)
    for word in ("inputs", "lengths", "size"):
        if not hasattr(batch, word):
            raise TypeError(f"a batch must have inputs, lengths and size, and has no {word}")
    state = model.initial_state(params, batch.size)
    _expect_state(state, "initial_state must return a tuple of arrays, got")
    outputs, last = model.sequence(params, state, batch.inputs, batch.lengths)
    _expect_state(last, "sequence must return outputs and a state, a tuple of arrays, got")
    names = [[name for name, _ in leaves_of(each)] for each in (state, last)]
    if names[0] != names[1]:
        raise TypeError(f"sequence must return a state like the first, {names[0]}, got {names[1]}")
    found = task.metrics(outputs, batch)
    _expect(isinstance(found, dict), "metrics must return a dict of arrays, got", found)
    for name, values in found.items():
        several = isinstance(values, np.ndarray) and values.ndim == 1
        _expect(several, f"metrics must give {name} as a vector, a number for each sequence, got", values)
    if task.metric not in found:
        raise ValueError(
            f"metric must be one of those that metrics gives, {list(found)}, got {task.metric!r}"
        )
    derive(model, task, params, pieces(batch, settings.truncate)[0], None, settings)


def _expect_state(state, told):
    _expect(isinstance(state, tuple), told, state)  # its parts are saved by their names in it
    for part in state:
        if isinstance(part, tuple):
            _expect_state(part, told)
        else:
            _expect(part is None or hasattr(part, "dtype"), told, part)


def _expect(holds, told, got):
    if not holds:
        shape = getattr(got, "shape", None)
        raise TypeError(f"{told} {type(got).__name__}" + f" of shape {shape}" * (shape is not None))
