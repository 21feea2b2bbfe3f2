"""Arrays and facts in one file that comes back exactly, or not at all.

The file is an .npz (``numpy.load(path)["name"]`` reads its arrays too): a ZIP whose first member is
``index.json`` with the name and version of this format, the facts, and every array's dtype, shape and
SHA-256; the arrays follow as .npy.  Its last bytes, the comment of the ZIP, are the SHA-256 of all bytes
before, so that no changed bit goes unseen.  Equal contents in equal order give equal bytes.

Reading executes nothing and believes nothing: the index determines every byte that is not an array's, the
file must have exactly those, and nothing is taken from it that is larger than the file itself.  The digest
tells of accidents; it is no signature, and whoever can write the file can write other numbers.
"""

import hashlib
import stat
import zlib
from math import prod
from pathlib import Path

import numpy as np

from ..whole_file import replacing
from . import zip_layout
from .strict_json import parsed, plain, written

FORMAT, VERSION = "scratchattn archive", 1
INDEX, SUFFIX = "index.json", ".npy"
INDEX_LIMIT = 1 << 22  # bytes: what is larger belongs into an array
DTYPES = {"|b1", "|i1", "|u1"} | {
    order + kind for order in "<>" for kind in "i2 i4 i8 u2 u4 u8 f2 f4 f8 c8 c16".split()
}
MARK = b"sha256:"
DIGITS = 64
END = len(MARK) + DIGITS


class Damaged(ValueError):
    """A file cannot be used: its ``path``, ``what`` is wrong, and what to do, in one line."""

    def __init__(self, path, what, remedy="restore it from a copy or do without it"):
        super().__init__(f"{path}: {what}; {remedy}")
        self.path, self.what = Path(path), what


class _OtherVersion(ValueError):
    """The file is whole, and of another version of the format."""


# ---- writing ----------------------------------------------------------------


def write_archive(path, arrays, facts):
    """Write ``arrays``, name -> NumPy array of bool, int, float or complex, and ``facts``, a dict that
    JSON can hold, to ``path``, whole or not at all; return the path.

    Byte order, NaNs and signs of zeros are kept; the layout in memory is not (C order is written).
    TypeError and ValueError name what cannot be written; an OSError names ``path``.
    """
    blocks = {name: _block(name, x) for name, x in arrays.items()}
    entries = {
        name: {"dtype": x.dtype.str, "shape": list(x.shape), "sha256": hashlib.sha256(raw).hexdigest()}
        for name, (x, raw) in blocks.items()
    }
    text = _index(plain(facts, "facts"), entries)
    if len(text) > INDEX_LIMIT:
        told = f"facts and names must fit in {INDEX_LIMIT} bytes, got {len(text)}"
        raise ValueError(f"write_archive: {told}: put long lists into arrays")
    members, digest = [], hashlib.sha256()
    with replacing(path) as file:

        def put(*pieces):
            for piece in pieces:
                file.write(piece)
                digest.update(piece)

        def put_member(name, head, raw):
            size, crc = len(head) + len(raw), zlib.crc32(raw, zlib.crc32(head))
            members.append((name, size, crc))
            put(zip_layout.local(name, size, crc), head, raw)

        put_member(INDEX, text, b"")
        for name, (x, raw) in blocks.items():
            put_member(name + SUFFIX, _head(x.dtype.str, x.shape), raw)
        put(zip_layout.closing(members, END), MARK)
        file.write(digest.hexdigest().encode())
    return Path(path)


def _block(name, x):
    """``x`` in C order, and its bytes."""
    if wrong := _wrong_name(name):
        raise ValueError(f"write_archive: the name {name!r} {wrong}")
    if type(x) is not np.ndarray:
        raise TypeError(f"write_archive: {name} must be a NumPy array, got {type(x).__name__}")
    if x.dtype.str not in DTYPES:
        raise TypeError(f"write_archive: {name} must be of bool, int, float or complex, got {x.dtype}")
    x = np.asarray(x, order="C")
    return x, x.reshape(-1).view(np.uint8)


def _wrong_name(name):
    """Why an array cannot be called ``name``, or nothing."""
    if type(name) is not str or not name:
        return "must be a text"
    if not name.isprintable() or "\\" in name or ":" in name:
        return "must be printable, without backslash and colon"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "must have something other than dots between its slashes"
    if name == INDEX or name.endswith(SUFFIX):
        return f"must not be {INDEX} and not end in {SUFFIX}"
    return "" if len(name.encode()) <= 4096 else "must not be longer than 4096 bytes"


def _index(facts, entries):
    index = {"format": FORMAT, "version": VERSION, "facts": facts, "arrays": entries}
    return written(index).encode()


