"""Every switch of the NTM: each of its values exists, runs, has a backward, and does what its name says.

``SWITCHES`` is the list, in the order in which a step goes.
"""

import itertools

import numpy as np
import pytest
from adjoint import flat, is_the_adjoint

import scratchattn as sa
from scratchattn.models import NTM
from scratchattn.models.ntm_start import NTMStart
from scratchattn.nn.named_conventions import NTM_NAMES, ntm_settings
from scratchattn.nn.ntm_cell import NTMState, NTMWeights, head_parameters, ntm_sequence, ntm_shapes, ntm_step
from scratchattn.nn.ntm_convention import CHOICES, NTMConvention
from scratchattn.nn.ntm_heads import head_sizes

WORDS = ("identity", "tanh", "relu", "unit_interval", "sigmoid")


def each(name, *values):
    return [{name: value} for value in values]


# switch -> its values, the default first, as fields of NTMConvention
SWITCHES = {
    "key": each("key", *WORDS),
    "write vector": each("write_vector", *WORDS),
    "gate": each("gate", "sigmoid", "hard_sigmoid"),
    "erase": each("erase", "sigmoid", "hard_sigmoid"),
    "strength": each("strength", "softplus", "oneplus", "relu", "exp"),
    "sharpness": each("sharpness", "softplus", "relu"),
    "threshold of softplus": each("softplus_threshold", None, 0.1),
    "what heads are told, clipped": each("clip_heads", 0.0, 0.4),
    "outputs clipped": each("clip_outputs", 0.0, 0.3),
    "controller": each("activation", "tanh", "sigmoid", "relu"),
    "cosine": [
        *[{"form": "smoothed", "eps": eps} for eps in (1e-6, 1e-2)],
        *[{"form": "smoothed_added", "eps": eps} for eps in (1e-6, 1e-2)],
        *[{"form": "added", "eps": eps} for eps in (1e-8, 1e-6, 1e-5, 1e-3)],
        {"form": "smoothed_product", "eps": 1e-6},
        {"form": "clamped_product", "eps": 0.7},
        {"form": "clamped", "eps": 0.7},
        {"form": "normalised", "eps": 0.7},
        {"form": "none"},
    ],
    "cosine's offset": each("offset", 0.0, 0.3),
    "where a head moves on from": each("previous", "own", "write_head"),
    "smoothing": each("smoothing", 0.0, 1e-8, 0.2),
    "layout": each("layout", "minus_to_plus", "plus_to_minus", "fft"),
    "ends": each("boundary", "circular", "zero"),
    "shift": [{}, *[{"shift": s, "shift_sign": z} for s in ("number", "bounded_number") for z in (1, -1)]],
    "sharpening": [{}, *each("denominator_eps", 1e-10, 1e-3), *each("base_eps", 1e-6, 0.2)],
    "order of heads": [
        *each("heads", "together", "read_last", "write_first", "in_turn"),
        *[{"heads": "in_turn", "turns": turns} for turns in ("wrwr", "rrww", "wwrr")],
    ],
    "several writers": each("write_order", "erase_all_then_add", "sequential", "sum_of_erasures"),
    "outputs": each("outputs", "reads_and_controller", "controller"),
    "roles": each("roles", "separate", "both"),
}
ELSEWHERE = {"zero_gradient", "gradient_floor"}  # felt in a gradient alone: below
NTMS = pytest.mark.parametrize("name", NTM_NAMES)


def cell(reads=2, writes=2, *, batch=2, size=0.8, seed=0, controller="lstm", **said):
    """x, an NTMState amid things, NTMWeights, in the convention ``said``."""
    rng, said = np.random.default_rng(seed), NTMConvention(**said)
    i, o, h, w, n, s = 3, 2, 4, 3, 5, 3
    shapes = ntm_shapes(i, o, h, w, reads, writes, s, controller, said)
    weightings = writes if said.roles == "both" else reads + writes
    named = {name: size * rng.normal(size=shape) for name, shape in shapes.items()}
    state = NTMState(
        rng.normal(size=(batch, reads, w)), rng.normal(size=(batch, n, w)),
        rng.dirichlet(np.ones(n), size=(batch, weightings)),
        *rng.normal(size=(2 if controller == "lstm" else 0, batch, h)),
    )  # fmt: skip
    return rng.normal(size=(batch, i)), state, NTMWeights(**named)


