"""The roof: the commands ``scratchattn`` and ``gradcheck``.

A verb is one file of this package and one word in ``VERBS``.  The file has

    add_parser(verbs)        make the verb's parser with ``verb.add`` and give it its arguments
    run(args, screen)        do it; talk through ``screen``; return (report, status)

``report`` is the object that ``--json`` prints, ``status`` 0 if all is well and 1 if a check or a
target failed.  Wrong use, found while running, raises ``verb.Misuse`` and ends with 2, as argparse
does.  A verb imports what it needs inside ``run``, so that ``--help`` is quick.
"""

import contextlib
import io
import json
import os
import sys
import time
from importlib import import_module

from .. import __version__
from .verb import Failed, Misuse, Parser, Screen, in_one_line, valid_json

VERBS = {
    "scratchattn": (
        "demo",
        "listing",
        "explain",
        "doctor",
        "train",
        "sweep",
        "evaluate",
        "show",
        "results",
        "bench",
        "data",
    ),
    "gradcheck": ("check", "errors", "mutate", "vectors", "verify"),
}
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
HESITATION = 3.0  # seconds
ABOUT = {
    "scratchattn": "Attention and memory written out: forward, backward, and the proof that they match.",
    "gradcheck": "Hold forward and backward against everything we know.",
}


def main(argv=None):
    """The command ``scratchattn``; returns the exit status."""
    if argv is None:
        pin_threads()
    return _run("scratchattn", argv)


def gradcheck_main(argv=None):
    """The command ``gradcheck``; returns the exit status."""
    return _run("gradcheck", argv)


def pin_threads():
    """Start the command again with one thread of linear algebra, unless the environment says how many.

    Small products are slower on many threads, and the number of threads is in the last bits of a product: a
    run that is resumed with another number is another run.  NumPy has read the environment by now: so anew.
    """
    if any(name in os.environ for name in THREADS) or "mpi4py" in sys.modules:
        return
    environment = os.environ | dict.fromkeys(THREADS, "1")
    os.execve(sys.executable, sys.orig_argv, environment)


def parser(command):
    """The argument parser of ``command`` with all its verbs."""
    top = Parser(prog=command, description=ABOUT[command])
    top.add_argument("--version", action="version", version=f"scratchattn {__version__}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in VERBS[command]:
        import_module(f"{__name__}.{name}").add_parser(verbs)
    return top


def _run(command, argv):
    """Of the processes of an MPI job the first one speaks.

    Another one that gives up leaves it the time to say why, and to end the job; if it does not, the fault is
    here alone, and said here.  What is raised is not caught: ``python -m mpi4py`` shows it and ends the job.
    """
    if "mpi4py" not in sys.modules or (rank := _rank()) == 0:
        return _performed(command, argv)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            status = _performed(command, argv)
    except SystemExit as refusal:  # of argparse
        status = refusal.code
    if status:
        time.sleep(HESITATION)
        print(f"process {rank}: {said.getvalue().strip()}", file=sys.stderr, flush=True)
    return status


def _rank():
    from ..training.mpi import rank_and_size

    return rank_and_size()[0]


def _performed(command, argv):
    args = parser(command).parse_args(argv)
    screen = Screen(silent=args.json)
    # With --json nothing but the object is on stdout, whatever a library may print on the way.
    quiet = contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext()
    try:
        with quiet:
            report, status = args.run(args, screen)
        if args.json:
            print(json.dumps(valid_json(report), allow_nan=False))
        sys.stdout.flush()
    except Misuse as wrong:
        screen.progress("")
        print(f"{command}: {in_one_line(wrong)}", file=sys.stderr)
        return 2
    except Failed as failure:
        screen.progress("")
        print(f"{command}: {in_one_line(failure)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        screen.progress("")
        print(f"{command}: {interrupt or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, ``head`` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as wrong:
        if wrong.filename is None:
            raise
        screen.progress("")
        print(f"{command}: {in_one_line(wrong)}", file=sys.stderr)
        return 2
    return status
