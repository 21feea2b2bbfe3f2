"""The verdict: what was found, as an object, a sentence, a table, Markdown, a page."""

import functools
import math
import time

from .guarded import attribute
from .questions import Refused, Unanswerable
from .tolerance import SIGMAS

FAR = 1e4  # sigma: nothing that far off in every case is near


class Report:
    """What ``verify`` returns.

    conforms    whether every case that was asked came out as the op says
    variant     the convention that it follows instead (or was held against on purpose); None
    distances   worst distance of each output and, as d<input>, of each gradient: from the variant that it
                follows, else from the op.  Up to 6 is what an honest program may lose
    cases       one entry for each question: case, seed, ok, outcome, what, distances, relative
    verdict     "conforms", "follows", "differs", "crashes" or "cannot be asked"
    nearest     (name, distance) of the nearest variant, where it differs; None
    variants    name -> {distance, failed, asked, params, same_as}, those that were tried
    not_asked   case -> why it was not
    misfits     what it did with arrays that do not fit
    lines       in low precision: bias and slope of all errors of an output or gradient, see ``aggregate``
    notes       what else is to be said
    """

    def __init__(self, op, function, framework, dtype, differentiates=True, variant=None):
        self.op, self.framework, self.dtype = op.name, framework, dtype
        self.function = _name(function)
        self.held_against = variant
        self.differentiates = differentiates
        self.conforms, self.variant, self.verdict, self.reason = False, variant, "", ""
        self.distances: dict = {}
        self.relative: dict = {}
        self.cases: list = []
        self.variants: dict = {}
        self.nearest: tuple | None = None
        self.not_asked: dict = {}
        self.misfits: list = []
        self.lines: dict = {}
        self.notes: list = []
        self.seconds = 0.0
        self.slowest = 0.0

    # ---- made by ``verify``

    def unsuitable(self, reason):
        self.verdict, self.reason = "cannot be asked", reason
        return self

    def leave_out(self, case, why):
        self.not_asked.setdefault(case, why)

    def take(self, question, answer, findings):
        """Enter what was found at one question; None if there was no truth to hold it against."""
        if isinstance(findings, Unanswerable):
            self.leave_out(question.label, str(findings))
            return None
        for note in sorted(answer.notes):
            self._note(note)
        for name, kind in answer.kinds.items():
            if kind == "float64" and question.dtype != "float64":
                self._note(f"answers {question.dtype} in float64 ({name})")
        losing = [name for name, f in findings.items() if f.loses]
        if losing:
            told = f"loses digits of {', '.join(losing)} in the case {question.label!r}"
            self._note(f"{told}, which is ill-conditioned by design")
        if question.kinked and self.differentiates:
            self._note("on a kink, where there is no derivative, outputs alone were judged")
        entry = {"case": question.label, "seed": question.seed, **_summed(findings)}
        for name in answer.altered:
            entry["ok"] = False
            entry["what"] = "; ".join([*filter(None, [entry["what"]]), f"changes its input {name}"])
        entry["outcome"] = "ok" if entry["ok"] else "differs"
        if answer.failure:
            entry.update(ok=False, outcome="crashes", what=answer.failure)
        self.cases.append(entry)
        self.slowest = max(self.slowest, answer.seconds)
        return entry

    def compare(self, names, params, held, refuting):
        """Enter how far the answers are from the convention called ``names``, which share ``params``.

        On a kink, where the last bit decides which way it goes, nothing refutes a convention.  One that is
        refused at a question that refutes the op itself (``refuting``: the ids of those), or that has
        nothing to say at any of them, is not it.
        """
        known = [(q, f) for q, f in held if not isinstance(f, Unanswerable)]
        decisive = [f for q, f in held if id(q) in refuting]
        silent = sum(isinstance(f, Refused) for f in decisive)
        if all(isinstance(f, Unanswerable) for f in decisive):
            silent = len(decisive)
        if not known:
            return
        summed = [_summed(findings) for _, findings in known]
        sharp = [(q, s) for (q, _), s in zip(known, summed) if not q.kinked] or list(
            zip([q for q, _ in known], summed)
        )
        distances, relative = _worst([s for _, s in sharp])
        self.variants[names[0]] = {
            "distance": max(distances.values(), default=math.inf),
            "failed": sum(not s["ok"] for _, s in sharp) + silent,
            "asked": len(sharp) + silent,
            "params": params,
            "same_as": names[1:],
            "distances": distances,
            "relative": relative,
            "differs_on": list(dict.fromkeys(q.label for (q, _), s in zip(known, summed) if not s["ok"])),
            "ties": list(
                dict.fromkeys(q.label for (q, _), s in zip(known, summed) if q.kinked and not s["ok"])
            ),
        }

    def fitting(self):
        """The variants that no answer refutes, most likely first.

        That is: with fewest answers against it at the inputs of other cases, where those were asked, and
        then the plainest, which differs from the op in fewest params.
        """
        known = [(v.get("against", 0), len(v["params"]), name) for name, v in self.variants.items()]
        order = list(self.variants)
        fit = [entry for entry in known if not self.variants[entry[2]]["failed"]]
        return [name for *_, name in sorted(fit, key=lambda entry: (*entry[:2], order.index(entry[2])))]

    def _tell_what_else_fits(self, fit):
        best = self.variants[fit[0]]
        alike = [name for name in fit[1:] if self.variants[name].get("against", 0) == best.get("against", 0)]
        if alike:
            self._note(f"cannot be told here from {', '.join(alike)}")
        if best["ties"]:
            self._note(f"where rounding decides it goes another way: {', '.join(map(repr, best['ties']))}")
        if best.get("against"):
            told = f"of {best['further']} inputs of other cases it differs from {fit[0]} on"
            self._note(f"{told} {', '.join(map(repr, best['against_on']))}")

    def closed(self, started):
        """Come to the verdict."""
        self.seconds = round(time.perf_counter() - started, 3)
        answered = [c for c in self.cases if c["outcome"] != "crashes"]
        self.distances, self.relative = _worst(answered)
        crashed = len(answered) < len(self.cases)
        if not self.cases:
            self.reason = self.reason or "none of the op's cases could be put to it"
            self.verdict = "cannot be asked"
            return self
        if not self.differentiates:
            self._note("no backward was given: outputs alone were judged")
        altered = any("changes its input" in c["what"] for c in self.cases)
        self.conforms = all(c["ok"] for c in self.cases) and all(line.ok for line in self.lines.values())
        fit = self.fitting() if not altered and any(not c["ok"] for c in answered) else []
        if fit:
            self.variant = fit[0]
            chosen = self.variants[self.variant]
            self.distances, self.relative = chosen["distances"], chosen["relative"]
            self._tell_what_else_fits(fit)
        elif self.variants and not self.conforms:
            best = min(self.variants.items(), key=lambda item: (item[1]["failed"], item[1]["distance"]))
            share = sum(c["outcome"] == "differs" for c in answered) / len(answered)
            ours, theirs = max(self.distances.values(), default=0.0), best[1]["distance"]
            # What differs in the last digits alone from how far off the op itself is says nothing.
            if theirs < min(0.1 * ours, FAR) or best[1]["failed"] / best[1]["asked"] <= 0.5 * share:
                self.nearest = best[0], theirs
        if self.dtype == "float64" and not self.conforms and not fit and _like_single(self.distances):
            self._note("all errors are within what float32 may lose: somewhere it seems to compute in that")
        followed = self.variant is not None and self.variant != self.held_against
        self.verdict = (
            "crashes" if crashed else "conforms" if self.conforms else "follows" if followed else "differs"
        )
        return self

    def _note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    # ---- read by people and programs

    def json(self):
        """What ``gradcheck verify --json`` prints: JSON has no infinity, so null stands for it."""
        return {
            "conforms": self.conforms,
            "variant": self.variant,
            "distances": self.distances,
            "cases": self.cases,
            "verdict": self.verdict,
            "op": self.op,
            "function": self.function,
            "framework": self.framework,
            "dtype": self.dtype,
            "sentence": self.sentence(),
            "relative": self.relative,
            "nearest": None if self.nearest is None else dict(zip(("variant", "distance"), self.nearest)),
            "variants": self.variants,
            "not_asked": self.not_asked,
            "misfits": self.misfits,
            "lines": {name: line.json() for name, line in self.lines.items()},
            "notes": self.notes,
            "seconds": self.seconds,
        }

    def sentence(self):
        from .wording import sentence

        return sentence(self)

    def __repr__(self):
        from .wording import text

        return text(self)

    def __bool__(self):
        return self.conforms

    def markdown(self):
        """The report to paste into a bug tracker."""
        from .wording import markdown

        return markdown(self)

    def html(self):
        """The report as one page of HTML that needs no other file."""
        from .wording import page

        return page(self)


