"""What a candidate does with arrays that do not fit: does it refuse, or compute something silently?

Each input in turn gets one row too many along an axis that another input decides, so that the op itself
refuses it.  Not one row instead of several: that could be meant to broadcast.
"""

from functools import partial

import numpy as np

from .asking import Call
from .candidate import NotAsked
from .guarded import Failed, guarded


def misfits(candidate, framework, questions, seconds):
    """A list of {argument, shape, refused, what}: one entry for each input that can be made not to fit."""
    found: dict = {}
    for question in questions:
        try:
            slots, params = candidate.ask(question.case)
        except NotAsked:
            continue
        for name, shape, inputs in _wrong(question):
            if name in found or name not in [slot for slot, _ in slots]:
                continue
            call = partial(_call, candidate, framework, slots, params, inputs, question.dtype)
            try:
                guarded(call, seconds)
            except Failed as failure:
                found[name] = dict(argument=name, shape=shape, refused=not failure.hung, what=str(failure))
            else:
                found[name] = dict(argument=name, shape=shape, refused=False, what="computes something")
    return list(found.values())


def _call(candidate, framework, slots, params, inputs, dtype):
    names = [name for name, _ in slots]
    call, given = Call(candidate, slots, params, names, []), [np.asarray(inputs[name]) for name in names]
    with np.errstate(all="ignore"):
        framework.attempt(call, [framework.array(x, dtype if x.dtype.kind == "f" else None) for x in given])


def _wrong(question):
    """(name, shape, all inputs by name) for every input made longer by one where our own op then refuses."""
    arrays, op = question.arrays(), question.op
    arguments = op._signature._expected(len(arrays))
    for argument in arguments:
        x = arrays[argument.name]
        if x is None or argument.axes is None:
            continue
        x = np.asarray(x)
        for axis in range(-len(argument.axes), 0):
            if x.shape[axis] < 2:
                continue
            longer = np.concatenate([x, x.take([-1], axis=axis)], axis=axis)
            wrong = {**arrays, argument.name: longer}
            try:
                op(*wrong.values(), **question.case.params)
            except (TypeError, ValueError):
                yield argument.name, longer.shape, wrong
                break
