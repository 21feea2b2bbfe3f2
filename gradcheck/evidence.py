"""All checks, and what runs them over ops and cases.

    for result in check(REGISTRY["cosine_addressing"]): ...

A result is a dictionary: op, case, check, what, error, tolerance, ok.  Comparisons are written so
that NaN fails.  A check that cannot go on (an exception, a shape that does not fit) is a failure,
not an abort: its message stands in ``what``.
"""

import math
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from . import certificates, derivatives, exact, structure
from .broadcasting import what_a_batch_shares_gets_the_sum
from .subject import Subject

CHECKS = (
    derivatives.forward_is_the_paper,
    derivatives.fused_equals_the_composition,
    derivatives.backward_is_the_papers_derivative,
    derivatives.backward_is_the_adjoint,
    derivatives.backward_is_the_jacobian,
    derivatives.float32_by_complex_step,
    derivatives.backward_is_the_slope,
    derivatives.central_differences_agree,
    derivatives.hessian_is_symmetric,
    exact.backward_is_the_derivative_in_a_field,
    structure.shapes_are_as_declared,
    structure.values_are_finite,
    structure.backward_is_linear,
    structure.same_bits_twice,
    structure.inputs_are_left_alone,
    structure.precision_is_kept,
    structure.memory_layout_is_irrelevant,
    structure.a_row_alone_is_the_row_in_the_batch,
    what_a_batch_shares_gets_the_sum,
    structure.properties_hold,
)
DEEP = (
    *CHECKS,
    certificates.error_is_certified,
    certificates.float32_errs_as_float32_must,
    exact.derivatives_are_certified,
)


def check(op, *, seed=0, checks=CHECKS):
    """Every check of ``op`` at every case: a list of results."""
    rng = np.random.default_rng(seed)
    return [result for case in op.cases(rng) for result in check_case(op, case, seed=seed + 1, checks=checks)]


def check_case(op, case, *, seed=1, checks=CHECKS):
    """Every check of ``op`` at one ``case``: a list of results."""

    def result(name, what, error, tolerance):
        ok = bool(error <= tolerance)  # NaN is not
        return dict(
            op=op.name, case=case.label, check=name, what=what, error=error, tolerance=tolerance, ok=ok
        )

    try:
        subject = Subject(op, case)
    except Exception as failure:
        return [result("forward_runs", f"{type(failure).__name__}: {failure}", math.inf, 0.0)]
    results = []
    for test in checks:
        name = test.__name__
        if name in op.excused:
            continue
        try:
            for what, error, tolerance in test(subject, np.random.default_rng(seed)):
                results.append(result(name, what, float(error), float(tolerance)))
        except ImportError:
            raise
        except Exception as failure:  # a backward that cannot run is wrong, and the table goes on
            results.append(result(name, f"{type(failure).__name__}: {failure}", math.inf, 0.0))
    return results


def check_all(ops, *, seed=0, checks=CHECKS, processes=1):
    """Yield (op, results) for each of ``ops``, in order, computed on ``processes`` cores."""
    if processes == 1:
        for op in ops:
            yield op, check(op, seed=seed, checks=checks)
        return
    with ProcessPoolExecutor(processes) as pool:
        futures = [pool.submit(_check_by_name, op.name, seed, [c.__name__ for c in checks]) for op in ops]
        for op, future in zip(ops, futures):
            yield op, future.result()


def _check_by_name(name, seed, checks):
    from scratchattn import REGISTRY

    return check(REGISTRY[name], seed=seed, checks=[c for c in DEEP if c.__name__ in checks])


def summary(results, started):
    """The ``summary`` of ``gradcheck check --json``."""
    return {
        "ops": len({r["op"] for r in results}),
        "cases": len({(r["op"], r["case"]) for r in results}),
        "checks": len(results),
        "failed": sum(not r["ok"] for r in results),
        "seconds": round(time.perf_counter() - started, 2),
    }
