"""Losses: how wrong an answer is, without a reduction over the batch.

Forward
-------
    binary_cross_entropy    L = -t log s(z) - (1 - t) log(1 - s(z))        s the sigmoid
    softmax_cross_entropy   L = -log(exp(z_t) / sum_j exp(z_j))            t the class
    mean_squared_error      L = sum_i (x_i - y_i)^2 / n

Backward
--------
    binary_cross_entropy    g(z)   = (s(z) - t) g
    softmax_cross_entropy   g(z_j) = (a_j - delta_jt) g                    a the softmax
    mean_squared_error      g(x_i) = 2 (x_i - y_i) g / n = -g(y_i)

Accuracy
--------
Both entropies take logits: a probability that has rounded to one knows nothing of the rest.  And
neither is computed as written, for where the answer is right z - t z, log a and a - 1 all cancel.
With e = exp(-|z|), so that s is 1 / (1 + e) above zero and e / (1 + e) below,

    z >= 0    L = (1 - t) z + log(1 + e)        s - t = (1 - t) - e / (1 + e)
    z <  0    L = -t z + log(1 + e)             s - t = e / (1 + e) - t

and with w the winning logit and r = sum_{j != w} exp(z_j - z_w),

    L = (z_w - z_t) + log(1 + r)                a_t - 1 = -r / (1 + r)  if t = w

so an answer that is right by a logit of 40 still has a loss and a gradient, 4e-18, to all digits.

Conventions
-----------
Natural logarithms: nats; divide by log 2 for the bits of the NTM's copy task.  Targets may be any
number in [0, 1], and take no gradient.  Nothing is reduced, weighted, smoothed or left out: torch's
cross_entropy takes the mean over the batch and leaves class -100 out, and its mse_loss is the mean
over every axis; the last axis alone is Keras'.  Half of the square, as in many texts, is not taken.
A target or class out of range is refused on NumPy; on a GPU to look would be to wait, and a class
out of range is undefined there.

Source: Bridle, Neurocomputing, NATO ASI F68 (1990) 227 (softmax_cross_entropy); calculus.
"""

from ..backend import arange_like, array_module, gather, real, sum_to_shape
from ..calculus import exponentials
from ..op import Case, Op, register
from ..refusals import refuse_outside, refuse_where


def binary_cross_entropy_forward(logits, targets):
    """Nats for each logit, given targets in [0, 1]; broadcast.  ValueError for others (on NumPy)."""
    xp = array_module(logits, targets)
    probable = (real(targets) >= 0) & (real(targets) <= 1)  # false for NaN
    refuse_where(~probable, "binary_cross_entropy: targets must be in [0, 1]", targets)
    positive = real(logits) >= 0
    e = xp.exp(xp.where(positive, -logits, logits))
    wrong = xp.where(positive, 1 - targets, -targets)  # what of the answer points the other way
    slope = xp.where(positive, wrong - e / (1 + e), wrong + e / (1 + e))
    return wrong * logits + xp.log1p(e), (logits.shape, slope)


def binary_cross_entropy_backward(saved, dloss):
    shape, slope = saved
    return (sum_to_shape(slope * dloss, shape),)


def binary_cross_entropy_loops(logits, targets, *, math):
    """-log s(z) = log(1 + exp(-z)) and -log(1 - s(z)) = log(1 + exp(z)), weighed."""
    return targets * math.log1p(math.exp(-logits)) + (1 - targets) * math.log1p(math.exp(logits))


def softmax_cross_entropy_forward(logits, classes):
    """Nats for each class among c: (..., c), integers (...) in 0..c-1 -> (...).

    ValueError for no class at all, and for one out of range (on NumPy).
    """
    xp = array_module(logits, classes)
    c = logits.shape[-1]
    if c == 0:
        raise ValueError("softmax_cross_entropy: c must be at least 1, got 0")
    refuse_outside("softmax_cross_entropy: classes", classes, c)
    e, _, winner = exponentials(xp, logits)
    place = arange_like(logits, c)
    wins = real(place) == real(gather(place, winner))
    asked = real(place) == real(xp.expand_dims(gather(place, classes), axis=-1))
    others = xp.where(wins, 0, e)
    rest = xp.sum(others, axis=-1, keepdims=True)
    lead = xp.take_along_axis(logits, winner, axis=-1) - logits
    loss = xp.sum(xp.where(asked, lead, 0), axis=-1) + xp.log1p(xp.squeeze(rest, axis=-1))
    return loss, (logits.shape, wins, asked, e, rest)


def softmax_cross_entropy_backward(saved, dloss):
    """The gradient for logits, given dloss of the shape of the loss."""
    shape, wins, asked, e, rest = saved
    xp = array_module(e, dloss)
    total = 1 + rest
    right = xp.where(wins, -rest / total, e / total - 1)
    slope = xp.where(asked, right, e / total)
    return (sum_to_shape(slope * xp.expand_dims(dloss, axis=-1), shape),)


def softmax_cross_entropy_loops(logits, classes, *, math):
    """One row: the loss is minus the logarithm of 1 / a_t."""
    return math.log(sum(math.exp(z - logits[int(classes)]) for z in logits))


def mean_squared_error_forward(prediction, target):
    """Mean over the last axis of the squared difference: (..., n), (..., n) -> (...)."""
    xp = array_module(prediction, target)
    difference = prediction - target
    n = difference.shape[-1]
    if n == 0:
        raise ValueError("mean_squared_error: n must be at least 1, got 0")
    return xp.sum(difference * difference, axis=-1) / n, (prediction.shape, target.shape, difference)


def mean_squared_error_backward(saved, dloss):
    """Gradients for prediction and target, given dloss of the shape of the loss."""
    prediction_shape, target_shape, difference = saved
    xp = array_module(difference, dloss)
    dprediction = difference * (2 * xp.expand_dims(dloss, axis=-1) / difference.shape[-1])
    return sum_to_shape(dprediction, prediction_shape), sum_to_shape(-dprediction, target_shape)


def mean_squared_error_loops(prediction, target, *, math=None):
    n = len(prediction)
    return sum((prediction[i] - target[i]) ** 2 for i in range(n)) / n


# ---- evidence ---------------------------------------------------------------


def binary_cross_entropy_cases(rng):
    z, t = rng.normal(size=(2, 3)), rng.uniform(size=(2, 3))
    yield Case("random", (z, t))
    yield Case("bits", (z, 1.0 * (t > 0.5)))
    yield Case("both broadcast", (z[:, :1], t[0]))
    yield Case("one target", (z, t[0, 0]))
    yield Case("one number", (z[0, 0], t[0, 0]))
    yield Case("logits of zero", (z * 0, t))
    yield Case("right by far", (z[0] * 0 + [40.0, -40.0, 30.0], t[0] * 0 + [1.0, 0.0, 1.0]))
    yield Case("wrong by far", (z[0] * 0 + [40.0, -40.0, 30.0], t[0] * 0 + [0.0, 1.0, 0.5]))
    yield Case("extreme", (z[0] * 0 + [1e4, -1e4, -1e4], t[0] * 0 + [0.0, 1.0, 0.25]))
    yield Case(
        "extreme and right",
        (z[0] * 0 + [1e4, -1e4, 1e3], t[0] * 0 + [1.0, 0.0, 1.0]),
        zero_gradient=("logits",),
    )
    yield Case("nothing", (z[:0], t[:0]), zero_gradient=("logits",))


def softmax_cross_entropy_cases(rng):
    z = rng.normal(size=(2, 4))
    row, classes = z[0] * 0, rng.permutation(4)
    yield Case("one row", (z[0], classes[0]))
    yield Case("batch", (rng.normal(size=(2, 2, 4)), classes.reshape(2, 2)))
    yield Case("one row, every class", (z[0], classes))
    yield Case("one class for all rows", (z, classes[0]))
    yield Case("both broadcast", (z, classes[:3].reshape(3, 1)))
    yield Case("equal logits", (z * 0 + 3.0, classes[:2]))
    yield Case("two winners, every class", (row + [40.0, 0.0, 40.0, 1.0], classes))
    yield Case("sharp", (25 * z, classes[:2]))
    yield Case("right and wrong by 50", (row + [50.0, 0.0, -1.0, 1.0], classes))
    yield Case("extreme", (row + [1e4, 1e4 - 30, -1e4, 9e3], classes[classes > 0]))
    yield Case(
        "extreme and right", (row + [-1e4, 1e4, -1e4, 9e3], classes[0] * 0 + 1), zero_gradient=("logits",)
    )
    yield Case("all at -2e4", (z - 2e4, classes[:2]))
    yield Case("one class", (z[:, :1], classes[:2] * 0), zero_gradient=("logits",))
    yield Case("no row", (z[:0], classes[:0]), zero_gradient=("logits",))


def mean_squared_error_cases(rng):
    x, y = rng.normal(size=(2, 2, 3))
    yield Case("one row", (x[0], y[0]))
    yield Case("batch", (x, y))
    yield Case("both broadcast", (x.reshape(2, 1, 3), y))
    yield Case("one entry", (x[:, :1], y[:, :1]))
    yield Case("nearly right", (x, x + 1e-3 * y))
    yield Case("far off", (x + 1e4, y - 1e4))
    yield Case("exactly right", (x, x + 0.0), zero_gradient=("prediction", "target"))
    yield Case("no row", (x[:0], y[:0]), zero_gradient=("prediction", "target"))


def yes_and_no_are_interchangeable(inputs, params, loss):
    logits, targets = inputs
    # To the rounding of 1 - t, which a logit multiplies.
    swapped = binary_cross_entropy_forward(-logits, 1 - targets)[0]
    assert (abs(swapped - loss) <= 1e-15 * (abs(logits) + loss)).all()


def no_answer_costs_less_than_the_targets_own_uncertainty(inputs, params, loss):
    logits, targets = inputs
    inside = 0.5 + 0.999 * (targets - 0.5)
    log = array_module(loss).log
    uncertainty = -inside * log(inside) - (1 - inside) * log(1 - inside)
    assert (binary_cross_entropy_forward(logits, inside)[0] >= uncertainty * (1 - 1e-15)).all()


def a_right_bit_still_has_a_loss(inputs, params, loss):
    value, (_, slope) = binary_cross_entropy_forward(inputs[0] * 0 + 300.0, inputs[1] * 0 + 1)
    assert (abs(value + slope) <= 1e-15 * value).all() and (value > 0).all()


def a_target_that_is_no_probability_is_refused(inputs, params, loss):
    for target in (-0.1, 1.1, float("nan")):
        if 0 not in loss.shape:
            refusal = _refusal(binary_cross_entropy_forward, inputs[0], inputs[1] * 0 + target)
            assert refusal == f"binary_cross_entropy: targets must be in [0, 1], got {target}"


def two_classes_are_a_bit(inputs, params, loss):
    logits, classes = inputs
    pair = (logits[..., :1] * 0) + [0.0, 1.0] * logits[..., :1]
    bit = 1.0 * (classes > 0)
    as_classes = softmax_cross_entropy_forward(pair, 1 * (classes > 0))[0]
    as_bits = binary_cross_entropy_forward(logits[..., 0], bit)[0]
    assert (abs(as_classes - as_bits) <= 1e-15 * (1 + as_bits)).all()


def the_gradient_of_the_logits_sums_to_zero(inputs, params, loss):
    logits, classes = inputs
    _, saved = softmax_cross_entropy_forward(logits, classes)
    (dlogits,) = softmax_cross_entropy_backward(saved, loss * 0 + 1)
    assert (abs(dlogits.sum(axis=-1)) <= 1e-15 * abs(dlogits).sum(axis=-1) * logits.shape[-1]).all()


def a_class_out_of_range_is_refused(inputs, params, loss):
    logits, classes = inputs
    if 0 not in loss.shape:
        for stranger in (-1, -100, logits.shape[-1]):
            refusal = _refusal(softmax_cross_entropy_forward, logits, classes * 0 + stranger)
            assert "classes must be in 0.." in refusal and refusal.endswith(f"got {stranger}")


def prediction_and_target_are_interchangeable(inputs, params, loss):
    assert (mean_squared_error_forward(inputs[1], inputs[0])[0] == loss).all() and (loss >= 0).all()


def _refusal(forward, *inputs):
    """The message of the ValueError, or nothing."""
    try:
        forward(*inputs)
    except ValueError as refusal:
        return str(refusal)


def _op(name, signature, *properties, **rest):
    forward, backward, loops, cases = (
        globals()[f"{name}_{part}"] for part in ("forward", "backward", "loops", "cases")
    )
    return register(Op(name, signature, forward, backward, cases, loops, properties=properties, **rest))


binary_cross_entropy = _op(
    "binary_cross_entropy",
    "logits(), targets!() -> loss()",
    yes_and_no_are_interchangeable,
    no_answer_costs_less_than_the_targets_own_uncertainty,
    a_right_bit_still_has_a_loss,
    a_target_that_is_no_probability_is_refused,
    passive={"targets": "floating"},
    source="calculus",
)
softmax_cross_entropy = _op(
    "softmax_cross_entropy",
    "logits(c), classes!() -> loss()",
    two_classes_are_a_bit,
    the_gradient_of_the_logits_sums_to_zero,
    a_class_out_of_range_is_refused,
    passive={"classes": "integer"},
    source="Bridle 1990",
)
mean_squared_error = _op(
    "mean_squared_error",
    "prediction(n), target(n) -> loss()",
    prediction_and_target_are_interchangeable,
    source="calculus",
)
