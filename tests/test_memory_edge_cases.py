"""The edge cases of external memory: what each is specified to do, and where that is tested.

``EVIDENCE`` says for every one which case, property or test holds it; a test here sees that each of them
exists.  What no op's own file can say, because it takes several ops or a published number, is below.
"""

from pathlib import Path

import numpy as np
import pytest

from scratchattn import (
    REGISTRY,
    circular_shift,
    clip,
    cosine_addressing,
    dnc_linkage,
    hard_sigmoid,
    interpolation,
    memory_read,
    memory_write,
    oneplus,
    retention,
    sharpening,
    sigmoid,
    softplus,
)
from scratchattn.similarity import FORMS
from scratchattn.tape import vjp

HERE = Path(__file__).parent
VARIANTS = {v.name: v.params for v in cosine_addressing.variants}

# "op: case", "op.property" or "file::test"
EVIDENCE = {
    "zero and denormal lengths": """
        cosine_addressing: none, zero key, zero row
        cosine_addressing: zero key and row held constant
        cosine_addressing.a_key_without_length_attends_to_all_alike
        test_addressing.py::test_the_gradient_by_an_empty_row_is_the_published_one
        test_addressing.py::test_denormal_and_tiny_lengths_stay_finite
        test_memory_edge_cases.py::test_a_blank_memory_is_addressed_uniformly
    """,
    "rows shorter than eps": """
        test_addressing.py::test_a_short_vector_resembles_itself_as_published
        test_memory_edge_cases.py::test_a_start_of_1e_6_is_blank_to_some_and_a_direction_to_others
    """,
    "all usages equal": """
        dnc_allocation: nothing is in use
        dnc_allocation.an_empty_memory_gives_its_first_row
        dnc_allocation.the_order_of_a_stable_sort_can_be_given
        test_dnc_allocation.py::test_at_the_first_step_the_row_of_lowest_index_is_free
        test_dnc_allocation.py::test_the_order_that_another_sort_gave_to_ties_can_be_replayed
    """,
    "usages nearly equal": """
        dnc_allocation: nearly equal usages
        test_dnc_allocation.py::test_at_a_tie_the_allocation_jumps
        test_dnc_allocation.py::test_gradcheck_refuses_a_near_tie_whose_margin_is_not_told
    """,
    "usages of exactly zero and one": """
        dnc_allocation: one row is not in use
        dnc_allocation: two rows are not in use
        dnc_allocation: all rows but one are in use
        test_dnc_allocation.py::test_usages_of_exactly_zero_have_their_gradient
    """,
    "all rows in use": """
        dnc_allocation: all rows are in use
        dnc_allocation.a_full_memory_has_nothing_to_allocate
        test_dnc_allocation.py::test_where_all_rows_are_in_use_nothing_is_allocated_and_only_content_is_written
        test_dnc_weightings.py::test_with_every_row_in_use_only_the_content_is_written
    """,
    "usage beyond its ends": """
        dnc_allocation: beyond both ends by rounding
        dnc_usage: beyond both ends by rounding
        test_dnc_allocation.py::test_usage_beyond_its_ends_is_not_clipped
    """,
    "the product of usages underflows": """
        dnc_allocation: what is left underflows
        test_dnc_allocation.py::test_what_is_left_underflows_in_float32_and_the_weights_still_sum_to_one
    """,
    "powers underflow": """
        sharpening: what underflows as written
        sharpening: eps below, most of the mass lost
        test_addressing.py::test_uniform_weights_survive_a_high_power_in_float32
        test_addressing.py::test_pytorch_ntm_loses_the_mass_that_was_measured
    """,
    "weights of zero and below": """
        sharpening: zeros
        sharpening: zeros, a power of one
        sharpening: negative weights
        sharpening.a_zero_weight_has_the_slope_of_normalising_at_a_power_of_one
        test_addressing.py::test_negative_and_vanishing_weights_count_as_zero
    """,
    "a row is erased wholly": """
        memory_write: erase all then add, one head erases a row wholly
        memory_write: erase all then add, both heads erase the same cell wholly
        memory_write: the only row is erased wholly
        memory_write.a_row_erased_wholly_holds_what_is_written
        test_memory_edge_cases.py::test_a_cell_erased_wholly_still_has_its_gradient
    """,
    "several heads on one row": """
        memory_write.heads_that_write_at_once_have_no_order
        memory_write.one_head_at_a_time_is_sequential
        test_properties_memory.py::test_erasing_all_first_keeps_what_both_heads_add
        test_memory_edge_cases.py::test_the_sum_of_two_erasures_turns_the_sign
    """,
    "shifts off the end, wider than the memory, even, by a number": """
        circular_shift: minus_to_plus, circular, wider than the memory
        circular_shift: minus_to_plus, circular, even width
        circular_shift: two rows, where +1 is -1
        circular_shift: one row
        scalar_shift: at an integer
        scalar_shift: negative
        test_addressing.py::test_a_focus_lost_off_the_end_becomes_uniform_in_ntm_lasagne
        test_addressing.py::test_a_wide_shift_folds_like_eq_8
        test_addressing.py::test_the_slope_at_an_integer_is_the_one_to_the_right
    """,
    "saturated gates and clips": """
        sigmoid: nothing but saturated
        softplus: extreme
        interpolation: gate open
        interpolation.both_ends_are_exact
        hard_sigmoid: shut and open
        clip: on the bounds
        test_memory_edge_cases.py::test_a_sigmoid_that_rounds_to_one_still_has_a_slope
        test_memory_edge_cases.py::test_a_hard_gate_is_exactly_shut_and_takes_no_gradient
        test_memory_edge_cases.py::test_a_clip_at_twenty_stops_the_gradient_beyond_it_and_not_on_it
    """,
    "a start of zero weights": """
        interpolation: zeros to keep
        test_addressing.py::test_a_gate_over_nothing_has_no_gradient_once_normalised
        test_memory_edge_cases.py::test_a_gate_almost_shut_over_nothing
    """,
    "write gates of zero and one": """
        dnc_linkage.without_a_write_nothing_changes
        dnc_linkage.writing_a_row_again_clears_its_links
        test_dnc_allocation.py::test_with_the_write_gate_shut_nothing_changes_but_usage
        test_properties_memory.py::test_certain_writes_make_a_list_of_what_followed_what
        test_dnc_edges.py::test_writing_the_same_row_twice_erases_its_links_and_adds_none
    """,
    "read weights that sum to less than one": """
        dnc_read_weighting.a_head_that_follows_empty_links_reads_nothing
        test_dnc_weightings.py::test_an_empty_link_sharpened_is_uniform
        test_dnc_edges.py::test_following_links_where_there_are_none_reads_nothing_and_frees_nothing
        test_memory_edge_cases.py::test_a_head_of_little_weight_reads_little_and_frees_little
    """,
    "a row is freed and keeps its content": """
        test_dnc_allocation.py::test_a_row_that_is_read_and_freed_is_the_first_to_be_written_and_still_holds_its_content
        test_dnc_weightings.py::test_de_allocation_before_the_write_is_csordas_erase_matrix
        test_dnc_edges.py::test_the_lookup_of_a_write_still_finds_what_it_deallocates
    """,
    "two heads free one row": """
        retention: two heads free one row wholly
        retention: three heads free one row wholly
        test_dnc_allocation.py::test_two_heads_that_free_one_row_wholly_leave_finite_gradients
    """,
    "a mask of zeros": """
        test_dnc_weightings.py::test_a_mask_of_zeros_everywhere_looks_everywhere_alike
        test_dnc_edges.py::test_masks_of_zero_look_everywhere_alike_and_gradients_are_numbers
    """,
    "sums of links": """
        dnc_linkage.rows_and_columns_stay_below_one
        dnc_linkage: weights beyond the simplex
        test_properties_memory.py::test_links_and_precedence_stay_below_the_simplex
        test_memory_edge_cases.py::test_write_weights_beyond_one_by_rounding_take_links_beyond_by_as_much
    """,
    "strengths of zero, large, below one": """
        cosine_addressing: no strength
        cosine_addressing: sharp
        test_addressing.py::test_huge_strength_picks_one_row
        test_memory_edge_cases.py::test_softplus_lets_a_strength_fall_below_one_and_oneplus_does_not
    """,
    "chunks of a sequence": """
        test_ntm.py::test_chunks_equal_the_whole
        test_dnc_cell.py::test_chunks_are_the_whole_to_the_bit
    """,
    "batches, padding, axes of one": """
        cosine_addressing: one row to choose from
        memory_write: one row, one column
        test_ntm.py::test_a_sequence_in_a_batch_is_the_sequence_alone_and_padding_is_never_read
        test_dnc_cell.py::test_a_sequence_alone_is_what_it_is_in_a_batch_to_the_bit
        test_dnc_cell.py::test_a_sequence_that_has_ended_keeps_its_state_and_its_padding_is_never_read
        test_properties_generic.py::test_a_batch_is_its_rows
    """,
    "orders of entries": """
        test_addressing.py::test_each_entry_moves_the_focus_its_own_way
        test_dnc_weightings.py::test_every_order_is_the_papers_with_its_modes_permuted
        test_dnc_weightings.py::test_read_modes_of_several_write_heads_stand_as_deepmind_has_them
    """,
}