def two_steps(x, *leaves, controller="lstm", **convention):
    """Of leaves in the order of NTMState and NTMWeights: those that an LSTM has, or those that are left."""
    xs, carried = sa.stack(x, 0.5 * x), 5 if controller == "lstm" else 3
    state, weights = NTMState(*leaves[:carried]), NTMWeights(*leaves[carried:])
    return flat(ntm_sequence(xs, state, weights, **convention))


def arrays(state, weights):
    return [a for a in (*state, *weights) if a is not None]


def test_the_list_of_switches_is_whole():
    """Each field of the convention, and each of its words, is a value of some switch."""
    found = {(name, value) for values in SWITCHES.values() for said in values for name, value in said.items()}
    assert {name for name, _ in found} | ELSEWHERE == set(NTMConvention.__dataclass_fields__)
    default = {(name, getattr(NTMConvention(), name)) for name in CHOICES}
    words = {(name, value) for name, of in CHOICES.items() for value in of if name not in ELSEWHERE}
    assert words - default <= found


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_value_of_a_switch_runs_and_differs_from_every_other(switch):
    controller = "feedforward" if switch == "controller" else "lstm"
    found = []
    for said in SWITCHES[switch]:
        x, state, weights = cell(controller=controller, **said)
        found.append(two_steps(x, *arrays(state, weights), controller=controller, **said))
        assert all(np.isfinite(a).all() for a in found[-1])
    for (here, a), (there, b) in itertools.combinations(zip(SWITCHES[switch], found), 2):
        if switch == "roles":  # other numbers of weightings, so nothing to take a difference of: see below
            assert a[3].shape != b[3].shape
            continue
        apart = max(abs(x - y).max() for x, y in zip(a, b, strict=True))
        assert apart > 1e-10, (here, there)


VALUES = [(switch, i) for switch, values in SWITCHES.items() for i in range(len(values))]


@pytest.mark.parametrize("switch, i", VALUES)
def test_the_backward_of_every_value_is_the_adjoint(switch, i):
    said, controller = SWITCHES[switch][i], "feedforward" if switch == "controller" else "lstm"
    x, state, weights = cell(controller=controller, **said)
    function = lambda *leaves: two_steps(*leaves, controller=controller, **said)
    is_the_adjoint(function, x, *arrays(state, weights))


@NTMS
@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
@pytest.mark.parametrize("reads, writes", [(1, 1), (2, 2), (3, 2), (1, 3)])
def test_the_backward_of_a_named_cell_is_the_adjoint(name, reads, writes, controller):
    said = ntm_settings(name)
    if said.get("roles") == "both":
        writes = reads
    if said.get("previous") == "write_head":
        reads = min(reads, writes)
    x, state, weights = cell(reads, writes, controller=controller, **said)
    function = lambda *leaves: two_steps(*leaves, controller=controller, **said)
    is_the_adjoint(function, x, *arrays(state, weights))


# ---- what each does -----------------------------------------------------------


def test_the_gradient_by_a_row_without_length_is_a_switch():
    memory = cell()[1].memory
    memory[:, 1] = 0.0
    found = {}
    for kind in CHOICES["zero_gradient"]:
        out, pull = sa.vjp(lambda m, kind=kind: step_from(m, kind), memory)
        found[kind] = pull(*[np.ones(a.shape) for a in out])[0]
    assert abs(found["formula"] - found["zero"])[:, 1].max() > 1e-3
    assert np.isnan(found["nan"][:, 1]).all() and np.isfinite(np.delete(found["nan"], 1, axis=1)).all()


def step_from(memory, zero_gradient):
    x, state, weights = cell()
    said = {"zero_gradient": zero_gradient, "eps": 1e-2}
    y, new = ntm_step(x, state._replace(memory=memory), weights, **said)
    return y, new.reads, new.memory, new.weightings


