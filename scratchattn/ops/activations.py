"""Activations: sigmoid, relu, softplus, oneplus, gelu, entry by entry.

They squash what a controller emits into what a memory expects: gates into (0, 1), strengths above
0 or above 1.  (``tanh`` stands with the exponential.)

Forward
-------
    sigmoid   s(a) = 1 / (1 + exp(-a))                      in (0, 1)
    relu      a if a > 0 else 0                             in [0, inf)
    softplus  log(1 + exp(a))                               in (0, inf)
    oneplus   1 + log(1 + exp(a))                           in (1, inf)
              both: a for log(1 + exp(a)) where a > threshold
    gelu      a P(a)     erf:  P(a) = (1 + erf(a / sqrt 2)) / 2
                         tanh: P(a) = (1 + tanh u) / 2,     u = sqrt(2 / pi) (a + 0.044715 a^3)

Backward
--------
Each entry is alone, so the Jacobian is diagonal and g(a) = f'(a) g, with

    sigmoid'  = e / (1 + e)^2                               e = exp(-|a|)
    relu'     = 1 if a > 0 else 0
    softplus' = oneplus' = s(a)                             1 where a > threshold
    gelu'     = P(a) + a P'(a)      erf:  P' = exp(-a^2 / 2) / sqrt(2 pi)
                                    tanh: P' = 2 s'(2u) u', since (1 + tanh u) / 2 = s(2u)

Accuracy
--------
s (1 - s) loses a saturated sigmoid's slope; the form in e <= 1 keeps all its digits and cannot
overflow.  The lower tail of P is 1 minus almost 1 as written: at a = -6 half the digits of gelu
and its slope are gone.  erfc(-a / sqrt 2) / 2 and s(2u) are the same numbers without the
subtraction, and grow no cosh that overflows at |u| = 90.

Conventions
-----------
At 0 ``relu`` has the gradient 0, the branch taken (Theano's is 1/2 there); NaN stays NaN.  ``oneplus``
is the DNC's, where many take softplus for its strengths; the NTM's sharpening is 1 + softplus.  torch has
a ``threshold`` of 20, where the value jumps by 2e-9.  Theano's compiled float64 has one of 16, and keeps
the sigmoid as the slope.  ``gelu`` has two forms under one name; they differ by 4.732e-4 at a = +-2.699,
so weights trained with one are slightly wrong in the other.

Source: Graves et al., Nature 538 (2016) 471, Methods (oneplus); Hendrycks, Gimpel, "Gaussian error
linear units", arXiv:1606.08415 (gelu, both forms).
"""

from ..backend import array_module, erfc, real
from ..calculus import sigmoid as _sigmoid
from ..calculus import softplus as _softplus
from ..op import Case, Op, Variant, register


def sigmoid_forward(a):
    """1 / (1 + exp(-a)), entry by entry, any shape; values in [0, 1]."""
    return _sigmoid(array_module(a), a)


def relu_forward(a):
    """``a`` where it is positive, else 0, entry by entry, any shape; NaN stays."""
    xp = array_module(a)
    off = real(a) <= 0  # not its opposite: that is false for NaN, and would hide it
    return xp.where(off, 0, a), off


def relu_backward(saved, dout):
    return (array_module(dout).where(saved, 0, dout),)


def softplus_forward(a, *, threshold=None):
    """log(1 + exp(a)), entry by entry, any shape; values at least 0.

    ``threshold``: above this number ``a`` itself; TypeError for what is neither a number nor None.
    """
    return _rectified_softly("softplus", a, threshold)


def oneplus_forward(a, *, threshold=None):
    """1 + log(1 + exp(a)), entry by entry, any shape; values at least 1; ``threshold`` as in softplus."""
    value, slope = _rectified_softly("oneplus", a, threshold)
    return 1 + value, slope


def gelu_forward(a, *, form="erf"):
    """a P(a), P the share of a normal distribution below ``a``; entry by entry, any shape.

    ``form``: "erf", the definition, or "tanh", its approximation.  ValueError for another.
    """
    xp = array_module(a)
    if form == "erf":
        t = a * 0.5**0.5
        share = 0.5 * erfc(-t)
        rise = t * xp.exp(-t * t) / xp.pi**0.5  # a P'(a)
    elif form == "tanh":
        double = 2 * (2 / xp.pi) ** 0.5
        share, slope = _sigmoid(xp, double * (a + 0.044715 * a * a * a))
        rise = a * slope * (double * (1 + 3 * (0.044715 * a * a)))
    else:
        raise ValueError(f"gelu: form must be 'erf' or 'tanh', got {form!r}")
    return a * share, share + rise


def times_slope_backward(saved, dout):
    """g(a) = f'(a) g: for all of these but ``relu`` the forward saves the slope."""
    return (dout * saved,)


