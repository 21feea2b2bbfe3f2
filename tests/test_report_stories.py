"""Stories with questions as pictures: which lines are read for an answer, added up as is said."""

import re

import numpy as np
import pytest
from test_babi import FIRST, SECOND
from test_report_page import Outline

from scratchattn.models import DNC, NTM, RNN
from scratchattn.nn.ntm_convention import NTMConvention
from scratchattn.ops.memory_write import memory_write
from scratchattn.report import (
    colours,
    dnc_access,
    html,
    memory_access,
    ntm,
    ntm_pictures,
    run_page,
    story_pictures,
)
from scratchattn.report.drawing import Line, Pixels, Text
from scratchattn.report.last_writes import reads_of_parts, reads_of_steps
from scratchattn.report.pictures import in_terminal, pictures
from scratchattn.report.recording import record
from scratchattn.report.story_reads import story_told
from scratchattn.tasks import Babi, BabiStories
from scratchattn.tasks.babi import WORDS
from scratchattn.tasks.stories import STORIES
from scratchattn.training import Settings

MODELS = {
    "DNC": (DNC, {"read_heads": 2}),
    "DNC of Csordas": (DNC, {"read_heads": 3, "write_heads": 2, "convention": "csordas"}),
    "NTM": (NTM, {"read_heads": 2}),
    "NTM that writes first": (NTM, {"write_heads": 2, "convention": "jingweiz"}),
    "RNN": (RNN, {}),
    "RNN in both directions": (RNN, {"both_directions": True}),
}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """A store with task 1, whose stories ask twice, and 8, whose answers have two words."""
    folder = tmp_path / "babi" / "en"
    folder.mkdir(parents=True)
    for number, text in ((1, FIRST), (8, SECOND)):
        (folder / f"qa{number}_some-title_train.txt").write_text(12 * text)
    monkeypatch.setenv("SCRATCHATTN_DATA", str(tmp_path))


def machine(name, task):
    kind, more = MODELS[name]
    sizes = {"units": 4} if kind is RNN else {"rows": 6, "width": 4, "units": 5}
    model = kind(task.inputs, task.outputs, **sizes, **more)
    params = model.init(np.random.default_rng(1))
    with params.overwriting() as flat:
        flat *= 2
    return model, params


def looked(task, length=None, seed=0, rows=6, heads=2):
    """An Access of a story of ``task`` by a DNC, to be filled with weightings of one's own."""
    model = DNC(task.inputs, task.outputs, rows=rows, width=4, units=5, read_heads=heads)
    return dnc_access.dnc_access(model, model.init(np.random.default_rng(0)), task, length, seed)


# ---- the attribution


@pytest.mark.parametrize("after", [True, False])
def test_shares_are_the_chances_of_the_last_write(rng, after):
    """By all outcomes of all writes, one number at a time."""
    steps, rows, lines = 5, 2, 3
    line_of = np.array([0, 0, 1, 1, 2])
    writing, reading = rng.random((steps, 2, rows)) / 2, rng.random((steps, 3, rows)) / rows
    seen = type("Seen", (), {"write_weightings": writing, "read_weightings": reading})
    found = reads_of_parts(seen, line_of, lines, after)
    for t in range(steps):
        last = t + 1 if after else t
        for r in range(3):
            wanted = np.zeros(lines + 2)
            for row in range(rows):
                for outcome in np.ndindex(*[2] * 2 * last):
                    came = np.reshape(outcome, (last, 2))
                    chance = np.prod(np.where(came, writing[:last, :, row], 1 - writing[:last, :, row]))
                    written = np.flatnonzero(came.any(axis=1))
                    by = line_of[written[-1]] if len(written) else lines
                    wanted[by] += chance * reading[t, r, row]
            wanted[lines + 1] = 1 - reading[t, r].sum()
            assert np.allclose(found[t, r], wanted, atol=1e-12)
    assert np.allclose(found.sum(axis=-1), 1, atol=1e-12)
    steps_of = reads_of_steps(seen, after)
    for line in range(lines):
        assert np.allclose(steps_of[..., line_of == line].sum(axis=-1), found[..., line], atol=1e-12)


