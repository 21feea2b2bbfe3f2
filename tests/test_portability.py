"""GPU safety on a machine without a GPU.

Four witnesses, each for what the others cannot see.  ``array_api_strict`` has devices that refuse to
mix with NumPy, and one without float64: an op that runs there has no hidden ``np.`` and makes no array
in the wrong place or precision.  The recorded CuPy has CuPy's names and keywords, its arrays of no
axes, and counts every wait for the device.  The source is read: ops say what is in the alphabet and
nothing else.  And CuPy itself, which imports without a GPU, is asked whether the record is true.
"""

import ast
from pathlib import Path

import numpy as np
import pytest
import recorded_cupy
from record_cupy_api import record
from recorded_cupy import RECORDED, namespace, no_reads

from scratchattn import REGISTRY, backend
from scratchattn.backend import FUSED_ALPHABET, LETTERS, STANDARD, array_module
from scratchattn.op import Case, Op
from scratchattn.tape import vjp

PACKAGE = Path(backend.__file__).parent
OPS = [pytest.param(op, id=name) for name, op in sorted(REGISTRY.items())]
REFERENCE = [pytest.param(op, id=name) for name, op in sorted(REGISTRY.items()) if not op.equals]


def outcome(op, case, bring, dtype=np.float64):
    """Outputs and gradients of ``op`` at ``case``, every array of it taken to where ``bring`` takes it."""
    rng = np.random.default_rng(7)
    kinds = {None: dtype, "floating": dtype, "boolean": bool, "integer": np.int64}
    whole = [
        None if x is None else bring(np.asarray(x, kinds[kind])) for x, kind in zip(case.inputs, op.kinds)
    ]
    active = [i for i, (x, kind) in enumerate(zip(whole, op.kinds)) if x is not None and kind is None]

    def function(*tensors):
        inputs = list(whole)
        for place, tensor in zip(active, tensors, strict=True):
            inputs[place] = tensor
        out = op(*inputs, **case.params)
        return out if isinstance(out, tuple) else (out,)

    if not active:
        return list(function())
    out, pullback = vjp(function, *[whole[i] for i in active])
    return [*out, *pullback(*[bring(rng.normal(size=y.shape).astype(dtype)) for y in out])]


def alike(found, truth, tolerance=1e-12):
    """None, or in words how far the lists of NumPy arrays are apart; NaN is not alike."""
    for i, (a, b) in enumerate(zip(found, truth, strict=True)):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            return f"array {i} is {a.shape} {a.dtype}, not {b.shape} {b.dtype}"
        if b.size and not abs(a - b).max() <= tolerance * (abs(b).max() or 1.0):
            return f"array {i} is off by {abs(a - b).max()} of {abs(b).max()}"


def cases_of(op):
    return list(op.cases(np.random.default_rng(0)))


# ---- a device that is not the host ------------------------------------------


def run_strictly(op, case, device, dtype=np.float64):
    """The outcome on a device of array_api_strict, brought back, having stayed there all the time."""
    strict = pytest.importorskip("array_api_strict")
    there = strict.Device(device)
    results = outcome(op, case, lambda x: strict.asarray(x, device=there), dtype)
    assert all(y.device == there for y in results), f"{case.label}: left the device"
    return [np.asarray(strict.asarray(y, device=strict.Device("CPU_DEVICE"))) for y in results]


@pytest.mark.parametrize("op", REFERENCE)
def test_runs_on_a_device_that_is_not_the_host(op):
    for case in cases_of(op):
        here, there = outcome(op, case, np.asarray), run_strictly(op, case, "device1")
        assert not alike(there, here), f"{case.label}: {alike(there, here)}"


@pytest.mark.parametrize("op", REFERENCE)
def test_runs_where_there_is_no_float64(op):
    case = cases_of(op)[0]
    here = outcome(op, case, np.asarray, np.float32)
    there = run_strictly(op, case, "no_float64", np.float32)
    assert not alike(there, here, 1e-5)


# ---- CuPy as recorded -------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", OPS)
def test_runs_on_the_recorded_cupy_without_waiting_for_it(op, dtype):
    for case in cases_of(op) if dtype == "float64" else cases_of(op)[:1]:
        here = outcome(op, case, np.asarray, np.dtype(dtype))
        with no_reads(), np.errstate(all="ignore"):  # CuPy has no errstate: its arithmetic never complains
            there = outcome(op, case, namespace.asarray, np.dtype(dtype))
        assert all(type(y) is recorded_cupy.ndarray for y in there), f"{case.label}: left the device"
        far = alike([y.host() for y in there], here, 1e-12 if dtype == "float64" else 1e-5)
        assert not far, f"{case.label}: {far}"


