"""Where a Differentiable Neural Computer looked: what is drawn is what its step returned."""

import re

import numpy as np
import pytest
from test_report_access import TASK
from test_report_page import Outline
from test_report_svg import cells_of

from scratchattn.models import DNC
from scratchattn.nn.dnc_addressing import content_weightings
from scratchattn.nn.named_conventions import DNC_NAMES
from scratchattn.ops.dnc_read_weighting import ORDERS
from scratchattn.report import Slider, colours, dnc_access, dnc_pictures, heat_map, png, run_page, terminal
from scratchattn.report.drawing import Text
from scratchattn.report.memory_access import cropped, used_rows
from scratchattn.report.memory_pictures import written_when
from scratchattn.report.panels import lines as panels_in_terminal
from scratchattn.tasks import Copy, Graph
from scratchattn.training import Settings

KINDS = {
    "plain": {},
    "feedforward": {"controller": "feedforward", "biases": False},
    "layers": {"layers": 2, "write_heads": 2, "read_heads": 3, "dtype": "float64"},
    "deepmind": {"convention": "deepmind_dnc", "write_heads": 3, "read_heads": 1},
    "csordas": {"convention": "csordas", "write_heads": 1, "biases": False},
    "csordas, more heads": {"convention": "csordas", "write_heads": 2},
    "adnc": {"convention": "adnc", "write_heads": 2},
}
EVERY = KINDS | {f"{name} by name": {"convention": name, "write_heads": 2} for name in DNC_NAMES}
kinds, every = pytest.mark.parametrize("name", KINDS), pytest.mark.parametrize("name", EVERY)
SETTINGS = Settings(steps=8, batch=2, seed=3)


def machine(name, spread=2.0, **more):
    """A model whose parameters are so large that its gates and weightings differ from step to step."""
    model = DNC(TASK.inputs, TASK.outputs, rows=7, width=4, units=6, **{"read_heads": 2} | EVERY[name] | more)
    params = model.init(np.random.default_rng(2))
    with params.overwriting() as flat:
        flat *= spread
    return model, params


def stepped(model, params, length, seed):
    """Inputs (t, 1, i), logits (t, 1, o) and the states, the first one too, by ``model.step``."""
    xs = Copy(TASK.bits, length, length).batch(np.random.default_rng(seed), 1, model.dtype).inputs
    states, logits = [model.initial_state(params, 1)], []
    for x in xs:
        y, state = model.step(params, states[-1], x)
        states.append(state)
        logits.append(y)
    return xs, np.stack(logits), states


@every
def test_what_is_recorded_is_what_the_step_returns(name):
    model, params = machine(name)
    seen = dnc_access.dnc_access(model, params, TASK, 4, seed=5)
    xs, logits, states = stepped(model, params, 4, 5)
    assert np.array_equal(seen.inputs, xs[:, 0])
    assert np.allclose(seen.outputs, 1 / (1 + np.exp(-logits[:, 0])), atol=1e-6)
    for t, state in enumerate(states[1:]):
        for field in ("memory", "read_weightings", "write_weightings"):
            assert np.array_equal(getattr(seen, field)[t], getattr(state, field)[0]), field
        for field in ("usage", "precedence"):
            assert np.array_equal(getattr(seen.told, field)[t], getattr(state, field)[0]), field
        assert np.array_equal(seen.told.link[t], state.link[0])
        if model.cell.controller_reads == "last":
            assert np.array_equal(seen.reads[t], state.reads[0])
    assert seen.told.link_steps.tolist() == list(range(9))
    masked, sharpened = model.cell.masked, model.cell.sharpen_links
    assert (seen.told.read_masks is not None) == (seen.told.write_masks is not None) == masked
    assert (seen.told.forward_sharpness is not None) == sharpened


