"""Label smoothing: cross-entropy against a target that is not quite certain.

A share ``smoothing`` of the target is taken from the right class and spread over others, so that no
logit is driven to infinity.

Forward
-------
With a the softmax of the logits z, t the class, e the smoothing and q the target,

    L = -sum_j q_j log a_j = sum_j q_j (z_w - z_j) + log(1 + r)            w the winner

    spread                q_t             q_j, j not t        of c classes
    all                   1 - e + e / c   e / c
    others                1 - e           e / (c - 1)
    others_but_padding    1 - e           e / (c - 2)         0 for the class ``padding``

With ``divergence`` the entropy of q, a constant, is taken off: L is then zero where a = q.

Backward
--------
The q_j sum to one, so

    g(z_j) = (a_j - q_j) g

Accuracy
--------
As for softmax_cross_entropy: r = sum_{j != w} exp(z_j - z_w), all terms of L are positive, and for the
winner a_w - q_w is (1 - q_w) - r / (1 + r) and not a difference of two numbers close to one.  Where a
is close to q the gradient is small and has the absolute error of q.  The same holds for a divergence, which
is a difference of entropies.

Conventions
-----------
``padding`` is a class, or any other number, that marks what is no target: where it stands the loss is zero,
no gradient flows and the logits are not read.  So is it where ``keep`` is False; True counts.

                             spread                padding            divergence
    Szegedy, torch, Keras    all                   -100 (torch)       no
    transformers             all                   -100               no
    fairseq                  others                the pad symbol     no
    tensor2tensor            others                0                  yes
    annotated, labml         others_but_padding    the pad symbol     yes

The pad symbol of variants is 0 here.  Older fairseq is as torch.  The annotated Transformer takes
probabilities of the softmax with the padding in it, so the padding's logit has a gradient, a_j g, all the
same.  Nothing is reduced: torch and transformers take the mean over what counts, the others the sum, for
the caller to divide.  A class out of range is refused on NumPy where it counts.

Source: Szegedy et al., "Rethinking the Inception architecture", arXiv:1512.00567, section 7; Vaswani et
al., "Attention is all you need", arXiv:1706.03762, section 5.4.
"""

import math

import numpy as np

from ..backend import arange_like, array_module, constant, gather, real, sum_to_shape
from ..calculus import both, exponentials
from ..op import Case, Op, Variant, register
from ..refusals import refuse_outside

SPREADS = ("all", "others", "others_but_padding")


def smoothed_cross_entropy_forward(
    logits, classes, keep=None, *, smoothing=0.1, spread="all", padding=None, divergence=False
):
    """Nats for each class among c: (..., c), integers (...) in 0..c-1, booleans (...) or None -> (...).

    ValueError for fewer classes than ``spread`` needs, for a smoothing outside [0, 1], and (on NumPy) for a
    class out of range that counts.
    """
    xp = array_module(logits, classes, keep)
    c, shape = logits.shape[-1], logits.shape
    others = _others(c, smoothing, spread, padding)
    shared = c if spread == "all" else others
    each = constant(logits, smoothing) / shared
    missing = each * others  # of the right class; an array, so that these add up in every number system
    counts = both(keep, None if padding is None else classes != padding)
    if counts is not None:
        classes = xp.where(counts, classes, 0)
        logits = xp.where(xp.expand_dims(counts, axis=-1), logits, 0)
    refuse_outside("smoothed_cross_entropy: classes", classes, c)
    e, _, winner = exponentials(xp, logits)
    place = arange_like(real(logits), c)
    wins = place == gather(place, winner)
    asked = place == xp.expand_dims(gather(place, classes), axis=-1)
    rest = xp.sum(xp.where(wins, 0, e), axis=-1, keepdims=True)
    lead = xp.take_along_axis(logits, winner, axis=-1) - logits
    terms = each * lead
    share, below = e / (1 + rest), rest / (1 + rest)  # a, and 1 - a for the winner
    slope = xp.where(wins, (1 - each) - below, share - each)
    if spread == "others_but_padding":
        terms, slope = xp.where(place == padding, 0, terms), xp.where(place == padding, share, slope)
    terms = xp.where(asked, (1 - missing) * lead, terms)
    slope = xp.where(asked, xp.where(wins, missing - below, share - (1 - missing)), slope)
    loss = xp.sum(terms, axis=-1) + xp.log1p(xp.squeeze(rest, axis=-1))
    loss = loss - _entropy(smoothing, others, shared) if divergence else loss
    return (loss if counts is None else xp.where(counts, loss, 0)), (shape, slope, counts)


