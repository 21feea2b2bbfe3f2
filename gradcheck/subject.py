"""One op at one case, as what the checks look at: functions from arrays to a tuple of arrays.

The arrays are the *active* ones: inputs that have a gradient and are present.  Booleans, indices
and absent inputs stay where the case put them.
"""

import numpy as np

from scratchattn.tape import Tensor, jacobian, vjp


class Subject:
    """``op`` at ``case``."""

    def __init__(self, op, case):
        self.op, self.case = op, case
        self.kinds = kinds = [kind for kind, _ in zip(op.kinds, case.inputs)]
        self.places = [
            i for i, (x, kind) in enumerate(zip(case.inputs, kinds)) if kind is None and x is not None
        ]
        self.inputs = [np.asarray(case.inputs[i], dtype=float) for i in self.places]
        signature = op._signature
        names = [argument.name for argument in signature._expected(len(case.inputs))]
        self.names = [names[i] for i in self.places]
        self.zero = [name in case.zero_gradient for name in self.names]
        out = self.function(*self.inputs)
        self.outputs = (
            list(op.outputs) if len(out) == len(op.outputs) else [f"out[{i}]" for i in range(len(out))]
        )

    def whole(self, active):
        """All inputs, with ``active`` in their places; floats without a gradient in the same precision."""
        inputs = list(self.case.inputs)
        if any(getattr(x, "dtype", None) in (np.float32, np.complex64) for x in active):
            for i, kind in enumerate(self.kinds):
                if kind == "floating" and inputs[i] is not None:
                    inputs[i] = np.asarray(inputs[i], dtype=np.float32)
        for place, x in zip(self.places, active, strict=True):
            inputs[place] = x
        arrays = [x.data if type(x) is Tensor else x for x in active]
        adopt = next((type(x).of for x in arrays if hasattr(type(x), "of")), None)
        if adopt is not None:  # a number system: its own class holds the booleans and indices too
            inputs = [adopt(x) if type(x) is np.ndarray or isinstance(x, np.generic) else x for x in inputs]
        return inputs

    def function(self, *active):
        """The op; takes arrays or tensors, always returns a tuple."""
        return tupled(self.op(*self.whole(active), **self.case.params))

    def composition(self, *active):
        """The reference ops that a fused op stands for, in the same form."""
        return tupled(self.op.equals(*self.whole(active), **self.case.params))

    @property
    def held(self):
        """What the backward on purpose holds constant in this case; () for nothing."""
        detached = self.op.detached
        return detached.stopped(*self.whole(self.inputs), **self.case.params) if detached else ()

    def differentiated(self):
        """What the backward is the derivative of: the op, or its forward with something held constant."""
        held = self.held
        if not held:
            return self.function
        forward = self.op.detached.forward
        return lambda *active: tupled(forward(*self.whole(active), *held, **self.case.params))

    def vjp(self, inputs=None):
        """Outputs and pullback, at ``inputs`` or at the case."""
        return vjp(self.function, *(self.inputs if inputs is None else inputs))

    def gradient(self, cotangents):
        """The gradients at given inputs, as a function that a complex step can go through."""

        def f(*active):
            _, pullback = vjp(self.function, *active)
            return pullback(*[u.astype(active[0].dtype) for u in cotangents])

        return f

    def jacobians(self):
        """``blocks[i][j]``: the dense Jacobian of output j by active input i, by our backward."""
        rows = [
            jacobian(lambda *tensors, j=j: self.function(*tensors)[j], *self.inputs)
            for j in range(len(self.outputs))
        ]
        return list(zip(*rows))

    def transcription(self, arithmetic):
        """``op.loops`` in the arithmetic of ``math`` or ``mpmath``, lifted over leading axes."""
        shapes = [None if x is None else np.shape(x) for x in self.case.inputs]
        targets = self.op._signature.output_shapes(shapes, self.case.params)

        def one(inputs):
            out = self.op.loops(*inputs, **self.case.params, math=arithmetic)
            several = self.op.Outputs is not None
            return tuple(_objects(y) for y in (out if several else (out,)))

        def f(*active):
            whole = [None if x is None else np.asarray(x) for x in self.whole(active)]
            whole = [x.astype(object) if x is not None and x.dtype.kind == "f" else x for x in whole]
            if self.op.shape_rule:
                outs = one(whole)
            else:
                batch, full = self._broadcast(whole, shapes)
                items = [one([None if x is None else x[index] for x in full]) for index in np.ndindex(batch)]
                outs = tuple(np.stack(ys) for ys in zip(*items)) if items else [_objects([]) for _ in targets]
            return tuple(
                y.reshape([-1 if n is None else n for n in t]) for y, t in zip(outs, targets, strict=True)
            )

        return f

    def _broadcast(self, whole, shapes):
        """Every input with the full batch axes, and with core axes of one stretched to their size."""
        arguments = self.op._signature._expected(len(whole))
        sizes, batch = self.op._signature._bind(arguments, shapes)
        full = []
        for x, argument in zip(whole, arguments):
            if x is not None:
                core = [a.factor * sizes.get(a.letter, 1) for a in argument.axes]
                x = np.broadcast_to(x, (*batch, *core))
            full.append(x)
        return batch, full


def random_like(rng, arrays):
    return [rng.normal(size=x.shape) for x in arrays]


def inner(a, b):
    """<a, b> over lists of arrays, summed in float64."""
    return sum((np.asarray(x, float) * np.asarray(y, float)).sum() for x, y in zip(a, b, strict=True))


def distance(found, truth):
    """Largest difference, relative to the largest entry of ``truth``; infinite if shapes differ."""
    found, truth = np.asarray(found), np.asarray(truth)
    if found.shape != truth.shape:
        return np.inf
    return float(abs(found - truth).max() / (abs(truth).max() or 1.0)) if truth.size else 0.0


def tupled(out):
    return out if isinstance(out, tuple) else (out,)


def _objects(y):
    return y if isinstance(y, np.ndarray) else np.array(y, dtype=object)
