"""The grammar of a signature, and every way to call an op wrongly: what is said names what is wrong."""

import inspect

import numpy as np
import pytest
from recorded_cupy import namespace as cupy

from scratchattn.op import REGISTRY, Case, Op, Variant, register
from scratchattn.signature import Signature
from scratchattn.tape import Tensor, pull_back, vjp


def anything(*inputs, **params):
    return inputs[0], None


def op(name, signature, forward=anything, backward=None, **rest):
    return Op(name, signature, forward, backward, lambda rng: (), **rest)


def attend_forward(query, key, value, bias=None, keep=None, *, scale=1.0, causal=None):
    logits = query @ np.swapaxes(key, -1, -2) * scale + (0 if bias is None else bias)
    kept = logits * 0 + 1 if keep is None else np.where(keep, logits * 0 + 1, 0)
    return (kept * logits @ value, kept), (query, key, value, bias, keep)


def attend_backward(saved, dout):
    query, key, value, bias, _ = saved
    return query * 0, key * 0, value * 0, None if bias is None else bias * 0


attend = op(
    "attend",
    "query(q,d), key(k,d), value(k,v), bias?(q|1,k|1), keep?!(q|1,k|1) -> out(q,v), weights(q,k)",
    attend_forward,
    attend_backward,
    passive={"keep": "boolean"},
)
QUERY, KEY, VALUE = np.ones((2, 3)), np.ones((4, 3)), np.ones((4, 5))
KEEP = np.ones((2, 4), bool)

pick = op(
    "pick",
    "rows(n,w), indices!(i) -> out(i,w)",
    lambda rows, indices: (rows[indices], (rows, indices)),
    passive={"indices": "integer"},
)
scale = op(
    "scale",
    "x(n), noise!(n) -> out(n)",
    lambda x, noise: (x * noise, noise),
    lambda noise, dout: (dout * noise,),
    passive={"noise": "floating"},
)
product = op(
    "product",
    "a(), b() -> out()",
    lambda a, b: (a * b, (a, b)),
    lambda saved, dout: (dout * saved[1] + 0 * saved[0], dout * saved[0] + 0 * saved[1]),
)
gates = op("gates", "x(d), weights(d,4h), kernel(3) -> out(h), pair(2), free(f)", passive={})
join = op("join", "x(n), more(n), ... -> out(n)", lambda *xs: (sum(xs), len(xs)), lambda n, d: (d,) * n)
halves = op(
    "halves", "x(n) -> parts(), ...", lambda x: (tuple(x), None), lambda saved, dout: (np.stack(dout),)
)


def _same_size_shapes(a, b, *, axis=0):
    if a[axis] != b[axis]:
        raise ValueError(f"free: b must have {a[axis]} entries along axis {axis}, got {b[axis]}")
    return [a]


free = op(
    "free", "a(...), b(...) -> out(...)", lambda a, b, *, axis=0: (a, None), shape_rule=_same_size_shapes
)
need = op("need", "x(n) -> out(n)", lambda x, *, sections: (x, None))


# ---- the grammar ------------------------------------------------------------


def test_a_signature_is_read():
    parsed = Signature(
        "op", "a(n), b?(4h,3), c?!(k|1), d!(...) -> y(n), z()", {"c": "integer", "d": "boolean"}, None
    )
    assert [i.name for i in parsed.inputs] == ["a", "b", "c", "d"]
    assert [i.optional for i in parsed.inputs] == [False, True, True, False]
    assert [i.kind for i in parsed.inputs] == [None, None, "integer", "boolean"]
    assert [str(a) for i in parsed.inputs[:3] for a in i.axes] == ["n", "4h", "3", "k|1"]
    assert parsed.inputs[3].axes is None and parsed.outputs[1].axes == ()
    assert not parsed.variadic and not parsed.variadic_out


