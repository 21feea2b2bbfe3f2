"""What a training step of a memory machine costs: memory beside eager PyTorch's, time by steps and by rows.

    python benchmarks/memory_costs.py memory
    python benchmarks/memory_costs.py time

Memory: every number is of a process of its own that imports what it needs and makes steps of a tiny machine
of the same kind, so that libraries, lazily loaded code and the workspaces of products are there.  Then its
resident memory is read, it makes the machine, the optimiser and forty steps, and the highest that there was
is read.  The difference is parameters, gradients, the optimiser's state and all that a step holds: our leased
buffers too, which stay.  The median of three processes counts.  Where lengths are drawn, every batch is of
sequences of another length, up to this one.

Time: CPU time of a step on one thread, medians of rounds in which all sizes take turns.  To these
a + b size^p is fitted, relative errors weighing alike: a is what does not grow, p the exponent of what does.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
from scipy.optimize import curve_fit

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # this clone, and the peers
from scratchattn.cli import timing  # noqa: E402
from scratchattn.models import DNC, NTM  # noqa: E402
from scratchattn.tasks import Copy  # noqa: E402
from scratchattn.training import RMSprop, Settings  # noqa: E402
from scratchattn.training.step import update  # noqa: E402
from scratchattn.training.workers import another  # noqa: E402

PEERS = {"ntm": "ntm_torch", "dnc": "dnc_torch"}
PROCESSES = 3
TINY = {"batch": 1, "steps": 3, "rows": 4}
MEMORY = [
    *[("ntm", {"batch": batch, "steps": 41, "rows": 128}) for batch in (1, 16, 64)],
    *[("dnc", {"batch": 16, "steps": 41, "rows": rows}) for rows in (16, 32, 64)],
    ("ntm", {"batch": 16, "steps": 41, "rows": 128, "drawn": True}),
    ("dnc", {"batch": 16, "steps": 41, "rows": 32, "drawn": True}),
]
LONG = (21, 41, 81, 161, 321, 641)
TIMES = [  # what grows, and all that does not
    ("ntm", "steps", LONG, {"batch": 4, "rows": 128}),
    ("dnc", "steps", LONG, {"batch": 4, "rows": 32}),
    ("ntm", "rows", (32, 64, 128, 256, 512, 1024, 2048), {"batch": 4, "steps": 21}),
    ("ntm", "rows", (32, 64, 128, 256, 512, 1024, 2048), {"batch": 16, "steps": 21}),
    ("dnc", "rows", (16, 32, 64, 128, 256), {"batch": 4, "steps": 21}),
]


def stepping(who, kind, batch, steps, rows, drawn=False):
    """A function that makes one training step of the copy task: ``who`` is "ours" or "torch_eager".

    On a batch of ``steps`` that stays the same or, ``drawn``, on one of another length each time.
    """
    task, rng = Copy(shortest=1 if drawn else steps // 2, longest=steps // 2), np.random.default_rng(1)
    if kind == "ntm":
        model = NTM(task.inputs, task.outputs, rows=rows)
    else:
        model = DNC(task.inputs, task.outputs, rows=rows)
    params = model.init(np.random.default_rng(0))
    first = task.batch(rng, batch)
    data = (lambda: task.batch(rng, batch)) if drawn else lambda: first
    if who == "torch_eager":
        from importlib import import_module

        from peers.ntm_torch import training

        net = import_module(f"peers.{PEERS[kind]}").Net(model, params)
        step = training(net)
        return lambda: step(*net.data(data()))
    optimiser, settings = RMSprop(params), Settings()
    return lambda: update(model, task, params, optimiser, data(), settings)


# ---- memory -------------------------------------------------------------------


def measured_here(who, kind, sizes):
    """MiB that training takes in this process at its highest."""
    if who == "torch_eager":
        import torch

        torch.set_num_threads(1)
        torch.ones(512, 512) @ torch.ones(512, 512)
    np.ones((512, 512), "f") @ np.ones((512, 512), "f")
    tiny = stepping(who, kind, **TINY)
    for _ in range(3):
        tiny()
    del tiny

    def train():
        step = stepping(who, kind, **sizes)
        for _ in range(40):
            step()

    found = timing.peak_mib(train)
    if found is None:
        raise SystemExit("memory is read from /proc/self, which is not there or not ours to write")
    return found


def measured(who, kind, sizes):
    """The same, the median of three processes."""
    words = [who, kind, json.dumps(sizes)]
    environment = another()[1] | timing.ONE_THREAD
    command = [sys.executable, __file__, "child", *words]
    run = lambda: subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return median(json.loads(run().stdout) for _ in range(PROCESSES))


def memory():
    """Rows of MiB."""
    for kind, sizes in MEMORY:
        ours, theirs = (measured(who, kind, sizes) for who in ("ours", "torch_eager"))
        yield {"case": kind, **sizes, "ours_mib": ours, "torch_eager_mib": theirs, "ratio": theirs / ours}


# ---- time ---------------------------------------------------------------------


def times(rounds):
    """Rows of milliseconds, and the law that they follow."""
    for kind, axis, sizes, rest in TIMES:
        steps = {size: stepping("ours", kind, **rest, **{axis: size}) for size in sizes}
        ms = {size: 1e3 * seconds for size, seconds in timing.interleaved(steps, rounds).items()}
        constant, factor, exponent, misfit = law(list(ms), list(ms.values()))
        yield {
            "case": kind, "by": axis, **rest, "ms": ms,
            "constant": constant, "factor": factor, "exponent": exponent, "misfit": misfit,
        }  # fmt: skip


def law(sizes, values):
    """a, b, p of the a + b size^p nearest to ``values``, and how far it is from them at most, relatively."""
    sizes, values = np.array(sizes, float), np.array(values, float)
    power = lambda x, a, b, p: a + b * (x / sizes[-1]) ** p
    start, ends = (values[0], abs(values[-1] - values[0]), 1.0), ((0, 0, 0.1), (np.inf, np.inf, 4))
    (a, b, p), _ = curve_fit(power, sizes, values, start, sigma=values, bounds=ends)
    misfit = abs(power(sizes, a, b, p) / values - 1).max()
    return float(a), float(b / sizes[-1] ** p), float(p), float(misfit)


def main():
    parser = argparse.ArgumentParser(description="See the docstring of this file.")
    parser.add_argument("what", choices=["memory", "time", "child"])
    parser.add_argument("child", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    if args.what == "child":
        who, kind, sizes = args.child
        print(json.dumps(measured_here(who, kind, json.loads(sizes))))
        return
    for row in memory() if args.what == "memory" else times(args.rounds):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
