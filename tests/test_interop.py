"""Weights as .safetensors: exact both ways, read by others, and every difference named."""

import errno
import json
import os
import sys

import numpy as np
import pytest

from scratchattn.interop.safetensors import read_weights, write_weights
from scratchattn.parameters import Params
from scratchattn.training.archive import Damaged

SHAPES = {"cell/weights": (3, 4), "cell/bias": (4,), "scale": (), "none": (0, 2)}


@pytest.fixture(autouse=True)
def library():
    return pytest.importorskip("safetensors.numpy")


def params(rng, dtype="float64", shapes=SHAPES):
    found = Params(shapes, dtype=dtype)
    with found.overwriting() as flat:
        flat[...] = rng.normal(size=flat.shape)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_come_back_exactly(tmp_path, rng, dtype):
    ours = params(rng, dtype)
    path = write_weights(tmp_path / "a.safetensors", ours)
    other = params(rng, dtype)
    recorded = other.version
    assert read_weights(path, other) is other
    assert other.flat.tobytes() == ours.flat.tobytes() and other.version > recorded
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_another_reader_finds_the_same(tmp_path, rng):
    """By the format's own description: a length, a JSON header, the bytes."""
    ours = params(rng, "float32")
    data = write_weights(tmp_path / "a.safetensors", ours).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    assert set(header) == set(SHAPES)
    for name, value in ours.items():
        begin, end = header[name]["data_offsets"]
        assert header[name]["dtype"] == "F32" and header[name]["shape"] == list(SHAPES[name])
        assert data[start + begin : start + end] == value.tobytes()


@pytest.mark.peers
def test_pytorch_reads_and_writes_the_same(tmp_path, rng):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("safetensors.torch")
    ours = params(rng)
    tensors = theirs.load_file(write_weights(tmp_path / "a.safetensors", ours))
    assert all((tensors[name].numpy() == value).all() for name, value in ours.items())
    theirs.save_file(
        {name: 2 * torch.tensor(value) for name, value in ours.items()}, tmp_path / "b.safetensors"
    )
    other = read_weights(tmp_path / "b.safetensors", ours.copy())
    assert (other.flat == 2 * ours.flat).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"scale": None}, ValueError, "has, and the model has not, scale$"),
        ({"more": (2,)}, ValueError, "lacks more$"),
        ({f"more {i}": (2,) for i in range(7)}, ValueError, "lacks more 0, .*more 4 and 2 more$"),
        (
            {"cell/weights": (4, 3), "cell/bias": (3,)},
            ValueError,
            r"expected the shape of cell/weights \(4, 3\) and not \(3, 4\), cell/bias \(3,\) and not \(4,\)$",
        ),
    ],
)
def test_what_differs_is_named_and_nothing_overwritten(tmp_path, rng, change, error, words):
    path = write_weights(tmp_path / "a.safetensors", params(rng))
    wanted = {name: shape for name, shape in {**SHAPES, **change}.items() if shape is not None}
    other = params(rng, shapes=wanted)
    before = other.flat.copy()
    with pytest.raises(error, match=words):
        read_weights(path, other)
    assert (other.flat == before).all()


def test_a_write_that_fails_leaves_the_old_weights(tmp_path, rng, monkeypatch):
    path = write_weights(tmp_path / "a.safetensors", params(rng))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: it could not be written.*a\.safetensors'"):
        write_weights(path, params(rng))
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_another_precision_is_refused_never_cast(tmp_path, rng):
    path = write_weights(tmp_path / "a.safetensors", params(rng, "float32"))
    with pytest.raises(
        TypeError, match="expected the dtype of cell/weights float64 and not float32, cell/bias"
    ):
        read_weights(path, params(rng, "float64"))


def test_damaged_and_foreign_files_are_named(tmp_path, rng):
    path = tmp_path / "a.safetensors"
    data = write_weights(path, params(rng)).read_bytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    bfloat = len(header).to_bytes(8, "little") + header + bytes(4)
    for wrong in (
        b"",
        b"x",
        data[:-1],
        data + b"x",
        b"\xff" * 50,
        bfloat,
        (1 << 60).to_bytes(8, "little") + b"{}",
    ):
        path.write_bytes(wrong)
        with pytest.raises(
            Damaged, match=r"a\.safetensors: it is damaged, or no \.safetensors of arrays that"
        ):
            read_weights(path, params(rng))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_weights(path, params(rng))
    path.mkdir()
    with pytest.raises(Damaged, match="it cannot be read: Is a directory"):
        read_weights(path, params(rng))


def test_only_params_have_weights(tmp_path, rng):
    with pytest.raises(TypeError, match="write_weights: params must be a Params, got dict"):
        write_weights(tmp_path / "a.safetensors", {"x": np.zeros(2)})
    with pytest.raises(TypeError, match="read_weights: params must be a Params, got NoneType"):
        read_weights(tmp_path / "a.safetensors", None)


def test_a_missing_library_names_the_extra(tmp_path, rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for attempt in (write_weights, read_weights):
        with pytest.raises(ImportError, match=r"pip install 'scratchattn\[interop\]'"):
            attempt(tmp_path / "a.safetensors", params(rng))
