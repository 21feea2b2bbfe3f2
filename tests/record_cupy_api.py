"""Write down what CuPy looks like, for machines that have none.

    python tests/record_cupy_api.py          writes tests/recorded_cupy_api.json

CuPy imports without a GPU, so names, signatures and the dtypes of its ufuncs can be read anywhere.
``recorded_cupy.py`` gives NumPy this surface; ``test_portability.py`` asks whether it is still true.
"""

import inspect
import json
import re
from pathlib import Path

RECORD = Path(__file__).with_name("recorded_cupy_api.json")


def record():
    """The surface of the installed CuPy: functions, ufuncs, attributes; methods, properties, operators.

    ``synchronising`` are the functions whose own documentation says that they wait for the device.
    """
    import cupy

    functions, ufuncs, attributes, synchronising = {}, {}, [], []
    for name in sorted(n for n in dir(cupy) if not n.startswith("_")):
        thing = getattr(cupy, name)
        if inspect.ismodule(thing):
            continue
        if type(thing) is type(cupy.add):
            types = [t for t in thing.types if "E" not in t]  # bfloat16, there only beside ml_dtypes
            ufuncs[name] = {"inputs": thing.nin, "outputs": thing.nout, "types": types}
        elif callable(thing) and not isinstance(thing, type):
            functions[name] = _signature(thing)
            if re.search(r"(may|performs device) synchroni", thing.__doc__ or ""):
                synchronising.append(name)
        else:
            attributes.append(name)
    methods, properties, operators = {}, [], []
    for name in sorted(dir(cupy.ndarray)):
        thing = getattr(cupy.ndarray, name)
        if name.startswith("__"):
            operators.append(name)
        elif name.startswith("_"):
            continue
        elif callable(thing):
            methods[name] = _documented_signature(name, thing)
        else:
            properties.append(name)
    return {
        "version": cupy.__version__,
        "functions": functions,
        "synchronising": synchronising,
        "ufuncs": ufuncs,
        "attributes": attributes,
        "methods": methods,
        "properties": properties,
        "operators": operators,
    }


def _signature(function):
    """The parameters as one line, defaults left out: "a, axis=, *, copy="; None if they cannot be read."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    words, previous = [], None
    for p in parameters:
        if previous is p.POSITIONAL_ONLY and p.kind is not p.POSITIONAL_ONLY:
            words.append("/")
        if p.kind is p.KEYWORD_ONLY and previous not in (p.KEYWORD_ONLY, p.VAR_POSITIONAL):
            words.append("*")
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        words.append(f"{stars}{p.name}{'' if p.default is p.empty else '='}")
        previous = p.kind
    if previous is inspect.Parameter.POSITIONAL_ONLY:
        words.append("/")
    return ", ".join(words)


def _documented_signature(name, method):
    """The same for a compiled method, which carries its signature in the first line of its docstring."""
    match = re.match(rf"\w+\.{name}\(self(?:, )?(.*?)\)(?: ->|\n|$)", method.__doc__ or "")
    if not match:
        return None
    words = [re.sub(r"=.*", "=", word).split()[-1] for word in match[1].split(", ") if word]
    return ", ".join(words)


if __name__ == "__main__":
    RECORD.write_text(json.dumps(record(), indent=1) + "\n", encoding="utf-8")
    print(f"written: {RECORD}")
