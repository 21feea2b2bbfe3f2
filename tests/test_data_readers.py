"""Readers of data files: what they return, and where in a damaged file they say that it is damaged."""

import gzip
import io
import zipfile
from itertools import pairwise

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis")
from data_files import FORM, IMAGES, INK, LABELS, LENGTHS, POINTS, STORY, idx, ink, npz  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from scratchattn.tasks import readers  # noqa: E402
from scratchattn.tasks.readers import Damaged  # noqa: E402
from scratchattn.tasks.readers.raw_file import lines_of, text_of, unpacked  # noqa: E402

# ---- what they return -------------------------------------------------------


def test_babi_stories():
    first, second = readers.parse_babi(STORY.encode(), "qa.txt")
    assert (first.line, second.line) == (1, 6)
    assert first.entries[1] == readers.Statement(2, "John took the apple there.")
    assert first.questions == (
        readers.Question(3, "Where is Mary?", ("bathroom",), (1,)),
        readers.Question(5, "What is John carrying?", ("apple", "milk"), (2, 4)),
    )


def test_babi_with_windows_line_ends_is_the_same():
    assert readers.parse_babi(STORY.replace("\n", "\r\n").encode(), "a") == readers.parse_babi(
        STORY.encode(), "b"
    )


@pytest.mark.parametrize("packed", [False, True])
def test_idx_from_files(tmp_path, packed):
    pack = gzip.compress if packed else bytes
    (tmp_path / "images").write_bytes(pack(idx(IMAGES)))
    (tmp_path / "labels").write_bytes(pack(idx(LABELS)))
    images, labels = readers.read_images_and_labels(tmp_path / "images", tmp_path / "labels")
    assert np.array_equal(images, IMAGES) and np.array_equal(labels, LABELS)
    assert images.dtype == labels.dtype == np.uint8


