"""How each framework is asked: arrays in, outputs out, gradients by its own automatic differentiation.

A framework is a class with

    array(x, dtype=None)     its array of what the NumPy array ``x`` holds
    is_array(y)              whether it is one (a tracer counts)
    kind(y), values(y)       its dtype's name; its numbers in a NumPy array
    attempt(call, arrays)    the candidate at ``arrays``, to see whether it raises
    run(key, call, active, constants, pick, cotangents)   ->   [(name, output)], gradients or None

``call(active, constants)`` is the candidate, ``pick`` the named outputs in what it returns, ``cotangents``
those that fit them, or None if none do; calls of one ``key`` differ in their arrays alone.  So all that
follows, from shapes to verdicts, is the same for all.
"""

import inspect
from importlib import import_module

import numpy as np

from .guessing import guessed
from .plan import LOW


class Framework:
    """What is the same for most."""

    def attempt(self, call, arrays):
        """The candidate's answer is not wanted, only whether it raises."""
        call(arrays, [])


class NumPy(Framework):
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


class Torch(Framework):
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


IN_HASTE = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}  # for XLA


class Jax(Framework):
    """vjp under jit, compiled once for each shape; what JAX cannot trace it cannot differentiate either.

    Compiled for a short compilation: a case runs a few times, and each of its shapes would take XLA a second.
    """

    differentiates = True

    def __init__(self):
        self.jax = imported("jax")
        self.shaped: dict = {}
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

    def attempt(self, call, arrays):
        """By its shapes alone: to compute would compile every step of it."""
        with self.jax.enable_x64(True):
            self.jax.eval_shape(lambda arrays: (call(arrays, []), None)[1], arrays)

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

        key = key, *[(x.shape, str(x.dtype)) for x in (*active, *constants)]
        if key not in self.shaped:
            shapes = jax.eval_shape(outputs, active, constants)
            self.shaped[key] = list(zip(names, shapes))
        chosen = self.shaped[key]
        given = cotangents(chosen)
        if given is None:
            return list(zip([name for name, _ in chosen], outputs(active, constants))), None
        arrays = tuple(active), constants, tuple(given)
        if key not in self.compiled:
            self.compiled[key] = self._compile(both, arrays)
        values, grads = self.compiled[key](*arrays)
        return [(name, y) for (name, _), y in zip(chosen, values)], list(grads)

    def _compile(self, function, arrays):
        lowered = self.jax.jit(function).lower(*arrays)
        try:
            return lowered.compile(compiler_options=IN_HASTE)
        except self.jax.errors.JaxRuntimeError:  # another version, without such options
            return lowered.compile()


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


class TensorFlow(Framework):
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
