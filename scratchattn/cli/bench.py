"""``scratchattn bench``: side-by-side timings, interleaved, in one process with one thread.

The cases are the files of ``benchmarks/`` in a clone.  Ours and the peers take turns, one step
each, round after round; CPU time, the median counts.  Gradients are compared in the same run.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from importlib import metadata, util
from pathlib import Path

from ..report.environment import blas
from . import verb

ONE_THREAD = {
    **dict.fromkeys(
        ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
    ),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
WARM_UP = 2  # rounds that do not count


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "bench",
        run,
        "time our steps against those of others, side by side",
        "Run inside a clone: the cases are the files of benchmarks/.  JSON keys: machine {blas,\n"
        "blas_architecture, threads}, rows [{case, batch, ours_ms, peer, peer_ms, ratio, rounds,\n"
        "gradient_error, setting, dtype, device, engine, ours_mib, peer_mib}].  A ratio above one: we are\n"
        "faster.",
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names of cases; all without any")
    parser.add_argument(
        "--peers",
        help="comma-separated: torch_eager, or torch for all of PyTorch; none; installed ones without",
    )
    parser.add_argument("--batch", type=int, action="append", help="a batch size; may be given again")
    parser.add_argument("--rounds", type=int, default=11)


def run(args, screen):
    """In a child with one thread: the variables must be set before NumPy is imported."""
    from ..training.workers import another

    if args.rounds < 1:
        raise verb.Misuse(f"--rounds must be at least 1, got {args.rounds}")
    chosen = _chosen(args)
    for name in chosen:
        _peers(_load(name), args.peers)  # refused here and not in the child
    if os.environ.get("SCRATCHATTN_BENCH_CHILD") != "1":
        words = [*args.cases, *(["--peers", args.peers] if args.peers else []), "--rounds", str(args.rounds)]
        words += [word for batch in args.batch or () for word in ("--batch", str(batch))]
        command, environment = another("bench", *words, "--json")
        environment |= ONE_THREAD | {"SCRATCHATTN_BENCH_CHILD": "1"}
        child = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
        if child.returncode:
            raise RuntimeError(f"the timing process ended with {child.returncode}")
        report = json.loads(child.stdout)
        _say(report, screen)
        return report, 0
    rows = [row for name in chosen for row in _rows(name, _load(name), args)]
    return {"machine": machine(), "rows": rows}, 0


def machine():
    """The BLAS that NumPy calls, the kernels that it chose, and its threads."""
    pool = blas()[0]
    return {
        "blas": f"{pool['library']} {pool['version']}",
        "blas_architecture": pool["architecture"],
        "threads": pool["threads"],
    }


def _folder():
    return verb.in_a_clone("bench", "benchmarks/ntm_copy.py").parent


def _chosen(args):
    known = sorted(path.stem for path in _folder().glob("[a-z]*.py"))
    for name in args.cases:
        if name not in known:
            raise verb.Misuse(
                f"no case is called {name!r}{verb.nearest(name, known)}; there are {', '.join(known)}"
            )
    return args.cases or known


def _load(name):
    spec = util.spec_from_file_location(f"benchmarks_{name}", _folder() / f"{name}.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _peers(case, wanted):
    """The peers of ``case`` that are asked for; without a wish, those that are installed."""
    if wanted == "none":
        return []
    if wanted is None:
        return [p for p in case.PEERS if util.find_spec(p.partition("_")[0])]
    words = [word for word in wanted.split(",") if word]
    for word in words:
        library = word.partition("_")[0]
        if not any(p == word or p.partition("_")[0] == word for p in case.PEERS):
            raise verb.Misuse(f"no peer is called {word!r}; there are {', '.join(case.PEERS)}")
        if not util.find_spec(library):
            raise verb.Misuse(f"the peer {word} needs {library}: install scratchattn[peers]")
    return [p for p in case.PEERS if p in words or p.partition("_")[0] in words]


def _rows(name, case, args):
    peers = _peers(case, args.peers)
    if any(p.startswith("torch") for p in peers):
        import torch

        torch.set_num_threads(1)
    for batch in args.batch or case.BATCHES:
        print(f"{name}, batch {batch}", file=sys.stderr, flush=True)
        contestants = {"ours": case.ours(batch)} | {peer: case.peer(peer, batch) for peer in peers}
        seconds = interleaved(contestants, args.rounds)
        mib = {who: peak_mib(step) for who, step in contestants.items()}
        facts = {
            "case": name, "batch": batch, "ours_ms": 1e3 * seconds["ours"], "rounds": args.rounds,
            "setting": case.SETTING, "dtype": "float32", "device": "cpu", "engine": "fused",
            "ours_mib": mib["ours"],
        }  # fmt: skip
        for peer in peers or [None]:
            theirs = peer and {
                "peer_ms": 1e3 * seconds[peer],
                "ratio": seconds[peer] / seconds["ours"],
                "gradient_error": case.gradient_error(peer, batch),
                "peer_mib": mib[peer],
                "peer_version": metadata.version(peer.partition("_")[0]),
            }
            yield facts | {"peer": peer} | (theirs or {})


def interleaved(contestants, rounds):
    """Median CPU seconds of each, one step of each per round, after a warm-up."""
    seconds = {name: [] for name in contestants}
    for turn in range(WARM_UP + rounds):
        for name, step in contestants.items():
            start = time.process_time()
            step()
            if turn >= WARM_UP:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(all_of) for name, all_of in seconds.items()}


def peak_mib(step):
    """Memory that one more step takes at its peak, above what is held; None where /proc cannot say."""
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        clear.write_text("5")  # the high-water mark starts anew
    except OSError:
        return None

    def mark(word):
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(word))

    held = mark("VmRSS")
    step()
    return round(max(0, mark("VmHWM") - held) / 1024, 2)


def _say(report, screen):
    facts = report["machine"]
    screen.say(
        f"{facts['blas']}, {facts['blas_architecture']} kernels, {facts['threads']} thread(s); "
        "CPU time, medians"
    )
    screen.say(
        f"{'case':12} {'batch':>5} {'ours ms':>9}  {'peer':14} {'peer ms':>9} {'ratio':>6}  "
        "gradients differ by"
    )
    for row in report["rows"]:
        line = f"{row['case']:12} {row['batch']:5} {row['ours_ms']:9.2f}"
        if row["peer"]:
            line += (
                f"  {row['peer']:14} {row['peer_ms']:9.2f} {row['ratio']:6.2f}  {row['gradient_error']:.1e}"
            )
        screen.say(line)
