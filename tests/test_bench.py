"""The verb bench: its cases, its peers, what it refuses; every peer computes what we compute."""

import json
import sys
from types import SimpleNamespace

import pytest

from scratchattn import cli
from scratchattn.cli import bench, timing

CASES = ("attention", *["dnc_copy"] * 3, "lstm", "ntm_copy", "trainer_overhead")
KEYS = {"case", "batch", "ours_ms", "peer", "rounds", "setting", "dtype", "device", "engine", "ours_mib"}
OF_PEERS = {"peer_ms", "ratio", "gradient_error", "peer_mib", "peer_version"}


def ran(capsys, *words):
    """The one JSON object that bench prints."""
    assert cli.main(["bench", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_all_cases_are_timed_alone(capsys, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")  # and yet there is one
    report = ran(capsys, "--peers", "none", "--rounds", "1", "--batch", "1")
    assert set(report["machine"]) == {"blas", "blas_architecture", "threads"}
    assert report["machine"]["threads"] == 1
    assert [row["case"] for row in report["rows"]] == list(CASES)
    for row in report["rows"]:
        assert set(row) == KEYS and row["peer"] is None and row["ours_ms"] > 0 and row["batch"] == 1
    assert [row["engine"] for row in report["rows"]] == ["reference", *["fused"] * 6]


def test_the_trainer_makes_the_step_that_the_bare_one_makes(capsys):
    (row,) = ran(capsys, "trainer_overhead", "--rounds", "2")["rows"]
    assert set(row) == KEYS | OF_PEERS and row["peer"] == "bare_step" and row["gradient_error"] == 0.0
    assert row["ratio"] == pytest.approx(row["peer_ms"] / row["ours_ms"])


@pytest.mark.peers
def test_beside_pytorch(capsys):
    pytest.importorskip("torch")
    (row,) = ran(capsys, "ntm_copy", "--peers", "torch_eager", "--rounds", "1", "--batch", "2")["rows"]
    assert row["peer"] == "torch_eager" and row["ratio"] == pytest.approx(row["peer_ms"] / row["ours_ms"])
    assert row["gradient_error"] < 1e-12


@pytest.mark.peers
@pytest.mark.parametrize(
    "name, peer",
    [
        ("ntm_copy", "jax_jit"),
        ("dnc_copy", "torch_eager"),
        ("dnc_copy", "jax_jit"),
        ("lstm", "torch_library"),
        ("lstm", "jax_jit"),
        ("attention", "torch_eager"),
        ("attention", "torch_library"),
        ("attention", "jax_jit"),
    ],
)
def test_the_gradients_of_a_peer_are_ours(name, peer):
    pytest.importorskip(peer.partition("_")[0])
    case = bench._load(name)
    case.peer(peer, 1)()
    assert 0 < case.gradient_error(peer, 2) < 1e-12


@pytest.mark.parametrize(
    "words, told",
    [
        (["ntm_cpoy"], "no case is called 'ntm_cpoy'; did you mean ntm_copy or dnc_copy?"),
        (["--peers", "lisp"], "no peer is called 'lisp'"),
        (["lstm", "--peers", "torch_eagre"], "no peer is called 'torch_eagre'; did you mean torch"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--batch", "2", "--batch", "-1"], "--batch must be at least 1, got -1"),
        (["--published", "pytorch_ntm"], "--published takes NAME=DIR, NAME one of pytorch_dnc, pytorch_ntm"),
        (
            ["--published", "ntm=."],
            "--published takes NAME=DIR, NAME one of pytorch_dnc, pytorch_ntm, got 'ntm=.'",
        ),
        (["--published", "pytorch_ntm=/nowhere"], "there is no directory /nowhere"),
    ],
)
def test_used_wrongly(words, told, capsys):
    assert cli.main(["bench", *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.peers
def test_a_clone_goes_with_its_case(capsys, tmp_path):
    pytest.importorskip("torch")
    assert cli.main(["bench", "lstm", "--published", f"pytorch_ntm={tmp_path}"]) == 2
    assert "--published pytorch_ntm goes with the case ntm_copy" in capsys.readouterr().err


def chosen(case, peers=None):
    found = bench._peers({"made_up": case}, SimpleNamespace(peers=peers, published=[]))
    return [peer.name for peer in found["made_up"]]


def made_up(**changed):
    """A case of three peers, of which one fails."""

    def peer(name, batch):
        return {"bare_one": lambda: None, "bare_two": lambda: None, "torch_compile": lambda: 1 / 0}[name]

    facts = {
        "BATCHES": (3,), "PEERS": ("bare_one", "bare_two", "torch_compile"), "SETTING": {}, "ENGINE": "fused",
        "ours": lambda batch: lambda: None, "peer": peer, "gradient_error": lambda name, batch: 0.5,
    }  # fmt: skip
    return SimpleNamespace(**facts | changed)


def test_who_is_compared(monkeypatch):
    monkeypatch.setattr(bench, "_installed", lambda library: True)
    monkeypatch.setattr(bench.metadata, "version", lambda library: "1.0")
    assert chosen(made_up()) == ["bare_one", "bare_two"]  # what compiles for minutes is asked for by name
    assert chosen(made_up(), "none") == []
    assert chosen(made_up(), "torch") == ["torch_compile"]
    assert chosen(made_up(), "bare_two,torch_compile") == ["bare_two", "torch_compile"]
    assert chosen(made_up(PEERS=("bare_one", "jax_jit"))) == ["bare_one", "jax_jit"]


def test_a_library_that_is_not_there(monkeypatch):
    monkeypatch.setattr(bench, "_installed", lambda library: False)
    assert chosen(made_up(PEERS=("bare_one", "jax_jit"))) == ["bare_one"]
    with pytest.raises(bench.verb.Misuse, match=r"the peer jax needs jax: install scratchattn\[peers\]"):
        chosen(made_up(PEERS=("jax_jit",)), "jax")


def test_a_peer_that_does_not_run_is_left_out_unless_it_was_asked_for(capsys):
    def peer(name, asked):
        made = made_up()
        return bench.Peer(name, lambda batch: made.peer(name, batch), lambda batch: 0.5, None, asked)

    rows = bench._case("made_up", made_up(), 3, [peer("bare_one", False), peer("torch_compile", False)], 1)
    (row,) = rows
    assert row["peer"] == "bare_one" and row["gradient_error"] == 0.5 and row["batch"] == 3
    assert "the peer torch_compile does not run here: ZeroDivisionError" in capsys.readouterr().err
    with pytest.raises(bench.verb.Failed, match="the peer torch_compile does not run here"):
        list(bench._case("made_up", made_up(), 3, [peer("torch_compile", True)], 1))


def test_a_case_of_several_settings_is_a_row_for_each(capsys):
    seen = []

    def ours(batch, setting):
        return lambda: seen.append(setting["N"])

    case = made_up(ours=ours, SETTINGS=({"N": 1, "W": 3}, {"N": 2, "W": 3}))
    error = lambda batch, setting: float(setting["N"])
    step = lambda batch, setting: lambda: seen.append(-setting["N"])
    peer = bench.Peer("bare_one", step, error, None, True)
    wishes = SimpleNamespace(batch=None, rounds=1)
    rows = list(bench._rows({"made_up": case}, {"made_up": [peer]}, wishes))
    assert [row["setting"]["N"] for row in rows] == [row["gradient_error"] for row in rows] == [1, 2]
    assert set(seen) == {1, -1, 2, -2}
    capsys.readouterr()
    report = {"machine": {"blas": "", "blas_architecture": "", "threads": 1}, "rows": rows}
    bench._say(report, SimpleNamespace(say=print))
    assert ["made_up N 1", "made_up N 2"] == [line[:11] for line in capsys.readouterr().out.splitlines()[2:]]


def test_they_take_turns_and_the_median_counts(monkeypatch):
    turns, clock = [], iter([9, 9, 9, 9, 0, 1, 0, 2, 0, 5, 0, 4, 0, 3, 0, 6])
    monkeypatch.setattr(timing.time, "process_time", lambda: next(clock))
    found = timing.interleaved({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 3)
    assert turns == ["a", "b"] * 5 and found == {"a": 3, "b": 4}


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is read from /proc")
def test_the_peak_is_what_a_step_takes():
    found = timing.peak_mib(lambda: bytearray(64 * 2**20).find(b"x"))
    if found is None:
        pytest.skip("/proc/self/clear_refs cannot be written here")
    assert 60 < found < 80


# ---- benchmarks/memory_costs.py -------------------------------------------------


@pytest.fixture
def costs():
    return bench._load("memory_costs")


def test_costs_are_no_case(capsys):
    assert cli.main(["bench", "memory_costs", "--json"]) == 2
    assert "no case is called 'memory_costs'" in capsys.readouterr().err


@pytest.mark.parametrize("law", [(3.0, 0.2, 1.0), (0.0, 0.7, 1.0), (15.0, 0.01, 1.2), (9.0, 2e-4, 2.0)])
def test_a_law_is_found_again(costs, law):
    a, b, p = law
    sizes = (21, 41, 81, 161, 321, 641)
    *found, misfit = costs.law(sizes, [a + b * size**p for size in sizes])
    assert found == pytest.approx(law, rel=1e-3, abs=1e-3) and misfit < 1e-4
    assert costs.law(sizes, [2.0, 1.0, 2.0, 1.0, 2.0, 1.0])[3] > 0.3


@pytest.mark.parametrize("kind", ["ntm", "dnc"])
def test_costs_are_those_of_training_steps(costs, kind, monkeypatch):
    """Both sizes of each kind go through; what takes more memory says so."""
    monkeypatch.setattr(costs, "TIMES", [(kind, "rows", (4, 8, 16, 32), {"batch": 1, "steps": 3})])
    (row,) = costs.times(rounds=1)
    assert list(row["ms"]) == [4, 8, 16, 32] and row["case"] == kind and row["by"] == "rows"
    step = costs.stepping("ours", kind, batch=2, steps=5, rows=4)
    assert list(step()[1]) == ["wrong_bits"]
    small, large = {"batch": 8, "steps": 9, "rows": 16}, {"batch": 32, "steps": 41, "rows": 64}
    skip_without_marks()
    assert costs.measured_here("ours", kind, large) > costs.measured_here("ours", kind, small) >= 0


def skip_without_marks():
    if timing.peak_mib(bytearray) is None:
        pytest.skip("/proc/self/clear_refs cannot be written here")


@pytest.mark.parametrize("drawn", [False, True])
def test_lengths_are_drawn_where_it_is_said(costs, drawn, monkeypatch):
    seen = []
    monkeypatch.setattr(costs, "update", lambda *given: seen.append(given[4].inputs.shape[0]))
    step = costs.stepping("ours", "ntm", batch=2, steps=9, rows=4, drawn=drawn)
    for _ in range(30):
        step()
    assert set(seen) == ({3, 5, 7, 9} if drawn else {9})


@pytest.mark.peers
def test_the_memory_of_a_peer_is_that_of_a_process_of_its_own(costs, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(costs, "PROCESSES", 1)
    monkeypatch.setattr(costs, "MEMORY", [("dnc", {"batch": 4, "steps": 9, "rows": 16, "drawn": True})])
    skip_without_marks()
    (row,) = costs.memory()
    assert row["ours_mib"] > 0 and row["ratio"] == row["torch_eager_mib"] / row["ours_mib"]
