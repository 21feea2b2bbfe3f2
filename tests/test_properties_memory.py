"""Reading and writing a memory, and the links between writes: what holds between one call and another."""

import numpy as np
from drawing import (
    assume,
    batches,
    below_simplex,
    equal,
    free,
    gate,
    given,
    integers,
    lengths,
    link,
    one_hot,
    run,
    same,
    scales,
    seeds,
    simplex,
    st,
)  # fmt: skip

from scratchattn import directional_weightings, dnc_linkage, memory_read, memory_write

ORDERS = ("erase_all_then_add", "sequential", "sum_of_erasures")
orders = st.sampled_from(ORDERS)
several = st.integers(1, 3)


@st.composite
def writes(draw, heads=several):
    """memory, weights, erase, write_vector of one batch."""
    h, n, w, batch = draw(heads), draw(lengths), draw(lengths), draw(batches)
    rng, scale = np.random.default_rng(draw(seeds)), draw(scales)
    return [
        free(rng, (*batch, n, w), scale),
        simplex(rng, (*batch, h, n), scale),
        gate(rng, (*batch, h, w), scale),
        free(rng, (*batch, h, w)),
    ]


@st.composite
def links(draw):
    """link, precedence, write_weights, read_weights of two heads."""
    n, batch, scale, rng = draw(lengths), draw(batches), draw(scales), np.random.default_rng(draw(seeds))
    one = [below_simplex(rng, (*batch, n), scale) for _ in range(2)]
    return [link(rng, (*batch, n, n), scale), *one, below_simplex(rng, (*batch, 2, n), scale)]


# ---- reading ----------------------------------------------------------------


@given(writes())
def test_a_read_lies_among_the_rows(drawn):
    memory, weights, *_ = drawn
    reads, room = memory_read(weights, memory), 1e-14 * abs(memory).max()
    assert (reads <= memory.max(-2, keepdims=True) + room).all()
    assert (reads >= memory.min(-2, keepdims=True) - room).all()


@given(writes(), seeds)
def test_a_certain_head_reads_its_row(drawn, seed):
    """And the gradient by the memory reaches that row alone, by the weights it asks every row."""
    memory, weights, *_ = drawn
    certain = one_hot(np.random.default_rng(seed), weights.shape)
    row = certain.argmax(-1)[..., None]
    cotangent = free(np.random.default_rng(seed), (*weights.shape[:-1], memory.shape[-1]))
    reads, dweights, dmemory = run(memory_read, certain, memory, cotangents=[cotangent])
    equal(reads, np.take_along_axis(memory, row, -2))
    same(dweights, np.einsum("...hw,...nw->...hn", cotangent, memory), 1e-14)
    untouched = ~(certain > 0).any(-2)
    assert (dmemory[untouched] == 0).all()


@given(seeds, batches, lengths, lengths, lengths)
def test_reading_is_linear_and_its_backward_the_transpose(seed, batch, h, n, w):
    """Exactly: of whole numbers."""
    rng = np.random.default_rng(seed)
    weights, memory, other = (integers(rng, (*batch, *shape)) for shape in ((h, n), (n, w), (n, w)))
    reads = memory_read(weights, memory)
    equal(memory_read(weights, memory - 2 * other), reads - 2 * memory_read(weights, other))
    u = integers(rng, reads.shape)
    _, dweights, dmemory = run(memory_read, weights, memory, cotangents=[u])
    assert (reads * u).sum() == (dweights * weights).sum() == (dmemory * memory).sum()


# ---- writing ----------------------------------------------------------------


@given(writes(), seeds, orders)
def test_what_is_written_over_a_row_is_read_from_it(drawn, seed, order):
    """By one certain head that erases all: exactly its vector there, and no other row has changed."""
    memory, weights, erase, vector = [drawn[0], *[x[..., :1, :] for x in drawn[1:]]]
    certain = one_hot(np.random.default_rng(seed), weights.shape)
    written = memory_write(memory, certain, 0 * erase + 1, vector, order=order)
    equal(memory_read(certain, written), vector)
    untouched = certain[..., 0, :] == 0
    equal(written[untouched], memory[untouched])


@given(writes(), seeds, orders)
def test_rows_that_nobody_attends_to_are_kept(drawn, seed, order):
    """To the bit, and their gradient is that of the memory after the write."""
    memory, weights, erase, vector = drawn
    rng = np.random.default_rng(seed)
    untouched = rng.random(memory.shape[-2]) < 0.5
    weights = np.where(untouched, 0, weights)
    cotangent = free(rng, memory.shape)
    written, dmemory, *_ = run(
        memory_write, memory, weights, erase, vector, cotangents=[cotangent], order=order
    )
    equal(written[..., untouched, :], memory[..., untouched, :])
    equal(dmemory[..., untouched, :], cotangent[..., untouched, :])


