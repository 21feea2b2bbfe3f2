"""Where the heads of a Neural Turing Machine looked: recorded truly, cropped fairly, judged strictly."""

from itertools import product

import numpy as np
import pytest

from scratchattn.calculus import softmax
from scratchattn.models import NTM
from scratchattn.nn.named_conventions import NTM_NAMES
from scratchattn.nn.ntm_cell import told_heads
from scratchattn.report import html, ntm
from scratchattn.report.memory_access import crop_in_words
from scratchattn.report.ntm_pictures import _reads_last, ntm_sections
from scratchattn.tasks import Copy

TASK = Copy(bits=3, shortest=1, longest=4)
KINDS = [
    {},
    {"controller": "feedforward", "engine": "reference"},
    {"read_heads": 2, "write_heads": 3, "shifts": 5, "dtype": "float64"},
]


def machine(**kind):
    model = NTM(TASK.inputs, TASK.outputs, rows=9, width=4, units=5, **kind)
    return model, model.init(np.random.default_rng(3))


def walk(length=6, rows=16, start=14, direction=1, sharp=0.9, back=False):
    """An Access whose heads walk by one row a step: one head writes, one reads."""
    weightings = np.full((2 * length + 1, 1, rows), (1 - sharp) / (rows - 1))
    write, read = weightings.copy(), weightings.copy()
    for i in range(length):
        write[i, 0, (start + direction * i) % rows] = sharp
        read[length + 1 + i, 0, (start + direction * (length - 1 - i if back else i)) % rows] = sharp
    asked = np.arange(2 * length + 1) > length
    empty, vectors = np.zeros((2 * length + 1, 3)), np.zeros((2 * length + 1, 1, 2))
    said = (empty, empty, asked, empty, length, {"wrong_bits": 0.0}, 0, None)
    return ntm.Access(*said, read, write, vectors, vectors, None, None)


# ---- what was recorded


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_recorded_sequence_is_the_one_that_the_model_runs(kind):
    model, params = machine(**kind)
    seen = ntm.access(model, params, TASK, 4, seed=5)
    heads, steps = model.heads, 9
    assert seen.inputs.shape == (steps, 4) and seen.outputs.shape == seen.targets.shape == (steps, 3)
    assert seen.read_weightings.shape == (steps, model.read_heads, 9)
    assert seen.write_weightings.shape == (steps, model.write_heads, 9)
    assert seen.told.gate.shape == seen.told.strength.shape == seen.told.sharpness.shape == (steps, heads)
    assert seen.told.shift.shape == (steps, heads, model.shifts)
    assert np.allclose(seen.told.shift.sum(axis=-1), 1, rtol=1e-5) and (seen.told.sharpness >= 1).all()
    assert seen.asked.tolist() == [False] * 5 + [True] * 4 and seen.length == 4 and seen.seed == 5
    assert seen.metrics["wrong_bits"] == ((seen.outputs > 0.5) != (seen.targets > 0.5))[seen.asked].sum() > 0
    batch = Copy(3, 4, 4).batch(np.random.default_rng(5), 1, model.dtype)
    logits, last = model.sequence(params, model.initial_state(params, 1), batch.inputs)
    assert np.array_equal(batch.inputs[:, 0], seen.inputs) and np.array_equal(
        batch.targets[:, 0], seen.targets
    )
    assert np.allclose(seen.outputs, 1 / (1 + np.exp(-logits[:, 0])), atol=1e-6)
    both = np.concatenate([seen.read_weightings[-1], seen.write_weightings[-1]])
    assert np.allclose(both, last.weightings[0], atol=1e-6)
    assert ntm.engine_difference(model, params, TASK, seen) < 1e-6


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_gates_are_those_of_the_step_that_they_are_drawn_at(kind):
    """A head's parameters follow from the controller's units, which are read off the state or made here."""
    model, params = machine(**kind)
    seen = ntm.access(model, params, TASK, 2)
    state = model.initial_state(params, 1)
    heads, width = model.heads, model.width
    for t, x in enumerate(seen.inputs.astype(model.dtype)):
        if model.controller == "lstm":
            _, state = model.step(params, state, x[None])
            units = state.hidden[0]
        else:
            units = np.tanh(
                np.concatenate([x, state.reads[0].ravel()]) @ params["input_weights"] + params["bias"]
            )
            _, state = model.step(params, state, x[None])
        raw = (units @ params["head_weights"] + params["head_bias"])[
            heads * width + 2 * model.write_heads * width :
        ]
        gate, strength, sharpness, shift = np.split(raw, [heads, 2 * heads, 3 * heads])
        assert np.allclose(seen.told.gate[t], 1 / (1 + np.exp(-gate)), atol=1e-6)
        assert np.allclose(seen.told.strength[t], np.log1p(np.exp(strength)), atol=1e-6)
        assert np.allclose(seen.told.sharpness[t], 1 + np.log1p(np.exp(sharpness)), atol=1e-6)
        assert np.allclose(seen.told.shift[t], softmax(np, shift.reshape(heads, -1))[0], atol=1e-6)


