"""Log-probabilities of an action under a policy that is learned.

An action is drawn from a Gaussian (where to look) or from a categorical distribution (which one to take).
It is a constant: no gradient goes through the choice, only through how likely it was.

Forward
-------
    gaussian_log_probability       log pi = -sum_i [ x_i^2 / 2 + log s_i + log(2 pi) / 2 ],  x = (a - m) / s
    categorical_log_probability    log pi = z_a - log sum_j exp(z_j)

Backward
--------
The scores, whose mean over the policy's own actions is zero:

    gaussian_log_probability       g(m_i) = g (a_i - m_i) / s_i^2
                                   g(s_i) = g ((a_i - m_i)^2 - s_i^2) / s_i^3
    categorical_log_probability    g(z_j) = g (delta_ja - p_j)                 p the softmax

Accuracy
--------
(a - m)^2 - s^2 is taken as (a - m - s)(a - m + s): one deviation away from the mean nothing but a - m has
been rounded.  Where an action is all but certain, log pi is -log(1 + r) and p - 1 is -r / (1 + r), r the sum
of the others' exponentials relative to its own.

Conventions
-----------
The log-probability of an action is the sum over its dimensions.  Deviations are learned if they are tensors
and fixed if they are arrays or numbers.  They are deviations: what hehefan calls a variance is used as one.

``clip`` brings the action into [-clip, clip] before its log-probability is taken, as jlindsey15, hehefan
and saccader do with their looks.  That is biased: what was clipped gets the density at the
edge, and not the probability of all that is clipped to it, so the mean score is no longer zero.  For a mean
of 0.9, s = 0.25 and clip 1 it is -0.92.  Unbiased is to take log pi of the look as it was drawn, and to clip
what the sensor gets, as kevinzakka does, or not to clip at all.

jlindsey15 also adds 1e-10 to each density before the logarithm, and in ram.py takes the tanh of it;
dpnn adds 1e-8 to s^3 in g(s).  These are not expressible.

Source: Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement
learning", Machine Learning 8 (1992) 229, sections 4 and 6.
"""

import math

import numpy as np

from ..backend import arange_like, array_module, gather, real, sum_to_shape
from ..calculus import exponentials
from ..op import Case, Op, Variant, register
from ..refusals import refuse_no_number, refuse_outside, refuse_where


def gaussian_log_probability_forward(mean, deviation, action, *, clip=None):
    """log pi (...) of actions (..., d), given means (..., d) and deviations (..., d|1), positive.

    ``clip``, None or positive: the action is brought into [-clip, clip] first.  ValueError for others, and
    for a deviation that is not positive (on NumPy).
    """
    xp = array_module(mean, deviation, action)
    refuse_no_number("gaussian_log_probability: clip", clip, or_none=True)
    if clip is not None and not clip > 0:
        raise ValueError(f"gaussian_log_probability: clip must be None or positive, got {clip!r}")
    refuse_where(
        ~(real(deviation) > 0), "gaussian_log_probability: deviation must be positive", real(deviation)
    )
    if clip is not None:
        clip = float(clip)
        action = xp.where(action > clip, clip, xp.where(action < -clip, -clip, action))
    away = action - mean
    x = away / deviation
    each = x * x / 2 + xp.log(deviation) + 0.5 * math.log(2 * math.pi)
    return -xp.sum(each, axis=-1), (mean.shape, deviation, away)


def gaussian_log_probability_backward(saved, dlog_probability):
    """Gradients for mean and deviation, given dlog_probability (...)."""
    shape, deviation, away = saved
    xp = array_module(away, dlog_probability)
    dlog_probability = xp.expand_dims(dlog_probability, axis=-1)
    x, square = away / deviation, (away - deviation) / deviation * ((away + deviation) / deviation)
    dmean, ddeviation = (dlog_probability * score / deviation for score in (x, square))
    return sum_to_shape(dmean, shape), sum_to_shape(ddeviation, deviation.shape)


def gaussian_log_probability_loops(mean, deviation, action, *, clip=None, math):
    """The logarithm of the density, one dimension at a time."""
    total = 0
    for m, s, a in zip(mean, deviation, action):
        a = a if clip is None else min(max(a, -clip), clip)
        total -= (a - m) ** 2 / (2 * s**2) + math.log(s) + math.log(2 * math.pi) / 2
    return total


def categorical_log_probability_forward(logits, action):
    """log pi (...) of actions (...), integers in 0..c-1, given logits (..., c).

    ValueError for no class at all, and for an action out of range (on NumPy).
    """
    xp = array_module(logits, action)
    c = logits.shape[-1]
    if c == 0:
        raise ValueError("categorical_log_probability: c must be at least 1, got 0")
    refuse_outside("categorical_log_probability: action", action, c)
    e, _, winner = exponentials(xp, logits)
    place = real(arange_like(logits, c))
    wins, chosen = place == gather(place, winner), place == xp.expand_dims(gather(place, action), axis=-1)
    rest = xp.sum(xp.where(wins, 0, e), axis=-1, keepdims=True)  # beside the winner's own one
    behind = logits - xp.take_along_axis(logits, winner, axis=-1)
    total = 1 + rest
    slope = xp.where(chosen, xp.where(wins, rest, total - e), -e) / total
    value = xp.sum(xp.where(chosen, behind, 0), axis=-1) - xp.log1p(xp.squeeze(rest, axis=-1))
    return value, (logits.shape, slope)


