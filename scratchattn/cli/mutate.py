"""``gradcheck mutate``: change the ops' text in small ways and see whether the evidence notices."""

from ..op import REGISTRY
from . import lookup, verb
from .check import _cores, _one_blas_thread

_DESCRIPTION = """\
OP is the name of an op (all reference ops if none is given) or file.py:name.

Forward and backward, and what they use of their own module, are run with one thing exchanged at a time: an
operator, a constant, a comparison, an axis, a variable, an argument, a term or a statement left out.  What
no check tells from the op survives and is shown, unless gradcheck/equivalent_mutants.toml says why it
computes the same.  An entry there that is of no more use is stale.  Nothing is written, nothing is changed.

Listed mutants are asked for values and adjoints only, with --listed everything that the others are asked;
that takes minutes for all ops, and after a change of the list it is due for its ops.  The continuous
integration asks a sample so.

JSON keys: mutants, killed, equivalent (listed), survivors (op, file, function, line, before, after, key),
stale (op, key, why), ops (op, mutants, killed, equivalent, seconds of computing)."""


def add_parser(verbs):
    parser = verb.add(
        verbs, "mutate", run, "plant small errors and see that every one is found", _DESCRIPTION
    )
    parser.add_argument("ops", metavar="OP", nargs="*", help="an op's name, or file.py:name")
    parser.add_argument(
        "--sample", type=verb.whole(1), metavar="N", help="only N mutants of each op, drawn at random"
    )
    parser.add_argument("--seed", type=verb.whole(0), default=0, metavar="N", help="of the sample, 0")
    parser.add_argument("--listed", action="store_true", help="ask everything of listed equivalents too")
    parser.add_argument(
        "--jobs", type=verb.whole(1), metavar="N", help="processes (default: the cores, at most 4)"
    )


def run(args, screen):
    from gradcheck.mutation import mutate_all

    names = dict.fromkeys(args.ops or [name for name, op in sorted(REGISTRY.items()) if op.equals is None])
    ops = [lookup.op_named(name) for name in names]
    known = [op for op in ops if REGISTRY.get(op.name) is op]
    own = [op for op in ops if REGISTRY.get(op.name) is not op]  # only this process has loaded their file
    results = []
    width = max(len(op.name) for op in ops) + 1
    screen.say(
        screen.paint("dim", f"     {'op':{width}}{'mutants':>8}{'killed':>8}{'equal':>7}{'left':>6}{'s':>7}")
    )
    with _one_blas_thread():
        for group, processes in ((known, min(args.jobs or min(4, _cores()), len(known))), (own, 1)):
            for result in _judged(group, args, processes, mutate_all) if group else ():
                results.append(result)
                _say(result, width, screen)
                screen.progress(f"{len(results)} of {len(ops)}")
    report = {key: sum(result[key] for result in results) for key in ("mutants", "killed", "equivalent")}
    for key in ("survivors", "stale"):
        report[key] = [entry for result in results for entry in result[key]]
    kept = ("op", "mutants", "killed", "equivalent", "seconds")
    report["ops"] = [{key: result[key] for key in kept} for result in results]
    bad = len(report["survivors"]) + len(report["stale"])
    _say_summary(report, args, screen)
    return report, int(bad > 0)


def _judged(ops, args, processes, mutate_all):
    try:
        how = {"sample": args.sample, "seed": args.seed, "wholly": args.listed}
        yield from mutate_all(ops, processes=processes, **how)
    except (TypeError, ValueError) as wrong:
        if not str(wrong).startswith("mutate: "):
            raise
        raise verb.Misuse(str(wrong)) from wrong


def _say(result, width, screen):
    left, stale = result["survivors"], result["stale"]
    mark = screen.paint("red", "FAIL") if left or stale else screen.paint("green", "ok  ")
    numbers = f"{result['mutants']:8}{result['killed']:8}{result['equivalent']:7}{len(left):6}"
    screen.say(f"{mark} {result['op']:{width}}{numbers}{result['seconds']:7.1f}")
    for one in left:
        screen.say(f"       {one['file']}:{one['line']} in {one['function']}")
        screen.say(f"         - {one['before']}\n         + {one['after']}\n         key: {one['key']}")
    for one in stale:
        screen.say(f"       stale: {one['key']}: {one['why']}")


def _say_summary(report, args, screen):
    left, stale = len(report["survivors"]), len(report["stale"])
    told = report["mutants"] - report["equivalent"]
    verdict = screen.paint("red", f"{left} SURVIVED") if left else screen.paint("green", "none survived")
    if stale:
        verdict += ", " + screen.paint("red", f"{stale} listed equivalents are stale")
    drawn = f" drawn by seed {args.seed}" if args.sample else ""
    size = (
        f"{report['mutants']:,} mutants{drawn} of {len(report['ops'])} ops, {report['equivalent']} equivalent"
    )
    screen.say(f"{size}, {report['killed']:,} of {told:,} killed: {verdict}.")
