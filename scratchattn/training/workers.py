"""Runs in processes of their own, dealt out by this process, by joblib or by MPI.

Whoever deals them out, a run is the work of ``scratchattn train --resume DIRECTORY``, which begins it, goes
on with it or finds it finished.  So what kills a run kills no other, and every run has one thread of linear
algebra and the bits that it would have alone.

Where somebody trains in the directory of a run already (what outlived a killed sweep, another sweep), we wait
for the end of that.
"""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from ..whole_file import make_directory
from .run_directory import RunRefused, holds_run, locked, write_config

STOPPED = "stopped"  # why a run has not ended that was asked to


def by_processes(runs, jobs, ending):
    """Yield (number, why not ended, or None) of each of ``runs`` as they end, ``jobs`` of them at a time.

    ``runs``: a list of (directory, config).  Closed before its end, it asks those that run to save and end;
    once the event ``ending`` is set it begins no more.
    """
    children = set()
    pool = ThreadPoolExecutor(jobs)
    try:
        numbers = {pool.submit(perform, *run, children, ending): n for n, run in enumerate(runs)}
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    except BaseException:  # closed before its end is one too
        ending.set()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in list(children):
            child.terminate()
        pool.shutdown()


def by_joblib(runs, jobs, ending):
    """The same by joblib and the backend that the caller has chosen: its own, Dask's, Ray's."""
    try:
        from joblib import Parallel, delayed
    except ImportError as missing:
        raise ImportError("a sweep by joblib needs it: install scratchattn[cluster]") from missing
    work = (delayed(_numbered)(n, *run) for n, run in enumerate(runs))
    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(work)


def by_mpi(runs, jobs, ending):
    """The same by the processes of this MPI job: the first deals out, the others work; they yield nothing."""
    try:
        from mpi4py.futures import MPICommExecutor
    except ImportError as missing:
        raise ImportError("a sweep by MPI needs mpi4py: install scratchattn[mpi]") from missing
    with MPICommExecutor() as executor:
        if executor is None:  # this process has worked for the first until there was no more to do
            return
        try:
            numbers = {executor.submit(perform, *run): n for n, run in enumerate(runs)}
            for future in as_completed(numbers):
                yield numbers[future], future.result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _numbered(number, directory, config):
    return number, perform(directory, config)


def perform(directory, config, children=None, ending=None):
    """Bring the run in ``directory`` to its end, in a process of its own; returns why it has not, or None.

    A process that died (a kill, no memory left) is followed by one other, which goes on from the last
    checkpoint; one that gave up with an error is not.  ``children``: a set that holds the process while there
    is one.  ``ending``: an event that tells that no more is wanted.
    """
    directory, ending = Path(directory), ending or threading.Event()
    try:
        make_directory(directory)
        if not holds_run(directory):
            write_config(directory, config)
        for _ in range(2):
            _wait_until_free(directory, ending)
            if ending.is_set():
                return STOPPED
            status, said = _train(directory, set() if children is None else children, ending)
            if status >= 0:
                break
    except OSError as wrong:
        return f"{wrong.filename}: {wrong.strerror}"
    if status < 0:
        return STOPPED if ending.is_set() else f"killed by {signal.Signals(-status).name}, twice"
    return {0: None, 130: STOPPED}.get(status, said or f"exit status {status}")


def _train(directory, children, ending):
    """(exit status, last line on standard error) of the process that goes on with the run."""
    command, environment = another("train", "--resume", str(directory), "--json")
    child = subprocess.Popen(
        command, env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    children.add(child)
    try:
        if ending.is_set():
            child.terminate()
        said = child.communicate()[1]
    except BaseException:  # Ctrl-C, where this is no thread: the child saves, then we go
        child.terminate()
        child.wait()
        raise
    finally:
        children.discard(child)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return child.returncode, lines[-1].removeprefix("scratchattn: ") if lines else ""


def another(*words):
    """Command and environment of the same scratchattn as here, whatever lies in the working directory."""
    ours = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
    return [sys.executable, "-P", "-m", "scratchattn", *words], os.environ | {"PYTHONPATH": path}


def _wait_until_free(directory, ending):
    """Until nobody else trains in ``directory``, or no more is wanted."""
    while not ending.is_set():
        try:
            with locked(directory):
                return
        except RunRefused:
            ending.wait(0.2)


ENGINES = {"processes": by_processes, "joblib": by_joblib, "mpi": by_mpi}
