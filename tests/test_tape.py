"""Reverse mode: what is recorded, what is accumulated, what is refused, and what is freed."""

import gc
import time
from collections import namedtuple

import numpy as np
import pytest

import scratchattn as sa
from scratchattn.op import Op
from scratchattn.tape import Tensor, hvp, jacobian, pull_back, vjp


def op(name, signature, forward, backward, **rest):
    return Op(name, signature, forward, backward, lambda rng: (), **rest)


total = op(
    "total",
    "x(n) -> out()",
    lambda x: (x.sum(axis=-1), x),
    lambda x, dout: (np.ones_like(x) * dout[..., None],),
)
cube = op("cube", "x() -> out()", lambda x: (x * x * x, x), lambda x, dout: (3 * x * x * dout,))
split = op(
    "split",
    "x(n) -> double(n), triple(n)",
    lambda x: ((x * 2, x * 3), None),
    lambda saved, dout: (2 * dout[0] + 3 * dout[1],),
)


# ---- recording and accumulating ---------------------------------------------


def test_what_is_used_twice_gets_both_gradients():
    x = Tensor(np.array([3.0]))
    total(x * x + x).backward()
    assert x.grad == 7.0


def test_a_diamond_is_passed_once():
    calls = []

    def backward(x, dout):
        calls.append(dout)
        return (dout * 2,)

    twice = op("twice", "x() -> out()", lambda x: (x * 2, x), backward)
    x = Tensor(np.array(1.0))
    y = twice(x)
    (y * y + y).backward()
    assert len(calls) == 1
    assert x.grad == 2 * (2 * 2.0 + 1)


def test_depth_is_free():
    """An unrolled model is a chain deeper than any stack: no recursion to record, pull back or free it."""
    started, n = time.perf_counter(), 100_000
    x = y = Tensor(np.array(1.0))
    for _ in range(n):
        y = y + x
    y.backward()
    assert x.grad == n + 1
    del y
    assert time.perf_counter() - started < 30


def test_constants_are_not_recorded():
    assert type(cube(np.ones(2))) is np.ndarray
    x = Tensor(np.ones(2))
    product = np.full(2, 3.0) * x
    assert product.node.inputs[0] is None and product.node.inputs[1] is x
    constant = cube(np.full(2, 2.0)) * x
    assert constant.node.inputs == (None, x)


def test_an_input_without_gradient_is_not_recorded():
    picked = op(
        "picked",
        "x(n), keep!(n) -> out(n)",
        lambda x, keep: (np.where(keep, x, 0), keep),
        lambda keep, dout: (np.where(keep, dout, 0),),
        passive={"keep": "boolean"},
    )
    x, keep = Tensor(np.ones(3)), np.array([True, False, True])
    out = picked(x, keep)
    assert out.node.inputs == (x,)
    assert pull_back([out], [np.ones(3)], [x])[0].tolist() == [1, 0, 1]


def test_outputs_may_go_unused():
    x = Tensor(np.ones(2))
    double, triple = split(x)
    assert pull_back([triple], [np.ones(2)], [x])[0].tolist() == [3, 3]
    assert pull_back([double, triple], [np.ones(2)] * 2, [x])[0].tolist() == [5, 5]


def test_the_gradient_by_what_is_not_reached_is_zero():
    x, y = Tensor(np.ones(2)), Tensor(np.ones((3, 1), np.float32))
    by_x, by_y = pull_back([x * 2], [np.ones(2)], [x, y])
    assert by_x.tolist() == [2, 2]
    assert by_y.shape == (3, 1) and by_y.dtype == np.float32 and not by_y.any()


def test_gradients_by_intermediate_values():
    x = Tensor(np.array(2.0))
    y = x * x
    z = y * y
    by_y, by_x, by_z = pull_back([z], [np.array(1.0)], [y, x, z])
    assert (by_y, by_x, by_z) == (8.0, 32.0, 1.0)


def test_outputs_are_named():
    x = np.ones(2)
    assert split(x)._fields == split(Tensor(x))._fields == ("double", "triple")
    (values, pullback) = vjp(split, x)
    assert values._fields == ("double", "triple") and type(values.triple) is np.ndarray
    assert pullback(values.double * 0, values.triple * 0 + 1)[0].tolist() == [3, 3]
    pair = namedtuple("Pair", "a b")
    values, _ = vjp(lambda t: pair(t * 1, t * 2), x)
    assert type(values) is pair and values.b.tolist() == [2, 2]
    values, _ = vjp(lambda t: (t * 1,), x)
    assert type(values) is tuple


# ---- backward() -------------------------------------------------------------


