"""Ctrl-C, and what a batch system sends, end a training between two steps."""

import signal
import threading
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """A training was asked to end and has saved where it was; the message says how it goes on."""


@contextmanager
def asked_to_end():
    """Yield a function that tells whether the process was asked to end; a second Ctrl-C ends it at once."""
    asked = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
