"""Layer normalisation: d features brought to mean 0 and spread 1, then scaled and shifted.

Forward
-------
    m = sum_i x_i / d           c_i = x_i - m           v = sum_i c_i^2 / d
    s = sqrt(v + eps)           y_i = c_i / s
    out_i = scale_i y_i + shift_i

Backward
--------
Write g for g(y) = g(out) scale.  A common shift of x changes nothing, so g matters without its mean
only: h_i = g_i - sum_j g_j / d.  And s moves with c, ds/dc_i = c_i / (d s), so

    g(x_i)     = (h_i - y_i sum_j y_j h_j / d) / s
    g(scale_i) = g(out_i) y_i          g(shift_i) = g(out_i)

With eps on the deviation, s = sqrt(v) + eps and ds/dc_i = c_i / (d sqrt(v)): one of the two s in
the sum is sqrt(v).  With ``unbiased`` the d in v, and so in ds/dc, is d - 1.

Accuracy
--------
Two passes: E[x^2] - m^2 loses everything when the mean is large.  The mean itself is rounded, by as
much as the spread when it is 1e6 in float32; c has that error in common, and taking its own mean
away removes it.  The part of h along c is all but taken out of g(x): eps / (v + eps) of it is left.
Where that is all there is, at d = 2, as many digits are lost as v / eps has.

Conventions
-----------
                     torch   tensor2tensor   BERT     annotated-transformer
    eps              1e-5    1e-6            1e-12    1e-6
    eps_on           variance                         deviation
    unbiased         False                            True (d - 1)

GPT-2, its descendants and keras-transformer are as torch, universal_transformer_pytorch is as annotated.
``unbiased`` is NaN at d = 1 elsewhere and means d here, so that a single feature always gives its shift
and takes no gradient.  At a constant row the gradient is g without its mean over s, 1 / sqrt(eps) = 316
for torch and 1 / eps = 1e6 for the annotated one (NaN there, from the slope of the root at 0).

Source: Ba, Kiros, Hinton, "Layer normalization", arXiv:1607.06450, eq. 4.
"""

from ..backend import array_module, real, sum_to_shape
from ..op import Case, Op, Variant, register


def layer_norm_forward(x, scale=None, shift=None, *, eps=1e-5, eps_on="variance", unbiased=False):
    """Normalised over the last axis: (..., d), (..., d) or None, (..., d) or None -> (..., d).

    ``eps`` is added to the variance under the root, or behind the root with ``eps_on="deviation"``.
    ValueError unless it is positive, and for another ``eps_on``.
    """
    if eps_on not in ("variance", "deviation"):
        raise ValueError(f"layer_norm: eps_on must be 'variance' or 'deviation', got {eps_on!r}")
    if not eps > 0:
        raise ValueError(f"layer_norm: eps must be positive, got {eps!r}")
    xp = array_module(x, scale, shift)
    d = max(x.shape[-1], 1)
    freedom = d - 1 if unbiased and d > 1 else d
    centred = x - xp.sum(x, axis=-1, keepdims=True) / d
    centred = centred - xp.sum(centred, axis=-1, keepdims=True) / d  # the mean was rounded
    variance = xp.sum(centred * centred, axis=-1, keepdims=True) / freedom
    if eps_on == "variance":
        spread = slope = xp.sqrt(variance + eps)
    else:
        deviation = xp.sqrt(variance)
        spread = deviation + eps
        slope = xp.where(real(variance) > 0, deviation, 1)  # a constant row: centred is 0 beside it
    normal = centred / spread
    out = normal if scale is None else normal * scale
    out = out if shift is None else out + shift
    shapes = (None if scale is None else scale.shape, None if shift is None else shift.shape)
    return out, (normal, spread, centred / (freedom * slope), scale, shapes)


def layer_norm_backward(saved, dout):
    """Gradients for x, scale and shift (None where that was None), given dout of shape (..., d)."""
    normal, spread, dspread, scale, (scale_shape, shift_shape) = saved  # dspread: by centred
    xp = array_module(normal, dout)
    d = max(normal.shape[-1], 1)
    dscale = None if scale is None else sum_to_shape(dout * normal, scale_shape)
    dshift = None if shift_shape is None else sum_to_shape(dout, shift_shape)
    dnormal = sum_to_shape(dout if scale is None else dout * scale, normal.shape)
    dnormal = dnormal - xp.sum(dnormal, axis=-1, keepdims=True) / d
    dx = (dnormal - normal * xp.sum(dspread * dnormal, axis=-1, keepdims=True)) / spread
    return dx, dscale, dshift


