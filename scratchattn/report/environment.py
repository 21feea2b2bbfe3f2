"""What a result was computed with: versions, linear algebra, processor; no names of people or places."""

import os
import platform
from importlib import metadata
from pathlib import Path

import numpy as np

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE")


def environment(library="numpy"):
    """(name, value) pairs, in the order in which to show them; ``library`` owns the arrays."""
    found = [
        ("scratchattn", version("scratchattn") or "a checkout, not installed"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("NumPy", np.__version__),
        ("SciPy", version("scipy") or "not installed"),
        ("BLAS", in_words(blas()[0])),
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
    """One dictionary per linear algebra library in this process, NumPy's first.

    Keys library, version, architecture, threads, of.  Without threadpoolctl, NumPy's by name only.
    """
    try:
        import threadpoolctl
    except ImportError:
        built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
        found = dict.fromkeys(("architecture", "threads"), None)
        return [{"library": built.get("name"), "version": built.get("version"), "of": "numpy"} | found]
    import scipy.linalg  # noqa: F401 - brings its own

    found = [
        {
            "library": pool["internal_api"],
            "version": pool["version"],
            "architecture": pool.get("architecture"),
            "threads": pool["num_threads"],
            "of": next(
                (name for name in ("scipy", "numpy") if name in Path(pool["filepath"]).parent.name), ""
            ),
        }
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return sorted(found, key=lambda pool: pool["of"] != "numpy")


def in_words(pool):
    """A dictionary of ``blas`` as text."""
    threads = "threads unknown" if pool["threads"] is None else f"{pool['threads']} thread(s)"
    kernels = f"{pool['architecture']} kernels" if pool["architecture"] else "kernels unknown"
    return f"{pool['library']} {pool['version']}, {kernels}, {threads}"
