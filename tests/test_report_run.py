"""The report on any run: how it ended, every metric, every setting; small, whatever the log holds."""

import inspect
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from test_report import decoded
from test_report_access import KINDS, TASK, machine
from test_report_page import Outline

from scratchattn import report
from scratchattn.models import NTM
from scratchattn.parameters import Params
from scratchattn.report import (
    PICTURES,
    Figure,
    Items,
    Section,
    Slider,
    bars,
    curve,
    export_figures,
    heat_map,
    ntm,
    png,
    run_page,
    run_report,
    svg,
)
from scratchattn.report.drawing import framed
from scratchattn.report.export import file_name
from scratchattn.tasks import Copy
from scratchattn.training import Settings, train

SETTINGS = Settings(steps=8, batch=2, log_every=2, eval_every=4, eval_batches=1, eval_batch=2, seed=7)
EVENTS = [
    {"event": "train", "step": 2, "seconds": 0.1, "error": 0.5, "nats": 3.0},
    {"event": "train", "step": 4, "seconds": 0.2, "error": 0.25, "nats": float("inf")},
    {"event": "evaluation", "step": 4, "seconds": 0.3, "error": 0.125},
    {"event": "stage", "step": 4, "seconds": 0.3, "stage": 1},
]


@dataclass(frozen=True)
class Own:
    """A model of somebody's own, with a picture of its own."""

    size: int = 3

    def pictures(self, params, task, rng):
        drawn = bars(params.flat, title="own weights")
        return [Section("My pictures", [Figure(drawn, f"{type(task).__name__} {rng.integers(10) < 10}")])]


@dataclass(frozen=True)
class Plain:
    """A task, or a model, that says nothing about itself."""

    name: str = "plain"


def own(**more):
    params = Params({"weights": (3,)}, dtype="float64")
    run = {"model": Own(), "params": params, "task": Plain(), "settings": SETTINGS, "events": EVENTS}
    return run | more


def words(page):
    return " ".join(" ".join(Outline(page).words).split())


# ---- what it says


def test_a_model_of_ones_own_is_shown_with_its_own_pictures():
    page = run_page(**own())
    told = words(page)
    for fact in ("Own on Plain", "3 parameters", "trained on 8 sequences", "My pictures", "Plain True",
                 "0.125", "size", "learning_rate", "NumPy", "mean over 2 updates", "seed 7"):  # fmt: skip
        assert fact in told, fact
    assert 'aria-label="own weights.' in page and "no pictures of it are known" not in told
    without = words(run_page(**own(model=Plain())))
    assert "What Plain does inside: no pictures of it are known" in without
    assert "there are no parameters to run it with" in words(run_page(**own(params=None)))


def test_pictures_that_are_none_are_refused():
    class Wrong(Own):
        def pictures(self, params, task, rng):
            return ["text"]

    with pytest.raises(TypeError, match=r"Wrong.pictures: must return html.Sections, got str"):
        run_page(**own(model=Wrong()))


@pytest.mark.parametrize(
    "last, note",
    [
        ([], "This run is not finished, or was killed: its log ends at step 4 of 8."),
        ([{"event": "failed", "step": 5, "why": "loss nan"}], "This run failed at step 5 of 8: loss nan."),
        ([{"event": "stopped", "step": 4}], "This run was stopped at step 4 of 8; it can go on."),
        ([{"event": "stopped", "step": 4, "why": "<it>."}], "This run was stopped at step 4 of 8: <it>."),
        ([{"event": "failed", "step": 5}, {"event": "resumed", "step": 4}], "log ends at step 5 of 8."),
        ([{"event": "stopped", "step": 4}, {"event": "done", "step": 8}], None),
    ],
)  # fmt: skip
def test_how_a_run_ended_is_said_first(last, note):
    report = run_report(**own(events=EVENTS + last))
    assert len(report.notes) == (note is not None) and (note is None or report.notes[0].endswith(note))
    page = report.page()
    assert page.count('class="note"') == len(report.notes)
    assert note is None or page.index('class="note"') < page.index("<section>")


def test_every_metric_is_a_curve_of_every_kind_of_event_that_has_it():
    page = run_page(**own(events=[*EVENTS, {"event": "test", "step": 8, "of_step": 4, "error": 0.0625}]))
    drawn = dict(re.findall(r'aria-label="([^".]*)\. ([^"]*)"', page))
    assert drawn["error"].startswith(
        "training: 2 points from 0.25 to 0.5, the last 0.25, evaluation: 1 points"
    )
    assert "test: 1 points" in drawn["error"] and drawn["nats"].startswith("training: 2 points from 3 to 3")
    assert not {"stage", "step", "seconds", "of step"} & set(drawn)
    assert "at the end, on the test split" in page and "0.0625" in page
    none = run_page(**own(events=[{"event": "train", "step": 1, "nats": float("nan")}]))
    assert "nats: no finite number was logged." in none
    assert "No training was logged." in run_page(**own(events=[]))


