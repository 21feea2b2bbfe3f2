"""The edge cases of a Neural Turing Machine, by the numbers that they have in the specification of memory.

01 vectors without length        11 a cell erased wholly           22 strengths of zero, below one, large
02 vectors shorter than eps      12 several writers on a row       23 a sequence in chunks
08 products that underflow       13 shifts off the end, wide       24 batches, padding, axes of one
09 powers that underflow         14 saturated gates and clips      25 the same start, orders of entries
10 weights of zero and below     15 a start of zero weights

Those between are of a Differentiable Neural Computer.  ``EVIDENCE``: what else holds them.
"""

import numpy as np
import pytest
from edge_evidence import missing

import scratchattn as sa
from scratchattn import (
    circular_shift,
    clip,
    cosine_addressing,
    dnc_allocation,
    hard_sigmoid,
    interpolation,
    memory_read,
    memory_write,
    oneplus,
    relu,
    scalar_shift,
    sharpening,
    sigmoid,
    softplus,
)
from scratchattn.models import NTM
from scratchattn.nn.named_conventions import NTM_NAMES
from scratchattn.nn.ntm_cell import NTMState, NTMWeights, ntm_shapes, ntm_step
from scratchattn.nn.ntm_heads import head_sizes
from scratchattn.similarity import FORMS
from scratchattn.tape import vjp

VARIANTS = {v.name: v.params for v in cosine_addressing.variants}
NTMS = pytest.mark.parametrize("name", NTM_NAMES)
EVIDENCE = {
    "01": """
        cosine_addressing: none, zero key, zero row
        cosine_addressing: zero key and row held constant
        cosine_addressing.a_key_without_length_attends_to_all_alike
        cosine_addressing.a_bare_root_has_no_gradient_at_zero
        test_addressing.py::test_the_gradient_by_an_empty_row_is_the_published_one
        test_addressing.py::test_zero_gradients_are_of_the_kind_asked_for
        test_addressing.py::test_denormal_and_tiny_lengths_stay_finite
    """,
    "02": "test_addressing.py::test_a_short_vector_resembles_itself_as_published",
    "08": "dnc_allocation: what is left underflows",
    "09": """
        sharpening: what underflows as written
        sharpening: eps below, most of the mass lost
    """,
    "10": """
        sharpening: zeros
        sharpening: zeros, a power of one
        sharpening: negative weights
        sharpening.a_zero_weight_has_the_slope_of_normalising_at_a_power_of_one
    """,
    "11": """
        memory_write: erase all then add, one head erases a row wholly
        memory_write: erase all then add, both heads erase the same cell wholly
        memory_write: the only row is erased wholly
        memory_write.a_row_erased_wholly_holds_what_is_written
    """,
    "12": """
        memory_write.heads_that_write_at_once_have_no_order
        memory_write.one_head_at_a_time_is_sequential
        test_properties_memory.py::test_erasing_all_first_keeps_what_both_heads_add
    """,
    "13": """
        circular_shift: minus_to_plus, circular, wider than the memory
        circular_shift: minus_to_plus, circular, even width
        circular_shift: two rows, where +1 is -1
        circular_shift: one row
        scalar_shift: at an integer
        scalar_shift: negative
    """,
    "14": """
        sigmoid: nothing but saturated
        softplus: extreme
        interpolation: gate open
        interpolation.both_ends_are_exact
        hard_sigmoid: shut and open
        clip: on the bounds
    """,
    "15": "interpolation: zeros to keep",
    "22": """
        cosine_addressing: no strength
        cosine_addressing: sharp
    """,
    "23": "test_fused_models.py::test_chunks_equal_the_whole_and_a_step_is_a_sequence_of_one",
    "24": """
        cosine_addressing: one row to choose from
        memory_write: one row, one column
        test_fused_models.py::test_a_sequence_in_a_batch_is_the_sequence_alone_and_padding_is_never_read
        test_properties_generic.py::test_a_batch_is_its_rows
    """,
    "25": "test_addressing.py::test_each_entry_moves_the_focus_its_own_way",
}


