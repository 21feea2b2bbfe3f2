"""What must hold of any op, at sizes, batches and numbers that nobody chose.

``gradcheck`` asks much the same at the cases that an op registers, which its author chose; here
Hypothesis chooses.  A new op is found in the registry and needs nothing here.
"""

import numpy as np
import pytest
from drawing import assume, calls, drawn_like, equal, given, hypothesis, inner, same, st, tupled

from gradcheck.derivatives import forward_is_the_paper
from gradcheck.subject import Subject
from scratchattn import REGISTRY
from scratchattn.op import Case

EPS = float(np.finfo(float).eps)
OPS = [
    op for _, op in sorted(REGISTRY.items()) if not op.equals and not op.shape_rule
]  # a fused op has no batch but its own


def every_op(test=None, *, check=None, **options):
    """Run ``test`` on calls of every op, but of those that are excused from ``check``."""
    if test is None:
        return lambda test: every_op(test, check=check, **options)

    @pytest.mark.parametrize("name", [op.name for op in OPS if check not in op.excused])
    @hypothesis.settings(max_examples=hypothesis.settings().max_examples * 3 // 5)  # there are many ops
    @given(data=st.data())
    def on_every_op(name, data):
        call = data.draw(calls(REGISTRY[name], **options))
        try:
            test(call)
        except ValueError as refusal:
            assume(not str(refusal).startswith(f"{name}: "))  # sizes or params that do not fit each other
            raise

    on_every_op.__name__ = test.__name__
    on_every_op.__doc__ = test.__doc__
    return on_every_op


@every_op
def test_outputs_and_gradients_have_the_shapes_declared(call):
    out, pullback = call.differentiate()
    shapes = [None if x is None else x.shape for x in call.inputs]
    for y, declared in zip(tupled(out), call.op._signature.output_shapes(shapes, call.params), strict=True):
        assert len(declared) == y.ndim and all(n in (None, m) for n, m in zip(declared, y.shape))
    gradients = pullback(*drawn_like(call.rng(), out))
    assert [g.shape for g in gradients] == [call.inputs[i].shape for i in call.active]
    assert all(np.isfinite(a).all() for a in [*out, *gradients])


@every_op(scales=st.just(1.0), empty=False)
def test_the_forward_is_the_paper(call):
    """Against the transcription in plain Python, item by item of the batch."""
    subject = Subject(call.op, Case("drawn", call.inputs, call.params))
    for name, error, bound in forward_is_the_paper(subject, None):
        assert error <= 8 * bound, f"{name}: off by {error:.3g}"


@every_op
def test_a_batch_is_its_rows(call):
    """Each row alone gives its row of the outputs, and what its own gradients come to in sum."""
    out, pullback = call.differentiate()
    cotangents = drawn_like(call.rng(), out)
    gradients = pullback(*cotangents)
    sums, sizes = [np.zeros(g.shape) for g in gradients], [np.zeros(g.shape) for g in gradients]
    for row in np.ndindex(call.batch):
        places = [None if x is None else _place(row, x, a) for x, a in zip(call.inputs, call.arguments)]
        alone = call.with_inputs([x if p is None else x[p] for x, p in zip(call.inputs, places)])
        own, pull = alone.differentiate()
        same([y[row] for y in out], own)
        for i, (active, gradient) in enumerate(zip(call.active, pull(*[u[row] for u in cotangents]))):
            sums[i][places[active]] += gradient
            sizes[i][places[active]] += abs(gradient)
    for gradient, total, size in zip(gradients, sums, sizes):
        assert (abs(gradient - total) <= 1e-12 * size.max(initial=0.0)).all()


def _place(row, x, argument):
    """Where the row of the batch lies in x, whose leading axes may be fewer, or of size one."""
    leading = x.shape[: x.ndim - len(argument.axes)]
    return tuple(i if n > 1 else 0 for i, n in zip(row[len(row) - len(leading) :], leading))


@every_op
def test_the_same_call_gives_the_same_bits(call):
    out, pullback = call.differentiate()
    cotangents = drawn_like(call.rng(), out)
    gradients = pullback(*cotangents)
    again, pull_again = call.differentiate()
    equal(again, out)
    equal(pull_again(*cotangents), gradients)
    equal(pullback(*cotangents), gradients)


@every_op
def test_inputs_and_cotangents_are_left_alone(call):
    copies = [None if x is None else np.array(x) for x in call.inputs]
    for x in call.inputs:
        if x is not None:
            x.flags.writeable = False
    out, pullback = call.differentiate()
    values, cotangents = [np.array(y) for y in out], drawn_like(call.rng(), out)
    for u in cotangents:
        u.flags.writeable = False
    given_cotangents = [np.array(u) for u in cotangents]
    pullback(*cotangents)
    equal(cotangents, given_cotangents)
    equal([x for x in call.inputs if x is not None], [x for x in copies if x is not None])
    equal(list(out), values)


@every_op
def test_float32_stays_float32(call):
    floating = [x is not None and x.dtype.kind == "f" for x in call.inputs]
    single = [x.astype(np.float32) if cast else x for cast, x in zip(floating, call.inputs)]
    out, pullback = call.with_inputs(single).differentiate()
    gradients = pullback(*drawn_like(call.rng(), out))
    assert {a.dtype for a in [*out, *gradients]} == {np.dtype(np.float32)}
    assert all(np.isfinite(a).all() for a in [*out, *gradients])


@every_op(check="backward_is_linear")
def test_the_gradient_is_linear_in_the_cotangent(call):
    out, pullback = call.differentiate()
    u, v = drawn_like(call.rng(), out), drawn_like(np.random.default_rng(call.seed + 1), out)
    mixed = pullback(*[2.0 * a - 3.0 * b for a, b in zip(u, v)])
    for a, b, both in zip(pullback(*u), pullback(*v), mixed, strict=True):
        size = max(abs(a).max(initial=0.0), abs(b).max(initial=0.0))
        assert (abs(both - (2.0 * a - 3.0 * b)) <= 1e-12 * size).all()


@every_op(check="backward_is_the_adjoint")
def test_the_backward_is_the_adjoint(call):
    """<u, J v> = <J^T u, v>, J v by a complex step: SciPy's complex erfc is good to 1e-13."""
    function = call.function
    active = [call.inputs[i] for i in call.active]
    if call.op.detached is not None:
        held = call.op.detached.stopped(*call.inputs, **call.params)
        function = lambda *x: tupled(call.op.detached.forward(*call.whole(x), *held, **call.params))
    out, pullback = call.differentiate()
    u, v = drawn_like(call.rng(), out), drawn_like(np.random.default_rng(call.seed + 1), active)
    gradients = pullback(*u)
    pushed = [y.imag / 1e-100 for y in function(*[x + 1e-100j * t for x, t in zip(active, v)])]
    size = inner(map(abs, gradients), map(abs, v))
    floor = EPS**2 * inner(map(abs, u), map(abs, out))  # below it, a complex step has no digits
    assert abs(inner(u, pushed) - inner(gradients, v)) <= 4 * 256 * EPS * size + floor


@every_op
def test_no_cotangent_no_gradient(call):
    out, pullback = call.differentiate()
    for gradient in pullback(*[np.zeros_like(y) for y in out]):
        assert (gradient == 0).all()
