"""Pictures say what the numbers say: they are read back, cell by cell, from what was drawn."""

import re
import struct
import zlib

import numpy as np
import pytest

from scratchattn.report import axes, colours, png, svg, terminal, typeface


def oklab_lightness(srgb):
    """By the definition, the other way than ``colours`` goes."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.41222147, 0.21190350, 0.08830246],
            [0.53633254, 0.68069955, 0.28171884],
            [0.05144599, 0.10739696, 0.6299787],
        ]
    )
    return np.cbrt(cones) @ (0.2104542553, 0.7936177850, -0.0040720468)


def decoded(data):
    """Pixels (h, w, channels) of a PNG of 8 bits, with every chunk's checksum verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, kinds = 8, b"", []
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + content),)
        if kind == b"IHDR":
            width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", content)
        body += content * (kind == b"IDAT")
        kinds.append(kind)
        at += 12 + size
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND" and depth == 8 and rest == [0, 0, 0]
    channels = {2: 3, 6: 4}[colour]
    lines = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + width * channels)
    above, found = np.zeros((width, channels), int), []
    for method, line in zip(lines[:, 0], lines[:, 1:].reshape(height, width, channels).astype(int)):
        if method in (0, 2):  # a number by itself, or added to the one above
            line = (line + above * (method == 2)) % 256
        for x in range(width if method in (1, 3, 4) else 0):
            left, corner = (line[x - 1], above[x - 1]) if x else (np.zeros(channels, int),) * 2
            guess = left + above[x] - corner
            far = np.abs(np.stack([guess - left, guess - above[x], guess - corner])).argmin(axis=0)
            added = {1: left, 3: (left + above[x]) // 2, 4: np.choose(far, [left, above[x], corner])}
            line[x] = (line[x] + added[method]) % 256
        found.append(line)
        above = line
    return np.array(found, np.uint8)


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


@pytest.mark.parametrize("draw", [terminal.heat_map, svg.heat_map])
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
    path = png.write_png(tmp_path / "a.png", pixels)
    assert np.array_equal(decoded(path.read_bytes()), pixels)
    with pytest.raises(TypeError, match="uint8, got float64"):
        png.write_png(path, pixels / 255)
    with pytest.raises(ValueError, match="must be"):
        png.write_png(path, pixels[0])
    assert np.array_equal(decoded(path.read_bytes()), pixels) and list(tmp_path.iterdir()) == [path]


def sightings(image, cells, size):
    """How often ``image`` shows ``cells``, both (h, w, 3), as squares of ``size`` pixels."""
    seen, wanted = image.astype(int) @ (65536, 256, 1), cells.astype(int) @ (65536, 256, 1)
    high, wide = (n - m * size + 1 for n, m in zip(seen.shape, wanted.shape))
    if high < 1 or wide < 1:
        return 0
    match = np.ones((high, wide), bool)
    for (i, j), colour in np.ndenumerate(wanted.repeat(size, 0).repeat(size, 1)):
        match &= seen[i : i + high, j : j + wide] == colour
    return int(match.sum())


def test_a_picture_shows_every_cell_in_its_colour(rng):
    unit = rng.integers(0, 6, size=(4, 9)) / 5
    panel = axes.Panel(unit, "one", "step", "row", 0, 1)
    image = png.picture(
        [[panel, axes.Panel(unit.T, "two", low=0, high=1)], [panel]], title="A title", width=300
    )
    small = image[::2, ::2]
    assert np.array_equal(small.repeat(2, 0).repeat(2, 1), image)
    sizes = {size: sightings(small, colours.paint(unit), size) for size in range(1, png.CELL + 1)}
    sizes = [size for size, count in sizes.items() for _ in range(count)]
    assert len(sizes) == 2 and sizes[1] == png.CELL  # alone in its row it is as large as cells get
    assert sightings(small, colours.paint(unit.T), sizes[0]) == 1
    bar = colours.SCALE[np.linspace(255, 0, 4 * png.CELL).astype(int)][:, None]
    assert sightings(small, bar, 1) == png.BAR  # as wide, as high as its panel, and bright on top


def test_a_row_has_its_mark_at_its_middle():
    small = png.picture([[axes.Panel(np.zeros((3, 2)), row_names=[5, 6, 7])]], scale=1)
    ys, xs = np.nonzero((small == colours.SCALE[0]).all(axis=-1))
    top, left = ys.min(), xs.min()
    marked = np.flatnonzero((small[:, left - 2] == colours.of_hex(colours.SOFT["light"])).all(axis=-1))
    assert marked.tolist() == [top + png.CELL + png.CELL // 2]  # of row 6 alone, which is the second


def test_a_picture_wider_than_its_room_is_pooled_and_stays_in_it():
    image = png.picture([[axes.Panel(np.eye(3, 5_000), "", "step")]], width=300, scale=1)
    assert image.shape[1] <= 300 + 6 * len("step (the largest of each 20)")
    with pytest.raises(ValueError, match="at least one row"):
        png.picture([])
    with pytest.raises(ValueError, match="whole number"):
        png.picture([[axes.Panel(np.eye(2))]], scale=1.5)


def test_letters_differ_and_what_is_missing_is_a_box():
    drawn = [typeface.letters(chr(code)).tobytes() for code in range(32, 128)]
    assert len(set(drawn)) == 96 and not typeface.letters(" ").any()
    assert np.array_equal(
        typeface.letters("a\u00e9"), np.hstack([typeface.letters("a"), typeface.letters("\x7f")])
    )
    assert typeface.letters("").shape == (typeface.HEIGHT, 0)
