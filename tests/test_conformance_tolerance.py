"""What an honest program may lose: the plain formulas, and the doubt of numbers of all sizes."""

import sys
import threading

import numpy as np

from gradcheck.conformance.plain import plainly
from gradcheck.conformance.tolerance import strangers
from scratchattn import REGISTRY
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