def test_backward_accumulates_until_it_is_cleared():
    x, y = Tensor(np.array([2.0, 3.0])), Tensor(np.array([1.0, 1.0]))
    for times in (1, 2, 3):
        total(x * x * y).backward()
        assert x.grad.tolist() == [4 * times, 6 * times]
    x.grad = None
    total(x * 5).backward()
    assert x.grad.tolist() == [5, 5] and y.grad.tolist() == [12, 27]


def test_gradients_of_two_leaves_are_two_arrays():
    x, y = Tensor(np.ones(2)), Tensor(np.ones(2))
    total(x + y).backward()
    x.grad *= 10
    assert y.grad.tolist() == [1, 1]


def test_backward_of_a_leaf_is_one():
    x = Tensor(np.array(5.0))
    x.backward()
    assert x.grad == 1


def test_backward_starts_from_a_scalar():
    with pytest.raises(ValueError, match=r"scalar, not shape \(2,\)"):
        (Tensor(np.ones(2)) * 2).backward()


# ---- pullbacks --------------------------------------------------------------


def test_a_pullback_serves_any_number_of_cotangents(rng):
    x, u, v = rng.normal(size=(3, 4))
    _, pullback = vjp(lambda t: cube(t) * t, x)
    first = pullback(u)[0].copy()
    assert (pullback(v)[0] != first).any()
    assert (pullback(u)[0] == first).all()
    assert abs(first - 4 * x**3 * u).max() < 1e-13


def test_the_number_of_cotangents_is_checked():
    _, pullback = vjp(split, np.ones(2))
    with pytest.raises(TypeError, match="2 cotangents expected, got 1"):
        pullback(np.ones(2))


@pytest.mark.parametrize("cotangent", [np.ones(3), np.ones((2, 1)), np.ones(2, np.float32), 1.0])
def test_a_cotangent_has_the_shape_and_dtype_of_its_output(cotangent):
    _, pullback = vjp(cube, np.ones(2))
    with pytest.raises(ValueError, match=r"cotangent .* given for \(2,\) float64"):
        pullback(cotangent)


@pytest.mark.parametrize("made", [np.float64(1), np.ones(3), np.ones(2, np.float32), np.ones(2, complex)])
@pytest.mark.parametrize("wrap", [tuple, list])
def test_a_gradient_of_the_wrong_kind_names_the_op(made, wrap):
    bad = op("bad", "x(n) -> out(n)", lambda x: (x * 1, None), lambda saved, dout: wrap([made]))
    with pytest.raises(ValueError, match=r"backward of bad: gradient .* given for \(2,\) float64"):
        total(bad(Tensor(np.ones(2)))).backward()


def test_a_gradient_that_is_no_array_names_the_op():
    bad = op("bad", "x() -> out()", lambda x: (x * 1, None), lambda saved, dout: (1.0,))
    with pytest.raises(ValueError, match="backward of bad: gradient float given"):
        bad(Tensor(np.array(1.0))).backward()


def test_none_for_a_gradient_says_that_nothing_flows():
    """Not zero times the cotangent: that is NaN where the cotangent is."""
    first = op("first", "x(), y() -> out()", lambda x, y: (x * 1, None), lambda saved, dout: (dout, None))
    x, y = Tensor(np.ones(2)), Tensor(np.ones(2))
    by_x, by_y = pull_back([first(x, y)], [np.array([1.0, np.nan])], [x, y])
    assert by_x[0] == 1 and np.isnan(by_x[1]) and by_y.tolist() == [0, 0]


def test_a_wrong_number_of_gradients_names_the_op():
    bad = op("bad", "x(), y() -> out()", lambda x, y: (x * y, None), lambda saved, dout: (dout,))
    with pytest.raises(ValueError, match="backward of bad: 2 gradients expected, got 1"):
        bad(Tensor(np.array(1.0)), 2.0).backward()


@pytest.mark.parametrize("returned", [np.ones(2), 1.0, None, [1.0], (1.0,)])
def test_what_vjp_differentiates_returns_tensors(returned):
    with pytest.raises(TypeError, match="f must return tensors made from its arguments, got"):
        vjp(lambda x: returned, np.ones(2))


@pytest.mark.parametrize("data", [np.arange(3), np.ones(2, bool), [1.0, 2.0], "text"])
def test_a_tensor_holds_a_floating_array(data):
    with pytest.raises(TypeError, match="array expected"):
        Tensor(data)


def test_a_tensor_shows_where_it_comes_from():
    x = Tensor(np.ones((2, 3)))
    assert repr(x) == "Tensor(leaf, shape=(2, 3), dtype=float64)"
    assert repr(cube(x)) == "Tensor(cube, shape=(2, 3), dtype=float64)"
    assert (x.shape, x.ndim, x.dtype) == ((2, 3), 2, np.float64)