@every
def test_gates_allocations_and_modes_make_the_weightings_that_the_step_returned(name):
    """What is no part of a state is told anew: the paper's equations must lead from it to what is."""
    model, params = machine(name, dtype="float64")
    seen = dnc_access.dnc_access(model, params, TASK, 3, seed=1)
    told, cell = seen.told, model.cell
    xs, _, states = stepped(model, params, 3, 1)
    for t, (x, before, after) in enumerate(zip(xs, states, states[1:])):
        said = model.told(params, before, x)
        alike = content_weightings(
            said.write_keys, before.memory, said.write_strengths, said.write_masks, cell
        )
        gate, free = told.write_gates[t][:, None], told.allocation_gates[t][:, None]
        writing = gate * (free * told.allocations[t] + (1 - free) * alike[0])
        assert np.allclose(writing, after.write_weightings[0], atol=1e-12)
        kept = np.prod(1 - told.free_gates[t][:, None] * before.read_weightings[0], axis=0)
        used = 1 - (1 - before.usage[0]) * np.prod(1 - before.write_weightings[0], axis=0)
        used = used * kept
        if cell.keep_simulated_usage:
            used = 1 - (1 - used) * np.prod(1 - gate * told.allocations[t], axis=0)
        assert np.allclose(used, told.usage[t], atol=1e-12)
        alike = content_weightings(said.read_keys, after.memory, said.read_strengths, said.read_masks, cell)
        onwards = np.einsum("hij,rj->hri", after.link[0], before.read_weightings[0])
        back = np.einsum("hij,ri->hrj", after.link[0], before.read_weightings[0])
        if cell.sharpen_links:
            onwards, back = (
                _sharpened(w, s[t], cell.link_eps)
                for w, s in ((onwards, told.forward_sharpness), (back, told.backward_sharpness))
            )
        by_head = zip(told.read_modes[t], alike[0], onwards.swapaxes(0, 1), back.swapaxes(0, 1))
        h = model.write_heads
        reading = [p[:h] @ b + p[h] * c + p[h + 1 :] @ f for p, c, f, b in by_head]
        assert np.allclose(reading, after.read_weightings[0], atol=1e-12)
        assert np.array_equal(seen.write_vectors[t], said.write_vectors[0])


def _sharpened(weights, sharpness, eps):
    raised = (weights + eps) ** sharpness[..., None]
    return raised / raised.sum(axis=-1, keepdims=True)


def test_modes_are_named_whatever_order_they_come_in():
    for order in ORDERS:
        modes = np.array([{"backward": 1.0, "content": 2.0, "forward": 3.0}[n] for n in ORDERS[order]])
        assert dnc_access._in_order(modes[None, None], 1, order).ravel().tolist() == [1, 2, 3]
    two = np.array([4.0, 5, 1, 2, 3])[None, None]  # onwards, back, content of two write heads
    assert dnc_access._in_order(two, 2, "forward_backward_content").ravel().tolist() == [1, 2, 3, 4, 5]


@every
def test_weights_are_conserved(name):
    model, params = machine(name)
    seen = dnc_access.dnc_access(model, params, TASK, 4)
    for weightings in (seen.read_weightings, seen.write_weightings, seen.told.allocations):
        assert (weightings >= 0).all() and (weightings.sum(axis=-1) <= 1 + 1e-5).all()
    assert np.allclose(seen.told.read_modes.sum(axis=-1), 1, atol=1e-5)
    assert (seen.told.link.sum(axis=-1) <= 1 + 1e-5).all() and (seen.told.link.sum(axis=-2) <= 1 + 1e-5).all()
    assert (np.diagonal(seen.told.link, axis1=-2, axis2=-1) == 0).all()
    summed = np.einsum("trn,tnw->trw", seen.read_weightings, seen.memory)
    assert np.allclose(summed, seen.reads, atol=1e-5)


# ---- pictures


