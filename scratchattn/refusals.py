"""Refusals that no signature states: an index out of range, a probability that is none, a setting.

Numbers in arrays are looked at on the host only: on a GPU the look alone would wait for the device.
"""

import difflib

from .backend import array_module


def nearest(name, names):
    """A clause that suggests what ``name`` may have meant, or an empty one."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    close = close or [known for known in names if len(name) > 2 and name in known][:3]
    return f"; did you mean {' or '.join(close)}?" if close else ""


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


def refuse_no_number(name, value, *, or_none=False):
    """TypeError unless ``value`` is a number, or None if that may be; ``name`` says whose it is."""
    if or_none and value is None:
        return
    if not _is_number(value) or value != value:
        raise TypeError(f"{name} must be {'None or ' * or_none}a number, got {value!r}")


def refuse_not_positive(name, value):
    """TypeError unless ``value`` is a number, ValueError unless it is finite and above zero."""
    if not _is_number(value):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value!r}")


def _is_number(value):
    return isinstance(value, (int, float)) and type(value) is not bool


def refuse_no_rate(name, value):
    """ValueError unless ``value`` is a number in [0, 1): how much is dropped; ``name`` says of what."""
    if not _is_number(value) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a number in [0, 1), got {value!r}")


def refuse_unknown(kind, settings):
    """TypeError, with all names, unless every name in ``settings`` is a field of the dataclass ``kind``."""
    known = kind.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise TypeError(f"{kind.__name__}: no setting is called {name!r}; there are {', '.join(known)}")


def check_settings(settings, *, at_least=(), positive=(), not_negative=(), one_of=(), flags=()):
    """TypeError or ValueError, naming class and field, unless every field of a dataclass is what it must be.

    ``at_least``: field -> the least int; ``positive``: fields that are finite numbers above zero;
    ``not_negative``: numbers of at least zero; ``one_of``: field -> what is allowed; ``flags``: fields that
    are True or False.
    """
    who = type(settings).__name__
    for name, least in dict(at_least).items():
        value = getattr(settings, name)
        if type(value) is not int:
            raise TypeError(f"{who}: {name} must be an int, got {value!r}")
        if value < least:
            raise ValueError(f"{who}: {name} must be at least {least}, got {value}")
    for name in positive:
        refuse_not_positive(f"{who}: {name}", getattr(settings, name))
    for name in not_negative:
        value = getattr(settings, name)
        refuse_no_number(f"{who}: {name}", value)
        if value < 0:
            raise ValueError(f"{who}: {name} must not be negative, got {value!r}")
    for name, allowed in dict(one_of).items():
        if getattr(settings, name) not in allowed:
            raise ValueError(f"{who}: {name} must be one of {list(allowed)}, got {getattr(settings, name)!r}")
    for name in flags:
        if type(getattr(settings, name)) is not bool:
            raise TypeError(f"{who}: {name} must be True or False, got {getattr(settings, name)!r}")