# ---- memory -----------------------------------------------------------------


def test_a_tape_is_freed_without_the_garbage_collector():
    def alive():
        return sum(type(o).__name__ in ("Tensor", "Node") for o in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = alive()
        x = Tensor(np.ones(3))
        total(cube(x) * x + split(x).triple).backward()
        _, pullback = vjp(lambda t: cube(t) * t, np.ones(2))
        pullback(np.ones(2))
        hvp(lambda t: total(cube(t)), (np.ones(3),), (np.ones(3),))
        jacobian(cube, np.ones(3))
        assert alive() > before
        del x, pullback
        assert alive() == before
    finally:
        gc.enable()


# ---- dense Jacobians and Hessian-vector products ----------------------------


def test_a_jacobian_has_the_axes_of_the_output_then_of_the_input(rng):
    x, y = rng.normal(size=(2, 3)), rng.normal(size=(4, 1, 3))
    by_x, by_y = jacobian(lambda a, b: a * b, x, y)
    assert by_x.shape == (4, 2, 3, 2, 3) and by_y.shape == (4, 2, 3, 4, 1, 3)
    for index in np.ndindex(4, 2, 3):
        expected = np.zeros((2, 3))
        expected[index[1:]] = y[index[0], 0, index[2]]
        assert (by_x[index] == expected).all()
    assert jacobian(total, np.ones(3))[0].shape == (3,)
    assert jacobian(cube, np.array(2.0))[0] == 12


@pytest.mark.parametrize("shape, by", [((0,), (0, 0)), ((0, 3), (0, 3, 0, 3)), ((2, 0), (2, 0, 2, 0))])
def test_a_jacobian_of_nothing_is_empty(shape, by):
    (found,) = jacobian(cube, np.ones(shape))
    assert found.shape == by and found.dtype == np.float64


def test_a_jacobian_by_nothing_is_empty():
    assert jacobian(total, np.ones(0))[0].shape == (0,)
    assert jacobian(total, np.ones((0, 3)))[0].shape == (0, 0, 3)
    by_x, by_y = jacobian(lambda a, b: a * 2 + total(b), np.ones(2), np.ones(0))
    assert by_x.shape == (2, 2) and by_y.shape == (2, 0)


def quartic(x, y, a, b):
    """sum_i a_i x_i^3 y_i + b (sum_i x_i)^2, in constants a and b."""
    return total(cube(x) * y * a) + total(x) * total(x) * b


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_a_hessian_vector_product_is_the_hessian_times_the_vector(rng, dtype, tolerance):
    x, y, v, w, a = rng.normal(size=(5, 3)).astype(dtype)
    b = dtype(0.7)  # constants stay real and of one precision; the leaves become complex beside them
    by_x, by_y = hvp(lambda s, t: quartic(s, t, a, 0.7), (x, y), (v, w))
    expected_x = 6 * a * x * y * v + 3 * a * x * x * w + 2 * b * v.sum()
    expected_y = 3 * a * x * x * v
    for found, expected in ((by_x, expected_x), (by_y, expected_y)):
        assert found.shape == (3,) and found.dtype == dtype
        assert abs(found - expected).max() <= tolerance * abs(expected).max()


def test_a_hessian_vector_product_is_checked():
    x = np.ones(3)
    with pytest.raises(TypeError, match="1 tangents expected, got 2"):
        hvp(total, (x,), (x, x))
    with pytest.raises(ValueError, match=r"tangent 0 must be \(3,\) float64, got \(2,\) float64"):
        hvp(total, (x,), (x[:2],))
    with pytest.raises(ValueError, match=r"tangent 0 must be \(3,\) float64, got \(3,\) float32"):
        hvp(total, (x,), (x.astype(np.float32),))
    with pytest.raises(ValueError, match=r"must return a scalar, got shape \(3,\)"):
        hvp(cube, (x,), (x,))


def test_the_hessian_of_a_mechanism_is_symmetric(rng):
    key, memory, strength = rng.normal(size=(1, 3)), rng.normal(size=(4, 3)), np.array([2.0])
    readout = rng.normal(size=4)

    def loss(key):
        weights = sa.cosine_addressing(key, memory, strength)
        return total(total(weights * readout))

    hessian = np.stack([hvp(loss, (key,), (e[None],))[0][0] for e in np.eye(3)])
    assert abs(hessian).max() > 1e-2
    assert abs(hessian - hessian.T).max() < 1e-14 * abs(hessian).max()
