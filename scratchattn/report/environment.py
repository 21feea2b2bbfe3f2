"""What a result was computed with: versions, linear algebra, processor; no names of people or places."""

import os
import platform
from importlib import metadata

import numpy as np

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE")


def environment(library="numpy"):
    """(name, value) pairs, in the order in which to show them; ``library`` owns the arrays."""
    found = [
        ("scratchattn", version("scratchattn") or "a checkout, not installed"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("NumPy", np.__version__),
        ("SciPy", version("scipy") or "not installed"),
        ("BLAS", blas()),
        (
            "arrays",
            f"CuPy {version('cupy') or ''}, on a GPU" if library == "cupy" else "NumPy, on the processor",
        ),
        ("system", f"{platform.system()} {platform.machine()}"),
        (
            "cores allowed",
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        ),
    ]
    return found + [(name, os.environ[name]) for name in THREADS if name in os.environ]


def version(package):
    """The installed version of ``package``, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def blas():
    """NumPy's linear algebra in words; its kernels and threads too if threadpoolctl is installed."""
    built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    name = f"{built.get('name', 'unknown')} {built.get('version', '')}".strip()
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return f"{name}, kernels and threads unknown (threadpoolctl is not installed)"
    for pool in threadpool_info():
        if pool["user_api"] == "blas" and "scipy.libs" not in pool["filepath"]:
            kernels = pool.get("architecture") or "unknown"
            return f"{name}, {kernels} kernels, {pool['num_threads']} thread(s)"
    return f"{name}, kernels and threads unknown"
