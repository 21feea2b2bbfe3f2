"""How long a step takes for up to 1,024 processes: simulated from what examples/mpi_latency.py measured.

    python examples/scale_simulation.py            the tables of docs/scale.md and docs/scale.svg, made again

Every process draws the time of its gradient from the measured ones; then they swap halves as ``training.mpi``
does, each pair when both are ready.  Within a node a swap takes what was measured; between nodes, which have
16 processes and one network card for them, what the card needs: a latency and a rate.
"""

import itertools
import json
from pathlib import Path

import numpy as np

from scratchattn.report.export import write_svg
from scratchattn.report.plots import curve

DOCS = Path(__file__).resolve().parents[1] / "docs"
MEASURED = json.loads((DOCS / "results" / "mpi_latency.json").read_text())
NODE = 16  # processes of a node
NETWORKS = {"10 Gb/s": (30e-6, 1.25e9), "200 Gb/s": (2e-6, 25e9)}  # seconds, bytes a second and node
PROCESSES = (2, 16, 64, 256, 1024)
MODELS = (MEASURED["parameters"], 1_000_000, 10_000_000)
START, END = "<!-- simulated -->\n", "<!-- end of simulated -->\n"


def swap(size, distance, network):
    """Seconds in which two processes so far from each other exchange ``size`` bytes."""
    if distance < NODE:
        sizes, seconds = zip(*((int(k), v) for k, v in MEASURED["swaps"].items()))
        over = max(1.0, size / sizes[-1])  # beyond the largest measured it takes in proportion
        return over * np.exp(np.interp(np.log(size), np.log(sizes), np.log(seconds)))
    latency, rate = NETWORKS[network]
    return latency + size * NODE / rate  # all processes of a node do so at once


def step(processes, parameters, network, batch=16, way="tree", trials=20):
    """(seconds of a step, of them those of the sum of gradients), ``batch`` sequences a process."""
    rng, size = np.random.default_rng(0), 4 * parameters
    own = np.asarray(MEASURED["steps"][str(batch)])
    compute = own[rng.integers(len(own), size=(trials, processes))]
    clock, add = compute.copy(), MEASURED["add_seconds_per_byte"]
    if way == "gather":  # a ring over all nodes, then every process adds all gradients
        latency, rate = NETWORKS[network]
        clock = clock.max(1, keepdims=True) + processes * (latency + size / rate + size * add)
    else:
        distances, number = [2**k for k in range(processes.bit_length() - 1)], np.arange(processes)
        for back, distance in [(0, d) for d in distances] + [(1, d) for d in distances[::-1]]:
            part = size / (2 * distance)
            clock = np.maximum(clock, clock[:, number ^ distance]) + swap(part, distance, network)
            clock += (1 - back) * part * add
    whole = clock.max(1).mean()
    return whole, whole - np.median(own)


def tables():
    yield "A sum of two processes of one node, in microseconds, to hold the simulation against:\n"
    yield "| parameters | measured | MPI's all-reduce, measured | simulated |\n|---|---|---|---|"
    for tree, fast in zip(MEASURED["sums"][::2], MEASURED["sums"][1::2]):
        half = 2 * tree["parameters"]  # bytes
        simulated = 2 * swap(half, 1, None) + half * MEASURED["add_seconds_per_byte"]
        found = " | ".join(f"{1e6 * s:,.0f}" for s in (tree["seconds"], fast["seconds"], simulated))
        yield f"| {tree['parameters']:,} | {found} |"
    yield "\nMilliseconds from the median gradient to the end of the sum; processes of 16 sequences each:\n"
    yield "| parameters | network | " + " | ".join(map(str, PROCESSES)) + " | 1,000, gathered |"
    yield "|" + "---|" * (len(PROCESSES) + 3)
    for n, network in itertools.product(MODELS, NETWORKS):
        sums = [step(p, n, network)[1] for p in PROCESSES] + [step(1000, n, network, way="gather")[1]]
        yield f"| {n:,} | {network} | " + " | ".join(f"{1e3 * s:,.1f}" for s in sums) + " |"
    yield "\nThe part of the time in which 1,024 processes compute, by what each has of a batch:\n"
    batches = list(MEASURED["steps"])
    yield "| parameters | network | " + " | ".join(f"batch {b} each" for b in batches) + " |"
    yield "|" + "---|" * (len(batches) + 2)
    for n, network in itertools.product(MODELS, NETWORKS):
        found = [1 - sums / whole for whole, sums in (step(1024, n, network, int(b)) for b in batches)]
        yield f"| {n:,} | {network} | " + " | ".join(f"{100 * part:.0f} %" for part in found) + " |"


def picture():
    powers = list(range(1, 11))
    series = {
        f"{n:,}, {network}": (powers, [1e3 * step(2**k, n, network)[1] for k in powers])
        for n, network in itertools.product(MODELS, NETWORKS)
    }
    title = "Waiting and adding, by parameters and network"
    return curve(series, title=title, x_label="processes: 2 to the power of", y_label="ms a step")


def main():
    page = DOCS / "scale.md"
    before, _, rest = page.read_text().partition(START)
    page.write_text(before + START + "\n" + "\n".join(tables()) + "\n\n" + END + rest.partition(END)[2])
    write_svg(DOCS / "scale.svg", picture())


if __name__ == "__main__":
    main()
