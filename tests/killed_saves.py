"""Saves that are killed at random moments: ``killed_saves.py DIRECTORY KILLS WRITER`` prints what was found.

A process of its own, since it forks: each child saves checkpoints as fast as it can and tells each that
is done, until it is killed; then everything that lies there is read.  WRITER "in_place" is the planted
error, a writer without a temporary file.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from scratchattn.training import archive, checkpoint
from scratchattn.whole_file import leftovers

KEEP = 3
SIZE = 3 * 17_162


def arrays_of(step):
    return {"parameters": np.arange(step, step + SIZE, dtype="float32"), "step": np.array(step)}


@contextmanager
def in_place(path):
    with open(path, "wb", buffering=0) as file:
        yield file


def save_for_ever(directory, step, told):
    while True:
        step += 1
        checkpoint.save(directory, step, arrays_of(step), {"twice": 2 * step})
        os.write(told, step.to_bytes(8, "little"))
        checkpoint.prune(directory, KEEP)


def killed(directory, step, saves, moment):
    """The last step that the child said was done: it is killed a ``moment`` after so many ``saves``."""
    heard, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            save_for_ever(directory, step, told)
        finally:
            os._exit(1)  # not a second copy of what follows
    os.close(told)
    with open(heard, "rb") as said:
        steps = said.read(8 * saves)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        steps += said.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"
    return int.from_bytes(steps[-8:], "little") if steps else step


def main(directory, kills, writer):
    if writer == "in_place":
        archive.replacing = in_place
    chance, step = random.Random(0), 0
    found = {"saves": 0, "interrupted": 0, "unreadable": [], "lost": [], "wrong": []}
    for _ in range(kills):
        done = killed(directory, step, chance.randrange(3), chance.uniform(0, 0.01))
        found["interrupted"] += bool(leftovers(directory / checkpoint.ROOM))
        whole = [0]
        for number, path in checkpoint.steps(directory):
            try:
                loaded = checkpoint.load(path)
            except archive.Damaged as wrong:
                found["unreadable"].append(str(wrong))
                path.unlink()
                continue
            whole.append(number)
            right = all((loaded.arrays[name] == x).all() for name, x in arrays_of(number).items())
            if not right or loaded.facts != {"twice": 2 * number} or loaded.step != number:
                found["wrong"].append(number)
        if whole[-1] < done:
            found["lost"].append(done)
        found["saves"] += done - step
        step = max(done, whole[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
