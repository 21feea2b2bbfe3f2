"""Allocation: a weighting over the rows of a memory that are free to be written.

The least used row gets the share 1 - u of the write, the next one its own share of what that left
over, and so on: what all rows together cannot take is not written.

Forward
-------
    phi    = the order of the n rows, least used first
    P_m    = prod_(j < m) u_phi(j)                       what the first m rows leave, P_0 = 1
    a_phi(m) = (1 - u_phi(m)) P_m                        m = 0, ..., n - 1

So a_phi(m) = P_m - P_(m+1), and sum_i a_i = 1 - prod_i u_i: the weights sum to one if a row is free,
and to nothing if all are in use.

Backward
--------
The order is a constant: it jumps where two rows swap, and its gradient between the jumps is zero.
Write G_m for g(a_phi(m)) and G_n = 0.  Summed by parts,

    L = sum_m G_m (P_m - P_(m+1)) = G_0 + sum_(m = 1 ... n) (G_m - G_(m-1)) P_m

and u_phi(j) is a factor of every P_m with m > j, so with T_(n-1) = -G_(n-1),

    T_j = (G_(j+1) - G_j) + u_phi(j+1) T_(j+1)           j = n - 2, ..., 0
    g(u_phi(j)) = P_j T_j                                a used row hands its share to the next ones

No division: usages of exactly zero, one or several, are rows like others.

Accuracy
--------
Both recurrences, P and T, are composed by doubling, in log2(n) passes over all rows: a map x -> b + c x
after another is again such a map.  T in differences of G loses nothing where G hardly varies, as the
textbook form S_j - G_j would, S a mean of the G that follow.  P may underflow, in float32 after 150
rows of u = 1/2: those weights and gradients are then zero, as they nearly are.

Conventions
-----------
The order is that of a stable sort: of rows equally in use, as all are at the first step, the one of
lowest index comes first.  Where two rows swap, the allocation is not continuous but jumps.  Other sorts
break ties their own way, so an order may be given as ``permutation``, and is then not checked to sort.

``eps`` takes e + (1 - e) u for u, in here only; 1 - u is then (1 - e) (1 - u):

    none    the paper, Mostafa-Samir, ADNC
    1e-6    DeepMind, ixaxaar, Csordas, jingweiz, bgavran

``cumprod_gradient="divide"`` is the gradient of TensorFlow's cumprod: the products after a row, summed,
over its usage,

    g(u_phi(j)) = sum_(m > j) G_m (1 - u_phi(m)) P_m / u_phi(j) - G_j P_j

which is the same number but for a usage of exactly 0, where it is 0 / 0: NaN.  So it is in Mostafa-Samir
and ADNC, which have no ``eps``.

Usage is taken as it comes and never clipped: beyond [0, 1], where rounding may lead, the equations go
on to hold, with weights beyond [0, 1] by as much.  Several write heads allocate in turn, each from a
usage that counts what those before it are about to take: ``nn/dnc_addressing``.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature
538 (2016) 471, Methods, "Dynamic memory allocation".
"""

import numpy as np

from ..backend import array_module, stable_argsort, sum_to_shape
from ..calculus import stretched
from ..op import Case, Op, Variant, register
from ..refusals import refuse_repeats


def dnc_allocation_forward(usage, permutation=None, *, eps=0.0, cumprod_gradient="exact"):
    """Weights over free rows: usage (..., n), integers (..., n) or None -> (..., n).

    ``permutation`` lists the rows from the one that is served first; None: by usage, ascending.  ``eps``
    in [0, 1) and ``cumprod_gradient`` "exact" or "divide", else ValueError.  Source: Nature 538 (2016)
    471, Methods.
    """
    xp = array_module(usage, permutation)
    if cumprod_gradient not in ("exact", "divide"):
        told = f"must be 'exact' or 'divide', got {cumprod_gradient!r}"
        raise ValueError(f"dnc_allocation: cumprod_gradient {told}")
    if not 0 <= eps < 1:
        raise ValueError(f"dnc_allocation: eps must be at least 0 and below 1, got {eps!r}")
    shape = usage.shape
    if permutation is None:
        order = stable_argsort(usage)
    else:
        refuse_repeats("dnc_allocation: permutation", permutation)
        whole = stretched(shape, permutation.shape)
        order, usage = xp.broadcast_to(permutation, whole), xp.broadcast_to(usage, whole)
    place = stable_argsort(order)  # of each row in the order: the inverse permutation
    used = xp.take_along_axis(usage, order, axis=-1)
    free = 1 - used
    if eps:  # the two sum to one, whatever 1 - eps is as a float
        used, free = used + eps * free, free - eps * free
    left = _products_before(xp, used)
    allocation = xp.take_along_axis(free * left, place, axis=-1)
    return allocation, (shape, order, place, used, left, free, eps, cumprod_gradient)


