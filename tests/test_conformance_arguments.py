"""Where the kit puts an op's inputs and params, and which of its outputs come back."""

import runpy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import gradcheck
from scratchattn import REGISTRY
from scratchattn.op import Case


def normal(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + x.dtype.type(1e-5))


def judged(function, against, **settings):
    return gradcheck.verify(function, against, **{"framework": "numpy", "seeds": 1, **settings})


def subtracted(a, b):
    return a - b


def test_names_order_and_functions_of_arguments():
    assert judged(subtracted, "subtract").conforms
    assert judged(lambda b, a: a - b, "subtract").conforms  # by name
    assert not judged(lambda x, y: y - x, "subtract").conforms
    assert judged(lambda x, y: y - x, "subtract", arguments=["b", "a"]).conforms
    assert judged(lambda x, y: y - x, "subtract", arguments={"a": "y", "b": "x"}).conforms
    assert judged(lambda pair: pair[0] - pair[1], "subtract", arguments=lambda a, b: ((a, b),)).conforms
    assert judged(
        lambda minus, plus: plus - minus, "subtract", arguments=lambda a, b: {"plus": a, "minus": b}
    ).conforms


def test_gradients_follow_the_order_of_the_function():
    settings = {"against": "subtract", "backward": lambda y, x, dout: (-dout, dout)}
    assert (
        judged(lambda y, x: x - y, arguments=["b", "a"], **settings).verdict == "differs"
    )  # of broadcast batches
    report = judged(lambda y, x: x - y, arguments=["b", "a"], **settings)
    same = [c for c in report.cases if "shape" not in c["what"]]
    assert same and all(c["ok"] for c in same)


def test_optional_inputs_and_params_go_to_arguments_of_their_name():
    def scaled(x, scale=None, *, eps=1e-5):
        centred = x - x.mean(-1, keepdims=True)
        out = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + x.dtype.type(eps))
        return out if scale is None else out * scale

    few, more = judged(normal, "layer_norm"), judged(scaled, "layer_norm")
    assert few.conforms and more.conforms
    assert {"as tensor2tensor", "scale alone"}.isdisjoint({c["case"] for c in few.cases})
    assert "scale alone" in {c["case"] for c in more.cases}
    assert "unbiased" in more.not_asked and "no such argument" in more.not_asked["unbiased"]
    three = judged(lambda x, g, b: normal(x) * g + b, "layer_norm")
    assert three.conforms and "neither" in three.not_asked and "one row" in {c["case"] for c in three.cases}


def test_params_and_variants_that_the_function_follows():
    def theirs(x):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + x.dtype.type(1e-6))

    found = judged(theirs, "layer_norm")
    assert (found.verdict, found.variant, found.conforms) == ("follows", "tensor2tensor", False)
    assert "eps=1e-06" in found.sentence()
    assert judged(theirs, "layer_norm", params={"eps": 1e-6}).conforms
    held = judged(theirs, "layer_norm", variant="tensor2tensor")
    assert held.conforms and held.variant == "tensor2tensor"
    back = judged(normal, "layer_norm", variant="tensor2tensor")
    assert (back.verdict, back.variant) == ("follows", "torch")