@pytest.mark.parametrize(
    "text, message",
    [
        ("a(n), b(n)", r"op: a signature has an arrow, got 'a\(n\), b\(n\)'"),
        ("a(n) b(n) -> c(n)", r"op: cannot read the signature at"),
        ("a(n -> c(n)", "op: cannot read the signature at"),
        ("(n) -> c(n)", "op: cannot read the signature at"),
        ("A(n) -> c(n)", "op: cannot read the signature at"),
        ("a*(n) -> c(n)", "op: cannot read the signature at"),
        ("a(n), ..., b(n) -> c(n)", "op: cannot read the signature at"),
        ("a(n+1) -> c(n)", "op: cannot read the axis 'n.1'"),
        ("a(n|2) -> c(n)", "op: cannot read the axis 'n.2'"),
        ("a(N) -> c(n)", "op: cannot read the axis 'N'"),
        ("a!(n) -> c(n)", "op: a needs both a '!' in the signature and a kind in passive"),
        ("a(n) -> c!(n)", "op: c needs both a '!' in the signature and a kind in passive"),
        ("a(n), a(n) -> c(n)", "op: two inputs have one name"),
    ],
)
def test_what_cannot_be_read_is_shown(text, message):
    with pytest.raises(ValueError, match=message):
        Signature("op", text, {}, None)


@pytest.mark.parametrize(
    "passive, message",
    [
        ({"a": "boolean"}, "a needs both"),
        ({"other": "boolean"}, "passive names 'other'"),
        ({"keep": "text"}, "keep must be boolean, integer or floating, got 'text'"),
    ],
)
def test_the_kinds_of_what_has_no_gradient_belong_to_inputs(passive, message):
    with pytest.raises(ValueError, match=f"op: {message}"):
        Signature("op", "a(n), keep!(n) -> c(n)", {"keep": "boolean"} | passive, None)


def test_python_sees_the_signature():
    assert (
        str(inspect.signature(attend))
        == "(query, key, value, bias=None, keep=None, *, scale=1.0, causal=None)"
    )
    assert str(inspect.signature(join)) == "(x, *more)"
    assert str(inspect.signature(need)) == "(x, *, sections)"
    assert (attend.inputs, attend.outputs) == (("query", "key", "value", "bias", "keep"), ("out", "weights"))


# ---- calls that are right ---------------------------------------------------


def test_optional_inputs_may_be_left_out_or_none():
    by_place = attend(QUERY, KEY, VALUE)
    for out in (
        attend(QUERY, KEY, VALUE, None),
        attend(QUERY, KEY, VALUE, None, None),
        attend(query=QUERY, key=KEY, value=VALUE, keep=None),
    ):
        assert all((a == b).all() for a, b in zip(out, by_place))


def test_inputs_and_params_may_be_named():
    by_place = attend(QUERY, KEY, VALUE, None, KEEP, scale=2.0)
    by_name = attend(QUERY, keep=KEEP, value=VALUE, scale=2.0, key=KEY)
    assert all((a == b).all() for a, b in zip(by_name, by_place))
    tensor = Tensor(KEY)
    out = attend(QUERY, key=tensor, value=VALUE)
    assert out.weights.node.inputs == (None, tensor, None, None)


def test_an_axis_that_may_be_one_is_one_or_fits():
    for bias in ((2, 4), (1, 4), (2, 1), (1, 1), (7, 1, 4)):
        assert attend(QUERY, KEY, VALUE, np.zeros(bias)).weights.shape[-2:] == (2, 4)


def test_leading_axes_broadcast():
    out = attend(np.ones((6, 1, 2, 3)), np.ones((5, 4, 3)), VALUE)
    assert out.out.shape == (6, 5, 2, 5)


def test_multiples_and_fixed_sizes():
    """A multiple binds its letter, so that the output's is known; a letter of no input stays open."""
    assert gates._signature.output_shapes([(7, 3), (3, 8), (3,)], {}) == [(7, 2), (7, 2), (7, None)]


