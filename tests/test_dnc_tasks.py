"""The DNC paper's tasks: copies one after another, linkage, questions about graphs."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from scratchattn.tasks import Copy, CopySeries, Graph, Linkage


def drawn(task, size=1, seed=0):
    return task.batch(np.random.default_rng(seed), size, "float64")


def sequence(task, seed=0):
    """Inputs, targets and asked of one sequence as lists of lists."""
    batch = drawn(task, seed=seed)
    return batch.inputs[:, 0].tolist(), batch.targets[:, 0].tolist(), batch.asked[:, 0, 0].tolist()


def test_a_series_is_copies_one_after_another():
    inputs, targets, asked = sequence(CopySeries(bits=3, shortest=1, longest=4, sequences=6))
    at, lengths = 0, []
    while at < len(inputs):
        n = next(i for i in range(5) if inputs[at + i][3])
        vectors = [row[:3] for row in inputs[at : at + n]]
        assert inputs[at : at + 2 * n + 1] == [[*v, 0] for v in vectors] + [[0, 0, 0, 1]] + [[0] * 4] * n
        assert targets[at : at + 2 * n + 1] == [[0] * 3] * (n + 1) + vectors
        assert asked[at : at + 2 * n + 1] == [False] * (n + 1) + [True] * n
        lengths.append(n)
        at += 2 * n + 1
    assert len(lengths) == 6 and len(set(lengths)) > 1
    assert drawn(CopySeries()).inputs.shape == (110, 1, 7)


def test_linkage_is_the_copy_task_of_up_to_a_hundred_vectors():
    assert dataclasses.asdict(Linkage()) == dataclasses.asdict(Copy(bits=6, longest=100))
    for a, b in zip(drawn(Linkage(), 3), drawn(Copy(bits=6, longest=100), 3), strict=True):
        assert a is b is None or (a == b).all()


def label(channels):
    """The number that groups of ten channels spell, None if they are all zero."""
    digits = [channels[i : i + 10] for i in range(0, len(channels), 10)]
    if not any(map(any, digits)):
        return None
    assert all(sorted(digit) == [0] * 9 + [1] for digit in digits)
    return int("".join(str(digit.index(1)) for digit in digits))


def read_graph(task, seed):
    """Described edges, question, answer as triples of labels, with the marks looked at."""
    inputs, targets, asked = sequence(task, seed)
    third = 10 * task.digits

    def triples(rows):
        return [tuple(label(row[i : i + third]) for i in (0, third, 2 * third)) for row in rows]

    answer = asked.index(True)
    marks = [t for t, row in enumerate(inputs) if row[-2]]
    assert marks == sorted({marks[0], answer - task.planning, answer}) and all(asked[answer:])
    assert [bool(row[-1]) for row in inputs] == asked
    shown = triples(inputs)
    assert set(shown[answer - task.planning :]) == {(None, None, None)}
    assert not any(map(any, targets[:answer]))
    return shown[: marks[0]], shown[marks[0] : answer - task.planning], triples(targets[answer:])


@pytest.mark.parametrize("seed", range(8))
def test_a_traversal_follows_its_edges(seed):
    described, question, answer = read_graph(Graph(), seed)
    follow = {(a, e): b for a, e, b in described}
    assert len(follow) == len(described) and 2 <= len(question) == len(answer) <= 4
    node = question[0][0]
    for i, ((start, edge, end), found) in enumerate(zip(question, answer)):
        assert end is None and start == (node if i == 0 else None)
        assert found == (node, edge, follow[node, edge])
        node = follow[node, edge]


@pytest.mark.parametrize("seed", range(12))
def test_no_path_is_shorter_and_of_equal_ones_the_smallest_labels_count(seed):
    task = Graph(question="shortest_path", planning=3 * (seed % 2), least_edges=1, most_edges=3, longest=3)
    described, question, answer = read_graph(task, seed)
    ((start, none, end),) = question
    assert none is None and answer[0][0] == start and answer[-1][2] == end != start
    ways = [[edge] for edge in described if edge[0] == start]
    found = []
    while not found:  # all ways of one edge, of two, ...
        found = [way for way in ways if way[-1][2] == end]
        ways = [[*way, edge] for way in ways for edge in described if edge[0] == way[-1][2]]
    assert answer == min(found, key=lambda way: [edge for _, edge, _ in way])


def test_the_wanted_distance_is_taken_where_there_is_one():
    lengths = []
    for seed in range(12):
        task = Graph(question="shortest_path", least_edges=1, most_edges=2, shortest=2, longest=2)
        described, _, answer = read_graph(task, seed)
        start = answer[0][0]
        beside = {b for a, _, b in described if a == start}
        two_away = {b for a, _, b in described if a in beside} - beside - {start}
        assert len(answer) == (2 if two_away else 1)
        lengths.append(len(answer))
    assert lengths.count(2) > 5


def test_edges_are_described_in_random_order():
    described, _, _ = read_graph(Graph(fewest=10), 0)
    sources = [a for a, _, _ in described]
    assert sum(a != b for a, b in pairwise(sources)) > 1.5 * len(set(sources))


def test_graphs_are_those_of_near_neighbours_and_labels_differ():
    counts, sizes, lengths = set(), set(), set()
    for seed in range(60):
        described, question, _ = read_graph(Graph(fewest=4, most=6), seed)
        nodes = {a for a, _, _ in described}
        for node in nodes:
            own = [(e, b) for a, e, b in described if a == node]
            counts.add(len(own))
            assert len({e for e, _ in own}) == len({b for _, b in own} - {node}) == len(own)
        assert {b for _, _, b in described} <= nodes
        sizes.add(len(nodes))
        lengths.add(len(question))
    assert (counts, sizes, lengths) == ({2, 3, 4}, {4, 5, 6}, {2, 3, 4})


def test_an_answer_is_wrong_if_any_digit_of_any_triple_is():
    task = Graph(digits=2)
    batch = drawn(task, 5)
    right = 3 * batch.targets
    elsewhere = np.where(batch.asked, right, np.random.default_rng(1).normal(size=right.shape))
    for outputs in (right, elsewhere):
        assert (task.metrics(outputs, batch)["wrong_triples"] == 0).all()
    t = batch.lengths[3] - 1
    right[t, 3, 50:60] = np.roll(right[t, 3, 50:60], 1)
    found = task.metrics(right, batch)
    assert (found["sequence_error"] == [0, 0, 0, 1, 0]).all() and (
        found["wrong_triples"] == [0, 0, 0, 1, 0]
    ).all()
    digits = 6 * int(batch.asked.sum())
    assert float(task.loss(0 * right, batch)) == pytest.approx(digits * np.log(10) / 5, rel=1e-12)


def test_edges_lead_to_the_nearest_nodes():
    places = np.array([[0.0, 0.0], [0.1, 0.0], [0.3, 0.0], [0.6, 0.0], [1.0, 0.0]])

    class Placed:  # a generator whose nodes are these
        def __init__(self, rng):
            self.integers, self.choice = rng.integers, rng.choice

        def random(self, shape):
            assert shape == (5, 2)
            return places

    task = Graph(fewest=5, most=5, least_edges=2, most_edges=2)
    edges = task._graph(Placed(np.random.default_rng(0)))
    order = list(edges)
    found = [sorted(order.index(b) for b in edges[a].values()) for a in order]
    assert found == [[1, 2], [0, 2], [0, 1], [2, 4], [2, 3]]