@pytest.mark.parametrize("code, dtype", [(9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
def test_idx_of_every_kind_of_number_comes_in_the_machines_order(code, dtype):
    array = np.array([[1, -2, 100]], dtype)
    found = readers.parse_idx(idx(array, code), "numbers")
    assert np.array_equal(found, array) and found.dtype.isnative


def test_parallel_text_keeps_unusual_separators_inside_a_sentence(tmp_path):
    (tmp_path / "t.en").write_bytes("one\u2028two\x0cthree\nfour\n".encode())
    (tmp_path / "t.de").write_bytes(gzip.compress(b"eins zwei drei\r\nvier"))
    english, german = readers.read_parallel(tmp_path / "t.en", tmp_path / "t.de")
    assert english == ["one\u2028two\x0cthree", "four"] and german == ["eins zwei drei", "vier"]


def test_strokes_and_their_sequences():
    found = readers.parse_strokes(npz(train_points=POINTS, train_lengths=LENGTHS), "pen.npz")
    assert list(found) == ["train"]
    assert [s.tolist() for s in found["train"].sequences] == [POINTS[:2].tolist(), POINTS[2:].tolist()]


def test_pen_line_as_offsets():
    line = readers.parse_pen_line(INK, "a.xml")
    assert line.points.tolist() == [[0, 0, 0], [3, -2, 1], [0, 12, 1]]
    assert line.times.tolist() == [0.0, 0.01, 0.5]
    line = readers.parse_pen_line(ink([(-3, 0, 0.1 + 0.2), (0, 0, 1e-5)]), "a.xml")  # as Python writes them
    assert line.times.tolist() == [0.1 + 0.2, 1e-5] and line.points[1].tolist() == [3, 0, 1]


def test_pen_line_with_all_that_the_original_files_hold():
    board = (
        b'<WhiteboardDescription>\n<SensorLocation corner="top_left"/>\n'
        b'<DiagonallyOppositeCoords x="6912" y="8798"/>\n</WhiteboardDescription>\n'
    )
    whole = INK.replace(b"<StrokeSet>", board + b"<StrokeSet>")
    whole = whole.replace(b"<Stroke>", b'<Stroke colour="black" start_time="769.05" end_time="769.64">')
    assert np.array_equal(readers.parse_pen_line(whole, "a").points, readers.parse_pen_line(INK, "b").points)


def test_transcription():
    assert readers.parse_transcription(FORM, "a.txt") == ("As she spoke", "to him.")


def test_text_without_its_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9\r\n")
    assert readers.read_text(tmp_path / "a.txt") == "café\n"


# ---- properties -------------------------------------------------------------

words = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\n\r\t,", exclude_categories=("Z", "C")), min_size=1
)


@st.composite
def stories(draw):
    entries, statements = [], []
    for number in range(1, draw(st.integers(2, 8)) + 1):
        if statements and draw(st.booleans()):
            supports = draw(st.lists(st.sampled_from(statements), max_size=3))
            answer = draw(st.lists(words, min_size=1, max_size=3))
            entries.append(readers.Question(number, draw(words), tuple(answer), tuple(supports)))
        else:
            entries.append(readers.Statement(number, draw(words)))
            statements.append(number)
    if type(entries[-1]) is readers.Statement:
        entries.append(readers.Question(len(entries) + 1, "?", ("yes",), ()))
    return entries


def written(entry):
    if type(entry) is readers.Statement:
        return f"{entry.number} {entry.text}\n"
    return f"{entry.number} {entry.text}\t{','.join(entry.answer)}\t{' '.join(map(str, entry.supports))}\n"


@given(st.lists(stories(), min_size=1, max_size=4))
def test_babi_reads_what_was_written(whole):
    data = "".join(written(entry) for story in whole for entry in story).encode()
    found = readers.parse_babi(gzip.decompress(gzip.compress(data)), "qa.txt")
    assert [list(story.entries) for story in found] == whole
    for cut in range(1, len(data), max(1, len(data) // 20)):  # a file cut inside a line is never whole
        if data[cut - 1 : cut] != b"\n":
            with pytest.raises(Damaged):
                readers.parse_babi(data[:cut], "qa.txt")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.data())
def test_idx_reads_what_was_written_and_no_byte_more_or_less(shape, data):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    raw = idx(array)
    assert np.array_equal(readers.parse_idx(raw, "a"), array)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(Damaged, match=f"byte {cut}"):
        readers.parse_idx(raw[:cut], "a")
    with pytest.raises(Damaged, match="followed by something else"):
        readers.parse_idx(raw + b"\0", "a")


@given(st.text(max_size=60), st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any))
def test_the_parts_of_a_text_are_all_of_it(text, weights):
    fractions = [weight / sum(weights) for weight in weights]
    parts = readers.split_text(text, fractions)
    assert "".join(parts) == text and len(parts) == len(weights)
    for part, fraction in zip(parts, fractions):
        assert abs(len(part) - fraction * len(text)) <= 1


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_gz_of_several_members_and_padding(data, cuts):
    bounds = [0, *sorted(cuts), len(data)]
    packed = b"".join(gzip.compress(data[a:b]) for a, b in pairwise(bounds))
    assert unpacked(packed, "a.gz") == data[: bounds[-1]] == unpacked(packed + b"\0\0\0", "a.gz")


PARSERS = {
    "babi": (readers.parse_babi, STORY.encode()),
    "idx": (readers.parse_idx, idx(IMAGES)),
    "labels": (readers.parse_labels, idx(LABELS)),
    "lines": (readers.parse_lines, b"a\nb\n"),
    "text": (readers.parse_text, b"a"),
    "strokes": (readers.parse_strokes, npz(train_points=POINTS, train_lengths=LENGTHS)),
    "ink": (readers.parse_pen_line, INK),
    "form": (readers.parse_transcription, FORM),
    "gz": (unpacked, gzip.compress(STORY.encode(), mtime=0)),
}


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_harm_of_any_sort_is_read_or_named_and_nothing_else_is_raised(name, data):
    parse, whole = PARSERS[name]
    harmed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(harmed)))
        length = data.draw(st.integers(0, 8))
        harmed[at : at + length] = data.draw(st.binary(max_size=8))
    try:
        parse(bytes(harmed), "harmed")
    except Damaged as wrong:
        assert str(wrong).startswith("harmed") and "\n" not in str(wrong)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.binary(max_size=120))
def test_anything_else_is_read_or_named(name, data):
    try:
        PARSERS[name][0](data, "foreign")
    except Damaged as wrong:
        assert str(wrong).startswith("foreign") and "\n" not in str(wrong)


