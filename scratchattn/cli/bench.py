"""``scratchattn bench``: side-by-side timings, interleaved, in one process with one thread.

The cases are the files of ``benchmarks/`` in a clone that have ``BATCHES``.  Ours and the peers take turns,
one step each, round after round; CPU time, the median counts.  Gradients are compared in the same run.

A case has ``BATCHES``, ``PEERS``, ``SETTING``, ``ENGINE``, ``ours(batch)`` and ``peer(name, batch)``, which
return a function that makes one step, and ``gradient_error(name, batch)``.  One with several ``SETTINGS`` in
the place of ``SETTING`` takes one of them as the keyword ``setting``.  ``published_NAME.py`` adapts the clone
of a public repository: ``CASE``, ``peer(folder, batch)``, ``gradient_error(folder, batch)``.
"""

import functools
import json
import os
import subprocess
import sys
from importlib import import_module, metadata, util
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from ..refusals import nearest
from . import timing, verb

LIBRARIES = ("torch", "jax")
WHEN_ASKED = ("torch_compile",)  # it compiles for minutes
PUBLISHED = "published_"


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "bench",
        run,
        "time our steps against those of others, side by side",
        "Run inside a clone: the cases are the files of benchmarks/.  JSON keys: machine {blas,\n"
        "blas_architecture, threads}, rows [{case, batch, ours_ms, peer, peer_ms, ratio, rounds,\n"
        "gradient_error, setting, dtype, device, engine, ours_mib, peer_mib, peer_version}].  A ratio above\n"
        "one: we are faster.",
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names of cases; all without any")
    parser.add_argument(
        "--peers",
        help="comma-separated: torch_eager, or torch for all of PyTorch; none.  Without it those that are "
        "installed, but for torch_compile, which takes minutes to begin",
    )
    parser.add_argument(
        "--published", action="append", default=[], metavar="NAME=DIR",
        help="a clone of a public repository as a peer: pytorch_ntm=DIR; may be given again",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, action="append", help="a batch size; may be given again")
    parser.add_argument("--rounds", type=int, default=11)


class Peer(NamedTuple):
    """Who is compared with ours in a case."""

    name: str
    step: Any
    """A function of the batch size that makes one of no argument, which makes a step."""
    error: Any
    """A function of the batch size: how far its gradients are from ours."""
    version: str | None
    asked: bool
    """Whether somebody named it; else it is left out where it does not run."""


def run(args, screen):
    """In a child with one thread: the variables must be set before NumPy is imported."""
    from ..training.workers import another

    if args.rounds < 1:
        raise verb.Misuse(f"--rounds must be at least 1, got {args.rounds}")
    if any(batch < 1 for batch in args.batch or ()):
        raise verb.Misuse(f"--batch must be at least 1, got {min(args.batch)}")
    cases = {name: _load(name) for name in _chosen(args)}
    peers = _peers(cases, args)  # refused here and not in the child
    if os.environ.get("SCRATCHATTN_BENCH_CHILD") == "1":
        return {"machine": timing.machine(), "rows": list(_rows(cases, peers, args))}, 0
    words = [*args.cases, "--rounds", str(args.rounds), *(["--peers", args.peers] if args.peers else [])]
    words += [word for batch in args.batch or () for word in ("--batch", str(batch))]
    words += [word for each in args.published for word in ("--published", each)]
    command, environment = another("bench", *words, "--json")
    environment |= timing.ONE_THREAD | {"SCRATCHATTN_BENCH_CHILD": "1"}
    child = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    if child.returncode:
        raise verb.Failed(f"the timing process ended with {child.returncode}")
    report = json.loads(child.stdout)
    _say(report, screen)
    return report, 0


def _folder():
    return verb.in_a_clone("bench", "benchmarks/ntm_copy.py").parent


def _chosen(args):
    files = [path for path in _folder().glob("[a-z]*.py") if not path.stem.startswith(PUBLISHED)]
    known = sorted(path.stem for path in files if "\nBATCHES = " in path.read_text("utf-8"))
    for name in args.cases:
        if name not in known:
            raise verb.Misuse(
                f"no case is called {name!r}{nearest(name, known)}; there are {', '.join(known)}"
            )
    return args.cases or known


def _load(name):
    """The module of that name in ``benchmarks/``."""
    if (folder := str(_folder())) not in sys.path:
        sys.path.insert(0, folder)
    return import_module(name)


