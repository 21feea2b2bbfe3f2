"""The read weighting of a DNC: back along what was written, over what is alike, or onwards.

Each of ``h`` read heads mixes three kinds of weighting over the ``n`` rows with its read modes p: the
rows written before those that it read last (b), the rows that hold what its key asks for (c), and the
rows written after (f).  Each of ``k`` write heads has its own record of what was written in which order,
so b and f come ``k`` times and there are m = 1 + 2k modes.

Forward
-------
    w_i = sum_k p_bk b_ki + p_c c_i + sum_k p_fk f_ki

Backward
--------
Linear in the modes, and in the weightings:

    g(b_ki) = p_bk g(w_i)        g(c_i) = p_c g(w_i)        g(f_ki) = p_fk g(w_i)
    g(p_bk) = sum_i b_ki g(w_i)  g(p_c) = sum_i c_i g(w_i)  g(p_fk) = sum_i f_ki g(w_i)

Accuracy
--------
Weightings and modes are not negative, so the forward cancels nothing.

Conventions
-----------
Where the modes stand differs: weights from elsewhere read without errors in the wrong order.

    order                       modes                     who
    backward_content_forward    b_1..b_k, c, f_1..f_k     the paper, RobertCsordas, Mostafa-Samir, bgavran
    backward_forward_content    b_1..b_k, f_1..f_k, c     google-deepmind, ixaxaar, jingweiz
    forward_content_backward    f_1..f_k, c, b_1..b_k     joergfranke/ADNC, which swaps the two names

The modes are a softmax in all of them, and the caller's; bgavran's is over the modes of all heads at
once.  b and f sum to one at most, and to zero before anything was linked, so that w may sum to less
than one: a head that follows empty links reads nothing.  RobertCsordas/dnc sharpens b and f first, each
to a sum of one: ``sharpening`` with ``base_eps``.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature
538 (2016) 471, Methods, "Read weighting"; several write heads as google-deepmind/dnc has them.
"""

from itertools import permutations

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, Variant, register

ORDERS = {"_".join(names): names for names in permutations(("backward", "content", "forward"))}


def dnc_read_weighting_forward(
    content, forward_weights, backward_weights, modes, *, order="backward_content_forward"
):
    """Weights to read with: (..., h, n), (..., k, h, n), (..., k, h, n), (..., h, m) -> (..., h, n).

    ``order``: which modes stand first, the three words in any order, joined by underscores.  ValueError
    for another, or for a number of modes m that is not 1 + 2k.  Source: Nature 538 (2016) 471, Methods.
    """
    xp = array_module(content, forward_weights, backward_weights, modes)
    places = _places(order, forward_weights.shape[-3], modes.shape[-1])
    back, alike, onwards = (modes[..., places[name]] for name in ("backward", "content", "forward"))
    back, onwards = _over_rows(xp, back), _over_rows(xp, onwards)  # (..., k, h, 1)
    directed = xp.sum(back * backward_weights, axis=-3) + xp.sum(onwards * forward_weights, axis=-3)
    weights = directed + alike * content
    return weights, (content, forward_weights, backward_weights, modes.shape, back, alike, onwards, order)


def dnc_read_weighting_backward(saved, dweights):
    """Gradients for content, forward_weights, backward_weights, modes, given (..., h, n)."""
    content, forward_weights, backward_weights, shape, back, alike, onwards, order = saved
    xp = array_module(content, dweights)
    by_writer = xp.expand_dims(dweights, axis=-3)  # (..., 1, h, n)
    dmodes = {  # (..., h, k), (..., h, 1), (..., h, k)
        "backward": xp.matrix_transpose(xp.sum(by_writer * backward_weights, axis=-1)),
        "content": xp.sum(dweights * content, axis=-1, keepdims=True),
        "forward": xp.matrix_transpose(xp.sum(by_writer * forward_weights, axis=-1)),
    }
    return (
        sum_to_shape(dweights * alike, content.shape),
        sum_to_shape(by_writer * onwards, forward_weights.shape),
        sum_to_shape(by_writer * back, backward_weights.shape),
        _joined(xp, [dmodes[name] for name in ORDERS[order]], shape),
    )


def dnc_read_weighting_loops(
    content, forward_weights, backward_weights, modes, *, order="backward_content_forward", math=None
):
    """The equation above, one number at a time."""
    kinds = {"backward": backward_weights, "content": [content], "forward": forward_weights}
    in_order = [weights for name in ORDERS[order] for weights in kinds[name]]
    return [
        [
            sum(p * weights[r][i] for p, weights in zip(modes[r], in_order, strict=True))
            for i in range(len(row))
        ]
        for r, row in enumerate(content)
    ]


def _places(order, writers, modes):
    """Where the modes of each kind stand."""
    if order not in tuple(ORDERS):
        raise ValueError(f"dnc_read_weighting: order must be one of {', '.join(ORDERS)}, got {order!r}")
    if modes != 1 + 2 * writers:
        raise ValueError(f"dnc_read_weighting: modes must have 1 + 2k entries, got {modes} for k = {writers}")
    places, start = {}, 0
    for name in ORDERS[order]:
        end = start + (1 if name == "content" else writers)
        places[name], start = slice(start, end), end
    return places


