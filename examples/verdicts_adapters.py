"""What the adapters of ``verdicts.py`` share: reading a clone, and reshaping what goes in and comes out."""

import ast
import importlib.util
import math
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from gradcheck.conformance import CELLS
from scratchattn import REGISTRY


class Row(NamedTuple):
    """``function`` is held against ``against``, at the cases that ``fits``: those it is made for."""

    what: str
    function: Any
    against: Any
    fits: Any = None
    options: Any = MappingProxyType({})  # further arguments of gradcheck.verify
    dtypes: tuple = ("float32", "float64")

    def op(self):
        """The op with the cases that the function is made for."""
        op = {**REGISTRY, **CELLS}.get(self.against, self.against)
        if self.fits is None:
            return op
        return replace(op, cases=lambda rng: [case for case in op.cases(rng) if self.fits(case)])


def weighting(case):
    """Whether the first input has rows and nothing negative."""
    return case.inputs[0].size > 0 and (case.inputs[0] >= 0).all()


def shaped(*shapes):
    """Whether the last axes of a case's inputs are as given; None for any length."""

    def fits(case):
        pairs = [(x.shape[x.ndim - len(s) :], s) for x, s in zip(case.inputs, shapes) if x is not None]
        return all(n in (None, m) for there, asked in pairs for m, n in zip(there, asked))

    return fits


def in_one_batch(function, *ranks):
    """``function`` of one batch axis, for any leading axes; ``ranks``: how many axes one item has."""

    def batched(*arrays):
        cuts = [x.ndim - rank for x, rank in zip(arrays, ranks, strict=True)]
        lead = torch.broadcast_shapes(*[x.shape[:cut] for x, cut in zip(arrays, cuts)])
        whole = [x.expand((*lead, *x.shape[cut:])) for x, cut in zip(arrays, cuts)]
        out = function(*[x.reshape(math.prod(lead), *x.shape[len(lead) :]) for x in whole])
        if isinstance(out, tuple):
            return tuple(y.reshape((*lead, *y.shape[1:])) for y in out)
        return out.reshape((*lead, *out.shape[1:]))

    return batched


def one_by_one(function):
    """``function`` of no batch axis, for one."""
    return lambda *arrays: torch.stack([function(*items) for items in zip(*arrays, strict=True)])


def module_of(folder, path):
    """The module in the file ``path`` of a clone; one of a package by the package's name."""
    if "/" in path and (folder / path).parent.joinpath("__init__.py").exists():
        sys.path.insert(0, str(folder))
        return importlib.import_module(path.removesuffix(".py").replace("/", "."))
    spec = importlib.util.spec_from_file_location(f"field_{Path(path).stem}", folder / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def taken(file, names, known):
    """What is called ``names`` in a file that cannot be imported here; ``known`` is all that it knows."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    body = [node for node in tree.body if getattr(node, "name", None) in names]
    exec(compile(ast.Module(body=body, type_ignores=[]), str(file), "exec"), scope := dict(known))
    return [scope[name] for name in names]


@contextmanager
def replaced(owner, **names):
    """With other things under the ``names`` of a module or an object."""
    before = {name: vars(owner)[name] for name in names}
    vars(owner).update(names)
    try:
        yield owner
    finally:
        vars(owner).update(before)
