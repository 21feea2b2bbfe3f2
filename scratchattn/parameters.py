"""Parameters as named views of one flat vector.

An optimiser is then a handful of ufunc calls, a checkpoint one array and an index, an all-reduce
one buffer.  ``Params`` counts how often its numbers were overwritten: a pullback through values
that an optimiser has since changed raises, where it would silently return a wrong gradient.

    params = Params({"weights": (3, 4), "bias": (4,)}, dtype="float32")
    params["weights"]                   a view, shape (3, 4)
    params.flat                         all of them, shape (16,)
    leaves = params.tensors()           name -> tensor, to run a model on
    gradient = params.gradient(loss, leaves)       a Params of the same names
    with params.overwriting() as flat: flat -= 0.1 * gradient.flat
"""

from contextlib import contextmanager
from functools import cached_property
from math import prod

from . import backend
from .backend import array_module
from .tape import Tensor, pull_back


class Params:
    """Named views of the vector ``flat``, in the order of ``shapes``.

    ``shapes``: name -> shape.  ``flat``: a vector to view, of as many numbers as the shapes need;
    without one, zeros of ``dtype`` are born on the backend in use.
    """

    def __init__(self, shapes, flat=None, dtype="float64"):
        if not hasattr(shapes, "items"):
            raise TypeError(
                f"Params: shapes must be a mapping of names to shapes, got {type(shapes).__name__}"
            )
        for name, shape in shapes.items():
            if type(shape) not in (tuple, list) or any(type(n) is not int or n < 0 for n in shape):
                raise TypeError(f"Params: the shape of {name} must be a tuple of sizes, got {shape!r}")
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        size = sum(map(prod, self.shapes.values()))
        if flat is None:
            flat = backend.asarray([0.0] * size, dtype=dtype)
        if _shape(flat) != (size,):
            raise ValueError(f"Params: flat must have shape ({size},), got {_shape(flat)}")
        if not getattr(getattr(flat, "flags", None), "c_contiguous", True):
            raise ValueError("Params: flat must be contiguous, or its parts could not be views of it")
        self.flat, self.version = flat, 0

    @cached_property
    def _views(self):  # made when one is asked for: a gradient is often wanted as a vector only
        views, start = {}, 0
        for name, shape in self.shapes.items():
            views[name] = array_module(self.flat).reshape(self.flat[start : start + prod(shape)], shape)
            start += prod(shape)
        return views

    dtype = property(lambda self: self.flat.dtype)

    def __getitem__(self, name):
        try:
            return self._views[name]
        except KeyError:
            raise KeyError(f"Params: no parameter {name!r}; there are {', '.join(self.shapes)}") from None

    def __contains__(self, name):
        return name in self.shapes

    def __iter__(self):
        return iter(self.shapes)

    def __len__(self):
        return len(self.shapes)

    def items(self):
        return self._views.items()

    def __repr__(self):
        return f"Params({len(self.shapes)} arrays, {self.flat.shape[0]} numbers, {self.dtype})"

    def zeros(self):
        """A Params of the same names and kind, all zero."""
        return Params(self.shapes, array_module(self.flat).zeros_like(self.flat))

    def copy(self):
        return Params(self.shapes, self.flat + 0)

    def assign(self, values):
        """Overwrite from a mapping of the same names and shapes."""
        if set(values) != set(self.shapes):
            raise ValueError(f"Params: names {sorted(self.shapes)} expected, got {sorted(values)}")
        for name, value in values.items():
            if _shape(value) != self.shapes[name]:
                raise ValueError(f"Params: {name} must have shape {self.shapes[name]}, got {_shape(value)}")
            if value.dtype != self.dtype:
                raise TypeError(f"Params: {name} must be {self.dtype}, got {value.dtype}")
        with self.overwriting():
            for name, value in values.items():
                self._views[name][...] = value

    @contextmanager
    def overwriting(self):
        """The flat vector, to write into; recordings made before are void from here on."""
        self.version += 1
        yield self.flat

    def tensors(self):
        """name -> Tensor over the views; a pullback through them after a write raises."""
        version = self.version

        def guard():
            if self.version != version:
                raise RuntimeError(
                    f"these parameters were overwritten {self.version - version} time(s) since the forward "
                    "pass was recorded; record it again before pulling back"
                )

        return {name: Tensor(view, guard=guard) for name, view in self._views.items()}

    def gradient(self, loss, leaves):
        """d loss / d leaves as a Params, for a scalar tensor ``loss``."""
        if type(loss) is not Tensor:
            raise TypeError(f"Params.gradient: loss must be a Tensor, got {type(loss).__name__}")
        if loss.shape != ():
            raise ValueError(f"Params.gradient: loss must be a scalar, got shape {loss.shape}")
        one = array_module(loss.data).ones_like(loss.data)
        grads = pull_back([loss], [one], [leaves[name] for name in self.shapes])
        xp = array_module(self.flat)
        return Params(self.shapes, xp.concat([xp.reshape(g, (-1,)) for g in grads]))


def _shape(value):
    return getattr(value, "shape", type(value).__name__)
