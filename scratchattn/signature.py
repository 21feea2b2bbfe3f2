"""The signature of an op, as it is written and as it is enforced.

NumPy's gufunc syntax with names:

    query(q,d), key(k,d), value(k,v), bias?(q|1,k|1), keep?!(q|1,k|1) -> out(q,v), weights(q,k)

Letters bind to sizes; axes before them broadcast, as in NumPy.  ``?`` after a name: the input may
be None.  ``!``: it has no gradient.  ``4h`` is four times h, ``3`` is three, ``k|1`` may also be
one.  ``a(n), ... -> b(n)`` takes any number of inputs like the last, ``a(n) -> b(), ...`` returns
any number of outputs.  ``a(...)`` is of any shape; the op's ``shape_rule`` then says which fit.
An axis of an output may have the name of an integer param: ``-> filters(n,width)``.

Every message names the op, the argument, what was expected and what came: TypeError for kind,
ValueError for size.
"""

import inspect
import re
from dataclasses import dataclass
from functools import cache

from .backend import array_module, constant
from .tape import Tensor

NUMBERS = frozenset((int, float, complex))
_ARGUMENT = re.compile(r"\s*([a-z_]\w*)([?!]*)\(([^)]*)\)\s*(,|$)")
_AXIS = re.compile(r"(\d*)([a-z]\w*)?(\|1)?$")
_ALLOWED = {None: "fcO", "boolean": "b", "integer": "iu", "floating": "fcO"}
_WORDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "floating", "c": "complex"}


@dataclass(frozen=True)
class Axis:
    """``factor`` times the size of ``letter``; without a letter, ``factor`` itself."""

    factor: int
    letter: str
    or_one: bool

    def __str__(self):
        factor = "" if self.factor == 1 and self.letter else self.factor
        return f"{factor}{self.letter}{'|1' * self.or_one}"


@dataclass(frozen=True)
class Argument:
    name: str
    axes: tuple | None  # None: of any shape
    optional: bool = False
    kind: str | None = None  # of what has no gradient: boolean, integer or floating


