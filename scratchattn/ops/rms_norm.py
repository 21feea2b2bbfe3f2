"""Root-mean-square normalisation: d features brought to a mean square of one, then weighted.

Layer normalisation without the mean: what is left alone is the direction of the features.

Forward
-------
    v = sum_i x_i^2 / d         s = sqrt(v + eps)         y_i = x_i / s
    out_i = (offset + weight_i) y_i

Backward
--------
Write g for g(y) = g(out) (offset + weight).  s moves with x, ds/dx_i = x_i / (d s), so

    g(x_i)      = (g_i - y_i sum_j y_j g_j / d) / s
    g(weight_i) = g(out_i) y_i

With eps on the root, s = sqrt(v) + eps and ds/dx_i = x_i / (d sqrt(v)).

Accuracy
--------
The part of g along y is all but taken out: what is left of it is its share k = 1 - v / s^2 = eps / s^2
(on the root: eps / s).  Where one feature w has more than half of all squares, this cancels for it, and
with d = 1 nothing else is there.  So a multiple c = g_w / y_w of y is set apart, of which k is known, and

    r = g - c y             g(x_i) = (r_i - y_i sum_j y_j r_j / d + c k y_i) / s

has no difference of large numbers.  The forward divides x, and sqrt(eps), by the largest feature first:
so its tangent has none either, and no square overflows.

Conventions
-----------
                      eps       eps_on         offset
    LLaMA             1e-5      mean_square    0
    T5                1e-6      mean_square    0
    Gemma             1e-6      mean_square    1        weights start at 0
    bzhangGo (paper)  1e-8      root           0
    torch             1.2e-7    mean_square    0        by default the spacing of the dtype at one: float32's

A row of zeros gives zeros, and the gradient g / s = 316 g for LLaMA, 1e8 g for eps = 1e-8 on the root (NaN
there, from the slope of the root at 0).  In half precision LLaMA rounds y before it is weighted and Gemma
does not: here nothing is rounded.  The paper's p, a mean square of the first features only, is not here.

Source: Zhang, Sennrich, "Root mean square layer normalization", arXiv:1910.07467, eqs. 4, 8.
"""

from ..backend import array_module, real, sum_to_shape
from ..op import Case, Op, Variant, register


def rms_norm_forward(x, weight=None, *, eps=1e-6, eps_on="mean_square", offset=0.0):
    """Normalised over the last axis: (..., d), (..., d) or None -> (..., d).

    ``eps`` is added to the mean square under the root, or behind the root with ``eps_on="root"``; ``offset``
    to the weight, if there is one.  ValueError unless eps is positive, and for another ``eps_on``.
    """
    if eps_on not in ("mean_square", "root"):
        raise ValueError(f"rms_norm: eps_on must be 'mean_square' or 'root', got {eps_on!r}")
    if not eps > 0:
        raise ValueError(f"rms_norm: eps must be positive, got {eps!r}")
    xp = array_module(x, weight)
    d = x.shape[-1] or 1
    scale = _scale(xp, x, eps)
    x = x / scale
    root = xp.sum(x * x, axis=-1, keepdims=True) / d
    if eps_on == "mean_square":
        added = (eps**0.5 / scale) * (eps**0.5 / scale)
        spread = slope = xp.sqrt(root + added)
        kept = added / (spread * spread)
    else:
        root = xp.sqrt(root)
        spread = root + eps / scale
        slope = xp.where(real(root) > 0, root, 1)  # a row of zeros: x is 0 beside it
        kept = eps / scale / spread
    normal = x / spread
    factor = None if weight is None else offset + weight
    out = normal if weight is None else normal * factor
    return out, (normal, spread * scale, x / (d * slope), kept, factor)


def rms_norm_backward(saved, dout):
    """Gradients for x and weight (None where that was None), given dout of shape (..., d)."""
    normal, spread, dspread, kept, factor = saved  # dspread: by x
    xp = array_module(normal, dout)
    dweight = None if factor is None else sum_to_shape(dout * normal, factor.shape)
    g = sum_to_shape(dout if factor is None else dout * factor, normal.shape)
    if normal.shape[-1] == 0:
        return g, dweight
    winner = _winner(xp, normal)
    top = xp.take_along_axis(normal, winner, axis=-1)
    dominant = 2 * real(top) * real(top) > normal.shape[-1]
    along = xp.where(dominant, xp.take_along_axis(g, winner, axis=-1) / xp.where(dominant, top, 1), 0)
    rest = g - along * normal
    dx = rest - normal * xp.sum(dspread * rest, axis=-1, keepdims=True) + along * kept * normal
    return dx / spread, dweight


def rms_norm_loops(x, weight=None, *, eps=1e-6, eps_on="mean_square", offset=0.0, math):
    """The equations above for one row, one number at a time."""
    d = len(x)
    total = 0
    for entry in x:
        total = total + entry**2
    mean_square = total / max(d, 1)
    spread = math.sqrt(mean_square + eps) if eps_on == "mean_square" else math.sqrt(mean_square) + eps
    return [x[i] / spread * (1 if weight is None else offset + weight[i]) for i in range(d)]


def _winner(xp, x):
    """The index of the largest feature, of either sign."""
    return xp.expand_dims(xp.argmax(xp.where(real(x) < 0, -real(x), real(x)), axis=-1), axis=-1)


