"""``gradcheck check``: every check on every case of every op, or of one's own pair of functions."""

import contextlib
import importlib.util
import math
import os
import time

from ..op import REGISTRY
from . import lookup, verb
from .diagnosis import diagnose

FAMILIES = {  # one column each; what is in none of them counts as "rest"
    "paper": ("forward_is_the_paper", "fused_equals_the_composition"),
    "60 digits": ("backward_is_the_papers_derivative",),
    "adjoint": ("backward_is_the_adjoint",),
    "Jacobian": ("backward_is_the_jacobian",),
    "float32": ("float32_by_complex_step",),
    "slopes": ("backward_is_the_slope", "central_differences_agree"),
    "Hessian": ("hessian_is_symmetric",),
    "field": ("backward_is_the_derivative_in_a_field", "composition_is_the_adjoint_in_a_field"),
    "truth": ("error_is_certified", "float32_errs_as_float32_must"),
    "proof": ("derivatives_are_certified",),
}
DEEP_SEEDS = 3
SHOWN = 6  # failures written out per op; --json has all
_DESCRIPTION = f"""\
OP is the name of an op (all of them if none is given) or file.py:name, a pair of your own:

{lookup.__doc__.partition(chr(10) * 2)[2].strip()}

The columns are the worst errors, each relative to the size of what is compared:
  paper       forward against the paper's formula, one number at a time; a fused op against its composition
  60 digits   backward against that formula differentiated in 60 digits, row by row
  adjoint     <u, Jv> = <J'u, v> for random u and v, Jv by a complex step
  Jacobian    every entry, by a complex step
  float32     the adjoint in float32
  slopes      finite differences, in real arithmetic: Ridders' and central
  Hessian     symmetric, by a complex step through the backward
  field       the adjoint in integers modulo a prime: 0 is exact, and there is no tolerance
  proof       with --deep: adjoint and Hessian enclosed around zero, by power series in balls
  truth       with --deep: our float64 and float32 against the truth in proven enclosures; 1 is 6 sigma of an
              honest program's roundoff and a unit in the last place
  rest        structure: shapes, dtypes, finite values, linear, repeatable, inputs untouched, properties

--deep adds the truth and repeats all of it with {DEEP_SEEDS} seeds: other numbers, and other sizes where
cases draw them. It ends with the cases that have no truth or proof, and why.
JSON keys: ok, checks (op, case, check, what, error, tolerance, ok, seed), summary, diagnosis, and with
--deep uncertified (op, case, seed, check, why). An error that is no number, because something raised or did
not fit, is null."""


def add_parser(verbs):
    parser = verb.add(verbs, "check", run, "check gradients, and all else that ops claim", _DESCRIPTION)
    parser.add_argument("ops", metavar="OP", nargs="*", help="an op's name, or file.py:name")
    parser.add_argument("--deep", action="store_true", help=f"{DEEP_SEEDS} seeds, and the truth")
    parser.add_argument(
        "--jobs", type=verb.whole(1), metavar="N", help="processes (default: the cores, at most 4)"
    )
    parser.add_argument("--seed", type=verb.whole(0), default=0, metavar="N", help="the (first) seed, 0")


def run(args, screen):
    if importlib.util.find_spec("mpmath") is None:
        raise verb.Misuse("the checks need mpmath: pip install mpmath, or all of the extra scratchattn[test]")
    started = time.perf_counter()
    ops = [lookup.op_named(name) for name in dict.fromkeys(args.ops or sorted(REGISTRY))]
    seeds = [args.seed + i for i in range(DEEP_SEEDS if args.deep else 1)]
    by_op, diagnoses = {}, []
    width = max(len(op.name) for op in ops) + 1
    families = {
        name: checks for name, checks in FAMILIES.items() if args.deep or name not in ("truth", "proof")
    }
    screen.say(screen.paint("dim", _header(width, families)))
    for op, results, last in _results(ops, seeds, args.jobs or min(4, _cores()), args.deep, screen):
        by_op.setdefault(op, []).extend(results)
        if last:
            screen.say(_line(op.name, by_op[op], width, families, screen))
            diagnoses += _say_failures(op, by_op[op], screen)
    if args.deep and not args.ops:
        by_op |= _compositions(seeds, width, families, screen)
    from gradcheck.evidence import summary

    everything = [result for results in by_op.values() for result in results]
    counts = summary(everything, started)
    ok = counts["failed"] == 0
    _say_summary(counts, by_op, seeds, screen)
    report = {"ok": ok, "checks": everything, "summary": counts, "diagnosis": diagnoses}
    if args.deep:
        report["uncertified"] = _without_certificate(ops, by_op, seeds)
        _say_uncertified(report["uncertified"], screen)
    return report, int(not ok)


def _results(ops, seeds, jobs, deep, screen):
    """Yield (op, its results for one seed, whether that was the last seed)."""
    import numpy as np

    from gradcheck.evidence import CHECKS, DEEP, check_all

    known = [op for op in ops if REGISTRY.get(op.name) is op]
    own = [op for op in ops if REGISTRY.get(op.name) is not op]  # only this process has loaded their file
    done, total, checks = 0, len(ops) * len(seeds), DEEP if deep else CHECKS
    with _one_blas_thread(), np.errstate(all="ignore"):
        for seed in seeds:
            for group, processes in ((known, min(jobs, len(known))), (own, 1)):
                if not group:
                    continue
                screen.progress(f"{done} of {total}  {group[0].name}")
                for i, (op, results) in enumerate(
                    check_all(group, seed=seed, checks=checks, processes=processes), 1
                ):
                    done += 1
                    yield op, _with_seed(op, results, seed), seed == seeds[-1]
                    screen.progress(f"{done} of {total}  {group[i].name if i < len(group) else ''}")


