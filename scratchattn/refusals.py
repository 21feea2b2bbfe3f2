"""Refusals that depend on the numbers: an index out of range, a probability that is none.

Looked at on the host only: on a GPU the look alone would wait for the device.
"""

from .backend import array_module


def refuse_outside(name, indices, n):
    """ValueError unless every one of ``indices`` is in 0..n-1; ``name`` says whose they are."""
    refuse_where((indices < 0) | (indices >= n), f"{name} must be in 0..{n - 1}", indices)


def refuse_where(wrong, message, values):
    """ValueError with ``message`` and the first of ``values`` where ``wrong`` is true."""
    xp = array_module(values)
    if xp.__name__ == "numpy" and wrong.any():
        raise ValueError(f"{message}, got {values[wrong][0]}")


def refuse_repeats(name, permutation):
    """ValueError unless each row of ``permutation`` holds every one of 0..n-1."""
    xp = array_module(permutation)
    if xp.__name__ == "numpy":
        n = permutation.shape[-1]
        wrong = (xp.sort(permutation, axis=-1) != xp.arange(n)).any(axis=-1)
        if wrong.any():
            found = permutation[wrong][0].tolist()
            raise ValueError(f"{name} must hold each of 0..{n - 1} once, got {found}")