def test_numbers_are_constants_of_the_arrays_beside_them():
    for dtype in (np.float32, np.float64, np.complex64):
        x = Tensor(np.ones(2, dtype))
        for number in (3, 3.0):
            for out in (product(x, number), product(number, x)):
                assert out.dtype == dtype and out.data.tolist() == [3, 3]
    assert product(np.ones(2, np.complex64), 2j).dtype == np.complex64


def test_reals_beside_complex_numbers_are_made_complex():
    for real, of in ((np.float32, np.complex64), (np.float64, np.complex128)):
        z, x = np.array([1 + 2j], of), np.array([3.0], real)
        assert product(x, z).dtype == product(z, x).dtype == of
        out, pullback = vjp(lambda t, x=x: product(x, t), z)
        assert out.dtype == of and pullback(out)[0].dtype == of
        assert product(Tensor(z), 2.0).dtype == of
        assert scale(Tensor(z), x).dtype == of  # what has no gradient stays as it is


def test_any_number_of_inputs_like_the_last():
    x = np.ones(3)
    assert join(x, x).tolist() == [2, 2, 2]
    tensors = [Tensor(x) for _ in range(4)]
    grads = pull_back([join(*tensors)], [x * 5], tensors)
    assert len(grads) == 4 and all(g.tolist() == [5, 5, 5] for g in grads)
    assert join(tensors[0], x, tensors[1]).node.inputs == (tensors[0], None, tensors[1])


def test_any_number_of_outputs():
    x = Tensor(np.arange(3.0))
    parts = halves(x)
    assert len(parts) == 3
    assert pull_back([parts[2], parts[0]], [np.float64(5), np.float64(7)], [x])[0].tolist() == [7, 0, 5]


def test_a_second_call_of_one_kind_is_not_checked_again_and_another_kind_is():
    product(np.ones(2), np.ones(2))
    product(np.ones(2), np.ones(2))
    for wrong in (np.ones(2, np.float32), np.ones(3), cupy.asarray(np.ones(2)), np.ones(2, int)):
        with pytest.raises((TypeError, ValueError), match="product: "):
            product(np.ones(2), wrong)
        with pytest.raises((TypeError, ValueError), match="product: "):
            product(Tensor(np.ones(2)), wrong)
    product(Tensor(np.ones(2)), Tensor(np.ones(2)))
    with pytest.raises(TypeError, match="product: arrays of one library expected"):
        product(Tensor(np.ones(2)), Tensor(cupy.asarray(np.ones(2))))


# ---- calls that are wrong ---------------------------------------------------

