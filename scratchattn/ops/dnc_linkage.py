"""Temporal linkage: in which order the rows of a memory were written.

The ``n`` rows of a memory are written with weights w.  ``link[i, j]`` is the degree to which row i
was written just after row j; ``precedence[j]`` the degree to which row j was the one written last.

Forward
-------
    L'_ij = (1 - w_i - w_j) L_ij + w_i p_j     i != j;      L'_ii = 0
    p'_j  = (1 - sum_i w_i) p_j + w_j

Backward
--------
Nothing flows through the diagonal, so let G be g(L') with its diagonal removed.  w_k stands in row k,
in column k and in the precedence; p_j is read by both equations.

    g(L_ij) = (1 - w_i - w_j) G_ij
    g(p_j)  = sum_i G_ij w_i + (1 - sum_i w_i) g(p'_j)
    g(w_k)  = sum_j G_kj (p_j - L_kj) - sum_i G_ik L_ik + g(p'_k) - sum_j g(p'_j) p_j

Accuracy
--------
A confident write has one weight close to one, and what is left of the old link, 1 - w_i - w_j and
1 - sum w, is then small.  It keeps its digits if the largest weight is taken from one first: 1 - w is
exact for w from a half to two, and the rest is no larger than what remains.

Conventions
-----------
The precedence that enters the link is the one *before* this write; every public implementation of the
dense matrix agrees.  Writing one row twice in succession clears its links and adds none: the row would
follow itself, and the diagonal stays empty.  Reads follow the links in ``directional_weightings``.
The paper's sparse form (the K largest weights only) is not this op.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature
538 (2016) 471, Methods, "Temporal memory linkage".
"""

from ..backend import array_module, real, stable_argsort, sum_to_shape
from ..op import Case, Op, Variant, register


def dnc_linkage_forward(link, precedence, write_weights):
    """Next link and precedence: (..., n, n), (..., n), (..., n) -> (..., n, n), (..., n).

    Source: Nature 538 (2016) 471, Methods.
    """
    xp = array_module(link, precedence, write_weights)
    row, column = xp.expand_dims(write_weights, axis=-1), xp.expand_dims(write_weights, axis=-2)
    kept = xp.where(real(row) > real(column), (1 - row) - column, (1 - column) - row)  # (..., n, n)
    new_link = _off_diagonal(xp, kept * link + row * xp.expand_dims(precedence, axis=-2))
    rising = xp.take_along_axis(write_weights, stable_argsort(write_weights), axis=-1)
    untouched = (1 - rising[..., -1:]) - xp.sum(rising[..., :-1], axis=-1, keepdims=True)
    new_precedence = untouched * precedence + write_weights
    new_precedence = xp.broadcast_to(new_precedence, new_link.shape[:-1])  # the link may have more batch axes
    return (new_link, new_precedence), (link, precedence, write_weights, kept, untouched)


def dnc_linkage_backward(saved, douts):
    """Gradients for link, precedence, write_weights, given (..., n, n) and (..., n)."""
    link, precedence, write_weights, kept, untouched = saved
    dlink, dprecedence = douts
    xp = array_module(link, dlink, dprecedence)
    dlink = _off_diagonal(xp, dlink)
    followed = xp.expand_dims(precedence, axis=-2) - link
    dwrite = (
        xp.sum(dlink * followed, axis=-1)
        - xp.sum(dlink * link, axis=-2)
        + dprecedence
        - xp.sum(dprecedence * precedence, axis=-1, keepdims=True)
    )
    dlast = xp.sum(dlink * xp.expand_dims(write_weights, axis=-1), axis=-2) + untouched * dprecedence
    return (
        sum_to_shape(dlink * kept, link.shape),
        sum_to_shape(dlast, precedence.shape),
        sum_to_shape(dwrite, write_weights.shape),
    )


def dnc_linkage_loops(link, precedence, write_weights, *, math=None):
    """The equations above, one number at a time."""
    w, n = write_weights, len(precedence)
    new_link = [
        [0.0 if i == j else (1 - w[i] - w[j]) * link[i][j] + w[i] * precedence[j] for j in range(n)]
        for i in range(n)
    ]
    return new_link, [(1 - sum(w)) * precedence[j] + w[j] for j in range(n)]


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

    def one_hot(i):
        return 0 * rng.normal(size=4) + [float(i == j) for j in range(4)]

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


def no_row_follows_itself(inputs, params, out):
    assert (out[0].diagonal(axis1=-2, axis2=-1) == 0).all()


def rows_and_columns_stay_below_one(inputs, params, out):
    """So long as the weights are never negative and sum to one at most."""
    write = inputs[2]
    if (write < 0).any() or (write.sum(-1) > 1).any():
        return
    new_link, new_precedence = out
    for sums in (new_link.sum(-1), new_link.sum(-2), new_precedence.sum(-1)):
        assert (sums <= 1).all()
    assert (new_link >= -1e-16).all() and (new_precedence >= 0).all()


def the_order_of_two_writes_is_recorded(inputs, params, out):
    link, last, write = (0 * x for x in inputs)
    first, second = write + 0, write + 0
    first[..., 0], second[..., -1] = 1.0, 1.0
    (link, last), _ = dnc_linkage_forward(link, last, first)
    (link, last), _ = dnc_linkage_forward(link, last, second)
    expected = 0 * link
    expected[..., -1, 0] = 1.0 * (write.shape[-1] > 1)
    assert (link == expected).all()
    assert (last == second).all()


def writing_a_row_again_clears_its_links(inputs, params, out):
    again = 0 * inputs[1]
    again[..., 0] = 1.0
    (link, last), _ = dnc_linkage_forward(inputs[0], again, again)
    assert (link[..., 0, :] == 0).all() and (link[..., :, 0] == 0).all()
    assert (last == again).all()


def without_a_write_nothing_changes(inputs, params, out):
    link, precedence, write = inputs
    (new_link, new_precedence), _ = dnc_linkage_forward(link, precedence, 0 * write)
    assert (new_link == _off_diagonal(array_module(link), link)).all()
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
        ),
        variants=(
            Variant("paper", {}, "Nature 538 (2016) 471, Methods"),
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
