"""What messages between processes, and steps of training, cost on these machines: numbers for docs/scale.md.

    mpiexec -n 2 python -m mpi4py examples/mpi_latency.py --out docs/results/mpi_latency.json

Two processes, one on each of two nodes to measure a network.  A swap is what ``training.mpi`` makes: each
sends and receives so many bytes.  Other programs come and go: so the fastest of many swaps and sums by the
clock on the wall, and quantiles of the CPU time of gradients.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

from scratchattn.models import NTM
from scratchattn.report.environment import environment
from scratchattn.tasks import Copy
from scratchattn.training import Settings
from scratchattn.training.mpi import Group
from scratchattn.training.step import derive

WORLD = MPI.COMM_WORLD
SIZES = [8 * 4**k for k in range(12)]  # bytes, to 32 MiB
PARAMETERS = [10_000, 100_000, 1_000_000]
BATCHES = [1, 4, 16, 64]
QUANTILES = 20


def undisturbed(action, rounds):
    """The least of the wall-clock seconds of ``action``, which all processes begin together."""
    seconds = []
    for _ in range(rounds):
        WORLD.Barrier()
        before = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - before)
    return min(seconds)


def swaps():
    """bytes -> seconds of a swap between processes 0 and 1."""
    found = {}
    for size in SIZES:
        sent, received = np.ones(size, np.uint8), np.empty(size, np.uint8)
        other = WORLD.Get_rank() ^ 1
        swap = lambda s=sent, r=received, o=other: WORLD.Sendrecv(s, o, recvbuf=r, source=o)
        found[size] = undisturbed(swap, 2_000 if size < 1e5 else 100)
    return found


def sums():
    """Seconds of a whole sum of gradients, one shard a process, by tree and by MPI's own all-reduce."""
    rows = []
    for n in PARAMETERS:
        gradient = np.zeros((1, n), np.float32)
        for way in ("tree", "fast"):
            group = Group(fast=way == "fast")
            group.own(group.size)
            each = {"processes": group.size, "parameters": n, "way": way}
            rows.append(each | {"seconds": undisturbed(lambda g=group, x=gradient: g.total(x), 200)})
    return rows


def steps():
    """batch -> quantiles of the CPU seconds of one gradient of the NTM paper's copy task."""
    task, found = Copy(shortest=20, longest=20), {}
    model = NTM(task.inputs, task.outputs)
    params = model.init(np.random.default_rng(0))
    for size in BATCHES:
        batch, seconds = task.batch(np.random.default_rng(1), size), []
        for _ in range(60):
            before = time.process_time()
            derive(model, task, params, batch, None, Settings())
            seconds.append(time.process_time() - before)
        found[size] = statistics.quantiles(seconds[10:], n=QUANTILES)
    return found, params.flat.size


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = {"environment": dict(environment()), "swaps": swaps(), "sums": sums()}
    big, more = np.ones(4_000_000, np.float32), np.ones(4_000_000, np.float32)
    found["add_seconds_per_byte"] = undisturbed(lambda: np.add(big, more, out=big), 50) / big.nbytes
    if WORLD.Get_rank() == 0:
        found["steps"], found["parameters"] = steps()
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    WORLD.Barrier()


if __name__ == "__main__":
    main()
