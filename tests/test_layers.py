"""The house is built in one direction: each room imports only from rooms above it in the list."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = [
    *(["backend"], ["refusals", "numbering", "whole_file"], ["buffers"], ["tape"], ["signature"], ["op"]),
    *(["calculus", "masks", "similarity", "windows"], ["scoring"], ["twins"], ["parameters"]),
    *(["conventions"], ["ops"], ["nn"], ["fused"]),
    *(["sensitivity"], ["models"], ["tasks"], ["training"], ["interop"], ["report"], ["cli"]),
]
HEIGHT = {room: height for height, rooms in enumerate(ROOMS) for room in rooms}
ALWAYS_THERE = {"numpy", "scipy", "scratchattn", *sys.stdlib_module_names}
FILES = sorted([*(ROOT / "scratchattn").rglob("*.py"), *(ROOT / "gradcheck").rglob("*.py")])


def imported(source, module, is_package=False):
    """(line, module, whether it happens when the file is imported) for each import of ``source``."""
    tree = ast.parse(source)
    package = module.split(".") if is_package else module.split(".")[:-1]
    delayed = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            whole = ".".join(base)
            found = [f"{whole}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "import_module",
            "__import__",
        ):
            named = node.args[0] if node.args else None
            found = [named.value] if isinstance(named, ast.Constant) else []
        else:
            continue
        for name in found:
            yield node.lineno, name, node not in delayed


def room(module):
    """The room of a module of scratchattn; None for the package itself and for what is outside."""
    parts = module.split(".")
    return parts[1] if parts[0] == "scratchattn" and len(parts) > 1 else None


def offences(source, module, is_package=False):
    """What the imports of one file do against the rules, in words."""
    me = room(module)  # the cli is the roof: it stands on all of them
    for line, name, at_once in imported(source, module, is_package):
        there = room(name)
        if (
            module.startswith("scratchattn")
            and me not in ("cli", "__main__")
            and name.split(".")[0] == "gradcheck"
        ):
            yield f"{module}:{line} imports the checker"
        if me in HEIGHT and me != "cli" and name.split(".")[0] == "scratchattn":
            if there not in HEIGHT:
                yield f"{module}:{line} imports {name}, which is in no room"
            elif HEIGHT[there] > HEIGHT[me] or (HEIGHT[there] == HEIGHT[me] and there != me):
                yield f"{module}:{line} imports {name}, from further down the list"
            elif me == "ops" and there == "ops" and module != "scratchattn.ops":
                yield f"{module}:{line} imports {name}: ops never import ops"
            elif me == "conventions" and there != me:
                yield f"{module}:{line} imports {name}: conventions are data and import nothing"
        if at_once and module.startswith("scratchattn") and me not in ("cli", "__main__"):
            if name.split(".")[0] not in ALWAYS_THERE:
                yield f"{module}:{line} imports {name}, an extra, before it is used"


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path):
    source = path.read_text(encoding="utf-8")
    assert not list(offences(source, name_of(path), path.name == "__init__.py"))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_stay_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 300, f"{lines} lines, at most 300: split it along a noun"


def test_every_file_is_in_a_room():
    strays = {name_of(path) for path in FILES if path.is_relative_to(ROOT / "scratchattn")}
    known = {name for name in strays if room(name) in {None, "__main__", *HEIGHT}}
    assert strays == known


@pytest.mark.parametrize(
    "module, text",
    [
        ("scratchattn.backend", "from . import tape"),
        ("scratchattn.backend", "from .tape import Tensor"),
        ("scratchattn.tape", "from .op import Op"),
        ("scratchattn.calculus", "from .masks import causal"),
        ("scratchattn.ops.softmax", "from .exponential import exp"),
        ("scratchattn.ops.softmax", "from . import exponential"),
        ("scratchattn.ops.softmax", "import scratchattn.ops.exponential"),
        ("scratchattn.ops.softmax", "from scratchattn.ops import exponential"),
        ("scratchattn.ops.softmax", "from ..nn.linear import linear"),
        ("scratchattn.nn.lstm", "from ..fused.lstm import lstm"),
        ("scratchattn.fused.lstm", "def equals():\n    from ..models import ntm"),
        ("scratchattn.models.ntm", "from ..training.loop import train"),
        ("scratchattn.models.ntm", "import gradcheck"),
        ("scratchattn.models.ntm", "def f():\n    from gradcheck.evidence import check"),
        (
            "scratchattn.models.ntm",
            "from importlib import import_module\nimport_module('gradcheck.evidence')",
        ),
        ("scratchattn.models.ntm", "from ..utils import helper"),
        ("scratchattn.conventions.ntm", "from ..backend import array_module"),
        ("scratchattn.report.picture", "import matplotlib"),
        ("scratchattn.report.picture", "from matplotlib import pyplot"),
        ("scratchattn.tasks.babi", "try:\n    import tqdm\nexcept ImportError:\n    tqdm = None"),
    ],
)
def test_an_import_the_wrong_way_is_noticed(module, text):
    assert list(offences(text, module))


@pytest.mark.parametrize(
    "module, text",
    [
        ("scratchattn.ops.softmax", "from ..backend import array_module\nfrom ..calculus import softmax"),
        ("scratchattn.nn.lstm", "from .linear import linear\nfrom ..ops.lstm_cell import lstm_cell"),
        (
            "scratchattn.fused.lstm",
            "from ..nn import lstm\nimport math\nimport numpy as np\nimport scipy.special",
        ),
        ("scratchattn.report.picture", "def draw():\n    import matplotlib"),
        ("scratchattn.cli.check", "from gradcheck.evidence import check"),
        ("gradcheck.evidence", "import mpmath\nfrom scratchattn.tape import vjp"),
    ],
)
def test_an_import_the_right_way_is_not(module, text):
    assert not list(offences(text, module))