def test_a_step_that_was_logged_twice_counts_once_and_cut_sequences_are_not_counted():
    again = [*EVENTS, {"event": "resumed", "step": 2}, {"event": "train", "step": 4, "error": 0.75}]
    drawn = run_page(**own(events=again))
    assert "training: 2 points from 0.5 to 0.75" in drawn
    cut = Settings(steps=8, batch=2, truncate=5)
    assert "trained on 4 updates" in words(run_page(**own(settings=cut)))


def test_the_resolved_configuration_and_the_environment_of_the_run_are_shown():
    config = {
        "model": {"name": "m.py:Own", "part": {"deep": 0.5}},
        "device": "cpu",
        "environment": {"machine": "<x>"},
    }
    kept = [
        {"step": 4, "file": "step-4.npz", "sha256": "ab" * 32},
        {"step": 8, "file": "b", "sha256": "cd" * 32},
    ]
    page = run_page(
        **own(config=config, checkpoints=kept, unchecked=["<b>"], sections=[Section("Mine", ["Z"])])
    )
    told = words(page)
    for fact in (
        "m.py:Own",
        "part.deep 0.5",
        "device cpu",
        "machine <x>",
        "ab" * 32,
        "step-4.npz",
        "<b>",
        "Mine",
    ):
        assert fact in told, fact
    assert "CPython" not in told  # that would be where the page was made
    assert "step-9.npz" in words(run_page(**own(checkpoints=["step-9.npz"])))


def test_what_was_not_checked_is_one_list_at_the_end():
    extra = [Section("What was not checked", [Items(["mine"])])]
    report = run_report(**own(sections=extra, unchecked=["yours"]))
    assert [section.title for section in report.sections].count("What was not checked") == 1
    assert (
        report.sections[-1].blocks[0].items[0] == "mine"
        and report.sections[-1].blocks[0].items[-1] == "yours"
    )


def test_the_examples_in_the_docs_run_and_its_table_names_what_there_is(capsys):
    text = (Path(__file__).parent.parent / "docs" / "reports.md").read_text(encoding="utf-8")
    shown, own = re.findall("```python\n(.*?)```", text, re.DOTALL)
    exec(shown, {})
    told = capsys.readouterr().out
    assert told.startswith("(11, 2, 8) (11, 8) (11, 1, 8, 8)\n") and "onwards" in told
    found = {}
    exec(own, found)
    assert found["text"].count('class="frame"') == 8 and "Each row sums to one." in found["text"]
    for name, given in re.findall(r"`(\w+)\(([^)]*)\)`", text):
        known = inspect.signature(getattr(report, name)).parameters
        assert given == "..." or set(given.replace(", ...", "").split(", ")) <= set(known), name


# ---- the NTM


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_run_of_an_ntm_shows_its_memory_through_time(kind):
    model, params = machine(**kind)
    report = run_report(model=model, params=params, task=TASK, settings=SETTINGS, events=EVENTS)
    (slider,) = [b for s in report.sections for b in s.blocks if isinstance(b, Slider)]
    assert [label for label, _ in slider.frames] == [str(i) for i in range(9)] and slider.start == 4
    rng = np.random.default_rng([7, 30_000])
    seen = ntm.access(model, params, TASK, 4, int(rng.integers(10_000)))
    rows, _ = ntm.used_rows(seen)
    low, high = min(0.0, seen.memory[:, rows].min()), seen.memory[:, rows].max()
    wanted = heat_map(seen.memory[5][rows], low=low, high=high).marks[0].pixels
    first, _, second, _ = [m.pixels for m in slider.frames[5][1].marks if hasattr(m, "pixels")]
    assert np.array_equal(first, wanted) and slider.frames[5][1].title == "after step 5, memory, heads"
    heads = np.concatenate([seen.read_weightings, seen.write_weightings], axis=1)[5][:, rows].T
    wanted = heat_map(heads, low=0, high=1).marks[0].pixels
    assert np.array_equal(second, wanted)
    assert "Lengths beyond 1 to 4." in report.sections[-1].blocks[0].items
    assert "NTM" in PICTURES and "seed" in report.lead


