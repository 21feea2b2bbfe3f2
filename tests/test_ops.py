"""Every registered op, at every case it registered.  A new op file needs no new test file."""

import ast
import inspect
import pkgutil
import sys
from pathlib import Path

import numpy as np
import pytest

import scratchattn
from gradcheck.evidence import CHECKS, check
from scratchattn import REGISTRY, fused, ops
from scratchattn.tape import Tensor

OPS = [pytest.param(op, id=name) for name, op in sorted(REGISTRY.items())]


def is_fused(op):
    return op.forward.__module__.startswith(f"{fused.__name__}.")


def document(op):
    return sys.modules[op.forward.__module__].__doc__ or ""


def cases_of(op, seed=0):
    return list(op.cases(np.random.default_rng(seed)))


@pytest.mark.parametrize("op", OPS)
def test_op(op):
    """All checks of ``gradcheck`` at all cases: nothing may be left over."""
    results = check(op)
    wrong = [r for r in results if not r["ok"]]
    assert not wrong, "\n".join(f"{r['case']}: {r['check']}, {r['what']}: {r['error']:.2g}" for r in wrong)
    assert {r["case"] for r in results} == {case.label for case in cases_of(op)}


@pytest.mark.parametrize("op", OPS)
def test_an_op_has_what_it_is_tested_by(op):
    """A transcription of the paper, or the composition of reference ops that it must equal."""
    if is_fused(op):
        assert op.equals is not None
    else:
        assert op.loops is not None and op.equals is None
    assert cases_of(op), "no case"
    assert op.excused <= {test.__name__ for test in CHECKS}


@pytest.mark.parametrize("op", OPS)
def test_an_op_is_documented(op):
    """The file derives it and cites it; the function says what goes in and what comes out."""
    text = document(op)
    for section in ("Forward", "Backward"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text, f"the section {section} is missing"
    assert "\nSource:" in text or "\nSource\n------\n" in text, "the source is missing"
    assert op.source, "Op(source=...) is missing"
    assert op.__doc__, "the forward has no docstring"


@pytest.mark.parametrize("op", OPS)
def test_a_file_keeps_its_order(op):
    """Docstring, forward, backward, loops, helpers; then the evidence and the registration."""
    path = Path(inspect.getfile(op.forward))
    before, mark, after = path.read_text(encoding="utf-8").partition("# ---- evidence")
    assert mark, "the line that parts the mechanism from its evidence is missing"
    names = [node.name for node in ast.parse(before).body if isinstance(node, ast.FunctionDef)]
    written = [
        f"{op.name}_{part}" for part in ("forward", "backward", "loops") if f"{op.name}_{part}" in names
    ]
    places = [names.index(name) for name in written]
    assert places == sorted(places), f"{written} stand in another order"
    assert "register(" in after, "it is registered before its evidence"


@pytest.mark.parametrize("op", OPS)
def test_cases_are_told_apart_and_the_same_every_time(op):
    first, again = cases_of(op), cases_of(op)
    labels = [case.label for case in first]
    assert len(set(labels)) == len(labels), f"two cases are called {max(labels, key=labels.count)!r}"
    for a, b in zip(first, again, strict=True):
        assert (a.label, repr(a.params)) == (b.label, repr(b.params))
        for x, y in zip(a.inputs, b.inputs, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("op", OPS)
def test_cases_name_inputs_that_exist(op):
    for case in cases_of(op):
        names = {argument.name for argument in op._signature._expected(len(case.inputs))}
        assert set(case.zero_gradient) <= names, case.label
        assert set(case.params) <= set(op._params), case.label


@pytest.mark.parametrize("op", [p for p in OPS if p.values[0].variants])
def test_variants_have_names_and_sources_and_run(op):
    names = [variant.name for variant in op.variants]
    assert len(set(names)) == len(names)
    for variant in op.variants:
        assert variant.source and set(variant.params) <= set(op._params), variant.name
        ran = [case for case in cases_of(op) if _runs(op, case, variant)]
        assert ran, f"{variant.name} runs at no case"


def _runs(op, case, variant):
    try:
        op(*case.inputs, **(case.params | variant.params))
    except ValueError:  # this case is of a size, or has params, that the convention does not know
        return False
    return True


@pytest.mark.parametrize("op", OPS)
def test_an_op_is_called_on_arrays_or_on_tensors(op):
    """Arrays in, arrays out; a tensor in, tensors out: of the same numbers, under the same names."""
    case = cases_of(op)[0]
    arrays = op(*case.inputs, **case.params)
    tensors = [
        Tensor(np.asarray(x, float)) if kind is None and x is not None else x
        for x, kind in zip(case.inputs, op.kinds)
    ]
    recorded = op(*tensors, **case.params)
    several = op.Outputs is not None
    assert isinstance(arrays, tuple) == isinstance(recorded, tuple) == several
    for a, t in zip(arrays if several else [arrays], recorded if several else [recorded], strict=True):
        assert type(t) is Tensor and type(a) is not Tensor
        np.testing.assert_array_equal(t.data, a)
    if several and hasattr(arrays, "_fields"):
        assert arrays._fields == recorded._fields == op.outputs


@pytest.mark.parametrize("op", OPS)
def test_a_call_of_no_kind_is_refused_by_name(op):
    """TypeError or ValueError, and the message begins with the op's name."""
    case = cases_of(op)[0]
    with pytest.raises(TypeError, match=f"^{op.name}: "):
        op()
    with pytest.raises(TypeError, match=f"^{op.name}: no argument is called 'nonsense'"):
        op(*case.inputs, **case.params, nonsense=1)
    for i, x in enumerate(case.inputs):
        if x is not None:
            for wrong in ("text", [1.0], np.array(["text"])):
                with pytest.raises(TypeError, match=f"^{op.name}: "):
                    op(*case.inputs[:i], wrong, *case.inputs[i + 1 :], **case.params)


@pytest.mark.parametrize("package", [ops, fused], ids=["ops", "fused"])
def test_every_file_registers_something(package):
    files = {
        f"{package.__name__}.{file.name}"
        for file in pkgutil.iter_modules(package.__path__)
        if not file.name.startswith("_")
    }
    assert files <= {op.forward.__module__ for op in REGISTRY.values()}


def test_every_op_lives_in_ops_or_fused():
    for op in REGISTRY.values():
        assert op.forward.__module__.rpartition(".")[0] in (ops.__name__, fused.__name__)


def test_every_op_is_a_name_of_the_package():
    for name, op in REGISTRY.items():
        assert op.name == op.__name__ == name == name.lower()
        assert getattr(scratchattn, name) is op and name in scratchattn.__all__
    assert len(set(scratchattn.__all__)) == len(scratchattn.__all__)


def test_no_op_hides_another_name_of_the_package():
    """An op called ``tasks`` would replace the room of that name."""
    rooms = {module.name for module in pkgutil.iter_modules(scratchattn.__path__)}
    assert not rooms & set(REGISTRY)
