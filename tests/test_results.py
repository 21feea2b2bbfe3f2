"""The table of results: rows are commands and defaults, measurements are lines, the README is the data."""

import json
import math
import shlex
from pathlib import Path

import pytest

from gradcheck.errors import quoted
from scratchattn import cli
from scratchattn.cli import demo
from scratchattn.models import NTM
from scratchattn.report.learning_curves import learning_curves
from scratchattn.report.results import MARKS, keep, measured, summary, table
from scratchattn.tasks import Copy
from scratchattn.training import Settings, configure
from scratchattn.training.rows import Row, rows

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "results"
SMALL = ("steps=20", "rows=8", "width=4", "units=8", "bits=2", "longest=3", "eval_batches=1", "eval_batch=4")


def row(**changed):
    facts = {"set": SMALL, "seeds": 3, "target": 1.0, "published": "none", "source": ""}
    return Row("small", "ntm", "copy", **facts | changed)


def fact(seed, value, **changed):
    return {
        "seed": seed, "value": value, "seconds": 2.0 + seed, "command": row().command(seed), "config": {},
        "environment": {}, "commit": None,
    } | changed  # fmt: skip


def ran(capsys, *words):
    """The rows that results prints."""
    assert cli.main(["results", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["rows"]


def only(monkeypatch, tmp_path, made):
    """``scratchattn results small`` runs in a clone that has measured nothing."""
    found = {"ntm_copy": rows()["ntm_copy"], made.name: made}
    monkeypatch.setattr("scratchattn.training.rows.rows", lambda: found)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "docs" / "results" / "ntm_copy.jsonl").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "docs" / "results"


def test_the_readme_is_the_data():
    text = (ROOT / "README.md").read_text("utf-8")
    lines = list(table([summary(each, measured(each, FOLDER)) for each in rows().values()]))
    assert text == quoted(text, lines, MARKS)


@pytest.mark.parametrize("name", rows())
def test_every_row_is_measured_with_the_settings_that_it_has(name):
    found = summary(rows()[name], measured(rows()[name], FOLDER))
    assert found["missing"] == [] and found["stale"] == []
    assert set(found) >= {"name", "command", "metric", "published", "source", "seeds", "median", "worst",
                          "failed", "seconds"}  # fmt: skip


@pytest.mark.parametrize("name", rows())
def test_the_command_of_a_row_has_its_settings(name):
    each = rows()[name]
    words = each.words()
    assert words[:3] == ["train", each.model, each.task]
    wished = [wish for option, wish in zip(words[3::2], words[4::2], strict=True) if option == "--set"]
    typed = configure(*words[1:3], wishes=wished)
    assert typed == configure(each.model, each.task, wishes=each.set)
    assert shlex.split(each.command(7)) == ["scratchattn", *words, "--seed", "7"]


def test_the_first_row_of_a_model_and_a_task_is_what_training_them_does():
    assert rows()["ntm_copy"].words() == ["train", "ntm", "copy"]
    found = configure("ntm", "copy")
    assert found.settings == Settings(steps=60_000, eval_every=10_000, log_every=1_000)
    assert found.model == NTM(9, 8) and found.task == Copy()
    assert configure("dnc", "copy").settings == Settings()  # nobody has measured that one
    assert configure("ntm", "copy", file={"training": {"steps": 9}}).settings.steps == 9
    assert configure("ntm", "copy", file={"training": {"steps": 9}}, wishes=["steps=8"]).settings.steps == 8


def test_a_row_can_refuse_to_be_the_default(monkeypatch):
    reduced, whole = row(default=False), row(set=("steps=7",))
    monkeypatch.setattr("scratchattn.training.rows.rows", lambda: {"reduced": reduced, "whole": whole})
    assert configure("ntm", "copy").settings == Settings(steps=7)
    assert whole.words() == ["train", "ntm", "copy"] and "--set" in reduced.words()
    with pytest.raises(TypeError, match="Row: default must be True or False, got 'no'"):
        row(default="no")


def test_the_small_row_is_the_demonstration():
    small = rows()["ntm_copy_small"]
    found = configure(small.model, small.task, wishes=small.set)
    assert found.task == Copy(**demo.TASK) and found.model == NTM(7, 6, **demo.MODEL)
    assert found.settings == Settings(**demo.TRAINING) and small.target == demo.TARGET


def test_median_worst_failed_missing():
    facts = {k: fact(k, v) for k, v in enumerate([0.5, None, 0.25, 3.0])}
    found = summary(row(seeds=5), facts)
    assert found["seeds"] == [0, 1, 2, 3] and found["missing"] == [4]
    assert found["median"] == 1.75 and found["worst"] == math.inf and found["failed"] == [1, 3]
    assert found["seconds"] == 3.5 and found["metric"] == "wrong_bits"
    assert "| 1.75 | no number | 4 | 1, 3 |" in list(table([found]))[2]


def test_where_more_is_better_the_worst_is_the_least(monkeypatch):
    monkeypatch.setattr(Copy, "larger_is_better", True, raising=False)
    found = summary(row(), {k: fact(k, v) for k, v in enumerate([0.5, 2.0, 4.0])})
    assert (found["median"], found["worst"], found["failed"]) == (2.0, 0.5, [0])


def test_a_value_that_is_no_number_has_failed():
    assert summary(row(), {0: fact(0, math.nan)})["failed"] == [0]


def test_a_row_that_nobody_measured():
    found = summary(row(), {})
    assert found["median"] is None and found["worst"] is None and found["missing"] == [0, 1, 2]
    assert "| - | - | 0 | none | - |" in list(table([found]))[2]


def test_what_was_measured_with_other_settings_does_not_count():
    config = json.loads(json.dumps(configure("ntm", "copy", wishes=SMALL, seed=1).as_dict()))
    other = config | {"training": config["training"] | {"steps": 21}}
    found = summary(row(), {0: fact(0, 0.5, config=other), 1: fact(1, 0.25, config=config)})
    assert found["stale"] == [0] and found["seeds"] == [1] and found["missing"] == [0, 2]


def test_a_note_stands_below_the_table():
    found = summary(row(), {0: fact(0, 0.5, note="by hand"), 1: fact(1, 0.5, note="by hand")})
    assert list(table([found]))[3:] == ["", "small: by hand."]


def test_a_seed_that_is_measured_again_takes_the_place_of_the_old_one(tmp_path):
    for each in (fact(2, 1.0), fact(0, 0.5), fact(2, 0.25)):
        keep(row(), tmp_path, each)
    found = measured(row(), tmp_path)
    assert list(found) == [0, 2] and found[2]["value"] == 0.25


@pytest.mark.parametrize(
    "line, told",
    [
        ("{", "line 2: no measurement"),
        ("3", "line 2: no measurement"),
        ('{"seed": 1}', "line 2: a measurement needs value, seconds"),
        (json.dumps(fact(0, 0.5)), "line 2: seed 0 is there already"),
    ],
)
def test_a_damaged_line_is_named(line, told, tmp_path):
    keep(row(), tmp_path, fact(0, 0.5))
    with open(tmp_path / "small.jsonl", "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=told):
        measured(row(), tmp_path)


def test_the_missing_seeds_are_run_and_kept(tmp_path, monkeypatch, capsys):
    folder = only(monkeypatch, tmp_path, row(seeds=2, target=100.0))
    keep(row(), folder, fact(0, 0.5))
    status = cli.main(["results", "small", "--run", "--out", "runs"])
    said = capsys.readouterr().out
    assert "small: missing" not in said and said.count("small, seed 1: ") == 1 == said.count("small, seed ")
    (found,) = ran(capsys, "small")
    assert status == 0 and found["seeds"] == [0, 1] and found["missing"] == [] and found["failed"] == []
    kept = measured(row(), folder)[1]
    assert kept["command"] == row().command(1) and kept["seconds"] > 0 and len(kept["sha256"]) == 64
    assert kept["config"]["training"]["seed"] == 1 and "NumPy" in kept["environment"]
    (log,) = (tmp_path / "runs" / "small").rglob("log.jsonl")
    tests = [event for event in map(json.loads, log.read_text().splitlines()) if event["event"] == "test"]
    assert [event["wrong_bits"] for event in tests] == [kept["value"]]
    (folder / "small.jsonl").unlink()  # what has run already is not run again, and yet kept
    before = log.read_bytes()
    assert cli.main(["results", "small", "--run", "--seeds", "1", "--out", "runs"]) == 0
    assert measured(row(), folder)[1]["sha256"] == kept["sha256"] and log.read_bytes() == before


def test_several_seeds_are_kept_once_each(tmp_path, monkeypatch, capsys):
    folder = only(monkeypatch, tmp_path, row(seeds=2, target=-1.0))
    assert cli.main(["results", "small", "--run", "--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert said.count("small, seed 0: ") == said.count("small, seed 1: ") == 1
    assert list(measured(row(), folder)) == [0, 1] and "| 2 | 0, 1 |" in said


def test_a_named_seed_that_fails_is_shown_and_is_the_exit_status(tmp_path, monkeypatch, capsys):
    folder = only(monkeypatch, tmp_path, row(set=(*SMALL, "optimiser=sgd", "learning_rate=1e38", "clip=0")))
    assert cli.main(["results", "small", "--run", "--seeds", "1", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["rows"]
    assert found["seeds"] == found["failed"] == [1] and found["worst"] is None and found["missing"] == [0, 2]
    assert "at step" in measured(row(), folder)[1]["why"]


@pytest.mark.parametrize(
    "words, told",
    [
        (["ntm_cpoy"], "no row is called 'ntm_cpoy'; did you mean ntm_copy"),
        (["--seeds", "1"], "--seeds, --jobs and --out go with --run"),
        (["--run", "--seeds", "1-"], "seeds must be numbers and spans like 0-9"),
    ],
)
def test_used_wrongly(words, told, capsys):
    assert cli.main(["results", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_run_that_did_not_end_by_itself_is_no_failed_seed(tmp_path, monkeypatch, capsys):
    folder = only(monkeypatch, tmp_path, row())

    def killed(directory, *rest):
        (directory / "log.jsonl").write_text('{"event": "train", "step": 10}\n')
        return -9, ""

    monkeypatch.setattr("scratchattn.training.workers._train", killed)
    assert cli.main(["results", "small", "--run", "--seeds", "0"]) == 1
    assert "--seed 0: killed by SIGKILL, twice" in capsys.readouterr().err
    assert measured(row(), folder) == {}


def test_the_table_is_written_between_its_marks(tmp_path, monkeypatch, capsys):
    folder = only(monkeypatch, tmp_path, row())
    keep(row(), folder, fact(0, 0.5))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    assert cli.main(["results", "small", "--render"]) == 0
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| small | `scratchattn train ntm copy --set steps=20" in text
    readme.write_text("no marks\n")
    assert cli.main(["results", "--render"]) == 2 and readme.read_text() == "no marks\n"


def test_a_measurement_keeps_the_way_and_curves_draw_its_median_and_its_worst(tmp_path, monkeypatch, capsys):
    made = row(set=(*SMALL, "log_every=5"), target=100.0)
    only(monkeypatch, tmp_path, made)
    found = ran(capsys, "small", "--run", "--curves", str(tmp_path / "drawn"))
    assert found[0]["missing"] == []
    facts = measured(made, tmp_path / "docs" / "results")
    for fact in facts.values():
        assert [step for step, _ in fact["curve"]] == [5, 10, 15, 20]
    assert "small, median of 3" in (tmp_path / "drawn" / "copy.svg").read_text()


def test_learning_curves_are_the_median_and_the_worst_of_what_the_seeds_did(monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "scratchattn.report.learning_curves.curve", lambda series, **words: drawn.update(series)
    )
    config = {"training": {"batch": 4}}
    ways = ([[10, 3.0], [20, 2.0]], [[10, 5.0], [20, 1.0]], [[10, 4.0]])  # the last one failed
    learning_curves("copy", {"small": [fact(s, 0.0, config=config, curve=way) for s, way in enumerate(ways)]})
    assert drawn["small, median of 3"] == ([40, 80], [4.0, 2.0])
    x, worst = drawn["small, worst"]
    assert x == [40, 80] and worst[0] == 5.0 and math.isnan(worst[1])
    with pytest.raises(ValueError, match="no measurement of copy has a curve"):
        learning_curves("copy", {"small": [fact(0, 0.0)]})
