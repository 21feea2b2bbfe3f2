"""``verify``: hold somebody else's function against an op and say what it is."""

import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from scratchattn.conventions import PRESETS, variant_of
from scratchattn.op import REGISTRY, Op

from .aggregate import Errors
from .asking import ask
from .candidate import Candidate, NotAsked, Unsuitable
from .cells import CELLS, fitted
from .frameworks import framework_of, imported
from .judging import judge
from .misfits import misfits
from .nearness import ENOUGH, far_off, neighbours
from .plan import LOW, Plan
from .questions import Question, Unanswerable
from .report import Report
from .rounding import FORMATS

SEEDS = 3
TIME_LIMIT = 10.0  # seconds, for one case


class Setting(NamedTuple):
    """What a function is held to, and how it is asked: see ``verify``."""

    op: Op
    dtype: str
    params: dict
    held_against: str | None  # a variant or a convention, by name
    seeds: object
    time_limit: float
    plan: Plan | None


def verify(
    function,
    against,
    *,
    framework=None,
    dtype="float32",
    backward=None,
    arguments=None,
    outputs=None,
    params=None,
    variant=None,
    convention=None,
    seeds=SEEDS,
    time_limit=TIME_LIMIT,
    plan=None,
):
    """Hold ``function`` against the op or cell called ``against``; returns a Report, whatever it does.

    ``framework`` is numpy, torch, jax, autograd or tensorflow (None: by what the function speaks of),
    ``dtype`` float64, float32, float16 or bfloat16; for the last two ``plan`` says where the function
    rounds (None: after every step, sums in float32), and all errors are also judged together.  In numpy,
    ``backward`` is ``backward(saved, dout)`` of a function that returns out, saved, or
    ``backward(*inputs, *douts)``; without it outputs alone are judged.

    ``arguments``, ``outputs`` and ``params`` say what the function takes, returns and follows where that is
    not as the op has it: see ``conformance.candidate``.  ``variant``: hold it against that variant of the
    op; ``convention``: against what a preset of ``scratchattn.conventions`` says of the op.  ``seeds``: how
    many sets of the op's cases, or which; ``time_limit``: seconds for one case.

    Truth is the op in balls of 60 digits at the exact inputs, the tolerance of each entry 6 sigma and one
    unit in its last place, sigma from 24 runs of Monte-Carlo arithmetic (Parker, UCLA CSD-970002, 1997);
    of a cell, twice what roundoff comes to if every number errs for itself.
    Wrong use of ``verify`` itself raises ValueError or TypeError, a missing package ImportError.
    """
    setting = settled(against, dtype, params, variant, convention, seeds, time_limit, plan)
    return tried(function, setting, framework, backward, arguments, outputs)


def settled(against, dtype, params, variant, convention, seeds, time_limit, plan):
    """The Setting; ValueError or TypeError for what is not one, ImportError without what makes the truth."""
    imported("flint", "python-flint")
    op, dtype, params = resolved(against), named_dtype(dtype), dict(params or {})
    plan = plan or (Plan.of(dtype) if dtype in LOW else None)
    if plan is not None:
        plan.check(op)
    if variant is not None and convention is not None:
        raise ValueError(f"verify: convention must be None beside a variant, got {convention!r}")
    if variant is not None:
        params.update(variant_named(op, variant).params)
    if convention is not None:
        params.update(followed(convention, op).params)
    return Setting(fitted(op, params), dtype, params, variant or convention, seeds, time_limit, plan)


def tried(function, setting, framework=None, backward=None, arguments=None, outputs=None, only=None):
    """The Report of ``function``; ``only``: at the case of that label."""
    started = time.perf_counter()
    op, dtype, params, held_against, seeds, time_limit, plan = setting
    name, adapter = framework_of(function, framework, backward)
    report = Report(op, function, name, dtype, adapter.differentiates, held_against)
    try:
        candidate = Candidate(op, function, arguments, outputs, params)
    except Unsuitable as reason:
        return report.unsuitable(str(reason)).closed(started)
    asked = []
    for question, without in questions(op, dtype, candidate.params, seeds, only, plan):
        if question is None:
            report.leave_out(*without)
            continue
        try:
            answer = ask(candidate, adapter, question, time_limit)
        except NotAsked as untold:
            report.leave_out(question.label, str(untold))
            continue
        entry = report.take(question, answer, held(question, answer, {}))
        if entry is not None:
            asked.append((question, answer, entry))
        if answer.hung:
            report.notes.append("after that, no other case was asked")
            break
    if dtype in LOW:
        report.lines = _together(asked, {})
    if any(not entry["ok"] and not question.kinked for question, _, entry in asked):
        for params, names in variants_of(op, candidate):
            _compare(report, names, params, [each for each in asked if not each[1].failure])
            if dtype in LOW and names[0] in report.fitting():
                lines = _together(asked, params)
                report.variants[names[0]]["failed"] += sum(not line.ok for line in lines.values())
        if len(report.fitting()) > 1:
            _ask_further(report, op, candidate, adapter, time_limit)
    if asked and only is None and not any(answer.hung for _, answer, _ in asked):
        first = asked[0][0].seed
        once = [q for q, a, _ in asked if q.seed == first and not a.failure]
        report.misfits = misfits(candidate, adapter, once, time_limit)
    return report.closed(started)


