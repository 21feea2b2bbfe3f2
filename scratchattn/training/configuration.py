"""What is trained on what, and how: from names, a file and single wishes to three dataclasses.

A file is TOML, or the ``config.json`` of a run:

    [model]                 [task]                  [training]
    name = "ntm"            name = "copy"           steps = 20_000
    rows = 64               longest = 10            learning_rate = 1e-3

A wish is NAME=VALUE or, where two of the three know the name, model.NAME=VALUE.  Sizes that the task
determines (``inputs``, ``outputs``) are taken from it.  Names may be ``file.py:name``: dataclasses with the
methods that ``models`` and ``tasks`` describe.
"""

import dataclasses
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

from ..models import MODELS
from ..refusals import nearest
from ..tasks import TASKS
from . import user_file
from .curriculum import tasks_of
from .fitting import refuse_incomplete
from .rows import defaults
from .settings import Settings
from .wishes import convert, field_types

PARTS = ("model", "task", "training")
DEVICES = ("cpu", "gpu")
_TABLES = {"model": MODELS, "task": TASKS}


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A resolved run: the names as given and the three dataclasses with all their settings."""

    names: dict[str, str]
    """model and task: a name of ours, or an absolute file.py:name."""
    model: Any
    task: Any
    settings: Settings
    device: str = "cpu"

    def as_dict(self):
        """Plain data for JSON, from which ``configure`` makes the same again."""
        files = {n: user_file.split(name) for n, name in self.names.items()}
        digests = {n: hashlib.sha256(Path(f[0]).read_bytes()).hexdigest() for n, f in files.items() if f}
        return {
            "model": {"name": self.names["model"], **dataclasses.asdict(self.model)},
            "task": {"name": self.names["task"], **dataclasses.asdict(self.task)},
            "training": dataclasses.asdict(self.settings),
            "device": self.device,
            **({"files": digests} if digests else {}),
        }

    def digest(self):
        """SHA-256 of all settings, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def configure(model=None, task=None, *, file=None, wishes=(), seed=None, device=None):
    """A Configuration.  ``file``: a path, or what it would hold.  ``wishes``: texts NAME=VALUE.

    A later source wins: the dataclasses' own defaults, those of the model and task (``rows``), file, wishes,
    then ``model``, ``task``, ``seed`` and ``device``.
    ValueError or TypeError, naming the setting, for whatever does not fit.
    """
    source = file if isinstance(file, (str, Path)) else "config.json"
    given = _given(file, source)
    names = {
        "model": model or given["model"].pop("name", None),
        "task": task or given["task"].pop("name", None),
    }
    for part in names:
        given[part].pop("name", None)
        if names[part] is None:
            known = ", ".join(_TABLES[part])
            raise ValueError(
                f"which {part}? give its name, or [{part}] name = ... in a file; there are {known}"
            )
    classes = {part: _class(part, name) for part, name in names.items()} | {"training": Settings}
    types = {part: field_types(kind) for part, kind in classes.items()}
    for part in PARTS:
        for name, value in given[part].items():
            if name not in types[part]:
                hint = nearest(name, list(types[part])) or f"; there are {', '.join(types[part])}"
                raise ValueError(f"{source}: no setting of the {part} is called {name!r}{hint}")
            given[part][name] = convert(f"{source}: {part}.{name}", types[part][name], value)
    for wish in defaults(*names.values()):
        part, name, value = _wish(wish, types)
        given[part].setdefault(name, value)
    for wish in wishes:
        part, name, value = _wish(wish, types)
        given[part][name] = value
    if seed is not None:
        given["training"]["seed"] = seed
    missing = [name for name in _required(classes["task"]) if name not in given["task"]]
    if missing:
        raise ValueError(
            f"the task {names['task']} needs {', '.join(missing)}: give them by --set or in a file"
        )
    made_task = _made(classes["task"], given["task"], "task", names["task"])
    sizes = _sizes(classes["model"], made_task, names, given["model"])
    settings = Settings(**given["training"])
    made_model = _made(classes["model"], given["model"], "model", names["model"], sizes)
    tasks_of(made_task, settings.curriculum)
    refuse_incomplete("model", made_model, names["model"])
    refuse_incomplete("task", made_task, names["task"])
    return Configuration(
        {part: _absolute(name) for part, name in names.items()}, made_model, made_task, settings,
        device or given["device"],
    )  # fmt: skip