@given(writes(), seeds, st.sampled_from(["erase_all_then_add", "sum_of_erasures"]))
def test_heads_that_write_at_once_have_no_order(drawn, seed, order):
    memory, *by_head = drawn
    turn = np.random.default_rng(seed).permutation(by_head[0].shape[-2])
    cotangent = free(np.random.default_rng(seed), memory.shape)
    here = run(memory_write, *drawn, cotangents=[cotangent], order=order)
    turned = [x[..., turn, :] for x in by_head]
    there = run(memory_write, memory, *turned, cotangents=[cotangent], order=order)
    for a, b in zip(there, [*here[:2], *[g[..., turn, :] for g in here[2:]]]):
        assert (abs(a - b) <= 1e-14 * 10 * (1 + abs(here[0]).max() + abs(memory).max())).all()


@given(writes())
def test_in_sequence_is_one_head_after_the_other(drawn):
    memory, *by_head = drawn
    chained = memory
    for h in range(by_head[0].shape[-2]):
        chained = memory_write(chained, *[x[..., h : h + 1, :] for x in by_head])
    same(memory_write(*drawn, order="sequential"), chained, 1e-15)


@given(writes(heads=st.just(1)), seeds)
def test_one_head_knows_no_order(drawn, seed):
    """All three conventions are one, forward and back."""
    first, *others = (run(memory_write, *drawn, seed=seed, order=order) for order in ORDERS)
    for found in others:
        for a, b in zip(found, first):
            assert (abs(a - b) <= 1e-14 * (1 + abs(b).max()) * 10).all()


@given(writes(), orders)
def test_erasing_only_shrinks_and_adding_only_adds(drawn, order):
    memory, weights, erase, vector = drawn
    added = memory_write(memory, weights, 0 * erase, vector, order=order)
    change = weights.swapaxes(-1, -2) @ vector
    assert abs(added - memory - change).max() <= 1e-14 * (abs(memory).max() + abs(vector).max())
    if order != "sum_of_erasures":
        erased = memory_write(memory, weights, erase, 0 * vector, order=order)
        assert (abs(erased) <= abs(memory)).all() and (erased * memory >= 0).all()
    equal(memory_write(memory, 0 * weights, erase, vector, order=order), memory)


@given(writes(heads=st.just(2)), seeds)
def test_erasing_all_first_keeps_what_both_heads_add(drawn, seed):
    """Two certain heads on one row that erase all: the sum of both vectors; in sequence, the second alone."""
    memory, weights, erase, vector = drawn
    row = np.random.default_rng(seed).integers(0, memory.shape[-2])
    both = np.broadcast_to(np.eye(memory.shape[-2])[row], weights.shape)
    at_once = memory_write(memory, both, 0 * erase + 1, vector)
    equal(at_once[..., row, :], vector[..., 0, :] + vector[..., 1, :])
    in_turn = memory_write(memory, both, 0 * erase + 1, vector, order="sequential")
    equal(in_turn[..., row, :], vector[..., 1, :])


@given(writes(), seeds, orders)
def test_the_order_of_the_rows_is_irrelevant(drawn, seed, order):
    memory, weights, erase, vector = drawn
    turn = np.random.default_rng(seed).permutation(memory.shape[-2])
    moved = memory_write(memory[..., turn, :], weights[..., turn], erase, vector, order=order)
    same(moved, memory_write(*drawn, order=order)[..., turn, :], 1e-14)


@given(writes(), seeds)
def test_a_write_between_keeps_to_what_was_there_and_what_is_written(drawn, seed):
    """With erase one everywhere a single head moves each row towards its vector by its weight."""
    memory, weights, erase, vector = [drawn[0], *[x[..., :1, :] for x in drawn[1:]]]
    written = memory_write(memory, weights, 0 * erase + 1, vector)
    room = 1e-15 * (abs(memory).max() + abs(vector).max())
    assert (written <= np.maximum(memory, vector) + room).all()
    assert (written >= np.minimum(memory, vector) - room).all()


# ---- links ------------------------------------------------------------------


