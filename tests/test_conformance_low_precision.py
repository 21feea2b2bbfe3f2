"""float16 and bfloat16: rounding plans, errors taken together, and frameworks that round as they please."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import gradcheck
from gradcheck import Plan
from gradcheck.conformance.aggregate import Errors
from gradcheck.conformance.plan import STAGES
from gradcheck.conformance.rounding import FORMATS, MODES, rounded, underflow, unit_in_the_last_place
from scratchattn import REGISTRY
from scratchattn.op import Case


def everything(rng):
    """Numbers of all sizes, ties and edges."""
    x = rng.normal(size=4000) * 2.0 ** rng.uniform(-30, 13, size=4000)
    return np.concatenate(
        [x, x.astype(np.float16).astype(float), [0.0, -0.0, 65519.9, 65520.0, 2.0**-25, 2.0**-24]]
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rounding_to_nearest_is_numpys(dtype, rng):
    x = everything(rng)
    with np.errstate(over="ignore"):
        expected = x.astype(dtype).astype(float)
    assert np.array_equal(rounded(x, dtype), expected)
    assert np.array_equal(
        rounded(np.array([np.inf, -np.inf, np.nan]), dtype), [np.inf, -np.inf, np.nan], equal_nan=True
    )


@pytest.mark.peers
def test_rounding_to_bfloat16_is_that_of_ml_dtypes(rng):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = everything(rng)
    assert np.array_equal(
        rounded(x, "bfloat16"), x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(float)
    )


def test_rounding_down_and_at_random(rng):
    x = everything(rng)[:4000]
    cut = rounded(x, "bfloat16", "toward_zero")
    assert (abs(cut) <= abs(x)).all() and (abs(x - cut) < unit_in_the_last_place(x, "bfloat16")).all()
    many = np.full(40_000, 1.0 + 2.0**-9)
    drawn = rounded(many, "bfloat16", "stochastic", rng)
    assert set(drawn) == {1.0, 1.0 + 2.0**-7} and abs(drawn.mean() - many[0]) < 1e-4
    assert (rounded(drawn, "bfloat16", "stochastic", rng) == drawn).all()
    for dtype in ("float16", "float32", "float64"):
        x = np.array([0.0, 1.0, 1.5, 100.0], dtype)
        units = unit_in_the_last_place(x.astype(float), dtype)
        assert np.array_equal(units, [np.finfo(dtype).smallest_subnormal, *np.spacing(x[1:])])
    assert underflow("float16") < 1e-5 and underflow("float32") == np.finfo(np.float32).tiny
    for wrong in ({"dtype": "int8"}, {"dtype": "float16", "mode": "up"}):
        with pytest.raises(ValueError, match=r"rounded: (dtype|mode) must be one of"):
            rounded(x, **wrong)
    assert set(FORMATS) == {"float64", "float32", "float16", "bfloat16"} and len(MODES) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scores": "int8"}, "scores must be one of"),
        ({"accumulators": None}, "accumulators must be one of"),
        ({"mode": "up"}, "mode must be one of nearest, toward_zero, stochastic"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Plan(**settings)


@pytest.mark.parametrize(("op", "stage"), [("layer_norm", "scores"), ("softmax", "row_sums")])
def test_stages_that_an_op_does_not_have_are_refused(op, stage):
    with pytest.raises(ValueError, match=f"{op} has no {stage}; "):
        gradcheck.verify(np.exp, op, framework="numpy", dtype="float16", plan=Plan(**{stage: "float16"}))


# ---- a kernel of our own making ---------------------------------------------


def kernel(mode="nearest", slips=None, **stages):
    """Attention and its backward as a kernel has them: exact but at ``stages``; in float16 arrays."""
    rng = np.random.default_rng(0)

    def cut(x, stage):
        return rounded(x, stages[stage], mode, rng) if stage in stages else x

    def out_of(x):
        return cut(x, "outputs").astype(np.float16)

    def forward(query, key, value):
        q, k, v = (x.astype(float) for x in (query, key, value))
        z = cut(q @ k.mT * q.shape[-1] ** -0.5, "scores")
        e = np.exp(z - z.max(-1, keepdims=True, initial=-1e30))
        p = cut(e / e.sum(-1, keepdims=True), "probabilities")
        return out_of(p @ v), (q, k, v, p)

    def backward(saved, dout):
        (q, k, v, p), g = saved, dout.astype(float)
        dp = cut(g @ v.mT, "dprobabilities")
        sums = (g * cut(p @ v, "row_sums")).sum(-1, keepdims=True)
        ds = cut(p * (dp - sums), "dscores") * q.shape[-1] ** -0.5
        grads = {"query": ds @ k, "key": ds.mT @ q, "value": p.mT @ g}
        longer = slips or {}
        grads = [d * longer.get(name, 1.0) for name, d in grads.items()]
        return tuple(
            out_of(d if d.shape == x.shape else summed(cut(d, "copies"), x)) for d, x in zip(grads, (q, k, v))
        )

    return forward, backward


def summed(gradient, like):
    gradient = gradient.sum(tuple(range(gradient.ndim - like.ndim)))
    axes = tuple(i for i, n in enumerate(like.shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axes, keepdims=True)


ROUNDS = dict.fromkeys(["probabilities", "dscores", "row_sums", "copies", "outputs"], "float16")


def judged(pair, plan, against="softmax_attention", **settings):
    forward, backward = pair
    return gradcheck.verify(
        forward,
        against,
        framework="numpy",
        dtype="float16",
        backward=backward,
        plan=plan,
        **settings,
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_kernel_that_rounds_as_it_says_conforms(mode):
    report = judged(kernel(mode, **ROUNDS), Plan(**ROUNDS, mode=mode))
    assert report.conforms, report
    assert set(report.lines) == {"out", "dquery", "dkey", "dvalue"}
    assert all(0 < line.slope_error < 1e-3 for line in report.lines.values())


def test_one_that_cuts_digits_off_does_not_round_to_nearest():
    report = judged(kernel("toward_zero", **ROUNDS), Plan(**ROUNDS), seeds=6)
    assert not report.conforms
    assert "as a whole (slope 0.999" in report.sentence()
    assert any(not line.ok for line in report.lines.values())
    assert report.json()["lines"]["out"]["slope"] < 1


@pytest.mark.parametrize("stage", [*STAGES, "row_sums", "outputs"])
def test_one_that_rounds_to_less_than_it_says_differs(stage):
    coarse = kernel(**{**ROUNDS, stage: "bfloat16"})
    claimed = judged(coarse, Plan(**ROUNDS))
    assert not claimed.conforms and claimed.verdict == "differs"
    assert judged(coarse, Plan(**{**ROUNDS, stage: "bfloat16"})).conforms


def test_gradients_of_copies_that_are_rounded_before_they_are_summed_are_told():
    """In bfloat16: sixteen queries share a key and a value."""

    def cases(rng):
        yield Case("shared keys", (*rng.normal(size=(1, 16, 2, 3)), *rng.normal(size=(2, 3, 3)), *[None] * 3))

    op = replace(REGISTRY["softmax_attention"], cases=cases)
    rounds = {**ROUNDS, "copies": "bfloat16"}
    assert not judged(kernel(**rounds), Plan(**ROUNDS), against=op).conforms
    assert judged(kernel(**rounds), Plan(**rounds), against=op).conforms


@pytest.mark.parametrize("name", ["query", "key", "value"])
def test_a_gradient_one_percent_too_long_is_found(name):
    report = judged(kernel(slips={name: 1.01}, **ROUNDS), Plan(**ROUNDS))
    assert report.verdict == "differs" and f"d{name}" in report.sentence()
    others = {f"d{other}" for other in ("query", "key", "value") if other != name}
    assert all(report.lines[other].ok for other in others)
    assert abs(report.lines[f"d{name}"].slope - 1.01) < 3e-3


def test_the_line_finds_what_was_put_in(rng):
    truth, sigma = rng.normal(size=2000), np.full(2000, 0.05)
    runs = truth + sigma * rng.normal(size=(24, 2000))
    for slope, bias, ok in ((1.0, 0.0, True), (1.02, 0.0, False), (1.0, 0.02, False)):
        errors = Errors()
        errors.add("x", slope * truth + bias + sigma * rng.normal(size=2000), truth, sigma, runs)
        line = errors.lines()["x"]
        assert line.ok is ok
        assert abs(line.slope - slope) < 6 * line.slope_error and abs(line.bias - bias) < 6 * line.bias_error
    assert Errors().lines() == {}


# ---- frameworks -------------------------------------------------------------


@pytest.mark.peers
def test_numpys_bfloat16_arrays_are_taken():
    pytest.importorskip("ml_dtypes")
    report = gradcheck.verify(np.multiply, "multiply", framework="numpy", dtype="bfloat16")
    assert report.conforms and report.dtype == "bfloat16"
    wide = gradcheck.verify(
        lambda a, b: (a * b).astype(np.float32), "multiply", framework="numpy", dtype="bfloat16"
    )
    assert wide.conforms


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_pytorchs_attention_and_norm_are_not_refused_and_three_percent_are_found(dtype):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    class Longer(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.factor = factor
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return (g.float() * ctx.factor).to(g.dtype), None

    def attention(query, key, value, factor=1.0):
        return functional.scaled_dot_product_attention(query, Longer.apply(key, factor), value)

    def norm(x, scale, shift, factor=1.0):
        return functional.layer_norm(Longer.apply(x, factor), x.shape[-1:]) * scale + shift

    for function, op in ((attention, "softmax_attention"), (norm, "layer_norm")):
        verify = partial(gradcheck.verify, against=op, framework="torch", dtype=dtype)
        assert verify(function).conforms
        wrong = verify(partial(function, factor=1.03))
        assert wrong.verdict == "differs", wrong
