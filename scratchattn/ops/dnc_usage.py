"""Usage of a memory: which rows hold something that is still wanted.

Of the ``n`` rows of a memory, u_i in [0, 1] tells how much row i is in use.  Writing raises it; reading
lowers it where one of the ``h`` read heads opens its free gate, since what was read may then go.

Forward
-------
    psi_i = prod_r (1 - f_r w^r_i)                              retention, over the read heads r
    v_i   = u_i + w_i - u_i w_i                                 w_i is what one write head wrote,
    w_i   = 1 - prod_h (1 - w_hi)                               or several
    u'_i  = v_i psi_i

Weightings and usage are those of the step before, free gates are this step's.  What is unused after
all writes is (1 - u) prod_h (1 - w_h), so v is u + (1 - u) w_h, taken for one head after the other.

Backward
--------
With g(x) for dL/dx,

    g(f_r)   = -sum_i g(psi_i) w^r_i prod_(k != r) (1 - f_k w^k_i)
    g(w^r_i) = -g(psi_i) f_r prod_(k != r) (1 - f_k w^k_i)
    g(psi_i) = g(u'_i) v_i
    g(u_i)   = g(u'_i) psi_i prod_h (1 - w_hi)
    g(w_hi)  = g(u'_i) psi_i (1 - u_i) prod_(k != h) (1 - w_ki)

A product without one factor is that of the factors before it times that of the factors after it: where
two heads free one row wholly, the whole product divided by 1 - f w would be 0 / 0.

Accuracy
--------
1 - f w as (1 - w) + w (1 - f), and v as u + (1 - u) w, have terms of one sign: neither a row that is
almost free nor one that is almost unused loses digits.

Conventions
-----------
Inputs are taken as they come: where weights exceed one by rounding, usage may leave [0, 1] by as much,
and nothing is clipped.  ``stop_write_gradient`` holds the write weights constant:

    False   the paper; Mostafa-Samir, ixaxaar, jingweiz, bgavran, ADNC
    True    DeepMind's own code, Csordas

Csordas also skips the update at the first step, which changes nothing where usage and weights start
from zero.  A row that is free keeps its content, unless the memory is multiplied by the retention as
well (Csordas).

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature
538 (2016) 471, Methods, "Dynamic memory allocation"; several write heads: google-deepmind/dnc.
"""

from dataclasses import replace

from ..backend import array_module, sum_to_shape
from ..calculus import products, stretched
from ..op import Case, Detached, Op, Variant, register


def retention_forward(free_gate, read_weights):
    """What is kept of the usage of each row: (..., h), (..., h, n) -> (..., n).

    Source: Nature 538 (2016) 471, Methods.
    """
    xp = array_module(free_gate, read_weights)
    gate = xp.expand_dims(free_gate, axis=-1)
    kept, others = products(xp, (1 - read_weights) + read_weights * (1 - gate), axis=-2)
    return kept, (gate, read_weights, others)


def retention_backward(saved, dretention):
    """Gradients for free_gate and read_weights, given dretention of shape (..., n)."""
    gate, read_weights, others = saved
    xp = array_module(gate, dretention)
    dfreed = -xp.expand_dims(dretention, axis=-2) * others  # by the products f w
    dgate = xp.sum(dfreed * read_weights, axis=-1)
    return sum_to_shape(dgate, gate.shape[:-1]), sum_to_shape(dfreed * gate, read_weights.shape)


def retention_loops(free_gate, read_weights, *, math=None):
    """The first equation, one row at a time."""
    kept = []
    for i in range(read_weights.shape[-1]):
        product = 1
        for gate, weights in zip(free_gate, read_weights):
            product = product * (1 - gate * weights[i])
        kept.append(product)
    return kept


def dnc_usage_forward(usage, write_weights, retention=None, *, stop_write_gradient=False):
    """Usage after the writes of (..., h, n) and what was freed: (..., n), (..., n) or None -> (..., n).

    ``retention`` None: nothing is freed.  ``stop_write_gradient``: the weights are constants to the
    backward.  TypeError unless it is a bool.  Source: Nature 538 (2016) 471, Methods.
    """
    xp = array_module(usage, write_weights, retention)
    if type(stop_write_gradient) is not bool:
        raise TypeError(f"dnc_usage: stop_write_gradient must be True or False, got {stop_write_gradient!r}")
    rows = stretched(usage.shape, (*write_weights.shape[:-2], usage.shape[-1]))
    written = xp.broadcast_to(usage, rows)
    for h in range(write_weights.shape[-2]):
        written = written + (1 - written) * write_weights[..., h, :]
    new_usage = written if retention is None else written * retention
    free = xp.expand_dims(1 - usage, axis=-2)
    return new_usage, (write_weights, retention, written, free, stop_write_gradient)


