"""Addressing a memory: by content, by shift, by focus.  What holds between one call and another."""

import numpy as np
from drawing import (
    above_one,
    assume,
    batches,
    drawn_like,
    equal,
    free,
    gate,
    given,
    lengths,
    positive,
    run,
    same,
    scales,
    seeds,
    simplex,
    st,
)  # fmt: skip

from scratchattn import (
    circular_shift,
    cosine_addressing,
    interpolation,
    scalar_shift,
    sharpening,
)
from scratchattn.similarity import FORMS

forms = st.sampled_from(sorted(FORMS))
layouts = st.sampled_from(["minus_to_plus", "plus_to_minus", "fft"])
EPS_POWER = {  # how eps must grow with the lengths for nothing to change: a length, a product, its square
    "added": 2, "clamped": 1, "clamped_product": 2, "none": 0, "normalised": 2, "smoothed": 2,
    "smoothed_added": 2, "smoothed_product": 4,
}  # fmt: skip


# ---- content ----------------------------------------------------------------


@st.composite
def contents(draw):
    """key, memory, strength of at least two features, none of them short."""
    h, n, w, batch = draw(st.integers(1, 3)), draw(lengths), draw(st.integers(2, 5)), draw(batches)
    rng, scale = np.random.default_rng(draw(seeds)), draw(scales)
    key, memory = (free(rng, (*batch, m, w)) for m in (h, n))
    for x in (key, memory):  # lengths from a half on: eps stays small beside them
        x *= np.maximum(1.0, 0.5 / np.sqrt((x * x).sum(-1, keepdims=True)))
    return [key, memory, positive(rng, (*batch, h), scale)]


def test_every_form_has_a_power_of_eps():
    assert set(EPS_POWER) == set(FORMS)


@given(contents(), forms)
def test_content_weights_are_on_the_simplex(drawn, form):
    weights = cosine_addressing(*drawn, form=form)
    assert (weights >= 0).all() and (abs(weights.sum(-1) - 1) <= 1e-15 * weights.shape[-1]).all()


@given(contents(), forms, st.integers(-30, 30))
def test_a_common_scale_of_key_memory_and_eps_changes_nothing(drawn, form, doublings):
    """To the bit, since doubling is exact; the gradients shrink by as much."""
    key, memory, strength = drawn
    c = 2.0**doublings
    here = run(cosine_addressing, *drawn, form=form, eps=1e-3)
    there = run(cosine_addressing, c * key, c * memory, strength, form=form, eps=1e-3 * c ** EPS_POWER[form])
    same([there[0], c * there[1], c * there[2], there[3]], here, 1e-15)


@given(contents(), st.integers(-300, 300), st.integers(-300, 300))
def test_without_eps_only_directions_count(drawn, doublings, others):
    """Key and memory scaled each by itself, also far out of the range in which squares are numbers."""
    key, memory, strength = drawn
    here = cosine_addressing(*drawn, form="none")
    same(cosine_addressing(2.0**doublings * key, 2.0**others * memory, strength, form="none"), here, 1e-15)
    same(cosine_addressing(-key, -memory, strength, form="none"), here, 1e-15)


@given(contents(), seeds, st.sampled_from(["none", "clamped", "clamped_product", "normalised"]))
def test_the_gradient_of_content_is_orthogonal_to_what_it_turns(drawn, seed, form):
    """Longer vectors of the same direction change nothing, so no gradient points along key or row.

    In the forms whose eps is out of play at these lengths.
    """
    _, dkey, dmemory, _ = run(cosine_addressing, *drawn, seed=seed, form=form, eps=1e-6)
    for gradient, x in ((dkey, drawn[0]), (dmemory, drawn[1])):
        size = np.sqrt((gradient**2).sum(-1) * (x**2).sum(-1)) + drawn[2].max()
        assert (abs((gradient * x).sum(-1)) <= 1e-13 * size).all()


@given(contents(), seeds, st.sampled_from(["smoothed", "added", "smoothed_product", "smoothed_added"]))
def test_what_eps_leaves_of_the_length_is_of_its_size(drawn, seed, form):
    """The same where eps is at work: along the key, the gradient vanishes with eps."""
    sizes = []
    for eps in (1e-4, 1e-6):
        _, dkey, _, _ = run(cosine_addressing, *drawn, seed=seed, form=form, eps=eps)
        sizes.append(abs((dkey * drawn[0]).sum(-1)).max())
        assert sizes[-1] <= 40 * eps * (1 + drawn[2].max()) * drawn[1].shape[-2]
    assert sizes[1] <= 0.02 * sizes[0] + 1e-13 * (1 + drawn[2].max())


