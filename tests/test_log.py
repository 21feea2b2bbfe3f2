"""The log: whole lines that outlast a kill, cut where a checkpoint says, JSON that every reader takes."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from saving import ENVIRONMENT, posix, python

from scratchattn.training.archive import Damaged
from scratchattn.training.log import Log, read_log


def logged(path, *numbers, **how):
    """A log with these steps, closed."""
    with Log(path, **how) as log:
        for step in numbers:
            log.add("train", step=step)
    return log


def numbers(events):
    return [event["step"] for event in events]


def test_every_event_is_a_line_and_in_memory(tmp_path):
    log = Log(tmp_path / "run" / "log.jsonl")
    log.add("train", step=np.int64(3), nats=np.float32(0.5), good=np.True_, shape=(2, 3), name="é")
    log.add("done")
    expected = [
        {"event": "train", "step": 3, "nats": 0.5, "good": True, "shape": [2, 3], "name": "é"},
        {"event": "done"},
    ]
    text = log.path.read_bytes()  # before it is closed
    assert [json.loads(line) for line in text.splitlines()] == log.events == expected
    log.close(), log.close()
    assert read_log(log.path) == expected and log.path.read_bytes() == text
    with pytest.raises(ValueError, match=r"log\.jsonl is closed"):
        log.add("train")
    logged(log.path)
    assert read_log(log.path) == []  # begun anew


def test_without_a_file_events_are_in_memory():
    log = logged(None, 1, 2)
    assert numbers(log.events) == [1, 2] and log.position() == 0
    log.close()


def test_a_resumed_log_is_complete_and_tells_nothing_twice(tmp_path):
    path = tmp_path / "log.jsonl"
    with Log(path) as log:
        log.add("train", step=1)
        here = log.position()
        assert here == path.stat().st_size
        log.add("train", step=2)
    with open(path, "ab") as file:
        file.write(b'{"event": "tra')  # what a kill leaves
    assert numbers(logged(path, position=here).events) == [1] == numbers(read_log(path))
    log = logged(path, 2, 3, position=here)
    assert numbers(log.events) == [1, 2, 3] == numbers(read_log(path))
    assert log.position() == path.stat().st_size
    assert numbers(logged(path, 7, position=0).events) == [7] == numbers(read_log(path))
    assert numbers(logged(tmp_path / "new", 7, position=0).events) == [7]


def test_what_a_position_tells_of_is_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    with Log(tmp_path / "log.jsonl") as log:
        del synced[:]  # of directories
        for step in range(3):
            log.add("train", step=step)
        assert synced == []
        here = log.position()
        assert synced == [here]
        log.add("done")
    assert synced == [here, log.path.stat().st_size]


def test_a_log_that_is_not_what_the_checkpoint_tells_is_refused(tmp_path):
    path = tmp_path / "log.jsonl"
    here = logged(path, 1, 2).position()
    for wrong in (here + 1, here - 1, 10**9):
        with pytest.raises(
            Damaged, match=f"log.jsonl: it has {here} bytes, and the checkpoint tells of {wrong}"
        ):
            Log(path, position=wrong)
    assert numbers(read_log(path)) == [1, 2]  # and left as it is
    path.unlink()
    with pytest.raises(Damaged, match="it has 0 bytes"):
        Log(path, position=here)
    assert not path.exists()
    for wrong in (-1, 2.0, "3"):
        with pytest.raises(ValueError, match="Log: position must be an int, at least 0"):
            Log(path, position=wrong)


def test_an_unfinished_last_line_is_told_and_no_event(tmp_path):
    path = tmp_path / "log.jsonl"
    logged(path, 1, 2)
    data = path.read_bytes()
    assert read_log(path).unfinished == ""
    second = data.index(b"\n") + 1
    for length in range(second + 1, len(data) - 1):
        path.write_bytes(data[:length])
        events = read_log(path)
        assert numbers(events) == [1] and events.unfinished == data[second:length].decode()
    path.write_bytes(data[:-1])  # whole but for its end
    assert numbers(read_log(path)) == [1, 2]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"event": "tra', "line 2 is damaged"),
        (b"\0\0\0\0", "line 2 is damaged"),
        (b"\xff", "line 2 is damaged"),
        (b"", "line 2 is damaged"),
        (b"[1]", "it is no JSON object"),
        (b'{"step": 1}', "it names no event"),
        (b'{"event": "a", "x": NaN}', "NaN is no JSON"),
        (b'{"event": "a", "x": 1, "non_finite": [["x", "nan"]]}', "'x' is said not to be finite and is 1"),
        (b'{"event": "a", "x": null, "non_finite": [["x", "huge"]]}', "not finite is wrong"),
        (b'{"event": "a", "non_finite": [["y", "nan"]]}', "not finite is wrong"),
        (b'{"event": "a", "non_finite": [[]]}', "line 2 is damaged"),
        (b'{"event": "a", "non_finite": 3}', "not finite is wrong"),
        (b'{"event": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, words):
    path = tmp_path / "log.jsonl"
    logged(path, 1, 2)
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, line + b"\n", *rest]))
    with pytest.raises(Damaged, match="line 2 is damaged") as error:
        read_log(path)
    assert words in str(error.value)


def test_numbers_that_are_not_finite_are_null_for_others_and_themselves_for_us(tmp_path):
    path = tmp_path / "log.jsonl"
    with Log(path) as log:
        log.add("train", nats=float("inf"), step=1, each=[1.0, np.float32("nan"), {"least": -np.inf}])
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "event": "train",
        "nats": None,
        "step": 1,
        "each": [1.0, None, {"least": None}],
        "non_finite": [["nats", "inf"], ["each", 1, "nan"], ["each", 2, "least", "-inf"]],
    }
    (event,) = read_log(path)
    assert repr(event) == repr(log.events[0])
    assert event["nats"] == np.inf and np.isnan(event["each"][1]) and event["each"][2]["least"] == -np.inf


@pytest.mark.parametrize(
    ("facts", "error", "words"),
    [
        ({"x": np.zeros(2)}, TypeError, "Log.add: x must be None, bool, .* got ndarray"),
        ({"x": [1, {2}]}, TypeError, r"Log.add: x\[1\] must be .* got set"),
        ({"x": 1j}, TypeError, "got complex"),
        ({"non_finite": 1}, ValueError, "the name 'non_finite' is taken"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_nothing_logged(tmp_path, facts, error, words):
    with Log(tmp_path / "log.jsonl") as log:
        log.add("train", step=1)
        with pytest.raises(error, match=words):
            log.add("train", **facts)
    assert numbers(log.events) == [1] == numbers(read_log(log.path))


KILLED = """
import sys
from scratchattn.training.log import Log

log = Log(sys.argv[1])
for step in range(10**9):
    log.add("train", step=step, text="x" * (step % 9000))
    print(step, flush=True)
"""


@posix
@pytest.mark.parametrize("lines", [1, 50, 300])
def test_a_kill_loses_no_event_that_was_added(tmp_path, lines):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "log.jsonl")]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as child:
        for _ in range(lines):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        rest = [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    found = numbers(read_log(tmp_path / "log.jsonl"))
    assert found == list(range(len(found))) and len(found) >= lines + len(rest)


FULL = """
import resource, sys
from scratchattn.training.log import Log

log = Log(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    while True:
        log.add("train", text="x" * 100)
except OSError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
log.add("more")
print(len(log.events), log.position())
log.close()
"""


@posix
def test_a_full_disk_is_named_and_leaves_whole_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    error, counted = python("-c", FULL, path).splitlines()
    assert "File too large: no more can be logged" in error and error.endswith(f"'{path}'")
    events = read_log(path)
    assert counted == f"{len(events)} {path.stat().st_size}" and events.unfinished == ""
    assert [event["event"] for event in events] == ["train"] * (len(events) - 1) + ["more"]
