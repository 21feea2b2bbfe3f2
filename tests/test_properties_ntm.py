"""The fused Neural Turing Machine against the composition of ops that it stands for, at configurations drawn.

Heads, shifts, rows, width, batch, lengths and the size of the weights: at four times the usual, gates
and heads are saturated.
"""

import fused_sequences as fused
import numpy as np
import pytest
from adjoint import missed
from conditioning import close
from drawing import given, hypothesis, seeds, st

from scratchattn.fused.ntm import ntm_feedforward, ntm_lstm
from scratchattn.fused.ntm_stack import ntm_lstm_stack
from scratchattn.nn.ntm_cell import in_order, ntm_shapes, ntm_weights

OPS = ntm_lstm, ntm_feedforward, ntm_lstm_stack
machines = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
seldom = hypothesis.settings(max_examples=max(10, hypothesis.settings().max_examples // 2))


@st.composite
def sequences(draw, op, lengths=None, steps=None, sizes=(0.1, 0.5, 1.0, 2.0, 4.0)):
    """All inputs of ``op`` but lengths, and lengths, which are there (True), None (False), or either.

    ``sizes``: those that the weights may have.
    """
    some, batch, i, o, h = (draw(st.integers(1, n)) for n in (5, 3, 3, 2, 4))
    steps = some if steps is None else steps
    width, rows, reads, writes = (draw(st.integers(1, n)) for n in (4, 6, 3, 3))
    shifts, size = draw(st.sampled_from([1, 3, 5, 7])), draw(st.sampled_from(sizes))
    lengths = draw(st.booleans()) if lengths is None else lengths
    rng = np.random.default_rng(draw(seeds))
    layers = draw(st.integers(2, 3)) if op is ntm_lstm_stack else 1
    controller = "feedforward" if op is ntm_feedforward else "lstm"
    shapes = ntm_shapes(i, o, h, width, reads, writes, shifts, controller, layers=layers)
    weights = ntm_weights({name: size * rng.normal(size=shape) for name, shape in shapes.items()})
    state = [rng.normal(size=(batch, reads, width)), rng.normal(size=(batch, rows, width))]
    state.append(rng.dirichlet(np.ones(rows), size=(batch, reads + writes)))
    if controller == "lstm":
        state += list(rng.normal(size=(2, batch, h) if layers == 1 else (2, batch, layers, h)))
    inputs = [rng.normal(size=(steps, batch, i)), *state, *in_order(weights)]
    shapes = {name: x.shape for name, x in zip(op.inputs, inputs)}
    hypothesis.note(f"{shapes}, {shifts} shifts, weights of {size}")
    return inputs, rng.integers(0, steps + 1, size=batch) if lengths else None


def called(function, inputs, lengths):
    return function(*inputs, lengths)


@machines
@given(data=st.data())
def test_fused_equals_the_composition(op, data):
    fused.equals_the_composition(op, called, *data.draw(sequences(op)))


@machines
@seldom
@given(data=st.data())
def test_what_a_buffer_held_before_is_never_read(op, data):
    fused.never_reads_what_a_buffer_held_before(op, called, *data.draw(sequences(op)))


@machines
@seldom
@given(data=st.data())
def test_a_sequence_in_two_chunks_is_the_sequence(op, data):
    inputs, _ = data.draw(sequences(op, lengths=False))
    fused.in_two_chunks_is_the_same(op, called, inputs, data)


@machines
@seldom
@given(data=st.data())
def test_each_sequence_of_a_batch_is_run_to_its_own_end(op, data):
    fused.runs_each_sequence_to_its_own_end(op, called, *data.draw(sequences(op, lengths=True)))


@machines
@seldom
@given(data=st.data())
def test_the_order_of_the_rows_of_a_memory_is_turned_with_it(op, data):
    """A memory that is a turn of another, weightings with it, gives the same outputs: the shifts go round."""
    (x, *rest), lengths = data.draw(sequences(op))
    turn = data.draw(st.integers(1, 6))
    turned = [*rest]
    turned[1], turned[2] = np.roll(rest[1], turn, 1), np.roll(rest[2], turn, 2)
    out, there = (list(op(x, *inputs, lengths)) for inputs in (rest, turned))
    there[2], there[3] = np.roll(there[2], -turn, 1), np.roll(there[3], -turn, 2)
    close(there, out, 1e-9)


@machines
@seldom
@given(data=st.data())
def test_weightings_stay_on_the_simplex(op, data):
    inputs, lengths = data.draw(sequences(op))
    weightings = op(*inputs, lengths).last_weightings
    assert (weightings >= 0).all() and (abs(weightings.sum(-1) - 1) <= 1e-12).all()


@machines
@seldom
@given(data=st.data())
def test_the_adjoint_identity_holds_through_a_hundred_steps(op, data):
    """<u, J v> = <J^T u, v> within 256 eps of what is summed up, J v by a complex step.

    Weights are about as large as a model starts with: with larger ones a hundred steps amplify rounding, the
    composition's as well.
    """
    inputs, lengths = data.draw(sequences(op, steps=100, sizes=(0.1, 0.2, 0.3)))
    assert missed(lambda *x: tuple(op(*x, lengths)), *inputs) <= 256
