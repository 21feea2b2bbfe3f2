"""Archives, by hypothesis: any arrays come back, and any other bytes are refused by name."""

import json
import tempfile
from pathlib import Path

import forgery
import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from scratchattn.training import archive, strict_json
from scratchattn.training.archive import Damaged, read_archive, write_archive

DTYPES = st.sampled_from(sorted(archive.DTYPES)).map(np.dtype)
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
LAYOUTS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "turned": lambda x: x.T,
    "backwards": lambda x: x[::-1] if x.ndim else x,
    "every other": lambda x: x[..., ::2] if x.ndim else x,
    "spread": lambda x: np.broadcast_to(x, (2, *x.shape)),
    "read only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}
ARRAYS = st.builds(
    lambda x, layout: LAYOUTS[layout](x),
    DTYPES.flatmap(lambda dtype: arrays_of.arrays(dtype, SHAPES)),
    st.sampled_from(sorted(LAYOUTS)),
)
PARTS = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=6)
NAMES = (
    st.lists(PARTS, min_size=1, max_size=3).map("/".join).filter(lambda name: not archive._wrong_name(name))
)


def read(data):
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "a.npz"
        path.write_bytes(data)
        return read_archive(path)


def written(arrays, facts):
    with tempfile.TemporaryDirectory() as room:
        return write_archive(Path(room) / "a.npz", arrays, facts).read_bytes()


@given(
    st.dictionaries(NAMES, ARRAYS, max_size=4), st.dictionaries(st.text(max_size=4), st.floats(), max_size=3)
)
def test_any_arrays_come_back_exactly(arrays, facts):
    data = written(arrays, facts)
    found, told = read(data)
    assert list(found) == list(arrays) and repr(told) == repr(facts)
    for name, x in arrays.items():
        assert found[name].dtype.str == x.dtype.str and found[name].shape == x.shape
        assert found[name].tobytes() == x.tobytes()
    assert written(found, told) == data


SAMPLE = {"a": np.arange(7.0), "b/c": np.array([[1, 2]], "int8")}


@given(st.data())
def test_any_bytes_put_into_any_place_are_refused(data):
    whole = written(SAMPLE, {"k": [1.5, None]})
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    other = whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:]
    if data.draw(st.booleans()) and other.endswith(whole[-archive.END :]):
        other = forgery.sealed(other[: -archive.DIGITS])
    if other != whole:
        with pytest.raises(Damaged):
            read(other)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_refused(noise, ours):
    if ours:
        noise = forgery.sealed(archive.zip_layout.BEGINNING + noise + archive.MARK)
    with pytest.raises(Damaged):
        read(noise)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key != strict_json.KEY), JSON, max_size=5))
def test_any_facts_come_back_exactly(facts):
    line = strict_json.written(strict_json.plain(facts, "facts"))
    assert "\n" not in line and line.isascii()
    json.loads(line, parse_constant=pytest.fail)
    assert repr(strict_json.parsed(line)) == repr(facts)
