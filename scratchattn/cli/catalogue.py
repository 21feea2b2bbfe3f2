"""What there is: ops, fused ops, models and tasks, each with a line about it and its source."""

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from ..op import REGISTRY

ROOT = Path(__file__).resolve().parents[2]


def ops(fused=False):
    """Entries of all reference ops, or of all fused ones."""
    return [op_entry(op) for _, op in sorted(REGISTRY.items()) if (op.equals is not None) == fused]


def op_entry(op):
    module = module_of(op)
    own_file = module.__name__.rpartition(".")[2] == op.name
    return {
        "name": op.name,
        "summary": first_line(module.__doc__ if own_file else op.forward.__doc__),
        "signature": op.signature,
        "source": op.source or source_line(module.__doc__),
        "file": place(op.forward),
    }


def room(name):
    """Entries of the modules of ``scratchattn.<name>``: models or tasks, one to a file."""
    package = import_module(f"scratchattn.{name}")
    entries = []
    for found in sorted(iter_modules(package.__path__), key=lambda found: found.name):
        if not found.name.startswith("_"):
            module = import_module(f"{package.__name__}.{found.name}")
            entries.append(module_entry(found.name, module))
    return entries


def module_entry(name, module):
    return {
        "name": name,
        "summary": first_line(module.__doc__),
        "source": source_line(module.__doc__),
        "file": shown(module.__file__),
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


def first_line(docstring):
    return (docstring or "").strip().partition("\n")[0].strip()


def source_line(docstring):
    """What stands after "Source:" in a docstring, up to the next empty line."""
    match = re.search(r"^Sources?: *(.+?)(?:\n\s*\n|\Z)", docstring or "", re.S | re.M)
    return " ".join(match.group(1).split()) if match else ""
