"""Honest implementations in PyTorch and JAX, and small errors planted into one gradient."""

import inspect

import numpy as np
import pytest
from test_conformance_honest import OPS, in_numpy, judged

import gradcheck
from gradcheck.conformance import frameworks
from gradcheck.conformance.frameworks import Jax
from scratchattn import REGISTRY


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPS)
def test_pytorch_conforms(name, dtype):
    report = judged("torch", name, dtype)
    assert report.conforms and report.variant is None, report
    assert any(name.startswith("d") for name in report.distances)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "dtype"), list(zip(OPS, ["float32", "float64"] * 4, strict=True)))
def test_jax_conforms_under_jit(name, dtype):
    report = judged("jax", name, dtype, seeds=1, time_limit=60.0)
    assert report.conforms and report.variant is None, report
    assert any(name.startswith("d") for name in report.distances)


@pytest.mark.peers
def test_jax_is_compiled_once_for_each_shape_even_without_our_options(monkeypatch):
    pytest.importorskip("jax")
    made, compiled = [], Jax._compile
    monkeypatch.setattr(frameworks, "IN_HASTE", {"no_such_option": True})
    monkeypatch.setattr(Jax, "_compile", lambda *given: made.append(given[2]) or compiled(*given))
    assert judged("jax", "circular_shift", "float32", seeds=2).conforms
    shapes = [str([x.shape for x in arrays[0]]) for arrays in made]
    assert len(shapes) == len(set(shapes)) > 3


@pytest.mark.peers
def test_jax_refuses_what_does_not_fit_by_its_shapes():
    pytest.importorskip("jax")
    report = judged("jax", "cosine_addressing", "float32", seeds=1)
    assert {m["argument"]: m["refused"] for m in report.misfits} == dict.fromkeys(
        ("key", "memory", "strength"), True
    )


@pytest.mark.peers
def test_what_jax_cannot_trace_crashes_by_name():
    pytest.importorskip("jax")
    report = gradcheck.verify(lambda a: a if float(a.sum()) > 0 else 2 * a, "exp", framework="jax", seeds=1)
    assert report.verdict == "crashes" and "ConcretizationTypeError" in report.sentence()


@pytest.mark.peers
def test_what_torch_leaves_out_is_named():
    pytest.importorskip("torch")
    verify = lambda function: gradcheck.verify(function, "multiply", framework="torch", seeds=1)
    report = verify(lambda a, b: a * b.detach())
    assert report.verdict == "differs" and "db there is no gradient (None)" in str(report.cases)
    assert verify(lambda a, b: (a * b).detach()).verdict == "differs"
    assert verify(lambda a, b: a.mul_(b)).verdict == "crashes"  # a leaf that autograd watches
    assert "list" in str(verify(lambda a, b: [a * b]).notes)


@pytest.mark.peers
def test_a_module_of_pytorch_and_a_bound_method_are_candidates():
    torch = pytest.importorskip("torch")

    class Norm(torch.nn.Module):
        def forward(self, x, scale=None):
            out = torch.nn.functional.layer_norm(x, x.shape[-1:])
            return out if scale is None else out * scale

    report = gradcheck.verify(Norm(), "layer_norm", seeds=1)
    assert (
        report.conforms and report.framework == "torch" and "scale alone" in {c["case"] for c in report.cases}
    )
    assert gradcheck.verify(Norm().forward, "layer_norm", framework="torch", seeds=1).conforms


@pytest.mark.parametrize("name", ["layer_norm", "circular_shift", "dnc_allocation", "lstm_cell"])
def test_one_gradient_off_by_a_hundred_thousandth_is_found(name):
    function, backward = in_numpy()[name]
    inputs = [i.name for i in REGISTRY[name]._signature.inputs if i.kind is None]
    takes_saved = next(iter(inspect.signature(backward).parameters)) == "saved"
    required = [i for i in inputs if name == "layer_norm" or i not in ("bias", "permutation")]
    for place, wrong in enumerate(required):

        def slipped(*given, place=place):
            grads = backward(*given)
            grads = list(grads) if isinstance(grads, tuple) else [grads]
            grads[place] = grads[place] * np.float32(1 + 1e-5)
            return tuple(grads)

        with_saved = (lambda saved, dout, slipped=slipped: slipped(saved, dout)) if takes_saved else slipped
        report = gradcheck.verify(function, name, framework="numpy", backward=with_saved)
        assert report.verdict == "differs" and report.distances[f"d{wrong}"] > 6, report
        assert max(v for k, v in report.distances.items() if k != f"d{wrong}") < 6
