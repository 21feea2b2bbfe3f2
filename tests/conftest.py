"""What all tests share: one thread per process, the same random numbers every time, no GPU where none is."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: small products, and two cores for all

from functools import cache

import numpy as np
import pytest

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # an extra; the tests that need it skip themselves
    pass
else:
    slow_is_fine = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}  # other work may go on
    settings.register_profile("reproducible", derandomize=True, max_examples=25, **slow_is_fine)
    settings.register_profile("deep", max_examples=400, **slow_is_fine)  # HYPOTHESIS_PROFILE=deep
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reproducible"))


@pytest.fixture
def rng():
    """A fresh generator, the same in every test."""
    return np.random.default_rng(0)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("gpu") and (reason := _no_gpu()):
            item.add_marker(pytest.mark.skip(reason=reason))


@cache
def _no_gpu():
    """Why no GPU can be used, or nothing."""
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed"
    try:
        return "" if cupy.cuda.runtime.getDeviceCount() else "no CUDA device"
    except cupy.cuda.runtime.CUDARuntimeError as refusal:
        return f"no CUDA device: {refusal}"
