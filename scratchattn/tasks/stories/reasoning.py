"""What follows from what somebody is: whom they fear, and which colour they have.

Source: Weston et al., arXiv:1502.05698, tasks 15 and 16.
"""

from .telling import Telling

KINDS = {"mouse": "mice", "cat": "cats", "sheep": "sheep", "wolf": "wolves"}
NAMES = ("Emily", "Gertrude", "Jessica", "Winona")
ANIMALS = ("frog", "lion", "rhino", "swan")
COLOURS = ("gray", "green", "white", "yellow")
OWNERS = ("Bernhard", "Brian", "Greg", "Julius", "Lily")


def basic_deduction(rng):
    """All of a kind fear another kind: whom does somebody fear?"""
    told = Telling(rng)
    fears = {kind: told.any([k for k in KINDS if k != kind]) for kind in KINDS}
    kind_of = {name: told.any(tuple(KINDS)) for name in NAMES}
    statements = [("fear", kind) for kind in KINDS] + [("is", name) for name in NAMES]
    numbers = {}
    for what, who in [statements[i] for i in rng.permutation(len(statements))]:
        if what == "fear":
            text = f"{KINDS[who].capitalize()} are afraid of {KINDS[fears[who]]}."
        else:
            text = f"{who} is a {kind_of[who]}."
        numbers[who] = told.say(text)
    for _ in range(4):
        name = told.any(NAMES)
        kind = kind_of[name]
        told.ask(f"What is {name.lower()} afraid of?", fears[kind], [numbers[name], numbers[kind]])
    return told.story()


def basic_induction(rng):
    """All that we know of a kind have one colour: which colour has another of them?"""
    told = Telling(rng)
    colour_of = dict(zip(ANIMALS, rng.permutation(COLOURS).tolist()))
    *shown, asked = rng.permutation(OWNERS).tolist()
    animal_of = {name: told.any(ANIMALS) for name in shown}
    animal_of[asked] = animal_of[told.any(shown)]
    waiting = [[f"{name} is a {animal_of[name]}."] for name in (*shown, asked)]
    for name, statements in zip(shown, waiting):
        statements.append(f"{name} is {colour_of[animal_of[name]]}.")
    numbers = {}
    while any(waiting):  # of each one first what it is, then its colour
        text = told.any([statements for statements in waiting if statements]).pop(0)
        numbers[text] = told.say(text)
    animal, colour = animal_of[asked], colour_of[animal_of[asked]]
    like = told.any([name for name in shown if animal_of[name] == animal])
    supports = [f"{asked} is a {animal}.", f"{like} is a {animal}.", f"{like} is {colour}."]
    told.ask(f"What color is {asked}?", colour, [numbers[text] for text in supports])
    return told.story()
