"""Cotangents on purpose: the identity, with a backward that is not its derivative.

Forward
-------
    stop_gradient      out = a
    clip_cotangent     out = a

Backward
--------
    stop_gradient      g(a) = 0: what comes out is a constant to everything before it
    clip_cotangent     g(a) = min(max(g(out), -limit), limit), entry by entry

``stop_gradient`` is the derivative of another function, the one in which a is held at its value, and is
checked against that (``Detached``).  ``clip_cotangent`` is no function's derivative: clipping is not
linear in the cotangent, so no Jacobian does it, and no Hessian stands behind it.  It is therefore
excused from two checks, linearity and the symmetry of the Hessian, and from nothing else: while no
entry exceeds the limit it is the identity, and the cases see to that.

Conventions
-----------
Graves clips inside backpropagation through time: the derivatives of the loss by what enters the LSTM
cells, before the sigmoids and tanhs, in the handwriting experiments to [-10, 10], and those by the
outputs of the network to [-100, 100].  That bounds what one step hands to the step before it.  Public
implementations that clip the gradients of the parameters, summed over time, do something else.
Clipping decides on the real part and then takes the limit itself; NaN stays NaN, so that it is noticed.

Source: Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850, section 2.1.
"""

import numpy as np

from ..backend import array_module, real
from ..op import Case, Detached, Op, register


def stop_gradient_forward(a):
    """a, as a constant: its gradient is zero."""
    return a, None


def stop_gradient_backward(saved, dout):
    """None: nothing flows, so that not even zero times an infinite slope further back is NaN."""
    return (None,)


def stop_gradient_loops(a, *, math=None):
    return a


def clip_cotangent_forward(a, *, limit):
    """a; on the way back each entry of its cotangent is brought into [-limit, limit], limit > 0."""
    if not isinstance(limit, int | float) or not limit > 0:
        raise ValueError(f"clip_cotangent: limit must be a positive number, got {limit!r}")
    return a, float(limit)  # a np.float64 would make float32 gradients float64


def clip_cotangent_backward(limit, dout):
    xp = array_module(dout)
    clipped = xp.where(real(dout) > limit, limit, dout)
    return (xp.where(real(dout) < -limit, -limit, clipped),)


def clip_cotangent_loops(a, *, limit, math=None):
    return a


# ---- evidence ---------------------------------------------------------------


def stop_gradient_cases(rng):
    yield Case("random", (rng.normal(size=(2, 3)),), zero_gradient=("a",))
    yield Case("one number", (rng.normal(size=()),), zero_gradient=("a",))


def clip_cotangent_cases(rng):
    yield Case("as Graves by the outputs", (rng.normal(size=(2, 3)),), {"limit": 100.0})
    yield Case("as Graves by the gates", (rng.normal(size=(4,)),), {"limit": 10.0})
    yield Case("one number, an integer limit", (rng.normal(size=()),), {"limit": 20})
    yield Case("a limit in NumPy's precision", (rng.normal(size=(2,)),), {"limit": np.float64(10)})


def it_is_the_identity(inputs, params, out):
    assert (out == inputs[0]).all()


def a_large_cotangent_is_brought_to_the_limit(inputs, params, out):
    limit = params["limit"]
    signs = np.where(out > 0, 1.0, -1.0)
    for size in (limit * 1.5, limit * 1e6, np.inf):
        assert (clip_cotangent_backward(limit, signs * size)[0] == signs * limit).all()


def a_cotangent_at_the_limit_or_below_is_left_alone(inputs, params, out):
    limit = params["limit"]
    for size in (limit, -limit, limit * 0.999, -limit * 1e-300, 0.0):
        assert (clip_cotangent_backward(limit, size + 0 * out)[0] == size).all()
        assert (clip_cotangent_backward(limit, size + 0 * out + 1e-100j)[0] == size + 1e-100j).all()


def entries_are_clipped_one_by_one(inputs, params, out):
    limit = params["limit"]
    mixed = np.array([-3.0, -0.5, 0.0, 0.25, 2.0]) * limit
    assert (clip_cotangent_backward(limit, mixed)[0] == np.array([-1.0, -0.5, 0.0, 0.25, 1.0]) * limit).all()


def a_clipped_entry_has_no_tangent(inputs, params, out):
    limit = params["limit"]
    found = clip_cotangent_backward(limit, np.array([2.0, 0.5, -2.0]) * limit + 1e-100j)[0]
    assert (found.imag == [0.0, 1e-100, 0.0]).all()


def nan_is_not_hidden(inputs, params, out):
    assert np.isnan(clip_cotangent_backward(params["limit"], np.nan * out)[0]).all()


stop_gradient = register(
    Op(
        name="stop_gradient",
        signature="a() -> out()",
        forward=stop_gradient_forward,
        backward=stop_gradient_backward,
        cases=stop_gradient_cases,
        loops=stop_gradient_loops,
        detached=Detached(stopped=lambda a: (a,), forward=lambda a, held: held),
        properties=(it_is_the_identity,),
        source="definition",
    )
)

clip_cotangent = register(
    Op(
        name="clip_cotangent",
        signature="a() -> out()",
        forward=clip_cotangent_forward,
        backward=clip_cotangent_backward,
        cases=clip_cotangent_cases,
        loops=clip_cotangent_loops,
        properties=(
            it_is_the_identity,
            a_large_cotangent_is_brought_to_the_limit,
            a_cotangent_at_the_limit_or_below_is_left_alone,
            entries_are_clipped_one_by_one,
            a_clipped_entry_has_no_tangent,
            nan_is_not_hidden,
        ),
        excused=frozenset({"backward_is_linear", "hessian_is_symmetric"}),
        source="arXiv:1308.0850 section 2.1",
    )
)
