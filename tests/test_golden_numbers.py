"""Numbers worked out elsewhere: by hand, or by running other people's implementations."""

import numpy as np
import pytest

from scratchattn import REGISTRY

layer_norm, gelu, softmax = (REGISTRY[name] for name in ("layer_norm", "gelu", "softmax"))


# ---- layer normalisation ----------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e6])
def test_the_gradient_of_a_constant_row_is_three_quarters_of_one_over_the_root_of_eps(value):
    _, saved = layer_norm.forward(np.full(4, value), eps=1e-5)
    dx, *_ = layer_norm.backward(saved, np.array([1.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(dx, [237.17, -79.06, -79.06, -79.06], rtol=5e-5)
    np.testing.assert_allclose(dx, np.array([3, -1, -1, -1]) / (4 * np.sqrt(1e-5)), rtol=1e-14)


def test_the_gradient_of_a_constant_row_is_750000_with_eps_on_the_deviation():
    """The annotated Transformer's own code says NaN here, from the slope of the root at 0."""
    (annotated,) = [v for v in layer_norm.variants if v.name == "annotated"]
    _, saved = layer_norm.forward(np.full(4, 0.3), **annotated.params)
    dx, *_ = layer_norm.backward(saved, np.array([1.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(dx, [750000.0, -250000.0, -250000.0, -250000.0], rtol=1e-14)


def test_float32_at_mean_a_million_agrees_with_float64_on_the_same_numbers(rng):
    """torch's own backward keeps two digits and a half at 1000 +- 0.01."""
    x = (1e6 + rng.normal(size=(3, 64))).astype(np.float32)
    dout = rng.normal(size=(3, 64)).astype(np.float32)
    single, saved = layer_norm.forward(x)
    double, saved_double = layer_norm.forward(x.astype(float))
    dx, dx_double = (
        layer_norm.backward(saved, dout)[0],
        layer_norm.backward(saved_double, dout.astype(float))[0],
    )
    assert single.dtype == dx.dtype == np.float32
    assert abs(single - double).max() < 1e-6 * abs(double).max()
    assert abs(dx - dx_double).max() < 1e-6 * abs(dx_double).max()


# ---- gelu -------------------------------------------------------------------


def test_the_two_forms_of_gelu_differ_most_at_2_699_by_4_732e_4():
    for sign in (1, -1):
        a = sign * np.linspace(0.0, 8.0, 80001)
        gap = abs(gelu(a, form="erf") - gelu(a, form="tanh"))
        assert round(gap.max(), 7) == 4.732e-4
        assert round(abs(a[gap.argmax()]), 3) == 2.699


@pytest.mark.parametrize("form", ["erf", "tanh"])
def test_gelu_of_a_thousand_is_a_thousand_and_of_minus_a_thousand_nothing(form):
    with np.errstate(all="raise", under="ignore"):
        out, saved = gelu.forward(np.array([1e3, -1e3]), form=form)
        (slope,) = gelu.backward(saved, np.ones(2))
    assert out.tolist() == [1e3, 0.0] and slope.tolist() == [1.0, 0.0]


# ---- softmax ----------------------------------------------------------------


def test_a_fully_masked_softmax_of_3_5_minus_2_is_zero_with_zero_gradients():
    logits, keep = np.array([3.0, 5.0, -2.0]), np.zeros(3, dtype=bool)
    weights, saved = softmax.forward(logits, keep)
    assert weights.tolist() == [0.0, 0.0, 0.0]
    assert softmax.backward(saved, np.array([1.0, -2.0, 3.0]))[0].tolist() == [0.0, 0.0, 0.0]


def test_what_others_make_of_the_same_row():
    """The lowest logit filled in: uniform.  A mask of -10000 added: as if there were no mask."""
    logits = np.array([3.0, 5.0, -2.0])
    filled = np.full(3, -1e9)
    np.testing.assert_allclose(softmax(filled), 1 / 3, rtol=1e-15)
    np.testing.assert_allclose(softmax(logits - 1e4), [0.1191, 0.8801, 0.0008], atol=5e-5)
    np.testing.assert_allclose(softmax(logits - 1e4), softmax(logits), rtol=1e-11)
