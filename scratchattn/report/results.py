"""The table of results: what was measured for each row, seed by seed, and what it comes to.

Measurements of a row are the lines of ``docs/results/ROW.jsonl``, one JSON object for each seed:

    seed, value         the row's metric at the end, None if the training failed; why: its words then
    seconds             from the first step to the last, on one thread
    curve               (of older ones there is none) the metric along the way: see ``learning_curves``
    command             what was typed
    config              the settings that it came to; a measurement with others than the row has now is stale
    environment, commit with what it was computed
    note                (may be left out) what a reader of the table must know about it
"""

import json
import math
import statistics
from pathlib import Path

from ..tasks import TASKS
from ..training.configuration import PARTS, configure
from ..training.evaluation import larger_is_better
from ..whole_file import write_whole

MARKS = ("<!-- scratchattn results -->", "<!-- end of scratchattn results -->")
UNTRAINED = ("seed", "log_every", "checkpoint_every", "keep")  # settings that change no training
NEEDED = ("seed", "value", "seconds", "command", "config", "environment", "commit")


def measured(row, folder):
    """The measurements of ``row`` in ``folder``, by seed; ValueError, naming the line, for what is none."""
    path, found = Path(folder) / f"{row.name}.jsonl", {}
    for number, line in enumerate(path.read_text("utf-8").splitlines() if path.exists() else (), 1):
        try:
            fact = json.loads(line)
            missing = [key for key in NEEDED if key not in fact]
        except (ValueError, TypeError) as wrong:
            raise ValueError(f"{path}, line {number}: no measurement: {wrong}") from None
        if missing:
            raise ValueError(f"{path}, line {number}: a measurement needs {', '.join(missing)}")
        if fact["seed"] in found:
            raise ValueError(f"{path}, line {number}: seed {fact['seed']} is there already")
        found[fact["seed"]] = fact
    return found


def keep(row, folder, fact):
    """Add ``fact``, a measurement, to those of ``row``, in the place of an earlier one of its seed."""
    found = measured(row, folder) | {fact["seed"]: fact}
    lines = [json.dumps(found[seed], allow_nan=False) for seed in sorted(found)]
    write_whole(Path(folder) / f"{row.name}.jsonl", ("\n".join(lines) + "\n").encode())


def is_stale(row, fact):
    """Whether ``fact`` was measured with other settings than ``row`` has now."""
    now = configure(row.model, row.task, wishes=row.set).as_dict()
    then = fact["config"]
    return any(
        then[part][name] != value
        for part in PARTS
        for name, value in now[part].items()
        if name in then.get(part, {}) and name not in UNTRAINED
    )


def summary(row, facts):
    """What the measurements of ``row`` come to: the object that ``results --json`` has for it.

    Stale ones do not count.  A seed that failed counts as worse than all others.
    """
    task = TASKS[row.task]
    sign = -1 if larger_is_better(task) else 1
    stale = sorted(seed for seed, fact in facts.items() if is_stale(row, fact))
    counted = [facts[seed] for seed in sorted(facts) if seed not in stale]
    worth = [math.inf if fact["value"] is None else sign * fact["value"] for fact in counted]
    return {
        "name": row.name,
        "command": row.command(),
        "metric": task.metric,
        "published": row.published,
        "source": row.source,
        "seeds": [fact["seed"] for fact in counted],
        "median": sign * statistics.median(worth) if worth else None,
        "worst": sign * max(worth) if worth else None,
        "failed": [fact["seed"] for fact, w in zip(counted, worth) if not w <= sign * row.target],
        "seconds": statistics.median(fact["seconds"] for fact in counted) if counted else None,
        "missing": sorted(set(range(row.seeds)) - {fact["seed"] for fact in counted}),
        "stale": stale,
        "notes": sorted({fact["note"] for fact in counted if "note" in fact}),
        "page": row.page,
    }


def table(found):
    """The summaries ``found`` as Markdown, a line at a time."""
    heads = ("row", "command", "metric", "median", "worst", "seeds", "failed", "seconds", "published")
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for each in found:
        name = f"[{each['name']}]({each['page']})" if each["page"] else each["name"]
        source = f" ({each['source']})" if each["source"] else ""
        cells = (
            name, f"`{each['command']}`", each["metric"], number(each["median"]), number(each["worst"]),
            str(len(each["seeds"])), listed(each["failed"]) or "none", number(each["seconds"], ".0f"),
            f"{each['published']}{source}",
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    for each in found:
        for note in each["notes"]:
            yield ""
            yield f"{each['name']}: {note}."


def listed(seeds):
    return ", ".join(map(str, seeds))


def number(value, form=".3g"):
    """``value`` for a table."""
    return "-" if value is None else "no number" if not math.isfinite(value) else format(value, form)
