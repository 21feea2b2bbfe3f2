"""Elementary ops, layers and losses: inverses, transposes, invariances, bounds.

Ops that move numbers about are linear with a matrix of zeros and ones, so on whole numbers their
backward is the transpose exactly: <u, A x> = <A^T u, x> without any rounding.
"""

from math import prod

import numpy as np
import pytest
from drawing import (
    assume,
    batches,
    calls,
    equal,
    free,
    gate,
    given,
    inner,
    integers,
    lengths,
    permutation,
    positive,
    run,
    same,
    scales,
    seeds,
    st,
    tupled,
)  # fmt: skip

import scratchattn as sa
from scratchattn import REGISTRY

shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)
LINEAR = """add broadcast_to concat cumulative_sum embedding expand_dims flip gather index negate pad permute
reshape roll split squeeze stack subtract sum take_along transpose unstack where""".split()
ALSO_OF_NUMBERS = "add broadcast_to expand_dims index negate pad reshape squeeze stack subtract where".split()


# ---- numbers moved about ------------------------------------------------------


@st.composite
def moves(draw, name):
    """Inputs of whole numbers, and params, for an op of ``LINEAR``."""
    rng = np.random.default_rng(draw(seeds))
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=name not in ALSO_OF_NUMBERS, max_size=3)))
    ndim, a = len(shape), integers(rng, shape)
    axis = draw(st.integers(-ndim, ndim - 1)) if shape else 0
    some = tuple(draw(st.lists(st.sampled_from(range(ndim)), unique=True))) if shape else ()
    match name:
        case "add" | "subtract":
            return [a, integers(rng, shape[draw(st.integers(0, ndim)) :])], {}
        case "negate":
            return [a], {}
        case "where":
            return [rng.random(shape) < 0.5, a, integers(rng, shape)], {}
        case "broadcast_to":
            kept = tuple(1 if draw(st.booleans()) else n for n in shape)
            return [integers(rng, kept)], {"shape": (*draw(shapes), *shape)}
        case "concat":
            before, after = shape[: axis % ndim], shape[axis % ndim + 1 :]
            sizes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
            return [integers(rng, (*before, n, *after)) for n in sizes], {"axis": axis}
        case "stack":
            several = draw(st.integers(1, 3))
            return [integers(rng, shape) for _ in range(several)], {"axis": draw(st.integers(0, ndim))}
        case "cumulative_sum" | "unstack":
            return [a], {"axis": axis}
        case "split":
            cut = draw(st.integers(0, shape[axis]))
            return [a], {"sections": (cut, shape[axis] - cut), "axis": axis}
        case "sum":
            return [a], {"axis": some, "keepdims": draw(st.booleans())}
        case "flip":
            return [a], {"axis": some}
        case "roll":
            return [a], {"shift": tuple(draw(st.integers(-5, 5)) for _ in some), "axis": some}
        case "pad":
            return [a], {"widths": tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape)}
        case "transpose":
            return [a], {"axes": tuple(draw(st.permutations(range(ndim))))}
        case "reshape":
            return [a], {"shape": draw(st.sampled_from([(-1,), (1, *shape), (*shape[::-1], 1), shape]))}
        case "expand_dims":
            return [a], {"axis": draw(st.integers(-ndim - 1, ndim))}
        case "squeeze":
            place = axis % ndim if shape else 0
            return [a.reshape(*shape[:place], 1, *shape[place:])], {"axis": place}
        case "index":
            key = [draw(st.one_of(st.integers(-n, n - 1), st.slices(n))) for n in shape[: len(some)]]
            return [a], {"key": (*key, *draw(st.sampled_from([(), (...,), (None,)])))}
        case "gather" | "embedding":
            table = a if name == "gather" else integers(rng, (shape[0], 3))
            return [table, rng.integers(0, shape[0], size=draw(shapes))], {}
        case "take_along":
            return [a, rng.integers(0, shape[-1], size=(*shape[:-1], draw(lengths)))], {}
        case "permute":
            return [a, permutation(rng, shape)], {}


def linear(test):
    """Run ``test`` with the op, inputs and params, for every op of ``LINEAR``."""

    @pytest.mark.parametrize("name", LINEAR)
    @given(data=st.data())
    def on_every_op(name, data):
        inputs, params = data.draw(moves(name))
        test(REGISTRY[name], inputs, params)

    on_every_op.__name__, on_every_op.__doc__ = test.__name__, test.__doc__
    return on_every_op


