"""Plain text: one long string, cut into training, validation and test parts by fractions of its length."""

from itertools import pairwise

from .raw_file import Damaged, contents, text_of


def read_text(path):
    """The characters of a UTF-8 file, plain or gz; line ends become ``\\n``."""
    return parse_text(contents(path), str(path))


def parse_text(data, name):
    """``read_text`` of the bytes of a file that errors call ``name``."""
    if not data:
        raise Damaged(f"{name}, byte 0: the file is empty")
    return text_of(data, name)


def split_text(text, fractions=(0.9, 0.05, 0.05)):
    """``text`` in consecutive parts of these fractions of its characters; together they are all of it.

    ValueError unless the fractions are not negative and sum to 1.
    """
    if any(not fraction >= 0 for fraction in fractions) or not abs(sum(fractions) - 1) < 1e-9:
        raise ValueError(f"split_text: fractions must be at least 0 and sum to 1, got {tuple(fractions)}")
    cuts = [*(round(sum(fractions[:i]) * len(text)) for i in range(len(fractions))), len(text)]
    return tuple(text[a:b] for a, b in pairwise(cuts))
