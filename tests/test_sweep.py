"""Sweeps: nothing is repeated, nothing lost, and what fails takes nothing with it."""

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from saving import group, posix, run

from scratchattn import cli
from scratchattn.training import Interrupted, RunRefused, plan, read_log, sweep
from scratchattn.training.run_directory import locked
from scratchattn.training.sweeps import row
from scratchattn.training.workers import perform

TINY = ["rows=6", "width=3", "units=5", "bits=2", "longest=3", "eval_batches=1", "eval_batch=2", "steps=40"]
TINY += ["checkpoint_every=10", "log_every=10", "keep=2"]
WORDS = [f"--set={wish}" for wish in TINY]
FATAL = f"{Path(__file__).with_name('fatal_task.py')}:Fatal"


def started(*words):
    """The command in a process group of its own."""
    return group(sys.executable, "-m", "scratchattn", "sweep", *words)


def states(rows):
    return [each["state"] for each in rows]


def ended(runs):
    """name -> (log, time it was written) of the runs that have finished and kept their last step."""
    found = {}
    for each in Path(runs).glob("*/log.jsonl"):
        if '"done"' in each.read_text() and (each.parent / "checkpoints" / "step-00000040.npz").exists():
            found[each.parent.name] = (each.read_bytes(), each.stat().st_mtime_ns)
    return found


