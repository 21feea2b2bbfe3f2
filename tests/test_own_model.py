"""A model and a task in a file of one's own: trained, interrupted, resumed, measured, shown and swept."""

import ast
import json
import os
import re
import signal
from pathlib import Path

from scratchattn import cli
from scratchattn.training import configure, read_log

ROOT = Path(__file__).resolve().parents[1]
OWN, SETTINGS = ROOT / "examples" / "own_model.py", ROOT / "examples" / "own_model.toml"
NAMES = [f"{OWN}:GRU", f"{OWN}:Parity"]
QUICK = [
    "--config",
    str(SETTINGS),
    "--set",
    "steps=12",
    "--set",
    "checkpoint_every=5",
    "--set",
    "eval_every=6",
]


def ran(capsys, *words, status=0):
    """The one JSON object that a command prints."""
    assert cli.main([*map(str, words), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_model_and_task_are_short():
    for each in ast.parse(OWN.read_text("utf-8")).body:
        if isinstance(each, ast.ClassDef):
            assert each.end_lineno - each.lineno < 60


def test_the_file_says_how(capsys):
    """Every command in its docstring is one that the parser knows, and every option."""
    lines = re.findall(
        r"^    scratchattn (.+?)(?:   .*)?$", ast.get_docstring(ast.parse(OWN.read_text())), re.M
    )
    assert {line.split()[0] for line in lines} == {"train", "eval", "show", "sweep"}
    for line in lines:
        cli.parser("scratchattn").parse_args(line.split())


def test_train_interrupt_resume_eval_show(tmp_path, capsys, monkeypatch):
    whole = ran(capsys, "train", *NAMES, *QUICK, "--seed", 3, "--out", tmp_path / "whole")
    kind, calls = type(configure(*NAMES).model), []
    run = kind.sequence

    def ask(self, *given):
        calls.append(1)
        if len(calls) == 9:  # the try-out runs it twice, every step once
            os.kill(os.getpid(), signal.SIGINT)
        return run(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(kind, "sequence", ask)
        assert cli.main(["train", *NAMES, *QUICK, "--seed", "3", "--out", str(tmp_path / "broken")]) == 130
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.endswith(f"and saved; go on with: scratchattn train --resume {tmp_path / 'broken'}")
    assert 0 < read_log(tmp_path / "broken" / "log.jsonl")[-1]["step"] < 12
    resumed = ran(capsys, "train", "--resume", tmp_path / "broken")
    assert resumed["sha256"] == whole["sha256"] and resumed["steps"] == 12
    found = ran(capsys, "eval", tmp_path / "broken")
    assert found["metrics"] == resumed["metrics"]
    longer = ran(capsys, "eval", tmp_path / "broken", "--set", "longest=30")
    assert longer["metrics"]["wrong_bits"] > found["metrics"]["wrong_bits"]
    shown = ran(capsys, "show", tmp_path / "broken", "--export", tmp_path / "pictures")
    assert "What the units hold" in Path(shown["report"]).read_text("utf-8")
    assert {Path(name).suffix for name in shown["pictures"]} == {".svg", ".png"}


def test_sweep(tmp_path, capsys):
    words = ["sweep", *NAMES, *QUICK, "--over", "units=4,6", "--seeds", "0,1", "--out", tmp_path / "sweep"]
    found = ran(capsys, *words)
    assert [row["state"] for row in found["rows"]] == ["done"] * 4
    assert {row["settings"]["units"] for row in found["rows"]} == {4, 6}
    assert len({row["sha256"] for row in found["rows"]}) == 4


def test_it_learns():
    from scratchattn.training import train

    found = configure(*NAMES, file=SETTINGS, wishes=["longest=5", "steps=400"])
    _, events = train(found.model, found.task, found.settings, quiet=True)
    assert events[-2]["event"] == "test" and events[-2]["wrong_bits"] < 0.2


def test_a_file_that_has_changed_is_another_run(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(OWN.read_text("utf-8"))
    words = [f"{file}:GRU", f"{file}:Parity", *QUICK]
    ran(capsys, "train", *words, "--out", tmp_path / "run")
    file.write_text(OWN.read_text("utf-8") + "\n")
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 2
    assert "the file of the model has changed since" in capsys.readouterr().err
    ran(capsys, "eval", tmp_path / "run")  # measuring asks only that the settings are the same