@pytest.mark.parametrize("after", [True, False])
def test_where_writing_erases_all_what_is_read_is_the_sum_of_what_was_added(rng, after):
    steps, rows, width = 7, 4, 3
    writing, reading = rng.random((steps, 1, rows)), rng.random((steps, 2, rows))
    added, memory, read = rng.normal(size=(steps, 1, width)), np.zeros((rows, width)), []
    for t in range(steps):
        before, memory = memory, memory_write.forward(memory, writing[t], np.ones((1, width)), added[t])[0]
        read.append(reading[t] @ (memory if after else before))
    seen = type("Seen", (), {"write_weightings": writing, "read_weightings": reading})
    assert np.allclose(reads_of_steps(seen, after) @ added[:, 0], read, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in MODELS if "RNN" not in name])
@pytest.mark.parametrize(
    "task", [BabiStories("1,7,19"), BabiStories("16", blanks=2), Babi("8", "en")], ids=str
)
def test_nothing_that_is_read_is_lost(name, task):
    model, params = machine(name, task)
    look = dnc_access.dnc_access if isinstance(model, DNC) else memory_access.access
    seen = look(model, params, task, None, 3)
    story = story_told(seen, task)
    assert len(story.words) == len(story.line_of) == len(seen.inputs)
    reads = reads_of_parts(seen, story.line_of, len(story.lines), True)
    assert np.allclose(reads.sum(axis=-1), 1, atol=1e-5) and (reads > -1e-5).all()
    assert np.allclose(reads[..., :-1].sum(axis=-1), seen.read_weightings.sum(axis=-1), atol=1e-5)
    for t, line in enumerate(story.line_of):  # what is not told yet is not read
        assert (reads[t, :, line + 1 : -2] == 0).all()


def test_a_machine_that_reads_the_supporting_line_is_seen_to():
    task = Babi("1", "en")
    seen = looked(task)
    story = story_told(seen, task)
    writing, reading = np.zeros((len(story.words), 1, 6)), np.zeros((len(story.words), 2, 6))
    for line in range(4):
        writing[np.flatnonzero(story.line_of == line)[1], 0, line] = 1  # at its second word, a row of its own
    for asked in story.questions:
        reading[asked.steps, 0, asked.supports[0]] = 1
        reading[asked.steps, 1] = [0.25, 0.25, 0, 0, 0.125, 0]
    seen = seen._replace(write_weightings=writing, read_weightings=reading)
    reads = reads_of_parts(seen, story.line_of, 4, True)
    assert reads[story.questions[1].steps[0]].tolist() == [
        [0, 1, 0, 0, 0, 0],
        [0.25, 0.25, 0, 0, 0.125, 0.375],
    ]
    said = story_pictures._in_words(story, reads)
    assert "Of the read weight 0.75 lies on lines of the story, 0.62 on those that support" in said
    assert (
        "over heads and 2 questions." in said
    )  # (1 + 0.25) / 2; and half of (1 + 0.5) / 2, of two statements
    assert "told before, 0.38 would lie on those." in said
    text = "\n".join(story_pictures.text(seen, task, True, 60))
    assert text.count("     *  1 ") == text.count("     *  2 ") == 1 and "0.62 ####" in text
    assert "rows never written 0.06 " in text and "no row             0.19 " in text
    sections = story_pictures.opening(seen, task, True)
    (figure,) = [block for block in sections[1].blocks if isinstance(block, html.Figure)]
    cells = next(mark for mark in figure.drawing.marks if isinstance(mark, Pixels))
    wanted = [[0.625, 0.125], [0.125, 0.625], [0, 0], [0, 0], [0.0625, 0.0625], [0.1875, 0.1875]]
    assert np.array_equal(cells.pixels, colours.paint(np.array(wanted)))
    frames = [mark for mark in figure.drawing.marks if isinstance(mark, Line)]
    places = {(min(line.x) - cells.x, min(line.y) - cells.y) for line in frames}
    assert len(frames) == 4 and places == {(2, 2), (2 + cells.width / 2, 2 + cells.height / 6)}
    (slider,) = [block for block in sections[1].blocks if isinstance(block, html.Slider)]
    assert [label for label, _ in slider.frames] == ["3", "4"]
    first = next(mark for mark in slider.frames[0][1].marks if isinstance(mark, Pixels)).pixels
    assert np.array_equal(first[:, 0], colours.paint(np.array([1.0, 0, 0, 0, 0])))
    assert np.array_equal(first[:, 1], colours.paint(np.array([0.25, 0.25, 0, 0.125, 0.375])))