def wait_for(condition, process, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < until, "it has ended or takes too long"
        time.sleep(0.02)


def test_a_plan_is_every_combination_once(tmp_path):
    runs = plan(
        tmp_path, "ntm", "copy", over={"rows": [6, 8, "8"], "learning_rate": ["1e-3", 1e-2]}, seeds="0-1,3"
    )
    assert len(runs) == 2 * 2 * 3 == len({run.directory for run in runs})
    assert [run.varied for run in runs[::3]] == [
        {"rows": rows, "learning_rate": rate} for rows in (6, 8) for rate in (1e-3, 1e-2)
    ]
    assert [run.configuration.settings.seed for run in runs[:3]] == [0, 1, 3]
    for each in runs:
        assert each.directory == tmp_path / "runs" / each.configuration.digest()[:12]
        assert each.configuration.model.rows == each.varied["rows"]
    assert plan(tmp_path, "ntm", "copy", over={"rows": [8]}, seeds=[3])[0].configuration.model.rows == 8
    assert len(plan(tmp_path, "ntm", "copy", over={"seed": [4, 5]})) == 2


def test_a_file_plans_the_same(tmp_path):
    file = tmp_path / "rates.toml"
    file.write_text(
        '[model]\nname = "ntm"\n[task]\nname = "copy"\nbits = 3\n[training]\nsteps = 7\n'
        '[sweep]\nlearning_rate = [1e-3, 1e-2]\nseeds = "0-1"\nmodel.rows = [6, 8]\n'
    )
    found = plan(tmp_path / "s", file=file)
    same = plan(
        tmp_path / "s", "ntm", "copy", over={"learning_rate": [1e-3, 1e-2], "model.rows": [6, 8]},
        seeds=[0, 1], wishes=["bits=3", "steps=7"],
    )  # fmt: skip
    assert [run.directory for run in found] == [run.directory for run in same] and len(same) == 8


@pytest.mark.parametrize(
    "words, told",
    [
        (["--over", "rows"], "--over takes NAME=V1,V2,..., got 'rows'"),
        (["--over", "rows="], "--over takes NAME=V1,V2"),
        (["--over", "=1"], "--over takes NAME=V1,V2,..., got '=1'"),
        (["--over", "model.lr=1"], "no setting of the model is called 'lr'"),
        (["--over", "rows=1", "--over", "rows=2"], "--over rows is given twice"),
        (["--over", "row=1,2"], "no setting is called 'row'; did you mean rows"),
        (["--over", "rows=6,many"], "rows must be int, got 'many'"),
        (["--over", "learning_rate=1e-3,-1"], "learning_rate must be positive"),
        (["--over", "rows=6", "--set", "rows=8"], "rows is given twice"),
        (["--over", "seed=1,2", "--seeds", "0-3"], "seed is given twice"),
        (["--seeds", "three"], "seeds must be numbers and spans like 0-9"),
        (["--seeds", "5-2"], "seeds must be numbers and spans like 0-9"),
        (["--config", "nowhere.toml"], "nowhere.toml cannot be read"),
    ],
)
def test_sweep_used_wrongly(words, told, tmp_path, capsys):
    assert cli.main(["sweep", "ntm", "copy", *words, "--out", str(tmp_path / "s")]) == 2
    said = capsys.readouterr().err
    assert told in said and len(said.splitlines()) == 1
    assert not (tmp_path / "s" / "runs").exists()


@pytest.mark.parametrize("engine, package", [("joblib", "joblib"), ("mpi", "mpi4py.futures")])
def test_an_engine_that_is_not_installed(engine, package, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["sweep", "ntm", "copy", "--engine", engine, *WORDS, "--out", str(tmp_path)]) == 2
    assert "install scratchattn[" in capsys.readouterr().err


@pytest.mark.parametrize(
    "table, told",
    [
        ("rows = 5", "rows must have a list of values to go over, got 5"),
        ('seeds = ["a"]', "seeds must be numbers and spans like 0-9"),
        ("model.rows = []", "model.rows must have a list of values"),
    ],
)
def test_a_table_that_is_wrong(table, told, tmp_path):
    (tmp_path / "wrong.toml").write_text(f"[sweep]\n{table}\n")
    with pytest.raises(ValueError, match=re.escape(told)):
        plan(tmp_path / "s", "ntm", "copy", file=tmp_path / "wrong.toml")


def test_the_directory_of_a_run_is_none_of_a_sweep(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(RunRefused, match="is the directory of one run"):
        plan(tmp_path, "ntm", "copy")


@posix
@pytest.mark.slow
def test_a_sweep_of_16_killed_half_way_finishes_without_repeating_a_run(tmp_path):
    words = ["ntm", "copy", *WORDS, "--over", "learning_rate=1e-4,1e-3,1e-2,1e-1", "--seeds", "0-3"]
    words += ["--out", tmp_path / "s", "--jobs", "2"]
    with started(*words) as first:
        wait_for(lambda: len(ended(tmp_path / "s" / "runs")) >= 8, first)
        os.killpg(first.pid, signal.SIGKILL)
    before = ended(tmp_path / "s" / "runs")
    assert 8 <= len(before) < 16
    again = run("-m", "scratchattn", "sweep", *words, "--json")
    assert again.returncode == 0, again.stderr
    rows = json.loads(again.stdout)["rows"]
    assert states(rows) == ["done"] * 16
    after = ended(tmp_path / "s" / "runs")
    assert len(after) == 16 and {name: after[name] for name in before} == before
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["rows"] == rows
    for each in (rows[0], rows[-1]):
        alone = ["-m", "scratchattn", "train", "ntm", "copy", *WORDS, "--seed", each["seed"], "--json"]
        alone += ["--set", f"learning_rate={each['settings']['learning_rate']}", "--out", tmp_path / "alone"]
        done = run(*alone)
        assert json.loads(done.stdout)["sha256"] == each["sha256"]
        (tmp_path / "alone").rename(tmp_path / f"alone-{each['seed']}")


@posix
def test_a_killed_worker_loses_only_its_own_run(tmp_path, monkeypatch):
    for name in cli.THREADS:
        monkeypatch.delenv(name, raising=False)
    runs = plan(
        tmp_path / "s", "ntm", FATAL, over={"how": ["not", "once", "always", "raise"]},
        wishes=[*TINY, f"marker={tmp_path / 'killed'}"],
    )  # fmt: skip
    seen = []
    rows = sweep(runs, jobs=2, watch=lambda row, rows: seen.append(row["settings"]["how"]))
    assert states(rows) == ["done", "done", "failed", "failed"]
    assert sorted(seen) == ["always", "not", "once", "raise"] and (tmp_path / "killed").exists()
    assert rows[2]["reason"] == "killed by SIGKILL, twice"
    assert rows[3]["reason"].startswith("RuntimeError: the data are gone (fatal_task.py, line ")
    resumed = [[e["event"] for e in read_log(each.directory / "log.jsonl")].count("resumed") for each in runs]
    assert resumed == [0, 1, 1, 0]
    environment = json.loads((runs[0].directory / "config.json").read_text())["environment"]
    assert environment["OPENBLAS_NUM_THREADS"] == "1"
    before = ended(tmp_path / "s" / "runs")
    assert states(sweep(runs[:2], jobs=2)) == ["done", "done"] and ended(tmp_path / "s" / "runs") == before


@posix
@pytest.mark.parametrize(
    "tell",
    [lambda pid: os.kill(pid, signal.SIGTERM), lambda pid: os.killpg(pid, signal.SIGINT)],
    ids=["SIGTERM to the sweep", "Ctrl-C to all, as a terminal does"],
)
def test_asked_to_end_a_sweep_lets_its_runs_save(tell, tmp_path):
    words = ["ntm", "copy", *WORDS, "--set=steps=100000", "--set=checkpoint_every=0", "--over", "clip=1,2,3"]
    logs = tmp_path / "s" / "runs"
    with started(*words, "--jobs", "2", "--out", tmp_path / "s") as process:
        wait_for(lambda: sum(path.stat().st_size > 0 for path in logs.glob("*/log.jsonl")) == 2, process)
        tell(process.pid)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped with 0 of 3 runs finished; the same command goes on" in said and "Traceback" not in said
    found = [read_log(path)[-1]["event"] for path in logs.glob("*/log.jsonl")]
    assert found == ["stopped"] * 2 and len(list(logs.glob("*/checkpoints/*.npz"))) == 2


@posix
def test_ctrl_c_where_python_can_only_ignore_it_ends_a_sweep_too(tmp_path):
    runs = plan(tmp_path, "ntm", "copy", over={"clip": [1, 2, 3]}, wishes=TINY)

    def swallow(ended, rows):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)

    with pytest.raises(Interrupted, match=r"stopped with [12] of 3 runs finished"):
        sweep(runs, jobs=1, watch=swallow)
    assert row(runs[2])["state"] == "waiting"


def test_a_run_without_its_last_checkpoint_has_not_finished(tmp_path):
    runs = plan(tmp_path, "ntm", "copy", wishes=TINY)
    (before,) = sweep(runs)
    (runs[0].directory / "checkpoints" / "step-00000040.npz").unlink()
    assert row(runs[0])["state"] == "waiting"  # although its log tells of the end
    (after,) = sweep(runs)
    assert after["sha256"] == before["sha256"] and row(runs[0])["state"] == "done"


@posix
def test_a_run_that_somebody_trains_is_waited_for(tmp_path):
    (one,) = plan(tmp_path, "ntm", "copy", wishes=TINY)
    ending, found = threading.Event(), []
    args = (one.directory, one.configuration.as_dict(), set(), ending)
    worker = threading.Thread(target=lambda: found.append(perform(*args)))
    with locked(one.directory):
        worker.start()
        time.sleep(0.5)
        assert worker.is_alive() and not (one.directory / "log.jsonl").exists()
        ending.set()
        worker.join(30)
    assert found == ["stopped"] and not (one.directory / "log.jsonl").exists()
    assert perform(*args[:2]) is None and states(sweep([one])) == ["done"]


def test_a_failed_run_is_in_the_table_and_in_the_exit_status(tmp_path, capsys):
    words = ["ntm", FATAL, *WORDS, "--over", "how=not,raise", "--out", str(tmp_path / "s")]
    assert cli.main(["sweep", *words]) == 1
    said = capsys.readouterr().out
    assert said.count("FAILED: RuntimeError: the data are gone") == 2  # as it happened, and in the table
    assert "1 of 2 runs finished" in said
    assert cli.main(["sweep", *words, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"sweep", "rows", "summary", "seconds"} and states(report["rows"]) == [
        "done",
        "failed",
    ]
    assert [each["failed"] for each in report["summary"]] == [0, 1]
    assert report["summary"][0]["median"] == report["rows"][0]["metrics"]["wrong_bits"]


def test_one_that_cannot_be_written_fails_alone(tmp_path):
    runs = plan(tmp_path, "ntm", "copy", over={"clip": [1, 2]}, wishes=TINY)
    (tmp_path / "runs").mkdir()
    runs[0].directory.write_text("in the way")
    rows = sweep(runs, jobs=1)
    assert states(rows) == ["failed", "done"] and str(runs[0].directory) in rows[0]["reason"]


@pytest.mark.cluster
def test_joblib_deals_out_as_well(tmp_path):
    joblib = pytest.importorskip("joblib")
    runs = plan(tmp_path, "ntm", FATAL, over={"how": ["not", "raise"]}, wishes=TINY)
    with joblib.parallel_config(backend="threading"):
        rows = sweep(runs, engine="joblib", jobs=2)
    assert states(rows) == ["done", "failed"] and "the data are gone" in rows[1]["reason"]


@pytest.mark.cluster
def test_dask_deals_out_by_joblib(tmp_path):
    pytest.importorskip("joblib")
    pytest.importorskip("distributed")
    example = Path(__file__).parents[1] / "examples" / "sweep_dask.py"
    done = run(example, tmp_path / "s", "--steps", 20)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" done ") == 4 and len(done.stdout.splitlines()) == 4
    assert len(list((tmp_path / "s" / "runs").glob("*/checkpoints/step-00000020.npz"))) == 4
