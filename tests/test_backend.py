"""Whose arrays they are, where new ones are born, and the letters that are our own, in every library."""

import sys

import numpy as np
import pytest
import recorded_cupy

from scratchattn import backend, refusals
from scratchattn.backend import array_module, sum_to_shape
from scratchattn.tape import Tensor

strict = pytest.importorskip("array_api_strict")
DEVICE = strict.Device("device1")
LIBRARIES = {
    "numpy": (np.asarray, np.asarray),
    "strict": (
        lambda x: strict.asarray(x, device=DEVICE),
        lambda y: np.asarray(strict.asarray(y, device=strict.Device("CPU_DEVICE"))),
    ),
    "cupy as recorded": (recorded_cupy.namespace.asarray, lambda y: y.host()),
}


@pytest.fixture(params=LIBRARIES)
def library(request):
    """(there, back): take a NumPy array to the library, and a result back."""
    return LIBRARIES[request.param]


# ---- whose array it is ------------------------------------------------------


def test_arrays_decide(library):
    there, _ = library
    x = there(np.ones(2))
    for arrays in ((x,), (x, 2.0, None), (None, 1, 1j, True, x), (x, x + x)):
        assert array_module(*arrays) is array_module(x)
    assert array_module(np.float64(1)) is array_module(np.ones(())) is np


def test_a_mixture_is_refused():
    kinds = [there(np.ones(2)) for there, _ in LIBRARIES.values()]
    for x in kinds:
        for y in kinds:
            if x is not y:
                with pytest.raises(TypeError, match=r"arrays of one library expected, got .* and "):
                    array_module(x, None, y)


@pytest.mark.parametrize("stranger", [[1.0], (1.0,), "text", {}, object(), Tensor(np.ones(2)), range(3)])
def test_what_is_no_array_is_named(stranger):
    with pytest.raises(TypeError, match=f"an array expected, got {type(stranger).__name__}"):
        array_module(np.ones(2), stranger)


@pytest.mark.parametrize("arrays", [(), (None,), (1.0, 2)])
def test_without_an_array_nothing_is_decided(arrays):
    with pytest.raises(TypeError, match="at least one array expected, got none"):
        array_module(*arrays)


def test_cupy_is_known_by_its_name(monkeypatch):
    """Real CuPy arrays have no __array_namespace__; their module's name is enough."""
    fake = type(sys)("cupy")
    fake.ndarray = type("ndarray", (), {"__module__": "cupy", "get": lambda self: "on the host"})
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(backend, "_OWNERS", {})
    assert array_module(fake.ndarray()) is fake
    assert backend.to_numpy(fake.ndarray()) == "on the host"


# ---- where arrays are born --------------------------------------------------


def test_arrays_are_born_where_use_says(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", recorded_cupy.namespace)
    with backend.use("cupy") as xp:
        assert xp is recorded_cupy.namespace
        born = backend.asarray([1.0, 2.0], dtype="float32")
        assert type(born) is recorded_cupy.ndarray and born.dtype == np.float32
        assert array_module(np.ones(2)) is np  # what exists stays what it is
        with backend.use("numpy"):
            assert type(backend.asarray([1.0])) is np.ndarray
        assert type(backend.asarray([1.0])) is recorded_cupy.ndarray
    assert type(backend.asarray([1.0])) is np.ndarray


def test_use_as_a_statement_lasts(monkeypatch):
    monkeypatch.setattr(backend, "_born", "numpy")
    monkeypatch.setitem(sys.modules, "cupy", recorded_cupy.namespace)
    backend.use("cupy")
    assert type(backend.asarray([1.0])) is recorded_cupy.ndarray
    backend.use("numpy")
    assert type(backend.asarray([1.0])) is np.ndarray


def test_use_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError):
        with backend.use("numpy"):
            raise ZeroDivisionError
    assert type(backend.asarray([1.0])) is np.ndarray


def test_an_unknown_library_is_refused():
    with pytest.raises(ValueError, match="library must be 'numpy' or 'cupy', got 'torch'"):
        backend.use("torch")


def test_a_missing_cupy_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"install scratchattn\[gpu\] for CUDA 12"):
        backend.use("cupy")
    assert type(backend.asarray([1.0])) is np.ndarray


def test_to_numpy_is_the_way_out():
    x = np.arange(3.0)
    assert backend.to_numpy(x) is x
    before = len(recorded_cupy.reads)
    found = backend.to_numpy(recorded_cupy.namespace.asarray(x))
    assert type(found) is np.ndarray and (found == x).all()
    assert len(recorded_cupy.reads) == before + 1
    with pytest.raises(TypeError, match="an array expected"):
        backend.to_numpy([1.0])


# ---- sum_to_shape -----------------------------------------------------------


@pytest.mark.parametrize(
    "shape, larger",
    [
        ((3,), (3,)),
        ((3,), (2, 3)),
        ((1, 3), (2, 3)),
        ((), (2, 3)),
        ((2, 1, 3), (4, 2, 5, 3)),
        ((1,), (0,)),
        ((0,), (2, 0)),
    ],
)
def test_summing_is_the_transpose_of_broadcasting(library, rng, shape, larger):
    there, back = library
    x, y = rng.normal(size=shape), rng.normal(size=larger)
    down = sum_to_shape(there(y), shape)
    assert down.shape == shape
    np.testing.assert_allclose((np.broadcast_to(x, larger) * y).sum(), (x * back(down)).sum(), rtol=1e-13)


def test_a_sum_of_nothing_costs_nothing():
    x = np.ones((2, 3))
    assert sum_to_shape(x, (2, 3)) is x


