"""DRAW's filterbanks: a grid of Gaussian windows laid over an image.

An image of A by B pixels (width, height) is looked at through N by N Gaussians whose centres form a
square grid.  Five numbers say where the grid is, how wide the Gaussians are, how far apart, how bright.

Forward
-------
    g~_X, g~_Y, log s^2, log d~, log c                    the window, as the network emits it

    g_X  = (A + 1) / 2 (g~_X + 1)                         centre of the grid; g_Y with B
    d    = (max(A, B) - 1) / (N - 1) exp(log d~)          stride
    mu_i = g + (i - N/2 - 1/2) d                          i = 1..N: centres of the rows, in X and in Y
    z_ia = -q (a - mu_i)^2 / 2,   q = 1 / s^2             a = 1..A, or 1..B
    F_ia = exp(z_ia) / Z_i,       Z_i = sum_a exp(z_ia)   every row sums to one

Backward
--------
With F = k S, where S is the softmax of z over the pixels and k_i depends on Z_i alone (one in the paper),
and with f_i = d log k_i / d log Z_i and t_i = f_i sum_m F_im g(F_im),

    g(z_ia)   = F_ia g(F_ia) - S_ia sum_m F_im g(F_im) + S_ia t_i
    g(mu_i)   = q sum_a g(z_ia) (a - mu_i)
    g(g~)     = (A + 1) / 2 sum_i g(mu_i)
    g(log d~) = d sum_i (i - N/2 - 1/2) g(mu_i)           of X and of Y
    g(log s^2) = -sum_ia g(z_ia) z_ia                     of X and of Y;     g(log c) = c g(c)

    normaliser    F                      k              f
    softmax       exp(z) / Z             1              0
    added         exp(z) / (Z + e)       Z / (Z + e)    e / (Z + e)
    clamped       exp(z) / max(Z, e)     min(Z / e, 1)  1 up to e, 0 above

Accuracy
--------
A window off the image is 0/0 as written: all exp(z) underflow.  Relative to w, the pixel nearest to mu,

    z_a - z_w = -q (a - w) (a + w - 2 mu) / 2

cancels nothing however far off mu is, and the row still sums to one: it looks at the edge.  The sums of
the backward take a - w for a - mu and z - z_w for z, and add what is left, (w - mu) t and z_w t.

q and the stride count as no larger than the fourth root of the largest float, with zero gradient
beyond: without variance a row is the nearest pixel, an endless stride leads past the image,
and nothing overflows.

Conventions
-----------
X is the last axis of an image, Y the one before.  The paper divides by zero for N = 1; there N - 1 counts as
one, and the only window stands at g.  Elsewhere:

    first_index 0        i = 0..N-1 in the formula: the grid is one stride too far left      Jang, czm0
    first_pixel 0        a = 0..A-1 in the formula: the grid is one pixel too far right      Jang, czm0
    border 0             g = A / 2 (g~ + 1); with first_pixel 0 half a pixel too far right   Bornschein
    whole_division       (A + 1) / 2, N / 2, (max - 1) / (N - 1) rounded down: Python 2      Jang, czm0
    kernel "squared"     z = -((a - mu) / (2 s^2))^2: the deviation is sqrt(2) s^2           Jang 2016, czm0
    normaliser, eps      clamped 1e-8 Jang, added 1e-9 czm0, added 1e-4 Bornschein: rows off the image vanish
    order                Y before X, stride before variance                                  Bornschein

A Gaussian of s = 1/2 in the middle between two pixels comes out with a deviation of 0.535 pixels.  That is
sampling, and no error.

Source: Gregor, Danihelka, Graves, Rezende, Wierstra, "DRAW: A Recurrent Neural Network For Image
Generation", arXiv:1502.04623, eqs. 19-26.
"""

import math

from ..backend import arange_like, array_module, gather, lowest, real
from ..calculus import exponentials, softmax_backward
from ..op import Case, Op, Variant, register

CHOICES = {"normaliser": ("softmax", "clamped", "added"), "kernel": ("gaussian", "squared")}


