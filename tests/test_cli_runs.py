"""The verbs that take time, with little of it: train, demo."""

import json
import re
import sys
from pathlib import Path

import pytest

from gradcheck.evidence import CHECKS, check
from scratchattn import REGISTRY, cli
from scratchattn.cli import demo

SMALL = [f"--set={word}" for word in ("steps=20", "rows=8", "width=4", "units=8", "bits=2", "longest=3")]
SMALL += ["--set=eval_batches=1", "--set=eval_batch=4", "--set=log_every=10"]


def ran(capsys, *words):
    """Exit status and the one JSON object that a command prints."""
    status = cli.main([*words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_train_leaves_a_run(tmp_path, capsys):
    status, report = ran(
        capsys, "train", "ntm", "copy", "--seed", "3", "--out", str(tmp_path / "run"), *SMALL
    )
    assert status == 0
    assert set(report) == {"run", "steps", "metrics", "seconds", "sha256"}
    assert report["steps"] == 20 and set(report["metrics"]) == {"wrong_bits"}
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert found == {"config.json", "log.jsonl", "checkpoints", "report.html"}
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["training"]["seed"] == 3 and config["model"]["rows"] == 8 and config["task"]["bits"] == 2
    assert "://" not in (tmp_path / "run" / "report.html").read_text().replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    "model, words",
    [
        ("ntm", ["write weightings", "adds", "8 rows"]),
        ("dnc", ["read weightings, head 3", "usage", "allocate ", "onwards "]),
        ("rnn", ["targets", "outputs"]),
    ],
)
def test_show_draws_in_the_terminal_what_is_on_the_page(tmp_path, capsys, model, words):
    settings = SMALL if model != "rnn" else [w for w in SMALL if "rows" not in w and "width" not in w]
    assert ran(capsys, "train", model, "copy", "--out", str(tmp_path), *settings)[0] == 0
    assert cli.main(["show", str(tmp_path), "--terminal"]) == 0
    told = capsys.readouterr().out
    sentence = re.search(r"One sequence of length \d+ \(seed \d+\): \d+ of \d+ bits wrong\.", told)[0]
    assert sentence in (tmp_path / "report.html").read_text() and "\033" not in told
    for word in words:
        assert word in told, word
    status, report = ran(capsys, "show", str(tmp_path), "--terminal")
    assert status == 0 and set(report) == {"run", "report", "pictures"}
    (tmp_path / "checkpoints" / "step-00000020.npz").unlink()
    assert cli.main(["show", str(tmp_path), "--terminal"]) == 2
    assert "no checkpoint yet" in capsys.readouterr().err


def test_eval_needs_no_log_and_takes_the_last_where_no_best_was_found_yet(tmp_path, capsys):
    words = ["--set=checkpoint_every=10", "--set=select=best", *SMALL]
    assert ran(capsys, "train", "ntm", "copy", "--out", str(tmp_path), *words)[0] == 0
    (tmp_path / "log.jsonl").write_text("what\n{}\n")
    (tmp_path / "checkpoints" / "step-00000020.npz").unlink()
    status, report = ran(capsys, "eval", str(tmp_path))
    assert (status, report["step"]) == (0, 10) and report["metrics"]["wrong_bits"] > 0


def test_train_does_not_write_over_a_run(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_text("{}\n")
    assert cli.main(["train", "ntm", "copy", "--out", str(tmp_path), *SMALL]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (tmp_path / "log.jsonl").read_text() == "{}\n"


def test_a_demo_that_does_not_learn_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "TRAINING", demo.TRAINING | {"steps": 20, "eval_every": 20})
    monkeypatch.setattr(demo, "_check", lambda screen: {"failed": 0, "rows": []})
    status, report = ran(capsys, "demo", "--out", str(tmp_path))
    assert status == 1
    assert set(report) == {"checks", "training", "report", "seconds"}
    assert report["training"]["wrong_bits"] > report["training"]["target"]
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_demo_takes_a_free_directory_and_can_be_measured_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "TRAINING", demo.TRAINING | {"steps": 2, "eval_batches": 1, "eval_batch": 2})
    monkeypatch.setattr(demo, "_check", lambda screen: {"failed": 0, "rows": []})
    monkeypatch.chdir(tmp_path)
    reports = [ran(capsys, "demo")[1]["report"] for _ in range(3)]
    assert [str(path.parent) for path in map(Path, reports)] == ["demo", "demo-2", "demo-3"]
    status, report = ran(capsys, "eval", "demo-2")
    assert status == 0 and report["step"] == 2


def test_the_demo_names_what_it_did_not_check(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "TRAINING", demo.TRAINING | {"steps": 20, "eval_every": 20})
    monkeypatch.setattr(demo, "_check", lambda screen: {"failed": 0, "rows": []})
    cli.main(["demo", "--out", str(tmp_path)])
    told = capsys.readouterr().out
    assert told.count("Not checked:") >= 3 and "write weightings" in told and "Diagonality" in told


def test_the_demo_needs_no_extra(monkeypatch):
    """Also the condition numbers of layer norm's cases, which come from 60 digits where mpmath is there."""
    monkeypatch.setitem(sys.modules, "mpmath", None)
    results = check(REGISTRY["layer_norm"], checks=[c for c in CHECKS if c.__name__ in demo.FAST])
    assert len(results) > 50 and all(r["ok"] for r in results)
