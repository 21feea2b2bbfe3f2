"""Writing to a memory: erase, then add.

A memory has ``n`` rows of ``w`` numbers.  Each of ``h`` heads attends to the rows with weights a,
removes from them the fraction e of each column, and adds its vector v, both in proportion to a.

Forward
-------
With the factor F_h = 1 - a_h e_h^T that head h leaves, entry by entry,

    M' = M prod_h F_h + sum_h a_h v_h^T

Backward
--------
With g(x) for dL/dx and G = g(M'), let D_h be the gradient by the product a_h e_h^T,

    D_h     = -G M prod_(k != h) F_k
    g(M)    = G prod_h F_h
    g(a_hi) = sum_v D_h,iv e_hv + G_iv v_hv
    g(e_hv) = sum_i D_h,iv a_hi
    g(v_hv) = sum_i G_iv a_hi

The product without one factor is that of the heads before it times that of the heads after it.
Dividing the whole product by F_h fails where a head erases completely, F_h = 0; the guard that
fumin/ntm puts in its place loses the gradient there.

Accuracy
--------
1 - a e loses its digits where a and e are both close to one.  (1 - a) + a (1 - e) has terms of one
sign and loses none.  The sum of erasures below has no such form.

Conventions
-----------
``order`` says how several heads share a memory; with one head all three agree.

    erase_all_then_add   as above: the papers', and the order of the heads is irrelevant
    sequential           each head erases and adds in what the heads before it have left
    sum_of_erasures      1 - sum_h a_h e_h^T for the product: the same to first order, but two heads
                         that both erase a row turn its sign

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, eqs. 3-4; with one head,
the memory write of Graves et al., Nature 538 (2016) 471.
"""

from ..backend import array_module, sum_to_shape
from ..calculus import products
from ..op import Case, Op, Variant, register

_ORDERS = ("erase_all_then_add", "sequential", "sum_of_erasures")


def memory_write_forward(memory, weights, erase, write_vector, *, order="erase_all_then_add"):
    """The memory after a write: (..., n, w), (..., h, n), (..., h, w), (..., h, w) -> (..., n, w).

    ``erase`` is a fraction, ``write_vector`` in the memory's unit.  ``order``: "erase_all_then_add",
    "sequential" or "sum_of_erasures"; ValueError for another.  Source: arXiv:1410.5401 eqs. 3-4.
    """
    if order not in _ORDERS:
        allowed = ", ".join(map(repr, _ORDERS))
        raise ValueError(f"memory_write: order must be one of {allowed}, got {order!r}")
    by_head = (weights, erase, write_vector)
    groups = [slice(None)]  # which heads write at once
    if order == "sequential" and weights.shape[-2]:
        groups = [slice(h, h + 1) for h in range(weights.shape[-2])]
    written, steps = memory, []
    for heads in groups:
        written, step = _write(written, *[x[..., heads, :] for x in by_head], order)
        steps.append(step)
    return written, (memory.shape, [x.shape for x in by_head], steps)


def memory_write_backward(saved, dwritten):
    """Gradients for memory, weights, erase, write_vector, given dwritten of shape (..., n, w)."""
    memory_shape, shapes, steps = saved
    xp = array_module(dwritten)
    parts = []
    for step in reversed(steps):
        dwritten, *by_head = _write_backward(step, dwritten)
        parts = [by_head, *parts]
    grads = [xp.concat(list(heads), axis=-2) for heads in zip(*parts)]
    return (
        sum_to_shape(dwritten, memory_shape),
        *[sum_to_shape(g, shape) for g, shape in zip(grads, shapes)],
    )


