"""Content addressing by cosine similarity.

Each of ``h`` heads emits a key k and a strength b, and attends to the ``n`` rows of a memory in
proportion to how well their direction matches the key's.

Forward
-------
    p_i = s(k) s(M_i)                                  product of two lengths
    c_i = (k . M_i) / D_i,   D_i = H(p_i)              similarity, |c_i| <= 1
    a_i = exp(b c_i) / sum_j exp(b c_j)                weights, on the simplex

The forms below differ in the length s and in H, which keeps D away from zero, and in nothing else.

Backward
--------
Write g(x) for dL/dx and z_i = b c_i.  Through the softmax,

    g(z_i) = a_i (g(a_i) - sum_j a_j g(a_j)),    g(b) = sum_i g(z_i) c_i,    g(c_i) = b g(z_i)

The quotient gives dc_i = (dk . M_i + k . dM_i - c_i dD_i) / D_i with dD_i = H'(p_i) dp_i and
dp_i = s(M_i) s'(k) . dk + s(k) s'(M_i) . dM_i, where s'(x) is the vector ds/dx.  So with
q_i = g(c_i) / D_i and r_i = q_i c_i H'(p_i),

    g(k)   = sum_i q_i M_i          - s'(k)   sum_i r_i s(M_i)
    g(M_i) = sum_heads q_i k        - s'(M_i) sum_heads r_i s(k)

From 2 s ds = d(s^2), what each form brings is

    form              s(x)                  s'(x)                      H(p)             H'(p)
    smoothed          sqrt(x.x + eps)       x / s                      p                1
    smoothed_added    sqrt(x.x + eps)       x / s                      p + eps          1
    none              |x| = sqrt(x.x)       x / |x|                    p                1
    added             |x|                   x / |x|                    p + eps          1
    smoothed_product  |x|                   x / |x|                    sqrt(p^2 + eps)  p / H
    clamped_product   |x|                   x / |x|                    max(p, eps)      1 above eps, else 0
    clamped           max(|x|, eps)         x / |x| above eps, else 0  p                1
    normalised        sqrt(max(x.x, eps))   x / s   above eps, else 0  p                1

At x = 0 |x| has no derivative, but there c = 0, and r with it: x / |x| may be read as 0.

Accuracy
--------
The softmax takes its logits and its cotangent relative to the winner's: see ``calculus``.  In the
form ``none`` vectors are first divided by their largest entry, which changes no direction, so that x.x
neither underflows nor overflows; in the others eps rules long before x.x underflows (at |x| near 1e-154,
in float32 1e-19), and vectors longer than the inverse of that overflow.

Conventions
-----------
With a row of length zero the similarity is 0 in every form.  The gradient by it is the formula's,
k / D: for eps = 1e-6 and |k| = 2 it is 250 k smoothed, 500 k smoothed_product, 1e6 k added.
``none`` has no derivative there and takes zero, also for lengths below the smallest normal number.
``zero_gradient="zero"`` holds zero keys and rows constant; "nan" returns what implementations that
differentiate a bare root get (Collier, carpedm20, shawntan, Csordas); no variant asks for it.  At a
clamp's kink the gradient is that of the clamped side.  torch 2.13 conforms to ``clamped`` except for the
gradient by vectors with 0 < |x| < eps: its clamp is hidden from its autodiff, so that s' stays x / |x|.

``offset`` is added to every entry of key and memory, as pytorch-ntm does.  ``strength`` is used as
given: softplus, oneplus, exp or ReLU is the caller's business.  Masked content (Csordas) is k m and
M m given as inputs, heads as a leading axis.  The weights sum to one, so an all-ones cotangent pulls
back to zero and can reveal no error here.

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, eqs. 5-6.
"""

import math

from ..backend import array_module, real, sum_to_shape
from ..calculus import softmax, softmax_backward
from ..op import Case, Op, Variant, register
from ..similarity import FORMS, cosine, cosine_backward


