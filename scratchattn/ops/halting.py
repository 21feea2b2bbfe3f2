"""Halting: after how many steps a computation stops, and how its steps are mixed (ACT).

Of at most m steps, each emits a halting value h_n in (0, 1).  The steps run until the values
have used up a budget of 1 - eps; the last one takes what is left of a whole.

Forward
-------
    S_n = h_1 + ... + h_n                                    from left to right
    N   = min{ M, min{ n : S_n >= 1 - eps } }                steps
    R   = 1 - S_(N-1)                                        remainder
    p_n = h_n for n < N,   R for n = N,   0 for n > N        weights, which sum to one

The state and the output are sum_n p_n s^n and sum_n p_n y^n, and the ponder is N + R: sums that are
the caller's, over steps, or over time and examples as he likes.

Backward
--------
N is a constant: it jumps where an S_n crosses 1 - eps, and its gradient between the jumps is zero.
R is differentiated wherever it stands, as the weight of step N and as the remainder:

    dp_n / dh_n = 1,   dp_N / dh_n = dR / dh_n = -1          n < N
    g(h_n) = g(p_n) - g(p_N) - g(R)   for n < N,   0 for n >= N

So the halting value that stops the computation gets no gradient, and with N = 1, where R = 1, none
does.  ``steps`` is an array of floats, to be added to R; its cotangent is ignored.

Accuracy
--------
S is summed one value at a time, from the first on, on every library: a different order gives another
R in half of all float32 draws, and now and then another N.  1 - eps is rounded to the dtype of h.

Conventions
-----------
``strict``: S_n > 1 - eps halts, equality does not.  ``at_cap`` says what the last step M gets if the
values up to M do not use up the budget:

    at_cap        weight of step M   remainder    elsewhere
    remainder     1 - S_(M-1)        the same     the paper: weights always sum to one
    left_over     1 - S_M            the same     act-tensorflow, repeatrnn: they sum to 1 - h_M
    value         h_M                0            tensor2tensor: they sum to S_M
    value_kept    h_M                1 - S_M      keras-transformer: the same

Not expressible, because they are no rule for weights like the above: zphang's ACT gives step N the
weight min(h_N, R), adds each state unweighted as well, and divides by N; pytorch-adaptive-
computation-time counts each value twice in the test and lets no gradient through R; the listing of
the Universal Transformer uses p_n to interpolate, which leaves step n with p_n prod_(i>n) (1 - p_i).
act-tensorflow and repeatrnn report N - 1 where we report N, except at the cap.

eps = 0 asks for a sum of one, which a sum of floats may miss by rounding.  What comes after step N,
NaN included, is not read.

Source: Graves, "Adaptive Computation Time for Recurrent Neural Networks", arXiv:1603.08983, eqs. 5-8,
13-20.
"""

from ..backend import array_module, real
from ..op import Case, Op, Variant, register

CAPS = ("remainder", "left_over", "value", "value_kept")


def halting_forward(halting, *, eps=0.01, strict=False, at_cap="remainder"):
    """weights (..., m), remainder (...), steps (...) of halting values (..., m), m at least 1.

    ValueError for no steps, for eps outside [0, 1) or an unknown at_cap.
    """
    xp = array_module(halting)
    _check(halting.shape[-1], eps, at_cap)
    through = _left_to_right(xp, halting)
    reached = real(through) > 1 - eps if strict else real(through) >= 1 - eps
    times = xp.cumulative_sum(xp.where(reached, xp.ones_like(real(halting)), 0), axis=-1)  # exact
    goes_on, halts = times == 0, reached & (times == 1)
    earlier, capped = goes_on[..., :-1], goes_on[..., -1:]
    nowhere, keeps_value = capped & ~capped, at_cap in ("value", "value_kept")
    own = xp.concat([earlier, capped if keeps_value else nowhere], axis=-1)  # weighted by their own value
    taken = xp.concat([earlier, capped if at_cap in ("left_over", "value_kept") else nowhere], axis=-1)
    rest = xp.concat([halts[..., :-1], halts[..., -1:] | (nowhere if keeps_value else capped)], axis=-1)
    spent = capped if at_cap == "value" else nowhere  # here the remainder is zero by decree
    taken = taken & ~spent
    remainder = xp.where(spent, 0, 1 - _left_to_right(xp, xp.where(taken, halting, 0))[..., -1:])
    weights = xp.where(own, halting, xp.where(rest, remainder, 0))
    steps = xp.sum(xp.where(goes_on | halts, xp.ones_like(halting), 0), axis=-1)
    return (weights, xp.squeeze(remainder, axis=-1), steps), (own, taken, rest)


