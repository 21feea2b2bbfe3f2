"""What an honest program may lose: the plain formulas, and the doubt of numbers of all sizes."""

import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

import gradcheck
from gradcheck.conformance.plain import plainly
from gradcheck.conformance.tolerance import strangers
from scratchattn import REGISTRY
from scratchattn.op import Case
from scratchattn.tape import vjp

SHARP = np.array([[0.1, 0.2, 30.0]])


def gradient(of=lambda x: x):
    """By a softmax's logits, of arrays of a class."""
    _, pullback = vjp(REGISTRY["softmax"], of(SHARP))
    return np.asarray(pullback(of(np.array([[1.0, 2.0, 3.0]])))[0])


def test_plain_formulas_are_for_the_numbers_of_strangers_alone():
    ours, module = gradient(), sys.modules["scratchattn.ops.softmax"]
    before = dict(vars(module))
    stranger = strangers("float64", np.random.default_rng(0))
    with plainly():
        assert np.array_equal(gradient(), ours)
        plain = gradient(stranger.of)
    assert dict(vars(module)) == before
    assert abs(plain - ours).max() > 10 * abs(gradient(stranger.of) - ours).max()


def test_plain_formulas_hold_until_the_last_of_several_threads_is_done():
    module = sys.modules["scratchattn.ops.softmax"]
    before, inside, go = dict(vars(module)), threading.Barrier(2), threading.Event()

    def other():
        with plainly():
            inside.wait()
            go.wait()

    thread = threading.Thread(target=other)
    thread.start()
    with plainly():
        inside.wait()
    assert dict(vars(module)) != before  # the other is still at it
    go.set()
    thread.join()
    assert dict(vars(module)) == before


# ---- numbers far from all others --------------------------------------------


def far(rng):
    """One key has a weight of about 1e-279."""
    query, key = np.array([[641.3, 0.7]]), rng.uniform(0.97, 1.0, size=(3, 2)) * [[1, 1], [0, 1], [0.5, 0.3]]
    yield Case("far", (query, key, rng.normal(size=(3, 2)), None, None, None), {"scale": 1.0})


def attention(query, key, value, *, scale, slip=0.0):
    z = query @ key.mT * scale
    e = np.exp(z - z.max(-1, keepdims=True))
    weights = e / e.sum(-1, keepdims=True)
    return weights @ value, np.where(weights < 1e-200, weights * (1 + slip), weights)


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 16000, reason="long double has the exponents of float64")
def test_weights_of_1e_279_may_lose_what_others_may_and_no_more():
    op = replace(REGISTRY["softmax_attention"], cases=far)
    verify = lambda function: gradcheck.verify(function, op, framework="numpy", dtype="float64", seeds=8)
    honest = verify(attention)
    assert honest.conforms and 0.01 < honest.distances["weights"] < 6, honest
    wrong = verify(lambda query, key, value, *, scale: attention(query, key, value, scale=scale, slip=1e-11))
    assert wrong.verdict == "differs" and "weights" in wrong.sentence()


def test_what_is_true_beyond_a_precision_is_not_asked_in_it():
    op = replace(
        REGISTRY["exp"], cases=lambda rng: [Case("large", (np.array([100.0]),)), Case("one", (np.ones(1),))]
    )
    report = gradcheck.verify(np.exp, op, framework="numpy", dtype="float32")
    assert report.conforms and report.not_asked == {"large": "the truth is beyond float32"}
    assert gradcheck.verify(np.exp, op, framework="numpy", dtype="float64").not_asked == {}


def test_where_the_truth_is_zero_a_hundred_millionth_is_too_much():
    op = replace(REGISTRY["exp"], cases=lambda rng: [Case("small", (np.array([-1000.0]),))])
    verify = lambda function: gradcheck.verify(function, op, framework="numpy").conforms
    assert verify(np.exp) and not verify(lambda a: np.exp(a) + np.float32(1e-8))


# ---- another way to the same ------------------------------------------------


def powers(weights, sharpness, *, denominator_eps, base_eps=0.0):
    """As it is written, with its backward by the rule of quotients."""
    power = sharpness[..., None]
    base = (weights + weights.dtype.type(base_eps)).astype(weights.dtype)
    logs = np.log(np.where(base > 0, base, 1))
    raised = np.where(base > 0, np.exp(power * logs), 0)
    total = raised.sum(-1, keepdims=True) + weights.dtype.type(denominator_eps)
    return raised / total, (weights, sharpness, base, logs, raised, total)


def powers_backward(saved, dout, slip=1.0):
    weights, sharpness, base, logs, raised, total = saved
    dlogits = raised * (dout - (dout * raised).sum(-1, keepdims=True) / total) / total
    dweights = np.where(base > 0, dlogits * sharpness[..., None] / np.where(base > 0, base, 1), 0)
    dsharpness = (dlogits * logs).sum(-1) * dout.dtype.type(slip)
    return [summed(g, x) for g, x in ((dweights, weights), (dsharpness, sharpness))]


def summed(gradient, like):
    gradient = gradient.sum(tuple(range(gradient.ndim - like.ndim)))
    axes = tuple(i for i, n in enumerate(like.shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axes, keepdims=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sharpening_over_a_sum_with_eps_may_lose_what_cancels_in_it(dtype):
    """A row of one weight has a gradient of eps over the sum, a difference of numbers of order one."""
    verify = lambda backward: gradcheck.verify(
        powers, "sharpening", framework="numpy", dtype=dtype, backward=backward
    )
    told = lambda report: {c["case"] for c in report.cases if not c["ok"] and "NaN" not in c["what"]}
    assert told(verify(powers_backward)) == set()
    slip = 1e-4 if dtype == "float32" else 1e-11
    assert told(verify(lambda saved, dout: powers_backward(saved, dout, slip=1 + slip)))
