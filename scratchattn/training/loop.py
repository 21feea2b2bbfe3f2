"""The training loop: draw, run, pull back, bound, step; log, evaluate, keep, and go on where it ended.

A run's directory holds

    config.json     every setting, resolved
    log.jsonl       one event a line: train, evaluation, test, done; resumed, stopped, failed
    checkpoints/    step-00000600.npz: all that a run is at a step, one always at the last
"""

import hashlib
import time
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

import numpy as np

from ..backend import to_numpy
from . import checkpoint, run_directory, snapshot
from .curriculum import tasks_of
from .draws import Draws, pieces
from .evaluation import better, evaluate, reached
from .failure import NotFinite, first_not_finite, is_finite
from .interruption import Interrupted, asked_to_end
from .log import Log, whole_events
from .progress import progress
from .schedules import factor
from .step import Alone, bound, derive_shards


def train(model, task, settings, directory=None, *, resume=False, previous=False, watch=None, quiet=False,
          group=None, config=None):  # fmt: skip
    """Train ``model`` on ``task``; return the parameters and the events that were logged.

    Two independent generators come from ``settings.seed``, for initialisation and data; those of
    evaluations are their own, so that evaluating changes no training.  ``watch(step, params, metrics)``, if
    given, is called after every step with the metrics of the sequences just trained on (before the update).
    Without ``directory`` nothing is written.  ``resume``: go on from its last checkpoint; a finished run is
    left as it is, one without a checkpoint starts afresh.  ``previous``: if that checkpoint is damaged, from
    the one before it.  ``group``: who shares the work (``step.Alone``, or ``mpi.Group``).  ``config``: what
    config.json is to hold; made from the settings if None.

    ``RunRefused`` if the directory holds a run and this is none, or other settings; ``Damaged`` for a
    checkpoint that is; ``NotFinite`` for a loss or gradient that is no number; ``Interrupted`` after Ctrl-C.
    """
    trainer = Trainer(model, task, settings, directory, group or Alone(), config)
    with trainer.alone():
        if resume:
            trainer.resume(previous)
        else:
            trainer.start()
        return trainer.run(watch, quiet)


