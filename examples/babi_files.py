"""A DNC for each of nine tasks of bAbI, trained on the task's own file: what it learns, and what by heart.

    scratchattn data add babi PATH
    export OPENBLAS_NUM_THREADS=1
    python examples/babi_files.py 1 4 6 --out runs/babi_files       a run and a line of JSON for each task
    python examples/babi_files.py --table --out runs/babi_files     the table of all that is there

Csordas' and Schmidhuber's DNC (masked content, memory that is freed is emptied, sharper links); stories end
with their first question until that is answered.  Of 10,000 questions a tenth is for validation, which says
which parameters are kept.  Steps are about as many as half an hour holds on one core.
"""

import argparse
import json
from pathlib import Path

from scratchattn.training import configure, evaluate, train

STEPS = {
    1: 17_000,
    4: 30_000,
    6: 14_000,
    9: 15_500,
    10: 14_500,
    11: 16_000,
    12: 15_000,
    13: 15_000,
    20: 13_000,
}
WISHES = [
    "folder=en-10k", "units=128", "input_scale=10", "convention=csordas", "batch=16", "optimiser=adam",
    "learning_rate=1e-3", "curriculum=0: questions=1; 6000: questions=2; 7000: questions=0",
    "curriculum_below=0.05", "eval_every=400", "eval_batches=0", "eval_batch=100", "select=best",
    "stop_at=0", "log_every=200",
]  # fmt: skip
# mean test errors in %, of one network for all twenty tasks
NATURE = {1: "9.0", 4: "0.4", 6: "6.9", 9: "7.7", 10: "9.6", 11: "3.3", 12: "5.0", 13: "3.1", 20: "0.0"}
MASKED = {1: "0.4", 4: "0.8", 6: "1.1", 9: "0.8", 10: "2.6", 11: "0.1", 12: "0.2", 13: "0.1", 20: "0.9"}


def run(number, steps, seed, folder):
    """Train on one file; a dictionary of what was seen."""
    wishes = [*WISHES, f"tasks={number}", f"steps={steps or STEPS[number]}"]
    made = configure("dnc", "babi", wishes=wishes, seed=seed)
    directory = folder / f"task-{number}-seed-{seed}"
    params, events = train(made.model, made.task, made.settings, directory, resume=directory.exists())
    *_, test, ended = events
    best = next(e for e in events if e["event"] == "evaluation" and e["step"] == test["of_step"])
    by_heart = evaluate(made.model, made.task, params, made.settings, "train")
    measured = {"train": by_heart, "validation": best, "test": test}
    errors = {split: found["question_error"] for split, found in measured.items()}
    done = {"steps": ended["step"], "of_step": test["of_step"], "seconds": ended["seconds"]}
    return {"task": number, "seed": seed, **done, **errors}


def table(folder):
    """Markdown, one row per file and seed."""
    heads = ("task", "seed", "steps", "minutes", "train", "validation", "test", "DNC, Nature", "DNC-MDS")
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for path in sorted(folder.glob("babi_file_*.json")):
        fact = json.loads(path.read_text())
        errors = [f"{100 * fact[split]:.1f}" for split in ("train", "validation", "test")]
        first = fact["task"], fact["seed"], f"{fact['steps']:,}", f"{fact['seconds'] / 60:.0f}"
        cells = (*map(str, first), *errors, NATURE[fact["task"]], MASKED[fact["task"]])
        yield f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", type=int, nargs="*", choices=[[], *STEPS])
    parser.add_argument("--steps", type=int, help="of each task; half an hour's without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/babi_files"))
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for number in args.tasks:
        result = run(number, args.steps, args.seed, args.out)
        name = f"babi_file_{number:02}_seed_{args.seed}.json"
        (args.out / name).write_text(json.dumps(result) + "\n")
    if args.table:
        print("\n".join(table(args.out)))


if __name__ == "__main__":
    main()
