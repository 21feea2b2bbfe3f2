"""Mini-SHRDLU in a reduced form: goals for a board of blocks are told, one is asked for, plan its moves.

Numbered blocks stand in columns.  A move takes the topmost block of a column and puts it on top of another.
A goal has a name and some constraints: a block is above, below, left of or right of another, right beside it.
First the board is shown, then every goal, one constraint a step, then the name of the goal that is wanted.

    phase      input                                               target
    board      the block in every cell                             -
    goals      name, block, relation, block; one step each         -
    question   name, a mark                                        -
    answer     another mark at all ``longest`` steps               the moves, then "none" to the end

Each of these is one of so many channels; a cell without a block is all zero.  A move is one of columns *
(columns - 1), ordered by where from, then where to; "none" comes last.  The board is not shown again while it
changes.  Moves to be learned are a shortest plan, of several the one that comes first in that order, the
first move deciding first.  A plan has ``shortest`` to ``longest`` moves, of goals not asked for too.

The loss is the cross-entropy of the moves.  What is judged is where they lead, whichever they are: they are
made on the board, an impossible one changes nothing, and ``constraint_error`` is the share of the wanted
goal's constraints that do not hold at the end, ``sequence_error`` 1 if any does not.

Conventions
-----------
Boards, moves and goals of adjacent blocks under a name are the paper's.  It trains by policy gradient on what
the moves lead to, and shows the board after each; here a search gives the moves to be learned, and the plan
is made without looking.  Sizes, channels, the order of what is told, how problems are drawn: ours.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature 538
(2016) 471, figure 5 and Methods.
"""

from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..refusals import check_settings
from . import one_hot
from .bits import BitsTask, answered_last, refuse_disorder

RELATIONS = {"above": (0, 1), "below": (0, -1), "left": (-1, 0), "right": (1, 0)}  # columns, levels
_TRIES = 10_000


class Problem(NamedTuple):
    """A board, goals, and the name of the one that is wanted."""

    board: tuple  # a tuple of blocks, the lowest first, for each column
    goals: tuple  # (name, constraints) each; a constraint is (block, relation, block)
    wanted: int

    @property
    def constraints(self):
        """Those of the goal that is wanted."""
        return dict(self.goals)[self.wanted]


