"""Hold an answer against the truth, entry by entry, in units of what an honest program may lose.

The distance of an entry is 6 |found - truth| / (6 sigma + 1 unit in its last place): an honest answer stays
within 6.  Where sigma is more than a few units that is the error in sigma; where it is nothing, as for
numbers that are only copied, six times the error in units.

In a case that is ill-conditioned by design (logits of ten thousand, a mean of a million) a gradient may be
farther off and is then said to lose digits, no more: there the constants of an algorithm decide (flash
attention takes its weights from a rounded log_sum_exp), and 6 sigma of one text say little about another's.
Outputs are held to it everywhere.
"""

import math

import numpy as np

from .rounding import underflow, unit_in_the_last_place
from .tolerance import SIGMAS


class Finding:
    """What is to be said of one output or gradient: its ``distance``, its relative error, and words."""

    def __init__(self, distance, relative=math.nan, words=""):
        self.distance, self.relative, self.words = float(distance), float(relative), words
        self.ok = self.distance <= SIGMAS and not words
        self.loses = False  # digits, in a case that is ill-conditioned by design


def judge(answer, question, truth, sigma):
    """Findings by name: outputs first, then d<input> for gradients."""
    findings = {}
    for name, y in answer.outputs.items():
        kind = answer.kinds[name]
        findings[name] = _compared(y, kind, truth.get(name), sigma.get(name), question.dtype, is_output=True)
    if answer.gradients is None or question.kinked:
        return findings
    for name, g in answer.gradients.items():
        key = f"d{name}"
        if g is None:
            if abs(truth[key]).max(initial=0.0) > 0:
                findings[key] = Finding(math.inf, 1.0, "there is no gradient (None)")
            else:
                findings[key] = Finding(0.0, 0.0)
        else:
            finding = _compared(g, answer.kinds[key], truth[key], sigma[key], question.dtype)
            if question.ill_conditioned and not finding.words and not finding.ok:
                finding.ok = finding.loses = True
            findings[key] = finding
    return findings


def _compared(found, kind, truth, sigma, dtype, is_output=False):
    if truth is None:
        return Finding(math.inf, words="no such output")
    if "float" not in kind:
        return Finding(math.inf, words=f"is of {kind}, {dtype} expected")
    if found.ndim < truth.ndim and found.shape == truth.shape[truth.ndim - found.ndim :] and is_output:
        found = np.broadcast_to(found, truth.shape)  # batch axes that do not matter may be left out
    if found.shape != truth.shape:
        return Finding(math.inf, words=f"has the shape {found.shape}, {truth.shape} expected")
    if not truth.size:
        return Finding(0.0, 0.0)
    found = found.astype(float)
    error = abs(found - truth)
    largest = abs(truth).max()
    largest = largest if largest > underflow(dtype) else 1.0  # what is nothing has no relative error
    words = ""
    if np.isnan(found).any():
        words = f"is NaN in {int(np.isnan(found).sum())} of {found.size} places"
    elif not np.isfinite(found).all():
        words = f"is infinite in {int(np.isinf(found).sum())} of {found.size} places"
    if words:
        return Finding(math.inf, math.inf, words)
    allowed = SIGMAS * sigma + unit_in_the_last_place(truth, dtype) + underflow(dtype)
    with np.errstate(over="ignore"):
        distance = float((SIGMAS * error / allowed).max())
        relative = float(error.max() / largest)
    return Finding(distance, relative, _downcast(kind, dtype))


def _downcast(kind, dtype):
    bits = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}
    lost = kind in bits and bits[kind] < bits[dtype]
    return f"was cast down: {kind} for {dtype}" if lost else ""
