"""The write weighting of a DNC: into free rows, or over what is alike, or nowhere.

The write gate u says how much is written at all, the allocation gate g how much of that goes to rows
that are free (the allocation weighting a), and the rest goes to rows that hold what the write key asks
for (the content weighting c).

Forward
-------
    m_i = g a_i + (1 - g) c_i
    w_i = u m_i

Backward
--------
    g(u)   = sum_i g(w_i) m_i
    g(a_i) = g(w_i) u g          g(c_i) = g(w_i) u (1 - g)
    g(g)   = u sum_i g(w_i) (a_i - c_i)

With 1 - g given as an input q of its own, g(g) = u sum_i g(w_i) a_i and g(q) = u sum_i g(w_i) c_i.

Accuracy
--------
Weightings and gates are not negative, so the forward cancels nothing, and it is exact to the bit where
both gates are 0 or 1.  Of a gate that is nearly open, 1 - g has few digits left: a sigmoid's complement
is the sigmoid of the negated logit, and may be given as ``complement``.

Conventions
-----------
Every public implementation agrees on these equations.  Weightings are used as given: an allocation
sums to 1 - prod_i usage_i, so w sums to u only while some row is free, and to u (1 - g) where all are
in use.  Several write heads are a leading axis of all inputs.  How they come to different allocations
is said in ``dnc_allocation``.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature
538 (2016) 471, Methods, "Dynamic memory allocation".
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, Variant, register


def dnc_write_weighting_forward(allocation, content, allocation_gate, write_gate, complement=None):
    """Weights to write with: (..., n), (..., n), (...), (...) -> (..., n).

    ``complement`` is 1 - allocation_gate where the caller knows it to more digits than the difference has.
    Source: Nature 538 (2016) 471, Methods.
    """
    xp = array_module(allocation, content, allocation_gate, write_gate, complement)
    free, write = xp.expand_dims(allocation_gate, axis=-1), xp.expand_dims(write_gate, axis=-1)
    alike = 1 - free if complement is None else xp.expand_dims(complement, axis=-1)
    mixture = free * allocation + alike * content
    return write * mixture, (allocation, content, free, alike, write, mixture, complement)


def dnc_write_weighting_backward(saved, dweights):
    """Gradients for allocation, content, allocation_gate, write_gate, complement, given (..., n)."""
    allocation, content, free, alike, write, mixture, complement = saved
    xp = array_module(mixture, dweights)
    dmixture = dweights * write
    along = allocation - content if complement is None else allocation
    dcomplement = None
    if complement is not None:
        dcomplement = sum_to_shape(xp.sum(dmixture * content, axis=-1), complement.shape)
    return (
        sum_to_shape(dmixture * free, allocation.shape),
        sum_to_shape(dmixture * alike, content.shape),
        sum_to_shape(xp.sum(dmixture * along, axis=-1), free.shape[:-1]),
        sum_to_shape(xp.sum(dweights * mixture, axis=-1), write.shape[:-1]),
        dcomplement,
    )


def dnc_write_weighting_loops(
    allocation, content, allocation_gate, write_gate, complement=None, *, math=None
):
    """w = g_w [g_a a + (1 - g_a) c], one row at a time."""
    rest = 1 - allocation_gate if complement is None else complement
    return [write_gate * (allocation_gate * a + rest * c) for a, c in zip(allocation, content)]


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def weighting(shape):
        return rng.dirichlet([1.0] * shape[-1], size=shape[:-1])

    def case(label, *, batch=(), shared=None, n=4, gate=None, write=None, blank=False, **rest):
        allocation = 0.9 * weighting((*(batch if shared is None else shared), n))
        drawn, written = rng.uniform(size=(2, *batch))
        gates = drawn if gate is None else 0 * drawn + gate, written if write is None else 0 * written + write
        return Case(label, (0 * allocation if blank else allocation, weighting((*batch, n)), *gates), **rest)

    yield case("one head")
    yield case("batch of heads", batch=(2, 2), n=3)
    yield case("allocation shared by two heads", batch=(2,), shared=())
    yield case("more heads in the allocation", batch=(1,), shared=(2,), n=3)
    yield case("one row", n=1)
    yield case("nothing is written", write=0.0, zero_gradient=("allocation", "content", "allocation_gate"))
    yield case("almost nothing is written", write=1e-20)
    yield case("all of it to free rows", gate=1.0, write=1.0, zero_gradient=("content",))
    yield case("all of it by content", gate=0.0, write=1.0, zero_gradient=("allocation",))
    yield case("almost all of it to free rows", gate=1 - 2.0**-40)
    yield case("no row is free", blank=True)
    logit = rng.normal(size=(2,)) + 20.0
    weightings, written = weighting((2, 2, 3)), rng.uniform(size=(2,))
    gates = 1 / (1 + 2.718281828**-logit), written, 1 / (1 + 2.718281828**logit)
    yield Case("gate with its complement", (*weightings, *gates))
    same = weighting((3,))
    yield Case("nothing to choose", (same, same, *rng.uniform(size=2)), zero_gradient=("allocation_gate",))


def no_more_is_written_than_the_gate_lets(inputs, params, out):
    allocation, content, _, write_gate, *complement = inputs
    if not complement:
        most = write_gate * allocation.sum(-1).clip(content.sum(-1))
        assert (out >= 0).all() and (out.sum(-1) <= most + 1e-15).all()


def a_shut_gate_writes_nothing(inputs, params, out):
    allocation, content, gate, write_gate, *_ = inputs
    shut, _ = dnc_write_weighting_forward(allocation, content, gate, 0 * write_gate)
    assert (shut == 0).all()


def gates_at_their_ends_choose_to_the_bit(inputs, params, out):
    allocation, content, gate, write_gate, *_ = inputs
    whole = 0 * write_gate + 1
    for opened, chosen, other in ((1, allocation, content), (0, content, allocation)):
        found, _ = dnc_write_weighting_forward(allocation, content, 0 * gate + opened, whole)
        assert (found == chosen + 0 * other).all()


dnc_write_weighting = register(
    Op(
        name="dnc_write_weighting",
        signature="allocation(n), content(n), allocation_gate(), write_gate(), complement?() -> weights(n)",
        forward=dnc_write_weighting_forward,
        backward=dnc_write_weighting_backward,
        loops=dnc_write_weighting_loops,
        cases=cases,
        properties=(
            no_more_is_written_than_the_gate_lets,
            a_shut_gate_writes_nothing,
            gates_at_their_ends_choose_to_the_bit,
        ),
        variants=(Variant("paper", {}, source="Nature 538 (2016) 471, Methods"),),
        source="Nature 538 (2016) 471, Methods, dynamic memory allocation",
    )
)
