"""bAbI: what is shown of a story and asked for, what counts as wrong, and where stories come from."""

import re

import numpy as np
import pytest
from data_files import real_data

from scratchattn.models import RNN
from scratchattn.tasks import Babi, Copy
from scratchattn.tasks.babi import NUMBER, WORDS
from scratchattn.tasks.readers.babi import read_babi
from scratchattn.training import Settings, train
from scratchattn.training.evaluation import evaluate

FIRST = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Where is John? \thallway\t2
"""
SECOND = """1 Mary got the milk there.
2 Mary got the football there.
3 What is Mary carrying? \tmilk,football\t1 2
"""


@pytest.fixture
def stories(tmp_path, monkeypatch):
    """A store with tasks 1 and 8: twelve stories to train on, two to test with."""
    folder = tmp_path / "babi" / "en"
    folder.mkdir(parents=True)
    for number, text in ((1, FIRST), (8, SECOND)):
        (folder / f"qa{number}_some-title_train.txt").write_text(12 * text)
        (folder / f"qa{number}_some-title_test.txt").write_text(2 * text)
    monkeypatch.setenv("SCRATCHATTN_DATA", str(tmp_path))
    return folder


def words(inputs):
    """The words that channels say, None where there is none."""
    named = sorted(WORDS)
    assert all(sum(row) == max(row) for row in inputs)
    return [named[row.index(1)] if any(row) else None for row in inputs.tolist()] if len(inputs) else []


@pytest.mark.parametrize("blanks", [0, 3])
def test_a_story_is_told_word_by_word_and_its_answers_are_asked_for(stories, blanks):
    batch = Babi(tasks="1,8", folder="en", blanks=blanks).take("test", np.array([0, 2]), "float64")
    pause = [None] * blanks
    first = "mary moved to the bathroom . john went to the hallway . where is mary ?".split()
    first += [*pause, "-", *"where is john ?".split(), *pause, "-"]
    second = "mary got the milk there . mary got the football there . what is mary carrying ?".split()
    second += [*pause, "-", "-"]
    for j, (told, answers) in enumerate(((first, ["bathroom", "hallway"]), (second, ["milk", "football"]))):
        n = len(told)
        assert batch.lengths[j] == n and words(batch.inputs[:n, j]) == told
        asked = [t for t, word in enumerate(told) if word == "-"]
        assert np.flatnonzero(batch.asked[:, j, 0]).tolist() == asked
        assert words(batch.targets[asked, j]) == answers
        assert batch.targets[:, j].sum() == len(answers) and (batch.inputs[n:, j] == 0).all()
    assert batch.questions.T[batch.asked[:, :, 0].T].tolist() == [0, 1, 2, 2]
    assert batch.size == 2 and batch.inputs.shape[2] == Babi.inputs == Babi.outputs == 159


def test_a_story_can_end_with_its_first_question(stories):
    """Task 1 asks twice, task 8 once."""
    whole = Babi(tasks="1,8", folder="en").take("test", np.array([0, 2]), "float64")
    cut = Babi(tasks="1,8", folder="en", questions=1).take("test", np.array([0, 2]), "float64")
    end = len("mary moved to the bathroom . john went to the hallway . where is mary ? -".split())
    assert cut.lengths.tolist() == [end, whole.lengths[1]]
    assert (cut.inputs[:end, 0] == whole.inputs[:end, 0]).all() and cut.asked[:, 0].sum() == 1
    assert (cut.inputs[:, 1] == whole.inputs[: len(cut.inputs), 1]).all() and cut.asked[:, 1].sum() == 2
    twice = Babi(tasks="1,8", folder="en", questions=2).take("test", np.array([0, 2]), "float64")
    assert (twice.inputs == whole.inputs).all() and (twice.targets == whole.targets).all()


def test_a_question_is_wrong_if_any_of_its_words_is(stories):
    task = Babi(tasks="1,8", folder="en")
    batch = task.take("test", np.array([2, 0, 3]), "float64")  # of 2 words, two of 1 word, of 2 words
    right = 5 * batch.targets
    assert task.metrics(right, batch) == {k: pytest.approx(np.zeros(n)) for k, n in
                                          (("question_error", 4), ("word_error", 6))}  # fmt: skip
    t = int(batch.lengths[2]) - 1
    right[t, 2, NUMBER["apple"]] = 9
    right[0, 0] = 7  # not asked there
    found = task.metrics(right, batch)
    assert found["question_error"].sum() == 1 and len(found["question_error"]) == 4
    assert found["word_error"].sum() == 1 and len(found["word_error"]) == 6
    right[t - 1, 2, NUMBER["apple"]] = 9
    found = task.metrics(right, batch)
    assert found["question_error"].sum() == 1 and found["word_error"].sum() == 2
    assert float(task.loss(0 * right, batch)) == pytest.approx(6 * np.log(159) / 3, rel=1e-12)


def test_the_last_stories_of_each_file_are_for_validation(stories):
    task = Babi(tasks="8,1", folder="en", held_out=25)
    assert [task.examples(s) for s in ("train", "validation", "test")] == [18, 6, 4]
    text = "".join(FIRST.replace("bathroom", word) for word in 9 * ["garden"] + 3 * ["office"])
    (stories / "qa2_another_train.txt").write_text(text)
    task = Babi(tasks="2", folder="en", held_out=25)
    for split, word in (("train", "garden"), ("validation", "office")):
        batch = task.take(split, np.arange(task.examples(split)))
        assert set(words(batch.targets[batch.asked[:, :, 0]])) == {word, "hallway"}
    assert Babi(tasks="2", folder="en", held_out=0).examples("train") == 12


def test_one_channel_for_each_word():
    assert len(WORDS) == len(set(WORDS)) == len(NUMBER) == 159
    assert sorted(NUMBER.values()) == list(range(159))


def test_all_means_all_twenty():
    assert Babi(tasks="all").numbers() == tuple(range(1, 21))
    assert Babi(tasks=" 3, 1").numbers() == (3, 1)


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"tasks": "21"}, "Babi: tasks must be all, or of 1, 2, .* between commas, got '21'"),
        ({"tasks": ""}, "Babi: tasks must be all"),
        ({"tasks": "1,x"}, "Babi: tasks must be all"),
        ({"folder": "hn"}, "Babi: folder must be one of"),
        ({"held_out": 100}, "Babi: held_out must be at most 99, got 100"),
        ({"blanks": -1}, "Babi: blanks must be at least 0, got -1"),
        ({"questions": -1}, "Babi: questions must be at least 0, got -1"),
    ],
)
def test_settings_that_make_no_task_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        Babi(**settings)


def test_what_is_not_there_is_named(stories):
    with pytest.raises(FileNotFoundError, match="en has no train file of task 3: scratchattn data add babi"):
        Babi(tasks="3", folder="en").examples("train")
    with pytest.raises(ValueError, match="Babi: split must be train, validation or test, got 'dev'"):
        Babi(folder="en").examples("dev")
    (stories / "qa3_odd_train.txt").write_text("1 Mary moved to the moon.\n2 Where is Mary?\tmoon\t1\n")
    with pytest.raises(ValueError, match="babi: 'moon' is no word of the twenty tasks"):
        Babi(tasks="3", folder="en", held_out=0).take("train", np.array([0]))


def test_an_lstm_learns_the_stories_by_heart(stories):
    task = Babi(tasks="1,8", folder="en")
    model = RNN(task.inputs, task.outputs, units=16)
    settings = Settings(steps=200, batch=4, learning_rate=1e-2, optimiser="adam", log_every=20,
                        eval_every=200, eval_batches=0)  # fmt: skip
    _, events = train(model, task, settings, quiet=True)
    losses = [event["nats"] for event in events if event["event"] == "train"]
    assert losses[-1] < 0.5 * losses[0]
    assert events[-2]["question_error"] <= 0.5 and {"word_error", "question_error"} <= set(events[-2])


def test_an_evaluation_that_looks_at_some_looks_at_all_kinds(stories):
    """The files of the tasks stand one behind another: two test stories of each."""
    task, model = Babi(tasks="1,8", folder="en"), RNN(159, 159, units=2)
    seen = []

    class Seeing(Babi):
        def take(self, split, indices, dtype="float32"):
            seen.extend(indices.tolist())
            return super().take(split, indices, dtype)

    params = model.init(np.random.default_rng(0))
    for batches, size, wanted in ((1, 2, [0, 2]), (2, 1, [0, 2]), (0, 3, [0, 1, 2, 3]), (9, 9, [0, 1, 2, 3])):
        seen.clear()
        settings = Settings(eval_batches=batches, eval_batch=size)
        evaluate(model, Seeing(tasks="1,8", folder="en"), params, settings, "test")
        assert seen == wanted
    assert task.examples("test") == 4


def test_what_was_learned_by_heart_is_measured_on_the_stories_that_were_trained_on(stories):
    others = FIRST.replace("hallway", "kitchen")
    (stories / "qa1_some-title_test.txt").write_text(2 * others)
    task, model = Babi(tasks="1", folder="en"), RNN(159, 159, units=32)
    settings = Settings(steps=400, batch=4, learning_rate=1e-2, optimiser="adam", eval_batches=0)
    params, _ = train(model, task, settings, quiet=True)
    found = {split: evaluate(model, task, params, settings, split) for split in ("train", "test")}
    assert found["train"]["question_error"] == 0 and found["test"]["question_error"] == 0.5
    drawn = Copy(bits=2, shortest=1, longest=3)
    model = RNN(drawn.inputs, drawn.outputs, units=2)
    params = model.init(np.random.default_rng(0))
    splits = ("train", "validation", "test")  # three of them, and always the same
    fresh = [evaluate(model, drawn, params, Settings(eval_batches=1), split) for split in 2 * splits]
    assert fresh[:3] == fresh[3:] and len({found["wrong_bits"] for found in fresh}) == 3
    with pytest.raises(ValueError, match=r"split must be one of .*'train'.*, got 'all'"):
        evaluate(model, drawn, params, Settings(), "all")


def test_the_real_files_speak_these_words_and_are_told_as_they_stand(monkeypatch):
    folder = real_data() / "babi"
    files = sorted(folder.rglob("en*/qa*_*.txt*"))
    if not files:
        pytest.skip("the bAbI files are not here")
    monkeypatch.setenv("SCRATCHATTN_DATA", str(folder.parent))
    for path in (p for p in files if p.parent.name == "en" and "test" in p.name):
        number = re.match(r"qa(\d+)_", path.name)[1]
        batch = Babi(tasks=number, folder="en").take("test", np.arange(20))
        for j, story in enumerate(read_babi(path)[:20]):
            told = []
            for entry in story.entries:
                told += entry.text.lower().replace(".", " .").replace("?", " ?").split()
                told += ["-"] * len(getattr(entry, "answer", ()))
            assert words(batch.inputs[: batch.lengths[j], j]) == told
            answers = [word for question in story.questions for word in question.answer]
            assert words(batch.targets[batch.asked[:, j, 0], j]) == [word.lower() for word in answers]
