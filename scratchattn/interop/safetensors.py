"""Weights as a .safetensors file, to exchange with other libraries.

    write_weights("ntm.safetensors", params)
    read_weights("ntm.safetensors", model.init(rng))

A checkpoint is what a run goes on from; this holds the parameters only, by name, for whoever reads the
format.  Names, shapes and dtypes must be the same on both sides: nothing is renamed, turned or cast.

Source: https://github.com/huggingface/safetensors, the format as its README states it.
"""

from pathlib import Path

from ..backend import array_module, to_numpy
from ..parameters import Params
from ..training.archive import Damaged
from ..whole_file import write_whole

SHOWN = 5  # names in one message


def write_weights(path, params):
    """Write every array of ``params``, a Params, under its name; return the path.

    The file appears whole or not at all; an OSError names it.
    """
    _check("write_weights", params)
    # each is in C order, being a view of one vector: the library writes other layouts as they lie
    data = _library().save({name: to_numpy(value) for name, value in params.items()})
    write_whole(path, data)
    return Path(path)


def read_weights(path, params):
    """Overwrite ``params``, a Params, with what the file holds, and return it.

    ``archive.Damaged`` if the file cannot be read; ValueError and TypeError name every array that is missing,
    too many, or of another shape or dtype, and then nothing is overwritten.
    """
    _check("read_weights", params)
    found = read_arrays(path)
    for told, names in (
        ("lacks", [name for name in params if name not in found]),
        ("has, and the model has not,", [name for name in found if name not in params]),
    ):
        if names:
            raise ValueError(f"read_weights: {path} {told} {few(names)}")
    _refuse(ValueError, path, "shape", {name: (params.shapes[name], found[name].shape) for name in params})
    _refuse(TypeError, path, "dtype", {name: (str(params.dtype), str(found[name].dtype)) for name in params})
    xp = array_module(params.flat)
    params.assign({name: xp.asarray(value) for name, value in found.items()})
    return params


def read_arrays(path):
    """name -> NumPy array, all that a .safetensors file holds; ``archive.Damaged`` if it cannot be read."""
    library = _library()
    try:
        return library.load(Path(path).read_bytes())
    except FileNotFoundError:
        raise
    except OSError as wrong:
        raise Damaged(path, f"it cannot be read: {wrong.strerror}", "look at its permissions") from wrong
    except Exception as wrong:  # the library's own, and whatever an odd dtype makes of it
        told = " ".join(str(wrong).split())[:160]
        what = f"it is damaged, or no .safetensors of arrays that NumPy has ({told})"
        raise Damaged(path, what, "export it again") from wrong


def _check(function, params):
    if not isinstance(params, Params):
        raise TypeError(f"{function}: params must be a Params, got {type(params).__name__}")


def _refuse(error, path, kind, pairs):
    wrong = [
        f"{name} {expected} and not {came}" for name, (expected, came) in pairs.items() if expected != came
    ]
    if wrong:
        raise error(f"read_weights: {path}: expected the {kind} of {few(wrong)}")


def few(words):
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def _library():
    try:
        import safetensors.numpy as library
    except ImportError:
        raise ImportError("safetensors is needed: pip install 'scratchattn[interop]'") from None
    return library
