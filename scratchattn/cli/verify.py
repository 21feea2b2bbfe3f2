"""``gradcheck verify``: hold somebody else's implementation against an op."""

import contextlib
import importlib
import os
import sys

from ..refusals import nearest
from . import lookup, verb

_DESCRIPTION = """\
FUNCTION is module.sub:function or file.py:function; what it takes and returns is found from the names of its
arguments: the op's inputs in order, or by name; an optional input (keep, bias) or a param (causal, eps) only
if an argument of the function has its name. 'scratchattn explain OP' lists them.

OP may also be a whole cell, whose weights are inputs like others: ntm_cell, ntm_feed_forward_cell, dnc_cell,
act, multi_head_attention, transformer_block, transformer_decoder_block, lstm, gru. A function with **weights
gets them by name; gradcheck.torch_parameters makes those of PyTorch's modules of them.

In numpy, the backward is --backward, or else the function of the same name with _backward in the place of
_forward or at the end: backward(saved, dout) of a function that returns out, saved, or
backward(*inputs, *douts). Without one, outputs alone are judged. Other frameworks differentiate themselves.

The truth is the op in balls of 60 digits at the function's own inputs, the tolerance what an honest program
in that precision may lose, from Monte-Carlo arithmetic on the op itself. If it does not conform, every
convention that the op knows of is tried. Exit status: 0 if it conforms, 1 if not.

JSON keys: conforms, variant (the convention that it follows instead), distances (of outputs and, as
d<input>, of gradients; up to 6 is allowed), cases; and verdict, sentence, nearest, variants, ..."""


def add_parser(verbs):
    parser = verb.add(verbs, "verify", run, "hold somebody else's implementation against an op", _DESCRIPTION)
    parser.add_argument("function", metavar="FUNCTION", help="module.sub:function or file.py:function")
    parser.add_argument("--against", metavar="OP", required=True, help="the op or whole cell, or file.py:op")
    parser.add_argument(
        "--framework", metavar="F", help="numpy, torch, jax, autograd or tensorflow (default: by its imports)"
    )
    parser.add_argument(
        "--dtype", metavar="D", default="float32", help="float32 (default), float64, float16, bfloat16"
    )
    parser.add_argument("--backward", metavar="FUNCTION", help="for numpy: the function's backward")
    parser.add_argument("--variant", metavar="NAME", help="hold it against this variant of the op")
    parser.add_argument(
        "--convention",
        metavar="NAME",
        help="hold it against what this preset says of the op: pytorch_ntm, torch",
    )
    parser.add_argument("--outputs", metavar="NAMES", help="which outputs it returns: out,weights")
    parser.add_argument("--arguments", metavar="NAMES", help="which inputs it takes, in its order: key,query")
    parser.add_argument(
        "--plan", metavar="PLAN", help="where it rounds: probabilities=bfloat16,dscores=bfloat16,mode=nearest"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="sets of cases (3)")
    parser.add_argument("--time-limit", type=float, default=10.0, metavar="S", help="seconds for a case (10)")
    parser.add_argument("--html", metavar="FILE", help="write the report as a page")
    parser.add_argument("--markdown", metavar="FILE", help="write the report for a bug tracker")


def run(args, screen):
    from gradcheck.conformance import CELLS, verify

    if args.seeds < 1 or not args.time_limit > 0:
        raise verb.Misuse("--seeds must be at least 1 and --time-limit above 0")
    op = lookup.op_named(args.against, CELLS)
    function, module = found(args.function)
    backward = found(args.backward)[0] if args.backward else None
    if backward is None and args.framework in (None, "numpy"):
        backward = _backward_beside(function, module, args.function)
    screen.progress(f"{args.function} against {op.name}")
    try:
        with _stdout_below_kept(args.json):
            report = verify(
                function,
                op,
                framework=args.framework,
                dtype=args.dtype,
                backward=backward,
                arguments=_listed(args.arguments),
                outputs=_listed(args.outputs),
                variant=args.variant,
                convention=args.convention,
                seeds=args.seeds,
                time_limit=args.time_limit,
                plan=_plan(args.plan),
            )
    except (ValueError, TypeError, ImportError) as wrong:
        raise verb.Misuse(str(wrong)) from wrong
    report.function = args.function
    for path, text in ((args.html, report.html), (args.markdown, report.markdown)):
        if path:
            _write(path, text())
    screen.say(_painted(report, screen))
    return report.json(), int(not report.conforms)


@contextlib.contextmanager
def _stdout_below_kept(wanted):
    """What a candidate writes below Python's sys.stdout, as C does, goes to stderr: with --json."""
    if not wanted:
        yield
        return
    sys.__stdout__.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.__stdout__.flush()  # what it wrote there, before that is ours again
        os.dup2(kept, 1)
        os.close(kept)


def found(name):
    """``module.sub:function`` or ``file.py:function``, and its module; Misuse if there is none."""
    place, colon, inside = name.rpartition(":")
    if not colon or not place or not inside:
        raise verb.Misuse(f"{name!r} must be module:function or file.py:function")
    module = lookup.load(place) if place.endswith(".py") else _imported(place)
    function = module
    for part in inside.split("."):
        if not hasattr(function, part):
            names = [n for n, value in vars(function).items() if callable(value) and not n.startswith("_")]
            raise verb.Misuse(f"{place} has no {inside!r}{nearest(part, names)}")
        function = getattr(function, part)
    if not callable(function):
        raise verb.Misuse(f"{name} is no function but {type(function).__name__}")
    return function, module


def _imported(place):
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        return importlib.import_module(place)
    except Exception as failure:
        raise verb.Misuse(f"{place} cannot be imported: {type(failure).__name__}: {failure}") from failure
    finally:
        sys.path.remove(here)


def _backward_beside(function, module, name):
    """The backward that stands in the same module under the name that one expects."""
    from gradcheck.conformance.guessing import guessed

    inside = name.rpartition(":")[2]
    backward = getattr(module, inside.removesuffix("_forward") + "_backward", None)
    return backward if callable(backward) and guessed(function) == "numpy" else None


def _plan(text):
    """The Plan that NAME=DTYPE between commas describes; None without."""
    from gradcheck.conformance import Plan

    if text is None:
        return None
    pairs = dict(part.strip().partition("=")[::2] for part in text.split(","))
    unknown = [name for name in pairs if name not in Plan.__dataclass_fields__]
    if unknown:
        known = ", ".join(Plan.__dataclass_fields__)
        raise ValueError(f"--plan: no stage is called {unknown[0]!r}; there are {known}")
    return Plan(**pairs)


def _listed(text):
    """Names between commas; a "_" stands for an output that the op does not have."""
    return (
        None if text is None else [None if name.strip() == "_" else name.strip() for name in text.split(",")]
    )


def _write(path, text):
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as failure:
        raise verb.Misuse(f"{path} cannot be written: {failure.strerror}") from failure


def _painted(report, screen):
    first, *rest = repr(report).split("\n")
    colour = {"conforms": "green", "follows": "yellow"}.get(report.verdict, "red")
    return "\n".join([screen.paint(colour, first), *rest])