def test_what_a_machine_writes_at_the_answer_counts_only_if_it_reads_after():
    task = Babi("1", "en")
    seen = looked(task)
    story = story_told(seen, task)
    writing, reading = np.zeros((len(story.words), 1, 6)), np.zeros((len(story.words), 2, 6))
    step = story.questions[0].steps[0]
    writing[step, 0, 5] = reading[step, :, 5] = 1
    seen = seen._replace(write_weightings=writing, read_weightings=reading)
    before, after = (reads_of_parts(seen, story.line_of, 4, way)[step, 0] for way in (False, True))
    assert before.tolist() == [0, 0, 0, 0, 1, 0] and after.tolist() == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "settings, last",
    [
        ({}, False),
        ({"heads": "write_first"}, True),
        ({"heads": "read_last"}, True),
        ({"heads": "in_turn"}, False),
        ({"heads": "in_turn", "turns": "rw"}, False),
        ({"heads": "in_turn", "turns": "wrw"}, False),
        ({"heads": "in_turn", "turns": "wwr"}, True),
    ],
    ids=str,
)
def test_it_is_known_which_conventions_read_after_they_write(settings, last):
    assert ntm_pictures._reads_last(NTMConvention(**settings)) == last


@pytest.mark.parametrize("number", STORIES)
@pytest.mark.parametrize("blanks", [0, 3])
def test_the_story_is_the_one_that_is_run_with_its_answers_and_supports(number, blanks):
    task = BabiStories(str(number), blanks)
    model, params = machine("RNN", task)
    seen, _ = record(model, params, task, None, 8)
    story = story_told(seen, task)
    assert [entry.text for entry in seen.story.entries] == story.lines
    for asked, question in zip(story.questions, seen.story.questions, strict=True):
        assert tuple(asked.answer) == question.answer and len(asked.steps) == len(asked.answer)
        assert [i + 1 for i in asked.supports] == list(question.supports)
        assert (story.line_of[asked.steps] == asked.line).all() and question.number == asked.line + 1
        assert {story.words[step] for step in asked.steps} == {"-"}
        right = seen.targets[asked.steps].argmax(axis=1)
        assert np.array_equal(asked.chances, seen.outputs[asked.steps, right])
        assert [sorted(WORDS)[k] for k in seen.outputs[asked.steps].argmax(axis=1)] == asked.said
    assert (
        sorted(step for asked in story.questions for step in asked.steps)
        == np.flatnonzero(seen.asked).tolist()
    )
    assert sum(word == "" for word in story.words) == blanks * len(story.questions)
    said = [question.said != question.answer for question in story.questions]
    assert seen.metrics["question_error"] == pytest.approx(np.mean(said))


# ---- pages


@pytest.mark.parametrize("name", MODELS)
def test_every_line_and_every_answer_is_on_the_page(name):
    task = BabiStories("2", blanks=1, questions=2)
    model, params = machine(name, task)
    page = run_page(model=model, params=params, task=task, settings=Settings(seed=4), events=[])
    outline = Outline(page)
    told, drawn = " ".join(" ".join(outline.words).split()), re.findall(r'aria-label="([^"]*)"', page)
    rng = np.random.default_rng([4, 30_000])
    story = task.example(np.random.default_rng(int(rng.integers(10_000))))
    assert outline.open == [] and len(page) < 1_000_000
    reads, asked = "RNN" not in name, story.questions[:2]
    for entry in story.entries[: asked[1].number]:
        assert f"{entry.number} {entry.text}" in told
        assert (f">{entry.number}  {entry.text}</text>" in page) == reads
    assert f"{asked[1].number + 1} {story.entries[asked[1].number].text}" not in told
    for question in asked:
        assert f"{question.number} {question.text} {' '.join(question.answer)}" in told
    assert ("on those that support the answer, on average over heads and 2" in told) == reads
    words = re.findall(r"\w+|[^\w\s]", " ".join(entry.text for entry in story.entries).lower())
    named = re.findall(r"after step (\d+), (\w+)", told)
    until = words.index("?")  # thereafter come steps that are no words
    early = [(int(step), word) for step, word in named if int(step) < until]
    assert (len(early) > 3) == reads and all(words[step] == word for step, word in early)
    assert "One copy" not in told and not any(label.startswith("targets") for label in drawn)
    rng = np.random.default_rng([4, 30_000])
    text = in_terminal(model, params, task, rng, colour=False, width=90)
    for entry in story.entries[: asked[1].number]:
        assert f"{entry.number:3} {entry.text}" in text
    assert ("     *" in text) == reads and text.count(": said ") == 2


