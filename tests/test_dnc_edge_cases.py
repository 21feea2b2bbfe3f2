"""The edge cases of a Differentiable Neural Computer, by their numbers in its specification.

01 vectors without length        07 usage beyond its ends          20 masks of zero
02 vectors shorter than eps      14 saturated gates and clips      21 sums of links
03 usages that are equal         16 write gates of zero and one    22 strengths below one, large
04 usages that are nearly equal  17 read weights below one         23 a sequence in chunks
05 usages of exactly zero, one   18 a row is freed                 24 batches, padding, axes of one
06 all rows in use               19 two heads free one row         25 the same start, orders of entries

Those between are of a Neural Turing Machine.  ``EVIDENCE``: what else holds them.  Here the controller hands
x on, so that x is the interface vector: ``told``.
"""

import numpy as np
import pytest
from adjoint import flat, is_the_adjoint
from dnc_machines import drawn_inputs, machine, nested
from drawing import equal, given, hypothesis, same, seeds, st
from edge_evidence import missing

import scratchattn as sa
from scratchattn import dnc_allocation, dnc_linkage, memory_read, retention
from scratchattn.models import DNC
from scratchattn.nn.dnc_addressing import content_weightings
from scratchattn.nn.dnc_cell import DNCWeights, dnc_sequence, dnc_start, dnc_step, dnc_weights
from scratchattn.nn.dnc_convention import PARTS, convention_of
from scratchattn.nn.dnc_interface import interface_shapes
from scratchattn.nn.named_conventions import DNC_NAMES, dnc_settings

DNCS = pytest.mark.parametrize("name", DNC_NAMES)
EVIDENCE = {
    "01": "cosine_addressing: none, zero key, zero row",
    "02": "test_addressing.py::test_a_short_vector_resembles_itself_as_published",
    "03": """
        dnc_allocation: nothing is in use
        dnc_allocation.an_empty_memory_gives_its_first_row
        dnc_allocation.the_order_of_a_stable_sort_can_be_given
        test_dnc_allocation.py::test_at_the_first_step_the_row_of_lowest_index_is_free
        test_dnc_allocation.py::test_the_order_that_another_sort_gave_to_ties_can_be_replayed
    """,
    "04": """
        dnc_allocation: nearly equal usages
        test_dnc_allocation.py::test_at_a_tie_the_allocation_jumps
        test_dnc_allocation.py::test_gradcheck_refuses_a_near_tie_whose_margin_is_not_told
    """,
    "05": """
        dnc_allocation: one row is not in use
        dnc_allocation: two rows are not in use
        dnc_allocation: all rows but one are in use
        test_dnc_allocation.py::test_usages_of_exactly_zero_have_their_gradient
        test_dnc_allocation.py::test_a_cumprod_that_divides_has_the_same_gradient_and_none_where_a_row_is_not_in_use
    """,
    "06": """
        dnc_allocation: all rows are in use
        dnc_allocation.a_full_memory_has_nothing_to_allocate
        test_dnc_allocation.py::test_where_all_rows_are_in_use_nothing_is_allocated_and_only_content_is_written
        test_dnc_weightings.py::test_with_every_row_in_use_only_the_content_is_written
    """,
    "07": """
        dnc_allocation: beyond both ends by rounding
        dnc_usage: beyond both ends by rounding
        test_dnc_allocation.py::test_usage_beyond_its_ends_is_not_clipped
    """,
    "14": "sigmoid: nothing but saturated",
    "16": """
        dnc_linkage.without_a_write_nothing_changes
        dnc_linkage.writing_a_row_again_clears_its_links
        test_dnc_allocation.py::test_with_the_write_gate_shut_nothing_changes_but_usage
        test_properties_memory.py::test_certain_writes_make_a_list_of_what_followed_what
    """,
    "17": """
        dnc_read_weighting.a_head_that_follows_empty_links_reads_nothing
        test_dnc_weightings.py::test_an_empty_link_sharpened_is_uniform
    """,
    "18": """
        test_dnc_allocation.py::test_a_row_that_is_read_and_freed_is_the_first_to_be_written_and_still_holds_its_content
        test_dnc_weightings.py::test_de_allocation_before_the_write_is_csordas_erase_matrix
    """,
    "19": """
        retention: two heads free one row wholly
        retention: three heads free one row wholly
        test_dnc_allocation.py::test_two_heads_that_free_one_row_wholly_leave_finite_gradients
    """,
    "20": "test_dnc_weightings.py::test_a_mask_of_zeros_everywhere_looks_everywhere_alike",
    "21": """
        dnc_linkage.rows_and_columns_stay_below_one
        dnc_linkage: weights beyond the simplex
        test_properties_memory.py::test_links_and_precedence_stay_below_the_simplex
    """,
    "22": "cosine_addressing: sharp",
    "23": "test_dnc_cell.py::test_chunks_are_the_whole_to_the_bit",
    "24": """
        test_dnc_cell.py::test_a_sequence_alone_is_what_it_is_in_a_batch_to_the_bit
        test_dnc_cell.py::test_a_sequence_that_has_ended_keeps_its_state_and_its_padding_is_never_read
        test_properties_generic.py::test_a_batch_is_its_rows
    """,
    "25": """
        test_dnc_weightings.py::test_every_order_is_the_papers_with_its_modes_permuted
        test_dnc_weightings.py::test_read_modes_of_several_write_heads_stand_as_deepmind_has_them
    """,
}
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
    parts = np.eye(columns), np.zeros((columns, 1)), np.ones((readers * WIDTH, 1))
    weights = DNCWeights(None, *[part.astype(x.dtype) for part in parts])
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