@pytest.mark.parametrize("number", EVIDENCE)
def test_the_evidence_for_an_edge_case_exists(number):
    assert missing(EVIDENCE[number]) == []
    assert any(name.startswith(f"test_edge_{number}_") for name in globals())


def test_evidence_that_is_not_there_is_missed():
    wrong = ["sharpening: nothing", "sharpening.it_shines", "test_ntm.py::test_nothing"]
    assert missing("\n".join(["sharpening: zeros", *wrong])) == wrong


def small(name="smoothed", **settings):
    """A model of that convention by the reference, its parameters amid a training, and inputs."""
    sizes = {"rows": 5, "width": 4, "units": 4, "read_heads": 2, "write_heads": 2, "engine": "reference"}
    ntm = NTM(3, 2, dtype="float64", convention=name, **sizes | settings)
    rng = np.random.default_rng(1)
    params = ntm.init(rng)
    params.assign({name: value + 0.3 * rng.normal(size=value.shape) for name, value in params.items()})
    return ntm, params, rng.normal(size=(6, 3, 3))


def one_hot(n, i):
    return np.eye(n)[i]


# ---- content ----------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "pytorch_ntm"])
@pytest.mark.parametrize("blank", ["memory", "key"])
def test_edge_01_what_has_no_length_is_like_nothing(name, blank):
    """All rows alike, and no NaN comes back, whatever the strength."""
    key, memory = np.array([[1.0, -2.0, 0.5]]), np.arange(12.0).reshape(4, 3) - 5
    (memory if blank == "memory" else key)[:] = 0.0
    with np.errstate(all="raise", under="ignore"):
        weights, pullback = vjp(
            lambda *x: cosine_addressing(*x, **VARIANTS[name]), key, memory, np.array([30.0])
        )
        dkey, dmemory, dstrength = pullback(np.array([[1.0, 2.0, 3.0, 5.0]]))
    by_blank, by_other = (dmemory, dkey) if blank == "memory" else (dkey, dmemory)
    assert (weights == 0.25).all() and (by_other == 0).all() and (dstrength == 0).all()
    assert np.isfinite(by_blank).all() and (abs(by_blank).max() > 0) == (VARIANTS[name]["form"] != "none")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_edge_01_the_first_step_of_an_ntm_whose_start_is_all_zeros(form, rows):
    """Blank memory, blank weights, a saturated gate, a shift wider than the memory: numbers throughout."""

    def step(key, memory, strength, gate, shift, sharpness):
        content = cosine_addressing(key, memory, softplus(strength), form=form)
        gated = interpolation(content, 0 * content, sigmoid(gate))
        weights = sharpening(circular_shift(gated, shift), 1 + softplus(sharpness))
        return memory_read(weights, memory_write(memory, weights, 0 * key + 1, key))

    shapes = (1, 2), (rows, 2), (1,), (1,), (1, 5), (1,)
    for gate in (-40.0, 0.0, 40.0):
        inputs = [np.zeros(shape) for shape in shapes]
        inputs[0][...], inputs[3][...], inputs[4][...] = 1.0, gate, 0.2
        with np.errstate(all="raise", under="ignore"):
            reads, pullback = vjp(step, *inputs)
            gradients = pullback(np.ones_like(reads))
        np.testing.assert_allclose(reads, 1 / rows, rtol=1e-14)
        assert all(np.isfinite(g).all() for g in gradients)


@NTMS
@pytest.mark.parametrize("length", [0.0, 5e-324, 1e-310, 1e-160])
def test_edge_01_a_whole_machine_on_a_memory_without_length(name, length):
    """Five steps forward and back, in every convention: numbers, and no warning on the way."""
    ntm, params, xs = small(name)
    leaves = params.tensors()
    blank = np.full((5, 4), length)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        outputs, state = ntm.sequence(leaves, ntm.initial_state(leaves, 3, memory=blank), xs[:5])
        gradients = sa.pull_back([outputs], [np.ones(outputs.shape)], list(leaves.values()))
    assert np.isfinite(outputs.data).all() and all(np.isfinite(a.data).all() for a in state if a is not None)
    assert all(np.isfinite(g).all() for g in gradients)


