"""The local store of data files: one folder per data set in ``$SCRATCHATTN_DATA``, a record beside the files.

    mnist/record.json                      kind, and for each file source, date, size, SHA-256, what it holds
    mnist/train-images-idx3-ubyte.gz       the file as it came

``add`` puts files there, ``check`` reads them all again, ``listed`` says what is there and what is
not, ``files`` gives a task the paths.  A folder that somebody filled by hand, without a record, can
be read too.  Without the variable the store is ``scratchattn`` in the user's data directory:
``$XDG_DATA_HOME``, or ``~/.local/share``.  Nothing here touches a network.
"""

from .adding import add
from .checking import check, listed
from .kinds import KINDS
from .record import Refused, files, folder
from .sets import SETS

__all__ = ["KINDS", "SETS", "Refused", "add", "check", "files", "folder", "listed"]
