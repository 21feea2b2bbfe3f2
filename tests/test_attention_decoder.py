"""Bahdanau's decoder: the equations of its conventions written out, chunks, padding, depth, PyTorch."""

import numpy as np
import pytest
from adjoint import hessian_is_symmetric, is_the_adjoint
from drawing import given, same, seeds, st

import scratchattn as sa
from scratchattn.nn.attention_decoder import (
    AttentionDecoderState,
    AttentionDecoderWeights,
    attention_decoder_sequence,
    attention_decoder_shapes,
    attention_decoder_step,
    decoder_source,
    decoder_start,
)

PAPER = {
    "query": "before",
    "readout": "maxout",
    "readout_state": "before",
    "reset": "before",
    "update": "takes",
}
DL4MT = {"query": "between", "readout": "tanh", "readout_state": "after", "reset": "after", "update": "keeps"}
TUTORIAL = PAPER | {"readout": "linear", "readout_state": "after", "reset": "after", "update": "keeps"}
CONVENTIONS = {"paper": PAPER, "dl4mt": DL4MT, "tutorial": TUTORIAL}
of_every_convention = pytest.mark.parametrize("name", CONVENTIONS)
of_every_cell = pytest.mark.parametrize("cell", ["gru", "lstm"])
M, V, H, A, L, N = 2, 4, 3, 5, 6, 3  # embedding, annotation, units, attention, readout, outputs


class Machine:
    """A decoder with everything it needs; ``run`` is a function of all its arrays."""

    def __init__(self, convention=PAPER, cell="gru", start="backward", t=4, b=3, k=5, seed=0):
        rng = np.random.default_rng(seed)
        self.convention, self.cell, self.start = convention, cell, start
        settings = {name: convention[name] for name in ("query", "readout")}
        shapes = attention_decoder_shapes(M, V, H, A, L, N, cell=cell, start=start, **settings)
        self.names = tuple(shapes)
        self.parameters = [0.8 * rng.normal(size=shape) for shape in shapes.values()]
        self.ys, self.annotations = rng.normal(size=(t, b, M)), rng.normal(size=(b, k, V))
        self.keep, self.lengths = None, None

    def pad(self, sources, targets, junk=np.nan):
        """Sources and targets of these lengths, and junk beyond them."""
        self.lengths = np.array(targets)
        self.keep = np.arange(self.annotations.shape[1]) < np.array(sources)[:, None]
        self.annotations[~self.keep] = junk
        for j, n in enumerate(targets):
            self.ys[n:, j] = junk
        return self

    @property
    def arrays(self):
        return [self.ys, self.annotations, *self.parameters]

    def weights(self, parameters=None):
        return AttentionDecoderWeights(**dict(zip(self.names, parameters or self.parameters)))

    def run(self, ys, annotations, *parameters):
        """Logits, contexts, alignments and the last state, from the beginning."""
        weights = self.weights(parameters)
        source = decoder_source(annotations, weights, self.keep)
        state = decoder_start(source, weights, start=self.start, cell=self.cell)
        out, last = attention_decoder_sequence(ys, state, source, weights, self.lengths, **self.convention)
        return (*out, *[x for x in last if x is not None])

    def gradients(self):
        """Outputs, and the gradients by all arrays under fixed cotangents, by name."""
        out, pullback = sa.vjp(self.run, *self.arrays)
        rng = np.random.default_rng(7)
        grads = pullback(*[rng.normal(size=y.shape) for y in out])
        return out, dict(zip(("ys", "annotations", *self.names), grads))


# ---- the equations, written out ---------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def attended(query, annotations, w):
    """The appendix of the paper, one annotation at a time."""
    scores = [
        w.vector @ np.tanh(query @ w.query_weights + h @ w.key_weights + w.attention_bias)
        for h in annotations
    ]
    alpha = np.exp(scores) / np.exp(scores).sum()
    return alpha, sum(a * h for a, h in zip(alpha, annotations))


