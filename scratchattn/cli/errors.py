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
        "enclosures of 60 digits; the table is Markdown. --quote puts the three worst rows in each dtype\n"
        "into another file, a README, between '<!-- gradcheck errors -->' and\n"
        "'<!-- end of gradcheck errors -->'. JSON keys: rows [{op, cases, values_float64,\n"
        "gradients_float64, values_float32, gradients_float32, and the case of each}], worst (ops).",
    )
    parser.add_argument("ops", metavar="OP", nargs="*", help="names of ops; all reference ops without any")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument(
        "--quote", type=Path, metavar="FILE", help="put the worst rows between the two marks of this file"
    )


def run(args, screen):
    if importlib.util.find_spec("flint") is None:
        raise verb.Misuse(
            "the truth needs python-flint: pip install python-flint, or the extra scratchattn[test]"
        )
    from gradcheck.errors import errors_of, table, worst, worst_lines

    if args.quote:
        _with_quote(args.quote, [])  # a file without marks is refused before minutes of measuring
    if args.out:
        if args.out.is_dir():
            raise verb.Misuse(f"--out {args.out}: it is a directory; name a file")
        args.out.parent.mkdir(parents=True, exist_ok=True)
    names = args.ops or sorted(name for name, op in REGISTRY.items() if op.equals is None)
    ops, rows = [lookup.op_named(name) for name in dict.fromkeys(names)], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # extreme cases overflow on the way, in floats
        for i, op in enumerate(ops):
            screen.progress(f"{i} of {len(ops)}  {op.name}")
            rows.append(errors_of(op))
    lines = list(table(rows))
    if args.out:
        args.out.write_text("\n".join([HEAD, *lines, ""]), encoding="utf-8")
        screen.say(f"{len(rows)} ops: {args.out}")
    if args.quote:
        args.quote.write_text(_with_quote(args.quote, worst_lines(lines)), encoding="utf-8")
        screen.say(f"the worst of them: {args.quote}")
    if not (args.out or args.quote):
        screen.say("\n".join(lines))
    rows.sort(key=lambda row: worst(row, "float64"), reverse=True)
    return {"rows": rows, "worst": [row["op"] for row in rows[:WORST]]}, 0


def _with_quote(path, lines):
    """The text of the file with ``lines`` between its marks."""
    from gradcheck.errors import quoted

    try:
        return quoted(path.read_text(encoding="utf-8"), lines)
    except (OSError, ValueError) as wrong:
        raise verb.Misuse(f"{path}: {getattr(wrong, 'strerror', None) or wrong}") from wrong


HEAD = """\
# Rounding errors of the reference ops

Largest error of values and of gradients over all cases of an op, in units in the last place of the
largest entry, against enclosures of 60 digits that provably hold the truth, at the inputs as the dtype
holds them. Cases that are ill-conditioned on purpose are left out. Written by

    gradcheck errors --out docs/errors.md --quote README.md
"""
