"""The kinds of data files: how each is recognised by name, where it is put, and how it is read.

A kind's ``read(data, name)`` reads a file to its last byte and returns what it counted, as a dict;
``together(counts)`` looks at all files of a set, file -> what ``read`` said: it raises Damaged if
they cannot belong together, and returns sentences about what is odd.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from .. import readers
from ..readers import Damaged
from ..readers.babi import FILE_NAME as BABI
from ..readers.parallel_text import unequal

IDX = re.compile(r"(.*?)[.-]?(images|labels)[.-]idx[13][.-]ubyte")
LANGUAGE = re.compile(r"(.+)\.([a-z]{2,3})")
ENDINGS = {"txt", "xml", "npz", "zip", "gz", "tar", "tgz", "md", "py", "csv", "tsv", "png", "pdf", "bz", "xz"}
FORM = re.compile(r"([a-z]\d\d-\d{3}[a-z]?)(?:-(\d\d))?")  # of IAM-OnDB, and the line in it
DOCUMENT = re.compile(r"(licen[cs]e|copying|readme|source|citation|notice)(\.(txt|md))?", re.I)


class Kind(NamedTuple):
    title: str
    form: str  # what its files are called
    recognised: Callable  # by the name without .gz -> bool
    read: Callable
    together: Callable
    depth: int = 1  # parts of the path that are kept in the store


def bare(place):
    """The name of a file without its folder and without .gz."""
    return PurePosixPath(place).name.removesuffix(".gz")


def is_document(place):
    """Whether a file is words about the data, which are kept beside them: a licence, a source."""
    return DOCUMENT.fullmatch(bare(place)) is not None


def _babi(data, name):
    stories = readers.parse_babi(data, name)
    return {"stories": len(stories), "questions": sum(len(story.questions) for story in stories)}


def _idx(data, name):
    if "labels" in bare(name):
        return {"labels": len(readers.parse_labels(data, name))}
    images = readers.parse_idx(data, name)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise Damaged(f"{name}, byte 2: images must be bytes on 3 axes, got {images.dtype} on {images.ndim}")
    return dict(zip(("images", "rows", "columns"), images.shape))


def _images_have_labels(counts):
    odd, pairs = [], {}
    for place, counted in counts.items():
        kind = "labels" if "labels" in counted else "images"
        pairs.setdefault(IDX.fullmatch(bare(place)).group(1), {})[kind] = place, counted[kind]
    for pair in pairs.values():
        if len(pair) == 1:
            ((kind, (place, _)),) = pair.items()
            odd.append(f"{place} has no {'images' if kind == 'labels' else 'labels'} beside it")
        elif pair["images"][1] != pair["labels"][1]:
            (images, n), (labels, m) = pair["images"], pair["labels"]
            raise Damaged(f"{labels}: {m} labels for the {n} images of {images}")
    return odd


def paired(places):
    """Whether two of the places are one text in two languages."""
    stems = {(side[1], side[2]) for side in map(LANGUAGE.fullmatch, map(bare, places)) if side}
    return len({stem for stem, _ in stems}) < len(stems)


def _lines(data, name):
    return {"lines": len(readers.parse_lines(data, name))}


def _sides_are_equal(counts):
    odd, stems = [], {}
    for place in sorted(counts):
        stems.setdefault(LANGUAGE.fullmatch(bare(place)).group(1), []).append(place)
    for first, *others in stems.values():
        for other in others:
            if counts[other] != counts[first]:
                raise Damaged(unequal(first, counts[first]["lines"], other, counts[other]["lines"]))
        if not others:
            odd.append(f"{first} has no other language beside it")
    return odd


def _text(data, name):
    return {"characters": len(readers.parse_text(data, name))}


def _strokes(data, name):
    return {split: len(found.lengths) for split, found in readers.parse_strokes(data, name).items()}


def _iam_ondb(data, name):
    if bare(name).endswith(".txt"):
        return {"lines": len(readers.parse_transcription(data, name))}
    points = readers.parse_pen_line(data, name).points
    return {"strokes": int(points[:, 2].sum()), "points": len(points)}


def _strokes_have_words(counts):
    forms = {bare(place).removesuffix(".txt"): n["lines"] for place, n in counts.items() if "lines" in n}
    odd = []
    for place in sorted(counts):
        if "strokes" in counts[place]:
            form, line = FORM.fullmatch(bare(place).removesuffix(".xml")).groups()
            if int(line) > forms.get(form, 0):
                odd.append(f"{place} has no words: {form}.txt is missing or has no line {int(line)}")
    return odd


def _is_iam_ondb(name):
    stem, _, ending = name.rpartition(".")
    form = FORM.fullmatch(stem)
    return form is not None and ending == ("xml" if form.group(2) else "txt")


def _is_side(name):
    side = LANGUAGE.fullmatch(name)
    return side is not None and side.group(2) not in ENDINGS


def _alone(counts):
    return []


KINDS = {
    "babi": Kind("bAbI stories and questions", "qa1_..._train.txt", BABI.fullmatch, _babi, _alone, depth=2),
    "mnist": Kind(
        "images and labels 0..9 in idx files",
        "train-images-idx3-ubyte, train-labels-idx1-ubyte",
        IDX.fullmatch,
        _idx,
        _images_have_labels,
    ),
    "strokes": Kind("pen strokes in npz files", "*.npz", lambda n: n.endswith(".npz"), _strokes, _alone),
    "iam_ondb": Kind(
        "IAM-OnDB handwriting: lineStrokes XML and ascii text",
        "a01-000u-01.xml, a01-000u.txt",
        _is_iam_ondb,
        _iam_ondb,
        _strokes_have_words,
    ),
    "parallel": Kind("parallel text", "train.en and train.de", _is_side, _lines, _sides_are_equal),
    "text": Kind("plain text", "*.txt", lambda n: n.endswith(".txt"), _text, _alone),
}
SPECIFIC = [name for name in KINDS if name != "text"]  # text is what nothing else claims
