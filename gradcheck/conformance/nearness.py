"""Which convention of a cell does it follow?  There are dozens, and the truth of each would take long."""

from copy import copy

from .judging import judge
from .tolerance import SIGMAS

ENOUGH = 2  # cases that refute a convention of a cell
FAR = 1000 * SIGMAS


def far_off(question, answer, params):
    """What is found of a cell's outputs where floats alone show that they are of another convention; else {}.

    The tolerance is that of what the function is held against, which is near enough for what is so far.
    """
    outputs = question.outputs(params) if question.op.equals is not None else None
    if outputs is None:
        return {}
    _, sigma, _ = question.expected({}, tuple(answer.outputs))
    alone = copy(answer)
    alone.gradients = None
    findings = judge(alone, question, outputs, sigma)
    return findings if any(f.distance > FAR for f in findings.values()) else {}


def neighbours(op, own):
    """Yield (params, names) for what a function is held against, ``own``, but for one setting."""
    settings = [variant.params for variant in op.variants if len(variant.params) == 1]
    settings += [{name: op._params[name]} for name in own if name not in op._required]
    for setting in settings:
        ((name, value),) = setting.items()
        if value != own.get(name, op._params.get(name)):
            yield {**own, name: value}, [f"as asked, with {name}={value}"]
