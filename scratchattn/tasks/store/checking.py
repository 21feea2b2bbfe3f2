"""What is in the store, what is missing, and whether all of it is what it was."""

import hashlib
import time

from ..readers import Damaged
from ..readers.raw_file import unpacked
from . import record as records
from .digests import DIGESTS
from .kinds import KINDS, is_document
from .record import key
from .sets import SETS


def listed():
    """The sets of the store and what they lack, and the known sets that are not there, for JSON."""
    sets, absent = [], []
    for name in names():
        known, row = SETS.get(name), {"name": name, "ok": True, "what": ""}
        try:
            record, (kind, held) = records.load(name), records.held_by(name)
        except Damaged as wrong:
            sets.append(row | {"ok": False, "what": str(wrong), "kind": known.kind if known else None})
            continue
        here = {key(place) for place in held}
        missing = [place for place in known.places if place not in here] if known else []
        lost = [place for place, path in held.items() if not path.is_file()]
        entries = record["files"].values() if record else ()
        sets.append(
            row
            | {
                "ok": not lost,
                "what": f"{lost[0]} is recorded and not there" if lost else "",
                "kind": kind,
                "recorded": record is not None,
                "files": sum(not is_document(place) for place in held),
                "bytes": sum(path.stat().st_size for path in held.values() if path.is_file()),
                "source": next((entry["source"] for entry in entries), ""),
                "added": max((entry["added"] for entry in entries), default=None),
                "used_for": known.used_for if known else KINDS[kind].title,
                "missing": missing,
            }
        )
    here = {row["name"] for row in sets}
    for name, known in SETS.items():
        if name not in here:
            command = f"scratchattn data add {name} PATH"
            absent.append({"name": name, "kind": known.kind, "used_for": known.used_for})
            absent[-1] |= {"comes_from": known.comes_from, "add": command}
    return {"folder": str(records.folder()), "sets": sets, "missing": absent}


def names():
    """The sets of the store: folders with a record, and known names with files of their kind."""
    at, found = records.folder(), []
    for path in sorted(at.iterdir()) if at.is_dir() else ():
        if (path / records.RECORD).is_file() or (path.name in SETS and records.held_by(path.name)[1]):
            found.append(path.name)
    return found


def check(chosen=None, progress=lambda text: None):
    """Read every file of the sets again, compare with the record, and return what was found, for JSON."""
    started, rows, remarks, size = time.perf_counter(), [], [], 0
    for name in chosen or names():
        try:
            record, (kind, held) = records.load(name), records.held_by(name)
        except Damaged as wrong:
            rows.append({"set": name, "file": records.RECORD, "ok": False, "what": str(wrong)})
            continue
        if record is None:
            remarks.append(f"{name} has no record: its files were read, but what they were is not known")
        holds = {}
        for i, (place, path) in enumerate(sorted(held.items()), 1):
            progress(f"{name}: {i} of {len(held)}  {place}")
            row = {"set": name, "file": place, "ok": True, "what": ""}
            try:
                data = path.read_bytes()
                size += len(data)
                content = unpacked(data, str(path))
                if not is_document(place):
                    holds[place] = KINDS[kind].read(content, str(path))
                if record:
                    _compare(data, record["files"][place], place)
                elif not _as_known(name, place, content):
                    remarks.append(f"{name}/{place} is not the file that is known by this name")
            except (Damaged, OSError) as wrong:
                row |= {"ok": False, "what": _words(wrong, path)}
            rows.append(row)
        if all(row["ok"] for row in rows if row["set"] == name):
            try:
                remarks += KINDS[kind].together(holds)
            except Damaged as wrong:
                rows.append({"set": name, "file": "", "ok": False, "what": str(wrong)})
        remarks += _strangers(name, held, record)
    damaged = sum(not row["ok"] for row in rows)
    summary = {"sets": len(chosen or names()), "files": len(rows), "bytes": size, "damaged": damaged}
    summary["seconds"] = round(time.perf_counter() - started, 2)
    return {
        "ok": not damaged,
        "folder": str(records.folder()),
        "files": rows,
        "remarks": remarks,
        "summary": summary,
    }


def _compare(data, entry, place):
    if len(data) != entry["bytes"]:
        raise Damaged(f"{place} has {len(data)} bytes, {entry['bytes']} were added")
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise Damaged(f"{place} has another SHA-256 than the file that was added")


def _as_known(name, place, content):
    known = DIGESTS.get(name, {}).get(key(place))
    return known in (None, hashlib.sha256(content).hexdigest())


def _words(wrong, path):
    return str(wrong) if isinstance(wrong, Damaged) else f"{path}: {wrong.strerror or wrong}"


def _strangers(name, held, record):
    """Files in the folder of a recorded set that the record does not know."""
    at = records.folder() / name
    known = {*held.values(), at / records.RECORD}
    if record:
        for path in sorted(at.rglob("*")):
            if path.is_file() and path not in known:
                yield f"{name}/{path.relative_to(at).as_posix()} is not in the record: add it, or remove it"
