"""Second opinions on the NTM's addressing: plain NumPy, published numbers, directions, edges."""

from functools import partial

import numpy as np
import pytest

from scratchattn.ops.circular_shift import circular_shift
from scratchattn.ops.cosine_addressing import cosine_addressing
from scratchattn.ops.interpolation import interpolation
from scratchattn.ops.scalar_shift import scalar_shift
from scratchattn.ops.sharpening import sharpening
from scratchattn.similarity import FORMS, cosine, cosine_backward
from scratchattn.tape import vjp

OPS = (cosine_addressing, circular_shift, scalar_shift, sharpening, interpolation)
VARIANTS = {v.name: v.params for v in cosine_addressing.variants}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def one_hot(n, i):
    return np.eye(n)[i]


# ---- all four together ------------------------------------------------------


def addressed(key, memory, strength, gate, previous, shift, sharpness):
    content = cosine_addressing(key, memory, strength)
    return sharpening(circular_shift(interpolation(content, previous, gate), shift), sharpness)


def addressed_in_numpy(key, memory, strength, gate, previous, shift, sharpness):
    """Equations 5 to 9 for (h, w), (n, w), (h), (h), (h, n), (h, 3), (h); takes complex numbers."""
    lengths = np.sqrt((key**2).sum(-1) + 1e-6)[:, None] * np.sqrt((memory**2).sum(-1) + 1e-6)
    content = np.exp(strength[:, None] * (key @ memory.T) / lengths)
    content = content / content.sum(-1, keepdims=True)
    gated = gate[:, None] * content + (1 - gate[:, None]) * previous
    n, moved = len(memory), np.zeros_like(gated)
    for i in range(n):
        for offset in (-1, 0, 1):
            moved[:, i] += gated[:, (i - offset) % n] * shift[:, offset + 1]
    powers = moved ** sharpness[:, None]
    return powers / powers.sum(-1, keepdims=True)


def test_addressing_is_equations_5_to_9_and_so_is_its_gradient(rng):
    shapes = (2, 3), (5, 3), (2,), (2,), (2, 5), (2, 3), (2,)
    inputs = [rng.uniform(0.1, 1.0, size=shape) for shape in shapes]
    inputs[0], inputs[1], inputs[6] = inputs[0] - 0.5, inputs[1] - 0.5, inputs[6] + 1
    out, pullback = vjp(addressed, *inputs)
    np.testing.assert_allclose(out, addressed_in_numpy(*inputs), rtol=1e-14)
    cotangent = rng.normal(size=out.shape)
    for which, gradient in enumerate(pullback(cotangent)):
        for index in np.ndindex(gradient.shape):
            stepped = [x.astype(complex) for x in inputs]
            stepped[which][index] += 1e-100j
            slope = (cotangent * addressed_in_numpy(*stepped).imag).sum() / 1e-100
            assert abs(gradient[index] - slope) < 1e-13 * abs(gradient).max()


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_variant_runs_at_every_case(op):
    for case in op.cases(np.random.default_rng(0)):
        for variant in op.variants:
            out, pullback = vjp(partial(op, **variant.params), *case.inputs)
            assert np.isfinite(out).all(), (case.label, variant.name)
            for gradient in pullback(np.ones_like(out) + out):
                assert np.isfinite(gradient).all(), (case.label, variant.name)


# ---- cosine -----------------------------------------------------------------


# of cos(v, v) at |v| = 1e-3 and 1e-4, measured on each implementation's own formula
SHORT = {
    "paper": (1.0, 1.0),
    "pytorch_ntm": (1.0, 1.0),
    "collier": (0.990, 0.5),
    "ntm_lasagne": (1e-3, 1e-5),
    "carpedm20": (1e-3, 1e-5),
    "jingweiz": (0.333, 0.005),
    "deepmind": (0.333, 0.005),
    "pytorch_dnc": (0.5, 0.0099),
    "csordas": (0.5, 0.0099),
    "mostafa_samir": (1.0, 1.0),
    "bgavran": (1.0, 1.0),
    "adnc": (1.0, 1.0),
    "fumin": (1.0, 1.0),
    "kaishengtai": (1e-3, 1e-5),
    "torch": (1.0, 1.0),
    "torch_documented": (1.0, 1.0),
}
# of dK/dM at M = 0 for a key of four ones, measured by autodiff; where that gave NaN, the derivative k / eps
AT_ZERO = {
    "paper": 0.0,
    "pytorch_ntm": 5e7,
    "collier": 1e8,
    "ntm_lasagne": 1e3,
    "carpedm20": 1e3,
    "kaishengtai": 1e3,
    "shawntan": 1e5,
    "jingweiz": 500.0,
    "deepmind": 500.0,
    "pytorch_dnc": 1e6,
    "csordas": 1e6,
    "mostafa_samir": 5e5,
    "bgavran": 5e5,
    "torch": 5e7,
    "torch_documented": 1e8,
}


