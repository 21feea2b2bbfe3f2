"""Does the evidence notice?  Every mutant of an op is held against the op itself.

A mutant dies at the first thing that gives it away, the cheapest asked first:

    values       the outputs of every case; it may stray from the op twice as far as the op may from the paper
    adjoint      <u, J v> = <J^T u, v>, J v by a complex step through the op
    rows         every row of every Jacobian, again within twice what the op itself may err
    refusals     wrong params and inputs: what the op refuses, in the same words, and nothing else
    accuracy     its error against the truth, in both precisions, by the bounds of ``gradcheck check --deep``
    the checks   of ``gradcheck check`` one by one: shapes, precision, field identity, properties and so on

so whatever dies here would fail ``gradcheck check`` or change what is refused.  Those that cannot die,
because they compute the same, stand in ``equivalent_mutants.toml`` with a reason each.
"""

import contextlib
import random
import signal
import threading
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from scratchattn.op import REGISTRY

from . import derivatives, exact, structure
from .broadcasting import sharing
from .mutants import Text
from .refusals import refusals
from .subject import Subject
from .trial import Trial

LISTED = Path(__file__).with_name("equivalent_mutants.toml")
QUICK, SLOW = 0.25, 5.0  # seconds of computing that a mutant has for an answer; they take it 1 ms and 50
_QUESTIONS = ((Trial.values_differ, QUICK), (Trial.adjoint_differs, QUICK), (Trial.rows_differ, SLOW))
_JACOBIAN = derivatives.backward_is_the_jacobian
_OTHER_CALLS = (  # what a mutant may do otherwise that gives the same bits at every case
    structure.values_are_finite,  # on the way there too
    structure.properties_hold,
    structure.memory_layout_is_irrelevant,
    structure.a_row_alone_is_the_row_in_the_batch,
    sharing,
)
_CHECKS = (  # the cheapest first
    structure.shapes_are_as_declared,
    structure.precision_is_kept,
    structure.same_bits_twice,
    structure.inputs_are_left_alone,
    structure.backward_is_linear,
    derivatives.backward_is_the_adjoint,
    derivatives.float32_by_complex_step,
    *_OTHER_CALLS,
    derivatives.hessian_is_symmetric,
    exact.backward_is_the_derivative_in_a_field,
    _JACOBIAN,
)


class OutOfTime(BaseException):
    """A mutant that does not come to an end; no Exception, so that no check takes it for an answer."""


class Judge:
    """What is known of an op, to hold its mutants against; they are asked only what the op itself passes.

    ValueError if not even the unchanged text does what the op does: the file has changed since it was loaded.
    """

    def __init__(self, op):
        self.op, self.text = op, Text(op)
        with np.errstate(all="ignore"):
            self.trials = [Trial(op, case) for case in op.cases(np.random.default_rng(0))]
            self.refusals = refusals(op, self.text)
            if word := self._soon(self.text.made_of(self.text.functions())):
                raise ValueError(f"mutate: {op.name}: its text as it is now does not do the same, by {word}")
        self.checks = list(_CHECKS)
        self.failed = None  # those that the op itself fails, found out when needed

    def killer(self, mutant):
        """The word for what gives ``mutant`` away, or None."""
        with np.errstate(all="ignore"):
            try:
                with _limit(QUICK):
                    names = self.text.functions(mutant)
                    made = self.text.made_of(names)
            except Exception as failure:
                return type(failure).__name__
            except OutOfTime:
                return "time"
            return self._soon(made) or self._late(self.text.op_of(names))

    def _soon(self, made):
        for question, seconds in _QUESTIONS:
            for i, trial in enumerate(self.trials):
                wrong = _answer(seconds, question, trial, made)
                if wrong:
                    self.trials.insert(0, self.trials.pop(i))  # likely to tell the next one too
                    return wrong
        for i, refusal in enumerate(self.refusals):
            if _answer(QUICK, refusal.differs, made):
                self.refusals.insert(0, self.refusals.pop(i))
                return "refusals"
        return None

    def _late(self, op):
        changed = _answer(SLOW, self._changed, op)
        if isinstance(changed, str):
            return changed
        if self.failed is None:
            self.failed = {check for check in _CHECKS if self._tells(check, self.op)}
        for trial in self.trials if changed else ():
            if wrong := _answer(SLOW, trial.accuracy_differs, op):
                return wrong
        for check in list(self.checks):
            if check in self.failed or (check not in _OTHER_CALLS and not changed):
                continue
            if word := self._tells(check, op):
                self.checks.remove(check)
                self.checks.insert(0, check)  # likely to tell the next one too
                return word
        return None

    def _tells(self, check, op):
        """The word for how ``check`` fails at any case, or None."""
        for trial in self.trials:
            if check.__name__ in op.excused or (check is _JACOBIAN and trial.has_rows):
                continue  # the rows were asked already
            if wrong := _answer(SLOW, _fails, check, op, trial.case):
                return check.__name__ if wrong is True else f"{check.__name__}: {wrong}"
        return None

    def _changed(self, op):
        return not all(trial.same_bits(op) for trial in self.trials)


