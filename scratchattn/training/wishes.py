"""Settings as a person writes them, text or TOML, in the types that a dataclass declares."""

import dataclasses
import types
import typing


def field_types(settings):
    """name -> type of the fields that a dataclass takes, also where its annotations are text."""
    hints = typing.get_type_hints(settings)
    return {f.name: hints[f.name] for f in dataclasses.fields(settings) if f.init}


def convert(name, kind, value):
    """``value``, text or a number, as ``kind``; ValueError, naming the setting, if it is none."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    options = typing.get_args(kind) if union else (kind,)
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        if type(None) in options:
            return None
    for option in options:
        if option is not type(None) and (found := _as(option, value)) is not None:
            return found[0]
    said = " or ".join("none" if o is type(None) else getattr(o, "__name__", str(o)) for o in options)
    raise ValueError(f"{name} must be {said}, got {value!r}")


def _as(kind, value):
    """(value,) in the type ``kind``, or None."""
    if kind is typing.Any:
        return (value,)
    if kind is bool:
        return (value,) if type(value) is bool else _read({"true": True, "false": False}.__getitem__, value)
    if kind is int:
        return (value,) if type(value) is int else _read(int, value)
    if kind is float:
        return (float(value),) if type(value) in (int, float) else _read(float, value)
    if kind is str:
        return (value,) if isinstance(value, str) else None
    if (typing.get_origin(kind) or kind) is tuple:
        return _tuple(kind, value)
    return (value,) if isinstance(value, kind) else None


def _tuple(kind, value):
    inner = typing.get_args(kind) or (typing.Any, ...)
    parts = [part.strip() for part in value.strip("()[]").split(",") if part.strip()] if isinstance(
        value, str) else value  # fmt: skip
    if not isinstance(parts, (list, tuple)):
        return None
    kinds = [inner[0]] * len(parts) if inner[-1] is ... else list(inner)
    if len(kinds) != len(parts):
        return None
    found = [_as(k, part) for k, part in zip(kinds, parts)]
    return None if None in found else (tuple(each[0] for each in found),)


def _read(reader, value):
    if not isinstance(value, str):
        return None
    try:
        return (reader(value.strip().lower()),)
    except (KeyError, ValueError):
        return None
