"""Hard sigmoid: a gate of three straight lines, which is exactly shut and exactly open.

Forward
-------
    t = c a + 1/2
    y = 0 if t < 0,  1 if t > 1,  else t

Backward
--------
    g(a) = c g(y) between the bounds, 0 beyond them

Accuracy
--------
A product and a sum; shut and open are 0 and 1 to the bit, and take exactly no gradient: a gate that
never moves again, unless its input is moved by something else.

Conventions
-----------
``slope`` c: 1/5 in Theano and Keras 2, and so in ntm-lasagne; 1/6 in torch and Keras 3.  On a bound the
number ``t`` itself is 0 or 1 and the gradient a choice, ``on_bound``: it passes ("inside") in Theano and
TensorFlow, whose clip counts the bound in; it does not ("outside") in torch.nn.functional.hardsigmoid,
whose slope in float64 is the 1/6 of float32 (2.13).

Source: Courbariaux, Bengio, David, "BinaryConnect", arXiv:1511.00363, eq. 3, of slope 1/2; here as in
Theano/Theano theano/tensor/nnet/sigm.py.
"""

from ..backend import array_module, real
from ..op import Case, Op, Variant, register


def hard_sigmoid_forward(a, *, slope=0.2, on_bound="inside"):
    """slope a + 1/2 kept between 0 and 1, entry by entry, any shape.

    ``slope`` is positive; ``on_bound``: "inside" if the gradient passes there, else "outside".
    ValueError for other values.
    """
    xp = array_module(a)
    if not slope > 0:
        raise ValueError(f"hard_sigmoid: slope must be positive, got {slope!r}")
    if on_bound not in ("inside", "outside"):
        raise ValueError(f"hard_sigmoid: on_bound must be 'inside' or 'outside', got {on_bound!r}")
    t = slope * a + 0.5
    shut, opened = real(t) < 0, real(t) > 1
    if on_bound == "outside":
        shut, opened = real(t) <= 0, real(t) >= 1
    return xp.where(shut, 0, xp.where(opened, 1, t)), (shut | opened, slope)


def hard_sigmoid_backward(saved, dout):
    """The gradient for a, given dout of any shape."""
    constant, slope = saved
    return (array_module(constant, dout).where(constant, 0, slope * dout),)


def hard_sigmoid_loops(a, *, slope=0.2, on_bound="inside", math=None):
    return min(max(slope * a + 0.5, 0 * a), 0 * a + 1)


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    spread = rng.permutation([-4.0, -2.2, -0.7, 0.4, 1.9, 3.3]).reshape(2, 3)
    torch = {"slope": 1 / 6, "on_bound": "outside"}
    for word, params in (("", {}), (" with torch", torch)):
        yield Case(f"both sides of the bounds{word}", (spread,), params, margin=0.1)
        yield Case(f"one number{word}", (0 * spread[0, 0] + 0.5,), params, margin=1.0)
        yield Case(f"shut and open{word}", (spread * 1e4,), params, zero_gradient=("a",), margin=0.5)
        yield Case(f"nothing{word}", (spread[:, :0],), params, zero_gradient=("a",))
    bounds = 0 * spread[0, :2] + [-0.5, 0.5]  # of slope one, since only powers of two meet them to the bit
    yield Case("on both bounds, inside", (bounds,), {"slope": 1.0}, margin=0)
    outside = {"slope": 1.0, "on_bound": "outside"}
    yield Case("on both bounds, outside", (bounds,), outside, zero_gradient=("a",), margin=0)


def it_is_a_gate(inputs, params, out):
    a, slope = inputs[0], params.get("slope", 0.2)
    assert ((out >= 0) & (out <= 1)).all()
    assert (out[slope * a <= -0.5] == 0).all() and (out[slope * a >= 0.5] == 1).all()


def halves_mirror_each_other(inputs, params, out):
    assert (abs(hard_sigmoid_forward(-inputs[0], **params)[0] + out - 1) <= 4e-16).all()


hard_sigmoid = register(
    Op(
        name="hard_sigmoid",
        signature="a() -> out()",
        forward=hard_sigmoid_forward,
        backward=hard_sigmoid_backward,
        loops=hard_sigmoid_loops,
        cases=cases,
        properties=(it_is_a_gate, halves_mirror_each_other),
        variants=(
            Variant("ntm_lasagne", {}, "snipsco/ntm-lasagne ntm/nonlinearities.py"),
            Variant(
                "torch",
                {"slope": 1 / 6, "on_bound": "outside"},
                "torch.nn.functional.hardsigmoid, torch 2.13",
            ),
        ),
        source="Theano/Theano theano/tensor/nnet/sigm.py",
    )
)
