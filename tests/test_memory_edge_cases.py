"""The edge cases of a Differentiable Neural Computer: what each is specified to do, and where that is tested.

``EVIDENCE`` says for every one which case, property or test holds it; a test here sees that each of them
exists.  What no op's own file can say, because it takes several ops or a published number, is below.
"""

import numpy as np
import pytest
from edge_evidence import missing

from scratchattn import dnc_linkage, memory_read, retention

# "op: case", "op.property" or "file::test"
EVIDENCE = {
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
    "chunks of a sequence": """
        test_dnc_cell.py::test_chunks_are_the_whole_to_the_bit
    """,
    "batches, padding, axes of one": """
        test_dnc_cell.py::test_a_sequence_alone_is_what_it_is_in_a_batch_to_the_bit
        test_dnc_cell.py::test_a_sequence_that_has_ended_keeps_its_state_and_its_padding_is_never_read
        test_properties_generic.py::test_a_batch_is_its_rows
    """,
    "orders of entries": """
        test_dnc_weightings.py::test_every_order_is_the_papers_with_its_modes_permuted
        test_dnc_weightings.py::test_read_modes_of_several_write_heads_stand_as_deepmind_has_them
    """,
}


@pytest.mark.parametrize("topic", EVIDENCE)
def test_the_evidence_for_an_edge_case_exists(topic):
    assert missing(EVIDENCE[topic]) == []


# ---- writing and reading ----------------------------------------------------


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
