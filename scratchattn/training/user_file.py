"""A Python file of the user's own, run as a module: ``file.py:name``."""

import importlib.util
import sys
from pathlib import Path


def split(name):
    """(path, name inside) of ``file.py:name``, or None if ``name`` is not of that form."""
    path, colon, inside = name.rpartition(":")
    return (path, inside) if colon and path.endswith(".py") else None


def load(path):
    """Run the file at ``path`` once and return the module; its neighbours can be imported.

    ValueError if there is no such file or it does not run.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"there is no file {path}")
    name = f"_{file.stem}_{abs(hash(file.resolve()))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as failure:
        del sys.modules[name]
        raise ValueError(f"{path} does not run: {type(failure).__name__}: {failure}") from failure
    finally:
        sys.path.remove(str(file.resolve().parent))
    return module
