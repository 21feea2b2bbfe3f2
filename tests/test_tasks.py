"""The tasks: each format against a slow writing of its own, what the metrics count, what is drawn."""

import dataclasses

import numpy as np
import pytest

from scratchattn.models import NTM
from scratchattn.report.memory_access import access
from scratchattn.report.ntm_pictures import ntm_pictures
from scratchattn.report.recording import fixed_length
from scratchattn.tasks import (
    TASKS,
    AssociativeRecall,
    Copy,
    CopySeries,
    Graph,
    Linkage,
    MiniShrdlu,
    NGrams,
    PrioritySort,
    RepeatCopy,
)
from scratchattn.tasks.bits import BitsTask
from scratchattn.tasks.ngrams import optimal_probabilities
from scratchattn.training import Settings, train

SMALL = {
    "copy": Copy(bits=3, shortest=1, longest=4),
    "copy_series": CopySeries(bits=3, shortest=1, longest=3, sequences=3),
    "linkage": Linkage(bits=3, longest=4),
    "graph": Graph(fewest=2, most=4, least_edges=1, most_edges=2, longest=3, digits=1),
    "mini_shrdlu": MiniShrdlu(blocks=3, height=2, names=2, most=2, longest=2),
    "repeat_copy": RepeatCopy(bits=3, shortest=1, longest=3, fewest=1, most=3, known_most=3),
    "associative_recall": AssociativeRecall(bits=3, vectors=2, fewest=2, most=3),
    "ngrams": NGrams(length=30, context=1),
    "priority_sort": PrioritySort(bits=3, vectors=4, top=3),
}
LENGTHS = [name for name, task in SMALL.items() if "together" in vars(task)]


def drawn(task, size=1, seed=0):
    return task.batch(np.random.default_rng(seed), size, "float64")


def sequence(task, seed=0):
    """Inputs, targets and asked of one sequence as lists of lists."""
    batch = drawn(task, seed=seed)
    return batch.inputs[:, 0].tolist(), batch.targets[:, 0].tolist(), batch.asked[:, 0, 0].tolist()


def test_every_task_that_draws_bits_has_a_small_one_here():
    drawn_bits = {name: task for name, task in TASKS.items() if issubclass(task, BitsTask)}
    assert {name: type(task) for name, task in SMALL.items()} == drawn_bits


@pytest.mark.parametrize("n", [1, 4])
def test_copy_asks_for_what_it_has_shown(n):
    inputs, targets, asked = sequence(Copy(bits=3, shortest=n, longest=n))
    vectors = [row[:3] for row in inputs[:n]]
    assert inputs == [[*v, 0] for v in vectors] + [[0, 0, 0, 1]] + [[0] * 4] * n
    assert targets == [[0] * 3] * (n + 1) + vectors
    assert asked == [False] * (n + 1) + [True] * n


@pytest.mark.parametrize("n, repeats", [(1, 1), (3, 2), (2, 10)])
def test_repeat_copy_asks_so_many_times_and_for_the_end(n, repeats):
    task = RepeatCopy(bits=3, shortest=n, longest=n, fewest=repeats, most=repeats)
    inputs, targets, asked = sequence(task)
    vectors = [row[:3] for row in inputs[:n]]
    shown = (repeats - 5.5) / (sum((r - 5.5) ** 2 for r in range(1, 11)) / 10) ** 0.5
    assert inputs[n] == [0, 0, 0, 1, pytest.approx(shown, rel=1e-15)]
    assert inputs[:n] == [[*v, 0, 0] for v in vectors]
    assert inputs[n + 1 :] == [[0] * 5] * (n * repeats + 1)
    assert targets == [[0] * 4] * (n + 1) + [[*v, 0] for v in vectors * repeats] + [[0, 0, 0, 1]]
    assert asked == [False] * (n + 1) + [True] * (n * repeats + 1)
    bare = sequence(dataclasses.replace(task, delimiter=False))
    assert bare == ([row[:3] + row[4:] for row in inputs], targets, asked)


def test_the_number_of_repeats_has_mean_zero_and_variance_one_and_the_same_scale_beyond_training():
    shown = np.array([RepeatCopy().normalised(r) for r in range(1, 11)])
    assert abs(shown.mean()) < 1e-15 and abs((shown**2).mean() - 1) < 1e-15
    assert RepeatCopy(fewest=20, most=20).normalised(20) == RepeatCopy().normalised(20)


@pytest.mark.parametrize("n, seed", [(2, 0), (6, 1), (6, 2)])
def test_associative_recall_asks_for_the_successor(n, seed):
    inputs, targets, asked = sequence(AssociativeRecall(bits=6, vectors=3, fewest=n, most=n), seed)
    items = [[row[:6] for row in inputs[4 * i + 1 : 4 * i + 4]] for i in range(n)]
    query = [row[:6] for row in inputs[4 * n + 1 : 4 * n + 4]]
    expected = []
    for item in items:
        expected += [[0] * 6 + [1, 0], *[[*v, 0, 0] for v in item]]
    expected += [[0] * 6 + [0, 1], *[[*v, 0, 0] for v in query], [0] * 6 + [0, 1]] + [[0] * 8] * 3
    assert inputs == expected
    assert query in items[:-1]
    assert targets == [[0] * 6] * (4 * n + 5) + items[items.index(query) + 1]
    assert asked == [False] * (4 * n + 5) + [True] * 3


