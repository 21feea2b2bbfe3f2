"""Golden vectors and answers as files.

for entry in export(ops, "vectors", "json"): ...     op by op; the index comes last
document = load("vectors/softmax_attention.json")    Unreadable, in one line, if it is no such file
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from scratchattn.whole_file import write_whole

from . import vectors
from .vector_formats import FORMATS, encoded, mapped, opened

INDEX = "_index.json"  # no op begins with an underscore
OP_BYTES, FORMAT_BYTES = 64 * 1024, 5 * 1024 * 1024  # at most, of an op's file and of a directory
LO_BITS = (53, 24, 8)  # of lo: all of them, or where a file would be too large fewer


class Unreadable(ValueError):
    """A file of vectors or answers cannot be used: which, why, and what to do."""


def export(ops, directory, format):
    """Write the vectors of each of ``ops`` and then the index; yields (op's name, its entry in the index)."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    files, total = {}, 0
    for op in ops:
        document = fitted(vectors.vectors_of(op), format)
        data = encoded(document, format)
        entry = {
            "file": f"{op.name}.{format}",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "cases": len(document["cases"]),
            "lo_bits": document["lo_bits"],
            "left_out": document["left_out"],
        }
        write_whole(directory / entry["file"], data)
        files[op.name], total = entry, total + len(data)
        yield op.name, entry
    index = {"format": vectors.FORMAT, "version": vectors.VERSION, "kind": "index"}
    index |= {"bytes": total, "files": files}
    write_whole(directory / INDEX, (json.dumps(index, indent=1) + "\n").encode())


def fitted(document, format, most=OP_BYTES):
    """``document`` as it fits into ``most`` bytes of ``format``.

    First ``lo`` is given fewer bits, in all cases; only if that does not do, the largest cases are left out.
    """
    size = lambda cases: len(encoded({**shorter, "cases": cases}, format))
    for bits in LO_BITS:
        shorter = _with_bits(document, bits)
        if size(shorter["cases"]) <= most:
            return shorter
    kept, dropped = sorted(shorter["cases"], key=lambda case: size([case])), []
    while kept and size(kept) > most:
        dropped.append(kept.pop()["label"])
        shorter["left_out"] = document["left_out"] | {"too large": dropped}
    return {**shorter, "cases": [case for case in shorter["cases"] if case["label"] not in dropped]}


def _with_bits(document, bits):
    def shortened(result):
        mantissa, exponent = np.frexp(result["lo"])
        return {**result, "lo": np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)}

    cases = [
        {**case, "truth": {name: shortened(x) for name, x in case["truth"].items()}}
        for case in document["cases"]
    ]
    return {**document, "lo_bits": bits, "cases": cases}


def paths_in(directory):
    """The files of vectors or answers in ``directory``, in order; Unreadable if there is none."""
    directory = Path(directory)
    if not directory.is_dir():
        raise Unreadable(f"{directory}: there is no such directory")
    found = [p for p in sorted(directory.iterdir()) if p.suffix[1:] in FORMATS and p.name != INDEX]
    if not found:
        raise Unreadable(f"{directory}: it holds no file that ends in .{', .'.join(FORMATS)}")
    return found


def exported(directory, name):
    """The vectors of the op ``name`` in ``directory``; held against the index, if it is there."""
    for format in FORMATS:
        path = Path(directory) / f"{name}.{format}"
        if path.is_file():
            break
    else:
        raise Unreadable(f"{directory}: it has no vectors of {name}: 'gradcheck vectors export' writes them")
    document = load(path, kind="vectors")
    index = Path(directory) / INDEX
    if index.is_file():
        try:
            entry = json.loads(_bytes_of(index))["files"].get(name, {"file": None})
            changed = entry["file"] == path.name and entry["sha256"] != _sha256(path)
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise _damaged(index, wrong) from wrong
        if changed:
            raise Unreadable(f"{path}: it is not what {INDEX} says, so it was changed: export it again")
    return document


def load(path, kind=None):
    """The document in the file at ``path``; Unreadable if it is damaged, foreign or of another version."""
    path = Path(path)
    if path.suffix[1:] not in FORMATS:
        raise Unreadable(f"{path}: a name that ends in .{', .'.join(FORMATS)} expected")
    data = _bytes_of(path)
    try:
        document, arrays = opened(data, path.suffix[1:])
        _check_head(path, document, kind)
        return _with_arrays(document, arrays)
    except (Unreadable, ImportError):
        raise
    except Exception as wrong:  # a damaged file fails in as many ways as its readers have lines
        raise _damaged(path, wrong) from wrong


def _with_arrays(document, arrays):
    whole = mapped(document, arrays)
    wanted, of_kind = ("truth", dict) if whole["kind"] == "vectors" else ("answers", np.ndarray)
    for case in whole["cases"]:
        if not isinstance(case["id"], str):
            raise ValueError(f"the id {case['id']!r} is no text")
        if not all(isinstance(x, of_kind) for x in case[wanted].values()):
            raise ValueError(f"the case {case['id']!r} has something else than {wanted}")
        if wanted == "truth" and case["id"] != vectors.identity(whole["op"], case):
            raise ValueError(f"the case {case['label']!r} does not fit its id")
    return whole


def _check_head(path, document, kind):
    if not isinstance(document, dict) or document.get("format") != vectors.FORMAT:
        raise Unreadable(
            f"{path}: it is no file of golden vectors or answers; docs/vectors.md has the format"
        )
    if document.get("version") != vectors.VERSION:
        came = f"its version is {document.get('version')!r} and this program reads {vectors.VERSION}"
        raise Unreadable(f"{path}: {came}: export the vectors again and answer those")
    if document.get("kind") not in ("vectors", "answers") or kind not in (None, document["kind"]):
        told = f"it holds {document.get('kind')!r}, not {kind or 'vectors or answers'!r}"
        raise Unreadable(f"{path}: {told}; docs/vectors.md tells both apart")
    if not isinstance(document.get("op"), str) or not isinstance(document.get("cases"), list):
        raise ValueError("it names no op, or has no list of cases")


def _bytes_of(path):
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise Unreadable(f"{path}: it cannot be read: {wrong.strerror or wrong}") from wrong


def _sha256(path):
    return hashlib.sha256(_bytes_of(path)).hexdigest()


def _damaged(path, wrong):
    told = " ".join(f"{type(wrong).__name__}: {wrong}".split())[:160]
    return Unreadable(f"{path}: it is damaged or cut off ({told}): write it again")
