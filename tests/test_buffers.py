"""Leases: nobody else writes into what a recording keeps, and what is dead is used again."""

import gc
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from scratchattn import buffers
from scratchattn.buffers import Pool
from scratchattn.op import Op
from scratchattn.tape import vjp


def counting(size=3):
    """A builder of arrays, and the list of all that it built."""
    built = []

    def build():
        built.append(np.zeros(size))
        return built[-1]

    return build, built


def test_a_lease_is_shared_with_nobody_while_it_lives():
    pool, (build, built) = Pool(), counting()
    leases = [pool.lease("key", build) for _ in range(5)]
    assert len({id(lease.buffers) for lease in leases}) == len(built) == 5


def test_what_died_is_used_again():
    pool, (build, built) = Pool(), counting()
    lease = pool.lease("key", build)
    first = id(lease.buffers)
    del lease
    again = pool.lease("key", build)
    assert id(again.buffers) == first and len(built) == 1
    another = pool.lease("key", build)
    assert id(another.buffers) != first and len(built) == 2


def test_only_the_same_key_is_served():
    pool, (build, built) = Pool(), counting()
    del_me = pool.lease("small", build)
    del del_me
    pool.lease("large", build)
    assert len(built) == 2


def test_no_garbage_collector_is_needed():
    pool, (build, built) = Pool(), counting()
    gc.disable()
    try:
        for _ in range(10):
            pool.lease("key", build)
    finally:
        gc.enable()
    assert len(built) == 1


def test_no_more_than_most_are_kept_and_the_longest_unused_go_first():
    pool, (build, built) = Pool(most=3), counting()
    for key in "abcd":
        pool.lease(key, build)  # dies at once; at the fourth, "a" is dropped
    assert len(built) == 4
    for key in "dcb":
        pool.lease(key, build)
    assert len(built) == 4
    pool.lease("a", build)
    assert len(built) == 5
    pool.lease("d", build)  # the longest unused when "a" came back
    assert len(built) == 6


def test_a_key_that_is_used_is_not_the_longest_unused():
    pool, (build, built) = Pool(most=3), counting()
    both = [pool.lease("a", build), pool.lease("a", build)]
    del both
    for key in ("b", "a", "c"):  # at "c" one must go: "b", since "a" was used after it
        pool.lease(key, build)
    assert len(built) == 4
    both = [pool.lease("a", build), pool.lease("a", build)]
    assert len(built) == 4
    pool.lease("b", build)
    assert len(built) == 5 and len(both) == 2


def test_many_of_one_key_count_each():
    pool, (build, built) = Pool(most=2), counting()
    leases = [pool.lease("key", build) for _ in range(5)]
    del leases
    leases = [pool.lease("key", build) for _ in range(5)]
    assert len(built) == 5 + 3 and len({id(lease.buffers) for lease in leases}) == 5


def test_a_builder_that_fails_leaves_the_pool_as_it_was():
    pool, (build, built) = Pool(), counting()

    def fail():
        raise MemoryError("too large")

    with pytest.raises(MemoryError):
        pool.lease("key", fail)
    pool.lease("key", build)
    pool.lease("key", build)
    assert len(built) == 1


def rooms(pool):
    """A function that leases room, and the list of all rooms ever built."""
    built = []

    def lease(room):
        return pool.lease("key", lambda: built.append(room) or len(built), room)

    return lease, built


def test_room_for_less_is_found_in_room_for_more():
    lease, built = rooms(Pool())
    for room in (5, 3, 5, 0, 4):
        assert lease(room).room == 5
    assert built == [5]


def test_what_is_too_small_makes_place():
    lease, built = rooms(Pool())
    for room in (2, 4, 3, 4, 2):
        assert lease(room).room >= room
    assert built == [2, 4]
    both = [lease(1), lease(1)]
    assert built == [2, 4, 1] and {each.room for each in both} == {4, 1}


def test_the_smallest_that_is_large_enough_is_taken():
    lease, built = rooms(Pool())
    held = [lease(room) for room in (9, 4, 6)]
    del held
    assert [lease(room).room for room in (5, 1, 6, 7, 4, 9)] == [6, 4, 6, 9, 4, 9]
    assert built == [9, 4, 6]


