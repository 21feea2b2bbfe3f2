"""What the words PATH... of an add mean: files, folders of files, and the members of zip archives.

Nothing is written here, and no member's name reaches a file system before ``refuse_member`` saw it.
"""

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..readers import Damaged
from ..readers.raw_file import MOST
from ..readers.strokes import UNREADABLE

MEMBERS = 100_000  # of an archive or a folder: IAM-OnDB has a quarter of it
RATIO, SMALL = 200, 2**26  # a zip that grows by more than this, and beyond this, is a bomb


class Incoming(NamedTuple):
    place: str  # relative to what was named, with forward slashes
    shown: str  # what errors call it
    read: Callable[[], bytes]  # as stored: a gz stream stays packed
    named: bool  # by the user, and not found in a folder or archive


def incoming(paths, keep):
    """An ``Incoming`` for every file under ``paths``; archives stay open in ``keep``, an ExitStack.

    FileNotFoundError for a path that is not there, Damaged for an archive that is broken or unsafe.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            found += [each for file in _walked(path) for each in _of_file(file, path.parent, False, keep)]
        elif path.is_file():
            found += _of_file(path, path.parent, True, keep)
        elif path.exists():
            raise Damaged(f"{path}: neither a file nor a folder")
        else:
            raise FileNotFoundError(f"{path}: there is no such file or folder")
    return found


def _walked(folder):
    """The plain files of a folder in a fixed order, without what hides itself."""

    def refuse(wrong):
        raise wrong

    files = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        files += [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        if len(files) > MEMBERS:
            raise Damaged(f"{folder}: more than {MEMBERS:,} files: name the folder that has the data")
    return [file for file in files if file.is_file()]


def _of_file(path, above, named, keep):
    if path.suffix.lower() == ".zip":
        return _members(path, above, keep)
    if path.stat().st_size > MOST:
        raise Damaged(f"{path}: it has more than {MOST:,} bytes, the most that is read")
    return [Incoming(path.relative_to(above).as_posix(), str(path), path.read_bytes, named)]


def _members(path, above, keep):
    file = keep.enter_context(open(path, "rb"))  # here, so that a missing right is told from damage
    try:
        archive = keep.enter_context(zipfile.ZipFile(file))
        members = [member for member in archive.infolist() if not member.is_dir()]
    except UNREADABLE as wrong:
        raise Damaged(f"{path}: no whole zip archive: {wrong}") from wrong
    if len(members) > MEMBERS:
        raise Damaged(f"{path}: more than {MEMBERS:,} members")
    size = sum(member.file_size for member in members)
    if size > MOST * 4 or (size > SMALL and size > RATIO * path.stat().st_size):
        raise Damaged(f"{path}: it would unpack to {size:,} bytes, far more than data do: refused")
    seen = set()
    for member in members:
        refuse_member(member, path)
        if member.filename in seen:
            raise Damaged(f"{path}: it has {member.filename!r} twice")
        seen.add(member.filename)
    base = path.parent.relative_to(above) / path.stem
    return [
        Incoming((base / m.filename).as_posix(), f"{path}/{m.filename}", _reader(archive, m, path), False)
        for m in members
        if not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(m.filename).parts)
    ]


def refuse_member(member, path):
    """Damaged for a member that could leave the folder it is unpacked to, or that cannot be read."""
    name = member.filename
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise Damaged(f"{path}: the member {name!r} points out of the archive: refused")
    if not name.isprintable():
        raise Damaged(f"{path}: the member {name!r} has a name that cannot be printed: refused")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        raise Damaged(f"{path}: the member {name!r} is no plain file but a link or a device: refused")
    if member.flag_bits & 1:
        raise Damaged(f"{path}: the member {name!r} is encrypted: unpack it first")
    if member.file_size > MOST:
        raise Damaged(f"{path}: the member {name!r} has more than {MOST:,} bytes, the most that is read")


def _reader(archive, member, path):
    def read():
        try:
            return archive.read(member)
        except UNREADABLE as wrong:
            raise Damaged(f"{path}/{member.filename}: the member is damaged: {wrong}") from wrong

    return read
