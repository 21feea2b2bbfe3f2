"""What all verbs share: the common option, the screen, the words for wrong use."""

import argparse
import errno
import math
import os
import shutil
import sys
from pathlib import Path

_REMEDIES = {  # by the number of an OSError
    (errno.EACCES, errno.EPERM, errno.EROFS): "; change its permissions, or take another place",
    (errno.ENOSPC, errno.EFBIG, errno.EDQUOT): "; make room, or take another place",
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST): "; name another one",
}
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "bold": 1, "dim": 2}


class Misuse(Exception):
    """The command was used wrongly: its message is shown, the exit status is 2."""


class Failed(Exception):
    """What was asked for was tried and failed: its message is shown, the exit status is 1."""


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def whole(least):
    """For ``type=`` of an argument: an int, at least ``least``."""

    def read(text):
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < least:
            raise argparse.ArgumentTypeError(f"a whole number, at least {least}, expected, got {text!r}")
        return number

    return read


def directory(text):
    """For ``type=`` of an argument: not an empty name, which an unset variable of the shell gives."""
    if not text:
        raise argparse.ArgumentTypeError("the name of a directory expected, got ''")
    return text


def add(verbs, name, run, summary, description=""):
    """A parser for the verb ``name`` with the option that every verb has."""
    parser = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{description}".strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(run=run)
    _let_options_stand_anywhere(parser)
    return parser


def _let_options_stand_anywhere(parser):
    """argparse refuses ``train ntm --seed 1 copy``: it has closed the list of words before the option."""
    plain = parser.parse_known_args

    def intermixed(args=None, namespace=None):
        parser.parse_known_args = plain  # which the next line comes back to
        try:
            return parser.parse_known_intermixed_args(args, namespace)
        finally:
            parser.parse_known_args = intermixed

    parser.parse_known_args = intermixed


class Screen:
    """Where a verb talks to a person: lines on stdout, a line that rewrites itself on a terminal.

    ``silent`` (with --json): nothing is said.  Colour only on a terminal, and not with NO_COLOR.
    """

    def __init__(self, silent=False):
        self.silent = silent
        self.coloured = not silent and sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._lively = not silent and sys.stderr.isatty()
        self._showing = False

    def say(self, text=""):
        if not self.silent:
            self.progress("")
            print(text, flush=True)

    def progress(self, text):
        """Show ``text`` until the next call; on what is no terminal, never."""
        if self._lively and (text or self._showing):
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{text[:width]}", end="", file=sys.stderr, flush=True)
            self._showing = bool(text)

    def paint(self, colour, text):
        return f"\033[{_COLOURS[colour]}m{text}\033[0m" if self.coloured else text


def in_a_clone(who, path):
    """``path`` of the clone around us, or of the one that this package runs from; Misuse without one."""
    for root in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (root / path).is_file():
            return root / path
    raise Misuse(f"{who} runs inside a clone: there is no {path} here")


def in_one_line(wrong):
    """The message of an exception, without breaks; of an OSError, what it is about and what to do."""
    text = str(wrong)
    if isinstance(wrong, OSError) and wrong.filename is not None:
        remedy = next((words for numbers, words in _REMEDIES.items() if wrong.errno in numbers), "")
        text = f"{wrong.filename}: {wrong.strerror}{remedy}"
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def valid_json(value):
    """``value`` as JSON can say it: a number that is none (infinite, NaN) becomes null."""
    if isinstance(value, dict):
        return {str(key): valid_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [valid_json(each) for each in value]
    if hasattr(value, "tolist"):  # an array, or a number of a library's own
        return valid_json(value.tolist())
    if isinstance(value, complex):
        return [valid_json(value.real), valid_json(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