class Trainer:
    """All that changes while ``train`` runs.  Rank 0 of a group writes; the others compute with it."""

    def __init__(self, model, task, settings, directory, group, config):
        self.model, self.task, self.settings, self.group = model, task, settings, group
        self.directory = None if directory is None else Path(directory)
        self.config = config or run_directory.plain_config(model, task, settings)
        self._stages = tasks_of(task, settings.curriculum)
        self._writes = self.directory is not None and group.rank == 0
        self._path = self.directory / run_directory.LOG if self._writes else None

    # ---- beginnings -----------------------------------------------------------

    def alone(self):
        """A context in which no other process writes into the directory."""
        return run_directory.locked(self.directory) if self._writes else nullcontext()

    def start(self):
        """A new run; RunRefused if the directory holds one."""
        if self._writes:
            run_directory.claim(self.directory)
        self._begin_anew()

    def _begin_anew(self):
        if self._writes:  # the settings first: a run that was killed right here can be resumed
            run_directory.write_config(self.directory, self.config)
        self._begin(Log(self._path))

    def _begin(self, log):
        """All as before the first step."""
        settings = self.settings
        for_params, for_data = np.random.default_rng(settings.seed).spawn(2)
        self.params = self.model.init(for_params)
        self.optimiser = settings.make_optimiser(self.params)
        self.draws = Draws(
            self._stages[0][1], settings, for_data, self.model.dtype, self.group.own(settings.shards)
        )
        self.step, self.before = 0, 0.0
        self.stage = self.drawn_stage = 0
        self.place, self.piece, self.pieces, self.states = None, 0, [], None
        self.sums, self.count = {}, 0
        self.best, self.best_step, self.best_flat, self.worse, self.ended = None, 0, None, 0, False
        self.log = log

    def resume(self, previous=False):
        """Go on from the last checkpoint of the directory, with the same settings; begin where is no run."""
        if self.directory is None:
            raise ValueError("train: resume needs the directory of a run")
        if not run_directory.holds_run(self.directory):
            self.start()
            return
        run_directory.refuse_other(self.directory, self.config)
        found = run_directory.newest_fitting(self.directory, previous)
        if found is None:
            self._begin_anew()
        elif found.facts["ended"]:
            self._begin(Log())
            self.log.events = whole_events(self.directory / run_directory.LOG, found.facts["log"])
            snapshot.unpack(self, found)
        else:
            self._begin(Log(self._path, position=found.facts["log"]))
            snapshot.unpack(self, found)
            self.log.add(
                "resumed", step=self.step, seconds=self.before, skipped=list(map(str, found.skipped))
            )

    # ---- the loop -------------------------------------------------------------

    def run(self, watch=None, quiet=False):
        """To the last step; returns parameters and events."""
        if self.ended:
            return self.selected(), self.log.events
        self._started = self._shown = time.perf_counter()
        quiet = quiet or self.group.rank > 0
        with (
            closing(self.log),
            asked_to_end() as asked,
            progress(self.settings.steps, quiet, self.step) as shown,
            np.errstate(all="ignore"),  # what is not finite is found and named
        ):
            while not self.ended:
                metrics = self._one_step()
                if watch is not None:
                    watch(self.step, self.params, metrics)
                self._account(metrics, shown)
                if not self.ended and self._any(asked()):
                    self._stop()
        return self.selected(), self.log.events

    def _one_step(self):
        settings, task = self.settings, self.draws.task
        if self.piece == len(self.pieces):
            self.draw()
        batches = self.pieces[self.piece]
        shape = {"schedule": settings.schedule, "warmup": settings.warmup, "decay": settings.decay}
        rate = factor(self.step + 1, settings.steps, **shape)
        self.optimiser.learning_rate = settings.learning_rate * rate
        loss, metrics, gradient, after = derive_shards(
            self.model, task, self.params, batches, self.states, settings, self.group, self.step
        )
        if not (np.isfinite(loss) and is_finite(gradient)):
            self._fail(loss, batches)
        bound(gradient, settings)
        self.optimiser.step(gradient)
        self.step, self.piece = self.step + 1, self.piece + 1
        self.states = after
        return metrics | {"nats": loss}

    def draw(self):
        """The next batch, cut along time if the settings say so."""
        self.drawn_stage = self.stage
        self.draws.turn_to(self._stages[self.stage][1])
        self.place = self.draws.place() if self.settings.truncate else None
        cut = [pieces(batch, self.settings.truncate) for batch in self.draws.draw()]
        self.pieces, self.piece = list(zip(*cut)), 0
        if self.states is None or not getattr(self.task, "continues", False):
            self.states = [None] * len(cut)

    def _account(self, metrics, shown):
        """Log, evaluate and keep what this step is due."""
        settings, step = self.settings, self.step
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        last, now = step == settings.steps, time.perf_counter()
        logged = last or step % settings.log_every == 0
        if logged or now > self._shown + 1:
            self._shown = now
            means = {name: value / self.count for name, value in self.sums.items()}
            shown(step, means)
        if logged:
            self.log.add("train", step=step, seconds=self.seconds(), **means)
            self.sums, self.count = {}, 0
        if last or step % settings.eval_every == 0:
            last = self._evaluate() or last
        self._next_stage()
        if last:
            self._end()
        if last or (settings.checkpoint_every and step % settings.checkpoint_every == 0):
            self.save()

    def seconds(self):
        return self.before + time.perf_counter() - self._started

    def _any(self, asked):
        """Whether any process of the group was asked to end; all end at the same step."""
        return asked if self.group.size == 1 else any(self.group.collected(asked))

    # ---- evaluations ----------------------------------------------------------

    def _evaluate(self):
        """Log metrics on the validation split; whether training ends by them."""
        settings, metric = self.settings, self.task.metric
        found = self._measured(self.task, self.params)
        if better(self.task, found[metric], self.best):
            self.best, self.best_step, self.worse = found[metric], self.step, 0
            self.best_flat = self.params.flat + 0
        else:
            self.worse += 1
        self.log.add("evaluation", step=self.step, seconds=self.seconds(), **found)
        self._judge_stage()
        if settings.stop_at is not None and reached(self.task, found[metric], settings.stop_at):
            return True
        return bool(settings.patience) and self.worse >= settings.patience

    def _measured(self, task, params, split="validation"):
        """The metrics; in a group those of the first process, so that unlike machines decide alike."""
        return self.group.collected(evaluate(self.model, task, params, self.settings, split))[0]

    def _judge_stage(self):
        below = self.settings.curriculum_below
        if below is None or self.stage + 1 == len(self._stages):
            return
        found = self._measured(self._stages[self.stage][1], self.params)
        if reached(self.task, found[self.task.metric], below):
            self._turn(self.stage + 1)

    def _next_stage(self):
        while self.stage + 1 < len(self._stages) and self.step >= self._stages[self.stage + 1][0]:
            self._turn(self.stage + 1)

    def _turn(self, stage):
        self.stage = stage  # from the next batch on
        self.log.add("stage", step=self.step, seconds=self.seconds(), stage=stage)

    # ---- ends -----------------------------------------------------------------

    def selected(self):
        """The parameters that the settings select."""
        if self.settings.select == "best" and self.best_flat is not None:
            chosen = self.params.copy()
            with chosen.overwriting() as flat:
                flat[...] = self.best_flat
            return chosen
        return self.params

    def _end(self):
        """The test split is read once, with the parameters that were selected; their digest ends the log."""
        params = self.selected()
        found = self._measured(self.task, params, "test")
        chosen = self.best_step if self.settings.select == "best" else self.step
        self.log.add("test", step=self.step, seconds=self.seconds(), of_step=chosen, **found)
        digest = hashlib.sha256(to_numpy(params.flat).tobytes()).hexdigest()
        self.log.add("done", step=self.step, seconds=self.seconds(), sha256=digest)
        self.ended = True

    def _stop(self):
        """Asked to end: save, and say how to go on."""
        self.log.add("stopped", step=self.step, seconds=self.seconds())
        stopped = f"stopped after step {self.step}"
        if self.directory is None:
            raise Interrupted(f"{stopped}; nothing was saved, as there is no directory")
        self.save()
        raise Interrupted(f"{stopped} and saved; go on with: scratchattn train --resume {self.directory}")

    def _fail(self, loss, batches):
        """What is not finite, where it was first, and all that is needed to see it again."""
        what = f"the loss is {loss}" if not np.isfinite(loss) else "the gradient is not finite"
        look = partial(first_not_finite, self.model, self.draws.task, self.params, settings=self.settings)
        shards = zip(self.draws.own, batches, self.states, strict=True)
        looked = (look(batch=batch, state=state, place=(self.step, k)) for k, batch, state in shards)
        own = run_directory.batches_and_states(self.draws.own, batches, self.states)
        firsts, parts = zip(*self.group.collected((next(filter(None, looked), None), own)))
        first = next(filter(None, firsts), None)
        first = first or f"nothing in the reference engine, so the engine {self.model.engine} went first"
        said = f"train: {what} at step {self.step + 1}; what went first: {first}"
        self.log.add("failed", step=self.step + 1, seconds=self.seconds(), why=said)
        if self._writes:
            path = run_directory.keep_failure(
                self.directory, self.params, parts, self.step + 1, self.settings.shards
            )
            said += f"; the state before it is in {path}, scratchattn.training.replay makes the step again"
        raise NotFinite(said, first)

    def save(self):
        """A checkpoint of this step; every process of a group takes part."""
        arrays, facts = snapshot.packed(self)
        if self._writes:
            checkpoint.save(self.directory, self.step, arrays, facts)
            if self.settings.keep:
                checkpoint.prune(self.directory, self.settings.keep)