def _peers(cases, args):
    """case -> list of Peer: those asked for; without a wish, those whose library is installed."""
    found: dict[str, list[Peer]] = {name: [] for name in cases}
    known = list(dict.fromkeys(peer for case in cases.values() for peer in case.PEERS))
    words = None if args.peers is None else [word for word in args.peers.split(",") if word]
    for word in words or ():
        wanted = [peer for peer in known if word in (peer, peer.partition("_")[0])]
        if not wanted and word != "none":
            raise verb.Misuse(
                f"no peer is called {word!r}{nearest(word, known)}; there are {', '.join(known)}"
            )
        if missing := [library for library in map(_library, wanted) if library and not _installed(library)]:
            raise verb.Misuse(f"the peer {word} needs {missing[0]}: install scratchattn[peers]")
    for name, case in cases.items():
        for peer in case.PEERS:
            library = _library(peer)
            if words is None and (peer in WHEN_ASKED or (library and not _installed(library))):
                continue
            if words is None or peer in words or peer.partition("_")[0] in words:
                step, error = functools.partial(case.peer, peer), functools.partial(case.gradient_error, peer)
                version = metadata.version(library) if library else None
                found[name].append(Peer(peer, step, error, version, words is not None))
    for text in args.published:
        adapter, folder = _published(text, cases)
        step, error = (functools.partial(each, folder) for each in (adapter.peer, adapter.gradient_error))
        found[adapter.CASE].append(Peer("published", step, error, text.partition("=")[0], True))
    return found


def _library(peer):
    """The library that a peer needs, or None."""
    return next((library for library in LIBRARIES if peer.startswith(library)), None)


def _installed(library):
    return util.find_spec(library) is not None


def _published(text, cases):
    """(adapter, folder) of NAME=DIR."""
    name, equals, folder = text.partition("=")
    known = sorted(path.stem.removeprefix(PUBLISHED) for path in _folder().glob(f"{PUBLISHED}*.py"))
    if not equals or name not in known:
        raise verb.Misuse(f"--published takes NAME=DIR, NAME one of {', '.join(known)}, got {text!r}")
    if not Path(folder).is_dir():
        raise verb.Misuse(f"--published {name}: there is no directory {folder}")
    if not _installed("torch"):
        raise verb.Misuse(f"--published {name} needs torch: install scratchattn[peers]")
    adapter = _load(f"{PUBLISHED}{name}")
    if adapter.CASE not in cases:
        raise verb.Misuse(f"--published {name} goes with the case {adapter.CASE}")
    return adapter, Path(folder).resolve()


def _rows(cases, peers, args):
    if any((peer.name + (peer.version or "")).count("torch") for each in peers.values() for peer in each):
        import torch

        torch.set_num_threads(1)
    for name, case in cases.items():
        for one, others in _settings(case, peers[name]):
            for batch in args.batch or case.BATCHES:
                print(f"{name}, batch {batch}", file=sys.stderr, flush=True)
                yield from _case(name, one, batch, others, args.rounds)


def _settings(case, peers):
    """(a case of one setting, its peers) for each of the settings of ``case``."""
    if not hasattr(case, "SETTINGS"):
        return [(case, peers)]
    found = []
    for setting in case.SETTINGS:
        at = functools.partial(functools.partial, setting=setting)
        one = SimpleNamespace(SETTING=setting, ENGINE=case.ENGINE, BATCHES=case.BATCHES, ours=at(case.ours))
        found.append((one, [peer._replace(step=at(peer.step), error=at(peer.error)) for peer in peers]))
    return found


def _case(name, case, batch, peers, rounds):
    """A row for each of ``peers``; one without a peer where there is none."""
    steps = {None: case.ours(batch)}
    for peer in peers:
        try:
            step = peer.step(batch)
            step()
        except Exception as wrong:
            told = f"{name}: the peer {peer.name} does not run here: {type(wrong).__name__}: {wrong}"
            if peer.asked:
                raise verb.Failed(told) from wrong
            print(told, file=sys.stderr, flush=True)
        else:
            steps[peer] = step
    seconds = timing.interleaved(steps, rounds)
    mib = {who: timing.peak_mib(step) for who, step in steps.items()}
    facts = {
        "case": name, "batch": batch, "ours_ms": 1e3 * seconds[None], "rounds": rounds,
        "setting": case.SETTING, "dtype": "float32", "device": "cpu", "engine": case.ENGINE,
        "ours_mib": mib[None],
    }  # fmt: skip
    for peer in list(steps)[1:] or [None]:
        theirs = peer and {
            "peer": peer.name,
            "peer_ms": 1e3 * seconds[peer],
            "ratio": seconds[peer] / seconds[None],
            "gradient_error": peer.error(batch),
            "peer_mib": mib[peer],
            "peer_version": peer.version,
        }
        yield facts | (theirs or {"peer": None})


def _say(report, screen):
    facts = report["machine"]
    screen.say(
        f"{facts['blas']}, {facts['blas_architecture']} kernels, {facts['threads']} thread(s); "
        "CPU time, medians"
    )
    screen.say(
        f"{'case':18} {'engine':10} {'batch':>5} {'ours ms':>9}  {'peer':14} {'peer ms':>9} {'ratio':>6}  "
        "gradients differ by"
    )
    for row in report["rows"]:
        others = [each["setting"] for each in report["rows"] if each["case"] == row["case"]]
        own = [f"{k} {v}" for k, v in row["setting"].items() if any(other[k] != v for other in others)]
        case = " ".join([row["case"], *own])
        line = f"{case:18} {row['engine']:10} {row['batch']:5} {row['ours_ms']:9.2f}"
        if row["peer"]:
            line += (
                f"  {row['peer']:14} {row['peer_ms']:9.2f} {row['ratio']:6.2f}  {row['gradient_error']:.1e}"
            )
        screen.say(line)
