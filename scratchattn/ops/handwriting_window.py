"""Handwriting window: a mixture of Gaussians that slides along a text and looks at its characters.

One step of the window of a handwriting network: from the raw parameters of ``m`` Gaussians and their
locations so far to the next locations and to what is seen of ``k`` characters, d numbers each.

Forward
-------
    a = exp(a^)    b = exp(b^)    kappa' = kappa + exp(kappa^)              importance, width, location
    phi_u  = sum_i a_i exp(-b_i (kappa'_i - u)^2)                           weights, not normalised
    window = sum_u phi_u c_u                                                u = 1..U, the characters kept
    beyond = phi_(U+1)                                                      the same, after the last one

The writing ends at the first step at which ``beyond`` is larger than every weight.

Backward
--------
Let G_u = g(phi_u) + g(window) . c_u, and G_(U+1) = g(beyond).  With e_iu = a_i exp(-b_i (kappa'_i - u)^2),

    g(a^_i)     = sum_u e_iu G_u
    g(b^_i)     = -b_i sum_u e_iu G_u (kappa'_i - u)^2
    g(kappa'_i) <- g(kappa'_i) - 2 b_i sum_u e_iu G_u (kappa'_i - u)        later steps, and this one
    g(kappa_i)  = g(kappa'_i)           g(kappa^_i) = exp(kappa^_i) g(kappa'_i)
    g(c_u)      = phi_u g(window)

Accuracy
--------
A Gaussian that is 40 of its widths away, exp(-1600), is zero in floats; its square is not even taken, so
that a location far beyond the text has weights and gradients of zero, and no NaN.  Raw numbers count
as at most L, half the logarithm of the largest float (354 in float64, 44 in float32), and take no gradient
above it: no exponential overflows, nor does the square of a location that one of them has moved.

Conventions
-----------
                       squash     increment_scale  width_divides  smallest_width  base
    paper              exp        1                False          0               1
    X-rayLaser, snowkylin                                                         0
    sjvasquez          softplus   1 / 25           True           0.01            0

A blank is as in the paper.  ``squash`` makes all three raw numbers positive, softplus(x) = log(1 + exp(x)).
``increment_scale`` multiplies the increments: at kappa^ = 0 the paper moves by one character, sjvasquez by
0.0277.  ``width_divides``: the square is divided by b.  A b below ``smallest_width``, or below exp(-L)
if it divides, counts as that and takes no gradient.  ``base`` is the place of the first
character.  Where the text is padded ``keep`` is False: no weight, no gradient, and never read; the public
implementations give padding weight, sjvasquez clears only the characters there.  U is the place of
the last character kept, base - 1 if there is none.

Others' rules to end: the most weight on the last character (X-rayLaser), or that and an end of stroke
(sjvasquez).  sjvasquez computes the raw numbers from [window, input, hidden] and not from hidden alone.

Source: Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850, eqs. 46-51 and
56-60.
"""

import math

import numpy as np

from ..backend import arange_like, array_module, constant, lowest, real, sum_to_shape
from ..calculus import select, softplus, stretched
from ..op import Case, Op, Variant, register

NOTHING = 40.0  # widths
LARGEST = 354.891356446692  # L in float64, for the transcription


