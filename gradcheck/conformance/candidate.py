"""Somebody else's function: what it takes, what it returns, and which of an op's cases it can be asked.

The op's inputs are given in order, or by name if the function names all that are required.  An
optional input or a param (keep, bias, causal, eps) is given only to a function that has an argument of
that name, or that has more required arguments than the op has required inputs.  A function with
fewer arguments and ``**weights`` is given all inputs by name that have a gradient.
"""

import inspect

from scratchattn.signature import NUMBERS

from .guarded import attribute

_STARS = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


class Unsuitable(Exception):
    """Why a function cannot be held against the op at all."""


class Returned(Exception):
    """Why what a function returned is no answer."""


class NotAsked(Exception):
    """Why a case is not put to a function."""


class Candidate:
    """``function``, to be held against ``op``.

    ``arguments`` says where the op's inputs go, if not as above: a mapping from the op's names to the
    function's, a sequence of the op's names in the function's order, or a function that takes some of
    the op's inputs and params by name and returns the tuple (or the dictionary) of arguments.
    ``outputs`` names which of the op's outputs come back, None in the place of one that is not ours;
    ``params`` are the params that the function follows without being told.
    """

    def __init__(self, op, function, arguments=None, outputs=None, params=None):
        if not callable(function):
            raise Unsuitable(f"a function expected, got {type(function).__name__}")
        self.op, self.function, self.params = op, function, dict(params or {})
        self.name = attribute(function, "__name__", type(function).__name__)
        self.names: dict = {}
        self.order: list | None = None
        if callable(arguments):
            self.function, speaker = _after(arguments, function), arguments
        else:
            speaker = function
            if isinstance(arguments, dict):
                self.names = arguments
            elif arguments is not None:
                self.order = [arguments] if isinstance(arguments, str) else list(arguments)
        for name in [*self.names, *(self.order or ()), *self.params]:
            if name not in op.inputs and name not in op._params:
                raise Unsuitable(f"{op.name} has no {name!r}; it has {', '.join([*op.inputs, *op._params])}")
        self.outputs = self._outputs(outputs)
        self._places(_signature(speaker))

    def _outputs(self, outputs):
        if outputs is None:
            return None
        outputs = [outputs] if isinstance(outputs, str) else list(outputs)
        for name in outputs:
            if name is not None and name not in self.op.outputs:
                raise Unsuitable(f"{self.op.name} returns {', '.join(self.op.outputs)}, not {name!r}")
        return outputs

    def _places(self, parameters):
        """Sort the function's arguments into places for inputs, named inputs and named params."""
        arguments = self.op._signature.inputs
        required = [a.name for a in arguments if not a.optional]
        optional = [a.name for a in arguments if a.optional]
        self.positional = required if self.order is None else self.order
        self.named: dict = {}  # the op's name -> the function's
        self.needs: set = {name for name in self.positional if name in optional}
        self.given_params: dict = {}
        if parameters is None:  # a builtin tells nothing
            self.named.update(self.names)
            return
        kinds = {p.name: p.kind for p in parameters}
        several, rest = (any(p.kind is kind for p in parameters) for kind in _STARS)
        places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        without = {p.name for p in parameters if p.default is p.empty}
        theirs = lambda name: self.names.get(name, name)
        by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        keyword = lambda name: kinds.get(name) in by_name
        taken: set = set()
        if self.order is None and all(keyword(theirs(name)) for name in required):
            self.positional = []
            self.named = {name: theirs(name) for name in required}
            taken = set(self.named.values())
        elif self.order is None and rest and not several and len(places) < len(required):
            active = [name for name, kind in zip(self.op.inputs, self.op.kinds) if kind is None]
            self.positional = []
            self.named = {name: theirs(name) for name in self.op.inputs if name in (*required, *active)}
            taken = set(self.named.values())
        elif len(places) < len(self.positional) and not several:
            told = f"{self.name} takes {len(places)} argument{'s' * (len(places) != 1)}"
            raise Unsuitable(f"{told}, {self.op.name} has the inputs {', '.join(self.positional)}")
        else:
            taken = set(places[: len(self.positional)])
        for name in [*optional, *self.op._params]:
            other = theirs(name)
            if other in taken or name in self.positional or not (keyword(other) or name in self.names):
                continue
            taken.add(other)
            if name in optional:
                self.named[name] = other
                self.needs |= {name} if other in without else set()
            else:
                self.given_params[name] = other, other in without
        left = [name for name in optional if name not in self.named and name not in self.positional]
        for parameter in parameters:
            if parameter.name in taken or parameter.name not in without:
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.kind is parameter.KEYWORD_ONLY or not left:
                raise Unsuitable(
                    f"{self.name} needs the argument {parameter.name!r}, which {self.op.name} does not have: "
                    "bind it beforehand, or say with arguments= what it is"
                )
            if self.positional:
                self.positional = [*self.positional, left[0]]
            else:
                self.named[left[0]] = parameter.name
            self.needs.add(left.pop(0))
        place = {name: i for i, name in enumerate(kinds)}
        self.named = dict(sorted(self.named.items(), key=lambda item: place.get(item[1], len(place))))

    def ask(self, case):
        """Where the case's inputs go, a list of (name, keyword or None) in the function's order; the params.

        NotAsked if the function cannot be told all of the case.
        """
        there = {name: x is not None for name, x in zip(self._all(case), case.inputs)}
        for name, present in there.items():
            base = name.partition("[")[0]
            if present and base not in self.positional and base not in self.named:
                raise NotAsked(f"{base} is given, and the function has no such argument")
            if not present and base in self.needs:
                raise NotAsked(f"the function needs {base}, and the case has none")
        told = {}
        for name, value in case.params.items():
            if name in self.given_params:
                told[self.given_params[name][0]] = value
            elif not (name in self.params and self.params[name] == value):
                raise NotAsked(f"{name}={value!r}, and the function has no such argument")
        for name, (other, required) in self.given_params.items():
            if required and other not in told and name not in self.op._required:
                told[other] = self.op._params[name]
        for name in self.op._required:
            if name not in case.params and name not in self.params:
                raise NotAsked(f"{name} is not known")
        slots = [(n, None) for p in self.positional for n in there if n.partition("[")[0] == p]
        return slots + [(name, other) for name, other in self.named.items() if there[name]], told

    def _all(self, case):
        return [argument.name for argument in self.op._signature._expected(len(case.inputs))]

    def pick(self, raw, is_array, notes):
        """The op's outputs that ``raw`` holds: a list of (name, array).  Returned, if it holds none."""
        if isinstance(raw, dict):
            missing = [name for name in self.outputs or self.op.outputs[:1] if name not in raw]
            if missing:
                raise Returned(f"a dictionary of {', '.join(map(str, raw)) or 'nothing'}; no {missing[0]}")
            raw = tuple(raw[name] for name in self.outputs or [n for n in self.op.outputs if n in raw])
        if raw is None:
            raise Returned("None")
        if is_array(raw):
            raw = (raw,)
        elif isinstance(raw, list):
            if not raw or not all(map(is_array, raw)):
                raise Returned(f"a list of {_kinds(raw)}; an array expected")
            notes.add("returns a list, which was taken for its outputs")
        elif not isinstance(raw, tuple):
            raise Returned(f"{type(raw).__name__}; an array expected")
        raw, wanted = list(raw), self.outputs
        if wanted is None:
            wanted = list(self.op.outputs)
            if self.op._signature.variadic_out:
                wanted = [f"out[{i}]" for i in range(len(raw))]
            if len(raw) > len(wanted):
                notes.add(f"returns {len(raw)} things, of which {len(wanted)} were looked at")
            wanted = wanted[: len(raw)]
        elif len(raw) < len(wanted):
            raise Returned(f"{len(raw)} outputs; {len(wanted)} expected")
        chosen = [(name, y) for name, y in zip(wanted, raw) if name is not None]
        if not chosen:
            raise Returned("nothing")
        for name, y in chosen:
            if not is_array(y):
                raise Returned(f"{'None' if y is None else type(y).__name__} for {name}; an array expected")
        return chosen


def _after(arguments, function):
    """``function`` of what ``arguments`` makes of the op's inputs."""

    def composed(*args, **kwargs):
        made = arguments(*args, **kwargs)
        return function(**made) if isinstance(made, dict) else function(*made)

    return composed


def _signature(function):
    if attribute(function, "forward") and attribute(function, "named_parameters"):
        function = function.forward  # a module of PyTorch: its own call takes anything
    try:
        return list(inspect.signature(function).parameters.values())
    except Exception:  # a builtin has none; an object may raise anything when it is looked at
        return None


def _kinds(things):
    names = sorted({"number" if type(x) in NUMBERS else type(x).__name__ for x in things})
    return " and ".join(f"{name}s" for name in names) or "nothing"
