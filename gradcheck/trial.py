"""One op at one case with all its answers, to hold others against quickly: no tape, no second derivative."""

from functools import cached_property

import numpy as np

from .certificates import RUNS, SIGMAS, results, truth
from .derivatives import EPS, condition
from .numeric import complex_step
from .subject import Subject, distance, inner, random_like, tupled

_DEVIATIONS = {"values": 2e-13, "rows": 2e-12}  # twice the bounds of ``gradcheck check``


class Trial:
    """``op`` at ``case``: outputs, a tangent pushed through it, and (when asked for) the Jacobian's rows.

    What it asks is asked of a version of the op; ``own`` is the op's own.
    """

    def __init__(self, op, case, own):
        self.op, self.case, self.own = op, case, own
        self.subject = subject = Subject(op, case)
        signature = op._signature
        inputs = signature.with_numbers_as_arrays(signature.complete(tuple(case.inputs)))
        self.inputs = tuple(_read_only(x) for x in signature.check(inputs, case.params))
        self.active = subject.places
        self.kinds = [place for place, kind in zip(range(len(self.inputs)), op.kinds) if kind is None]
        self.several = op.Outputs is not None
        self.factor = condition(subject)
        self.has_rows = case.margin != 0 and not subject.held and bool(self.active)
        rng = np.random.default_rng(1)
        self.outputs = subject.function(*subject.inputs)
        self.u = [_read_only(u) for u in random_like(rng, self.outputs)]
        self.v = random_like(rng, subject.inputs)
        self.pushed = complex_step(subject.differentiated(), subject.inputs, self.v) if self.active else ()
        certain = case.margin != 0 and all(np.isfinite(x).all() for x in subject.inputs)
        self.certified = ("float64", "float32") if certain else ()
        dtypes = ("float64", "float32", "complex128", "complex64")
        self._precisions = {dtype: _Precision(self, dtype) for dtype in dtypes}

    def values_differ(self, version):
        """A word if the outputs are not those of the op."""
        out, made = tupled(version.forward(self)[0]), version.made
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

    def forward_is_the_same(self, version):
        """Whether outputs and what is saved have the bits of the op's own, so that a backward cannot tell."""
        return _alike(version.forward(self), self.own.forward(self))

    def adjoint_differs(self, version):
        """A word if its gradients are not the transpose of the op's derivative, in a random direction."""
        if not self.active or "backward_is_the_adjoint" in self.op.excused:
            return None
        grads = self._pulled(version, self.u)
        for place, g in zip(self.active, grads, strict=True):
            if g.shape != self.inputs[place].shape or g.dtype != self.inputs[place].dtype:
                return "adjoint: shapes"
        scale = max(inner(map(abs, grads), map(abs, self.v)), inner(map(abs, self.u), map(abs, self.pushed)))
        error = abs(inner(self.u, self.pushed) - inner(grads, self.v)) / (scale or 1.0)
        return None if error <= 256 * EPS * self.factor else "adjoint"

    def rows_differ(self, version):
        """A word if any row of any Jacobian is not the op's, which differs from the paper's half as much."""
        if not self.has_rows:
            return None
        for known, found in zip(self._rows, self._jacobian(version)):
            for g, h in zip(known, found, strict=True):
                if not _equals(h, g, _DEVIATIONS["rows"] * self.factor):
                    return "rows"
        return None

    def accuracy_differs(self, dtype, version):
        """A word if a value or a gradient is further from the truth than its own roundoff may take it."""
        precision = self._precisions[dtype]
        answers = precision.answers(version)
        if _alike(answers, precision.known):
            return None
        for found, (exact, bound) in zip(answers, precision.truth):
            if found.shape != exact.shape or not (abs(found - exact) <= bound).all():
                return "accuracy"
        return None

    def deviation(self, dtype, version):
        """How far its answers are from those of the op, in roundings of the largest entry."""
        precision = self._precisions[dtype]
        pairs = zip(precision.answers(version), precision.known, strict=True)
        with np.errstate(all="ignore"):
            return max((distance(x, y) for x, y in pairs), default=0.0) / np.finfo(dtype).eps

    def bits_differ(self, version):
        """A word if not all is as with the op: values and gradients, real, complex, in both precisions."""
        for precision in self._precisions.values():
            if not _alike(precision.answers(version), precision.known):
                return "bits"
        return None

    def gradients(self, version, saved, cotangents, inputs):
        """The gradients by what is active; None, and a backward that has nothing to pull, mean zeros."""
        grads = dict.fromkeys(self.kinds)
        if self.outputs:
            dout = tuple(cotangents) if self.several else cotangents[0]
            grads = dict(zip(self.kinds, version.made.backward(saved, dout), strict=True))
        return [np.zeros_like(inputs[i]) if grads[i] is None else grads[i] for i in self.active]

    def _pulled(self, version, cotangents):
        """The gradients at this case."""
        _, saved = version.forward(self)
        return self.gradients(version, saved, cotangents, self.inputs)

    @cached_property
    def _rows(self):
        return list(self._jacobian(self.own))

    def _jacobian(self, version):
        for j, y in enumerate(self.outputs):
            for index in np.ndindex(y.shape):
                units = [np.zeros_like(o) for o in self.outputs]
                units[j][index] = 1.0
                yield self._pulled(version, units)


