"""The store of data files: what goes in comes out, what is damaged does not go in, nothing is half there."""

import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from data_files import INK, LABELS, ROOT, SMALL, STORY, idx, laid_out, real_data

from scratchattn.tasks import readers, store
from scratchattn.tasks.readers import Damaged
from scratchattn.tasks.store import Refused, incoming
from scratchattn.tasks.store.digests import DIGESTS


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The folder of an empty store."""
    monkeypatch.setenv("SCRATCHATTN_DATA", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))  # should the first be overlooked
    return tmp_path / "store"


def held(folder):
    """Everything under a folder: relative path -> bytes."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


# ---- in and out -------------------------------------------------------------


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("kind", SMALL)
def test_a_folder_of_each_kind_goes_in_whole(tmp_path, there, kind, told):
    given = laid_out(tmp_path, kind)
    (given / "SOURCE.txt").write_text("from a friend\n")
    report = store.add([given], kind if told else None)
    assert report["kind"] == kind and report["source"] == "from a friend" and not report["left_out"]
    name = report["name"]
    assert name == (kind if kind in store.SETS else "given")
    files = held(there / name)
    record = json.loads(files.pop("record.json"))
    assert files == SMALL[kind] | {"SOURCE.txt": b"from a friend\n"}
    assert set(record["files"]) == set(files) and record["kind"] == kind
    for place, entry in record["files"].items():
        assert entry["bytes"] == len(files[place]) and len(entry["sha256"]) == 64
        assert entry["source"] == "from a friend" and entry["added"].endswith("+00:00")
        assert bool(entry["holds"]) == (place != "SOURCE.txt")
    checked = store.check()
    assert checked["ok"] and checked["summary"]["files"] == len(files) and not checked["remarks"]
    assert {p.name for p in store.files(name).values()} == {os.path.basename(place) for place in SMALL[kind]}


@pytest.mark.parametrize("kind", SMALL)
def test_a_zip_of_each_kind_is_the_same_as_its_folder(tmp_path, there, kind):
    given = laid_out(tmp_path, kind)
    with zipfile.ZipFile(tmp_path / "given.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for place, data in held(given).items():
            archive.writestr(place, data)
        archive.writestr("__MACOSX/._x", b"junk")
    store.add([given], name="folder")
    store.add([tmp_path / "given.zip"], name="zip")
    a, b = held(there / "folder"), held(there / "zip")
    a.pop("record.json"), b.pop("record.json")
    assert a == b


def test_what_a_task_asks_for(tmp_path, there):
    store.add([laid_out(tmp_path, "mnist")])
    paths = store.files("mnist")
    images, labels = readers.read_images_and_labels(
        paths["train-images-idx3-ubyte"], paths["train-labels-idx1-ubyte"]
    )
    assert len(images) == len(labels) == 2
    with pytest.raises(
        FileNotFoundError, match=r"babi is not in .*: scratchattn data add babi PATH puts .*Weston"
    ):
        store.files("babi")
    with pytest.raises(FileNotFoundError, match="nothing is not in"):
        store.files("nothing")


def test_files_come_one_by_one_and_only_once(tmp_path, there):
    given = laid_out(tmp_path, "mnist")
    first = store.add([given / "train-images-idx3-ubyte.gz"], source="one")
    assert first["warnings"][-1] == "train-images-idx3-ubyte.gz has no labels beside it"
    second = store.add([given / "train-labels-idx1-ubyte"], source="two")
    assert len(second["warnings"]) == 1  # that it is not MNIST's
    again = store.add([given])
    assert again["files"] == [] and again["unchanged"] == 2
    record = json.loads((there / "mnist" / "record.json").read_text())
    assert [entry["source"] for entry in record["files"].values()] == ["one", "two"]


def test_another_file_of_the_same_name_needs_replace(tmp_path, there):
    given = laid_out(tmp_path, "mnist")
    store.add([given])
    before = held(there)
    (given / "train-labels-idx1-ubyte").unlink()
    (given / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[::-1])))
    with pytest.raises(Refused, match="mnist has another train-labels-idx1-ubyte already: --replace puts"):
        store.add([given])
    assert held(there) == before
    store.add([given], replace=True)
    assert set(held(there / "mnist")) == {
        "record.json",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    }
    assert store.check()["ok"]