def _compositions(seeds, width, families, screen):
    """Whole cells in the field, three sizes each: name -> results."""
    from gradcheck.compositions import COMPOSITIONS, SIZES, composition_is_the_adjoint_in_a_field

    found = {}
    for name in COMPOSITIONS:
        screen.progress(name)
        found[name] = [
            composition_is_the_adjoint_in_a_field(name, seed, size) | {"seed": seed}
            for seed in seeds
            for size in range(SIZES)
        ]
        screen.say(_line(name, found[name], width, families, screen))
    return found


def _without_certificate(ops, by_op, seeds):
    from gradcheck.certificates import uncertified

    return [
        {"op": op.name, "case": case, "seed": seed, "check": check, "why": why}
        for op in ops
        for seed in seeds
        for case, check, why in uncertified(op, [r for r in by_op[op] if r["seed"] == seed], seed)
    ]


def _with_seed(op, results, seed):
    if not results:
        nothing = {
            "op": op.name,
            "case": "",
            "check": "there_are_cases",
            "what": "no case, so nothing was checked",
        }
        results = [{**nothing, "error": math.inf, "tolerance": 0.0, "ok": False}]
    return [{**result, "seed": seed} for result in results]


@contextlib.contextmanager
def _one_blas_thread():
    """Processes share the cores here, so each has one: by threadpoolctl, and by environment for new ones."""
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        with contextlib.ExitStack() as stack:
            if importlib.util.find_spec("threadpoolctl"):
                import threadpoolctl

                stack.enter_context(threadpoolctl.threadpool_limits(1, "blas"))
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- what a person reads ----------------------------------------------------


def _header(width, families):
    names = "".join(f"{name:>10}" for name in families)
    return f"     {'op':{width}}{'cases':>6}{'checks':>8}{names}{'rest':>7}"


def _line(name, results, width, families, screen):
    cases = len({result["case"] for result in results})
    ok = all(result["ok"] for result in results)
    mark = screen.paint("green", "ok  ") if ok else screen.paint("red", "FAIL")
    cells = [_cell([r for r in results if r["check"] in checks], screen) for checks in families.values()]
    known = {check for checks in families.values() for check in checks}
    bad = sum(not r["ok"] for r in results if r["check"] not in known)
    rest = screen.paint("red", f"{f'{bad} bad':>7}") if bad else f"{'ok':>7}"
    return f"{mark} {name:{width}}{cases:6}{len(results):8}{''.join(cells)}{rest}"


def _cell(results, screen):
    if not results:
        return f"{'-':>10}"
    worst = max((r["error"] for r in results), key=lambda error: (math.isnan(error), error))
    text = f"{worst:.0e}" if worst and math.isfinite(worst) else f"{worst:g}"
    return screen.paint("red", f"{text + '!':>10}") if not all(r["ok"] for r in results) else f"{text:>10}"


def _say_failures(op, results, screen):
    """Say where it is wrong and what failed; return the diagnosis."""
    failed, found = [result for result in results if not result["ok"]], []
    for case, seed in list(dict.fromkeys((r["case"], r["seed"]) for r in failed))[:2]:
        for sentence in diagnose(op, case, seed):
            screen.say(f"       {screen.paint('bold', f'{case}: {sentence}')}")
            found.append({"op": op.name, "case": case, "seed": seed, "text": sentence})
    for result in failed[:SHOWN]:
        bound = (
            f"   {result['error']:.2g} > {result['tolerance']:.2g}" if math.isfinite(result["error"]) else ""
        )
        screen.say(f"       {result['case']}: {result['check']}: {result['what']}{bound}")
    if len(failed) > SHOWN:
        screen.say(f"       and {len(failed) - SHOWN} more; --json lists them all")
    if op.loops is None and op.equals is None:
        screen.say("       (it has no loops: the forward itself is held against nothing but itself)")
    return found


def _say_summary(counts, by_op, seeds, screen):
    size = f"{counts['ops']} ops, {counts['cases']} cases, {counts['checks']:,} checks"
    size += f", seeds {seeds[0]} to {seeds[-1]}" * (len(seeds) > 1)
    if counts["failed"]:
        names = ", ".join(op.name for op, results in by_op.items() if not all(r["ok"] for r in results))
        verdict = screen.paint("red", f"{counts['failed']} FAILED") + f" in {names}"
    else:
        verdict = screen.paint("green", "all hold")
    screen.say(f"{size}: {verdict}. {counts['seconds']:.1f} s")


def _say_uncertified(rows, screen):
    """By reason, the cases that some certificate is missing of, each op's once."""
    reasons: dict = {}
    for row in rows:
        reasons.setdefault(row["why"], {}).setdefault(row["op"], {})[row["case"]] = None
    for why, cases in reasons.items():
        count = sum(map(len, cases.values()))
        screen.say(f"{count} cases without a certificate, {why}:")
        for name, labels in cases.items():
            screen.say(screen.paint("dim", f"       {name}: {'; '.join(labels)}"))