def test_a_weight_below_the_floor_gets_no_gradient_from_the_sharpening():
    """One row holds 1e-17 of a head that stays where it is: at a power of one its slope is not small."""
    x, state, weights = cell(1, 1, shift="number")
    sizes = head_sizes(3, 1, 1, 1)
    first = dict(zip(sizes._fields, np.cumsum([0, *sizes])))
    weights.head_weights[:] = 0.0
    weights.head_bias[:] = 0.0
    weights.head_bias[first["gate"] : first["strength"]] = -800.0  # stay
    weights.head_bias[first["sharpness"] : first["shift"]] = -800.0  # a power of one
    state.weightings[:, 0] = [0.5, 1e-17, 0.25, 0.15, 0.1]
    slopes = {}
    for floor in (0.0, 2.2e-16):
        said = {"shift": "number", "gradient_floor": floor}
        _, pull = sa.vjp(lambda w, said=said: ntm_step(x, state._replace(weightings=w), weights, **said)[0],
                         state.weightings)  # fmt: skip
        slopes[floor] = pull(np.ones((2, 2)))[0][:, 0]
    assert (slopes[2.2e-16][:, 1] == 0).all() and (abs(slopes[0.0][:, 1]) > 1e-3).all()
    rest = [0, 2, 3, 4]
    assert abs(slopes[0.0] - slopes[2.2e-16])[:, rest].max() < 1e-14


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_shifts_as_the_two_offsets_that_it_touches(sign):
    """0.3 rows: 0.7 of the weighting stays, 0.3 moves on, back with the sign -1."""
    told = {name: told_bias(name, 0.3, sign) for name in ("softmax", "number", "bounded_number")}
    found = {}
    for shift, (bias, said) in told.items():
        (x, start, _), weights = cell(1, 1), cell(1, 1, **said)[2]
        blank = weights._replace(head_weights=0 * weights.head_weights, head_bias=bias)
        found[shift] = ntm_step(x, start, blank, **said)[1].weightings
    assert abs(found["number"] - found["softmax"]).max() < 1e-15
    assert abs(found["bounded_number"] - found["softmax"]).max() < 1e-15
    stayed = ntm_step(x, start, blank._replace(head_bias=0 * blank.head_bias), **said)[1].weightings
    assert abs(found["number"] - stayed).max() > 1e-3


def told_bias(shift, z, sign):
    """A head bias that asks for ``z`` rows and else for nothing, and the settings that read it so."""
    if shift == "softmax":
        asked = [np.log(1e-300), np.log(1 - z), np.log(z)][:: sign or 1]
        said = {}
    else:
        asked = [z if shift == "number" else np.log((1 + z) / (1 - z))]  # 2 sigmoid(.) - 1 = z
        said = {"shift": shift, "shift_sign": sign}
    others = sum(head_sizes(3, 1, 1, 0))
    return np.concatenate([np.zeros(others), asked, asked]), said


def test_a_head_of_both_roles_is_a_read_and_a_write_head_that_are_told_the_same():
    said = {"roles": "both"}
    x, state, weights = cell(2, 2, **said)
    twice = {"key", "gate", "strength", "sharpness", "shift"}  # of these, each head of both roles has one

    def doubled(told):
        parts = np.split(told, np.cumsum(head_sizes(3, 0, 2, 3))[:-1], axis=-1)
        names = head_sizes(3, 0, 2, 3)._fields
        return np.concatenate(
            [np.concatenate([p, p], -1) if n in twice else p for n, p in zip(names, parts)], -1
        )

    both = doubled(weights.head_weights), doubled(weights.head_bias)
    separate = weights._replace(head_weights=both[0], head_bias=both[1])
    start = state._replace(weightings=np.concatenate([state.weightings] * 2, axis=1))
    y, new = ntm_step(x, state, weights, **said)
    there, other = ntm_step(x, start, separate)
    assert abs(y - there).max() < 1e-14 and abs(new.memory - other.memory).max() < 1e-14
    assert abs(np.concatenate([new.weightings] * 2, axis=1) - other.weightings).max() < 1e-14


def test_outputs_of_the_controller_alone_are_those_that_weigh_no_read():
    x, state, weights = cell()
    weights.output_weights[:6] = 0.0
    alone = weights._replace(output_weights=weights.output_weights[6:])
    assert (
        abs(ntm_step(x, state, weights)[0] - ntm_step(x, state, alone, outputs="controller")[0]).max() < 1e-15
    )


def test_what_is_read_last_is_what_was_written():
    x, state, weights = cell()
    first, last = (ntm_step(x, state, weights, heads=order)[1] for order in ("together", "read_last"))
    assert (first.weightings == last.weightings).all() and (first.memory == last.memory).all()
    assert abs(last.reads - last.weightings[:, :2] @ last.memory).max() < 1e-14
    assert abs(first.reads - first.weightings[:, :2] @ state.memory).max() < 1e-14


