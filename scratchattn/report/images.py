"""Images as drawings: strips of them, paths over them, and strokes of a pen."""

import numpy as np

from .axes import on_host
from .colours import SCALE, paint, to_hex
from .drawing import SIZE, Drawing, Line, Pixels, Text, cut, heading, room
from .matrices import WIDTH, scale_bar

GAP = 4
CASING = "#15181e"  # under a bright line, so that it shows on bright images too
STEPS = 32  # colours of a path through time
SIDE = 288  # the longer side of an image that stands alone


def image_strip(images, *, captions=None, title="", low=0.0, high=1.0, height=56, width=WIDTH):
    """Images in a row, or in as many as ``width`` asks for, each over its caption -> Drawing.

    ``images``: each (h, w) of grey or (h, w, 3) of red, green, blue; bytes as they are, other numbers from
    ``low``, black, to ``high``.  All are drawn ``height`` high.  ``captions``: their words, 0, 1, 2... if
    None.  E.g. the canvases of DRAW, or glimpses.  TypeError or ValueError for what is no image.
    """
    images = [_bytes(image, low, high, "image_strip") for image in images]
    if not images:
        raise ValueError("image_strip: at least one image expected, got none")
    captions = [str(i) for i in range(len(images))] if captions is None else [str(c) for c in captions]
    if len(captions) != len(images):
        raise ValueError(f"image_strip: captions must be {len(images)} words, got {len(captions)}")
    marks, top = heading(0, width, title)
    x = 0.0
    for image, caption in zip(images, captions):
        across = max(1, round(height * image.shape[1] / image.shape[0]))
        said = cut(caption, max(across, 6 * SIZE))
        slot = max(across, room(said))
        if x > 0 and x + slot > width:
            x, top = 0.0, top + height + SIZE + 12
        marks.append(Pixels(round(x + (slot - across) / 2), top, across, height, image))
        marks.append(Text(x + slot / 2, top + height + SIZE + 3, said))
        x += slot + GAP
    told = f"{len(images)} images: {', '.join(captions)}"
    return Drawing(width, top + height + SIZE + 8, tuple(marks), title or "Images", told)


def path_on_image(points, image, *, sizes=None, title="", low=0.0, high=1.0, steps=None):
    """Where something went over an image: a line from point to point, dark to bright in time -> Drawing.

    ``points`` (n, 2): column and row in pixels of ``image``, whose first pixel has its centre at (0, 0), its
    edge at -0.5.  ``image``: as those of ``image_strip``.  ``sizes``: n numbers or one; the side of a square
    that is drawn around each point, in pixels, e.g. what a glimpse saw.  ``steps``: what the first and the
    last point are called on the scale; 0 and n - 1 if None.  Points outside are drawn at the image's edge.
    """
    image = _bytes(image, low, high, "path_on_image")
    points = _points(points, "path_on_image")
    count = len(points)
    if sizes is not None:
        sizes = on_host(sizes).astype(float)
        if sizes.shape not in ((), (count,)):
            raise ValueError(f"path_on_image: sizes must be one number or {count}, got shape {sizes.shape}")
        sizes = np.broadcast_to(sizes, (count,))
    rows, columns = image.shape[:2]
    unit = SIDE / max(rows, columns)
    width, height = unit * columns, unit * rows
    marks, top = heading(0, WIDTH, title)
    marks.append(Pixels(0, top, width, height, image))
    at = np.clip((points + 0.5) * unit, 0, (width, height)) + (0, top)
    colours = [to_hex(c) for c in SCALE[np.linspace(90, 255, max(count, 2)).astype(int)]]
    if sizes is not None:
        for (x, y), side, colour in zip(at, sizes * unit / 2, colours):
            xs = np.clip(np.array([x - side, x + side, x + side, x - side, x - side]), 0, width)
            ys = np.clip(np.array([y - side, y - side, y + side, y + side, y - side]), top, top + height)
            marks += [Line(xs, ys, CASING, 2.6, (), 0.8), Line(xs, ys, colour, 1.2)]
    marks.append(Line(at[:, 0], at[:, 1], CASING, 4.5))
    groups = np.array_split(np.arange(count - 1), min(STEPS, count - 1)) if count > 1 else []
    for group in groups:
        part = at[group[0] : group[-1] + 2]
        marks.append(Line(part[:, 0], part[:, 1], colours[group[0]], 2))
    for i in sorted({*range(count if count <= STEPS else 0), 0, count - 1}):
        here = [at[i, 0]], [at[i, 1]]
        marks += [Line(*here, CASING, 9), Line(*here, colours[i], 6)]
    first, last = (0, count - 1) if steps is None else steps
    bar = list(scale_bar(width + 8, top, height, str(first), str(last)))
    marks += [bar[0]._replace(pixels=SCALE[np.linspace(255, 90, 32).astype(int)][:, None]), *bar[1:]]
    told = f"{count} points over an image of {rows} by {columns} pixels"
    return Drawing(WIDTH, top + height + 8, tuple(marks), title or "Path on an image", told)


def strokes(points, lifted, *, title="", width=WIDTH, tallest=160):
    """Handwriting: the way of a pen on paper -> Drawing.

    ``points`` (n, 2): x to the right and y upwards, in any unit, alike in both directions.  ``lifted`` (n):
    whether the pen leaves the paper after the point.  A page that is much wider than high stays so.
    """
    points = _points(points, "strokes")
    lifted = on_host(lifted).astype(bool)
    if lifted.shape != (len(points),):
        raise ValueError(f"strokes: lifted must be ({len(points)}) truth values, got shape {lifted.shape}")
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.maximum(high - low, 1e-12)
    unit = min((width - 8) / span[0], tallest / span[1])
    marks, top = heading(0, width, title)
    xs, ys = 4 + (points[:, 0] - low[0]) * unit, top + 4 + (high[1] - points[:, 1]) * unit
    ends = np.flatnonzero(lifted[:-1]) + 1
    marks.append(Line(np.insert(xs, ends, np.nan), np.insert(ys, ends, np.nan)))
    bottom = top + 12 + min(tallest, span[1] * unit)
    told = f"{len(ends) + 1} strokes through {len(points)} points"
    return Drawing(width, bottom, tuple(marks), title or "Handwriting", told)


def _bytes(image, low, high, who):
    """``image`` as (h, w, 3) bytes; a NaN has the colour of what is missing."""
    image = on_host(image)
    if image.dtype.kind not in "biuf":
        raise TypeError(f"{who}: an image must hold real numbers, got {image.dtype}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
        raise ValueError(
            f"{who}: an image must be (h, w) or (h, w, 3), at least one of each, got {image.shape}"
        )
    if image.dtype != np.uint8:
        if not high > low:
            raise ValueError(f"{who}: high must be above low, {low}, got {high}")
        unit = np.clip((image.astype(float) - low) / (high - low), 0, 1)
        missing = np.isnan(unit)
        image = np.rint(255 * np.where(missing, 0, unit)).astype(np.uint8)
        if image.ndim == 2:
            image = np.where(missing[..., None], paint(np.array([np.nan])), image[..., None])
    return np.ascontiguousarray(
        np.broadcast_to(image[..., None] if image.ndim == 2 else image, (*image.shape[:2], 3))
    )


def _points(points, who):
    points = on_host(points).astype(float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(
            f"{who}: points must be (n, 2) finite numbers, at least one, got shape {points.shape}"
        )
    return points
