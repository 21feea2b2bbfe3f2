"""RAM's sensor: a sharp look at one place of an image, and blurred ones at what is around it.

``patches`` squares are cut out around one location, the first ``size`` pixels wide and each next ``scale``
times as wide as the one before; all are averaged down to the width of the first.

Forward
-------
A location (x, y) has its origin in the middle of the image and reaches from -1, its left or upper end, to 1.
With E the image's width, or height, the square that is w = size scale^k wide begins at pixel

    s_k = floor(c - w / 2 + 1 / 2),   c = E (l + 1) / 2       pixel j covers [j, j + 1]

in each direction, so that its middle is as near to c as pixels allow, and with p = scale^k

    G_k[i, j] = 1/p^2 sum_uv image[s_ky + i p + u, s_kx + j p + v]           u, v = 0..p-1

where what lies outside the image is zero.

Backward
--------
Each pixel gets what each square that it lies in asks of it; squares overlap, so these add up:

    g(image[a]) = sum over the k, i, j, u, v with that pixel a of g(G_k[i, j]) / p^2

The location has no gradient: it says which pixels are read, and that jumps.

Conventions
-----------
The first patch is a copy.  Channels are leading axes: image (b, c, y, x), location (b, 1, 2).  What no square
reaches is not read, NaN included.  A location beyond the image looks past it.  Elsewhere:

    placement         begins at                                                who
    nearest           floor(c - w/2 + 1/2)                                     here
    floor             floor(c) - floor(w/2)                                    kevinzakka
    round             c rounded, halves to even, - floor(w/2)                  jlindsey15
    corner            floor(c - w/2)                                           saccader
    truncated         c - w/2 without its fraction, toward zero                TensorFlow's extract_glimpse
    inside            floor((E + 2h - w)(l + 1)/2) - h, h = floor((w - 1)/2)   dpnn; l brought into [-1, 1]

    order "yx"        the location is (row, column)                            all of these but kevinzakka
    padding "edge"    outside is the nearest pixel inside                      saccader
    downscale "first" the first of p by p pixels: TensorFlow 1's resizing      jlindsey15
    extent "height"   E is the height for x too                                kevinzakka

TensorFlow's extract_glimpse (hehefan, tfRAM) fills what is outside with noise unless told otherwise; the
squares of saccader and tfRAM do not double.  Where kevinzakka's code fails, at l = 1 with an odd size, this
goes on.

Source: Mnih, Heess, Graves, Kavukcuoglu, "Recurrent Models of Visual Attention", arXiv:1406.6247,
section 2.1.
"""

from math import prod

from ..backend import arange_like, array_module, constant, gather, lowest, real, scatter_add, sum_to_shape
from ..calculus import stretched
from ..op import Case, Op, Variant, register
from ..refusals import refuse_where

CHOICES = {
    "placement": ("nearest", "floor", "round", "corner", "truncated", "inside"),
    "order": ("xy", "yx"),
    "padding": ("zero", "edge"),
    "downscale": ("average", "first"),
    "extent": ("own", "height"),
}


def glimpse_sensor_forward(
    image,
    location,
    *,
    size,
    patches,
    scale=2,
    placement="nearest",
    order="xy",
    padding="zero",
    downscale="average",
    extent="own",
):
    """Glimpses (..., patches, size, size) of images (..., y, x) at locations (..., 2).

    ``size``, ``patches`` and ``scale`` are ints from 1.  ValueError for a param that is not as described
    above, for a location that is NaN (on NumPy), and for an edge to repeat where the image has no pixels.
    """
    xp = array_module(image, location)
    _check(image.shape, (size, patches, scale), (placement, order, padding, downscale, extent))
    refuse_where(location != location, "glimpse_sensor: location must be a number", location)
    height, width = image.shape[-2:]
    batch = stretched(image.shape[:-2], location.shape[:-1])
    items, location = prod(batch), xp.broadcast_to(location, (*batch, 2))
    pixels = xp.reshape(xp.broadcast_to(image, (*batch, height, width)), (items * height * width,))
    pixels = xp.concat([pixels, xp.reshape(constant(image, 0.0), (1,))])  # the last one is what lies outside
    glimpses, places = [], []
    for k in range(patches):
        step, along = scale**k, []
        for axis, n in (("y", height), ("x", width)):
            across = height if extent == "height" else n
            begin = _begin(xp, location[..., order.index(axis)], across, n, size * step, placement)
            first = begin[..., None] + arange_like(begin, size) * step  # of the pixels for each entry
            along.append(first[..., None] + arange_like(begin, 1 if downscale == "first" else step))
        row, column = along[0][..., None, None], along[1][..., None, None, :, :]  # (..., size, p, size, p)
        if padding == "edge":
            row, column = (xp.where(r < 0, 0, r) for r in (row, column))
            row, column = (xp.where(r < n, r, n - 1) for r, n in ((row, height), (column, width)))
        seen = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        item = xp.reshape(arange_like(row, items), (*batch, 1, 1, 1, 1))
        place = xp.where(seen, (item * height + row) * width + column, items * height * width)
        glimpses.append(xp.sum(gather(pixels, place), axis=(-3, -1)) / float(place.shape[-1] ** 2))
        places.append(place)
    return xp.stack(glimpses, axis=-3), (image.shape, batch, places)


