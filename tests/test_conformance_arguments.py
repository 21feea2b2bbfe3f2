"""Where the kit puts an op's inputs and params, and which of its outputs come back."""

import numpy as np

import gradcheck
from scratchattn import REGISTRY


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
