"""What to say when a loss or a gradient is no finite number: which tensor went first.

The step is made again, by the reference engine where the model has one, and looked at node by node: first
what went in (parameters, inputs, state), then every output in the order of computing, then every gradient
in the order of the backward pass.
"""

import dataclasses

from ..backend import to_numpy
from ..tape import Tensor
from .step import derive, leaves_of


class NotFinite(FloatingPointError):
    """Training met an infinity or a NaN; ``first`` says where it appeared first."""

    def __init__(self, message, first):
        super().__init__(message)
        self.first = first


def first_not_finite(model, task, params, batch, state, settings, place=(0, 0)):
    """A clause that names what became infinite or NaN first in the step on ``batch``, or None."""
    found = _among_inputs(params, batch, state)
    return found or _among_nodes(model, task, params, batch, state, settings, place)


def is_finite(gradient):
    """Whether every number of ``gradient``, a Params, is finite."""
    total = float(gradient.flat.sum())  # the cheap question first; only a sum of large numbers asks the other
    return total - total == 0 or _finite(gradient.flat)


def _among_inputs(params, batch, state):
    for name, value in params.items():
        if not _finite(value):
            return f"parameter {name}, before the step"
    if not _finite(batch.inputs):
        return "the inputs of the batch"
    for name, value in leaves_of(state):
        if not _finite(value):
            return f"{name}, carried from the step before"
    return None


def _among_nodes(model, task, params, batch, state, settings, place):
    if getattr(model, "engine", "reference") != "reference":
        model = dataclasses.replace(model, engine="reference")
    seen = _Recorder()
    derive(model, _Watched(task, seen), params, batch, state, settings, place)
    return seen.first


class _Recorder:
    """Walks a recording forward, and is told of every backward."""

    first = None

    def forward(self, loss):
        """Look at every node that ``loss`` descends from, and have their backwards looked at."""
        nodes, waiting = {}, [loss.node]
        while waiting:
            node = waiting.pop()
            if node is not None and node.birth not in nodes:
                nodes[node.birth] = node
                waiting += [t.node for t in node.inputs if t is not None]
        for count, birth in enumerate(sorted(nodes), 1):
            node = nodes[birth]
            if self.first is None and not all(map(_finite, node.outputs)):
                self.first = (
                    f"an output of {node.op.name}, the {_nth(count)} of {len(nodes)} ops of the forward pass"
                )
            node.op = _WatchedOp(node.op, self, f"the {_nth(count)} of {len(nodes)} ops")

    def backward(self, op, dout, grads, where):
        given = dout if isinstance(dout, tuple) else (dout,)
        if self.first is None and not all(_finite(g) for g in (*given, *grads) if g is not None):
            self.first = f"a gradient by the backward of {op.name}, {where} of the forward pass"


class _WatchedOp:
    def __init__(self, op, recorder, where):
        self._op, self._recorder, self._where = op, recorder, where
        self.name, self.Outputs = op.name, op.Outputs

    def backward(self, saved, dout):
        grads = self._op.backward(saved, dout)
        self._recorder.backward(self._op, dout, grads, self._where)
        return grads


class _Watched:
    """A task whose loss is looked at before it is pulled back."""

    def __init__(self, task, recorder):
        self._task, self._recorder = task, recorder

    def loss(self, outputs, batch):
        loss = self._task.loss(outputs, batch)
        if isinstance(loss, Tensor) and loss.node is not None:
            self._recorder.forward(loss)
        return loss

    def metrics(self, outputs, batch):
        return self._task.metrics(outputs, batch)


def _finite(array):
    """Whether all is finite; what is no array of floats is."""
    array = to_numpy(array)
    return array.dtype.kind not in "fc" or bool((abs(array) < float("inf")).all())


def _nth(number):
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"
