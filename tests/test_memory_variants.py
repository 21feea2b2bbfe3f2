"""Who does what: every op of the memory names every implementation, under one name and with its file.

The numbers are held against the implementations' own formulas, written here as they have them.
"""

import numpy as np
import pytest

from scratchattn import (
    REGISTRY,
    dnc_allocation,
    hard_sigmoid,
    interpolation,
    oneplus,
    sharpening,
    softplus,
    stop_gradient,
    where,
)
from scratchattn.tape import vjp

REPOSITORIES = {
    "pytorch_ntm": "loudinthecloud/pytorch-ntm",
    "collier": "MarkPKCollier/NeuralTuringMachine",
    "ntm_lasagne": "snipsco/ntm-lasagne",
    "carpedm20": "carpedm20/NTM-tensorflow",
    "kaishengtai": "kaishengtai/torch-ntm",
    "fumin": "fumin/ntm",
    "shawntan": "shawntan/neural-turing-machines",
    "jingweiz": "jingweiz/pytorch-dnc",
    "deepmind": "google-deepmind/dnc",
    "pytorch_dnc": "ixaxaar/pytorch-dnc",
    "csordas": "RobertCsordas/dnc",
    "mostafa_samir": "Mostafa-Samir/DNC-tensorflow",
    "adnc": "joergfranke/ADNC",
    "bgavran": "bgavran/DNC",
}
NTM = list(REPOSITORIES)[:8]
DNC = list(REPOSITORIES)[7:]
NAMED = {
    "cosine_addressing": NTM + DNC,
    "circular_shift": [name for name in NTM if name != "fumin"],
    "scalar_shift": ["fumin"],
    "interpolation": ["shawntan"],
    "sharpening": [*NTM, "csordas"],
    "memory_write": NTM + DNC,
    "dnc_usage": DNC,
    "dnc_allocation": DNC,
    "dnc_linkage": DNC,
    "directional_weightings": DNC,
    "hard_sigmoid": ["ntm_lasagne"],
    "softplus": ["pytorch_ntm", "collier", "carpedm20", "kaishengtai", "jingweiz", "deepmind", "pytorch_dnc"],
    "oneplus": ["csordas", "mostafa_samir", "adnc", "bgavran"],
}


def variant(op, name):
    (found,) = [v for v in op.variants if v.name == name]
    return found.params


@pytest.mark.parametrize("op", NAMED)
def test_every_implementation_is_named_with_its_file(op):
    sources = {v.name: v.source for v in REGISTRY[op].variants}
    assert set(NAMED[op]) <= set(sources)
    for name, repository in REPOSITORIES.items():
        if name in sources:
            assert sources[name].startswith(f"{repository} ") and "." in sources[name]


# ---- sharpening -------------------------------------------------------------


def test_torch_ntm_divides_by_nn_normalize(rng):
    weights, power = rng.dirichlet(np.ones(5)), np.array(9.0)
    powers = weights**9
    theirs = powers / (powers.sum() + 1e-10)
    np.testing.assert_allclose(
        sharpening(weights, power, **variant(sharpening, "kaishengtai")), theirs, rtol=1e-13
    )


def test_fumin_cuts_the_gradient_of_a_vanishing_weight_as_stop_gradient_does(rng):
    """Its own backward: a weight below 2.2e-16 is passed over; at a power near one the slope is not small."""
    weights, power = np.array([0.3, 1e-17, 0.6, 0.1]), np.array(1.0)
    cotangent = rng.normal(size=4)
    sharpened = weights / weights.sum()
    bracket = (cotangent - (cotangent * sharpened).sum()) * sharpened / weights
    theirs = np.where(weights < 2.2e-16, 0, bracket)

    def cut(w, c):
        return sharpening(where(weights < 2.2e-16, stop_gradient(w), w), c)

    _, pullback = vjp(cut, weights, power)
    np.testing.assert_allclose(pullback(cotangent)[0], theirs, rtol=1e-13)
    _, pullback = vjp(sharpening, weights, power)
    np.testing.assert_allclose(pullback(cotangent)[0], bracket, rtol=1e-13)
    assert abs(bracket[1]) > 0.1


# ---- interpolation ----------------------------------------------------------


@pytest.mark.parametrize("gate", [0.0, 1e-12, 0.3, 1.0])
def test_shawntan_gates_in_logarithms_of_what_is_smoothed(rng, gate):
    content, previous = rng.dirichlet(np.ones(4)), np.array([0.0, 0.0, 1.0, 0.0])
    g = (1 - 1e-8) * gate + 1e-8 * 0.5
    kept = np.log((1 - 1e-8) * previous + 1e-8 * (1 / 4))
    theirs = np.exp(np.logaddexp(np.log(g) + np.log(content), np.log1p(-g) + kept))
    found = interpolation(content, previous, np.array(gate), **variant(interpolation, "shawntan"))
    np.testing.assert_allclose(found, theirs, rtol=1e-13)
    assert abs(found.sum() - 1) < 1e-15


