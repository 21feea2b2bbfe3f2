"""Every planted error is found, and nothing is found where none is planted.

``pytest tests/test_planted_errors.py -s -k table`` prints which check finds which.
"""

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest
from planted_errors import CATALOGUE, cotangent, gradient, planted

from gradcheck.evidence import CHECKS, check_case
from gradcheck.exact import backward_is_the_derivative_in_a_field
from gradcheck.subject import Subject
from scratchattn import REGISTRY

ACCIDENT = re.compile(r"[A-Z]\w*(Error|Warning): ")  # a backward that cannot run finds itself
ERRORS = {error.id: error for error in CATALOGUE}
OPS = sorted({error.op for error in CATALOGUE})


def findings(op, case):
    """check -> what it found wrong."""
    found = {}
    for r in check_case(op, case):
        if not r["ok"]:
            found.setdefault(r["check"], []).append(r["what"])
    return found


@cache
def hunt(name):
    """The first case at which planted error ``name`` is found, and what found it; or None and nothing."""
    error = ERRORS[name]
    op = error.plant(REGISTRY[error.op])
    for case in REGISTRY[error.op].cases(np.random.default_rng(0)):
        found = findings(op, case)
        if found:
            return case.label, found
    return None, {}


@pytest.mark.parametrize("name", ERRORS)
def test_a_planted_error_is_found(name):
    case, found = hunt(name)
    assert found, f"{name}: not found at any case of {ERRORS[name].op}"
    accidents = [what for told in found.values() for what in told if ACCIDENT.match(what)]
    if "not summed" in name:  # then it is the error itself that its gradient does not fit
        accidents = [what for what in accidents if "gradient" not in what]
    assert not accidents, f"{name}: the planted backward does not run at {case}: {accidents[0]}"


@pytest.mark.parametrize("name", OPS)
def test_planting_nothing_is_not_found(name):
    """What is found is the error, and not the way in which it is planted."""
    op = REGISTRY[name]
    ways = [planted(lambda call: call.gradients()), gradient(0, lambda g, call: g)]
    if op.Outputs is not None:
        ways.append(cotangent(lambda *douts: douts))
    for way in ways:
        for case, _ in zip(op.cases(np.random.default_rng(0)), range(2)):
            assert not findings(way(op), case)


def test_the_catalogue_is_what_it_says():
    counts = Counter(error.kind for error in CATALOGUE)
    assert len(ERRORS) == len(CATALOGUE) >= 45
    assert counts["structural"] >= 14 and counts["tiny"] >= 12 and counts["graded"] >= 16
    assert set(counts) == {"structural", "tiny", "graded"}


def test_a_table_of_what_finds_what():
    """Printed with -s.  What is small is found entry by entry with a complex step, always."""
    order = [test.__name__ for test in CHECKS]
    used = [name for name in order if any(name in hunt(error)[1] for error in ERRORS)]
    lines = [f"{i:2d} {name}" for i, name in enumerate(used)]
    tally = {kind: Counter() for kind in ("structural", "tiny", "graded")}
    for name, error in ERRORS.items():
        case, found = hunt(name)
        tally[error.kind].update(list(found))
        marks = " ".join(f"{i:2d}" if check in found else " ." for i, check in enumerate(used))
        lines.append(f"{error.kind:10s} {name:58s} {marks}  at {case}")
    totals = Counter(error.kind for error in CATALOGUE)
    for kind, counts in tally.items():
        marks = " ".join(f"{counts[check]:2d}" for check in used)
        lines.append(f"{kind:10s} {f'found, of {totals[kind]}':58s} {marks}")
    table = "\n".join(lines)
    print("\n" + table)
    for name, error in ERRORS.items():
        if error.kind != "structural":
            assert "backward_is_the_jacobian" in hunt(name)[1], f"{name}\n{table}"


@pytest.mark.parametrize("name", [name for name in ERRORS if "not summed" not in name])
def test_the_field_alone_refutes_it(name):
    """Without a tolerance; what is not summed does not fit, and the tape says so first."""
    error = ERRORS[name]
    op = error.plant(REGISTRY[error.op])
    for case in REGISTRY[error.op].cases(np.random.default_rng(0)):
        results = backward_is_the_derivative_in_a_field(Subject(op, case), np.random.default_rng(1))
        if any(found > bound for _, found, bound in results):
            return
    pytest.fail(f"{name}: no case refutes it")