def halting_backward(saved, douts):
    """Gradient for halting, given those of weights and remainder; that of steps counts for nothing."""
    own, taken, rest = saved
    dweights, dremainder, _ = douts
    xp = array_module(dweights, dremainder)
    dremainder = xp.expand_dims(dremainder, axis=-1)
    dremainder = dremainder + xp.sum(xp.where(rest, dweights, 0), axis=-1, keepdims=True)
    return (xp.where(own, dweights, 0) - xp.where(taken, dremainder, 0),)


def halting_loops(halting, *, eps=0.01, strict=False, at_cap="remainder", math=None):
    """The rule above, one step after the other."""
    most = len(halting)
    weights, total = [0.0] * most, halting[0] * 0
    for n in range(most):
        left, total = 1 - total, total + halting[n]
        if total > 1 - eps or (total == 1 - eps and not strict):
            weights[n] = left
            return weights, left, n + 1
        weights[n] = halting[n]
    if at_cap == "value":
        return weights, 0.0, most
    if at_cap == "value_kept":
        return weights, 1 - total, most
    weights[-1] = left if at_cap == "remainder" else 1 - total
    return weights, weights[-1], most


def _left_to_right(xp, x):
    """Sums of the first 1, 2, ... entries.  cumulative_sum leaves their order to the library."""
    sums = [x[..., 0]]
    for n in range(1, x.shape[-1]):
        sums.append(sums[-1] + x[..., n])
    return xp.stack(sums, axis=-1)


def _check(most, eps, at_cap):
    if most < 1:
        raise ValueError(f"halting: m must be at least 1, got {most}")
    if not 0 <= eps < 1:
        raise ValueError(f"halting: eps must be at least 0 and below 1, got {eps!r}")
    if at_cap not in CAPS:
        raise ValueError(f"halting: at_cap must be one of {', '.join(CAPS)}, got {at_cap!r}")


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, values, *, on_the_kink=False, zero_gradient=(), **params):
        values = rng.permutation([0.0]) + values
        margin = 0 if on_the_kink else _margin(values, params.get("eps", 0.01))
        return Case(label, (values,), params, zero_gradient=zero_gradient, margin=margin)

    none = ("halting",)
    yield case("three steps", [0.4, 0.4, 0.4, 0.4])
    yield case("three uneven steps", [0.3, 0.2, 0.6, 0.7, 0.1])
    yield case("halts at the first step", [0.995, 0.3], zero_gradient=none)
    yield case("halts at the last step", [0.2, 0.3, 0.6])
    yield case("the cap", [0.1, 0.1, 0.1])
    yield case("at most one step", [0.3], zero_gradient=none)
    yield case("values that are all but zero", [1e-12, 1e-13, 1e-14])
    yield case("a batch that halts at different steps", [[0.4, 0.5, 0.3], [0.999, 0.2, 0.4], [0.1, 0.2, 0.3]])
    yield case("two batch axes", rng.uniform(0.15, 0.45, size=(2, 2, 5)))
    yield case("a large eps", [[0.3, 0.3, 0.5, 0.2]], eps=0.5)
    yield case("eps 0", [[0.5, 0.6, 0.1], [0.1, 0.2, 0.3]], eps=0.0)
    yield case("strict", [[0.4, 0.5, 0.3], [0.1, 0.2, 0.3]], strict=True)
    yield case("equality halts", [0.5, 0.25, 0.125, 0.0625], eps=0.25, on_the_kink=True)
    yield case(
        "equality does not halt if strict", [0.5, 0.25, 0.125], eps=0.25, strict=True, on_the_kink=True
    )
    yield case("equality at once", [0.75, 0.1], eps=0.25, on_the_kink=True, zero_gradient=none)
    for at_cap in CAPS[1:]:
        yield case(f"the cap, {at_cap}", [[0.1, 0.2, 0.3], [0.6, 0.1, 0.7], [0.999, 0.5, 0.5]], at_cap=at_cap)
        yield case(f"at most one step, {at_cap}", [0.3], at_cap=at_cap)


