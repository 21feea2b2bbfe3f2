"""A Report in words: one sentence, a text for the terminal, Markdown, a page."""

import math
import re

from .tolerance import SIGMAS

SHOWN = 6  # cases named in a list
_LACKS = re.compile(r"(\w+)(?:=.*| is given), and the function has no such argument", re.DOTALL)


def sentence(report):
    """The verdict in one sentence."""
    what, op = report.function, report.op + (f" ({report.held_against})" if report.held_against else "")
    if report.verdict == "cannot be asked":
        return f"{what} cannot be held against {op}: {report.reason}"
    if report.verdict == "crashes":
        bad = _labels(report, "crashes")
        first = next(c for c in report.cases if c["outcome"] == "crashes")
        told = f"{what} crashes on {_named(bad, report)}"
        told += f": {first['what']}" if len(bad) == 1 else f", in the first with {first['what']}"
        answered = [c for c in report.cases if c["outcome"] != "crashes"]
        if not answered:
            return told
        if all(c["ok"] for c in answered):
            return f"{told}; elsewhere it conforms to {op}"
        if _followed(report):
            return f"{told}; elsewhere it follows the variant {_variant(report)}"
        return f"{told}; elsewhere it differs from {op} in {_differing(report)}"
    if report.verdict == "conforms":
        return f"{what} conforms to {op}: {_reach(report.distances)}"
    if report.verdict == "follows":
        return f"{what} follows the variant {_variant(report)} of {report.op}, not {_asked(report)}"
    told = f"{what} differs from {op} in {_differing(report)}"
    labels = _labels(report, "differs")
    told += f", on {_named(labels, report)}" if labels else ", in no entry by itself"
    if report.nearest:
        near = report.variants[report.nearest[0]]
        told += f"; nearest is the variant {report.nearest[0]}, from which it differs"
        told += f" by {_sigma(report.nearest[1])}" if math.isfinite(report.nearest[1]) else ""
        told += f" on {_several(near['differs_on'])}"
    return told


def text(report):
    """What a person reads in a terminal."""
    lines = [sentence(report), ""]
    width = max([16, *[len(name) + 1 for name in report.distances]])
    lines += [f"  {_cell(a):{width}}{_cell(b):>12}{_cell(c):>16}" for a, b, c in _rows(report)]
    lines += ["", *[f"  {line}" for line in remarks(report)]] if remarks(report) else []
    return "\n".join(lines)


def markdown(report):
    """The report for a bug tracker: a heading, the verdict, a table, what was asked and found."""
    title = f"### `{report.function}` against scratchattn's `{report.op}`"
    lines = [title, "", f"**{sentence(report)}**", ""]
    head, *rows = _rows(report)
    if rows:
        lines += ["| " + " | ".join(head) + " |", "|---|---:|---:|"]
        lines += ["| `" + str(a) + "` | " + " | ".join(map(_cell, rest)) + " |" for a, *rest in rows]
        lines += ["", f"A distance up to {SIGMAS} is what an honest program in {report.dtype} may lose.", ""]
    failing = [c for c in report.cases if not c["ok"]]
    if failing:
        lines += ["| case | seed | what |", "|---|---:|---|"]
        for case in failing[: 3 * SHOWN]:
            what = case["what"].replace("|", "\\|")
            lines.append(f"| {case['case']} | {case['seed']} | {what} |")
        lines += [""]
    lines += [f"- {line}" for line in remarks(report)]
    return "\n".join([*lines, f"- {report.framework}, {report.dtype}, {report.seconds:.1f} s", ""])


def page(report):
    """The report as one HTML file."""
    from scratchattn.report.html import Items, Section, Table
    from scratchattn.report.html import page as made

    head, *rows = _rows(report)
    blocks = [Table([[a, _cell(b), _cell(c)] for a, b, c in rows], head)] if rows else []
    sections = [Section("Distances", [*blocks, f"Up to {SIGMAS} is what an honest program may lose."])]
    cases = [[c["case"], c["seed"], c["outcome"], c["what"] or "-"] for c in report.cases]
    if cases:
        sections.append(Section("Cases", [Table(cases, ("case", "seed", "outcome", "what"))]))
    if report.variants:
        tried = [
            [name, _sigma(v["distance"]), f"{v['failed']} of {v['asked']}", ", ".join(v["same_as"]) or "-"]
            for name, v in report.variants.items()
        ]
        sections.append(Section("Variants", [Table(tried, ("variant", "distance", "failed", "also called"))]))
    if remarks(report):
        sections.append(Section("Remarks", [Items(remarks(report))]))
    title = f"{report.function} against {report.op}"
    return made(title, sections, lead=f"{sentence(report)}. {report.framework}, {report.dtype}.")


