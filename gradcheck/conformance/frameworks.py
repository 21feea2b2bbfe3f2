"""How each framework is asked: arrays in, outputs out, gradients by its own automatic differentiation.

A framework is a class with

    array(x, dtype=None)     its array of what the NumPy array ``x`` holds
    is_array(y)              whether it is one (a tracer counts)
    kind(y), values(y)       its dtype's name; its numbers in a NumPy array
    run(key, call, active, constants, pick, cotangents)   ->   [(name, output)], gradients or None

``call(active, constants)`` is the candidate, ``pick`` the named outputs in what it returns, ``cotangents``
those that fit them, or None if none do; calls of one ``key`` differ in their arrays alone.  So all that
follows, from shapes to verdicts, is the same for all.
"""

import inspect
from importlib import import_module

import numpy as np

from .plan import LOW


class NumPy:
    """A pair of functions: ``backward(saved, dout)`` or ``backward(*inputs, *douts)``; or no backward.

    The former, whose function returns out, saved, is known by the name of its first argument.
    """

    def __init__(self, backward=None):
        self.backward = backward
        self.differentiates = backward is not None
        first = next(iter(inspect.signature(backward).parameters), "") if backward else ""
        self.takes_saved = first.startswith(("saved", "cache", "residual", "ctx", "context", "memo"))

    def array(self, x, dtype=None):
        return np.array(x) if dtype is None else np.array(x).astype(numpy_dtype(dtype))

    def is_array(self, y):
        return isinstance(y, (np.ndarray, np.generic))

    def kind(self, y):
        return str(y.dtype)

    def values(self, y):
        return np.asarray(y).astype(float) if self.kind(y) in LOW else np.asarray(y)

    def run(self, key, call, active, constants, pick, cotangents):
        raw, saved = call(active, constants), None
        if self.takes_saved and isinstance(raw, tuple) and len(raw) == 2:
            raw, saved = raw
        chosen = pick(raw)
        given = cotangents(chosen) if self.differentiates else None
        if given is None:
            return chosen, None
        if self.takes_saved:
            grads = self.backward(saved, given[0] if len(given) == 1 else tuple(given))
        else:
            grads = self.backward(*call.in_order(active, constants), *given)
        return chosen, list(grads) if isinstance(grads, (tuple, list)) else [grads]


class Torch:
    differentiates = True

    def __init__(self):
        self.torch = imported("torch")

    def array(self, x, dtype=None):
        x = self.torch.tensor(np.asarray(x))
        return x if dtype is None else x.to(getattr(self.torch, dtype))

    def is_array(self, y):
        return isinstance(y, self.torch.Tensor)

    def kind(self, y):
        return str(y.dtype).removeprefix("torch.")

    def values(self, y):
        y = y.detach().cpu()
        return (y.double() if self.kind(y) in LOW else y).numpy()

    def run(self, key, call, active, constants, pick, cotangents):
        leaves = [x.requires_grad_() for x in active]
        chosen = pick(call(leaves, constants))
        given = cotangents(chosen)
        if given is None:
            return chosen, None
        paired = [(y, u) for (_, y), u in zip(chosen, given) if y.requires_grad]
        if not paired or not leaves:
            return chosen, [None] * len(leaves)
        outputs, given = zip(*paired)
        return chosen, list(self.torch.autograd.grad(outputs, leaves, given, allow_unused=True))


class Jax:
    """vjp under jit, compiled once for each shape; what JAX cannot trace it cannot differentiate either."""

    differentiates = True

    def __init__(self):
        self.jax = imported("jax")
        self.compiled: dict = {}

    def array(self, x, dtype=None):
        with self.jax.enable_x64(True):
            return self.jax.numpy.asarray(x if dtype is None else np.asarray(x).astype(numpy_dtype(dtype)))

    def is_array(self, y):
        return isinstance(y, self.jax.Array)

    def kind(self, y):
        return str(y.dtype)

    def values(self, y):
        y = np.asarray(y)
        return y.astype(float) if str(y.dtype) in LOW else y

    def run(self, key, call, active, constants, pick, cotangents):
        with self.jax.enable_x64(True):
            return self._run(key, call, active, constants, pick, cotangents)

    def _run(self, key, call, active, constants, pick, cotangents):
        jax, names = self.jax, []

        def outputs(primals, constants):
            chosen = pick(call(primals, constants))
            names[:] = [name for name, _ in chosen]
            return tuple(y for _, y in chosen)

        def both(primals, constants, given):
            values, back = jax.vjp(lambda *x: outputs(x, constants), *primals)
            return values, back(given)

        shapes = jax.eval_shape(outputs, active, constants)
        chosen = list(zip(names, shapes))
        given = cotangents(chosen)
        if given is None:
            return list(zip(names, outputs(active, constants))), None
        values, grads = self.compiled.setdefault(key, jax.jit(both))(tuple(active), constants, tuple(given))
        return [(name, y) for (name, _), y in zip(chosen, values)], list(grads)