def test_a_file_that_was_put_there_by_hand_is_not_overwritten(tmp_path, there):
    given = laid_out(tmp_path, "text")
    (there / "given").mkdir(parents=True)
    (there / "given" / "verse.txt").write_text("mine")
    with pytest.raises(Refused, match=r"given has another verse\.txt already: --replace puts"):
        store.add([given])
    assert (there / "given" / "verse.txt").read_text() == "mine"
    (there / "given" / "verse.txt").write_bytes(SMALL["text"]["verse.txt"])
    assert len(store.add([given])["files"]) == 1  # the same: it gets its record
    assert store.check()["ok"] and not store.check()["remarks"]


def test_the_words_about_a_set_stay_those_of_its_first_files(tmp_path, there):
    given = laid_out(tmp_path, "mnist")
    (given / "SOURCE.txt").write_text("first")
    store.add([given / "train-images-idx3-ubyte.gz", given / "SOURCE.txt"])
    (given / "SOURCE.txt").write_text("second")
    report = store.add([given])
    assert report["source"] == "second" and report["left_out"] == ["SOURCE.txt"]
    assert [entry["file"] for entry in report["files"]] == ["train-labels-idx1-ubyte"]
    assert (there / "mnist" / "SOURCE.txt").read_text() == "first" and store.check()["ok"]


def test_the_same_file_puts_a_damaged_one_right(tmp_path, there):
    given = laid_out(tmp_path, "text")
    store.add([given])
    (there / "given" / "verse.txt").write_text("harmed")
    assert not store.check()["ok"]
    assert len(store.add([given])["files"]) == 1
    assert store.check()["ok"] and held(there / "given")["verse.txt"] == SMALL["text"]["verse.txt"]


def test_sets_that_cannot_belong_together_are_refused_also_in_two_steps(tmp_path, there):
    given = laid_out(tmp_path, "mnist")
    store.add([given / "train-images-idx3-ubyte.gz"])
    (given / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:1]))
    with pytest.raises(Damaged, match="train-labels-idx1-ubyte: 1 labels for the 2 images of train-images"):
        store.add([given / "train-labels-idx1-ubyte"])
    (tmp_path / "t.en").write_text("a\nb\n")
    (tmp_path / "t.fr").write_text("a\n")
    with pytest.raises(
        Damaged, match=r"t\.fr, line 1: the file ends here, t\.en only with line 2: they must"
    ):
        store.add([tmp_path / "t.en", tmp_path / "t.fr"])
    assert set(held(there)) == {"mnist/train-images-idx3-ubyte.gz", "mnist/record.json"}


def test_handwriting_without_words_is_noted(tmp_path, there):
    given = laid_out(tmp_path, "iam_ondb")
    (given / "a01-000u-03.xml").write_bytes(INK)
    (given / "a01-001z-01.xml").write_bytes(INK)
    assert store.add([given])["warnings"] == [
        "a01-000u-03.xml has no words: a01-000u.txt is missing or has no line 3",
        "a01-001z-01.xml has no words: a01-001z.txt is missing or has no line 1",
    ]


def test_a_known_name_with_other_contents_is_noted_and_recorded(tmp_path, there):
    report = store.add([laid_out(tmp_path, "mnist")])
    assert [entry["known"] for entry in report["files"]] == [False, False]
    assert "is not the train-images-idx3-ubyte that is known as mnist" in report["warnings"][0]
    record = json.loads((there / "mnist" / "record.json").read_text())
    assert all(entry["known"] is False for entry in record["files"].values())


def test_known_digests_are_of_known_sets():
    assert set(DIGESTS) < set(store.SETS)
    digests = [digest for table in DIGESTS.values() for digest in table.values()]
    assert len(DIGESTS["babi"]) == 79 and all(len(d) == 64 and int(d, 16) for d in digests)
    assert set(DIGESTS["mnist"]) == {
        f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
    }