def test_the_paper_as_printed_addresses_and_reads_what_was_written():
    """Equations 2 and 5 have M_t; a write head can only address what it found."""
    x, state, weights = cell()
    new = ntm_step(x, state, weights, **ntm_settings("paper"))[1]
    found = ntm_step(x, state, weights, form="none")[1]
    assert (new.weightings[:, 2:] == found.weightings[:, 2:]).all() and (new.memory == found.memory).all()
    assert abs(new.reads - new.weightings[:, :2] @ new.memory).max() < 1e-14
    again = ntm_step(x, state._replace(memory=new.memory), weights, form="none")[1]
    assert abs(new.weightings[:, :2] - again.weightings[:, :2]).max() < 1e-15


def test_a_read_head_can_move_on_from_where_the_write_head_of_its_number_was():
    x, state, weights = cell(2, 3)
    followed = state.weightings.copy()
    followed[:, :2] = followed[:, 2:4]
    here = ntm_step(x, state, weights, previous="write_head")[1]
    there = ntm_step(x, state._replace(weightings=followed), weights)[1]
    assert (here.weightings == there.weightings).all()


def test_turns_are_taken_as_they_are_written():
    """In the order of ntm/aio.py they are the default; write heads first is the default of another order."""
    x, state, weights = cell(2, 2)
    step = lambda **said: ntm_step(x, state, weights, **said)[1]
    assert (step(heads="in_turn", turns="rwrw").reads == step(heads="in_turn").reads).all()
    first = step(heads="write_first", write_order="sequential")
    turns = step(heads="in_turn", turns="wwrr")
    assert abs(turns.weightings[:, 2] - first.weightings[:, 2]).max() < 1e-15
    assert abs(turns.weightings[:, 3] - first.weightings[:, 3]).max() > 1e-6  # it sees the first write
    assert abs(turns.reads - turns.weightings[:, :2] @ turns.memory).max() < 1e-14


@pytest.mark.parametrize(
    "reads, writes, said, told",
    [
        (2, 1, {"roles": "both"}, "as many read heads as write heads, got 2 and 3"),  # all write
        (2, 1, {"previous": "write_head"}, "a write head for each read head, got 2 and 1"),
        (1, 1, {"heads": "in_turn", "turns": "rww"}, "turns='rww' has other read and write heads"),
    ],
)
def test_heads_that_cannot_be_are_refused(reads, writes, said, told):
    x, state, weights = cell(reads, writes)
    with pytest.raises(ValueError, match=told):
        ntm_step(x, state, weights, **said)


@pytest.mark.parametrize(
    "said, told",
    [
        ({"turns": "rw"}, "turns are for heads='in_turn', got heads='together'"),
        ({"heads": "in_turn", "turns": "rx"}, "turns must be a string of r and w, got 'rx'"),
        ({"heads": "in_turn", "roles": "both"}, "roles='both' is for heads='together' and 'read_last'"),
        ({"shift_sign": 0}, "shift_sign must be one of"),
        ({"gradient_floor": -1.0}, "gradient_floor must not be negative"),
    ],
)
def test_settings_that_cannot_be_are_refused(said, told):
    with pytest.raises(ValueError, match=told):
        NTMConvention(**said)


def squashed(raw, **said):
    """What heads are told, of one read and one write head over rows of width one: by name."""
    state = NTMState(np.zeros((1, 1, 1)), np.zeros((1, 2, 1)), np.zeros((1, 2, 2)))
    return head_parameters(raw[None], state, NTMConvention(**said))._asdict()


def test_every_squashing_is_what_its_name_says():
    raw = np.array([-3.0, 0.4, -0.3, 0.7, 4.0, -0.2, 0.9, -1.2, -0.5, 1.5, 0.1, 0.2, 0.3, 0.4, -0.6, 0.8])
    key, write_vector, erase, gate, strength, sharpness = (
        raw[:2],
        raw[2],
        raw[3],
        raw[4:6],
        raw[6:8],
        raw[8:10],
    )
    words = {
        "identity": lambda x: x, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "relu": lambda x: np.maximum(x, 0), "unit_interval": lambda x: np.clip(x, 0, 1),
        "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1), "softplus": lambda x: np.log(1 + np.exp(x)),
        "oneplus": lambda x: 1 + np.log(1 + np.exp(x)), "exp": np.exp,
    }  # fmt: skip

    def same(name, value, **said):
        assert np.allclose(squashed(raw, **said)[name].ravel(), value, rtol=1e-14, atol=0), (name, said)

    for word in ("identity", "tanh", "sigmoid", "relu", "unit_interval"):
        same("key", words[word](key), key=word)
        same("write_vector", words[word](write_vector), write_vector=word)
    for word in ("sigmoid", "hard_sigmoid"):
        same("erase", words[word](erase), erase=word)
        same("gate", words[word](gate), gate=word)
    for word in ("softplus", "oneplus", "relu", "exp"):
        same("strength", words[word](strength), strength=word)
    for word in ("softplus", "relu"):
        same("sharpness", 1 + words[word](sharpness), sharpness=word)
    same("strength", [0.9, words["softplus"](-1.2)], softplus_threshold=0.5)
    same("strength", [1.9, words["oneplus"](-1.2)], softplus_threshold=0.5, strength="oneplus")
    same("sharpness", [1 + words["softplus"](-0.5), 2.5], softplus_threshold=0.5)
    clipped = squashed(np.clip(raw, -0.35, 0.35))
    assert all((clipped[name] == x).all() for name, x in squashed(raw, clip_heads=0.35).items())
    assert squashed(raw, gate="hard_sigmoid")["complement"] is None  # a sigmoid's would not be its complement


