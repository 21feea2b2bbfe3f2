"""The colours of all pictures: one scale from dark to bright, paper, text and lines.

The scale runs from a dark indigo over blue-green to a pale yellow.  Its anchors are chroma and hue in
OKLab, where equal steps look equal; lightness grows linearly along the scale, so that the order of
numbers survives grey print and every kind of colour vision.  Its ends are neither as dark as the dark
paper nor as bright as the light one, so that the edge of a picture shows on both.

Text has the contrast of WCAG AA, 4.5 : 1, in both themes; a line has the 3 : 1 that it asks of graphics
on both papers with one colour, so that a drawing need not know where it will be shown.

Source: OKLab, Ottosson, "A perceptual color space for image processing", 2020; contrast, WCAG 2.2.
"""

import numpy as np

DARKEST, BRIGHTEST = 0.24, 0.935
# position on the scale, chroma, hue in degrees
ANCHORS = (
    (0.00, 0.075, 283.0),
    (0.30, 0.120, 262.0),
    (0.60, 0.105, 195.0),
    (0.85, 0.145, 125.0),
    (1.00, 0.105, 100.0),
)
MISSING = (214, 69, 80)  # a NaN: off the scale, so that it cannot be taken for a number

PAPER = {"light": "#ffffff", "dark": "#15181e"}
BAND = {"light": "#f4f5f8", "dark": "#1d2129"}  # behind what is set apart
TEXT = {"light": "#1c2029", "dark": "#e4e7ec"}
SOFT = {"light": "#596170", "dark": "#a3abb8"}  # captions
RULE = {"light": "#d5d9e0", "dark": "#363c47"}  # hairlines, which carry no meaning
LINES = ("#2f7fc4", "#c2571a", "#3b8a4a", "#a557b0")


def oklab_to_srgb(lab):
    """(..., 3) lightness, a, b -> (..., 3) sRGB in 0..1, cut off where sRGB ends."""
    lightness, a, b = np.moveaxis(np.asarray(lab, float), -1, 0)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    linear = np.clip(np.stack([red, green, blue], axis=-1), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _scale(size=256):
    """The scale at ``size`` points, (size, 3) bytes."""
    position, chroma, hue = np.array(ANCHORS).T
    at, radians = np.linspace(0, 1, size), np.deg2rad(hue)
    a = np.interp(at, position, chroma * np.cos(radians))
    b = np.interp(at, position, chroma * np.sin(radians))
    lab = np.stack([DARKEST + (BRIGHTEST - DARKEST) * at, a, b], axis=-1)
    return np.rint(255 * oklab_to_srgb(lab)).astype(np.uint8)


SCALE = _scale()


def paint(unit):
    """Numbers in 0..1, any shape -> bytes of the same shape and 3; NaN becomes MISSING."""
    missing = np.isnan(unit)
    index = np.rint(255 * np.where(missing, 0.0, unit)).astype(int)
    return np.where(missing[..., None], np.uint8(MISSING), SCALE[index])


def of_hex(colour):
    """ "#rrggbb" -> (red, green, blue), each 0..255."""
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def to_hex(colour):
    """(red, green, blue), each 0..255 -> "#rrggbb"."""
    return "#" + bytes(int(c) for c in colour).hex()


def contrast(one, other):
    """Contrast of two "#rrggbb", 1 to 21, as WCAG defines it."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour):
    srgb = np.array(of_hex(colour)) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