@dataclass(frozen=True)
class MiniShrdlu(BitsTask):
    """Settings: the board, and ranges, both ends included, of what is drawn."""

    blocks: int = 4
    """Blocks on the board."""
    columns: int = 3
    """Columns that they stand in."""
    height: int = 3
    """Blocks that a column can hold."""
    names: int = 10
    """Names that a goal may have."""
    fewest: int = 1
    """Goals, at least."""
    most: int = 3
    """Goals, at most."""
    least_constraints: int = 1
    """Constraints of a goal, at least, if so many hold anywhere."""
    most_constraints: int = 3
    """Constraints of a goal, at most."""
    shortest: int = 1
    """Moves of a plan, at least."""
    longest: int = 4
    """Moves of a plan, at most."""

    metric = "sequence_error"
    together = False

    def __post_init__(self):
        ones = ("height", "names", "fewest", "least_constraints", "shortest")
        check_settings(self, at_least=dict.fromkeys(ones, 1) | {"blocks": 2, "columns": 2})
        ordered = ("fewest", "most"), ("least_constraints", "most_constraints"), ("shortest", "longest")
        refuse_disorder(self, *ordered, ("most", "names"))
        if self.blocks >= self.columns * self.height:
            most = self.columns * self.height - 1
            raise ValueError(f"MiniShrdlu: blocks must leave a place, at most {most}, got {self.blocks}")

    moves = property(lambda self: tuple(permutations(range(self.columns), 2)))
    outputs = classes = property(lambda self: len(self.moves) + 1)
    _groups = property(
        lambda self: {
            "cells": self.columns * self.height * self.blocks,
            "name": self.names,
            "first": self.blocks,
            "relation": len(RELATIONS),
            "second": self.blocks,
            "marks": 2,
        }
    )
    inputs = property(lambda self: sum(self._groups.values()))

    # ---- problems ---------------------------------------------------------------

    def problem(self, rng):
        """A Problem drawn from ``rng``; ValueError if the settings allow none."""
        board = tuple(() for _ in range(self.columns))
        for block in rng.permutation(self.blocks).tolist():
            free = [c for c, column in enumerate(board) if len(column) < self.height]
            column = free[rng.integers(len(free))]
            board = (*board[:column], (*board[column], block), *board[column + 1 :])
        count = int(rng.integers(self.fewest, self.most + 1))
        names = rng.choice(self.names, size=count, replace=False).tolist()
        goals = tuple((name, self._goal(rng, board)) for name in names)
        return Problem(board, goals, names[rng.integers(count)])

    def _goal(self, rng, board):
        """Constraints that hold after so many moves that are drawn, and that an allowed plan meets."""
        reach, blocks = self._reach(board)
        for _ in range(_TRIES):
            distance = int(rng.integers(self.shortest, self.longest + 1))
            there = np.flatnonzero(reach.distances == distance)
            found = _adjacencies(reach.places[there[rng.integers(len(there))]], blocks) if len(there) else []
            count = int(rng.integers(self.least_constraints, self.most_constraints + 1))
            pairs = [found[i] for i in rng.permutation(len(found))[:count].tolist()]
            goal = tuple(two[rng.integers(2)] for two in pairs)
            if goal and len(self.plan(board, goal)) >= self.shortest:
                return goal
        raise ValueError(
            f"MiniShrdlu: no goal takes {self.shortest} to {self.longest} moves on {self.columns} columns of "
            f"{self.height} with {self.blocks} blocks; allow shorter plans"
        )

    def plan(self, board, goal):
        """Numbers of the fewest moves after which all constraints hold; None if more than ``longest``."""
        reach, blocks = self._reach(board)
        hold = np.ones(len(reach.plans), bool)
        for a, relation, b in goal:
            apart = reach.places[:, blocks.index(a)] - reach.places[:, blocks.index(b)]
            hold &= (apart == RELATIONS[relation]).all(axis=1)
        return reach.plans[hold.argmax()] if hold.any() else None

    def _reach(self, board):
        """Where ``longest`` moves can lead, and the blocks in the order in which that numbers them."""
        numbers = iter(range(self.blocks))
        alike = tuple(tuple(next(numbers) for _ in column) for column in board)
        return _reach(alike, self.height, self.longest), [block for column in board for block in column]

    # ---- sequences --------------------------------------------------------------

    def sizes(self, rng, count):
        """The problems themselves."""
        return [(self.problem(rng),) for _ in range(count)]

    def sequence(self, rng, problem):
        """The steps of one problem."""
        told = [(name, *constraint) for name, goal in problem.goals for constraint in goal]
        shown = {group: np.zeros((len(told) + 2, size)) for group, size in self._groups.items()}
        cells = shown["cells"][0].reshape(self.columns, self.height, self.blocks)
        for c, column in enumerate(problem.board):
            cells[c, range(len(column)), column] = 1
        steps = range(1, len(told) + 1)
        for group, entries in zip(("name", "first", "relation", "second"), zip(*told)):
            numbers = [list(RELATIONS).index(e) for e in entries] if group == "relation" else entries
            shown[group][steps, numbers] = 1
        shown["name"][-1, problem.wanted] = shown["marks"][-1, 0] = 1
        plan = self.plan(problem.board, problem.constraints)
        answer = np.eye(self.outputs)[[*plan, *[len(self.moves)] * (self.longest - len(plan))]]
        inputs, targets, asked = answered_last(np.concatenate(list(shown.values()), axis=1), answer)
        inputs[asked, -1] = 1
        return inputs, targets, asked

    def read(self, inputs):
        """The Problem that the ``inputs`` (t, i) of a sequence tell."""
        ends = np.cumsum(list(self._groups.values()))
        parts = dict(zip(self._groups, np.split(inputs, ends[:-1], axis=1)))
        cells = parts["cells"][0].reshape(self.columns, self.height, self.blocks)
        board = tuple(tuple(int(level.argmax()) for level in column if level.any()) for column in cells)
        goals: dict = {}
        for t in np.flatnonzero(parts["relation"].any(axis=1)):
            name, a, relation, b = (
                int(parts[g][t].argmax()) for g in ("name", "first", "relation", "second")
            )
            goals.setdefault(name, []).append((a, list(RELATIONS)[relation], b))
        question = parts["marks"][:, 0].argmax()
        told = tuple((name, tuple(goal)) for name, goal in goals.items())
        return Problem(board, told, int(parts["name"][question].argmax()))

    # ---- what is judged ---------------------------------------------------------

    def loss(self, outputs, batch):
        """Cross-entropy of the moves in nats per sequence, a scalar tensor; outputs are logits."""
        return one_hot.cross_entropy(outputs, batch, self.classes)

    def metrics(self, outputs, batch):
        """``sequence_error`` and ``constraint_error`` of each sequence, on the host; outputs are logits."""
        outputs, inputs, asked = (backend.to_numpy(a) for a in (outputs, batch.inputs, batch.asked))
        unmet = np.zeros(batch.size)
        for j in range(batch.size):
            problem = self.read(inputs[:, j])
            board = problem.board
            for move in outputs[asked[:, j, 0], j].argmax(axis=1).tolist():
                if move < len(self.moves):
                    board = moved(board, *self.moves[move], self.height) or board
            unmet[j] = 1 - met(board, problem.constraints) / len(problem.constraints)
        return {"sequence_error": (unmet > 0).astype(float), "constraint_error": unmet}


