"""What tasks with bits for answers share: how sequences become a batch, the loss, the wrong bits.

The loss is the cross-entropy of the asked bits, and the metric counts the wrong ones per sequence,
an output above one half meaning one.
"""

from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..op import REGISTRY
from ..ops.choice import where
from ..ops.losses import binary_cross_entropy


class BitsBatch(NamedTuple):
    """``b`` sequences of up to ``t`` steps."""

    inputs: Any  # (t, b, i)
    targets: Any  # (t, b, o), zero where nothing is asked
    asked: Any  # (t, b, 1) boolean
    lengths: Any  # (b) integers: steps of each sequence; None if all have t

    @property
    def size(self):
        return self.inputs.shape[1]


class BitsTask:
    """A task of this kind is a frozen dataclass that has ``inputs``, ``outputs``, and

    ``sizes(rng, count)``       a list of ``count`` tuples, each what determines the steps of a sequence
    ``sequence(rng, *sizes)``   one sequence: inputs (t, i), targets (t, o), asked (t) boolean
    """

    metric = "wrong_bits"
    together = True

    def batch(self, rng, size, dtype="float32"):
        """``size`` sequences drawn from ``rng``, on the backend in use."""
        if type(size) is not int or size < 0:
            raise ValueError(f"{type(self).__name__}.batch: size must be an int, at least 0, got {size!r}")
        drawn = self.sizes(rng, 1 if self.together else size)
        sequences = [self.sequence(rng, *drawn[0 if self.together else j]) for j in range(size)]
        lengths = [len(asked) for *_, asked in sequences]
        longest = max(lengths, default=0)
        inputs = np.zeros((longest, size, self.inputs), dtype)
        targets = np.zeros((longest, size, self.outputs), dtype)
        asked = np.zeros((longest, size, 1), bool)
        for j, (n, sequence) in enumerate(zip(lengths, sequences)):
            inputs[:n, j], targets[:n, j], asked[:n, j, 0] = sequence
        steps = None if self.together else backend.asarray(np.array(lengths, int))
        return BitsBatch(*map(backend.asarray, (inputs, targets, asked)), steps)

    def loss(self, outputs, batch):
        """Cross-entropy of the asked bits in nats per sequence, a scalar tensor; outputs are logits."""
        nats = where(batch.asked, binary_cross_entropy(outputs, batch.targets), 0.0)
        return REGISTRY["sum"](nats) / float(batch.size)

    def metrics(self, outputs, batch):
        """``wrong_bits`` for each sequence of the batch, on the host; outputs are logits."""
        outputs, targets, asked = (backend.to_numpy(a) for a in (outputs, batch.targets, batch.asked))
        wrong = ((outputs > 0) != (targets > 0.5)) & asked
        return {"wrong_bits": wrong.sum(axis=(0, 2))}


def answered_last(shown, answer):
    """First ``shown`` (s, i), then ``answer`` (a, o) asked for: inputs, targets, asked of one sequence."""
    s, a = len(shown), len(answer)
    inputs, targets = np.zeros((s + a, shown.shape[1])), np.zeros((s + a, answer.shape[1]))
    inputs[:s], targets[s:] = shown, answer
    return inputs, targets, np.arange(s + a) >= s


def refuse_disorder(task, *pairs):
    """ValueError unless in each pair of fields of ``task``, the second is at least the first."""
    for least, most in pairs:
        low, high = getattr(task, least), getattr(task, most)
        if low > high:
            raise ValueError(f"{type(task).__name__}: {most} must be at least {least}, {low}, got {high}")
