"""``scratchattn train``: train a model on a task; a run's directory holds everything about it."""

import dataclasses
import time
from pathlib import Path

from . import verb


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "train",
        run,
        "train a model on a task",
        "Settings are the fields of the model, the task and the training; `scratchattn explain` shows them.\n"
        "JSON keys: run, steps, metrics, seconds.",
    )
    parser.add_argument("model", metavar="MODEL", help="ntm")
    parser.add_argument("task", metavar="TASK", help="copy")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--out", metavar="DIR", help="the run's directory; runs/MODEL-TASK-SEED without it")


def run(args, screen):
    from .. import backend
    from ..models import MODELS
    from ..report.ntm import ntm_page
    from ..tasks import TASKS
    from ..training import Settings, train

    model_class, task_class = _named(args.model, MODELS, "model"), _named(args.task, TASKS, "task")
    wishes = _wishes(args.set)
    try:
        task = task_class(**_own(task_class, wishes))
        sizes = {"inputs": task.inputs, "outputs": task.outputs}
        model = model_class(**sizes | _own(model_class, wishes))
        settings = Settings(**_own(Settings, wishes) | {"seed": args.seed})
    except ValueError as wrong:
        raise verb.Misuse(str(wrong)) from wrong
    known = sorted({f.name for c in (task_class, model_class, Settings) for f in dataclasses.fields(c)})
    for name in wishes:
        if name not in known:
            raise verb.Misuse(
                f"no setting is called {name!r}{verb.nearest(name, known)}; there are {', '.join(known)}"
            )
    directory = Path(args.out or f"runs/{args.model}-{args.task}-{args.seed}")
    if (directory / "log.jsonl").exists():
        raise verb.Misuse(f"{directory} holds a run already; name another directory with --out")
    started = time.perf_counter()
    with backend.use("cupy" if args.device == "gpu" else "numpy"):
        params, events = train(model, task, settings, directory, quiet=args.json)
        page = ntm_page(model, params, task, settings, events)
    (directory / "report.html").write_text(page, encoding="utf-8")
    last = [e for e in events if e["event"] == "evaluation"][-1]
    metrics = {name: value for name, value in last.items() if name not in ("event", "step", "seconds")}
    seconds = time.perf_counter() - started
    told = ", ".join(f"{name} {value:.3g}" for name, value in metrics.items())
    screen.say(f"{settings.steps} steps in {seconds:.0f} s: {told}")
    screen.say(f"the run is in {directory}, its report in {directory / 'report.html'}")
    return {
        "run": str(directory),
        "steps": settings.steps,
        "metrics": metrics,
        "seconds": round(seconds, 2),
    }, 0


def _named(name, table, kind):
    if name not in table:
        raise verb.Misuse(
            f"no {kind} is called {name!r}{verb.nearest(name, list(table))}; there are {', '.join(table)}"
        )
    return table[name]


def _wishes(pairs):
    wishes = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise verb.Misuse(f"--set takes NAME=VALUE, got {pair!r}")
        wishes[name.strip()] = value.strip()
    return wishes


def _own(settings, wishes):
    """The wishes that are fields of ``settings``, in the type of the field."""
    own = {}
    for f in dataclasses.fields(settings):
        if f.name in wishes and f.name != "seed":
            own[f.name] = _converted(f, wishes[f.name])
    return own


def _converted(f, text):
    try:
        if f.type in (bool, "bool"):
            return {"true": True, "false": False}[text.lower()]
        return {int: int, float: float, str: str}.get(f.type, str)(text)
    except (KeyError, ValueError):
        raise verb.Misuse(f"{f.name} must be {f.type.__name__}, got {text!r}") from None