def _over_rows(xp, modes):
    """(..., h, k) -> (..., k, h, 1)."""
    return xp.expand_dims(xp.matrix_transpose(modes), axis=-1)


def _joined(xp, parts, shape):
    """Gradients of the modes side by side, summed over what the modes were shared by."""
    return xp.concat([sum_to_shape(part, (*shape[:-1], part.shape[-1])) for part in parts], axis=-1)


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def weighting(shape):
        return rng.dirichlet([1.0] * shape[-1], size=shape[:-1])

    def case(label, *, batch=(), shared=None, k=1, h=2, n=3, modes=None, **rest):
        shared = batch if shared is None else shared
        directed = [0.8 * weighting((*batch, k, h, n)) for _ in range(2)]
        drawn = weighting((*shared, h, 1 + 2 * k))
        return Case(label, (weighting((*batch, h, n)), *directed, drawn if modes is None else modes), **rest)

    def certain(place):
        return 0 * rng.normal(size=(2, 3)) + [float(i == place) for i in range(3)]

    yield case("one head", h=1, n=4)
    yield case("two heads")
    yield case("batch of memories", batch=(2,), h=1)
    yield case("two write heads", k=2)
    yield case("modes shared by the batch", batch=(2,), shared=(), h=1, k=2)
    yield case("one row", n=1)
    for order in ORDERS:
        yield case(order.replace("_", ", "), k=2, h=1, params={"order": order})
    yield case("back only", modes=certain(0), zero_gradient=("content", "forward_weights"))
    yield case("content only", modes=certain(1), zero_gradient=("forward_weights", "backward_weights"))
    yield case("onwards only", modes=certain(2), zero_gradient=("content", "backward_weights"))
    unlinked = case("nothing is linked yet")
    unlinked.inputs[1][:], unlinked.inputs[2][:] = 0.0, 0.0
    yield unlinked
    yield case("no write head", k=0, zero_gradient=("forward_weights", "backward_weights"))
    yield case("no read head", h=0, zero_gradient=("content", "forward_weights", "backward_weights", "modes"))


def no_more_is_read_than_the_modes_ask_for(inputs, params, out):
    modes = inputs[3]
    assert (out >= 0).all() and (out.sum(-1) <= modes.sum(-1) + 1e-15).all()


def a_certain_mode_takes_its_weighting_to_the_bit(inputs, params, out):
    content, forward_weights, backward_weights, modes = inputs
    order, writers = params.get("order", "backward_content_forward"), forward_weights.shape[-3]
    sources = {"backward": backward_weights, "content": content[..., None, :, :], "forward": forward_weights}
    place = 0
    for name in ORDERS[order]:
        for k in range(1 if name == "content" else writers):
            certain = 0 * modes
            certain[..., place] = 1.0
            found, _ = dnc_read_weighting_forward(*inputs[:3], certain, **params)
            assert (found == sources[name][..., k, :, :]).all()
            place += 1


def a_head_that_follows_empty_links_reads_nothing(inputs, params, out):
    content, forward_weights, backward_weights, modes = inputs
    unlinked, _ = dnc_read_weighting_forward(
        0 * content, 0 * forward_weights, 0 * backward_weights, modes, **params
    )
    assert (unlinked == 0).all()


def _variant(name, order, source):
    return Variant(name, {"order": order}, source)


dnc_read_weighting = register(
    Op(
        name="dnc_read_weighting",
        signature=(
            "content(h,n), forward_weights(k,h,n), backward_weights(k,h,n), modes(h,m) -> weights(h,n)"
        ),
        forward=dnc_read_weighting_forward,
        backward=dnc_read_weighting_backward,
        loops=dnc_read_weighting_loops,
        cases=cases,
        properties=(
            no_more_is_read_than_the_modes_ask_for,
            a_certain_mode_takes_its_weighting_to_the_bit,
            a_head_that_follows_empty_links_reads_nothing,
        ),
        variants=(
            _variant("paper", "backward_content_forward", "Nature 538 (2016) 471, Methods"),
            _variant("csordas", "backward_content_forward", "RobertCsordas/dnc Models/DNC.py"),
            _variant(
                "mostafa_samir", "backward_content_forward", "Mostafa-Samir/DNC-tensorflow dnc/memory.py"
            ),
            _variant("deepmind", "backward_forward_content", "google-deepmind/dnc dnc/access.py"),
            _variant("pytorch_dnc", "backward_forward_content", "ixaxaar/pytorch-dnc dnc/memory.py"),
            _variant(
                "jingweiz", "backward_forward_content", "jingweiz/pytorch-dnc core/heads/dynamic_read_head.py"
            ),
            _variant(
                "adnc",
                "forward_content_backward",
                "joergfranke/ADNC adnc/model/memory_units/multi_write_dnc_cell.py",
            ),
        ),
        source="Nature 538 (2016) 471, Methods, read weighting",
    )
)
