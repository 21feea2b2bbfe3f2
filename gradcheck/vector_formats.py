"""Golden vectors and answers as bytes: npz, JSON with hexadecimal floats, safetensors.

The same document gives the same bytes: no dates, no compression, one order.  Nothing that is read can
execute code.  In memory a case holds arrays, and of a true result hi, lo and the two sigmas; docs/vectors.md
describes what becomes of them in each format.
"""

import io
import json
import warnings
import zipfile

import numpy as np

from .vectors import DTYPES

FORMATS = ("npz", "json", "safetensors")
ARRAYS = ("inputs", "cotangents", "truth", "answers")  # the parts of a case that hold arrays
PARTS = {
    "hi": "float64",
    "lo": "float64",
    **{f"sigma_{dtype}": dtype for dtype in DTYPES},
}  # of a true result


def encoded(document, format):
    """``document`` as the bytes of a file."""
    return {"npz": _npz, "json": _json, "safetensors": _safetensors}[format](document)


def opened(data, format):
    """The document in ``data`` with its arrays still packed, and what unpacks one; {} if it is another's."""
    return {"npz": _open_npz, "json": _open_json, "safetensors": _open_safetensors}[format](data)


def mapped(document, function):
    """``document`` with ``function`` of every array, and of every true result, in its place."""
    cases = [
        {
            word: {name: function(x) for name, x in value.items()} if word in ARRAYS else value
            for word, value in case.items()
        }
        for case in document["cases"]
    ]
    return {**document, "cases": cases}


# ---- JSON: arrays in place, floats in hexadecimal ---------------------------


def _json(document):
    def inline(x):
        if isinstance(x, np.ndarray):
            return {"shape": x.shape, "dtype": x.dtype.name, "data": _written(x)}
        return {"shape": x["hi"].shape, **{part: _written(x[part]) for part in PARTS}}

    whole = mapped(document, inline)
    head = [
        f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in whole.items() if k != "cases"
    ]
    cases = [json.dumps(case, separators=(",", ":")) for case in whole["cases"]]
    return ("{" + ",\n".join(head) + ',\n"cases":[\n' + ",\n".join(cases) + "\n]}\n").encode()


def _written(x):
    """All numbers in one text, with spaces between them: half the bytes of a list of texts."""
    plain = x.astype(int) if x.dtype == bool else x
    return " ".join(map(_hexadecimal if x.dtype.kind == "f" else str, plain.ravel().tolist()))


def _hexadecimal(value):
    """0x1.8p+1, without the zeros that Python puts at the end; strtod and float.fromhex read it."""
    if value == 0:
        return f"{value:.0f}"  # with its sign
    mantissa, p, exponent = value.hex().partition("p")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}{p}{exponent}"


def _open_json(data):
    def number(word):
        return float.fromhex(word) if "x" in word else float(word)  # others may write decimals

    def array(shape, dtype, text):
        words = text.split()
        if dtype.startswith("float"):
            with np.errstate(over="ignore"):
                return _shaped(np.array([number(word) for word in words], dtype=float).astype(dtype), shape)
        return _shaped(np.array([int(word) for word in words], dtype=np.int64).astype(dtype), shape)

    def arrays(x):
        if "hi" in x:
            return {part: array(x["shape"], dtype, x[part]) for part, dtype in PARTS.items()}
        return array(x["shape"], x["dtype"], x["data"])

    return json.loads(data), arrays


# ---- npz and safetensors: arrays end to end, one member a dtype -------------


def _flat(document):
    """``document`` with [member, offset, shape] for every array, and the members."""
    pieces, sizes = {}, {}

    def put(member, x):
        at = sizes.get(member, 0)
        pieces.setdefault(member, []).append(x.ravel())
        sizes[member] = at + x.size
        return at

    def place(x):
        if isinstance(x, np.ndarray):
            return [x.dtype.name, put(x.dtype.name, x), x.shape]
        first, *_ = [put(part, x[part]) for part in PARTS]  # all four have the same place
        return ["truth", first, x["hi"].shape]

    text = json.dumps(mapped(document, place), separators=(",", ":"))
    return text, {name: np.concatenate(pieces[name]) for name in sorted(pieces)}


def _unflat(text, members):
    def taken(member, at, shape):
        size = int(np.prod([int(n) for n in shape], dtype=object))
        if type(at) is not int or at < 0 or members[member].ndim != 1:
            raise ValueError(f"{at!r} is no place in {member}")
        return _shaped(members[member][at : at + size], shape)

    def arrays(where):
        member, at, shape = where
        if member == "truth":
            return {part: taken(part, at, shape) for part in PARTS}
        return taken(member, at, shape)

    return json.loads(text), arrays


def _npz(document):
    text, members = _flat(document)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, x in {"document": np.array(text.encode()), **members}.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, x, version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # whatever system this one is
            archive.writestr(entry, member.getvalue())
    return file.getvalue()


def _open_npz(data):
    with warnings.catch_warnings(), np.load(io.BytesIO(data), allow_pickle=False) as archive:
        warnings.simplefilter("error")  # NumPy's about odd headers: what is whole has none
        if "document" not in archive:
            return {}, None
        members = {name: archive[name] for name in archive.files}
    return _unflat(members.pop("document").item(), members)


def _safetensors(document):
    text, members = _flat(document)
    return _library().save(members, metadata={"document": text})  # one key: more have no fixed order


def _open_safetensors(data):
    members = _library().load(data)  # refuses lengths that do not fit, before the header is read again
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    text = header.get("__metadata__", {}).get("document")
    return _unflat(text, members) if text is not None else ({}, None)


def _library():
    try:
        import safetensors.numpy as library
    except ImportError:
        raise ImportError("this format needs safetensors: pip install 'scratchattn[interop]'") from None
    return library


def _shaped(x, shape):
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{shape!r} is no shape")
    return x.reshape(shape)
