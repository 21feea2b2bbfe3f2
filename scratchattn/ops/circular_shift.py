"""Circular shift: a weighting moved along the rows of a memory.

Each head emits how much it wants to move by every offset of a small set; the weighting over ``n``
rows is convolved with that.  An offset of +1 moves the focus from row i to row i + 1.

Forward
-------
    w'_i = sum_k s_k w_(i - o_k mod n)

k counts the ``s`` entries of the shift and o_k is the offset that entry k stands for (below).
Offsets that differ by n are the same rotation: a shift wider than the memory folds.

Backward
--------
    g(w_j) = sum_k s_k g(w'_(j + o_k mod n))            the same, moved back
    g(s_k) = sum_i g(w'_i) w_(i - o_k mod n)

Accuracy
--------
Sums of products; nothing cancels where weights and shift are not negative.

Conventions
-----------
The paper does not say which entry is which offset, and implementations differ: ``layout``.

    minus_to_plus     -r, ..., +r                       ours; TensorFlow and Theano ports
    plus_to_minus     +r, ..., -r                       what conv1d does in torch, a correlation
    fft               0, +1, ..., +r, -r, ..., -1       with s = n this is eq. 8 itself

with s = 2r + 1.  An even width has one offset more ahead than behind in the first two,
-(s/2 - 1), ..., s/2 and its mirror image (ntm-lasagne; the others refuse it), and one more behind in
the third, 0, ..., s/2 - 1, -s/2, ..., -1 (the order of a discrete Fourier transform).

``boundary="zero"`` drops what is moved off an end, where "circular" lets it come in at the other.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, eq. 8.
"""

from ..backend import array_module, sum_to_shape
from ..op import Case, Op, Variant, register


def circular_shift_forward(weights, shift, *, layout="minus_to_plus", boundary="circular"):
    """Moved weights: (..., n), (..., s) -> (..., n).

    ``layout`` says which offset each entry of ``shift`` stands for, ``boundary`` what happens at the
    ends.  ValueError for other values of either and for a shift of no entries.
    """
    xp = array_module(weights, shift)
    offsets = _offsets(shift.shape[-1], layout)
    if boundary not in ("circular", "zero"):
        raise ValueError(f"circular_shift: boundary must be 'circular' or 'zero', got {boundary!r}")
    moved = [_moved(xp, weights, offset, boundary) for offset in offsets]
    shifted = moved[0] * shift[..., :1]
    for k in range(1, len(moved)):
        shifted = shifted + moved[k] * shift[..., k : k + 1]
    return shifted, (weights.shape, shift, moved, offsets, boundary)


def circular_shift_backward(saved, dshifted):
    """Gradients for weights and shift, given dshifted of shape (..., n)."""
    shape, shift, moved, offsets, boundary = saved
    xp = array_module(shift, dshifted)
    dweights = _moved(xp, dshifted, -offsets[0], boundary) * shift[..., :1]
    for k in range(1, len(offsets)):
        dweights = dweights + _moved(xp, dshifted, -offsets[k], boundary) * shift[..., k : k + 1]
    dshift = xp.stack([xp.sum(dshifted * m, axis=-1) for m in moved], axis=-1)
    return sum_to_shape(dweights, shape), sum_to_shape(dshift, shift.shape)


def circular_shift_loops(weights, shift, *, layout="minus_to_plus", boundary="circular", math=None):
    """Every row sends its weight to where each entry of the shift wants it."""
    n, s = len(weights), len(shift)
    behind = (s - 1) // 2 if layout != "fft" else s // 2
    shifted = [0 * weights[0]] * n
    for j in range(n):
        for k in range(s):
            if layout == "fft":
                target = j + k if k < s - behind else j + k - s
            else:
                target = j + (k if layout == "minus_to_plus" else s - 1 - k) - behind
            if boundary == "circular":
                target %= n
            if 0 <= target < n:
                shifted[target] = shifted[target] + shift[k] * weights[j]
    return shifted