@kinds
def test_every_picture_shows_its_numbers(name):
    model, params = machine(name)
    seen = dnc_access.dnc_access(model, params, TASK, 4, seed=2)
    sections = dnc_pictures.dnc_sections(model, params, TASK, seen)
    page = run_page(model=model, params=params, task=TASK, settings=SETTINGS, events=[], drawn=sections)
    assert Outline(page).open == [] and len(page) < 1_000_000
    drawn = {t: s for s, t in re.findall(r"(<svg[^>]*aria-label=\"([^\".]*)\..*?</svg>)", page)}
    rows, _ = used_rows(seen, ring=False)
    told, wanted = seen.told, {}

    def add(title, matrix, heads=1, i=0, head="head", low=0.0, high=1.0):
        unit = (matrix - low) / (high - low)
        wanted[title + f", {head} {i}" * (heads > 1)] = colours.paint(np.clip(unit.T, 0, 1).astype(float))

    gates = np.concatenate([told.write_gates, told.allocation_gates, told.free_gates], axis=1)
    add("gates", gates)
    add("usage", told.usage[:, rows])
    for i in range(model.read_heads):
        add("read weightings", seen.read_weightings[:, i, rows], model.read_heads, i)
        add("read modes", told.read_modes[:, i], model.read_heads, i)
        reads = seen.reads[:, i].astype(float)
        add("reads", reads, model.read_heads, i, low=min(0, reads.min()), high=reads.max())
        if model.cell.masked:
            add(f"mask of read {i}", told.read_masks[:, i])
    for i in range(model.write_heads):
        add("write weightings", seen.write_weightings[:, i, rows], model.write_heads, i)
        add("allocation", told.allocations[:, i, rows], model.write_heads, i, "write head")
        adds = seen.write_vectors[:, i].astype(float)
        add("adds", adds, model.write_heads, i, low=min(0, adds.min()), high=adds.max())
        if model.cell.masked:
            add(f"mask of write {i}", told.write_masks[:, i])
    for title, cells in wanted.items():
        assert np.array_equal(cells_of(drawn[title], cells.shape[:2]), cells), title
    assert ("sharpness back" in drawn) == ("sharpness onwards" in drawn) == model.cell.sharpen_links
    assert ("mask of read 0" in drawn) == model.cell.masked


@kinds
def test_links_precedence_and_memory_are_shown_step_by_step(name):
    model, params = machine(name)
    seen = dnc_access.dnc_access(model, params, TASK, 4, seed=2)
    sections = dnc_pictures.dnc_sections(model, params, TASK, seen)
    links, memory = (block for section in sections for block in section.blocks if isinstance(block, Slider))
    rows, _ = used_rows(seen, ring=False)
    assert [label for label, _ in links.frames] == [label for label, _ in memory.frames]
    assert [label for label, _ in links.frames] == [str(i) for i in range(9)]
    assert links.start == memory.start == 4
    for t, (_, drawing) in enumerate(links.frames):
        pixels = [mark.pixels for mark in drawing.marks if hasattr(mark, "pixels")][::2]  # without the scales
        for i in range(model.write_heads):
            link, last = pixels[2 * i : 2 * i + 2]
            assert np.array_equal(link, _paint(seen.told.link[t, i][rows][:, rows]))
            assert np.array_equal(last[:, 0], _paint(seen.told.precedence[t, i, rows][None])[0])
    low, high = min(0.0, seen.memory[:, rows].min()), seen.memory[:, rows].max()
    kept, heads = [mark.pixels for mark in memory.frames[6][1].marks if hasattr(mark, "pixels")][::2]
    assert np.array_equal(kept, heat_map(seen.memory[6][rows], low=low, high=high).marks[0].pixels)
    every = np.vstack([seen.told.usage[6], seen.read_weightings[6], seen.write_weightings[6]])
    assert np.array_equal(heads, _paint(every[:, rows].T))


def _paint(weights):
    return colours.paint(np.clip(weights.astype(float), 0, 1))


