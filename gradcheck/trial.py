"""One op at one case with all its answers, to hold others against quickly: no tape, no second derivative."""

import numpy as np

from .certificates import RUNS, SIGMAS, results, truth
from .derivatives import EPS, condition
from .numeric import complex_step
from .subject import Subject, distance, inner, random_like, tupled

_DEVIATIONS = {"values": 2e-13, "rows": 2e-12}  # twice the bounds of ``gradcheck check``


class Trial:
    """``op`` at ``case``: outputs, a tangent pushed through it, and (when asked for) the Jacobian's rows."""

    def __init__(self, op, case):
        self.op, self.case = op, case
        subject = Subject(op, case)
        signature = op._signature
        inputs = signature.with_numbers_as_arrays(signature.complete(tuple(case.inputs)))
        self.inputs = tuple(_read_only(x) for x in signature.check(inputs, case.params))
        self.active = subject.places
        self.kinds = [place for place, kind in zip(range(len(self.inputs)), op.kinds) if kind is None]
        self.several = op.Outputs is not None
        self.factor = condition(subject)
        self.has_rows = case.margin != 0 and op.detached is None and bool(self.active)
        rng = np.random.default_rng(1)
        self.outputs = subject.function(*subject.inputs)
        self.u = [_read_only(u) for u in random_like(rng, self.outputs)]
        self.v = random_like(rng, subject.inputs)
        self.pushed = complex_step(subject.differentiated(), subject.inputs, self.v) if self.active else ()
        self._subject, self._rows, self._bits, self._bounds = subject, None, None, {}

    def values_differ(self, made):
        """A word if the outputs are not those of the op."""
        out, _ = made.forward(*self.inputs, **self.case.params)
        out = tupled(out)
        if made.shape_rule and self._declared(made) != self._declared(self.op):
            return "shapes"
        if len(out) != len(self.outputs):
            return "values: another number of outputs"
        for y, known in zip(out, self.outputs):
            if y.dtype != known.dtype or not _equals(y, known, _DEVIATIONS["values"] * self.factor):
                return "values"
        return None

    def _declared(self, made):
        shapes = [None if x is None else tuple(x.shape) for x in self.inputs]
        return [tuple(shape) for shape in made.shape_rule(*shapes, **self.case.params)]

    def adjoint_differs(self, made):
        """A word if its gradients are not the transpose of the op's derivative, in a random direction."""
        if not self.active or "backward_is_the_adjoint" in self.op.excused:
            return None
        grads = self._gradients(made)(self.u)
        for place, g in zip(self.active, grads, strict=True):
            if g.shape != self.inputs[place].shape or g.dtype != self.inputs[place].dtype:
                return "adjoint: shapes"
        scale = max(inner(map(abs, grads), map(abs, self.v)), inner(map(abs, self.u), map(abs, self.pushed)))
        error = abs(inner(self.u, self.pushed) - inner(grads, self.v)) / (scale or 1.0)
        return None if error <= 256 * EPS * self.factor else "adjoint"

    def rows_differ(self, made):
        """A word if any row of any Jacobian is not the op's, which differs from the paper's half as much."""
        if not self.has_rows:
            return None
        if self._rows is None:
            self._rows = list(self._jacobian(self.op))
        for known, found in zip(self._rows, self._jacobian(made)):
            for g, h in zip(known, found, strict=True):
                if not _equals(h, g, _DEVIATIONS["rows"] * self.factor):
                    return "rows"
        return None

    def accuracy_differs(self, made):
        """A word if a value or a gradient is further from the truth than its own roundoff may take it."""
        if self.case.margin == 0 or not all(np.isfinite(x).all() for x in self._subject.inputs):
            return None
        for dtype in ("float64", "float32"):
            if dtype not in self._bounds:
                self._bounds[dtype] = self._truth(dtype)
            answers = self._results(made, self._subject.inputs, dtype)
            for found, (exact, bound) in zip(answers, self._bounds[dtype]):
                if found.shape != exact.shape or not (abs(found - exact) <= bound).all():
                    return "accuracy"
        return None

    def _truth(self, dtype):
        """Every output and gradient exactly, and what an honest program may be off."""
        from .numbers.noise import UNITS, spread

        u, inputs = ([x.astype(dtype).astype(float) for x in xs] for xs in (self.u, self._subject.inputs))
        if not all(np.isfinite(x).all() for x in inputs):
            return []
        exact = [y.floats() for y in truth(self._subject, u, inputs)]

        def noisy(*arrays):
            return results(self._subject, [arrays[0].of(a) for a in u] if arrays else u, arrays)

        sigma = spread(noisy, inputs, dtype, exact, RUNS)
        unit = [2 * UNITS[dtype] * abs(t).max(initial=0) + np.finfo(dtype).tiny for t in exact]
        return [(t, SIGMAS * s + one) for t, s, one in zip(exact, sigma, unit, strict=True)]

    def same_bits(self, made):
        """Whether all is as with the op: values and gradients, real and complex, in both precisions."""
        if self._bits is None:
            self._bits = self._in_all_precisions(self.op)
        return self._bits == self._in_all_precisions(made)

    def _in_all_precisions(self, made):
        real = self._subject.inputs
        moved = [x + 1e-9j * v for x, v in zip(real, self.v)]
        dtypes = ((real, np.float64), (real, np.float32), (moved, np.complex128), (moved, np.complex64))
        arrays = [a for active, dtype in dtypes for a in self._results(made, active, dtype)]
        return [(a.dtype, a.shape, a.tobytes()) for a in arrays]

    def _results(self, made, active, dtype):
        """Outputs and gradients at ``active`` cast to ``dtype``."""
        signature = self.op._signature
        inputs = signature.complete(tuple(self._subject.whole([x.astype(dtype) for x in active])))
        inputs = signature.check(inputs, self.case.params)
        out, saved = made.forward(*inputs, **self.case.params)
        return [*tupled(out), *self._pulled(made, saved, [u.astype(dtype) for u in self.u], inputs)]

    def _pulled(self, made, saved, cotangents, inputs):
        """The gradients by what is active; None, and a backward that has nothing to pull, mean zeros."""
        grads = dict.fromkeys(self.kinds)
        if self.outputs:
            dout = tuple(cotangents) if self.several else cotangents[0]
            grads = dict(zip(self.kinds, made.backward(saved, dout), strict=True))
        return [np.zeros_like(inputs[i]) if grads[i] is None else grads[i] for i in self.active]

    def _gradients(self, made):
        """The pullback at this case."""
        _, saved = made.forward(*self.inputs, **self.case.params)
        return lambda cotangents: self._pulled(made, saved, cotangents, self.inputs)

    def _jacobian(self, made):
        pullback = self._gradients(made)
        for j, y in enumerate(self.outputs):
            for index in np.ndindex(y.shape):
                units = [np.zeros_like(o) for o in self.outputs]
                units[j][index] = 1.0
                yield pullback(units)


def _equals(found, known, tolerance):
    """As far as ``known`` is a number; where it is NaN on purpose, ``found`` is too."""
    strange = ~np.isfinite(known)
    if not strange.any():
        return distance(found, known) <= tolerance
    if np.shape(found) != known.shape:
        return False
    same = np.array_equal(np.asarray(found)[strange], known[strange], equal_nan=True)
    return same and distance(np.asarray(found)[~strange], known[~strange]) <= tolerance


def _read_only(x):
    if not isinstance(x, (np.ndarray, np.generic)):
        return x
    x = np.array(x)
    x.flags.writeable = False
    return x