def test_smoothing_is_that_of_gate_and_of_what_is_kept(rng):
    content, previous = rng.dirichlet(np.ones(5), size=2)
    gate, e = np.array(0.7), 0.1
    smoothed = interpolation(content, (1 - e) * previous + e / 5, (1 - e) * gate + e / 2)
    np.testing.assert_allclose(interpolation(content, previous, gate, smoothing=e), smoothed, rtol=1e-15)
    both = interpolation(content, previous, gate, 1 - gate, smoothing=e)
    np.testing.assert_allclose(both, smoothed, rtol=1e-15)
    for wrong in (-0.1, 1.0):
        with pytest.raises(ValueError, match=f"interpolation: smoothing must be .* got {wrong}"):
            interpolation(content, previous, gate, smoothing=wrong)


# ---- activations ------------------------------------------------------------


def test_a_threshold_is_linear_beyond_it():
    a = np.array([19.9, 20.0, 20.1])
    for op, added in ((softplus, 0), (oneplus, 1)):
        value, saved = op.forward(a, threshold=20.0)
        assert value[2] == added + 20.1 and (value[:2] > added + a[:2]).all()
        (slope,) = op.backward(saved, np.ones(3))
        assert slope[2] == 1 and (slope[:2] < 1).all()
        assert 0 < op(a)[2] - value[2] < 2.1e-9
        with pytest.raises(TypeError, match=f"{op.name}: threshold must be a number or None, got '20'"):
            op(a, threshold="20")


def test_a_hard_sigmoid_is_theanos(rng):
    a = 5 * rng.normal(size=40)
    theirs = np.clip(0.2 * a + 0.5, 0, 1)
    np.testing.assert_array_equal(hard_sigmoid(a, **variant(hard_sigmoid, "ntm_lasagne")), theirs)
    for wrong in ({"slope": 0.0}, {"slope": -1.0}, {"on_bound": "both"}):
        with pytest.raises(ValueError, match=f"hard_sigmoid: {next(iter(wrong))} must be"):
            hard_sigmoid(a, **wrong)


@pytest.mark.peers
@pytest.mark.parametrize(
    "name, params",
    [("softplus", variant(softplus, "pytorch_ntm")), ("hardsigmoid", variant(hard_sigmoid, "torch"))],
)
def test_torch_has_these_values_and_slopes(name, params):
    torch = pytest.importorskip("torch")
    op = {"softplus": softplus, "hardsigmoid": hard_sigmoid}[name]
    a = np.array([-30.0, -3.0, -2.5, 0.0, 2.5, 3.0, 19.9, 20.0, 20.1, 40.0])
    theirs = torch.tensor(a, requires_grad=True)
    value = getattr(torch.nn.functional, name)(theirs)
    value.sum().backward()
    out, pullback = vjp(lambda x: op(x, **params), a)
    np.testing.assert_allclose(out, value.detach().numpy(), rtol=1e-15, atol=1e-16)
    rounded = 1e-14 if name == "softplus" else 3e-8  # its backward has the 1/6 of float32 in float64 too
    np.testing.assert_allclose(pullback(np.ones(10))[0], theirs.grad.numpy(), rtol=rounded)


# ---- allocation -------------------------------------------------------------


@pytest.mark.parametrize("name", ["mostafa_samir", "deepmind"])
def test_what_dividing_by_usage_makes_of_its_gradient(rng, name):
    """TensorFlow's cumprod divides: NaN at a usage of zero unless eps keeps it away; ours the limit."""
    usage, cotangent = np.array([0.0, 0.4, 0.9]), rng.normal(size=3)
    params = variant(dnc_allocation, name)
    eps = params.get("eps", 0.0)
    used = eps + (1 - eps) * usage
    left = np.array([1, used[0], used[0] * used[1]])
    through = cotangent * (1 - used) * left  # of the products, times them
    with np.errstate(all="ignore"):
        later = np.array([through[1] + through[2], through[2], 0])
        divided = (1 - eps) * (later / used - cotangent * left)
        found, limit = (
            vjp(lambda u, said=said: dnc_allocation(u, **said), usage)[1](cotangent)[0]
            for said in (params, params | {"cumprod_gradient": "exact"})
        )
    assert np.isfinite(limit).all() and np.isnan(divided[0]) == (eps == 0)
    theirs = divided if params.get("cumprod_gradient") == "divide" else limit
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-9)
    np.testing.assert_allclose(limit[1:], divided[1:], rtol=0, atol=1e-9)