def cosine_addressing_forward(
    key, memory, strength, *, form="smoothed", eps=1e-6, zero_gradient="formula", offset=0.0
):
    """Weights over memory rows: (..., h, w), (..., n, w), (..., h) -> (..., h, n).

    ``form`` says where ``eps`` (positive; not read by the form none) enters, ``zero_gradient`` what
    the gradient by a zero key or row is: "formula", "zero" or "nan"; ``offset`` is added to all entries
    of both.  ValueError for other values.
    """
    xp = array_module(key, memory, strength)
    _refuse(form, eps, zero_gradient)
    if offset:
        key, memory = key + offset, memory + offset
    blank = None
    if zero_gradient != "formula":
        blank = tuple([real(xp.sum(x * x, axis=-1, keepdims=True)) <= 0 for x in (key, memory)])
        key, memory = xp.where(blank[0], 0, key), xp.where(blank[1], 0, memory)
    similarity, parts = cosine(xp, key, memory, form, eps)
    weights, winner = softmax(xp, xp.expand_dims(strength, axis=-1) * similarity)
    return weights, (parts, similarity, strength, weights, winner, blank, zero_gradient)


def cosine_addressing_backward(saved, dweights):
    """Gradients for key, memory, strength, given dweights of shape (..., h, n)."""
    parts, similarity, strength, weights, winner, blank, zero_gradient = saved
    xp = array_module(weights, dweights)
    dlogits = softmax_backward(xp, weights, winner, dweights)
    dstrength = sum_to_shape(xp.sum(dlogits * similarity, axis=-1), strength.shape)
    dkey, dmemory = cosine_backward(xp, parts, similarity, xp.expand_dims(strength, axis=-1) * dlogits)
    if blank is not None:
        there = 0 if zero_gradient == "zero" else math.nan
        dkey, dmemory = xp.where(blank[0], there, dkey), xp.where(blank[1], there, dmemory)
    return dkey, dmemory, dstrength


def cosine_addressing_loops(
    key, memory, strength, *, form="smoothed", eps=1e-6, zero_gradient="formula", offset=0.0, math=math
):
    """The equations for one batch item, each denominator as its authors write it."""
    root = math.sqrt
    denominator = {
        "none": lambda kk, mm: root(kk) * root(mm),
        "added": lambda kk, mm: root(kk) * root(mm) + eps,
        "smoothed": lambda kk, mm: root((kk + eps) * (mm + eps)),
        "smoothed_added": lambda kk, mm: root((kk + eps) * (mm + eps)) + eps,
        "smoothed_product": lambda kk, mm: root(kk * mm + eps),
        "clamped_product": lambda kk, mm: max(root(kk * mm), eps),
        "clamped": lambda kk, mm: max(root(kk), eps) * max(root(mm), eps),
        "normalised": lambda kk, mm: root(max(kk, eps)) * root(max(mm, eps)),
    }[form]
    weights = []
    for r in range(len(key)):
        logits = []
        for i in range(len(memory)):
            pairs = [(key[r][v] + offset, memory[i][v] + offset) for v in range(len(key[r]))]
            below = denominator(sum(k * k for k, _ in pairs), sum(m * m for _, m in pairs))
            alike = sum(k * m for k, m in pairs) / below if below else 0
            logits.append(strength[r] * alike)
        total = sum(math.exp(z) for z in logits)
        weights.append([math.exp(z) / total for z in logits])
    return weights