@given(contents(), seeds, forms)
def test_a_rotation_of_all_vectors_changes_nothing(drawn, seed, form):
    key, memory, strength = drawn
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(key.shape[-1],) * 2))
    turned = cosine_addressing(key @ rotation, memory @ rotation, strength, form=form)
    assert abs(turned - cosine_addressing(*drawn, form=form)).max() <= 1e-14 * (10 + strength.max())


@given(contents(), seeds, forms)
def test_the_order_of_rows_and_of_heads_is_irrelevant(drawn, seed, form):
    key, memory, strength = drawn
    rng = np.random.default_rng(seed)
    rows, heads = rng.permutation(memory.shape[-2]), rng.permutation(key.shape[-2])
    weights = cosine_addressing(*drawn, form=form)
    moved = cosine_addressing(key[..., heads, :], memory[..., rows, :], strength[..., heads], form=form)
    same(moved, weights[..., heads, :][..., rows], 1e-13)


@given(contents(), forms)
def test_strength_says_how_much_the_best_row_gets(drawn, form):
    """None at strength 0, more with every increase, all of it in the end."""
    key, memory, strength = drawn
    none, one, more, most = (
        cosine_addressing(key, memory, 0 * strength + b, form=form) for b in (0, 1, 1.5, 1e4)
    )
    same(none, 0 * none + 1 / none.shape[-1], 1e-15)
    assert (more.max(-1) >= one.max(-1) * (1 - 1e-14)).all()
    logits = np.log(one / one.max(-1, keepdims=True))
    clear = (logits == 0) | (logits < -0.01)
    assert (abs(most - (logits == 0))[clear.all(-1)] < 1e-40).all()


@given(contents(), seeds)
def test_a_row_is_found_by_its_own_direction(drawn, seed):
    _, memory, _ = drawn
    wanted = np.random.default_rng(seed).integers(0, memory.shape[-2])
    strength = np.full((*memory.shape[:-2], 1), 50.0)
    weights = cosine_addressing(3.0 * memory[..., [wanted], :], memory, strength, form="none")
    assert (weights.argmax(-1) == wanted).all()


# ---- shift ------------------------------------------------------------------


@st.composite
def shifts(draw):
    """A weighting and a distribution over an odd number of offsets."""
    rng, scale, batch = np.random.default_rng(draw(seeds)), draw(scales), draw(batches)
    n, s = draw(lengths), draw(st.sampled_from([1, 3, 5]))
    return [simplex(rng, (*batch, n), scale), simplex(rng, (*batch, s), scale)]