def double(backward=None, forward=None):
    """An op that is right, or harmed on purpose."""
    return Op(
        "double",
        "x(n) -> out(n)",
        forward or (lambda x: (x * 2, x)),
        backward or (lambda saved, dout: (dout * 2,)),
        lambda rng: [Case("three", (rng.normal(size=3),))],
    )


HARMED = {
    "a number is read": double(lambda saved, dout: (dout * float(dout[0] * 0 + 2),)),
    "a branch on an array": double(lambda saved, dout: (dout * 2 if saved[0] > 0 else dout + dout,)),
    "values are walked over": double(forward=lambda x: (array_module(x).stack([v * 2 for v in x]), x)),
    "a boolean index": double(forward=lambda x: (x * 2 + 0 * array_module(x).sum(x[x > 0]), x)),
    "NumPy in an op": double(forward=lambda x: (x * np.full(3, 2.0), x)),
    "a NumPy scalar": double(forward=lambda x: (x * np.float64(2), x)),
    "a function of NumPy": double(forward=lambda x: (np.add(x, x), x)),
    "a keyword that CuPy lacks": double(forward=lambda x: (x + array_module(x).sort(x, stable=True), x)),
    "a name that CuPy lacks": double(forward=lambda x: (x * array_module(x).vecdot(x, x), x)),
    "a method that CuPy lacks": double(forward=lambda x: (x.to_device("cpu") * 2, x)),
    "a result on the host": double(forward=lambda x: (x.get() * 2, x)),
}


@pytest.mark.parametrize("name", HARMED)
def test_what_a_gpu_would_refuse_or_wait_for_is_noticed(name):
    case = cases_of(double())[0]
    with no_reads():
        assert type(outcome(double(), case, namespace.asarray)[0]) is recorded_cupy.ndarray
    with pytest.raises((AssertionError, TypeError, AttributeError, ValueError)):
        with no_reads():
            there = outcome(HARMED[name], case, namespace.asarray)
            assert all(type(y) is recorded_cupy.ndarray for y in there)


def test_the_recorded_cupy_differs_from_numpy_where_cupy_does():
    x = namespace.asarray(np.arange(6.0).reshape(2, 3))
    rows = namespace.asarray(np.array([1, 2, -1]))
    assert type(x.sum()) is type(x[0, 0]) is type(namespace.max(x)) is type(x)
    assert x.sum().shape == x[0, 0].shape == ()
    assert (x[rows].host() == np.arange(6.0).reshape(2, 3)[[1, 0, 1]]).all()  # 2 wraps to 0
    assert (namespace.take(x, rows, axis=0).host() == x[rows].host()).all()
    assert (namespace.take_along_axis(x, rows[None, :] + 4, axis=1).host() == [[2, 0, 0], [5, 3, 3]]).all()
    with pytest.raises(TypeError, match="0-d"):
        iter(x[0, 0])
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    with pytest.raises(ValueError, match="one element"):
        x[rows] = x[rows]


def test_reads_say_where_they_were_made():
    x = namespace.asarray(np.ones(2))
    for read in (
        *(lambda: float(x[0]), lambda: int(x[0]), lambda: bool(x[0]), lambda: x[0].item(), lambda: x.get()),
        *(lambda: list(x), lambda: x[x > 0], lambda: namespace.nonzero(x), lambda: namespace.where(x)),
    ):
        before = len(recorded_cupy.reads)
        read()
        assert len(recorded_cupy.reads) == before + 1
        assert Path(__file__).name in recorded_cupy.reads[-1]
    with no_reads():
        assert (len(x), x.shape, x.size) == (2, (2,), 2)
        namespace.where(x > 0, x, 0)
        array_module(x).sum(x)


def test_the_record_is_true():
    """Names and signatures, of the CuPy that is installed here; of another version, those that we use."""
    cupy = pytest.importorskip("cupy")
    if cupy.__version__ == RECORDED["version"]:
        assert record() == RECORDED
    now = record()
    for name in FUSED_ALPHABET - LETTERS:
        for kind in ("functions", "ufuncs"):
            assert now[kind].get(name) == RECORDED[kind].get(name), name


def test_cupy_has_every_name_that_we_use():
    cupy = pytest.importorskip("cupy")
    used = (FUSED_ALPHABET - LETTERS) | {"argsort", "finfo", "full_like", "real", "searchsorted", "take"}
    assert not [name for name in sorted(used) if not hasattr(cupy, name)]


# ---- the text itself --------------------------------------------------------