def _offsets(s, layout):
    """The offset of each of ``s`` entries."""
    if s == 0:
        raise ValueError("circular_shift: shift must have at least one entry, got 0")
    rising = range(-((s - 1) // 2), s // 2 + 1)
    if layout == "minus_to_plus":
        return tuple(rising)
    if layout == "plus_to_minus":
        return tuple(reversed(rising))
    if layout == "fft":
        return (*range((s + 1) // 2), *range(-(s // 2), 0))
    raise ValueError(
        f"circular_shift: layout must be 'minus_to_plus', 'plus_to_minus' or 'fft', got {layout!r}"
    )


def _moved(xp, x, offset, boundary):
    if boundary == "circular":
        return xp.roll(x, offset, axis=-1)
    n = x.shape[-1]
    if offset >= 0:
        off_the_end = xp.zeros_like(x[..., : min(offset, n)])
        return xp.concat([off_the_end, x[..., : max(n - offset, 0)]], axis=-1)
    return xp.concat([x[..., min(-offset, n) :], xp.zeros_like(x[..., : min(-offset, n)])], axis=-1)


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, n=5, s=3, batch=(), shift_batch=None, **rest):
        shift_batch = batch if shift_batch is None else shift_batch
        drawn = [rng.gamma(1.0, size=(*batch, n)), rng.gamma(1.0, size=(*shift_batch, s))]
        return Case(label, tuple(x / x.sum(-1, keepdims=True) for x in drawn), **rest)

    yield case("three offsets")
    yield case("one offset", s=1)
    yield case("batch of heads", batch=(2, 2), n=4)
    yield case("one shift for a batch of weightings", batch=(3,), shift_batch=())
    yield case("several shifts of one weighting", shift_batch=(2,))
    for layout in ("minus_to_plus", "plus_to_minus", "fft"):
        for boundary in ("circular", "zero"):
            params = {"layout": layout, "boundary": boundary}
            yield case(f"{layout}, {boundary}", s=5, params=params)
            yield case(f"{layout}, {boundary}, even width", s=4, params=params)
            yield case(f"{layout}, {boundary}, wider than the memory", n=3, s=9, params=params)
    yield case("two rows, where +1 is -1", n=2)
    yield case("one row", n=1)
    yield case("one row, zero beyond", n=1, s=2, params={"boundary": "zero"})
    yield case("fft with an entry for every row", n=5, s=5, params={"layout": "fft"})
    raw = Case("of any sign", (rng.normal(size=4), rng.normal(size=3)))
    yield raw


def circular_mass_is_the_product_of_masses(inputs, params, out):
    weights, shift = inputs
    mass = weights.sum(-1) * shift.sum(-1)
    if params.get("boundary") == "zero":
        assert (out.sum(-1) <= mass + 1e-15).all()
    else:
        assert abs(out.sum(-1) - mass).max() < 1e-14


def turning_before_is_turning_after(inputs, params, out):
    if params.get("boundary") != "zero":
        turned = array_module(out).roll(inputs[0], 2, axis=-1)
        after = array_module(out).roll(out, 2, axis=-1)
        assert abs(circular_shift_forward(turned, inputs[1], **params)[0] - after).max() < 1e-15


def reading_the_shift_backwards_swaps_two_layouts(inputs, params, out):
    swap = {"minus_to_plus": "plus_to_minus", "plus_to_minus": "minus_to_plus"}
    layout = swap.get(params.get("layout", "minus_to_plus"))
    if layout:
        mirrored, _ = circular_shift_forward(inputs[0], inputs[1][..., ::-1], **{**params, "layout": layout})
        assert abs(mirrored - out).max() < 1e-15


circular_shift = register(
    Op(
        name="circular_shift",
        signature="weights(n), shift(s) -> shifted(n)",
        forward=circular_shift_forward,
        backward=circular_shift_backward,
        loops=circular_shift_loops,
        cases=cases,
        properties=(
            circular_mass_is_the_product_of_masses,
            turning_before_is_turning_after,
            reading_the_shift_backwards_swaps_two_layouts,
        ),
        variants=(
            Variant("paper", {}, source="arXiv:1410.5401 eq. 8, entries in rising order"),
            Variant(
                "pytorch_ntm", {"layout": "plus_to_minus"}, source="loudinthecloud/pytorch-ntm ntm/memory.py"
            ),
            Variant("collier", {"layout": "fft"}, source="MarkPKCollier/NeuralTuringMachine ntm.py"),
            Variant("ntm_lasagne", {"boundary": "zero"}, source="snipsco/ntm-lasagne ntm/heads.py"),
            Variant("carpedm20", {}, source="carpedm20/NTM-tensorflow ops.py"),
            Variant("kaishengtai", {}, source="kaishengtai/torch-ntm layers/CircularConvolution.lua"),
            Variant("shawntan", {"layout": "plus_to_minus"}, source="shawntan/neural-turing-machines ntm.py"),
            Variant(
                "jingweiz",
                {"layout": "plus_to_minus"},
                source="jingweiz/pytorch-dnc core/heads/static_head.py",
            ),
        ),
        source="arXiv:1410.5401 eq. 8",
    )
)
