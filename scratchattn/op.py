"""What an op is, and the registry that every checker walks.

An op is two pure functions on arrays, written by hand,

    forward(*inputs, **params)  ->  out, saved
    backward(saved, dout)       ->  one gradient for each input that has one, in order

and the facts needed to test them: a signature, cases, a slow transcription of the paper,
properties, variants.  With several outputs, ``out`` and ``dout`` are tuples; an optional input
that was None gets the gradient None.  ``register`` makes the pair callable on tensors.
"""

import inspect
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import tape
from .signature import NUMBERS, Signature

REGISTRY: dict[str, "Op"] = {}


@dataclass(frozen=True)
class Case:
    """Inputs (NumPy, float64, small) at which an op is checked.

    ``zero_gradient`` names the inputs whose gradient is exactly zero here: say so, or a check
    that sees only zeros fails as vacuous.  ``margin`` is how far, in the largest norm, the inputs
    may move before a branch changes: finite differences stay within it, and at 0, on the kink
    itself, are left out.  ``ill_conditioned`` multiplies the bounds by the condition number.
    """

    label: str
    inputs: tuple
    params: dict = field(default_factory=dict)
    zero_gradient: tuple = ()
    margin: float | None = None
    ill_conditioned: bool = False


@dataclass(frozen=True)
class Variant:
    """A convention of others under its own name: the params that make this op follow it."""

    name: str
    params: dict
    source: str


@dataclass(frozen=True)
class Detached:
    """What a backward is the derivative of, where that is on purpose not the forward.

    ``stopped(*inputs, **params)`` is the tuple of quantities held constant;
    ``forward(*inputs, *stopped, **params)`` is the function of the inputs that is left.
    """

    stopped: Callable
    forward: Callable


@dataclass(frozen=True, eq=False)
class Op:
    """One mechanism.  See design section 4 for the form, ``signature`` for the grammar."""

    name: str
    signature: str  # "query(q,d), key(k,d), value(k,v), keep?!(q,k) -> out(q,v), weights(q,k)"
    forward: Callable
    backward: Callable
    cases: Callable  # rng -> iterable of Case
    loops: Callable | None = None  # the paper's equations, one number at a time
    equals: Callable | None = None  # on tensors: the composition of reference ops a fused op stands for
    shape_rule: Callable | None = None  # (*shapes, **params) -> output shapes, for inputs written (...)
    passive: dict = field(default_factory=dict)  # kind of each "!" input: boolean, integer or floating
    detached: Detached | None = None
    properties: tuple = ()  # each: (inputs, params, out) -> None, raises AssertionError
    variants: tuple = ()
    excused: frozenset = frozenset()  # names of checks that do not apply, for a reason in the docstring
    source: str = ""
    # derived
    inputs: tuple = field(init=False, default=())
    outputs: tuple = field(init=False, default=())
    kinds: tuple = field(init=False, default=())  # per input: None if it has a gradient, else its kind
    Outputs: Any = field(init=False, default=None)  # named tuple of several outputs

    def __post_init__(self):
        signature = Signature(self.name, self.signature, self.passive, self.shape_rule)
        names = tuple(o.name for o in signature.outputs)
        several = len(names) > 1 or signature.variadic_out
        keywords = inspect.signature(self.forward).parameters.values()
        given = {
            "inputs": tuple(i.name for i in signature.inputs),
            "outputs": names,
            "kinds": tuple(i.kind for i in signature.inputs),
            "Outputs": _outputs(self.name, names, signature.variadic_out) if several else None,
            "_signature": signature,
            "_params": {p.name: p.default for p in keywords if p.kind is p.KEYWORD_ONLY},
            "_required": {p.name for p in keywords if p.kind is p.KEYWORD_ONLY and p.default is p.empty},
            "_seen": set(),
            "__doc__": self.forward.__doc__,
            "__name__": self.name,
        }
        if signature.variadic:
            given["kinds"] = _Endless(given["kinds"])
        for name, value in given.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "__signature__", signature.python(self._params))

    def __call__(self, *inputs, **params):
        """Check the call, then compute on arrays or record on tensors."""
        if params:
            inputs, params = self._bind(inputs, params)
        if self._required:
            for name in self._required - params.keys():
                raise TypeError(f"{self.name}: the parameter {name} is missing")
        inputs = self._signature.complete(inputs)
        if any([type(x) in NUMBERS for x in inputs]):
            inputs = self._signature.with_numbers_as_arrays(inputs)
        key = tuple([_kind_of(x) for x in inputs])
        if self.shape_rule:  # what fits depends on the params too
            key = key, repr(params)
        if key not in self._seen:
            ready = self._signature.check(inputs, params)
            if ready is inputs and len(self._seen) < 4096:
                self._seen.add(key)  # nothing had to be converted: the next call like it needs no check
            inputs = ready
        return tape.apply(self, inputs, params)

    def _bind(self, inputs, named):
        """Move inputs given by name to their places, and refuse params that do not exist."""
        params, places = {}, {}
        for name, value in named.items():
            if name in self.inputs:
                places[self.inputs.index(name)] = value
            elif name in self._params:
                params[name] = self._param(name, value)
            else:
                known = ", ".join([*self.inputs, *self._params])
                raise TypeError(f"{self.name}: no argument is called {name!r}; it takes {known}")
        if places:
            filled = list(inputs) + [None] * (max(places) + 1 - len(inputs))
            for place, value in places.items():
                if place < len(inputs):
                    raise TypeError(f"{self.name}: {self.inputs[place]} is given twice")
                filled[place] = value
            inputs = tuple(filled)
        return inputs, params

    def _param(self, name, value):
        """``value`` if it is of the kind of the default; texts and shapes the op itself looks at."""
        kind = type(self._params[name])
        if kind is bool and type(value) is not bool:
            raise TypeError(f"{self.name}: {name} must be True or False, got {value!r}")
        if kind is float:
            if not isinstance(value, (int, float)) or type(value) is bool:
                raise TypeError(f"{self.name}: {name} must be a number, got {value!r}")
            if value != value:
                raise ValueError(f"{self.name}: {name} must be a number, got NaN")
            return value if type(value) is int else float(value)  # a NumPy scalar would decide the precision
        if kind is tuple and type(value) not in (tuple, list):
            raise TypeError(f"{self.name}: {name} must be a tuple, got {value!r}")
        return value


def _kind_of(x):
    """What the check of a call looks at.  Of a tensor also the library: its dtypes may equal another's."""
    if type(x) is tape.Tensor:
        return tape.Tensor, type(x.data), x.data.shape, x.data.dtype
    return (type(x), x.shape, x.dtype) if hasattr(x, "shape") and hasattr(x, "dtype") else type(x)


class _Endless(tuple):
    """The kinds of an op of any number of inputs: the last one goes on."""

    def __iter__(self):
        yield from super().__iter__()
        while True:
            yield self[-1]


def _outputs(name, names, variadic):
    title = "".join(part.title() for part in name.split("_"))
    return _Tuple if variadic else namedtuple(title, names)


class _Tuple(tuple):
    """The outputs of an op that has any number of them."""

    _make = classmethod(tuple.__new__)


def register(op):
    """Enter ``op`` in the registry and return it."""
    if op.name in REGISTRY:
        raise ValueError(f"op {op.name!r} is registered twice")
    REGISTRY[op.name] = op
    return op