def test_outputs_are_clipped_on_both_sides():
    plain, clipped = (ntm_step(*cell(), **said)[0] for said in ({}, {"clip_outputs": 0.3}))
    assert plain.min() < -0.3 and plain.max() > 0.3 and (clipped == np.clip(plain, -0.3, 0.3)).all()


def test_heads_in_turn_see_what_those_before_them_wrote():
    """Read, write, read, write, write: only the first of each kind see the memory that the step found."""
    x, state, weights = cell(2, 3, size=0.5)
    turns, together = (ntm_step(x, state, weights, heads=order)[1] for order in ("in_turn", "together"))
    apart = abs(turns.weightings - together.weightings).max(axis=(0, 2))
    assert (apart[[0, 2]] < 1e-15).all() and (apart[[1, 3, 4]] > 1e-6).all()


# ---- where sequences start -----------------------------------------------------

STARTS = {
    "memory": (
        "constant",
        "zeros",
        "inverse_size",
        "uniform",
        "learned",
        "learned_tanh",
        "learned_unit_rows",
    ),
    "weightings": ("learned", "learned_falling", "zeros", "constant", "one_hot", "simplex"),
    "reads": ("learned", "learned_tanh", "zeros", "constant", "normal"),
    "controller": ("learned", "learned_tanh", "zeros", "uniform"),
    "before": ("nothing", "read", "write_and_read"),
}


def begun(kind="lstm", seed=0, **said):
    """A model, its parameters amid a training, and the state that the start ``said`` gives it."""
    ntm = NTM(3, 2, rows=5, width=4, units=4, read_heads=2, write_heads=2, dtype="float64", controller=kind)
    start, rng = NTMStart(**said), np.random.default_rng(seed)
    drawn = ntm.init(rng)
    params = {name: drawn[name] for name in drawn if not name.startswith("initial_")}
    params |= {name: np.zeros(shape) for name, shape in start.shapes(ntm).items()}
    params |= start.values(ntm)
    params = {name: value + 0.3 * rng.normal(size=value.shape) for name, value in params.items()}
    return ntm, start, params, start.state(ntm, params, 2)


def test_the_list_of_starts_is_whole():
    fields = NTMStart.__dataclass_fields__
    assert {name: values[0] for name, values in STARTS.items()} == {n: f.default for n, f in fields.items()}
    for name, values in STARTS.items():
        with pytest.raises(ValueError) as refused:
            NTMStart(**{name: "somewhere"})
        assert all(repr(value) in str(refused.value) for value in values), name
        assert str(refused.value).count("'") == 2 * (len(values) + 1)


@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
@pytest.mark.parametrize("name", STARTS)
def test_every_start_is_another_and_what_is_learned_has_a_gradient(name, controller):
    found = []
    for value in STARTS[name]:
        ntm, start, params, state = begun(controller, **{name: value})
        assert state.reads.shape == (2, 2, 4) and state.memory.shape == (2, 5, 4)
        assert state.weightings.shape == (2, 4, 5) and (state.hidden is None) == (controller != "lstm")
        found.append(np.concatenate([a.ravel() for a in flat(tuple(state))]))
        learned = list(start.shapes(ntm))

        def numbers(*leaves, learned=learned, start=start, ntm=ntm, params=params):
            begins = start.state(ntm, params | dict(zip(learned, leaves)), 2)
            return sa.concat(*[sa.reshape(a, shape=(-1,)) for a in begins if a is not None], axis=0)

        if learned:
            is_the_adjoint(numbers, *[params[key] for key in learned])
    alike = name == "controller" and controller != "lstm"  # there is none
    for a, b in itertools.combinations(found, 2):
        assert (abs(a - b).max() < 1e-15) == alike


