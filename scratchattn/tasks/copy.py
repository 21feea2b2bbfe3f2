"""The copy task: read a sequence of random bits, then write it down from memory.

A sequence of L vectors of ``bits`` random bits is followed by a delimiter on a channel of its
own; then L steps without any input, in which the vectors are asked for in the same order.

    step       0 ... L-1     L            L+1 ... 2L
    input      vectors       delimiter    nothing
    target     -             -            vectors

The loss is the cross-entropy of the asked bits, and the metric counts the wrong ones per sequence,
an output above one half meaning one.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 4.1.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..op import REGISTRY
from ..ops.choice import where
from ..ops.losses import binary_cross_entropy
from ..refusals import check_settings


class CopyBatch(NamedTuple):
    """``b`` sequences of up to ``t`` steps."""

    inputs: Any  # (t, b, bits + 1)
    targets: Any  # (t, b, bits), zero where nothing is asked
    asked: Any  # (t, b, 1) boolean
    lengths: Any  # (b) integers: steps of each sequence; None if all have t

    @property
    def size(self):
        return self.inputs.shape[1]


@dataclass(frozen=True)
class Copy:
    """Settings: bits of a vector, and the range that lengths are drawn from, both ends included."""

    bits: int = 8
    shortest: int = 1
    longest: int = 20
    together: bool = True
    """All sequences of a batch have one length, as is customary; otherwise each has its own."""

    metric = "wrong_bits"

    def __post_init__(self):
        check_settings(self, at_least={"bits": 1, "shortest": 1, "longest": 1}, flags=("together",))
        if self.shortest > self.longest:
            raise ValueError(f"Copy: longest must be at least shortest, {self.shortest}, got {self.longest}")

    inputs = property(lambda self: self.bits + 1)
    outputs = property(lambda self: self.bits)

    def batch(self, rng, size, dtype="float32"):
        """``size`` sequences drawn from ``rng``, on the backend in use."""
        if type(size) is not int or size < 0:
            raise ValueError(f"Copy.batch: size must be an int, at least 0, got {size!r}")
        drawn = rng.integers(self.shortest, self.longest + 1, size=1 if self.together else size)
        lengths = np.broadcast_to(drawn, (size,))
        longest = int(lengths.max())
        inputs = np.zeros((2 * longest + 1, size, self.bits + 1), dtype)
        targets = np.zeros((2 * longest + 1, size, self.bits), dtype)
        asked = np.zeros((2 * longest + 1, size, 1), bool)
        for j, n in enumerate(lengths):
            vectors = rng.integers(0, 2, size=(n, self.bits))
            inputs[:n, j, : self.bits], inputs[n, j, self.bits] = vectors, 1
            targets[n + 1 : 2 * n + 1, j], asked[n + 1 : 2 * n + 1, j] = vectors, True
        steps = None if self.together else backend.asarray(2 * lengths + 1)
        return CopyBatch(*map(backend.asarray, (inputs, targets, asked)), steps)

    def loss(self, outputs, batch):
        """Cross-entropy of the asked bits in nats per sequence, a scalar tensor; outputs are logits."""
        nats = where(batch.asked, binary_cross_entropy(outputs, batch.targets), 0.0)
        return REGISTRY["sum"](nats) / float(batch.size)

    def metrics(self, outputs, batch):
        """``wrong_bits`` for each sequence of the batch, on the host; outputs are logits."""
        outputs, targets, asked = (backend.to_numpy(a) for a in (outputs, batch.targets, batch.asked))
        wrong = ((outputs > 0) != (targets > 0.5)) & asked
        return {"wrong_bits": wrong.sum(axis=(0, 2))}
