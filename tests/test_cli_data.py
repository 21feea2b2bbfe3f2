"""``scratchattn data``: what it prints, what it returns, and a table of wrong uses."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_files import IMAGES, ROOT, SMALL, STORY, idx, laid_out

from scratchattn import cli


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHATTN_DATA", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))  # should the first be overlooked
    return tmp_path / "store"


def command(capsys, *words):
    """Exit status, stdout and stderr of ``scratchattn data``."""
    try:
        status = cli.main(["data", *map(str, words)])
    except SystemExit as end:  # argparse
        status = end.code
    return status, *capsys.readouterr()


def object_of(capsys, *words, status=0):
    got, out, err = command(capsys, *words, "--json")
    assert got == status and out.count("\n") == 1 and not err
    return json.loads(out)


# ---- right uses -------------------------------------------------------------


def test_add_list_check_as_objects(tmp_path, there, capsys):
    given = laid_out(tmp_path, "mnist")
    report = object_of(capsys, "add", "mnist", given, "--source", "a friend")
    assert set(report) == {
        *(
            "name",
            "kind",
            "folder",
            "source",
            "files",
            "unchanged",
            "bytes",
            "warnings",
            "left_out",
            "seconds",
        )
    }
    assert report["name"] == "mnist" and report["source"] == "a friend" and len(report["files"]) == 2
    assert report["files"][0]["holds"] == {"images": 2, "rows": 3, "columns": 4}
    listed = object_of(capsys, "list")
    assert set(listed) == {"folder", "sets", "missing"} and listed["sets"][0]["name"] == "mnist"
    checked = object_of(capsys, "check", "mnist")
    assert set(checked) == {"ok", "folder", "files", "remarks", "summary"} and checked["ok"]
    assert set(checked["files"][0]) == {"set", "file", "ok", "what"}


@pytest.mark.parametrize("kind", SMALL)
def test_each_kind_for_a_person(tmp_path, there, capsys, kind):
    given = laid_out(tmp_path, kind)
    status, out, err = command(capsys, "add", given)
    count = len(SMALL[kind])
    assert status == 0 and not err and f"{count} file{'s' * (count > 1)} added" in out and "\033" not in out
    status, out, _ = command(capsys, "list")
    assert status == 0 and "  yes  " in out and str(there) in out and "nothing is fetched" in out
    status, out, _ = command(capsys, "check")
    assert status == 0 and "1 data set, " in out and "all whole" in out


def test_options_may_stand_anywhere(tmp_path, there, capsys):
    given = laid_out(tmp_path, "text")
    assert object_of(capsys, "--source", "me", "add", "--name", "verses", "text", given)["name"] == "verses"
    assert object_of(capsys, "add", "--replace", given, "--name", "verses")["unchanged"] == 1


def test_the_name_of_a_set_says_the_kind(tmp_path, there, capsys):
    report = object_of(capsys, "add", "multi30k", laid_out(tmp_path, "parallel"))
    assert (report["name"], report["kind"]) == ("multi30k", "parallel")


def test_check_names_what_is_damaged(tmp_path, there, capsys):
    command(capsys, "add", laid_out(tmp_path, "babi"))
    path = there / "babi" / "en" / "qa1_single_train.txt"
    path.write_text(STORY.replace("4 John", "9 John"))
    status, out, _ = command(capsys, "check")
    told = f"FAIL babi/en/qa1_single_train.txt: {path}, line 4: the line's number must be 4 or 1, got 9\n"
    assert status == 1 and told in out and "1 DAMAGED" in out
    assert "scratchattn data add babi PATH puts a whole copy in the place of a damaged one.\n" in out
    assert object_of(capsys, "check", status=1)["summary"]["damaged"] == 1


def test_what_is_left_out_and_what_is_missing_is_said_shortly(tmp_path, there, capsys):
    given = laid_out(tmp_path, "babi")
    for i in range(9):
        (given / f"{i}.dat").write_text("?")
    status, out, _ = command(capsys, "add", given)
    assert status == 0 and out.count("left out: ") == 7 and "left out: 3 more; --json lists them all" in out
    assert "it lacks 74 more; --json lists them all" in command(capsys, "list")[1]


# ---- wrong uses: one line with the remedy, status 2, no traceback -----------


def plant(folder):
    """Files that are wrong in one way each."""
    (folder / "qa1_a_train.txt").write_text(STORY.replace("4 John", "9 John"))
    (folder / "train-images-idx3-ubyte").write_bytes(b"\x00\x00\x08\x04" + idx(IMAGES)[4:])
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([3, 11], np.uint8)))
    (folder / "cut.en.gz").write_bytes(SMALL["mnist"]["train-images-idx3-ubyte.gz"][:20])
    (folder / "latin.txt").write_bytes("na\xefve\n".encode("latin-1"))
    (folder / "un.en").write_text("a\nb\n")
    (folder / "un.de").write_text("a\n")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "empty").mkdir()
    (folder / "several").mkdir()
    for name in ("pen.npz", "train-images-idx3-ubyte"):
        (folder / "several" / name).write_bytes(b"")
    (folder / "objects.npz").write_bytes(b"PK\x03\x04 and nothing")
    with zipfile.ZipFile(folder / "evil.zip", "w") as archive:
        archive.writestr("../evil.txt", "evil")


WRONG = [
    ([], "the following arguments are required: action"),
    (["ad"], "invalid choice: 'ad'"),
    (["add"], "data add needs a PATH: a file, a folder or a zip archive"),
    (["add", "babi"], "data add babi needs a PATH"),
    (["add", "nowhere.txt"], "nowhere.txt: there is no such file or folder"),
    (["add", "babi", "nowhere"], "nowhere: there is no such file or folder"),
    (["add", "bbai", "latin.txt"], "'bbai' is neither a kind nor a path; did you mean babi?"),
    (["add", "paralel", "un.en", "un.de"], "did you mean parallel?"),
    (["add", "shakespeare", "latin.txt"], "did you mean tinyshakespeare?"),
    (
        ["add", "qa1_a_train.txt"],
        "qa1_a_train.txt, line 4: the line's number must be 4 or 1, got 9; nothing was",
    ),
    (["add", "train-images-idx3-ubyte"], "byte 16: the file ends inside|byte 40: 2 x 3 x 4 x"),
    (["add", "t10k-labels-idx1-ubyte"], "byte 9: label 1 must be in 0..9, got 11; nothing was added"),
    (["add", "parallel", "cut.en.gz"], "cut.en.gz, byte 20: the gz stream ends early"),
    (["add", "latin.txt"], "latin.txt, line 1, byte 2: 0xef is not UTF-8"),
    (["add", "un.en", "un.de"], "un.de, line 1: the file ends here, un.en only with line 2"),
    (["add", "objects.npz"], "objects.npz: no whole npz file"),
    (["add", "evil.zip"], "the member '../evil.txt' points out of the archive: refused"),
    (["add", "picture.png"], "picture.png: no data file is recognised by its name"),
    (["add", "babi", "picture.png"], "picture.png: babi files are called qa1_..._train.txt: rename it"),
    (["add", "empty"], "empty: no data file is recognised"),
    (["add", "several"], "several: files of several kinds, mnist and strokes: name one before the path"),
    (["add", "cut.en.gz"], "cut.en.gz: no data file is recognised"),
    (["add", "latin.txt", "--name", "../up"], "--name must be small letters"),
    (["add", "latin.txt", "--name"], "expected one argument"),
    (["add", "latin.txt", "--colour", "red"], "unrecognized arguments: --colour"),
    (["list", "mnist"], "data list takes no words, got 'mnist'"),
    (["list", "--name", "x"], "are for 'data add', not for 'data list'"),
    (["check", "--replace"], "are for 'data add', not for 'data check'"),
    (["check"], "there are no data files in"),
    (["check", "mnsit"], "no data set is called 'mnsit'"),
]


@pytest.mark.parametrize(
    "words, told", WRONG, ids=lambda value: " ".join(value) if type(value) is list else ""
)
def test_wrong_uses(tmp_path, there, monkeypatch, capsys, words, told):
    plant(tmp_path)
    monkeypatch.chdir(tmp_path)
    status, out, err = command(capsys, *words)
    assert status == 2 and not out and "Traceback" not in err
    assert any(part in err for part in told.split("|")), err
    assert err.splitlines()[-1].startswith("scratchattn") and (
        err.count("\n") == 1 or err.startswith("usage")
    )
    assert not there.exists() or not list(there.iterdir())


def test_check_of_an_unknown_set_names_the_nearest(tmp_path, there, capsys):
    command(capsys, "add", laid_out(tmp_path, "mnist"))
    status, _, err = command(capsys, "check", "mnsit")
    assert status == 2 and "did you mean mnist?" in err


def test_a_store_that_is_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCRATCHATTN_DATA", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    status, _, err = command(capsys, "add", laid_out(tmp_path, "text"))
    assert status == 2 and "cannot be written: File exists: nothing was added" in err
    assert command(capsys, "list")[0] == 0 and command(capsys, "check")[0] == 2


def process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "scratchattn", "data", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        **options,
    )


def test_a_full_disk(tmp_path, there, capsys):
    command(capsys, "add", laid_out(tmp_path, "text", "first"))
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    large = tmp_path / "large.txt"
    large.write_text("all work\n" * 20_000)
    done = process(
        *("add", large, "--name", "first", "--replace"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 2 and not done.stdout
    assert (
        done.stderr.count("\n") == 1
        and "cannot be written: File too large: nothing was added; make" in done.stderr
    )
    assert {path: path.read_bytes() for path in there.rglob("*") if path.is_file()} == before
    assert not list(there.glob(".*"))


AS_NOBODY = """
import os, sys
import encodings.idna, numpy, scratchattn.cli.data, scratchattn.tasks.store
from scratchattn import cli
for command in cli.VERBS: cli.parser(command)
if os.geteuid() == 0:
    os.setgid(65534), os.setuid(65534)
sys.exit(cli.main(["data", *sys.argv[1:]]))
"""


def as_nobody(store, *words):
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env=os.environ | {"SCRATCHATTN_DATA": str(store)},
    )


@pytest.fixture
def public():
    """A folder that everybody may enter; pytest closes its own whenever it starts somewhere."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_without_the_right_to_read_or_to_write(public):
    given, closed, opened = laid_out(public, "text"), public / "closed", public / "open"
    closed.mkdir()
    closed.chmod(0o555)
    opened.mkdir()
    opened.chmod(0o777)
    done = as_nobody(closed, "add", given)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "cannot be written: Permission denied: nothing was added" in done.stderr
    (given / "verse.txt").chmod(0)
    done = as_nobody(opened, "add", given)
    assert done.returncode == 2 and done.stderr == f"scratchattn: {given / 'verse.txt'}: Permission denied\n"
    assert not list(opened.iterdir())


def test_as_a_command_of_its_own(tmp_path, there):
    done = process("add", laid_out(tmp_path, "text"), "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["name"] == "given" and not done.stderr
    done = process("check", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["ok"]