LIBRARY = "arrays of one library expected, got"
WRONG = {
    "a missing input": (
        lambda: attend(QUERY, KEY),
        TypeError,
        "attend: value is missing; it takes query",
    ),
    "a missing input in the middle": (
        lambda: attend(QUERY, value=VALUE),
        TypeError,
        "attend: key must be an array, got None",
    ),
    "None for what is not optional": (
        lambda: attend(QUERY, None, VALUE),
        TypeError,
        "attend: key must be an array, got None",
    ),
    "too many": (
        lambda: pick(QUERY, np.arange(2), QUERY),
        TypeError,
        r"pick: 2 inputs expected, rows\(n,w\).* got 3",
    ),
    "too few of any number": (lambda: join(QUERY), TypeError, "join: more is missing"),
    "an unknown name": (
        lambda: attend(QUERY, KEY, VALUE, mask=KEEP),
        TypeError,
        "attend: no argument is called 'mask'; it takes query, key, value, bias, keep, scale, causal",
    ),
    "given twice": (
        lambda: attend(QUERY, KEY, VALUE, key=KEY),
        TypeError,
        "attend: key is given twice",
    ),
    "a missing param": (lambda: need(QUERY), TypeError, "need: the parameter sections is missing"),
    "a list": (lambda: attend([[1.0]], KEY, VALUE), TypeError, "attend: query must be an array, got list"),
    "a string": (lambda: attend("q", KEY, VALUE), TypeError, "attend: query must be an array, got str"),
    "an object with a shape": (
        lambda: product(type("Odd", (), {"shape": (2,)})(), np.ones(2)),
        TypeError,
        "product: a must be an array, got Odd",
    ),
    "a library that nobody knows": (
        lambda: product(np.ones(2), type("Odd", (), {"shape": (2,), "dtype": np.dtype(float)})()),
        TypeError,
        "product: b must be an array of a known library, got Odd",
    ),
    "a library that nobody knows beside a number": (
        lambda: product(2.0, type("Odd", (), {"shape": (2,), "dtype": np.dtype(float)})()),
        TypeError,
        "product: b must be an array of a known library, got Odd",
    ),
    "an object with a shape beside a number": (
        lambda: product(type("Odd", (), {"shape": (2,)})(), 2.0),
        TypeError,
        "product: at least one array expected among a, b, got numbers only",
    ),
    "integers": (
        lambda: attend(QUERY, np.ones((4, 3), int), VALUE),
        TypeError,
        "attend: key must be floating, got an array of int64",
    ),
    "booleans for numbers": (
        lambda: product(np.ones(2), np.ones(2, bool)),
        TypeError,
        "product: b must be floating, got an array of bool",
    ),
    "a precision that we do not compute in": (
        lambda: product(np.ones(2, np.float16), np.ones(2, np.float16)),
        TypeError,
        "product: a must be floating, got an array of float16",
    ),
    "numbers for booleans": (
        lambda: attend(QUERY, KEY, VALUE, None, np.ones((2, 4))),
        TypeError,
        "attend: keep must be boolean, got an array of float64",
    ),
    "numbers for integers": (
        lambda: pick(QUERY, np.ones(2)),
        TypeError,
        "pick: indices must be integer, got an array of float64",
    ),
    "a number for integers": (
        lambda: pick(QUERY, 3),
        TypeError,
        "pick: indices must be an array, got int",
    ),
    "integers for noise": (
        lambda: scale(np.ones(2), np.ones(2, int)),
        TypeError,
        "scale: noise must be floating, got an array of int64",
    ),
    "a tensor for what has no gradient": (
        lambda: scale(Tensor(np.ones(2)), Tensor(np.ones(2))),
        TypeError,
        "scale: noise has no gradient; an array of kind floating expected, got a Tensor",
    ),
    "numbers only": (
        lambda: product(2.0, 3.0),
        TypeError,
        "product: at least one array expected among a, b, got numbers only",
    ),
    "a boolean number": (
        lambda: product(np.ones(2), True),
        TypeError,
        "product: b must be an array, got bool",
    ),
    "a complex number beside reals": (
        lambda: product(np.ones(2), 1j),
        TypeError,
        "product: b is a complex number beside real arrays",
    ),
    "a real tensor beside complex": (
        lambda: product(Tensor(np.ones(2)), np.ones(2, complex)),
        TypeError,
        "product: a is a real tensor beside complex inputs",
    ),
    "mixed precision": (
        lambda: attend(QUERY, KEY.astype(np.float32), VALUE),
        TypeError,
        "attend: one precision expected, got query of float64 and key of float32",
    ),
    "mixed precision of what has no gradient": (
        lambda: scale(np.ones(2, np.float32), np.ones(2)),
        TypeError,
        "scale: one precision expected, got x of float32 and noise of float64",
    ),
    "mixed precision beside complex": (
        lambda: product(np.ones(2, np.complex128), np.ones(2, np.float32)),
        TypeError,
        "product: one precision expected, got a of complex128 and b of float32",
    ),
    "a NumPy scalar of another precision": (
        lambda: product(np.ones(2, np.float32), np.float64(2)),
        TypeError,
        "product: one precision expected, got a of float32 and b of float64",
    ),
    "mixed libraries": (
        lambda: attend(QUERY, cupy.asarray(KEY), VALUE),
        TypeError,
        f"attend: {LIBRARY} query of numpy and key of cupy",
    ),
    "mixed libraries, tensors": (
        lambda: product(Tensor(cupy.asarray(QUERY)), Tensor(QUERY)),
        TypeError,
        f"product: {LIBRARY} a of cupy and b of numpy",
    ),
    "mixed libraries, no gradient": (
        lambda: attend(QUERY, KEY, VALUE, keep=cupy.asarray(KEEP)),
        TypeError,
        f"attend: {LIBRARY} query of numpy and keep of cupy",
    ),
    "too few axes": (
        lambda: attend(np.ones(3), KEY, VALUE),
        ValueError,
        r"attend: query must have the axes \(q,d\), got shape \(3,\)",
    ),
    "a number where axes are": (
        lambda: attend(2.0, KEY, VALUE),
        ValueError,
        r"attend: query must have the axes \(q,d\), got shape \(\)",
    ),
    "two sizes of one letter": (
        lambda: attend(QUERY, np.ones((4, 6)), VALUE),
        ValueError,
        r"attend: d is both 3 and 6 in query \(2, 3\), key \(4, 6\)",
    ),
    "one where one is not allowed": (
        lambda: attend(np.ones((2, 1)), KEY, VALUE),
        ValueError,
        r"attend: d is both 1 and 3 in query \(2, 1\), key \(4, 3\)",
    ),
    "two sizes of one letter in one array": (
        lambda: op("square", "x(n,n) -> out()")(np.ones((2, 3))),
        ValueError,
        r"square: n is both 2 and 3 in x \(2, 3\)",
    ),
    "neither one nor the size": (
        lambda: attend(QUERY, KEY, VALUE, np.ones((2, 3))),
        ValueError,
        r"attend: k is both 4 and 3 in key \(4, 3\), bias \(2, 3\)",
    ),
    "not the multiple": (
        lambda: op("four", "h(h), w(4h) -> out(h)")(np.ones(2), np.ones(7)),
        ValueError,
        r"four: 4h must be 8, got 7 in w \(7,\)",
    ),
    "no multiple at all": (
        lambda: gates(np.ones(3), np.ones((3, 7)), np.ones(3)),
        ValueError,
        r"gates: 4h must be a multiple of 4, got 7 in weights \(3, 7\)",
    ),
    "not the fixed size": (
        lambda: gates(np.ones(3), np.ones((3, 8)), np.ones(5)),
        ValueError,
        r"gates: 3 must be 3, got 5 in kernel \(5,\)",
    ),
    "leading axes that do not fit": (
        lambda: attend(np.ones((2, 2, 3)), np.ones((3, 4, 3)), VALUE),
        ValueError,
        r"attend: the leading axes of query \(2, 2, 3\), key \(3, 4, 3\), value \(4, 5\) do not broadcast",
    ),
    "the fourth of any number": (
        lambda: join(np.ones(3), np.ones(3), np.ones(3), np.ones(4)),
        ValueError,
        r"join: n is both 3 and 4 in x \(3,\), more\[2\] \(4,\)",
    ),
    "a kind among any number": (
        lambda: join(np.ones(3), np.ones(3), [1.0]),
        TypeError,
        r"join: more\[1\] must be an array, got list",
    ),
    "a rule of its own": (
        lambda: free(np.ones((2, 3)), np.ones((2, 4)), axis=1),
        ValueError,
        "free: b must have 3 entries along axis 1, got 4",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_is_wrong(name):
    call, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        call()


# ---- the registry -----------------------------------------------------------


def test_an_op_is_registered_once():
    name = next(iter(REGISTRY))
    with pytest.raises(ValueError, match=f"op '{name}' is registered twice"):
        register(op(name, "x(n) -> out(n)"))


def test_facts_of_an_op_are_frozen():
    for frozen in (attend, Case("label", ()), Variant("name", {}, "source")):
        with pytest.raises(AttributeError):
            frozen.name = "other"
