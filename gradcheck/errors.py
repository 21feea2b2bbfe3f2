"""How many units in the last place our own floats are off, op by op: measured against proven enclosures.

A unit is one in the last place of the largest entry of what is compared, in the dtype that is measured: so a
small entry beside a large one is not blamed for what the large one leaves.
"""

import numpy as np

from .certificates import certified
from .subject import Subject

DTYPES = ("float64", "float32")
KINDS = ("values", "gradients")
MARKS = ("<!-- gradcheck errors -->", "<!-- end of gradcheck errors -->")  # around rows quoted elsewhere


def errors_of(op, seed=0):
    """Worst error of values and of gradients in each dtype, over all cases of ``op``, and where.

    Cases on a kink, those that balls cannot decide and those that say they are ill-conditioned are left out;
    ``cases`` counts the rest.
    """
    row = {"op": op.name, "cases": 0}
    row |= {f"{what}_{dtype}": 0.0 for what in KINDS for dtype in DTYPES}
    row |= {f"{key}_case": "" for key in list(row)[2:]}
    for case in op.cases(np.random.default_rng(seed)):
        if case.ill_conditioned:
            continue
        counted = False
        for dtype in DTYPES:
            found = certified(Subject(op, case), np.random.default_rng(seed + 1), dtype)
            if found is None:
                continue
            counted, (results, exact, outputs) = True, found
            pairs = list(zip(results, exact, strict=True))
            for what, part in zip(KINDS, (pairs[:outputs], pairs[outputs:])):
                worst = max((in_units(y, t, dtype) for y, t in part), default=0.0)
                if worst > row[f"{what}_{dtype}"]:
                    row[f"{what}_{dtype}"], row[f"{what}_{dtype}_case"] = worst, case.label
        row["cases"] += counted
    return row


def in_units(found, exact, dtype):
    """Largest error in units in the last place of the largest entry of ``exact``."""
    if not exact.size:
        return 0.0
    largest = np.asarray(abs(exact).max()).astype(dtype)
    unit = float(np.spacing(max(largest, np.finfo(dtype).tiny)))
    return float(abs(np.asarray(found, float) - exact).max()) / unit


def table(rows):
    """The rows as Markdown, worst in float64 first; of values and gradients the larger counts."""
    names = ["op", "cases", *[f"{what}, {dtype}" for dtype in DTYPES for what in KINDS]]
    names += [f"worst in {dtype}" for dtype in DTYPES]
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"
    for row in sorted(rows, key=lambda row: (-worst(row, "float64")[0], row["op"])):
        numbers = [f"{row[f'{what}_{dtype}']:.1f}" for dtype in DTYPES for what in KINDS]
        cells = [row["op"], str(row["cases"]), *numbers, *[worst(row, dtype)[1] for dtype in DTYPES]]
        yield f"| {' | '.join(cells)} |"


def worst(row, dtype):
    """The largest error of a row in ``dtype``, and the case it is at."""
    return max((row[f"{what}_{dtype}"], row[f"{what}_{dtype}_case"]) for what in KINDS)


def worst_lines(lines, most=3):
    """Of the lines of a table: its head, and the ``most`` worst rows in each dtype, in the table's order."""
    head, rows = lines[:2], lines[2:]
    names = [cell.strip() for cell in head[0].split("|")]

    def error(line, dtype):
        cells = line.split("|")
        return max(float(cells[names.index(f"{what}, {dtype}")]) for what in KINDS)

    kept = {
        line
        for dtype in DTYPES
        for line in sorted(rows, key=lambda line: error(line, dtype), reverse=True)[:most]
    }
    return [*head, *[line for line in rows if line in kept]]


def quoted(text, lines, marks=MARKS):
    """``text`` with ``lines`` between its two marks; ValueError if it does not have each of them once."""
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end or marks[0] in rest or marks[1] in after:
        raise ValueError(f"{marks[0]} and then {marks[1]} expected, each once")
    return "\n".join([before + begin, "", *lines, "", end + after])