def test_what_each_start_is():
    state = lambda **said: begun(**said)[3]
    assert (state(memory="zeros").memory == 0).all() and (state(memory="inverse_size").memory == 1 / 20).all()
    assert (state().memory == 1e-6).all() and (state(reads="constant").reads == 1e-6).all()
    rows = state(memory="learned_unit_rows").memory
    assert abs((rows * rows).sum(-1) - 1).max() < 1e-15
    assert (state(weightings="one_hot").weightings == np.eye(5)[0]).all()
    assert (state(weightings="constant").weightings == 1e-6).all() and (state(reads="zeros").reads == 0).all()
    for kind in ("learned", "learned_falling", "simplex"):
        assert abs(state(weightings=kind).weightings.sum(-1) - 1).max() < 1e-15
    falling = NTMStart(weightings="learned_falling").values(begun()[0])["initial_weightings"]
    assert (falling == [5.0, 4.0, 3.0, 2.0, 1.0]).all()
    assert abs(state(controller="uniform").cell).max() <= 1 / 2
    read = state(before="read", memory="uniform")
    assert abs(read.reads - read.weightings[:, :2] @ read.memory).max() < 1e-15


@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_heads_write_and_read_before_the_first_step_as_they_do_in_one(controller):
    """ntm-lasagne's step begins with the write and the read with which ours, read_last, has ended."""
    ntm, start, params, state = begun(controller, before="write_and_read", memory="uniform")
    found = start._one(ntm, params, "memory", (5, 4)), start._one(ntm, params, "hidden", (4,))
    told = (found[1] @ params["head_weights"] + params["head_bias"])[None]
    blank = NTMState(np.zeros((1, 2, 4)), found[0][None], state.weightings[:1])
    head = head_parameters(told, blank)
    writing, kept, added = state.weightings[0, 2:], 1.0, 0.0
    for j in range(2):
        kept = kept * (1 - writing[j][:, None] * head.erase[0, j])
        added = added + writing[j][:, None] * head.write_vector[0, j]
    memory = found[0] * kept + added
    assert abs(state.memory - memory).max() < 1e-15
    assert abs(state.reads - state.weightings[0, :2] @ memory).max() < 1e-15


def test_what_is_given_stands_for_what_the_settings_say():
    ntm, _, params, plain = begun()
    rng = np.random.default_rng(5)
    given = {"memory": rng.normal(size=(5, 4)), "cell": rng.normal(size=4)}
    state = ntm.initial_state(params, 3, **given)
    assert (state.memory == given["memory"]).all() and (state.cell == given["cell"]).all()
    assert state.memory.shape == (3, 5, 4) and (state.weightings[:2] == plain.weightings).all()
    read = NTMStart(before="read").state(ntm, params, 1, reads=np.ones((2, 4)))
    assert (read.reads == 1).all()
    for name, array, told in (
        ("memory", np.zeros((4, 5)), r"NTMStart: memory must be \(5, 4\), got \(4, 5\)"),
        ("memory", 0.0, r"NTMStart: memory must be \(5, 4\), got float"),
        ("row", np.zeros(3), "NTMStart: row must be one of memory, reads, weightings, hidden, cell"),
    ):
        with pytest.raises(ValueError, match=told):
            ntm.initial_state(params, 1, **{name: array})


def test_a_generator_draws_the_fixed_numbers_anew_and_nothing_else():
    """Once for all sequences, as an implementation does that draws them once per model."""
    ntm = NTM(3, 2, rows=5, width=4, units=4, convention="pytorch_ntm", dtype="float64")
    params = ntm.init(np.random.default_rng(0))
    fixed, drawn = ntm.initial_state(params, 3), ntm.initial_state(params, 3, np.random.default_rng(7))
    again = ntm.initial_state(params, 3, np.random.default_rng(7))
    for name in ("memory", "reads"):
        a, b, c = (getattr(state, name) for state in (fixed, drawn, again))
        assert (a != b).any() and (b == c).all() and (b == b[:1]).all()
    assert abs(drawn.memory).max() <= 1 / 3 and abs(drawn.reads).max() < 0.1
    for name in ("weightings", "hidden", "cell"):
        assert (getattr(fixed, name) == getattr(drawn, name)).all()