class Signature:
    """Parsed once, when the op is made; ``check`` runs at every new kind of call."""

    def __init__(self, op, text, passive, shape_rule):
        self.op, self.text, self.shape_rule = op, text, shape_rule
        left, arrow, right = text.partition("->")
        if not arrow:
            raise ValueError(f"{op}: a signature has an arrow, got {text!r}")
        self.inputs, self.variadic = _parse(op, left, passive)
        self.outputs, self.variadic_out = _parse(op, right, {})
        names = [argument.name for argument in self.inputs]
        for name, kind in passive.items():
            if name not in names:
                raise ValueError(f"{op}: passive names {name!r}, which the signature {text!r} has not")
            if kind not in _ALLOWED:
                raise ValueError(f"{op}: {name} must be boolean, integer or floating, got {kind!r}")
        if len(set(names)) < len(names):
            raise ValueError(f"{op}: two inputs have one name in the signature {text!r}")

    def python(self, params):
        """The same as Python sees it, for help() and editors."""
        parameter, kind = inspect.Parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD
        named = [
            parameter(i.name, kind, default=None if i.optional else parameter.empty) for i in self.inputs
        ]
        if self.variadic:
            named[-1] = parameter(self.inputs[-1].name, parameter.VAR_POSITIONAL)
        keywords = [parameter(name, parameter.KEYWORD_ONLY, default=value) for name, value in params.items()]
        return inspect.Signature(named + keywords)

    def complete(self, inputs):
        """Fill optional inputs at the end with None; TypeError for another number of inputs."""
        n = len(self.inputs)
        if len(inputs) == n or (self.variadic and len(inputs) > n):
            return inputs
        if len(inputs) > n:
            raise TypeError(f"{self.op}: {n} inputs expected, {self.text}, got {len(inputs)}")
        for missing in self.inputs[len(inputs) :]:
            if not missing.optional:
                raise TypeError(f"{self.op}: {missing.name} is missing; it takes {self.text}")
        return (*inputs, *[None] * (n - len(inputs)))

    def check(self, inputs, params):
        """Return ``inputs`` ready for the op: numbers made arrays, reals beside complex made complex."""
        expected = self._expected(len(inputs))
        for argument, x in zip(expected, inputs):
            self._check_kind(argument, x)
        inputs = self.with_numbers_as_arrays(inputs)
        arrays = [t.data if type(t) is Tensor else t for t in inputs]
        self._of_one_library(expected, arrays)
        inputs = self._of_one_precision(expected, inputs)
        self.output_shapes([None if x is None else tuple(x.shape) for x in arrays], params)
        return inputs

    def output_shapes(self, shapes, params):
        """The shape of each output, None for an axis that only the data decide; ValueError if none fits."""
        if self.shape_rule:
            return self.shape_rule(*shapes, **params)
        expected = self._expected(len(shapes))
        sizes, batch = self._bind(expected, shapes)
        sizes = {name: n for name, n in params.items() if type(n) is int} | sizes
        return [
            (
                *batch,
                *[
                    a.factor * sizes.get(a.letter, 1) if a.letter in sizes or not a.letter else None
                    for a in o.axes
                ],
            )
            for o in self.outputs
        ]

    def _expected(self, count):
        if count == len(self.inputs):
            return self.inputs
        last = self.inputs[-1]
        names = [f"{last.name}[{i}]" for i in range(count - len(self.inputs) + 1)]
        return [*self.inputs[:-1], *[Argument(name, last.axes, kind=last.kind) for name in names]]

    def _check_kind(self, argument, x):
        name, data = f"{self.op}: {argument.name}", x.data if type(x) is Tensor else x
        if x is None:
            if not argument.optional:
                raise TypeError(f"{name} must be an array, got None")
        elif type(x) is Tensor and argument.kind is not None:
            raise TypeError(
                f"{name} has no gradient; an array of kind {argument.kind} expected, got a Tensor"
            )
        elif type(x) in NUMBERS and argument.kind is None:
            return
        elif not (hasattr(data, "shape") and hasattr(data, "dtype")):
            raise TypeError(f"{name} must be an array, got {type(x).__name__}")
        elif _precision(data.dtype)[0] not in _ALLOWED[argument.kind]:
            wanted = argument.kind or "floating"
            raise TypeError(f"{name} must be {wanted}, got an array of {_named(data.dtype)}")

    def with_numbers_as_arrays(self, inputs):
        """Python numbers take the library and precision of the arrays beside them."""
        if not any(type(x) in NUMBERS for x in inputs):
            return inputs
        expected = self._expected(len(inputs))
        arrays = [(e, x) for e, x in zip(expected, inputs) if e.kind is None and hasattr(x, "dtype")]
        if not arrays:
            names = ", ".join(e.name for e in expected)
            raise TypeError(f"{self.op}: at least one array expected among {names}, got numbers only")
        owner, like = arrays[0]
        if len(arrays) > 1:  # a complex array, where there is one
            owner, like = next((pair for pair in arrays if _precision(pair[1].dtype)[0] == "c"), arrays[0])
        for argument, x in zip(expected, inputs):
            if type(x) is complex and _precision(like.dtype)[0] != "c":
                raise TypeError(f"{self.op}: {argument.name} is a complex number beside real arrays")
        like = like.data if type(like) is Tensor else like
        made = [type(x) in NUMBERS and e.kind is None for x, e in zip(inputs, expected)]
        try:
            return tuple([constant(like, x) if new else x for x, new in zip(inputs, made)])
        except TypeError:
            self._of_one_library([owner], [like])
            raise

    def _of_one_library(self, expected, arrays):
        first = None
        for argument, x in zip(expected, arrays):
            try:
                library = x if x is None else array_module(x).__name__
            except TypeError:
                known = f"{argument.name} must be an array of a known library"
                raise TypeError(f"{self.op}: {known}, got {type(x).__name__}") from None
            first = first or (library and (argument.name, library))
            if library and library != first[1]:
                came = f"{first[0]} of {first[1]} and {argument.name} of {library}"
                raise TypeError(f"{self.op}: arrays of one library expected, got {came}")

    def _of_one_precision(self, expected, inputs):
        floating = [
            (e, x) for e, x in zip(expected, inputs) if x is not None and e.kind in (None, "floating")
        ]
        first = {}
        for argument, x in floating:
            first.setdefault(_precision(x.dtype)[1], (argument.name, _named(x.dtype)))
        if len(first) > 1:
            (a, a_dtype), (b, b_dtype) = list(first.values())[:2]
            raise TypeError(f"{self.op}: one precision expected, got {a} of {a_dtype} and {b} of {b_dtype}")
        kinds = {_precision(x.dtype)[0] for _, x in floating}
        if kinds != {"c", "f"}:
            return inputs
        for argument, x in floating:
            if type(x) is Tensor and _precision(x.dtype)[0] == "f":
                raise TypeError(f"{self.op}: {argument.name} is a real tensor beside complex inputs")
        floats = [
            e.kind is None and x is not None and _precision(x.dtype)[0] == "f"
            for e, x in zip(expected, inputs)
        ]
        return tuple(x + 0j if cast else x for x, cast in zip(inputs, floats))

    def _bind(self, expected, shapes):
        """Sizes of the letters and the broadcast leading axes."""
        sizes, owners, multiples, batch = {}, {}, [], ()
        for argument, shape in zip(expected, shapes):
            if shape is None:
                continue
            core = len(argument.axes)
            if len(shape) < core:
                axes = ",".join(map(str, argument.axes))
                raise ValueError(f"{self.op}: {argument.name} must have the axes ({axes}), got shape {shape}")
            batch = self._broadcast(batch, shape[: len(shape) - core], expected, shapes)
            for axis, size in zip(argument.axes, shape[len(shape) - core :]):
                if axis.or_one and size == 1:
                    continue
                if axis.factor != 1 or not axis.letter:
                    multiples.append((argument, shape, axis, size))
                elif sizes.setdefault(axis.letter, size) != size:
                    raise ValueError(
                        f"{self.op}: {axis.letter} is both {sizes[axis.letter]} and {size} in "
                        f"{owners[axis.letter]}, {argument.name} {shape}"
                    )
                owners.setdefault(axis.letter, f"{argument.name} {shape}")
        for argument, shape, axis, size in multiples:
            if axis.letter and axis.letter not in sizes:
                if size % axis.factor:
                    rule = f"{axis} must be a multiple of {axis.factor}"
                    raise ValueError(f"{self.op}: {rule}, got {size} in {argument.name} {shape}")
                sizes[axis.letter] = size // axis.factor
            unit = sizes[axis.letter] if axis.letter else 1
            if size != axis.factor * unit:
                raise ValueError(
                    f"{self.op}: {axis} must be {axis.factor * unit}, got {size} in {argument.name} {shape}"
                )
        return sizes, batch

    def _broadcast(self, batch, leading, expected, shapes):
        n = max(len(batch), len(leading))
        a, b = (1,) * (n - len(batch)) + batch, (1,) * (n - len(leading)) + leading
        if any(p != q and 1 not in (p, q) for p, q in zip(a, b)):
            came = ", ".join(f"{e.name} {s}" for e, s in zip(expected, shapes) if s is not None)
            raise ValueError(f"{self.op}: the leading axes of {came} do not broadcast")
        return tuple(q if p == 1 else p for p, q in zip(a, b))


