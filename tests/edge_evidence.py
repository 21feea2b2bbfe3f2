"""Which case, property or test holds an edge case: a list that is checked against what there is."""

from pathlib import Path

import numpy as np

from scratchattn import REGISTRY

HERE = Path(__file__).parent


def missing(listed):
    """The lines of ``listed``, "op: case", "op.property" or "file::test", that name nothing that exists."""
    return [line for line in filter(None, map(str.strip, listed.splitlines())) if not _there(line)]


def _there(line):
    if "::" in line:
        file, _, name = line.partition("::")
        return f"def {name}(" in (HERE / file).read_text(encoding="utf-8")
    if ": " in line:
        op, _, label = line.partition(": ")
        return label in {case.label for case in REGISTRY[op].cases(np.random.default_rng(0))}
    op, _, name = line.partition(".")
    return name in {claim.__name__ for claim in REGISTRY[op].properties}
