"""The edges of a DNC's memory, told by hand: the controller hands x on, so that x is the interface vector."""

import numpy as np
import pytest
from adjoint import flat, is_the_adjoint
from dnc_machines import drawn_inputs, machine, nested
from drawing import equal, given, hypothesis, same, seeds, st

import scratchattn as sa
from scratchattn.nn.dnc_cell import DNCWeights, dnc_start, dnc_step, dnc_weights
from scratchattn.nn.dnc_interface import interface_shapes

FAR = 1e4  # as a logit: a gate of exactly one, or of exactly zero
OPEN, SHUT = FAR, -FAR
BACK, ALIKE, ONWARDS = ([FAR * (i == k) for i in range(3)] for k in range(3))
ROWS, WIDTH = 5, 4
WORDS = np.eye(WIDTH)


def told(*said, readers=1, **convention):
    """xs that are interface vectors; what is not said is zero, but gates are shut and reads by content."""
    masked, sharpen_links = (convention.get(name, False) for name in ("masked", "sharpen_links"))
    shapes = interface_shapes(WIDTH, readers, masked=masked, sharpen_links=sharpen_links)
    shut = {name: SHUT for name in ("free_gates", "allocation_gates", "write_gates")}
    usual = shut | {"read_modes": ALIKE, "read_strengths": FAR, "write_strengths": FAR}
    xs = []
    for parts in said:
        assert set(parts) <= set(shapes)
        parts = [np.broadcast_to((usual | parts).get(name, 0.0), shape) for name, shape in shapes.items()]
        xs.append(np.concatenate([part.ravel() for part in parts]))
    return np.array(xs)[:, None]


def obey_once(x, state, readers=1, **convention):
    """One step of a machine whose controller hands x on."""
    columns = x.shape[-1]
    hand_on = lambda chi, state, weights: (chi[:, :columns], state)
    weights = DNCWeights(None, np.eye(columns), np.zeros((columns, 1)), np.ones((readers * WIDTH, 1)))
    return dnc_step(x, state, weights, controller=hand_on, **convention)


def obey(xs, state=None, **convention):
    """All states that it goes through, without the axis of the batch."""
    state, states = dnc_start(1, ROWS, WIDTH, 1) if state is None else state, []
    for x in xs:
        _, state = obey_once(x, state, state.reads.shape[1], **convention)
        states.append(nested(state, [a[0] for a in flat(state)]))
    return states


def somewhere(seed=0, readers=1):
    """A state in the middle of things, of one sequence."""
    _, state = machine(seed=seed, batch=1, rows=ROWS, width=WIDTH, readers=readers)
    return state._replace(controller=())


def store(word, **rest):
    """Write ``word`` into a free row, over whatever is there."""
    whole = {"write_gates": OPEN, "allocation_gates": OPEN, "erase": OPEN, "write_vectors": word}
    return whole | rest


def test_three_words_are_stored_and_read_in_their_order_and_back():
    """To the bit: rows 0, 1, 2 are taken in turn, the first is found by content, then links are followed."""
    first, *_, last = states = obey(
        told(
            *[store(word) for word in WORDS[:3]],
            {"read_keys": WORDS[0]},
            {"read_modes": ONWARDS},
            {"read_modes": ONWARDS},
            {"read_modes": BACK},
        )
    )
    equal(first.write_weightings, np.eye(ROWS)[[0]])
    equal(last.memory[:3], WORDS[:3])
    equal(last.usage, [1.0, 1.0, 1.0, 0.0, 0.0])
    equal(np.argwhere(last.link[0]).tolist(), [[1, 0], [2, 1]])
    equal([s.reads[0] for s in states[3:]], [WORDS[0], WORDS[1], WORDS[2], WORDS[1]])