@given(links(), st.integers(1, 4), seeds)
def test_links_and_precedence_stay_below_the_simplex(drawn, writes, seed):
    """From a blank memory on, over several writes: no row follows itself, no row or column exceeds one."""
    linked, last, write, _ = drawn
    linked, last, rng = 0 * linked, 0 * last, np.random.default_rng(seed)
    for _ in range(writes):
        linked, last = dnc_linkage(linked, last, below_simplex(rng, write.shape, 3.0))
        for sums in (linked.sum(-1), linked.sum(-2), last.sum(-1)):
            assert (sums <= 1 + 1e-15).all()
        assert (linked >= -1e-16).all() and (last >= 0).all()
        assert (np.diagonal(linked, axis1=-2, axis2=-1) == 0).all()


@given(lengths, st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_certain_writes_make_a_list_of_what_followed_what(n, rows):
    """Held against a dictionary: a row that is written again leaves its place and goes to the end."""
    rows = [row % n for row in rows]
    linked, last = np.zeros((n, n)), np.zeros(n)
    after, previous = {}, None  # after[row]: the row that was written just before it
    for row in rows:
        linked, last = dnc_linkage(linked, last, np.eye(n)[row])
        after = {i: j for i, j in after.items() if row not in (i, j)}
        if previous not in (None, row):
            after[row] = previous
        previous = row
        expected = np.zeros((n, n))
        for i, j in after.items():
            expected[i, j] = 1.0
        equal([linked, last], [expected, np.eye(n)[row]])
    ahead, back = directional_weightings(linked, np.eye(n))
    for i, j in after.items():  # row i was written just after row j
        equal([ahead[j], back[i]], [np.eye(n)[i], np.eye(n)[j]])


@given(seeds, st.integers(2, 6))
def test_rows_written_in_turn_are_followed_to_either_end(seed, n):
    turn = np.random.default_rng(seed).permutation(n)
    linked, last = np.zeros((n, n)), np.zeros(n)
    for row in turn:
        linked, last = dnc_linkage(linked, last, np.eye(n)[row])
    for start, step in ((0, 0), (n - 1, 1)):
        here = np.eye(n)[[turn[start]]]
        for place in range(n)[:: -1 if step else 1]:
            equal(here[0], np.eye(n)[turn[place]])
            here = directional_weightings(linked, here)[step]
        assert not here.any()


@given(links())
def test_without_a_write_nothing_is_linked_or_forgotten(drawn):
    linked, last, write, _ = drawn
    equal(list(dnc_linkage(linked, last, 0 * write)), [linked, last])


@given(links(), seeds)
def test_links_do_not_see_the_order_of_rows(drawn, seed):
    linked, last, write, read = drawn
    turn = np.random.default_rng(seed).permutation(last.shape[-1])
    new = dnc_linkage(linked, last, write)
    moved = dnc_linkage(linked[..., turn, :][..., turn], last[..., turn], write[..., turn])
    for a, b in zip(moved, (new.new_link[..., turn, :][..., turn], new.new_precedence[..., turn])):
        assert (abs(a - b) <= 1e-15).all()
    there = directional_weightings(linked[..., turn, :][..., turn], read[..., turn])
    for a, b in zip(there, directional_weightings(linked, read)):
        assert (abs(a - b[..., turn]) <= 1e-15).all()


@given(links(), seeds)
def test_the_linkage_is_linear_in_link_and_precedence(drawn, seed):
    """What was linked before is only scaled, whatever is written."""
    linked, last, write, _ = drawn
    once, twice = dnc_linkage(linked, last, write), dnc_linkage(2 * linked, 2 * last, write)
    equal(twice.new_link, 2 * once.new_link)
    assert (abs(twice.new_precedence - (2 * once.new_precedence - write)) <= 1e-15 * 4).all()


@given(links(), seeds)
def test_forwards_and_backwards_are_transposed(drawn, seed):
    """<a, forward r> = <backward a, r>; and each is the other's derivative."""
    linked, _, _, read = drawn
    other = free(np.random.default_rng(seed), read.shape)
    ahead, _ = directional_weightings(linked, read)
    _, back = directional_weightings(linked, other)
    assert abs((ahead * other).sum() - (back * read).sum()) <= 1e-14 * (1 + abs(ahead * other).sum())
    assert (ahead.sum(-1) <= 1 + 1e-14).all() and (ahead >= 0).all()
    _, _, _, dread = run(directional_weightings, linked, read, cotangents=[other, 0 * other])
    same(dread, back, 1e-14)
    swapped = directional_weightings(linked, read, direction="swapped")
    equal(list(swapped), list(directional_weightings(linked, read))[::-1])
    assume(linked.shape[-1] > 1)
    turned = directional_weightings(linked.swapaxes(-1, -2), read)
    assert (abs(turned.backward_weights - ahead) <= 1e-15).all()
