"""Bars, images, paths, strokes and alignments show what the numbers say: read back from their marks."""

import sys
from types import ModuleType

import numpy as np
import pytest
from test_report import oklab

from scratchattn.report import (
    Figure,
    Items,
    Note,
    Section,
    Slider,
    Table,
    alignment,
    bars,
    colours,
    curve,
    heat_map,
    image_strip,
    path_on_image,
    strokes,
    svg,
)
from scratchattn.report.drawing import Box, Line, Pixels, Text, room, wrapped

ENGLISH = "the quick brown fox , however , jumped over an extraordinarily lazy dog .".split()
FRENCH = "le renard brun a cependant sauté par-dessus un chien extraordinairement paresseux .".split()


def gallery():
    """Sections with every part, in sizes that models will ask for."""
    rng = np.random.default_rng(0)
    x, y = np.mgrid[:28, :28]
    digit = np.exp(-(((np.hypot(x - 14, y - 14) - 8) / 2) ** 2))
    weights = np.exp(-0.5 * (np.arange(len(FRENCH))[:, None] - np.arange(len(ENGLISH))) ** 2)
    turn, steps = np.linspace(0, 40, 400), np.arange(30_000)
    walk = 14 + 9 * np.stack([np.cos(turn), np.sin(turn)], axis=1)[:80:10]
    pen = np.stack([4 * turn + 3 * np.cos(3 * turn), 5 * np.sin(3 * turn)], axis=1)
    twelve = [f"step {i}" for i in range(12)]
    names = ["read 0", "read 1", "write 0", "a much longer name of a head"]
    long = "a title that is too long for one line of the picture that it belongs to"
    return [
        Section("Curves", [
            Figure(curve({"training": (steps, 5 * 0.9999**steps), "test": (steps[::2000], steps[::2000])},
                         title="wrong bits", x_label="sequences"), "A caption."),
            Figure(curve({n: rng.normal(size=50).cumsum() for n in names}, title=long, y_label="strength")),
            Figure(curve(2e-7 * rng.random(30), title="small")),
        ]),
        Section("Bars", [
            Figure(bars([0.05, 0.1, 0.3, 0.4, 0.15], errors=[0.01, 0.02, 0.05, 0.1, 0.05], x_label="step")),
            Figure(bars({"model": rng.random(9), "target": rng.random(9)}, names=ENGLISH[:9], y_label="s")),
            Figure(bars(rng.normal(size=60), title="sixty, some below zero", x_label="step")),
        ]),
        Section("Images", [
            Figure(image_strip([digit * i / 11 for i in range(12)], title="canvases", captions=twelve)),
            Figure(image_strip([rng.random((16, 24, 3))] * 3, captions=["one", "two", "a longer caption"])),
            Figure(path_on_image(walk, digit, sizes=6, title="glimpses"), "Where it looked."),
            Figure(strokes(pen, np.arange(400) % 100 == 99, title="handwriting")),
        ]),
        Section("Words", [
            Figure(alignment(weights, ENGLISH, FRENCH, title="attention", x_label="from", y_label="to")),
            Figure(alignment(np.eye(4), list("abcd"), list("wxyz"))),
            Figure(alignment(np.eye(40), [f"word{i}" for i in range(40)], [f"mot{i}" for i in range(40)])),
        ]),
        Section("Matrices", [
            Figure(heat_map(rng.normal(size=(128, 20)), title="high", x_label="column", y_label="row")),
            Figure(heat_map(rng.random((3, 2000)), title="pooled", x_label="step")),
            Slider([(f"{i}", heat_map(np.roll(np.eye(9), i, 1), title=f"{i}")) for i in range(12)], "Move."),
        ]),
        Section("Rest", [
            Note("Not to be missed."), Items(["one", "two"]), "Words.",
            Table([("x", 1.5), ("y", 2)], ("a", "b"), "cap"), Table([("file", "a/" + 90 * "x")]),
        ]),
    ]  # fmt: skip


def marks(drawn, kind):
    return [mark for mark in drawn.marks if isinstance(mark, kind)]


def said(drawn):
    return {mark.text: mark for mark in marks(drawn, Text)}


# ---- bars


def test_bars_are_as_high_as_their_numbers_and_start_at_zero():
    values = np.array([1.0, -0.5, 0.25, np.nan])
    drawn = bars(values, names=["a", "b", "c", "d"], errors=[[0.2, 0.1, 0.1, 0.1], [0.4, 0.1, 0.2, 0.1]])
    one, two, three = marks(drawn, Box)  # a NaN has none
    assert one.height == pytest.approx(2 * two.height) == pytest.approx(4 * three.height)
    assert one.y + one.height == pytest.approx(two.y) == pytest.approx(three.y + three.height)
    whisker = next(line for line in marks(drawn, Line) if len(line.x) == 8)
    unit = one.height  # of one
    top, bottom = one.y - 0.4 * unit, one.y + 0.2 * unit
    assert (np.nanmin(whisker.y), np.nanmax(whisker.y)) == pytest.approx((top, bottom))
    assert whisker.x[0] == pytest.approx(one.x + one.width / 2) == pytest.approx(said(drawn)["a"].x)
    assert "3 bars, the highest 1, a" in drawn.description