@pytest.mark.parametrize("writers", [1, 2])
def test_with_write_gates_shut_nothing_changes_but_usage(writers):
    """Edge case 16: memory, links and precedence keep their bits; usage takes in the last write and psi."""
    params, state = machine(writers=writers)
    shapes = interface_shapes(3, 2, writers)
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    end = ends[list(shapes).index("write_gates")]
    bias = np.zeros(ends[-1])
    bias[end - writers : end] = SHUT
    weights = dnc_weights(params)._replace(interface_bias=bias)
    _, after = dnc_step(drawn_inputs(1)[0], state, weights)
    equal([after.memory, after.link, after.precedence], [state.memory, state.link, state.precedence])
    assert (after.write_weightings == 0).all() and (after.usage != state.usage).all()


def test_an_allocation_gate_that_is_almost_open_leaves_what_its_complement_says():
    """At a logit of 40 it is one: with all rows in use, what is written is the 4.2e-18 left for content."""
    state = somewhere()._replace(usage=np.ones((1, ROWS)), read_weightings=np.zeros((1, 1, ROWS)))
    (after,) = obey(told(store(WORDS[0], allocation_gates=40.0)), state)
    same(after.write_weightings.sum(), np.exp(-40.0), 1e-14)


@pytest.mark.parametrize("stopped", [False, True])
def test_the_gradient_of_usage_stops_at_the_write_before_where_it_is_told_to(stopped):
    """Of one step: nothing but usage looks at where the step before wrote."""
    (xs,), state = told({"write_gates": 0.3}), somewhere()
    step = lambda w: flat(
        obey_once(xs, state._replace(write_weightings=w), stop_write_gradient=stopped)[1][:6]
    )
    out, pullback = sa.vjp(step, state.write_weightings)
    assert pullback(*out)[0].any() != stopped


def test_a_certain_write_clears_the_links_of_its_row_and_is_the_last():
    """Edge case 16: row and column of L are zero, p is one-hot."""
    state = somewhere()._replace(
        usage=np.array([[0.9, 0.8, 0.0, 0.7, 0.6]]), write_weightings=np.zeros((1, 1, ROWS))
    )
    (after,) = obey(told(store(WORDS[0])), state)
    equal([after.write_weightings[0], after.precedence[0]], [np.eye(ROWS)[2]] * 2)
    assert (after.link[0, :, 2] == 0).all()
    equal(after.link[0, 2, [0, 1, 3, 4]], state.precedence[0, 0, [0, 1, 3, 4]])


def test_writing_the_same_row_twice_erases_its_links_and_adds_none():
    """Edge case 16: it would follow itself, and the diagonal stays empty."""
    again = store(WORDS[0], allocation_gates=SHUT, write_keys=WORDS[1])
    *_, before, after = obey(told(store(WORDS[0]), store(WORDS[1]), again))
    equal(np.argwhere(before.link[0]).tolist(), [[1, 0]])
    equal(after.write_weightings[0], np.eye(ROWS)[1])
    assert (after.link == 0).all()
    equal(after.precedence[0], np.eye(ROWS)[1])


def test_following_links_where_there_are_none_reads_nothing_and_frees_nothing():
    """Edge case 17: the read weights sum to zero, so the free gate has nothing to free."""
    *_, read, after = obey(told(store(WORDS[0]), {"read_modes": ONWARDS}, {"free_gates": OPEN}))
    assert (read.read_weightings == 0).all() and (read.reads == 0).all()
    equal(after.usage, read.usage)


def test_following_sharpened_links_where_there_are_none_reads_everywhere():
    """Edge case 17, Csordas: the zero vector becomes uniform."""
    said = told(store(WORDS[0]), {"read_modes": ONWARDS}, sharpen_links=True)
    *_, read = obey(said, sharpen_links=True)
    equal(read.read_weightings, np.full((1, ROWS), 1 / ROWS))
    same(read.reads[0], WORDS[0] / ROWS, 1e-15)


