"""Files that appear whole or not at all, whatever happens to the process or the machine meanwhile."""

import os
import secrets
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"


@contextmanager
def replacing(path):
    """A binary file to write to, which takes the name ``path`` once it is whole and on the disk.

    It is written under a name of its own in the same directory (a dot, the name, ".partial"), synced,
    renamed, and the directory is synced.  Until then ``path`` holds what it held before; a symbolic link
    there is replaced, not followed.  An OSError names ``path``; nothing is left behind except by a kill.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
    try:
        with open(partial, "xb") as file:  # refuses what is there, links included
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        try:
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
    except OSError as wrong:
        told = f"{wrong.strerror or wrong}: it could not be written, and what was there is as it was"
        raise OSError(wrong.errno, told, str(path)) from wrong
    sync_directory(path.parent)


def write_whole(path, data):
    """``data``, bytes, as the file at ``path``, written as ``replacing`` does."""
    with replacing(path) as file:
        file.write(data)


def make_directory(directory):
    """``directory`` and those above it, of which none gets lost in a power cut from here on."""
    directory = Path(directory)
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


def leftovers(directory, beginning=""):
    """What interrupted writes of files whose names begin so left in ``directory``."""
    return sorted(Path(directory).glob(f".{beginning}*{PARTIAL}"))


def sync_directory(directory):
    """Names that were given or removed in ``directory`` outlast a power cut from here on."""
    if hasattr(os, "O_DIRECTORY"):  # other systems cannot
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