def smoothed_cross_entropy_backward(saved, dloss):
    """The gradient for logits, given dloss of the shape of the loss."""
    shape, slope, counts = saved
    xp = array_module(slope, dloss)
    dloss = dloss if counts is None else xp.where(counts, dloss, 0)
    return (sum_to_shape(slope * xp.expand_dims(dloss, axis=-1), shape),)


def smoothed_cross_entropy_loops(
    logits, classes, keep=None, *, smoothing=0.1, spread="all", padding=None, divergence=False, math
):
    """One row: -sum_j q_j log a_j, and sum_j q_j log q_j if ``divergence``."""
    if classes == padding or (keep is not None and not keep):
        return 0.0
    c = len(logits)
    spared = {"all": (), "others": (classes,), "others_but_padding": (classes, padding)}[spread]
    loss = 0
    for j in range(c):
        target = 1 - smoothing if j == classes else 0
        target = target if j in spared else target + smoothing / (c - len(spared))
        loss = loss + target * math.log(sum(math.exp(z - logits[j]) for z in logits))
        if divergence and target:
            loss = loss + target * math.log(target)
    return loss


def _others(c, smoothing, spread, padding):
    """How many classes beside the right one have a share."""
    name = "smoothed_cross_entropy"
    if spread not in SPREADS:
        raise ValueError(f"{name}: spread must be one of {', '.join(SPREADS)}, got {spread!r}")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{name}: smoothing must be from 0 to 1, got {smoothing!r}")
    if padding is not None and type(padding) is not int:
        raise TypeError(f"{name}: padding must be None or an int, got {padding!r}")
    least = 1 + SPREADS.index(spread)
    if c < least:
        raise ValueError(f"{name}: c must be at least {least} to spread over {spread}, got {c}")
    if spread == "others_but_padding" and (padding is None or not 0 <= padding < c):
        raise ValueError(f"{name}: padding must be in 0..{c - 1} to spread over {spread}, got {padding}")
    return c - max(least - 1, 1)


def _entropy(smoothing, others, shared):
    """Of the target: a constant."""
    each = smoothing / shared
    shares = [(1, 1 - others * each), (others, each)]
    return -sum(count * share * math.log(share) for count, share in shares if share > 0)


# ---- evidence ---------------------------------------------------------------

TORCH = {"padding": -100}
ANNOTATED = {"spread": "others_but_padding", "padding": 0, "divergence": True}
LABML = "labmlai/annotated_deep_learning_paper_implementations"


