"""The report on a Neural Turing Machine: what it shows was computed, what it claims was measured."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from test_report import decoded
from test_report_access import KINDS, TASK, machine, walk
from test_report_svg import cells_of

from scratchattn.models import NTM
from scratchattn.report import alignment, bars, colours, curve, heat_map, html, image_strip, ntm, terminal
from scratchattn.report.axes import number, scaled
from scratchattn.report.environment import environment
from scratchattn.training import Settings, train

SETTINGS = Settings(steps=6, batch=2, log_every=2, eval_every=3, eval_batches=1, eval_batch=2, seed=7)


class Outline(HTMLParser):
    """Tags opened and not closed, words, and every attribute of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.attributes, self.tags = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta", "br", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def test_the_terminal_shows_the_diagonal():
    text = ntm.draw_terminal(walk(sharp=1.0), colour=False, width=100)
    lines = text.split("\n")
    top = next(i for i, line in enumerate(lines) if "write weightings" in line)
    left = lines[top].index("write weightings")
    assert [line.index("@", left) - left for line in lines[top + 1 : top + 7]] == list(range(6))
    assert "Rows 14 to 3 of 16" in text and "0 of 18 bits wrong" in text
    for width in (5, 30, 200):
        for colour in (False, True):
            lines = ntm.draw_terminal(walk(), colour=colour, width=width).split("\n")[:-2]
            assert max(map(terminal.shown, lines)) <= max(width, len("write weightings"))


def test_the_png_is_written_whole(tmp_path):
    path = ntm.draw_png(tmp_path / "a.png", walk(sharp=1.0), scale=1)
    image = decoded(path.read_bytes())
    assert (image == colours.SCALE[-1]).all(axis=-1).sum() > 12 * 10 * 10  # twelve bright cells


@pytest.fixture(scope="module")
def pages():
    """Pages of every kind of machine, with their Outlines."""
    made = []
    for kind in KINDS:
        model, _ = machine(**kind)
        params, events = train(model, TASK, SETTINGS, quiet=True)
        more = {
            "unchecked": ["<b>a & b</b>"],
            "sections": [html.Section("Extra", [html.Table([("x", 1.5)])])],
        }
        page = ntm.ntm_page(model, params, TASK, SETTINGS, events, lengths={9: 4.25}, seed=2, **more)
        made.append((page, Outline(page), ntm.access(model, params, TASK, 4, 2), events))
    return made


def test_the_page_stands_alone_and_is_well_formed(pages):
    for page, outline, *_ in pages:
        assert outline.open == [] and page.count("<h1>") == 1
        assert "url(" not in page and "script" not in outline.tags and "link" not in outline.tags
        for tag, name, value in outline.attributes:
            assert not (name in ("src", "href") and not value.startswith("data:image/png")), (
                tag,
                name,
                value,
            )
            assert not name.startswith("on")
        assert not re.search(r"https?:(?!//www.w3.org/2000/svg\")", page)


def test_the_page_says_what_was_measured(pages):
    for _, outline, seen, events in pages:
        words = " ".join(outline.words)
        last = [event for event in events if event["event"] == "evaluation"][-1]
        for fact in (
            f"{last['wrong_bits']:.6g}", "12 sequences", "seed 7",
            f"{seen.metrics['wrong_bits']:.0f} of 12 bits wrong",
            ntm.diagonality_in_words(ntm.diagonality(seen)), "4.25", "<b>a & b</b>", "Extra", np.__version__,
            "What was not checked", "Other seeds", "learning_rate", "0.0001", "mean over 2 updates",
        ):  # fmt: skip
            assert fact in words, fact


def test_the_training_curve_counts_sequences(pages):
    page, _, _, events = pages[0]
    (drawn,) = re.findall(r"<svg[^>]*aria-label=\"wrong bits\..*?</svg>", page)
    assert [event["step"] for event in events if event["event"] == "train"] == [2, 4, 6]
    labels = re.findall(r'<text x="[\d.]+" y="[\d.]+">(\d+)</text>', drawn)
    assert labels == ["4", "6", "8", "10", "12"]  # of two sequences each
    assert "training: 3 points" in drawn and "evaluation: 2 points" in drawn