def memory_write_loops(memory, weights, erase, write_vector, *, order="erase_all_then_add", math=None):
    """One cell of the memory at a time, one head at a time."""
    heads = range(len(weights))
    written = []
    for i, row in enumerate(memory):
        written.append([])
        for v, cell in enumerate(row):
            erased = [weights[h][i] * erase[h][v] for h in heads]
            added = [weights[h][i] * write_vector[h][v] for h in heads]
            if order == "sequential":
                for h in heads:
                    cell = cell * (1 - erased[h]) + added[h]
            elif order == "sum_of_erasures":
                cell = cell * (1 - sum(erased)) + sum(added)
            else:
                for h in heads:
                    cell = cell * (1 - erased[h])
                cell = cell + sum(added)
            written[i].append(cell)
    return written


def _write(memory, weights, erase, write_vector, order):
    """What all the heads given do to the memory at once, and what the backward needs."""
    xp = array_module(memory, weights)
    if order == "sum_of_erasures":
        kept = 1 - xp.matmul(xp.matrix_transpose(weights), erase)
        others = xp.expand_dims(xp.ones_like(kept), axis=-3)
    else:
        share = xp.expand_dims(weights, axis=-1)  # (..., h, n, 1)
        factors = (1 - share) + share * xp.expand_dims(1 - erase, axis=-2)  # (..., h, n, w)
        kept, others = products(xp, factors, axis=-3)
    written = memory * kept + xp.matmul(xp.matrix_transpose(weights), write_vector)
    return written, (memory, weights, erase, write_vector, kept, others)


def _write_backward(step, dwritten):
    memory, weights, erase, write_vector, kept, others = step
    xp = array_module(memory, dwritten)
    derased = -xp.expand_dims(dwritten * memory, axis=-3) * others  # (..., h, n, w)
    dweights = xp.sum(derased * xp.expand_dims(erase, axis=-2), axis=-1)
    dweights = dweights + xp.matmul(write_vector, xp.matrix_transpose(dwritten))
    derase = xp.sum(derased * xp.expand_dims(weights, axis=-1), axis=-2)
    return dwritten * kept, dweights, derase, xp.matmul(weights, dwritten)


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, batch=(), shared=None, h=2, n=3, w=2, **rest):
        memory = rng.normal(size=(*(batch if shared is None else shared), n, w))
        weights = 0.9 * rng.dirichlet([1.0] * n, size=(*batch, h))
        erase, vector = rng.uniform(size=(*batch, h, w)), rng.normal(size=(*batch, h, w))
        return Case(label, (memory, weights, erase, vector), **rest)

    by_head = ("weights", "erase", "write_vector")
    yield case("one head", h=1, n=4, w=3)
    yield case("one row, one column", h=1, n=1, w=1)
    for order in _ORDERS:
        params = {"order": order}
        words = order.replace("_", " ")
        yield case(f"{words}, two heads", params=params)
        yield case(f"{words}, three heads", h=3, params=params)
        yield case(f"{words}, more heads than rows", h=3, n=2, w=1, params=params)
        yield case(f"{words}, batch", batch=(2,), n=2, params=params)
        yield case(f"{words}, memory shared by the batch", batch=(2,), shared=(), n=2, params=params)
        yield case(f"{words}, no head", h=0, params=params, zero_gradient=by_head)

        whole = case(f"{words}, one head erases a row wholly", params=params)
        whole.inputs[1][0], whole.inputs[2][0] = [1.0, 0.0, 0.0], 1.0
        yield whole
        both = case(f"{words}, both heads erase the same cell wholly", params=params)
        both.inputs[1][:], both.inputs[2][..., 0] = [0.0, 1.0, 0.0], 1.0
        yield both

    sharp = case("weights and erasure almost one", h=1)
    sharp.inputs[1][0], sharp.inputs[2][0] = [1 - 1e-9, 1e-10, 0.0], [1 - 1e-7, 1 - 1e-12]
    yield sharp
    only = case("the only row is erased wholly", h=1, n=1, zero_gradient=("memory",))
    only.inputs[1][:], only.inputs[2][:] = 1.0, 1.0
    yield only
    idle = case("nothing is attended", zero_gradient=("erase", "write_vector"))
    idle.inputs[1][:] = 0.0
    yield idle
    blank = case("blank memory", zero_gradient=("erase",))
    blank.inputs[0][:] = 0.0
    yield blank
    closed = case("closed erase gate, negative weights")
    closed.inputs[1][:], closed.inputs[2][:] = -closed.inputs[1], 0.0
    yield closed