def glimpse_sensor_backward(saved, dglimpse):
    """The gradient for the image, given dglimpse of shape (..., patches, size, size)."""
    shape, batch, places = saved
    xp = array_module(dglimpse, *places)
    whole, dpixels = (*batch, *shape[-2:]), []
    for k, place in enumerate(places):
        each = dglimpse[..., k, :, None, :, None] / float(place.shape[-1] ** 2)
        dpixels.append(scatter_add(xp.broadcast_to(each, place.shape), place, prod(whole) + 1)[:-1])
    return (sum_to_shape(xp.reshape(sum(dpixels), whole), shape),)


def glimpse_sensor_loops(image, location, *, size, patches, scale=2, math=None, **rules):
    """Pixel by pixel; ``rules`` are the other params of the forward."""
    sizes = {"y": len(image), "x": image.shape[1]}
    order, edge = rules.get("order", "xy"), rules.get("padding") == "edge"

    def begin(name, wide):
        across = sizes["y" if rules.get("extent") == "height" else name]
        part = (location[order.index(name)] + 1) / 2
        border = (wide - 1) // 2
        room = max(across + 2 * border - wide, 0)
        return {
            "nearest": lambda c: (c - wide / 2 + 0.5) // 1,
            "floor": lambda c: c // 1 - wide // 2,
            "round": lambda c: round(c) - wide // 2,
            "corner": lambda c: (c - wide / 2) // 1,
            "truncated": lambda c: int(c - wide / 2),
            "inside": lambda c: room * min(max(part, 0), 1) // 1 - border,
        }[rules.get("placement", "nearest")](across * part)

    def pixel(row, column):
        if edge:
            row, column = min(max(row, 0), sizes["y"] - 1), min(max(column, 0), sizes["x"] - 1)
        inside = 0 <= row < sizes["y"] and 0 <= column < sizes["x"]
        return image[int(row)][int(column)] if inside else 0

    glimpse = []
    for k in range(patches):
        step = scale**k
        top, left = begin("y", size * step), begin("x", size * step)
        reach = 1 if rules.get("downscale") == "first" else step
        patch = [[0] * size for _ in range(size)]
        for i in range(size):
            for j in range(size):
                for u in range(reach):
                    for v in range(reach):
                        patch[i][j] += pixel(top + i * step + u, left + j * step + v)
                patch[i][j] = patch[i][j] / reach**2
        glimpse.append(patch)
    return glimpse


def _begin(xp, place, across, n, wide, placement):
    """The first pixel of a square: an integer, from -wide to n, beyond which nothing changes."""
    centre = across * ((place + 1) / 2)
    corner = centre - wide / 2
    if placement == "round":
        up, down = _floor(xp, centre + 0.5, -wide, n + wide), -_floor(xp, 0.5 - centre, -wide - n, wide)
        return xp.where(up % 2 == 0, up, down) - wide // 2  # the two differ at halves alone
    if placement == "truncated":
        return xp.where(corner < 0, -_floor(xp, -corner, -n, wide), _floor(xp, corner, -wide, n))
    if placement == "inside":
        border = (wide - 1) // 2
        room = max(across + 2 * border - wide, 0)
        return _floor(xp, room * ((place + 1) / 2), 0, room) - border
    if placement == "floor":
        return _floor(xp, centre, -wide, n + wide) - wide // 2
    return _floor(xp, corner if placement == "corner" else corner + 0.5, -wide, n)


def _floor(xp, x, low, high):
    """The largest integer up to x, brought into [low, high]."""
    steps = real(arange_like(x, high - low + 1)) + low
    below = real(xp.expand_dims(x, axis=-1)) >= steps
    return xp.argmax(xp.where(below, steps, lowest(steps)), axis=-1) + low


def _check(shape, counts, choices):
    for name, value in zip(("size", "patches", "scale"), counts):
        if type(value) is not int or value < 1:
            raise ValueError(f"glimpse_sensor: {name} must be an int from 1, got {value!r}")
    for (name, known), value in zip(CHOICES.items(), choices):
        if value not in known:
            raise ValueError(f"glimpse_sensor: {name} must be one of {', '.join(known)}, got {value!r}")
    if "edge" in choices and 0 in shape[-2:]:
        raise ValueError(f"glimpse_sensor: an image without pixels has no edge, got shape {shape}")


# ---- evidence ---------------------------------------------------------------

