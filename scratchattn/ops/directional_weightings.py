"""From what was read to what was written next, and to what was written before it.

``link[i, j]`` is the degree to which row i was written just after row j (see ``dnc_linkage``).
Each of ``h`` read heads attended to the ``n`` rows with weights r; following the links moves that
attention one write onwards or one write back.

Forward
-------
    f_i = sum_j L_ij r_j         f = L r       the rows written just after those that were read
    b_j = sum_i L_ij r_i         b = L^T r     the rows written just before

Backward
--------
With g(x) for dL/dx, for every head,

    g(r_k)  = sum_i L_ik g(f_i) + sum_j L_kj g(b_j)        each direction pulled back by the other
    g(L_ij) = sum_h g(f_hi) r_hj + r_hi g(b_hj)

Accuracy
--------
Products of matrices; links and weights are never negative, so the forward cancels nothing.

Conventions
-----------
``direction="paper"`` is as above.  joergfranke/ADNC multiplies row vectors by L from the left and
calls the result forward, which is L^T r: ``direction="swapped"`` exchanges the two names, so that its
read modes need no permutation.  The sums of f and b are at most one, and zero before anything was
linked; RobertCsordas/dnc then sharpens them, which is not done here.  A DNC of several write heads
has one link matrix for each: give link the axes (..., heads, n, n) and read_weights (..., 1, h, n).

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature
538 (2016) 471, Methods, "Temporal memory linkage".
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, Variant, register


def directional_weightings_forward(link, read_weights, *, direction="paper"):
    """Weights one write on and one back: (..., n, n), (..., h, n) -> (..., h, n), (..., h, n).

    ``direction``: "paper" or "swapped", which exchanges the outputs; ValueError for another.
    Source: Nature 538 (2016) 471, Methods.
    """
    xp = array_module(link, read_weights)
    if direction not in ("paper", "swapped"):
        raise ValueError(f"directional_weightings: direction must be 'paper' or 'swapped', got {direction!r}")
    after = xp.matmul(read_weights, xp.matrix_transpose(link))  # (..., h, n)
    before = xp.matmul(read_weights, link)
    out = (after, before) if direction == "paper" else (before, after)
    return out, (link, read_weights, direction)


def directional_weightings_backward(saved, douts):
    """Gradients for link and read_weights, given two cotangents of shape (..., h, n)."""
    link, read_weights, direction = saved
    dafter, dbefore = douts if direction == "paper" else (douts[1], douts[0])
    xp = array_module(link, dafter, dbefore)
    dlink = xp.matmul(xp.matrix_transpose(dafter), read_weights)
    dlink = dlink + xp.matmul(xp.matrix_transpose(read_weights), dbefore)
    dread = xp.matmul(dafter, link) + xp.matmul(dbefore, xp.matrix_transpose(link))
    return sum_to_shape(dlink, link.shape), sum_to_shape(dread, read_weights.shape)


def directional_weightings_loops(link, read_weights, *, direction="paper", math=None):
    """The equations above, one number at a time."""
    rows = range(len(link))
    after, before = [], []
    for r in read_weights:
        after.append([sum(link[i][j] * r[j] for j in rows) for i in rows])
        before.append([sum(link[i][j] * r[i] for i in rows) for j in rows])
    return (after, before) if direction == "paper" else (before, after)


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, batch=(), linked=None, h=2, n=4, link=None, **rest):
        linked = batch if linked is None else linked
        link = rng.uniform(size=(*linked, n, n)) / n if link is None else link
        return Case(label, (link, 0.9 * rng.dirichlet([1.0] * n, size=(*batch, h))), **rest)

    yield case("one head", h=1)
    yield case("several heads", h=3)
    yield case("swapped", params={"direction": "swapped"})
    yield case("batch of memories", batch=(2,), n=3)
    yield case("link shared by the batch", batch=(2,), linked=(), n=3, params={"direction": "swapped"})
    yield case("a link for each of two write heads", batch=(1,), linked=(2,), n=3)
    yield case("two rows", n=2)
    yield case("one row", n=1, h=1)
    blank = 0 * rng.normal(size=(3, 3))
    yield case("nothing is linked yet", link=blank, n=3, zero_gradient=("read_weights",))
    nothing_read = case("nothing was read", zero_gradient=("link",))
    nothing_read.inputs[1][...] = 0.0
    yield nothing_read


def a_chain_is_followed_both_ways(inputs, params, out):
    """Rows written in their order 0, 1, 2...: from row i forwards to i + 1, backwards to i - 1."""
    link, read = 0 * inputs[0], 0 * inputs[1]
    n = link.shape[-1]
    for i in range(1, n):
        link[..., i, i - 1] = 1.0
    for i in range(n):
        here = read + 0
        here[..., i] = 1.0
        (after, before), _ = directional_weightings_forward(link, here)
        for moved, j in ((after, i + 1), (before, i - 1)):
            expected = 0 * moved
            expected[..., [j] if 0 <= j < n else []] = 1.0
            assert (moved == expected).all()


def the_two_directions_are_transposed(inputs, params, out):
    link, read = inputs
    (after, before), _ = directional_weightings_forward(link.swapaxes(-1, -2) + 0, read, **params)
    assert abs(after - out[1]).max() < 1e-15 and abs(before - out[0]).max() < 1e-15


def swapping_exchanges_the_names(inputs, params, out):
    other = "swapped" if params.get("direction", "paper") == "paper" else "paper"
    there, _ = directional_weightings_forward(*inputs, direction=other)
    assert (there[0] == out[1]).all() and (there[1] == out[0]).all()


directional_weightings = register(
    Op(
        name="directional_weightings",
        signature="link(n,n), read_weights(h,n) -> forward_weights(h,n), backward_weights(h,n)",
        forward=directional_weightings_forward,
        backward=directional_weightings_backward,
        loops=directional_weightings_loops,
        cases=cases,
        properties=(
            a_chain_is_followed_both_ways,
            the_two_directions_are_transposed,
            swapping_exchanges_the_names,
        ),
        variants=(
            Variant("paper", {}, "Nature 538 (2016) 471, Methods"),
            Variant("deepmind", {}, "google-deepmind/dnc dnc/addressing.py"),
            Variant("pytorch_dnc", {}, "ixaxaar/pytorch-dnc dnc/memory.py"),
            Variant("csordas", {}, "RobertCsordas/dnc Models/DNC.py"),
            Variant("mostafa_samir", {}, "Mostafa-Samir/DNC-tensorflow dnc/memory.py"),
            Variant("jingweiz", {}, "jingweiz/pytorch-dnc core/heads/dynamic_read_head.py"),
            Variant("bgavran", {}, "bgavran/DNC src/controller_implementations/dnc/memory.py"),
            Variant("adnc", {"direction": "swapped"}, "joergfranke/ADNC adnc/model/memory_units/dnc_cell.py"),
        ),
        source="Nature 538 (2016) 471, Methods, temporal memory linkage",
    )
)
