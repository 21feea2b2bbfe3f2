"""Several processes by MPI: the same bits whoever computes, one voice, nothing hangs."""

import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from saving import group

from scratchattn.training import newest, read_log
from scratchattn.training.archive import read_archive
from scratchattn.training.step import tree_sum

BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
FATAL = f"{Path(__file__).with_name('fatal_task.py')}:Fatal"
TINY = "rows=8 width=4 units=8 bits=2 longest=4 eval_batches=1 eval_batch=4 batch=8 shards=4".split()
WORDS = [f"--set={wish}" for wish in (*TINY, "learning_rate=1e-3")]

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
        reason="mpi4py or mpiexec is not installed",
    ),
]


def started(processes, *words, what=("-m", "scratchattn")):
    command = [MPIEXEC, "-n", processes, sys.executable, "-m", "mpi4py", *what, *words]
    return group(*command, environment={"OPENBLAS_NUM_THREADS": "1"})


def job(processes, *words, seconds=120, **what):
    """(exit status, standard output, standard error) of a job of so many processes."""
    with started(processes, *words, **what) as process:
        out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def trained(processes, directory, *words, parallel="mpi"):
    """The one JSON object that training by so many processes prints."""
    words = ["train", "ntm", "copy", *WORDS, *words, "--parallel", parallel, "--json", "--out", directory]
    status, out, err = job(processes, *words)
    assert status == 0, err
    return json.loads(out)  # an object for each process would be no JSON


def test_1_2_and_4_processes_make_the_same_bits(tmp_path):
    found = [trained(n, tmp_path / str(n), "--set=steps=200") for n in (1, 2, 4)]
    assert len({each["sha256"] for each in found}) == 1
    assert found[0]["metrics"] == found[1]["metrics"] == found[2]["metrics"]
    logs = [read_log(tmp_path / str(n) / "log.jsonl") for n in (1, 2, 4)]
    told = [[{k: v for k, v in e.items() if k != "seconds"} for e in events] for events in logs]
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    "words",
    [
        ("curriculum=0: longest=1; 5: longest=2; 9: longest=4", "truncate=2", "select=best", "eval_every=6"),
        ("optimiser=adamw", "schedule=cosine", "clip_norm=0.5", "batch=7", "shards=7"),
    ],
    ids=["a curriculum, cut along time", "unequal parts"],
)
def test_other_trainings_too(words, tmp_path):
    words = [f"--set={word}" for word in ("steps=20", *words)]
    assert len({trained(n, tmp_path / str(n), *words)["sha256"] for n in (1, 2, 3)}) == 1


def test_dropout_is_that_of_the_shard_whoever_computes_it(tmp_path):
    tiny = "rows=5 width=3 units=4 read_heads=1 bits=2 longest=4 batch=8 shards=4 steps=12 bypass_dropout=0.5"
    words = ["train", "dnc", "copy", *[f"--set={wish}" for wish in tiny.split()], "--parallel", "mpi"]
    found = set()
    for n in (1, 2, 3):
        status, out, err = job(n, *words, "--json", "--out", tmp_path / str(n))
        assert status == 0, err
        found.add(json.loads(out)["sha256"])
    assert len(found) == 1


def test_the_fast_sum_agrees_to_rounding(tmp_path):
    trained(2, tmp_path / "fast", "--set=steps=50", "--set=dtype=float64", parallel="mpi-fast")
    trained(2, tmp_path / "ordered", "--set=steps=50", "--set=dtype=float64")
    fast, ordered = (newest(tmp_path / name).arrays for name in ("fast", "ordered"))
    for name in ordered:
        np.testing.assert_allclose(fast[name], ordered[name], rtol=0, atol=1e-11)


def test_a_run_goes_on_with_fewer_processes(tmp_path):
    words = ["--set=steps=60", "--set=checkpoint_every=20"]
    whole = trained(4, tmp_path / "whole", *words)
    for count in (2, 1):
        directory = tmp_path / f"then {count}"
        shutil.copytree(tmp_path / "whole", directory)
        for step in (40, 60):
            (directory / "checkpoints" / f"step-{step:08d}.npz").unlink()
        status, out, err = job(count, "train", "--resume", directory, "--parallel", "mpi", "--json")
        assert status == 0, err
        assert json.loads(out)["sha256"] == whole["sha256"]
        (resumed,) = [e for e in read_log(directory / "log.jsonl") if e["event"] == "resumed"]
        assert resumed["step"] == 20