def dnc_allocation_backward(saved, dallocation):
    """The gradient for usage, given dallocation of shape (..., n)."""
    shape, order, place, used, left, free, eps, cumprod_gradient = saved
    xp = array_module(used, dallocation)
    asked = xp.take_along_axis(dallocation, order, axis=-1)
    if cumprod_gradient == "exact":
        dused = left * _handed_on(xp, used, asked)
    else:
        dused = _summed_after(xp, asked * free * left) / used - asked * left
    dusage = xp.take_along_axis(dused - eps * dused if eps else dused, place, axis=-1)
    return (sum_to_shape(dusage, shape),)


def dnc_allocation_loops(usage, permutation=None, *, eps=0.0, cumprod_gradient="exact", math=None):
    """One row after the other, the least used first."""
    rows = range(len(usage))
    order = sorted(rows, key=lambda i: usage[i]) if permutation is None else [int(i) for i in permutation]
    allocation, left = [0] * len(usage), 1
    for i in order:
        used = eps + (1 - eps) * usage[i]
        allocation[i] = (1 - used) * left
        left = left * used
    return allocation


def _products_before(xp, factors):
    """P_0, ..., P_(n-1): the product of the factors before each, along the last axis."""
    one = xp.ones_like(xp.sum(factors, axis=-1, keepdims=True))
    product, reach = xp.concat([one, factors], axis=-1)[..., :-1], 1
    while reach < factors.shape[-1] - 1:  # an entry is the product of up to ``reach`` factors before it
        further = product[..., reach:] * product[..., :-reach]
        product = xp.concat([product[..., :reach], further], axis=-1)
        reach *= 2
    return product


def _handed_on(xp, used, asked):
    """T_0, ..., T_(n-1) of the recurrence above; ``asked`` is G, both in the order of the rows."""
    n, none = used.shape[-1], xp.zeros_like(xp.sum(used, axis=-1, keepdims=True))
    slope = xp.concat([used, none], axis=-1)[..., 1:]
    asked = xp.concat([asked, none], axis=-1)
    level, reach = asked[..., 1:] - asked[..., :-1], 1
    while reach < n:  # T_j = level_j + slope_j T_(j + reach)
        near, far = level[..., :-reach] + slope[..., :-reach] * level[..., reach:], level[..., -reach:]
        level = xp.concat([near, far], axis=-1)
        slope = xp.concat([slope[..., :-reach] * slope[..., reach:], slope[..., -reach:]], axis=-1)
        reach *= 2
    return level


def _summed_after(xp, terms):
    """The sum of the terms after each, along the last axis."""
    none = xp.zeros_like(xp.sum(terms, axis=-1, keepdims=True))
    falling = xp.cumulative_sum(xp.flip(terms, axis=-1), axis=-1)
    return xp.flip(xp.concat([none, falling], axis=-1)[..., :-1], axis=-1)


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, usage, permutation=None, *, margin=None, **rest):
        usage = 0 * rng.uniform(size=np.shape(usage)) + usage
        if permutation is None:
            margin = _margin(usage) if margin is None else margin
        else:
            permutation = np.array(permutation)
        return Case(label, (usage, permutation), margin=margin, **rest)

    def spread(*shape):
        """Usages that keep a distance from one another."""
        n = shape[-1]
        order = rng.random(shape).argsort(axis=-1)
        return (order + rng.uniform(0.2, 0.8, size=shape)) / (n or 1)

    yield case("one memory", spread(5))
    yield case("a batch", spread(2, 4))
    yield case("two batch axes", spread(2, 2, 3))
    yield case("one row", spread(1))
    yield case("two rows", spread(2))
    yield case("nine rows", spread(9))
    yield case("no row", spread(2, 0), zero_gradient=("usage",))
    yield case("nothing is in use", [0.0, 0.0, 0.0, 0.0])
    yield case("one row is not in use", [0.6, 0.0, 0.9, 0.3])
    yield case("two rows are not in use", [0.6, 0.0, 0.9, 0.0])
    yield case("all rows are in use", [1.0, 1.0, 1.0])
    yield case("all rows but one are in use", [1.0, 1.0, 0.3, 1.0])
    yield case("equal usages", [0.7, 0.2, 0.7, 0.2, 0.2])
    yield case("nearly equal usages", [0.5, 0.5 - 1e-7, 0.8])
    yield case("nearly in use", [1 - 1e-9, 1 - 1e-4, 1 - 1e-6])
    yield case("hardly in use", [1e-17, 1e-9, 1e-300, 0.2], margin=0)
    yield case("what is left underflows", [2e-120, 1e-120, 4e-120, 3e-120], margin=0)
    yield case("beyond both ends by rounding", [1 + 1e-15, 0.4, -1e-15, 1.0])
    yield case("far beyond both ends", [1.3, 0.4, -0.3, 1.6])
    yield case("an order that is given", spread(4), [2, 0, 3, 1])
    yield case("equal usages in a given order", [0.0, 0.5, 0.0, 0.5], [2, 0, 3, 1])
    yield case("an order for each of a batch", spread(2, 3), [[0, 2, 1], [1, 2, 0]])
    yield case("an order for the batch", spread(2, 3), [2, 1, 0])
    yield case("several orders of one memory", spread(3), [[0, 1, 2], [2, 0, 1]])
    for eps in (1e-6, 0.2):
        yield case(f"eps {eps}", spread(4), params={"eps": eps})
        yield case(f"eps {eps}, nothing is in use", [0.0, 0.0, 0.0], params={"eps": eps})
        yield case(f"eps {eps}, all rows are in use", [1.0, 1.0, 1.0], params={"eps": eps})
    yield case("eps in a given order", spread(2, 3), [1, 0, 2], params={"eps": 0.1})
    divided = {"cumprod_gradient": "divide"}
    yield case("a cumprod that divides", 0.1 + 0.9 * spread(5), params=divided)
    yield case("a cumprod that divides, all in use", [1.0, 1.0, 1.0], params=divided)
    yield case("a cumprod that divides, no row", spread(2, 0), params=divided, zero_gradient=("usage",))
    yield case("a cumprod that divides beside eps", [0.0, 0.4, 0.7], params={"eps": 0.2, **divided})


