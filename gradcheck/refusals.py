"""What an op refuses: params and inputs that are slightly or plainly wrong, and the words it has for them.

Nobody lists wrong calls; they are made from the cases, from the params' defaults and from the texts that the
functions compare with.  Looked at is only whether a call is refused and how, never what comes out.
"""

import ast
import copy
import linecache
from dataclasses import dataclass
from itertools import combinations, islice, product
from pathlib import Path

import numpy as np

import scratchattn

_NUMBERS = (-2, -1, 0, 1, 2, 3, 4, 5, -0.5, 0.5, 1.5, 1.0, 0.0, float("inf"), -1e-9, float("-inf"))
_OTHERS = (None, "nonsense", ("nonsense",), True, (True,), (), (1,), (0, 1), (1, 2), (2, -1), [0], (0.5, 0.5))
_KEYS: tuple = ((-1, -1), (0, -1), (1, 2, 3), (9,), (-9,), (0, 9), (0,) * 6, ..., (..., ...))
_KEYS += (slice(1, None), slice(None, None, -2))
_CALLS, _ALIKE, _TAKEN = 8000, 3, 20  # tried; kept: that are refused in the same words, that are taken
_STRANGE = ("an error that no check of ours raised", "nothing to compare with")
_PACKAGE = Path(scratchattn.__file__).parent


@dataclass(frozen=True)
class Refusal:
    """A call of the forward or of the rule of shapes, and its outcome: an error's type and words, or None."""

    inputs: tuple
    params: dict
    asked: str
    outcome: tuple | None

    def differs(self, version):
        """A word if ``version`` of the op refuses otherwise."""
        outcome = _outcome(version.made, self.asked, self.inputs, self.params)
        return None if outcome == self.outcome else "refusals"


def refusals(op, text):
    """Calls with inputs of a right kind and shape that the op takes or refuses in its own words."""
    found, seen, alike, ready, signature = [], set(), {}, {}, copy.copy(op._signature)
    if signature.shape_rule:  # is asked with the forward, as a part of it
        signature.output_shapes = lambda shapes, params: None
    cases = list(op.cases(np.random.default_rng(0)))
    for about, inputs, params in islice(_calls(op, text, cases), _CALLS):
        label = tuple(map(_label, inputs))
        if (again := (label, repr(params))) in seen:
            continue
        seen.add(again)
        if label not in ready:  # params change none of this
            ready[label] = _ready(signature, inputs, params)
        if (inputs := ready[label]) is None:
            continue
        for asked in ("shape_rule", "forward") if op.shape_rule else ("forward",):
            outcome = _outcome(op, asked, inputs, params, text.file)
            kind = about, asked, outcome
            alike[kind] = alike.get(kind, 0) + 1
            if outcome is not _STRANGE and alike[kind] <= (_ALIKE if outcome else _TAKEN):
                found.append(Refusal(inputs, params, asked, outcome))
    return sorted(found, key=lambda refusal: refusal.outcome is None)


def _ready(signature, inputs, params):
    """The inputs as the op gets them, or None if they are refused before it is asked."""
    try:
        return signature.check(signature.with_numbers_as_arrays(signature.complete(inputs)), params)
    except Exception:
        return None


def _outcome(made, asked, inputs, params, file=None):
    """What it raises, or None; if ``file`` is told, _STRANGE for an error that no check of ours raised."""
    if asked == "shape_rule":
        inputs = [None if x is None else tuple(x.shape) for x in inputs]
    try:
        getattr(made, asked)(*inputs, **params)
    except Exception as error:
        return (type(error).__name__, str(error)) if file is None or _ours(error, file) else _STRANGE
    return None


def _ours(error, file):
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    at = last.tb_frame.f_code.co_filename
    if at != file and not Path(at).is_relative_to(_PACKAGE):
        return False
    return "raise" in linecache.getline(at, last.tb_lineno)


