"""Archives that the writer would never write, sealed as if it had: for the tests of what reads them."""

import hashlib
import zlib

import pytest

from scratchattn.training import archive, zip_layout
from scratchattn.training.strict_json import written


def sealed(data):
    """``data``, which ends with the mark, and the digest that belongs behind it."""
    assert data.endswith(archive.MARK)
    return data + hashlib.sha256(data).hexdigest().encode()


def entry(raw, dtype, shape):
    return {"dtype": dtype, "shape": shape, "sha256": hashlib.sha256(raw).hexdigest()}


def npy(dtype, shape, raw):
    return archive._head(dtype, shape) + raw


def forged(entries, members, **index):
    """An archive whose index holds ``entries``, and whose ``members``, (name, bytes), are those."""
    index = {"format": archive.FORMAT, "version": 1, "facts": {}, "arrays": entries} | index
    return zipped([("index.json", written(index).encode()), *members])


def zipped(members):
    listed, data = [], b""
    for name, raw in members:
        listed.append((name, len(raw), zlib.crc32(raw)))
        data += zip_layout.local(*listed[-1]) + raw
    return sealed(data + zip_layout.closing(listed, archive.END) + archive.MARK)


def refused(path, data):
    """What ``Damaged`` says of a file of these bytes."""
    path.write_bytes(data)
    with pytest.raises(archive.Damaged) as error:
        archive.read_archive(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    return str(error.value)