def by(offset, s, like):
    """A shift of ``s`` entries that moves by ``offset`` and nothing else."""
    return np.broadcast_to(np.eye(s)[offset + s // 2], (*like.shape[:-1], s))


@given(shifts(), layouts)
def test_a_shift_keeps_mass(drawn, layout):
    moved = circular_shift(*drawn, layout=layout)
    assert (moved >= 0).all() and (abs(moved.sum(-1) - 1) <= 1e-14).all()
    fallen = circular_shift(*drawn, layout=layout, boundary="zero")
    assert (fallen <= moved + 1e-15).all()


@given(shifts(), st.integers(-9, 9), layouts)
def test_what_is_turned_before_is_turned_after(drawn, turn, layout):
    """Shift equivariance, to the bit: the sums are the same sums."""
    weights, shift = drawn
    moved = circular_shift(*drawn, layout=layout)
    equal(circular_shift(np.roll(weights, turn, -1), shift, layout=layout), np.roll(moved, turn, -1))


@given(shifts(), st.integers(-2, 2))
def test_plus_one_moves_from_row_i_to_row_i_plus_one(drawn, offset):
    """And the opposite shift brings it back."""
    weights, _ = drawn
    there = circular_shift(weights, by(offset, 5, weights))
    equal(there, np.roll(weights, offset, -1))
    equal(circular_shift(there, by(-offset, 5, weights)), weights)
    beyond = circular_shift(weights, by(offset, 5, weights), boundary="zero")
    for i in range(weights.shape[-1]):
        inside = 0 <= i - offset < weights.shape[-1]
        equal(beyond[..., i], weights[..., i - offset] if inside else 0 * beyond[..., i])


@given(shifts(), st.integers(1, 6), st.integers(0, 5))
def test_entries_count_from_the_smallest_offset(drawn, s, entry):
    """Of an even number of offsets one more lies ahead; in the layout fft, one more behind."""
    weights, _ = drawn
    entry %= s
    shift = np.broadcast_to(np.eye(s)[entry], (*weights.shape[:-1], s))
    equal(circular_shift(weights, shift), np.roll(weights, entry - (s - 1) // 2, -1))
    mirrored = circular_shift(weights, shift, layout="plus_to_minus")
    equal(mirrored, np.roll(weights, (s - 1 - entry) - (s - 1) // 2, -1))
    ahead = entry if entry < (s + 1) // 2 else entry - s
    equal(circular_shift(weights, shift, layout="fft"), np.roll(weights, ahead, -1))


@given(shifts())
def test_layouts_are_orders_of_one_shift(drawn):
    weights, shift = drawn
    expected = circular_shift(weights, shift)
    same(circular_shift(weights, shift[..., ::-1], layout="plus_to_minus"), expected, 1e-15)
    half = shift.shape[-1] // 2
    ahead_first = np.concatenate([shift[..., half:], shift[..., :half]], -1)
    same(circular_shift(weights, ahead_first, layout="fft"), expected, 1e-15)


@given(shifts(), seeds)
def test_a_shift_is_a_product_of_fourier_transforms(drawn, seed):
    """With an entry for every row the layout fft is the circular convolution of equation 8."""
    weights, _ = drawn
    full = np.random.default_rng(seed).random(weights.shape)
    expected = np.fft.ifft(np.fft.fft(weights) * np.fft.fft(full)).real
    assert abs(circular_shift(weights, full, layout="fft") - expected).max() <= 1e-14 * weights.shape[-1]


@given(shifts(), seeds, st.sampled_from(["circular", "zero"]))
def test_the_gradient_of_a_shift_is_the_shift_back(drawn, seed, boundary):
    weights, shift = drawn
    cotangent = np.random.default_rng(seed).normal(size=weights.shape)
    _, dweights, _ = run(circular_shift, *drawn, cotangents=[cotangent], boundary=boundary)
    back = circular_shift(cotangent, shift, layout="plus_to_minus", boundary=boundary)
    same(dweights, back, 1e-14)


@given(shifts(), seeds)
def test_two_shifts_commute(drawn, seed):
    weights, shift = drawn
    other = simplex(np.random.default_rng(seed), shift.shape)
    one, two = (circular_shift(circular_shift(weights, a), b) for a, b in ((shift, other), (other, shift)))
    same(one, two, 1e-14)


@given(shifts(), st.floats(-2, 1.999, allow_subnormal=False), st.sampled_from([1, -1]))
def test_a_shift_by_a_number_is_one_by_a_distribution(drawn, amount, sign):
    """The two offsets that the number lies between, each with what is missing to the other."""
    weights, _ = drawn
    whole = int(np.floor(sign * amount))
    part = sign * amount - whole
    assume(-2 <= whole <= 1)
    shift = (1 - part) * by(whole, 5, weights) + part * by(whole + 1, 5, weights)
    found = scalar_shift(weights, np.asarray(amount), sign=sign)
    same(found, circular_shift(weights, shift), 1e-15)


@given(shifts(), st.integers(-40, 40), st.floats(-3, 3))
def test_whole_shifts_by_numbers_add_up_and_come_back(drawn, whole, amount):
    weights, _ = drawn
    n = weights.shape[-1]
    turned = scalar_shift(weights, np.asarray(float(whole)))
    equal(turned, np.roll(weights, whole, -1))
    equal(scalar_shift(turned, np.asarray(float(-whole))), weights)
    equal(scalar_shift(turned, np.asarray(float(whole)), sign=-1), weights)
    once = scalar_shift(weights, np.asarray(amount))
    same(scalar_shift(turned, np.asarray(amount)), np.roll(once, whole, -1), 1e-15)
    assert (abs(once.sum(-1) - 1) <= 1e-14).all() and once.shape[-1] == n


@given(shifts(), st.floats(-3, 3), seeds)
def test_a_shift_by_a_number_is_a_mean_of_two_rows(drawn, amount, seed):
    """So it stays between the smallest and the largest weight, and its slope is their difference."""
    weights, _ = drawn
    moved, _, damount = run(scalar_shift, weights, np.full(weights.shape[:-1], amount), seed=seed)
    assert (moved <= weights.max(-1, keepdims=True) * (1 + 1e-15)).all()
    assert (moved >= weights.min(-1, keepdims=True) * (1 - 1e-15)).all()
    cotangent = drawn_like(np.random.default_rng((seed, 1)), [moved])[0]
    whole = int(np.floor(amount))
    step = np.roll(weights, whole + 1, -1) - np.roll(weights, whole, -1)
    assert (abs(damount - (cotangent * step).sum(-1)) <= 1e-14 * (1 + abs(cotangent).sum(-1))).all()


# ---- interpolation and focus --------------------------------------------------


@st.composite
def weightings(draw, least=1):
    """Two weightings, a gate and a sharpness for each."""
    rng, scale, batch = np.random.default_rng(draw(seeds)), draw(scales), draw(batches)
    n = draw(st.integers(least, 6))
    both = [simplex(rng, (*batch, n), scale) for _ in range(2)]
    return [*both, np.asarray(gate(rng, batch, scale)), np.asarray(above_one(rng, batch, scale))]


@given(weightings())
def test_an_interpolation_lies_between(drawn):
    content, previous, opened, _ = drawn
    weights = interpolation(content, previous, opened)
    assert (weights <= np.maximum(content, previous) * (1 + 4e-16)).all()
    assert (weights >= np.minimum(content, previous) * (1 - 4e-16)).all()
    assert (abs(weights.sum(-1) - 1) <= 1e-14).all()
    equal(interpolation(content, previous, 0 * opened + 1), content)
    equal(interpolation(content, previous, 0 * opened), previous)
    shut = 1 - opened
    equal(interpolation(previous, content, shut, opened), interpolation(content, previous, opened, shut))


@given(weightings(), seeds)
def test_a_given_complement_shares_the_gradient_of_the_gate(drawn, seed):
    content, previous, opened, _ = drawn
    alone = run(interpolation, content, previous, opened, None, seed=seed)
    shared = run(interpolation, content, previous, opened, np.asarray(1 - opened), seed=seed)
    same(shared[:3], alone[:3], 1e-15)
    assert (abs(shared[3] - shared[4] - alone[3]) <= 1e-14 * (1 + abs(shared[3]))).all()


@given(weightings())
def test_a_sharpness_of_one_is_the_identity(drawn):
    weights, _, _, sharpness = drawn
    assert (abs(sharpening(weights, 0 * sharpness + 1) - weights) <= 4e-15 * weights).all()


@given(weightings())
def test_sharpening_raises_the_peak_and_keeps_the_order(drawn):
    weights, _, _, sharpness = drawn
    sharp = sharpening(weights, sharpness)
    assert (abs(sharp.sum(-1) - 1) <= 1e-14).all()
    assert (sharp.max(-1) >= weights.max(-1) * (1 - 1e-14)).all()
    assert (sharp.min(-1) <= weights.min(-1) * (1 + 1e-14)).all()
    before, after = (x[..., :, None] - x[..., None, :] for x in (weights, sharp))
    assert (before * after >= 0).all()


@given(weightings())
def test_sharpening_twice_is_sharpening_by_the_product(drawn):
    weights, _, opened, sharpness = drawn
    other = 1 + 2 * opened
    twice, once = sharpening(sharpening(weights, sharpness), other), sharpening(weights, sharpness * other)
    assert (abs(twice - once) <= 1e-13 * (1 + sharpness * other)[..., None]).all()


@given(weightings(), st.integers(-200, 200), seeds)
def test_sharpening_does_not_see_the_scale(drawn, doublings, seed):
    """To the bit.  So its gradient has nothing along the weights."""
    weights, _, _, sharpness = drawn
    equal(sharpening(2.0**doublings * weights, sharpness), sharpening(weights, sharpness))
    _, dweights, _ = run(sharpening, weights, sharpness, seed=seed)
    assert (
        abs((dweights * weights).sum(-1)) <= 4e-15 * sharpness * (1 + abs(dweights * weights).sum(-1))
    ).all()


@given(weightings(), seeds)
def test_sharpening_does_not_see_the_order_of_rows(drawn, seed):
    weights, _, _, sharpness = drawn
    order = np.random.default_rng(seed).permutation(weights.shape[-1])
    same(sharpening(weights[..., order], sharpness), sharpening(weights, sharpness)[..., order], 1e-14)
    uniform = 0 * weights + 0.37
    same(sharpening(uniform, sharpness), 0 * weights + 1 / weights.shape[-1], 1e-15)


@given(weightings(least=2), seeds)
def test_a_row_of_weight_zero_stays_so_and_changes_no_other(drawn, seed):
    weights, _, _, sharpness = drawn
    gone = np.random.default_rng(seed).integers(0, weights.shape[-1])
    weights[..., gone] = 0.0
    sharp = sharpening(weights, sharpness)
    assert (sharp[..., gone] == 0).all()
    same(np.delete(sharp, gone, -1), sharpening(np.delete(weights, gone, -1), sharpness), 1e-15)


@given(weightings(least=2))
def test_a_large_sharpness_leaves_the_largest_weight_alone(drawn):
    weights, _, _, sharpness = drawn
    rising = np.sort(weights, -1)
    assume((rising[..., -2] < 0.99 * rising[..., -1]).all())
    equal(sharpening(weights, 0 * sharpness + 1e6), 1.0 * (weights == weights.max(-1, keepdims=True)))
