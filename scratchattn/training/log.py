"""The log of a run: JSON, one event a line, on disk as soon as it happened."""

import json
import os
from pathlib import Path


class Log:
    """Events in memory, and appended to the file ``path`` if there is one."""

    def __init__(self, path=None):
        self.events, self._file = [], None
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "w", encoding="utf-8")

    def add(self, event, **facts):
        """Record one ``event``; numbers of NumPy become Python's."""
        facts = {name: value.item() if hasattr(value, "item") else value for name, value in facts.items()}
        self.events.append({"event": event, **facts})
        if self._file is not None:
            self._file.write(json.dumps(self.events[-1], allow_nan=False) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self):
        if self._file is not None:
            self._file.close()
            self._file = None