def mirrored(weights, shift):
    offsets = range(-((shift.shape[-1] - 1) // 2), shift.shape[-1] // 2 + 1)
    return sum(np.roll(weights, -o, -1) * shift[..., k, None] for k, o in enumerate(offsets))


def test_a_convention_is_what_a_preset_says_of_the_op():
    report = judged(mirrored, "circular_shift", convention="pytorch_ntm")
    assert report.conforms and "conforms to circular_shift (pytorch_ntm)" in report.sentence()
    back = judged(mirrored, "circular_shift", convention="paper")
    assert (back.verdict, back.variant) == ("follows", "pytorch_ntm")
    assert "not paper, from which it differs" in back.sentence()
    mark = gradcheck.parametrize("circular_shift", framework="numpy", dtypes="float32", convention="paper")
    with pytest.raises(AssertionError, match="follows the variant pytorch_ntm"):
        mark.mark.args[1][0].values[0](mirrored)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"convention": "torch"}, "'torch' says nothing of circular_shift; of circular_shift speak: paper"),
        ({"convention": "nobody"}, "'nobody' is not known; of circular_shift speak: paper, "),
        ({"convention": "paper", "variant": "collier"}, "must be None beside a variant, got 'paper'"),
    ],
)
def test_conventions_that_say_nothing_are_refused(settings, message):
    for judge in (
        partial(judged, mirrored, "circular_shift"),
        partial(gradcheck.parametrize, "circular_shift"),
    ):
        with pytest.raises(ValueError, match=message):
            judge(**settings)


def attention(query, key, value, *, causal=None, penalty=None):
    """Wrong where there is a penalty."""
    z = query @ key.mT / query.dtype.type(query.shape[-1] ** 0.5)
    e = np.exp(z - z.max(-1, keepdims=True))
    e = e if causal is None else np.tril(e)
    return e / e.sum(-1, keepdims=True) @ value * (1 if penalty is None else 2)


def test_a_variant_is_asked_where_the_op_allows_its_params():
    report = judged(attention, "softmax_attention", variant="annotated")
    assert "penalty must be None beside a fill" in report.not_asked["{'penalty': -2.0}, causal"]
    assert "one head" in {c["case"] for c in report.cases}


def test_a_variant_that_is_silent_where_the_op_is_refuted_is_not_followed():
    def cases(rng):
        inputs = (*rng.normal(size=(3, 3, 3)), None, None, None)
        yield Case("plain", inputs)
        yield Case("with a penalty", inputs, {"causal": "top_left", "penalty": -2.0})

    report = judged(attention, replace(REGISTRY["softmax_attention"], cases=cases))
    assert [c["ok"] for c in report.cases] == [True, False]
    assert report.verdict == "differs" and report.variants["annotated"]["failed"] == 1


def test_what_conforms_is_not_said_to_follow_a_variant_that_cannot_be_told_from_the_op():
    report = judged(lambda query, key, value: attention(query, key, value), "softmax_attention")
    assert report.conforms and report.variant is None and report.variants == {}


def test_functions_are_called_as_people_call_them(tmp_path):
    (tmp_path / "theirs.py").write_text("def minus(a, b):\n    return a - b\n")
    loaded = runpy.run_path(str(tmp_path / "theirs.py"))["minus"]
    assert judged(loaded, "subtract").function == "minus"
    assert judged(partial(loaded), "subtract").function == "minus()"
    assert judged(np.subtract, "subtract").function == "numpy.subtract"
    assert judged(subtracted, "subtract").function == f"{__name__}.subtracted"


def test_outputs_may_be_chosen():
    def both(link, precedence, write_weights):
        w = write_weights
        after = (1 - w.sum(-1, keepdims=True)) * precedence + w
        return np.zeros(3), after

    report = judged(both, "dnc_linkage", outputs=[None, "new_precedence"])
    assert report.conforms and set(report.distances) == {"new_precedence"}
    assert judged(
        lambda *a: {"new_precedence": both(*a)[1]}, "dnc_linkage", outputs="new_precedence"
    ).conforms


def test_every_op_conforms_to_itself():
    """The kit on the whole registry, forward and backward: no case of ours is refused in float32."""
    sizes = 0
    for name, op in REGISTRY.items():
        if op.equals is not None or op._signature.variadic_out:
            continue
        report = judged(_alone(op), name)
        assert report.conforms, report
        sizes += len(report.cases)
    assert sizes > 1000


def _alone(op):
    def function(*inputs, **named):
        bound = op.__signature__.bind(*inputs, **named)
        bound.apply_defaults()
        return op.forward(*bound.args, **bound.kwargs)[0]

    function.__signature__ = op.__signature__
    return function
