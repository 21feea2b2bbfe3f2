"""The DNC cell: the paper's step in plain NumPy, the adjoint of a long sequence, chunks, batches, PyTorch."""

import numpy as np
import pytest
from adjoint import flat, hessian_is_symmetric, is_the_adjoint
from dnc_by_hand import paper_step, torch_step
from dnc_machines import CONVENTIONS, WRITERS, conventions, drawn_inputs, machine, nested, unrolled
from drawing import equal, free, same

import scratchattn as sa
from scratchattn.nn.dnc_cell import DNCWeights, dnc_sequence, dnc_start, dnc_step, dnc_weights
from scratchattn.nn.dnc_convention import DNCConvention
from scratchattn.nn.dnc_interface import interface_size

# ---- the paper --------------------------------------------------------------


ONE_OF_ALL = dict(batch=1, inputs=1, outputs=1, units=1, layers=1, rows=1, width=1, readers=1)


@conventions
@pytest.mark.parametrize("sizes", [{}, {"seed": 1, "layers": 3}, ONE_OF_ALL], ids=["plain", "biased", "one"])
def test_a_step_is_the_papers(name, sizes):
    """And three more after it, number by number, for each sequence of the batch."""
    convention = CONVENTIONS[name]
    params, state = machine(convention, writers=WRITERS.get(name, 1), **sizes)
    batch, weights = len(state.memory), dnc_weights(params)
    xs = drawn_inputs(4, batch, sizes.get("inputs", 2))
    ys, last = dnc_sequence(xs, state, weights, **convention)
    for b in range(batch):
        own = nested(state, [x[b] for x in flat(state)])
        for t in range(4):
            y, own = paper_step(xs[t, b], own, weights, DNCConvention(**convention))
            same(ys[t, b], y, 1e-13)
        same([x[b] for x in flat(last)], list(flat(own)), 1e-13)


def test_the_interface_has_the_papers_size():
    """W R + 3 W + 5 R + 3; Csordas adds a mask for every key and two powers for every read head."""
    assert interface_size(64, 4) == 64 * 4 + 3 * 64 + 5 * 4 + 3 == 471
    assert interface_size(64, 4, masked=True, sharpen_links=True) == 471 + 5 * 64 + 2 * 4
    assert interface_size(20, 3, 2) == 3 * (20 + 2 + 5) + 2 * (3 * 20 + 3)


# ---- the whole of it --------------------------------------------------------


@pytest.mark.parametrize("name", ["paper", "csordas"])
def test_the_adjoint_identity_holds_through_forty_steps(name):
    """By all that goes in at once, as one vector; what is stopped on purpose flows here."""
    convention = CONVENTIONS[name] | {"stop_write_gradient": False}
    params, state = machine(convention, units=5, rows=6)
    function, leaves = unrolled(params, state, **convention)
    inputs = [drawn_inputs(40), *leaves]

    def of_one_vector(vector):
        parts = sa.split(vector, sections=tuple(x.size for x in inputs))
        return function(*[sa.reshape(part, shape=x.shape) for part, x in zip(parts, inputs)])

    is_the_adjoint(of_one_vector, np.concatenate([x.ravel() for x in inputs]))


@conventions
def test_the_gradient_by_each_input_alone_is_right(name):
    """By x, by every parameter and by every part of the state, through three steps."""
    convention = CONVENTIONS[name] | {"stop_write_gradient": False}
    params, state = machine(convention, writers=WRITERS.get(name, 1))
    function, leaves = unrolled(params, state, **convention)
    is_the_adjoint(function, drawn_inputs(3), *leaves)


@conventions
def test_hessian_vector_products_are_symmetric_and_the_change_of_the_gradient(name):
    convention = CONVENTIONS[name] | {"stop_write_gradient": False}
    params, state = machine(convention, batch=1, layers=1, writers=WRITERS.get(name, 1))
    function, leaves = unrolled(params, state, **convention)
    hessian_is_symmetric(function, drawn_inputs(3, batch=1), *leaves)


