"""Halting: after how many steps a computation stops, and how its steps are mixed (ACT).

Of at most m steps, each emits a halting value h_n in (0, 1).  The steps run until the values
have used up a budget of 1 - eps; the last one takes what is left of a whole.

Forward
-------
    S_n = h_1 + ... + h_n                                    from left to right
    N   = min{ M, min{ n : S_n >= 1 - eps } }                steps
    R   = 1 - S_(N-1)                                        remainder
    p_n = h_n for n < N,   R for n = N,   0 for n > N        weights, which sum to one

The state and the output are sum_n p_n s^n and sum_n p_n y^n, and the ponder is N + R: sums of the caller's.

Backward
--------
N is a constant: it jumps where an S_n crosses 1 - eps, and its gradient between the jumps is zero.
R is differentiated wherever it stands, as the weight of step N and as the remainder:

    dp_n / dh_n = 1,   dp_N / dh_n = dR / dh_n = -1          n < N
    g(h_n) = g(p_n) - g(p_N) - g(R)   for n < N,   0 for n >= N

So the halting value that stops the computation gets no gradient, and with N = 1, where R = 1, none
does.  ``steps`` is an array of floats, to be added to R; its cotangent is ignored.

Interpolation, y_n = p_n s^n + (1 - p_n) y_(n-1), gives s^n the weight w_n = p_n prod_(i > n) (1 - p_i), and
with g(w) in the place of s, g(p_n) = dy_m / dp_n = (g(w_n) - y_(n-1)) prod_(i > n) (1 - p_i).

Accuracy
--------
S is summed one value at a time, from the first on, on every library: a different order gives another
R in half of all float32 draws, and now and then another N.  1 - eps is rounded to the dtype of h.  Of the
step that has R, 1 - p is the sum that R was taken from, and not 1 - R.

Conventions
-----------
``strict``: S_n > 1 - eps halts, equality does not.  ``twice``: S_n + h_n is tested in the place of S_n.
``clamped``: step N gets min(h_N, R), which is not R if S_N is below one.  ``at_cap`` says what the last
step M gets if the values up to M do not use up the budget:

    at_cap        weight of step M   remainder     elsewhere
    remainder     1 - S_(M-1)        the same      the paper: weights always sum to one
    left_over     1 - S_M            the same      act-tensorflow, repeatrnn: they sum to 1 - h_M
    value         h_M                0             tensor2tensor: they sum to S_M
    value_kept    h_M                1 - S_M       keras-transformer: the same
    value_alone   h_M                1 - S_(M-1)   zphang: the same

``mixing`` says what becomes of the p_n:

    sum             w_n = p_n                       the paper; tensor2tensor "accumulated"; keras-transformer
    interpolation   p_n prod_(i > n) (1 - p_i)      tensor2tensor "basic"; the Universal Transformer's listing
    last            1 for n = N, 0 for others       its prose: a state that has halted is copied on
    mean            p_n / N                         zphang, the cell of an LSTM
    mean_of_more    (1 + p_n) / N                   zphang, the hidden state

What these do besides: act-tensorflow and repeatrnn report N - 1 where we report N, except at the cap.
maxwells-daemons' ponder is minus the sum of h up to N; no gradient flows through its R, and h_N gets that of
p_N, as of h_N + stop_gradient(R - h_N); of m steps it runs m - 1, and at the cap reports m.  zphang's ponder
is R - 1.  tensor2tensor has its halting values from the states before the steps.

eps = 0 asks for a sum of one, which a sum of floats may miss by rounding.  What comes after step N, NaN
included, is not read.

Source: Graves, "Adaptive Computation Time for Recurrent Neural Networks", arXiv:1603.08983, eqs. 5-8,
13-20; interpolation: Dehghani et al., "Universal transformers", arXiv:1807.03819, listing 2.
"""

from ..backend import arange_like, array_module, real
from ..calculus import interpolated, interpolated_backward
from ..op import Case, Op, Variant, register

CAPS = ("remainder", "left_over", "value", "value_kept", "value_alone")
MIXINGS = ("sum", "interpolation", "last", "mean", "mean_of_more")