@pytest.mark.parametrize("topic", EVIDENCE)
def test_the_evidence_for_an_edge_case_exists(topic):
    for line in filter(None, map(str.strip, EVIDENCE[topic].splitlines())):
        if "::" in line:
            file, _, name = line.partition("::")
            assert f"def {name}(" in (HERE / file).read_text(encoding="utf-8"), line
        elif ": " in line:
            op, _, label = line.partition(": ")
            assert label in {case.label for case in REGISTRY[op].cases(np.random.default_rng(0))}, line
        else:
            op, _, name = line.partition(".")
            assert name in {claim.__name__ for claim in REGISTRY[op].properties}, line


# ---- content ----------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "pytorch_ntm"])
def test_a_blank_memory_is_addressed_uniformly(name):
    """And no NaN comes back, whatever the strength."""
    key, memory = np.array([[1.0, -2.0, 0.5]]), np.zeros((4, 3))
    with np.errstate(all="raise", under="ignore"):
        weights, pullback = vjp(
            lambda *x: cosine_addressing(*x, **VARIANTS[name]), key, memory, np.array([30.0])
        )
        dkey, dmemory, dstrength = pullback(np.array([[1.0, 2.0, 3.0, 5.0]]))
    assert (weights == 0.25).all() and (dkey == 0).all() and (dstrength == 0).all()
    assert np.isfinite(dmemory).all() and (abs(dmemory).max() > 0) == (VARIANTS[name]["form"] != "none")