def layer_norm_loops(x, scale=None, shift=None, *, eps=1e-5, eps_on="variance", unbiased=False, math):
    """The equations above, one number at a time, for one row."""
    d = len(x)
    mean = sum(x) / max(d, 1)
    squares = sum((x[i] - mean) ** 2 for i in range(d))
    variance = squares / max(d - 1 if unbiased else d, 1)
    spread = math.sqrt(variance + eps) if eps_on == "variance" else math.sqrt(variance) + eps
    out = []
    for i in range(d):
        y = (x[i] - mean) / spread
        y = y if scale is None else scale[i] * y
        out.append(y if shift is None else y + shift[i])
    return out


# ---- evidence ---------------------------------------------------------------

UT_PYTORCH = "andreamad8/Universal-Transformer-Pytorch"
ANNOTATED = {"eps": 1e-6, "eps_on": "deviation", "unbiased": True}


def cases(rng):
    def case(label, x, scale=(), shift=(), /, **rest):
        d = x.shape[-1]
        pair = [None if shape is None else rng.normal(size=(*shape, d)) for shape in (scale, shift)]
        return Case(label, (x, *pair), **rest)

    x = rng.normal(size=(2, 4))
    yield case("one row", x[0])
    yield case("batch", rng.normal(size=(2, 2, 3)))
    yield case("scale alone", x, (), None)
    yield case("shift alone", x, None)
    yield case("neither", x, None, None)
    yield case("scale and shift of each row", x, (2,), (2,))
    yield case("rows shared by the batch", x[:1, :3], (3, 1), (2, 1, 1))
    yield case("as tensor2tensor", x, params={"eps": 1e-6})
    yield case("as BERT", x, params={"eps": 1e-12})
    yield case("as annotated", x, params=ANNOTATED)
    yield case("unbiased", x[:, :3], params={"unbiased": True})
    yield case("eps on the deviation", x, params={"eps": 0.1, "eps_on": "deviation"})
    yield case("two features", 0.01 * x[:, :2], params={"eps": 1e-3})
    yield case("two features, unbiased", 0.01 * x[:, 2:], params={"eps": 1e-3, "unbiased": True})
    yield case("spread far below eps", 1e-6 * x)
    yield case("one feature stands out", x[0] * 0.1 + [0.0, 0.0, 30.0, 0.0])
    yield case("mean a million", x[0] + 1e6, ill_conditioned=True)
    yield case("mean a million, annotated", x[0] + 1e6, params=ANNOTATED, ill_conditioned=True)
    yield case("constant row", x * [[1.0], [0.0]] + [[0.0], [0.1]], params={"eps": 1e-2})
    yield case("constant row, torch", x[0, :3] * 0 + 0.1, margin=1e-6, zero_gradient=("scale",))
    yield case("one feature", x[:, :1], zero_gradient=("x", "scale"))
    yield case("one feature, annotated", x[:, :1], params=ANNOTATED, zero_gradient=("x", "scale"))
    yield case("no feature", x[:, :0], zero_gradient=("x", "scale", "shift"))
    yield case("no row", x[:0], zero_gradient=("x", "scale", "shift"))


def the_mean_is_zero_and_the_spread_below_one(inputs, params, out):
    normal, _ = layer_norm_forward(inputs[0], **params)
    d = normal.shape[-1] or 1
    assert (abs(normal.sum(axis=-1)) <= 1e-15 * d * d).all()
    bound = d / (d - 1) if params.get("unbiased") and d > 1 else 1.0
    assert ((normal * normal).sum(axis=-1) <= d * bound * (1 + 1e-15)).all()


def a_shift_of_the_features_takes_no_gradient(inputs, params, out):
    _, saved = layer_norm_forward(*inputs, **params)
    dx, *_ = layer_norm_backward(saved, out * out + 1)
    assert (abs(dx.sum(axis=-1)) <= 1e-14 * abs(dx).sum(axis=-1)).all()


