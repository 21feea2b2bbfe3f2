"""The presets as a page: where each is from and what differs.  ``docs/conventions.md`` is written by

python -m scratchattn.report.conventions > docs/conventions.md
"""

import dataclasses

from ..conventions import PRESETS, variant_of
from ..models import dnc_start, ntm_start
from ..models.dnc_start import DNCStart
from ..models.ntm_start import NTMStart
from ..nn import dnc_convention, ntm_convention
from ..nn.dnc_convention import PARTS, DNCConvention
from ..nn.named_conventions import DNC_NAMES, NTM_NAMES, dnc_settings, ntm_settings
from ..nn.ntm_convention import NTMConvention
from ..op import REGISTRY

# title, dataclass, the choices of its fields, name of a preset -> what it sets, names
SWITCHES = (
    ("NTM", NTMConvention, ntm_convention.CHOICES, ntm_settings, NTM_NAMES),
    ("start of an NTM", NTMStart, ntm_start.CHOICES, lambda name: PRESETS[name].ntm_start, NTM_NAMES),
    ("DNC", DNCConvention, dnc_convention.CHOICES, dnc_settings, DNC_NAMES),
    ("start of a DNC", DNCStart, dnc_start.CHOICES, lambda name: PRESETS[name].dnc_start, DNC_NAMES),
)

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
        *[_switches(*each) for each in SWITCHES],
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
        start = _told(differing(NTMStart, chosen.ntm_start))
    if chosen.dnc is not None:
        dnc = _told(differing(DNCConvention, dnc_settings(chosen.name)))
        dnc_start = _told(differing(DNCStart, chosen.dnc_start))
    return f"`{chosen.name}`", source, ntm, start, dnc, dnc_start


def _switches(title, kind, choices, settings, names):
    """Each field: its default, and every other value with the presets that have it."""
    lines = []
    for field in dataclasses.fields(kind):
        flags = (True, False) if type(field.default) is bool else ()
        who = {value: [] for value in choices.get(field.name, flags) if value != field.default}
        for name in names:
            value = settings(name).get(field.name, field.default)
            if value != field.default:
                who.setdefault(value, []).append(name)
        others = [f"{_word(v)} ({', '.join(have)})" if have else _word(v) for v, have in who.items()]
        lines.append((field.name, "; ".join([f"**{_word(field.default)}**", *others])))
    return f"## Switches of the {title}, the default first, and who has another\n\n{_listed(lines)}"


def _word(value):
    if value in (None, "", ()):
        return "none"
    return _words(value) if type(value) is tuple else str(value)


def _told(settings):
    words = {name: _words(v) if type(v) is tuple else v for name, v in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in sorted(words.items())) or "nothing"


def _words(several):
    if several == PARTS:
        return "the paper's"
    return " ".join(several) if len(several) < 4 else "its own"


def _cell(text):
    return "-" if text is None else text.replace("|", "\\|")


def _ops(name):
    return [op.name for op in sorted(REGISTRY.values(), key=lambda op: op.name) if variant_of(name, op)]


def _listed(pairs):
    return "".join(f"- `{name}`: {text}\n" for name, text in pairs if text)


if __name__ == "__main__":
    print(conventions_page(), end="")