def test_a_start_of_1e_6_is_blank_to_some_and_a_direction_to_others():
    """A memory of 1e-6, which ntm-lasagne and Mostafa-Samir's DNC start from, under a key of ones."""
    key, memory = np.ones((1, 4)), np.full((2, 4), 1e-6) * [[1], [-1]]
    alike = {}
    for name in ("ntm_lasagne", "carpedm20", "pytorch_ntm", "mostafa_samir", "paper"):
        weights = cosine_addressing(key, memory, np.ones(1), **VARIANTS[name])[0]
        alike[name] = np.log(weights[0] / weights[1]) / 2
    assert alike["ntm_lasagne"] < 5e-3 and alike["carpedm20"] < 5e-3
    assert all(abs(alike[name] - 1) < 1e-9 for name in ("pytorch_ntm", "mostafa_samir", "paper"))


def test_softplus_lets_a_strength_fall_below_one_and_oneplus_does_not():
    emitted = np.array([-30.0, -1.0])
    assert (softplus(emitted) < 1).all() and (oneplus(emitted) > 1).all()
    key, memory = np.array([[1.0, 0.0]]), np.eye(2)
    weak, strong = (
        cosine_addressing(key, memory, f(emitted[:1]), form="none")[0] for f in (softplus, oneplus)
    )
    assert abs(weak - 0.5).max() < 1e-12
    np.testing.assert_allclose(strong, [np.e / (1 + np.e), 1 / (1 + np.e)], rtol=1e-12)


# ---- gates ------------------------------------------------------------------


@pytest.mark.parametrize("dtype, logit", [(np.float32, 18.0), (np.float64, 38.0)])
def test_a_sigmoid_that_rounds_to_one_still_has_a_slope(dtype, logit):
    """Where y (1 - y) is zero, e^-z is not."""
    gate, saved = sigmoid.forward(np.array([logit, -logit], dtype))
    assert gate[0] == 1 and gate[0] * (1 - gate[0]) == 0
    (slope,) = sigmoid.backward(saved, np.ones(2, dtype))
    np.testing.assert_allclose(slope, np.exp(-logit), rtol=1e-6)


def test_a_hard_gate_is_exactly_shut_and_takes_no_gradient():
    content, previous = np.array([0.2, 0.8]), np.array([0.7, 0.3])
    for logit, expected in ((-3.0, previous), (3.0, content)):
        gated, pullback = vjp(lambda z: interpolation(content, previous, hard_sigmoid(z)), np.array(logit))
        assert (gated == expected).all() and pullback(np.array([1.0, 0.0]))[0] == 0


def test_a_clip_at_twenty_stops_the_gradient_beyond_it_and_not_on_it():
    """Collier, DeepMind and Csordas clip what the controller emits; a softplus of it stays finite."""
    emitted = np.array([-1e3, -20.0, 3.0, 20.0, 20.5])
    strength, pullback = vjp(lambda z: softplus(clip(z, low=-20.0, high=20.0)), emitted)
    slope = pullback(np.ones(5))[0]
    assert strength.max() < 20.1 and (slope[[0, 4]] == 0).all() and (slope[1:4] > 0).all()