def remarks(report):
    """Sentences on what was asked, what was not, and what is odd."""
    told = []
    if report.cases:
        labels = {c["case"] for c in report.cases}
        told.append(f"asked: {len(labels)} cases, {len(report.cases)} questions")
    if report.not_asked:
        lacking: dict = {}
        others: dict = {}
        for case, reason in report.not_asked.items():
            match = _LACKS.match(reason)
            into, key = (lacking, match.group(1)) if match else (others, reason)
            into.setdefault(key, []).append(case)
        told.append(f"not asked: {len(report.not_asked)} of the op's cases")
        if lacking:
            names = ", ".join(f"{name} ({len(cases)})" for name, cases in lacking.items())
            told[-1] += f"; the function has no argument for {names}"
        told += [f"not asked: {_several(cases)}: {reason}" for reason, cases in others.items()]
    silent = [m for m in report.misfits if not m["refused"]]
    refused = [m for m in report.misfits if m["refused"]]
    if refused:
        told.append(f"refuses what does not fit: {', '.join(m['argument'] for m in refused)}")
    for m in silent:
        odd = f"{m['argument']} of shape {tuple(m['shape'])}"
        told.append(f"does not refuse {odd}, which fits nothing: {m['what']}")
    told += [f"all errors of {name} together: {line}" for name, line in report.lines.items()]
    return told + report.notes


def _rows(report):
    rows = [("", "distance", "relative error")]
    for name, distance in report.distances.items():
        rows.append((name, distance, report.relative.get(name, math.nan)))
    return rows if len(rows) > 1 else rows[:1]


def _cell(value):
    if isinstance(value, str):
        return value
    return f"{value:.1e}" if value and (value >= 1e4 or value < 1e-2) else f"{value:.2f}"


def _sigma(distance):
    return f"{_cell(float(distance))} sigma"


def _reach(distances):
    if not distances:
        return "nothing to compare"
    name = max(distances, key=distances.get)
    return f"at most {_sigma(distances[name])} ({name})"


def _differing(report):
    """Outputs and gradients that are too far off, with their distances."""
    bad: dict = {}
    for case in report.cases:
        for name, distance in case["distances"].items():
            if not distance <= SIGMAS:
                bad[name] = max(bad.get(name, 0.0), distance)
    words = [f"{name} ({_sigma(d)})" for name, d in bad.items()]
    words += [f"{name} as a whole ({line})" for name, line in report.lines.items() if not line.ok]
    if not words:
        words = list(dict.fromkeys(c["what"] for c in report.cases if c["outcome"] == "differs"))
    return " and ".join(words) if len(words) < 3 else ", ".join(words[:-1]) + " and " + words[-1]


def _labels(report, outcome):
    return list(dict.fromkeys(c["case"] for c in report.cases if c["outcome"] == outcome))


def _named(labels, report):
    total = len({c["case"] for c in report.cases})
    if len(labels) == total and total > 1:
        return f"all {total} cases"
    return f"{len(labels)} of {total} cases: {_several(labels)}" if total > 1 else repr(labels[0])


def _several(labels):
    shown = ", ".join(repr(label) for label in labels[:SHOWN])
    return shown + (f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else "")


def _followed(report):
    return report.variant is not None and report.variant != report.held_against


def _variant(report):
    entry = report.variants[report.variant]
    params = ", ".join(f"{name}={value!r}" for name, value in entry["params"].items()) or "the default"
    also = f"; also called {', '.join(entry['same_as'])}" if entry["same_as"] else ""
    return f"{report.variant} ({params}{also}; {_reach(report.distances)})"


def _asked(report):
    own = report.held_against or "the default"
    return f"{own}, from which it differs on {_several(_labels(report, 'differs'))}"
