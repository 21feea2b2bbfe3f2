"""Pen strokes in an npz: for each split, points of all sequences in one array, and their lengths.

    <split>_points    (n, 3)   dx, dy, pen_up: the way from the point before, and 1 where the pen leaves
    <split>_lengths   (m)      points of each sequence; they sum to n

Arrays are read without pickle: a member that holds Python objects is refused before it is read.
"""

import io
import re
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from .raw_file import MOST, Damaged, contents

# What zipfile raises for archives that are harmed, each of them seen when single bytes were changed.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)


class Strokes(NamedTuple):
    """``m`` sequences of ``n`` points altogether."""

    points: Any  # (n, 3): dx, dy, pen_up
    lengths: Any  # (m)

    @property
    def sequences(self):
        """A list of m arrays (length, 3), views of ``points``."""
        return np.split(self.points, np.cumsum(self.lengths)[:-1])


def read_strokes(path):
    """Split -> ``Strokes``.  Damaged, with the member and the row, if the file is not as described above."""
    return parse_strokes(contents(path), str(path))


def parse_strokes(data, name):
    """``read_strokes`` of the bytes of a file that errors call ``name``."""
    arrays = _arrays(data, name)
    splits = sorted({key.rpartition("_")[0] for key in arrays})
    needed = {f"{split}_{part}" for split in splits for part in ("points", "lengths")}
    if set(arrays) != needed or not splits:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise Damaged(f"{name}: a <split>_points and <split>_lengths for each split expected, got {found}")
    found = {split: Strokes(arrays[f"{split}_points"], arrays[f"{split}_lengths"]) for split in splits}
    for split, strokes in found.items():
        _check(strokes, f"{name}, {split}")
    return found


def _check(strokes, place):
    points, lengths = strokes
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "if":
        raise Damaged(f"{place}_points: numbers (n, 3) expected, got {points.dtype} {points.shape}")
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise Damaged(f"{place}_lengths: integers (m) expected, got {lengths.dtype} {lengths.shape}")
    _refuse(~np.isfinite(points).all(axis=1), f"{place}_points", "numbers must be finite", points)
    _refuse(~np.isin(points[:, 2], (0, 1)), f"{place}_points", "pen_up must be 0 or 1", points)
    _refuse(lengths < 1, f"{place}_lengths", "a sequence has at least one point", lengths)
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if ends.size else 0
    if (ends <= 0).any() or total != len(points):
        raise Damaged(f"{place}_lengths: they must sum to the {len(points)} points, got {total}")
    down = np.zeros(len(points), bool)
    down[ends - 1] = points[ends - 1, 2] == 0
    _refuse(down, f"{place}_points", "the pen leaves at the end of a sequence: pen_up must be 1", points)


def _refuse(wrong, place, rule, values):
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise Damaged(f"{place}, row {row}: {rule}, got {values[row].tolist()}")


def _arrays(data, name):
    """The arrays of an npz, each measured against its header before a number of it is read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MOST:
                raise Damaged(f"{name}: it unpacks to more than {MOST:,} bytes, the most that is read")
            names = [re.sub(r"\.npy$", "", member.filename) for member in members]
            if len(set(names)) < len(names):
                raise Damaged(f"{name}: two arrays have one name")
            return {key: _array(archive, member, f"{name}, {key}") for key, member in zip(names, members)}
    except Damaged:
        raise
    except UNREADABLE as wrong:
        raise Damaged(f"{name}: no whole npz file: {wrong}") from wrong


def _array(archive, member, place):
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"version {version} of the npy format")
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }
            shape, fortran, dtype = header[version](file)
        except ValueError as wrong:
            raise Damaged(f"{place}: no npy array: {str(wrong).splitlines()[0]}") from wrong
        if dtype.hasobject or dtype.names or fortran:
            raise Damaged(f"{place}: plain numbers in C order expected, got {dtype}: nothing of it was read")
        size = dtype.itemsize
        for length in shape:
            size *= length
        if file.tell() + size != member.file_size:
            raise Damaged(f"{place}: {shape} {dtype} has {size} bytes, got {member.file_size - file.tell()}")
        return np.frombuffer(file.read(), dtype).reshape(shape)
