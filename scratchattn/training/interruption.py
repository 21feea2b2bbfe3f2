"""Ctrl-C, and what a batch system sends, end a training between two steps."""

import signal
import threading
import time
from contextlib import contextmanager

ECHO = 1.0  # seconds


class Interrupted(KeyboardInterrupt):
    """A training was asked to end and has saved where it was; the message says how it goes on."""


@contextmanager
def asked_to_end():
    """Yield a function that tells whether the process was asked to end; a second Ctrl-C ends it at once.

    What follows within a second is the same wish, told again: a terminal tells every process of a job, and
    so does what started them.
    """
    asked = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number, frame):
        if asked and time.monotonic() > asked[0] + ECHO:
            raise KeyboardInterrupt
        asked.append(time.monotonic())

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
