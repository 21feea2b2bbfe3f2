"""Runs that are killed at random moments, resumed: ``killed_runs.py DIRECTORY KILLS`` prints what it found.

A process of its own, since it forks: each child trains, resuming, until it is killed or has finished.  Runs
follow one another until there were enough kills; each ends in the bits of the run that nobody killed.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from scratchattn.models import NTM
from scratchattn.tasks import Copy
from scratchattn.training import Damaged, Settings, newest, read_log, train

TASK = Copy(bits=2, shortest=1, longest=4)
MODEL = NTM(TASK.inputs, TASK.outputs, rows=6, width=3, units=5)
SETTINGS = Settings(
    steps=200, batch=2, shards=2, log_every=7, eval_every=40, eval_batches=1, eval_batch=3,
    checkpoint_every=9, learning_rate=1e-3, keep=3,
)  # fmt: skip


def killed(directory, moment):
    """Train in a child until ``moment`` seconds have gone; whether it was killed before it had finished."""
    child = os.fork()
    if not child:
        status = 1
        try:
            train(MODEL, TASK, SETTINGS, directory, resume=True, quiet=True)
            status = 0
        finally:
            os._exit(status)  # not a second copy of what follows
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child ended by itself, with an error"
    return os.WIFSIGNALED(status)


def ended(directory):
    """Digest of the last parameters, and the log without times and resumptions."""
    found = newest(directory)
    digest = hashlib.sha256(b"".join(found.arrays[name].tobytes() for name in sorted(found.arrays)))
    events = [e for e in read_log(directory / "log.jsonl") if e["event"] != "resumed"]
    return digest.hexdigest(), [{k: v for k, v in e.items() if k != "seconds"} for e in events]


def main(directory, kills):
    train(MODEL, TASK, SETTINGS, directory / "whole", quiet=True)
    whole, chance = ended(directory / "whole"), random.Random(0)
    started = time.perf_counter()
    train(MODEL, TASK, SETTINGS, directory / "timed", quiet=True)
    seconds = time.perf_counter() - started
    found = {"kills": 0, "runs": 0, "unreadable": [], "other_bits": 0, "other_log": 0}
    while found["kills"] < kills:
        run = directory / f"run-{found['runs']}"
        while killed(run, chance.uniform(0, seconds / 3)):
            found["kills"] += 1
            try:
                newest(run)
            except Damaged as wrong:
                found["unreadable"].append(str(wrong))
        bits, log = ended(run)
        found["runs"] += 1
        found["other_bits"] += bits != whole[0]
        found["other_log"] += log != whole[1]
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
