"""Run a stranger's function so that whatever it does comes back as a value.

In a thread of its own, because a limit on time can be kept there wherever we are called from (a signal
reaches the main thread only) and for functions that no other process could be sent (a lambda, a model on a
device).  A function that runs over the limit is abandoned: it is told to stop at its next line of Python,
and if it is stuck below Python its thread stays behind, asleep or at work, until the program ends.  The one
thing that no limit can help against is compiled code that never lets another thread run.
"""

import contextlib
import ctypes
import threading
import traceback
import warnings

import numpy as np


class Stopped(BaseException):
    """Raised inside a function that ran over its limit; no ``except Exception`` can swallow it."""


class Failed(Exception):
    """What a function raised, or that it did not come back, in one line; ``hung`` in the latter case."""

    def __init__(self, text, hung=False):
        super().__init__(text)
        self.hung = hung


def guarded(function, seconds):
    """``function()``; Failed if it raises anything at all or takes longer than ``seconds``."""
    outcome: dict = {}

    def work():
        try:
            outcome["value"] = function()
        except Stopped:
            outcome["error"] = "stopped"
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: it is not ours to obey
            outcome["error"] = said(error)
            outcome["cause"] = error

    thread = threading.Thread(target=work, name="candidate", daemon=True)
    with warnings.catch_warnings(), contextlib.suppress(KeyError):
        warnings.simplefilter("ignore")  # a warning is no verdict, also where warnings are errors
        thread.start()
        thread.join(seconds)
        if not thread.is_alive():
            return outcome["value"]
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Stopped))
        raise Failed(f"hangs: no answer in {seconds:g} s", hung=True)
    raise Failed(outcome["error"]) from outcome.get("cause")


def quietly(function):
    """``function`` with NumPy's warnings of overflow and the like off; they are kept by thread."""

    def quiet():
        with np.errstate(all="ignore"):
            return function()

    return quiet


def said(error):
    """An exception in one line, with the place in the candidate where it was raised."""
    text = " ".join(_text(error).split())
    text = text if len(text) <= 200 else text[:197] + "..."
    frames = traceback.extract_tb(error.__traceback__)
    there = [f for f in frames if "conformance" not in f.filename]
    place = f" (line {there[0].lineno}: {there[0].line})" if there and there[0].line else ""
    return f"{type(error).__name__}: {text}{place}" if text else f"{type(error).__name__}{place}"


def _text(error):
    try:
        return str(error)
    except Exception as worse:
        return f"which raises {type(worse).__name__} when it is to be said"


def attribute(thing, name, default=None):
    """``getattr``, also of things that raise whatever they please."""
    try:
        return getattr(thing, name, default)
    except Exception:
        return default