def _refuse(form, eps, zero_gradient):
    if form not in FORMS:
        raise ValueError(f"cosine_addressing: form must be one of {', '.join(FORMS)}, got {form!r}")
    if form != "none" and not eps > 0:
        raise ValueError(f"cosine_addressing: eps must be positive in the form {form}, got {eps!r}; see none")
    if zero_gradient not in ("formula", "zero", "nan"):
        raise ValueError(
            f"cosine_addressing: zero_gradient must be 'formula', 'zero' or 'nan', got {zero_gradient!r}"
        )


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    def case(label, *, batch=(), h=2, n=4, w=3, memory_batch=None, strength=(0.5, 3.0), **rest):
        memory_batch = batch if memory_batch is None else memory_batch
        shapes = (*batch, h, w), (*memory_batch, n, w)
        vectors = [rng.normal(size=shape) for shape in shapes]
        return Case(label, (*vectors, rng.uniform(*strength, size=(*batch, h))), **rest)

    def measured(label, *, blank=False, **rest):
        """Lengths on both sides of the clamps; with ``blank``, a zero key and a zero row."""
        key, memory = (x / (x * x).sum(-1, keepdims=True) ** 0.5 for x in rng.normal(size=(2, 4, 3)))
        key, memory = key[:2] * [[0.4], [1.2]], memory * [[0.2], [1.0], [1.5], [0.9]]
        if blank:
            key[0], memory[1] = 0.0, 0.0
        return Case(label, (key, memory, rng.uniform(0.5, 3.0, size=2)), **rest)

    yield case("one head", h=1)
    yield case("two heads")
    yield case("batch of heads", batch=(2,), h=3)
    yield case("memory shared by the batch", batch=(2,), memory_batch=())
    yield case("heads shared by a batch of memories", h=1, memory_batch=(3,))
    yield case("sharp", strength=(20.0, 30.0))
    yield case("repelled", strength=(-3.0, -1.0))
    yield case("no strength", strength=(0.0, 0.0), zero_gradient=("key", "memory"))
    yield case("one row to choose from", n=1, zero_gradient=("key", "memory", "strength"))
    yield case("one feature", w=1, params={"eps": 0.5})
    tiny = case("a row of length 1e-60", params={"eps": 1e-2})
    tiny.inputs[1][1] *= 1e-60
    yield tiny
    for form in FORMS:
        kinks = {"clamped": 0.1, "normalised": 0.1, "clamped_product": 0.01}
        eps = 0.25 if form == "normalised" else 0.5
        yield measured(form, params={"form": form, "eps": eps}, margin=kinks.get(form))
        # at a zero row |x| is a kink of the second order where eps is added, and the form none jumps
        kinks = {"added": 1e-12, "none": 0, "clamped": 1e-3, "normalised": 1e-2, "clamped_product": 1e-3}
        params = {"form": form, "eps": 1e-2}
        yield measured(f"{form}, zero key, zero row", blank=True, params=params, margin=kinks.get(form))
    held = {"zero_gradient": "zero", "eps": 1e-2}
    yield measured("zero key and row held constant", blank=True, params=held, margin=0)
    entries = case("zero entries are no zero row", params=held)
    entries.inputs[0][0, 0], entries.inputs[1][1, 2] = 0.0, 0.0
    yield entries
    ntm = {"form": "clamped", "eps": 1e-8, "offset": 1e-16}
    yield measured("pytorch-ntm at a zero key and row", blank=True, params=ntm, margin=1e-10)
    yield case("no feature", w=0, params={"form": "none"}, zero_gradient=("key", "memory", "strength"))


def weights_are_a_distribution(inputs, params, weights):
    assert (weights >= 0).all()
    assert abs(weights.sum(axis=-1) - 1).max() < 1e-12


def rows_are_interchangeable(inputs, params, weights):
    key, memory, strength = inputs
    flipped, _ = cosine_addressing_forward(key, memory[..., ::-1, :], strength, **params)
    assert abs(flipped - weights[..., ::-1]).max() < 1e-12


def no_row_wins_by_more_than_twice_the_strength(inputs, params, weights):
    strength = abs(inputs[2])[..., None]
    assert (weights.max(-1) <= weights.min(-1) * 2.718281828459046 ** (2 * strength[..., 0])).all()


