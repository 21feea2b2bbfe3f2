"""Temporal linkage: in which order the rows of a memory were written.

The ``n`` rows of a memory are written with weights w.  ``link[i, j]`` is the degree to which row i
was written just after row j; ``precedence[j]`` the degree to which row j was the one written last.

Forward
-------
    L'_ij = (1 - w_i - w_j) L_ij + w_i p_j     i != j;      L'_ii = 0
    p'_j  = (1 - sum_i w_i) p_j + w_j

Of the sparse linkage, ``largest`` = K, the rows that count are the K that are written most and the K that
were written last.  Their weights are scaled to sum to one, and links of less than 1 / K are dropped:

    w^_i  = w_i / s,  s = the sum of the K largest of w, if w_i is one of them, else 0;   p^ from p alike
    L~_ij = (1 - w^_i - w^_j) L_ij + w^_i p^_j     i != j;      L~_ii = 0
    L'_ij = L~_ij if it is at least 1 / K, else 0;              p'_j as above

Backward
--------
Nothing flows through the diagonal, so let G be g(L') with its diagonal removed.  w_k stands in row k,
in column k and in the precedence; p_j is read by both equations.

    g(L_ij) = (1 - w_i - w_j) G_ij
    g(p_j)  = sum_i G_ij w_i + (1 - sum_i w_i) g(p'_j)
    g(w_k)  = sum_j G_kj (p_j - L_kj) - sum_i G_ik L_ik + g(p'_k) - sum_j g(p'_j) p_j

If it is sparse, G is without what was dropped too, and what the links hand back is g(w^) and g(p^):

    g(w_k)  = (g(w^_k) - sum_i g(w^_i) w^_i) / s if w_k is one of the largest, plus what p' hands back

Which weights are largest and which links are dropped jumps, with a gradient of zero between the jumps.

Accuracy
--------
A confident write has one weight close to one, and what is left of the old link, 1 - w_i - w_j and
1 - sum w, is then small.  It keeps its digits if the largest weight is taken from one first: 1 - w is
exact for w from a half to two, and the rest is no larger than what remains.

Conventions
-----------
The precedence that enters the link is the one *before* this write; every public implementation of the
dense matrix agrees.  Writing one row twice in succession clears its links and adds none: it would follow
itself, and the diagonal stays empty.

The paper found K = 8 to be enough; of equal weights those of lowest index count.  Where s is zero, so are
w^ or p^ and their gradients; else a write of next to nothing makes links like any other, unlike the dense
one.  Arrays are dense, with zeros: the paper's sparse equations, not their saving of memory.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature
538 (2016) 471, Methods, "Temporal memory linkage" and "Sparse link matrix".
"""

import numpy as np

from ..backend import array_module, real, stable_argsort, sum_to_shape
from ..op import Case, Op, Variant, register


def dnc_linkage_forward(link, precedence, write_weights, *, largest=0):
    """Next link and precedence: (..., n, n), (..., n), (..., n) -> (..., n, n), (..., n).

    ``largest``: K of the sparse linkage, 0 for the dense one; TypeError unless it is an int, ValueError if
    it is negative.  Source: Nature 538 (2016) 471, Methods.
    """
    xp = array_module(link, precedence, write_weights)
    if type(largest) is not int:
        raise TypeError(f"dnc_linkage: largest must be an int, got {largest!r}")
    if largest < 0:
        raise ValueError(f"dnc_linkage: largest must not be negative, got {largest}")
    scaled = [_of_the_largest(xp, x, largest) for x in (write_weights, precedence)]
    write, last = scaled[0][0], scaled[1][0]
    row, column = xp.expand_dims(write, axis=-1), xp.expand_dims(write, axis=-2)
    kept = xp.where(real(row) > real(column), (1 - row) - column, (1 - column) - row)  # (..., n, n)
    new_link = _off_diagonal(xp, kept * link + row * xp.expand_dims(last, axis=-2))
    there = real(new_link) >= 1 / largest if largest else None
    new_link = xp.where(there, new_link, 0) if largest else new_link
    rising = xp.take_along_axis(write_weights, stable_argsort(write_weights), axis=-1)
    untouched = (1 - rising[..., -1:]) - xp.sum(rising[..., :-1], axis=-1, keepdims=True)
    # The link may have more batch axes.
    new_precedence = xp.broadcast_to(untouched * precedence + write_weights, new_link.shape[:-1])
    return (new_link, new_precedence), (link, precedence, scaled, kept, there, untouched)


