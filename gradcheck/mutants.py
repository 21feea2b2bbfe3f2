"""Mutants: the text of an op with one small thing exchanged.

What is changed are the forward, the backward, and what they use of their own module; never the file, nor the
op in the registry.  A mutant is known by a key that survives edits elsewhere in the file:

    softmax_backward: dweights - total => dweights + total

the function, the smallest expression that says something before and after, and ``#n`` where the n-th
further place reads the same.
"""

import ast
import copy
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CellType, FunctionType

from scratchattn.op import Detached, Op

from .exchanges import Place, exchanges


@dataclass(frozen=True, eq=False)
class Mutant:
    """One exchange in one function: ``before`` became ``after`` at ``line`` of ``file``."""

    op: str
    file: str
    function: str
    line: int
    lines: frozenset[int] | None  # of the statement; None: it is run when the file is loaded
    before: str
    after: str
    occurrence: int
    place: Place
    node: ast.AST  # what is put there

    @property
    def key(self):
        again = f" #{self.occurrence}" if self.occurrence else ""
        return f"{self.function}: {self.before} => {self.after}{again}"


@dataclass(frozen=True)
class Functions:
    """What an op is made of: its own functions, or a mutant's."""

    forward: Callable
    backward: Callable
    shape_rule: Callable | None


class Text:
    """The module in which ``op`` is written, to be run again with one node exchanged.

    TypeError if forward or backward is not a function of its module's top level.
    """

    def __init__(self, op):
        self.op = op
        self._names = [inspect.unwrap(f).__name__ for f in (op.forward, op.backward)]
        self._module = sys.modules[inspect.unwrap(op.forward).__module__]
        self.file = self._module.__file__
        tree = ast.parse(inspect.getsource(self._module))
        self._defined = {name: node for node in tree.body for name in _names_defined(node)}
        for name in self._names:
            if name not in self._defined:
                raise TypeError(f"mutate: {op.name}: {name} is not defined at the top of {self.file}")
        rule = getattr(op.shape_rule, "__name__", None)  # one that another function made is left alone
        self._names += [rule] if rule in self._defined else []
        self.mutated = self._reached(self._names)
        self._code = {
            node: self._compiled(node)
            for name, node in self._defined.items()
            if isinstance(node, ast.FunctionDef) or name in self.mutated
        }

    def mutants(self) -> Iterator[Mutant]:
        """All of them, in the order of the text; a key comes once."""
        seen: dict[str, int] = {}
        for name in self.mutated:
            top = self._defined[name]
            for place, path, node in list(exchanges(top)):
                line = getattr(place.get(), "lineno", None) or _line(path)
                before, after = _shown(place, path, node)
                if before == after:
                    continue
                text = f"{name}: {before} => {after}"
                occurrence = seen[text] = seen.get(text, -1) + 1
                yield Mutant(
                    self.op.name,
                    self.file,
                    name,
                    line,
                    _lines(place, path),
                    before,
                    after,
                    occurrence,
                    place,
                    node,
                )

    def functions(self, mutant=None):
        """The module's names with ``mutant`` in its place, or as written."""
        names = dict(vars(self._module))
        for node, code in self._code.items():
            if mutant is not None and node is self._defined[mutant.function]:
                code = self._with(mutant, lambda: self._compiled(self._defined[mutant.function]))
            exec(code, names)
        return names

    def made_of(self, names):
        """The op's functions among ``names``."""
        found = [names[name] for name in self._names]
        return Functions(*found, *[self._among(names, self.op.shape_rule)] * (3 - len(found)))

    def op_of(self, names):
        """The op made of them; its properties look at the mutant too."""
        made = self.made_of(names)
        one, signature = copy.copy(self.op), copy.copy(self.op._signature)
        signature.shape_rule = made.shape_rule
        changed = {
            **vars(made),
            "_signature": signature,
            "_seen": set(),
            "properties": tuple(self._among(names, claim) for claim in self.op.properties),
        }
        if self.op.detached is not None:
            held = self.op.detached
            changed["detached"] = Detached(*(self._among(names, f) for f in (held.stopped, held.forward)))
        for field, value in changed.items():
            object.__setattr__(one, field, value)
        for name, value in list(names.items()):
            if value is self.op:
                names[name] = one
        return one

    def definition(self, name):
        """The syntax tree of what the module calls ``name`` at its top."""
        return self._defined[name]

    def _among(self, names, function):
        """``function`` of this module as it is among ``names``; one that another made is made again."""
        if getattr(function, "__globals__", None) is not vars(self._module):
            return function
        if self._value(function.__name__) is function:
            return names[function.__name__]
        cells = tuple(CellType(self._among(names, cell.cell_contents)) for cell in function.__closure__ or ())
        again = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
        again.__kwdefaults__ = function.__kwdefaults__
        return again

    def _reached(self, names):
        """The definitions that ``names`` use, with them, in the order of the text."""
        reached, waiting = set(), list(names)
        while waiting:
            name = waiting.pop()
            if name in reached:
                continue
            reached.add(name)
            used = {n.id for n in ast.walk(self._defined[name]) if isinstance(n, ast.Name)}
            waiting += [n for n in used & self._defined.keys() if not isinstance(self._value(n), Op)]
        return [name for name in self._defined if name in reached]

    def _value(self, name):
        return getattr(self._module, name, None)

    def _compiled(self, node):
        return compile(ast.Module([node], []), self.file, "exec")

    def _with(self, mutant, act):
        original = mutant.place.get()
        mutant.place.put(mutant.node)
        try:
            return act()
        finally:
            mutant.place.put(original)


def _names_defined(node):
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return [node.targets[0].id]
    return []


def _line(path):
    return next(node.lineno for node in reversed(path) if hasattr(node, "lineno"))


def _lines(place, path):
    """Those of the innermost statement around; a default is the whole function's."""
    if not isinstance(path[0], ast.FunctionDef):
        return None
    statement = next(node for node in (place.get(), *reversed(path)) if isinstance(node, ast.stmt))
    return frozenset(range(statement.lineno, statement.end_lineno + 1))


def _shown(place, path, node):
    """What stands there and what is put there, with as much around it as makes it readable."""
    shown = original = place.get()
    if isinstance(place.holder, ast.arguments):  # a default
        return tuple(f"{_parameter(place)}={ast.unparse(n)}" for n in (shown, node))
    for outer in reversed(path):
        if not _says_little(shown) or isinstance(getattr(outer, "body", None), list):
            break
        shown = outer
    before = _head(shown)
    place.put(node)
    after = _head(node if shown is original else shown)
    place.put(original)
    return before, after


def _says_little(node):
    if isinstance(node, ast.UnaryOp):
        return _says_little(node.operand)
    return isinstance(node, (ast.Name, ast.Constant, ast.keyword, ast.Slice, ast.Tuple))


def _head(node):
    return ast.unparse(node).partition("\n")[0]


def _parameter(place):
    arguments = place.holder
    if place.field == "kw_defaults":
        return arguments.kwonlyargs[place.index].arg
    return arguments.args[place.index - len(arguments.defaults)].arg