def test_a_gate_almost_shut_over_nothing():
    """From a start of zero weights: a scale that is lost, or in pytorch-ntm most of the mass."""
    content, nothing = np.full(128, 1 / 128), np.zeros(128)
    gated = interpolation(content, nothing, np.array(1e-8))
    assert abs(gated.sum() - 1e-8) < 1e-22
    assert abs(sharpening(gated, np.array(2.0)).sum() - 1) < 1e-14
    squares = 1e-16 / 128
    lost = sharpening(gated, np.array(2.0), denominator_eps=1e-16).sum()
    np.testing.assert_allclose(lost, squares / (squares + 1e-16), rtol=1e-12)
    assert (sharpening(0 * gated, np.array(2.0)) == 0).all()


# ---- writing and reading ----------------------------------------------------


@pytest.mark.parametrize("others", [0, 1])
def test_a_cell_erased_wholly_still_has_its_gradient(others):
    """dM'/de = -M w prod of the other heads: 3 where w = e = 1 and M = 3, at which fumin/ntm returns 0."""
    memory, weights = np.array([[3.0]]), np.ones((1 + others, 1))
    erase = np.array([[1.0], [0.5]])[: 1 + others]
    vector = np.zeros((1 + others, 1))
    written, pullback = vjp(memory_write, memory, weights, erase, vector)
    _, dweights, derase, _ = pullback(np.ones((1, 1)))
    left = 0.5**others
    assert written[0, 0] == 0
    assert derase[0, 0] == dweights[0, 0] == -3 * left
    assert (derase[1:] == 0).all()


def test_the_sum_of_two_erasures_turns_the_sign():
    """shawntan: two heads that both erase a row leave its negative; the papers' product leaves nothing."""
    memory, both, none = np.array([[2.0, -3.0]]), np.ones((2, 1)), np.zeros((2, 2))
    erase = np.ones((2, 2))
    assert (memory_write(memory, both, erase, none, order="sum_of_erasures") == -memory).all()
    for order in ("erase_all_then_add", "sequential"):
        assert (memory_write(memory, both, erase, none, order=order) == 0).all()


def test_a_head_of_little_weight_reads_little_and_frees_little():
    memory, weights = np.array([[4.0], [8.0]]), np.array([[0.25, 0.0]])
    assert memory_read(weights, memory).tolist() == [[1.0]]
    assert retention(np.ones(1), weights).tolist() == [0.75, 1.0]
    assert memory_read(0 * weights, memory).tolist() == [[0.0]]
    assert retention(np.ones(1), 0 * weights).tolist() == [1.0, 1.0]


def test_write_weights_beyond_one_by_rounding_take_links_beyond_by_as_much():
    """Nothing is clipped: 1 - sum w turns negative by an ulp, and so do the sums exceed one by no more."""
    n, ulp = 3, np.finfo(float).eps
    link, last = np.zeros((n, n)), np.zeros(n)
    for row in range(n):
        write = np.eye(n)[row] + [ulp, 0, 0]
        link, last = dnc_linkage(link, last, write)
        assert max(link.sum(0).max(), link.sum(1).max(), last.sum()) <= 1 + 4 * ulp
        assert min(link.min(), last.min()) >= -4 * ulp


# ---- everything at once -----------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_first_step_of_an_ntm_whose_start_is_all_zeros(form, rows):
    """Blank memory, blank weights, a saturated gate, a shift wider than the memory: numbers throughout."""

    def step(key, memory, strength, gate, shift, sharpness):
        content = cosine_addressing(key, memory, softplus(strength), form=form)
        gated = interpolation(content, 0 * content, sigmoid(gate))
        weights = sharpening(circular_shift(gated, shift), 1 + softplus(sharpness))
        return memory_read(weights, memory_write(memory, weights, 0 * key + 1, key))

    shapes = (1, 2), (rows, 2), (1,), (1,), (1, 5), (1,)
    for gate in (-40.0, 0.0, 40.0):
        inputs = [np.zeros(shape) for shape in shapes]
        inputs[0][...], inputs[3][...], inputs[4][...] = 1.0, gate, 0.2
        with np.errstate(all="raise", under="ignore"):
            reads, pullback = vjp(step, *inputs)
            gradients = pullback(np.ones_like(reads))
        np.testing.assert_allclose(reads, 1 / rows, rtol=1e-14)
        assert all(np.isfinite(g).all() for g in gradients)