def dnc_linkage_backward(saved, douts):
    """Gradients for link, precedence, write_weights, given (..., n, n) and (..., n)."""
    link, precedence, scaled, kept, there, untouched = saved
    dlink, dprecedence = douts
    xp = array_module(link, dlink, dprecedence)
    dlink = _off_diagonal(xp, dlink)
    dlink = dlink if there is None else xp.where(there, dlink, 0)
    (write, *_), (last, *_) = scaled
    followed = xp.expand_dims(last, axis=-2) - link
    dwrite = xp.sum(dlink * followed, axis=-1) - xp.sum(dlink * link, axis=-2)
    dwrite = _of_the_largest_backward(xp, scaled[0], dwrite) + dprecedence
    dwrite = dwrite - xp.sum(dprecedence * precedence, axis=-1, keepdims=True)
    dlast = xp.sum(dlink * xp.expand_dims(write, axis=-1), axis=-2)
    dlast = _of_the_largest_backward(xp, scaled[1], dlast) + untouched * dprecedence
    pairs = (dlink * kept, link), (dlast, precedence), (dwrite, write)
    return tuple(sum_to_shape(gradient, x.shape) for gradient, x in pairs)


def dnc_linkage_loops(link, precedence, write_weights, *, largest=0, math=None):
    """The equations above, one number at a time."""
    w, p, n = write_weights, precedence, len(precedence)
    after = [(1 - sum(w)) * p[j] + w[j] for j in range(n)]
    if largest:
        w, p = _scaled_in_loops(w, largest), _scaled_in_loops(p, largest)
    new_link = [
        [0.0 if i == j else (1 - w[i] - w[j]) * link[i][j] + w[i] * p[j] for j in range(n)] for i in range(n)
    ]
    if largest:
        new_link = [[entry if entry * largest >= 1 else 0.0 for entry in row] for row in new_link]
    return new_link, after


def _scaled_in_loops(x, largest):
    chosen = sorted(range(len(x)), key=lambda i: -x[i])[:largest]
    total = sum(x[i] for i in chosen)
    return [x[i] / total if i in chosen and total != 0 else 0.0 for i in range(len(x))]


def _of_the_largest(xp, x, largest):
    """x (..., n) with its ``largest`` entries scaled to sum to one and zeros else; which, and their sum."""
    if not largest:
        return x, None
    chosen = stable_argsort(stable_argsort(-x)) < largest  # the rank of each
    x = xp.where(chosen, x, 0)
    total = xp.sum(x, axis=-1, keepdims=True)
    some = real(total) != 0
    total = xp.where(some, total, 1)
    return xp.where(some, x / total, 0), (chosen & some, total)


def _of_the_largest_backward(xp, scaled, dx):
    x, how = scaled
    if how is None:
        return dx
    chosen, total = how
    return xp.where(chosen, (dx - xp.sum(dx * x, axis=-1, keepdims=True)) / total, 0)