def categorical_log_probability_backward(saved, dlog_probability):
    """The gradient for logits, given dlog_probability (...)."""
    shape, slope = saved
    xp = array_module(slope, dlog_probability)
    return (sum_to_shape(slope * xp.expand_dims(dlog_probability, axis=-1), shape),)


def categorical_log_probability_loops(logits, action, *, math):
    """Minus the logarithm of 1 / p_a, which is one and what the other actions add."""
    return -math.log1p(
        sum(math.exp(z - logits[int(action)]) for j, z in enumerate(logits) if j != int(action))
    )


# ---- evidence ---------------------------------------------------------------


def gaussian_cases(rng):
    def case(
        label, d=2, *, batch=(), own=None, given=None, scale=1.0, size=1.0, zero=(), margin=None, **params
    ):
        """Means of ``batch``, deviations of the shape ``own``, actions of the batch ``given``."""
        noise = rng.normal(size=(*(batch if given is None else given), d))
        mean = rng.normal(size=(*batch, d)) * 65536 // 1 / 65536  # float32 holds these too, and the actions
        deviation = scale * rng.uniform(0.3, 1.0, size=(*batch, d) if own is None else own)
        action = mean + size * scale * noise * 65536 // 1 / 65536
        return Case(label, (mean, deviation, action), params, zero_gradient=zero, margin=margin)

    yield case("a look")
    yield case("a batch of looks", batch=(2, 2))
    yield case("one deviation for both coordinates", batch=(2,), own=(1,))
    yield case("one deviation for each look", batch=(2,), own=(2, 1))
    yield case("looks drawn from one policy", given=(3,))
    yield case("one coordinate", d=1)
    yield case("no look", batch=(0,), zero=("mean", "deviation"))
    yield case("no coordinate", d=0, batch=(2,), own=(2, 0), zero=("mean", "deviation"))
    yield case("narrow", batch=(2,), scale=1e-3, margin=1e-6)
    yield case("far out", size=40.0)
    there = case("the mean itself", zero=("mean",))
    yield Case(there.label, (*there.inputs[:2], there.inputs[0]), zero_gradient=there.zero_gradient)
    yield case("clipped", batch=(3,), clip=0.5)
    yield case("clipped, in NumPy's precision", batch=(3,), clip=np.float64(0.5))


def categorical_cases(rng):
    z, actions = rng.normal(size=(2, 4)), rng.permutation(4)
    row = 0 * z[0]
    yield Case("one choice", (z[0], actions[0]))
    yield Case("batch", (rng.normal(size=(2, 2, 4)), actions.reshape(2, 2)))
    yield Case("every action of one policy", (z[0], actions))
    yield Case("one action for all policies", (z, actions[0]))
    yield Case("equal logits", (z * 0 + 3.0, actions[:2]))
    yield Case("sharp", (25 * z, actions[:2]))
    yield Case("certain and nearly impossible", (row + [50.0, 0.0, -1.0, 1.0], actions))
    yield Case("all but certain", (row + [50.0, 0.0, -1.0, 1.0], actions[0] * 0))
    yield Case("extreme", (row + [1e4, 1e4 - 30, -1e4, 9e3], actions[actions > 0]))
    yield Case("one action only", (z[:, :1], actions[:2] * 0), zero_gradient=("logits",))
    yield Case("no policy", (z[:0], actions[:0]), zero_gradient=("logits",))


def the_density_is_that_of_the_standardised_action(inputs, params, out):
    mean, deviation, action = inputs
    if not params and out.size:
        standard, _ = gaussian_log_probability_forward(
            0 * mean, 1 + 0 * deviation, (action - mean) / deviation
        )
        logs = (array_module(mean).log(deviation) + 0 * mean).sum(-1)
        assert (abs(out - (standard - logs)) <= 1e-14 * (abs(standard) + abs(logs))).all()


def the_score_is_zero_in_the_mean(inputs, params, out):
    """Of a categorical policy, over all its actions."""
    logits = inputs[0]
    scores = 0 * logits
    for a in range(logits.shape[-1]):
        action = inputs[1].reshape(-1)[:0].sum(dtype=int) + a
        value, saved = categorical_log_probability_forward(logits, action)
        scores = scores + categorical_log_probability_backward(saved, array_module(value).exp(value))[0]
    assert (abs(scores) <= 1e-15 * logits.shape[-1]).all()


def _op(name, cases, signature, *properties, **rest):
    forward, backward, loops = (globals()[f"{name}_{part}"] for part in ("forward", "backward", "loops"))
    source = "Machine Learning 8 (1992) 229"
    return register(
        Op(name, signature, forward, backward, cases, loops, properties=properties, source=source, **rest)
    )


gaussian_log_probability = _op(
    "gaussian_log_probability",
    gaussian_cases,
    "mean(d), deviation(d|1), action!(d) -> log_probability()",
    the_density_is_that_of_the_standardised_action,
    passive={"action": "floating"},
    variants=(
        Variant("kevinzakka", {}, "kevinzakka/recurrent-visual-attention modules.py"),
        Variant("jlindsey15", {"clip": 1.0}, "jlindsey15/RAM ram_modified.py"),
        Variant("hehefan", {"clip": 1.0}, "hehefan/Recurrent-Attention-Model model.py"),
        Variant("saccader", {"clip": 1.0}, "google-research saccader/visual_attention/emission_model.py"),
    ),
)
categorical_log_probability = _op(
    "categorical_log_probability",
    categorical_cases,
    "logits(c), action!() -> log_probability()",
    the_score_is_zero_in_the_mean,
    passive={"action": "integer"},
)