def test_every_flipped_bit_of_a_gz_or_an_npz_is_noticed_or_harmless():
    for name in ("gz", "strokes"):
        parse, whole = PARSERS[name]
        truth, noticed = parse(whole, "whole"), 0
        for bit in range(0, 8 * len(whole), 7):
            harmed = bytearray(whole)
            harmed[bit // 8] ^= 1 << bit % 8
            try:
                found = parse(bytes(harmed), "harmed")
            except Damaged:
                noticed += 1
            else:  # the name or date in a header, or no gz any more and so other bytes
                if name == "strokes":
                    assert all(np.array_equal(a, b) for a, b in zip(found["train"], truth["train"]))
                else:
                    assert found == truth or found == bytes(harmed)
        assert noticed > len(whole) / 2


# ---- planted damage ---------------------------------------------------------


def replaced(old, new):
    assert STORY.count(old) == 1
    return STORY.replace(old, new).encode()


BAD_BABI = {
    "a number that jumps": (replaced("4 John", "5 John"), "line 4: the line's number must be 4 or 1, got 5"),
    "a first number": (b"2 Mary moved.\n", "line 1: the line's number must be 1, got 2"),
    "a number twice": (replaced("2 John", "1 John"), "line 1: the story ends without a question"),
    "no number": (replaced("2 John", "John"), "line 2: a line begins with its number and a space, got 'John"),
    "an endless number": (b"1" * 9999 + b" Mary\n", "line 1: a line begins with its number"),
    "a number alone": (
        replaced(" John took the milk.", ""),
        "line 4: a line begins with|line 4: nothing follows",
    ),
    "an empty line": (
        replaced("4 John", "\n4 John"),
        "line 4: a line begins with its number and a space, got ''",
    ),
    "a fact that comes later": (
        replaced("bathroom\t1", "bathroom\t4"),
        "line 3: supporting fact 4 is no statement",
    ),
    "a fact that is a question": (replaced("\t2 4", "\t2 3"), "line 5: supporting fact 3 is no statement"),
    "a fact of another story": (
        replaced("bedroom\t1", "bedroom\t4"),
        "line 7: supporting fact 4 is no statement",
    ),
    "a fact that is a word": (
        replaced("\t2 4", "\t2 x"),
        "line 5: supporting facts are numbers of lines, got 'x'",
    ),
    "no answer": (replaced("bathroom\t1", "\t1"), "line 3: the answer is empty"),
    "half an answer": (replaced("apple,milk", "apple,"), "line 5: the answer is empty or lacks a word"),
    "no question": (replaced("Where is Mary? \t", "\t"), "line 3: the question is empty"),
    "two fields": (replaced("bathroom\t1", "bathroom"), "line 3: a question has 3 fields .* got 2"),
    "cut between lines": (
        STORY.encode()[: -len("2 Where will sumit go?\tbedroom\t1\n")],
        "line 6: the story ends without a question",
    ),
    "cut inside a line": (STORY.encode()[:-1], "line 7: the last line has no end"),
    "nothing": (b"", "line 1: the file is empty"),
    "no UTF-8": (replaced("apple there", "\x00"), "line 2, byte 46: a zero byte"),
    "latin-1": (STORY.replace("milk.", "caf\xe9.").encode("latin-1"), "line 4, byte 107: 0xe9 is not UTF-8"),
}


@pytest.mark.parametrize("case", BAD_BABI)
def test_damaged_babi(case):
    data, told = BAD_BABI[case]
    with pytest.raises(Damaged, match=f"^qa1_train.txt, ({told})"):
        readers.parse_babi(data, "qa1_train.txt")


RAW = idx(IMAGES)
BAD_IDX = {
    "magic": (b"\1" + RAW[1:], "byte 0: an idx file begins with 0 0, a kind and axes, got 01 00 08 03"),
    "kind": (RAW[:2] + b"\x0a" + RAW[3:], "byte 0: .* got 00 00 0a 03"),
    "no axes": (RAW[:3] + b"\0", "byte 0: .* got 00 00 08 00"),
    "three bytes": (RAW[:3], "byte 3: the file ends inside the 4 bytes"),
    "cut in the lengths": (RAW[:11], "byte 11: the file ends inside the lengths of its 3 axes"),
    "cut in the numbers": (RAW[:-1], "byte 39: 2 x 3 x 4 numbers end at byte 40: the file is cut short"),
    "too long": (RAW + b"x", "byte 41: .* followed by something else"),
    "lengths beyond all memory": (RAW[:4] + b"\xff" * 12, "byte 16: 4294967295 x .* cut short"),
}


@pytest.mark.parametrize("case", BAD_IDX)
def test_damaged_idx(case):
    data, told = BAD_IDX[case]
    with pytest.raises(Damaged, match=f"^train-images, {told}"):
        readers.parse_idx(data, "train-images")


def test_labels_out_of_range_and_of_another_number(tmp_path):
    with pytest.raises(Damaged, match=r"^labels, byte 9: label 1 must be in 0\.\.9, got 10$"):
        readers.parse_labels(idx(np.array([9, 10], np.uint8)), "labels")
    assert readers.parse_labels(idx(np.array([9, 26], np.uint8)), "letters", classes=27)[1] == 26
    with pytest.raises(Damaged, match="byte 2: labels must be bytes on 1 axis, got uint8 on 3"):
        readers.parse_labels(RAW, "labels")
    (tmp_path / "i").write_bytes(RAW)
    (tmp_path / "l").write_bytes(idx(LABELS[:1]))
    with pytest.raises(Damaged, match="1 labels for the 2 images of"):
        readers.read_images_and_labels(tmp_path / "i", tmp_path / "l")
    with pytest.raises(Damaged, match="images must be bytes on 3 axes, got uint8 on 1"):
        readers.read_images_and_labels(tmp_path / "l", tmp_path / "l")


def test_a_gz_that_is_cut_or_harmed_says_where():
    whole = gzip.compress(np.random.default_rng(0).bytes(200_000))
    with pytest.raises(
        Damaged, match=r"^a\.gz, byte 100000: the gz stream ends early, after \d\d,\d{3} unpacked"
    ):
        unpacked(whole[:100_000], "a.gz")
    harmed = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
    with pytest.raises(
        Damaged, match=r"^a\.gz, near byte \d+: the gz stream is damaged: .*incorrect data check"
    ):
        unpacked(harmed, "a.gz")
    with pytest.raises(Damaged, match=r"near byte .*the gz stream is damaged"):
        unpacked(whole + b"more", "a.gz")


def test_a_bomb_is_not_unpacked():
    with pytest.raises(Damaged, match="unpacks to more than 1,000 bytes"):
        unpacked(gzip.compress(bytes(10**6)), "bomb.gz", most=1000)
    with pytest.raises(Damaged, match="more than 1,000 bytes"):
        unpacked(bytes(10**6), "large", most=1000)


def test_unequal_lines(tmp_path):
    (tmp_path / "t.en").write_text("a\nb\nc\n")
    (tmp_path / "t.de").write_text("a\nb\n")
    for order in (("t.en", "t.de"), ("t.de", "t.en")):
        with pytest.raises(Damaged, match=r"t\.de, line 2: the file ends here, .*t\.en only with line 3"):
            readers.read_parallel(*(tmp_path / name for name in order))
    with pytest.raises(TypeError, match="read_parallel: two paths or more expected, got 1"):
        readers.read_parallel(tmp_path / "t.en")


def test_text_that_is_none():
    with pytest.raises(Damaged, match=r"^a, line 3, byte 5: 0xff is not UTF-8 here"):
        text_of(b"a\nb\nc\xff\n", "a")
    with pytest.raises(Damaged, match=r"^a, line 2, byte 2: a zero byte: this is no text"):
        text_of(b"a\n\0", "a")
    assert lines_of("a\n\nb") == ["a", "", "b"] and lines_of("a\n") == ["a"]


@pytest.mark.parametrize("fractions", [(0.5,), (0.5, 0.6), (1.5, -0.5), (float("nan"), 1), ()])
def test_fractions_that_are_none(fractions):
    with pytest.raises(ValueError, match="split_text: fractions must be at least 0 and sum to 1, got"):
        readers.split_text("text", fractions)


def changed(array, at, value):
    array = np.array(array)
    array[at] = value
    return array


BAD_STROKES = {
    "pen_up is 3": (changed(POINTS, (3, 2), 3), LENGTHS, "train_points, row 3: pen_up must be 0 or 1, got"),
    "not a number": (
        changed(POINTS.astype(float), (2, 0), np.nan),
        LENGTHS,
        "train_points, row 2: numbers must be finite",
    ),
    "lengths that do not sum": (POINTS, LENGTHS + 1, "train_lengths: they must sum to the 5 points, got 7"),
    "a length of zero": (POINTS, np.array([5, 0]), "train_lengths, row 1: a sequence has at least one point"),
    "the pen stays": (changed(POINTS, (1, 2), 0), LENGTHS, "train_points, row 1: the pen leaves at the end"),
    "two columns": (POINTS[:, :2], LENGTHS, r"train_points: numbers \(n, 3\) expected, got int16 \(5, 2\)"),
    "lengths that are floats": (
        POINTS,
        LENGTHS * 1.0,
        r"train_lengths: integers \(m\) expected, got float64",
    ),
    "lengths that wrap around": (POINTS, np.array([2**63 - 1, 2**63 - 1, 7]), "train_lengths: they must sum"),
    "points that are words": (POINTS.astype(str), LENGTHS, "train_points: numbers .* expected"),
}


@pytest.mark.parametrize("case", BAD_STROKES)
def test_damaged_strokes(case):
    points, lengths, told = BAD_STROKES[case]
    with pytest.raises(Damaged, match=f"^pen.npz, {told}"):
        readers.parse_strokes(npz(train_points=points, train_lengths=lengths), "pen.npz")


class Armed:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_pickles_in_an_npz_are_refused_unread():
    armed = npz(train_points=np.array([Armed()], object), train_lengths=LENGTHS)
    with pytest.raises(
        Damaged, match=r"^pen.npz, train_points: plain numbers .* got object: nothing of it was read"
    ):
        readers.parse_strokes(armed, "pen.npz")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train_points.npy", b"\x80\x04cos\nsystem\n.")
    with pytest.raises(Damaged, match=r"^pen.npz, train_points: no npy array"):
        readers.parse_strokes(file.getvalue(), "pen.npz")


def test_an_npz_whose_header_promises_more_than_it_has():
    for shape, told in (((10**12, 3), "has 24000000000000 bytes, got 24"), ((1, 1), "has 8 bytes, got 24")):
        file, member = io.BytesIO(), io.BytesIO()
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("train_points.npy", member.getvalue() + bytes(24))
        with pytest.raises(Damaged, match=told):
            readers.parse_strokes(file.getvalue(), "pen.npz")


@pytest.mark.parametrize(
    "arrays, told",
    [
        (
            {"train_points": POINTS},
            "a <split>_points and <split>_lengths for each split expected, got train_p",
        ),
        ({"points": POINTS, "lengths": LENGTHS}, "expected, got lengths, points"),
        ({}, "expected, got nothing"),
    ],
)
def test_an_npz_of_other_arrays(arrays, told):
    with pytest.raises(Damaged, match=told):
        readers.parse_strokes(npz(**arrays), "pen.npz")


LAUGHS = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'
GOOD = [(1, 2, 0.0)]
BAD_INK = {
    "a bomb of entities": (ink(GOOD, before=LAUGHS), "line 2: a document type"),
    "a foreign entity": (
        ink(GOOD, before='<!DOCTYPE a SYSTEM "file:///etc/passwd">\n'),
        "line 2: a document type",
    ),
    "another document": (ink(GOOD, root="svg"), "line 2: the document must be a Whiteboard.* got svg"),
    "cut short": (INK[:-40], r"line \d+: no whole XML document: "),
    "a word for a number": (
        ink(GOOD, [("one", 2, 0.0)]),
        r"line 8: a Point has integers x and y and a time, got \{",
    ),
    "no time": (INK.replace(b' time="0.01"', b""), "line 6: a Point has integers"),
    "infinite": (INK.replace(b'time="0.01"', b'time="inf"'), "line 6: a Point has integers"),
    "beyond all boards": (INK.replace(b'x="13"', b'x="9999999999"', 1), "line 6: a Point has integers"),
    "a stroke without points": (ink(GOOD, []), r"line \d: a Stroke without a Point"),
    "no stroke": (ink(), r"line \d: no Stroke in it"),
    "points outside strokes": (
        INK.replace(b"<Stroke>", b"<Other>").replace(b"</Stroke>", b"</Other>"),
        "line 5: a Point outside a Stroke",
    ),
}


@pytest.mark.parametrize("case", BAD_INK)
def test_damaged_ink(case):
    data, told = BAD_INK[case]
    with pytest.raises(Damaged, match=f"^a01-000u-01.xml, {told}"):
        readers.parse_pen_line(data, "a01-000u-01.xml")


def test_transcriptions_without_words():
    with pytest.raises(Damaged, match="line 3: the file ends without a line 'CSR:'"):
        readers.parse_transcription(b"OCR:\n\ntext\n", "a.txt")
    with pytest.raises(Damaged, match="line 3: no text follows 'CSR:'"):
        readers.parse_transcription(b"OCR:\n\nCSR:\n\n", "a.txt")


def test_paths_that_are_none(tmp_path):
    with pytest.raises(TypeError, match="contents: path must be a path, got int"):
        readers.read_babi(3)
    with pytest.raises(FileNotFoundError):
        readers.read_text(tmp_path / "nowhere")
