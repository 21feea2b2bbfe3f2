"""People who walk about, take things along, leave them and hand them on.

Source: Weston et al., arXiv:1502.05698, tasks 1, 2, 3, 6 and 7.
"""

from itertools import pairwise

from .telling import Telling

PEOPLE = ("Daniel", "John", "Mary", "Sandra")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
THINGS = ("apple", "football", "milk")
MOVES = ("journeyed to", "moved to", "travelled to", "went back to", "went to")
TAKES = ("got", "grabbed", "picked up", "took")
LEAVES = ("discarded", "dropped", "left", "put down")
GIVES = ("gave", "handed", "passed")
NUMBERS = ("none", "one", "two", "three")
QUESTIONS = 5


class World(Telling):
    """Who is where and has what, and which statements say so.

    ``there``: how often that word ends a sentence about taking; of leaving it does one in five.
    """

    def __init__(self, rng, there=1.0):
        super().__init__(rng)
        self.there = there
        self.at = {}  # person -> place, number of the statement
        self.held = {}  # thing -> person
        self.last = {}  # thing -> number of the statement that says who took or left it last
        self.ways = {thing: [] for thing in THINGS}  # places it has been at, each with the number of a move
        self.deals = {person: [] for person in PEOPLE}  # numbers of takes, leaves and gifts of each

    def move(self):
        person = self.any(PEOPLE)
        place = self.any([p for p in PLACES if p != self.at.get(person, ("",))[0]])
        self.at[person] = place, self.say(f"{person} {self.any(MOVES)} the {place}.")
        for thing in [t for t, holder in self.held.items() if holder == person]:
            self._been(thing, person)

    def take(self):
        """Somebody takes a thing that lies there or was never spoken of; nothing if nobody can."""
        able = [
            (person, thing)
            for person, (place, _) in self.at.items()
            for thing in THINGS
            if thing not in self.held and (not self.ways[thing] or self.ways[thing][-1][0] == place)
        ]
        if able:
            person, thing = self.any(able)
            number = self.say(f"{person} {self.any(TAKES)} the {thing}{self._there(self.there)}.")
            self.held[thing], self.last[thing] = person, number
            self.deals[person].append(number)
            self._been(thing, person)

    def leave(self):
        """Somebody leaves a thing; nothing if nobody has one."""
        if self.held:
            thing = self.any(sorted(self.held))
            person = self.held.pop(thing)
            number = self.say(f"{person} {self.any(LEAVES)} the {thing}{self._there(0.2)}.")
            self.last[thing] = number
            self.deals[person].append(number)

    def give(self):
        """Somebody hands a thing to somebody in the same place; nothing if nobody can."""
        able = [
            (thing, giver, taker)
            for thing, giver in sorted(self.held.items())
            for taker in self.at
            if taker != giver and self.at[taker][0] == self.at[giver][0]
        ]
        if able:
            thing, giver, taker = self.any(able)
            number = self.say(f"{giver} {self.any(GIVES)} the {thing} to {taker}.")
            self.held[thing], self.last[thing] = taker, number
            for person in (giver, taker):
                self.deals[person].append(number)

    def happen(self, *events):
        """One of ``events``, which may come to nothing."""
        self.any(events)()

    def _been(self, thing, person):
        """``thing`` is where ``person`` is; where it has not moved, this person's move counts now."""
        if self.ways[thing] and self.ways[thing][-1][0] == self.at[person][0]:
            self.ways[thing].pop()
        self.ways[thing].append(self.at[person])

    def _there(self, chance):
        return " there" if self.rng.random() < chance else ""


def single_supporting_fact(rng):
    """Where is somebody?"""
    world = World(rng)
    for _ in range(QUESTIONS):
        world.move()
        world.move()
        person = world.any(sorted(world.at))
        place, number = world.at[person]
        world.ask(f"Where is {person}?", place, [number])
    return world.story()


def two_supporting_facts(rng):
    """Where is something, which may be with somebody?"""
    world = World(rng)
    for _ in range(QUESTIONS):
        end = len(world.entries) + int(rng.integers(2, 8))
        while len(world.entries) < end or not world.last:
            world.happen(world.move, world.move, world.move, world.take, world.leave)
        thing = world.any(sorted(world.last))
        place, number = world.ways[thing][-1]
        world.ask(f"Where is the {thing}?", place, [world.last[thing], number])
    return world.story()


def three_supporting_facts(rng):
    """Where was something before it was elsewhere?"""
    world = World(rng, there=0.2)
    for _ in range(QUESTIONS):
        end = len(world.entries) + int(rng.integers(2, 24))
        while len(world.entries) < end or not (known := _known_orders(world)):
            world.happen(world.move, world.move, world.move, world.take, world.leave)
        thing, (place, number), (before, earlier) = world.any(known)
        world.ask(f"Where was the {thing} before the {place}?", before, [world.last[thing], number, earlier])
    return world.story()


def _known_orders(world):
    """(thing, a place that it was at once only, the place before) with the statements that say so."""
    return [
        (thing, now, before)
        for thing, way in world.ways.items()
        for before, now in pairwise(way)
        if [place for place, _ in way].count(now[0]) == 1
    ]


def yes_or_no(rng):
    """Is somebody there?  Yes and no are equally frequent."""
    world = World(rng)
    for _ in range(QUESTIONS):
        end = len(world.entries) + int(rng.integers(2, 4))
        while len(world.entries) < end:
            world.happen(world.move, world.move, world.move, world.take, world.leave)
        person = world.any(sorted(world.at))
        place, number = world.at[person]
        truth = bool(rng.integers(2))
        named = place if truth else world.any([p for p in PLACES if p != place])
        world.ask(f"Is {person} in the {named}?", "yes" if truth else "no", [number])
    return world.story()


def counting(rng):
    """How many things does somebody have, who has had some?"""
    world = World(rng)
    for _ in range(QUESTIONS):
        end = len(world.entries) + int(rng.integers(2, 6))
        while len(world.entries) < end or not any(world.deals.values()):
            world.happen(world.move, world.move, world.take, world.leave, world.give)
        person = world.any([p for p in PEOPLE if world.deals[p]])
        count = list(world.held.values()).count(person)
        world.ask(f"How many objects is {person} carrying?", NUMBERS[count], world.deals[person])
    return world.story()