def test_the_memory_that_is_shown_is_that_of_the_model():
    model, params = machine(dtype="float64", engine="reference")
    seen = ntm.access(model, params, TASK, 3, seed=1)
    batch = Copy(3, 3, 3).batch(np.random.default_rng(1), 1, model.dtype)
    for steps in (1, 4, 7):
        _, state = model.sequence(params, model.initial_state(params, 1), batch.inputs[:steps])
        assert np.array_equal(state.memory[0], seen.memory[steps - 1])


def test_parameters_that_compute_no_numbers_are_said_to_and_not_drawn():
    model, params = machine()
    with params.overwriting() as flat:
        flat[...] = np.nan
    told = words(run_page(model=model, params=params, task=TASK, settings=SETTINGS, events=EVENTS))
    assert "not finite from step 0 on; nothing is drawn" in told and "Where the heads look" not in told


def test_tasks_without_lengths_or_bits_are_shown_too():
    @dataclass(frozen=True)
    class Other:
        inputs: int = 4
        outputs: int = 3
        metric = "question_error"

        def batch(self, rng, size, dtype):
            return Copy(3, 2, 2).batch(rng, size, dtype)

        def metrics(self, outputs, batch):
            return {"question_error": np.ones(batch.size)}

    model, params = machine()
    page = run_page(model=model, params=params, task=Other(), settings=SETTINGS, events=EVENTS)
    assert 'aria-label="step 2" checked' in page  # the last before anything is asked for
    told = words(page)
    assert "One sequence" in told and "Where the heads look" in told
    assert "Diagonality" not in told and "bits wrong" not in told


@pytest.mark.parametrize("logged, longest", [(120, 20), (100_000, 120)])
def test_the_page_of_a_full_sized_ntm_stays_below_500_kilobytes(rng, logged, longest):
    """With noise everywhere, which does not compress: the most that there can be to draw."""
    task = Copy(longest=longest)
    model = NTM(task.inputs, task.outputs)
    params = model.init(rng)
    seen = ntm.access(model, params, task, longest, 0)
    noise = lambda held, names: {name: rng.random(getattr(held, name).shape) for name in names}
    names = ("memory", "outputs", "reads", "write_vectors", "read_weightings", "write_weightings")
    told = seen.told._replace(**noise(seen.told, ("gate", "shift")))
    seen = seen._replace(told=told, **noise(seen, names))
    names = ("wrong_bits", "nats", "learning_rate")
    events = [
        {"event": "train", "step": 500 * (i + 1), "seconds": 0.1, **dict(zip(names, row))}
        for i, row in enumerate(rng.random((logged, 3)))
    ]
    settings = Settings(steps=500 * logged)
    drawn = ntm.ntm_sections(model, params, task, seen)
    page = run_page(model=model, params=params, task=task, settings=settings, events=events, drawn=drawn)
    assert 100_000 < len(page.encode()) < 500_000
    assert 10 < page.count('class="frame"') <= 48


# ---- files


def test_every_picture_is_exported_as_svg_and_png(tmp_path):
    slider = Slider([("0", heat_map(np.eye(2), title="a")), ("1", heat_map(np.eye(3), title="b 1"))])
    sections = [Section("Één & <two>", [Figure(curve([1, 2], title="c/..")), slider]), Section("", ["text"])]
    written = export_figures(sections, tmp_path / "new" / "folder")
    names = ["01-een-two-c", "02-een-two-a-step-0", "03-een-two-b-1"]
    assert [path.name for path in written] == [f"{n}.{kind}" for n in names for kind in ("svg", "png")]
    assert sorted(written) == sorted((tmp_path / "new" / "folder").iterdir())
    drawn = framed(sections[0].blocks[0].drawing)
    root = ElementTree.fromstring(written[0].read_text())
    assert (
        root.get("viewBox") == f"0 0 {drawn.width} {drawn.height}"
        and svg.render(drawn, paper=True) in written[0].read_text()
    )
    assert np.array_equal(decoded(written[1].read_bytes()), png.render(drawn))
    dark = export_figures(sections, tmp_path / "dark", "png", theme="dark", scale=1)
    assert len(dark) == 3 and decoded(dark[0].read_bytes()).mean() < 100
    with pytest.raises(ValueError, match=r"formats must be of \['svg', 'png'\], got 'jpg'"):
        export_figures(sections, tmp_path, ["jpg"])
    assert file_name("///") == "picture" and len(file_name("long " * 99)) <= 80


def test_a_report_can_be_exported_as_it_is(tmp_path):
    model, params = machine()
    _, events = train(model, TASK, SETTINGS, quiet=True)
    report = run_report(model=model, params=params, task=TASK, settings=SETTINGS, events=events)
    written = export_figures(report, tmp_path, "svg")
    assert len(written) > 15 and any("write-weightings" in path.name for path in written)
    assert report.notes == ()