def test_the_page_draws_the_weightings(pages):
    for page, _, seen, _ in pages:
        rows, _ = ntm.used_rows(seen)
        drawn = {t: s for s, t in re.findall(r"(<svg[^>]*aria-label=\"([^\".]*)\..*?</svg>)", page)}
        wanted = colours.paint(seen.told.gate.T.astype(float))
        assert np.array_equal(cells_of(drawn["gate"], wanted.shape[:2]), wanted)
        heads = [f"read {i}" for i in range(seen.read_weightings.shape[1])]
        heads += [f"write {i}" for i in range(seen.write_weightings.shape[1])]
        for i, name in enumerate(heads):
            wanted = colours.paint(seen.told.shift[:, i].T.astype(float))
            assert np.array_equal(cells_of(drawn[f"shift of {name}"], wanted.shape[:2]), wanted)
            for title, values in (
                ("strength", seen.told.strength[:, i]),
                ("sharpness", seen.told.sharpness[:, i]),
            ):
                low, high, last = map(number, (values.min(), values.max(), values[-1]))
                assert f"{name}: 9 points from {low} to {high}, the last {last}" in drawn[title]
        for kind, vectors in (("adds", seen.write_vectors), ("reads", seen.reads)):
            for i in range(vectors.shape[1]):
                title, values = kind + f", head {i}" * (vectors.shape[1] > 1), vectors[:, i].T
                wanted = colours.paint(scaled(values)[0].astype(float))
                assert np.array_equal(cells_of(drawn[title], wanted.shape[:2]), wanted)
        for kind, weightings in (("write", seen.write_weightings), ("read", seen.read_weightings)):
            for i in range(weightings.shape[1]):
                title = f"{kind} weightings" + f", head {i}" * (weightings.shape[1] > 1)
                wanted = colours.paint(weightings[:, i, rows].T.astype(float))
                assert np.array_equal(cells_of(drawn[title], wanted.shape[:2]), wanted)


def test_a_page_can_be_made_of_little():
    model = NTM(TASK.inputs, TASK.outputs, rows=2, width=3, units=3)
    params = model.init(np.random.default_rng(0))
    page = ntm.ntm_page(model, params, TASK, SETTINGS, [], length=1)
    assert (
        "training was not logged" in page and "No evaluation was logged" in page and "No diagonality" in page
    )
    json.dumps(environment())


def test_text_is_escaped_everywhere():
    page = html.page("<x>", [html.Section("&", ["\x00<i>\ud800", html.Table([("<td>", None)], caption='"')])])
    assert "<x>" not in page and "<i>" not in page and "<td><td>" not in page and "\x00" not in page
    assert page.encode() and Outline(page).open == []
    bad = "\x00<i>\ud800\uffff\"'&"
    drawn = [
        curve({bad: ([0, 1], [0, 1])}, title=bad, x_label=bad, y_label=bad),
        bars([1.0], names=[bad], title=bad),
        alignment(np.eye(1), [bad], [bad], title=bad, x_label=bad),
        image_strip([np.eye(3)], captions=[bad], title=bad),
        heat_map(np.eye(2), title=bad),
    ]
    slider = html.Slider([(bad, one) for one in drawn], bad, bad)
    page = html.page(
        bad,
        [html.Section(bad, [*[html.Figure(one, bad) for one in drawn], slider, html.Note(bad)])],
        notes=[bad],
    )
    outline = Outline(page)
    assert "<i>" not in page and page.encode() and outline.open == [] and "i" not in outline.tags


def test_each_slider_has_buttons_of_its_own():
    frames = [(str(i), heat_map(np.eye(2))) for i in range(3)]
    both = [html.Slider(frames), html.Slider(frames, start=2)]
    page = html.page("", [html.Section("", both), html.Section("", [html.Slider(frames[:2])])])
    found = re.findall(r'type="radio" name="([^"]*)"[^>]*?( checked)?>', page)
    assert [len({name for name, _ in found}), len(found)] == [3, 8]
    assert [i for i, (_, checked) in enumerate(found) if checked] == [0, 5, 6]
    assert ".frame:nth-child(3)" in page and ".frame:nth-child(4)" not in page  # as many rules as are needed


def test_what_is_no_block_is_refused():
    with pytest.raises(TypeError, match="got int"):
        html.page("", [html.Section("", [3])])
    with pytest.raises(TypeError, match="must hold a Drawing, got str"):
        html.page("", [html.Section("", [html.Figure("<svg></svg>")])])
    for frames, start in (([], 0), ([("0", heat_map(np.eye(2)))], 1)):
        with pytest.raises(ValueError, match="a slider needs frames"):
            html.page("", [html.Section("", [html.Slider(frames, start=start)])])