@pytest.mark.parametrize("number", EVIDENCE)
def test_the_evidence_for_an_edge_case_exists(number):
    assert missing(EVIDENCE[number]) == []
    assert any(name.startswith(f"test_edge_{number}_") for name in globals())


def small(name="smoothed", **settings):
    """A model of that convention by the reference, its parameters amid a training, and inputs."""
    sizes = {"rows": 5, "width": 3, "units": 4, "read_heads": 2, "write_heads": 1, "layers": 2}
    dnc = DNC(3, 2, dtype="float64", convention=name, engine="reference", **sizes | settings)
    rng = np.random.default_rng(1)
    params = dnc.init(rng)
    params.assign({name: value + 0.3 * rng.normal(size=value.shape) for name, value in params.items()})
    return dnc, params, rng.normal(size=(6, 3, 3))


def moving(nest):
    """The arrays of a nesting that depend on parameters: not the reads, where a controller sees the first."""
    return tuple(a for a in flat(nest) if isinstance(a, sa.Tensor))


# ---- content ----------------------------------------------------------------


@DNCS
@pytest.mark.parametrize("length", [0.0, 5e-324, 1e-160])
def test_edge_01_a_whole_machine_on_a_memory_without_length(name, length):
    """Every row is as much like a key as every other, and what comes back are numbers."""
    dnc, params, xs = small(name)
    state = dnc.initial_state(params, 3)
    state = state._replace(memory=0 * state.memory + length, usage=np.linspace(0.1, 0.5, 5) + 0 * state.usage)
    names = [key for key, _ in params.items()]
    run = lambda *values: moving(dnc.sequence(dict(zip(names, values)), state, xs[:3]))
    with np.errstate(under="ignore"):
        out, pullback = sa.vjp(run, *[params[key] for key in names])
        gradients = pullback(*[np.ones(y.shape) for y in out])
    assert all(np.isfinite(a).all() for a in [*out, *gradients])


def test_edge_02_a_start_of_1e_6_is_a_direction_to_mostafa_samir_and_bgavran_alone():
    """Rows of 1e-6 and of its negative, under a key of ones: are they told apart?"""
    memory, key = np.full((1, 2, 4), 1e-6) * [[1], [-1]], np.ones((1, 1, 4))
    apart = {}
    for name in DNC_NAMES:
        convention = convention_of(dnc_settings(name))
        weights = content_weightings(key, memory, np.ones((1, 1)), None, convention)[0, 0]
        apart[name] = np.log(weights[0] / weights[1]) / 2
    for name in ("mostafa_samir", "bgavran", "paper", "adnc"):
        assert abs(apart.pop(name) - 1) < 1e-9
    assert (
        max(apart["csordas"], apart["pytorch_dnc"]) < 0.81
        and max(apart[n] for n in ("deepmind_dnc", "jingweiz", "smoothed")) < 3e-3
    )


