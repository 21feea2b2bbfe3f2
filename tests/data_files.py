"""Small data files of every kind, made on the spot, and where the real ones may be."""

import gzip
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
STORY = (
    "1 Mary moved to the bathroom.\n2 John took the apple there.\n3 Where is Mary? \tbathroom\t1\n"
    "4 John took the milk.\n5 What is John carrying?\tapple,milk\t2 4\n"
    "1 Sumit is tired.\n2 Where will sumit go?\tbedroom\t1\n"
)
IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([7, 2], np.uint8)
POINTS = np.array([[0, 0, 0], [3, -2, 1], [5, 1, 0], [0, 4, 0], [-1, 1, 1]], np.int16)
LENGTHS = np.array([2, 3], np.int32)
FORM = b"OCR:\n\nAs she spake\n\n\nCSR:\n\nAs she spoke\nto him.\n"


def idx(array, code=8):
    return bytes((0, 0, code, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def ink(*strokes, before="", root="WhiteboardCaptureSession"):
    body = "\n".join(
        "<Stroke>\n" + "\n".join(f'<Point x="{x}" y="{y}" time="{t}"/>' for x, y, t in stroke) + "\n</Stroke>"
        for stroke in strokes
    )
    head = f'<?xml version="1.0" encoding="ISO-8859-1"?>\n{before}'
    return f"{head}<{root}>\n<StrokeSet>\n{body}\n</StrokeSet>\n</{root}>\n".encode("latin-1")


INK = ink([(10, 20, 0.0), (13, 18, 0.01)], [(13, 30, 0.5)])

SMALL = {  # kind -> place in the store -> bytes
    "babi": {
        "en/qa1_single_train.txt": STORY.encode(),
        "en/qa1_single_test.txt.gz": gzip.compress(STORY.encode()),
    },
    "mnist": {
        "train-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES)),
        "train-labels-idx1-ubyte": idx(LABELS),
    },
    "strokes": {"pen.npz": npz(train_points=POINTS, train_lengths=LENGTHS)},
    "iam_ondb": {"a01-000u-01.xml": INK, "a01-000u-02.xml": INK, "a01-000u.txt": FORM},
    "parallel": {"train.en": b"one\ntwo\n", "train.de.gz": gzip.compress(b"eins\nzwei\n")},
    "text": {"verse.txt": b"To be, or not to be\n"},
}


def laid_out(folder, kind, name="given"):
    """A folder with the small files of ``kind`` in it."""
    for place, data in SMALL[kind].items():
        path = folder / name / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / name


def real_data():
    """The folder of the real data sets; the test is skipped where there is none."""
    told = os.environ.get("SCRATCHATTN_DATA")
    for folder in (Path(told) if told else None, ROOT.parent / "shared" / "data"):
        if folder and (folder / "mnist").is_dir():
            return folder
    pytest.skip("no real data: set SCRATCHATTN_DATA")