def similarity(key, memory, *, form, eps=1e-6, offset=0.0):
    return cosine(np, key + offset, memory + offset, form, eps)


@pytest.mark.parametrize("name", SHORT)
def test_a_short_vector_resembles_itself_as_published(name):
    for length, expected in zip((1e-3, 1e-4), SHORT[name]):
        v = np.array([[0.5, -0.5, 0.5, 0.5]]) * length
        found = similarity(v, v, **VARIANTS[name])[0][0, 0]
        assert abs(found - expected) < 0.011 * expected


@pytest.mark.parametrize("name", AT_ZERO)
def test_the_gradient_by_an_empty_row_is_the_published_one(name):
    found, parts = similarity(np.ones((1, 4)), np.zeros((1, 4)), **VARIANTS[name])
    assert abs(found[0, 0]) < 3e-8  # 2e-8 with pytorch-ntm's offset
    _, gradient = cosine_backward(np, parts, found, np.ones((1, 1)))
    assert (abs(gradient - AT_ZERO[name]) <= 2e-3 * AT_ZERO[name]).all()


def test_zero_gradients_are_of_the_kind_asked_for(rng):
    key, memory, strength = rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), np.array([1.0, 2.0])
    key[1], memory[2] = 0.0, 0.0
    cotangent = rng.normal(size=(2, 4))

    def gradients(kind):
        _, saved = cosine_addressing.forward(key, memory, strength, form="added", zero_gradient=kind)
        return cosine_addressing.backward(saved, cotangent)

    formula, zero, nan = map(gradients, ("formula", "zero", "nan"))
    assert abs(formula[0][1]).min() > 1e3 and abs(formula[1][2]).min() > 1e3
    assert (zero[0][1] == 0).all() and (zero[1][2] == 0).all()
    assert np.isnan(nan[0][1]).all() and np.isnan(nan[1][2]).all()
    np.testing.assert_allclose(zero[0][0], formula[0][0], rtol=1e-12)
    np.testing.assert_allclose(np.delete(zero[1], 2, 0), np.delete(formula[1], 2, 0), rtol=1e-12)
    np.testing.assert_allclose(np.delete(nan[1], 2, 0), np.delete(formula[1], 2, 0), rtol=1e-12)
    np.testing.assert_array_equal(nan[2], formula[2])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("form", FORMS)
def test_denormal_and_tiny_lengths_stay_finite(form, dtype):
    tiny = {np.float64: [0, 5e-324, 1e-310, 1e-300, 1e-160], np.float32: [0, 1e-45, 1e-40, 1e-37, 1e-20]}
    for a in tiny[dtype]:
        for b in tiny[dtype]:
            key = np.array([[a, -a, a]], dtype)
            memory = np.array([[b, b, -b], [0, 0, 0], [1, 1, 1]], dtype)
            with np.errstate(over="raise", invalid="raise", divide="raise"):
                weights, saved = cosine_addressing.forward(key, memory, np.ones(1, dtype), form=form)
                gradients = cosine_addressing.backward(saved, np.array([[1, -1, 2]], dtype))
            assert np.isfinite(weights).all() and all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1.0, 1e200])
