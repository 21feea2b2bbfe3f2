"""Files of golden vectors: the same bytes every time, read as written, refused in one line if broken."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import golden
import numpy as np
import pytest
from golden import answered, command, write
from hypothesis import example, given
from hypothesis import strategies as st

from gradcheck import vector_files, vector_formats, vectors
from gradcheck.vector_formats import encoded
from scratchattn import REGISTRY

ROOT = Path(__file__).resolve().parents[1]

pytest.importorskip("flint")


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b


# ---- files ------------------------------------------------------------------


@pytest.mark.parametrize("format", golden.FORMATS)
def test_what_is_written_is_what_is_read(format, tmp_path):
    for document in golden.documents().values():
        write(tmp_path, [document], format)
        assert same(vector_files.load(tmp_path / f"{document['op']}.{format}"), document)


@pytest.mark.parametrize("format", golden.FORMATS)
def test_every_export_has_the_same_bytes(format, tmp_path):
    ops, hashes = ["add", "index", "softmax"], []
    for directory, seed in ((tmp_path / "one", "1"), (tmp_path / "two", "2")):  # what sets are ordered by
        words = ["-m", "gradcheck", "vectors", "export", directory, "--format", format, *ops, "--json"]
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, timeout=300)
        assert done.returncode == 0 and json.loads(done.stdout)["ok"], done.stderr
        hashes.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.iterdir()})
    assert hashes[0] == hashes[1] and hashes[0].keys() == {*(f"{op}.{format}" for op in ops), "_index.json"}
    index = json.loads((directory / "_index.json").read_bytes())
    for entry in index["files"].values():
        assert entry["sha256"] == hashes[0][entry["file"]] and entry["bytes"] <= vector_files.OP_BYTES


@pytest.mark.parametrize("name", ["softmax_attention", "ntm_lstm", "dnc_lstm"])  # those with most numbers
def test_no_case_is_too_large(name):
    document = vectors.vectors_of(REGISTRY[name])
    for format in vector_files.FORMATS:
        fitted = vector_files.fitted(document, format)
        assert len(encoded(fitted, format)) <= vector_files.OP_BYTES == 64 * 1024
        assert fitted["cases"] and len(fitted["cases"]) == len(document["cases"])
        assert "too large" not in fitted["left_out"]


def test_what_is_too_large_loses_last_bits_and_then_its_largest_cases():
    document = golden.document("divide")
    size = lambda each: len(encoded(each, "json"))
    assert vector_files.fitted(document, "json") is not document
    assert same(vector_files.fitted(document, "json"), document)
    shorter = vector_files.fitted(document, "json", most=size(document) - 1)
    assert shorter["lo_bits"] == 24 and size(shorter) < size(document)
    for case, other in zip(document["cases"], shorter["cases"], strict=True):
        for name, result in case["truth"].items():
            off = abs(result["lo"] - other["truth"][name]["lo"])
            assert (off <= 2.0**-24 * abs(result["lo"])).all() and off.shape == result["hi"].shape
    least = size(vector_files._with_bits(document, 8))
    assert vector_files.fitted(document, "json", most=least)["lo_bits"] == 8
    fewer = vector_files.fitted(document, "json", most=least - 100)
    largest = max(document["cases"], key=lambda case: size({**document, "cases": [case]}))["label"]
    assert fewer["left_out"] == document["left_out"] | {"too large": [largest]}
    assert [case["label"] for case in fewer["cases"]] == [
        case["label"] for case in document["cases"] if case["label"] != largest
    ]
    assert vector_files.fitted(document, "json", most=10)["cases"] == []


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)), st.sampled_from(vectors.DTYPES))
@example([1.8913564466919865, 1.0218702384817765e295], "float64")  # relative to the first: no double
@example([5e-324, 1.7e308, 0.0, -1.7e-308], "float64")
def test_every_number_survives_the_text(values, dtype):
    with np.errstate(over="ignore"):
        x = np.array(values, dtype)
    x = x[np.isfinite(x)]
    document = {"kind": "answers", "cases": [{"answers": {"x": x}}]}
    packed, arrays = vector_formats.opened(encoded(document, "json"), "json")
    assert same(vector_formats.mapped(packed, arrays)["cases"][0]["answers"]["x"], x)


@pytest.mark.parametrize(
    "text, value",
    [
        ("-24:-2b.8", -43.5 / 2**24),
        ("3:1p-30", 2.0**-27),
        ("0x1.8p+1", 3.0),
        ("0.25", 0.25),
        ("-1e3", -1000.0),
    ],
)
def test_a_text_of_numbers_means_what_the_documentation_says(text, value):
    data = json.dumps({"cases": [{"answers": {"x": [[1], text, "float64"]}}]}).encode()
    packed, arrays = vector_formats.opened(data, "json")
    assert vector_formats.mapped(packed, arrays)["cases"][0]["answers"]["x"].tolist() == [value]


def test_no_member_of_an_npz_has_a_date():
    path = encoded(golden.document("add"), "npz")
    with zipfile.ZipFile(io.BytesIO(path)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("format", golden.FORMATS)
def test_the_readers_in_the_documentation_read(format, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = golden.document("softmax_attention")
    write(tmp_path / "vectors", [document], format)
    text = (ROOT / "docs" / "vectors.md").read_text(encoding="utf-8")
    blocks = [b for b in re.findall(r"```python\n(.*?)```", text, re.S) if f"softmax_attention.{format}" in b]
    assert len(blocks) == 1
    names = {}
    exec(blocks[0], names)
    printed = capsys.readouterr().out
    assert all(case["label"] in printed for case in document["cases"])
    last = list(document["cases"][-1]["truth"].values())[-1]
    assert np.array_equal(np.reshape(names["hi"], last["hi"].shape), last["hi"])
    if "upper" in names:
        assert np.array_equal(names["allowed"], last["allowed_float64"])


# ---- files that are no good -------------------------------------------------


def refused(capsys, *words):
    """The one line of a refusal."""
    status, out, err = command(capsys, "check", *words)
    assert status == 2 and out == "" and err.count("\n") == 1 and err.startswith("gradcheck: ")
    return err


@pytest.mark.parametrize("format", golden.FORMATS)
def test_a_file_that_is_cut_off_or_changed_is_named(format, tmp_path, capsys):
    path = write(tmp_path, [answered(golden.document("divide"), "float64")], format) / f"divide.{format}"
    whole = path.read_bytes()
    for end in (0, 1, 9, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:end])
        told = refused(capsys, tmp_path)
        assert str(path) in told and "damaged or cut off" in told and "write it again" in told
    rng = np.random.default_rng(0)
    refusals = 0
    for place in rng.integers(len(whole), size=150):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.integers(8)]) + whole[place + 1 :])
        try:
            vector_files.load(path)  # a digit may have become another digit
        except vector_files.Unreadable as refusal:
            refusals += str(path) in str(refusal)
    assert refusals > (100 if format == "npz" else 20)


def test_a_foreign_file_another_version_or_another_kind_is_told_apart(tmp_path, capsys):
    document = golden.document("divide")
    path = tmp_path / "divide.json"
    for content, told in (
        ({}, "no file of golden vectors"),
        ([1, 2], "no file of golden vectors"),
        ({"format": vectors.FORMAT, "version": 1}, "its version is 1 and this program reads 2: export"),
        ({"format": vectors.FORMAT, "version": vectors.VERSION, "kind": "answers"}, "names no op"),
        (
            {
                "format": vectors.FORMAT,
                "version": vectors.VERSION,
                "kind": "answers",
                "op": "divide",
                "cases": [3],
            },
            "damaged",
        ),
    ):
        path.write_text(json.dumps(content), encoding="utf-8")
        assert told in refused(capsys, tmp_path)
    write(tmp_path, [document])
    assert "holds 'vectors', not 'answers'" in refused(capsys, tmp_path)
    path.unlink()
    np.savez(tmp_path / "divide.npz", out=np.ones(3))
    assert "no file of golden vectors" in refused(capsys, tmp_path)
    np.savez(tmp_path / "divide.npz", document=np.array([{}], dtype=object))  # pickled: not run
    assert "damaged" in refused(capsys, tmp_path)


def test_directories_that_cannot_be_judged(tmp_path, capsys):
    assert "no such directory" in refused(capsys, tmp_path / "none")
    assert "holds no file that ends in" in refused(capsys, tmp_path)
    document = golden.document("divide")
    answers = answered(document, "float64")
    there = write(tmp_path / "answers", [answers])
    assert "has no vectors of divide" in refused(capsys, there, "--vectors", tmp_path)
    assert "has no answers for add" in refused(capsys, there, "add")
    truth = write(tmp_path / "truth", [document])
    write(there, [answers], "npz")
    assert "answers divide too" in refused(capsys, there, "--vectors", truth)
    strange = write(tmp_path / "strange", [{**answers, "op": "divid"}])
    assert "did you mean divide" in refused(capsys, strange)
    status, _, err = command(capsys, "export", there / "divide.json", "add")
    assert status == 2 and str(there / "divide.json") in err and err.count("\n") == 1


def test_vectors_that_were_changed_after_their_export_are_refused(tmp_path, capsys):
    assert command(capsys, "export", tmp_path / "truth", "--format", "json", "add")[0] == 0
    path = tmp_path / "truth" / "add.json"
    document = vector_files.load(path)
    answers = write(tmp_path / "answers", [answered(document, "float64")])
    assert command(capsys, "check", answers, "--vectors", tmp_path / "truth")[0] == 0
    text = path.read_text(encoding="utf-8")
    changed = re.sub(r'("truth":\{"\w+":\[\[[^]]*\],"[^:]+:-?\w)\w', r"\g<1>0", text)
    path.write_text(changed, encoding="utf-8")
    assert changed != text and "so it was changed" in refused(
        capsys, answers, "--vectors", tmp_path / "truth"
    )
    asked = re.sub(r'("inputs":\{"\w+":\[\[[^]]*\],"[^:]+:-?\w)\w', r"\g<1>0", text)
    path.write_text(asked, encoding="utf-8")
    assert "does not fit its id" in refused(capsys, answers, "--vectors", tmp_path / "truth")


def test_a_missing_library_is_named_with_its_extra(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    status, _, err = command(capsys, "export", tmp_path, "--format", "safetensors", "add")
    assert status == 2 and "scratchattn[interop]" in err


@pytest.mark.parametrize(
    "words",
    [["export", "d", "--vectors", "e"], ["export", "d", "--partial"], ["check", "d", "--format", "npz"]],
)
def test_options_of_the_other_action_are_refused(words, capsys):
    status, _, err = command(capsys, *words)
    assert status == 2 and f"is for 'vectors {'check' if words[0] == 'export' else 'export'}'" in err
