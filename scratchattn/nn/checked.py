"""Layers check their calls as ops do: by a signature, and with the same words."""

import inspect
from functools import wraps

from ..signature import Signature


def checker(name, text, *, leading=False, **passive):
    """A function of arrays, in the order of the signature ``text``, that raises unless they fit.

    ``passive``: the kind of each argument marked "!".  Unless ``leading``, no axes come before those that
    are written, so that a batch in the wrong place is an error and not broadcast.  ValueError for a size
    and TypeError for a kind, naming function, argument, what was expected and what came.
    """
    signature = Signature(name, f"{text} -> out()", passive, None)

    def check(*arrays):
        for argument, array in zip(signature.inputs, signature.check(signature.complete(arrays), {})):
            if not leading and array is not None and array.ndim != len(argument.axes):
                wanted = f"must have the axes ({','.join(map(str, argument.axes))}) and no others"
                raise ValueError(f"{name}: {argument.name} {wanted}, got shape {array.shape}")

    check.names = [argument.name for argument in signature.inputs]
    return check


def checked(text, **rules):
    """Decorate a function whose first arguments are those of ``text``; the rest as for ``checker``."""

    def decorate(function):
        name, python = function.__name__, inspect.signature(function)
        check = checker(name, text, **rules)
        if list(python.parameters)[: len(check.names)] != check.names:
            raise ValueError(
                f"{name}: its arguments must begin with {check.names}, got {list(python.parameters)}"
            )

        @wraps(function)
        def called(*args, **kwargs):
            try:
                given = python.bind(*args, **kwargs).arguments
            except TypeError as wrong:
                raise TypeError(f"{name}: {wrong}; it takes {text}") from None
            check(*[given.get(argument) for argument in check.names])
            return function(*args, **kwargs)

        return called

    return decorate
