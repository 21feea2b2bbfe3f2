"""Mini-SHRDLU: every step of a problem read anew, plans beside a search through all, what moves lead to."""

from itertools import permutations, product

import numpy as np
import pytest

from scratchattn.tasks import MiniShrdlu
from scratchattn.tasks.bits import BitsBatch
from scratchattn.tasks.mini_shrdlu import Problem


def drawn(task, seed=0):
    return task.batch(np.random.default_rng(seed), 1, "float64")


def read_board(rows):
    """block -> (column, level) of a board's channels (columns, levels, blocks)."""
    found = {}
    for (column, level, block), there in np.ndenumerate(np.array(rows)):
        if there:
            assert block not in found and there == 1
            found[block] = column, level
    return found


def read_problem(task, batch, j=0):
    """Board, goals by their names, the wanted name, moves as (from, to) or None; all steps are looked at."""
    steps = slice(None if batch.lengths is None else batch.lengths[j])
    inputs, targets = batch.inputs[steps, j].tolist(), batch.targets[steps, j].tolist()
    asked = batch.asked[steps, j, 0].tolist()
    cells = task.columns * task.height * task.blocks
    groups = {"board": cells, "name": task.names, "a": task.blocks, "said": 4, "b": task.blocks, "marks": 2}
    ends = np.cumsum([0, *groups.values()])
    assert ends[-1] == task.inputs == len(inputs[0])
    said = [{group: row[start:end] for group, start, end in zip(groups, ends, ends[1:])} for row in inputs]
    lit = [{group for group in groups if any(row[group])} for row in said]
    question, answer = lit.index({"name", "marks"}), asked.index(True)
    assert lit[0] == {"board"} and answer == question + 1 and len(inputs) == answer + task.longest
    assert lit[1:question] == [{"name", "a", "said", "b"}] * (question - 1)
    assert [row["marks"] for row in said[question:]] == [[1, 0]] + [[0, 1]] * task.longest
    assert lit[answer:] == [{"marks"}] * task.longest and asked == [t >= answer for t in range(len(inputs))]
    goals = {}
    for row in said[1:question]:
        assert all(sorted(row[group])[-2:] == [0, 1] for group in ("name", "a", "said", "b"))
        name, a, relation, b = (row[group].index(1) for group in ("name", "a", "said", "b"))
        assert name == list(goals)[-1] if name in goals else True  # goal by goal
        goals.setdefault(name, []).append((a, ("above", "below", "left", "right")[relation], b))
    board = read_board(np.reshape(said[0]["board"], (task.columns, task.height, task.blocks)))
    moves = [*permutations(range(task.columns), 2), None]
    assert all(sorted(row) == [0] * len(moves[1:]) + [1] for row in targets[answer:])
    assert not any(map(any, targets[:answer]))
    return board, goals, said[question]["name"].index(1), [moves[row.index(1)] for row in targets[answer:]]


def after(board, moves, height):
    """Where the blocks are after ``moves``; None if one is impossible."""
    board = dict(board)
    for start, end in moves:
        full, free = (sum(column == c for column, _ in board.values()) for c in (start, end))
        if not full or free >= height:
            return None
        (block,) = (b for b, place in board.items() if place == (start, full - 1))
        board[block] = end, free
    return board


def satisfied(board, goal):
    apart = {"above": (0, 1), "below": (0, -1), "left": (-1, 0), "right": (1, 0)}
    return [tuple(np.subtract(board[a], board[b])) == apart[said] for a, said, b in goal]


BOARDS = {
    "the usual": MiniShrdlu(),
    "one level short": MiniShrdlu(blocks=5, columns=3, height=2, longest=3),
    "four columns": MiniShrdlu(blocks=3, columns=4, height=2, names=3, longest=2, most_constraints=2),
    "many goals": MiniShrdlu(fewest=5, most=5, names=5, shortest=2, longest=3),
}


