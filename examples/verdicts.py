"""Verdicts on the field: public implementations held against the reference, as a table in Markdown.

    python examples/verdicts.py DIR [NAME...]        NAME: only these repositories

DIR holds clones by the names of their repositories; what is not there is skipped, and said so.  Needs
PyTorch, and einops for flash-attention.  ``verdicts_*.py`` beside this file import what is there.
"""

import importlib
import re
import subprocess
import sys
import warnings
from pathlib import Path

import gradcheck

CLONES = {  # folder: who wrote it, the adapters
    "pytorch-ntm": ("loudinthecloud", "verdicts_ntm.pytorch_ntm", "verdicts_ntm_step.ntm_step"),
    "pytorch-dnc": ("ixaxaar", "verdicts_dnc.pytorch_dnc", "verdicts_dnc_step.pytorch_dnc_step"),
    "dnc": ("RobertCsordas", "verdicts_csordas.dnc", "verdicts_csordas_step.csordas_step"),
    "adaptive-computation-time-pytorch": ("zphang", "verdicts_act.act_pytorch"),
    "flash-attention": ("Dao-AILab", "verdicts_attention.flash_attention"),
    "annotated-transformer": ("harvardnlp", "verdicts_annotated.annotated_transformer"),
    "nanoGPT": ("karpathy", "verdicts_nanogpt.nano_gpt"),
}
PYTORCH = "pytorch"  # needs no clone
HEAD = "| repository | commit | what of it | against | dtype | verdict |\n|---|---|---|---|---|---|"


def listed(adapter, folder):
    """The rows of one adapter, ``module.function``."""
    module, function = adapter.split(".")
    return getattr(importlib.import_module(module), function)(folder)


def commit(folder):
    """What is checked out in a clone; of what is no clone, "unknown"."""
    asked = ["git", "-C", str(folder), "rev-parse", "--short=8", "--show-toplevel", "HEAD"]
    told = subprocess.run(asked, capture_output=True, text=True).stdout.split()
    return told[1] if len(told) == 2 and Path(told[0]) == folder.resolve() else "unknown"


def verdict(row, dtype):
    """The Report on one row."""
    return gradcheck.verify(row.function, row.op(), framework="torch", dtype=dtype, **row.options)


def told(report):
    """The verdict in a cell of the table: the report's sentence, how far off at worst, what it remarks."""
    sentence = report.sentence().removeprefix(report.function).strip().partition(", not the default")[0]
    sentence = re.sub(r" \(line \d+: [^;]*", "", sentence)  # that line is the adapter's
    worst = max(report.distances, key=report.distances.get, default=None)
    if worst is not None and report.verdict in ("differs", "crashes"):
        far, relative = report.distances[worst], report.relative[worst]
        sentence += f" (worst {worst}: {far:.2g} sigma, {relative:.1g} relative)"
    asked = len({case["case"] for case in report.cases})
    return "; ".join([sentence, f"{asked} cases", *report.notes]).replace("|", "\\|").replace("\n", " ")


def main(where, *names):
    """Print the table and return the exit status: 0, or 1 if not one repository was there."""
    unknown = [name for name in names if name not in (*CLONES, PYTORCH)]
    if unknown or not where.is_dir():
        print(f"verdicts: no such repository or folder: {(*unknown, where)[0]}", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")  # they use what PyTorch has deprecated since
    print(HEAD, flush=True)
    seen = 0
    for name in names or (*CLONES, PYTORCH):
        folder = where / name
        if name in CLONES and not folder.is_dir():
            print(f"not there, skipped: {name} ({CLONES[name][0]}/{name})", file=sys.stderr)
            continue
        if name == PYTORCH and not (seen or names):
            break
        seen += 1
        owner, *adapters = CLONES.get(name, ("", "verdicts_torch.pytorch"))
        for adapter in adapters:
            try:
                rows = listed(adapter, folder)
            except (ImportError, OSError, KeyError, AttributeError) as reason:
                print(f"cannot be asked: {name}: {type(reason).__name__}: {reason}", file=sys.stderr)
                continue
            import torch

            whose = ("PyTorch", torch.__version__) if name == PYTORCH else (f"{owner}/{name}", commit(folder))
            for row in rows:
                for dtype in row.dtypes:
                    report = verdict(row, dtype)
                    cells = *whose, row.what, report.op, dtype, told(report)
                    print("| " + " | ".join(cells) + " |", flush=True)
    return 0 if seen else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