def _parse(op, text, passive):
    """The arguments on one side of the arrow, and whether the last one repeats."""
    outside = re.sub(r"\([^)]*\)", "", text)
    variadic = "..." in outside
    if variadic:
        text = text.rstrip().removesuffix("...").rstrip().removesuffix(",")
    arguments, end = [], 0
    while end < len(text.rstrip()):
        match = _ARGUMENT.match(text, end)
        if not match:
            raise ValueError(f"{op}: cannot read the signature at {text[end:]!r}")
        name, marks, axes, _ = match.groups()
        if ("!" in marks) != (name in passive):
            raise ValueError(f"{op}: {name} needs both a '!' in the signature and a kind in passive")
        parsed = None if axes.strip() == "..." else tuple(_axis(op, a) for a in axes.split(",") if a.strip())
        arguments.append(Argument(name, parsed, "?" in marks, passive.get(name)))
        end = match.end()
    return arguments, variadic


def _axis(op, text):
    match = _AXIS.match(text.strip())
    if not match:
        raise ValueError(f"{op}: cannot read the axis {text!r}")
    factor, letter, or_one = match.groups()
    return Axis(int(factor or 1), letter or "", or_one is not None)


def _named(dtype):
    return str(dtype).rpartition(".")[-1]


def _precision(dtype):
    """Kind letter and bits of one real number; a dtype no op takes has the kind "?"."""
    return _precision_of(type(dtype), dtype)


@cache
def _precision_of(
    library, dtype
):  # a key that begins with the type: dtypes of two libraries are never compared
    name = _named(dtype)
    known = {"float32": ("f", 32), "float64": ("f", 64), "complex64": ("c", 32), "complex128": ("c", 64)}
    if name in known:
        return known[name]
    if name in ("bool", "object"):
        return {"bool": ("b", 8), "object": ("O", 0)}[name]
    return ("i" if name.startswith(("int", "uint")) else "?", 0)