@pytest.mark.parametrize("task", BOARDS.values(), ids=BOARDS)
def test_a_plan_is_the_first_of_the_shortest_that_meet_the_goal(task):
    moves = list(permutations(range(task.columns), 2))
    lengths = set()
    for seed in range(10):
        board, goals, wanted, plan = read_problem(task, drawn(task, seed=seed))
        assert sorted(board) == list(range(task.blocks))
        assert all((column, level - 1) in board.values() for column, level in board.values() if level)
        assert task.fewest <= len(goals) <= task.most
        for goal in goals.values():
            assert 1 <= len(goal) <= task.most_constraints and len(set(goal)) == len(goal)
        length = plan.index(None) if None in plan else len(plan)
        assert plan[length:] == [None] * (task.longest - length)
        for count in range(length + 1):  # all plans, the fewest moves first
            ends = ((p, after(board, p, task.height)) for p in product(moves, repeat=count))
            ways = (list(p) for p, there in ends if there and all(satisfied(there, goals[wanted])))
            found = next(ways, None)
            assert found == (plan[:length] if count == length else None)
        lengths.add(length)
    assert lengths <= set(range(task.shortest, task.longest + 1)) and len(lengths) > 1


def test_problems_are_of_all_lengths_and_the_wanted_goal_is_any():
    lengths, places, counts, sizes, relations = [], set(), set(), set(), set()
    for seed in range(150):
        _, goals, wanted, plan = read_problem(MiniShrdlu(), drawn(MiniShrdlu(), seed=seed))
        lengths.append(4 - plan.count(None))
        places.add((len(goals), list(goals).index(wanted)))
        counts |= {len(goal) for goal in goals.values()}
        sizes.add(len(goals))
        relations |= {said for goal in goals.values() for _, said, _ in goal}
    assert min(map(lengths.count, (1, 2, 3, 4))) > 5 and (counts, sizes) == ({1, 2, 3}, {1, 2, 3})
    assert relations == {"above", "below", "left", "right"}
    assert places == {(n, i) for n in (1, 2, 3) for i in range(n)}


def test_what_is_judged_is_where_the_moves_lead():
    task, rng = MiniShrdlu(blocks=3, longest=3, shortest=2), np.random.default_rng(5)
    batch = task.batch(rng, 40, "float64")
    right = np.where(batch.asked, batch.targets, rng.normal(size=batch.targets.shape))
    assert (task.metrics(right, batch)["sequence_error"] == 0).all()
    outputs = np.where(batch.asked, rng.normal(size=right.shape), right)
    found, moves = task.metrics(outputs, batch), list(permutations(range(3), 2))
    for j in range(40):
        board, goals, wanted, _ = read_problem(task, batch, j)
        for row in outputs[batch.asked[:, j, 0], j]:
            if row.argmax() < 6:
                board = after(board, [moves[row.argmax()]], task.height) or board
        held = satisfied(board, goals[wanted])
        assert found["sequence_error"][j] == (not all(held))
        assert found["constraint_error"][j] == pytest.approx(1 - sum(held) / len(held))
    assert 0 < found["sequence_error"].mean() < 1 and len(set(found["constraint_error"])) > 2
    assert float(task.loss(0 * right, batch)) == pytest.approx(3 * np.log(7), rel=1e-12)


def test_another_plan_of_the_same_end_is_right_too():
    task = MiniShrdlu(blocks=2, columns=3, height=2)
    way = list(permutations(range(3), 2))
    problem = Problem(board=((0,), (1,), ()), goals=((4, ((0, "above", 1),)),), wanted=4)
    inputs, targets, asked = task.sequence(None, problem)
    batch = BitsBatch(inputs[:, None], targets[:, None], asked[:, None, None], None)
    for plan in ([(0, 1)], [(0, 2), (2, 1)], [(2, 1), (0, 1)], [(0, 1), (1, 0), (0, 1)]):
        outputs = 0 * batch.targets
        numbers = [*map(way.index, plan), *[6] * (4 - len(plan))]
        outputs[np.flatnonzero(asked), 0, numbers] = 1
        assert task.metrics(outputs, batch) == {"sequence_error": [0], "constraint_error": [0]}
    outputs[-1, 0] = np.eye(7)[way.index((1, 0))]
    assert task.metrics(outputs, batch) == {"sequence_error": [1], "constraint_error": [1]}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"blocks": 9}, "blocks must leave a place, at most 8, got 9"),
        ({"names": 2}, "names must be at least most, 3, got 2"),
        ({"shortest": 5}, "longest must be at least shortest, 5, got 4"),
        ({"blocks": 1}, "blocks must be at least 2, got 1"),
    ],
)
def test_boards_that_cannot_be_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        MiniShrdlu(**settings)


def test_goals_that_cannot_be_are_refused_when_drawn():
    task = MiniShrdlu(blocks=2, columns=2, height=2, shortest=9, longest=9)
    with pytest.raises(ValueError, match="no goal takes 9 to 9 moves on 2 columns of 2 with 2 blocks"):
        drawn(task)