def rows_that_nobody_attends_are_kept(inputs, params, written):
    memory, weights, erase, vector = inputs
    kept, _ = memory_write_forward(memory, 0 * weights, erase, vector, **params)
    assert (kept == memory).all()


def a_row_erased_wholly_holds_what_is_written(inputs, params, written):
    memory, weights, erase, vector = inputs
    if weights.shape[-2] == 0:
        return
    first = 0 * weights
    first[..., 0, 0] = 1.0
    replaced, _ = memory_write_forward(memory, first, erase * 0 + 1, vector, **params)
    assert (replaced[..., 0, :] == vector[..., 0, :]).all()
    assert (replaced[..., 1:, :] == memory[..., 1:, :]).all()


def heads_that_write_at_once_have_no_order(inputs, params, written):
    memory, *by_head = inputs
    if params.get("order") != "sequential":
        turned, _ = memory_write_forward(memory, *[x[..., ::-1, :] for x in by_head], **params)
        assert abs(turned - written).max() < 1e-14 * max(1, abs(written).max())


def one_head_at_a_time_is_sequential(inputs, params, written):
    memory, *by_head = inputs
    chained = memory
    for h in range(by_head[0].shape[-2]):
        chained, _ = memory_write_forward(chained, *[x[..., h : h + 1, :] for x in by_head], **params)
    whole, _ = memory_write_forward(memory, *by_head, order="sequential")
    assert abs(chained - whole).max() < 1e-14 * max(1, abs(whole).max())


memory_write = register(
    Op(
        name="memory_write",
        signature="memory(n,w), weights(h,n), erase(h,w), write_vector(h,w) -> written(n,w)",
        forward=memory_write_forward,
        backward=memory_write_backward,
        loops=memory_write_loops,
        cases=cases,
        properties=(
            rows_that_nobody_attends_are_kept,
            a_row_erased_wholly_holds_what_is_written,
            heads_that_write_at_once_have_no_order,
            one_head_at_a_time_is_sequential,
        ),
        variants=(
            Variant("paper", {}, "arXiv:1410.5401 eqs. 3-4"),
            Variant("ntm_lasagne", {}, "snipsco/ntm-lasagne ntm/heads.py"),
            Variant("carpedm20", {}, "carpedm20/NTM-tensorflow ntm_cell.py"),
            Variant("kaishengtai", {}, "kaishengtai/torch-ntm NTM.lua"),
            Variant("fumin", {}, "fumin/ntm addressing.go"),
            Variant("jingweiz", {}, "jingweiz/pytorch-dnc core/heads/static_write_head.py"),
            Variant("deepmind", {}, "google-deepmind/dnc dnc/access.py"),
            Variant("pytorch_dnc", {}, "ixaxaar/pytorch-dnc dnc/memory.py"),
            Variant("csordas", {}, "RobertCsordas/dnc Models/DNC.py, of the memory times the retention"),
            Variant("mostafa_samir", {}, "Mostafa-Samir/DNC-tensorflow dnc/memory.py"),
            Variant("adnc", {}, "joergfranke/ADNC adnc/model/memory_units/multi_write_dnc_cell.py"),
            Variant("bgavran", {}, "bgavran/DNC src/controller_implementations/dnc/memory.py"),
            Variant("pytorch_ntm", {"order": "sequential"}, "loudinthecloud/pytorch-ntm ntm/memory.py"),
            Variant("collier", {"order": "sequential"}, "MarkPKCollier/NeuralTuringMachine ntm.py"),
            Variant("shawntan", {"order": "sum_of_erasures"}, "shawntan/neural-turing-machines ntm.py"),
        ),
        source="arXiv:1410.5401 eqs. 3-4",
    )
)
