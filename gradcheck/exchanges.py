"""What is exchanged in the text of a function: the slips of a hand that writes formulas.

``exchanges`` yields each as (place, path to it, what is put there).  Left out is what could only change the
words of a message, and what no array can tell: texts, annotations, ``real`` (a tie of the complex step's).
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

RELATIVE = 1e-6  # how much a constant with digits is changed
_OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
}
_COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_DROPPED_CALLS = frozenset(
    "exp log log1p sqrt tanh erf erfc sum cumulative_sum matrix_transpose permute_dims flip roll tril triu "
    "stable_argsort squeeze expand_dims sum_to_shape broadcast_to reshape reversed float int".split()
)
_OTHER_CALLS = {"max": "min", "min": "max", "tril": "triu", "triu": "tril"}
_OTHER_CALLS |= {"zeros_like": "ones_like", "ones_like": "zeros_like", "any": "all", "all": "any"}
_SYMMETRIC = frozenset("add array_module isinstance max min multiply stretched both".split())
_NOT_VALUES = frozenset(("xp", "math", "np"))


@dataclass(frozen=True)
class Place:
    """Where a node hangs: in ``field`` of ``holder``, at ``index`` if that is a list."""

    holder: ast.AST
    field: str
    index: int | None = None

    def get(self):
        value = getattr(self.holder, self.field)
        return value if self.index is None else value[self.index]

    def put(self, node):
        if self.index is None:
            setattr(self.holder, self.field, node)
        else:
            getattr(self.holder, self.field)[self.index] = node


def exchanges(top) -> Iterator[tuple[Place, tuple, ast.AST]]:
    """Everything that is exchanged within the definition ``top``, in the order of its text."""
    groups = _kinds_of_names(top)
    for place, path in _places(top, (top,)):
        node, told = place.get(), set()
        for other in [*_expressions(node, path), *_statements(node, path), *_names(node, path, groups)]:
            text = ast.dump(other)
            if text not in told and text != ast.dump(node):
                told.add(text)
                yield place, path, ast.fix_missing_locations(ast.copy_location(other, _located(node, path)))


def _places(node, path):
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "ctx", "op", "ops", "targets", "target"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST):
                yield Place(node, field, index), path
                yield from _places(child, (*path, child))


def _located(node, path):
    return next(n for n in (node, *reversed(path)) if hasattr(n, "lineno"))


# ---- expressions --------------------------------------------------------------


def _expressions(node, path):
    match node:
        case ast.BinOp():
            nothing = getattr(node.right, "value", None) == 0 and isinstance(node.op, (ast.Add, ast.Sub))
            for operator in () if nothing else _OPERATORS.get(type(node.op), ()):
                yield ast.BinOp(node.left, operator(), node.right)
            yield from (node.left, node.right)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)) if not _nested_minus(path):
            yield from _numbers(-value, _is_axis(path), path[-1])
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()) if not _nested_minus(path):
            yield from _numbers(node.value, _is_axis(path), path[-1])
        case ast.Constant(value=value) if value is ... and isinstance(path[-1], ast.Tuple):
            yield ast.Slice()  # one axis, where any number of them stood
        case ast.Compare(ops=[operator], left=left, comparators=right):
            for other in _COMPARISONS[type(operator)]:
                yield ast.Compare(left, [other()], right)
        case ast.Compare(ops=operators):
            for i, operator in enumerate(operators):
                for other in _COMPARISONS[type(operator)]:
                    yield ast.Compare(
                        node.left, [*operators[:i], other(), *operators[i + 1 :]], node.comparators
                    )
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
            for i in range(len(node.values)):
                rest = node.values[:i] + node.values[i + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.Call():
            yield from _calls(node)
        case ast.Slice():
            for end in ("lower", "upper", "step"):
                if getattr(node, end) is not None:
                    ends = {e: None if e == end else getattr(node, e) for e in ("lower", "upper", "step")}
                    yield ast.Slice(**ends)
        case ast.Tuple(elts=elements, ctx=ast.Load()):
            for i in range(len(elements) - 1):
                if not _order_means_nothing(path):
                    yield ast.Tuple(_swapped(elements, i), ast.Load())


def _order_means_nothing(path):
    """To "in", to isinstance, to a sum over several axes; to a subscript it is told by its parts."""
    outer = path[-1]
    called = isinstance(outer, ast.Call) and getattr(outer.func, "id", "") == "isinstance"
    return isinstance(outer, (ast.Subscript, ast.Compare)) or called or _is_axis(path)


def _numbers(value, is_axis, around):
    """Other numbers in the place of ``value``; not those that say what an exchange of what is around says."""
    summand = isinstance(around, ast.BinOp) and isinstance(around.op, (ast.Add, ast.Sub))
    if is_axis:
        others = [-2, 1] if value == -1 else [value + 1, value - 1]
    elif isinstance(value, int):
        others = [value + 1, value - 1] if isinstance(around, ast.Subscript) else [value + 1, -value]
        others += [0] if value == 1 else []
        others = [n for n in others if not summand or n not in (0, -value)]
    else:
        others = [value + 1, *([] if summand else [-value])]
        # A threshold moved by so little shows at the threshold alone, where <= in the place of < is asked.
        others += [] if isinstance(around, ast.Compare) else [value * (1 + RELATIVE)]
    for other in others:
        digits = ast.Constant(abs(other))
        yield ast.UnaryOp(ast.USub(), digits) if other < 0 else digits


def _nested_minus(path):
    return isinstance(path[-1], ast.UnaryOp) and isinstance(path[-1].op, ast.USub)


def _is_axis(path):
    return isinstance(path[-1], ast.keyword) and path[-1].arg == "axis"


def _calls(node):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    arguments = node.args
    if name == "where" and len(arguments) == 3:
        yield from arguments[1:]
    if name in _DROPPED_CALLS and arguments:
        yield arguments[0]
    if name in _OTHER_CALLS:
        other = _OTHER_CALLS[name]
        function = ast.Name(other, ast.Load())
        if isinstance(node.func, ast.Attribute):
            function = ast.Attribute(node.func.value, other, ast.Load())
        yield ast.Call(function, arguments, node.keywords)
    for i in range(len(arguments) - 1):
        first = arguments[i]
        if name not in _SYMMETRIC and getattr(first, "id", "") not in _NOT_VALUES:
            yield ast.Call(node.func, _swapped(arguments, i), node.keywords)


def _swapped(nodes, i):
    return [*nodes[:i], nodes[i + 1], nodes[i], *nodes[i + 2 :]]


# ---- statements ---------------------------------------------------------------


def _statements(node, path):
    match node:
        case ast.If():
            if not isinstance(node.test, ast.Compare):  # whose own exchange says the same
                yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
            yield ast.If(ast.Constant(True), node.body, node.orelse)
            yield ast.If(ast.Constant(False), node.body, node.orelse or [ast.Pass()])
        case ast.For() | ast.While() | ast.Raise():
            yield ast.Pass()
        case ast.Expr(value=value) if not isinstance(value, ast.Constant):
            yield ast.Pass()
        case ast.AugAssign():
            yield ast.Pass()
            yield ast.Assign([node.target], node.value)
            for operator in _OPERATORS.get(type(node.op), ()):
                yield ast.AugAssign(node.target, operator(), node.value)
        case ast.Assign(targets=[target]) if _made_before(target, node, path):
            yield ast.Pass()


def _made_before(target, node, path):
    """Whether all of ``target`` has a value without ``node`` too; a name that has none only raises."""
    if isinstance(target, ast.Subscript):
        return True
    function = next((n for n in path if isinstance(n, ast.FunctionDef)), None)
    if function is None:
        return False
    names = {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
    known = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
    for other in ast.walk(function):
        if isinstance(other, ast.Name) and isinstance(other.ctx, ast.Store) and other.lineno < node.lineno:
            known.add(other.id)
    return names <= known


# ---- names --------------------------------------------------------------------


def _kinds_of_names(top):
    """For each local name those of its kind, and where it is made: arguments, parts of one tuple, others."""
    groups: list[list[str]] = []
    made: dict[str, int] = {}
    single: list[str] = []
    for node in ast.walk(top):
        if isinstance(node, ast.arguments):
            groups += [[a.arg for a in node.args], [a.arg for a in node.kwonlyargs]]
        elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Store):
            groups.append([n.id for n in node.elts if isinstance(n, ast.Name)])
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            single.append(node.targets[0].id)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made[node.id] = min(node.lineno, made.get(node.id, node.lineno))
    groups.append(list(dict.fromkeys(single)))
    kinds: dict[str, list[str]] = {}
    for group in groups:
        for name in group:
            kinds.setdefault(name, [n for n in group if n not in _NOT_VALUES])
    return kinds, made


def _names(node, path, groups):
    if (
        not isinstance(node, ast.Name)
        or node.id in _NOT_VALUES
        or any(isinstance(n, ast.Raise) for n in path)
    ):
        return
    if isinstance(path[-1], ast.Call) and getattr(path[-1].func, "id", "") == "array_module":
        return  # one library owns them all
    kinds, made = groups
    group = kinds.get(node.id, [])
    if node.id in group:
        at = group.index(node.id)
        for other in (*group[at + 1 :], *group[:at]):
            if other != node.id and made.get(other, 0) < node.lineno:
                yield ast.Name(other, ast.Load())
                return
