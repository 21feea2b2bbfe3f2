"""Mutation testing itself: what nobody checks survives, what somebody does dies, and all comes to an end."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gradcheck import mutation
from gradcheck.evidence import check
from gradcheck.mutants import Text
from gradcheck.question import Question
from scratchattn import REGISTRY, cli
from scratchattn.cli import lookup

TOY = """
import math

import numpy as np

from scratchattn.op import Case

signature = "a(n), b(n) -> out(n)"


def toy_forward(a, b, *, most=None):
    if most is not None and not most > 0:
        raise ValueError(f"toy: most must be positive, got {{most}}")
    capped = a if most is None else _capped(a, most)
    return capped / b, (a, b, capped, most)


def toy_backward(saved, dout):
    a, b, capped, most = saved
    da = dout / b
    if most is not None:
        da = np.where(a.real > most, 0, da)
    return da, -dout * capped / (b * b)


def toy_loops(a, b, *, most=None, math=math):
    return [(x if most is None or x <= most else most) / y for x, y in zip(a, b)]


def _capped(a, most):
    {first}
    return np.where(a.real > most, most, a)


def cases(rng):
    a, b = rng.normal(size=(2, 5)) + [[0.5], [3.0]]
    {cases}
"""
WEAK = "yield Case('no cap', (a, b))"  # so nothing tells what a cap would do
STRONG = f"""{WEAK}
    yield Case('a cap', (a, b), {{{{'most': 0.5}}}}, margin=1e-3)
    yield Case('a cap above one', (2 * a, b), {{{{'most': 1.5}}}}, margin=1e-3)
    yield Case('at the cap', (a * 0 + 0.5, b), {{{{'most': 0.5}}}}, margin=0)