@linear
def test_the_backward_is_the_transpose_exactly(op, inputs, params):
    """<u, A x> = <A^T u, x>, on whole numbers without rounding."""
    out = tupled(op(*inputs, **params))
    rng = np.random.default_rng(out[0].size if out else 0)
    cotangents = [integers(rng, y.shape) for y in out]
    results = run(op, *inputs, cotangents=cotangents, **params)
    gradients = results[len(out) :]
    active = [x for x in inputs if x.dtype == float]
    assert inner(cotangents, out) == inner(gradients, active)


@linear
def test_what_only_moves_numbers_adds_like_numbers(op, inputs, params):
    """A (2 x) = 2 A x, exactly."""
    doubled = [2 * x if x.dtype == float else x for x in inputs]
    equal(list(tupled(op(*doubled, **params))), [2 * y for y in tupled(op(*inputs, **params))])


@given(seeds, shapes, st.data())
def test_what_is_put_together_comes_apart(seed, shape, data):
    """concat and split, stack and unstack: each undoes the other."""
    rng, axis = np.random.default_rng(seed), data.draw(st.integers(0, len(shape)))
    layers = [integers(rng, shape) for _ in range(data.draw(st.integers(1, 3)))]
    equal(list(sa.unstack(sa.stack(*layers, axis=axis), axis=axis)), layers)
    assume(shape)
    axis = axis % len(shape)
    sizes = data.draw(st.lists(lengths, min_size=1))
    parts = [integers(rng, (*shape[:axis], n, *shape[axis + 1 :])) for n in sizes]
    whole = sa.concat(*parts, axis=axis)
    equal(list(sa.split(whole, sections=tuple(p.shape[axis] for p in parts), axis=axis)), parts)
    equal(sa.concat(*sa.split(whole, sections=(1, whole.shape[axis] - 1), axis=axis), axis=axis), whole)


@given(seeds, shapes, st.data())
def test_what_is_moved_can_be_moved_back(seed, shape, data):
    a, axes = integers(np.random.default_rng(seed), shape), data.draw(st.permutations(range(len(shape))))
    shift = data.draw(st.integers(-7, 7))
    for axis in axes:
        equal(sa.roll(sa.roll(a, shift=shift, axis=axis), shift=-shift, axis=axis), a)
        equal(sa.flip(sa.flip(a, axis=axis), axis=axis), a)
        equal(sa.roll(a, shift=shape[axis], axis=axis), a)
    back = tuple(int(i) for i in np.argsort(np.array(axes, int)))
    equal(sa.transpose(sa.transpose(a, axes=tuple(axes)), axes=back), a)
    equal(sa.reshape(sa.reshape(a, shape=(-1,)), shape=shape), a)
    equal(sa.squeeze(sa.expand_dims(a, axis=shift % (len(shape) + 1)), axis=shift % (len(shape) + 1)), a)
    widths = tuple((shift % 3, shift % 2) for _ in shape)
    inside = tuple(slice(before, before + n) for n, (before, _) in zip(shape, widths))
    equal(sa.index(sa.pad(a, widths=widths, value=9.0), key=inside), a)
    padded = sa.pad(a, widths=widths, value=9.0)
    assert padded.sum() == a.sum() + 9 * (padded.size - a.size)


@given(seeds, batches, lengths)
def test_a_sort_and_its_inverse(seed, batch, n):
    rng = np.random.default_rng(seed)
    a, order = integers(rng, (*batch, n)), permutation(rng, (*batch, n))
    inverse = np.argsort(order, -1)
    equal(sa.permute(sa.permute(a, order), inverse), a)
    equal(sa.permute(a, np.argsort(a, -1, kind="stable")), np.sort(a, -1))
    equal(sa.take_along(a, order), sa.permute(a, order))
    cotangent = integers(rng, a.shape)
    both = [run(op, a, order, cotangents=[cotangent])[1] for op in (sa.take_along, sa.permute)]
    equal(both[0], both[1])
    equal(both[0], sa.permute(cotangent, inverse))


@given(seeds, lengths, shapes, st.lists(st.integers(0, 5), max_size=9))
def test_gathering_is_a_product_with_one_hot_rows(seed, n, width, rows):
    """And scattering, its backward, one with their transpose."""
    rng, indices = np.random.default_rng(seed), np.array(rows, int) % n
    table, one_hot = integers(rng, (n, *width)), np.eye(n)[indices]
    u = integers(rng, (len(rows), *width))
    out, dtable = run(sa.gather, table, indices, cotangents=[u])
    equal([out, dtable], [np.tensordot(one_hot, table, 1), np.tensordot(one_hot.T, u, 1)])
    unread = ~one_hot.any(0)
    assert (dtable[unread] == 0).all()