def test_of_a_long_story_the_lines_that_matter_are_shown():
    task = BabiStories("3")
    seed = next(s for s in range(99) if len(task.example(np.random.default_rng(s)).entries) > 70)
    seen = looked(task, None, seed)
    story = story_told(seen, task)
    reads = reads_of_parts(seen, story.line_of, len(story.lines), True)
    shown = story_pictures._chosen(story, reads)
    assert len(shown) == story_pictures.MOST_LINES and (np.diff(shown) > 0).all()
    for asked in story.questions:
        assert {asked.line, *asked.supports} <= set(shown)
        own = story_pictures._chosen(story, reads, asked)
        assert {asked.line, *asked.supports} <= set(own) and own.max() == asked.line
    read = story_pictures._mean_read(asked, reads).mean(axis=0)
    hidden = [i for i in range(asked.line) if i not in own]
    others = [i for i in own if i not in (asked.line, *asked.supports)]
    assert hidden and read[hidden].max() <= read[others].min()
    sections = story_pictures.opening(seen, task, True)
    assert f"40 of {len(story.lines)} lines are shown." in sections[0].blocks[1].caption
    (words,) = sections[2].blocks
    named = [mark.text for mark in words.drawing.marks if isinstance(mark, Text) and mark.up]
    assert len(named) <= 2 * (story_pictures.MOST_WORDS + 1)


def test_word_by_word_stands_what_is_asked_for():
    task = Babi("8", "en")
    seen = looked(task)
    (figure,) = story_pictures.opening(seen, task, True)[2].blocks
    upright = [mark.text for mark in figure.drawing.marks if isinstance(mark, Text) and mark.up]
    words = "mary got the milk there . mary got the football there . what is mary carrying ?".split()
    told = [word for word in upright if word != "row"]
    assert told == 2 * [*words, "= milk", "= football"]
    assert "lines 1 to 3 of 3" in figure.caption
    pixels = [mark.pixels for mark in figure.drawing.marks if isinstance(mark, Pixels)][::2]
    assert pixels[0].shape[1] == pixels[1].shape[1] == len(words) + 2
    rows = [int(m.text) for m in figure.drawing.marks if isinstance(m, Text) and m.anchor == "end"]
    mean = seen.read_weightings.mean(axis=1).T[rows[: len(rows) // 2]]
    assert np.array_equal(pixels[1], colours.paint(mean.astype(float)))


def test_a_story_whose_files_are_gone_is_said_to_be(tmp_path, monkeypatch):
    task = Babi("1", "en")
    model, params = machine("DNC", task)
    monkeypatch.setenv("SCRATCHATTN_DATA", str(tmp_path / "elsewhere"))
    (section,) = pictures(model, params, task, np.random.default_rng(0))
    assert "Nothing is drawn of it: babi is not in" in section.blocks[0]
    assert "Nothing is drawn" in in_terminal(model, params, task, np.random.default_rng(0), width=80)


def test_without_supports_no_share_is_claimed():
    task = Babi("1", "en")
    seen = looked(task)
    story = story_told(seen, task)
    story = story._replace(questions=[asked._replace(supports=[]) for asked in story.questions])
    reads = reads_of_parts(seen, story.line_of, len(story.lines), True)
    assert story_pictures._in_words(story, reads) == "No lines are named that support an answer."


def test_an_example_is_held_out_where_any_is():
    kept, none = Babi("1", "en"), Babi("1", "en", held_out=0)
    stories = kept._stories("validation")
    assert all(kept.example(np.random.default_rng(i)) in stories for i in range(5)) and len(stories) == 1
    assert none.example(np.random.default_rng(0)) in none._stories("train")
    assert ntm.access(*machine("NTM", kept), kept, None, 1).story == stories[0]
