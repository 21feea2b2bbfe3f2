"""The training loop: draw, run, pull back, clip, step; log, evaluate, keep.

A run's directory holds

    config.json     every setting, resolved
    log.jsonl       one event a line: train, evaluation, done
    checkpoints/    step-00000600.npz: the parameters by name, one always at the last step
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..backend import to_numpy
from ..refusals import check_settings
from .log import Log
from .optimisers import OPTIMISERS, clip_by_value
from .progress import progress


@dataclass(frozen=True)
class Settings:
    """How to train; the defaults are those of the NTM paper's copy task."""

    steps: int = 40_000
    """Number of updates."""
    batch: int = 1
    optimiser: str = "rmsprop"
    learning_rate: float = 1e-4
    decay: float = 1.0
    """The learning rate falls linearly to this fraction of itself at the last step; 1 keeps it."""
    clip: float = 10.0
    """Every entry of the gradient is clipped to +-this."""
    seed: int = 0
    eval_every: int = 2_000
    """Steps between evaluations on fresh sequences; there is always one at the end."""
    eval_batches: int = 20
    eval_batch: int = 50
    log_every: int = 500
    """Steps that one line of the log averages over."""
    checkpoint_every: int = 0
    """Steps between checkpoints, 0 for one at the end only."""

    def __post_init__(self):
        counts = ("steps", "batch", "eval_every", "eval_batches", "eval_batch", "log_every")
        check_settings(
            self,
            at_least=dict.fromkeys(counts, 1) | {"seed": 0, "checkpoint_every": 0},
            positive=("learning_rate", "clip"),
            one_of={"optimiser": OPTIMISERS},
        )
        if not 0 <= self.decay <= 1:
            raise ValueError(f"Settings: decay must be from 0 to 1, got {self.decay!r}")


def train(model, task, settings, directory=None, *, watch=None, quiet=False):
    """Train ``model`` on ``task``; return the parameters and the events that were logged.

    Two independent generators come from ``settings.seed``, for initialisation and data; a third, of
    its own, draws the sequences of evaluations, so that evaluating changes no training.
    ``watch(step, params, metrics)``, if given, is called after every step with the metrics of the
    sequences just trained on (before the update).  Without ``directory`` nothing is written.
    """
    for_params, for_data = np.random.default_rng(settings.seed).spawn(2)
    params = model.init(for_params)
    optimiser = OPTIMISERS[settings.optimiser](params, learning_rate=settings.learning_rate)
    directory = None if directory is None else Path(directory)
    log = Log(None if directory is None else directory / "log.jsonl")
    if directory is not None:
        write_config(directory, model, task, settings)
    started, sums, count = time.perf_counter(), {}, 0
    with progress(settings.steps, quiet=quiet) as shown:
        for step in range(1, settings.steps + 1):
            batch = task.batch(for_data, settings.batch, dtype=model.dtype)
            done = (step - 1) / max(1, settings.steps - 1)
            optimiser.learning_rate = settings.learning_rate * (1 - (1 - settings.decay) * done)
            loss, metrics = update(model, task, params, optimiser, batch, settings.clip)
            metrics = {name: float(values.mean()) for name, values in metrics.items()} | {"nats": loss}
            if not np.isfinite(loss):
                raise FloatingPointError(f"train: the loss is {loss} at step {step}")
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            if watch is not None:
                watch(step, params, metrics)
            if step % settings.log_every == 0 or step == settings.steps:
                means = {name: value / count for name, value in sums.items()}
                log.add("train", step=step, seconds=time.perf_counter() - started, **means)
                shown(step, means)
                sums, count = {}, 0
            if step % settings.eval_every == 0 or step == settings.steps:
                found = evaluate(model, task, params, settings)
                log.add("evaluation", step=step, seconds=time.perf_counter() - started, **found)
            last = step == settings.steps
            if directory is not None and (
                last or (settings.checkpoint_every and step % settings.checkpoint_every == 0)
            ):
                save(directory, params, step)
    log.add("done", step=settings.steps, seconds=time.perf_counter() - started)
    log.close()
    return params, log.events


def update(model, task, params, optimiser, batch, clip):
    """One step: the loss in nats, and the metrics of the batch, both before the update."""
    leaves = params.tensors()
    outputs, _ = model.sequence(leaves, model.initial_state(leaves, batch.size), batch.inputs, batch.lengths)
    loss = task.loss(outputs, batch)
    gradient = params.gradient(loss, leaves)
    clip_by_value(gradient, clip)
    metrics = task.metrics(outputs.data, batch)
    value = float(loss.data)
    optimiser.step(gradient)
    return value, metrics


def evaluate(model, task, params, settings, seed=10_000):
    """Mean metrics over fresh sequences, the same for every call with the same ``seed``."""
    rng, found = np.random.default_rng([settings.seed, seed]), {}
    for _ in range(settings.eval_batches):
        batch = task.batch(rng, settings.eval_batch, dtype=model.dtype)
        state = model.initial_state(params, batch.size)
        outputs, _ = model.sequence(params, state, batch.inputs, batch.lengths)
        for name, values in task.metrics(outputs, batch).items():
            found.setdefault(name, []).append(values)
    return {name: float(np.concatenate(values).mean()) for name, values in found.items()}


def save(directory, params, step):
    """Write the parameters of ``step``; the file appears whole or not at all."""
    path = Path(directory) / "checkpoints" / f"step-{step:08d}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **{name: to_numpy(value) for name, value in params.items()})
    partial.replace(path)
    return path


def write_config(directory, model, task, settings):
    """Every setting of the run, resolved, as JSON."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "model": {"name": type(model).__name__, **asdict(model)},
        "task": {"name": type(task).__name__, **asdict(task)},
        "training": asdict(settings),
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
