"""The DNC cell: the paper's step in plain NumPy, the adjoint of a long sequence, chunks, batches, PyTorch."""

import numpy as np
import pytest
from adjoint import flat, hessian_is_symmetric, is_the_adjoint
from dnc_machines import CONVENTIONS, WRITERS, conventions, drawn_inputs, machine, nested, unrolled
from drawing import equal, free, same

import scratchattn as sa
from scratchattn.nn.dnc_cell import (
    LINK_EPS,
    DNCState,
    DNCWeights,
    dnc_sequence,
    dnc_start,
    dnc_step,
    dnc_weights,
)
from scratchattn.nn.dnc_convention import DNCConvention
from scratchattn.nn.dnc_interface import interface_shapes, interface_size

# ---- the paper --------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def on_the_simplex(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def paper_step(x, state, weights, c):
    """One step of one sequence, in the order of the paper's Methods; c: a DNCConvention."""
    rows, width = state.memory.shape
    readers, writers = len(state.read_weightings), len(state.link)
    chi, biased = np.concatenate([x, *state.reads]), weights.output_bias is not None
    shown, controller = [], []
    for (hidden, cell), (w_x, w_h, bias) in zip(state.controller, weights.controller):
        z = np.concatenate([chi, *shown[-1:]]) @ w_x + hidden @ w_h + bias
        i, f, o, candidate = np.split(z, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(candidate)
        hidden = sigmoid(o) * np.tanh(cell)
        shown.append(hidden)
        controller.append((hidden, cell))
    shown = np.concatenate(shown)

    xi = list(shown @ weights.interface_weights + (weights.interface_bias if biased else 0))
    take = lambda *shape: np.array([xi.pop(0) for _ in range(np.prod(shape))]).reshape(shape)
    strength = lambda v: (c.strength == "oneplus") + np.log1p(np.exp(v))
    word = np.tanh if c.keys == "tanh" else lambda v: v
    read_key, read_strength = word(take(readers, width)), strength(take(readers))
    write_key, write_strength = word(take(writers, width)), strength(take(writers))
    erase, vector = sigmoid(take(writers, width)), word(take(writers, width))
    free_gate, allocation_gate, write_gate = (sigmoid(take(n)) for n in (readers, writers, writers))
    modes = on_the_simplex(take(readers, 1 + 2 * writers))
    write_mask = read_mask = None
    if c.masked:
        write_mask = c.mask_min + (1 - c.mask_min) * sigmoid(take(writers, width))
        read_mask = c.mask_min + (1 - c.mask_min) * sigmoid(take(readers, width))
    if c.sharpen_links:
        sharp = [1 + np.log1p(np.exp(take(writers, readers))) for _ in range(2)]
    assert not xi

    def lookup(key, memory, strength, mask):
        if mask is not None:
            memory, key = memory * mask, key * mask
        kk, mm = (key**2).sum(), (memory**2).sum(-1)
        below = {
            "smoothed": np.sqrt((kk + c.eps) * (mm + c.eps)),
            "smoothed_added": np.sqrt((kk + c.eps) * (mm + c.eps)) + c.eps,
            "added": np.sqrt(kk * mm) + c.eps,
            "none": np.sqrt(kk * mm),
        }[c.form]
        return on_the_simplex(strength * (memory @ key) / below)

    psi = np.prod([1 - f * w for f, w in zip(free_gate, state.read_weightings)], axis=0)
    written = 1 - np.prod([1 - w for w in state.write_weightings], axis=0)
    usage = (state.usage + written - state.usage * written) * psi

    simulated, writing = usage, []
    for h in range(writers):
        u, allocation, product = c.allocation_eps + (1 - c.allocation_eps) * simulated, np.zeros(rows), 1.0
        for j in sorted(range(rows), key=lambda j: u[j]):
            allocation[j] = (1 - u[j]) * product
            product *= u[j]
        gate = write_gate[h] * (allocation_gate[h] if c.simulated_gate == "both" else 1)
        simulated = simulated + (1 - simulated) * gate * allocation
        content = lookup(
            write_key[h], state.memory, write_strength[h], None if write_mask is None else write_mask[h]
        )
        writing.append(write_gate[h] * (allocation_gate[h] * allocation + (1 - allocation_gate[h]) * content))

    memory = state.memory * psi[:, None] if c.deallocate else state.memory
    for h in range(writers):
        memory = memory * (1 - np.outer(writing[h], erase[h]))
    for h in range(writers):
        memory = memory + np.outer(writing[h], vector[h])

    new_link, precedence = np.zeros_like(state.link), np.zeros_like(state.precedence)
    for h, w in enumerate(writing):
        old, last = state.link[h], state.precedence[h]
        for i in range(rows):
            for j in range(rows):
                if i != j:
                    new_link[h, i, j] = (1 - w[i] - w[j]) * old[i, j] + w[i] * last[j]
        precedence[h] = (1 - w.sum()) * last + w

    def along(matrix, weights, power):
        moved = matrix @ weights
        if not c.sharpen_links:
            return moved
        moved = ((moved + LINK_EPS) / (moved + LINK_EPS).max()) ** power
        return moved / moved.sum()

    reading = []
    for r, before in enumerate(state.read_weightings):
        powers = [(sharp[0][h, r], sharp[1][h, r]) if c.sharpen_links else (1, 1) for h in range(writers)]
        kinds = {
            "forward": [along(new_link[h], before, powers[h][0]) for h in range(writers)],
            "backward": [along(new_link[h].T, before, powers[h][1]) for h in range(writers)],
            "content": [
                lookup(read_key[r], memory, read_strength[r], None if read_mask is None else read_mask[r])
            ],
        }
        in_order = [w for kind in c.mode_order.split("_") for w in kinds[kind]]
        reading.append(sum(mode * w for mode, w in zip(modes[r], in_order, strict=True)))
    reads = np.array(reading) @ memory
    y = shown @ weights.output_weights + reads.ravel() @ weights.read_output_weights
    y = y + (weights.output_bias if biased else 0)
    return y, DNCState(
        memory, usage, new_link, precedence, np.array(writing), np.array(reading), reads, tuple(controller)
    )


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
    params, _ = machine(CONVENTIONS[name], writers=WRITERS.get(name, 1))
    blank = dnc_start(2, 4, 3, 2, WRITERS.get(name, 1), units=3, layers=2)
    function, leaves = unrolled(params, blank, **CONVENTIONS[name])
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


def torch_step(torch, x, state, weights, c):
    """One step in eager PyTorch, whole batches at once, as one would write it there."""
    sigmoid, softplus = torch.sigmoid, torch.nn.functional.softplus
    batch, readers, width = state.reads.shape
    writers, rows = state.link.shape[1:3]
    chi, shown, controller = torch.cat([x, state.reads.flatten(1)], 1), [], []
    for (hidden, cell), (w_x, w_h, bias) in zip(state.controller, weights.controller):
        z = torch.cat([chi, *shown[-1:]], 1) @ w_x + hidden @ w_h + bias
        i, f, o, candidate = z.chunk(4, 1)
        cell = sigmoid(f) * cell + sigmoid(i) * torch.tanh(candidate)
        hidden = sigmoid(o) * torch.tanh(cell)
        shown.append(hidden)
        controller.append((hidden, cell))
    shown = torch.cat(shown, 1)
    xi = shown @ weights.interface_weights
    xi = xi if weights.interface_bias is None else xi + weights.interface_bias
    shapes = interface_shapes(width, readers, writers, masked=c.masked, sharpen_links=c.sharpen_links)
    pieces = xi.split([int(np.prod(shape)) for shape in shapes.values()], 1)
    said = {name: piece.reshape(batch, *shape) for piece, (name, shape) in zip(pieces, shapes.items())}
    word = torch.tanh if c.keys == "tanh" else lambda v: v

    def lookup(heads, memory):
        keys, beta = word(said[f"{heads}_keys"]), softplus(said[f"{heads}_strengths"])
        beta = beta + 1 if c.strength == "oneplus" else beta
        memory, keys = memory[:, None], keys[:, :, None]
        if c.masked:
            mask = c.mask_min + (1 - c.mask_min) * sigmoid(said[f"{heads}_masks"])[:, :, None]
            memory, keys = memory * mask, keys * mask
        kk, mm = keys.square().sum(-1), memory.square().sum(-1)
        if c.form in ("smoothed", "smoothed_added"):
            below = ((kk + c.eps) * (mm + c.eps)).sqrt() + (c.eps if c.form == "smoothed_added" else 0)
        else:
            below = kk.sqrt() * mm.sqrt() + (c.eps if c.form == "added" else 0)
        return torch.softmax(beta[..., None] * (memory * keys).sum(-1) / below, -1)

    w_write = state.write_weightings.detach() if c.stop_write_gradient else state.write_weightings
    psi = (1 - sigmoid(said["free_gates"])[..., None] * state.read_weightings).prod(1)
    usage = (1 - (1 - state.usage) * (1 - w_write).prod(1)) * psi
    g_a, g_w = (sigmoid(said[name])[..., None] for name in ("allocation_gates", "write_gates"))
    simulated, allocation = usage, []
    for h in range(writers):
        u, order = (c.allocation_eps + (1 - c.allocation_eps) * simulated).sort(dim=1, stable=True)
        before = torch.cat([torch.ones_like(u[:, :1]), u.cumprod(1)[:, :-1]], 1)
        allocation.append(torch.zeros_like(u).scatter(1, order, (1 - u) * before))
        taken = (g_w * g_a if c.simulated_gate == "both" else g_w)[:, h] * allocation[-1]
        simulated = simulated + (1 - simulated) * taken
    writing = g_w * (g_a * torch.stack(allocation, 1) + (1 - g_a) * lookup("write", state.memory))
    memory = state.memory * psi[..., None] if c.deallocate else state.memory
    memory = memory * (1 - writing[..., None] * sigmoid(said["erase"])[:, :, None]).prod(1)
    memory = memory + torch.einsum("bhn,bhw->bnw", writing, word(said["write_vectors"]))

    new_link = (1 - writing[..., None] - writing[..., None, :]) * state.link
    new_link = new_link + writing[..., None] * state.precedence[..., None, :]
    new_link = new_link * (1 - torch.eye(rows, dtype=x.dtype))
    precedence = (1 - writing.sum(-1, keepdim=True)) * state.precedence + writing
    kinds = {
        "forward": torch.einsum("bhij,brj->bhri", new_link, state.read_weightings),
        "backward": torch.einsum("bhij,bri->bhrj", new_link, state.read_weightings),
    }
    if c.sharpen_links:
        for name in kinds:
            raised = (kinds[name] + LINK_EPS) ** (1 + softplus(said[f"{name}_sharpness"]))[..., None]
            kinds[name] = raised / raised.sum(-1, keepdim=True)
    kinds["content"] = lookup("read", memory)[:, None]
    in_order = torch.cat([kinds[kind] for kind in c.mode_order.split("_")], 1)  # (b, m, r, n)
    reading = torch.einsum("brm,bmrn->brn", torch.softmax(said["read_modes"], -1), in_order)
    reads = reading @ memory
    y = shown @ weights.output_weights + reads.flatten(1) @ weights.read_output_weights
    y = y if weights.output_bias is None else y + weights.output_bias
    return y, DNCState(memory, usage, new_link, precedence, writing, reading, reads, tuple(controller))


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
