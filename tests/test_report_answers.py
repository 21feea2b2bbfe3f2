"""What a network without a memory says, beside what is asked for, as every model's pictures begin."""

import re

import numpy as np
import pytest
from test_report_access import TASK
from test_report_page import Outline
from test_report_svg import cells_of

from scratchattn.models import RNN
from scratchattn.report import colours, run_page
from scratchattn.report.memory_pictures import first_shown
from scratchattn.report.pictures import in_terminal
from scratchattn.report.recording import first_not_finite, is_copy, probabilities, record
from scratchattn.tasks import TASKS, AssociativeRecall, Babi, Graph, Linkage, NGrams, RepeatCopy
from scratchattn.training import Settings

KINDS = [
    {},
    {"cell": "gru", "layers": 2},
    {"cell": "tanh", "both_directions": True, "dtype": "float64"},
    {"both_directions": True},
]


def machine(task=TASK, **kind):
    model = RNN(task.inputs, task.outputs, units=4, **kind)
    return model, model.init(np.random.default_rng(3))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_outputs_stand_beside_targets_and_are_those_of_the_model(kind):
    model, params = machine(**kind)
    page = run_page(model=model, params=params, task=TASK, settings=Settings(seed=7), events=[])
    seed = int(np.random.default_rng([7, 30_000]).integers(10_000))
    seen, kept = record(model, params, TASK, 4, seed)
    batch = type(TASK)(TASK.bits, 4, 4).batch(np.random.default_rng(seed), 1, model.dtype)
    logits, _ = model.sequence(params, model.initial_state(params, 1), batch.inputs)
    assert kept == {} and np.allclose(seen.outputs, 1 / (1 + np.exp(-logits[:, 0])), atol=1e-6)
    drawn = {t: s for s, t in re.findall(r"(<svg[^>]*aria-label=\"([^\".]*)\..*?</svg>)", page)}
    for title in ("inputs", "targets", "outputs"):
        wanted = colours.paint(getattr(seen, title).T.astype(float))
        assert np.array_equal(cells_of(drawn[title], wanted.shape[:2]), wanted), title
    wrong = ((seen.outputs > 0.5) != (seen.targets > 0.5))[seen.asked].sum()
    told = f"One sequence of length 4 (seed {seed}): {wrong} of 12 bits wrong."
    outline = Outline(page)
    assert outline.open == [] and told in " ".join(outline.words) and "One copy" in outline.words
    assert "no pictures of it are known" not in page and "not an average" in page
    text = in_terminal(model, params, TASK, np.random.default_rng([7, 30_000]), colour=False, width=70)
    assert told in text and all(title in text for title in ("inputs", "targets", "outputs"))


def test_tasks_without_bits_or_lengths_say_what_they_count():
    task = NGrams(length=9, context=2)
    text = in_terminal(*machine(task), task, np.random.default_rng(0), colour=False, width=70)
    assert "One sequence (seed " in text and "bits per sequence " in text and "optimal bits per" in text
    task = AssociativeRecall(fewest=2, most=3)
    text = in_terminal(*machine(task), task, np.random.default_rng(0), colour=False, width=70)
    assert "bits wrong" in text


def test_probabilities_are_those_of_the_task():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 30)) * 300
    graph = Graph(digits=1)
    shares = probabilities(graph, logits).reshape(4, 3, 10)
    assert np.isfinite(shares).all() and np.allclose(shares.sum(axis=-1), 1)
    assert np.array_equal(shares.argmax(axis=-1), logits.reshape(4, 3, 10).argmax(axis=-1))
    small = np.log(np.array([[1.0, 3, 0, 0, 0, 0, 0, 0, 0, 0]] * 3).reshape(1, 30) + 1e-300)
    assert probabilities(graph, small).reshape(3, 10)[1, :2] == pytest.approx([0.25, 0.75])
    assert probabilities(TASK, np.log([[3.0, 1 / 3]]))[0] == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize("name", [name for name, kind in TASKS.items() if kind is not Babi])
def test_the_loss_of_every_task_is_of_the_probabilities_that_are_drawn(name):
    task, rng = TASKS[name](), np.random.default_rng(0)
    batch = task.batch(rng, 1, "float64")
    logits = rng.normal(size=batch.targets.shape)
    shares, right = probabilities(task, logits[:, 0]), batch.targets[:, 0] > 0.5
    chances = shares[right] if hasattr(task, "classes") else np.where(right, shares, 1 - shares)
    asked = np.broadcast_to(batch.asked[:, 0], right.shape)
    asked = asked[right] if hasattr(task, "classes") else asked
    assert float(task.loss(logits, batch)) == pytest.approx(-np.log(chances[asked]).sum(), rel=1e-12)


def test_parameters_that_compute_no_numbers_are_said_to_and_not_drawn():
    model, params = machine()
    with params.overwriting() as flat:
        flat[...] = np.inf
    page = run_page(model=model, params=params, task=TASK, settings=Settings(), events=[])
    assert "not finite from step 0 on; nothing is drawn" in page and 'aria-label="outputs' not in page
    assert first_not_finite(np.ones((3, 2)), np.array([0, 1, np.nan])) == 2
    assert first_not_finite(np.ones((3, 2))) is None


def test_a_copy_is_what_asks_for_what_was_shown_and_nothing_else():
    for task, copies in ((TASK, True), (Linkage(longest=5), True), (Graph(), False), (RepeatCopy(), False)):
        seen, _ = record(*machine(task), task, 3)
        assert is_copy(seen) is copies
    other, _ = record(*machine(), TASK, 3)
    assert not is_copy(other._replace(targets=other.targets[::-1])) and not is_copy(other._replace(length=2))


def test_a_slider_starts_before_anything_is_asked_for():
    seen, _ = record(*machine(), TASK, 4)
    assert [first_shown(seen, steps) for steps in (range(9), range(0, 9, 2), [5, 8], [0])] == [4, 2, 0, 0]
    assert first_shown(seen._replace(asked=np.ones(9, bool)), range(9)) == 0
    assert first_shown(seen._replace(asked=np.zeros(9, bool)), range(9)) == 0
