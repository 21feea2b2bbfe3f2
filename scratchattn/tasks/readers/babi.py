"""bAbI tasks, version 1.2: stories with questions, answers of one or more words, and supporting facts.

    1 Mary moved to the bathroom.
    2 John went to the hallway.
    3 Where is Mary? <tab> bathroom <tab> 1

Lines of a story are numbered from 1; a line with the number 1 begins the next story.  A question
is followed, after tabs, by its answer, whose words are separated by commas, and by the numbers of
the statements that support it.  A file is ``qa<task>_<title>_<train or test>.txt``, in a folder
named after the language and size: en, en-10k, hn, shuffled...

Source: Weston et al., "Towards AI-Complete Question Answering", arXiv:1502.05698.
"""

import re
from typing import NamedTuple

from .raw_file import Damaged, contents, lines_of, text_of

FILE_NAME = re.compile(r"qa(\d{1,2})_[\w-]+_(train|test)\.txt(\.gz)?")
NUMBER = re.compile("[0-9]{1,9}")


class Statement(NamedTuple):
    number: int  # of its line in the story, from 1
    text: str


class Question(NamedTuple):
    number: int
    text: str
    answer: tuple[str, ...]
    supports: tuple[int, ...]  # numbers of earlier statements of the story


class Story(NamedTuple):
    line: int  # of the file, from 1, where it begins
    entries: tuple[Statement | Question, ...]  # in their order

    @property
    def questions(self):
        return tuple(entry for entry in self.entries if type(entry) is Question)


def read_babi(path):
    """The stories of a file, a list of ``Story``.  Damaged, with the line, if it is not such a file."""
    return parse_babi(contents(path), str(path))


def parse_babi(data, name):
    """``read_babi`` of the bytes of a file that errors call ``name``."""
    text = text_of(data, name)
    if not text:
        raise Damaged(f"{name}, line 1: the file is empty")
    stories, entries, statements, begin = [], [], set(), 1
    for i, line in enumerate(lines_of(text), 1):
        head, _, rest = line.partition(" ")
        if not NUMBER.fullmatch(head):
            raise Damaged(f"{name}, line {i}: a line begins with its number and a space, got {line[:40]!r}")
        number = int(head)
        if number == 1 and entries:
            stories.append(_story(begin, entries, name, i))
            entries, statements, begin = [], set(), i
        if number != len(entries) + 1:
            expected = f"{len(entries) + 1} or 1" if entries else "1"
            raise Damaged(f"{name}, line {i}: the line's number must be {expected}, got {number}")
        if "\t" in rest:
            entries.append(_question(number, rest, statements, f"{name}, line {i}"))
        elif not rest.strip():
            raise Damaged(f"{name}, line {i}: nothing follows the number")
        else:
            entries.append(Statement(number, rest.strip()))
            statements.add(number)
    if not text.endswith("\n"):
        raise Damaged(f"{name}, line {i}: the last line has no end: the file is cut short")
    stories.append(_story(begin, entries, name, i + 1))
    return stories


def _story(begin, entries, name, after):
    if type(entries[-1]) is not Question:
        raise Damaged(f"{name}, line {after - 1}: the story ends without a question: lines are missing")
    return Story(begin, tuple(entries))


def _question(number, rest, statements, place):
    fields = rest.split("\t")
    if len(fields) != 3:
        raise Damaged(
            f"{place}: a question has 3 fields between tabs, its answer and facts too, got {len(fields)}"
        )
    text, answer, supports = fields[0].strip(), tuple(fields[1].split(",")), fields[2].split()
    if not text or not all(word.strip() for word in answer):
        raise Damaged(
            f"{place}: the {'answer' if text else 'question'} is empty or lacks a word, got {rest!r}"
        )
    for fact in supports:
        if not NUMBER.fullmatch(fact):
            raise Damaged(f"{place}: supporting facts are numbers of lines, got {fact!r}")
        if int(fact) not in statements:
            raise Damaged(f"{place}: supporting fact {fact} is no statement of the story before this line")
    return Question(number, text, answer, tuple(map(int, supports)))
