"""A report as one HTML file that needs nothing else: no script, no network, no other file.

It opens from a disk, follows the light or dark theme of the reader, and fits a telephone.  All text is
escaped; the only markup from outside is a figure's SVG, which is refused if it could do anything.
"""

import re
from html import escape
from itertools import groupby
from typing import Any, NamedTuple
from xml.etree import ElementTree

from .colours import BAND, PAPER, RULE, SOFT, TEXT


class Section(NamedTuple):
    """A heading and what follows it: strings (paragraphs), Tables, Figures, Items, in any order."""

    title: str
    blocks: Any


class Table(NamedTuple):
    """Rows of numbers and strings; the first cell of a row names it."""

    rows: Any
    header: Any = ()
    caption: str = ""


class Figure(NamedTuple):
    """An SVG, as ``svg.heat_map`` and ``svg.curve`` make it, and what is to be seen in it."""

    svg: str
    caption: str = ""


class Items(NamedTuple):
    """A list of sentences."""

    items: Any


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # not allowed in HTML, escaped or not
_STYLE = """
:root{color-scheme:light dark;%(light)s}
@media(prefers-color-scheme:dark){:root{%(dark)s}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--text);font:16px/1.55 system-ui,sans-serif}
main{max-width:66rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.75rem;line-height:1.25;margin:.5rem 0 1rem}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--rule)}
p,li{max-width:46rem;overflow-wrap:break-word}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%%,20rem),1fr))}
.figures{gap:1.25rem;margin:1rem 0}
figure{margin:0;min-width:0;max-width:36rem}
figure svg{display:block;width:100%%;height:auto}
figcaption,caption{color:var(--soft);font-size:.875rem;text-align:left}
.tables{display:flex;flex-wrap:wrap;gap:1rem 3rem;margin:1rem 0}
.wide{overflow-x:auto;max-width:100%%}
table{border-collapse:collapse;font-size:.9375rem}
caption{padding-bottom:.35rem}
th,td{padding:.3rem .9rem .3rem .5rem;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}
th{font-weight:600}
thead th{background:var(--band)}
.number{text-align:right;font-variant-numeric:tabular-nums}
@media print{h2,figure{break-inside:avoid}}
"""


def page(title, sections, *, lead=""):
    """The HTML text of a report: ``title``, a ``lead`` paragraph under it, and ``sections``."""
    body = [f"<h1>{_said(title)}</h1>"] + [f"<p>{_said(lead)}</p>"] * bool(lead)
    for section in sections:
        body.append(f"<section><h2>{_said(section.title)}</h2>\n{_blocks(section.blocks)}</section>")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none';style-src 'unsafe-inline';img-src data:\">\n"
        f'<meta name="color-scheme" content="light dark">\n<title>{_said(title)}</title>\n'
        f"<style>{_style()}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _style():
    names = {"paper": PAPER, "text": TEXT, "soft": SOFT, "rule": RULE, "band": BAND}
    return _STYLE % {
        theme: ";".join(f"--{name}:{colours[theme]}" for name, colours in names.items())
        for theme in ("light", "dark")
    }


def _blocks(blocks):
    """Figures that follow each other stand side by side where there is room, and so do tables."""
    parts = []
    for kind, group in groupby(blocks, type):
        if kind in (Figure, Table):
            drawn = "".join(map(_figure if kind is Figure else _table, group))
            parts.append(f'<div class="{kind.__name__.lower()}s">\n{drawn}</div>\n')
        elif kind is Items:
            for items in group:
                parts.append(
                    "<ul>\n" + "".join(f"<li>{_said(item)}</li>\n" for item in items.items) + "</ul>\n"
                )
        elif kind is str:
            parts += [f"<p>{_said(text)}</p>\n" for text in group]
        else:
            raise TypeError(f"page: a string, Table, Figure or Items expected, got {kind.__name__}")
    return "".join(parts)


def _table(table):
    caption = f"<caption>{_said(table.caption)}</caption>" if table.caption else ""
    numeric = [all(map(_is_number, column)) for column in zip(*table.rows)]
    head = ""
    if table.header:
        cells = [
            f'<th scope="col"{_kind(n)}>{_said(h)}</th>' for h, n in zip(table.header, numeric, strict=True)
        ]
        head = f"<thead><tr>{''.join(cells)}</tr></thead>"
    rows = []
    for first, *rest in table.rows:
        cells = [f'<th scope="row"{_kind(numeric[0])}>{_said(first)}</th>']
        cells += [f"<td{_kind(n)}>{_said(cell)}</td>" for cell, n in zip(rest, numeric[1:], strict=True)]
        rows.append(f"<tr>{''.join(cells)}</tr>\n")
    label = escape(table.caption or "Table")
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{label}"><table>{caption}{head}'
        f"<tbody>\n{''.join(rows)}</tbody></table></div>\n"
    )


def _is_number(cell):
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _kind(numeric):
    return ' class="number"' * numeric


def _figure(figure):
    caption = f"<figcaption>{_said(figure.caption)}</figcaption>" if figure.caption else ""
    return f"<figure>{_harmless(figure.svg)}{caption}</figure>\n"


def _harmless(svg):
    """``svg`` itself; ValueError if it is not one SVG element, or could run or load anything."""
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as failure:
        raise ValueError(f"page: a figure must be well-formed SVG: {failure}") from None
    if root.tag != "{http://www.w3.org/2000/svg}svg" or svg.lstrip()[:4] != "<svg":
        raise ValueError(f"page: a figure must be an svg element, got {root.tag}")
    for element in root.iter():
        if "url(" in (element.text or "") or "@import" in (element.text or ""):
            raise ValueError("page: a figure must not load anything in its style")
        kind = element.tag.rpartition("}")[2]
        if kind not in ("svg", "style", "g", "path", "rect", "text", "image"):
            raise ValueError(f"page: a figure must not hold the element {kind}")
        for name, value in element.attrib.items():
            loads = name.rpartition("}")[2] == "href" and not value.startswith("data:image/png;base64,")
            if name.lower().startswith("on") or loads or "url(" in value:
                raise ValueError(f"page: a figure must not have the attribute {name}={value[:40]!r}")
    return svg


def _said(value):
    """Text of a cell or a paragraph, escaped; floats short, truth values and None in words."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        value = f"{value:.6g}"
    return escape(_UNPRINTABLE.sub("\ufffd", str(value)))