@pytest.mark.parametrize(
    ("processes", "words", "told"),
    [
        (4, ["ntm", "copy", "--set=batch=4", "--set=shards=2", "--parallel=mpi"],
         "scratchattn: 4 processes share 2 shard(s): set shards to at least 4, or start fewer"),
        (2, ["ntm", "cpoy", "--parallel=mpi"], "scratchattn: no task is called 'cpoy'"),
        (2, ["ntm", "copy", "--parallel=mpy"], "argument --parallel: invalid choice"),
        (2, ["ntm", "copy"], "scratchattn: 2 processes would each train the same run: say --parallel mpi"),
    ],
)  # fmt: skip
def test_a_wrong_use_is_said_once(processes, words, told, tmp_path):
    status, out, err = job(processes, "train", *words, "--out", tmp_path / "run")
    assert status == 2 and out == ""
    assert err.count(told) == 1 and err.count("scratchattn: ") <= 1 and "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_a_process_that_raises_ends_the_job(tmp_path):
    words = ["train", "ntm", FATAL, *WORDS, "--set=steps=100000", "--set=how=raise", "--set=rank=1"]
    status, _, err = job(2, *words, "--parallel", "mpi", "--out", tmp_path / "run", seconds=60)
    assert status not in (0, 2) and err.count("RuntimeError: the data are gone") == 1
    raised = next(line for line in err.splitlines() if line.startswith("raised at"))
    assert time.time() - float(raised.split()[-1]) < 10


def test_a_loss_that_is_no_number_is_told_once_with_all_shards(tmp_path):
    words = [
        "train",
        "ntm",
        FATAL,
        *WORDS,
        "--set=steps=50",
        "--set=how=nan",
        "--set=rank=1",
        "--parallel=mpi",
    ]
    status, _, err = job(2, *words, "--out", tmp_path / "run")
    assert status == 1 and err.count("at step") == 1 and "the inputs of the batch" in err, err
    arrays, facts = read_archive(tmp_path / "run" / "failure.npz")
    assert facts["shards"] == 4
    assert {name.split("/")[1] for name in arrays if name.startswith("batch/")} == {"0", "1", "2", "3"}
    bad = {name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()}
    assert bad == {"batch/2/inputs"}  # the twentieth batch that the second process has drawn


@pytest.mark.parametrize(
    "tell",
    [lambda pid: os.kill(pid, signal.SIGTERM), lambda pid: os.killpg(pid, signal.SIGINT)],
    ids=["SIGTERM to mpiexec", "Ctrl-C to all, as a terminal does"],
)
def test_asked_to_end_a_job_saves(tell, tmp_path):
    words = [*WORDS, "--set=steps=100000", "--set=log_every=1", "--parallel=mpi"]
    until, log = time.monotonic() + 60, tmp_path / "log.jsonl"
    with started(2, "train", "ntm", "copy", *words, "--out", tmp_path) as process:
        while not (log.exists() and log.stat().st_size):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        tell(process.pid)
        _, err = process.communicate(timeout=60)
    assert process.returncode != 0 and read_log(log)[-1]["event"] == "stopped"
    assert newest(tmp_path).step == read_log(log)[-1]["step"]
    assert err.count("and saved; go on with: scratchattn train --resume") == 1


def test_a_sweep_is_shared_by_the_job(tmp_path):
    words = ["sweep", "ntm", FATAL, *WORDS, "--set=steps=30", "--over=how=not,raise,always", "--seeds=0-1"]
    words += [f"--set=marker={tmp_path / 'killed'}", "--out", tmp_path / "s", "--json"]
    status, out, err = job(3, *words)
    assert status == 1, err
    rows = json.loads(out)["rows"]
    assert [each["state"] for each in rows] == ["done"] * 2 + ["failed"] * 4
    status, out, _ = job(1, *words, "--over=clip=10")
    assert [each["state"] for each in json.loads(out)["rows"]] == ["done"] * 2 + ["failed"] * 4


@pytest.mark.parametrize("where", ["host", "device"])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_gradients_on_a_gpu_go_through_the_host_unless_mpi_takes_them(where, processes):
    status, out, err = job(processes, where, what=[Path(__file__).with_name("staged_gradients.py")])
    assert status == 0, err
    found = json.loads(out)
    rows = np.random.default_rng(0).normal(size=(11, 37)).astype(np.float32)
    assert found["sum"] == tree_sum(rows, 11).tolist()
    assert found["on the device"] and found["downloads"] == (where == "host")
