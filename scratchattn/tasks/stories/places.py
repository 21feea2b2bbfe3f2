"""Places that lie north, south, east and west of each other.

Source: Weston et al., arXiv:1502.05698, tasks 4 and 19.
"""

from itertools import pairwise

from .moving import PLACES
from .telling import Telling

STEPS = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}
BACK = {"north": "south", "south": "north", "east": "west", "west": "east"}


def two_argument_relations(rng):
    """Three places in a row, two statements: which is where of which?"""
    told = Telling(rng)
    line = rng.permutation(PLACES)[:3].tolist()
    facts = []  # (first, direction, second): the first is in that direction of the second
    heading = told.any(tuple(STEPS))
    for second, first in pairwise(line):
        facts.append(told.any([(first, heading, second), (second, BACK[heading], first)]))
    facts = [facts[i] for i in rng.permutation(2)]
    for first, direction, second in facts:
        told.say(f"The {first} is {direction} of the {second}.")
    asked = int(rng.integers(2))
    first, direction, second = facts[asked]
    if rng.integers(2):  # the same the other way round
        first, direction, second = second, BACK[direction], first
    if rng.integers(2):
        told.ask(f"What is {direction} of the {second}?", first, [asked + 1])
    else:
        told.ask(f"What is the {first} {direction} of?", second, [asked + 1])
    return told.story()


def path_finding(rng):
    """Six places on a grid, five statements that join them: which two steps lead from here to there?"""
    told = Telling(rng)
    names = rng.permutation(PLACES).tolist()
    spots, edges = {names[0]: (0, 0)}, []
    for name in names[1:]:  # each beside one that is there, so that there is one way between any two
        free = [
            (beside, direction, (x + dx, y + dy))
            for beside, (x, y) in spots.items()
            for direction, (dx, dy) in STEPS.items()
            if (x + dx, y + dy) not in spots.values()
        ]
        beside, direction, spots[name] = told.any(free)
        edges.append(told.any([(name, direction, beside), (beside, BACK[direction], name)]))
    edges = [edges[i] for i in rng.permutation(len(edges))]
    leads = {name: {} for name in names}  # from -> to -> direction, number of the statement
    for first, direction, second in edges:
        number = told.say(f"The {first} is {direction} of the {second}.")
        leads[second][first] = direction, number
        leads[first][second] = BACK[direction], number
    pairs = [(a, b, c) for a in names for b in leads[a] for c in leads[b] if c != a]
    start, over, end = told.any(pairs)
    steps = [leads[start][over], leads[over][end]]
    told.ask(
        f"How do you go from the {start} to the {end}?",
        [direction[0] for direction, _ in steps],
        [number for _, number in steps],
    )
    return told.story()