def _off_diagonal(xp, a):
    return xp.tril(a, k=-1) + xp.triu(a, k=1)


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def weights(shape):
        return 0.9 * rng.dirichlet([1.0] * shape[-1], size=shape[:-1])

    def case(label, *, batch=(), shared=None, n=4, link=None, precedence=None, write=None, **rest):
        link = weights((*batch, n, n)) / n if link is None else link
        last = weights((*(batch if shared is None else shared), n)) if precedence is None else precedence
        return Case(label, (link, last, weights((*batch, n)) if write is None else write), **rest)

    one_hot = lambda i: 0 * rng.normal(size=4) + [float(i == j) for j in range(4)]
    blank = 0.0 * rng.normal(size=(3, 3))
    yield case("one memory")
    yield case("batch of memories", batch=(2,), n=3)
    yield case("precedence shared by the batch", batch=(2,), shared=(), n=3)
    yield case("two links of one write", link=weights((2, 3, 3)) / 3, n=3)
    yield case("one row", n=1, zero_gradient=("link",))  # it can only follow itself
    yield case("two rows", n=2)
    yield case("blank link", link=blank, n=3)
    yield case("the first write of all", link=blank, precedence=blank[0], n=3)
    yield case("nothing is written", write=0 * one_hot(0))
    yield case("one row is written", write=one_hot(1))
    yield case("the same row is written again", write=one_hot(2), precedence=one_hot(2))
    yield case("a row is written almost alone", write=(1 - 1e-6) * one_hot(1) + 1e-8 * rng.uniform(size=4))
    shared = weights((2,)) + [0.05, 0.05 - 1e-7]
    yield case("two rows share a write of almost one", n=2, write=shared)
    yield case("weights beyond the simplex", write=rng.normal(size=4), precedence=rng.normal(size=4))
    yield from _sparse_cases(rng)


def _sparse_cases(rng):
    """Weights that are well apart, and links that are far from being dropped."""
    w, p = np.array([0.5, 0.05, 0.3, 0.1]), np.array([0.1, 0.6, 0.02, 0.2])
    links = 0 * rng.normal(size=(4, 4)) + [
        [0, 0.9, 0, 0],
        [0.1, 0, 0.8, 0],
        [0, 0.2, 0, 0.7],
        [0.05, 0, 0, 0],
    ]

    def case(label, largest, link=links, precedence=p, write=w, margin=None, **facts):
        inputs = [0 * rng.normal(size=np.shape(x)) + x for x in (link, precedence, write)]
        margin = _margin(*inputs, largest) if margin is None else margin
        return Case(f"sparse: {label}", inputs, {"largest": largest}, margin=margin, **facts)

    yield case("two of four", 2)
    yield case("one of four", 1, zero_gradient=("link",), link=0.2 * links)
    yield case("more than there are", 8)
    yield case("two memories", 2, np.stack([links, links.T]), np.stack([p, w[::-1]]), np.stack([w, p[::-1]]))
    yield case("precedence shared by the batch", 2, np.stack([links, links.T]), p, np.stack([w, 0.9 * w]))
    yield case("a weight of zero counts", 3, write=[0.5, 0.0, 0.3, -0.1])
    yield case("nothing is written", 2, write=0 * w, margin=0)
    yield case("nothing was written before", 2, precedence=0 * p, margin=0)
    yield case("one row is written", 2, write=[0.0, 1.0, 0.0, 0.0], margin=0, zero_gradient=("precedence",))
    yield case("equal weights", 2, write=[0.2, 0.2, 0.2, 0.2], margin=0)


def _margin(link, precedence, write_weights, largest):
    """How far inputs may surely move, each, before another row counts or another link is dropped."""
    gaps = [1.0]
    for x in (precedence, write_weights):
        falling = -np.sort(-x, axis=-1)
        if largest < x.shape[-1]:
            gaps.append((falling[..., largest - 1] - falling[..., largest]).min())
    w, p = (_of_the_largest(np, x, largest)[0] for x in (write_weights, precedence))
    grown = (1 - w[..., :, None] - w[..., None, :]) * link + w[..., :, None] * p[..., None, :]
    gaps.append(abs(_off_diagonal(np, grown) - 1 / largest).min() / 8)
    return float(min(gaps)) / 2


def no_row_follows_itself(inputs, params, out):
    assert (out[0].diagonal(axis1=-2, axis2=-1) == 0).all()