VIEWS = {"T", "mT", "reshape", "swapaxes", "transpose"}  # of array methods, what the fused tier may use
OURS = {"array_module", "sum_to_shape"} | LETTERS
SHAPE = {"shape", "ndim", "dtype", "__name__"}
TWINS = {"tw", "twins"}  # what the fused tier calls where the libraries differ: see twins.py
LIBRARIES = {"numpy", "scipy", "cupy", "torch", "jax"}
# methods of lists, dicts and strings
HOST = {"append", "count", "extend", "index", "items", "join", "keys", "values"}
DANGEROUS = {"bool", "complex", "eval", "exec", "getattr"}
METHODS = {*RECORDED["methods"], *(m for m in dir(np.ndarray) if callable(getattr(np.ndarray, m)))} - VIEWS
PROPERTIES = {"ctypes", "data", "flags", "flat", "imag", "real", "strides"}


def strangers(source, fused=False):
    """What a file says outside its alphabet, in words; evidence and transcriptions are not read."""
    text = ast.parse(source.partition("# ---- evidence")[0])
    text.body = [node for node in text.body if not getattr(node, "name", "").endswith("_loops")]
    foreign, alphabet = _foreign(text), FUSED_ALPHABET - LETTERS if fused else STANDARD
    called = {node.func for node in ast.walk(text) if isinstance(node, ast.Call)}
    for node in ast.walk(text):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if owner == "xp" or owner.startswith("array_module("):
                known = node.attr in alphabet
            elif fused:
                stranger = node.attr in PROPERTIES or (node in called and node.attr in METHODS)
                known = owner in TWINS or not (stranger or owner.startswith("xp."))
            else:
                known = node.attr in SHAPE | HOST or owner.endswith(("math", "op", "tape"))
            if not known:
                yield f"line {node.lineno}: {owner}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id in foreign:
            yield f"line {node.lineno}: {node.id}"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in DANGEROUS:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _foreign(text):
    """The names that imports bring in from where an op has no business."""
    found = set()
    for node in ast.walk(text):
        if isinstance(node, ast.Import):
            found |= {a.asname or a.name for a in node.names if a.name.partition(".")[0] in LIBRARIES}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module.partition(".")[0] in LIBRARIES:
                found |= {a.asname or a.name for a in node.names}
            elif node.level and node.module == "backend":
                found |= {a.asname or a.name for a in node.names if a.name not in OURS}
    return found


SHARED = ("calculus", "masks", "scoring", "similarity", "windows")
SOURCES = [
    pytest.param(path, room == "fused", id=str(path.relative_to(PACKAGE).with_suffix("")))
    for room, pattern in (("ops", "ops/*.py"), ("fused", "fused/*.py"), ("calculus", "[cmsw]*.py"))
    for path in sorted(PACKAGE.glob(pattern))
    if path.name != "__init__.py" and (room != "calculus" or path.stem in SHARED)
]


@pytest.mark.parametrize("path, fused", SOURCES)
def test_the_text_stays_inside_its_alphabet(path, fused):
    assert not list(strangers(path.read_text(encoding="utf-8"), fused))


OUTSIDE = [
    *("xp.linalg.norm(x)", "x.sum(-1)", "array_module(x).abs(x)", "xp.add.reduce(x)", "np.sum(x)", "erf2(x)"),
    *(
        "x.astype('float32')",
        "x.real",
        "x.get()",
        "complex(x)",
        "getattr(xp, 'abs')(x)",
        "xp.einsum('i,i', x, x)",
    ),
    *("xp.real(x)", "xp.zeros(3)", "x.item()", "bool(x)"),
]


@pytest.mark.parametrize("fused", [False, True], ids=["ops", "fused"])
@pytest.mark.parametrize("text", OUTSIDE)
def test_strangers_in_the_text_are_noticed(text, fused):
    opening = "import numpy as np\nfrom ..backend import array_module, asarray as erf2\n"
    assert list(strangers(f"{opening}def f_forward(xp, x):\n    return {text}\n", fused))


@pytest.mark.parametrize("text", ["x.T", "x.reshape(-1)", "xp.multiply(x, x, out=x)"])
def test_what_the_fused_tier_may_say_is_refused_in_an_op(text):
    source = f"def f_forward(xp, x):\n    return {text}\n"
    assert list(strangers(source)) and not list(strangers(source, fused=True))


def test_evidence_and_transcriptions_are_not_read():
    source = (
        "def f_loops(x, *, math):\n    return float(x)\n# ---- evidence\nimport numpy as np\nnp.ones(2)\n"
    )
    assert not list(strangers(source)) and not list(strangers("def f(xp, x):\n    return xp.exp(x).shape\n"))