def moved(board, start, end, height):
    """The board after the topmost block of one column has gone to another; None if that is impossible."""
    if not board[start] or len(board[end]) >= height:
        return None
    columns = list(board)
    columns[end] = (*columns[end], columns[start][-1])
    columns[start] = columns[start][:-1]
    return tuple(columns)


def met(board, goal):
    """How many of the constraints hold."""
    places = _places(board)
    return sum(tuple(np.subtract(places[a], places[b])) == RELATIONS[said] for a, said, b in goal)


def _places(board):
    """block -> its column and its level."""
    return {block: (c, level) for c, column in enumerate(board) for level, block in enumerate(column)}


def _adjacencies(places, blocks):
    """Of all pairs side by side of ``blocks``, which are at ``places``, the two constraints that say so."""
    there, found = dict(zip(map(tuple, places.tolist()), blocks)), []
    for (column, level), a in there.items():
        for (aside, up), said, reverse in (((0, 1), "below", "above"), ((1, 0), "left", "right")):
            if (b := there.get((column + aside, level + up))) is not None:
                found.append(((a, said, b), (b, reverse, a)))
    return found


class _Reach(NamedTuple):
    """Boards that so many moves can lead to, in the order of the plans."""

    plans: list  # numbers of moves
    distances: Any  # (m) how many
    places: Any  # (m, blocks, 2)


@cache
def _reach(board, height, longest):
    """The _Reach of a board whose blocks are numbered column by column."""
    moves = tuple(permutations(range(len(board)), 2))
    ways, newest = {board: ()}, [board]
    for _ in range(longest):  # breadth first: how a board is met first, no way is shorter or comes before
        met_now = []
        for here in newest:
            for number, (start, end) in enumerate(moves):
                there = moved(here, start, end, height)
                if there is not None and there not in ways:
                    ways[there] = (*ways[here], number)
                    met_now.append(there)
        newest = met_now
    places = [[place for _, place in sorted(_places(there).items())] for there in ways]
    return _Reach(list(ways.values()), np.array([len(plan) for plan in ways.values()]), np.array(places))