def rows_and_columns_stay_below_one(inputs, params, out):
    """So long as the weights are never negative and sum to one at most; of sparse ones, the rows alone."""
    write = inputs[2]
    if (write < 0).any() or (write.sum(-1) > 1).any():
        return
    if params.get("largest"):
        assert (out[0].sum(-1) <= np.maximum(inputs[0].sum(-1), 1) + 1e-15).all()
        return
    new_link, new_precedence = out
    assert all((x <= 1).all() for x in (new_link.sum(-1), new_link.sum(-2), new_precedence.sum(-1)))
    assert (new_link >= -1e-16).all() and (new_precedence >= 0).all()


def sparse_links_are_few_and_not_small(inputs, params, out):
    if largest := params.get("largest"):
        assert ((out[0] == 0) | (out[0] >= 1 / largest)).all()
        assert ((out[0] > 0).sum(-1) <= np.where(out[0].sum(-1) <= 1, largest, np.inf)).all()


def the_order_of_two_writes_is_recorded(inputs, params, out):
    link, last, write = (0 * x for x in inputs)
    first, second = write + 0, write + 0
    first[..., 0], second[..., -1] = 1.0, 1.0
    (link, last), _ = dnc_linkage_forward(link, last, first, **params)
    (link, last), _ = dnc_linkage_forward(link, last, second, **params)
    expected = 0 * link
    expected[..., -1, 0] = 1.0 * (write.shape[-1] > 1)
    assert (link == expected).all()
    assert (last == second).all()


def writing_a_row_again_clears_its_links(inputs, params, out):
    again = 0 * inputs[1]
    again[..., 0] = 1.0
    (link, last), _ = dnc_linkage_forward(inputs[0], again, again, **params)
    assert (link[..., 0, :] == 0).all() and (link[..., :, 0] == 0).all()
    assert (last == again).all()


def without_a_write_nothing_changes(inputs, params, out):
    link, precedence, write = inputs
    (new_link, new_precedence), _ = dnc_linkage_forward(link, precedence, 0 * write, **params)
    kept = _off_diagonal(array_module(link), link)
    if largest := params.get("largest"):
        kept = np.where(kept >= 1 / largest, kept, 0)
    assert (new_link == kept).all()
    assert (new_precedence == precedence).all()


dnc_linkage = register(
    Op(
        name="dnc_linkage",
        signature="link(n,n), precedence(n), write_weights(n) -> new_link(n,n), new_precedence(n)",
        forward=dnc_linkage_forward,
        backward=dnc_linkage_backward,
        loops=dnc_linkage_loops,
        cases=cases,
        properties=(
            no_row_follows_itself,
            rows_and_columns_stay_below_one,
            the_order_of_two_writes_is_recorded,
            writing_a_row_again_clears_its_links,
            without_a_write_nothing_changes,
            sparse_links_are_few_and_not_small,
        ),
        variants=(
            Variant("paper", {}, "Nature 538 (2016) 471, Methods"),
            Variant("paper_sparse", {"largest": 8}, "Nature 538 (2016) 471, Methods, sparse link matrix"),
            Variant("deepmind", {}, "google-deepmind/dnc dnc/addressing.py"),
            Variant("pytorch_dnc", {}, "ixaxaar/pytorch-dnc dnc/memory.py"),
            Variant("csordas", {}, "RobertCsordas/dnc Models/DNC.py"),
            Variant("mostafa_samir", {}, "Mostafa-Samir/DNC-tensorflow dnc/memory.py"),
            Variant("jingweiz", {}, "jingweiz/pytorch-dnc core/heads/dynamic_write_head.py"),
            Variant("adnc", {}, "joergfranke/ADNC adnc/model/memory_units/dnc_cell.py"),
            Variant("bgavran", {}, "bgavran/DNC src/controller_implementations/dnc/memory.py"),
        ),
        source="Nature 538 (2016) 471, Methods, temporal memory linkage",
    )
)