def _summed(findings):
    """The findings of one question as one entry."""
    words = [f"{name} {f.words}" for name, f in findings.items() if f.words]
    far = [name for name, f in findings.items() if not f.ok and not f.words]
    if far:
        words.append(f"{', '.join(far)} beyond {SIGMAS} sigma")
    return {
        "ok": all(f.ok for f in findings.values()),
        "outcome": "",
        "what": "; ".join(words),
        "distances": {name: f.distance for name, f in findings.items() if not f.loses},
        "relative": {name: f.relative for name, f in findings.items() if not f.loses},
    }


def _worst(entries):
    """The largest distance and relative error of each name over ``entries``."""
    distances: dict = {}
    relative: dict = {}
    for entry in entries:
        for into, key in ((distances, "distances"), (relative, "relative")):
            for name, value in entry[key].items():
                into[name] = max(into.get(name, 0.0), value) if value == value else into.get(name, 0.0)
    return distances, relative


def _like_single(distances):
    """Whether float64 answers are as far off as float32 ones would be."""
    worst = max(distances.values(), default=0.0)
    return 2.0**20 < worst <= SIGMAS * 2.0**29


def _name(function):
    """How a person would call it: with its module, unless that is one that only a loader knows."""
    if isinstance(function, functools.partial):
        given = [*map(repr, function.args), *[f"{k}={v!r}" for k, v in function.keywords.items()]]
        return f"{_name(function.func)}({', '.join(given)})"
    module = attribute(function, "__module__") or "builtins"
    name = attribute(function, "__qualname__") or type(function).__qualname__
    public = all(part.isidentifier() and not part.startswith("_") for part in module.split("."))
    return f"{module}.{name}" if public and module != "builtins" else name