class Sizes(NamedTuple):
    steps: int
    batch: int = 3


def built(new, s):
    """All that a builder may make: arrays over time and others, views of them, namespaces within."""
    f = SimpleNamespace(
        sums=new(s.steps, s.batch, 4), states=new(s.steps + 1, s.batch), other=new(s.batch, 4), sizes=[s]
    )
    f.part, f.first, f.every_other = f.sums[:, :, :2], f.sums[0], f.sums[:, :, ::2]
    f.within = [SimpleNamespace(sums=new(s.steps, 2), other=new(2))]
    f.views = [f.sums[t] for t in range(s.steps)]
    return f


def shapes(f):
    within = [shapes(each) for each in getattr(f, "within", [])]
    arrays = {name: a.shape for name, a in vars(f).items() if isinstance(a, np.ndarray)}
    return arrays, len(getattr(f, "views", [])), within


def test_what_is_leased_for_less_has_the_shapes_of_less_and_the_memory_of_more(monkeypatch):
    monkeypatch.setattr(buffers, "POOL", Pool())
    fresh = [shapes(buffers.lease(built, np.ones(1), Sizes(n)).buffers) for n in (2, 3, 5)]
    monkeypatch.setattr(buffers, "POOL", Pool())
    whole = buffers.lease(built, np.ones(1), Sizes(5)).buffers  # dies at once: next is the same memory
    found = [buffers.lease(built, np.ones(1), Sizes(n)).buffers for n in (2, 3, 5)]
    assert [shapes(f) for f in found] == fresh
    assert all(np.shares_memory(f.states, whole.states) and f.other is whole.other for f in found)
    assert buffers.lease(built, np.ones(1), Sizes(2, batch=4)).buffers.other.shape == (4, 4)


# ---- as a fused op uses them ------------------------------------------------


def leasing():
    """A cube whose forward writes its square into a leased buffer, and the buffers ever built."""
    pool, built = Pool(), []

    def build(x):
        built.append(np.empty_like(x))
        return built[-1]

    def forward(x):
        lease = pool.lease((x.shape, x.dtype), lambda: build(x))
        np.multiply(x, x, out=lease.buffers)
        return lease.buffers * x, lease

    def backward(lease, dout):
        return (3 * lease.buffers * dout,)

    return Op("cube", "x(n) -> out(n)", forward, backward, lambda rng: ()), built


def test_two_forwards_of_one_shape_may_precede_their_backwards(rng):
    (cube, built), (x, y, u) = leasing(), rng.normal(size=(3, 4))
    _, pull_x = vjp(cube, x)
    _, pull_y = vjp(cube, y)
    assert len(built) == 2
    for _ in range(2):
        assert abs(pull_x(u)[0] - 3 * x * x * u).max() < 1e-14
        assert abs(pull_y(u)[0] - 3 * y * y * u).max() < 1e-14


def test_two_calls_in_one_graph_do_not_meet(rng):
    (cube, built), (x, y, u) = leasing(), rng.normal(size=(3, 4))
    _, pullback = vjp(lambda a, b: cube(a) * cube(b), x, y)
    assert len(built) == 2
    by_x, by_y = pullback(u)
    assert abs(by_x - 3 * x**2 * y**3 * u).max() < 1e-13 and abs(by_y - 3 * y**2 * x**3 * u).max() < 1e-13


def test_outputs_outlive_their_node(rng):
    (cube, built), (x, y) = leasing(), rng.normal(size=(2, 4))
    out, pullback = vjp(cube, x)
    del pullback
    vjp(cube, y)
    assert len(built) == 1 and (out == x * x * x).all()


def test_a_training_loop_builds_once_per_shape(rng):
    cube, built = leasing()
    for _ in range(20):
        for n in (3, 5):
            _, pullback = vjp(cube, rng.normal(size=n))
            pullback(np.ones(n))
    assert len(built) <= 3  # the last recording of a loop lives until the next one takes its name
