"""``scratchattn explain NAME``: derivation, shapes, worked numbers, where the code is, what holds."""

import inspect
import textwrap

from ..op import REGISTRY
from ..refusals import nearest
from ..training import user_file
from . import catalogue, lookup, verb

SEED = 0
NAMES = "; 'scratchattn list' names ops, models and tasks"


def add_parser(verbs):
    parser = verb.add(
        verbs,
        "explain",
        run,
        "explain one mechanism: derivation, shapes, worked numbers, code, evidence",
        "Of an op, JSON keys: name, signature, source, docstring, evidence (one object per check: check,\n"
        "claim, comparisons, error, tolerance, ok), files, params, variants, worked.  Of a model, a task or\n"
        "training, the settings of a training: settings (name, type, default, docstring).\n"
        "Exit status 1 if a check fails.",
    )
    parser.add_argument("name", metavar="NAME", help="an op, a model, a task, file.py:name, or training")


def run(args, screen):
    if args.name not in REGISTRY:
        settled = {e["name"]: e for room in ("models", "tasks") for e in catalogue.room(room)}
        settled["training"] = catalogue.training()
        if entry := settled.get(args.name) or catalogue.own(args.name):
            return _explain_settings(entry, screen), 0
        if not user_file.split(args.name):
            hint = nearest(args.name, sorted({*settled, *REGISTRY}))
            raise verb.Misuse(f"nothing is called {args.name!r}{hint or NAMES}")
    op = lookup.op_named(args.name)
    report = {
        "name": op.name,
        "signature": op.signature,
        "source": catalogue.op_entry(op)["source"],
        "docstring": docstring(op),
        "evidence": [],
        "files": {part: catalogue.place(getattr(op, part)) for part in ("forward", "backward")},
        "params": dict(op._params),
        "variants": [{"name": v.name, "params": v.params, "source": v.source} for v in op.variants],
        "worked": worked(op),
    }
    if op.loops is not None:
        report["files"]["loops"] = catalogue.place(op.loops)
    _say(report, screen)
    report["evidence"], note = evidence(op)
    _say_evidence(report["evidence"], note, screen)
    report["note"] = note
    return report, int(not all(row["ok"] for row in report["evidence"]))


def docstring(op):
    """The derivation: the text of the op's file, and of its forward where the file holds several ops."""
    parts = [catalogue.module_of(op).__doc__, op.forward.__doc__]
    return "\n\n".join(inspect.cleandoc(part) for part in parts if part)


def worked(op):
    """The first case in numbers: inputs, outputs, and gradients at a random cotangent of the outputs."""
    import numpy as np

    from gradcheck.subject import Subject

    case = next(iter(op.cases(np.random.default_rng(SEED))), None)
    if case is None:
        return None
    subject = Subject(op, case)
    out, pullback = subject.vjp()
    rng = np.random.default_rng(SEED + 1)
    cotangents = [rng.normal(size=y.shape) for y in out]
    names = [argument.name for argument in op._signature._expected(len(case.inputs))]
    return {
        "case": case.label,
        "params": case.params,
        "inputs": dict(zip(names, case.inputs)),
        "outputs": dict(zip(subject.outputs, out)),
        "cotangents": dict(zip(subject.outputs, cotangents)),
        "gradients": dict(zip(subject.names, pullback(*cotangents))),
    }


def evidence(op):
    """Each check on all cases of ``op`` with one seed: its claim and the comparison nearest to failing."""
    from gradcheck.evidence import CHECKS, check

    try:
        results, note = check(op, seed=SEED), ""
    except ImportError as missing:
        return [], f"not checked: {missing}; install mpmath, or all of the extra scratchattn[test]"
    claims = {test.__name__: catalogue.first_sentence(test.__doc__) for test in CHECKS}
    rows = []
    for name in dict.fromkeys(result["check"] for result in results):
        mine = [result for result in results if result["check"] == name]
        worst = max(mine, key=lambda r: (not r["ok"], r["error"] / r["tolerance"] if r["tolerance"] else 0.0))
        rows.append(
            {
                "check": name,
                "claim": claims.get(name, ""),
                "cases": len({result["case"] for result in mine}),
                "comparisons": len(mine),
                "case": worst["case"],
                "what": worst["what"],
                "error": worst["error"],
                "tolerance": worst["tolerance"],
                "ok": worst["ok"],
            }
        )
    if op.excused:
        note = f"excused, for the reason in the docstring: {', '.join(sorted(op.excused))}"
    return rows, note