def test_edge_02_a_start_of_1e_6_is_blank_to_some_and_a_direction_to_others():
    """A memory of 1e-6, which ntm-lasagne and Mostafa-Samir's DNC start from, under a key of ones."""
    key, memory = np.ones((1, 4)), np.full((2, 4), 1e-6) * [[1], [-1]]
    alike = {}
    for name in ("ntm_lasagne", "carpedm20", "pytorch_ntm", "mostafa_samir", "paper"):
        weights = cosine_addressing(key, memory, np.ones(1), **VARIANTS[name])[0]
        alike[name] = np.log(weights[0] / weights[1]) / 2
    assert alike["ntm_lasagne"] < 5e-3 and alike["carpedm20"] < 5e-3
    assert all(abs(alike[name] - 1) < 1e-9 for name in ("pytorch_ntm", "mostafa_samir", "paper"))


@pytest.mark.parametrize("length", [1e-3, 1e-4, 1e-5])
def test_edge_02_how_much_a_short_vector_is_like_itself(length):
    """cos(v, v) as each formula has it: |v|^2 beside eps, or one."""
    v, square = np.array([[0.5, -0.5, 0.5, 0.5]]) * length, length**2
    expected = {
        "paper": 1.0,
        "pytorch_ntm": 1.0,
        "collier": square / (square + 1e-8),
        "ntm_lasagne": square / (square**2 + 1e-6) ** 0.5,
        "carpedm20": square / (square + 1e-3),
        "shawntan": square / (square + 1e-5),
        "jingweiz": square / (square + 2e-6),
    }
    for name, cosine in expected.items():
        weights = cosine_addressing(v, np.concatenate([v, -v]), np.ones(1), **VARIANTS[name])[0]
        np.testing.assert_allclose(np.log(weights[0] / weights[1]) / 2, cosine, rtol=1e-9, err_msg=name)


def test_edge_22_softplus_lets_a_strength_fall_below_one_and_oneplus_does_not():
    emitted = np.array([-30.0, -1.0])
    assert (softplus(emitted) < 1).all() and (oneplus(emitted) > 1).all()
    key, memory = np.array([[1.0, 0.0]]), np.eye(2)
    weak, strong = (
        cosine_addressing(key, memory, f(emitted[:1]), form="none")[0] for f in (softplus, oneplus)
    )
    assert abs(weak - 0.5).max() < 1e-12
    np.testing.assert_allclose(strong, [np.e / (1 + np.e), 1 / (1 + np.e)], rtol=1e-12)


