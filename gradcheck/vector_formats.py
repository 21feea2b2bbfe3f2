"""Golden vectors and answers as bytes: npz, JSON with hexadecimal floats, safetensors.

The same document gives the same bytes: no dates, no compression, one order.  Nothing that is read can
execute code.  In memory a case holds arrays, and of a true result hi, lo and the two sigmas; docs/vectors.md
describes what becomes of them in each format.
"""

import io
import json
import math
import warnings
import zipfile

import numpy as np

from .vectors import DTYPES, FLOAT32

FORMATS = ("npz", "json", "safetensors")
ARRAYS = ("inputs", "cotangents", "truth", "answers")  # the parts of a case that hold arrays
PARTS = ("hi", "lo", *[f"allowed_{dtype}" for dtype in reversed(DTYPES)])  # of a true result


def encoded(document, format):
    """``document`` as the bytes of a file."""
    return {"npz": _npz, "json": _json, "safetensors": _safetensors}[format](document)


def opened(data, format):
    """The document in ``data`` with its arrays still packed, and what unpacks one; {} if it is another's."""
    return {"npz": _open_npz, "json": _open_json, "safetensors": _open_safetensors}[format](data)


def mapped(document, function):
    """``document`` with ``function`` of every array, or the four of a true result, in its place."""
    cases = [
        {
            word: {name: function(x) for name, x in value.items()} if word in ARRAYS else value
            for word, value in case.items()
        }
        for case in document["cases"]
    ]
    return {**document, "cases": cases}


# ---- JSON: arrays in place, floats in hexadecimal with a common exponent -------------------------


def _json(document):
    def inline(x):
        if isinstance(x, np.ndarray):
            return [x.shape, _written(x), *([x.dtype.name] if x.dtype != np.float32 else [])]
        texts = [_written(x[part]) for part in PARTS]
        if np.array_equal(x["allowed_float32"], FLOAT32 * x["allowed_float64"]):
            texts.pop()
        return [x["hi"].shape, *texts]

    whole = mapped(document, inline)
    head = [
        f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in whole.items() if k != "cases"
    ]
    cases = [json.dumps(case, separators=(",", ":")) for case in whole["cases"]]
    return ("{" + ",\n".join(head) + ',\n"cases":[\n' + ",\n".join(cases) + "\n]}\n").encode()


def _written(x):
    """``-24:c8 1.8 -3``: hexadecimal numbers times 2^-24, the exponent that makes the text shortest."""
    if x.dtype.kind != "f":
        return "0:" + " ".join(f"{int(value):x}" for value in x.ravel())
    if not np.isfinite(x).all():  # in an answer
        return " ".join(str(float(value)) for value in x.ravel())
    values = [_significand(float(value)) for value in x.ravel()]
    exponents = sorted({exponent for _, n, exponent in values if n}, key=lambda e: (abs(e), e))
    fit = [e for e in exponents if all(_is_double(n, exponent - e) for _, n, exponent in values)] or [0]
    texts = [f"{e}:" + " ".join(_word(*value, e) for value in values) for e in fit]
    return min(texts, key=len)


def _significand(value):
    """Sign, n and exponent: the value is n 2^exponent, and n is odd or 0."""
    mantissa, exponent = math.frexp(abs(value))
    n = int(mantissa * 2**53)
    zeros = (n & -n).bit_length() - 1 if n else 0
    return "-" if math.copysign(1.0, value) < 0 else "", n >> zeros, exponent - 53 + zeros


def _is_double(n, exponent):
    """Whether n 2^exponent, n odd or 0, is one: a reader takes each word before the common exponent."""
    return n == 0 or -1074 <= exponent <= 1024 - n.bit_length()


def _word(sign, n, exponent, common):
    """The shorter of ``3c.8``, fixed point, and ``79p-1``, with an exponent of its own."""
    shift = exponent - common
    own = f"{n:x}p{shift}"
    if n == 0:
        return f"{sign}0"
    if abs(shift) > 80:  # then it is the shorter
        return sign + own
    places = max(0, -(shift // 4))  # after the point
    digits = f"{n << (shift + 4 * places):0{places}x}"
    point = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return sign + min(point, own, key=len)


def _open_json(data):
    def array(shape, text, dtype="float32"):
        exponent, colon, words = text.rpartition(":")
        if not dtype.startswith("float"):
            return _shaped(np.array([int(word, 16) for word in words.split()], np.int64).astype(dtype), shape)
        if colon:
            values = [math.ldexp(float.fromhex(word), int(exponent)) for word in words.split()]
        else:  # an answer: C's hexadecimal floats, or decimals
            values = [float.fromhex(word) if "x" in word else float(word) for word in words.split()]
        with np.errstate(over="ignore"):
            return _shaped(np.array(values, dtype=float).astype(dtype), shape)

    def arrays(x):
        shape, *texts = x
        if len(texts) < len(PARTS) - 1:
            return array(*x)
        found = {part: array(shape, text, "float64") for part, text in zip(PARTS, texts)}
        return {"allowed_float32": FLOAT32 * found["allowed_float64"]} | found

    return json.loads(data), arrays


# ---- npz and safetensors: arrays end to end, one member a dtype -------------


def _flat(document):
    """``document`` with [shape, offset, member] for every array, and the members."""
    pieces, sizes = {}, {}

    def put(member, x):
        at = sizes.get(member, 0)
        pieces.setdefault(member, []).append(x.ravel())
        sizes[member] = at + x.size
        return at

    def place(x):
        if isinstance(x, np.ndarray):
            at = put(x.dtype.name, x)
            return [x.shape, at, *([x.dtype.name] if x.dtype != np.float32 else [])]
        first, *_ = [put(part, _packed(part, x[part])) for part in PARTS]  # all four have the same place
        return [x["hi"].shape, first, "truth"]

    text = json.dumps(mapped(document, place), separators=(",", ":"))
    return text, {name: np.concatenate(pieces[name]) for name in sorted(pieces)}


def _unflat(text, members):
    def taken(member, at, shape):
        size = int(np.prod([int(n) for n in shape], dtype=object))
        if type(at) is not int or at < 0 or members[member].ndim != 1:
            raise ValueError(f"{at!r} is no place in {member}")
        return _shaped(members[member][at : at + size], shape)

    def arrays(where):
        shape, at, member = (*where, "float32")[:3]
        if member == "truth":
            return {part: _unpacked(part, taken(part, at, shape)) for part in PARTS}
        return taken(member, at, shape)

    return json.loads(text), arrays


def _packed(part, x):
    """What is allowed has five bits, so the upper quarter of a double holds it."""
    return (x.view(np.uint64) >> 48).astype(np.uint16) if part.startswith("allowed") else x


def _unpacked(part, x):
    if not part.startswith("allowed"):
        return x
    if x.dtype != np.uint16:
        raise ValueError(f"{part} is of {x.dtype}, not of uint16")
    return (x.astype(np.uint64) << 48).view(np.float64)


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
