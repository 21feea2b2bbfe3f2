"""Dynamic n-grams: guess each bit of a sequence from the bits before it, and learn its rule on the way.

The chance of a one depends on the ``context`` bits before it, by a table of 2^context chances that is drawn
anew for every sequence, each from Beta(1/2, 1/2).  The first ``context`` bits, which have no context yet,
are fair coins.

    step       0        1       ...   t
    input      bit 0    bit 1         bit t
    target     bit 1    bit 2         bit t+1

All but the first bit are asked for: ``length`` - 1 steps.  The cost of a sequence is the cross-entropy of its
asked bits, in bits.

The optimum
-----------
Nobody who does not know the table can do better, on average over tables and sequences, than one who counts
how often each context has been followed by a one, N1, and by a zero, N0, in this sequence, and says

    P(1) = (N1 + 1/2) / (N1 + N0 + 1)

which is the mean of Beta(1/2, 1/2) after these counts.  Of a bit that has no context yet it says 1/2.
``optimal_probabilities`` is that, and ``metrics`` gives its cost on the same sequences beside the model's.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 4.4; the estimator:
Murphy, "Machine Learning: A Probabilistic Perspective", 2012, section 3.3.
"""

from dataclasses import dataclass

import numpy as np

from .. import backend
from ..refusals import check_settings
from .bits import BitsTask


@dataclass(frozen=True)
class NGrams(BitsTask):
    """Settings: bits of a sequence, and how many bits before it the chance of each depends on."""

    length: int = 200
    """Bits of a sequence."""
    context: int = 5
    """Of the six bits of a 6-gram the five that come first."""

    metric = "bits_above_optimal"
    inputs = outputs = 1

    def __post_init__(self):
        check_settings(self, at_least={"length": 2, "context": 0})
        if self.context > 16:
            raise ValueError(f"NGrams: context must be at most 16, got {self.context}")

    def sizes(self, rng, count):
        """Nothing is drawn: all sequences have one length."""
        return [()] * count

    def sequence(self, rng):
        """One sequence, by a table of its own."""
        table, luck = rng.beta(0.5, 0.5, size=2**self.context), rng.random(self.length)
        bits = np.zeros((self.length, 1))
        state, last = 0, 2**self.context - 1  # the context as a number, its newest bit the lowest
        for t in range(self.length):
            bits[t] = luck[t] < (0.5 if t < self.context else table[state])
            state = 2 * state + int(bits[t, 0]) & last
        return bits[:-1], bits[1:], np.ones(self.length - 1, bool)

    def metrics(self, outputs, batch):
        """For each sequence, on the host, ``bits_per_sequence``, its optimum, and how far it is above.

        The optimum is called ``optimal_bits_per_sequence``, the difference ``bits_above_optimal``: it varies
        far less between sequences than either.  All are cross-entropies in bits; outputs are logits.
        """
        logits, targets = (backend.to_numpy(a)[:, :, 0] for a in (outputs, batch.targets))
        logits, ones = logits.astype("float64"), targets > 0.5
        nats = np.logaddexp(0, np.where(ones, -logits, logits)).sum(axis=0)
        first = backend.to_numpy(batch.inputs)[:1, :, 0]
        chance = optimal_probabilities(np.concatenate([first > 0.5, ones]), self.context)[1:]
        optimum = -np.log2(np.where(ones, chance, 1 - chance)).sum(axis=0)
        bits = nats / np.log(2)
        return {
            "bits_per_sequence": bits,
            "optimal_bits_per_sequence": optimum,
            "bits_above_optimal": bits - optimum,
        }


def optimal_probabilities(bits, context):
    """The optimum's chance of a one at each bit, before it is seen: booleans (t, b) -> (t, b)."""
    steps, size = bits.shape
    counts, each = np.zeros((size, 2**context, 2)), np.arange(size)
    state, found = np.zeros(size, int), np.full((steps, size), 0.5)
    for t, now in enumerate(bits.astype(int)):
        if t >= context:
            zeros, ones = counts[each, state].T
            found[t] = (ones + 0.5) / (ones + zeros + 1)
            counts[each, state, now] += 1
        state = (2 * state + now) & (2**context - 1)
    return found