def draw_filterbank_forward(
    window, *, height, width, n, order=(0, 1, 2, 3, 4), first_index=1, first_pixel=1, border=1,
    whole_division=False, kernel="gaussian", normaliser="softmax", eps=0.0,
):  # fmt: skip
    """filter_x (..., n, width), filter_y (..., n, height), intensity (...) of a window (..., 5).

    ``order``: at which places of the window g~_X, g~_Y, log s^2, log d~ and log c stand.  ``eps`` is read by
    the normalisers clamped and added.  ValueError for a param that is not as described above.
    """
    xp = array_module(window)
    choices = {"first_index": first_index, "first_pixel": first_pixel, "border": border, "kernel": kernel}
    _check(height, width, n, order, normaliser, eps, **choices)
    centre_x, centre_y, log_variance, log_stride, log_intensity = (window[..., k : k + 1] for k in order)
    divide = (lambda a, b: a // b) if whole_division else (lambda a, b: a / b)
    eps, limit, power = float(eps), math.log(-lowest(window)) / 4, 2 if kernel == "squared" else 1
    sharp, wide = real(-power * log_variance) > limit, real(log_stride) > limit
    precision = xp.exp(xp.where(sharp, limit, -power * log_variance)) / power
    stride = divide(max(height, width) - 1, max(n - 1, 1)) * xp.exp(xp.where(wide, limit, log_stride))
    places = (arange_like(window, n) + (first_index - divide(n, 2) - 0.5)) * stride  # (..., n)
    halves, banks = (divide(width + border, 2), divide(height + border, 2)), []
    for centre, half, size in zip((centre_x, centre_y), halves, (width, height)):
        mu = xp.expand_dims(half * (centre + 1) + places, axis=-1)
        pixel = arange_like(window, size) + first_pixel
        banks.append(_bank(xp, mu, pixel, xp.expand_dims(precision, axis=-1), normaliser, eps))
    intensity = xp.exp(log_intensity[..., 0])
    grid = (order, halves, places, precision, power, sharp, wide, intensity)
    return (banks[0][0], banks[1][0], intensity), (grid, [bank[1] for bank in banks])


def draw_filterbank_backward(saved, douts):
    """The gradient for the window, given those of filter_x, filter_y and intensity."""
    (order, halves, places, precision, power, sharp, wide, intensity), banks = saved
    *dfilters, dintensity = douts
    xp = array_module(precision, dintensity)
    (dmu_x, dwidth_x), (dmu_y, dwidth_y) = (
        _bank_backward(xp, bank, d, precision) for bank, d in zip(banks, dfilters)
    )
    dlog_stride = xp.where(wide, 0, places * (dmu_x + dmu_y))
    dlog_variance = xp.where(sharp, 0, -power * (dwidth_x + dwidth_y))
    dcentres = [half * dmu for half, dmu in zip(halves, (dmu_x, dmu_y))]
    parts = [xp.sum(d, axis=-1) for d in (*dcentres, dlog_variance, dlog_stride)] + [dintensity * intensity]
    return (xp.stack([parts[order.index(k)] for k in range(5)], axis=-1),)


def draw_filterbank_loops(window, *, height, width, n, order=(0, 1, 2, 3, 4), math, **rules):
    """Eqs. 19-26 for one window; ``rules`` are the other params of the forward."""
    raw_x, raw_y, log_variance, log_stride, log_intensity = (window[k] for k in order)
    divide = (lambda a, b: a // b) if rules.get("whole_division") else (lambda a, b: a / b)
    variance, eps = math.exp(log_variance), rules.get("eps", 0.0)
    stride = (divide(max(height, width) - 1, n - 1) if n > 1 else max(height, width) - 1) * math.exp(
        log_stride
    )
    filters = []
    for raw, size in ((raw_x, width), (raw_y, height)):
        bank, centre = [], divide(size + rules.get("border", 1), 2) * (raw + 1)
        for row in range(n):
            mu = centre + (row + rules.get("first_index", 1) - divide(n, 2) - 0.5) * stride
            seen = []
            for column in range(size):
                away = column + rules.get("first_pixel", 1) - mu
                if rules.get("kernel") == "squared":
                    seen.append(math.exp(-(away / (2 * variance)) * (away / (2 * variance))))
                else:
                    seen.append(math.exp(-away * away / (2 * variance)))
            total = sum(seen)
            if type(total) is float and total < 1e-280 and not eps:
                raise ZeroDivisionError("too little of the window is left in floats: take more digits")
            below = {"added": total + eps, "clamped": max(total, eps)}.get(rules.get("normaliser"), total)
            bank.append([x / below for x in seen])
        filters.append(bank)
    return *filters, math.exp(log_intensity)


def _bank(xp, mu, pixel, precision, normaliser, eps):
    """Rows at mu, (..., n, 1), over the pixels, (size): (..., n, size); and what the backward needs."""
    away = real(pixel) - real(mu)
    nearest = gather(pixel, xp.expand_dims(xp.argmax(-away * away, axis=-1), axis=-1))  # (..., n, 1)
    apart, left = pixel - nearest, nearest - mu
    above = -0.5 * precision * apart * (apart + 2 * left)  # z relative to the nearest pixel's
    e, total, winner = exponentials(xp, above)
    shares = e / total
    if normaliser == "softmax":
        return shares, (shares, winner, apart, above, None)
    level = -0.5 * precision * left * left
    mass = xp.exp(level) * total
    if normaliser == "clamped":
        full = real(mass) > eps
        kept, falling = xp.where(full, 1, mass / eps), xp.where(full, 0, xp.ones_like(mass))
    else:
        kept, falling = mass / (mass + eps), eps / (mass + eps)
    return shares * kept, (shares, winner, apart, above, (kept, falling, left, level))


def _bank_backward(xp, bank, dfilters, precision):
    """Gradients for mu and for log q: both (..., n)."""
    shares, winner, apart, above, rest = bank
    if rest is None:
        dz = softmax_backward(xp, shares, winner, dfilters)
        return precision * xp.sum(dz * apart, axis=-1), xp.sum(dz * above, axis=-1)
    kept, falling, left, level = rest
    dfilters = kept * dfilters
    through = falling * xp.sum(shares * dfilters, axis=-1, keepdims=True)  # the sum of dz over the pixels
    dz = softmax_backward(xp, shares, winner, dfilters) + shares * through
    dmu = xp.sum(dz * apart, axis=-1, keepdims=True) + left * through
    dlog_precision = xp.sum(dz * above, axis=-1, keepdims=True) + level * through
    return precision * xp.squeeze(dmu, axis=-1), xp.squeeze(dlog_precision, axis=-1)


def _check(height, width, n, order, normaliser, eps, **choices):
    for name, value in (("height", height), ("width", width), ("n", n)):
        if type(value) is not int or value < 1:
            raise ValueError(f"draw_filterbank: {name} must be an int from 1, got {value!r}")
    if sorted(order) != [0, 1, 2, 3, 4]:
        raise ValueError(f"draw_filterbank: order must hold each of 0..4 once, got {order!r}")
    for name, value in {"normaliser": normaliser, **choices}.items():
        known = CHOICES[name] if name in CHOICES else (0, 1)
        if value not in known:
            wanted = ", ".join(map(repr, known))
            raise ValueError(f"draw_filterbank: {name} must be one of {wanted}, got {value!r}")
    if normaliser != "softmax" and not eps > 0:
        raise ValueError(f"draw_filterbank: eps must be positive for {normaliser}, got {eps!r}")


# ---- evidence ---------------------------------------------------------------

JANG = {"first_index": 0, "first_pixel": 0, "normaliser": "clamped", "eps": 1e-8}
CZM0 = JANG | {"whole_division": True, "kernel": "squared", "normaliser": "added", "eps": 1e-9}
BORNSCHEIN = {"order": (1, 0, 3, 2, 4), "first_pixel": 0, "border": 0, "normaliser": "added", "eps": 1e-4}


def cases(rng):
    def case(
        label, batch=(), x=0.2, y=-0.3, variance=0.0, stride=-0.5, wide=0.3, zero=(), ill=False, **params
    ):
        window = [x, y, variance, stride, 0.0] + wide * rng.normal(size=(*batch, 5))
        params = {"height": 4, "width": 5, "n": 3} | params
        inputs = (window[..., list(params.get("order", range(5)))],)
        return Case(label, inputs, params, zero_gradient=zero, ill_conditioned=ill)

    yield case("a window on the image")
    yield case("two batch axes", batch=(1, 2), height=1, width=3, n=2)
    yield case("no window", batch=(0,), zero=("window",))
    yield case("an even number of filters, a tall image", n=4, height=6)
    yield case("one filter", n=1)
    yield case("one filter, one stride off", n=1, first_index=0)
    yield case("another order", order=(1, 2, 3, 4, 0))
    yield case("one row of pixels", height=1)
    yield case("one pixel", height=1, width=1, n=2)
    yield case("partly off the image", x=0.9, variance=-1.0)
    yield case("off the image", x=40.0, y=-30.0, variance=4.0)
    yield case("far off the image", x=3e3, variance=8.0)
    yield case("narrow", variance=-2.5)
    yield case("at the end of a long row", x=0.963, variance=-1.4, wide=1e-3, height=1, width=80, n=1)
    yield case("no variance", variance=-1e4)
    yield case("endless variance", variance=1e4)
    yield case("no stride", stride=-1e4)
    yield case("a stride of twenty digits", stride=45.0)
    yield case("a stride beyond the image", stride=1.5, wide=0.1)
    yield case("between two pixels", x=0.0, y=0.0, variance=-4.0, wide=1e-3, height=2, width=4, n=1, ill=True)
    for name, rules in (("Jang", JANG), ("czm0", CZM0), ("Bornschein", BORNSCHEIN)):
        yield case(name, batch=(2,), **rules)
        yield case(f"{name}, partly off the image", x=1.5, y=-1.3, variance=-0.5, **rules)
    yield case("whole division", width=6, n=4, whole_division=True, first_index=0)
    for normaliser in ("clamped", "added"):
        rules = {"normaliser": normaliser, "eps": 0.7}
        yield case(f"{normaliser}, most rows below eps", x=1.2, y=0.1, variance=-1.0, **rules)
        yield case(f"{normaliser}, far off the image", x=90.0, y=70.0, **rules)
        yield case(f"{normaliser}, one pixel far off", height=1, width=1, x=6.0, y=5.0, **rules)
        yield case(f"{normaliser}, squared", kernel="squared", **rules)


def an_endless_stride_leads_past_the_image(inputs, params, out):
    if params["n"] > 2 and not {"first_index", "normaliser"} & params.keys():
        window, order = inputs[0] + 0.0, params.get("order", range(5))
        window[..., order[2]], window[..., order[3]] = 0.0, 1e4
        for filters in draw_filterbank_forward(window, **params)[0][:2]:
            assert (filters[..., 0, 0] == 1).all() and (filters[..., -1, -1] == 1).all()


def rows_sum_to_one_or_to_what_eps_leaves(inputs, params, out):
    for filters in (out.filter_x, out.filter_y):
        mass = filters.sum(-1)
        assert (filters >= 0).all() and (mass < 1 + 1e-14).all()
        if params.get("normaliser", "softmax") == "softmax":
            assert (mass > 1 - 1e-14).all()


def the_mirrored_window_has_the_mirrored_filters(inputs, params, out):
    window, order = inputs[0] + 0.0, params.get("order", range(5))
    if {"first_index", "first_pixel", "whole_division"} & params.keys() or (window[..., order[2]] < -9).any():
        return
    window[..., [order[0], order[1]]] *= -1.0
    mirrored, _ = draw_filterbank_forward(window, **params)
    for filters, found in zip(out[:2], mirrored):
        assert abs(found[..., ::-1, ::-1] - filters).max(initial=0.0) < 1e-11


draw_filterbank = register(
    Op(
        name="draw_filterbank",
        signature="window(5) -> filter_x(n,width), filter_y(n,height), intensity()",
        forward=draw_filterbank_forward,
        backward=draw_filterbank_backward,
        loops=draw_filterbank_loops,
        cases=cases,
        properties=(
            an_endless_stride_leads_past_the_image,
            rows_sum_to_one_or_to_what_eps_leaves,
            the_mirrored_window_has_the_mirrored_filters,
        ),
        variants=(
            Variant("jang", JANG, "ericjang/draw draw.py, under Python 3"),
            Variant(
                "jang_python_2", JANG | {"whole_division": True}, "ericjang/draw draw.py, under Python 2"
            ),
            Variant(
                "jang_2016",
                JANG | {"whole_division": True, "kernel": "squared"},
                "ericjang/draw draw.py before 56bb940",
            ),
            Variant("czm0", CZM0, "czm0/draw_pytorch draw_model.py"),
            Variant("bornschein", BORNSCHEIN, "jbornschein/draw draw/attention.py"),
        ),
        source="arXiv:1502.04623 eqs. 19-26",
    )
)
