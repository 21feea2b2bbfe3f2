"""Archives: what is written comes back exactly; what was changed, cut, forged or blown up is refused."""

import hashlib
import os
import zipfile

import forgery
import numpy as np
import pytest
from forgery import refused

from scratchattn.training import archive
from scratchattn.training.archive import Damaged, read_archive, write_archive


def like_an_ntm(rng):
    """Parameters and two vectors of an optimiser, of the size of the NTM paper's copy task."""
    names = ("parameters", "optimiser/mean_square", "optimiser/velocity")
    return {name: rng.normal(size=17_162).astype("float32") for name in names}


SMALL = {
    "a": np.array([1.5, -0.0, np.nan]),
    "heads/read.0/key": np.array([[True], [False]]),
    "none": np.zeros((0, 3), "int8"),
    "é": np.array(7, ">i4"),
}
WRITTEN = "2d4275c6b00545e509751dea0ac495cab5c5511a7f4a90ca4fd5d7604c29c41c"
TINY = {"a": SMALL["a"]}
FACTS = {"best": float("inf"), "state": {"big": 2**127, "list": [None, True, "x", -0.5]}}


def same(x, y):
    return x.dtype.str == y.dtype.str and x.shape == y.shape and x.tobytes() == y.tobytes()


def all_same(found, arrays):
    return list(found) == list(arrays) and all(same(found[name], arrays[name]) for name in arrays)


def test_arrays_and_facts_come_back_exactly(tmp_path):
    path = write_archive(tmp_path / "a.npz", SMALL, FACTS)
    arrays, facts = read_archive(path)
    assert all_same(arrays, SMALL) and facts == FACTS
    assert all(x.flags.writeable and x.flags.owndata and x.flags.aligned for x in arrays.values())
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_others_read_it_too(tmp_path):
    path = write_archive(tmp_path / "a.npz", SMALL, FACTS)
    with np.load(path, allow_pickle=False) as found:
        assert found.files == ["index.json", *SMALL]
        assert all(same(found[name], SMALL[name]) for name in SMALL)
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        assert {entry.compress_type for entry in found.infolist()} == {zipfile.ZIP_STORED}


def test_the_layout_in_memory_does_not_matter(tmp_path):
    x = np.arange(24.0).reshape(2, 3, 4)
    views = {"fortran": np.asfortranarray(x), "steps": x[:, ::2, ::-1], "turned": x.T, "spread": x[:, :, 0]}
    arrays, _ = read_archive(write_archive(tmp_path / "a.npz", views, {}))
    assert all_same(arrays, views)


def test_equal_contents_give_equal_bytes(tmp_path):
    first = write_archive(tmp_path / "a.npz", SMALL, FACTS).read_bytes()
    copies = {name: x.copy() for name, x in SMALL.items()}
    assert write_archive(tmp_path / "b.npz", copies, FACTS).read_bytes() == first
    assert hashlib.sha256(first).hexdigest() == WRITTEN, "the format has changed: raise VERSION"


def flips(path, places, seal=False):
    """Flip each bit of ``places`` in the file, one at a time, and yield its place while it is flipped."""
    data = path.read_bytes()
    with open(path, "r+b", buffering=0) as file:
        for at in places:
            flipped = bytearray(data)
            flipped[at // 8] ^= 1 << at % 8
            file.write(forgery.sealed(bytes(flipped[: -archive.DIGITS])) if seal else flipped)
            yield at
            file.seek(0)
        file.write(data)


def is_damaged(path):
    try:
        read_archive(path)
    except Damaged:
        return True
    return False


def test_any_single_bit_that_flips_is_seen(tmp_path):
    """Every bit of a small archive: headers, index, arrays, list of members, digest."""
    path = write_archive(tmp_path / "a.npz", TINY, {})
    unseen = [at for at in flips(path, range(8 * path.stat().st_size)) if not is_damaged(path)]
    assert unseen == [] and not is_damaged(path)


def test_three_hundred_flips_in_a_checkpoint_of_an_ntm_are_seen(tmp_path, rng):
    path = write_archive(tmp_path / "a.npz", like_an_ntm(rng), FACTS)
    places = rng.integers(8 * path.stat().st_size, size=300).tolist()
    assert [at for at in flips(path, places) if not is_damaged(path)] == [] and not is_damaged(path)


def test_a_damaged_array_is_named(tmp_path, rng):
    data = bytearray(write_archive(tmp_path / "a.npz", like_an_ntm(rng), {}).read_bytes())
    data[len(data) // 2] ^= 1
    told = refused(tmp_path / "a.npz", data)
    assert "changed or cut off" in told and "the array optimiser/mean_square is not what was written" in told


def test_whatever_is_cut_off_or_added_is_seen(tmp_path):
    path = write_archive(tmp_path / "a.npz", SMALL, FACTS)
    data = path.read_bytes()
    for more in (b"\0", b"0" * 64, data):
        refused(tmp_path / "b.npz", data + more)
        refused(tmp_path / "b.npz", more + data)
    for length in reversed(range(len(data))):
        os.truncate(path, length)
        assert is_damaged(path), length
    assert "it is empty" in refused(path, b"")


def test_flips_under_a_digest_that_fits_are_seen_all_the_same(tmp_path):
    """For each index and its arrays there is one file; the CRC-32 of the index speaks for the facts."""
    path = write_archive(tmp_path / "a.npz", TINY, {"k": 1})
    places = range(8 * (path.stat().st_size - archive.END))
    assert [at for at in flips(path, places, seal=True) if not is_damaged(path)] == []


@pytest.mark.parametrize(
    ("arrays", "facts", "error", "words"),
    [
        ({"x": [1.0]}, {}, TypeError, "x must be a NumPy array, got list"),
        ({"x": np.ma.zeros(3)}, {}, TypeError, "x must be a NumPy array, got MaskedArray"),
        ({"x": np.array([None])}, {}, TypeError, "x must be of bool, int, float or complex, got object"),
        ({"x": np.array(["a"])}, {}, TypeError, "got <U1"),
        ({"x": np.zeros(2, "longdouble")}, {}, TypeError, "got float128|got longdouble|got float96"),
        ({"../x": np.zeros(2)}, {}, ValueError, "the name '../x' must"),
        ({3: np.zeros(2)}, {}, ValueError, "the name 3 must be a text"),
        ({"x" * 5000: np.zeros(2)}, {}, ValueError, "must not be longer"),
        ({}, {"a": [{"b": object()}]}, TypeError, r"facts\.a\[0\]\.b must be None"),
        ({}, {"a": np.zeros(2)}, TypeError, r"facts\.a must be .* got ndarray"),
        ({}, {1: 2}, TypeError, "facts: keys must be str, got 1"),
        ({}, {"a": "x" * (1 << 22)}, ValueError, "put long lists into arrays"),
    ],
)
def test_what_cannot_come_back_is_not_written(tmp_path, arrays, facts, error, words):
    with pytest.raises(error, match=words):
        write_archive(tmp_path / "a.npz", arrays, facts)
    assert not list(tmp_path.iterdir())
