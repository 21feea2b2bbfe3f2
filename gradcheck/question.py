"""What a mutant is asked: once, within its time, and not where it cannot answer otherwise than the op."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import cached_property

PATIENCE = 50  # a mutant has so many times what the op itself takes, if that is more than its limit
WATCHED = 3  # watching the op costs more than asking it: worth it from the third mutant on


class OutOfTime(BaseException):
    """A mutant that does not come to an end; no Exception, so that no check takes it for an answer."""


class Version:
    """The op as its text stands, or with ``mutant`` in it."""

    def __init__(self, text, mutant=None):
        self._text, self._names = text, text.functions(mutant)
        self.made = text.made_of(self._names)
        self._forwards = {}

    @cached_property
    def op(self):
        """An Op of it, whose properties look at it too."""
        return self._text.op_of(self._names)

    def forward(self, trial):
        """Outputs and what is saved at the case of ``trial``, computed once."""
        if trial not in self._forwards:
            self._forwards[trial] = self.made.forward(*trial.inputs, **trial.case.params)
        return self._forwards[trial]


class Question:
    """Something to ask of a version of the op whose own version is ``own``, as written in ``file``.

    ``ask`` returns a word for what is wrong, or nothing, and may take ``seconds``.  If it is about what comes
    ``after`` another question, ``same`` says whether a version comes there with the same.
    """

    def __init__(self, ask: Callable, seconds: float, own, file, after=None, same: Callable | None = None):
        self._ask, self._seconds, self._own, self._file = ask, seconds, own, file
        self._after, self._same = after, same
        self._asked = 0
        self._lines: set[int] | None = None  # of the file that the op runs when asked
        self._taken = 0.0

    def watch(self):
        """Ask the op itself, once; the word for what is wrong with it, or None."""
        if self._lines is None:
            started, lines = time.process_time(), set()
            with _watched(self._file, lines):
                self._wrong = answer(None, self._ask, self._own)
            self._lines, self._taken = lines, time.process_time() - started
        return self._wrong

    def word(self, version, lines):
        """What tells ``version``, which differs at ``lines``, from the op; None if nothing does.

        Nothing is wrong that is wrong with the op as well, and no time over without PATIENCE.
        """
        self._asked += 1
        if self._asked >= WATCHED and self.watch():
            return None
        ask = self._ask
        if self._misses(lines):
            if self._after is None or self._after._misses(lines):
                return None
            ask = self._ask_unless_same
        word = answer(self._seconds, ask, version)
        if not word or self.watch():
            return None
        if word == "time" and self._taken * PATIENCE > self._seconds:
            word = answer(self._taken * PATIENCE, ask, version)
        return word

    def _misses(self, lines):
        """Whether none of ``lines`` is run, as far as is known."""
        return None not in (lines, self._lines) and lines.isdisjoint(self._lines)

    def _ask_unless_same(self, version):
        return None if self._same(version) else self._ask(version)


def answer(seconds, ask, *about):
    """What ``ask`` returns, or as a word what it raised, or that ``seconds``, if given, were over."""
    try:
        with _limit(seconds):
            return ask(*about)
    except ImportError:
        raise
    except Exception as failure:
        return type(failure).__name__
    except OutOfTime:
        return "time"


@contextlib.contextmanager
def _watched(file, lines):
    """Add to ``lines`` those of ``file`` that are run."""

    def called(frame, event, _):
        return ran if frame.f_code.co_filename == file else None

    def ran(frame, event, _):
        lines.add(frame.f_lineno)
        return ran

    before = sys.gettrace()
    sys.settrace(called)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def _limit(seconds):
    """OutOfTime after ``seconds`` of computing; where there are no such signals, no limit."""
    main = threading.current_thread() is threading.main_thread()
    if seconds is None or not hasattr(signal, "setitimer") or not main:
        yield
        return

    def stop(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
