"""The verbs that take time, with little of it: train, demo."""

import json
import sys

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


def test_train_does_not_write_over_a_run(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_text("{}\n")
    assert cli.main(["train", "ntm", "copy", "--out", str(tmp_path), *SMALL]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (tmp_path / "log.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize(
    "words, told",
    [
        (["ntmm", "copy"], "no model is called 'ntmm'; did you mean ntm?"),
        (["ntm", "cpoy"], "no task is called 'cpoy'; did you mean copy?"),
        (["ntm", "copy", "--set", "step=5"], "no setting is called 'step'; did you mean steps"),
        (["ntm", "copy", "--set", "steps"], "--set takes NAME=VALUE, got 'steps'"),
        (["ntm", "copy", "--set", "steps=many"], "steps must be int, got 'many'"),
        (["ntm", "copy", "--set", "steps=0"], "Settings: steps must be at least 1, got 0"),
        (["ntm", "copy", "--set", "controller=gru"], "NTM: controller must be one of"),
    ],
)
def test_train_used_wrongly(words, told, tmp_path, capsys):
    assert cli.main(["train", *words, "--out", str(tmp_path / "run")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_demo_that_does_not_learn_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "TRAINING", demo.TRAINING | {"steps": 20, "eval_every": 20})
    monkeypatch.setattr(demo, "_check", lambda screen: {"failed": 0, "rows": []})
    status, report = ran(capsys, "demo", "--out", str(tmp_path))
    assert status == 1
    assert set(report) == {"checks", "training", "report", "seconds"}
    assert report["training"]["wrong_bits"] > report["training"]["target"]
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


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