# ---- letters ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int32", "int64"])
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 0, 3), (2, 3)])
def test_new_arrays_are_like_the_old(library, dtype, shape):
    there, back = library
    x = there(np.ones(shape, dtype))
    for made, expected in [
        (backend.constant(x, 3), 3),
        (backend.arange_like(x, 4), np.arange(4)),
        (backend.eye_like(x, 3), np.eye(3)),
        (backend.arange_like(x, 0), np.zeros(0)),
    ]:
        assert type(made) is type(x) or shape == ()
        assert back(made).dtype == dtype and (back(made) == expected).all()
        assert getattr(made, "device", None) == getattr(x, "device", None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_lowest_number_is_a_python_float(library, dtype):
    there, _ = library
    found = backend.lowest(there(np.ones(2, dtype)))
    assert type(found) is float and found == np.finfo(dtype).min
    assert backend.lowest(there(np.ones(2, "complex64"))) == np.finfo("float32").min


def test_real_is_the_real_part(library):
    there, back = library
    z = np.array([1 + 2j, -3j])
    assert back(backend.real(there(z))).tolist() == [1, 0]
    assert back(backend.real(there(np.array([2.0])))).tolist() == [2]


def test_equal_numbers_keep_their_order(library, rng):
    there, back = library
    x = rng.integers(0, 4, size=(3, 50)).astype(float)
    for axis in (-1, 0):
        order = back(backend.stable_argsort(there(x), axis=axis))
        assert (order == np.argsort(x, axis=axis, kind="stable")).all()
    steps = 1e-100j * rng.normal(size=x.shape)  # a complex step must not change the order
    assert (back(backend.stable_argsort(there(x + steps))) == np.argsort(x, axis=-1, kind="stable")).all()


@pytest.mark.parametrize("width", [(), (2,), (2, 3), (0,)])
@pytest.mark.parametrize("indices", [(5,), (2, 3), (), (0,), (4, 0)])
def test_gather_and_scatter_add_are_transposes(library, rng, indices, width):
    there, back = library
    n = 4
    x, i = rng.normal(size=(n, *width)), rng.integers(0, n, size=indices)
    rows = back(backend.gather(there(x), there(i)))
    assert rows.shape == (*indices, *width) and (rows == x[i]).all()
    u = rng.normal(size=rows.shape)
    added, expected = back(backend.scatter_add(there(u), there(i), n)), np.zeros((n, *width))
    np.add.at(expected, i, u)
    assert added.shape == expected.shape and added.dtype == u.dtype
    np.testing.assert_allclose(added, expected, rtol=1e-13, atol=1e-14)


def test_scatter_add_of_many_rows_in_one_place(library, rng):
    there, back = library
    u, i = rng.normal(size=(1000, 2)), rng.integers(0, 3, size=1000) * 2
    expected = np.stack([u[i == place].sum(axis=0) for place in range(7)])
    found = back(backend.scatter_add(there(u), there(i), 7))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    assert (found[[1, 3, 5, 6]] == 0).all()
    assert (found == back(backend.scatter_add(there(u), there(i), 7))).all()


def test_scatter_add_of_complex_numbers_keeps_both_parts(library, rng):
    there, back = library
    u, i = rng.normal(size=6) + 1e-100j * rng.normal(size=6), np.array([1, 1, 0, 1, 2, 2])
    found = back(backend.scatter_add(there(u), there(i), 3))
    for place in range(3):
        assert abs(found[place].imag - u[i == place].imag.sum()) < 1e-114


def test_the_error_functions_have_all_their_digits(library):
    mpmath = pytest.importorskip("mpmath")
    there, back = library
    x = np.array([-30.0, -6.0, -2.5, -0.3, -1e-300, 0.0, 1e-9, 0.1, 0.9, 1.99, 2.01, 3.0, 5.9, 6.1, 20.0])
    for ours, theirs in ((backend.erf, mpmath.erf), (backend.erfc, mpmath.erfc)):
        found = back(ours(there(x)))
        with mpmath.workdps(30):
            for a, t in zip(found, x):
                truth = theirs(mpmath.mpf(t))
                assert abs(a - truth) <= 1e-13 * abs(truth) + 1e-300, f"{ours.__name__}({t})"


def test_the_error_functions_take_a_complex_step(library):
    there, back = library
    x = np.array([-7.0, -2.5, -0.3, 0.0, 0.4, 1.5, 2.5, 4.0])
    slope = 2 / np.sqrt(np.pi) * np.exp(-x * x)
    for ours, sign in ((backend.erf, 1), (backend.erfc, -1)):
        found = back(ours(there(x + 1e-100j))).imag / 1e-100
        inside = abs(x) < 6  # beyond it erf is one, and its slope of 1e-16 and less is left out
        np.testing.assert_allclose(found[inside], sign * slope[inside], rtol=1e-12, atol=1e-14)


def test_the_precision_of_the_error_functions_is_kept(library):
    there, back = library
    for dtype in ("float32", "float64"):
        for letter in (backend.erf, backend.erfc):
            assert back(letter(there(np.ones(2, dtype)))).dtype == dtype


def test_refusals_name_whose_indices_they_are():
    refusals.refuse_outside("op: rows", np.array([0, 2]), 3)
    refusals.refuse_outside("op: rows", np.zeros((0, 2), int), 3)
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=rf"op: rows must be in 0\.\.2, got {wrong}"):
            refusals.refuse_outside("op: rows", np.array([[0], [wrong]]), 3)
    with recorded_cupy.no_reads():
        refusals.refuse_outside("op: rows", recorded_cupy.namespace.asarray(np.array([7])), 3)
