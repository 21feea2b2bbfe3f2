"""Does the evidence notice?  Every mutant of an op is held against the op itself.

How, says ``judge``.  Those that cannot die, because they compute the same, stand in
``equivalent_mutants.toml`` with a reason each.
"""

import random
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

from scratchattn.op import REGISTRY

from .judge import Judge

LISTED = Path(__file__).with_name("equivalent_mutants.toml")


def mutate(op, *, sample=None, seed=0, wholly=False, listed=None):
    """Judge the mutants of ``op``, or ``sample`` of them: a dictionary.

    A mutant that is ``listed`` as equivalent, by default in the project's own list, is asked what is asked
    quickly, which is what tells nearly all; if ``wholly``, everything that the others are asked.

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
        word = judge.killer(mutant, wholly=wholly or mutant.key not in listed)
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


def mutate_all(ops, *, processes=1, **how):
    """Yield what ``mutate`` returns for each of ``ops``, in order, computed on ``processes`` cores."""
    if processes == 1:
        for op in ops:
            yield mutate(op, **how)
        return
    with ProcessPoolExecutor(processes) as pool:
        futures = [pool.submit(_mutate_by_name, op.name, how) for op in ops]
        for future in futures:
            yield future.result()


def _mutate_by_name(name, how):
    return mutate(REGISTRY[name], **how)


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
