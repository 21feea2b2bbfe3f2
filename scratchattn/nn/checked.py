"""Layers check their calls as ops do: by a signature, and with the same words."""

import inspect
from functools import wraps

from ..signature import Signature


def checked(text, **passive):
    """Decorate a function whose first arguments are those of the signature ``text``, in order.

    ``passive``: the kind of each argument marked "!".  Here no axes come before those that are
    written, so that a batch in the wrong place is an error and not broadcast.  ValueError for a size
    and TypeError for a kind that does not fit, naming function, argument, what was expected and what came.
    """

    def decorate(function):
        name = function.__name__
        signature = Signature(name, f"{text} -> out()", passive, None)
        python = inspect.signature(function)
        names = [argument.name for argument in signature.inputs]
        if list(python.parameters)[: len(names)] != names:
            raise ValueError(f"{name}: its arguments must begin with {names}, got {list(python.parameters)}")

        @wraps(function)
        def called(*args, **kwargs):
            try:
                given = python.bind(*args, **kwargs).arguments
            except TypeError as wrong:
                raise TypeError(f"{name}: {wrong}; it takes {text}") from None
            arrays = tuple([given.get(n) for n in names])
            for argument, array in zip(signature.inputs, signature.check(arrays, {})):
                if array is not None and array.ndim != len(argument.axes):
                    wanted = f"must have the axes ({','.join(map(str, argument.axes))}) and no others"
                    raise ValueError(f"{name}: {argument.name} {wanted}, got shape {array.shape}")
            return function(*args, **kwargs)

        called.signature = signature
        return called

    return decorate
