"""Put local files into the store: recognise, read to the last byte, compare, copy, record.

All that is slow or may fail happens in a folder beside the sets, ``.adding-...``.  Then every file,
whole and on the disk, gets its name by a rename, the record last.  So a name never holds half a
file, and an add that fails, is interrupted or finds the disk full leaves the store as it was.
"""

import datetime
import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from ...whole_file import sync_directory
from ..readers.raw_file import unpacked
from . import record as records
from .digests import DIGESTS
from .incoming import incoming
from .kinds import KINDS, SPECIFIC, is_document, paired
from .record import NAME, RECORD, Refused, belongs, key, place_of
from .sets import SETS

SOURCE_MOST = 4000  # characters of a SOURCE.txt that go into the record


class Staged(NamedTuple):
    path: Path  # in the folder beside the sets
    sha256: str
    content: str  # SHA-256 of what is in it, unpacked
    size: int
    holds: dict


def add(paths, kind=None, name=None, source=None, replace=False, progress=lambda text: None):
    """Add the files under ``paths`` to a set and return what was done, as a dict for JSON.

    ``kind`` is recognised and ``name`` follows from it if they are not told.  Refused for what cannot
    be done, Damaged for a file that is, FileNotFoundError for a path that is not there; in each case
    the store is as it was.
    """
    started = time.perf_counter()
    if name is not None and not NAME.fullmatch(name):
        raise Refused(f"--name must be small letters, digits, '_', '-' and '.', got {name!r}")
    with ExitStack() as keep:
        entries = incoming(paths, keep)
        kind = kind or _recognised(entries, paths)
        chosen, left_out = _chosen(entries, kind)
        at = records.folder()
        staging = _staging(at)
        keep.callback(shutil.rmtree, staging, ignore_errors=True)
        staged = {}
        for i, (place, entry) in enumerate(chosen.items(), 1):
            progress(f"{i} of {len(chosen)}  {entry.shown}")
            staged[place] = _stage(entry, place, kind, staging / str(i), at)
        name = name or _name(staged, kind, paths)
        source = source or _source(staged) or ", ".join(map(str, paths))
        record = records.load(name) or {"format": 1, "name": name, "kind": kind, "files": {}}
        if record["kind"] != kind:
            raise Refused(
                f"{name} holds {record['kind']} files already, these are {kind}: give another --name"
            )
        report = _commit(staged, record, source, replace, at, staging)
    report["left_out"] += left_out
    report["seconds"] = round(time.perf_counter() - started, 2)
    return report


def _recognised(entries, paths):
    claimed = {kind: [each.place for each in entries if belongs(each.place, kind)] for kind in KINDS}
    if not paired(claimed["parallel"]):
        claimed["parallel"] = []  # one name that ends in letters is no sign
    kinds = [kind for kind in SPECIFIC if claimed[kind]] or ["text"] * bool(claimed["text"])
    told = ", ".join(map(str, paths))
    if len(kinds) > 1:
        raise Refused(f"{told}: files of several kinds, {' and '.join(kinds)}: name one before the path")
    if not kinds:
        forms = "; ".join(f"{kind}: {KINDS[kind].form}" for kind in KINDS)
        raise Refused(f"{told}: no data file is recognised by its name ({forms})")
    return kinds[0]


def _chosen(entries, kind):
    """Place -> entry for what is added, and the names of what is left out."""
    chosen, left_out = {}, []
    for entry in entries:
        place = place_of(entry.place, kind)
        if not (belongs(entry.place, kind) or is_document(place)):
            if entry.named:
                raise Refused(f"{entry.shown}: {kind} files are called {KINDS[kind].form}: rename it")
            left_out.append(entry.place)
        elif place not in chosen:
            chosen[place] = entry
        elif is_document(place):
            left_out.append(entry.place)
        elif entry.read() != chosen[place].read():
            raise Refused(
                f"{entry.shown} and {chosen[place].shown} differ and have one name: add one of them"
            )
    if all(map(is_document, chosen)):
        raise Refused(f"there is no {kind} file in it; they are called {KINDS[kind].form}")
    return dict(sorted(chosen.items())), left_out


def _staging(at):
    try:
        at.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".adding-", dir=at))
    except OSError as wrong:
        raise _unwritable(at, wrong) from wrong


