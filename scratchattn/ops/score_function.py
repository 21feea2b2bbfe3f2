"""REINFORCE: how a network learns from choices that have no gradient.

Where to look is drawn from a policy, and what comes of it is a reward.  The reward has no derivative by the
choice, but its mean has one by the policy: that of E[r(a)] is E[r(a) d log pi(a)].

Forward
-------
    L = -weight mean_b sum_t A_bt log pi_bt,      A_bt = r_bt - baseline_bt

Backward
--------
Rewards and baselines are constants, whatever they were computed from.  What is left is

    g(log pi_bt) = -weight A_bt g(L) / B

Conventions
-----------
r_bt is all the reward that follows the choice at t of sequence b: in RAM the same at every t, one if the
class is right.  Since the mean score is zero, whatever does not depend on the choice may be taken off the
reward.  A baseline that is learned gets its gradient from its own loss, and none from here.  A choice that
nothing depends on any more, such as where to look after the last look, adds noise alone: leave it out.

    centre "mean"            A less its mean over b and t: with its own part in it, too small    saccader
                             by the factor 1 - 1/(B T) where all rewards are independent
    centre "leave_one_out"   A less its mean over the other b at the same t: unbiased
    average "all"            the mean over t too                             hehefan, tfRAM, saccader
    average "none"           the sum over b and t
    weight                   0.01 beside the loss of the classifier          kevinzakka

Source: Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement
learning", Machine Learning 8 (1992) 229; Mnih, Heess, Graves, Kavukcuoglu, "Recurrent Models of Visual
Attention", arXiv:1406.6247, section 2.2.
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, Variant, register


def reinforce_forward(log_probability, reward, baseline=None, *, centre=None, average="batch", weight=1.0):
    """The loss (...) whose gradient is REINFORCE's: log_probability, reward and baseline are (..., b, t).

    ``centre``: what is taken off besides the baseline, None, "mean" or "leave_one_out".  ``average``: over
    the "batch", over "all" or over nothing, "none".  ValueError for others, for b or t of 0, and for
    leaving one out of one.
    """
    xp = array_module(log_probability, reward, baseline)
    b, t = log_probability.shape[-2:]
    _check(centre, average, b, t)
    advantage = reward if baseline is None else reward - baseline
    if centre == "mean":
        advantage = advantage - xp.sum(advantage, axis=(-2, -1), keepdims=True) / (b * t)
    elif centre == "leave_one_out":
        advantage = (advantage - xp.sum(advantage, axis=-2, keepdims=True) / b) * (b / (b - 1))
    share = -float(weight) / {"batch": b, "all": b * t, "none": 1}[average]
    slope = share * advantage
    return xp.sum(slope * log_probability, axis=(-2, -1)), (log_probability.shape, slope)


def reinforce_backward(saved, dloss):
    """The gradient for log_probability, given dloss (...)."""
    shape, slope = saved
    return (sum_to_shape(slope * dloss[..., None, None], shape),)


def reinforce_loops(
    log_probability, reward, baseline=None, *, centre=None, average="batch", weight=1.0, math=None
):
    """The sum over the batch and its times, every advantage from its definition."""
    b, t = log_probability.shape

    def gain(i, k):
        return reward[i][k] - (0 if baseline is None else baseline[i][k])

    loss = 0
    for i in range(b):
        for k in range(t):
            others = []
            if centre == "mean":
                others = [gain(j, m) for j in range(b) for m in range(t)]
            elif centre == "leave_one_out":
                others = [gain(j, k) for j in range(b) if j != i]
            advantage = gain(i, k) - (sum(others) / len(others) if others else 0)
            loss = loss - weight * advantage * log_probability[i][k]
    return loss / {"batch": b, "all": b * t, "none": 1}[average]


def _check(centre, average, b, t):
    if centre not in (None, "mean", "leave_one_out"):
        raise ValueError(f"reinforce: centre must be None, 'mean' or 'leave_one_out', got {centre!r}")
    if average not in ("batch", "all", "none"):
        raise ValueError(f"reinforce: average must be 'batch', 'all' or 'none', got {average!r}")
    if b < 1 or t < 1:
        raise ValueError(f"reinforce: b and t must be at least 1, got {b} and {t}")
    if centre == "leave_one_out" and b < 2:
        raise ValueError("reinforce: centre 'leave_one_out' needs a batch of 2, got 1")


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, batch=(), b=3, t=2, baseline=None, zero=(), **params):
        """``baseline``: the shape of it."""
        inputs = rng.normal(size=(*batch, b, t)), 1.0 * (rng.normal(size=(*batch, b, t)) > 0.3)
        inputs[1][..., 0, 0] = 0.7
        base = None if baseline is None else rng.uniform(size=baseline)
        return Case(label, (*inputs, base), params, zero_gradient=zero)

    yield case("rewards alone")
    yield case("a baseline", baseline=(3, 2))
    yield case("a batch of losses", batch=(2,), baseline=(3, 2), weight=0.01)
    for average in ("all", "none"):
        yield case(f"average {average}", average=average)
    yield case("less the mean", centre="mean", average="all")
    yield case("less the mean, a baseline", batch=(2,), baseline=(2, 3, 2), centre="mean")
    yield case("leave one out", batch=(2,), centre="leave_one_out")
    yield case("leave one out, a baseline", baseline=(3, 2), centre="leave_one_out", average="all")
    yield case("leave one out of two", b=2, centre="leave_one_out")
    yield case("one time", t=1)
    yield case("a batch of one", b=1)
    yield case("a batch of one has no gain over its mean", b=1, t=1, centre="mean", zero=("log_probability",))


def a_reward_that_says_nothing_teaches_nothing(inputs, params, out):
    """The same for all: no advantage over the mean, of all or of the others."""
    if params.get("centre") and inputs[0].shape[-2] > 1:
        _, saved = reinforce_forward(inputs[0], 0 * inputs[1] + 0.75, **params)
        assert (reinforce_backward(saved, out)[0] == 0).all()


reinforce = register(
    Op(
        name="reinforce",
        signature="log_probability(b,t), reward!(b,t), baseline?!(b,t) -> loss()",
        forward=reinforce_forward,
        backward=reinforce_backward,
        loops=reinforce_loops,
        cases=cases,
        passive={"reward": "floating", "baseline": "floating"},
        properties=(a_reward_that_says_nothing_teaches_nothing,),
        variants=(
            Variant("kevinzakka", {"weight": 0.01}, "kevinzakka/recurrent-visual-attention trainer.py"),
            Variant("hehefan", {"average": "all"}, "hehefan/Recurrent-Attention-Model model.py"),
            Variant("tfram", {"average": "all"}, "slundqui/tfRAM tf/RAM.py"),
            Variant("saccader", {"average": "all", "centre": "mean"}, "google-research saccader/losses.py"),
        ),
        source="arXiv:1406.6247 section 2.2",
    )
)
