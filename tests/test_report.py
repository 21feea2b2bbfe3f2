"""Pictures say what the numbers say: they are read back, cell by cell, from what was drawn."""

import re
import struct
import zlib

import numpy as np
import pytest

from scratchattn.report import axes, colours, drawing, heat_map, matrices, png, terminal, typeface
from scratchattn.report.drawing import Line, Text


def oklab(linear):
    """By the definition, the other way than ``colours`` goes: linear red, green, blue -> lightness, a, b."""
    cones = linear @ np.array(
        [
            [0.41222147, 0.21190350, 0.08830246],
            [0.53633254, 0.68069955, 0.28171884],
            [0.05144599, 0.10739696, 0.6299787],
        ]
    )
    return np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )


def oklab_lightness(srgb):
    return oklab(np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4))[..., 0]


def decoded(data):
    """Pixels (h, w, channels) of a PNG of 8 bits, with every chunk's checksum verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, kinds, palette = 8, b"", [], None
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + content),)
        if kind == b"IHDR":
            width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", content)
        if kind == b"PLTE":
            palette = np.frombuffer(content, np.uint8).reshape(-1, 3)
        body += content * (kind == b"IDAT")
        kinds.append(kind)
        at += 12 + size
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND" and depth == 8 and rest == [0, 0, 0]
    step = {2: 3, 3: 1, 6: 4}[colour]  # bytes of a pixel
    lines, row = zlib.decompress(body), 1 + step * width
    assert len(lines) == row * height
    above, found = bytearray(step * width), []
    for y in range(height):
        line = bytearray(lines[y * row + 1 : (y + 1) * row])
        _undo(lines[y * row], line, above, step)
        found.append(line)
        above = line
    pixels = np.frombuffer(b"".join(found), np.uint8).reshape(height, width, step)
    return palette[pixels[..., 0]] if colour == 3 else pixels


def _undo(method, line, above, step):
    """Add to each byte of ``line``, in place, what its filter took away."""
    if method == 2:
        line[:] = (np.frombuffer(line, np.uint8) + np.frombuffer(above, np.uint8)).tobytes()
    elif method:
        for i in range(len(line)):
            left, corner = (line[i - step], above[i - step]) if i >= step else (0, 0)
            up = above[i]
            if method == 4:
                guess = left + up - corner
                far = abs(guess - left), abs(guess - up), abs(guess - corner)
                added = (left, up, corner)[far.index(min(far))]
            else:
                added = left if method == 1 else (left + up) // 2
            line[i] = (line[i] + added) & 255


# ---- colours and axes


def test_the_scale_grows_in_lightness_by_equal_steps_and_is_within_srgb():
    steps = np.diff(oklab_lightness(colours.SCALE / 255))
    assert (steps > 0).all() and steps.max() < 2.2 * steps.mean()  # but for rounding to bytes
    ends = oklab_lightness(colours.SCALE[[0, -1]] / 255)
    assert np.allclose(ends, (colours.DARKEST, colours.BRIGHTEST), atol=0.004)


def test_text_and_lines_can_be_read_in_both_themes():
    for theme in ("light", "dark"):
        for paper in (colours.PAPER[theme], colours.BAND[theme]):
            assert colours.contrast(colours.TEXT[theme], paper) > 7
            assert colours.contrast(colours.SOFT[theme], paper) > 4.5
        assert all(colours.contrast(line, colours.PAPER[theme]) > 3 for line in colours.LINES)
    assert colours.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colours.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_a_missing_number_has_a_colour_of_its_own():
    shown = colours.paint(np.array([[0.0, 1.0, np.nan]]))
    assert [tuple(p) for p in shown[0]] == [
        tuple(colours.SCALE[0]),
        tuple(colours.SCALE[-1]),
        colours.MISSING,
    ]
    assert np.abs(colours.SCALE.astype(int) - colours.MISSING).sum(axis=1).min() > 60


def test_pooling_loses_nothing_bright(rng):
    for size in range(1, 40):
        for most in range(1, 40):
            spot = np.zeros((2, size))
            spot[1, rng.integers(size)] = 1
            small = axes.pooled(spot, columns=axes.block(size, most))
            assert small.shape[1] <= most and small[1].sum() == 1 and not small[0].any()


def test_thinning_keeps_extremes_ends_and_gaps(rng):
    x, y = np.arange(10_000.0), rng.normal(size=10_000)
    y[3_000], y[7_000], y[5_000:5_400] = 50, -50, np.nan
    few_x, few_y = axes.thinned(x, y, 400)
    assert len(few_x) <= 600 and (np.diff(few_x) > 0).all()
    assert {50.0, -50.0, y[0], y[-1]} <= set(few_y) and np.isnan(few_y).any()


def test_ticks_are_round_within_and_few():
    for low, high in ((0, 1), (-3, 8), (0, 123456), (2e-7, 3e-6), (5, 5)):
        found = axes.ticks(low, high)
        assert all(low - 1e-9 <= t <= high + 1e-9 for t in found) and len(found) <= 6
    assert axes.ticks(0, 80) == [0, 20, 40, 60, 80]
    assert [axes.number(v) for v in (0, 80.0158, 0.25, 2e-7, 3e9, -5)] == [
        "0",
        "80.02",
        "0.25",
        "2e-7",
        "3e9",
        "-5",
    ]


@pytest.mark.parametrize("draw", [terminal.heat_map, heat_map])
def test_what_is_no_matrix_is_refused(draw):
    with pytest.raises(ValueError, match=r"heat_map: matrix must be \(rows, columns\).*got \(0, 3\)"):
        draw(np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        draw(np.zeros(3))
    with pytest.raises(TypeError, match="real numbers, got complex128"):
        draw(np.zeros((2, 2), complex))


# ---- terminal


def test_plain_characters_grow_with_the_numbers():
    assert terminal.heat_map([[0, 0.6, 1], [np.nan, 1, 0]], colour=False) == " +@\n?@ "
    assert terminal.heat_map([[3.0, 3.0]], colour=False, low=3) == "  "
    assert terminal.heat_map([[-np.inf, np.inf]], colour=False, low=0, high=1) == " @"
    assert terminal.heat_map(np.eye(2, 200), colour=False, width=50) == "@" + " " * 49 + "\n" + "@" + " " * 49


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_half_blocks_hold_two_rows_of_colours(rng, rows):
    unit = rng.uniform(size=(rows, 7)).round(1)
    lines = terminal.heat_map(unit, colour=True, low=0, high=1, width=80).split("\n")
    seen = []
    for line in lines:
        assert line.endswith(terminal.RESET) and terminal.shown(line) == 7
        ink = paper = None
        for codes, _ in re.findall(r"(?:\033\[([\d;]*)m)?(\u2580)", line):
            for which, colour in re.findall(r"(38|48);2;(\d+;\d+;\d+)", codes):
                ink, paper = (colour, paper) if which == "38" else (ink, colour)
            seen.append((ink, paper))
    assert len(lines) == (rows + 1) // 2 and ("49m" in lines[-1]) is bool(rows % 2)
    ink, paper = np.array(seen).reshape(len(lines), 7, 2).transpose(2, 0, 1)
    expected = [[";".join(map(str, pixel)) for pixel in row] for row in colours.paint(unit)]
    assert ink.tolist() == expected[::2]
    assert paper.tolist()[: rows // 2] == expected[1::2]


def test_a_curve_goes_where_its_numbers_go():
    stars = terminal.curve([0, 1, 2, 3], width=12, height=4, title="t", x_label="x", braille=False).split(
        "\n"
    )
    assert stars[0] == "t" and stars[1].startswith(" 3|") and stars[4].startswith(" 0|")
    assert [line.rstrip().rfind("*") > 0 for line in stars[1:5]] == [True] * 4
    assert stars[1].index("*") > stars[4].index("*") and stars[-1].split() == ["0", "x", "3"]
    dots = terminal.curve(np.arange(100.0) % 10, width=40, height=5)
    assert dots.count("\n") == 6 and all(terminal.shown(line) <= 40 for line in dots.split("\n"))
    numbered = np.zeros((4, 2), bool)
    for dot, place in enumerate(
        [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]
    ):  # Braille's order
        numbered[:] = False
        numbered[place] = True
        assert terminal._braille(numbered) == [chr(0x2800 + 2**dot)]
    alone = terminal.curve([np.nan, 1.0, np.nan], x=[0, 5, 10], width=20, braille=False)
    assert alone.count("*") == 1
    with pytest.raises(ValueError, match="finite number"):
        terminal.curve([np.nan])


def test_blocks_stand_beside_each_other_whatever_their_colours():
    one = terminal.heat_map(np.eye(2), colour=True).split("\n")
    assert [terminal.shown(line) for line in terminal.beside((one, 4), (["a", "b"], 1))] == [8, 1 + 7]


# ---- PNG and letters


def test_a_png_holds_its_pixels(rng, tmp_path):
    pixels = rng.integers(0, 256, size=(5, 9, 3)).astype(np.uint8)
    for held in (
        pixels // 128 * 255,
        np.zeros((1, 1, 3), np.uint8),
        rng.bytes(3 * 20 * 20),
    ):  # few colours, many
        held = np.frombuffer(held, np.uint8).reshape(20, 20, 3) if isinstance(held, bytes) else held
        assert np.array_equal(decoded(png.encode(held)), held)
    path = png.write_png(tmp_path / "a.png", pixels)
    assert np.array_equal(decoded(path.read_bytes()), pixels)
    with pytest.raises(TypeError, match="uint8, got float64"):
        png.write_png(path, pixels / 255)
    with pytest.raises(ValueError, match="must be"):
        png.write_png(path, pixels[0])
    assert np.array_equal(decoded(path.read_bytes()), pixels) and list(tmp_path.iterdir()) == [path]


def sightings(image, cells, size):
    """How often ``image`` shows ``cells``, both (h, w, 3), as squares of ``size`` pixels (their corners)."""
    seen, wanted = image.astype(int) @ (65536, 256, 1), cells.astype(int) @ (65536, 256, 1)
    high, wide = (n - m * size + 1 for n, m in zip(seen.shape, wanted.shape))
    if high < 1 or wide < 1:
        return 0
    match = np.ones((high, wide), bool)
    for (i, j), colour in np.ndenumerate(wanted):
        for y in (i * size, (i + 1) * size - 1):
            for x in (j * size, (j + 1) * size - 1):
                match &= seen[y : y + high, x : x + wide] == colour
    return int(match.sum())


def test_a_drawing_shows_every_cell_in_its_colour(rng):
    unit = rng.integers(0, 6, size=(4, 9)) / 5
    one, two = heat_map(unit, title="one", x_label="step", y_label="row", low=0, high=1), heat_map(unit.T)
    for scale, drawn in ((1, one), (2, drawing.below(one, drawing.beside(two, two), gap=7))):
        image = png.render(drawn, scale=scale)
        assert image.shape == (round(scale * drawn.height), scale * drawn.width, 3)
        assert sightings(image, colours.paint(unit), scale * matrices.CELL) == 1
    assert sightings(image, colours.paint(unit.T), 2 * matrices.CELL) == 2
    bar = colours.SCALE[np.linspace(255, 0, 32).astype(int)]
    seen = png.render(one, scale=1)[:, 10 + 7 + 18 + 9 * matrices.CELL + 8 + 4]  # right of the cells
    seen = seen[np.flatnonzero((seen == bar[0]).all(axis=1))[0] :][: 4 * matrices.CELL]
    assert np.array_equal(seen, bar.repeat(3, axis=0))


def test_letters_and_lines_are_drawn_where_they_are_said_to_be():
    words = drawing.Drawing(60, 40, (Text(30, 20, "A"), Text(50, 30, "A", "start", False, True)))
    ink = (png.render(words, scale=1) == colours.of_hex(colours.TEXT["light"])).all(axis=-1)
    letter = typeface.letters("A")[:, :]
    assert np.array_equal(ink[13:22, 27:33], letter) and np.array_equal(ink[24:30, 43:52], np.rot90(letter))
    assert ink.sum() == 2 * letter.sum()
    bold = png.render(drawing.Drawing(60, 40, (Text(30, 20, "A", bold=True),)), scale=2, theme="dark")
    assert (bold == colours.of_hex(colours.TEXT["dark"])).all(axis=-1).sum() > 4 * letter.sum()
    beyond = drawing.Drawing(
        10, 10, (Text(0, 0, "wide words"), Text(9, 9, "more"), Line([-50, 50], [-50, 50]))
    )
    assert png.render(beyond).shape == (20, 20, 3)
    line = Line([2, 18, 18], [5, 5, 15], "#000000", 2, (4, 4))
    image = png.render(drawing.Drawing(20, 20, (line, Line([5], [15], "#000000", 6))), scale=1)
    dark = (image < 40).all(axis=-1)
    assert dark[4:6, 3:5].all() and not dark[4:6, 8:9].any() and dark[4:6, 11:13].all()
    assert dark[13:17, 3:7].all() and dark[:, :9][8:].sum() == pytest.approx(np.pi * 9, abs=8)
    half = png.render(drawing.Drawing(9, 9, (Line([0, 9], [4, 4], "#000000", 2, (), 0.5),)), scale=1)
    assert set(half[3, 1:8].ravel()) == {128}


def test_what_png_cannot_draw_is_refused():
    with pytest.raises(ValueError, match="whole number"):
        png.render(heat_map(np.eye(2)), scale=1.5)
    with pytest.raises(ValueError, match=r"theme must be one of .*got 'pink'"):
        png.render(heat_map(np.eye(2)), theme="pink")


def test_a_matrix_larger_than_its_room_is_pooled_and_says_so():
    wide = heat_map(np.eye(400, 5_000), x_label="step")
    cells = next(mark for mark in wide.marks if isinstance(mark, drawing.Pixels))
    assert cells.width <= matrices.PLOT and max(cells.pixels.shape[:2]) <= matrices.PLOT
    assert (cells.pixels == colours.SCALE[-1]).all(axis=-1).any(axis=1).all()  # nothing bright is lost
    told = [mark.text for mark in wide.marks if isinstance(mark, Text)]
    assert f"step (the largest of each {-(-5_000 // cells.pixels.shape[1])})" in told


def test_letters_differ_and_what_is_missing_is_a_box():
    drawn = [typeface.letters(chr(code)).tobytes() for code in range(32, 128)]
    assert len(set(drawn)) == 96 and not typeface.letters(" ").any()
    assert np.array_equal(
        typeface.letters("a\u00e9"), np.hstack([typeface.letters("a"), typeface.letters("\x7f")])
    )
    assert typeface.letters("").shape == (typeface.HEIGHT, 0)
