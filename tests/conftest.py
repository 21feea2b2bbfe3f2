"""What all tests share: one thread per process, the same random numbers every time, no GPU where none is."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: small products, and two cores for all

from functools import cache

import numpy as np
import pytest

try:
    from hypothesis import settings
except ImportError:  # an extra; the tests that need it skip themselves
    pass
else:
    settings.register_profile("reproducible", derandomize=True, deadline=None, max_examples=25)
    settings.load_profile("reproducible")


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
