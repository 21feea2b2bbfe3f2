"""What there is: ops, fused ops, models and tasks, each with a line about it and its source."""

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import iter_modules

from ..training import user_file
from .lookup import REGISTRY, load

ROOT = Path(__file__).resolve().parents[2]


def ops(fused=False):
    """Entries of all reference ops, or of all fused ones."""
    return [op_entry(op) for _, op in sorted(REGISTRY.items()) if (op.equals is not None) == fused]


def op_entry(op):
    module = module_of(op)
    own_file = module.__name__.rpartition(".")[2] == op.name
    return {
        "name": op.name,
        "summary": first_sentence(module.__doc__ if own_file else op.forward.__doc__),
        "signature": op.signature,
        "source": op.source or source_line(module.__doc__),
        "file": place(op.forward),
    }


def room(name):
    """Entries of the room ``models`` or ``tasks``: of its table of classes, by the names for commands."""
    package = import_module(f"scratchattn.{name}")
    table = getattr(package, name.upper(), None)
    if table is not None:
        return [_entry(key, sys.modules[made.__module__], made) for key, made in sorted(table.items())]
    found = sorted(each.name for each in iter_modules(package.__path__) if not each.name.startswith("_"))
    return [_entry(each, import_module(f"{package.__name__}.{each}")) for each in found]


def training():
    """The entry of the settings of a training."""
    from ..training import Settings

    return _entry("training", sys.modules[Settings.__module__], Settings)


def own(name):
    """The entry of the dataclass ``file.py:name``, or None if ``name`` is no such thing."""
    place = user_file.split(name)
    made = getattr(load(place[0]), place[1], None) if place else None
    if not (isinstance(made, type) and dataclasses.is_dataclass(made)):
        return None
    return _entry(name, sys.modules[made.__module__], made)


def settings(made):
    """The fields of a dataclass: name, type, default (None: it must be given) and docstring, as written."""
    documented = {}
    for each in reversed(made.__mro__):
        if dataclasses.is_dataclass(each):
            documented |= _field_docstrings(each)
    return [
        {
            "name": field.name,
            "type": field.type
            if isinstance(field.type, str)
            else getattr(field.type, "__name__", str(field.type)),
            "default": None if field.default is dataclasses.MISSING else repr(field.default),
            "docstring": documented.get(field.name, ""),
        }
        for field in dataclasses.fields(made)
        if field.init
    ]


def _field_docstrings(made):
    """name -> the text that stands under a field of the class itself."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(made))).body
    found = {}
    for field, below in pairwise(tree.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            text = getattr(below.value, "value", None)
            if isinstance(text, str):
                found[field.target.id] = " ".join(text.split())
    return found


def _entry(name, module, made=None):
    own_file = made is None or module.__name__.rpartition(".")[2] == name
    return {
        "name": name,
        "summary": first_sentence(module.__doc__ if own_file else made.__doc__),
        "signature": f"{made.__name__}{inspect.signature(made)}" if made else "",
        "source": source_line(module.__doc__),
        "file": shown(module.__file__),
        "settings": settings(made) if made else [],
        "docstring": "\n\n".join(
            inspect.cleandoc(each.__doc__) for each in (module, made) if each and each.__doc__
        ),
    }


def module_of(op):
    return sys.modules[inspect.unwrap(op.forward).__module__]


def place(function):
    """file:line of ``function``, the file relative to the checkout where it lies in one."""
    function = inspect.unwrap(function)
    try:
        file, line = inspect.getsourcefile(function), inspect.getsourcelines(function)[1]
    except (OSError, TypeError):  # made at run time, or a callable that is no function
        return ""
    return f"{shown(file)}:{line}"


def shown(file):
    path = Path(file).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def first_sentence(docstring):
    paragraph = " ".join((docstring or "").strip().partition("\n\n")[0].split())
    return re.split(r"[.;] (?!\d)", paragraph, maxsplit=1)[0].rstrip(".").replace("``", "")


def source_line(docstring):
    """What stands after "Source:" in a docstring, up to the next empty line."""
    match = re.search(r"^Sources?: *(.+?)(?:\n\s*\n|\Z)", docstring or "", re.S | re.M)
    return " ".join(match.group(1).split()) if match else ""
