"""Parallel text: one sentence a line, line by line the same sentence in two or more files.

Source: Elliott et al., "Multi30K: Multilingual English-German Image Descriptions", arXiv:1605.00459.
"""

from .raw_file import Damaged, contents, lines_of, text_of


def read_parallel(*paths):
    """The sentences of each file, a tuple of lists of equal length; files plain or gz, UTF-8.

    TypeError with fewer than two paths; Damaged if a file is no text or the lengths differ.
    """
    if len(paths) < 2:
        raise TypeError(f"read_parallel: two paths or more expected, got {len(paths)}")
    found = tuple(parse_lines(contents(path), str(path)) for path in paths)
    for path, lines in zip(paths, found):
        if len(lines) != len(found[0]):
            raise Damaged(unequal(paths[0], len(found[0]), path, len(lines)))
    return found


def parse_lines(data, name):
    """The lines of a file that errors call ``name``, a list of strings without line ends."""
    if not data:
        raise Damaged(f"{name}, line 1: the file is empty")
    return lines_of(text_of(data, name))


def unequal(first, lines, second, others):
    """The words for two files that do not go together."""
    ends = sorted([(lines, first), (others, second)])
    (line, shorter), (end, longer) = ends
    return f"{shorter}, line {line}: the file ends here, {longer} only with line {end}: they must be equal"