def test_groups_of_bars_stand_over_their_names_in_their_colours():
    drawn = bars({"model": [1, 2], "target": [2, 1]}, names=["cat", "dog"])
    keys, bodies = marks(drawn, Box)[:2], marks(drawn, Box)[2:]
    assert [body.colour for body in bodies] == [keys[0].colour] * 2 + [keys[1].colour] * 2
    for i, name in enumerate(("cat", "dog")):
        inner = bodies[i].x + bodies[i].width, bodies[2 + i].x
        assert inner[0] <= said(drawn)[name].x <= inner[1] and inner[1] - inner[0] < 10


def test_no_two_series_look_alike():
    lines = [m for m in marks(curve({f"{i}": [1, 2] for i in range(16)}), Line) if m.colour != "text"]
    assert len({(line.colour, line.dash) for line in lines}) == 16 and len(lines) == 32  # and their keys
    drawn = bars({f"{i}": [1, 2] for i in range(8)})
    full = [(mark.colour, True) for mark in marks(drawn, Box)]
    hollow = [(mark.colour, False) for mark in marks(drawn, Line) if mark.colour != "text"]
    assert len(set(full + hollow)) == 8 and len(full + hollow) == 8 * 3


DEFECTS = {  # of colour vision, complete, on linear red, green, blue: Machado, Oliveira, Fernandes, 2009
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_bars_of_one_body_differ_for_every_kind_of_colour_vision(defect):
    """Of up to four series two are full and two hollow; between bodies colour need not speak."""
    found = []
    for colour in colours.LINES:
        srgb = np.array(colours.of_hex(colour)) / 255
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        found.append(oklab(np.clip(np.array(DEFECTS[defect]) @ linear, 0, 1)))
    for one, other in ((0, 1), (2, 3)):
        assert np.linalg.norm(found[one] - found[other]) > 0.12  # of 1 from black to white


def test_bars_that_make_no_sense_are_refused():
    for wrong, match in (
        ({"names": ["a"]}, "one length, got 1"),
        ({"errors": [-1, 1]}, "none below zero"),
        ({"errors": {"x": [1, 1]}}, r"errors must be of \[''\], got \['x'\]"),
    ):
        with pytest.raises(ValueError, match=match):
            bars([1, 2], **wrong)
    with pytest.raises(ValueError, match=r"at most \d+ words have room, got 200"):
        bars(np.ones(200), names=["word"] * 200)


# ---- images


def test_a_strip_holds_its_images_in_order_with_their_captions():
    grey, colour = np.array([[0.0, 0.5], [1.0, np.nan]]), np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    drawn = image_strip([grey, colour, grey, grey, grey], captions="abcde", height=80)
    first, second, *rest = marks(drawn, Pixels)
    assert first.pixels[:, :, 0].tolist()[0] == [0, 128] and first.pixels[1, 0].tolist() == [255] * 3
    assert tuple(first.pixels[1, 1]) == colours.MISSING and np.array_equal(second.pixels, colour)
    assert (first.width, second.width, second.height) == (80, 160, 80) and rest[-1].y > first.y + 80
    for image, caption in zip(marks(drawn, Pixels), "abcde"):
        word = said(drawn)[caption]
        assert word.x == pytest.approx(image.x + image.width / 2, abs=1) and 0 < word.y - image.y - 80 < 20
    assert all(image.x + image.width <= drawn.width for image in marks(drawn, Pixels))


def test_a_path_goes_through_its_points_and_its_boxes_are_as_large_as_said():
    image = np.zeros((10, 20))
    drawn = path_on_image([(0, 0), (19, 9), (30, 5)], image, sizes=[2, 4, 2])
    (shown,) = marks(drawn, Pixels)[:1]
    unit = shown.width / 20
    casing = next(line for line in marks(drawn, Line) if line.width == 4.5)
    assert casing.x == pytest.approx([unit / 2, 19.5 * unit, shown.width])  # the last is outside
    assert casing.y - shown.y == pytest.approx([unit / 2, 9.5 * unit, 5.5 * unit])
    inner = [line for line in marks(drawn, Line) if line.width == 1.2][1]
    assert np.ptp(inner.x) == pytest.approx(2.5 * unit) and np.ptp(inner.y) == pytest.approx(2.5 * unit)
    dots = [line.colour for line in marks(drawn, Line) if line.width == 6]
    lightness = [sum(colours.of_hex(colour)) for colour in dots]
    assert lightness == sorted(lightness) and len(set(dots)) == 3
    bar = marks(drawn, Pixels)[1].pixels
    assert tuple(bar[0, 0]) == colours.of_hex(dots[-1]) and said(drawn)["2"].y < said(drawn)["0"].y


def test_strokes_are_lifted_where_said_and_keep_their_proportions():
    points = np.array([(0, 0), (10, 0), (10, 5), (20, 5)], float)
    (line,) = marks(strokes(points, [False, True, False, True]), Line)
    assert np.isnan(line.y).tolist() == [False, False, True, False, False]
    x, y = line.x[~np.isnan(line.x)], line.y[~np.isnan(line.y)]
    assert np.ptp(x) / np.ptp(y) == pytest.approx(4) and y[0] > y[-1]  # up is up


def test_what_is_no_image_or_path_is_refused():
    for wrong in (np.zeros(3), np.zeros((2, 2, 4)), np.zeros((0, 2))):
        with pytest.raises(ValueError, match=r"image_strip: an image must be \(h, w\) or"):
            image_strip([wrong])
    with pytest.raises(TypeError, match="real numbers, got complex128"):
        image_strip([np.zeros((2, 2), complex)])
    with pytest.raises(ValueError, match="captions must be 1 words, got 2"):
        image_strip([np.eye(2)], captions="ab")
    with pytest.raises(ValueError, match="at least one image"):
        image_strip([])
    with pytest.raises(ValueError, match="high must be above low, 1, got 1"):
        image_strip([np.eye(2)], low=1, high=1)
    with pytest.raises(ValueError, match=r"points must be \(n, 2\) finite numbers.*got shape \(3,\)"):
        path_on_image([1, 2, 3], np.eye(2))
    with pytest.raises(ValueError, match=r"sizes must be one number or 1, got shape \(2,\)"):
        path_on_image([(1, 2)], np.eye(2), sizes=[1, 2])
    with pytest.raises(ValueError, match=r"lifted must be \(2\) truth values"):
        strokes([(0, 0), (1, 1)], [True])


# ---- words


def test_an_alignment_puts_every_word_at_its_row_or_column():
    weights = np.random.default_rng(0).random((len(FRENCH), len(ENGLISH)))
    drawn = alignment(weights, ENGLISH, FRENCH)
    cells = marks(drawn, Pixels)[0]
    assert np.array_equal(cells.pixels, colours.paint(weights))
    upright, flat = (
        [t for t in marks(drawn, Text) if t.up],
        [t for t in marks(drawn, Text) if t.anchor == "end"],
    )
    assert [t.text for t in upright] == ENGLISH and [t.text for t in flat] == FRENCH
    size = cells.width / len(ENGLISH)
    assert [t.x - 4 for t in upright] == pytest.approx(
        [cells.x + (j + 0.5) * size for j in range(len(ENGLISH))]
    )
    assert [t.y - 4 for t in flat] == pytest.approx([cells.y + (i + 0.5) * size for i in range(len(FRENCH))])
    assert f"le: {ENGLISH[weights[0].argmax()]}" in drawn.description
    assert not any(t.up for t in marks(alignment(np.eye(2), "ab", "cd"), Text))  # short ones lie
    with pytest.raises(ValueError, match=r"weights must be \(targets, sources\), \(2, 3\), got \(2, 2\)"):
        alignment(np.eye(2), "abc", "ab")


def test_words_are_broken_into_lines_that_fit():
    text = "several words and one extraordinarily" + "long" * 20
    lines = wrapped(text, 100)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "") and max(map(room, lines)) <= 100