def test_the_papers_cosine_has_no_range(scale):
    """Also where x . x is not a number of float64, and where the largest entry is negative."""
    key = scale * np.array([[-3.0, 1e-170, 0.0]])
    rows = scale * np.array([[3.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    found, _ = cosine(np, key, rows, "none", 1e-6)
    np.testing.assert_allclose(found[0], [-1, 0.5**0.5, -(0.5**0.5)], rtol=1e-15)


@pytest.mark.peers
def test_torch_follows_its_variant_but_for_a_gradient_that_its_clamp_hides(rng):
    torch = pytest.importorskip("torch")
    key, direction = np.array([1.0, -2.0, 2.0]), np.array([2.0, 1.0, 2.0]) / 3
    for length, conforms in ((1.0, True), (2e-8, True), (5e-9, False), (0.0, True)):
        row = direction * length
        theirs = torch.tensor(row, requires_grad=True)
        value = torch.nn.functional.cosine_similarity(torch.tensor(key), theirs, dim=0)
        value.backward()
        found, parts = similarity(key[None], row[None], **VARIANTS["torch"])
        _, gradient = cosine_backward(np, parts, found, np.ones((1, 1)))
        assert abs(found[0, 0] - value.item()) < 1e-15
        assert np.allclose(gradient[0], theirs.grad, rtol=1e-12, atol=0) == conforms


# ---- shifts -----------------------------------------------------------------


# where the focus goes from row 2 of 7 for each entry of a shift
DIRECTIONS = {
    ("minus_to_plus", 3): (1, 2, 3),
    ("plus_to_minus", 3): (3, 2, 1),
    ("fft", 3): (2, 3, 1),
    ("minus_to_plus", 5): (0, 1, 2, 3, 4),
    ("plus_to_minus", 5): (4, 3, 2, 1, 0),
    ("fft", 5): (2, 3, 4, 0, 1),
    ("minus_to_plus", 2): (2, 3),
    ("minus_to_plus", 4): (1, 2, 3, 4),
    ("plus_to_minus", 4): (4, 3, 2, 1),
    ("fft", 4): (2, 3, 0, 1),
}


@pytest.mark.parametrize("boundary", ["circular", "zero"])
@pytest.mark.parametrize("layout, s", DIRECTIONS)
def test_each_entry_moves_the_focus_its_own_way(layout, s, boundary):
    for k, row in enumerate(DIRECTIONS[layout, s]):
        moved = circular_shift(one_hot(7, 2), one_hot(s, k), layout=layout, boundary=boundary)
        assert (moved == one_hot(7, row)).all()


def test_plus_one_goes_on_and_comes_round():
    up = one_hot(3, 2)
    assert (circular_shift(one_hot(4, 3), up) == one_hot(4, 0)).all()
    assert (circular_shift(one_hot(4, 3), up, boundary="zero") == 0).all()
    assert (circular_shift(one_hot(2, 0), up) == circular_shift(one_hot(2, 0), up[::-1])).all()


@pytest.mark.parametrize("amount", [0.25, 1.0, -0.25, 3.75, 12.5, -8.125])
def test_a_scalar_shift_is_a_shift_by_two_entries(amount, rng):
    weights, whole = rng.uniform(size=5), int(np.floor(amount))
    pair = np.array([1 - (amount - whole), amount - whole])
    expected = circular_shift(np.roll(weights, whole), pair)
    assert (scalar_shift(weights, np.array(amount)) == expected).all()


def test_fumin_moves_the_other_way(rng):
    weights, z = rng.uniform(size=5), 1.3
    theirs = [0.7 * weights[(i + 1) % 5] + 0.3 * weights[(i + 2) % 5] for i in range(5)]
    np.testing.assert_allclose(scalar_shift(weights, np.array(z), sign=-1), theirs, rtol=1e-15)


# ---- sharpening and interpolation -------------------------------------------


def test_csordas_sharpening_makes_an_empty_link_uniform():
    assert (sharpening(np.zeros(4), np.array(1.5), base_eps=1e-6) == 0.25).all()


def test_a_sharp_row_keeps_the_digits_of_its_winner():
    """w' = 1 / (1 + r^c) with r = 1/10, c = 30: the winner's gradients are of order 1e-30, and exact."""
    weights, power = np.array([1.0, 0.1]), np.array(30.0)
    _, pullback = vjp(sharpening, weights, power)
    dweights, dpower = pullback(np.array([1.0, 0.0]))
    rest = 0.1**30
    np.testing.assert_allclose(dweights, [30 * rest, -300 * rest], rtol=1e-13)
    np.testing.assert_allclose(dpower, np.log(10) * rest, rtol=1e-13)


# ---- wrong calls ------------------------------------------------------------


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda w: circular_shift(w, w, layout="up"),
            "circular_shift: layout must be 'minus_to_plus', .* got 'up'",
        ),
        (lambda w: circular_shift(w, w, boundary="wrap"), "circular_shift: boundary must be .* got 'wrap'"),
        (lambda w: circular_shift(w, w[:0]), "circular_shift: shift must have at least one entry, got 0"),
        (lambda w: scalar_shift(w, w[0:1].sum() * w[0], sign=2), "scalar_shift: sign must be 1 or -1, got 2"),
        (lambda w: sharpening(w, 2.0, base_eps=-1.0), "sharpening: base_eps must not be negative, got -1.0"),
        (
            lambda w: cosine_addressing(w[None], w[None], w[:1], form="l2"),
            "form must be one of smoothed, .* got 'l2'",
        ),
        (
            lambda w: cosine_addressing(w[None], w[None], w[:1], eps=0.0),
            "eps must be positive in the form smoothed",
        ),
        (
            lambda w: cosine_addressing(w[None], w[None], w[:1], zero_gradient=0),
            "zero_gradient must be .* got 0",
        ),
        (lambda w: cosine_addressing(w[None], w[None, :2], w[:1]), "cosine_addressing: w is both 3 and 2"),
        (lambda w: interpolation(w, w[:2], 0.5), "interpolation: n is both 3 and 2"),
    ],
)
def test_a_wrong_call_says_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.array([0.2, 0.3, 0.5]))