def test_edge_22_a_strength_of_softplus_falls_below_one_and_a_large_one_takes_one_row():
    state = somewhere()
    for strength, low, high in (("softplus", 1 / ROWS - 0.01, 1 / ROWS + 0.01), ("oneplus", 0.2, 0.9)):
        (weak,) = obey(told({"read_keys": WORDS[0], "read_strengths": -12.0}), state, strength=strength)
        assert low < weak.read_weightings.max() < high
        (sharp,) = obey(told({"read_keys": WORDS[0]}), state, strength=strength)
        same(np.sort(sharp.read_weightings[0]), np.eye(ROWS)[ROWS - 1], 1e-15)


# ---- usage and allocation -----------------------------------------------------


def test_edge_03_three_words_are_stored_in_the_lowest_free_rows_and_read_in_their_order_and_back():
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


def test_edge_03_an_order_of_rows_that_tie_can_be_given():
    """PyTorch's topk of five zeros has row 2 first: 2, 4, 3, 0, 1."""
    xs, order = told(*[store(word) for word in WORDS[:3]]), np.array([2, 4, 3, 0, 1])
    state, written = dnc_start(1, ROWS, WIDTH, 1), []
    for x in xs:
        _, state = obey_once(x, state, permutations=order[None, None])
        order = np.roll(order, -1)  # the row that was written is in use now
        written.append(int(state.write_weightings.argmax()))
    assert written == [2, 4, 3]
    (x,) = told(store(WORDS[0]))
    with pytest.raises(ValueError, match=r"must hold each of 0\.\.4 once"):
        obey_once(x, state, permutations=np.array([[[0, 1, 2, 3, 3]]]))


def test_edge_03_the_orders_of_a_sequence_are_those_of_its_steps():
    params, state = machine(writers=2)
    xs, weights = drawn_inputs(4), dnc_weights(params)
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(4), (4, 2, 2, 1)), axis=-1)
    ys, last = dnc_sequence(xs, state, weights, permutations=orders)
    plain, _ = dnc_sequence(xs, state, weights)
    assert abs(ys - plain).max() > 1e-3
    for x, order in zip(xs, orders):
        y, state = dnc_step(x, state, weights, permutations=order)
    equal([y, *flat(state)], [ys[-1], *flat(last)])
    with pytest.raises(ValueError, match="permutations need engine='reference', got engine='fused'"):
        DNC(2, 2).sequence(DNC(2, 2).init(np.random.default_rng(0)), None, xs, permutations=orders)


def test_edge_04_where_two_rows_swap_a_step_jumps_and_its_gradient_is_of_the_branch_taken():
    """Half used both: the one that is served first gets a half of the write, the other a quarter."""
    (x,) = told(store(WORDS[0]))
    blank = somewhere()._replace(
        write_weightings=np.zeros((1, 1, ROWS)), read_weightings=np.zeros((1, 1, ROWS))
    )
    at = lambda h: blank._replace(usage=np.array([[0.5, 0.5 + h, 1.0, 1.0, 1.0]]))
    write = lambda h: obey_once(x, at(h))[1].write_weightings[0, 0]
    h = 1e-6
    same((write(h) - write(-h))[:2] / (2 * h), [1.25e5, -1.25e5], 1e-5)
    same(write(0.0), write(h * 1e-9), 1e-14)  # a tie: the row of lowest index
    _, pullback = sa.vjp(lambda u: obey_once(x, blank._replace(usage=u))[1].write_weightings, at(h).usage)
    same(pullback(np.eye(ROWS)[0][None, None])[0][0], [-1.0, 0.0, 0.0, 0.0, 0.0], 1e-12)


@pytest.mark.parametrize(
    "usage", [[0.0, 0.3, 0.6, 0.8, 0.9], [0.1, 0.3, 0.6, 0.8, 1.0], [0.0, 0.4, 0.7, 0.9, 1.0]]
)
def test_edge_05_a_row_of_exactly_no_use_or_in_use_wholly_has_the_gradient_of_its_neighbours(usage):
    state = somewhere()._replace(
        usage=np.array([usage]),
        write_weightings=np.zeros((1, 1, ROWS)),
        read_weightings=np.zeros((1, 1, ROWS)),
    )
    (xs,) = told({"write_gates": 0.3, "allocation_gates": 0.4})
    function = lambda u: flat(obey_once(xs, state._replace(usage=u)))
    is_the_adjoint(function, state.usage)