def sigmoid_loops(a, *, math):
    return 1 / (1 + math.exp(-a))


def relu_loops(a, *, math=None):
    return max(a, 0 * a)


def softplus_loops(a, *, threshold=None, math):
    return math.log1p(math.exp(a)) if threshold is None or a <= threshold else a


def oneplus_loops(a, *, threshold=None, math):
    return 1 + (math.log(1 + math.exp(a)) if threshold is None or a <= threshold else a)


def gelu_loops(a, *, form="erf", math):
    """``a`` times the share below it; the hyperbolic tangent is written out in exponentials."""
    if form == "erf":
        return a * math.erfc(-a / math.sqrt(2)) / 2
    u = math.sqrt(2 / math.pi) * (a + 44715 * a**3 / 10**6)
    return a * math.exp(u) / (math.exp(u) + math.exp(-u))


def _rectified_softly(op, a, threshold):
    """softplus and its slope."""
    xp = array_module(a)
    value, slope = _softplus(xp, a)
    if threshold is None:
        return value, slope
    if type(threshold) not in (int, float):
        raise TypeError(f"{op}: threshold must be a number or None, got {threshold!r}")
    linear = real(a) > threshold
    return xp.where(linear, a, value), xp.where(linear, 1, slope)


# ---- evidence ---------------------------------------------------------------


def _shapes(rng, **params):
    yield Case("random", (rng.normal(size=(2, 3)),), params)
    yield Case("one number", (rng.normal(size=()),), params)
    yield Case("nothing", (rng.normal(size=(2, 0)),), params, zero_gradient=("a",))


def sigmoid_cases(rng):
    yield from _shapes(rng)
    yield Case("saturated", (rng.permutation([-40.0, -20.0, 0.0, 20.0, 40.0]),))
    yield Case("nothing but saturated", (rng.permutation([-37.0, -36.0, 35.0, 38.0]),))
    yield Case("extreme", (rng.permutation([-1e4, -1e3, 1e3, 1e4]),), zero_gradient=("a",))


def relu_cases(rng):
    a = rng.permutation([-2.0, -0.7, -0.1, 0.3, 0.8, 1.5]).reshape(2, 3)
    yield Case("random", (a,), margin=0.05)
    yield Case("one number", (a[0, 0] * 0 + 0.5,), margin=0.25)
    yield Case("nothing", (a[:, :0],), zero_gradient=("a",))
    yield Case("near zero", (1e-3 * a,), margin=5e-5)
    yield Case("at zero", (a * 0,), zero_gradient=("a",), margin=0)
    yield Case("at zero, some", (a * [0.0, 1.0, 1.0],), margin=0)
    yield Case("all negative", (-abs(a),), zero_gradient=("a",), margin=0.05)
    yield Case("extreme", (1e4 * a,), margin=500.0)


def softplus_cases(rng):
    yield from _shapes(rng)
    yield Case("nearly zero, nearly linear", (rng.permutation([-40.0, -20.0, 0.0, 20.0, 40.0]),))
    yield Case("nothing but nearly zero", (rng.permutation([-36.0, -35.0, -37.0]),))
    yield Case("extreme", (rng.permutation([-1e4, -1e3, 1e3, 1e4]),))
    beyond = rng.permutation([19.5, 20.5, -30.0, 0.3, 1e4])
    yield Case("linear beyond a threshold", (beyond,), {"threshold": 20.0}, margin=0.25)
    yield Case("at the threshold", (0 * beyond[:2] + 2.0,), {"threshold": 2}, margin=0)


def gelu_cases(rng):
    for form in ("erf", "tanh"):
        for case in _shapes(rng, form=form):
            yield Case(f"{case.label}, {form}", case.inputs, case.params, case.zero_gradient)
        tails = rng.permutation([-6.0, -5.0, -2.699, 2.699, 5.0, 6.0])
        yield Case(f"tails, {form}", (tails,), {"form": form})
        yield Case(f"lower tail alone, {form}", (-abs(tails[:2]) - 2,), {"form": form})
        yield Case(f"extreme, {form}", (rng.permutation([-1e3, -100.0, 100.0, 1e3]),), {"form": form})
    yield Case("as nobody asked", (tails,))


def halves_mirror_each_other(inputs, params, out):
    assert (abs(sigmoid_forward(-inputs[0])[0] + out - 1) <= 4e-16).all()


def a_saturated_sigmoid_still_has_a_slope(inputs, params, out):
    (a,), (_, slope) = inputs, sigmoid_forward(inputs[0])
    assert (slope[abs(a) < 700] > 0).all() and (slope <= 0.25).all()


def rectifying_again_changes_nothing(inputs, params, out):
    assert (out >= 0).all() and (relu_forward(out)[0] == out).all()