def halting_forward(
    halting, *, eps=0.01, strict=False, twice=False, clamped=False, at_cap="remainder", mixing="sum"
):
    """weights (..., m), remainder (...), steps (...) of halting values (..., m), m at least 1.

    ValueError for no steps, for eps outside [0, 1), for an unknown at_cap or mixing.
    """
    _check(halting.shape[-1], eps, at_cap, mixing)
    xp = array_module(halting)
    through, one = _left_to_right(xp, halting), xp.ones_like(real(halting))
    tested = real(through + halting if twice else through)
    reached = tested > 1 - eps if strict else tested >= 1 - eps
    times = xp.cumulative_sum(xp.where(reached, one, 0), axis=-1)  # exact
    goes_on, halts = times == 0, reached & (times == 1)
    last = arange_like(one, halting.shape[-1]) == halting.shape[-1] - 1
    earlier, capped = goes_on & ~last, goes_on & last
    by_value = at_cap not in ("remainder", "left_over")
    own = goes_on if by_value else earlier  # weighted by their own value
    taken = goes_on if at_cap in ("left_over", "value_kept") else earlier  # from one, for the remainder
    rest = halts if by_value else halts | capped
    if clamped:
        below = halts & (real(through) <= 1)
        own, rest = own | below, rest & ~below
    nothing = goes_on[..., -1:] & (at_cap == "value")  # here the remainder is zero by decree
    taken = taken & ~nothing
    used = _left_to_right(xp, xp.where(taken, halting, 0))[..., -1:]
    remainder = xp.where(nothing, 0, 1 - used)
    weights = xp.where(own, halting, xp.where(rest, remainder, 0))
    steps = xp.sum(xp.where(goes_on | halts, xp.ones_like(halting), 0), axis=-1, keepdims=True)
    complement = xp.where(rest, used, 1 - weights)
    weights, kept = _mix(xp, weights, complement, steps, goes_on | halts, halts | capped, mixing)
    out = weights, *[xp.squeeze(x, axis=-1) for x in (remainder, steps)]
    return out, (own, taken, rest, kept, mixing)


def halting_backward(saved, douts):
    """Gradient for halting, given those of weights and remainder; that of steps counts for nothing."""
    own, taken, rest, kept, mixing = saved
    dweights, dremainder, _ = douts
    xp = array_module(dweights, dremainder)
    dweights = _unmix(xp, dweights, kept, mixing)
    dremainder = xp.expand_dims(dremainder, axis=-1)
    dremainder = dremainder + xp.sum(xp.where(rest, dweights, 0), axis=-1, keepdims=True)
    return (xp.where(own, dweights, 0) - xp.where(taken, dremainder, 0),)


def halting_loops(halting, *, eps=0.01, at_cap="remainder", mixing="sum", math=None, **rules):
    """The rule above, one step after the other; ``rules`` are the other params."""
    most, total = len(halting), halting[0] * 0
    weights = [0.0] * most
    for n in range(most):
        left, total = 1 - total, total + halting[n]
        tested = total + halting[n] if rules.get("twice") else total
        weights[n] = halting[n]
        if tested > 1 - eps or (tested == 1 - eps and not rules.get("strict")):
            weights[n] = halting[n] if rules.get("clamped") and total <= 1 else left
            break
    else:
        weights[n], left = {
            "remainder": (left, left),
            "left_over": (1 - total, 1 - total),
            "value": (halting[n], 0.0),
            "value_kept": (halting[n], 1 - total),
            "value_alone": (halting[n], left),
        }[at_cap]
    ran = range(n + 1)
    if mixing == "interpolation":
        for i in ran:
            weights[:i] = [w * (1 - weights[i]) for w in weights[:i]]
    elif mixing == "last":
        weights[: n + 1] = [float(i == n) for i in ran]
    elif mixing != "sum":
        weights[: n + 1] = [(weights[i] + (mixing == "mean_of_more")) / (n + 1) for i in ran]
    return weights, left, n + 1


def _mix(xp, p, complement, steps, ran, final, mixing):
    """What mixing makes of the p_n, and what its transpose needs."""
    if mixing == "sum":
        return p, None
    if mixing == "last":
        return xp.where(final, xp.ones_like(p), 0), None
    if mixing == "interpolation":
        return interpolated(xp, p, complement)
    return xp.where(ran, p + 1 if mixing == "mean_of_more" else p, 0) / steps, steps


def _unmix(xp, dweights, kept, mixing):
    if mixing == "interpolation":
        return interpolated_backward(xp, *kept, dweights)
    if mixing == "last":
        return xp.zeros_like(dweights)
    return dweights if mixing == "sum" else dweights / kept


def _left_to_right(xp, x):
    """Sums of the first 1, 2, ... entries.  cumulative_sum leaves their order to the library."""
    sums = [x[..., 0]]
    for n in range(1, x.shape[-1]):
        sums.append(sums[-1] + x[..., n])
    return xp.stack(sums, axis=-1)