def dnc_usage_backward(saved, dusage):
    """Gradients for usage, write_weights and retention, given that of the new usage, (..., n)."""
    write_weights, retention, written, free, stop_write_gradient = saved
    xp = array_module(written, dusage)
    dretention = None
    if retention is not None:
        dretention = sum_to_shape(dusage * written, retention.shape)
        dusage = dusage * retention
    untouched, others = products(xp, 1 - write_weights, axis=-2)
    dold = sum_to_shape(dusage * untouched, (*free.shape[:-2], free.shape[-1]))
    if stop_write_gradient:
        return dold, None, dretention
    dwrite = xp.expand_dims(dusage, axis=-2) * free * others
    return dold, sum_to_shape(dwrite, write_weights.shape), dretention


def dnc_usage_loops(usage, write_weights, retention=None, *, stop_write_gradient=False, math=None):
    """The other two equations as they are written."""
    new_usage = []
    for i, used in enumerate(usage):
        spared = 1
        for weights in write_weights:
            spared = spared * (1 - weights[i])
        written = used + (1 - spared) - used * (1 - spared)
        new_usage.append(written if retention is None else written * retention[i])
    return new_usage


# ---- evidence ---------------------------------------------------------------


def retention_cases(rng):
    def case(label, *, batch=(), shared=None, h=2, n=4, gate=None, weights=None, **rest):
        drawn_gate = rng.uniform(size=(*(batch if shared is None else shared), h))
        drawn = 0.9 * rng.dirichlet([1.0] * n, size=(*batch, h)) if n else rng.uniform(size=(h, n))
        gate = drawn_gate if gate is None else 0 * drawn_gate + gate
        return Case(label, (gate, drawn if weights is None else 0 * drawn + weights), **rest)

    certain, both = [0.0, 1.0, 0.0, 0.0], ("free_gate", "read_weights")
    yield case("one head", h=1)
    yield case("three heads", h=3)
    yield case("batch of memories", batch=(2,))
    yield case("gates shared by the batch", batch=(2,), shared=(), n=3)
    yield case("one row", n=1)
    yield case("gates shut", gate=0.0, zero_gradient=("read_weights",))
    yield case("gates open", gate=1.0)
    yield case("nothing was read", weights=0.0, zero_gradient=("free_gate",))
    yield case("a row is freed wholly", h=1, gate=1.0, weights=certain)
    yield case(
        "one of two heads frees a row wholly", gate=[1.0, 0.4], weights=[certain, [0.2, 0.3, 0.1, 0.2]]
    )
    yield case("two heads free one row wholly", gate=1.0, weights=certain, zero_gradient=("free_gate",))
    yield case("three heads free one row wholly", h=3, gate=1.0, weights=[certain, certain, [0.4, 0.6, 0, 0]])
    yield case("a row is freed almost wholly", h=1, gate=1 - 1e-9, weights=[1e-12, 1 - 1e-10, 0.0, 1e-11])
    yield case("of any sign", weights=rng.normal(size=(2, 4)))
    yield case("no head", h=0, zero_gradient=both)
    yield case("no row", n=0, zero_gradient=both)


def dnc_usage_cases(rng):
    def case(
        label, *, batch=(), shared=None, h=1, n=4, usage=None, write=None, kept=None, stop=False, **rest
    ):
        old = rng.uniform(size=(*(batch if shared is None else shared), n))
        drawn = 0.9 * rng.dirichlet([1.0] * n, size=(*batch, h))
        kept = rng.uniform(size=(*batch, n)) if kept is None else kept
        old, write = old if usage is None else 0 * old + usage, drawn if write is None else 0 * drawn + write
        return Case(label, (old, write, kept), {"stop_write_gradient": True} if stop else {}, **rest)

    first = [1.0, 0.0, 0.0, 0.0]
    for stop, word in ((False, ""), (True, ", write weights held")):
        told = {"stop": stop, "zero_gradient": ("write_weights",) if stop else ()}
        yield case(f"one head{word}", **told)
        yield case(f"three heads{word}", h=3, **told)
        yield case(f"a batch{word}", batch=(2,), h=2, n=3, **told)
        open_ended = case(f"without retention{word}", h=2, **told)
        yield replace(open_ended, inputs=(*open_ended.inputs[:2], None))
    yield case("usage shared by the batch", batch=(2,), shared=(), n=3)
    yield case("one row", n=1)
    yield case("the first step of all", usage=0.0, write=0.0, zero_gradient=("retention",))
    yield case("all rows in use", usage=1.0, zero_gradient=("write_weights",))
    yield case("a row is written wholly", write=first)
    yield case("two heads write one row wholly", h=2, write=first)
    yield case("nothing is written", write=0.0)
    yield case("everything is freed", kept=0 * rng.uniform(size=4), zero_gradient=("usage", "write_weights"))
    yield case(
        "hardly in use, hardly written", usage=[0.0, 1e-300, 1e-17, 0.5], write=[1e-20, 0.0, 1e-18, 1e-9]
    )
    yield case(
        "beyond both ends by rounding", usage=[1 + 1e-15, -1e-16, 1.0, 0.3], write=[0.2, 1, -1e-17, 0.1]
    )
    yield case("no write head", batch=(2,), shared=(), h=0, zero_gradient=("write_weights",))


