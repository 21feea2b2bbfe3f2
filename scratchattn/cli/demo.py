"""``scratchattn demo``: the gradients checked, an NTM trained to copy, its memory access drawn.

Under 90 seconds on two cores, with nothing but NumPy and SciPy.  What it leaves out it says.
"""

import itertools
import time
from pathlib import Path

from . import runs, verb

MODEL = {"rows": 32, "width": 12, "units": 64}
TASK = {"bits": 6, "shortest": 1, "longest": 8}
TRAINING = {
    "steps": 3_500,
    "batch": 8,
    "learning_rate": 1e-3,
    "schedule": "linear",
    "decay": 0.05,
    "eval_every": 1_000,
    "log_every": 100,
}
TARGET = 0.1  # wrong bits per sequence
LONGER = (16,)  # never trained on
FAST = (  # the checks that need NumPy alone
    "backward_is_the_adjoint",
    "backward_is_the_jacobian",
    "hessian_is_symmetric",
    "float32_by_complex_step",
)


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "demo",
        run,
        "check gradients, train an NTM to copy, draw what it does",
        "JSON keys: checks, training, report, seconds.  Exit status 1 if a check failed or the NTM did not\n"
        "learn.",
    )
    parser.add_argument(
        "--out", type=verb.directory, metavar="DIR",
        help="where the run and its report are written; demo, demo-2, ... without it",
    )  # fmt: skip
    parser.add_argument("--seed", type=verb.whole(0), default=0)


def run(args, screen):
    from ..training.run_directory import claim

    started, directory = time.perf_counter(), Path(args.out) if args.out else _free_directory()
    with runs.run_in_words():
        claim(directory)  # refused before the minute that the rest takes
    screen.say(screen.paint("bold", "1. Every backward against its own forward, by a complex step"))
    checks = _check(screen)
    screen.say()
    screen.say(screen.paint("bold", "2. A Neural Turing Machine learns to copy"))
    training, page = _train(args.seed, directory, screen)
    path = directory / "report.html"
    path.write_text(page, encoding="utf-8")
    screen.say()
    screen.say(f"The report is {path}; open it in a browser.")
    for line in _not_checked(checks):
        screen.say(f"Not checked: {line}.")
    seconds = time.perf_counter() - started
    screen.say(f"{seconds:.0f} seconds in all.")
    report = {"checks": checks, "training": training, "report": str(path), "seconds": round(seconds, 2)}
    return report, int(checks["failed"] > 0 or training["wrong_bits"] > TARGET)


def _check(screen):
    """A table with one line per op: the errors of the checks that need NumPy alone."""
    from gradcheck.evidence import CHECKS, check_all, summary

    from ..op import REGISTRY

    started = time.perf_counter()
    chosen = [check for check in CHECKS if check.__name__ in FAST]
    results, rows = [], []
    screen.say(
        f"   {'mechanism':26}{'cases':>6}{'adjoint':>10}{'Jacobian':>10}{'Hessian':>10}{'float32':>10}"
    )
    for op, found in check_all([REGISTRY[name] for name in sorted(REGISTRY)], checks=chosen, processes=2):
        results += found
        worst = {name: max((r["error"] for r in found if r["check"] == name), default=None) for name in FAST}
        bad = sum(not r["ok"] for r in found)
        rows.append({"op": op.name, "cases": len({r["case"] for r in found}), "failed": bad, "errors": worst})
        cells = "".join(f"{'' if worst[name] is None else format(worst[name], '.0e'):>10}" for name in FAST)
        mark = screen.paint("red", " FAILED") if bad else ""
        screen.say(f"   {op.name:26}{rows[-1]['cases']:6}{cells}{mark}")
    facts = summary(results, started)
    verdict = "all within their bounds" if not facts["failed"] else f"{facts['failed']} FAILED"
    screen.say(f"   {facts['ops']} ops, {facts['cases']} cases, {facts['checks']} comparisons: {verdict}")
    return facts | {"rows": rows}


def _free_directory():
    """demo, or demo-2 where that holds a run, and so on."""
    from ..training.run_directory import holds_run

    names = ("demo" if n == 1 else f"demo-{n}" for n in itertools.count(1))
    return next(Path(name) for name in names if not holds_run(name))


def _train(seed, directory, screen):
    from ..report import ntm as pictures
    from ..training import configure, train

    chosen = configure("ntm", "copy", file={"model": MODEL, "task": TASK, "training": TRAINING}, seed=seed)
    model, task, settings = chosen.model, chosen.task, chosen.settings
    screen.say(
        f"   {task.bits} bits, lengths {task.shortest} to {task.longest} (the paper: 8 bits, 1 to 20); "
        f"memory {model.rows} x {model.width} (128 x 20), LSTM of {model.units} (100)"
    )
    started = time.perf_counter()
    params, events = train(model, task, settings, directory, quiet=screen.silent, config=chosen.as_dict())
    wrong = [e["wrong_bits"] for e in events if e["event"] == "evaluation"][-1]
    longer = pictures.at_lengths(model, params, task, LONGER)
    seconds = time.perf_counter() - started
    seen = pictures.access(model, params, task, task.longest, seed=seed)
    straight = pictures.diagonality(seen)
    screen.say(pictures.draw_terminal(seen, colour=screen.coloured))
    screen.say(f"   {pictures.diagonality_in_words(straight)}")
    sequences = settings.steps * settings.batch
    fresh = settings.eval_batches * settings.eval_batch
    screen.say(
        f"   {sequences:,} sequences in {seconds:.0f} s; on {fresh:,} fresh ones {wrong:.3f} wrong bits each"
    )
    for found in longer:
        screen.say(f"   at length {found.length}, never trained on: {found.wrong_bits:.2f} wrong bits each")
    page = pictures.ntm_page(model, params, task, settings, events, lengths=longer)
    training = {
        "steps": settings.steps, "sequences": sequences, "wrong_bits": wrong, "target": TARGET,
        "longer": {str(found.length): found.wrong_bits for found in longer},
        "diagonality": straight._asdict(),
        "model": MODEL, "task": TASK, "seconds": round(seconds, 2),
    }  # fmt: skip
    return training, page


def _not_checked(checks):
    yield "the same in 60 digits, finite differences, structure: `gradcheck check` does (scratchattn[test])"
    yield "a GPU, and other libraries' implementations"
    yield "other seeds and the paper's own sizes: see the table of results in the README"