def handwriting_window_forward(
    importance, width, increment, location, characters, keep=None, *,
    squash="exp", increment_scale=1.0, width_divides=False, smallest_width=0.0, base=1,
):  # fmt: skip
    """window (..., d), weights (..., k), beyond (...), new_location (..., m).

    Raw importance, width and increment and the location so far (..., m); characters (..., k, d); keep
    (..., k|1) booleans or None.  ValueError for a param that is not as under Conventions.
    """
    xp = array_module(importance, width, increment, location, characters, keep)
    _check(squash, increment_scale, width_divides, smallest_width, base)
    shapes = [x.shape for x in (importance, width, increment, location, characters)]
    batch = stretched(*[s[:-1] for s in shapes[:4]], shapes[4][:-2], () if keep is None else keep.shape[:-1])
    a, a_slope = _positive(xp, importance, squash)
    b, b_slope = _positive(xp, width, squash)
    least = max(float(smallest_width), (-lowest(b)) ** -0.5) if width_divides else float(smallest_width)
    small = real(b) < least
    b, b_slope = xp.where(small, least, b), xp.where(small, 0, b_slope)
    if width_divides:
        b_slope = -(b_slope / b) / b
        b = 1 / b
    step, step_slope = _positive(xp, increment, squash)
    scale = float(increment_scale)  # a np.float64 would make float32 arrays float64
    new_location = location + scale * step
    place = _places(xp, new_location, characters.shape[-2], keep) + base  # and one after the last
    distance = xp.expand_dims(new_location, axis=-1) - xp.expand_dims(place, axis=-2)  # (..., m, k + 1)
    rate = xp.expand_dims(b, axis=-1)
    far = xp.sqrt(real(rate)) * real(distance)
    near = ~((far > NOTHING) | (far < -NOTHING))  # NaN is not far: it shall be seen
    distance = select(xp, near, distance)
    bell = select(xp, near, xp.exp(-rate * distance * distance))
    phi = xp.sum(xp.expand_dims(a, axis=-1) * bell, axis=-2)
    weights, beyond = select(xp, keep, phi[..., :-1]), phi[..., -1]
    seen = characters if keep is None else xp.where(keep[..., None], characters, 0)
    window = xp.squeeze(xp.matmul(xp.expand_dims(weights, axis=-2), seen), axis=-2)
    out = (window, weights, beyond, new_location)
    ends = (seen.shape[-1:], characters.shape[-2:-1], (), new_location.shape[-1:])
    out = tuple([xp.broadcast_to(x, (*batch, *end)) for x, end in zip(out, ends)])
    saved = (a, a_slope, rate, b_slope, scale * step_slope, distance, bell, weights, seen, keep)
    return out, (saved, shapes)


def handwriting_window_backward(saved, douts):
    """Gradients for importance, width, increment, location and characters."""
    (a, a_slope, rate, b_slope, step_slope, distance, bell, weights, seen, keep), shapes = saved
    dwindow, dweights, dbeyond, dlocation = douts
    xp = array_module(bell, dwindow)
    dseen = xp.squeeze(xp.matmul(seen, xp.expand_dims(dwindow, axis=-1)), axis=-1)
    dphi = xp.concat([select(xp, keep, dweights + dseen), xp.expand_dims(dbeyond, axis=-1)], axis=-1)
    each = bell * xp.expand_dims(dphi, axis=-2)
    da = xp.sum(each, axis=-1)
    pull = each * distance
    dlocation = dlocation - 2 * xp.squeeze(rate, axis=-1) * (a * xp.sum(pull, axis=-1))
    db = -a * xp.sum(pull * distance, axis=-1)
    dcharacters = xp.expand_dims(weights, axis=-1) * xp.expand_dims(dwindow, axis=-2)
    grads = (da * a_slope, db * b_slope, dlocation * step_slope, dlocation, dcharacters)
    return tuple([sum_to_shape(g, s) for g, s in zip(grads, shapes)])


def handwriting_window_loops(importance, width, increment, location, characters, keep=None, *, math, **rules):
    """Equations 46 to 51, one Gaussian and one character at a time; ``rules`` are the forward's params."""

    def positive(x):
        x = min(x, LARGEST)
        return math.exp(x) if rules.get("squash", "exp") == "exp" else math.log1p(math.exp(x))

    def phi(u):
        total = 0 * sum(location)
        for i in range(len(location)):
            b = max(positive(width[i]), rules.get("smallest_width", 0))
            b = 1 / b if rules.get("width_divides") else b
            total = total + positive(importance[i]) * math.exp(-b * (moved[i] - u) ** 2)
        return total

    scale, base = rules.get("increment_scale", 1), rules.get("base", 1)
    moved = [location[i] + scale * positive(increment[i]) for i in range(len(location))]
    count, size = characters.shape
    kept = [u for u in range(count) if keep is None or keep[u]]
    weights = [phi(u + base) if u in kept else 0.0 for u in range(count)]
    window = [sum(weights[u] * characters[u][v] for u in kept) for v in range(size)]
    return window, weights, phi(max(kept, default=-1) + 1 + base), moved


