"""The NTM paper's copy task, seed by seed: when it is learned, whether it stays, how far it reaches.

    python examples/ntm_copy_seeds.py 0 1 2 --out docs/results       one file per seed
    python examples/ntm_copy_seeds.py --table --out docs/results     the table of all files there

8 bits, lengths 1 to 20, memory 128 x 20, LSTM of 100, RMSprop 1e-4, batch 1, 60,000 sequences a seed: about
four minutes on one core.  "Learned" is the first sequence at which the mean of the last 2,000 is at most
0.1 wrong bits.  Last columns: wrong bits on 100 fresh sequences of a length at the end, mean (median).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from scratchattn.models import NTM
from scratchattn.tasks import Copy
from scratchattn.training import Settings, train

BOUND, WINDOW = 0.1, 2_000  # wrong bits per sequence, over so many consecutive ones
LENGTHS = (20, 50, 120)


def run(seed, sequences, folder):
    """Train one seed to the end; a dictionary of what was seen."""
    task = Copy()
    model = NTM(task.inputs, task.outputs)
    settings = Settings(steps=sequences, seed=seed, eval_every=sequences, log_every=1_000)
    wrong, started, when = np.zeros(sequences), time.process_time(), {}

    def watch(step, params, metrics):
        wrong[step - 1] = metrics["wrong_bits"]
        if "step" not in when and step >= WINDOW and wrong[step - WINDOW : step].mean() <= BOUND:
            when.update(step=step, seconds=time.process_time() - started)

    params, _ = train(model, task, settings, folder / f"seed-{seed}", watch=watch)
    later = _means(wrong[when.get("step", sequences) :], WINDOW)
    found = {}
    for n in LENGTHS:
        batch = Copy(shortest=n, longest=n).batch(np.random.default_rng([seed, n]), 100)
        outputs, _ = model.sequence(params, model.initial_state(params, 100), batch.inputs)
        bits = task.metrics(outputs, batch)["wrong_bits"]
        found[str(n)] = {"mean": float(bits.mean()), "median": float(np.median(bits))}
    return {
        "seed": seed, "sequences": sequences, "learned_at": when.get("step"),
        "seconds_to_learn": when.get("seconds"),
        "worst_mean_after": float(later.max()) if later.size else None,
        "last_mean": float(wrong[-WINDOW:].mean()), "wrong_bits_at_length": found,
        "per_thousand": [round(float(m), 4) for m in wrong.reshape(-1, 1_000).mean(1)],
        "cpu_seconds": time.process_time() - started,
    }  # fmt: skip


def _means(values, window):
    """Means of every ``window`` consecutive values."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[window:] - sums[:-window]) / window if len(values) >= window else np.zeros(0)


def table(folder):
    """Markdown, one row per seed."""
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("ntm_copy_seed_*.json"))]
    yield (
        "| seed | learned at | CPU s | worst 2,000 after | last 2,000 | "
        + " | ".join(f"length {n}" for n in LENGTHS)
        + " |"
    )
    yield "|" + "---|" * (5 + len(LENGTHS))
    for r in rows:
        learned = f"{r['learned_at']:,} | {r['seconds_to_learn']:.0f}" if r["learned_at"] else "not | -"
        worst = "-" if r["worst_mean_after"] is None else f"{r['worst_mean_after']:.3f}"
        at = [r["wrong_bits_at_length"][str(n)] for n in LENGTHS]
        reach = " | ".join(f"{each['mean']:.2f} ({each['median']:.0f})" for each in at)
        yield f"| {r['seed']} | {learned} | {worst} | {r['last_mean']:.3f} | {reach} |"
    reach = [[r["wrong_bits_at_length"][str(n)] for r in rows] for n in LENGTHS]
    middle = [[np.median([each[kind] for each in at]) for kind in ("mean", "median")] for at in reach]
    yield "| median | | | | | " + " | ".join(f"{mean:.2f} ({median:.1f})" for mean, median in middle) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seeds", type=int, nargs="*")
    parser.add_argument("--sequences", type=int, default=60_000)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        result = run(seed, args.sequences, args.out)
        (args.out / f"ntm_copy_seed_{seed}.json").write_text(json.dumps(result) + "\n")
    if args.table:
        print("\n".join(table(args.out)))


if __name__ == "__main__":
    main()
