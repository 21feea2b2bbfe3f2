"""JSON that every reader accepts and that gives back what was written.

JSON has no NaN and no infinity.  Python would write them all the same, and other readers would stop
there; so each is written as null, and the key "non_finite" beside the facts says where and which:

    {"event": "train", "nats": null, "non_finite": [["nats", "inf"]]}

A reader that knows nothing of it sees a missing value; ``parsed`` puts the number back.
"""

import json
import math

KEY = "non_finite"
WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def plain(value, name):
    """``value`` in Python's dict, list, str, int, float, bool and None; numbers of NumPy become Python's.

    TypeError names the part that JSON cannot hold; ``name`` says whose it is.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                raise TypeError(f"{name}: keys must be str, got {key!r}")
        return {key: plain(part, f"{name}.{key}") for key, part in value.items()}
    if type(value) in (list, tuple):
        return [plain(part, f"{name}[{i}]") for i, part in enumerate(value)]
    raise TypeError(
        f"{name} must be None, bool, int, float, str, or a dict or list of those, got {type(value).__name__}"
    )


def written(facts):
    """One line of JSON for ``facts``, a dict that ``plain`` gave."""
    if KEY in facts:
        raise ValueError(f"the name {KEY!r} is taken: it says where numbers are not finite")
    found = []

    def finite(value, path):
        if type(value) is float and not math.isfinite(value):
            found.append([*path, repr(value)])
            return None
        if type(value) is dict:
            return {key: finite(part, [*path, key]) for key, part in value.items()}
        if type(value) is list:
            return [finite(part, [*path, i]) for i, part in enumerate(value)]
        return value

    facts = finite(facts, [])
    return json.dumps({**facts, KEY: found} if found else facts, allow_nan=False)


def parsed(text):
    """The facts in one line that ``written`` gave; ValueError says what is wrong with any other."""
    try:
        facts = json.loads(text, parse_constant=_refuse)
        if type(facts) is not dict:
            raise ValueError("it is no JSON object")
        for *path, last, word in facts.pop(KEY, ()):
            holder = facts
            for step in path:
                holder = holder[step]
            if holder[last] is not None:
                raise ValueError(f"{last!r} is said not to be finite and is {holder[last]!r}")
            holder[last] = WORDS[word]
    except (LookupError, TypeError) as wrong:
        raise ValueError(f"its list of numbers that are not finite is wrong: {wrong!r}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return facts


def _refuse(word):
    raise ValueError(f"{word} is no JSON")
