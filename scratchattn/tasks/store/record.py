"""Where the store is, what its record says of a set, and how a file gets there whole or not at all."""

import json
import os
import re
from pathlib import Path, PurePosixPath

from ..readers import Damaged
from .kinds import KINDS, is_document
from .sets import SETS

RECORD = "record.json"
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class Refused(ValueError):
    """What was asked cannot be done; the message says what to do instead."""


def folder():
    """The folder of the store, which need not exist yet."""
    told = os.environ.get("SCRATCHATTN_DATA")
    if told:
        return Path(told).expanduser()
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "scratchattn"


def files(name):
    """Place, without .gz -> path, for the data files of the set ``name``, e.g. ``train.en``.

    FileNotFoundError, with what to do, if the set is not there.
    """
    _, held = held_by(name)
    if not held:
        known = SETS.get(name)
        comes = f"; it is {known.comes_from}" if known else ""
        raise FileNotFoundError(
            f"{name} is not in {folder()}: scratchattn data add {name} PATH puts it there{comes}"
        )
    return {key(place): path for place, path in held.items() if not is_document(place)}


def key(place):
    """What a file is called wherever it is, packed or not."""
    return place.removesuffix(".gz")


def place_of(relative, kind):
    """Where in its set a file goes that came as ``relative``."""
    depth = 1 if is_document(relative) else KINDS[kind].depth
    return "/".join(PurePosixPath(relative).parts[-depth:])


def held_by(name):
    """Kind, and place -> path of the files that the set ``name`` has, from its record or by their names."""
    at, record = folder() / name, load(name)
    if record:
        return record["kind"], {place: at / place for place in record["files"]}
    kind = SETS[name].kind if name in SETS else None
    if kind is None or not at.is_dir():
        return kind, {}
    found = sorted(path for path in at.rglob("*") if path.is_file())
    wanted = {path: place_of(path.relative_to(at).as_posix(), kind) for path in found}
    return kind, {place: path for path, place in wanted.items() if belongs(place, kind)}


def belongs(place, kind):
    """Whether the name of a file is that of a data file of this kind."""
    name = PurePosixPath(place).name.removesuffix(".gz")
    return not is_document(place) and bool(KINDS[kind].recognised(name))


def load(name):
    """The record of a set, or None.  Damaged if it is there and cannot be right."""
    path = folder() / name / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as wrong:
        raise Damaged(f"{path}: {wrong}: {_remedy(path)}") from wrong
    right = (
        isinstance(record, dict)
        and record.get("format") == 1
        and record.get("kind") in KINDS
        and isinstance(record.get("files"), dict)
        and all(_is_entry(place, entry) for place, entry in record["files"].items())
    )
    if not right:
        raise Damaged(f"{path}: no record of format 1: {_remedy(path)}")
    return record


def _is_entry(place, entry):
    parts = PurePosixPath(place).parts
    return (
        bool(parts)
        and not place.startswith("/")
        and ".." not in parts
        and isinstance(entry, dict)
        and all(type(entry.get(word)) is kind for word, kind in ENTRY.items())
    )


ENTRY = {"bytes": int, "sha256": str, "source": str, "added": str, "holds": dict}


def _remedy(path):
    return f"remove it and add {path.parent.name} again"


def write(path, data):
    """``data`` in a new file at ``path``, on the disk before this returns."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
