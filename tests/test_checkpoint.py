"""Checkpoints: saved whole whatever happens, found again, and named when they are damaged."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from saving import ARRAYS, names, posix, python, run, saved

from scratchattn import whole_file
from scratchattn.training.archive import Damaged, write_archive
from scratchattn.training.checkpoint import load, newest, prune, save, steps

KILLS = int(os.environ.get("SCRATCHATTN_KILLS", "150"))  # 1000 for the full count


def spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_a_checkpoint_comes_back_whole(tmp_path):
    path = save(tmp_path / "run", 600, ARRAYS, {"best": float("nan"), "rng": {"state": 2**100}})
    assert path == tmp_path / "run" / "checkpoints" / "step-00000600.npz"
    found = load(path)
    assert (found.step, found.path, found.skipped) == (600, path, ())
    assert found.arrays["parameters"].tolist() == ARRAYS["parameters"].tolist()
    assert np.isnan(found.facts["best"]) and found.facts["rng"] == {"state": 2**100}


def test_steps_come_in_order_and_nothing_else_counts(tmp_path):
    assert steps(tmp_path) == [] and newest(tmp_path) is None
    saved(tmp_path, 100_000_000, 9, 10)
    room = tmp_path / "checkpoints"
    for other in ("step-00000011.npz.partial", "step-12.npz", "step-000000013.npz", "best.npz", "step-x.npz"):
        (room / other).write_bytes(b"other")
    assert steps(tmp_path) == [
        (9, room / "step-00000009.npz"),
        (10, room / "step-00000010.npz"),
        (100_000_000, room / "step-100000000.npz"),
    ]
    assert newest(tmp_path).step == 100_000_000


def test_a_step_that_is_saved_again_is_replaced(tmp_path):
    save(tmp_path, 5, {"x": np.zeros(2)}, {})
    save(tmp_path, 5, {"x": np.ones(2)}, {})
    assert newest(tmp_path).arrays["x"].tolist() == [1, 1] and names(tmp_path) == ["step-00000005.npz"]


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used_when_asked(tmp_path):
    one, two, three = saved(tmp_path, 1, 2, 3)
    spoil(three)
    with pytest.raises(Damaged, match=f"{three}: it was changed .*--previous .* step 2$"):
        newest(tmp_path)
    found = newest(tmp_path, skip_damaged=True)
    assert found.step == 2 and found.path == two
    assert len(found.skipped) == 1 and found.skipped[0].startswith(f"{three}: it was changed")
    spoil(two)
    assert newest(tmp_path, skip_damaged=True).step == 1
    spoil(one)
    with pytest.raises(Damaged, match="all 3 checkpoints are damaged; start the run again in another"):
        newest(tmp_path, skip_damaged=True)
    two.unlink(), three.unlink()
    with pytest.raises(Damaged, match="there is none before it"):
        newest(tmp_path)


def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path):
    with pytest.raises(Damaged, match=r"an archive, but no checkpoint"):
        load(write_archive(tmp_path / "a.npz", ARRAYS, {"step": 3}))
    (path,) = saved(tmp_path, 3)
    moved = path.rename(path.with_name("step-00000004.npz"))
    with pytest.raises(Damaged, match=r"it holds step 3; rename it to step-00000003\.npz"):
        load(moved)
    assert load(moved.rename(tmp_path / "best.npz")).step == 3
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        load(tmp_path / "nowhere.npz")


def test_pruning_keeps_the_newest_and_the_protected(tmp_path):
    paths = saved(tmp_path, 1, 2, 3, 4, 5)
    assert prune(tmp_path, 0) == []
    assert prune(tmp_path, 2, protected=[2]) == [paths[0], paths[2]]
    assert [step for step, _ in steps(tmp_path)] == [2, 4, 5]
    assert prune(tmp_path, 9) == []
    for wrong in (-1, 1.0, None):
        with pytest.raises(ValueError, match="prune: keep must be an int"):
            prune(tmp_path, wrong)


@pytest.mark.parametrize("wrong", [-1, 1.0, "3", True, None])
def test_a_step_is_a_number(tmp_path, wrong):
    with pytest.raises(ValueError, match="save: step must be an int, at least 0, got"):
        save(tmp_path, wrong, ARRAYS, {})


# ---- kills ------------------------------------------------------------------


@posix
def test_kills_at_random_moments_leave_every_checkpoint_readable(tmp_path):
    found = json.loads(python(Path(__file__).with_name("killed_saves.py"), tmp_path, KILLS, "whole"))
    assert found["saves"] > 0 and found["interrupted"] > 0, "the kills came at other moments"
    assert (found["unreadable"], found["lost"], found["wrong"]) == ([], [], [])


@posix
def test_the_same_kills_find_a_writer_without_a_temporary_file(tmp_path):
    found = json.loads(python(Path(__file__).with_name("killed_saves.py"), tmp_path, 40, "in_place"))
    assert found["unreadable"]


STAGES = ("open", "write", "fsync", "replace", "sync_directory")
AT_A_STAGE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from scratchattn import whole_file
from scratchattn.training import checkpoint

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

class Half:
    def __init__(self, file): self.file = file
    def write(self, data):
        self.file.write(bytes(data)[: len(data) // 2]), self.file.flush(), die()
    def __getattr__(self, name): return getattr(self.file, name)
    def __enter__(self): return self
    def __exit__(self, *error): self.file.close()

stage, directory = sys.argv[1:]
if stage == "open":
    whole_file.open = lambda *args: [open(*args), die()]
elif stage == "write":
    whole_file.open = lambda *args: Half(open(*args))
elif stage == "sync_directory":
    whole_file.sync_directory = die
else:
    setattr(os, stage, die)
checkpoint.save(Path(directory), 2, {"x": np.ones(9)}, {})
"""


@posix
@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_each_stage(tmp_path, stage):
    save(tmp_path, 1, {"x": np.zeros(9)}, {})
    assert run("-c", AT_A_STAGE, stage, tmp_path).returncode == -signal.SIGKILL
    renamed = stage == "sync_directory"
    assert newest(tmp_path).step == 1 + renamed
    assert len(whole_file.leftovers(tmp_path / "checkpoints")) == (not renamed)
    save(tmp_path, 3, {"x": np.zeros(9)}, {})
    assert names(tmp_path) == [f"step-0000000{step}.npz" for step in ([1, 2, 3] if renamed else [1, 3])]


def test_directories_that_are_made_are_synced_too(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(whole_file, "sync_directory", lambda directory: synced.append(directory.name))
    save(tmp_path / "runs" / "one", 1, ARRAYS, {})
    assert synced == [tmp_path.name, "runs", "one", "checkpoints"]
    save(tmp_path / "runs" / "one", 2, ARRAYS, {})
    assert synced[4:] == ["checkpoints"]


def test_an_exception_leaves_nothing_behind(tmp_path):
    (path,) = saved(tmp_path, 1)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), whole_file.replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == [path.name] and path.read_bytes() == before
