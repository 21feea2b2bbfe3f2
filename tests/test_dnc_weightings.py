"""Where a DNC writes and reads: worked numbers, edges, and the orders of the read modes that are in use."""

import numpy as np
import pytest
from adjoint import hessian_is_symmetric, is_the_adjoint
from drawing import batches, below_simplex, equal, free, gate, given, run, same, seeds, simplex, st

import scratchattn as sa
from scratchattn import (
    cosine_addressing,
    directional_weightings,
    dnc_read_weighting,
    dnc_write_weighting,
    memory_write,
    sharpening,
)
from scratchattn.nn.dnc_addressing import content_weightings
from scratchattn.nn.dnc_convention import DNCConvention

FREE, ALIKE = np.array([0.5, 0.25, 0.125]), np.array([0.1, 0.2, 0.7])
CSORDAS = DNCConvention(masked=True, form="added")
LINK_EPS = CSORDAS.link_eps


# ---- writing ----------------------------------------------------------------


def test_a_write_weighting_worked_by_hand():
    """g_w = 1/2, g_a = 3/4: half of three quarters of the allocation and a quarter of the content."""
    weights, saved = dnc_write_weighting.forward(FREE, ALIKE, np.array(0.75), np.array(0.5))
    np.testing.assert_allclose(weights, [0.2, 0.11875, 0.134375], rtol=1e-15)
    gradients = dnc_write_weighting.backward(saved, np.array([1.0, 0.0, 0.0]))
    for found, expected in zip(gradients, ([0.375, 0, 0], [0.125, 0, 0], 0.2, 0.4, None), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-15) if found is not None else None


def test_a_write_gate_of_zero_writes_nothing_and_passes_a_gradient_to_itself_alone():
    weights, *gradients = run(dnc_write_weighting, FREE, ALIKE, np.array(0.3), np.array(0.0))
    assert (weights == 0).all()
    assert not any(g.any() for g in gradients[:3]) and gradients[3] != 0


def test_with_every_row_in_use_only_the_content_is_written():
    """Edge case: the allocation is zero, and the weights sum to g_w (1 - g_a) and not to g_w."""
    weights = dnc_write_weighting(0 * FREE, ALIKE, np.array(0.75), np.array(0.5))
    np.testing.assert_allclose(weights.sum(), 0.125, rtol=1e-15)


def test_the_complement_keeps_the_digits_of_a_gate_that_is_almost_open():
    """At a logit of 40 the gate is one, and what is left for the content 4.2e-18: 1 - gate is zero."""
    left = np.array(np.exp(-40.0) / (1 + np.exp(-40.0)))
    nothing, whole = 0 * FREE, np.array(1.0)
    equal(dnc_write_weighting(nothing, ALIKE, whole, whole), nothing)
    same(dnc_write_weighting(nothing, ALIKE, whole, whole, left), left * ALIKE, 1e-15)


@given(seeds, batches, st.integers(1, 5))
def test_heads_are_written_each_alone(seed, batch, n):
    rng = np.random.default_rng(seed)
    weightings = [simplex(rng, (*batch, 3, n)) for _ in range(2)]
    gates = [gate(rng, (*batch, 3)) for _ in range(2)]
    whole = dnc_write_weighting(*weightings, *gates)
    for h in range(3):
        alone = dnc_write_weighting(*[x[..., h, :] for x in weightings], *[x[..., h] for x in gates])
        equal(whole[..., h, :], alone)


# ---- reading ----------------------------------------------------------------

BACK, ONWARDS = np.array([[[0.0, 1.0, 0.0]]]), np.array([[[0.0, 0.0, 0.5]]])
BY_CONTENT, MODES = np.array([[0.25, 0.5, 0.25]]), np.array([[0.5, 0.25, 0.25]])


@pytest.mark.parametrize(
    "order, expected",
    [
        ("backward_content_forward", [0.0625, 0.625, 0.1875]),  # 0.5 b + 0.25 c + 0.25 f
        ("backward_forward_content", [0.0625, 0.625, 0.1875]),  # these two weigh c and f alike
        ("forward_content_backward", [0.0625, 0.375, 0.3125]),  # 0.5 f + 0.25 c + 0.25 b
        ("content_backward_forward", [0.125, 0.5, 0.25]),  # 0.5 c + 0.25 b + 0.25 f
    ],
)
def test_a_read_weighting_worked_by_hand(order, expected):
    equal(dnc_read_weighting(BY_CONTENT, ONWARDS, BACK, MODES, order=order), [expected])