def test_edge_22_a_rectified_strength_can_be_nothing(rng):
    """Then all rows are alike to the last bit, and neither key nor memory is told anything."""
    key, memory = rng.normal(size=(1, 3)), rng.normal(size=(5, 3))
    weights, pullback = vjp(lambda k, m, z: cosine_addressing(k, m, relu(z)), key, memory, np.array([-0.5]))
    dkey, dmemory, dstrength = pullback(rng.normal(size=(1, 5)))
    assert (weights == 0.2).all() and (dkey == 0).all() and (dmemory == 0).all() and (dstrength == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edge_22_a_large_strength_picks_one_row(rng, dtype):
    """Also exp(10), and where exp(strength) is no number of that precision."""
    key, memory = rng.normal(size=(1, 3)).astype(dtype), rng.normal(size=(5, 3)).astype(dtype)
    for strength in (1e4, -1e4, np.exp(10.0)):
        weights, pullback = vjp(cosine_addressing, key, memory, np.array([strength], dtype))
        assert weights.max() == 1.0 and weights.sum() == 1.0
        cotangent = rng.normal(size=weights.shape).astype(dtype)
        assert all(np.isfinite(g).all() for g in pullback(cotangent))


# ---- powers -----------------------------------------------------------------


def test_edge_08_a_product_of_usages_underflows_in_float32_and_the_weights_still_sum_to_one():
    usage = np.full(256, 0.5, np.float32)
    with np.errstate(all="raise", under="ignore"):
        allocation, saved = dnc_allocation.forward(usage)
        (slope,) = dnc_allocation.backward(saved, np.arange(256, dtype=np.float32))
    left = saved[4]
    assert left.dtype == slope.dtype == np.float32
    assert (left[:150] > 0).all() and (left[150:] == 0).all()
    assert allocation.astype(float).sum() == 1 and np.isfinite(slope).all() and (slope[150:] == 0).all()
    np.testing.assert_allclose(allocation[:100], 0.5 ** np.arange(1, 101), rtol=1e-6)


def test_edge_09_uniform_weights_survive_a_high_power_in_float32():
    weights = np.full(128, 1 / 128, np.float32)
    assert (weights ** np.float32(22) == 0).all()  # as written: 0 / 0
    sharpened, pullback = vjp(sharpening, weights, np.float32(22) * np.ones((), np.float32))
    assert (sharpened == weights).all()
    assert all(np.isfinite(g).all() for g in pullback(weights + one_hot(128, 3).astype(np.float32)))


@pytest.mark.parametrize("power, mass", [(8, 0.947), (8.6, 0.491), (10, 0.0011), (16, 2.47e-16)])
def test_edge_09_pytorch_ntm_loses_the_mass_that_was_measured(power, mass):
    sharpened = sharpening(np.full(128, 1 / 128), np.array(float(power)), denominator_eps=1e-16)
    assert abs(sharpened.sum() - mass) < 0.07 * mass


def test_edge_10_negative_and_vanishing_weights_count_as_zero():
    for small in (-1e-17, -5e-324, 5e-324):
        weights = np.array([3.0, small, 1.0])
        with np.errstate(divide="raise", invalid="raise", over="raise"):
            sharpened, pullback = vjp(sharpening, weights, np.array(2.0))
            dweights, dsharpness = pullback(np.array([1.0, 7.0, 2.0]))
        np.testing.assert_allclose(sharpened, [0.9, 0.0, 0.1], rtol=1e-15)
        assert dweights[1] == 0 and np.isfinite([*dweights, dsharpness]).all()


@pytest.mark.parametrize("power", [1.0, 1.5, 7.0])
def test_edge_10_a_weight_of_zero_has_a_slope_at_a_power_of_one_alone(power):
    """And 0 ln 0 is nothing in the gradient by the power."""
    weights, cotangent = np.array([0.6, 0.0, 0.2]), np.array([1.0, 7.0, 2.0])
    sharpened, pullback = vjp(sharpening, weights, np.array(power))
    dweights, dpower = pullback(cotangent)
    mean = (cotangent * sharpened).sum()
    assert sharpened[1] == 0
    np.testing.assert_allclose(dweights[1], (cotangent[1] - mean) / 0.8 if power == 1 else 0.0, rtol=1e-14)
    by_hand = sharpened[0] * sharpened[2] * np.log(0.6 / 0.2) * (cotangent[0] - cotangent[2])
    np.testing.assert_allclose(dpower, by_hand, rtol=1e-13)


# ---- writing ----------------------------------------------------------------


@pytest.mark.parametrize("others", [0, 1])
def test_edge_11_a_cell_erased_wholly_still_has_its_gradient(others):
    """dM'/de = -M w prod of the other heads: 3 where w = e = 1 and M = 3, at which fumin/ntm returns 0."""
    memory, weights = np.array([[3.0]]), np.ones((1 + others, 1))
    erase = np.array([[1.0], [0.5]])[: 1 + others]
    vector = np.zeros((1 + others, 1))
    written, pullback = vjp(memory_write, memory, weights, erase, vector)
    _, dweights, derase, _ = pullback(np.ones((1, 1)))
    left = 0.5**others
    assert written[0, 0] == 0
    assert derase[0, 0] == dweights[0, 0] == -3 * left
    assert (derase[1:] == 0).all()


def test_edge_12_two_heads_on_one_row():
    """Both erase half and add; in turn, the second erases half of what the first has added, too."""
    memory, both = np.array([[8.0]]), np.ones((2, 1))
    half, added = np.full((2, 1), 0.5), np.array([[1.0], [2.0]])
    found = {
        order: memory_write(memory, both, half, added, order=order)[0, 0]
        for order in ("erase_all_then_add", "sequential", "sum_of_erasures")
    }
    assert found == {"erase_all_then_add": 5.0, "sequential": 4.5, "sum_of_erasures": 3.0}


def test_edge_12_the_sum_of_two_erasures_turns_the_sign():
    """shawntan: two heads that both erase a row leave its negative; the papers' product leaves nothing."""
    memory, both, none = np.array([[2.0, -3.0]]), np.ones((2, 1)), np.zeros((2, 2))
    erase = np.ones((2, 2))
    assert (memory_write(memory, both, erase, none, order="sum_of_erasures") == -memory).all()
    for order in ("erase_all_then_add", "sequential"):
        assert (memory_write(memory, both, erase, none, order=order) == 0).all()


# ---- shifts -----------------------------------------------------------------


def test_edge_13_a_focus_lost_off_the_end_becomes_uniform_in_ntm_lasagne():
    lost = circular_shift(one_hot(4, 3), one_hot(3, 2), boundary="zero")
    assert (lost == 0).all()
    assert (sharpening(lost, np.array(3.0), base_eps=1e-6) == 0.25).all()
    assert (sharpening(lost, np.array(3.0)) == 0).all()


def test_edge_13_a_wide_shift_folds_like_eq_8(rng):
    n, weights, shift = 3, rng.uniform(size=3), rng.uniform(size=7)
    folded = np.zeros(n)
    for k in range(7):
        folded[(k - 3) % n] += shift[k]
    rows = [sum(weights[j] * folded[(i - j) % n] for j in range(n)) for i in range(n)]
    np.testing.assert_allclose(circular_shift(weights, shift), rows, rtol=1e-15)
    np.testing.assert_allclose(circular_shift(weights, folded, layout="fft"), rows, rtol=1e-15)
    through_fourier = np.fft.ifft(np.fft.fft(weights) * np.fft.fft(folded)).real
    np.testing.assert_allclose(through_fourier, rows, rtol=1e-14)


@pytest.mark.parametrize("layout", ["minus_to_plus", "plus_to_minus", "fft"])
def test_edge_13_one_row_stays_and_of_two_rows_forward_is_back(rng, layout):
    shift = rng.dirichlet(np.ones(3))
    assert abs(circular_shift(np.ones(1), shift, layout=layout) - 1).max() < 1e-15
    stays = shift[0] if layout == "fft" else shift[1]
    moved = circular_shift(one_hot(2, 0), shift, layout=layout)
    np.testing.assert_allclose(moved, [stays, 1 - stays], rtol=1e-14)


def test_edge_13_an_even_width_goes_further_ahead_than_back():
    assert (circular_shift(one_hot(7, 2), one_hot(4, 3)) == one_hot(7, 4)).all()  # -1, 0, +1, +2
    assert (circular_shift(one_hot(7, 2), one_hot(4, 0)) == one_hot(7, 1)).all()
    assert (circular_shift(one_hot(7, 2), one_hot(4, 2), layout="fft") == one_hot(7, 0)).all()  # 0, 1, -2, -1


def test_edge_13_the_slope_at_an_integer_is_the_one_to_the_right(rng):
    weights, cotangent = rng.uniform(size=4), rng.normal(size=4)
    for z in (2.0, 0.0, -3.0):
        _, pullback = vjp(lambda z: scalar_shift(weights, z), np.array(z))
        ahead = scalar_shift(weights, np.array(z + 0.5)) - scalar_shift(weights, np.array(z))
        assert abs(pullback(cotangent)[0] - 2 * (cotangent * ahead).sum()) < 1e-14


def test_edge_13_a_negative_or_fractional_number_of_rows():
    """-0.3 is 0.3 of the way to the row before; 6.7 is the paper's example."""
    np.testing.assert_allclose(
        scalar_shift(one_hot(5, 2), np.array(-0.3)), [0, 0.3, 0.7, 0, 0], rtol=1e-15, atol=1e-16
    )
    example = 0.3 * one_hot(9, 6) + 0.7 * one_hot(9, 7)
    np.testing.assert_allclose(scalar_shift(one_hot(9, 0), np.array(6.7)), example, rtol=1e-14, atol=1e-16)


@NTMS
@pytest.mark.parametrize("rows", [1, 2])
def test_edge_13_a_machine_of_one_or_two_rows_and_seven_shifts(name, rows):
    ntm, params, xs = small(name, rows=rows, shifts=7)
    leaves = params.tensors()
    outputs, state = ntm.sequence(leaves, ntm.initial_state(leaves, 3), xs)
    gradients = sa.pull_back([outputs], [np.ones(outputs.shape)], list(leaves.values()))
    assert np.isfinite(outputs.data).all() and all(np.isfinite(g).all() for g in gradients)
    assert rows > 1 or (state.weightings.data > 0).all()


# ---- gates ------------------------------------------------------------------


@pytest.mark.parametrize("dtype, logit", [(np.float32, 18.0), (np.float64, 38.0)])
def test_edge_14_a_sigmoid_that_rounds_to_one_still_has_a_slope(dtype, logit):
    """Where y (1 - y) is zero, e^-z is not."""
    gate, saved = sigmoid.forward(np.array([logit, -logit], dtype))
    assert gate[0] == 1 and gate[0] * (1 - gate[0]) == 0
    (slope,) = sigmoid.backward(saved, np.ones(2, dtype))
    np.testing.assert_allclose(slope, np.exp(-logit), rtol=1e-6)


def test_edge_14_a_hard_gate_is_exactly_shut_and_takes_no_gradient():
    content, previous = np.array([0.2, 0.8]), np.array([0.7, 0.3])
    for logit, expected in ((-3.0, previous), (3.0, content)):
        gated, pullback = vjp(lambda z: interpolation(content, previous, hard_sigmoid(z)), np.array(logit))
        assert (gated == expected).all() and pullback(np.array([1.0, 0.0]))[0] == 0


def test_edge_14_a_clip_at_twenty_stops_the_gradient_beyond_it_and_not_on_it():
    """Collier, DeepMind and Csordas clip what the controller emits; a softplus of it stays finite."""
    emitted = np.array([-1e3, -20.0, 3.0, 20.0, 20.5])
    strength, pullback = vjp(lambda z: softplus(clip(z, low=-20.0, high=20.0)), emitted)
    slope = pullback(np.ones(5))[0]
    assert strength.max() < 20.1 and (slope[[0, 4]] == 0).all() and (slope[1:4] > 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edge_14_a_softplus_of_a_large_number_is_that_number(dtype):
    value, pullback = vjp(softplus, np.array([1e4, -1e4, 800.0], dtype))
    assert (value == [1e4, 0.0, 800.0]).all() and (pullback(np.ones(3, dtype))[0] == [1, 0, 1]).all()


@NTMS
def test_edge_14_a_machine_that_is_told_everything_to_the_end(name):
    """Every parameter of its heads at plus or minus a thousand: numbers, forward and back."""
    ntm, params, xs = small(name)
    params["head_bias"][:] = 1e3 * np.where(np.arange(len(params["head_bias"])) % 3 == 0, -1, 1)
    if ntm.cell.strength == "exp":  # of a thousand is no number, nor is it theirs
        first = sum(head_sizes(4, 0, 2, 1)[:4])
        params["head_bias"][first : first + 2] = 300.0
    leaves = params.tensors()
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        outputs, _ = ntm.sequence(leaves, ntm.initial_state(leaves, 3), xs)
        gradients = sa.pull_back([outputs], [np.ones(outputs.shape)], list(leaves.values()))
    assert np.isfinite(outputs.data).all() and all(np.isfinite(g).all() for g in gradients)


# ---- where a sequence starts ------------------------------------------------


def test_edge_15_a_gate_almost_shut_over_nothing():
    """From a start of zero weights: a scale that is lost, or in pytorch-ntm most of the mass."""
    content, nothing = np.full(128, 1 / 128), np.zeros(128)
    gated = interpolation(content, nothing, np.array(1e-8))
    assert abs(gated.sum() - 1e-8) < 1e-22
    assert abs(sharpening(gated, np.array(2.0)).sum() - 1) < 1e-14
    squares = 1e-16 / 128
    lost = sharpening(gated, np.array(2.0), denominator_eps=1e-16).sum()
    np.testing.assert_allclose(lost, squares / (squares + 1e-16), rtol=1e-12)
    assert (sharpening(0 * gated, np.array(2.0)) == 0).all()


def test_edge_15_a_gate_over_nothing_has_no_gradient_once_normalised(rng):
    """pytorch-ntm starts from a weighting of zeros: the gate is then a scale, and scale is lost."""

    def weights(gate):
        content = np.full(4, 0.25) + 0.1 * one_hot(4, 2)
        return sharpening(interpolation(content, np.zeros(4), gate), np.array(1.7))

    gated = interpolation(np.full(4, 0.25), np.zeros(4), np.array(0.3))
    assert abs(gated.sum() - 0.3) < 1e-15
    _, pullback = vjp(weights, np.array(0.3))
    assert abs(pullback(rng.normal(size=4))[0]) < 1e-15


def test_edge_15_at_the_first_step_of_pytorch_ntm_its_gates_learn_nothing():
    ntm, params, xs = small("pytorch_ntm")
    leaves = params.tensors()
    first = sum(head_sizes(4, 2, 2, 3)[:3])
    for steps in (1, 2):
        outputs, _ = ntm.sequence(leaves, ntm.initial_state(leaves, 3), xs[:steps])
        (gradient,) = sa.pull_back([outputs], [np.ones(outputs.shape)], [leaves["head_bias"]])
        by_gates = abs(gradient[first : first + 4]).max()
        assert by_gates < 1e-14 if steps == 1 else by_gates > 1e-6


@NTMS
def test_edge_23_every_part_of_a_state_is_needed_and_chunks_are_the_whole_to_the_bit(name):
    ntm, params, xs = small(name)
    whole, last = ntm.sequence(params, ntm.initial_state(params, 3), xs)
    first, state = ntm.sequence(params, ntm.initial_state(params, 3), xs[:4])
    second, end = ntm.sequence(params, state, xs[4:])
    assert (np.concatenate([first, second]) == whole).all()
    assert all((a == b).all() for a, b in zip(end, last, strict=True))
    start = ntm.initial_state(params, 3)
    for field in NTMState._fields:
        forgot = ntm.sequence(params, state._replace(**{field: getattr(start, field)}), xs[4:])[0]
        assert abs(forgot - second).max() > 1e-9, field


@NTMS
@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_edge_24_a_sequence_in_a_batch_is_the_sequence_alone_and_padding_is_never_read(name, controller):
    ntm, params, xs = small(name, controller=controller)
    lengths = np.array([6, 2, 0])
    for j, steps in enumerate(lengths):
        xs[steps:, j] = np.nan
    outputs, state = ntm.sequence(params, ntm.initial_state(params, 3), xs, lengths)
    for j, steps in enumerate(lengths):
        alone, last = ntm.sequence(params, ntm.initial_state(params, 1), xs[:steps, j : j + 1])
        assert (outputs[steps:, j] == 0).all()
        for a, b in zip([outputs[:steps, j : j + 1], *[s if s is None else s[j : j + 1] for s in state]],
                        [alone, *last], strict=True):  # fmt: skip
            assert a is b is None or abs(a - b).max(initial=0.0) <= 1e-14


@NTMS
@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_edge_24_everything_may_be_one(name, controller):
    """One row of one number, one head of each kind, one unit, one shift, one sequence, one step."""
    sizes = dict.fromkeys(("rows", "width", "units", "read_heads", "write_heads", "shifts"), 1)
    ntm, params, xs = small(name, controller=controller, **sizes)
    y, state = ntm.step(params, ntm.initial_state(params, 1), xs[0, :1])
    assert y.shape == (1, 2) and state.reads.shape == state.memory.shape == (1, 1, 1)
    assert state.weightings.shape == (1, ntm.heads, 1) and np.isfinite(y).all()


@NTMS
def test_edge_25_the_start_is_the_same_every_time(name):
    """Whatever generator has drawn in between: nothing is drawn when a sequence starts."""
    ntm, params, _ = small(name)
    one = ntm.initial_state(params, 2)
    np.random.default_rng().normal(size=7)
    two = small(name)[0].initial_state(params, 2)
    for a, b in zip(one, two, strict=True):
        assert (a == b).all() and (a[0] == a[1]).all()


@pytest.mark.parametrize("layout", ["plus_to_minus", "fft"])
def test_edge_25_a_layout_of_shifts_is_a_permutation_of_their_weights(layout):
    """So weights of another layout go in by permuting columns, or as they are with the layout named."""
    x, state, weights = _cell()
    order = {"plus_to_minus": [2, 1, 0], "fft": [1, 2, 0]}[layout]  # where -1, 0, +1 lie among ours
    first, heads = sum(head_sizes(3, 1, 2, 0)), 3
    columns = np.arange(first + 9)
    columns[first:] = first + (3 * np.arange(heads)[:, None] + order).ravel()
    theirs = weights._replace(
        head_weights=weights.head_weights[:, columns], head_bias=weights.head_bias[columns]
    )
    here, there = ntm_step(x, state, weights)[1], ntm_step(x, state, theirs, layout=layout)[1]
    assert abs(here.weightings - there.weightings).max() < 1e-15
    assert abs(here.weightings - ntm_step(x, state, theirs)[1].weightings).max() > 1e-3


def test_edge_25_heads_in_another_order_are_their_columns_in_another_order():
    x, state, weights = _cell()
    sizes, columns, first = head_sizes(3, 1, 2, 3), [], 0
    for name, size in sizes._asdict().items():
        each = size // (2 if name in ("write_vector", "erase") else 3)
        heads = [1, 0] if name in ("write_vector", "erase") else [0, 2, 1]
        columns += [first + each * head + i for head in heads for i in range(each)]
        first += size
    swapped = weights._replace(
        head_weights=weights.head_weights[:, columns], head_bias=weights.head_bias[columns]
    )
    start = state._replace(weightings=state.weightings[:, [0, 2, 1]])
    (y, new), (there, other) = ntm_step(x, state, weights), ntm_step(x, start, swapped)
    assert abs(y - there).max() < 1e-14 and abs(new.memory - other.memory).max() < 1e-14
    assert abs(new.weightings - other.weightings[:, [0, 2, 1]]).max() < 1e-15


def _cell():
    """x, an NTMState amid things, NTMWeights: one read head, two write heads, rows of three, three shifts."""
    rng = np.random.default_rng(2)
    shapes = ntm_shapes(3, 2, 4, 3, 1, 2, 3, "lstm")
    state = [rng.normal(size=shape) for shape in ((2, 1, 3), (2, 5, 3))]
    state += [rng.dirichlet(np.ones(5), size=(2, 3)), *rng.normal(size=(2, 2, 4))]
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    return rng.normal(size=(2, 3)), NTMState(*state), NTMWeights(**weights)