def _margin(values, eps):
    """How far all values may move before one of the sums S_n, of n values, crosses the threshold."""
    sums = values.cumsum(axis=-1)
    return float((abs(sums - (1 - eps)) / (0 * values + 1).cumsum(axis=-1)).min())


def the_mixture_is_whole(inputs, params, out):
    if params.get("at_cap", "remainder") == "remainder":
        assert abs(out.weights.sum(-1) - 1).max() < 1e-15 * inputs[0].shape[-1]


def _ran(inputs, out):
    return (0 * inputs[0] + 1).cumsum(-1) <= out.steps[..., None]


def only_the_steps_that_ran_have_weight(inputs, params, out):
    ran = _ran(inputs, out)
    assert (out.weights[~ran] == 0).all() and (out.steps >= 1).all()


def what_comes_after_the_last_step_is_not_read(inputs, params, out):
    ran = _ran(inputs, out)
    unread = inputs[0] + 0.0
    unread[~ran] = float("nan")
    again, saved = halting_forward(unread, **params)
    assert all((a == b).all() for a, b in zip(again, out))
    (gradient,) = halting_backward(saved, (unread, out.remainder, out.steps))
    assert (gradient[~ran] == 0).all() and (gradient == gradient).all()


def one_step_at_the_least_and_the_cap_at_the_most(inputs, params, out):
    free = inputs[0].cumsum(-1) < 1 - params.get("eps", 0.01) - 1e-12
    assert (out.steps >= 1 + free[..., :-1].sum(-1)).all() and (out.steps <= inputs[0].shape[-1]).all()


def the_remainder_covers_eps(inputs, params, out):
    """What is left when a budget of 1 - eps was not yet used up is more than eps, or 0 by decree."""
    if not params.get("strict"):
        assert ((out.remainder > params.get("eps", 0.01)) | (params.get("at_cap") == "value")).all()


def nobody_halts_later_for_a_larger_eps(inputs, params, out):
    wider = {**params, "eps": params.get("eps", 0.01) * 0.5 + 0.5}
    assert (halting_forward(*inputs, **wider)[0][2] <= out.steps).all()


halting = register(
    Op(
        name="halting",
        signature="halting(m) -> weights(m), remainder(), steps()",
        forward=halting_forward,
        backward=halting_backward,
        loops=halting_loops,
        cases=cases,
        properties=(
            the_mixture_is_whole,
            only_the_steps_that_ran_have_weight,
            what_comes_after_the_last_step_is_not_read,
            one_step_at_the_least_and_the_cap_at_the_most,
            the_remainder_covers_eps,
            nobody_halts_later_for_a_larger_eps,
        ),
        variants=(
            Variant("act_tensorflow", {"at_cap": "left_over"}, "DeNeutoy/act-tensorflow src/act_cell.py"),
            Variant(
                "repeatrnn",
                {"at_cap": "left_over"},
                "imatge-upc/danifojo-2018-repeatrnn src_tensorflow/act_cell.py",
            ),
            Variant(
                "tensor2tensor",
                {"strict": True, "at_cap": "value"},
                "tensor2tensor models/research/universal_transformer_util.py",
            ),
            Variant(
                "universal_transformer_pytorch",
                {"eps": 0.1, "strict": True, "at_cap": "value"},
                "andreamad8/Universal-Transformer-Pytorch models/UTransformer.py",
            ),
            Variant("keras_transformer", {"at_cap": "value_kept"}, "kpot/keras-transformer transformer.py"),
        ),
        source="arXiv:1603.08983 eqs. 5-8, 13-20",
    )
)