def zero_takes_no_gradient(inputs, params, out):
    _, off = relu_forward(out * 0)
    assert (relu_backward(off, out * 0 + 1)[0] == 0).all()


def a_nan_is_not_rectified(inputs, params, out):
    value = relu_forward(out * float("nan"))[0]
    assert (value != value).all()


def it_differs_from_its_mirror_by_its_argument(inputs, params, out):
    (a,) = inputs
    smooth, mirrored = softplus_forward(a)[0], softplus_forward(-a)[0]
    assert (abs(smooth - mirrored - a) <= 1e-15 * (1 + abs(a))).all() and (out >= 0).all()


def it_is_softplus_above_one(inputs, params, out):
    assert (out == 1 + softplus_forward(*inputs, **params)[0]).all() and (out >= 1).all()


def what_gelu_lets_through_it_takes_from_the_mirror(inputs, params, out):
    (a,) = inputs
    assert (abs(out - gelu_forward(-a, **params)[0] - a) <= 1e-15 * (1 + abs(a))).all()


def the_two_forms_differ_by_less_than_5e_4(inputs, params, out):
    gap = abs(gelu_forward(inputs[0], form="erf")[0] - gelu_forward(inputs[0], form="tanh")[0])
    assert (gap < 4.7324e-4).all()


def the_lower_tail_stays_below_zero(inputs, params, out):
    (a,) = inputs
    tail = (a < 0) & (a > -9)
    assert (out[tail] < 0).all() and (out[a < 0] > -0.17005).all()


def an_unknown_form_is_refused(inputs, params, out):
    try:
        gelu_forward(inputs[0], form="sigmoid")
    except ValueError as refusal:
        assert "form must be 'erf' or 'tanh', got 'sigmoid'" in str(refusal)
    else:
        raise AssertionError("it was taken")


def _op(name, *properties, **rest):
    found = {part: globals().get(f"{name}_{part}") for part in ("forward", "backward", "loops", "cases")}
    found["backward"] = found["backward"] or times_slope_backward
    found["cases"] = found["cases"] or softplus_cases
    return register(Op(name, "a() -> out()", **found, properties=properties, **rest))


sigmoid = _op("sigmoid", halves_mirror_each_other, a_saturated_sigmoid_still_has_a_slope, source="calculus")
rectified = rectifying_again_changes_nothing, zero_takes_no_gradient, a_nan_is_not_rectified
relu = _op("relu", *rectified, source="calculus")
_TORCH = {"threshold": 20.0}
softplus = _op(
    "softplus",
    it_differs_from_its_mirror_by_its_argument,
    variants=(
        Variant("deepmind", {}, "google-deepmind/dnc dnc/addressing.py"),
        Variant("collier", {}, "MarkPKCollier/NeuralTuringMachine ntm.py"),
        Variant("carpedm20", {}, "carpedm20/NTM-tensorflow ntm_cell.py"),
        Variant("pytorch_ntm", _TORCH, "loudinthecloud/pytorch-ntm ntm/head.py"),
        Variant("pytorch_dnc", _TORCH, "ixaxaar/pytorch-dnc dnc/memory.py"),
        Variant("jingweiz", _TORCH, "jingweiz/pytorch-dnc core/heads/static_head.py"),
        Variant("kaishengtai", _TORCH, "kaishengtai/torch-ntm NTM.lua"),
    ),
    source="calculus",
)
oneplus = _op(
    "oneplus",
    it_is_softplus_above_one,
    variants=(
        Variant("paper", {}, "Nature 538 (2016) 471, Methods"),
        Variant("mostafa_samir", {}, "Mostafa-Samir/DNC-tensorflow dnc/controller.py"),
        Variant("adnc", {}, "joergfranke/ADNC adnc/model/utils/tf_functions.py"),
        Variant("bgavran", {}, "bgavran/DNC src/controller_implementations/dnc/memory.py"),
        Variant("csordas", _TORCH, "RobertCsordas/dnc Models/DNC.py"),
    ),
    source="Nature 538 (2016) 471, Methods",
)
gelu = _op(
    "gelu",
    what_gelu_lets_through_it_takes_from_the_mirror,
    the_two_forms_differ_by_less_than_5e_4,
    the_lower_tail_stays_below_zero,
    an_unknown_form_is_refused,
    variants=(
        Variant(
            "torch", {"form": "erf"}, "pytorch torch/nn/modules/activation.py; karpathy/nanoGPT model.py"
        ),
        Variant("transformers", {"form": "erf"}, "huggingface/transformers src/transformers/activations.py"),
        Variant("gpt_2", {"form": "tanh"}, "openai/gpt-2 src/model.py; jaymody/picoGPT; karpathy/llm.c"),
        Variant("bert", {"form": "tanh"}, "google-research/bert modeling.py; kpot/keras-transformer"),
    ),
    source="arXiv:1606.08415",
)
