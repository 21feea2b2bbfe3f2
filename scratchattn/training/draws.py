"""Batches to train on, and where in them we are.

A task that makes its data has ``batch(rng, size, dtype)``.  One whose data have an end has
``examples(split)``, how many, and ``take(split, indices, dtype)``: they are shuffled anew for every round
through them, and a batch may reach from one round into the next.  One that makes what it trains on and is
tested on data that have an end has all three, and ``taken`` names the splits of the second kind.

A batch comes in equal shards, each from a generator of its own, or each a part of the next examples.  Who
draws only some of the shards draws the same as who draws all.
"""

import numpy as np

SPLITS = ("train", "validation", "test")


def makes(task, split):
    """Whether ``task`` makes the data of ``split``; otherwise it takes them, and they have an end."""
    return hasattr(task, "batch") and split not in getattr(task, "taken", ())


class Draws:
    """``draw()`` returns the next batch as a list of shards, of those numbered in ``own``.

    ``rng`` is the generator that all grow from; with one shard it is used itself.
    """

    def __init__(self, task, settings, rng, dtype, own=None):
        self._dtype, self._each = dtype, settings.batch // settings.shards
        self._shards = settings.shards
        self.own = range(settings.shards) if own is None else own
        generators = [rng] if settings.shards == 1 else rng.spawn(settings.shards)
        self._rngs = {k: generators[k] for k in self.own}
        self._shuffler, self._order, self._next, self._start = rng, None, 0, None
        self.turn_to(task)

    def turn_to(self, task):
        """From now on draw from ``task``, which may be another stage of a curriculum."""
        self.task, self._drawing = task, makes(task, "train")

    def draw(self):
        if self._drawing:
            return [self.task.batch(self._rngs[k], self._each, dtype=self._dtype) for k in self.own]
        indices = self._indices(self._each * self._shards)
        parts = [indices[k * self._each : (k + 1) * self._each] for k in self.own]
        return [self.task.take("train", part, dtype=self._dtype) for part in parts]

    def _indices(self, count):
        found = []
        while count:
            if self._order is None or self._next == len(self._order):
                self._start = self._shuffler.bit_generator.state
                self._order, self._next = self._shuffler.permutation(self.task.examples("train")), 0
            part = self._order[self._next : self._next + count]
            self._next, count = self._next + len(part), count - len(part)
            found.append(part)
        return np.concatenate(found)

    def place(self):
        """Plain data from which ``go_to`` finds the same place again."""
        if self._drawing:
            return {"rngs": {str(k): rng.bit_generator.state for k, rng in self._rngs.items()}}
        return {"round": self._start, "next": self._next, "shuffler": self._shuffler.bit_generator.state}

    def go_to(self, place):
        if self._drawing:
            for k, rng in self._rngs.items():
                rng.bit_generator.state = place["rngs"][str(k)]
            return
        if place["round"] is not None:
            self._shuffler.bit_generator.state = self._start = place["round"]
            self._order = self._shuffler.permutation(self.task.examples("train"))
        self._next = place["next"]
        self._shuffler.bit_generator.state = place["shuffler"]


def pieces(batch, steps):
    """``batch`` cut along time, which comes first in ``inputs``, into parts of at most ``steps`` steps.

    A task may cut its batches itself: ``cut(batch, start, stop)``.  ``steps`` 0: the batch as it is.
    """
    total = batch.inputs.shape[0]
    if not steps or total <= steps:
        return [batch]
    return [_part(batch, start, min(start + steps, total)) for start in range(0, total, steps)]


def _part(batch, start, stop):
    total, changed = batch.inputs.shape[0], {}
    for name in batch._fields:
        value = getattr(batch, name)
        if name == "lengths":
            changed[name] = None if value is None else (value - start).clip(0, stop - start)
        elif getattr(value, "shape", (None,))[:1] == (total,):
            changed[name] = value[start:stop]
    return batch._replace(**changed)