def test_of_many_steps_some_links_are_kept_and_named(monkeypatch):
    monkeypatch.setattr(dnc_access, "MOST", 3)
    model, params = machine("plain")
    seen = dnc_access.dnc_access(model, params, TASK, 4, seed=2)
    _, _, states = stepped(model, params, 4, 2)
    assert seen.told.link_steps.tolist() == [0, 3, 6] and len(seen.told.precedence) == 9
    for link, step in zip(seen.told.link, seen.told.link_steps, strict=True):
        assert np.array_equal(link, states[step + 1].link[0])
    links = dnc_pictures._links(seen, list("abcdefghi"), np.arange(7))
    assert [label for label, _ in links.frames] == ["0", "3", "6"] and links.start == 1
    assert "One in 3 steps is shown." in links.caption
    for (_, drawing), name, step in zip(links.frames, "adg", (0, 3, 6)):
        assert drawing.title == f"after step {name}, links, last"
        last = [mark.pixels for mark in drawing.marks if hasattr(mark, "pixels")][2]
        assert np.array_equal(last[:, 0], _paint(seen.told.precedence[step, 0]))


def test_every_head_gate_and_mode_has_its_name():
    model, params = machine("layers")
    seen = dnc_access.dnc_access(model, params, TASK, 4, seed=2)
    panels = {panel.title: panel for panel in dnc_pictures._panels(seen, np.arange(7))}
    gates = ["write 0", "write 1", "allocate 0", "allocate 1", "free 0", "free 1", "free 2"]
    assert panels["gates"].row_names == gates
    assert panels["read modes, head 2"].row_names == ["back 0", "back 1", "content", "onwards 0", "onwards 1"]
    shown = [mark.text for mark in heat_map(**panels["gates"]._asdict()).marks if isinstance(mark, Text)]
    assert set(gates) <= set(shown)
    plain = dnc_access.dnc_access(*machine("plain"), TASK, 4, seed=2)
    one = {panel.title: panel for panel in dnc_pictures._panels(plain, np.arange(7))}
    assert one["gates"].row_names == ["write", "allocate", "free 0", "free 1"]
    assert one["read modes, head 1"].row_names == ["back", "content", "onwards"]
    many = heat_map(np.zeros((2, 40)), row_names=["one", "another"], width=300)
    assert {"one", "another"} <= {mark.text for mark in many.marks if isinstance(mark, Text)}
    text = dnc_pictures.draw_terminal(seen, colour=False, width=100)
    for word in (*gates, *panels, "onwards 1"):
        assert word in text, word
    for title in ("gates", "read modes, head 2"):
        drawn = panels_in_terminal([panels[title]], colour=False, width=40)
        margin = max(map(len, panels[title].row_names))
        for line, name, row in zip(drawn[1:], panels[title].row_names, panels[title].matrix):
            inked = terminal.heat_map(row[None], colour=False, low=0, high=1, width=40)
            assert line == f"{name:>{margin}} {inked}".rstrip(" ")
    for width in (9, 40, 200):
        for colour in (False, True):
            lines = dnc_pictures.draw_terminal(seen, colour=colour, width=width).split("\n")[:-2]
            longest = max(len(title) for title in panels)
            assert max(map(terminal.shown, lines)) <= max(width, longest)


def test_when_what_is_read_was_written_is_drawn_and_said_of_copies():
    model, params = machine("layers")
    seen = dnc_access.dnc_access(model, params, TASK, 4, seed=2)
    writing, reading = np.zeros((9, 2, 7)), np.zeros((9, 3, 7))
    writing[range(4), 1, [3, 1, 6, 2]] = reading[range(5, 9), 2, [3, 1, 6, 4]] = 0.5
    reading[:, 0, 5] = 1.0  # stands on a row that nobody writes
    seen = seen._replace(write_weightings=writing, read_weightings=reading)
    figure, told = written_when(seen, True)
    assert told.startswith("Of what read head 2, the best, reads when a vector is asked for, 0.19 was")
    wanted = np.zeros((9, 9))
    wanted[range(3), range(5, 8)] = 0.25 / 3  # written at 0, 1, 2, read at 5, 6, 7 by one of three heads
    assert np.array_equal(figure.drawing.marks[1].pixels, colours.paint(wanted))
    writing[4, 0, 3] = 0.5  # overwritten before it is read
    figure, told = written_when(seen, True)
    wanted[0, 5], wanted[4, 5] = 0.125 / 3, 0.25 / 3
    assert np.array_equal(figure.drawing.marks[1].pixels, colours.paint(wanted)) and "0.16 was" in told
    assert len(list(written_when(seen._replace(length=None), True))) == 1


