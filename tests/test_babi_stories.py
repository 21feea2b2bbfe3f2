"""Stories of our own: a solver that only reads sentences finds their answers, and those of the files."""

import re
from collections import Counter

import numpy as np
import pytest
from data_files import real_data

from scratchattn.models import RNN
from scratchattn.report.run import run_report
from scratchattn.tasks import TASKS, BabiStories
from scratchattn.tasks.readers.babi import Question, parse_babi, read_babi
from scratchattn.tasks.stories import STORIES, story, written
from scratchattn.training import Settings, configure, evaluate, train
from scratchattn.training.fitting import try_out

SINGULAR = {"mice": "mouse", "cats": "cat", "sheep": "sheep", "wolves": "wolf"}


class Reader:
    """What somebody knows who has read the statements so far."""

    def __init__(self):
        self.at, self.holder, self.way = {}, {}, {}
        self.kind, self.colour, self.fears, self.places = {}, {}, {}, []

    def read(self, text):
        who, *rest = text.lower().rstrip(".").split()
        *_, last = rest
        rest = " ".join(rest)
        if re.match(r"(journeyed|moved|travelled|went)( back)? to the", rest):
            self.at[who] = last
            for thing in [t for t, person in self.holder.items() if person == who]:
                self._arrives(thing, last)
        elif found := re.match(r"(?:got|grabbed|picked up|took) the (\w+)", rest):
            self.holder[found[1]] = who
            if who in self.at:
                self._arrives(found[1], self.at[who])
        elif found := re.match(r"(?:discarded|dropped|left|put down) the (\w+)", rest):
            self.holder.pop(found[1], None)
            if who in self.at:
                self._arrives(found[1], self.at[who])
        elif found := re.match(r"(?:gave|handed|passed) the (\w+) to (\w+)", rest):
            self.holder[found[1]] = found[2]
        elif found := re.match(r"are afraid of (\w+)", rest):
            self.fears[SINGULAR[who]] = SINGULAR[found[1]]
        elif found := re.match(r"is a (\w+)", rest):
            self.kind[who] = found[1]
        elif found := re.match(r"(\w+) is (north|south|east|west) of the (\w+)", rest):
            self.places.append((found[1], found[2], found[3]))
        else:
            self.colour[who] = re.fullmatch(r"is (\w+)", rest)[1]

    def _arrives(self, thing, place):
        way = self.way.setdefault(thing, [])
        if not way or way[-1] != place:
            way.append(place)

    def answer(self, question):
        text = question.lower().rstrip("?").strip()
        if found := re.fullmatch(r"where is (the )?(\w+)", text):
            return (self.way[found[2]][-1] if found[1] else self.at[found[2]],)
        if found := re.fullmatch(r"where was the (\w+) before the (\w+)", text):
            way = self.way[found[1]]
            return (way[len(way) - 2 - way[::-1].index(found[2])],)
        if found := re.fullmatch(r"is (\w+) in the (\w+)", text):
            return ("yes" if self.at[found[1]] == found[2] else "no",)
        if found := re.fullmatch(r"how many objects is (\w+) carrying", text):
            return (("none", "one", "two", "three")[list(self.holder.values()).count(found[1])],)
        if found := re.fullmatch(r"what is (\w+) afraid of", text):
            return (self.fears[self.kind[found[1]]],)
        if found := re.fullmatch(r"what color is (\w+)", text):
            alike = [who for who, kind in self.kind.items() if kind == self.kind[found[1]]]
            (colour,) = {self.colour[who] for who in alike if who in self.colour}
            return (colour,)
        if found := re.fullmatch(r"how do you go from the (\w+) to the (\w+)", text):
            return self._path(found[1], found[2])
        if found := re.fullmatch(r"what is (north|south|east|west) of the (\w+)", text):
            return tuple(a for a, way, b in self._both_ways() if (way, b) == found.groups())
        found = re.fullmatch(r"what is the (\w+) (north|south|east|west) of", text)
        return tuple(b for a, way, b in self._both_ways() if (a, way) == found.groups())

    def _both_ways(self):
        back = {"north": "south", "south": "north", "east": "west", "west": "east"}
        return self.places + [(b, back[way], a) for a, way, b in self.places]

    def _path(self, start, end):
        ways = {start: ()}
        for _ in range(2):
            for a, way, b in self._both_ways():
                if b in ways and a not in ways:
                    ways[a] = (*ways[b], way[0])
        (found,) = {ways[end]}
        return found