def papers_decoder(ys, annotations, w):
    """Bahdanau et al., appendix A.2.2, one sequence."""
    s, shown = np.tanh(annotations[0, V // 2 :] @ w.start_weights + w.start_bias), []
    (w_r, w_z, w_s), (u_r, u_z, u_s), (b_r, b_z, b_s) = (
        np.split(x, 3, axis=-1) for x in (w.input_weights, w.hidden_weights, w.bias)
    )
    for y in ys:
        alpha, c = attended(s, annotations, w)
        t = s @ w.readout_hidden_weights + y @ w.readout_embedding_weights + c @ w.readout_context_weights
        t = (t + w.readout_bias).reshape(-1, 2).max(-1)
        shown.append(np.concatenate([t @ w.output_weights + w.output_bias, c, alpha]))
        x = np.concatenate([y, c])
        r, z = sigmoid(x @ w_r + s @ u_r + b_r), sigmoid(x @ w_z + s @ u_z + b_z)
        s = (1 - z) * s + z * np.tanh(x @ w_s + (r * s) @ u_s + b_s)
    return np.array(shown), s


def dl4mts_decoder(ys, annotations, w):
    """The conditional GRU: a step of y, a look, a step of the context."""

    def unit(x, s, weights, recurrent, bias):
        (w_r, w_u, w_h), (u_r, u_u, u_h), (b_r, b_u, b_h) = (
            np.split(p, 3, axis=-1) for p in (weights, recurrent, bias)
        )
        r, u = sigmoid(x @ w_r + s @ u_r + b_r), sigmoid(x @ w_u + s @ u_u + b_u)
        return u * s + (1 - u) * np.tanh(x @ w_h + r * (s @ u_h) + b_h)

    s, shown = np.tanh(annotations.mean(0) @ w.start_weights + w.start_bias), []
    for y in ys:
        between = unit(y, s, w.input_weights, w.hidden_weights, w.bias)
        alpha, c = attended(between, annotations, w)
        s = unit(c, between, w.second_input_weights, w.second_hidden_weights, w.second_bias)
        t = s @ w.readout_hidden_weights + y @ w.readout_embedding_weights + c @ w.readout_context_weights
        t = np.tanh(t + w.readout_bias)
        shown.append(np.concatenate([t @ w.output_weights + w.output_bias, c, alpha]))
    return np.array(shown), s


@pytest.mark.parametrize(
    "convention, start, written_out", [(PAPER, "backward", papers_decoder), (DL4MT, "mean", dl4mts_decoder)]
)
def test_the_decoder_is_the_equations_of_its_authors(convention, start, written_out):
    machine = Machine(convention, start=start)
    logits, context, alignment, last = machine.run(*machine.arrays)
    for j in range(3):
        shown, s = written_out(machine.ys[:, j], machine.annotations[j], machine.weights())
        found = np.concatenate([logits[:, j], context[:, j], alignment[:, j]], axis=-1)
        same([found, last[j]], [shown, s], 1e-13)


# ---- backpropagation through time -------------------------------------------


@of_every_cell
@of_every_convention
def test_the_whole_sequence_is_the_adjoint(name, cell):
    """A complex step through all of it, for every parameter, the targets and the sources, with padding."""
    for start in ("backward", "mean"):
        machine = Machine(CONVENTIONS[name], cell, start, t=6).pad([5, 3, 1], [6, 4, 1], junk=0.5)
        is_the_adjoint(machine.run, *machine.arrays)


@of_every_cell
@pytest.mark.parametrize("name", ["dl4mt", "tutorial"])
def test_the_hessian_of_a_sequence_is_symmetric(name, cell):
    machine = Machine(CONVENTIONS[name], cell, t=3, b=2).pad([5, 2], [3, 2], junk=0.5)
    hessian_is_symmetric(machine.run, *machine.arrays)


def test_thirty_steps_over_thirty_annotations_are_the_adjoint():
    machine = Machine(t=30, b=2, k=30)
    is_the_adjoint(machine.run, *machine.arrays)


def test_a_vector_of_zeros_looks_everywhere_alike_and_teaches_the_projections_nothing():
    machine = Machine()
    place = machine.names.index("vector")
    machine.parameters[place] = 0 * machine.parameters[place]
    (_, context, alignment, _), grads = machine.gradients()
    assert (alignment == 0.2).all()
    same(context, np.broadcast_to(machine.annotations.mean(1), context.shape), 1e-15)
    assert not any(grads[n].any() for n in ("query_weights", "key_weights", "attention_bias"))
    assert grads["vector"].all() and grads["annotations"].all()


def test_keys_projected_once_get_the_gradient_of_all_steps():
    machine = Machine()
    weights = machine.weights()
    rng = np.random.default_rng(1)
    source = decoder_source(machine.annotations, weights)
    states = rng.normal(size=(4, 3, H))

    def once(key_weights):
        keys = machine.annotations @ key_weights
        return sa.stack(*[look(s, keys, None) for s in states])

    def every_time(key_weights):
        return sa.stack(*[look(s, machine.annotations, key_weights) for s in states])

    def look(s, keys, key_weights):
        learned = weights.vector, weights.query_weights, key_weights, weights.attention_bias
        return sa.additive_attention(s[:, None], keys, machine.annotations, *learned).context

    (a, pull_a), (b, pull_b) = sa.vjp(once, weights.key_weights), sa.vjp(every_time, weights.key_weights)
    u = rng.normal(size=a.shape)
    same([a, *pull_a(u)], [b, *pull_b(u)], 1e-13)
    same(source.keys, machine.annotations @ weights.key_weights, 1e-14)


# ---- conventions ------------------------------------------------------------


def first_logits(machine):
    """Gradients of the logits of the first step alone, by name."""
    out, pullback = sa.vjp(lambda *arrays: machine.run(*arrays)[0][0], *machine.arrays)
    grads = pullback(np.random.default_rng(1).normal(size=out.shape))
    return dict(zip(("ys", "annotations", *machine.names), grads))


def test_the_papers_output_is_read_from_the_state_before_its_step():
    assert not first_logits(Machine(PAPER))["input_weights"].any()
    assert first_logits(Machine(PAPER | {"readout_state": "after"}))["input_weights"].any()


def test_only_the_state_between_two_cells_has_seen_the_symbol_that_it_looks_for():
    """dl4mt's alignment knows the symbol before the step; the paper's does not."""
    for convention, knows in ((PAPER, False), (DL4MT, True)):
        machine = Machine(convention)
        alignment = machine.run(*machine.arrays)[2]
        machine.ys[0] += 1.0
        assert (machine.run(*machine.arrays)[2][0] == alignment[0]).all() != knows


def test_what_is_left_out_of_the_readout_counts_for_nothing():
    """PyTorch's tutorial: logits affine in the new state alone."""
    machine = Machine(TUTORIAL)
    weights = machine.weights()._replace(
        readout_embedding_weights=None, readout_context_weights=None, output_weights=None, output_bias=None
    )
    source = decoder_source(machine.annotations, weights)
    out, new = attention_decoder_step(
        machine.ys[0], decoder_start(source, weights), source, weights, **TUTORIAL
    )
    assert (out.logits == new.hidden @ weights.readout_hidden_weights + weights.readout_bias).all()
    assert out.logits.shape == (3, L)
    nothing, _ = attention_decoder_sequence(machine.ys[:0], new, source, weights, **TUTORIAL)
    assert [x.shape for x in nothing] == [(0, 3, L), (0, 3, V), (0, 3, 5)]


def test_a_second_bias_of_the_gru_reaches_both_of_its_cells():
    machine = Machine(DL4MT | {"reset": "before"})  # there it only adds to the first
    weights, second = machine.weights(), np.random.default_rng(1).normal(size=(2, 3 * H))
    source = decoder_source(machine.annotations, weights)
    one = weights._replace(bias=weights.bias + second[0], second_bias=weights.second_bias + second[1])
    two = weights._replace(hidden_bias=second[0], second_hidden_bias=second[1])
    state = AttentionDecoderState(second[0][:H] + np.zeros((3, H)))
    found, expected = (
        attention_decoder_step(machine.ys[0], state, source, w, **machine.convention) for w in (two, one)
    )
    same([*found[0], found[1].hidden], [*expected[0], expected[1].hidden], 1e-14)


def test_attention_has_the_activation_and_the_softmax_that_are_asked_for():
    machine = Machine()
    weights = machine.weights()
    source = decoder_source(machine.annotations, weights)
    state = decoder_start(source, weights)
    hidden = (state.hidden @ weights.query_weights)[:, None] + source.keys + weights.attention_bias
    e = np.exp(hidden.clip(0.0) @ weights.vector)
    out, _ = attention_decoder_step(machine.ys[0], state, source, weights, activation="relu")
    same(out.weights, e / e.sum(-1, keepdims=True), 1e-13)
    weights = weights._replace(vector=1e5 * weights.vector)
    for shifted in (True, False):
        with np.errstate(over="ignore", invalid="ignore"):
            out, _ = attention_decoder_step(machine.ys[0], state, source, weights, shifted=shifted)
        assert np.isfinite(out.weights).all() == shifted


def test_an_lstm_starts_with_an_empty_cell():
    machine = Machine(cell="lstm")
    state = decoder_start(
        decoder_source(machine.annotations, machine.weights()), machine.weights(), cell="lstm"
    )
    assert state.hidden.all() and state.cell.shape == (3, H) and not state.cell.any()


def test_one_source_serves_all_of_a_beam():
    machine = Machine(b=3)
    weights = machine.weights()
    one, many = (decoder_source(machine.annotations[rows], weights) for rows in ([0], [0, 0, 0]))
    state = AttentionDecoderState(np.random.default_rng(1).normal(size=(3, H)))
    found = attention_decoder_step(machine.ys[0], state, one, weights)
    expected = attention_decoder_step(machine.ys[0], state, many, weights)
    same([*found[0], found[1].hidden], [*expected[0], expected[1].hidden], 1e-14)


# ---- chunks, batches, padding -----------------------------------------------


@given(
    st.sampled_from(["gru", "lstm"]), seeds, st.sampled_from(sorted(CONVENTIONS)), st.integers(1, 5),
    st.integers(1, 3), st.integers(0, 5), st.booleans(),
)  # fmt: skip
def test_chunks_equal_the_whole_bit_for_bit(cell, seed, name, t, b, cut, padded):
    """Outputs, the last state, and the gradients by targets and first state."""
    convention = CONVENTIONS[name]
    machine, rng, cut = (
        Machine(convention, cell, t=t, b=b, seed=seed),
        np.random.default_rng(seed),
        min(cut, t),
    )
    weights = machine.weights()
    source = decoder_source(machine.annotations, weights)
    state = [rng.normal(size=(b, H)) for _ in range(1 if cell == "gru" else 2)]
    ends = rng.integers(0, t + 1, size=b) if padded else None

    def run(ends):
        def f(ys, *state):
            out, last = attention_decoder_sequence(
                ys, AttentionDecoderState(*state), source, weights, ends, **convention
            )
            return (*out, *[x for x in last if x is not None])

        return f

    whole, pullback = sa.vjp(run(ends), machine.ys, *state)
    first, rest = (None, None) if ends is None else (ends.clip(0, cut), (ends - cut).clip(0))
    early, pull_early = sa.vjp(run(first), machine.ys[:cut], *state)
    late, pull_late = sa.vjp(run(rest), machine.ys[cut:], *early[3:])
    for a, b_, y in zip(early[:3], late[:3], whole[:3]):
        assert (np.concatenate([a, b_]) == y).all()
    assert all((a == b_).all() for a, b_ in zip(late[3:], whole[3:], strict=True))
    u = [rng.normal(size=y.shape) for y in whole]
    dlate, *dbetween = pull_late(*[x[cut:] for x in u[:3]], *u[3:])
    dearly, *dfirst = pull_early(*[x[:cut] for x in u[:3]], *dbetween)
    dys, *dstate = pullback(*u)
    assert (np.concatenate([dearly, dlate]) == dys).all()
    assert all((a == b_).all() for a, b_ in zip(dfirst, dstate, strict=True))


@of_every_cell
@of_every_convention
@pytest.mark.parametrize("start", ["backward", "mean"])
def test_padding_is_never_read_and_a_sequence_alone_is_the_sequence_in_a_batch(name, cell, start):
    """The second target and the third source are empty; NaN beyond every length."""
    sources, targets = [5, 3, 0], [4, 0, 2]
    machine = Machine(CONVENTIONS[name], cell, start).pad(sources, targets)
    out, grads = machine.gradients()
    assert all(np.isfinite(x).all() for x in [*out, *grads.values()])
    assert not out[1][:, 2].any() and not out[2][:, 2].any() and not grads["annotations"][2].any()
    for j, (k, t) in enumerate(zip(sources, targets)):
        alone = Machine(CONVENTIONS[name], cell, start)
        alone.ys, alone.annotations = machine.ys[:t, j : j + 1], machine.annotations[j : j + 1, :k]
        own = alone.run(*alone.arrays)
        same(
            [x[:t, j : j + 1] for x in out[:2]] + [x[j : j + 1] for x in out[3:]], [*own[:2], *own[3:]], 1e-13
        )
        same(out[2][:t, j : j + 1, :k], own[2], 1e-13)
        assert not any(x[t:, j].any() for x in out[:3]) and not out[2][:, j, k:].any()
        assert not grads["ys"][t:, j].any() and not grads["annotations"][j, k:].any()


def test_lengths_of_sources_are_a_keep_like_any_other():
    machine = Machine()
    weights = machine.weights()
    by_length = decoder_source(machine.annotations, weights, lengths=np.array([5, 2, 0]))
    assert by_length.keep.tolist() == [[True] * 5, [True] * 2 + [False] * 3, [False] * 5]
    by_keep = decoder_source(machine.annotations, weights, by_length.keep)
    assert all((a == b).all() for a, b in zip(by_length, by_keep))


@of_every_cell
def test_sources_without_annotations_targets_without_steps_and_batches_without_sequences(cell):
    for start in ("backward", "mean"):
        for sizes in ({"k": 0}, {"t": 0}, {"b": 0}):
            machine = Machine(PAPER, cell, start, **sizes)
            (logits, context, alignment, *_), grads = machine.gradients()
            (t, b, _), k = machine.ys.shape, machine.annotations.shape[1]
            assert [x.shape for x in (logits, context, alignment)] == [(t, b, N), (t, b, V), (t, b, k)]
            assert all(np.isfinite(g).all() for g in grads.values()) and not (
                sizes == {"k": 0} and context.any()
            )


def test_float32_stays_float32():
    machine = Machine(DL4MT, "lstm", "mean").pad([5, 3, 1], [4, 2, 1], junk=0.5)
    out, pullback = sa.vjp(machine.run, *[x.astype(np.float32) for x in machine.arrays])
    assert {x.dtype for x in [*out, *pullback(*out)]} == {np.dtype(np.float32)}
    same(list(out), list(machine.run(*machine.arrays)), 1e-5)


# ---- wrong calls ------------------------------------------------------------


@pytest.mark.parametrize("name", ["query", "readout", "readout_state", "reset", "activation"])
def test_a_convention_that_nobody_has_is_refused_by_name(name):
    machine = Machine(PAPER)
    machine.convention = PAPER | {name: "nonsense"}
    with pytest.raises(ValueError, match=f"{name} must be .*, got 'nonsense'"):
        machine.run(*machine.arrays)


def test_other_mistakes_are_named():
    machine = Machine()
    weights, keep = machine.weights(), np.ones((3, 5), bool)
    with pytest.raises(ValueError, match="decoder_source: keep or lengths expected, got both"):
        decoder_source(machine.annotations, weights, keep, lengths=np.array([5, 5, 5]))
    with pytest.raises(
        ValueError, match="attention_decoder: start must be one of backward, mean, got 'zero'"
    ):
        decoder_start(decoder_source(machine.annotations, weights), weights, start="zero")
    odd = weights._replace(readout_bias=None, readout_hidden_weights=np.ones((H, 5)))
    odd = odd._replace(readout_embedding_weights=None, readout_context_weights=None)
    source = decoder_source(machine.annotations, odd)
    with pytest.raises(ValueError, match="maxout must have an even number of columns, got 5"):
        attention_decoder_step(machine.ys[0], decoder_start(source, odd), source, odd)


# ---- PyTorch ----------------------------------------------------------------


@pytest.mark.peers
@of_every_cell
def test_pytorch_has_the_same_decoder_forward_and_every_gradient(cell):
    """The tutorial's, with its own cells and y and c in the readout, over padded sources."""
    torch = pytest.importorskip("torch")
    machine = Machine(TUTORIAL, cell).pad([5, 3, 1], [4, 4, 4], junk=0.5)
    machine.lengths = None
    leaves = [torch.tensor(x, requires_grad=True) for x in machine.arrays]
    ys, annotations, *parameters = leaves
    w = AttentionDecoderWeights(**dict(zip(machine.names, parameters)))
    keep = torch.tensor(machine.keep)
    annotations = annotations * keep[..., None]
    s = torch.tanh(annotations[:, 0, V // 2 :] @ w.start_weights + w.start_bias)
    remembered, shown = torch.zeros_like(s), []
    for y in ys:
        hidden = (s @ w.query_weights)[:, None] + annotations @ w.key_weights + w.attention_bias
        alpha = torch.softmax((torch.tanh(hidden) @ w.vector).masked_fill(~keep, -torch.inf), -1)
        c = (alpha[..., None] * annotations).sum(1)
        x, none = torch.cat([y, c], -1), torch.zeros_like(w.bias)
        if cell == "gru":
            s = torch.gru_cell(x, s, w.input_weights.T, w.hidden_weights.T, w.bias, none)
        else:  # theirs: i, f, candidate, o; ours: i, f, o, candidate
            order = [*range(2 * H), *range(3 * H, 4 * H), *range(2 * H, 3 * H)]
            learned = w.input_weights.T[order], w.hidden_weights.T[order], w.bias[order], none
            s, remembered = torch.lstm_cell(x, (s, remembered), *learned)
        t = s @ w.readout_hidden_weights + y @ w.readout_embedding_weights + c @ w.readout_context_weights
        shown.append(((t + w.readout_bias) @ w.output_weights + w.output_bias, c, alpha))
    theirs = [torch.stack(each) for each in zip(*shown)] + ([s] if cell == "gru" else [s, remembered])
    out, grads = machine.gradients()
    same(list(out), [x.detach().numpy() for x in theirs], 1e-12)
    rng = np.random.default_rng(7)
    sum((torch.tensor(rng.normal(size=tuple(x.shape))) * x).sum() for x in theirs).backward()
    same(list(grads.values()), [x.grad.numpy() for x in leaves], 1e-12)