def cases(rng):
    z = rng.normal(size=(4, 5))
    classes = rng.permutation(4)
    row = z[0] * 0

    def case(label, logits=z, classes=classes, keep=None, zero=(), **params):
        return Case(label, (logits, classes, keep), params, zero_gradient=zero)

    none = ("logits",)
    for spread in SPREADS:
        rest = {"spread": spread, "padding": 4}
        yield case(f"{spread}", **rest)
        yield case(f"{spread}, divergence", divergence=True, **rest)
        yield case(f"{spread}, padding among the targets", classes=classes + 1, **rest)
        yield case(f"{spread}, all smoothed away", smoothing=1.0, divergence=True, **rest)
        yield case(f"{spread}, nothing smoothed", smoothing=0.0, divergence=True, **rest)
        yield case(
            f"{spread}, right and wrong by 50", row + [50.0, 0.0, -1.0, 1.0, 0.0], smoothing=1e-30, **rest
        )
        yield case(f"{spread}, the padding wins", row + [1.0, 0.0, -1.0, 1.0, 40.0], **rest)
        yield case(f"{spread}, two winners", row + [40.0, 0.0, 40.0, 1.0, 40.0], **rest)
    yield case("torch's padding", classes=np.where(classes == 2, -100, classes), padding=-100)
    yield case("some left out", keep=classes > 1)
    yield case(
        "some left out for all of a batch", rng.normal(size=(2, 2, 3)), classes[:2] // 2, classes[:2] > 1
    )
    yield case("left out and padding", keep=classes > 0, padding=3, spread="others")
    yield case("the first class is padding", **ANNOTATED)
    yield case("nothing counts", keep=classes < 0, zero=none)
    yield case("nothing but padding", classes=classes * 0, padding=0, zero=none)
    yield case("one row", z[0], classes[0])
    yield case("one class for all rows", z, classes[0], spread="others")
    yield case("both broadcast", z, classes[:3].reshape(3, 1))
    yield case("equal logits, much smoothed", z * 0 + 3.0, smoothing=0.3)
    yield case("extreme", row + [1e4, 1e4 - 30, -1e4, 9e3, 0.0])
    yield case("all at -2e4", z - 2e4)
    yield case("one class", z[:, :1], classes * 0, zero=none)
    yield case("two classes", z[:, :2], classes // 2, spread="others")
    yield case("sure of one of two", row[:2] + [20.0, 0.0], np.arange(2), spread="others", smoothing=1.0)
    yield case(
        "three classes, one of them padding", z[:, :3], classes // 2, spread="others_but_padding", padding=2
    )
    yield case("no row", z[:0], classes[:0], zero=none)
    spoilt = np.where(classes[:, None] == 1, np.nan, z)
    yield case("NaN where it does not count", spoilt, classes, classes != 1)


def the_gradient_of_the_logits_sums_to_zero(inputs, params, loss):
    _, saved = smoothed_cross_entropy_forward(*inputs, **params)
    (dlogits,) = smoothed_cross_entropy_backward((saved[1].shape, *saved[1:]), loss * 0 + 1)
    assert (abs(dlogits.sum(axis=-1)) <= 1e-15 * abs(dlogits).sum(axis=-1) * dlogits.shape[-1]).all()


def a_right_answer_still_has_a_loss(inputs, params, loss):
    logits, classes, _ = inputs
    if logits.shape[-1] > 1:
        asked = np.arange(logits.shape[-1]) == (classes % logits.shape[-1])[..., None]
        value, saved = smoothed_cross_entropy_forward(60.0 * asked, classes % logits.shape[-1], smoothing=0)
        assert (value > 0).all() and (abs(value + saved[1].min(axis=-1)) <= 1e-15 * value).all()


def a_divergence_is_positive_and_zero_where_the_answer_is_the_target(inputs, params, loss):
    logits, classes, _ = inputs
    assert not params.get("divergence") or (loss >= -1e-15).all()
    rest = {"smoothing": 0.1, **params, "spread": "others", "padding": None, "divergence": True}
    c, smoothing = logits.shape[-1], rest["smoothing"]
    if c > 1 and 0 < smoothing < 1:
        asked = np.arange(c) == (classes % c)[..., None]
        answer = np.log(np.where(asked, 1 - smoothing, smoothing / (c - 1)))
        assert (abs(smoothed_cross_entropy_forward(answer, classes % c, **rest)[0]) <= 1e-14).all()


def what_does_not_count_is_not_read(inputs, params, loss):
    logits, classes, keep = inputs
    if keep is not None:
        keep = np.broadcast_to(keep, loss.shape)
        spoilt = np.where(keep[..., None], logits, np.nan), np.where(keep, classes, -7), keep
        again, saved = smoothed_cross_entropy_forward(*spoilt, **params)
        (dlogits,) = smoothed_cross_entropy_backward(saved, np.where(keep, loss, np.nan))
        assert (again == loss).all() and (dlogits[~keep] == 0).all() and (dlogits == dlogits).all()


smoothed_cross_entropy = register(
    Op(
        name="smoothed_cross_entropy",
        signature="logits(c), classes!(), keep?!() -> loss()",
        forward=smoothed_cross_entropy_forward,
        backward=smoothed_cross_entropy_backward,
        loops=smoothed_cross_entropy_loops,
        cases=cases,
        passive={"classes": "integer", "keep": "boolean"},
        properties=(
            the_gradient_of_the_logits_sums_to_zero,
            a_right_answer_still_has_a_loss,
            a_divergence_is_positive_and_zero_where_the_answer_is_the_target,
            what_does_not_count_is_not_read,
        ),
        variants=(
            Variant("torch", TORCH, "pytorch torch/nn/functional.py"),
            Variant("transformers", TORCH, "huggingface/transformers src/transformers/trainer_pt_utils.py"),
            Variant(
                "fairseq",
                {"spread": "others", "padding": 0},
                "facebookresearch/fairseq fairseq/criterions/label_smoothed_cross_entropy.py",
            ),
            Variant(
                "tensor2tensor",
                {"spread": "others", "padding": 0, "divergence": True},
                "tensorflow/tensor2tensor tensor2tensor/layers/common_layers.py",
            ),
            Variant("annotated", ANNOTATED, "harvardnlp/annotated-transformer the_annotated_transformer.py"),
            Variant("labml", ANNOTATED, f"{LABML} labml_nn/transformers/label_smoothing_loss.py"),
        ),
        source="arXiv:1512.00567 section 7; arXiv:1706.03762 section 5.4",
    )
)