def features_are_interchangeable(inputs, params, out):
    flipped, _ = layer_norm_forward(*[None if a is None else a[..., ::-1] for a in inputs], **params)
    assert (abs(flipped[..., ::-1] - out) <= 1e-13 * (1 + abs(out))).all()


def a_constant_row_gives_the_shift_and_a_finite_gradient(inputs, params, out):
    """With eps on the deviation there is no second derivative here, so it is no case of its own."""
    value, saved = layer_norm_forward(inputs[0] * 0 + 0.1, **params)
    spread = params.get("eps", 1e-5) ** (1.0 if params.get("eps_on") == "deviation" else 0.5)
    dx, *_ = layer_norm_backward(saved, out)
    dout = sum_to_shape(out, dx.shape)
    centred = dout - dout.sum(axis=-1, keepdims=True) / (dout.shape[-1] or 1)
    assert (value == 0).all() and (abs(saved[1] - spread) <= 1e-15 * spread).all()
    assert (abs(dx * spread - centred) <= 1e-14 * abs(dout).sum()).all()


def a_large_mean_costs_no_digit(inputs, params, out):
    """In float32 too: whole numbers about 2^20 are exact there, and the shift changes nothing at all."""
    small = (100 * inputs[0] - (100 * inputs[0]) % 1) % 64
    for dtype, digits in (("float64", 1e-14), ("float32", 1e-5)):
        here, near = layer_norm_forward(small.astype(dtype), **params)
        there, far = layer_norm_forward((small + 2.0**20).astype(dtype), **params)
        assert (abs(there - here) <= digits).all()
        dout = (small * small).astype(dtype)
        dx, dx_there = layer_norm_backward(near, dout)[0], layer_norm_backward(far, dout)[0]
        assert (abs(dx_there - dx) <= digits * abs(dx).max(initial=0.0)).all()


def a_spread_that_may_be_zero_is_refused(inputs, params, out):
    for wrong, word in (
        ({"eps": 0.0}, "positive"),
        ({"eps": -1.0}, "positive"),
        ({"eps_on": "x"}, "'variance'"),
    ):
        try:
            layer_norm_forward(*inputs, **{**params, **wrong})
        except ValueError as refusal:
            assert word in str(refusal)
        else:
            raise AssertionError(f"{wrong} was taken")


VARIANTS: dict[str, tuple[dict, str]] = {
    "torch": ({}, "pytorch torch/nn/modules/normalization.py"),
    "gpt_2": ({}, "openai/gpt-2 src/model.py"),
    "nanogpt": ({}, "karpathy/nanoGPT model.py"),
    "llm_c": ({}, "karpathy/llm.c train_gpt2.c"),
    "picogpt": ({}, "jaymody/picoGPT gpt2.py"),
    "keras_transformer": ({}, "kpot/keras-transformer keras_transformer/transformer.py"),
    "tensor2tensor": ({"eps": 1e-6}, "tensorflow/tensor2tensor tensor2tensor/layers/common_layers.py"),
    "bert": ({"eps": 1e-12}, "google-research/bert modeling.py"),
    "transformers": (
        {"eps": 1e-12},
        "huggingface/transformers src/transformers/models/bert/configuration_bert.py",
    ),
    "annotated": (ANNOTATED, "harvardnlp/annotated-transformer the_annotated_transformer.py"),
    "universal_transformer_pytorch": (ANNOTATED, f"{UT_PYTORCH} models/common_layer.py"),
}

layer_norm = register(
    Op(
        name="layer_norm",
        signature="x(d), scale?(d), shift?(d) -> out(d)",
        forward=layer_norm_forward,
        backward=layer_norm_backward,
        loops=layer_norm_loops,
        cases=cases,
        properties=(
            the_mean_is_zero_and_the_spread_below_one,
            a_shift_of_the_features_takes_no_gradient,
            features_are_interchangeable,
            a_constant_row_gives_the_shift_and_a_finite_gradient,
            a_large_mean_costs_no_digit,
            a_spread_that_may_be_zero_is_refused,
        ),
        variants=tuple(Variant(name, *what) for name, what in VARIANTS.items()),
        source="arXiv:1607.06450 eq. 4",
    )
)
