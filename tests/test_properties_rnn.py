"""The fused LSTM and GRU layers against the compositions that they stand for, at configurations drawn.

Steps, batch, features, units, lengths, the size of the weights, and of the GRU both resets, both updates and
its second bias.
"""

import fused_sequences as fused
import numpy as np
import pytest
from adjoint import missed
from drawing import given, hypothesis, seeds, st

from scratchattn.fused.gru import gru_sequence
from scratchattn.fused.lstm import lstm_sequence
from scratchattn.nn.gru import gru_shapes
from scratchattn.nn.lstm import lstm_shapes

layers = pytest.mark.parametrize("op", [lstm_sequence, gru_sequence], ids=lambda op: op.name)
seldom = hypothesis.settings(max_examples=max(10, hypothesis.settings().max_examples // 2))


@st.composite
def sequences(draw, op, lengths=None, steps=None, sizes=(0.1, 0.5, 1.0, 2.0, 4.0)):
    """What calls ``op`` or its composition, inputs, and lengths: there (True), None (False), or either."""
    some, batch, d, h = (draw(st.integers(1, n)) for n in (6, 3, 3, 5))
    steps, size, params = some if steps is None else steps, draw(st.sampled_from(sizes)), {}
    shapes = lstm_shapes(d, h)
    if op is gru_sequence:
        shapes = gru_shapes(d, h, two_biases=draw(st.booleans()))
        params["reset"] = draw(st.sampled_from(["before", "after"]))
        params["update"] = draw(st.sampled_from(["keeps", "takes"]))
    lengths, rng = draw(st.booleans()) if lengths is None else lengths, np.random.default_rng(draw(seeds))
    ends = rng.integers(0, steps + 1, size=batch) if lengths else None
    states = rng.normal(size=(2 if op is lstm_sequence else 1, batch, h))
    weights = [size * rng.normal(size=shape) for shape in shapes.values()]
    hypothesis.note(f"steps {steps}, batch {batch}, {shapes}, weights of {size}, {params}, lengths {ends}")

    def called(function, inputs, lengths):
        return function(*inputs, lengths=lengths, **params)

    return called, [rng.normal(size=(steps, batch, d)), *states, *weights], ends


@layers
@given(data=st.data())
def test_fused_equals_the_composition(op, data):
    fused.equals_the_composition(op, *data.draw(sequences(op)))


@layers
@seldom
@given(data=st.data())
def test_what_a_buffer_held_before_is_never_read(op, data):
    fused.never_reads_what_a_buffer_held_before(op, *data.draw(sequences(op)))


@layers
@seldom
@given(data=st.data())
def test_a_sequence_in_two_chunks_is_the_sequence(op, data):
    called, inputs, _ = data.draw(sequences(op, lengths=False))
    fused.in_two_chunks_is_the_same(op, called, inputs, data)


@layers
@seldom
@given(data=st.data())
def test_each_sequence_of_a_batch_is_run_to_its_own_end(op, data):
    fused.runs_each_sequence_to_its_own_end(op, *data.draw(sequences(op, lengths=True)))


@layers
@seldom
@given(data=st.data())
def test_the_adjoint_identity_holds_through_a_hundred_steps(op, data):
    """<u, J v> = <J^T u, v> within 256 eps of what is summed up, J v by a complex step."""
    called, inputs, lengths = data.draw(sequences(op, steps=100, sizes=(0.1, 0.5, 1.0)))
    assert missed(lambda *x: tuple(called(op, x, lengths)), *inputs) <= 256