def test_read_modes_of_several_write_heads_stand_as_deepmind_has_them():
    """Back along each link, onwards along each, then by content: one mode at a time picks one weighting."""
    rng = np.random.default_rng(0)
    content, onwards, back = (simplex(rng, shape) for shape in ((1, 4), (2, 1, 4), (2, 1, 4)))
    (deepmind,) = [v.params for v in dnc_read_weighting.variants if v.name == "deepmind"]
    for mode, expected in enumerate((back[0], back[1], onwards[0], onwards[1], content)):
        modes = np.eye(5)[[mode]]
        equal(dnc_read_weighting(content, onwards, back, modes, **deepmind), expected)


def test_reading_adncs_names_swapped_is_either_of_two_settings():
    """joergfranke/ADNC calls L^T r forward: swapped names in the paper's order, or the paper's in another."""
    rng = np.random.default_rng(0)
    link, read = gate(rng, (4, 4)) / 4, below_simplex(rng, (2, 4))
    content, modes = simplex(rng, (2, 4)), simplex(rng, (2, 3))
    swapped = directional_weightings(link, read, direction="swapped")
    paper = directional_weightings(link, read)
    (adnc,) = [v.params for v in dnc_read_weighting.variants if v.name == "adnc"]
    one = dnc_read_weighting(content, *[w[None] for w in swapped], modes)
    other = dnc_read_weighting(content, *[w[None] for w in paper], modes, **adnc)
    same(one, other, 1e-15)


def test_a_head_that_follows_empty_links_reads_nothing():
    """Edge case: the weights sum to less than one, here to the content's share."""
    weights = dnc_read_weighting(BY_CONTENT, 0 * ONWARDS, 0 * BACK, MODES)
    equal(weights, 0.25 * BY_CONTENT)


@given(seeds, batches, st.integers(0, 3), st.integers(1, 3), st.integers(1, 5))
def test_every_order_is_the_papers_with_its_modes_permuted(seed, batch, k, h, n):
    rng = np.random.default_rng(seed)
    content, modes = simplex(rng, (*batch, h, n)), simplex(rng, (*batch, h, 1 + 2 * k))
    onwards, back = (below_simplex(rng, (*batch, k, h, n)) for _ in range(2))
    parts = {"backward": modes[..., :k], "content": modes[..., k : k + 1], "forward": modes[..., k + 1 :]}
    expected = dnc_read_weighting(content, onwards, back, modes)
    for variant in dnc_read_weighting.variants:
        there = np.concatenate([parts[name] for name in variant.params["order"].split("_")], axis=-1)
        equal(dnc_read_weighting(content, onwards, back, there, **variant.params), expected)


@pytest.mark.parametrize(
    "modes, order, told",
    [
        (np.ones((1, 2)), "backward_content_forward", r"modes must have 1 \+ 2k entries, got 2 for k = 1"),
        (MODES, "bcf", "order must be one of backward_content_forward, .*, got 'bcf'"),
        (MODES, ["backward"], r"order must be one of .*, got \['backward'\]"),
    ],
)
def test_wrong_modes_are_named(modes, order, told):
    with pytest.raises(ValueError, match=f"^dnc_read_weighting: {told}"):
        dnc_read_weighting(BY_CONTENT, ONWARDS, BACK, modes, order=order)


# ---- links, sharpened (Csordas and Schmidhuber) -----------------------------


def sharpened(weights, power):
    """As RobertCsordas/dnc has it: raised after a division by the largest."""
    base = weights + LINK_EPS
    base = (base / base.max(-1, keepdims=True)) ** np.asarray(power)[..., None]
    return base / base.sum(-1, keepdims=True)


@given(seeds, st.integers(1, 6))
def test_sharpened_links_are_csordas_formula(seed, n):
    rng = np.random.default_rng(seed)
    weights, power = below_simplex(rng, (3, n)), 1 + rng.gamma(1.0, size=3)
    same(sharpening(weights, power, base_eps=LINK_EPS), sharpened(weights, power), 1e-13)


@pytest.mark.parametrize("power", [0.0, 1.0, 3.5, 50.0])
def test_an_empty_link_sharpened_is_uniform(power):
    """Edge case: to the bit, with finite gradients, whatever the power."""
    weights, dweights, dpower = run(sharpening, np.zeros((2, 4)), np.full(2, power), base_eps=LINK_EPS)
    equal(weights, np.full((2, 4), 0.25))
    assert np.isfinite(dweights).all() and (dpower == 0).all()


