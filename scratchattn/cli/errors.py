"""``gradcheck errors``: how many units in the last place our own floats are off, as a table."""

import importlib.util
import warnings
from pathlib import Path

from ..op import REGISTRY
from . import lookup, verb

WORST = 5  # rows that are said at the end


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "errors",
        run,
        "measure the rounding error of every op against the truth",
        "In units in the last place of the largest entry, the worst over all cases, against proven\n"
        "enclosures of 60 digits; the table is Markdown. JSON keys: rows [{op, cases, values_float64,\n"
        "gradients_float64, values_float32, gradients_float32, and the case of each}], worst (ops).",
    )
    parser.add_argument("ops", metavar="OP", nargs="*", help="names of ops; all reference ops without any")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there")


def run(args, screen):
    if importlib.util.find_spec("flint") is None:
        raise verb.Misuse(
            "the truth needs python-flint: pip install python-flint, or the extra scratchattn[test]"
        )
    from gradcheck.errors import errors_of, table

    names = args.ops or sorted(name for name, op in REGISTRY.items() if op.equals is None)
    ops, rows = [lookup.op_named(name) for name in dict.fromkeys(names)], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # extreme cases overflow on the way, in floats
        for i, op in enumerate(ops):
            screen.progress(f"{i} of {len(ops)}  {op.name}")
            rows.append(errors_of(op))
    lines = list(table(rows))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("\n".join([HEAD, *lines, ""]))
        screen.say(f"{len(rows)} ops: {args.out}")
    else:
        screen.say("\n".join(lines))
    worst = [row["op"] for row in sorted(rows, key=lambda row: -row["gradients_float64"])]
    return {"rows": rows, "worst": worst[:WORST]}, 0


HEAD = """\
# Rounding errors of the reference ops

Largest error of values and of gradients over all cases of an op, in units in the last place of the
largest entry, against enclosures of 60 digits that provably hold the truth, at the inputs as the dtype
holds them. Cases that are ill-conditioned on purpose are left out. Written by

    gradcheck errors --out docs/errors.md
"""
