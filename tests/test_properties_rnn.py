"""The fused LSTM and GRU layers against the compositions that they stand for, at configurations drawn.

Steps, batch, features, units, lengths, the size of the weights, and of the GRU both resets, both updates and
its second bias.
"""

import numpy as np
import pytest
from adjoint import missed
from conditioning import agree
from drawing import drawn_like, equal, given, hypothesis, seeds, st
from new_memory import new_memory

from scratchattn.fused.gru import gru_sequence
from scratchattn.fused.lstm import lstm_sequence
from scratchattn.nn.gru import gru_shapes
from scratchattn.nn.lstm import lstm_shapes
from scratchattn.tape import vjp

layers = pytest.mark.parametrize("op", [lstm_sequence, gru_sequence], ids=lambda op: op.name)
seldom = hypothesis.settings(max_examples=max(10, hypothesis.settings().max_examples // 2))


@st.composite
def sequences(draw, op, steps=None, sizes=(0.1, 0.5, 1.0, 2.0, 4.0)):
    """A function of tensors, all of its inputs that have gradients, and the lengths, or None."""
    some, batch, d, h = (draw(st.integers(1, n)) for n in (6, 3, 3, 5))
    steps, size, params = some if steps is None else steps, draw(st.sampled_from(sizes)), {}
    shapes = lstm_shapes(d, h)
    if op is gru_sequence:
        shapes = gru_shapes(d, h, two_biases=draw(st.booleans()))
        params["reset"] = draw(st.sampled_from(["before", "after"]))
        params["update"] = draw(st.sampled_from(["keeps", "takes"]))
    lengthy, rng = draw(st.booleans()), np.random.default_rng(draw(seeds))
    params["lengths"] = rng.integers(0, steps + 1, size=batch) if lengthy else None
    states = rng.normal(size=(2 if op is lstm_sequence else 1, batch, h))
    weights = [size * rng.normal(size=shape) for shape in shapes.values()]
    hypothesis.note(f"steps {steps}, batch {batch}, {shapes}, weights of {size}, {params}")
    return [rng.normal(size=(steps, batch, d)), *states, *weights], params


def outcome(function, inputs, params):
    """Outputs and gradients, all in one list."""
    out, pullback = vjp(lambda *tensors: tuple(function(*tensors, **params)), *inputs)
    return [*out, *pullback(*drawn_like(np.random.default_rng(1), out))]


@layers
@given(data=st.data())
def test_fused_equals_the_composition(op, data):
    inputs, params = data.draw(sequences(op))
    names = [*op.outputs, *[f"gradient by {name}" for name in op.inputs]]
    agree(names, *[lambda *x, f=f: outcome(f, x, params) for f in (op, op.equals)], inputs)


@layers
@seldom
@given(data=st.data())
def test_what_a_buffer_held_before_is_never_read(op, data):
    """Not even multiplied by zero."""
    inputs, params = data.draw(sequences(op))
    expected = outcome(op, inputs, params)
    with new_memory():
        found = outcome(op, inputs, params)
    equal(found, expected)


@layers
@seldom
@given(data=st.data())
def test_the_adjoint_identity_holds_through_a_hundred_steps(op, data):
    """<u, J v> = <J^T u, v> within 256 eps of what is summed up, J v by a complex step."""
    inputs, params = data.draw(sequences(op, steps=100, sizes=(0.1, 0.5, 1.0)))
    assert missed(lambda *x: tuple(op(*x, **params)), *inputs) <= 256