def solved(entries):
    """(question, the reader's answer) in order."""
    reader = Reader()
    for entry in entries:
        if type(entry) is Question:
            yield entry, reader.answer(entry.text)
        else:
            reader.read(entry.text)


def drawn(number, count=60, seed=0):
    rng = np.random.default_rng([seed, number])
    return [story(number, rng) for _ in range(count)]


@pytest.mark.parametrize("number", STORIES)
def test_the_answers_follow_from_what_is_said(number):
    for one in drawn(number):
        for question, answer in solved(one.entries):
            assert question.answer == answer, (one, question)


@pytest.mark.parametrize("number", [n for n in STORIES if n != 16])
def test_the_same_solver_finds_the_answers_of_the_files(number):
    """Task 16 of the files is not decided by what is said: members of a kind differ in colour."""
    (path,) = (real_data() / "babi").rglob(f"en/qa{number}_*_test.txt*")
    pairs = [pair for one in read_babi(path) for pair in solved(one.entries)]
    wrong = [question for question, answer in pairs if question.answer != answer]
    assert len(pairs) == 1000 and not wrong, wrong[:3]


@pytest.mark.parametrize("number", [n for n in STORIES if n != 3])
def test_the_supporting_facts_alone_give_the_answer(number):
    for one in drawn(number, 30):
        for question in one.questions:
            facts = [entry for entry in one.entries if entry.number in question.supports]
            assert len(facts) == len(set(question.supports)) and max(question.supports) < question.number
            ((_, answer),) = solved([*facts, question])
            assert answer == question.answer, (one, question)
            for left_out in facts if number not in (6, 7) else ():
                reader = Reader()
                for fact in facts:
                    if fact is not left_out:
                        reader.read(fact.text)
                with pytest.raises((KeyError, ValueError, AssertionError)):
                    assert reader.answer(question.text) == question.answer


@pytest.mark.parametrize("number", [1, 2, 3, 6, 7])
def test_people_go_elsewhere_and_deal_with_what_is_at_hand(number):
    for one in drawn(number):
        reader = Reader()
        for entry in one.entries:
            if type(entry) is Question:
                continue
            words = entry.text.lower().rstrip(".").removesuffix(" there").split()
            who, last = words[0], words[-1]
            thing = next((word for word in words if word in ("apple", "football", "milk")), None)
            if thing is None:
                assert reader.at.get(who) != last
            elif words[1] in ("got", "grabbed", "picked", "took"):
                assert thing not in reader.holder
                assert reader.way.get(thing, [reader.at[who]])[-1] == reader.at[who]
            else:
                assert reader.holder[thing] == who
                if last != thing:  # the name of who is given it
                    assert last != who and reader.at[last] == reader.at[who]
            reader.read(entry.text)


def test_kinds_differ_in_colour():
    for one in drawn(16):
        reader = Reader()
        for entry in one.entries[:-1]:
            reader.read(entry.text)
        pairs = {(reader.kind[who], colour) for who, colour in reader.colour.items()}
        assert len({colour for _, colour in pairs}) == len({kind for kind, _ in pairs}) == len(pairs)


@pytest.mark.parametrize("number", STORIES)
def test_a_file_of_them_is_read_as_they_are(number):
    stories = drawn(number, 5)
    found = parse_babi(written(stories).encode(), "ours")
    assert [one.entries for one in found] == [one.entries for one in stories]


@pytest.mark.parametrize("number", STORIES)
def test_they_speak_as_the_files_do(number):
    """Every sentence of ours, names left open, is one of the files'."""
    folder, names = real_data() / "babi", r"\b(mary|john|daniel|sandra|fred|bill|julie|jeff)\b"

    def shapes(stories):
        texts = [entry.text.lower() for one in stories for entry in one.entries]
        return {re.sub(r"\b(milk|apple|football)\b", "T", re.sub(names, "P", text)) for text in texts}

    (path,) = folder.rglob(f"en/qa{number}_*_train.txt*")
    assert not shapes(drawn(number)) - shapes(read_babi(path))


