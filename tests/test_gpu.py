"""On a real GPU: the same cases, CuPy against NumPy.  Skipped where there is no CuPy or no device."""

import numpy as np
import pytest
from test_portability import OPS, alike, cases_of, outcome

from scratchattn import backend
from scratchattn.parameters import Params
from scratchattn.tape import vjp

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy")


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("op", OPS)
def test_a_gpu_computes_what_the_host_does(cupy, op, dtype, tolerance):
    """Every case in float64; in float32, whose rounding is another on another machine, the first."""
    for case in cases_of(op) if dtype == "float64" else cases_of(op)[:1]:
        here = outcome(op, case, np.asarray, np.dtype(dtype))
        there = outcome(op, case, cupy.asarray, np.dtype(dtype))
        assert all(type(y) is cupy.ndarray for y in there), f"{case.label}: left the device"
        far = alike([y.get() for y in there], here, tolerance)
        assert not far, f"{case.label}: {far}"


@pytest.mark.parametrize("op", OPS)
def test_a_gpu_computes_the_same_bits_twice(cupy, op):
    for case in cases_of(op):
        first, again = (outcome(op, case, cupy.asarray) for _ in range(2))
        assert all((a == b).all() for a, b in zip(first, again)), case.label


def test_letters_are_the_same_there(cupy, rng):
    x, i = rng.normal(size=(500, 3)), rng.integers(0, 7, size=500)
    for letter, arguments in [
        (backend.scatter_add, (x, i, 9)),
        (backend.gather, (x, i)),
        (backend.stable_argsort, (np.round(x, 1),)),
        (backend.erf, (x,)),
        (backend.erfc, (x,)),
        (backend.eye_like, (x, 4)),
        (backend.arange_like, (x, 4)),
        (backend.constant, (x, 0.1)),
    ]:
        there = [cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments]
        first, again = (letter(*there) for _ in range(2))
        assert type(first) is cupy.ndarray and (first == again).all(), letter.__name__
        assert not alike([first.get()], [letter(*arguments)], 1e-14), letter.__name__
    assert backend.lowest(cupy.asarray(x)) == backend.lowest(x)


def test_parameters_live_where_they_are_born(cupy):
    with backend.use("cupy"):
        params = Params({"weights": (2, 3), "bias": (3,)}, dtype="float32")
    assert type(params.flat) is cupy.ndarray and params.dtype == np.float32
    with params.overwriting() as flat:
        flat += 1
    assert params["weights"].get().tolist() == [[1, 1, 1], [1, 1, 1]]
    assert type(backend.to_numpy(params["bias"])) is np.ndarray


def test_host_and_device_do_not_mix(cupy):
    here, there = np.ones(2), cupy.ones(2)
    with pytest.raises(TypeError, match="arrays of one library expected"):
        backend.array_module(here, there)
    with pytest.raises(TypeError, match="of numpy and b of cupy"):
        vjp(lambda a: a * there, here)


def test_what_the_recorded_cupy_claims_is_so(cupy):
    """Where CuPy is not NumPy: what ``recorded_cupy`` imitates, asked of the real one."""
    x, rows = cupy.arange(6.0).reshape(2, 3), cupy.asarray([1, 2, -1])
    assert type(x.sum()) is type(x[0, 0]) is type(cupy.max(x)) is cupy.ndarray
    assert x.sum().shape == x[0, 0].shape == ()
    assert (x[rows].get() == x.get()[[1, 0, 1]]).all()
    assert (cupy.take(x, rows, axis=0).get() == x.get()[[1, 0, 1]]).all()
    for refused in (lambda: x + np.ones(3), lambda: np.asarray(x), lambda: iter(x[0, 0])):
        with pytest.raises(TypeError):
            refused()
    single = x.astype("float32")
    assert (single * 2.0).dtype == cupy.where(single > 1, single, 0).dtype == np.float32