def _head(dtype, shape):
    """What stands before an array's bytes in a .npy file of version 1, always padded alike."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    padded = -(10 + len(text) + 1) % 64 * " "
    return (
        b"\x93NUMPY\x01\x00" + (len(text + padded) + 1).to_bytes(2, "little") + f"{text}{padded}\n".encode()
    )


# ---- reading ----------------------------------------------------------------


def read_archive(path):
    """(arrays, facts) as they were written; Damaged unless every byte is as ``write_archive`` wrote it.

    FileNotFoundError if there is no such file.
    """
    data = _bytes_of(Path(path))
    untouched = hashlib.sha256(data[:-DIGITS]).hexdigest().encode() == data[-DIGITS:]
    wrong: Exception = ValueError("its SHA-256 is not the one at its end")
    try:
        contents = _contents(data)
        if untouched:
            return contents
    except (ValueError, OverflowError) as found:
        wrong = found
    what = " ".join(str(wrong).split())[:200]
    if not untouched:
        raise Damaged(path, f"it was changed or cut off after it was written ({what})")
    if type(wrong) is _OtherVersion:
        raise Damaged(path, what, "use the scratchattn that wrote it")
    raise Damaged(path, f"this program cannot have written it ({what})", "look where it comes from")


def _bytes_of(path):
    """The bytes of the file, once its two ends look like ours: others may be of any size."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Damaged(path, "it is a directory or a device, not a file", "move it away")
        with open(path, "rb") as file:
            start = file.read(len(zip_layout.BEGINNING))
            if start != zip_layout.BEGINNING:
                what = "it is no archive of scratchattn" if start else "it is empty"
                raise Damaged(path, what)
            size = file.seek(0, 2)
            file.seek(max(0, size - END))
            if file.read(len(MARK)) != MARK:
                raise Damaged(path, "it was cut off, or is a ZIP file of another program")
            file.seek(0)
            return file.read(size)
    except FileNotFoundError:
        raise
    except OSError as wrong:
        raise Damaged(path, f"it cannot be read: {wrong.strerror}", "look at its permissions") from wrong


def _contents(data):
    """(arrays, facts) of the bytes of a file; ValueError says what is first not as it must be."""
    index, text = _index_of(data)
    heads = {name: _head(entry["dtype"], entry["shape"]) for name, entry in index["arrays"].items()}
    sizes = [(INDEX, len(text))] + [
        (name + SUFFIX, len(head) + _nbytes(index["arrays"][name])) for name, head in heads.items()
    ]
    told = sum(len(zip_layout.local(name, 0, 0)) + size for name, size in sizes)
    told += len(zip_layout.closing([(name, 0, 0) for name, _ in sizes], END)) + END
    if told != len(data):
        raise ValueError(f"it has {len(data)} bytes, and {told} by its index")
    view, members, arrays, at = memoryview(data), [], {}, 0
    for name, size in sizes:
        start = at + len(zip_layout.local(name, 0, 0))
        member = (name, size, zlib.crc32(view[start : start + size]))
        if name != INDEX:
            key = name.removesuffix(SUFFIX)
            arrays[key] = _array(key, view[start : start + size], heads[key], index["arrays"][key])
        if view[at:start] != zip_layout.local(*member):
            raise ValueError(f"the header of {name} is wrong")
        members.append(member)
        at = start + size
    if view[at:-DIGITS] != zip_layout.closing(members, END) + MARK:
        raise ValueError("the list of its members is wrong")
    return arrays, index["facts"]


def _index_of(data):
    """The index, checked, and its text."""
    size, start = zip_layout.size_told(data, INDEX)
    if size > INDEX_LIMIT:
        raise ValueError(f"its index claims {size} bytes")
    text = data[start : start + size]
    try:
        index = parsed(text.decode())
    except ValueError as wrong:
        raise ValueError(f"its index cannot be read: {wrong}") from None
    if index.get("format") != FORMAT:
        raise ValueError("it is no archive of scratchattn")
    if index.get("version") != VERSION:
        told = f"it has version {index.get('version')!r} of the format, and this program reads {VERSION}"
        raise _OtherVersion(told)
    if not all(type(index.get(part)) is dict for part in ("facts", "arrays")):
        raise ValueError("its index has no facts or no arrays")
    for name, entry in index["arrays"].items():
        if fault := _wrong_name(name) or _wrong_entry(entry):
            raise ValueError(f"in its index {name!r} {fault}")
    if _index(index["facts"], index["arrays"]) != text:
        raise ValueError("its index says something twice, or more than facts and arrays")
    return index, text


def _wrong_entry(entry):
    if type(entry) is not dict or list(entry) != ["dtype", "shape", "sha256"]:
        return "must have dtype, shape and sha256"
    dtype, shape = entry["dtype"], entry["shape"]
    if type(dtype) is not str or dtype not in DTYPES:
        return f"must be of bool, int, float or complex, and is of {dtype!r}"
    if type(shape) is not list or not all(type(n) is int and n >= 0 for n in shape):
        return f"has the shape {shape!r}"
    return "" if type(entry["sha256"]) is str else "has no SHA-256"


def _nbytes(entry):
    return prod(entry["shape"]) * np.dtype(entry["dtype"]).itemsize


def _array(name, member, head, entry):
    raw = member[len(head) :]
    if member[: len(head)] != head:
        raise ValueError(f"the .npy header of {name} is not what its index says")
    if hashlib.sha256(raw).hexdigest() != entry["sha256"]:
        raise ValueError(f"the array {name} is not what was written")
    x = np.ndarray(tuple(entry["shape"]), np.dtype(entry["dtype"]), raw).copy()
    if x.dtype == bool and (x.view(np.uint8) > 1).any():
        raise ValueError(f"the array {name} has entries that are neither true nor false")
    return x
