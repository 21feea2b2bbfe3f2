"""One update: the loss of a batch, its gradient, the bounds on it, the optimiser's step.

A batch in several shards has the gradient of its shards' mean, added in one order whoever computed them; so
one process, and many that share the shards, make the same bits.
"""

import numpy as np

from .. import backend
from ..backend import to_numpy
from ..ops.cotangents import clip_cotangent
from ..parameters import Params
from ..tape import Tensor
from .clipping import clip_by_norm, clip_by_value


class Alone:
    """The group of a process that computes all shards itself; ``mpi.Group`` is the other one."""

    rank, size = 0, 1

    def own(self, shards):
        """Numbers of the shards that this process computes."""
        return range(shards)

    def total(self, rows):
        """Rows (own shards, n) of this process, overwritten -> the sum (n) of those of all shards."""
        return tree_sum(rows, len(rows))

    def gathered(self, rows):
        """Rows (own shards, n) of this process -> those of all shards, in order."""
        return rows

    def collected(self, facts):
        """A list of what each process gave."""
        return [facts]


def update(model, task, params, optimiser, batch, settings):
    """One step on one undivided ``batch``: the loss in nats, the metrics, both before the update."""
    value, metrics, gradient, _ = derive(model, task, params, batch, None, settings, (optimiser.steps, 0))
    bound(gradient, settings)
    optimiser.step(gradient)
    return value, {name: float(values.mean()) for name, values in metrics.items()}


def derive(model, task, params, batch, state, settings, place=(0, 0)):
    """Loss, metrics, gradient (a Params), the state after the last step as arrays; nothing is changed.

    ``state``: where the batch goes on from, or None for the model's initial one.  ``place``: how many steps
    came before this one, and which shard this is.
    """
    leaves = params.tensors()
    if state is None:
        state = model.initial_state(leaves, batch.size)
    drawn = chances(model, settings, place)
    outputs, last = model.sequence(leaves, state, batch.inputs, batch.lengths, **drawn)
    shown = clip_cotangent(outputs, limit=settings.clip_outputs) if settings.clip_outputs else outputs
    loss = task.loss(shown, batch)
    gradient = params.gradient(loss, leaves)
    return float(loss.data), task.metrics(outputs.data, batch), gradient, arrays_of(last)


def chances(model, settings, place):
    """What ``model.sequence`` is given beside the batch: the generator of this place, if the model draws.

    Each shard of each step has one of its own, so nothing of it has to be kept, whoever computes the shard.
    """
    if not getattr(model, "random", False):
        return {}
    return {"rng": np.random.default_rng([settings.seed, _CHANCES, *place])}


_CHANCES = 30_000  # beside the seeds of evaluations


def derive_shards(model, task, params, batches, states, settings, group, step):
    """The same of a batch in shards: ``batches`` and ``states`` are lists of this process's own ones.

    Loss and metrics are means over all shards; the states are those of the own ones.
    """
    if settings.shards == 1:
        place = step, 0
        value, metrics, gradient, last = derive(model, task, params, batches[0], states[0], settings, place)
        return value, {name: float(v.mean()) for name, v in metrics.items()}, gradient, [last]
    rows, facts, after, names = [], [], [], None
    for shard, batch, state in zip(group.own(settings.shards), batches, states, strict=True):
        place = step, shard
        value, metrics, gradient, last = derive(model, task, params, batch, state, settings, place)
        names = sorted(metrics)
        rows.append(gradient.flat)
        facts.append([value, *(float(metrics[name].mean()) for name in names)])
        after.append(last)
    xp = backend.array_module(params.flat)
    total = group.total(xp.stack(rows)) / settings.shards
    means = np.mean(group.gathered(np.array(facts)), axis=0)
    named = dict(zip(names, map(float, means[1:])))
    return float(means[0]), named, Params(params.shapes, total), after


def tree_sum(rows, shards, part=0, parts=1):
    """The sum of ``rows``, which it overwrites: of all shards, or of the part that has these.

    Halves are added to halves, whoever adds: part k of a power of two of parts, from shard
    ``k * shards // parts`` on, is a branch of the tree, and the same bits come out for any such number.
    """
    first = part * shards // parts

    def branch(part, parts):
        low, high = part * shards // parts, (part + 1) * shards // parts
        total = rows[low - first]
        if high - low > 1:
            total = branch(2 * part, 2 * parts)
            total += branch(2 * part + 1, 2 * parts)
        return total

    return branch(part, parts)


def bound(gradient, settings):
    """Clip ``gradient`` in place as ``settings`` say."""
    if settings.clip:
        clip_by_value(gradient, settings.clip)
    if settings.clip_norm:
        clip_by_norm(gradient, settings.clip_norm)


def arrays_of(state):
    """A state of tensors, arrays, None and tuples of these, without its recording."""
    if isinstance(state, tuple):
        parts = [arrays_of(part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state.data if isinstance(state, Tensor) else state


def leaves_of(state, path="state"):
    """(name, array) of every array in a state, on the host."""
    if isinstance(state, tuple):
        names = getattr(state, "_fields", range(len(state)))
        for name, part in zip(names, state):
            yield from leaves_of(part, f"{path}/{name}")
    elif state is not None:
        yield path, to_numpy(state)


def refilled(state, arrays, path="state"):
    """A state of the kind of ``state`` with the arrays that ``leaves_of`` named."""
    if isinstance(state, tuple):
        names = getattr(state, "_fields", range(len(state)))
        parts = [refilled(part, arrays, f"{path}/{name}") for name, part in zip(names, state)]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return None if state is None else backend.asarray(arrays[path])