def _answer(seconds, question, *about):
    """What ``question`` returns, or as a word what it raised, or that it took longer than ``seconds``."""
    try:
        with _limit(seconds):
            return question(*about)
    except ImportError:
        raise
    except Exception as failure:
        return type(failure).__name__
    except OutOfTime:
        return "time"


def _fails(check, op, case):
    found = check(Subject(op, case), np.random.default_rng(1))
    return any(not error <= tolerance for _, error, tolerance in found)


def mutate(op, *, sample=None, seed=0, listed=None):
    """Judge the mutants of ``op``, or ``sample`` of them: a dictionary.

    op; mutants, killed, equivalent (which are listed): how many; survivors and stale: lists; killers: how
    many by what; seconds of computing.
    """
    started = time.process_time()
    judge = Judge(op)
    mutants = {mutant.key: mutant for mutant in judge.text.mutants()}
    listed = equivalents().get(op.name, {}) if listed is None else listed
    stale = [_stale(op, key, "there is no such mutant") for key in listed if key not in mutants]
    killers, survivors = {}, []
    asked = drawn(list(mutants.values()), op, sample, seed)
    for mutant in asked:
        word = judge.killer(mutant)
        if word is not None:
            killers[word] = killers.get(word, 0) + 1
            if mutant.key in listed:
                stale.append(_stale(op, mutant.key, f"it is told apart now, by {word}"))
        elif mutant.key not in listed:
            survivors.append(_survivor(mutant))
    killed = sum(killers.values())
    return {
        "op": op.name,
        "mutants": len(asked),
        "killed": killed,
        "equivalent": len(asked) - killed - len(survivors),
        "survivors": survivors,
        "stale": stale,
        "killers": killers,
        "seconds": round(time.process_time() - started, 2),
    }


def drawn(mutants, op, sample, seed):
    """``sample`` of ``mutants``, or all of them, in the order of the text."""
    if sample is None or sample >= len(mutants):
        return mutants
    places = random.Random(f"{seed} {op.name}").sample(range(len(mutants)), sample)
    return [mutants[i] for i in sorted(places)]


def mutate_all(ops, *, sample=None, seed=0, processes=1):
    """Yield what ``mutate`` returns for each of ``ops``, in order, computed on ``processes`` cores."""
    if processes == 1:
        for op in ops:
            yield mutate(op, sample=sample, seed=seed)
        return
    with ProcessPoolExecutor(processes) as pool:
        futures = [pool.submit(_mutate_by_name, op.name, sample, seed) for op in ops]
        for future in futures:
            yield future.result()


def _mutate_by_name(name, sample, seed):
    return mutate(REGISTRY[name], sample=sample, seed=seed)


@cache
def equivalents():
    """Listed mutants: op -> key -> reason.  ValueError for an entry that lacks a part or comes twice."""
    listed: dict[str, dict[str, str]] = {}
    for entry in tomllib.loads(LISTED.read_text("utf-8")).get("equivalent", []):
        if set(entry) != {"ops", "reason", "mutants"} or not entry["reason"].strip():
            raise ValueError(f"{LISTED.name}: an entry has ops, reason and mutants, got {sorted(entry)}")
        for op in entry["ops"]:
            for key in entry["mutants"]:
                if key in listed.setdefault(op, {}):
                    raise ValueError(f"{LISTED.name}: {op} has {key!r} twice")
                listed[op][key] = entry["reason"]
    return listed


def _survivor(mutant):
    fields = ("op", "file", "function", "line", "before", "after", "key")
    return {field: getattr(mutant, field) for field in fields}


def _stale(op, key, why):
    return {"op": op.name, "key": key, "why": why}


@contextlib.contextmanager
def _limit(seconds):
    """OutOfTime after ``seconds`` of computing; where there are no such signals, no limit."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
