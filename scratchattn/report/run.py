"""The report on any run: how it ended, its curves, what it was made of, and the pictures of its model.

    html = run_page(model=model, params=params, task=task, settings=settings, events=events)
    report = run_report(model=model, ...)       # the same before it is HTML:
    export_figures(report, "pictures")          # every picture as a file

``events`` are dictionaries as the log holds them.  "event" says what happened, "step" after how many
updates; every other number is a metric.  A metric that several kinds of events have is one picture with
several curves.  "failed" and "stopped" have a "why".
"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from ..training.draws import makes
from . import html, pictures
from .environment import environment as found_here
from .plots import curve
from .recording import has_lengths

NO_METRIC = ("step", "seconds", "of_step")
SERIES = {
    "train": "training",
    "evaluation": "evaluation",
    "test": "test",
}  # events with metrics -> their curve


class Report(NamedTuple):
    """What ``html.page`` makes a page of."""

    title: str
    sections: Any
    lead: str = ""
    notes: tuple = ()

    def page(self):
        """The HTML text."""
        return html.page(self.title, self.sections, lead=self.lead, notes=self.notes)


def run_page(**run):
    """The report as one self-contained HTML text; the arguments are those of ``run_report``."""
    return run_report(**run).page()


def run_report(
    *, model, params, task, settings, events, config=None, environment=None, checkpoints=(), sections=(),
    unchecked=(), title=None, drawn=None,
):  # fmt: skip
    """The report on a run, finished or not -> Report.

    ``model``, ``task``, ``settings``: dataclasses.  ``params``: a ``Params``, or None where there are none;
    then nothing of the model is drawn.  ``config``: part -> setting -> value, as saved with the run; the
    fields of the three if None.  ``environment``: (name, value) pairs or a dictionary; that of ``config``,
    or of this process, if None.  ``checkpoints``: a dictionary each, all with the same keys, or paths.
    ``sections``: more of them (``html.Section``), shown before the configuration.  ``unchecked``: more
    sentences on what nobody looked at.  ``drawn``: the model's own sections; what ``pictures.pictures`` makes
    of it if None.
    """
    events, name = list(events), f"{type(model).__name__} on {type(task).__name__}"
    if drawn is None:
        drawn = [] if params is None else pictures.pictures(model, params, task, example_rng(settings))
    extra = [*drawn, *sections]
    if config is not None and "environment" in config:
        environment = environment or config["environment"]
        config = {part: value for part, value in config.items() if part != "environment"}
    if environment is None:
        environment = found_here("numpy" if params is None else array_module(params.flat).__name__)
    shown = [
        html.Section("Result", _result(settings, task, events)),
        html.Section("Training", training_figures(settings, events)),
        *[section for section in extra if section.title != html.UNCHECKED],
        html.Section("Configuration", _configuration(model, task, settings, config)),
        html.Section("Environment", [html.Table(list(dict(environment).items()), ("what", "found"))]),
    ]
    if checkpoints:
        shown.append(html.Section("Checkpoints", [_checkpoints(list(checkpoints))]))
    doubts = [*_unchecked(model, params, settings, drawn), *unchecked]
    own = [block for section in extra if section.title == html.UNCHECKED for block in section.blocks]
    listed = [item for block in own if isinstance(block, html.Items) for item in block.items]
    rest = [block for block in own if not isinstance(block, html.Items)]
    shown.append(html.Section(html.UNCHECKED, [html.Items([*listed, *doubts]), *rest]))
    return Report(
        title or name, shown, _lead(name, params, settings, events), tuple(_notes(settings, events))
    )


def example_rng(settings):
    """The generator that draws the examples of a report: others than any trained or tested on."""
    return np.random.default_rng([getattr(settings, "seed", 0), 30_000])


def _lead(name, params, settings, events):
    size = "" if params is None else f", {sum(math.prod(s) for s in params.shapes.values()):,} parameters"
    updates = max((event["step"] for event in events if event.get("event") == "train"), default=None)
    if updates is None:
        return f"{name}{size}, whose training was not logged."
    each, seed = _sequences_of_an_update(settings), getattr(settings, "seed", None)
    trained = f"{updates:,} updates" if each is None else f"{updates * each:,} sequences"
    return f"{name}{size}, trained on {trained}" + f", seed {seed}" * (seed is not None) + "."


def _sequences_of_an_update(settings):
    """None where that is no whole number: a sequence may be cut into pieces, each an update."""
    return None if getattr(settings, "truncate", 0) else getattr(settings, "batch", None)


def _notes(settings, events):
    """Whether the run failed, was stopped, or is not at its end; of several ends the last counts."""
    ends = [event for event in events if event.get("event") in ("done", "failed", "stopped", "resumed")]
    last, steps = (ends[-1] if ends else {}), getattr(settings, "steps", None)
    reached = max((event["step"] for event in events if "step" in event), default=0)
    of = "" if steps is None else f" of {steps:,}"
    why = str(last.get("why") or "no reason was logged").rstrip(".")
    if last.get("event") == "failed":
        yield f"This run failed at step {last.get('step', reached):,}{of}: {why}."
    elif last.get("event") == "stopped":
        asked = "; it can go on" if "why" not in last else f": {why}"
        yield f"This run was stopped at step {last.get('step', reached):,}{of}{asked}."
    elif events and last.get("event") != "done":
        yield f"This run is not finished, or was killed: its log ends at step {reached:,}{of}."


def _result(settings, task, events):
    """A table for the last evaluation, and one for the test split where it was read."""
    tables = []
    for kind, where in (("evaluation", "at the last evaluation"), ("test", "at the end, on the test split")):
        last = next((event for event in reversed(events) if event.get("event") == kind), None)
        if last is None:
            continue
        rows = [("updates", last.get("of_step", last["step"]))]
        each = _sequences_of_an_update(settings)
        if each is not None:
            rows.append(("sequences seen", rows[0][1] * each))
        rows += [(words(name), value) for name, value in metrics(last).items()]
        if "seconds" in last:
            rows.append(("seconds", round(last["seconds"], 1)))
        tables.append(html.Table(rows, (where, "value"), _measured_on(settings, task, kind)))
    return tables or ["No evaluation was logged."]


def _measured_on(settings, task, kind):
    count = getattr(settings, "eval_batches", 0) * getattr(settings, "eval_batch", 0)
    if not count or not makes(task, "test" if kind == "test" else "validation"):
        return ""
    lengths = f" of lengths {task.shortest} to {task.longest}" if has_lengths(task) else ""
    return f"Measured on {count:,} fresh sequences{lengths}."


def training_figures(settings, events):
    """Blocks: one curve for each metric, of all kinds of events that have it."""
    each = _sequences_of_an_update(settings)
    found = {}  # metric -> kind -> step -> value: what a resumed run logs again counts once
    for event in events:
        if event.get("event") in SERIES:
            for name, value in metrics(event).items():
                curves = found.setdefault(name, {})
                curves.setdefault(SERIES[event["event"]], {})[event["step"]] = value
    figures = []
    for name, kinds in found.items():
        series = {}
        for kind, values in kinds.items():
            steps = sorted(values)
            if any(math.isfinite(values[step]) for step in steps):
                series[kind] = [step * (each or 1) for step in steps], [values[step] for step in steps]
        if not series:
            figures.append(f"{words(name)}: no finite number was logged.")
            continue
        drawn = curve(series, title=words(name), x_label="updates" if each is None else "sequences")
        over = getattr(settings, "log_every", None)
        mean = over is not None and "training" in series
        figures.append(html.Figure(drawn, f"Training: each point is the mean over {over} updates." * mean))
    return sorted(figures, key=lambda block: isinstance(block, str)) or ["No training was logged."]


def metrics(event):
    """name -> float for each metric of an event."""
    return {
        name: float(value)
        for name, value in event.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in NO_METRIC
    }


def words(name):
    return str(name).replace("_", " ")


def _configuration(model, task, settings, config):
    if config is None:
        parts = {"model": model, "task": task, "training": settings}
        config = {f"{name}: {type(part).__name__}": asdict(part) for name, part in parts.items()}
    parts = {name: value for name, value in config.items() if hasattr(value, "items")}
    loose = {name: value for name, value in config.items() if name not in parts}
    if loose:
        parts = {"run": loose} | parts
    return [
        html.Table(list(_flat(part)), ("setting", "value"), _capital(words(name)))
        for name, part in parts.items()
    ]


def _capital(text):
    return text[:1].upper() + text[1:]


def _flat(part, before=""):
    """(name, value) pairs of a mapping in a mapping: "optimiser.decay"."""
    for name, value in part.items():
        if hasattr(value, "items"):
            yield from _flat(value, f"{before}{name}.")
        else:
            simple = value is None or isinstance(value, (bool, int, float, str))
            yield f"{before}{name}", value if simple else str(value)


def _checkpoints(checkpoints):
    if all(isinstance(kept, (str, Path)) for kept in checkpoints):
        return html.Table([(str(path),) for path in checkpoints], ("file",))
    return html.Table([list(kept.values()) for kept in checkpoints], [words(key) for key in checkpoints[0]])


def _unchecked(model, params, settings, drawn):
    seed = getattr(settings, "seed", None)
    one = "this is one run" + f", seed {seed}" * (seed is not None)
    yield f"Other seeds: {one}; how often training fails is not in it."
    yield "Settings were taken as they are here; none was varied for this report."
    yield "Gradients: the command `gradcheck check` checks them; training and drawing do not."
    yield "Seconds are those of the clock, whatever else the machine was doing."
    if params is None:
        yield "What the model does: there are no parameters to run it with."
    elif not drawn:
        name = type(model).__name__
        yield f"What {name} does inside: no pictures of it are known, and it has no method `pictures`."