def test_a_curve_of_many_points_stays_small_and_keeps_its_extremes(rng):
    values = rng.normal(size=100_000)
    values[12_345], values[54_321] = 50, -50
    line = marks(curve(values), Line)[-1]
    assert len(line.x) <= 900 and np.ptp(line.y) == pytest.approx(150)


def test_arrays_on_a_gpu_are_brought_to_the_host(monkeypatch):
    class ndarray:  # noqa: N801 - as CuPy calls it: it does not become one of NumPy by itself
        __module__ = "cupy"

        def __init__(self, held):
            self.held = np.asarray(held)

        def get(self):
            return self.held

        def __array__(self, *args, **kwargs):
            raise TypeError("implicit conversion")

    monkeypatch.setitem(sys.modules, "cupy", ModuleType("cupy"))
    there = [np.eye(3), np.arange(3.0), np.eye(3)[:, :2]]
    pairs = [
        [f(eye) for f in (heat_map, lambda m: image_strip([m]), lambda m: alignment(m, "abc", "abc"))]
        + [curve({"a": (vector, vector)}), bars(vector, errors=vector), strokes(points, vector)]
        + [path_on_image(points, eye, sizes=vector)]
        for eye, vector, points in (there, map(ndarray, there))
    ]
    for here, gone in zip(*pairs):
        assert svg.render(here) == svg.render(gone)