def shut_gates_keep_all(inputs, params, out):
    free_gate, read_weights = inputs
    if ((read_weights >= 0) & (read_weights <= 1)).all():
        assert (retention_forward(0 * free_gate, read_weights)[0] == 1).all()


def what_is_read_wholly_may_be_freed_wholly(inputs, params, out):
    free_gate, read_weights = inputs
    if read_weights.shape[-2]:
        certain = 0 * read_weights
        certain[..., 0, :1] = 1.0
        kept, _ = retention_forward(0 * free_gate + 1, certain)
        assert (kept[..., :1] == 0).all() and (kept[..., 1:] == 1).all()


def read_heads_have_no_order(inputs, params, out):
    turned, _ = retention_forward(
        *[x[..., ::-1] if i == 0 else x[..., ::-1, :] for i, x in enumerate(inputs)]
    )
    assert (abs(turned - out) <= 1e-15 * abs(out)).all()


def usage_stays_between_nothing_and_one(inputs, params, out):
    if all(x is None or ((x >= 0) & (x <= 1)).all() for x in inputs):
        assert ((out >= 0) & (out <= 1)).all()


def writing_never_lowers_usage(inputs, params, out):
    usage, write_weights, _ = inputs
    if ((usage >= 0) & (usage <= 1)).all() and (write_weights >= 0).all():
        assert (dnc_usage_forward(usage, write_weights)[0] >= usage).all()


def a_row_written_wholly_is_in_use(inputs, params, out):
    usage, write_weights, _ = inputs
    if write_weights.shape[-2] and ((usage >= 0) & (usage <= 1)).all():
        wholly = 0 * write_weights
        wholly[..., -1, :] = 1.0
        assert (dnc_usage_forward(usage, wholly)[0] == 1).all()


def several_heads_are_one_after_the_other(inputs, params, out):
    usage, write_weights, retention = inputs
    for h in range(write_weights.shape[-2]):
        usage, _ = dnc_usage_forward(usage, write_weights[..., h : h + 1, :])
    again = usage if retention is None else usage * retention
    assert (abs(again - out) <= 1e-15 * abs(out)).all()


def _written(usage, write_weights, retention=None, *, stop_write_gradient=False):
    return (write_weights,) if stop_write_gradient else ()


def _with_writes_held(usage, write_weights, retention=None, *held, stop_write_gradient=False):
    return dnc_usage_forward(usage, *(held or (write_weights,)), retention)[0]


retention = register(
    Op(
        name="retention",
        signature="free_gate(h), read_weights(h,n) -> retention(n)",
        forward=retention_forward,
        backward=retention_backward,
        loops=retention_loops,
        cases=retention_cases,
        properties=(shut_gates_keep_all, what_is_read_wholly_may_be_freed_wholly, read_heads_have_no_order),
        source="Nature 538 (2016) 471, Methods, dynamic memory allocation",
    )
)
dnc_usage = register(
    Op(
        name="dnc_usage",
        signature="usage(n), write_weights(h,n), retention?(n) -> new_usage(n)",
        forward=dnc_usage_forward,
        backward=dnc_usage_backward,
        loops=dnc_usage_loops,
        cases=dnc_usage_cases,
        detached=Detached(stopped=_written, forward=_with_writes_held),
        properties=(
            usage_stays_between_nothing_and_one,
            writing_never_lowers_usage,
            a_row_written_wholly_is_in_use,
            several_heads_are_one_after_the_other,
        ),
        variants=(
            Variant("paper", {}, "Nature 538 (2016) 471, Methods"),
            Variant("pytorch_dnc", {}, "ixaxaar/pytorch-dnc dnc/memory.py"),
            Variant("deepmind", {"stop_write_gradient": True}, "google-deepmind/dnc dnc/addressing.py"),
            Variant("csordas", {"stop_write_gradient": True}, "RobertCsordas/dnc Models/DNC.py"),
            Variant("mostafa_samir", {}, "Mostafa-Samir/DNC-tensorflow dnc/memory.py"),
            Variant("jingweiz", {}, "jingweiz/pytorch-dnc core/heads/dynamic_write_head.py"),
            Variant("bgavran", {}, "bgavran/DNC src/controller_implementations/dnc/memory.py"),
            Variant("adnc", {}, "joergfranke/ADNC adnc/model/memory_units/dnc_cell.py"),
        ),
        source="Nature 538 (2016) 471, Methods, dynamic memory allocation",
    )
)
