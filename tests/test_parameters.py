"""Named views of one flat vector, and the version that keeps a gradient from being silently wrong."""

import numpy as np
import pytest
from recorded_cupy import namespace as cupy

import scratchattn as sa
from scratchattn.op import Op
from scratchattn.parameters import Params
from scratchattn.tape import Tensor, vjp

SHAPES = {"weights": (3, 4), "bias": (4,), "scale": ()}

total = Op(
    "total",
    "x(...) -> out()",
    lambda x: (np.sum(x), x),
    lambda x, dout: (np.ones_like(x) * dout,),
    lambda rng: (),
    shape_rule=lambda x: [()],
)


def counted():
    """Parameters 0, 1, 2, ... 16."""
    return Params(SHAPES, np.arange(17.0))


def loss_of(leaves):
    return total(leaves["weights"] * leaves["bias"]) * leaves["scale"]


def test_the_views_are_the_vector():
    params = counted()
    assert params["weights"].shape == (3, 4) and params["bias"].tolist() == [12, 13, 14, 15]
    assert params["scale"].shape == () and params["scale"] == 16
    for view in dict(params.items()).values():
        assert np.shares_memory(view, params.flat)
    with params.overwriting() as flat:
        flat *= 2
    assert params["bias"].tolist() == [24, 26, 28, 30]


def test_they_are_born_zero_in_the_dtype_asked_for():
    assert Params(SHAPES).dtype == np.float64
    params = Params(SHAPES, dtype="float32")
    assert params.dtype == params["bias"].dtype == np.float32 and not params.flat.any()
    assert type(params.flat) is np.ndarray and params.flat.shape == (17,)


def test_they_are_a_mapping():
    params = counted()
    assert list(params) == list(SHAPES) and len(params) == 3 and "bias" in params and "other" not in params
    assert repr(params) == "Params(3 arrays, 17 numbers, float64)"
    with pytest.raises(KeyError, match="no parameter 'other'; there are weights, bias, scale"):
        params["other"]


def test_the_vector_must_fit():
    with pytest.raises(ValueError, match=r"flat must have shape \(17,\), got \(16,\)"):
        Params(SHAPES, np.ones(16))
    with pytest.raises(ValueError, match="flat must have shape"):
        Params(SHAPES, np.ones((17, 1)))
    with pytest.raises(ValueError, match="flat must be contiguous"):
        Params(SHAPES, np.ones(34)[::2])


def test_copies_are_their_own():
    params = counted()
    copy, zeros = params.copy(), params.zeros()
    assert (copy.flat == params.flat).all() and not zeros.flat.any() and list(zeros) == list(params)
    with copy.overwriting() as flat:
        flat += 1
    assert params.flat[0] == 0 and zeros.flat[0] == 0 and params.version == 0


def test_assigning_takes_all_names_and_shapes_or_nothing():
    params, values = counted(), {name: np.full(shape, 7.0) for name, shape in SHAPES.items()}
    params.assign(values)
    assert (params.flat == 7).all() and params.version == 1
    params.assign(counted())
    assert (params.flat == np.arange(17)).all()
    before = params.flat.copy()
    with pytest.raises(ValueError, match=r"names \['bias', 'scale', 'weights'\] expected, got \['bias'\]"):
        params.assign({"bias": values["bias"]})
    with pytest.raises(ValueError, match="names"):
        params.assign(values | {"other": values["bias"]})
    with pytest.raises(ValueError, match=r"bias must have shape \(4,\), got \(1,\)"):
        params.assign(values | {"bias": np.ones(1)})
    assert (params.flat == before).all() and params.version == 2


def test_the_gradient_has_the_same_names():
    params = counted()
    leaves = params.tensors()
    gradient = params.gradient(loss_of(leaves), leaves)
    assert gradient.shapes == params.shapes and gradient.dtype == params.dtype
    assert (gradient["weights"] == 16 * params["bias"]).all()
    assert (gradient["bias"] == 16 * params["weights"].sum(axis=0)).all()
    assert gradient["scale"] == (params["weights"] * params["bias"]).sum()


def test_what_the_loss_does_not_use_has_a_zero_gradient():
    params = counted()
    leaves = params.tensors()
    gradient = params.gradient(total(leaves["bias"]), leaves)
    assert not gradient["weights"].any() and gradient["bias"].tolist() == [1, 1, 1, 1]


def test_the_loss_is_a_scalar():
    params = counted()
    leaves = params.tensors()
    with pytest.raises(ValueError, match=r"loss must be a scalar, got shape \(4,\)"):
        params.gradient(leaves["bias"] * 1, leaves)


def test_a_pullback_through_overwritten_parameters_is_refused():
    params = counted()
    leaves = params.tensors()
    loss = loss_of(leaves)
    params.gradient(loss, leaves)
    with params.overwriting() as flat:
        flat -= 0.1
    params.assign(params.copy())
    with pytest.raises(RuntimeError, match=r"overwritten 2 time\(s\) since the forward"):
        params.gradient(loss, leaves)
    with pytest.raises(RuntimeError, match="overwritten"):
        loss.backward()
    leaves = params.tensors()
    params.gradient(loss_of(leaves), leaves)


def test_a_recording_that_does_not_use_them_is_not_refused():
    params = counted()
    leaves = params.tensors()
    x = Tensor(np.ones(4))
    alone, joint = total(x * 2), total(x * leaves["bias"])
    with params.overwriting() as flat:
        flat += 1
    alone.backward()
    assert x.grad.tolist() == [2, 2, 2, 2]
    with pytest.raises(RuntimeError, match="overwritten"):
        joint.backward()


def test_another_tensor_of_the_same_numbers_is_its_own():
    """vjp makes its own leaves: what it records knows nothing of versions, and never of other names."""
    params = counted()
    _, pullback = vjp(lambda b: total(b * b), params["bias"] + 0)
    with params.overwriting() as flat:
        flat += 1
    assert pullback(np.float64(1))[0].tolist() == [24, 26, 28, 30]


def test_an_optimiser_is_a_few_operations_on_the_vector(rng):
    params, target = Params({"x": (2, 3)}, rng.normal(size=6)), rng.normal(size=(2, 3))
    for _ in range(200):
        leaves = params.tensors()
        difference = leaves["x"] - target
        gradient = params.gradient(total(difference * difference), leaves)
        with params.overwriting() as flat:
            flat -= 0.1 * gradient.flat
    assert abs(params["x"] - target).max() < 1e-12


def test_they_live_where_their_vector_does():
    params = Params(SHAPES, cupy.asarray(np.arange(17.0)))
    leaves = params.tensors()
    gradient = params.gradient(sa.multiply(leaves["scale"], leaves["scale"]), leaves)
    assert type(gradient.flat) is type(params.flat) is type(params["bias"])
    assert gradient["scale"].host() == 32
    with params.overwriting() as flat:
        flat -= 1
    assert params["bias"].host().tolist() == [11, 12, 13, 14]