def _calls(op, text, cases):
    """(what is varied, inputs, params), the simple ones first."""
    kind = lambda case: repr((case.params, [x is None for x in case.inputs]))
    settings = {kind(case): case for case in reversed(cases) if _full(case)}
    some = [*settings.values()][::-1][:16]
    words = _words(text, cases)
    for case in some:
        for inputs in _sizes(op, case.inputs):
            yield "sizes", inputs, case.params
        for i, x in enumerate(case.inputs):
            for other in _arrays(x):
                yield i, (*case.inputs[:i], other, *case.inputs[i + 1 :]), case.params
    for case in some:
        for name in {**op._params, **case.params}:
            known = case.params.get(name, op._params[name])
            for value in _values(known, words, [c.params[name] for c in cases if name in c.params]):
                yield name, case.inputs, {**case.params, name: value}
    texts = [name for name, value in op._params.items() if isinstance(value, str)]
    others = [name for name in op._params if name not in texts]
    for case, name, word, other, value in product(some[:2], texts, words, others, (0, -1)):
        yield (name, other), case.inputs, {**case.params, name: word, other: value}
    for case, (name, other) in product(some[:2], combinations(others, 2)):
        for values in product((0, -1), repeat=2):
            yield (name, other), case.inputs, case.params | dict(zip((name, other), values))


def _sizes(op, inputs):
    """The inputs cut to other sizes of one letter of the signature, or of the first axis of all."""
    arguments = op._signature._expected(len(inputs))
    letters = sorted({axis.letter for argument in arguments for axis in argument.axes or () if axis.letter})
    for letter in letters:
        for size in (0, 1, 2):
            yield tuple(_cut(x, argument, letter, size) for x, argument in zip(inputs, arguments))
    given = [i for i, x in enumerate(inputs) if x is not None]
    for i, j in combinations(given, 2):  # two and three do not broadcast
        copies = {i: 2, j: 3}
        yield tuple(np.stack([x] * copies[k]) if k in copies else x for k, x in enumerate(inputs))
    for size in (0, 1):
        yield tuple(x if x is None or np.ndim(x) == 0 else np.asarray(x)[:size] for x in inputs)


def _cut(x, argument, letter, size):
    if x is None or argument.axes is None:
        return x
    x = np.asarray(x)
    for place, axis in enumerate(reversed(argument.axes), 1):
        if axis.letter == letter and x.ndim >= place and not (axis.or_one and x.shape[-place] == 1):
            x = x[(..., slice(size * axis.factor), *[slice(None)] * (place - 1))]
    return x


def _full(case):
    return all(x is None or np.size(x) for x in case.inputs)


def _values(known, words, others):
    yield from others
    if isinstance(known, bool):
        yield from (not known, 1, None, "nonsense")
    elif isinstance(known, (int, float)):
        yield from (*_NUMBERS, None, "nonsense", True, (1, 2))
    elif isinstance(known, str):
        yield from (*words, "nonsense", None, 1)
    else:
        yield from (*_bent(known), *_NUMBERS, *_OTHERS, *_KEYS, *words)


def _bent(known):
    """A tuple too short, too long, and with one part of it wrong."""
    if isinstance(known, (tuple, list)) and known:
        yield from (known[:-1], (*known, known[-1]))
        for i, part in enumerate(known):
            for wrong in (-1, 0, None, 1.5, "nonsense", *_bent(part)):
                yield (*known[:i], wrong, *known[i + 1 :])


def _arrays(x):
    if x is None:
        return
    x = np.asarray(x)
    if x.dtype.kind == "b":
        yield from (~x, x | True, x & False)
    elif x.dtype.kind in "iu":
        yield from (x + 1, x - 1, x + 100, x - 100, -x, x * 0, x * 0 - 1)
    else:
        yield from (-x, x * 0, x * 0 + 1, x * 0 - 1, x + 1, x * 0.5, x * 0 + 2, x * np.nan)
    if x.ndim:
        yield from (
            x[..., :1],
            x[..., :0],
            x[:1],
            x[:0],
            x[0],
            x[None],
            x[..., None],
            x.reshape(-1),
            x.reshape(-1)[0],
        )
        yield from (np.concatenate([x, x]), np.concatenate([x, x], axis=-1), x[..., ::-1])


def _words(text, cases):
    """Texts that the functions compare with or choose from, and those of the cases."""
    words = {value for case in cases for value in case.params.values() if isinstance(value, str)}
    for name in text.mutated:
        for node in ast.walk(text.definition(name)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                words.add(node.value)
    return sorted(words)


def _label(x):
    if x is None:
        return None
    array = np.asarray(x)
    return type(x), array.dtype.str, array.shape, array.tobytes()