def test_sharpening_links_does_not_look_at_their_size():
    """Of degree zero in d + eps: the gradient is orthogonal to it."""
    weights = np.array([0.3, 0.05, 0.0, 0.2])
    _, dweights, _ = run(sharpening, weights, np.array(2.5), base_eps=LINK_EPS)
    terms = dweights * (weights + LINK_EPS)
    assert abs(terms.sum()) <= 1e-15 * abs(terms).sum()
    doubled = 2 * (weights + LINK_EPS) - LINK_EPS
    same(sharpening(doubled, np.array(2.5), base_eps=LINK_EPS), sharpened(weights, 2.5), 1e-14)


# ---- masked content ---------------------------------------------------------


def masked(keys, memory, strengths, masks):
    """softmax_i(strength cos(key mask, M_i mask)) of each head, with 1e-6 added to the product of lengths."""
    out = []
    for key, strength, mask in zip(keys, strengths, masks, strict=True):
        seen, asked = memory * mask, key * mask
        lengths = np.sqrt((seen**2).sum(-1)) * np.sqrt((asked**2).sum()) + 1e-6
        e = np.exp(strength * (seen @ asked) / lengths)
        out.append(e / e.sum())
    return np.array(out)


def looked_up(seed=0, heads=2, rows=5, width=3):
    rng = np.random.default_rng(seed)
    shapes = (heads, width), (rows, width), (heads,)
    keys, memory, strengths = (rng.normal(size=(1, *shape)) for shape in shapes)
    return keys, memory, 1 + abs(strengths), rng.uniform(size=(1, heads, width))


def test_masked_content_is_csordas_formula():
    keys, memory, strengths, masks = looked_up()
    found = content_weightings(keys, memory, strengths, masks, CSORDAS)
    same(found[0], masked(keys[0], memory[0], strengths[0], masks[0]), 1e-14)


def test_the_gradients_of_masked_content_are_right():
    lookup = lambda *inputs: content_weightings(*inputs, CSORDAS)
    is_the_adjoint(lookup, *looked_up())
    hessian_is_symmetric(lookup, *looked_up())


def test_a_mask_of_ones_is_no_mask():
    keys, memory, strengths, masks = looked_up()
    plain = cosine_addressing(keys, memory, strengths, form="added", eps=1e-6)
    same(content_weightings(keys, memory, strengths, 0 * masks + 1, CSORDAS), plain, 1e-15)
    equal(content_weightings(keys, memory, strengths, None, CSORDAS), plain)


@pytest.mark.parametrize("form", ["added", "smoothed", "none"])
def test_a_mask_of_zeros_everywhere_looks_everywhere_alike(form):
    """Edge case: all scores are zero, the weights uniform, and every gradient a number."""
    keys, memory, strengths, masks = looked_up()
    convention = DNCConvention(masked=True, form=form)
    lookup = lambda *inputs: content_weightings(*inputs, convention)
    found, *gradients = run_composition(lookup, keys, memory, strengths, 0 * masks)
    equal(found, np.full(found.shape, 1 / memory.shape[1]))
    assert all(np.isfinite(g).all() for g in gradients)


def test_a_masked_column_is_not_compared():
    keys, memory, strengths, masks = looked_up()
    masks = np.ones_like(masks) * [1.0, 0.0, 1.0]
    changed = memory + [0.0, 100.0, 0.0]
    equal(*[content_weightings(keys, m, strengths, masks, CSORDAS) for m in (memory, changed)])


def test_a_mask_of_the_memory_alone_leaves_the_key_as_it_is():
    keys, memory, strengths, masks = looked_up(heads=1)
    alone = DNCConvention(masked=True, mask_keys=False, form="none")
    found = content_weightings(keys, memory, strengths, masks, alone)
    same(found, cosine_addressing(keys, memory * masks, strengths, form="none"), 1e-15)


def run_composition(function, *inputs):
    out, pullback = sa.vjp(function, *inputs)
    return [out, *pullback(np.random.default_rng(1).normal(size=out.shape))]


# ---- content de-allocated ---------------------------------------------------


def test_de_allocation_before_the_write_is_csordas_erase_matrix():
    """M psi 1^T (E - w e^T) + w v^T, entry by entry."""
    rng = np.random.default_rng(0)
    memory, kept = free(rng, (5, 3)), gate(rng, (5, 1))
    weights, erase, vector = simplex(rng, (1, 5)), gate(rng, (1, 3)), free(rng, (1, 3))
    expected = memory * (kept * (1 - weights.T @ erase)) + weights.T @ vector
    same(memory_write(memory * kept, weights, erase, vector), expected, 1e-15)