def test_heads_that_read_and_write_by_one_weighting_and_move_by_one_number_are_drawn_once():
    model, params = machine(convention="fumin", controller="feedforward", read_heads=2, write_heads=2)
    seen = ntm.access(model, params, TASK, 3)
    assert (seen.read_weightings == seen.write_weightings).all() and seen.told.gate.shape[1] == 2
    assert seen.told.shift.shape == (7, 2, 3) and np.allclose(seen.told.shift.sum(axis=-1), 1, rtol=1e-6)
    amount = seen.told.shift[..., 2] - seen.told.shift[..., 0]  # rows that the focus moves by
    state = model.initial_state(params, 1)
    told, *_ = told_heads(seen.inputs[:1].astype("float32"), state, model.weights(params), model.cell)
    assert np.allclose(amount[0], -told.shift[0], atol=1e-6)
    page = ntm_sections(model, params, TASK, seen)
    assert len(page) == 4 and "head 1 is read and write 1" in str(page) and "head 2" not in str(page)


@pytest.mark.parametrize("name", NTM_NAMES)
def test_every_convention_is_recorded_as_it_steps_and_drawn(name):
    model, params = machine(convention=name, read_heads=2, write_heads=2, dtype="float64")
    seen = ntm.access(model, params, TASK, 3, seed=2)
    batch = Copy(3, 3, 3).batch(np.random.default_rng(2), 1, model.dtype)
    state = model.initial_state(params, 1)
    for t, x in enumerate(batch.inputs):
        before = state
        _, state = model.step(params, state, x)
        kept = state.memory[0] if _reads_last(model.cell) else before.memory[0]
        if model.cell.heads != "in_turn":
            assert np.allclose(seen.read_weightings[t] @ kept, seen.reads[t], atol=1e-12)
        assert np.array_equal(seen.reads[t], state.reads[0])
        assert np.array_equal(seen.memory[t], state.memory[0])
        shown = {row.tobytes() for kind in (seen.read_weightings, seen.write_weightings) for row in kind[t]}
        assert shown == {row.tobytes() for row in state.weightings[0]}
    assert ntm.engine_difference(model, params, TASK, seen) < 1e-12
    titles = [section.title for section in ntm_sections(model, params, TASK, seen)]
    assert titles == ["One copy", "Where the heads look", "The memory through time", html.UNCHECKED]


def test_other_lengths_are_measured_on_sequences_of_that_length():
    model, params = machine()
    (short, long) = ntm.at_lengths(model, params, TASK, (1, 12), sequences=5)
    assert (short.length, short.bits, short.sequences) == (1, 3, 5) and long.bits == 36
    assert 0 <= short.wrong_bits <= short.worst <= 3 and 0 < long.wrong_bits <= long.worst <= 36
    assert ntm.at_lengths(model, params, TASK, (12,), sequences=5) == [long]
    with pytest.raises(ValueError, match="int has no shortest"):
        ntm.access(model, params, 3, 4)


# ---- rows and diagonals


