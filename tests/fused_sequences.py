"""What a fused sequence promises at any configuration, for the properties of NTM, DNC and RNN.

``call(function, inputs, lengths)`` calls the op, or the composition that it equals: ``inputs`` are x
(t, b, ...), the parts of the state, and the weights; ``lengths`` are b integers, or None.
"""

import numpy as np
from conditioning import agree, close
from drawing import drawn_like, equal, st
from new_memory import new_memory

from scratchattn.tape import vjp


def outcome(function, call, inputs, lengths):
    """Outputs and gradients, all in one list."""
    out, pullback = vjp(lambda *tensors: tuple(call(function, tensors, lengths)), *inputs)
    return [*out, *pullback(*drawn_like(np.random.default_rng(1), out))]


def named(op):
    """What each array of an ``outcome`` is."""
    return [*op.outputs, *[f"gradient by {name}" for name in op.inputs]]


def equals_the_composition(op, call, inputs, lengths):
    """Forward and every gradient."""
    programs = [lambda *x, f=f: outcome(f, call, x, lengths) for f in (op, op.equals)]
    agree(named(op), *programs, inputs)


def never_reads_what_a_buffer_held_before(op, call, inputs, lengths):
    """Not even multiplied by zero."""
    expected = outcome(op, call, inputs, lengths)
    with new_memory():
        found = outcome(op, call, inputs, lengths)
    equal(found, expected)


def in_two_chunks_is_the_same(op, call, inputs, data):
    """The state is all that is handed on: outputs, the last state, and the gradients by all that goes in."""
    cut, states = data.draw(st.integers(0, len(inputs[0]))), len(op.outputs) - 1

    def in_chunks(x, *rest):
        state, weights = rest[:states], rest[states:]
        first, *between = call(op, (x[:cut], *state, *weights), None)
        second, *last = call(op, (x[cut:], *between, *weights), None)
        return first, second, *last

    whole, pull_whole = vjp(lambda *tensors: tuple(call(op, tensors, None)), *inputs)
    chunks, pull_chunks = vjp(in_chunks, *inputs)
    close([np.concatenate(chunks[:2]), *chunks[2:]], whole)
    u = drawn_like(np.random.default_rng(1), whole)
    close(pull_chunks(u[0][:cut], u[0][cut:], *u[1:]), pull_whole(*u))


def runs_each_sequence_to_its_own_end(op, call, inputs, lengths, layered=0):
    """Alone and cut there it gives the same; what stands behind its end is not read, even if it is NaN.

    ``layered``: how many parts of the state, the last ones, have an axis of layers before the batch's.
    """
    (x, *rest), states = inputs, len(op.outputs) - 1
    spoilt = np.where(np.arange(len(x))[:, None, None] < lengths[:, None], x, np.nan)
    found = outcome(op, call, inputs, lengths)
    equal(outcome(op, call, [spoilt, *rest], lengths), found)

    def of_one(state, b):
        flat = states - layered
        return [*(part[b : b + 1] for part in state[:flat]), *(part[:, b : b + 1] for part in state[flat:])]

    (outputs, *last), dx = found[: 1 + states], found[1 + states]
    for b, length in enumerate(lengths):
        here = [x[:length, b : b + 1], *of_one(rest[:states], b), *rest[states:]]
        close([outputs[:length, b : b + 1], *of_one(last, b)], call(op, here, None))
        assert (outputs[length:, b] == 0).all() and (dx[length:, b] == 0).all()