def digest_of_parts(config):
    """SHA-256 of the settings that ``config``, what config.json holds, has of the three parts."""
    text = json.dumps({part: config.get(part) for part in PARTS}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(before, now):
    """Sentences: which settings of two ``Configuration.as_dict()`` are not the same."""
    told = []
    for part in (*PARTS, "files"):
        old, new = before.get(part, {}), now.get(part, {})
        for name in sorted(set(old) | set(new)):
            if old.get(name) != new.get(name):
                if part == "files":
                    told.append(f"the file of the {name} has changed since")
                else:
                    told.append(f"{part}.{name} was {old.get(name)!r} and is {new.get(name)!r}")
    if before.get("device") != now.get("device"):
        told.append(f"device was {before.get('device')} and is {now.get('device')}")
    return told


def _given(file, source):
    """The tables of ``file``, which refusals call ``source``, as dictionaries of their own."""
    if file is None:
        found: dict = {}
    elif isinstance(file, dict):
        found = file
    else:
        found = read_tables(file)
    for key in found:
        if key not in (*PARTS, "sweep", "device", "files", "environment"):
            raise ValueError(
                f"{source}: no table is called {key!r}{nearest(key, PARTS)}; there are {', '.join(PARTS)}"
            )
    for part in PARTS:
        if not isinstance(found.get(part, {}), dict):
            raise ValueError(f"{source}: {part} must be a table of settings, [{part}], got {found[part]!r}")
    device = found.get("device", "cpu")
    if device not in DEVICES:
        raise ValueError(f"{source}: device must be one of {list(DEVICES)}, got {device!r}")
    return {part: dict(found.get(part, {})) for part in PARTS} | {"device": device}


def read_tables(path):
    """What the file ``path``, TOML or JSON, holds: a dict of tables; ValueError if it holds no such thing."""
    path = Path(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise ValueError(f"{path} cannot be read: {getattr(failure, 'strerror', None) or failure}") from None
    try:
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as failure:
        raise ValueError(f"{path} is not {path.suffix[1:].upper() or 'TOML'}: {failure}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: tables of settings expected, got {type(found).__name__}")
    return found


def _class(part, name):
    """The dataclass ``name``, of ours or in a file."""
    if not isinstance(name, str):
        raise ValueError(f"the name of the {part} must be a text, got {name!r}")
    if (place := user_file.split(name)) is None:
        table = _TABLES[part]
        if name not in table:
            hint = (
                f"; a {part} of your own is {name}:NAME"
                if name.endswith(".py")
                else nearest(name, list(table))
            )
            raise ValueError(f"no {part} is called {name!r}{hint}; there are {', '.join(table)}")
        return table[name]
    module = user_file.load(place[0])
    found = getattr(module, place[1], None)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        own = [n for n, v in vars(module).items() if isinstance(v, type) and dataclasses.is_dataclass(v)]
        there = f"it has {', '.join(own) or 'none'}"
        raise ValueError(f"{place[0]} has no dataclass {place[1]!r}{nearest(place[1], own)}; {there}")
    return found


def _wish(text, types):
    """(part, setting, value) of NAME=VALUE or part.NAME=VALUE."""
    name, equals, value = text.partition("=")
    name = name.strip()
    if not (name and equals):
        raise ValueError(f"--set takes NAME=VALUE, got {text!r}")
    part, dot, inner = name.rpartition(".")
    if dot and part not in PARTS:
        raise ValueError(f"--set {name}: before the dot may stand {', '.join(PARTS)}{nearest(part, PARTS)}")
    owners = [each for each in ([part] if dot else PARTS) if inner in types[each]]
    if len(owners) > 1:
        told = " or ".join(f"{part}.{name}" for part in owners)
        raise ValueError(f"{name} is a setting of more than one: say {told}")
    if not owners:
        known = sorted({n for each in ([part] if dot else PARTS) for n in types[each]})
        hint = nearest(inner, known) or f"; there are {', '.join(known)}"
        raise ValueError(f"no setting{f' of the {part}' * bool(dot)} is called {inner!r}{hint}")
    return owners[0], inner, convert(inner, types[owners[0]][inner], value.strip())


def _made(kind, given, part, name, sizes=()):
    """An instance of the dataclass ``kind`` from ``given`` and ``sizes``."""
    for size, value in dict(sizes).items():
        if given.get(size, value) != value:
            raise ValueError(f"{part}.{size} must be what the task has, {value}, got {given[size]!r}")
    try:
        return kind(**given | dict(sizes))
    except Exception as failure:
        if user_file.place_in(failure):
            raise ValueError(f"the {part} {name} cannot be made: {user_file.said(failure)}") from failure
        raise


def _sizes(kind, task, names, given):
    """What the model needs and the task determines, unless it is ``given`` and the task says nothing."""
    required = _required(kind)
    for name in required:
        if not hasattr(task, name) and name not in given:
            raise ValueError(
                f"the model {names['model']} does not fit the task {names['task']}: it needs {name}, "
                "which the task does not have"
            )
    return {name: getattr(task, name) for name in required if hasattr(task, name)}


def _required(kind):
    """Names of the fields that have no default."""
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(kind) if f.init and f.default is f.default_factory is missing]


def _absolute(name):
    place = user_file.split(name)
    return f"{Path(place[0]).resolve()}:{place[1]}" if place else name
