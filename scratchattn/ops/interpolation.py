"""Interpolation: how much of a new weighting to take, how much of the previous one to keep.

A gate of one attends by content alone; a gate of zero stays where the head was.

Forward
-------
    w_i = g c_i + (1 - g) p_i

and with ``smoothing`` e, of n rows, (1 - e) g + e / 2 for g and (1 - e) p_i + e / n for p_i.

Backward
--------
    g(c_i) = g(w_i) g        g(p_i) = g(w_i) (1 - g)        g(g) = sum_i g(w_i) (c_i - p_i)

With 1 - g given as an input q of its own, g(g) = sum_i g(w_i) c_i and g(q) = sum_i g(w_i) p_i.  With
smoothing, g and p here are the smoothed ones, and the gradients by what they were made of are (1 - e)
times these; of q too, since 1 less the smoothed g is q smoothed alike.

Accuracy
--------
In this form w is c for g = 1 and p for g = 0, to the bit; p + g (c - p) would round at g = 1.
Saturated and hard gates reach both ends.  Of a gate that is nearly open, 1 - g has few digits left:
a sigmoid's complement is the sigmoid of the negated logit, and may be given as ``complement``.

Conventions
-----------
g is taken as given, and c and p need not sum to one: with the zero weighting that pytorch-ntm
starts from, w sums to g.  shawntan, who takes logarithms of gates and of what was kept, smooths both
by 1e-8, which float32 does not show unless one of them is zero.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, eq. 7.
"""

import numpy as np

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, Variant, register


def interpolation_forward(content, previous, gate, complement=None, *, smoothing=0.0):
    """Gated weights: (..., n), (..., n), (...), (...) -> (..., n).

    ``complement`` is 1 - gate where the caller knows it to more digits than the difference has.
    ``smoothing`` moves gate and previous by that fraction towards one half and 1 / n; ValueError unless
    it is in [0, 1).
    """
    xp = array_module(content, previous, gate, complement)
    if not 0 <= smoothing < 1:
        raise ValueError(f"interpolation: smoothing must be at least 0 and below 1, got {smoothing!r}")
    opened = xp.expand_dims(gate, axis=-1)
    kept = 1 - opened if complement is None else xp.expand_dims(complement, axis=-1)
    if smoothing:
        opened, kept = [(1 - smoothing) * x + smoothing / 2 for x in (opened, kept)]
        previous = (1 - smoothing) * previous + smoothing / max(previous.shape[-1], 1)
    return opened * content + kept * previous, (content, previous, opened, kept, complement, smoothing)


def interpolation_backward(saved, dweights):
    """Gradients for content, previous, gate, complement, given dweights of shape (..., n)."""
    content, previous, opened, kept, complement, smoothing = saved
    xp = array_module(content, dweights)
    along = content - previous if complement is None else content
    smoothed = (1 - smoothing) * dweights if smoothing else dweights
    dcomplement = None
    if complement is not None:
        dcomplement = sum_to_shape(xp.sum(smoothed * previous, axis=-1), complement.shape)
    return (
        sum_to_shape(dweights * opened, content.shape),
        sum_to_shape(smoothed * kept, previous.shape),
        sum_to_shape(xp.sum(smoothed * along, axis=-1), opened.shape[:-1]),
        dcomplement,
    )


def interpolation_loops(content, previous, gate, complement=None, *, smoothing=0.0, math=None):
    """Eq. 7, one row at a time."""
    kept = 1 - gate if complement is None else complement
    share, none = 1 - smoothing, smoothing / 2
    weights = []
    for c, p in zip(content, previous):
        p = share * p + smoothing / len(previous)
        weights.append((share * gate + none) * c + (share * kept + none) * p)
    return weights


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, batch=(), n=4, content_batch=None, gate=None, **rest):
        shapes = [(*batch, n) if content_batch is None else (*content_batch, n), (*batch, n)]
        weightings = [x / x.sum(-1, keepdims=True) for x in (rng.gamma(1.0, size=shape) for shape in shapes)]
        drawn = rng.uniform(size=batch)
        return Case(label, (*weightings, drawn if gate is None else 0 * drawn + gate), **rest)

    yield case("one weighting")
    yield case("batch of heads", batch=(2, 2))
    yield case("content shared by the batch", batch=(3,), content_batch=())
    yield case("more heads in the content", batch=(1,), content_batch=(2,))
    yield case("gate open", gate=1.0, zero_gradient=("previous",))
    yield case("gate shut", gate=0.0, zero_gradient=("content",))
    yield case("gate nearly open", gate=1 - 2.0**-40)
    yield case("gate nearly shut", gate=1e-20)
    yield Case("one row", tuple(rng.uniform(size=shape) for shape in ((1,), (1,), ())))
    yield Case("zeros to keep", (rng.uniform(size=3), 0 * rng.uniform(size=3), rng.uniform(size=())))
    logit = rng.normal(size=(2,)) + 20.0
    two = [rng.dirichlet(np.ones(3), size=2) for _ in range(2)]
    yield Case("gate with its complement", (*two, 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(logit))))
    smoothed = {"smoothing": 0.125}
    yield case("smoothed", batch=(2,), params=smoothed)
    yield case("smoothed, gate shut", gate=0.0, params=smoothed)
    yield Case("smoothed, with its complement", (*two, gate := rng.uniform(size=2), 1 - gate), smoothed)
    yield Case("smoothed, one row", (*rng.uniform(size=(2, 1)), rng.uniform(size=())), smoothed)
    yield case("smoothed by next to nothing", gate=1.0, params={"smoothing": 1e-8})
    same = rng.permutation([0.5, 0.25, 0.125])  # whose products are exact, and the difference nothing
    yield Case("nothing to choose", (same, same, rng.uniform(size=())), zero_gradient=("gate",))


def weights_lie_between_the_two(inputs, params, out):
    (content, previous), e = inputs[:2], params.get("smoothing", 0.0)
    previous = (1 - e) * previous + e / previous.shape[-1]
    assert ((out - content) * (out - previous) <= 1e-16).all()


def both_ends_are_exact(inputs, params, out):
    content, previous, gate, *_ = inputs
    assert (interpolation_forward(content, previous, 0 * gate + 1)[0] == content + 0 * previous).all()
    assert (interpolation_forward(content, previous, 0 * gate)[0] == previous + 0 * content).all()


interpolation = register(
    Op(
        name="interpolation",
        signature="content(n), previous(n), gate(), complement?() -> weights(n)",
        forward=interpolation_forward,
        backward=interpolation_backward,
        loops=interpolation_loops,
        cases=cases,
        properties=(weights_lie_between_the_two, both_ends_are_exact),
        variants=(
            Variant("paper", {}, source="arXiv:1410.5401 eq. 7; and all not named here"),
            Variant("shawntan", {"smoothing": 1e-8}, source="shawntan/neural-turing-machines ntm.py"),
        ),
        source="arXiv:1410.5401 eq. 7",
    )
)