def questions(op, dtype, params, seeds, only=None, plan=None):
    """Yield (question, None) for every case at every seed, or (None, (label, why there is none)).

    ``only``: the label of the cases that are wanted.
    """
    for seed in sown(seeds):
        with np.errstate(all="ignore"):
            cases = list(op.cases(np.random.default_rng(seed)))
        for number, case in enumerate(cases):
            if only not in (None, case.label):
                continue
            try:
                whole = replace(case, params={**params, **case.params})
                yield Question(op, whole, dtype, seed, number, plan), None
            except Unanswerable as reason:
                yield None, (case.label, str(reason))


def _compare(report, names, params, asked):
    """How far the answers are from a convention; by the first set of cases alone if that refutes it."""
    seed = asked[0][0].seed if asked else 0
    found, refuted = [], 0
    for q, a, _ in sorted(asked, key=lambda each: each[0].seed != seed):
        if refuted and (q.seed != seed or (refuted == ENOUGH and q.op.equals is not None)):
            break
        found.append((q, far_off(q, a, params) or held(q, a, params)))
        refuted += not q.kinked and not all(f.ok for f in _findings(found[-1][1]))
    report.compare(names, params, found, {id(q) for q, _, entry in asked if not entry["ok"]})


def _findings(found):
    return found.values() if isinstance(found, dict) else ()


def _ask_further(report, op, candidate, adapter, time_limit):
    """Which of several conventions that fit?  Ask with the inputs of cases that are of other params.

    They are no cases of these conventions, so they refute nothing: they only say which is likelier.
    """
    fit = {name: report.variants[name] for name in report.fitting()}
    for entry in fit.values():
        entry.update(against=0, further=0, against_on=[])
    for number, case in enumerate(op.cases(np.random.default_rng(0))):
        if case.label not in report.not_asked:
            continue
        try:
            question = Question(op, replace(case, params=dict(candidate.params)), report.dtype, 0, number)
            answer = ask(candidate, adapter, question, time_limit)
        except (Unanswerable, NotAsked):
            continue
        if answer.hung:
            return
        for entry in () if answer.failure else fit.values():
            findings = held(question, answer, entry["params"])
            if not isinstance(findings, Unanswerable):
                entry["further"] += 1
                if not all(f.ok for f in findings.values()):
                    entry["against"] += 1
                    entry["against_on"].append(case.label)


def _together(asked, params):
    """Bias and slope of all errors, where there is no kink, nothing is missing and nothing is NaN."""
    errors = Errors()
    for question, answer, _ in asked:
        findings = held(question, answer, params)
        if question.kinked or not findings or isinstance(findings, Unanswerable):
            continue
        if any(f.words for f in findings.values()):
            continue
        truth, sigma, samples = question.expected(params, tuple(answer.outputs))
        gradients = {f"d{name}": g for name, g in (answer.gradients or {}).items() if g is not None}
        for name, found in {**answer.outputs, **gradients}.items():
            whole = np.broadcast_to(found.astype(float), truth[name].shape)
            errors.add(name, whole, truth[name], sigma[name], samples[name])
    return errors.lines()


def held(question, answer, params):
    """Findings by name, or Unanswerable; of an answer that failed, none."""
    if answer.failure:
        return {}
    try:
        truth, sigma, _ = question.expected(params, tuple(answer.outputs))
    except Unanswerable as reason:
        return reason
    return judge(answer, question, truth, sigma)


def variants_of(op, candidate):
    """Yield (params, names) for the conventions that differ from what the candidate was held against."""
    groups: dict = {}
    for variant in op.variants:
        whole = {**op._params, **variant.params}
        groups.setdefault(repr(sorted(whole.items())), ({**variant.params}, []))[1].append(variant.name)
    own = repr(sorted({**op._params, **candidate.params}.items()))
    for key, (params, names) in groups.items():
        if key != own:
            reset = {name: op._params[name] for name in candidate.params if name not in op._required}
            yield {**reset, **params}, names
    if op.equals is not None and candidate.params:
        yield from neighbours(op, candidate.params)


def sown(seeds):
    """The seeds themselves: as given, or the first few."""
    return range(seeds) if isinstance(seeds, int) else list(seeds)


def resolved(against):
    """The op itself, or the op or cell of that name; ValueError that names the nearest."""
    import difflib

    if isinstance(against, Op):
        return against
    known = {**REGISTRY, **CELLS}
    if against not in known:
        close = difflib.get_close_matches(str(against), known, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"verify: no op or cell is called {against!r}{hint}")
    return known[against]


def variant_named(op, name):
    for variant in op.variants:
        if variant.name == name:
            return variant
    known = ", ".join(v.name for v in op.variants) or "none"
    raise ValueError(f"verify: {op.name} has no variant {name!r}; it has {known}")


def followed(convention, op):
    """The variant of ``op`` that a preset follows; ValueError, with the presets that say something of it."""
    if convention in PRESETS and (variant := variant_of(convention, op)) is not None:
        return variant
    what = f"{convention!r} says nothing of {op.name}"
    if convention not in PRESETS:
        what = f"{convention!r} is not known"
    known = ", ".join(name for name in PRESETS if variant_of(name, op) is not None) or "none"
    raise ValueError(f"verify: the convention {what}; of {op.name} speak: {known}")


def named_dtype(dtype):
    """float32 for "float32", numpy.float32, torch.float32 and the like; ValueError for what is not judged."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", None) or str(dtype)
    name = name.rpartition(".")[-1]
    if name not in FORMATS:
        raise ValueError(f"verify: dtype must be one of {', '.join(FORMATS)}, got {name!r}")
    return name
