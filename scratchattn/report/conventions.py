"""The presets as a page: where each is from and what differs.  ``docs/conventions.md`` is written by

python -m scratchattn.report.conventions > docs/conventions.md
"""

import dataclasses

from ..conventions import PRESETS, variant_of
from ..models.dnc_start import DNCStart
from ..models.ntm_start import NTMStart
from ..nn.dnc_convention import DNCConvention
from ..nn.named_conventions import dnc_settings, ntm_settings
from ..nn.ntm_convention import NTMConvention
from ..op import REGISTRY

HEAD = """\
# Conventions of public implementations

Written by `python -m scratchattn.report.conventions > docs/conventions.md` from `scratchattn/conventions/`,
the variants of the ops, and the defaults of the cells; what is said to differ, differs from `smoothed`,
which is the default.

    model = NTM(inputs=9, outputs=8, convention="pytorch_ntm")
    ntm_step(x, state, weights, **ntm_settings("pytorch_ntm"))
    dnc_step(x, state, weights, **dnc_settings("deepmind_dnc"))
    op_params("pytorch_ntm", scratchattn.sharpening)

What the words mean: `NTMConvention`, `NTMStart`, `DNCConvention` and `DNCStart` for cells and starts, the
docstring of an op for its params. Outputs are logits, and how weights are initialised is ours, in all of
them. `interop.ntm.read_ntm` and `interop.dnc.read_dnc` load weights of those that are in PyTorch.
"""


def conventions_page():
    """The page, in Markdown."""
    rows = "".join(f"| {' | '.join(map(_cell, _row(chosen)))} |\n" for chosen in PRESETS.values())
    parts = [
        HEAD,
        "| preset | source | what differs in the NTM | in its start | in the DNC | in its start |\n"
        f"|---|---|---|---|---|---|\n{rows}",
        "## What each does besides, which no switch here does\n",
        _listed((name, "; ".join(chosen.not_covered)) for name, chosen in PRESETS.items()),
        "## Ops that have a variant for it\n",
        _listed((name, ", ".join(_ops(name))) for name in PRESETS),
    ]
    return "\n".join(parts)


def differing(kind, settings):
    """field -> value for those of ``settings`` that are not the default of the dataclass ``kind``."""
    default = kind()
    return {name: value for name, value in settings.items() if value != getattr(default, name)}


def _row(chosen):
    where = " at ".join(filter(None, (chosen.source, chosen.commit)))
    source = ": ".join(filter(None, (where, ", ".join(chosen.files))))
    ntm = start = dnc = dnc_start = None
    if chosen.ntm is not None:
        ntm = _told(differing(NTMConvention, ntm_settings(chosen.name)))
        start = _told(differing(NTMStart, dataclasses.asdict(NTMStart(**chosen.ntm_start))))
    if chosen.dnc is not None:
        dnc = _told(differing(DNCConvention, dnc_settings(chosen.name)))
        dnc_start = _told(differing(DNCStart, dict(chosen.dnc_start)))
    return f"`{chosen.name}`", source, ntm, start, dnc, dnc_start


def _told(settings):
    words = {name: _words(v) if type(v) is tuple else v for name, v in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in sorted(words.items())) or "nothing"


def _words(several):
    return " ".join(several) if len(several) < 4 else "its own"


def _cell(text):
    return "-" if text is None else text.replace("|", "\\|")


def _ops(name):
    return [op.name for op in sorted(REGISTRY.values(), key=lambda op: op.name) if variant_of(name, op)]


def _listed(pairs):
    return "".join(f"- `{name}`: {text}\n" for name, text in pairs if text)


if __name__ == "__main__":
    print(conventions_page(), end="")
