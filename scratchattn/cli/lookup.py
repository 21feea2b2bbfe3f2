"""Find an op by its name, in the registry or in a file of the user's own.

``file.py:name`` is either an ``Op`` of that name in the file, or a pair of plain functions

    def name_forward(*inputs, **params):    -> out, saved
    def name_backward(saved, dout):         -> a tuple, one gradient per input
    signature = "query(d), key(k,d) -> score(k)"
    def cases(rng):                         -> tuples of inputs, or scratchattn.op.Case objects

and optionally ``name_loops`` (the formula in plain Python, for one batch item, with ``math=math``;
without it nothing but the pair itself is held against the pair), ``passive`` and ``shape_rule``
(see ``scratchattn.op``).  In a file with several pairs, ``name_signature``, ``name_cases``,
``name_passive`` and ``name_shape_rule`` come first.  The forward also runs on complex arrays, for
the complex step: so no ``abs``, ``maximum`` or ``norm`` of what is differentiated.
"""

import functools

from .. import fused  # noqa: F401 - enters the fused ops in the registry
from ..op import REGISTRY, Case, Op
from ..refusals import nearest
from ..training import user_file
from .verb import Misuse


def op_named(name, cells=None):
    """The op ``name`` or ``file.py:name``, or one of ``cells``; Misuse, with the nearest names, otherwise."""
    if place := user_file.split(name):
        return op_in_file(*place)
    known = {**REGISTRY, **(cells or {})}
    if name not in known:
        hint = nearest(name, sorted(known)) or "; 'scratchattn list' names them"
        raise Misuse(f"no op is called {name!r}{hint}")
    return known[name]


def op_in_file(path, name):
    """The op ``name`` that the file at ``path`` defines, in one of the two ways above."""
    module = load(path)
    found = getattr(module, name, None)
    if isinstance(found, Op):
        return found
    forward, backward = (getattr(module, f"{name}_{part}", None) for part in ("forward", "backward"))
    if forward is None or backward is None:
        pairs = {n.removesuffix("_forward") for n in vars(module) if n.endswith("_forward")}
        ops = {n for n, value in vars(module).items() if isinstance(value, Op)}
        raise Misuse(
            f"{path} has neither an Op {name} nor {name}_forward and {name}_backward"
            + nearest(name, sorted(pairs | ops))
        )

    def part(word, default=None):
        return getattr(module, f"{name}_{word}", getattr(module, word, default))

    if part("signature") is None or part("cases") is None:
        raise Misuse(f"{path} needs a string 'signature' and a function 'cases(rng)' for {name}")
    try:
        return Op(
            name,
            part("signature"),
            _returning(forward, "a pair: out, saved", 2),
            _returning(backward, "a tuple, one gradient per input"),
            _as_cases(part("cases")),
            getattr(module, f"{name}_loops", None),
            shape_rule=part("shape_rule"),
            passive=part("passive", {}),
            source=str(path),
        )
    except (TypeError, ValueError) as wrong:
        raise Misuse(f"{path}: {wrong}") from wrong


def load(path):
    """Run the file at ``path`` as a module and return it; Misuse if there is none, or it does not run."""
    try:
        return user_file.load(path)
    except ValueError as wrong:
        raise Misuse(str(wrong)) from wrong


def _returning(function, wanted, count=None):
    """``function``, refusing a result that is no tuple, which would be taken apart along its first axis."""

    @functools.wraps(function)
    def checked(*inputs, **params):
        out = function(*inputs, **params)
        if not isinstance(out, (tuple, list)) or (count and len(out) != count):
            raise TypeError(f"{function.__name__} must return {wanted}, got {type(out).__name__}")
        return out

    return checked


def _as_cases(given):
    def cases(rng):
        for i, each in enumerate(given(rng) if callable(given) else given):
            yield each if isinstance(each, Case) else Case(f"case {i}", tuple(each))

    return cases