def _check(most, eps, at_cap, mixing):
    if most < 1:
        raise ValueError(f"halting: m must be at least 1, got {most}")
    if not 0 <= eps < 1:
        raise ValueError(f"halting: eps must be at least 0 and below 1, got {eps!r}")
    for name, value, allowed in (("at_cap", at_cap, CAPS), ("mixing", mixing, MIXINGS)):
        if value not in allowed:
            raise ValueError(f"halting: {name} must be one of {', '.join(allowed)}, got {value!r}")


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, values, *, on_the_kink=False, zero_gradient=(), **params):
        values = rng.permutation([0.0]) + values
        margin = 0 if on_the_kink else _margin(values, **params)
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
    yield case("eps 0", [[0.5, 0.6, 0.1], [0.1, 0.2, 0.3]], eps=0.0)
    yield case("strict", [[0.4, 0.595, 0.3], [0.1, 0.2, 0.3]], strict=True)
    yield case("halts far above one", [0.7, 0.95, 0.3])
    kink = {"eps": 0.25, "on_the_kink": True}
    yield case("equality halts", [0.5, 0.25, 0.125, 0.0625], **kink)
    yield case("equality does not halt if strict", [0.5, 0.25, 0.125], strict=True, **kink)
    yield case("just below the threshold", [0.495, 0.494999995, 0.3], on_the_kink=True)
    yield case("equality at once", [0.75, 0.1], zero_gradient=none, **kink)
    yield case(
        "counted twice", [[0.4, 0.4, 0.4, 0.4], [0.2, 0.2, 0.2, 0.4], [0.1, 0.2, 0.3, 0.1]], twice=True
    )
    yield case("clamped", [[0.4, 0.56, 0.3], [0.4, 0.595, 0.3], [0.4, 0.7, 0.3]], clamped=True, eps=0.05)
    yield case("clamped, the cap", [[0.1, 0.1, 0.2], [0.5, 0.2, 0.6]], clamped=True)
    yield case("clamped, at one", [0.5, 0.5, 0.3], clamped=True, eps=0.05, on_the_kink=True)
    several = [[0.1, 0.2, 0.3], [0.6, 0.1, 0.7], [0.999, 0.5, 0.5]]
    for at_cap in CAPS[1:]:
        yield case(f"the cap, {at_cap}", several, at_cap=at_cap)
        yield case(f"at most one step, {at_cap}", [0.3], at_cap=at_cap)
    for mixing in MIXINGS[1:]:
        yield case(mixing, several, mixing=mixing)
        yield case(
            f"{mixing} of what does not sum to one", several, mixing=mixing, at_cap="value", clamped=True
        )
    yield case("interpolation of one step", [[0.995], [0.3]], mixing="interpolation", at_cap="value")
    yield case("interpolation, all but zero before the cap", [1e-12, 1e-13, 0.5], mixing="interpolation")


def _margin(values, eps=0.01, twice=False, clamped=False, **others):
    """How far all values may move before a sum, of n values, crosses the threshold (or, clamped, one)."""
    sums, counts = values.cumsum(axis=-1), (0 * values + 1).cumsum(axis=-1)
    gaps = abs(sums + twice * values - (1 - eps)) / (counts + twice)
    return float(min(gaps.min(), (abs(sums - 1) / counts).min() if clamped else 1.0))


def the_mixture_is_whole(inputs, params, out):
    if not {"at_cap", "mixing", "clamped"} & params.keys() or params.get("mixing") == "last":
        assert abs(out.weights.sum(-1) - 1).max() < 1e-15 * inputs[0].shape[-1]


def what_comes_after_the_last_step_is_not_read(inputs, params, out):
    ran = (0 * inputs[0] + 1).cumsum(-1) <= out.steps[..., None]
    assert (out.steps >= 1).all() and (out.weights[~ran] == 0).all()
    unread = inputs[0] + 0.0
    unread[~ran] = float("nan")
    again, saved = halting_forward(unread, **params)
    assert all((a == b).all() for a, b in zip(again, out))
    (gradient,) = halting_backward(saved, (out.weights, out.remainder, out.steps))
    assert (gradient[~ran] == 0).all() and (gradient == gradient).all()


MAXWELL = "maxwells-daemons/pytorch-adaptive-computation-time pytorch_adaptive_computation_time"
UT_PYTORCH = "andreamad8/Universal-Transformer-Pytorch models/UTransformer.py"
T2T_FILE = "tensorflow/tensor2tensor tensor2tensor/models/research/universal_transformer_util.py"
T2T = {"strict": True, "at_cap": "value"}, T2T_FILE
ZPHANG = {"clamped": True, "at_cap": "value_alone"}, "zphang/adaptive-computation-time-pytorch models.py"
VARIANTS: dict[str, tuple[dict, str]] = {
    "act_tensorflow": ({"at_cap": "left_over"}, "DeNeutoy/act-tensorflow src/act_cell.py"),
    "repeatrnn": ({"at_cap": "left_over"}, "imatge-upc/danifojo-2018-repeatrnn src_tensorflow/act_cell.py"),
    "zphang_hidden": (ZPHANG[0] | {"mixing": "mean_of_more"}, ZPHANG[1]),
    "zphang_cell": (ZPHANG[0] | {"mixing": "mean"}, ZPHANG[1]),
    "maxwells_daemons": ({"strict": True, "twice": True}, f"{MAXWELL}/models.py"),
    "tensor2tensor_basic": (T2T[0] | {"mixing": "interpolation"}, T2T[1]),
    "tensor2tensor_accumulated": T2T,
    "universal_transformer": (T2T[0] | {"mixing": "interpolation"}, "arXiv:1807.03819 listing 2"),
    "universal_transformer_prose": ({"mixing": "last"}, "arXiv:1807.03819 section 2.2"),
    "universal_transformer_pytorch": (T2T[0] | {"eps": 0.1, "mixing": "interpolation"}, UT_PYTORCH),
    "keras_transformer": (
        {"at_cap": "value_kept"},
        "kpot/keras-transformer keras_transformer/transformer.py",
    ),
}

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
            what_comes_after_the_last_step_is_not_read,
        ),
        variants=tuple(Variant(name, *what) for name, what in VARIANTS.items()),
        source="arXiv:1603.08983 eqs. 5-8, 13-20",
    )
)