@pytest.mark.parametrize("deallocate", [False, True])
def test_a_row_that_is_freed_keeps_its_content_unless_it_is_deallocated(deallocate):
    """Edge case 18: usage is zero at once; the content remains, and is found again, or is gone."""
    said = told(store(WORDS[0]), {"read_keys": WORDS[0]}, {"free_gates": OPEN}, {"read_keys": WORDS[0]})
    *_, freed, after = obey(said, deallocate=deallocate)
    assert (freed.usage == 0).all()
    equal(freed.memory[0], 0 * WORDS[0] if deallocate else WORDS[0])
    equal(after.reads[0], 0 * WORDS[0] if deallocate else WORDS[0])


def test_the_lookup_of_a_write_still_finds_what_it_deallocates():
    """Edge case 18, Csordas: the key is compared with the memory as it was."""
    freed_and_sought = store(
        WORDS[3], allocation_gates=SHUT, write_keys=WORDS[1], free_gates=OPEN, erase=SHUT
    )
    said = told(store(WORDS[0]), store(WORDS[1], read_keys=WORDS[1]), freed_and_sought)
    *_, after = obey(said, deallocate=True)
    equal(after.write_weightings[0], np.eye(ROWS)[1])
    equal(after.memory[:2], WORDS[[0, 3]])  # and not 1 + 3: nothing was erased, it was freed


@pytest.mark.parametrize("other", [[0.0, 0.0, 1.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.0, 0.2]])
def test_read_heads_free_one_row_and_the_gradient_is_right(other):
    """Edge case 19: a factor of the retention is zero there, or two are; all gradients, by a complex step."""
    read = np.array([[[0.0, 0.0, 1.0, 0.0, 0.0], other]])
    state = somewhere(readers=2)._replace(read_weightings=read)
    (xs,) = told({"free_gates": OPEN, "write_gates": 0.3, "allocation_gates": 0.2}, readers=2)
    function = lambda *leaves: flat(obey_once(xs, nested(state, leaves), 2))
    is_the_adjoint(function, *flat(state), vanishing=(6,))  # nobody looks at the reads before
    assert obey_once(xs, state, 2)[1].usage[0, 2] == 0


def test_masks_of_zero_look_everywhere_alike_and_gradients_are_numbers():
    """Edge case 20: and with a least mask they look as if there were none."""
    convention = {"masked": True, "form": "added"}
    shut = store(WORDS[3], allocation_gates=SHUT, write_masks=SHUT, read_masks=SHUT, read_keys=WORDS[0])
    xs = told(shut, **convention)
    (after,) = obey(xs, somewhere(), **convention)
    equal([after.write_weightings, after.read_weightings], [np.full((1, ROWS), 1 / ROWS)] * 2)
    out, pullback = sa.vjp(lambda x: flat(obey_once(x, somewhere(), 1, **convention)), xs[0])
    assert np.isfinite(pullback(*out)[0]).all()
    (least,) = obey(xs, somewhere(), mask_min=0.25, **convention)
    seeing = told({**shut, "write_masks": OPEN, "read_masks": OPEN}, **convention)
    (plain,) = obey(seeing, somewhere(), **convention)
    same(list(flat(least)), list(flat(plain)), 1e-4)  # all but for eps beside shorter vectors


@given(seeds, st.sampled_from([0.1, 1.0, 5.0]))
@hypothesis.settings(max_examples=10)
def test_weightings_usage_and_links_stay_below_one(seed, size):
    """Edge case 21: rows and columns of L sum to one at most, entries are never negative."""
    params, state = machine(seed=seed, size=size, writers=2)
    weights, room = dnc_weights(params), 1 + 1e-14
    for x in drawn_inputs(6, seed=seed):
        _, state = dnc_step(x, state, weights)
        for rows in (state.usage[..., None], state.link, state.link.swapaxes(-1, -2), *state[3:6]):
            assert (rows >= -1e-15).all() and (rows.sum(-1) <= room).all()