def _explain_settings(entry, screen):
    """A model, a task or training: what its file says, its settings; the evidence is that of its ops."""
    screen.say(f"{screen.paint('bold', entry['name'])}   {entry['signature']}\n\n{entry['docstring']}")
    screen.say(f"\n{screen.paint('bold', 'Settings, for --set NAME=VALUE')}")
    for each in entry["settings"]:
        default = "" if each["default"] is None else f" = {each['default']}"
        screen.say(f"  {each['name']}: {each['type']}{default}")
        for line in textwrap.wrap(each["docstring"], 100):
            screen.say(f"      {line}")
    screen.say(f"\n{screen.paint('bold', 'Code')}\n  {entry['file']}")
    return {**entry, "evidence": []}


def _say(report, screen):
    def title(text):
        screen.say(f"\n{screen.paint('bold', text)}")

    screen.say(f"{screen.paint('bold', report['name'])}   {report['signature']}")
    screen.say(report["docstring"])
    title("Code")
    for part, where in report["files"].items():
        screen.say(f"  {part:9} {where}")
    if report["params"]:
        title("Parameters and their defaults")
        for name, default in report["params"].items():
            screen.say(
                f"  {name} = {default if default is not inspect.Parameter.empty else '(must be given)'}"
            )
    if report["variants"]:
        title("Variants: what public implementations do")
        for variant in report["variants"]:
            settings = ", ".join(f"{name}={value!r}" for name, value in variant["params"].items())
            source = screen.paint("dim", variant["source"])
            screen.say(f"  {variant['name']}: {settings or 'the defaults'}   {source}")
    worked = report["worked"]
    if worked:
        settings = "".join(f", {name}={value!r}" for name, value in worked["params"].items())
        title(f"Worked numbers: {worked['case']}{settings}")
        for word in ("inputs", "outputs", "cotangents", "gradients"):
            for name, array in worked[word].items():
                mark = {"cotangents": "g(", "gradients": "g("}.get(word, "")
                _say_array(screen, f"{mark}{name}{')' * bool(mark)}", array, "given" * (word == "cotangents"))


def _say_array(screen, name, array, remark):
    import numpy as np

    if array is None:
        screen.say(f"  {name} = None")
        return
    shape = "x".join(map(str, np.shape(array))) or "a number"
    text = np.array2string(
        np.asarray(array),
        formatter={"float_kind": lambda x: f"{x:9.4g}"},
        threshold=120,
        max_line_width=100,
        prefix="    ",
    )
    screen.say(f"  {name}   {screen.paint('dim', f'{shape} {remark}'.rstrip())}\n    {text}")


def _say_evidence(rows, note, screen):
    screen.say(f"\n{screen.paint('bold', 'Evidence: run now, the comparison nearest to its bound')}")
    for row in rows:
        mark = screen.paint("green", "ok  ") if row["ok"] else screen.paint("red", "FAIL")
        claim = f"{row['check'].replace('_', ' ')}"
        bound = (
            f"{row['error']:.0e} of {row['tolerance']:.0e}"
            if row["tolerance"]
            else ("exact" if row["ok"] else "")
        )
        screen.say(f"  {mark} {claim:42} {bound:16} {row['comparisons']:4} comparisons, {row['cases']} cases")
        if not row["ok"]:
            screen.say(f"       {row['case']}: {row['what']}")
    if note:
        screen.say(f"  {note}")
