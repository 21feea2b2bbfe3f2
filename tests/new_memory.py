"""Buffers of the fused ops in memory that holds NaN, as after a run that diverged."""

from contextlib import contextmanager

import numpy as np
import pytest

from scratchattn import buffers


@contextmanager
def new_memory():
    """No buffer is at hand, and what is made holds NaN: what is read before it is written shows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffers, "POOL", buffers.Pool())
        patch.setattr(np, "empty_like", lambda x, shape, order: np.full(shape, np.nan, dtype=x.dtype))
        yield
