"""Which framework a function was written in, found from what it speaks of."""

import inspect

from .guarded import attribute

OTHERS = ("torch", "jax", "autograd", "tensorflow")  # than NumPy, which all of them speak of


def guessed(function, backward=None):
    """The framework that a function was written in, by the modules it names; NumPy if by none.

    Of the functions that it calls, those of its own module are looked at too.
    """
    if backward is not None:
        return "numpy"
    tops = (str(place).partition(".")[0] for place in _spoken_of(function, set()))
    tops = ("jax" if top == "jaxlib" else top for top in tops)
    return next((top for top in tops if top in OTHERS), "numpy")


def _spoken_of(function, seen):
    """Yield the modules of a function, of what it is an instance of, and of what its text names."""
    function = inspect.unwrap(function) if attribute(function, "__wrapped__") else function
    function = attribute(function, "func", function)  # of functools.partial
    if id(function) in seen:
        return
    seen.add(id(function))
    home = attribute(function, "__module__", None) or ""
    yield from [home, *[base.__module__ for base in type(function).__mro__]]
    plain = attribute(function, "__func__", function)  # of a method
    code = attribute(plain, "__code__", None)
    if code is None:
        return
    around, inner = attribute(plain, "__globals__", {}), [code]
    known = [cell.cell_contents for cell in plain.__closure__ or () if _is_set(cell)]
    while inner:  # functions inside it are constants of its code
        code = inner.pop()
        inner += [constant for constant in code.co_consts if inspect.iscode(constant)]
        known += [around[name] for name in code.co_names if name in around]
    for value in known:
        if inspect.ismodule(value):
            yield value.__name__
        elif inspect.isfunction(value) and value.__module__ == home:
            yield from _spoken_of(value, seen)
        else:
            yield from [attribute(value, "__module__", None) or "", type(value).__module__]


def _is_set(cell):
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a name that its function has not come to yet
        return False