def _positive(xp, raw, squash):
    """exp or softplus of raw numbers, and the slope."""
    most = math.log(-lowest(raw)) / 2
    large = real(raw) > most
    value = xp.where(large, most, raw)
    value, slope = (xp.exp(value),) * 2 if squash == "exp" else softplus(xp, value)
    return value, xp.where(large, 0, slope)


def _places(xp, like, count, keep):
    """0, 1, ... for ``count`` characters, then the place after the last one kept: (..., count + 1)."""
    if keep is None:
        return arange_like(like, count + 1)
    one = constant(like, 1)
    kept = xp.broadcast_to(xp.where(keep, one, 0), (*keep.shape[:-1], count))
    before = xp.cumulative_sum(kept, axis=-1) - kept
    last = xp.sum(xp.where(real(before) < real(xp.sum(kept, axis=-1, keepdims=True)), one, 0), axis=-1)
    place = xp.broadcast_to(arange_like(like, count), kept.shape)
    return xp.concat([place, xp.expand_dims(last, axis=-1)], axis=-1)


def _check(squash, increment_scale, width_divides, smallest_width, base):
    if squash not in ("exp", "softplus"):
        raise ValueError(f"handwriting_window: squash must be 'exp' or 'softplus', got {squash!r}")
    if type(width_divides) is not bool:
        raise TypeError(f"handwriting_window: width_divides must be True or False, got {width_divides!r}")
    if not isinstance(increment_scale, int | float) or not increment_scale > 0:
        raise ValueError(f"handwriting_window: increment_scale must be positive, got {increment_scale!r}")
    if not isinstance(smallest_width, int | float) or not smallest_width >= 0:
        raise ValueError(f"handwriting_window: smallest_width must not be negative, got {smallest_width!r}")
    if base not in (0, 1):
        raise ValueError(f"handwriting_window: base must be 0 or 1, got {base!r}")


# ---- evidence ---------------------------------------------------------------

SJVASQUEZ = dict(squash="softplus", increment_scale=1 / 25, width_divides=True, smallest_width=0.01, base=0)
XRAYLASER = "X-rayLaser/pytorch-handwriting-synthesis-toolkit handwriting_synthesis/models.py"


def cases(rng):
    def case(label, m=2, k=3, d=2, *, batch=(), text=None, at=None, keep=None, zero=(), margin=None, **rest):
        """Gaussians about the middle of the text, ``at`` where they were; raw numbers drawn, or as given."""
        shape = (*batch, m)
        raw = [
            0.6 * rng.normal(size=shape) + np.array(rest.pop(name, 0.0))
            for name in ("importance", "width", "increment")
        ]
        location = rng.uniform(0, k, size=shape) if at is None else at + 0.1 * rng.normal(size=shape)
        characters = rng.normal(size=(*(batch if text is None else text), k, d))
        keep = None if keep is None else np.array(keep) > 0
        return Case(label, (*raw, location, characters, keep), rest, zero_gradient=zero, margin=margin)

    text = ("importance", "width", "characters")
    yield case("one Gaussian", 1)
    yield case("three Gaussians", 3, 4)
    yield case("a batch", batch=(2,), text=(2,))
    yield case("one text, several writers", batch=(2,), text=())
    yield case("one writer, several texts", text=(2,))
    yield case("counted from 0", base=0)
    yield case("softplus", squash="softplus")
    yield case("small steps", increment_scale=0.25)
    yield case("a width divides", width_divides=True)
    yield case("sjvasquez", **SJVASQUEZ)
    yield case("sjvasquez at his smallest width", width=[-6.0, 2.0], **SJVASQUEZ, margin=0.2)
    yield case("a smallest width that multiplies", width=[-3.0, 2.0], smallest_width=0.3, margin=0.2)
    yield case("padded", batch=(3,), text=(3,), keep=[[1, 1, 1], [1, 1, 0], [1, 0, 0]])
    yield case("padded, one text", 1, batch=(2,), text=(), keep=[[1, 1, 0], [1, 1, 1]])
    yield case("a gap in the text", keep=[0, 1, 0], base=0)
    yield case("nothing kept", keep=[0], zero=("characters",))
    yield case("one character", k=1)
    yield case("no character", k=0, zero=("characters",))
    yield case("characters of no numbers", d=0, zero=("characters",))
    yield case("no Gaussian", 0, zero=(*text, "increment", "location"))
    yield case("narrow, before its character", 1, 2, width=3.0, at=[0.9], increment=-2.5)
    yield case("wide", at=[1.0, 60.0], width=-6.0)
    yield case("the end is near", at=[2.6, 3.1], increment=-1.0)
    yield case("beyond the end", 1, at=[12.0], width=-1.0)
    yield case("far beyond the end", at=[1e3, 1e25], zero=text)
    yield case("far before the text", at=[-1e3, -1e25], zero=text)
    yield case("one stays, one is far", at=[0.4, 1e9])
    yield case("leaps", increment=[-1.0, 12.0])
    yield case("leaps beyond all floats", increment=[-1.0, 1e4], margin=0)
    yield case("no more steps", increment=-1e4, zero=("increment",))
    yield case("without importance", importance=-1e4, zero=text)
    yield case("of no width at all", width=1e4, zero=text)
    yield case("as wide as can be", width=-1e4, zero=("width",))
    yield case("as narrow as can be, a width divides", width=-1e4, width_divides=True, zero=text)
    yield case("as wide as can be, a width divides", width=1e4, width_divides=True, zero=("width",))
    yield case("softplus of large numbers", 1, importance=40.0, width=30.0, increment=1.0, squash="softplus")