def test_every_item_but_the_last_is_asked_for():
    task, found = AssociativeRecall(bits=8, vectors=2, fewest=4, most=4), set()
    for seed in range(40):
        inputs, *_ = sequence(task, seed)
        items = [inputs[3 * i + 1 : 3 * i + 3] for i in range(4)]
        found.add(items.index(inputs[13:15]))
    assert found == {0, 1, 2}


def test_priority_sort_asks_for_the_highest_first():
    task = PrioritySort(bits=4, vectors=7, top=5)
    inputs, targets, asked = sequence(task)
    left, expected = [row[:5] for row in inputs[:7]], []
    while len(expected) < 5:
        highest = max(left, key=lambda row: row[4])
        expected.append(highest[:4])
        left.remove(highest)
    assert targets == [[0] * 4] * 8 + expected
    assert inputs[7:] == [[0] * 5 + [1]] + [[0] * 6] * 5 and all(row[5] == 0 for row in inputs[:7])
    assert asked == [False] * 8 + [True] * 5
    priorities = drawn(PrioritySort(), 50).inputs[:20, :, 8]
    assert -1 <= priorities.min() < -0.9 and 0.9 < priorities.max() <= 1


def test_ngrams_show_each_bit_and_ask_for_the_next():
    batch = drawn(NGrams(length=40), 3)
    assert batch.inputs.shape == batch.targets.shape == (39, 3, 1)
    assert (batch.inputs[1:] == batch.targets[:-1]).all() and batch.asked.all()
    assert set(np.unique(batch.inputs)) == {0, 1} and batch.lengths is None


@pytest.mark.parametrize("context", [0, 2])
def test_ngrams_follow_a_table_from_beta_one_half(context):
    """Of so long a sequence each context's share of ones is its chance, whose distribution is the arcsine."""
    bits = drawn(NGrams(length=1500, context=context), 150).inputs[:, :, 0].astype(int)
    shares = []
    for row in bits.T:
        text = "".join(map(str, row))
        for key in range(2**context):
            word = format(key, f"0{context}b") if context else ""
            after = [text[i + context] for i in range(len(text) - context) if text.startswith(word, i)]
            if len(after) > 100:
                shares.append(after.count("1") / len(after))
    shares = np.sort(shares)
    expected = 2 / np.pi * np.arcsin(np.sqrt(shares))
    if context == 0:  # else the contexts that are common enough are a choice
        assert abs(expected - (np.arange(len(shares)) + 0.5) / len(shares)).max() < 1.63 / len(shares) ** 0.5
    assert len(shares) >= 150 and shares[0] < 0.05 and shares[-1] > 0.95


def test_bits_without_a_context_are_fair_coins():
    batch = drawn(NGrams(length=11, context=11), 300)
    bits = np.concatenate([batch.inputs[:1], batch.targets])[:, :, 0]
    assert 0.45 < bits.mean() < 0.55 and (bits.sum(axis=0) == 0).sum() < 5
    chance = optimal_probabilities(bits > 0.5, 11)
    assert (chance == 0.5).all()


def test_the_optimum_counts_what_followed_each_context():
    bits = (np.random.default_rng(0).random((25, 3)) < 0.6).astype(int)
    found = optimal_probabilities(bits.astype(bool), 2)
    for j in range(3):
        row = bits[:, j].tolist()
        for t in range(25):
            if t < 2:
                assert found[t, j] == 0.5
                continue
            after = [row[s] for s in range(2, t) if row[s - 2 : s] == row[t - 2 : t]]
            assert found[t, j] == (sum(after) + 0.5) / (len(after) + 1)


def test_no_other_guess_beats_the_optimum_and_its_cost_is_that_of_its_chances():
    task = NGrams(length=100, context=2)
    batch = drawn(task, 300)
    bits = np.concatenate([batch.inputs[:1], batch.targets])[:, :, 0] > 0.5
    chance = optimal_probabilities(bits, 2)[1:, :, None]
    logits = np.log(chance / (1 - chance))
    found = task.metrics(logits, batch)
    assert np.allclose(found["bits_per_sequence"], found["optimal_bits_per_sequence"], rtol=1e-12)
    assert np.abs(found["bits_above_optimal"]).max() < 1e-10
    for scale in (0.8, 1.2):
        assert task.metrics(scale * logits, batch)["bits_above_optimal"].mean() > 0
    nats = task.loss(logits, batch)
    assert abs(float(nats) / np.log(2) - found["bits_per_sequence"].mean()) < 1e-10


def test_guessing_costs_one_bit_each():
    task = NGrams(length=30)
    assert np.allclose(task.metrics(np.zeros((29, 2, 1)), drawn(task, 2))["bits_per_sequence"], 29)