def _unwritable(at, wrong):
    return Refused(
        f"{at} cannot be written: {wrong.strerror}: nothing was added; make room there, get the right "
        "to write there, or set SCRATCHATTN_DATA to another folder"
    )


def _stage(entry, place, kind, path, at):
    data = entry.read()
    content = unpacked(data, entry.shown)
    holds = {} if is_document(place) else KINDS[kind].read(content, entry.shown)
    try:
        records.write(path, data)
    except OSError as wrong:
        raise _unwritable(at, wrong) from wrong
    digests = [hashlib.sha256(each).hexdigest() for each in (data, content)]
    return Staged(path, *digests, len(data), holds)


def _name(staged, kind, paths):
    """The set that these files are known to be, or the one of this kind, or the name of the folder."""
    if kind in SETS:
        return kind
    contents = {each.content for each in staged.values()}
    for name, known in DIGESTS.items():
        if SETS[name].kind == kind and contents & set(known.values()):
            return name
    stem = Path(paths[0]).resolve().name.partition(".")[0].lower()
    name = "".join(c if NAME.fullmatch("a" + c) else "_" for c in stem).lstrip("_.-")
    return name[:64] or kind


def _source(staged):
    for place, each in staged.items():
        if is_document(place) and place.lower().startswith("source"):
            return each.path.read_text(encoding="utf-8", errors="replace").strip()[:SOURCE_MOST]


def _commit(staged, record, source, replace, at, staging):
    """Give the staged files their names in the set, and say what was done."""
    name, before = record["name"], record["files"]
    chosen, gone, left_out = _news(staged, name, before, replace, at)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    new = {
        place: {
            "bytes": staged[place].size,
            "sha256": staged[place].sha256,
            "source": source,
            "added": now,
            "known": _known(name, place, staged[place]),
            "holds": staged[place].holds,
        }
        for place in chosen
    }
    warnings = [
        f"{place} is not the {key(place)} that is known as {name}: "
        "if it belongs to another data set, give that a --name of its own"
        for place, entry in new.items()
        if entry["known"] is False
    ]
    after = {place: entry for place, entry in before.items() if place not in gone} | new
    data = {place: entry["holds"] for place, entry in after.items() if not is_document(place)}
    odd = KINDS[record["kind"]].together(data)
    if new:
        _rename(staged, new, gone, record | {"files": dict(sorted(after.items()))}, at, staging)
    return {
        "name": name,
        "kind": record["kind"],
        "folder": str(at / name),
        "source": source,
        "files": [{"file": place, **entry} for place, entry in new.items()],
        "unchanged": len(staged) - len(new) - len(left_out),
        "bytes": sum(entry["bytes"] for entry in new.values()),
        "warnings": warnings + odd,
        "left_out": left_out,
    }


def _news(staged, name, before, replace, at):
    """Which staged files are to be written, which old ones they stand for, and which documents stay out.

    What is recorded, or stands there without a record, gives way to another file only if ``replace``;
    a recorded file that was damaged since is put right by the file it was.
    """
    recorded = {key(place): place for place in before}
    new, gone, left_out = [], [], []
    for place, each in staged.items():
        old = recorded.get(key(place), place)
        present = _digest(at / name / old)
        meant = before[old]["sha256"] if old in before else present
        if meant not in (None, each.sha256) and not replace:
            if not is_document(place):
                raise Refused(f"{name} has another {old} already: --replace puts this one in its place")
            left_out.append(place)
        elif old not in before or not meant == present == each.sha256:
            new.append(place)
            gone += [old] * (old != place)
    return new, gone, left_out


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _known(name, place, each):
    """True if the contents are known, False if only the name is, None if neither."""
    if any(each.content in known.values() for known in DIGESTS.values()):
        return True
    return False if key(place) in DIGESTS.get(name, {}) else None


def _rename(staged, new, gone, record, at, staging):
    try:
        records.write(staging / RECORD, json.dumps(record, indent=1).encode() + b"\n")
        folders = {(at / record["name"] / place).parent for place in (*new, RECORD)}
        for each in folders:
            each.mkdir(parents=True, exist_ok=True)
    except OSError as wrong:
        raise _unwritable(at, wrong) from wrong
    for place in new:
        os.replace(staged[place].path, at / record["name"] / place)
    os.replace(staging / RECORD, at / record["name"] / RECORD)
    for place in gone:
        (at / record["name"] / place).unlink(missing_ok=True)
    for each in folders:
        sync_directory(each)