def the_window_only_moves_on(inputs, params, out):
    assert (out.new_location >= inputs[3]).all()


def the_window_is_the_weighted_sum(inputs, params, out):
    characters = inputs[4] if inputs[5] is None else np.where(inputs[5][..., None], inputs[4], 0.0)
    terms = out.weights[..., None] * characters
    assert (abs(out.window - terms.sum(-2)) <= 1e-14 * (1e-300 + abs(terms).sum(-2))).all()


def one_character_more_is_where_beyond_looked(inputs, params, out):
    """The last weight of the text with one more character is ``beyond`` of the text without it."""
    *given, characters, keep = inputs
    if keep is None and characters.shape[-2]:
        longer = np.concatenate([characters, characters[..., :1, :]], axis=-2)
        again, _ = handwriting_window_forward(*given, longer, **params)
        assert (again[1][..., -1] == out.beyond).all() and (again[1][..., :-1] == out.weights).all()


def padding_is_never_read(inputs, params, out):
    *given, characters, keep = inputs
    if keep is None:
        return
    keep = keep | (out.weights != out.weights)
    spoilt = np.where(keep[..., None], characters, np.nan)
    again, saved = handwriting_window_forward(*given, spoilt, keep, **params)
    assert all((a == b).all() for a, b in zip(again, out)) and (again[1][~keep] == 0).all()
    weights = np.where(keep, 1.0, np.nan)
    for gradient in handwriting_window_backward(saved, (again[0], weights, again[2], again[3])):
        assert np.isfinite(gradient).all()


handwriting_window = register(
    Op(
        name="handwriting_window",
        signature=(
            "importance(m), width(m), increment(m), location(m), characters(k,d), keep?!(k|1)"
            " -> window(d), weights(k), beyond(), new_location(m)"
        ),
        forward=handwriting_window_forward,
        backward=handwriting_window_backward,
        loops=handwriting_window_loops,
        cases=cases,
        passive={"keep": "boolean"},
        properties=(
            the_window_only_moves_on,
            the_window_is_the_weighted_sum,
            one_character_more_is_where_beyond_looked,
            padding_is_never_read,
        ),
        variants=(
            Variant("paper", {}, "arXiv:1308.0850 eqs. 46-51"),
            Variant("xraylaser", {"base": 0}, XRAYLASER),
            Variant("snowkylin", {"base": 0}, "snowkylin/rnn-handwriting-generation model.py"),
            Variant("sjvasquez", SJVASQUEZ, "sjvasquez/handwriting-synthesis rnn_cell.py"),
        ),
        source="arXiv:1308.0850 eqs. 46-51, 56-60",
    )
)
