"""Dropout: some entries are zero this time, the others larger in return.

Forward
-------
    out = a / (1 - p) where keep, 0 elsewhere;    p = ``rate``, the chance that an entry is dropped

Backward
--------
    g(a) = g(out) / (1 - p) where keep, 0 elsewhere

Accuracy
--------
One rounding.  What is dropped is not read: NaN or an infinity there does not leak, neither forward
(a product with zero would keep it) nor backward.

Conventions
-----------
``keep`` is drawn by the caller, True with probability 1 - p, and is the same forward and backward; the op
draws nothing.  Dividing by 1 - p while training, so that evaluation does nothing at all, is the
"inverted" form that all libraries have.  The paper multiplies the weights by 1 - p at evaluation
instead.  p = 1 is refused: nothing is kept, and nothing can make up for it.

Attention drops weights after the softmax and does not normalise them again, so the rows of what it
then uses do not sum to one.

Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: a simple way to prevent
neural networks from overfitting", JMLR 15 (2014) 1929, sections 4 and 10.
"""

import numpy as np

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, register
from ..refusals import refuse_no_rate


def dropout_forward(a, keep, *, rate):
    """a / (1 - rate) where ``keep``, 0 elsewhere, broadcast; ValueError for a rate outside [0, 1)."""
    xp = array_module(a, keep)
    refuse_no_rate("dropout: rate", rate)
    rate = float(rate)  # a np.float64 would make float32 arrays float64
    return xp.where(keep, a, 0) / (1 - rate), (keep, rate, a.shape)


def dropout_backward(saved, dout):
    keep, rate, shape = saved
    xp = array_module(keep, dout)
    return (sum_to_shape(xp.where(keep, dout, 0) / (1 - rate), shape),)


def dropout_loops(a, keep, *, rate, math=None):
    return a / (1 - rate) if keep else 0.0


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    a = rng.normal(size=(2, 4))
    keep = np.array([[True, False, True, True], [False, True, False, True]])
    yield Case("half", (a, keep), {"rate": 0.5})
    yield Case("a rate of no finite binary", (a, keep), {"rate": 0.1})
    yield Case("a rate in NumPy's precision", (a, keep), {"rate": np.float64(0.1)})
    yield Case("almost all", (a, keep), {"rate": 1 - 2**-40})
    yield Case("rate 0 and all kept", (a, keep | True), {"rate": 0.0})
    yield Case("rate 0 and some dropped", (a, keep), {"rate": 0})
    yield Case("all dropped", (a, keep & False), {"rate": 0.9}, zero_gradient=("a",))
    yield Case("the same for the batch", (a, keep[0]), {"rate": 0.25})
    yield Case("one number many times", (rng.normal(size=()), keep), {"rate": 0.25})
    yield Case("whole rows", (a, keep[:, :1]), {"rate": 0.5})
    spoilt = np.where(keep, a, [[0, np.nan, 0, 0], [np.inf, 0, -np.inf, 0]])
    yield Case("NaN and infinities dropped", (spoilt, keep), {"rate": 0.5})
    yield Case("empty", (a[:0], keep[:0]), {"rate": 0.5}, zero_gradient=("a",))


def what_is_dropped_is_zero(inputs, params, out):
    assert (out[~np.broadcast_to(inputs[1], out.shape)] == 0).all()


def what_is_kept_is_scaled(inputs, params, out):
    kept = np.broadcast_to(inputs[1], out.shape)
    a = np.broadcast_to(inputs[0], out.shape)
    assert np.allclose(out[kept] * (1 - params["rate"]), a[kept], rtol=1e-15, atol=0)


def a_spoilt_cotangent_does_not_leak(inputs, params, out):
    a, keep = inputs
    _, saved = dropout_forward(a, keep, **params)
    keep = np.broadcast_to(keep, out.shape)
    (clean,) = dropout_backward(saved, np.where(keep, 1.0, 0.0))
    (spoilt,) = dropout_backward(saved, np.where(keep, 1.0, np.nan))
    assert (spoilt == clean).all()


dropout = register(
    Op(
        name="dropout",
        signature="a(), keep!() -> out()",
        forward=dropout_forward,
        backward=dropout_backward,
        cases=cases,
        loops=dropout_loops,
        passive={"keep": "boolean"},
        properties=(what_is_dropped_is_zero, what_is_kept_is_scaled, a_spoilt_cotangent_does_not_leak),
        source="JMLR 15 (2014) 1929",
    )
)
