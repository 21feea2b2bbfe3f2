"""The log of a run: JSON, one event a line, out of this process as soon as it happened.

A line is handed to the system at once, so a kill of the process, ``kill -9`` too, loses none.  Only a power
cut can take lines back, those since the last ``position()`` or ``close()``: to wait for the disk at every
line would cost a millisecond each.  A checkpoint that holds ``position()`` has all its lines on the disk;
a resumed run cuts the log there and goes on, so that no event is missing or told twice.

Numbers that are not finite are null, and "non_finite" says which (see ``strict_json``).
"""

import os
from pathlib import Path

from ..whole_file import make_directory, sync_directory
from .archive import Damaged
from .strict_json import parsed, plain, written


class Events(list):
    """What ``read_log`` returns; ``unfinished`` is what a kill left of one more line, or ""."""

    unfinished = ""


class Log:
    """Events in memory, and appended to the file ``path`` if there is one.

    Without ``position`` the file is begun anew.  With one, a number that ``position()`` gave, what stands
    after it is cut off, and ``events`` are those before it; ``archive.Damaged`` if they are not all there.
    ``with Log(...) as log`` closes it.
    """

    def __init__(self, path=None, *, position=None):
        if position is not None and (type(position) is not int or position < 0):
            raise ValueError(f"Log: position must be an int, at least 0, got {position!r}")
        self.events, self._file, self._end = [], None, 0
        if path is None:
            return
        self.path = Path(path)
        if position:
            self.events = whole_events(self.path, position)
            self._end = position
        make_directory(self.path.parent)
        self._file = open(self.path, "r+b" if position else "wb", buffering=0)
        self._file.truncate(self._end)
        self._file.seek(self._end)
        sync_directory(self.path.parent)

    def add(self, event, **facts):
        """Record one ``event``; numbers of NumPy become Python's.

        TypeError if JSON cannot hold a fact.  An OSError names the file, which still
        ends with the event before.
        """
        facts = {"event": event, **{name: plain(value, f"Log.add: {name}") for name, value in facts.items()}}
        line = f"{written(facts)}\n".encode()
        if self._file is not None and self._file.closed:
            raise ValueError(f"Log.add: {self.path} is closed")
        if self._file is not None:
            self._append(line)
        self.events.append(facts)

    def _append(self, line):
        """All of ``line``, or nothing of it: no full disk and no Ctrl-C leaves a part."""
        try:
            done = 0
            while done < len(line):
                done += self._file.write(line[done:])
            self._end += done
        except BaseException as wrong:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            if isinstance(wrong, OSError):
                told = f"{wrong.strerror}: no more can be logged"
                raise OSError(wrong.errno, told, str(self.path)) from wrong
            raise

    def position(self):
        """Bytes of all events so far, which are on the disk when this returns; 0 without a file."""
        if self._file is not None and not self._file.closed:
            os.fsync(self._file.fileno())
        return self._end

    def close(self):
        """Wait for the disk and close the file; no event can be added any more."""
        if self._file is not None:
            self.position()
            self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def read_log(path):
    """The events in the file ``path``; ``archive.Damaged`` names the first line that is none.

    A last line that a kill left unfinished is no event: it is in ``unfinished`` of what is returned.
    """
    return _events(Path(path), Path(path).read_bytes())


def last_metrics(events):
    """The metrics of the last look at the test split, or of the last evaluation before there was one."""
    for kind in ("test", "evaluation"):
        for event in reversed(events):
            if event["event"] == kind:
                return {k: v for k, v in event.items() if k not in ("event", "step", "seconds", "of_step")}
    return {}


def whole_events(path, position):
    """The events in the first ``position`` bytes of the file ``path``; Damaged if they are not all there."""
    data = path.read_bytes() if path.is_file() else b""
    if len(data) < position or data[:position][-1:] not in (b"\n", b""):
        what = f"it has {len(data)} bytes, and the checkpoint tells of {position} and a line that ends there"
        raise Damaged(path, what)
    return list(_events(path, data[:position]))


def _events(path, data):
    *lines, last = data.split(b"\n")
    events = Events()
    for number, line in enumerate([*lines, last] if last else lines, start=1):
        try:
            event = parsed(line.decode())
            if type(event.get("event")) is not str:
                raise ValueError("it names no event")
        except ValueError as wrong:
            if number > len(lines):
                events.unfinished = line.decode(errors="replace")
                break
            raise Damaged(path, f"line {number} is damaged ({wrong})", "mend or remove that line") from wrong
        events.append(event)
    return events