@given(seeds, lengths, lengths, shapes)
def test_an_embedding_gathers_rows_of_a_length_that_it_may_scale(seed, vocabulary, width, shape):
    rng = np.random.default_rng(seed)
    table, tokens = free(rng, (vocabulary, width)), rng.integers(0, vocabulary, size=shape)
    u = free(rng, (*shape, width))
    rows = run(sa.gather, table, tokens, cotangents=[u])
    equal(run(sa.embedding, table, tokens, cotangents=[u]), rows)
    scaled = run(sa.embedding, table, tokens, cotangents=[u], scaled=True)
    same(scaled, [width**0.5 * x for x in rows], 1e-15)


@given(seeds, shapes, shapes)
def test_a_sum_undoes_a_broadcast(seed, shape, more):
    """Up to the number of copies; and each is the other's backward."""
    a = integers(np.random.default_rng(seed), shape)
    up = {"shape": (*more, *shape)}
    axes = {"axis": tuple(range(len(more)))}
    equal(sa.sum(sa.broadcast_to(a, **up), **axes), a * prod(more))
    u = integers(np.random.default_rng(seed + 1), up["shape"])
    equal(run(sa.broadcast_to, a, cotangents=[u], **up)[1], sa.sum(u, **axes))
    equal(run(sa.sum, u, cotangents=[a], **axes)[1], sa.broadcast_to(a, **up))