def test_answers_are_of_every_kind():
    counts = {n: Counter(q.answer for one in drawn(n, 200) for q in one.questions) for n in STORIES}
    assert all(max(c.values()) < 0.6 * sum(c.values()) for c in counts.values())
    assert len(counts[19]) == 12 and len(counts[7]) == 4 and len(counts[16]) == len(counts[15]) == 4
    assert all(len(counts[n]) == 6 for n in (1, 2, 3, 4)) and len(counts[6]) == 2
    assert 0.4 < counts[6]["yes",] / sum(counts[6].values()) < 0.6


def test_batches_are_drawn_from_the_tasks_that_are_named():
    task = BabiStories(tasks="4,19")
    batch = task.batch(np.random.default_rng(0), 20)
    same = task.batch(np.random.default_rng(0), 20)
    assert set(batch.lengths.tolist()) == {24, 53} and (batch.inputs == same.inputs).all()
    assert batch.inputs.shape == (53, 20, 159) and TASKS["babi_stories"] is BabiStories
    assert BabiStories(tasks="all").numbers() == tuple(STORIES)
    assert task.batch(np.random.default_rng(0), 0).size == 0


def test_it_can_be_tested_on_the_files(tmp_path, monkeypatch):
    """Training and validation draw; the three stories of the file are the test."""
    folder = tmp_path / "babi" / "en"
    folder.mkdir(parents=True)
    text = "1 Mary moved to the garden.\n2 Where is Mary?\tgarden\t1\n"
    (folder / "qa1_some-title_test.txt").write_text(3 * text)
    monkeypatch.setenv("SCRATCHATTN_DATA", str(tmp_path))
    task, seen = BabiStories(tested_on="en"), []

    class Seeing(BabiStories):
        def metrics(self, outputs, batch):
            seen.append(batch.size)
            return super().metrics(outputs, batch)

    model = RNN(task.inputs, task.outputs, units=4)
    settings = Settings(steps=1, eval_batches=1, eval_batch=2)
    _, events = train(model, Seeing(tested_on="en"), settings, quiet=True)
    assert seen == [1, 2, 2] and [event["event"] for event in events][-2] == "test"
    model_params = model.init(np.random.default_rng(0))
    found = evaluate(
        model, Seeing(tested_on="en"), model_params, Settings(eval_batches=0, eval_batch=2), "test"
    )
    assert seen[3:] == [2, 1] and set(found) == {"question_error", "word_error"}
    batch = task.take("test", np.array([0]))
    assert batch.lengths.tolist() == [11] and task.examples("test") == 3
    assert BabiStories(questions=1).batch(np.random.default_rng(0), 8).asked.sum() == 8
    assert BabiStories(tested_on="en", blanks=2).take("test", np.array([0])).lengths.tolist() == [13]
    with pytest.raises(FileNotFoundError, match="en-10k has no test file of task 1"):  # before any training
        try_out(configure("rnn", "babi_stories", wishes=["tested_on=en-10k"]))
    with pytest.raises(ValueError, match="BabiStories: the split 'train' is drawn, not read"):
        task.take("train", np.array([0]))
    with pytest.raises(ValueError, match="BabiStories: the split 'test' is drawn, not read"):
        BabiStories().examples("test")
    with pytest.raises(FileNotFoundError, match="en has no test file of task 2"):
        evaluate(model, BabiStories(tasks="2", tested_on="en"), model_params, settings, "test")
    page = run_report(model=model, params=None, task=task, settings=settings, events=events).page()
    assert page.count("<caption>Measured on 2 fresh") == 1  # and not of the test


def test_what_there_are_no_stories_of_is_refused():
    with pytest.raises(ValueError, match=r"BabiStories: tasks must be all, or of 1, 2, 3, 4, 6, .* got '5'"):
        BabiStories(tasks="5")
    with pytest.raises(ValueError, match="story: number must be one of"):
        story(5, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"BabiStories.batch: size must be an int, at least 0, got -1"):
        BabiStories().batch(np.random.default_rng(0), -1)


def test_an_lstm_learns_some_of_it():
    task = BabiStories(tasks="4")
    model = RNN(task.inputs, task.outputs, units=32)
    settings = Settings(steps=120, batch=16, learning_rate=1e-2, optimiser="adam", log_every=40,
                        eval_every=120, eval_batches=1)  # fmt: skip
    _, events = train(model, task, settings, quiet=True)
    losses = [event["nats"] for event in events if event["event"] == "train"]
    assert losses[-1] < 0.85 * losses[0]