class _Precision:
    """The case of ``trial`` in ``dtype``; a complex one is a little away from the real inputs."""

    def __init__(self, trial, dtype):
        self._trial, self._dtype = trial, dtype

    @cached_property
    def _asked(self):
        trial, active = self._trial, self._trial.subject.inputs
        if self._dtype.startswith("complex"):
            active = [x + 1e-9j * v for x, v in zip(active, trial.v)]
        signature = trial.op._signature
        inputs = signature.complete(tuple(trial.subject.whole([x.astype(self._dtype) for x in active])))
        inputs = signature.check(inputs, trial.case.params)
        return [_read_only(x) for x in inputs], [_read_only(u.astype(self._dtype)) for u in trial.u]

    @cached_property
    def known(self):
        """Outputs and gradients of the op itself."""
        return self.answers(self._trial.own)

    def answers(self, version):
        """Outputs and gradients of ``version``."""
        inputs, cotangents = self._asked
        out, saved = version.made.forward(*inputs, **self._trial.case.params)
        return [*tupled(out), *self._trial.gradients(version, saved, cotangents, inputs)]

    @cached_property
    def truth(self):
        """Every output and gradient exactly, and what an honest program may be off."""
        from .numbers.noise import UNITS, spread

        trial, dtype = self._trial, self._dtype
        u, inputs = ([x.astype(dtype).astype(float) for x in xs] for xs in (trial.u, trial.subject.inputs))
        if not all(np.isfinite(x).all() for x in inputs):
            return []
        exact = [y.floats() for y in truth(trial.subject, u, inputs)]

        def noisy(*arrays):
            return results(trial.subject, [arrays[0].of(a) for a in u] if arrays else u, arrays)

        sigma = spread(noisy, inputs, dtype, exact, RUNS)
        unit = [2 * UNITS[dtype] * abs(t).max(initial=0) + np.finfo(dtype).tiny for t in exact]
        return [(t, SIGMAS * s + one) for t, s, one in zip(exact, sigma, unit, strict=True)]


def _alike(found, known):
    """Whether two results, or what two forwards saved, are the same to the last bit and layout."""
    if type(found) is not type(known):
        return False
    if isinstance(known, (tuple, list)):
        return len(found) == len(known) and all(map(_alike, found, known))
    if isinstance(known, dict):
        return list(found) == list(known) and all(map(_alike, found.values(), known.values()))
    if isinstance(known, (np.ndarray, np.generic)):
        form = lambda x: (x.dtype, x.shape, x.strides)
        return form(found) == form(known) and found.tobytes() == known.tobytes()
    if isinstance(known, (float, complex)):
        return repr(found) == repr(known)  # NaN is itself, and 0.0 is not -0.0
    return found is known or (isinstance(known, (int, str)) and found == known)


def _equals(found, known, tolerance):
    """As far as ``known`` is a number; where it is NaN on purpose, ``found`` is too."""
    if _alike(found, known):
        return True
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