def test_the_rows_drawn_are_the_shortest_stretch_of_the_ring_that_holds_all_that_is_used(rng):
    for size, share in product(range(1, 12), (0.1, 0.4, 0.9)):
        heavy = np.where(rng.uniform(size=size) < share, rng.choice([0.06, 0.7], size), 0.01)
        seen = walk()._replace(write_weightings=heavy[None, None], read_weightings=heavy[None, None] / 2)
        rows, elsewhere = ntm.used_rows(seen)
        used = set(np.flatnonzero(heavy > 0.05))
        if not used:
            assert rows.tolist() == list(range(size)) and elsewhere == 0
            continue
        stretches = [[(s + i) % size for i in range(n)] for n in range(1, size + 1) for s in range(size)]
        shortest = min((s for s in stretches if used <= set(s)), key=len)
        assert rows.tolist() in stretches and used <= set(rows) and len(rows) == len(shortest)
        assert elsewhere == (0.01 if len(rows) < size else 0)


def test_of_two_shortest_stretches_the_one_that_does_not_cross_the_end_is_drawn():
    heavy = np.zeros((1, 1, 8))
    heavy[..., [1, 5]] = 1
    rows, _ = ntm.used_rows(walk()._replace(write_weightings=heavy, read_weightings=heavy))
    assert rows.tolist() == [1, 2, 3, 4, 5]


def test_what_is_cropped_is_said():
    assert crop_in_words(np.arange(8), 0.0, 8) == "All 8 rows of the memory are shown."
    text = crop_in_words(np.array([7, 0, 1]), 0.0312, 8)
    assert "Rows 7 to 1 of 8 are shown, over the end" in text and "more than 0.031." in text


@pytest.mark.parametrize("direction, start", [(1, 14), (-1, 2), (1, 0)])
def test_a_diagonal_scores_as_much_as_it_is_sharp(direction, start):
    for sharp in (1.0, 0.6):
        found = ntm.diagonality(walk(direction=direction, start=start, sharp=sharp))
        assert found.steps == found.write_steps == found.read_steps == found.same_rows == 1
        assert found.direction == direction and found.score == pytest.approx(sharp) == found.weight


def test_what_is_no_diagonal_does_not_score(rng):
    flat, still, jumping = walk(sharp=1 / 16), walk(direction=0), walk(direction=5)
    assert [ntm.diagonality(seen).score for seen in (flat, still, jumping)] == [0, 0, 0]
    back = ntm.diagonality(walk(back=True, sharp=1.0))  # read in the reverse order: no copy
    assert back.steps == 0.5 and {back.write_steps, back.read_steps} == {0, 1} and back.same_rows == 0
    noise = [
        ntm.diagonality(
            walk(20, 64)._replace(
                **{f"{k}_weightings": w / w.sum(-1, keepdims=True) for k in ("write", "read")}
            )
        )
        for w in rng.uniform(size=(5, 41, 1, 64))
    ]
    assert max(found.score for found in noise) < 0.01
    for few in (walk(1), walk(4, rows=2, start=0)):
        with pytest.raises(ValueError, match="at least 2 vectors and 3 rows expected"):
            ntm.diagonality(few)


def test_one_step_amiss_is_counted():
    seen = walk(sharp=1.0)
    seen.read_weightings[-1] = np.roll(seen.read_weightings[-1], 1, axis=-1)
    found = ntm.diagonality(seen)
    assert (found.steps, found.read_steps, found.same_rows) == pytest.approx((9 / 10, 4 / 5, 5 / 6))
    told = ntm.diagonality_in_words(found)
    assert "0.900 of 1" in told and "80.0% of the reading steps" in told and "83.3% of the vectors" in told


def test_of_several_heads_the_pair_that_walks_speaks():
    one = walk(sharp=0.8)
    idle = np.full_like(one.write_weightings, 1 / 16)
    seen = one._replace(
        write_weightings=np.concatenate([idle, idle, one.write_weightings], axis=1),
        read_weightings=np.concatenate([idle, one.read_weightings], axis=1),
    )
    found = ntm.diagonality(seen)
    assert (found.write_head, found.read_head) == (2, 1) and found.score == pytest.approx(0.8)
