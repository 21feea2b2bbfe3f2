"""Times side by side: who is compared takes turns, so that what else the machine does hits all alike."""

import statistics
import time
from pathlib import Path

from ..report.environment import blas

ONE_THREAD = {
    **dict.fromkeys(
        ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
    ),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
WARM_UP = 2  # rounds that do not count


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


def machine():
    """The BLAS that NumPy calls, the kernels that it chose, and its threads."""
    pool = blas()[0]
    return {
        "blas": f"{pool['library']} {pool['version']}",
        "blas_architecture": pool["architecture"],
        "threads": pool["threads"],
    }
