"""``scratchattn list``: mechanisms, models and tasks, with their sources."""

import shutil
import sys

from . import catalogue, verb

TITLES = {
    "ops": "Mechanisms: one file each, forward and backward by hand",
    "fused": "Fused: the same laid out for speed, equal to a composition of the above",
    "models": "Models",
    "tasks": "Tasks",
}


def add_parser(verbs):
    verb.add(
        verbs,
        "list",
        run,
        "list mechanisms, models and tasks, with their sources",
        "JSON keys: ops, fused, models, tasks; each a list of objects with name, summary, source, file.",
    )


def run(args, screen):
    report = {
        "ops": catalogue.ops(),
        "fused": catalogue.ops(fused=True),
        "models": catalogue.room("models"),
        "tasks": catalogue.room("tasks"),
    }
    for entry in report["models"] + report["tasks"]:
        del entry["docstring"], entry["settings"]
    width = max(len(entry["name"]) for entries in report.values() for entry in entries)
    columns = max(60, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 1000
    for key, title in TITLES.items():
        if report[key]:
            screen.say(screen.paint("bold", f"{title} ({len(report[key])})"))
            for entry in report[key]:
                _say_entry(screen, entry, width, columns)
            screen.say()
    screen.say("scratchattn explain NAME shows the derivation, worked numbers and the evidence of one.")
    return report, 0


def _say_entry(screen, entry, width, columns):
    room = columns - width - 4
    summary, source = entry["summary"], entry["source"]
    if len(summary) + 2 + len(source) > room:
        source = _cut(source, max(room - len(summary) - 2, room // 3))
        summary = _cut(summary, room - len(source) - 2)
    screen.say(f"  {entry['name']:{width}}  {summary}  {screen.paint('dim', source)}".rstrip())


def _cut(text, width):
    return text if len(text) <= width else text[: max(width - 1, 0)].rstrip() + "…"
