"""What the tests of checkpoints share: a few of them, and other processes."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import scratchattn
from scratchattn.training.checkpoint import save

ARRAYS = {"parameters": np.arange(5.0)}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(scratchattn.__file__).parents[1])}  # what we import
posix = pytest.mark.skipif(os.name != "posix", reason="forks, limits and links as Unix has them")


def names(directory):
    return sorted(path.name for path in (directory / "checkpoints").iterdir())


def saved(directory, *numbers):
    return [save(directory, step, ARRAYS, {"step was": step}) for step in numbers]


def run(*words):
    """Another process."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)


@contextmanager
def group(*command, environment=()):
    """A process in a group of its own, of which nothing is left at the end."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        list(map(str, command)), env=ENVIRONMENT | dict(environment), start_new_session=True, **pipes
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def python(*words):
    """What another process prints; this one's memory and limits stay as they are."""
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout
