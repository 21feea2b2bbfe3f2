"""Shift by one number: the focus moves by a real amount along the rows of a memory.

The paper's alternative to a distribution over offsets: the amount z is the lower end of an interval of
length one, and the weighting is spread over the two offsets that the interval touches.

Forward
-------
    f = floor(z),   t = z - f
    w'_i = (1 - t) w_(i - f mod n) + t w_(i - f - 1 mod n)

z = 6.7 shifts by 6 with weight 0.3 and by 7 with weight 0.7.

Backward
--------
    g(w_j) = (1 - t) g(w'_(j + f mod n)) + t g(w'_(j + f + 1 mod n))
    g(z)   = sum_i g(w'_i) (w_(i - f - 1 mod n) - w_(i - f mod n))

At an integer z the forward is continuous and has two slopes; f = z takes the one to the right.

Accuracy
--------
z - f is exact but for negative z within rounding of an integer.  Each head has an f of its own that
only the data know, so rows are turned by its binary digits: log2(n) rolls, each taken or not.

Conventions
-----------
z is any real number, negative or beyond n.  ``sign=-1`` moves the focus to row i - z: fumin/ntm, whose
z is 2 sigmoid(.) - 1.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, section 3.3.2.
"""

import math

from ..backend import array_module, real, sum_to_shape
from ..op import Case, Op, Variant, register


def scalar_shift_forward(weights, amount, *, sign=1):
    """Moved weights: (..., n), (...) -> (..., n).

    ``amount`` is in rows; with ``sign=-1`` it counts backwards.  ValueError for another sign.
    """
    xp = array_module(weights, amount)
    if sign not in (1, -1):
        raise ValueError(f"scalar_shift: sign must be 1 or -1, got {sign!r}")
    distance = xp.expand_dims(sign * amount, axis=-1)
    whole = real(distance) // 1
    part = distance - whole
    near = _turned(xp, weights, whole)
    far = xp.roll(near, 1, axis=-1)
    return (1 - part) * near + part * far, (weights.shape, whole, part, far - near, sign)


def scalar_shift_backward(saved, dshifted):
    """Gradients for weights and amount, given dshifted of shape (..., n)."""
    shape, whole, part, step, sign = saved
    xp = array_module(part, dshifted)
    near = _turned(xp, dshifted, -whole)
    dweights = (1 - part) * near + part * xp.roll(near, -1, axis=-1)
    damount = sign * xp.sum(dshifted * step, axis=-1)
    return sum_to_shape(dweights, shape), sum_to_shape(damount, part.shape[:-1])


def scalar_shift_loops(weights, amount, *, sign=1, math=math):
    """The interval's two offsets, one row at a time."""
    n, amount = len(weights), sign * amount
    first = int(math.floor(amount))
    shifted = [0 * weights[0] for _ in range(n)]
    for j in range(n):
        for offset, share in ((first, first + 1 - amount), (first + 1, amount - first)):
            shifted[(j + offset) % n] = shifted[(j + offset) % n] + share * weights[j]
    return shifted


def _turned(xp, x, whole):
    """Each row of x, (..., n), rolled by the integer that stands in ``whole``, (..., 1)."""
    n = x.shape[-1]
    rest, digit = whole % (n or 1), 1
    while digit < n:
        x = xp.where(rest % 2 == 1, xp.roll(x, digit, axis=-1), x)
        rest, digit = rest // 2, 2 * digit
    return x


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *amounts, n=5, batch=None, **rest):
        """One amount, or one for each of several heads; as many weightings, or a ``batch`` of them."""
        heads = () if len(amounts) == 1 else (len(amounts),)
        amount = rng.uniform(amounts, amounts).reshape(heads)
        weights = rng.gamma(1.0, size=(*(heads if batch is None else batch), n))
        return Case(label, (weights / weights.sum(-1, keepdims=True), amount), **rest)

    backwards = {"sign": -1}
    yield case("the paper's 6.7", 6.7, n=9, margin=0.25)
    yield case("one amount each", 0.25, 3.5, -1.75, margin=0.2)
    yield case("one weighting, several amounts", 0.4, 1.6, batch=(), margin=0.3)
    yield case("one amount for a batch", 2.4, batch=(3,), margin=0.3)
    yield case("negative", -0.3, margin=0.25)
    yield case("beyond both ends", 23.6, -1017.2, margin=0.15)
    yield case("all rows of eight", 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, n=8, batch=(), margin=0.4)
    yield case("at an integer", 2.0, 0.0, -3.0, margin=0)
    yield case("just below an integer", -1e-9, margin=1e-10)
    yield case("against the paper's direction", 0.7, -1.2, params=backwards, margin=0.15)
    yield case("against it, at an integer", 1.0, params=backwards, margin=0)
    yield case("two rows", 0.3, 1.7, n=2, margin=0.25)
    yield case("one row", 0.4, n=1, margin=0.3, zero_gradient=("amount",))
    yield case("no row", 0.4, -1.5, n=0, margin=0.3, zero_gradient=("weights", "amount"))


def mass_is_kept(inputs, params, out):
    assert (abs(out.sum(-1) - inputs[0].sum(-1)) < 1e-15).all()


def a_turn_more_changes_nothing(inputs, params, out):
    weights, amount = inputs
    again, _ = scalar_shift_forward(weights, amount + weights.shape[-1], **params)
    assert (abs(again - out) < 1e-12).all()


def whole_amounts_roll(inputs, params, out):
    xp = array_module(out)
    weights = inputs[0]
    for z in (-3, 0, 2, 11):
        rolled, _ = scalar_shift_forward(weights, 0 * inputs[1] + z, **params)
        assert (rolled == xp.roll(weights, params.get("sign", 1) * z, axis=-1)).all()


scalar_shift = register(
    Op(
        name="scalar_shift",
        signature="weights(n), amount() -> shifted(n)",
        forward=scalar_shift_forward,
        backward=scalar_shift_backward,
        loops=scalar_shift_loops,
        cases=cases,
        properties=(mass_is_kept, a_turn_more_changes_nothing, whole_amounts_roll),
        variants=(
            Variant("paper", {}, source="arXiv:1410.5401 section 3.3.2"),
            Variant("fumin", {"sign": -1}, source="fumin/ntm addressing.go"),
        ),
        source="arXiv:1410.5401 section 3.3.2",
    )
)