class Autograd(NumPy):
    """HIPS autograd: NumPy's arrays, in boxes while they are traced."""

    def __init__(self):
        super().__init__()
        self.autograd, self.differentiates = imported("autograd"), True
        self.box = imported("autograd.tracer", "autograd").Box

    def is_array(self, y):
        return isinstance(y, (np.ndarray, np.generic, self.box))

    def run(self, key, call, active, constants, pick, cotangents):
        group, names = imported("autograd.builtins", "autograd").tuple, []

        def outputs(primals):
            chosen = pick(call(list(primals), constants))
            names[:] = [name for name, _ in chosen]
            return group([y for _, y in chosen])

        back, values = self.autograd.make_vjp(outputs)(tuple(active))
        chosen = list(zip(names, values))
        given = cotangents(chosen)
        return chosen, None if given is None else list(back(tuple(given)))


class TensorFlow:
    differentiates = True

    def __init__(self):
        self.tf = imported("tensorflow")

    def array(self, x, dtype=None):
        return self.tf.convert_to_tensor(x if dtype is None else np.asarray(x).astype(numpy_dtype(dtype)))

    def is_array(self, y):
        return self.tf.is_tensor(y)

    def kind(self, y):
        return y.dtype.name

    def values(self, y):
        return np.asarray(self.tf.cast(y, "float64") if self.kind(y) in LOW else y)

    def run(self, key, call, active, constants, pick, cotangents):
        with self.tf.GradientTape() as tape:
            for x in active:
                tape.watch(x)
            chosen = pick(call(active, constants))
        given = cotangents(chosen)
        if given is None:
            return chosen, None
        grads = tape.gradient([y for _, y in chosen], active, output_gradients=given)
        return chosen, [None if g is None else self.tf.convert_to_tensor(g) for g in grads]


FRAMEWORKS = {"numpy": NumPy, "torch": Torch, "jax": Jax, "autograd": Autograd, "tensorflow": TensorFlow}


def framework_of(function, name=None, backward=None):
    """The framework called ``name``; without one, the first whose module ``function`` speaks of."""
    name = name or guessed(function, backward)
    if name not in FRAMEWORKS:
        raise ValueError(f"verify: framework must be one of {', '.join(FRAMEWORKS)}, got {name!r}")
    if name == "numpy":
        return name, NumPy(backward)
    if backward is not None:
        raise ValueError(f"verify: backward is for framework='numpy'; {name} differentiates itself")
    return name, FRAMEWORKS[name]()


def guessed(function, backward=None):
    """The framework that a function was written in, by the modules it names; NumPy if by none.

    Of the functions that it calls, those of its own module are looked at too.
    """
    if backward is not None:
        return "numpy"
    tops = (str(place).partition(".")[0] for place in _spoken_of(function, set()))
    tops = ("jax" if top == "jaxlib" else top for top in tops)
    return next((top for top in tops if top in FRAMEWORKS and top != "numpy"), "numpy")


def _spoken_of(function, seen):
    """Yield the modules of a function, of what it is an instance of, and of what its text names."""
    function = inspect.unwrap(function) if callable(function) else function
    function = getattr(function, "func", function)  # of functools.partial
    if id(function) in seen:
        return
    seen.add(id(function))
    home = getattr(function, "__module__", None) or ""
    yield from [home, *[base.__module__ for base in type(function).__mro__]]
    plain = getattr(function, "__func__", function)  # of a method
    code = getattr(plain, "__code__", None)
    if code is None:
        return
    around, inner = getattr(plain, "__globals__", {}), [code]
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
            yield from [getattr(value, "__module__", None) or "", type(value).__module__]


def _is_set(cell):
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a name that its function has not come to yet
        return False


def imported(name, package=None):
    """The module ``name``; ImportError that says how to get it."""
    try:
        return import_module(name)
    except ImportError as missing:
        package = package or name
        extra = ", or the extra scratchattn[peers]" if package != "tensorflow" else ""
        extra = ", or the extra scratchattn[test]" if name == "flint" else extra
        raise ImportError(f"verify: {package} is not installed: pip install {package}{extra}") from missing


def numpy_dtype(name):
    """NumPy's dtype of that name; bfloat16 is one of ml_dtypes."""
    return np.dtype(imported("ml_dtypes").bfloat16 if name == "bfloat16" else name)