VARIANTS = {
    "kevinzakka": (
        {"placement": "floor", "extent": "height"},
        "kevinzakka/recurrent-visual-attention modules.py",
    ),
    "jlindsey15": ({"placement": "round", "order": "yx", "downscale": "first"}, "jlindsey15/RAM ram.py"),
    "dpnn": ({"placement": "inside", "order": "yx"}, "nicholas-leonard/dpnn SpatialGlimpse.lua"),
    "saccader": (
        {"placement": "corner", "order": "yx", "padding": "edge"},
        "google-research saccader/utils.py",
    ),
    "extract_glimpse": (
        {"placement": "truncated", "order": "yx"},
        "tensorflow kernels/eigen_attention.h",
    ),
}


def cases(rng):
    def case(label, at=None, *, batch=(), looks=None, y=4, x=3, zero=(), **params):
        """``at``: the locations, or drawn ones of the batch ``looks``."""
        image = rng.normal(size=(*batch, y, x))
        location = rng.uniform(-0.8, 0.8, size=(*(batch if looks is None else looks), 2))
        location = location if at is None else 0 * location + at
        return Case(label, (image, location), {"size": 2, "patches": 1} | params, zero_gradient=zero)

    yield case("one patch")
    yield case("three patches that overlap", patches=3)
    yield case("an odd size", size=3, patches=2)
    yield case("a batch", batch=(2,), x=2, patches=2)
    yield case("channels", batch=(2, 2), looks=(2, 1), y=2, x=2)
    yield case("several looks at one image", looks=(3,))
    yield case("three times as wide", size=1, patches=2, scale=3)
    yield case("the same size again", size=1, patches=2, scale=1)
    yield case("a patch larger than the image", size=5, y=3, x=2)
    yield case("both corners, and beyond an edge", [[-1.0, -1.0], [1.0, 1.0], [1.2, 0.0]], looks=(3,), size=3)
    yield case("far beyond the edge", [0.0, -1e9], zero=("image",))
    yield case("one pixel", y=1, x=1, size=1)
    yield case("no pixel", y=0, zero=("image",))
    yield case("no image", batch=(0,), padding="edge", zero=("image",))
    # somewhere; where c is 2.5 and 1.5; at an edge; beyond two of them
    places = [[-0.35, 0.3], [0.25, -0.5], [-1.15, 1.1], [-0.2, 4.0], [-4.0, 0.1], [4.0, 0.0], [0.1, -4.0]]
    for name, (rules, _) in VARIANTS.items():
        yield case(name, places, looks=(7,), size=3, patches=2, x=6, **rules)
    small = {"placement": "inside", "size": 4}
    yield case("inside, of an image smaller than the square", places, looks=(7,), y=2, x=6, **small)
    yield case("inside, by the height", places, looks=(7,), size=3, x=6, placement="inside", extent="height")


def what_no_square_reaches_is_not_read(inputs, params, out):
    image, location = inputs
    _, saved = glimpse_sensor_forward(image, location, **params)
    (reached,) = glimpse_sensor_backward(saved, 0 * out + 1.0)
    spoilt = image + 0.0
    spoilt[reached == 0] = float("nan")
    assert (glimpse_sensor_forward(spoilt, location, **params)[0] == out).all()


def the_mirrored_image_has_the_mirrored_glimpse(inputs, params, out):
    """Unless the middle of a square lies half-way, or the convention prefers one side."""
    image, location = inputs
    if params.get("placement", "nearest") != "nearest" or 0 in out.shape:
        return
    for k in range(params["patches"]):
        wide = params["size"] * params.get("scale", 2) ** k
        if (((location + 1) * image.shape[:-3:-1] - wide) % 2 == 1).any():
            return
    mirrored, _ = glimpse_sensor_forward(image[..., ::-1, ::-1], -location, **params)
    assert abs(mirrored[..., ::-1, ::-1] - out).max() < 1e-15


def x_and_y_are_interchangeable(inputs, params, out):
    image, location = inputs
    if params.get("extent", "own") == "own":
        turned, _ = glimpse_sensor_forward(image.swapaxes(-1, -2), location[..., ::-1], **params)
        assert abs(turned.swapaxes(-1, -2) - out).max(initial=0.0) < 1e-15


glimpse_sensor = register(
    Op(
        name="glimpse_sensor",
        signature="image(y,x), location!(2) -> glimpse(patches,size,size)",
        forward=glimpse_sensor_forward,
        backward=glimpse_sensor_backward,
        loops=glimpse_sensor_loops,
        cases=cases,
        passive={"location": "floating"},
        properties=(
            what_no_square_reaches_is_not_read,
            the_mirrored_image_has_the_mirrored_glimpse,
            x_and_y_are_interchangeable,
        ),
        variants=tuple(Variant(name, *rules) for name, rules in VARIANTS.items()),
        source="arXiv:1406.6247 section 2.1",
    )
)