""".format()


@pytest.fixture
def toy(tmp_path):
    """Make the op ``toy`` with some cases, and with a first line in its private function."""

    def make(cases, first="pass"):
        file = tmp_path / "toy.py"
        file.write_text(TOY.format(cases=cases, first=first))
        return lookup.op_in_file(file, "toy")

    return make


def keys(result):
    return {survivor["key"] for survivor in result["survivors"]}


def test_strong_cases_leave_nothing(toy):
    result = mutation.mutate(toy(STRONG), listed={})
    assert keys(result) == set() and result["stale"] == []
    assert result["killed"] == result["mutants"] > 50
    assert {"values", "adjoint", "refusals"} <= result["killers"].keys()


def test_weak_cases_leave_what_they_cannot_tell(toy):
    found = keys(mutation.mutate(toy(WEAK), listed={}))
    assert {
        "_capped: a.real > most => a.real <= most",
        "_capped: np.where(a.real > most, most, a) => a",
        "toy_backward: np.where(a.real > most, 0, da) => da",
        "toy_backward: np.where(a.real > most, 0, da) => np.where(a.real > most, 1, da)",
    } <= found
    assert {"_capped", "toy_forward", "toy_backward"} == {key.partition(":")[0] for key in found}
    assert len(found) == 25 and not any("dout" in key for key in found)  # what stands outside is told


def test_a_survivor_says_where_it_is(toy):
    survivors = mutation.mutate(toy(WEAK), listed={})["survivors"]
    one = next(s for s in survivors if s["after"] == "a.real <= most" and s["function"] == "_capped")
    line = Path(one["file"]).read_text().splitlines()[one["line"] - 1]
    assert line == "    return np.where(a.real > most, most, a)" and one["before"] == "a.real > most"


def test_what_is_listed_is_no_survivor_and_must_be_of_use(toy):
    reasons = {
        "_capped: total = 0 => total = 1": "read by nobody",
        "toy_backward: dout / b => dout * b": "wrongly listed",
        "toy_backward: dout / c => dout": "gone",
    }
    result = mutation.mutate(toy(STRONG, first="total = 0"), listed=reasons)
    assert result["survivors"] == [] and result["equivalent"] == 1
    assert {entry["key"]: entry["why"] for entry in result["stale"]} == {
        "toy_backward: dout / b => dout * b": "it is told apart now, by adjoint",
        "toy_backward: dout / c => dout": "there is no such mutant",
    }


def test_a_listed_mutant_is_asked_everything_if_that_is_wanted(toy):
    """What only refusals tell is not asked of it in passing."""
    key = "toy_forward: most > 0 => most >= 0"
    found = [mutation.mutate(toy(STRONG), listed={key: "wrong"}, wholly=w)["stale"] for w in (False, True)]
    assert found == [[], [{"op": "toy", "key": key, "why": "it is told apart now, by refusals"}]]


def test_a_mutant_is_not_late_where_the_op_itself_is():
    """On a slow machine the limit is many times what the op takes there; but there is one."""

    def answers(version):
        until = time.process_time() + 0.1
        while version != "endless" and time.process_time() < until:
            pass
        while version == "endless":
            pass

    question = Question(answers, 0.01, "own", __file__)
    assert question.word("slow", None) is None
    assert Question(answers, 0.01, "quick", __file__).word("endless", None) == "time"


def test_a_statement_that_no_case_runs_is_not_asked_about(toy):
    """Of what is not run nothing is computed; each mutant still says which statement it changes."""
    judge = mutation.Judge(toy(WEAK))
    mutants = list(judge.text.mutants())
    lines = {m.lines for m in mutants if m.function == "_capped"}
    assert lines and all(judge._quick[0][0]._misses(some) for some in lines)
    run = {m.lines for m in mutants if m.function == "toy_forward" and "capped / b" in m.before}
    assert run and not any(judge._quick[0][0]._misses(some) for some in run)


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_what_survives_has_been_asked_everything(toy, monkeypatch, changed):
    """Whatever the order; what takes other bits to fail is left out only where all bits are the same."""
    made, asked = [], []
    make = mutation.Judge._question

    def making(judge, *about):
        made.append(make(judge, *about))
        return made[-1]

    monkeypatch.setattr(mutation.Judge, "_question", making)
    judge = mutation.Judge(toy(STRONG))
    bits, mutant = judge._bits, next(judge.text.mutants())
    truths = [question for _, question in judge._accuracy]
    if_changed = {question for stage in judge._if_changed for question in stage}.union(truths)
    assert len(judge._if_changed) == 9 and all(judge._if_changed) and truths and len(bits) < len(made) / 9

    def word(question, *about):
        asked.append(question)
        return "bits" if question in bits[:changed] else None

    monkeypatch.setattr(Question, "word", word)
    assert judge.killer(mutant) is None
    assert len(asked) == len(set(asked)) and set(asked) == set(made) - (set() if changed else if_changed)


def test_a_mutant_that_never_ends_is_stopped(toy):
    loop = "total = 0\n    while total < 3:\n        total += 1"
    result = mutation.mutate(toy(STRONG, first=loop), listed={})
    assert result["killers"]["time"] >= 1
    assert "_capped: while total < 3: => pass" in keys(result)


def test_what_is_refused_is_asked_in_the_same_words():
    """``clip`` refuses bounds in the wrong order; a mutant that takes them dies by that alone."""
    judge = mutation.Judge(REGISTRY["clip"])
    killers = {
        mutant.key: judge.killer(mutant) for mutant in judge.text.mutants() if "raise" in mutant.before
    }
    assert killers and set(killers.values()) == {"refusals"}


def test_nothing_is_changed_but_the_mutant():
    op = REGISTRY["multiply"]
    file = sys.modules[op.forward.__module__].__file__
    before = Path(file).read_text(), op.forward, op.backward
    mutation.mutate(op)
    assert (Path(file).read_text(), op.forward, op.backward) == before and REGISTRY["multiply"] is op
    assert all(result["ok"] for result in check(op))


def test_the_properties_look_at_the_mutant():
    op = REGISTRY["softmax"]
    text = Text(op)
    made = text.op_of(text.functions())
    assert made.forward is not op.forward and made.signature == op.signature
    claims = [claim.__globals__["softmax_forward"] for claim in made.properties]
    assert len(claims) == len(op.properties) and set(claims) == {made.forward}


def test_a_file_that_has_changed_since_is_refused(toy):
    op = toy(STRONG)
    file = Path(op.forward.__wrapped__.__code__.co_filename)
    file.write_text(file.read_text().replace("return capped / b", "return capped * b"))
    with pytest.raises(ValueError, match="toy: its text as it is now does not do the same, by values"):
        mutation.mutate(op)


def test_equivalents_are_well_formed_and_of_ops_that_exist():
    listed = mutation.equivalents()
    assert listed.keys() <= REGISTRY.keys()
    for op, reasons in listed.items():
        known = {mutant.key for mutant in Text(REGISTRY[op]).mutants()}
        assert reasons.keys() <= known, f"{op}: {reasons.keys() - known}"
        assert all(len(reason.split()) > 3 for reason in reasons.values())


@pytest.mark.parametrize("name", ["softmax", "clip_cotangent"])
def test_small_ops_leave_nothing(name):
    result = mutation.mutate(REGISTRY[name])
    assert result["survivors"] == [] and result["stale"] == []


def test_the_command(capsys, toy):
    assert cli.gradcheck_main(["mutate", "negate", "relu", "--jobs", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"mutants", "killed", "equivalent", "survivors"} <= report.keys()
    assert report["mutants"] == report["killed"] == sum(op["mutants"] for op in report["ops"])
    assert cli.gradcheck_main(["mutate", "relu", "--jobs", "1", "--sample", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mutants"] == 3
    file = sys.modules[toy(WEAK).forward.__wrapped__.__module__].__file__
    assert cli.gradcheck_main(["mutate", f"{file}:toy"]) == 1
    out = capsys.readouterr().out
    assert "- a.real > most" in out and "+ a.real <= most" in out and "SURVIVED" in out
    assert cli.gradcheck_main(["mutate", "reluu"]) == 2
    assert "did you mean relu" in capsys.readouterr().err


def test_a_sample_is_the_same_each_time_and_another_with_another_seed():
    op = REGISTRY["sum"]
    first = mutation.mutate(op, sample=5, seed=1)["mutants"]
    assert first == 5
    drawn = [
        {m.key for m in mutation.drawn(list(Text(op).mutants()), op, sample=5, seed=seed)}
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_wide_errors_are_no_excuse():
    """NaN where the op has a number is told apart, and a number where it has NaN."""
    from gradcheck.trial import _equals

    known = np.array([1.0, np.nan])
    assert _equals(np.array([1.0, np.nan]), known, 1e-12)
    assert not _equals(np.array([1.0, 2.0]), known, 1e-12)
    assert not _equals(np.array([np.nan, np.nan]), known, 1e-12)
    assert not _equals(np.array([np.nan, 1.0]), np.array([1.0, 1.0]), 1e-12)
    assert not _equals(np.array([1.0]), known, 1e-12)