@pytest.mark.parametrize("name", [name for name in SMALL if SMALL[name].metric == "wrong_bits"])
def test_wrong_bits_are_those_asked_for_and_on_the_other_side(name):
    batch = drawn(SMALL[name], 5)
    right = np.where(batch.targets > 0.5, 2.0, -2.0)
    assert (SMALL[name].metrics(right, batch)["wrong_bits"] == 0).all()
    unasked = np.where(batch.asked, right, -right)
    assert (SMALL[name].metrics(unasked, batch)["wrong_bits"] == 0).all()
    unasked[-1, 2] *= -1
    outputs = SMALL[name].outputs
    assert (SMALL[name].metrics(unasked, batch)["wrong_bits"] == [0, 0, outputs, 0, 0]).all()
    asked = int(batch.asked.sum()) * outputs
    assert float(SMALL[name].loss(0 * right, batch)) == pytest.approx(asked * np.log(2) / 5, rel=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_generator_draws_the_same_and_another_does_not(name):
    first, same, other = (drawn(SMALL[name], 6, seed) for seed in (0, 0, 1))
    for a, b in zip(first, same, strict=True):
        assert a is b is None or (a == b).all()
    assert first.inputs.shape != other.inputs.shape or (first.inputs != other.inputs).any()
    assert drawn(SMALL[name], 0).inputs.shape[1:] == (0, SMALL[name].inputs)
    assert SMALL[name].batch(np.random.default_rng(0), 2).inputs.dtype == "float32"


@pytest.mark.parametrize("name", LENGTHS)
def test_sequences_of_one_batch_may_differ_in_length(name):
    task = dataclasses.replace(SMALL[name], together=False)
    batch = drawn(task, 30)
    assert len(set(batch.lengths.tolist())) > 1 and batch.lengths.max() == len(batch.inputs)
    for j, n in enumerate(batch.lengths):
        assert batch.asked[n - 1, j] and not batch.asked[n:, j].any()
        assert (batch.inputs[n:, j] == 0).all() and (batch.targets[n:, j] == 0).all()
    assert drawn(SMALL[name], 30).lengths is None


@pytest.mark.parametrize(
    "made, settings, message",
    [
        (RepeatCopy, {"fewest": 3, "most": 2}, "RepeatCopy: most must be at least fewest, 3, got 2"),
        (RepeatCopy, {"known_most": 1}, "RepeatCopy: known_most must be at least 2, got 1"),
        (RepeatCopy, {"known_fewest": 12}, "RepeatCopy: known_most must be above known_fewest, 12, got 10"),
        (AssociativeRecall, {"fewest": 1}, "AssociativeRecall: fewest must be at least 2, got 1"),
        (PrioritySort, {"top": 21}, "PrioritySort: vectors must be at least top, 21, got 20"),
        (Graph, {"digits": 1, "most": 11}, "Graph: digits must give 11 labels, got 1"),
        (Graph, {"question": "inference"}, "Graph: question must be one of"),
        (Graph, {"shortest": 5}, "Graph: longest must be at least shortest, 5, got 4"),
        (CopySeries, {"sequences": 0}, "CopySeries: sequences must be at least 1, got 0"),
        (NGrams, {"length": 1}, "NGrams: length must be at least 2, got 1"),
        (NGrams, {"context": 17}, "NGrams: context must be at most 16, got 17"),
        (NGrams, {"context": 2.0}, "NGrams: context must be an int, got 2.0"),
    ],
)
def test_settings_that_make_no_task_are_refused(made, settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        made(**settings)


@pytest.mark.parametrize("name", SMALL)
def test_an_ntm_learns_some_of_it(name):
    task = SMALL[name]
    model = NTM(task.inputs, task.outputs, rows=8, width=6, units=24)
    settings = Settings(steps=120, batch=8, learning_rate=1e-2, optimiser="adam", log_every=30,
                        eval_every=120, eval_batches=1)  # fmt: skip
    _, events = train(model, task, settings, quiet=True)
    losses = [event["nats"] for event in events if event["event"] == "train"]
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("name", SMALL)
def test_a_sequence_of_it_can_be_looked_at(name):
    task = SMALL[name]
    model = NTM(task.inputs, task.outputs, rows=8, width=6, units=5)
    params = model.init(np.random.default_rng(0))
    length = 3 if hasattr(task, "longest") else None
    seen = access(model, params, task, length, seed=4)
    assert seen.outputs.shape == seen.targets.shape == (len(seen.inputs), task.outputs)
    if length:
        assert (fixed_length(task, 3).shortest, fixed_length(task, 3).longest) == (3, 3)


def test_the_report_speaks_of_a_copy_and_its_diagonality_where_there_is_one():
    for name, copies in (("copy", True), ("repeat_copy", False), ("associative_recall", False)):
        task = SMALL[name]
        model = NTM(task.inputs, task.outputs, rows=8, width=6, units=5)
        sections = ntm_pictures(model, model.init(np.random.default_rng(0)), task, np.random.default_rng(5))
        said = "\n".join(block for section in sections for block in section.blocks if isinstance(block, str))
        assert (sections[0].title == "One copy") == ("iagonality" in said) == copies
