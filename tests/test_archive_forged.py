"""Archives by another hand: pickles, bombs, what the writer would not write, with digests that fit."""

import io
import os
import pickle
import tracemalloc
import zipfile

import forgery
import numpy as np
import pytest
from forgery import refused

from scratchattn.training import archive
from scratchattn.training.archive import Damaged, read_archive, write_archive


class Payload:
    """Unpickled, it makes the directory ``path``."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_pickle_is_ever_opened(tmp_path):
    trap, path = tmp_path / "sprung", tmp_path / "a.npz"
    raw, objects = pickle.dumps(Payload(trap)), np.array([Payload(trap)], dtype=object)
    saved = io.BytesIO()
    np.save(saved, objects, allow_pickle=True)
    np.savez(path, x=objects)
    entries = forgery.entry(raw, "|O", [1])
    disguised = raw + bytes(-len(raw) % 8)
    told = {
        "a bare pickle": raw,
        "NumPy's npz": path.read_bytes(),
        "NumPy's npz, sealed": forgery.sealed(path.read_bytes() + archive.MARK),
        "objects by the index": forgery.forged({"x": entries}, [("x.npy", saved.getvalue())]),
        "objects by the array": forgery.forged(
            {"x": forgery.entry(saved.getvalue()[128:], "<f8", [len(raw) // 8])},
            [("x.npy", saved.getvalue())],
        ),
        "a pickle for an index": forgery.zipped([("index.json", raw)]),
        "a pickle in place of an array": forgery.forged(
            {"x": forgery.entry(disguised, "<f8", [len(disguised) // 8])}, [("x.npy", disguised)]
        ),
    }
    for what, data in told.items():
        refused(path, data)
        assert not trap.exists(), what
    path.write_bytes(
        forgery.forged(
            {"x": forgery.entry(disguised, "<i8", [len(disguised) // 8])},
            [("x.npy", forgery.npy("<i8", [len(disguised) // 8], disguised))],
        )
    )
    assert read_archive(path)[0]["x"].tobytes() == disguised and not trap.exists()  # numbers, no more
    pickle.loads(raw)
    assert trap.exists()  # it was a live one


def bombs():
    """What would be gigabytes in memory: (name, bytes of the file)."""
    zeros = bytes(1 << 20)
    blown = io.BytesIO()
    with zipfile.ZipFile(blown, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archived:
        with archived.open("x.npy", "w", force_zip64=True) as member:
            member.write(archive._head("|u1", [1 << 30]))
            for _ in range(64):
                member.write(zeros)
    yield "deflated", blown.getvalue()
    yield "deflated and sealed", forgery.sealed(blown.getvalue() + archive.MARK)
    huge = {"x": forgery.entry(b"", "<f8", [1 << 40])}
    yield "an array that is not there", forgery.forged(huge, [("x.npy", forgery.npy("<f8", [1 << 40], b""))])
    for shape in ([1 << 70], [0, 1 << 70], [0, 1 << 40, 1 << 40], [1] * 70, [10**400]):
        header = forgery.npy("<f8", shape, b"") if len(shape) < 9 else b""
        yield f"shape {shape}", forgery.forged({"x": forgery.entry(b"", "<f8", shape)}, [("x.npy", header)])
    claim = bytearray(forgery.forged({}, []))
    claim[52:60] = claim[44:52] = (1 << 40).to_bytes(8, "little")
    yield "an index that is not there", forgery.sealed(bytes(claim[: -archive.DIGITS]))
    yield "a deep index", forgery.zipped([("index.json", b'{"a":' + b"[" * 200_000)])
    yield "a large index", forgery.zipped([("index.json", b'{"a":[' + b"[]," * (1 << 21) + b"0]}")])
    small = forgery.npy("<f8", [1 << 17], zeros)
    many = {f"x{i}": forgery.entry(zeros, "<f8", [1 << 17]) for i in range(1000)}
    yield "one array under a thousand names", forgery.forged(many, [("x0.npy", small)])


BOMBS = dict(bombs())


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_and_take_no_memory(tmp_path, name):
    data = BOMBS[name]
    (tmp_path / "a.npz").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(Damaged):
            read_archive(tmp_path / "a.npz")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(data) + (1 << 20)


def test_a_large_file_of_another_program_is_not_even_read(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(archive.zip_layout.BEGINNING)
    os.truncate(path, 1 << 30)  # a gigabyte with nothing in it
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match="it was cut off, or is a ZIP file of another program"):
            read_archive(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


RAW = np.arange(3.0).tobytes()
GOOD = {"x": forgery.entry(RAW, "<f8", [3])}
MEMBER = ("x.npy", forgery.npy("<f8", [3], RAW))
FORGED = {
    "version 2": (forgery.forged(GOOD, [MEMBER], version=2), "has version 2 of the format, and this"),
    "another format": (forgery.forged(GOOD, [MEMBER], format="npz"), "no archive of scratchattn"),
    "a member twice": (forgery.forged(GOOD, [MEMBER, MEMBER]), "by its index"),
    "a member more": (forgery.forged(GOOD, [MEMBER, ("y.npy", b"")]), "by its index"),
    "a member less": (forgery.forged(GOOD, []), "by its index"),
    "another name": (forgery.forged(GOOD, [("y.npy", MEMBER[1])]), "header of x.npy is wrong"),
    "more in the index": (forgery.forged(GOOD, [MEMBER], more=1), "more than facts and arrays"),
    "no facts": (forgery.forged(GOOD, [MEMBER], facts=[1]), "no facts"),
    "another shape": (forgery.forged({"x": forgery.entry(RAW, "<f8", [1, 3])}, [MEMBER]), "header of x is"),
    "another digest": (forgery.forged({"x": forgery.entry(b"", "<f8", [3])}, [MEMBER]), "array x is not"),
    "no boolean": (
        forgery.forged({"x": forgery.entry(b"\2", "|b1", [1])}, [("x.npy", forgery.npy("|b1", [1], b"\2"))]),
        "neither true nor false",
    ),
    **{
        f"the path {name}": (
            forgery.forged({name: GOOD["x"]}, [(f"{name}.npy", MEMBER[1])]),
            "in its index",
        )
        for name in ("../x", "/x", "a/../x", "a//x", "C:x", "a\\x", "a\0x", "", "x.npy", "index.json")
    },
    **{
        f"the entry {wrong}": (forgery.forged({"x": {**GOOD["x"], **wrong}}, [MEMBER]), "in its index 'x'")
        for wrong in ({"dtype": "float64"}, {"dtype": "<U3"}, {"dtype": ["<f8"]}, {"shape": [-3]},
                      {"shape": [True]}, {"shape": 3}, {"sha256": None}, {"more": 1})
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_what_the_writer_would_not_write_is_refused(tmp_path, name):
    data, words = FORGED[name]
    assert words in refused(tmp_path / "a.npz", data)


def test_an_honest_forgery_is_read(tmp_path):
    """Or the table above would prove nothing."""
    (tmp_path / "a.npz").write_bytes(forgery.forged(GOOD, [MEMBER], facts={"k": 1}))
    arrays, facts = read_archive(tmp_path / "a.npz")
    assert arrays["x"].tolist() == [0, 1, 2] and facts == {"k": 1}


def test_an_index_that_says_something_twice_is_refused(tmp_path):
    index = forgery.written({"format": archive.FORMAT, "version": 1, "facts": {}, "arrays": {}})
    twice = index.replace('"facts": {}', '"facts": {"a": 1, "a": 2}')
    assert "twice" in refused(tmp_path / "a.npz", forgery.zipped([("index.json", twice.encode())]))
    assert read_archive(write_archive(tmp_path / "b.npz", {}, {})) == ({}, {})