def _scale(xp, x, eps):
    """The largest feature's size, or one where eps is larger than its square."""
    if x.shape[-1] == 0:
        return xp.ones_like(xp.sum(x, axis=-1, keepdims=True))
    top = xp.take_along_axis(x, _winner(xp, x), axis=-1)
    top = xp.where(real(top) < 0, -top, top)
    return xp.where(real(top) > eps**0.5, top, 1)


# ---- evidence ---------------------------------------------------------------

PUBLISHED = {"eps": 1e-8, "eps_on": "root"}


def cases(rng):
    def case(label, x, weight=(), /, **rest):
        weight = None if weight is None else rng.normal(size=(*weight, x.shape[-1]))
        return Case(label, (x, weight), **rest)

    x = rng.normal(size=(2, 4))
    alone = rng.choice([-1.0, 1.0], size=(4, 1)) * rng.uniform(0.5, 2.0, size=(4, 1))
    far = x[0] * 0.1 + [0.0, 0.0, 30.0, 0.0]
    yield case("one row", x[0])
    yield case("batch", rng.normal(size=(2, 2, 3)))
    yield case("no weight", x, None)
    yield case("a weight of each row", x, (2,))
    yield case("rows shared by the batch", x[:1, :3], (2, 1))
    yield case("as LLaMA", x, params={"eps": 1e-5})
    yield case("as Gemma", x, params={"offset": 1.0})
    yield case("as published", x, params=PUBLISHED)
    yield case("eps on the root", x, params={"eps": 0.1, "eps_on": "root", "offset": 1.0})
    yield case("a large eps", x, params={"eps": 1.0})
    yield case("spread far below eps", 1e-6 * x, params={"eps": 1e-4})
    yield case("one feature stands out", far)
    yield case("one feature stands out, eps on the root", far, params=PUBLISHED)
    yield case(
        "one feature of each row stands out", x * 0.01 + 5.0 * (abs(x) == abs(x).max(-1)[:, None]), None
    )
    alone_by_far = abs(x[:, :3]) * [[1e-5, 1e-5, 1e5], [1e-5, -1e5, 1e-5]]
    yield case("a feature of either sign stands out by far", alone_by_far, params={"eps": 1e-12})
    yield case("two features of one size", x[:, :1] * [1.0, -1.0])
    yield case("one feature", alone)
    yield case("one feature, as published", alone, params=PUBLISHED)
    yield case("two features", x[:, :2])
    yield case("a row of zeros", x * [[0.0], [1.0]], params={"eps": 1e-2})
    yield case("nothing but zeros", x[0] * 0, margin=1e-4, zero_gradient=("weight",))
    yield case("far from one", x * [[1e4], [1e-4]], params={"eps": 1e-4})
    yield case("no feature", x[:, :0], zero_gradient=("x", "weight"))
    yield case("no row", x[:0], zero_gradient=("x", "weight"))


def the_mean_square_is_below_one(inputs, params, out):
    normal, _ = rms_norm_forward(inputs[0], **params)
    assert ((normal * normal).sum(axis=-1) <= (normal.shape[-1] or 1) * (1 + 1e-15)).all()


def a_row_of_zeros_stays_and_has_a_finite_gradient(inputs, params, out):
    """With eps on the root there is no second derivative here, so it is no case of its own."""
    value, saved = rms_norm_forward(inputs[0] * 0, **params)
    spread = params.get("eps", 1e-6) ** (1.0 if params.get("eps_on") == "root" else 0.5)
    dx, _ = rms_norm_backward(saved, out)
    dout = sum_to_shape(out, dx.shape)
    assert (value == 0).all() and (abs(dx * spread - dout) <= 1e-15 * abs(dout)).all()


def no_square_overflows(inputs, params, out):
    (large, saved), (small, _) = (rms_norm_forward(inputs[0] * size, **params) for size in (1e200, 1e100))
    dx, _ = rms_norm_backward(saved, out)
    assert (abs(large - small) <= 1e-14 * (1 + abs(small))).all() and (abs(dx) <= 1e-90).all()


def features_are_interchangeable(inputs, params, out):
    flipped, _ = rms_norm_forward(*[None if a is None else a[..., ::-1] for a in inputs], **params)
    assert (abs(flipped[..., ::-1] - out) <= 1e-14 * (1 + abs(out))).all()


rms_norm = register(
    Op(
        name="rms_norm",
        signature="x(d), weight?(d) -> out(d)",
        forward=rms_norm_forward,
        backward=rms_norm_backward,
        loops=rms_norm_loops,
        cases=cases,
        properties=(
            the_mean_square_is_below_one,
            a_row_of_zeros_stays_and_has_a_finite_gradient,
            no_square_overflows,
            features_are_interchangeable,
        ),
        variants=(
            Variant("llama", {"eps": 1e-5}, "meta-llama/llama llama/model.py"),
            Variant("t5", {}, "huggingface/transformers src/transformers/models/t5/modeling_t5.py"),
            Variant("gemma", {"offset": 1.0}, "google/gemma_pytorch gemma/model.py"),
            Variant("authors", PUBLISHED, "bzhangGo/rmsnorm rmsnorm_torch.py"),
            Variant("torch", {"eps": 2.0**-23}, "pytorch torch/nn/modules/normalization.py"),
        ),
        source="arXiv:1910.07467 eqs. 4, 8",
    )
)
