"""Reading from a memory.

A memory has ``n`` rows of ``w`` numbers; each of ``h`` heads takes the average of the rows under its
own weights.

Forward
-------
    r_h = sum_i a_hi M_i

Backward
--------
With g(x) for dL/dx,

    g(a_hi) = g(r_h) . M_i          how far row i points along what is asked of the read
    g(M_i)  = sum_h a_hi g(r_h)     a row is answerable to every head that looked at it

Accuracy
--------
Two products of matrices; nothing cancels but what the reader's own sum cancels.

Conventions
-----------
The weights are used as given: those of an NTM sum to one, those of a DNC to one at most, and then the
read shrinks with them.  Which memory is read is the caller's choice and differs: the NTM paper prints
M_t, the memory after this step's writes, as do DNC, snipsco/ntm-lasagne and jingweiz/pytorch-dnc;
MarkPKCollier/NeuralTuringMachine, carpedm20/NTM-tensorflow and fumin/ntm read M_(t-1).

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, eq. 2.
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, register


def memory_read_forward(weights, memory):
    """What each head reads: (..., h, n), (..., n, w) -> (..., h, w), in the memory's unit.

    Source: arXiv:1410.5401 eq. 2.
    """
    xp = array_module(weights, memory)
    return xp.matmul(weights, memory), (weights, memory)


def memory_read_backward(saved, dreads):
    """Gradients for weights and memory, given dreads of shape (..., h, w)."""
    weights, memory = saved
    xp = array_module(weights, dreads)
    dweights = xp.matmul(dreads, xp.matrix_transpose(memory))
    dmemory = xp.matmul(xp.matrix_transpose(weights), dreads)
    return sum_to_shape(dweights, weights.shape), sum_to_shape(dmemory, memory.shape)


def memory_read_loops(weights, memory, *, math=None):
    """The equation above, one number at a time."""
    reads = []
    for attention in weights:
        read = [0.0] * len(memory[0])
        for share, row in zip(attention, memory):
            for v, number in enumerate(row):
                read[v] += share * number
        reads.append(read)
    return reads


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, batch=(), shared=None, h=2, n=4, w=3, weights=None, memory=None, **rest):
        shared = batch if shared is None else shared
        weights = rng.dirichlet([1.0] * n, size=(*batch, h)) if weights is None else weights
        memory = rng.normal(size=(*shared, n, w)) if memory is None else memory
        return Case(label, (weights, memory), **rest)

    yield case("one head", h=1)
    yield case("several heads", h=3)
    yield case("batch of memories", batch=(2,))
    yield case("memory shared by the batch", batch=(2,), shared=())
    yield case("many memories under the same weights", shared=(2,))
    yield case("one row", n=1)
    yield case("one column", w=1)
    yield case("weights below one and negative", weights=0.3 * rng.normal(size=(2, 4)))
    yield case("certain", weights=0 * rng.normal(size=(2, 4)) + [[0, 0, 1, 0], [1, 0, 0, 0]])
    yield case("nothing is attended", weights=rng.normal(size=(2, 4)) * 0, zero_gradient=("memory",))
    yield case("blank memory", memory=rng.normal(size=(4, 3)) * 0, zero_gradient=("weights",))
    yield case("no head", h=0, zero_gradient=("weights", "memory"))


def a_certain_head_reads_its_row(inputs, params, reads):
    weights, memory = inputs
    for i in range(memory.shape[-2]):
        only = weights * 0
        only[..., i] = 1.0
        assert (memory_read_forward(only, memory)[0] == memory[..., i, None, :]).all()


def an_average_stays_among_the_rows(inputs, params, reads):
    weights, memory = inputs
    share = abs(weights) / abs(weights).sum(-1, keepdims=True).clip(1e-300)
    average, _ = memory_read_forward(share, memory)
    room = 1e-15 * abs(memory).max()
    assert (abs(average) <= abs(memory).max(-2, keepdims=True) + room).all()


def what_is_stored_twice_as_large_is_read_twice_as_large(inputs, params, reads):
    weights, memory = inputs
    assert (memory_read_forward(weights, 2 * memory)[0] == 2 * reads).all()


memory_read = register(
    Op(
        name="memory_read",
        signature="weights(h,n), memory(n,w) -> reads(h,w)",
        forward=memory_read_forward,
        backward=memory_read_backward,
        loops=memory_read_loops,
        cases=cases,
        properties=(
            a_certain_head_reads_its_row,
            an_average_stays_among_the_rows,
            what_is_stored_twice_as_large_is_read_twice_as_large,
        ),
        source="arXiv:1410.5401 eq. 2",
    )
)
