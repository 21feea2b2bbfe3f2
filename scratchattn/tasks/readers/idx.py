"""The idx format, MNIST's: arrays of up to 255 axes, big-endian, with a header that says which.

    byte 0, 1   zero
    byte 2      kind of number: 8 unsigned byte, 9 byte, 11 and 12 integers, 13 and 14 floats
    byte 3      number of axes
    then        the length of each axis, 4 bytes each, and the numbers, the last axis fastest

Source: LeCun, Cortes, Burges, the description of the MNIST files.
"""

import math
import struct

import numpy as np

from .raw_file import Damaged, contents

KINDS = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path):
    """The array of a file, in the machine's byte order, read-only where no byte had to be swapped."""
    return parse_idx(contents(path), str(path))


def read_images_and_labels(images, labels, classes=10):
    """Images (n, rows, columns) uint8 and labels (n) uint8 in 0..classes-1, from a file each."""
    found, told = read_idx(images), parse_labels(contents(labels), str(labels), classes)
    if found.ndim != 3 or found.dtype != np.uint8:
        raise Damaged(f"{images}, byte 2: images must be bytes on 3 axes, got {found.dtype} on {found.ndim}")
    if len(found) != len(told):
        raise Damaged(f"{labels}: {len(told)} labels for the {len(found)} images of {images}")
    return found, told


def parse_idx(data, name):
    """``read_idx`` of the bytes of a file that errors call ``name``."""
    if len(data) < 4:
        raise Damaged(f"{name}, byte {len(data)}: the file ends inside the 4 bytes that begin an idx file")
    if data[:2] != b"\0\0" or data[2] not in KINDS or not data[3]:
        raise Damaged(
            f"{name}, byte 0: an idx file begins with 0 0, a kind and axes, got {data[:4].hex(' ')}"
        )
    axes, begin = data[3], 4 + 4 * data[3]
    if len(data) < begin:
        raise Damaged(f"{name}, byte {len(data)}: the file ends inside the lengths of its {axes} axes")
    shape = struct.unpack_from(f">{axes}I", data, 4)
    dtype = np.dtype(KINDS[data[2]])
    promised = begin + dtype.itemsize * math.prod(shape)
    if len(data) != promised:
        told = "cut short" if len(data) < promised else "followed by something else"
        lengths = " x ".join(map(str, shape))
        raise Damaged(
            f"{name}, byte {len(data)}: {lengths} numbers end at byte {promised}: the file is {told}"
        )
    array = np.frombuffer(data, dtype, offset=begin).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def parse_labels(data, name, classes=10):
    """Labels (n) uint8, each in 0..classes-1, from the bytes of an idx file."""
    labels = parse_idx(data, name)
    if labels.ndim != 1 or labels.dtype != np.uint8:
        raise Damaged(f"{name}, byte 2: labels must be bytes on 1 axis, got {labels.dtype} on {labels.ndim}")
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        i = int(wrong[0])
        raise Damaged(f"{name}, byte {8 + i}: label {i} must be in 0..{classes - 1}, got {labels[i]}")
    return labels
