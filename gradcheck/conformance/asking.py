"""Put one question to a candidate, and take down what comes back: numbers, or why there are none."""

import time

import numpy as np

from .candidate import Returned
from .guarded import Failed, guarded


class Answer:
    """``outputs`` and ``gradients``: name -> array of NumPy (None: no gradient); ``kinds``: name -> dtype.

    ``failure`` says what went wrong instead, ``notes`` what is odd, ``altered`` which inputs were changed.
    """

    def __init__(self):
        self.outputs: dict = {}
        self.gradients: dict | None = None
        self.kinds: dict = {}
        self.failure, self.hung = "", False
        self.notes: set = set()
        self.altered: list = []
        self.seconds = 0.0


class Call:
    """The candidate at one case: framework arrays in the places that it has for them."""

    def __init__(self, candidate, slots, params, active, constants):
        self.candidate, self.slots, self.params = candidate, slots, params
        self.active, self.constants = active, constants  # names

    @property
    def key(self):
        return repr((self.slots, sorted(self.params.items()), self.active, self.constants))

    def in_order(self, active, constants):
        """All arrays in the function's own order."""
        known = {**dict(zip(self.active, active)), **dict(zip(self.constants, constants))}
        return [known[name] for name, _ in self.slots]

    def __call__(self, active, constants):
        arrays = self.in_order(active, constants)
        positional = [x for x, (_, keyword) in zip(arrays, self.slots) if keyword is None]
        named = {keyword: x for x, (_, keyword) in zip(arrays, self.slots) if keyword is not None}
        return self.candidate.function(*positional, **named, **self.params)


def ask(candidate, framework, question, seconds):
    """The answer of ``candidate`` to ``question``; NotAsked if it cannot be told the case."""
    slots, params = candidate.ask(question.case)
    answer, given = Answer(), question.arrays()
    started = time.perf_counter()
    try:
        guarded(lambda: _answer(candidate, framework, question, slots, params, given, answer), seconds)
    except Failed as failed:
        answer.failure, answer.hung = str(failed), failed.hung
    answer.seconds = time.perf_counter() - started
    return answer


def _answer(candidate, framework, question, slots, params, given, answer):
    there = [name for name, _ in slots]
    active = [name for name in there if name in question.subject.names]
    constants = [name for name in there if name not in active]
    call = Call(candidate, slots, params, active, constants)

    def array(x):
        return framework.array(x, question.dtype if np.asarray(x).dtype.kind == "f" else None)

    with np.errstate(all="ignore"):  # kept by thread: here is where the candidate's warnings are made
        primals, fixed = ([array(given[name]) for name in names] for names in (active, constants))
        before = [np.array(framework.values(x)) for x in [*primals, *fixed]]

        def pick(raw):
            return candidate.pick(raw, framework.is_array, answer.notes)

        def cotangents(chosen):
            """Those of the outputs that came, in their precision; None if an output is not as it must be."""
            known = dict(zip(question.shapes, question.cotangents))
            for name, y in chosen:
                floating = "float" in framework.kind(y)
                if not floating or name not in known or not _broadcasts(tuple(y.shape), known[name].shape):
                    return None
                if tuple(y.shape) != known[name].shape:
                    answer.notes.add(f"leaves out of {name} the batch axes that its own inputs lack")
            given = [_summed(known[name], tuple(y.shape)) for name, y in chosen]
            return [framework.array(u, framework.kind(y)) for u, (_, y) in zip(given, chosen)]

        try:
            chosen, grads = framework.run(call.key, call, primals, fixed, pick, cotangents)
        except Returned as nothing:
            answer.failure = f"returned {nothing}"
            return
        for name, y in chosen:
            answer.kinds[name] = framework.kind(y)
            answer.outputs[name] = framework.values(y)
        after = [np.asarray(framework.values(x)) for x in [*primals, *fixed]]
        for name, old, new in zip([*active, *constants], before, after):
            if old.shape != new.shape or not np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
                answer.altered.append(name)
        for y in answer.outputs.values():
            if y.size and any(np.shares_memory(y, x) for x in after):
                answer.notes.add("returns a view of its input: who changes one changes both")
        if grads is not None:
            answer.gradients = {}
            for name, g in zip(active, _fitting(grads, active, there, question)):
                answer.gradients[name] = _gradient(name, g, framework, answer)


def _broadcasts(shape, whole):
    """Whether an output is the whole one but for leading axes along which nothing changes."""
    return shape == whole[max(len(whole) - len(shape), 0) :]


def _summed(cotangent, shape):
    return cotangent.sum(axis=tuple(range(cotangent.ndim - len(shape))))


def _fitting(grads, active, there, question):
    """One gradient for each active input, of those that a backward may return."""
    if len(grads) == len(active):
        return grads
    if len(grads) == len(there):  # one for each argument, also those that have none
        return [g for name, g in zip(there, grads) if name in active]
    everyone = [name for name, kind in zip(question.op.inputs, question.op.kinds) if kind is None]
    if len(grads) == len(everyone):  # one for each input of the op, None for what is absent
        known = dict(zip(everyone, grads))
        return [known[name] for name in active]
    raise Failed(f"the backward returned {len(grads)} gradients; {len(active)} expected: {', '.join(active)}")


def _gradient(name, gradient, framework, answer):
    if gradient is None:
        return None
    if not framework.is_array(gradient):
        raise Failed(f"the gradient by {name} is {type(gradient).__name__}; an array expected")
    answer.kinds[f"d{name}"] = framework.kind(gradient)
    return framework.values(gradient)