def test_the_store_without_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("SCRATCHATTN_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert store.folder() == tmp_path / "scratchattn"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.folder() == tmp_path / ".local" / "share" / "scratchattn"


# ---- what is refused, and leaves the store as it was ------------------------


@pytest.mark.parametrize("kind", SMALL)
def test_a_damaged_file_of_each_kind_is_named_and_nothing_is_added(tmp_path, there, kind):
    store.add([laid_out(tmp_path, "text", "before")])
    before = held(there)
    given = laid_out(tmp_path, kind)
    victim = given / sorted(SMALL[kind])[0]
    harm = b"\x00" if victim.suffix != ".gz" else b""
    data = victim.read_bytes()
    victim.write_bytes(data[: len(data) // 2] + harm)
    with pytest.raises(Damaged) as refusal:
        store.add([given], kind)
    assert str(refusal.value).startswith(str(victim)) and "\n" not in str(refusal.value)
    assert held(there) == before and not list(there.glob(".*"))


@pytest.mark.parametrize(
    "name, told",
    [
        ("../../evil.txt", "points out of the archive"),
        ("/evil.txt", "points out of the archive"),
        ("a/../../evil.txt", "points out of the archive"),
        ("C:/evil.txt", "points out of the archive"),
        ("a\\evil.txt", "points out of the archive"),
        ("evil\x1b[2J.txt", "cannot be printed"),
    ],
)
def test_a_zip_whose_member_points_elsewhere(tmp_path, there, name, told):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("fine.txt", b"fine")
        archive.writestr(zipfile.ZipInfo(name), b"evil")
    with pytest.raises(Damaged, match=told):
        store.add([tmp_path / "evil.zip"])
    assert not there.exists() or not held(there)


def test_a_zip_with_a_link_in_it(tmp_path, there):
    link = zipfile.ZipInfo("a.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(link, b"/etc/passwd")
    with pytest.raises(Damaged, match="no plain file but a link or a device"):
        store.add([tmp_path / "evil.zip"])


def test_a_zip_bomb_and_a_zip_of_too_many_members(tmp_path, there, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"{i}.txt", bytes(2**25))
    with pytest.raises(
        Damaged, match=r"bomb\.zip: it would unpack to 100,663,296 bytes, far more than data do"
    ):
        store.add([tmp_path / "bomb.zip"])
    monkeypatch.setattr(incoming, "MEMBERS", 2)
    with pytest.raises(Damaged, match="more than 2 members"):
        store.add([tmp_path / "bomb.zip"])


def test_a_zip_that_lies_about_the_size_of_a_member(tmp_path, there):
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"a" * 100_000)
    data = path.read_bytes()
    assert data.count((100_000).to_bytes(4, "little")) == 2
    path.write_bytes(data.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(Damaged, match=r"liar\.zip/a\.txt: the member is damaged: Bad CRC-32"):
        store.add([path])


@pytest.mark.parametrize("cut", [0, 1, 30, -1, -30])
def test_a_zip_that_is_cut(tmp_path, there, cut):
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr("a.txt", b"text " * 50)
    (tmp_path / "cut.zip").write_bytes((tmp_path / "whole.zip").read_bytes()[:cut])
    with pytest.raises(Damaged, match=r"cut\.zip: no whole zip archive"):
        store.add([tmp_path / "cut.zip"])


def test_a_zip_with_one_name_twice_or_a_password(tmp_path, there):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.txt", b"a")
        archive.writestr("a.txt", b"b")
    with pytest.raises(Damaged, match=r"it has 'a\.txt' twice"):
        store.add([tmp_path / "two.zip"])
    with zipfile.ZipFile(tmp_path / "locked.zip", "w") as archive:
        archive.writestr("a.txt", b"a")
    data = bytearray((tmp_path / "locked.zip").read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(Damaged, match="is encrypted: unpack it first"):
        store.add([tmp_path / "locked.zip"])


def test_links_and_pipes_in_a_folder_do_no_harm(tmp_path, there):
    given = laid_out(tmp_path, "text")
    os.mkfifo(given / "pipe.txt")
    (given / "loop").symlink_to(given)
    (given / "gone.txt").symlink_to(tmp_path / "nowhere")
    assert [entry["file"] for entry in store.add([given])["files"]] == ["verse.txt"]
    with pytest.raises(Damaged, match="neither a file nor a folder"):
        store.add([given / "pipe.txt"])


@pytest.mark.parametrize(
    "files, kind, told",
    [
        ({"a.png": b"x"}, None, "no data file is recognised by its name .*babi: qa1_"),
        ({}, None, "no data file is recognised by its name"),
        ({"a.txt": b"x"}, "mnist", "there is no mnist file in it; they are called train-images"),
        ({"SOURCE.txt": b"x"}, "text", "there is no text file in it"),
        (
            {"a.npz": b"x", "qa1_a_train.txt": b"x"},
            None,
            "files of several kinds, babi and strokes: name one",
        ),
        ({"a/b.txt": b"x", "c/b.txt": b"y"}, "text", "differ and have one name: add one of them"),
    ],
)
def test_folders_that_cannot_be_added(tmp_path, there, files, kind, told):
    given = tmp_path / "given"
    given.mkdir()
    for place, data in files.items():
        (given / place).parent.mkdir(exist_ok=True)
        (given / place).write_bytes(data)
    with pytest.raises(Refused, match=told):
        store.add([given], kind)
    assert not there.exists() or not list(there.iterdir())


def test_a_set_of_another_kind_and_names_that_are_none(tmp_path, there):
    store.add([laid_out(tmp_path, "text")], name="mine")
    with pytest.raises(
        Refused, match="mine holds text files already, these are strokes: give another --name"
    ):
        store.add([laid_out(tmp_path, "strokes", "pens")], name="mine")
    for name in ("../up", "", "A", ".hidden", "a/b", "x" * 65):
        with pytest.raises(Refused, match="--name must be small letters"):
            store.add([tmp_path / "given"], name=name)


# ---- check finds what happened afterwards -----------------------------------


@pytest.mark.parametrize("kind", SMALL)
def test_every_flipped_byte_is_found(tmp_path, there, kind):
    name = store.add([laid_out(tmp_path, kind)])["name"]
    rng = np.random.default_rng(0)
    for place in SMALL[kind]:
        path = there / name / place
        whole = path.read_bytes()
        for at in rng.integers(0, len(whole), size=8):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.integers(8)]) + whole[at + 1 :])
            report = store.check([name])
            assert [row["file"] for row in report["files"] if not row["ok"]] == [place]
            assert not report["ok"] and report["summary"]["damaged"] == 1
        path.write_bytes(whole)
    assert store.check()["ok"]


def test_a_text_that_was_cut_where_it_can_still_be_read(tmp_path, there):
    store.add([laid_out(tmp_path, "text")])
    (there / "given" / "verse.txt").write_bytes(SMALL["text"]["verse.txt"][:5])
    (row,) = store.check()["files"]
    assert not row["ok"] and row["what"] == "verse.txt has 5 bytes, 20 were added"


def test_what_is_gone_cut_or_strange(tmp_path, there):
    store.add([laid_out(tmp_path, "mnist")])
    (there / "mnist" / "stray.bin").write_bytes(b"?")
    report = store.check()
    assert report["ok"] and "mnist/stray.bin is not in the record: add it, or remove it" in report["remarks"]
    (there / "mnist" / "train-labels-idx1-ubyte").unlink()
    assert not store.listed()["sets"][0]["ok"]
    (row,) = [row for row in store.check()["files"] if not row["ok"]]
    assert row["file"] == "train-labels-idx1-ubyte" and row["what"].endswith("No such file or directory")
    store.add([tmp_path / "given"])  # puts it back
    assert store.check()["ok"]


ENTRY = '{"bytes": 1, "sha256": "", "source": "", "added": "", "holds": {}}'


@pytest.mark.parametrize(
    "record",
    [
        "{",
        "[]",
        '{"format": 2, "kind": "mnist", "files": {}}',
        '{"format": 1, "kind": "mnist", "files": {"../x": ' + ENTRY + "}}",
        '{"format": 1, "kind": "mnist", "files": {"/x": ' + ENTRY + "}}",
        '{"format": 1, "kind": "mnist", "files": {"": ' + ENTRY + "}}",
        '{"format": 1, "kind": "mnist", "files": {"x": {"bytes": "3"}}}',
        '{"format": 1, "kind": "lisp", "files": {}}',
    ],
)
def test_a_damaged_record_is_named(tmp_path, there, record):
    store.add([laid_out(tmp_path, "mnist")])
    (there / "mnist" / "record.json").write_text(record)
    (row,) = store.check()["files"]
    assert not row["ok"] and row["what"].endswith("remove it and add mnist again")
    assert not store.listed()["sets"][0]["ok"]
    with pytest.raises(Damaged, match=r"record\.json: .*remove it and add mnist again"):
        store.add([tmp_path / "given"])


def test_a_folder_filled_by_hand_is_read_too(tmp_path, there):
    laid_out(there, "babi", "babi/tasks_1-20_v1-2")
    assert set(store.files("babi")) == {"en/qa1_single_train.txt", "en/qa1_single_test.txt"}
    report = store.check()
    assert report["ok"] and "babi has no record" in report["remarks"][0] and len(report["files"]) == 2
    (there / "babi/tasks_1-20_v1-2/en/qa1_single_train.txt").write_text(STORY[5:])
    assert not store.check()["ok"]


def test_the_list_says_what_is_missing(tmp_path, there):
    report = store.listed()
    assert {row["name"] for row in report["missing"]} == set(store.SETS) and not report["sets"]
    store.add([laid_out(tmp_path, "mnist")])
    report = store.listed()
    (row,) = report["sets"]
    assert row["missing"] == ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] and row["recorded"]
    assert "mnist" not in {row["name"] for row in report["missing"]}


# ---- killed in the middle ---------------------------------------------------

ADDING = """
import sys
from scratchattn.tasks.store import add
add([sys.argv[1]], name="mine", replace=True, progress=lambda text: print(text, flush=True))
"""


def test_a_kill_at_any_time_leaves_whole_files(tmp_path, there):
    given = tmp_path / "given"
    given.mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        (given / f"{i:02}.txt").write_text(f"old {i}\n" * 3000)
    store.add([given], name="mine")
    old = held(there / "mine")
    for path in given.iterdir():
        path.write_text(path.read_text().replace("old", "new"))
    new = held(given)
    killed = 0
    for _ in range(6):
        adding = subprocess.Popen(
            [sys.executable, "-c", ADDING, str(given)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(rng.integers(1, 40)):
            adding.stdout.readline()
        time.sleep(rng.uniform(0, 0.01))
        adding.send_signal(signal.SIGKILL)
        adding.stdout.close()
        killed += adding.wait() == -signal.SIGKILL
        for place, data in held(there / "mine").items():
            assert place == "record.json" or data in (old[place], new[place])
    assert killed >= 3
    store.add([given], name="mine", replace=True)
    assert store.check(["mine"])["ok"]
    assert {place: data for place, data in held(there / "mine").items() if place != "record.json"} == new


# ---- the real data, where they are ------------------------------------------


@pytest.mark.parametrize("name", [*DIGESTS, "strokes"])
def test_the_real_data_go_in_with_one_command(name, tmp_path, monkeypatch):
    folder = real_data() / name
    if not folder.is_dir():
        pytest.skip(f"no {name} there")
    monkeypatch.setenv("SCRATCHATTN_DATA", str(tmp_path / "store"))
    report = store.add([folder])
    assert report["name"] == name and not report["warnings"]
    assert all(entry["known"] for entry in report["files"] if entry["file"] in DIGESTS.get(name, ()))
    (row,) = store.listed()["sets"]
    assert row["missing"] in ([], ["en-10k/qa3_three-supporting-facts_train.txt"])
    assert len(store.files(name)) == row["files"] >= 1


def test_what_the_real_files_hold(monkeypatch):
    monkeypatch.setenv("SCRATCHATTN_DATA", str(real_data()))
    babi = {place: path for place, path in store.files("babi").items() if place.startswith("en/")}
    assert len(babi) == 40
    for path in babi.values():
        assert sum(len(story.questions) for story in readers.read_babi(path)) == 1000
    mnist = store.files("mnist")
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        images, labels = readers.read_images_and_labels(
            mnist[f"{part}-images-idx3-ubyte"], mnist[f"{part}-labels-idx1-ubyte"]
        )
        assert images.shape == (n, 28, 28) and set(labels) == set(range(10))
    sides = store.files("multi30k")
    for part, n in (("train", 29_000), ("val", 1014), ("test_2016_flickr", 1000)):
        assert [len(lines) for lines in readers.read_parallel(sides[f"{part}.en"], sides[f"{part}.de"])] == [
            n,
            n,
        ]
    (text,) = store.files("tinyshakespeare").values()
    assert len(readers.read_text(text)) == 1_115_394
    for path in store.files("strokes").values():
        for strokes in readers.read_strokes(path).values():
            assert sum(map(len, strokes.sequences)) == len(strokes.points) > 0


def test_the_code_in_the_docs_runs(monkeypatch):
    monkeypatch.setenv("SCRATCHATTN_DATA", str(real_data()))
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    (code,) = (part.partition("```")[0] for part in page.split("```python\n")[1:])
    found: dict = {}
    exec(compile(code, "docs/data.md", "exec"), found)
    assert found["images"].shape == (60_000, 28, 28) and len(found["stories"]) == 200
