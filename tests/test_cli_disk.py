"""Training where one may not write, and on a full disk: one line, status 2, and nothing half-written."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from misused import SMALL
from saving import ENVIRONMENT, posix

from scratchattn import cli
from scratchattn.training import newest, read_log

pytestmark = posix
CHILD = """
import os, resource, sys
import encodings.idna, numpy, scratchattn.report, scratchattn.training
from scratchattn import cli
from scratchattn.report.environment import environment
from scratchattn.training.rows import rows
environment(), cli.parser("scratchattn"), rows()  # what is read later could not be read by nobody
most, user, *words = sys.argv[1:]
if int(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
if int(user) and os.geteuid() == 0:
    os.setgroups([]), os.setgid(int(user)), os.setuid(int(user))
sys.exit(cli.main(words))
"""
NOBODY = 65534


def child(*words, most=0, user=0):
    """The command in a process of its own, files at most so large, as that user."""
    command = [sys.executable, "-c", CHILD, str(most), str(user), *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


@pytest.fixture
def public():
    """A folder that everybody may enter; pytest closes its own whenever it starts somewhere."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def refused(done, *told):
    """The last line on stderr says it; there may be lines of progress before."""
    assert done.returncode == 2 and not done.stdout, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and last.startswith("scratchattn: ")
    assert all(part in last for part in told), last


def sizes(tmp_path):
    """Bytes of the files of a whole run."""
    assert cli.main(["train", "ntm", "copy", "--out", str(tmp_path / "whole"), *SMALL.split()]) == 0
    files = {p.name: p.stat().st_size for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    return files["config.json"], files["log.jsonl"], files["step-00000004.npz"], files["report.html"]


def test_a_full_disk_at_every_file(tmp_path):
    """The config, a line of the log, a checkpoint, the report: each the first that is too large."""
    config, log, checkpoint, report = sizes(tmp_path)
    assert log < config < checkpoint < report
    cases = {"config": config - 1, "checkpoint": checkpoint - 1, "report": report - 1}
    for what, most in cases.items():
        run = tmp_path / what
        done = child("train", "ntm", "copy", *SMALL.split(), "--out", run, most=most)
        refused(done, "File too large", "make room")
        assert not list(run.rglob(".*"))  # nothing half-written
        if what == "config":
            assert not list(run.iterdir())
        else:
            assert f"then go on with: scratchattn train --resume {run}" in done.stderr
            assert json.loads((run / "config.json").read_text())["training"]["steps"] == 4
            assert not read_log(run / "log.jsonl").unfinished
        words = ["--out", run, "ntm", "copy", *SMALL.split()] if what == "config" else ["--resume", run]
        done = child("train", *words, "--json")  # and when there is room, it goes on
        assert done.returncode == 0 and json.loads(done.stdout)["steps"] == 4
        assert newest(run).arrays.keys() == newest(tmp_path / "whole").arrays.keys()
        same = [(newest(d).arrays["parameters/bias"]).tolist() for d in (run, tmp_path / "whole")]
        assert same[0] == same[1]


def test_a_full_disk_at_a_line_of_the_log(tmp_path):
    settings = [*SMALL.split(), "--set", "log_every=1", "--set", "steps=60", "--set", "checkpoint_every=0"]
    done = child("train", "ntm", "copy", *settings, "--out", tmp_path / "run", most=4_000)
    refused(done, "log.jsonl: File too large: no more can be logged", "--resume")
    events = read_log(tmp_path / "run" / "log.jsonl")
    assert events and not events.unfinished


def test_a_full_disk_leaves_the_report_that_was_there(tmp_path):
    _, _, _, report = sizes(tmp_path)
    page = tmp_path / "whole" / "report.html"
    before = page.read_bytes()
    refused(child("show", tmp_path / "whole", most=report // 2), "report.html: File too large")
    assert page.read_bytes() == before and not list(page.parent.glob(".*"))


def test_without_the_right_to_write(public):
    public.chmod(0o555)
    done = child("train", "ntm", "copy", *SMALL.split(), "--out", public / "run", user=NOBODY)
    refused(done, f"{public / 'run'}: Permission denied; change its permissions, or take another place")
    assert not list(public.iterdir())
    public.chmod(0o755)


def test_a_run_of_somebody_else(public):
    assert cli.main(["train", "ntm", "copy", "--out", str(public / "run"), *SMALL.split()]) == 0
    for part in (public / "run").rglob("*"):
        part.chmod(0o755 if part.is_dir() else 0o644)
    before = {p: p.read_bytes() for p in (public / "run").rglob("*") if p.is_file()}
    assert child("eval", public / "run", user=NOBODY).returncode == 0
    refused(child("show", public / "run", user=NOBODY), "report.html: Permission denied")
    (public / "run" / "config.json").chmod(0)
    refused(child("eval", public / "run", user=NOBODY), "config.json cannot be read: Permission denied")
    (public / "run" / "config.json").chmod(0o644)
    last = sorted((public / "run" / "checkpoints").iterdir())[-1]
    last.chmod(0)
    refused(child("eval", public / "run", user=NOBODY), f"{last}: it cannot be read: Permission denied")
    last.chmod(0o644)
    assert before == {p: p.read_bytes() for p in (public / "run").rglob("*") if p.is_file()}


def test_a_configuration_that_may_not_be_read(public):
    file = public / "mine.toml"
    shutil.copy(Path(__file__).resolve().parents[1] / "examples" / "own_model.toml", file)
    file.chmod(0)
    done = child("train", "ntm", "copy", "--config", file, "--out", public / "run", user=NOBODY)
    refused(done, f"{file} cannot be read: Permission denied")
