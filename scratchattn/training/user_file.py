"""A Python file of the user's own, run as a module: ``file.py:name``."""

import importlib.util
import sys
import traceback
from pathlib import Path

_loaded: set[str] = set()  # their paths, as tracebacks name them


def split(name):
    """(path, name inside) of ``file.py:name``, or None if ``name`` is not of that form."""
    path, colon, inside = name.rpartition(":")
    return (path, inside) if colon and path.endswith(".py") else None


def load(path):
    """Run the file at ``path`` once and return the module; its neighbours can be imported.

    ValueError if there is no such file or it does not run.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise ValueError(f"there is no file {path}")
    name = f"_{file.stem}_{abs(hash(file))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.parent))
    _loaded.add(str(file))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as failure:
        del sys.modules[name]
        raise ValueError(f"{path} does not run: {said(failure)}") from failure
    finally:
        sys.path.remove(str(file.parent))
    return module


def place_in(failure):
    """Where ``failure`` last was in a file that ``load`` has run: "file.py, line 3"; nothing if nowhere."""
    frames = traceback.extract_tb(failure.__traceback__)
    within = [frame for frame in frames if frame.filename in _loaded]
    return f"{Path(within[-1].filename).name}, line {within[-1].lineno}" if within else ""


def said(failure):
    """One line: the kind of ``failure``, its message, and where in a file of the user's own it was."""
    place = place_in(failure)
    told = f"{type(failure).__name__}: {' '.join(str(failure).split())}"
    return f"{told} ({place})" if place else told