@conventions
def test_a_sequence_alone_is_what_it_is_in_a_batch_to_the_bit(name):
    params, state = machine(CONVENTIONS[name], batch=3, units=20, rows=9, writers=WRITERS.get(name, 1))
    xs, weights = drawn_inputs(5, batch=3), dnc_weights(params)
    ys, last = dnc_sequence(xs, state, weights, **CONVENTIONS[name])
    for b in range(3):
        own = nested(state, [x[b : b + 1] for x in flat(state)])
        y, end = dnc_sequence(xs[:, b : b + 1], own, weights, **CONVENTIONS[name])
        equal([ys[:, b : b + 1], *[x[b : b + 1] for x in flat(last)]], [y, *flat(end)])


@conventions
def test_chunks_are_the_whole_to_the_bit(name):
    params, state = machine(CONVENTIONS[name], writers=WRITERS.get(name, 1))
    xs, weights = drawn_inputs(7), dnc_weights(params)
    ys, last = dnc_sequence(xs, state, weights, **CONVENTIONS[name])
    parts = []
    for chunk in (xs[:3], xs[3:3], xs[3:]):
        part, state = dnc_sequence(chunk, state, weights, **CONVENTIONS[name])
        parts.append(part)
    equal([np.concatenate(parts), *flat(state)], [ys, *flat(last)])


def test_a_sequence_that_has_ended_keeps_its_state_and_its_padding_is_never_read():
    params, state = machine(batch=3)
    xs, lengths = drawn_inputs(5, batch=3), np.array([5, 2, 0])
    for b, length in enumerate(lengths):
        xs[length:, b] = np.nan
    function, leaves = unrolled(params, state, lengths)
    out, pullback = sa.vjp(function, xs, *leaves)
    u = [np.random.default_rng(2).normal(size=y.shape) for y in out]
    gradients, total = pullback(*u), [0.0 for _ in params]
    for b, length in enumerate(lengths):
        own = nested(state, [x[b : b + 1] for x in flat(state)])
        alone, leaves_alone = unrolled(params, own)
        y, pull_alone = sa.vjp(alone, xs[:length, b : b + 1], *leaves_alone)
        equal([out[0][:length, b : b + 1], *[x[b : b + 1] for x in out[1:]]], list(y))
        assert (out[0][length:, b] == 0).all() and (gradients[0][length:, b] == 0).all()
        back = pull_alone(u[0][:length, b : b + 1], *[a[b : b + 1] for a in u[1:]])
        same(gradients[0][:length, b : b + 1], back[0], 1e-12)
        total = [a + g for a, g in zip(total, back[1:])]
    same(list(gradients[1 : 1 + len(params)]), total, 1e-12)


def test_a_step_is_a_sequence_of_one():
    params, state = machine()
    x, weights = drawn_inputs(1), dnc_weights(params)
    y, after = dnc_step(x[0], state, weights)
    ys, last = dnc_sequence(x, state, weights)
    equal([y, *flat(after)], [ys[0], *flat(last)])


def test_no_step_gives_back_the_state_and_an_empty_batch_is_a_batch():
    params, state = machine()
    ys, last = dnc_sequence(drawn_inputs(0), state, dnc_weights(params))
    assert ys.shape == (0, 2, 2) and last is state
    nobody = nested(state, [x[:0] for x in flat(state)])
    ys, last = dnc_sequence(drawn_inputs(3, batch=0), nobody, dnc_weights(params))
    assert ys.shape == (3, 0, 2) and [x.shape for x in flat(last)] == [x.shape for x in flat(nobody)]


@conventions
def test_float32_stays_float32(name):
    params, state = machine(CONVENTIONS[name], writers=WRITERS.get(name, 1), dtype=np.float32)
    function, leaves = unrolled(params, state, **CONVENTIONS[name])
    out, pullback = sa.vjp(function, drawn_inputs(2).astype(np.float32), *leaves)
    assert {a.dtype for a in [*out, *pullback(*out)]} == {np.dtype(np.float32)}


