"""Checkpoints on disks that refuse: full, forbidden, links, directories and pipes in place of files."""

import os

import numpy as np
import pytest
from saving import ARRAYS, names, posix, python, saved

from scratchattn.training.archive import Damaged
from scratchattn.training.checkpoint import newest, save

LIMITED = """
import json, os, resource, sys
from pathlib import Path
import numpy as np
from scratchattn.training import checkpoint

directory = Path(sys.argv[1])
for value, step, limit in ((7.0, 1, resource.RLIM_INFINITY), (8.0, 1, 50_000), (9.0, 2, 50_000)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        checkpoint.save(directory, step, {"x": np.full(20_000, value)}, {})
        print("saved")
    except OSError as error:
        print(error)
"""


@posix
def test_a_full_disk_leaves_the_old_checkpoint_and_is_named(tmp_path):
    said = python("-c", LIMITED, tmp_path).splitlines()
    room = tmp_path / "checkpoints"
    assert said[0] == "saved" and len(said) == 3
    for line, name in zip(said[1:], ("step-00000001.npz", "step-00000002.npz"), strict=True):
        assert "File too large: it could not be written" in line and line.endswith(f"'{room / name}'")
    assert names(tmp_path) == ["step-00000001.npz"]
    assert (newest(tmp_path).arrays["x"] == 7).all()


FORBIDDEN = """
import os, sys
from pathlib import Path
import numpy as np
from scratchattn.training import checkpoint

os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgid(65534), os.setuid(65534)  # root may do everything
for attempt in (
    lambda: checkpoint.save(Path("run"), 2, {"x": np.zeros(3)}, {}),
    lambda: checkpoint.save(Path("other"), 2, {"x": np.zeros(3)}, {}),
    lambda: checkpoint.load(Path("run/checkpoints/step-00000001.npz")),
):
    try:
        attempt()
        print("done")
    except (OSError, ValueError) as error:
        print(type(error).__name__, error)
"""


@posix
def test_no_permission_is_said(tmp_path):
    (path,) = saved(tmp_path / "run", 1)
    for place, mode in ((path, 0), (path.parent, 0o555), (path.parent.parent, 0o555), (tmp_path, 0o555)):
        place.chmod(mode)
    try:
        write, make, read = python("-c", FORBIDDEN, tmp_path).splitlines()
    finally:
        for place in (tmp_path, path.parent.parent, path.parent, path):
            place.chmod(0o755)
    assert write.startswith("PermissionError") and "could not be written" in write
    assert write.endswith("'run/checkpoints/step-00000002.npz'")
    assert make.startswith("PermissionError") and make.endswith("'other'")
    assert read.startswith(
        "Damaged run/checkpoints/step-00000001.npz: it cannot be read: Permission denied; "
    )
    assert newest(tmp_path / "run").step == 1


@posix
def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path):
    (path,) = saved(tmp_path, 1)
    elsewhere = path.rename(tmp_path / "elsewhere.npz")
    before = elsewhere.read_bytes()
    path.symlink_to(elsewhere)
    assert newest(tmp_path).step == 1
    save(tmp_path, 1, {"x": np.ones(3)}, {})
    assert not path.is_symlink() and elsewhere.read_bytes() == before
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(Damaged, match="it cannot be read"):
        newest(tmp_path)


@posix
def test_the_room_may_be_a_link_to_another_disk(tmp_path):
    (tmp_path / "big disk").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "big disk")
    saved(tmp_path / "run", 1)
    assert newest(tmp_path / "run").step == 1 and (tmp_path / "big disk" / "step-00000001.npz").is_file()


def test_what_is_no_file_is_neither_replaced_nor_read(tmp_path):
    room = tmp_path / "checkpoints"
    (room / "step-00000001.npz" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="could not be written"):
        save(tmp_path, 1, ARRAYS, {})
    assert names(tmp_path) == ["step-00000001.npz"]
    with pytest.raises(Damaged, match="it is a directory or a device, not a file"):
        newest(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(room / "step-00000002.npz")  # opening it would wait for ever
        with pytest.raises(Damaged, match="it is a directory or a device"):
            newest(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        save(tmp_path / "file", 1, ARRAYS, {})
