"""All that a training is at a step, as arrays and plain facts, and back."""

from .. import backend
from ..backend import to_numpy
from .configuration import digest_of_parts
from .step import leaves_of, refilled


def written_parameters(params):
    """name -> array of a file that ``read_parameters`` reads."""
    return {f"parameters/{name}": to_numpy(value) for name, value in params.items()}


def read_parameters(params, arrays, select="last"):
    """Overwrite ``params`` with the last ones in ``arrays``; ``select`` "best": the best, if there are."""
    if select == "best" and "best" in arrays:
        with params.overwriting() as flat:
            flat[...] = backend.asarray(arrays["best"])
    else:
        params.assign({name: backend.asarray(arrays[f"parameters/{name}"]) for name in params})


def packed(trainer):
    """(arrays, facts) of ``trainer``; in a group, of all its processes, known to each."""
    within = trainer.piece < len(trainer.pieces)
    own = trainer.draws.own
    place = trainer.place if within else trainer.draws.place()
    states = {}
    if within or getattr(trainer.task, "continues", False):
        for k, state in zip(own, trainer.states or ()):
            states.update(leaves_of(state, f"state/{k}"))
    for other_states, other_place in trainer.group.collected((states, place)):
        states |= other_states
        if "rngs" in place:
            place = {"rngs": place["rngs"] | other_place["rngs"]}
    arrays = written_parameters(trainer.params)
    arrays |= {f"optimiser/{name}": to_numpy(value) for name, value in trainer.optimiser.state.items()}
    arrays |= states
    if trainer.best_flat is not None:
        arrays["best"] = to_numpy(trainer.best_flat)
    facts = {
        "seconds": trainer.seconds(),
        "log": trainer.log.position(),
        "optimiser_steps": trainer.optimiser.steps,
        "place": place,
        "piece": trainer.piece if within else None,
        "settings": digest_of_parts(trainer.config),
        "drawn_stage": trainer.drawn_stage,
        **{name: getattr(trainer, name) for name in _PLAIN},
    }
    return arrays, facts


_PLAIN = ("stage", "sums", "count", "best", "best_step", "worse", "ended")


def unpack(trainer, found):
    """Make ``trainer``, freshly begun, what ``packed`` saw; ``found`` is a Checkpoint."""
    arrays, facts = found.arrays, found.facts
    read_parameters(trainer.params, arrays)
    for name, value in trainer.optimiser.state.items():
        value[...] = backend.asarray(arrays[f"optimiser/{name}"])
    trainer.optimiser.steps = facts["optimiser_steps"]
    trainer.step, trainer.before = found.step, facts["seconds"]
    for name in _PLAIN:
        setattr(trainer, name, facts[name])
    trainer.best_flat = backend.asarray(arrays["best"]) if "best" in arrays else None
    trainer.draws.go_to(facts["place"])
    if facts["piece"] is not None:  # within a batch: it is drawn again
        stage, trainer.stage = trainer.stage, facts["drawn_stage"]
        trainer.draw()
        trainer.stage, trainer.piece = stage, facts["piece"]
    trainer.states = _states(trainer, arrays)


def _states(trainer, arrays):
    own, size = trainer.draws.own, trainer.settings.batch // trainer.settings.shards
    found = []
    for k in own:
        if not any(name.startswith(f"state/{k}/") for name in arrays):
            return trainer.states
        like = trainer.model.initial_state(trainer.params, size)
        found.append(refilled(like, arrays, f"state/{k}"))
    return found