def test_edge_05_two_rows_of_exactly_no_use_have_a_gradient_and_a_cumprod_that_divides_has_none():
    usage, cotangent = np.array([0.0, 0.5, 0.0]), np.array([1.0, 2.0, 5.0])
    out, pullback = sa.vjp(dnc_allocation, usage)
    equal([out, pullback(cotangent)[0]], [[1.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    _, divided = sa.vjp(lambda u: dnc_allocation(u, cumprod_gradient="divide"), usage)
    with np.errstate(all="ignore"):
        assert not np.isfinite(divided(cotangent)[0][[0, 2]]).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_edge_06_with_all_rows_in_use_what_is_written_is_content_alone(dtype, eps):
    """w^w sums to g^w (1 - g^a) and not to g^w; with eps 1 - u is exactly zero still."""
    full = somewhere()._replace(
        usage=np.ones((1, ROWS)), read_weightings=np.zeros((1, 1, ROWS)), controller=()
    )
    full = nested(full, [a.astype(dtype) for a in flat(full)])
    xs = told({"write_gates": 0.8, "allocation_gates": 0.3}).astype(dtype)
    after = obey_once(xs[0], full, allocation_eps=eps)[1]
    gates = 1 / (1 + np.exp(-np.array([0.8, -0.3])))
    assert after.write_weightings.dtype == dtype
    same(after.write_weightings.sum(), gates.prod(), 1e-6 if dtype == np.float32 else 1e-14)
    allocated = dnc_allocation(np.ones(ROWS, dtype), eps=eps)
    assert (allocated == 0).all()


def test_edge_07_usage_beyond_its_ends_by_rounding_is_not_clipped_and_stays_a_number():
    """The weights leave 0..1 by as much, and the sharpened links of a negative one are numbers."""
    ulp = np.finfo(float).eps
    state = somewhere()._replace(
        usage=np.array([[1 + ulp, -ulp, 1.0, 0.5, 1.0]]), write_weightings=np.zeros((1, 1, ROWS)),
        read_weightings=np.zeros((1, 1, ROWS)),
    )  # fmt: skip
    xs = told(store(WORDS[0]), {"read_modes": ONWARDS, "write_gates": 0.2}, sharpen_links=True)
    with np.errstate(all="raise", under="ignore"):
        states = obey(xs, state, sharpen_links=True)
    first = states[0]
    assert first.usage.min() == -ulp and first.usage.max() == 1 + ulp
    assert abs(first.write_weightings.sum() - 1) <= 4 * ulp
    assert all(np.isfinite(a).all() for s in states for a in flat(s))


@pytest.mark.parametrize("stopped", [False, True])
def test_edge_05_the_gradient_of_usage_stops_at_the_write_before_where_it_is_told_to(stopped):
    """Of one step: nothing but usage looks at where the step before wrote."""
    (xs,), state = told({"write_gates": 0.3}), somewhere()
    step = lambda w: flat(
        obey_once(xs, state._replace(write_weightings=w), stop_write_gradient=stopped)[1][:6]
    )
    out, pullback = sa.vjp(step, state.write_weightings)
    assert pullback(*out)[0].any() != stopped


# ---- gates --------------------------------------------------------------------


def test_edge_14_an_allocation_gate_that_is_almost_open_leaves_what_its_complement_says():
    """At a logit of 40 it is one: with all rows in use, what is written is the 4.2e-18 left for content."""
    state = somewhere()._replace(usage=np.ones((1, ROWS)), read_weightings=np.zeros((1, 1, ROWS)))
    (after,) = obey(told(store(WORDS[0], allocation_gates=40.0)), state)
    same(after.write_weightings.sum(), np.exp(-40.0), 1e-14)


def test_edge_14_an_interface_that_is_clipped_takes_no_gradient_beyond_and_does_on_the_bound():
    state, columns = somewhere(), told({})[0].size
    said = np.linspace(-40.0, 40.0, columns)
    said[[0, 1]] = -20.0, 20.0
    run = lambda x: flat(obey_once(x, state, clip_interface=20.0))
    out, pullback = sa.vjp(run, said[None])
    slope = pullback(*[np.ones(y.shape) for y in out])[0][0]
    assert (slope[abs(said) > 20] == 0).all() and (slope[[0, 1]] != 0).all()
    equal(list(out[1:]), list(run(np.clip(said, -20, 20)[None])[1:]))


@DNCS
def test_edge_14_a_machine_that_is_told_everything_to_the_end(name):
    """Interfaces of plus and minus 1e4: weightings, usage and links stay within, gradients are numbers."""
    dnc, params, xs = small(name)
    named = dict(params.items())
    named["interface_weights"] = 1e4 * np.sign(named["interface_weights"])
    keys, state = list(named), dnc.initial_state(params, 3)
    run = lambda *values: moving(dnc.sequence(dict(zip(keys, values)), state, xs))
    with np.errstate(all="ignore"):
        out, pullback = sa.vjp(run, *named.values())
        gradients = pullback(*[np.ones(y.shape) for y in out])
    assert all(np.isfinite(a).all() for a in out)
    if dnc.cell.cumprod_gradient == "exact":
        assert all(np.isfinite(a).all() for a in gradients)
    for part in out[3:7]:
        assert part.min() >= -1e-12 and part.max() <= 1 + 1e-12


@pytest.mark.parametrize("writers", [1, 2])
def test_edge_16_with_write_gates_shut_nothing_changes_but_usage(writers):
    """Memory, links and precedence keep their bits; usage takes in the last write and psi."""
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


def test_edge_16_a_certain_write_clears_the_links_of_its_row_and_is_the_last():
    """Row and column of L are zero, p is one-hot."""
    state = somewhere()._replace(
        usage=np.array([[0.9, 0.8, 0.0, 0.7, 0.6]]), write_weightings=np.zeros((1, 1, ROWS))
    )
    (after,) = obey(told(store(WORDS[0])), state)
    equal([after.write_weightings[0], after.precedence[0]], [np.eye(ROWS)[2]] * 2)
    assert (after.link[0, :, 2] == 0).all()
    equal(after.link[0, 2, [0, 1, 3, 4]], state.precedence[0, 0, [0, 1, 3, 4]])


def test_edge_16_writing_the_same_row_twice_erases_its_links_and_adds_none():
    """It would follow itself, and the diagonal stays empty."""
    again = store(WORDS[0], allocation_gates=SHUT, write_keys=WORDS[1])
    *_, before, after = obey(told(store(WORDS[0]), store(WORDS[1]), again))
    equal(np.argwhere(before.link[0]).tolist(), [[1, 0]])
    equal(after.write_weightings[0], np.eye(ROWS)[1])
    assert (after.link == 0).all()
    equal(after.precedence[0], np.eye(ROWS)[1])


# ---- reading and freeing ------------------------------------------------------


def test_edge_17_a_head_of_little_weight_reads_little_and_frees_little():
    memory, weights = np.array([[4.0], [8.0]]), np.array([[0.25, 0.0]])
    assert memory_read(weights, memory).tolist() == [[1.0]]
    assert retention(np.ones(1), weights).tolist() == [0.75, 1.0]
    assert memory_read(0 * weights, memory).tolist() == [[0.0]]
    assert retention(np.ones(1), 0 * weights).tolist() == [1.0, 1.0]


def test_edge_17_following_links_where_there_are_none_reads_nothing_and_frees_nothing():
    """The read weights sum to zero, so the free gate has nothing to free."""
    *_, read, after = obey(told(store(WORDS[0]), {"read_modes": ONWARDS}, {"free_gates": OPEN}))
    assert (read.read_weightings == 0).all() and (read.reads == 0).all()
    equal(after.usage, read.usage)


def test_edge_17_following_sharpened_links_where_there_are_none_reads_everywhere():
    """Csordas: the zero vector becomes uniform."""
    said = told(store(WORDS[0]), {"read_modes": ONWARDS}, sharpen_links=True)
    *_, read = obey(said, sharpen_links=True)
    equal(read.read_weightings, np.full((1, ROWS), 1 / ROWS))
    same(read.reads[0], WORDS[0] / ROWS, 1e-15)


@pytest.mark.parametrize("deallocate", [False, True])
def test_edge_18_a_row_that_is_freed_keeps_its_content_unless_it_is_deallocated(deallocate):
    """Usage is zero at once; the content remains, and is found again, or is gone."""
    said = told(store(WORDS[0]), {"read_keys": WORDS[0]}, {"free_gates": OPEN}, {"read_keys": WORDS[0]})
    *_, freed, after = obey(said, deallocate=deallocate)
    assert (freed.usage == 0).all()
    equal(freed.memory[0], 0 * WORDS[0] if deallocate else WORDS[0])
    equal(after.reads[0], 0 * WORDS[0] if deallocate else WORDS[0])


def test_edge_18_the_lookup_of_a_write_still_finds_what_it_deallocates():
    """Csordas: the key is compared with the memory as it was."""
    freed_and_sought = store(
        WORDS[3], allocation_gates=SHUT, write_keys=WORDS[1], free_gates=OPEN, erase=SHUT
    )
    said = told(store(WORDS[0]), store(WORDS[1], read_keys=WORDS[1]), freed_and_sought)
    *_, after = obey(said, deallocate=True)
    equal(after.write_weightings[0], np.eye(ROWS)[1])
    equal(after.memory[:2], WORDS[[0, 3]])  # and not 1 + 3: nothing was erased, it was freed


@pytest.mark.parametrize("other", [[0.0, 0.0, 1.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.0, 0.2]])
def test_edge_19_read_heads_free_one_row_and_the_gradient_is_right(other):
    """A factor of the retention is zero there, or two are; all gradients, by a complex step."""
    read = np.array([[[0.0, 0.0, 1.0, 0.0, 0.0], other]])
    state = somewhere(readers=2)._replace(read_weightings=read)
    (xs,) = told({"free_gates": OPEN, "write_gates": 0.3, "allocation_gates": 0.2}, readers=2)
    function = lambda *leaves: flat(obey_once(xs, nested(state, leaves), 2))
    is_the_adjoint(function, *flat(state), vanishing=(6,))  # nobody looks at the reads before
    assert obey_once(xs, state, 2)[1].usage[0, 2] == 0


def test_edge_20_masks_of_zero_look_everywhere_alike_and_gradients_are_numbers():
    """And with a least mask they look as if there were none."""
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


def test_edge_21_write_weights_beyond_one_by_rounding_take_links_beyond_by_as_much():
    """Nothing is clipped: 1 - sum w turns negative by an ulp, and so do the sums exceed one by no more."""
    n, ulp = 3, np.finfo(float).eps
    link, last = np.zeros((n, n)), np.zeros(n)
    for row in range(n):
        write = np.eye(n)[row] + [ulp, 0, 0]
        link, last = dnc_linkage(link, last, write)
        assert max(link.sum(0).max(), link.sum(1).max(), last.sum()) <= 1 + 4 * ulp
        assert min(link.min(), last.min()) >= -4 * ulp


@given(seeds, st.sampled_from([0.1, 1.0, 5.0]))
@hypothesis.settings(max_examples=10)
def test_edge_21_weightings_usage_and_links_stay_below_one(seed, size):
    """Rows and columns of L sum to one at most, entries are never negative."""
    params, state = machine(seed=seed, size=size, writers=2)
    weights, room = dnc_weights(params), 1 + 1e-14
    for x in drawn_inputs(6, seed=seed):
        _, state = dnc_step(x, state, weights)
        for rows in (state.usage[..., None], state.link, state.link.swapaxes(-1, -2), *state[3:6]):
            assert (rows >= -1e-15).all() and (rows.sum(-1) <= room).all()


# ---- sequences, batches, layouts ----------------------------------------------


@DNCS
def test_edge_23_every_part_of_a_state_is_needed_and_chunks_are_the_whole_to_the_bit(name):
    dnc, params, xs = small(name)
    start = dnc.initial_state(params, 3)
    whole, end = dnc.sequence(params, start, xs)
    first, state = dnc.sequence(params, start, xs[:3])
    second, last = dnc.sequence(params, state, xs[3:])
    equal([np.concatenate([first, second]), *flat(last)], [whole, *flat(end)])
    for place, part in enumerate(flat(state)):
        parts = list(flat(state))
        parts[place] = flat(start)[place]
        moved, _ = dnc.sequence(params, nested(state, parts), xs[3:])
        frozen = part is state.reads and dnc.cell.controller_reads == "first"
        assert frozen or abs(moved - second).max() > 1e-12, place


@DNCS
@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_edge_24_a_sequence_in_a_batch_is_the_sequence_alone_and_padding_is_never_read(name, controller):
    dnc, params, xs = small(name, controller=controller, layers=1)
    start, lengths = dnc.initial_state(params, 3), np.array([6, 4, 0])
    for b, length in enumerate(lengths):
        xs[length:, b] = np.nan
    ys, last = dnc.sequence(params, start, xs, lengths)
    for b, length in enumerate(lengths):
        own = nested(start, [a[b : b + 1] for a in flat(start)])
        y, end = dnc.sequence(params, own, xs[:length, b : b + 1])
        equal([ys[:length, b : b + 1], *[a[b : b + 1] for a in flat(last)]], [y, *flat(end)])
        assert (ys[length:, b] == 0).all()


@DNCS
@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_edge_24_everything_may_be_one(name, controller):
    """One row, one column, one head, one unit, one sequence, one step; no axis is lost."""
    ones = {"rows": 1, "width": 1, "units": 1, "read_heads": 1, "layers": 1}
    dnc, params, xs = small(name, controller=controller, **ones)
    start = dnc.initial_state(params, 1)
    y, last = dnc.sequence(params, start, xs[:1, :1])
    assert y.shape == (1, 1, 2) and [a.shape for a in flat(last)] == [a.shape for a in flat(start)]
    assert all(np.isfinite(a).all() for a in (y, *flat(last)))


@DNCS
def test_edge_25_the_start_is_the_same_every_time_unless_a_generator_is_given(name):
    dnc, params, _ = small(name)
    first, again = (flat(dnc.initial_state(params, 3)) for _ in range(2))
    equal(list(first), list(again))
    other = flat(dnc.initial_state(params, 3, np.random.default_rng(7)))
    moved = any((a != b).any() for a, b in zip(first, other, strict=True))
    assert moved == (name in ("pytorch_dnc", "adnc"))


def in_other_columns(weights, order, fastest, readers, width):
    """The interface's weights of the paper's layout, for a cell with another."""
    shapes = interface_shapes(width, readers)
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    parts = dict(zip(shapes, np.split(weights, ends[:-1], axis=-1)))
    for name in set(fastest) & set(parts):
        heads, columns = shapes[name]
        parts[name] = parts[name].reshape(-1, heads, columns).swapaxes(1, 2).reshape(len(weights), -1)
    return np.concatenate([parts[name] for name in order if name in parts], axis=-1)


@pytest.mark.parametrize("name", ["csordas_dnc", "adnc", "mostafa_samir"])
def test_edge_25_another_layout_of_the_interface_is_a_permutation_of_its_columns(name):
    """To the bit in the read weightings; where reads stand head by head or word by word, rows move too."""
    said = {key: dnc_settings(name).get(key) for key in ("interface_order", "heads_fastest")}
    said = {key: value for key, value in said.items() if value is not None}
    params, state = machine(seed=2)
    xs, weights = drawn_inputs(3), dnc_weights(params)
    ys, last = dnc_sequence(xs, state, weights)
    order, fastest = said.get("interface_order", PARTS), said.get("heads_fastest", ())
    moved = params | {
        "interface_weights": in_other_columns(params["interface_weights"], order, fastest, 2, 3)
    }
    if "reads" in fastest:
        turn = np.arange(6).reshape(2, 3).T.ravel()
        moved["read_output_weights"] = params["read_output_weights"][turn]
        for layer in (1, 2):
            seen = params[f"input_weights_{layer}"]
            rows = np.concatenate([[0, 1], 2 + turn, np.arange(8, len(seen))])
            moved[f"input_weights_{layer}"] = seen[rows]
    there, end = dnc_sequence(xs, state, dnc_weights(moved), **said)
    same([there, *flat(end)], [ys, *flat(last)], 1e-13)
    unmoved, _ = dnc_sequence(xs, state, weights, **said)
    assert abs(unmoved - ys).max() > 1e-3
