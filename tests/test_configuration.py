"""Settings from TOML, from config.json, from wishes: who wins, what is refused, what a text becomes."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchattn import cli
from scratchattn.cli import catalogue
from scratchattn.models import MODELS
from scratchattn.tasks import TASKS
from scratchattn.training import Settings, configure
from scratchattn.training.curriculum import stages, tasks_of
from scratchattn.training.wishes import convert, field_types

TABLES = """
[model]
name = "ntm"
rows = 7
controller = "feedforward"

[task]
name = "copy"
bits = 3
together = false

[training]
steps = 1_000
learning_rate = 3e-3
clip = 5
stop_at = 0.5
seed = 4
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(TABLES)
    return path


def test_a_file_sets_all_three(file):
    found = configure(file=file)
    assert found.names == {"model": "ntm", "task": "copy"} and found.device == "cpu"
    assert (found.model.rows, found.model.controller, found.model.inputs) == (7, "feedforward", 4)
    assert (found.task.bits, found.task.together) == (3, False)
    settings = found.settings
    assert (settings.steps, settings.learning_rate, settings.stop_at, settings.seed) == (1000, 3e-3, 0.5, 4)
    assert settings.clip == 5.0 and type(settings.clip) is float  # a whole number where a float is meant


def test_a_later_source_wins(file):
    assert configure("ntm", "copy").settings.seed == 0
    assert configure(file=file).settings.seed == 4
    assert configure(file=file, wishes=["seed=5"]).settings.seed == 5
    assert configure(file=file, wishes=["seed=5"], seed=6).settings.seed == 6
    assert configure(file=file, wishes=["rows=8", "rows=9"]).model.rows == 9
    assert configure(task="repeat_copy", file={"model": {"name": "ntm"}, "task": {"name": "copy"}}).names[
        "task"
    ] == "repeat_copy"  # fmt: skip


def test_what_nobody_says_is_the_default():
    assert configure("ntm", "copy", file={}) == configure("ntm", "copy")


def test_a_runs_config_is_a_file_too(file, tmp_path):
    found = configure(file=file)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(found.as_dict() | {"environment": {"numpy": "2"}}))
    assert configure(file=path) == found and configure(file=path).digest() == found.digest()
    assert configure(file=path, wishes=["rows=8"]).digest() != found.digest()
    assert configure(file=json.loads(path.read_text())) == found


def test_the_command_reads_it(file, tmp_path, capsys):
    quick = [
        f"--set={word}" for word in ("steps=2", "longest=2", "units=4", "eval_batches=1", "eval_batch=2")
    ]
    words = ["train", "--config", str(file), *quick, "--out", str(tmp_path / "run"), "--json"]
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["training"]["learning_rate"] == 3e-3 and config["training"]["steps"] == 2
    words[2], words[-2] = str(tmp_path / "run" / "config.json"), str(tmp_path / "again")
    shas = []
    for _ in range(2):
        assert cli.main(words) == 0
        shas.append(json.loads(capsys.readouterr().out)["sha256"])
        words[-2] = str(tmp_path / "once more")
    assert shas[0] == shas[1]


@pytest.mark.parametrize(
    "line, told",
    [
        ("row = 7", "settings.toml: no setting of the model is called 'row'; did you mean rows"),
        ("rows = 'many'", "settings.toml: model.rows must be int, got 'many'"),
        ("rows = true", "settings.toml: model.rows must be int, got True"),
        ("rows = 7.0", "settings.toml: model.rows must be int, got 7.0"),
        ("rows = [7]", "settings.toml: model.rows must be int, got [7]"),
        ("rows = 0", "NTM: rows must be at least 1, got 0"),
        ("engine = 3", "settings.toml: model.engine must be str, got 3"),
        ("[extra]", "settings.toml: no table is called 'extra'; there are model, task, training"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(line, told, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(f"[model]\nname = 'ntm'\n{line}\n")
    with pytest.raises((ValueError, TypeError)) as refusal:
        configure(task="copy", file=path)
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    "made", [*MODELS.values(), *TASKS.values(), Settings], ids=lambda made: made.__name__
)
def test_every_setting_is_explained(made):
    for field in catalogue.settings(made):
        assert field["docstring"], field["name"]


def test_explain_shows_them(capsys):
    assert cli.main(["explain", "training", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["settings"]
    assert [each["name"] for each in shown] == [field.name for field in dataclasses.fields(Settings)]
    assert cli.main(["explain", "ntm"]) == 0
    assert "  rows: int = 128\n      Rows of the memory.\n" in capsys.readouterr().out


# ---- what a text becomes ----------------------------------------------------


@given(st.integers())
def test_a_whole_number_comes_back(value):
    assert convert("x", int, str(value)) == value == convert("x", int, value)
    assert convert("x", int, f" {value:_} ") == value
    assert convert("x", int | None, str(value)) == value


@given(st.floats(allow_nan=False))
def test_a_float_comes_back_to_the_last_bit(value):
    found = convert("x", float, repr(value))
    assert found == value and math.copysign(1, found) == math.copysign(1, value)
    assert convert("x", float | None, repr(value)) == value


@given(st.text())
def test_a_text_is_taken_as_it_is_and_a_number_is_none(text):
    assert convert("x", str, text) == text
    if text.strip().lower() not in ("true", "false"):
        with pytest.raises(ValueError, match="x must be bool, got"):
            convert("x", bool, text)


@given(st.lists(st.integers()))
def test_a_tuple_is_written_with_commas_or_as_a_list(values):
    for written in (", ".join(map(str, values)), str(tuple(values)), values):
        assert convert("x", tuple[int, ...], written) == tuple(values)


@given(st.sampled_from([int, float, bool]), st.sampled_from([None, "none", "None"]))
def test_none_is_taken_where_it_is_allowed(kind, none):
    assert convert("x", kind | None, none) is None
    with pytest.raises(ValueError, match="x must be"):
        convert("x", kind, none)


@given(st.sampled_from(["true", "True", "TRUE", " false ", "False"]))
def test_a_truth(text):
    assert convert("x", bool, text) is (text.strip().lower() == "true")
    with pytest.raises(ValueError, match="x must be int, got"):
        convert("x", int, text)


def test_a_truth_is_no_number_and_a_number_no_truth():
    for kind, value in ((int, True), (float, False), (bool, 1), (int, 1.0), (str, 1)):
        with pytest.raises(ValueError, match="x must be"):
            convert("x", kind, value)


@given(st.dictionaries(st.integers(0, 10**6), st.integers(1, 50), max_size=5))
def test_a_curriculum_comes_back(chosen):
    text = "; ".join(f"{step}: longest={value}" for step, value in sorted(chosen.items()))
    assert stages(text) == [(step, {"longest": str(value)}) for step, value in sorted(chosen.items())]
    task = TASKS["copy"](longest=60)
    found = tasks_of(task, text)
    assert found[0][0] == 0 and [each.longest for step, each in found if step in chosen] == [
        chosen[step] for step in sorted(chosen)
    ]


def test_the_types_of_settings_are_known():
    for made in (*MODELS.values(), *TASKS.values(), Settings):
        assert set(field_types(made)) == {field.name for field in dataclasses.fields(made) if field.init}
