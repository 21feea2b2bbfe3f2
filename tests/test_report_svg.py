"""SVG shows what the numbers say: its cells and its curves are read back from the markup."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from test_report import decoded

from scratchattn.report import axes, colours, curve, heat_map, svg

SVG = "{http://www.w3.org/2000/svg}"


def cells_of(text, shape):
    """The colours of a heat map in an SVG, read back from its paths or its image."""
    first = next(g for g in ElementTree.fromstring(text).iter(f"{SVG}g") if g.get("transform"))
    images = first.findall(f"{SVG}image")
    if images:
        return decoded(base64.b64decode(images[0].get("href").partition(",")[2]))
    group = first.find(f"{SVG}g")
    found = np.empty((*shape, 3), np.uint8)
    found[:] = colours.of_hex(group.find(f"{SVG}rect").get("fill"))
    for path in group.findall(f"{SVG}path"):
        for x, y, run in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", path.get("d")):
            found[int(y), int(x) : int(x) + int(run)] = colours.of_hex(path.get("fill"))
    return found


@pytest.mark.parametrize("shape, image", [((9, 21), False), ((1, 1), False), ((80, 90), True)])
def test_an_svg_shows_every_cell_in_its_colour(rng, shape, image):
    matrix = rng.uniform(size=shape) if image else (rng.uniform(size=shape) < 0.1).astype(float)
    matrix[0, 0] = np.nan
    text = svg.render(heat_map(matrix, low=0, high=1, title="<&>", x_label='a"b', y_label="'"))
    assert ("<image" in text[text.index("<g ") : text.index("</g>")]) is image
    assert np.array_equal(cells_of(text, shape), colours.paint(matrix))
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img" and root.get("aria-label").startswith("<&>. ")
    assert {"<&>", 'a"b', "'"} <= {t.text for t in root.iter(f"{SVG}text")}


def test_labels_stand_at_their_rows_and_columns():
    text = svg.render(heat_map(np.eye(4, 6), row_names=[7, 8, 0, 1], y_label="row", high=2))
    left, top, across, down = map(
        float, re.search(r"translate\(([\d.]+) ([\d.]+)\) scale\(([\d.]+) ([\d.]+)\)", text).groups()
    )
    seen = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"( text-anchor="end")?>(\d+)</text>', text)
    rows = {label: float(y) for _, y, end, label in seen if end}
    columns = {label: float(x) for x, _, end, label in seen if not end}
    for i, label in enumerate("7801"):
        assert top + i * down < rows[label] - 4 < top + (i + 1) * down
    for j, label in ((0, "0"), (2, "2"), (4, "4")):
        assert left + j * across < columns[label] < left + (j + 1) * across
    assert float(re.search(r'y="([\d.]+)" text-anchor="start">2<', text)[1]) < top + 2 * down
    wrapped = axes.named_places([*range(114, 128), *range(16)], 2)
    assert wrapped == [(6, "120")] and axes.named_places([3], 5) == [(0, "3")]
    with pytest.raises(ValueError, match="row_names must be 4 integers or words, got 2"):
        heat_map(np.eye(4), row_names=[1, 2])


def test_a_curve_in_svg_passes_through_its_points():
    root = ElementTree.fromstring(
        svg.render(
            curve({"one": ([0, 10, 20], [0.0, 4.0, 2.0]), "two": ([0, 5, 9, 20], [1, np.nan, 1, np.nan])})
        )
    )
    lines = [p for p in root.iter(f"{SVG}path") if p.get("stroke").startswith("#")]
    keys, drawn = lines[:2], lines[2:]
    assert [key.get("stroke-dasharray") for key in keys] == [line.get("stroke-dasharray") for line in drawn]
    (x0, y0), (x1, y1), (x2, y2) = np.array(re.findall(r"[ML]([\d.]+) ([\d.]+)", drawn[0].get("d")), float)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 > y2 > y1
    assert y0 - y2 == pytest.approx(y2 - y1, abs=0.2)
    assert drawn[1].get("d").count("M") == 2 and drawn[1].get("d").count("h0") == 2
    assert drawn[0].get("stroke") != drawn[1].get("stroke") and drawn[1].get("stroke-dasharray")
    for bad in ({}, {"a": ([0, 1], [1.0])}, {"a": ([], [])}):
        with pytest.raises(ValueError, match="curve"):
            curve(bad)