def a_key_without_length_attends_to_all_alike(inputs, params, weights):
    key, memory, strength = inputs
    if not params.get("offset"):
        weights, _ = cosine_addressing_forward(0 * key, memory, strength, **params)
        assert abs(weights - 1 / memory.shape[-2]).max() < 1e-15


def a_bare_root_has_no_gradient_at_zero(inputs, params, weights):
    key, memory, strength = inputs
    if not params.get("offset"):
        _, saved = cosine_addressing_forward(0 * key, memory, strength, **params | {"zero_gradient": "nan"})
        dkey, dmemory, _ = cosine_addressing_backward(saved, weights)
        blank = (memory * memory).sum(axis=-1, keepdims=True) == 0
        assert (dkey != dkey).all() and ((dmemory != dmemory) == blank).all()


def only_direction_matters_where_nothing_is_added(inputs, params, weights):
    key, memory, strength = inputs
    scaled, _ = cosine_addressing_forward(7e200 * key, 3e-200 * memory, strength, form="none")
    plain, _ = cosine_addressing_forward(key, memory, strength, form="none")
    assert abs(scaled - plain).max() < 1e-13


def _variant(name, source, form, eps=1e-6, **rest):
    return Variant(
        name, {"form": form, "eps": eps, **rest} if form != "none" else {"form": form}, source=source
    )


cosine_addressing = register(
    Op(
        name="cosine_addressing",
        signature="key(h,w), memory(n,w), strength(h) -> weights(h,n)",
        forward=cosine_addressing_forward,
        backward=cosine_addressing_backward,
        loops=cosine_addressing_loops,
        cases=cases,
        properties=(
            weights_are_a_distribution,
            rows_are_interchangeable,
            no_row_wins_by_more_than_twice_the_strength,
            a_key_without_length_attends_to_all_alike,
            a_bare_root_has_no_gradient_at_zero,
            only_direction_matters_where_nothing_is_added,
        ),
        variants=(
            _variant("paper", "arXiv:1410.5401 eq. 6", "none"),
            _variant("fumin", "fumin/ntm addressing.go, but for 0 / 0", "none"),
            _variant("deepmind", "google-deepmind/dnc dnc/addressing.py", "smoothed_added"),
            _variant("pytorch_dnc", "ixaxaar/pytorch-dnc dnc/util.py", "added"),
            _variant("csordas", "RobertCsordas/dnc Models/DNC.py", "added"),
            _variant("adnc", "joergfranke/ADNC adnc/model/memory_units/base_cell.py, but for 0 / 0", "none"),
            _variant(
                "bgavran", "bgavran/DNC src/controller_implementations/dnc/memory.py", "normalised", 1e-12
            ),
            _variant(
                "pytorch_ntm", "loudinthecloud/pytorch-ntm ntm/memory.py", "clamped", 1e-8, offset=1e-16
            ),
            _variant("collier", "MarkPKCollier/NeuralTuringMachine ntm.py", "added", 1e-8),
            _variant("ntm_lasagne", "snipsco/ntm-lasagne ntm/similarities.py", "smoothed_product"),
            _variant("carpedm20", "carpedm20/NTM-tensorflow ops.py", "added", 1e-3),
            _variant("kaishengtai", "kaishengtai/torch-ntm layers/SmoothCosineSimilarity.lua", "added", 1e-3),
            _variant("shawntan", "shawntan/neural-turing-machines ntm.py", "added", 1e-5),
            _variant("jingweiz", "jingweiz/pytorch-dnc utils/similarities.py", "smoothed_added"),
            _variant("mostafa_samir", "Mostafa-Samir/DNC-tensorflow dnc/memory.py", "normalised", 1e-12),
            _variant("torch", "torch.nn.functional.cosine_similarity, 2.13", "clamped", 1e-8),
            _variant("torch_documented", "the same as documented, pytorch#22494", "clamped_product", 1e-8),
        ),
        source="arXiv:1410.5401 eqs. 5-6",
    )
)
