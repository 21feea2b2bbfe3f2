"""Readers of the field's file formats, one file each: from a file to arrays or records.

Nothing here touches a network, and nothing that is read is executed.  Each format has

    read_...(path)          the whole file, plain or gz, checked to its last byte
    parse_...(data, name)   the same from bytes; ``name`` is what an error calls the file

A file that is damaged, truncated or foreign raises ``Damaged``, which names the file and the line
or byte.  Where the files of a data set are, ``scratchattn.tasks.store`` knows.
"""

from .babi import Question, Statement, Story, parse_babi, read_babi
from .iam_ondb import PenLine, parse_pen_line, parse_transcription, read_pen_line, read_transcription
from .idx import parse_idx, parse_labels, read_idx, read_images_and_labels
from .parallel_text import parse_lines, read_parallel
from .plain_text import parse_text, read_text, split_text
from .raw_file import Damaged, contents
from .strokes import Strokes, parse_strokes, read_strokes

__all__ = [
    "Damaged",
    "PenLine",
    "Question",
    "Statement",
    "Story",
    "Strokes",
    "contents",
    "parse_babi",
    "parse_idx",
    "parse_labels",
    "parse_lines",
    "parse_pen_line",
    "parse_strokes",
    "parse_text",
    "parse_transcription",
    "read_babi",
    "read_idx",
    "read_images_and_labels",
    "read_parallel",
    "read_pen_line",
    "read_strokes",
    "read_text",
    "read_transcription",
    "split_text",
]