@conventions
def test_from_a_blank_start_every_gradient_is_a_number(name):
    """All usage tied, no link, a memory of zeros: the first row is taken first."""
    convention = CONVENTIONS[name] | {"cumprod_gradient": "exact"}  # else 0 / 0
    params, _ = machine(convention, writers=WRITERS.get(name, 1))
    blank = dnc_start(2, 4, 3, 2, WRITERS.get(name, 1), units=3, layers=2)
    function, leaves = unrolled(params, blank, **convention)
    out, pullback = sa.vjp(function, drawn_inputs(6), *leaves)
    assert all(np.isfinite(a).all() for a in [*out, *pullback(*out)])


def test_any_controller_may_be_given():
    """A feed-forward one of the caller, with a state that counts."""

    def controller(chi, state, weights):
        (count,) = state
        return sa.tanh(chi @ weights + count[:, None]), (count + 1.0,)

    rng, (params, state) = np.random.default_rng(0), machine(layers=1)
    chosen = dnc_weights(params)._replace(controller=free(rng, (2 + 2 * 3, 3)))
    lengths, xs = np.array([4, 1]), drawn_inputs(4)
    _, last = dnc_sequence(
        xs, state._replace(controller=(np.zeros(2),)), chosen, lengths, controller=controller
    )
    assert last.controller[0].tolist() == [4.0, 1.0]

    def function(xs, first, *leaves):
        weights = DNCWeights(first, *leaves)
        return flat(dnc_sequence(xs, state._replace(controller=()), weights, controller=stateless))

    stateless = lambda chi, state, weights: (sa.tanh(chi @ weights), state)
    is_the_adjoint(function, xs, chosen.controller, *chosen[1:4])


WRONG = [
    ({"strength": "exp"}, ValueError, "DNCConvention: strength must be one of"),
    ({"masked": 1}, TypeError, "DNCConvention: masked must be True or False, got 1"),
    ({"mask_min": 1.0}, ValueError, "DNCConvention: mask_min must be at least 0 and below 1, got 1.0"),
    ({"allocation_eps": "a"}, TypeError, "DNCConvention: allocation_eps must be a number, got 'a'"),
    ({"masked": True}, ValueError, "interface: raw must have 37 columns, got 28"),
    ({"mask": True}, TypeError, "no setting is called 'mask'"),
]


@pytest.mark.parametrize("settings, error, message", WRONG)
def test_wrong_settings_are_named(settings, error, message):
    params, state = machine()
    with pytest.raises(error, match=message):
        dnc_step(drawn_inputs(1)[0], state, dnc_weights(params), **settings)


# ---- PyTorch ----------------------------------------------------------------


@pytest.mark.peers
@conventions
def test_pytorch_gives_the_same_outputs_and_gradients(name):
    torch = pytest.importorskip("torch")
    convention = CONVENTIONS[name]
    params, state = machine(convention, 1, rows=5, writers=WRITERS.get(name, 1))
    function, leaves = unrolled(params, state, **convention)
    inputs = [drawn_inputs(5), *leaves]
    ours, pullback = sa.vjp(function, *inputs)
    there = [torch.tensor(x, requires_grad=True) for x in inputs]
    xs, named, now = there[0], dict(zip(params, there[1:])), nested(state, there[1 + len(params) :])
    outputs = []
    for x in xs:
        y, now = torch_step(torch, x, now, dnc_weights(named), DNCConvention(**convention))
        outputs.append(y)
    theirs = [torch.stack(outputs), *flat(now)]
    same(list(ours), [y.detach().numpy() for y in theirs], 1e-12)
    u = [np.random.default_rng(2).normal(size=y.shape) for y in ours]
    sum((torch.from_numpy(a) * y).sum() for a, y in zip(u, theirs)).backward()
    same(list(pullback(*u)), [_gradient(torch, x) for x in there], 1e-12)


def _gradient(torch, x):
    return np.zeros(x.shape) if x.grad is None else x.grad.numpy()  # None: nothing flows