def _margin(usage):
    """How far usages may move, each, before two of a memory swap."""
    rising = np.sort(usage, axis=-1)
    return float((rising[..., 1:] - rising[..., :-1]).min(initial=1.0)) / 2


def _used(usage, eps=0.0, cumprod_gradient="exact"):
    return eps + (1 - eps) * usage


def what_is_not_left_is_allocated(inputs, params, out):
    usage, _ = inputs
    left = _used(usage, **params).prod(-1)
    assert (abs(out.sum(-1) + left - 1) <= 1e-14 * np.maximum(abs(out).sum(-1), 1)).all()


def a_full_memory_has_nothing_to_allocate(inputs, params, out):
    usage, permutation = inputs
    assert (dnc_allocation_forward(0 * usage + 1, permutation, **params)[0] == 0).all()


def an_empty_memory_gives_its_first_row(inputs, params, out):
    usage, permutation = inputs
    found, _ = dnc_allocation_forward(0 * usage, permutation)
    first = np.arange(found.shape[-1]) if permutation is None else permutation
    assert (found == (np.arange(found.shape[-1]) == first[..., :1])).all()


def less_used_rows_get_more(inputs, params, out):
    usage, permutation = inputs
    if permutation is None and ((usage >= 0) & (usage <= 1)).all():
        more, got = (x[..., :, None] - x[..., None, :] for x in (usage, out))
        assert (more * got <= 0).all()


def rows_are_interchangeable_unless_equal(inputs, params, out):
    usage, permutation = inputs
    if permutation is None and _margin(usage) > 0:
        turned, _ = dnc_allocation_forward(usage[..., ::-1], **params)
        assert (turned == out[..., ::-1]).all()


def the_order_of_a_stable_sort_can_be_given(inputs, params, out):
    usage, permutation = inputs
    if permutation is None:
        again, _ = dnc_allocation_forward(usage, usage.argsort(axis=-1, kind="stable"), **params)
        assert (again == out).all()


def a_cumprod_that_divides_has_no_gradient_at_zero(inputs, params, out):
    if params.get("cumprod_gradient") == "divide" and not params.get("eps"):
        _, saved = dnc_allocation_forward(0 * inputs[0], **params)
        with np.errstate(invalid="ignore", divide="ignore"):
            assert not np.isfinite(dnc_allocation_backward(saved, out + 1)[0]).any()


_EPS = {"eps": 1e-6}
_DIVIDED = {"cumprod_gradient": "divide"}
dnc_allocation = register(
    Op(
        name="dnc_allocation",
        signature="usage(n), permutation?!(n) -> allocation(n)",
        forward=dnc_allocation_forward,
        backward=dnc_allocation_backward,
        loops=dnc_allocation_loops,
        cases=cases,
        passive={"permutation": "integer"},
        properties=(
            what_is_not_left_is_allocated,
            a_full_memory_has_nothing_to_allocate,
            an_empty_memory_gives_its_first_row,
            less_used_rows_get_more,
            rows_are_interchangeable_unless_equal,
            the_order_of_a_stable_sort_can_be_given,
            a_cumprod_that_divides_has_no_gradient_at_zero,
        ),
        variants=(
            Variant("paper", {}, "Nature 538 (2016) 471, Methods"),
            Variant("deepmind", _EPS, "google-deepmind/dnc dnc/addressing.py"),
            Variant("pytorch_dnc", _EPS, "ixaxaar/pytorch-dnc dnc/memory.py"),
            Variant("csordas", _EPS, "RobertCsordas/dnc Models/DNC.py"),
            Variant("mostafa_samir", _DIVIDED, "Mostafa-Samir/DNC-tensorflow dnc/memory.py"),
            Variant("jingweiz", _EPS, "jingweiz/pytorch-dnc core/heads/dynamic_write_head.py"),
            Variant("bgavran", _EPS, "bgavran/DNC src/controller_implementations/dnc/memory.py"),
            Variant("adnc", _DIVIDED, "joergfranke/ADNC adnc/model/memory_units/dnc_cell.py"),
        ),
        source="Nature 538 (2016) 471, Methods, dynamic memory allocation",
    )
)