def test_the_mean_modes_are_those_of_the_steps_that_are_asked_for():
    model, params = machine("layers")
    seen = dnc_access.dnc_access(model, params, TASK, 4, seed=2)
    modes = np.zeros((9, 3, 5))
    modes[:5, :, 2] = 1  # by content while nothing is asked for
    modes[5:] = [0.1, 0.05, 0.25, 0.2, 0.4]
    seen = seen._replace(told=seen.told._replace(read_modes=modes))
    said = dnc_pictures._modes_in_words(seen)
    assert "go back by 0.15 of 1, to what is alike by 0.25, onwards by 0.60, on average" in said
    none = seen._replace(asked=np.zeros(9, bool))
    assert dnc_pictures._modes_in_words(none) == "Nothing is asked for in this sequence."


def test_rows_that_no_head_uses_are_left_out_wherever_they_are():
    model, params = machine("plain")
    seen = dnc_access.dnc_access(model, params, TASK, 2)
    heavy = np.zeros_like(seen.read_weightings)
    heavy[1, 0, [1, 4, 6]] = 0.5
    seen = seen._replace(read_weightings=heavy, write_weightings=np.full_like(seen.write_weightings, 0.04))
    rows, told = cropped(seen, ring=False)
    assert rows.tolist() == [1, 4, 6]
    assert told == "3 of 7 rows are shown; on every other row no head ever puts more than 0.04."


def test_the_png_is_written_whole(tmp_path):
    model, params = machine("csordas, more heads")
    seen = dnc_access.dnc_access(model, params, TASK, 4)
    path = dnc_pictures.draw_png(tmp_path / "a.png", seen, scale=1)
    assert path.stat().st_size > 5_000 and png.SIGNATURE == path.read_bytes()[:8]


def test_parameters_that_compute_no_numbers_are_said_to_and_not_drawn():
    model, params = machine("plain")
    with params.overwriting() as flat:
        flat[...] = np.nan
    page = run_page(model=model, params=params, task=TASK, settings=SETTINGS, events=[])
    assert "not finite from step 0 on; nothing is drawn" in page and "The links" not in page


def test_classes_are_shown_as_shares_of_one():
    task = Graph(digits=1, most=6, fewest=5)
    model = DNC(task.inputs, task.outputs, rows=6, width=4, units=5)
    seen = dnc_access.dnc_access(model, model.init(np.random.default_rng(0)), task, None, 3)
    assert np.allclose(seen.outputs.reshape(len(seen.outputs), 3, 10).sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("rows, longest", [(128, 20), (256, 100), (12, 200)])
def test_the_page_of_a_large_dnc_stays_below_a_megabyte(rng, rows, longest):
    """With noise everywhere, which does not compress: the most that there can be to draw."""
    task = Copy(longest=longest)
    model = DNC(task.inputs, task.outputs, rows=rows, width=64, units=16, read_heads=4)
    seen = dnc_access.dnc_access(model, model.init(rng), task, longest, 0)
    noise = lambda held: {
        name: rng.random(value.shape)
        for name, value in held._asdict().items()
        if isinstance(value, np.ndarray) and name not in ("asked", "link_steps")
    }
    seen = seen._replace(told=seen.told._replace(**noise(seen.told)), **noise(seen))
    drawn = dnc_pictures.dnc_sections(model, model.init(rng), task, seen)
    page = run_page(model=model, params=None, task=task, settings=SETTINGS, events=[], drawn=drawn)
    assert 100_000 < len(page.encode()) < 1_000_000
    assert 4 <= page.count('class="frame"') <= 2 * 48