@given(seeds, shapes, st.data())
def test_reductions_agree_with_each_other(seed, shape, data):
    assume(shape)
    a = integers(np.random.default_rng(seed), shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    total = sa.sum(a, axis=axis)
    same(sa.mean(a, axis=axis) * shape[axis], total, 1e-15)
    sums = sa.cumulative_sum(a, axis=axis)
    equal(np.take(sums, -1, axis), total)
    equal(np.diff(sums, axis=axis, prepend=0.0), a)
    largest = sa.max(a, axis=axis)
    assert (largest == a.max(axis)).all() and (largest >= sa.mean(a, axis=axis)).all()
    _, gradient = run(sa.max, a, cotangents=[np.ones_like(largest)], axis=axis)
    equal(gradient.sum(axis), np.ones_like(largest))
    assert (a[gradient > 0] == np.broadcast_to(np.expand_dims(largest, axis), shape)[gradient > 0]).all()


@given(seeds, batches, lengths, lengths, lengths, lengths)
def test_products_of_matrices(seed, batch, m, k, n, p):
    """(A B)^T = B^T A^T, (A B) C = A (B C), and backwards that are transposes: on whole numbers, exactly."""
    rng = np.random.default_rng(seed)
    a, b, c = (integers(rng, (*batch, *s)) for s in ((m, k), (k, n), (n, p)))
    ab = sa.matmul(a, b)
    equal(sa.matmul(b.swapaxes(-1, -2), a.swapaxes(-1, -2)), ab.swapaxes(-1, -2))
    equal(sa.matmul(ab, c), sa.matmul(a, sa.matmul(b, c)))
    equal(sa.matmul(a, np.eye(k)), a)
    u = integers(rng, ab.shape)
    _, da, db = run(sa.matmul, a, b, cotangents=[u])
    assert (u * ab).sum() == (da * a).sum() == (db * b).sum()
    shared = integers(rng, (k, n))
    out, da, db = run(sa.matmul, a, shared, cotangents=[u])
    assert (u * out).sum() == (da * a).sum() == (db * shared).sum()


# ---- numbers changed one by one ------------------------------------------------


@given(seeds, shapes, scales)
def test_arithmetic_undoes_itself(seed, shape, scale):
    rng = np.random.default_rng(seed)
    a, b = free(rng, shape, scale), np.asarray(positive(rng, shape, scale))
    same(sa.divide(sa.multiply(np.asarray(a), b), b), a, 1e-15)
    same(sa.exp(sa.log(b)), b, 1e-14)
    assert (abs(sa.log(sa.exp(np.asarray(a))) - a) <= 1e-15 * (1 + abs(a))).all()
    same(sa.multiply(sa.sqrt(b), sa.sqrt(b)), b, 1e-15)
    same(sa.power(b, np.asarray(2.0)), b * b, 1e-14)
    for n in (-3, -1, 0, 1, 2, 7):
        same(sa.integer_power(b, exponent=n), b**n, 1e-13)
    equal(sa.negate(sa.subtract(np.asarray(a), b)), sa.subtract(b, np.asarray(a)))


@given(seeds, shapes, st.sampled_from([0.1, 1.0, 10.0, 300.0]))
def test_activations_and_their_mirror_images(seed, shape, scale):
    """What an activation is at a says what it is at -a."""
    a = np.asarray(free(np.random.default_rng(seed), shape, scale))
    b = sa.negate(a)
    assert (abs(sa.sigmoid(a) + sa.sigmoid(b) - 1) <= 4e-16).all()
    equal(sa.tanh(b), -sa.tanh(a))
    assert (abs(sa.tanh(a) - (2 * sa.sigmoid(2 * a) - 1)) <= 1e-15).all()
    assert (abs(sa.softplus(a) - sa.softplus(b) - a) <= 1e-15 * (1 + abs(a))).all()
    equal(sa.oneplus(a), 1 + sa.softplus(a))
    equal(sa.relu(a) - sa.relu(b), a)
    equal(sa.maximum(a, b), abs(a))
    equal(sa.minimum(a, b), -abs(a))
    for form in ("erf", "tanh"):
        assert (abs(sa.gelu(a, form=form) - sa.gelu(b, form=form) - a) <= 1e-15 * (1 + abs(a))).all()
    assert (sa.softplus(a) >= sa.relu(a)).all() and (sa.gelu(a) <= sa.relu(a)).all()


@given(seeds, lengths, st.sampled_from([1.0, 10.0, 300.0]))
def test_activations_rise_and_stay_in_bounds(seed, n, scale):
    a = np.sort(free(np.random.default_rng(seed), n, scale))
    for name, low, high in (
        ("sigmoid", 0, 1),
        ("tanh", -1, 1),
        ("relu", 0, np.inf),
        ("softplus", 0, np.inf),
        ("oneplus", 1, np.inf),
    ):
        out, slope = run(REGISTRY[name], a, cotangents=[np.ones(n)])
        assert (np.diff(out) >= 0).all() and (low <= out).all() and (out <= high).all(), name
        assert (slope >= 0).all() and (slope <= 1).all(), name


@given(seeds, shapes, st.floats(-2, 2), st.floats(0, 3))
def test_a_clipped_number_is_the_nearest_within(seed, shape, low, width):
    a = np.asarray(free(np.random.default_rng(seed), shape, 2.0))
    out, gradient = run(sa.clip, a, cotangents=[np.ones(shape)], low=low, high=low + width)
    equal([out, gradient], [np.clip(a, low, low + width), 1.0 * ((a >= low) & (a <= low + width))])
    equal(sa.clip(np.asarray(out), low=low, high=low + width), out)
    _, back = run(sa.clip_cotangent, a, cotangents=[3 * a], limit=1.5)
    equal(back, np.clip(3 * a, -1.5, 1.5))
    assert not run(sa.stop_gradient, a, cotangents=[3 * a])[1].any()


# ---- layers -------------------------------------------------------------------


@st.composite
def rows(draw, least=3):
    """x, scale, shift."""
    rng, batch, d = np.random.default_rng(draw(seeds)), draw(batches), draw(st.integers(least, 8))
    return [free(rng, (*batch, d), draw(scales)), *free(rng, (2, d))]


@given(rows(), st.sampled_from(["variance", "deviation"]), st.booleans())
def test_normalised_rows_have_mean_zero_and_the_spread_that_eps_leaves(drawn, eps_on, unbiased):
    x, scale, shift = drawn
    out = sa.layer_norm(x, None, None, eps_on=eps_on, unbiased=unbiased, eps=1e-10)
    d = x.shape[-1]
    assert (abs(out.mean(-1)) <= 1e-15 * d).all()
    assert (abs((out**2).sum(-1) / (d - 1 if unbiased else d) - 1) <= 1e-6).all()
    affine = sa.layer_norm(x, scale, shift, eps_on=eps_on, unbiased=unbiased, eps=1e-10)
    same(affine, out * scale + shift, 1e-15)


@given(rows(), st.integers(-1000, 1000), st.integers(-20, 20))
def test_layer_norm_sees_neither_a_shift_nor_a_scale_of_its_features(drawn, shift, doublings):
    """The scale with that of eps: with its square under the root, with itself behind it."""
    x, *affine = drawn
    x = np.round(x * 2**20) / 2**20
    c = 2.0**doublings
    for eps_on, factor in (("variance", c * c), ("deviation", c)):
        here = sa.layer_norm(x, *affine, eps_on=eps_on, eps=1e-3)
        same(sa.layer_norm(x + shift, *affine, eps_on=eps_on, eps=1e-3), here, 1e-12)
        same(sa.layer_norm(c * x, *affine, eps_on=eps_on, eps=1e-3 * factor), here, 1e-15)


@given(rows(), seeds)
def test_the_gradient_of_layer_norm_is_orthogonal_to_what_it_does_not_see(drawn, seed):
    """To a shift of the features, and to their scale as far as eps lets."""
    x, *affine = drawn
    _, dx, *_ = run(sa.layer_norm, x, *affine, seed=seed, eps=1e-20)
    centred = x - x.mean(-1, keepdims=True)
    size = 1e-13 * (abs(dx).sum(-1) + 1)
    assert (abs(dx.sum(-1)) <= size).all()
    assert (abs((dx * centred).sum(-1)) <= size * abs(centred).max()).all()


@given(seeds, st.floats(1e-3, 10.0), st.sampled_from([1e-5, 1e-3]))
def test_two_features_keep_the_digits_that_eps_leaves(seed, size, eps):
    """Their gradient is eps / (v + eps) of what it would be, and is lost to as many digits."""
    x = size * np.random.default_rng(seed).normal(size=2)
    u = np.random.default_rng(seed + 1).normal(size=2)
    _, dx = run(sa.layer_norm, x, cotangents=[u], eps=eps)
    variance = ((x[0] - x[1]) / 2) ** 2
    exact = (u[0] - u[1]) / 2 * eps / (variance + eps) ** 1.5
    assert (abs(dx - [exact, -exact]) <= 1e-14 * (abs(exact) + abs(u).max() / np.sqrt(variance + eps))).all()


@given(calls(sa.lstm_cell, empty=False))
def test_an_lstm_shows_less_than_one_and_remembers_one_more_a_step(call):
    hidden, cell = call.function(*[call.inputs[i] for i in call.active])
    before = abs(call.inputs[2])
    assert (abs(hidden) <= 1).all() and (abs(cell) <= before + 1).all()
    assert (abs(hidden) <= np.tanh(before + 1) * (1 + 1e-15)).all()


@given(calls(sa.lstm_cell, empty=False), st.sampled_from(["kept", "forgotten", "replaced"]))
def test_gates_that_are_certain_keep_or_replace_the_cell(call, what):
    """Columns are input, forget, output, candidate; weights of zero leave the bias alone."""
    x, hidden, cell, input_weights, hidden_weights, bias = call.inputs
    h = cell.shape[-1]
    wide, shut = np.full(h, 1e3), np.full(h, -1e3)
    i, f = {"kept": (shut, wide), "forgotten": (shut, shut), "replaced": (wide, shut)}[what]
    candidate = bias[..., 3 * h :]
    gates = np.broadcast_to(np.concatenate([i, f, wide]), (*bias.shape[:-1], 3 * h))
    new_hidden, new_cell = sa.lstm_cell(
        x, hidden, cell, 0 * input_weights, 0 * hidden_weights, np.concatenate([gates, candidate], -1)
    )
    replaced = np.tanh(candidate)[..., None, :]
    expected = {"kept": cell, "forgotten": 0 * cell, "replaced": replaced}[what]
    same(new_cell, expected + 0 * new_cell, 1e-15)
    same(new_hidden, np.tanh(new_cell), 1e-15)


@given(seeds, shapes, st.sampled_from([0.0, 0.1, 0.5, 0.9]))
def test_dropout_keeps_the_mean(seed, shape, rate):
    """Over all masks, each as probable as it is: exactly, since they can be counted."""
    a = np.asarray(integers(np.random.default_rng(seed), shape))
    both = sa.dropout(a, np.array(True), rate=rate), sa.dropout(a, np.array(False), rate=rate)
    same((1 - rate) * both[0] + rate * both[1], a, 1e-15)
    keep = np.random.default_rng(seed).random(shape) < 1 - rate
    spoilt = np.where(keep, a, np.nan)
    out, gradient = run(sa.dropout, np.asarray(spoilt), np.asarray(keep), cotangents=[spoilt], rate=rate)
    equal([out, gradient], [np.where(keep, a, 0) / (1 - rate)] * 2)


def test_dropout_keeps_the_mean_of_many(rng):
    for rate in (0.1, 0.5, 0.9):
        out = sa.dropout(np.ones(200_000), rng.random(200_000) < 1 - rate, rate=rate)
        assert abs(out.mean() - 1) < 5 * np.sqrt(rate / (1 - rate) / 200_000)


# ---- losses -------------------------------------------------------------------


@given(seeds, shapes, st.sampled_from([1.0, 10.0, 300.0]))
def test_binary_cross_entropy_is_least_where_the_answer_is_right(seed, shape, scale):
    rng = np.random.default_rng(seed)
    logits, targets = np.asarray(free(rng, shape, scale)), np.asarray(gate(rng, shape, 2.0))
    loss, slope = run(sa.binary_cross_entropy, logits, targets, cotangents=[np.ones(shape)])
    entropy = -(targets * np.log(targets) + (1 - targets) * np.log1p(-targets))
    assert (loss >= entropy * (1 - 1e-13)).all()
    assert (abs(slope) <= 1).all()
    right = np.log(targets) - np.log1p(-targets)
    least, flat = run(sa.binary_cross_entropy, np.asarray(right), targets, cotangents=[np.ones(shape)])
    same(least, entropy, 1e-13)
    assert (abs(flat) <= 1e-14).all()
    sure = np.asarray(1.0 * (logits > 0))
    equal(sa.binary_cross_entropy(-logits, 1 - sure), sa.binary_cross_entropy(logits, sure))
    assert (sa.binary_cross_entropy(logits, sure) <= np.log(2)).all()
    assert (sa.binary_cross_entropy(1e4 * (2 * sure - 1), sure) == 0).all()


@given(seeds, batches, lengths, st.sampled_from([1.0, 10.0, 300.0]), st.integers(-500, 500))
def test_softmax_cross_entropy_is_minus_the_logarithm_of_a_softmax(seed, batch, c, scale, shift):
    rng = np.random.default_rng(seed)
    logits, classes = np.round(free(rng, (*batch, c), scale) * 1024) / 1024, rng.integers(0, c, size=batch)
    ones = np.ones(batch)
    loss, gradient = run(sa.softmax_cross_entropy, logits, classes, cotangents=[ones])
    assert (loss >= 0).all()
    logarithms = sa.log_softmax(logits)
    same(loss, -np.take_along_axis(logarithms, np.asarray(classes)[..., None], -1)[..., 0], 1e-14)
    one_hot = np.eye(c)[classes]
    assert (abs(gradient - (sa.softmax(logits) - one_hot)) <= 1e-15).all()
    assert (abs(gradient.sum(-1)) <= 1e-15).all() and (gradient * (one_hot - 0.5) <= 0).all()
    equal(sa.softmax_cross_entropy(logits + shift, classes), loss)
    assert (sa.softmax_cross_entropy(1e4 * one_hot, classes) == 0).all()
    same(sa.softmax_cross_entropy(0 * logits, classes), ones * np.log(c), 1e-15)


@given(seeds, lengths, st.sampled_from([1.0, 10.0, 100.0]))
def test_two_classes_are_one_bit(seed, n, scale):
    """The loss of two classes is that of the difference of their logits."""
    logits = free(np.random.default_rng(seed), (n, 2), scale)
    classes = np.random.default_rng(seed).integers(0, 2, size=n)
    found = sa.softmax_cross_entropy(logits, classes)
    truth = sa.binary_cross_entropy(logits[:, 1] - logits[:, 0], 1.0 * classes)
    assert (abs(found - truth) <= 1e-13 * abs(truth)).all()


@given(seeds, batches, lengths, scales)
def test_mean_squared_error_is_a_distance(seed, batch, n, scale):
    rng = np.random.default_rng(seed)
    one, two = (free(rng, (*batch, n), scale) for _ in range(2))
    loss, done, dtwo = run(sa.mean_squared_error, one, two, cotangents=[np.ones(batch)])
    assert (loss >= 0).all()
    equal(loss, sa.mean_squared_error(two, one))
    equal(done, -dtwo)
    assert not sa.mean_squared_error(one, one).any()
    same(sa.mean_squared_error(2 * one, 2 * two), 4 * loss, 1e-15)
    same((done * (one - two)).sum(-1), 2 * loss, 1e-14)
